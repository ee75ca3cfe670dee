"""The durable record of payment commands: insert-only rows in one SQLite file, or in PostgreSQL for many hosts. It
decides nothing about a payment.

A row is a step of an intent; what is known of an intent is its last row.
"""

from typing import TYPE_CHECKING, Any

from ..messages import Search, Step
from .file import SqliteJournal
from .memory import MemoryJournal
from .opening import DEFAULT_JOURNAL, JournalSource, default_path, journal_opener, open_journal
from .rules import Journal, Lease, elsewhere, since

if TYPE_CHECKING:
    from .postgres import PostgresJournal as PostgresJournal

__all__ = [
    "DEFAULT_JOURNAL",
    "Journal",
    "JournalSource",
    "Lease",
    "MemoryJournal",
    "Search",
    "SqliteJournal",
    "Step",
    "default_path",
    "elsewhere",
    "journal_opener",
    "open_journal",
    "since",
]


def __getattr__(name: str) -> Any:
    """``PostgresJournal`` needs what only ``getnet-pos[postgres]`` installs, so it is imported when it is named."""
    if name == "PostgresJournal":
        from .postgres import PostgresJournal

        return PostgresJournal
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
