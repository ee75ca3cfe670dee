"""All interleavings of one sale with what can go wrong, on the real flows: no path ends wrong."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from getnet_pos.simulator import Outcome
from tests.evidence import Count
from tests.faults.explorer import Budget, Explorer, Setting, explore
from tests.faults.workers import shared, told

_TOGETHER = [
    Budget(losses=3),
    Budget(losses=2, kills=1),
    Budget(losses=1, reboots=1),
    Budget(losses=2, cancellations=1),
    Budget(kills=1, reboots=1),
    Budget(kills=1, cancellations=1),
    Budget(reboots=1, cancellations=1),
]
"""What goes wrong together, for each kind of terminal."""

_FEWER = [Budget(losses=1, kills=1), Budget(losses=1, reboots=1), Budget(losses=1, cancellations=1)]
"""The same in the short run."""

_TERMINALS = [
    Setting(Budget()),
    Setting(Budget(), outcome=Outcome.DECLINE),
    Setting(Budget(), record_after=7.0),
    Setting(Budget(), bare=True, record_after=1000.0),
]
"""One that approves, one that declines, one whose last voucher is stale, and one that names no ticket besides."""


_DEEPER = Budget(losses=1, kills=1, reboots=1)
"""The same for the first two of them."""

_WHOLE = Budget(losses=3, kills=1, reboots=1, cancellations=1)
"""All at once, in the long run."""


def _settings(count: Count) -> list[Setting]:
    def on_each(*budgets: Budget) -> list[Setting]:
        return [replace(kind, budget=budget) for budget in budgets for kind in _TERMINALS]

    # The longest first: they are shared out to processes.
    normal = [*(replace(kind, budget=_DEEPER) for kind in _TERMINALS[:2]), *on_each(*_TOGETHER)]
    whole = [replace(one, stop_at=1_000_000) for one in on_each(_WHOLE)]
    return count(short=on_each(*_FEWER), evidence=normal, long=whole + normal)


@pytest.mark.timeout(36_000)
def test_no_path_of_a_sale_ends_wrong(count: Count, evidence: Callable[[str], None]) -> None:
    start = time.monotonic()
    settings = _settings(count)
    counts = shared(explore, settings, patient=True)
    states, paths = counts.pop("states"), counts.pop("paths")
    cut = counts.pop("cut short")
    assert counts["ended APPROVED"]
    assert counts["ended UNKNOWN"]
    assert cut <= sum(setting.budget is _WHOLE for setting in settings)
    evidence(
        f"exploration: {states:,} states on {paths:,} paths in {time.monotonic() - start:.0f} s, 0 violations; "
        f"{told(+counts)}" + (f"; {cut} settings not to their end" if cut else "")
    )


@pytest.mark.parametrize("budget", [Budget(losses=2), Budget(losses=1, kills=1), Budget(losses=1, cancellations=1)])
def test_merging_states_loses_none(budget: Budget) -> None:
    merged, whole = (Explorer(Setting(budget), merging=merging) for merging in (True, False))
    merged.run()
    whole.run()
    assert merged.states == whole.states
    assert set(merged.outcomes) == set(whole.outcomes)
    assert merged.paths < whole.paths


def test_an_exploration_finds_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """A register that believes every reply of its amount is caught."""
    monkeypatch.setattr("getnet_pos.flows.money.recognise", lambda intent, reply, **_: _has_amount(intent, reply))
    with pytest.raises(AssertionError, match="is another's"):
        explore(Setting(Budget(losses=2), bare=True))


def _has_amount(intent: object, reply: object) -> bool:
    return getattr(reply, "amount", None) == getattr(intent, "amount", 0)
