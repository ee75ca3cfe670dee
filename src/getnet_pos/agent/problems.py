"""Refusals as problem documents (RFC 9457): a stable type for each, with our advice. It sends nothing.

An outcome that nobody knows is never a problem: it is an answer. So whoever gets a problem for a payment may rely on it
that this request moved no money.
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
"""What every type begins with."""


@dataclass(frozen=True, slots=True)
class Kind:
    status: int
    title: str
    advice: str
    nothing_sent: bool = False
    """Whether it is raised only where no byte of the command has left."""


_LINK = "Look at the cable, the network and the terminal; the agent opens the link again by itself."
_ASK = "Ask the terminal for its totals or its last vouchers before you ask for the same again."
_PROVIDER = "Show this to whoever runs the agent."

KINDS: Final[dict[str, Kind]] = {
    # Of a payment these say nothing: the same key may have been sent before.
    "other-host": Kind(403, "Another host is meant", "Ask for 127.0.0.1 or localhost, with the agent's port."),
    "no-origin": Kind(403, "The page has no origin", "Ask in the mode cors, from a page on the list."),
    "other-origin": Kind(
        403, "The page is not on the list", "Start the agent with --allow-origin and the origin of the page."
    ),
    "token-needed": Kind(
        401, "The pairing token is needed", "Send Authorization: Bearer, and the token that the agent keeps."
    ),
    "wrong-tokens": Kind(429, "Too many wrong tokens", "Pair again, with the token that the agent keeps."),
    "too-often": Kind(429, "Too many requests", "Wait, as Retry-After says."),
    "too-many": Kind(503, "Too many at once", "Close pages that nobody needs, and send the request again."),
    "too-large": Kind(413, "The body is too large", "Send what /v1/openapi.json describes."),
    "too-slow": Kind(408, "The body came too slowly", "Send the request again."),
    "stopping": Kind(503, "The agent is being stopped", "Send the request again once it runs."),
    "invalid-request": Kind(400, "The request cannot be read", "Send what /v1/openapi.json describes.", True),
    "invalid-value": Kind(422, "A value cannot be meant", "Correct the value and send the request again.", True),
    "key-needed": Kind(
        400,
        "The payment has no name",
        "Send the header Idempotency-Key, or a ticket: with the same one a payment is made once.",
        True,
    ),
    "key-reused": Kind(
        409, "The key is that of another payment", "Give each payment a key, or a ticket, of its own.", True
    ),
    "already-charged": Kind(
        409,
        "The same was charged before",
        "Show the earlier result. Where a second charge is meant, send again: true.",
        True,
    ),
    "not-sent": Kind(409, "The payment was not sent", "It may be sent again, also with the same key.", True),
    "unknown-payment": Kind(404, "There is no such payment", "Nothing was ever sent under this key.", True),
    "unknown-terminal": Kind(404, "There is no such terminal", "GET /v1/terminals lists the names.", True),
    "unknown-path": Kind(404, "There is no such address", "/v1/openapi.json lists the addresses.", True),
    "wrong-method": Kind(405, "The address does not take this method", "See /v1/openapi.json.", True),
    "not-json": Kind(415, "The body is not JSON", "Send Content-Type: application/json.", True),
    "cannot-resolve": Kind(409, "The payment cannot be resolved", "GET /v1/intents lists those that can be.", True),
    "terminal-busy": Kind(409, "The terminal is busy", "Wait until its command has ended.", True),
    "not-ready": Kind(503, "The terminal is not ready", "Look at the terminal's screen.", True),
    "unsupported": Kind(422, "The terminal has no such operation", "Do it on the terminal.", True),
    "cannot-connect": Kind(503, "The terminal cannot be reached", _LINK, True),
    "port-busy": Kind(503, "Another program holds the port", "End the other program.", True),
    "port-permission": Kind(503, "The port may not be opened", "Give the agent's user the right to it.", True),
    "disconnected": Kind(503, "The link has ended", _LINK),
    "partial-write": Kind(503, "The link took only a part", _LINK),
    "no-answer": Kind(504, "The terminal did not answer in time", _LINK),
    "link": Kind(503, "The link has failed", _LINK),
    "protocol": Kind(502, "The terminal's answer cannot be used", _ASK),
    "not-accepted": Kind(502, "The terminal did not accept the command", "Look at the terminal's screen."),
    "journal": Kind(
        503, "The journal cannot be used", "Free the disk, or mend the database. Without it no payment is sent."
    ),
    "configuration": Kind(500, "A setting of the agent cannot work", _PROVIDER, True),
    "cloud": Kind(502, "The cloud has answered with an error", _ASK),
    "cloud-credentials": Kind(502, "The cloud does not take the credentials", _PROVIDER),
    "cloud-terminal": Kind(502, "The cloud does not know the terminal", _PROVIDER),
    "cloud-rate": Kind(503, "The cloud is asked too often", "Wait, as Retry-After says."),
    "failed": Kind(
        500,
        "The agent has failed",
        "Do not send a payment again before you have asked for it: GET /v1/payments?key=KEY, or GET /v1/intents.",
    ),
}
"""The problems by the end of their type."""


class AgentStopped(GetnetError):
    """The agent was stopped before the command was sent, or before a question was answered."""


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
"""An error that is not here is the problem of the nearest one above it."""


class Problem(Exception):
    """A refusal, as it is answered. ``kind`` is one of ``KINDS``."""

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
    """What is answered for ``error``; ``intent`` is what the journal has of a payment, if anything."""
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
