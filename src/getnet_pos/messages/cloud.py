"""What the cloud is told of a terminal, and what it answers (docs/protocol.md, "Cloud-to-Cloud"). Validates only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from ..errors import InvalidType, InvalidValue
from ..money import check_amount
from ._checks import check_flag, check_integer, check_text
from .commands import Refund, Sale
from .replies import Reply, SaleReply

__all__ = ["CloudRefund", "CloudResult", "CloudSale", "KeyPos", "SalePromotion"]

CLOUD_REPLY_TYPES: dict[int, type[Reply]] = {126: SaleReply}
"""The reply types of the function codes that only the cloud has."""


@dataclass(frozen=True, slots=True)
class KeyPos:
    """The triplet that names one terminal in the cloud."""

    id_terminal: str
    """Getnet's alphanumeric id of the terminal, usually 8 characters."""
    id_sucursal: int
    """The merchant's branch. Text of digits is taken too: some lists write it with leading zeros."""
    serial_number: str
    """The serial number on the label at the back."""

    def __post_init__(self) -> None:
        for name in ("id_terminal", "serial_number"):
            value = check_text(getattr(self, name), name, 1, 20)
            if not (value.isascii() and value.isalnum()):
                raise InvalidValue(f"{name} must be letters and digits")
        branch = self.id_sucursal
        if isinstance(branch, str) and re.fullmatch(r"[0-9]{1,20}", branch):
            object.__setattr__(self, "id_sucursal", int(branch))
        elif not isinstance(branch, int) or isinstance(branch, bool):
            raise InvalidType(f"id_sucursal must be an int or digits, not {type(branch).__name__}")
        if not 0 < self.id_sucursal < 10**10:
            raise InvalidValue("id_sucursal must have from 1 to 10 digits, and not be 0")

    def __str__(self) -> str:
        return f"{self.id_terminal}/{self.id_sucursal}/{self.serial_number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudResult:
    """One answer of the cloud, or one webhook body.

    ``code`` speaks of the exchange alone: 1 finished or sent, 2 in process, 0 an error. Only ``reply``, where there is
    one, says whether money moved.
    """

    code: int
    status: str | None = None
    message: str | None = None
    id_pos_txs: int | str | None = None
    """The cloud's own number of the transaction; text where it is not a number."""
    custom_id: str | None = None
    """The merchant's own id, as it was sent."""
    reply: Reply | None = None
    """The terminal's reply; ``None`` while there is none."""
    data: Any = field(default=None, repr=False, hash=False)
    """What came under ``data`` when it is not a terminal's reply."""
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)
    """What else came beside it, such as fields of the answer the library does not know."""

    @property
    def in_process(self) -> bool:
        """Whether the terminal is still at it."""
        return self.code == 2 or (self.code == 1 and self.reply is None and self.id_pos_txs is not None)


# ------------------------------------------------------------------------------------------------------------- commands


def _wire(name: str) -> Any:
    return field(default=None, kw_only=True, metadata={"wire": name, "nullable": False})


@dataclass(frozen=True, slots=True)
class CloudSale(Sale):
    """100, with the fields that only a cloud takes; what is left out is as the profile has it.

    ``tip`` is in wire units. What ``plan_id``, ``interest`` and ``operation_mode`` may hold is not public.
    """

    tip: int | None = _wire("Tip")
    installments: int | None = _wire("Installments")
    plan_id: str | None = _wire("PlanId")
    interest: int | None = _wire("Interest")
    operation_mode: int | None = _wire("OperationMode")
    skip_confirmation: bool | None = _wire("SkipConfirmation")
    skip_receipt: bool | None = _wire("SkipReceipt")
    payment_category: str | None = _wire("PaymentCategory")

    def __post_init__(self) -> None:
        Sale.__post_init__(self)
        if self.tip is not None:
            check_amount(self.tip, field="tip", minimum=0)
        for name, least in (("installments", 1), ("interest", 0), ("operation_mode", 0)):
            if getattr(self, name) is not None:
                check_integer(getattr(self, name), name, least, 999_999)
        for name in ("plan_id", "payment_category"):
            if getattr(self, name) is not None:
                check_text(getattr(self, name), name, 1, 64)
        _check_skips(self)


@dataclass(frozen=True, slots=True)
class SalePromotion(Sale):
    """126: a sale with a promotion, in Chile's cloud."""

    id_promo: str = _wire("IdPromo")
    code: int = field(default=126, kw_only=True, metadata={"wire": "Command", "nullable": False})

    def __post_init__(self) -> None:
        Sale.__post_init__(self)
        check_text(self.id_promo, "id_promo", 1, 250)


@dataclass(frozen=True, slots=True)
class CloudRefund(Refund):
    """108, with the fields that only Argentina's cloud takes. ``original_date`` is the day of the sale."""

    original_date: date | str | None = _wire("OriginalTransDate")
    """A ``date``, or its text, ``yyyy-MM-dd``."""
    skip_confirmation: bool | None = _wire("SkipConfirmation")
    skip_receipt: bool | None = _wire("SkipReceipt")

    def __post_init__(self) -> None:
        Refund.__post_init__(self)
        if self.original_date is not None:
            object.__setattr__(self, "original_date", _day(self.original_date))
        _check_skips(self)


def _day(value: object) -> str:
    if isinstance(value, date):
        return value.isoformat()[:10]
    if not isinstance(value, str):
        raise InvalidType(f"original_date must be a date or its text, not {type(value).__name__}")
    try:
        if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
            raise ValueError
        return date.fromisoformat(value).isoformat()
    except ValueError:
        raise InvalidValue("original_date must be a day that exists, as yyyy-MM-dd") from None


def _check_skips(command: Any) -> None:
    for name in ("skip_confirmation", "skip_receipt"):
        if getattr(command, name) is not None:
            check_flag(getattr(command, name), name)


# ------------------------------------------------------------------------------------------------------------- printing

_LINE = 48
"""The most characters of a line of text."""

_ENCODINGS = {
    "text": ("",),
    "array": ("",),
    "barcode": ("ean13",),
    "printcode": ("qr", "pdf417"),
    "image": ("",),
}
"""What each type of item may be encoded as."""

_ALIGNMENTS = ("left", "center", "right")
_ITEM_KEYS = {"printSeq", "type", "encode", "data", "align"}


def print_items(lines: Iterable[str | Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The ``details`` of the print service (117): a text is a line of at most 48 characters, a mapping an item.

    An item has ``type`` (text, array, barcode, printcode, image), ``encode``, ``data``, ``align`` and ``printSeq``;
    what may be left out is filled in, ``printSeq`` with its place.

    Raises:
        InvalidValue: there is nothing to print, or an item is not as the print service takes it.
    """
    if isinstance(lines, (str, Mapping)) or not isinstance(lines, Iterable):
        raise InvalidType(f"lines must be a list of texts and items, not {type(lines).__name__}")
    items = [_print_item(line, place) for place, line in enumerate(lines, 1)]
    if not 0 < len(items) <= 1000:
        raise InvalidValue("lines must hold from 1 to 1000 lines")
    return items


def _print_item(line: object, place: int) -> dict[str, Any]:
    where = f"line {place}"
    if isinstance(line, str):
        line = {"data": line}
    if not isinstance(line, Mapping):
        raise InvalidType(f"{where} must be text or a mapping, not {type(line).__name__}")
    unknown = [key for key in line if key not in _ITEM_KEYS]
    if unknown:
        raise InvalidValue(f"{where} has the unknown key {unknown[0]!r}: an item has {', '.join(sorted(_ITEM_KEYS))}")
    kind = line.get("type", "text")
    if kind not in tuple(_ENCODINGS):
        raise InvalidValue(f"the type of {where} must be one of {', '.join(_ENCODINGS)}")
    encode = line.get("encode", _ENCODINGS[kind][0])
    if encode not in _ENCODINGS[kind]:
        raise InvalidValue(f"the encode of {where} must be {' or '.join(map(repr, _ENCODINGS[kind]))} for {kind}")
    align = line.get("align", "left")
    if align not in _ALIGNMENTS:
        raise InvalidValue(f"the align of {where} must be one of {', '.join(_ALIGNMENTS)}")
    sequence = check_integer(line.get("printSeq", place), f"the printSeq of {where}", 0, 9999)
    data = line.get("data")
    return {"printSeq": sequence, "type": kind, "encode": encode, "data": _printed(kind, data, where), "align": align}


def _printed(kind: str, data: Any, where: str) -> Any:
    if kind != "array":
        longest = _LINE if kind == "text" else 1 << 18 if kind == "image" else 4096
        return check_text(data, f"the data of {where}", 0 if kind == "text" else 1, longest)
    if not isinstance(data, (list, tuple)) or not data:
        raise InvalidType(f"the data of {where} must be a list of lines")
    rows = []
    for number, row in enumerate(data):
        if isinstance(row, Mapping):
            if set(row) != {f"item{number}"}:
                raise InvalidValue(f"row {number} of {where} must have the one key 'item{number}'")
            row = row[f"item{number}"]
        rows.append({f"item{number}": check_text(row, f"row {number} of {where}", 0, _LINE)})
    return rows
