"""A terminal on the local network over a plain or a TLS socket (docs/protocol.md, "TCP").

Keep-alive probes detect a peer that vanished while the link was idle, and ``TCP_USER_TIMEOUT`` one that vanished while
bytes were on their way. A terminal may close its connection after each answer: a write checks for that first, so that
we know that nothing left.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
import selectors
import socket
import ssl
import struct
import threading
import time
from typing import Protocol, cast

from ..errors import ConnectError, Disconnected, PartialWrite, TransportError, WriteTimeout
from . import AT_ONCE, AsyncTransport, Transport
from .names import look_up, shares
from .tls import tls_refusal

__all__ = ["AsyncTcpTransport", "TcpTransport"]

_CHUNK = 65536
_UNREAD = 1 << 20
"""How many unread bytes are kept before reading pauses."""

_KEEP_ALIVE = {
    "TCP_KEEPIDLE": 10,
    "TCP_KEEPALIVE": 10,
    "TCP_KEEPINTVL": 5,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": 25_000,
}
"""Set as far as the system has them; a peer that is gone is then detected within 25 seconds."""

_AT_ONCE = 1e-9
"""A sleep, in seconds, that lets the event loop read once from the system."""

_TIMEOUTS = (TimeoutError, asyncio.TimeoutError, concurrent.futures.TimeoutError)

_RESET_ON_CLOSE = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)

_Selector: type[selectors.BaseSelector] = getattr(selectors, "PollSelector", selectors.SelectSelector)


class _Options(Protocol):
    def setsockopt(self, level: int, option: int, value: int | bytes, /) -> None: ...


def _tune(line: _Options) -> None:
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEP_ALIVE.items():
        # A system may have the name without the option.
        with contextlib.suppress(AttributeError, OSError):
            line.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _reset_on_close(line: _Options) -> None:
    """Make the system drop the rest of a failed write, so that it cannot leave later."""
    with contextlib.suppress(OSError):
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)


class _Peer:
    """The part that the blocking and the asyncio transport share. ``name`` replaces the address in messages."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        connect_timeout: float = 5.0,
        tls: ssl.SSLContext | None = None,
        name: str | None = None,
    ) -> None:
        self.name = name or (f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        self._host, self._port, self._tls = host, port, tls
        self._connect_timeout = connect_timeout
        self._wake_lock = threading.Lock()

    def _not_open(self) -> Disconnected:
        return Disconnected(f"{self.name} is not connected: call polling() first")

    def _refused(self, error: Exception) -> ConnectError:
        if isinstance(error, ssl.SSLError):
            return ConnectError(f"the TLS connection to {self.name} failed: {tls_refusal(error)}")
        if isinstance(error, _TIMEOUTS):
            reason = "no answer in time"
        elif isinstance(error, ConnectionRefusedError):
            reason = "nothing listens there"
        else:
            reason = str(error)
        return ConnectError(
            f"{self.name} cannot be reached ({reason}): check the terminal's address and port, that it is on the same "
            "network, and that it is in integrated mode"
        )

    def _lost(self, error: Exception | None = None) -> Disconnected:
        reason = f": {error}" if error else ""
        return Disconnected(f"{self.name} closed the connection{reason}: check the network, then call polling()")

    def _not_written(self, written: int, error: Exception | None) -> TransportError:
        """``error`` is ``None`` after a timeout."""
        if written:
            why = error or "it accepted no more bytes in time"
            return PartialWrite(
                f"{self.name}: only a part of a message was written, check the network: {why}", bytes_written=written
            )
        return self._lost(error) if error else WriteTimeout(f"{self.name} accepts no bytes: restart the terminal")


class TcpTransport(_Peer, Transport):
    """The blocking transport over TCP."""

    _line: socket.socket | None = None
    _wakes: tuple[socket.socket, socket.socket] | None = None
    """The socket on which ``read`` is woken, and the one to which ``wake`` writes."""
    _unread: bytearray
    """Bytes received but not returned yet; a write receives, too."""

    def open(self) -> None:
        if self._line is not None:
            return
        deadline = time.monotonic() + self._connect_timeout
        with contextlib.ExitStack() as opened:
            try:
                line = self._connected(deadline)
                opened.callback(line.close)
                _tune(line)
                if self._tls is not None:
                    line.settimeout(max(0.001, deadline - time.monotonic()))
                    line = self._tls.wrap_socket(line, server_hostname=self._host)
                    opened.callback(line.close)
                line.setblocking(False)
                wakes = socket.socketpair()
            except (OSError, ValueError, *_TIMEOUTS) as error:
                raise self._refused(error) from error
            opened.pop_all()
        for end in wakes:
            end.setblocking(False)
        self._line, self._wakes, self._unread = line, wakes, bytearray()

    def _connected(self, deadline: float) -> socket.socket:
        refused = OSError("the host has no address")
        for host, seconds in shares(look_up(self._host).result(self._connect_timeout), deadline):
            try:
                return socket.create_connection((host, self._port), timeout=seconds)
            except OSError as error:
                refused = error
        raise refused

    def read(self, deadline: float) -> bytes:
        line, wakes = self._line, self._wakes
        if line is None or wakes is None:
            raise self._not_open()
        while True:
            if not self._unread:
                self._unread += self._take(line)
            if self._unread:
                data = bytes(self._unread[:AT_ONCE])
                del self._unread[:AT_ONCE]
                return data
            ready = _wait(deadline - time.monotonic(), selectors.EVENT_READ, line, wakes[0])
            if line not in ready:
                if ready:
                    wakes[0].recv(64)
                return b""

    def _take(self, line: socket.socket) -> bytes:
        """The bytes that have arrived, if any."""
        try:
            data = line.recv(_CHUNK)
        except (BlockingIOError, ssl.SSLWantReadError):
            return b""
        except OSError as error:
            raise self._lost(error) from error
        if not data:
            raise self._lost()
        return data

    def write(self, data: bytes, deadline: float) -> None:
        line, written = self._line, 0
        if line is None:
            raise self._not_open()
        while len(self._unread) < _UNREAD and (more := self._take(line)):
            self._unread += more
        view = memoryview(data)
        while written < len(data):
            try:
                written += line.send(view[written:])
                continue
            except (BlockingIOError, ssl.SSLWantWriteError):
                if _wait(deadline - time.monotonic(), selectors.EVENT_WRITE, line):
                    continue
                broken = None
            except OSError as error:
                broken = error
            _reset_on_close(line)
            # Over TLS it is unknown how much left.
            raise self._not_written(len(data) if self._tls else written, broken) from broken

    def wake(self) -> None:
        if self._wakes is not None:
            with self._wake_lock, contextlib.suppress(OSError):
                self._wakes[1].send(b"w")

    def close(self) -> None:
        line, self._line = self._line, None
        if line is not None and self._wakes is not None:
            line.close()
            with self._wake_lock:
                for end in self._wakes:
                    end.close()


def _wait(seconds: float, event: int, *lines: socket.socket) -> list[object]:
    """The sockets that are ready within ``seconds``."""
    with _Selector() as selector:
        for line in lines:
            selector.register(line, event)
        return [key.fileobj for key, _ in selector.select(max(0.0, seconds))]


class _Stream(asyncio.Protocol):
    """The bytes received on a connection, and its state."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.received = bytearray()
        self.lost = False
        self.error: Exception | None = None
        self.full = False
        """Whether bytes wait for the system to accept them."""
        self.closed = asyncio.Event()
        self._changed: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        if transport.get_extra_info("ssl_object") is None:
            # A write counts as done when the system has accepted all of it. asyncio's TLS cannot say when.
            self.transport.set_write_buffer_limits(high=0)

    def data_received(self, data: bytes) -> None:
        self.received += data
        if len(self.received) > _UNREAD:
            self.transport.pause_reading()
        self.changed()

    def eof_received(self) -> None:
        self.lost = True
        self.changed()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost, self.error = True, exc
        self.closed.set()
        self.changed()

    def pause_writing(self) -> None:
        self.full = True

    def resume_writing(self) -> None:
        self.full = False
        self.changed()

    def take(self) -> bytes:
        data = bytes(self.received[:AT_ONCE])
        del self.received[:AT_ONCE]
        if not self.lost and len(self.received) <= _UNREAD:
            self.transport.resume_reading()
        return data

    def changed(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)

    async def look(self) -> None:
        """Receive everything that the system has, including the end of the connection."""
        seen = -1
        while not self.lost and seen < len(self.received):
            seen = len(self.received)
            await asyncio.sleep(_AT_ONCE)

    async def wait(self, seconds: float) -> None:
        """Wait for the next change, at most ``seconds``. The event loop reads from the system in any case."""
        loop = asyncio.get_running_loop()
        self._changed = loop.create_future()
        timer = loop.call_later(max(0.0, seconds), self.changed)
        try:
            await self._changed
        finally:
            timer.cancel()
            self._changed = None


class AsyncTcpTransport(_Peer, AsyncTransport):
    """``TcpTransport`` on the running event loop."""

    _stream: _Stream | None = None
    _woken = False

    async def open(self) -> None:
        if self._stream is not None:
            return
        self._loop = asyncio.get_running_loop()
        try:
            transport, stream = await self._connected(time.monotonic() + self._connect_timeout)
        except (OSError, ValueError, *_TIMEOUTS) as error:
            raise self._refused(error) from error
        with contextlib.suppress(OSError):
            # If the connection is already lost, the first read raises.
            _tune(transport.get_extra_info("socket"))
        self._stream = stream

    async def _connected(self, deadline: float) -> tuple[asyncio.Transport, _Stream]:
        refused: Exception = OSError("the host has no address")
        hosts = await asyncio.wait_for(asyncio.wrap_future(look_up(self._host)), self._connect_timeout)
        name = self._host if self._tls else None
        for host, seconds in shares(hosts, deadline):
            connecting = self._loop.create_connection(_Stream, host, self._port, ssl=self._tls, server_hostname=name)
            try:
                return await asyncio.wait_for(connecting, seconds)
            except (OSError, asyncio.TimeoutError) as error:
                refused = error
        raise refused

    async def read(self, deadline: float) -> bytes:
        stream = self._stream
        if stream is None:
            raise self._not_open()
        if stream.received:
            await asyncio.sleep(0)
        while not (stream.received or stream.lost):
            left = deadline - time.monotonic()
            if self._woken or left <= 0:
                self._woken = False
                await stream.look()
                break
            await stream.wait(left)
        if not stream.received and stream.lost:
            raise self._lost(stream.error)
        return stream.take()

    async def write(self, data: bytes, deadline: float) -> None:
        stream = self._stream
        if stream is None:
            raise self._not_open()
        transport = stream.transport
        await stream.look()
        if stream.lost or transport.is_closing():
            raise self._lost(stream.error)
        transport.write(data)
        if transport.is_closing() and not self._tls:
            # The system refused it at once.
            await stream.wait(0)
            raise self._lost(stream.error)
        while stream.full:
            left = deadline - time.monotonic()
            if stream.lost or left <= 0:
                written = self._give_up(stream, len(data))
                broken = self._lost(stream.error) if stream.lost else None
                raise self._not_written(written, broken) from stream.error
            try:
                await stream.wait(left)
            except asyncio.CancelledError:
                self._give_up(stream, len(data))
                raise

    def _give_up(self, stream: _Stream, size: int) -> int:
        """Abort a connection that has not accepted all of a write. Returns how many bytes it may have accepted.

        Only a selector's transport without TLS knows the number; otherwise all of them count as accepted.
        """
        counts = self._tls is None and isinstance(self._loop, asyncio.SelectorEventLoop)
        taken = size - stream.transport.get_write_buffer_size() if counts and not stream.lost else size
        _reset_on_close(stream.transport.get_extra_info("socket"))
        stream.transport.abort()
        return taken

    def wake(self) -> None:
        if self._stream is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._wake_now)

    def _wake_now(self) -> None:
        self._woken = True
        if self._stream is not None:
            self._stream.changed()

    async def close(self) -> None:
        stream, self._stream = self._stream, None
        self._woken = False
        if stream is not None:
            stream.transport.abort()
            await stream.closed.wait()
