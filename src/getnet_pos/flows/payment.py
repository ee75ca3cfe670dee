"""The payment machine: a command that moves money is recorded before its first byte, sent once, and asked about after
any doubt, whatever carries it. All that touches the state of a payment lives here (docs/reliability.md).
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

from ..errors import (
    ApiError,
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
    Command,
    GetTransaction,
    Intent,
    IntentState,
    LastVoucher,
    Poll,
    PollReply,
    Reply,
    VoucherMark,
    VoucherReply,
)
from .carrier import Attempt, Carrier, Found, Heard, Refused, Sent, may_have_left
from .effects import Flow, Now, Random, Recall, Record, Sleep
from .intents import new_intent, outcome_advice, settled
from .matching import (
    Verdict,
    has_own_ticket,
    judge,
    mark,
    newest,
    recognise,
    settling,
    typed_reply,
    without_unknown,
)

__all__ = ["Till", "ask", "greet", "pay", "polling", "recover_all"]

log = logging.getLogger("getnet_pos.payment")

R = TypeVar("R", bound=Reply)

_RECONNECT = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)


@dataclass(slots=True)
class Till:
    """One terminal as the machine knows it: the way to it, its name in the journal, and its last voucher."""

    carrier: Carrier
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

    def comparable(self, intent: Intent) -> Intent:
        """``intent`` as vouchers can be compared with it."""
        return intent if self.carrier.vouchers_name_ticket else replace(intent, ticket=None)


# -------------------------------------------------------------------------------------------------------------- queries


def ask(till: Till, command: Command[R], timeout: float | None = None, *, urgent: bool = False) -> Flow[R]:
    """Run a command that moves no money and return its reply.

    Raises:
        TransportError: the link failed, or a deadline passed.
        ProtocolError: the terminal refused the command, or its answer cannot be used.
        ApiError: the cloud refused it.
    """
    carrier = till.carrier
    yield from _clear(till)
    attempt = yield from carrier.attempt(command, carrier.limits(command, timeout), urgent=urgent)
    try:
        yield from attempt.reserve()
        event = yield from attempt.submit()
        while not isinstance(event, Heard) or not _answers(till, command, event.reply):
            if isinstance(event, Heard):
                yield from _set_aside(till, event.reply)
            event = yield from attempt.next_event()
    finally:
        attempt.release()
    yield from carrier.confirm(final=True)
    return cast("R", event.reply)


def _answers(till: Till, command: Command[Any], reply: Reply) -> bool:
    """A last voucher may come under the code of the operation that it records; a transaction comes under its own."""
    if isinstance(command, LastVoucher):
        return reply.function_code in till.carrier.catalogue.voucher_codes
    return reply.function_code == command.code or isinstance(command, GetTransaction)


def _clear(till: Till) -> Flow[None]:
    for late in (yield from till.carrier.clear()):
        yield from _set_aside(till, late)


def greet(till: Till, timeout: float | None = None) -> Flow[PollReply]:
    """Open the link if need be and ask whether the terminal is ready."""
    carrier = till.carrier
    if not carrier.is_open:
        yield from carrier.open()
    reply = yield from ask(till, carrier.greeting, timeout)
    if isinstance(reply, PollReply):
        return reply
    return PollReply(function_code=Poll.code, response_code=0, connected=True, extra=reply.extra)


def polling(till: Till) -> Flow[PollReply]:
    """Poll; then settle what an earlier run left open, and learn the last voucher, which a later doubt needs."""
    try:
        reply = yield from greet(till)
    except (Disconnected, UnexpectedReply) as error:
        # A link that was lost while idle shows it only now; and right after plugging in, terminals are known to answer
        # a first poll with an error of their own.
        log.warning("the first poll failed (%s): opening the link again", error)
        yield from till.carrier.close()
        reply = yield from greet(till)
    if not _is_ready(reply):
        yield from _know(till)
        if any(intent.open and intent.transaction_id for intent in till.known):
            # It may be busy with a command that an earlier run left open, and of which a cloud can tell.
            yield from recover_all(till)
            reply = yield from greet(till)
    if _is_ready(reply):
        till.asked_in_vain = False
        yield from recover_all(till, again=True)
        if till.baseline is None:
            yield from _learn_baseline(till)
    return reply


def _is_ready(reply: PollReply) -> bool:
    return reply.approved and reply.connected is not False


def _learn_baseline(till: Till) -> Flow[None]:
    """Ask for the terminal's last voucher, so that a newer one can be told from it. Not knowing it is no error."""
    baseline: VoucherMark | None = None
    try:
        for command in till.carrier.records:
            reply = yield from ask(till, command)
            baseline = newest(reply)
            if isinstance(command, LastVoucher):
                # It may also be the late reply of a command in doubt.
                yield from _settle_late(till, reply, confirmed=True)
            if baseline != VoucherMark():
                break
    except (TransportError, ProtocolError, ApiError) as error:
        if isinstance(error, TransportError) and not isinstance(error, DeadlineExceeded):
            yield from till.carrier.close()
            if not till.carrier.is_open:
                raise
        log.warning("the terminal did not tell its last voucher: %s", error)
        # A damaged answer may come whole the next time.
        till.asked_in_vain = isinstance(error, UnexpectedReply) or not isinstance(error, ProtocolError)
    else:
        till.baseline = baseline
        till.asked_in_vain = baseline is None


# ---------------------------------------------------------------------------------------------------------------- money


def pay(till: Till, command: Command[R], intent_id: str, timeout: float | None = None) -> Flow[R]:
    """Run a command that moves money and return its final reply, recorded and then confirmed.

    Raises:
        OutcomeUnknown: money may have moved, and the terminal could not say.
        ApiError: a cloud refused the command before it reached the terminal.
        JournalError: the command could not be recorded, and was not sent.
        TransportError: not one byte of the command left.
    """
    carrier = till.carrier
    command = carrier.check(command, intent_id)
    carrier.rearm()
    yield from recover_all(till)
    if till.baseline is None and not till.asked_in_vain:
        yield from _learn_baseline(till)
    yield from _clear(till)
    intent = new_intent(command, intent_id, till.terminal, till.baseline)
    _refuse_repetition(till, intent)
    limits = carrier.limits(command, timeout)
    attempt = yield from carrier.attempt(command, limits, intent)
    intent = replace(intent, frame_hash=hashlib.sha256(attempt.data).hexdigest())
    try:
        yield from attempt.reserve()
        yield Record(intent)
        with till.settling(intent):
            reply = yield from _carried_out(till, command, intent, attempt)
    finally:
        attempt.release()
    return cast("R", reply)


def _refuse_repetition(till: Till, intent: Intent) -> None:
    """What may have been charged must not be charged again before somebody has looked."""
    for other in till.known:
        repeated = bool(intent.ticket) and other.ticket == intent.ticket and other.amount == intent.amount
        if repeated and other.state is IntentState.UNKNOWN:
            raise OutcomeUnknown(
                f"nothing was sent: for the same ticket {outcome_advice(other)}", intent_id=other.intent_id
            )


def _carried_out(till: Till, command: Command[Any], intent: Intent, attempt: Attempt) -> Flow[Reply]:
    """Send the command, and wait until a reply settles it or raises a doubt."""
    try:
        event = yield from attempt.submit(intent)
    except GetnetError as error:
        if not may_have_left(error):
            yield from _record(replace(intent, state=IntentState.NOT_SENT))
            yield from till.carrier.close()
            raise
        if isinstance(error, TransportError):
            intent = yield from _advance(intent, IntentState.SENT)
        return (yield from _recover(till, command, _numbered(till, intent, attempt), error))
    try:
        _check_number(till, intent, attempt)
        while True:
            intent = _numbered(till, intent, attempt)
            if isinstance(event, Refused):
                note = f"the cloud did not pass it on: {type(event.error).__name__}"
                yield from _record(replace(intent, state=IntentState.DECLINED, note=note))
                raise event.error
            if isinstance(event, Heard):
                if (yield from _is_result(till, intent, event)):
                    return (yield from _finish(till, command, intent, event.reply))
            else:
                state = IntentState.SENT if isinstance(event, Sent) else IntentState.ACCEPTED
                intent = yield from _advance(intent, state)
            event = yield from attempt.next_event()
    except (TransportError, ProtocolError, ApiError) as doubt:
        if isinstance(event, Refused):
            raise
        return (yield from _recover(till, command, intent, doubt))


def _check_number(till: Till, intent: Intent, attempt: Attempt) -> None:
    """A cloud that repeats an earlier answer gives its number too."""
    if _is_repeated_number(till, intent, attempt):
        raise UnexpectedReply("the cloud answered with the transaction of an earlier command")


def _is_repeated_number(till: Till, intent: Intent, attempt: Attempt) -> bool:
    number = attempt.transaction_id
    return number is not None and any(
        other.transaction_id == number and other.command == intent.command for other in till.others(intent)
    )


def _numbered(till: Till, intent: Intent, attempt: Attempt) -> Intent:
    number = None if _is_repeated_number(till, intent, attempt) else attempt.transaction_id
    return replace(intent, transaction_id=number)


def _is_result(till: Till, intent: Intent, heard: Heard) -> Flow[bool]:
    """Whether the reply is the command's; one that claims to be and cannot be believed raises."""
    others = till.others(intent)
    verdict = judge(
        till.comparable(intent),
        heard.reply,
        others=without_unknown(others) if heard.named else others,
        previous=till.previous,
        in_turn=heard.in_turn,
        asked=heard.asked,
        catalogue=till.carrier.catalogue,
    )
    if verdict is Verdict.DOUBT:
        yield from till.carrier.confirm()
        raise UnexpectedReply(
            "the reply does not fit the command: its amount is another one, or it could be of another sale"
        )
    if verdict is Verdict.OTHER:
        yield from _set_aside(till, heard.reply)
    return verdict is Verdict.MINE


def _finish(
    till: Till,
    command: Command[Any] | None,
    intent: Intent,
    reply: Reply,
    *,
    newest: bool = True,
    confirmed: bool = False,
) -> Flow[Reply]:
    """Record the result, then confirm it. ``newest``: the terminal has recorded nothing after it."""
    final = settled(intent, reply)
    try:
        yield Record(final)
    except JournalError as error:
        # The caller gets the truth; the terminal gets no confirmation, and is asked again before the next command.
        log.critical("intent %s is %s, but that could not be recorded: %s", intent.intent_id, final.state, error)
        till.baseline = None
        return typed_reply(command, reply)
    till.previous = reply
    if not newest:
        till.baseline = None
    elif reply.approved:
        till.baseline = mark(reply) if isinstance(reply, VoucherReply) else None
    if not confirmed:
        yield from till.carrier.confirm(final=True)
    return typed_reply(command, reply)


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


# --------------------------------------------------------------------------------------------------------- late replies


def _set_aside(till: Till, reply: Reply) -> Flow[None]:
    """A reply that answers no command in progress: it settles the intent it is of, or is confirmed and left."""
    if not (yield from _settle_late(till, reply)):
        log.warning(
            "a reply of function code %d, response code %d, operation %s came late, or twice: it is set aside",
            reply.function_code,
            reply.response_code,
            getattr(reply, "operation_id", None),
        )
        yield from till.carrier.confirm()


def _settle_late(till: Till, reply: Reply, *, confirmed: bool = False) -> Flow[bool]:
    """Settle the intent, open or unknown but not in progress, whose own ticket the reply bears; false if none is."""
    if not isinstance(reply, VoucherReply) or not reply.ticket:
        return False
    try:
        yield from _know(till)
    except JournalError as error:
        log.error("whose late reply it is cannot be looked up: %s", error)
        return False
    catalogue = till.carrier.catalogue
    for intent in till.known:
        if (intent.open or intent.state is IntentState.UNKNOWN) and intent.intent_id != till.current:
            others, comparable = till.others(intent), till.comparable(intent)
            own = has_own_ticket(comparable, reply, others)
            if own and recognise(comparable, reply, others=others, catalogue=catalogue):
                log.warning("the reply to intent %s came late: it is settled", intent.intent_id)
                yield from _finish(till, None, intent, reply, confirmed=confirmed)
                till.known = [*others, settled(intent, reply)]
                return True
    return False


def _know(till: Till) -> Flow[None]:
    till.known = yield Recall(till.terminal)


# ------------------------------------------------------------------------------------------------------------- recovery


def recover_all(till: Till, *, again: bool = False) -> Flow[list[Intent]]:
    """Ask about every command of this terminal that is still open; return those whose outcome nobody knows.

    ``again``: ask once more about those of unknown outcome of which a cloud may know more by now.
    """
    yield from _know(till)
    for intent_id in [intent.intent_id for intent in till.known]:
        # What was settled meanwhile, by a late reply, is not asked about.
        intent = next(one for one in till.known if one.intent_id == intent_id)
        if intent.open:
            with till.settling(intent), contextlib.suppress(OutcomeUnknown):
                yield from _recover(till, None, intent, None)
        elif again and intent.state is IntentState.UNKNOWN and intent.transaction_id is not None:
            with till.settling(intent):
                yield from _ask_again(till, intent)
        else:
            continue
        yield from _know(till)
    return [intent for intent in till.known if intent.open or intent.state is IntentState.UNKNOWN]


def _ask_again(till: Till, intent: Intent) -> Flow[None]:
    """Ask once about a command of unknown outcome: there may be an answer by now."""
    now: float = yield Now()
    try:
        for query in till.carrier.queries(intent)[:1]:
            found = yield from query(now + till.carrier.timeouts.short)
            if (yield from _settled_by(till, None, intent, found)) is not None:
                log.warning("intent %s was of unknown outcome: it is settled now", intent.intent_id)
    except (TransportError, ProtocolError, ApiError) as error:
        log.info("intent %s could not be asked about: %s", intent.intent_id, error)


def _recover(till: Till, command: Command[Any] | None, intent: Intent, doubt: GetnetError | None) -> Flow[Reply]:
    """Ask what became of ``intent`` until somebody says, or until the time for it is over."""
    carrier, timeouts = till.carrier, till.carrier.timeouts
    log.warning("the outcome of intent %s is in doubt (%s): asking", intent.intent_id, doubt or "it was left open")
    intent = yield from _advance(intent, IntentState.RECOVERING)
    # What the terminal recorded last is no longer known.
    till.baseline = None
    if isinstance(doubt, TransportError) and not isinstance(doubt, DeadlineExceeded):
        yield from carrier.close()
    now: float = yield Now()
    end, last, failures = now + timeouts.recovery, now + max(timeouts.sale_total, timeouts.recovery), 0
    while now < end:
        reply, in_process = None, False
        try:
            reply, in_process = yield from _round(till, command, intent, end)
            failures = 0
        except TransportError as error:
            log.warning("nobody can be asked about intent %s: %s", intent.intent_id, error)
            yield from carrier.close()
            yield from _pause(failures, end)
            failures += 1
        if reply is not None:
            return reply
        now = yield Now()
        if in_process:
            end = min(last, now + timeouts.recovery)
    intent = yield from _advance(intent, IntentState.UNKNOWN)
    raise OutcomeUnknown(outcome_advice(intent), intent_id=intent.intent_id) from doubt


def _pause(failures: int, end: float) -> Flow[None]:
    """Before the link is opened again: longer after each failure, and not at the same moment for all terminals."""
    longest = _RECONNECT[min(failures, len(_RECONNECT) - 1)]
    pause = longest * (0.75 + 0.5 * (yield Random()))
    yield Sleep(min(pause, max(end - (yield Now()), 0.0)))


def _round(till: Till, command: Command[Any] | None, intent: Intent, end: float) -> Flow[tuple[Reply | None, bool]]:
    """Ask everybody once, and listen until it is time to ask again: the result, and whether it is being worked on."""
    carrier = till.carrier
    now: float = yield Now()
    ask_again_at = min(end, now + carrier.timeouts.recovery_interval)
    in_process = False
    try:
        for query in carrier.queries(intent):
            found = yield from query(end)
            reply = yield from _settled_by(till, command, intent, found)
            if reply is not None:
                return reply, False
            in_process = found.in_process
            if in_process:
                break
    except (ProtocolError, ApiError) as error:
        log.info("intent %s could not be asked about: %s", intent.intent_id, error)
    while (yield Now()) < ask_again_at:
        found = yield from carrier.listen(ask_again_at)
        reply = yield from _settled_by(till, command, intent, found)
        if reply is not None:
            return reply, False
    return None, in_process


def _settled_by(till: Till, command: Command[Any] | None, intent: Intent, found: Found) -> Flow[Reply | None]:
    """The result of ``intent``, recorded, if it is among what was found; the rest is set aside."""
    chosen = settling(
        till.comparable(intent),
        found.candidates,
        others=till.others(intent),
        previous=till.previous,
        catalogue=till.carrier.catalogue,
    )
    if chosen is not None:
        return (yield from _finish(till, command, intent, chosen.reply, newest=chosen.newest))
    for candidate in found.candidates:
        if candidate.newest:
            yield from _set_aside(till, candidate.reply)
    return None
