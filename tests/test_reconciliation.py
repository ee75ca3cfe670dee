"""The journal against the terminal's record: the rules one by one, and what shops do, with both connectors."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from getnet_pos import (
    DetailsReply,
    Intent,
    IntentState,
    InvalidValue,
    SqliteJournal,
    UnexpectedReply,
    UnsupportedOperation,
    Voucher,
    VoucherMark,
    Wire,
)
from getnet_pos.reconciliation import Reconciliation, reconcile, recorded_vouchers
from getnet_pos.simulator import Behaviour, Outcome, TcpServer, VirtualTerminal
from tests.faces import FACES, hasty

__all__ = ["hasty"]


def paid(number: int, **fields: Any) -> Intent:
    """An approved sale."""
    values: dict[str, Any] = {
        "intent_id": f"{number:032x}", "terminal": "usb:", "command": 100, "amount": 1000 * number,
        "ticket": f"T{number}", "state": IntentState.APPROVED, "authorization_code": f"{number:06d}",
        "operation_id": number, "real_date": f"2026-01-01 12:{number:02d}:00",
    }  # fmt: skip
    return Intent(**{**values, **fields})


def row(number: int, **fields: Any) -> Voucher:
    """What the record has of it."""
    values: dict[str, Any] = {
        "function_code": 100, "response_code": 0, "amount": 1000 * number, "ticket": f"T{number}",
        "authorization_code": f"{number:06d}", "operation_id": number, "real_date": f"2026-01-01 12:{number:02d}:00",
        "terminal_id": "80005000",
    }  # fmt: skip
    return Voucher(**{**values, **fields})


VOID = paid(
    7, command=102, reference="2", amount=None, ticket=None, operation_id=2, authorization_code="000002", real_date=None
)
UNKNOWN = paid(4, state=IntentState.UNKNOWN, authorization_code=None, operation_id=None, real_date=None)
BEFORE = VoucherMark(3, "2026-01-01 12:03:00", "000003", 3000, 100)


def told(found: Reconciliation) -> dict[str, Any]:
    """What was found, by numbers of commands and operations; what is empty is left out."""
    shown = {
        "matching": [(int(pair.intent.intent_id, 16), pair.voucher.operation_id) for pair in found.matching],
        "differing": [(int(pair.intent.intent_id, 16), *pair.differs) for pair in found.differing],
        "only_here": [int(intent.intent_id, 16) for intent in found.only_here],
        "only_there": [voucher.operation_id for voucher in found.only_there],
        "unknown": [
            (int(unresolved.intent.intent_id, 16), *(voucher.operation_id for voucher in unresolved.vouchers))
            for unresolved in found.unknown
        ],
    }
    return {name: items for name, items in shown.items() if items}


def test_a_day_on_which_all_is_well() -> None:
    found = reconcile([paid(1), paid(2)], [row(2), row(1)])
    assert told(found) == {"matching": [(1, 1), (2, 2)]}
    assert found.agrees
    assert reconcile([], []).agrees


@pytest.mark.parametrize(
    ("intents", "rows", "wanted"),
    [
        # What one side does not have.
        ([paid(1)], [row(1), row(2, ticket="")], {"matching": [(1, 1)], "only_there": [2]}),
        ([paid(1), paid(2)], [row(1)], {"matching": [(1, 1)], "only_here": [2]}),
        ([], [row(1)], {"only_there": [1]}),
        # What the two say differently.
        ([paid(1)], [row(1, amount=999)], {"differing": [(1, "amount")]}),
        ([paid(1)], [row(1, ticket="X9")], {"differing": [(1, "ticket")]}),
        ([paid(1)], [row(1, authorization_code="999999")], {"differing": [(1, "authorization_code")]}),
        ([paid(1)], [row(1, response_code=1006)], {"differing": [(1, "state")]}),
        ([paid(1, state=IntentState.RESOLVED_NOT_PAID)], [row(1)], {"differing": [(1, "state")]}),
        ([paid(1, state=IntentState.DECLINED, authorization_code=None, operation_id=None)], [row(1)],
         {"differing": [(1, "state")]}),
        # What is the same all the same.
        ([paid(1)], [row(1, amount=1150, tip=150)], {"matching": [(1, 1)]}),
        ([paid(1)], [row(1, tip=150)], {"matching": [(1, 1)]}),
        ([paid(1)], [row(1, ticket="", operation_id=None)], {"matching": [(1, None)]}),
        ([paid(1)], [row(1, function_code=101)], {"matching": [(1, 1)]}),
        ([paid(1)], [row(1, function_code=None, response_code=None)], {"matching": [(1, 1)]}),
        ([paid(1, command=126)], [row(1)], {"matching": [(1, 1)]}),
        ([paid(1, ticket="000T1")], [row(1, ticket=" 000t1 ")], {"matching": [(1, 1)]}),
        ([paid(1)], [row(1, authorization_code=None, operation_id=0, ticket=None)], {"matching": [(1, 0)]}),
        ([paid(1, state=IntentState.RESOLVED_PAID, authorization_code=None, operation_id=None, real_date=None)],
         [row(1)], {"matching": [(1, 1)]}),
        # What nothing was paid of is in no record, and need not be.
        ([paid(1, state=IntentState.DECLINED), paid(2, state=IntentState.NOT_SENT)], [], {}),
        ([paid(1, state=IntentState.DECLINED, authorization_code=None, operation_id=None)], [row(1, response_code=51)],
         {"matching": [(1, 1)]}),
        ([], [row(1, response_code=51)], {}),
        # A card that was declined, and another one under the same ticket.
        ([paid(1, state=IntentState.DECLINED, authorization_code=None, operation_id=None, real_date=None),
          paid(2, ticket="T1", amount=1000)], [row(2, ticket="T1", amount=1000)], {"matching": [(2, 2)]}),
        # Numbers that begin again each day.
        ([paid(1)], [row(1, authorization_code="777777", real_date="2026-01-02 09:00:00")],
         {"only_here": [1], "only_there": [1]}),
        ([paid(1)], [row(1, authorization_code="777777", ticket="", operation_id=9)],
         {"only_here": [1], "only_there": [9]}),
        # Two of one amount, in one minute, without tickets: each has its own.
        ([paid(n, ticket=None, amount=50, real_date="2026-01-01 12:00") for n in (1, 2)],
         [row(2, amount=50, ticket=None), row(1, amount=50, ticket=None)], {"matching": [(1, 1), (2, 2)]}),
        # Of another terminal.
        ([paid(1, terminal_id="80005000")], [row(1, terminal_id="80005999")], {"only_here": [1], "only_there": [1]}),
    ],
)  # fmt: skip
def test_what_is_found(intents: list[Intent], rows: list[Voucher], wanted: dict[str, Any]) -> None:
    found = reconcile(intents, rows)
    assert told(found) == wanted
    assert found.agrees is not bool(wanted.keys() - {"matching"})


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        # The void names the operation that it annulled, or its own number and code.
        ([row(2), row(2, function_code=102)], {"matching": [(2, 2), (7, 2)]}),
        ([row(2), row(9, function_code=102, authorization_code="000002", amount=2000)], {"matching": [(2, 2), (7, 9)]}),
        # The record has neither the sale nor its void.
        ([], {}),
        # The void did not reach it, or only the void is there.
        ([row(2)], {"matching": [(2, 2)], "only_here": [7]}),
        ([row(2, function_code=102)], {"matching": [(7, 2)], "only_here": [2]}),
    ],
)
def test_a_void(rows: list[Voucher], wanted: dict[str, Any]) -> None:
    assert told(reconcile([paid(2), VOID], rows)) == wanted


def test_refunds_of_one_sale_are_told_apart() -> None:
    refunds = [paid(n, command=108, reference="000001", authorization_code="000001", ticket=None) for n in (5, 6)]
    rows = [row(n, function_code=108, authorization_code="000001", ticket="T1") for n in (6, 5)]
    assert told(reconcile(refunds, rows)) == {"matching": [(5, 5), (6, 6)]}


@pytest.mark.parametrize(
    ("unknown", "rows", "wanted"),
    [
        (UNKNOWN, [], {"unknown": [(4,)]}),
        (UNKNOWN, [row(4)], {"unknown": [(4, 4)]}),
        (UNKNOWN, [row(4, ticket=None)], {"unknown": [(4, 4)]}),
        (UNKNOWN, [row(4, amount=1)], {"unknown": [(4,)], "only_there": [4]}),
        (UNKNOWN, [row(4, ticket="X9")], {"unknown": [(4,)], "only_there": [4]}),
        (UNKNOWN, [row(4, ticket=None), row(5, amount=4000, ticket="")], {"unknown": [(4, 4, 5)]}),
        # Made before the command left; where the date does not say, the number does.
        (replace(UNKNOWN, baseline=BEFORE), [row(4, ticket="", real_date="2026-01-01 12:02:00")],
         {"unknown": [(4,)], "only_there": [4]}),
        (replace(UNKNOWN, baseline=BEFORE), [row(3, ticket="", amount=4000, real_date=None)],
         {"unknown": [(4,)], "only_there": [3]}),
        (replace(UNKNOWN, baseline=BEFORE), [row(4, ticket="", real_date=None)], {"unknown": [(4, 4)]}),
        (replace(UNKNOWN, state=IntentState.CONTRADICTED), [row(4)], {"unknown": [(4, 4)]}),
        (replace(UNKNOWN, state=IntentState.SENT), [row(4, response_code=51)], {"unknown": [(4,)]}),
        (replace(UNKNOWN, command=102, reference="4", ticket=None, amount=None), [row(4), row(4, function_code=102)],
         {"unknown": [(4, 4)], "only_there": [4]}),
    ],
)  # fmt: skip
def test_an_unknown_outcome_is_shown_with_what_it_could_be(
    unknown: Intent, rows: list[Voucher], wanted: dict[str, Any]
) -> None:
    assert told(reconcile([unknown], rows)) == wanted


def test_where_records_name_tickets_one_without_was_keyed_in() -> None:
    found = reconcile([paid(1), UNKNOWN], [row(1), row(4, ticket="")])
    assert told(found) == {"matching": [(1, 1)], "only_there": [4], "unknown": [(4,)]}


def test_pages_that_overlap() -> None:
    pages = [[row(1), row(2)], [row(2), row(3)]]
    found = reconcile([paid(n) for n in (1, 2, 3)], [one for page in pages for one in page])
    assert told(found) == {"matching": [(1, 1), (2, 2), (3, 3)]}


def test_what_was_paid_before_the_day_explains_and_is_not_missed() -> None:
    found = reconcile([paid(3)], [row(2), row(3)], earlier=[paid(1), paid(2)])
    assert told(found) == {"matching": [(2, 2), (3, 3)]}


def test_a_batch_that_was_closed_meanwhile() -> None:
    assert reconcile([paid(1)], []).batch_may_be_closed
    assert reconcile([paid(1), paid(3)], [row(3)]).batch_may_be_closed
    assert not reconcile([paid(1), paid(3)], [row(1)]).batch_may_be_closed
    assert not reconcile([paid(1)], [row(1)]).batch_may_be_closed


def test_where_records_do_not_name_the_registers_tickets() -> None:
    rows = [row(1, ticket="17")]
    assert told(reconcile([paid(1)], rows)) == {"differing": [(1, "ticket")]}
    assert told(reconcile([paid(1)], rows, tickets=False)) == {"matching": [(1, 1)]}


STATES = st.sampled_from(IntentState)
FEW = st.integers(1, 3)
INTENTS = st.builds(
    lambda number, ticket, operation, amount, state, command: paid(
        number, ticket=f"T{ticket}", operation_id=operation, amount=amount, state=state, command=command
    ),
    FEW, FEW, FEW, FEW, STATES, st.sampled_from([100, 102, 108, 126, 77]),
)  # fmt: skip
ROWS = st.builds(
    lambda number, ticket, code, amount, kind: row(
        number, ticket=f"T{ticket}", authorization_code=f"{code:06d}", amount=amount, function_code=kind
    ),
    FEW, FEW, FEW, FEW, st.sampled_from([100, 101, 102, 108, None]),
)  # fmt: skip


@given(st.lists(INTENTS, max_size=6), st.lists(ROWS, max_size=6))
def test_nothing_is_left_out_and_nothing_is_told_twice(made: list[Intent], rows: list[Voucher]) -> None:
    intents = [replace(one, intent_id=f"{place:032x}") for place, one in enumerate(made)]
    found = reconcile(intents, rows)
    pairs = [*found.matching, *found.differing]
    ids = [pair.intent.intent_id for pair in pairs]
    ids += [one.intent_id for one in found.only_here] + [unresolved.intent.intent_id for unresolved in found.unknown]
    assert len(ids) == len(set(ids))
    moved = {one.intent_id for one in intents if one.state in (IntentState.APPROVED, IntentState.RESOLVED_PAID)}
    gone = moved - set(ids)
    assert all(one.command == 102 or one.operation_id for one in intents if one.intent_id in gone)
    assert {unresolved.intent.intent_id for unresolved in found.unknown} == {
        one.intent_id for one in intents if one.open
    } | {one.intent_id for one in intents if one.state in (IntentState.UNKNOWN, IntentState.CONTRADICTED)}
    explained = [id(pair.voucher) for pair in pairs] + [id(one) for one in found.only_there]
    assert len(explained) == len(set(explained))
    maybe = {id(voucher) for unresolved in found.unknown for voucher in unresolved.vouchers}
    assert not maybe & set(explained)
    kept = {(one.operation_id, one.authorization_code, one.function_code, one.amount) for one in rows}
    assert len(maybe | set(explained)) == len(kept)


def test_a_long_day_takes_a_moment() -> None:
    """Commands are looked for by their names, not each in the whole record."""
    begun = time.process_time()
    numbers = range(1, 2001)
    intents = [paid(n, real_date="2026-01-01 12:00:00") for n in numbers]
    found = reconcile(intents, [row(n, real_date="2026-01-01 12:00:00") for n in numbers])
    assert len(found.matching) == len(numbers)
    assert time.process_time() - begun < 2


# ------------------------------------------------------------------------------------------------- what a terminal says


def test_details_that_cannot_be_compared() -> None:
    details = DetailsReply(function_code=105, response_code=0, sale_details=(row(1),))
    assert recorded_vouchers(details) == (row(1),)
    assert recorded_vouchers(DetailsReply(function_code=105, response_code=99)) == ()
    with pytest.raises(UnsupportedOperation, match="simplified wire"):
        recorded_vouchers(replace(details, details_text="1,100"))
    unusable = {
        "refused": replace(details, response_code=5),
        "cannot be read": replace(details, extra={"SaleDetails": "?"}),
    }
    for problem, reply in unusable.items():
        with pytest.raises(UnexpectedReply, match=f"{problem}.*: try again"):
            recorded_vouchers(reply)


@pytest.fixture(params=FACES.values(), ids=FACES)
def face(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SqliteJournal]:
    with closing(SqliteJournal(tmp_path / "journal.sqlite3")) as opened:
        yield opened


async def test_a_day_at_a_shop(face: Any, journal: SqliteJournal) -> None:
    terminal = VirtualTerminal()
    with TcpServer(terminal, gap=0) as server:
        async with face("create_tcp", *server.address, journal=journal) as pos:
            await pos.polling()
            first = await pos.sale(1_000, ticket="A1")
            second = await pos.sale(2_000, ticket="A2")
            await pos.void(first.operation_id)
            await pos.refund(second.authorization_code, 500)
            terminal.script.append(Behaviour(outcome=Outcome.DECLINE))
            assert not (await pos.sale(3_000, ticket="A3")).approved
            found = await pos.reconcile()
            assert (len(found.matching), found.agrees) == (4, True)
            # A cashier sells by hand, and closes the batch on the terminal.
            server.key_in(700)
            found = await pos.reconcile(since=datetime.now(timezone.utc) - timedelta(hours=1))
            assert [voucher.amount for voucher in found.only_there] == [700]
            assert not found.differing + found.only_here + found.unknown
            await pos.close_batch()
            found = await pos.reconcile()
            assert found.batch_may_be_closed
            assert len(found.only_here) == 2, "the sale that was annulled, and its void, are no difference"
            # From now on, nothing was paid.
            assert (await pos.reconcile(since=datetime.now(timezone.utc))).agrees
            with pytest.raises(InvalidValue, match="time zone"):
                await pos.reconcile(since=datetime(2026, 1, 1))


async def test_over_the_simplified_wire_it_is_refused(face: Any) -> None:
    with TcpServer(VirtualTerminal(), gap=0) as server:
        async with face("create_tcp", *server.address, journal=None, wire=Wire.SIMPLIFIED) as pos:
            await pos.polling()
            with pytest.raises(UnsupportedOperation, match="compare it by hand"):
                await pos.reconcile()
