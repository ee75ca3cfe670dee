"""Replies and the other messages: values that can be kept, compared, sent on, and shown without a card's data."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any

import pytest

from getnet_pos import (
    Ack,
    BadFrame,
    ChecksumMismatch,
    CloseBatchReply,
    DetailsReply,
    FrameFault,
    FrameTooLarge,
    GenericReply,
    Intent,
    IntentState,
    LastVoucherReply,
    MalformedFrame,
    Progress,
    ProgressCode,
    RefundReply,
    Reply,
    SaleReply,
    SalesBySellerReply,
    SaleType,
    SellerSale,
    SignatureMismatch,
    TipsReply,
    TipTotal,
    VoidReply,
    Voucher,
)
from getnet_pos.messages import CATALOGUE, FINAL_STATES, OPEN_STATES
from getnet_pos.messages.fields import wire_fields

SALE = SaleReply(
    function_code=100, response_code=0, response_message="Aprobado", amount=25_000, ticket="A1", last4_digits="0042",
    account_number="4000001234560042", bin="40000012", expiry_date="3012", trans_token="8000500012983320260101120000",
    sale_type=SaleType.SALE, extra={"Canary": "4000001234560042"},
)  # fmt: skip


def made(kind: Any, code: int, **fields: Any) -> Any:
    return kind(function_code=code, response_code=0, **fields)


VALUES: list[Any] = [
    SALE,
    *[made(kind, code) for code, kind in CATALOGUE.reply_types.items()],
    GenericReply(function_code=0, response_code=5, response_message="Mensaje mal formado", extra={"a": [1]}),
    DetailsReply(function_code=105, response_code=0, sale_details=(Voucher(amount=1), Voucher(amount=2))),
    SalesBySellerReply(function_code=110, response_code=0, sale_details=(SellerSale(employee_id=7),)),
    TipsReply(function_code=111, response_code=0, tip_report=(TipTotal(tips=300),)),
    Ack(True),
    Progress(ProgressCode.PIN_ENTRY, "Ingreso de PIN"),
    BadFrame(FrameFault.SIGNATURE, "the signature does not fit", 90),
    Intent(intent_id="a", terminal="usb:x", command=100),
]
of_every_value = pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)


@of_every_value
def test_frozen_slotted_picklable_comparable_hashable(value: Any) -> None:
    assert pickle.loads(pickle.dumps(value)) == value
    assert copy.deepcopy(value) == value
    assert hash(copy.deepcopy(value)) == hash(value)
    assert value != object()
    assert not hasattr(value, "__dict__")
    with pytest.raises((dataclasses.FrozenInstanceError, AttributeError)):
        setattr(value, dataclasses.fields(value)[0].name, 1)


@pytest.mark.parametrize(("code", "kind"), [*CATALOGUE.reply_types.items(), (999, GenericReply)])
def test_a_reply_read_by_either_codec_is_the_same_value(backend: Any, code: int, kind: type[Reply]) -> None:
    """What a decoder builds without the constructor is what the constructor builds."""
    text = f'{{"FunctionCode":{code},"ResponseCode":0,"ResponseMessage":"Aprobado","X":1}}'
    (read,) = backend.Decoder().feed(backend.envelope(text))
    built = made(kind, code, response_message="Aprobado", extra={"X": 1})
    assert type(read) is kind
    assert read == built
    assert hash(read) == hash(built)
    assert pickle.loads(pickle.dumps(read)) == built
    assert repr(read) == repr(built)


def test_two_sales_are_equal_when_all_they_say_is() -> None:
    assert dataclasses.replace(SALE) == SALE
    assert dataclasses.replace(SALE, extra={}) != SALE
    assert {SALE: 1}[dataclasses.replace(SALE)] == 1


def test_a_shown_reply_holds_nothing_of_a_card() -> None:
    for shown in (repr(SALE), str(SALE), f"{SALE}", repr(Voucher(account_number="4000001234560042", bin="40000012"))):
        for secret in ("4000001234560042", "40000012", "3012", "80005000129833", "Canary"):
            assert secret not in shown
    assert repr(SALE) == (
        "SaleReply(function_code=100, response_code=0, response_message='Aprobado', ticket='A1', amount=25000, "
        "last4_digits='0042', sale_type=<SaleType.SALE: 0>)"
    )


def test_what_hides_is_exactly_what_could_identify_a_card() -> None:
    hidden = {item.name for item in dataclasses.fields(SaleReply) if not item.repr}
    assert hidden == {"account_number", "bin", "expiry_date", "trans_token", "extra"}


@pytest.mark.parametrize(
    ("reply", "approved"),
    [
        (SaleReply(function_code=100, response_code=0), True),
        (SaleReply(function_code=100, response_code=1006), False),
        (SaleReply(function_code=100, response_code=-1), False),
        (GenericReply(function_code=0, response_code=0, response_message="Error durante el procesamiento"), False),
        (VoidReply(function_code=102, response_code=0), True),
        (VoidReply(function_code=102, response_code=0, success=True), True),
        (VoidReply(function_code=102, response_code=0, success=False), False),
        (VoidReply(function_code=0, response_code=0, success=True), False),
        (RefundReply(function_code=108, response_code=3, success=True), False),
        (RefundReply(function_code=108, response_code=0, extra={"Success": True}), True),
        (RefundReply(function_code=108, response_code=0, extra={"success": "True"}), True),
        (RefundReply(function_code=108, response_code=0, extra={"Success": False}), False),
        (RefundReply(function_code=108, response_code=0, extra={"Success": "who knows"}), False),
        (CloseBatchReply(function_code=103, response_code=0), True),
        (CloseBatchReply(function_code=103, response_code=0, success=False), False),
        (CloseBatchReply(function_code=0, response_code=0), False),
        (LastVoucherReply(function_code=101, response_code=0), True),
    ],
)
def test_when_a_reply_approves(reply: Reply, approved: bool) -> None:
    assert reply.approved is approved


def test_the_spellings_of_a_field() -> None:
    spellings = {field.name: field.spellings for field in wire_fields(SaleReply)}
    assert spellings["operation_id"] == (
        "OperationId", "operationId", "Operationld", "operationld", "OperationID", "operationID",
    )  # fmt: skip
    assert spellings["aid"] == ("Aid", "aid", "AID", "aID")
    assert "extra" not in spellings


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (FrameFault.MALFORMED, MalformedFrame),
        (FrameFault.TOO_LARGE, FrameTooLarge),
        (FrameFault.SIGNATURE, SignatureMismatch),
        (FrameFault.CHECKSUM, ChecksumMismatch),
    ],
)
def test_a_bad_frame_names_its_error(fault: FrameFault, error: type[Exception]) -> None:
    named = BadFrame(fault, "the reason", 12).error()
    assert type(named) is error
    assert str(named) == "the reason"


def test_the_states_of_an_intent() -> None:
    assert {*OPEN_STATES, *FINAL_STATES, IntentState.UNKNOWN, IntentState.CONTRADICTED} == set(IntentState)
    assert not OPEN_STATES & FINAL_STATES
    assert str(IntentState.RESOLVED_NOT_PAID) == IntentState.RESOLVED_NOT_PAID == "RESOLVED_NOT_PAID"
    assert Intent(intent_id="a", terminal="t", command=100, state=IntentState.SENT).open
    assert not Intent(intent_id="a", terminal="t", command=100, state=IntentState.UNKNOWN).open
