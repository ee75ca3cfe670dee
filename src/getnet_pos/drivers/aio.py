"""Performs effects on the running asyncio event loop. Decides nothing."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import time
from collections.abc import Callable, Generator
from typing import Any, TypeVar

from ..errors import GetnetError
from ..flows.effects import Close, Effect, Now, Open, Recall, Receive, Record, Report, Send, Sleep
from ..journal import Journal, recall
from ..messages import Progress
from ..transports import AsyncTransport
from .loop import run_async

__all__ = ["AsyncDriver", "to_the_end"]

log = logging.getLogger("getnet_pos.driver")

T = TypeVar("T")


class AsyncDriver:
    """Runs flows over one transport and one journal."""

    def __init__(self, transport: AsyncTransport, journal: Journal) -> None:
        self.transport = transport
        self.journal = journal

    async def run(self, flow: Generator[Any, Any, T], on_progress: Callable[[Progress], object] | None = None) -> T:
        """Run ``flow`` to its end; what it raises is raised here, and a cancellation ends it."""
        return await run_async(flow, lambda effect: self._perform(effect, on_progress))

    def wake(self) -> None:
        """Have the flow that waits look at what was asked of it. May be called from any thread."""
        self.transport.wake()

    async def close(self) -> None:
        """Nothing outlives the transport."""

    async def _perform(self, effect: Effect, on_progress: Callable[[Progress], object] | None) -> object:
        match effect:
            case Receive(deadline):
                return await self.transport.read(deadline)
            case Now():
                return time.monotonic()
            case Send(data, deadline, aside):
                await self.transport.write(data, deadline, aside=aside)
            case Report(progress):
                await _report(on_progress, progress)
            case Record(intent):
                await to_the_end(self.journal.record, intent)
            case Recall(terminal, recent):
                return await to_the_end(recall, self.journal, terminal, recent)
            case Sleep(seconds):
                await asyncio.sleep(seconds)
            case Open():
                await self.transport.open()
            case Close():
                await self.transport.close()
        return None


async def to_the_end(work: Callable[..., T], *arguments: object) -> T:
    """Run in a thread. A cancellation waits for it, so that no later flow finds the journal half written."""
    task = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError, GetnetError):
                await asyncio.shield(task)
        raise


async def _report(on_progress: Callable[[Progress], object] | None, progress: Progress) -> None:
    if on_progress is not None:
        try:
            answer = on_progress(progress)
            if inspect.isawaitable(answer):
                await answer
        except Exception:
            log.exception("on_progress failed; the command goes on")
