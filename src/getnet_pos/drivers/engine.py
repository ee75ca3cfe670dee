"""Sends the HTTP requests of flows over h11 and ssl, blocking or on asyncio. It decides nothing.

It is made for payments: the bytes of a request are counted as they are passed to the system, so we know whether any
left. An error before that is a ``ConnectError``, or says that nothing was sent. A request is sent only to its own
address, within one deadline, and once. Only a request that may be repeated (one without ``Request.fresh``) is sent on a
kept connection, and again on a new one if the server was just closing the kept one.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import TimeoutError as LookUpTimeout
from dataclasses import dataclass
from functools import lru_cache
from typing import cast
from urllib.parse import urlsplit

from ..errors import (
    ConfigurationError,
    ConnectError,
    DeadlineExceeded,
    Disconnected,
    GetnetError,
    LifecycleError,
    TerminalBusy,
)
from ..flows.effects import Request, Response
from ..flows.http_calls import clean
from ..transports.http1 import BadHttp, Dialogue, UnfitRequest
from ..transports.names import look_up, shares
from ..transports.tls import Tunnel, Verify, public_context, tls_context, tls_refusal
from ..turns import QueueTurn
from .bodies import LONGEST_CONNECT, Body, shown, too_late

__all__ = ["AsyncEngine", "Engine"]

_KEPT = 50
"""The maximum number of idle connections."""
_KEPT_FOR = 4.0
"""How long an idle connection is kept, in seconds; many servers close theirs after 5 s."""
_OPENING = 50
"""How many connections are opened at a time. The others wait, so that none times out during its handshake."""
_CHUNK = 65_536
_CLOSED = "the other end closed the connection"


@dataclass(frozen=True, slots=True)
class _Address:
    """The address of a request."""

    secure: bool
    host: str
    port: int
    netloc: str


@lru_cache(256)
def _parts(url: str) -> tuple[_Address, str]:
    """The address in a checked URL, and the target of a request to it."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    address = _Address(secure, parts.hostname or "", parts.port or (443 if secure else 80), parts.netloc)
    return address, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


class _Trust:
    """The TLS context of an engine. The public one is loaded for the first connection that needs it."""

    def __init__(self, verify: Verify, pin_sha256: str | None) -> None:
        public = verify is True and pin_sha256 is None
        self._context = None if public else tls_context(verify, pin_sha256)

    def tunnel(self, address: _Address) -> Tunnel | None:
        return Tunnel(self._context or public_context(), address.host) if address.secure else None


class _Exchange:
    """One request and its answer on one connection, without I/O."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.address, target = _parts(request.url)
        self.written = 0
        """The bytes of the request that were passed to the system."""
        self.has_ended = False
        self._dialogue = Dialogue()
        self._body: Body | None = None
        headers = {**request.headers, "Accept-Encoding": "gzip"}
        if request.fresh:
            headers["Connection"] = "close"
        try:
            self.data = self._dialogue.request(request.method, target, self.address.netloc, headers, request.content)
        except UnfitRequest:
            unfit = True
        else:
            unfit = False
        if unfit:
            # Raised here, without the other error, whose text quotes the header, which may be a secret.
            raise ConfigurationError(f"{shown(request)} was not sent: one of its headers is not valid HTTP")

    @property
    def has_begun(self) -> bool:
        """Whether any byte of an answer has arrived."""
        return self._dialogue.has_begun

    @property
    def leaves_open(self) -> bool:
        return self.has_ended and self._dialogue.leaves_open

    def receive(self, tunnel: Tunnel | None, data: bytes) -> None:
        """Read bytes from the connection; ``b""`` means its end.

        Raises:
            GetnetError: the answer is not valid HTTP, or cannot be accepted.
            ssl.SSLError: it was truncated or damaged.
        """
        if tunnel is None:
            self._take(data)
            return
        part, ended = tunnel.open(data)
        if part:
            self._take(part)
        if ended and not self.has_ended:
            self._take(b"")

    def _take(self, data: bytes) -> None:
        dialogue = self._dialogue
        try:
            part = dialogue.feed(data)
        except BadHttp as error:
            raise self.broken(error) from None
        if dialogue.status:
            if self._body is None:
                self._body = Body(self.request, dialogue.headers.get("content-encoding", ""))
            if part:
                self._body.add(part)
        self.has_ended = dialogue.has_ended

    def response(self) -> Response:
        assert self._body is not None
        return Response(self._dialogue.status, self._dialogue.headers, self._body.whole())

    # --------------------------------------------------------------------------------------------------------- failures

    def not_opened(self, error: BaseException) -> ConnectError:
        """The error for a connection that could not be opened."""
        what = shown(self.request)
        if isinstance(error, (TimeoutError, asyncio.TimeoutError, LookUpTimeout)):
            return ConnectError(f"{what} could not connect in time, and nothing was sent: check address and network")
        if isinstance(error, ssl.SSLError):
            return ConnectError(f"{what} could not connect, and nothing was sent: {tls_refusal(error)}")
        host = self.address.host
        if isinstance(error, socket.gaierror):
            return ConnectError(
                f"{host} cannot be found, and nothing was sent: check the address and the network ({what})"
            )
        reason = clean(str(error), ()) or type(error).__name__
        place = f"[{host}]" if ":" in host else host
        return ConnectError(
            f"{place}:{self.address.port} cannot be reached, and nothing was sent: check the address, the port and the "
            f"network ({what}: {reason})"
        )

    def broken(self, error: BaseException | str) -> Disconnected:
        # The text of the error may quote what arrived, such as a line that is not HTTP.
        reason = clean(str(error), ()) or type(error).__name__
        sent = "" if self.written else ", and nothing was sent"
        what = shown(self.request)
        return Disconnected(f"the connection failed during {what}{sent}: {reason}", bytes_written=self.written)

    @property
    def is_late(self) -> bool:
        """Whether it is too late to begin sending."""
        return time.monotonic() >= self.request.departure.by

    def too_late(self) -> DeadlineExceeded:
        if self.written:
            return too_late(self.request, self.written)
        if self.is_late:
            return DeadlineExceeded(f"{shown(self.request)} was not sent: connecting took too long")
        return DeadlineExceeded(f"{shown(self.request)} was not sent within {self.request.timeout:g} s")


# ------------------------------------------------------------------------------------------------------------- blocking


class _Line:
    """A connection that blocks the calling thread."""

    def __init__(self, address: _Address, tunnel: Tunnel | None, line: socket.socket) -> None:
        self.address = address
        self.idle_since = 0.0
        self._tunnel = tunnel
        self._line = line
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def shake(self, deadline: float) -> None:
        """Perform the TLS handshake. Raises ``OSError`` if it fails."""
        data, tunnel = b"", self._tunnel
        while tunnel is not None and not tunnel.is_up:
            self._wait_until(deadline)
            self._line.sendall(tunnel.shake(data))
            if not tunnel.is_up:
                data = self._read(deadline)
                if not data:
                    raise ConnectionError(_CLOSED)

    def answer(self, exchange: _Exchange, deadline: float) -> Response:
        try:
            self._write(exchange, deadline)
            while not exchange.has_ended:
                exchange.receive(self._tunnel, self._read(deadline))
        except TimeoutError:
            raise exchange.too_late() from None
        except OSError as error:
            raise exchange.broken(error) from error
        return exchange.response()

    def _write(self, exchange: _Exchange, deadline: float) -> None:
        if exchange.is_late:
            raise TimeoutError
        exchange.request.departure.has_come = True
        left = memoryview(exchange.data if self._tunnel is None else self._tunnel.seal(exchange.data))
        while left:
            self._wait_until(deadline)
            sent = self._line.send(left)
            left = left[sent:]
            exchange.written = min(exchange.written + sent, len(exchange.data))

    def _read(self, deadline: float) -> bytes:
        self._wait_until(deadline)
        return self._line.recv(_CHUNK)

    def _wait_until(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._line.settimeout(left)

    def is_quiet(self) -> bool:
        """Whether it is still open, and nothing unexpected has arrived."""
        self._line.settimeout(0)
        try:
            self._line.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def close(self) -> None:
        self._line.close()


class Engine:
    """Sends requests in the calling thread. Threads may share it.

    ``verify`` and ``pin_sha256`` say how a certificate is checked (``tls_context``); ``True`` means the public CAs.
    """

    def __init__(self, verify: Verify = True, pin_sha256: str | None = None) -> None:
        self.closed = False
        self._trust = _Trust(verify, pin_sha256)
        self._opening = QueueTurn(_OPENING, "the opening of connections")
        self._idle: dict[_Line, None] = {}
        """The most recently used last. A lock is avoided, because an interruption could leave it locked."""

    def send(self, request: Request) -> Response:
        """Perform the effect ``Request``."""
        deadline = time.monotonic() + request.timeout
        while True:
            _check_open(self.closed)
            exchange = _Exchange(request)
            line, is_kept = self._line(exchange, deadline)
            try:
                response = line.answer(exchange, deadline)
            except BaseException as error:
                line.close()
                if is_kept and isinstance(error, Disconnected) and not exchange.has_begun:
                    continue
                raise
            self._keep(line, exchange)
            return response

    def _line(self, exchange: _Exchange, deadline: float) -> tuple[_Line, bool]:
        """A connection for the request, and whether it has been used before."""
        kept = self._kept(exchange)
        if kept is not None:
            return kept, True
        place = self._opening.place()
        try:
            try:
                place.wait(deadline)
                # One may have become free in the meantime.
                kept = self._kept(exchange)
                return (self._opened(exchange, deadline), False) if kept is None else (kept, True)
            except TerminalBusy:
                raise exchange.too_late() from None
            finally:
                place.leave()
        finally:
            # The other call may have been interrupted.
            place.leave()

    def _opened(self, exchange: _Exchange, deadline: float) -> _Line:
        deadline = min(deadline, time.monotonic() + LONGEST_CONNECT)
        address = exchange.address
        refused: Exception = OSError("the host has no address")
        try:
            hosts = look_up(address.host).result(max(0.0, deadline - time.monotonic()))
            for host, seconds in shares(hosts, deadline):
                try:
                    return self._opened_at(host, address, time.monotonic() + seconds)
                except OSError as error:
                    refused = error
        except (OSError, ValueError, LookUpTimeout) as error:
            refused = error
        raise exchange.not_opened(refused) from refused

    def _opened_at(self, host: str, address: _Address, deadline: float) -> _Line:
        tunnel = self._trust.tunnel(address)
        seconds = max(0.001, deadline - time.monotonic())
        line = _Line(address, tunnel, socket.create_connection((host, address.port), timeout=seconds))
        try:
            line.shake(deadline)
        except BaseException:
            line.close()
            raise
        return line

    def _kept(self, exchange: _Exchange) -> _Line | None:
        for line in [] if exchange.request.fresh else reversed(list(self._idle)):
            if line.address == exchange.address and self._taken(line):
                if time.monotonic() - line.idle_since < _KEPT_FOR and line.is_quiet():
                    return line
                line.close()
        return None

    def _taken(self, line: _Line) -> bool:
        """Take it from the idle ones; whether this thread has it now, and no other."""
        return self._idle.pop(line, self) is None

    def _keep(self, line: _Line, exchange: _Exchange) -> None:
        if not exchange.leaves_open:
            line.close()
            return
        now = line.idle_since = time.monotonic()
        self._idle[line] = None
        idle = list(self._idle)
        for count, one in enumerate(idle):
            if not (self.closed or now - one.idle_since > _KEPT_FOR or count < len(idle) - _KEPT):
                break
            if self._taken(one):
                one.close()

    def close(self) -> None:
        """Refuse further requests. Those in progress go on to their end."""
        self.closed = True
        for line in list(self._idle):
            if self._taken(line):
                line.close()


# -------------------------------------------------------------------------------------------------------------- asyncio


class _AsyncLine(asyncio.Protocol):
    """A connection on the event loop. ``result`` is done when it is open, then whenever an answer is complete."""

    transport: asyncio.Transport | None = None
    expiry: asyncio.TimerHandle | None = None
    """The timer that closes it while it is idle."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        address: _Address,
        tunnel: Tunnel | None,
        lost: Callable[[_AsyncLine], None],
    ) -> None:
        self.address = address
        self.result: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._tunnel = tunnel
        self._lost = lost
        self._exchange: _Exchange | None = None
        self.closed = False

    def opened(self, opening: asyncio.Task[object]) -> None:
        """Pass on the error if the connection could not be opened."""
        if not opening.cancelled() and (error := opening.exception()) is not None:
            self._fail(error)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        if self.closed:
            self.transport.abort()
        elif self._tunnel is None:
            _settle(self.result)
        else:
            self._shake(self._tunnel, b"")

    def _shake(self, tunnel: Tunnel, data: bytes) -> None:
        assert self.transport is not None
        try:
            self.transport.write(tunnel.shake(data))
        except ssl.SSLError as error:
            self._fail(error)
        if tunnel.is_up:
            _settle(self.result)

    def ask(self, exchange: _Exchange) -> None:
        """Send the request; ``result`` is done when its answer is complete."""
        transport = self.transport
        if transport is None or transport.is_closing():
            raise exchange.broken(_CLOSED)
        if exchange.is_late:
            raise asyncio.TimeoutError
        self._exchange, self.result = exchange, self._loop.create_future()
        exchange.request.departure.has_come = True
        transport.write(exchange.data if self._tunnel is None else self._tunnel.seal(exchange.data))
        refused = transport.is_closing()
        # A selector's transport writes at once, or closes at once. Others do not say how much they wrote.
        if not refused or not isinstance(self._loop, asyncio.SelectorEventLoop):
            exchange.written = len(exchange.data)
        if refused:
            raise exchange.broken(_CLOSED)

    def data_received(self, data: bytes) -> None:
        exchange, tunnel = self._exchange, self._tunnel
        try:
            if exchange is not None:
                exchange.receive(tunnel, data)
                if exchange.has_ended:
                    self._exchange = None
                    _settle(self.result)
            elif tunnel is None:
                self.close()
            elif not tunnel.is_up:
                self._shake(tunnel, data)
            elif tunnel.open(data) != (b"", False):
                self.close()
        except (GetnetError, ssl.SSLError) as error:
            self._fail(error)
            self.close()

    def eof_received(self) -> None:
        if self._exchange is not None:
            self.data_received(b"")

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(exc or ConnectionError(_CLOSED))
        self.close()

    def _fail(self, error: BaseException) -> None:
        if not self.result.done():
            self.result.set_exception(error)

    def close(self) -> None:
        self.closed = True
        self.result.cancel()
        self._lost(self)
        if self.transport is not None:
            self.transport.abort()


class _Gate:
    """Lets ``places`` tasks pass at a time; the others wait in the order of their arrival."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self, loop: asyncio.AbstractEventLoop, deadline: float) -> None:
        """Wait for a slot. Raises ``asyncio.TimeoutError`` at ``deadline``."""
        if self._free:
            self._free -= 1
            return
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        try:
            await _wait(loop, turn, deadline)
        except BaseException:
            if turn in self._waiting:
                self._waiting.remove(turn)
            else:
                # It got a slot at the same moment.
                self.leave()
            raise

    def leave(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


class AsyncEngine:
    """``Engine`` on the running asyncio event loop."""

    def __init__(self, verify: Verify = True, pin_sha256: str | None = None) -> None:
        self.closed = False
        self._trust = _Trust(verify, pin_sha256)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opening = _Gate(_OPENING)
        self._idle: dict[_AsyncLine, None] = {}

    async def send(self, request: Request) -> Response:
        """Perform the effect ``Request``."""
        loop = self._running_loop()
        deadline = loop.time() + request.timeout
        while True:
            _check_open(self.closed)
            exchange = _Exchange(request)
            line, is_kept = await self._line(loop, exchange, deadline)
            try:
                line.ask(exchange)
                await _wait(loop, line.result, deadline)
                response = exchange.response()
                self._keep(loop, line, exchange)
                return response
            except asyncio.TimeoutError:
                failure: GetnetError = exchange.too_late()
            except OSError as error:
                failure = exchange.broken(error)
            except GetnetError as error:
                failure = error
            except BaseException:
                line.close()
                raise
            line.close()
            if not (is_kept and isinstance(failure, Disconnected)) or exchange.has_begun:
                raise failure

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        """Connections belong to the loop that they were opened on."""
        loop = asyncio.get_running_loop()
        if self._loop is None or self._loop.is_closed():
            self._loop, self._idle, self._opening = loop, {}, _Gate(_OPENING)
        if self._loop is not loop:
            raise LifecycleError("the account is used on another event loop: create an account for each loop")
        return loop

    async def _line(
        self, loop: asyncio.AbstractEventLoop, exchange: _Exchange, deadline: float
    ) -> tuple[_AsyncLine, bool]:
        """A connection for the request, and whether it has been used before."""
        kept = self._kept(exchange)
        if kept is not None:
            return kept, True
        try:
            await self._opening.enter(loop, deadline)
        except asyncio.TimeoutError:
            raise exchange.too_late() from None
        try:
            # One may have become free in the meantime.
            kept = self._kept(exchange)
            return (await self._opened(loop, exchange, deadline), False) if kept is None else (kept, True)
        finally:
            self._opening.leave()

    async def _opened(self, loop: asyncio.AbstractEventLoop, exchange: _Exchange, deadline: float) -> _AsyncLine:
        deadline = min(deadline, loop.time() + LONGEST_CONNECT)
        address = exchange.address
        refused: Exception = OSError("the host has no address")
        try:
            for host, seconds in shares(await _looked_up(loop, address.host, deadline), deadline):
                try:
                    return await self._opened_at(loop, host, address, loop.time() + seconds)
                except (OSError, asyncio.TimeoutError) as error:
                    refused = error
        except (OSError, ValueError, asyncio.TimeoutError) as error:
            refused = error
        raise exchange.not_opened(refused) from refused

    async def _opened_at(
        self, loop: asyncio.AbstractEventLoop, host: str, address: _Address, deadline: float
    ) -> _AsyncLine:
        line = _AsyncLine(loop, address, self._trust.tunnel(address), self._forget)
        opening = loop.create_task(loop.create_connection(lambda: line, host, address.port))
        opening.add_done_callback(line.opened)
        try:
            await _wait(loop, line.result, deadline)
        except BaseException:
            opening.cancel()
            line.close()
            raise
        return line

    def _kept(self, exchange: _Exchange) -> _AsyncLine | None:
        if exchange.request.fresh:
            return None
        line = next((one for one in reversed(self._idle) if one.address == exchange.address), None)
        if line is not None:
            self._forget(line)
        return line

    def _keep(self, loop: asyncio.AbstractEventLoop, line: _AsyncLine, exchange: _Exchange) -> None:
        if exchange.leaves_open and not (self.closed or line.closed) and len(self._idle) < _KEPT:
            self._idle[line] = None
            line.expiry = loop.call_later(_KEPT_FOR, line.close)
        else:
            line.close()

    def _forget(self, line: _AsyncLine) -> None:
        """Remove it from the idle ones."""
        self._idle.pop(line, None)
        if line.expiry is not None:
            line.expiry.cancel()
            line.expiry = None

    async def close(self) -> None:
        """Refuse further requests. Those in progress go on to their end."""
        self.closed = True
        for line in list(self._idle):
            line.close()
        # Their sockets are closed in the next iteration of the loop.
        await asyncio.sleep(0)


async def _looked_up(loop: asyncio.AbstractEventLoop, host: str, deadline: float) -> list[str]:
    found = look_up(host)
    if not found.done():
        known: asyncio.Future[None] = loop.create_future()

        def tell(_: object) -> None:
            # The loop may have ended in the meantime.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_settle, known)

        found.add_done_callback(tell)
        await _wait(loop, known, deadline)
    return found.result()


async def _wait(loop: asyncio.AbstractEventLoop, future: asyncio.Future[None], deadline: float) -> None:
    """Wait for ``future`` until ``deadline`` on the loop's clock, then ``asyncio.TimeoutError``."""
    timer = loop.call_at(deadline, _expire, future)
    try:
        await future
    finally:
        timer.cancel()
        if future.done() and not future.cancelled():
            # If this task was cancelled at the same moment, nobody else retrieves the exception.
            future.exception()


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _expire(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_exception(asyncio.TimeoutError())


def _check_open(closed: bool) -> None:
    if closed:
        raise LifecycleError("the client is closed: create a new one")
