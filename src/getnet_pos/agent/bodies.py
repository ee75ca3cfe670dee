"""The bodies of requests, derived from the commands, and their conversion to commands. It sends nothing."""

from __future__ import annotations

import hashlib
import re
from dataclasses import MISSING, dataclass, fields
from decimal import Decimal
from typing import Any, TypeVar, get_args, get_type_hints

from ..codec.strict_json import parse
from ..errors import InvalidType, InvalidValue, MalformedFrame, UnsupportedOperation
from ..messages import (
    CloseBatch,
    CloudRefund,
    Command,
    PreAuthorization,
    PreAuthorizationCompletion,
    PreAuthorizationRelease,
    Refund,
    ReportKind,
    Sale,
    Void,
)
from ..messages.declaring import sent_fields
from ..money import to_wire
from ..profiles import Profile
from .problems import Problem

__all__ = [
    "BODIES",
    "Body",
    "Member",
    "money_command",
    "read_body",
    "report_command",
]

C = TypeVar("C", bound=Command[Any])

_TYPES: dict[type, str] = {bool: "boolean", int: "integer", str: "string"}
_DECIMAL = re.compile(r"(?:0|[1-9][0-9]{0,19})\.([0-9]{1,4})")
_ABOUT = {
    "amount": 'Wire units as a whole number; or currency as text with a decimal point, such as "1250.50", if the '
    "terminal's profile knows the decimals of the currency.",
    "ticket": "The register's own number, 1 to 24 characters; the default is a generated one. Without an "
    "Idempotency-Key it identifies the payment: the same ticket at the same terminal is charged only once, for ever.",
    "again": "true: charge a second time on purpose, although the same ticket and amount was charged before.",
    "print_on_pos": "Whether the terminal prints the voucher.",
    "sale_type": "0 sale, 1 affects, 2 invoice affects, 3 exempted, 4 invoice exempted, 5 collection affects, "
    "6 collection exempted.",
    "employee_id": "The employee's number, 1 to 9999.",
    "operation_id": "The operation id of a sale in the open batch.",
    "authorization_code": "The authorization code of the sale or pre-authorization.",
    "original_date": "The day of the sale, as yyyy-MM-dd; only for Argentina's cloud.",
    "paid": "true: the customer has paid; false: the customer has not paid.",
    "by": "The person who found out.",
    "note": "How that person knows; the journal keeps it.",
}


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a body. ``types`` are JSON types."""

    name: str
    types: tuple[str, ...]
    required: bool = False

    @property
    def about(self) -> str:
        return _ABOUT[self.name]


@dataclass(frozen=True, slots=True)
class Body:
    """The members that a request may have; ``kind`` is the command that they become."""

    members: tuple[Member, ...]
    kind: type[Command[Any]] | None = None


def _of_command(kind: type[Command[Any]], *more: Member, without: tuple[str, ...] = ()) -> Body:
    hints = get_type_hints(kind)
    needed = {item.name for item in fields(kind) if item.default is MISSING}
    members = []
    for item in sent_fields(kind):
        if item.name in without:
            continue
        held = [one for one in (get_args(hints[item.name]) or (hints[item.name],)) if one in _TYPES]
        types = ["integer", "string"] if item.name == "amount" else [_TYPES[one] for one in held]
        members.append(Member(item.name, (*dict.fromkeys(types),), item.name in needed))
    return Body((*members, *more), kind)


_AGAIN = Member("again", ("boolean",))
_SET_BY_AGENT = ("send_message",)
"""Fields that the agent sets itself: it always requests progress messages."""

BODIES: dict[str, Body] = {
    "sale": _of_command(Sale, _AGAIN, without=_SET_BY_AGENT),
    "void": _of_command(Void),
    "refund": _of_command(Refund, Member("original_date", ("string",)), _AGAIN),
    "pre-authorization": _of_command(PreAuthorization, _AGAIN, without=_SET_BY_AGENT),
    "completion": _of_command(PreAuthorizationCompletion),
    "release": _of_command(PreAuthorizationRelease),
    "close-batch": _of_command(CloseBatch),
    "report": Body((Member("print_on_pos", ("boolean",)), Member("employee_id", ("integer",)))),
    "resolution": Body(
        (Member("paid", ("boolean",), True), Member("by", ("string",), True), Member("note", ("string",), True))
    ),
    "nothing": Body(()),
}


def read_body(data: bytes, media_type: str, body: Body) -> dict[str, Any]:
    """The members that were sent. Their types are checked here, their values where they are used.

    Raises:
        Problem: the body is not a JSON object, or a member is unknown, missing or of the wrong type.
    """
    if not data:
        found: Any = {}
    elif media_type.partition(";")[0].strip().lower() != "application/json":
        raise Problem("not-json", "the body must be JSON, sent with Content-Type: application/json")
    else:
        try:
            found = parse(data.decode())
        except (MalformedFrame, UnicodeDecodeError, ValueError) as error:
            raise Problem("invalid-request", f"the body is not valid JSON: {_why(error)}") from None
    if not isinstance(found, dict):
        raise Problem("invalid-request", "the body must be a JSON object")
    known = {member.name: member for member in body.members}
    for name, value in found.items():
        if name not in known:
            choice = f"use {', '.join(known)}" if known else "it must be empty"
            raise Problem("invalid-request", f"the body has the unknown member {name[:40]!a}: {choice}")
        _check_type(known[name], value)
    missing = [member.name for member in body.members if member.required and found.get(member.name) is None]
    if missing:
        raise Problem("invalid-request", f"the member {missing[0]!a} is missing")
    return {name: value for name, value in found.items() if value is not None}


def _why(error: Exception) -> str:
    return "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)


def _check_type(member: Member, value: Any) -> None:
    if value is None or _TYPES.get(type(value)) in member.types:
        return
    if member.name == "amount" and isinstance(value, float):
        raise Problem(
            "invalid-value",
            "amount must not be a JSON number with decimals, because that is not exact: send whole wire units, or "
            'currency as text, such as "1250.50"',
        )
    raise Problem("invalid-value", f"{member.name} must be of the type {' or '.join(member.types)}")


def money_command(body: str, values: dict[str, Any], profile: Profile, key: str) -> Command[Any]:
    """The payment command of a body. A sale without a ticket gets one that is derived from its ``key``.

    Raises:
        GetnetError: a value is invalid, or the profile has no such command.
    """
    kind = BODIES[body].kind
    assert kind is not None
    values = {name: value for name, value in values.items() if name != "again"}
    if "amount" in values:
        values["amount"] = _units(values["amount"], profile)
    if body in ("sale", "pre-authorization"):
        values.setdefault("ticket", hashlib.sha256(key.encode()).hexdigest()[:10].upper())
        values["send_message"] = True
    if "original_date" in values:
        kind = CloudRefund
    return _of_profile(kind, profile)(**values)


def _of_profile(kind: type[C], profile: Profile) -> type[C]:
    """``kind`` with the command code of the profile."""
    codes = profile.pre_authorization
    if not issubclass(kind, (PreAuthorization, PreAuthorizationCompletion, PreAuthorizationRelease)):
        return kind
    if codes is None:
        raise UnsupportedOperation(f"the profile {profile.name} has no command codes for pre-authorization")
    code = {
        PreAuthorization: codes.pre_authorize,
        PreAuthorizationCompletion: codes.complete,
        PreAuthorizationRelease: codes.release,
    }[kind]
    found: Any = profile.catalogue.kinds[code]
    chosen: type[C] = found
    return chosen


def report_command(kind: ReportKind, values: dict[str, Any], profile: Profile) -> Command[Any]:
    """The command that requests a report.

    Raises:
        Problem: the report does not have one of the members.
        GetnetError: a value is invalid.
    """
    wanted = profile.catalogue.kinds[kind.value]
    known = [item.name for item in sent_fields(wanted)]
    unknown = [name for name in values if name not in known]
    if unknown:
        raise Problem("invalid-request", f"this report does not have the member {unknown[0]}: leave it out")
    return wanted(**values)


def _units(amount: int | str, profile: Profile) -> int:
    if isinstance(amount, int):
        return to_wire(amount, profile.amount_exponent)
    found = _DECIMAL.fullmatch(amount)
    if found is None or len(found[1]) > max(2, profile.amount_exponent or 0):
        raise InvalidType(
            'amount as text must be currency with a decimal point, such as "1250.50"; send wire units as a JSON number'
        )
    if profile.amount_exponent is None:
        raise InvalidValue(
            f"amount is currency, but the profile {profile.name} does not know the decimals of the currency: send wire "
            "units as a JSON number, or serve the terminal with the profile cl or ar"
        )
    return to_wire(Decimal(amount), profile.amount_exponent)
