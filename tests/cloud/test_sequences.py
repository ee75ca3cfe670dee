"""Sequences of faults against the virtual cloud. Its ledger is the truth: nothing charged twice, no final wrong."""

from __future__ import annotations

import logging

import pytest

from tests.cloud.sequences import run
from tests.evidence import Count


@pytest.mark.timeout(7200)
def test_no_sequence_of_faults_charges_twice_or_ends_wrong(count: Count) -> None:
    seeds = count(short=300, evidence=2_000, long=100_000)
    logging.disable(logging.CRITICAL)
    try:
        wrong = {seed: problems for seed in range(seeds) if (problems := run(seed))}
    finally:
        logging.disable(logging.NOTSET)
    assert wrong == {}


@pytest.mark.parametrize("seed", [57_928])
def test_sequences_that_once_ended_wrong(seed: int) -> None:
    assert run(seed) == []
