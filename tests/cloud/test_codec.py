"""What is sent to the cloud, to the byte, and what its answers mean."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, datetime
from types import MappingProxyType
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from getnet_pos import (
    BiometricCheck,
    CancelSale,
    CloseBatch,
    CloudRefund,
    CloudResult,
    CloudSale,
    Command,
    DetailsReport,
    Duplicate,
    GenericCommand,
    GenericReply,
    GetTransaction,
    InvalidType,
    InvalidValue,
    KeyPos,
    LastVoucher,
    MalformedResponse,
    ParametersReport,
    Poll,
    PreAuthorizationCodes,
    PreAuthorizationReply,
    PrintDocument,
    Profile,
    Refund,
    Reply,
    Sale,
    SalePromotion,
    SaleReply,
    SaleType,
    SetNormalMode,
    SetUnattended,
    Shift,
    ShiftReport,
    TotalsReport,
    Void,
    VoidReply,
)
from getnet_pos.codec.cloud import encode_cloud, read_cloud

CHILEAN = KeyPos("80005000", 12983, "SNPRUEBA1234")
ARGENTINE = KeyPos("AR00TEST", 12983, "NACPRUEBA123")
CHILEAN_HEAD = {"idTerminal": "80005000", "idSucursal": 12983, "serialNumber": "SNPRUEBA1234"}
ARGENTINE_HEAD = {"idTerminal": "AR00TEST", "idSucursal": "0000012983", "serialNumber": "NACPRUEBA123"}


def body(command: Command, profile: Profile, custom_id: str = "1234", **more: Any) -> bytes:
    cloud = profile.cloud
    assert cloud is not None
    endpoint = cloud.endpoints[command.code]
    key_pos = CHILEAN if cloud.branch_digits is None else ARGENTINE
    return encode_cloud(
        command,
        key_pos,
        endpoint.fields,
        defaults=endpoint.defaults,
        branch_digits=cloud.branch_digits,
        custom_id=custom_id,
        **more,
    )


# ------------------------------------------------------------------------------------------------------------- commands


def test_a_chilean_sale_to_the_byte() -> None:
    command = Sale(5200, "1235", sale_type=SaleType.SALE_AFFECTS)
    assert body(command, Profile.CHILE) == (
        b'{"idTerminal":"80005000","idSucursal":12983,"serialNumber":"SNPRUEBA1234","command":100,"amount":5200,'
        b'"ticketNumber":"1235","printOnPos":false,"saleType":1,"employeeId":1,"customId":"1234"}'
    )


def test_an_argentine_sale_to_the_byte() -> None:
    assert body(CloudSale(120000, print_on_pos=True, tip=1000), Profile.ARGENTINA) == (
        b'{"idTerminal":"AR00TEST","idSucursal":"0000012983","serialNumber":"NACPRUEBA123","command":100,'
        b'"amount":120000,"tip":1000,"printOnPos":true,"saleType":0,"employeeId":1,"installments":1,"planId":"contado",'
        b'"interest":0,"operationMode":0,"skipConfirmation":false,"skipReceipt":false,"customId":"1234"}'
    )


def test_an_argentine_refund_to_the_byte() -> None:
    assert body(CloudRefund("010929", 100, True, original_date=date(2025, 10, 9)), Profile.ARGENTINA) == (
        b'{"idTerminal":"AR00TEST","idSucursal":"0000012983","serialNumber":"NACPRUEBA123","command":108,'
        b'"authorizationCode":"010929","originalTransDate":"2025-10-09","skipConfirmation":false,"skipReceipt":false,'
        b'"printOnPos":true,"amount":100,"customId":"1234"}'
    )


CHILEAN_BODIES: list[tuple[Command, dict[str, Any]]] = [
    (Poll(), {"command": 106}),
    (Sale(1, "T", employee_id=None), {"command": 100, "amount": 1, "ticketNumber": "T", "printOnPos": False,
                                      "saleType": 0, "employeeId": 0}),
    (Void(12), {"command": 102, "operationId": 12, "printOnPos": False}),
    (CloseBatch(True), {"command": 103, "printOnPos": True}),
    (DetailsReport(), {"command": 105, "printOnPos": False}),
    (Refund("123456", 500), {"command": 108, "authorizationCode": "123456", "amount": 500, "printOnPos": False}),
    (Duplicate(3), {"command": 109, "operationId": 3, "printOnPos": False}),
    (BiometricCheck("1-9", 1), {"command": 121, "rutToValidate": "1-9", "authType": 1}),
    (GenericCommand({"rutToValidate": "1-9"}, code=121), {"command": 121, "rutToValidate": "1-9"}),
    (GetTransaction(7), {"command": 99, "idPosTxs": 7}),
    (PrintDocument(["x"]), {"command": 117, "details": [
        {"printSeq": 1, "type": "text", "encode": "", "data": "x", "align": "left"}]}),
]  # fmt: skip
ARGENTINE_BODIES: list[tuple[Command, dict[str, Any]]] = [
    (Poll(), {"command": 106}),
    (ParametersReport(), {"command": 114}),
    (CancelSale(), {"command": 116}),
    (SetNormalMode(), {"command": 107}),
    (LastVoucher(True), {"command": 101, "printOnPos": True, "skipReceipt": False}),
    (DetailsReport(), {"command": 105, "printOnPos": False}),
    (TotalsReport(), {"command": 104, "printOnPos": False}),
    (Refund("123456", 5), {"command": 108, "authorizationCode": "123456", "skipConfirmation": False,
                           "skipReceipt": False, "printOnPos": False, "amount": 5}),
    (ShiftReport(True), {"command": 136, "printOnPos": True}),
    (GenericCommand({"PrintOnPos": True}, code=136), {"command": 136, "printOnPos": True}),
    (Shift(0, 1, skip_confirmation=False), {"command": 135, "shiftOperation": 0, "numberOfShift": 1,
                                            "printOnPos": False, "skiptConfirmation": False}),
]  # fmt: skip


@pytest.mark.parametrize(("command", "wanted"), CHILEAN_BODIES, ids=lambda value: type(value).__name__)
def test_chilean_bodies(command: Command, wanted: dict[str, Any]) -> None:
    assert orjson.loads(body(command, Profile.CHILE)) == {**CHILEAN_HEAD, **wanted, "customId": "1234"}


@pytest.mark.parametrize(("command", "wanted"), ARGENTINE_BODIES, ids=lambda value: type(value).__name__)
def test_argentine_bodies(command: Command, wanted: dict[str, Any]) -> None:
    assert orjson.loads(body(command, Profile.ARGENTINA)) == {**ARGENTINE_HEAD, **wanted, "customId": "1234"}


def test_endpoints_without_a_custom_id() -> None:
    promotion = SalePromotion(900, "T", id_promo="promo")
    assert orjson.loads(body(promotion, Profile.CHILE)) == {
        **CHILEAN_HEAD, "command": 126, "amount": 900, "ticketNumber": "T", "printOnPos": False, "saleType": 0,
        "employeeId": 1, "idPromo": "promo",
    }  # fmt: skip
    mode = SetUnattended(True)
    assert orjson.loads(body(mode, Profile.CHILE)) == {**CHILEAN_HEAD, "command": 129, "c2cMode": True}


def test_a_generic_command_sends_all_its_fields_and_the_defaults() -> None:
    sent = orjson.loads(
        body(GenericCommand({"Amount": 5, "planId": "x", "own": None, "more": [1]}, code=100), Profile.ARGENTINA)
    )
    assert (sent["amount"], sent["planId"], sent["tip"], sent["more"]) == (5, "x", 0, [1])
    assert "own" not in sent


def test_a_generic_command_cannot_speak_for_another_terminal() -> None:
    command = GenericCommand({"idTerminal": "OTHER", "serialNumber": "X", "command": 102}, code=100)
    sent = orjson.loads(body(command, Profile.CHILE))
    assert (sent["idTerminal"], sent["serialNumber"], sent["command"]) == ("80005000", "SNPRUEBA1234", 100)


def test_what_is_no_json_is_refused_before_sending() -> None:
    with pytest.raises(InvalidValue, match="cannot be written as JSON"):
        body(GenericCommand({"x": object()}, code=100), Profile.CHILE)


def test_subclasses_are_sent_as_what_they_are_beneath() -> None:
    class Text(str):
        def __str__(self) -> str:
            return "not this"

    given = GenericCommand({"ticket": Text("A1"), "more": MappingProxyType({"a": (1, Text("b"))})}, code=100)
    sent = orjson.loads(body(given, Profile.CHILE, Text("1234")))
    assert (sent["ticket"], sent["more"], sent["customId"]) == ("A1", {"a": [1, "b"]}, "1234")


def test_a_webhook_goes_along() -> None:
    sent = orjson.loads(body(Sale(5, "T"), Profile.CHILE, webhook="https://shop.example/hook"))
    assert sent["webhook"] == "https://shop.example/hook"
    assert "webhook" not in orjson.loads(body(Sale(5, "T"), Profile.CHILE))


def test_a_payment_category_is_sent_only_if_given() -> None:
    sent = orjson.loads(body(CloudSale(5, "T", payment_category="FOOD_BENEFIT"), Profile.CHILE))
    assert sent["paymentCategory"] == "FOOD_BENEFIT"
    assert "paymentCategory" not in orjson.loads(body(CloudSale(5, "T"), Profile.CHILE))


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: CloudSale(5, tip=-1), InvalidValue),
        (lambda: CloudSale(5, tip=1.5), InvalidType),
        (lambda: CloudSale(0), InvalidValue),
        (lambda: CloudSale(5, installments=0), InvalidValue),
        (lambda: CloudSale(5, interest=True), InvalidType),
        (lambda: CloudSale(5, plan_id=""), InvalidValue),
        (lambda: CloudSale(5, skip_receipt=1), InvalidType),
        (lambda: SalePromotion(5, "T", id_promo=None), InvalidType),
        (lambda: SalePromotion(5, "T", id_promo="x" * 251), InvalidValue),
        (lambda: CloudRefund("1234", 5, original_date="2025-02-30"), InvalidValue),
        (lambda: CloudRefund("1234", 5, original_date="20250228"), InvalidValue),
        (lambda: CloudRefund("1234", 5, original_date=20250228), InvalidType),
        (lambda: CloudRefund("1234", 5, skip_confirmation="no"), InvalidType),
    ],
)
def test_commands_of_the_cloud_are_checked_when_made(make: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        make()


def test_a_moment_is_a_day_too() -> None:
    assert CloudRefund("1234", 5, original_date=datetime(2025, 10, 9, 23, 59)).original_date == "2025-10-09"


# ------------------------------------------------------------------------------------------------------------- triplets


def test_a_triplet() -> None:
    assert str(CHILEAN) == "80005000/12983/SNPRUEBA1234"
    assert KeyPos("AR00TEST", "0000012983", "NACPRUEBA123") == ARGENTINE  # type: ignore[arg-type]  # the branch as Argentina writes it: text


@pytest.mark.parametrize(
    ("parts", "error"),
    [
        (("", 1, "S"), InvalidValue),
        (("T" * 21, 1, "S"), InvalidValue),
        (("T/1", 1, "S"), InvalidValue),
        (("T", 1, "Ñ"), InvalidValue),
        ((80005000, 1, "S"), InvalidType),
        (("T", 0, "S"), InvalidValue),
        (("T", -1, "S"), InvalidValue),
        (("T", 10**10, "S"), InvalidValue),
        (("T", "0" * 20, "S"), InvalidValue),
        (("T", "12a", "S"), InvalidType),
        (("T", "9" * 21, "S"), InvalidType),
        (("T", True, "S"), InvalidType),
        (("T", 1.0, "S"), InvalidType),
    ],
)
def test_what_is_no_triplet(parts: tuple[Any, ...], error: type[Exception]) -> None:
    with pytest.raises(error):
        KeyPos(*parts)


# ------------------------------------------------------------------------------------------------------------- printing


def test_the_documented_document() -> None:
    made = PrintDocument(
        [
            "Este texto debe ser de maximo -48- caracteres...",
            {"printSeq": 4, "type": "array", "data": ["99 Producto en venta 0 12345678901 $ 999.999.999",
                                                     {"item1": "99 Producto en venta 1 12345678901 $ 999.999.999"}]},
            {"printSeq": 6, "type": "barcode", "data": "1234567890123", "align": "center"},
            {"printSeq": 7, "type": "printcode", "data": "Este es un código QR", "align": "center"},
            {"printSeq": 8, "type": "printcode", "encode": "pdf417", "data": "Este es un código PDF417 del SII",
             "align": "center"},
        ]
    ).lines  # fmt: skip
    assert made == json.loads(
        """[{"printSeq":1,"type":"text","encode":"","data":"Este texto debe ser de maximo -48- caracteres...",
        "align":"left"},{"printSeq":4,"type":"array","encode":"","data":
        [{"item0":"99 Producto en venta 0 12345678901 $ 999.999.999"},
        {"item1":"99 Producto en venta 1 12345678901 $ 999.999.999"}],"align":"left"},
        {"printSeq":6,"type":"barcode","encode":"ean13","data":"1234567890123","align":"center"},
        {"printSeq":7,"type":"printcode","encode":"qr","data":"Este es un código QR","align":"center"},
        {"printSeq":8,"type":"printcode","encode":"pdf417","data":"Este es un código PDF417 del SII",
        "align":"center"}]"""
    )


@pytest.mark.parametrize(
    ("lines", "error", "word"),
    [
        ("a line", InvalidType, "a list"),
        ({"data": "x"}, InvalidType, "a list"),
        (7, InvalidType, "a list"),
        ([], InvalidValue, "1 to 1000"),
        (["x"] * 1001, InvalidValue, "1 to 1000"),
        (["x", "y" * 49], InvalidValue, "the data of line 2 must have from 0 to 48"),
        (["a\nb"], InvalidValue, "control"),
        ([7], InvalidType, "line 1 must be text or a mapping"),
        ([{"data": "x", "bold": True}], InvalidValue, "unknown key 'bold'"),
        ([{"type": "video", "data": "x"}], InvalidValue, "the type of line 1"),
        ([{"type": ["text"], "data": "x"}], InvalidValue, "the type of line 1"),
        ([{"type": "barcode", "encode": "qr", "data": "x"}], InvalidValue, "the encode of line 1"),
        ([{"data": "x", "align": "middle"}], InvalidValue, "the align of line 1"),
        ([{"data": "x", "printSeq": "1"}], InvalidType, "the printSeq of line 1"),
        ([{"type": "array", "data": "x"}], InvalidType, "a list of lines"),
        ([{"type": "array", "data": []}], InvalidType, "a list of lines"),
        ([{"type": "array", "data": [{"item1": "x"}]}], InvalidValue, "exactly one key, 'item0'"),
        ([{"type": "array", "data": ["y" * 49]}], InvalidValue, "row 0 of line 1"),
        ([{"type": "printcode", "data": ""}], InvalidValue, "the data of line 1"),
    ],
)
def test_what_cannot_be_printed(lines: Any, error: type[Exception], word: str) -> None:
    with pytest.raises(error, match=word):
        PrintDocument(lines)


# -------------------------------------------------------------------------------------------------------------- answers

SEEN = (
    b'{"code":1,"status":"OK","message":"TRANSACCION FINALIZADA","data":{"idPosTxs":700001,"customId":"1234",'
    b'"response":{"functionCode":100,"responseCode":0,"responseMessage":"Aprobado","commerceCode":12983,"terminalId":"80005000",'
    b'"ticket":"1235","authorizationCode":"123456","amount":1300,"sharesNumber":0,"sharesAmount":0,"last4Digits":"5547",'
    b'"operationId":3,"cardType":"CR","accountingDate":"2026-06-11 22:40:22","cardBrand":"MC","realDate":'
    b'"2026-06-11 22:40:22","employeeId":0,"tip":0,"saleType":0,"posMode":1,"cashback":0,"transToken":'
    b'"8000500012983320260611224022","expiryDate":"2612","entryMode":"16","aid":"A0000000041010","paymentId":null,'
    b'"paymentMethod":0,"softwareName":null,"rutMatch":false}}}'
)
UNPAID = SEEN.replace(b'"responseCode":0,"responseMessage":"Aprobado"',
                      b'"responseCode":1006,"responseMessage":"Tiempo de espera excedido"')  # fmt: skip
FLAT = (
    b'{"code":1,"status":"OK","message":"TRANSACTION COMPLETED","data":{"functionCode":100,"code":0,'
    b'"message":"Approved","authorizationCode":"010929","amount":100000}}'
)


def test_a_nested_result() -> None:
    result = read_cloud(SEEN, Profile.CHILE)
    assert (result.code, result.status, result.id_pos_txs, result.custom_id) == (1, "OK", 700001, "1234")
    reply = result.reply
    assert type(reply) is SaleReply
    assert (reply.approved, reply.ticket, reply.amount, reply.last4_digits) == (True, "1235", 1300, "5547")
    assert reply.extra == {"paymentId": None, "paymentMethod": 0, "softwareName": None, "rutMatch": False}
    assert not result.in_process
    assert result.data is None


def test_a_flat_result_is_of_the_same_type() -> None:
    reply = read_cloud(FLAT, Profile.ARGENTINA).reply
    assert type(reply) is SaleReply
    assert (reply.approved, reply.response_code, reply.response_message) == (True, 0, "Approved")
    assert (reply.authorization_code, reply.amount, reply.extra) == ("010929", 100000, {})


def test_an_exchange_that_ended_is_not_paid_for_that() -> None:
    result = read_cloud(UNPAID)
    assert result.code == 1
    assert result.reply is not None
    assert (result.reply.approved, result.reply.response_code) == (False, 1006)


@pytest.mark.parametrize(
    ("answer", "in_process", "number"),
    [
        ({"code": 1, "message": "TRANSACTION SENT", "data": {"idPosTxs": 5}}, True, 5),
        ({"code": 1, "message": "TRANSACTION SENT", "idPosTxs": "5"}, True, 5),
        ({"code": 1, "data": {"idPosTxs": "0f-a_7"}}, True, "0f-a_7"),
        ({"code": 1, "data": {"idPosTxs": "007"}}, True, "007"),
        ({"code": 1, "data": {"idPosTxs": "9" * 30}}, True, "9" * 30),
        ({"code": 2, "status": "OK", "message": "TRANSACTION IN PROCESS", "data": None}, True, None),
        ({"code": 0, "status": "ERROR", "message": "ID NOT FOUND", "data": None}, False, None),
        ({"code": 1, "message": "LOGIN SUCCESSFUL", "data": None}, False, None),
        ({"code": 1, "data": {"idPosTxs": "../auth"}}, False, None),
        ({"code": 1, "data": {"idPosTxs": -5}}, False, None),
        ({"code": 1, "data": {"idPosTxs": 5.0}}, False, None),
        ({"code": 1, "data": {"idPosTxs": True}}, False, None),
    ],
)
def test_answers_without_a_result(answer: dict[str, Any], in_process: bool, number: object) -> None:
    result = read_cloud(orjson.dumps(answer))
    assert (result.in_process, result.id_pos_txs, result.reply) == (in_process, number, None)


@pytest.mark.parametrize(
    "reply",
    [
        {"functionCode": 100},
        {"responseCode": 0},
        {"functionCode": "a hundred", "responseCode": 0},
        {"functionCode": 100, "responseCode": ""},
        {"functionCode": True, "responseCode": 0},
        {"functionCode": 100, "responseCode": 0, "amount": 5, "Amount": 6},
        [1, 2],
        "text",
    ],
)
def test_a_reply_that_cannot_be_read_does_not_hide_the_transaction(reply: object) -> None:
    result = read_cloud(orjson.dumps({"code": 1, "data": {"idPosTxs": 5, "customId": 77, "response": reply}}))
    assert (result.reply, result.id_pos_txs, result.custom_id, result.data) == (None, 5, "77", {"response": reply})
    assert not result.in_process


def test_a_flat_reply_that_cannot_be_read_is_not_in_process_either() -> None:
    result = read_cloud(orjson.dumps({"code": 1, "data": {"idPosTxs": 5, "functionCode": 100, "amount": 5}}))
    assert (result.reply, result.id_pos_txs, result.in_process) == (None, 5, False)


def test_numbers_and_booleans_in_any_spelling() -> None:
    """As on the local wires: a number as text must not make a paid sale one that cannot be read."""
    reply = {"functionCode": "102", "responseCode": "00", "amount": "25000", "operationId": 3.0, "success": "True"}
    result = read_cloud(orjson.dumps({"code": "1", "data": {"idPosTxs": 5, "response": reply}}))
    assert result.code == 1
    assert result.reply == VoidReply(function_code=102, response_code=0, amount=25000, operation_id=3, success=True)


def test_a_number_that_is_none_stays_unset() -> None:
    reply = {"functionCode": 102, "responseCode": 0, "amount": "25,000", "success": "si"}
    found = read_cloud(orjson.dumps({"code": 1, "data": {"response": reply}})).reply
    assert found == VoidReply(function_code=102, response_code=0, extra={"amount": "25,000", "success": "si"})


def test_what_else_is_there_is_kept() -> None:
    reply = {"functionCode": 106, "responseCode": 0}
    answer = {"code": 1, "version": 3, "data": {"idPosTxs": 5, "shop": "x", "response": reply}}
    result = read_cloud(orjson.dumps(answer))
    assert (result.extra, result.data) == ({"version": 3, "shop": "x"}, None)
    answer["data"] = {"idPosTxs": 5, "shop": "x", "response": None}
    result = read_cloud(orjson.dumps(answer))
    assert (result.extra, result.data, result.in_process) == ({"version": 3}, {"shop": "x", "response": None}, True)
    assert read_cloud(b'{"code":1,"data":[{"a":1}]}').data == [{"a": 1}]
    assert read_cloud(b'{"code":1,"status":7,"message":null,"data":"x"}') == CloudResult(code=1, data="x")


def test_a_flat_reply_with_both_kinds_of_names() -> None:
    reply = read_cloud(b'{"code":1,"data":{"functionCode":100,"responseCode":5,"code":0,"message":"m"}}').reply
    assert reply is not None
    assert (reply.response_code, reply.response_message, dict(reply.extra)) == (5, None, {"code": 0, "message": "m"})
    reply = read_cloud(b'{"code":1,"data":{"functionCode":100,"responseMessage":"r","code":0,"message":"m"}}').reply
    assert reply is not None
    assert reply.response_message == "r"


def test_types_of_a_profile_and_of_the_cloud() -> None:
    body = b'{"code":1,"data":{"functionCode":%d,"code":0,"amount":5}}'
    assert type(read_cloud(body % 126).reply) is SaleReply
    assert type(read_cloud(body % 117).reply) is GenericReply
    own = replace(Profile.CHILE, pre_authorization=PreAuthorizationCodes(140, 141, 142))
    assert type(read_cloud(body % 140, own).reply) is PreAuthorizationReply
    assert type(read_cloud(body % 140, Profile.CHILE).reply) is GenericReply


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        SEEN[: len(SEEN) // 2],
        b"<html></html>",
        b"[1]",
        b'"text"',
        b"{}",
        b'{"code":"one"}',
        b'{"code":true}',
        b'{"code":1.5}',
        b'{"code":1,"code":0}',
        b'{"code":1,"data":NaN}',
        b'{"code":18446744073709551616}',
        b'\xef\xbb\xbf{"code":1}',
        b'{"code":1,"message":"\xff"}',
        b'{"code":1,"data":' + b"[" * 40 + b"]" * 40 + b"}",
    ],
)
def test_what_is_no_answer(body: bytes) -> None:
    with pytest.raises(MalformedResponse):
        read_cloud(body)
    with pytest.raises(MalformedResponse):
        read_cloud(memoryview(body))


# ----------------------------------------------------------------------------------------------------------- properties

scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=8)
keys = st.sampled_from(
    ["code", "message", "functionCode", "responseCode", "responseMessage", "amount", "ticket", "idPosTxs", "customId",
     "response", "data", "status", "success", "saleDetails", "operationId", "realDate", "x"]
)  # fmt: skip
values = st.recursive(
    scalars, lambda inner: st.dictionaries(keys, inner, max_size=6) | st.lists(inner, max_size=3), max_leaves=20
)


@given(st.dictionaries(keys, values, max_size=6), st.sampled_from([0, 1, 2]))
@settings(max_examples=6 * settings.default.max_examples)
def test_reading_is_total_and_never_makes_a_payment_up(outer: dict[str, Any], code: int) -> None:
    document = {**outer, "code": code}
    result = read_cloud(orjson.dumps(document))
    assert result.code == code
    assert hash(result) == hash(read_cloud(orjson.dumps(document, option=orjson.OPT_SORT_KEYS)))
    reply = result.reply
    assert result.data is None or reply is None
    if reply is None:
        return
    assert isinstance(reply, Reply)
    data = document["data"]
    inner = data.get("response", data)
    if reply.approved:
        assert inner.get("responseCode", inner.get("code")) == 0
        assert type(inner["functionCode"]) is int
        assert inner["functionCode"] != 0


@given(st.binary(max_size=60) | st.builds(lambda at: SEEN[:at], st.integers(0, len(SEEN) - 1)))
@settings(max_examples=4 * settings.default.max_examples)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        result = read_cloud(data)
    except MalformedResponse:
        return
    assert type(orjson.loads(data)) is dict
    assert type(result.code) is int
