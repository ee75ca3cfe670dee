"""The command that decodes bytes of the wire: each message's type and place, and whether its signature is valid."""

from __future__ import annotations

import ast
import contextlib
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..codec import Decoder, Message
from ..errors import InvalidValue
from ..messages import Ack, BadFrame, FrameFault
from .ends import ExitCode, counted
from .register import JsonOption
from .screen import Screen
from .shown import message_document, show_fields

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Found", "decode", "find_messages"]

_STX = 0x02
_HEX = re.compile(rb"\s*(?:(?:0[xX]|\\x)?[0-9a-fA-F]{2}[\s,:]*){4,}")
_DUMPED = re.compile(rb"(?P<place>[0-9a-f]{7,16})(?:  (?P<bytes>(?:[0-9a-f]{2} {0,2}){1,16}) *(?:\|.{1,16}\|)?)?")
"""A line of hexdump -C; the last one has only an offset."""
_LITERAL = re.compile(rb"b(['\"]).*\1", re.DOTALL)
_BETWEEN_HEX = re.compile(r"0[xX]|\\x|[\s,:]+")


def decode(
    text: Annotated[
        str | None, typer.Argument(metavar="BYTES", help="The bytes as text; without them they are read from stdin.")
    ] = None,
    as_hex: Annotated[bool, typer.Option("--hex", help="The bytes are in hex, such as 02 31 30 30 7c.")] = False,
    file: Annotated[Path | None, typer.Option("--file", metavar="PATH", help="Read the bytes from a file.")] = None,
    as_json: JsonOption = False,
) -> int:
    """Decode bytes of the wire, and check each signature or LRC.

    The output of hexdump -C and bytes as Python shows them, b'...', are read as well.

    Only the last four digits of card numbers are shown, and bytes that are not a message are never shown.
    """
    given = _input(text, file)
    data = _from_hex(given) if as_hex else _from_text(given)
    if not data:
        raise InvalidValue("there is nothing to decode: pass the bytes as an argument, with --file, or on stdin")
    decoder = Decoder()
    found = list(find_messages(decoder, data))
    document = {
        "bytes": len(data),
        "messages": [item.document() for item in found],
        "skipped": decoder.skipped,
        "incomplete": decoder.pending,
    }
    screen = Screen(as_json)
    if not as_hex and not found and _HEX.fullmatch(given):
        screen.note("this looks like hex: add --hex")
    elif data and not decoder.pending and all(map(_is_noise, found)):
        screen.note("there is no message of the wire in this: give whole frames, with their signature or LRC")
    screen.result(document, lambda console: _show(console, document))
    good = found and not decoder.pending and not any(isinstance(item.message, BadFrame) for item in found)
    return ExitCode.DONE if good else ExitCode.PROTOCOL


def _is_noise(item: Found) -> bool:
    return isinstance(item.message, BadFrame) and item.seal is None


def _input(text: str | None, file: Path | None) -> bytes:
    if text is not None and file is not None:
        raise InvalidValue("pass the bytes as an argument or with --file, not both")
    if text is not None:
        return os.fsencode(text)
    if file is not None:
        try:
            return file.read_bytes()
        except OSError as error:
            raise InvalidValue(f"{file} cannot be read: {error.strerror or error}") from error
    return b"" if sys.stdin.isatty() else sys.stdin.buffer.read()


def _from_text(data: bytes) -> bytes:
    """The bytes in a dump or a Python literal; any other text unchanged."""
    lines = [line.rstrip() for line in data.splitlines() if line.strip()]
    dumped = [_DUMPED.fullmatch(line) for line in lines]
    if lines and dumped[0] and dumped[0]["bytes"] and all(map(_is_dumped, lines, dumped)):
        return _from_dump(dumped)
    if _LITERAL.fullmatch(data.strip()):
        with contextlib.suppress(ValueError, SyntaxError):
            return bytes(ast.literal_eval(data.strip().decode("ascii")))
    return data


def _is_dumped(line: bytes, found: re.Match[bytes] | None) -> bool:
    return found is not None or line == b"*"


def _from_dump(lines: list[re.Match[bytes] | None]) -> bytes:
    """The bytes in lines of hexdump -C; ``None`` is an asterisk, which repeats the line before it."""
    data, row, begin, repeated = bytearray(), b"", None, False
    for line in lines:
        if line is None:
            repeated = True
            continue
        place = int(line["place"], 16)
        begin = place if begin is None else begin
        if repeated and row:
            data += row * max(0, (place - begin - len(data)) // len(row))
        if place - begin != len(data):
            raise InvalidValue("the dump has a gap: pass all lines of hexdump -C, in order")
        row, repeated = bytes.fromhex((line["bytes"] or b"").decode()), False
        data += row
    return bytes(data)


def _from_hex(data: bytes) -> bytes:
    try:
        return bytes.fromhex(_BETWEEN_HEX.sub("", data.decode("ascii")))
    except ValueError:
        raise InvalidValue(
            "the bytes are not hex: write two digits for each byte, with or without spaces between them"
        ) from None


@dataclass(frozen=True)
class Found:
    """A message, its place, and how it was signed."""

    message: Message
    offset: int | None
    """``None`` if it was found inside a torn frame, so that its place is unknown."""
    size: int | None
    seal: str | None
    """``"signature"`` or ``"LRC"``; ``None`` for an acknowledgement, which has neither, and for noise."""
    holds: bool | None
    """Whether the signature or LRC is valid; ``None`` if there is none."""

    def document(self) -> dict[str, Any]:
        return {
            "offset": self.offset,
            "size": self.size,
            "kind": type(self.message).__name__,
            "seal": self.seal,
            "holds": self.holds,
            "content": message_document(self.message),
        }


def find_messages(decoder: Any, data: bytes) -> Iterator[Found]:
    """The messages in ``data``, in order. They are fed byte by byte, to learn where each one ends."""
    for place in range(len(data)):
        held = decoder.pending
        for index, message in enumerate(decoder.feed(data[place : place + 1])):
            start = place - held
            # After a torn frame, the decoder reads again the bytes that it contained.
            known = index == 0
            size = message.size if isinstance(message, BadFrame) else place + 1 - start
            yield _found(message, start if known else None, size if known else None, data[start])


def _found(message: Message, offset: int | None, size: int | None, first: int) -> Found:
    seal = "LRC" if first == _STX else "signature"
    if isinstance(message, Ack):
        return Found(message, offset, size, None, None)
    if isinstance(message, BadFrame) and not message.sealed:
        broken = message.fault in (FrameFault.SIGNATURE, FrameFault.CHECKSUM)
        return Found(message, offset, size, seal if broken else None, False if broken else None)
    return Found(message, offset, size, seal, True)


def _show(console: Console, document: dict[str, Any]) -> None:
    for item in document["messages"]:
        place = "inside a torn frame"
        if item["offset"] is not None:
            place = f"byte {item['offset']}, {counted(item['size'], 'byte')}"
        style = "bold red" if item["kind"] == BadFrame.__name__ else "bold"
        console.print(f"{place}: {item['kind']}, {_seal(item)}", style=style)
        show_fields(console, item["content"])
        for name, rows in item["content"].items():
            if isinstance(rows, list) and name != "extra":
                for row in rows:
                    console.print(f"{name.replace('_', ' ')}:")
                    show_fields(console, row)
    found = counted(len(document["messages"]), "message")
    console.print(f"{counted(document['bytes'], 'byte')}, {found}, {counted(document['skipped'], 'byte')} skipped")
    if document["incomplete"]:
        last = counted(document["incomplete"], "byte")
        console.print(f"a frame begins in the last {last} and does not end", style="bold red")


def _seal(item: dict[str, Any]) -> str:
    if item["seal"] is None:
        return "no frame" if item["kind"] == BadFrame.__name__ else "unsigned"
    return f"{item['seal']} {'holds' if item['holds'] else 'does not hold'}"
