"""How much the tests take, a place for what they have counted, and a folder without a disk."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import pytest

from getnet_pos import codec

_T = TypeVar("_T")


def own_half(parts: Sequence[_T]) -> list[_T]:
    """What the run of this codec plays of what is the same for both: between them the two runs play all of it."""
    other = codec.BACKEND == "pure"
    return [part for number, part in enumerate(parts) if (number + number // 4) % 2 == other]


class Count(Protocol):
    def __call__(self, *, short: _T, evidence: _T, long: _T) -> _T: ...


@pytest.fixture(scope="session")
def count(request: pytest.FixtureRequest) -> Count:
    """``count(short=100, evidence=2_000, long=1_000_000)`` is how much to take in this run.

    ``short`` is ``pytest`` alone, which is to end within 90 seconds on two processors.
    """

    def chosen(*, short: _T, evidence: _T, long: _T) -> _T:
        if request.config.getoption("--long"):
            return long
        return evidence if request.config.getoption("--evidence") else short

    return chosen


@pytest.fixture
def evidence(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """``evidence("1,000 of it, 0 wrong")`` adds a line to the end of the run."""
    return lambda line: record_property("evidence", line)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """In memory where there is such a place: what dies there is a process, and no disk is waited for."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm", ignore_cleanup_errors=True) as name:
        yield Path(name)
