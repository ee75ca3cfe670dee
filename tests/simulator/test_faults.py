"""Faults of the link, each at a chosen place of a chosen direction."""

import math
import random

import pytest

from getnet_pos import messages as m
from getnet_pos.codec import acknowledgement, frame_simplified, seal
from getnet_pos.errors import InvalidValue
from getnet_pos.simulator import Behaviour, Direction, Fault, FaultKind, VirtualTerminal
from getnet_pos.simulator.faults import Frame, Frames, Line
from tests.simulator.register import Register, show

TO_TERMINAL, TO_REGISTER = Direction.TO_TERMINAL, Direction.TO_REGISTER
SALE = m.Sale(700, "A1", send_message=True, date_time="2026-01-01T12:00:00.000Z")


def sold(*faults, seed=0, **behaviour):
    register = Register(VirtualTerminal(faults=faults, default=Behaviour(**behaviour), seed=seed))
    register.send(SALE)
    register.run()
    return register


@pytest.mark.parametrize(
    ("kind", "heard"),
    [
        ("drop", [78, 81, 82, (100, 0)]),
        ("duplicate", [True, True, 78, 81, 82, (100, 0)]),
        ("delay", [78, 81, 82, (100, 0), True]),
        ("reorder", [78, True, 81, 82, (100, 0)]),
    ],
)
def test_a_fault_of_the_acknowledgement(kind, heard):
    register = sold(Fault(FaultKind(kind), TO_REGISTER))
    assert show(register.messages) == heard
    assert register.terminal.ledger.charged() == 700


def test_a_delay_is_in_seconds():
    register = sold(Fault(FaultKind.DELAY, TO_REGISTER, message=4, seconds=90))
    assert (register.writes[-1][0], show(register.messages[-1:])) == (90, [(100, 0)])


def test_a_reordered_message_without_a_next_one_does_not_come():
    register = sold(Fault(FaultKind.REORDER, TO_REGISTER, message=4))
    assert show(register.messages) == [True, 78, 81, 82]


@pytest.mark.parametrize("seed", range(20))
def test_a_corrupted_reply_is_never_taken_for_a_good_one(seed):
    register = sold(Fault(FaultKind.CORRUPT, TO_REGISTER, message=4), seed=seed)
    good = sold(seed=seed)
    damaged = [(a, b) for a, b in zip(register.heard(), good.heard(), strict=True) if a != b]
    assert len(damaged) == 1
    assert (damaged[0][0] ^ damaged[0][1]).bit_count() == 1
    assert (100, 0) not in show(register.messages) or register.messages[-1].amount == 700


def test_a_byte_of_a_message_can_be_chosen():
    register = sold(Fault(FaultKind.TRUNCATE, TO_REGISTER, message=0, byte=5))
    assert register.writes[0][1] == acknowledgement(True)[:5]
    register = sold(Fault(FaultKind.DROP, TO_REGISTER, message=0, byte=0))
    assert register.writes[0][1] == acknowledgement(True)[1:]
    register = sold(Fault(FaultKind.CORRUPT, TO_REGISTER, message=0, byte=999))
    assert register.writes[0][1][:-1] == acknowledgement(True)[:-1]
    assert register.writes[0][1] != acknowledgement(True)


def test_a_byte_of_the_stream_can_be_chosen():
    register = sold(Fault(FaultKind.DROP, TO_REGISTER, message=None, byte=len(acknowledgement(True)) + 1))
    assert show(register.messages) == [True, "malformed", 81, 82, (100, 0)]


def test_a_truncation_at_the_first_byte_leaves_nothing():
    register = sold(Fault(FaultKind.TRUNCATE, TO_REGISTER, message=0, byte=0))
    assert show(register.messages) == [78, 81, 82, (100, 0)]


def test_several_faults_may_meet_in_one_message():
    faults = [Fault(kind, TO_REGISTER) for kind in (FaultKind.DUPLICATE, FaultKind.DELAY)]
    register = sold(*faults, Fault(FaultKind.CORRUPT, TO_REGISTER, message=0, byte=0))
    assert show(register.messages) == [78, 81, 82, (100, 0)]
    assert [(time, data[1:]) for time, data in register.writes[-2:]] == [(1, acknowledgement(True)[1:])] * 2
    assert sold(Fault(FaultKind.DROP, TO_REGISTER), Fault(FaultKind.CORRUPT, TO_REGISTER)).messages[0].code == 78


# ---------------------------------------------------------------------------------------------------- to the terminal


@pytest.mark.parametrize(
    ("fault", "charges"),
    [
        (Fault(FaultKind.DROP, TO_TERMINAL), 0),
        (Fault(FaultKind.TRUNCATE, TO_TERMINAL), 0),
        (Fault(FaultKind.DROP, TO_TERMINAL, byte=30), 0),
        (Fault(FaultKind.DUPLICATE, TO_TERMINAL), 1),
        (Fault(FaultKind.REORDER, TO_TERMINAL), 0),
        (Fault(FaultKind.DELAY, TO_TERMINAL, seconds=60), 1),
    ],
    ids=lambda value: value.kind.value if isinstance(value, Fault) else None,
)
def test_a_fault_of_the_command(fault, charges):
    register = sold(fault, decide_after=1)
    assert len(register.terminal.ledger.charges("A1")) == charges


def test_a_command_that_comes_twice_is_charged_twice_by_a_terminal_that_is_free_again():
    register = sold(Fault(FaultKind.DUPLICATE, TO_TERMINAL), decide_after=0)
    assert len(register.terminal.ledger.charges("A1")) == 2


@pytest.mark.parametrize("seed", range(20))
def test_a_corrupted_command_moves_no_other_amount(seed):
    register = sold(Fault(FaultKind.CORRUPT, TO_TERMINAL), seed=seed)
    assert register.terminal.ledger.charged() in (0, 700)


def test_a_corrupted_signed_text_is_not_accepted():
    assert show(sold(Fault(FaultKind.CORRUPT, TO_TERMINAL, byte=-66 + len(seal(SALE)))).messages) == [False]


def test_messages_are_counted_however_the_bytes_come():
    """Acknowledgements count too: the fourth message of the register is its second command."""
    terminal = VirtualTerminal(faults=[Fault(FaultKind.DROP, TO_TERMINAL, message=3)])
    register = Register(terminal)
    stream = seal(m.Poll()) + acknowledgement(True) + acknowledgement(False) + seal(SALE) + seal(m.Poll())
    for byte in stream:
        register.write(bytes([byte]))
    assert show(register.run()) == [True, (106, 0), True, (106, 0)]
    assert terminal.acknowledgements == 1


def test_a_fault_counts_from_when_it_was_injected():
    register = sold()
    register.acknowledge()
    register.terminal.inject(Fault(FaultKind.DROP, TO_TERMINAL, message=1))
    assert register.ask(m.Poll()).approved
    register.acknowledge()
    register.send(m.Poll())
    assert show(register.run()) == [True, (106, 0)]
    assert register.terminal.acknowledgements == 2


def test_half_a_command_is_kept_when_the_last_fault_has_passed():
    terminal = VirtualTerminal(faults=[Fault(FaultKind.DROP, TO_TERMINAL)])
    register = Register(terminal)
    poll = seal(m.Poll())
    register.write(acknowledgement(True) + poll[:50])
    register.write(poll[50:])
    assert show(register.run()) == [True, (106, 0)]
    assert terminal.acknowledgements == 0


def test_what_is_on_its_way_is_lost_when_the_link_is_cut():
    register = Register(VirtualTerminal(faults=[Fault(FaultKind.DELAY, TO_TERMINAL, seconds=5)]))
    register.send(m.Sale(700))
    register.terminal.disconnect(1.0)
    register.terminal.connect(2.0)
    assert (register.run(), register.terminal.commands) == ([], [])


def test_the_same_seed_gives_the_same_fault():
    def heard(seed):
        return sold(Fault(FaultKind.CORRUPT, TO_REGISTER, message=4), seed=seed, fragment=100).writes

    assert heard(3) == heard(3)


# -------------------------------------------------------------------------------------------------------------- pieces


@pytest.mark.parametrize(
    "place", [{"message": None}, {"message": -1}, {"message": 0, "byte": -1}, {"message": 0, "seconds": -1.0}], ids=str
)
def test_a_fault_has_a_place(place):
    with pytest.raises(InvalidValue):
        Fault(FaultKind.DROP, TO_TERMINAL, **place)


def test_a_stream_is_cut_behind_each_frame_and_nothing_is_left_out():
    ack, simple = acknowledgement(True), frame_simplified("103|")
    pieces = Frames().feed(b"noise" + ack + simple + ack + b"\r\n" + b"{x" + simple + b"rest{")
    assert pieces == [b"noise" + ack, simple, ack, b"\r\n{", b"x" + simple]
    frames = Frames()
    assert frames.feed(ack[:5]) == []
    assert frames.rest() == ack[:5]
    assert frames.feed(ack) == [ack]


def test_a_line_without_faults_passes_all():
    line = Line(random.Random(0))
    assert (line.due, line.faulty) == (math.inf, False)
    line.put(Frame(b"a", Behaviour()), 3.0)
    assert (line.due, line.take(2.9), line.take(3.0)) == (3.0, [], [(b"a", Behaviour())])
