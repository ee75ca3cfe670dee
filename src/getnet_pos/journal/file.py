"""The journal in a file: each step is synced to the disk before ``record`` returns.

Several processes may share a file: each write is one synced transaction, and what is remembered between two calls is
forgotten as soon as another one has written.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import tempfile
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TypeVar

from ..errors import InvalidValue, JournalError
from ..messages import FINAL_STATES, Intent, IntentState
from .rules import RECENT, Step, check
from .schema import APPLICATION, CREATE, DESCRIPTION, INSERT, SCHEMA, SELECT, WHOLE, Row, migrate, read_row, written_row

__all__ = ["SqliteJournal"]

log = logging.getLogger("getnet_pos.journal")

_WAIT = 10.0
"""How long another process that writes is waited for, in seconds."""

_DESCRIPTION = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid"
_TAIL = f"{SELECT} WHERE id >= (SELECT max(id) - (max(id) - 1) % {WHOLE} FROM step) ORDER BY id"
_IN_THE_INDEX = "SELECT 1 FROM step INDEXED BY sqlite_autoindex_step_1 LIMIT 1"
_LAST_OF = f"{SELECT} WHERE terminal = ? AND intent_id = ? ORDER BY sequence DESC LIMIT 1"
_BEGINNING_WITH = f"{SELECT} WHERE intent_id >= ? AND intent_id < ? || char(1114111) LIMIT 1"
_AT_THE_END = f"{SELECT} NOT INDEXED WHERE id > (SELECT max(id) - 64 FROM step) AND terminal = ? ORDER BY id"
_LAST_ROWS = "SELECT count(*) FROM step WHERE id > (SELECT max(id) - 64 FROM step)"
_LATELY = f"{SELECT} WHERE id IN (SELECT id FROM step WHERE terminal = ? ORDER BY id DESC LIMIT 64) ORDER BY id"
_NUMBERED = f"{SELECT} WHERE id = ?"

T = TypeVar("T")


class _Known:
    """What the file holds up to a row: the intents that are open or unknown, and those that were settled lately."""

    def __init__(self) -> None:
        self.number = 0
        """Of the last row."""
        self.unsettled: dict[str, Row] = {}
        """The last rows of the intents that are open or unknown, the oldest intent first."""
        self.of_terminal: dict[str, dict[str, Row]] = {}
        """The same by terminal."""
        self.recent: dict[str, deque[Intent]] = {}
        """Of the terminals that were asked about."""

    def add(self, row: Row) -> None:
        """What the next row changes."""
        intent = row.step.intent
        here = self.of_terminal.setdefault(intent.terminal, {})
        if intent.state not in FINAL_STATES:
            self.unsettled[intent.intent_id] = here[intent.intent_id] = row
        else:
            self.unsettled.pop(intent.intent_id, None)
            here.pop(intent.intent_id, None)
            if intent.terminal in self.recent:
                self.recent[intent.terminal].append(intent)
        self.number = row.number


class SqliteJournal:
    """The journal in a file of mode 0600, each step synced to the disk before ``record`` returns."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._connection: sqlite3.Connection | None = None
        self._known: _Known | None = None
        self._version = 0
        """Of the file, when it was last read: another one shows that another connection has written."""
        self._lock = threading.Lock()
        self.path = Path(path)
        self._guard(self._open)
        _all.add(self)

    def record(self, intent: Intent) -> None:
        self._guard(lambda: self._add(lambda _: intent))

    def unsettled(self, terminal: str) -> list[Intent]:
        return self._guard(lambda: self._unsettled(self._now().of_terminal.get(terminal, {})))

    def recent(self, terminal: str) -> list[Intent]:
        def read() -> list[Intent]:
            known = self._now()
            if terminal not in known.recent:
                known.recent[terminal] = self._settled_lately(terminal)
            return list(known.recent[terminal])

        return self._guard(read)

    def resolve(self, intent_id: str, *, paid: bool, by: str, note: str) -> Intent:
        """Record what a person found out about an intent that is not settled, with who and why.

        ``intent_id`` may be cut short where that is not ambiguous.

        Raises:
            InvalidValue: there is no such intent, it is settled, or a name or a reason is missing.
        """
        if not by.strip() or not note.strip():
            raise InvalidValue("say who decides (by) and on what ground (note): both are kept")

        def decided(known: _Known) -> Intent:
            unsettled = self._unsettled(known.unsettled)
            found = [one for one in unsettled if intent_id and one.intent_id.startswith(intent_id)]
            if len(found) > 1:
                raise InvalidValue(f"intent {intent_id} is ambiguous: give more of its id")
            if not found:
                settled = bool(intent_id and self._rows(_BEGINNING_WITH, intent_id, intent_id))
                raise InvalidValue(f"intent {intent_id} is {'settled already' if settled else 'not in the journal'}")
            state = IntentState.RESOLVED_PAID if paid else IntentState.RESOLVED_NOT_PAID
            return replace(found[0], state=state, decided_by=by.strip(), note=note.strip())

        return self._guard(lambda: self._add(decided))

    def steps(self, intent_id: str | None = None) -> list[Step]:
        """All rows, or those of one intent, in the order of writing."""

        def read() -> list[Step]:
            if intent_id is None:
                rows = self._rows(f"{SELECT} ORDER BY id")
            else:
                rows = self._rows(f"{SELECT} WHERE intent_id = ? ORDER BY sequence", intent_id)
            return [row.step for row in rows]

        return self._guard(read)

    def intents(self, *, settled: bool = False) -> list[Intent]:
        """The intents that are open or unknown, or with ``settled`` all of them, the oldest first."""
        if settled:
            return list({step.intent.intent_id: step.intent for step in self.steps()}.values())
        return self._guard(lambda: self._unsettled(self._now().unsettled))

    def close(self) -> None:
        """Let go of the file; the next call opens it again."""
        with self._lock:
            self._disconnect()

    def _guard(self, work: Callable[[], T]) -> T:
        """Do ``work`` alone, with what the database raises told as a ``JournalError``."""
        with self._lock:
            try:
                return work()
            except (sqlite3.Error, OSError, UnicodeError) as error:
                self._disconnect()
                raise JournalError(f"the journal {self.path} cannot be used: {error}. {_advice(error)}") from error

    # ---------------------------------------------------------------------------------------------------------- reading

    def _rows(self, query: str, *arguments: str | int) -> list[Row]:
        return [read_row(row) for row in self._connected().execute(query, arguments)]

    def _now(self) -> _Known:
        """What the file holds; read anew where another connection has written."""
        [version] = self._connected().execute("PRAGMA data_version").fetchone()
        if self._known is None or version != self._version:
            self._known = self._load()
            self._version = version
        return self._known

    def _load(self) -> _Known:
        known = _Known()
        tail = self._rows(_TAIL)
        if not tail:
            if self._connected().execute(_IN_THE_INDEX).fetchone():
                raise sqlite3.DatabaseError("every row is missing")
            return known
        first = tail[0]
        if first.unsettled is None or [row.number for row in tail] != [*range(first.number, first.number + len(tail))]:
            raise sqlite3.DatabaseError("a row is missing")
        for number in first.unsettled:
            rows = [first] if number == first.number else self._rows(_NUMBERED, number)
            if not rows or rows[0].step.intent.state in FINAL_STATES:
                raise sqlite3.DatabaseError(f"row {number} is missing")
            known.add(rows[0])
        for row in tail[1:]:
            if row.step.sequence and row.step.intent.intent_id not in known.unsettled:
                raise sqlite3.DatabaseError("a row is missing")
            known.add(row)
        known.number = tail[-1].number
        return known

    def _settled_lately(self, terminal: str) -> deque[Intent]:
        [count] = self._connected().execute(_LAST_ROWS).fetchone()
        if count < min(64, self._now().number):
            raise sqlite3.DatabaseError("a row is missing")
        found = self._rows(_AT_THE_END, terminal)
        if sum(row.step.intent.state in FINAL_STATES for row in found) < RECENT // 2:
            # Many others write here as well: the index has what is further away.
            late, found = {row.number for row in found}, self._rows(_LATELY, terminal)
            if not late <= {row.number for row in found}:
                raise sqlite3.DatabaseError("a row is missing")
        intents = (row.step.intent for row in found)
        return deque((one for one in intents if one.state in FINAL_STATES), maxlen=RECENT)

    def _last_of(self, intent: Intent) -> Row | None:
        return next(iter(self._rows(_LAST_OF, intent.terminal, intent.intent_id)), None)

    @staticmethod
    def _unsettled(rows: dict[str, Row]) -> list[Intent]:
        return [row.step.intent for row in rows.values()]

    # ---------------------------------------------------------------------------------------------------------- writing

    def _add(self, decide: Callable[[_Known], Intent]) -> Intent:
        connection = self._connected()
        with _transaction(connection):
            known = self._now()
            intent = decide(known)
            before = known.unsettled.get(intent.intent_id) or self._last_of(intent)
            others = self._unsettled(known.of_terminal.get(intent.terminal, {}))
            check(intent, before.step.intent if before else None, others)
            number = known.number + 1
            unsettled = None if (number - 1) % WHOLE else self._numbers(known, intent, number)
            at = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
            row = Row(number, Step(intent, before.step.sequence + 1 if before else 0, at), unsettled)
            values = written_row(row)
            # Whatever interrupts what follows: then it is read again.
            self._known = None
            connection.execute(INSERT, values)
        known.add(row)
        self._known = known
        return intent

    @staticmethod
    def _numbers(known: _Known, intent: Intent, number: int) -> tuple[int, ...]:
        """Of the last rows of the intents that are open or unknown once ``intent`` is recorded."""
        numbers = {intent_id: row.number for intent_id, row in known.unsettled.items()}
        numbers[intent.intent_id] = number
        if intent.state in FINAL_STATES:
            del numbers[intent.intent_id]
        return tuple(numbers.values())

    # ------------------------------------------------------------------------------------------------------- connection

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._open()
        assert self._connection is not None
        return self._connection

    def _open(self) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self.path.exists():
            _create(self.path)
        found = self.path.stat()
        if found.st_size == 0:
            raise sqlite3.DatabaseError("the file is empty")
        if os.name == "posix" and found.st_mode & 0o077:
            os.chmod(self.path, 0o600)
        self._connection = _connect(self.path)
        try:
            self._prepare(self._connection)
        except BaseException:
            self._disconnect()
            raise

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA journal_mode=TRUNCATE")
        connection.execute("PRAGMA synchronous=EXTRA")
        connection.execute("PRAGMA fullfsync=ON")
        with _transaction(connection):
            # Within a transaction, so that a file that cannot be written is found out here.
            [application] = connection.execute("PRAGMA application_id").fetchone()
            if application != APPLICATION:
                raise JournalError(f"{self.path} is not a journal of this library: name another file")
            [schema] = connection.execute("PRAGMA user_version").fetchone()
            if schema > SCHEMA:
                raise JournalError(f"the journal {self.path} was written by a newer version: update getnet-pos")
            if schema != SCHEMA:
                migrate(connection, schema)
        if tuple(text for [text] in connection.execute(_DESCRIPTION)) != DESCRIPTION:
            raise sqlite3.DatabaseError("the description of its table is not as it was written")
        self._now()

    def __del__(self) -> None:
        self._disconnect()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        self._known = None
        if connection is not None:
            connection.close()

    def _forked(self) -> None:
        """In the child of a fork: leave the parent's connection alone, even its closing, and open another one."""
        _inherited.append(self._connection)
        self._connection, self._known, self._lock = None, None, threading.Lock()


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=_WAIT, isolation_level=None, check_same_thread=False)


def _create(path: Path) -> None:
    """Make an empty journal appear whole, or not at all: so an empty file can only be a damaged one."""
    handle, name = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".new", dir=path.parent)  # of mode 0600
    os.close(handle)
    draft = Path(name)
    try:
        with contextlib.closing(_connect(draft)) as connection:
            connection.execute("PRAGMA journal_mode=MEMORY")
            connection.execute("PRAGMA synchronous=EXTRA")
            with _transaction(connection):
                for statement in CREATE:
                    connection.execute(statement)
        try:
            os.link(draft, path)
        except FileExistsError:
            log.debug("another process made the journal first")
        except OSError:
            # Some file systems know no links.
            if not path.exists():
                draft.rename(path)
    finally:
        draft.unlink(missing_ok=True)
    if os.name == "posix":  # pragma: no branch
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Everything or nothing, and nobody else writes meanwhile."""
    if connection.in_transaction:
        # What interrupted an earlier call may have come between its first and its last line.
        connection.execute("ROLLBACK")
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _advice(error: Exception) -> str:
    text = str(error).lower()
    if "full" in text or "no space" in text:
        return "Free some disk space; no money command is sent until then."
    if any(sign in text for sign in ("readonly", "read-only", "permission", "not permitted", "unable to open")):
        return "Make the file and its folder writable for this user, or name another path."
    if "locked" in text:
        return "Another process keeps it locked: end it, or give each register its own journal."
    return "Keep a copy for examination, move it away, and check the terminal's vouchers for what it held."


_all: weakref.WeakSet[SqliteJournal] = weakref.WeakSet()
_inherited: list[sqlite3.Connection | None] = []
"""Connections of a parent process. Closing one here would undo what the parent is writing."""


def _after_fork() -> None:
    for journal in list(_all):
        journal._forked()


if hasattr(os, "register_at_fork"):  # pragma: no branch
    os.register_at_fork(after_in_child=_after_fork)
