"""The carrier over the cloud: one HTTP call sends a command and, in synchronous mode, returns its result.

The outer code of an answer only says whether the call has ended; the reply inside says whether money moved. The
carrier decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar, cast

from ..codec.cloud import encode_cloud, sent_names
from ..errors import (
    DeadlineExceeded,
    GetnetError,
    JournalError,
    MalformedResponse,
    RateLimited,
    ServerError,
    TerminalNotFound,
    TransactionNotFound,
    TransportError,
    UnexpectedReply,
    UnsupportedOperation,
)
from ..logs import logger
from ..messages import (
    CancelSale,
    CloudRefund,
    CloudResult,
    CloudSale,
    Command,
    DetailsReport,
    Intent,
    IntentState,
    KeyPos,
    LastVoucher,
    Poll,
    PollReply,
    Reply,
)
from ..profiles import CloudEndpoint, Timeouts
from .carrier import (
    NO_TERMS,
    Accepted,
    Candidate,
    Event,
    Found,
    Heard,
    Limits,
    Refused,
    Source,
    Terms,
    hand_on_receipt,
    may_have_left,
    may_leave_until,
)
from .cloud_calls import WRONG_CLOUD, Cloud, call, checked, is_token_refusal, status, understood, was_not_done
from .effects import AwaitNotice, Flow, Lease, Now, Request, Response, Sleep, Take
from .http_calls import Secret, refusal, with_token
from .intents import generated_ticket
from .matching import newest, recorded

__all__ = ["CloudAttempt", "CloudCarrier"]

C = TypeVar("C", bound=Command[Any])

log = logger("getnet_pos.cloud")

_LONGER, _LONGEST = 1.25, 5
"""The growth of the pause between two status queries, and the limit of the pause as a multiple of the first one."""
_LEAST = 0.1
"""The shortest timeout of a query, in seconds; the HTTP client refuses one that is not positive."""
_NO_ID = "0"
"""The ``customId`` of a command without one."""


class CloudCarrier:
    """One terminal behind the cloud."""

    is_open = True
    is_silent = False
    echoes = False
    is_pluggable = False
    device = None
    line = None
    introduction = None
    greeting = Poll()

    def __init__(self, cloud: Cloud, key_pos: KeyPos, timeouts: Timeouts, webhook: str | None = None) -> None:
        self.cloud = cloud
        self.timeouts = timeouts
        self.profile = cloud.profile
        self._key_pos = key_pos
        self._webhook = webhook
        """The URL to which the cloud pushes the result of a payment command; the call then returns at once."""

    @property
    def vouchers_name_ticket(self) -> bool:
        """If the cloud takes no ticket, vouchers have one that the terminal generated."""
        return self.cloud.settings.takes_ticket

    @property
    def tells_by_number(self) -> bool:
        """With a webhook the cloud returns the transaction number as soon as it has accepted the command."""
        return self._webhook is not None

    @property
    def records(self) -> Sequence[Command[Any]]:
        """A refused last-voucher query does not prove that there is none, so the details report must agree."""
        return [
            command for command in (LastVoucher(), DetailsReport()) if command.code in self.cloud.settings.endpoints
        ]

    def limits(self, command: Command[Any], timeout: float | None) -> Limits:
        """``patience`` limits the call itself, ``total`` how long the status of an accepted command is queried."""
        if not command.moves_money:
            limit = self.timeouts.report if timeout is None else timeout
            return Limits(limit, limit)
        if timeout is not None:
            return Limits(timeout, timeout)
        total = Limits.of(command, self.timeouts).total
        return Limits(min(self.timeouts.cloud, total), total)

    def open(self) -> Flow[None]:
        """Nothing to open: connections are made when needed."""
        yield from ()

    def close(self, cause: GetnetError | None = None) -> Flow[None]:
        yield from ()

    def check(self, command: C, intent_id: str = "") -> C:
        """``command``, with a ticket if this cloud takes one. Raises ``UnsupportedOperation`` if the cloud cannot."""
        if command.moves_money and self.cloud.settings.takes_ticket and getattr(command, "ticket", "") is None:
            command = replace(cast("Any", command), ticket=generated_ticket(intent_id))
        self._endpoint(command)
        return command

    def _endpoint(self, command: Command[Any]) -> CloudEndpoint:
        name = self.cloud.profile.name
        endpoint = self.cloud.settings.endpoints.get(command.code)
        if endpoint is None:
            raise UnsupportedOperation(
                f"the cloud of profile {name} does not support {type(command).__name__} (command {command.code})"
            )
        if isinstance(command, (CloudSale, CloudRefund)):
            known = {"ticketNumber", "sendMessage", *endpoint.fields}
            unfit = [given for given in sent_names(command) if given not in known]
            if unfit:
                raise UnsupportedOperation(
                    f"{endpoint.path} in the cloud of profile {name} does not take {unfit[0]}: leave it out"
                )
        return endpoint

    def clear(self) -> Flow[list[Reply]]:
        """Nothing to read: every answer belongs to its own call."""
        yield from ()
        return []

    def attempt(
        self,
        command: Command[Any],
        limits: Limits,
        intent: Intent | None = None,
        *,
        urgent: bool = False,
        terms: Terms = NO_TERMS,
    ) -> Flow[CloudAttempt]:
        yield from ()
        custom_id = _NO_ID if intent is None else self.custom_id(intent)
        request = self._request(command, limits.patience, custom_id, webhook=intent is not None)
        urgent = urgent or isinstance(command, CancelSale)
        return CloudAttempt(self, command, request, limits, custom_id, terms, urgent=urgent)

    def custom_id(self, intent: Intent) -> str:
        """The ``customId`` of an intent: its ticket if the cloud has no other field for it, else a part of its id."""
        if intent.ticket and not self.cloud.settings.takes_ticket:
            return intent.ticket
        return intent.intent_id[:24]

    def _request(self, command: Command[Any], timeout: float, custom_id: str, *, webhook: bool) -> Request:
        cloud, endpoint = self.cloud, self._endpoint(command)
        body = encode_cloud(
            command,
            self._key_pos,
            endpoint.fields,
            defaults=endpoint.defaults,
            branch_digits=cloud.settings.branch_digits,
            custom_id=custom_id,
            webhook=self._webhook if webhook else None,
        )
        headers = {**cloud.headers, "Content-Type": "application/json"}
        once = not command.changes_nothing or getattr(command, "print_on_pos", False)
        return Request("POST", f"{cloud.base_url}/{endpoint.path}", headers, body, timeout=timeout, fresh=once)

    # --------------------------------------------------------------------------------------------------------- recovery

    def queries(self, intent: Intent) -> Sequence[Callable[[float], Flow[Found]]]:
        number = [] if intent.transaction_id is None else [partial(self._by_number, intent)]
        return [*number, *(partial(self._in_the_records, command) for command in self.records)]

    def _by_number(self, intent: Intent, until: float) -> Flow[Found]:
        assert intent.transaction_id is not None
        timeout = min(self.timeouts.short, (yield from _time_left(until)))
        try:
            result = yield from status(self.cloud, intent.transaction_id, timeout, once=True)
        except TransactionNotFound:
            # Or not yet: the query can overtake the transaction.
            return Found()
        custom_id = self.custom_id(intent)
        named = result.custom_id == custom_id
        if result.code != 1 or result.reply is None or not (named or result.custom_id in (None, "", _NO_ID)):
            return Found(in_process=result.in_process)
        return Found((Candidate(result.reply, Source.NUMBER, named=named),))

    def _in_the_records(self, command: Command[Any], until: float) -> Flow[Found]:
        timeout = min(self.timeouts.report, (yield from _time_left(until)))
        attempt = yield from self.attempt(command, Limits(timeout, timeout), urgent=True)
        yield from attempt.reserve()
        event = yield from attempt.submit()
        assert isinstance(event, Heard)
        candidates = [Candidate(reply, Source.RECORD) for reply in recorded(event.reply)]
        return Found(candidates, newest(event.reply, self.profile))

    def listen(self, until: float) -> Flow[Found]:
        yield Sleep(max(until - (yield Now()), 0.0))
        return Found()

    def confirm(self, *, final: bool = False) -> Flow[None]:
        """Nothing to send: the cloud itself acknowledges the terminal's reply."""
        yield from ()

    def may_ask_again(self, error: GetnetError) -> bool:
        """Calls are already repeated if that is safe, and have no date."""
        return False

    def write_dates_as_before(self) -> None:
        """A call has no date."""

    def rearm(self) -> None:
        """Nothing to forget: a cancellation is a command of its own."""

    def cancel(self, frame: bytes | None = None) -> bool:
        return False


def _time_left(until: float) -> Flow[float]:
    """The timeout of a query that must end at ``until``; at least enough for one that is answered at once."""
    now: float = yield Now()
    return max(until - now, _LEAST)


class CloudAttempt:
    """One call of the cloud, and the status queries for the transaction that it began."""

    def __init__(
        self,
        carrier: CloudCarrier,
        command: Command[Any],
        request: Request,
        limits: Limits,
        custom_id: str,
        terms: Terms,
        *,
        urgent: bool,
    ) -> None:
        self.data = request.content
        self.transaction_id: str | None = None
        self._cloud = carrier.cloud
        self._timeouts = carrier.timeouts
        self._command = command
        self._request = request
        self._limits = limits
        self._terms = terms
        self._custom_id = custom_id
        if command.moves_money:
            self._cloud.own.append(custom_id)
        self._what = f"command {command.code}"
        self._place = None if urgent else self._cloud.gate.place()
        self._token: Secret | None = None
        self._sent_at: float | None = None
        self._pushes = carrier.tells_by_number and command.moves_money
        """Whether a webhook notice of the transaction may arrive."""
        self._answered_once = False
        self._deadline = 0.0

    @property
    def begun(self) -> bool:
        return self._request.departure.has_come

    def reserve(self) -> Flow[None]:
        """Wait for a slot among the calls and, for a payment, for a token and until the cloud accepts calls."""
        now: float = yield Now()
        deadline = now + min(self._limits.total, self._timeouts.busy)
        if self._place is not None:
            yield Take(self._place, deadline)
        if self._command.moves_money:
            self._token = yield from self._cloud.bearer.token(deadline)
            yield from self._cloud.pace.wait(deadline)
            now = yield Now()
            if now > deadline:
                raise DeadlineExceeded("nothing was sent: the cloud could not be called in time; try again later")

    def release(self) -> None:
        if self._place is not None:
            self._place.leave()

    def submit(self, recorded: Intent | None = None, lease: Lease | None = None) -> Flow[Event]:
        try:
            if self._command.moves_money:
                event = yield from self._pay(recorded, lease)
            else:
                event = yield from self._ask()
        finally:
            self.release()
        return event

    def next_event(self) -> Flow[Event]:
        """Query the status while the terminal is working on the command.

        Raises:
            DeadlineExceeded: it is still in process at the deadline.
            UnexpectedReply: it has ended, but its result cannot be read.
        """
        if self._answered_once:
            raise UnexpectedReply(f"the cloud's answer does not match {self._what}")
        return self._heard((yield from self._followed(None)))

    # ------------------------------------------------------------------------------------------------------------ query

    def _ask(self) -> Flow[Event]:
        yield from hand_on_receipt(self._terms)
        response, token = yield from call(self._cloud, self._request, was_not_done)
        result = checked(self._cloud, understood(self._cloud, response, token, self._what), token, self._what)
        now: float = yield Now()
        self._deadline = now + self._limits.total
        self._learn_number(result)
        result = yield from self._followed(result)
        if result.reply is None and isinstance(self._command, Poll) and result.code == 1 and result.data is None:
            # The call has succeeded, and a poll has no other result.
            return Heard(
                PollReply(
                    function_code=self._command.code,
                    response_code=0,
                    response_message=result.message,
                    connected=True,
                )
            )
        return self._heard(result)

    # --------------------------------------------------------------------------------------------------------- payments

    def _pay(self, recorded: Intent | None, lease: Lease | None) -> Flow[Event]:
        token = self._token
        if self._sent_at is not None or token is None or recorded is None or recorded.state is not IntentState.INTENT:
            raise JournalError("a payment command must be recorded first, and can be sent only once")
        self._sent_at = sent_at = yield Now()
        self._deadline = sent_at + self._limits.total
        request = self._request
        request.departure.by = may_leave_until(lease, sent_at, self._terms)
        yield from hand_on_receipt(self._terms)
        response = yield from self._cloud.sent_now(with_token(request, token))
        if (yield from self._was_refused_for_its_token(response, token)):
            # The cloud has shown that it did not pass the command on, so it is sent again with a new token.
            try:
                renewed = yield from self._cloud.bearer.renewed(token)
            except GetnetError as error:
                return Refused(error)
            if renewed is None:
                return Refused(refusal(response, self._what, (token,), not_found=WRONG_CLOUD))
            token = renewed
            self._sent_at = sent_at = yield Now()
            try:
                request.departure.by = may_leave_until(lease, sent_at, self._terms)
                response = yield from self._cloud.sent_now(with_token(request, token))
            except GetnetError as error:
                if may_have_left(error):
                    raise
                return Refused(error)
            if (yield from self._was_refused_for_its_token(response, token)):
                return Refused(refusal(response, self._what, (token,), not_found=WRONG_CLOUD))
        return (yield from self._answered(response, token))

    def _was_refused_for_its_token(self, response: Response, token: Secret) -> Flow[bool]:
        """Whether the cloud refused the token in its own words and quickly.

        Any other 401 may come from a gateway, after the command was carried out.
        """
        if response.status != 401 or not (yield from self._is_soon()):
            return False
        return is_token_refusal(self._cloud, response, token)

    def _is_soon(self) -> Flow[bool]:
        """Whether no card can have been read since the command left."""
        now: float = yield Now()
        return now - (self._sent_at or 0.0) <= self._cloud.settings.refusal_within

    def _answered(self, response: Response, token: Secret) -> Flow[Event]:
        cloud = self._cloud
        result = understood(cloud, response, token, self._what)
        self._learn_number(result)
        try:
            checked(cloud, result, token, self._what)
        except TerminalNotFound as error:
            if (yield from self._is_soon()):
                return Refused(error)
            raise
        accepted = result.in_process and self.transaction_id is not None
        return Accepted() if accepted else self._heard(result)

    def _learn_number(self, result: CloudResult) -> None:
        if result.id_pos_txs is not None:
            self.transaction_id = str(result.id_pos_txs)
            self._cloud.own.append(self.transaction_id)

    def _followed(self, result: CloudResult | None) -> Flow[CloudResult]:
        """Query the status until there is a result."""
        number, pause = self.transaction_id, self._timeouts.status
        while result is None or (result.in_process and number is not None):
            now: float = yield Now()
            if number is None or now + pause > self._deadline:
                raise DeadlineExceeded(f"the cloud's transaction {number} is still in process", bytes_written=1)
            if self._pushes:
                # After one notice, from whichever host, there will be no other to wait for.
                self._pushes = not (yield AwaitNotice(number, pause))
            else:
                yield Sleep(pause)
            pause = min(pause * _LONGER, self._timeouts.status * _LONGEST)
            now = yield Now()
            left = max(self._deadline - now, 1.0)
            try:
                result = yield from status(self._cloud, number, min(self._timeouts.short, left), once=True)
            except (TransactionNotFound, TransportError, ServerError, RateLimited, MalformedResponse) as error:
                # The query can overtake the transaction itself.
                log.info("the status of transaction %s is still unknown: %s", number, error)
        return result

    def _heard(self, result: CloudResult) -> Event:
        if result.reply is None:
            raise UnexpectedReply(f"the cloud's answer to {self._what} has no readable result")
        named = self._custom_id not in (_NO_ID, "") and result.custom_id == self._custom_id
        if self._command.moves_money and not named and result.custom_id not in (None, "", _NO_ID):
            raise UnexpectedReply(f"the cloud's answer to {self._what} belongs to another command")
        if self._command.moves_money and result.code != 1:
            raise UnexpectedReply(
                f"the cloud's answer to {self._what} has a result, but its code says that there is none yet"
            )
        self._answered_once = True
        return Heard(result.reply, named=named)
