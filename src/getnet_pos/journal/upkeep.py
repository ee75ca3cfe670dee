"""Creating, checking and copying whole journals: maintenance by a person, never by a connector."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import InvalidValue, JournalError
from ..messages import FINAL_STATES, NEXT_STATES, IntentState, Step
from .file import SqliteJournal, write_whole
from .known import Row
from .opening import is_database
from .rules import Journal
from .schema import written_step

if TYPE_CHECKING:
    from .database import Database

__all__ = ["Checked", "Status", "check_journal", "copy_journal", "initialize_journal", "journal_status"]


@dataclass(frozen=True, slots=True)
class Checked:
    """The content of a journal, with every digest checked."""

    steps: int
    intents: int
    unsettled: int
    digest: str
    """The digest of all steps in order; equal digests mean equal journals."""


@dataclass(frozen=True, slots=True)
class Status:
    """The state of a journal in a database."""

    version: int | None
    """The version of its tables; ``None`` if there is no journal."""
    weakness: str | None
    """Why a confirmed step could be lost; ``None`` if none can."""
    steps: int = 0
    unsettled: int = 0
    notices: int = 0
    leases: tuple[tuple[str, str, int, float], ...] = ()
    """The terminals that have an owner now: terminal, host, token, and seconds left."""


class _Closing(Journal, Protocol):
    def close(self) -> None: ...


def initialize_journal(dsn: str, role: str | None = None) -> int | None:
    """Create the journal in a database, or update it, and grant ``role`` what a host needs.

    Returns:
        The version that it had before; ``None`` if there was no journal.

    Raises:
        JournalError: the database cannot be reached, or refuses it.
    """
    from .database_schema import CREATE, granted

    with _database(dsn) as database:
        return database.initialize(CREATE, () if role is None else granted(database.role(role)))


def journal_status(dsn: str) -> Status:
    """The state of the journal in a database, and the hosts that use it.

    Raises:
        JournalError: the database cannot be reached.
    """
    from .database_schema import SCHEMA

    with _database(dsn) as database:
        version = database.version()
        if version is None:
            return Status(None, database.weakness())
        [[steps, unsettled, notices]] = database.ask(
            f"SELECT (SELECT coalesce(max(id), 0) FROM {SCHEMA}.step), (SELECT count(*) FROM {SCHEMA}.unsettled), "
            f"(SELECT count(*) FROM {SCHEMA}.notice)"
        )
        leases = database.ask(
            "SELECT terminal, host, token, extract(epoch FROM until - clock_timestamp())::float8 "
            f"FROM {SCHEMA}.lease WHERE until >= clock_timestamp() ORDER BY terminal"
        )
        return Status(version, database.weakness(), steps, unsettled, notices, tuple(map(tuple, leases)))


def check_journal(source: str) -> Checked:
    """Check every step of a file or a database: that it is unchanged, and that it may follow the one before.

    Raises:
        JournalError: it is damaged, or cannot be used.
    """
    with _opened(source) as journal:
        return _checked(source, journal)


def _checked(source: str, journal: Journal) -> Checked:
    """Check also that the journal's unsettled intents are those that its steps show."""
    whole = hashlib.sha256()
    last: dict[str, Step] = {}
    number = 0
    for number, step in enumerate(journal.steps(), 1):
        intent, before = step.intent, last.get(step.intent.intent_id)
        state = IntentState.INTENT if before is None else intent.state
        follows = step.sequence == (0 if before is None else before.sequence + 1)
        if not follows or (before is not None and state not in NEXT_STATES.get(before.intent.state, ())):
            raise JournalError(
                f"step {number}, {intent.state} of intent {intent.intent_id}, cannot follow the step before it: the "
                f"journal is damaged; keep {_shown(source)} for support"
            )
        last[intent.intent_id] = step
        whole.update(str(written_step(step)[-1]).encode())
    unsettled = {step.intent.intent_id for step in last.values() if step.intent.state not in FINAL_STATES}
    if unsettled != {intent.intent_id for intent in journal.intents()}:
        raise JournalError(
            f"the unsettled intents of {_shown(source)} are not those that its steps show: the journal is damaged; "
            "keep it for support"
        )
    return Checked(number, len(last), len(unsettled), whole.hexdigest())


def copy_journal(source: str, target: str) -> Checked:
    """Copy a whole journal between files and databases, and check the copy.

    The target must be empty: a file that does not exist yet, or a database fresh from ``initialize_journal``. No
    command of the source may be open, and nothing may write to it during the copy.

    Returns:
        The content of the copy.

    Raises:
        InvalidValue: a command is open, or the target is not empty.
        JournalError: one of the journals is damaged, or cannot be used.
    """
    with _opened(source) as journal:
        open_ones = [intent.intent_id for intent in journal.intents() if intent.open]
        if open_ones:
            raise InvalidValue(f"intent {open_ones[0]} is open: poll its terminal first, then copy")
        before = _checked(source, journal)
        if is_database(target):
            _into_database(target, journal.steps())
        else:
            _into_file(Path(target), journal.steps())
    after = check_journal(target)
    if after != before:
        raise JournalError(
            f"the copy differs from {_shown(source)}, which was written during the copy: delete the copy, stop all "
            "registers that use the journal, and copy it again"
        )
    return after


def _into_file(path: Path, steps: Iterable[Step]) -> None:
    if path.exists():
        raise InvalidValue(f"{path} already exists: choose a file that does not")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_whole(path, (Row(number, step) for number, step in enumerate(steps, 1)))


def _into_database(dsn: str, steps: Iterable[Step]) -> None:
    from .database_schema import SCHEMA
    from .schema import STEP_COLUMNS

    with _opened(dsn) as there:
        if there.steps():
            raise InvalidValue("the database already has steps: copy into one fresh from getnet-pos journal init")
    names = ", ".join(("id", *STEP_COLUMNS, "digest"))
    last: dict[str, tuple[Any, ...]] = {}
    with _database(dsn) as database, database.transaction() as connection:
        connection.execute(f"LOCK {SCHEMA}.step IN EXCLUSIVE MODE")
        with connection.cursor().copy(f"COPY {SCHEMA}.step ({names}) FROM STDIN") as copy:
            for number, step in enumerate(steps, 1):
                copy.write_row((number, *written_step(step)))
                one = step.intent
                last.pop(one.intent_id, None)
                if one.state not in FINAL_STATES:
                    last[one.intent_id] = (
                        one.intent_id, number, one.terminal, one.device, one.terminal_id, one.ticket,
                        one.idempotency_key,
                    )  # fmt: skip
        for row in last.values():
            connection.execute(f"INSERT INTO {SCHEMA}.unsettled VALUES (%s, %s, %s, %s, %s, %s, %s)", row)
        # Without statistics the first queries would read the whole table.
        connection.execute(f"ANALYZE {SCHEMA}.step, {SCHEMA}.unsettled")


@contextlib.contextmanager
def _opened(source: str) -> Iterator[Journal]:
    journal: _Closing
    if is_database(source):
        from .postgres import PostgresJournal

        journal = PostgresJournal(source)
    elif os.path.exists(source):
        journal = SqliteJournal(source)
    else:
        raise InvalidValue(f"there is no journal at {source}: check the path")
    with contextlib.closing(journal):
        yield journal


@contextlib.contextmanager
def _database(dsn: str) -> Iterator[Database]:
    from .database import Database

    with contextlib.closing(Database(dsn)) as database:
        yield database


def _shown(source: str) -> str:
    return "the database" if is_database(source) else source
