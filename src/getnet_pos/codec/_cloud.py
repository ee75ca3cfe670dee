"""Commands and results of the cloud: the same fields as the signed wire, in camelCase. Pure; the definition.

An answer is an object of ``code``, ``status``, ``message`` and ``data``. In Chile ``data`` nests the terminal's reply
under ``response``; in Argentina ``data`` is the reply, with its result under ``code`` and ``message``. Both are taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import orjson

from ..errors import MalformedFrame, MalformedResponse
from ..messages import REPLY_TYPES, CloudResult, Command, GenericCommand, GenericReply, KeyPos, Reply
from ..messages.commands import sent_fields
from ._pure import _layout, parse

__all__ = ["encode_cloud", "read_cloud"]


class ReplyTypes(Protocol):
    """What a profile says of replies: the types of function codes of its own."""

    @property
    def reply_types(self) -> Mapping[int, type[Reply]]: ...


def _camel(name: str) -> str:
    return name[:1].lower() + name[1:]


def encode_cloud(
    command: Command,
    key_pos: KeyPos,
    fields: Iterable[str],
    *,
    defaults: Mapping[str, Any],
    branch_digits: int | None = None,
    custom_id: str | None = None,
    webhook: str | None = None,
) -> bytes:
    """The JSON body of a command for the cloud.

    ``fields`` are the names, in camelCase, that its endpoint takes; those the command has no value for come from
    ``defaults``, or are left out. ``branch_digits`` writes the branch as text with leading zeros.
    """
    given: dict[str, Any] = {_camel(wire): getattr(command, name) for name, wire, _ in sent_fields(type(command))}
    if isinstance(command, GenericCommand):
        given.update(command.fields)
    branch: int | str = key_pos.id_sucursal if branch_digits is None else f"{key_pos.id_sucursal:0{branch_digits}d}"
    body: dict[str, Any] = {
        "idTerminal": key_pos.id_terminal,
        "idSucursal": branch,
        "serialNumber": key_pos.serial_number,
        "command": command.code,
    }
    names = given.keys() - {"command", "dateTime"} if isinstance(command, GenericCommand) else fields
    for name in names:
        value = given.get(name)
        if value is None:
            value = defaults.get(name)
        if value is not None:
            body[name] = value
    if custom_id is not None:
        body["customId"] = custom_id
    if webhook is not None:
        body["webhook"] = webhook
    return orjson.dumps(body)


def read_cloud(body: bytes | bytearray | memoryview, profile: ReplyTypes | None = None) -> CloudResult:
    """The meaning of one answer of the cloud, or of one webhook body.

    Raises:
        MalformedResponse: it is not JSON under the input rules, or not an answer.
    """
    try:
        outer = parse(bytes(body).decode())
        if type(outer) is not dict:
            raise MalformedFrame("it is not an object")
        return _result(outer, profile.reply_types if profile is not None else {})
    except UnicodeDecodeError:
        raise MalformedResponse("the cloud's answer is not UTF-8") from None
    except MalformedFrame as error:
        raise MalformedResponse(f"the cloud's answer cannot be read: {error}") from None


def _result(outer: dict[str, Any], own_types: Mapping[int, type[Reply]]) -> CloudResult:
    code = outer.get("code")
    if type(code) is not int:
        raise MalformedFrame("it has no code")
    data = outer.get("data")
    extra = {key: value for key, value in outer.items() if key not in ("code", "status", "message", "data")}
    number, custom = extra.pop("idPosTxs", None), extra.pop("customId", None)
    reply: Reply | None = None
    if type(data) is dict:
        inner = dict(data)
        number, custom = inner.pop("idPosTxs", number), inner.pop("customId", custom)
        nested = inner.get("response")
        if type(nested) is dict:
            del inner["response"]
            extra.update(inner)
            reply, data = _reply(nested, own_types), None
        elif "functionCode" in inner:
            reply, data = _reply(inner, own_types), None
    return CloudResult(
        code=code,
        status=_text(outer.get("status")),
        message=_text(outer.get("message")),
        id_pos_txs=_number(number),
        custom_id=str(custom) if type(custom) is int else _text(custom),
        reply=reply,
        data=data,
        extra=extra,
    )


def _reply(fields: dict[str, Any], own_types: Mapping[int, type[Reply]]) -> Reply:
    fields = dict(fields)
    if "responseCode" not in fields and "code" in fields:
        fields["responseCode"] = fields.pop("code")
        if "responseMessage" not in fields and "message" in fields:
            fields["responseMessage"] = fields.pop("message")
    function_code, response_code = fields.get("functionCode"), fields.get("responseCode")
    if type(function_code) is not int or type(response_code) is not int:
        raise MalformedFrame("its result has no function code or no response code")
    kind = own_types.get(function_code) or REPLY_TYPES.get(function_code, GenericReply)
    reply: Reply = _layout(kind).build(fields)
    return reply


def _text(value: Any) -> str | None:
    return value if type(value) is str else None


def _number(value: Any) -> int | None:
    if type(value) is str and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    return value if type(value) is int else None
