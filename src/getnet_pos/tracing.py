"""The trace of the wire: which messages went each way, but never their content. Off until ``start`` is called.

The logger ``getnet_pos.wire`` gets a ``DEBUG`` message for each: direction, length, type of message, function and
response code, and the names of its fields. Values are never shown, so it is safe to send a trace to support.
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
"""A field name. Anything else could be a value in the place of a name, and is shown as ``?``."""


def start() -> None:
    """Trace all terminals of this process from now on."""
    global _on
    _on = True


def stop() -> None:
    """Stop tracing, for all terminals of this process."""
    global _on
    _on = False


def is_on() -> bool:
    """Whether messages are logged."""
    return _on


def sent(message: Command | Ack, size: int) -> None:
    """Log that a message of ``size`` bytes was sent."""
    if _on:
        log.debug("-> %d bytes: %s", size, shown(message))


def received(messages: Sequence[Message], size: int) -> None:
    """Log that ``size`` bytes were received, which completed these messages."""
    if _on:
        log.debug("<- %d bytes: %s", size, "; ".join(map(shown, messages)) or "no whole message")


def shown(message: Command | Message) -> str:
    """Describe a message: its type, its codes and the names of its fields."""
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
