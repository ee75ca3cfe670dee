"""Reads JSON under the input rules (docs/protocol.md, "Input rules"), and writes it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from ..errors import InvalidValue, MalformedFrame
from .grammar import MAX_DEPTH
from .json_text import dumps, loads

__all__ = ["parse", "parse_signed", "write"]


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise MalformedFrame("an object has the same key twice")
    return result


def _integer(digits: str) -> int:
    value = int(digits) if len(digits) <= 20 else 1 << 64
    if not -(1 << 63) <= value < 1 << 64:
        raise MalformedFrame("an integer has more than 64 bits")
    return value


_strict = json.JSONDecoder(object_pairs_hook=_pairs, parse_int=_integer).decode


def _too_deep(text: str, value: Any) -> bool:
    # Most objects have no other in them, and few have as many as the limit.
    if (text.rfind("{") <= 0 and "[" not in text) or text.count("{") + text.count("[") <= MAX_DEPTH:
        return False
    level = [value]
    for _ in range(MAX_DEPTH):
        nested = [item for item in level if type(item) in (dict, list)]
        level = [part for item in nested for part in (item.values() if type(item) is dict else item)]
    return any(type(item) in (dict, list) for item in level)


def _hides_nothing(text: str, value: Any) -> bool:
    """Whether a parsed text is written back unchanged: then no key was there twice, and no integer was too large."""
    return dumps(value) == text.encode()


def parse(text: str) -> Any:
    """The value of a JSON text under the input rules (docs/protocol.md, "Input rules").

    Raises:
        MalformedFrame: bad syntax, a key twice, an integer of more than 64 bits, NaN, or too deep nesting.
    """
    try:
        value = loads(text)
    except ValueError:
        raise MalformedFrame("the text is not JSON") from None
    if _too_deep(text, value):
        raise MalformedFrame("the text is nested too deeply")
    return value if _hides_nothing(text, value) else _strict(text)


_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_ESCAPE_OR_CONTROL = re.compile(r"\\.|[\x00-\x1f]", re.DOTALL)


def parse_signed(text: str) -> Any:
    """``parse`` for a signed text, which has arrived as it was sent: it may also have a byte order mark before it, NULs
    after it, or control characters in its strings."""
    try:
        return parse(text)
    except MalformedFrame:
        mended = _STRING.sub(_without_controls, text.removeprefix("\ufeff").rstrip("\0"))
        if mended == text:
            raise
        return parse(mended)


def _without_controls(string: re.Match[str]) -> str:
    return _ESCAPE_OR_CONTROL.sub(
        lambda found: found[0] if found[0][0] == "\\" else f"\\u{ord(found[0]):04x}", string[0]
    )


def write(fields: Mapping[str, Any]) -> bytes:
    """The JSON of a command's fields; subclasses of ``str`` and ``int`` are written like their base types.

    Raises:
        InvalidValue: JSON cannot represent a field.
    """
    # orjson leaks a reference to the value of an enum, so it never gets one.
    plain = {name: int.__int__(value) if isinstance(value, IntEnum) else value for name, value in fields.items()}
    try:
        return dumps(plain)
    except TypeError as error:
        raise InvalidValue(f"a field of the command cannot be written as JSON: {error}") from None
