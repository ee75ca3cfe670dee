"""Performs effects by blocking the calling thread. It decides nothing."""

from __future__ import annotations

import inspect
import random
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future, wait
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from .. import logs
from ..errors import ConfigurationError
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
from ..transports import Transport
from .loop import run
from .watching import OBSERVED, Lookout, Watch

if TYPE_CHECKING:
    from .engine import Engine
    from .http import HttpClient

__all__ = ["BlockingDriver"]

log = logs.logger("getnet_pos.driver")

T = TypeVar("T")


class BlockingDriver:
    """Runs flows with a transport, an HTTP client and a journal, as far as they are given."""

    def __init__(
        self,
        *,
        transport: Transport | None = None,
        http: Engine | HttpClient | None = None,
        journal: Callable[[], Journal] | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._transport = transport
        self._http = http
        self._open_journal = journal
        self._journal: Journal | None = None
        self._lookout = None if observer is None else Lookout(observer)

    def open_journal(self) -> None:
        """Open the journal."""
        if self._journal is None and self._open_journal is not None:
            self._journal = self._open_journal()

    def run(self, flow: Flow[T], on_progress: Callable[[Progress], object] | None = None) -> T:
        """Run ``flow`` to its end, and return its result or raise its error. An interruption ends it."""
        perform = self.perform if self._lookout is None else self._perform_observed
        with Watch(self._lookout) as watch:
            value = run(flow, lambda effect: perform(effect, on_progress, watch))
            watch.returned(value)
            return value

    def wake(self) -> None:
        """Wake the flow that waits for bytes. It may be called from any thread."""
        if self._transport is not None:
            self._transport.wake()

    def _perform_observed(
        self, effect: Effect, on_progress: Callable[[Progress], object] | None, watch: Watch
    ) -> object:
        if not isinstance(effect, OBSERVED):
            return self.perform(effect, on_progress, watch)
        began = time.monotonic()
        try:
            answer = self.perform(effect, on_progress, watch)
        except BaseException as error:
            watch.saw(effect, began, error=error)
            raise
        watch.saw(effect, began, answer)
        return answer

    def perform(self, effect: Effect, on_progress: Callable[[Progress], object] | None, watch: Watch) -> object:
        """Perform one effect, and return its result or raise its error."""
        match effect:
            case Receive(deadline):
                return self.transport.read(deadline)
            case Send(data, deadline, beside):
                write = self.transport.write_beside if beside else self.transport.write
                write(data, deadline)
            case Open():
                self.transport.open()
                return self.transport.device
            case Close():
                if self._transport is not None:
                    self._transport.close()
            case Use(port, baudrate):
                from ..transports.serial import SerialTransport

                self._transport = SerialTransport(port, baudrate=baudrate)
            case Request():
                return self.http.send(effect)
            case Call(function, read):
                result = function()
                if inspect.iscoroutine(result):
                    result.close()
                    raise ConfigurationError(
                        "an async function cannot be used with a blocking client: pass a plain function, or use the "
                        "async client"
                    )
                return read(result)
            case Compute(function):
                return function()
            case Now():
                return time.monotonic()
            case Sleep(seconds):
                time.sleep(seconds)
            case AwaitNotice(transaction_id, seconds):
                noticed = getattr(self.journal, "noticed", None)
                if noticed is None:
                    time.sleep(seconds)
                    return False
                return _noticed(noticed(transaction_id), seconds)
            case WallClock():
                return datetime.now().astimezone()
            case Random():
                return random.random()
            case NewId():
                return uuid.uuid4().hex
            case Take(place, deadline):
                place.wait(deadline, owner=threading.get_ident())
            case Begin(operation):
                watch.began(operation)
            case Report(progress):
                _report(on_progress, progress)
            case Record(intent):
                self.journal.record(intent)
            case Recall(search):
                return self.journal.find(search)
            case Unsettled(search, most):
                return elsewhere(self.journal, search, most)
            case Claim(intent_id, terminal):
                return self.journal.claim(intent_id, terminal)
            case Resolve(intent_id, paid, by, note):
                return self.journal.resolve(intent_id, paid=paid, by=by, note=note)
            case Intents(settled):
                return self.journal.intents(settled=settled)
            case Since(at):
                return since(self.journal, at)
            case _:
                raise NotImplementedError(f"no driver performs {effect!r}")
        return None

    @property
    def transport(self) -> Transport:
        if self._transport is None:
            raise NotImplementedError("this driver has no transport")
        return self._transport

    @property
    def http(self) -> Engine | HttpClient:
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


def _noticed(notice: Future[None], seconds: float) -> bool:
    try:
        return bool(wait([notice], timeout=seconds).done)
    finally:
        notice.cancel()


def _report(on_progress: Callable[[Progress], object] | None, progress: Progress) -> None:
    if on_progress is not None:
        try:
            on_progress(progress)
        except Exception:
            log.exception("on_progress failed; the command goes on")
