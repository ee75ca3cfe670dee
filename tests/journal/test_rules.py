"""What a journal takes and what it refuses; the same in memory and in a file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from getnet_pos.errors import JournalError
from getnet_pos.journal import Journal, MemoryJournal, SqliteJournal, recall
from getnet_pos.messages import FINAL_STATES, NEXT_STATES, IntentState
from tests.journal.samples import OPEN, PAID, TERMINAL, UNKNOWN, intent, record


@pytest.fixture(params=["memory", "file"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Journal]:
    if request.param == "memory":
        yield MemoryJournal()
    else:
        with contextlib.closing(SqliteJournal(tmp_path / "journal.sqlite3")) as file:
            file._connected().execute("PRAGMA synchronous=OFF")  # the disk has its own tests
            yield file


def test_an_open_command_is_told_until_it_is_settled(journal: Journal) -> None:
    last = record(journal, intent(), *OPEN)
    assert journal.unsettled(TERMINAL) == [last]
    assert journal.unsettled("usb:/dev/another") == []
    record(journal, last, IntentState.APPROVED)
    assert journal.unsettled(TERMINAL) == []
    assert journal.recent(TERMINAL) == [replace(last, state=IntentState.APPROVED)]


def test_an_unknown_outcome_is_told_for_ever(journal: Journal) -> None:
    doubtful = record(journal, intent(1), *UNKNOWN)
    for number in range(2, 30):
        record(journal, intent(number), *PAID)
    assert journal.unsettled(TERMINAL) == [doubtful]
    recent = journal.recent(TERMINAL)
    assert [one.ticket for one in recent] == [f"T{number}" for number in range(14, 30)]
    assert recall(journal, TERMINAL) == [*recent, doubtful]


def test_one_open_command_a_terminal(journal: Journal) -> None:
    record(journal, intent(1), *OPEN)
    with pytest.raises(JournalError, match=f"open intent {1:032x}: poll it first"):
        journal.record(intent(2))
    record(journal, intent(3, terminal="tcp:192.0.2.1:4000"), *PAID)
    record(journal, replace(intent(1), state=IntentState.UNKNOWN), IntentState.UNKNOWN)
    record(journal, intent(2), *PAID)


@pytest.mark.parametrize(("before", "after"), list(product([None, *IntentState], IntentState)), ids=str)
def test_every_step_that_can_be_thought_of(journal: Journal, before: IntentState | None, after: IntentState) -> None:
    """Only the steps of the state machine are taken, from every state to every other."""
    if before is not None:
        record(journal, intent(), *_way_to(before))
    allowed = {IntentState.INTENT} if before is None else NEXT_STATES.get(before, frozenset())
    if after in allowed:
        journal.record(replace(intent(), state=after))
        assert bool(journal.unsettled(TERMINAL)) == (after not in FINAL_STATES)
    else:
        with pytest.raises(JournalError, match=r"is settled|cannot go|not in the journal"):
            journal.record(replace(intent(), state=after))


def _way_to(state: IntentState) -> list[IntentState]:
    return [IntentState.INTENT] if state is IntentState.INTENT else [IntentState.INTENT, state]


@pytest.mark.parametrize(
    "change", [{"amount": 1}, {"ticket": "B"}, {"terminal": "x"}, {"command": 102}, {"baseline": None}]
)
def test_what_was_asked_never_changes(journal: Journal, change: dict[str, object]) -> None:
    record(journal, intent(), *OPEN)
    with pytest.raises(JournalError, match="as another command"):
        journal.record(replace(intent(), state=IntentState.APPROVED, **change))  # type: ignore[arg-type]
