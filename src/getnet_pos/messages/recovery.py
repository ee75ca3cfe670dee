"""What is handed over when open payment commands were asked about. Describes only."""

from __future__ import annotations

from dataclasses import dataclass

from .intents import Intent
from .replies import PollReply

__all__ = ["Polled", "Recovery"]


class Recovery(list[Intent]):
    """The payment commands of a terminal whose outcome nobody knows, as a list; and what else came out."""

    def __init__(
        self,
        unknown: list[Intent] | tuple[Intent, ...] = (),
        *,
        settled: tuple[Intent, ...] = (),
        in_progress: tuple[Intent, ...] = (),
        elsewhere: tuple[Intent, ...] = (),
        another_terminal: str | None = None,
    ) -> None:
        super().__init__(unknown)
        self.settled = settled
        """Those that were settled now: their callers may never have heard of it."""
        self.in_progress = in_progress
        """Those that another process, or another connector, is waiting for at this moment."""
        self.elsewhere = elsewhere
        """Unsettled commands in the same journal of terminals other than the one here."""
        self.another_terminal = another_terminal
        """What is told of the terminal here, where it is not the one that was at this place before."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Polled(PollReply):
    """The answer to a poll, and what became of the payment commands that an earlier run had left."""

    settled: tuple[Intent, ...] = ()
    """Payment commands that were settled now: their callers may never have heard of it."""
    unknown: tuple[Intent, ...] = ()
    """Payment commands of this terminal whose outcome nobody knows: a person must look."""
    in_progress: tuple[Intent, ...] = ()
    """Those that another process, or another connector, is waiting for at this moment."""
    elsewhere: tuple[Intent, ...] = ()
    """Unsettled payment commands in the same journal of terminals other than the one here."""
    another_terminal: str | None = None
    """What is told of the terminal here, where it is not the one that was at this place before."""
