"""Commands through the cloud: a command that moves money is recorded before it leaves, sent once, and asked about.

One HTTP call carries a command and, in synchronous mode, its result. The outer code of an answer says whether the
exchange has ended; only the reply inside says whether money moved. The invariants are in docs/reliability.md.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar, cast

from ..codec.cloud import encode_cloud, read_cloud, sent_names
from ..errors import (
    ApiError,
    DeadlineExceeded,
    GetnetError,
    JournalError,
    MalformedResponse,
    OutcomeUnknown,
    RateLimited,
    ServerError,
    TerminalNotFound,
    TransactionNotFound,
    TransportError,
    UnexpectedReply,
    UnsupportedOperation,
)
from ..messages import (
    REPLY_TYPES,
    CancelSale,
    CloudRefund,
    CloudResult,
    CloudSale,
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
from .http_calls import Bearer, RetryPolicy, Secret, clean, json_body, refuse, retry_after, with_token
from .http_effects import Exclusive, HttpEffect, HttpFlow, Now, Request, Response, Sleep, Turn
from .intents import new_intent, outcome_advice, settled, typed_reply
from .matching import generated_ticket, has_own_ticket, judge, mark, recognise

__all__ = [
    "Cloud",
    "CloudEffect",
    "CloudFlow",
    "CloudTill",
    "Pace",
    "cloud_ask",
    "cloud_call",
    "cloud_pay",
    "cloud_polling",
    "cloud_recover_all",
    "cloud_status",
]

log = logging.getLogger("getnet_pos.cloud")

T = TypeVar("T")

CloudEffect = HttpEffect | Record | Recall

CloudFlow = Generator[CloudEffect, Any, T]
"""A procedure over HTTP that keeps the journal."""

_LONGER, _LONGEST = 1.25, 5
"""How much longer each pause between two questions for a status is, and how much the longest is to the first."""
_TOO_BUSY = frozenset({429, 503})
_PASSING = frozenset({429, 502, 503, 504})
_EMPTY_ID = "0"
"""What stands for a ``customId`` that there is none of."""


class Pace:
    """When the cloud wants to hear of an account again: it holds every terminal's calls back after a 429 or a 503."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._not_before = 0.0
        self._refusals = 0

    def wait(self) -> HttpFlow[None]:
        now: float = yield Now()
        end = now + 2 * self._policy.longest_retry_after
        while now < min(self._not_before, end):
            # Not all at the same moment.
            yield Sleep(self._not_before - now + self._policy.first_pause * self._policy.random())
            now = yield Now()

    def heard(self, response: Response) -> HttpFlow[None]:
        """Take note of what the cloud says about its load."""
        if response.status not in _TOO_BUSY:
            self._refusals = 0
            return
        self._refusals += 1
        asked, now = retry_after(response), (yield Now())
        pause = self._policy.pause(min(self._refusals, 20)) if asked is None else asked
        self._not_before = max(self._not_before, now + min(pause, self._policy.longest_retry_after))


@dataclass(slots=True)
class Cloud:
    """An account's way to the cloud, which all its terminals share."""

    base_url: str
    profile: Profile
    bearer: Bearer
    headers: Mapping[str, str]
    gate: Turn
    """Held during a call of a command, so that no more run at a time than are meant to."""
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    pace: Pace = field(init=False)

    def __post_init__(self) -> None:
        self.pace = Pace(self.retry)

    @property
    def settings(self) -> CloudProfile:
        assert self.profile.cloud is not None
        return self.profile.cloud


@dataclass(slots=True)
class CloudTill:
    """One terminal as the cloud flows know it."""

    cloud: Cloud
    terminal: str
    """Its name in the journal."""
    key_pos: KeyPos
    timeouts: Timeouts
    turn: Turn
    """Held during a money command and its recovery: whoever drives the same terminal waits."""
    webhook: str | None = None
    """Where the cloud pushes the result of a money command; the call then returns at once, and the status is asked."""
    baseline: VoucherMark | None = None
    """The terminal's last voucher; ``None`` where it is not known, and is asked for before money moves."""
    asked_in_vain: bool = False
    """The terminal does not tell its last voucher: it is not asked again before the next poll."""
    previous: Reply | None = None
    """The last final reply, to know a copy of it by."""
    known: list[Intent] = field(default_factory=list)
    """The terminal's intents that are unsettled or were settled lately, as the journal last told."""

    def endpoint(self, command: Command) -> CloudEndpoint:
        """Where ``command`` goes, once it is one that this cloud takes."""
        name = self.cloud.profile.name
        endpoint = self.cloud.settings.endpoints.get(command.code)
        if endpoint is None:
            raise UnsupportedOperation(
                f"the cloud of profile {name} has no {type(command).__name__} (command {command.code})"
            )
        if isinstance(command, (CloudSale, CloudRefund)):
            known = {"ticketNumber", "sendMessage", *endpoint.fields}
            unfit = [given for given in sent_names(command) if given not in known]
            if unfit:
                raise UnsupportedOperation(f"{endpoint.path} in the cloud of profile {name} takes no {unfit[0]}")
        return endpoint

    def others(self, intent: Intent) -> list[Intent]:
        return [other for other in self.known if other.intent_id != intent.intent_id]

    def custom_id(self, intent: Intent) -> str:
        """The ``customId`` of an intent: its ticket where the cloud has no other place for it, else one of its own."""
        if intent.ticket and not self.cloud.settings.takes_ticket:
            return intent.ticket
        return intent.intent_id[:24]


# ---------------------------------------------------------------------------------------------------------------- calls


def _sent(cloud: Cloud, request: Request) -> HttpFlow[Response]:
    """The answer to one request, sent when the cloud wants to hear of us."""
    yield from cloud.pace.wait()
    return (yield from _sent_now(cloud, request))


def _sent_now(cloud: Cloud, request: Request) -> HttpFlow[Response]:
    response: Response = yield request
    yield from cloud.pace.heard(response)
    return response


def _repeated(
    cloud: Cloud, request: Request, may_repeat: Callable[[Response | TransportError], bool]
) -> HttpFlow[Response]:
    """The answer to a request that moves no money, sent again while ``may_repeat`` says so of what became of it."""
    policy, attempt = cloud.retry, 1
    while True:
        try:
            response = yield from _sent(cloud, request)
        except TransportError as error:
            if attempt >= policy.attempts or not may_repeat(error):
                raise
        else:
            asked = retry_after(response)
            if attempt >= policy.attempts or not may_repeat(response) or (asked or 0) > policy.longest_retry_after:
                return response
        yield Sleep(policy.pause(attempt))
        attempt += 1


def _never(outcome: Response | TransportError) -> bool:
    return False


def _changes_nothing(outcome: Response | TransportError) -> bool:
    return isinstance(outcome, TransportError) or outcome.status in _PASSING


def _was_not_done(outcome: Response | TransportError) -> bool:
    return outcome.bytes_written == 0 if isinstance(outcome, TransportError) else outcome.status == 429


def cloud_call(
    cloud: Cloud, request: Request, may_repeat: Callable[[Response | TransportError], bool] = _changes_nothing
) -> HttpFlow[tuple[Response, Secret]]:
    """The answer to a question, and the token it was asked with; after a 401 once more with a renewed one."""
    token = yield from cloud.bearer.token()
    response = yield from _repeated(cloud, with_token(request, token), may_repeat)
    if response.status == 401:
        renewed = yield from cloud.bearer.renewed(token)
        if renewed is not None:
            token = renewed
            response = yield from _repeated(cloud, with_token(request, token), may_repeat)
    return response, token


def _request(till: CloudTill, command: Command, timeout: float, custom_id: str, webhook: str | None = None) -> Request:
    cloud, endpoint = till.cloud, till.endpoint(command)
    body = encode_cloud(
        command,
        till.key_pos,
        endpoint.fields,
        defaults=endpoint.defaults,
        branch_digits=cloud.settings.branch_digits,
        custom_id=custom_id,
        webhook=webhook,
    )
    headers = {**cloud.headers, "Content-Type": "application/json"}
    return Request("POST", f"{cloud.base_url}/{endpoint.path}", headers, body, timeout=timeout, fresh=True)


def _understood(cloud: Cloud, response: Response, token: Secret, what: str) -> CloudResult:
    """The meaning of an answer, one of outer code 0 included.

    Raises:
        ApiError: it has an HTTP status other than 200 and no meaning that is known, or no meaning at all.
    """
    if response.status == 200:
        return read_cloud(json_body(response, (token,)), cloud.profile)
    try:
        result = read_cloud(json_body(response, (token,)), cloud.profile)
    except MalformedResponse:
        result = None
    if result is None or _known_refusal(cloud, result) is None:
        refuse(response, what, (token,))
    return result


def _known_refusal(cloud: Cloud, result: CloudResult) -> type[ApiError] | None:
    said = " ".join((result.message or "").split()).upper().rstrip(".")
    if result.code == 0 and result.reply is None:
        if said in cloud.settings.refusals:
            return TerminalNotFound
        if said in cloud.settings.not_found:
            return TransactionNotFound
    return None


def _checked(cloud: Cloud, result: CloudResult, token: Secret, what: str) -> CloudResult:
    """``result``, unless it is an error."""
    if result.code in (1, 2) or result.reply is not None:
        return result
    said = clean(result.message or "no message", (token,))
    kind = _known_refusal(cloud, result) or ApiError
    advice = {
        TerminalNotFound: "check the terminal id, the branch and the serial number",
        TransactionNotFound: "the cloud does not know it, or not yet",
        ApiError: "look at what was asked, and at the terminal",
    }
    raise kind(f"{what} was refused: {said}; {advice[kind]}", status=200, code=str(result.code), message=said)


def cloud_status(
    cloud: Cloud, transaction_id: int | str, timeout: float, *, once: bool = False
) -> HttpFlow[CloudResult]:
    """What the cloud knows of a transaction (docs/protocol.md, "Cloud-to-Cloud"). ``once``: whoever asks repeats it.

    Raises:
        TransactionNotFound: the cloud does not know it, or not yet.
    """
    request = Request("GET", f"{cloud.base_url}/{transaction_id}", cloud.headers, timeout=timeout)
    response, token = yield from cloud_call(cloud, request, _never if once else _changes_nothing)
    what = f"the status of transaction {transaction_id}"
    return _checked(cloud, _understood(cloud, response, token, what), token, what)


def cloud_ask(till: CloudTill, command: Command, patience: float, *, urgent: bool = False) -> HttpFlow[Reply]:
    """Run a command that moves no money. It waits for a place among the calls, unless it is ``urgent``.

    Raises:
        UnexpectedReply: the answer is of another command, or says nothing.
        DeadlineExceeded: the terminal did not answer in time.
    """
    request = _request(till, command, patience, _EMPTY_ID)
    call = cloud_call(till.cloud, request, _was_not_done)
    # A cancellation would wait for what it is to cancel.
    free = urgent or isinstance(command, CancelSale)
    response, token = (yield from call) if free else (yield Exclusive(till.cloud.gate, call))
    what = f"command {command.code}"
    result = _checked(till.cloud, _understood(till.cloud, response, token, what), token, what)
    now: float = yield Now()
    result = yield from _followed(till, result, now + patience)
    reply = result.reply
    if reply is None and isinstance(command, Poll) and result.code == 1 and result.data is None:
        # The exchange with the terminal has ended well, and a poll has nothing more to say.
        return PollReply(function_code=command.code, response_code=0, response_message=result.message, connected=True)
    codes = _VOUCHERS if isinstance(command, LastVoucher) else (command.code,)
    if reply is None or reply.function_code not in codes:
        raise UnexpectedReply(f"the cloud's answer to command {command.code} is of another command, or has no result")
    return reply


_VOUCHERS = (100, 101, 102, 108, 126)
"""A last voucher may come under the function code of the operation it records."""


def _followed(till: CloudTill, result: CloudResult, deadline: float) -> HttpFlow[CloudResult]:
    """The result once it is there: the status is asked while the terminal is at it."""
    number, pause = result.id_pos_txs, till.timeouts.status
    while result.in_process and number is not None:
        now: float = yield Now()
        if now + pause > deadline:
            raise DeadlineExceeded(f"transaction {number} is still in process", bytes_written=1)
        yield Sleep(pause)
        pause = min(pause * _LONGER, till.timeouts.status * _LONGEST)
        now = yield Now()
        try:
            left = max(deadline - now, 1.0)
            result = yield from cloud_status(till.cloud, number, min(till.timeouts.short, left), once=True)
        except (TransactionNotFound, TransportError, ServerError, RateLimited, MalformedResponse) as error:
            # The question can overtake the transaction itself.
            log.info("the status of transaction %s is not known yet: %s", number, error)
    return result


def cloud_polling(till: CloudTill) -> CloudFlow[PollReply]:
    """Poll; then settle what an earlier run left open, and learn the last voucher, which a later doubt needs."""
    reply: PollReply = yield Exclusive(till.turn, _polling(till))
    return reply


def _polling(till: CloudTill) -> CloudFlow[PollReply]:
    reply = yield from _poll(till)
    if not _is_ready(reply):
        # It may be busy with a command of ours that an earlier run left open, and of which the cloud can tell.
        till.known = yield Recall(till.terminal, recent=True)
        if any(intent.open and intent.transaction_id for intent in till.known):
            yield from _recover_all(till)
            reply = yield from _poll(till)
    if _is_ready(reply):
        till.asked_in_vain = False
        yield from _recover_all(till, again=True)
        if till.baseline is None:
            yield from _learn_baseline(till)
    return reply


def _poll(till: CloudTill) -> HttpFlow[PollReply]:
    return cast("PollReply", (yield from cloud_ask(till, Poll(), till.timeouts.report)))


def _is_ready(reply: PollReply) -> bool:
    return reply.approved and reply.connected is not False


# ---------------------------------------------------------------------------------------------------------------- money


def cloud_pay(
    till: CloudTill, command: Command, intent_id: str, *, total: float, patience: float | None = None
) -> CloudFlow[Reply]:
    """Run a command that moves money and return its final reply, recorded.

    ``patience`` is how long the call may take, ``total`` how long the status of one that was accepted is followed.

    Raises:
        OutcomeUnknown: money may have moved, and nobody could say.
        ApiError: the cloud refused the command before it reached the terminal.
        JournalError: the command could not be recorded, and was not sent.
        TransportError: not one byte of the command left.
    """
    if till.cloud.settings.takes_ticket and getattr(command, "ticket", "") is None:
        command = replace(cast("Any", command), ticket=generated_ticket(intent_id))
    till.endpoint(command)
    reply: Reply = yield Exclusive(till.turn, _pay(till, command, intent_id, total, patience))
    return reply


def _pay(till: CloudTill, command: Command, intent_id: str, total: float, patience: float | None) -> CloudFlow[Reply]:
    yield from _recover_all(till)
    if till.baseline is None and not till.asked_in_vain:
        yield from _learn_baseline(till)
    intent = new_intent(command, intent_id, till.terminal, till.baseline)
    _refuse_repetition(till, intent)
    timeout = till.timeouts.cloud if patience is None else patience
    request = _request(till, command, timeout, till.custom_id(intent), till.webhook)
    intent, result, doubt = yield Exclusive(till.cloud.gate, _send(till, intent, request))
    if result is not None:
        started: float = yield Now()
        try:
            result = yield from _followed(till, result, started + total)
        except (TransportError, ApiError) as error:
            return (yield from _recover(till, command, intent, error))
        reply = _answer(till, intent, result)
        if reply is not None:
            return (yield from _finish(till, command, intent, reply))
        doubt = UnexpectedReply("the cloud's result does not fit the command")
    return (yield from _recover(till, command, intent, doubt))


def _refuse_repetition(till: CloudTill, intent: Intent) -> None:
    """What may have been charged must not be charged again before somebody has looked."""
    for other in till.known:
        repeated = bool(intent.ticket) and other.ticket == intent.ticket and other.amount == intent.amount
        if repeated and other.state is IntentState.UNKNOWN:
            raise OutcomeUnknown(
                f"nothing was sent: for the same ticket {outcome_advice(other)}", intent_id=other.intent_id
            )


_Outcome = tuple[Intent, CloudResult | None, GetnetError | None]
"""What became of a call: the intent as it now stands, and the cloud's result, or what raised a doubt."""


def _send(till: CloudTill, intent: Intent, request: Request) -> CloudFlow[_Outcome]:
    """Record the command and send it. It raises only what shows that the command did not reach the terminal."""
    cloud = till.cloud
    # What can fail before the command leaves fails before it is recorded.
    token = yield from cloud.bearer.token()
    yield from cloud.pace.wait()
    yield Record(intent)
    try:
        response = yield from _sent_now(cloud, with_token(request, token))
    except GetnetError as error:
        if _may_have_left(error):
            return intent, None, error
        yield from _record(replace(intent, state=IntentState.NOT_SENT))
        raise
    if response.status == 401:
        # Refused for its token, and so not carried out: it goes once more, with another one.
        try:
            renewed = yield from cloud.bearer.renewed(token)
        except GetnetError as error:
            yield from _refused(intent, error)
            raise
        if renewed is not None:
            token = renewed
            try:
                response = yield from _sent_now(cloud, with_token(request, token))
            except GetnetError as error:
                if _may_have_left(error):
                    return intent, None, error
                yield from _refused(intent, error)
                raise
    return (yield from _answered(till, intent, response, token))


def _may_have_left(error: GetnetError) -> bool:
    # An ApiError speaks of an answer that cannot be read.
    return error.bytes_written > 0 if isinstance(error, TransportError) else isinstance(error, ApiError)


def _refused(intent: Intent, error: GetnetError) -> CloudFlow[None]:
    """The cloud has shown that it did not pass the command on."""
    note = f"the cloud did not pass it on: {type(error).__name__}"
    yield from _record(replace(intent, state=IntentState.DECLINED, note=note))


def _answered(till: CloudTill, intent: Intent, response: Response, token: Secret) -> CloudFlow[_Outcome]:
    cloud, what = till.cloud, f"command {intent.command}"
    try:
        result = _understood(cloud, response, token, what)
    except ApiError as error:
        if response.status not in cloud.settings.refusing_statuses:
            return intent, None, error
        yield from _refused(intent, error)
        raise
    number = None if result.id_pos_txs is None else str(result.id_pos_txs)
    alike = [other for other in till.others(intent) if other.command == intent.command]
    if number is not None and any(other.transaction_id == number for other in alike):
        return intent, None, UnexpectedReply("the cloud answered with the transaction of an earlier command")
    try:
        _checked(cloud, result, token, what)
    except TerminalNotFound as error:
        yield from _refused(intent, error)
        raise
    except ApiError as error:
        return replace(intent, transaction_id=number), None, error
    intent = replace(intent, state=IntentState.ACCEPTED, transaction_id=number)
    if result.reply is None:
        yield from _record(intent)
    return intent, result, None


# ------------------------------------------------------------------------------------------------------------- recovery


def cloud_recover_all(till: CloudTill) -> CloudFlow[list[Intent]]:
    """Ask about every command of this terminal that is still open; return those whose outcome nobody knows."""
    unknown: list[Intent] = yield Exclusive(till.turn, _recover_all(till, again=True))
    return unknown


def _recover_all(till: CloudTill, *, again: bool = False) -> CloudFlow[list[Intent]]:
    till.known = yield Recall(till.terminal, recent=True)
    asked = False
    for intent in till.known:
        if intent.open:
            log.warning("asking the cloud about intent %s, left open", intent.intent_id)
            asked = True
            try:
                yield from _recover(till, None, intent, None)
            except OutcomeUnknown as unknown:
                log.warning("%s", unknown)
        elif again and intent.state is IntentState.UNKNOWN and intent.transaction_id is not None:
            asked = True
            yield from _ask_again(till, intent)
    if asked:
        till.known = yield Recall(till.terminal, recent=True)
    return [intent for intent in till.known if intent.open or intent.state is IntentState.UNKNOWN]


def _ask_again(till: CloudTill, intent: Intent) -> CloudFlow[None]:
    """Ask once about a command of unknown outcome: the cloud may know it by now."""
    try:
        _, reply = yield from _by_number(till, intent, till.timeouts.short)
    except (TransportError, ApiError) as error:
        log.info("intent %s could not be asked about: %s", intent.intent_id, error)
        return
    if reply is not None:
        log.warning("the cloud knows what became of intent %s: it is settled", intent.intent_id)
        yield from _finish(till, None, intent, reply, late=True)


def _recover(till: CloudTill, command: Command | None, intent: Intent, doubt: GetnetError | None) -> CloudFlow[Reply]:
    """Ask the cloud, and through it the terminal, what became of ``intent`` until one says, or time is over."""
    timeouts = till.timeouts
    log.warning("the outcome of intent %s is in doubt (%s): asking", intent.intent_id, doubt or "left open")
    intent = replace(intent, state=IntentState.RECOVERING)
    yield from _record(intent)
    # What the terminal recorded last is no longer known.
    till.baseline, till.asked_in_vain = None, False
    now: float = yield Now()
    end = now + timeouts.recovery
    last = now + max(timeouts.sale_total, timeouts.recovery)
    while now < end:
        reply, in_process = None, False
        try:
            if intent.transaction_id is not None:
                in_process, reply = yield from _by_number(till, intent, min(timeouts.short, end - now))
            if reply is None and not in_process:
                reply = yield from _in_the_books(till, intent, min(timeouts.report, end - now))
        except (TransportError, ApiError, UnexpectedReply) as error:
            log.info("intent %s could not be asked about: %s", intent.intent_id, error)
        if reply is not None:
            return (yield from _finish(till, command, intent, reply, late=True))
        now = yield Now()
        if in_process:
            end = min(last, now + timeouts.recovery)
        yield Sleep(min(timeouts.recovery_interval, max(end - now, 0.0)))
        now = yield Now()
    intent = replace(intent, state=IntentState.UNKNOWN)
    yield from _record(intent)
    raise OutcomeUnknown(outcome_advice(intent), intent_id=intent.intent_id) from doubt


def _by_number(till: CloudTill, intent: Intent, timeout: float) -> CloudFlow[tuple[bool, Reply | None]]:
    """Whether the command is still in process, and its result if the cloud has it."""
    assert intent.transaction_id is not None
    try:
        result = yield from cloud_status(till.cloud, intent.transaction_id, timeout, once=True)
    except TransactionNotFound:
        # Or not yet: the question can overtake the transaction.
        return False, None
    return result.in_process, _answer(till, intent, result)


def _answer(till: CloudTill, intent: Intent, result: CloudResult) -> Reply | None:
    """The reply in ``result``, which the cloud gives for this very command, if it can be believed."""
    custom_id = till.custom_id(intent)
    if result.code != 1 or result.reply is None or result.custom_id not in (None, "", _EMPTY_ID, custom_id):
        return None
    others = till.others(intent)
    if result.custom_id == custom_id:
        # It is said to be of this command, so it cannot be that of one of which nothing is known.
        others = [other for other in others if other.state is not IntentState.UNKNOWN]
    verdict = judge(
        _comparable(till, intent),
        result.reply,
        accepted=True,
        acknowledged_before=False,
        others=others,
        previous=till.previous,
    )
    return result.reply if verdict is Verdict.MINE else None


def _comparable(till: CloudTill, intent: Intent) -> Intent:
    """The intent as a voucher of this cloud can be compared with: where no ticket is taken, vouchers have another."""
    return intent if till.cloud.settings.takes_ticket else replace(intent, ticket=None)


# ------------------------------------------------------------------------------------------------- the terminal's books


def _in_the_books(till: CloudTill, intent: Intent, patience: float) -> HttpFlow[Reply | None]:
    """The result as the terminal recorded it: its last voucher, or a row of its details, where the cloud has these."""
    found: Reply | None = None
    if LastVoucher().code in till.cloud.settings.endpoints:
        voucher = yield from cloud_ask(till, LastVoucher(), patience, urgent=True)
        found = _recognised(till, intent, [voucher])
    if found is None and DetailsReport().code in till.cloud.settings.endpoints:
        details = yield from cloud_ask(till, DetailsReport(), patience, urgent=True)
        found = _recognised(till, intent, _recorded(details))
    return found


def _recognised(till: CloudTill, intent: Intent, candidates: list[Reply]) -> Reply | None:
    comparable, others = _comparable(till, intent), till.others(intent)
    fitting = [one for one in candidates if recognise(comparable, one, others=others, previous=till.previous)]
    own = [one for one in fitting if has_own_ticket(comparable, cast("VoucherReply", one), others)]
    fitting = own or fitting
    if len(fitting) > 1:
        log.warning("%d recorded operations could be intent %s: none is taken", len(fitting), intent.intent_id)
    return fitting[0] if len(fitting) == 1 else None


def _recorded(details: Reply) -> list[Reply]:
    """The rows of a details report, as vouchers."""
    rows = details.sale_details if isinstance(details, DetailsReply) else ()
    return [_voucher(row) for row in rows]


def _voucher(row: Voucher) -> VoucherReply:
    code = LastVoucher().code if row.function_code is None else row.function_code
    kind = REPLY_TYPES.get(code, LastVoucherReply)
    values = {item.name: getattr(row, item.name) for item in fields(Voucher)}
    values.update(function_code=code, response_code=0 if row.response_code is None else row.response_code)
    return (kind if issubclass(kind, VoucherReply) else LastVoucherReply)(**values)


def _learn_baseline(till: CloudTill) -> HttpFlow[None]:
    """Ask for the terminal's last voucher, so that a newer one can be told from it. Not knowing it is no error."""
    endpoints = till.cloud.settings.endpoints
    till.asked_in_vain = True
    empty = True
    try:
        if LastVoucher().code in endpoints:
            voucher = yield from cloud_ask(till, LastVoucher(), till.timeouts.report)
            if voucher.approved:
                till.baseline = mark(voucher) if isinstance(voucher, VoucherReply) else None
            empty = not voucher.approved and not _names_an_operation(voucher)
        if empty and DetailsReport().code in endpoints:
            # A refusal to show the last voucher may have other reasons than that there is none: the details must agree.
            details = yield from cloud_ask(till, DetailsReport(), till.timeouts.report)
            till.baseline = _newest(details)
    except (TransportError, ApiError, UnexpectedReply) as error:
        log.warning("the terminal did not give its last voucher: %s", error)
    till.asked_in_vain = till.baseline is None


def _names_an_operation(reply: Reply) -> bool:
    return isinstance(reply, VoucherReply) and bool(reply.real_date or reply.operation_id or reply.amount)


def _newest(details: Reply) -> VoucherMark | None:
    """The mark of the newest row; an empty mark where there is no row; ``None`` where that cannot be told."""
    if not isinstance(details, DetailsReply) or not details.approved or details.details_text is not None:
        return None
    if "saleDetails" in details.extra:
        return None
    marks = [mark(cast("VoucherReply", row)) for row in _recorded(details)]
    dated = [one for one in marks if one is not None]
    if len(dated) != len(marks):
        return None
    return max(dated, key=lambda one: (one.real_date or "", one.operation_id or 0), default=VoucherMark())


# --------------------------------------------------------------------------------------------------------------- result


def _finish(
    till: CloudTill, command: Command | None, intent: Intent, reply: Reply, *, late: bool = False
) -> CloudFlow[Reply]:
    """Record the result. After a ``late`` one the terminal may have recorded others."""
    final = settled(intent, reply)
    if late:
        till.baseline = None
    elif reply.approved:
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
