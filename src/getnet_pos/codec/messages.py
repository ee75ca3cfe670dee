"""Turns parsed objects into messages, for every wire: which key is which field, and which values a field accepts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, Final, TypeVar

from ..errors import MalformedFrame
from ..messages import CommandMessage, GenericReply, Progress, ProgressCode, Reply, SaleType
from ..messages.fields import Kind, Shown, wire_fields

__all__ = ["PROGRESS_CODES", "boolean", "decoded", "either", "read_message", "read_object", "read_progress", "whole"]

T = TypeVar("T", bound=Shown)

PROGRESS_CODES: Final[dict[int | None, ProgressCode]] = {int(item): item for item in ProgressCode}
_SALE_TYPES: Final = {int(item): item for item in SaleType}

# --------------------------------------------------------------------------------------------------------------- values

_WHOLE = re.compile(r"\s*([+-]?[0-9]{1,40})(?:\.0*)?\s*", re.ASCII)


def decoded(data: bytes) -> str:
    """Decode bytes as UTF-8, or as Latin-1 if they are not UTF-8: some firmware writes its texts so."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def whole(value: Any) -> int | None:
    """The 64-bit integer that a value represents: ``25000``, ``25000.0``, ``" 25000 "``, ``"25000.00"``.

    ``None`` for anything else, including a float that is too large to be exact.
    """
    if type(value) is int:
        return value
    number = None
    if type(value) is str:
        found = _WHOLE.fullmatch(value)
        number = int(found[1]) if found else None
    elif type(value) is float and value.is_integer() and abs(value) <= 1 << 53:
        number = int(value)
    return number if number is not None and -(1 << 63) <= number < 1 << 64 else None


def boolean(value: Any) -> bool | None:
    """The boolean that a value represents: ``true``, ``"True"``, ``1``, ``"1"`` and the opposites; else ``None``."""
    if type(value) is bool:
        return value
    if type(value) is str and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    number = whole(value)
    return bool(number) if number in (0, 1) else None


def _text(value: Any) -> str | None:
    return str(value) if type(value) is int else None


def _last_digits(value: Any) -> str | None:
    return f"{value:04d}" if type(value) is int and value >= 0 else None


def _sale_type(value: Any) -> SaleType | int | None:
    number = whole(value)
    return None if number is None else _SALE_TYPES.get(number, number)


def _rows(row: type[Any], value: Any) -> tuple[Any, ...] | None:
    if type(value) is not list or not {*map(type, value)} <= {dict}:
        return None
    return tuple(read_object(row, item) for item in value)


_KINDS: dict[Kind, tuple[type | None, Callable[[Any], Any]]] = {
    Kind.INTEGER: (int, whole),
    Kind.TEXT: (str, _text),
    Kind.BOOLEAN: (bool, boolean),
    Kind.LAST_DIGITS: (str, _last_digits),
    Kind.SALE_TYPE: (None, _sale_type),
}
"""For each kind of field: the type that is accepted as it is, and the conversion of other values, or ``None``."""

# -------------------------------------------------------------------------------------------------------------- objects


_Put = Callable[[Any, Any], None]
"""Sets one field of a message, by the setter of its slot, which works on a frozen message."""


_Field = tuple[str, _Put, type | None, Callable[[Any], Any]]
"""A field's name in Python, its setter, the type that it accepts as it is, and the conversion of other values."""


class _Layout:
    """How the objects of one message type are read."""

    def __init__(self, message: Any) -> None:
        self.spellings: dict[str, _Field] = {}
        """The field of each key."""
        self.stand_ins: dict[str, _Field] = {}
        """The field of each key that is read only if the field itself was not sent."""
        self.unset: dict[str, tuple[_Put, Any]] = {}
        """The setter of each field, and its value if it was not sent."""
        self.put_extra: _Put = message.extra.__set__
        for item in wire_fields(message):
            put = getattr(message, item.name).__set__
            taken, convert = _KINDS[item.kind] if item.row is None else (None, partial(_rows, item.row))
            self.unset[item.name] = put, None if item.row is None else ()
            self.spellings |= dict.fromkeys(item.spellings, (item.name, put, taken, convert))
            self.stand_ins |= dict.fromkeys(item.stand_ins, (item.name, put, taken, convert))


_layout: Callable[[Any], _Layout] = cache(_Layout)


def read_object(kind: type[T], inner: Mapping[str, Any]) -> T:
    """A message of type ``kind``. Anything that no field accepts is kept in ``extra`` with its name on the wire.

    Raises:
        MalformedFrame: a field appears in two spellings with different values.
    """
    layout = _layout(kind)
    spellings, missing = layout.spellings, dict(layout.unset)
    message = kind.__new__(kind)
    extra: dict[str, Any] = {}
    for key, value in inner.items():
        field = spellings.get(key)
        if field is None:
            extra[key] = value
            continue
        name, put, taken, convert = field
        if type(value) is not taken:
            value = None if value is None else convert(value)
            if value is None:
                _, value = layout.unset[name]
                if inner[key] is not None:
                    extra[key] = inner[key]
        if missing.pop(name, None) is None and value != getattr(message, name):
            raise MalformedFrame(f"the field {name} appears twice, with different values")
        put(message, value)
    for put, value in missing.values():
        put(message, value)
    layout.put_extra(message, extra)
    if extra:
        _use_stand_ins(message, layout, extra)
    return message


def _use_stand_ins(message: Any, layout: _Layout, extra: dict[str, Any]) -> None:
    for key, (name, put, taken, convert) in layout.stand_ins.items():
        if key not in extra:
            continue
        value = extra[key] if type(extra[key]) is taken else convert(extra[key])
        if value is not None and getattr(message, name) is None:
            put(message, value)
            del extra[key]
        elif extra[key] is None:
            del extra[key]


@cache
def _camel_case(name: str) -> str:
    return name[0].lower() + name[1:]


def either(inner: Mapping[str, Any], name: str) -> Any:
    """The value of a PascalCase key or its camelCase form; ``None`` if neither is there.

    Raises:
        MalformedFrame: both are there, with different values.
    """
    other = _camel_case(name)
    if name not in inner:
        return inner.get(other)
    if other in inner and inner[other] != inner[name]:
        raise MalformedFrame(f"the field {name} appears twice, with different values")
    return inner[name]


# ------------------------------------------------------------------------------------------------------------- messages


def read_message(inner: Any, reply_types: Mapping[int, type[Reply]]) -> Progress | Reply | CommandMessage:
    """The message in a parsed object that was signed.

    Raises:
        MalformedFrame: it is not a message.
    """
    if type(inner) is not dict:
        raise MalformedFrame("the signed text is not an object")
    function_code, response_code = either(inner, "FunctionCode"), either(inner, "ResponseCode")
    code = whole(function_code)
    if code == 112 or response_code is None:
        progress = read_progress(inner)
        if progress is not None:
            return progress
    if code is not None and whole(response_code) is not None:
        return read_object(reply_types.get(code, GenericReply), inner)
    command = whole(either(inner, "Command"))
    if command is not None and function_code is None:
        fields = {key: value for key, value in inner.items() if key not in ("Command", "command")}
        return CommandMessage(command, fields)
    raise MalformedFrame("the signed object is neither a reply, a progress message nor a command")


def read_progress(inner: dict[str, Any]) -> Progress | None:
    """The progress message in a parsed object; ``None`` if it is not one.

    Raises:
        MalformedFrame: it is one, but has neither a code nor a text.
    """
    said = either(inner, "MessageCode")
    if said is None and whole(either(inner, "FunctionCode")) != 112:
        return None
    code, words = whole(said), either(inner, "MessageText")
    if words is None:
        words = either(inner, "Message")
    if (said is not None and code is None) or (code is None and words is None) or type(words) not in (str, type(None)):
        raise MalformedFrame("a progress message has neither a message code nor a text")
    return Progress(PROGRESS_CODES.get(code, code), words or "")
