"""What a field of a command may hold. Checks only: every function returns the value it was given, or raises."""

from __future__ import annotations

from ..errors import InvalidType, InvalidValue

__all__ = ["check_code", "check_flag", "check_integer", "check_rut", "check_text"]


def check_integer(value: object, field: str, minimum: int, maximum: int) -> int:
    """An ``int`` (not a ``bool``) within the bounds, both included."""
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
    """A ``str`` of printable characters whose length is within the bounds, both included."""
    if not isinstance(value, str):
        raise InvalidType(f"{field} must be text, not {type(value).__name__}")
    if not minimum <= len(value) <= maximum:
        raise InvalidValue(f"{field} must have from {minimum} to {maximum} characters, not {len(value)}")
    if not value.isprintable():
        raise InvalidValue(f"{field} must not hold control characters")
    return value


def check_code(value: object, field: str = "code") -> int:
    return check_integer(value, field, 1, 999)


def check_rut(value: object, field: str = "RUT") -> str:
    """A Chilean tax number, as ``12345678-5`` or ``12.345.678-5``; returned without dots.

    Raises:
        InvalidValue: when the form is wrong, or the modulo-11 check digit does not fit.
    """
    text = check_text(value, field, 3, 12).replace(".", "").upper()
    body, dash, digit = text.partition("-")
    if not (
        dash and body.isascii() and body.isdigit() and len(body) <= 8 and len(digit) == 1 and digit in "0123456789K"
    ):
        raise InvalidValue(f"{field} must be digits, a hyphen and a check digit, such as 12345678-5")
    weighted = sum(int(number) * (2 + place % 6) for place, number in enumerate(reversed(body)))
    if digit != "0123456789K0"[11 - weighted % 11]:
        raise InvalidValue(f"{field} has a check digit that does not fit its number: look for a typing error")
    return text
