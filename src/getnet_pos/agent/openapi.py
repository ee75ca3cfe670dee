"""The OpenAPI document, derived from the table of routes and from the typed messages. It handles no request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from types import UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

from .._version import __version__
from ..messages import CATALOGUE, IntentState, PollReply, ProgressCode, Reply, ReportKind
from ..messages.documents import INTENT_FIELDS
from ..messages.intents import Intent
from .bodies import BODIES, Body
from .problems import KINDS, PREFIX

if TYPE_CHECKING:
    from .interface import Operation

__all__ = ["openapi"]

_NULL = {"type": "null"}
_PARAMETERS = {"name": "The terminal's name.", "kind": "The kind of report.", "id": "The payment's intent_id."}
_TAKEN = ("approved", "declined", "unknown")


def openapi(operations: Iterable[Operation]) -> dict[str, Any]:
    """The OpenAPI 3.1 document of these operations."""
    paths: dict[str, dict[str, Any]] = {}
    for one in operations:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "getnet-pos agent",
            "version": __version__,
            "description": "Drive Getnet payment terminals from a program on the same machine. An unknown outcome is a "
            "normal response (200, outcome unknown), never an error: do not repeat such a payment.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "The agent's pairing token."}
            },
            "schemas": _schemas(),
        },
    }


def _operation(one: Operation) -> dict[str, Any]:
    names = re.findall(r"\{(\w+)\}", one.path)
    parameters = [
        {"name": name, "in": "path", "required": True, "description": _PARAMETERS[name], "schema": _path_schema(name)}
        for name in names
    ]
    parameters += [
        {"name": name, "in": "query", "required": required, "description": about, "schema": schema}
        for name, (schema, required, about) in one.query.items()
    ]
    if one.pays:
        parameters += [
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "description": "Your key for the payment, 1 to 255 characters: one key is one payment.",
                "schema": {"type": "string", "minLength": 1, "maxLength": 255},
            },
            {
                "name": "Prefer",
                "in": "header",
                "required": False,
                "description": "respond-async: respond with 202 at once, and a location for the outcome.",
                "schema": {"type": "string"},
            },
        ]
    made: dict[str, Any] = {
        "operationId": one.name,
        "summary": one.summary,
        "parameters": parameters,
        "responses": {
            **{
                str(status): {"description": about, "content": {media: {"schema": schema}}}
                for status, (about, media, schema) in one.answers.items()
            },
            "default": {
                "description": "The request was refused.",
                "content": {"application/problem+json": {"schema": _ref("Problem")}},
            },
        },
    }
    if one.body is not None:
        body = BODIES[one.body]
        made["requestBody"] = {
            "required": any(member.required for member in body.members),
            "content": {"application/json": {"schema": _body(body)}},
        }
    return made


def _path_schema(name: str) -> dict[str, Any]:
    return {"type": "string"} if name != "kind" else {"enum": report_names()}


def report_names() -> list[str]:
    """The names of the reports, as in an address."""
    return [kind.name.lower().replace("_", "-") for kind in ReportKind]


def _body(body: Body) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            member.name: {"type": [*member.types, "null"] if not member.required else list(member.types),
                          "description": member.about}
            for member in body.members
        },
        "required": [member.name for member in body.members if member.required],
        "additionalProperties": False,
    }  # fmt: skip


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(
    properties: Mapping[str, Any], *, needed: Iterable[str] | None = None, more: bool = False
) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties if needed is None else needed),
        "additionalProperties": more,
    }


def _schemas() -> dict[str, Any]:
    text, number, flag = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}
    maybe_text, maybe_number = {"type": ["string", "null"]}, {"type": ["integer", "null"]}
    schemas: dict[str, Any] = {}
    replies = {kind.reply_type for kind in CATALOGUE.kinds.values()}
    for reply in sorted(replies, key=lambda kind: kind.__name__):
        schemas[reply.__name__] = {"description": _about(reply), **_message(reply, schemas)}
    payments = sorted({kind.reply_type.__name__ for kind in CATALOGUE.kinds.values() if kind.moves_money})
    intent = _intent()
    running = _object(
        {
            "command": number,
            "name": text,
            "amount": maybe_number,
            "ticket": maybe_text,
            "key": maybe_text,
            "since": text,
        }
    )
    schemas |= {
        "Answer": {
            "description": "The outcome of a payment. unknown: money may have moved; do not repeat it.",
            **_object(
                {
                    "outcome": {"enum": list(_TAKEN)},
                    "intent_id": maybe_text,
                    "recovered": {**flag, "description": "true: this is the stored result of an earlier request."},
                    "reason": maybe_text,
                    "reply": {"anyOf": [*map(_ref, payments), _NULL]},
                }
            ),
        },
        "Place": {
            "description": "The payment is running, or is being looked up: get its outcome from location.",
            **_object({"key": text, "location": text}),
        },
        "Problem": {
            "description": "A refusal (RFC 9457). In response to a payment it means: this request moved no money.",
            **_object(
                {
                    "type": {"enum": [PREFIX + kind for kind in KINDS]},
                    "title": text,
                    "status": number,
                    "detail": text,
                    "advice": text,
                    "nothing_sent": {**flag, "description": "true: certainly, no byte of the command was sent."},
                    "intent_id": maybe_text,
                    "reply": {"anyOf": [*map(_ref, payments), _NULL]},
                    "found": maybe_text,
                    "at": maybe_text,
                },
                needed=("type", "title", "status", "detail", "advice", "nothing_sent"),
            ),
        },
        "Terminal": _object(
            {
                "name": text,
                "state": {"enum": ["opening", "up", "not-ready", "down"]},
                "why": maybe_text,
                "running": {"anyOf": [running, _NULL]},
                "place": {**text, "description": "The terminal's name in the journal."},
                "profile": text,
                "amount_exponent": {
                    **maybe_number,
                    "description": "Decimals of the currency in an amount; null: unknown.",
                },
            }
        ),
        "Terminals": _object({"terminals": {"type": "array", "items": _ref("Terminal")}}),
        "Intent": intent,
        "RecordedIntent": _object({**intent["properties"], "at": text}),
        "Intents": _object({"intents": {"type": "array", "items": _ref("RecordedIntent")}}),
        "Polled": _object(
            {
                "reply": _ref(PollReply.__name__),
                **{
                    name: {"type": "array", "items": _ref("Intent")}
                    for name in ("settled", "unknown", "in_progress", "elsewhere")
                },
                "another_terminal": maybe_text,
            }
        ),
        "Cancelled": {
            "description": "The cancellation was requested. The response to the sale has its outcome.",
            **_object({"reply": {"anyOf": [_ref("CancelReply"), _ref("GenericReply"), _NULL]}}),
        },
        "Event": {
            "oneOf": [
                _event("link", {"state": text, "why": maybe_text}),
                _event("running", {"running": {"anyOf": [running, _NULL]}}),
                _event("progress", {"key": maybe_text, "code": _progress_code(), "text": text}),
                _event("outcome", {"key": maybe_text, **_answer_members(payments)}),
                _event("unknown", {"intent": _ref("Intent")}),
            ]
        },
    }
    return schemas


def _answer_members(payments: list[str]) -> dict[str, Any]:
    return {
        "outcome": {"enum": list(_TAKEN)},
        "intent_id": {"type": ["string", "null"]},
        "recovered": {"type": "boolean"},
        "reason": {"type": ["string", "null"]},
        "reply": {"anyOf": [*map(_ref, payments), _NULL]},
    }


def _progress_code() -> dict[str, Any]:
    known = ", ".join(f"{code.value} {code.name.lower().replace('_', ' ')}" for code in ProgressCode)
    return {"type": ["integer", "null"], "description": f"{known}; there may be others."}


def _event(kind: str, members: dict[str, Any]) -> dict[str, Any]:
    text = {"type": "string"}
    return _object({"id": {"type": "integer"}, "type": {"const": kind}, "at": text, "terminal": text, **members})


def _intent() -> dict[str, Any]:
    hints = get_type_hints(Intent)
    properties = {name: _of_hint(hints[name], {}) for name in INTENT_FIELDS}
    return _object({**properties, "state": {"enum": [state.value for state in IntentState]}})


def _message(kind: type, schemas: dict[str, Any], *, is_row: bool = False) -> dict[str, Any]:
    hints = get_type_hints(kind)
    properties: dict[str, Any] = {}
    for item in fields(kind):
        if item.name == "extra":
            properties["extra"] = {
                "type": "array", "items": {"type": "string"}, "description": "The names of further fields.",
            }  # fmt: skip
        elif item.repr:
            properties[item.name] = _of_hint(hints[item.name], schemas)
    if is_row:
        return _object(properties)
    flag = {"type": "boolean"}
    return _object({"approved": flag, **properties, "recovered": flag})


def _of_hint(hint: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    if get_origin(hint) is tuple:
        row = get_args(hint)[0]
        schemas.setdefault(row.__name__, _message(row, schemas, is_row=True))
        return {"type": "array", "items": _ref(row.__name__)}
    held = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    types = list(dict.fromkeys(map(_type, held)))
    return {"type": types if len(types) > 1 else types[0]}


def _type(hint: Any) -> str:
    if hint is type(None):
        return "null"
    if hint is bool:
        return "boolean"
    return "integer" if isinstance(hint, type) and issubclass(hint, int) else "string"


def _about(kind: type[Reply]) -> str:
    return " ".join((kind.__doc__ or "").partition("\n\n")[0].split())
