"""What a flow can ask its driver to do. Plain data; a driver answers each with a result or an exception.

A driver is total: it performs every effect here, or raises ``NotImplementedError`` for one that it does not know.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from ..errors import GetnetError
from ..messages import Intent, Progress, Search
from ..observer import Operation
from ..turns import Place

__all__ = ["AwaitNotice", "Begin", "Call", "Claim", "Close", "Compute", "Departure", "Effect", "Flow", "Intents",
           "Lease", "NewId", "Now", "Open", "Random", "Recall", "Receive", "Record", "Report", "Request", "Resolve",
           "Response", "Send", "Since", "Sleep", "Take", "Unsettled", "Use", "WallClock"]  # fmt: skip

T = TypeVar("T")


# ------------------------------------------------------------------------------------------------------ a byte stream


@dataclass(frozen=True, slots=True)
class Open:
    """Open the transport: what stays of the device behind it when its name changes, or ``None``.

    ``ConnectError`` where that fails.
    """


@dataclass(frozen=True, slots=True)
class Close:
    """Close the transport; never fails. ``cause`` is what makes it necessary, if anything does."""

    cause: GetnetError | None = None


@dataclass(frozen=True, slots=True)
class Send:
    """Write all of ``data`` by ``deadline``. A ``TransportError`` says in ``bytes_written`` how much left.

    ``beside``: a reply is being waited for and still is; this goes out beside it.
    """

    data: bytes = field(repr=False)
    deadline: float
    beside: bool = False


@dataclass(frozen=True, slots=True)
class Receive:
    """The bytes that have come; waits for the first until ``deadline``.

    The answer is empty at the deadline, and earlier when another thread or task asked for the flow's attention.
    """

    deadline: float


@dataclass(frozen=True, slots=True)
class Use:
    """Take the serial port of this name as the transport from now on. It is not opened yet."""

    port: str
    baudrate: int


# --------------------------------------------------------------------------------------------------------------- HTTP


@dataclass(slots=True)
class Departure:
    """The moment in which the first byte of a request leaves."""

    by: float = math.inf
    """When it must have come, on the monotonic clock: later, nothing is sent (``DeadlineExceeded``)."""
    has_come: bool = False
    """Whether a byte may have left; who sends it says so right before the first one."""


@dataclass(frozen=True, slots=True)
class Request:
    """Send one HTTP request and read the whole answer, whatever its status; redirects are not followed.

    A ``TransportError`` says in ``bytes_written`` whether anything left; ``ConnectError`` where no connection was made;
    ``MalformedResponse`` where the body is longer than ``max_body`` or cannot be unpacked.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    content: bytes = field(default=b"", repr=False)
    timeout: float = 60.0
    """Seconds for the whole exchange."""
    max_body: int = 1 << 20
    """The longest body taken, in bytes, after unpacking."""
    fresh: bool = False
    """It may reach the server once only, so it gets a new connection: a kept one may be closing at the other end just
    then. Other requests are sent on kept ones, and once more where that was so."""
    departure: Departure = field(default_factory=Departure, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Response:
    """What the server answered. The names of ``headers`` are in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    content: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Call:
    """Call a function of the caller's; the answer is what ``read`` makes of its result.

    An awaitable result is awaited by the driver that can; ``ConfigurationError`` from the one that cannot.
    """

    function: Callable[[], Any] = field(repr=False)
    read: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Compute:
    """Run a function that waits for nothing but may take long; the answer is its result."""

    function: Callable[[], Any] = field(repr=False)


# ---------------------------------------------------------------------------------------------- time, order, randomness


@dataclass(frozen=True, slots=True)
class Now:
    """The monotonic clock, in seconds."""


@dataclass(frozen=True, slots=True)
class Sleep:
    """Do nothing for ``seconds``."""

    seconds: float


@dataclass(frozen=True, slots=True)
class AwaitNotice:
    """Do nothing for ``seconds``, or until the journal has a notice of a transaction; whether it has.

    Where the journal takes no notices of other hosts, none comes.
    """

    transaction_id: str
    seconds: float


@dataclass(frozen=True, slots=True)
class WallClock:
    """The date and time, a ``datetime`` in the zone of this machine."""


@dataclass(frozen=True, slots=True)
class Random:
    """A random ``float`` from 0 to 1."""


@dataclass(frozen=True, slots=True)
class NewId:
    """A text that nobody has used before: 32 hex digits."""


@dataclass(frozen=True, slots=True)
class Take:
    """Wait for a place in a queue until ``deadline``; ``TerminalBusy`` where it is not free by then.

    Whoever takes a place gives it back with ``place.leave()`` in a ``finally`` that begins before this effect.
    """

    place: Place
    deadline: float | None = None


# ---------------------------------------------------------------------------------------------- the caller, the journal


@dataclass(frozen=True, slots=True)
class Begin:
    """Name the operation that this flow carries out, for observers and log records; it ends with the flow."""

    operation: Operation


@dataclass(frozen=True, slots=True)
class Report:
    """Tell the caller about progress; what the caller does with it cannot harm the flow."""

    progress: Progress


@dataclass(frozen=True, slots=True)
class Record:
    """Write the intent as it now stands to the journal, durably. ``JournalError`` where that fails."""

    intent: Intent


@dataclass(frozen=True, slots=True)
class Recall:
    """The last steps of all intents that matter to a payment, a list of ``Step`` in the order of writing."""

    search: Search


@dataclass(frozen=True, slots=True)
class Unsettled:
    """The last steps of the ``most`` newest unsettled intents of terminals other than that of ``search``."""

    search: Search
    most: int


@dataclass(frozen=True, slots=True)
class Claim:
    """Hold an intent of ``terminal`` while its command is in progress: a ``Lease``, or ``None`` where somebody living
    holds it. Without ``terminal`` the lease shows that nobody does, and no step may be recorded under it.
    """

    intent_id: str
    terminal: str | None = None


class Lease(Protocol):
    """The right to work on one intent."""

    @property
    def keep(self) -> object:
        """What keeps the terminal for this host, as long as anybody refers to it; ``None`` where only one host is."""
        ...

    @property
    def until(self) -> float:
        """Until when nobody else can work on it, on the monotonic clock."""
        ...

    def release(self) -> None:
        """Let somebody else work on it. It never waits and never fails, and may be called again."""
        ...


@dataclass(frozen=True, slots=True)
class Resolve:
    """Record what a person found out about an intent; the answer is the intent, or ``InvalidValue``."""

    intent_id: str
    paid: bool
    by: str
    note: str


@dataclass(frozen=True, slots=True)
class Intents:
    """The intents of the journal that are unsettled, or with ``settled`` all of them, the oldest first."""

    settled: bool


@dataclass(frozen=True, slots=True)
class Since:
    """The steps of the journal from a moment on (UTC, ISO 8601), a list of ``Step`` in the order of writing."""

    at: str


Effect = (
    Open | Close | Send | Receive | Use | Request | Call | Compute | Now | Sleep | WallClock | Random
    | NewId | Take | Report | Record | Recall | Unsettled | Claim | Resolve
    | Intents | Since | AwaitNotice | Begin
)  # fmt: skip

Flow = Generator[Effect, Any, T]
"""A procedure: yields effects, is resumed with their results, returns ``T``."""
