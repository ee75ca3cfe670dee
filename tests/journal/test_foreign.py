"""A file that is not a journal: it is refused, and nothing of it is touched."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from getnet_pos.errors import JournalError
from getnet_pos.journal import SqliteJournal
from getnet_pos.journal.file import _look_at

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes of files are POSIX's")


def _in_wal_mode(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA journal_mode=WAL")
        file.execute("CREATE TABLE music (title)")


def _with_a_plain_log(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as file:
        file.execute("CREATE TABLE music (title)")
        file.execute("PRAGMA application_id=7")
        file.commit()


def _text(path: Path) -> None:
    path.write_text("a file that a group reads\n" * 100)


def _empty(path: Path) -> None:
    path.touch()


def _look(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """All that can be seen: the names, the modes, when something was written, what is in it."""
    return {
        item.name: (stat.S_IMODE(item.lstat().st_mode), item.lstat().st_mtime_ns, item.read_bytes())
        for item in folder.iterdir()
    }


@pytest.mark.parametrize(
    "makes", [_in_wal_mode, _with_a_plain_log, _text, _empty], ids=lambda makes: makes.__name__[1:]
)
@pytest.mark.parametrize("linked", [False, True], ids=["itself", "behind a link"])
def test_it_stays_as_it_is(folder: Path, makes: Callable[[Path], None], linked: bool) -> None:
    path = folder / "shop.db"
    makes(path)
    path.chmod(0o664)
    if linked:
        path = folder / "journal.sqlite3"
        path.symlink_to("shop.db")
    before = _look(folder)
    with pytest.raises(JournalError, match=r"choose another file|file is not a database|the file is empty"):
        SqliteJournal(path)
    assert _look(folder) == before


def test_what_another_program_is_writing_stays_as_well(folder: Path) -> None:
    path = folder / "shop.db"
    _in_wal_mode(path)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("INSERT INTO music VALUES ('Volver')")
        before = _look(folder)
        with pytest.raises(JournalError, match="choose another file"):
            SqliteJournal(path)
        assert _look(folder) == before
        assert other.execute("SELECT title FROM music").fetchall() == [("Volver",)]


def test_a_link_to_a_journal_is_a_journal(folder: Path) -> None:
    SqliteJournal(folder / "real.sqlite3").close()
    (folder / "link.sqlite3").symlink_to("real.sqlite3")
    SqliteJournal(folder / "link.sqlite3").close()
    assert (folder / "link.sqlite3").is_symlink()


def test_looking_ends_no_lock_of_this_process(folder: Path) -> None:
    """Another object of this process is writing: a file that is opened and closed beside it would end its locks."""
    path = folder / "journal.sqlite3"
    writing = SqliteJournal(path)
    connection = writing._file._connected()
    connection.execute("BEGIN IMMEDIATE")
    _look_at(path)
    script = f"import sqlite3; sqlite3.connect({str(path)!r}, timeout=0).execute('BEGIN IMMEDIATE')"
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert "database is locked" in other.stderr
    connection.execute("ROLLBACK")
    writing.close()
