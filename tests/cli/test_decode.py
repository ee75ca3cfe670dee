"""``decode``: every message, its place, its seal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from getnet_pos.cli.decoding import find_messages
from getnet_pos.codec import Decoder, acknowledgement, encode_simplified, envelope, frame_simplified, seal
from getnet_pos.messages import Poll, Sale, Void

Run = Callable[..., Any]

POLL = seal(Poll(date_time="2024-01-01T00:00:00.000Z"))
REPLY = envelope('{"FunctionCode":106,"ResponseCode":0,"ResponseMessage":"Aprobado","Connected":true}')
VOID = encode_simplified(Void(17))


def test_messages_with_their_places(called: Run) -> None:
    stream = POLL + acknowledgement(True) + b"\r\n" + REPLY + VOID
    ended = called("decode", "--json", stdin=stream)
    assert ended.code == 0
    document = ended.document
    assert (document["bytes"], document["skipped"], document["incomplete"]) == (len(stream), 2, 0)
    found = document["messages"]
    assert [item["kind"] for item in found] == ["CommandMessage", "Ack", "PollReply", "CommandMessage"]
    assert [stream[item["offset"] :][: item["size"]] for item in found] == [POLL, acknowledgement(True), REPLY, VOID]
    assert [(item["seal"], item["holds"]) for item in found] == [
        ("signature", True), (None, None), ("signature", True), ("LRC", True),
    ]  # fmt: skip
    assert found[0]["content"] == {
        "command": 106, "name": "poll", "DateTime": "2024-01-01T00:00:00.000Z", "extra": [],
    }  # fmt: skip
    assert found[2]["content"]["connected"] is True


def test_ways_to_give_the_bytes(getnet: Run, called: Run, tmp_path: Path) -> None:
    file = tmp_path / "capture.bin"
    file.write_bytes(VOID)
    spaced = VOID.hex(" ")
    wanted = getnet("decode", "--json", stdin=VOID).document
    assert wanted["messages"][0]["content"]["OperationId"] == 17
    assert called("decode", "--json", "--file", str(file)).document == wanted
    assert called("decode", "--json", "--hex", spaced).document == wanted
    assert called("decode", "--json", "--hex", stdin=f"0x{spaced.replace(' ', ', 0x')}\n".encode()).document == wanted
    assert called("decode", "--json", REPLY.decode()).document["messages"][0]["kind"] == "PollReply"


@pytest.mark.parametrize(
    ("data", "fault", "words"),
    [
        (REPLY.replace(b"Aprobado", b"aprobado"), "signature", "signature does not hold"),
        (VOID[:-1] + bytes([VOID[-1] ^ 1]), "checksum", "LRC does not hold"),
        (b'{"JsonSerialized":', None, "a frame begins in the last 18 bytes and does not end"),
        (b'{"no such', None, "a frame begins in the last 9 bytes"),
        (b"{garbage}", "malformed", "no frame"),
        (envelope("[]"), "malformed", "signature holds"),
        (b"noise only", None, "10 bytes skipped"),
    ],
)
def test_what_does_not_hold(called: Run, data: bytes, fault: str | None, words: str) -> None:
    ended = called("decode", stdin=data)
    assert ended.code == 4, ended
    assert words in ended.out
    document = called("decode", "--json", stdin=data).document
    assert [item["content"].get("fault") for item in document["messages"]] == ([fault] if fault else [])


def test_secrets_are_not_shown(called: Run) -> None:
    text = (
        '{"FunctionCode":100,"ResponseCode":0,"ResponseMessage":"Aprobado","Amount":5,"AccountNumber":"4000001234567899",'
        '"Bin":"40000012","Track2":"4000001234567899=3012","TransToken":"tok"}'
    )
    command = envelope(
        '{"Command":100,"Amount":5,"TicketNumber":"A1","AllowedCards":["40000012"],"Pan":"4000001234567899"}'
    )
    for options in ([], ["--json"]):
        ended = called("decode", *options, stdin=envelope(text) + command + b"{4000001234567899}")
        assert "40000012" not in ended.out + ended.err
        assert '"tok"' not in ended.out
        assert "Track2" in ended.out
        assert "Pan" in ended.out


DUMP = """\
00000000  7b 22 52 65 63 65 69 76  65 64 22 3a 74 72 75 65  |{"Received":true|
00000010  7d 20 20 20 20 20 20 20  20 20 20 20 20 20 20 20  |}               |
00000020  20 20 20 20 20 20 20 20  20 20 20 20 20 20 20 20  |                |
*
00000040  7b 22 52 65 63 65 69 76  65 64 22 3a 66 61 6c 73  |{"Received":fals|
00000050  65 7d                                             |e}|
00000052
"""


def test_what_other_tools_print(called: Run) -> None:
    dumped = called("decode", "--json", stdin=DUMP.encode())
    assert (dumped.code, dumped.document["bytes"]) == (0, 0x52)
    assert [item["content"] for item in dumped.document["messages"]] == [{"received": True}, {"received": False}]
    # From the middle of a capture, and without the text beside it.
    part = "".join(line.partition("|")[0] + "\n" for line in DUMP.splitlines()[4:])
    assert called("decode", "--json", part).document["bytes"] == 0x12
    assert called("decode", "--json", repr(REPLY)).document["messages"][0]["kind"] == "PollReply"
    assert called("decode", "--json", repr(VOID)).document["messages"][0]["content"]["OperationId"] == 17
    gap = called("decode", DUMP.replace("00000010", "00000020"))
    assert (gap.code, "the dump has a gap" in gap.err) == (2, True)


@pytest.mark.parametrize("text", [VOID.hex(), VOID.hex(" "), POLL.hex(), "0x" + VOID.hex(" ").replace(" ", ", 0x")])
def test_bytes_in_hex_are_not_guessed_but_hinted_at(called: Run, text: str) -> None:
    ended = called("decode", text)
    assert (ended.code, ended.err) == (4, "note: this looks like hex: add --hex\n")
    assert called("decode", "--hex", text).code == 0


@pytest.mark.parametrize("text", ["b'no end", "b'\\x4'", "12345678", "noise only"])
def test_what_only_looks_so(called: Run, text: str) -> None:
    ended = called("decode", text)
    assert (ended.code, f", {len(text)} bytes skipped" in ended.out) == (4, True)


def test_one_is_counted_as_one(called: Run) -> None:
    assert called("decode", stdin=POLL).out.endswith(f"{len(POLL)} bytes, 1 message, 0 bytes skipped\n")
    assert called("decode", "*").out == "1 byte, 0 messages, 1 byte skipped\n"
    assert "a frame begins in the last 1 byte and" in called("decode", "{").out


def test_not_hex(called: Run) -> None:
    ended = called("decode", "--hex", "xyz")
    assert (ended.code, "not hex" in ended.err) == (2, True)


def test_places_behind_a_torn_frame() -> None:
    whole = seal(Sale(1_000, "A1"))
    stream = REPLY[:40] + whole + VOID
    decoder = Decoder()
    found = list(find_messages(decoder, stream))
    assert [type(item.message).__name__ for item in found] == ["BadFrame", "CommandMessage", "CommandMessage"]
    assert (found[0].offset, found[1].offset, found[2].offset) == (0, 40, 40 + len(whole))
    swallowed = b"\x02100|" + REPLY + frame_simplified("103|")
    found = list(find_messages(Decoder(), swallowed))
    assert [type(item.message).__name__ for item in found] == ["BadFrame", "PollReply", "CommandMessage"]
    assert (found[1].offset, found[2].size) == (None, len(frame_simplified("103|")))
