"""A journal in memory, with the same rules. It is lost when the process ends."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Final

from ..messages import REMEMBERED, Intent, Search, Step
from .known import Known, Named, Row, is_paid_unheard, last_of_each
from .rules import RECENT, Lease, check, decided, kept, moment, now, one_of

__all__ = ["MemoryJournal"]

_SETTLED: Final = 4096
"""How many settled intents are kept, besides the last ones of each terminal."""


class MemoryJournal:
    """A journal in memory, for tests: it is lost when the process ends, and forgets old settled intents.

    Examples:
        >>> journal = MemoryJournal()
        >>> journal.record(Intent(intent_id="17", terminal="usb:COM3", command=100, amount=25_000))
        >>> [str(step.intent.state) for step in journal.steps("17")]
        ['INTENT']
    """

    def __init__(self, clock: Callable[[], datetime] = now) -> None:
        self._clock = clock
        self._known = Known()
        self._settled = Named()
        self._steps: dict[str, list[Row]] = {}
        self._keys: dict[str, str] = {}
        """The last intent recorded with each idempotency key."""
        self._claimed: dict[str, object] = {}
        self._lock = threading.RLock()

    def record(self, intent: Intent) -> None:
        intent = kept(intent)
        with self._lock:
            steps = self._steps.get(intent.intent_id, [])
            related = [] if steps else [*self._known.related(intent), *self._of_key(intent)]
            check(intent, steps[-1].intent if steps else None, [row.intent for row in related])
            row = Row(self._known.number + 1, Step(intent, len(steps), moment(self._clock())))
            self._steps.setdefault(intent.intent_id, []).append(row)
            if intent.idempotency_key is not None and not steps:
                self._keys[intent.idempotency_key] = intent.intent_id
            self._known.recent.setdefault(intent.terminal, deque(maxlen=RECENT))
            self._known.add(row)
            self._settled.drop(intent.intent_id)
            if row.settled:
                self._settled.put(row)
                self._forget()

    def _forget(self) -> None:
        """Forget what was settled long ago, or before very many others."""
        oldest = moment(self._clock() - REMEMBERED)
        while self._settled.rows:
            intent_id, row = next(iter(self._settled.rows.items()))
            if row.step.at >= oldest and len(self._settled.rows) <= _SETTLED:
                break
            self._settled.drop(intent_id)
            del self._steps[intent_id]
            key = row.intent.idempotency_key
            if key is not None and self._keys.get(key) == intent_id:
                del self._keys[key]

    def unsettled(self, terminal: str) -> list[Intent]:
        with self._lock:
            return [row.intent for row in self._known.unsettled.of_place(terminal)]

    def recent(self, terminal: str) -> list[Intent]:
        with self._lock:
            return [row.intent for row in self._known.recent.get(terminal, ())]

    def find(self, search: Search) -> list[Step]:
        oldest = moment(self._clock() - REMEMBERED)
        with self._lock:
            paid = [row for row in self._settled.of_sale(search) if is_paid_unheard(row, oldest)]
            return [row.step for row in last_of_each([*self._known.before(search), *paid, *self._of_key(search)])]

    def _of_key(self, search: Intent | Search) -> list[Row]:
        intent_id = None if search.idempotency_key is None else self._keys.get(search.idempotency_key)
        return [] if intent_id is None else [self._steps[intent_id][-1]]

    def claim(self, intent_id: str, terminal: str | None = None) -> Lease | None:
        # Without the lock: the garbage collector may release a lease at any moment.
        own = object()
        if self._claimed.setdefault(intent_id, own) is not own:
            return None
        return Lease(partial(self._claimed.__delitem__, intent_id))

    def resolve(self, intent_id: str, *, paid: bool, by: str, note: str) -> Intent:
        with self._lock:
            settled = (intent_id and known.startswith(intent_id) for known in self._settled.rows)
            intent = one_of(self.intents(), intent_id, settled)
            lease = self.claim(intent.intent_id)
            try:
                intent = decided(intent, lease, paid=paid, by=by, note=note)
                self.record(intent)
            finally:
                if lease is not None:
                    lease.release()
            return intent

    def intents(self, *, settled: bool = False) -> list[Intent]:
        with self._lock:
            if settled:
                return [rows[-1].intent for rows in self._steps.values()]
            return [row.intent for row in self._known.unsettled.rows.values()]

    def steps(self, intent_id: str | None = None) -> list[Step]:
        with self._lock:
            if intent_id is not None:
                return [row.step for row in self._steps.get(intent_id, ())]
            rows = [row for rows in self._steps.values() for row in rows]
            return [row.step for row in sorted(rows, key=lambda row: row.number)]
