"""Encodes and decodes messages, in two implementations with the same results: ``native`` (compiled) and ``pure``.

``GETNET_POS_BACKEND=native|pure`` selects one; by default it is the native one if it is installed. ``BACKEND`` says
which one is active. ``backend(name)`` returns either, and both can be used in one process.
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
        ConfigurationError: there is no such implementation, or the native one is not installed.
    """
    if name == "pure":
        return cast("Backend", pure)
    if name != "native":
        raise ConfigurationError(f"there is no codec backend {name!r}: use 'native' or 'pure'")
    try:
        return cast("Backend", importlib.import_module(f"{__name__}._native"))
    except ImportError as error:
        raise ConfigurationError(
            "the native codec is not installed: install a prebuilt wheel, build with a C compiler and "
            "GETNET_POS_EXTENSIONS=require, or set GETNET_POS_BACKEND=pure to run without it"
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
    """Read the command in a signed frame that another program wrote. The result keeps the frame, to send it as it is.

    A code that is not in ``catalogue`` becomes a ``GenericCommand``, which counts as a payment command. Unknown fields
    stay in the frame.

    Raises:
        ProtocolError: ``frame`` is not one complete signed frame of a command; ``SignatureMismatch`` if the signature
            does not match.
        InvalidValue: a field of the command is missing or not valid.
    """
    return unsealed(Decoder(), frame, catalogue)
