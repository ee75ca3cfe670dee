"""The messages that are neither commands nor replies: acknowledgements, progress and bad frames."""

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
    """``{"Received": true}``: the peer received the last message; ``False``: it did not accept it.

    Examples:
        >>> from getnet_pos.codec import Decoder
        >>> Decoder().feed(b'{"Received":true}')
        [Ack(received=True)]
    """

    received: bool


@dataclass(frozen=True, slots=True, repr=False)
class Progress(Shown):
    """A progress message of a sale (function code 112; docs/protocol.md, "Progress").

    ``code`` is a ``ProgressCode``, a plain ``int`` if the library does not know the code, or ``None`` if the terminal
    sent only text. ``text`` is the terminal's own wording, usually Spanish.

    Examples:
        >>> steps = []
        >>> sale = pos.sale(25_000, on_progress=steps.append)
        >>> all(isinstance(step, Progress) for step in steps)
        True
    """

    code: ProgressCode | int | None
    text: str


@dataclass(frozen=True, slots=True)
class BadFrame:
    """Bytes that could not be read as a message. It has their number, ``size``, but never the bytes themselves.

    ``sealed`` means that the signature or the checksum is right: the peer did send this, but it makes no sense.

    Examples:
        >>> from getnet_pos.codec import Decoder
        >>> [bad] = Decoder().feed(b'{"Received":"perhaps"}')
        >>> bad.fault, bad.size
        (<FrameFault.MALFORMED: 'malformed'>, 22)
    """

    fault: FrameFault
    reason: str
    size: int
    sealed: bool = False

    def error(self) -> ProtocolError:
        """The exception for this fault."""
        return _ERRORS[self.fault](self.reason)
