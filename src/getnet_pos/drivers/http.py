"""Sends the HTTP requests of flows through an httpx client, or one with the same methods. It decides nothing.

A client hides how much of a request left: unless it failed before sending, all of it counts as sent.
"""

from __future__ import annotations

import asyncio
import math
import socket
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
    """Sends requests in the calling thread. It closes only a client that it made itself.

    Its own client verifies TLS, follows no redirects and ignores proxies and certificates in the environment. The
    caller's client may be any object with the methods of an httpx client.
    """

    def __init__(self, client: httpx.Client | None = None) -> None:
        if client is not None and not _has(client, "build_request", "send", "is_closed", "close"):
            raise InvalidType(f"http_client must be an httpx.Client, not {type(client).__name__}")
        self._own = client is None
        self._client = client or httpx.Client(trust_env=False)
        self.closed = False

    def send(self, request: Request) -> Response:
        """Perform the effect ``Request``."""
        _check_open(self.closed or self._client.is_closed)
        deadline = time.monotonic() + request.timeout
        try:
            return self._read(request, deadline)
        except Exception as error:
            if (translated := _translated(error, request)) is None:
                raise
        # Raised here, without the client's error, which has the request and so the token.
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
    """``HttpClient`` on the running asyncio event loop."""

    def __init__(self, client: httpx.AsyncClient | None = None) -> None:
        if client is not None and not _has(client, "build_request", "send", "is_closed", "aclose"):
            raise InvalidType(f"http_client must be an httpx.AsyncClient, not {type(client).__name__}")
        self._own = client is None
        self._client = client or httpx.AsyncClient(trust_env=False)
        self.closed = False
        self._loop: asyncio.AbstractEventLoop | None = None

    async def send(self, request: Request) -> Response:
        """Perform the effect ``Request``."""
        _check_open(self.closed or self._client.is_closed)
        self._check_loop()
        translated: GetnetError | None
        try:
            return await asyncio.wait_for(self._read(request), request.timeout)
        except GetnetError:
            raise  # DeadlineExceeded is a TimeoutError, too
        except asyncio.TimeoutError:
            translated = too_late(request, _perhaps_written(request))
        except Exception as error:
            if (translated := _translated(error, request)) is None:
                raise
        # Raised here, without the client's error, which has the request and so the token.
        raise translated

    def _check_loop(self) -> None:
        """Connections belong to the loop that they were opened on."""
        loop = asyncio.get_running_loop()
        if self._loop is None or self._loop.is_closed():
            self._loop = loop
        if self._loop is not loop:
            raise LifecycleError(
                "the account or client is used on another event loop: create an account or client for each loop"
            )

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
    """The body of an answer. If the client has already read it, in a hook or a test transport, it is decompressed."""
    return Body(request, "" if answer.is_stream_consumed else answer.headers.get("content-encoding", ""))


def _built(client: httpx.Client | httpx.AsyncClient, request: Request) -> httpx.Request:
    seconds = request.timeout
    request.departure.has_come = True  # the client does not say when a byte leaves
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
    """Stops a request before it leaves if its time is over, with clients that report their steps."""

    def __init__(self, request: Request) -> None:
        self._request = request

    def __call__(self, event: str, _: object) -> None:
        if event.endswith(_LEAVING) and time.monotonic() >= self._request.departure.by:
            raise DeadlineExceeded(f"{shown(self._request)} was not sent: connecting took too long")

    async def on_loop(self, event: str, information: object) -> None:
        self(event, information)


def _check_open(closed: bool) -> None:
    if closed:
        raise LifecycleError("the client is closed: create a new one")


def _perhaps_written(request: Request) -> int:
    return max(1, len(request.content))


def _translated(error: Exception, request: Request) -> GetnetError | None:
    """Our error for an error of the client, recognised by its name; ``None`` for any other error.

    Some clients pass on socket errors.
    """
    names = {kind.__name__ for kind in type(error).__mro__}
    if isinstance(error, GetnetError) or not ("HTTPError" in names or isinstance(error, OSError)):
        return None
    what = shown(request)
    if "LocalProtocolError" in names:
        # Its text quotes the header, which may be a secret.
        return ConfigurationError(f"{what} was not sent: one of its headers is not valid HTTP")
    # Its text may quote what arrived, such as a line that is not HTTP.
    reason = clean(str(error), ()) or type(error).__name__
    if "ConnectError" in names:
        if _is_caused_by(error, socket.gaierror):
            return ConnectError(
                f"the host cannot be found, and nothing was sent: check the address, the proxy and the network ({what})"
            )
        if _is_caused_by(error, ssl.SSLCertVerificationError):
            reason += "; for a certificate of a private authority pass an http_client that trusts it"
        return ConnectError(f"{what} could not connect: check the address, the port and the network ({reason})")
    if "ConnectTimeout" in names:
        return ConnectError(f"{what} could not connect in time: check the address, the port and the network")
    if names & {"ProxyError", "UnsupportedProtocol"}:
        return ConnectError(f"{what} could not be sent: {reason}")
    if "PoolTimeout" in names:
        return DeadlineExceeded(f"{what} was not sent: all connections of the client were busy")
    if "TimeoutException" in names:
        return too_late(request, _perhaps_written(request))
    return Disconnected(f"the connection failed during {what}: {reason}", bytes_written=_perhaps_written(request))


def _is_caused_by(error: BaseException | None, kind: type[BaseException]) -> bool:
    while error is not None:
        if isinstance(error, kind):
            return True
        error = error.__cause__ or error.__context__
    return False
