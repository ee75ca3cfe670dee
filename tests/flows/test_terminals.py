"""Which terminal it is: another one at the same place, and the same one at another place."""

from __future__ import annotations

import math
from typing import Any

import pytest

from getnet_pos import Disconnected, OutcomeUnknown
from getnet_pos.flows.effects import Effect, Open, Recall
from getnet_pos.messages import IntentState, Sale
from getnet_pos.simulator import Behaviour, Identity, Outcome, VirtualTerminal
from tests.faults.world import TERMINAL, TIMEOUTS, Journal, Killed, StreamRegister
from tests.flows.ways import pay

SALE = Sale(1000, "T1")
OTHER = Identity(terminal_id="80005001", serial_number="SNPRUEBA9999")
MOVED = "usb:/dev/ttyACM1"


class Counter(StreamRegister):
    """A register whose transport tells which device it has opened."""

    device: str | None = None

    def _carry(self, effect: Effect) -> object:
        done = super()._carry(effect)
        return self.device if isinstance(effect, Open) else done


def polled(terminal: VirtualTerminal | None = None, **settings: Any) -> StreamRegister:
    register = StreamRegister(terminal or VirtualTerminal(**settings), Journal())
    assert register.poll().approved
    return register


def sold_before(**settings: Any) -> StreamRegister:
    """A register that has sold once: it knows who the terminal is and that it names tickets."""
    register = polled(**settings)
    assert pay(register, Sale(500, "T0")).approved
    register.pass_time(2.0)
    return register


def dies_at_a_doubt(register: StreamRegister, command: Sale = SALE) -> None:
    """The sale is carried out, its reply lost, and the register gone before it has asked."""
    register.terminal.script.append(Behaviour(reply_after=math.inf))

    def before(effect: Any) -> None:
        if str(getattr(getattr(effect, "intent", None), "state", "")) == "RECOVERING":
            raise Killed

    register.before = before
    with pytest.raises(Killed):
        pay(register, command)


def another(**settings: Any) -> VirtualTerminal:
    return VirtualTerminal(identity=OTHER, seed=9, **settings)


# ---------------------------------------------------------------------------------------- another terminal at the place


def test_another_terminals_voucher_proves_nothing() -> None:
    """The spare one has a voucher of the same ticket and amount, newer than all: it is not asked for any longer."""
    register = sold_before()
    spare = another()
    spare.key_in(1000, register.now)
    register.terminal.script.append(Behaviour(outcome=Outcome.SILENT))
    register.alarms = [(register.now + 5.0, lambda: register.terminal.disconnect(register.now)),
                       (register.now + 6.0, lambda: register.swap(spare))]  # fmt: skip
    begun = register.now
    with pytest.raises(OutcomeUnknown) as caught:
        pay(register, SALE)
    assert "another terminal answers: 80005001, but the command was sent to 80005000" in caught.value.reason
    assert register.now - begun < TIMEOUTS.sale, "its own terminal may come back: nothing is gained by waiting"
    assert register.journal.states() == [IntentState.APPROVED, IntentState.UNKNOWN]


def test_a_poll_says_that_another_terminal_is_here() -> None:
    register = sold_before()
    dies_at_a_doubt(register)
    spare = another()
    spare.key_in(1000, register.now)
    next_run = register.restarted(after=10)
    next_run.swap(spare)
    poll = next_run.run(next_run.session.polling())
    assert poll.another_terminal is not None
    assert "80005001" in poll.another_terminal
    assert "80005000" in poll.another_terminal
    [unknown] = poll.unknown
    assert (unknown.ticket, unknown.state) == ("T1", IntentState.UNKNOWN)
    # The spare one may be sold on, and not the ticket whose outcome nobody knows.
    with pytest.raises(OutcomeUnknown, match="nothing was sent"):
        pay(next_run, SALE)
    assert pay(next_run, Sale(700, "T2")).approved
    # Back in its place the terminal tells.
    next_run.swap(register.own)
    assert [one.ticket for one in next_run.run(next_run.session.polling()).settled] == ["T1"]


def test_a_terminal_that_is_new_at_a_place_starts_without_a_baseline() -> None:
    register = sold_before()
    spare = another()
    spare.key_in(1000, register.now)
    register.swap(spare)
    spare.script.append(Behaviour(outcome=Outcome.SILENT))
    with pytest.raises(OutcomeUnknown):
        pay(register, SALE)
    intent = register.journal.finals()[-1]
    assert intent.terminal_id == "80005001"
    assert intent.baseline is not None
    assert (intent.baseline.amount, intent.baseline.fresh) == (1000, True)


# -------------------------------------------------------------------------------------------- the terminal is elsewhere


def test_a_renamed_place_is_found_by_what_the_terminal_calls_itself() -> None:
    register = sold_before()
    dies_at_a_doubt(register)
    moved = register.restarted(after=10, place=MOVED)
    poll = moved.run(moved.session.polling())
    assert [(one.ticket, one.terminal, one.state) for one in poll.settled] == [("T1", TERMINAL, IntentState.APPROVED)]
    assert poll.elsewhere == ()


def test_a_renamed_place_is_found_by_its_device() -> None:
    """Before the terminal has said anything of itself: it never had a voucher, and does not tell its parameters."""
    journal = Journal()
    terminal = VirtualTerminal(answers={114: Behaviour(outcome=Outcome.DECLINE)})
    register = Counter(terminal, journal)
    register.device = "usb:2FB8:225E:0820"
    register.poll()
    register.terminal.script.append(Behaviour(outcome=Outcome.SILENT))
    with pytest.raises(OutcomeUnknown):
        pay(register, SALE)
    assert journal.finals()[0].device == "usb:2FB8:225E:0820"
    moved = Counter(terminal, journal, now=register.now, place=MOVED)
    moved.device = register.device
    assert [one.ticket for one in moved.run(moved.session.polling()).unknown] == ["T1"]
    stranger = Counter(another(), journal, now=register.now, place="usb:/dev/ttyACM2")
    stranger.device = "usb:2FB8:225E:0999"
    poll = stranger.run(stranger.session.polling())
    assert (poll.unknown, [one.ticket for one in poll.elsewhere]) == ((), ["T1"])


def test_a_ticket_that_is_unsettled_under_any_name_is_not_charged() -> None:
    """Nothing shows that it is the same terminal; it is the same purchase."""
    journal = Journal()
    terminal = VirtualTerminal(
        answers={114: Behaviour(outcome=Outcome.DECLINE)}, script=[Behaviour(outcome=Outcome.SILENT)]
    )
    register = StreamRegister(terminal, journal)
    register.poll()
    with pytest.raises(OutcomeUnknown) as first:
        pay(register, SALE)
    moved = StreamRegister(another(), journal, now=register.now, place=MOVED)
    assert [one.ticket for one in moved.run(moved.session.polling()).elsewhere] == ["T1"]
    with pytest.raises(OutcomeUnknown, match="nothing was sent") as second:
        pay(moved, SALE)
    assert second.value.intent_id == first.value.intent_id
    assert pay(moved, Sale(1000, "T2")).approved


def test_a_command_of_a_terminal_that_had_told_nothing_is_adopted_by_its_ticket() -> None:
    """A record here names it: it was this terminal, under another name."""
    journal = Journal()
    terminal = VirtualTerminal(answers={114: Behaviour(outcome=Outcome.DECLINE)})
    register = StreamRegister(terminal, journal)
    register.poll()
    dies_at_a_doubt(register, Sale(1000, "A-TICKET-OF-ITS-OWN"))
    assert journal.finals()[0].terminal_id is None
    moved = register.restarted(after=10, place=MOVED)
    poll = moved.run(moved.session.polling())
    assert [(one.ticket, one.state) for one in poll.settled] == [("A-TICKET-OF-ITS-OWN", IntentState.APPROVED)]
    assert poll.elsewhere == ()
    assert journal.states() == [IntentState.APPROVED]


def test_a_terminal_elsewhere_that_somebody_works_with_is_not_told_of() -> None:
    journal = Journal()
    register = StreamRegister(VirtualTerminal(script=[Behaviour(decide_after=30.0)]), journal)
    register.poll()
    told: list[Any] = []

    def meanwhile() -> None:
        other = StreamRegister(another(), journal, now=register.now, place=MOVED)
        told.append(other.run(other.session.polling()).elsewhere)

    register.alarms = [(5.0, meanwhile)]
    assert pay(register, SALE).approved
    assert told == [()]


def test_the_cable_goes_to_another_terminal_between_the_last_looks_before_a_sale() -> None:
    """Nobody has asked the other one yet whether it is ready, and what was known was of the first."""
    register = sold_before()
    looks = iter(range(100))

    def before(effect: Effect) -> None:
        if isinstance(effect, Recall) and next(looks) == 0:
            register.swap(another())

    register.before = before
    with pytest.raises(Disconnected, match="another terminal may be connected"):
        pay(register, SALE)
    assert len(register.journal.finals()) == 1
    assert register.terminal.commands == []
    assert pay(register, SALE).terminal_id == OTHER.terminal_id
