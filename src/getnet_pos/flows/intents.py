"""What the payment machine writes into an intent, whatever carries its command. Pure functions, no effects."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

from ..messages import CATALOGUE, Catalogue, Command, GenericReply, HowFound, Intent, IntentState, Reply, VoucherReply
from ..messages.fields import Kind, wire_fields
from ..messages.replies import Restored
from .dates import read_date

__all__ = ["generated_ticket", "is_same_command", "new_intent", "outcome_advice", "restored", "settled"]


def generated_ticket(intent_id: str) -> str:
    """A ticket nobody else uses: ten upper-case hex characters, the form that terminals are known to take."""
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
    """Whether both ask for the same: a ticket that the library made is nobody's wish."""
    wished = [None if intent.ticket == generated_ticket(intent.intent_id) else intent.ticket for intent in (one, other)]
    return wished[0] == wished[1] and (one.command, one.amount, one.reference) == (
        other.command,
        other.amount,
        other.reference,
    )


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
        authorization_code=voucher.authorization_code if voucher else None,
        operation_id=voucher.operation_id if voucher else None,
        real_date=read_date(voucher.real_date) if voucher else None,
        # Never more than four digits, whatever a firmware writes there.
        last4_digits=digits if digits and len(digits) <= 4 else None,
        reply=_written(reply),
    )


def _written(reply: Reply) -> str:
    """The fields of a reply that can identify neither a card nor its holder, as JSON."""
    kept = {item.name for item in fields(reply) if item.repr}  # type: ignore[arg-type]  # every reply is a dataclass
    values = {
        item.name: getattr(reply, item.name)
        for item in wire_fields(type(reply))
        if item.name in kept and item.kind is not Kind.ROWS
    }
    return json.dumps({name: value for name, value in values.items() if value is not None}, ensure_ascii=False)


def restored(intent: Intent, catalogue: Catalogue = CATALOGUE) -> Reply | None:
    """The reply as the journal kept it, marked ``recovered``; ``None`` where it kept none."""
    if intent.reply is None:
        return None
    values = json.loads(intent.reply)
    kind = catalogue.reply_types.get(values.get("function_code"), GenericReply)
    known = {item.name for item in wire_fields(kind)}
    return kind(**{name: value for name, value in values.items() if name in known}, extra=Restored())


def outcome_advice(intent: Intent) -> str:
    """What a person is told whose payment command has an unknown outcome."""
    what = "" if intent.amount is None else f" of {intent.amount}"
    ticket = f", ticket {intent.ticket}" if intent.ticket else ""
    return (
        f"it is not known whether command {intent.command}{what}{ticket} was carried out: do not repeat it; look at "
        "the terminal's last vouchers, then record what you found: "
        f"getnet-pos resolve {intent.intent_id} --paid or --not-paid"
    )
