"""What must be known before a payment: found by any name of the terminal, by ticket and amount, and by key."""

from __future__ import annotations

import contextlib
import random
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from getnet_pos.errors import JournalError
from getnet_pos.journal import Journal, MemoryJournal, Search, SqliteJournal, since
from getnet_pos.messages import FINAL_STATES, NEXT_STATES, Intent, IntentState
from tests.evidence import Count
from tests.journal.samples import LONG_AGO, OPEN, PAID, TERMINAL, UNKNOWN, history, intent, record

ELSEWHERE = "usb:/dev/ttyACM1"
HERE = replace(intent(1), device="serial 0042", terminal_id="T1", commerce_code=550062700310)


def found(journal: Journal, terminal: str = ELSEWHERE, **what: Any) -> list[Intent]:
    return [step.intent for step in journal.find(Search(terminal=terminal, **what))]


# ----------------------------------------------------------------------------------------------------------- a terminal


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ({}, False),
        ({"terminal": TERMINAL}, True),
        ({"device": "serial 0042"}, True),
        ({"device": "serial 0043"}, False),
        ({"terminal_id": "T1", "commerce_code": 550062700310}, True),
        ({"terminal_id": "T1"}, True),
        ({"terminal_id": "T1", "commerce_code": 1}, False),
        ({"terminal_id": "T2", "commerce_code": 550062700310}, False),
        ({"commerce_code": 550062700310}, False),
    ],
    ids=str,
)
@pytest.mark.parametrize("way", [OPEN, UNKNOWN, PAID, (*UNKNOWN, IntentState.RESOLVED_PAID)], ids=lambda way: way[-1])
def test_a_terminal_is_known_by_any_of_its_names(
    journal: Journal, way: tuple[IntentState, ...], name: dict[str, Any], same: bool
) -> None:
    """A port that is called otherwise after a restart, an address given anew: it is the same terminal."""
    last = record(journal, HERE, *way)
    record(journal, intent(2, terminal="tcp:192.0.2.1:4000"), *way)
    assert found(journal, **name) == ([last] if same else [])


def test_a_terminal_has_one_open_command_under_all_its_names(journal: Journal) -> None:
    record(journal, HERE, *OPEN)
    moved = replace(HERE, intent_id="moved", terminal=ELSEWHERE)
    with pytest.raises(JournalError, match=f"has the open intent {HERE.intent_id}"):
        journal.record(moved)
    record(journal, HERE, IntentState.UNKNOWN)
    record(journal, moved, *PAID)


def test_a_name_that_became_known_later_counts(journal: Journal) -> None:
    record(journal, replace(HERE, terminal_id=None, commerce_code=None), IntentState.INTENT)
    assert found(journal, terminal_id="T1") == []
    sent = record(journal, HERE, IntentState.SENT)
    assert found(journal, terminal_id="T1") == [sent]
    record(journal, HERE, IntentState.DECLINED)
    record(journal, replace(HERE, intent_id="next"), IntentState.INTENT)
    assert [one.intent_id for one in found(journal, device="serial 0042")] == [HERE.intent_id, "next"]


# -------------------------------------------------------------------------------------------------- a ticket and amount

SALE = {"ticket": "T1", "amount": 1000}


@pytest.mark.parametrize(
    ("way", "how", "told"),
    [
        (OPEN, None, True),
        (UNKNOWN, None, True),
        (PAID, "call", False),
        (PAID, "recovery", True),
        (PAID, "late reply", True),
        (PAID, None, True),
        ((*UNKNOWN, IntentState.RESOLVED_PAID), "person", True),
        ((*UNKNOWN, IntentState.RESOLVED_NOT_PAID), "person", False),
        ((*UNKNOWN, IntentState.RESOLVED_NOT_PAID, IntentState.CONTRADICTED), "late reply", True),
        ((IntentState.INTENT, IntentState.NOT_SENT), None, False),
        ((IntentState.INTENT, IntentState.DECLINED), "recovery", False),
    ],
    ids=str,
)
def test_a_sale_that_may_have_been_paid_is_told_at_every_terminal(
    journal: Journal, way: tuple[IntentState, ...], how: Any, told: bool
) -> None:
    """But for one that its own call brought home: whoever asked for it knows."""
    last = record(journal, replace(intent(1), found=how), *way)
    assert bool(found(journal, **SALE)) is told
    journal.intents()  # to ask has the step written, where it would wait for the next
    assert found(journal, **SALE) == ([last] if told else [])
    assert found(journal, ticket="T1", amount=999) == found(journal, ticket="T2", amount=1000) == []
    assert found(journal, amount=1000) == []


def test_a_sale_without_an_amount_is_one_of_its_own(journal: Journal) -> None:
    void = record(journal, replace(intent(1), command=102, amount=None), *UNKNOWN)
    assert found(journal, ticket="T1") == [void]
    assert found(journal, **SALE) == []


def test_a_decision_that_was_taken_back_is_not_told(journal: Journal) -> None:
    """The row of the first decision is still there; it is not the last word."""
    one = record(journal, replace(intent(1), found="person"), *UNKNOWN, IntentState.RESOLVED_PAID)
    assert found(journal, **SALE) == [one]
    record(journal, one, IntentState.CONTRADICTED, IntentState.RESOLVED_NOT_PAID)
    assert found(journal, **SALE) == []


def test_what_was_paid_long_ago_is_not_told(folder: Path) -> None:
    path = folder / "journal.sqlite3"
    with contextlib.closing(SqliteJournal(path)) as journal:
        history(path, 20, how="recovery")
        old = journal.steps()[-1]
        assert old.at == LONG_AGO
        assert found(journal, ticket=old.intent.ticket, amount=1000, terminal="usb:new") == []
        now = record(
            journal, replace(old.intent, intent_id="now", found=None), IntentState.INTENT, IntentState.APPROVED
        )
        assert found(journal, ticket=old.intent.ticket, amount=1000, terminal="usb:new") == [now]


# ---------------------------------------------------------------------------------------------------------------- a key


@pytest.mark.parametrize(
    "way", [OPEN, UNKNOWN, PAID, (IntentState.INTENT, IntentState.DECLINED)], ids=lambda way: way[-1]
)
def test_a_key_finds_its_payment_wherever_it_was_made(journal: Journal, way: tuple[IntentState, ...]) -> None:
    last = record(journal, replace(intent(1), idempotency_key="order 7", found=None, reply='{"amount": 1000}'), *way)
    for number in range(2, 40):
        record(journal, replace(intent(number, terminal="usb:3"), idempotency_key=f"order {number}0"), *PAID)
    assert found(journal, idempotency_key="order 7") == [last]
    assert found(journal, idempotency_key="order") == []


def test_a_key_finds_the_last_attempt(journal: Journal) -> None:
    for number in range(1, 4):
        record(journal, replace(intent(number), idempotency_key="k"), IntentState.INTENT, IntentState.NOT_SENT)
    last = record(journal, replace(intent(4), idempotency_key="k"), *PAID)
    assert found(journal, idempotency_key="k") == [last]


def test_all_that_is_found_comes_once_in_the_order_of_writing(journal: Journal) -> None:
    one = replace(HERE, idempotency_key="order 7", found="recovery")
    first = record(journal, one, *UNKNOWN)
    second = record(journal, replace(intent(2), found="call"), *PAID)
    elsewhere = record(journal, replace(intent(1, terminal="tcp:1"), intent_id="x", found="late reply"), *PAID)
    assert found(journal, TERMINAL, **SALE, idempotency_key="order 7", device="serial 0042") == [
        first, second, elsewhere,
    ]  # fmt: skip
    [step, *_] = journal.find(Search(terminal=TERMINAL))
    assert step == journal.steps(HERE.intent_id)[-1]


# ------------------------------------------------------------------------------------------------------- both the same


@pytest.mark.parametrize("seed", range(4))
def test_a_file_finds_what_a_memory_finds(folder: Path, seed: int, count: Count) -> None:
    """With several writers, and readers that come late: nothing that is not settled, and nothing paid, is missed."""
    chance = random.Random(seed)
    path = folder / "journal.sqlite3"
    truth, writers = MemoryJournal(), [SqliteJournal(path), SqliteJournal(path)]
    known: dict[str, Intent] = {}
    refused = 0
    for number in range(count(short=60, evidence=200, long=2_000)):
        going_on = [one for one in known.values() if one.state in NEXT_STATES]
        if going_on and chance.random() < 0.7:
            before = chance.choice(going_on)
            after = replace(before, state=chance.choice(sorted(NEXT_STATES[before.state])), found=chance.choice(_FOUND))
        else:
            after = Intent(intent_id=f"{number:032x}", command=100, **_names(chance, number))
        writer = chance.choice(writers)
        answers = [_answer(one, after) for one in (truth, writer)]
        writer.intents()  # to ask has the step written, where it would wait for the next
        assert answers[0] == answers[1]
        if answers[0] is not None:
            refused += 1
            continue
        known[after.intent_id] = after
        reader = chance.choice([*writers, SqliteJournal(path)])
        search = Search(**_names(chance, number))
        here, there = ({step.intent.intent_id: step.intent for step in one.find(search)} for one in (reader, truth))
        assert here.items() <= there.items()
        missed = [one for intent_id, one in there.items() if intent_id not in here]
        assert all(one.state in FINAL_STATES and one.terminal == search.terminal for one in missed)
        assert reader.intents() == truth.intents()
        assert reader.intents(settled=True) == truth.intents(settled=True)
    assert refused
    assert [step.intent for step in writers[0].steps()] == [step.intent for step in truth.steps()]


def _answer(journal: Journal, intent: Intent) -> str | None:
    try:
        journal.record(intent)
    except JournalError as error:
        return str(error)
    return None


_FOUND: Any = ("call", "recovery", "late reply", None)


def _names(chance: random.Random, number: int) -> dict[str, Any]:
    return {
        "terminal": f"usb:{chance.randrange(9)}",
        "device": chance.choice([None, None, "d1", "d2"]),
        "terminal_id": chance.choice([None, None, "T1", "T2"]),
        "commerce_code": chance.choice([None, 1, 2]),
        "ticket": chance.choice([None, f"A{number // 40}", f"B{number // 40}"]),
        "amount": chance.choice([1, 2]),
        "idempotency_key": chance.choice([None, None, "k1", "k2", "k3"]),
    }


# ----------------------------------------------------------------------------------------------------- from a moment on


def test_the_steps_from_a_moment_on(journal: Journal) -> None:
    first = record(journal, intent(1), *PAID)
    [*_, last] = journal.steps(first.intent_id)
    time.sleep(0.005)
    second = record(journal, intent(2), *PAID)
    steps = journal.steps(second.intent_id)
    assert since(journal, LONG_AGO) == journal.steps()
    assert since(journal, steps[0].at) == steps
    assert since(journal, last.at)[-len(steps) :] == steps
    assert since(journal, "9999") == []
