"""What a script can make of a command: outcomes, times, replies that are wrong, bytes that come in odd ways."""

import json
from datetime import datetime
from itertools import pairwise
from math import inf

import pytest

from getnet_pos import messages as m
from getnet_pos.codec import Decoder, acknowledgement, seal
from getnet_pos.errors import InvalidType
from getnet_pos.simulator import (
    Behaviour,
    Card,
    Identity,
    Outcome,
    Reboot,
    Refusal,
    Serialized,
    VirtualTerminal,
)
from tests.simulator.register import Register, show

SALE = m.Sale(700, "A1", send_message=True, date_time="2026-01-01T12:00:00.000Z")
APPROVED = [True, 78, 81, 82, (100, 0)]


def sold(*script, **settings):
    """A register, after one sale of 700 under a script."""
    register = Register(VirtualTerminal(script=script, **settings))
    register.send(SALE)
    register.run()
    return register


def charged(register):
    return register.terminal.ledger.charged("A1")


# ------------------------------------------------------------------------------------------------------------ outcomes


@pytest.mark.parametrize(
    ("outcome", "code", "message"),
    [
        (Outcome.DECLINE, 2001, "Rechazado"),
        (Outcome.CANCEL, 1006, "Operacion Cancelada"),
        (Outcome.TIME_OUT, 1006, "Tiempo de espera excedido"),
    ],
)
def test_a_sale_that_is_not_approved_charges_nothing_and_says_why(outcome, code, message):
    register = sold(Behaviour(outcome=outcome))
    reply = register.messages[-1]
    assert (reply.function_code, reply.response_code, reply.response_message) == (100, code, message)
    assert (reply.amount, reply.ticket, reply.authorization_code, reply.operation_id) == (700, "A1", "", 0)
    assert register.terminal.ledger.entries == ()


def test_a_decline_may_have_its_own_code_and_message():
    register = sold(Behaviour(outcome=Outcome.DECLINE, response_code=51, response_message="Fondos insuficientes"))
    assert (register.messages[-1].response_code, register.messages[-1].response_message) == (51, "Fondos insuficientes")


def test_a_silent_terminal_says_nothing_more_and_is_free():
    register = sold(Behaviour(outcome=Outcome.SILENT))
    assert show(register.messages) == [True]
    assert (charged(register), register.terminal.busy) == (0, False)
    mute = sold(Behaviour(outcome=Outcome.SILENT, acknowledge=None))
    assert mute.writes == []


def test_the_script_is_taken_one_by_one_and_then_the_default():
    terminal = VirtualTerminal(default=Behaviour(outcome=Outcome.DECLINE), script=[Behaviour(), Behaviour()])
    register = Register(terminal)
    assert [register.ask(m.Sale(1)).approved for _ in range(4)] == [True, True, False, False]
    assert register.ask(m.Poll()).approved


def test_answers_are_by_command_code():
    terminal = VirtualTerminal(answers={106: Behaviour(outcome=Outcome.DECLINE), 100: Behaviour(tip=5)})
    register = Register(terminal)
    assert not register.ask(m.Poll()).approved
    assert register.ask(m.TotalsReport()).approved
    assert register.ask(m.Sale(1)).tip == 5


def test_the_card_the_identity_and_the_date_can_be_chosen():
    register = sold(
        Behaviour(card=Card(brand="MC", type="CR", last4="5547")),
        identity=Identity(terminal_id="AR00TEST", commerce_code=1),
        epoch=datetime(2030, 5, 6, 7, 8, 9),
    )
    reply = register.messages[-1]
    assert (reply.card_brand, reply.card_type, reply.last4_digits) == ("MC", "CR", "5547")
    assert (reply.terminal_id, reply.commerce_code, reply.real_date) == ("AR00TEST", 1, "2030-05-06 07:08:09")


# --------------------------------------------------------------------------------------------------------------- times


def test_each_step_is_counted_from_the_one_before():
    behaviour = Behaviour(acknowledge_after=0.5, progress=(78, 82), progress_every=2, decide_after=5, reply_after=1)
    register = sold(behaviour)
    times = [(time, *show([message])) for (time, _), message in zip(register.writes, register.messages, strict=True)]
    assert times == [(0.5, True), (2.5, 78), (4.5, 82), (10.5, (100, 0))]
    assert register.messages[-1].real_date.endswith("12:00:09")


def test_the_times_are_the_same_however_seldom_the_terminal_is_looked_at():
    terminal = VirtualTerminal(default=Behaviour(progress_every=1, decide_after=2))
    terminal.receive(seal(m.Sale(5)), 0.0)
    assert terminal.next_event() == 0.0
    assert len(terminal.take(100.0)) == 2
    assert terminal.ledger.entries[0].real_date == "2026-01-01 12:00:05"


def test_the_steps_of_a_sale_take_their_time_unseen_by_a_register_that_does_not_ask():
    register = Register(VirtualTerminal(default=Behaviour(progress=(78,), progress_every=7)))
    register.send(m.Sale(5))
    assert show(register.run()) == [True, (100, 0)]
    assert register.now == 7


def test_a_sale_may_wait_for_ever_or_be_charged_and_never_answered():
    waiting = sold(Behaviour(decide_after=inf))
    assert (charged(waiting), waiting.terminal.busy, waiting.terminal.next_event()) == (0, True, None)
    unanswered = sold(Behaviour(reply_after=inf))
    assert (charged(unanswered), unanswered.terminal.busy) == (700, False)
    assert show(unanswered.messages) == [True, 78, 81, 82]


def test_a_question_may_overtake_the_reply():
    register = Register(VirtualTerminal(script=[Behaviour(reply_after=20)]))
    register.send(m.Sale(700, "A1"))
    register.run(until=5)
    register.send(m.LastVoucher())
    assert show(register.run(until=5)) == [True, (100, 0)]
    assert show(register.run()) == [(100, 0)]


def test_the_last_voucher_is_stale_until_the_record_is_written():
    terminal = VirtualTerminal(script=[Behaviour(), Behaviour(record_after=10)])
    register = Register(terminal)
    register.ask(m.Sale(1, "A1"))
    register.ask(m.Sale(2, "A2"))
    assert register.ask(m.LastVoucher()).ticket == "A1"
    assert register.ask(m.TotalsReport()).tx_count == 1
    assert register.ask(m.Void(2)).response_code == Refusal.NOT_FOUND.code
    register.now = 10
    assert register.ask(m.LastVoucher()).ticket == "A2"


def test_a_reply_that_is_not_acknowledged_is_sent_again_if_so_scripted():
    register = sold(Behaviour(resends=2, resend_after=5))
    assert show(register.messages) == [*APPROVED, (100, 0), (100, 0)]
    assert [time for time, _ in register.writes[-3:]] == [0, 5, 10]


@pytest.mark.parametrize(("received", "replies"), [(True, 2), (False, 3)])
def test_an_acknowledgement_ends_the_resending(received, replies):
    register = Register(VirtualTerminal(script=[Behaviour(resends=2, resend_after=5)]))
    register.send(m.Sale(700))
    register.run(until=6)
    register.acknowledge(received)
    register.run()
    assert show(register.messages) == [True] + [(100, 0)] * replies


def test_a_good_terminal_needs_no_acknowledgement():
    register = sold()
    assert show(register.messages) == APPROVED
    assert register.terminal.next_event() is None
    register.write(acknowledgement(True))
    assert (register.run(), register.terminal.acknowledgements) == ([], 1)


# ------------------------------------------------------------------------------------------------------- wrong replies


def test_a_refused_acknowledgement_drops_the_command():
    register = sold(Behaviour(acknowledge=False))
    assert show(register.messages) == [False]
    assert (charged(register), register.terminal.busy) == (0, False)


def test_the_acknowledgement_may_be_left_out():
    assert show(sold(Behaviour(acknowledge=None)).messages) == APPROVED[1:]


def test_fields_of_the_reply_may_be_changed_or_left_out():
    register = sold(Behaviour(change={"Amount": 1}, omit=("Ticket",)))
    assert (register.messages[-1].amount, register.messages[-1].ticket, charged(register)) == (1, None, 700)
    register = sold(Behaviour(change={"FunctionCode": 0, "ResponseMessage": "Error durante el procesamiento"}))
    assert (register.messages[-1].approved, charged(register)) == (False, 700)


@pytest.mark.parametrize("serialized", Serialized)
def test_a_wrong_signature_is_wrong_in_every_form(serialized):
    register = sold(Behaviour(wrong_signature=True, serialized=serialized))
    assert show(register.messages) == [*APPROVED[:-1], "signature"]
    assert charged(register) == 700


def test_a_wrong_checksum_on_the_simplified_wire():
    register = Register(VirtualTerminal(default=Behaviour(wrong_signature=True)), m.Wire.SIMPLIFIED)
    register.send(m.Sale(700))
    assert show(register.run()) == ["checksum"]


def test_a_reply_may_come_twice():
    assert show(sold(Behaviour(duplicate=True)).messages) == [*APPROVED, (100, 0)]


def test_the_reply_of_the_operation_before_may_come_first():
    register = sold(Behaviour(reply_after=inf), Behaviour(late_reply=True))
    register.send(m.Sale(5, "A2"))
    late, ack, reply = register.run()
    assert (late.ticket, late.amount, ack, reply.ticket) == ("A1", 700, m.Ack(True), "A2")


def test_before_the_first_operation_there_is_no_late_reply():
    assert show(sold(Behaviour(late_reply=True)).messages) == APPROVED


def test_a_refusal_as_busy_is_no_late_reply():
    register = Register(VirtualTerminal(script=[Behaviour(reply_after=1), Behaviour(decide_after=9)]))
    register.terminal.script.append(Behaviour(late_reply=True))
    register.ask(m.Sale(1, "A1"))
    register.send(m.Sale(2, "A2"))
    register.run(until=2)
    register.send(m.Sale(3, "A3"))
    register.run()
    register.send(m.Sale(4, "A4"))
    assert register.run()[0].ticket == "A2"


# ---------------------------------------------------------------------------------------------------- odd ways to write


def test_camel_case_reaches_every_message_and_every_row():
    terminal = VirtualTerminal(default=Behaviour(camel_case=True))
    register = Register(terminal)
    register.send(SALE)
    assert show(register.run()) == APPROVED
    assert register.ask(m.DetailsReport()).sale_details[0].amount == 700
    assert b'\\"functionCode\\"' in register.heard()
    assert b'\\"FunctionCode' not in register.heard()


@pytest.mark.parametrize("serialized", Serialized)
def test_the_signed_text_may_stand_in_its_envelope_in_three_ways(serialized):
    register = sold(Behaviour(serialized=serialized))
    assert show(register.messages) == APPROVED
    inner = json.loads(register.writes[-1][1])["JsonSerialized"]
    for _ in range({Serialized.TEXT: 1, Serialized.OBJECT: 0, Serialized.DOUBLE: 2}[serialized]):
        inner = json.loads(inner)
    assert inner["Amount"] == 700


def test_a_line_end_may_follow_each_frame():
    register = sold(Behaviour(crlf=True))
    assert all(data.endswith(b"}\r\n") for _, data in register.writes)
    assert show(register.messages) == APPROVED


@pytest.mark.parametrize("seed", range(50))
def test_noise_before_the_frames_does_not_hide_them(seed):
    register = sold(Behaviour(noise=8), seed=seed)
    noise, found, rest = register.writes[0][1].partition(acknowledgement(True))
    assert (1 <= len(noise) <= 8, found, rest) == (True, acknowledgement(True), b"")
    assert [item for item in show(register.messages) if item != "malformed"] == APPROVED


def test_a_frame_may_come_in_fragments():
    register = sold(Behaviour(fragment=1))
    assert {len(data) for _, data in register.writes} == {1}
    assert show(register.messages) == APPROVED
    register = sold(Behaviour(fragment=50))
    assert [len(data) for _, data in register.writes[1:3]] == [50, 50]


def test_a_slow_link_keeps_the_order():
    register = sold(Behaviour(fragment=10, fragment_every=0.5))
    times = [time for time, _ in register.writes]
    assert times == sorted(times)
    assert times[:3] == [0.0, 0.5, 0.5]
    assert show(register.messages) == APPROVED


def test_all_may_come_in_one_write():
    register = sold(Behaviour(coalesce=True, progress_every=2, reply_after=1))
    assert [time for time, _ in register.writes] == [7]
    assert show(register.messages) == APPROVED


@pytest.mark.parametrize(
    ("command", "heard"),
    [
        (SALE, APPROVED),
        (m.Poll(), [True, (106, 0)]),
        (m.TotalsReport(), [True, (104, 0)]),
        (m.CancelSale(), [True, (116, Refusal.NO_SALE_IN_PROGRESS.code)]),
        (m.GenericCommand(code=98), [True, (0, Refusal.MALFORMED.code)]),
    ],
)
def test_a_gap_is_kept_between_any_two_writes(command, heard):
    register = Register(VirtualTerminal(default=Behaviour(echo=True, duplicate=True, fragment=100)))
    register.terminal.gap = 0.03
    for _ in range(2):
        register.send(command)
        register.now += 0.01
    register.run()
    assert [item for item in show(register.messages) if not isinstance(item, m.CommandMessage)][:2] == heard[:2]
    decoder, times = Decoder(), []
    for time, data in register.writes:
        times += [time] * len(decoder.feed(data))
    assert all(later - earlier >= 0.03 - 1e-9 for earlier, later in pairwise(times))


def test_the_gap_counts_from_when_a_write_has_left_however_late_that_was():
    terminal = VirtualTerminal()
    terminal.gap = 0.03
    terminal.receive(seal(m.Poll()), 0.0)
    assert len(terminal.take(5.0)) == 1
    assert terminal.next_event() == 5.03
    assert terminal.take(5.02) == []
    assert len(terminal.take(5.03)) == 1
    terminal.receive(seal(m.Poll()), 6.0)
    assert len(terminal.take(6.0)) == 1
    terminal.wrote(6.02)
    assert terminal.next_event() == 6.05


def test_one_write_and_fragments_go_together_and_so_do_resends():
    register = sold(Behaviour(coalesce=True, fragment=1000, duplicate=True, resends=1, resend_after=4))
    assert [(time, len(data)) for time, data in register.writes[:2]] == [(0, 1000), (0, 1000)]
    assert register.writes[-1][0] == 4
    assert show(register.messages) == [*APPROVED, (100, 0), (100, 0)]


def test_a_cancelled_sale_that_was_held_back_comes_in_one_write():
    register = Register(VirtualTerminal(script=[Behaviour(coalesce=True, decide_after=inf)]))
    register.send(SALE)
    assert register.run() == []
    register.send(m.CancelSale())
    assert show(register.run()) == [True, (116, 0), True, 78, 81, 82, (100, Refusal.CANCELLED.code)]


def test_an_echo_sends_back_what_came_before_all_else():
    register = sold(Behaviour(echo=True))
    assert register.writes[0] == (0.0, seal(SALE))
    assert show(register.messages[1:]) == APPROVED


def test_a_loop_back_is_an_echo_and_nothing_else():
    register = Register(VirtualTerminal(answers={106: Behaviour(echo=True, outcome=Outcome.SILENT, acknowledge=None)}))
    poll = m.Poll()
    register.send(poll)
    register.run()
    assert register.heard() == seal(poll)


def test_the_default_lends_its_manner_and_nothing_else_to_other_commands():
    odd = Behaviour(
        outcome=Outcome.DECLINE, acknowledge=None, reply_after=9, change={"FunctionCode": 0}, crlf=True, camel_case=True
    )
    register = Register(VirtualTerminal(default=odd))
    register.send(m.Poll())
    assert show(register.run()) == [True, (106, 0)]
    assert (register.now, register.heard().count(b"\r\n")) == (0, 2)
    assert odd.manner() == Behaviour(crlf=True, camel_case=True)


# ------------------------------------------------------------------------------------------------- reboots, unplugging


def test_a_reboot_before_the_approval_leaves_nothing():
    register = sold(Behaviour(reboot=Reboot(approved=False), coalesce=True))
    assert (charged(register), register.terminal.busy, register.writes) == (0, False, [])
    assert register.ask(m.LastVoucher()).response_code == Refusal.NO_VOUCHER.code


def test_a_reboot_after_the_approval_keeps_the_record_or_loses_it():
    register = sold(Behaviour(reboot=Reboot(keep_record=True)))
    assert (charged(register), show(register.messages)) == (700, [])
    assert register.ask(m.LastVoucher()).amount == 700
    register = sold(Behaviour(reboot=Reboot(keep_record=False)))
    assert charged(register) == 700
    assert register.ask(m.LastVoucher()).response_code == Refusal.NO_VOUCHER.code


def test_a_reboot_before_the_record_is_written_leaves_the_voucher_before():
    register = Register(VirtualTerminal(script=[Behaviour(), Behaviour(record_after=1, reboot=Reboot())]))
    register.ask(m.Sale(1, "A1"))
    register.send(m.Sale(2, "A2"))
    register.run()
    register.now = 5
    assert register.ask(m.LastVoucher()).ticket == "A1"
    assert register.terminal.ledger.charged("A2") == 2


def test_a_rebooting_terminal_is_off_the_line():
    register = Register(VirtualTerminal(script=[Behaviour(decide_after=1, reboot=Reboot(seconds=30))]))
    terminal = register.terminal
    register.send(m.Sale(700))
    assert show(register.run(until=10)) == [True]
    assert not terminal.connected(10)
    assert terminal.next_event() == 31
    register.send(m.Poll())
    assert register.run() == []
    assert (register.now, terminal.connected(31)) == (31, True)
    assert register.ask(m.Poll()).approved


def test_what_comes_behind_a_command_that_makes_it_restart_is_lost():
    register = Register(VirtualTerminal(script=[Behaviour(reboot=Reboot(seconds=1))]))
    register.write(seal(m.Sale(700)) + seal(m.Poll()))
    assert (register.run(), len(register.terminal.commands)) == ([], 1)


def test_a_terminal_can_be_rebooted_at_any_time():
    register = Register(VirtualTerminal(default=Behaviour(decide_after=5)))
    register.send(m.Sale(700))
    register.run(until=2)
    register.terminal.reboot(False, 2.0)
    assert (register.run(), register.terminal.busy) == ([], False)
    assert register.terminal.ledger.entries == ()


def test_an_unplugged_terminal_works_on_and_what_it_says_is_lost():
    register = Register(VirtualTerminal(default=Behaviour(decide_after=5)))
    terminal = register.terminal
    register.send(m.Sale(700))
    register.run(until=1)
    terminal.disconnect(1.0)
    register.send(m.Poll())
    assert register.run(until=10) == []
    terminal.connect(10.0)
    assert register.run() == []
    assert (terminal.ledger.charged(), len(terminal.commands)) == (700, 1)
    assert register.ask(m.LastVoucher()).amount == 700


def test_half_a_command_is_forgotten_when_the_link_is_cut():
    register = Register(VirtualTerminal())
    register.write(seal(m.Sale(700))[:40])
    register.terminal.disconnect(0.0)
    register.terminal.connect(0.0)
    assert register.ask(m.Poll()).approved


# --------------------------------------------------------------------------------------------------------- determinism


def everything(seed):
    behaviour = Behaviour(noise=6, fragment=7, fragment_every=0.1, duplicate=True, resends=1)
    register = Register(VirtualTerminal(default=behaviour, seed=seed))
    for ticket in ("A1", "A2"):
        register.send(m.Sale(5, ticket, send_message=True, date_time="x"))
        register.run()
    return register.writes, register.terminal.ledger.entries


def test_the_same_seed_gives_the_same_bytes_at_the_same_times():
    assert everything(1) == everything(1)
    assert everything(1) != everything(2)


@pytest.mark.parametrize("given", [{"script": ["decline"]}, {"default": Outcome.DECLINE}, {"answers": {104: {}}}])
def test_what_is_no_behaviour_is_refused_at_once(given):
    """Otherwise the next command fails in the terminal's thread, and looks like a lost link."""
    with pytest.raises(InvalidType, match="must be a Behaviour"):
        VirtualTerminal(**given)
