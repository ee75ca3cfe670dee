"""What these tests count is printed at the end of the run; and the two journals that keep the same rules."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from getnet_pos.journal import Journal, MemoryJournal, SqliteJournal
from tests.evidence import evidence, folder

__all__ = ["evidence", "folder", "journal"]


@pytest.fixture(params=["memory", "file"])
def journal(request: pytest.FixtureRequest, folder: Path) -> Iterator[Journal]:
    if request.param == "memory":
        yield MemoryJournal()
    else:
        with contextlib.closing(SqliteJournal(folder / "journal.sqlite3")) as file:
            yield file
