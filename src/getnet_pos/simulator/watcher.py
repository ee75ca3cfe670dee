"""The interface of an observer of a virtual terminal that may decide for the customer, such as a screen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from ..codec import Message
from ..messages import CommandMessage

__all__ = ["Watcher"]


class Watcher(Protocol):
    """Its methods are called in the thread that drives the terminal, so they must not block."""

    def attends(self) -> bool:
        """Whether a payment command without a script waits for ``VirtualTerminal.proceed``."""
        ...

    def heard(self, message: Message) -> None:
        """A message from the register arrived."""
        ...

    def said(self, data: bytes) -> None:
        """The terminal wrote these bytes."""
        ...

    def began(self, command: CommandMessage, waits: bool) -> None:
        """A payment command is being decided; with ``waits``, by ``VirtualTerminal.proceed``."""
        ...

    def decided(self, command: CommandMessage, reply: Mapping[str, Any]) -> None:
        """This is the reply to a payment command, by wire names. It may never be sent."""
        ...

    def changed(self) -> None:
        """The terminal was unplugged, plugged in or restarted, or a sale was keyed in on it."""
        ...
