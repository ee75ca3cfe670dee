"""The commands over the record of payment commands: what is not settled, and what a person found out."""

from __future__ import annotations

from typing import Annotated

import typer

from ..errors import InvalidValue
from ..journal import DEFAULT_JOURNAL, open_journal
from ..journal.opening import absent
from ..messages import FINAL_STATES
from ..messages.documents import intent_document
from .ends import ExitCode
from .outcomes import show_intents
from .register import JournalOption, JsonOption
from .screen import Screen

__all__ = ["intents", "resolve"]


def intents(
    everything: Annotated[bool, typer.Option("--all", help="Show settled payments as well.")] = False,
    journal: JournalOption = None,
    as_json: JsonOption = False,
) -> int:
    """Show the payments that are not settled: open, unknown or contradicted."""
    screen = Screen(as_json)
    found = {}
    path = absent(journal or DEFAULT_JOURNAL)
    if path is None:
        found = {step.intent.intent_id: step for step in open_journal(journal or DEFAULT_JOURNAL).steps()}
    else:
        screen.note(f"there is no journal at {path} yet: no payment command was recorded there")
    shown = [step for step in found.values() if everything or step.intent.state not in FINAL_STATES]
    screen.result(
        [intent_document(step.intent, at=step.at) for step in shown],
        lambda console: (
            show_intents(
                console, [step.intent for step in shown], times={step.intent.intent_id: step.at for step in shown}
            )
            if shown
            else console.print(
                "no payment is recorded" if everything or path is not None else "every payment is settled"
            )
        ),
    )
    return ExitCode.DONE


def resolve(
    intent: Annotated[
        str, typer.Argument(metavar="INTENT", help="The intent's id, or its first characters if they are unambiguous.")
    ],
    paid: Annotated[bool, typer.Option("--paid/--not-paid", help="Whether the card was charged.")],
    by: Annotated[
        str, typer.Option("--by", metavar="NAME", help="The name of the person who found out; it is recorded.")
    ],
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="How that person knows; it is recorded.")],
    journal: JournalOption = None,
    as_json: JsonOption = False,
) -> int:
    """Record what a person found out about a payment whose outcome is unknown."""
    path = absent(journal or DEFAULT_JOURNAL)
    if path is not None:
        raise InvalidValue(f"there is no journal at {path}: name the one that holds the intent with --journal")
    resolved = open_journal(journal or DEFAULT_JOURNAL).resolve(intent, paid=paid, by=by, note=note)
    Screen(as_json).result(
        intent_document(resolved),
        lambda console: console.print(f"{resolved.intent_id} is {resolved.state}", soft_wrap=True),
    )
    return ExitCode.DONE
