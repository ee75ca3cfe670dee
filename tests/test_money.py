"""Amounts: integer wire units inside, decimals at the edge, and no way for one to become another."""

from __future__ import annotations

from decimal import ROUND_DOWN, Context, Decimal, localcontext
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from getnet_pos import InvalidType, InvalidValue
from getnet_pos.money import MAX_AMOUNT, check_amount, to_decimal, to_wire

units = st.integers(1, MAX_AMOUNT)
exponents = st.integers(0, 4)
contexts = st.builds(Context, prec=st.integers(1, 40), rounding=st.just(ROUND_DOWN))


@given(units, exponents, contexts)
def test_units_survive_the_way_to_decimals_and_back(amount: int, exponent: int, context: Context) -> None:
    with localcontext(context):
        there = to_decimal(amount, exponent)
        assert there.as_tuple().exponent == -exponent
        assert to_wire(there, exponent) == amount


@given(st.decimals(allow_nan=True, allow_infinity=True), exponents, contexts)
def test_a_decimal_is_exactly_meant_or_refused(amount: Decimal, exponent: int, context: Context) -> None:
    with localcontext(context):
        try:
            wire = to_wire(amount, exponent)
        except InvalidValue:
            if amount.is_finite():
                exact = Fraction(amount) * 10**exponent
                assert exact.denominator != 1 or not 1 <= exact <= MAX_AMOUNT
        else:
            assert Fraction(wire) == Fraction(amount) * 10**exponent


@given(units, st.none() | exponents)
def test_an_int_is_wire_units_in_every_profile(amount: int, exponent: int | None) -> None:
    assert to_wire(amount, exponent) == amount


@pytest.mark.parametrize("amount", [1.0, True, None, "1", b"1", Fraction(1), object()])
@pytest.mark.parametrize("exponent", [None, 0, 2])
def test_nothing_but_int_and_decimal_is_money(amount: Any, exponent: int | None) -> None:
    with pytest.raises(InvalidType, match="amount must be an int in wire units or a Decimal"):
        to_wire(amount, exponent)


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        (Decimal("NaN"), "finite"),
        (Decimal("sNaN"), "finite"),
        (Decimal("Infinity"), "finite"),
        (Decimal("1E+400"), "from 0.01 to 9999999.99"),
        (Decimal("1E-400"), "from 0.01 to 9999999.99"),
        (Decimal("0.001"), "more decimals than the 2"),
        (Decimal("1.0000000000000000000000000000000000000001"), "more decimals than the 2"),
        (Decimal("0"), "from 1 to 999999999"),
        (Decimal("-1"), "from 1 to 999999999"),
        (Decimal("10000000"), "from 1 to 999999999"),
    ],
)
def test_a_decimal_that_cannot_be_meant(amount: Decimal, words: str) -> None:
    with pytest.raises(InvalidValue, match=words):
        to_wire(amount, 2)


def test_a_decimal_needs_a_scale() -> None:
    with pytest.raises(InvalidValue, match="does not say how many decimals"):
        to_wire(Decimal(1), None)


def test_bounds_and_names() -> None:
    assert check_amount(0, field="tip", minimum=0) == 0
    with pytest.raises(InvalidValue, match="tip must be from 0 to 999999999, not -1"):
        check_amount(-1, field="tip", minimum=0)
    with pytest.raises(InvalidValue, match="not a number of more than 20 digits"):
        check_amount(10**5_000)
