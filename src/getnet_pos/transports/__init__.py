"""Open, read, write, close. A transport knows no message and decides nothing."""

from __future__ import annotations

from abc import ABC, abstractmethod

__all__ = ["AT_ONCE", "AsyncTransport", "Transport"]

AT_ONCE = 4096
"""The most bytes that one ``read`` returns. On an event loop others have their turn before the next read: what a
terminal sends without end holds up nobody but its own command."""


class Transport(ABC):
    """A byte stream to one terminal that blocks the calling thread. Deadlines are on ``time.monotonic``."""

    name: str
    """What the terminal is called in messages and in the journal."""

    device: str | None = None
    """Which device ``name`` led to when it was last opened, where that can be told: it stays when the name changes."""

    @abstractmethod
    def open(self) -> None:
        """Open it; nothing where it is open. Raises ``ConnectError``."""

    @abstractmethod
    def read(self, deadline: float) -> bytes:
        """What has come; waits for the first byte until ``deadline``, or until ``wake`` is called: then ``b""``.

        What is there is always returned, and first, at most ``AT_ONCE`` bytes of it. Raises ``Disconnected``.
        """

    @abstractmethod
    def write(self, data: bytes, deadline: float) -> None:
        """Write all of ``data``. Raises a ``TransportError`` that tells how many bytes left.

        None has left where the other end is known to have closed the link before.
        """

    def write_beside(self, data: bytes, deadline: float) -> None:
        """Write ``data`` while a reply is being read, and go on reading that reply."""
        self.write(data, deadline)

    @abstractmethod
    def wake(self) -> None:
        """End the wait of the current or the next ``read``. May be called from any thread.

        A ``read`` that finds nothing forgets it, and so does ``close``.
        """

    @abstractmethod
    def close(self) -> None:
        """Close it; never fails."""


class AsyncTransport(ABC):
    """The same on the running event loop."""

    name: str
    device: str | None = None

    @abstractmethod
    async def open(self) -> None: ...

    @abstractmethod
    async def read(self, deadline: float) -> bytes: ...

    @abstractmethod
    async def write(self, data: bytes, deadline: float) -> None: ...

    async def write_beside(self, data: bytes, deadline: float) -> None:
        await self.write(data, deadline)

    @abstractmethod
    def wake(self) -> None: ...

    @abstractmethod
    async def close(self) -> None: ...
