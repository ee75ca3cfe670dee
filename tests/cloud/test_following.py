"""A command after the cloud has it: its status, a restart of the register, a full disk."""

from __future__ import annotations

import contextlib

import pytest

from getnet_pos import (
    IntentState,
    JournalError,
    OutcomeUnknown,
    Profile,
)
from getnet_pos.messages import Sale, SalePromotion
from getnet_pos.simulator import Behaviour, Outcome
from getnet_pos.simulator.cloud import CloudFault, CloudFaultKind, Where
from tests.cloud.registers import (
    CHILE,
    HOOK,
    K,
    both,
    hooked,
    opened,
    polled,
)
from tests.faults.world import Killed

# ------------------------------------------------------------------------------------------ after the answer: following


@both
@pytest.mark.parametrize("kind", [K.OVERTAKEN, K.IN_PROCESS])
def test_a_status_that_is_not_there_yet(profile: Profile, kind: CloudFaultKind) -> None:
    register = polled(profile, webhook=HOOK)
    register.cloud.inject(CloudFault(kind, count=4))
    assert register.sell().approved
    assert register.journal.states() == [IntentState.APPROVED]


@pytest.mark.parametrize("kind", [K.SERVER_ERROR, K.RATE_LIMIT, K.HTML, K.DROP_BEFORE, K.TIMEOUT_AFTER, K.CUT_JSON])
def test_a_status_that_cannot_be_asked_is_asked_again(kind: CloudFaultKind) -> None:
    register = polled(webhook=HOOK)
    register.cloud.inject(CloudFault(kind, Where.STATUS, times=3))
    assert register.sell().approved
    assert register.journal.history() == [
        IntentState.INTENT, IntentState.ACCEPTED, IntentState.APPROVED,
    ]  # fmt: skip


def test_a_status_that_is_forbidden_is_a_doubt() -> None:
    register = polled(webhook=HOOK)
    register.cloud.inject(CloudFault(K.FORBIDDEN, Where.STATUS))
    assert register.sell().approved
    assert register.journal.history()[2] is IntentState.RECOVERING


@both
def test_what_is_in_process_when_its_time_is_over_is_asked_about(profile: Profile) -> None:
    register = polled(profile, webhook=HOOK, default=Behaviour(decide_after=330))
    assert register.sell().approved
    states = register.journal.history()
    assert states[1:3] == [IntentState.ACCEPTED, IntentState.RECOVERING]


@both
def test_what_never_ends_is_unknown_and_settled_when_the_cloud_knows(profile: Profile) -> None:
    register = polled(profile, webhook=HOOK)
    register.terminal.script.append(Behaviour(decide_after=800))
    begun = register.now
    with pytest.raises(OutcomeUnknown):
        register.sell()
    assert 300 + 60 - 10 <= register.now - begun < 300 + 60 + 10
    assert [one.state for one in register.run(register.session.recover())] == [IntentState.UNKNOWN]
    register.cloud.inject(CloudFault(K.SERVER_ERROR, Where.STATUS))
    assert [one.state for one in register.run(register.session.recover())] == [IntentState.UNKNOWN]
    register.pass_time(500)
    assert register.run(register.session.recover()) == []
    assert register.journal.states() == [IntentState.APPROVED]


def test_a_poll_asks_once_more_about_what_is_unknown() -> None:
    register = polled(webhook=HOOK)
    register.terminal.script.append(Behaviour(decide_after=800))
    with pytest.raises(OutcomeUnknown):
        register.sell()
    register.pass_time(600)  # until the terminal has decided
    assert register.poll().approved
    assert register.journal.states() == [IntentState.APPROVED]


def test_the_same_ticket_is_not_charged_again_while_its_outcome_is_unknown() -> None:
    register = polled()
    register.cloud.inject(CloudFault(K.DROP_BEFORE))
    with pytest.raises(OutcomeUnknown):
        register.sell()
    with pytest.raises(OutcomeUnknown, match="nothing was sent"):
        register.sell()
    assert len(register.sent) == 1
    assert register.sell(ticket="T2").approved
    assert register.sell(1001).approved


@both
def test_a_refusal_by_the_terminals_own_error_is_a_doubt(profile: Profile) -> None:
    register = polled(profile)
    register.terminal.script.append(Behaviour(change={"FunctionCode": 0, "ResponseMessage": "Error"}))
    assert register.sell().approved
    assert IntentState.RECOVERING in register.journal.history()


# ------------------------------------------------------------------------------------------------------------ a restart


@both
@hooked
def test_a_restart_at_any_moment_finds_out(profile: Profile, webhook: str | None) -> None:
    whole = polled(profile, webhook=webhook)
    before = whole.effects
    whole.sell()
    for dies_at in range(before + 1, whole.effects + 2):
        register = polled(profile, webhook=webhook)
        register.dies_at = dies_at
        with contextlib.suppress(Killed):
            register.sell()
        named = profile is CHILE or any(step.transaction_id or not step.open for step in register.journal.written)
        again = register.restarted(after=10)
        assert again.poll().approved
        charged = len(again.terminal.ledger.entries)
        # Killed before the call, it cannot be known that there was none; nor whose a record is that names no ticket.
        wanted = [IntentState.APPROVED] if charged and named else [IntentState.UNKNOWN] if again.journal.written else []
        assert again.journal.states() == wanted, dies_at
        assert charged <= 1
        assert again.sell(ticket="T2").approved


def test_polling_a_terminal_that_is_not_ready_settles_nothing() -> None:
    register = opened()
    register.terminal.answers[106] = Behaviour(change={"Connected": False})
    assert register.poll().connected is False
    assert "details" not in register.calls()


# ---------------------------------------------------------------------------------------------------------- the journal


@both
@pytest.mark.parametrize("state", [IntentState.ACCEPTED, IntentState.RECOVERING, IntentState.APPROVED])
def test_a_step_that_cannot_be_recorded_does_not_stop_a_command_that_has_left(
    profile: Profile, state: IntentState
) -> None:
    register = polled(profile, webhook=HOOK)
    register.journal.refuses = lambda intent: intent.state is state
    if state is IntentState.RECOVERING:
        register.cloud.inject(CloudFault(K.DROP_AFTER))
    assert register.sell().approved
    register.journal.refuses = lambda intent: False
    register.pass_time(1)
    assert register.restarted().poll().approved
    assert register.journal.states() == [IntentState.APPROVED]
    assert len(register.terminal.ledger.entries) == 1


def test_what_cannot_be_recorded_is_not_sent() -> None:
    register = polled()
    register.journal.refuses = lambda intent: True
    with pytest.raises(JournalError):
        register.sell()
    assert register.sent == []


@pytest.mark.parametrize("promotion", [False, True])
def test_a_late_result_without_a_ticket_under_the_number_of_the_next_command(promotion: bool) -> None:
    """What the terminal said late of the first, and the cloud took for the second's: both are of one amount."""
    register = polled(webhook=HOOK)
    late = Behaviour(reply_after=370, record_after=1000, omit=("Ticket",))
    register.terminal.script += [late, Behaviour(outcome=Outcome.SILENT)]
    with pytest.raises(OutcomeUnknown):
        register.sell()
    register.cloud.inject(CloudFault(K.TIMEOUT_AFTER, Where.QUESTION, times=2))
    command = SalePromotion(1000, "T2", id_promo="7") if promotion else Sale(1000, "T2")
    with pytest.raises(OutcomeUnknown):
        register.run(register.session.request(command))
    assert len(register.terminal.ledger.entries) == 1
    assert register.journal.states()[1] is IntentState.UNKNOWN
