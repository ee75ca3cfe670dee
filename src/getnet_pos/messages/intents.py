"""The record of one payment command, from the decision to send it to its final state."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from enum import Enum
from types import MappingProxyType
from typing import Any, Final, Literal, TypeVar

from ..masking import masked
from .enums import SaleType
from .replies import Reply, Restored

__all__ = [
    "FINAL_STATES",
    "NEXT_STATES",
    "OPEN_STATES",
    "REMEMBERED",
    "HowFound",
    "Intent",
    "IntentState",
    "Search",
    "Step",
    "VoucherMark",
    "kept_reply",
    "read_kept_reply",
    "same_terminal",
]


class IntentState(str, Enum):
    """The state of a payment command (docs/reliability.md, "States").

    Examples:
        >>> sale = pos.sale(25_000)
        >>> pos.intents(settled=True)[-1].state is IntentState.APPROVED
        True
    """

    INTENT = "INTENT"
    """Recorded; as far as is known, no byte has left."""
    SENT = "SENT"
    """At least one byte may have left."""
    ACCEPTED = "ACCEPTED"
    """The terminal has shown that it received the command."""
    RECOVERING = "RECOVERING"
    """The outcome is not known yet; the terminal is being queried."""
    APPROVED = "APPROVED"
    DECLINED = "DECLINED"
    NOT_SENT = "NOT_SENT"
    """No byte left: it is safe to try again."""
    UNKNOWN = "UNKNOWN"
    """The terminal could not say what happened; a person must find out."""
    RESOLVED_PAID = "RESOLVED_PAID"
    RESOLVED_NOT_PAID = "RESOLVED_NOT_PAID"
    CONTRADICTED = "CONTRADICTED"
    """A reply says the opposite of what a person decided; a person must check again."""

    def __str__(self) -> str:
        return self.value

    # Faster than ``Enum.__hash__``, which is Python code; states are looked up in sets at every step.
    __hash__ = str.__hash__


HowFound = Literal["call", "recovery", "late reply", "person"]
"""How the result of a command was found: by the call that sent it, by querying the terminal afterwards, from a late
reply, or by a person."""

OPEN_STATES = frozenset({IntentState.INTENT, IntentState.SENT, IntentState.ACCEPTED, IntentState.RECOVERING})
"""The states that only a query to the terminal can end."""

FINAL_STATES = frozenset(IntentState) - OPEN_STATES - {IntentState.UNKNOWN, IntentState.CONTRADICTED}
"""The states of a settled command. Only a reply that contradicts a person's decision changes it."""

_PASSING_STATES = frozenset({IntentState.SENT, IntentState.ACCEPTED, IntentState.RECOVERING})

REMEMBERED: Final = timedelta(days=30)
"""How long ``AlreadyCharged`` refuses the ticket and amount of a payment whose caller may not know its result."""

_RESULTS = frozenset({IntentState.APPROVED, IntentState.DECLINED})
_DECISIONS = frozenset({IntentState.RESOLVED_PAID, IntentState.RESOLVED_NOT_PAID})
_AFTER_DOUBT = frozenset({IntentState.RECOVERING, IntentState.UNKNOWN}) | _RESULTS | _DECISIONS
_CONTRADICTION = frozenset({IntentState.CONTRADICTED})

NEXT_STATES: Mapping[IntentState, frozenset[IntentState]] = MappingProxyType(
    {
        IntentState.INTENT: frozenset({IntentState.SENT, IntentState.ACCEPTED, IntentState.NOT_SENT}) | _AFTER_DOUBT,
        IntentState.SENT: frozenset({IntentState.ACCEPTED}) | _AFTER_DOUBT,
        IntentState.ACCEPTED: _AFTER_DOUBT,
        IntentState.RECOVERING: _AFTER_DOUBT,
        IntentState.UNKNOWN: _RESULTS | _DECISIONS,
        IntentState.RESOLVED_PAID: _CONTRADICTION,
        IntentState.RESOLVED_NOT_PAID: _CONTRADICTION,
        IntentState.CONTRADICTED: _DECISIONS,
    }
)
"""The states that may follow each state; none follow the others. A step that could not be written to the journal is
skipped and never written later. An unknown outcome ends with a late reply, or by a person's decision."""


@dataclass(frozen=True, slots=True)
class VoucherMark:
    """The identity of a terminal's last voucher. All fields are ``None`` if the terminal has no voucher.

    Examples:
        >>> VoucherMark(operation_id=17, amount=25_000) == VoucherMark(operation_id=17, amount=25_000, fresh=True)
        True
    """

    operation_id: int | None = None
    real_date: str | None = None
    authorization_code: str | None = None
    amount: int | None = None
    function_code: int | None = None
    """The function code of the recorded operation; ``None`` if the terminal does not send it."""
    fresh: bool = field(default=False, compare=False)
    """Whether it was read right before the command, so that no other voucher can have been made in between."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """One payment command in the journal: what was requested, of which terminal, and the outcome as far as known.

    It never contains a card number, a token or a frame.

    Examples:
        >>> sale = pos.sale(25_000, ticket="A1234")
        >>> intent = pos.intents(settled=True)[-1]
        >>> intent.ticket, str(intent.state)
        ('A1234', 'APPROVED')
    """

    intent_id: str
    terminal: str
    """The name of the port or address at which this machine reaches the terminal; it may change."""
    terminal_id: str | None = None
    """The terminal's own id. It and ``commerce_code`` may become known only after the first step."""
    commerce_code: int | None = None
    """The merchant that the terminal belongs to, as the terminal says."""
    device: str | None = None
    """An identity that stays the same when ``terminal`` changes: a USB serial number or a path by id; else ``None``."""
    command: int
    amount: int | None = None
    ticket: str | None = None
    reference: str | None = None
    """The earlier operation that the command refers to: an operation id (void) or an authorization code (refund)."""
    idempotency_key: str | None = None
    """The caller's own key: calls with the same key are one command."""
    baseline: VoucherMark | None = None
    """The terminal's last voucher before the command; ``None`` if unknown."""
    transaction_id: str | None = None
    """The cloud's number of the transaction, by which it is queried."""
    frame_hash: str | None = None
    """SHA-256 of the bytes sent, to compare with a capture."""
    state: IntentState = IntentState.INTENT
    reason: str | None = None
    """Why the outcome is unknown, or was for a while."""
    found: HowFound | None = None
    """How the result was found; ``None`` while there is none, and in steps of an older version of the library."""
    response_code: int | None = None
    authorization_code: str | None = None
    operation_id: int | None = None
    real_date: str | None = None
    last4_digits: str | None = None
    reply: str | None = None
    """The result that the caller received: ``kept_reply`` writes it, ``read_kept_reply`` reads it."""
    decided_by: str | None = None
    """Who resolved an unknown outcome; ``note`` says why."""
    note: str | None = None

    @property
    def open(self) -> bool:
        return self.state in OPEN_STATES

    @property
    def passing(self) -> bool:
        """Whether the step may be lost in a power failure: recovery needs nothing that it adds."""
        return self.state in _PASSING_STATES and self.transaction_id is None


@dataclass(frozen=True, slots=True)
class Step:
    """One row of the journal: an intent as it was at a moment.

    Examples:
        >>> journal = MemoryJournal()
        >>> journal.record(Intent(intent_id="17", terminal="usb:COM3", command=100, amount=25_000))
        >>> [step] = journal.steps("17")
        >>> step.sequence, step.intent.amount
        (0, 25000)
    """

    intent: Intent
    sequence: int
    at: str
    """UTC, ISO 8601."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What is known about a payment that is about to be made. Fields that are ``None`` are not searched for.

    Examples:
        >>> MemoryJournal().find(Search(terminal="usb:COM3", ticket="A1234", amount=25_000))
        []
    """

    terminal: str
    terminal_id: str | None = None
    commerce_code: int | None = None
    device: str | None = None
    ticket: str | None = None
    amount: int | None = None
    idempotency_key: str | None = None


def same_terminal(one: Intent | Search, other: Intent | Search) -> bool:
    """Whether both belong to the same terminal, by any of its names."""
    if one.terminal == other.terminal or (one.device is not None and one.device == other.device):
        return True
    codes = {one.commerce_code, other.commerce_code} - {None}
    return one.terminal_id is not None and one.terminal_id == other.terminal_id and len(codes) < 2


KEPT_FIELDS: Final = frozenset({
    "function_code", "response_code", "commerce_code", "terminal_id", "ticket", "authorization_code", "amount",
    "shares_number", "shares_amount", "last4_digits", "operation_id", "card_type", "accounting_date", "card_brand",
    "real_date", "employee_id", "tip", "sale_type", "pos_mode", "cashback", "entry_mode", "aid", "commerce_rut",
    "commerce_name", "branch_name", "branch_address", "branch_district", "success", "date_time", "host_rrn", "mti",
    "de11", "de12", "de13",
})  # fmt: skip
"""The fields of a reply that the journal keeps. It never keeps what says more about a card than its last four digits,
the terminal's own texts, which may quote the card number, or unknown fields."""

_KEPT_IN_ORDER: Final = sorted(KEPT_FIELDS)

R = TypeVar("R", bound=Reply)


def kept_reply(reply: Reply) -> str:
    """The JSON of a result that the journal keeps: without the terminal's texts and what could identify a card."""
    values = {name: getattr(reply, name, None) for name in _KEPT_IN_ORDER}
    kept: dict[str, Any] = {name: masked(value) for name, value in values.items() if value is not None}
    if len(kept.get("last4_digits", "")) > 4:  # firmware may write anything there
        del kept["last4_digits"]
    return json.dumps(kept)


def read_kept_reply(kind: type[R], text: str) -> R:
    """Read a kept result as a reply of type ``kind``.

    Raises:
        ValueError: ``text`` is not a kept result of that type.
    """
    kept = json.loads(text)
    named = {item.name for item in fields(kind) if item.name in KEPT_FIELDS}  # type: ignore[arg-type]  # all are dataclasses
    if not isinstance(kept, dict) or not kept.keys() <= named:
        raise ValueError(f"it is not the kept result of a {kind.__name__}")
    if kept.get("sale_type") in list(SaleType):
        kept["sale_type"] = SaleType(kept["sale_type"])
    reply = kind(**kept)
    object.__setattr__(reply, "extra", Restored())
    return reply
