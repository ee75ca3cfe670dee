"""Sends the HTTP requests of flows with httpx, blocking or on asyncio. Decides nothing and knows no API."""

from __future__ import annotations

import asyncio
import math
import ssl
import time
import zlib
from collections.abc import Callable

import httpx

from ..errors import (
    ConfigurationError,
    ConnectError,
    DeadlineExceeded,
    Disconnected,
    GetnetError,
    InvalidType,
    LifecycleError,
    MalformedResponse,
)
from ..flows.effects import Request, Response
from ..flows.http_calls import clean

__all__ = ["AsyncHttpClient", "HttpClient"]

_LONGEST_CONNECT = 10.0
"""Seconds for opening a connection, within the time-out of the whole."""
_LEAVING = "send_request_headers.started"
_GZIP = 16 + zlib.MAX_WBITS
"""Tells zlib that gzip comes, and nothing else."""


class HttpClient:
    """Sends requests in the calling thread. It closes the client that it made itself, and no other.

    Its own client verifies TLS, follows no redirect and takes no proxy or certificate from the environment; its
    connections are those of ``transport``, where one is given.
    """

    def __init__(
        self, client: httpx.Client | None = None, transport: Callable[[], httpx.BaseTransport] | None = None
    ) -> None:
        if client is not None and not isinstance(client, httpx.Client):
            raise InvalidType(f"http_client must be an httpx.Client, not {type(client).__name__}")
        self._own = client is None
        self._client = client or httpx.Client(trust_env=False, transport=transport() if transport else None)
        self.closed = False

    def send(self, request: Request) -> Response:
        """What the effect ``Request`` asks for."""
        _check_open(self.closed or self._client.is_closed)
        deadline = time.monotonic() + request.timeout
        try:
            return self._read(request, deadline)
        except httpx.HTTPError as error:
            translated = _translated(error, request)
        # Raised here, where the error of httpx is gone: it holds the request, and so the token.
        raise translated

    def _read(self, request: Request, deadline: float) -> Response:
        answer = self._client.send(_built(self._client, request), stream=True, follow_redirects=False)
        try:
            body = _Body(request, answer)
            for chunk in [answer.content] if answer.is_stream_consumed else answer.iter_raw():
                body.add(chunk)
                if time.monotonic() > deadline:
                    raise _too_late(request)
            return Response(answer.status_code, dict(answer.headers), body.whole())
        finally:
            answer.close()

    def close(self) -> None:
        """Refuse further requests, and close the client if it is our own."""
        self.closed = True
        if self._own:
            self._client.close()


class AsyncHttpClient:
    """Sends requests on the running asyncio event loop; otherwise as ``HttpClient``."""

    def __init__(
        self, client: httpx.AsyncClient | None = None, transport: Callable[[], httpx.AsyncBaseTransport] | None = None
    ) -> None:
        if client is not None and not isinstance(client, httpx.AsyncClient):
            raise InvalidType(f"http_client must be an httpx.AsyncClient, not {type(client).__name__}")
        self._own = client is None
        self._client = client or httpx.AsyncClient(trust_env=False, transport=transport() if transport else None)
        self.closed = False
        self._loop: asyncio.AbstractEventLoop | None = None

    async def send(self, request: Request) -> Response:
        """What the effect ``Request`` asks for."""
        _check_open(self.closed or self._client.is_closed)
        self._check_loop()
        translated: GetnetError
        try:
            return await asyncio.wait_for(self._read(request), request.timeout)
        except httpx.HTTPError as error:
            translated = _translated(error, request)
        except GetnetError:
            raise  # one of our own is a TimeoutError as well
        except asyncio.TimeoutError:
            translated = _too_late(request)
        # Raised here, where the error of httpx is gone: it holds the request, and so the token.
        raise translated

    def _check_loop(self) -> None:
        """Connections belong to the loop that they were opened on."""
        loop = asyncio.get_running_loop()
        if self._loop is None or self._loop.is_closed():
            self._loop = loop
        if self._loop is not loop:
            raise LifecycleError("the account or client is in use on another event loop: make one for each loop")

    async def _read(self, request: Request) -> Response:
        answer = await self._client.send(_built(self._client, request), stream=True, follow_redirects=False)
        try:
            body = _Body(request, answer)
            if answer.is_stream_consumed:
                body.add(answer.content)
            else:
                async for chunk in answer.aiter_raw():
                    body.add(chunk)
            return Response(answer.status_code, dict(answer.headers), body.whole())
        finally:
            await answer.aclose()

    async def close(self) -> None:
        """Refuse further requests, and close the client if it is our own."""
        self.closed = True
        if self._own:
            await self._client.aclose()


class _Body:
    """The body as it comes, unpacked within its bound: no more than that is ever made of what came.

    An answer that its client has read already, in a hook or in a transport that makes it up, is unpacked already.
    """

    def __init__(self, request: Request, answer: httpx.Response) -> None:
        self._request = request
        self._chunks: list[bytes] = []
        self._size = 0
        self._unpacker = None
        packed = answer.headers.get("content-encoding", "identity").strip().lower()
        if answer.is_stream_consumed or packed in ("", "identity"):
            return
        if packed not in ("gzip", "x-gzip"):
            raise MalformedResponse(f"the answer to {_shown(request)} is packed in a way that was not asked for")
        self._unpacker = zlib.decompressobj(_GZIP)

    def add(self, chunk: bytes) -> None:
        """Take what came.

        Raises:
            MalformedResponse: it is not packed as it is said to be, or makes the body too long.
        """
        room = self._request.max_body - self._size
        if self._unpacker is not None and chunk:
            if self._unpacker.eof:
                raise self._broken()
            try:
                chunk = self._unpacker.decompress(chunk, room + 1)
            except zlib.error:
                raise self._broken() from None
            if self._unpacker.unused_data:
                raise self._broken()
        if len(chunk) > room:
            raise MalformedResponse(
                f"the answer to {_shown(self._request)} is longer than {self._request.max_body} bytes: raise max_body "
                "if it is meant to be"
            )
        self._size += len(chunk)
        self._chunks.append(chunk)

    def whole(self) -> bytes:
        if self._unpacker is not None and self._chunks and not self._unpacker.eof:
            raise self._broken()
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)

    def _broken(self) -> MalformedResponse:
        return MalformedResponse(f"the answer to {_shown(self._request)} cannot be unpacked: it is not whole gzip")


def _built(client: httpx.Client | httpx.AsyncClient, request: Request) -> httpx.Request:
    timeout = httpx.Timeout(request.timeout, connect=min(request.timeout, _LONGEST_CONNECT))
    extensions: dict[str, object] = {"fresh": True} if request.fresh else {}
    if request.leave_by < math.inf:
        watch = _Watch(request)
        extensions["trace"] = watch if isinstance(client, httpx.Client) else watch.on_loop
    return client.build_request(
        request.method,
        request.url,
        headers={**request.headers, "Accept-Encoding": "gzip"},
        content=request.content or None,
        timeout=timeout,
        extensions=extensions,
    )


class _Watch:
    """Lets nothing of a request leave once its time is over."""

    def __init__(self, request: Request) -> None:
        self._request = request

    def __call__(self, event: str, _: object) -> None:
        if event.endswith(_LEAVING) and time.monotonic() >= self._request.leave_by:
            raise DeadlineExceeded(f"{_shown(self._request)} was not sent: it took too long to connect")

    async def on_loop(self, event: str, information: object) -> None:
        self(event, information)


def _check_open(closed: bool) -> None:
    if closed:
        raise LifecycleError("the client is closed")


def _shown(request: Request) -> str:
    return f"{request.method} {request.url}"


def _too_late(request: Request) -> DeadlineExceeded:
    return DeadlineExceeded(
        f"no whole answer to {_shown(request)} within {request.timeout:g} s", bytes_written=_perhaps_written(request)
    )


def _perhaps_written(request: Request) -> int:
    # How much left cannot be known above TLS and a client's buffers, so all of it is taken to have left.
    return max(1, len(request.content))


def _translated(error: httpx.HTTPError, request: Request) -> GetnetError:
    what = _shown(request)
    if isinstance(error, httpx.LocalProtocolError):
        # Its text quotes the header, which may be a secret.
        return ConfigurationError(f"{what} was not sent: a header of it is not valid HTTP")
    # It may quote what came, such as a line that is no HTTP.
    reason = clean(str(error), ()) or type(error).__name__
    if isinstance(error, httpx.ConnectError):
        if _refused_certificate(error):
            reason += "; the certificate is verified: for a private authority give an http_client that trusts it"
        return ConnectError(f"{what} could not connect: {reason}")
    if isinstance(error, httpx.ConnectTimeout):
        return ConnectError(f"{what} could not connect in time")
    if isinstance(error, (httpx.ProxyError, httpx.UnsupportedProtocol)):
        return ConnectError(f"{what} could not be sent: {reason}")
    if isinstance(error, httpx.PoolTimeout):
        return DeadlineExceeded(f"{what} was not sent: every connection of the client was busy")
    if isinstance(error, httpx.TimeoutException):
        return _too_late(request)
    return Disconnected(f"the link broke during {what}: {reason}", bytes_written=_perhaps_written(request))


def _refused_certificate(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
