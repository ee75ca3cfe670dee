"""Where frames begin and end in a stream of both local wires, and what becomes of all that is none.

A stream is read by a small machine that knows the grammar of JSON, so that the first byte that cannot belong to a frame
ends it: noise, a torn frame and an endless one are then found at the same byte however the stream is cut into chunks.
After a fault the bytes behind the frame's first are read again, within a bound, since a torn frame may have swallowed
the beginning of the next one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import BinaryIO, Final, cast

from ..errors import InvalidValue
from ..messages import CATALOGUE, Ack, BadFrame, FrameFault, Reply
from .grammar import JsonGrammar, SimplifiedGrammar
from .signed import read_plain, read_signed
from .simplified import read_simplified
from .surface import Message

__all__ = ["MAX_FRAME", "RESCAN", "Decoder", "chunks", "decode_many"]

MAX_FRAME: Final = 1_048_576
"""The longest frame taken, in bytes."""

RESCAN: Final = 8
"""How often the bytes of a torn region may be read again, in all."""

_CHUNK = 65_536
_START = re.compile(rb"[{\x02]")
_ACK = b'{"Received":true}'
_HEAD = b'{"JsonSerialized":"'
_SIGN = b'","Sign":"'
_FROM_SIGN = len(_SIGN) + 64 + len(b'"}')


class Decoder:
    """Reads a stream of both local wires: give it bytes as they come, take the messages that are whole.

    ``max_frame`` is the longest frame taken, in bytes. ``reply_types`` adds or replaces reply types by function code.
    What it is fed is never kept beyond one frame. A decoder serves one stream.
    """

    def __init__(self, max_frame: int = MAX_FRAME, *, reply_types: Mapping[int, type[Reply]] | None = None) -> None:
        if max_frame < 64:
            raise InvalidValue("max_frame must be at least 64 bytes")
        self._max_frame = max_frame
        self._reply_types = {**CATALOGUE.reply_types, **(reply_types or {})}
        self._skipped = 0
        self.reset()

    def reset(self) -> None:
        """Forget a frame that has begun; ``skipped`` keeps counting."""
        self._buffer = bytearray()
        self._grammar: JsonGrammar | SimplifiedGrammar | None = None
        self._at = 0
        """How much of the frame that has begun was read."""
        self._torn = False
        """Whether the bad bytes that were read last have been reported."""
        # Places in the stream: of the buffer's first byte, of the first byte not read before, of a torn region's start.
        self._base = self._horizon = self._region = 0
        self._work = 0
        """How many bytes of the torn region were read, each as often as it was."""

    @property
    def pending(self) -> int:
        """The bytes held of a frame that has begun."""
        return len(self._buffer)

    @property
    def skipped(self) -> int:
        """The bytes so far that belonged to no whole frame: noise, line ends, torn frames."""
        return self._skipped

    def feed(self, data: bytes | bytearray | memoryview) -> list[Message]:
        """The messages that ``data`` completes, in the order of the wire.

        What the peer does wrong is a ``BadFrame`` among them, never an exception; a run of bytes that cannot be read is
        reported once.
        """
        return [message for _, message in self.feed_placed(data)]

    def feed_placed(self, data: bytes | bytearray | memoryview) -> list[tuple[int, Message]]:
        """As ``feed``, with each message the place in the stream of its first byte."""
        found: list[tuple[int, Message]] = []
        if self._buffer:
            self._buffer += data
            done = self._read(self._buffer, found)
            del self._buffer[:done]
        else:
            data = bytes(data)
            done = self._read(data, found)
            if done < len(data):
                self._buffer += data[done:]
        self._base += done
        return found

    def _read(self, data: bytes | bytearray, found: list[tuple[int, Message]]) -> int:
        """Read ``data``, at whose start a frame has begun unless none has; return how many bytes are done with."""
        start = self._sign = 0
        message: Message
        while start < len(data):
            if self._grammar is None:
                start = self._skip_noise(data, start)
                if start == len(data):
                    break
                end, plain = self._read_plain(data, start)
                if plain is not None:
                    self._take(plain, start, found)
                    start = end
                    continue
                self._grammar = JsonGrammar() if data[start] == 0x7B else SimplifiedGrammar()
                self._at = 1
            limit = min(len(data), start + self._max_frame)
            whole, at = self._grammar.read(data, start + self._at, limit)
            if whole is None and limit == len(data):
                self._at = at - start
                return start
            self._grammar = None
            if whole:
                frame = bytes(data[start:at])
                message = (read_signed if frame[0] == 0x7B else read_simplified)(frame, self._reply_types)
            elif whole is None:
                reason = f"a frame is longer than {self._max_frame} bytes"
                message = BadFrame(FrameFault.TOO_LARGE, reason, limit - start)
            else:
                message = BadFrame(FrameFault.MALFORMED, "bytes that are not a frame", at - start)
            self._take(message, start, found)
            if isinstance(message, BadFrame) and (not whole or message.fault is FrameFault.CHECKSUM):
                start = self._behind_fault(start, message.size)
            else:
                start = at
        return start

    def _skip_noise(self, data: bytes | bytearray, start: int) -> int:
        """Where the next frame may begin; the end of ``data`` where none does."""
        begin = _START.search(data, start)
        place = begin.start() if begin else len(data)
        self._skipped += place - start
        if self._base + place >= self._horizon:
            self._region, self._work = self._base + place, 0
        return place

    def _read_plain(self, data: bytes | bytearray, start: int) -> tuple[int, Message | None]:
        """The end and the message of a frame in the form that nearly all have; ``None``: the grammar has to tell."""
        if data.startswith(_ACK, start):
            return start + len(_ACK), Ack(True)
        inside = start + len(_HEAD)
        if not data.startswith(_HEAD, start) or self._sign >= inside:
            return start, None
        # Each signature is tried once, so that many torn beginnings before one cost no more than one.
        sign = data.find(_SIGN, inside)
        self._sign = sign if sign >= 0 else len(data)
        end = self._sign + _FROM_SIGN
        if end > len(data) or end - start > self._max_frame:
            return start, None
        return end, read_plain(bytes(data[start:end]), self._reply_types)

    def _take(self, message: Message, start: int, found: list[tuple[int, Message]]) -> None:
        """Hand a message on, unless it tells once more of bytes that cannot be read."""
        if isinstance(message, BadFrame):
            if not message.sealed and message.fault in (FrameFault.MALFORMED, FrameFault.TOO_LARGE):
                if self._torn:
                    return
                self._torn = True
        else:
            self._torn = False
        found.append((self._base + start, message))

    def _behind_fault(self, start: int, size: int) -> int:
        """Where to look for the next frame after one of ``size`` bytes that ended wrongly."""
        self._horizon = max(self._horizon, self._base + start + size)
        self._work += size
        following = start + 1
        if self._work > RESCAN * (self._horizon - self._region):
            following = self._horizon - self._base
        self._skipped += following - start
        return following


def chunks(source: bytes | bytearray | memoryview | BinaryIO) -> Iterator[bytes | memoryview]:
    """The bytes of a bytes-like object or of a binary file, a piece at a time."""
    read = getattr(source, "read", None)
    if read is not None:
        while chunk := read(_CHUNK):
            yield chunk
    else:
        with memoryview(cast("bytes", source)) as view, view.cast("B") as octets:
            for place in range(0, len(octets), _CHUNK):
                yield octets[place : place + _CHUNK]


def decode_many(
    source: bytes | bytearray | memoryview | BinaryIO,
    *,
    max_frame: int = MAX_FRAME,
    reply_types: Mapping[int, type[Reply]] | None = None,
) -> Iterator[tuple[int, Message]]:
    """The messages of a whole capture or log, each with the place in it of its first byte.

    ``source`` is bytes-like, or a binary file that is read to its end in pieces: memory does not grow with its length.
    What is read, and what becomes of bad bytes, is as for ``Decoder``.
    """
    decoder = Decoder(max_frame, reply_types=reply_types)
    for chunk in chunks(source):
        yield from decoder.feed_placed(chunk)
