"""Open, read, write, close. A transport knows no message and decides nothing."""

from __future__ import annotations

from abc import ABC, abstractmethod

__all__ = ["AsyncTransport", "Transport"]


class Transport(ABC):
    """A byte stream to one terminal that blocks the calling thread. Deadlines are on ``time.monotonic``."""

    name: str
    """What the terminal is called in messages and in the journal."""

    @abstractmethod
    def open(self) -> None:
        """Open it; nothing where it is open. Raises ``ConnectError``."""

    @abstractmethod
    def read(self, deadline: float) -> bytes:
        """What has come; waits for the first byte until ``deadline``, or until ``wake`` is called: then ``b""``.

        Raises ``Disconnected``.
        """

    @abstractmethod
    def write(self, data: bytes, deadline: float) -> None:
        """Write all of ``data``. Raises a ``TransportError`` that tells how many bytes left."""

    def write_beside(self, data: bytes, deadline: float) -> None:
        """Write ``data`` while a reply is being read, and go on reading that reply."""
        self.write(data, deadline)

    @abstractmethod
    def wake(self) -> None:
        """Make the current or the next ``read`` return at once. May be called from any thread."""

    @abstractmethod
    def close(self) -> None:
        """Close it; never fails."""


class AsyncTransport(ABC):
    """The same on the running event loop."""

    name: str

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
