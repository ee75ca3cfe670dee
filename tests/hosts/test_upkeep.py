"""Whole journals: checked, copied between a file and a database, and the commands that do it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from getnet_pos.errors import InvalidValue, JournalError
from getnet_pos.journal import Journal, PostgresJournal, SqliteJournal, open_journal
from getnet_pos.journal.upkeep import check_journal, copy_journal
from getnet_pos.messages import IntentState
from tests.databases import Server
from tests.journal.samples import OPEN, PAID, TERMINAL, UNKNOWN, intent, record


def a_day(journal: Journal) -> None:
    for number in range(40):
        record(journal, replace(intent(number), idempotency_key=f"k{number}"), *PAID)
    record(journal, replace(intent(100), terminal_id="T1"), *UNKNOWN)
    record(journal, intent(101), *UNKNOWN, IntentState.RESOLVED_PAID, IntentState.CONTRADICTED)


@pytest.fixture
def file(folder: Path) -> Path:
    path = folder / "journal.sqlite3"
    with contextlib.closing(SqliteJournal(path)) as journal:
        a_day(journal)
    return path


def test_a_file_is_checked_and_copied(file: Path) -> None:
    """Also from file to file; the copy goes on as the original would."""
    found = check_journal(str(file))
    assert (found.steps, found.intents, found.unsettled) == (172, 42, 2)
    copy = file.with_name("copy.sqlite3")
    assert copy_journal(str(file), str(copy)) == found
    with contextlib.closing(SqliteJournal(copy)) as journal:
        record(journal, intent(200), *PAID)
    assert check_journal(str(copy)).steps == 176
    with pytest.raises(InvalidValue, match="already exists"):
        copy_journal(str(file), str(copy))
    with pytest.raises(InvalidValue, match="there is no journal at"):
        copy_journal(str(file.with_name("nothing")), str(file.with_name("new")))


def test_what_is_open_is_not_copied(file: Path) -> None:
    with contextlib.closing(SqliteJournal(file)) as journal:
        record(journal, intent(300), *OPEN)
    with pytest.raises(InvalidValue, match=f"intent {intent(300).intent_id} is open: poll its terminal first"):
        copy_journal(str(file), str(file.with_name("copy.sqlite3")))
    assert not file.with_name("copy.sqlite3").exists()


@pytest.mark.postgres
def test_there_and_back_again(file: Path, dsn: str) -> None:
    found = check_journal(str(file))
    assert copy_journal(str(file), dsn) == found
    back = file.with_name("back.sqlite3")
    assert copy_journal(dsn, str(back)) == found
    with contextlib.closing(PostgresJournal(dsn)) as journal, contextlib.closing(SqliteJournal(back)) as other:
        assert journal.steps() == other.steps()
        assert journal.intents() == other.intents()
        assert journal.recent(TERMINAL)[-8:] == other.recent(TERMINAL)[-8:]
        with pytest.raises(JournalError, match="is settled"):
            journal.record(replace(intent(1), state=IntentState.UNKNOWN))
        record(journal, intent(200), *PAID)
    assert check_journal(dsn).steps == 176
    with pytest.raises(InvalidValue, match="the database already has steps"):
        copy_journal(str(file), dsn)


@pytest.mark.postgres
def test_a_database_that_was_tampered_with_is_found_out(file: Path, dsn: str, common_server: Server) -> None:
    for trouble, why in (
        ("UPDATE getnet_pos.step SET amount = 5 WHERE id = 3", r"damaged: row 3: its content has been changed"),
        ("DELETE FROM getnet_pos.step WHERE id = 5", "cannot follow the step before it"),
        ("DELETE FROM getnet_pos.unsettled", "are not those that its steps show"),
    ):
        copy_journal(str(file), dsn)
        common_server.sql("SET session_replication_role = replica", trouble, database="journal")
        with pytest.raises(JournalError, match=why):
            check_journal(dsn)
        common_server.sql(
            "SET session_replication_role = replica",
            "TRUNCATE getnet_pos.step, getnet_pos.unsettled",
            database="journal",
        )


def command(*arguments: str, code: int = 0) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "GETNET_POS_JOURNAL"}
    done = subprocess.run(
        [sys.executable, "-m", "getnet_pos.cli", *arguments], capture_output=True, text=True, timeout=60,
        env=environment,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


@pytest.mark.postgres
def test_the_commands(file: Path, common_server: Server) -> None:
    common_server.sql("DROP DATABASE IF EXISTS shop", "CREATE DATABASE shop", "DROP ROLE IF EXISTS till")
    common_server.sql("CREATE ROLE till LOGIN")
    dsn = common_server.dsn("shop")
    assert "none: run getnet-pos journal init" in command("journal", "status", dsn, code=6)
    assert command("journal", "init", dsn, "--role", "till") == "the journal was created\n"
    assert "is now up to date" in command("journal", "init", dsn)
    till = common_server.dsn("shop", user="till")
    assert json.loads(command("journal", "status", till, "--json"))["weakness"] is None
    assert "copied 172 steps of 42 commands" in command("journal", "copy", str(file), dsn)
    assert "172 steps of 42 commands, 2 of them not settled" in command("journal", "check", till)
    assert intent(100).intent_id[:12] in command("intents", "--journal", till)
    decided = command("resolve", intent(100).intent_id, "--paid", "--by", "Ana", "--note", "slip", "--journal", till)
    assert "RESOLVED_PAID" in decided
    assert "pass the database as" in command("journal", "init", str(file), code=2)
    assert command("journal", "check", "postgresql://x:y@z@w/", code=2).startswith("error: the connection string")


@pytest.mark.postgres
def test_the_environment_may_name_a_database(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from getnet_pos.journal import DEFAULT_JOURNAL

    monkeypatch.setenv("GETNET_POS_JOURNAL", dsn)
    journal = open_journal(DEFAULT_JOURNAL)
    assert isinstance(journal, PostgresJournal)
    assert open_journal(dsn) is journal
    journal.close()
