"""What the software of a terminal is like: ways that were seen of real ones, whatever they are asked."""

import json

import pytest

from getnet_pos import messages as m
from getnet_pos.codec import seal
from getnet_pos.simulator import A920, Behaviour, Firmware, Outcome, VirtualTerminal
from tests.simulator.register import Register, show

DAY_FIRST = "01-01-2026 12:00:00"


def register_of(firmware, *script, **settings):
    return Register(VirtualTerminal(firmware=firmware, script=script, **settings))


def raw(register):
    """The fields of the last reply, as they were written."""
    return json.loads(json.loads(register.writes[-1][1])["JsonSerialized"])


def test_a_plain_one_tells_all():
    register = register_of(Firmware())
    register.ask(m.Sale(700, "A1"))
    voucher = register.ask(m.LastVoucher())
    assert (voucher.ticket, voucher.operation_id, voucher.function_code) == ("A1", 1, 100)


def test_an_a920_tells_less_of_its_last_voucher():
    register = register_of(A920, Behaviour())
    assert register.ask(m.Sale(700, "A1")).ticket == "A1"
    register.ask(m.Void(1))
    voucher = register.ask(m.LastVoucher())
    assert (voucher.ticket, voucher.operation_id, voucher.function_code) == (None, 0, 101)
    assert {"functionCode", "amount"} <= raw(register).keys()
    assert b"FunctionCode" not in register.heard()


def test_an_empty_record_is_refused_as_by_any_other():
    assert register_of(A920).ask(m.LastVoucher()).response_code == 99


def test_fields_may_be_missing_in_every_voucher():
    register = register_of(Firmware(omit=("Ticket", "RealDate")))
    for command in (m.Sale(700, "A1"), m.LastVoucher(), m.Duplicate(1)):
        voucher = register.ask(command)
        assert (voucher.amount, voucher.ticket, voucher.real_date) == (700, None, None)
    (row,) = register.ask(m.DetailsReport()).sale_details
    assert (row.amount, row.ticket, row.real_date) == (700, None, None)


@pytest.mark.parametrize(("date", "taken"), [("2026-01-01T12:00:00.000Z", False), (DAY_FIRST, True)])
def test_a_date_that_begins_with_the_year_may_be_refused(date, taken):
    register = register_of(Firmware(refuses_iso_dates=True), Behaviour(tip=5))
    register.send(m.Sale(700, "A1", date_time=date))
    assert show(register.run()) == ([True, (100, 0)] if taken else [False])
    assert register.terminal.ledger.charged() == 700 * taken
    assert len(register.terminal.script) == (not taken), "what is refused takes nothing from the script"


def test_after_a_flush_it_may_take_no_sales_until_it_is_plugged_in_anew():
    register = register_of(A920)
    register.terminal.flush(register.now)
    register.send(m.Sale(700))
    assert register.run() == []
    assert register.ask(m.Poll()).approved
    assert register.terminal.ledger.entries == ()
    register.terminal.disconnect(register.now)
    register.terminal.connect(register.now)
    assert register.ask(m.Sale(700)).approved
    plain = register_of(Firmware())
    plain.terminal.flush(0.0)
    assert plain.ask(m.Sale(700)).approved


@pytest.mark.parametrize(("firmware", "told"), [(A920, [(100, 0)]), (Firmware(), [])])
def test_the_reply_that_could_not_be_sent_may_come_when_it_is_plugged_in_again(firmware, told):
    register = register_of(firmware, Behaviour(decide_after=5))
    terminal = register.terminal
    register.send(m.Sale(700, "A1"))
    assert show(register.run(until=1)) == [True]
    terminal.disconnect(1)
    register.run(until=20)
    terminal.connect(20)
    assert show(register.run()) == told
    if told:
        assert register.now == 21
    terminal.disconnect(register.now)
    terminal.connect(register.now)
    assert register.run() == [], "it comes once"


def test_an_unsent_reply_waits_for_a_cable_that_stays_and_not_for_a_restart():
    register = register_of(A920, Behaviour(), Behaviour())
    terminal = register.terminal

    def sell_unplugged(at):
        terminal.receive(seal(m.Sale(700)), at)
        terminal.take(at)

    terminal.script[0] = terminal.script[1] = Behaviour(decide_after=1)
    sell_unplugged(0)
    terminal.disconnect(0.5)
    terminal.connect(2)
    terminal.disconnect(2.5)
    terminal.connect(10)
    assert len(terminal.take(11)) == 1
    sell_unplugged(20)
    terminal.disconnect(20.5)
    terminal.take(22)
    terminal.reboot(True, 23)
    terminal.connect(24)
    assert terminal.take(100) == []


@pytest.mark.parametrize(("code", "words"), [(None, "Sin papel"), (1003, "Tapa de impresora abierta")])
def test_a_printing_error_comes_after_the_charge(code, words):
    register = register_of(Firmware(), Behaviour(outcome=Outcome.PRINTING_ERROR, response_code=code))
    reply = register.ask(m.Sale(700, "A1"))
    assert (reply.response_code, reply.response_message, reply.approved) == (code or 1004, words, False)
    assert register.terminal.ledger.charged("A1") == 700
    assert register.ask(m.LastVoucher()).ticket == "A1"
