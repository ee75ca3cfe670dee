"""Every error the library raises, as one tree. This module does no I/O and knows no wire format.

::

    GetnetError
    ├── ConfigurationError          a setting that cannot work
    │   └── InvalidValue            also ValueError: a value that the field does not allow
    │       └── InvalidType         also TypeError: a value of the wrong type (a float as an amount)
    ├── LifecycleError              an operation before polling(), or after close()
    ├── UnsupportedOperation        this profile, wire or terminal has no such operation
    ├── TerminalBusy                another command is using the terminal
    ├── TransportError              the link failed; carries bytes_written
    │   ├── ConnectError            the link could not be opened
    │   │   ├── PortBusy            another process is using the port
    │   │   └── PortPermissionDenied
    │   ├── Disconnected            the link ended while in use
    │   ├── PartialWrite            only some of the bytes were written
    │   ├── UnexpectedStatus        an HTTP status other than 200; carries status
    │   └── DeadlineExceeded        also TimeoutError: nothing was received, or written, in time
    │       └── WriteTimeout
    ├── ProtocolError               the peer broke the protocol
    │   ├── MalformedFrame
    │   ├── FrameTooLarge
    │   ├── SignatureMismatch
    │   ├── ChecksumMismatch
    │   ├── NotAccepted             the terminal answered Received:false
    │   └── UnexpectedReply         a valid reply, but not to this command
    ├── OutcomeUnknown              money may have moved; carries intent_id and reason
    ├── AlreadyCharged              an earlier, identical command was paid; carries reply and intent_id
    ├── JournalError                the journal cannot be written or read
    └── ApiError                    an HTTP API answered with an error
        ├── AuthenticationError     the token or the credentials were refused
        ├── Forbidden               the credentials are valid, but not allowed to do this
        ├── NotFound                no such merchant, or no such address
        │   ├── TerminalNotFound    the cloud knows no such terminal for these credentials
        │   └── TransactionNotFound the cloud does not know the transaction, or not yet
        ├── RateLimited             too many requests; carries retry_after
        ├── RedirectRefused         the server redirected the request; carries location
        ├── ServerError             the server failed
        └── MalformedResponse       not what the API documents; carries item and field

A declined card is a result, not an error. docs/guides/errors.md says what to do about each error.
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
    """The base class of every error of this library. Card numbers in its text are masked.

    Examples:
        >>> str(GetnetError("card 4111 1111 1111 1111 refused"))
        'card ****1111 refused'
    """

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
    """A setting that cannot work; nothing was sent.

    Examples:
        >>> try:
        ...     pos.get_reports("totals")
        ... except ConfigurationError as error:
        ...     print(error)
        kind must be a ReportKind, such as ReportKind.TOTALS, not 'totals'
    """


class InvalidValue(ConfigurationError, ValueError):
    """A value that the field does not allow; nothing was sent.

    Examples:
        >>> try:
        ...     pos.sale(0)
        ... except InvalidValue as error:
        ...     print(error)
        amount must be from 1 to 999999999, not 0
    """


class InvalidType(InvalidValue, TypeError):
    """A value of the wrong type, such as a ``float`` as an amount; nothing was sent.

    Examples:
        >>> try:
        ...     pos.sale(19.99)
        ... except InvalidType as error:
        ...     print(error)
        amount must be an int in wire units or a Decimal in currency units, not float
    """


class LifecycleError(GetnetError):
    """An operation before ``polling()`` succeeded, or after ``close()``; nothing was sent.

    Examples:
        >>> import asyncio
        >>> not_polled = AsyncConnector.create_tcp("192.168.1.20", 8100, journal=MemoryJournal())
        >>> try:
        ...     asyncio.run(not_polled.sale(25_000))
        ... except LifecycleError:
        ...     print("call polling() first")
        call polling() first
    """


class UnsupportedOperation(GetnetError):
    """The profile, the wire or the terminal has no such operation; nothing was sent.

    Examples:
        >>> try:
        ...     pos.print_document(["Thank you"])
        ... except UnsupportedOperation:
        ...     print("only Chile's cloud prints documents")
        only Chile's cloud prints documents
    """


class TerminalBusy(GetnetError):
    """Another command is using the terminal; nothing was sent.

    Examples:
        >>> try:
        ...     sale = pos.sale(25_000)
        ... except TerminalBusy:
        ...     print("another sale is in progress: try again when it is over")
    """


class TransportError(GetnetError):
    """The link to the terminal failed.

    ``bytes_written`` is how many bytes of the current write left before the failure.

    Examples:
        >>> try:
        ...     report = pos.get_reports(ReportKind.TOTALS)
        ... except TransportError as error:
        ...     print("check the cable, then call polling():", error)
    """

    def __init__(self, message: str, *, bytes_written: int = 0) -> None:
        super().__init__(message)
        self.bytes_written = bytes_written


class ConnectError(TransportError):
    """The link could not be opened; nothing was sent.

    Examples:
        >>> try:
        ...     Connector.create_usb("/dev/no-such-port", journal=MemoryJournal())
        ... except ConnectError as error:
        ...     print(error.bytes_written)
        0
    """


class PortBusy(ConnectError):
    """Another process is using the port, or the port is not ready yet after it was plugged in.

    Examples:
        >>> issubclass(PortBusy, ConnectError)
        True
    """


class PortPermissionDenied(ConnectError):
    """The user has no permission to open the port.

    Examples:
        >>> issubclass(PortPermissionDenied, ConnectError)
        True
    """


class Disconnected(TransportError):
    """The link ended while in use: unplugged, reset, or closed by the peer.

    Examples:
        >>> try:
        ...     voucher = pos.last_voucher()
        ... except Disconnected:
        ...     pos.polling()  # opens the link again
    """


class PartialWrite(TransportError):
    """Only the first ``bytes_written`` bytes were written; the peer may or may not act on them.

    Examples:
        >>> PartialWrite("12 of 180 bytes were written", bytes_written=12).bytes_written
        12
    """


class UnexpectedStatus(TransportError):
    """A terminal's HTTP server answered with ``status`` instead of a reply; it may or may not have run the command.

    Examples:
        >>> UnexpectedStatus("the terminal answered with status 404", status=404).status
        404
    """

    def __init__(self, message: str, *, status: int, bytes_written: int = 0) -> None:
        super().__init__(message, bytes_written=bytes_written)
        self.status = status


class DeadlineExceeded(TransportError, TimeoutError):
    """The peer did not answer within the deadline. It is also a ``TimeoutError``.

    Examples:
        >>> try:
        ...     reply = pos.request(Poll(), timeout=5)
        ... except TimeoutError:
        ...     print("check that the terminal is on and in integrated mode")
    """


class WriteTimeout(DeadlineExceeded):
    """Nothing could be written within the deadline.

    Examples:
        >>> issubclass(WriteTimeout, DeadlineExceeded)
        True
    """


class ProtocolError(GetnetError):
    """The peer sent something that the protocol does not allow.

    Examples:
        >>> try:
        ...     voucher = pos.duplicate(pos.sale(25_000).operation_id)
        ... except ProtocolError as error:
        ...     print("the terminal broke the protocol:", error)
    """


class MalformedFrame(ProtocolError):
    """Bytes that are not a frame, or a frame whose content has no meaning.

    Examples:
        >>> from getnet_pos.codec import unseal
        >>> try:
        ...     unseal(b'{"JsonSerialized":"{')
        ... except MalformedFrame:
        ...     print("not a frame")
        not a frame
    """


class FrameTooLarge(ProtocolError):
    """A frame longer than the decoder's limit.

    Examples:
        >>> from getnet_pos.codec import Decoder
        >>> [bad] = Decoder(max_frame=1024).feed(b'{"JsonSerialized":"' + b"x" * 2000)
        >>> type(bad.error()).__name__
        'FrameTooLarge'
    """


class SignatureMismatch(ProtocolError):
    """A signed frame whose signature is missing or does not match its text.

    Examples:
        >>> from getnet_pos.codec import unseal
        >>> try:
        ...     unseal(b'{"JsonSerialized":"{}","Signature":"0"}')
        ... except SignatureMismatch:
        ...     print("damaged on the way")
        damaged on the way
    """


class ChecksumMismatch(ProtocolError):
    """A simplified frame whose LRC does not match its text.

    Examples:
        >>> BadFrame(FrameFault.CHECKSUM, "the LRC does not match", size=20).error()
        ChecksumMismatch('the LRC does not match')
    """


class NotAccepted(ProtocolError):
    """The terminal answered ``Received: false``: it did not accept the command.

    Examples:
        >>> try:
        ...     batch = pos.close_batch()
        ... except NotAccepted:
        ...     print("see what the terminal's screen shows, and finish it there")
    """


class UnexpectedReply(ProtocolError):
    """A valid reply that does not answer the command in progress.

    Examples:
        >>> try:
        ...     reply = pos.polling()
        ... except UnexpectedReply:
        ...     print("the terminal answered something else: poll again")
    """


class OutcomeUnknown(GetnetError):
    """The outcome of a payment command is unknown: money may have moved. Do not repeat it until you know.

    ``intent_id`` identifies the command in the journal, and ``__cause__``, if set, is the error that made its outcome
    unknown. docs/guides/unknown-outcomes.md says what to do.

    Examples:
        >>> try:
        ...     sale = pos.sale(25_000)
        ... except OutcomeUnknown as unknown:
        ...     print("do not charge again: look at the terminal, then resolve", unknown.intent_id)
    """

    def __init__(self, message: str, *, intent_id: str, reason: str = "", is_earlier: bool = False) -> None:
        super().__init__(message)
        self.intent_id = intent_id
        self.reason = reason
        """Why the outcome is unknown: what did not arrive, or what arrived and did not match."""
        self.is_earlier = is_earlier
        """Whether the unknown outcome is that of an earlier command; nothing was sent for this one."""


class AlreadyCharged(GetnetError):
    """Nothing was sent: an earlier command of the same ticket and amount was paid, and its caller may not know.

    ``intent_id`` identifies that command. ``reply`` is its result from the journal, or ``None`` if a person decided
    that it was paid. ``found`` says how the result was found ("recovery", "late reply" or "person"), and ``at`` when
    (UTC, ISO 8601).

    Examples:
        >>> try:
        ...     sale = pos.sale(25_000, ticket="A1234")
        ... except AlreadyCharged as charged:
        ...     sale = charged.reply  # hand out the goods for this payment, once
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
    """The journal cannot be written or read; no payment command was sent.

    ``intent_id`` identifies the open command of the same terminal that is the reason, if there is one.

    Examples:
        >>> try:
        ...     SqliteJournal("/dev/null/journal.sqlite3").intents()
        ... except JournalError:
        ...     print("choose a directory that this user can write to")
        choose a directory that this user can write to
    """

    def __init__(self, message: str, *, intent_id: str | None = None) -> None:
        super().__init__(message)
        self.intent_id = intent_id


class ApiError(GetnetError):
    """An HTTP API answered with an error.

    ``status`` is the HTTP status, ``code`` and ``message`` are the API's own if it sent them, and ``log_id`` is its
    trace identifier: quote it to support.

    Examples:
        >>> ApiError("the cloud refused the command", status=400, code="400", log_id="5f1c").log_id
        '5f1c'
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
    """The token or the credentials were refused.

    Examples:
        >>> AuthenticationError("the credentials were refused", status=401).status
        401
    """


class Forbidden(ApiError):
    """The credentials are valid but not allowed to do this.

    Examples:
        >>> Forbidden("not allowed", status=403).status
        403
    """


class NotFound(ApiError):
    """There is nothing at this address: check the merchant id and the base URL.

    Examples:
        >>> NotFound("no such merchant", status=404).status
        404
    """


class TerminalNotFound(NotFound):
    """The cloud knows no such terminal for these credentials; the command reached no terminal.

    Examples:
        >>> issubclass(TerminalNotFound, NotFound)
        True
    """


class TransactionNotFound(NotFound):
    """The cloud does not know the transaction, or does not know it yet. It does not mean that nothing was paid.

    Examples:
        >>> issubclass(TransactionNotFound, NotFound)
        True
    """


class RateLimited(ApiError):
    """Too many requests. ``retry_after`` is how long the server asks to wait, in seconds; ``None`` if it does not say.

    Examples:
        >>> RateLimited("too many requests", status=429, retry_after=2.5).retry_after
        2.5
    """

    def __init__(self, text: str, *, retry_after: float | None = None, **answer: Any) -> None:
        super().__init__(text, **answer)
        self.retry_after = retry_after


class RedirectRefused(ApiError):
    """The server redirected the request to ``location``. Redirects are never followed, so as not to leak the token.

    Examples:
        >>> RedirectRefused("redirected", status=302, location="https://example.com/login").location
        'https://example.com/login'
    """

    def __init__(self, text: str, *, location: str | None = None, **answer: Any) -> None:
        super().__init__(text, **answer)
        self.location = location


class ServerError(ApiError):
    """The server failed to process the request.

    Examples:
        >>> ServerError("the server failed", status=503).status
        503
    """


class MalformedResponse(ApiError):
    """The answer is not what the API documents: not JSON, truncated, or a field with a value it cannot hold.

    ``field`` names the field, and ``item`` is the position, from 0, of the list item it is in; ``None`` if unknown.

    Examples:
        >>> error = MalformedResponse("commercial_mode must be text", item=4, field="commercial_mode")
        >>> error.item, error.field
        (4, 'commercial_mode')
    """

    def __init__(self, text: str, *, item: int | None = None, field: str | None = None, **answer: Any) -> None:
        super().__init__(text, **answer)
        self.item = item
        self.field = field


class ProvisionalCommandWarning(UserWarning):
    """The command code in use is this library's own assumption: Getnet has published none.

    Examples:
        >>> import warnings
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("error", ProvisionalCommandWarning)  # raise instead of sending such a code
    """
