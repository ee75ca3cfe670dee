"""A command that moves money: recorded before its first byte, never sent twice, asked about after any doubt.

The invariants are in docs/reliability.md.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from ..errors import (
    DeadlineExceeded,
    Disconnected,
    GetnetError,
    JournalError,
    OutcomeUnknown,
    ProtocolError,
    TransportError,
    UnexpectedReply,
)
from ..messages import (
    BadFrame,
    Command,
    Intent,
    IntentState,
    LastVoucher,
    Progress,
    Reply,
    VoucherMark,
    VoucherReply,
    Wire,
)
from ..messages.declaring import stamped
from .effects import Flow, Now, Recall, Record, Report, Sleep
from .exchange import Waiting, await_reply, exchange
from .intents import new_intent, outcome_advice, settled, typed_reply
from .link import Link, describe, time_of_day
from .matching import has_own_ticket, judge, mark, recognise

__all__ = ["Till", "learn_baseline", "pay", "recover_all"]

log = logging.getLogger("getnet_pos.money")

_RECONNECT = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)


@dataclass(slots=True)
class Till:
    """One terminal as the money flows know it: its link, its name in the journal, and its last voucher."""

    link: Link
    terminal: str
    baseline: VoucherMark | None = None
    """The terminal's last voucher; ``None`` where it is not known, and is asked for before money moves."""
    asked_in_vain: bool = False
    """The terminal does not tell its last voucher: it is not asked again before the next poll."""
    previous: Reply | None = None
    """The last final reply, to know a copy of it by."""
    known: list[Intent] = field(default_factory=list)
    """The terminal's intents that are unsettled or were settled lately, as the journal last told."""
    current: str | None = None
    """The intent that is being settled: its replies are its own flow's."""

    def __post_init__(self) -> None:
        self.link.on_aside = lambda reply: _take_aside(self, reply)

    @contextlib.contextmanager
    def settling(self, intent: Intent) -> Iterator[None]:
        """While the flow of ``intent`` takes its replies."""
        self.current = intent.intent_id
        try:
            yield
        finally:
            self.current = None

    def others(self, intent: Intent) -> list[Intent]:
        return [other for other in self.known if other.intent_id != intent.intent_id]


def pay(
    till: Till, command: Command, intent_id: str, *, patience: float, total: float, cancellable: bool = False
) -> Flow[Reply]:
    """Run a command that moves money and return its final reply, recorded and then acknowledged.

    Raises:
        OutcomeUnknown: money may have moved, and the terminal could not say.
        JournalError: the command could not be recorded, and was not sent.
        TransportError: not one byte of the command left.
    """
    link = till.link
    yield from recover_all(till)
    if till.baseline is None and not till.asked_in_vain:
        yield from learn_baseline(till)
    yield from link.discard_stale()
    command = stamped(command, time_of_day())
    frame_hash = hashlib.sha256(link.encode(command)).hexdigest()
    intent = new_intent(command, intent_id, till.terminal, till.baseline, frame_hash)
    _refuse_repetition(till, intent)
    yield Record(intent)
    with till.settling(intent):
        return (yield from _send(till, command, intent, patience, total, cancellable))


def _send(
    till: Till, command: Command, intent: Intent, patience: float, total: float, cancellable: bool
) -> Flow[Reply]:
    link = till.link
    try:
        sent = yield from link.send(command, recorded=intent)
    except TransportError as error:
        if error.bytes_written == 0:
            yield from _record(replace(intent, state=IntentState.NOT_SENT))
            yield from link.close()
            raise
        intent = yield from _advance(intent, IntentState.SENT)
        return (yield from _recover(till, command, intent, error))
    intent = yield from _advance(intent, IntentState.SENT)
    waiting = Waiting(judge=lambda reply: judge(
        intent, reply, accepted=waiting.accepted, acknowledged_before=link.has_acknowledged, others=till.others(intent),
        previous=till.previous, asked=link.awaits_voucher,
    ), patience=patience, total=total, cancellable=cancellable, on_accepted=_accept(lambda: intent))  # fmt: skip
    try:
        reply = yield from await_reply(link, waiting, sent)
    except (TransportError, ProtocolError) as doubt:
        return (yield from _recover(till, command, intent, doubt))
    return (yield from _finish(till, command, intent, reply))


def _accept(current: Callable[[], Intent]) -> Callable[[], Flow[None]]:
    return lambda: _record(replace(current(), state=IntentState.ACCEPTED))


def _refuse_repetition(till: Till, intent: Intent) -> None:
    """What may have been charged must not be charged again before somebody has looked."""
    for other in till.known:
        repeated = bool(intent.ticket) and other.ticket == intent.ticket and other.amount == intent.amount
        if repeated and other.state is IntentState.UNKNOWN:
            raise OutcomeUnknown(
                f"nothing was sent: for the same ticket {outcome_advice(other)}", intent_id=other.intent_id
            )


def _know(till: Till) -> Flow[None]:
    till.known = yield Recall(till.terminal, recent=True)


def recover_all(till: Till) -> Flow[list[Intent]]:
    """Ask about every command of this terminal that is still open; return those whose outcome nobody knows."""
    yield from _know(till)
    for intent in [intent for intent in till.known if intent.open]:
        with till.settling(intent), contextlib.suppress(OutcomeUnknown):
            yield from _recover(till, None, intent, None)
        yield from _know(till)
    return [intent for intent in till.known if intent.state is IntentState.UNKNOWN]


def learn_baseline(till: Till) -> Flow[None]:
    """Ask for the terminal's last voucher, so that a newer one can be told from it. Not knowing it is no error."""
    if till.link.wire is not Wire.SIGNED:
        return
    try:
        voucher = yield from exchange(till.link, LastVoucher(), patience=till.link.timeouts.short)
    except (DeadlineExceeded, ProtocolError) as error:
        log.warning("the terminal did not tell its last voucher: %s", error)
        till.asked_in_vain = isinstance(error, (DeadlineExceeded, UnexpectedReply))
        return
    if isinstance(voucher, VoucherReply) and voucher.approved:
        till.baseline = mark(voucher)
    elif voucher.function_code == LastVoucher.code and not _has_voucher(voucher):
        till.baseline = VoucherMark()
    # What was taken for the last voucher may have been the late reply of a command in doubt; either tells of it.
    yield from _settle_late(till, voucher, acknowledged=True)


def _has_voucher(reply: Reply) -> bool:
    return isinstance(reply, VoucherReply) and bool(reply.real_date or reply.operation_id or reply.amount)


# ------------------------------------------------------------------------------------------------------------- recovery


def _recover(till: Till, command: Command | None, intent: Intent, doubt: GetnetError | None) -> Flow[Reply]:
    """Ask the terminal what became of ``intent`` until it says, or until the time for it is over."""
    link, timeouts = till.link, till.link.timeouts
    log.warning(
        "the outcome of intent %s is in doubt (%s): asking the terminal", intent.intent_id, doubt or "it was left open"
    )
    intent = yield from _advance(intent, IntentState.RECOVERING)
    till.baseline = None
    if isinstance(doubt, TransportError) and not isinstance(doubt, TimeoutError):
        yield from link.close()
    now: float = yield Now()
    end, ask_at, attempt = now + timeouts.recovery, now, 0
    while now < end:
        try:
            if not link.is_open:
                yield from link.open()
                ask_at = now
            if now >= ask_at and link.wire is Wire.SIGNED:
                yield from link.send(LastVoucher())
                ask_at = now + timeouts.recovery_interval
            reply = yield from _listen(till, intent, min(end, ask_at) if ask_at > now else end)
            attempt = 0
        except TransportError as error:
            log.warning("the terminal cannot be asked: %s", error)
            yield from link.close()
            now = yield Now()
            yield Sleep(min(_RECONNECT[min(attempt, 5)] * (0.75 + _jitter(intent, attempt)), max(end - now, 0.0)))
            attempt += 1
            reply = None
        if reply is not None:
            return (yield from _finish(till, command, intent, reply))
        now = yield Now()
    yield from _advance(intent, IntentState.UNKNOWN)
    raise OutcomeUnknown(outcome_advice(intent), intent_id=intent.intent_id) from doubt


def _jitter(intent: Intent, attempt: int) -> float:
    """From 0 to 0.5, spread over terminals, the same for the same intent."""
    return hashlib.sha256(f"{intent.intent_id}{attempt}".encode()).digest()[0] / 510


def _listen(till: Till, intent: Intent, until: float) -> Flow[Reply | None]:
    """The reply that settles ``intent``, if one comes by ``until``."""
    link, answered = till.link, False
    while True:
        try:
            message = yield from link.next_message(until)
        except Disconnected:
            if not answered:
                raise
            # Over HTTP a response ends with its answer: nothing more comes before the next question.
            yield Sleep(max(until - (yield Now()), 0.0))
            return None
        if isinstance(message, Reply):
            link.awaits_voucher, answered = False, True
            others, simplified = till.others(intent), link.wire is Wire.SIMPLIFIED
            if recognise(intent, message, others=others, previous=till.previous, direct=simplified):
                return message
            log.info("a reply of function code %d does not settle the doubt", message.function_code)
            if not (yield from _settle_late(till, message)):
                yield from link.acknowledge()
        elif isinstance(message, Progress):
            yield from link.acknowledge()
            yield Report(message)
        elif isinstance(message, BadFrame):
            log.warning("received %s while asking", describe(message))
        if (yield Now()) >= until:
            return None


# --------------------------------------------------------------------------------------------------------------- result


def _finish(
    till: Till, command: Command | None, intent: Intent, reply: Reply, *, acknowledged: bool = False
) -> Flow[Reply]:
    """Record the result, then acknowledge it."""
    final = settled(intent, reply)
    try:
        yield Record(final)
    except JournalError as error:
        # The caller gets the truth; the terminal gets no acknowledgement, and is asked again before the next command.
        log.critical("intent %s is %s, but that could not be recorded: %s", intent.intent_id, final.state, error)
        till.baseline = None
    else:
        till.previous = reply
        if reply.approved:
            till.baseline = mark(reply) if isinstance(reply, VoucherReply) else None
        if not acknowledged:
            yield from till.link.acknowledge_final()
    return typed_reply(command, reply)


def _take_aside(till: Till, reply: Reply) -> Flow[None]:
    """A reply that answers no command in progress: it settles the intent it is of, or is told of and left."""
    if not (yield from _settle_late(till, reply)):
        log.warning(
            "a reply of function code %d, response code %d, operation %s came late, or twice: it is set aside",
            reply.function_code,
            reply.response_code,
            getattr(reply, "operation_id", None),
        )
        yield from till.link.acknowledge()


def _settle_late(till: Till, reply: Reply, *, acknowledged: bool = False) -> Flow[bool]:
    """Settle the intent, open or unknown but not in progress, whose own ticket the reply bears; false if none is."""
    if not isinstance(reply, VoucherReply) or not reply.ticket:
        return False
    try:
        yield from _know(till)
    except JournalError as error:
        log.error("whose late reply it is cannot be looked up: %s", error)
        return False
    for intent in till.known:
        if (intent.open or intent.state is IntentState.UNKNOWN) and intent.intent_id != till.current:
            others = till.others(intent)
            if has_own_ticket(intent, reply, others) and recognise(intent, reply, others=others):
                log.warning("the reply to intent %s came late: it is settled", intent.intent_id)
                yield from _finish(till, None, intent, reply, acknowledged=acknowledged)
                till.known = [*others, settled(intent, reply)]
                return True
    return False


def _advance(intent: Intent, state: IntentState) -> Flow[Intent]:
    moved = replace(intent, state=state)
    yield from _record(moved)
    return moved


def _record(intent: Intent) -> Flow[None]:
    """Record a step of a command that has left. Failing to cannot call it back: the earlier record keeps it open."""
    try:
        yield Record(intent)
    except JournalError as error:
        log.error("state %s of intent %s could not be recorded: %s", intent.state, intent.intent_id, error)
