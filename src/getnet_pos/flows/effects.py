"""What a flow can ask its driver to do. Plain data; a driver answers each with a result or an exception."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..messages import Intent, Progress

__all__ = ["Close", "Effect", "Flow", "Now", "Open", "Recall", "Receive", "Record", "Report", "Send", "Sleep"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Open:
    """Open the transport. ``ConnectError`` where it cannot be."""


@dataclass(frozen=True, slots=True)
class Close:
    """Close the transport; never fails."""


@dataclass(frozen=True, slots=True)
class Send:
    """Write all of ``data`` by ``deadline``. A ``TransportError`` says in ``bytes_written`` how much left.

    ``aside``: the reply that is being waited for still is; this is said beside it.
    """

    data: bytes = field(repr=False)
    deadline: float
    aside: bool = False


@dataclass(frozen=True, slots=True)
class Receive:
    """The bytes that have come; waits for the first until ``deadline``.

    The answer is empty at the deadline, and earlier when another thread or task asked for the flow's attention.
    """

    deadline: float


@dataclass(frozen=True, slots=True)
class Now:
    """The monotonic clock, in seconds."""


@dataclass(frozen=True, slots=True)
class Sleep:
    """Do nothing for ``seconds``."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Report:
    """Tell the caller about progress; what the caller does with it cannot harm the flow."""

    progress: Progress


@dataclass(frozen=True, slots=True)
class Record:
    """Write the intent as it now stands to the journal, durably. ``JournalError`` where it cannot be."""

    intent: Intent


@dataclass(frozen=True, slots=True)
class Recall:
    """The terminal's intents that are open or unknown, the oldest first.

    ``recent``: before them, those that were settled last.
    """

    terminal: str
    recent: bool = False


Effect = Open | Close | Send | Receive | Now | Sleep | Report | Record | Recall

Flow = Generator[Effect, Any, T]
"""A procedure: yields effects, is resumed with their results, returns ``T``."""
