"""How a command ends: the exit code of each error, and text that is safe to show. It prints nothing."""

from __future__ import annotations

from enum import IntEnum

from ..errors import (
    AlreadyCharged,
    ApiError,
    GetnetError,
    JournalError,
    OutcomeUnknown,
    ProtocolError,
    TerminalBusy,
    TransportError,
)
from ..masking import mask

__all__ = ["ExitCode", "NotReady", "clean", "counted", "exit_code", "printable"]


class ExitCode(IntEnum):
    """The exit codes, explained in the package's docstring."""

    DONE = 0
    REFUSED = 1
    WRONG_USE = 2
    LINK = 3
    PROTOCOL = 4
    UNKNOWN = 5
    JOURNAL = 6
    API = 7
    CHARGED = 8
    DIFFERS = 9
    INTERRUPTED = 130


class NotReady(GetnetError):
    """The terminal replied to the poll that it is not ready."""


_CODES: tuple[tuple[type[GetnetError], ExitCode], ...] = (
    (OutcomeUnknown, ExitCode.UNKNOWN),
    (AlreadyCharged, ExitCode.CHARGED),
    (JournalError, ExitCode.JOURNAL),
    (ApiError, ExitCode.API),
    (ProtocolError, ExitCode.PROTOCOL),
    (TransportError, ExitCode.LINK),
    (TerminalBusy, ExitCode.LINK),
    (NotReady, ExitCode.REFUSED),
    (GetnetError, ExitCode.WRONG_USE),
)


def exit_code(error: GetnetError) -> ExitCode:
    return next(code for kind, code in _CODES if isinstance(error, kind))


def clean(text: str) -> str:
    """``text`` on one line, without card numbers, and without control characters, which could control the screen."""
    return printable(mask(text))


def counted(number: int, thing: str) -> str:
    """``1 message`` and ``2 messages``; ``thing`` is a word whose plural ends in ``s``."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def printable(text: str) -> str:
    """``text`` on one line and without control characters, otherwise unchanged: for names and serial numbers."""
    return "".join(c if c.isprintable() else " " if c.isspace() else c.encode("unicode_escape").decode() for c in text)
