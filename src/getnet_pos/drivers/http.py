"""Performs the effects of flows over HTTP with httpx, blocking or on asyncio. Decides nothing and knows no API."""

from __future__ import annotations

import asyncio
import inspect
import ssl
import threading
import time
from collections import deque
from concurrent.futures import Future
from typing import TypeVar

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
from ..flows.http_effects import Call, Compute, Exclusive, HttpEffect, HttpFlow, Now, Request, Response, Sleep
from .loop import run, run_async

__all__ = ["AsyncHttpDriver", "HttpDriver", "QueueTurn"]

T = TypeVar("T")

_LONGEST_CONNECT = 10.0
"""Seconds for opening a connection, within the time-out of the whole."""


class QueueTurn:
    """A lock that threads and tasks of any event loop wait for in the order of their coming.

    So many as there are ``places`` may hold it at a time.
    """

    def __init__(self, places: int = 1) -> None:
        self._guard = threading.Lock()
        self._free = places
        self._waiting: deque[Future[None]] = deque()

    def _join(self) -> Future[None] | None:
        with self._guard:
            if self._free:
                self._free -= 1
                return None
            mine: Future[None] = Future()
            self._waiting.append(mine)
            return mine

    def take(self) -> None:
        """Wait for the turn in this thread."""
        mine = self._join()
        if mine is not None:
            try:
                mine.result()
            except BaseException:
                self._leave(mine)
                raise

    async def take_async(self) -> None:
        """Wait for the turn in this task."""
        mine = self._join()
        if mine is not None:
            try:
                await asyncio.wrap_future(mine)
            except BaseException:
                self._leave(mine)
                raise

    def _leave(self, mine: Future[None]) -> None:
        # An interrupted waiter may have been given the turn in the same moment: it passes it on.
        if not mine.cancel():
            self.give()

    def give(self) -> None:
        """Let the next one have the turn."""
        with self._guard:
            while self._waiting:
                following = self._waiting.popleft()
                if following.set_running_or_notify_cancel():
                    following.set_result(None)
                    return
            self._free += 1


class HttpDriver:
    """Runs flows in the calling thread. It closes the client that it made itself, and no other.

    Its own client verifies TLS, follows no redirect and takes no proxy or certificate from the environment.
    """

    def __init__(self, client: httpx.Client | None = None) -> None:
        if client is not None and not isinstance(client, httpx.Client):
            raise InvalidType(f"http_client must be an httpx.Client, not {type(client).__name__}")
        self._own = client is None
        self._client = httpx.Client(trust_env=False) if client is None else client
        self._closed = False

    def run(self, flow: HttpFlow[T]) -> T:
        """Run ``flow`` to its end; what it raises is raised here, and what interrupts it ends it."""
        return run(flow, self.perform)

    def perform(self, effect: HttpEffect) -> object:
        """The result of one effect."""
        match effect:
            case Request():
                return self._send(effect)
            case Now():
                return time.monotonic()
            case Sleep(seconds):
                time.sleep(seconds)
            case Compute(function):
                return function()
            case Call(function, read):
                result = function()
                if inspect.iscoroutine(result):
                    result.close()
                    raise ConfigurationError("an async function needs the async client")
                return read(result)
            case Exclusive(turn, flow):
                turn.take()
                try:
                    return self.run(flow)
                finally:
                    turn.give()
        return None

    def _send(self, request: Request) -> Response:
        _check_open(self._closed or self._client.is_closed)
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
            body = _Body(request)
            for chunk in answer.iter_bytes():
                body.add(chunk)
                if time.monotonic() > deadline:
                    raise _too_late(request)
            return Response(answer.status_code, dict(answer.headers), body.whole())
        finally:
            answer.close()

    def close(self) -> None:
        """Refuse further requests, and close the client if it is our own."""
        self._closed = True
        if self._own:
            self._client.close()


class AsyncHttpDriver:
    """Runs flows on the running asyncio event loop. It closes the client that it made itself, and no other.

    Its own client verifies TLS, follows no redirect and takes no proxy or certificate from the environment.
    """

    def __init__(self, client: httpx.AsyncClient | None = None) -> None:
        if client is not None and not isinstance(client, httpx.AsyncClient):
            raise InvalidType(f"http_client must be an httpx.AsyncClient, not {type(client).__name__}")
        self._own = client is None
        self._client = httpx.AsyncClient(trust_env=False) if client is None else client
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run(self, flow: HttpFlow[T]) -> T:
        """Run ``flow`` to its end; what it raises is raised here, and a cancellation ends it."""
        return await run_async(flow, self.perform)

    async def perform(self, effect: HttpEffect) -> object:
        """The result of one effect."""
        match effect:
            case Request():
                return await self._send(effect)
            case Now():
                return time.monotonic()
            case Sleep(seconds):
                await asyncio.sleep(seconds)
            case Compute(function):
                return await asyncio.to_thread(function)
            case Call(function, read):
                result = function()
                return read(await result if inspect.isawaitable(result) else result)
            case Exclusive(turn, flow):
                await turn.take_async()
                try:
                    return await self.run(flow)
                finally:
                    turn.give()
        return None

    async def _send(self, request: Request) -> Response:
        _check_open(self._closed or self._client.is_closed)
        self._check_loop()
        translated: GetnetError
        try:
            return await asyncio.wait_for(self._read(request), request.timeout)
        except httpx.HTTPError as error:
            translated = _translated(error, request)
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
            body = _Body(request)
            async for chunk in answer.aiter_bytes():
                body.add(chunk)
            return Response(answer.status_code, dict(answer.headers), body.whole())
        finally:
            await answer.aclose()

    async def close(self) -> None:
        """Refuse further requests, and close the client if it is our own."""
        self._closed = True
        if self._own:
            await self._client.aclose()


class _Body:
    """The body as it comes, within its bound."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._chunks: list[bytes] = []
        self._size = 0

    def add(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > self._request.max_body:
            raise MalformedResponse(
                f"the answer to {_shown(self._request)} is longer than {self._request.max_body} bytes: raise max_body "
                "if it is meant to be"
            )
        self._chunks.append(chunk)

    def whole(self) -> bytes:
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)


def _built(client: httpx.Client | httpx.AsyncClient, request: Request) -> httpx.Request:
    timeout = httpx.Timeout(request.timeout, connect=min(request.timeout, _LONGEST_CONNECT))
    return client.build_request(
        request.method,
        request.url,
        headers=request.headers,
        content=request.content or None,
        timeout=timeout,
        extensions={"fresh": True} if request.fresh else None,
    )


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
    reason = str(error) or type(error).__name__
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
    if isinstance(error, httpx.DecodingError):
        return MalformedResponse(f"the answer to {what} cannot be unpacked: {reason}")
    return Disconnected(f"the link broke during {what}: {reason}", bytes_written=_perhaps_written(request))


def _refused_certificate(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
