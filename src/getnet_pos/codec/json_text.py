"""JSON to values and back, by orjson where it is installed and by the standard library where it is not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from . import standard_json

__all__ = ["dumps", "loads"]

loads: Callable[[bytes | bytearray | memoryview | str], Any] = standard_json.loads
"""As ``standard_json.loads``."""
dumps: Callable[[object], bytes] = standard_json.dumps
"""As ``standard_json.dumps``."""


def _plain(value: Any) -> Any:
    """Subclasses as what they are beneath; what else is no JSON is refused."""
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
