"""Random faults by the hundred thousand on the real flows, on a virtual clock; the terminal's ledger is the truth."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.evidence import Count
from tests.faults.sequences import COMMANDS, play, play_range
from tests.faults.workers import shared, told

_BLOCK = 250


@pytest.mark.timeout(3600)
def test_no_sequence_charges_twice_or_ends_wrong(count: Count, evidence: Callable[[str], None]) -> None:
    seeds = count(short=4_000, evidence=100_000, long=1_000_000) // COMMANDS
    start = time.monotonic()
    blocks = [(first, first + _BLOCK) for first in range(0, seeds, _BLOCK)]
    counts = shared(play_range, blocks, patient=True)
    commands = counts.pop("sequences")
    assert commands == seeds * COMMANDS
    evidence(
        f"fault sequences: {commands:,} money commands in {time.monotonic() - start:.0f} s, 0 double charges, 0 wrong "
        f"finals, none past its deadline ({told(counts)})"
    )


@pytest.mark.parametrize("seed", [4711, 4721, 12930, 18609, 21169])
def test_a_seed_is_always_the_same_sequence(seed: int) -> None:
    assert all(play(seed) == play(seed) for _ in range(20))


@pytest.mark.parametrize("seed", [109_922, 155_538])
def test_a_late_reply_to_a_command_without_a_baseline(seed: int) -> None:
    """A register dies in the middle of a sale, and its reply comes to the next one: a person has to look."""
    assert play(seed)["UNKNOWN"]
