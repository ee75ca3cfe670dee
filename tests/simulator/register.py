"""A register on a virtual clock: it writes commands to a virtual terminal and keeps what comes back, with its time."""

from __future__ import annotations

import math

from getnet_pos.codec import Decoder, Message, acknowledgement, encode_simplified, seal
from getnet_pos.messages import Ack, BadFrame, Command, CommandMessage, Progress, Reply, Wire
from getnet_pos.simulator import VirtualTerminal


class Register:
    def __init__(self, terminal: VirtualTerminal, wire: Wire = Wire.SIGNED) -> None:
        self.terminal = terminal
        self.wire = wire
        self.now = 0.0
        self.writes: list[tuple[float, bytes]] = []
        """What the terminal has written, and when."""
        self.messages: list[Message] = []
        self._decoder = Decoder()

    def write(self, data: bytes) -> None:
        self.terminal.receive(data, self.now)

    def send(self, command: Command) -> None:
        self.write(seal(command) if self.wire is Wire.SIGNED else encode_simplified(command))

    def acknowledge(self, received: bool = True) -> None:
        self.write(acknowledgement(received))

    def run(self, until: float = math.inf) -> list[Message]:
        """Let time pass until then, or until nothing is to come; return what came meanwhile."""
        before = len(self.messages)
        while (event := self.terminal.next_event()) is not None and event <= until:
            self.now = max(self.now, event)
            self._read()
        if until < math.inf:
            self.now = until
            self._read()
        return self.messages[before:]

    def _read(self) -> None:
        for data in self.terminal.take(self.now):
            self.writes.append((self.now, data))
            self.messages += self._decoder.feed(data)

    def ask(self, command: Command) -> Reply:
        """Send a command, and return the one reply to it, acknowledged."""
        self.send(command)
        (reply,) = (message for message in self.run() if isinstance(message, Reply))
        if self.wire is Wire.SIGNED:
            self.acknowledge()
        return reply

    def heard(self) -> bytes:
        """All that the terminal has written."""
        return b"".join(data for _, data in self.writes)


def show(messages: list[Message]) -> list[object]:
    """Messages in short: ``True`` an acknowledgement, 78 progress, (100, 0) a reply, "signature" a bad frame."""
    return [_short(message) for message in messages]


def _short(message: Message) -> object:
    if isinstance(message, Ack):
        return message.received
    if isinstance(message, Progress):
        return message.code
    if isinstance(message, Reply):
        return message.function_code, message.response_code
    if isinstance(message, CommandMessage):
        return message
    assert isinstance(message, BadFrame)
    return message.fault.value
