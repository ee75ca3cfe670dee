"""Commands through the cloud: a command that moves money is recorded before it leaves, sent once, and asked about.

One HTTP call carries a command and, in synchronous mode, its result. The outer code of an answer says whether the
exchange has ended; only the reply inside says whether money moved.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar, cast

from ..codec._cloud import encode_cloud, read_cloud
from ..errors import (
    ApiError,
    AuthenticationError,
    ConnectError,
    DeadlineExceeded,
    GetnetError,
    JournalError,
    OutcomeUnknown,
    TerminalNotFound,
    TransactionNotFound,
    TransportError,
    UnexpectedReply,
    UnsupportedOperation,
)
from ..messages import (
    CloudResult,
    Command,
    DetailsReply,
    DetailsReport,
    Intent,
    IntentState,
    KeyPos,
    LastVoucher,
    LastVoucherReply,
    Poll,
    PollReply,
    Reply,
    Voucher,
    VoucherMark,
    VoucherReply,
)
from ..profiles import CloudEndpoint, CloudProfile, Profile, Timeouts
from .effects import Recall, Record
from .exchange import Verdict
from .http_calls import Bearer, RetryPolicy, Secret, authorized, exchange, exchange_unsent, json_body, refuse
from .http_effects import HttpEffect, HttpFlow, Now, Request, Response, Sleep
from .intents import new_intent, outcome_advice, settled, typed_reply
from .matching import judge, mark, recognise

__all__ = [
    "CloudEffect",
    "CloudFlow",
    "CloudTill",
    "cloud_ask",
    "cloud_pay",
    "cloud_polling",
    "cloud_recover_all",
    "cloud_status",
]

log = logging.getLogger("getnet_pos.cloud")

_STATUS_PAUSE = 2.0
_LONGEST_STATUS_PAUSE = 10.0
T = TypeVar("T")

CloudEffect = HttpEffect | Record | Recall

CloudFlow = Generator[CloudEffect, Any, T]
"""A procedure over HTTP that keeps the journal."""

_ONCE_OR_UNSENT = RetryPolicy(attempts=2, first_pause=0.2)


@dataclass(slots=True)
class CloudTill:
    """One terminal as the cloud flows know it."""

    terminal: str
    """Its name in the journal."""
    base_url: str
    key_pos: KeyPos
    profile: Profile
    timeouts: Timeouts
    bearer: Bearer
    headers: Mapping[str, str]
    webhook: str | None = None
    """Where the cloud pushes the result of a money command; the call then returns at once, and the status is asked."""
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    baseline: VoucherMark | None = None
    previous: Reply | None = None
    doubts: set[str] = field(default_factory=set)
    """The intents that became unknown while this till was in use."""

    @property
    def cloud(self) -> CloudProfile:
        assert self.profile.cloud is not None
        return self.profile.cloud

    def endpoint(self, command: Command) -> CloudEndpoint:
        endpoint = self.cloud.endpoints.get(command.code)
        if endpoint is None:
            raise UnsupportedOperation(
                f"the cloud of profile {self.profile.name} has no {type(command).__name__} (command {command.code})"
            )
        return endpoint


# ---------------------------------------------------------------------------------------------------------------- calls


def _post(
    till: CloudTill, command: Command, timeout: float, *, custom_id: str | None = None, webhook: str | None = None
) -> HttpFlow[CloudResult]:
    endpoint = till.endpoint(command)
    body = encode_cloud(
        command,
        till.key_pos,
        endpoint.fields,
        defaults=endpoint.defaults,
        branch_digits=till.cloud.branch_digits,
        custom_id=custom_id,
        webhook=webhook,
    )
    request = Request("POST", f"{till.base_url}/{endpoint.path}", till.headers, body, timeout=timeout)
    answer = yield from authorized(request, till.bearer, lambda one: exchange_unsent(one, _ONCE_OR_UNSENT))
    return _understood(till, *answer, what=f"command {command.code}")


def cloud_status(till: CloudTill, transaction_id: int) -> HttpFlow[CloudResult]:
    """What the cloud knows of a transaction (docs/protocol.md, "Cloud-to-Cloud").

    Raises:
        TransactionNotFound: the cloud does not know it, or not yet.
    """
    headers = {name: value for name, value in till.headers.items() if name != "Content-Type"}
    request = Request("GET", f"{till.base_url}/{transaction_id:d}", headers, timeout=till.timeouts.short)
    answer = yield from authorized(request, till.bearer, lambda one: exchange(one, till.retry))
    return _understood(till, *answer, what=f"the status of transaction {transaction_id}")


def _understood(till: CloudTill, response: Response, token: Secret, *, what: str) -> CloudResult:
    if response.status != 200:
        refuse(response, what, (token,))
    result = read_cloud(json_body(response, (token,)), till.profile)
    if result.code == 0 or (result.code not in (1, 2) and result.reply is None):
        raise _error(till, result, what)
    return result


def _error(till: CloudTill, result: CloudResult, what: str) -> ApiError:
    said = " ".join((result.message or "no message").split())[:200]
    answer: dict[str, Any] = {"status": 200, "code": str(result.code), "message": said}
    if said.upper() in till.cloud.refusals:
        return TerminalNotFound(
            f"{what} was refused: {said}: check terminal id, branch and serial number of {till.key_pos}", **answer
        )
    if said.upper() == "ID NOT FOUND":
        return TransactionNotFound(f"{what} was refused: {said}", **answer)
    return ApiError(f"{what} was refused: {said}; look at what was asked, and at the terminal", **answer)


def cloud_ask(till: CloudTill, command: Command, patience: float) -> HttpFlow[Reply]:
    """Run a command that moves no money.

    Raises:
        UnexpectedReply: the answer is of another command.
        DeadlineExceeded: the terminal did not answer in time.
    """
    result = yield from _post(till, command, patience)
    now: float = yield Now()
    result = yield from _followed(till, result, now + patience)
    reply = result.reply
    if reply is None and isinstance(command, Poll):
        # A poll that ended well has nothing more to say.
        return PollReply(function_code=command.code, response_code=0, response_message=result.message, connected=True)
    if reply is None or (reply.function_code != command.code and not isinstance(command, LastVoucher)):
        raise UnexpectedReply(f"the cloud's answer to command {command.code} is of another command, or has no result")
    return reply


def _followed(till: CloudTill, result: CloudResult, deadline: float) -> HttpFlow[CloudResult]:
    """The result once it is there: the status is asked while the terminal is at it."""
    number, pause = result.id_pos_txs, _STATUS_PAUSE
    while result.in_process and number is not None:
        now: float = yield Now()
        if now + pause > deadline:
            raise DeadlineExceeded(f"transaction {number} is still in process", bytes_written=1)
        yield Sleep(pause)
        pause = min(pause * 1.25, _LONGEST_STATUS_PAUSE)
        try:
            result = yield from cloud_status(till, number)
        except (TransactionNotFound, TransportError) as error:
            # The question can overtake the transaction itself.
            log.info("the status of transaction %d is not known yet: %s", number, error)
    return result


def cloud_polling(till: CloudTill) -> CloudFlow[PollReply]:
    """Poll the terminal, then settle what an earlier run left open."""
    reply = cast("PollReply", (yield from cloud_ask(till, Poll(), till.timeouts.report)))
    if reply.approved and reply.connected is not False:
        yield from cloud_recover_all(till)
    return reply


# ---------------------------------------------------------------------------------------------------------------- money


def cloud_pay(till: CloudTill, command: Command, intent_id: str, *, total: float) -> CloudFlow[Reply]:
    """Run a command that moves money and return its final reply, recorded.

    Raises:
        OutcomeUnknown: money may have moved, and nobody could say.
        ApiError: the cloud refused the command before it reached the terminal.
        JournalError: the command could not be recorded, and was not sent.
        TransportError: not one byte of the command left.
    """
    till.endpoint(command)
    unknown = yield from cloud_recover_all(till)
    unknown = [other for other in unknown if other.intent_id in till.doubts]
    # A token that cannot be had is found out before anything is recorded.
    yield from till.bearer.token()
    intent = new_intent(command, intent_id, till.terminal, till.baseline)
    custom_id = intent.ticket or intent_id[:24]
    yield Record(intent)
    try:
        result = yield from _post(till, command, till.timeouts.cloud, custom_id=custom_id, webhook=till.webhook)
        intent = yield from _accepted(intent, result)
        started: float = yield Now()
        result = yield from _followed(till, result, started + total)
    except ConnectError:
        if intent.state is IntentState.INTENT:
            yield from _record(replace(intent, state=IntentState.NOT_SENT))
            raise
        return (yield from _recover(till, command, intent, custom_id, unknown, None))
    except (AuthenticationError, TerminalNotFound) as error:
        if intent.state is IntentState.INTENT:
            yield from _record(
                replace(intent, state=IntentState.DECLINED, note=f"refused by the cloud: {error.message}")
            )
            raise
        return (yield from _recover(till, command, intent, custom_id, unknown, error))
    except (TransportError, ApiError) as doubt:
        return (yield from _recover(till, command, intent, custom_id, unknown, doubt))
    reply = _answer(till, intent, result, custom_id, unknown)
    if reply is None:
        wrong = UnexpectedReply("the cloud's result does not fit the command")
        return (yield from _recover(till, command, intent, custom_id, unknown, wrong))
    return (yield from _finish(till, command, intent, reply))


def _accepted(intent: Intent, result: CloudResult) -> CloudFlow[Intent]:
    number = None if result.id_pos_txs is None else str(result.id_pos_txs)
    moved = replace(intent, state=IntentState.ACCEPTED, transaction_id=number)
    if result.reply is None:
        yield from _record(moved)
    return moved


def _answer(
    till: CloudTill, intent: Intent, result: CloudResult, custom_id: str | None, unknown: list[Intent]
) -> Reply | None:
    """The reply in ``result``, if it is the command's own."""
    if result.reply is None or (result.custom_id and custom_id and result.custom_id != custom_id):
        return None
    comparable = _comparable(till, intent)
    own = result.custom_id is not None and result.custom_id == custom_id
    verdict = judge(
        comparable,
        result.reply,
        accepted=True,
        acknowledged_before=False,
        previous=None if own else till.previous,
        unknown=() if own else unknown,
    )
    return result.reply if verdict is Verdict.MINE else None


def _comparable(till: CloudTill, intent: Intent) -> Intent:
    """The intent as a voucher of this cloud can be compared with: where no ticket is taken, vouchers have another."""
    return intent if till.cloud.takes_ticket else replace(intent, ticket=None)


def cloud_recover_all(till: CloudTill) -> CloudFlow[list[Intent]]:
    """Ask about every command of this terminal that is still open; return those whose outcome nobody knows."""
    intents: list[Intent] = yield Recall(till.terminal)
    unknown = [intent for intent in intents if not intent.open]
    for intent in intents:
        if intent.open:
            log.warning("asking the cloud about intent %s, left open", intent.intent_id)
            try:
                yield from _recover(till, None, intent, intent.ticket or intent.intent_id[:24], unknown, None)
            except OutcomeUnknown:
                unknown.append(replace(intent, state=IntentState.UNKNOWN))
    return unknown


def _recover(
    till: CloudTill,
    command: Command | None,
    intent: Intent,
    custom_id: str | None,
    unknown: list[Intent],
    doubt: GetnetError | None,
) -> CloudFlow[Reply]:
    """Ask the cloud, and through it the terminal, what became of ``intent`` until one says, or time is over."""
    log.warning("the outcome of intent %s is in doubt (%s): asking", intent.intent_id, doubt or "left open")
    intent = replace(intent, state=IntentState.RECOVERING)
    yield from _record(intent)
    now: float = yield Now()
    end = now + till.timeouts.recovery
    last = now + max(till.timeouts.sale_total, till.timeouts.recovery)
    while now < end:
        try:
            if intent.transaction_id is not None:
                result = yield from cloud_status(till, int(intent.transaction_id))
                if result.in_process:
                    end = min(last, now + till.timeouts.recovery)
                reply = _answer(till, intent, result, custom_id, unknown)
            else:
                reply = yield from _found(till, intent, unknown, end - now)
        except (TransportError, ApiError, UnexpectedReply) as error:
            log.info("intent %s could not be asked about: %s", intent.intent_id, error)
            reply = None
        if reply is not None:
            return (yield from _finish(till, command, intent, reply))
        now = yield Now()
        yield Sleep(min(till.timeouts.recovery_interval, max(end - now, 0.0)))
        now = yield Now()
    yield from _record(replace(intent, state=IntentState.UNKNOWN))
    till.doubts.add(intent.intent_id)
    raise OutcomeUnknown(outcome_advice(intent), intent_id=intent.intent_id) from doubt


def _found(till: CloudTill, intent: Intent, unknown: list[Intent], left: float) -> CloudFlow[Reply | None]:
    """The result in the terminal's own books, looked up by last voucher and details, where the cloud has these."""
    comparable, patience = _comparable(till, intent), min(till.timeouts.report, max(left, 1.0))
    candidates: list[Reply] = []
    for question in (LastVoucher(), DetailsReport()):
        if question.code in till.cloud.endpoints:
            answer = yield from cloud_ask(till, question, patience)
            rows = answer.sale_details if isinstance(answer, DetailsReply) else ()
            candidates.extend([_voucher(row) for row in rows] if rows else [answer])
    fitting = [one for one in candidates if recognise(comparable, one, previous=till.previous, unknown=unknown)]
    return fitting[-1] if fitting else None


def _voucher(row: Voucher) -> VoucherReply:
    values = {item.name: getattr(row, item.name) for item in fields(Voucher)}
    values["function_code"] = LastVoucher().code if row.function_code is None else row.function_code
    values["response_code"] = 0 if row.response_code is None else row.response_code
    return LastVoucherReply(**values)


def _finish(till: CloudTill, command: Command | None, intent: Intent, reply: Reply) -> CloudFlow[Reply]:
    final = settled(intent, reply)
    if reply.approved:
        till.baseline = mark(reply) if isinstance(reply, VoucherReply) else None
    till.previous = reply
    try:
        yield Record(final)
    except JournalError as error:
        # The caller gets the truth; a restart asks again.
        log.critical("intent %s is %s, but that could not be recorded: %s", intent.intent_id, final.state, error)
    return typed_reply(command, reply)


def _record(intent: Intent) -> CloudFlow[None]:
    """Record a step of a command that has left. Failing to cannot call it back: the earlier record keeps it open."""
    try:
        yield Record(intent)
    except JournalError as error:
        log.error("state %s of intent %s could not be recorded: %s", intent.state, intent.intent_id, error)
