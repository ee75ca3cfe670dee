"""One terminal's byte stream between and during commands: what was read, what must be acknowledged, what came late."""

from __future__ import annotations

import logging
from collections import deque
from typing import Any

from .. import tracing
from ..codec import MAX_FRAME, Decoder, Message, acknowledgement, decode_many, encode_simplified, seal
from ..codec.grammar import JsonGrammar, SimplifiedGrammar
from ..errors import GetnetError, TransportError
from ..logs import logger
from ..messages import Ack, BadFrame, Catalogue, Command, LastVoucher, Progress, Reply, Wire
from ..profiles import Timeouts
from .carrier import NO_TERMS, OnFrame, Terms, hand_on, may_leave_until
from .effects import Close, Flow, Lease, Now, Open, Receive, Send

__all__ = ["Link", "log_left_out"]

log = logger("getnet_pos.link")

_STALE_READS = 64
"""How many reads of stale bytes are made before a command: a port that never falls silent must not hold it up."""


def log_left_out(what: str, message: Message, *, again: bool) -> None:
    """Log what is passed over, once as a warning: a line that sends nothing else must not fill a disk."""
    log.log(logging.DEBUG if again else logging.WARNING, "%s %s", what, _describe(message))


class Link:
    """The state of the stream. ``acknowledges``: the wire has ``Received`` messages, both ways."""

    def __init__(self, wire: Wire, timeouts: Timeouts, catalogue: Catalogue, *, acknowledges: bool) -> None:
        self.wire = wire
        self.timeouts = timeouts
        self.acknowledges = acknowledges
        self._reply_types = catalogue.reply_types
        self.decoder = Decoder(reply_types=self._reply_types)
        self.is_open = False
        self.cancel_wanted = False
        """Set by another thread or task to have the sale in progress cancelled; the flow that waits does the rest."""
        self.cancel_frame: bytes | None = None
        """The cancellation as somebody else wrote it."""
        self.on_frame: OnFrame | None = None
        """Is given the messages that answer the command in progress, each with its bytes."""
        self._frame = b""
        """The bytes of the message that was returned last, where anybody wants them."""
        self._tape = bytearray()
        """What was read since the last message, where anybody wants its bytes."""
        self.has_acknowledged = False
        """Whether the peer is known to acknowledge a command before it answers it."""
        self.awaits_voucher = False
        """Whether a last voucher was asked for that may still come."""
        self.heard = True
        """Whether a byte has come since the last command left."""
        self.echoes = False
        """Whether a command came back on this link."""
        self.openings = 0
        """How often the transport was opened."""
        self.device: str | None = None
        """What stays of the device behind the transport when its name changes."""
        self._inbox: deque[tuple[Message, bytes]] = deque()

    def encode(self, command: Command[Any]) -> bytes:
        return seal(command) if self.wire is Wire.SIGNED else encode_simplified(command)

    def open(self) -> Flow[None]:
        """Open the transport, from a clean beginning."""
        self.device = yield Open()
        self.openings += 1
        self.echoes = False
        self._forget()
        self.is_open = True

    def close(self, cause: GetnetError | None = None) -> Flow[None]:
        self.is_open = False
        yield Close(cause)

    def send(
        self,
        command: Command[Any],
        data: bytes,
        *,
        beside: bool = False,
        lease: Lease | None = None,
        terms: Terms = NO_TERMS,
    ) -> Flow[float]:
        """Write a command that was encoded as ``data``; return the time at which it had been written."""
        now = yield Now()
        deadline = min(now + self.timeouts.acknowledgement, may_leave_until(lease, now, terms))
        tracing.sent(command, len(data))
        self.heard = False
        yield Send(data, deadline, beside)
        self.awaits_voucher |= isinstance(command, LastVoucher)
        sent: float = yield Now()
        return sent

    def acknowledge(self, received: bool = True) -> Flow[TransportError | None]:
        """Tell the terminal that its message came, or that it came damaged; the error where that could not be said.

        That is no reason to stop: what has come already may hold the reply, and reading finds out that a link is gone.
        """
        if self.acknowledges:
            data = acknowledgement(received)
            now = yield Now()
            tracing.sent(Ack(received), len(data))
            try:
                yield Send(data, now + self.timeouts.acknowledgement)
            except TransportError as error:
                log.warning("a message could not be acknowledged: %s", error)
                return error
        return None

    def acknowledge_final(self) -> Flow[None]:
        """Acknowledge a reply that is already safe: a link that breaks now cannot change the result."""
        error = yield from self.acknowledge()
        if error is not None:
            yield from self.close(error)

    def next_message(self, deadline: float) -> Flow[Message | None]:
        """The next message; ``None`` at the deadline, or earlier when attention was asked for."""
        while not self._inbox:
            data = yield Receive(deadline)
            if not data:
                return None
            self._read(data)
            if not self._inbox and (yield Now()) >= deadline:
                return None
        message, self._frame = self._inbox.popleft()
        self.has_acknowledged |= isinstance(message, Ack)
        return message

    def hand_on(self, message: Message) -> Flow[None]:
        """Give ``message``, the last one, with its bytes to whoever wants them. What becomes of it harms no flow."""
        on_frame, frame = self.on_frame, self._frame
        if on_frame is not None and frame:
            yield from hand_on(on_frame, message, frame)

    def discard_stale(self) -> Flow[list[Reply]]:
        """Take what came since the last command: return the replies, which are not acknowledged yet; drop the rest."""
        late: list[Reply] = []
        listens, damaged = True, False
        for _ in range(_STALE_READS):
            data = yield Receive(0.0)
            if data:
                self._read(data)
            while self._inbox:
                message, _ = self._inbox.popleft()
                if isinstance(message, Reply):
                    late.append(message)
                elif isinstance(message, Progress):
                    # A terminal that takes no bytes is not waited for again with each message that it sends.
                    listens = listens and (yield from self.acknowledge()) is None
                elif not isinstance(message, Ack):
                    log_left_out("stale bytes before a command:", message, again=damaged)
                    damaged = True
            if not data:
                break
        self._forget()
        return late

    def _read(self, data: bytes) -> None:
        self.heard = True
        messages = self.decoder.feed(data)
        tracing.received(messages, len(data))
        frames = self._frames(messages, data) if self.on_frame is not None else [b""] * len(messages)
        self._inbox.extend(zip(messages, frames, strict=True))

    def _frames(self, messages: list[Message], data: bytes) -> list[bytes]:
        """The bytes of each of ``messages``, which ``data`` has completed; none of one that could not be read."""
        self._tape += data
        found = [message for message in messages if not isinstance(message, BadFrame)]
        if not found:
            del self._tape[:-MAX_FRAME]
            return [b""] * len(messages)
        held = decode_many(self._tape, reply_types=self._reply_types)
        places = [place for place, message in held if not isinstance(message, BadFrame)][-len(found) :]
        if len(places) != len(found):
            self._tape.clear()
            return [b""] * len(messages)
        ends = [_end(self._tape, place) for place in places]
        frames = deque(bytes(self._tape[place:end]) for place, end in zip(places, ends, strict=True))
        del self._tape[: ends[-1]]
        return [b"" if isinstance(message, BadFrame) else frames.popleft() for message in messages]

    def _forget(self) -> None:
        self._tape.clear()
        self._inbox.clear()
        self.decoder.reset()


def _end(data: bytearray, start: int) -> int:
    """Where the whole frame ends that begins at ``start``."""
    grammar = JsonGrammar() if data[start] == 0x7B else SimplifiedGrammar()
    _, end = grammar.read(data, start + 1, len(data))
    return end


def _describe(message: Message) -> str:
    """What a message is, without anything of what it holds."""
    if isinstance(message, BadFrame):
        return f"{message.size} bytes, {message.fault.value}: {message.reason}"
    return type(message).__name__
