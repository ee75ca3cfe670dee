"""The one thread that works on a journal: what comes while it is busy is done together in its next turn.

It knows nothing of files, and decides nothing.
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
"""What has no result has ended."""
_NOTHING.set_result(None)

_LONGEST_TURN = 15.0
"""Seconds that the end of the process, or a fork, waits for a turn: more than a locked file keeps one."""


class NewStep:
    """A step that is to be written, of the moment ``at``; nobody waits for one that is passing."""

    __slots__ = ("at", "future", "intent")

    def __init__(self, intent: Intent, at: str) -> None:
        self.intent = intent
        self.at = at
        self.future: Future[None] = _NOTHING if intent.passing else _running()

    @property
    def is_awaited(self) -> bool:
        return self.future is not _NOTHING

    def end(self, error: BaseException | None = None) -> None:
        """Tell who waits that it is down, or why it is not."""
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
            # An error of its own: that of others in the same transaction is raised in other threads.
            own = JournalError(str(error), intent_id=error.intent_id) if isinstance(error, JournalError) else error
            own.__cause__ = error.__cause__
            self.future.set_exception(own)


class Call(Generic[T]):
    """Anything else that is done on the journal."""

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
        """Tell who waits what became of it."""
        if self._error is None:
            self.future.set_result(cast("T", self._result))
        else:
            self.future.set_exception(self._error)


def _running() -> Future[Any]:
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()  # nothing that has been handed over can be called back
    return future


class Store(Protocol):
    """What a worker works on. All of it is called in the worker's thread."""

    def turn(self, works: list[NewStep | Call[Any]]) -> None:
        """Do all that has come, in one transaction where that can be; the end of each is told to its future."""

    def leave(self) -> None:
        """Write what is left, and let go of everything; the next turn begins anew. It never fails."""


class Worker:
    """Makes the turns of a store in a thread, which begins with the first work and ends with ``stop``."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.forked()
        _all.add(self)

    def forked(self) -> None:
        """In the child of a fork: the thread is the parent's, and so is what has come."""
        self._works: deque[NewStep | Call[Any]] = deque()
        self._signals: SimpleQueue[bool] = SimpleQueue()
        """One for each work that somebody waits for; false ends the thread."""
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self.turning = threading.Lock()
        """Held during a turn: an interruption of a start can leave behind a second thread."""
        self._turner = 0

    @property
    def is_here(self) -> bool:
        """Whether this is called in a turn."""
        return self._turner == threading.get_ident()

    def record(self, step: NewStep) -> Future[None]:
        """Write ``step`` after those that came before it."""
        self._works.append(step)
        if step.is_awaited:
            self._signal()
        return step.future

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """Make ``call``."""
        work = Call(call)
        self._works.append(work)
        self._signal()
        return work.future

    def stop(self) -> threading.Thread | None:
        """Leave the store once all that came is done: the thread that does so, if there is one. It may begin again."""
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
                # A daemon: nobody says when nothing more will come.
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
            # Whoever brought it may have seen a thread that was still there.
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
    """At the end of the process, write what nobody waited for."""
    for thread in [worker.stop() for worker in list(_all)]:
        if thread is not None:
            thread.join(_LONGEST_TURN)


atexit.register(_end)


_held: list[threading.Lock] = []


def _before_fork() -> None:
    """No turn is in progress while the process is copied."""
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
