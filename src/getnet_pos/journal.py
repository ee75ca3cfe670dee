"""The durable record of money commands: insert-only rows in one SQLite file. It decides nothing about a payment.

A row is a step of an intent; what is known of an intent is its last row. Several processes may share a file: each write
is one synced transaction that first reads what the others added.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import platformdirs

from .errors import ConfigurationError, InvalidValue, JournalError
from .messages import FINAL_STATES, Intent, IntentState, VoucherMark

__all__ = [
    "DEFAULT_JOURNAL",
    "Journal",
    "JournalSource",
    "MemoryJournal",
    "SqliteJournal",
    "Step",
    "default_path",
    "open_journal",
]

log = logging.getLogger("getnet_pos.journal")

_APPLICATION: Final = 0x47504F53
_SCHEMA: Final = 1

T = TypeVar("T")


class Journal(Protocol):
    """What the connectors need of a journal. Both calls may come from any thread."""

    def record(self, intent: Intent) -> None:
        """Add a step, durably before returning. Raises ``JournalError`` where that cannot be promised."""

    def unsettled(self, terminal: str) -> list[Intent]:
        """The intents of a terminal that are open or unknown, the oldest first."""


class _Default:
    def __repr__(self) -> str:
        return "DEFAULT_JOURNAL"


DEFAULT_JOURNAL: Final = _Default()
"""Stands for the journal file in the user's state directory."""

JournalSource = _Default | str | os.PathLike[str] | Journal | None
"""Where a connector takes its journal from: a path, a journal object, or ``None`` to switch the durable record off."""


@dataclass(frozen=True, slots=True)
class Step:
    """One row of the journal: what an intent was at a moment."""

    intent: Intent
    sequence: int
    at: str
    """UTC, ISO 8601."""


def default_path() -> Path:
    """The journal file in the user's state directory; ``GETNET_POS_JOURNAL`` names another one."""
    chosen = os.environ.get("GETNET_POS_JOURNAL")
    return (
        Path(chosen) if chosen else Path(platformdirs.user_state_dir("getnet-pos", appauthor=False)) / "journal.sqlite3"
    )


def open_journal(source: JournalSource) -> Journal:
    """The journal that ``source`` stands for. One file has one journal object in a process."""
    if source is None:
        log.warning("the journal is switched off: a crash in the middle of a payment will not be remembered")
        return MemoryJournal()
    if isinstance(source, (_Default, str, os.PathLike)):
        path = default_path() if isinstance(source, _Default) else Path(source)
        key = os.path.realpath(path)
        with _opened_lock:
            journal = _opened.get(key)
            if journal is None:
                journal = _opened[key] = SqliteJournal(path)
        return journal
    if not (hasattr(source, "record") and hasattr(source, "unsettled")):
        raise ConfigurationError(
            f"a journal is a path, an object with record() and unsettled(), or None, not {source!r}"
        )
    return source


class _Known:
    """The last state of each intent that is not settled, kept up to date step by step."""

    def __init__(self) -> None:
        self.sequences: dict[str, int] = {}
        self.unsettled: dict[str, Intent] = {}

    def check(self, intent: Intent) -> None:
        """Refuse a step that would break the promises of the state machine (docs/reliability.md, "Invariants")."""
        known = self.unsettled.get(intent.intent_id)
        if known is None and intent.intent_id in self.sequences:
            raise JournalError(f"intent {intent.intent_id} is settled: nothing may change it")
        if known is None and intent.state is not IntentState.INTENT:
            raise JournalError(f"intent {intent.intent_id} is not in the journal")
        if known is not None and intent.state is IntentState.INTENT:
            raise JournalError(f"intent {intent.intent_id} is in the journal already")
        if known is None:
            other = next((one for one in self.unsettled.values() if one.terminal == intent.terminal and one.open), None)
            if other is not None:
                raise JournalError(f"terminal {intent.terminal} has the open intent {other.intent_id}: poll it first")

    def add(self, intent: Intent) -> int:
        sequence = self.sequences.get(intent.intent_id, -1) + 1
        self.sequences[intent.intent_id] = sequence
        if intent.state in FINAL_STATES:
            self.unsettled.pop(intent.intent_id, None)
        else:
            self.unsettled[intent.intent_id] = intent
        return sequence

    def of(self, terminal: str) -> list[Intent]:
        return [intent for intent in self.unsettled.values() if intent.terminal == terminal]


class MemoryJournal:
    """The same rules without a file: it ends with the process."""

    def __init__(self) -> None:
        self._known = _Known()
        self._lock = threading.Lock()

    def record(self, intent: Intent) -> None:
        with self._lock:
            self._known.check(intent)
            self._known.add(intent)

    def unsettled(self, terminal: str) -> list[Intent]:
        with self._lock:
            return self._known.of(terminal)


_COLUMNS = tuple(item.name for item in fields(Intent))
_CREATE = f"""
CREATE TABLE step (id INTEGER PRIMARY KEY, sequence INTEGER NOT NULL, at TEXT NOT NULL,
  {", ".join(f"{name} {'TEXT NOT NULL' if name in ('intent_id', 'terminal', 'state') else ''}" for name in _COLUMNS)},
  UNIQUE (intent_id, sequence));
CREATE TRIGGER step_is_never_changed BEFORE UPDATE ON step BEGIN SELECT RAISE(ABORT, 'the journal is insert-only'); END;
CREATE TRIGGER step_is_never_deleted BEFORE DELETE ON step BEGIN SELECT RAISE(ABORT, 'the journal is insert-only'); END;
"""
_INSERT = f"INSERT INTO step (sequence, at, {', '.join(_COLUMNS)}) VALUES (?, ?{', ?' * len(_COLUMNS)})"
_SELECT = f"SELECT id, sequence, at, {', '.join(_COLUMNS)} FROM step WHERE id > ? ORDER BY id"


class SqliteJournal:
    """The journal in a file of mode 0600, each step synced to the disk before ``record`` returns."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._process = 0
        self._guard(self._open)

    def record(self, intent: Intent) -> None:
        self._guard(lambda: self._add(lambda: intent))

    def unsettled(self, terminal: str) -> list[Intent]:
        def read() -> list[Intent]:
            self._catch_up()
            return self._known.of(terminal)

        return self._guard(read)

    def resolve(self, intent_id: str, *, paid: bool, by: str, note: str) -> Intent:
        """Record what a person found out about an unknown outcome, with who and why.

        Raises:
            InvalidValue: there is no such intent, it is not unresolved, or a name or a reason is missing.
        """
        if not by.strip() or not note.strip():
            raise InvalidValue("say who decides (by) and on what ground (note): both are kept")

        def decided() -> Intent:
            found = [one for one in self._known.unsettled.values() if one.intent_id.startswith(intent_id)]
            if not intent_id or len(found) != 1:
                known = any(key.startswith(intent_id) for key in self._known.sequences) if intent_id else False
                reason = "is settled already" if known and not found else "is not in the journal"
                raise InvalidValue(
                    f"intent {intent_id} {reason if len(found) < 2 else 'is ambiguous: give more of its id'}"
                )
            state = IntentState.RESOLVED_PAID if paid else IntentState.RESOLVED_NOT_PAID
            return replace(found[0], state=state, decided_by=by.strip(), note=note.strip())

        return self._guard(lambda: self._add(decided))

    def steps(self, intent_id: str | None = None) -> list[Step]:
        """All rows, or those of one intent, in the order of writing."""

        def read() -> list[Step]:
            rows = self._connected().execute(_SELECT, (0,)).fetchall()
            steps = [Step(_intent(row[3:]), row[1], row[2]) for row in rows]
            return [step for step in steps if intent_id is None or step.intent.intent_id == intent_id]

        return self._guard(read)

    def intents(self, *, settled: bool = False) -> list[Intent]:
        """The intents that are open or unknown, or with ``settled`` all of them, the oldest first."""
        if settled:
            return list({step.intent.intent_id: step.intent for step in self.steps()}.values())

        def read() -> list[Intent]:
            self._catch_up()
            return list(self._known.unsettled.values())

        return self._guard(read)

    def close(self) -> None:
        """Let go of the file; the next call opens it again."""
        with self._lock:
            self._disconnect()

    def _guard(self, work: Callable[[], T]) -> T:
        """Do ``work`` alone, with what the database raises told as a ``JournalError``."""
        with self._lock:
            try:
                return work()
            except (sqlite3.Error, OSError) as error:
                self._disconnect()
                raise JournalError(f"the journal {self.path} cannot be used: {error}. {_advice(error)}") from error

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None or self._process != os.getpid():
            # A connection must not be used on both sides of a fork.
            self._open()
        assert self._connection is not None
        return self._connection

    def _open(self) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        if os.name == "posix":
            os.chmod(self.path, 0o600)
        connection = sqlite3.connect(self.path, timeout=10, isolation_level=None, check_same_thread=False)
        self._connection, self._process = connection, os.getpid()
        connection.execute("PRAGMA journal_mode=TRUNCATE")
        connection.execute("PRAGMA synchronous=EXTRA")
        connection.execute("PRAGMA fullfsync=ON")
        self._known, self._last = _Known(), 0
        with _Transaction(connection):
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            application = connection.execute("PRAGMA application_id").fetchone()[0]
            if version == 0 and application == 0 and not connection.execute("SELECT * FROM sqlite_schema").fetchone():
                for statement in _CREATE.split(";\n"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id={_APPLICATION}")
                connection.execute(f"PRAGMA user_version={_SCHEMA}")
            elif application != _APPLICATION:
                raise JournalError(f"{self.path} is not a journal of this library: name another file")
            elif version != _SCHEMA:
                raise JournalError(f"the journal {self.path} was written by a newer version: update getnet-pos")
        if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("the file is damaged")
        self._catch_up()

    def _disconnect(self) -> None:
        if self._connection is not None and self._process == os.getpid():
            self._connection.close()
        self._connection = None

    def _catch_up(self) -> None:
        for row in self._connected().execute(_SELECT, (self._last,)):
            self._known.add(_intent(row[3:]))
            self._last = row[0]

    def _add(self, decide: Callable[[], Intent]) -> Intent:
        connection = self._connected()
        with _Transaction(connection):
            self._catch_up()
            intent = decide()
            self._known.check(intent)
            sequence = self._known.sequences.get(intent.intent_id, -1) + 1
            now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
            connection.execute(_INSERT, (sequence, now, *_row(intent)))
        self._catch_up()
        return intent


class _Transaction:
    """Everything or nothing, and nobody else writes meanwhile."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._connection.execute("COMMIT")
        elif self._connection.in_transaction:
            self._connection.execute("ROLLBACK")


def _row(intent: Intent) -> list[Any]:
    values = {item.name: getattr(intent, item.name) for item in fields(intent)}
    values["state"] = intent.state.value
    values["baseline"] = None if intent.baseline is None else json.dumps(asdict(intent.baseline))
    return [values[name] for name in _COLUMNS]


def _intent(row: tuple[Any, ...]) -> Intent:
    values = dict(zip(_COLUMNS, row, strict=True))
    try:
        values["state"] = IntentState(values["state"])
        values["baseline"] = None if values["baseline"] is None else VoucherMark(**json.loads(values["baseline"]))
    except (ValueError, TypeError) as error:
        raise sqlite3.DatabaseError(f"a row cannot be read: {error}") from None
    return Intent(**values)


def _advice(error: Exception) -> str:
    text = str(error).lower()
    if "full" in text or "no space" in text:
        return "Free some disk space; no money command is sent until then."
    if "readonly" in text or "read-only" in text or "permission" in text or "unable to open" in text:
        return "Make the file and its folder writable for this user, or name another path."
    if "locked" in text:
        return "Another process keeps it locked: end it, or give each register its own journal."
    return "Keep a copy for examination, move it away, and check the terminal's vouchers for what it held."


_opened: weakref.WeakValueDictionary[str, SqliteJournal] = weakref.WeakValueDictionary()
_opened_lock = threading.Lock()
