"""A terminal on the local network, over HTTP: each write is a POST, and what is read is the body of its response.

The protocol of this link is our assumption (docs/assumptions.md). A response may be a stream: its bytes are handed on
as they come. What is written aside, such as a cancellation while a sale is being answered, is a request of its own,
whose response is dropped. It knows no message.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import queue
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx

from ..errors import (
    ConfigurationError,
    ConnectError,
    Disconnected,
    GetnetError,
    InvalidValue,
    PartialWrite,
    TransportError,
    UnexpectedReply,
    WriteTimeout,
)

__all__ = ["AsyncHttpTransport", "HttpTransport", "tls_context"]

log = logging.getLogger("getnet_pos.http")

_HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}


def tls_context(verify: bool | str | os.PathLike[str] | ssl.SSLContext, pin_sha256: str | None) -> ssl.SSLContext:
    """How a terminal's certificate is checked: by the system's CAs, by those in a file, or by its own SHA-256.

    A pinned certificate is taken whoever issued it, and no other is, whoever issued that. ``verify=False`` is refused
    without a pin: it would let anyone answer in the terminal's place.
    """
    if pin_sha256 is not None:
        pin = pin_sha256.replace(":", "").lower()
        if len(pin) != 64 or not set(pin) <= set("0123456789abcdef"):
            raise InvalidValue("pin_sha256 must be the SHA-256 of the certificate (DER): 64 hex digits")
        return _pinned_context(bytes.fromhex(pin))
    if isinstance(verify, ssl.SSLContext):
        return verify
    if verify is False:
        raise ConfigurationError("verify=False needs pin_sha256: without either, anyone could answer as the terminal")
    try:
        return ssl.create_default_context(cafile=None if verify is True else os.fspath(verify))
    except (OSError, ssl.SSLError, TypeError) as error:
        raise ConfigurationError(f"verify must be True, a file of CA certificates or an SSLContext: {error}") from error


def _pinned_context(pin: bytes) -> ssl.SSLContext:
    def check(certificate: bytes | None) -> None:
        if certificate is None or hashlib.sha256(certificate).digest() != pin:
            raise ssl.SSLCertVerificationError("the terminal's certificate is not the pinned one")

    class PinnedSocket(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            super().do_handshake(block)
            check(self.getpeercert(binary_form=True))

    class PinnedObject(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            check(self.getpeercert(binary_form=True))

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.sslsocket_class = PinnedSocket
    context.sslobject_class = PinnedObject
    return context


class _Endpoint:
    """What the blocking and the asyncio transport share."""

    def __init__(
        self,
        url: str,
        *,
        path: str = "/",
        verify: bool | str | os.PathLike[str] | ssl.SSLContext = True,
        pin_sha256: str | None = None,
        connect_timeout: float = 5.0,
    ) -> None:
        try:
            base = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise InvalidValue(f"the terminal's URL cannot be read: {error}") from error
        if base.scheme not in ("http", "https") or not base.host or base.userinfo:
            raise InvalidValue("the terminal's URL must be http://host:port or https://host:port, without credentials")
        if not path.startswith("/"):
            raise InvalidValue("path must begin with /")
        if pin_sha256 is not None and base.scheme != "https":
            raise InvalidValue("a certificate can only be pinned for an https:// URL")
        self._url = base if base.raw_path not in (b"", b"/") else base.copy_with(path=path)
        self.name = str(self._url)
        self._settings: dict[str, Any] = {
            "headers": _HEADERS,
            "timeout": httpx.Timeout(None, connect=connect_timeout),
            "trust_env": False,
            "follow_redirects": False,
            "verify": tls_context(verify, pin_sha256) if base.scheme == "https" else True,
        }

    def _not_open(self) -> Disconnected:
        return Disconnected(f"{self.name} is not open: poll the terminal first")

    def _status_error(self, status: int) -> UnexpectedReply:
        advice = (
            "a redirect is not followed: give the final URL" if 300 <= status < 400 else "check the URL and its path"
        )
        return UnexpectedReply(f"{self.name} answered HTTP status {status}: {advice}")

    def _failed(self, error: Exception, exchange: _Exchange) -> GetnetError:
        """The error of a request, by how much of it had left."""
        if isinstance(error, GetnetError):
            return error
        reason = str(error) or type(error).__name__
        if not exchange.started:
            return ConnectError(f"{self.name} cannot be reached ({reason}): check the address and the network")
        return PartialWrite(f"{self.name}: the request broke ({reason})", bytes_written=exchange.size)

    def _write_timeout(self, exchange: _Exchange) -> TransportError:
        if exchange.started:
            return PartialWrite(f"{self.name} did not take the whole request in time", bytes_written=exchange.size)
        return WriteTimeout(f"{self.name} did not take the request in time")

    def _check_sent(self, failure: list[GetnetError], exchange: _Exchange, aside: bool) -> None:
        """Raise what kept a request from leaving. What befalls it later is told to the reader of its response."""
        if failure and aside:
            log.warning("a request beside the one in progress failed: %s", failure[0])
        elif failure and not exchange.started:
            raise failure[0]

    def _ended(self) -> Disconnected:
        return Disconnected(f"{self.name} ended its response without the final message")

    def _item(self, item: object, deadline: float) -> bytes:
        if isinstance(item, bytes):
            return item
        # The end of a response matters to one who waits for more of it, not to one who looks whether anything came.
        waits = deadline > 0
        if item is _END and waits:
            raise self._ended()
        if isinstance(item, GetnetError) and waits:
            raise item
        return b""


class _Exchange:
    """One request: whether it has begun to leave, and whether it has left whole."""

    def __init__(self, size: int, on_sent: Callable[[], None]) -> None:
        self.size = size
        self.started = False
        self._on_sent = on_sent

    def note(self, event: str) -> None:
        if event.endswith("send_request_headers.started"):
            self.started = True
        elif event.endswith("send_request_body.complete"):
            self._on_sent()


_END = object()
_WOKEN = object()


class HttpTransport(_Endpoint):
    """Blocks the calling thread; each request runs in a thread of its own, so that waiting for it can be given up."""

    _client: httpx.Client | None = None

    def open(self) -> None:
        if self._client is None:
            self._client = httpx.Client(**self._settings)
            self._chunks: queue.SimpleQueue[object] = queue.SimpleQueue()

    def write(self, data: bytes, deadline: float, *, aside: bool = False) -> None:
        if self._client is None:
            raise self._not_open()
        sent = threading.Event()
        chunks: queue.SimpleQueue[object] = queue.SimpleQueue()
        if not aside:
            self._chunks = chunks
        exchange = _Exchange(len(data), sent.set)
        failure: list[GetnetError] = []
        thread = threading.Thread(
            target=self._request,
            args=(self._client, data, exchange, chunks, sent, failure),
            name="getnet-pos-http",
            daemon=True,
        )
        thread.start()
        if not sent.wait(max(0.0, deadline - time.monotonic())):
            raise self._write_timeout(exchange)
        self._check_sent(failure, exchange, aside)

    def _request(
        self,
        client: httpx.Client,
        data: bytes,
        exchange: _Exchange,
        chunks: queue.SimpleQueue[object],
        sent: threading.Event,
        failure: list[GetnetError],
    ) -> None:
        def trace(event: str, _: object) -> None:
            exchange.note(event)

        try:
            with client.stream("POST", self._url, content=data, extensions={"trace": trace}) as response:
                if response.status_code != 200:
                    raise self._status_error(response.status_code)
                for chunk in response.iter_bytes():
                    chunks.put(chunk)
        except (httpx.HTTPError, httpx.StreamError, OSError, RuntimeError, GetnetError) as error:
            failure.append(self._failed(error, exchange))
            chunks.put(failure[0])
        finally:
            chunks.put(_END)
            sent.set()

    def read(self, deadline: float) -> bytes:
        if self._client is None:
            raise self._not_open()
        try:
            left = deadline - time.monotonic()
            item = self._chunks.get(timeout=left) if left > 0 else self._chunks.get_nowait()
        except queue.Empty:
            return b""
        return self._item(item, deadline)

    def wake(self) -> None:
        if self._client is not None:
            self._chunks.put(_WOKEN)

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):
                client.close()


class AsyncHttpTransport(_Endpoint):
    """On the running event loop; each request is a task of its own."""

    _client: httpx.AsyncClient | None = None

    async def open(self) -> None:
        if self._client is None:
            self._client = httpx.AsyncClient(**self._settings)
            self._loop = asyncio.get_running_loop()
            self._chunks: asyncio.Queue[object] = asyncio.Queue()
            self._tasks: set[asyncio.Task[None]] = set()

    async def write(self, data: bytes, deadline: float, *, aside: bool = False) -> None:
        if self._client is None:
            raise self._not_open()
        sent: asyncio.Event = asyncio.Event()
        chunks: asyncio.Queue[object] = asyncio.Queue()
        exchange = _Exchange(len(data), sent.set)
        failure: list[GetnetError] = []
        task = asyncio.create_task(self._request(self._client, data, exchange, chunks, sent, failure))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if not aside:
            self._chunks = chunks
        try:
            await asyncio.wait_for(sent.wait(), max(0.001, deadline - time.monotonic()))
        except asyncio.TimeoutError:
            task.cancel()
            raise self._write_timeout(exchange) from None
        self._check_sent(failure, exchange, aside)

    async def _request(
        self,
        client: httpx.AsyncClient,
        data: bytes,
        exchange: _Exchange,
        chunks: asyncio.Queue[object],
        sent: asyncio.Event,
        failure: list[GetnetError],
    ) -> None:
        async def trace(event: str, _: object) -> None:
            exchange.note(event)

        try:
            async with client.stream("POST", self._url, content=data, extensions={"trace": trace}) as response:
                if response.status_code != 200:
                    raise self._status_error(response.status_code)
                async for chunk in response.aiter_bytes():
                    chunks.put_nowait(chunk)
        except (httpx.HTTPError, httpx.StreamError, OSError, RuntimeError, GetnetError) as error:
            failure.append(self._failed(error, exchange))
            chunks.put_nowait(failure[0])
        finally:
            chunks.put_nowait(_END)
            sent.set()

    async def read(self, deadline: float) -> bytes:
        if self._client is None:
            raise self._not_open()
        left = deadline - time.monotonic()
        try:
            item = await asyncio.wait_for(self._chunks.get(), left) if left > 0 else self._chunks.get_nowait()
        except (asyncio.TimeoutError, asyncio.QueueEmpty):
            return b""
        return self._item(item, deadline)

    def wake(self) -> None:
        if self._client is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._chunks.put_nowait, _WOKEN)

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await client.aclose()
