"""Whose result it is: a charge is never made twice, and no result is taken for that of another command."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from getnet_pos import (
    AlreadyCharged,
    Connector,
    GetnetError,
    Intent,
    IntentState,
    InvalidValue,
    JournalError,
    OutcomeUnknown,
    SalePromotion,
    SqliteJournal,
    TerminalBusy,
)
from getnet_pos.simulator import TcpServer, VirtualTerminal
from tests.faults.foreign_cloud import fails
from tests.faults.foreign_terminal import (
    ACK,
    REFUND,
    VOID,
    Fields,
    Terminal,
    changed,
    charges_and_is_cut_off,
    charges_and_is_silent,
    lost,
    refuses,
    serving,
    waits,
    without,
)
from tests.field.conftest import CLOUDS, LOCAL, QUICK, RECORDS, Place, Visit

Book = Callable[[], list[Intent]]
EVERYWHERE = (*LOCAL, *CLOUDS)


def lose_the_next_sale(place: Place) -> None:
    """It never reaches the terminal, and nobody says so."""
    if place.cloud is None:
        place.terminal.then(100, lost)
    else:
        place.cloud.then("sale", fails(502))


# ------------------------------------------------------------------------------------------- the caller gave up


@pytest.mark.parametrize("way", [*RECORDS, "cl"])
def test_a_ticket_whose_caller_gave_up_is_not_charged_again(visit: Visit, book: Book, way: str) -> None:
    place = visit(way)
    place.charge_late()
    place.give_up(25_000, ticket="A1236")
    with place.ready() as pos:
        with pytest.raises(AlreadyCharged) as caught:
            pos.sale(25_000, ticket="A1236")
        charged = caught.value.reply
        assert charged is not None
        assert (charged.amount, charged.operation_id) == (25_000, 1)
        # What was written to a port waits there for whoever opens it next.
        assert caught.value.found == ("late reply" if way == "usb" else "recovery")
        assert place.terminal.charges("A1236") == 1
        assert pos.sale(25_000, ticket="A1236", again=True).approved
    assert place.terminal.charges("A1236") == 2


@pytest.mark.parametrize("way", [*RECORDS, "cl"])
def test_an_idempotency_key_brings_back_the_result_that_its_caller_never_heard(
    visit: Visit, book: Book, way: str
) -> None:
    place = visit(way)
    place.charge_late()
    place.give_up(25_000, ticket="A1", idempotency_key="order-77")
    with place.ready() as pos:
        reply = pos.sale(25_000, ticket="A1", idempotency_key="order-77")
        assert (reply.approved, reply.recovered, reply.operation_id) == (True, True, 1)
        with pytest.raises(InvalidValue, match="a different command"):
            pos.sale(26_000, ticket="A1", idempotency_key="order-77")
    assert place.terminal.charges() == 1


@pytest.mark.parametrize("way", ["simplified", "ar"])
def test_a_ticket_whose_caller_gave_up_where_no_record_names_it(visit: Visit, book: Book, way: str) -> None:
    """Nothing can tell it from a sale that was keyed in: a person must look, and nothing is sent."""
    place = visit(way)
    place.charge_late()
    place.give_up(25_000, ticket="A1236")
    with place.ready() as pos:
        with pytest.raises(OutcomeUnknown, match="nothing was sent"):
            pos.sale(25_000, ticket="A1236")
        (intent,) = pos.intents()
        pos.resolve(intent.intent_id, paid=True, by="Ana", note="a voucher was printed")
        with pytest.raises(AlreadyCharged) as caught:
            pos.sale(25_000, ticket="A1236")
    assert caught.value.found == "person"
    assert place.terminal.charges() == 1


@pytest.mark.parametrize("way", RECORDS)
def test_a_refund_whose_caller_was_not_told_is_not_repeated(visit: Visit, book: Book, way: str) -> None:
    """It has no ticket: what it refers to names it."""
    place = visit(way)
    place.terminal.record_dates = None
    with place.ready() as pos:
        sale = pos.sale(5000)
        place.terminal.then(REFUND, charges_and_is_silent)
        place.terminal.refuses_record = 1007
        with pytest.raises(OutcomeUnknown):
            pos.refund(sale.authorization_code, 5000)
    with place.ready() as pos, pytest.raises(OutcomeUnknown, match="nothing was sent"):
        pos.refund(sale.authorization_code, 5000)
    assert place.terminal.sent(REFUND) == 1


def test_a_journal_that_is_switched_off_remembers_for_as_long_as_the_process_lives(visit: Visit) -> None:
    place = visit("tcp")
    place.terminal.refuses_record = 1007
    place.terminal.then(100, charges_and_is_silent)
    for _ in range(2):
        with place.ready(journal=None) as pos, pytest.raises(OutcomeUnknown):
            pos.sale(25_000, ticket="A1")
    assert place.terminal.charges() == 1


def test_a_cancellation_before_the_first_byte_is_no_ones_work(visit: Visit, book: Book) -> None:
    """The sale waits for the terminal's last voucher when its caller gives up."""
    place = visit("tcp")
    place.terminal.says = without("Ticket")
    place.terminal.then(101, Terminal.carry_out, waits(0.3))
    place.give_up(25_000, ticket="A1", at=lambda: place.terminal.sent(101) == 2)
    assert [intent.state for intent in book() if intent.state is not IntentState.NOT_SENT] == []
    assert place.terminal.sent(101) == 2
    assert place.terminal.sent(100) == 0


# ------------------------------------------------------------------------------- what others did at the terminal


@pytest.mark.parametrize("way", EVERYWHERE)
def test_a_sale_that_was_keyed_in_between_is_not_the_registers_lost_one(visit: Visit, book: Book, way: str) -> None:
    """Firmware that gives no ticket in its vouchers."""
    place = visit(way)
    place.terminal.says = without("Ticket")
    with place.ready() as pos:
        assert pos.sale(5000, ticket="R1").approved
        place.terminal.key_in(1000)
        lose_the_next_sale(place)
        with pytest.raises(OutcomeUnknown):
            pos.sale(1000, ticket="R2")
    assert book()[-1].state is IntentState.UNKNOWN


@pytest.mark.parametrize("empty", ["", " ", "0", 0, None])
@pytest.mark.parametrize("ticket", ["R2", None])
@pytest.mark.parametrize("way", ["usb", "tcp", "cl"])
def test_a_voucher_without_ticket_where_this_terminal_names_them(
    visit: Visit, book: Book, way: str, ticket: str | None, empty: Any
) -> None:
    """It is keyed in while the register's sale is lost: after the last voucher before it is known."""
    place = visit(way)
    place.terminal.says = lambda told: {**told, "Ticket": told.get("Ticket") or empty}

    def keyed_in(terminal: Terminal, command: Fields) -> Iterator[Any]:
        terminal.key_in(1000)
        yield from ()

    with place.ready() as pos:
        assert pos.sale(5000).ticket
        if place.cloud is None:
            place.terminal.then(100, keyed_in)
        else:
            place.cloud.then("sale", lambda cloud, body: (502, cloud.terminal.key_in(1000) or b""))
        with pytest.raises(OutcomeUnknown):
            pos.sale(1000, ticket=ticket)
    assert book()[-1].state is IntentState.UNKNOWN


@pytest.mark.parametrize(
    ("in_the_reply", "in_the_record"),
    [
        ("%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S"),
        ("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S"),
        ("%d-%m-%Y %H:%M:%S", "%Y-%m-%d %H:%M"),
        ("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S.250"),
        ("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"),
        ("%Y-%m-%d %H:%M:%S", "%A %d %B"),
        ("%Y-%m-%d %H:%M:%S", None),
    ],
)
def test_the_same_voucher_with_its_date_in_another_form_is_no_newer_one(
    visit: Visit, book: Book, in_the_reply: str, in_the_record: str | None
) -> None:
    place = visit("tcp")
    terminal = place.terminal
    terminal.says, terminal.dates, terminal.record_dates = without("Ticket"), in_the_reply, in_the_record
    with place.ready() as pos:
        assert pos.sale(1000, ticket="R1").approved
        terminal.then(100, lost)
        with pytest.raises(OutcomeUnknown):
            pos.sale(1000, ticket="R2")
    assert book()[-1].state is IntentState.UNKNOWN


@pytest.mark.parametrize("way", ["usb", "http"])
def test_a_terminal_that_numbers_nothing_and_dates_nothing_settles_nothing(visit: Visit, book: Book, way: str) -> None:
    place = visit(way)
    terminal = place.terminal
    terminal.says, terminal.records = without("Ticket", "RealDate"), changed(OperationId=0, FunctionCode=101)
    with place.ready() as pos:
        assert pos.sale(1000, ticket="R1").approved
        terminal.then(100, charges_and_is_silent)
        with pytest.raises(OutcomeUnknown):
            pos.sale(1000, ticket="R2")
    assert book()[-1].state is IntentState.UNKNOWN


@pytest.mark.parametrize("way", RECORDS)
def test_the_usual_firmware_settles_a_lost_reply_by_its_date(visit: Visit, book: Book, way: str) -> None:
    """No ticket, no number, always function code 101, and field names that begin with a small letter."""
    place = visit(way)
    terminal = place.terminal
    terminal.says, terminal.records, terminal.camel_case = without("Ticket"), changed(OperationId=0), True
    names_no_operation = terminal.records
    terminal.records = lambda told: {**names_no_operation(told), "FunctionCode": 101}
    with place.ready() as pos:
        assert pos.sale(1000, ticket="R1").approved
        terminal.then(100, charges_and_is_silent)
        assert pos.sale(1000, ticket="R2").authorization_code == terminal.operations[-1]["authorization_code"]
    assert [intent.found for intent in book()] == ["call", "recovery"]


@pytest.mark.parametrize("refusal", [1007, 1, 20, 58])
@pytest.mark.parametrize("way", RECORDS)
def test_a_passing_refusal_to_tell_the_last_voucher_is_not_an_empty_record(
    visit: Visit, book: Book, way: str, refusal: int
) -> None:
    place = visit(way)
    terminal = place.terminal
    terminal.says = without("Ticket")
    terminal.key_in(1000)
    terminal.then(101, *[refuses(refusal)] * 3)
    terminal.then(100, lost)
    with place.ready() as pos, pytest.raises(OutcomeUnknown):
        pos.sale(1000, ticket="R2")
    assert book()[-1].state is IntentState.UNKNOWN


def void_of(operation: int) -> Callable[[Fields], Fields]:
    """Firmware that gives in a void's voucher the number of the operation that it annuls."""
    return lambda told: {**told, "OperationId": operation} if told["FunctionCode"] == VOID else told


@pytest.mark.parametrize("way", RECORDS)
def test_the_voucher_of_another_void(visit: Visit, book: Book, way: str) -> None:
    place = visit(way)
    terminal = place.terminal
    with place.ready() as pos:
        for number in range(5):
            pos.sale(1000 + number)
        terminal.records = void_of(3)

        def keyed_in(terminal: Terminal, command: Fields) -> Iterator[Any]:
            terminal.key_in(1002, VOID, OperationId=3)
            yield from ()

        terminal.then(VOID, keyed_in)
        with pytest.raises(OutcomeUnknown, match="voids operation 3"):
            pos.void(5)
    assert book()[-1].state is IntentState.UNKNOWN


def test_the_voucher_of_its_own_void(visit: Visit, book: Book) -> None:
    place = visit("tcp")
    with place.ready() as pos:
        pos.sale(1000)
        place.terminal.records = void_of(1)
        place.terminal.then(VOID, charges_and_is_silent)
        assert pos.void(1).approved
    assert book()[-1].found == "recovery"


@pytest.mark.parametrize("way", RECORDS)
def test_the_voucher_of_another_refund(visit: Visit, book: Book, way: str) -> None:
    """It names another sum than the one that was to be paid back."""
    place = visit(way)
    terminal = place.terminal
    terminal.records = lambda told: {**told, "Amount": 700}
    with place.ready() as pos:
        sale = pos.sale(1000)

        def keyed_in(terminal: Terminal, command: Fields) -> Iterator[Any]:
            terminal.key_in(700, REFUND)
            yield from ()

        terminal.then(REFUND, keyed_in)
        with pytest.raises(OutcomeUnknown):
            pos.refund(sale.authorization_code, 1000)
    assert book()[-1].state is IntentState.UNKNOWN


# -------------------------------------------------------------------------------------- what the terminal answers


@pytest.mark.parametrize("code", [1003, 1004, 1005, -1])
@pytest.mark.parametrize("way", RECORDS)
def test_a_code_that_does_not_say_whether_money_was_taken(visit: Visit, book: Book, way: str, code: int) -> None:
    place = visit(way)
    with place.ready() as pos:
        place.terminal.then(100, refuses(code, charged=True))
        assert pos.sale(1000, ticket="R1").approved
        place.terminal.then(100, refuses(code))
        with pytest.raises(OutcomeUnknown) as caught:
            pos.sale(1000, ticket="R2")
    assert str(code) in caught.value.reason
    assert [intent.state for intent in book()] == [IntentState.APPROVED, IntentState.UNKNOWN]


@pytest.mark.parametrize("way", ["simplified", *CLOUDS])
def test_such_a_code_where_no_record_can_be_asked_for_at_once(visit: Visit, book: Book, way: str) -> None:
    place = visit(way)
    doubt = {"FunctionCode": 100, "ResponseCode": 1004, "ResponseMessage": "Sin papel"}
    place.terminal.says = lambda told: doubt
    with place.ready() as pos, pytest.raises(OutcomeUnknown, match="1004"):
        pos.sale(1000, ticket="R1")
    assert book()[-1].state is IntentState.UNKNOWN


@pytest.mark.parametrize("way", EVERYWHERE)
def test_a_sale_that_its_customer_cancelled_was_surely_not_paid(visit: Visit, book: Book, way: str) -> None:
    place = visit(way)
    place.terminal.says = lambda told: {"FunctionCode": 100, "ResponseCode": 1006, "ResponseMessage": "Cancelado"}
    with place.ready() as pos:
        assert not pos.sale(1000, ticket="R1").approved
    assert book()[-1].state is IntentState.DECLINED


@pytest.mark.parametrize("success", [False, "False", "false", 0, "0"])
@pytest.mark.parametrize("way", [*RECORDS, "cl"])
def test_a_void_a_refund_and_a_batch_close_that_failed(visit: Visit, book: Book, way: str, success: Any) -> None:
    place = visit(way)
    place.terminal.says = changed(Success=success)
    with place.ready() as pos:
        first, second = pos.sale(1000), pos.sale(2000)
        assert not pos.void(first.operation_id).approved
        assert not pos.refund(second.authorization_code, 2000).approved
    assert [intent.state for intent in book()][2:] == [IntentState.DECLINED] * 2


@pytest.mark.parametrize("success", ["quizas", 7, 0.5, [True]])
@pytest.mark.parametrize("way", ["usb", "simplified", "cl"])
def test_a_success_that_is_neither_is_not_approved(visit: Visit, book: Book, way: str, success: Any) -> None:
    place = visit(way)
    place.terminal.says = changed(Success=success)
    with place.ready() as pos:
        sale = pos.sale(1000)
        with pytest.raises(OutcomeUnknown):
            pos.void(sale.operation_id)
    assert book()[-1].state is IntentState.UNKNOWN


# ------------------------------------------------------------------------------------------------ somebody is at it


@pytest.mark.parametrize("way", ["tcp", "http"])
def test_nobody_else_recovers_or_resolves_a_sale_in_progress(
    visit: Visit, book: Book, journal_path: Path, way: str
) -> None:
    """As a second process would see it: it has a journal object of its own."""
    place = visit(way)
    place.terminal.then(100, waits(0.4))
    sold: list[Any] = []
    with place.ready(timeouts=dataclasses.replace(QUICK, sale=3.0, sale_total=3.0)) as pos:
        selling = threading.Thread(target=lambda: sold.append(pos.sale(25_000, ticket="A1")))
        selling.start()
        while place.terminal.sent(100) == 0:
            pass
        with contextlib.closing(SqliteJournal(journal_path)) as second:
            (living,) = second.intents()
            with pytest.raises(InvalidValue, match="in progress"):
                second.resolve(living.intent_id, paid=False, by="Ana", note="no voucher")
            with place.connect(journal=second) as other, contextlib.suppress(GetnetError):
                other.polling()
            assert second.intents()[0].open
        selling.join()
    assert sold[0].approved
    assert [intent.state for intent in book()] == [IntentState.APPROVED]


@contextlib.contextmanager
def a_sale_in_progress(place: Place, journal_path: Path, seconds: float = 0.4) -> Iterator[SqliteJournal]:
    """Of 25,000 with ticket A1, at a register of its own; the journal of a second one."""
    place.charge_late(seconds)
    patient = dataclasses.replace(QUICK, cloud=seconds, sale=seconds, sale_total=seconds)
    with place.ready(timeouts=patient) as pos, contextlib.closing(SqliteJournal(journal_path)) as second:
        selling = threading.Thread(target=lambda: pos.sale(25_000, ticket="A1"))
        selling.start()
        while place.terminal.sent(100) == 0:
            pass
        yield second
        selling.join()


def test_a_second_register_does_not_sell_meanwhile(visit: Visit, book: Book, journal_path: Path) -> None:
    place = visit("cl")
    with a_sale_in_progress(place, journal_path, seconds=2.0) as second:
        impatient = dataclasses.replace(QUICK, busy=0.1)
        with place.connect(journal=second, timeouts=impatient) as other:
            other.polling()
            (living,) = other.recover().in_progress
            with pytest.raises(TerminalBusy):
                other.sale(1000)
    assert (living.ticket, place.terminal.charges()) == ("A1", 1)


def test_a_second_register_waits_for_the_first(visit: Visit, book: Book, journal_path: Path) -> None:
    place = visit("cl")
    with a_sale_in_progress(place, journal_path) as second, place.connect(journal=second) as other:
        other.polling()
        with pytest.raises(TerminalBusy):
            other.sale(25_000, ticket="A1")  # nobody waits to charge the same again
        sale = other.sale(1000, ticket="B1")
        assert (sale.ticket, sale.amount) == ("B1", 1000)
        assert (place.terminal.charges("A1"), place.terminal.charges("B1")) == (1, 1)
    assert [intent.state for intent in book()] == [IntentState.APPROVED, IntentState.APPROVED]


def test_terminals_that_all_go_by_one_id_wait_for_each_other(journal_path: Path) -> None:
    """As those of a demonstration do: who is at one of them could be at any of them."""
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(TcpServer(VirtualTerminal(), gap=0)) for _ in range(12)]
        ready = threading.Barrier(len(servers))

        def sell(number: int) -> bool:
            with Connector.create_tcp(*servers[number].address, journal=journal_path) as pos:
                pos.polling()
                ready.wait()
                return pos.sale(1000, ticket=f"T{number}").approved

        with ThreadPoolExecutor(len(servers)) as pool:
            assert all(pool.map(sell, range(len(servers))))
        assert [len(server.terminal.ledger.charges(f"T{place}")) for place, server in enumerate(servers)] == [1] * 12


def test_two_terminals_of_one_id_are_told_apart_by_the_second(journal_path: Path) -> None:
    """Both number from one on: the vouchers of one ticket and amount differ in their time alone."""
    first, second = Terminal(), Terminal()
    ports = [terminal.listen() for terminal in (first, second)]
    with serving(first, second):
        for port in ports:
            with Connector.create_tcp("127.0.0.1", port, journal=journal_path, timeouts=QUICK) as pos:
                pos.polling()
                assert pos.sale(1000, ticket="T").approved
    assert (first.charges("T"), second.charges("T")) == (1, 1)


@pytest.mark.parametrize("way", ["usb", "tcp"])
def test_a_late_reply_that_contradicts_a_persons_decision_is_shown(visit: Visit, book: Book, way: str) -> None:
    place = visit(way)
    terminal = place.terminal
    with place.ready() as pos:
        terminal.then(100, lost)
        with pytest.raises(OutcomeUnknown):
            pos.sale(25_000, ticket="A1")
        (intent,) = pos.intents()
        pos.resolve(intent.intent_id, paid=False, by="Ana", note="no voucher")
        terminal.send(terminal.charge({"Command": 100, "Amount": 25_000, "TicketNumber": "A1"}), terminal.lines[-1], {})
        assert [one.state for one in pos.polling().unknown] == [IntentState.CONTRADICTED]
        with pytest.raises(OutcomeUnknown, match="nothing was sent"):
            pos.sale(25_000, ticket="A1")
    assert terminal.charges() == 1


@pytest.mark.parametrize("way", ["usb", "tcp"])
def test_the_reply_that_could_not_be_sent_comes_when_the_line_is_there_again(
    visit: Visit, book: Book, way: str
) -> None:
    """Before anything is asked for."""
    place = visit(way)
    terminal = place.terminal
    terminal.delivers_unsent = True

    def cut(terminal: Terminal, command: Fields) -> Iterator[Any]:
        yield ACK
        terminal.refuses_record = 1007
        reply = terminal.charge(command)
        terminal.go_away()
        yield reply
        place.lead_to(terminal)

    with place.ready() as pos:
        terminal.then(100, cut)
        assert pos.sale(25_000, ticket="A1").approved
    assert (terminal.charges(), book()[-1].found) == (1, "recovery")


@pytest.mark.parametrize("way", ["tcp", "http"])
def test_a_peer_that_closes_before_it_replies(visit: Visit, book: Book, way: str) -> None:
    place = visit(way)
    with place.ready() as pos:
        place.terminal.then(100, charges_and_is_cut_off)
        assert pos.sale(25_000, ticket="A1").approved
    assert (place.terminal.charges(), book()[-1].found) == (1, "recovery")


@pytest.mark.parametrize("too_late", [False, True])
def test_a_cancellation_that_comes_when_the_sale_is_over_is_not_the_next_sales(
    visit: Visit, book: Book, journal_path: Path, too_late: bool
) -> None:
    """It comes while the disk takes its time; a refusal that lies in the port since is not the next sale's."""

    class Slow(SqliteJournal):
        def record(self, intent: Intent) -> None:
            if intent.state is IntentState.APPROVED and intent.ticket == "R1":
                recording.set()
                cancelled.wait(1.0)
            super().record(intent)

    recording, cancelled = threading.Event(), threading.Event()
    place = visit("tcp")
    terminal = place.terminal
    with contextlib.closing(Slow(journal_path)) as journal:
        pos = Connector.create_tcp(*place.where, journal=journal, timeouts=QUICK)
        with pos:
            pos.polling()

            def cancel() -> None:
                recording.wait()
                if too_late:
                    with contextlib.suppress(GetnetError):
                        pos.cancel_sale()
                stale = {"FunctionCode": 100, "ResponseCode": 51, "ResponseMessage": "Rechazada"}
                terminal.send(stale, terminal.lines[-1], {})
                cancelled.set()

            cancelling = threading.Thread(target=cancel)
            cancelling.start()
            assert pos.sale(1000, ticket="R1").approved
            cancelling.join()
            assert pos.sale(2000, ticket="R2").approved
    assert [intent.state for intent in book()] == [IntentState.APPROVED] * 2


# -------------------------------------------------------------------------------------- what the journal did not take


@pytest.mark.parametrize("way", EVERYWHERE)
def test_a_result_that_could_not_be_recorded_is_not_lost_at_the_next_sale(
    visit: Visit, book: Book, journal_path: Path, way: str
) -> None:
    class Full(SqliteJournal):
        is_full = True

        def record(self, intent: Intent) -> None:
            if intent.state is IntentState.APPROVED and self.is_full:
                raise JournalError("the disk is full")
            super().record(intent)

    place = visit(way)
    with contextlib.closing(Full(journal_path)) as journal, place.ready(journal=journal) as pos:
        assert pos.sale(1000, ticket="T1").approved
        journal.is_full = False
        assert pos.sale(2000, ticket="T2").approved
    assert [intent.state for intent in book()] == [IntentState.APPROVED] * 2


@pytest.mark.parametrize("status", [502, 504])
def test_a_promotion_whose_call_broke_is_found_in_the_details(visit: Visit, book: Book, status: int) -> None:
    """The terminal records it under the code of a sale."""
    place = visit("cl")
    assert place.cloud is not None
    place.cloud.then("salepromo", fails(status, charged=True))
    with place.ready() as pos:
        reply = pos.request(SalePromotion(1000, "P1", id_promo="x"))
    assert (reply.approved, book()[-1].found, place.terminal.charges("P1")) == (True, "recovery", 1)


def test_what_is_settled_is_handed_over_by_recover(visit: Visit, book: Book) -> None:
    place = visit("tcp")
    place.charge_late()
    place.give_up(25_000, ticket="A1")
    with place.connect() as pos:
        (settled,) = pos.polling().settled
        assert (settled.ticket, settled.state, settled.found) == ("A1", IntentState.APPROVED, "recovery")
        assert list(pos.recover()) == []
