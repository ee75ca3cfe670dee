"""Sends what happens at the terminals to all listeners. It never waits: a listener that is too slow is dropped."""

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
"""``link``: it is up or down, and why. ``running``: the command that now runs at a terminal, or none. ``progress``:
what the terminal is doing. ``outcome``: the outcome of a payment. ``unknown``: a payment that a person must resolve."""

_REMEMBERED = 256
"""How many past events a listener that reconnects can still get."""
_WAITING = 256
"""How many events may wait for a listener before it is dropped."""


class Event:
    """An event; ``text`` is its JSON. Its ``number`` always increases, even after a restart of the agent."""

    __slots__ = ("kind", "number", "text")

    def __init__(self, number: int, kind: EventKind, terminal: str, values: dict[str, Any]) -> None:
        self.number, self.kind = number, kind
        at = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        document = {"id": number, "type": kind, "at": at, "terminal": terminal, **masked(values)}
        self.text = dumps(document).decode()


class Listener:
    """The events that one listener has not received yet."""

    def __init__(self, missed: list[Event]) -> None:
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue()
        self.dropped = False
        """Whether it was too slow."""
        for event in missed:
            self._queue.put_nowait(event)

    def put(self, event: Event) -> bool:
        """Add an event; false if too many are waiting: then the listener is dropped."""
        self.dropped = self._queue.qsize() >= _WAITING
        self._queue.put_nowait(None if self.dropped else event)
        return not self.dropped

    def end(self) -> None:
        self._queue.put_nowait(None)

    async def next(self, timeout: float | None = None) -> Event | None:
        """The next event; ``None`` after the last one.

        Raises:
            asyncio.TimeoutError: there was none in time.
        """
        event = None if self.dropped else await asyncio.wait_for(self._queue.get(), timeout)
        if event is None:
            self.end()  # for the next call
        return event

    async def __aiter__(self) -> AsyncIterator[Event]:
        while (event := await self.next()) is not None:
            yield event


class EventHub:
    """Sends each event to every listener, in order."""

    def __init__(self) -> None:
        self._number = time.time_ns() // 1_000_000
        self._recent: deque[Event] = deque(maxlen=_REMEMBERED)
        self._listeners: set[Listener] = set()
        self._closed = False

    def send(self, kind: EventKind, terminal: str, **values: Any) -> None:
        self._number += 1
        event = Event(self._number, kind, terminal, values)
        self._recent.append(event)
        self._listeners = {one for one in self._listeners if one.put(event)}

    def listen(self, after: int | None = None) -> Listener:
        """A new listener; with ``after`` it first gets the remembered events after that one."""
        listener = Listener([event for event in self._recent if after is not None and event.number > after])
        if self._closed:
            listener.end()
        else:
            self._listeners.add(listener)
        return listener

    def leave(self, listener: Listener) -> None:
        self._listeners.discard(listener)

    def close(self) -> None:
        """End all listeners."""
        self._closed = True
        for listener in self._listeners:
            listener.end()
        self._listeners = set()
