"""Countries and time limits, as data that is checked when it is made."""

from __future__ import annotations

import dataclasses
import pickle
from typing import Any

import pytest

from getnet_pos import (
    CATALOGUE,
    InvalidType,
    InvalidValue,
    PreAuthorizationCodes,
    PreAuthorizationReply,
    Profile,
    Timeouts,
)


def test_the_profiles() -> None:
    assert (Profile.INTEGRATED_POS.name, Profile.INTEGRATED_POS.amount_exponent) == ("integrated-pos", None)
    assert (Profile.CHILE.name, Profile.CHILE.amount_exponent) == ("cl", 0)
    assert (Profile.ARGENTINA.name, Profile.ARGENTINA.amount_exponent) == ("ar", 2)
    assert Profile.INTEGRATED_POS.pre_authorization == PreAuthorizationCodes(130, 131, 132, provisional=True)
    assert Profile.CHILE.pre_authorization is Profile.ARGENTINA.pre_authorization is None


def test_the_time_limits_are_those_of_the_documentation() -> None:
    limits = Timeouts()
    assert (limits.acknowledgement, limits.short, limits.report, limits.sale, limits.sale_total) == (
        3,
        10,
        60,
        120,
        300,
    )
    assert (limits.recovery, limits.recovery_interval, limits.cloud) == (90, 5, 330)
    assert all(profile.timeouts == limits for profile in (Profile.INTEGRATED_POS, Profile.CHILE, Profile.ARGENTINA))


def test_a_changed_profile_is_another_one() -> None:
    own = dataclasses.replace(Profile.CHILE, pre_authorization=PreAuthorizationCodes(140, 141, 142))
    assert Profile.CHILE.pre_authorization is None
    assert own.catalogue.reply_types[140] is PreAuthorizationReply
    assert own.catalogue.kind(130) is None
    assert own.catalogue is dataclasses.replace(own, name="x").catalogue
    assert Profile.CHILE.catalogue is CATALOGUE
    assert own.pre_authorization is not None
    assert not own.pre_authorization.provisional


@pytest.mark.parametrize("value", [Timeouts(sale=7), Profile.CHILE, Profile.INTEGRATED_POS])
def test_frozen_and_picklable(value: Any) -> None:
    assert pickle.loads(pickle.dumps(value)) == value
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, dataclasses.fields(value)[0].name, 1)


@pytest.mark.parametrize("name", [item.name for item in dataclasses.fields(Timeouts)])
def test_a_time_limit_is_a_number_of_seconds(name: str) -> None:
    assert getattr(Timeouts(**{name: 1}), name) == 1
    for wrong in (-1, float("nan"), float("inf"), 86_401):
        with pytest.raises(InvalidValue, match=f"timeout {name} must be more than 0 and at most 86400"):
            Timeouts(**{name: wrong})
    for unfit in ("3", None, True):
        with pytest.raises(InvalidType, match=f"timeout {name} must be a number"):
            Timeouts(**{name: unfit})  # type: ignore[arg-type]  # wrong on purpose


def test_only_waiting_for_a_turn_may_take_no_time() -> None:
    assert Timeouts(busy=0).busy == 0
    with pytest.raises(InvalidValue, match="timeout sale"):
        Timeouts(sale=0)
    with pytest.raises(InvalidType, match="timeout busy"):
        Timeouts(busy=False)


@pytest.mark.parametrize(
    ("codes", "error"),
    [
        ((130, 130, 132), InvalidValue),
        ((0, 131, 132), InvalidValue),
        ((130, 131, 1_000), InvalidValue),
        (("130", 131, 132), InvalidType),
    ],
)
def test_codes_are_three_different_numbers(codes: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        PreAuthorizationCodes(*codes)


@pytest.mark.parametrize("exponent", [-1, 5, True, 2.0, "2"])
def test_an_amount_has_none_to_four_decimals(exponent: Any) -> None:
    with pytest.raises(InvalidValue, match="amount_exponent"):
        Profile(name="x", amount_exponent=exponent)
