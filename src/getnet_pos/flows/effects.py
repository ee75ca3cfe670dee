"""What a flow can ask its driver to do. Plain data; a driver answers each with a result or an exception.

A driver is total: it performs every effect here, or raises ``NotImplementedError`` for one that it does not know.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..messages import Intent, Progress
from ..turns import Place

__all__ = ["Call", "Close", "Compute", "Effect", "Flow", "ListPorts", "NewId", "Now", "Open", "Random", "Recall",
           "Receive", "Record", "Report", "Request", "Response", "Send", "Sleep", "Take", "Use",
           "WallClock"]  # fmt: skip

T = TypeVar("T")


# ------------------------------------------------------------------------------------------------------ a byte stream


@dataclass(frozen=True, slots=True)
class Open:
    """Open the transport. ``ConnectError`` where that fails."""


@dataclass(frozen=True, slots=True)
class Close:
    """Close the transport; never fails."""


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
class ListPorts:
    """The names of the serial ports a terminal could be on, the likeliest first."""


@dataclass(frozen=True, slots=True)
class Use:
    """Take the serial port of this name as the transport from now on. It is not opened yet."""

    port: str
    baudrate: int


# --------------------------------------------------------------------------------------------------------------- HTTP


@dataclass(frozen=True, slots=True)
class Request:
    """Send one HTTP request and read the whole answer, whatever its status; redirects are not followed.

    ``ConnectError`` where nothing was sent; another ``TransportError`` where the server may have acted on it;
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
    """On a new connection if the client can do that: a used one may be closing at the other end."""


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
class WallClock:
    """The date and time, a ``datetime`` in UTC."""


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
class Report:
    """Tell the caller about progress; what the caller does with it cannot harm the flow."""

    progress: Progress


@dataclass(frozen=True, slots=True)
class Record:
    """Write the intent as it now stands to the journal, durably. ``JournalError`` where that fails."""

    intent: Intent


@dataclass(frozen=True, slots=True)
class Recall:
    """The terminal's intents: those settled lately, then those that are open or unknown, each the oldest first."""

    terminal: str


Effect = (
    Open | Close | Send | Receive | ListPorts | Use | Request | Call | Compute | Now | Sleep | WallClock | Random
    | NewId | Take | Report | Record | Recall
)  # fmt: skip

Flow = Generator[Effect, Any, T]
"""A procedure: yields effects, is resumed with their results, returns ``T``."""
