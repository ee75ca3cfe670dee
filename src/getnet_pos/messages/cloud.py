"""The commands that only a cloud sends, and its answers (docs/protocol.md, "Cloud-to-Cloud")."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from ..errors import InvalidType, InvalidValue
from .checks import amount, check_flag, check_integer, check_rut, check_text, day, integer, optional, text
from .commands import Refund, Sale
from .declaring import Command, Waits, command, extended, wire
from .fields import Shown
from .replies import GenericReply, Reply, SaleReply

__all__ = [
    "BiometricCheck",
    "CloudRefund",
    "CloudResult",
    "CloudSale",
    "GetTransaction",
    "KeyPos",
    "PrintDocument",
    "SalePromotion",
    "SetUnattended",
    "Shift",
    "ShiftReport",
]


@dataclass(frozen=True, slots=True)
class KeyPos:
    """The three values that identify one terminal in the cloud.

    Examples:
        >>> key = KeyPos(id_terminal="80005000", id_sucursal="0012983", serial_number="SNPRUEBA1234")
        >>> key.id_sucursal
        12983
    """

    id_terminal: str
    """Getnet's alphanumeric id of the terminal, usually 8 characters."""
    id_sucursal: int
    """The merchant's branch. Text of digits is accepted too: some lists write it with leading zeros."""
    serial_number: str
    """The serial number on the label at the back of the terminal."""

    def __post_init__(self) -> None:
        for name in ("id_terminal", "serial_number"):
            value = check_text(getattr(self, name), name, 1, 20)
            if not (value.isascii() and value.isalnum()):
                raise InvalidValue(f"{name} must contain only letters and digits")
        branch = self.id_sucursal
        if isinstance(branch, str) and re.fullmatch(r"[0-9]{1,20}", branch):
            object.__setattr__(self, "id_sucursal", int(branch))
        elif not isinstance(branch, int) or isinstance(branch, bool):
            raise InvalidType(f"id_sucursal must be a number, not {branch!a:.40}")
        if not 0 < self.id_sucursal < 10**10:
            raise InvalidValue("id_sucursal must have from 1 to 10 digits and must not be 0")

    def __str__(self) -> str:
        return f"{self.id_terminal}/{self.id_sucursal}/{self.serial_number}"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class CloudResult(Shown):
    """One answer of the cloud, or one webhook body.

    ``code`` only describes the call: 1 finished or sent, 2 in process, 0 an error. Only ``reply`` says whether money
    moved.

    Examples:
        >>> CloudResult(code=2, id_pos_txs=17).in_process
        True
    """

    code: int
    status: str | None = None
    message: str | None = None
    id_pos_txs: int | str | None = None
    """The cloud's number of the transaction; text if the cloud sent something that is not a number."""
    custom_id: str | None = None
    """The merchant's own id, as it was sent."""
    reply: Reply | None = None
    """The terminal's reply; ``None`` while there is none."""
    data: Any = field(default=None, repr=False, hash=False)
    """The value of ``data`` if it is not a terminal's reply."""
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)
    """The fields of the answer that the library does not know."""

    @property
    def in_process(self) -> bool:
        """Whether the terminal is still working on it. It is not once there is a result, even an unreadable one."""
        if self.code == 1 and self.reply is None and self.id_pos_txs is not None:
            return not (isinstance(self.data, Mapping) and (self.data.get("response") or "functionCode" in self.data))
        return self.code == 2


# ------------------------------------------------------------------------------------------------------------- commands

_FLAG = optional(check_flag)
_WORD = optional(text(1, 64))
_NUMBER = integer(0, 999_999)


@extended
class CloudSale(Sale):
    """100, with the fields that only a cloud accepts. Fields left out have the profile's defaults.

    ``tip`` is in wire units. The valid values of ``plan_id``, ``interest`` and ``operation_mode`` are not public.

    Examples:
        >>> CloudSale(25_000, tip=2_500, installments=3).tip
        2500
    """

    tip: int | None = wire("Tip", check=optional(amount(0)), default=None, kw_only=True)
    installments: int | None = wire("Installments", check=optional(integer(1, 999_999)), default=None, kw_only=True)
    plan_id: str | None = wire("PlanId", check=_WORD, default=None, kw_only=True)
    interest: int | None = wire("Interest", check=optional(_NUMBER), default=None, kw_only=True)
    operation_mode: int | None = wire("OperationMode", check=optional(_NUMBER), default=None, kw_only=True)
    skip_confirmation: bool | None = wire("SkipConfirmation", check=_FLAG, default=None, kw_only=True)
    skip_receipt: bool | None = wire("SkipReceipt", check=_FLAG, default=None, kw_only=True)
    payment_category: str | None = wire("PaymentCategory", check=_WORD, default=None, kw_only=True)


@extended
class CloudRefund(Refund):
    """108, with the fields that only Argentina's cloud accepts. ``original_date`` is the day of the sale.

    Examples:
        >>> from datetime import date
        >>> CloudRefund("123456", 25_000, original_date=date(2026, 1, 31)).original_date
        '2026-01-31'
    """

    original_date: date | str | None = wire("OriginalTransDate", check=optional(day), default=None, kw_only=True)
    """A ``date``, or text as ``yyyy-MM-dd``."""
    skip_confirmation: bool | None = wire("SkipConfirmation", check=_FLAG, default=None, kw_only=True)
    skip_receipt: bool | None = wire("SkipReceipt", check=_FLAG, default=None, kw_only=True)


@command(
    126,
    reply=SaleReply,
    moves_money=True,
    waits=Waits.CARD,
    leaves_voucher=True,
    states_amount=True,
    recorded_as=Sale.code,
    cloud_only=True,
)
class SalePromotion(Sale):
    """126: a sale with a promotion, in Chile's cloud.

    Examples:
        >>> SalePromotion(25_000, "A1234", id_promo="SUMMER").id_promo
        'SUMMER'
    """

    id_promo: str = wire("IdPromo", check=text(1, 250), kw_only=True)


@command(99, reply=GenericReply, changes_nothing=True, cloud_only=True)
class GetTransaction(Command[Reply]):
    """99: query the result of a transaction by the cloud's number. The reply has the function code of its command.

    Examples:
        >>> GetTransaction(17).id_pos_txs
        17
    """

    id_pos_txs: int = wire("IdPosTxs", check=integer(1, 10**18))


@command(121, reply=GenericReply, cloud_only=True)
class BiometricCheck(Command[GenericReply]):
    """121: check a person's RUT by fingerprint. The valid values of ``auth_type`` are not public.

    Examples:
        >>> BiometricCheck("12345678-5", auth_type=1).auth_type
        1
    """

    rut: str = wire("RutToValidate", check=check_rut, shown=False)
    auth_type: int = wire("AuthType", check=_NUMBER)


@command(129, reply=GenericReply, cloud_only=True)
class SetUnattended(Command[GenericReply]):
    """129: set whether the terminal works without an attendant.

    Examples:
        >>> SetUnattended(True).unattended
        True
    """

    unattended: bool = wire("C2cMode", check=check_flag)


@command(135, reply=GenericReply, cloud_only=True)
class Shift(Command[GenericReply]):
    """135: open or close a shift. The valid values of ``operation`` are not public.

    Examples:
        >>> Shift(operation=1, number=7).number
        7
    """

    operation: int = wire("ShiftOperation", check=_NUMBER)
    number: int = wire("NumberOfShift", check=_NUMBER)
    print_on_pos: bool = wire("PrintOnPos", check=check_flag, default=False)
    skip_confirmation: bool | None = wire("SkiptConfirmation", check=_FLAG, default=None)
    """The wire's name has this spelling mistake."""


@command(136, reply=GenericReply, changes_nothing=True, cloud_only=True)
class ShiftReport(Command[GenericReply]):
    """136: the operations of the open shift.

    Examples:
        >>> ShiftReport(print_on_pos=True).code == ReportKind.SHIFT.value
        True
    """

    print_on_pos: bool = wire("PrintOnPos", check=check_flag, default=False)


# ------------------------------------------------------------------------------------------------------------- printing

_LINE = 48
"""The maximum number of characters in a line of text."""

_ENCODINGS = {
    "text": ("",),
    "array": ("",),
    "barcode": ("ean13",),
    "printcode": ("qr", "pdf417"),
    "image": ("",),
}
"""The encodings of each type of item, the default first."""

_ALIGNMENTS = ("left", "center", "right")
_ITEM_KEYS = {"printSeq", "type", "encode", "data", "align"}


def _print_items(lines: Any, field: str) -> list[dict[str, Any]]:
    """The lines as the print service expects them, with defaults for the keys that an item leaves out."""
    if isinstance(lines, (str, Mapping)) or not isinstance(lines, Iterable):
        raise InvalidType(f"{field} must be a list of text lines and mappings, not {type(lines).__name__}")
    items = [_print_item(line, place) for place, line in enumerate(lines, 1)]
    if not 0 < len(items) <= 1000:
        raise InvalidValue(f"{field} must have from 1 to 1000 lines")
    return items


def _print_item(line: object, place: int) -> dict[str, Any]:
    where = f"line {place}"
    if isinstance(line, str):
        line = {"data": line}
    if not isinstance(line, Mapping):
        raise InvalidType(f"{where} must be text or a mapping, not {type(line).__name__}")
    unknown = [key for key in line if key not in _ITEM_KEYS]
    if unknown:
        raise InvalidValue(f"{where} has the unknown key {unknown[0]!r}: use only {', '.join(sorted(_ITEM_KEYS))}")
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
                raise InvalidValue(f"row {number} of {where} must have exactly one key, 'item{number}'")
            row = row[f"item{number}"]
        rows.append({f"item{number}": check_text(row, f"row {number} of {where}", 0, _LINE)})
    return rows


@command(117, reply=GenericReply, cloud_only=True)
class PrintDocument(Command[GenericReply]):
    """117: print lines: each is text of at most 48 characters, or a mapping.

    A mapping has ``type`` (text, array, barcode, printcode, image), ``encode``, ``data``, ``align`` and ``printSeq``
    (docs/cloud.md, "Printing"). All but ``data`` may be left out; ``printSeq`` is then its place in the list, from 1.

    Examples:
        >>> document = PrintDocument(["Thank you", {"type": "barcode", "data": "7801234567894"}])
        >>> document.lines[1]["encode"]
        'ean13'
    """

    # pydantic takes an ``Iterable`` alone for one that can be read once, and would not write the list that is kept.
    lines: Sequence[str | Mapping[str, Any]] | Iterable[str | Mapping[str, Any]] = wire(
        "Details", check=_print_items, hash=False
    )
