"""What every journal offers, and which steps it takes. No input or output here."""

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
"""How many settled intents of a terminal are remembered: a late copy of a reply is of one of the last few."""


class Keep(Protocol):
    """The right to work on a terminal, which ends when nobody refers to it any more."""

    @property
    def until(self) -> float:
        """Until when nobody else can have it, on the monotonic clock. It grows while it is kept."""
        ...


class Lease:
    """The right to work on one intent. One that is forgotten without being released is released."""

    def __init__(self, let_go: Callable[[], object], keep: Keep | None = None) -> None:
        self._let_go = weakref.finalize(self, let_go)
        self.keep = keep
        """What keeps the terminal for this host, as long as anybody refers to it; ``None`` where no other host can have
        it."""

    @property
    def until(self) -> float:
        """Until when nobody else can work on the intent, on the monotonic clock."""
        return math.inf if self.keep is None else self.keep.until

    def release(self) -> None:
        """Let somebody else work on the intent. It never waits and never fails, and may be called again."""
        self._let_go()


class Journal(Protocol):
    """What the connectors need of a journal. All calls may come from any thread, and raise ``JournalError`` where the
    journal cannot be used.

    On asyncio they are made in threads. A journal with a thread of its own may have ``submit(call, *arguments)``, as an
    ``Executor`` has: then it is given each of these calls, and functions that make several.
    """

    def record(self, intent: Intent) -> None:
        """Add a step, durably before returning. Raises ``JournalError`` where that cannot be promised.

        A step that is ``Intent.passing`` may be written later, before any other step of its intent and before any
        question but ``find`` is answered; that it cannot be is then logged, and it is left out.
        """

    def unsettled(self, terminal: str) -> list[Intent]:
        """The intents of the place ``terminal`` that are open, unknown or contradicted, the oldest first."""
        ...

    def recent(self, terminal: str) -> list[Intent]:
        """The intents of the place ``terminal`` that were settled last, eight of them at least, the oldest first."""
        ...

    def find(self, search: Search) -> list[Step]:
        """The last steps of all intents that must be known before this payment, in the order of writing.

        * of this terminal, by its place, its device, or its terminal id where the commerce codes do not differ: what is
          not settled, and what was settled last;
        * of the same ticket and amount, of whatever terminal: what is not settled, and what was found paid in the last
          30 days otherwise than by the call that waited for it;
        * the last one of the same idempotency key.
        """
        ...

    def claim(self, intent_id: str, terminal: str | None = None) -> Lease | None:
        """Hold an intent of ``terminal`` while its command is in progress; ``None`` where somebody living holds it.

        The lease ends when it is released or forgotten, or with its process. Without ``terminal`` it only shows that
        nobody holds the intent, and no step may be recorded under it.
        """
        ...

    def resolve(self, intent_id: str, *, paid: bool, by: str, note: str) -> Intent:
        """Record what a person found out about an intent that is not settled, with who and why.

        ``intent_id`` may be cut short where that is not ambiguous.

        Raises:
            InvalidValue: there is no such intent, it is settled or still in progress, or a name or a reason is missing.
        """
        ...

    def intents(self, *, settled: bool = False) -> list[Intent]:
        """The intents that are open, unknown or contradicted, or with ``settled`` all of them, the oldest first."""
        ...

    def steps(self, intent_id: str | None = None) -> list[Step]:
        """All steps, or those of one intent, in the order of writing."""
        ...


def elsewhere(journal: Journal, search: Search, most: int) -> list[Step]:
    """The last steps of the newest unsettled intents of terminals other than that of ``search``.

    A journal that can tell them at once, and leaves out those that another host is at, has ``elsewhere`` of its own.
    """
    own: Callable[[Search, int], list[Step]] | None = getattr(journal, "elsewhere", None)
    if own is not None:
        return own(search, most)
    others = [intent for intent in journal.intents() if not same_terminal(intent, search)]
    return [journal.steps(intent.intent_id)[-1] for intent in others[-most:]]


def since(journal: Journal, at: str) -> list[Step]:
    """The steps from a moment on (UTC, ISO 8601), in the order of writing.

    A journal that need not read all of its steps for that has ``since`` of its own.
    """
    own: Callable[[str], list[Step]] | None = getattr(journal, "since", None)
    return [step for step in journal.steps() if step.at >= at] if own is None else own(at)


def now() -> datetime:
    """The wall clock, in UTC."""
    return datetime.now(timezone.utc)


def moment(at: datetime) -> str:
    """A time in UTC as a step has it; the text of an earlier one is less."""
    return at.isoformat(timespec="milliseconds")


# ---------------------------------------------------------------------------------------------------------------- steps

ASKED = (
    "terminal", "device", "command", "amount", "ticket", "reference", "idempotency_key", "baseline", "frame_hash",
)  # fmt: skip
"""What an intent is from its first step on."""

FILLED_ONCE = ("terminal_id", "commerce_code")
"""What the terminal says of itself: it may become known later, and then it stays."""

_TOLD = ("reason", "authorization_code", "decided_by", "note")
"""What others say of an intent."""

_NOTHING_MOVED = {IntentState.NOT_SENT, IntentState.DECLINED, IntentState.RESOLVED_NOT_PAID}


def check(intent: Intent, known: Intent | None, related: Iterable[Intent]) -> None:
    """Refuse a step that would break the promises of the state machine (docs/reliability.md, "Invariants").

    Args:
        known: the intent before this step.
        related: of a new intent, those of the same terminal that are not settled, and those of the same key.
    """
    if known is None:
        _check_new(intent, related)
    elif intent.state not in NEXT_STATES.get(known.state, ()):
        if known.state in FINAL_STATES:
            raise JournalError(f"intent {intent.intent_id} is settled ({known.state}): nothing may change it")
        raise JournalError(f"intent {intent.intent_id} cannot go from {known.state} to {intent.state}")
    elif _is_another(intent, known):
        raise JournalError(f"intent {intent.intent_id} is in the journal as another command")


def _check_new(intent: Intent, related: Iterable[Intent]) -> None:
    if intent.state is not IntentState.INTENT:
        raise JournalError(f"intent {intent.intent_id} is not in the journal")
    for other in related:
        if other.open and same_terminal(intent, other):
            raise JournalError(f"terminal {intent.terminal} has the open intent {other.intent_id}: poll it first")
        key = intent.idempotency_key
        if key is not None and other.idempotency_key == key and other.state not in _NOTHING_MOVED:
            raise JournalError(f"intent {other.intent_id} has the same idempotency key and is {other.state}")


def _is_another(intent: Intent, known: Intent) -> bool:
    return any(getattr(intent, name) != getattr(known, name) for name in ASKED) or any(
        getattr(known, name) not in (None, getattr(intent, name)) for name in FILLED_ONCE
    )


def kept(intent: Intent) -> Intent:
    """The intent as it may be recorded: without card numbers in what others say of it."""
    told = {name: text for name in _TOLD if (text := getattr(intent, name)) is not None}
    masked: dict[str, Any] = {name: shown for name, text in told.items() if (shown := mask(text)) != text}
    return replace(intent, **masked) if masked else intent


# ------------------------------------------------------------------------------------------------------------ decisions


def one_of(unsettled: Iterable[Intent], intent_id: str, settled: Iterable[object]) -> Intent:
    """The intent whose id begins with ``intent_id``; ``settled`` holds something if one of those that are settled does.

    Raises:
        InvalidValue: there is none, or more than one.
    """
    found = [one for one in unsettled if intent_id and one.intent_id.startswith(intent_id)]
    if len(found) > 1:
        raise InvalidValue(f"intent {intent_id} is ambiguous: give more of its id")
    if not found:
        raise InvalidValue(f"intent {intent_id} is {'settled already' if any(settled) else 'not in the journal'}")
    return found[0]


def decided(intent: Intent, lease: Lease | None, *, paid: bool, by: str, note: str) -> Intent:
    """The intent as a person has resolved it, whom only the holder of its lease may be.

    Raises:
        InvalidValue: somebody living holds it, or a name or a reason is missing.
    """
    if not by.strip() or not note.strip():
        raise InvalidValue("say who decides (by) and on what ground (note): both are kept")
    if lease is None:
        raise InvalidValue(f"intent {intent.intent_id} is in progress: end it, or wait until it has ended")
    state = IntentState.RESOLVED_PAID if paid else IntentState.RESOLVED_NOT_PAID
    return kept(replace(intent, state=state, found="person", decided_by=by.strip(), note=note.strip()))
