"""Whose reply is it: compares a reply or a recorded voucher with a payment command. Pure functions, no effects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from enum import Enum, auto
from typing import Any, cast

from ..masking import mask
from ..messages import (
    CATALOGUE,
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
from ..profiles import Profile
from .carrier import Candidate, Source
from .dates import compare_dates, read_date
from .intents import generated_ticket

__all__ = [
    "Circumstances",
    "Judgement",
    "Verdict",
    "belongs",
    "could_be_late",
    "has_own_ticket",
    "is_foreign",
    "is_nothing_new",
    "judge",
    "mark",
    "newest",
    "recognise",
    "recorded",
    "rivals",
    "said_ticket",
    "same_ticket",
    "settling",
    "shows_operation",
    "typed_reply",
]

_NOT_CHARGED = (IntentState.DECLINED, IntentState.NOT_SENT)
_TO_THE_SECOND = len("2026-01-01 12:00:00")

_OF_A_ROW = [item.name for item in fields(Voucher)]
_OF_A_REPLY = [item.name for item in fields(VoucherReply)]

_LEAST_CUT = 8
"""The fewest characters of a ticket that may be what is left of a longer one."""


class Verdict(Enum):
    """What a reply is to the command in progress."""

    MINE = auto()
    OTHER = auto()
    """It answers another command: the wait goes on."""
    DOUBT = auto()
    """It claims to answer this one, and cannot be believed."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """``why`` says what came and what did not fit; it is empty for a reply that is the command's."""

    verdict: Verdict
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What is known beside a command and a reply."""

    profile: Profile = Profile.INTEGRATED_POS
    others: Sequence[Intent] = ()
    """The other commands of the terminal that are unsettled or were settled lately, the latest last."""
    previous: Reply | None = None
    """The last final reply."""
    in_turn: bool = True
    """It came after the sign of receipt that this terminal always gives first."""
    asked: bool = False
    """A last voucher was asked for, and may still come."""
    names_ticket: bool | None = None
    """Whether this terminal's replies name the ticket of their command: then what has an empty one was not asked for by
    a register. ``None``: none was seen yet."""
    records_name_ticket: bool | None = None
    """Whether its records name tickets; ``None``: none was seen."""
    same_line: bool = True
    """The link has held since the command left, or names the terminal: nobody else can be there."""
    sent_after: str | None = None
    """The terminal's clock when the command left, or a little before."""
    told: VoucherMark | None = None
    """The last voucher that the terminal told before the command left; it may have lost it since."""
    awaited: bool = True
    """Its caller has waited for the command ever since it left."""


# ----------------------------------------------------------------------------------------------------- what is the same


def said_ticket(ticket: str | None) -> str | None:
    """A ticket as it can be compared; ``None`` for the ways in which firmware writes that there is none."""
    plain = (ticket or "").strip().upper()
    return (plain.lstrip("0") or None) if plain.isdigit() else plain or None


def same_ticket(own: str | None, told: str | None) -> bool | None:
    """Whether ``told`` is the ticket ``own``; ``None`` where it does not say, or may be what is left of it."""
    mine, theirs = said_ticket(own), said_ticket(told)
    if mine is None or theirs is None:
        return None
    if mine == theirs:
        return True
    return None if len(theirs) >= _LEAST_CUT and mine.startswith(theirs) else False


def is_foreign(intent: Intent, reply: Reply | Voucher) -> bool:
    """Whether the reply, or the record, is of another terminal than the one that the command was sent to."""
    told = getattr(reply, "terminal_id", None)
    if told and told.strip() and intent.terminal_id:
        return bool(told.strip().upper() != intent.terminal_id.strip().upper())
    commerce = getattr(reply, "commerce_code", None)
    return bool(commerce and intent.commerce_code and commerce != intent.commerce_code)


def mark(voucher: VoucherReply, *, fresh: bool = False) -> VoucherMark | None:
    """What tells this voucher from others; ``None`` where it says neither when it was made nor its number.

    What refers to another operation may name that one's number in place of its own.
    """
    made = _identity(voucher)
    numbered = CATALOGUE.facts(voucher.function_code).refers_to is None
    return replace(made, fresh=fresh) if made.real_date or (numbered and made.operation_id) else None


# -------------------------------------------------------------------------------------------------- while it is awaited


def judge(intent: Intent, reply: Reply, known: Circumstances) -> Judgement:
    """What ``reply``, received while ``intent`` waits, is to it."""
    other = Judgement(Verdict.OTHER, "a reply to another command")
    if not _is_of(reply, intent, known.profile):
        return other
    if not isinstance(reply, VoucherReply):
        # A command of which nothing is known: only the order of messages can tell.
        return Judgement(Verdict.MINE) if known.in_turn else other
    named = same_ticket(intent.ticket, reply.ticket)
    if _is_repeated(reply, intent, known) or any(
        named is False and same_ticket(one.ticket, reply.ticket) for one in known.others
    ):
        return other
    own = has_own_ticket(intent, reply, known.others) or _names_own_reference(intent, reply, known)
    if not own and not known.in_turn:
        # The terminal acknowledges first: what comes before that answers an earlier command.
        return other
    why = _misfit(intent, reply, known, own=own)
    if not why and not own:
        if known.asked:
            why = "it could be the last voucher that was asked for"
        elif any(one.state is IntentState.UNKNOWN and _fits(one, reply, known) for one in known.others):
            why = "it could be of another command, whose outcome is unknown"
        elif not reply.approved and any(_is_unheard(one) and _fits(one, reply, known) for one in known.others[-1:]):
            why = "it could be of the command before, to which nothing was answered"
    return Judgement(Verdict.DOUBT if why else Verdict.MINE, why)


def _is_unheard(other: Intent) -> bool:
    """Whether it was settled because nothing was recorded: the answer to it may still come."""
    return other.state is IntentState.DECLINED and other.found == "recovery" and other.reply is None


def _misfit(intent: Intent, reply: VoucherReply, known: Circumstances, *, own: bool, is_record: bool = False) -> str:
    """What in a reply under the command's own code speaks against believing it."""
    if is_foreign(intent, reply):
        return _another_terminal(intent, reply)
    if same_ticket(intent.ticket, reply.ticket) is False:
        return f"the reply is for ticket {reply.ticket}, and {intent.ticket} was asked for"
    if not _amount_fits(intent, reply, known.profile, own=own, is_record=is_record):
        return f"the reply is of {reply.amount}, and {intent.amount} was asked for"
    if reply.response_code in known.profile.doubtful_codes:
        return (
            f"the terminal answered {reply.response_code} ({reply.response_message or 'no message'}), which does not "
            "say whether the card was charged"
        )
    if reply.response_code == 0 and not reply.approved and getattr(reply, "success", None) is None:
        return "the terminal answered with a Success that is neither true nor false"
    return ""


# -------------------------------------------------------------------------------------------------------- after a doubt


def recognise(intent: Intent, voucher: Reply, known: Circumstances, *, direct: bool = False) -> str:
    """Why ``voucher``, received while ``intent`` is in doubt, is not surely its result; empty where it is.

    An approval must fit the command, be no other command's, and be newer than what the terminal had recorded before it
    or bear a ticket that the library made. A refusal must bear the command's own ticket. ``direct``: it cannot be the
    answer to a query for the last voucher.
    """
    own_code = _is_of(voucher, intent, known.profile)
    if not isinstance(voucher, VoucherReply) or not (own_code or voucher.function_code == LastVoucher.code):
        return f"the last voucher is of function code {voucher.function_code}"
    named = same_ticket(intent.ticket, voucher.ticket)
    if named is False:
        return f"the last voucher is for ticket {voucher.ticket}, and {intent.ticket} was asked for"
    own_ticket = has_own_ticket(intent, voucher, known.others)
    own = own_ticket or _names_own_reference(intent, voucher, known)
    if is_foreign(intent, voucher):
        return _another_terminal(intent, voucher)
    if not voucher.approved:
        if voucher.response_code in known.profile.empty_codes:
            return "the terminal has no voucher"
        if own_ticket and own_code:
            return _misfit(intent, voucher, known, own=own)
        return f"the terminal does not tell its last voucher ({voucher.response_code})"
    if _is_repeated(voucher, intent, known):
        return "the last voucher was there before"
    if own_code or intent.amount is not None:
        why = _misfit(intent, voucher, known, own=own, is_record=True) or _contradiction(intent, voucher, known)
    else:
        # A void names no amount: only a record of a void can be its own.
        why = f"the last voucher is of function code {voucher.function_code}"
    if why:
        return why
    if not own and any(_could_be(one, voucher, known) for one in known.others):
        return "the last voucher could be of another command"
    if own_ticket and (direct or intent.ticket == generated_ticket(intent.intent_id)):
        return ""
    if intent.ticket and named is None and _was_keyed_in(voucher, known):
        return "the last voucher has no ticket where this terminal may name one: it may have been keyed in by hand"
    if not own and not known.awaited:
        return "the last voucher names no ticket, and may have been made since the command's caller is gone"
    if not own and intent.terminal_id is None and not known.same_line:
        return "the terminal had told nothing of itself before, and the link was lost: another one may be there"
    return _not_newer(voucher, intent.baseline, own=own, known=known)


def _was_keyed_in(voucher: VoucherReply, known: Circumstances) -> bool:
    if said_ticket(voucher.ticket) is not None:
        return False
    return known.records_name_ticket is True or (voucher.ticket is not None and known.names_ticket is not False)


def _contradiction(intent: Intent, voucher: VoucherReply, known: Circumstances) -> str:
    """What the voucher of a void says of the operation, where that cannot be the one that was asked for.

    Firmware names there the operation that was annulled, or the void's own number, which is above all before it.
    """
    by_id = known.profile.catalogue.facts(intent.command).refers_to is Reference.OPERATION_ID
    if not by_id or not voucher.operation_id:
        return ""
    before = intent.baseline.operation_id if intent.baseline is not None else None
    if str(voucher.operation_id) == intent.reference or voucher.operation_id > max(
        int(intent.reference or 0), before or 0
    ):
        return ""
    return f"the last voucher annuls operation {voucher.operation_id}, and {intent.reference} was asked for"


def _not_newer(voucher: VoucherReply, baseline: VoucherMark | None, *, own: bool, known: Circumstances) -> str:
    """Why the voucher was not surely made after ``baseline``. What names the command may be of the same second."""
    if baseline is None:
        return "it is not known which voucher was the last one before"
    if not own and not baseline.fresh:
        return "the last voucher names no ticket, and others may have been made since the terminal was last asked"
    made = read_date(voucher.real_date)
    if not own and (compare_dates(made, known.sent_after) or 0) < 0:
        return "the last voucher was made before the command left"
    if baseline == VoucherMark():
        return ""
    order = compare_dates(made, baseline.real_date)
    if order:
        return "" if order > 0 else "the last voucher is older than the one before"
    if voucher.operation_id and baseline.operation_id:
        return "" if voucher.operation_id > baseline.operation_id else "the last voucher was there before"
    return "" if own and order == 0 else "it is not known whether the last voucher was there before"


def belongs(intent: Intent, candidate: Candidate, known: Circumstances) -> str:
    """Why ``candidate`` is not surely the result of ``intent``, which is in doubt; empty where it is."""
    if candidate.source is not Source.NUMBER:
        return recognise(intent, candidate.reply, known, direct=candidate.source is Source.REPLY)
    others = rivals(intent, candidate.reply, known.others, named=candidate.named)
    judgement = judge(intent, candidate.reply, replace(known, others=others))
    return "" if judgement.verdict is Verdict.MINE else judgement.why


def settling(intent: Intent, candidates: Sequence[Candidate], known: Circumstances) -> tuple[Candidate | None, str]:
    """The one of ``candidates`` that is the result of ``intent``; else ``None`` and why none surely is."""
    told = [(one, belongs(intent, one, known)) for one in candidates]
    fitting = [one for one, why in told if not why]
    own = [one for one in fitting if has_own_ticket(intent, cast("VoucherReply", one.reply), known.others)]
    fitting = own or fitting
    if len(fitting) == 1:
        return fitting[0], ""
    if fitting:
        return None, f"{len(fitting)} records could be the command's"
    return None, next((why for _, why in reversed(told)), "")


def rivals(intent: Intent, reply: Reply, others: Sequence[Intent], *, named: bool) -> Sequence[Intent]:
    """Of ``others`` those whose reply it may be. ``named``: a cloud says that it is the one to ``intent``.

    A cloud was not told what became of those of unknown outcome. But it may hand on what the terminal says late of one
    of them: it is not believed for a refusal, nor for an approval without the ticket, where vouchers name it.
    """
    if not named or not reply.approved or intent.ticket is not None:
        return others
    return [other for other in others if other.state is not IntentState.UNKNOWN]


# -------------------------------------------------------------------------------------------------------------- details


def _another_terminal(intent: Intent, reply: Reply) -> str:
    told = getattr(reply, "terminal_id", None) or getattr(reply, "commerce_code", None)
    return f"another terminal answers, {told}; the command was sent to {intent.terminal_id or intent.commerce_code}"


def _is_of(reply: Reply, intent: Intent, profile: Profile) -> bool:
    """Whether the reply bears the function code of the command, or that under which the terminal records it."""
    return reply.function_code in (intent.command, profile.catalogue.facts(intent.command).recorded_as)


def has_own_ticket(intent: Intent, reply: VoucherReply, others: Sequence[Intent]) -> bool:
    """Whether the reply bears the command's ticket, and is of no other command that has the same one.

    A card that was declined is tried again under the same ticket: an approval is not of the command that was declined.
    """
    return same_ticket(intent.ticket, reply.ticket) is True and not any(
        same_ticket(other.ticket, reply.ticket) and not (reply.approved and other.state in _NOT_CHARGED)
        for other in others
    )


def _names_own_reference(intent: Intent, reply: VoucherReply, known: Circumstances) -> bool:
    """Whether the reply names what the command refers to, and no other command refers to it."""
    if intent.reference is None:
        return False
    by_id = known.profile.catalogue.facts(intent.command).refers_to is Reference.OPERATION_ID
    named = str(reply.operation_id) if by_id else reply.authorization_code
    return named == intent.reference and all(other.reference != intent.reference for other in known.others)


def _amount_fits(intent: Intent, reply: VoucherReply, profile: Profile, *, own: bool, is_record: bool) -> bool:
    """Whether it is the amount that was asked for, or that and what the customer added at the terminal.

    A reply to the command itself may leave it out where it refuses, or where its kind does not state it.
    """
    if intent.amount is None:
        return True
    added = (reply.tip or 0) + (reply.cashback or 0)
    if own and reply.approved and reply.amount == intent.amount + added:
        return True
    if is_record or (reply.approved and profile.catalogue.facts(intent.command).states_amount):
        return reply.amount == intent.amount
    return reply.amount in (None, intent.amount) or (reply.amount == 0 and not reply.approved)


def _fits(other: Intent, reply: VoucherReply, known: Circumstances) -> bool:
    """Whether nothing in the reply speaks against its being of ``other``."""
    facts = known.profile.catalogue.facts
    # What is kept under one code may come under another that is recorded as it.
    codes = (LastVoucher.code, facts(other.command).recorded_as)
    if facts(reply.function_code).recorded_as not in codes:
        return False
    if same_ticket(other.ticket, reply.ticket) is False or is_foreign(other, reply):
        return False
    return other.amount is None or reply.amount in (None, 0, other.amount)


def _could_be(other: Intent, reply: VoucherReply, known: Circumstances) -> bool:
    """Whether an approval may be the result of ``other``, as far as anyone knows."""
    if other.state in _NOT_CHARGED:
        return False
    if other.state is IntentState.APPROVED and _is_same(_result(other), _identity(reply)) is False:
        return False
    return _fits(other, reply, known)


def _is_repeated(reply: VoucherReply, intent: Intent, known: Circumstances) -> bool:
    """Whether it is a copy of what was received or recorded before. A bare refusal looks like any other and is none."""
    seen = _identity(reply)
    if not reply.approved or not (seen.real_date or seen.operation_id or seen.authorization_code):
        return False
    before = [one for one in (intent.baseline, known.told) if one is not None]
    if reply == known.previous or any(_is_same(one, seen) for one in before):
        return True
    # What bears the command's own ticket cannot be the voucher of a command that had another.
    own = same_ticket(intent.ticket, reply.ticket) is True
    refers = known.profile.catalogue.facts(intent.command).refers_to is not None
    if not own and not refers and intent.baseline is not None and _is_before(seen, intent.baseline):
        return True
    return any(
        other.state is IntentState.APPROVED
        and _is_same(_result(other), seen)
        and not (own and same_ticket(other.ticket, reply.ticket) is False)
        for other in known.others
    )


def _is_before(one: VoucherMark, two: VoucherMark) -> bool:
    """Whether ``one`` is surely the older: by its date, unless its number says that the clock was set back."""
    if (compare_dates(one.real_date, two.real_date) or 0) >= 0:
        return False
    return not (one.operation_id and two.operation_id and one.operation_id > two.operation_id)


def _identity(voucher: VoucherReply) -> VoucherMark:
    # Firmware writes "nothing" as 0 and as an empty text too.
    code = voucher.function_code
    return VoucherMark(
        operation_id=voucher.operation_id or None,
        real_date=read_date(voucher.real_date),
        authorization_code=mask(voucher.authorization_code or "") or None,
        amount=voucher.amount,
        function_code=None if code == LastVoucher.code else CATALOGUE.facts(code).recorded_as,
    )


def _result(intent: Intent) -> VoucherMark:
    return VoucherMark(
        operation_id=intent.operation_id or None,
        real_date=intent.real_date,
        authorization_code=intent.authorization_code or None,
        amount=None,
        function_code=CATALOGUE.facts(intent.command).recorded_as,
    )


def _is_same(one: VoucherMark, two: VoucherMark) -> bool | None:
    """Whether two marks are of one operation; ``None`` where they do not say enough."""
    pairs = [
        (one.function_code, two.function_code),
        (one.amount, two.amount),
        (one.operation_id, two.operation_id),
    ]
    dates, codes = compare_dates(one.real_date, two.real_date), _is_same_code(one, two)
    both = [None not in pair for pair in pairs]
    if dates or codes is False or any(said and pair[0] != pair[1] for said, pair in zip(both, pairs, strict=True)):
        return False
    return True if both[2] or codes or dates == 0 else None


def _is_same_code(one: VoucherMark, two: VoucherMark) -> bool | None:
    """Whether the authorization codes are the same; ``None`` where one is missing or of an earlier operation."""
    if one.authorization_code is None or two.authorization_code is None:
        return None
    same = one.authorization_code == two.authorization_code
    refers = any(code is None or CATALOGUE.facts(code).refers_to for code in (one.function_code, two.function_code))
    return None if same and refers else same


# -------------------------------------------------------------------------------------------------- what was recorded


def recorded(reply: Reply) -> list[Reply]:
    """The operations that the answer to a query for records tells of: the rows of details, or the voucher itself."""
    return [_voucher(row) for row in reply.sale_details] if isinstance(reply, DetailsReply) else [reply]


def _voucher(row: Voucher) -> VoucherReply:
    code = LastVoucher.code if row.function_code is None else row.function_code
    kind = CATALOGUE.reply_types.get(code, LastVoucherReply)
    values = {name: getattr(row, name) for name in _OF_A_ROW}
    values.update(function_code=code, response_code=0 if row.response_code is None else row.response_code)
    return (kind if issubclass(kind, VoucherReply) else LastVoucherReply)(**values)


def newest(reply: Reply, profile: Profile) -> VoucherMark | None:
    """The mark of the last operation that ``reply``, asked for just now, tells of: an empty one where it tells of none;
    ``None`` where that is not certain.
    """
    if isinstance(reply, DetailsReply):
        return _newest_row(reply)
    if reply.approved:
        return mark(reply, fresh=True) if isinstance(reply, VoucherReply) else None
    if reply.response_code in profile.empty_codes and not shows_operation(reply):
        return VoucherMark(fresh=True)
    return None


def is_nothing_new(last: VoucherMark | None, intent: Intent, others: Sequence[Intent]) -> bool:
    """Whether the terminal's last voucher is surely of an operation before the command, or there still is none."""
    if last is None or last == VoucherMark():
        # Where there was one before, or nobody knows, the batch may have been closed since.
        return last is not None and intent.baseline == last
    before = [_result(other) for other in others if other.state is IntentState.APPROVED]
    return any(_is_surely(one, last, intent) for one in (*before, intent.baseline) if one is not None)


def _is_surely(one: VoucherMark, last: VoucherMark, intent: Intent) -> bool:
    """Whether two marks are of one operation, and ``last`` cannot be that of ``intent``.

    A minute alone does not do, for two operations may be of one; and firmware names in the record of a void the
    operation that was annulled. But no terminal carries out two operations with one authorization code in one second.
    """
    if _is_same(one, last) is not True:
        return False
    code, second = last.authorization_code, len(last.real_date or "") >= _TO_THE_SECOND
    if second and code is not None and one.authorization_code == code and one.real_date == last.real_date:
        return True
    if last.function_code is None and intent.reference in (str(last.operation_id), code):
        return False
    return (one.operation_id is not None and one.operation_id == last.operation_id) or _is_same_code(one, last) is True


def could_be_late(reply: Reply, command: Command[Any], known: Circumstances) -> bool:
    """Whether what answers ``command``, a query for records, may be the late reply to a command of unknown outcome."""
    return (
        isinstance(reply, VoucherReply)
        and reply.function_code != command.code
        and any((one.open or one.state is IntentState.UNKNOWN) and _could_be(one, reply, known) for one in known.others)
    )


def shows_operation(reply: Reply) -> bool:
    return isinstance(reply, VoucherReply) and bool(reply.real_date or reply.operation_id or reply.amount)


def _newest_row(details: DetailsReply) -> VoucherMark | None:
    if not details.approved or details.details_text is not None or "saleDetails" in details.extra:
        return None
    marks = [mark(cast("VoucherReply", row), fresh=True) for row in recorded(details)]
    dated = [one for one in marks if one is not None]
    if len(dated) != len(marks):
        return None
    return max(dated, key=lambda one: (one.real_date or "", one.operation_id or 0), default=VoucherMark(fresh=True))


def typed_reply(command: Command[Any] | None, reply: Reply) -> Reply:
    """``reply`` as the reply of ``command``, also where it was found in the terminal's records."""
    if command is None or reply.function_code == command.code or not isinstance(reply, VoucherReply):
        return reply
    kind = command.reply_type
    if not issubclass(kind, VoucherReply):
        return reply
    values = {name: getattr(reply, name) for name in _OF_A_REPLY}
    return kind(**{**values, "function_code": command.code})
