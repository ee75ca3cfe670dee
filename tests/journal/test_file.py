"""The journal's file: what it is, who may share it, and what is said when it cannot be used."""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path

import pytest

from getnet_pos import Connector
from getnet_pos.errors import ConfigurationError, JournalError
from getnet_pos.journal import (
    DEFAULT_JOURNAL,
    MemoryJournal,
    Search,
    SqliteJournal,
    default_path,
    file,
    open_journal,
    schema,
)
from getnet_pos.messages import FINAL_STATES, NEXT_STATES, Intent, IntentState, VoucherMark
from getnet_pos.simulator import SerialServer, VirtualTerminal
from tests.evidence import Count
from tests.journal.samples import MARK, OPEN, PAID, TERMINAL, UNKNOWN, history, intent, record, tampering

posix = pytest.mark.skipif(os.name != "posix", reason="as POSIX does it")


@pytest.fixture
def path(folder: Path) -> Path:
    return folder / "books" / "journal.sqlite3"


@pytest.fixture
def journal(path: Path) -> Iterator[SqliteJournal]:
    with contextlib.closing(SqliteJournal(path)) as file:
        yield file


# -------------------------------------------------------------------------------------------------------- what it holds


def test_rows_are_never_changed_or_deleted(journal: SqliteJournal, path: Path) -> None:
    record(journal, intent(), *PAID)
    with contextlib.closing(sqlite3.connect(path)) as other:
        for statement in ("UPDATE step SET amount = 1", "DELETE FROM step"):
            with pytest.raises(sqlite3.IntegrityError, match="insert-only"):
                other.execute(statement)


@posix
def test_nobody_else_may_read_it(path: Path) -> None:
    SqliteJournal(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.chmod(0o644)
    SqliteJournal(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [item.name for item in path.parent.iterdir()] == ["journal.sqlite3", "journal.sqlite3-journal"] or [
        item.name for item in path.parent.iterdir()
    ] == ["journal.sqlite3"]


def test_the_disk_is_told_to_sync(journal: SqliteJournal) -> None:
    """TRUNCATE and EXTRA: WAL can lose committed pages, and FULL the end of a transaction (docs/reliability.md)."""
    pragma = {name: journal._file._connected().execute(f"PRAGMA {name}").fetchone()[0] for name in _SETTINGS}
    assert pragma == _SETTINGS


_SETTINGS = {"journal_mode": "truncate", "synchronous": 3, "fullfsync": 1}


# -------------------------------------------------------------------------------------------------------------- sharing


def test_two_registers_share_a_file(journal: SqliteJournal, path: Path) -> None:
    """What one wrote, the other knows; each writes about its own terminal, and one open command a terminal holds."""
    with contextlib.closing(SqliteJournal(path)) as other:
        record(journal, intent(1), *OPEN)
        with pytest.raises(JournalError, match="has the open intent"):
            other.record(intent(2))
        record(other, intent(3, terminal="usb:/dev/ttyACM1"), *PAID)
        record(other, replace(intent(1), state=IntentState.APPROVED), IntentState.APPROVED)
        record(journal, intent(2), *PAID)
        assert [one.ticket for one in other.intents(settled=True)] == ["T1", "T3", "T2"]


def test_a_fresh_file_with_two_users_is_whole(path: Path, count: Count) -> None:
    """One looks while the other writes: what is counted and what is read are of one moment."""
    script = f"""
        import sys, time
        sys.path[:0] = {sys.path!r}
        from getnet_pos.journal import SqliteJournal
        from tests.journal.samples import *
        path, me, start = sys.argv[1:]
        journal = SqliteJournal(path)
        time.sleep(max(0, float(start) - time.time()))
        for number in range(20):
            if me == "writer":
                record(journal, intent(number, terminal=f"usb:{{number}}"), *PAID)
            for place in range(20):
                journal.recent(f"usb:{{number}}/{{place}}")
    """
    for number in range(count(short=1, evidence=3, long=25)):
        fresh = str(path.with_name(f"{number}.sqlite3"))
        SqliteJournal(fresh).close()
        command = [sys.executable, "-c", textwrap.dedent(script), fresh]
        start = str(time.time() + 0.6)
        both = [
            subprocess.Popen([*command, me, start], stderr=subprocess.PIPE, text=True) for me in ("writer", "reader")
        ]
        for process in both:
            _, errors = process.communicate(timeout=60)
            assert process.returncode == 0, errors


def test_many_threads_write_at_once(journal: SqliteJournal) -> None:
    def pay(number: int) -> None:
        for count in range(5):
            record(journal, intent(100 * number + count, terminal=f"usb:{number}"), *PAID)

    threads = [threading.Thread(target=pay, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(journal.steps()) == 8 * 5 * 4
    assert journal.intents() == []


def test_a_file_that_stays_locked_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getnet_pos.journal.file._WAIT", 0.05)
    with contextlib.closing(SqliteJournal(path)) as journal, contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalError, match="Another process keeps it locked"):
            journal.record(intent())


def test_one_file_has_one_object_in_a_process(path: Path) -> None:
    assert open_journal(path) is open_journal(str(path.parent / ".." / path.parent.name / path.name))


@posix
def test_a_fork_takes_nothing_from_its_parent(path: Path) -> None:
    """A child that was forked while the parent was writing opens the file for itself, and hurts nobody."""
    script = f"""
        import os, sys, threading
        sys.path[:0] = {sys.path!r}
        from getnet_pos.journal import SqliteJournal
        from tests.journal.samples import *
        journal = SqliteJournal({str(path)!r})
        record(journal, intent(1), *PAID)
        record(journal, intent(2), IntentState.INTENT, IntentState.SENT)  # the parent will write it, and nobody else
        connection = journal._file._connection
        connection.execute("BEGIN IMMEDIATE")  # as in the middle of a write
        connection.execute("PRAGMA user_version=1")
        child = os.fork()
        if child == 0:
            journal.close()
            del journal
            sys.exit()  # as cleanly as can be
        assert os.waitpid(child, 0)[1] == 0
        assert connection.in_transaction
        connection.execute("ROLLBACK")
        child = os.fork()
        if child == 0:
            record(journal, intent(3, terminal="usb:3"), *PAID)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        record(journal, intent(4, terminal="usb:4"), *PAID)
        states = [(step.intent.ticket, str(step.intent.state)) for step in journal.steps()]
        assert states.count(("T2", "SENT")) == 1, states
        assert [ticket for ticket, state in states if state == "APPROVED"] == ["T1", "T3", "T4"]
    """
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


# ------------------------------------------------------------------------------------------------------ what goes wrong


def _newer(path: Path) -> None:
    SqliteJournal(path).close()
    with contextlib.closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA user_version=99")


def _foreign(path: Path) -> None:
    path.parent.mkdir()
    with contextlib.closing(sqlite3.connect(path)) as file:
        file.execute("CREATE TABLE music (title)")


def _text(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("not a database, " * 100)


def _empty(path: Path) -> None:
    path.parent.mkdir()
    path.touch()


def _folder(path: Path) -> None:
    path.mkdir(parents=True)


def _pipe(path: Path) -> None:
    path.parent.mkdir()
    os.mkfifo(path)


def _under_a_file(path: Path) -> None:
    path.parent.touch()


_BROKEN = [
    (_newer, "written by a newer version: update getnet-pos"),
    (_foreign, "not a getnet-pos journal: choose another file"),
    (_text, "or is damaged: file is not a database.*mistyped.*keep it for support"),
    (_empty, "the file is empty.*keep it for support"),
    (_folder, "is not a regular file: choose another path"),
    (_pipe, "is not a regular file: choose another path"),
    (_under_a_file, "cannot be used"),
]


@pytest.mark.parametrize(("breaks", "said"), _BROKEN, ids=[item.__name__[1:] for item, _ in _BROKEN])
def test_a_file_that_cannot_be_used_says_why(path: Path, breaks: Callable[[Path], None], said: str) -> None:
    breaks(path)
    with pytest.raises(JournalError, match=said):
        SqliteJournal(path)


@posix
def test_without_the_right_to_write_there_is_no_journal(path: Path) -> None:
    SqliteJournal(path).close()
    script = f"""
        import os, sys
        sys.path[:0] = {sys.path!r}
        from getnet_pos.errors import JournalError
        from getnet_pos.journal import SqliteJournal
        import getnet_pos._version
        if os.getuid() == 0:
            os.setuid(65534)
        try:
            SqliteJournal({str(path)!r})
        except JournalError as error:
            assert "writable for this user" in str(error), error
        else:
            raise SystemExit("it was opened")
    """
    path.parent.chmod(0o755)
    for folder in path.parents:
        if folder.owner() == path.owner() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    path.chmod(0o400)
    if os.getuid() != 0:
        path.parent.chmod(0o500)
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_full_disk_refuses_the_sale_before_anything_is_sent(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The money command stays at home; the terminal is still there, and with room again all goes on."""
    terminal = VirtualTerminal()
    SqliteJournal(path).close()
    full = path.stat().st_size // 4096
    real = file._connect

    def connect(path: Path) -> sqlite3.Connection:
        connection = real(path)
        connection.execute(f"PRAGMA max_page_count={full}")
        return connection

    with SerialServer(terminal, gap=0) as server, monkeypatch.context() as patch:
        patch.setattr(file, "_connect", connect)
        with Connector.create_usb(server.device, journal=path) as pos:
            pos.polling()
            sold = 0
            with contextlib.suppress(JournalError):
                while sold < 50:
                    pos.sale(1_000)
                    sold += 1
            with pytest.raises(JournalError, match=r"Free some disk space|has the open intent"):
                pos.sale(1_000, ticket="A1")
            assert len(terminal.ledger.charges()) >= sold
            assert terminal.ledger.charges("A1") == ()
            patch.undo()
            pos._driver.journal.close()  # type: ignore[union-attr]  # a new connection has room again
            assert pos.polling().approved
            assert pos.sale(1_000, ticket="A2").approved
    with contextlib.closing(SqliteJournal(path)) as journal:
        states = [one.state for one in journal.intents(settled=True)]
        assert states == [IntentState.APPROVED] * len(terminal.ledger.charges())


def test_what_breaks_off_a_write_leaves_nothing_behind(journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where memory ends: all that was to be written is refused, and the next write begins anew."""
    journal._file._connected().execute("BEGIN IMMEDIATE")
    record(journal, intent(1), *PAID)

    def broken_off(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("getnet_pos.journal.file.Known.add", broken_off)
        with pytest.raises(MemoryError):
            journal.record(intent(2))
    record(journal, intent(2), *PAID)
    assert [one.ticket for one in journal.intents(settled=True)] == ["T1", "T2"]


def test_a_file_system_without_links(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: object) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", link)
    with contextlib.closing(SqliteJournal(path)) as journal:
        record(journal, intent(), *PAID)
    assert "new" not in "".join(item.name for item in path.parent.iterdir())


def test_a_file_system_without_links_and_another_process(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever came first keeps its journal."""
    real = os.link

    def link(draft: Path, path: Path) -> None:
        real(draft, path)
        raise PermissionError("no links here")

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", link)
        journal = SqliteJournal(path)
    record(journal, intent(), *PAID)
    journal.close()
    assert [one.ticket for one in SqliteJournal(path).intents(settled=True)] == ["T1"]


def test_a_child_leaves_the_connection_of_its_parent_alone(journal: SqliteJournal) -> None:
    """What is done after a fork, done without one."""
    record(journal, intent(1), *PAID)
    parents = journal._file._connected()
    file._after_fork()
    record(journal, intent(2), *PAID)
    assert journal._file._connected() is not parents
    assert parents.execute("SELECT count(*) FROM step").fetchone() == (8,)
    file._inherited.remove(parents)
    parents.close()


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE step SET amount = 9 WHERE id = 4", "row 4 has been changed"),
        ("UPDATE step SET state = x'00' WHERE id = 4", "row 4 has been changed"),
        ("DELETE FROM step WHERE id = 3", "a row is missing"),
        ("DELETE FROM step WHERE id = 7", "row 7 is missing|a row is missing"),
    ],
)
def test_rows_that_somebody_changed(journal: SqliteJournal, path: Path, statement: str, said: str) -> None:
    """As a damaged disk or a curious hand would: nothing is told, and no money command is sent."""
    record(journal, intent(1), *PAID)
    record(journal, intent(2), *OPEN)
    record(journal, intent(3, terminal="usb:/dev/another"), *OPEN)
    with tampering(path) as other:
        other.execute(statement)
    with pytest.raises(JournalError, match=said):
        [*journal.recent(TERMINAL), *journal.unsettled(TERMINAL)]
    with contextlib.suppress(JournalError):
        assert [one.ticket for one in journal.unsettled(TERMINAL)] == ["T2"], "it is told whole, or not at all"


@pytest.mark.parametrize("number", range(65, 80))
def test_a_row_that_is_gone(path: Path, number: int) -> None:
    """Of the tail of the file, and of what its beginning points to; only the very last row leaves no trace."""
    with contextlib.closing(SqliteJournal(path)) as journal:
        for place in range(1, 60):
            record(journal, intent(place, terminal=f"usb:{place}"), IntentState.INTENT)
        for place in range(1, 20):
            record(journal, intent(place, terminal=f"usb:{place}"), IntentState.SENT)
    with tampering(path) as other:
        other.execute("DELETE FROM step WHERE id IN (?, ?)", (number - 30, number) if number < 78 else (40, 41))
    with pytest.raises(JournalError, match="missing"):
        SqliteJournal(path)


def test_a_row_that_is_gone_among_the_last(path: Path) -> None:
    with contextlib.closing(SqliteJournal(path)) as journal:
        for place in range(1, 21):
            record(journal, intent(place), *PAID)
    with tampering(path) as other:
        other.execute("DELETE FROM step WHERE id = 40")
    with pytest.raises(JournalError, match="a row is missing"):
        SqliteJournal(path)


def test_a_table_that_has_lost_all_rows(path: Path) -> None:
    """Its page says that it holds nothing; the index knows better."""
    with contextlib.closing(SqliteJournal(path)) as journal:
        record(journal, intent(1), *OPEN)
    with contextlib.closing(sqlite3.connect(path)) as other:
        [page] = other.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'step'").fetchone()
        [size] = other.execute("PRAGMA page_size").fetchone()
    data = bytearray(path.read_bytes())
    cells = (page - 1) * size + 3
    assert int.from_bytes(data[cells : cells + 2], "big") == 3
    data[cells : cells + 2] = bytes(2)
    path.write_bytes(data)
    with pytest.raises(JournalError, match="every row is missing"):
        SqliteJournal(path)


def test_a_damaged_description_of_the_table(path: Path) -> None:
    """One letter, and the rows would have no numbers."""
    with contextlib.closing(SqliteJournal(path)) as journal:
        record(journal, intent(1), *OPEN)
    data = path.read_bytes()
    assert data.count(b"id INTEGER PRIMARY KEY") == 1
    path.write_bytes(data.replace(b"id INTEGER PRIMARY KEY", b"id INTEGER PRIMARYuKEY"))
    with pytest.raises(JournalError, match="the schema of its table has been changed"):
        SqliteJournal(path)


def test_a_row_of_an_intent_that_never_began(path: Path) -> None:
    with contextlib.closing(SqliteJournal(path)) as journal:
        record(journal, intent(1), *PAID)
    with tampering(path) as other:
        row = other.execute(f"{schema.SELECT} WHERE id = 2").fetchone()
        values = [
            f"{2:032x}" if name == "intent_id" else value for name, value in zip(schema.COLUMNS, row, strict=False)
        ]
        other.execute(
            "UPDATE step SET intent_id = ?, digest = ? WHERE id = 2", (values[3], schema.digest(tuple(values)))
        )
    with pytest.raises(JournalError, match="a row is missing"):
        SqliteJournal(path)


@pytest.mark.parametrize(("number", "unsettled"), [(65, None), (66, "1")])
def test_what_is_open_is_told_where_it_should(path: Path, number: int, unsettled: str | None) -> None:
    with contextlib.closing(SqliteJournal(path)) as journal:
        for place in range(1, 68):
            record(journal, intent(place, terminal=f"usb:{place}"), IntentState.INTENT)
    with tampering(path) as other:
        *values, _ = other.execute(f"{schema.SELECT} WHERE id = ?", (number,)).fetchone()
        values[-1] = unsettled
        digest = schema.digest(tuple(values))
        other.execute("UPDATE step SET unsettled = ?, digest = ? WHERE id = ?", (unsettled, digest, number))
    with pytest.raises(JournalError, match="list of unsettled intents is missing"):
        SqliteJournal(path)


def test_an_index_that_lost_a_row(journal: SqliteJournal, path: Path) -> None:
    """As a damaged page of it would look: its rows are not taken for all."""
    record(journal, intent(1), *PAID)
    place = "name = 'sqlite_autoindex_step_1'"
    with contextlib.closing(sqlite3.connect(path)) as other:
        [page] = other.execute(f"SELECT rootpage FROM sqlite_schema WHERE {place}").fetchone()
        [size] = other.execute("PRAGMA page_size").fetchone()
    journal.close()
    data = bytearray(path.read_bytes())
    cells = (page - 1) * size + 3
    assert int.from_bytes(data[cells : cells + 2], "big") == 4
    data[cells : cells + 2] = (2).to_bytes(2, "big")
    path.write_bytes(data)
    with contextlib.closing(SqliteJournal(path)) as again, pytest.raises(JournalError, match="a row is missing"):
        again.recent(TERMINAL)


@pytest.mark.parametrize("seed", range(6))
def test_many_terminals_at_once(path: Path, seed: int, count: Count) -> None:
    """A file tells what a journal in memory tells: to the writer, to who opens it, and to a second writer."""
    chance = random.Random(seed)
    truth = MemoryJournal()
    writers = [SqliteJournal(path), SqliteJournal(path)]
    terminals = [f"usb:{number}" for number in range(chance.choice((2, 30, 90)))]
    known: list[Intent] = []
    for step in range(count(short=150, evidence=500, long=500)):
        going_on = [one for one in known if one.state not in FINAL_STATES]
        if going_on and chance.random() < 0.6:
            before = chance.choice(going_on)
            state = chance.choice(sorted(NEXT_STATES[before.state]))
            after = replace(before, state=state)
            known[known.index(before)] = after
        else:
            after = intent(step, terminal=chance.choice(terminals))
            if any(one.open for one in truth.unsettled(after.terminal)):
                with pytest.raises(JournalError, match="poll the terminal first"):
                    chance.choice(writers).record(after)
                continue
            known.append(after)
        truth.record(after)
        writer = writers[chance.random() < 0.1]
        writer.record(after)
        writer.steps(after.intent_id)  # to ask has the step written, where it would wait for the next
        if step % 23 == 0:
            chance.choice(writers).close()
        reader = chance.choice([*writers, SqliteJournal(path)])
        for terminal in chance.sample(terminals, 2):
            assert reader.unsettled(terminal) == truth.unsettled(terminal)
            here, there = reader.recent(terminal), truth.recent(terminal)
            assert here == there[len(there) - len(here) :]
            assert len(here) >= min(len(there), 8)
        assert sorted(one.intent_id for one in reader.intents()) == sorted(
            one.intent_id for one in known if one.state not in FINAL_STATES
        )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"amount": 10.0}, "amount cannot be a float"),
        ({"amount": True}, "amount cannot be a bool"),
        ({"amount": 1 << 63}, "amount is out of range"),
        ({"terminal": None}, "terminal is missing"),
        ({"found": "luck"}, "found cannot be 'luck'"),
        ({"baseline": replace(MARK, amount="10")}, "amount cannot be a str"),
    ],
)
def test_what_could_not_be_read_again_is_not_written(
    journal: SqliteJournal, change: dict[str, object], said: str
) -> None:
    with pytest.raises(JournalError, match=said):
        journal.record(replace(intent(1), **change))  # type: ignore[arg-type]  # the changes are fields
    assert journal.steps() == []
    record(journal, intent(1), *PAID)


def test_text_that_no_database_holds(journal: SqliteJournal) -> None:
    with pytest.raises(JournalError, match="surrogates not allowed"):
        journal.record(replace(intent(1), ticket="\ud800"))


def test_every_attribute_of_an_intent_has_its_column() -> None:
    """An attribute without one would be forgotten; a new column is a new schema, and a migration."""
    assert {"id", "sequence", "at", "unsettled", *(item.name for item in fields(Intent))} == set(schema.COLUMNS)
    assert [item.name for item in fields(VoucherMark)] == list(schema._MARK)


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "beside another writer"])
def test_a_crowd_costs_nothing(path: Path, alone: bool, count: Count, evidence: Callable[[str], None]) -> None:
    """A payment takes as long while very many terminals are in the middle of a sale as while ten are."""
    times = []
    many = count(short=500, evidence=2_000, long=2_000)
    for crowd in (10, many):
        file = path.with_name(f"{crowd}.sqlite3")
        with contextlib.closing(SqliteJournal(file)) as journal, contextlib.closing(SqliteJournal(file)) as other:
            for state in OPEN:
                for place in range(crowd):
                    journal.record(replace(intent(place, terminal=f"cloud:{place}"), state=state))
            taken = []
            for place in range(crowd, crowd + 130):
                if not alone:
                    record(other, intent(place + 10_000, terminal=f"cloud:{place + 10_000}"), *PAID)
                begun = time.perf_counter()
                record(journal, intent(place, terminal=f"cloud:{place}"), *PAID)
                taken.append(time.perf_counter() - begun)
            times.append(sorted(taken)[len(taken) // 2])
    beside = "" if alone else "beside another writer, "
    evidence(
        f"journal: the steps of a payment, {beside}in {times[0] * 1000:.1f} ms among 10 others, in "
        f"{times[1] * 1000:.1f} ms among {many:,}"
    )
    assert times[1] < 4 * times[0] + 0.002


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("intent_id", b"0", "intent_id cannot be a bytes"),
        ("amount", "nine", "amount cannot be a str"),
        ("at", b"now", "at cannot be a bytes"),
        ("sequence", "first", "sequence cannot be a str"),
        ("found", "luck", "found cannot be 'luck'"),
        ("baseline", "[]", "the baseline has unknown fields"),
        ("baseline", '{"amount": 1.5}', "amount cannot be a float"),
        ("baseline", '{"more": 1}', "the baseline has unknown fields"),
        ("baseline", "{", "row 1 cannot be read"),
        ("state", "PAID", "row 1 cannot be read"),
        ("unsettled", "one", "row 1 cannot be read"),
        ("unsettled", "2", "the list of unsettled intents names a later row"),
        ("unsettled", str(1 << 64), "the list of unsettled intents names a later row"),
    ],
)
def test_a_row_that_another_program_wrote(
    journal: SqliteJournal, path: Path, column: str, value: object, said: str
) -> None:
    """Its digest fits, and what it holds cannot be meant."""
    record(journal, intent(1), *OPEN[:1])
    with tampering(path) as other:
        row = dict(zip(schema.COLUMNS, other.execute(schema.SELECT).fetchone(), strict=False))
        digest = schema.digest(tuple({**row, column: value}.values()))
        other.execute(f"UPDATE step SET {column} = ?, digest = ?", (value, digest))
    with pytest.raises(JournalError, match=said):
        [*journal.recent(TERMINAL), *journal.unsettled(TERMINAL)]


def test_two_processes_that_come_first(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.link

    def slower(draft: Path, path: Path) -> None:
        with contextlib.closing(SqliteJournal(path)) as faster:
            record(faster, intent(1), *OPEN)
        real(draft, path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "exists", lambda self: False if self == path and not _exists(path) else _exists(self))
        calls = iter([slower])
        patch.setattr(os, "link", lambda draft, path: next(calls, real)(draft, path))
        journal = SqliteJournal(path)
    with contextlib.closing(journal):
        assert [one.ticket for one in journal.unsettled(TERMINAL)] == ["T1"]


def _exists(path: Path) -> bool:
    return os.path.lexists(path)


# ------------------------------------------------------------------------------------------------------ which one it is


def test_where_the_journal_is(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GETNET_POS_JOURNAL", str(path))
    assert default_path() == path
    assert isinstance(open_journal(DEFAULT_JOURNAL), SqliteJournal)
    assert path.exists()
    assert repr(DEFAULT_JOURNAL) == "DEFAULT_JOURNAL"
    monkeypatch.delenv("GETNET_POS_JOURNAL")
    assert default_path().parts[-2:] == ("getnet-pos", "journal.sqlite3")


def test_an_object_of_ones_own_will_do() -> None:
    own = MemoryJournal()
    assert open_journal(own) is own
    with pytest.raises(ConfigurationError, match=r"record\(\), unsettled\(\), .*42 has no record\(\)"):
        open_journal(42)  # type: ignore[arg-type]  # wrong on purpose


def test_a_long_history_costs_nothing(path: Path, count: Count, evidence: Callable[[str], None]) -> None:
    """Opening, asking and writing look at the end of the file and at its indexes, however long it is."""
    payments = count(short=2_000, evidence=5_000, long=250_000)
    with contextlib.closing(SqliteJournal(path)) as journal:
        record(journal, intent(1), *UNKNOWN)
        record(journal, replace(intent(2), found="recovery", idempotency_key="order 7"), *PAID)
    history(path, payments, unsettled=(len(UNKNOWN),))
    search = Search(terminal="usb:another", ticket="T2", amount=1000, idempotency_key="order 7")
    begun = time.perf_counter()
    with contextlib.closing(SqliteJournal(path)) as journal:
        assert [one.ticket for one in journal.unsettled(TERMINAL)] == ["T1"]
        opened = time.perf_counter()
        assert [step.intent.ticket for step in journal.find(search)] == ["T2"]
        found = time.perf_counter()
    evidence(
        f"journal of {4 * payments:,} steps: opened in {(opened - begun) * 1000:.1f} ms, "
        f"what a payment must know found in {(found - opened) * 1000:.1f} ms"
    )
    assert found - begun < 0.2
