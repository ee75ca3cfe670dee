"""What a journal takes and what it refuses; the same in memory and in a file."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import fields, replace
from itertools import product

import pytest

from getnet_pos.errors import InvalidValue, JournalError
from getnet_pos.journal import Journal, MemoryJournal, rules
from getnet_pos.messages import FINAL_STATES, NEXT_STATES, Intent, IntentState, VoucherMark
from tests.journal.samples import MARK, OPEN, PAID, TERMINAL, UNKNOWN, intent, record


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
    assert [*journal.recent(TERMINAL), *journal.unsettled(TERMINAL)] == [*recent, doubtful]


def test_one_open_command_a_terminal(journal: Journal) -> None:
    record(journal, intent(1), *OPEN)
    with pytest.raises(JournalError, match=f"open intent {1:032x}: poll the terminal first"):
        journal.record(intent(2))
    record(journal, intent(3, terminal="tcp:192.0.2.1:4000"), *PAID)
    record(journal, replace(intent(1), state=IntentState.UNKNOWN), IntentState.UNKNOWN)
    record(journal, intent(2), *PAID)


@pytest.mark.parametrize(("before", "after"), list(product([None, *IntentState], IntentState)), ids=str)
def test_every_step_that_can_be_thought_of(
    journal: Journal, before: IntentState | None, after: IntentState, caplog: pytest.LogCaptureFixture
) -> None:
    """Only the steps of the state machine are taken, from every state to every other."""
    if before is not None:
        record(journal, intent(), *_way_to(before))
    allowed = {IntentState.INTENT} if before is None else NEXT_STATES.get(before, frozenset())
    if after in allowed:
        journal.record(replace(intent(), state=after))
        assert bool(journal.unsettled(TERMINAL)) == (after not in FINAL_STATES)
        assert bool(journal.recent(TERMINAL)) == (after in FINAL_STATES)
    else:
        steps = journal.steps()
        with _refusal(journal, caplog, after):
            journal.record(replace(intent(), state=after))
        assert journal.steps() == steps


@contextlib.contextmanager
def _refusal(journal: Journal, caplog: pytest.LogCaptureFixture, state: IntentState) -> Iterator[None]:
    """What nobody waits for is refused where it is written, and the log says so."""
    why = r"is settled|cannot go|not in the journal"
    if not isinstance(journal, MemoryJournal) and replace(intent(), state=state).passing:
        yield
        assert journal.intents() is not None
        assert re.search(rf"state {state} of intent {intent().intent_id} could not be recorded: .*({why})", caplog.text)
    else:
        with pytest.raises(JournalError, match=why):
            yield


def _way_to(state: IntentState) -> list[IntentState]:
    if state is IntentState.INTENT:
        return [state]
    way = [IntentState.RESOLVED_PAID] if state is IntentState.CONTRADICTED else []
    return [IntentState.INTENT, *way, state]


ASKED = {
    "terminal": "x", "device": "x", "command": 102, "amount": 1, "ticket": "B", "reference": "5", "baseline": None,
    "idempotency_key": "k", "frame_hash": "00",
}  # fmt: skip
FILLED_ONCE = {"terminal_id": "T2", "commerce_code": 2}
RESULTS = {
    "state", "transaction_id", "reason", "found", "response_code", "authorization_code", "operation_id", "real_date",
    "last4_digits", "reply", "decided_by", "note",
}  # fmt: skip


@pytest.mark.parametrize("change", [{name: value} for name, value in ASKED.items()], ids=str)
def test_what_was_asked_never_changes(journal: Journal, change: dict[str, object]) -> None:
    record(journal, intent(), *OPEN)
    with pytest.raises(JournalError, match=r"a different command under|not in the journal"):
        journal.record(replace(intent(), state=IntentState.APPROVED, **change))  # type: ignore[arg-type]  # the changes are fields


@pytest.mark.parametrize("change", [{name: value} for name, value in FILLED_ONCE.items()], ids=str)
def test_what_the_terminal_is_may_become_known_and_stays(journal: Journal, change: dict[str, object]) -> None:
    named = replace(intent(), terminal_id="T1", commerce_code=1)
    record(journal, intent(), IntentState.INTENT)
    record(journal, named, IntentState.SENT)
    for other in (replace(named, **change), intent()):  # type: ignore[arg-type]  # the changes are fields
        with pytest.raises(JournalError, match="a different command under intent"):
            journal.record(replace(other, state=IntentState.UNKNOWN))
    record(journal, named, IntentState.APPROVED)


def test_every_attribute_is_asked_or_a_result() -> None:
    assert {"intent_id", *ASKED, *FILLED_ONCE, *RESULTS} == {item.name for item in fields(Intent)}
    assert {*ASKED} == {*rules.ASKED}
    assert {*FILLED_ONCE} == {*rules.FILLED_ONCE}


# ---------------------------------------------------------------------------------------------------- one payment a key


@pytest.mark.parametrize("terminal", [TERMINAL, "tcp:192.0.2.1:4000"])
@pytest.mark.parametrize("way", [UNKNOWN, PAID, (*UNKNOWN, IntentState.RESOLVED_PAID)], ids=lambda way: way[-1])
def test_a_key_is_one_payment(journal: Journal, way: tuple[IntentState, ...], terminal: str) -> None:
    """Whoever looked first and found nothing: of two that are recorded at once, one is refused."""
    record(journal, replace(intent(1), idempotency_key="order 7"), *way)
    with pytest.raises(JournalError, match=f"intent {1:032x} has the same idempotency key and is {way[-1]}"):
        journal.record(replace(intent(2, terminal=terminal), idempotency_key="order 7"))
    record(journal, replace(intent(3), idempotency_key="order 8"), IntentState.INTENT)


@pytest.mark.parametrize("end", [IntentState.NOT_SENT, IntentState.DECLINED, IntentState.RESOLVED_NOT_PAID])
def test_a_key_may_be_used_again_where_nothing_was_charged(journal: Journal, end: IntentState) -> None:
    for number in range(3):
        record(journal, replace(intent(number), idempotency_key="order 7"), IntentState.INTENT, end)
    assert [one.state for one in journal.intents(settled=True)] == [end] * 3


def test_a_payment_that_was_charged_after_all_keeps_its_key(journal: Journal) -> None:
    first = record(journal, replace(intent(1), idempotency_key="order 7"), *UNKNOWN, IntentState.RESOLVED_NOT_PAID)
    record(journal, replace(intent(2), idempotency_key="order 7"), IntentState.INTENT, IntentState.DECLINED)
    record(journal, first, IntentState.CONTRADICTED)
    with pytest.raises(JournalError, match="is CONTRADICTED"):
        journal.record(replace(intent(3), idempotency_key="order 7"))


# ------------------------------------------------------------------------------------------------------- what is kept


def test_every_step_of_a_payment_is_kept(journal: Journal) -> None:
    record(journal, intent(1), *PAID)
    record(journal, intent(2), *OPEN)
    assert [(step.intent.ticket, step.sequence, str(step.intent.state)) for step in journal.steps()] == [
        ("T1", 0, "INTENT"), ("T1", 1, "SENT"), ("T1", 2, "ACCEPTED"), ("T1", 3, "APPROVED"),
        ("T2", 0, "INTENT"), ("T2", 1, "SENT"), ("T2", 2, "ACCEPTED"),
    ]  # fmt: skip
    assert [step.intent.state for step in journal.steps(intent(2).intent_id)] == list(OPEN)
    assert [one.ticket for one in journal.intents()] == ["T2"]
    assert [one.ticket for one in journal.intents(settled=True)] == ["T1", "T2"]
    assert journal.steps()[0].intent.baseline == MARK
    assert journal.steps()[0].at.endswith("+00:00")
    assert journal.steps("another") == []


def test_what_a_step_holds_is_told_as_it_was_recorded(journal: Journal) -> None:
    whole = Intent(
        intent_id="a", terminal="usb:1", terminal_id="T1", commerce_code=550062700310, device="serial 0042",
        command=102, amount=1, ticket="Ñ 7", reference="41", idempotency_key="order 7", baseline=VoucherMark(),
        transaction_id="17", frame_hash="ab", reason="no acknowledgement", found="recovery", response_code=0,
        authorization_code="000123", operation_id=-1, real_date="2026-01-01", last4_digits="0042",
        reply='{"amount": 1}', decided_by="Ana", note="x",
    )  # fmt: skip
    assert None not in [getattr(whole, item.name) for item in fields(Intent)]
    journal.record(whole)
    assert journal.intents() == [whole]


# ------------------------------------------------------------------------------------------------------------ resolving


def test_a_person_settles_what_nobody_knows(journal: Journal) -> None:
    record(journal, intent(), *UNKNOWN)
    decided = journal.resolve(intent().intent_id, paid=True, by=" Ana ", note="voucher 0042 in the drawer")
    assert (decided.state, decided.found, decided.decided_by) == (IntentState.RESOLVED_PAID, "person", "Ana")
    assert journal.intents() == []
    assert journal.intents(settled=True) == [decided]


def test_an_identifier_may_be_cut_short(journal: Journal) -> None:
    record(journal, intent(0xA << 124), *UNKNOWN)
    record(journal, intent(0xB << 124), *UNKNOWN)
    record(journal, intent(0xC << 124), *PAID)
    assert journal.resolve("a", paid=False, by="Ana", note="no voucher").state is IntentState.RESOLVED_NOT_PAID
    for cut, why in (
        ("a", "is already settled"),
        ("c0", "is already settled"),
        ("f", "is not in the"),
        ("", "not in the"),
    ):
        with pytest.raises(InvalidValue, match=why):
            journal.resolve(cut, paid=True, by="Ana", note="x")
    record(journal, intent(0xBB << 120), *UNKNOWN)
    with pytest.raises(InvalidValue, match="ambiguous"):
        journal.resolve("b", paid=True, by="Ana", note="x")
    with pytest.raises(InvalidValue, match="who decided"):
        journal.resolve("bb", paid=True, by=" ", note="x")


def test_a_reply_that_contradicts_a_person_is_kept_and_shown(journal: Journal) -> None:
    """The decision stays what it was; that a reply says otherwise is one more step, for a person to look at."""
    record(journal, intent(), *UNKNOWN)
    decided = journal.resolve(intent().intent_id, paid=False, by="Ana", note="no voucher")
    with pytest.raises(JournalError, match=r"settled \(RESOLVED_NOT_PAID\)"):
        journal.record(replace(decided, state=IntentState.APPROVED))
    contradicted = replace(decided, state=IntentState.CONTRADICTED, found="late reply", response_code=0, reply="{}")
    journal.record(contradicted)
    assert journal.intents() == journal.unsettled(TERMINAL) == [contradicted]
    assert (contradicted.decided_by, contradicted.note) == ("Ana", "no voucher")
    assert journal.recent(TERMINAL) == []
    again = journal.resolve(decided.intent_id, paid=True, by="Eva", note="the voucher has come")
    assert journal.intents() == []
    assert journal.recent(TERMINAL) == [again]
    assert [str(step.intent.state) for step in journal.steps(decided.intent_id)][-3:] == [
        "RESOLVED_NOT_PAID", "CONTRADICTED", "RESOLVED_PAID",
    ]  # fmt: skip
