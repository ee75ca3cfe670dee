"""The one thread that works on a journal. Work that arrives while it is busy is done together, in the next batch.

It knows nothing about files, and decides nothing.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, Final, Generic, Protocol, TypeVar, cast

from ..errors import JournalError
from ..logs import about
from ..messages import Intent

__all__ = ["Call", "NewStep", "Store", "Worker"]

T = TypeVar("T")

log = logging.getLogger("getnet_pos.journal")

_NOTHING: Final[Future[None]] = Future()
"""The future of a step that nobody waits for."""
_NOTHING.set_result(None)

_LONGEST_TURN = 15.0
"""How long the end of the process, or a fork, waits for a batch, in seconds; longer than for a locked file."""


class NewStep:
    """A step to be written, with its time ``at``. Nobody waits for a passing one."""

    __slots__ = ("at", "future", "intent")

    def __init__(self, intent: Intent, at: str) -> None:
        self.intent = intent
        self.at = at
        self.future: Future[None] = _NOTHING if intent.passing else _running()

    @property
    def is_awaited(self) -> bool:
        return self.future is not _NOTHING

    def end(self, error: BaseException | None = None) -> None:
        """Complete the future: the step is written, or ``error`` says why it is not."""
        if not self.is_awaited:
            if error is not None:
                intent = self.intent
                log.error(
                    "state %s of intent %s could not be recorded: %s",
                    intent.state,
                    intent.intent_id,
                    error,
                    extra=about(intent),
                )
        elif error is None:
            self.future.set_result(None)
        else:
            # A separate error object: the steps of one transaction raise theirs in different threads.
            own = JournalError(str(error), intent_id=error.intent_id) if isinstance(error, JournalError) else error
            own.__cause__ = error.__cause__
            self.future.set_exception(own)


class Call(Generic[T]):
    """Any other work on the journal."""

    __slots__ = ("_call", "_error", "_result", "future")

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._result: T | None = None
        self._error: BaseException | None = None
        self.future: Future[T] = _running()

    def run(self) -> None:
        try:
            self._result = self._call()
        except BaseException as error:  # it is raised where the result is waited for
            self._error = error

    def tell(self) -> None:
        """Complete the future with the result or the error."""
        if self._error is None:
            self.future.set_result(cast("T", self._result))
        else:
            self.future.set_exception(self._error)


def _running() -> Future[Any]:
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()  # work that has been handed over cannot be cancelled
    return future


class Store(Protocol):
    """The store that a worker works on. The worker's thread makes all these calls."""

    def turn(self, works: list[NewStep | Call[Any]]) -> None:
        """Do a batch of work, in one transaction if possible, and complete each future."""

    def leave(self) -> None:
        """Write what is left and close everything; the next batch opens it again. It never fails."""


class Worker:
    """Runs the batches of a store in a thread, which starts with the first work and ends with ``stop``."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.forked()
        _all.add(self)

    def forked(self) -> None:
        """In a forked child: forget the thread and the work, which are the parent's."""
        self._works: deque[NewStep | Call[Any]] = deque()
        self._signals: SimpleQueue[bool] = SimpleQueue()
        """One for each piece of work that somebody waits for; ``False`` ends the thread."""
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self.turning = threading.Lock()
        """Held during a batch, because an interrupted start can leave a second thread behind."""
        self._turner = 0

    @property
    def is_here(self) -> bool:
        """Whether the caller is the worker's thread, in a batch."""
        return self._turner == threading.get_ident()

    def record(self, step: NewStep) -> Future[None]:
        """Write ``step``, after those that arrived before it."""
        self._works.append(step)
        if step.is_awaited:
            self._signal()
        return step.future

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """Run ``call`` in the worker's thread."""
        work = Call(call)
        self._works.append(work)
        self._signal()
        return work.future

    def stop(self) -> threading.Thread | None:
        """Close the store once all work is done. Returns the thread that does it, if any. It may start again later."""
        thread = self._thread
        if thread is None:
            self._turn(goes_on=False)
        else:
            self._signals.put(False)
        return thread

    def _signal(self) -> None:
        self._signals.put(True)
        if self._thread is None:
            self._start()

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                # A daemon, because nobody says when there will be no more work.
                thread = threading.Thread(target=self._serve, name="getnet-journal", daemon=True)
                try:
                    self._thread = thread
                    thread.start()
                except BaseException:
                    self._thread = None
                    raise

    def _serve(self) -> None:
        goes_on = True
        while goes_on:
            goes_on = self._signals.get()
            self._turn(goes_on)
        if self._thread is threading.current_thread():
            self._thread = None
        if self._works:
            # Whoever submitted it may have seen the thread before it ended.
            self._signal()

    def _turn(self, goes_on: bool) -> None:
        with self.turning:
            self._turner = threading.get_ident()
            works = []
            while self._works:
                works.append(self._works.popleft())
            self._store.turn(works)
            if not goes_on:
                self._store.leave()
            self._turner = 0


_all: weakref.WeakSet[Worker] = weakref.WeakSet()


def _end() -> None:
    """At the end of the process, write the steps that nobody waited for."""
    for thread in [worker.stop() for worker in list(_all)]:
        if thread is not None:
            thread.join(_LONGEST_TURN)


atexit.register(_end)


_held: list[threading.Lock] = []


def _before_fork() -> None:
    """Let no batch be in progress while the process forks."""
    for worker in list(_all):
        if not worker.is_here and worker.turning.acquire(timeout=_LONGEST_TURN):
            _held.append(worker.turning)


def _after_fork_here() -> None:
    while _held:
        _held.pop().release()


def _after_fork() -> None:
    _held.clear()
    for worker in list(_all):
        worker.forked()


if hasattr(os, "register_at_fork"):  # pragma: no branch  # Windows is not where coverage is taken
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_here, after_in_child=_after_fork)
