"""Whose reply is it: compares a reply or a recorded voucher with a money command. Pure functions, no effects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from enum import Enum, auto
from typing import Any, cast

from ..masking import mask
from ..messages import (
    CATALOGUE,
    Catalogue,
    Command,
    DetailsReply,
    Intent,
    IntentState,
    LastVoucher,
    LastVoucherReply,
    Reference,
    Reply,
    Voucher,
    VoucherMark,
    VoucherReply,
)
from .carrier import Candidate, Source
from .intents import generated_ticket, read_date

__all__ = ["Verdict", "has_own_ticket", "judge", "mark", "newest", "recognise", "recorded", "settling",
           "shows_operation", "typed_reply", "without_unknown"]  # fmt: skip

_LAST_VOUCHER = LastVoucher.code


class Verdict(Enum):
    """What a reply is to the command in progress."""

    MINE = auto()
    OTHER = auto()
    """It answers another command: the wait goes on."""
    DOUBT = auto()
    """It claims to answer this one, and cannot be believed."""


def mark(voucher: VoucherReply) -> VoucherMark | None:
    """What tells this voucher from others; ``None`` where it does not say when it was made."""
    return None if read_date(voucher.real_date) is None else _identity(voucher)


def judge(
    intent: Intent,
    reply: Reply,
    *,
    others: Sequence[Intent],
    previous: Reply | None = None,
    in_turn: bool = True,
    asked: bool = False,
    catalogue: Catalogue = CATALOGUE,
) -> Verdict:
    """What ``reply``, received while ``intent`` waits, is to it.

    ``others`` are the other commands of the terminal that are unsettled or were settled lately, ``previous`` is the
    last final reply. ``in_turn``: it came after the sign of receipt that this terminal always gives first. ``asked``: a
    last voucher was asked for, and may still come.
    """
    if not _is_of(reply, intent, catalogue):
        return Verdict.OTHER
    if not isinstance(reply, VoucherReply):
        # A command of which nothing is known: only the order of messages can tell.
        return Verdict.MINE if in_turn else Verdict.OTHER
    if intent.ticket and reply.ticket and reply.ticket != intent.ticket:
        return Verdict.OTHER
    if _is_repeated(reply, intent, others, previous):
        return Verdict.OTHER
    own = has_own_ticket(intent, reply, others) or _names_own_reference(intent, reply, others, catalogue)
    if not own and not in_turn:
        # The terminal acknowledges first: what comes before that answers an earlier command.
        return Verdict.OTHER
    if not _amount_fits(intent, reply, catalogue):
        return Verdict.DOUBT
    if not own and (
        asked or any(other.state is IntentState.UNKNOWN and _fits(other, reply, catalogue) for other in others)
    ):
        return Verdict.DOUBT
    return Verdict.MINE


def recognise(
    intent: Intent,
    voucher: Reply,
    *,
    others: Sequence[Intent],
    previous: Reply | None = None,
    direct: bool = False,
    catalogue: Catalogue = CATALOGUE,
) -> bool:
    """Whether ``voucher``, received while ``intent`` is in doubt, is its result.

    An approval must fit the command, be no other command's, and be newer than what the terminal had recorded before it
    or bear a ticket that the library made. A refusal must bear the command's own ticket. ``direct``: it cannot be the
    answer to a query for the last voucher.
    """
    own_code = _is_of(voucher, intent, catalogue)
    if not isinstance(voucher, VoucherReply) or not (own_code or voucher.function_code == _LAST_VOUCHER):
        return False
    if intent.ticket and voucher.ticket and voucher.ticket != intent.ticket:
        return False
    own_ticket = has_own_ticket(intent, voucher, others)
    if not voucher.approved:
        return own_ticket and own_code and _amount_fits(intent, voucher, catalogue)
    if _is_repeated(voucher, intent, others, previous):
        return False
    # A void names no amount: only a record of a void can be its own.
    fits = own_code if intent.amount is None else voucher.amount == intent.amount
    own = own_ticket or _names_own_reference(intent, voucher, others, catalogue)
    if not fits or (not own and any(_could_be(other, voucher, catalogue) for other in others)):
        return False
    if own_ticket and (direct or intent.ticket == generated_ticket(intent.intent_id)):
        return True
    return _is_newer(voucher, intent.baseline, own=own)


def settling(
    intent: Intent,
    candidates: Sequence[Candidate],
    *,
    others: Sequence[Intent],
    previous: Reply | None = None,
    catalogue: Catalogue = CATALOGUE,
) -> Candidate | None:
    """The one of ``candidates`` that is the result of ``intent``, which is in doubt; ``None`` where none surely is."""
    fitting = [one for one in candidates if _settles(intent, one, others, previous, catalogue)]
    own = [one for one in fitting if has_own_ticket(intent, cast("VoucherReply", one.reply), others)]
    fitting = own or fitting
    return fitting[0] if len(fitting) == 1 else None


def _settles(
    intent: Intent, candidate: Candidate, others: Sequence[Intent], previous: Reply | None, catalogue: Catalogue
) -> bool:
    if candidate.source is not Source.NUMBER:
        direct = candidate.source is Source.REPLY
        return recognise(intent, candidate.reply, others=others, previous=previous, direct=direct, catalogue=catalogue)
    verdict = judge(
        intent,
        candidate.reply,
        others=without_unknown(others) if candidate.named else others,
        previous=previous,
        catalogue=catalogue,
    )
    return verdict is Verdict.MINE


def without_unknown(others: Sequence[Intent]) -> list[Intent]:
    """``others``, where a reply is said to be of this command, and so cannot be that of one of unknown outcome."""
    return [other for other in others if other.state is not IntentState.UNKNOWN]


def _is_of(reply: Reply, intent: Intent, catalogue: Catalogue) -> bool:
    """Whether the reply bears the function code of the command, or that under which the terminal records it."""
    return reply.function_code in (intent.command, catalogue.facts(intent.command).recorded_as)


def has_own_ticket(intent: Intent, reply: VoucherReply, others: Sequence[Intent]) -> bool:
    """Whether the reply bears the command's ticket, and no other command has the same one."""
    own = bool(intent.ticket) and reply.ticket == intent.ticket
    return own and all(other.ticket != intent.ticket for other in others)


def _names_own_reference(intent: Intent, reply: VoucherReply, others: Sequence[Intent], catalogue: Catalogue) -> bool:
    """Whether the reply names what the command refers to, and no other command refers to it."""
    if intent.reference is None:
        return False
    by_id = catalogue.facts(intent.command).refers_to is Reference.OPERATION_ID
    named = str(reply.operation_id) if by_id else reply.authorization_code
    return named == intent.reference and all(other.reference != intent.reference for other in others)


def _amount_fits(intent: Intent, reply: VoucherReply, catalogue: Catalogue) -> bool:
    if intent.amount is None:
        return True
    if reply.approved and catalogue.facts(intent.command).states_amount:
        return reply.amount == intent.amount
    return reply.amount in (None, intent.amount) or (reply.amount == 0 and not reply.approved)


def _fits(other: Intent, reply: VoucherReply, catalogue: Catalogue) -> bool:
    """Whether nothing in the reply speaks against its being of ``other``."""
    if reply.function_code != _LAST_VOUCHER and not _is_of(reply, other, catalogue):
        return False
    if other.ticket and reply.ticket and other.ticket != reply.ticket:
        return False
    return other.amount is None or reply.amount in (None, 0, other.amount)


def _could_be(other: Intent, reply: VoucherReply, catalogue: Catalogue) -> bool:
    """Whether an approval may be the result of ``other``, as far as anyone knows."""
    if other.state in (IntentState.DECLINED, IntentState.NOT_SENT):
        return False
    if other.state is IntentState.APPROVED and _is_same(_result(other), _identity(reply)) is False:
        return False
    return _fits(other, reply, catalogue)


def _is_repeated(reply: VoucherReply, intent: Intent, others: Sequence[Intent], previous: Reply | None) -> bool:
    """Whether it is a copy of what was received or recorded before. A bare refusal looks like any other and is none."""
    seen = _identity(reply)
    if not reply.approved or not (seen.real_date or seen.operation_id or seen.authorization_code):
        return False
    if reply == previous or (intent.baseline is not None and _is_same(intent.baseline, seen)):
        return True
    return any(other.state is IntentState.APPROVED and _is_same(_result(other), seen) for other in others)


def _identity(voucher: VoucherReply) -> VoucherMark:
    # Firmware writes "nothing" as 0 and as an empty text too.
    return VoucherMark(
        operation_id=voucher.operation_id or None,
        real_date=read_date(voucher.real_date),
        authorization_code=mask(voucher.authorization_code or "") or None,
        amount=voucher.amount,
        function_code=None
        if voucher.function_code == _LAST_VOUCHER
        else CATALOGUE.facts(voucher.function_code).recorded_as,
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


# -------------------------------------------------------------------------------------------------- what was recorded


def recorded(reply: Reply) -> list[Reply]:
    """The operations that the answer to a query for records tells of: the rows of details, or the voucher itself."""
    return [_voucher(row) for row in reply.sale_details] if isinstance(reply, DetailsReply) else [reply]


def _voucher(row: Voucher) -> VoucherReply:
    code = _LAST_VOUCHER if row.function_code is None else row.function_code
    kind = CATALOGUE.reply_types.get(code, LastVoucherReply)
    values = {item.name: getattr(row, item.name) for item in fields(Voucher)}
    values.update(function_code=code, response_code=0 if row.response_code is None else row.response_code)
    return (kind if issubclass(kind, VoucherReply) else LastVoucherReply)(**values)


def newest(reply: Reply) -> VoucherMark | None:
    """The mark of the last operation that ``reply`` tells of: an empty one where it tells of none; ``None`` where that
    is not certain.
    """
    if isinstance(reply, DetailsReply):
        return _newest_row(reply)
    if reply.approved:
        return mark(reply) if isinstance(reply, VoucherReply) else None
    return None if shows_operation(reply) else VoucherMark()


def shows_operation(reply: Reply) -> bool:
    return isinstance(reply, VoucherReply) and bool(reply.real_date or reply.operation_id or reply.amount)


def _newest_row(details: DetailsReply) -> VoucherMark | None:
    if not details.approved or details.details_text is not None or "saleDetails" in details.extra:
        return None
    marks = [mark(cast("VoucherReply", row)) for row in recorded(details)]
    dated = [one for one in marks if one is not None]
    if len(dated) != len(marks):
        return None
    return max(dated, key=lambda one: (one.real_date or "", one.operation_id or 0), default=VoucherMark())


def typed_reply(command: Command[Any] | None, reply: Reply) -> Reply:
    """``reply`` as the reply of ``command``, also where it was found in the terminal's records."""
    if command is None or reply.function_code == command.code or not isinstance(reply, VoucherReply):
        return reply
    kind = command.reply_type
    if not issubclass(kind, VoucherReply):
        return reply
    values = {item.name: getattr(reply, item.name) for item in fields(VoucherReply)}
    return kind(**{**values, "function_code": command.code})
