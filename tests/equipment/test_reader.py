"""What a listing may look like, and what each field of it means (docs/equipment.md)."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import time
import tracemalloc
from datetime import datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from getnet_pos.codec.terminals import MAX_DEVIATIONS, TEXTS, read_terminals
from getnet_pos.errors import ApiError, MalformedResponse
from getnet_pos.messages.terminals import CommercialMode, PaymentTerminal
from getnet_pos.simulator.equipment import listing, terminal
from tests.evidence import Count

DOCUMENTED = (
    b'{"merchant_id":"10000","equipments":{"item":[{"payment_terminal_sku":"302890",'
    b'"payment_terminal_serial_number":"903191104705571440","capture_method_code":"10","capture_method_des":"POS",'
    b'"communication_method_code":"000000004","communication_method_des":"WI FI",'
    b'"activation_datetime":"2010-03-29T13:57:42Z","payment_terminal_brand":"INGENICO",'
    b'"payment_terminal_model":"MOVE 5000 ESSENTIAL","commercial_mode":"ALUGUEL","warranty_available":true}]}}'
)
SERIAL = "payment_terminal_serial_number"


def body(*items: Any, **outer: Any) -> bytes:
    return orjson.dumps({"merchant_id": "1", "equipments": {"item": list(items)}, **outer})


def one(**fields: Any) -> PaymentTerminal:
    (found,) = read_terminals(body({SERIAL: "S1", **fields})).terminals
    return found


def test_documented_example_field_by_field() -> None:
    found = read_terminals(DOCUMENTED, strict=True)
    assert found.merchant_id == "10000"
    assert (found.deviations, found.deviation_count, found.extra) == ((), 0, {})
    assert len(found) == 1
    (pos,) = found
    assert pos.payment_terminal_sku == "302890"
    assert pos.payment_terminal_serial_number == "903191104705571440"
    assert pos.capture_method_code == "10"
    assert pos.capture_method_des == "POS"
    assert pos.communication_method_code == "000000004"
    assert pos.communication_method_des == "WI FI"
    assert pos.activation_datetime == datetime(2010, 3, 29, 13, 57, 42, tzinfo=timezone.utc)
    assert pos.activation_datetime.tzinfo is timezone.utc
    assert pos.payment_terminal_brand == "INGENICO"
    assert pos.payment_terminal_model == "MOVE 5000 ESSENTIAL"
    assert pos.commercial_mode is CommercialMode.ALUGUEL
    assert pos.warranty_available is True
    assert not pos.warranty_applies
    assert pos.extra == {}


def test_a_listing_is_frozen_comparable_picklable_and_becomes_a_dict() -> None:
    found = read_terminals(DOCUMENTED)
    assert found == read_terminals(DOCUMENTED)
    assert pickle.loads(pickle.dumps(found)) == found
    assert copy.deepcopy(found) == found
    assert hash(found.terminals[0]) == hash(read_terminals(DOCUMENTED).terminals[0])
    assert dataclasses.asdict(found)["terminals"][0]["payment_terminal_brand"] == "INGENICO"
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.terminals[0].commercial_mode = None  # type: ignore[misc]  # frozen: that is what is tested


# --------------------------------------------------------------------------------------------------------------- shape


@pytest.mark.parametrize(
    ("equipments", "count", "deviations"),
    [
        ({"item": []}, 0, []),
        ({"item": None}, 0, []),
        ({}, 0, []),
        (None, 0, []),
        ({"item": ""}, 0, ["item is an empty text, not a list"]),
        ("", 0, ["equipments is an empty text, not an object"]),
        ({"item": terminal(0)}, 1, ["item is one object, not a list"]),
        ({"item": [terminal(0)]}, 1, []),
    ],
)
def test_the_list_as_gateways_send_it(equipments: object, count: int, deviations: list[str]) -> None:
    text = orjson.dumps({"merchant_id": "1", "equipments": equipments})
    found = read_terminals(text)
    assert len(found) == count
    assert [str(item) for item in found.deviations] == deviations
    assert found.deviation_count == len(deviations)
    if deviations:
        with pytest.raises(MalformedResponse, match=deviations[0]):
            read_terminals(text, strict=True)
    else:
        assert read_terminals(text, strict=True) == found


def test_equipments_may_be_missing() -> None:
    assert read_terminals(b'{"merchant_id":"1"}').terminals == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"merchant_id":"1","equipments":[]}', "equipments is a list, not an object"),
        (b'{"merchant_id":"1","equipments":{"item":3}}', "item is a number, not a list"),
        (b'{"merchant_id":"1","equipments":{"item":[{},null]}}', "item 1 is null, not an object"),
        (b'{"merchant_id":"1","equipments":{"item":[["a"]]}}', "item 0 is a list, not an object"),
        (b'{"equipments":{}}', "merchant_id is missing, not a text: this is not a listing of terminals"),
        (b'{"merchant_id":true}', "merchant_id is true, not a text"),
        (b'{"error":{"code":"403"}}', "merchant_id is missing"),
    ],
)
def test_another_shape_is_refused(text: bytes, message: str) -> None:
    with pytest.raises(MalformedResponse) as caught:
        read_terminals(text)
    assert message in str(caught.value)


def test_unknown_fields_are_kept_where_they_were() -> None:
    item = {SERIAL: "S1", "firmware": "1.2", "place": {"state": "SP", "floors": [1, {"a": "}"}]}}
    text = orjson.dumps({"merchant_id": "1", "page": 1, "equipments": {"total": 1, "item": [item, {SERIAL: "S2"}]}})
    found = read_terminals(text, strict=True)
    assert found.extra == {"page": 1, "equipments": {"total": 1}}
    assert found.terminals[0].extra == {"firmware": "1.2", "place": {"state": "SP", "floors": [1, {"a": "}"}]}}
    assert found.terminals[1].extra == {}


def test_the_order_of_keys_and_the_white_space_do_not_matter() -> None:
    value = {"equipments": {"item": [dict(reversed(terminal(i).items())) for i in range(3)]}, "merchant_id": "7"}
    plain = read_terminals(orjson.dumps(listing("7", 3)))
    for spaced in (json.dumps(value), json.dumps(value, indent="\t"), "\r\n " + json.dumps(value, indent=2) + "\n"):
        assert read_terminals(spaced.encode()) == plain
    assert read_terminals(bytearray(orjson.dumps(value))) == plain


# -------------------------------------------------------------------------------------------------------------- fields


@pytest.mark.parametrize("name", [item.name for item in dataclasses.fields(PaymentTerminal) if item.name != "extra"])
def test_a_missing_or_null_field_is_none(name: str) -> None:
    item = terminal(4)
    del item[name]
    (missing,) = read_terminals(body(item))
    (null,) = read_terminals(body({**item, name: None}))
    assert missing == null
    assert getattr(missing, name) is None


def test_a_terminal_without_serial_number_is_a_deviation() -> None:
    found = read_terminals(body({}, {SERIAL: None}, {SERIAL: "S"}))
    assert [(item.item, item.field, item.reason) for item in found.deviations] == [
        (0, SERIAL, "is missing"),
        (1, SERIAL, "is missing"),
    ]


@pytest.mark.parametrize(("name", "longest"), TEXTS.items())
def test_documented_lengths(name: str, longest: int) -> None:
    fits = body({SERIAL: "S", name: "é" * longest})
    assert getattr(read_terminals(fits, strict=True).terminals[0], name) == "é" * longest
    longer = body({SERIAL: "S"}, {SERIAL: "S", name: "é" * (longest + 1)})
    found = read_terminals(longer)
    assert getattr(found.terminals[1], name) == "é" * (longest + 1)
    expected = f"{name} of item 1 has {longest + 1} characters, where {longest} are documented"
    assert [str(item) for item in found.deviations] == [expected]
    with pytest.raises(MalformedResponse) as caught:
        read_terminals(longer, strict=True)
    assert (str(caught.value), caught.value.item, caught.value.field) == (expected, 1, name)


def test_a_number_where_a_text_is_documented_is_read_and_reported() -> None:
    found = read_terminals(body({SERIAL: 903191104705571440, "capture_method_code": 10}, merchant_id=10000))
    assert found.merchant_id == "10000"
    assert found.terminals[0].payment_terminal_serial_number == "903191104705571440"
    assert found.terminals[0].capture_method_code == "10"
    assert [item.field for item in found.deviations] == [SERIAL, "capture_method_code", "merchant_id"]


@pytest.mark.parametrize("value", [1.5, True, [], {}])
@pytest.mark.parametrize("name", TEXTS)
def test_another_value_where_a_text_is_documented_is_refused(name: str, value: object) -> None:
    with pytest.raises(MalformedResponse, match=rf"{name} of item 0 is .*, not a text"):
        read_terminals(body({name: value}))


@pytest.mark.parametrize("value", ["true", "", 1, 0, [], {}])
def test_the_warranty_is_true_or_false(value: object) -> None:
    with pytest.raises(MalformedResponse, match=r"warranty_available of item 0 is .*, not true or false"):
        read_terminals(body({"warranty_available": value}))


@pytest.mark.parametrize("mode", CommercialMode)
@pytest.mark.parametrize("available", [True, False, None])
def test_the_warranty_is_kept_as_sent_and_applies_to_a_sold_terminal(
    mode: CommercialMode, available: bool | None
) -> None:
    pos = one(commercial_mode=mode.value, warranty_available=available)
    assert (pos.commercial_mode, pos.warranty_available) == (mode, available)
    assert pos.warranty_applies is (mode is CommercialMode.VENDA and available is True)


@pytest.mark.parametrize(
    "value", ["COMODATO", "aluguel", " VENDA", "", 7, True, ["VENDA"], {}, "\u202e\x00" + "X" * 500]
)
def test_an_unknown_commercial_mode_is_named_with_its_place(value: object) -> None:
    with pytest.raises(MalformedResponse) as caught:
        read_terminals(body(terminal(0), terminal(1), {SERIAL: "S", "commercial_mode": value}))
    error = caught.value
    assert isinstance(error, ApiError)
    assert (error.item, error.field) == (2, "commercial_mode")
    assert str(error).startswith("commercial_mode of item 2 is ")
    assert str(error).endswith(", not ALUGUEL, VENDA or TAXA_AD")
    assert str(error).isprintable()
    assert len(str(error)) < 400


def test_deviations_are_bounded_and_counted() -> None:
    found = read_terminals(body(*({SERIAL: "S" * 19} for _ in range(MAX_DEVIATIONS + 20))))
    assert len(found.deviations) == MAX_DEVIATIONS
    assert found.deviation_count == MAX_DEVIATIONS + 20


# ----------------------------------------------------------------------------------------------------------- date-time

UTC = timezone.utc
MINUS_3 = timezone(timedelta(hours=-3))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2010-03-29T13:57:42Z", datetime(2010, 3, 29, 13, 57, 42, tzinfo=UTC)),
        ("2010-03-29t13:57:42z", datetime(2010, 3, 29, 13, 57, 42, tzinfo=UTC)),
        ("2010-03-29T13:57:42+00:00", datetime(2010, 3, 29, 13, 57, 42, tzinfo=UTC)),
        ("2010-03-29T13:57:42-00:00", datetime(2010, 3, 29, 13, 57, 42, tzinfo=UTC)),
        ("2010-03-29T13:57:42-03:00", datetime(2010, 3, 29, 13, 57, 42, tzinfo=MINUS_3)),
        (
            "2010-03-29T13:57:42+23:59",
            datetime(2010, 3, 29, 13, 57, 42, tzinfo=timezone(timedelta(hours=23, minutes=59))),
        ),
        ("2010-03-29T13:57:42.5Z", datetime(2010, 3, 29, 13, 57, 42, 500_000, tzinfo=UTC)),
        ("2010-03-29T13:57:42.000001Z", datetime(2010, 3, 29, 13, 57, 42, 1, tzinfo=UTC)),
        ("2010-03-29T13:57:42.123456000-03:00", datetime(2010, 3, 29, 13, 57, 42, 123_456, tzinfo=MINUS_3)),
        ("2024-02-29T00:00:00Z", datetime(2024, 2, 29, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59.999999Z", datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
    ],
)
def test_date_times(text: str, expected: datetime) -> None:
    found = one(activation_datetime=text).activation_datetime
    assert found == expected
    assert found is not None
    assert found.utcoffset() == expected.utcoffset()


def test_what_is_finer_than_a_microsecond_is_cut_and_reported() -> None:
    text = body({SERIAL: "S", "activation_datetime": "2010-03-29T13:57:42.123456789Z"})
    found = read_terminals(text)
    assert found.terminals[0].activation_datetime == datetime(2010, 3, 29, 13, 57, 42, 123_456, tzinfo=UTC)
    assert str(found.deviations[0]) == "activation_datetime of item 0 is finer than a microsecond"
    with pytest.raises(MalformedResponse, match="finer than a microsecond"):
        read_terminals(text, strict=True)


@pytest.mark.parametrize(
    "value",
    [
        "", "2010-03-29", "2010-03-29T13:57:42", "2010-03-29 13:57:42Z", "20100329T135742Z", "2010-W13-1T13:57:42Z",
        "2010-03-29T13:57Z", "2010-03-29T13:57:42,5Z", "2010-03-29T13:57:42.Z", "2010-03-29T13:57:42.1234567890Z",
        "2010-03-29T13:57:42+0300", "2010-03-29T13:57:42+03", "2010-03-29T13:57:42+24:00", "2010-03-29T13:57:42+03:60",
        "2010-03-29T24:00:00Z", "2010-03-29T13:60:42Z", "2010-03-29T13:57:60Z", "0000-01-01T00:00:00Z",
        "2023-02-29T00:00:00Z", "2010-13-01T00:00:00Z", "2010-00-10T00:00:00Z", "2010-04-31T00:00:00Z",
        "2010-03-29T13:57:42Z\n", " 2010-03-29T13:57:42Z", "٢٠١٠-03-29T13:57:42Z", "2010-03-29T13:57:42+03:00:00",
        1269871062, True, [], {},
    ],
)  # fmt: skip
def test_any_other_date_time_is_refused_with_its_place(value: object) -> None:
    with pytest.raises(MalformedResponse) as caught:
        read_terminals(body({SERIAL: "S"}, {SERIAL: "S", "activation_datetime": value}))
    assert (caught.value.item, caught.value.field) == (1, "activation_datetime")
    assert str(caught.value).startswith("activation_datetime of item 1 is ")


@given(st.datetimes(timezones=st.sampled_from([UTC, MINUS_3])))
def test_every_date_time_is_read_back(moment: datetime) -> None:
    assert one(activation_datetime=moment.isoformat()).activation_datetime == moment


# --------------------------------------------------------------------------------------------------------- input rules


def test_a_body_cut_at_any_byte_is_refused() -> None:
    text = orjson.dumps({"merchant_id": "1", "equipments": {"item": [terminal(0), {"a": [1, {"é": '"'}]}]}, "b": -1.5})
    read_terminals(text)
    for end in range(len(text)):
        with pytest.raises(MalformedResponse):
            read_terminals(text[:end])


def test_a_body_with_any_byte_replaced_is_read_or_refused() -> None:
    text = body({SERIAL: "S1", "a": [1, "x"]}, {SERIAL: "S2"})
    for at in range(len(text)):
        for byte in b'\x00\x80\xff"\\{}[],:0a ':
            try:
                found = read_terminals(text[:at] + bytes([byte]) + text[at + 1 :])
            except MalformedResponse:
                continue
            assert len(found) <= 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "the body ends too early"),
        (b"  \n", "the body ends too early"),
        (b"\xef\xbb\xbf" + DOCUMENTED, "byte order mark"),
        (b"[]", "not a JSON object"),
        (b"<html>", "not a JSON object"),
        (DOCUMENTED + b"x", "something after"),
        (DOCUMENTED + DOCUMENTED, "something after"),
        (b'{"merchant_id":"1","merchant_id":"2"}', "the same key twice, in merchant_id"),
        (b'{"merchant_id":"1","merchant\\u005fid":"2"}', "the same key twice"),
        (b'{"merchant_id":"1","equipments":{"item":[],"item":[]}}', "the same key twice, in item"),
        (b'{"merchant_id":"1","equipments":{"item":[{},{"a":1,"a":2}]}}', "the same key twice, in item 1"),
        (b'{"merchant_id":"1","equipments":{"item":[{"a":1,"\\u0061":2}]}}', "the same key twice, in item 0"),
        (b'{"merchant_id":"1","equipments":{"item":[{"a":{"b":1,"b" :2}}]}}', "the same key twice, in item 0"),
        (b'{"merchant_id":"1","a":18446744073709551616}', "64 bits, in a"),
        (b'{"merchant_id":"1","a":-9223372036854775809}', "64 bits"),
        (b'{"merchant_id":"1","a":NaN}', "not JSON"),
        (b'{"merchant_id":"1","a":Infinity}', "not JSON"),
        (b'{"merchant_id":"1","a":01}', "not JSON"),
        (b'{"merchant_id":"1","a":}', "not JSON"),
        (b'{"merchant_id":"1",}', "not JSON"),
        (b'{"merchant_id" "1"}', "not JSON"),
        (b'{"merchant_id":"1" "a":1}', "not JSON"),
        (b"{'merchant_id':1}", "not JSON"),
        (b'{"merchant_id":"\xff"}', "not UTF-8"),
        (b'{"merchant_id":"\xc0\x80"}', "not UTF-8"),
        (b'{"merchant_id":"\xed\xa0\x80"}', "not UTF-8"),
        (b'{"merchant_id":"\\ud800"}', "not JSON"),
        (b'{"merchant_id":"a\nb"}', "not JSON"),
        (b'{"merchant_id":"1","equipments":{"item":[{"a":"\xe9"}]}}', "not UTF-8, in item 0"),
        (b'{"merchant_id":"1","equipments":{"item":[{},]}}', "item 1 is"),
        (b'{"merchant_id":"1","equipments":{"item":[{} {}]}}', "not JSON"),
        (b'{"merchant_id":"1","equipments":{"item":[{}}}', "not JSON"),
        ('{"merchant_id":"1"}'.encode("utf-16"), "not a JSON object"),
    ],
)
def test_input_rules(text: bytes, message: str) -> None:
    with pytest.raises(MalformedResponse) as caught:
        read_terminals(text)
    assert message in str(caught.value) or (message == "item 1 is" and "not JSON" in str(caught.value))


@pytest.mark.parametrize(("opens", "closes"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_nesting_is_counted_from_the_outermost_object(opens: bytes, closes: bytes) -> None:
    def outside(depth: int) -> bytes:
        return b'{"merchant_id":"1","a":' + opens * (depth - 1) + b"1" + closes * (depth - 1) + b"}"

    def inside(depth: int) -> bytes:
        nested = opens * (depth - 4) + b"1" + closes * (depth - 4)
        return b'{"merchant_id":"1","equipments":{"item":[{"' + SERIAL.encode() + b'":"S","a":' + nested + b"}]}}"

    for text in (outside, inside):
        read_terminals(text(32))
        with pytest.raises(MalformedResponse, match="nested too deeply"):
            read_terminals(text(33))
        with pytest.raises(MalformedResponse, match="nested too deeply"):
            read_terminals(text(100_000))


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**64 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=10,
    ),
    st.booleans(),
)
def test_any_extra_value_is_kept_exactly(value: Any, ascii_only: bool) -> None:
    item = {SERIAL: "S", "x": value}
    text = json.dumps({"merchant_id": "1", "equipments": {"item": [item, item]}, "x": value}, ensure_ascii=ascii_only)
    try:
        raw = text.encode()
    except UnicodeEncodeError:
        return
    if "\\ud" in text and not _is_unicode(value):
        return
    found = read_terminals(raw)
    assert found.extra == {"x": value}
    assert [pos.extra for pos in found] == [{"x": value}] * 2


def _is_unicode(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


# ------------------------------------------------------------------------------------------------------ time and memory


def test_many_terminals_within_the_stated_memory(count: Count) -> None:
    number = count(short=20_000, evidence=100_000, long=100_000)
    text = orjson.dumps(listing("1", number))
    tracemalloc.start()
    try:
        found = read_terminals(text, strict=True)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found) == number
    assert found.terminals[-1].payment_terminal_serial_number == str(903_191_104_705_571_440 + number - 1)
    assert kept < 400 * number
    assert peak < 400 * number + 2**20


def test_repeating_texts_are_kept_once() -> None:
    first, second = read_terminals(body(terminal(1), terminal(1 + 60)))
    assert first.payment_terminal_model is second.payment_terminal_model
    assert first.capture_method_des is second.capture_method_des


@pytest.mark.parametrize(
    "inner",
    [b"\\\\", b'\\"', b"}", b"[", b"x", b"\\u00e9"],
)
def test_time_is_linear_in_the_length(inner: bytes) -> None:
    def seconds(size: int) -> float:
        text = b'{"merchant_id":"1","equipments":{"item":[{"a":"' + inner * size + b'"}]}}'
        best = 1e9
        for _ in range(3):
            start = time.perf_counter()
            read_terminals(text)
            best = min(best, time.perf_counter() - start)
        return best

    assert seconds(200_000) < 40 * seconds(20_000) + 0.05
