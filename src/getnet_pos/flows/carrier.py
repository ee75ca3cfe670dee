"""What a way to a terminal offers to the payment machine. A carrier sends and listens; it never records or judges."""

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
    """From the last sign of progress to the reply."""
    total: float
    """In all."""

    @classmethod
    def of(cls, command: Command[Any] | Facts, timeouts: Timeouts) -> Limits:
        """What ``timeouts`` allow for ``command``."""
        if command.takes_card:
            return cls(timeouts.sale, timeouts.sale_total)
        limit = timeouts.short if command.waits is Waits.SHORT else timeouts.report
        return cls(limit, limit)


OnFrame = Callable[[Message, bytes], object]
"""Called with a message of the terminal and its bytes; what it raises is logged and does not touch the command."""


def _always() -> bool:
    return True


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """What whoever asks for a command asks for beside it."""

    frame: bytes | None = None
    """The signed frame in which the command was written already; ``None``: it is written here."""
    on_frame: OnFrame | None = None
    """Is given each message by which the terminal answers, and its bytes."""
    leave_by: float = math.inf
    """When the first byte must have left, on the monotonic clock: later, nothing is sent."""
    listens: Callable[[], bool] = _always
    """Whether whoever asked is still there to hear the result."""


NO_TERMS = Terms()


def hand_on(on_frame: OnFrame, message: Message, frame: bytes) -> Flow[None]:
    """Give ``message`` and its bytes to whoever asked for them."""
    yield Call(partial(_handed, on_frame, message, frame), lambda _: None)


def _handed(on_frame: OnFrame, message: Message, frame: bytes) -> None:
    try:
        on_frame(message, frame)
    except Exception:
        log.exception("on_frame failed; the command goes on")


def hand_on_receipt(terms: Terms) -> Flow[None]:
    """Where the way to the terminal has no acknowledgement of its own, give one to whoever asked for them."""
    if terms.on_frame is not None:
        yield from hand_on(terms.on_frame, Ack(True), acknowledgement(True))


# -------------------------------------------------------------------------------------------------- what can come of it


@dataclass(frozen=True, slots=True)
class Sent:
    """The command left, and nothing was heard yet."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The first sign that the terminal has the command, or that a cloud passes it on."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A reply came that has yet to be judged."""

    reply: Reply
    in_turn: bool = True
    """It came after the sign of receipt that this terminal always gives first."""
    asked: bool = False
    """A last voucher was asked for and has not come yet."""
    named: bool = False
    """The carrier itself names the command that it answers."""
    after_damage: bool = False
    """Something came before it that could not be read."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The command was not passed on to the terminal: ``error`` says by whom and why."""

    error: GetnetError


def may_leave_until(lease: Lease | None, now: float, terms: Terms) -> float:
    """Until when a command may leave: as long as nobody else can work on it, and whoever asked for it still waits.

    Raises:
        DeadlineExceeded: not any more; nothing was sent.
    """
    if terms.leave_by <= now:
        raise DeadlineExceeded("nothing was sent: the command would have left later than was asked for")
    if lease is None:
        return terms.leave_by
    if lease.until <= now:
        raise DeadlineExceeded(
            "nothing was sent: the database has not heard of this host for so long that another one may have the "
            "terminal by now"
        )
    return min(lease.until, terms.leave_by)


def may_have_left(error: GetnetError) -> bool:
    """Whether the command may have left when ``error`` was raised by sending it."""
    if isinstance(error, TransportError):
        return error.bytes_written > 0
    # An ApiError speaks of an answer that cannot be used.
    return isinstance(error, (ApiError, ProtocolError))


Event = Sent | Accepted | Heard | Refused


class Attempt(Protocol):
    """One command on its way. It is sent once at most."""

    @property
    def data(self) -> bytes:
        """The bytes that leave. They are made once, before the command is recorded."""
        ...

    @property
    def transaction_id(self) -> str | None:
        """The number under which a cloud carries the command, once it has told it."""
        ...

    @property
    def begun(self) -> bool:
        """Whether a byte of the command may have left."""
        ...

    def reserve(self) -> Flow[None]:
        """Do all that can fail before the command leaves."""
        ...

    def submit(self, recorded: Intent | None = None, lease: Lease | None = None) -> Flow[Event]:
        """Send the command. Where it moves money, ``recorded`` is its intent, and its first byte leaves while ``lease``
        is good or not at all.

        Raises:
            TransportError: ``bytes_written`` says whether anything left.
            GetnetError: it may have left, and what came back cannot be used.
        """
        ...

    def next_event(self) -> Flow[Event]:
        """Wait for what comes next.

        Raises:
            GetnetError: nothing came in time, the link failed, or what came cannot be used.
        """
        ...

    def release(self) -> None:
        """Give back what was reserved. At any time, more than once."""
        ...


# ------------------------------------------------------------------------------------------------------- after a doubt


class Source(Enum):
    """Where a possible result of a command in doubt comes from."""

    RECORD = auto()
    """What the terminal recorded, or perhaps the command's own reply come late: they look alike."""
    REPLY = auto()
    """A reply, and surely no record."""
    NUMBER = auto()
    """What a cloud keeps under the number of this very transaction."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A reply or a record that may be the result of a command in doubt."""

    reply: Reply
    source: Source
    named: bool = False
    """The carrier itself names the command that it answers."""
    newest: bool = False
    """Nothing was recorded after it."""


@dataclass(frozen=True, slots=True)
class Found:
    """What one query brought."""

    candidates: Sequence[Candidate] = ()
    last: VoucherMark | None = None
    """The last voucher of the terminal, as it was told just now; an empty one where it has none."""
    in_process: bool = False
    """The terminal is still at the command."""


class Carrier(Protocol):
    """A way to one terminal."""

    timeouts: Timeouts
    profile: Profile

    @property
    def is_open(self) -> bool: ...

    @property
    def is_silent(self) -> bool:
        """Whether not one byte has come since the last command left: nobody may be there any more."""
        ...

    @property
    def echoes(self) -> bool:
        """Whether what answers only sends back what is written to it: no terminal is there."""
        ...

    @property
    def is_pluggable(self) -> bool:
        """Whether another terminal may be there when the link comes back."""
        ...

    @property
    def line(self) -> int | None:
        """Which opening of the link this is; ``None`` where the carrier itself names the terminal."""
        ...

    @property
    def device(self) -> str | None:
        """What stays of the terminal's place when its name changes; ``None`` where there is nothing."""
        ...

    @property
    def tells_by_number(self) -> bool:
        """Whether a payment command that was accepted can be asked about by a number of its own."""
        ...

    @property
    def greeting(self) -> Command[Any]:
        """The query that shows whether the terminal is there."""
        ...

    @property
    def records(self) -> Sequence[Command[Any]]:
        """The queries for what the terminal recorded last; each next one must confirm that there is nothing."""
        ...

    @property
    def introduction(self) -> Command[Any] | None:
        """The query by which a terminal tells who it is; ``None`` where the carrier knows, or has none."""
        ...

    @property
    def vouchers_name_ticket(self) -> bool:
        """Whether a ticket that a command bears can come back in its voucher."""
        ...

    def limits(self, command: Command[Any], timeout: float | None) -> Limits:
        """How long ``command`` may take; ``timeout`` replaces what the time-outs say."""
        ...

    def open(self) -> Flow[None]: ...

    def close(self, cause: GetnetError | None = None) -> Flow[None]:
        """Close the link. ``cause`` is what makes it necessary, if anything does."""
        ...

    def check(self, command: C, intent_id: str = "") -> C:
        """``command`` as this way takes it. ``UnsupportedOperation`` where it does not."""
        ...

    def clear(self) -> Flow[list[Reply]]:
        """Read away what came since the last command, and return the replies in it: they are not confirmed yet."""
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
        """``command`` encoded and ready to leave. ``urgent``: it does not queue behind other terminals' commands."""
        ...

    def queries(self, intent: Intent) -> Sequence[Callable[[float], Flow[Found]]]:
        """What can tell what became of ``intent``, the best first: each asks once, and ends by the time it is given."""
        ...

    def listen(self, until: float) -> Flow[Found]:
        """What comes without asking; returns with the first, or at ``until``."""
        ...

    def confirm(self, *, final: bool = False) -> Flow[None]:
        """Tell the terminal that its reply has come; ``final``: it is safe, so a link that breaks now is closed."""
        ...

    def may_ask_again(self, error: GetnetError) -> bool:
        """Whether a query that ended in ``error`` may be asked once more, perhaps written in another way."""
        ...

    def write_dates_as_before(self) -> None:
        """Undo what ``may_ask_again`` has changed: it did not help."""
        ...

    def rearm(self) -> None:
        """Forget a cancellation that was meant for an earlier command."""
        ...

    def cancel(self, frame: bytes | None = None) -> bool:
        """Have the flow that waits for the command in progress cancel it; false where that takes a command.

        ``frame`` is the cancellation as somebody else wrote it.
        """
        ...
