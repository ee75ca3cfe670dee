"""What every journal offers, and which steps it takes. No input or output here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from ..errors import JournalError
from ..messages import FINAL_STATES, NEXT_STATES, Intent, IntentState

__all__ = ["ASKED", "FILLED_ONCE", "RECENT", "Journal", "Step", "check", "recall"]

RECENT: Final = 16
"""How many settled intents of a terminal are remembered: a late copy of a reply is of one of the last few."""


class Journal(Protocol):
    """What the connectors need of a journal. All calls may come from any thread."""

    def record(self, intent: Intent) -> None:
        """Add a step, durably before returning. Raises ``JournalError`` where that cannot be promised."""

    def unsettled(self, terminal: str) -> list[Intent]:
        """The intents of a terminal that are open or unknown, the oldest first."""
        ...

    def recent(self, terminal: str) -> list[Intent]:
        """The intents of a terminal that were settled last, eight of them at least, the oldest first."""
        ...


def recall(journal: Journal, terminal: str) -> list[Intent]:
    """What a flow asks of a journal with ``Recall``."""
    return [*journal.recent(terminal), *journal.unsettled(terminal)]


@dataclass(frozen=True, slots=True)
class Step:
    """One row of the journal: what an intent was at a moment."""

    intent: Intent
    sequence: int
    at: str
    """UTC, ISO 8601."""


ASKED = (
    "terminal", "device", "command", "amount", "ticket", "reference", "baseline", "frame_hash", "idempotency_key",
)  # fmt: skip
"""What an intent is from its first step on."""

FILLED_ONCE = ("terminal_id", "commerce_code")
"""What the terminal says of itself: it may become known later, and then it stays."""


def check(intent: Intent, known: Intent | None, unsettled: Iterable[Intent]) -> None:
    """Refuse a step that would break the promises of the state machine (docs/reliability.md, "Invariants").

    ``unsettled`` are the intents of the same terminal that are open or unknown.
    """
    if known is None:
        if intent.state is not IntentState.INTENT:
            raise JournalError(f"intent {intent.intent_id} is not in the journal")
        for other in unsettled:
            if other.open:
                raise JournalError(f"terminal {intent.terminal} has the open intent {other.intent_id}: poll it first")
    elif known.state in FINAL_STATES:
        raise JournalError(f"intent {intent.intent_id} is settled ({known.state}): nothing may change it")
    elif intent.state not in NEXT_STATES[known.state]:
        raise JournalError(f"intent {intent.intent_id} cannot go from {known.state} to {intent.state}")
    elif _is_another(intent, known):
        raise JournalError(f"intent {intent.intent_id} is in the journal as another command")


def _is_another(intent: Intent, known: Intent) -> bool:
    return any(getattr(intent, name) != getattr(known, name) for name in ASKED) or any(
        getattr(known, name) not in (None, getattr(intent, name)) for name in FILLED_ONCE
    )
