"""The command that compares the journal with the terminal's record before the batch is closed. It settles nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InvalidValue
from ..messages import Intent, Voucher
from ..messages.documents import command_name, fields_document, intent_document
from ..profiles import Profile
from ..receipts import card_words
from ..reconciliation import Pair, Reconciliation, Unresolved
from .amounts import show_amount
from .ends import ExitCode, clean
from .outcomes import asked_for
from .register import Register, terminal_command
from .shown import show_date, table
from .spreadsheets import write_csv

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["reconcile"]

_COLUMNS = (
    "finding", "differs", "kind", "amount_here", "amount_there", "ticket_here", "ticket_there", "code_here",
    "code_there", "operation", "date", "card", "intent_id", "state",
)  # fmt: skip


@terminal_command
async def reconcile(
    register: Register,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="DATE",
            help="When the day began, such as 2026-01-31 or 2026-01-31T08:00, local time; 24 hours ago by default.",
        ),
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print comma-separated values, safe for spreadsheets.")] = False,
) -> int:
    """Compare the journal with the operations of the terminal's open batch, before it is closed. This settles nothing.

    The exit code is 0 if they agree, 5 while an outcome is unknown, and 9 if anything else needs a look.
    """
    if as_csv and register.as_json:
        raise InvalidValue("--csv and --json cannot be combined: choose one")
    begin = _moment(since)
    async with register.ready() as pos:
        with register.screen.waiting("comparing the journal with the terminal's records ..."):
            found = await pos.reconcile(since=begin)
    if as_csv:
        write_csv(sys.stdout, _cells(found))
        sys.stdout.flush()
    else:
        register.screen.result(_document(found), lambda console: _show(console, found, register.settings))
    if found.unknown:
        return ExitCode.UNKNOWN
    return ExitCode.DONE if found.agrees else ExitCode.DIFFERS


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise InvalidValue(
            "--since must be a date such as 2026-01-31, or a date and time such as 2026-01-31T08:00"
        ) from None
    return moment.astimezone()


# ------------------------------------------------------------------------------------------------------- for a machine


def _document(found: Reconciliation) -> dict[str, Any]:
    return {
        "agrees": found.agrees,
        "batch_may_be_closed": found.batch_may_be_closed,
        "matching": [_paired(pair) for pair in found.matching],
        "differing": [_paired(pair) for pair in found.differing],
        "only_here": [intent_document(intent) for intent in found.only_here],
        "only_there": [fields_document(voucher) for voucher in found.only_there],
        "unknown": [
            {
                "intent": intent_document(unresolved.intent),
                "vouchers": [fields_document(one) for one in unresolved.vouchers],
            }
            for unresolved in found.unknown
        ],
    }


def _paired(pair: Pair) -> dict[str, Any]:
    return {
        "differs": list(pair.differs),
        "intent": intent_document(pair.intent),
        "voucher": fields_document(pair.voucher),
    }


def _found(found: Reconciliation) -> Iterator[tuple[str, tuple[str, ...], Intent | None, Voucher | None]]:
    """Each finding: its kind, what differs, and the two sides."""
    yield from (("matching", (), pair.intent, pair.voucher) for pair in found.matching)
    yield from (("differing", pair.differs, pair.intent, pair.voucher) for pair in found.differing)
    yield from (("only here", (), intent, None) for intent in found.only_here)
    yield from (("only there", (), None, voucher) for voucher in found.only_there)
    for unresolved in found.unknown:
        yield "unknown", (), unresolved.intent, None
        yield from (("could be it", (), unresolved.intent, voucher) for voucher in unresolved.vouchers)


def _cells(found: Reconciliation) -> Iterator[tuple[Any, ...]]:
    yield _COLUMNS
    for finding, differs, intent, voucher in _found(found):
        here = (None,) * 5 if intent is None else (
            intent.amount, intent.ticket, intent.authorization_code, intent.intent_id, intent.state.value
        )  # fmt: skip
        there = (None,) * 5 if voucher is None else (
            voucher.amount, voucher.ticket, voucher.authorization_code, voucher.operation_id, voucher.real_date
        )  # fmt: skip
        card = "" if voucher is None else card_words(voucher)
        cells = (
            finding, " ".join(differs), _kind(intent, voucher), here[0], there[0], here[1], there[1], here[2], there[2],
            there[3] if intent is None else intent.operation_id or there[3], there[4], card, here[3], here[4],
        )  # fmt: skip
        yield tuple(clean(cell) if isinstance(cell, str) else cell for cell in cells)


def _kind(intent: Intent | None, voucher: Voucher | None) -> str:
    return command_name(
        intent.command if intent is not None else voucher.function_code if voucher is not None else None
    )


# -------------------------------------------------------------------------------------------------------- for a person


def _show(console: Console, found: Reconciliation, profile: Profile) -> None:
    console.print(f"matching: {len(found.matching)}")
    if found.differing:
        console.print("differing:", style="bold red")
        made = table("kind", "what", "journal", "terminal", "intent")
        for pair in found.differing:
            for name in pair.differs:
                sides = _sides(pair, name, profile)
                kind = command_name(pair.intent.command)
                made.add_row(kind, name.replace("_", " "), *map(clean, sides), pair.intent.intent_id[:12])
        console.print(made)
    if found.only_here:
        console.print("only in the journal, paid and not in the terminal's records:", style="bold red")
        for intent in found.only_here:
            console.print(f"  {asked_for(intent, profile)} (intent {intent.intent_id[:12]})", soft_wrap=True)
        if found.batch_may_be_closed:
            console.print("  the batch may have been closed since then: check the last batch close")
    if found.only_there:
        console.print("only in the terminal's records, keyed in by hand or sold by another register:", style="bold red")
        made = table("operation", "kind", "amount", "ticket", "code", "card", "date")
        for voucher in found.only_there:
            made.add_row(*_row(voucher, profile))
        console.print(made)
    for unresolved in found.unknown:
        console.print(f"unknown: {asked_for(unresolved.intent, profile)}", style="bold red")
        for line in _advice(unresolved, profile):
            console.print(f"  {line}", soft_wrap=True)
    if found.agrees:
        console.print("everything matches: the batch can be closed", style="bold green")


def _sides(pair: Pair, name: str, profile: Profile) -> tuple[str, str]:
    here, there = pair.intent, pair.voucher
    if name == "state":
        code = there.response_code
        return here.state.value, "approved" if code in (None, 0) else f"not approved ({code})"
    if name == "amount":
        return tuple("" if units is None else show_amount(units, profile) for units in (here.amount, there.amount))  # type: ignore[return-value]  # two of them
    return getattr(here, name) or "", getattr(there, name) or ""


def _row(voucher: Voucher, profile: Profile) -> Iterator[str]:
    amount = "" if voucher.amount is None else show_amount(voucher.amount, profile)
    operation = "" if voucher.operation_id is None else str(voucher.operation_id)
    yield from (operation, command_name(voucher.function_code), amount)
    texts = (voucher.ticket, voucher.authorization_code, card_words(voucher), show_date(voucher.real_date or ""))
    yield from (clean(text or "") for text in texts)


def _advice(unresolved: Unresolved, profile: Profile) -> Iterator[str]:
    resolve = f"getnet-pos resolve {unresolved.intent.intent_id[:12]}"
    if not unresolved.vouchers:
        yield "no operation on the terminal fits. Run getnet-pos recover to query again; or look at the vouchers, then:"
        yield f"{resolve} --paid or --not-paid --by NAME --note TEXT"
        return
    for voucher in unresolved.vouchers:
        names = ("operation", "", "of", "ticket", "code", "card", "on")
        parts = zip(names, _row(voucher, profile), strict=True)
        yield "could be " + ", ".join(f"{name} {text}".strip() for name, text in parts if text)
    yield "Run getnet-pos recover to query again; or, if you find that one of these is the payment:"
    yield f'{resolve} --paid --by NAME --note "operation {unresolved.vouchers[0].operation_id} on the terminal"'
