"""What a signed frame means, to both implementations."""

from __future__ import annotations

import hashlib
import pickle
from typing import Any

import pytest

from getnet_pos.messages import (
    Ack,
    BadFrame,
    CommandMessage,
    FrameFault,
    GenericReply,
    PollReply,
    Progress,
    Reply,
    SaleReply,
    VoidReply,
)
from tests import samples

POLL = '{"FunctionCode":106,"ResponseCode":0,"ResponseMessage":"Aprobado","Connected":true}'
POLL_REPLY = PollReply(function_code=106, response_code=0, response_message="Aprobado", connected=True)


def one(backend: Any, data: bytes) -> Any:
    (message,) = backend.Decoder().feed(data)
    return message


def sale(**fields: Any) -> SaleReply:
    return SaleReply(function_code=100, response_code=0, **fields)


@pytest.mark.parametrize("name", samples.FRAMES)
def test_every_kind_of_frame(backend: Any, name: str) -> None:
    frame, message = samples.FRAMES[name]
    found = one(backend, frame)
    assert found == message
    assert type(found) is type(message)
    assert pickle.loads(pickle.dumps(found)) == message


@pytest.mark.parametrize("name", [name for name in samples.FRAMES if "sale" in name or "details" in name])
def test_a_message_is_whole_and_frozen(backend: Any, name: str) -> None:
    found = one(backend, samples.FRAMES[name][0])
    for field in found.__dataclass_fields__:
        getattr(found, field)
        with pytest.raises(AttributeError):
            setattr(found, field, None)


@pytest.mark.parametrize("name", samples.FRAMES)
def test_usual_frames_are_read_without_the_pure_codec(native: Any, name: str) -> None:
    unusual = {
        "progress, text only", "multi-commerce void command", "received, camelCase", "progress without a signature",
        "simplified close, five parts",
    }  # fmt: skip
    decoder = native.Decoder()
    decoder.feed(samples.FRAMES[name][0])
    assert decoder._declined == (name in unusual)


@pytest.mark.parametrize("name", samples.FRAMES)
def test_every_frame_cut_in_two_and_byte_by_byte(backend: Any, name: str) -> None:
    frame, message = samples.FRAMES[name]
    for cut in range(len(frame) + 1):
        decoder = backend.Decoder()
        assert decoder.feed(frame[:cut]) + decoder.feed(frame[cut:]) == [message]
        assert (decoder.pending, decoder.skipped) == (0, 0)
    decoder = backend.Decoder()
    assert [found for byte in frame for found in decoder.feed(bytes([byte]))] == [message]


def test_camel_case_outside_and_inside(backend: Any) -> None:
    text = '{"functionCode":106,"responseCode":0,"responseMessage":"Aprobado","connected":true}'
    frame = samples.signed(text).replace(b"JsonSerialized", b"jsonSerialized").replace(b"Sign", b"sign")
    assert one(backend, frame) == POLL_REPLY


def test_the_signed_object_may_stand_as_an_object(backend: Any) -> None:
    frame = f'{{"JsonSerialized":{POLL},"Sign":"{samples.sign(POLL)}"}}'.encode()
    assert one(backend, frame) == POLL_REPLY


def test_a_text_encoded_twice(backend: Any) -> None:
    import json

    assert one(backend, samples.signed(json.dumps(POLL))) == POLL_REPLY


def test_the_signature_may_be_lower_case(backend: Any) -> None:
    frame = samples.SALE.replace(
        samples.sign(samples.SALE_TEXT).encode(), samples.sign(samples.SALE_TEXT).lower().encode()
    )
    assert one(backend, frame) == samples.SALE_REPLY


@pytest.mark.parametrize(
    "frame",
    [
        samples.SALE[:-4] + b'00"}',
        samples.SALE.replace(b"25000", b"25001"),
        b'{"JsonSerialized":"{}","Sign":""}',
        b'{"JsonSerialized":"{}","Sign":null}',
        b'{"JsonSerialized":"{}"}',
        POLL.encode(),
    ],
    ids=["another signature", "another amount", "empty", "null", "missing", "a bare reply"],
)
def test_what_is_not_signed_is_refused(backend: Any, frame: bytes) -> None:
    bad = one(backend, frame)
    assert (bad.fault, bad.size, bad.sealed) == (FrameFault.SIGNATURE, len(frame), False)


@pytest.mark.parametrize(
    "before",
    [
        '"JsonSerialized":"a",',
        '"JsonSerialized":"a","JsonSerialized":"b",',
        '"JsonSerialized":"a","\\u004asonSerialized":"b",',
        '"JsonSerialized":"a","Sign":"b",',
        '"JsonSerialized":"a","Sign":1,',
        '"JsonSerialized":1,',
    ],
)
@pytest.mark.parametrize("key", ["JsonSerialized", "\\u004asonSerialized"])
@pytest.mark.parametrize(
    "sign", ['"Sign"', ' "Sign"', '"\\u0053ign":"a","Sign"', '"Sign":"a","Sign"', '"Sign":1,"Sign"']
)
def test_an_envelope_with_a_key_twice(backend: Any, before: str, key: str, sign: str) -> None:
    """However it is hidden, and also where a text of a known shape would fit its signature."""
    assert one(backend, samples.signed(POLL)) == POLL_REPLY
    quoted = POLL.replace('"', r"\"")
    frame = f'{{{before}"{key}":"{quoted}",{sign}:"{samples.sign(POLL)}"}}'.encode()
    for data in (frame, b"\n" + frame):
        bad = one(backend, data)
        assert (bad.fault, bad.reason) == (FrameFault.MALFORMED, "an object has the same key twice")


def test_an_envelope_that_only_ends_like_one(backend: Any) -> None:
    rest = ',"Sign":1,"JsonSerialized":"'.ljust(64, "x")
    (bad,) = backend.Decoder().feed(f'{{"JsonSerialized":"a\\","Sign":"{rest}"}}'.encode())
    assert bad.fault is FrameFault.MALFORMED


def test_a_text_with_more_escapes_than_it_needs(backend: Any) -> None:
    text = POLL.replace("Aprobado", "á/b")
    frame = samples.signed(text).replace("á".encode(), rb"\u00e1").replace(b"/", rb"\/")
    for _ in range(2):
        assert one(backend, frame).response_message == "á/b"
    assert one(backend, frame.replace(samples.sign(text)[:4].encode(), b"0000")).fault is FrameFault.SIGNATURE


@pytest.mark.parametrize(
    "text",
    [
        '{"FunctionCode":106,"ResponseCode":0,"ResponseCode":0}',
        '{"FunctionCode":106,"ResponseCode":0,"responseCode":0}',
        '{"FunctionCode":100,"ResponseCode":0,"Amount":1,"amount":null}',
        '{"FunctionCode":106,"ResponseCode":NaN}',
        '{"FunctionCode":106,"ResponseCode":0,"X":Infinity}',
        '{"FunctionCode":100,"ResponseCode":0,"Amount":18446744073709551616}',
        '{"FunctionCode":106,"ResponseCode":0,"X":' + "[" * 33 + "]" * 33 + "}",
        '{"FunctionCode":106,"ResponseCode":0}x',
        '{"FunctionCode":106,"ResponseCode":0,}',
        '{"FunctionCode":106,"ResponseCode":00}',
        "\ufeff" + POLL,
        "[]",
        "7",
        "",
        "{}",
        '{"FunctionCode":112}',
        '{"MessageCode":null,"MessageText":"x"}',
        '{"FunctionCode":true,"ResponseCode":0}',
    ],
)
def test_a_signed_text_that_means_nothing(backend: Any, text: str) -> None:
    bad = one(backend, samples.signed(text))
    assert (bad.fault, bad.sealed) == (FrameFault.MALFORMED, True)


def test_unknown_fields_and_values_of_the_wrong_kind_are_kept(backend: Any) -> None:
    text = (
        '{"FunctionCode":100,"ResponseCode":0,"New":"x","Amount":"12","Ticket":7,"Tip":1.5,"Nested":{"a":[1,null]},'
        '"SaleType":"1","Last4Digits":true,"Success":true}'
    )
    expected = sale(
        ticket="7",
        extra={"New": "x", "Amount": "12", "Tip": 1.5, "Nested": {"a": [1, None]}, "SaleType": "1", "Last4Digits": True,
               "Success": True},
    )  # fmt: skip
    found = one(backend, samples.signed(text))
    assert found == expected
    assert list(found.extra) == list(expected.extra)


def test_integers_of_64_bits(backend: Any) -> None:
    text = '{"FunctionCode":100,"ResponseCode":0,"Amount":18446744073709551615,"Tip":-9223372036854775808,"Cashback":0}'
    assert one(backend, samples.signed(text)) == sale(amount=2**64 - 1, tip=-(2**63), cashback=0)


def test_escapes_and_letters_beyond_ascii(backend: Any) -> None:
    text = (
        r'{"FunctionCode":100,"ResponseCode":0,"CardBrand":"a\"b\\c\/d\n\u00e1\ud83d\ude00",'
        r'"Ticket":"ñ😀","Bin":"\u0041"}'
    )
    assert one(backend, samples.signed(text)) == sale(card_brand='a"b\\c/d\ná😀', ticket="ñ😀", bin="A")


def test_spaces_in_the_text(backend: Any) -> None:
    text = '{ "FunctionCode" : 106 ,\r\n\t"ResponseCode":0, "ResponseMessage":"Aprobado" , "Connected" : true }'
    assert one(backend, samples.signed(text)) == POLL_REPLY


def test_misspelled_names_of_real_firmware(backend: Any) -> None:
    text = '{"FunctionCode":100,"ResponseCode":0,"Terminalld":"80005000","Operationld":3}'
    assert one(backend, samples.signed(text)) == sale(terminal_id="80005000", operation_id=3)


def test_reply_types_of_the_caller(backend: Any) -> None:
    class MyVoid(VoidReply):
        """A subclass with a ``__dict__`` and no field of its own."""

    class Odd(SaleReply):
        made = 0

        def __new__(cls, *args: Any) -> Any:
            cls.made += 1
            return super().__new__(cls)

    class Last(SaleReply):
        __slots__ = ()

        def __init_subclass__(cls) -> None:
            raise TypeError("it has no subclasses")

    last = backend.Decoder(reply_types={100: Last})
    assert [type(last.feed(samples.SALE)[0]) for _ in range(3)] == [Last] * 3
    decoder = backend.Decoder(reply_types={102: MyVoid, 700: SaleReply, 100: Odd})
    frames = [samples.FRAMES["void"][0], samples.signed('{"FunctionCode":700,"ResponseCode":0}'), samples.SALE]
    void, other, odd = [message for frame in frames for message in decoder.feed(frame)]
    assert (type(void), type(other), type(odd)) == (MyVoid, SaleReply, Odd)
    assert Odd.made == 1
    assert odd.amount == 25000
    assert one(backend, samples.signed('{"FunctionCode":700,"ResponseCode":0}')) == GenericReply(
        function_code=700, response_code=0, response_message=None
    )


@pytest.mark.parametrize("value", ["1", '"true"', "{}"])
def test_an_acknowledgement_is_true_or_false(backend: Any, value: str) -> None:
    assert one(backend, b'{"Received":%b}' % value.encode()).fault is FrameFault.MALFORMED


def test_the_text_of_a_signed_object_must_be_found(backend: Any) -> None:
    """Its key is written with an escape: the object is there, and what was signed cannot be told."""
    for text in (POLL, ""):
        frame = f'{{"\\u004asonSerialized":{POLL},"Sign":"{samples.sign(text)}"}}'.encode()
        assert one(backend, frame).fault is FrameFault.SIGNATURE


def test_a_simplified_frame_that_is_not_utf_8(backend: Any) -> None:
    frame = bytearray(samples.SIMPLIFIED_SALE)
    frame[-10:-10] = b"\xff"
    frame[-1] = backend.lrc(bytes(frame[1:-1]))
    bad = one(backend, bytes(frame))
    assert (bad.fault, bad.reason, bad.sealed) == (FrameFault.MALFORMED, "the text is not UTF-8", True)


def test_a_command_is_read_as_a_terminal_reads_it(backend: Any) -> None:
    assert one(backend, samples.signed('{"Command":106,"camelCase":1}')) == CommandMessage(106, {"camelCase": 1})


def test_what_the_messages_hold_is_theirs(backend: Any) -> None:
    decoder = backend.Decoder()
    first, second = decoder.feed(samples.SALE * 2)
    first.extra["mine"] = 1
    assert second.extra == {}


def test_the_vectors_of_the_protocol(backend: Any) -> None:
    text = '{"Command":106,"DateTime":"2024-01-01T00:00:00.000Z"}'
    assert backend.signature(text) == "E7A50A196AE560EF953168A47DD2210BDB5BF981782A8A93C72EF4A8D84E1FDA"
    assert backend.signature("") == hashlib.sha256(b"").hexdigest().upper()
    assert backend.signature("áñ😀" * 100) == samples.sign("áñ😀" * 100)
    assert backend.envelope(text) == samples.signed(text)


def test_an_acknowledgement_is_no_reply(backend: Any) -> None:
    ack, progress, reply = backend.Decoder().feed(
        b'{"Received":true}\r\n' + samples.FRAMES["progress"][0] + b"\0\0" + samples.SALE
    )
    assert ack == Ack(True)
    assert isinstance(progress, Progress)
    assert isinstance(reply, Reply)


def test_bad_bytes_within_a_frame(backend: Any) -> None:
    text = b'{"JsonSerialized":"\xff","Sign":"' + b"0" * 64 + b'"}'
    assert one(backend, text) == BadFrame(FrameFault.MALFORMED, "the frame is not UTF-8", len(text))
