"""The seeds and the findings of the fuzzer hold on every Python and every system; the fuzzer itself needs more."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzz import seeds
from fuzz.targets import TARGETS, journal
from getnet_pos import IntentState

CORPUS = Path(seeds.CORPUS)


@pytest.mark.parametrize("name", TARGETS)
def test_no_promise_is_broken_by_what_is_in_the_corpus(name: str) -> None:
    inputs = sorted((CORPUS / name).iterdir())
    assert inputs
    for path in inputs:
        TARGETS[name](path.read_bytes())


def test_seeds_are_those_of_the_messages_that_the_tests_use() -> None:
    for target, inputs in seeds.seeds().items():
        held = {path.read_bytes() for path in (CORPUS / target).iterdir()}
        assert set(inputs.values()) <= held, f"run python -m fuzz.seeds: {target}"


def test_the_rows_of_the_journal_seed_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the target would fuzz nothing but the door."""
    seen = []
    monkeypatch.setattr("fuzz.targets._check", lambda intent: seen.append(intent.state))
    journal((CORPUS / "journal" / "rows").read_bytes())
    assert seen[:3] == [IntentState.INTENT, IntentState.SENT, IntentState.APPROVED]
    assert IntentState.UNKNOWN in seen
