"""Performs the effects of cloud flows: HTTP by the account's own driver, and the journal. Decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any, Protocol, TypeVar

from ..flows.cloud import CloudEffect
from ..flows.effects import Recall, Record
from ..journal import Journal
from .http import AsyncHttpDriver, HttpDriver
from .loop import run, run_async

__all__ = ["AsyncCloudDriver", "CloudDriver"]

T = TypeVar("T")


class Closable(Protocol):
    def close(self) -> None: ...


class AsyncClosable(Protocol):
    async def close(self) -> None: ...


class CloudDriver:
    """Runs flows over one account's HTTP client and one journal, blocking the calling thread."""

    def __init__(self, http: HttpDriver, journal: Journal, own: Closable | None = None) -> None:
        self._http = http
        self._journal = journal
        self._own = own
        """What ends with this driver."""

    def run(self, flow: Generator[Any, Any, T], on_progress: object = None) -> T:
        """Run ``flow`` to its end. The cloud reports no progress."""
        return run(flow, self._perform)

    def _perform(self, effect: CloudEffect) -> object:
        match effect:
            case Record(intent):
                return self._journal.record(intent)  # type: ignore[func-returns-value]  # a result like any other
            case Recall(terminal):
                return self._journal.unsettled(terminal)
        return self._http.perform(effect)

    def wake(self) -> None:
        """Nothing waits that could be woken: a cancellation is a call of its own."""

    def close(self) -> None:
        if self._own is not None:
            self._own.close()


class AsyncCloudDriver:
    """The same on the running event loop."""

    def __init__(self, http: AsyncHttpDriver, journal: Journal, own: AsyncClosable | None = None) -> None:
        self._http = http
        self._journal = journal
        self._own = own

    async def run(self, flow: Generator[Any, Any, T], on_progress: object = None) -> T:
        """Run ``flow`` to its end. The cloud reports no progress."""
        return await run_async(flow, self._perform)

    async def _perform(self, effect: CloudEffect) -> object:
        match effect:
            case Record(intent):
                return await asyncio.to_thread(self._journal.record, intent)
            case Recall(terminal):
                return await asyncio.to_thread(self._journal.unsettled, terminal)
        return await self._http.perform(effect)

    def wake(self) -> None:
        """Nothing waits that could be woken: a cancellation is a call of its own."""

    async def close(self) -> None:
        if self._own is not None:
            await self._own.close()
