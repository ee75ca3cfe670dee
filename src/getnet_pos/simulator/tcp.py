"""The virtual terminal on a TCP port. It decides nothing."""

from __future__ import annotations

import contextlib
import math
import os
import selectors
import socket
import struct
import time
from collections.abc import Callable, Iterable

from ..codec import Decoder
from ..messages import Ack, BadFrame, CommandMessage, FrameFault, Reply
from .network import ANY_NETWORK, NetworkFault, NetworkFaultKind, Trouble
from .server import GAP, Port, Server
from .terminal import VirtualTerminal

__all__ = ["TcpServer"]

_END = NetworkFault(NetworkFaultKind.SLOW_CLOSE, seconds=2.0)
"""How the terminal itself ends a connection. It still reads what the register sends, such as its acknowledgement: with
unread data the close would become a reset, and the register could lose the reply."""

RESET_ON_CLOSE = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)


class TcpServer(Server):
    """Serves a ``VirtualTerminal`` at ``address``, a host and a port; ``port=0`` chooses a free one.

    The terminal writes to the register that connected last. Bytes in transit are lost when a connection ends. With
    ``closes`` it ends a connection once it has replied to every command, for registers that read to the end of the
    stream.

    Examples:
        >>> from getnet_pos.simulator import TcpServer, VirtualTerminal
        >>> with TcpServer(VirtualTerminal(), gap=0) as server:
        ...     with Connector.create_tcp(*server.address, journal=MemoryJournal()) as pos:
        ...         pos.polling().approved
        True
    """

    def __init__(
        self,
        terminal: VirtualTerminal,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        closes: bool = False,
        gap: float = GAP,
        faults: Iterable[NetworkFault] = (),
    ) -> None:
        super().__init__(terminal, gap=gap)
        self._address = (host, port)
        self._closes = closes
        self._trouble = Trouble(ANY_NETWORK)
        for fault in faults:
            self.inject(fault)

    @property
    def address(self) -> tuple[str, int]:
        """The host and port that a register connects to."""
        return self._address

    def inject(self, fault: NetworkFault) -> None:
        """Add a fault of the network."""
        self._trouble.inject(fault)

    def _opened(self) -> Port:
        listener = listening(*self._address)
        self._address = (self._address[0], listener.getsockname()[1])
        return _Listener(listener, self._closes, self._trouble, self._forget)

    def _forget(self) -> None:
        """Lose the bytes in transit on a connection that has ended."""
        now = self._now()
        self.terminal.disconnect(now)
        self.terminal.connect(now)


def listening(host: str, port: int) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    return socket.create_server((address[0], address[1]), family=family)


def _ends_a_command(message: object) -> bool:
    """Whether the message is a reply, even one with a wrong signature, or ``Received: false``."""
    if isinstance(message, BadFrame):
        return message.fault in (FrameFault.SIGNATURE, FrameFault.CHECKSUM)
    return isinstance(message, Reply) or (isinstance(message, Ack) and not message.received)


class _Connection:
    """The connection of one register."""

    def __init__(self, line: socket.socket) -> None:
        line.setblocking(False)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.line = line
        self.unwritten = bytearray()
        self.commands = Decoder()
        self.replies = Decoder()
        self.at_reply: NetworkFault | None = None
        self.unanswered = 0
        """How many received commands have no reply yet."""
        self.ending = False
        """Whether to end it once everything is written."""
        self.mute = False
        self.ends_at = math.inf
        self.resets = True


class _Listener:
    def __init__(self, listener: socket.socket, closes: bool, trouble: Trouble, forget: Callable[[], None]) -> None:
        self._listener = listener
        self._closes = closes
        self._trouble = trouble
        self._forget = forget
        self._connections: list[_Connection] = []
        """The terminal writes to the last one."""
        self._heard = b""
        self._wake_in, self._wake_out = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        for line in (listener, self._wake_in):
            line.setblocking(False)
            self._selector.register(line, selectors.EVENT_READ)

    def wait(self, timeout: float | None) -> bytes:
        ends_at = min((connection.ends_at for connection in self._connections), default=math.inf)
        if ends_at < math.inf:
            left = max(0.0, ends_at - time.monotonic())
            timeout = left if timeout is None else min(left, timeout)
        for key, events in self._selector.select(timeout):
            if isinstance(key.data, _Connection):
                self._serve(key.data, events)
            elif key.fileobj is self._listener:
                self._accept()
            else:
                self._wake_in.recv(64)
        for connection in list(self._connections):
            if connection.ends_at <= time.monotonic():
                self._drop(connection)
        heard, self._heard = self._heard, b""
        return heard

    def _accept(self) -> None:
        # The register may have left before it is accepted.
        with contextlib.suppress(OSError):
            line, _ = self._listener.accept()
            self._forget()
            connection = _Connection(line)
            self._connections.append(connection)
            self._selector.register(line, selectors.EVENT_READ, connection)

    def _serve(self, connection: _Connection, events: int) -> None:
        try:
            if events & selectors.EVENT_WRITE:
                self._write_on(connection)
            if events & selectors.EVENT_READ:
                data = connection.line.recv(65536)
                if not data:
                    self._drop(connection)
                elif not connection.mute:
                    self._heard += data
                    self._watch(connection, data)
        except OSError:
            self._drop(connection)

    def _watch(self, connection: _Connection, data: bytes) -> None:
        """Count the commands received, and apply their faults."""
        for message in connection.commands.feed(data):
            connection.unanswered += isinstance(message, CommandMessage)
            fault = self._trouble.take(message.code) if isinstance(message, CommandMessage) else None
            if fault is not None and fault.at_reply:
                connection.at_reply = fault
            elif fault is not None:
                self._befall(connection, fault)

    def write(self, data: bytes) -> None:
        if not self._connections or self._connections[-1].mute:
            return
        connection = self._connections[-1]
        replies = sum(_ends_a_command(message) for message in connection.replies.feed(data))
        if replies and connection.at_reply is not None:
            self._befall(connection, connection.at_reply)
            return
        connection.unanswered -= replies
        connection.ending = replies > 0 and self._closes and connection.unanswered <= 0
        connection.unwritten += data
        self._serve(connection, selectors.EVENT_WRITE)

    def _write_on(self, connection: _Connection) -> None:
        """Write as much as the register's side has room for."""
        with contextlib.suppress(BlockingIOError):
            while connection.unwritten:
                del connection.unwritten[: connection.line.send(connection.unwritten)]
        writing = selectors.EVENT_WRITE if connection.unwritten else 0
        self._selector.modify(connection.line, selectors.EVENT_READ | writing, connection)
        if connection.ending and not connection.unwritten:
            connection.ending = False
            self._befall(connection, _END)

    def _befall(self, connection: _Connection, fault: NetworkFault) -> None:
        connection.mute = True
        connection.unwritten.clear()
        connection.ends_at = time.monotonic() + fault.seconds
        if fault.kind is NetworkFaultKind.RESET:
            self._drop(connection)
        elif fault.kind is NetworkFaultKind.SLOW_CLOSE:
            connection.resets = False
            connection.line.shutdown(socket.SHUT_WR)

    def _drop(self, connection: _Connection) -> None:
        self._connections.remove(connection)
        self._selector.unregister(connection.line)
        if connection.mute and connection.resets:
            connection.line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        connection.line.close()

    def wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._wake_out.send(b"w")

    def close(self) -> None:
        for connection in list(self._connections):
            self._drop(connection)
        self._selector.close()
        for line in (self._listener, self._wake_in, self._wake_out):
            line.close()
