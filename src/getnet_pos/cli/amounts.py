"""Reads an amount as a person types it. Ambiguous amounts are refused before anything is opened."""

from __future__ import annotations

import re
from decimal import Decimal

from ..errors import InvalidValue
from ..money import Amount, grouped, to_wire
from ..profiles import Profile

__all__ = ["read_amount", "show_amount"]

_WHOLE = re.compile(r"0|[1-9][0-9]{0,19}")
_DECIMAL = re.compile(r"(?:0|[1-9][0-9]{0,19})\.[0-9]{1,9}")
_THOUSANDS = re.compile(r"[0-9]+(?:[.,' ][0-9]{3})+")


def read_amount(text: str, profile: Profile) -> int:
    """``text`` in wire units: an integer is wire units already; a decimal such as ``250.00`` is currency.

    Raises:
        InvalidValue: it is neither, it is ambiguous, or the profile cannot represent it.
    """
    amount: Amount
    if _WHOLE.fullmatch(text):
        amount = int(text)
    elif _THOUSANDS.fullmatch(text):
        raise InvalidValue(
            f"{text} could mean thousands or decimals: write only digits for wire units, such as 1000, or a decimal "
            "point with one or two decimals for currency, such as 1000.00"
        )
    elif _DECIMAL.fullmatch(text):
        amount = Decimal(text)
    else:
        raise InvalidValue(
            f"{text[:40]!r} is not an amount: write only digits for wire units, such as 25000, or digits with a "
            "decimal point for currency, such as 250.00; no sign, comma, exponent or leading zero"
        )
    if isinstance(amount, Decimal) and profile.amount_exponent is None:
        raise InvalidValue(
            f"{text} has a decimal point, but the profile {profile.name} does not know how many decimals the terminal "
            "uses: write wire units without a point, or choose --profile cl or --profile ar"
        )
    return to_wire(amount, profile.amount_exponent)


def show_amount(units: int, profile: Profile | None) -> str:
    """Wire units for a person: as currency if the profile knows the decimals."""
    exponent = None if profile is None else profile.amount_exponent
    text = grouped(units, exponent, thousands=",", decimals=".")
    return text if profile is None or exponent is None or profile.currency is None else f"{text} {profile.currency}"
