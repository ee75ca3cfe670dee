"""What is written: sealed commands, simplified commands, checksums."""

from __future__ import annotations

import dataclasses
import json
import random
from dataclasses import MISSING
from functools import reduce
from typing import Any

import pytest

from getnet_pos.errors import GetnetError, InvalidValue, UnsupportedOperation
from getnet_pos.messages import (
    CATALOGUE,
    CloseBatch,
    Command,
    CommandMessage,
    DetailsReport,
    Duplicate,
    GenericCommand,
    MultiCommerceRefund,
    MultiCommerceSale,
    MultiCommerceVoid,
    OriginalData,
    Poll,
    PreAuthorizationCompletion,
    PreAuthorizationRelease,
    Refund,
    Sale,
    SaleType,
    SetDefaultSaleType,
    Void,
)
from tests import samples

THEN = "2024-01-01T00:00:00.000Z"
RUT = "11111111-1"
ORIGINAL = OriginalData("0210", "31", "224022", "0611")


def can_be_made_bare(kind: Any) -> bool:
    return all(item.default is not MISSING for item in dataclasses.fields(kind))


COMMANDS = [
    Sale(1000, "A1", date_time=THEN),
    Sale(1, None, employee_id=None),
    Sale(999_999_999, "ñ 😀", True, SaleType.INVOICE_EXEMPTED, True, 9999),
    Sale(5, 'quote " and \\ and /', sale_type=42),
    Sale(5, "a" * 24),
    Sale(5, "|"),
    Void(31),
    Duplicate(31, True),
    Refund("123456", 500),
    Refund("ñññññ", 500, True),
    SetDefaultSaleType(SaleType.SALE),
    MultiCommerceSale(500, RUT),
    MultiCommerceSale(500, RUT, allowed_cards=["41111111"], commerce_data={"LegalName": "Ñ"}, restricted_cards=()),
    MultiCommerceVoid(500, 31, RUT, "RRN1", ORIGINAL),
    MultiCommerceRefund(500, "123456", RUT),
    PreAuthorizationCompletion("123456", 500),
    PreAuthorizationRelease("123456"),
    GenericCommand(code=135, fields={"ShiftOperation": 0, "List": [1, {"a": None}]}),
    GenericCommand(code=135, fields={"DateTime": "mine"}),
    *(kind(date_time=THEN) for kind in CATALOGUE.kinds.values() if not kind.moves_money and can_be_made_bare(kind)),
]


class MySale(Sale):
    """A subclass without fields of its own."""


@pytest.mark.parametrize("command", [*COMMANDS, MySale(5)], ids=lambda command: type(command).__name__)
def test_a_sealed_command(backend: Any, pure: Any, command: Command) -> None:
    frame = backend.seal(command)
    outer = json.loads(frame)
    assert outer["Sign"] == samples.sign(outer["JsonSerialized"])
    assert frame == samples.signed(outer["JsonSerialized"])
    assert frame == pure.seal(command)
    (read,) = backend.Decoder().feed(frame)
    assert isinstance(read, CommandMessage)
    assert read.code == command.code


def test_the_vectors_of_the_protocol(backend: Any) -> None:
    assert backend.seal(Poll(date_time=THEN)) == (
        rb'{"JsonSerialized":"{\"Command\":106,\"DateTime\":\"2024-01-01T00:00:00.000Z\"}",'
        b'"Sign":"E7A50A196AE560EF953168A47DD2210BDB5BF981782A8A93C72EF4A8D84E1FDA"}'
    )
    assert backend.seal(Sale(1000, "A1", date_time=THEN)).endswith(
        b'"Sign":"80351856D6D8BE4CB849E3BACDACB04C0BAA80697A5392DD19939545BD910243"}'
    )
    assert backend.frame_simplified("103|") == bytes.fromhex("02 31 30 33 7C 03 4D")
    assert backend.encode_simplified(CloseBatch()) == bytes.fromhex("02 31 30 33 7C 03 4D")
    assert backend.encode_simplified(Void(12, True)) == bytes.fromhex("02 3130327C31327C547275657C 03 79")
    assert backend.encode_simplified(Sale(15000, "A1", True, 1)) == b"\x02100|15000|A1|true|1|1|\x03\x60"


@pytest.mark.parametrize(
    "command", [*COMMANDS, DetailsReport(), CloseBatch()], ids=lambda command: type(command).__name__
)
def test_a_simplified_command(backend: Any, pure: Any, command: Command) -> None:
    try:
        expected = pure.encode_simplified(command)
    except GetnetError as error:
        with pytest.raises(type(error), match=str(error).replace("|", r"\|").replace("(", r"\(")):
            backend.encode_simplified(command)
    else:
        assert backend.encode_simplified(command) == expected


def test_what_the_simplified_wire_cannot_say(backend: Any) -> None:
    with pytest.raises(UnsupportedOperation):
        backend.encode_simplified(Poll())
    with pytest.raises(InvalidValue):
        backend.encode_simplified(Sale(1, "a|b"))


@pytest.mark.parametrize("text", ["", "a", "\n\t\0\x1f", '"\\/', "é😀\u2028", "x" * 5000, '{"a":"\\""}'])
def test_an_envelope_around_any_text(backend: Any, pure: Any, text: str) -> None:
    assert backend.envelope(text) == pure.envelope(text)
    assert json.loads(backend.envelope(text)) == {"JsonSerialized": text, "Sign": samples.sign(text)}


def test_half_a_letter_has_no_signature(backend: Any) -> None:
    for write in (backend.signature, backend.envelope, backend.frame_simplified):
        with pytest.raises((UnicodeEncodeError, TypeError)):
            write("\ud800")


def test_the_checksum_is_the_xor_of_all_bytes(backend: Any) -> None:
    chance = random.Random(1)
    for size in [*range(70), 1000]:
        data = chance.randbytes(size)
        assert backend.lrc(data) == backend.lrc(bytearray(data)) == reduce(lambda a, b: a ^ b, data, 0)
    assert backend.lrc(memoryview(b"abcd")[::2]) == ord("a") ^ ord("c")
