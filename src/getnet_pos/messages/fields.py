"""How the fields of a message are spelled and typed on the wire. The codec reads and writes them."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import Enum, auto
from functools import cache
from typing import Any

from ..masking import mask

__all__ = [
    "Kind",
    "Shown",
    "WireField",
    "boolean",
    "integer",
    "last_digits",
    "rows",
    "sale_type",
    "text",
    "wire_fields",
]


class Kind(Enum):
    """The type of a field on the wire. Every kind also accepts ``null``, which means not sent."""

    INTEGER = auto()
    """A JSON integer."""
    TEXT = auto()
    """A JSON string; an integer is read as its decimal digits."""
    BOOLEAN = auto()
    LAST_DIGITS = auto()
    """Four card digits: text as sent, or an integer without its leading zeros."""
    SALE_TYPE = auto()
    """An integer; a known one becomes a ``SaleType``."""
    ROWS = auto()
    """A list of objects of one row type."""


@dataclass(frozen=True, slots=True)
class WireField:
    """One field: its name in Python, its spellings on the wire (the first is written), its kind and its row type.

    ``stand_ins`` are keys that are read instead if the field itself was not sent.
    """

    name: str
    spellings: tuple[str, ...]
    stand_ins: tuple[str, ...]
    kind: Kind
    row: type | None


def _pascal(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def _wire(
    kind: Kind, aliases: tuple[str, ...], *, stand_in: str = "", row: type | None = None, shown: bool = True
) -> Any:
    metadata = {"kind": kind, "aliases": aliases, "stand_in": stand_in, "row": row}
    return field(default=() if kind is Kind.ROWS else None, metadata=metadata, repr=shown)


def integer(*aliases: str) -> Any:
    return _wire(Kind.INTEGER, aliases)


def text(*aliases: str, stand_in: str = "", shown: bool = True) -> Any:
    return _wire(Kind.TEXT, aliases, stand_in=stand_in, shown=shown)


def boolean(*aliases: str) -> Any:
    return _wire(Kind.BOOLEAN, aliases)


def last_digits() -> Any:
    return _wire(Kind.LAST_DIGITS, ())


def sale_type() -> Any:
    return _wire(Kind.SALE_TYPE, ())


def rows(row: type) -> Any:
    return _wire(Kind.ROWS, (), row=row)


@cache
def wire_fields(message: type) -> tuple[WireField, ...]:
    """The wire fields of a message type, in the order of their declaration."""
    found = []
    for item in fields(message):
        if "kind" not in item.metadata:
            continue
        primary = _pascal(item.name)
        spellings = tuple(dict.fromkeys(name for word in (primary, *item.metadata["aliases"]) for name in _cases(word)))
        stand_in = item.metadata["stand_in"]
        stand_ins = _cases(stand_in) if stand_in else ()
        found.append(WireField(item.name, spellings, stand_ins, item.metadata["kind"], item.metadata["row"]))
    return tuple(found)


def _cases(name: str) -> tuple[str, str]:
    return name, name[:1].lower() + name[1:]


class Shown:
    """A ``repr`` without fields that were not sent or that could identify a card or its holder.

    Card numbers in other fields are masked.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        pairs = ((item.name, getattr(self, item.name)) for item in fields(self) if item.repr)  # type: ignore[arg-type]  # only dataclasses mix this in
        shown = ", ".join(f"{name}={_shown(value)!r}" for name, value in pairs if value is not None)
        return f"{type(self).__name__}({shown})"


def _shown(value: Any) -> Any:
    return mask(value) if isinstance(value, str) else value
