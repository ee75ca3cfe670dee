"""Reads and writes JSON with orjson if it is installed, and otherwise with the standard library."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from . import standard_json

__all__ = ["dumps", "loads"]

loads: Callable[[bytes | bytearray | memoryview | str], Any] = standard_json.loads
"""See ``standard_json.loads``."""
dumps: Callable[[object], bytes] = standard_json.dumps
"""See ``standard_json.dumps``."""


def _plain(value: Any) -> Any:
    """Convert subclasses to their base type; refuse anything else that JSON cannot represent."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, Mapping):
        return {**value}
    if isinstance(value, (list, tuple)):
        return [*value]
    raise TypeError


try:
    import orjson
except ImportError:
    pass
else:
    _OPTIONS = orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
    loads = orjson.loads

    def _dumps(value: object) -> bytes:
        return orjson.dumps(value, _plain, _OPTIONS)

    dumps = _dumps
