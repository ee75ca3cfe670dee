"""The payment machine: a payment command is recorded before its first byte, sent once, and queried if its outcome is
unknown, over any carrier. All the code that changes the state of a payment is here (docs/reliability.md).
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast

from ..errors import (
    AlreadyCharged,
    ApiError,
    DeadlineExceeded,
    Disconnected,
    GetnetError,
    InvalidValue,
    JournalError,
    LifecycleError,
    NotAccepted,
    OutcomeUnknown,
    ProtocolError,
    TerminalBusy,
    TransportError,
    UnexpectedReply,
)
from ..logs import about, logger
from ..masking import mask
from ..messages import (
    OPEN_STATES,
    REMEMBERED,
    Command,
    GetTransaction,
    HowFound,
    Intent,
    IntentState,
    LastVoucher,
    Poll,
    Polled,
    PollReply,
    Recovery,
    Reply,
    Search,
    Step,
    VoucherMark,
    VoucherReply,
    same_terminal,
)
from .carrier import (
    NO_TERMS,
    Attempt,
    Candidate,
    Carrier,
    Found,
    Heard,
    Limits,
    Refused,
    Sent,
    Source,
    Terms,
    may_have_left,
    may_leave_until,
)
from .dates import read_date
from .effects import Claim, Flow, Lease, Now, Random, Recall, Record, Sleep, Unsettled, WallClock
from .intents import charged_advice, is_repetition, is_same_command, new_intent, outcome_advice, restored, settled
from .matching import (
    Circumstances,
    Verdict,
    could_be_late,
    has_own_ticket,
    is_nothing_new,
    judge,
    mark,
    newest,
    recognise,
    recorded,
    rivals,
    said_ticket,
    settling,
    typed_reply,
)

__all__ = ["Till", "ask", "greet", "pay", "polling", "recover_all"]

log = logger("getnet_pos.payment")

R = TypeVar("R", bound=Reply)

_RECONNECT = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
_ASK_AGAIN = ((1.0, math.inf), (2.0, 10.0), (3.0, 10.0), (0.0, 0.0))
"""After each refusal: the pause before the next query, and the time after which there is none; in seconds."""
_LONGEST_REASON = 400
_PAID = frozenset({IntentState.APPROVED, IntentState.RESOLVED_PAID})
_LOOKING = 0.05
_A_SECOND = 1.1
"""Seconds after which any clock shows a different second."""
_LONGEST_PAUSE = 0.2
"""The longest pause, in seconds, between two checks whether another process still uses the terminal."""
_LOOKED_AT = 16
"""The maximum number of unsettled commands of other terminals that a poll returns."""
_INTRODUCTIONS = 2
"""How many times a terminal is asked for its identity: one answer may be lost."""
_UNRECORDED = "the terminal has recorded no operation since the command was sent"


@dataclass(slots=True)
class Till:
    """The machine's knowledge of one terminal: its carrier, its names, its last voucher, its behaviour."""

    carrier: Carrier
    terminal: str
    """The name of its address, as in the journal."""
    terminal_id: str | None = None
    commerce_code: int | None = None
    """With ``terminal_id``, the identity that the terminal at this address last sent."""
    baseline: VoucherMark | None = None
    """The terminal's last voucher; ``None`` if unknown: it is then queried before a payment."""
    told: VoucherMark | None = None
    """The last voucher that the terminal returned to a query; it may have lost that voucher since."""
    known_on: int | None = None
    """The opening of the link on which all this was learned."""
    introduced_on: int | None = None
    """The opening of the link on which the terminal was asked for its identity."""
    is_fresh: bool = False
    """Whether the baseline was queried since the payment in progress began."""
    tells_records: bool = True
    """Whether the terminal returned its last voucher when last queried; a single failure is taken as temporary."""
    asked_in_vain: bool = False
    """Whether the terminal does not return its last voucher: it is not queried again before the next poll."""
    names_ticket: bool | None = None
    """Whether the replies of this terminal have the ticket of their command; ``None`` if none was seen."""
    records_name_ticket: bool | None = None
    """Whether its last voucher has had a ticket; ``None`` if none was seen."""
    clock: tuple[datetime, float] | None = None
    """A time that the terminal's clock had reached, by its vouchers, and our clock at that moment."""
    previous: Reply | None = None
    """The last final reply, to recognise a copy of it."""
    unrecorded: Intent | None = None
    """The last final state that was returned to a caller but could not be written to the journal."""
    known: list[Step] = field(default_factory=list)
    """The commands in the journal that matter to this terminal, as last read."""
    current: str | None = None
    """The intent in progress: its replies belong to its own flow."""
    pending: set[str] = field(default_factory=set)
    """The intents that were unsettled when the journal was last read, and whose outcome no caller has received."""
    sent_on: int | None = None
    """The opening of the link on which the last command left."""
    keep: object = None
    """This host's right to the terminal, held until the connector is closed."""
    sent_after: str | None = None
    """A time of the terminal's clock at or shortly before the last command left."""

    def keep_for(self, lease: Lease) -> None:
        """Hold the terminal for this host. Forget what is known of it if another host may have used it since."""
        if lease.keep is not self.keep:
            self.keep = lease.keep
            self.baseline = self.told = self.previous = None

    @contextlib.contextmanager
    def settling(self, intent: Intent) -> Iterator[None]:
        """Mark ``intent`` as the one whose flow receives its replies."""
        self.current = intent.intent_id
        try:
            yield
        finally:
            self.current = None

    @property
    def search(self) -> Search:
        """The names by which the intents of this terminal are searched for."""
        return Search(
            terminal=self.terminal,
            terminal_id=self.terminal_id,
            commerce_code=self.commerce_code,
            device=self.carrier.device,
        )

    def own(self) -> list[Intent]:
        """The commands of this terminal that are unsettled or were settled recently."""
        search = self.search
        return [step.intent for step in self.known if same_terminal(step.intent, search)]

    def others(self, intent: Intent) -> list[Intent]:
        return [other for other in self.own() if other.intent_id != intent.intent_id]

    def settled_now(self) -> tuple[Intent, ...]:
        """The commands that were settled since the last call of this, other than by the call that sent them."""
        done = tuple(
            intent
            for intent in self.own()
            if intent.intent_id in self.pending and not _is_pending(intent) and intent.found != "call"
        )
        self.pending = {intent.intent_id for intent in self.own() if _is_pending(intent)}
        return done

    def comparable(self, intent: Intent) -> Intent:
        """``intent`` without its ticket if vouchers of this carrier do not have it."""
        return intent if intent.ticket is None or self.carrier.vouchers_name_ticket else replace(intent, ticket=None)

    def circumstances(self, intent: Intent, *, is_awaited: bool = False) -> Circumstances:
        """``is_awaited``: the caller of ``intent``, the last command that left, still waits for it."""
        line = self.carrier.line
        return Circumstances(
            profile=self.carrier.profile,
            others=self.others(intent),
            previous=self.previous,
            names_ticket=self.names_ticket,
            records_name_ticket=self.records_name_ticket,
            same_line=line is None or (is_awaited and line == self.sent_on),
            sent_after=self.sent_after if is_awaited else None,
            told=self.told if is_awaited else None,
            awaited=is_awaited,
        )

    def clock_at(self, now: float) -> str | None:
        """A lower bound of the terminal's clock at ``now``."""
        if self.clock is None:
            return None
        then, at = self.clock
        return (then + timedelta(seconds=now - at)).isoformat(sep=" ", timespec="seconds")

    def recognise_line(self) -> None:
        """Forget what is known of the terminal if the cable may have been plugged into another one since."""
        line = self.carrier.line
        if self.carrier.is_pluggable and line != self.known_on:
            self.terminal_id = self.commerce_code = self.names_ticket = self.records_name_ticket = self.clock = None
            self.baseline = self.told = None
        self.known_on = line

    def learn(self, reply: Reply, now: float, *, is_record: bool = False) -> None:
        """Learn from ``reply``, received at ``now``, about the terminal itself."""
        if not isinstance(reply, VoucherReply) or not reply.approved:
            return
        self.recognise_line()
        terminal_id = (reply.terminal_id or "").strip() or None
        if terminal_id and terminal_id != self.terminal_id:
            # A different terminal than before.
            self.terminal_id, self.commerce_code = terminal_id, None
            self.names_ticket = self.records_name_ticket = self.clock = self.told = None
        self.commerce_code = self.commerce_code or reply.commerce_code or None
        made = _to_the_second(reply)
        if made is not None and (self.clock_at(now) or "") < str(made):
            self.clock = made, now
        if is_record:
            self.records_name_ticket = self.records_name_ticket or said_ticket(reply.ticket) is not None


# -------------------------------------------------------------------------------------------------------------- queries


def ask(
    till: Till,
    command: Command[R],
    timeout: float | None = None,
    *,
    urgent: bool = False,
    terms: Terms = NO_TERMS,
) -> Flow[R]:
    """Run a command that is not a payment and return its reply.

    A query that changes nothing is repeated once: on a new link if the old one broke, or with the other date format if
    the terminal refused it.

    Raises:
        TransportError: the link failed, or the deadline passed.
        ProtocolError: the terminal refused the command, or its reply cannot be used.
        ApiError: the cloud refused the command.
    """
    carrier = till.carrier
    if not carrier.is_open:
        yield from carrier.open()
    try:
        return (yield from _asked(till, command, timeout, urgent, terms))
    except (Disconnected, NotAccepted) as error:
        if not command.changes_nothing or not carrier.may_ask_again(error):
            raise
        log.info("repeating command %d: %s", command.code, error)
        if isinstance(error, Disconnected):
            yield from carrier.close(error)
            yield from carrier.open()
    try:
        return (yield from _asked(till, command, timeout, urgent, terms))
    except NotAccepted:
        carrier.write_dates_as_before()
        raise


def _asked(till: Till, command: Command[R], timeout: float | None, urgent: bool, terms: Terms) -> Flow[R]:
    carrier = till.carrier
    yield from _clear(till)
    attempt = yield from carrier.attempt(command, carrier.limits(command, timeout), urgent=urgent, terms=terms)
    try:
        yield from attempt.reserve()
        event = yield from attempt.submit()
        while not isinstance(event, Heard) or not _answers(till, command, event.reply):
            if isinstance(event, Heard):
                yield from _handle_late(till, event.reply)
            event = yield from attempt.next_event()
        if event.after_damage and event.reply.function_code != command.code:
            yield from _handle_late(till, event.reply)
            raise UnexpectedReply(
                f"the reply to command {command.code} was damaged, and the next one may answer an earlier command: try "
                "again"
            )
    finally:
        attempt.release()
    yield from carrier.confirm(final=True)
    return cast("R", event.reply)


def _answers(till: Till, command: Command[Any], reply: Reply) -> bool:
    """Whether ``reply`` answers ``command``. A last voucher or a transaction may have another function code."""
    catalogue = till.carrier.profile.catalogue
    kind = catalogue.kind(command.code) or type(command)
    if issubclass(kind, LastVoucher):
        return reply.function_code in catalogue.voucher_codes
    return reply.function_code == command.code or issubclass(kind, GetTransaction)


def _clear(till: Till) -> Flow[bool]:
    """Read what arrived since the last command. Returns whether the link had been lost and was opened again."""
    reopened = False
    try:
        late = yield from till.carrier.clear()
    except Disconnected as error:
        log.info("the link was lost since the last command (%s): opening it again", error)
        yield from till.carrier.close(error)
        yield from till.carrier.open()
        reopened = True
        late = yield from till.carrier.clear()
    for reply in late:
        yield from _handle_late(till, reply)
    return reopened


def greet(till: Till, timeout: float | None = None) -> Flow[PollReply]:
    """Open the link if necessary and ask whether the terminal is ready."""
    reply = yield from ask(till, till.carrier.greeting, timeout)
    if isinstance(reply, PollReply):
        return reply
    return PollReply(function_code=Poll.code, response_code=0, connected=True, extra=reply.extra)


def polling(till: Till) -> Flow[Polled]:
    """Poll, learn the terminal's identity and last voucher, and settle what an earlier run left open."""
    try:
        reply = yield from greet(till)
    except (Disconnected, DeadlineExceeded, UnexpectedReply) as error:
        # Only now does a link show that it was lost while idle. And right after plugging in, terminals are known to
        # answer the first poll with an error of their own.
        if till.carrier.echoes or (isinstance(error, DeadlineExceeded) and not till.carrier.is_silent):
            raise
        log.warning("the first poll failed (%s): opening the link again", error)
        yield from till.carrier.close(error)
        reply = yield from greet(till)
    recovery = Recovery()
    if not _is_ready(reply):
        yield from _know(till)
        if any(intent.open and intent.transaction_id for intent in till.own()):
            # It may be busy with a command that an earlier run left open, which a cloud can be queried about.
            recovery = yield from recover_all(till)
            reply = yield from greet(till)
    if _is_ready(reply):
        till.asked_in_vain = False
        recovery = yield from recover_all(till, again=True)
    values = {name: getattr(reply, name) for name in PollReply.__dataclass_fields__}
    return Polled(
        **values,
        settled=recovery.settled,
        unknown=tuple(recovery),
        in_progress=recovery.in_progress,
        elsewhere=recovery.elsewhere,
        another_terminal=recovery.another_terminal,
    )


def _is_ready(reply: PollReply) -> bool:
    return reply.approved and reply.connected is not False


def _learn_baseline(till: Till, longest: float = math.inf) -> Flow[list[Reply]]:
    """Query the terminal's last voucher, so that a newer one can be recognised. Returns the records it sent.

    It is no error if the terminal does not return one. If it did so before, it may be busy: it is queried up to three
    more times if it refuses quickly. No query takes longer than ``longest`` seconds.
    """
    till.is_fresh, in_vain, begun = False, False, (yield Now())
    for pause, within in _ASK_AGAIN:
        try:
            return (yield from _asked_for_records(till, longest))
        except (TransportError, ProtocolError, ApiError) as error:
            if isinstance(error, TransportError) and not isinstance(error, DeadlineExceeded):
                yield from till.carrier.close(error)
                if not till.carrier.is_open:
                    raise
            log.warning("the terminal did not return its last voucher: %s", error)
            # A damaged reply may arrive intact the next time.
            in_vain = isinstance(error, UnexpectedReply) or not isinstance(error, ProtocolError)
            late = isinstance(error, DeadlineExceeded)
        now: float = yield Now()
        if not till.tells_records or now - begun >= within:
            break
        if not late:
            yield Sleep(pause)
    till.tells_records, till.asked_in_vain = False, in_vain
    return []


def _asked_for_records(till: Till, longest: float) -> Flow[list[Reply]]:
    records: list[Reply] = []
    baseline: VoucherMark | None = None
    others = Circumstances(profile=till.carrier.profile, others=till.own())
    for command in till.carrier.records:
        reply = yield from ask(till, command, min(longest, till.carrier.limits(command, None).total))
        records = _recorded_in(reply)
        till.recognise_line()
        now: float = yield Now()
        for one in records:
            till.learn(one, now, is_record=True)
        baseline = newest(reply, till.carrier.profile)
        if baseline is not None and could_be_late(reply, command, others):
            baseline = replace(baseline, fresh=False)
        if baseline != VoucherMark():
            break
    if baseline is not None:
        till.baseline, till.is_fresh, till.tells_records = baseline, baseline.fresh, True
        till.told = till.told if baseline == VoucherMark() else baseline
    if till.terminal_id is None:
        yield from _introduce(till)
    return records


def _introduce(till: Till) -> Flow[str | None]:
    """Ask a terminal without a voucher for its identity, once on each link, to tell it from other terminals."""
    query, line = till.carrier.introduction, till.carrier.line
    if query is None:
        return None
    if till.introduced_on == line:
        return till.terminal_id
    till.introduced_on = line
    for _ in range(_INTRODUCTIONS):
        try:
            reply = yield from ask(till, query)
        except (DeadlineExceeded, ProtocolError) as error:
            log.info("the terminal did not return its identity: %s", error)
        else:
            till.recognise_line()
            till.terminal_id = (getattr(reply, "terminal_id", None) or "").strip() or None
            return till.terminal_id
    return None


def _recorded_in(reply: Reply) -> list[Reply]:
    """The operations in the reply to a query for records; none unless it is approved."""
    return recorded(reply) if reply.approved else []


# ------------------------------------------------------------------------------------------------------------- payments


def pay(
    till: Till,
    command: Command[R],
    intent_id: str,
    timeout: float | None = None,
    *,
    key: str | None = None,
    again: bool = False,
    terms: Terms = NO_TERMS,
) -> Flow[R]:
    """Run a payment command and return its final reply, after recording and then confirming it.

    With the ``key`` of an earlier command, its stored result is returned. ``again``: a second charge of the same ticket
    and amount is intended.

    Raises:
        OutcomeUnknown: money may have moved, and the terminal could not say.
        AlreadyCharged: an earlier command of the same ticket and amount was paid, and its caller may not know.
        ApiError: a cloud refused the command before it reached the terminal.
        JournalError: the command could not be recorded, and was not sent.
        TerminalBusy: another process used the terminal for all of ``Timeouts.busy``; nothing was sent.
        TransportError: not one byte of the command left.
    """
    carrier = till.carrier
    command = carrier.check(command, intent_id)
    carrier.rearm()
    lease: Lease | None = yield Claim(intent_id, till.terminal)
    if lease is None:
        raise TerminalBusy(f"{till.terminal} is busy: another host is using it; sell on that host, or try again later")
    try:
        till.keep_for(lease)
        return (yield from _paid(till, command, intent_id, timeout, lease, terms, key=key, again=again))
    finally:
        lease.release()


def _paid(
    till: Till,
    command: Command[R],
    intent_id: str,
    timeout: float | None,
    lease: Lease,
    terms: Terms,
    *,
    key: str | None,
    again: bool,
) -> Flow[R]:
    carrier = till.carrier
    till.is_fresh = False
    if not carrier.is_open or ((yield from _clear(till)) and carrier.is_pluggable):
        # After a lost link another terminal may be connected, or this one may not be ready.
        polled = yield from polling(till)
        if not _is_ready(polled):
            raise LifecycleError(f"the terminal is not ready ({polled.response_code}): polling() must succeed first")
    intent = replace(new_intent(command, intent_id, till.terminal), device=carrier.device, idempotency_key=key)
    began: float = yield Now()
    busy = carrier.timeouts.busy
    until = min(math.inf if busy is None else began + busy, terms.leave_by)
    quicker: str | None = None
    while True:
        stored = yield from _stored_or_free(till, intent, until)
        if stored is not None:
            return cast("R", typed_reply(command, stored))
        try:
            return (yield from _sent(till, command, intent, timeout, lease, terms, again=again))
        except JournalError as error:
            if error.intent_id in (None, quicker) or (yield Now()) >= until:
                raise
            # Another process was faster; nothing of this command is recorded.
            quicker = error.intent_id
            till.is_fresh = False


def _stored_or_free(till: Till, intent: Intent, until: float) -> Flow[Reply | None]:
    """The result of an earlier command with the same idempotency key; else ``None``, once the terminal is free.

    Raises:
        TerminalBusy: another process uses the terminal until ``until``, or runs a command that this one would repeat.
    """
    pause = _LOOKING
    while True:
        yield from _know(till, intent)
        in_progress = list[Intent]()
        if (yield from _settle_each(till, OPEN_STATES, in_progress)):
            yield from _know(till, intent)
        key = intent.idempotency_key
        is_its_own = key is not None and any(one.idempotency_key == key for one in in_progress)
        stored = None if is_its_own else _stored(till, intent)
        if stored is not None or not in_progress:
            return stored
        now: float = yield Now()
        repeats = any(is_repetition(intent, one) for one in in_progress) and not is_its_own
        if repeats or now >= until:
            raise TerminalBusy(
                f"{till.terminal} is busy: another process is running intent {in_progress[0].intent_id}; try again "
                "when it is over"
            )
        yield Sleep(min(pause, until - now))
        pause = min(2 * pause, _LONGEST_PAUSE)


def _sent(
    till: Till,
    command: Command[R],
    intent: Intent,
    timeout: float | None,
    lease: Lease,
    terms: Terms,
    *,
    again: bool,
) -> Flow[R]:
    carrier = till.carrier
    yield from _refuse_repetition(till, intent, again=again)
    yield from _tell_apart(till, intent)
    limits = carrier.limits(command, timeout)
    yield from _freshen_baseline(till, command, limits)
    if (yield from _clear(till)) and carrier.is_pluggable:
        gone = Disconnected(
            "nothing was sent: the cable was unplugged just before the command, and another terminal may be connected "
            "now; call polling()"
        )
        yield from carrier.close(gone)
        raise gone
    intent = replace(intent, baseline=till.baseline, terminal_id=till.terminal_id, commerce_code=till.commerce_code)
    attempt = yield from carrier.attempt(command, limits, intent, terms=terms)
    intent = replace(intent, frame_hash=hashlib.sha256(attempt.data).hexdigest())
    try:
        yield from attempt.reserve()
        with till.settling(intent):
            return cast("R", (yield from _recorded_and_sent(till, command, intent, attempt, limits, lease, terms)))
    finally:
        attempt.release()


def _stored(till: Till, intent: Intent) -> Reply | None:
    """The result of an earlier command with the same idempotency key."""
    if intent.idempotency_key is None:
        return None
    for step in reversed(till.known):
        other = step.intent
        if other.idempotency_key != intent.idempotency_key or other.state is IntentState.NOT_SENT:
            continue
        if not is_same_command(intent, other):
            raise InvalidValue(
                f"the idempotency key belongs to a different command (intent {other.intent_id}): use a new key for "
                "each command"
            )
        if other.state in (IntentState.APPROVED, IntentState.DECLINED):
            return restored(other, till.carrier.profile.catalogue)
        if other.state is IntentState.RESOLVED_PAID:
            raise _already_charged(till, step)
        if other.state is not IntentState.RESOLVED_NOT_PAID:
            raise _still_unknown(other)
    return None


def _refuse_repetition(till: Till, intent: Intent, *, again: bool) -> Flow[None]:
    """Refuse a command that may already have been charged, until a person has checked."""
    today: datetime = yield WallClock()
    for step in till.known:
        other = step.intent
        if not is_repetition(intent, other):
            continue
        if other.open or other.state in (IntentState.UNKNOWN, IntentState.CONTRADICTED):
            raise _still_unknown(other)
        received = other.state is IntentState.APPROVED and other.found in (None, "call")
        recent = today - datetime.fromisoformat(step.at) <= REMEMBERED
        if other.state in _PAID and not received and recent and not again:
            raise _already_charged(till, step)


def _tell_apart(till: Till, intent: Intent) -> Flow[None]:
    """Wait a second if the same ticket and amount was just paid at another address with this terminal's id.

    Terminals that share an id may use the same numbers: only the second of their time distinguishes the two vouchers.
    """
    today: datetime = yield WallClock()
    ages = [
        (today - datetime.fromisoformat(step.at)).total_seconds()
        for step in till.known
        if step.intent.terminal != till.terminal and step.intent.state in _PAID and is_repetition(intent, step.intent)
    ]
    left = _A_SECOND - min((age for age in ages if age >= 0), default=_A_SECOND)
    if left > 0:
        yield Sleep(left)


def _still_unknown(intent: Intent) -> OutcomeUnknown:
    return OutcomeUnknown(
        f"nothing was sent: an earlier payment with the same {'ticket' if intent.ticket else 'reference'} and amount "
        f"has no known outcome yet, and again=True (--again) does not apply to it; {outcome_advice(intent)}",
        intent_id=intent.intent_id,
        reason=intent.reason or "",
        is_earlier=True,
    )


def _already_charged(till: Till, step: Step) -> AlreadyCharged:
    intent = step.intent
    return AlreadyCharged(
        charged_advice(step),
        intent_id=intent.intent_id,
        reply=restored(intent, till.carrier.profile.catalogue),
        found=intent.found,
        at=step.at,
    )


def _freshen_baseline(till: Till, command: Command[Any], limits: Limits) -> Flow[None]:
    """Query the last voucher if recovery would need it.

    If vouchers have the ticket, the last reply or the poll is enough and nothing is queried; otherwise it must have
    been queried since the payment began.
    """
    if till.asked_in_vain:
        return
    named = getattr(command, "ticket", None) and till.carrier.vouchers_name_ticket
    by_ticket = named and (till.records_name_ticket or (till.records_name_ticket is None and till.names_ticket))
    if till.baseline is None or not (till.is_fresh or by_ticket):
        yield from _learn_baseline(till, limits.total)
    if till.baseline is not None:
        till.baseline = replace(till.baseline, fresh=till.baseline.fresh and till.is_fresh)


def _recorded_and_sent(
    till: Till, command: Command[Any], intent: Intent, attempt: Attempt, limits: Limits, lease: Lease, terms: Terms
) -> Flow[Reply]:
    now: float = yield Now()
    may_leave_until(None, now, terms)
    till.sent_after, till.sent_on = till.clock_at(now), till.carrier.line
    due, left = 0.0, False
    try:
        yield Record(intent)
        due, left = limits.total + (yield Now()), True
        event = yield from attempt.submit(intent, lease)
        till.sent_on = till.carrier.line
    except GetnetError as error:
        if not left:
            if not (isinstance(error, JournalError) and error.intent_id):
                # It may be in the journal after all, if only the database's answer was lost.
                till.unrecorded = replace(intent, state=IntentState.NOT_SENT)
            raise
        if not may_have_left(error):
            yield from _record(replace(intent, state=IntentState.NOT_SENT))
            yield from till.carrier.close(error)
            raise
        if isinstance(error, TransportError):
            intent = yield from _advance(intent, IntentState.SENT)
        return (yield from _recover(till, command, _numbered(till, intent, attempt), error, due))
    except GeneratorExit:
        raise
    except BaseException:
        # A cancelled task, or Ctrl-C. Before the first byte it is certain that nothing was charged.
        if not attempt.begun:
            yield from _record(replace(intent, state=IntentState.NOT_SENT))
        raise
    return (yield from _carried_out(till, command, intent, attempt, event, due, terms))


def _carried_out(
    till: Till, command: Command[Any], intent: Intent, attempt: Attempt, event: Any, due: float, terms: Terms
) -> Flow[Reply]:
    """Wait until a reply settles the command, or an error leaves its outcome unknown; it may run until ``due``."""
    cause: GetnetError
    try:
        _check_number(till, intent, attempt)
        while True:
            intent = _numbered(till, intent, attempt)
            if isinstance(event, Refused):
                break
            if isinstance(event, Heard):
                till.learn(event.reply, (yield Now()))
                if (yield from _is_result(till, intent, event)):
                    told = terms.listens()
                    return (yield from _finish(till, command, intent, event.reply, found="call", told=told))
            else:
                state = IntentState.SENT if isinstance(event, Sent) else IntentState.ACCEPTED
                intent = yield from _advance(intent, state)
            event = yield from attempt.next_event()
    except UnexpectedReply as error:
        # The command is over, whatever its outcome.
        cause, due = error, 0.0
    except (TransportError, ProtocolError, ApiError) as error:
        cause = error
    else:
        note = f"the cloud did not pass the command on: {type(event.error).__name__}"
        yield from _record(replace(intent, state=IntentState.DECLINED, note=note))
        raise event.error
    return (yield from _recover(till, command, intent, cause, due))


def _check_number(till: Till, intent: Intent, attempt: Attempt) -> None:
    """Refuse an answer with the number of an earlier transaction: the cloud has repeated an earlier answer."""
    if _is_repeated_number(till, intent, attempt):
        raise UnexpectedReply("the cloud answered with the transaction number of an earlier command")


def _is_repeated_number(till: Till, intent: Intent, attempt: Attempt) -> bool:
    number = attempt.transaction_id
    return number is not None and any(other.transaction_id == number for other in till.others(intent))


def _numbered(till: Till, intent: Intent, attempt: Attempt) -> Intent:
    number = None if _is_repeated_number(till, intent, attempt) else attempt.transaction_id
    return intent if number == intent.transaction_id else replace(intent, transaction_id=number)


def _is_result(till: Till, intent: Intent, heard: Heard) -> Flow[bool]:
    """Whether the reply answers the command. Raises ``UnexpectedReply`` if it claims to, but does not match."""
    known, comparable = till.circumstances(intent, is_awaited=True), till.comparable(intent)
    others = rivals(comparable, heard.reply, known.others, named=heard.named)
    judgement = judge(comparable, heard.reply, replace(known, others=others, in_turn=heard.in_turn, asked=heard.asked))
    if judgement.verdict is Verdict.DOUBT:
        yield from till.carrier.confirm()
        raise UnexpectedReply(f"the reply cannot be used as the result: {judgement.why}")
    if judgement.verdict is Verdict.OTHER:
        yield from _handle_late(till, heard.reply)
    return judgement.verdict is Verdict.MINE


def _finish(
    till: Till,
    command: Command[Any] | None,
    intent: Intent,
    reply: Reply,
    *,
    found: HowFound,
    newest: bool = True,
    confirmed: bool = False,
    told: bool = True,
) -> Flow[Reply]:
    """Record the result, then confirm it.

    ``newest``: the terminal has recorded nothing after it. ``told``: the original caller is still there to receive it;
    one who has left may send the same command again.
    """
    final = settled(intent, typed_reply(command, reply), found if told else "late reply")
    if intent.state in (IntentState.RESOLVED_PAID, IntentState.RESOLVED_NOT_PAID):
        final = replace(final, state=IntentState.CONTRADICTED)
    try:
        yield Record(final)
    except JournalError as error:
        # The caller gets the result; the terminal gets no confirmation, and is queried again before the next command.
        log.critical(
            "intent %s is %s, but the journal could not record it: %s",
            intent.intent_id,
            final.state,
            error,
            extra=about(final),
        )
        till.baseline, till.unrecorded = None, final
        return typed_reply(command, reply)
    till.previous = reply
    made = _to_the_second(reply)
    if newest and found == "call" and made is not None:
        # Even if it is earlier than before: the clock may have been set back.
        till.clock = made, (yield Now())
    if found == "call" and reply.approved and isinstance(reply, VoucherReply) and intent.ticket is not None:
        till.names_ticket = till.names_ticket or said_ticket(reply.ticket) is not None
    if not newest:
        till.baseline = None
    elif reply.approved:
        till.baseline = mark(reply) if isinstance(reply, VoucherReply) else None
    if not confirmed:
        yield from till.carrier.confirm(final=True)
    return typed_reply(command, reply)


def _to_the_second(reply: Reply) -> datetime | None:
    """When the operation in ``reply`` was made, by the terminal's clock; ``None`` unless it is given to the second."""
    made = read_date(getattr(reply, "real_date", None))
    return None if made is None or len(made) != len("2026-01-01 12:00:00") else datetime.fromisoformat(made)


def _advance(intent: Intent, state: IntentState, reason: str | None = None) -> Flow[Intent]:
    moved = replace(intent, state=state, reason=reason or intent.reason)
    yield from _record(moved)
    return moved


def _record(intent: Intent) -> Flow[None]:
    """Record a step of a command that has left. If that fails, the earlier step keeps the command open."""
    try:
        yield Record(intent)
    except JournalError as error:
        log.error(
            "state %s of intent %s could not be recorded: %s",
            intent.state,
            intent.intent_id,
            error,
            extra=about(intent),
        )


# --------------------------------------------------------------------------------------------------------- late replies


def _handle_late(till: Till, reply: Reply) -> Flow[None]:
    """Handle a late reply: let it settle the intent that it belongs to, or confirm and ignore it."""
    if not (yield from _settle_late(till, reply)):
        log.info(
            "ignoring a late reply with function code %d, response code %d, operation %s",
            reply.function_code,
            reply.response_code,
            getattr(reply, "operation_id", None),
        )
        yield from till.carrier.confirm()


def _settle_late(till: Till, reply: Reply, *, confirmed: bool = False) -> Flow[bool]:
    """Settle the intent that has the reply's ticket and that nobody waits for; ``False`` if there is none.

    If the reply contradicts a person's decision, the intent becomes CONTRADICTED.
    """
    if not isinstance(reply, VoucherReply) or said_ticket(reply.ticket) is None:
        return False
    try:
        yield from _know(till)
    except JournalError as error:
        log.error("cannot read the journal to find the command of a late reply: %s", error)
        return False
    for intent in till.own():
        if intent.intent_id == till.current or not _is_unsettled(intent, reply):
            continue
        comparable, known = till.comparable(intent), till.circumstances(intent)
        if has_own_ticket(comparable, reply, known.others) and not recognise(comparable, reply, known):
            lease: Lease | None = yield Claim(intent.intent_id, intent.terminal)
            if lease is None:
                return False
            try:
                log.warning("settled intent %s by a late reply", intent.intent_id, extra=about(intent))
                yield from _finish(till, None, intent, reply, found="late reply", confirmed=confirmed)
            finally:
                lease.release()
            yield from _know(till)
            return True
    return False


def _is_unsettled(intent: Intent, reply: Reply) -> bool:
    """Whether ``reply`` can still change the state of ``intent``."""
    if intent.state in (IntentState.RESOLVED_PAID, IntentState.RESOLVED_NOT_PAID):
        return reply.approved is not (intent.state is IntentState.RESOLVED_PAID)
    return intent.open or intent.state is IntentState.UNKNOWN


def _know(till: Till, intent: Intent | None = None) -> Flow[None]:
    """Read from the journal the commands of this terminal and, with ``intent``, those that it may repeat."""
    till.recognise_line()
    search = till.search
    if intent is not None:
        search = replace(search, ticket=intent.ticket, amount=intent.amount, idempotency_key=intent.idempotency_key)
    till.known = yield Recall(search)
    till.pending |= {one.intent_id for one in till.own() if _is_pending(one) and one.intent_id != till.current}


# ------------------------------------------------------------------------------------------------------------- recovery


def recover_all(till: Till, *, again: bool = False) -> Flow[Recovery]:
    """Query every command of this terminal that is still open. Returns what was settled, and what was not.

    ``again``: query those of unknown outcome once more, because the terminal may know more by now, and its last
    voucher.
    """
    before, records, in_progress = till.terminal_id, list[Reply](), list[Intent]()
    yield from _know(till)
    yield from _settle_each(till, OPEN_STATES, in_progress)
    if again:
        records = yield from _learn_baseline(till)
        # The terminal's own id is known now; it may have commands under another address.
        yield from _know(till)
        yield from _settle_each(till, OPEN_STATES, in_progress)
        yield from _settle_each(till, frozenset({IntentState.UNKNOWN}), in_progress, records)
    others: list[Intent] = []
    adopted: list[Intent] = []
    for step in (yield from _elsewhere(till)):
        found = yield from _adopted(till, step.intent, records)
        (others if found is None else adopted).append(found or step.intent)
    unknown = [intent for intent in till.own() if _is_pending(intent) and intent not in in_progress]
    return Recovery(
        unknown,
        settled=(*till.settled_now(), *adopted),
        in_progress=tuple(in_progress),
        elsewhere=tuple(others),
        another_terminal=_another_terminal(till, before),
    )


def _settle_each(
    till: Till, states: frozenset[IntentState], in_progress: list[Intent], records: Sequence[Reply] = ()
) -> Flow[bool]:
    """Query each command of this terminal in one of ``states``, unless a living process is running it.

    Returns whether anything was queried; ``till.known`` has then been read again.
    """
    asked = False
    skipped = {intent.intent_id for intent in in_progress}
    for intent_id in [intent.intent_id for intent in till.own() if intent.state in states]:
        # A late reply may have settled it in the meantime.
        intent = next(one for one in till.own() if one.intent_id == intent_id)
        if intent.state not in states or intent_id in skipped:
            continue
        lease: Lease | None = yield Claim(intent_id, intent.terminal)
        if lease is None:
            # Another process may only have checked whether it is locked.
            yield Sleep(_LOOKING)
            lease = yield Claim(intent_id, intent.terminal)
        if lease is None:
            in_progress.append(intent)
            continue
        asked = True
        try:
            if intent.terminal == till.terminal:
                till.keep_for(lease)
            # The previous holder may have settled it.
            yield from _know(till)
            still = [one for one in till.own() if one.intent_id == intent_id and one.state in states]
            if not still:
                continue
            [intent] = still
            with till.settling(intent):
                if intent.open and (yield from _is_recorded_now(till, intent)):
                    pass
                elif intent.open:
                    due = yield from _due(till, intent)
                    with contextlib.suppress(OutcomeUnknown):
                        yield from _recover(till, None, intent, None, due)
                else:
                    yield from _ask_again(till, intent, records)
        finally:
            lease.release()
        yield from _know(till)
    return asked


def _is_recorded_now(till: Till, intent: Intent) -> Flow[bool]:
    """Record the result that the journal could not take when the caller received it; whether that worked."""
    final = till.unrecorded
    if final is None or final.intent_id != intent.intent_id:
        return False
    try:
        yield Record(final)
    except JournalError as error:
        log.error("the result of intent %s still cannot be recorded: %s", intent.intent_id, error, extra=about(intent))
        return False
    till.unrecorded = None
    return True


def _is_pending(intent: Intent) -> bool:
    return intent.open or intent.state in (IntentState.UNKNOWN, IntentState.CONTRADICTED)


def _due(till: Till, intent: Intent) -> Flow[float]:
    """The time, on the monotonic clock, until which a command of an earlier run may still be running."""
    step = next(step for step in till.known if step.intent.intent_id == intent.intent_id)
    total = Limits.of(till.carrier.profile.catalogue.facts(intent.command), till.carrier.timeouts).total
    now: float = yield Now()
    today: datetime = yield WallClock()
    return now + min(max(total - (today - datetime.fromisoformat(step.at)).total_seconds(), 0.0), total)


def _elsewhere(till: Till) -> Flow[list[Step]]:
    """Unsettled commands of terminals with other names, without those that a living process is running."""
    unsettled: list[Step] = yield Unsettled(till.search, _LOOKED_AT)
    left: list[Step] = []
    for step in unsettled:
        lease: Lease | None = yield Claim(step.intent.intent_id)
        if lease is not None:
            lease.release()
            left.append(step)
    return left


def _adopted(till: Till, intent: Intent, records: Sequence[Reply]) -> Flow[Intent | None]:
    """Settle a command sent under another address, without a known terminal id, if a record here has its ticket."""
    if intent.terminal_id is not None:
        return None
    comparable, known = till.comparable(intent), till.circumstances(intent)
    for record in records:
        if not isinstance(record, VoucherReply) or not has_own_ticket(comparable, record, known.others):
            continue
        if recognise(comparable, record, known):
            continue
        lease: Lease | None = yield Claim(intent.intent_id, intent.terminal)
        if lease is None:
            return None
        try:
            log.warning(
                "intent %s was sent to this terminal under the name %s",
                intent.intent_id,
                intent.terminal,
                extra=about(intent),
            )
            yield from _finish(till, None, intent, record, found="recovery", confirmed=True)
        finally:
            lease.release()
        return settled(intent, record, "recovery")
    return None


def _another_terminal(till: Till, before: str | None) -> str | None:
    """A description of the terminal here, if the one at this address had another id before."""
    here = [step.intent.terminal_id for step in till.known if step.intent.terminal == till.terminal]
    known = before or next((one for one in reversed(here) if one), None)
    if till.terminal_id is None or known is None or known == till.terminal_id:
        return None
    text = f"another terminal answers at {till.terminal}: now {till.terminal_id}, before {known}"
    log.warning("%s", text)
    return text


def _ask_again(till: Till, intent: Intent, records: Sequence[Reply]) -> Flow[None]:
    """Query a command of unknown outcome once more. So late, only a record with its ticket can settle it."""
    comparable, others = till.comparable(intent), till.others(intent)
    named = [
        Candidate(one, Source.RECORD)
        for one in records
        if isinstance(one, VoucherReply) and has_own_ticket(comparable, one, others)
    ]
    found = Found(named)
    now: float = yield Now()
    try:
        if not named and intent.transaction_id is not None:
            query = till.carrier.queries(intent)[0]
            found = yield from query(now + till.carrier.timeouts.short)
        settled_by = yield from _settled_by(till, _Inquiry(None, intent, now), found)
        # Only a voucher from before the command proves anything: others may have been made since.
        is_over = (yield from _due(till, intent)) <= (yield Now())
        last = till.baseline if till.is_fresh and is_over and not _is_elsewhere(till, intent) else None
        is_settled = settled_by is not None or (
            is_nothing_new(last, intent, ()) and (yield from _settle_by_record(till, intent, last, is_awaited=False))
        )
    except (TransportError, ProtocolError, ApiError) as error:
        log.info("could not query intent %s: %s", intent.intent_id, error, extra=about(intent))
        return
    if is_settled:
        log.warning("intent %s, whose outcome was unknown, is settled now", intent.intent_id, extra=about(intent))


@dataclass(slots=True)
class _Inquiry:
    """The recovery of one command: what the queries have found so far."""

    command: Command[Any] | None
    """``None`` if its caller is gone."""
    intent: Intent
    due: float
    """The time until which the command may still be running."""
    why: str = ""
    """Why nothing that was found is its result."""
    last: VoucherMark | None = None
    """The terminal's last voucher, queried after the command was over."""


def _recover(
    till: Till, command: Command[Any] | None, intent: Intent, cause: GetnetError | None, due: float
) -> Flow[Reply]:
    """Query the outcome of ``intent`` until it is known, or the time for recovery and the command's own are over."""
    carrier, timeouts = till.carrier, till.carrier.timeouts
    reason = str(cause) if cause is not None else "the register stopped before it had the reply"
    log.warning("the outcome of intent %s is unknown (%s): querying it", intent.intent_id, reason, extra=about(intent))
    intent = yield from _advance(intent, IntentState.RECOVERING, _short(reason))
    # The command may have become the terminal's last voucher.
    till.baseline = None
    if isinstance(cause, TransportError) and not isinstance(cause, DeadlineExceeded):
        yield from carrier.close(cause)
    now: float = yield Now()
    inquiry = _Inquiry(command, intent, due)
    # One more query after the command's own end: only then can nothing more arrive.
    end, failures = max(now + timeouts.recovery, due + timeouts.recovery_interval), 0
    while now < end:
        try:
            reply = yield from _round(till, inquiry, end)
            failures = 0
        except TransportError as error:
            log.warning("the link failed while querying intent %s: %s", intent.intent_id, error, extra=about(intent))
            inquiry.why = inquiry.why or str(error)
            yield from carrier.close(error)
            yield from _pause(failures, end)
            failures, reply = failures + 1, None
        if reply is not None:
            return reply
        if _is_elsewhere(till, intent):
            # Its own terminal may come back and is then queried again.
            break
        now = yield Now()
    if is_nothing_new(inquiry.last, intent, till.others(intent)) and (
        yield from _settle_by_record(till, intent, inquiry.last, is_awaited=command is not None)
    ):
        till.baseline = inquiry.last
        raise cause or OutcomeUnknown(_UNRECORDED, intent_id=intent.intent_id)
    reason = _short("; ".join(dict.fromkeys(part for part in (reason, inquiry.why) if part)))
    intent = yield from _advance(intent, IntentState.UNKNOWN, reason)
    raise OutcomeUnknown(outcome_advice(intent), intent_id=intent.intent_id, reason=reason) from cause


def _settle_by_record(till: Till, intent: Intent, last: VoucherMark | None, *, is_awaited: bool) -> Flow[bool]:
    """Settle ``intent`` as not charged, because ``last`` is not newer; ``False`` if the record may be incomplete.

    Terminals without any voucher look alike, so the identity of such a terminal must be confirmed.
    """
    if not till.carrier.profile.durable_record:
        return False
    if last == VoucherMark() and not till.circumstances(intent, is_awaited=is_awaited).same_line:
        try:
            answering = yield from _introduce(till)
        except TransportError as error:
            log.info("could not query the terminal's identity: %s", error)
            yield from till.carrier.close(error)
            return False
        if answering is None or answering != intent.terminal_id:
            return False
    yield from _record(replace(intent, state=IntentState.DECLINED, found="recovery", note=_UNRECORDED))
    return True


def _is_elsewhere(till: Till, intent: Intent) -> bool:
    """Whether a terminal other than that of ``intent`` is connected here now."""
    return bool(till.terminal_id and intent.terminal_id and till.terminal_id != intent.terminal_id)


def _short(reason: str) -> str:
    # It may contain a terminal's own text.
    reason = mask(reason)
    return reason if len(reason) <= _LONGEST_REASON else reason[: _LONGEST_REASON - 3] + "..."


def _pause(failures: int, end: float) -> Flow[None]:
    """Wait before opening the link again: longer after each failure, and at random moments for different terminals."""
    longest = _RECONNECT[min(failures, len(_RECONNECT) - 1)]
    drawn: float = yield Random()
    now: float = yield Now()
    # Leave time for an answer to the last attempt.
    left = max(end - now, 0.0)
    yield Sleep(min(longest * (0.75 + 0.5 * drawn), left if left <= 2.0 else max(left - 2.0, 1.0)))


def _round(till: Till, inquiry: _Inquiry, end: float) -> Flow[Reply | None]:
    """Make each query once, then listen until the next round. Returns the result, recorded, if it was found."""
    carrier = till.carrier
    now: float = yield Now()
    ask_again_at = min(end, now + carrier.timeouts.recovery_interval)
    for query in carrier.queries(inquiry.intent):
        try:
            found = yield from query(end)
        except (ProtocolError, ApiError) as error:
            log.info("could not query intent %s: %s", inquiry.intent.intent_id, error, extra=about(inquiry.intent))
            found, inquiry.why = Found(), str(error)
        reply = yield from _settled_by(till, inquiry, found)
        if reply is not None:
            return reply
        now = yield Now()
        if found.in_process:
            inquiry.why = "the cloud reports that the command is still in process"
        if now >= end or (found.in_process and now < inquiry.due):
            break
    while (yield Now()) < ask_again_at:
        found = yield from carrier.listen(ask_again_at)
        reply = yield from _settled_by(till, inquiry, found)
        if reply is not None:
            return reply
    return None


def _settled_by(till: Till, inquiry: _Inquiry, found: Found) -> Flow[Reply | None]:
    """The result of the command, recorded, if it was found; the rest is handled as late replies."""
    intent = inquiry.intent
    now: float = yield Now()
    for candidate in found.candidates:
        till.learn(candidate.reply, now)
    if found.candidates:
        known = till.circumstances(intent, is_awaited=inquiry.command is not None)
        chosen, why = settling(till.comparable(intent), found.candidates, known)
        if chosen is not None:
            finish = _finish(till, inquiry.command, intent, chosen.reply, found="recovery", newest=chosen.newest)
            return (yield from finish)
        inquiry.why = why or inquiry.why
    if found.last is not None:
        till.tells_records, till.asked_in_vain = True, False
    if now >= inquiry.due:
        inquiry.last = found.last or inquiry.last
    for candidate in found.candidates:
        if candidate.newest:
            yield from _handle_late(till, candidate.reply)
    return None
