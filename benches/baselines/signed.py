"""The signed wire by the usual means: to dicts by ``json`` and ``orjson``, to typed structs by ``msgspec``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import orjson

from getnet_pos.messages import CATALOGUE, GenericReply
from getnet_pos.messages.fields import Kind, wire_fields

__all__ = ["character_loop", "json_hashlib", "msgspec_hashlib", "orjson_hashlib", "orjson_seal", "read_characters"]


def _to_dict(loads: Callable[[Any], Any]) -> Callable[[bytes], Any]:
    def read(frame: bytes) -> Any:
        outer = loads(frame)
        text = outer.get("JsonSerialized")
        if text is None:
            return outer
        if hashlib.sha256(text.encode()).hexdigest().upper() != outer["Sign"]:
            raise ValueError("the signature does not fit")
        return loads(text)

    return read


json_hashlib = _to_dict(json.loads)
orjson_hashlib = _to_dict(orjson.loads)


def read_characters(stream: str) -> Iterator[Any]:
    """Find the objects of a stream by counting braces outside strings, a character at a time."""
    text = ""
    depth = 0
    in_string = escaped = False
    for character in stream:
        if not depth and character != "{":
            continue
        text += character
        if in_string:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                in_string = False
        elif character == '"':
            in_string = True
        elif character == "{":
            depth += 1
        elif character == "}":
            depth -= 1
            if not depth:
                yield json_hashlib(text.encode())
                text = ""


def character_loop(frame: bytes) -> Any:
    (found,) = read_characters(frame.decode())
    return found


class _Envelope(msgspec.Struct):
    JsonSerialized: str | None = None
    Sign: str | None = None
    Received: bool | None = None


class _Head(msgspec.Struct):
    FunctionCode: int | None = None


class _Progress(msgspec.Struct):
    MessageCode: int | None = None
    MessageText: str | None = None


_TYPES: dict[Kind, Any] = {
    Kind.INTEGER: int | None,
    Kind.TEXT: str | int | None,
    Kind.BOOLEAN: bool | None,
    Kind.LAST_DIGITS: str | int | None,
    Kind.SALE_TYPE: int | None,
}


def _struct(message: Any) -> Any:
    fields: list[Any] = []
    for item in wire_fields(message):
        kind = list[_struct(item.row)] | None if item.row is not None else _TYPES[item.kind]  # type: ignore[misc]  # a type made while it runs
        fields.append((item.name, kind, None))
    names = {item.name: item.spellings[0] for item in wire_fields(message)}
    return msgspec.defstruct(message.__name__, fields, rename=names, kw_only=True)


_envelope = msgspec.json.Decoder(_Envelope).decode
_head = msgspec.json.Decoder(_Head).decode
_progress = msgspec.json.Decoder(_Progress).decode
_typed = {code: msgspec.json.Decoder(_struct(kind)).decode for code, kind in CATALOGUE.reply_types.items()}
_generic = msgspec.json.Decoder(_struct(GenericReply)).decode


def msgspec_hashlib(frame: bytes) -> Any:
    outer = _envelope(frame)
    text = outer.JsonSerialized
    if text is None:
        return outer
    if hashlib.sha256(text.encode()).hexdigest().upper() != outer.Sign:
        raise ValueError("the signature does not fit")
    # A sale reply is what comes most, and begins with its code: no second look at it.
    if text.startswith('{"FunctionCode":100,'):
        return _typed[100](text)
    code = _head(text).FunctionCode
    return _progress(text) if code is None or code == 112 else _typed.get(code, _generic)(text)


def orjson_seal(command: Any) -> bytes:
    """A sale as one would write it by hand."""
    inner = {
        "Command": command.code,
        "Amount": command.amount,
        "TicketNumber": command.ticket,
        "PrintOnPos": command.print_on_pos,
        "SaleType": int(command.sale_type),
        "SendMessage": command.send_message,
        "EmployeeId": command.employee_id,
        "DateTime": command.date_time,
    }
    text = orjson.dumps(inner).decode()
    return orjson.dumps({"JsonSerialized": text, "Sign": hashlib.sha256(text.encode()).hexdigest().upper()})
