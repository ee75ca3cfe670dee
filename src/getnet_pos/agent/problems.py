"""Refusals as problem documents (RFC 9457), each with a stable type and advice. It sends nothing.

An unknown outcome is never a problem: it is a normal response. So a problem in response to a payment means that this
request moved no money.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from .. import errors
from ..errors import AlreadyCharged, GetnetError, RateLimited
from ..masking import masked
from ..messages import Intent, IntentState
from ..messages.documents import reply_document

__all__ = ["KINDS", "PREFIX", "AgentStopped", "Kind", "Problem", "problem_of"]

PREFIX: Final = "urn:getnet-pos:problem:"
"""The beginning of every type."""


@dataclass(frozen=True, slots=True)
class Kind:
    status: int
    title: str
    advice: str
    nothing_sent: bool = False
    """Whether it certainly means that no byte of the command was sent."""


_LINK = "Check the cable, the network and the terminal. The agent reopens the link by itself."
_ASK = "Look up the totals or the last vouchers on the terminal before you send the request again."
_PROVIDER = "Show this message to the person who operates the agent."

KINDS: Final[dict[str, Kind]] = {
    # These say nothing about a payment: an earlier request may have sent it under the same key.
    "other-host": Kind(403, "Unknown host name", "Use http://127.0.0.1:PORT, or a name that --host gave the agent."),
    "no-origin": Kind(403, "The page has no origin", "Use fetch in its mode cors, from a page with an allowed origin."),
    "other-origin": Kind(
        403, "Origin not allowed", "Restart the agent with --allow-origin and the origin of the page."
    ),
    "token-needed": Kind(
        401,
        "The pairing token is missing or wrong",
        "Send the header Authorization: Bearer TOKEN; the token is in the agent's token file.",
    ),
    "wrong-tokens": Kind(429, "Too many wrong tokens", "Pair again, with the token in the agent's token file."),
    "too-often": Kind(429, "Too many requests", "Wait for the seconds in Retry-After."),
    "too-many": Kind(503, "Too many connections", "Close pages that you do not need, and send the request again."),
    "too-large": Kind(413, "The body is too large", "Send a body as described in /v1/openapi.json."),
    "too-slow": Kind(408, "The body arrived too slowly", "Send the request again."),
    "stopping": Kind(503, "The agent is stopping", "Send the request again once the agent has restarted."),
    "invalid-request": Kind(400, "Invalid request", "Send a request as described in /v1/openapi.json.", True),
    "invalid-value": Kind(422, "Invalid value", "Correct the value and send the request again.", True),
    "key-needed": Kind(
        400,
        "Idempotency-Key missing",
        "Send the header Idempotency-Key, or for a sale a ticket: one key is one payment, however often you send it.",
        True,
    ),
    "key-reused": Kind(409, "Key already used", "Use a new key, or a new ticket, for each payment.", True),
    "already-charged": Kind(
        409,
        "Already charged",
        'Show the earlier result. To charge a second time on purpose, send "again": true and a new key.',
        True,
    ),
    "not-sent": Kind(409, "The payment was not sent", "You can send it again, even with the same key.", True),
    "unknown-payment": Kind(404, "Unknown payment", "Nothing was ever sent under this key.", True),
    "unknown-terminal": Kind(404, "Unknown terminal", "GET /v1/terminals lists the names of the terminals.", True),
    "unknown-path": Kind(404, "Unknown address", "/v1/openapi.json lists the addresses of the agent.", True),
    "wrong-method": Kind(405, "Wrong method for this address", "See /v1/openapi.json.", True),
    "not-json": Kind(415, "The body is not JSON", "Send Content-Type: application/json.", True),
    "cannot-resolve": Kind(
        409, "The payment cannot be resolved", "GET /v1/intents lists the payments that can be resolved.", True
    ),
    "terminal-busy": Kind(
        409, "The terminal is busy", "Send the request again once the terminal has ended its command.", True
    ),
    "not-ready": Kind(503, "The terminal is not ready", "Look at the terminal's screen.", True),
    "unsupported": Kind(422, "The terminal has no such operation", "Run the operation on the terminal.", True),
    "cannot-connect": Kind(503, "The terminal cannot be reached", _LINK, True),
    "port-busy": Kind(
        503, "Another program uses the port", "Close the other program, and send the request again.", True
    ),
    "port-permission": Kind(503, "No permission for the port", "Give the agent's user access to the port.", True),
    "disconnected": Kind(503, "The link was lost", _LINK),
    "partial-write": Kind(503, "The link failed while sending", _LINK),
    "no-answer": Kind(504, "The terminal did not reply in time", _LINK),
    "link": Kind(503, "The link failed", _LINK),
    "protocol": Kind(502, "The terminal's reply cannot be used", _ASK),
    "not-accepted": Kind(502, "The terminal did not accept the command", "Look at the terminal's screen."),
    "journal": Kind(
        503,
        "The journal cannot be used",
        "Free some disk space, or repair the database. Without the journal no payment is sent.",
    ),
    "configuration": Kind(500, "A setting of the agent is invalid", _PROVIDER, True),
    "cloud": Kind(502, "The cloud responded with an error", _ASK),
    "cloud-credentials": Kind(502, "The cloud refused the credentials", _PROVIDER),
    "cloud-terminal": Kind(502, "The cloud does not know the terminal", _PROVIDER),
    "cloud-rate": Kind(503, "Too many requests to the cloud", "Wait for the seconds in Retry-After."),
    "failed": Kind(
        500,
        "Internal error of the agent",
        "Before you send a payment again, look it up: GET /v1/payments?key=KEY, or GET /v1/intents.",
    ),
}
"""The problems, by the last part of their type."""


class AgentStopped(GetnetError):
    """The agent was stopped before the command was sent, or before the reply to a query arrived."""


_OF_ERRORS: Final[dict[type[GetnetError], str]] = {
    errors.GetnetError: "failed",
    errors.ConfigurationError: "configuration",
    errors.InvalidValue: "invalid-value",
    errors.LifecycleError: "not-ready",
    errors.UnsupportedOperation: "unsupported",
    errors.TerminalBusy: "terminal-busy",
    errors.TransportError: "link",
    errors.ConnectError: "cannot-connect",
    errors.PortBusy: "port-busy",
    errors.PortPermissionDenied: "port-permission",
    errors.Disconnected: "disconnected",
    errors.PartialWrite: "partial-write",
    errors.DeadlineExceeded: "no-answer",
    errors.ProtocolError: "protocol",
    errors.NotAccepted: "not-accepted",
    errors.AlreadyCharged: "already-charged",
    errors.JournalError: "journal",
    errors.ApiError: "cloud",
    errors.AuthenticationError: "cloud-credentials",
    errors.Forbidden: "cloud-credentials",
    errors.TerminalNotFound: "cloud-terminal",
    errors.RateLimited: "cloud-rate",
    AgentStopped: "stopping",
}
"""An error that is not listed has the problem of its nearest listed base class."""


class Problem(Exception):
    """A refusal, as sent in the response. ``kind`` is a key of ``KINDS``."""

    def __init__(self, kind: str, detail: str, *, retry_after: float | None = None, **more: Any) -> None:
        super().__init__(detail)
        self.kind = KINDS[kind]
        self.headers = {} if retry_after is None else {"Retry-After": str(max(1, round(retry_after)))}
        self.document: dict[str, Any] = masked(
            {
                "type": PREFIX + kind,
                "title": self.kind.title,
                "status": self.kind.status,
                "detail": detail,
                "advice": self.kind.advice,
                "nothing_sent": self.kind.nothing_sent,
                **more,
            }
        )


def problem_of(error: GetnetError, *, is_payment: bool = False, intent: Intent | None = None) -> Problem:
    """The problem for ``error``. ``intent`` is the payment in the journal, if it is there."""
    name = next(_OF_ERRORS[kind] for kind in type(error).__mro__ if kind in _OF_ERRORS)
    more: dict[str, Any] = {}
    if is_payment and (intent is None or intent.state is IntentState.NOT_SENT):
        more["nothing_sent"] = True
    if isinstance(error, AlreadyCharged):
        reply = None if error.reply is None else reply_document(error.reply)
        more |= {"intent_id": error.intent_id, "reply": reply, "found": error.found, "at": error.at}
    elif intent is not None:
        more["intent_id"] = intent.intent_id
    retry = error.retry_after or 1 if isinstance(error, RateLimited) else None
    return Problem(name, str(error) or HTTPStatus(KINDS[name].status).phrase, retry_after=retry, **more)
