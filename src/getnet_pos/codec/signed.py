"""The signed wire: JSON objects with a JSON text and its signature (docs/protocol.md, "Envelope")."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from typing import Any

from ..errors import MalformedFrame
from ..messages import CATALOGUE, Ack, BadFrame, Command, FrameFault, GenericCommand, OriginalData, Reply
from ..messages.declaring import sent_fields
from .json_text import dumps, loads
from .messages import boolean, decoded, either, read_message, read_progress, whole
from .strict_json import parse, parse_signed, write
from .surface import Message

__all__ = ["acknowledgement", "envelope", "read_plain", "read_signed", "seal", "signature"]

_HELD = slice(len('{"JsonSerialized":'), -len(',"Sign":""}') - 64)
"""The position of the text in an envelope."""

# -------------------------------------------------------------------------------------------------------------- writing


def signature(text: str) -> str:
    """SHA-256 of the UTF-8 bytes of ``text``, in upper-case hex (docs/protocol.md, "Envelope")."""
    return sha256(text.encode()).hexdigest().upper()


def acknowledgement(received: bool) -> bytes:
    """``{"Received":true}`` or ``{"Received":false}``, unsigned."""
    return b'{"Received":true}' if received else b'{"Received":false}'


def envelope(text: str) -> bytes:
    """``text`` with its signature, as one signed frame."""
    return b'{"JsonSerialized":%b,"Sign":"%b"}' % (dumps(text), signature(text).encode())


def seal(command: Command[Any]) -> bytes:
    """``command`` as one signed frame.

    Raises:
        InvalidValue: JSON cannot represent one of its fields.
    """
    inner: dict[str, Any] = {"Command": command.code}
    for item in sent_fields(type(command)):
        value = getattr(command, item.name)
        if value is not None or item.nullable:
            inner[item.wire] = _spelled(value) if isinstance(value, OriginalData) else value
    if isinstance(command, GenericCommand):
        inner.update(command.fields)
    if command.date_time is not None:
        inner.setdefault("DateTime", command.date_time)
    return envelope(write(inner).decode())


def _spelled(data: OriginalData) -> dict[str, str]:
    return {"Mti": data.mti, "DE11": data.de11, "DE12": data.de12, "DE13": data.de13}


# -------------------------------------------------------------------------------------------------------------- reading


def read_signed(frame: bytes, reply_types: Mapping[int, type[Reply]] = CATALOGUE.reply_types) -> Message:
    """The message in one complete JSON object of the signed wire."""
    text = decoded(frame)
    message = _read_object(text, len(frame), reply_types)
    if isinstance(message, BadFrame) and not message.sealed and text.encode() != frame:
        # This is damage, not noise: nothing else looks like such an object.
        reason = "the message is not UTF-8 and has no matching signature"
        return BadFrame(FrameFault.SIGNATURE, reason, len(frame))
    return message


def _read_object(text: str, size: int, reply_types: Mapping[int, type[Reply]]) -> Message:
    try:
        outer = parse(text)
        if "JsonSerialized" not in outer and "jsonSerialized" not in outer:
            return _unsigned_message(outer, size)
        signed, sign = either(outer, "JsonSerialized"), either(outer, "Sign")
    except MalformedFrame as error:
        return BadFrame(FrameFault.MALFORMED, str(error), size)
    if type(signed) not in (str, dict):
        return BadFrame(FrameFault.MALFORMED, "JsonSerialized is neither text nor an object", size)
    for candidate in [signed] if type(signed) is str else _object_texts(text):
        if type(sign) is str and _fits(candidate, sign):
            return _read_text(candidate, size, reply_types)
    reason = "the message has no signature" if sign is None else "the signature does not match the message"
    return BadFrame(FrameFault.SIGNATURE, reason, size)


def read_plain(frame: bytes, reply_types: Mapping[int, type[Reply]]) -> Message | None:
    """A faster ``read_signed`` for a frame that ``envelope`` could have written; ``None`` for any other."""
    try:
        text = loads(frame[_HELD])
    except ValueError:
        return None
    return _read_text(text, len(frame), reply_types) if type(text) is str and frame == envelope(text) else None


def _fits(text: str, sign: str) -> bool:
    """Whether ``sign`` is the signature of the text in UTF-8 or in Latin-1."""
    written = [text.encode()]
    with suppress(UnicodeEncodeError):
        written.append(text.encode("latin-1"))
    return sign.lower() in [sha256(data).hexdigest() for data in written]


def _read_text(text: str, size: int, reply_types: Mapping[int, type[Reply]]) -> Message:
    """The message in a text whose signature matches, from a frame of ``size`` bytes."""
    try:
        inner = parse_signed(text)
        # Some firmware encodes twice.
        return read_message(parse_signed(inner) if type(inner) is str else inner, reply_types)
    except MalformedFrame as error:
        return BadFrame(FrameFault.MALFORMED, str(error), size, sealed=True)


def _unsigned_message(outer: dict[str, Any], size: int) -> Message:
    """The message in an object that is not an envelope: an acknowledgement, or an unsigned progress message."""
    received = either(outer, "Received")
    said = boolean(received)
    if said is not None:
        return Ack(said)
    if received is not None:
        raise MalformedFrame("Received is neither true nor false")
    function_code = either(outer, "FunctionCode")
    progress = read_progress(outer) if either(outer, "ResponseCode") is None else None
    if progress is not None:
        return progress
    if whole(function_code) is not None:
        return BadFrame(FrameFault.SIGNATURE, "the reply is not signed", size)
    raise MalformedFrame("the object is not a message")


_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]]|[ \t\r\n]+|[^"{}\[\] \t\r\n]+')


def _object_texts(frame: str) -> list[str]:
    """The texts of the object in ``JsonSerialized`` that may have been signed: as it is, or without white space.

    None if the key is written with escapes.
    """
    depth = start = 0
    last = ["", ""]
    for token in _TOKEN.finditer(frame):
        part = token.group()
        if part in "{[":
            depth += 1
            if depth == 2 and last in (['"JsonSerialized"', ":"], ['"jsonSerialized"', ":"]):
                start = token.start()
        elif part in "}]":
            depth -= 1
            if depth == 1 and start:
                text = frame[start : token.end()]
                return [text, "".join(part for part in _TOKEN.findall(text) if not part.isspace())]
        elif depth == 1 and not part.isspace():
            last = [last[1], part]
    return []
