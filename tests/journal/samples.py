"""Intents to write, and the ways they go."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

from getnet_pos.journal import Journal, SqliteJournal, Step
from getnet_pos.journal.known import Row
from getnet_pos.journal.rules import moment, now
from getnet_pos.journal.schema import DESCRIPTION, INSERT, WHOLE, written_row
from getnet_pos.journal.worker import NewStep
from getnet_pos.messages import HowFound, Intent, IntentState, VoucherMark

TERMINAL = "usb:/dev/ttyACM0"
LONG_AGO = "2020-01-01T12:00:00.000+00:00"
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


def together(journal: SqliteJournal, *steps: Intent) -> list[Future[None]]:
    """Write the steps in one transaction, as if they had come while the disk was busy."""
    waiting = [NewStep(step, moment(now())) for step in steps]
    journal._worker.submit(lambda: journal._file.turn([*waiting])).result()
    return [step.future for step in waiting]


OPEN = (IntentState.INTENT, IntentState.SENT, IntentState.ACCEPTED)
PAID = (*OPEN, IntentState.APPROVED)
SEVERAL = (
    replace(intent(9), state=IntentState.RECOVERING),
    replace(intent(9), state=IntentState.APPROVED),
    *(intent(number, terminal=f"usb:{number}") for number in range(10, 20)),
)
"""Steps of one transaction: of one that is open, after which comes its end, and new ones of other terminals."""

UNKNOWN = (*OPEN, IntentState.RECOVERING, IntentState.UNKNOWN)


def history(path: Path, payments: int, *, unsettled: tuple[int, ...] = (), how: HowFound = "call") -> None:
    """Add payments of long ago to the file, all at once; ``unsettled`` are the last rows of what is not settled."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("PRAGMA synchronous=OFF")
        file.execute("BEGIN")
        [number] = file.execute("SELECT coalesce(max(id), 0) FROM step").fetchone()
        for payment in range(payments):
            one = intent(1_000_000 + payment, terminal="usb:old")
            for sequence, state in enumerate(PAID):
                number += 1
                settled = state is IntentState.APPROVED
                step = Step(replace(one, state=state, found=how if settled else None), sequence, LONG_AGO)
                open_ones = unsettled if settled else (*unsettled, number)
                row = Row(number, step, open_ones if number % WHOLE == 1 else None)
                file.execute(INSERT, written_row(row))
        file.execute("COMMIT")


@contextlib.contextmanager
def tampering(path: Path) -> Iterator[sqlite3.Connection]:
    """The file in the hands of one who may change and delete rows, and leaves no other trace."""
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("DROP TRIGGER never_changed")
        other.execute("DROP TRIGGER never_deleted")
        yield other
        for statement in DESCRIPTION:
            if statement.startswith("CREATE TRIGGER"):
                other.execute(statement)
        other.commit()
