"""The interface of every journal, and the rules for the steps that it accepts. It does no I/O."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any, Final, Protocol

from ..errors import InvalidValue, JournalError
from ..masking import mask
from ..messages import FINAL_STATES, NEXT_STATES, Intent, IntentState, Search, Step, same_terminal

__all__ = [
    "ASKED", "FILLED_ONCE", "RECENT", "Journal", "Keep", "Lease", "check", "decided", "elsewhere", "kept",
    "moment", "now", "one_of", "since",
]  # fmt: skip

RECENT: Final = 16
"""How many settled intents of a terminal are remembered: a late copy of a reply belongs to one of the last few."""


class Keep(Protocol):
    """A host's exclusive right to a terminal. It ends when nothing refers to it any more."""

    @property
    def until(self) -> float:
        """The time, on the monotonic clock, before which no other host can have it. It moves on while it is held."""
        ...


class Lease:
    """The exclusive right to work on one intent. It is released when nothing refers to it any more.

    Examples:
        >>> journal = MemoryJournal()
        >>> lease = journal.claim("17")
        >>> journal.claim("17") is None
        True
        >>> lease.release()
    """

    def __init__(self, let_go: Callable[[], object], keep: Keep | None = None) -> None:
        self._release = weakref.finalize(self, let_go)
        self.keep = keep
        """The host's right to the terminal, held as long as anything refers to it; ``None`` if the journal has only one
        host."""

    @property
    def until(self) -> float:
        """The time, on the monotonic clock, before which nobody else can work on the intent."""
        return math.inf if self.keep is None else self.keep.until

    def release(self) -> None:
        """Let others work on the intent. It never waits and never fails; a second call does nothing."""
        self._release()


class Journal(Protocol):
    """What the connectors need from a journal. Any thread may make these calls.

    Every call raises ``JournalError`` if the journal cannot be used. On asyncio they run in threads. A journal with its
    own thread may have a method ``submit(call, *arguments)`` like that of an ``Executor``; it then receives these
    calls, and functions that make several of them.

    Examples:
        >>> journal: Journal = MemoryJournal()
        >>> journal.record(Intent(intent_id="17", terminal="usb:COM3", command=100, amount=25_000))
        >>> [intent.intent_id for intent in journal.intents()]
        ['17']
    """

    def record(self, intent: Intent) -> None:
        """Add a step. It is durable when this returns.

        A step that is ``Intent.passing`` may be written later, but before the next step of its intent and before any
        query other than ``find`` is answered. If it cannot be written, that is logged and the step is skipped.

        Raises:
            JournalError: the step cannot be written, or breaks the rules. ``intent_id`` identifies the open payment of
                the same terminal if that is why a new one is refused.
        """

    def unsettled(self, terminal: str) -> list[Intent]:
        """The intents of the address ``terminal`` that are open, unknown or contradicted, oldest first."""
        ...

    def recent(self, terminal: str) -> list[Intent]:
        """At least the last eight settled intents of the address ``terminal``, oldest first."""
        ...

    def find(self, search: Search) -> list[Step]:
        """The last steps of all intents that matter before this payment, in the order of writing.

        * of the same terminal, by its address, its device, or its terminal id unless the commerce codes differ: the
          unsettled ones and the last settled ones;
        * of the same ticket and amount, on any terminal: the unsettled ones, and those found to be paid in the last 30
          days other than by the call that sent them;
        * the last one with the same idempotency key.
        """
        ...

    def claim(self, intent_id: str, terminal: str | None = None) -> Lease | None:
        """Lock an intent of ``terminal`` while its command is in progress; ``None`` if a living process holds it.

        The lease ends when it is released, when nothing refers to it any more, or with its process. Without
        ``terminal`` it only shows that nobody holds the intent; no step may then be recorded under it.
        """
        ...

    def resolve(self, intent_id: str, *, paid: bool, by: str, note: str) -> Intent:
        """Record a person's decision about an intent that is not settled: who decided (``by``) and why (``note``).

        ``intent_id`` may be shortened as long as it is unambiguous.

        Raises:
            InvalidValue: there is no such intent, it is settled or in progress, or ``by`` or ``note`` is missing.
        """
        ...

    def intents(self, *, settled: bool = False) -> list[Intent]:
        """The intents that are open, unknown or contradicted, or with ``settled`` all of them, oldest first."""
        ...

    def steps(self, intent_id: str | None = None) -> list[Step]:
        """All steps, or those of one intent, in the order of writing."""
        ...


def elsewhere(journal: Journal, search: Search, most: int) -> list[Step]:
    """The last steps of the newest unsettled intents of terminals other than that of ``search``, at most ``most``.

    A journal may have its own method ``elsewhere``, which is faster and skips those that another host works on.
    """
    own: Callable[[Search, int], list[Step]] | None = getattr(journal, "elsewhere", None)
    if own is not None:
        return own(search, most)
    others = [intent for intent in journal.intents() if not same_terminal(intent, search)]
    return [journal.steps(intent.intent_id)[-1] for intent in others[-most:]]


def since(journal: Journal, at: str) -> list[Step]:
    """The steps since the moment ``at`` (UTC, ISO 8601), in the order of writing.

    A journal may have its own method ``since``, which need not read all the steps.
    """
    own: Callable[[str], list[Step]] | None = getattr(journal, "since", None)
    return [step for step in journal.steps() if step.at >= at] if own is None else own(at)


def now() -> datetime:
    """The wall clock, in UTC."""
    return datetime.now(timezone.utc)


def moment(at: datetime) -> str:
    """A UTC time as text for ``Step.at``; such texts sort by time."""
    return at.isoformat(timespec="milliseconds")


# ---------------------------------------------------------------------------------------------------------------- steps

ASKED = (
    "terminal", "device", "command", "amount", "ticket", "reference", "idempotency_key", "baseline", "frame_hash",
)  # fmt: skip
"""The fields of an intent that never change after its first step."""

FILLED_ONCE = ("terminal_id", "commerce_code")
"""The identity of the terminal: it may become known after the first step, and never changes afterwards."""

_FREE_TEXTS = ("reason", "authorization_code", "decided_by", "note")
"""The fields of an intent whose text comes from outside, and may contain a card number."""

_NOTHING_MOVED = {IntentState.NOT_SENT, IntentState.DECLINED, IntentState.RESOLVED_NOT_PAID}


def check(intent: Intent, known: Intent | None, related: Iterable[Intent]) -> None:
    """Refuse a step that would break an invariant of the state machine (docs/reliability.md, "Invariants").

    Args:
        intent: the step.
        known: the intent before this step; ``None`` if it is new.
        related: for a new intent, the unsettled ones of the same terminal and those with the same key.

    Raises:
        JournalError: the step breaks an invariant.
    """
    if known is None:
        _check_new(intent, related)
    elif intent.state not in NEXT_STATES.get(known.state, ()):
        if known.state in FINAL_STATES:
            raise JournalError(f"intent {intent.intent_id} is settled ({known.state}) and cannot change any more")
        raise JournalError(f"intent {intent.intent_id} cannot go from {known.state} to {intent.state}")
    elif _is_another(intent, known):
        raise JournalError(f"the journal has a different command under intent {intent.intent_id}")


def _check_new(intent: Intent, related: Iterable[Intent]) -> None:
    if intent.state is not IntentState.INTENT:
        raise JournalError(f"intent {intent.intent_id} is not in the journal")
    for other in related:
        if other.open and same_terminal(intent, other):
            raise JournalError(
                f"terminal {intent.terminal} has the open intent {other.intent_id}: poll the terminal first",
                intent_id=other.intent_id,
            )
        key = intent.idempotency_key
        if key is not None and other.idempotency_key == key and other.state not in _NOTHING_MOVED:
            raise JournalError(
                f"intent {other.intent_id} has the same idempotency key and is {other.state}: use a new key for each "
                "command"
            )


def _is_another(intent: Intent, known: Intent) -> bool:
    return any(getattr(intent, name) != getattr(known, name) for name in ASKED) or any(
        getattr(known, name) not in (None, getattr(intent, name)) for name in FILLED_ONCE
    )


def kept(intent: Intent) -> Intent:
    """The intent as it may be recorded, with card numbers in its texts masked."""
    texts = {name: text for name in _FREE_TEXTS if (text := getattr(intent, name)) is not None}
    masked: dict[str, Any] = {name: shown for name, text in texts.items() if (shown := mask(text)) != text}
    return replace(intent, **masked) if masked else intent


# ------------------------------------------------------------------------------------------------------------ decisions


def one_of(unsettled: Iterable[Intent], intent_id: str, settled: Iterable[object]) -> Intent:
    """The unsettled intent whose id begins with ``intent_id``.

    ``settled`` has a true item if the id of a settled intent begins with it.

    Raises:
        InvalidValue: there is none, or more than one.
    """
    found = [one for one in unsettled if intent_id and one.intent_id.startswith(intent_id)]
    if len(found) > 1:
        raise InvalidValue(f"intent {intent_id} is ambiguous: give more characters of its id")
    if not found:
        if any(settled):
            raise InvalidValue(f"intent {intent_id} is already settled: nothing was changed")
        raise InvalidValue(
            f"intent {intent_id} is not in the journal: getnet-pos intents lists them; check the id and --journal"
        )
    return found[0]


def decided(intent: Intent, lease: Lease | None, *, paid: bool, by: str, note: str) -> Intent:
    """The intent as resolved by a person, which needs its ``lease``.

    Raises:
        InvalidValue: the intent is in progress, or ``by`` or ``note`` is missing.
    """
    if not by.strip() or not note.strip():
        raise InvalidValue(
            "by and note must not be empty: say who decided (by) and why (note), because the journal keeps both"
        )
    if lease is None:
        raise InvalidValue(f"intent {intent.intent_id} is in progress: cancel the payment, or wait until it has ended")
    state = IntentState.RESOLVED_PAID if paid else IntentState.RESOLVED_NOT_PAID
    return kept(replace(intent, state=state, found="person", decided_by=by.strip(), note=note.strip()))
