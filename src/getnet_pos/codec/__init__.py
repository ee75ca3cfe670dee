"""Bytes <-> messages, in two implementations with one meaning: ``native`` (compiled) and ``pure``.

``GETNET_POS_BACKEND=native|pure`` chooses; without it the native one runs where it was built. ``BACKEND`` tells which
one runs, ``backend(name)`` returns either, and both can be used side by side in one process.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any, cast

from ..errors import ConfigurationError
from ..messages import CATALOGUE, Catalogue, SealedCommand
from . import pure
from .signed import acknowledgement
from .stream import MAX_FRAME
from .surface import Backend, Message, StreamDecoder
from .unsealing import unsealed

__all__ = [
    "BACKEND",
    "MAX_FRAME",
    "Backend",
    "Decoder",
    "Message",
    "StreamDecoder",
    "acknowledgement",
    "backend",
    "decode_many",
    "encode_simplified",
    "envelope",
    "frame_simplified",
    "lrc",
    "read_terminals",
    "seal",
    "signature",
    "unseal",
]


def backend(name: str) -> Backend:
    """The implementation called ``name``: ``"native"`` or ``"pure"``.

    Raises:
        ConfigurationError: there is no such implementation, or the native one was not built.
    """
    if name == "pure":
        return cast("Backend", pure)
    if name != "native":
        raise ConfigurationError(f"there is no codec backend {name!r}: use 'native' or 'pure'")
    try:
        return cast("Backend", importlib.import_module(f"{__name__}._native"))
    except ImportError as error:
        raise ConfigurationError(
            "the native codec is not in this installation: install a prebuilt wheel, or build with a C compiler and "
            "GETNET_POS_EXTENSIONS=require; GETNET_POS_BACKEND=pure runs without it"
        ) from error


def _chosen() -> Backend:
    name = os.environ.get("GETNET_POS_BACKEND", "")
    if name:
        return backend(name)
    try:
        return backend("native")
    except ConfigurationError:
        return backend("pure")


if TYPE_CHECKING:
    from .pure import (
        Decoder,
        decode_many,
        encode_simplified,
        envelope,
        frame_simplified,
        lrc,
        read_terminals,
        seal,
        signature,
    )

    BACKEND: str
else:
    _active = _chosen()
    BACKEND = _active.BACKEND
    Decoder = _active.Decoder
    decode_many = _active.decode_many
    encode_simplified = _active.encode_simplified
    envelope = _active.envelope
    frame_simplified = _active.frame_simplified
    lrc = _active.lrc
    read_terminals = _active.read_terminals
    seal = _active.seal
    signature = _active.signature


def unseal(frame: bytes, catalogue: Catalogue = CATALOGUE) -> SealedCommand[Any]:
    """The command in a signed frame that somebody else wrote, together with the frame, which can be sent as it is.

    A code that ``catalogue`` does not have becomes a ``GenericCommand``, which counts as moving money. Fields that a
    command does not know stay in the frame.

    Raises:
        ProtocolError: it is not one whole signed frame of a command: ``SignatureMismatch`` where the signature does not
            fit.
        InvalidValue: a field of the command is missing, or cannot be what it must be.
    """
    return unsealed(Decoder(), frame, catalogue)
