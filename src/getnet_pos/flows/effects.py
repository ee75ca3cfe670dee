"""What a flow can ask its driver to do. Effects are plain data; the driver answers with a result or an exception.

A driver performs every effect here, and raises ``NotImplementedError`` for any other.
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
    """Open the transport. Returns an identity of the device that stays the same when its name changes, or ``None``.

    Raises ``ConnectError`` if that fails.
    """


@dataclass(frozen=True, slots=True)
class Close:
    """Close the transport. It never fails. ``cause`` is the error that makes it necessary, if there is one."""

    cause: GetnetError | None = None


@dataclass(frozen=True, slots=True)
class Send:
    """Write all of ``data`` by ``deadline``. ``TransportError.bytes_written`` says how many bytes left.

    ``beside``: it is sent while the flow keeps waiting for a reply to an earlier message.
    """

    data: bytes = field(repr=False)
    deadline: float
    beside: bool = False


@dataclass(frozen=True, slots=True)
class Receive:
    """The bytes that have arrived; waits for the first one until ``deadline``.

    Empty at the deadline, or earlier if another thread or task woke the flow.
    """

    deadline: float


@dataclass(frozen=True, slots=True)
class Use:
    """Use the serial port of this name as the transport from now on. It is not opened yet."""

    port: str
    baudrate: int


# --------------------------------------------------------------------------------------------------------------- HTTP


@dataclass(slots=True)
class Departure:
    """The moment when the first byte of a request leaves."""

    by: float = math.inf
    """The latest time for it, on the monotonic clock. After that nothing is sent (``DeadlineExceeded``)."""
    has_come: bool = False
    """Whether a byte may have left; set right before the first one is sent."""


@dataclass(frozen=True, slots=True)
class Request:
    """Send one HTTP request and read the whole answer, whatever its status. Redirects are not followed.

    ``TransportError.bytes_written`` says whether anything left; it is a ``ConnectError`` if no connection was made.
    Raises ``MalformedResponse`` if the body is longer than ``max_body`` or cannot be decompressed.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    content: bytes = field(default=b"", repr=False)
    timeout: float = 60.0
    """Seconds for the whole exchange."""
    max_body: int = 1 << 20
    """The longest accepted body, in bytes, after decompression."""
    fresh: bool = False
    """Whether to use a new connection, because the request must reach the server only once and the server may just be
    closing a kept one. Other requests use a kept connection, and are repeated if it was closed."""
    departure: Departure = field(default_factory=Departure, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Response:
    """The server's answer. The names in ``headers`` are in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    content: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Call:
    """Call a function of the caller and return its result as converted by ``read``.

    The asyncio driver awaits an awaitable result; the blocking one raises ``ConfigurationError``.
    """

    function: Callable[[], Any] = field(repr=False)
    read: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Compute:
    """Run a function that waits for nothing but may take long, and return its result."""

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
    """Wait for ``seconds``, or until the journal has a notice of a transaction. Returns whether it has.

    A journal that does not share notices between hosts never has one.
    """

    transaction_id: str
    seconds: float


@dataclass(frozen=True, slots=True)
class WallClock:
    """The date and time, as a ``datetime`` in the time zone of this machine."""


@dataclass(frozen=True, slots=True)
class Random:
    """A random ``float`` from 0 to 1."""


@dataclass(frozen=True, slots=True)
class NewId:
    """A new unique id: 32 hex digits."""


@dataclass(frozen=True, slots=True)
class Take:
    """Wait for a slot in a queue until ``deadline``. Raises ``TerminalBusy`` if none is free by then.

    The flow must call ``place.leave()`` in a ``finally`` whose ``try`` begins before this effect.
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
    """Report progress to the caller. An exception in the caller's function does not affect the flow."""

    progress: Progress


@dataclass(frozen=True, slots=True)
class Record:
    """Write the current state of the intent to the journal, durably. Raises ``JournalError`` if that fails."""

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
    """Lock an intent of ``terminal`` while its command is in progress: a ``Lease``, or ``None`` if a living process
    holds it. Without ``terminal`` the lease only shows that nobody holds it; no step may be recorded under it.
    """

    intent_id: str
    terminal: str | None = None


class Lease(Protocol):
    """The exclusive right to work on one intent."""

    @property
    def keep(self) -> object:
        """This host's right to the terminal, held as long as anything refers to it; ``None`` if there is one host."""
        ...

    @property
    def until(self) -> float:
        """The time, on the monotonic clock, before which nobody else can work on it."""
        ...

    def release(self) -> None:
        """Let others work on it. It never waits and never fails; a second call does nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Resolve:
    """Record a person's decision about an intent, and return the intent. Raises ``InvalidValue`` if it is refused."""

    intent_id: str
    paid: bool
    by: str
    note: str


@dataclass(frozen=True, slots=True)
class Intents:
    """The unsettled intents in the journal, or with ``settled`` all of them, oldest first."""

    settled: bool


@dataclass(frozen=True, slots=True)
class Since:
    """The steps in the journal since ``at`` (UTC, ISO 8601), a list of ``Step`` in the order of writing."""

    at: str


Effect = (
    Open | Close | Send | Receive | Use | Request | Call | Compute | Now | Sleep | WallClock | Random
    | NewId | Take | Report | Record | Recall | Unsettled | Claim | Resolve
    | Intents | Since | AwaitNotice | Begin
)  # fmt: skip

Flow = Generator[Effect, Any, T]
"""A procedure that yields effects, is resumed with their results, and returns ``T``."""
