"""What the benches of a payment make of their figures."""

from __future__ import annotations

import pytest

pytest.importorskip("aiohttp", reason="it comes with the extra bench, which the tests of an installed copy go without")

from benches.chart import Point, crowd_chart
from benches.payments.loop import EVERY, lateness


def test_a_loop_that_stands_still_makes_all_within_it_late() -> None:
    quiet = [0.0001] * 990
    assert lateness(quiet, 0.99) == pytest.approx(0.0001)
    # One event in a thousand, but a second of three: at any time of it something could have come.
    assert lateness([*quiet, 1.0], 0.99) == pytest.approx(1.0, rel=0.05)
    assert lateness([*quiet, 1.0], 0.5) == pytest.approx(0.0001)
    assert lateness([*quiet, *[3 * EVERY] * 2], 0.99) < 3 * EVERY


def test_the_chart_has_every_crowd() -> None:
    drawn = crowd_chart([Point(1, 2.5, 50), Point(10_000, 3.25, 400)], "a sale & a crowd")
    assert all(shown in drawn for shown in ("a sale &amp; a crowd", "2.50 ms", "3.25 ms", "400 MB", "10,000"))
