"""The simplified wire: parts between bars, from STX to LRC (docs/protocol.md, "Simplified frames")."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import xor
from typing import Any

from ..errors import InvalidValue, MalformedFrame, UnsupportedOperation
from ..messages import (
    REPLY_TYPES,
    BadFrame,
    CloseBatch,
    Command,
    CommandMessage,
    DetailsReport,
    Duplicate,
    FrameFault,
    GenericReply,
    Refund,
    Reply,
    Sale,
    Void,
)
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

# What stands at which place. The native codec reads these tables too.

_VOUCHER = (
    "CommerceCode", "TerminalId", "Ticket", "AuthorizationCode", "Amount", "SharesNumber", "SharesAmount",
    "Last4Digits", "OperationId", "CardType", "AccountingDate", "AccountNumber", "CardBrand", "RealDate", "EmployeeId",
    "Tip", "SaleType", "PosMode", "Cashback",
)  # fmt: skip
_SETTLED = ("CommerceCode", "TerminalId", "AuthorizationCode", "OperationId", "Success")
POSITIONS: dict[int, tuple[str, ...]] = {
    100: _VOUCHER,
    102: _SETTLED,
    103: ("CommerceCode", "TerminalId", "Success"),
    105: ("DetailsText",),
    108: (*_SETTLED, "DateTime"),
    109: _VOUCHER,
}
"""The names of the parts of a reply behind code, response code and message."""

INTEGERS = {
    "ResponseCode", "CommerceCode", "Amount", "SharesNumber", "SharesAmount", "OperationId", "EmployeeId", "Tip",
    "SaleType", "PosMode", "Cashback",
}  # fmt: skip
REQUESTS: dict[int, tuple[str, ...]] = {
    100: ("Amount", "TicketNumber", "PrintOnPos", "SaleType", "EmployeeId"),
    102: ("OperationId", "PrintOnPos"),
    103: (),
    105: ("PrintOnPos",),
    108: ("AuthorizationCode", "Amount", "PrintOnPos"),
    109: ("OperationId", "PrintOnPos"),
}
FLAGS = {"Success", "PrintOnPos"}
_OPTIONAL = {"EmployeeId", "Tip", "SaleType", "PosMode", "Cashback", "DateTime"}
"""The places at the end of a reply that some firmware leaves out."""


# -------------------------------------------------------------------------------------------------------------- writing


def lrc(data: bytes | bytearray | memoryview) -> int:
    """The XOR of all bytes of ``data`` (docs/protocol.md, "Simplified frames")."""
    return reduce(xor, bytes(data), 0)


def frame_simplified(text: str) -> bytes:
    """``text`` between STX and ETX, with its LRC."""
    body = text.encode() + b"\x03"
    return b"\x02%b%c" % (body, lrc(body))


def encode_simplified(command: Command) -> bytes:
    """``command`` as one simplified frame.

    Raises:
        UnsupportedOperation: the simplified wire has no such command.
        InvalidValue: a field holds ``|``, which would end it.
    """
    parts: tuple[object, ...]
    if isinstance(command, Sale):
        parts = (command.amount, command.ticket, command.print_on_pos, command.sale_type, command.employee_id)
    elif isinstance(command, (Void, Duplicate)):
        parts = (command.operation_id, command.print_on_pos)
    elif isinstance(command, Refund):
        parts = (command.authorization_code, command.amount, command.print_on_pos)
    elif isinstance(command, DetailsReport):
        parts = (command.print_on_pos,)
    elif isinstance(command, CloseBatch):
        parts = ()
    else:
        raise UnsupportedOperation(f"the simplified wire has no {type(command).__name__}: use the signed wire")
    texts = [_part(part, lower_case=isinstance(command, Sale)) for part in (command.code, *parts)]
    if any("|" in part for part in texts):
        raise InvalidValue("a field must not hold | on the simplified wire")
    return frame_simplified("|".join(texts) + "|")


def _part(value: object, *, lower_case: bool) -> str:
    """A value of a command; of a subclass of ``str`` or ``int`` what it is beneath. A sale has its boolean in small."""
    if isinstance(value, bool):
        return str(value).lower() if lower_case else str(value)
    if isinstance(value, int):
        return int.__repr__(value)
    return str.__str__(value) if isinstance(value, str) else ""


# -------------------------------------------------------------------------------------------------------------- reading


def read_simplified(frame: bytes, reply_types: Mapping[int, type[Reply]] = REPLY_TYPES) -> Message:
    """The message in one whole simplified frame, from its STX to its LRC."""
    if lrc(frame[1:-1]) != frame[-1]:
        return BadFrame(FrameFault.CHECKSUM, "the LRC does not fit the text", len(frame))
    try:
        return _read_text(decoded(frame[1:-2]), reply_types)
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
    response_code = whole(parts[0]) if parts else None
    if response_code is None or len(parts) < 2:
        raise MalformedFrame("a simplified reply has a numeric response code and a message")
    rest = parts[2:]
    names = POSITIONS.get(code, ())
    if code == 103 and len(rest) == 2:
        names = ("CommerceCode", "Success")
    needed = max((place + 1 for place, name in enumerate(names) if name not in _OPTIONAL), default=0)
    if len(rest) < needed and response_code == 0:
        raise MalformedFrame(
            f"an approved simplified reply {code} has {needed + 3} parts at least, not {len(rest) + 3}"
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
    """A part as the JSON wire would hold it; text where it is not what its place asks for."""
    part = part.strip(" ")
    if name in INTEGERS:
        number = whole(part)
        return number if number is not None else part or None
    if name in FLAGS:
        flag = boolean(part)
        return flag if flag is not None else part
    return part


def _request(code: int, parts: list[str]) -> dict[str, Any] | None:
    """The fields of a command, or ``None`` where the parts are not those of one."""
    names = REQUESTS.get(code)
    if names is None or len(parts) != len(names):
        return None
    fields = dict(zip(names, parts, strict=True))
    # A reply may have as many parts as a command, and 0 or 1 where that has its boolean.
    if fields.get("PrintOnPos", "true").lower() not in ("true", "false"):
        return None
    return {name: _value(name, part) for name, part in fields.items()}
