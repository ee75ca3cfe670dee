"""The interface of a codec backend, which both implementations have exactly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import BinaryIO, Protocol

from ..messages import Ack, BadFrame, Command, CommandMessage, Progress, Reply
from ..messages.terminals import TerminalList

__all__ = ["Backend", "Message", "StreamDecoder"]

Message = Ack | Progress | Reply | CommandMessage | BadFrame
"""The messages that a decoder returns."""


class StreamDecoder(Protocol):
    """A decoder of one stream (docs/protocol.md, "Input rules").

    Examples:
        >>> from getnet_pos.codec import Decoder, StreamDecoder
        >>> decoder: StreamDecoder = Decoder()
        >>> decoder.feed(b'noise {"Received":'), decoder.skipped, decoder.pending
        ([], 6, 12)
        >>> decoder.feed(b"true}")
        [Ack(received=True)]
    """

    def feed(self, data: bytes | bytearray | memoryview) -> list[Message]:
        """The messages that ``data`` completes. What cannot be read is a ``BadFrame``, never an exception."""
        ...

    def reset(self) -> None:
        """Forget an incomplete frame."""
        ...

    @property
    def pending(self) -> int:
        """The number of bytes of an incomplete frame."""
        ...

    @property
    def skipped(self) -> int:
        """The number of bytes so far that belonged to no frame."""
        ...


class _DecoderType(Protocol):
    def __call__(
        self, max_frame: int = ..., *, reply_types: Mapping[int, type[Reply]] | None = ...
    ) -> StreamDecoder: ...


class Backend(Protocol):
    """One implementation of the codec.

    Examples:
        >>> from getnet_pos import codec
        >>> pure: codec.Backend = codec.backend("pure")
        >>> pure.BACKEND, pure.lrc(b"100|ABC|")
        ('pure', 113)
    """

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
