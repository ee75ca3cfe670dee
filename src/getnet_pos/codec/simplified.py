"""The simplified wire: parts between bars, from STX to LRC (docs/protocol.md, "Simplified frames")."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import reduce
from operator import xor
from typing import Any, cast

from ..errors import InvalidValue, MalformedFrame, UnsupportedOperation
from ..messages import CATALOGUE, BadFrame, Command, CommandMessage, FrameFault, GenericReply, Reply
from ..messages.declaring import sent_fields
from ..messages.fields import Kind, wire_fields
from .messages import read_object
from .strict_json import integer
from .surface import Message

__all__ = [
    "FLAGS",
    "INTEGERS",
    "POSITIONS",
    "REQUESTS",
    "encode_simplified",
    "frame_simplified",
    "lrc",
    "read_simplified",
]

# What stands at which place. The native codec reads these tables too.

_KINDS = {kind: kind.simplified for kind in CATALOGUE.kinds.values() if kind.simplified is not None}
POSITIONS = {kind.code: places.reply for kind, places in _KINDS.items()}
"""The names of the parts of a reply behind code, response code and message."""

REQUESTS = {kind.code: places.request for kind, places in _KINDS.items()}


def _named(kinds: Collection[Kind]) -> set[str]:
    """The names of all fields of these kinds, in commands and in replies."""
    replied = (item for kind in _KINDS for item in wire_fields(cast("Any", kind.reply_type)))
    sent = (item for kind in _KINDS for item in sent_fields(kind))
    return {item.spellings[0] for item in replied if item.kind in kinds} | {
        item.wire for item in sent if item.kind in kinds
    }


INTEGERS = _named({Kind.INTEGER, Kind.SALE_TYPE})
FLAGS = _named({Kind.BOOLEAN})
_BOOLEANS = {"true": True, "false": False}
_DIGITS = re.compile(r"-?[0-9]{1,20}")


# -------------------------------------------------------------------------------------------------------------- writing


def lrc(data: bytes | bytearray | memoryview) -> int:
    """The XOR of all bytes of ``data`` (docs/protocol.md, "Simplified frames")."""
    return reduce(xor, bytes(data), 0)


def frame_simplified(text: str) -> bytes:
    """``text`` between STX and ETX, with its LRC."""
    body = text.encode() + b"\x03"
    return b"\x02%b%c" % (body, lrc(body))


def encode_simplified(command: Command[Any]) -> bytes:
    """``command`` as one simplified frame.

    Raises:
        UnsupportedOperation: the simplified wire has no such command.
        InvalidValue: a field holds ``|``, which would end it.
    """
    places = command.simplified
    if places is None:
        raise UnsupportedOperation(f"the simplified wire has no {type(command).__name__}: use the signed wire")
    values = {item.wire: getattr(command, item.name) for item in sent_fields(type(command))}
    texts = [str(command.code), *(_place(values[name], places.flags) for name in places.request)]
    if any("|" in part for part in texts):
        raise InvalidValue("a field must not hold | on the simplified wire")
    return frame_simplified("|".join(texts) + "|")


def _place(value: Any, flags: tuple[str, str]) -> str:
    if type(value) is bool:
        return flags[value]
    return "" if value is None else str(int(value) if isinstance(value, int) else value)


# -------------------------------------------------------------------------------------------------------------- reading


def read_simplified(frame: bytes, reply_types: Mapping[int, type[Reply]] = CATALOGUE.reply_types) -> Message:
    """The message in one whole simplified frame, from its STX to its LRC."""
    if lrc(frame[1:-1]) != frame[-1]:
        return BadFrame(FrameFault.CHECKSUM, "the LRC does not fit the text", len(frame))
    try:
        return _read_text(frame[1:-2].decode(), reply_types)
    except UnicodeDecodeError:
        return BadFrame(FrameFault.MALFORMED, "the text is not UTF-8", len(frame), sealed=True)
    except MalformedFrame as error:
        return BadFrame(FrameFault.MALFORMED, str(error), len(frame), sealed=True)


def _read_text(text: str, reply_types: Mapping[int, type[Reply]]) -> Reply | CommandMessage:
    head, *parts = text.split("|")
    code = int(head)
    if code == 105 and len(parts) > 2:
        # What stands behind the third | of a details report is not public: it is given as it came.
        parts[2:] = ["|".join(parts[2:])]
    elif not parts[-1]:
        parts.pop()
    request = _request(code, parts)
    if request is not None:
        return CommandMessage(code, request)
    response_code = _part("ResponseCode", parts[0]) if parts else None
    if type(response_code) is not int or len(parts) < 2:
        raise MalformedFrame("a simplified reply has a numeric response code and a message")
    inner: dict[str, Any] = {"FunctionCode": code, "ResponseCode": response_code, "ResponseMessage": parts[1]}
    rest = parts[2:]
    names = POSITIONS.get(code, ())
    if code == 103 and len(rest) == 2:
        names = ("CommerceCode", "Success")
    if len(rest) < len(names) and response_code == 0:
        raise MalformedFrame(f"an approved simplified reply {code} has {len(names) + 3} parts, not {len(rest) + 3}")
    for place, part in enumerate(rest):
        name = names[place] if place < len(names) else str(place + 3)
        inner[name] = _part(name, part)
    return read_object(reply_types.get(code, GenericReply), inner)


def _part(name: str, part: str) -> Any:
    """A part as the JSON wire would hold it; text where it is not what its place asks for."""
    if name in INTEGERS:
        return integer(part) if _DIGITS.fullmatch(part) else part or None
    if name in FLAGS:
        return _BOOLEANS.get(part.lower(), part)
    return part


def _request(code: int, parts: list[str]) -> dict[str, Any] | None:
    """The fields of a command, or ``None`` where the parts are not those of one."""
    names = REQUESTS.get(code)
    if names is None or len(parts) != len(names):
        return None
    fields = {name: _part(name, part) for name, part in zip(names, parts, strict=True)}
    return fields if type(fields.get("PrintOnPos", True)) is bool else None
