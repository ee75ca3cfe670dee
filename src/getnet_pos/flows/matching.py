"""Whose reply is it: compares a reply or a recorded voucher with a money command. Pure functions, no effects."""

from __future__ import annotations

from collections.abc import Sequence

from ..messages import Intent, MultiCommerceSaleReply, Reply, SaleReply, VoucherMark, VoucherReply
from .exchange import Verdict

__all__ = ["generated_ticket", "judge", "mark", "recognise"]

_LAST_VOUCHER = 101
_STATES_AMOUNT = (SaleReply, MultiCommerceSaleReply)
"""Replies that carry the amount whenever they approve."""


def generated_ticket(intent_id: str) -> str:
    """A ticket nobody else uses: ten upper-case hex characters, the form that terminals are known to take."""
    return intent_id.replace("-", "")[:10].upper()


def mark(voucher: VoucherReply) -> VoucherMark | None:
    """What tells this voucher from others; ``None`` where it does not say when it was made."""
    if not voucher.real_date:
        return None
    return VoucherMark(voucher.operation_id, voucher.real_date, voucher.authorization_code, voucher.amount)


def judge(
    intent: Intent,
    reply: Reply,
    *,
    accepted: bool,
    acknowledged_before: bool,
    previous: Reply | None,
    unknown: Sequence[Intent],
) -> Verdict:
    """What ``reply``, received while ``intent`` waits, is to it.

    ``accepted``: the terminal has shown that it has the command. ``acknowledged_before``: it is one that acknowledges.
    ``previous`` is the last final reply, ``unknown`` the commands whose outcome nobody knows.
    """
    if reply.function_code != intent.command or not isinstance(reply, VoucherReply):
        return Verdict.OTHER
    if intent.ticket and reply.ticket and reply.ticket != intent.ticket:
        return Verdict.OTHER
    if _is_repeated(reply, previous, intent.baseline):
        return Verdict.OTHER
    own_ticket = _same_ticket(intent, reply)
    if not own_ticket and not accepted and acknowledged_before:
        # The terminal acknowledges first: what comes before that answers an earlier command.
        return Verdict.OTHER
    if not _amount_fits(intent, reply):
        return Verdict.DOUBT
    if not own_ticket and any(_could_be(other, reply) for other in unknown):
        return Verdict.DOUBT
    return Verdict.MINE


def recognise(intent: Intent, voucher: Reply, *, previous: Reply | None, unknown: Sequence[Intent]) -> bool:
    """Whether ``voucher``, received while ``intent`` is in doubt, is its result.

    It must fit the command and be newer than what the terminal had recorded before it, or bear a ticket that no other
    command has.
    """
    if not isinstance(voucher, VoucherReply) or voucher.function_code not in (_LAST_VOUCHER, intent.command):
        return False
    if intent.ticket and voucher.ticket and voucher.ticket != intent.ticket:
        return False
    if _is_repeated(voucher, previous, intent.baseline):
        return False
    own_ticket = _same_ticket(intent, voucher)
    if not voucher.approved:
        return own_ticket and voucher.function_code == intent.command and _amount_fits(intent, voucher)
    # A void names no amount: only a record of a void can be its own.
    fits = voucher.function_code == intent.command if intent.amount is None else voucher.amount == intent.amount
    if not fits or (not own_ticket and any(_could_be(other, voucher) for other in unknown)):
        return False
    return _is_newer(voucher, intent.baseline) or (own_ticket and intent.ticket == generated_ticket(intent.intent_id))


def _same_ticket(intent: Intent, reply: VoucherReply) -> bool:
    return bool(intent.ticket) and reply.ticket == intent.ticket


def _amount_fits(intent: Intent, reply: VoucherReply) -> bool:
    if intent.amount is None:
        return True
    if reply.approved and isinstance(reply, _STATES_AMOUNT):
        return reply.amount == intent.amount
    return reply.amount in (None, intent.amount) or (reply.amount == 0 and not reply.approved)


def _could_be(other: Intent, reply: VoucherReply) -> bool:
    if reply.function_code not in (_LAST_VOUCHER, other.command) or (other.ticket and reply.ticket):
        return False
    if other.amount is None and other.reference and reply.operation_id:
        return str(reply.operation_id) == other.reference
    return other.amount is None or reply.amount in (None, 0, other.amount)


def _is_repeated(reply: VoucherReply, previous: Reply | None, baseline: VoucherMark | None) -> bool:
    """Whether it is a copy of what was received or recorded before. A bare refusal looks like any other and is none."""
    if not (reply.real_date or reply.operation_id or reply.authorization_code):
        return False
    return reply == previous or (baseline is not None and mark(reply) == baseline)


def _is_newer(voucher: VoucherReply, baseline: VoucherMark | None) -> bool:
    if baseline is None:
        return False
    if baseline == VoucherMark():
        return True
    if voucher.real_date and baseline.real_date and voucher.real_date != baseline.real_date:
        return voucher.real_date > baseline.real_date
    return bool(voucher.operation_id and baseline.operation_id) and (voucher.operation_id or 0) > (
        baseline.operation_id or 0
    )
