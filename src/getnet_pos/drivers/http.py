"""Sends the HTTP requests of flows through a client of httpx, or one of its shape. Decides nothing and knows no API.

How much of a request left cannot be known above a client's buffers: what was not refused before is taken to have left.
"""

from __future__ import annotations

import asyncio
import math
import ssl
import time
from typing import Any, Final

import httpx

from ..errors import (
    ConfigurationError,
    ConnectError,
    DeadlineExceeded,
    Disconnected,
    GetnetError,
    InvalidType,
    LifecycleError,
)
from ..flows.effects import Request, Response
from ..flows.http_calls import clean
from .bodies import LONGEST_CONNECT, Body, shown, too_late

__all__ = ["AsyncHttpClient", "HttpClient"]

_LEAVING: Final = "send_request_headers.started"


class HttpClient:
    """Sends requests in the calling thread. It closes the client that it made itself, and no other.

    Its own client verifies TLS, follows no redirect and takes no proxy or certificate from the environment. A client of
    the caller's need not be of httpx itself: what counts is that it has the same methods.
    """

    def __init__(self, client: httpx.Client | None = None) -> None:
        if client is not None and not _has(client, "build_request", "send", "is_closed", "close"):
            raise InvalidType(f"http_client must be an httpx.Client, not {type(client).__name__}")
        self._own = client is None
        self._client = client or httpx.Client(trust_env=False)
        self.closed = False

    def send(self, request: Request) -> Response:
        """What the effect ``Request`` asks for."""
        _check_open(self.closed or self._client.is_closed)
        deadline = time.monotonic() + request.timeout
        try:
            return self._read(request, deadline)
        except Exception as error:
            if (translated := _translated(error, request)) is None:
                raise
        # Raised here, where the error of the client is gone: it holds the request, and so the token.
        raise translated

    def _read(self, request: Request, deadline: float) -> Response:
        answer = self._client.send(_built(self._client, request), stream=True, follow_redirects=False)
        try:
            body = _body(request, answer)
            for chunk in [answer.content] if answer.is_stream_consumed else answer.iter_raw():
                body.add(chunk)
                if time.monotonic() > deadline:
                    raise too_late(request, _perhaps_written(request))
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

    def __init__(self, client: httpx.AsyncClient | None = None) -> None:
        if client is not None and not _has(client, "build_request", "send", "is_closed", "aclose"):
            raise InvalidType(f"http_client must be an httpx.AsyncClient, not {type(client).__name__}")
        self._own = client is None
        self._client = client or httpx.AsyncClient(trust_env=False)
        self.closed = False
        self._loop: asyncio.AbstractEventLoop | None = None

    async def send(self, request: Request) -> Response:
        """What the effect ``Request`` asks for."""
        _check_open(self.closed or self._client.is_closed)
        self._check_loop()
        translated: GetnetError | None
        try:
            return await asyncio.wait_for(self._read(request), request.timeout)
        except GetnetError:
            raise  # one of our own is a TimeoutError as well
        except asyncio.TimeoutError:
            translated = too_late(request, _perhaps_written(request))
        except Exception as error:
            if (translated := _translated(error, request)) is None:
                raise
        # Raised here, where the error of the client is gone: it holds the request, and so the token.
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
            body = _body(request, answer)
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


def _has(client: object, *names: str) -> bool:
    return all(hasattr(client, name) for name in names)


def _body(request: Request, answer: httpx.Response) -> Body:
    """An answer that its client has read already, in a hook or in a transport that makes it up, is unpacked already."""
    return Body(request, "" if answer.is_stream_consumed else answer.headers.get("content-encoding", ""))


def _built(client: httpx.Client | httpx.AsyncClient, request: Request) -> httpx.Request:
    seconds = request.timeout
    request.departure.has_come = True  # above a client's connections it is not known
    more: dict[str, Any] = {}
    if request.departure.by < math.inf:
        watch = _Watch(request)
        more["extensions"] = {"trace": watch if isinstance(client, httpx.Client) else watch.on_loop}
    return client.build_request(
        request.method,
        request.url,
        headers={**request.headers, "Accept-Encoding": "gzip"},
        content=request.content or None,
        timeout=(min(seconds, LONGEST_CONNECT), seconds, seconds, seconds),
        **more,
    )


class _Watch:
    """Lets nothing of a request leave once its time is over, where the client tells what it is about to do."""

    def __init__(self, request: Request) -> None:
        self._request = request

    def __call__(self, event: str, _: object) -> None:
        if event.endswith(_LEAVING) and time.monotonic() >= self._request.departure.by:
            raise DeadlineExceeded(f"{shown(self._request)} was not sent: it took too long to connect")

    async def on_loop(self, event: str, information: object) -> None:
        self(event, information)


def _check_open(closed: bool) -> None:
    if closed:
        raise LifecycleError("the client is closed")


def _perhaps_written(request: Request) -> int:
    return max(1, len(request.content))


def _translated(error: Exception, request: Request) -> GetnetError | None:
    """What an error of the client means, which is known by its name; ``None`` where it is none of the client's.

    Some clients let errors of the socket through.
    """
    names = {kind.__name__ for kind in type(error).__mro__}
    if isinstance(error, GetnetError) or not ("HTTPError" in names or isinstance(error, OSError)):
        return None
    what = shown(request)
    if "LocalProtocolError" in names:
        # Its text quotes the header, which may be a secret.
        return ConfigurationError(f"{what} was not sent: a header of it is not valid HTTP")
    # It may quote what came, such as a line that is no HTTP.
    reason = clean(str(error), ()) or type(error).__name__
    if "ConnectError" in names:
        if _refused_certificate(error):
            reason += "; the certificate is verified: for a private authority give an http_client that trusts it"
        return ConnectError(f"{what} could not connect: {reason}")
    if "ConnectTimeout" in names:
        return ConnectError(f"{what} could not connect in time")
    if names & {"ProxyError", "UnsupportedProtocol"}:
        return ConnectError(f"{what} could not be sent: {reason}")
    if "PoolTimeout" in names:
        return DeadlineExceeded(f"{what} was not sent: every connection of the client was busy")
    if "TimeoutException" in names:
        return too_late(request, _perhaps_written(request))
    return Disconnected(f"the link broke during {what}: {reason}", bytes_written=_perhaps_written(request))


def _refused_certificate(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
