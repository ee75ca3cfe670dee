"""Dates as terminals write them: which forms are read, and what is known of their order."""

from __future__ import annotations

import pytest

from getnet_pos.flows.dates import compare_dates, read_date


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("2026-06-11 22:40:22", "2026-06-11 22:40:22"),
        (" 2026-06-11 22:40:22 ", "2026-06-11 22:40:22"),
        ("2026-06-11T22:40:22", "2026-06-11 22:40:22"),
        ("2026/06/11 22:40", "2026-06-11 22:40"),
        ("2026-06-11T22:40:22.123", "2026-06-11 22:40:22"),
        ("2026-06-11T22:40:22,5", "2026-06-11 22:40:22"),
        ("2026-06-11T22:40:22Z", "2026-06-11 22:40:22Z"),
        ("2026-06-11T22:40:22.000-04:00", "2026-06-11 22:40:22-0400"),
        ("2026-06-11 22:40 +0300", "2026-06-11 22:40+0300"),
        ("11-06-2026 22:40:22", "2026-06-11 22:40:22"),
        ("11/06/2026 22:40", "2026-06-11 22:40"),
    ],
)
def test_a_form_that_is_understood(text: str, read: str) -> None:
    assert read_date(text) == read


@pytest.mark.parametrize(
    "text",
    [
        None, "", " ", "0", "2026-06-11", "22:40:22", "11-06-26 22:40:22", "20260611224022", "2026-13-01 10:00:00",
        "2026-02-30 10:00:00", "2026-06-11 24:00:00", "2026-06-11 10:60", "0000-00-00 00:00:00", "11 Jun 2026 22:40",
        "2026-06-11 22:40:22 PM", "\uff12\uff10\uff12\uff16-06-11 22:40:22",
    ],
)  # fmt: skip
def test_what_is_no_date(text: str | None) -> None:
    assert read_date(text) is None


@pytest.mark.parametrize(
    ("one", "two", "order"),
    [
        ("2026-06-11 22:40:22", "2026-06-11 22:40:23", -1),
        ("2026-06-11 22:40:22", "2026-06-11 22:40:22", 0),
        ("2026-06-12 00:00", "2026-06-11 23:59:59", 1),
        ("2026-06-11 22:40", "2026-06-11 22:40:59", 0),
        ("2026-06-11 22:41", "2026-06-11 22:40:59", 1),
        ("2026-06-11 22:40:22Z", "2026-06-11 22:40:21Z", 1),
        ("2026-06-11 22:40:22-0400", "2026-06-11 22:40-0400", 0),
        ("2026-06-11 22:40:22Z", "2026-06-11 22:40:21", None),
        ("2026-06-11 22:40:22-0400", "2026-06-11 22:40:22-0300", None),
        (None, "2026-06-11 22:40:22", None),
        ("2026-06-11 22:40:22", None, None),
    ],
    ids=["before", "the same", "after", "the same minute", "a later minute", "in one zone",
         "in one zone, the same minute", "with and without a zone", "in two zones", "the first is missing",
         "the second is missing"],
)  # fmt: skip
def test_what_is_known_of_their_order(one: str | None, two: str | None, order: int | None) -> None:
    """The coarser of the two decides: of the same minute is not newer."""
    assert compare_dates(one, two) == order
