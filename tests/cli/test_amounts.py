"""Amounts as a person types them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from getnet_pos import InvalidValue, Profile
from getnet_pos.cli.amounts import read_amount, show_amount


@pytest.mark.parametrize(
    ("text", "profile", "units"),
    [
        ("25000", Profile.INTEGRATED_POS, 25_000),
        ("1", Profile.CHILE, 1),
        ("999999999", Profile.ARGENTINA, 999_999_999),
        ("250.00", Profile.ARGENTINA, 25_000),
        ("250.5", Profile.ARGENTINA, 25_050),
        ("0.05", Profile.ARGENTINA, 5),
        ("250.00", Profile.CHILE, 250),
    ],
)
def test_amounts_that_can_be_meant(text: str, profile: Profile, units: int) -> None:
    assert read_amount(text, profile) == units


@pytest.mark.parametrize("profile", [Profile.INTEGRATED_POS, Profile.CHILE, Profile.ARGENTINA])
@pytest.mark.parametrize(
    "text",
    ["", " ", "0", "00", "007", "-5", "+5", "1e3", "NaN", "inf", "0x10", "1_000", "1,000", "1.000", "1.000.000",
     "1,000.00", "1.000,00", "1000.000", "250,00", "250.", ".50", "25 000", " 250", "250\n", "\uff11\uff12", "$5",
     "1000000000", "9" * 5000, "0.00", "1.0001", "1/2"],
)  # fmt: skip
def test_amounts_that_cannot_be_meant(text: str, profile: Profile) -> None:
    with pytest.raises(InvalidValue):
        read_amount(text, profile)


def test_ambiguous_amount_says_how_to_write_it() -> None:
    with pytest.raises(InvalidValue, match=r"1\.000 could mean thousands or decimals: .*1000\.00"):
        read_amount("1.000", Profile.ARGENTINA)


def test_decimal_needs_a_profile_with_a_scale() -> None:
    with pytest.raises(InvalidValue, match=r"--profile cl or --profile ar"):
        read_amount("250.00", Profile.INTEGRATED_POS)
    with pytest.raises(InvalidValue, match="more decimals than the 0"):
        read_amount("250.50", Profile.CHILE)


def test_amounts_are_shown_as_currency_where_the_scale_is_known() -> None:
    assert show_amount(125_050, Profile.ARGENTINA) == "1,250.50 ARS"
    assert show_amount(-1_250_500, Profile.CHILE) == "-1,250,500 CLP"
    assert show_amount(25_000, Profile.INTEGRATED_POS) == show_amount(25_000, None) == "25,000"


@pytest.mark.parametrize("amount", ["1.000", "1,000", "-5", "-250.00", "1e3", "", "250.00", "0"])
@pytest.mark.parametrize("command", [("sale",), ("refund", "012345")])
def test_refused_amount_opens_nothing(called: Callable[..., Any], command: tuple[str, ...], amount: str) -> None:
    ended = called(*command, amount, "--port", "/dev/there-is-no-such-port")
    assert ended.code == 2, ended
    assert ended.out == ""
    assert ended.err.startswith("error: ")
    assert ended.err.count("\n") == 1
