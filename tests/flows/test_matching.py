"""Whose reply it is: the rules one by one, as examples."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from getnet_pos.flows.intents import generated_ticket
from getnet_pos.flows.matching import Circumstances, Verdict, judge, mark, recognise
from getnet_pos.messages import (
    GenericReply,
    Intent,
    IntentState,
    LastVoucherReply,
    PollReply,
    RefundReply,
    SaleReply,
    VoidReply,
    VoucherMark,
)

BEFORE = VoucherMark(6, "2026-01-01 12:00:00", "000006", 1000, 100, fresh=True)
"""The last voucher before the command in doubt."""

SALE = Intent(intent_id="5" * 32, terminal="usb:", command=100, amount=1000, ticket="A1", baseline=BEFORE)
VOID = Intent(intent_id="6" * 32, terminal="usb:", command=102, reference="6", baseline=BEFORE)
REFUND = Intent(intent_id="7" * 32, terminal="usb:", command=108, reference="000006", amount=400, baseline=BEFORE)

PAID: dict[str, Any] = {
    "response_code": 0,
    "amount": 1000,
    "operation_id": 7,
    "authorization_code": "000007",
    "real_date": "2026-01-01 12:05:00",
}


def sale(**fields: Any) -> SaleReply:
    return SaleReply(**{"function_code": 100, "ticket": "A1", **PAID, **fields})


def last_voucher(**fields: Any) -> LastVoucherReply:
    return LastVoucherReply(**{"function_code": 101, **PAID, **fields})


def verdict(reply: Any, intent: Intent = SALE, **circumstances: Any) -> Verdict:
    """While the command waits, the terminal having acknowledged it."""
    return judge(intent, reply, Circumstances(**circumstances)).verdict


def found(voucher: Any, intent: Intent = SALE, *others: Intent, direct: bool = False, **circumstances: Any) -> bool:
    """While the command is in doubt."""
    return not recognise(intent, voucher, Circumstances(others=others, **circumstances), direct=direct)


# ---------------------------------------------------------------------------------------------------- a sale that waits


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (sale(), Verdict.MINE),
        (sale(ticket=None), Verdict.MINE),
        (sale(amount=2000), Verdict.DOUBT),
        (sale(amount=None), Verdict.DOUBT),
        (sale(ticket="A2"), Verdict.DOUBT),
        (sale(response_code=51, ticket=None, amount=None), Verdict.MINE),
        (sale(response_code=51, ticket="", amount=0), Verdict.MINE),
        (sale(response_code=51, amount=2000), Verdict.DOUBT),
        (PollReply(function_code=106, response_code=0), Verdict.OTHER),
        (sale(operation_id=6, authorization_code="000006", real_date=BEFORE.real_date, ticket=None), Verdict.OTHER),
    ],
    ids=["its own", "no ticket", "another amount", "approved without amount", "another ticket", "a bare refusal",
         "an empty refusal", "a refusal of another amount", "another command", "the voucher before"],
)  # fmt: skip
def test_a_reply_to_a_sale(reply: Any, expected: Verdict) -> None:
    assert verdict(reply) is expected


def test_before_the_acknowledgement_only_a_ticket_tells() -> None:
    assert verdict(sale(), in_turn=False) is Verdict.MINE
    assert verdict(sale(ticket=None), in_turn=False) is Verdict.OTHER
    assert verdict(sale(ticket=None)) is Verdict.MINE


def test_a_ticket_of_two_commands_tells_nothing() -> None:
    """As after a declined card that is tried again: its refusal may come once more."""
    declined = replace(SALE, intent_id="4" * 32, state=IntentState.DECLINED)
    refusal = sale(response_code=51)
    assert verdict(refusal, others=[declined], in_turn=False) is Verdict.OTHER
    assert verdict(refusal, others=[declined]) is Verdict.MINE


def test_a_reply_that_could_be_of_an_unknown_outcome() -> None:
    unknown = replace(SALE, intent_id="4" * 32, ticket="Z9", state=IntentState.UNKNOWN)
    assert verdict(sale(ticket=None), others=[unknown]) is Verdict.DOUBT
    assert verdict(sale(), others=[unknown]) is Verdict.MINE
    assert verdict(sale(ticket=None), others=[replace(unknown, amount=2000)]) is Verdict.MINE
    assert verdict(sale(ticket=None), others=[replace(unknown, state=IntentState.RESOLVED_PAID)]) is Verdict.MINE


def test_a_copy_of_an_earlier_result() -> None:
    earlier = replace(
        SALE, intent_id="4" * 32, ticket=None, state=IntentState.APPROVED, authorization_code="000007",
        operation_id=7, real_date="2026-01-01 12:05:00",
    )  # fmt: skip
    assert verdict(sale(ticket=None), others=[earlier]) is Verdict.OTHER
    assert verdict(sale(ticket=None), previous=sale(ticket=None)) is Verdict.OTHER
    assert verdict(sale(ticket=None, operation_id=8, authorization_code="000008"), others=[earlier]) is Verdict.MINE


def test_an_outstanding_last_voucher_is_no_reply() -> None:
    """Firmware answers the question under the recorded operation's own code."""
    assert verdict(sale(ticket=None), asked=True) is Verdict.DOUBT
    assert verdict(sale(), asked=True) is Verdict.MINE


def test_a_command_of_which_nothing_is_known() -> None:
    unheard = replace(SALE, command=200, ticket=None, amount=None)
    reply = GenericReply(function_code=200, response_code=0)
    assert verdict(reply, unheard) is Verdict.MINE
    assert verdict(reply, unheard, in_turn=False) is Verdict.OTHER
    assert verdict(reply, unheard) is Verdict.MINE
    assert not found(reply, unheard)


def test_a_command_that_is_recorded_under_another_code() -> None:
    """126, a sale with a promotion, is recorded as 100."""
    promotion = replace(SALE, command=126)
    assert verdict(sale(function_code=126), promotion) is Verdict.MINE
    assert found(sale(), promotion)
    assert found(last_voucher(), promotion)
    assert not found(sale(function_code=102), promotion)
    told = mark(sale(function_code=126))
    assert told == mark(sale())


def test_a_void_and_a_refund() -> None:
    voided = VoidReply(function_code=102, response_code=0, operation_id=6, authorization_code="000006", success=True)
    assert verdict(voided, VOID) is Verdict.MINE
    another = replace(VOID, intent_id="4" * 32, reference="5", state=IntentState.UNKNOWN)
    assert verdict(voided, VOID, others=[another]) is Verdict.MINE
    assert verdict(replace(voided, operation_id=None), VOID, others=[another]) is Verdict.DOUBT
    assert verdict(replace(voided, operation_id=77), VOID, others=[another]) is Verdict.DOUBT, (
        "it may be either's number"
    )
    same = replace(another, reference="6")
    assert verdict(voided, VOID, others=[same]) is Verdict.DOUBT
    refunded = RefundReply(function_code=108, response_code=0, operation_id=9, authorization_code="000006")
    assert verdict(refunded, REFUND) is Verdict.MINE
    assert verdict(replace(refunded, amount=1), REFUND) is Verdict.DOUBT


# ---------------------------------------------------------------------------------------------------- a sale in doubt


@pytest.mark.parametrize(
    ("voucher", "expected"),
    [
        (last_voucher(), True),
        (last_voucher(ticket="A1"), True),
        (last_voucher(ticket="A2"), False),
        (last_voucher(amount=2000), False),
        (last_voucher(real_date="2026-01-01 11:00:00"), False),
        (last_voucher(real_date=None), True),
        (last_voucher(real_date=None, operation_id=None), False),
        (last_voucher(real_date="01-01-2026 12:05:00", operation_id=None), True),
        (last_voucher(real_date="1 Jan 2026 12:05", operation_id=None), False),
        (last_voucher(real_date="2026-01-01 12:00:00", operation_id=None), False),
        (last_voucher(real_date="2026-01-01 12:00:00", operation_id=None, ticket="A1"), True),
        (LastVoucherReply(function_code=101, response_code=99), False),
        (sale(function_code=102), False),
        (sale(response_code=51), True),
        (sale(response_code=51, ticket=None), False),
        (PollReply(function_code=106, response_code=0), False),
    ],
    ids=["newer", "newer, its ticket", "newer, another ticket", "another amount", "older", "newer by its number",
         "nothing to tell by", "newer, the day first",
         "a date that is not understood", "of the same second", "of the same second, its ticket",
         "no voucher", "a void", "its refusal", "some refusal", "no voucher at all"],
)  # fmt: skip
def test_a_last_voucher(voucher: Any, expected: bool) -> None:
    assert found(voucher) is expected


def test_without_a_baseline_only_a_generated_ticket_tells() -> None:
    unsure = replace(SALE, baseline=None)
    assert not found(last_voucher(ticket="A1"), unsure)
    own = replace(unsure, ticket=generated_ticket(SALE.intent_id))
    assert found(last_voucher(ticket=own.ticket), own)


def test_a_terminal_without_vouchers_had_none_before() -> None:
    assert found(last_voucher(), replace(SALE, baseline=VoucherMark(fresh=True)))


def test_on_the_simplified_wire_a_reply_is_never_a_last_voucher() -> None:
    unsure = replace(SALE, baseline=None)
    assert not found(sale(), unsure)
    assert found(sale(), unsure, direct=True)


@pytest.mark.parametrize(
    ("state", "identity", "expected"),
    [
        (IntentState.UNKNOWN, {}, False),
        (IntentState.RESOLVED_PAID, {}, False),
        (IntentState.RESOLVED_NOT_PAID, {}, False),
        (IntentState.DECLINED, {}, True),
        (IntentState.NOT_SENT, {}, True),
        (IntentState.APPROVED, {"authorization_code": "000007"}, False),
        (IntentState.APPROVED, {"authorization_code": "000005"}, True),
        (IntentState.APPROVED, {}, False),
    ],
)
def test_a_voucher_that_could_be_of_another_command(
    state: IntentState, identity: dict[str, str], expected: bool
) -> None:
    """A voucher without a ticket is its own only where it cannot be another's."""
    other = replace(SALE, intent_id="4" * 32, ticket="Z9", state=state, **identity)  # type: ignore[arg-type]
    assert found(last_voucher(), SALE, other) is expected


def test_a_recorded_void() -> None:
    voucher = last_voucher(function_code=102, operation_id=6, authorization_code="000006")
    assert found(voucher, VOID)
    assert not found(last_voucher(operation_id=6), VOID)
    assert not found(replace(voucher, real_date="2026-01-01 11:00:00"), VOID)
    assert not found(voucher, VOID, replace(VOID, intent_id="4" * 32, state=IntentState.UNKNOWN))
    assert found(voucher, VOID, replace(VOID, intent_id="4" * 32, reference="5", state=IntentState.UNKNOWN))


def test_what_marks_a_voucher() -> None:
    assert mark(sale()) == VoucherMark(7, "2026-01-01 12:05:00", "000007", 1000, 100)
    assert mark(last_voucher(operation_id=0)) == VoucherMark(None, "2026-01-01 12:05:00", "000007", 1000, None)
    assert mark(sale(real_date=None)) == VoucherMark(7, None, "000007", 1000, 100)
    assert mark(sale(real_date=None, operation_id=0)) is None
    voided = VoidReply(function_code=102, response_code=0, operation_id=6, success=True)
    assert mark(voided) is None, "it may be the number of the operation that was annulled"
