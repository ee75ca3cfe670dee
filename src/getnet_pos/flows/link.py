"""One terminal's byte stream between and during commands: what was read, what must be acknowledged, what came late."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping

from ..codec import Decoder, Message, acknowledgement, encode_simplified, seal
from ..errors import TransportError
from ..messages import Ack, BadFrame, CancelSale, Command, Progress, Reply, Wire
from ..profiles import Timeouts
from .effects import Close, Flow, Now, Open, Receive, Send

__all__ = ["Link", "describe"]

log = logging.getLogger("getnet_pos.link")

_STALE_READS = 64
"""How many reads of stale bytes are made before a command: a port that never falls silent must not hold it up."""


class Link:
    """The state of the stream. ``acknowledges``: the wire has ``Received`` messages, both ways."""

    def __init__(
        self,
        wire: Wire,
        timeouts: Timeouts,
        *,
        acknowledges: bool,
        reply_types: Mapping[int, type[Reply]],
    ) -> None:
        self.wire = wire
        self.timeouts = timeouts
        self.acknowledges = acknowledges
        self.decoder = Decoder(reply_types=reply_types)
        self.is_open = False
        self.cancel_wanted = False
        """Set by another thread or task to have the sale in progress cancelled; the flow that waits does the rest."""
        self.late: list[Reply] = []
        """Replies that answer no command in progress, until someone looks whether an earlier one is theirs."""
        self.has_acknowledged = False
        """Whether the peer is known to acknowledge a command before it answers it."""
        self._inbox: deque[Message] = deque()

    def encode(self, command: Command) -> bytes:
        return seal(command) if self.wire is Wire.SIGNED else encode_simplified(command)

    def open(self) -> Flow[None]:
        """Open the transport, from a clean beginning."""
        yield Open()
        self._forget()
        self.is_open = True

    def close(self) -> Flow[None]:
        self.is_open = False
        yield Close()

    def send(self, command: Command, *, aside: bool = False) -> Flow[float]:
        """Write a command; return the time at which it had been written."""
        now = yield Now()
        yield Send(self.encode(command), now + self.timeouts.acknowledgement, aside)
        sent: float = yield Now()
        return sent

    def cancel(self) -> Flow[float]:
        log.info("asking the terminal to cancel the sale in progress")
        return (yield from self.send(CancelSale(), aside=True))

    def acknowledge(self, received: bool = True) -> Flow[None]:
        """Tell the terminal that its message came, or that it came damaged."""
        if self.acknowledges:
            now = yield Now()
            yield Send(acknowledgement(received), now + self.timeouts.acknowledgement)

    def acknowledge_final(self) -> Flow[None]:
        """Acknowledge a reply that is already safe: a link that breaks now cannot change the result."""
        try:
            yield from self.acknowledge()
        except TransportError as error:
            log.warning("the final reply could not be acknowledged: %s", error)
            yield from self.close()

    def next_message(self, deadline: float) -> Flow[Message | None]:
        """The next message; ``None`` at the deadline, or earlier when attention was asked for."""
        while not self._inbox:
            data = yield Receive(deadline)
            if not data:
                return None
            self._inbox.extend(self.decoder.feed(data))
            if not self._inbox and (yield Now()) >= deadline:
                return None
        message = self._inbox.popleft()
        self.has_acknowledged |= isinstance(message, Ack)
        return message

    def discard_stale(self) -> Flow[None]:
        """Take what came since the last command: late replies are acknowledged and set aside, the rest is dropped."""
        for _ in range(_STALE_READS):
            data = yield Receive(0.0)
            if not data:
                break
            self._inbox.extend(self.decoder.feed(data))
        for message in self._inbox:
            if isinstance(message, Reply):
                yield from self.set_aside(message)
            elif isinstance(message, Progress):
                yield from self.acknowledge()
            elif not isinstance(message, Ack):
                log.warning("stale bytes before a command: %s", describe(message))
        self._forget()

    def set_aside(self, reply: Reply) -> Flow[None]:
        """Acknowledge a reply that does not answer the command in progress, and keep it."""
        log.warning("a reply of function code %d came late, or twice; it is set aside", reply.function_code)
        self.late.append(reply)
        del self.late[:-16]
        yield from self.acknowledge()

    def _forget(self) -> None:
        self._inbox.clear()
        self.decoder.reset()


def describe(message: Message) -> str:
    """What a message is, without anything of what it holds."""
    if isinstance(message, BadFrame):
        return f"{message.size} bytes, {message.fault.value}: {message.reason}"
    return type(message).__name__
