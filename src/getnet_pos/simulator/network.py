"""Faults of a network between register and virtual terminal: plain data."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

from ..errors import InvalidValue

__all__ = ["NetworkFault", "NetworkFaultKind", "Trouble"]


class NetworkFaultKind(Enum):
    """What happens to a connection. Those of the second half are HTTP's; the terminal has done all by then."""

    RESET = "reset"
    """It is reset."""
    HALF_OPEN = "half-open"
    """It stays, and nothing passes any more, either way. After ``seconds`` it is reset."""
    SLOW_CLOSE = "slow-close"
    """The terminal's side says that it ends, and takes bytes that go nowhere. After ``seconds`` it is closed."""

    CUT = "cut"
    """The response ends, in good order, without the reply."""
    BROKEN_CHUNK = "broken-chunk"
    """The connection is closed in the middle of the reply."""
    STATUS = "status"
    """The response is ``status`` and no more."""
    REDIRECT = "redirect"
    """The response is a redirect to the same address, which a client that follows it would send the command to."""
    ONE_OBJECT = "one-object"
    """The response is the reply alone: no acknowledgement and no progress. This is no fault."""


ANY_NETWORK = frozenset({NetworkFaultKind.RESET, NetworkFaultKind.HALF_OPEN, NetworkFaultKind.SLOW_CLOSE})


@dataclass(frozen=True, slots=True)
class NetworkFault:
    """One fault, which happens once: to the next command of code ``command``, or to whichever comes next.

    The terminal gets the command. ``at_reply``: the fault comes in the place of the reply; else at once, where the kind
    allows it.
    """

    kind: NetworkFaultKind
    command: int | None = None
    at_reply: bool = False
    seconds: float = math.inf
    status: int = 504

    def __post_init__(self) -> None:
        if not self.seconds >= 0:
            raise InvalidValue("seconds of a fault must be 0 or more")
        if not 201 <= self.status <= 599:
            raise InvalidValue("status of a fault must be from 201 to 599")


class Trouble:
    """The faults that are still to come. May be used from any thread."""

    def __init__(self, kinds: Collection[NetworkFaultKind]) -> None:
        self._kinds = kinds
        self._faults: deque[NetworkFault] = deque()

    def inject(self, fault: NetworkFault) -> None:
        if fault.kind not in self._kinds:
            raise InvalidValue(f"a {fault.kind.value} fault happens over HTTP only")
        self._faults.append(fault)

    def take(self, command: int) -> NetworkFault | None:
        """The fault that happens to a command which has come."""
        for fault in list(self._faults):
            if fault.command in (None, command):
                self._faults.remove(fault)
                return fault
        return None
