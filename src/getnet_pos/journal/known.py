"""What a journal keeps in memory: the unsettled intents and the last settled ones."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from ..messages import FINAL_STATES, Intent, IntentState, Search, Step, same_terminal
from .rules import RECENT

__all__ = ["TAIL", "Known", "Named", "Row", "is_paid_unheard", "last_of_each"]

TAIL: Final = 64
"""How many of the last rows are kept in memory."""

Name = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """A step with its number in the order of writing."""

    number: int
    step: Step
    unsettled: tuple[int, ...] | None = None
    """In some rows of a file: the numbers of the last rows of all intents that are unsettled after it."""

    @property
    def intent(self) -> Intent:
        return self.step.intent

    @property
    def settled(self) -> bool:
        return self.step.intent.state in FINAL_STATES


class Named:
    """The last rows of some intents, indexed by each name that is searched for, in the order of arrival."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self._by_name: dict[Name, dict[str, Row]] = {}

    def put(self, row: Row) -> None:
        intent_id = row.intent.intent_id
        self.rows[intent_id] = row
        for name in _names(row.intent):
            self._by_name.setdefault(name, {})[intent_id] = row

    def drop(self, intent_id: str) -> None:
        row = self.rows.pop(intent_id, None)
        if row is not None:
            for name in _names(row.intent):
                rows = self._by_name[name]
                del rows[intent_id]
                if not rows:
                    del self._by_name[name]

    def of_place(self, terminal: str) -> list[Row]:
        return self._named(("terminal", terminal))

    def of_terminal(self, search: Intent | Search) -> Iterator[Row]:
        """The rows of one terminal, by any of its names."""
        for name in _terminal_names(search):
            yield from (row for row in self._named(name) if same_terminal(search, row.intent))

    def of_sale(self, search: Intent | Search) -> list[Row]:
        """The rows of the same ticket and amount."""
        return self._named(_sale_name(search))

    def of_key(self, search: Intent | Search) -> list[Row]:
        """The rows of the same idempotency key."""
        return self._named(_key_name(search))

    def _named(self, name: Name | None) -> list[Row]:
        return [] if name is None else [*self._by_name.get(name, {}).values()]


def _names(intent: Intent) -> Iterator[Name]:
    yield from _terminal_names(intent)
    yield from (name for name in (_sale_name(intent), _key_name(intent)) if name is not None)


def _terminal_names(one: Intent | Search) -> Iterator[Name]:
    yield "terminal", one.terminal
    if one.device is not None:
        yield "device", one.device
    if one.terminal_id is not None:
        yield "terminal id", one.terminal_id


def _sale_name(one: Intent | Search) -> Name | None:
    return None if one.ticket is None else ("sale", one.ticket, one.amount)


def _key_name(one: Intent | Search) -> Name | None:
    return None if one.idempotency_key is None else ("key", one.idempotency_key)


class Known:
    """The state of a journal after a row."""

    def __init__(self) -> None:
        self.number = 0
        """The number of that row."""
        self.unsettled = Named()
        """The unsettled intents, oldest first."""
        self.tail: deque[Row] = deque(maxlen=TAIL)
        """The last rows."""
        self.lately = Named()
        """The settled intents in ``tail``."""
        self.recent: dict[str, deque[Row]] = {}
        """The last settled intents of the terminals that have been queried, by address."""

    def add(self, row: Row) -> None:
        """Apply the next row."""
        intent = row.intent
        if row.settled:
            self.unsettled.drop(intent.intent_id)
        else:
            self.unsettled.put(row)
        recent = self.recent.get(intent.terminal)
        if recent is not None and (row.settled or intent.state is IntentState.CONTRADICTED):
            others = [other for other in recent if other.intent.intent_id != intent.intent_id]
            self.recent[intent.terminal] = deque([*others, row] if row.settled else others, maxlen=RECENT)
        self.see(row)

    def see(self, row: Row) -> None:
        """Add the next row to the last ones only."""
        if len(self.tail) == TAIL:
            first = self.tail[0]
            if self.lately.rows.get(first.intent.intent_id) is first:
                self.lately.drop(first.intent.intent_id)
        self.lately.drop(row.intent.intent_id)
        if row.settled:
            self.lately.put(row)
        self.tail.append(row)
        self.number = row.number

    def related(self, intent: Intent) -> list[Row]:
        """The unsettled intents that may forbid a new one."""
        return [*self.unsettled.of_terminal(intent), *self.unsettled.of_key(intent)]

    def before(self, search: Search) -> list[Row]:
        """The rows in memory that matter before a payment."""
        return [
            *self.recent.get(search.terminal, ()),
            *self.lately.of_terminal(search),
            *self.unsettled.of_terminal(search),
            *self.unsettled.of_sale(search),
            *self.unsettled.of_key(search),
        ]


def is_paid_unheard(row: Row, oldest: str) -> bool:
    """Whether it was paid since the moment ``oldest``, and its caller may not have received the result."""
    paid = row.intent.state in (IntentState.APPROVED, IntentState.RESOLVED_PAID)
    return paid and row.intent.found != "call" and row.step.at >= oldest


def last_of_each(rows: Iterable[Row]) -> list[Row]:
    """The last row of each intent, in the order of writing."""
    last = {row.intent.intent_id: row for row in sorted(rows, key=_number)}
    return sorted(last.values(), key=_number)


def _number(row: Row) -> int:
    return row.number
