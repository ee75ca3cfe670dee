"""Every command a register can send, on both wires, and the reply that a correct terminal gives from its ledger."""

import json

import pytest

from getnet_pos import messages as m
from getnet_pos.codec import envelope, frame_simplified, signature
from getnet_pos.messages.fields import wire_fields
from getnet_pos.simulator import Behaviour, Card, Outcome, Refusal, VirtualTerminal
from tests.simulator.register import Register, show


@pytest.fixture
def terminal():
    return VirtualTerminal()


@pytest.fixture
def register(terminal):
    return Register(terminal)


def raw(register, **fields):
    """Send an object as it stands, and return what came back, in short."""
    register.write(envelope(json.dumps(fields)))
    return show(register.run())


def unset(reply):
    """The fields that the reply could have and has not."""
    return [item.name for item in wire_fields(type(reply)) if getattr(reply, item.name) is None]


def test_a_poll_is_acknowledged_and_answered(register):
    assert raw(register, Command=106) == [True, (106, 0)]
    assert register.messages[-1].connected


def test_a_sale_is_charged_and_every_field_is_told(terminal, register):
    reply = register.ask(m.Sale(25_000, "A1", sale_type=m.SaleType.SALE_AFFECTS, employee_id=7))
    (entry,) = terminal.ledger.entries
    assert reply.approved
    assert reply.response_message == "Aprobado"
    assert (reply.amount, reply.ticket, reply.employee_id, reply.sale_type) == (25_000, "A1", 7, 1)
    assert (reply.authorization_code, reply.operation_id) == (entry.authorization_code, 1)
    assert (reply.last4_digits, reply.card_type, reply.card_brand) == ("0042", "DB", "VI")
    assert reply.real_date == reply.accounting_date == entry.real_date == "2026-01-01 12:00:00"
    assert reply.trans_token == "8000500012983120260101120000"
    assert (unset(reply), reply.extra) == ([], {})
    assert terminal.ledger.charged("A1") == 25_000


def test_the_date_follows_the_clock(register):
    register.now = 90_061.5
    assert register.ask(m.Sale(1)).real_date == "2026-01-02 13:01:01"


def test_progress_is_told_in_spanish_to_a_register_that_asks_for_it(register):
    register.send(m.Sale(100, send_message=True))
    assert show(register.run()) == [True, 78, 81, 82, (100, 0)]
    assert [message.text for message in register.messages[1:4]] == [
        "Lectura de tarjetas",
        "Ingreso de PIN",
        "Enviando transacción a Getnet",
    ]


def test_a_ticket_may_be_a_number_and_names_may_be_in_camel_case(terminal, register):
    raw(register, command=100, amount=5, ticketNumber=77)
    assert terminal.ledger.charged("77") == 5


def test_numbers_may_be_texts_and_an_authorization_code_a_number(terminal, register):
    raw(register, Command="100", Amount="700", TicketNumber="A1", EmployeeId="2", SaleType="1", SendMessage="true")
    sale = register.messages[-1]
    assert (sale.amount, sale.employee_id, sale.sale_type) == (700, 2, m.SaleType(1))
    assert any(isinstance(message, m.Progress) for message in register.messages)
    while not sale.authorization_code.startswith("0"):
        sale = register.ask(m.Sale(700))
    raw(register, Command=108, AuthorizationCode=int(sale.authorization_code), Amount="700.00")
    assert register.messages[-1].approved
    assert terminal.ledger.returned() == 700


@pytest.mark.parametrize(
    "wrong", [{}, {"Amount": 0}, {"Amount": "many"}, {"Amount": 5, "TicketNumber": []}, {"Amount": 5, "SaleType": "x"}]
)
def test_a_sale_that_cannot_be_begun_shows_no_progress_and_waits_for_nobody(wrong):
    register = Register(VirtualTerminal(default=Behaviour(outcome=Outcome.DECLINE, progress_every=5, decide_after=30)))
    assert raw(register, Command=100, SendMessage=True, **wrong) == [True, (0, Refusal.MALFORMED.code)]
    assert register.now == 0


def test_a_payment_in_installments_with_a_tip(register):
    raw(register, Command=100, Amount=1000, Tip=100, Installments=3)
    sale = register.messages[-1]
    assert (sale.amount, sale.tip, sale.shares_number, sale.shares_amount) == (1000, 100, 3, 333)


def test_the_child_merchant_of_a_sale_may_be_empty(terminal, register):
    raw(register, Command=120, Amount=700, RutCommerceSon="")
    assert register.messages[-1].approved


def test_the_last_voucher_is_under_the_recorded_code_and_its_digits_are_a_number(register):
    sale = register.ask(m.Sale(700, "A1"))
    register.write(envelope('{"Command":101,"PrintOnPos":false}'))
    voucher = register.run()[-1]
    assert isinstance(voucher, m.SaleReply)
    assert voucher.last4_digits == "0042"
    assert b'"Last4Digits\\":42' in register.heard()
    assert (voucher.ticket, voucher.operation_id, voucher.real_date) == ("A1", sale.operation_id, sale.real_date)


def test_the_last_voucher_of_a_void_names_the_sale_and_of_a_refund_the_authorization(register):
    first, second = register.ask(m.Sale(700)), register.ask(m.Sale(300))
    register.ask(m.Void(first.operation_id))
    voucher = register.ask(m.LastVoucher())
    assert (voucher.function_code, voucher.operation_id, voucher.amount) == (102, first.operation_id, 700)
    assert (voucher.success, voucher.extra) == (True, {})
    register.ask(m.Refund(second.authorization_code, 100))
    voucher = register.ask(m.LastVoucher())
    assert (voucher.function_code, voucher.authorization_code, voucher.amount) == (108, second.authorization_code, 100)
    assert (voucher.success, voucher.date_time, voucher.extra) == (True, "2026-01-01 12:00:00", {})


def test_the_last_voucher_can_be_under_its_own_code():
    register = Register(VirtualTerminal(answers={101: Behaviour(change={"FunctionCode": 101}, omit=("Ticket",))}))
    register.ask(m.Sale(700, "A1"))
    voucher = register.ask(m.LastVoucher())
    assert (voucher.function_code, voucher.amount, voucher.ticket) == (101, 700, None)


def test_without_a_sale_there_is_no_voucher(register):
    reply = register.ask(m.LastVoucher())
    assert (reply.function_code, reply.response_code) == (101, Refusal.NO_VOUCHER.code)


def test_a_void_is_answered_and_done_once(terminal, register):
    sale = register.ask(m.Sale(700))
    reply = register.ask(m.Void(sale.operation_id))
    assert (reply.approved, reply.success, reply.operation_id) == (True, True, sale.operation_id)
    assert (reply.authorization_code, reply.commerce_code) == (sale.authorization_code, 12983)
    again = register.ask(m.Void(sale.operation_id))
    assert (again.success, again.response_message) == (False, "Operacion ya anulada")
    assert terminal.ledger.balance() == 0


def test_a_void_of_what_the_terminal_does_not_know_is_declined(register):
    assert register.ask(m.Void(9)).response_code == Refusal.NOT_FOUND.code


def test_a_refund_is_answered_with_its_own_operation_and_the_time(terminal, register):
    sale = register.ask(m.Sale(700))
    reply = register.ask(m.Refund(sale.authorization_code, 200))
    assert (reply.approved, reply.success, reply.operation_id) == (True, True, 2)
    assert reply.date_time == "2026-01-01 12:00:00"
    assert register.ask(m.Refund(sale.authorization_code, 501)).response_code == Refusal.TOO_MUCH.code
    assert terminal.ledger.balance() == 500


def test_a_duplicate_is_the_voucher_again(register):
    sale = register.ask(m.Sale(700, "A1"))
    register.ask(m.Sale(800))
    copy = register.ask(m.Duplicate(sale.operation_id))
    assert (copy.function_code, copy.ticket, copy.amount, copy.last4_digits) == (109, "A1", 700, "0042")
    assert register.ask(m.Duplicate(9)).response_code == Refusal.NOT_FOUND.code


def test_totals_count_what_moved_in_the_open_batch(register):
    terminal = register.terminal
    terminal.script.extend(
        [Behaviour(card=Card(type="CR"), tip=50), Behaviour(), Behaviour(card=Card(type="PR")), Behaviour()]
    )
    credit, debit = register.ask(m.Sale(1000)), register.ask(m.Sale(600))
    register.ask(m.Sale(70))
    held = register.ask(m.PreAuthorization(5))
    register.ask(m.PreAuthorizationRelease(held.authorization_code))
    register.ask(m.Void(debit.operation_id))
    register.ask(m.Refund(credit.authorization_code, 100))
    totals = register.ask(m.TotalsReport())
    assert (totals.tx_count, totals.tx_total) == (5, 970)
    assert (totals.count_credit_sales, totals.total_credit_sales) == (1, 1000)
    assert (totals.count_debit_sales, totals.total_debit_sales) == (1, 600)
    assert (totals.count_prepaid_sales, totals.total_prepaid_sales) == (1, 70)
    assert (totals.count_cancel_debit, totals.total_cancel_debit) == (1, 600)
    assert (totals.count_returns, totals.total_returns) == (1, 100)
    assert (totals.count_tips, totals.total_tips) == (1, 50)
    assert (totals.count_qr_credit_sales, totals.total_cash_sales, totals.extra) == (0, 0, {})


def test_details_have_a_row_for_each_operation(register):
    sale = register.ask(m.Sale(700, "A1"))
    register.ask(m.Void(sale.operation_id))
    rows = register.ask(m.DetailsReport()).sale_details
    assert [(row.function_code, row.amount, row.ticket) for row in rows] == [(100, 700, "A1"), (102, 700, "A1")]


def test_closing_the_batch_empties_the_reports_but_not_the_last_voucher(terminal, register):
    register.ask(m.Sale(700))
    reply = register.ask(m.CloseBatch())
    assert (reply.approved, reply.success, reply.terminal_id) == (True, True, "80005000")
    assert register.ask(m.TotalsReport()).tx_count == 0
    assert register.ask(m.DetailsReport()).sale_details == ()
    assert register.ask(m.LastVoucher()).amount == 700
    assert [(batch.count, batch.total) for batch in terminal.ledger.closed] == [(1, 700)]


def test_sales_and_tips_are_told_by_employee(register):
    register.terminal.script.extend([Behaviour(tip=10), Behaviour(tip=20), Behaviour()])
    for amount, employee in ((100, 2), (200, 2), (400, 1)):
        register.ask(m.Sale(amount, f"T{amount}", employee_id=employee))
    rows = register.ask(m.SalesBySellerReport(2)).sale_details
    assert [(row.employee_id, row.ticket, row.amount) for row in rows] == [(2, "T100", 100), (2, "T200", 200)]
    assert (rows[0].tc, rows[0].tx, rows[0].nc, rows[0].date) == ("DB", "100", "1", "2026-01-01 12:00:00")
    (tips,) = register.ask(m.TipsReport(2)).tip_report
    assert (tips.tx, tips.sales, tips.tips) == (2, 300, 30)
    raw(register, Command=111)
    assert [(row.employee_id, row.tips) for row in register.messages[-1].tip_report] == [(1, 0), (2, 30)]


def test_the_default_sale_type_is_kept(terminal, register):
    assert register.ask(m.SetDefaultSaleType(m.SaleType.SALE_EXEMPTED)).sale_type == 3
    assert raw(register, Command=100, Amount=1) == [True, (100, 0)]
    assert terminal.ledger.entries[-1].sale_type == 3


def test_normal_mode_is_taken_note_of(terminal, register):
    assert register.ask(m.SetNormalMode()).change_to_normal_mode
    assert not terminal.integrated
    terminal.reboot(True, register.now)
    assert terminal.integrated


@pytest.mark.parametrize("command", [m.ParametersReport, m.SimReport, m.MainPosData])
def test_what_the_terminal_says_of_itself_is_complete(register, command):
    reply = register.ask(command())
    assert (reply.approved, unset(reply), reply.extra) == (True, [], {})


def test_a_sale_for_a_child_merchant_and_its_void_and_refund(terminal, register):
    son = "11111111-1"
    sale = register.ask(m.MultiCommerceSale(900, son))
    other = register.ask(m.MultiCommerceSale(100, son))
    assert (sale.approved, sale.commerce_rut, sale.host_rrn, sale.mti) == (True, son, "000000000001", "0210")
    original = m.OriginalData(sale.mti, sale.de11, sale.de12, sale.de13)
    assert original == m.OriginalData("0210", "000001", "120000", "0101")
    wrong = register.ask(m.MultiCommerceVoid(901, sale.operation_id, son, sale.host_rrn, original))
    assert (wrong.response_code, wrong.success) == (Refusal.OTHER_AMOUNT.code, False)
    void = register.ask(m.MultiCommerceVoid(900, sale.operation_id, son, sale.host_rrn, original))
    assert (void.function_code, void.approved, void.host_rrn) == (122, True, "000000000003")
    refund = register.ask(m.MultiCommerceRefund(40, other.authorization_code, son))
    assert (refund.function_code, refund.approved, refund.host_rrn) == (123, True, "000000000004")
    assert terminal.ledger.balance() == 60


def test_a_pre_authorization_is_held_completed_and_released(terminal, register):
    held = register.ask(m.PreAuthorization(1000, "P1"))
    assert (held.function_code, held.approved, held.ticket, terminal.ledger.held()) == (130, True, "P1", 1000)
    done = register.ask(m.PreAuthorizationCompletion(held.authorization_code, 900))
    assert (done.function_code, done.amount, terminal.ledger.charged("P1")) == (131, 900, 900)
    other = register.ask(m.PreAuthorization(500))
    released = register.ask(m.PreAuthorizationRelease(other.authorization_code))
    assert (released.function_code, released.success, terminal.ledger.held()) == (132, True, 0)


def test_an_unknown_command_is_malformed(register):
    assert raw(register, Command=999) == [True, (0, Refusal.MALFORMED.code)]
    assert register.messages[-1].response_message == "Mensaje mal formado"


@pytest.mark.parametrize(
    "fields",
    [
        {"Command": 100},
        {"Command": 100, "Amount": 0},
        {"Command": 100, "Amount": "5.5"},
        {"Command": 100, "Amount": 1_000_000_000},
        {"Command": 100, "Amount": 5, "TicketNumber": True},
        {"Command": 100, "Amount": 5, "EmployeeId": "x"},
        {"Command": 102, "OperationId": -1},
        {"Command": 108, "Amount": 5, "AuthorizationCode": ""},
        {"Order": 100},
    ],
    ids=str,
)
def test_a_command_that_does_not_mean_anything_moves_nothing(terminal, register, fields):
    assert raw(register, **fields) == [True, (0, Refusal.MALFORMED.code)]
    assert terminal.ledger.entries == ()
    assert not terminal.busy


def test_a_wrong_signature_is_not_accepted(terminal, register):
    register.write(envelope('{"Command":100,"Amount":5}').replace(b"5}", b"6}"))
    assert show(register.run()) == [False]
    register.write(b'{"JsonSerialized":"{}"}')
    assert show(register.run()) == [False]
    assert (terminal.commands, terminal.ledger.entries) == ([], ())


def test_noise_a_torn_command_and_a_reply_are_not_answered(terminal, register):
    register.write(b"\x00\xffAT\r\n")
    register.write(b'{"JsonSerialized":x')
    text = '{"FunctionCode":106,"ResponseCode":0}'
    register.write(b'{"JsonSerialized":%b,"Sign":"%b"}' % (json.dumps(text).encode(), signature(text).encode()))
    register.write(b"")
    assert register.run() == []
    assert register.ask(m.Poll()).approved


def test_a_command_may_come_byte_by_byte(register):
    for byte in envelope('{"Command":106}'):
        register.write(bytes([byte]))
    assert show(register.run()) == [True, (106, 0)]


# ------------------------------------------------------------------------------------------------- one thing at a time


def test_while_a_sale_waits_other_commands_are_refused_as_busy(terminal, register):
    terminal.script.append(Behaviour(decide_after=10))
    register.send(m.Sale(700, "A1"))
    register.run(until=1)
    assert terminal.busy
    for command in (m.Poll(), m.LastVoucher(), m.Sale(5, "A2")):
        assert send_now(register, command).response_code == Refusal.BUSY.code
    register.run()
    assert (terminal.ledger.charged(), terminal.busy) == (700, False)


def send_now(register, command):
    """Send a command, and return what comes without any waiting."""
    register.send(command)
    return register.run(until=register.now)[-1]


def test_a_command_refused_as_busy_takes_nothing_from_the_script(terminal, register):
    terminal.script.extend([Behaviour(decide_after=10), Behaviour(tip=9)])
    register.send(m.Sale(700))
    register.run(until=1)
    send_now(register, m.Sale(5))
    register.run()
    register.ask(m.Sale(6))
    assert [(entry.amount, entry.tip) for entry in terminal.ledger.entries] == [(700, 0), (6, 9)]


def test_a_waiting_sale_can_be_cancelled(terminal, register):
    terminal.script.append(Behaviour(decide_after=float("inf")))
    register.send(m.Sale(700, "A1"))
    assert show(register.run()) == [True]
    register.now = 30
    register.send(m.CancelSale())
    assert show(register.run()) == [True, (116, 0), (100, Refusal.CANCELLED.code)]
    assert (register.messages[-1].response_message, register.messages[-1].ticket) == ("Operacion Cancelada", "A1")
    assert (terminal.ledger.charged(), terminal.busy) == (0, False)
    assert register.ask(m.Sale(700, "A2")).approved


def test_the_reply_of_a_cancelled_sale_comes_after_the_reply_to_the_cancellation(terminal, register):
    terminal.script.append(Behaviour(decide_after=60))
    terminal.answers[116] = Behaviour(reply_after=5)
    register.send(m.Sale(700))
    register.run(until=1)
    register.send(m.CancelSale())
    assert show(register.run()) == [True, (116, 0), (100, Refusal.CANCELLED.code)]
    assert register.now == 6


def test_without_a_sale_there_is_nothing_to_cancel(terminal, register):
    refused = (116, Refusal.NO_SALE_IN_PROGRESS.code)
    register.send(m.CancelSale())
    assert show(register.run()) == [True, refused]
    sale = register.ask(m.Sale(700))
    terminal.script.append(Behaviour(decide_after=10))
    register.send(m.Void(sale.operation_id))
    register.run(until=1)
    register.send(m.CancelSale())
    assert show(register.run()) == [True, refused, (102, 0)]


def test_a_cancellation_may_come_too_late(terminal, register):
    terminal.script.append(Behaviour(decide_after=2, reply_after=3))
    register.send(m.Sale(700))
    register.run(until=3)
    register.send(m.CancelSale())
    assert show(register.run()) == [True, (116, Refusal.NO_SALE_IN_PROGRESS.code), (100, 0)]
    assert terminal.ledger.charged() == 700


# ------------------------------------------------------------------------------------------------- the simplified wire


@pytest.fixture
def simple(terminal):
    return Register(terminal, m.Wire.SIMPLIFIED)


def test_a_simplified_command_has_a_simplified_reply_and_no_acknowledgement(terminal, simple):
    simple.send(m.Sale(15_000, "A1", print_on_pos=True))
    assert show(simple.run()) == [(100, 0)]
    reply = simple.messages[-1]
    assert (reply.amount, reply.ticket, reply.last4_digits, reply.cashback) == (15_000, "A1", "0042", 0)
    assert simple.heard().startswith(b"\x02100|0|Aprobado|12983|80005000|A1|")
    assert terminal.ledger.charged("A1") == 15_000


def test_every_simplified_command(terminal, simple):
    sale, other = simple.ask(m.Sale(700, "A1")), simple.ask(m.Sale(80, employee_id=None))
    assert simple.ask(m.Void(sale.operation_id)).success
    refund = simple.ask(m.Refund(other.authorization_code, 30))
    assert (refund.success, refund.date_time) == (True, "2026-01-01 12:00:00")
    assert simple.ask(m.Duplicate(sale.operation_id)).amount == 700
    details = simple.ask(m.DetailsReport())
    assert details.approved
    assert b"1,100,A1,700," in simple.heard()
    assert simple.ask(m.CloseBatch()).success
    assert terminal.ledger.balance() == 50


def test_a_simplified_refusal_is_short(simple):
    simple.send(m.Void(9))
    assert show(simple.run()) == [(102, Refusal.NOT_FOUND.code)]
    assert simple.heard()[1:-2] == b"102|21|Operacion no encontrada|"


def test_an_unknown_simplified_command_is_malformed_and_a_wrong_checksum_is_ignored(simple):
    simple.write(frame_simplified("101|True|"))
    assert show(simple.run()) == [(0, Refusal.MALFORMED.code)]
    simple.write(frame_simplified("103|")[:-1] + b"\x00")
    assert simple.run() == []


def test_both_wires_may_be_used_in_turn(register):
    register.ask(m.Sale(5))
    register.write(frame_simplified("109|1|False|"))
    assert show(register.run()) == [(109, 0)]
    assert register.ask(m.Poll()).approved
