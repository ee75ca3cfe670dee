"""Every error the library raises, as one tree. Nothing here does I/O or knows a wire.

::

    GetnetError
    ├── ConfigurationError          a setting that cannot work
    │   └── InvalidValue            also ValueError: a value outside what the field allows
    │       └── InvalidType         also TypeError: a value of a kind that is refused (a float as money)
    ├── LifecycleError              an operation before its turn, or after close()
    ├── UnsupportedOperation        this profile, wire or terminal has no such operation
    ├── TerminalBusy                another command holds the terminal
    ├── TransportError              the link; carries bytes_written
    │   ├── ConnectError            it could not be opened
    │   │   ├── PortBusy            another process holds the port
    │   │   └── PortPermissionDenied
    │   ├── Disconnected            it ended while in use
    │   ├── PartialWrite            only a part of the bytes left
    │   ├── UnexpectedStatus        an HTTP status other than 200; carries status
    │   └── DeadlineExceeded        also TimeoutError: nothing came, or could be written, in time
    │       └── WriteTimeout
    ├── ProtocolError               the peer broke the protocol
    │   ├── MalformedFrame
    │   ├── FrameTooLarge
    │   ├── SignatureMismatch
    │   ├── ChecksumMismatch
    │   ├── NotAccepted             the terminal answered Received:false
    │   └── UnexpectedReply         a valid reply, but not to this command
    ├── OutcomeUnknown              money may have moved; carries intent_id, reason and what to do
    ├── AlreadyCharged              the same was paid before, and its caller may not know; carries reply and intent_id
    ├── JournalError                the durable record cannot be kept
    └── ApiError                    an HTTP API answered with an error
        ├── AuthenticationError     the token or the credentials
        ├── Forbidden               known, but not allowed
        ├── NotFound                no such merchant, or no such address
        │   ├── TerminalNotFound    the cloud knows no such terminal for these credentials
        │   └── TransactionNotFound the cloud does not know the transaction, or not yet
        ├── RateLimited             too many requests; carries retry_after
        ├── RedirectRefused         sent elsewhere; carries location
        ├── ServerError             the server's fault
        └── MalformedResponse       not what the API documents; carries item and field

A declined card is a result, not an error.
"""

from __future__ import annotations

from typing import Any

from .masking import mask

__all__ = [
    "AlreadyCharged",
    "ApiError",
    "AuthenticationError",
    "ChecksumMismatch",
    "ConfigurationError",
    "ConnectError",
    "DeadlineExceeded",
    "Disconnected",
    "Forbidden",
    "FrameTooLarge",
    "GetnetError",
    "InvalidType",
    "InvalidValue",
    "JournalError",
    "LifecycleError",
    "MalformedFrame",
    "MalformedResponse",
    "NotAccepted",
    "NotFound",
    "OutcomeUnknown",
    "PartialWrite",
    "PortBusy",
    "PortPermissionDenied",
    "ProtocolError",
    "ProvisionalCommandWarning",
    "RateLimited",
    "RedirectRefused",
    "ServerError",
    "SignatureMismatch",
    "TerminalBusy",
    "TerminalNotFound",
    "TransactionNotFound",
    "TransportError",
    "UnexpectedReply",
    "UnexpectedStatus",
    "UnsupportedOperation",
    "WriteTimeout",
]


class GetnetError(Exception):
    """The root of every error of this library. Its text shows no card number, whoever wrote one there."""

    def __init__(self, *args: object) -> None:
        super().__init__(*(mask(arg) if isinstance(arg, str) else arg for arg in args))

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(kind: type[GetnetError], args: tuple[Any, ...], state: dict[str, Any]) -> GetnetError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigurationError(GetnetError):
    """A setting that cannot work, found before anything was sent."""


class InvalidValue(ConfigurationError, ValueError):
    """A value outside what the field allows; nothing was sent."""


class InvalidType(InvalidValue, TypeError):
    """A value of a kind that is refused, such as a float where money is meant; nothing was sent."""


class LifecycleError(GetnetError):
    """An operation out of order: before ``polling()`` or after ``close()``; nothing was sent."""


class UnsupportedOperation(GetnetError):
    """The profile, the wire or the terminal has no such operation; nothing was sent."""


class TerminalBusy(GetnetError):
    """Another command holds the terminal; nothing was sent."""


class TransportError(GetnetError):
    """The link to the terminal failed.

    ``bytes_written`` counts the bytes of the current write that left before it failed; zero means that none did.
    """

    def __init__(self, message: str, *, bytes_written: int = 0) -> None:
        super().__init__(message)
        self.bytes_written = bytes_written


class ConnectError(TransportError):
    """The link could not be opened; nothing was sent."""


class PortBusy(ConnectError):
    """The port is held by another process, or not ready yet after plugging in."""


class PortPermissionDenied(ConnectError):
    """The user may not open the port."""


class Disconnected(TransportError):
    """The link ended while in use: unplugged, reset, or closed by the peer."""


class PartialWrite(TransportError):
    """Only the first ``bytes_written`` bytes left; whether the peer acts on them is not known."""


class UnexpectedStatus(TransportError):
    """A terminal's HTTP server answered with ``status`` in the place of a reply: what became of the command is open."""

    def __init__(self, message: str, *, status: int, bytes_written: int = 0) -> None:
        super().__init__(message, bytes_written=bytes_written)
        self.status = status


class DeadlineExceeded(TransportError, TimeoutError):
    """The peer did not do what it should within the deadline."""


class WriteTimeout(DeadlineExceeded):
    """No byte could be written within the deadline."""


class ProtocolError(GetnetError):
    """The peer sent something the protocol does not allow."""


class MalformedFrame(ProtocolError):
    """Bytes that are not a frame, or a frame that does not mean anything."""


class FrameTooLarge(ProtocolError):
    """A frame longer than the decoder's limit."""


class SignatureMismatch(ProtocolError):
    """A signed frame whose signature is missing or does not fit its text."""


class ChecksumMismatch(ProtocolError):
    """A simplified frame whose LRC does not fit its text."""


class NotAccepted(ProtocolError):
    """The terminal answered ``Received: false``: it did not accept the command."""


class UnexpectedReply(ProtocolError):
    """A valid reply that does not answer the command in progress."""


class OutcomeUnknown(GetnetError):
    """Money may or may not have moved: never repeat the command before the question is answered.

    ``intent_id`` names the operation. ``__cause__``, where present, is what raised the doubt.
    """

    def __init__(self, message: str, *, intent_id: str, reason: str = "", is_earlier: bool = False) -> None:
        super().__init__(message)
        self.intent_id = intent_id
        self.reason = reason
        """What came and what did not fit, or what did not come."""
        self.is_earlier = is_earlier
        """Whether it is an earlier command's outcome that stands in the way: nothing was sent for this one."""


class AlreadyCharged(GetnetError):
    """Nothing was sent: an earlier command of the same ticket and amount was paid, and its caller may not know of it.

    ``intent_id`` names that command, ``reply`` is its result as the journal kept it (``None`` where a person has
    decided that it was paid), ``found`` says how that was found ("recovery", "late reply" or "person") and ``at`` when
    (UTC, ISO 8601).
    """

    def __init__(
        self, message: str, *, intent_id: str, reply: Any = None, found: str | None = None, at: str = ""
    ) -> None:
        super().__init__(message)
        self.intent_id = intent_id
        self.reply = reply
        self.found = found
        self.at = at


class JournalError(GetnetError):
    """The durable record of money commands cannot be kept; no money command was sent."""


class ApiError(GetnetError):
    """An HTTP API answered with an error.

    ``status`` is the HTTP status, ``code`` and ``message`` are the API's own words where it sent any, and ``log_id`` is
    its identifier for tracing, to be quoted to support.
    """

    def __init__(
        self,
        text: str,
        *,
        status: int | None = None,
        code: str | None = None,
        message: str | None = None,
        log_id: str | None = None,
    ) -> None:
        super().__init__(text)
        self.status = status
        self.code = code
        self.message = message
        self.log_id = log_id


class AuthenticationError(ApiError):
    """The token or the credentials were refused."""


class Forbidden(ApiError):
    """The credentials are known but may not do this."""


class NotFound(ApiError):
    """There is no such thing at this address: look at the merchant id and at the base URL."""


class TerminalNotFound(NotFound):
    """The cloud knows no such terminal for these credentials; the command did not reach one."""


class TransactionNotFound(NotFound):
    """The cloud knows no such transaction, or does not know it yet."""


class RateLimited(ApiError):
    """Too many requests. ``retry_after`` is how many seconds the server asks to wait, where it says so."""

    def __init__(self, text: str, *, retry_after: float | None = None, **answer: Any) -> None:
        super().__init__(text, **answer)
        self.retry_after = retry_after


class RedirectRefused(ApiError):
    """The server sent the request elsewhere, to ``location``. Redirects are never followed: a token would go along."""

    def __init__(self, text: str, *, location: str | None = None, **answer: Any) -> None:
        super().__init__(text, **answer)
        self.location = location


class ServerError(ApiError):
    """The server failed to process the request."""


class MalformedResponse(ApiError):
    """The answer is not what the API documents: not JSON, cut, or a value that a field cannot hold.

    ``field`` names the field and ``item`` the position, from 0, of the list item that holds it, where there is one.
    """

    def __init__(self, text: str, *, item: int | None = None, field: str | None = None, **answer: Any) -> None:
        super().__init__(text, **answer)
        self.item = item
        self.field = field


class ProvisionalCommandWarning(UserWarning):
    """The command code in use is this library's own assumption: Getnet has published none."""
