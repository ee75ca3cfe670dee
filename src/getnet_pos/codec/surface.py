"""What a codec backend offers. Both implementations have exactly this; nothing is implemented here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import BinaryIO, Protocol

from ..messages import Ack, BadFrame, Command, CommandMessage, Progress, Reply
from ..messages.terminals import TerminalList

__all__ = ["Backend", "Message", "StreamDecoder"]

Message = Ack | Progress | Reply | CommandMessage | BadFrame
"""What a decoder finds in a stream."""


class StreamDecoder(Protocol):
    """A decoder of one stream."""

    def feed(self, data: bytes | bytearray | memoryview) -> list[Message]: ...
    def reset(self) -> None: ...
    @property
    def pending(self) -> int: ...
    @property
    def skipped(self) -> int: ...


class _DecoderType(Protocol):
    def __call__(
        self, max_frame: int = ..., *, reply_types: Mapping[int, type[Reply]] | None = ...
    ) -> StreamDecoder: ...


class Backend(Protocol):
    """One implementation of the codec."""

    @property
    def BACKEND(self) -> str: ...
    @property
    def Decoder(self) -> _DecoderType: ...
    def decode_many(
        self,
        source: bytes | bytearray | memoryview | BinaryIO,
        *,
        max_frame: int = ...,
        reply_types: Mapping[int, type[Reply]] | None = ...,
    ) -> Iterator[tuple[int, Message]]: ...
    def seal(self, command: Command) -> bytes: ...
    def envelope(self, text: str) -> bytes: ...
    def signature(self, text: str) -> str: ...
    def lrc(self, data: bytes | bytearray | memoryview) -> int: ...
    def encode_simplified(self, command: Command) -> bytes: ...
    def frame_simplified(self, text: str) -> bytes: ...
    def read_terminals(self, body: bytes | bytearray, *, strict: bool = ...) -> TerminalList: ...
