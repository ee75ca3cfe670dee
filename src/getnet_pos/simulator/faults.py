"""Faults of the link between the register and the virtual terminal, each at a chosen place, reproducible by seed.

They change bytes in transit and do not decode messages: a frame here is a run of bytes with an end.
"""

from __future__ import annotations

import heapq
import math
import random
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from ..codec.grammar import JsonGrammar, SimplifiedGrammar
from ..errors import InvalidValue
from .behaviour import Behaviour

__all__ = ["Direction", "Fault", "FaultKind", "Frame", "Frames", "Line"]


class Direction(Enum):
    """The direction of the frames that a fault affects.

    Examples:
        >>> from getnet_pos.simulator import Direction, Fault, FaultKind
        >>> terminal.inject(Fault(FaultKind.DUPLICATE, Direction.TO_REGISTER))
        >>> pos.sale(25_000).approved
        True
    """

    TO_TERMINAL = "to-terminal"
    TO_REGISTER = "to-register"


class FaultKind(Enum):
    """What happens to a frame. "The byte" is ``Fault.byte``, or one that the seed chooses.

    Examples:
        >>> from getnet_pos.simulator import Direction, Fault, FaultKind
        >>> lost_acknowledgement = Fault(FaultKind.DROP, Direction.TO_REGISTER, message=0)
    """

    DROP = "drop"
    """The frame is lost; with ``byte``, only that byte."""
    CORRUPT = "corrupt"
    """One bit of the byte is flipped."""
    TRUNCATE = "truncate"
    """The frame is cut off at the byte."""
    DUPLICATE = "duplicate"
    DELAY = "delay"
    """The frame arrives ``seconds`` late; others may overtake it."""
    REORDER = "reorder"
    """The frame arrives after the next one; if there is no next one, it is lost."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that happens once.

    ``message`` is the index of the frame in this direction since the fault was injected, acknowledgements included; 0
    is the next one. ``byte`` is an index in that frame, or, with ``message=None``, in the stream of all frames.

    Examples:
        >>> from getnet_pos.simulator import Direction, Fault, FaultKind
        >>> Fault(FaultKind.DROP, Direction.TO_TERMINAL, message=None)
        Traceback (most recent call last):
        getnet_pos.errors.InvalidValue: a fault needs a place: pass message=, byte= or both
    """

    kind: FaultKind
    direction: Direction
    message: int | None = 0
    byte: int | None = None
    seconds: float = 1.0

    def __post_init__(self) -> None:
        if self.message is None and self.byte is None:
            raise InvalidValue("a fault needs a place: pass message=, byte= or both")
        if min(self.message or 0, self.byte or 0, self.seconds) < 0:
            raise InvalidValue("message, byte and seconds of a fault must not be negative")


class Frame(NamedTuple):
    """Bytes in transit, and the behaviour that determines how they are written."""

    data: bytes
    behaviour: Behaviour


@dataclass(slots=True)
class _Waiting:
    """A fault that has not happened yet, and the frames and bytes that have passed since it was injected."""

    fault: Fault
    frames: int = 0
    size: int = 0

    def place(self, frame: bytes) -> int | None:
        """The index in ``frame`` at which the fault happens: -1: any; ``None``: not in this frame."""
        fault, before = self.fault, self.size
        self.frames, self.size = self.frames + 1, before + len(frame)
        if fault.message is None:
            place = (fault.byte or 0) - before
            return place if place < len(frame) else None
        if self.frames <= fault.message:
            return None
        return -1 if fault.byte is None else min(fault.byte, len(frame) - 1)


class Line:
    """One direction of the link: frames go in, and come out when they are due, changed by the faults."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._faults: list[_Waiting] = []
        self._in_flight: list[tuple[float, int, Frame]] = []
        self._overtaken: list[Frame] = []
        self._count = 0
        self.due = math.inf
        """When the next frame arrives."""

    @property
    def faulty(self) -> bool:
        """Whether a fault is still pending."""
        return bool(self._faults)

    def inject(self, fault: Fault) -> None:
        self._faults.append(_Waiting(fault))

    def put(self, frame: Frame, now: float) -> None:
        overtaken, self._overtaken = self._overtaken, []
        frames, delay = [frame], 0.0
        for waiting in list(self._faults):
            place = waiting.place(frame.data)
            if place is None:
                continue
            self._faults.remove(waiting)
            if waiting.fault.kind is FaultKind.REORDER:
                self._overtaken, frames = self._overtaken + frames, []
            elif waiting.fault.kind is FaultKind.DELAY:
                delay += waiting.fault.seconds
            elif waiting.fault.kind is FaultKind.DUPLICATE:
                frames *= 2
            else:
                damaged = [self._damage(waiting.fault, place, item) for item in frames]
                frames = [item for item in damaged if item.data]
        for item in frames:
            self._push(item, now + delay)
        for item in overtaken:
            self._push(item, now)

    def take(self, now: float) -> list[Frame]:
        """The frames that have arrived by ``now``."""
        frames = []
        while self.due <= now:
            frames.append(heapq.heappop(self._in_flight)[2])
            self.due = self._in_flight[0][0] if self._in_flight else math.inf
        return frames

    def clear(self) -> None:
        """Lose all frames in transit."""
        self._in_flight.clear()
        self._overtaken.clear()
        self.due = math.inf

    def _push(self, frame: Frame, due: float) -> None:
        self._count += 1
        heapq.heappush(self._in_flight, (due, self._count, frame))
        self.due = min(self.due, due)

    def _damage(self, fault: Fault, place: int, frame: Frame) -> Frame:
        data = frame.data
        at = self._rng.randrange(len(data)) if place < 0 else min(place, len(data) - 1)
        if fault.kind is FaultKind.DROP:
            return frame._replace(data=b"" if fault.byte is None else data[:at] + data[at + 1 :])
        if fault.kind is FaultKind.TRUNCATE:
            return frame._replace(data=data[:at])
        return frame._replace(data=b"%b%c%b" % (data[:at], data[at] ^ (1 << self._rng.randrange(8)), data[at + 1 :]))


class Frames:
    """Splits a stream of bytes after each frame, so that faults can count frames, however the bytes arrive.

    No byte is left out: noise ends where it can no longer become a frame.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._at = 0
        self._grammar: JsonGrammar | SimplifiedGrammar | None = None

    def feed(self, data: bytes) -> list[bytes]:
        self._buffer += data
        pieces = []
        while self._advance():
            pieces.append(bytes(self._buffer[: self._at]))
            del self._buffer[: self._at]
            self._at = 0
        return pieces

    def rest(self) -> bytes:
        """Remove and return the bytes of an incomplete frame."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        self._at, self._grammar = 0, None
        return rest

    def _advance(self) -> bool:
        """Whether a piece ends at ``_at``."""
        size = len(self._buffer)
        while self._grammar is None and self._at < size:
            if self._buffer[self._at] in b"{\x02":
                self._grammar = JsonGrammar() if self._buffer[self._at] == 0x7B else SimplifiedGrammar()
            self._at += 1
        if self._grammar is None:
            return False
        verdict, self._at = self._grammar.read(self._buffer, self._at, size)
        if verdict is None:
            return False
        self._grammar = None
        return True
