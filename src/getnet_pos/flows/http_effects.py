"""What a flow over HTTP can ask its driver to do. Plain data; a driver answers each with a result or an exception."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from .effects import Now, Sleep

__all__ = ["Call", "Compute", "Exclusive", "HttpEffect", "HttpFlow", "Now", "Request", "Response", "Sleep", "Turn"]

T = TypeVar("T")


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
    """Not on a connection that was used before, if the client can do without: whether it still stands is a doubt."""


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


class Turn(Protocol):
    """A lock that threads and tasks can wait for alike."""

    def take(self) -> None: ...
    async def take_async(self) -> None: ...
    def give(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Exclusive:
    """Run ``flow`` while holding ``turn``; the answer is its result."""

    turn: Turn
    flow: Generator[Any, Any, Any]


HttpEffect = Request | Sleep | Now | Call | Compute | Exclusive

HttpFlow = Generator[HttpEffect, Any, T]
"""A procedure over HTTP: yields effects, is resumed with their results, returns ``T``."""
