"""What slightly different firmware may send: other spellings of a value, other bytes for a letter. Read alike by both.

Nothing here is guessed: what is not understood stays unset, and what was damaged on its way is refused.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import pytest

from getnet_pos.messages import (
    Ack,
    BadFrame,
    CloseBatchReply,
    CommandMessage,
    FrameFault,
    GenericReply,
    PollReply,
    Progress,
    ProgressCode,
    RefundReply,
    SaleReply,
    SaleType,
    VoidReply,
)
from tests import samples


def one(backend: Any, data: bytes) -> Any:
    (message,) = backend.Decoder().feed(data)
    return message


def reply(backend: Any, fields: str, code: int = 100) -> Any:
    return one(backend, samples.signed(f'{{"FunctionCode":{code},"ResponseCode":0,{fields}}}'))


# -------------------------------------------------------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    "value",
    ["25000", "25000.0", "2.5e4", '"25000"', '"  25000 "', '"25000.00"', '"25000."', '"+25000"', '"000000025000"'],
)
def test_a_whole_number_in_any_spelling(backend: Any, value: str) -> None:
    assert reply(backend, f'"Amount":{value}') == SaleReply(function_code=100, response_code=0, amount=25000)


@pytest.mark.parametrize(
    "value",
    [
        "1.5", '"1.5"', '""', '" "', "true", "false", "[]", "{}", '"x"', '"25 000"', '"25,000"', '"2.5e4"', '"0x10"',
        '"1_000"', '"\\uff11"', '"--1"', '"18446744073709551616"', "1e19",
    ],
)  # fmt: skip
def test_what_is_no_whole_number_is_kept_and_not_guessed(backend: Any, value: str) -> None:
    found = reply(backend, f'"Amount":{value}')
    assert found == SaleReply(function_code=100, response_code=0, extra={"Amount": json.loads(value)})


def test_numbers_as_text_have_64_bits_too(backend: Any) -> None:
    found = reply(backend, '"Amount":"18446744073709551615","Tip":"-9223372036854775808","Cashback":9007199254740992.0')
    assert (found.amount, found.tip, found.cashback) == (2**64 - 1, -(2**63), 2**53)


@pytest.mark.parametrize("codes", ['"100","ResponseCode":"00"', '100.0,"ResponseCode":0.0', '"100","ResponseCode":"0"'])
def test_the_codes_of_a_reply(backend: Any, codes: str) -> None:
    found = one(backend, samples.signed(f'{{"FunctionCode":{codes},"OperationId":"1","SaleType":"2"}}'))
    expected = SaleReply(function_code=100, response_code=0, operation_id=1, sale_type=SaleType(2))
    assert found == expected
    assert found.approved
    assert type(found.sale_type) is SaleType


@pytest.mark.parametrize("code", ['""', '"x"', "1.5", "true", "{}"])
def test_a_response_code_that_is_no_number_is_no_reply(backend: Any, code: str) -> None:
    bad = one(backend, samples.signed(f'{{"FunctionCode":100,"ResponseCode":{code}}}'))
    assert (bad.fault, bad.sealed) == (FrameFault.MALFORMED, True)


def test_the_codes_of_progress_and_commands(backend: Any) -> None:
    progress = one(backend, samples.signed('{"FunctionCode":"112","MessageCode":"81","MessageText":"PIN"}'))
    assert progress == Progress(ProgressCode.PIN_ENTRY, "PIN")
    assert type(progress.code) is ProgressCode
    assert one(backend, samples.signed('{"Command":"106","X":"1"}')) == CommandMessage(106, {"X": "1"})


# ------------------------------------------------------------------------------------------------------------- booleans


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        ('"true"', True), ('"True"', True), ('" TRUE "', True), ("1", True), ('"1"', True), ("1.0", True),
        ('"false"', False), ('"False"', False), ("0", False), ('"0"', False), ('"00"', False),
    ],
)  # fmt: skip
def test_a_boolean_in_any_spelling(backend: Any, value: str, meaning: bool) -> None:
    assert reply(backend, f'"Success":{value}', 102) == VoidReply(function_code=102, response_code=0, success=meaning)
    assert reply(backend, f'"Connected":{value}', 106).connected is meaning
    assert one(backend, b'{"Received":%b}' % value.encode()) == Ack(meaning)


@pytest.mark.parametrize("value", ['"si"', '""', "2", "-1", '"2"', "0.5", "[]", "{}", '"t"'])
def test_what_is_no_boolean_stays_unset(backend: Any, value: str) -> None:
    found = reply(backend, f'"Success":{value}', 102)
    assert found == VoidReply(function_code=102, response_code=0, extra={"Success": json.loads(value)})


# ----------------------------------------------------------------------------------------------------------------- keys


@pytest.mark.parametrize(
    "fields", ['"Amount":5,"amount":5', '"amount":"5","Amount":5.0', '"Amount":null,"amount":null']
)
def test_a_field_in_two_spellings_of_one_value(backend: Any, fields: str) -> None:
    assert reply(backend, fields).extra == {}


@pytest.mark.parametrize(
    "fields", ['"Amount":5,"amount":6', '"Amount":5,"amount":null', '"Amount":5,"amount":"x"', '"responseCode":1']
)
def test_a_field_in_two_spellings_of_two_values_is_refused(backend: Any, fields: str) -> None:
    bad = reply(backend, fields)
    assert (bad.fault, bad.sealed) == (FrameFault.MALFORMED, True)
    assert "appears twice, with different values" in bad.reason


@pytest.mark.parametrize("key", ["ErrorMessage", "errorMessage"])
def test_an_error_message_stands_in_for_the_response_message(backend: Any, key: str) -> None:
    text = f'{{"FunctionCode":0,"ResponseCode":1005,"{key}":"Sin papel"}}'
    expected = GenericReply(function_code=0, response_code=1005, response_message="Sin papel")
    assert one(backend, samples.signed(text)) == expected
    assert reply(backend, f'"{key}":"x","ResponseMessage":null') == reply(backend, '"ResponseMessage":"x"')
    assert reply(backend, f'"ResponseMessage":"x","{key}":null') == reply(backend, '"ResponseMessage":"x"')
    assert reply(backend, f'"{key}":{{}}').extra == {key: {}}


@pytest.mark.parametrize(
    "fields", ['"ResponseMessage":"x","ErrorMessage":"y"', '"ErrorMessage":"y","ResponseMessage":"x"']
)
def test_an_error_message_beside_a_response_message_is_kept(backend: Any, fields: str) -> None:
    found = reply(backend, fields)
    assert (found.response_message, found.extra) == ("x", {"ErrorMessage": "y"})


# ----------------------------------------------------------------------------------------------------------------- text

CAFE = '{"FunctionCode":106,"ResponseCode":0,"ResponseMessage":"Café Ñuñoa","Connected":true}'
CAFE_REPLY = PollReply(function_code=106, response_code=0, response_message="Café Ñuñoa", connected=True)


def signed(text: str, encoding: str, sign_of: bytes) -> bytes:
    held = json.dumps(text, ensure_ascii=False)
    return f'{{"JsonSerialized":{held},"Sign":"{sha256(sign_of).hexdigest().upper()}"}}'.encode(encoding)


@pytest.mark.parametrize("step", [1, 50, 1000])
@pytest.mark.parametrize("signed_as", ["latin-1", "utf-8"])
@pytest.mark.parametrize("sent_as", ["latin-1", "utf-8"])
def test_latin_1(backend: Any, sent_as: str, signed_as: str, step: int) -> None:
    frame = signed(CAFE, sent_as, CAFE.encode(signed_as))
    decoder = backend.Decoder()
    assert [message for at in range(0, len(frame), step) for message in decoder.feed(frame[at : at + step])] == [
        CAFE_REPLY
    ]


def test_latin_1_in_an_object_and_without_a_signature(backend: Any) -> None:
    sign = sha256(CAFE.encode("latin-1")).hexdigest()
    assert one(backend, f'{{"JsonSerialized":{CAFE},"Sign":"{sign}"}}'.encode("latin-1")) == CAFE_REPLY
    progress = '{"MessageCode":82,"MessageText":"Transacción"}'.encode("latin-1")
    assert one(backend, progress) == Progress(ProgressCode.SENDING, "Transacción")


@pytest.mark.parametrize(
    "frame",
    [
        signed(CAFE, "latin-1", b"another"),
        signed("\xff", "latin-1", b"another"),
        b'{"JsonS\xe9rialized":"{}","Sign":"x"}',
        b'{"JsonSerialized":1,"Sign":"\xff"}',
        b'{"FunctionCode":106,"ResponseCode":0,"ResponseMessage":"\xff"}',
        b'{"a":"\xff","a":1}',
    ],
)
@pytest.mark.parametrize("step", [1, 1000])
def test_a_whole_object_of_other_bytes_is_damage_as_soon_as_it_ends(backend: Any, frame: bytes, step: int) -> None:
    """What is passed over as noise would be waited out until the deadline."""
    decoder = backend.Decoder()
    (bad,) = [message for at in range(0, len(frame), step) for message in decoder.feed(frame[at : at + step])]
    assert (bad.fault, bad.size, bad.sealed) == (FrameFault.SIGNATURE, len(frame), False)


@pytest.mark.parametrize("control", [*range(0x20)])
def test_control_characters_in_a_signed_string(backend: Any, control: int) -> None:
    text = CAFE.replace("Café ", f"Caf\\u00e9{chr(control)}\\\\")
    found = one(backend, samples.signed(text))
    assert found.response_message == f"Café{chr(control)}\\Ñuñoa"


@pytest.mark.parametrize(
    "text", ["\ufeff" + CAFE, CAFE + "\0", CAFE + "\0\0\0", "\ufeff" + CAFE + "\0", json.dumps(CAFE + "\0")]
)
def test_a_byte_order_mark_before_and_nuls_behind_a_signed_text(backend: Any, text: str) -> None:
    assert one(backend, samples.signed(text)) == CAFE_REPLY


@pytest.mark.parametrize(
    "text", [CAFE.replace(" ", "\\\n"), CAFE.replace(",", "\0,"), CAFE + "\0x", CAFE[:-1] + "\n\0", CAFE + "\ufeff"]
)
def test_what_is_no_json_without_its_controls_either(backend: Any, text: str) -> None:
    bad = one(backend, samples.signed(text))
    assert (bad.fault, bad.sealed) == (FrameFault.MALFORMED, True)


def test_the_signature_is_of_the_text_with_all_of_that(backend: Any) -> None:
    frame = signed("\ufeff" + CAFE + "\0", "utf-8", CAFE.encode())
    assert one(backend, frame).fault is FrameFault.SIGNATURE


def test_signed_objects_in_latin_1_hide_no_key(backend: Any) -> None:
    text = '{"FunctionCode":106,"ResponseCode":0,"ResponseCode":1,"ResponseMessage":"é\n"}'
    bad = one(backend, signed(text, "latin-1", text.encode("latin-1")))
    assert bad == BadFrame(FrameFault.MALFORMED, "an object has the same key twice", bad.size, sealed=True)


# ------------------------------------------------------------------------------------------------------ simplified wire

PLACES = "12983|80005000|A1|123456|15000|0|0|0447|7|CR|2026-06-11 10:00:00||VI|2026-06-11 10:00:00|1|0|1|1|0"


def simplified(backend: Any, text: str) -> Any:
    return one(backend, samples.simplified(text))


@pytest.mark.parametrize("missing", range(6))
def test_the_last_places_of_a_sale_may_be_missing(backend: Any, missing: int) -> None:
    text = "100|0|Aprobado|" + "|".join(PLACES.split("|")[: 19 - missing]) + "|"
    whole, found = simplified(backend, f"100|0|Aprobado|{PLACES}|"), simplified(backend, text)
    names = ("employee_id", "tip", "sale_type", "pos_mode", "cashback")[5 - missing :] if missing < 6 else ()
    if missing < 6:
        assert {name: getattr(found, name) for name in names} == dict.fromkeys(names)
        assert (found.amount, found.ticket, found.operation_id) == (whole.amount, whole.ticket, whole.operation_id)


def test_no_other_place_of_an_approved_reply_may_be_missing(backend: Any) -> None:
    bad = simplified(backend, "100|0|Aprobado|" + "|".join(PLACES.split("|")[:13]) + "|")
    assert (bad.fault, bad.sealed) == (FrameFault.MALFORMED, True)
    assert "must have at least 17 fields, not 16" in bad.reason
    assert simplified(backend, "102|0|ok|12983|80005000|123456|7|").fault is FrameFault.MALFORMED


def test_a_refund_without_its_time(backend: Any) -> None:
    found = simplified(backend, "108|0|ok|12983|80005000|123456|7|True|")
    assert (type(found), found.success, found.date_time) == (RefundReply, True, None)


def test_padded_places_and_numbers_with_decimals(backend: Any) -> None:
    padded = "|".join(f"  {place} " for place in PLACES.replace("|15000|", "|15000.00|").split("|"))
    assert simplified(backend, f"100| 00 | Aprobado |{padded}|") == simplified(backend, f"100|0|Aprobado|{PLACES}|")


@pytest.mark.parametrize(("said", "success"), [(" true ", True), ("1", True), ("0", False), ("si", None), ("", None)])
def test_whether_it_was_done(backend: Any, said: str, success: bool | None) -> None:
    found = simplified(backend, f"103|0|ok|12983|80005000|{said}|")
    expected = CloseBatchReply(
        function_code=103, response_code=0, response_message="ok", commerce_code=12983, terminal_id="80005000",
        success=success, extra={} if success is not None else {"Success": said},
    )  # fmt: skip
    assert found == expected


def test_a_reply_is_no_command_because_its_message_is_a_number(backend: Any) -> None:
    assert simplified(backend, "109|1006|1|").response_code == 1006
    assert simplified(backend, "109|5| true |").response_code == 5
    assert simplified(backend, "109|5|True|") == CommandMessage(109, {"OperationId": 5, "PrintOnPos": True})


def test_details_are_given_as_they_came(backend: Any) -> None:
    assert simplified(backend, "105|0|Aprobado| a | b |").details_text == " a | b |"


def test_latin_1_on_the_simplified_wire(backend: Any) -> None:
    body = "103|0|Batería|12983|80005000|True|\x03".encode("latin-1")
    assert one(backend, b"\x02" + body + bytes([backend.lrc(body)])).response_message == "Batería"


# --------------------------------------------------------------------------------------------------------------- limits


def test_a_frame_that_is_too_large_names_the_limit(backend: Any) -> None:
    bad, *_ = backend.Decoder(max_frame=100).feed(samples.SALE)
    assert bad.fault is FrameFault.TOO_LARGE
    assert bad.reason == "a frame is longer than the limit of 100 bytes (max_frame)"
    assert str(bad.error()) == bad.reason
