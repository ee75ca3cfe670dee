"""``intents`` and ``resolve`` on a real journal file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from getnet_pos import Intent, IntentState, SqliteJournal

Run = Callable[..., Any]


@pytest.fixture
def journal(tmp_path: Path) -> str:
    """A journal with an approved, an open and an unknown intent."""
    path = tmp_path / "named.sqlite3"
    book = SqliteJournal(path)
    for number, state in enumerate([IntentState.APPROVED, IntentState.ACCEPTED, IntentState.UNKNOWN]):
        intent = Intent(
            intent_id=f"{number}" * 32,
            terminal=f"usb:/dev/ttyACM{number}",
            command=100,
            amount=1_000,
            ticket=f"A{number}",
        )
        book.record(intent)
        book.record(replace(intent, state=IntentState.SENT))
        book.record(replace(intent, state=state))
    book.close()
    return str(path)


def test_open_and_unknown_ones_unless_all_are_asked_for(called: Run, journal: str) -> None:
    shown = called("intents", "--json", "--journal", journal)
    assert [intent["state"] for intent in shown.document] == ["ACCEPTED", "UNKNOWN"]
    assert list(shown.document[0])[:6] == ["intent_id", "terminal", "command", "ticket", "amount", "state"]
    everything = called("intents", "--all", "--json", "--journal", journal).document
    assert [intent["ticket"] for intent in everything] == ["A0", "A1", "A2"]


def test_environment_names_the_journal(called: Run, journal: str) -> None:
    assert len(called("intents", "--json", env={"GETNET_POS_JOURNAL": journal}).document) == 2


def test_table_for_people(called: Run, journal: str) -> None:
    shown = called("intents", "--journal", journal).out
    assert "222222222222" in shown
    assert "UNKNOWN" in shown
    assert "sale" in shown


def test_resolved_by_the_beginning_of_its_id(called: Run, journal: str) -> None:
    resolved = called(
        "resolve", "222", "--paid", "--by", "Ana", "--note", "voucher seen", "--journal", journal, "--json"
    )
    assert resolved.code == 0
    assert (resolved.document["intent_id"], resolved.document["state"]) == ("2" * 32, "RESOLVED_PAID")
    [kept] = [
        intent for intent in called("intents", "--all", "--json", "--journal", journal).document if intent["decided_by"]
    ]
    assert (kept["state"], kept["decided_by"], kept["note"]) == ("RESOLVED_PAID", "Ana", "voucher seen")


@pytest.mark.parametrize(
    ("intent", "by", "words"),
    [
        ("9", "Ana", "not in the journal"),
        ("0" * 32, "Ana", "already settled"),
        ("2", " ", "who decided"),
        ("", "Ana", "journal"),
    ],
)
def test_what_cannot_be_resolved(called: Run, journal: str, intent: str, by: str, words: str) -> None:
    refused = called("resolve", intent, "--paid", "--by", by, "--note", "n", "--journal", journal)
    assert refused.code == 2
    assert words in refused.err
    assert len(called("intents", "--json", "--journal", journal).document) == 2


def test_journal_that_is_not_there_is_not_made(called: Run, tmp_path: Path) -> None:
    path = tmp_path / "nothing" / "here.sqlite3"
    shown = called("intents", "--json", "--journal", str(path))
    assert (shown.code, shown.document) == (0, [])
    assert "no journal at" in shown.err
    refused = called("resolve", "1", "--paid", "--by", "Ana", "--note", "n", "--journal", str(path))
    assert refused.code == 2
    assert not path.parent.exists()
