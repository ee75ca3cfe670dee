"""JSON with the standard library, with the same output, values and errors as orjson, if that is not installed."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from enum import Enum
from typing import Any
from uuid import UUID

__all__ = ["dumps", "loads"]

_MAX_WRITTEN_DEPTH = 254
"""The deepest nesting that orjson writes."""

_ESCAPE = re.compile(r"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]|(u[dD][89a-fA-F])|.)", re.DOTALL)
"""An escape in a JSON text; with a group, an unpaired surrogate."""


def _integer(digits: str) -> int | float:
    # orjson reads an integer of more than 64 bits as a float. Python refuses to convert thousands of digits.
    value = int(digits) if len(digits) <= 20 else 1 << 64
    return value if -(1 << 63) <= value < 1 << 64 else _float(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError("the number is too large")
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_decode = json.JSONDecoder(parse_int=_integer, parse_float=_float, parse_constant=_no_constant).decode


def loads(data: bytes | bytearray | memoryview | str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: the text is not JSON, or not UTF-8.
    """
    text = data if isinstance(data, str) else bytes(data).decode()
    text.encode()  # raises for surrogates
    if any(found[1] for found in _ESCAPE.finditer(text)):
        raise ValueError("the text has an unpaired surrogate")
    try:
        return _decode(text)
    except RecursionError:
        raise ValueError("the text is nested too deeply") from None


def dumps(value: object) -> bytes:
    """The JSON text of a value.

    Raises:
        TypeError: JSON cannot represent it.
    """
    try:
        return _written(value, 0).encode()
    except UnicodeEncodeError:
        raise TypeError("str is not valid UTF-8: surrogates not allowed") from None


def _written(value: object, depth: int) -> str:
    if depth > _MAX_WRITTEN_DEPTH:
        raise TypeError("Recursion limit reached")
    if isinstance(value, (Enum, UUID)):
        return _written(value.value if isinstance(value, Enum) else str(value), depth)
    if isinstance(value, str):
        return json.dumps(str.__str__(value), ensure_ascii=False)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        if not -(1 << 63) <= value < 1 << 64:
            raise TypeError("Integer exceeds 64-bit range")
        return int.__repr__(value)
    if type(value) is float:
        return _written_float(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{_key(key)}:{_written(item, depth + 1)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(_written(item, depth + 1) for item in value) + "]"
    raise TypeError(f"Type is not JSON serializable: {type(value).__name__}")


def _key(key: object) -> str:
    if type(key) is not str:
        raise TypeError("Dict key must be str")
    return json.dumps(key, ensure_ascii=False)


def _written_float(value: float) -> str:
    if not math.isfinite(value):
        return "null"
    digits, exponent, power = repr(value).partition("e-")
    if not exponent:
        return digits
    if int(power) > 5:
        return f"{digits}e-{int(power)}"
    sign = "-" if value < 0 else ""
    return f"{sign}0.0000{digits.lstrip('-').replace('.', '')}"
