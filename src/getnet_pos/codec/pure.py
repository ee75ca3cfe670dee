"""The codec in plain Python, which defines what is accepted and what it means."""

from typing import Final

from .signed import envelope, seal, signature
from .simplified import encode_simplified, frame_simplified, lrc
from .stream import Decoder, decode_many
from .terminals import read_terminals

__all__ = [
    "BACKEND",
    "Decoder",
    "decode_many",
    "encode_simplified",
    "envelope",
    "frame_simplified",
    "lrc",
    "read_terminals",
    "seal",
    "signature",
]

BACKEND: Final = "pure"
"""The name of this implementation; ``codec.BACKEND`` is the name of the active one."""
