"""Reads a listing of terminals from JSON. It defines what is accepted.

The body is read once, one terminal at a time, and equal texts are shared. So besides the body it needs memory only for
the result (some 350 bytes a terminal) and one parsed terminal, however long the list is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final, NoReturn

from ..errors import MalformedFrame, MalformedResponse
from ..messages.terminals import CommercialMode, Deviation, PaymentTerminal, TerminalList
from .grammar import MAX_DEPTH
from .strict_json import parse

__all__ = ["MAX_DEVIATIONS", "read_terminals"]

MAX_DEVIATIONS: Final = 100
"""The maximum number of deviations in the result; further ones are only counted."""

SERIAL_NUMBER: Final = "payment_terminal_serial_number"

TEXTS: Final = {
    "payment_terminal_sku": 18,
    SERIAL_NUMBER: 18,
    "capture_method_code": 18,
    "capture_method_des": 20,
    "communication_method_code": 9,
    "communication_method_des": 50,
    "payment_terminal_brand": 50,
    "payment_terminal_model": 50,
}
"""The text fields of a terminal and their documented maximum lengths in characters (docs/equipment.md, "Fields")."""

_DATETIME = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt]((?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-](?:[01]\d|2[0-3]):[0-5]\d))",
    re.ASCII,
)
_MODES = {mode.value: mode for mode in CommercialMode}
_SPACES = re.compile(rb"[ \t\r\n]*")
_SCALAR = re.compile(rb"[^ \t\r\n,\]}]*")
_STRUCTURE = re.compile(rb'["{}\[\]]')


def read_terminals(body: bytes | bytearray, *, strict: bool = False) -> TerminalList:
    """Read the listing in the body of an answer.

    ``body`` must be JSON in UTF-8 without a byte order mark, at most 32 levels deep, without duplicate keys and with
    integers of at most 64 bits. With ``strict`` a deviation from the documentation raises an error.

    Raises:
        MalformedResponse: the body is anything else; the error has the field and the item's position if known.
    """
    return _Reader(body, strict).read()


class _Reader:
    """Reads one body. ``_at`` is the current position."""

    __slots__ = ("_at", "_body", "_deviation_count", "_deviations", "_item", "_shared", "_strict")

    def __init__(self, body: bytes | bytearray, strict: bool) -> None:
        self._body = body
        self._at = 0
        self._strict = strict
        self._item: int | None = None
        self._deviations: list[Deviation] = []
        self._deviation_count = 0
        self._shared: dict[str, str] = {}

    def read(self) -> TerminalList:
        if self._body.startswith(b"\xef\xbb\xbf"):
            raise MalformedResponse("the body begins with a byte order mark")
        merchant_id: Any = None
        terminals: list[PaymentTerminal] = []
        extra: dict[str, Any] = {}
        self._skip_spaces()
        if self._next() != b"{":
            raise MalformedResponse("the body is not a JSON object")
        for key in self._members(None):
            if key == "merchant_id":
                merchant_id = self._value(key, 2)
            elif key == "equipments":
                unknown = self._equipments(terminals)
                if unknown:
                    extra[key] = unknown
            else:
                extra[key] = self._value(key, 2)
        self._skip_spaces()
        if self._at != len(self._body):
            raise MalformedResponse("there is something after the JSON object in the body")
        return TerminalList(
            merchant_id=self._merchant_id(merchant_id),
            terminals=tuple(terminals),
            deviations=tuple(self._deviations),
            deviation_count=self._deviation_count,
            extra=extra,
        )

    def _merchant_id(self, value: Any) -> str:
        if type(value) is int:
            self._deviate("merchant_id", "is a number, not a text")
            return str(value)
        if type(value) is not str:
            found = "missing" if value is None else _named(value)
            self._refuse("merchant_id", f"is {found}, not a text: this is not a listing of terminals")
        return value

    def _equipments(self, terminals: list[PaymentTerminal]) -> dict[str, Any]:
        unknown: dict[str, Any] = {}
        if self._next() != b"{":
            value = self._value("equipments", 2)
            if value is not None and value != "":
                self._refuse("equipments", f"is {_named(value)}, not an object")
            if value == "":
                self._deviate("equipments", "is an empty text, not an object")
            return unknown
        for key in self._members("equipments"):
            if key == "item":
                self._items(terminals)
                self._item = None
            else:
                unknown[key] = self._value(key, 3)
        return unknown

    def _items(self, terminals: list[PaymentTerminal]) -> None:
        begins = self._next()
        if begins == b"[":
            self._list(terminals)
        elif begins == b"{":
            self._deviate("item", "is one object, not a list")
            self._item = 0
            terminals.append(self._terminal(3))
        else:
            value = self._value("item", 3)
            if value is not None and value != "":
                self._refuse("item", f"is {_named(value)}, not a list")
            if value == "":
                self._deviate("item", "is an empty text, not a list")

    def _list(self, terminals: list[PaymentTerminal]) -> None:
        self._at += 1
        self._skip_spaces()
        if self._next() == b"]":
            self._at += 1
            return
        body = self._body
        while True:
            self._item = len(terminals)
            if self._next() != b"{":
                reason = f"item {self._item} is {_named(self._value(None, 4))}, not an object"
                raise MalformedResponse(reason, item=self._item, field="item")
            terminals.append(self._terminal(4))
            if body.startswith(b",{", self._at):
                self._at += 1
                continue
            self._skip_spaces()
            separator = self._next()
            self._at += 1
            if separator == b"]":
                return
            if separator != b",":
                self._broken("the list of terminals is not JSON")
            self._skip_spaces()

    # ------------------------------------------------------------------------------------------------------- terminals

    def _terminal(self, depth: int) -> PaymentTerminal:
        found = self._object(depth)
        values: dict[str, Any] = {}
        for name, limit in TEXTS.items():
            value = found.pop(name, None)
            if type(value) is not str:
                value = self._unusual_text(name, value)
            if value is not None:
                if len(value) > limit:
                    self._deviate(name, f"has {len(value)} characters, where {limit} are documented")
                if name != SERIAL_NUMBER:
                    value = self._shared.setdefault(value, value)
            values[name] = value
        values["activation_datetime"] = self._datetime(found.pop("activation_datetime", None))
        values["commercial_mode"] = self._mode(found.pop("commercial_mode", None))
        warranty = values["warranty_available"] = found.pop("warranty_available", None)
        if warranty is not None and type(warranty) is not bool:
            self._refuse("warranty_available", f"is {_named(warranty)}, not true or false")
        # A copy, because the parsed object keeps the memory of the removed fields.
        return PaymentTerminal(**values, extra=dict(found))

    def _unusual_text(self, name: str, value: Any) -> str | None:
        if value is None:
            if name == SERIAL_NUMBER:
                self._deviate(name, "is missing")
            return None
        if type(value) is int:
            self._deviate(name, "is a number, not a text")
            return str(value)
        self._refuse(name, f"is {_named(value)}, not a text")

    def _datetime(self, value: Any) -> datetime | None:
        if value is None:
            return None
        found = _DATETIME.fullmatch(value) if type(value) is str else None
        if found is None:
            self._refuse("activation_datetime", f"is {_named(value)}, not a date-time as RFC 3339 has it")
        date, time, fraction, offset = found.groups()
        if fraction is not None and fraction[6:].strip("0"):
            self._deviate("activation_datetime", "is finer than a microsecond")
        try:
            return datetime.fromisoformat(f"{date}T{time}.{(fraction or '')[:6]:0<6}{offset or '+00:00'}")
        except ValueError:
            self._refuse("activation_datetime", f"is {_named(value)}, a date that does not exist")

    def _mode(self, value: Any) -> CommercialMode | None:
        if value is None:
            return None
        mode = _MODES.get(value) if type(value) is str else None
        if mode is None:
            self._refuse("commercial_mode", f"is {_named(value)}, not ALUGUEL, VENDA or TAXA_AD")
        return mode

    # ------------------------------------------------------------------------------------------------------------ JSON

    def _object(self, depth: int) -> dict[str, Any]:
        """The object at ``_at``, at nesting level ``depth``; moves ``_at`` after it."""
        body, start = self._body, self._at
        end = body.find(b"}", start) + 1
        text = body[start:end]
        # A text up to the first brace that is a valid object is the complete object.
        if end and b"[" not in text and text.find(b"{", 1) < 0:
            try:
                value = parse(text.decode())
            except (MalformedFrame, UnicodeDecodeError):
                pass
            else:
                self._at = end
                return value  # type: ignore[no-any-return]  # JSON is Any
        return self._value(None, depth)  # type: ignore[no-any-return]  # JSON is Any

    def _value(self, field: str | None, depth: int) -> Any:
        """The value at ``_at``, whose containers are at nesting level ``depth``; moves ``_at`` after it."""
        text = self._body[self._at : self._end(depth)]
        self._at += len(text)
        try:
            return parse(text.decode())
        except UnicodeDecodeError:
            self._broken("the text is not UTF-8", field)
        except MalformedFrame as error:
            reason = str(error)
        self._broken(reason, field)

    def _members(self, field: str | None) -> Iterator[str]:
        """The keys of the object at ``_at``; the caller reads each value before it asks for the next key."""
        keys: set[str] = set()
        self._at += 1
        self._skip_spaces()
        if self._next() == b"}":
            self._at += 1
            return
        while True:
            if self._next() != b'"':
                self._broken("the text is not JSON", field)
            key = self._value(field, 1)
            self._skip_spaces()
            if self._next() != b":":
                self._broken("the text is not JSON", field)
            if key in keys:
                self._broken("an object has the same key twice", key)
            keys.add(key)
            self._at += 1
            self._skip_spaces()
            yield key
            self._skip_spaces()
            separator = self._next()
            self._at += 1
            if separator == b"}":
                return
            if separator != b",":
                self._broken("the text is not JSON", key)
            self._skip_spaces()

    def _end(self, depth: int) -> int:
        """The end of the value at ``_at``, found without parsing its content."""
        body, at = self._body, self._at
        if body[at : at + 1] not in (b'"', b"{", b"["):
            return _matched(_SCALAR, body, at)
        depth -= 1
        outside = depth
        while True:
            found = _STRUCTURE.search(body, at)
            if found is None:
                self._cut()
            at = found.end()
            mark = found.group()
            if mark == b'"':
                at = self._string_end(at)
            elif mark in b"{[":
                depth += 1
                if depth > MAX_DEPTH:
                    self._broken("the text is nested too deeply")
            else:
                depth -= 1
            if depth <= outside:
                return at

    def _string_end(self, at: int) -> int:
        body = self._body
        while True:
            quote = body.find(b'"', at)
            if quote < 0:
                self._cut()
            run = body[at:quote]
            if (len(run) - len(run.rstrip(b"\\"))) % 2 == 0:
                return quote + 1
            at = quote + 1

    def _next(self) -> bytes | bytearray:
        found = self._body[self._at : self._at + 1]
        if not found:
            self._cut()
        return found

    def _skip_spaces(self) -> None:
        self._at = _matched(_SPACES, self._body, self._at)

    # ---------------------------------------------------------------------------------------------------------- faults

    def _deviate(self, field: str, reason: str) -> None:
        if self._strict:
            self._refuse(field, reason)
        self._deviation_count += 1
        if self._deviation_count <= MAX_DEVIATIONS:
            self._deviations.append(Deviation(self._item, field, reason))

    def _refuse(self, field: str, reason: str) -> NoReturn:
        raise MalformedResponse(str(Deviation(self._item, field, reason)), item=self._item, field=field)

    def _broken(self, reason: str, field: str | None = None) -> NoReturn:
        raise MalformedResponse(f"{reason}{self._place(field)}", item=self._item, field=field)

    def _cut(self) -> NoReturn:
        raise MalformedResponse(f"the body ends too early{self._place(None)}", item=self._item)

    def _place(self, field: str | None) -> str:
        if self._item is not None:
            return f", in item {self._item}"
        return f", in {_short(field)}" if field else ""


def _matched(pattern: re.Pattern[bytes], body: bytes | bytearray, at: int) -> int:
    found = pattern.match(body, at)
    return found.end() if found else at


def _short(text: str) -> str:
    return text if len(text) <= 40 and text.isprintable() else ascii(text[:40])


def _named(value: Any) -> str:
    """A value as an error message may show it: short, and without control characters."""
    if value is None:
        return "null"
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is str:
        return ascii(value) if len(value) <= 40 else f"{value[:40]!a}..."
    return {int: "a number", float: "a number", list: "a list", dict: "an object"}[type(value)]
