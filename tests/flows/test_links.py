"""A link that fails by and by: silence, closing, re-plugging, refused queries, and callers who give up."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from getnet_pos import ConnectError, DeadlineExceeded, NotAccepted, OutcomeUnknown, Profile
from getnet_pos.codec import acknowledgement
from getnet_pos.flows.effects import Claim, Close, Effect, Open, Recall, Record
from getnet_pos.messages import DetailsReport, IntentState, Sale, TotalsReport
from getnet_pos.simulator import Behaviour, Outcome, VirtualTerminal
from getnet_pos.simulator.cloud import VirtualCloud
from tests.faults.world import CloudRegister, GivenUp, Journal, Register, StreamRegister
from tests.flows.ways import Way, everywhere, pay, polled

SALE = Sale(1000, "T1")
ISO = re.compile(rb'DateTime\\":\\"\d{4}-')


def opened(terminal: VirtualTerminal | None = None, **settings: Any) -> StreamRegister:
    return StreamRegister(terminal or VirtualTerminal(), Journal(), **settings)


def ready(*script: Behaviour, **settings: Any) -> StreamRegister:
    """A register that has sold once, and knows that its terminal names tickets."""
    register = opened(**settings)
    register.poll()
    assert pay(register, Sale(500, "T0")).approved
    register.terminal.script.extend(script)
    register.pass_time(2.0)
    return register


def codes(register: Register) -> list[int]:
    return [command.code for command in register.terminal.commands]


def opens(register: StreamRegister) -> list[type]:
    """The openings and closings of the link from now on."""
    seen: list[type] = []
    before = register.before

    def watch(effect: Effect) -> None:
        if isinstance(effect, (Open, Close)):
            seen.append(type(effect))
        before(effect)

    register.before = watch
    return seen


# ----------------------------------------------------------------------------------------------- how commands are dated


def refuses_iso(register: StreamRegister) -> StreamRegister:
    """The terminal answers ``Received: false`` to a date in ISO 8601."""

    def to_terminal(data: bytes) -> bytes | None:
        if ISO.search(data):
            register.on_its_way.append(acknowledgement(False))
            return None
        return data

    register.to_terminal = to_terminal
    return register


def test_a_query_that_is_refused_for_its_date_is_asked_once_more_with_the_day_first() -> None:
    register = refuses_iso(opened())
    assert register.poll().approved
    dated = [str(command.fields["DateTime"]) for command in register.terminal.commands]
    assert all(re.fullmatch(r"\d\d-\d\d-\d{4} \d\d:\d\d:\d\d", date) for date in dated)
    # What was learnt by a query holds for money: nothing is tried with a sale.
    assert pay(register, SALE).approved
    assert register.journal.history() == [
        IntentState.INTENT, IntentState.SENT, IntentState.ACCEPTED, IntentState.APPROVED,
    ]  # fmt: skip


def test_a_terminal_that_is_known_to_want_the_day_first_is_asked_so_at_once() -> None:
    register = refuses_iso(opened(profile=Profile(name="day first", amount_exponent=0, day_first=True)))
    assert register.poll().approved
    assert codes(register)[0] == 106
    assert len(register.terminal.commands) == len([code for code in codes(register) if code != 100])


def test_a_query_that_is_refused_in_either_form_is_refused() -> None:
    register = ready()
    sent: list[bytes] = []

    def to_terminal(data: bytes) -> bytes | None:
        sent.append(data)
        register.on_its_way.append(acknowledgement(False))
        return None

    register.to_terminal = to_terminal
    with pytest.raises(NotAccepted):
        register.ask(TotalsReport())
    assert [bool(ISO.search(data)) for data in sent] == [True, False]
    register.to_terminal = lambda data: data
    register.ask(TotalsReport())
    assert ISO.search(sent[0]), "and the form is the one before"
    assert re.match(r"\d{4}-", str(register.terminal.commands[-1].fields["DateTime"]))


def test_a_sale_that_is_not_accepted_is_never_sent_again() -> None:
    register = ready(Behaviour(acknowledge=False))
    with pytest.raises(OutcomeUnknown) as caught:
        pay(register, SALE)
    assert isinstance(caught.value.__cause__, NotAccepted)
    assert codes(register).count(100) == 2


# ------------------------------------------------------------------------------------------- 101 is refused for a while


def test_a_busy_terminal_is_not_one_without_vouchers() -> None:
    """It refuses 101 for a while: the voucher that it then tells settles nothing that never arrived."""
    no_ticket = Behaviour(omit=("Ticket",))
    busy = Behaviour(change={"ResponseCode": 9, "ResponseMessage": "Ocupado"}, omit=("OperationId", "RealDate"))
    terminal = VirtualTerminal(answers={101: busy})
    terminal.key_in(1000, 0.0)
    register = opened(terminal)
    register.poll()
    terminal.script.append(Behaviour(outcome=Outcome.SILENT))
    register.alarms = [(1.0, lambda: terminal.answers.update({101: no_ticket}))]
    with pytest.raises(OutcomeUnknown) as caught:
        pay(register, SALE)
    assert register.journal.finals()[0].baseline is None
    assert "the terminal's last voucher before the command is unknown" in caught.value.reason


# --------------------------------------------------------------------------------------------------------- silent links


class Deaf:
    """Nothing passes any more, either way, until the link is opened anew."""

    def __init__(self, register: StreamRegister) -> None:
        self.is_dead = True
        register.to_terminal = lambda data: None if self.is_dead else data
        before = register.before

        def watch(effect: Effect) -> None:
            if isinstance(effect, Open):
                self.is_dead = False
            before(effect)

        register.before = watch


def test_a_silent_link_is_opened_again_by_the_poll() -> None:
    register = ready()
    seen = opens(register)
    Deaf(register)
    assert register.poll().approved
    assert seen[:2] == [Close, Open]


def test_a_silent_link_is_closed_by_the_deadline_of_a_query() -> None:
    """So the next one begins on a new link."""
    register = ready()
    Deaf(register)
    with pytest.raises(DeadlineExceeded):
        register.ask(DetailsReport())
    assert not register.link.is_open
    assert register.ask(DetailsReport()).approved


def test_a_silent_link_is_opened_again_by_a_recovery() -> None:
    register = ready(Behaviour(reply_after=math.inf))
    seen = opens(register)
    register.alarms = [(register.now + 5.0, lambda: Deaf(register))]
    assert pay(register, SALE).approved
    assert Open in seen
    assert codes(register).count(100) == 2


# --------------------------------------------------------------------------------------- peers that close after a reply


def test_a_terminal_that_closes_the_connection_after_each_reply() -> None:
    register = opened(closes=True)
    for number in range(3):
        assert register.poll().approved
        assert pay(register, Sale(1000, f"T{number}")).approved
        assert register.ask(TotalsReport()).approved
    assert register.journal.states() == [IntentState.APPROVED] * 3
    assert IntentState.RECOVERING not in register.journal.history()


def test_a_doubt_with_a_terminal_that_closes_the_connection() -> None:
    register = ready(Behaviour(wrong_signature=True), closes=True)
    assert pay(register, SALE).approved
    assert register.journal.history()[-2:] == [IntentState.RECOVERING, IntentState.APPROVED]


# ---------------------------------------------------------------------------------------------------- the cable is back


def test_the_reply_that_could_not_be_sent_is_listened_for_before_anything_is_asked() -> None:
    register = ready(Behaviour(decide_after=3.0))
    held: list[bytes] = []
    out = register.now + 2.0

    def to_register(data: bytes) -> bytes | None:
        if b"ResponseCode" in data and register.now >= out and not held:
            held.append(data)
            return None
        return data

    register.to_register = to_register
    register.alarms = [
        (out + 4.0, lambda: register.terminal.disconnect(register.now)),
        (out + 5.0, lambda: register.terminal.connect(register.now)),
    ]

    def deliver(effect: Effect) -> None:
        if isinstance(effect, Open) and held:
            register.alarms.append((register.now + 1.0, lambda: register.on_its_way.append(held[0])))

    register.before = deliver
    asked = codes(register).count(101)
    assert pay(register, SALE).approved
    assert len(held) == 1
    assert codes(register).count(101) == asked, "the terminal had nothing to be asked for"


# ---------------------------------------------------------------------------------------------------- a caller gives up


@everywhere
def test_a_cancellation_before_the_first_byte_is_known_to_have_charged_nothing(way: Way) -> None:
    """As Ctrl-C, or a cancelled task, while the intent is being written."""
    register = polled(way)

    def before(effect: Any) -> None:
        if isinstance(effect, Record) and effect.intent.state is IntentState.INTENT:
            register.journal.record(effect.intent)
            raise GivenUp

    register.before = before
    with pytest.raises(GivenUp):
        pay(register, SALE)
    assert register.journal.states() == [IntentState.NOT_SENT]
    assert register.terminal.ledger.entries == ()
    register.before = lambda effect: None
    assert pay(register, SALE).approved, "and nothing is left behind"


@everywhere
@pytest.mark.parametrize("at", [Recall, Claim])
def test_a_cancellation_before_the_intent_leaves_no_trace(way: Way, at: type) -> None:
    register = polled(way)

    def before(effect: Any) -> None:
        if isinstance(effect, at):
            raise GivenUp

    register.before = before
    with pytest.raises(GivenUp):
        pay(register, SALE)
    assert register.journal.written == []
    register.before = lambda effect: None
    assert pay(register, SALE).approved


@everywhere
def test_a_cancellation_after_the_first_byte_is_asked_about(way: Way) -> None:
    register = polled(way)
    if isinstance(register, CloudRegister):
        register.to_register = lambda call, answer: _given_up() if call.path.endswith("/sale") else answer
    else:
        register.terminal.script.append(Behaviour(decide_after=5.0))
        register.before = lambda effect: _given_up() if codes(register)[-1] == 100 else None
    with pytest.raises(GivenUp):
        pay(register, SALE)
    assert register.journal.finals()[0].open
    if isinstance(register, CloudRegister):
        register.to_register = lambda call, answer: answer
    register.before = lambda effect: None
    register.pass_time(10.0)
    register.poll()
    named = register.names_ticket
    assert register.journal.states() == [IntentState.APPROVED if named else IntentState.UNKNOWN]


def _given_up() -> Any:
    raise GivenUp


# --------------------------------------------------------------------------------------------------- after the deadline


def test_it_is_asked_until_the_command_itself_is_over() -> None:
    """The recovery is shorter than a sale may take: the customer may still pay."""
    register = ready(Behaviour(decide_after=100.0, acknowledge=None))
    register.alarms = [(register.now + 1.0, lambda: register.terminal.disconnect(register.now)),
                       (register.now + 2.0, lambda: register.terminal.connect(register.now))]  # fmt: skip
    begun = register.now
    assert pay(register, SALE).approved
    assert 100.0 <= register.now - begun < register.session.timeouts.sale_total


def test_what_stayed_unknown_is_looked_at_again_at_each_poll() -> None:
    register = ready(Behaviour(decide_after=400.0))
    with pytest.raises(OutcomeUnknown):
        pay(register, SALE)
    register.pass_time(500.0)
    [found] = register.run(register.session.polling()).settled
    assert (found.ticket, found.state) == ("T1", IntentState.APPROVED)


def test_a_reason_is_kept() -> None:
    cloud = CloudRegister(VirtualCloud(profile=Profile.CHILE), Journal())
    cloud.poll()
    cloud.to_cloud = lambda call: not call.path.endswith("/sale")
    stream = ready(Behaviour(outcome=Outcome.SILENT))
    for register in (cloud, stream):
        with pytest.raises(OutcomeUnknown) as caught:
            pay(register, SALE)
        assert caught.value.reason
        assert register.journal.finals()[-1].reason == caught.value.reason
        assert caught.value.reason in str(caught.value)


def test_a_link_that_stays_out_is_an_error_and_nothing_is_sent() -> None:
    register = ready()
    register.terminal.disconnect(register.now)
    before = len(register.journal.written)
    with pytest.raises(ConnectError):
        pay(register, SALE)
    assert len(register.journal.written) == before
