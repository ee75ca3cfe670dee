"""What a terminal's record tells of a command in doubt: where it is kept, nothing new in it means that nobody paid."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from getnet_pos import GetnetError, IntentState, OutcomeUnknown, Profile
from getnet_pos.flows.intents import new_intent
from getnet_pos.flows.matching import is_nothing_new, mark
from getnet_pos.messages import LastVoucherReply, Refund, Sale, Void, VoucherMark
from getnet_pos.simulator import Behaviour, Direction, Fault, FaultKind, Identity, Outcome, VirtualTerminal
from getnet_pos.simulator.cloud import CloudFault, CloudFaultKind, VirtualCloud, Where
from tests.faults.world import HOOK, TIMEOUTS, CloudRegister, Journal, Register, StreamRegister
from tests.flows.ways import Way, everywhere, lose_the_reply, pay, polled

DURABLE = replace(Profile.INTEGRATED_POS, durable_record=True)


def a_terminal(durable: bool) -> StreamRegister:
    return StreamRegister(VirtualTerminal(), Journal(), profile=replace(DURABLE, durable_record=durable))


def a_cloud(durable: bool) -> Register:
    return CloudRegister(VirtualCloud(profile=replace(Profile.CHILE, durable_record=durable)), Journal())


def a_cloud_of_argentina(durable: bool) -> Register:
    return CloudRegister(VirtualCloud(profile=replace(Profile.ARGENTINA, durable_record=durable)), Journal())


def lose_the_command(register: Register) -> None:
    """It leaves, and never reaches the terminal."""
    if isinstance(register, CloudRegister):
        register.cloud.inject(CloudFault(CloudFaultKind.DROP_BEFORE, Where.MONEY))
    else:
        register.terminal.script.append(Behaviour(outcome=Outcome.SILENT, acknowledge=None))


def out_of_reach(register: Register) -> None:
    """From five seconds after the command on."""
    if isinstance(register, CloudRegister):
        cloud = register
        register.alarms = [(register.now + 5.0, lambda: setattr(cloud, "unreachable", lambda request: True))]
    else:
        register.alarms = [(register.now + 5.0, lambda: register.terminal.disconnect(register.now))]


def in_reach(register: Register) -> None:
    if isinstance(register, CloudRegister):
        register.unreachable = lambda request: False
    else:
        register.terminal.connect(register.now)


@pytest.mark.parametrize("way", [a_terminal, a_cloud, a_cloud_of_argentina])
@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("sold_before", [True, False])
def test_a_record_with_nothing_new_says_that_nobody_paid(way: type, durable: bool, sold_before: bool) -> None:
    register: Register = way(durable)
    assert register.poll().approved
    if sold_before:
        assert pay(register, Sale(1000, "T0")).approved
    register.pass_time(2.0)
    lose_the_command(register)
    with pytest.raises(GetnetError):
        pay(register, Sale(1000, "T1"))
    assert register.journal.states()[-1] is (IntentState.DECLINED if durable else IntentState.UNKNOWN)
    assert len(register.terminal.ledger.entries) == sold_before
    # And what is known of the record then is the next one's baseline.
    if durable:
        assert pay(register, Sale(1000, "T1")).approved


@pytest.mark.parametrize("way", [a_terminal, a_cloud, a_cloud_of_argentina])
@pytest.mark.parametrize("durable", [True, False])
def test_what_nobody_could_be_asked_about_is_settled_by_the_next_poll(way: type, durable: bool) -> None:
    register: Register = way(durable)
    assert register.poll().approved
    assert pay(register, Sale(500, "T0")).approved
    register.pass_time(2.0)
    lose_the_command(register)
    out_of_reach(register)
    with pytest.raises(OutcomeUnknown):
        pay(register, Sale(1000, "T1"))
    in_reach(register)
    # It may have been another terminal that said nothing: its own time must be over.
    assert register.poll().approved
    assert register.journal.states()[-1] is IntentState.UNKNOWN
    register.pass_time(TIMEOUTS.sale_total)
    settled = register.run(register.session.polling()).settled
    assert register.journal.states()[-1] is (IntentState.DECLINED if durable else IntentState.UNKNOWN)
    assert [one.ticket for one in settled] == (["T1"] if durable else [])


def test_a_voucher_that_was_made_since_says_nothing_of_an_earlier_command() -> None:
    """The unknown one may have been recorded before it."""
    register = a_cloud(True)
    assert register.poll().approved
    lose_the_command(register)
    out_of_reach(register)
    with pytest.raises(OutcomeUnknown):
        pay(register, Sale(1000, "T1"))
    in_reach(register)
    assert pay(register, Sale(500, "T2")).approved
    assert register.poll().approved
    assert register.journal.states() == [IntentState.UNKNOWN, IntentState.APPROVED]


def test_the_refusal_of_a_command_that_left_no_record_is_not_the_next_ones() -> None:
    """Twice the cloud answers with what was before, whose number and ticket nobody has heard."""
    register = a_cloud_of_argentina(True)
    assert register.poll().approved
    assert pay(register, Sale(1000, "T0")).approved
    register.pass_time(2.0)
    assert isinstance(register, CloudRegister)
    register.terminal.script.append(Behaviour(outcome=Outcome.CANCEL))
    register.cloud.inject(CloudFault(CloudFaultKind.PREVIOUS, Where.MONEY, times=2))
    with pytest.raises(GetnetError):
        pay(register, Sale(1000, "T1"))
    assert register.journal.states()[-1] is IntentState.DECLINED
    register.pass_time(2.0)
    assert pay(register, Sale(1000, "T1")).approved
    assert len(register.terminal.ledger.entries) == 2
    assert register.journal.states()[-1] is IntentState.APPROVED


@pytest.mark.parametrize("same", [True, False])
def test_an_empty_record_is_believed_of_the_same_terminal_only(same: bool) -> None:
    """The cable was out in mid-sale: what is there now says that it has no voucher, and so would any new one."""
    register = a_terminal(True)
    assert register.poll().approved
    lose_the_command(register)
    other = register.terminal if same else VirtualTerminal(identity=Identity(terminal_id="80005001"), seed=9)
    register.alarms = [(register.now + 1.0, lambda: register.terminal.disconnect(register.now)),
                       (register.now + 5.0, lambda: register.swap(other)),
                       (register.now + 5.0, lambda: other.connect(register.now))]  # fmt: skip
    with pytest.raises(GetnetError):
        pay(register, Sale(1000, "T1"))
    assert register.journal.states() == [IntentState.DECLINED if same else IntentState.UNKNOWN]


def test_a_terminal_that_comes_back_may_still_be_at_it() -> None:
    """Another one was in its place for a while; its own command goes on, and its record has nothing new until then."""
    register = a_terminal(True)
    assert register.poll().approved
    assert pay(register, Sale(500, "T0")).approved
    register.pass_time(2.0)
    own, other = register.terminal, VirtualTerminal(identity=Identity(terminal_id="80005001"))
    other.key_in(500, register.now)
    own.script.append(Behaviour(decide_after=60.0, reply_after=math.inf))
    register.alarms = [(register.now + 1.0, lambda: own.disconnect(register.now)),
                       (register.now + 2.0, lambda: register.swap(other))]  # fmt: skip
    with pytest.raises(OutcomeUnknown):
        pay(register, Sale(1000, "T1"))
    register.swap(own)
    own.connect(register.now)
    own.take(register.now)
    for _ in range(3):
        register.pass_time(10.0)
        register.poll()
        assert register.journal.states()[-1] is IntentState.UNKNOWN
    register.pass_time(TIMEOUTS.sale_total)
    assert register.poll().approved
    assert register.journal.states()[-1] is IntentState.APPROVED


def test_what_the_terminal_does_late_is_waited_for() -> None:
    """Nothing new is believed only once the command's own time is over."""
    register = a_terminal(True)
    assert register.poll().approved
    register.terminal.script.append(Behaviour(decide_after=100, reply_after=math.inf))
    assert pay(register, Sale(1000, "T1")).approved
    assert register.journal.states() == [IntentState.APPROVED]


@pytest.mark.parametrize(
    ("command", "last", "declined"),
    [
        # The record of the sale itself, to the second: no void can be of the same one.
        (Void(1), {"operation_id": 1, "real_date": "2026-01-01 12:00:00"}, True),
        (Void(1), {"operation_id": 1, "real_date": "2026-01-01 12:00:30"}, False),
        # To the minute, the record may be that of the void, which names the operation that it annulled.
        (Void(1), {"operation_id": 1, "real_date": "2026-01-01 12:00"}, False),
        (Refund("A12345", 1000), {"operation_id": None, "real_date": "2026-01-01 12:00"}, False),
        (Sale(1000, "T1"), {"operation_id": 1, "real_date": "2026-01-01 12:00"}, True),
        (Sale(1000, "T1"), {"operation_id": None, "real_date": "2026-01-01 12:00"}, False),
    ],
)
def test_what_is_surely_the_voucher_from_before(command: Void | Refund | Sale, last: dict, declined: bool) -> None:
    before = VoucherMark(operation_id=1, real_date="2026-01-01 12:00:00", authorization_code="A12345", amount=1000)
    told = LastVoucherReply(
        function_code=101, response_code=0, authorization_code="A12345", amount=1000, ticket="T0", **last
    )
    intent = replace(new_intent(command, "1" * 32, "usb:a"), baseline=before)
    assert is_nothing_new(mark(told), intent, []) is declined


@everywhere
def test_a_declined_card_that_is_tried_again_under_the_same_ticket(way: Way) -> None:
    register = polled(way)
    register.terminal.script.append(Behaviour(outcome=Outcome.DECLINE))
    assert not pay(register, Sale(1000, "T1")).approved
    register.pass_time(2.0)
    lose_the_reply(register)
    assert pay(register, Sale(1000, "T1")).approved
    assert register.journal.states() == [IntentState.DECLINED, IntentState.APPROVED]


def test_the_books_are_asked_where_the_status_is_refused() -> None:
    register = CloudRegister(VirtualCloud(profile=Profile.CHILE), Journal(), webhook=HOOK)
    assert register.poll().approved
    register.cloud.inject(CloudFault(CloudFaultKind.FORBIDDEN, Where.STATUS, times=1000))
    assert register.sell().approved
    assert register.journal.states() == [IntentState.APPROVED]


def test_the_books_are_asked_where_the_cloud_waits_for_ever() -> None:
    """The terminal has recorded the sale, and its reply never reaches the cloud."""
    register = CloudRegister(VirtualCloud(profile=Profile.CHILE), Journal(), webhook=HOOK)
    assert register.poll().approved
    register.terminal.script.append(Behaviour(reply_after=math.inf))
    assert register.sell().approved
    assert register.journal.states() == [IntentState.APPROVED]


def test_a_terminal_that_told_its_last_voucher_is_asked_again() -> None:
    """One query is lost: the sale has a baseline all the same."""
    register = a_terminal(False)
    assert register.poll().approved
    assert pay(register, Sale(500)).approved
    register.pass_time(2.0)
    register.terminal.inject(Fault(FaultKind.DROP, Direction.TO_TERMINAL))
    register.terminal.script.append(Behaviour(reply_after=math.inf, omit=("Ticket",)))
    register.till.baseline = None
    asked = len([one for one in register.terminal.commands if one.code == 101])
    assert pay(register, Sale(1000, "T1")).approved
    assert len([one for one in register.terminal.commands if one.code == 101]) > asked
    assert register.journal.finals()[-1].baseline is not None


def test_a_terminal_that_hangs_up_is_asked_on_a_new_connection_each_time() -> None:
    """No query of the recovery is lost to the connection that the last answer has ended."""
    register = StreamRegister(VirtualTerminal(), Journal(), closes=True)
    assert register.poll().approved
    register.terminal.script.append(Behaviour(outcome=Outcome.SILENT))
    with pytest.raises(OutcomeUnknown):
        pay(register, Sale(1000, "T1"))
    asked = [one for one in register.terminal.commands if one.code == 101]
    # From the end of the patience to the end of the recovery, every five seconds.
    assert len(asked) >= (TIMEOUTS.sale_total + TIMEOUTS.recovery - TIMEOUTS.sale) // TIMEOUTS.recovery_interval
