"""Performs the effects of cloud flows: HTTP by the account's own driver, and the journal. Decides nothing."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Protocol, TypeVar

from ..flows.cloud import CloudEffect
from ..flows.effects import Recall, Record
from ..flows.http_effects import Exclusive
from ..journal import Journal, recall
from .aio import to_the_end
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
                self._journal.record(intent)
                return None
            case Recall(terminal, recent):
                return recall(self._journal, terminal, recent)
            case Exclusive(turn, flow):
                turn.take()
                try:
                    return self.run(flow)
                finally:
                    turn.give()
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
        """Run ``flow`` to its end; a cancellation of the task ends it. The cloud reports no progress."""
        return await run_async(flow, self._perform)

    async def _perform(self, effect: CloudEffect) -> object:
        match effect:
            case Record(intent):
                return await to_the_end(self._journal.record, intent)
            case Recall(terminal, recent):
                return await to_the_end(recall, self._journal, terminal, recent)
            case Exclusive(turn, flow):
                await turn.take_async()
                try:
                    return await self.run(flow)
                finally:
                    turn.give()
        return await self._http.perform(effect)

    def wake(self) -> None:
        """Nothing waits that could be woken: a cancellation is a call of its own."""

    async def close(self) -> None:
        if self._own is not None:
            await self._own.close()
