"""What every money flow writes into an intent, whatever carries its command. Pure functions, no effects."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from ..masking import mask
from ..messages import Command, Intent, IntentState, Reply, VoucherMark, VoucherReply

__all__ = ["generated_ticket", "new_intent", "outcome_advice", "read_date", "settled"]

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}(:[0-9]{2})?")
"""Dates whose order is the order of their text."""


def generated_ticket(intent_id: str) -> str:
    """A ticket nobody else uses: ten upper-case hex characters, the form that terminals are known to take."""
    return intent_id.replace("-", "")[:10].upper()


def read_date(text: str | None) -> str | None:
    """``text`` if it is a date of which it can be said which of two is the later."""
    return text if text is not None and _DATE.fullmatch(text) else None


def new_intent(command: Command[Any], intent_id: str, terminal: str, baseline: VoucherMark | None) -> Intent:
    """The record of a command that is about to leave."""
    reference = None if command.refers_to is None else getattr(command, command.refers_to.value)
    return Intent(
        intent_id=intent_id,
        terminal=terminal,
        command=command.code,
        amount=getattr(command, "amount", None),
        ticket=getattr(command, "ticket", None),
        reference=None if reference is None else str(reference),
        baseline=baseline,
    )


def settled(intent: Intent, reply: Reply) -> Intent:
    """The intent with its result."""
    voucher = reply if isinstance(reply, VoucherReply) else None
    digits = voucher.last4_digits if voucher else None
    return replace(
        intent,
        state=IntentState.APPROVED if reply.approved else IntentState.DECLINED,
        response_code=reply.response_code,
        authorization_code=mask(voucher.authorization_code or "") or None if voucher else None,
        operation_id=voucher.operation_id if voucher else None,
        real_date=read_date(voucher.real_date) if voucher else None,
        # Never more than four digits, whatever a firmware writes there.
        last4_digits=digits if digits and len(digits) <= 4 else None,
    )


def outcome_advice(intent: Intent) -> str:
    """What a person is told whose money command has an unknown outcome."""
    what = "" if intent.amount is None else f" of {intent.amount}"
    ticket = f", ticket {intent.ticket}" if intent.ticket else ""
    return (
        f"it is not known whether command {intent.command}{what}{ticket} was carried out: do not repeat it; look at "
        "the terminal's last vouchers, then record what you found: "
        f"getnet-pos resolve {intent.intent_id} --paid or --not-paid"
    )
