"""Which journal a connector uses: the file in the user's directory, another file, a database, an object, or none."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import platformdirs

from ..errors import ConfigurationError
from .file import SqliteJournal
from .memory import MemoryJournal
from .rules import Journal

if TYPE_CHECKING:
    from .postgres import PostgresJournal

__all__ = [
    "DEFAULT_JOURNAL",
    "JournalSource",
    "absent",
    "default_path",
    "is_database",
    "journal_opener",
    "open_journal",
    "place_of",
]

log = logging.getLogger("getnet_pos.journal")


class _Default:
    def __repr__(self) -> str:
        return "DEFAULT_JOURNAL"


DEFAULT_JOURNAL: Final = _Default()
"""The journal file in the user's state directory (``default_path()``)."""

JournalSource = _Default | str | os.PathLike[str] | Journal | None
"""The journal of a connector: a path, the connection string of a database (``postgresql://...``), a journal object, or
``None`` to switch the durable record off."""

_CALLS = ("record", "unsettled", "recent", "find", "claim", "resolve", "intents", "steps")
_opened: weakref.WeakValueDictionary[str, SqliteJournal | PostgresJournal] = weakref.WeakValueDictionary()
_lock = threading.Lock()
_memory = MemoryJournal()
"""The journal of all connectors whose journal is switched off, so that it lasts as long as the process."""


def is_database(source: str) -> bool:
    """Whether ``source`` is the connection string of a database, not a path."""
    return source.startswith(("postgresql://", "postgres://"))


def default_path() -> Path:
    """The journal file in the user's state directory, or the one that ``GETNET_POS_JOURNAL`` names."""
    chosen = os.environ.get("GETNET_POS_JOURNAL")
    return (
        Path(chosen) if chosen else Path(platformdirs.user_state_dir("getnet-pos", appauthor=False)) / "journal.sqlite3"
    )


def open_journal(source: JournalSource) -> Journal:
    """Open the journal ``source``. A file or a database has one journal object in a process.

    Raises:
        ConfigurationError: ``source`` is not a journal.
        JournalError: the journal cannot be used.
    """
    return journal_opener(source)()


def journal_opener(source: JournalSource) -> Callable[[], Journal]:
    """A function that opens the journal ``source``, which can take seconds while another process is writing.

    Raises:
        ConfigurationError: ``source`` is not a journal.
    """
    chosen = _chosen(source)
    if chosen is None:
        log.warning("the journal is switched off: after a crash during a payment its outcome cannot be recovered")
        return lambda: _memory
    if isinstance(chosen, str):
        return partial(_open_database, chosen)
    if isinstance(chosen, Path):
        return partial(_open_file, os.path.realpath(chosen), chosen)
    missing = [name for name in _CALLS if not hasattr(chosen, name)]
    if missing:
        raise ConfigurationError(
            "journal must be a path, a connection string postgresql://..., an object with "
            f"{', '.join(f'{name}()' for name in _CALLS)}, or None: {source!r} has no {missing[0]}()"
        )
    return lambda: chosen


def absent(source: JournalSource) -> Path | None:
    """The path of a journal file that does not exist yet; ``None`` for any other journal."""
    chosen = _chosen(source)
    return chosen if isinstance(chosen, Path) and not chosen.exists() else None


def place_of(source: JournalSource) -> str:
    """Where the journal is, for a person. A connection string is not shown, because it may have a password."""
    chosen = _chosen(source)
    if isinstance(chosen, Path):
        return str(chosen)
    return "a database" if isinstance(chosen, str) else "not in a file"


def _chosen(source: JournalSource) -> str | Path | Journal | None:
    """A connection string, a path, a journal, or ``None``."""
    if isinstance(source, _Default):
        source = os.environ.get("GETNET_POS_JOURNAL") or default_path()
    if isinstance(source, str) and is_database(source):
        return source
    return Path(source) if isinstance(source, (str, os.PathLike)) else source


def _open_file(key: str, path: Path) -> Journal:
    return _open_once(key, partial(SqliteJournal, path))


def _open_database(dsn: str) -> Journal:
    from .postgres import PostgresJournal

    return _open_once(dsn, partial(PostgresJournal, dsn))


def _open_once(key: str, make: Callable[[], SqliteJournal | PostgresJournal]) -> Journal:
    with _lock:
        journal = _opened.get(key)
        if journal is None:
            journal = _opened[key] = make()
    return journal


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):  # pragma: no branch  # Windows is not where coverage is taken
    os.register_at_fork(after_in_child=_after_fork)
