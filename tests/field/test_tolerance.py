"""A slightly different firmware does not make every sale unknown: what is meant is read, whatever its spelling."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from getnet_pos import (
    DeadlineExceeded,
    GetnetError,
    Intent,
    IntentState,
    OutcomeUnknown,
    Profile,
    ReportKind,
    SqliteJournal,
    TransportError,
)
from tests.faults.foreign_terminal import (
    ACK,
    CUT,
    Fields,
    Terminal,
    changed,
    charges_and_is_silent,
    frame,
    lost,
    seal,
)
from tests.field.conftest import CLOUDS, LOCAL, QUICK, RECORDS, Visit

Book = Callable[[], list[Intent]]
EVERYWHERE = (*LOCAL, *CLOUDS)


# ------------------------------------------------------------------------------------------------- numbers and names


@pytest.mark.parametrize(
    "told",
    [
        {"Amount": "25000"},
        {"Amount": 25000.0},
        {"Amount": "25000.00"},
        {"ResponseCode": "0"},
        {"ResponseCode": "00"},
        {"ResponseCode": 0.0},
        {"FunctionCode": "100"},
        {"OperationId": "1"},
        {"AuthorizationCode": 123456},
        {"Last4Digits": 42, "SharesNumber": "1", "EmployeeId": "1"},
        {"CommerceCode": "266665", "Tip": "0", "Cashback": None},
        {"TerminalId": 20129179},
    ],
    ids=str,
)
@pytest.mark.parametrize("way", EVERYWHERE)
def test_a_number_in_any_spelling(visit: Visit, book: Book, way: str, told: Fields) -> None:
    place = visit(way)
    place.terminal.says = changed(**told)
    with place.ready() as pos:
        sale = pos.sale(25_000, ticket="A1")
    assert (sale.approved, sale.amount, sale.function_code) == (True, 25_000, 100)
    assert book()[-1].found == "call"


@pytest.mark.parametrize("told", [{"Amount": "25000"}, {"OperationId": "2"}, {"ResponseCode": "00"}], ids=str)
@pytest.mark.parametrize("way", RECORDS)
def test_the_same_in_the_last_voucher(visit: Visit, book: Book, way: str, told: Fields) -> None:
    place = visit(way)
    place.terminal.records = changed(**told)
    with place.ready() as pos:
        pos.sale(25_000)
        place.terminal.then(100, charges_and_is_silent)
        assert pos.sale(25_000, ticket="A1").approved
    assert book()[-1].found == "recovery"


@pytest.mark.parametrize("way", RECORDS)
def test_field_names_that_begin_with_a_small_letter(visit: Visit, book: Book, way: str) -> None:
    place = visit(way)
    place.terminal.camel_case = True
    with place.ready() as pos:
        assert pos.sale(25_000, ticket="A1").terminal_id == place.terminal.terminal_id
        place.terminal.then(100, charges_and_is_silent)
        assert pos.sale(1000, ticket="A2").approved


@pytest.mark.parametrize("connected", ["true", "True", 1, "1"])
def test_connected_in_any_spelling(visit: Visit, connected: Any) -> None:
    place = visit("usb")
    place.terminal.then(106, *[says({"Connected": connected})] * 2)
    with place.ready() as pos:
        assert pos.polling().connected is True


@pytest.mark.parametrize("connected", [False, "false", "False", 0])
def test_and_not_connected(visit: Visit, connected: Any) -> None:
    place = visit("usb")
    place.terminal.then(106, says({"Connected": connected}))
    with place.connect() as pos:
        assert pos.polling().connected is False
        with pytest.raises(GetnetError, match="polling"):
            pos.sale(1000)


def says(fields: Fields) -> Callable[[Terminal, Fields], Iterator[Any]]:
    """It carries the command out, and its reply has these fields too."""

    def turn(terminal: Terminal, command: Fields) -> Iterator[Any]:
        yield ACK
        yield {**terminal.answer(command), **fields}

    return turn


# ------------------------------------------------------------------------------------------------------------ tickets


@pytest.mark.parametrize(
    ("ticket", "told"),
    [
        ("001234", 1234),
        ("001234", "1234"),
        ("1234", "001234"),
        ("A1234", "A1234     "),
        ("a1234", "A1234"),
        ("A1234", "0"),
        ("A1234", 0),
        ("A1234", " "),
        ("A1234", ""),
        ("BOLETA-2026-0000012345", "BOLETA-2026-00000123"),
    ],
)
@pytest.mark.parametrize("way", [*LOCAL, "cl"])
def test_a_ticket_in_another_shape(visit: Visit, book: Book, way: str, ticket: str, told: Any) -> None:
    place = visit(way)
    place.terminal.says = changed(Ticket=told)
    with place.ready() as pos:
        assert pos.sale(25_000, ticket=ticket).approved
    assert book()[-1].found == "call"


@pytest.mark.parametrize("way", [*LOCAL, "cl"])
def test_another_ticket_is_a_doubt_at_once_that_names_both(visit: Visit, book: Book, way: str) -> None:
    place = visit(way)
    place.terminal.says = changed(Ticket="Z9")
    patient = replace(QUICK, sale=60.0, sale_total=60.0)
    with place.ready(timeouts=patient) as pos, pytest.raises(OutcomeUnknown) as caught:
        pos.sale(25_000, ticket="A1")
    assert "Z9" in caught.value.reason
    assert "A1" in caught.value.reason
    assert book()[-1].state is IntentState.UNKNOWN


# -------------------------------------------------------------------------------------------------- what was added


@pytest.mark.parametrize("told", [{"Amount": 27_500, "Tip": 2_500}, {"Amount": 30_000, "Cashback": 5_000}, {
    "Amount": 32_500, "Tip": "2500", "Cashback": "5000"}], ids=str)  # fmt: skip
@pytest.mark.parametrize("way", [*LOCAL, "cl"])
def test_a_tip_or_cash_back_within_the_amount(visit: Visit, book: Book, way: str, told: Fields) -> None:
    place = visit(way)
    place.terminal.says = lambda reply: {**reply, **told}
    with place.ready() as pos:
        assert pos.sale(25_000, ticket="A1").amount == told["Amount"]
    assert book()[-1].found == "call"


@pytest.mark.parametrize("way", LOCAL)
def test_what_was_added_is_found_in_the_record_too(visit: Visit, book: Book, way: str) -> None:
    place = visit(way)
    place.terminal.says = lambda reply: {**reply, "Amount": 27_500, "Tip": 2_500}
    place.terminal.then(100, charges_and_is_silent)
    with place.ready() as pos:
        if way == "simplified":  # it has no record
            with pytest.raises(OutcomeUnknown):
                pos.sale(25_000, ticket="A1")
        else:
            assert pos.sale(25_000, ticket="A1").tip == 2_500


@pytest.mark.parametrize("told", [{"Amount": 27_500}, {"Amount": 27_500, "Tip": 100}], ids=str)
@pytest.mark.parametrize("way", EVERYWHERE)
def test_another_amount_is_a_doubt_that_names_both(visit: Visit, book: Book, way: str, told: Fields) -> None:
    place = visit(way)
    place.terminal.says = lambda reply: {**reply, **told}
    with place.ready() as pos, pytest.raises(OutcomeUnknown) as caught:
        pos.sale(25_000, ticket="A1")
    assert "27500" in caught.value.reason
    assert "25000" in caught.value.reason


# ------------------------------------------------------------------------------------------------------------ the link


@pytest.mark.parametrize("way", ["tcp", "http"])
def test_a_terminal_that_closes_after_each_answer(visit: Visit, book: Book, way: str) -> None:
    place = visit(way)
    place.terminal.closes_after_reply = True
    with place.ready() as pos:
        for number in range(3):
            assert pos.sale(1000 + number).approved
        assert pos.polling().approved
    assert [intent.found for intent in book()] == ["call"] * 3


class Hangup(SqliteJournal):
    """While a command is recorded the terminal closes the connection over which it answered before."""

    terminal: Terminal

    def record(self, intent: Intent) -> None:
        super().record(intent)
        if intent.state is IntentState.INTENT:
            self.terminal.hang_up()


def test_a_terminal_that_closes_while_the_next_command_is_recorded(
    visit: Visit, book: Book, journal_path: Path
) -> None:
    """Not one byte has left: the command connects anew."""
    place = visit("tcp")
    with contextlib.closing(Hangup(journal_path)) as journal, place.ready(journal=journal) as pos:
        journal.terminal = place.terminal
        for number in range(3):
            assert pos.sale(1000 + number).approved
    assert place.terminal.charges() == 3
    assert [intent.found for intent in book()] == ["call"] * 3


def test_a_cable_that_is_pulled_while_the_next_command_is_recorded(
    visit: Visit, book: Book, journal_path: Path
) -> None:
    """Another terminal may be there when it is back: nothing is sent before it was polled."""
    place = visit("usb")
    with contextlib.closing(Hangup(journal_path)) as journal, place.ready(journal=journal) as pos:
        journal.terminal = place.terminal
        with pytest.raises(TransportError):
            pos.sale(1000)
    assert (place.terminal.charges(), book()[-1].state) == (0, IntentState.NOT_SENT)


@pytest.mark.parametrize("way", ["tcp", "http"])
def test_a_terminal_that_closes_instead_of_answering_a_query(visit: Visit, way: str) -> None:
    place = visit(way)

    def cut(terminal: Terminal, command: Fields) -> Iterator[Any]:
        yield CUT

    with place.ready() as pos:
        place.terminal.then(106, cut)
        assert pos.polling().approved
        place.terminal.then(104, cut)
        assert pos.get_reports(ReportKind.TOTALS).response_code == 0


@pytest.mark.parametrize("way", LOCAL)
def test_after_unplugging_the_next_operation_opens_the_link(visit: Visit, book: Book, way: str) -> None:
    place = visit(way)
    with place.ready() as pos:
        for number in range(3):
            place.terminal.unplug()
            place.lead_to(place.terminal)
            assert pos.sale(1000 + number).approved
    assert [intent.state for intent in book()] == [IntentState.APPROVED] * 3


@pytest.mark.parametrize("way", ["usb", "tcp"])
def test_and_while_the_cable_is_away_nothing_is_sent(visit: Visit, book: Book, way: str) -> None:
    place = visit(way)
    with place.ready() as pos:
        place.terminal.unplug()
        with pytest.raises(TransportError):
            pos.sale(1000)
        place.lead_to(place.terminal)
        assert pos.sale(1000).approved
    assert place.terminal.charges() == 1


@pytest.mark.parametrize("way", ["usb", "tcp"])
def test_a_silent_link_is_opened_again(visit: Visit, way: str) -> None:
    """The other end is gone and nothing says so."""
    place = visit(way)
    terminal = place.terminal
    with place.ready() as pos:
        dead = terminal.lines[-1]
        terminal.lines.remove(dead)  # it stays open, and nobody reads it
        if way == "usb":
            place.lead_to(terminal)
        assert pos.polling().approved
        assert pos.sale(1000).approved
    dead.close()


@pytest.mark.parametrize("way", ["usb", "tcp"])
def test_a_terminal_that_takes_no_iso_date(visit: Visit, book: Book, way: str) -> None:
    place = visit(way)
    place.terminal.takes_iso_dates = False
    with place.ready() as pos:
        assert pos.sale(1000).approved
    with place.ready(profile=replace(Profile.INTEGRATED_POS, day_first=True)) as pos:
        assert pos.sale(2000).approved
    assert place.terminal.charges() == 2


@pytest.mark.parametrize("way", ["tcp", "http"])
def test_details_that_are_longer_than_a_message_may_be_end_the_query_at_once(visit: Visit, way: str) -> None:
    place = visit(way)
    place.terminal.then(105, says({"SaleDetails": [{"Ticket": "A" * 500}] * 2500}))
    patient = replace(QUICK, report=60.0)
    with place.ready(timeouts=patient) as pos:
        began = time.monotonic()
        with pytest.raises(GetnetError, match=r"1048576|1 MiB|too large|longer") as caught:
            pos.get_reports(ReportKind.DETAILS)
        assert time.monotonic() - began < 30
        assert not isinstance(caught.value, DeadlineExceeded)
        assert pos.polling().approved


# --------------------------------------------------------------------------------------------- what stands in a message


def written(make: Callable[[Fields], bytes]) -> Callable[[Terminal, Fields], Iterator[Any]]:
    """It carries the command out, and writes its reply in a way of its own."""

    def turn(terminal: Terminal, command: Fields) -> Iterator[Any]:
        yield ACK
        yield make(terminal.answer(command))

    return turn


STRANGE: dict[str, Callable[[Fields], bytes]] = {
    "an end of text": lambda told: seal(told) + b"\x00",
    "a line end": lambda told: b"\r\n" + seal(told) + b"\r\n",
    "an object in the envelope": lambda told: seal_object(told),
    "a control character": lambda told: seal_text(told, "Aprobado", "Apro\nbado"),
    "a byte-order mark": lambda told: seal_text(told, "{", "\ufeff{", 1),
    "a key twice, alike": lambda told: seal_text(told, '"ResponseCode":0', '"ResponseCode":0,"responseCode":0'),
}


def seal_text(told: Fields, old: str, new: str, count: int = -1) -> bytes:
    """A reply whose signed text has something replaced in it."""
    text = json.dumps(told, separators=(",", ":"), ensure_ascii=False).replace(old, new, count)
    sign = hashlib.sha256(text.encode()).hexdigest().upper()
    return json.dumps({"JsonSerialized": text, "Sign": sign}, ensure_ascii=False).encode()


def seal_object(told: Fields) -> bytes:
    """A reply whose signed text is written as an object."""
    text = json.dumps(told, separators=(",", ":"), ensure_ascii=False)
    sign = hashlib.sha256(text.encode()).hexdigest().upper()
    return b'{"JsonSerialized":' + text.encode() + b',"Sign":"' + sign.encode() + b'"}'


@pytest.mark.parametrize("how", STRANGE)
@pytest.mark.parametrize("way", RECORDS)
def test_what_is_signed_and_fits_is_read(visit: Visit, book: Book, way: str, how: str) -> None:
    place = visit(way)
    with place.ready() as pos:
        place.terminal.then(100, written(STRANGE[how]))
        assert pos.sale(25_000, ticket="A1").approved
    assert book()[-1].found == "call"


@pytest.mark.parametrize("way", RECORDS)
def test_a_whole_message_that_is_not_utf_8_is_damage_at_once(visit: Visit, book: Book, way: str) -> None:
    place = visit(way)
    patient = replace(QUICK, sale=60.0, sale_total=60.0, recovery=0.3)
    latin = written(lambda told: seal({**told, "ResponseMessage": "Operación"}).decode().encode("latin-1"))
    with place.ready(timeouts=patient) as pos:
        place.terminal.then(100, latin)
        assert pos.sale(25_000, ticket="A1").approved
    assert book()[-1].found in ("call", "recovery")


# -------------------------------------------------------------------------------------------------- the simplified wire


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"Cashback": ""},
        {"Cashback": "", "PosMode": "", "SaleType": ""},
        {"Amount": "15000.00"},
        {"Amount": " 15000 "},
        {"Ticket": "A1    "},
        {"AuthorizationCode": " 123456 ", "CardBrand": "VI "},
        {"TerminalId": "  20129179"},
    ],
    ids=str,
)
def test_a_simplified_reply_in_another_shape(visit: Visit, book: Book, told: Fields) -> None:
    place = visit("simplified")
    place.terminal.says = lambda reply: {**reply, **told}
    with place.ready() as pos:
        sale = pos.sale(15_000, ticket="A1")
    assert (sale.approved, sale.amount) == (True, 15_000)
    assert book()[-1].found == "call"


def test_a_simplified_reply_that_lacks_what_money_needs(visit: Visit, book: Book) -> None:
    place = visit("simplified")

    def short(terminal: Terminal, command: Fields) -> Iterator[Any]:
        terminal.charge(command)
        yield frame({"FunctionCode": 100, "ResponseCode": 0, "ResponseMessage": "Aprobado", "CommerceCode": 1})

    with place.ready() as pos:
        place.terminal.then(100, short)
        with pytest.raises(OutcomeUnknown):
            pos.sale(15_000, ticket="A1")
    assert book()[-1].state is IntentState.UNKNOWN


def test_the_reason_says_what_came_and_what_did_not_fit(visit: Visit) -> None:
    place = visit("tcp")
    with place.ready() as pos:
        place.terminal.then(100, lost)
        with pytest.raises(OutcomeUnknown) as caught:
            pos.sale(25_000, ticket="A1")
        assert caught.value.reason == pos.intents()[0].reason
    assert caught.value.reason
