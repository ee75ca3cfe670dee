"""The HTTP connections of a cloud account: a new one for each command, and a few kept ones for everything else.

A kept connection may be closing at the other end in the very moment in which it is used again. For a question that
costs a repetition; for a command it would be a doubt. It decides nothing else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import httpx

from ..turns import QueueTurn

__all__ = ["AsyncConnections", "Connections"]

_KEPT = 50
"""How many connections are kept. The pool's work for each request grows with them."""
_KEPT_FOR = 4.0
"""Seconds that an idle connection is kept; servers close theirs from 5 s on."""
_OPENING = 50
"""How many may be between opening a connection and having sent the command. In a crowd the others wait, so that
none of them is late in the middle of it."""
_SENT = "send_request_body.complete"


def _kept() -> httpx.Limits:
    return httpx.Limits(max_connections=_KEPT, max_keepalive_connections=_KEPT, keepalive_expiry=_KEPT_FOR)


def _single() -> httpx.Limits:
    return httpx.Limits(max_connections=1, max_keepalive_connections=0)


class _Stream(httpx.SyncByteStream):
    """A body at whose end something else ends."""

    def __init__(self, body: Any, ended: Callable[[], object]) -> None:
        self._body, self._ended = body, ended

    def __iter__(self) -> Iterator[bytes]:
        yield from self._body

    def close(self) -> None:
        try:
            self._body.close()
        finally:
            self._ended()


class _AsyncStream(httpx.AsyncByteStream):
    def __init__(self, body: Any, ended: Callable[[], Awaitable[object]]) -> None:
        self._body, self._ended = body, ended

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._body:
            yield part

    async def aclose(self) -> None:
        try:
            await self._body.aclose()
        finally:
            await self._ended()


class Connections(httpx.BaseTransport):
    """For a blocking client. A request with the extension ``fresh`` gets a connection of its own."""

    def __init__(self) -> None:
        self._context = httpx.create_ssl_context(trust_env=False)
        self._common = httpx.HTTPTransport(verify=self._context, trust_env=False, limits=_kept())
        self._places, self._opening = QueueTurn(_KEPT), QueueTurn(_OPENING)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        fresh = request.extensions.get("fresh")
        transport, turn = self._common, self._places
        if fresh:
            transport = httpx.HTTPTransport(verify=self._context, trust_env=False, limits=_single())
            turn = self._opening
        place = turn.place()

        def ended() -> None:
            place.leave()
            if fresh:
                transport.close()

        watch = request.extensions.get("trace")

        def trace(event: str, information: object) -> None:
            if watch is not None:
                watch(event, information)
            if event.endswith(_SENT):
                place.leave()

        if fresh:
            request.extensions = {**request.extensions, "trace": trace}
        try:
            place.wait(None)
            response = transport.handle_request(request)
        except BaseException:
            ended()
            raise
        response.stream = _Stream(response.stream, ended)
        return response

    def close(self) -> None:
        self._common.close()


class AsyncConnections(httpx.AsyncBaseTransport):
    """The same for a client on asyncio."""

    def __init__(self) -> None:
        self._context = httpx.create_ssl_context(trust_env=False)
        self._common = httpx.AsyncHTTPTransport(verify=self._context, trust_env=False, limits=_kept())
        self._places, self._opening = QueueTurn(_KEPT), QueueTurn(_OPENING)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        fresh = request.extensions.get("fresh")
        transport, turn = self._common, self._places
        if fresh:
            transport = httpx.AsyncHTTPTransport(verify=self._context, trust_env=False, limits=_single())
            turn = self._opening
        place = turn.place()

        async def ended() -> None:
            place.leave()
            if fresh:
                await transport.aclose()

        watch = request.extensions.get("trace")

        async def trace(event: str, information: object) -> None:
            if watch is not None:
                await watch(event, information)
            if event.endswith(_SENT):
                place.leave()

        if fresh:
            request.extensions = {**request.extensions, "trace": trace}
        try:
            await place.wait_async(None)
            response = await transport.handle_async_request(request)
        except BaseException:
            await ended()
            raise
        response.stream = _AsyncStream(response.stream, ended)
        return response

    async def aclose(self) -> None:
        await self._common.aclose()
