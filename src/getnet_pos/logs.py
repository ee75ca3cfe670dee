"""The fields of the library's log records, beside their texts.

A handler that writes JSON takes them from the record, such as ``record.getnet_intent``. A record has only those fields
that it knows a value for.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, MutableMapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from .messages import Intent
from .observer import Operation

__all__ = ["FIELDS", "about", "fields", "logger", "running"]

FIELDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "getnet_command": "the operation that runs, in words",
        "getnet_terminal": "the place of its terminal",
        "getnet_carrier": "`usb`, `tcp`, `http` or `cloud`",
        "getnet_intent": "the payment command that the message is about, by the id of its intent",
        "getnet_state": "the state of that intent",
        "getnet_outcome": "how a payment of the agent ended",
    }
)
"""Every field, and what it holds. None holds an amount, a ticket, a card or a token."""

running: ContextVar[Operation | None] = ContextVar("running", default=None)
"""The operation that runs in this thread or task."""

if TYPE_CHECKING:
    _Adapter = logging.LoggerAdapter[logging.Logger]
else:
    _Adapter = logging.LoggerAdapter  # before Python 3.11 it takes no parameter


class _Logger(_Adapter):
    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        operation, given = running.get(), kwargs.get("extra") or {}
        if operation is not None:
            given = {"getnet_command": operation.command, **fields(terminal=operation.terminal), **given}
        kwargs["extra"] = given
        return msg, kwargs


def logger(name: str) -> _Adapter:
    """The logger of this name; its records name the operation that runs."""
    return _Logger(logging.getLogger(name), {})


def fields(
    *, terminal: str | None = None, intent: str | None = None, state: str | None = None, outcome: str | None = None
) -> dict[str, str]:
    """The ``extra`` of a record."""
    known = {
        "getnet_terminal": terminal,
        "getnet_carrier": None if terminal is None else terminal.partition(":")[0],
        "getnet_intent": intent,
        "getnet_state": state,
        "getnet_outcome": outcome,
    }
    return {name: value for name, value in known.items() if value is not None}


def about(intent: Intent) -> dict[str, str]:
    """The ``extra`` of a record that is about ``intent``."""
    return fields(intent=intent.intent_id, state=intent.state.value)
