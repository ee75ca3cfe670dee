"""What a person does before a terminal, and what the register hears of it, on a virtual clock."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from getnet_pos import messages as m
from getnet_pos.simulator import Behaviour, Outcome, VirtualTerminal
from getnet_pos.simulator.screen.seat import Seat
from tests.simulator.register import Register, show

SALE = m.Sale(700, "A1", send_message=True, date_time="2026-01-01T12:00:00.000Z")


class Person(Register):
    """A register, and a person before its terminal, who looks on unless ``attends`` is false."""

    def __init__(self, attends: bool = True, **settings: Any) -> None:
        super().__init__(VirtualTerminal(**settings))
        self.changes = 0
        self.seat = Seat(self.terminal, lambda action: action(self.now), self._count, lambda: attends)
        self.terminal.watcher = self.seat

    def _count(self, seat: Seat) -> None:
        self.changes += 1

    @property
    def stage(self) -> str:
        return str(self.seat.view()["stage"])

    def do(self, what: str, **more: Any) -> list[object]:
        """Do it, and what the register hears by the time that nothing more is to come."""
        self.seat.do(what, **{"turn": self.seat.view()["turn"], **more})
        return show(self.run())

    def asked(self, command: m.Command = SALE) -> list[object]:
        self.send(command)
        return show(self.run())


@pytest.mark.parametrize(
    ("ending", "code", "heard"),
    [
        ("approve", None, [82, (100, 0)]),
        ("decline", None, [82, (100, 2001)]),
        ("decline", 51, [82, (100, 51)]),
        ("cancel", None, [(100, 1006)]),
        ("leave", None, [(100, 1006)]),
    ],
)
def test_a_sale_waits_for_the_person_who_decides(ending: str, code: int | None, heard: list[object]) -> None:
    person = Person()
    assert person.asked() == [True, 78]
    person.run(1000)
    assert (person.stage, person.seat.view()["command"]["amount"]) == ("card", 700)
    assert person.do(ending, code=code) == heard
    assert person.stage == ("approved" if ending == "approve" else "refused")
    assert person.terminal.ledger.charged("A1") == (700 if ending == "approve" else 0)


def test_a_card_that_is_tapped_needs_no_pin_and_one_that_is_inserted_does() -> None:
    person = Person()
    person.asked()
    assert person.do("tap") == [82, (100, 0)]
    for how in ("insert", "swipe"):
        person.asked()
        assert person.do(how) == [81]
        assert person.stage == "pin"
        assert person.do(how) == person.do("tap") == []
        assert person.do("pin") == [82, (100, 0)]
    assert len(person.terminal.ledger.charges()) == 3


def test_the_voucher_says_what_the_ledger_says_until_it_is_torn_off() -> None:
    person = Person()
    person.asked()
    person.do("tap")
    voucher, entry = person.seat.view()["voucher"], person.terminal.ledger.entries[0]
    assert (voucher["amount"], voucher["ticket"], voucher["operation"]) == (700, "A1", entry.operation_id)
    assert voucher["authorization"] == entry.authorization_code
    person.do("tear")
    assert (person.stage, person.seat.view()["voucher"], person.seat.view()["command"]) == ("idle", None, None)


def test_a_void_is_confirmed_and_shows_the_amount_of_its_charge() -> None:
    person = Person()
    person.asked()
    person.do("tap")
    assert person.asked(m.Void(1)) == [True]
    assert (person.stage, person.seat.view()["command"]["amount"]) == ("confirm", 700)
    assert person.do("confirm") == [(102, 0)]
    assert person.terminal.ledger.balance() == 0
    assert person.seat.view()["voucher"]["kind"] == "void"


@pytest.mark.parametrize(
    ("trouble", "heard", "charged", "stage"),
    [
        ("lost", [82], 700, "approved"),
        ("damaged", [82, "signature"], 700, "approved"),
        ("restart-before", [82], 0, "idle"),
        ("restart-after", [82], 700, "idle"),
        ("1003", [82, (100, 1003)], 700, "refused"),
        ("1004", [82, (100, 1004)], 700, "refused"),
        ("1005", [82, (100, 1005)], 700, "refused"),
    ],
)
def test_what_goes_wrong_goes_wrong_once(trouble: str, heard: list[object], charged: int, stage: str) -> None:
    person = Person()
    person.asked()
    assert person.do("approve", trouble=trouble) == heard
    assert person.terminal.ledger.charged() == charged
    assert person.stage == stage
    person.asked(m.Sale(300, "A2"))
    assert person.do("approve")[-1] == (100, 0)


def test_a_decline_has_no_voucher_that_could_not_be_printed() -> None:
    person = Person()
    person.asked()
    assert person.do("decline", trouble="1004") == [82, (100, 2001)]
    assert person.seat.view()["result"]["message"] == "Rechazado"
    person.asked()
    assert person.do("decline", trouble="damaged") == [82, "signature"]
    assert person.terminal.ledger.entries == ()


def test_a_cable_that_is_pulled_loses_the_reply_and_not_the_charge() -> None:
    person = Person()
    person.asked()
    assert person.do("pull") == []
    assert person.seat.view()["link"] == "unplugged"
    assert person.do("tap") == []
    assert person.terminal.ledger.charged() == 700
    person.do("plug")
    assert person.seat.view()["link"] == "plugged"
    assert person.ask(m.LastVoucher()).ticket == "A1"


def test_a_restart_is_over_after_some_seconds() -> None:
    person = Person()
    person.asked()
    person.do("restart", turn=0)
    assert (person.seat.view()["link"], person.stage) == ("restarting", "idle")
    person.now += 3
    person.seat.look()
    assert person.seat.view()["link"] == "plugged"


def test_a_tap_that_was_meant_for_an_earlier_sale_does_nothing() -> None:
    person = Person()
    person.asked()
    turn = person.seat.view()["turn"]
    person.do("approve")
    person.asked(m.Sale(900, "A2"))
    assert person.do("approve", turn=turn) == []
    assert person.stage == "card"
    assert person.do("decline") == [(100, 2001)]  # this sale asked for no messages
    assert person.do("approve") == person.do("cancel") == []


def test_the_register_cancels_what_waits_for_the_person() -> None:
    person = Person()
    person.asked()
    assert person.asked(m.CancelSale()) == [True, (116, 0), (100, 1006)]
    assert person.stage == "refused"
    assert person.do("tap") == []
    assert person.terminal.ledger.charged() == 0


def test_a_script_goes_first_and_without_a_page_nobody_is_waited_for() -> None:
    person = Person(script=[Behaviour(outcome=Outcome.DECLINE)])
    assert person.asked()[-1] == (100, 2001)
    assert person.asked() == [True, 78]
    alone = Person(attends=False)
    assert alone.asked()[-1] == (100, 0)
    assert alone.stage == "approved"


def test_a_script_that_waits_may_be_decided_by_the_person() -> None:
    person = Person(attends=False, script=[Behaviour(decide_after=inf)])
    person.asked()
    assert (person.stage, person.do("approve")[-1]) == ("card", (100, 0))


def test_the_manner_of_the_terminal_stays() -> None:
    person = Person(default=Behaviour(camel_case=True, crlf=True))
    person.asked()
    person.do("tap")
    assert b'{\\"functionCode\\":100' in person.heard()
    assert person.heard().endswith(b"\r\n")


def test_the_trace_has_names_and_no_values_and_a_card_number_is_shown_nowhere() -> None:
    person = Person()
    person.asked(m.Sale(700, "4111111111111111"))
    person.do("tap")
    lines = [line["text"] for line in person.seat.details()["trace"]]
    assert any("TicketNumber" in line for line in lines)
    assert any(line.startswith("SaleReply 100, response 0") for line in lines)
    shown = f"{person.seat.view()} {person.seat.details()}"
    assert "4111111111111111" not in shown
    assert "****1111" in shown
    assert not any("700" in line for line in lines)


def test_the_details_are_the_newest_and_do_not_grow_for_ever() -> None:
    person = Person(attends=False)
    for number in range(60):
        person.ask(m.Sale(number + 1, f"A{number}"))
    details = person.seat.details()
    assert details["balance"] == sum(range(61))
    assert [row["ticket"] for row in details["ledger"]] == [f"A{number}" for number in range(59, 9, -1)]
    assert len(details["trace"]) == 50


def test_who_looks_is_told_of_each_change() -> None:
    person = Person()
    counts = [person.changes]
    for step in (person.asked, lambda: person.do("tap"), lambda: person.terminal.key_in(500, person.now)):
        step()
        counts.append(person.changes)
    assert counts == sorted(set(counts))
    assert person.seat.details()["balance"] == 1_200
