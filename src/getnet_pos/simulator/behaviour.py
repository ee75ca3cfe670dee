"""How the virtual terminal treats one command: a script of plain data. It does nothing by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from ..messages import ProgressCode
from .ledger import ANY_CARD, Card
from .refusals import Declined, Refusal

__all__ = ["Behaviour", "Outcome", "Reboot", "Serialized"]


class Outcome(Enum):
    """What becomes of a command."""

    APPROVE = "approve"
    """What the ledger allows is done."""
    DECLINE = "decline"
    CANCEL = "cancel"
    """The customer cancels on the terminal."""
    TIME_OUT = "time-out"
    """The terminal gives up waiting for the customer (code 1006)."""
    PRINTING_ERROR = "printing-error"
    """What the ledger allows is done, and the reply is an error of the printer: 1004, or 1003 or 1005 if so chosen. It
    does not say that the money has moved."""
    SILENT = "silent"
    """Nothing is done and nothing is said, but for the acknowledgement; the terminal is free at once."""


class Serialized(Enum):
    """How the signed text stands in its envelope."""

    TEXT = "text"
    OBJECT = "object"
    """As an object, not as text."""
    DOUBLE = "double"
    """As the JSON text of the JSON text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reboot:
    """The terminal restarts at the moment of the decision and never replies to the command.

    ``approved``: the money has moved before. ``keep_record=False``: it comes back with no voucher at all. It is off the
    line for ``seconds``.
    """

    approved: bool = True
    keep_record: bool = True
    seconds: float = 0.0


_REFUSALS = {
    Outcome.DECLINE: Refusal.DECLINED,
    Outcome.CANCEL: Refusal.CANCELLED,
    Outcome.TIME_OUT: Refusal.TIMED_OUT,
    Outcome.PRINTING_ERROR: Refusal.NO_PAPER,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """What the terminal does with one command; as it stands, what a good terminal does.

    The steps are: acknowledgement, progress messages, the decision (money moves here, and the terminal is free for the
    next command), the reply. Each ``..._after`` counts seconds from the step before; ``math.inf`` means that the
    terminal never comes to that step: ``decide_after=inf`` is a sale that waits until it is cancelled,
    ``reply_after=inf`` one that is charged and never answered.
    """

    outcome: Outcome = Outcome.APPROVE
    response_code: int | None = None
    """In the place of the code that a refusing outcome has."""
    response_message: str | None = None
    """In the place of its message."""
    card: Card = ANY_CARD
    tip: int = 0

    acknowledge: bool | None = True
    """``False``: ``Received: false``, and the command is dropped. ``None``: no acknowledgement, all else as usual."""
    acknowledge_after: float = 0.0
    progress: tuple[int, ...] = (ProgressCode.CARD_READING, ProgressCode.PIN_ENTRY, ProgressCode.SENDING)
    """The stages of a sale; told to a register that asked for messages."""
    progress_every: float = 0.0
    decide_after: float = 0.0
    reply_after: float = 0.0
    record_after: float = 0.0
    """From the decision until the terminal's own record shows it: before, the last voucher is a stale one."""
    resends: int = 0
    """How often the reply is sent again while the register does not acknowledge it."""
    resend_after: float = 5.0
    reboot: Reboot | None = None

    change: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Fields of the reply by wire name that are not what they should be: ``{"FunctionCode": 0}``, ``{"Amount": 1}``."""
    omit: tuple[str, ...] = ()
    """Fields of the reply, by wire name, that are left out."""
    wrong_signature: bool = False
    """The reply's signature, or its LRC, does not fit."""
    duplicate: bool = False
    """The reply is sent twice."""
    late_reply: bool = False
    """The reply of the previous money command is sent first of all."""

    echo: bool = False
    """The command is sent back as it came, before all else."""
    camel_case: bool = False
    serialized: Serialized = Serialized.TEXT
    crlf: bool = False
    """A line end behind each frame."""
    noise: int = 0
    """Up to so many random bytes before each frame, braces, STX and NUL among them."""
    fragment: int = 0
    """The most bytes in one write; 0: a write holds whole frames."""
    fragment_every: float = 0.0
    """Seconds between two fragments: a slow link."""
    coalesce: bool = False
    """Acknowledgement, progress messages and reply in one write, when the reply is due."""

    def refusal(self) -> Declined | None:
        """What the outcome answers the command with; ``None`` where it approves, or is silent."""
        if self.outcome not in _REFUSALS:
            return None
        refusal = _REFUSALS[self.outcome]
        code = refusal.code if self.response_code is None else self.response_code
        known = [one.message for one in Refusal if one.code == code and one is not refusal]
        message = refusal.message if code == refusal.code or not known else known[0]
        return Declined(code, message if self.response_message is None else self.response_message)

    def manner(self) -> Behaviour:
        """A good terminal's behaviour, written in this one's manner: case, noise, fragments, echo ..."""
        return Behaviour(
            echo=self.echo,
            camel_case=self.camel_case,
            serialized=self.serialized,
            crlf=self.crlf,
            noise=self.noise,
            fragment=self.fragment,
            fragment_every=self.fragment_every,
            coalesce=self.coalesce,
        )
