"""Messages and records as plain objects for JSON, without anything that could identify a card or its holder."""

from __future__ import annotations

import re
from dataclasses import fields
from functools import lru_cache
from typing import Any

from .catalogue import CATALOGUE
from .intents import Intent
from .progress import Progress
from .replies import Reply

__all__ = [
    "INTENT_FIELDS",
    "command_name",
    "fields_document",
    "intent_document",
    "progress_document",
    "reply_document",
]

INTENT_FIELDS = (
    "intent_id", "terminal", "command", "ticket", "amount", "state", "reason", "found", "terminal_id", "commerce_code",
    "device", "idempotency_key", "reference", "response_code", "authorization_code", "operation_id", "last4_digits",
    "decided_by", "note",
)  # fmt: skip
"""The fields of an intent's document; the first of them never change."""


def fields_document(message: Any) -> dict[str, Any]:
    """The fields of a message or of a row; ``extra`` has only the names of the unknown fields."""
    document: dict[str, Any] = {}
    for item in fields(message):
        value = getattr(message, item.name)
        if item.name == "extra":
            document["extra"] = sorted(value)
        elif isinstance(value, tuple):
            document[item.name] = [fields_document(row) for row in value]
        elif item.repr:
            document[item.name] = value
    return document


def reply_document(reply: Reply) -> dict[str, Any]:
    """A reply, with ``approved``, and with ``recovered``: whether it is the stored result of an earlier call."""
    return {"approved": reply.approved, **fields_document(reply), "recovered": reply.recovered}


def progress_document(progress: Progress) -> dict[str, Any]:
    return {"code": None if progress.code is None else int(progress.code), "text": progress.text}


def intent_document(intent: Intent, **more: Any) -> dict[str, Any]:
    document = {name: getattr(intent, name) for name in INTENT_FIELDS}
    return {**document, "state": intent.state.value, **more}


@lru_cache(maxsize=256)
def command_name(code: int | None) -> str:
    """A command's name in words."""
    if code is None:
        return ""
    kind = CATALOGUE.kind(code)
    return f"command {code}" if kind is None else re.sub(r"(?<!^)(?=[A-Z])", " ", kind.__name__).lower()
