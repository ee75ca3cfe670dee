"""Amounts: integer wire units inside, ``Decimal`` currency units at the edge. Knows no wire and no terminal."""

from __future__ import annotations

from decimal import Decimal

from .errors import InvalidType, InvalidValue

__all__ = ["MAX_AMOUNT", "Amount", "check_amount", "grouped", "to_decimal", "to_wire"]

MAX_AMOUNT = 999_999_999
"""The largest amount a terminal takes, in wire units (docs/protocol.md, commands)."""

Amount = int | Decimal
"""What a caller may pass: ``int`` wire units, or ``Decimal`` currency units."""


def check_amount(amount: object, *, field: str = "amount", minimum: int = 1) -> int:
    """Return ``amount`` if it is an ``int`` in wire units from ``minimum`` to ``MAX_AMOUNT``.

    Raises:
        InvalidType: for anything but an ``int``; ``bool`` and ``float`` are refused.
        InvalidValue: outside the range.
    """
    if type(amount) is not int:
        raise InvalidType(f"{field} must be an int in wire units or a Decimal in currency, not {type(amount).__name__}")
    if not minimum <= amount <= MAX_AMOUNT:
        raise InvalidValue(f"{field} must be from {minimum} to {MAX_AMOUNT}, not {_shown(amount)}")
    return amount


def to_wire(amount: object, exponent: int | None, *, field: str = "amount") -> int:
    """Return ``amount`` in wire units.

    ``exponent`` is the number of decimals of the currency that the wire carries: 0 for whole pesos, 2 for hundredths,
    ``None`` where it is not known; a ``Decimal`` is then refused, since any scale would be a guess.

    Raises:
        InvalidType: for a ``float``, a ``bool``, or anything else that is not ``int`` or ``Decimal``.
        InvalidValue: out of range, not finite, or with more decimals than the wire carries.
    """
    if not isinstance(amount, Decimal):
        return check_amount(amount, field=field)
    if exponent is None:
        raise InvalidValue(
            f"{field} is a Decimal, but this profile does not say how many decimals the terminal uses: "
            "pass an int in wire units, or use a profile with an amount scale (Profile.CHILE, Profile.ARGENTINA)"
        )
    if not amount.is_finite():
        raise InvalidValue(f"{field} must be a finite number")
    if abs(amount.adjusted()) > 20:
        raise InvalidValue(f"{field} must be from {to_decimal(1, exponent)} to {to_decimal(MAX_AMOUNT, exponent)}")
    # Integers only: the arithmetic of Decimal rounds to whatever precision the caller's context has.
    numerator, denominator = amount.as_integer_ratio()
    units, rest = divmod(numerator * 10**exponent, denominator)
    if rest:
        raise InvalidValue(f"{field} has more than the {exponent} decimals that the terminal carries: {amount}")
    return check_amount(units, field=field)


def to_decimal(units: int, exponent: int) -> Decimal:
    """Return wire units as currency units, exactly."""
    sign, digits, _ = Decimal(units).as_tuple()
    return Decimal((sign, digits, -exponent))


def grouped(units: int, exponent: int | None, *, thousands: str, decimals: str) -> str:
    """Wire units as a person reads them: in currency units where ``exponent`` is known, with ``thousands`` between
    groups of three digits and ``decimals`` before the fraction.
    """
    text = f"{units:,}" if exponent is None else f"{to_decimal(units, exponent):,f}"
    return text.translate({ord(","): thousands, ord("."): decimals})


def _shown(value: int) -> str:
    return str(value) if abs(value) < 10**20 else "a number of more than 20 digits"
