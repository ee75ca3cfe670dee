"""Amounts: ``int`` wire units inside the library, ``Decimal`` currency units for callers."""

from __future__ import annotations

from decimal import Decimal

from .errors import InvalidType, InvalidValue

__all__ = ["MAX_AMOUNT", "Amount", "check_amount", "grouped", "to_decimal", "to_wire"]

MAX_AMOUNT = 999_999_999
"""The largest amount that a terminal accepts, in wire units (docs/protocol.md, "Commands")."""

Amount = int | Decimal
"""An amount that a caller may pass: ``int`` wire units, or ``Decimal`` currency units."""


def check_amount(amount: object, *, field: str = "amount", minimum: int = 1) -> int:
    """Return ``amount`` if it is an ``int`` in wire units from ``minimum`` to ``MAX_AMOUNT``.

    Raises:
        InvalidType: ``amount`` is not an ``int``; ``bool`` and ``float`` are refused.
        InvalidValue: ``amount`` is out of range.
    """
    if type(amount) is not int:
        kind = type(amount).__name__
        raise InvalidType(f"{field} must be an int in wire units or a Decimal in currency units, not {kind}")
    if not minimum <= amount <= MAX_AMOUNT:
        raise InvalidValue(f"{field} must be from {minimum} to {MAX_AMOUNT}, not {_shown(amount)}")
    return amount


def to_wire(amount: object, exponent: int | None, *, field: str = "amount") -> int:
    """Return ``amount`` in wire units.

    ``exponent`` is the number of decimals on the wire: 0 for whole pesos, 2 for hundredths, or ``None`` if unknown. A
    ``Decimal`` is then refused, because any scale would be a guess.

    Raises:
        InvalidType: ``amount`` is neither an ``int`` nor a ``Decimal``; ``bool`` and ``float`` are refused.
        InvalidValue: ``amount`` is out of range, not finite, or has more decimals than the wire.
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
    # Integers only: Decimal arithmetic rounds to the precision of the caller's context.
    numerator, denominator = amount.as_integer_ratio()
    units, rest = divmod(numerator * 10**exponent, denominator)
    if rest:
        raise InvalidValue(f"{field} has more decimals than the {exponent} that the terminal takes: {amount}")
    return check_amount(units, field=field)


def to_decimal(units: int, exponent: int) -> Decimal:
    """Return wire units as currency units, exactly."""
    sign, digits, _ = Decimal(units).as_tuple()
    return Decimal((sign, digits, -exponent))


def grouped(units: int, exponent: int | None, *, thousands: str, decimals: str) -> str:
    """Return wire units as a person reads them, in currency units if ``exponent`` is known.

    ``thousands`` goes between groups of three digits, and ``decimals`` before the fraction.
    """
    text = f"{units:,}" if exponent is None else f"{to_decimal(units, exponent):,f}"
    return text.translate({ord(","): thousands, ord("."): decimals})


def _shown(value: int) -> str:
    return str(value) if abs(value) < 10**20 else "a number of more than 20 digits"
