"""Queues in which threads and tasks of any event loop wait together, in the order of their arrival."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout

from .errors import TerminalBusy

__all__ = ["Place", "QueueTurn"]


class QueueTurn:
    """A lock with ``places`` slots, granted in the order of arrival. ``name`` says in messages what is busy.

    Examples:
        >>> from getnet_pos.turns import QueueTurn
        >>> queue = QueueTurn(name="usb:COM3")
        >>> first, second = queue.place(), queue.place()
        >>> first.wait(deadline=None)
        >>> second.wait(deadline=0)
        Traceback (most recent call last):
        getnet_pos.errors.TerminalBusy: usb:COM3 is busy with another operation: try again when it is over
    """

    def __init__(self, places: int = 1, name: str = "the terminal") -> None:
        self.name = name
        self._places = places
        self._guard = threading.Lock()
        self._waiting: dict[Place, None] = {}
        """In the order of their arrival."""
        self._holders: dict[object, Place] = {}
        """By key."""

    def place(self) -> Place:
        """A place that has not joined the queue yet."""
        return Place(self)

    # Only ``Place`` calls what follows.

    def join(self, place: Place) -> None:
        with self._guard:
            if place.owner is not None and place.owner in self._holders:
                raise TerminalBusy(
                    f"{self.name} is busy with the operation that made this call: from on_progress, call only "
                    "cancel_sale()"
                )
            self._waiting[place] = None
            self._serve()

    def leave(self, place: Place) -> None:
        with self._guard:
            self._waiting.pop(place, None)
            if self._holders.get(place.key) is place:
                del self._holders[place.key]
            self._serve()

    def _serve(self) -> None:
        # An interruption may come after any line: running this again from the top completes what was begun.
        while self._waiting and len(self._holders) < self._places:
            first = next(iter(self._waiting))
            self._holders[first.key] = first
            if not first.granted.done():
                first.granted.set_result(None)
            self._waiting.pop(first)


class Place:
    """One caller's slot in a queue: it waits, holds and leaves. It may leave in any state.

    Examples:
        >>> from getnet_pos.turns import QueueTurn
        >>> place = QueueTurn().place()
        >>> place.wait(deadline=None)
        >>> place.held
        True
        >>> place.leave()
    """

    def __init__(self, turn: QueueTurn) -> None:
        self._turn = turn
        self.owner: object = None
        """The thread or task that waits or holds; set if it must not wait for itself."""
        self.granted: Future[None] = Future()

    @property
    def key(self) -> object:
        """Identifies the holder; an owner holds one slot at a time."""
        return self if self.owner is None else self.owner

    @property
    def held(self) -> bool:
        return self.granted.done()

    def wait(self, deadline: float | None, owner: object = None) -> None:
        """Wait in this thread until ``deadline`` on the monotonic clock.

        Raises:
            TerminalBusy: no slot became free in time, or ``owner`` already holds one.
        """
        self._join(owner)
        try:
            self.granted.result(None if deadline is None else max(deadline - time.monotonic(), 0.0))
        except FutureTimeout:
            raise self._busy() from None

    async def wait_async(self, deadline: float | None, owner: object = None) -> None:
        """Like ``wait``, in this task."""
        self._join(owner)
        if self.held:
            return
        limit = None if deadline is None else max(deadline - time.monotonic(), 0.0)
        try:
            # Shielded, because setting the result of a cancelled future would raise.
            await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(self.granted)), limit)
        except asyncio.TimeoutError:
            raise self._busy() from None

    def leave(self) -> None:
        """Give the slot to the next in the queue, or stop waiting. A second call does nothing."""
        self._turn.leave(self)

    def _join(self, owner: object) -> None:
        self.owner = owner
        self._turn.join(self)

    def _busy(self) -> TerminalBusy:
        self.leave()
        return TerminalBusy(f"{self._turn.name} is busy with another operation: try again when it is over")
