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

from .behaviour import Behaviour, Outcome, Reboot, Serialized
from .faults import Direction, Fault, FaultKind
from .ledger import Batch, Card, Entry, EntryKind, Ledger
from .refusals import Refusal
from .replies import Identity
from .serial import SerialServer
from .terminal import VirtualTerminal

__all__ = [
    "Batch",
    "Behaviour",
    "Card",
    "Direction",
    "Entry",
    "EntryKind",
    "Fault",
    "FaultKind",
    "Identity",
    "Ledger",
    "Outcome",
    "Reboot",
    "Refusal",
    "SerialServer",
    "Serialized",
    "VirtualTerminal",
]
