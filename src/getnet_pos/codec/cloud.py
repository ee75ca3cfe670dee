"""Commands and results of the cloud: the same fields as on the signed wire, in camelCase.

An answer is an object with ``code``, ``status``, ``message`` and ``data``. In Chile the terminal's reply is in ``data``
under ``response``; in Argentina ``data`` is the reply, with ``code`` and ``message`` as its result. Both are accepted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from ..errors import MalformedFrame, MalformedResponse
from ..messages import CATALOGUE, Catalogue, CloudResult, Command, GenericCommand, GenericReply, KeyPos, Reply
from ..messages.declaring import sent_fields
from .messages import read_object, whole
from .strict_json import parse, write

__all__ = ["encode_cloud", "read_cloud", "sent_names"]

_TRANSACTION = re.compile(r"[A-Za-z0-9_-]{1,64}")


class HasCatalogue(Protocol):
    """The part of a profile that is needed here."""

    @property
    def catalogue(self) -> Catalogue: ...


def _camel(name: str) -> str:
    return name[:1].lower() + name[1:]


def sent_names(command: Command) -> dict[str, Any]:
    """The fields of ``command`` by their names in the cloud, without its code and its time."""
    if isinstance(command, GenericCommand):
        return {_camel(name): value for name, value in command.fields.items()}
    pairs = ((_camel(item.wire), getattr(command, item.name)) for item in sent_fields(type(command)))
    return {name: value for name, value in pairs if value is not None}


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

    ``fields`` are the names, in camelCase, that its endpoint accepts; those without a value in the command come from
    ``defaults`` or are left out. All fields of a ``GenericCommand`` are sent. With ``branch_digits`` the branch is text
    with leading zeros.
    """
    given = {**defaults, "customId": custom_id, **sent_names(command)}
    names = [*fields, *(given.keys() - {"customId", *fields})] if isinstance(command, GenericCommand) else fields
    branch: int | str = key_pos.id_sucursal if branch_digits is None else f"{key_pos.id_sucursal:0{branch_digits}d}"
    body: dict[str, Any] = {
        "idTerminal": key_pos.id_terminal,
        "idSucursal": branch,
        "serialNumber": key_pos.serial_number,
        "command": command.code,
    }
    body.update((name, given[name]) for name in names if name not in body and given.get(name) is not None)
    if webhook is not None:
        body["webhook"] = webhook
    return write(body)


def read_cloud(body: bytes | bytearray | memoryview, profile: HasCatalogue | None = None) -> CloudResult:
    """Read one answer of the cloud, or one webhook body.

    Raises:
        MalformedResponse: it is not JSON under the input rules, or not an answer.
    """
    try:
        outer = parse(bytes(body).decode())
        if type(outer) is not dict:
            raise MalformedFrame("it is not an object")
        return _result(outer, (CATALOGUE if profile is None else profile.catalogue).reply_types)
    except UnicodeDecodeError:
        raise MalformedResponse("the cloud's answer is not UTF-8") from None
    except MalformedFrame as error:
        raise MalformedResponse(f"the cloud's answer cannot be read: {error}") from None


def _result(outer: dict[str, Any], types: Mapping[int, type[Reply]]) -> CloudResult:
    code = whole(outer.get("code"))
    if code is None:
        raise MalformedFrame("it has no code")
    extra = {key: value for key, value in outer.items() if key not in ("code", "status", "message", "data")}
    number, custom = extra.pop("idPosTxs", None), extra.pop("customId", None)
    data, reply = outer.get("data"), None
    if type(data) is dict:
        data = dict(data)
        number, custom = data.pop("idPosTxs", number), data.pop("customId", custom)
        reply = _reply(data.get("response", data), types)
        if reply is not None:
            extra.update((key, value) for key, value in data.items() if "response" in data and key != "response")
        data = None if reply is not None else data or None
    return CloudResult(
        code=code,
        status=_text(outer.get("status")),
        message=_text(outer.get("message")),
        id_pos_txs=_transaction(number),
        custom_id=str(custom) if type(custom) is int else _text(custom),
        reply=reply,
        data=data,
        extra=extra,
    )


def _reply(fields: Any, types: Mapping[int, type[Reply]]) -> Reply | None:
    """The terminal's reply in ``fields``; ``None`` if it is not one, or has no result."""
    if type(fields) is not dict:
        return None
    if "responseCode" not in fields and "code" in fields:
        fields = dict(fields)
        fields["responseCode"] = fields.pop("code")
        fields.setdefault("responseMessage", fields.pop("message", None))
    function_code = whole(fields.get("functionCode"))
    if function_code is None or whole(fields.get("responseCode")) is None:
        return None
    try:
        return read_object(types.get(function_code, GenericReply), fields)
    except MalformedFrame:
        # A field in two spellings. Do not lose the transaction's number because of it.
        return None


def _text(value: Any) -> str | None:
    return value if type(value) is str else None


def _transaction(value: Any) -> int | str | None:
    """A transaction's number or name; ``None`` if it is not safe as a part of a URL path."""
    if type(value) is int:
        return value if value > 0 else None
    if type(value) is not str or not _TRANSACTION.fullmatch(value):
        return None
    return int(value) if value.isdigit() and len(value) < 19 and value[0] != "0" else value
