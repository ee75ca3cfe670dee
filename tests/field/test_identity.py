"""Who is asked: what a terminal says of itself counts, and not the name of the port or the address it is found at."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from getnet_pos import AlreadyCharged, Intent, IntentState, OutcomeUnknown
from tests.faults.foreign_cloud import Cloud
from tests.faults.foreign_terminal import ACK, Fields, Terminal, changed, charges_and_is_silent, lost, waits, without
from tests.field.conftest import LOCAL, QUICK, RECORDS, Visit

Book = Callable[[], list[Intent]]


def two_terminals(what_differs: str) -> tuple[Terminal, Terminal]:
    """Two that give no ticket in their vouchers, as real ones do."""
    other = {"terminal": ("80005999", 12983), "merchant": ("80005000", 77777)}[what_differs]
    first, second = Terminal("80005000", 12983), Terminal(*other)
    first.says = second.says = without("Ticket")
    return first, second


@pytest.mark.parametrize("what_differs", ["terminal", "merchant"])
@pytest.mark.parametrize("way", RECORDS)
def test_a_voucher_of_the_terminal_that_came_in_its_place_settles_nothing(
    visit: Visit, book: Book, way: str, what_differs: str
) -> None:
    first, second = two_terminals(what_differs)
    place = visit(way, first)
    visit("usb", second)
    with place.ready() as pos:
        pos.sale(500)
    first.then(100, waits(9))  # nobody pays there
    place.give_up(ticket="REG1-77", stays=True)
    first.unplug()
    second.key_in(1000)
    place.lead_to(second)
    with place.connect() as pos:
        polled = pos.polling()
    assert book()[-1].state is IntentState.UNKNOWN
    assert [intent.ticket for intent in (*polled.unknown, *polled.elsewhere)] == ["REG1-77"]
    if what_differs == "terminal":
        assert polled.another_terminal is not None
        assert "80005000" in polled.another_terminal
        assert "80005999" in polled.another_terminal


@pytest.mark.parametrize("way", RECORDS)
def test_the_terminal_that_comes_back_settles_its_own_sale(visit: Visit, book: Book, way: str) -> None:
    first, second = Terminal("80005000"), Terminal("80005999")
    place = visit(way, first)
    visit("usb", second)
    with place.ready() as pos:
        pos.sale(500)
    first.then(100, charges_and_is_silent)
    place.give_up(ticket="REG1-77")
    first.unplug()
    place.lead_to(second)
    with place.connect() as pos:
        pos.polling()
        assert book()[-1].state is IntentState.UNKNOWN
    second.unplug()
    place.lead_to(first)
    with place.connect() as pos:
        (settled,) = pos.polling().settled
    assert (settled.ticket, settled.state, settled.found) == ("REG1-77", IntentState.APPROVED, "recovery")
    assert (first.charges("REG1-77"), second.charges()) == (1, 0)


@pytest.mark.parametrize("way", RECORDS)
def test_a_spare_terminal_that_is_plugged_in_during_a_sale(visit: Visit, book: Book, way: str) -> None:
    first, spare = two_terminals("terminal")
    place = visit(way, first)
    visit("usb", spare)

    def breaks(terminal: Terminal, command: Fields) -> Iterator[Any]:
        yield ACK
        terminal.go_away()
        spare.shift += 3600
        spare.key_in(1000)
        place.lead_to(spare)

    with place.ready() as pos:
        assert pos.sale(5000).terminal_id == "80005000"
        first.then(100, breaks)
        with pytest.raises(OutcomeUnknown) as caught:
            pos.sale(1000, ticket="R2")
    assert "80005999" in caught.value.reason
    assert "80005000" in caught.value.reason
    assert book()[-1].state is IntentState.UNKNOWN
    assert (first.charges(), spare.sent(100)) == (1, 0)


def test_another_terminals_reply_over_the_simplified_wire(visit: Visit, book: Book) -> None:
    """It has no tickets, and delivers what it could not send on the line that it came from."""
    first, other = two_terminals("terminal")
    place = visit("simplified", first)
    visit("usb", other)
    other.delivers_unsent = True

    def breaks(terminal: Terminal, command: Fields) -> Iterator[Any]:
        terminal.go_away()
        place.lead_to(other)
        cable = other.lines[-1]
        other.send(other.charge({**command, "TicketNumber": ""}), cable, command)
        yield ACK

    with place.ready() as pos:
        pos.sale(500)
        first.then(100, breaks)
        with pytest.raises(OutcomeUnknown, match="80005999"):
            pos.sale(1000, ticket="R2")
    assert book()[-1].state is IntentState.UNKNOWN


@pytest.mark.parametrize("way", ["cl", "ar"])
def test_another_terminals_row_in_the_details_of_a_cloud(visit: Visit, book: Book, way: str) -> None:
    place = visit(way)
    terminal = place.terminal
    assert place.cloud is not None
    terminal.says = without("Ticket")

    def another_row(cloud: Cloud, body: Fields) -> tuple[int, Any]:
        terminal.terminal_id = "80005999"
        terminal.key_in(1000)
        return 502, b""

    with place.ready() as pos:
        pos.sale(500)
        place.cloud.then("sale", another_row)
        with pytest.raises(OutcomeUnknown, match="80005999"):
            pos.sale(1000, ticket="R2")
    assert book()[-1].state is IntentState.UNKNOWN


NAMES = [
    ("usb", "usb"),
    ("tcp", "tcp"),
    ("usb", "tcp"),
    ("tcp", "usb"),
    ("usb", "http"),
    ("http", "tcp"),
    ("usb", "cl"),
    ("cl", "tcp"),
]
"""The ways under which one terminal is found, before and after."""

UNTOLD = [*NAMES, ("simplified", "usb"), ("usb", "simplified"), ("tcp", "ar")]
"""Those too where the outcome stays unknown: the simplified wire tells no last voucher from before a sale, so that a
ticket of the caller's own, which may have been used before, proves nothing later."""


@pytest.mark.parametrize(("before", "after"), NAMES)
def test_a_ticket_that_was_charged_under_another_name_is_not_charged_again(
    visit: Visit, book: Book, before: str, after: str
) -> None:
    first = visit(before)
    terminal = first.terminal
    first.charge_late()
    first.give_up(25_000, ticket="B77")
    second = visit(after, terminal)
    with second.connect() as pos:
        polled = pos.polling()
        with pytest.raises(AlreadyCharged) as caught:
            pos.sale(25_000, ticket="B77")
    assert [(intent.ticket, intent.state) for intent in polled.settled] == [("B77", IntentState.APPROVED)]
    assert caught.value.reply is not None
    assert caught.value.reply.authorization_code == terminal.operations[0]["authorization_code"]
    assert terminal.charges() == 1


@pytest.mark.parametrize(("before", "after"), UNTOLD)
def test_a_ticket_that_is_unsettled_under_another_name_is_not_charged_again(
    visit: Visit, book: Book, before: str, after: str
) -> None:
    """The terminal does not tell its last voucher: it is busy."""
    first = visit(before)
    terminal = first.terminal
    terminal.refuses_record = 1007
    first.charge_late()
    first.give_up(25_000, ticket="B77")
    terminal.says = without("Ticket")
    terminal.vouchers.clear()
    second = visit(after, terminal)
    with second.connect() as pos:
        polled = pos.polling()
        assert [intent.ticket for intent in (*polled.unknown, *polled.elsewhere)] == ["B77"]
        with pytest.raises(OutcomeUnknown, match="nothing was sent"):
            pos.sale(25_000, ticket="B77")
    assert terminal.charges() == 1


def test_a_port_that_is_renamed_while_the_register_runs(visit: Visit, book: Book, tmp_path: Any) -> None:
    place = visit("usb")
    terminal = place.terminal
    with place.ready() as pos:
        pos.sale(500)
        terminal.then(100, charges_and_is_silent)
        terminal.refuses_record = 1007
        with pytest.raises(OutcomeUnknown):
            pos.sale(25_000, ticket="B77")
    terminal.unplug()
    terminal.refuses_record = None
    renamed = terminal.plug(tmp_path / "ttyACM99")
    from getnet_pos import Connector

    with Connector.create_usb(renamed, timeouts=QUICK) as pos:
        (settled,) = pos.polling().settled
        assert (settled.ticket, settled.state) == ("B77", IntentState.APPROVED)
        with pytest.raises(AlreadyCharged):
            pos.sale(25_000, ticket="B77")
    assert terminal.charges("B77") == 1


@pytest.mark.parametrize("way", LOCAL)
def test_a_new_terminal_at_a_place_starts_without_the_last_voucher_of_the_one_before(
    visit: Visit, book: Book, way: str
) -> None:
    """Its own older voucher has a higher operation number and a later date: it is no newer one for that."""
    first, second = two_terminals("terminal")
    place = visit(way, first)
    visit("usb", second)
    second.shift += 7200
    for _ in range(5):
        second.key_in(1000)
    with place.ready() as pos:
        pos.sale(500)
    first.unplug()
    place.lead_to(second)
    with place.ready() as pos:
        second.then(100, lost)
        with pytest.raises(OutcomeUnknown), contextlib.suppress(AssertionError):
            pos.sale(1000, ticket="R2")
    assert book()[-1].state is IntentState.UNKNOWN


def test_terminals_that_tell_their_number_in_another_spelling_are_the_same(visit: Visit, book: Book) -> None:
    place = visit("tcp", Terminal("pos0001a"))
    place.terminal.records = changed(TerminalId="POS0001A ")
    with place.ready() as pos:
        pos.sale(500)
        place.terminal.then(100, charges_and_is_silent)
        assert pos.sale(1000, ticket="R2").approved
