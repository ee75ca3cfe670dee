"""Compares the register's journal with the terminal's record of the open batch. It does no I/O and settles nothing: a
payment command of unknown outcome is listed with the operations that may belong to it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from .errors import UnexpectedReply, UnsupportedOperation
from .flows.dates import compare_dates, read_date
from .flows.matching import is_foreign, said_ticket, same_ticket
from .messages import DetailsReply, Intent, IntentState, LastVoucher, Reference, Voucher
from .messages.declaring import Facts
from .profiles import Profile

__all__ = ["Pair", "Reconciliation", "Unresolved", "reconcile", "recorded_vouchers"]

_MOVED: Final = frozenset({IntentState.APPROVED, IntentState.RESOLVED_PAID})
_NOT_MOVED: Final = frozenset({IntentState.DECLINED, IntentState.NOT_SENT, IntentState.RESOLVED_NOT_PAID})


@dataclass(frozen=True, slots=True)
class Pair:
    """A payment command in the journal, and the operation in the terminal's record that belongs to it.

    Examples:
        >>> sale = pos.sale(25_000, ticket="A1234")
        >>> [pair] = pos.reconcile().matching
        >>> pair.intent.ticket, pair.voucher.amount, pair.differs
        ('A1234', 25000, ())
    """

    intent: Intent
    voucher: Voucher
    differs: tuple[str, ...] = ()
    """Which of ``state``, ``amount``, ``ticket`` and ``authorization_code`` differ."""


@dataclass(frozen=True, slots=True)
class Unresolved:
    """A payment command that is not settled, and the operations in the terminal's record that may belong to it.

    Examples:
        >>> from getnet_pos.reconciliation import reconcile
        >>> voucher = pos.sale(25_000, ticket="A1")
        >>> open_one = Intent(
        ...     intent_id="17", terminal="usb", command=100, amount=25_000, ticket="A1", state=IntentState.UNKNOWN
        ... )
        >>> [unresolved] = reconcile([open_one], [voucher]).unknown
        >>> unresolved.intent.intent_id, len(unresolved.vouchers)
        ('17', 1)
    """

    intent: Intent
    vouchers: tuple[Voucher, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """The result of comparing a journal with a terminal's record.

    Examples:
        >>> sale = pos.sale(25_000)
        >>> entry = terminal.key_in(9_000, terminal.now)
        >>> found = pos.reconcile()
        >>> len(found.matching), [voucher.amount for voucher in found.only_there], found.agrees
        (1, [9000], False)
    """

    matching: tuple[Pair, ...] = ()
    differing: tuple[Pair, ...] = ()
    only_here: tuple[Intent, ...] = ()
    """Paid according to the journal, but not in the terminal's record."""
    only_there: tuple[Voucher, ...] = ()
    """In the terminal's record, but not in this journal: keyed in on the terminal, or made by another register."""
    unknown: tuple[Unresolved, ...] = ()
    """Not settled. ``recover()`` queries the terminal about them once more; otherwise a person finds out what happened
    and records it with ``resolve()``."""
    batch_may_be_closed: bool = False
    """The record is empty, or begins after everything in ``only_here``: the batch may have been closed in between."""

    @property
    def agrees(self) -> bool:
        """Whether there is nothing for a person to check."""
        return not (self.differing or self.only_here or self.only_there or self.unknown)


def recorded_vouchers(details: DetailsReply, profile: Profile = Profile.INTEGRATED_POS) -> tuple[Voucher, ...]:
    """The operations in the reply to a details report (105); none if the terminal replies that it has none.

    Raises:
        UnsupportedOperation: they came over the simplified wire, as text whose format is not public.
        UnexpectedReply: the terminal refused the report, or its operations cannot be read.

    Examples:
        >>> from getnet_pos.reconciliation import recorded_vouchers
        >>> sale = pos.sale(25_000)
        >>> [voucher.amount for voucher in recorded_vouchers(pos.get_reports(ReportKind.DETAILS))]
        [25000]
    """
    if details.details_text is not None:
        raise UnsupportedOperation(
            "over the simplified wire the details report is text whose format is not public: compare it by hand"
        )
    if details.approved and not {"saleDetails", "SaleDetails"} & details.extra.keys():
        return details.sale_details
    if not details.approved and details.response_code in profile.empty_codes:
        return ()
    if details.approved:
        problem = "the operations in the terminal's details report cannot be read"
    else:
        problem = f"the terminal refused the details report ({details.response_code}: {details.response_message})"
    raise UnexpectedReply(f"{problem}: try again, or print the report on the terminal")


def reconcile(
    intents: Iterable[Intent],
    vouchers: Iterable[Voucher],
    *,
    earlier: Iterable[Intent] = (),
    profile: Profile = Profile.INTEGRATED_POS,
    tickets: bool = True,
) -> Reconciliation:
    """Compare the payment commands for a terminal with the operations in its record. Pass all pages of the record.

    ``earlier`` are the commands before the period: they may be in the record, but need not be. Pass ``tickets=False``
    if the record does not contain the register's tickets, as in Argentina's cloud.

    Examples:
        >>> from getnet_pos.reconciliation import reconcile
        >>> reconcile([], [pos.sale(25_000)]).only_there[0].amount
        25000
    """
    comparison = _Comparison(profile, tickets, _once(vouchers))
    return comparison.of(list(intents), list(earlier))


def _once(vouchers: Iterable[Voucher]) -> list[Voucher]:
    """Each operation once, even if two pages of a record overlap."""
    found: dict[object, Voucher] = {}
    for number, voucher in enumerate(vouchers):
        names = (voucher.operation_id or None, voucher.authorization_code or None, voucher.real_date or None)
        key = (*names, voucher.function_code, voucher.amount) if any(names) else number
        found.setdefault(key, voucher)
    return list(found.values())


@dataclass(frozen=True, slots=True)
class _Likeness:
    """How well a command and an operation agree: each attribute is ``None`` if one of the two lacks it."""

    code: bool | None
    operation: bool | None
    ticket: bool | None
    date: bool | None
    amount: bool | None

    @property
    def score(self) -> int:
        """The evidence that the operation belongs to the command; 0: it does not."""
        named = (self.code, self.operation, self.ticket, self.date)
        more = named.count(True) - named.count(False)
        if more <= 0 or not (self.code or self.operation or self.ticket or self.amount):
            return 0
        # The amount decides between operations that are otherwise equally likely.
        return 2 * more + (self.amount is not False)


class _Comparison:
    """A terminal's record, and which of its operations are matched so far."""

    def __init__(self, profile: Profile, tickets: bool, vouchers: list[Voucher]) -> None:
        self._profile = profile
        self._tickets = tickets
        self._vouchers = vouchers
        self._dates = [read_date(voucher.real_date) for voucher in vouchers]
        self._left = dict.fromkeys(range(len(vouchers)))
        """The indexes of the unmatched operations, in order."""

    def of(self, intents: list[Intent], earlier: list[Intent]) -> Reconciliation:
        moved = [intent for intent in (*earlier, *intents) if intent.state in _MOVED]
        pairs = self._pairs(moved)
        names_tickets = any(
            same_ticket(pair.intent.ticket, pair.voucher.ticket) and pair.intent.reference is None for pair in pairs
        )
        open_ones = [one for one in (*earlier, *intents) if one.state not in _MOVED | _NOT_MOVED]
        could_be = [
            (one, [place for place in self._left if self._could_be(one, place, names_tickets)]) for one in open_ones
        ]
        for place in {place for _, places in could_be for place in places}:
            del self._left[place]
        pairs += self._pairs([intent for intent in (*earlier, *intents) if intent.state in _NOT_MOVED])
        found = {pair.intent.intent_id for pair in pairs}
        missed = [one for one in intents if one.state in _MOVED and one.intent_id not in found]
        voided = _voided_together(missed, self._profile)
        only_here = tuple(one for one in missed if one.intent_id not in voided)
        return Reconciliation(
            matching=tuple(pair for pair in pairs if not pair.differs),
            differing=tuple(pair for pair in pairs if pair.differs),
            only_here=only_here,
            only_there=tuple(self._vouchers[place] for place in self._left if _is_approved(self._vouchers[place])),
            unknown=tuple(
                Unresolved(one, tuple(self._vouchers[place] for place in places)) for one, places in could_be
            ),
            batch_may_be_closed=self._may_be_closed(only_here),
        )

    # ------------------------------------------------------------------------------------------------------- the same

    def _pairs(self, intents: Sequence[Intent]) -> list[Pair]:
        """Match commands with operations, the likeliest pairs first."""
        by_name: dict[object, list[int]] = defaultdict(list)
        for place in self._left:
            for name in self._names(place):
                by_name[name].append(place)
        likely: list[tuple[int, int, int]] = []
        for number, intent in enumerate(intents):
            places = {place for name in self._names_of(intent) for place in by_name.get(name, ())}
            for place in places:
                likeness = self._likeness(intent, place)
                if likeness is not None and likeness.score > 0:
                    likely.append((-likeness.score, number, place))
        pairs: dict[int, Pair] = {}
        for _, number, place in sorted(likely):
            if number not in pairs and place in self._left:
                del self._left[place]
                pairs[number] = self._pair(intents[number], place)
        return [pairs[number] for number in sorted(pairs)]

    def _names(self, place: int) -> Iterator[object]:
        """The keys under which an operation can be found."""
        voucher, made = self._vouchers[place], self._dates[place]
        yield "code", (voucher.authorization_code or "").strip() or None
        yield "operation", voucher.operation_id or None
        yield "ticket", said_ticket(voucher.ticket)
        yield "minute", made and made[:16], voucher.amount

    def _names_of(self, intent: Intent) -> Iterator[object]:
        facts, reference = self._facts(intent.command), intent.reference
        by_id = facts.refers_to is Reference.OPERATION_ID
        names = [
            ("code", intent.authorization_code or None),
            ("operation", intent.operation_id or None),
            ("operation", int(reference) if by_id and reference else None),
            ("code", reference if not by_id else None),
            ("ticket", said_ticket(intent.ticket) if self._tickets else None),
        ]
        yield from (name for name in names if name[1] is not None)
        if intent.real_date is not None:
            yield "minute", intent.real_date[:16], intent.amount

    def _likeness(self, intent: Intent, place: int) -> _Likeness | None:
        """How well the two agree; ``None`` if they are of different kinds or from different terminals."""
        voucher = self._vouchers[place]
        facts = self._facts(intent.command)
        if not self._is_of(facts, voucher) or is_foreign(intent, voucher):
            return None
        refers = facts.refers_to is not None
        operations = {intent.operation_id} - {None, 0}
        codes = {intent.authorization_code} - {None, ""}
        if facts.refers_to is Reference.OPERATION_ID and intent.reference:
            operations.add(int(intent.reference))
        elif refers and intent.reference:
            codes.add(intent.reference)
        code = (voucher.authorization_code or "").strip()
        ticket = same_ticket(intent.ticket, voucher.ticket) if self._tickets else None
        date = compare_dates(intent.real_date, self._dates[place])
        return _Likeness(
            # A void or refund may have its own number and code, or those of the operation that it refers to.
            code=_among(code, codes, may_differ=refers),
            operation=_among(voucher.operation_id or None, operations, may_differ=refers),
            ticket=ticket,
            date=None if date is None else date == 0,
            amount=_amount_fits(intent, voucher),
        )

    def _pair(self, intent: Intent, place: int) -> Pair:
        voucher = self._vouchers[place]
        likeness = self._likeness(intent, place)
        assert likeness is not None
        said = {
            "state": (intent.state in _MOVED) == _is_approved(voucher),
            "amount": likeness.amount,
            "ticket": likeness.ticket,
            "authorization_code": likeness.code,
        }
        return Pair(intent, voucher, tuple(name for name, fits in said.items() if fits is False))

    def _facts(self, code: int | None) -> Facts:
        return self._profile.catalogue.facts(code or 0)

    def _is_of(self, facts: Facts, voucher: Voucher) -> bool:
        """Whether an operation may be of this kind of command; some firmware records all operations under one code."""
        if voucher.function_code in (None, LastVoucher.code):
            return True
        return self._facts(voucher.function_code).recorded_as == facts.recorded_as

    # ------------------------------------------------------------------------------------------------------ not settled

    def _could_be(self, intent: Intent, place: int, names_tickets: bool) -> bool:
        """Whether nothing rules out that an operation belongs to this command."""
        voucher = self._vouchers[place]
        likeness = self._likeness(intent, place)
        if likeness is None or not _is_approved(voucher):
            return False
        if False in (likeness.amount, likeness.ticket, likeness.operation, likeness.code):
            return False
        if likeness.ticket:
            return True
        keyed_in = names_tickets and intent.ticket is not None and said_ticket(voucher.ticket) is None
        return not (keyed_in or self._is_older(intent, place))

    def _is_older(self, intent: Intent, place: int) -> bool:
        """Whether the operation was certainly made before the command was sent."""
        before = intent.baseline
        if before is None:
            return False
        order = compare_dates(self._dates[place], before.real_date)
        if order:
            return order < 0
        number = self._vouchers[place].operation_id
        return bool(number and before.operation_id and number <= before.operation_id)

    def _may_be_closed(self, only_here: Sequence[Intent]) -> bool:
        if not only_here or not self._vouchers:
            return bool(only_here)
        first = min((made for made in self._dates if made is not None), default=None)
        number = min((one.operation_id for one in self._vouchers if one.operation_id), default=0)
        orders = ((compare_dates(one.real_date, first), one.operation_id or number) for one in only_here)
        return all(order < 0 if order else own < number for order, own in orders)


def _among(value: object, known: Collection[object], *, may_differ: bool) -> bool | None:
    if not value or not known:
        return None
    return True if value in known else None if may_differ else False


def _amount_fits(intent: Intent, voucher: Voucher) -> bool | None:
    """Whether the amount is the requested one, or that plus what the customer added at the terminal."""
    if intent.amount is None or voucher.amount is None:
        return None
    return voucher.amount - intent.amount in (0, (voucher.tip or 0) + (voucher.cashback or 0))


def _is_approved(voucher: Voucher) -> bool:
    return voucher.response_code in (None, 0)


def _voided_together(missed: Iterable[Intent], profile: Profile) -> set[str]:
    """The voided sales and their voids: some terminals then remove both from their record."""
    by_operation = {str(one.operation_id): one for one in missed if one.operation_id and one.reference is None}
    gone: set[str] = set()
    for one in missed:
        if profile.catalogue.facts(one.command).refers_to is Reference.OPERATION_ID and one.reference in by_operation:
            gone |= {one.intent_id, by_operation[one.reference].intent_id}
    return gone
