"""The trace of the wire: which messages went each way, never what they held. Off until ``start`` is called.

What is traced goes to the logger ``getnet_pos.wire`` at the level ``DEBUG``: direction, length, kind of message,
function and response code, and the names of the fields that were there. A value is never shown, so a trace may be sent
to a stranger.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import fields

from .codec import Message
from .logs import logger
from .messages import Ack, BadFrame, Command, CommandMessage, Progress, Reply

__all__ = ["is_on", "received", "sent", "shown", "start", "stop"]

log = logger("getnet_pos.wire")

_on = False
_NAME = re.compile(r"[A-Za-z_]{1,32}[0-9]{0,2}")
"""What a field may be called; anything else could be a value in the place of a name."""


def start() -> None:
    """Trace every terminal of this process from now on."""
    global _on
    _on = True


def stop() -> None:
    global _on
    _on = False


def is_on() -> bool:
    return _on


def sent(message: Command | Ack, size: int) -> None:
    """A message left, in ``size`` bytes."""
    if _on:
        log.debug("-> %d bytes: %s", size, shown(message))


def received(messages: Sequence[Message], size: int) -> None:
    """``size`` bytes came, and made these messages whole."""
    if _on:
        log.debug("<- %d bytes: %s", size, "; ".join(map(shown, messages)) or "no whole message")


def shown(message: Command | Message) -> str:
    """A message in words: its kind, its codes and the names of its fields."""
    kind = type(message).__name__
    if isinstance(message, Ack):
        return f"{kind} {message.received}"
    if isinstance(message, Progress):
        return kind if message.code is None else f"{kind} {int(message.code)}"
    if isinstance(message, BadFrame):
        return f"{kind} {message.fault.value}, {message.size} bytes"
    if isinstance(message, CommandMessage):
        return f"{kind} {message.code} with {_names(message.fields)}"
    names = [item.name for item in fields(message) if item.name != "extra"]  # type: ignore[arg-type]  # all have fields
    present = [name for name in names if getattr(message, name) is not None]
    if isinstance(message, Reply):
        held = " ".join([*present, *filter(None, [_names(message.extra)])])
        return f"{kind} {message.function_code}, response {message.response_code}, with {held}"
    return f"{kind} {message.code} with {' '.join(present)}"


def _names(names: Iterable[str]) -> str:
    return " ".join(name if _NAME.fullmatch(name) else "?" for name in names)
