"""What every money flow writes into an intent, whatever carries its command. Pure functions, no effects."""

from __future__ import annotations

from dataclasses import fields, replace

from ..messages import Command, Intent, IntentState, Reply, VoucherMark, VoucherReply
from .matching import read_date

__all__ = ["new_intent", "outcome_advice", "settled", "typed_reply"]


def new_intent(
    command: Command, intent_id: str, terminal: str, baseline: VoucherMark | None, frame_hash: str | None = None
) -> Intent:
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
        frame_hash=frame_hash,
    )


def settled(intent: Intent, reply: Reply) -> Intent:
    """The intent with its result."""
    voucher = reply if isinstance(reply, VoucherReply) else None
    digits = voucher.last4_digits if voucher else None
    return replace(
        intent,
        state=IntentState.APPROVED if reply.approved else IntentState.DECLINED,
        response_code=reply.response_code,
        authorization_code=voucher.authorization_code if voucher else None,
        operation_id=voucher.operation_id if voucher else None,
        real_date=read_date(voucher.real_date) if voucher else None,
        # Never more than four digits, whatever a firmware writes there.
        last4_digits=digits if digits and len(digits) <= 4 else None,
    )


def typed_reply(command: Command | None, reply: Reply) -> Reply:
    """``reply`` as the reply of ``command``, also where it was found in the terminal's books."""
    if command is None or reply.function_code == command.code or not isinstance(reply, VoucherReply):
        return reply
    kind = command.reply_type
    if not issubclass(kind, VoucherReply):
        return reply
    values = {item.name: getattr(reply, item.name) for item in fields(VoucherReply)}
    return kind(**{**values, "function_code": command.code})


def outcome_advice(intent: Intent) -> str:
    """What a person is told whose money command has an unknown outcome."""
    what = "" if intent.amount is None else f" of {intent.amount}"
    ticket = f", ticket {intent.ticket}" if intent.ticket else ""
    return (
        f"it is not known whether command {intent.command}{what}{ticket} was carried out: do not repeat it; look at "
        "the terminal's last vouchers, then record what you found: "
        f"getnet-pos resolve {intent.intent_id} --paid or --not-paid"
    )
