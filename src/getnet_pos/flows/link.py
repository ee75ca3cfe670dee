"""One terminal's byte stream: reading messages, acknowledging them, and finding late replies between commands."""

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
"""The maximum number of reads of stale bytes before a command: a port that never falls silent must not block it."""


def log_left_out(what: str, message: Message, *, again: bool) -> None:
    """Log what is skipped; only the first time as a warning, so that a noisy line does not fill the disk."""
    log.log(logging.DEBUG if again else logging.WARNING, "%s %s", what, _describe(message))


class Link:
    """The state of the stream. ``acknowledges``: both sides send ``Received`` messages."""

    def __init__(self, wire: Wire, timeouts: Timeouts, catalogue: Catalogue, *, acknowledges: bool) -> None:
        self.wire = wire
        self.timeouts = timeouts
        self.acknowledges = acknowledges
        self._reply_types = catalogue.reply_types
        self.decoder = Decoder(reply_types=self._reply_types)
        self.is_open = False
        self.cancel_wanted = False
        """Set by another thread or task to cancel the sale in progress; the waiting flow does the rest."""
        self.cancel_frame: bytes | None = None
        """The cancellation as another program wrote it."""
        self.on_frame: OnFrame | None = None
        """Called with each message from the terminal during the command in progress, and its bytes."""
        self._frame = b""
        """The bytes of the message that was last returned, if ``on_frame`` is set."""
        self._tape = bytearray()
        """The bytes read since the last message, if ``on_frame`` is set."""
        self.has_acknowledged = False
        """Whether the peer is known to acknowledge a command before it answers."""
        self.awaits_voucher = False
        """Whether a last voucher was queried and may still arrive."""
        self.heard = True
        """Whether a byte has arrived since the last command left."""
        self.echoes = False
        """Whether a command was sent back on this link."""
        self.openings = 0
        """How many times the transport was opened."""
        self.device: str | None = None
        """An identity of the device that stays the same when its name changes."""
        self._inbox: deque[tuple[Message, bytes]] = deque()

    def encode(self, command: Command[Any]) -> bytes:
        return seal(command) if self.wire is Wire.SIGNED else encode_simplified(command)

    def open(self) -> Flow[None]:
        """Open the transport and discard all earlier state of the stream."""
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
        """Write a command that was encoded as ``data``; return the time when it was written."""
        now = yield Now()
        deadline = min(now + self.timeouts.acknowledgement, may_leave_until(lease, now, terms))
        tracing.sent(command, len(data))
        self.heard = False
        yield Send(data, deadline, beside)
        self.awaits_voucher |= isinstance(command, LastVoucher)
        sent: float = yield Now()
        return sent

    def acknowledge(self, received: bool = True) -> Flow[TransportError | None]:
        """Acknowledge a message, or refuse a damaged one; the error if that could not be written.

        The caller may go on: bytes already received may contain the reply, and reading detects a dead link.
        """
        if self.acknowledges:
            data = acknowledgement(received)
            now = yield Now()
            tracing.sent(Ack(received), len(data))
            try:
                yield Send(data, now + self.timeouts.acknowledgement)
            except TransportError as error:
                log.warning("could not acknowledge a message: %s", error)
                return error
        return None

    def acknowledge_final(self) -> Flow[None]:
        """Acknowledge a reply that is already recorded: a link that fails now cannot change the result."""
        error = yield from self.acknowledge()
        if error is not None:
            yield from self.close(error)

    def next_message(self, deadline: float) -> Flow[Message | None]:
        """The next message; ``None`` at the deadline, or earlier if the flow was woken."""
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
        """Pass ``message``, the last one, and its bytes to ``on_frame``. It cannot harm the flow."""
        on_frame, frame = self.on_frame, self._frame
        if on_frame is not None and frame:
            yield from hand_on(on_frame, message, frame)

    def discard_stale(self) -> Flow[list[Reply]]:
        """Read what arrived since the last command. Returns the replies, not acknowledged yet; drops the rest."""
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
                    # If the terminal takes no bytes, do not wait for it again with each of its messages.
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
        """The bytes of each of ``messages``, which ``data`` has completed; empty for one that could not be read."""
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
    """The end of the complete frame that begins at ``start``."""
    grammar = JsonGrammar() if data[start] == 0x7B else SimplifiedGrammar()
    _, end = grammar.read(data, start + 1, len(data))
    return end


def _describe(message: Message) -> str:
    """Describe a message without its content."""
    if isinstance(message, BadFrame):
        return f"{message.size} bytes, {message.fault.value}: {message.reason}"
    return type(message).__name__
