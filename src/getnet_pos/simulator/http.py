"""The virtual terminal behind an HTTP server (docs/assumptions.md: this link is our assumption). It decides nothing.

A POST contains one command. Its response is streamed: everything that the terminal sends, up to the reply.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import queue
import socket
import ssl
import threading
from collections.abc import Iterable
from typing import Any

from ..codec import Decoder
from ..errors import InvalidValue
from ..messages import Ack, CommandMessage, LastVoucher, Reply
from .asgi import serve_until_closed
from .faults import Frames
from .network import ANY_NETWORK, NetworkFault, NetworkFaultKind, Trouble
from .server import GAP, Port, Server
from .tcp import RESET_ON_CLOSE, listening
from .terminal import VirtualTerminal

__all__ = ["HttpServer"]

_AFTERWARDS = frozenset({NetworkFaultKind.STATUS, NetworkFaultKind.REDIRECT, NetworkFaultKind.ONE_OBJECT})
"""Faults whose response only begins once the terminal has carried out the command."""


class HttpServer(Server):
    """Serves a ``VirtualTerminal`` at ``url``; ``port=0`` chooses a free one.

    ``tls`` is the server's ``ssl.SSLContext``, for ``https``. ``keep_alive`` is how long an idle connection is kept
    open, in seconds. Two commands may run at once, such as a sale and its cancellation; each has its own response.

    Examples:
        >>> from getnet_pos.simulator import HttpServer, VirtualTerminal
        >>> with HttpServer(VirtualTerminal(), gap=0) as server:
        ...     with Connector.create_http(server.url, journal=MemoryJournal()) as pos:
        ...         pos.polling().approved
        True
    """

    def __init__(
        self,
        terminal: VirtualTerminal,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        path: str = "/",
        tls: ssl.SSLContext | None = None,
        keep_alive: float = 5.0,
        gap: float = GAP,
        faults: Iterable[NetworkFault] = (),
    ) -> None:
        super().__init__(terminal, gap=gap)
        self._host, self._number = host, port
        self._path, self._tls, self._keep_alive = path, tls, keep_alive
        self._trouble = Trouble(frozenset(NetworkFaultKind))
        for fault in faults:
            self.inject(fault)

    @property
    def url(self) -> str:
        """The URL for the register, with the path."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'https' if self._tls else 'http'}://{host}:{self._number}{self._path}"

    @property
    def address(self) -> tuple[str, int]:
        """The host and the port."""
        return self._host, self._number

    def inject(self, fault: NetworkFault) -> None:
        """Add a fault of the network."""
        if fault.kind is NetworkFaultKind.SLOW_CLOSE and self._tls is not None:
            raise InvalidValue("a slow-close fault cannot happen over TLS: serve without tls=")
        self._trouble.inject(fault)

    def _opened(self) -> Port:
        listener = listening(self._host, self._number)
        self._number = listener.getsockname()[1]
        return _HttpPort(listener, self._path, self._tls, self._keep_alive, self._trouble)


class _Exchange:
    """A request, and what the terminal sends in response. ``None`` in ``said`` means that the client has left."""

    def __init__(self, code: int | None, fault: NetworkFault | None) -> None:
        self.code = code
        self.fault = fault
        self.acknowledged = False
        self.said: asyncio.Queue[tuple[bytes, bool] | None] = asyncio.Queue()

    def is_ended_by(self, message: object) -> bool:
        """Whether the message ends the response. The late reply to an earlier request may be in it, and does not."""
        if isinstance(message, Reply):
            # The last voucher may have the function code of the recorded operation.
            return self.code in (None, LastVoucher.code) or message.function_code in (self.code, 0)
        return isinstance(message, Ack) and not message.received


class _HttpPort:
    """An HTTP server in a thread of its own. Only the queues are shared with other threads."""

    def __init__(
        self, listener: socket.socket, path: str, tls: ssl.SSLContext | None, keep_alive: float, trouble: Trouble
    ) -> None:
        self._listener = listener
        self._path, self._tls, self._keep_alive = path, tls, keep_alive
        self._trouble = trouble
        self._heard: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._exchanges: list[_Exchange] = []
        """Those whose response is not complete, the oldest first."""
        self._frames = Frames()
        self._loop = asyncio.new_event_loop()
        self._closing = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="virtual terminal's HTTP server", daemon=True)
        self._thread.start()

    # ----------------------------------------------------------------------------- for the thread that drives terminals

    def wait(self, timeout: float | None) -> bytes:
        with contextlib.suppress(queue.Empty):
            return self._heard.get(timeout=timeout) if timeout != 0 else self._heard.get_nowait()
        return b""

    def write(self, data: bytes) -> None:
        self._loop.call_soon_threadsafe(self._say, data)

    def wake(self) -> None:
        self._heard.put(b"")

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()

    # --------------------------------------------------------------------------------------------- the server's thread

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()
            self._listener.close()

    async def _serve(self) -> None:
        await serve_until_closed(
            self._answer,
            self._listener,
            self._closing,
            tls=self._tls,
            timeout_keep_alive=self._keep_alive,
        )
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        """The ASGI application: handle one request."""
        if scope["path"] != self._path or scope["method"] != "POST":
            await _respond(send, 404 if scope["path"] != self._path else 405)
            return
        body, more = b"", True
        while more:
            event = await receive()
            body, more = body + event.get("body", b""), event.get("more_body", False)
        codes = [message.code for message in Decoder().feed(body) if isinstance(message, CommandMessage)]
        exchange = _Exchange(codes[0] if codes else None, self._trouble.take(codes[0]) if codes else None)
        self._exchanges.append(exchange)
        watching = asyncio.create_task(_watch_for_disconnect(exchange, receive))
        self._heard.put(body)
        try:
            await _stream(exchange, scope, send)
        finally:
            watching.cancel()
            if exchange in self._exchanges:
                self._exchanges.remove(exchange)

    def _say(self, data: bytes) -> None:
        """Add each message to the response that it belongs to."""
        for piece in self._frames.feed(data):
            messages = Decoder().feed(piece)
            message = messages[-1] if messages else None
            exchange = self._addressee(message)
            if exchange is None:
                continue
            exchange.acknowledged = True
            ends = exchange.is_ended_by(message)
            exchange.said.put_nowait((piece, ends))
            if ends:
                self._exchanges.remove(exchange)

    def _addressee(self, message: object) -> _Exchange | None:
        if isinstance(message, Ack):
            waiting = [exchange for exchange in self._exchanges if not exchange.acknowledged]
        elif isinstance(message, Reply):
            waiting = [exchange for exchange in self._exchanges if exchange.code == message.function_code]
        else:
            waiting = []
        return next(iter(waiting or self._exchanges), None)


async def _watch_for_disconnect(exchange: _Exchange, receive: Any) -> None:
    await receive()  # After the body, only a disconnect can arrive.
    exchange.said.put_nowait(None)


async def _respond(send: Any, status: int, location: bytes | None = None, body: bytes = b"") -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if location is not None:
        headers.append((b"location", location))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _stream(exchange: _Exchange, scope: Any, send: Any) -> None:
    """Send what the terminal says, or what a fault makes of it, as the response."""
    fault, connection = exchange.fault, scope["connection"]
    kind = None if fault is None else fault.kind
    if fault is not None and kind in ANY_NETWORK and not fault.at_reply:
        await _befall(exchange, fault, connection)
        return
    began = kind in _AFTERWARDS
    while (said := await exchange.said.get()) is not None:
        data, ends = said
        if not began:
            began = True
            headers = [(b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
        if ends and fault is not None:
            await _end(exchange, fault, scope, send, data)
            return
        if kind not in _AFTERWARDS:
            await send({"type": "http.response.body", "body": data, "more_body": not ends})
        if ends:
            return


async def _end(exchange: _Exchange, fault: NetworkFault, scope: Any, send: Any, reply: bytes) -> None:
    """Do what the fault does instead of the reply."""
    if fault.kind is NetworkFaultKind.STATUS:
        await _respond(send, fault.status)
    elif fault.kind is NetworkFaultKind.REDIRECT:
        await _respond(send, 307, location=scope["path"].encode())
    elif fault.kind is NetworkFaultKind.ONE_OBJECT:
        await _respond(send, 200, body=reply)
    elif fault.kind is NetworkFaultKind.CUT:
        await send({"type": "http.response.body", "body": b""})
    else:
        await _befall(exchange, fault, scope["connection"], reply)


async def _befall(exchange: _Exchange, fault: NetworkFault, connection: asyncio.Transport, reply: bytes = b"") -> None:
    """Break a connection, and wait until it is closed."""
    if fault.kind is NetworkFaultKind.BROKEN_CHUNK:
        connection.write(b"%x\r\n%b" % (len(reply), reply[: len(reply) // 2]))
        connection.close()
    elif fault.kind is NetworkFaultKind.RESET:
        _reset(connection)
    else:
        if fault.kind is NetworkFaultKind.SLOW_CLOSE:
            connection.write_eof()
        if fault.seconds < math.inf:
            end = connection.close if fault.kind is NetworkFaultKind.SLOW_CLOSE else lambda: _reset(connection)
            asyncio.get_running_loop().call_later(fault.seconds, end)
    while await exchange.said.get() is not None:
        pass


def _reset(connection: asyncio.Transport) -> None:
    connection.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    connection.abort()
