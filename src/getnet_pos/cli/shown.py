"""Messages and errors as plain objects, replies as tables, without data that could identify a card or its holder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import AlreadyCharged, GetnetError
from ..flows.dates import read_date
from ..messages import (
    CATALOGUE,
    Ack,
    BadFrame,
    CommandMessage,
    DetailsReply,
    PollReply,
    Progress,
    Reply,
    SalesBySellerReply,
    SaleType,
    TipsReply,
    TotalsReply,
    Voucher,
)
from ..messages.declaring import sent_fields
from ..messages.documents import command_name, fields_document, progress_document, reply_document
from ..profiles import Profile
from ..receipts import card_words
from .amounts import show_amount
from .ends import clean

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ..codec import Message

__all__ = [
    "error_document",
    "message_document",
    "show_date",
    "show_fields",
    "show_reply",
    "table",
]

_MONEY = {"amount", "shares_amount", "tip", "cashback", "sales", "tips"}
_DATES = {"date", "real_date", "accounting_date", "date_time"}
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_NAMES = {
    "aid": "chip application",
    "apn": "access point",
    "apn_config": "access point set",
    "apn_sim": "access point of the SIM",
    "call_id": "cell",
    "commerce_code": "merchant",
    "commerce_name": "merchant's name",
    "commerce_number": "merchant",
    "commerce_rut": "merchant's tax number",
    "connected": "connected to Getnet",
    "emv_module": "EMV module",
    "employee_id": "employee",
    "imei": "IMEI",
    "intensity_signal": "signal",
    "issuer_quotas": "issuer's installments",
    "lac": "area of the network",
    "maximum_issuer_quotas": "issuer's installments, at most",
    "maximum_trade_quotas": "merchant's installments, at most",
    "minimum_issuer_quotas": "issuer's installments, at least",
    "minimum_trade_quotas": "merchant's installments, at least",
    "network_plmn": "network",
    "operation_id": "operation",
    "real_date": "date",
    "return_": "refunds",
    "rssi": "signal in dBm",
    "shares_amount": "each installment",
    "shares_number": "installments",
    "sim_id": "SIM",
    "sim_plmn": "network of the SIM",
    "sim_provider": "provider of the SIM",
    "sim_status": "state of the SIM",
    "sim_used": "SIM in use",
    "sn": "serial number",
    "so": "operating system",
    "sucursal_id": "branch",
    "terminal_id": "terminal",
    "trade_quotas": "merchant's installments",
    "trans_token": "transaction",
}
"""Better names for fields. Fields that are not documented anywhere keep their own."""
_NONE_AS_ZERO = {"cashback", "operation_id", "shares_amount", "shares_number", "tip"}
"""Fields that terminals send as 0 instead of leaving them out."""
_CARD = ("card_brand", "card_type", "last4_digits")
_MEANINGS = {
    -1: "the terminal did not reach the acquirer, and does not say whether the card was charged",
    1003: "the printer's cover is open; the terminal does not say whether the card was charged",
    1004: "the printer has no paper; the terminal does not say whether the card was charged",
    1005: "the paper is jammed; the terminal does not say whether the card was charged",
    1006: "cancelled on the terminal, or nobody paid in time",
    2004: "no sale is in progress",
}
_EMPTY = {21: "not found", 99: "there are no operations"}
"""In the reply to a query; their meaning in the reply to a payment is unknown."""
_SENT = {"DateTime"} | {item.wire for kind in CATALOGUE.kinds.values() for item in sent_fields(kind) if item.shown}

# ----------------------------------------------------------------------------------------------------------- documents


def error_document(error: GetnetError) -> dict[str, Any]:
    """An error as an object: its type, its message, and the attributes to act on."""
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


def show_fields(console: Console, document: Mapping[str, Any], profile: Profile | None = None) -> None:
    """Names and values below each other; fields that are empty or lists are left out."""
    from rich.table import Table

    made = Table.grid(padding=(0, 2))
    made.add_column(no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in document.items():
        if name == "extra" and value:
            made.add_row("other fields", clean(", ".join(value)))
        elif not _says_nothing(name, value) and not isinstance(value, list):
            made.add_row(clean(_NAMES.get(name, name.replace("_", " "))), _cell(name, value, profile))
    console.print(made)


def _says_nothing(name: str, value: Any) -> bool:
    return value in (None, "") or (name in _NONE_AS_ZERO and value == 0 and not isinstance(value, bool))


def _cell(name: str, value: Any, profile: Profile | None) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, SaleType):
        return value.name.lower().replace("_", " ")
    if isinstance(value, int) and (name in _MONEY or name.startswith("total_") or name == "tx_total"):
        return show_amount(value, profile)
    if name in _DATES and isinstance(value, str):
        return clean(show_date(value))
    # An enum of numbers shows its number, as the wire does.
    return clean(str(int(value) if isinstance(value, int) else value))


def show_date(text: str) -> str:
    """A terminal's date with the month in words, because countries order numbers differently; other text unchanged."""
    made = read_date(text)
    if made is None:
        return text
    day, _, hours = made.partition(" ")
    year, month, number = (int(part) for part in day.split("-"))
    return f"{number} {_MONTHS[month - 1]} {year} {hours}"


def show_reply(console: Console, reply: Reply, profile: Profile | None) -> None:
    """A reply: whether it was approved or done, what its code means, its fields, its rows."""
    said = clean(reply.response_message or "")
    yes, no = _verdicts(reply)
    verdict = yes if reply.approved else f"{no} ({reply.response_code})"
    console.print(f"{verdict}: {said}" if said else verdict, style="bold green" if reply.approved else "bold red")
    meaning = None if reply.approved else _meaning(reply)
    if meaning is not None:
        console.print(f"{reply.response_code} means: {meaning}", soft_wrap=True)
    document = fields_document(reply)
    for header in ("function_code", "response_code", "response_message"):
        document.pop(header)
    document.pop("success", None)  # the verdict has it
    if isinstance(reply, TotalsReply):
        _show_totals(console, document, profile)
        return
    if isinstance(reply, Voucher):
        for name in _CARD:
            document.pop(name)
        document = {"card": card_words(reply) or None, **document}
    show_fields(console, document, profile)
    if isinstance(reply, DetailsReply) and reply.details_text is None:
        _show_vouchers(console, reply.sale_details, profile)
    elif isinstance(reply, SalesBySellerReply):
        names = ("date", "employee_id", "ticket", "amount", "nc", "tc", "tx")
        _show_rows(console, names, reply.sale_details, profile)
    elif isinstance(reply, TipsReply):
        _show_rows(console, ("employee_id", "tx", "sales", "tips"), reply.tip_report, profile)


def _verdicts(reply: Reply) -> tuple[str, str]:
    if isinstance(reply, PollReply):
        return "ready" if reply.connected is not False else "not connected to Getnet", "not ready"
    moves_money = CATALOGUE.facts(reply.function_code).moves_money
    return ("approved", "not approved") if moves_money else ("done", "refused")


def _meaning(reply: Reply) -> str | None:
    asked = not CATALOGUE.facts(reply.function_code).moves_money
    return _MEANINGS.get(reply.response_code) or (_EMPTY.get(reply.response_code) if asked else None)


def _show_totals(console: Console, document: dict[str, Any], profile: Profile | None) -> None:
    made = table("kind", "count", "total")
    made.add_row("all operations", str(document["tx_count"]), _cell("tx_total", document["tx_total"], profile))
    for name, count in document.items():
        if name.startswith("count_"):
            kind = name.removeprefix("count_")
            total = document[f"total_{kind}"]
            if count or total:
                made.add_row(_kind_of_total(kind), str(count), _cell("tx_total", total, profile))
    console.print(made)


def _kind_of_total(name: str) -> str:
    """``debit voids`` for ``cancel_debit``, as operations are called everywhere else."""
    void = name.removeprefix("cancel_")
    words = f"{void} voids" if void != name else "refunds" if name == "returns" else name
    return words.replace("_", " ").replace("qr", "QR")


def _show_vouchers(console: Console, vouchers: Sequence[Voucher], profile: Profile | None) -> None:
    if not vouchers:
        console.print("no operations")
        return
    made = table("operation", "kind", "amount", "ticket", "code", "card", "date")
    for voucher in vouchers:
        texts = (voucher.ticket, voucher.authorization_code, card_words(voucher), show_date(voucher.real_date or ""))
        made.add_row(
            _cell("", voucher.operation_id or "", None),
            command_name(voucher.function_code),
            "" if voucher.amount is None else show_amount(voucher.amount, profile),
            *(clean(text or "") for text in texts),
        )
    console.print(made)


def _show_rows(console: Console, names: tuple[str, ...], rows: Sequence[Any], profile: Profile | None) -> None:
    if not rows:
        console.print("no operations")
        return
    made = table(*(_NAMES.get(name, name) for name in names))
    for row in rows:
        values = [(name, getattr(row, name)) for name in names]
        made.add_row(*("" if value is None else _cell(name, value, profile) for name, value in values))
    console.print(made)
