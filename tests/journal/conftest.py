"""What these tests count is printed at the end of the run; and the journals that keep the same rules."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from getnet_pos.journal import Journal, MemoryJournal, SqliteJournal
from tests.databases import common_server, dsn
from tests.evidence import evidence, folder

__all__ = ["common_server", "dsn", "evidence", "folder", "journal"]


@pytest.fixture(params=["memory", "file", pytest.param("database", marks=pytest.mark.postgres)])
def journal(request: pytest.FixtureRequest, folder: Path) -> Iterator[Journal]:
    if request.param == "memory":
        yield MemoryJournal()
    elif request.param == "database":
        from getnet_pos.journal import PostgresJournal

        with contextlib.closing(PostgresJournal(request.getfixturevalue("dsn"))) as database:
            yield database
    else:
        with contextlib.closing(SqliteJournal(folder / "journal.sqlite3")) as file:
            yield file
