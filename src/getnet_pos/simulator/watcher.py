"""Who looks on at a virtual terminal and may decide in the customer's place, such as a screen. It decides nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from ..codec import Message
from ..messages import CommandMessage

__all__ = ["Watcher"]


class Watcher(Protocol):
    """Called by whoever drives the terminal, in that thread: it must not wait."""

    def attends(self) -> bool:
        """Whether a money command that no script is for waits for ``VirtualTerminal.proceed``."""
        ...

    def heard(self, message: Message) -> None:
        """A message of the register came."""
        ...

    def said(self, data: bytes) -> None:
        """The terminal wrote this."""
        ...

    def began(self, command: CommandMessage, waits: bool) -> None:
        """A money command is being decided; ``waits``: until ``VirtualTerminal.proceed``."""
        ...

    def decided(self, command: CommandMessage, reply: Mapping[str, Any]) -> None:
        """A money command has this reply, by wire names, which may never leave."""
        ...

    def changed(self) -> None:
        """The terminal was unplugged, plugged in, restarted, or sold on by hand."""
        ...
