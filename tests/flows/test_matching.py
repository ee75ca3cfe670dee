"""Whose reply it is: the rules one by one, as examples."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from getnet_pos.flows.intents import generated_ticket
from getnet_pos.flows.matching import Circumstances, Verdict, judge, mark, newest, recognise, same_ticket
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
from getnet_pos.profiles import Profile

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


def why(reply: Any, intent: Intent = SALE, **circumstances: Any) -> str:
    """What is told of a reply that is not believed."""
    return judge(intent, reply, Circumstances(**circumstances)).why


def why_not(voucher: Any, intent: Intent = SALE, *others: Intent, **circumstances: Any) -> str:
    """What is told of a voucher that is not believed."""
    return recognise(intent, voucher, Circumstances(others=others, **circumstances))


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


def test_a_result_from_before_the_last_voucher_is_a_copy_too() -> None:
    """As of another register's sale, which this one has never heard of."""
    older = {"operation_id": 5, "authorization_code": "000005", "real_date": "2026-01-01 11:59:00"}
    assert verdict(sale(ticket=None, **older)) is Verdict.OTHER
    assert verdict(sale(**older)) is Verdict.MINE, "it bears the command's own ticket"
    # The clock was set back, as where summer time ends: the numbers go on.
    assert verdict(sale(ticket=None, **{**older, "operation_id": 7})) is Verdict.MINE


def test_what_bears_the_commands_own_ticket_is_no_copy_of_another_ones() -> None:
    """A terminal that was set back counts from 1 again."""
    earlier = replace(
        SALE, intent_id="4" * 32, ticket="Z9", state=IntentState.APPROVED, found="call",
        operation_id=7, real_date="2026-01-01 12:05:00", authorization_code="000007",
    )  # fmt: skip
    assert verdict(sale(), others=[earlier]) is Verdict.MINE
    assert found(last_voucher(ticket="A1"), SALE, earlier)
    assert verdict(sale(ticket=None), others=[earlier]) is Verdict.OTHER
    assert verdict(sale(), others=[replace(earlier, ticket="A1")]) is Verdict.OTHER


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


# ------------------------------------------------------------------------------------------------------ a sale in doubt


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
    other = replace(SALE, intent_id="4" * 32, ticket="Z9", state=state, **identity)  # type: ignore[arg-type]  # the names of an identity are fields
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


# -------------------------------------------------------------------------------------------------------------- tickets


@pytest.mark.parametrize(
    ("own", "told", "expected"),
    [
        ("A1", "A1", True),
        ("A1", " a1 ", True),
        ("001234", "1234", True),
        ("1234", "0000001234", True),
        ("A1", "A2", False),
        ("001234", "A001234", False),
        ("A1", None, None),
        ("A1", "", None),
        ("A1", "   ", None),
        ("A1", "0", None),
        ("A1", "000000", None),
        (None, "A1", None),
        ("ORDER-2026-0001", "ORDER-20", None),
        ("ORDER-2026-0001", "ORDER", False),
        ("ORDER-20", "ORDER-2026-0001", False),
    ],
    ids=["the same", "padded and in small letters", "without its zeros", "with more zeros", "another", "longer",
         "none is said", "empty", "blank", "zero", "zeros", "the command has none", "cut", "too little of it is left",
         "more than was asked for"],
)  # fmt: skip
def test_a_ticket_as_firmware_writes_it(own: str | None, told: str | None, expected: bool | None) -> None:
    """``None``: it does not say, or may be what is left of a longer one."""
    assert same_ticket(own, told) is expected


def test_a_padded_ticket_is_the_commands_own() -> None:
    padded = replace(SALE, ticket="001234")
    assert verdict(sale(ticket="1234"), padded) is Verdict.MINE
    assert found(last_voucher(ticket=" 1234"), padded)


def test_another_ticket_under_the_commands_own_code_says_both() -> None:
    """The terminal has acknowledged, and names neither this command's ticket nor one that the register knows."""
    assert why(sale(ticket="Z7")) == "the reply has ticket Z7, not A1"
    known = replace(SALE, intent_id="4" * 32, ticket="Z7", state=IntentState.UNKNOWN)
    assert verdict(sale(ticket="Z7"), others=[known]) is Verdict.OTHER, "it is that one's, come late"
    assert verdict(sale(ticket="Z7"), in_turn=False) is Verdict.OTHER


# -------------------------------------------------------------------------------------------------------------- amounts


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (sale(amount=1300, tip=300), Verdict.MINE),
        (sale(amount=1300, cashback=300), Verdict.MINE),
        (sale(amount=1500, tip=300, cashback=200), Verdict.MINE),
        (sale(amount=1000, tip=300), Verdict.MINE),
        (sale(amount=1300), Verdict.DOUBT),
        (sale(amount=1300, tip=200), Verdict.DOUBT),
        (sale(amount=1300, tip=300, ticket=None), Verdict.DOUBT),
        (sale(amount=700, response_code=51), Verdict.DOUBT),
    ],
    ids=["a tip", "cash back", "both", "a tip beside the amount", "more than was asked for", "more than the tip",
         "a tip without a ticket", "a refusal of another amount"],
)  # fmt: skip
def test_what_the_customer_added(reply: Any, expected: Verdict) -> None:
    """It is the sale's own where the ticket is."""
    assert verdict(reply) is expected


def test_another_amount_says_both() -> None:
    assert why(sale(amount=1300)) == "the reply has the amount 1300, not 1000"
    assert why_not(last_voucher(amount=1300)) == "the reply has the amount 1300, not 1000"
    assert found(last_voucher(amount=1300, tip=300, ticket="A1"))
    assert not found(last_voucher(amount=1300, tip=300))


# ----------------------------------------------------------------------------------------------- codes that say nothing


@pytest.mark.parametrize("code", [1003, 1004, 1005, -1])
def test_a_code_that_does_not_say_whether_the_card_was_charged(code: int) -> None:
    reply = sale(response_code=code, response_message="Error de impresion")
    assert verdict(reply) is Verdict.DOUBT
    assert f"answered {code} (Error de impresion)" in why(reply)
    assert not found(reply), "nor does its own refusal, found later"
    plain = replace(Profile.INTEGRATED_POS, doubtful_codes=frozenset())
    assert verdict(reply, profile=plain) is Verdict.MINE


def test_a_cancelled_sale_is_surely_unpaid() -> None:
    assert verdict(sale(response_code=1006)) is Verdict.MINE
    assert found(sale(response_code=1006))


@pytest.mark.parametrize(("success", "expected"), [(True, Verdict.MINE), (False, Verdict.MINE), (None, Verdict.MINE)])
def test_success_of_a_void(success: bool | None, expected: Verdict) -> None:
    voided = VoidReply(function_code=102, response_code=0, operation_id=6, success=success)
    assert verdict(voided, VOID) is expected
    assert voided.approved is (success is not False)


def test_a_success_that_is_neither_true_nor_false_is_a_doubt() -> None:
    unread = VoidReply(function_code=102, response_code=0, operation_id=6, extra={"Success": "perhaps"})
    assert not unread.approved
    assert verdict(unread, VOID) is Verdict.DOUBT
    assert "neither true nor false" in why(unread, VOID)


# ------------------------------------------------------------------------------------------------------------ terminals

HERE = replace(SALE, terminal_id="80005000", commerce_code=12983)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, Verdict.MINE),
        ({"terminal_id": "80005000", "commerce_code": 12983}, Verdict.MINE),
        ({"terminal_id": " 80005000 "}, Verdict.MINE),
        ({"terminal_id": ""}, Verdict.MINE),
        ({"terminal_id": "80005001"}, Verdict.DOUBT),
        ({"commerce_code": 99}, Verdict.DOUBT),
    ],
    ids=["nothing is said", "its own", "padded", "empty", "another terminal", "another commerce"],
)
def test_whose_terminal_it_is(told: dict[str, Any], expected: Verdict) -> None:
    assert verdict(sale(**told), HERE) is expected
    assert found(last_voucher(**told), HERE) is (expected is Verdict.MINE)


def test_another_terminal_is_named_and_so_is_the_commands_own() -> None:
    foreign = sale(terminal_id="80005001", ticket="A1")
    assert why(foreign, HERE) == "another terminal answers: 80005001, but the command was sent to 80005000"
    own = replace(HERE, ticket=generated_ticket(SALE.intent_id))
    assert "another terminal" in why_not(replace(foreign, ticket=own.ticket), own), "whatever ticket it names"
    assert verdict(foreign, SALE) is Verdict.MINE, "the terminal had not told who it is"


def test_a_terminal_that_had_told_nothing_and_a_link_that_was_lost() -> None:
    """Another one may have been put there since."""
    assert found(last_voucher())
    assert "another terminal may be connected" in why_not(last_voucher(), same_line=False)
    assert found(last_voucher(ticket="A1"), same_line=False), "the ticket is its own"
    assert found(last_voucher(), HERE, same_line=False), "and this one has told who it is"


# ------------------------------------------------------------------------------------ the last voucher was made by hand


def test_only_a_fresh_baseline_tells_a_voucher_without_a_ticket() -> None:
    """Between two sales of the register a cashier may have keyed one in on the terminal."""
    stale = replace(SALE, baseline=replace(BEFORE, fresh=False))
    assert found(last_voucher())
    assert "more vouchers may have been made" in why_not(last_voucher(), stale)
    assert found(last_voucher(ticket="A1"), stale)


def test_a_terminal_that_names_tickets_leaves_none_empty() -> None:
    for empty in ("", "0", None):
        assert "keyed in by hand" in why_not(last_voucher(ticket=empty), records_name_ticket=True)
    assert "keyed in by hand" in why_not(last_voucher(ticket=""), names_ticket=True)
    assert "keyed in by hand" in why_not(last_voucher(ticket="")), "nothing is known of its habit yet"
    assert found(last_voucher(ticket=""), names_ticket=False)
    assert found(last_voucher(ticket=None), names_ticket=True), "its records have no place for one"


def test_a_voucher_from_before_the_command_left_by_the_terminals_own_clock() -> None:
    assert "before the command left" in why_not(last_voucher(), sent_after="2026-01-01 12:05:01")
    assert found(last_voucher(), sent_after="2026-01-01 12:05:00")
    assert found(last_voucher(real_date="2026-01-01 12:05"), sent_after="2026-01-01 12:05:30"), "of the same minute"


def test_without_a_caller_a_voucher_must_be_named() -> None:
    """It may have been made since."""
    assert found(last_voucher(ticket="A1"), awaited=False)
    assert "caller was gone" in why_not(last_voucher(), awaited=False)


# -------------------------------------------------------------------------------------------------------- what is newer


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"real_date": "2026-01-01 12:00"}, True),
        ({"real_date": "2026-01-01 12:00", "operation_id": 6, "authorization_code": "000006"}, False),
        ({"real_date": "2026-01-01 12:00", "operation_id": None}, False),
        ({"real_date": "01-01-2026 12:00:00", "operation_id": None}, False),
        ({"real_date": "01/01/2026 12:00:01", "operation_id": None}, True),
        ({"real_date": "2026-01-01T12:00:01.000", "operation_id": None}, True),
        ({"real_date": "yesterday", "operation_id": 7}, True),
        ({"real_date": "yesterday", "operation_id": 5}, False),
        ({"real_date": "2026-01-01 12:00:01Z", "operation_id": 7}, True),
    ],
    ids=["of the same minute, its number is higher", "the voucher before, to the minute", "of the same minute",
         "of the same second, the day first", "a second later, the day first", "a second later, in ISO form",
         "no date, a higher number", "no date, a lower number", "in another zone, a higher number"],
)  # fmt: skip
def test_dates_are_compared_at_the_coarser_precision(told: dict[str, Any], expected: bool) -> None:
    assert found(last_voucher(**told)) is expected


# ---------------------------------------------------------------------------------------------------------------- voids


def test_the_voucher_of_a_void_of_another_operation() -> None:
    """Firmware names the operation that was annulled, or the void's own number, which is above all before it."""
    void = replace(VOID, reference="5")
    voucher = last_voucher(function_code=102, real_date="2026-01-01 12:05:00")
    assert found(replace(voucher, operation_id=5), void), "the operation that was asked for"
    assert found(replace(voucher, operation_id=7), void), "a number of its own"
    assert why_not(replace(voucher, operation_id=3), void) == "the last voucher voids operation 3, not 5"
    assert not found(replace(voucher, operation_id=6), void), "as high as the last voucher before it"


def test_a_void_that_names_nothing_needs_a_fresh_baseline() -> None:
    voucher = last_voucher(function_code=102, operation_id=None)
    assert found(voucher, VOID)
    assert not found(voucher, replace(VOID, baseline=replace(BEFORE, fresh=False)))


# -------------------------------------------------------------------------------------------------- there is no voucher


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (LastVoucherReply(function_code=101, response_code=99), VoucherMark()),
        (LastVoucherReply(function_code=101, response_code=21), VoucherMark()),
        (LastVoucherReply(function_code=101, response_code=21, amount=5), None),
        (LastVoucherReply(function_code=101, response_code=9), None),
        (LastVoucherReply(function_code=101, response_code=-1), None),
        (last_voucher(real_date=None, operation_id=None), None),
        (last_voucher(), VoucherMark(7, "2026-01-01 12:05:00", "000007", 1000, None)),
    ],
    ids=["no transactions", "not found", "not found, and an amount", "busy", "no line", "nothing to tell it by",
         "a voucher"],
)  # fmt: skip
def test_what_the_terminal_recorded_last(reply: Any, expected: VoucherMark | None) -> None:
    """Only the codes that say so mean that there is none."""
    told = newest(reply, Profile.INTEGRATED_POS)
    assert told == expected
    assert told is None or told.fresh
