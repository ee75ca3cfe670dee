"""The simplified wire: parts between bars, from STX to LRC (docs/protocol.md, "Simplified frames")."""

from __future__ import annotations

import re
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


def encode_simplified(command: Command) -> bytes:
    """``command`` as one simplified frame.

    Raises:
        UnsupportedOperation: the simplified wire has no such command.
        InvalidValue: a field holds ``|``, which would end it.
    """
    parts: tuple[object, ...]
    if isinstance(command, Sale):
        ticket, employee = command.ticket or "", "" if command.employee_id is None else command.employee_id
        parts = (command.amount, ticket, str(command.print_on_pos).lower(), int(command.sale_type), employee)
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
    texts = [str(part) for part in (command.code, *parts)]
    if any("|" in part for part in texts):
        raise InvalidValue("a field must not hold | on the simplified wire")
    return frame_simplified("|".join(texts) + "|")


# -------------------------------------------------------------------------------------------------------------- reading


def read_simplified(frame: bytes, reply_types: Mapping[int, type[Reply]] = REPLY_TYPES) -> Message:
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
