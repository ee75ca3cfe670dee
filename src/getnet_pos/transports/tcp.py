"""A terminal on the local network, over a plain TCP socket. Knows no message.

Keep-alive probes find a peer that vanished; a write that the peer never confirms ends the connection as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import threading
import time
from typing import cast

from ..errors import ConnectError, Disconnected, PartialWrite, TransportError, WriteTimeout

__all__ = ["AsyncTcpTransport", "TcpTransport"]

_CHUNK = 65536
_UNREAD = 1 << 20
"""Bytes kept of a peer that sends more than is read, before it is held up."""

_KEEP_ALIVE = {
    "TCP_KEEPIDLE": 10,
    "TCP_KEEPALIVE": 10,
    "TCP_KEEPINTVL": 5,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": 25_000,
}


def _tune(line: socket.socket) -> None:
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEP_ALIVE.items():
        option = getattr(socket, name, None)
        if option is not None:
            with contextlib.suppress(OSError):
                line.setsockopt(socket.IPPROTO_TCP, option, value)
    line.setblocking(False)


class _Address:
    def __init__(self, host: str, port: int, *, connect_timeout: float) -> None:
        self.name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._host, self._port = host, port
        self._connect_timeout = connect_timeout

    def _not_open(self) -> Disconnected:
        return Disconnected(f"{self.name} is not connected: poll the terminal first")

    def _refused(self, error: Exception) -> ConnectError:
        reason = "no answer in time" if isinstance(error, TimeoutError) else str(error)
        return ConnectError(
            f"{self.name} cannot be reached ({reason}): check the terminal's address and port, that it is on the same "
            "network, and that it is in integrated mode"
        )

    def _lost(self, error: Exception | None = None) -> Disconnected:
        reason = f": {error}" if error else ""
        return Disconnected(f"{self.name} closed the connection{reason}: check the network, then poll again")

    def _write_error(self, written: int, error: Exception | None) -> TransportError:
        if written:
            reason = "the connection broke" if error else "it takes no more"
            return PartialWrite(f"{self.name}: only {written} bytes could be written: {reason}", bytes_written=written)
        return self._lost(error) if error else WriteTimeout(f"{self.name} does not take bytes")


class TcpTransport(_Address):
    """Blocks the calling thread."""

    def __init__(self, host: str, port: int, *, connect_timeout: float = 5.0) -> None:
        super().__init__(host, port, connect_timeout=connect_timeout)
        self._line: socket.socket | None = None
        self._wake_in: socket.socket | None = None
        self._wake_out: socket.socket | None = None
        self._lock = threading.Lock()

    def open(self) -> None:
        if self._line is not None:
            return
        try:
            line = socket.create_connection((self._host, self._port), timeout=self._connect_timeout)
        except OSError as error:
            raise self._refused(error) from error
        _tune(line)
        with self._lock:
            self._wake_in, self._wake_out = socket.socketpair()
            self._wake_in.setblocking(False)
            self._wake_out.setblocking(False)
        self._line = line

    def _opened(self) -> socket.socket:
        if self._line is None:
            raise self._not_open()
        return self._line

    def read(self, deadline: float) -> bytes:
        line, wake = self._opened(), self._wake_in
        assert wake is not None
        while True:
            left = max(0.0, deadline - time.monotonic())
            ready = _wait([line, wake], [], left)
            if wake in ready:
                with contextlib.suppress(OSError):
                    wake.recv(64)
                return b""
            if line in ready:
                try:
                    data = line.recv(_CHUNK)
                except BlockingIOError:
                    continue
                except OSError as error:
                    raise self._lost(error) from error
                if not data:
                    raise self._lost()
                return data
            if time.monotonic() >= deadline:
                return b""

    def write(self, data: bytes, deadline: float, *, aside: bool = False) -> None:
        line, written = self._opened(), 0
        view = memoryview(data)
        while written < len(data):
            try:
                written += line.send(view[written:])
            except BlockingIOError:
                left = deadline - time.monotonic()
                if left <= 0 or not _wait([], [line], left):
                    raise self._write_error(written, None) from None
            except OSError as error:
                raise self._write_error(written, error) from error

    def wake(self) -> None:
        with self._lock, contextlib.suppress(OSError):
            if self._wake_out is not None:
                self._wake_out.send(b"w")

    def close(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.close()
        with self._lock:
            for end in (self._wake_in, self._wake_out):
                if end is not None:
                    end.close()
            self._wake_in = self._wake_out = None


def _wait(readable: list[socket.socket], writable: list[socket.socket], seconds: float) -> list[socket.socket]:
    """The sockets that are ready within ``seconds``."""
    if not hasattr(select, "poll"):
        found = select.select(readable, writable, [], seconds)
        return [*found[0], *found[1]]
    poll, by_number = select.poll(), {}
    for events, sockets in ((select.POLLIN, readable), (select.POLLOUT, writable)):
        for one in sockets:
            poll.register(one, events)
            by_number[one.fileno()] = one
    return [by_number[number] for number, _ in poll.poll(seconds * 1000)]


class _Stream(asyncio.Protocol):
    """What has come on a connection, and whether it is still there."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.received = bytearray()
        self.lost = False
        self.error: Exception | None = None
        self.changed = asyncio.Event()
        self.writable = asyncio.Event()
        self.writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        # Nothing is kept back: a write counts as done when all of it was handed to the system.
        self.transport.set_write_buffer_limits(high=0)

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.changed.set()
        if len(self.received) > _UNREAD and self.transport is not None:
            self.transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost, self.error = True, exc
        self.changed.set()
        self.writable.set()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def take(self) -> bytes:
        data = bytes(self.received)
        self.received.clear()
        if len(data) > _UNREAD and self.transport is not None and not self.lost:
            self.transport.resume_reading()
        return data


class AsyncTcpTransport(_Address):
    """On the running event loop."""

    def __init__(self, host: str, port: int, *, connect_timeout: float = 5.0) -> None:
        super().__init__(host, port, connect_timeout=connect_timeout)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stream: _Stream | None = None
        self._woken = False

    async def open(self) -> None:
        if self._stream is not None:
            return
        self._loop = asyncio.get_running_loop()
        try:
            connecting = self._loop.create_connection(_Stream, self._host, self._port)
            transport, stream = await asyncio.wait_for(connecting, self._connect_timeout)
        except asyncio.TimeoutError as error:
            raise self._refused(TimeoutError()) from error
        except OSError as error:
            raise self._refused(error) from error
        line = transport.get_extra_info("socket")
        if line is not None:
            _tune(line)
        self._stream = stream

    def _connected(self) -> _Stream:
        if self._stream is None:
            raise self._not_open()
        return self._stream

    async def read(self, deadline: float) -> bytes:
        stream = self._connected()
        while not self._woken:
            if stream.received:
                return stream.take()
            if stream.lost:
                raise self._lost(stream.error)
            stream.changed.clear()
            left = deadline - time.monotonic()
            if left <= 0:
                return b""
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(stream.changed.wait(), left)
        self._woken = False
        return b""

    async def write(self, data: bytes, deadline: float, *, aside: bool = False) -> None:
        stream = self._connected()
        transport = stream.transport
        if stream.lost or transport is None or transport.is_closing():
            raise self._lost(stream.error)
        transport.write(data)
        timed_out = False
        if not stream.writable.is_set():
            try:
                await asyncio.wait_for(stream.writable.wait(), max(0.001, deadline - time.monotonic()))
            except asyncio.TimeoutError:
                timed_out = True
        if timed_out or stream.lost:
            written = len(data) - transport.get_write_buffer_size()
            # What is still kept must not leave later, when the caller already counts it as not sent.
            transport.abort()
            raise self._write_error(written, None if timed_out else self._lost(stream.error))

    def wake(self) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._wake_now)

    def _wake_now(self) -> None:
        self._woken = True
        if self._stream is not None:
            self._stream.changed.set()

    async def close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None and stream.transport is not None:
            stream.transport.abort()
            while not stream.lost:
                stream.changed.clear()
                await stream.changed.wait()
