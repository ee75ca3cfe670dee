"""A virtual terminal to develop and test a register against: it keeps books, follows a script, and can misbehave.

::

    from getnet_pos import Connector
    from getnet_pos.simulator import Behaviour, Outcome, SerialServer, VirtualTerminal

    terminal = VirtualTerminal(script=[Behaviour(outcome=Outcome.DECLINE)])
    with SerialServer(terminal) as server, Connector.create_usb(server.device) as pos:
        pos.polling()
        assert not pos.sale(1_000, ticket="A1").approved    # as the script says
        assert pos.sale(1_000, ticket="A2").approved        # the script is over
    assert terminal.ledger.charged() == 1_000
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
    """``HttpServer`` and ``ScreenServer`` need what only ``getnet-pos[simulator]`` installs, so they are imported when
    they are named.

    So they are not in ``__all__``: ``import *`` must not need uvicorn.
    """
    if name == "HttpServer":
        from .http import HttpServer

        return HttpServer
    if name == "ScreenServer":
        from .screen import ScreenServer

        return ScreenServer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
