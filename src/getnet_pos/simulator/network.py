"""Faults of the network between the register and the virtual terminal, as plain data."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

from ..errors import InvalidValue

__all__ = ["NetworkFault", "NetworkFaultKind", "Trouble"]


class NetworkFaultKind(Enum):
    """What happens to a connection.

    ``CUT`` and the following happen over HTTP only, once the terminal has carried out the command.

    Examples:
        >>> from getnet_pos.simulator import NetworkFault, NetworkFaultKind, TcpServer, VirtualTerminal
        >>> server = TcpServer(VirtualTerminal(), faults=[NetworkFault(NetworkFaultKind.RESET, command=100)])
    """

    RESET = "reset"
    """The connection is reset."""
    HALF_OPEN = "half-open"
    """The connection stays open, but nothing passes in either direction. After ``seconds`` it is reset."""
    SLOW_CLOSE = "slow-close"
    """The terminal closes its side and discards what the register still sends. After ``seconds`` it is closed."""

    CUT = "cut"
    """The response ends normally, but without the reply."""
    BROKEN_CHUNK = "broken-chunk"
    """The connection is closed in the middle of the reply."""
    STATUS = "status"
    """The response is ``status`` with an empty body."""
    REDIRECT = "redirect"
    """The response is a redirect to the same address: a client that follows it sends the command a second time."""
    ONE_OBJECT = "one-object"
    """The response is only the reply, without acknowledgement or progress messages. That is allowed, not a fault."""


ANY_NETWORK = frozenset({NetworkFaultKind.RESET, NetworkFaultKind.HALF_OPEN, NetworkFaultKind.SLOW_CLOSE})


@dataclass(frozen=True, slots=True)
class NetworkFault:
    """A fault that happens once, to the next command with the code ``command``, or to the next command of any code.

    The terminal receives the command. With ``at_reply`` the fault happens instead of the reply; otherwise at once, if
    its kind allows that.

    Examples:
        >>> from getnet_pos.simulator import NetworkFault, NetworkFaultKind
        >>> reply_lost = NetworkFault(NetworkFaultKind.RESET, command=100, at_reply=True)
    """

    kind: NetworkFaultKind
    command: int | None = None
    at_reply: bool = False
    seconds: float = math.inf
    status: int = 504

    def __post_init__(self) -> None:
        if not self.seconds >= 0:
            raise InvalidValue(f"seconds of a fault must be 0 or more, not {self.seconds}")
        if not 201 <= self.status <= 599:
            raise InvalidValue(f"status of a fault must be from 201 to 599, not {self.status}")


class Trouble:
    """The pending faults. May be used from any thread."""

    def __init__(self, kinds: Collection[NetworkFaultKind]) -> None:
        self._kinds = kinds
        self._faults: deque[NetworkFault] = deque()

    def inject(self, fault: NetworkFault) -> None:
        if fault.kind not in self._kinds:
            raise InvalidValue(f"a {fault.kind.value} fault happens over HTTP only: inject it into an HttpServer")
        self._faults.append(fault)

    def take(self, command: int) -> NetworkFault | None:
        """Remove and return the fault for a received command."""
        for fault in list(self._faults):
            if fault.command in (None, command):
                self._faults.remove(fault)
                return fault
        return None
