"""Performs effects on the running asyncio event loop. Decides nothing."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import random
import time
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from ..errors import GetnetError
from ..flows.effects import (
    Call,
    Claim,
    Close,
    Compute,
    Effect,
    Flow,
    Intents,
    NewId,
    Now,
    Open,
    Random,
    Recall,
    Receive,
    Record,
    Report,
    Request,
    Resolve,
    Send,
    Sleep,
    Take,
    Unsettled,
    Use,
    WallClock,
)
from ..journal import Journal, elsewhere
from ..messages import Progress
from ..transports import AsyncTransport
from .loop import run_async

if TYPE_CHECKING:
    from .engine import AsyncEngine
    from .http import AsyncHttpClient

__all__ = ["AsyncDriver", "to_the_end"]

log = logging.getLogger("getnet_pos.driver")

T = TypeVar("T")


class AsyncDriver:
    """Runs flows over what it is given of a transport, an HTTP client and a journal."""

    def __init__(
        self,
        *,
        transport: AsyncTransport | None = None,
        http: AsyncEngine | AsyncHttpClient | None = None,
        journal: Callable[[], Journal] | None = None,
    ) -> None:
        self._transport = transport
        self._http = http
        self._open_journal = journal
        self._journal: Journal | None = None

    async def open_journal(self) -> None:
        """Open the journal, in a thread: another process may be writing, and then it takes seconds."""
        if self._journal is None and self._open_journal is not None:
            await to_the_end(lambda: self.journal)

    async def run(self, flow: Flow[T], on_progress: Callable[[Progress], object] | None = None) -> T:
        """Run ``flow`` to its end; what it raises is raised here, and a cancellation ends it."""
        return await run_async(flow, lambda effect: self.perform(effect, on_progress))

    def wake(self) -> None:
        """Have the flow that waits for bytes look at what was asked of it. May be called from any thread."""
        if self._transport is not None:
            self._transport.wake()

    async def perform(self, effect: Effect, on_progress: Callable[[Progress], object] | None) -> object:
        """The result of one effect, or what it raises."""
        match effect:
            case Receive(deadline):
                return await self.transport.read(deadline)
            case Send(data, deadline, beside):
                write = self.transport.write_beside if beside else self.transport.write
                await write(data, deadline)
            case Open():
                await self.transport.open()
                return self.transport.device
            case Close():
                if self._transport is not None:
                    await self._transport.close()
            case Use(port, baudrate):
                from ..transports.serial import AsyncSerialTransport

                self._transport = AsyncSerialTransport(port, baudrate=baudrate)
            case Request():
                return await self.http.send(effect)
            case Call(function, read):
                result = function()
                return read(await result if inspect.isawaitable(result) else result)
            case Compute(function):
                return await asyncio.to_thread(function)
            case Now():
                return time.monotonic()
            case Sleep(seconds):
                await asyncio.sleep(seconds)
            case WallClock():
                return datetime.now().astimezone()
            case Random():
                return random.random()
            case NewId():
                return uuid.uuid4().hex
            case Take(place, deadline):
                await place.wait_async(deadline, owner=asyncio.current_task())
            case Report(progress):
                await _report(on_progress, progress)
            case Record(intent):
                await to_the_end(lambda: self.journal.record(intent))
            case Recall(search):
                return await to_the_end(lambda: self.journal.find(search))
            case Unsettled(search, most):
                return await to_the_end(lambda: elsewhere(self.journal, search, most))
            case Claim(intent_id):
                return await to_the_end(lambda: self.journal.claim(intent_id))
            case Resolve(intent_id, paid, by, note):
                return await to_the_end(lambda: self.journal.resolve(intent_id, paid=paid, by=by, note=note))
            case Intents(settled):
                return await to_the_end(lambda: self.journal.intents(settled=settled))
            case _:
                raise NotImplementedError(f"no driver performs {effect!r}")
        return None

    @property
    def transport(self) -> AsyncTransport:
        if self._transport is None:
            raise NotImplementedError("this driver has no transport")
        return self._transport

    @property
    def http(self) -> AsyncEngine | AsyncHttpClient:
        if self._http is None:
            raise NotImplementedError("this driver has no HTTP client")
        return self._http

    @property
    def journal(self) -> Journal:
        if self._journal is None:
            if self._open_journal is None:
                raise NotImplementedError("this driver has no journal")
            self._journal = self._open_journal()
        return self._journal


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
