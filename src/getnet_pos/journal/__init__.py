"""The durable record of payment commands: insert-only rows in one SQLite file. It decides nothing about a payment.

A row is a step of an intent; what is known of an intent is its last row.
"""

from ..messages import Search, Step
from .file import SqliteJournal
from .memory import MemoryJournal
from .opening import DEFAULT_JOURNAL, JournalSource, default_path, journal_opener, open_journal
from .rules import Journal, Lease, elsewhere

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
]
