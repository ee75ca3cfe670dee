"""Messages and errors as plain objects, replies as tables. Whatever could identify a card or its holder is left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import AlreadyCharged, GetnetError
from ..messages import (
    CATALOGUE,
    Ack,
    BadFrame,
    CommandMessage,
    DetailsReply,
    Progress,
    Reply,
    SalesBySellerReply,
    TipsReply,
    TotalsReply,
    Voucher,
)
from ..messages.declaring import sent_fields
from ..messages.documents import command_name, fields_document, progress_document, reply_document
from .amounts import show_amount
from .ends import clean

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ..codec import Message

__all__ = [
    "error_document",
    "message_document",
    "show_fields",
    "show_reply",
    "table",
]

_MONEY = {"amount", "shares_amount", "tip", "cashback", "sales", "tips"}
_SENT = {"DateTime"} | {item.wire for kind in CATALOGUE.kinds.values() for item in sent_fields(kind) if item.shown}

# ----------------------------------------------------------------------------------------------------------- documents


def error_document(error: GetnetError) -> dict[str, Any]:
    """An error as an object: its type, its message, and what it carries to act on."""
    document: dict[str, Any] = {"type": type(error).__name__, "message": str(error)}
    for name in ("intent_id", "reason", "found", "at", "status", "code", "log_id"):
        value = getattr(error, name, None)
        if value is not None:
            document[name] = value
    if isinstance(error, AlreadyCharged):
        document["reply"] = None if error.reply is None else reply_document(error.reply)
    return document


def message_document(message: Message) -> dict[str, Any]:
    """Any message of the wire as an object."""
    if isinstance(message, Reply):
        return reply_document(message)
    if isinstance(message, Ack):
        return {"received": message.received}
    if isinstance(message, Progress):
        return progress_document(message)
    if isinstance(message, BadFrame):
        return {"fault": message.fault.value, "reason": message.reason}
    return _command_document(message)


def _command_document(message: CommandMessage) -> dict[str, Any]:
    known = {
        name: value
        for name, value in message.fields.items()
        if name[:1].upper() + name[1:] in _SENT and isinstance(value, (str, int))
    }
    extra = sorted(name for name in message.fields if name not in known)
    return {"command": message.code, "name": command_name(message.code), **known, "extra": extra}


# -------------------------------------------------------------------------------------------------------------- tables


def table(*columns: str) -> Table:
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        right = name in ("amount", "count", "total", "sales", "tips")
        whole = name in ("serial number", "mode", "activated")
        made.add_column(name, justify="right" if right else "left", overflow="fold", no_wrap=whole)
    return made


def show_fields(console: Console, document: Mapping[str, Any], exponent: int | None = None) -> None:
    """Names and values below each other; what was not sent is left out, lists too."""
    from rich.table import Table

    made = Table.grid(padding=(0, 2))
    made.add_column(no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in document.items():
        if name == "extra" and value:
            made.add_row("other fields", clean(", ".join(value)))
        elif value is not None and not isinstance(value, list):
            made.add_row(clean(name.rstrip("_").replace("_", " ")), _cell(name, value, exponent))
    console.print(made)


def _cell(name: str, value: Any, exponent: int | None) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and (name in _MONEY or name.startswith("total_") or name == "tx_total"):
        return show_amount(value, exponent)
    # An enum of numbers shows its number, as the wire does.
    return clean(str(int(value) if isinstance(value, int) else value))


def show_reply(console: Console, reply: Reply, exponent: int | None) -> None:
    """A reply: whether it was approved, its fields, its rows."""
    said = clean(reply.response_message or "")
    verdict = "approved" if reply.approved else f"not approved ({reply.response_code})"
    console.print(f"{verdict}: {said}" if said else verdict, style="bold green" if reply.approved else "bold red")
    document = fields_document(reply)
    for header in ("function_code", "response_code", "response_message"):
        document.pop(header)
    if isinstance(reply, TotalsReply):
        _show_totals(console, document, exponent)
        return
    show_fields(console, document, exponent)
    if isinstance(reply, DetailsReply):
        _show_vouchers(console, reply.sale_details, exponent)
    elif isinstance(reply, SalesBySellerReply):
        names = ("date", "employee_id", "ticket", "amount", "nc", "tc", "tx")
        _show_rows(console, names, reply.sale_details, exponent)
    elif isinstance(reply, TipsReply):
        _show_rows(console, ("employee_id", "tx", "sales", "tips"), reply.tip_report, exponent)


def _show_totals(console: Console, document: dict[str, Any], exponent: int | None) -> None:
    made = table("kind", "count", "total")
    made.add_row("all operations", str(document["tx_count"]), _cell("tx_total", document["tx_total"], exponent))
    for name, count in document.items():
        if name.startswith("count_"):
            kind = name.removeprefix("count_")
            total = document[f"total_{kind}"]
            if count or total:
                made.add_row(kind.replace("_", " "), str(count), _cell("tx_total", total, exponent))
    console.print(made)


def _show_vouchers(console: Console, vouchers: Iterable[Voucher], exponent: int | None) -> None:
    made = table("operation", "kind", "amount", "ticket", "code", "card", "date")
    for voucher in vouchers:
        card = " ".join(part for part in (voucher.card_brand, voucher.last4_digits) if part)
        made.add_row(
            _cell("", voucher.operation_id or "", None),
            command_name(voucher.function_code),
            "" if voucher.amount is None else show_amount(voucher.amount, exponent),
            *(clean(part or "") for part in (voucher.ticket, voucher.authorization_code, card, voucher.real_date)),
        )
    console.print(made)


def _show_rows(console: Console, names: tuple[str, ...], rows: Iterable[Any], exponent: int | None) -> None:
    made = table(*(name.replace("_", " ") for name in names))
    for row in rows:
        values = [(name, getattr(row, name)) for name in names]
        made.add_row(*("" if value is None else _cell(name, value, exponent) for name, value in values))
    console.print(made)
