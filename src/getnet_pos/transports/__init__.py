"""Open, read, write, close. A transport knows no message and decides nothing."""

from __future__ import annotations

from typing import Protocol

__all__ = ["AsyncTransport", "Transport"]


class Transport(Protocol):
    """A byte stream to one terminal that blocks the calling thread. Deadlines are on ``time.monotonic``."""

    @property
    def name(self) -> str:
        """What the terminal is called in messages and in the journal."""
        ...

    def open(self) -> None:
        """Open it; nothing where it is open. Raises ``ConnectError``."""
        ...

    def read(self, deadline: float) -> bytes:
        """What has come; waits for the first byte until ``deadline``, or until ``wake`` is called: then ``b""``.

        Raises ``Disconnected``.
        """
        ...

    def write(self, data: bytes, deadline: float, *, aside: bool = False) -> None:
        """Write all of ``data``. Raises a ``TransportError`` that tells how many bytes left.

        ``aside``: beside a reply that is still being read; it matters only where a write is a request of its own.
        """
        ...

    def wake(self) -> None:
        """Make the current or the next ``read`` return at once. May be called from any thread."""
        ...

    def close(self) -> None:
        """Close it; never fails."""
        ...


class AsyncTransport(Protocol):
    """The same on the running event loop."""

    @property
    def name(self) -> str: ...
    async def open(self) -> None: ...
    async def read(self, deadline: float) -> bytes: ...
    async def write(self, data: bytes, deadline: float, *, aside: bool = False) -> None: ...
    def wake(self) -> None: ...
    async def close(self) -> None: ...
