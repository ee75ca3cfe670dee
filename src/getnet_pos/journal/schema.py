"""The journal's table, written out: its schema, the values of a row, and the migration of older files."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Sequence
from typing import Any, Final, get_args

from ..errors import JournalError
from ..messages import HowFound, Intent, IntentState, Step, VoucherMark
from .known import Row

__all__ = [
    "APPLICATION", "COLUMNS", "CREATE", "DESCRIPTION", "INSERT", "SCHEMA", "SELECT", "STEP_COLUMNS", "WHOLE", "digest",
    "migrate", "read_row", "read_step", "written_row", "written_step",
]  # fmt: skip

APPLICATION: Final = 0x47504F53
"""The application id in the header of the file, which identifies a journal of this library."""

SCHEMA: Final = 2
"""The user version in the header of the file: the version of its schema."""

WHOLE: Final = 64
"""One row in so many has, in ``unsettled``, the numbers of the last rows of all intents that are unsettled after it.
With the rows after that one the unsettled intents can be found quickly, however long the file is."""

_TABLE = """CREATE TABLE step (
    id INTEGER PRIMARY KEY,
    sequence INTEGER NOT NULL,
    at TEXT NOT NULL,
    intent_id TEXT NOT NULL,
    terminal TEXT NOT NULL,
    terminal_id TEXT,
    commerce_code INTEGER,
    device TEXT,
    command INTEGER NOT NULL,
    amount INTEGER,
    ticket TEXT,
    reference TEXT,
    idempotency_key TEXT,
    baseline TEXT,
    transaction_id TEXT,
    frame_hash TEXT,
    state TEXT NOT NULL,
    reason TEXT,
    found TEXT,
    response_code INTEGER,
    authorization_code TEXT,
    operation_id INTEGER,
    real_date TEXT,
    last4_digits TEXT,
    reply TEXT,
    decided_by TEXT,
    note TEXT,
    unsettled TEXT,
    digest TEXT NOT NULL,
    UNIQUE (terminal, intent_id, sequence)
)"""
_NEVER_CHANGED = """CREATE TRIGGER never_changed BEFORE UPDATE ON step
    BEGIN SELECT RAISE(ABORT, 'the journal is insert-only'); END"""
_NEVER_DELETED = """CREATE TRIGGER never_deleted BEFORE DELETE ON step
    BEGIN SELECT RAISE(ABORT, 'the journal is insert-only'); END"""

_INDEX_OF_KEYS = """CREATE INDEX of_key ON step (idempotency_key)
    WHERE idempotency_key IS NOT NULL AND sequence = 0"""
_INDEX_OF_PAID = """CREATE INDEX paid ON step (ticket, amount)
    WHERE state IN ('APPROVED', 'RESOLVED_PAID') AND found IS NOT 'call'"""
"""Without the payments whose own call returned the result, so that those cost nothing."""

DESCRIPTION = (_TABLE, _INDEX_OF_KEYS, _INDEX_OF_PAID, _NEVER_CHANGED, _NEVER_DELETED)
"""The content of ``sqlite_schema``, in the order of creation."""

CREATE = (*DESCRIPTION, f"PRAGMA application_id={APPLICATION}", f"PRAGMA user_version={SCHEMA}")

COLUMNS = (
    "id", "sequence", "at", "intent_id", "terminal", "terminal_id", "commerce_code", "device", "command", "amount",
    "ticket", "reference", "idempotency_key", "baseline", "transaction_id", "frame_hash", "state", "reason", "found",
    "response_code", "authorization_code", "operation_id", "real_date", "last4_digits", "reply", "decided_by", "note",
    "unsettled",
)  # fmt: skip
"""The columns that the digest covers: all but its own."""

STEP_COLUMNS = COLUMNS[1:-1]
"""The columns of the step itself, in any store."""

SELECT = f"SELECT {', '.join(COLUMNS)}, digest FROM step"
INSERT = f"INSERT INTO step ({', '.join(COLUMNS)}, digest) VALUES (?{', ?' * len(COLUMNS)})"

_INTEGERS = {
    "id",
    "sequence",
    "commerce_code",
    "command",
    "amount",
    "response_code",
    "operation_id",
    "function_code",
    "fresh",
}
_ALWAYS = {"id", "sequence", "at", "intent_id", "terminal", "command", "state"}
_FOUND = (None, *get_args(HowFound))
_MARK = ("operation_id", "real_date", "authorization_code", "amount", "function_code", "fresh")

Value = int | str | None


def digest(values: Sequence[Any]) -> str:
    """The digest of a row, which detects changes that SQLite does not."""
    return hashlib.sha256(json.dumps(values, default=repr).encode()).hexdigest()[:16]


def written_row(row: Row) -> tuple[Value, ...]:
    """The values of ``INSERT``. Raises ``JournalError`` if they could not be read back."""
    unsettled = None if row.unsettled is None else " ".join(map(str, row.unsettled))
    return _written({"id": row.number, **_values(row.step), "unsettled": unsettled})


def written_step(step: Step) -> tuple[Value, ...]:
    """The values of ``STEP_COLUMNS`` and their digest. Raises ``JournalError`` if they could not be read back."""
    return _written(_values(step))


def _written(values: dict[str, Any]) -> tuple[Value, ...]:
    written = tuple(values.values())
    try:
        _check(values)
        for value in written:
            if type(value) is str:
                value.encode()
    except ValueError as error:
        raise JournalError(f"a step cannot be recorded: {error}") from None
    return (*written, digest(written))


def _values(step: Step) -> dict[str, Any]:
    intent = step.intent
    return {
        "sequence": step.sequence,
        "at": step.at,
        "intent_id": intent.intent_id,
        "terminal": intent.terminal,
        "terminal_id": intent.terminal_id,
        "commerce_code": intent.commerce_code,
        "device": intent.device,
        "command": intent.command,
        "amount": intent.amount,
        "ticket": intent.ticket,
        "reference": intent.reference,
        "idempotency_key": intent.idempotency_key,
        "baseline": None if intent.baseline is None else _written_mark(intent.baseline),
        "transaction_id": intent.transaction_id,
        "frame_hash": intent.frame_hash,
        "state": intent.state.value,
        "reason": intent.reason,
        "found": intent.found,
        "response_code": intent.response_code,
        "authorization_code": intent.authorization_code,
        "operation_id": intent.operation_id,
        "real_date": intent.real_date,
        "last4_digits": intent.last4_digits,
        "reply": intent.reply,
        "decided_by": intent.decided_by,
        "note": intent.note,
    }


def read_step(values: Sequence[Any]) -> Step:
    """The step that ``written_step`` wrote. Raises ``ValueError`` if it has been changed since."""
    *written, stored = values
    if digest(written) != stored:
        raise ValueError("its content has been changed")
    known: dict[str, Any] = dict(zip(STEP_COLUMNS, written, strict=True))
    _check(known)
    return Step(_intent(known), known["sequence"], known["at"])


def read_row(values: Sequence[Any]) -> Row:
    """The row that ``written_row`` wrote. Raises ``sqlite3.DatabaseError`` if it has been changed since."""
    *written, stored = values
    if digest(written) != stored:
        raise sqlite3.DatabaseError(f"row {written[0]} has been changed")
    return _row(dict(zip(COLUMNS, written, strict=True)))


def _row(values: dict[str, Any]) -> Row:
    number = values["id"]
    try:
        _check(values)
        unsettled = None if values["unsettled"] is None else tuple(map(int, values["unsettled"].split()))
        if (unsettled is None) != bool((number - 1) % WHOLE):
            raise ValueError("the list of unsettled intents is missing, or should not be there")
        if unsettled is not None and not all(0 < one <= number for one in unsettled):
            raise ValueError("the list of unsettled intents names a later row")
        return Row(number, Step(_intent(values), values["sequence"], values["at"]), unsettled)
    except (ValueError, RecursionError) as error:
        raise sqlite3.DatabaseError(f"row {number} cannot be read: {error}") from None


def _intent(values: dict[str, Any]) -> Intent:
    return Intent(
        intent_id=values["intent_id"],
        terminal=values["terminal"],
        terminal_id=values["terminal_id"],
        commerce_code=values["commerce_code"],
        device=values["device"],
        command=values["command"],
        amount=values["amount"],
        ticket=values["ticket"],
        reference=values["reference"],
        idempotency_key=values["idempotency_key"],
        baseline=None if values["baseline"] is None else _read_mark(values["baseline"]),
        transaction_id=values["transaction_id"],
        frame_hash=values["frame_hash"],
        state=IntentState(values["state"]),
        reason=values["reason"],
        found=values["found"],
        response_code=values["response_code"],
        authorization_code=values["authorization_code"],
        operation_id=values["operation_id"],
        real_date=values["real_date"],
        last4_digits=values["last4_digits"],
        reply=values["reply"],
        decided_by=values["decided_by"],
        note=values["note"],
    )


def _written_mark(mark: VoucherMark) -> str:
    values = {
        "operation_id": mark.operation_id,
        "real_date": mark.real_date,
        "authorization_code": mark.authorization_code,
        "amount": mark.amount,
        "function_code": mark.function_code,
    }
    if mark.fresh:
        values["fresh"] = 1
    try:
        _check(values)
    except ValueError as error:
        raise JournalError(f"a baseline cannot be recorded: {error}") from None
    return json.dumps(values)


def _read_mark(text: str) -> VoucherMark:
    values = json.loads(text)
    if type(values) is not dict or not values.keys() <= set(_MARK):
        raise ValueError("the baseline has unknown fields")
    _check(values)
    return VoucherMark(**{**values, "fresh": values.get("fresh") == 1})


def _check(values: dict[str, Any]) -> None:
    """Raise ``ValueError`` for a value that its column cannot hold."""
    for name, value in values.items():
        if value is None:
            if name in _ALWAYS:
                raise ValueError(f"{name} is missing")
        elif name in _INTEGERS:
            if type(value) is not int:
                raise ValueError(f"{name} cannot be a {type(value).__name__}")
            if not -(1 << 63) <= value < 1 << 63:
                raise ValueError(f"{name} is out of range")
        elif type(value) is not str:
            raise ValueError(f"{name} cannot be a {type(value).__name__}")
    if values.get("found") not in _FOUND:
        raise ValueError(f"found cannot be {values['found']!r}")


# ---------------------------------------------------------------------------------------------------------- older files

_OLDER_COLUMNS = {
    1: (
        "id", "sequence", "at", "intent_id", "terminal", "command", "amount", "ticket", "reference", "baseline",
        "transaction_id", "frame_hash", "state", "response_code", "authorization_code", "operation_id", "real_date",
        "last4_digits", "decided_by", "note", "unsettled",
    ),
}  # fmt: skip
"""The columns of each older schema except the digest, in the order in which the digest covers them."""


def migrate(connection: sqlite3.Connection, schema: int) -> None:
    """Copy the rows of an older ``schema`` into a table of this one, within the caller's transaction.

    Each digest is checked and computed again. Raises ``sqlite3.DatabaseError`` if a row is missing or has been changed.
    """
    columns = _OLDER_COLUMNS.get(schema)
    if columns is None:
        raise sqlite3.DatabaseError(f"schema version {schema} has never existed")
    connection.execute("DROP TRIGGER never_changed")
    connection.execute("DROP TRIGGER never_deleted")
    connection.execute("ALTER TABLE step RENAME TO older")
    connection.execute(_TABLE)
    rows = connection.execute(f"SELECT {', '.join(columns)}, digest FROM older ORDER BY id")
    for number, (*written, stored) in enumerate(rows, start=1):
        if written[0] != number:
            raise sqlite3.DatabaseError("a row is missing")
        if digest(written) != stored:
            raise sqlite3.DatabaseError(f"row {number} has been changed")
        known = dict(zip(columns, written, strict=True))
        row = _row({name: known.get(name) for name in COLUMNS})
        connection.execute(INSERT, written_row(row))
    connection.execute("DROP TABLE older")
    for statement in DESCRIPTION[1:]:
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version={SCHEMA}")
