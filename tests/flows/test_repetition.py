"""The same purchase asked for again: what may have been charged is not charged again; a key gets its result back."""

from __future__ import annotations

from typing import Any

import pytest

from getnet_pos import AlreadyCharged, ConnectError, InvalidValue, OutcomeUnknown, Profile, TerminalBusy
from getnet_pos.flows.intents import generated_ticket
from getnet_pos.messages import IntentState, Sale, SaleReply, Void
from getnet_pos.simulator import Behaviour, Outcome, VirtualTerminal
from getnet_pos.simulator.cloud import CloudFault, CloudFaultKind, VirtualCloud, Where
from tests.faults.world import CloudRegister, GivenUp, Journal, Killed, Register, StreamRegister
from tests.flows.ways import WAYS, Way, lose_the_reply, pay, polled

SALE = Sale(1000, "T1")
DAY = 86_400.0

by_ticket = pytest.mark.parametrize("way", [way for way in WAYS if "argentina" not in way.__name__])
"""Where a ticket comes back in the voucher: what nobody waits for any more can be recognised."""


def charges(register: Register) -> int:
    return len(register.terminal.ledger.entries)


def lost_in_vain(register: Register) -> None:
    """The next money command does not arrive, and nobody can say so."""
    if isinstance(register, CloudRegister):
        register.cloud.inject(CloudFault(CloudFaultKind.DROP_BEFORE, Where.MONEY))
    else:
        register.terminal.script.append(Behaviour(outcome=Outcome.SILENT))


def found_by_recovery(way: Way, command: Any = SALE, **options: Any) -> Register:
    """A register whose last run died after the command was carried out; the next poll has found that out."""
    register = polled(way)
    lose_the_reply(register)

    def before(effect: Any) -> None:
        if str(getattr(getattr(effect, "intent", None), "state", "")) == "RECOVERING":
            raise Killed

    register.before = before
    with pytest.raises(Killed):
        pay(register, command, **options)
    again = register.restarted(after=10)
    settled = again.run(again.session.polling()).settled
    assert [(one.ticket, one.state, one.found) for one in settled] == [("T1", IntentState.APPROVED, "recovery")]
    return again


# ---------------------------------------------------------------------------------------- charged, and nobody was told


@by_ticket
def test_what_recovery_found_paid_is_not_charged_again(way: Way) -> None:
    """The caller was gone: it asks again, and is told what became of its sale."""
    register = found_by_recovery(way)
    with pytest.raises(AlreadyCharged, match="nothing was sent") as caught:
        pay(register, SALE)
    [first] = register.journal.finals()
    reply = caught.value.reply
    assert (type(reply), reply.approved, reply.recovered) == (SaleReply, True, True)
    assert reply.authorization_code == register.terminal.ledger.entries[0].authorization_code
    assert (caught.value.intent_id, caught.value.found) == (first.intent_id, "recovery")
    assert caught.value.at == register.journal.steps(first.intent_id)[-1].at
    assert charges(register) == 1


@by_ticket
def test_what_the_next_payment_settles_is_handed_over_by_the_next_poll(way: Way) -> None:
    """The caller gave the first one up, and did not poll before the second."""
    register = polled(way)
    lose_the_reply(register)

    def before(effect: Any) -> None:
        if str(getattr(getattr(effect, "intent", None), "state", "")) == "RECOVERING":
            register.before = lambda effect: None
            raise GivenUp

    register.before = before
    with pytest.raises(GivenUp):
        pay(register, SALE)
    assert pay(register, Sale(2000, "T2")).approved
    settled = register.run(register.session.polling()).settled
    assert [(one.ticket, one.state, one.found) for one in settled] == [("T1", IntentState.APPROVED, "recovery")]


@by_ticket
def test_a_second_charge_is_made_where_it_is_meant(way: Way) -> None:
    register = found_by_recovery(way)
    assert pay(register, SALE, again=True).approved
    assert charges(register) == 2


@by_ticket
def test_another_ticket_and_another_amount_are_another_purchase(way: Way) -> None:
    register = found_by_recovery(way)
    assert pay(register, Sale(1000, "T2")).approved
    assert pay(register, Sale(1001, "T1")).approved


def test_another_command_for_the_same_ticket_is_the_same_purchase() -> None:
    register = found_by_recovery(WAYS[0])
    with pytest.raises(AlreadyCharged):
        pay(register, Sale(1000, "T1", sale_type=1, employee_id=7))


def test_after_a_month_a_number_may_be_used_again() -> None:
    register = found_by_recovery(WAYS[0])
    register.pass_time(29 * DAY)
    with pytest.raises(AlreadyCharged):
        pay(register, SALE)
    register.pass_time(2 * DAY)
    assert pay(register, SALE).approved


@by_ticket
def test_a_caller_that_was_told_may_use_its_number_again(way: Way) -> None:
    """As for the second of two equal rounds on one bill."""
    register = polled(way)
    for _ in range(2):
        assert pay(register, SALE).approved
        register.pass_time(2.0)
    assert charges(register) == 2


def test_what_a_person_found_paid_is_not_charged_again() -> None:
    register = polled(WAYS[0])
    lost_in_vain(register)
    with pytest.raises(OutcomeUnknown) as unknown:
        pay(register, SALE)
    register.journal.resolve(unknown.value.intent_id, paid=True, by="a cashier", note="saw the slip")
    with pytest.raises(AlreadyCharged) as caught:
        pay(register, SALE)
    assert (caught.value.found, caught.value.reply) == ("person", None)


def test_what_a_person_found_unpaid_is_charged() -> None:
    register = polled(WAYS[0])
    lost_in_vain(register)
    with pytest.raises(OutcomeUnknown) as unknown:
        pay(register, SALE)
    register.journal.resolve(unknown.value.intent_id, paid=False, by="a cashier", note="no slip")
    assert pay(register, SALE).approved


def test_what_a_late_reply_showed_paid_is_not_charged_again() -> None:
    register = polled(WAYS[0])
    register.terminal.script.append(Behaviour(reply_after=200.0, record_after=1000.0))
    with pytest.raises(OutcomeUnknown):
        pay(register, SALE)
    register.pass_time(300.0)
    assert [one.found for one in register.run(register.session.polling()).settled] == ["late reply"]
    with pytest.raises(AlreadyCharged) as caught:
        pay(register, SALE)
    assert caught.value.found == "late reply"
    assert caught.value.reply.approved


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("again", [False, True])
def test_what_may_have_been_charged_is_never_charged_again(way: Way, again: bool) -> None:
    """Not even where a second charge is meant: first somebody looks."""
    register = polled(way)
    lost_in_vain(register)
    with pytest.raises(OutcomeUnknown) as first:
        pay(register, SALE)
    with pytest.raises(OutcomeUnknown, match="nothing was sent") as second:
        pay(register, SALE, again=again)
    assert second.value.intent_id == first.value.intent_id
    assert second.value.reason == first.value.reason != ""
    assert (charges(register), len(register.journal.finals())) == (0, 1)


def test_a_void_in_doubt_is_not_repeated() -> None:
    register = polled(WAYS[0])
    sold = pay(register, SALE)
    register.terminal.script.append(Behaviour(outcome=Outcome.SILENT))
    with pytest.raises(OutcomeUnknown):
        pay(register, Void(sold.operation_id))
    with pytest.raises(OutcomeUnknown, match="nothing was sent"):
        pay(register, Void(sold.operation_id))
    assert [command.code for command in register.terminal.commands].count(102) == 1


@pytest.mark.parametrize("way", WAYS)
def test_two_sales_whose_tickets_the_library_made_are_two_purchases(way: Way) -> None:
    """One in doubt does not close the shop for everybody who pays the same price."""
    register = polled(way)
    lost_in_vain(register)
    with pytest.raises(OutcomeUnknown):
        register.sell(ticket=generated_ticket(register.journal.next_id))
    assert register.sell(ticket=generated_ticket(register.journal.next_id)).approved
    assert charges(register) == 1


# ------------------------------------------------------------------------------------------------------- a caller's key


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("ticket", ["T1", None])
def test_a_key_gets_its_result_back(way: Way, ticket: str | None) -> None:
    register = polled(way)
    first = pay(register, Sale(1000, ticket), idempotency_key="order 7")
    second = pay(register, Sale(1000, ticket), idempotency_key="order 7")
    assert (type(second), second.approved, second.authorization_code) == (SaleReply, True, first.authorization_code)
    assert (first.recovered, second.recovered) == (False, True)
    assert (charges(register), len(register.journal.finals())) == (1, 1)


@pytest.mark.parametrize("way", WAYS)
def test_a_refusal_is_a_result_too(way: Way) -> None:
    register = polled(way)
    register.terminal.script.append(Behaviour(outcome=Outcome.TIME_OUT))
    first = pay(register, SALE, idempotency_key="order 7")
    second = pay(register, SALE, idempotency_key="order 7")
    assert (second.approved, second.response_code, second.recovered) == (False, first.response_code, True)
    assert pay(register, SALE, idempotency_key="order 7, another card").approved


@by_ticket
def test_a_key_gets_what_recovery_found(way: Way) -> None:
    """In place of an error: its caller asks for this very sale."""
    register = found_by_recovery(way, idempotency_key="order 7")
    reply = pay(register, SALE, idempotency_key="order 7")
    assert (type(reply), reply.approved, reply.recovered) == (SaleReply, True, True)
    assert charges(register) == 1
    with pytest.raises(AlreadyCharged):
        pay(register, SALE, idempotency_key="order 8")


@pytest.mark.parametrize(
    "other", [Sale(1001, "T1"), Sale(1000, "T2"), Sale(1000), Void(1)], ids=["amount", "ticket", "no ticket", "a void"]
)
def test_a_key_is_one_command(other: Any) -> None:
    register = polled(WAYS[0])
    pay(register, SALE, idempotency_key="order 7")
    with pytest.raises(InvalidValue, match="belongs to a different command"):
        pay(register, other, idempotency_key="order 7")
    assert charges(register) == 1


def test_a_key_of_what_is_unknown_charges_nothing() -> None:
    register = polled(WAYS[0])
    lost_in_vain(register)
    for _ in range(2):
        with pytest.raises(OutcomeUnknown):
            pay(register, SALE, idempotency_key="order 7", again=True)
    assert len(register.journal.finals()) == 1


@pytest.mark.parametrize("paid", [True, False])
def test_a_key_of_what_a_person_has_resolved(paid: bool) -> None:
    register = polled(WAYS[0])
    lost_in_vain(register)
    with pytest.raises(OutcomeUnknown) as unknown:
        pay(register, SALE, idempotency_key="order 7")
    register.journal.resolve(unknown.value.intent_id, paid=paid, by="a cashier", note="looked")
    if paid:
        # There is no reply that could be given back.
        with pytest.raises(AlreadyCharged) as caught:
            pay(register, SALE, idempotency_key="order 7")
        assert (caught.value.found, caught.value.reply) == ("person", None)
    else:
        assert pay(register, SALE, idempotency_key="order 7").approved
    assert charges(register) == (0 if paid else 1)


def test_a_key_of_what_was_not_sent_is_free() -> None:
    register = CloudRegister(VirtualCloud(profile=Profile.CHILE), Journal())
    register.poll()
    register.unreachable = lambda request: request.url.endswith("/sale")
    with pytest.raises(ConnectError):
        pay(register, SALE, idempotency_key="order 7")
    assert register.journal.states() == [IntentState.NOT_SENT]
    register.unreachable = lambda request: False
    assert pay(register, SALE, idempotency_key="order 7").approved


def test_a_key_that_a_contradiction_is_about_charges_nothing() -> None:
    register = polled(WAYS[0])
    register.terminal.script.append(Behaviour(reply_after=200.0, record_after=1000.0))
    with pytest.raises(OutcomeUnknown) as unknown:
        pay(register, SALE, idempotency_key="order 7")
    register.journal.resolve(unknown.value.intent_id, paid=False, by="a cashier", note="no slip")
    register.pass_time(300.0)
    register.poll()
    assert register.journal.states() == [IntentState.CONTRADICTED]
    with pytest.raises(OutcomeUnknown):
        pay(register, SALE, idempotency_key="order 7")


# ------------------------------------------------------------------------------------------------------- contradictions


def test_a_reply_that_contradicts_a_person_is_kept_and_shown() -> None:
    register = polled(WAYS[0])
    register.terminal.script.append(Behaviour(reply_after=200.0, record_after=1000.0))
    with pytest.raises(OutcomeUnknown) as unknown:
        pay(register, SALE)
    register.journal.resolve(unknown.value.intent_id, paid=False, by="a cashier", note="no slip")
    register.pass_time(300.0)
    poll = register.run(register.session.polling())
    [told] = poll.unknown
    assert (told.intent_id, told.state) == (unknown.value.intent_id, IntentState.CONTRADICTED)
    entry = register.terminal.ledger.entries[0]
    assert (told.authorization_code, told.decided_by) == (entry.authorization_code, "a cashier")
    # A person looks again, and the sale is settled.
    settled = register.journal.resolve(told.intent_id, paid=True, by="the owner", note="the reply says so")
    assert settled.state is IntentState.RESOLVED_PAID
    assert register.run(register.session.polling()).unknown == ()


def test_a_reply_that_agrees_with_a_person_changes_nothing() -> None:
    register = polled(WAYS[0])
    register.terminal.script.append(Behaviour(reply_after=200.0, record_after=1000.0))
    with pytest.raises(OutcomeUnknown) as unknown:
        pay(register, SALE)
    register.journal.resolve(unknown.value.intent_id, paid=True, by="a cashier", note="saw the slip")
    register.pass_time(300.0)
    assert register.run(register.session.polling()).unknown == ()
    assert register.journal.states() == [IntentState.RESOLVED_PAID]


# ----------------------------------------------------------------------------------------- another register is at it


def beside(register: StreamRegister) -> StreamRegister:
    """A second process over the same journal and place."""
    return StreamRegister(VirtualTerminal(seed=7), register.journal, now=register.now)


def test_a_living_sale_is_recovered_and_resolved_by_nobody_else() -> None:
    register = StreamRegister(VirtualTerminal(script=[Behaviour(decide_after=30.0)]), Journal())
    register.poll()
    seen: list[IntentState] = []

    def meanwhile() -> None:
        other = beside(register)
        poll = other.run(other.session.polling())
        [living] = other.run(other.session.recover()).in_progress
        assert (poll.settled, poll.elsewhere) == ((), ())
        with pytest.raises((TerminalBusy, OutcomeUnknown)):
            pay(other, SALE)
        with pytest.raises(InvalidValue, match="in progress"):
            register.journal.resolve(living.intent_id, paid=False, by="a cashier", note="nothing moves")
        seen.append(living.state)

    register.alarms = [(5.0, meanwhile)]
    assert pay(register, SALE).approved
    assert seen == [IntentState.ACCEPTED]
    assert register.journal.history() == [
        IntentState.INTENT, IntentState.SENT, IntentState.ACCEPTED, IntentState.APPROVED,
    ]  # fmt: skip


def test_another_sale_waits_for_a_living_one() -> None:
    register = StreamRegister(VirtualTerminal(script=[Behaviour(decide_after=30.0)]), Journal())
    register.poll()
    busy: list[str] = []

    def meanwhile() -> None:
        other = beside(register)
        other.poll()
        with pytest.raises(TerminalBusy, match="another process is running intent") as caught:
            pay(other, Sale(500, "T2"))
        busy.append(str(caught.value))

    register.alarms = [(5.0, meanwhile)]
    assert pay(register, SALE).approved
    assert len(busy) == 1
    other = beside(register)
    other.poll()
    assert pay(other, Sale(500, "T2")).approved
