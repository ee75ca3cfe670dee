"""What happens at the terminals, told to whoever listens. It waits for nobody: a listener that is slow is dropped."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from datetime import datetime, timezone
from typing import Any, Literal

from ..codec.json_text import dumps
from ..masking import masked

__all__ = ["Event", "EventHub", "EventKind", "Listener"]

EventKind = Literal["link", "running", "progress", "outcome", "unknown"]
"""``link``: it is up or down, and why. ``running``: what runs at a terminal now, or nothing. ``progress``: what the
terminal is doing. ``outcome``: what became of a payment. ``unknown``: a payment that a person must resolve."""

_REMEMBERED = 256
"""How many events a listener that comes back can still be told."""
_WAITING = 256
"""How many events may wait for a listener before it is dropped."""


class Event:
    """One thing that happened; ``text`` is its JSON. Its ``number`` grows, also from one start to the next."""

    __slots__ = ("kind", "number", "text")

    def __init__(self, number: int, kind: EventKind, terminal: str, values: dict[str, Any]) -> None:
        self.number, self.kind = number, kind
        at = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        document = {"id": number, "type": kind, "at": at, "terminal": terminal, **masked(values)}
        self.text = dumps(document).decode()


class Listener:
    """What one listener has not been told yet."""

    def __init__(self, missed: list[Event]) -> None:
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue()
        self.dropped = False
        """Whether it was too slow."""
        for event in missed:
            self._queue.put_nowait(event)

    def tell(self, event: Event) -> bool:
        """False where too much waits already: then it is told no more."""
        self.dropped = self._queue.qsize() >= _WAITING
        self._queue.put_nowait(None if self.dropped else event)
        return not self.dropped

    def end(self) -> None:
        self._queue.put_nowait(None)

    async def next(self, timeout: float | None = None) -> Event | None:
        """The next event; ``None`` where it is told no more.

        Raises:
            asyncio.TimeoutError: none came in time.
        """
        event = None if self.dropped else await asyncio.wait_for(self._queue.get(), timeout)
        if event is None:
            self.end()  # whoever asks again is told the same
        return event

    async def __aiter__(self) -> AsyncIterator[Event]:
        while (event := await self.next()) is not None:
            yield event


class EventHub:
    """Tells every listener, in the order of what happens."""

    def __init__(self) -> None:
        self._number = time.time_ns() // 1_000_000
        self._lately: deque[Event] = deque(maxlen=_REMEMBERED)
        self._listeners: set[Listener] = set()
        self._closed = False

    def tell(self, kind: EventKind, terminal: str, **values: Any) -> None:
        self._number += 1
        event = Event(self._number, kind, terminal, values)
        self._lately.append(event)
        self._listeners = {one for one in self._listeners if one.tell(event)}

    def listen(self, after: int | None = None) -> Listener:
        """A new listener; with ``after`` it is told first what happened after that event, as far as it is known."""
        listener = Listener([event for event in self._lately if after is not None and event.number > after])
        if self._closed:
            listener.end()
        else:
            self._listeners.add(listener)
        return listener

    def leave(self, listener: Listener) -> None:
        self._listeners.discard(listener)

    def close(self) -> None:
        """Nothing more is told."""
        self._closed = True
        for listener in self._listeners:
            listener.end()
        self._listeners = set()
