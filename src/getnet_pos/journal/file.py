"""The journal in a SQLite file. Steps that arrive while the disk is busy are written and synced together.

Several processes may share a file: each write is one synced transaction, which first reads what the others have written
since. Each query is one transaction too, so that it sees one state of the file.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import stat
import tempfile
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

from ..errors import JournalError
from ..messages import FINAL_STATES, REMEMBERED, Intent, IntentState, Search, Step, same_terminal
from .known import TAIL, Known, Row, is_paid_unheard, last_of_each
from .leases import claim_file
from .rules import RECENT, Lease, check, decided, kept, moment, now, one_of
from .schema import APPLICATION, CREATE, DESCRIPTION, INSERT, SCHEMA, SELECT, WHOLE, migrate, read_row, written_row
from .worker import Call, NewStep, Worker

__all__ = ["SqliteJournal", "write_whole"]

log = logging.getLogger("getnet_pos.journal")

_WAIT = 10.0
"""How long to wait for another process that is writing, in seconds."""

_MANY: Final = 4 * TAIL
"""After so many rows from other processes it is faster to read the end of the file again."""

_DESCRIPTION = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid"
_TAIL = f"{SELECT} WHERE id > (SELECT max(id) - {TAIL} FROM step) ORDER BY id"
_SINCE = f"{SELECT} WHERE id >= ? ORDER BY id LIMIT {_MANY}"
_FROM = f"""{SELECT} WHERE id > (SELECT coalesce((SELECT id FROM step WHERE at < ? ORDER BY id DESC LIMIT 1), 0))
    ORDER BY id"""
_IN_THE_INDEX = "SELECT 1 FROM step INDEXED BY sqlite_autoindex_step_1 LIMIT 1"
_LAST_OF = f"{SELECT} WHERE terminal = ? AND intent_id = ? ORDER BY sequence DESC LIMIT 1"
_BEGINNING_WITH = f"{SELECT} WHERE intent_id >= ? AND intent_id < ? || char(1114111) LIMIT 1"
_LATELY = f"{SELECT} WHERE id IN (SELECT id FROM step WHERE terminal = ? ORDER BY id DESC LIMIT {TAIL}) ORDER BY id"
_NUMBERED = f"{SELECT} WHERE id = ?"
_OF_KEY = f"{SELECT} INDEXED BY of_key WHERE idempotency_key = ? AND sequence = 0 ORDER BY id DESC LIMIT 1"
_PAID = f"""{SELECT} INDEXED BY paid WHERE ticket = ? AND amount IS ? AND at >= ?
    AND state IN ('APPROVED', 'RESOLVED_PAID') AND found IS NOT 'call' ORDER BY id DESC LIMIT {RECENT}"""

P = ParamSpec("P")
T = TypeVar("T")


class SqliteJournal:
    """The journal in a SQLite file with mode 0600. A thread of its own does all its work.

    Steps that arrive while the disk is busy share the next sync.

    Raises:
        JournalError: the file cannot be created, read or written, or is not a journal.

    Examples:
        >>> import os, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     journal = SqliteJournal(os.path.join(folder, "journal.sqlite3"))
        ...     journal.record(Intent(intent_id="17", terminal="usb:COM3", command=100, amount=25_000))
        ...     print([intent.intent_id for intent in journal.intents()])
        ...     journal.close()
        ['17']
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file = _File(self.path)
        self._worker = Worker(self._file)
        weakref.finalize(self, self._worker.stop).atexit = False
        self._file.open()

    def record(self, intent: Intent) -> None:
        self._recorded(intent).result()

    def _recorded(self, intent: Intent) -> Future[None]:
        return self._worker.record(NewStep(kept(intent), moment(now())))

    def unsettled(self, terminal: str) -> list[Intent]:
        return self._do(self._file.unsettled, terminal)

    def recent(self, terminal: str) -> list[Intent]:
        return self._do(self._file.recent, terminal)

    def find(self, search: Search) -> list[Step]:
        return self._do(self._file.find, search)

    def claim(self, intent_id: str, terminal: str | None = None) -> Lease | None:
        try:
            return claim_file(self.path.with_name(f"{self.path.name}.leases"), intent_id)
        except OSError as error:
            raise JournalError(f"intent {intent_id} cannot be locked: {error}. {_advice(error)}") from error

    def resolve(self, intent_id: str, *, paid: bool, by: str, note: str) -> Intent:
        with contextlib.ExitStack() as held:

            def decide(unsettled: list[Intent], settled: Iterable[object]) -> Intent:
                intent = one_of(unsettled, intent_id, settled)
                lease = self.claim(intent.intent_id)
                if lease is not None:
                    held.callback(lease.release)
                return decided(intent, lease, paid=paid, by=by, note=note)

            return self._do(self._file.decide, intent_id, decide)

    def intents(self, *, settled: bool = False) -> list[Intent]:
        if settled:
            return list({step.intent.intent_id: step.intent for step in self.steps()}.values())
        return self._do(self._file.intents)

    def steps(self, intent_id: str | None = None) -> list[Step]:
        return self._do(self._file.steps, intent_id)

    def since(self, at: str) -> list[Step]:
        return self._do(self._file.since, at)

    def submit(self, call: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Run one of these calls, or a function that makes several, in the journal's thread."""
        if call == self.record:
            return self._recorded(*arguments)
        return self._worker.submit(partial(call, *arguments))

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        thread = self._worker.stop()
        if thread is not None and not self._worker.is_here:
            thread.join()

    def _do(self, call: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        work = partial(call, *arguments, **named)
        return work() if self._worker.is_here else self._worker.submit(work).result()


class _File:
    """The work of the journal's thread on the file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._known: Known | None = None
        self._version = 0
        """The data version of the file when it was last read; it changes when another connection writes."""
        self._read: Known | None = None
        """What the open reading transaction sees; the queries of one batch share it."""
        self._unwritten: list[NewStep] = []
        _all.add(self)

    def open(self) -> None:
        """Raises ``JournalError`` if the file cannot be used."""
        with self._guarded():
            self._open()

    # ---------------------------------------------------------------------------------------------------------- batches

    def turn(self, works: list[NewStep | Call[Any]]) -> None:
        calls = []
        for work in works:
            if isinstance(work, NewStep):
                self._unwritten.append(work)
            else:
                calls.append(work)
        # Queries first: they need not wait for the disk.
        for call in calls:
            call.run()
        self._end_reading()
        for call in calls:
            call.tell()
        if any(step.is_awaited for step in self._unwritten):
            self._write()

    def leave(self) -> None:
        if self._unwritten:
            self._write()
        self._disconnect()

    def _write(self) -> None:
        """Write all steps that have arrived. Each step that the rules accept is synced when its future is done."""
        self._end_reading()
        steps, self._unwritten = self._unwritten, []
        refused: dict[NewStep, BaseException] = {}
        try:
            with self._guarded(), self._writing() as known:
                for step in steps:
                    try:
                        row = self._checked(known, step.intent, step.at)
                    except (sqlite3.Error, OSError):
                        raise
                    except Exception as error:
                        refused[step] = error
                    else:
                        self._insert(known, *row)
        except BaseException as error:
            refused = dict.fromkeys(steps, error)
        for step in steps:
            step.end(refused.get(step))

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """Raise errors of the database as ``JournalError``."""
        try:
            yield
        except (sqlite3.Error, OSError, UnicodeError) as error:
            self._disconnect()
            what = f"the journal {self._path} cannot be used: {error}"
            if any(sign in str(error).lower() for sign in _NO_JOURNAL):
                what = f"{self._path} is not a getnet-pos journal, or is damaged: {error}"
            raise JournalError(f"{what}. {_advice(error)}") from error

    # ---------------------------------------------------------------------------------------------------------- queries

    def unsettled(self, terminal: str) -> list[Intent]:
        with self._asked() as known:
            return [row.intent for row in known.unsettled.of_place(terminal)]

    def recent(self, terminal: str) -> list[Intent]:
        with self._asked() as known:
            return [row.intent for row in self._lately(known, terminal)]

    def find(self, search: Search) -> list[Step]:
        with self._asked(search) as known:
            rows = [*self._lately(known, search.terminal), *known.before(search)]
            rows += [*self._paid(known, search), *self._of_key(known, search.idempotency_key)]
            return [row.step for row in last_of_each(rows)]

    def intents(self) -> list[Intent]:
        with self._asked() as known:
            return [row.intent for row in known.unsettled.rows.values()]

    def steps(self, intent_id: str | None) -> list[Step]:
        with self._asked():
            if intent_id is None:
                rows = self._rows(f"{SELECT} ORDER BY id")
            else:
                rows = self._rows(f"{SELECT} WHERE intent_id = ? ORDER BY sequence", intent_id)
            return [row.step for row in rows]

    def since(self, at: str) -> list[Step]:
        with self._asked():
            return [row.step for row in self._rows(_FROM, at)]

    @contextlib.contextmanager
    def _asked(self, search: Search | None = None) -> Iterator[Known]:
        """One state of the file, with all steps that arrived before; with ``search``, with those of its terminal."""
        if any(search is None or same_terminal(search, step.intent) for step in self._unwritten):
            self._write()
        with self._guarded():
            if self._read is None:
                _begin(self._connected(), "DEFERRED")
                self._read = self._now()
            yield self._read

    def _end_reading(self) -> None:
        known, self._read = self._read, None
        if known is not None:
            with contextlib.suppress(JournalError), self._guarded():
                self._connected().execute("COMMIT")

    # ---------------------------------------------------------------------------------------------------------- reading

    def _rows(self, query: str, *arguments: str | int | None) -> list[Row]:
        return [read_row(row) for row in self._connected().execute(query, arguments)]

    def _now(self) -> Known:
        """The content of the file, with what others have written in the meantime."""
        [version] = self._connected().execute("PRAGMA data_version").fetchone()
        known, self._known = self._known, None  # so that it is read again if the rest is interrupted
        if known is None or (version != self._version and not self._catch_up(known)):
            known = self._load()
        self._known, self._version = known, version
        return known

    def _catch_up(self, known: Known) -> bool:
        """Add what others have written; ``False`` if that is too much."""
        last = [*known.tail][-1:]
        rows = self._rows(_SINCE, known.number)
        if len(rows) == _MANY:
            return False
        if rows[: len(last)] != last:
            raise sqlite3.DatabaseError("a row is missing")
        for row in rows[len(last) :]:
            _follow(known, row)
        return True

    def _load(self) -> Known:
        """Read the current state from the end of the file, however long the file is."""
        known = Known()
        tail = self._rows(_TAIL)
        if not tail:
            if self._connected().execute(_IN_THE_INDEX).fetchone():
                raise sqlite3.DatabaseError("every row is missing")
            return known
        last = tail[-1].number
        if [row.number for row in tail] != [*range(max(1, last - TAIL + 1), last + 1)]:
            raise sqlite3.DatabaseError("a row is missing")
        whole = next(place for place, row in enumerate(tail) if row.unsettled is not None)
        for number in tail[whole].unsettled or ():
            rows = self._rows(_NUMBERED, number)
            if not rows or rows[0].settled:
                raise sqlite3.DatabaseError(f"row {number} is missing")
            known.unsettled.put(rows[0])
        for row in tail[: whole + 1]:
            known.see(row)
        for row in tail[whole + 1 :]:
            _follow(known, row)
        return known

    def _lately(self, known: Known, terminal: str) -> Iterable[Row]:
        """The last settled intents of an address."""
        if terminal not in known.recent:
            here = [row for row in known.tail if row.intent.terminal == terminal]
            if sum(row.settled for row in here) < RECENT // 2:
                # Many other terminals write here too: the index finds rows that are further back.
                here = _complete(self._rows(_LATELY, terminal), here)
            known.recent[terminal] = deque((row for row in last_of_each(here) if row.settled), maxlen=RECENT)
        return known.recent[terminal]

    def _paid(self, known: Known, search: Search) -> list[Row]:
        """The intents of the same ticket and amount that were found paid other than by the call that sent them."""
        if search.ticket is None:
            return []
        oldest = moment(now() - REMEMBERED)
        here = [row for row in known.lately.of_sale(search) if is_paid_unheard(row, oldest)]
        found = _complete(self._rows(_PAID, search.ticket, search.amount, oldest), here[-1:])
        return [row for row in found if self._last_of(row.intent) == row]

    def _of_key(self, known: Known, key: str | None) -> list[Row]:
        """The last intent recorded with an idempotency key."""
        if key is None:
            return []
        here = [row for row in known.tail if row.intent.idempotency_key == key and row.step.sequence == 0]
        found = _complete(self._rows(_OF_KEY, key), here[-1:])
        return [last for row in found if (last := self._last_of(row.intent)) is not None]

    def _last_of(self, intent: Intent) -> Row | None:
        return next(iter(self._rows(_LAST_OF, intent.terminal, intent.intent_id)), None)

    def _beginning_with(self, intent_id: str) -> Iterator[Row]:
        if intent_id:
            yield from self._rows(_BEGINNING_WITH, intent_id, intent_id)

    # ---------------------------------------------------------------------------------------------------------- writing

    def decide(self, intent_id: str, decide: Callable[[list[Intent], Iterable[object]], Intent]) -> Intent:
        """Record what ``decide`` returns, given the unsettled intents and the settled ones whose id begins so."""
        if self._unwritten:
            self._write()
        self._end_reading()
        with self._guarded(), self._writing() as known:
            unsettled = [row.intent for row in known.unsettled.rows.values()]
            intent = decide(unsettled, self._beginning_with(intent_id))
            self._insert(known, *self._checked(known, intent, moment(now())))
        return intent

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Known]:
        """One synced transaction."""
        with _transaction(self._connected(), "IMMEDIATE"):
            known = self._now()
            # So that it is read again if the rest is interrupted.
            self._known = None
            yield known
        self._known = known

    def _checked(self, known: Known, intent: Intent, at: str) -> tuple[Row, Sequence[Any]]:
        """The next row and its values. Raises ``JournalError`` if the rules refuse the step."""
        before = known.unsettled.rows.get(intent.intent_id) or self._last_of(intent)
        related = [] if before else [*known.related(intent), *self._of_key(known, intent.idempotency_key)]
        check(intent, before.intent if before else None, [row.intent for row in related])
        number = known.number + 1
        unsettled = None if (number - 1) % WHOLE else _numbers(known, intent, number)
        row = Row(number, Step(intent, before.step.sequence + 1 if before else 0, at), unsettled)
        return row, written_row(row)

    def _insert(self, known: Known, row: Row, values: Sequence[Any]) -> None:
        self._connected().execute(INSERT, values)
        known.add(row)

    # ------------------------------------------------------------------------------------------------------- connection

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._open()
        assert self._connection is not None
        return self._connection

    def _open(self) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._path.exists():
            _create(self._path)
        _look_at(self._path)
        self._connection = _connect(self._path)
        try:
            self._prepare(self._connection)
        except BaseException:
            self._disconnect()
            raise

    def _prepare(self, connection: sqlite3.Connection) -> None:
        _identify(connection, self._path)
        if os.name == "posix" and self._path.stat().st_mode & 0o077:
            os.chmod(self._path, 0o600)
        connection.execute("PRAGMA journal_mode=TRUNCATE")
        connection.execute("PRAGMA synchronous=EXTRA")
        connection.execute("PRAGMA fullfsync=ON")
        # A writing transaction, so that a file that cannot be written is detected here.
        with _transaction(connection, "IMMEDIATE"):
            [schema] = connection.execute("PRAGMA user_version").fetchone()
            if schema > SCHEMA:
                raise JournalError(f"the journal {self._path} was written by a newer version: update getnet-pos")
            if schema != SCHEMA:
                migrate(connection, schema)
            if tuple(text for [text] in connection.execute(_DESCRIPTION)) != DESCRIPTION:
                raise sqlite3.DatabaseError("the schema of its table has been changed")
            self._now()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        self._known = self._read = None
        if connection is not None:
            connection.close()

    def _forked(self) -> None:
        """In a forked child: leave the parent's connection alone, do not even close it, and open another one."""
        _inherited.append(self._connection)
        self._connection, self._known, self._read, self._unwritten = None, None, None, []


def _follow(known: Known, row: Row) -> None:
    """Add the next row of the file. Raises ``sqlite3.DatabaseError`` if it cannot follow the one before."""
    intent = row.intent
    began = row.step.sequence == 0 or intent.intent_id in known.unsettled.rows
    if row.number != known.number + 1 or not (began or intent.state is IntentState.CONTRADICTED):
        raise sqlite3.DatabaseError("a row is missing")
    known.add(row)


def _complete(found: list[Row], known: Iterable[Row]) -> list[Row]:
    """What an index ``found``. Raises ``sqlite3.DatabaseError`` if it misses a row ``known`` to be in the table."""
    if not {row.number for row in known} <= {row.number for row in found}:
        raise sqlite3.DatabaseError("a row is missing")
    return found


def _numbers(known: Known, intent: Intent, number: int) -> tuple[int, ...]:
    """The numbers of the last rows of the intents that are unsettled once ``intent`` is recorded."""
    numbers = {intent_id: row.number for intent_id, row in known.unsettled.rows.items()}
    numbers[intent.intent_id] = number
    if intent.state in FINAL_STATES:
        del numbers[intent.intent_id]
    return tuple(numbers.values())


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=_WAIT, isolation_level=None, check_same_thread=False)


def _identify(connection: sqlite3.Connection, path: Path) -> None:
    [application] = connection.execute("PRAGMA application_id").fetchone()
    if application != APPLICATION:
        raise JournalError(f"{path} is not a getnet-pos journal: choose another file")


def _look_at(path: Path) -> None:
    """Refuse a file that is not a journal before changing anything: its mode, its settings, or files next to it."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise JournalError(f"{path} is not a regular file: choose another path")
    if found.st_size == 0:
        raise sqlite3.DatabaseError("the file is empty")
    undo = path.with_name(f"{path.name}-journal")
    try:
        _peek_at(path)
    except sqlite3.DatabaseError:
        # During a write, or after one that was interrupted, it may look like that; then there is an undo file.
        if not undo.exists() or undo.stat().st_size == 0:
            _peek_at(path)


def _peek_at(path: Path) -> None:
    # Through SQLite: opening and closing the file here would release the locks that this process holds on it.
    uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    with contextlib.closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
        _identify(connection, path)


def write_whole(path: Path, rows: Iterable[Row]) -> None:
    """Create a journal of ``rows``, numbered from 1, at ``path``: complete, or not at all."""
    known = Known()

    def numbered() -> Iterator[Row]:
        for row in rows:
            unsettled = None if (row.number - 1) % WHOLE else _numbers(known, row.intent, row.number)
            known.add(row)
            yield replace(row, unsettled=unsettled)

    _create(path, numbered())


def _create(path: Path, rows: Iterable[Row] = ()) -> None:
    """Create a journal, complete or not at all, so that an empty file can only be a damaged one."""
    handle, name = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".new", dir=path.parent)  # mode 0600
    os.close(handle)
    draft = Path(name)
    try:
        with contextlib.closing(_connect(draft)) as connection:
            connection.execute("PRAGMA journal_mode=MEMORY")
            connection.execute("PRAGMA synchronous=EXTRA")
            with _transaction(connection, "IMMEDIATE"):
                for statement in CREATE:
                    connection.execute(statement)
                connection.executemany(INSERT, map(written_row, rows))
        try:
            os.link(draft, path)
        except FileExistsError:
            log.debug("another process created the journal first")
        except OSError:
            # Some file systems have no links.
            if not path.exists():
                draft.rename(path)
    finally:
        draft.unlink(missing_ok=True)
    if os.name == "posix":  # pragma: no branch  # Windows is not where coverage is taken
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection, kind: str) -> Iterator[None]:
    """One transaction: committed at the end, rolled back after an exception."""
    _begin(connection, kind)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _begin(connection: sqlite3.Connection, kind: str) -> None:
    """``IMMEDIATE`` to write, ``DEFERRED`` to read one state of the file."""
    if connection.in_transaction:
        # An earlier one was interrupted.
        connection.execute("ROLLBACK")
    connection.execute(f"BEGIN {kind}")


_NO_JOURNAL = ("file is not a database", "the file is empty")
"""In the errors of a file that may never have been a journal."""


def _advice(error: Exception) -> str:
    text = str(error).lower()
    if "full" in text or "no space" in text:
        return "Free some disk space; no payment command is sent until then."
    if any(sign in text for sign in ("readonly", "read-only", "permission", "not permitted", "unable to open")):
        return "Make the file and its folder writable for this user, or choose another path."
    if "locked" in text:
        return "Another process keeps it locked: stop that process, or give each register its own journal."
    mistyped = "If you mistyped the path, choose another. Otherwise m" if any(s in text for s in _NO_JOURNAL) else "M"
    return f"{mistyped}ove the file away, keep it for support, and check on the terminal the payments that it recorded."


_all: weakref.WeakSet[_File] = weakref.WeakSet()
_inherited: list[sqlite3.Connection | None] = []
"""Connections of the parent process. Closing one here would undo what the parent is writing."""


def _after_fork() -> None:
    for file in list(_all):
        file._forked()


if hasattr(os, "register_at_fork"):  # pragma: no branch  # Windows is not where coverage is taken
    os.register_at_fork(after_in_child=_after_fork)
