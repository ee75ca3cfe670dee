"""How the virtual terminal handles a command, as plain data. It does nothing by itself."""

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
    """The outcome of a command.

    Examples:
        >>> from getnet_pos.simulator import Behaviour, Outcome
        >>> terminal.script.append(Behaviour(outcome=Outcome.CANCEL))
        >>> pos.sale(25_000).response_message
        'Operacion Cancelada'
    """

    APPROVE = "approve"
    """The command is carried out if the ledger allows it."""
    DECLINE = "decline"
    CANCEL = "cancel"
    """The customer cancels on the terminal."""
    TIME_OUT = "time-out"
    """The terminal stops waiting for the customer (code 1006)."""
    PRINTING_ERROR = "printing-error"
    """The command is carried out if the ledger allows it, but the reply is a printing error: 1004, or 1003 or 1005 by
    ``response_code``. It does not say whether money moved."""
    SILENT = "silent"
    """The command is acknowledged, then ignored; the terminal is ready for the next one at once."""


class Serialized(Enum):
    """How the signed text is put in its envelope.

    Examples:
        >>> from getnet_pos.simulator import Behaviour, Serialized
        >>> terminal.script.append(Behaviour(serialized=Serialized.DOUBLE))
        >>> pos.sale(25_000).approved
        True
    """

    TEXT = "text"
    OBJECT = "object"
    """As a JSON object instead of text."""
    DOUBLE = "double"
    """As JSON text, encoded twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reboot:
    """The terminal restarts at the moment of the decision, and never replies to the command.

    With ``approved`` the money has moved before the restart. With ``keep_record=False`` the terminal has lost all its
    vouchers afterwards. It is offline for ``seconds``.

    Examples:
        >>> from getnet_pos.simulator import Behaviour, Reboot
        >>> reboot = Behaviour(reboot=Reboot(approved=True, keep_record=True, seconds=5))
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
    """How the terminal handles one command; by default, as a correct terminal does.

    The steps are: acknowledgement, progress messages, the decision (money moves here, and the terminal is ready for the
    next command), the reply. Each ``..._after`` is in seconds from the previous step; with ``math.inf`` the terminal
    never reaches that step: ``decide_after=inf`` is a sale that waits until it is cancelled, ``reply_after=inf`` one
    that is charged without a reply.

    Examples:
        >>> from getnet_pos.simulator import Behaviour, Outcome
        >>> terminal.script.append(Behaviour(outcome=Outcome.DECLINE, response_code=51))
        >>> reply = pos.sale(25_000)
        >>> reply.approved, reply.response_code
        (False, 51)
    """

    outcome: Outcome = Outcome.APPROVE
    response_code: int | None = None
    """The response code, instead of the one of the outcome; not for an approval."""
    response_message: str | None = None
    """The response message, instead of the one of that code."""
    card: Card = ANY_CARD
    tip: int = 0

    acknowledge: bool | None = True
    """``False``: the terminal sends ``Received: false`` and drops the command. ``None``: it sends no acknowledgement,
    but continues as usual."""
    acknowledge_after: float = 0.0
    progress: tuple[int, ...] = (ProgressCode.CARD_READING, ProgressCode.PIN_ENTRY, ProgressCode.SENDING)
    """The progress messages of a sale, sent if the register asked for them."""
    progress_every: float = 0.0
    decide_after: float = 0.0
    reply_after: float = 0.0
    record_after: float = 0.0
    """From the decision until the operation is in the terminal's own record; until then its last voucher is an older
    one."""
    resends: int = 0
    """How often the reply is sent again as long as the register does not acknowledge it."""
    resend_after: float = 5.0
    reboot: Reboot | None = None

    change: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Wrong values for fields of the reply, by wire name: ``{"FunctionCode": 0}``, ``{"Amount": 1}``."""
    omit: tuple[str, ...] = ()
    """Fields to leave out of the reply, by wire name."""
    wrong_signature: bool = False
    """The reply's signature, or its LRC, is wrong."""
    duplicate: bool = False
    """The reply is sent twice."""
    late_reply: bool = False
    """The reply to the previous payment command is sent first."""

    echo: bool = False
    """The command is first sent back unchanged."""
    camel_case: bool = False
    serialized: Serialized = Serialized.TEXT
    crlf: bool = False
    """Each frame is followed by a line end."""
    noise: int = 0
    """Up to this many random bytes precede each frame, among them braces, STX and NUL."""
    fragment: int = 0
    """The most bytes in one write; 0: each write contains whole frames."""
    fragment_every: float = 0.0
    """Seconds between two fragments: a slow link."""
    coalesce: bool = False
    """Acknowledgement, progress messages and reply are sent in one write, when the reply is due."""

    def refusal(self) -> Declined | None:
        """The refusal that the outcome replies with; ``None`` if it approves or does not reply."""
        if self.outcome not in _REFUSALS:
            return None
        refusal = _REFUSALS[self.outcome]
        code = refusal.code if self.response_code is None else self.response_code
        known = [one.message for one in Refusal if one.code == code and one is not refusal]
        message = refusal.message if code == refusal.code or not known else known[0]
        return Declined(code, message if self.response_message is None else self.response_message)

    def manner(self) -> Behaviour:
        """The behaviour of a correct terminal that writes as this one does: case, noise, fragments, echo, ..."""
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
