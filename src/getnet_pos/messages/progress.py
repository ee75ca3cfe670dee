"""The messages that are neither command nor reply. No behaviour beyond naming their fault."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ChecksumMismatch, FrameTooLarge, MalformedFrame, ProtocolError, SignatureMismatch
from .enums import FrameFault, ProgressCode
from .fields import Shown

__all__ = ["Ack", "BadFrame", "Progress"]

_ERRORS: dict[FrameFault, type[ProtocolError]] = {
    FrameFault.MALFORMED: MalformedFrame,
    FrameFault.TOO_LARGE: FrameTooLarge,
    FrameFault.SIGNATURE: SignatureMismatch,
    FrameFault.CHECKSUM: ChecksumMismatch,
}


@dataclass(frozen=True, slots=True)
class Ack:
    """``{"Received": true}``: the peer got the last message; ``False``: it did not accept it."""

    received: bool


@dataclass(frozen=True, slots=True, repr=False)
class Progress(Shown):
    """An intermediate message of a sale (function code 112).

    ``code`` is a ``ProgressCode``, a plain ``int`` the library does not know, or ``None`` where the terminal sent only
    text. ``text`` is the terminal's own wording, usually Spanish.
    """

    code: ProgressCode | int | None
    text: str


@dataclass(frozen=True, slots=True)
class BadFrame:
    """Bytes that could not be taken as a message; ``size`` counts them. It never holds the bytes themselves.

    ``sealed`` says that the signature or the checksum held: the peer did send this, and it cannot be understood.
    """

    fault: FrameFault
    reason: str
    size: int
    sealed: bool = False

    def error(self) -> ProtocolError:
        """The exception that stands for this fault."""
        return _ERRORS[self.fault](self.reason)
