"""The durable record of payment commands: insert-only rows in one SQLite file, or in PostgreSQL for many hosts.

Each row is a step of an intent; the last row has its current state. The journal decides nothing about a payment.
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
    """Import ``PostgresJournal`` on first use, because it needs the extra ``getnet-pos[postgres]``."""
    if name == "PostgresJournal":
        from .postgres import PostgresJournal

        return PostgresJournal
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
