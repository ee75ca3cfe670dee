"""Queues that threads and tasks of any event loop wait in together, in the order of their coming."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout

from .errors import TerminalBusy

__all__ = ["Place", "QueueTurn"]


class QueueTurn:
    """As many may hold it at a time as it has ``places``; ``name`` is what is busy, for messages."""

    def __init__(self, places: int = 1, name: str = "the terminal") -> None:
        self.name = name
        self._places = places
        self._guard = threading.Lock()
        self._waiting: dict[Place, None] = {}
        """In the order of their coming."""
        self._holders: dict[object, Place] = {}
        """By their keys."""

    def place(self) -> Place:
        """A place that has not joined the queue yet."""
        return Place(self)

    # Only ``Place`` calls what follows.

    def join(self, place: Place) -> None:
        with self._guard:
            if place.owner is not None and place.owner in self._holders:
                raise TerminalBusy(
                    f"{self.name} is busy with the operation that this is called from: only cancel_sale() may be "
                    "called while it reports progress"
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
        # Each line may be the last before an interruption: done again from the top, it ends what was begun.
        while self._waiting and len(self._holders) < self._places:
            first = next(iter(self._waiting))
            self._holders[first.key] = first
            if not first.granted.done():
                first.granted.set_result(None)
            self._waiting.pop(first)


class Place:
    """One caller's place in a queue: it waits, holds and leaves, and leaving is right in every state."""

    def __init__(self, turn: QueueTurn) -> None:
        self._turn = turn
        self.owner: object = None
        """The thread or task that waits or holds, where it must not wait for itself."""
        self.granted: Future[None] = Future()

    @property
    def key(self) -> object:
        """What its holder is known by; an owner holds one place at a time."""
        return self if self.owner is None else self.owner

    @property
    def held(self) -> bool:
        return self.granted.done()

    def wait(self, deadline: float | None, owner: object = None) -> None:
        """Wait in this thread until ``deadline`` on the monotonic clock.

        Raises:
            TerminalBusy: nobody left in time, or ``owner`` itself holds it.
        """
        self._join(owner)
        try:
            self.granted.result(None if deadline is None else max(deadline - time.monotonic(), 0.0))
        except FutureTimeout:
            raise self._busy() from None

    async def wait_async(self, deadline: float | None, owner: object = None) -> None:
        """As ``wait``, in this task."""
        self._join(owner)
        if self.held:
            return
        limit = None if deadline is None else max(deadline - time.monotonic(), 0.0)
        try:
            # Shielded: whoever grants must never find it cancelled.
            await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(self.granted)), limit)
        except asyncio.TimeoutError:
            raise self._busy() from None

    def leave(self) -> None:
        """Let the next one have it, or stop waiting for it; a second time does nothing."""
        self._turn.leave(self)

    def _join(self, owner: object) -> None:
        self.owner = owner
        self._turn.join(self)

    def _busy(self) -> TerminalBusy:
        self.leave()
        return TerminalBusy(f"{self._turn.name} is busy with another operation")
