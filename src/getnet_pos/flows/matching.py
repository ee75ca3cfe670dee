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
from ..messages.documents import command_name
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
"""The minimum length of a ticket that may be a truncated longer one."""


class Verdict(Enum):
    """Whether a reply answers the command in progress."""

    MINE = auto()
    OTHER = auto()
    """It answers another command: the wait goes on."""
    DOUBT = auto()
    """It claims to answer this one, but does not match."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """``why`` says what does not match; it is empty for a reply to the command."""

    verdict: Verdict
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What is known in addition to a command and a reply."""

    profile: Profile = Profile.INTEGRATED_POS
    others: Sequence[Intent] = ()
    """The other commands of the terminal that are unsettled or were settled recently, the latest last."""
    previous: Reply | None = None
    """The last final reply."""
    in_turn: bool = True
    """Whether it arrived after the acknowledgement that this terminal always sends first."""
    asked: bool = False
    """Whether a last voucher was queried and may still arrive."""
    names_ticket: bool | None = None
    """Whether this terminal's replies have the ticket of their command. A reply with an empty one does then not belong
    to a command of a register. ``None`` if none was seen yet."""
    records_name_ticket: bool | None = None
    """Whether its records have tickets; ``None`` if none was seen."""
    same_line: bool = True
    """Whether it must be the same terminal: the link has held since the command left, or identifies the terminal."""
    sent_after: str | None = None
    """A time of the terminal's clock at or shortly before the command left."""
    told: VoucherMark | None = None
    """The last voucher that the terminal returned before the command left; it may have lost it since."""
    awaited: bool = True
    """Whether the caller has waited ever since the command left."""


# ----------------------------------------------------------------------------------------------------- what is the same


def said_ticket(ticket: str | None) -> str | None:
    """A ticket in comparable form; ``None`` for all the ways in which firmware writes that there is none."""
    plain = (ticket or "").strip().upper()
    return (plain.lstrip("0") or None) if plain.isdigit() else plain or None


def same_ticket(own: str | None, told: str | None) -> bool | None:
    """Whether ``told`` is the ticket ``own``; ``None`` if one is missing, or ``told`` may be ``own`` truncated."""
    mine, theirs = said_ticket(own), said_ticket(told)
    if mine is None or theirs is None:
        return None
    if mine == theirs:
        return True
    return None if len(theirs) >= _LEAST_CUT and mine.startswith(theirs) else False


def is_foreign(intent: Intent, reply: Reply | Voucher) -> bool:
    """Whether the reply or record comes from a terminal other than the one that the command was sent to."""
    found = getattr(reply, "terminal_id", None)
    if found and found.strip() and intent.terminal_id:
        return bool(found.strip().upper() != intent.terminal_id.strip().upper())
    commerce = getattr(reply, "commerce_code", None)
    return bool(commerce and intent.commerce_code and commerce != intent.commerce_code)


def mark(voucher: VoucherReply, *, fresh: bool = False) -> VoucherMark | None:
    """The identity of this voucher; ``None`` if it has neither a date nor a number of its own.

    The voucher of a command that refers to another operation may have that operation's number instead of its own.
    """
    made = _identity(voucher)
    numbered = CATALOGUE.facts(voucher.function_code).refers_to is None
    return replace(made, fresh=fresh) if made.real_date or (numbered and made.operation_id) else None


# -------------------------------------------------------------------------------------------------- while it is awaited


def judge(intent: Intent, reply: Reply, known: Circumstances) -> Judgement:
    """Whether ``reply``, received while ``intent`` waits, answers it."""
    other = Judgement(Verdict.OTHER, "a reply to another command")
    if not _is_of(reply, intent, known.profile):
        return other
    if not isinstance(reply, VoucherReply):
        # An unknown command: only the order of messages can tell.
        return Judgement(Verdict.MINE) if known.in_turn else other
    named = same_ticket(intent.ticket, reply.ticket)
    if _is_repeated(reply, intent, known) or any(
        named is False and same_ticket(one.ticket, reply.ticket) for one in known.others
    ):
        return other
    own = has_own_ticket(intent, reply, known.others) or _names_own_reference(intent, reply, known)
    if not own and not known.in_turn:
        # The terminal acknowledges first: a reply before that answers an earlier command.
        return other
    why = _misfit(intent, reply, known, own=own)
    if not why and not own:
        if known.asked:
            why = "it could be the reply to the query for the last voucher"
        elif any(one.state is IntentState.UNKNOWN and _fits(one, reply, known) for one in known.others):
            why = "it could answer another command, whose outcome is unknown"
        elif not reply.approved and any(_is_unheard(one) and _fits(one, reply, known) for one in known.others[-1:]):
            why = "it could answer the previous command, which got no reply"
    return Judgement(Verdict.DOUBT if why else Verdict.MINE, why)


def _is_unheard(other: Intent) -> bool:
    """Whether it was settled because the terminal recorded nothing: its reply may still arrive."""
    return other.state is IntentState.DECLINED and other.found == "recovery" and other.reply is None


def _misfit(intent: Intent, reply: VoucherReply, known: Circumstances, *, own: bool, is_record: bool = False) -> str:
    """Why a reply with the command's own code does not match the command; empty if it does."""
    if is_foreign(intent, reply):
        return _another_terminal(intent, reply)
    if same_ticket(intent.ticket, reply.ticket) is False:
        return f"the reply has ticket {reply.ticket}, not {intent.ticket}"
    if not _amount_fits(intent, reply, known.profile, own=own, is_record=is_record):
        return f"the reply has the amount {reply.amount}, not {intent.amount}"
    if reply.response_code in known.profile.doubtful_codes:
        return (
            f"the terminal answered {reply.response_code} ({reply.response_message or 'no message'}), which leaves "
            "open whether the card was charged"
        )
    if reply.response_code == 0 and not reply.approved and getattr(reply, "success", None) is None:
        return "the reply's field Success is neither true nor false"
    return ""


# ------------------------------------------------------------------------------------------------------------- recovery


def recognise(intent: Intent, voucher: Reply, known: Circumstances, *, direct: bool = False) -> str:
    """Why ``voucher``, received during the recovery of ``intent``, is not certainly its result; empty if it is.

    An approval must match the command and no other command. It must also be newer than the last voucher before the
    command, or have a ticket that the library generated. A refusal must have the command's own ticket. ``direct``: it
    cannot be the answer to a query for the last voucher.
    """
    own_code = _is_of(voucher, intent, known.profile)
    if not isinstance(voucher, VoucherReply) or not (own_code or voucher.function_code == LastVoucher.code):
        return f"the last voucher is of another operation ({command_name(voucher.function_code)})"
    named = same_ticket(intent.ticket, voucher.ticket)
    if named is False:
        return f"the last voucher has ticket {voucher.ticket}, not {intent.ticket}"
    own_ticket = has_own_ticket(intent, voucher, known.others)
    own = own_ticket or _names_own_reference(intent, voucher, known)
    if is_foreign(intent, voucher):
        return _another_terminal(intent, voucher)
    if not voucher.approved:
        if voucher.response_code in known.profile.empty_codes:
            return "the terminal has no voucher"
        if own_ticket and own_code:
            return _misfit(intent, voucher, known, own=own)
        return f"the terminal did not return its last voucher ({voucher.response_code})"
    if _is_repeated(voucher, intent, known):
        return "the last voucher was already there before the command"
    if own_code or intent.amount is not None:
        why = _misfit(intent, voucher, known, own=own, is_record=True) or _contradiction(intent, voucher, known)
    else:
        # A void has no amount: only a record of a void can be its own.
        why = f"the last voucher does not say that it is of a {command_name(intent.command)}"
    if why:
        return why
    if not own and any(_could_be(one, voucher, known) for one in known.others):
        return "the last voucher could belong to another command"
    if own_ticket and (direct or intent.ticket == generated_ticket(intent.intent_id)):
        return ""
    if intent.ticket and named is None and _was_keyed_in(voucher, known):
        return "the last voucher has no ticket, although this terminal sends tickets: it may have been keyed in by hand"
    if not own and not known.awaited:
        return "the last voucher has no ticket, and may have been made after the command's caller was gone"
    if not own and intent.terminal_id is None and not known.same_line:
        return "the terminal's identity was unknown and the link was lost: another terminal may be connected"
    return _not_newer(voucher, intent.baseline, own=own, known=known)


def _was_keyed_in(voucher: VoucherReply, known: Circumstances) -> bool:
    if said_ticket(voucher.ticket) is not None:
        return False
    return known.records_name_ticket is True or (voucher.ticket is not None and known.names_ticket is not False)


def _contradiction(intent: Intent, voucher: VoucherReply, known: Circumstances) -> str:
    """Why the voucher of a void belongs to another void; empty if it may be this one's.

    Firmware writes there the number of the voided operation, or the void's own number, which is higher than all before.
    """
    by_id = known.profile.catalogue.facts(intent.command).refers_to is Reference.OPERATION_ID
    if not by_id or not voucher.operation_id:
        return ""
    before = intent.baseline.operation_id if intent.baseline is not None else None
    if str(voucher.operation_id) == intent.reference or voucher.operation_id > max(
        int(intent.reference or 0), before or 0
    ):
        return ""
    return f"the last voucher voids operation {voucher.operation_id}, not {intent.reference}"


def _not_newer(voucher: VoucherReply, baseline: VoucherMark | None, *, own: bool, known: Circumstances) -> str:
    """Why the voucher was not certainly made after ``baseline``. With the command's ticket, the same second will do."""
    if baseline is None:
        return "the terminal's last voucher before the command is unknown"
    if not own and not baseline.fresh:
        return "the last voucher has no ticket, and more vouchers may have been made since the last query"
    made = read_date(voucher.real_date)
    if not own and (compare_dates(made, known.sent_after) or 0) < 0:
        return "the last voucher was made before the command left"
    if baseline == VoucherMark():
        return ""
    order = compare_dates(made, baseline.real_date)
    if order:
        return "" if order > 0 else "the last voucher is older than the one before the command"
    if voucher.operation_id and baseline.operation_id:
        is_newer = voucher.operation_id > baseline.operation_id
        return "" if is_newer else "the last voucher was already there before the command"
    return "" if own and order == 0 else "the last voucher may have been there before the command"


def belongs(intent: Intent, candidate: Candidate, known: Circumstances) -> str:
    """Why ``candidate`` is not certainly the result of ``intent``; empty if it is."""
    if candidate.source is not Source.NUMBER:
        return recognise(intent, candidate.reply, known, direct=candidate.source is Source.REPLY)
    others = rivals(intent, candidate.reply, known.others, named=candidate.named)
    judgement = judge(intent, candidate.reply, replace(known, others=others))
    return "" if judgement.verdict is Verdict.MINE else judgement.why


def settling(intent: Intent, candidates: Sequence[Candidate], known: Circumstances) -> tuple[Candidate | None, str]:
    """The one of ``candidates`` that is the result of ``intent``; otherwise ``None`` and why none certainly is."""
    judged = [(one, belongs(intent, one, known)) for one in candidates]
    fitting = [one for one, why in judged if not why]
    own = [one for one in fitting if has_own_ticket(intent, cast("VoucherReply", one.reply), known.others)]
    fitting = own or fitting
    if len(fitting) == 1:
        return fitting[0], ""
    if fitting:
        return None, f"{len(fitting)} of the terminal's records could belong to the command"
    return None, next((why for _, why in reversed(judged)), "")


def rivals(intent: Intent, reply: Reply, others: Sequence[Intent], *, named: bool) -> Sequence[Intent]:
    """The commands in ``others`` that ``reply`` may answer. ``named``: the cloud says that it answers ``intent``.

    The cloud may pass on a late reply of the terminal to a command of unknown outcome. So it is not trusted for a
    refusal, nor for an approval without the ticket if vouchers have one.
    """
    if not named or not reply.approved or intent.ticket is not None:
        return others
    return [other for other in others if other.state is not IntentState.UNKNOWN]


# -------------------------------------------------------------------------------------------------------------- details


def _another_terminal(intent: Intent, reply: Reply) -> str:
    found = getattr(reply, "terminal_id", None) or getattr(reply, "commerce_code", None)
    sent_to = intent.terminal_id or intent.commerce_code
    return f"another terminal answers: {found}, but the command was sent to {sent_to}"


def _is_of(reply: Reply, intent: Intent, profile: Profile) -> bool:
    """Whether the reply has the function code of the command, or the one with which the terminal records it."""
    return reply.function_code in (intent.command, profile.catalogue.facts(intent.command).recorded_as)


def has_own_ticket(intent: Intent, reply: VoucherReply, others: Sequence[Intent]) -> bool:
    """Whether the reply has the command's ticket, and belongs to no other command with the same one.

    After a declined card the same ticket is tried again: an approval does not belong to the command that was declined.
    """
    return same_ticket(intent.ticket, reply.ticket) is True and not any(
        same_ticket(other.ticket, reply.ticket) and not (reply.approved and other.state in _NOT_CHARGED)
        for other in others
    )


def _names_own_reference(intent: Intent, reply: VoucherReply, known: Circumstances) -> bool:
    """Whether the reply has the reference of the command, and no other command has the same one."""
    if intent.reference is None:
        return False
    by_id = known.profile.catalogue.facts(intent.command).refers_to is Reference.OPERATION_ID
    named = str(reply.operation_id) if by_id else reply.authorization_code
    return named == intent.reference and all(other.reference != intent.reference for other in known.others)


def _amount_fits(intent: Intent, reply: VoucherReply, profile: Profile, *, own: bool, is_record: bool) -> bool:
    """Whether the amount is that of the command, plus a tip or cashback that the customer added at the terminal.

    A reply to the command itself may leave it out in a refusal, or if its type never states it.
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
    """Whether nothing in the reply shows that it does not belong to ``other``."""
    facts = known.profile.catalogue.facts
    # A command may be recorded with the code of another one.
    codes = (LastVoucher.code, facts(other.command).recorded_as)
    if facts(reply.function_code).recorded_as not in codes:
        return False
    if same_ticket(other.ticket, reply.ticket) is False or is_foreign(other, reply):
        return False
    return other.amount is None or reply.amount in (None, 0, other.amount)


def _could_be(other: Intent, reply: VoucherReply, known: Circumstances) -> bool:
    """Whether an approval may be the result of ``other``, as far as is known."""
    if other.state in _NOT_CHARGED:
        return False
    if other.state is IntentState.APPROVED and _is_same(_result(other), _identity(reply)) is False:
        return False
    return _fits(other, reply, known)


def _is_repeated(reply: VoucherReply, intent: Intent, known: Circumstances) -> bool:
    """Whether it is a copy of an earlier reply or record. Bare refusals all look alike and do not count."""
    seen = _identity(reply)
    if not reply.approved or not (seen.real_date or seen.operation_id or seen.authorization_code):
        return False
    before = [one for one in (intent.baseline, known.told) if one is not None]
    if reply == known.previous or any(_is_same(one, seen) for one in before):
        return True
    # A voucher with the command's own ticket cannot belong to a command with another one.
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
    """Whether ``one`` is certainly older: by its date, unless its number shows that the clock was set back."""
    if (compare_dates(one.real_date, two.real_date) or 0) >= 0:
        return False
    return not (one.operation_id and two.operation_id and one.operation_id > two.operation_id)


def _identity(voucher: VoucherReply) -> VoucherMark:
    # Firmware also writes 0 or an empty text for a missing value.
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
    """Whether two marks are of the same operation; ``None`` if they do not have enough in common."""
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
    """Whether the authorization codes are equal; ``None`` if one is missing or is that of an earlier operation."""
    if one.authorization_code is None or two.authorization_code is None:
        return None
    same = one.authorization_code == two.authorization_code
    refers = any(code is None or CATALOGUE.facts(code).refers_to for code in (one.function_code, two.function_code))
    return None if same and refers else same


# -------------------------------------------------------------------------------------------------- what was recorded


def recorded(reply: Reply) -> list[Reply]:
    """The operations in the reply to a query for records: the rows of a details report, or the voucher itself."""
    return [_voucher(row) for row in reply.sale_details] if isinstance(reply, DetailsReply) else [reply]


def _voucher(row: Voucher) -> VoucherReply:
    code = LastVoucher.code if row.function_code is None else row.function_code
    kind = CATALOGUE.reply_types.get(code, LastVoucherReply)
    values = {name: getattr(row, name) for name in _OF_A_ROW}
    values.update(function_code=code, response_code=0 if row.response_code is None else row.response_code)
    return (kind if issubclass(kind, VoucherReply) else LastVoucherReply)(**values)


def newest(reply: Reply, profile: Profile) -> VoucherMark | None:
    """The mark of the last operation in ``reply``, which was just queried: an empty mark if there is none, ``None`` if
    that is not certain.
    """
    if isinstance(reply, DetailsReply):
        return _newest_row(reply)
    if reply.approved:
        return mark(reply, fresh=True) if isinstance(reply, VoucherReply) else None
    if reply.response_code in profile.empty_codes and not shows_operation(reply):
        return VoucherMark(fresh=True)
    return None


def is_nothing_new(last: VoucherMark | None, intent: Intent, others: Sequence[Intent]) -> bool:
    """Whether the last voucher is certainly that of an operation before the command, or there still is none."""
    if last is None or last == VoucherMark():
        # If there was one before, or that is unknown, the batch may have been closed since.
        return last is not None and intent.baseline == last
    before = [_result(other) for other in others if other.state is IntentState.APPROVED]
    return any(_is_surely(one, last, intent) for one in (*before, intent.baseline) if one is not None)


def _is_surely(one: VoucherMark, last: VoucherMark, intent: Intent) -> bool:
    """Whether two marks are of the same operation, and ``last`` cannot be that of ``intent``.

    The same minute is not enough, because two operations may share one; and in the record of a void, firmware writes
    the operation that was voided. But no terminal makes two operations with one authorization code in one second.
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
    """Whether the reply to ``command``, a query for records, may be a late reply to a command of unknown outcome."""
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
    """``reply`` as the reply type of ``command``, even if it was found in the terminal's records."""
    if command is None or reply.function_code == command.code or not isinstance(reply, VoucherReply):
        return reply
    kind = command.reply_type
    if not issubclass(kind, VoucherReply):
        return reply
    values = {name: getattr(reply, name) for name in _OF_A_REPLY}
    return kind(**{**values, "function_code": command.code})
