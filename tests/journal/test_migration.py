"""A journal of an older version: it is opened with all it holds, or it stays as it was."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from getnet_pos.errors import JournalError
from getnet_pos.journal import SqliteJournal
from getnet_pos.messages import IntentState, VoucherMark
from tests.evidence import Count
from tests.journal.samples import intent, record

SCHEMA_1 = Path(__file__).parent / "data" / "schema1.sqlite3"
"""Written by the version that had schema 1: 102 steps of open, unknown, settled and resolved intents."""

NEW_IN_2 = {"terminal_id", "commerce_code", "device", "idempotency_key", "reason", "found", "reply"}


@pytest.fixture
def path(folder: Path) -> Path:
    return Path(shutil.copy(SCHEMA_1, folder / "journal.sqlite3"))


def _rows(path: Path) -> list[dict[str, Any]]:
    """What the file holds, read without the library."""
    with contextlib.closing(sqlite3.connect(path)) as file:
        file.row_factory = sqlite3.Row
        return [dict(row) for row in file.execute("SELECT * FROM step ORDER BY id")]


def _schema(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(path)) as file:
        [version] = file.execute("PRAGMA user_version").fetchone()
        assert isinstance(version, int)
        return version


def test_every_step_is_the_same_in_the_newer_file(path: Path) -> None:
    before = _rows(path)
    with contextlib.closing(SqliteJournal(path)) as journal:
        steps = journal.steps()
    after = _rows(path)
    assert len(steps) == len(before) == 102
    assert after[0].keys() - before[0].keys() == NEW_IN_2
    for old, new, step in zip(before, after, steps, strict=True):
        old.pop("digest")
        assert {name: new[name] for name in old} == old
        assert not any(new[name] for name in NEW_IN_2)
        assert (step.sequence, step.at, step.intent.state) == (old["sequence"], old["at"], old["state"])
    assert _schema(path) == 2
    assert steps[0].intent.baseline == VoucherMark(1, "2026-06-11 22:40:00", "654321", 991, 100)


def test_what_was_open_can_be_settled_afterwards(path: Path) -> None:
    with contextlib.closing(SqliteJournal(path)) as journal:
        assert [(one.ticket, one.state) for one in journal.intents()] == [
            ("A1", IntentState.UNKNOWN),
            ("A2", IntentState.ACCEPTED),
            ("A26", IntentState.ACCEPTED),
            ("A27", IntentState.SENT),
        ]
        for one in journal.intents():
            journal.resolve(one.intent_id, paid=True, by="Ana", note="voucher on the terminal")
        record(journal, intent(1_000), IntentState.INTENT)
    with contextlib.closing(SqliteJournal(path)) as again:
        assert [one.intent_id for one in again.intents()] == [intent(1_000).intent_id]
        assert len(again.steps()) == 107


def test_the_migrated_file_is_described_as_a_new_one(path: Path) -> None:
    SqliteJournal(path).close()
    SqliteJournal(fresh := path.with_name("fresh.sqlite3")).close()
    described = []
    for one in (path, fresh):
        with contextlib.closing(sqlite3.connect(one)) as file:
            described.append(file.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY rowid").fetchall())
    assert described[0] == described[1]


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE step SET amount = 9 WHERE id = 40", "row 40 has been changed"),
        ("DELETE FROM step WHERE id = 40", "a row is missing"),
        ("DELETE FROM step WHERE id = 1", "a row is missing"),
        ("PRAGMA user_version=0", "schema version 0 has never existed"),
    ],
)
def test_a_damaged_older_file_is_left_as_it_is(path: Path, statement: str, said: str) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as file:
        triggers = [text for [text] in file.execute("SELECT sql FROM sqlite_schema WHERE type = 'trigger'")]
        file.execute("DROP TRIGGER never_changed")
        file.execute("DROP TRIGGER never_deleted")
        file.execute(statement)
        for text in triggers:
            file.execute(text)
    before = path.read_bytes()
    with pytest.raises(JournalError, match=said):
        SqliteJournal(path)
    assert path.read_bytes() == before


def test_a_newer_file_is_called_newer(path: Path) -> None:
    """Not damaged: whoever reads that would move the payments away that it holds."""
    with contextlib.closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA user_version=99")
        file.execute("ALTER TABLE step ADD COLUMN of_tomorrow")
    with pytest.raises(JournalError, match="written by a newer version: update getnet-pos") as caught:
        SqliteJournal(path)
    assert "examination" not in str(caught.value)


def test_two_processes_migrate_it_once(path: Path) -> None:
    script = f"""
        import sys
        sys.path[:0] = {sys.path!r}
        from getnet_pos.journal import SqliteJournal
        print(len(SqliteJournal({str(path)!r}).steps()))
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert [process.communicate(timeout=60)[0] for process in running] == ["102\n"] * 4


@pytest.mark.skipif(os.name != "posix", reason="killed as POSIX does it")
def test_killed_in_the_middle(path: Path, count: Count, evidence: Callable[[str], None]) -> None:
    """Wherever in its writing it dies, the next one finds the old file whole, and migrates it."""
    script = f"""
        import os, resource, shutil, signal, sys
        from collections import Counter
        from pathlib import Path
        sys.path[:0] = {sys.path!r}
        from getnet_pos.journal import SqliteJournal
        old, path = Path({str(SCHEMA_1)!r}), Path({str(path)!r})
        undo = path.with_name(path.name + "-journal")
        truth = SqliteJournal(path).steps()
        size, counts = path.stat().st_size, Counter()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        for limit in range(0, size, {count(short=4_999, evidence=997, long=199)}):
            undo.unlink(missing_ok=True)
            shutil.copy(old, path)
            child = os.fork()
            if child == 0:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, -1))
                SqliteJournal(path)
                os._exit(0)
            assert os.WIFSIGNALED(os.waitpid(child, 0)[1]), limit
            counts["pages written" if path.read_bytes() != old.read_bytes() else "no page written"] += 1
            assert SqliteJournal(path).steps() == truth, limit
        assert len(counts) == 2, counts
        print(dict(counts))
    """
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    evidence(f"killed in the middle of a migration, every step there afterwards: {done.stdout.strip()}")
