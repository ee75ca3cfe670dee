"""What each command may hold, and what it looks like on the wire."""

from __future__ import annotations

import dataclasses
import json
import pickle
from typing import Any

import pytest

from getnet_pos import (
    CATALOGUE,
    BiometricCheck,
    CancelSale,
    CloseBatch,
    Command,
    DetailsReport,
    Duplicate,
    GenericCommand,
    GetTransaction,
    InvalidType,
    InvalidValue,
    LastVoucher,
    MainPosData,
    MultiCommerceRefund,
    MultiCommerceSale,
    MultiCommerceVoid,
    OriginalData,
    ParametersReport,
    Poll,
    PreAuthorization,
    PreAuthorizationCompletion,
    PreAuthorizationRelease,
    PrintDocument,
    Refund,
    Sale,
    SalePromotion,
    SalesBySellerReport,
    SaleType,
    SetDefaultSaleType,
    SetNormalMode,
    SetUnattended,
    Shift,
    ShiftReport,
    SimReport,
    TipsReport,
    TotalsReport,
    Void,
)
from getnet_pos.messages.declaring import stamped

RUT = "12345678-5"
ORIGINAL = OriginalData("0210", "000001", "120000", "0101")
PRINT = {"PrintOnPos": False}

WIRE: list[tuple[Command, int, dict[str, Any]]] = [
    (
        Sale(1_000, "A1"),
        100,
        {"Amount": 1_000, "TicketNumber": "A1", **PRINT, "SaleType": 0, "SendMessage": False, "EmployeeId": 1},
    ),
    (Sale(5, None, True, 3, True, None), 100, {"Amount": 5, "PrintOnPos": True, "SaleType": 3, "SendMessage": True}),
    (LastVoucher(), 101, PRINT),
    (Void(12, True), 102, {"OperationId": 12, "PrintOnPos": True}),
    (CloseBatch(), 103, PRINT),
    (TotalsReport(True), 104, {"PrintOnPos": True}),
    (DetailsReport(), 105, PRINT),
    (Poll(), 106, {}),
    (SetNormalMode(), 107, {}),
    (Refund("123456", 500), 108, {"AuthorizationCode": "123456", "Amount": 500, **PRINT}),
    (Duplicate(12), 109, {"OperationId": 12, **PRINT}),
    (SalesBySellerReport(7), 110, {"EmployeeId": 7, **PRINT}),
    (TipsReport(), 111, {"EmployeeId": 1, **PRINT}),
    (SetDefaultSaleType(SaleType.SALE_EXEMPTED), 113, {"SaleType": 3}),
    (ParametersReport(), 114, PRINT),
    (SimReport(), 115, PRINT),
    (CancelSale(), 116, {}),
    (
        MultiCommerceSale(1_000, RUT, allowed_cards=["40000012"], commerce_data={"LegalName": "x"}),
        120,
        {
            "Amount": 1_000, "RutCommerceSon": RUT, **PRINT, "SaleType": 0, "SendMessage": False,
            "RestrictedCards": None,
            "AllowedCards": ["40000012"], "CommerceData": {"LegalName": "x"}, "CommerceParams": None,
            "PlaceCardToPayTimeout": 20, "PaymentResultTimeout": 3,
        },
    ),
    (
        MultiCommerceVoid(1_000, 12, RUT, "000000000012", ORIGINAL),
        122,
        {
            "Amount": 1_000, "OperationId": 12, "RutCommerceSon": RUT, "HostRRN": "000000000012",
            "OriginalData": {"Mti": "0210", "DE11": "000001", "DE12": "120000", "DE13": "0101"}, **PRINT, "SaleType": 0,
            "CommerceData": None, "PlaceCardToPayTimeout": 20, "PaymentResultTimeout": 3,
        },
    ),
    (
        MultiCommerceRefund(1_000, "123456", RUT),
        123,
        {
            "Amount": 1_000, "AuthorizationCode": "123456", "RutCommerceSon": RUT, **PRINT, "CommerceData": None,
            "PlaceCardToPayTimeout": 20, "PaymentResultTimeout": 3,
        },
    ),
    (MainPosData(), 124, {}),
    (
        PreAuthorization(1_000, "H1"),
        130,
        {"Amount": 1_000, "TicketNumber": "H1", **PRINT, "SendMessage": False, "EmployeeId": 1},
    ),
    (PreAuthorizationCompletion("123456", 900), 131, {"AuthorizationCode": "123456", "Amount": 900, **PRINT}),
    (PreAuthorizationRelease("123456"), 132, {"AuthorizationCode": "123456", **PRINT}),
    (GetTransaction(7), 99, {"IdPosTxs": 7}),
    (
        PrintDocument(["x"]),
        117,
        {"Details": [{"printSeq": 1, "type": "text", "encode": "", "data": "x", "align": "left"}]},
    ),
    (BiometricCheck(RUT, 1), 121, {"RutToValidate": RUT, "AuthType": 1}),
    (
        SalePromotion(5, id_promo="P"),
        126,
        {"Amount": 5, **PRINT, "SaleType": 0, "SendMessage": False, "EmployeeId": 1, "IdPromo": "P"},
    ),
    (SetUnattended(True), 129, {"C2cMode": True}),
    (Shift(0, 1), 135, {"ShiftOperation": 0, "NumberOfShift": 1, **PRINT}),
    (ShiftReport(), 136, PRINT),
    (GenericCommand({"Anything": [1]}, code=200), 200, {"Anything": [1]}),
]  # fmt: skip


def inner(backend: Any, command: Command) -> dict[str, Any]:
    """The signed text of a command, parsed, in the order of the wire."""
    frame = json.loads(backend.seal(command))
    assert frame["Sign"] == backend.signature(frame["JsonSerialized"])
    fields: dict[str, Any] = json.loads(frame["JsonSerialized"])
    return fields


@pytest.mark.parametrize(("command", "code", "fields"), WIRE, ids=lambda value: type(value).__name__)
def test_the_wire_form(backend: Any, command: Command, code: int, fields: dict[str, Any]) -> None:
    assert list(inner(backend, command).items()) == [("Command", code), *fields.items()]
    sent = inner(backend, stamped(command, "2024-01-01T00:00:00.000Z"))
    assert list(sent.items()) == [("Command", code), *fields.items(), ("DateTime", "2024-01-01T00:00:00.000Z")]


def test_every_command_is_here() -> None:
    kinds = {code: kind for command, code, _ in WIRE if (kind := type(command)) is not GenericCommand}
    assert kinds == CATALOGUE.kinds


def test_a_time_of_its_own_stays() -> None:
    assert stamped(Poll(date_time="then"), "now").date_time == "then"
    assert stamped(GenericCommand({"a": 1}, code=7, moves_money=False), "now") == GenericCommand(
        {"a": 1}, code=7, moves_money=False
    )


@pytest.mark.parametrize("command", [command for command, _, _ in WIRE], ids=lambda value: type(value).__name__)
def test_frozen_picklable_and_compared_without_the_time(command: Command) -> None:
    assert pickle.loads(pickle.dumps(command)) == command
    later = dataclasses.replace(command, date_time="2030-01-01T00:00:00.000Z")
    assert later == command
    with pytest.raises(dataclasses.FrozenInstanceError):
        command.date_time = "x"  # type: ignore[misc]  # frozen: that is what is tested
    assert not hasattr(command, "__dict__")


def test_which_commands_move_money() -> None:
    moving = {code for code, kind in CATALOGUE.kinds.items() if kind.moves_money}
    assert moving == {100, 102, 108, 120, 122, 123, 126, 130, 131, 132}
    assert GenericCommand(code=200).moves_money
    assert not GenericCommand(code=200, moves_money=False).moves_money


def test_a_command_of_any_code() -> None:
    assert GenericCommand(code=140).code == 140
    for wrong in (0, 1_000, -1):
        with pytest.raises(InvalidValue, match="code must be from 1 to 999"):
            GenericCommand(code=wrong)
    with pytest.raises(InvalidType, match="code must be an int"):
        GenericCommand(code="106")  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(InvalidType, match="moves_money must be True or False"):
        GenericCommand(code=106, moves_money=0)  # type: ignore[arg-type]  # wrong on purpose


LIMITS: list[tuple[str, Any, list[Any], list[Any]]] = [
    ("amount", lambda value: Sale(value), [1, 999_999_999], [0, -1, 1_000_000_000, 1.0, True, "1", None]),
    ("ticket", lambda value: Sale(1, value), ["A", "x" * 24, None, "ñ"], ["", "x" * 25, 5, "a\0", "a\x1b[0m",
     "\ud800"]),
    ("employee_id", lambda value: Sale(1, employee_id=value), [1, 9_999, None], [0, 10_000, "1", True, 1.0]),
    ("sale_type", lambda value: Sale(1, sale_type=value), [0, 6, 99, SaleType.INVOICE_AFFECTS], [-1, 100, "0", None]),
    ("print_on_pos", lambda value: Sale(1, print_on_pos=value), [True, False], [0, 1, None, "true"]),
    ("send_message", lambda value: Sale(1, send_message=value), [True, False], [1, None]),
    ("operation_id", lambda value: Void(value), [1, 99_999_999], [0, 100_000_000, "1", True, 10**40]),
    ("authorization_code", lambda value: Refund(value, 1), ["1234", "x" * 20], ["123", "x" * 21, 123456, "12\n45"]),
    ("employee_id", lambda value: TipsReport(value), [1, 9_999], [0, 10_000]),
    ("rut_commerce_son", lambda value: MultiCommerceSale(1, value), [RUT], ["12345678-4", "", 5]),
    ("allowed_cards", lambda value: MultiCommerceSale(1, RUT, allowed_cards=value), [["12345678"], ()],
     [["1234567"], ["123456789"], ["1234567x"], ["١٢٣٤٥٦٧٨"], [12345678]]),
    ("restricted_cards", lambda value: MultiCommerceSale(1, RUT, restricted_cards=value), [None, ["12345678"]],
     [["x"]]),
    ("commerce_data", lambda value: MultiCommerceSale(1, RUT, commerce_data=value), [None, {}], [[], "x"]),
    ("commerce_params", lambda value: MultiCommerceSale(1, RUT, commerce_params=value), [None, {"a": 1}], [1]),
    ("place_card_to_pay_timeout", lambda value: MultiCommerceSale(1, RUT, place_card_to_pay_timeout=value), [1, 600],
     [0, 601, 1.5]),
    ("payment_result_timeout", lambda value: MultiCommerceRefund(1, "123456", RUT, payment_result_timeout=value), [1],
     [0, None]),
    ("host_rrn", lambda value: MultiCommerceVoid(1, 1, RUT, value, ORIGINAL), ["1", "x" * 24], ["", "x" * 25, 5]),
    ("mti", lambda value: OriginalData(value, "1", "1", "1"), ["0210"], ["", "x" * 13, 210]),
    ("fields", lambda value: GenericCommand(value, code=200), [{}, {"a": None}], [[], "x"]),
]  # fmt: skip


@pytest.mark.parametrize(("field", "make", "right", "wrong"), LIMITS, ids=[item[0] for item in LIMITS])
def test_the_limits_of_each_field(field: str, make: Any, right: list[Any], wrong: list[Any]) -> None:
    for value in right:
        make(value)
    for value in wrong:
        with pytest.raises(InvalidValue, match=field):
            make(value)


@pytest.mark.parametrize(
    "rut", ["11111111-1", "12345678-5", "12.345.678-5", "7.654.321-6", "6-K", "20347878-k", "1-9", "76000000-0"]
)
def test_a_rut_has_its_check_digit(rut: str) -> None:
    assert MultiCommerceSale(1, rut).rut_commerce_son == rut


@pytest.mark.parametrize("rut", ["12345678-6", "11111111-K", "6-0", "76000000-K"])
def test_a_rut_with_a_typing_error(rut: str) -> None:
    with pytest.raises(InvalidValue, match="wrong check digit"):
        MultiCommerceSale(1, rut)


@pytest.mark.parametrize(
    "rut", ["123456785", "-5", "123456789-1", "1234x678-5", "12345678-", "12345678-55", "\uff11-9"]
)
def test_what_is_no_rut(rut: str) -> None:
    with pytest.raises(InvalidValue, match="rut_commerce_son must"):
        MultiCommerceSale(1, rut)


def test_what_json_cannot_hold_is_refused_when_it_is_sent(backend: Any) -> None:
    with pytest.raises(InvalidValue, match="cannot be written as JSON"):
        backend.seal(GenericCommand({"x": object()}, code=200))


def test_own_fields_may_name_the_time_themselves(backend: Any) -> None:
    sent = inner(backend, GenericCommand({"DateTime": "07-03-2024 12:00:00"}, code=200))
    assert sent == {"Command": 200, "DateTime": "07-03-2024 12:00:00"}
