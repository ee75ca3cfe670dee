"""Checks of the values of a command's fields. Every check returns the value to keep, or raises."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

from ..errors import InvalidType, InvalidValue
from ..money import check_amount

__all__ = [
    "Check",
    "amount",
    "card_ranges",
    "check_code",
    "check_flag",
    "check_integer",
    "check_rut",
    "check_text",
    "day",
    "integer",
    "one_of",
    "optional",
    "text",
]


def check_integer(value: object, field: str, minimum: int, maximum: int) -> int:
    """Return ``value`` if it is an ``int`` (not a ``bool``) from ``minimum`` to ``maximum``, both included."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidType(f"{field} must be an int, not {type(value).__name__}")
    if not minimum <= value <= maximum:
        shown = value if abs(value) < 10**20 else "a number of more than 20 digits"
        raise InvalidValue(f"{field} must be from {minimum} to {maximum}, not {shown}")
    return value


def check_flag(value: object, field: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidType(f"{field} must be True or False, not {type(value).__name__}")
    return value


def check_text(value: object, field: str, minimum: int, maximum: int) -> str:
    """Return ``value`` if it is a ``str`` of ``minimum`` to ``maximum`` printable characters."""
    if not isinstance(value, str):
        raise InvalidType(f"{field} must be text, not {type(value).__name__}")
    if not minimum <= len(value) <= maximum:
        raise InvalidValue(f"{field} must have from {minimum} to {maximum} characters, not {len(value)}")
    if not value.isprintable():
        raise InvalidValue(f"{field} must not contain control characters")
    return value


def check_code(value: object, field: str = "code") -> int:
    return check_integer(value, field, 1, 999)


def check_rut(value: object, field: str = "RUT") -> str:
    """Return ``value`` if it is a Chilean tax number, such as ``12345678-5`` or ``12.345.678-5``.

    Raises:
        InvalidValue: the format or the modulo-11 check digit is wrong.
    """
    given = check_text(value, field, 3, 12)
    body, dash, digit = given.replace(".", "").upper().partition("-")
    if not (
        dash and body.isascii() and body.isdigit() and len(body) <= 8 and len(digit) == 1 and digit in "0123456789K"
    ):
        raise InvalidValue(f"{field} must be digits, a hyphen and a check digit, such as 12345678-5")
    weighted = sum(int(number) * (2 + place % 6) for place, number in enumerate(reversed(body)))
    if digit != "0123456789K0"[11 - weighted % 11]:
        raise InvalidValue(f"{field} has a wrong check digit: check the number for a typing error")
    return given


# ------------------------------------------------------------------------------------------------- checks of fields

Check = Callable[[Any, str], Any]
"""A function of a field's value and name. It returns the value to keep, or raises ``InvalidValue``."""


def integer(minimum: int, maximum: int) -> Check:
    return lambda value, field: check_integer(value, field, minimum, maximum)


def text(minimum: int, maximum: int) -> Check:
    return lambda value, field: check_text(value, field, minimum, maximum)


def amount(minimum: int = 1) -> Check:
    return lambda value, field: check_amount(value, field=field, minimum=minimum)


def one_of(kind: type) -> Check:
    """A check for an object of type ``kind``."""

    def check(value: Any, field: str) -> Any:
        if not isinstance(value, kind):
            raise InvalidType(f"{field} must be of type {kind.__name__}, not {type(value).__name__}")
        return value

    return check


def optional(check: Check) -> Check:
    """``None``, or a value that passes ``check``."""
    return lambda value, field: None if value is None else check(value, field)


def card_ranges(value: Any, field: str) -> Any:
    """A list of BINs of eight digits."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise InvalidType(f"{field} must be a list of BINs, not {type(value).__name__}")
    for card in value:
        if not (check_text(card, field, 8, 8).isascii() and card.isdigit()):
            raise InvalidValue(f"{field} must contain only BINs of 8 digits")
    return value


def day(value: Any, field: str) -> str:
    """A ``date``, or text as ``yyyy-MM-dd``; returned as text."""
    if isinstance(value, date):
        return value.isoformat()[:10]
    if not isinstance(value, str):
        raise InvalidType(f"{field} must be a date or text as yyyy-MM-dd, not {type(value).__name__}")
    try:
        if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
            raise ValueError
        return date.fromisoformat(value).isoformat()
    except ValueError:
        raise InvalidValue(f"{field} must be an existing date, as yyyy-MM-dd") from None
