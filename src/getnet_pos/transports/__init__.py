"""The interface of a byte stream to a terminal: open, read, write, close. A transport does not know the messages."""

from __future__ import annotations

from abc import ABC, abstractmethod

__all__ = ["AT_ONCE", "AsyncTransport", "Transport"]

AT_ONCE = 4096
"""The maximum number of bytes that one ``read`` returns. On an event loop other tasks run before the next read, so that
a terminal that never stops sending blocks only its own command."""


class Transport(ABC):
    """A byte stream to one terminal that blocks the calling thread. Deadlines are times of ``time.monotonic()``.

    Examples:
        >>> from getnet_pos.transports import Transport
        >>> from getnet_pos.transports.tcp import TcpTransport
        >>> transport: Transport = TcpTransport("192.168.1.20", 8100)
        >>> transport.name
        '192.168.1.20:8100'
    """

    name: str
    """The terminal's name in messages and in the journal."""

    device: str | None = None
    """An identity of the device found when it was last opened, which stays the same when ``name`` changes."""

    @abstractmethod
    def open(self) -> None:
        """Open the stream; does nothing if it is open. Raises ``ConnectError``."""

    @abstractmethod
    def read(self, deadline: float) -> bytes:
        """The bytes that have arrived, at most ``AT_ONCE``. Waits for the first one.

        Returns ``b""`` at ``deadline``, or after ``wake``, if none has arrived. Raises ``Disconnected``.
        """

    @abstractmethod
    def write(self, data: bytes, deadline: float) -> None:
        """Write all of ``data``. ``TransportError.bytes_written`` says how many bytes left.

        It is 0 if the other end is known to have closed the link before.
        """

    def write_beside(self, data: bytes, deadline: float) -> None:
        """Write ``data`` without disturbing the reply that is being read."""
        self.write(data, deadline)

    @abstractmethod
    def wake(self) -> None:
        """End the wait of the current or the next ``read``. It may be called from any thread.

        A ``read`` that returns ``b""`` clears it, and so does ``close``.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the stream. It never fails."""


class AsyncTransport(ABC):
    """``Transport`` on the running event loop.

    Examples:
        >>> from getnet_pos.transports import AsyncTransport
        >>> from getnet_pos.transports.tcp import AsyncTcpTransport
        >>> transport: AsyncTransport = AsyncTcpTransport("192.168.1.20", 8100)
        >>> transport.name
        '192.168.1.20:8100'
    """

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
