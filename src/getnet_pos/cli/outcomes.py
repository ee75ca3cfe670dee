"""The outcomes of payment commands, as plain objects and as text. It decides nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..messages import CATALOGUE, HowFound, Intent, IntentState, Polled, PollReply, Recovery
from ..messages.declaring import Reference
from ..messages.documents import command_name, intent_document
from ..profiles import Profile
from .amounts import show_amount
from .ends import clean
from .shown import show_date

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "answer",
    "asked_for",
    "outcomes",
    "recovery_document",
    "show_intents",
    "show_recovery",
]

_STYLES = {IntentState.APPROVED: "bold green", IntentState.UNKNOWN: "bold red", IntentState.CONTRADICTED: "bold red"}
_REFERENCES: Mapping[Reference | None, str] = {
    Reference.OPERATION_ID: "operation",
    Reference.AUTHORIZATION_CODE: "authorization code",
}
_FOUND: Mapping[HowFound, str] = {
    "call": "settled by the call that sent it",
    "recovery": "settled by recovery, which queried the terminal",
    "late reply": "settled by a late reply",
    "person": "settled by a person",
}


def answer(polled: Polled) -> PollReply:
    """Only the terminal's reply to a poll."""
    return PollReply(**{item.name: getattr(polled, item.name) for item in fields(PollReply)})


def outcomes(polled: Polled, asked: Recovery | None = None) -> Recovery:
    """The outcomes that a poll found, and ``asked``, the recovery after it."""
    last: Polled | Recovery = polled if asked is None else asked
    return Recovery(
        list(polled.unknown if asked is None else asked),
        settled=polled.settled + (() if asked is None else asked.settled),
        in_progress=last.in_progress,
        elsewhere=last.elsewhere,
        another_terminal=polled.another_terminal or last.another_terminal,
    )


# ----------------------------------------------------------------------------------------------------------- documents


def recovery_document(recovery: Recovery) -> dict[str, Any]:
    """The result of querying unsettled payment commands."""
    return {
        "settled": [intent_document(intent) for intent in recovery.settled],
        "unknown": [intent_document(intent) for intent in recovery],
        "in_progress": [intent_document(intent) for intent in recovery.in_progress],
        "elsewhere": [intent_document(intent) for intent in recovery.elsewhere],
        "another_terminal": recovery.another_terminal,
    }


# ---------------------------------------------------------------------------------------------------------------- text


def asked_for(intent: Intent, profile: Profile | None = None) -> str:
    """What an intent is about, such as ``sale of 25000, ticket A1``."""
    parts = [command_name(intent.command)]
    if intent.amount is not None:
        parts[0] += f" of {show_amount(intent.amount, profile)}"
    refers_to = CATALOGUE.facts(intent.command).refers_to
    named = (("ticket", intent.ticket), (_REFERENCES.get(refers_to, "reference"), intent.reference))
    parts += [f"{name} {value}" for name, value in named if value]
    return clean(", ".join(parts))


def show_intents(
    console: Console, intents: Iterable[Intent], profile: Profile | None = None, times: Mapping[str, str] | None = None
) -> None:
    """Show each intent with the beginning of its id, which ``resolve`` accepts if it is unambiguous.

    ``times`` maps the id of each to when its state was recorded (UTC, ISO 8601); local time is shown.
    """
    from rich.table import Table
    from rich.text import Text

    made = Table.grid(padding=(0, 2))
    made.add_column(no_wrap=True)
    made.add_column(no_wrap=True)
    made.add_column(overflow="fold")
    for intent in intents:
        state = Text(intent.state.value, style=_STYLES.get(intent.state, "bold"))
        made.add_row(intent.intent_id[:12], state, asked_for(intent, profile))
        if times is not None:
            made.add_row("", "", _local(times[intent.intent_id]))
        for line in _details(intent):
            made.add_row("", "", clean(line))
    console.print(made)


def _local(at: str) -> str:
    return show_date(datetime.fromisoformat(at).astimezone().isoformat(sep=" ", timespec="seconds")[:19])


def _details(intent: Intent) -> Iterator[str]:
    names = (("terminal id", intent.terminal_id), ("commerce", intent.commerce_code), ("device", intent.device))
    yield ", ".join([intent.terminal, *(f"{name} {value}" for name, value in names if value is not None)])
    result = (
        ("response code", intent.response_code),
        ("authorization code", intent.authorization_code),
        ("operation", intent.operation_id),
        ("card", intent.last4_digits and f"****{intent.last4_digits}"),
    )
    if any(value for _, value in result):
        yield ", ".join(f"{name} {value}" for name, value in result if value is not None)
    if intent.found is not None:
        yield _FOUND[intent.found]
    if intent.reason is not None:
        yield f"why it was queried: {intent.reason}"
    if intent.decided_by is not None:
        yield f"decided by {intent.decided_by}: {intent.note}"


def show_recovery(console: Console, recovery: Recovery, profile: Profile | None) -> bool:
    """Show what was settled and what was not, each with a title; return whether there was anything to show."""
    has_shown = False
    for title, intents in (
        ("settled now; the program that sent it may not know:", recovery.settled),
        ("unknown; do not charge again: look at the terminal's vouchers, then resolve:", recovery),
        ("in progress in another process or connector, which is waiting for it:", recovery.in_progress),
        ("not settled, on other terminals:", recovery.elsewhere),
    ):
        if intents:
            has_shown = True
            console.print(title, style="bold")
            show_intents(console, intents, profile)
    if recovery.another_terminal is not None:
        has_shown = True
        console.print(clean(recovery.another_terminal), style="bold red")
    return has_shown
