"""Calls of the cloud's API: pacing, authorization, and reading the answer. Payments are decided elsewhere."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from ..codec.cloud import read_cloud
from ..errors import (
    ApiError,
    DeadlineExceeded,
    MalformedResponse,
    TerminalNotFound,
    TransactionNotFound,
    TransportError,
)
from ..messages import CloudResult
from ..profiles import CloudProfile, Profile
from ..turns import QueueTurn
from .effects import Flow, Now, Random, Request, Response, Sleep
from .http_calls import (
    Bearer,
    RetryPolicy,
    Secret,
    authorized,
    changes_nothing,
    clean,
    json_body,
    never_sent,
    refuse,
    repeated,
    retry_after,
)

__all__ = [
    "WRONG_CLOUD",
    "Cloud",
    "Pace",
    "call",
    "checked",
    "is_token_refusal",
    "status",
    "understood",
    "was_not_done",
]

_TOO_BUSY = frozenset({429, 503})


class Pace:
    """Holds back the calls of all terminals of an account after a 429 or a 503, for as long as the cloud asks."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._not_before = 0.0
        self._refusals = 0

    def wait(self, deadline: float | None = None) -> Flow[None]:
        """Wait until the cloud accepts calls. Raises ``DeadlineExceeded`` if that is after ``deadline``."""
        now: float = yield Now()
        end = now + 2 * self._policy.longest_retry_after
        while now < min(self._not_before, end):
            if deadline is not None and self._not_before > deadline:
                raise DeadlineExceeded("nothing was sent: the cloud has too many requests and asked to wait longer")
            # A random part, so that the terminals do not all call at the same moment.
            yield Sleep(self._not_before - now + self._policy.first_pause * (yield Random()))
            now = yield Now()

    def heard(self, response: Response) -> Flow[None]:
        """Learn from an answer whether the cloud is overloaded."""
        if response.status not in _TOO_BUSY:
            self._refusals = 0
            return
        self._refusals += 1
        asked, now = retry_after(response), (yield Now())
        pause = (yield from self._policy.pause(min(self._refusals, 20))) if asked is None else asked
        self._not_before = max(self._not_before, now + min(pause, self._policy.longest_retry_after))


@dataclass(slots=True)
class Cloud:
    """An account's access to the cloud, shared by all its terminals."""

    base_url: str
    profile: Profile
    bearer: Bearer
    headers: Mapping[str, str]
    gate: QueueTurn
    """Its slots limit how many commands are called at a time."""
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    pace: Pace = field(init=False)
    own: deque[str] = field(default_factory=lambda: deque(maxlen=4096))
    """The ids of recent transactions, our own and the cloud's: a webhook with one of them is expected."""

    def __post_init__(self) -> None:
        self.pace = Pace(self.retry)

    @property
    def settings(self) -> CloudProfile:
        assert self.profile.cloud is not None
        return self.profile.cloud

    def sent(self, request: Request) -> Flow[Response]:
        """The answer to one request, sent as soon as the cloud accepts calls."""
        yield from self.pace.wait()
        return (yield from self.sent_now(request))

    def sent_now(self, request: Request) -> Flow[Response]:
        response: Response = yield request
        yield from self.pace.heard(response)
        return response


def was_not_done(outcome: Response | TransportError) -> bool:
    """Whether to repeat a command that is not a payment: if the terminal certainly did not receive it."""
    return never_sent(outcome) or (isinstance(outcome, Response) and outcome.status == 429)


def call(
    cloud: Cloud, request: Request, may_repeat: Callable[[Response | TransportError], bool] = changes_nothing
) -> Flow[tuple[Response, Secret]]:
    """The answer to a query, and the token that was used."""
    send = partial(repeated, policy=cloud.retry, may_repeat=may_repeat, send=cloud.sent)
    return authorized(request, cloud.bearer, send)


def status(cloud: Cloud, transaction_id: int | str, timeout: float, *, once: bool = False) -> Flow[CloudResult]:
    """The cloud's status of a transaction (docs/protocol.md, "Cloud-to-Cloud"). ``once``: the caller does the retries.

    Raises:
        TransactionNotFound: the cloud does not know the transaction, or not yet.
    """
    request = Request("GET", f"{cloud.base_url}/{transaction_id}", cloud.headers, timeout=timeout)
    response, token = yield from call(cloud, request, (lambda outcome: False) if once else changes_nothing)
    what = f"the status of transaction {transaction_id}"
    return checked(cloud, understood(cloud, response, token, what), token, what)


def understood(cloud: Cloud, response: Response, token: Secret, what: str) -> CloudResult:
    """The result in an answer, even one with outer code 0.

    Raises:
        ApiError: the answer cannot be read, or has an HTTP status other than 200 and is not a known refusal.
    """
    if response.status == 200:
        return read_cloud(json_body(response, (token,)), cloud.profile)
    try:
        result = read_cloud(json_body(response, (token,)), cloud.profile)
    except MalformedResponse:
        result = None
    if result is None or _known_refusal(cloud, result) is None:
        refuse(response, what, (token,), not_found=WRONG_CLOUD)
    return result


WRONG_CLOUD: Final = "check the base URL (--cloud) and the profile: each country's cloud has its own addresses"
"""The advice if the cloud answers 404: its own errors have other statuses."""


def checked(cloud: Cloud, result: CloudResult, token: Secret, what: str) -> CloudResult:
    """Return ``result`` unless it is an error. Raises an ``ApiError`` if it is."""
    if result.code in (1, 2) or result.reply is not None:
        return result
    said = clean(result.message or "no message", (token,))
    kind = _known_refusal(cloud, result) or ApiError
    advice = {
        TerminalNotFound: "check the terminal id, the branch and the serial number",
        TransactionNotFound: "the cloud does not know this transaction, or not yet; try again later",
        ApiError: "check the values of the request, and the terminal",
    }
    raise kind(f"{what} was refused: {said}; {advice[kind]}", status=200, code=str(result.code), message=said)


def is_token_refusal(cloud: Cloud, response: Response, token: Secret) -> bool:
    """Whether an answer with status 401 is the cloud's own refusal of the token."""
    try:
        result = read_cloud(json_body(response, (token,)), cloud.profile)
    except MalformedResponse:
        return False
    return result.code == 0 and result.reply is None and _said(result) in cloud.settings.token_refusals


def _said(result: CloudResult) -> str:
    return " ".join((result.message or "").split()).upper().rstrip(".")


def _known_refusal(cloud: Cloud, result: CloudResult) -> type[ApiError] | None:
    said = _said(result)
    if result.code == 0 and result.reply is None:
        if said in cloud.settings.refusals:
            return TerminalNotFound
        if said in cloud.settings.not_found:
            return TransactionNotFound
    return None
