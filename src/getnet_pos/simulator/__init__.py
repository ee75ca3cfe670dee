"""A virtual terminal to develop and test a register against. It has a ledger, follows a script and can misbehave.

Examples:
    >>> from getnet_pos.simulator import Behaviour, Outcome, TcpServer, VirtualTerminal
    >>> terminal = VirtualTerminal(script=[Behaviour(outcome=Outcome.DECLINE)])
    >>> with TcpServer(terminal, gap=0) as server:
    ...     with Connector.create_tcp(*server.address, journal=MemoryJournal()) as pos:
    ...         connected = pos.polling().approved
    ...         first = pos.sale(1_000, ticket="A1")  # as the script says
    ...         second = pos.sale(1_000, ticket="A2")  # the script is over: approved
    >>> first.approved, second.approved, terminal.ledger.charged()
    (False, True, 1000)
"""

from typing import TYPE_CHECKING, Any

from .behaviour import Behaviour, Outcome, Reboot, Serialized
from .faults import Direction, Fault, FaultKind
from .firmware import A920, Firmware
from .ledger import Batch, Card, Entry, EntryKind, Ledger
from .network import NetworkFault, NetworkFaultKind
from .refusals import Refusal
from .replies import Identity
from .serial import SerialServer
from .tcp import TcpServer
from .terminal import VirtualTerminal

if TYPE_CHECKING:
    from .http import HttpServer as HttpServer
    from .screen import ScreenServer as ScreenServer

__all__ = [
    "A920",
    "Batch",
    "Behaviour",
    "Card",
    "Direction",
    "Entry",
    "EntryKind",
    "Fault",
    "FaultKind",
    "Firmware",
    "Identity",
    "Ledger",
    "NetworkFault",
    "NetworkFaultKind",
    "Outcome",
    "Reboot",
    "Refusal",
    "SerialServer",
    "Serialized",
    "TcpServer",
    "VirtualTerminal",
]


def __getattr__(name: str) -> Any:
    """Import ``HttpServer`` and ``ScreenServer`` on first use: they need what only ``getnet-pos[simulator]`` installs.

    That is why they are not in ``__all__``: ``import *`` must not need uvicorn.
    """
    if name == "HttpServer":
        from .http import HttpServer

        return HttpServer
    if name == "ScreenServer":
        from .screen import ScreenServer

        return ScreenServer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
