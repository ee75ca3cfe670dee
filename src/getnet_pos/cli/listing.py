"""Lists the terminals of several merchants at once, and shows its progress."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import httpx

from ..equipment import AsyncEquipmentClient
from ..errors import GetnetError
from ..messages.terminals import TerminalList
from .credentials import api_token
from .ends import counted
from .screen import Screen

__all__ = ["listed"]

_AT_ONCE = 8
"""How many merchants are queried at a time."""


async def listed(
    merchants: list[str], address: str, token_url: str | None, timeout: float, screen: Screen
) -> tuple[dict[str, TerminalList], dict[str, GetnetError]]:
    """The listings and the errors, both in the order of ``merchants``."""
    found: dict[str, TerminalList] = {}
    errors: dict[str, GetnetError] = {}
    received = 0
    places = asyncio.Semaphore(_AT_ONCE)
    whose = f"merchant {merchants[0]}" if len(merchants) == 1 else f"{len(merchants)} merchants"

    def tell() -> None:
        done = f", {len(found) + len(errors)} done" if len(merchants) > 1 else ""
        count = sum(map(len, found.values()))
        screen.update(f"terminals of {whose}{done}: {received / 1e6:.1f} MB, {counted(count, 'terminal')} ...")

    def more(size: int) -> None:
        nonlocal received
        received += size
        tell()

    async def ask(merchant: str) -> None:
        async with places:
            try:
                found[merchant] = await api.list_active_terminals(merchant)
            except GetnetError as error:
                errors[merchant] = error
            tell()

    transport = _Counting(httpx.AsyncHTTPTransport(trust_env=False), more)
    async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
        api = AsyncEquipmentClient(address, token=api_token(token_url), http_client=client, timeout=timeout)
        with screen.waiting(f"terminals of {whose} ..."):
            await asyncio.gather(*map(ask, merchants))
    return {m: found[m] for m in merchants if m in found}, {m: errors[m] for m in merchants if m in errors}


class _Counting(httpx.AsyncBaseTransport):
    """Reports how many bytes arrive."""

    def __init__(self, transport: httpx.AsyncBaseTransport, more: Callable[[int], None]) -> None:
        self._transport, self._more = transport, more

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._transport.handle_async_request(request)
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _CountedStream(response.stream, self._more)
        return response

    async def aclose(self) -> None:
        await self._transport.aclose()


class _CountedStream(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream, more: Callable[[int], None]) -> None:
        self._stream, self._more = stream, more

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            self._more(len(chunk))
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
