"""Whose reply is it: compares a reply or a recorded voucher with a money command. Pure functions, no effects."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..messages import (
    CATALOGUE,
    Intent,
    IntentState,
    LastVoucher,
    Reference,
    Reply,
    VoucherMark,
    VoucherReply,
)
from .exchange import Verdict

__all__ = ["generated_ticket", "has_own_ticket", "judge", "mark", "read_date", "recognise"]

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}(:[0-9]{2})?")
"""Dates whose order is the order of their text."""


def generated_ticket(intent_id: str) -> str:
    """A ticket nobody else uses: ten upper-case hex characters, the form that terminals are known to take."""
    return intent_id.replace("-", "")[:10].upper()


def mark(voucher: VoucherReply) -> VoucherMark | None:
    """What tells this voucher from others; ``None`` where it does not say when it was made."""
    return None if read_date(voucher.real_date) is None else _identity(voucher)


def judge(
    intent: Intent,
    reply: Reply,
    *,
    accepted: bool,
    acknowledged_before: bool,
    others: Sequence[Intent],
    previous: Reply | None = None,
    asked: bool = False,
) -> Verdict:
    """What ``reply``, received while ``intent`` waits, is to it.

    ``accepted``: the terminal has shown that it has the command. ``acknowledged_before``: it is one that acknowledges.
    ``others`` are the other commands of the terminal that are unsettled or were settled lately, ``previous`` is the
    last final reply. ``asked``: a last voucher was asked for, and may still come.
    """
    if reply.function_code != intent.command:
        return Verdict.OTHER
    if not isinstance(reply, VoucherReply):
        # A command of which nothing is known: only the order of messages can tell.
        return Verdict.MINE if accepted or not acknowledged_before else Verdict.OTHER
    if intent.ticket and reply.ticket and reply.ticket != intent.ticket:
        return Verdict.OTHER
    if _is_repeated(reply, intent, others, previous):
        return Verdict.OTHER
    own = has_own_ticket(intent, reply, others) or _names_own_reference(intent, reply, others)
    if not own and not accepted and acknowledged_before:
        # The terminal acknowledges first: what comes before that answers an earlier command.
        return Verdict.OTHER
    if not _amount_fits(intent, reply):
        return Verdict.DOUBT
    if not own and (asked or any(other.state is IntentState.UNKNOWN and _fits(other, reply) for other in others)):
        return Verdict.DOUBT
    return Verdict.MINE


def recognise(
    intent: Intent, voucher: Reply, *, others: Sequence[Intent], previous: Reply | None = None, direct: bool = False
) -> bool:
    """Whether ``voucher``, received while ``intent`` is in doubt, is its result.

    An approval must fit the command, be no other command's, and be newer than what the terminal had recorded before it
    or bear a ticket that the library made. A refusal must bear the command's own ticket. ``direct``: it cannot be the
    answer to a question for the last voucher.
    """
    if not isinstance(voucher, VoucherReply) or not _is_told_as(voucher, intent):
        return False
    if intent.ticket and voucher.ticket and voucher.ticket != intent.ticket:
        return False
    own_ticket = has_own_ticket(intent, voucher, others)
    if not voucher.approved:
        return own_ticket and voucher.function_code != LastVoucher.code and _amount_fits(intent, voucher)
    if _is_repeated(voucher, intent, others, previous):
        return False
    # A void names no amount: only a record of a void can be its own.
    fits = voucher.function_code != LastVoucher.code if intent.amount is None else voucher.amount == intent.amount
    own = own_ticket or _names_own_reference(intent, voucher, others)
    if not fits or (not own and any(_could_be(other, voucher) for other in others)):
        return False
    if own_ticket and (direct or intent.ticket == generated_ticket(intent.intent_id)):
        return True
    return _is_newer(voucher, intent.baseline, own=own)


def has_own_ticket(intent: Intent, reply: VoucherReply, others: Sequence[Intent]) -> bool:
    """Whether the reply bears the command's ticket, and no other command has the same one."""
    own = bool(intent.ticket) and reply.ticket == intent.ticket
    return own and all(other.ticket != intent.ticket for other in others)


def _is_told_as(voucher: VoucherReply, intent: Intent) -> bool:
    """Whether its function code is one under which a terminal tells what became of the command."""
    return voucher.function_code in (LastVoucher.code, intent.command, CATALOGUE.facts(intent.command).recorded_as)


def _names_own_reference(intent: Intent, reply: VoucherReply, others: Sequence[Intent]) -> bool:
    """Whether the reply names what the command refers to, and no other command refers to it."""
    if intent.reference is None:
        return False
    by_number = CATALOGUE.facts(intent.command).refers_to is Reference.OPERATION_ID
    named = str(reply.operation_id) if by_number else reply.authorization_code
    return named == intent.reference and all(other.reference != intent.reference for other in others)


def _amount_fits(intent: Intent, reply: VoucherReply) -> bool:
    if intent.amount is None:
        return True
    if reply.approved and CATALOGUE.facts(intent.command).states_amount:
        return reply.amount == intent.amount
    return reply.amount in (None, intent.amount) or (reply.amount == 0 and not reply.approved)


def _fits(other: Intent, reply: VoucherReply) -> bool:
    """Whether nothing in the reply speaks against its being of ``other``."""
    if not _is_told_as(reply, other):
        return False
    if other.ticket and reply.ticket and other.ticket != reply.ticket:
        return False
    return other.amount is None or reply.amount in (None, 0, other.amount)


def _could_be(other: Intent, reply: VoucherReply) -> bool:
    """Whether an approval may be the result of ``other``, as far as anyone knows."""
    if other.state in (IntentState.DECLINED, IntentState.NOT_SENT):
        return False
    if other.state is IntentState.APPROVED and _is_same(_result(other), _identity(reply)) is False:
        return False
    return _fits(other, reply)


def _is_repeated(reply: VoucherReply, intent: Intent, others: Sequence[Intent], previous: Reply | None) -> bool:
    """Whether it is a copy of what was received or recorded before. A bare refusal looks like any other and is none."""
    seen = _identity(reply)
    if not reply.approved or not (seen.real_date or seen.operation_id or seen.authorization_code):
        return False
    if reply == previous or (intent.baseline is not None and _is_same(intent.baseline, seen)):
        return True
    return any(other.state is IntentState.APPROVED and _is_same(_result(other), seen) for other in others)


def _identity(voucher: VoucherReply) -> VoucherMark:
    code = voucher.function_code
    # Firmware writes "nothing" as 0 and as an empty text too.
    return VoucherMark(
        operation_id=voucher.operation_id or None,
        real_date=read_date(voucher.real_date),
        authorization_code=voucher.authorization_code or None,
        amount=voucher.amount,
        function_code=None if code == LastVoucher.code else CATALOGUE.facts(code).recorded_as,
    )


def _result(intent: Intent) -> VoucherMark:
    return VoucherMark(
        operation_id=intent.operation_id or None,
        real_date=intent.real_date,
        authorization_code=intent.authorization_code or None,
        amount=intent.amount,
        function_code=CATALOGUE.facts(intent.command).recorded_as,
    )


def _is_same(one: VoucherMark, two: VoucherMark) -> bool | None:
    """Whether two marks are of one operation; ``None`` where they do not say enough."""
    pairs = [
        (one.function_code, two.function_code),
        (one.amount, two.amount),
        (one.operation_id, two.operation_id),
        (one.real_date, two.real_date),
        (one.authorization_code, two.authorization_code),
    ]
    both = [None not in pair for pair in pairs]
    if any(said and pair[0] != pair[1] for said, pair in zip(both, pairs, strict=True)):
        return False
    return True if any(both[2:]) else None


def _is_newer(voucher: VoucherReply, baseline: VoucherMark | None, *, own: bool) -> bool:
    """Whether it was made after ``baseline``. What bears the command's own ticket may be of the same second."""
    if baseline is None:
        return False
    if baseline == VoucherMark():
        return True
    made, before = read_date(voucher.real_date), baseline.real_date
    if made and before and made != before:
        return made > before
    if voucher.operation_id and baseline.operation_id:
        return voucher.operation_id > baseline.operation_id
    return own and made is not None and made == before


def read_date(text: str | None) -> str | None:
    """``text`` if it is a date of which it can be said which of two is the later."""
    return text if text is not None and _DATE.fullmatch(text) else None
