"""Performs effects on the running asyncio event loop. It decides nothing."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import random
import time
import uuid
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from .. import logs
from ..flows.effects import (
    AwaitNotice,
    Begin,
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
    Since,
    Sleep,
    Take,
    Unsettled,
    Use,
    WallClock,
)
from ..journal import Journal, elsewhere, since
from ..messages import Progress
from ..observer import Observer
from ..transports import AsyncTransport
from .loop import run_async
from .watching import OBSERVED, Lookout, Watch

if TYPE_CHECKING:
    from .engine import AsyncEngine
    from .http import AsyncHttpClient

__all__ = ["AsyncDriver", "on_journal"]

log = logs.logger("getnet_pos.driver")

T = TypeVar("T")

_THREADS = 32
"""The number of threads for opening journals, and for journals without a thread of their own."""


class AsyncDriver:
    """Runs flows with a transport, an HTTP client and a journal, as far as they are given."""

    def __init__(
        self,
        *,
        transport: AsyncTransport | None = None,
        http: AsyncEngine | AsyncHttpClient | None = None,
        journal: Callable[[], Journal] | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._transport = transport
        self._http = http
        self._open_journal = journal
        self._journal: Journal | None = None
        self._lookout = None if observer is None else Lookout(observer)

    async def open_journal(self) -> None:
        """Open the journal, in a thread, because it can take seconds while another process is writing."""
        if self._open_journal is not None:
            await self._opened()

    async def run(self, flow: Flow[T], on_progress: Callable[[Progress], object] | None = None) -> T:
        """Run ``flow`` to its end, and return its result or raise its error. A cancellation ends it."""
        perform = self.perform if self._lookout is None else self._perform_observed
        with Watch(self._lookout) as watch:
            value = await run_async(flow, lambda effect: perform(effect, on_progress, watch))
            watch.returned(value)
            return value

    def wake(self) -> None:
        """Wake the flow that waits for bytes. It may be called from any thread."""
        if self._transport is not None:
            self._transport.wake()

    async def _perform_observed(
        self, effect: Effect, on_progress: Callable[[Progress], object] | None, watch: Watch
    ) -> object:
        if not isinstance(effect, OBSERVED):
            return await self.perform(effect, on_progress, watch)
        began = time.monotonic()
        try:
            answer = await self.perform(effect, on_progress, watch)
        except BaseException as error:
            watch.saw(effect, began, error=error)
            raise
        watch.saw(effect, began, answer)
        return answer

    async def perform(self, effect: Effect, on_progress: Callable[[Progress], object] | None, watch: Watch) -> object:
        """Perform one effect, and return its result or raise its error."""
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
            case AwaitNotice(transaction_id, seconds):
                noticed = getattr(await self._opened(), "noticed", None)
                if noticed is None:
                    await asyncio.sleep(seconds)
                    return False
                return await _noticed(noticed(transaction_id), seconds)
            case WallClock():
                return datetime.now().astimezone()
            case Random():
                return random.random()
            case NewId():
                return uuid.uuid4().hex
            case Take(place, deadline):
                await place.wait_async(deadline, owner=asyncio.current_task())
            case Begin(operation):
                watch.began(operation)
            case Report(progress):
                await _report(on_progress, progress)
            case Record(intent):
                journal = await self._opened()
                await on_journal(journal, journal.record, intent)
            case Recall(search):
                journal = await self._opened()
                return await on_journal(journal, journal.find, search)
            case Unsettled(search, most):
                journal = await self._opened()
                return await on_journal(journal, elsewhere, journal, search, most)
            case Claim(intent_id, terminal):
                journal = await self._opened()
                return await on_journal(journal, journal.claim, intent_id, terminal)
            case Resolve(intent_id, paid, by, note):
                journal = await self._opened()
                return await on_journal(journal, partial(journal.resolve, intent_id, paid=paid, by=by, note=note))
            case Intents(settled):
                journal = await self._opened()
                return await on_journal(journal, partial(journal.intents, settled=settled))
            case Since(at):
                journal = await self._opened()
                return await on_journal(journal, since, journal, at)
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

    async def _opened(self) -> Journal:
        if self._journal is None:
            if self._open_journal is None:
                raise NotImplementedError("this driver has no journal")
            opened: Journal = await _to_the_end(_threads().submit(self._open_journal))
            self._journal = opened
        return self._journal


async def on_journal(journal: Journal, call: Callable[..., T], *arguments: object) -> T:
    """Make a call of ``journal`` without blocking the event loop.

    A cancellation waits for the call, so that no later flow finds it half done.
    """
    submit: Any = getattr(journal, "submit", None) or _threads().submit
    work: Future[T] = submit(call, *arguments)
    return await _to_the_end(work)


async def _to_the_end(work: Future[T]) -> T:
    cancelled: asyncio.CancelledError | None = None
    loop = asyncio.get_running_loop()
    while not work.done():
        waiter = loop.create_future()
        bell = _bells.get(loop) or _bells.setdefault(loop, _Bell(loop))
        work.add_done_callback(partial(bell.wake, waiter))
        try:
            await waiter
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    return work.result()


class _Bell:
    """Wakes the waiters of an event loop from any thread, with one call for all whose work ends together."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._ended: deque[asyncio.Future[None]] = deque()
        self._rings = False

    def wake(self, waiter: asyncio.Future[None], _: object) -> None:
        self._ended.append(waiter)
        loop = self._loop()
        if not self._rings and loop is not None:
            self._rings = True
            with contextlib.suppress(RuntimeError):  # the loop is closed, so nobody waits any more
                loop.call_soon_threadsafe(self._ring)

    def _ring(self) -> None:
        self._rings = False
        while self._ended:
            waiter = self._ended.popleft()
            if not waiter.done():
                waiter.set_result(None)


_bells: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Bell] = weakref.WeakKeyDictionary()


_pool: ThreadPoolExecutor | None = None


def _threads() -> ThreadPoolExecutor:
    global _pool
    _pool = _pool or ThreadPoolExecutor(_THREADS, "getnet-journal")
    return _pool


def _after_fork() -> None:
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):  # pragma: no branch  # Windows is not where coverage is taken
    os.register_at_fork(after_in_child=_after_fork)


async def _noticed(notice: Future[None], seconds: float) -> bool:
    try:
        await asyncio.wait([asyncio.wrap_future(notice)], timeout=seconds)
        return notice.done()
    finally:
        notice.cancel()


async def _report(on_progress: Callable[[Progress], object] | None, progress: Progress) -> None:
    if on_progress is not None:
        try:
            answer = on_progress(progress)
            if inspect.isawaitable(answer):
                await answer
        except Exception:
            log.exception("on_progress failed; the command goes on")
