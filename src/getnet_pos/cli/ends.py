"""How a command ends: the exit code of each error, and what is told of it. Prints nothing."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from ..errors import ApiError, GetnetError, JournalError, OutcomeUnknown, ProtocolError, TerminalBusy, TransportError
from ..masking import mask

__all__ = ["ExitCode", "NotReady", "clean", "exit_code", "printable", "told"]


class ExitCode(IntEnum):
    """The exit codes, as the package's docstring gives them."""

    DONE = 0
    REFUSED = 1
    WRONG_USE = 2
    LINK = 3
    PROTOCOL = 4
    UNKNOWN = 5
    JOURNAL = 6
    API = 7
    INTERRUPTED = 130


class NotReady(GetnetError):
    """The terminal answered the poll, and is not ready."""


_CODES: tuple[tuple[type[GetnetError], ExitCode], ...] = (
    (OutcomeUnknown, ExitCode.UNKNOWN),
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


def told(error: GetnetError) -> dict[str, Any]:
    """An error as an object: its type, its message, and what it carries to act on."""
    document: dict[str, Any] = {"type": type(error).__name__, "message": str(error)}
    for name in ("intent_id", "status", "code", "log_id"):
        value = getattr(error, name, None)
        if value is not None:
            document[name] = value
    return document


def clean(text: str) -> str:
    """``text`` on one line, without control characters, which would steer the screen, and without card numbers."""
    return printable(mask(text))


def printable(text: str) -> str:
    """``text`` on one line and without control characters, and otherwise as it is: for what names a thing."""
    return "".join(c if c.isprintable() else " " if c.isspace() else c.encode("unicode_escape").decode() for c in text)
