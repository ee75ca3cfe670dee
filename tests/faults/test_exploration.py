"""All interleavings of one sale with what can go wrong, on the real flows over both carriers: no path ends wrong."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import product

import pytest

from getnet_pos import Profile
from getnet_pos.codec import BACKEND
from getnet_pos.simulator import Outcome
from tests.evidence import Count
from tests.faults.explorer import Budget, Explorer, Setting, explore
from tests.faults.workers import shared, told
from tests.faults.world import HOOK

_TERMINALS = [
    Setting(Budget()),
    Setting(Budget(), outcome=Outcome.DECLINE),
    Setting(Budget(), record_after=7.0),
    Setting(Budget(), bare=True, record_after=1000.0),
]
"""One that approves, one that declines, one whose last voucher is stale, and one that names no ticket besides."""

_WAYS = {
    "stream": [(None, None)],
    "cloud": list(product((Profile.CHILE, Profile.ARGENTINA), (None, HOOK))),
}
"""The clouds, and whether they answer with the result or are asked for it."""

_ALONE = {
    "stream": [Budget(losses=1), Budget(kills=1), Budget(reboots=1), Budget(losses=1, cancellations=1)],
    "cloud": [Budget(losses=1), Budget(kills=1), Budget(reboots=1)],
}
"""What goes wrong in the short run, on two of the four terminals and, over the cloud, on a way of its own each."""

_TOGETHER = {
    "stream": [
        Budget(losses=2),
        Budget(losses=1, kills=1),
        Budget(losses=1, reboots=1),
        Budget(losses=2, cancellations=1),
        Budget(kills=1, reboots=1),
        Budget(kills=1, cancellations=1),
        Budget(reboots=1, cancellations=1),
    ],
    "cloud": [Budget(losses=2), Budget(losses=1, kills=1)],
}
"""The same as evidence, on all of it, in the run with the native codec: no codec has a part, and that one is quick."""

_DEEPER = {
    "stream": [Budget(losses=3), Budget(losses=2, kills=1)],
    "cloud": [Budget(losses=1, reboots=1), Budget(kills=1, reboots=1)],
}
"""And on a third of it."""

_WHOLE = {
    "stream": Budget(losses=3, kills=1, reboots=1, cancellations=1),
    "cloud": Budget(losses=3, kills=1, reboots=1),
}
"""All at once, in the long run."""


def _settings(carrier: str, count: Count) -> list[Setting]:
    kinds = [
        replace(kind, profile=profile, webhook=webhook) for kind in _TERMINALS for profile, webhook in _WAYS[carrier]
    ]
    each = kinds[:: len(_WAYS[carrier]) + (carrier == "cloud")]
    few = [
        replace(kind, budget=budget) for number, budget in enumerate(_ALONE[carrier]) for kind in each[number % 2 :: 2]
    ]
    together = [replace(kind, budget=budget) for budget in _TOGETHER[carrier] for kind in kinds]
    # The longest first: they are shared out to processes.
    together = [replace(kind, budget=budget) for budget in _DEEPER[carrier] for kind in kinds[::3]] + together
    whole = [replace(kind, budget=_WHOLE[carrier], stop_at=1_000_000) for kind in kinds]
    return count(short=few, evidence=few if BACKEND == "pure" else together, long=whole + together)


@pytest.mark.parametrize("carrier", _WAYS)
def test_no_path_of_a_sale_ends_wrong(carrier: str, count: Count, evidence: Callable[[str], None]) -> None:
    start = time.monotonic()
    settings = _settings(carrier, count)
    counts = shared(explore, settings, patient=True)
    states, paths = counts.pop("states"), counts.pop("paths")
    cut = counts.pop("cut short")
    assert counts["ended APPROVED"]
    assert counts["ended DECLINED"]
    assert counts["ended UNKNOWN"]
    assert cut <= sum(setting.budget == _WHOLE[carrier] for setting in settings)
    evidence(
        f"exploration, {carrier}: {states:,} states on {paths:,} paths in {time.monotonic() - start:.0f} s, 0 "
        f"violations; {told(+counts)}" + (f"; {cut} settings not to their end" if cut else "")
    )


_FULLY = [
    Setting(Budget(losses=1, cancellations=1)),
    Setting(Budget(kills=1, reboots=1), profile=Profile.CHILE),
    Setting(Budget(losses=2)),
    Setting(Budget(losses=1, kills=1)),
    Setting(Budget(losses=1, kills=1), profile=Profile.CHILE),
    Setting(Budget(losses=2), profile=Profile.ARGENTINA, webhook=HOOK),
]


def test_merging_states_loses_none(count: Count) -> None:
    settings = count(short=_FULLY[:1], evidence=_FULLY[:1] if BACKEND == "pure" else _FULLY, long=_FULLY)
    assert shared(both_ways, settings, patient=True)["alike"] == len(settings)


def both_ways(setting: Setting) -> Counter[str]:
    """Explore with states merged and without: each reaches the same."""
    merged, whole = (Explorer(setting, merging=merging) for merging in (True, False))
    merged.run()
    whole.run()
    assert merged.states == whole.states, setting
    assert set(merged.outcomes) == set(whole.outcomes), setting
    assert merged.paths < whole.paths, setting
    return Counter(alike=1)


@pytest.mark.parametrize("profile", [None, Profile.ARGENTINA], ids=["stream", "cloud"])
def test_an_exploration_finds_what_is_wrong(profile: Profile | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A register that believes every voucher of its amount is caught."""
    monkeypatch.setattr("getnet_pos.flows.matching.recognise", _has_not_its_amount)
    with pytest.raises(AssertionError, match=r"it has the result of another|the journal|taken for two"):
        explore(Setting(Budget(losses=2), profile=profile, bare=True))


def _has_not_its_amount(intent: object, reply: object, *_: object, **__: object) -> str:
    return "" if getattr(reply, "amount", None) == getattr(intent, "amount", 0) else "another amount"
