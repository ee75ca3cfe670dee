from collections.abc import Iterator, Mapping
from typing import BinaryIO

from ..messages import Command, Reply
from ._surface import Message

__all__ = [
    "BACKEND",
    "Decoder",
    "decode_many",
    "encode_simplified",
    "envelope",
    "frame_simplified",
    "lrc",
    "seal",
    "signature",
]

BACKEND: str

class Decoder:
    def __init__(self, max_frame: int = ..., *, reply_types: Mapping[int, type[Reply]] | None = None) -> None: ...
    def feed(self, data: bytes | bytearray | memoryview) -> list[Message]: ...
    def reset(self) -> None: ...
    @property
    def pending(self) -> int: ...
    @property
    def skipped(self) -> int: ...

def decode_many(
    source: bytes | bytearray | memoryview | BinaryIO,
    *,
    max_frame: int = ...,
    reply_types: Mapping[int, type[Reply]] | None = None,
) -> Iterator[tuple[int, Message]]: ...
def encode_simplified(command: Command) -> bytes: ...
def envelope(text: str) -> bytes: ...
def frame_simplified(text: str) -> bytes: ...
def lrc(data: bytes | bytearray | memoryview) -> int: ...
def seal(command: Command) -> bytes: ...
def signature(text: str) -> str: ...
