"""A command that moves money: recorded before its first byte, never sent twice, asked about after any doubt.

The invariants are in docs/reliability.md.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from ..errors import (
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
from .effects import Flow, Now, Recall, Record, Report, Sleep
from .exchange import Waiting, await_reply, exchange
from .intents import new_intent, outcome_advice, settled, typed_reply
from .link import Link, describe
from .matching import judge, mark, recognise

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
    previous: Reply | None = None
    """The last final reply, to know a copy of it by."""
    doubts: set[str] = field(default_factory=set)
    """The intents that became unknown while this till was in use: a reply of theirs may still be on its way."""


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
    unknown = yield from recover_all(till)
    if till.baseline is None:
        yield from learn_baseline(till)
    yield from link.discard_stale()
    unknown = yield from _close_late(till, unknown)
    unknown = [other for other in unknown if other.intent_id in till.doubts]
    frame_hash = hashlib.sha256(link.encode(command)).hexdigest()
    intent = new_intent(command, intent_id, till.terminal, till.baseline, frame_hash)
    yield Record(intent)
    try:
        sent = yield from link.send(command)
    except TransportError as error:
        if error.bytes_written == 0:
            yield from _record(replace(intent, state=IntentState.NOT_SENT))
            yield from link.close()
            raise
        intent = yield from _advance(intent, IntentState.SENT)
        return (yield from _recover(till, command, intent, unknown, error))
    intent = yield from _advance(intent, IntentState.SENT)
    waiting = Waiting(judge=lambda reply: judge(
        intent, reply, accepted=waiting.accepted, acknowledged_before=link.has_acknowledged, previous=till.previous,
        unknown=unknown,
    ), patience=patience, total=total, cancellable=cancellable, on_accepted=_accept(lambda: intent))  # fmt: skip
    try:
        reply = yield from await_reply(link, waiting, sent)
    except (TransportError, ProtocolError) as doubt:
        return (yield from _recover(till, command, intent, unknown, doubt))
    return (yield from _finish(till, command, intent, reply))


def _accept(current: Callable[[], Intent]) -> Callable[[], Flow[None]]:
    return lambda: _record(replace(current(), state=IntentState.ACCEPTED))


def recover_all(till: Till) -> Flow[list[Intent]]:
    """Ask about every command of this terminal that is still open; return those whose outcome nobody knows."""
    intents: list[Intent] = yield Recall(till.terminal)
    unknown = [intent for intent in intents if not intent.open]
    for intent in intents:
        if intent.open:
            log.warning("asking the terminal about intent %s, left open", intent.intent_id)
            try:
                yield from _recover(till, None, intent, unknown, None)
            except OutcomeUnknown:
                unknown.append(replace(intent, state=IntentState.UNKNOWN))
    return unknown


def learn_baseline(till: Till) -> Flow[None]:
    """Ask for the terminal's last voucher, so that a newer one can be told from it. Not knowing it is no error."""
    if till.link.wire is not Wire.SIGNED:
        return
    try:
        voucher = yield from exchange(till.link, LastVoucher(), patience=till.link.timeouts.short)
    except UnexpectedReply:
        return
    except ProtocolError as error:
        log.warning("the last voucher could not be read: %s", error)
        return
    except TransportError as error:
        log.warning("the terminal did not give its last voucher: %s", error)
        if isinstance(error, Disconnected):
            raise
        return
    if isinstance(voucher, VoucherReply) and voucher.approved:
        till.baseline = mark(voucher)
    elif voucher.function_code == LastVoucher().code and not _has_voucher(voucher):
        till.baseline = VoucherMark()


def _has_voucher(reply: Reply) -> bool:
    return isinstance(reply, VoucherReply) and bool(reply.real_date or reply.operation_id or reply.amount)


def _recover(
    till: Till, command: Command | None, intent: Intent, unknown: list[Intent], doubt: GetnetError | None
) -> Flow[Reply]:
    """Ask the terminal what became of ``intent`` until it says, or until the time for it is over."""
    link, timeouts = till.link, till.link.timeouts
    log.warning(
        "the outcome of intent %s is in doubt (%s): asking the terminal", intent.intent_id, doubt or "left open"
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
            reply = yield from _listen(till, intent, unknown, min(end, ask_at) if ask_at > now else end)
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
    till.doubts.add(intent.intent_id)
    raise OutcomeUnknown(outcome_advice(intent), intent_id=intent.intent_id) from doubt


def _jitter(intent: Intent, attempt: int) -> float:
    """From 0 to 0.5, spread over terminals, the same for the same intent."""
    return hashlib.sha256(f"{intent.intent_id}{attempt}".encode()).digest()[0] / 510


def _listen(till: Till, intent: Intent, unknown: list[Intent], until: float) -> Flow[Reply | None]:
    """The reply that settles ``intent``, if one comes by ``until``."""
    link = till.link
    while True:
        message = yield from link.next_message(until)
        if isinstance(message, Reply):
            if recognise(intent, message, previous=till.previous, unknown=unknown):
                return message
            log.info("a reply of function code %d does not settle the doubt", message.function_code)
            yield from link.acknowledge()
        elif isinstance(message, Progress):
            yield from link.acknowledge()
            yield Report(message)
        elif isinstance(message, BadFrame):
            log.warning("received %s while asking", describe(message))
        if (yield Now()) >= until:
            return None


def _finish(till: Till, command: Command | None, intent: Intent, reply: Reply) -> Flow[Reply]:
    """Record the result, then acknowledge it."""
    final = settled(intent, reply)
    if reply.approved:
        till.baseline = mark(reply) if isinstance(reply, VoucherReply) else None
    till.previous = reply
    try:
        yield Record(final)
    except JournalError as error:
        # The caller gets the truth; the terminal gets no acknowledgement, and a restart asks it again.
        log.critical("intent %s is %s, but that could not be recorded: %s", intent.intent_id, final.state, error)
    else:
        yield from till.link.acknowledge_final()
    return typed_reply(command, reply)


def _close_late(till: Till, unknown: list[Intent]) -> Flow[list[Intent]]:
    """Settle unknown outcomes whose reply has come after all, known by its ticket."""
    left = []
    for intent in unknown:
        reply = next((late for late in till.link.late if _is_late_reply_of(intent, late)), None)
        if reply is None:
            left.append(intent)
        else:
            log.warning("the reply to intent %s came late: it is settled", intent.intent_id)
            yield from _finish(till, None, intent, reply)
    till.link.late.clear()
    return left


def _is_late_reply_of(intent: Intent, reply: Reply) -> bool:
    same = isinstance(reply, VoucherReply) and bool(intent.ticket) and reply.ticket == intent.ticket
    return same and recognise(intent, reply, previous=None, unknown=())


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
