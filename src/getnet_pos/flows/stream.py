"""The carrier over a byte stream: a serial port, a socket or an HTTP address. It sends and listens, no more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any, TypeVar

from ..errors import (
    DeadlineExceeded,
    Disconnected,
    GetnetError,
    JournalError,
    NotAccepted,
    UnexpectedReply,
    UnsupportedOperation,
)
from ..logs import logger
from ..masking import mask
from ..messages import (
    Ack,
    BadFrame,
    CancelReply,
    CancelSale,
    CloudRefund,
    Command,
    CommandMessage,
    DetailsReport,
    FrameFault,
    GenericCommand,
    Intent,
    IntentState,
    LastVoucher,
    ParametersReport,
    Poll,
    Progress,
    Reply,
    Wire,
)
from ..profiles import Profile, Timeouts
from .carrier import NO_TERMS, Accepted, Candidate, Event, Found, Heard, Limits, Sent, Source, Terms, hand_on_receipt
from .effects import Flow, Lease, Now, Report, Sleep, WallClock
from .link import Link, log_left_out
from .matching import newest

__all__ = ["StreamAttempt", "StreamCarrier"]

C = TypeVar("C", bound=Command[Any])

log = logger("getnet_pos.stream")

_UNSENT_WITHIN = 2.0
"""How long to wait, after opening the link again, for a reply that the terminal could not send, in seconds."""
_SILENT_ROUNDS = 2
"""After this many queries in a row without a byte in answer, the link is opened again."""


class StreamCarrier:
    """One terminal at the end of a byte stream."""

    vouchers_name_ticket = True

    tells_by_number = False

    def __init__(
        self, profile: Profile, timeouts: Timeouts, *, wire: Wire, acknowledges: bool, is_pluggable: bool = False
    ) -> None:
        self.timeouts = timeouts
        self.profile = profile
        self.is_pluggable = is_pluggable
        """Whether another terminal may be connected when the link comes back."""
        self.link = Link(wire, timeouts, profile.catalogue, acknowledges=acknowledges and wire is Wire.SIGNED)
        self._answered = False
        """Whether the last query was answered."""
        self._silent_rounds = 0
        self._day_first = profile.day_first

    @property
    def device(self) -> str | None:
        return self.link.device

    @property
    def line(self) -> int:
        return self.link.openings

    @property
    def is_silent(self) -> bool:
        return not self.link.heard

    @property
    def echoes(self) -> bool:
        return self.link.echoes

    @property
    def is_open(self) -> bool:
        return self.link.is_open

    @property
    def greeting(self) -> Command[Any]:
        """A poll; on the simplified wire, which has none, a details report, because it changes nothing."""
        return DetailsReport() if self.link.wire is Wire.SIMPLIFIED else Poll()

    @property
    def introduction(self) -> Command[Any] | None:
        return None if self.link.wire is Wire.SIMPLIFIED else ParametersReport()

    @property
    def records(self) -> Sequence[Command[Any]]:
        return () if self.link.wire is Wire.SIMPLIFIED else (LastVoucher(),)

    def limits(self, command: Command[Any], timeout: float | None) -> Limits:
        return Limits.of(command, self.timeouts) if timeout is None else Limits(timeout, timeout)

    def open(self) -> Flow[None]:
        return self.link.open()

    def close(self, cause: GetnetError | None = None) -> Flow[None]:
        return self.link.close(cause)

    def check(self, command: C, intent_id: str = "") -> C:
        if command.cloud_only:
            raise UnsupportedOperation(
                f"{type(command).__name__} (command {command.code}) works only through a cloud: use create_cloud (on "
                "the command line: --cloud)"
            )
        if isinstance(command, CancelSale) and self.link.wire is Wire.SIMPLIFIED:
            raise UnsupportedOperation("the simplified wire cannot cancel a sale: cancel it on the terminal")
        if isinstance(command, CloudRefund) and command.original_date is not None:
            raise UnsupportedOperation("only Argentina's cloud takes original_date: leave it out")
        if isinstance(command, GenericCommand):
            # Encode it now, because the caller's fields may not be encodable.
            self.link.encode(command)
        return command

    def clear(self) -> Flow[list[Reply]]:
        return self.link.discard_stale()

    def attempt(
        self,
        command: Command[Any],
        limits: Limits,
        intent: Intent | None = None,
        *,
        urgent: bool = False,
        terms: Terms = NO_TERMS,
    ) -> Flow[StreamAttempt]:
        command = yield from self._stamped(command)
        cancel: CancelSale | None = None
        if command.takes_card and self.link.wire is Wire.SIGNED:
            cancel = CancelSale(date_time=(yield from self._date_time()))
        data = terms.frame if self.link.wire is Wire.SIGNED else None
        if data is None:
            data = self.link.encode(command)
        return StreamAttempt(self.link, command, data, limits, cancel, terms, reconnects=not self.is_pluggable)

    def queries(self, intent: Intent) -> Sequence[Callable[[float], Flow[Found]]]:
        return (self._inquire,)

    def _inquire(self, until: float) -> Flow[Found]:
        """Query the last voucher and listen. The command's own late reply may arrive instead."""
        link = self.link
        now: float
        if not link.is_open:
            yield from link.open()
            if self.is_pluggable:
                # A terminal that could not send its reply does so now, before any query.
                now = yield Now()
                found = yield from self.listen(now + min((until - now) / 2, _UNSENT_WITHIN))
                if found.candidates:
                    return found
        for command in self.records:
            command = yield from self._stamped(command)
            self._answered = False
            yield from link.send(command, link.encode(command))
        now = yield Now()
        found = yield from self.listen(min(until, now + self.timeouts.recovery_interval))
        self._silent_rounds = 0 if link.heard else self._silent_rounds + 1
        if self._silent_rounds >= _SILENT_ROUNDS:
            self._silent_rounds = 0
            yield from link.close(DeadlineExceeded("the terminal is silent"))
        return found

    def listen(self, until: float) -> Flow[Found]:
        link = self.link
        damaged = False
        while True:
            try:
                message = yield from link.next_message(until)
            except Disconnected as error:
                if not self._answered:
                    raise
                # Over HTTP some terminals close the connection after their answer: nothing more arrives on this link.
                yield from link.close(error)
                yield Sleep(max(until - (yield Now()), 0.0))
                return Found()
            if isinstance(message, (Progress, Reply)):
                yield from link.hand_on(message)
            if isinstance(message, Reply):
                link.awaits_voucher, self._answered = False, True
                source = Source.REPLY if link.wire is Wire.SIMPLIFIED else Source.RECORD
                last = None if source is Source.REPLY else newest(message, self.profile)
                return Found((Candidate(message, source, newest=True),), last)
            if isinstance(message, Progress):
                yield from link.acknowledge()
                yield Report(message)
            elif isinstance(message, BadFrame):
                log_left_out("received during recovery:", message, again=damaged)
                damaged = True
            if (yield Now()) >= until:
                return Found()

    def confirm(self, *, final: bool = False) -> Flow[None]:
        if not final:
            yield from self.link.acknowledge()
            return
        # The terminal does one thing after the other: it will not answer earlier queries any more.
        self.link.awaits_voucher = False
        yield from self.link.acknowledge_final()

    def may_ask_again(self, error: GetnetError) -> bool:
        if isinstance(error, NotAccepted):
            # Some firmware accepts only the other date format.
            self._day_first = not self._day_first
        return True

    def write_dates_as_before(self) -> None:
        self._day_first = not self._day_first

    def rearm(self) -> None:
        self.link.cancel_wanted = False

    def cancel(self, frame: bytes | None = None) -> bool:
        self.check(CancelSale())
        self.link.cancel_frame = frame
        self.link.cancel_wanted = True
        return True

    def _stamped(self, command: Command[Any]) -> Flow[Command[Any]]:
        if command.date_time is not None:
            return command
        return replace(command, date_time=(yield from self._date_time()))

    def _date_time(self) -> Flow[str]:
        now: datetime = yield WallClock()
        if self._day_first:
            return now.strftime("%d-%m-%Y %H:%M:%S")
        return now.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class StreamAttempt:
    """One command and the wait for its reply."""

    transaction_id = None

    def __init__(
        self,
        link: Link,
        command: Command[Any],
        data: bytes,
        limits: Limits,
        cancel: CancelSale | None,
        terms: Terms,
        *,
        reconnects: bool,
    ) -> None:
        self.data = data
        self._cancel = cancel
        """The command that cancels this one; ``None`` if it cannot be cancelled."""
        self._reconnects = reconnects
        """Whether it must be the same terminal when the link is opened again."""
        self._link = link
        self._command = command
        self._limits = limits
        self._terms = terms
        self._sent = False
        self._accepted = False
        self._cancel_sent = False
        self._damaged = False
        """Whether something unreadable arrived."""
        self._now = 0.0
        self._acknowledged_by = 0.0
        self._reply_by = 0.0
        self._last_by = 0.0

    @property
    def begun(self) -> bool:
        return self._sent

    def reserve(self) -> Flow[None]:
        """Nothing to reserve."""
        yield from ()

    def release(self) -> None:
        self._link.on_frame = None

    def submit(self, recorded: Intent | None = None, lease: Lease | None = None) -> Flow[Event]:
        """Write the command.

        Raises:
            JournalError: it is a payment that was not recorded, or that was already sent.
        """
        if self._sent or (self._command.moves_money and (recorded is None or recorded.state is not IntentState.INTENT)):
            raise JournalError("a payment command must be recorded first, and can be sent only once")
        self._sent = True
        if self._link.wire is Wire.SIGNED:
            self._link.on_frame = self._terms.on_frame
        self._now = sent = yield from self._written(lease)
        if not self._link.acknowledges:
            yield from hand_on_receipt(self._terms)
        self._last_by = sent + self._limits.total
        self._reply_by = sent + self._limits.patience
        timeouts = self._link.timeouts
        self._acknowledged_by = sent + timeouts.acknowledgement if self._link.acknowledges else self._last_by
        return Sent()

    def _written(self, lease: Lease | None) -> Flow[float]:
        """Write the command; on a new connection if the peer closed the old one before a byte left."""
        try:
            return (yield from self._link.send(self._command, self.data, lease=lease, terms=self._terms))
        except Disconnected as error:
            if error.bytes_written or not self._reconnects:
                raise
            log.info("the peer closed before command %d left (%s): connecting again", self._command.code, error)
            yield from self._link.close(error)
        yield from self._link.open()
        return (yield from self._link.send(self._command, self.data, lease=lease, terms=self._terms))

    def next_event(self) -> Flow[Event]:
        """Wait for a reply, or for the first sign that the terminal has the command.

        Raises:
            DeadlineExceeded: no acknowledgement, or no reply, in time.
            NotAccepted: the terminal answered ``Received: false``.
            UnexpectedReply: the terminal reported an error of its own.
            ProtocolError: a complete message was damaged.
            TransportError: the link failed.
        """
        link = self._link
        while True:
            yield from self._cancel_if_wanted()
            limit = min(self._last_by, self._reply_by)
            if not self._accepted:
                limit = min(limit, self._acknowledged_by)
            if self._now > limit:
                raise self._too_late()
            message = yield from link.next_message(limit)
            self._now = yield Now()
            if message is not None:
                yield from link.hand_on(message)
            if isinstance(message, Reply) and not (isinstance(message, CancelReply) and self._cancel_sent):
                if message.function_code == 0:
                    yield from link.acknowledge()
                    raise UnexpectedReply(
                        f"the terminal reported an error of its own ({message.response_code}: {_said(message)}): "
                        "call polling() again"
                    )
                in_turn = self._accepted or not link.has_acknowledged
                return Heard(message, in_turn=in_turn, asked=link.awaits_voucher, after_damage=self._damaged)
            yield from self._take(message)
            if message is None and self._now >= limit:
                raise self._too_late()
            if not self._accepted and isinstance(message, (Ack, Progress)):
                self._accepted = True
                return Accepted()

    def _cancel_if_wanted(self) -> Flow[None]:
        link, cancel = self._link, self._cancel
        if cancel is None or not link.cancel_wanted or self._cancel_sent:
            return
        log.info("sending a cancellation of the sale in progress")
        self._cancel_sent = True
        yield from link.send(cancel, link.cancel_frame or link.encode(cancel), beside=True)
        if not link.acknowledges:
            yield from hand_on_receipt(self._terms)
        self._reply_by = min(self._reply_by, self._now + link.timeouts.cancel)

    def _take(self, message: Any) -> Flow[None]:
        """Handle a message that is not a reply to the command. Raises if it ends the wait."""
        link = self._link
        if isinstance(message, Ack):
            if not message.received and not self._cancel_sent:
                raise NotAccepted(
                    "the terminal did not accept the command (Received: false): finish what its screen shows, then "
                    "call polling()"
                )
        elif isinstance(message, Progress):
            yield from link.acknowledge()
            yield Report(message)
            self._reply_by = self._now + self._limits.patience
        elif isinstance(message, CancelReply):
            yield from link.acknowledge()
            # A sale that could not be cancelled goes on as before.
            more = link.timeouts.cancel if message.approved else self._limits.patience
            self._reply_by = self._now + more
        elif isinstance(message, CommandMessage):
            link.echoes = True
            raise UnexpectedReply(
                "the port sends back what is written to it, so no terminal in integrated mode is connected: check the "
                "port and the terminal's mode"
            )
        elif isinstance(message, BadFrame):
            log_left_out("received", message, again=self._damaged)
            if message.fault is FrameFault.TOO_LARGE:
                raise message.error()
            if message.sealed or message.fault in (FrameFault.SIGNATURE, FrameFault.CHECKSUM):
                yield from link.acknowledge(received=False)
                raise message.error()
            self._damaged = True

    def _too_late(self) -> DeadlineExceeded:
        if self._accepted:
            return DeadlineExceeded("the terminal did not reply in time: look at its screen")
        return DeadlineExceeded(
            "the terminal did not answer: check that it is switched on, connected and in integrated mode"
        )


def _said(reply: Reply) -> str:
    """The terminal's own text for a log: short, on one line, and without card numbers."""
    words = mask(reply.response_message or "no message")[:80]
    return "".join(letter if letter.isprintable() else "?" for letter in words)
