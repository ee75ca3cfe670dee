"""JSON under the input rules (docs/protocol.md, "Input rules"): what every text from outside is read with."""

from __future__ import annotations

import json
from typing import Any

import orjson

from ..errors import MalformedFrame
from .grammar import MAX_DEPTH

__all__ = ["integer", "parse"]


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise MalformedFrame("an object has the same key twice")
    return result


def integer(digits: str) -> int:
    """The value of a JSON integer.

    Raises:
        MalformedFrame: it does not fit 64 bits.
    """
    value = int(digits) if len(digits) <= 20 else 1 << 64
    if not -(1 << 63) <= value < 1 << 64:
        raise MalformedFrame("an integer does not fit 64 bits")
    return value


_strict = json.JSONDecoder(object_pairs_hook=_pairs, parse_int=integer).decode


def _too_deep(text: str, value: Any) -> bool:
    # Most objects hold no other; and few hold as many as could stand in one another.
    if (text.rfind("{") <= 0 and "[" not in text) or text.count("{") + text.count("[") <= MAX_DEPTH:
        return False
    level = [value]
    for _ in range(MAX_DEPTH):
        nested = [item for item in level if type(item) in (dict, list)]
        level = [part for item in nested for part in (item.values() if type(item) is dict else item)]
    return any(type(item) in (dict, list) for item in level)


def _hides_nothing(text: str, value: Any) -> bool:
    """Whether a parsed text is just what would be written: then no key was there twice, and no integer was too big."""
    return orjson.dumps(value) == text.encode()


def parse(text: str) -> Any:
    """The value of a JSON text under the input rules (docs/protocol.md, "Input rules").

    Raises:
        MalformedFrame: for anything else: bad syntax, a key twice, an integer beyond 64 bits, NaN, nesting too deep.
    """
    try:
        value = orjson.loads(text)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        raise MalformedFrame("the text is not JSON") from None
    if _too_deep(text, value):
        raise MalformedFrame("the text is nested too deeply")
    return value if _hides_nothing(text, value) else _strict(text)
