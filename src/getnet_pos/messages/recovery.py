"""The results of asking a terminal about open payment commands."""

from __future__ import annotations

from dataclasses import dataclass

from .intents import Intent
from .replies import PollReply

__all__ = ["Polled", "Recovery"]


class Recovery(list[Intent]):
    """The payment commands of a terminal whose outcome is still unknown, as a list; the others in its attributes.

    Examples:
        >>> recovery = pos.recover()
        >>> list(recovery), recovery.settled
        ([], ())
    """

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
        """Those settled just now; their callers may never have received the result."""
        self.in_progress = in_progress
        """Those that another process or connector is running at this moment."""
        self.elsewhere = elsewhere
        """Unsettled commands of other terminals in the same journal."""
        self.another_terminal = another_terminal
        """A description of the terminal, if it is not the one that was connected here before; else ``None``."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Polled(PollReply):
    """The reply to a poll (106), with the outcome of the payment commands that an earlier run left open.

    Examples:
        >>> polled = pos.polling()
        >>> polled.approved, polled.unknown
        (True, ())
    """

    settled: tuple[Intent, ...] = ()
    """Payment commands settled just now; their callers may never have received the result."""
    unknown: tuple[Intent, ...] = ()
    """Payment commands of this terminal whose outcome is unknown: a person must check them."""
    in_progress: tuple[Intent, ...] = ()
    """Those that another process or connector is running at this moment."""
    elsewhere: tuple[Intent, ...] = ()
    """Unsettled payment commands of other terminals in the same journal."""
    another_terminal: str | None = None
    """A description of the terminal, if it is not the one that was connected here before; else ``None``."""
