"""What the terminal recorded, as the cloud shows it: which of it is the result of a command in doubt."""

from __future__ import annotations

import math
from typing import Any

import pytest

from getnet_pos import (
    GenericCommand,
    IntentState,
    OutcomeUnknown,
    Profile,
    SaleReply,
    VoucherMark,
)
from getnet_pos.simulator import Behaviour, Reboot
from getnet_pos.simulator.cloud import CloudFault
from tests.cloud.registers import (
    ARGENTINA,
    CHILE,
    HOOK,
    K,
    both,
    canned,
    give,
    nested,
    polled,
)

BROKEN = (504, b"")
OLD = {
    "functionCode": 100,
    "amount": 1000,
    "operationId": 1,
    "realDate": "2026-01-01 10:00:00",
    "authorizationCode": "A1",
}
NEW = {
    "functionCode": 100,
    "amount": 1000,
    "operationId": 2,
    "realDate": "2026-01-01 11:00:00",
    "authorizationCode": "A2",
}
NEWER = {**NEW, "operationId": 3, "realDate": "2026-01-01 11:00:01", "authorizationCode": "A3"}


def rows(*found: Any) -> dict[str, Any]:
    return nested({"functionCode": 105, "responseCode": 0, "saleDetails": list(found)})


def from_books(before: Any, after: Any, ticket: str | None = "T1", profile: Profile = CHILE) -> Any:
    """What a sale of 1000 with a broken call comes to, where the details were ``before`` and are ``after`` it."""
    broken = {"lastvoucher": BROKEN} if profile is ARGENTINA else {}
    register = canned(profile, at_first={"details": before, **broken})
    give(register, sale=BROKEN, details=lambda: after if register.sent else before)
    try:
        return register.sell(ticket=ticket)
    except OutcomeUnknown:
        return None


@both
def test_a_newer_row_that_fits_is_the_result(profile: Profile) -> None:
    if profile is ARGENTINA:
        assert from_books(rows(OLD), rows(OLD, NEW), profile=profile) is None, "its baseline is the last voucher"
        return
    reply = from_books(rows(OLD), rows(OLD, NEW))
    assert type(reply) is SaleReply
    assert reply.authorization_code == "A2"
    assert from_books(rows(), rows(NEW)).authorization_code == "A2"
    assert from_books(rows(OLD), rows(NEW, OLD)).authorization_code == "A2"
    assert from_books(rows({**OLD, "realDate": None}), rows(OLD, NEW)).authorization_code == "A2", "by its number"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (rows(OLD), rows(OLD)),
        (rows(OLD), rows()),
        (rows(), rows({**NEW, "amount": 999})),
        (rows(), rows({**NEW, "ticket": "OTHER"})),
        (rows(), rows({**NEW, "functionCode": 102})),
        (rows(), rows({**NEW, "responseCode": 5})),
        (rows(), rows(NEW, NEWER)),
        (BROKEN, rows(NEW)),
        (rows({**OLD, "realDate": None, "operationId": 0}), rows(OLD, NEW)),
        (nested({"functionCode": 105, "responseCode": 5}), rows(NEW)),
        (nested({"functionCode": 105, "responseCode": 0, "saleDetails": "none"}), rows(NEW)),
        (nested({"functionCode": 105, "responseCode": 0, "detailsText": ""}), rows(NEW)),
        (rows(), nested({"functionCode": 105, "responseCode": 5})),
        (rows(), BROKEN),
    ],
)
def test_a_row_that_proves_nothing_is_not_taken(before: Any, after: Any) -> None:
    assert from_books(before, after) is None


def test_of_two_rows_that_fit_the_one_with_the_ticket_is_taken() -> None:
    assert from_books(rows(), rows(NEW, {**NEWER, "ticket": "T1"})).authorization_code == "A3"


def test_a_row_without_a_function_code_is_a_voucher() -> None:
    row = {name: value for name, value in NEW.items() if name != "functionCode"}
    assert from_books(rows(), rows(row)).function_code == 100


def test_a_ticket_of_our_own_making_needs_no_baseline() -> None:
    register = canned(
        at_first={"details": BROKEN},
        sale=BROKEN,
        details=lambda: rows({**NEW, "ticket": register.sent[0]["ticketNumber"]}),
    )
    assert register.sell(ticket=None).authorization_code == "A2"


def voucher(**fields: Any) -> dict[str, Any]:
    return {"code": 1, "data": {"functionCode": 100, "code": 0, **fields}}


REFUSAL = {"code": 1, "data": {"functionCode": 101, "code": 99, "message": "none"}}


@pytest.mark.parametrize(
    ("last", "details", "baseline"),
    [
        (voucher(**OLD), rows(NEW), "A1"),
        (voucher(**{**OLD, "realDate": None}), rows(NEW), "A1"),
        (voucher(**{**OLD, "realDate": None, "operationId": 0}), rows(NEW), None),
        (REFUSAL, rows(), "empty"),
        (REFUSAL, rows(NEW), "A2"),
        (REFUSAL, BROKEN, None),
        (BROKEN, rows(), None),
        (voucher(**{**OLD, "code": 5}), rows(), None),
        ({"code": 1, "data": None}, rows(), None),
    ],
)
def test_the_baseline_of_argentina(last: Any, details: Any, baseline: str | None) -> None:
    register = canned(ARGENTINA, at_first={"lastvoucher": last, "details": details})
    known = register.till.baseline
    if baseline is None:
        assert known is None
    else:
        assert known == VoucherMark() if baseline == "empty" else known is not None
        assert known is not None
        assert known.authorization_code == (None if baseline == "empty" else baseline)


@pytest.mark.parametrize(
    ("last", "in_vain"),
    [(BROKEN, True), ({"code": 1, "data": None}, True), (voucher(**{**OLD, "code": 5}), False)],
    ids=["no answer", "no result", "refused, as by one that is busy"],
)
def test_a_terminal_that_does_not_tell_is_not_asked_before_every_sale(last: Any, in_vain: bool) -> None:
    register = canned(ARGENTINA, at_first={"lastvoucher": last, "details": BROKEN})
    assert register.till.asked_in_vain is in_vain


def test_the_baseline_is_asked_for_in_vain_and_not_again() -> None:
    register = canned(at_first={"details": BROKEN})
    assert register.sell().approved
    assert register.sell(ticket="T2").approved
    assert register.calls().count("details") == 4


def test_the_baseline_comes_from_the_reply_before() -> None:
    register = polled()
    first = register.sell(ticket="A")
    register.pass_time(5)
    register.sell(ticket="B")
    known = register.journal.written[-1].baseline
    assert known is not None
    assert known.authorization_code == first.authorization_code
    assert register.calls()[-2:] == ["sale", "sale"]


def test_a_terminal_that_lost_its_record_proves_nothing() -> None:
    register = polled()
    register.terminal.script.append(Behaviour(reboot=Reboot(approved=True, keep_record=False)))
    register.cloud.inject(CloudFault(K.NEVER))
    with pytest.raises(OutcomeUnknown):
        register.sell()
    assert len(register.terminal.ledger.entries) == 1


def test_a_terminal_that_waits_for_ever_ends_by_the_deadline() -> None:
    register = polled()
    register.terminal.script.append(Behaviour(decide_after=math.inf))
    begun = register.now
    with pytest.raises(OutcomeUnknown):
        register.sell()
    assert register.now - begun < 300 + 60 + 10


def test_a_callers_time_limit_bounds_the_call() -> None:
    register = polled()
    register.terminal.script.append(Behaviour(decide_after=20))
    begun = register.now
    assert register.sell(timeout=5).approved
    assert 20 <= register.now - begun < 32


def test_a_generic_money_command_is_recorded_too() -> None:
    register = polled()
    reply = register.pay(GenericCommand({"c2cMode": True}, code=129))
    assert reply.approved
    assert register.journal.states() == [IntentState.APPROVED]


def test_a_transaction_that_the_cloud_never_knows_is_looked_up_in_the_books() -> None:
    register = polled(webhook=HOOK)
    register.cloud.inject(CloudFault(K.OVERTAKEN, count=10_000))
    assert register.sell().approved
    assert register.journal.states() == [IntentState.APPROVED]


def test_after_a_late_result_the_last_voucher_is_asked_for_again() -> None:
    """The terminal may have recorded more since, which must not be taken for the next command's."""
    register = polled(ARGENTINA, webhook=HOOK)
    register.terminal.script.append(Behaviour(reply_after=800, record_after=800))
    with pytest.raises(OutcomeUnknown):
        register.sell(1000, "A")
    register.sell(2000, "B")
    register.pass_time(600)
    assert register.run(register.session.recover()) == []
    assert register.till.baseline is None
    # Of the same amount as a sale that is newer than the one that was settled late, but older than this.
    register.cloud.inject(CloudFault(K.DROP_BEFORE))
    with pytest.raises(OutcomeUnknown):
        register.sell(2000, "C")
    assert register.journal.states() == [IntentState.APPROVED, IntentState.APPROVED, IntentState.UNKNOWN]


def test_a_result_that_was_another_commands_is_not_taken_whatever_it_says_it_is() -> None:
    register = canned(ARGENTINA)
    first = register.sell(1000, "A")
    register.sell(1000, "B")
    voucher_of_first = {
        "functionCode": 100, "code": 0, "amount": 1000, "authorizationCode": first.authorization_code,
        "operationId": first.operation_id, "realDate": first.real_date,
    }  # fmt: skip
    give(register, sale={"code": 1, "data": {**voucher_of_first, "customId": "C"}})
    with pytest.raises(OutcomeUnknown):
        register.sell(1000, "C")
