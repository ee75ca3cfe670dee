"""Parsed objects -> messages, the same for every wire: which key belongs to which field, and what a field takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, Final, TypeVar, cast

from ..errors import MalformedFrame
from ..messages import CommandMessage, GenericReply, Progress, ProgressCode, Reply, SaleType
from ..messages.fields import Kind, Shown, wire_fields

__all__ = ["PROGRESS_CODES", "either", "read_message", "read_object", "read_progress"]

T = TypeVar("T", bound=Shown)

PROGRESS_CODES: Final[dict[Any, ProgressCode]] = {int(item): item for item in ProgressCode}
_SALE_TYPES: Final = {int(item): item for item in SaleType}
_REFUSED: Final = object()

# --------------------------------------------------------------------------------------------------------------- values


def _text(value: Any) -> Any:
    return str(value) if type(value) is int else _REFUSED


def _last_digits(value: Any) -> Any:
    return f"{value:04d}" if type(value) is int and value >= 0 else _REFUSED


def _sale_type(value: Any) -> Any:
    return _SALE_TYPES.get(value, value) if type(value) is int else _REFUSED


def _refuse(value: Any) -> Any:
    return _REFUSED


def _rows(row: type, value: Any) -> Any:
    if type(value) is not list or not {*map(type, value)} <= {dict}:
        return _REFUSED
    return tuple(read_object(row, item) for item in value)


_KINDS: dict[Kind, tuple[type | None, Callable[[Any], Any]]] = {
    Kind.INTEGER: (int, _refuse),
    Kind.TEXT: (str, _text),
    Kind.BOOLEAN: (bool, _refuse),
    Kind.LAST_DIGITS: (str, _last_digits),
    Kind.SALE_TYPE: (None, _sale_type),
}
"""The type that a kind of field takes as it is, and what makes its value of any other, or ``_REFUSED``."""

# -------------------------------------------------------------------------------------------------------------- objects


_Put = Callable[[Any, Any], None]
"""Sets one field of a message: its slot's own setter, which works on a frozen message that nobody has yet."""


_Field = tuple[str, _Put, type | None, Callable[[Any], Any]]
"""Its name in Python; how it is set; the type that it takes as it is; what makes its value of any other."""


@cache
def _layout(message: Any) -> tuple[dict[str, _Field], dict[str, tuple[_Put, Any]], _Put]:
    """The field of each spelling; how each field is set, and to what when it was not sent; how ``extra`` is set."""
    spellings: dict[str, _Field] = {}
    fields: dict[str, tuple[_Put, Any]] = {}
    for item in wire_fields(message):
        put = getattr(message, item.name).__set__
        taken, convert = _KINDS[item.kind] if item.row is None else (None, partial(_rows, item.row))
        fields[item.name] = put, None if item.row is None else ()
        spellings |= dict.fromkeys(item.spellings, (item.name, put, taken, convert))
    return spellings, fields, message.extra.__set__


def read_object(kind: type[T], inner: Mapping[str, Any]) -> T:
    """A message of type ``kind``. What no field takes is kept in ``extra`` under its wire name.

    Raises:
        MalformedFrame: a field is there twice, in two spellings.
    """
    # Every class is hashable, which mypy does not believe of this one.
    spellings, fields, put_extra = _layout(cast("Any", kind))
    message = kind.__new__(kind)
    missing = dict(fields)
    extra: dict[str, Any] = {}
    for key, value in inner.items():
        field = spellings.get(key)
        if field is None:
            extra[key] = value
            continue
        name, put, taken, convert = field
        if missing.pop(name, None) is None:
            raise MalformedFrame(f"the field {name} is there twice, in two spellings")
        if type(value) is not taken:
            value = None if value is None else convert(value)
            if value is _REFUSED:
                extra[key] = inner[key]
            if value is None or value is _REFUSED:
                _, value = fields[name]
        put(message, value)
    for put, unset in missing.values():
        put(message, unset)
    put_extra(message, extra)
    return message


@cache
def _camel_case(name: str) -> str:
    return name[0].lower() + name[1:]


def either(inner: Mapping[str, Any], name: str) -> Any:
    """The value under a PascalCase key or its camelCase form; ``None`` where there is neither.

    Raises:
        MalformedFrame: both are there.
    """
    other = _camel_case(name)
    if name not in inner:
        return inner.get(other)
    if other in inner:
        raise MalformedFrame(f"the field {name} is there twice, in two spellings")
    return inner[name]


# ------------------------------------------------------------------------------------------------------------- messages


def read_message(inner: Any, reply_types: Mapping[int, type[Reply]]) -> Progress | Reply | CommandMessage:
    """The message in a parsed object that came with a signature.

    Raises:
        MalformedFrame: it is none.
    """
    if type(inner) is not dict:
        raise MalformedFrame("the signed text is not an object")
    function_code, response_code = either(inner, "FunctionCode"), either(inner, "ResponseCode")
    if function_code == 112 or response_code is None:
        progress = read_progress(inner)
        if progress is not None:
            return progress
    if type(function_code) is int and type(response_code) is int:
        return read_object(reply_types.get(function_code, GenericReply), inner)
    command = either(inner, "Command")
    if type(command) is int and function_code is None:
        fields = {key: value for key, value in inner.items() if key not in ("Command", "command")}
        return CommandMessage(command, fields)
    raise MalformedFrame("the signed object is neither a reply, a progress message nor a command")


def read_progress(inner: dict[str, Any]) -> Progress | None:
    """The progress message in a parsed object; ``None`` where nothing says that it is one.

    Raises:
        MalformedFrame: it says so, and has neither a code nor a text.
    """
    code = either(inner, "MessageCode")
    if code is None and either(inner, "FunctionCode") != 112:
        return None
    words = either(inner, "MessageText")
    if words is None:
        words = either(inner, "Message")
    if (code is None and words is None) or type(code) not in (int, type(None)) or type(words) not in (str, type(None)):
        raise MalformedFrame("a progress message has neither a message code nor a text")
    return Progress(PROGRESS_CODES.get(code, code), words or "")
