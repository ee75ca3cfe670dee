"""The interface of a carrier, which links the payment machine to a terminal. A carrier sends and listens, no more."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from typing import Any, Protocol, TypeVar

from ..codec import Message, acknowledgement
from ..errors import ApiError, DeadlineExceeded, GetnetError, ProtocolError, TransportError
from ..logs import logger
from ..messages import Ack, Command, Intent, Reply, VoucherMark, Waits
from ..messages.declaring import Facts
from ..profiles import Profile, Timeouts
from .effects import Call, Flow, Lease

C = TypeVar("C", bound=Command[Any])

log = logger("getnet_pos.carrier")

__all__ = ["NO_TERMS", "Accepted", "Attempt", "Candidate", "Carrier", "Event", "Found", "Heard", "Limits", "OnFrame",
           "Refused", "Sent", "Source", "Terms", "hand_on", "hand_on_receipt", "may_have_left",
           "may_leave_until"]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a command may take, in seconds."""

    patience: float
    """The limit from the last sign of progress to the reply."""
    total: float
    """The limit in all."""

    @classmethod
    def of(cls, command: Command[Any] | Facts, timeouts: Timeouts) -> Limits:
        """The limits that ``timeouts`` set for ``command``."""
        if command.takes_card:
            return cls(timeouts.sale, timeouts.sale_total)
        limit = timeouts.short if command.waits is Waits.SHORT else timeouts.report
        return cls(limit, limit)


OnFrame = Callable[[Message, bytes], object]
"""Called with a message from the terminal and its bytes. Exceptions are logged and do not affect the command."""


def _always() -> bool:
    return True


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """A relay's options for one command."""

    frame: bytes | None = None
    """The signed frame in which another program wrote the command; ``None``: it is encoded here."""
    on_frame: OnFrame | None = None
    """Called with each message from the terminal and its bytes."""
    leave_by: float = math.inf
    """The latest time for the first byte, on the monotonic clock. After that nothing is sent."""
    listens: Callable[[], bool] = _always
    """Whether the original caller is still there to receive the result."""


NO_TERMS = Terms()


def hand_on(on_frame: OnFrame, message: Message, frame: bytes) -> Flow[None]:
    """Pass ``message`` and its bytes to ``on_frame``."""
    yield Call(partial(_handed, on_frame, message, frame), lambda _: None)


def _handed(on_frame: OnFrame, message: Message, frame: bytes) -> None:
    try:
        on_frame(message, frame)
    except Exception:
        log.exception("on_frame failed; the command goes on")


def hand_on_receipt(terms: Terms) -> Flow[None]:
    """Pass an acknowledgement to ``on_frame`` for a carrier that has none of its own."""
    if terms.on_frame is not None:
        yield from hand_on(terms.on_frame, Ack(True), acknowledgement(True))


# --------------------------------------------------------------------------------------------------------------- events


@dataclass(frozen=True, slots=True)
class Sent:
    """The command left; nothing has been received yet."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The first sign that the terminal has the command, or that the cloud passes it on."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A reply arrived; the payment machine must decide which command it answers."""

    reply: Reply
    in_turn: bool = True
    """Whether it arrived after the acknowledgement that this terminal always sends first."""
    asked: bool = False
    """Whether a last voucher was queried and has not arrived yet."""
    named: bool = False
    """Whether the carrier itself identifies the command that it answers."""
    after_damage: bool = False
    """Whether something unreadable arrived before it."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The command was not passed on to the terminal; ``error`` says why."""

    error: GetnetError


def may_leave_until(lease: Lease | None, now: float, terms: Terms) -> float:
    """The time until which a command may leave: while nobody else can work on it, and its caller still waits.

    Raises:
        DeadlineExceeded: the time is over; nothing was sent.
    """
    if terms.leave_by <= now:
        raise DeadlineExceeded("nothing was sent: the deadline of the call passed before the command could be sent")
    if lease is None:
        return terms.leave_by
    if lease.until <= now:
        raise DeadlineExceeded(
            "nothing was sent: this host could not renew its lease in the database, and another host may be using the "
            "terminal by now; check the connection to the database"
        )
    return min(lease.until, terms.leave_by)


def may_have_left(error: GetnetError) -> bool:
    """Whether the command may have left when sending it raised ``error``."""
    if isinstance(error, TransportError):
        return error.bytes_written > 0
    # An ApiError means that there was an answer, which cannot be used.
    return isinstance(error, (ApiError, ProtocolError))


Event = Sent | Accepted | Heard | Refused


class Attempt(Protocol):
    """One command on its way. It is sent at most once."""

    @property
    def data(self) -> bytes:
        """The bytes to send. They are encoded once, before the command is recorded."""
        ...

    @property
    def transaction_id(self) -> str | None:
        """The cloud's number of the transaction; ``None`` until it is known."""
        ...

    @property
    def begun(self) -> bool:
        """Whether a byte of the command may have left."""
        ...

    def reserve(self) -> Flow[None]:
        """Do all that can fail before the command leaves."""
        ...

    def submit(self, recorded: Intent | None = None, lease: Lease | None = None) -> Flow[Event]:
        """Send the command. For a payment, ``recorded`` is its intent, and nothing is sent once ``lease`` has expired.

        Raises:
            TransportError: ``bytes_written`` says whether anything left.
            GetnetError: it may have left, and the answer cannot be used.
        """
        ...

    def next_event(self) -> Flow[Event]:
        """Wait for the next event.

        Raises:
            GetnetError: nothing arrived in time, the link failed, or what arrived cannot be used.
        """
        ...

    def release(self) -> None:
        """Give back what was reserved. It may be called at any time, and more than once."""
        ...


# ------------------------------------------------------------------------------------------------------------- recovery


class Source(Enum):
    """Where a possible result of a command comes from during its recovery."""

    RECORD = auto()
    """The terminal's record, or perhaps the command's own late reply: they look alike."""
    REPLY = auto()
    """A reply, certainly not a record."""
    NUMBER = auto()
    """The cloud's result for the number of this very transaction."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A reply or a record that may be the result of the command being recovered."""

    reply: Reply
    source: Source
    named: bool = False
    """Whether the carrier itself identifies the command that it answers."""
    newest: bool = False
    """Whether nothing was recorded after it."""


@dataclass(frozen=True, slots=True)
class Found:
    """The result of one query."""

    candidates: Sequence[Candidate] = ()
    last: VoucherMark | None = None
    """The terminal's last voucher, as just queried; an empty mark if it has none, ``None`` if that is unknown."""
    in_process: bool = False
    """Whether the terminal is still working on the command."""


class Carrier(Protocol):
    """The link to one terminal."""

    timeouts: Timeouts
    profile: Profile

    @property
    def is_open(self) -> bool: ...

    @property
    def is_silent(self) -> bool:
        """Whether no byte has arrived since the last command left, so that the terminal may be gone."""
        ...

    @property
    def echoes(self) -> bool:
        """Whether the port only sends back what is written to it, so that it is not a terminal."""
        ...

    @property
    def is_pluggable(self) -> bool:
        """Whether another terminal may be connected when the link comes back."""
        ...

    @property
    def line(self) -> int | None:
        """A number that changes each time the link is opened; ``None`` if the carrier identifies the terminal."""
        ...

    @property
    def device(self) -> str | None:
        """An identity of the terminal's device that stays the same when its name changes; ``None`` if there is none."""
        ...

    @property
    def tells_by_number(self) -> bool:
        """Whether an accepted payment command can be queried by a number of its own."""
        ...

    @property
    def greeting(self) -> Command[Any]:
        """The query that shows whether the terminal is connected."""
        ...

    @property
    def records(self) -> Sequence[Command[Any]]:
        """The queries for the terminal's last record; each further one must confirm that there is none."""
        ...

    @property
    def introduction(self) -> Command[Any] | None:
        """The query for the terminal's identity; ``None`` if the carrier knows it, or has no such query."""
        ...

    @property
    def vouchers_name_ticket(self) -> bool:
        """Whether the voucher of a command can have the command's ticket."""
        ...

    def limits(self, command: Command[Any], timeout: float | None) -> Limits:
        """The time limits of ``command``; ``timeout`` replaces the configured ones."""
        ...

    def open(self) -> Flow[None]: ...

    def close(self, cause: GetnetError | None = None) -> Flow[None]:
        """Close the link. ``cause`` is what makes it necessary, if anything does."""
        ...

    def check(self, command: C, intent_id: str = "") -> C:
        """``command`` as this carrier sends it. Raises ``UnsupportedOperation`` if it cannot."""
        ...

    def clear(self) -> Flow[list[Reply]]:
        """Read what arrived since the last command, and return the replies in it, which are not confirmed yet."""
        ...

    def attempt(
        self,
        command: Command[Any],
        limits: Limits,
        intent: Intent | None = None,
        *,
        urgent: bool = False,
        terms: Terms = NO_TERMS,
    ) -> Flow[Attempt]:
        """``command``, encoded and ready to send. ``urgent``: it does not queue behind commands of other terminals."""
        ...

    def queries(self, intent: Intent) -> Sequence[Callable[[float], Flow[Found]]]:
        """The queries for the outcome of ``intent``, the best first. Each ends by the time that it is given."""
        ...

    def listen(self, until: float) -> Flow[Found]:
        """Wait for what arrives without a query; returns with the first, or at ``until``."""
        ...

    def confirm(self, *, final: bool = False) -> Flow[None]:
        """Acknowledge the terminal's reply. ``final``: it has been recorded, so a link that fails now is closed."""
        ...

    def may_ask_again(self, error: GetnetError) -> bool:
        """Whether a query that failed with ``error`` may be repeated, perhaps with another date format."""
        ...

    def write_dates_as_before(self) -> None:
        """Undo the change of ``may_ask_again``, which did not help."""
        ...

    def rearm(self) -> None:
        """Forget a cancellation that was meant for an earlier command."""
        ...

    def cancel(self, frame: bytes | None = None) -> bool:
        """Make the flow of the command in progress cancel it; ``False`` if that needs a command of its own.

        ``frame`` is the cancellation as another program wrote it.
        """
        ...
