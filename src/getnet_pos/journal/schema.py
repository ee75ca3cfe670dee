"""The journal's table, written out: its description, what a row holds, and how the rows of older files come into it."""

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
    "APPLICATION", "COLUMNS", "CREATE", "DESCRIPTION", "INSERT", "SCHEMA", "SELECT", "WHOLE", "digest", "migrate",
    "read_row", "written_row",
]  # fmt: skip

APPLICATION: Final = 0x47504F53
"""The application id in the header of the file: it is a journal of this library."""

SCHEMA: Final = 2
"""The user version in the header of the file: which description its table has."""

WHOLE: Final = 64
"""Every so many rows, one holds in ``unsettled`` the numbers of the last rows of all intents that are open or unknown
after it. With the rows behind it that tells them all, however long the file is and however many they are."""

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
"""A payment whose result its own call brought home has no place in it, and costs it nothing."""

DESCRIPTION = (_TABLE, _INDEX_OF_KEYS, _INDEX_OF_PAID, _NEVER_CHANGED, _NEVER_DELETED)
"""What ``sqlite_schema`` holds, in the order of writing."""

CREATE = (*DESCRIPTION, f"PRAGMA application_id={APPLICATION}", f"PRAGMA user_version={SCHEMA}")

COLUMNS = (
    "id", "sequence", "at", "intent_id", "terminal", "terminal_id", "commerce_code", "device", "command", "amount",
    "ticket", "reference", "idempotency_key", "baseline", "transaction_id", "frame_hash", "state", "reason", "found",
    "response_code", "authorization_code", "operation_id", "real_date", "last4_digits", "reply", "decided_by", "note",
    "unsettled",
)  # fmt: skip
"""The columns that the digest covers: all the others."""

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
    """What shows that a row is as it was written: the database itself does not see a changed byte."""
    return hashlib.sha256(json.dumps(values, default=repr).encode()).hexdigest()[:16]


def written_row(row: Row) -> tuple[Value, ...]:
    """The values of ``INSERT``. Raises ``JournalError`` where they could not be read again."""
    intent, unsettled = row.step.intent, row.unsettled
    values: dict[str, Any] = {
        "id": row.number,
        "sequence": row.step.sequence,
        "at": row.step.at,
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
        "unsettled": None if unsettled is None else " ".join(map(str, unsettled)),
    }
    written = tuple(values.values())
    try:
        _check(values)
        for value in written:
            if type(value) is str:
                value.encode()
    except ValueError as error:
        raise JournalError(f"a step cannot be recorded: {error}") from None
    return (*written, digest(written))


def read_row(values: Sequence[Any]) -> Row:
    """The row, if it is as it was written."""
    *written, told = values
    if digest(written) != told:
        raise sqlite3.DatabaseError(f"row {written[0]} is not as it was written")
    return _row(dict(zip(COLUMNS, written, strict=True)))


def _row(values: dict[str, Any]) -> Row:
    number = values["id"]
    try:
        _check(values)
        unsettled = None if values["unsettled"] is None else tuple(map(int, values["unsettled"].split()))
        if (unsettled is None) != bool((number - 1) % WHOLE):
            raise ValueError("it does not say what is open where it should")
        if unsettled is not None and not all(0 < one <= number for one in unsettled):
            raise ValueError("it points to rows that cannot be")
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
        raise ValueError("its baseline is not that of a voucher")
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
        raise ValueError(f"nothing is found by {values['found']!r}")


# ---------------------------------------------------------------------------------------------------------- older files

_OLDER_COLUMNS = {
    1: (
        "id", "sequence", "at", "intent_id", "terminal", "command", "amount", "ticket", "reference", "baseline",
        "transaction_id", "frame_hash", "state", "response_code", "authorization_code", "operation_id", "real_date",
        "last4_digits", "decided_by", "note", "unsettled",
    ),
}  # fmt: skip
"""Of each older schema: its columns but for the digest, in the order in which that covers them."""


def migrate(connection: sqlite3.Connection, schema: int) -> None:
    """Give the rows of an older ``schema`` their place in a table of this one, within the caller's transaction.

    Each digest is checked on the way, and made anew. Raises ``sqlite3.DatabaseError`` where a row is missing or not as
    it was written.
    """
    columns = _OLDER_COLUMNS.get(schema)
    if columns is None:
        raise sqlite3.DatabaseError(f"there never was a schema {schema}")
    connection.execute("DROP TRIGGER never_changed")
    connection.execute("DROP TRIGGER never_deleted")
    connection.execute("ALTER TABLE step RENAME TO older")
    connection.execute(_TABLE)
    rows = connection.execute(f"SELECT {', '.join(columns)}, digest FROM older ORDER BY id")
    for number, (*written, told) in enumerate(rows, start=1):
        if written[0] != number:
            raise sqlite3.DatabaseError("a row is missing")
        if digest(written) != told:
            raise sqlite3.DatabaseError(f"row {number} is not as it was written")
        known = dict(zip(columns, written, strict=True))
        row = _row({name: known.get(name) for name in COLUMNS})
        connection.execute(INSERT, written_row(row))
    connection.execute("DROP TABLE older")
    for statement in DESCRIPTION[1:]:
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version={SCHEMA}")
