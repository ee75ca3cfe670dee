"""Intents to write, and the ways they go."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from getnet_pos.journal import Journal
from getnet_pos.journal.schema import DESCRIPTION
from getnet_pos.messages import Intent, IntentState, VoucherMark

TERMINAL = "usb:/dev/ttyACM0"
MARK = VoucherMark(7, "2026-01-01 12:00:00", "123456", 1000, 100)


def intent(number: int = 1, *, terminal: str = TERMINAL) -> Intent:
    return Intent(
        intent_id=f"{number:032x}",
        terminal=terminal,
        command=100,
        amount=1000,
        ticket=f"T{number}",
        baseline=MARK,
        frame_hash="ab" * 32,
    )


def record(journal: Journal, one: Intent, *states: IntentState) -> Intent:
    """Record the intent in each state, one after the other; the last step."""
    for state in states:
        one = replace(one, state=state)
        journal.record(one)
    return one


OPEN = (IntentState.INTENT, IntentState.SENT, IntentState.ACCEPTED)
PAID = (*OPEN, IntentState.APPROVED)
UNKNOWN = (*OPEN, IntentState.RECOVERING, IntentState.UNKNOWN)


@contextlib.contextmanager
def tampering(path: Path) -> Iterator[sqlite3.Connection]:
    """The file in the hands of one who may change and delete rows, and leaves no other trace."""
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("DROP TRIGGER never_changed")
        other.execute("DROP TRIGGER never_deleted")
        yield other
        for statement in DESCRIPTION[1:]:
            other.execute(statement)
        other.commit()
