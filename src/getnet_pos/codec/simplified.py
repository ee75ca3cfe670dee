"""The simplified wire: fields separated by ``|``, from STX to LRC (docs/protocol.md, "Simplified frames")."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import reduce
from operator import xor
from typing import Any, cast

from ..errors import InvalidValue, MalformedFrame, UnsupportedOperation
from ..messages import CATALOGUE, BadFrame, Command, CommandMessage, FrameFault, GenericReply, Reply
from ..messages.declaring import sent_fields
from ..messages.fields import Kind, wire_fields
from .messages import boolean, decoded, read_object, whole
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

# The order of the fields. The native codec reads these tables, too.

_KINDS = {kind: kind.simplified for kind in CATALOGUE.kinds.values() if kind.simplified is not None}
POSITIONS = {kind.code: places.reply for kind, places in _KINDS.items()}
"""The names of a reply's fields after function code, response code and response message."""

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
_OPTIONAL = {"EmployeeId", "Tip", "SaleType", "PosMode", "Cashback", "DateTime"}
"""The fields at the end of a reply that some firmware leaves out."""


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
        InvalidValue: a field contains ``|``, which separates the fields.
    """
    places = command.simplified
    if places is None:
        raise UnsupportedOperation(f"the simplified wire has no {type(command).__name__}: use the signed wire")
    values = {item.wire: getattr(command, item.name) for item in sent_fields(type(command))}
    texts = [str(command.code), *(_place(values[name], places.flags) for name in places.request)]
    if any("|" in part for part in texts):
        raise InvalidValue("a field must not contain | on the simplified wire, where it separates the fields")
    return frame_simplified("|".join(texts) + "|")


def _place(value: object, flags: tuple[str, str]) -> str:
    """The text of a command's value; a subclass of ``str`` or ``int`` is written like its base type."""
    if isinstance(value, bool):
        return flags[value]
    if isinstance(value, int):
        return int.__repr__(value)
    return str.__str__(value) if isinstance(value, str) else ""


# -------------------------------------------------------------------------------------------------------------- reading


def read_simplified(frame: bytes, reply_types: Mapping[int, type[Reply]] = CATALOGUE.reply_types) -> Message:
    """The message in one complete simplified frame, from its STX to its LRC."""
    if lrc(frame[1:-1]) != frame[-1]:
        return BadFrame(FrameFault.CHECKSUM, "the LRC does not match the text", len(frame))
    try:
        return _read_text(decoded(frame[1:-2]), reply_types)
    except MalformedFrame as error:
        return BadFrame(FrameFault.MALFORMED, str(error), len(frame), sealed=True)


def _read_text(text: str, reply_types: Mapping[int, type[Reply]]) -> Reply | CommandMessage:
    head, *parts = text.split("|")
    code = int(head)
    if code == 105 and len(parts) > 2:
        # The format of a details report after the third | is not public: the text is returned as it is.
        parts[2:] = ["|".join(parts[2:])]
    elif not parts[-1]:
        parts.pop()
    request = _request(code, parts)
    if request is not None:
        return CommandMessage(code, request)
    response_code = whole(parts[0]) if parts else None
    if response_code is None or len(parts) < 2:
        raise MalformedFrame("a simplified reply must have a numeric response code and a message")
    rest = parts[2:]
    names = POSITIONS.get(code, ())
    if code == 103 and len(rest) == 2:
        names = ("CommerceCode", "Success")
    needed = max((place + 1 for place, name in enumerate(names) if name not in _OPTIONAL), default=0)
    if len(rest) < needed and response_code == 0:
        raise MalformedFrame(
            f"an approved simplified reply {code} must have at least {needed + 3} fields, not {len(rest) + 3}"
        )
    inner: dict[str, Any] = {
        "FunctionCode": code,
        "ResponseCode": response_code,
        "ResponseMessage": parts[1].strip(" "),
    }
    for place, part in enumerate(rest):
        name = names[place] if place < len(names) else str(place + 3)
        inner[name] = part if name == "DetailsText" else _value(name, part)
    return read_object(reply_types.get(code, GenericReply), inner)


def _value(name: str, part: str) -> Any:
    """A field's value as on the signed wire; the text itself if it is not of the field's type."""
    part = part.strip(" ")
    if name in INTEGERS:
        number = whole(part)
        return number if number is not None else part or None
    if name in FLAGS:
        flag = boolean(part)
        return flag if flag is not None else part
    return part


def _request(code: int, parts: list[str]) -> dict[str, Any] | None:
    """The fields of a command; ``None`` if it is not a command."""
    names = REQUESTS.get(code)
    if names is None or len(parts) != len(names):
        return None
    fields = dict(zip(names, parts, strict=True))
    # A reply may have as many fields as a command, with 0 or 1 in the place of the command's boolean.
    if fields.get("PrintOnPos", "true").lower() not in ("true", "false"):
        return None
    return {name: _value(name, part) for name, part in fields.items()}
