"""Finds frames in a stream of both local wires, and handles everything between them.

A small state machine knows the grammar of JSON, so the first byte that cannot belong to a frame ends it. Noise, a torn
frame and an endless one are then detected at the same byte, however the stream is split into chunks. After a fault the
bytes after the frame's first one are read again, within a limit, because a torn frame may contain the beginning of the
next one.
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
"""The longest frame that is accepted, in bytes."""

RESCAN: Final = 8
"""How many times the bytes of a torn region may be read in all."""

_CHUNK = 65_536
_START = re.compile(rb"[{\x02]")
_ACK = b'{"Received":true}'
_HEAD = b'{"JsonSerialized":"'
_SIGN = b'","Sign":"'
_FROM_SIGN = len(_SIGN) + 64 + len(b'"}')


class Decoder:
    """Decodes a stream of both local wires: feed it the bytes as they arrive, and get the complete messages.

    ``max_frame`` is the longest frame that is accepted, in bytes. ``reply_types`` adds or replaces reply types by
    function code. It keeps at most one frame in memory. Use one decoder per stream.

    Examples:
        >>> from getnet_pos.codec import Decoder
        >>> Decoder().feed(b'{"Received":true}')
        [Ack(received=True)]
    """

    def __init__(self, max_frame: int = MAX_FRAME, *, reply_types: Mapping[int, type[Reply]] | None = None) -> None:
        if max_frame < 64:
            raise InvalidValue("max_frame must be at least 64 bytes")
        self._max_frame = max_frame
        self._reply_types = {**CATALOGUE.reply_types, **(reply_types or {})}
        self._skipped = 0
        self.reset()

    def reset(self) -> None:
        """Forget an incomplete frame; ``skipped`` keeps its value."""
        self._buffer = bytearray()
        self._grammar: JsonGrammar | SimplifiedGrammar | None = None
        self._at = 0
        """How much of the incomplete frame has been read."""
        self._torn = False
        """Whether the current bad bytes have been reported."""
        # Positions in the stream: the buffer's first byte, the first byte never read, and the start of a torn region.
        self._base = self._horizon = self._region = 0
        self._work = 0
        """How many bytes of the torn region were read, counting repeated reads."""

    @property
    def pending(self) -> int:
        """The number of bytes of an incomplete frame."""
        return len(self._buffer)

    @property
    def skipped(self) -> int:
        """The number of bytes so far that belonged to no complete frame: noise, line ends, torn frames."""
        return self._skipped

    def feed(self, data: bytes | bytearray | memoryview) -> list[Message]:
        """The messages that ``data`` completes, in the order of the wire.

        Errors of the peer are ``BadFrame`` messages, never exceptions; a run of unreadable bytes is reported once.
        """
        return [message for _, message in self.feed_placed(data)]

    def feed_placed(self, data: bytes | bytearray | memoryview) -> list[tuple[int, Message]]:
        """Like ``feed``, with the position in the stream of each message's first byte."""
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
        """Read ``data``, which begins with the incomplete frame if there is one. Returns how many bytes are done."""
        start = self._sign = 0
        message: Message
        while start < len(data):
            if self._grammar is None:
                end, plain = self._read_plain(data, start)
                if plain is not None:
                    self._take(plain, start, found)
                    start = end
                    continue
                begin = self._skip_noise(data, start)
                if begin > start:
                    start = begin
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
                reason = f"a frame is longer than the limit of {self._max_frame} bytes (max_frame)"
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
        """The position where the next frame may begin; the end of ``data`` if there is none."""
        begin = _START.search(data, start)
        place = begin.start() if begin else len(data)
        self._skipped += place - start
        if self._base + place >= self._horizon:
            self._region, self._work = self._base + place, 0
        return place

    def _read_plain(self, data: bytes | bytearray, start: int) -> tuple[int, Message | None]:
        """The end and the message of a frame in the usual form; ``None`` if the grammar must read it."""
        if data.startswith(_ACK, start):
            return start + len(_ACK), Ack(True)
        inside = start + len(_HEAD)
        if not data.startswith(_HEAD, start) or self._sign >= inside:
            return start, None
        # Each signature is tried once, so that many torn beginnings before it cost no more than one.
        sign = data.find(_SIGN, inside)
        self._sign = sign if sign >= 0 else len(data)
        end = self._sign + _FROM_SIGN
        if end > len(data) or end - start > self._max_frame:
            return start, None
        return end, read_plain(bytes(data[start:end]), self._reply_types)

    def _take(self, message: Message, start: int, found: list[tuple[int, Message]]) -> None:
        """Return a message, unless it reports the same run of unreadable bytes again."""
        if isinstance(message, BadFrame):
            if not message.sealed and message.fault in (FrameFault.MALFORMED, FrameFault.TOO_LARGE):
                if self._torn:
                    return
                self._torn = True
        else:
            self._torn = False
        found.append((self._base + start, message))

    def _behind_fault(self, start: int, size: int) -> int:
        """The position from which to search for the next frame after a bad one of ``size`` bytes."""
        self._horizon = max(self._horizon, self._base + start + size)
        self._work += size
        following = start + 1
        if self._work > RESCAN * (self._horizon - self._region):
            following = self._horizon - self._base
        self._skipped += following - start
        return following


def chunks(source: bytes | bytearray | memoryview | BinaryIO) -> Iterator[bytes | memoryview]:
    """The bytes of a bytes-like object or a binary file, in pieces."""
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
    """The messages in a capture or log, each with the position of its first byte.

    ``source`` is bytes-like, or a binary file that is read to its end in pieces, so that memory does not grow with its
    length. Bad bytes are handled as by ``Decoder``.
    """
    decoder = Decoder(max_frame, reply_types=reply_types)
    for chunk in chunks(source):
        yield from decoder.feed_placed(chunk)
