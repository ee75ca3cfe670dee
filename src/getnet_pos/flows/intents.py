"""The fields and texts that the payment machine writes into an intent. Pure functions, no effects."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..masking import mask
from ..messages import (
    Catalogue,
    Command,
    HowFound,
    Intent,
    IntentState,
    Reply,
    Step,
    VoucherReply,
    kept_reply,
    read_kept_reply,
)
from ..messages.documents import command_name
from .dates import read_date

__all__ = [
    "charged_advice",
    "generated_ticket",
    "is_repetition",
    "is_same_command",
    "new_intent",
    "outcome_advice",
    "restored",
    "settled",
]


def generated_ticket(intent_id: str) -> str:
    """A unique ticket: ten upper-case hex characters, a form that terminals are known to accept."""
    return intent_id.replace("-", "")[:10].upper()


def new_intent(command: Command[Any], intent_id: str, terminal: str) -> Intent:
    """The record of a command that is about to leave."""
    reference = None if command.refers_to is None else getattr(command, command.refers_to.value)
    return Intent(
        intent_id=intent_id,
        terminal=terminal,
        command=command.code,
        amount=getattr(command, "amount", None),
        ticket=getattr(command, "ticket", None),
        reference=None if reference is None else str(reference),
    )


def is_same_command(one: Intent, other: Intent) -> bool:
    """Whether both are the same command. Tickets that the library generated do not count."""
    given = [None if intent.ticket == generated_ticket(intent.intent_id) else intent.ticket for intent in (one, other)]
    return given[0] == given[1] and (one.command, one.amount, one.reference) == (
        other.command,
        other.amount,
        other.reference,
    )


def is_repetition(one: Intent, other: Intent) -> bool:
    """Whether the second one would charge the same purchase again, or void or refund the same operation again.

    A ticket is one purchase, whichever command charges it. Two tickets that the library generated are two purchases.
    """
    if one.ticket is not None or other.ticket is not None:
        return (one.ticket, one.amount) == (other.ticket, other.amount)
    named = (one.command, one.amount, one.reference)
    return one.reference is not None and named == (other.command, other.amount, other.reference)


def settled(intent: Intent, reply: Reply, found: HowFound) -> Intent:
    """The intent with its result."""
    voucher = reply if isinstance(reply, VoucherReply) else None
    digits = voucher.last4_digits if voucher else None
    return replace(
        intent,
        state=IntentState.APPROVED if reply.approved else IntentState.DECLINED,
        found=found,
        terminal_id=intent.terminal_id or ((voucher.terminal_id or "").strip() or None if voucher else None),
        commerce_code=intent.commerce_code or (voucher.commerce_code or None if voucher else None),
        response_code=reply.response_code,
        authorization_code=mask(voucher.authorization_code or "") or None if voucher else None,
        operation_id=voucher.operation_id if voucher else None,
        real_date=read_date(voucher.real_date) if voucher else None,
        # Never more than four digits, whatever the firmware writes there.
        last4_digits=digits if digits and len(digits) <= 4 else None,
        reply=kept_reply(reply),
    )


def restored(intent: Intent, catalogue: Catalogue) -> Reply | None:
    """The reply in the journal, marked ``recovered``; ``None`` if there is none that can be read."""
    if intent.reply is None:
        return None
    try:
        return read_kept_reply(catalogue.facts(json.loads(intent.reply)["function_code"]).reply_type, intent.reply)
    except (KeyError, TypeError, ValueError):
        return None


def outcome_advice(intent: Intent) -> str:
    """The message about a payment command whose outcome is unknown: which command, what to do, and why."""
    why = f" ({intent.reason})" if intent.reason else ""
    return (
        f"the outcome of {_named(intent)} is unknown: do not repeat it; look at the terminal's last vouchers, then "
        f"record what you found: getnet-pos resolve {intent.intent_id} --paid --by NAME --note TEXT (or --not-paid)"
        f"{why}"
    )


def charged_advice(step: Step) -> str:
    """The message about a command that has already been carried out."""
    intent = step.intent
    meant = "" if intent.amount is None else "; to charge a second time on purpose, pass again=True (--again)"
    return (
        f"nothing was sent: {_named(intent)} was already carried out (intent {intent.intent_id}, found by "
        f"{_FINDERS[intent.found or 'call']} at {step.at}), and its caller may not have received the result{meant}"
    )


_FINDERS: Mapping[HowFound, str] = {
    "call": "the call itself",
    "recovery": "recovery",
    "late reply": "a late reply",
    "person": "a person",
}


def _named(intent: Intent) -> str:
    what = "" if intent.amount is None else f" of {intent.amount}"
    ticket = f", ticket {intent.ticket}" if intent.ticket else ""
    reference = f", reference {intent.reference}" if intent.reference else ""
    return f"the {command_name(intent.command)}{what}{ticket}{reference}"
