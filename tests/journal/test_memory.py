"""The journal that is switched off: one memory a process, and it does not grow for ever."""

from __future__ import annotations

from datetime import timedelta

import pytest

from getnet_pos.journal import MemoryJournal, Search, open_journal
from tests.journal.samples import PAID, TERMINAL, UNKNOWN, intent, record


def test_switching_it_off_is_said(caplog: pytest.LogCaptureFixture) -> None:
    assert isinstance(open_journal(None), MemoryJournal)
    assert "cannot be recovered" in caplog.text


def test_what_one_connector_does_not_know_the_next_one_knows() -> None:
    """It lasts as long as the process, not as long as the connector that asked for it."""
    record(open_journal(None), intent(1), *UNKNOWN)
    assert [one.ticket for one in open_journal(None).unsettled(TERMINAL)] == ["T1"]


def test_it_does_not_grow_for_ever() -> None:
    """What is not settled stays, and of each terminal what was settled last; the rest stays for a while."""
    journal = MemoryJournal()
    doubtful = record(journal, intent(1), *UNKNOWN)
    rare = record(journal, intent(2, terminal="usb:rare"), *PAID)
    for number in range(10, 5_010):
        record(journal, intent(number), *PAID)
    assert len(journal.intents(settled=True)) == 4_097
    assert len(journal.steps()) == 4_096 * 4 + 5
    assert journal.intents() == [doubtful]
    assert journal.recent("usb:rare") == [rare]
    assert journal.steps(intent(2).intent_id) == []
    assert journal.find(Search(terminal="usb:another", ticket="T10", amount=1000)) == []
    assert [step.intent.ticket for step in journal.find(Search(terminal="x", ticket="T5009", amount=1000))] == ["T5009"]


def test_it_forgets_what_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    journal = MemoryJournal()
    record(journal, intent(1), *UNKNOWN)
    record(journal, intent(2), *PAID)
    monkeypatch.setattr("getnet_pos.journal.memory.REMEMBERED", timedelta(seconds=-1))
    record(journal, intent(3), *PAID)
    assert [one.ticket for one in journal.intents(settled=True)] == ["T1"]
    assert [one.ticket for one in journal.recent(TERMINAL)] == ["T2", "T3"]
