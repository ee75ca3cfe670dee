"""Random faults by the hundred thousand on the real flows, on a virtual clock; the terminal's ledger is the truth."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.evidence import Count, own_half
from tests.faults.sequences import COMMANDS, SEQUENCES, play_range
from tests.faults.workers import shared, told

_BLOCK = 250


@pytest.mark.parametrize("carrier", SEQUENCES)
def test_no_sequence_charges_twice_or_ends_wrong(carrier: str, count: Count, evidence: Callable[[str], None]) -> None:
    commands = {
        "stream": count(short=500, evidence=100_000, long=1_000_000),
        "cloud": count(short=200, evidence=40_000, long=1_000_000),
    }[carrier]
    start = time.monotonic()
    seeds = commands // COMMANDS
    blocks = [(carrier, first, min(first + _BLOCK, seeds)) for first in range(0, seeds, _BLOCK)]
    blocks = count(short=blocks, evidence=own_half(blocks), long=blocks)
    counts = shared(play_range, blocks, patient=True)
    commands = counts.pop("commands")
    assert commands == COMMANDS * sum(last - first for _, first, last in blocks)
    assert counts["APPROVED"]
    assert counts["DECLINED"]
    assert counts["UNKNOWN"]
    evidence(
        f"fault sequences, {carrier}: {commands:,} money commands in {time.monotonic() - start:.0f} s, 0 double "
        f"charges, 0 wrong finals, none past its deadline ({told(counts)})"
    )


@pytest.mark.parametrize("carrier", SEQUENCES)
@pytest.mark.parametrize("seed", [4711, 4721, 12930])
def test_a_seed_is_always_the_same_sequence(carrier: str, seed: int) -> None:
    sequence = SEQUENCES[carrier]
    assert sequence(seed).play() == sequence(seed).play()
