"""What tests of faults and of the journal share: a place for their counts, and a folder without a disk."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


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
