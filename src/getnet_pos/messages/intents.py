"""The record of one payment command, from the decision to its final state. Describes only."""

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
    """Where a money command stands (docs/reliability.md, "States")."""

    INTENT = "INTENT"
    """Recorded; no byte is known to have left."""
    SENT = "SENT"
    """At least one byte may have left."""
    ACCEPTED = "ACCEPTED"
    """The terminal has shown that it got the command."""
    RECOVERING = "RECOVERING"
    """In doubt; the terminal is being asked."""
    APPROVED = "APPROVED"
    DECLINED = "DECLINED"
    NOT_SENT = "NOT_SENT"
    """No byte left: it is safe to try again."""
    UNKNOWN = "UNKNOWN"
    """The terminal could not say; a person must."""
    RESOLVED_PAID = "RESOLVED_PAID"
    RESOLVED_NOT_PAID = "RESOLVED_NOT_PAID"
    CONTRADICTED = "CONTRADICTED"
    """A reply says the opposite of what a person decided; a person must look again."""

    def __str__(self) -> str:
        return self.value

    # That of ``Enum`` is written in Python, and states are looked up in sets at every step.
    __hash__ = str.__hash__


HowFound = Literal["call", "recovery", "late reply", "person"]
"""How the result of a command was found: by the call that waited for it, by asking the terminal after doubt, from a
reply that came when nobody waited, or by a person."""

OPEN_STATES = frozenset({IntentState.INTENT, IntentState.SENT, IntentState.ACCEPTED, IntentState.RECOVERING})
"""The states that only a question to the terminal can end."""

FINAL_STATES = frozenset(IntentState) - OPEN_STATES - {IntentState.UNKNOWN, IntentState.CONTRADICTED}
"""The states of a settled command: nothing changes it but a reply that contradicts what a person decided."""

_PASSING_STATES = frozenset({IntentState.SENT, IntentState.ACCEPTED, IntentState.RECOVERING})

REMEMBERED: Final = timedelta(days=30)
"""How long a result that its caller may never have heard of is told to who asks for the same ticket and amount."""

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
"""What may follow each state; nothing follows the others. Time goes one way: a step that the disk refused is left out,
never made up for. An unknown outcome ends by a reply that comes after all, or by a person."""


@dataclass(frozen=True, slots=True)
class VoucherMark:
    """What tells a terminal's last voucher from any other. All fields ``None``: the terminal has no voucher."""

    operation_id: int | None = None
    real_date: str | None = None
    authorization_code: str | None = None
    amount: int | None = None
    function_code: int | None = None
    """Of the operation it records; ``None`` where the terminal does not say."""
    fresh: bool = field(default=False, compare=False)
    """Whether the terminal was asked for it right before the command: nobody can have made another one since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """One money command: what was asked, of whom, and what is known to have become of it.

    It never holds a card number, a token or a frame.
    """

    intent_id: str
    terminal: str
    """Its place: the name under which this machine reaches the terminal. It may change with a port or an address."""
    terminal_id: str | None = None
    """What the terminal calls itself; it and ``commerce_code`` may become known after the first step."""
    commerce_code: int | None = None
    """The merchant that the terminal says it belongs to."""
    device: str | None = None
    """What stays when the place changes: a USB serial number, or a path by id; ``None`` where there is none."""
    command: int
    amount: int | None = None
    ticket: str | None = None
    reference: str | None = None
    """What the command refers to: the operation id of a void, the authorization code of a refund."""
    idempotency_key: str | None = None
    """The caller's own key: one key is one command, however often it is asked for."""
    baseline: VoucherMark | None = None
    """The terminal's last voucher before the command; ``None`` where it is not known."""
    transaction_id: str | None = None
    """The cloud's own number of the transaction, to ask by."""
    frame_hash: str | None = None
    """SHA-256 of the bytes sent, to compare with a capture."""
    state: IntentState = IntentState.INTENT
    reason: str | None = None
    """Why the outcome is not known, or was not known for a while."""
    found: HowFound | None = None
    """How the result was found; ``None`` while there is none, and in steps of a version that did not record it."""
    response_code: int | None = None
    authorization_code: str | None = None
    operation_id: int | None = None
    real_date: str | None = None
    last4_digits: str | None = None
    reply: str | None = None
    """The result as the caller was given it: ``kept_reply`` writes it, ``read_kept_reply`` reads it."""
    decided_by: str | None = None
    """Who resolved an unknown outcome, and ``note`` says on what ground."""
    note: str | None = None

    @property
    def open(self) -> bool:
        return self.state in OPEN_STATES

    @property
    def passing(self) -> bool:
        """Whether the step may be lost with the power: who asks about the command needs nothing that it adds."""
        return self.state in _PASSING_STATES and self.transaction_id is None


@dataclass(frozen=True, slots=True)
class Step:
    """What an intent was at a moment, as the journal recorded it."""

    intent: Intent
    sequence: int
    at: str
    """UTC, ISO 8601."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What is known of a payment that is about to be made. Nothing is looked for by what is ``None``."""

    terminal: str
    terminal_id: str | None = None
    commerce_code: int | None = None
    device: str | None = None
    ticket: str | None = None
    amount: int | None = None
    idempotency_key: str | None = None


def same_terminal(one: Intent | Search, other: Intent | Search) -> bool:
    """Whether both are of one terminal by any of its names."""
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
"""What is kept of a reply. Not among them: all that says more of a card than its last four digits, the terminal's own
words, which may quote its number, and fields that the library does not know."""

_KEPT_IN_ORDER: Final = sorted(KEPT_FIELDS)

R = TypeVar("R", bound=Reply)


def kept_reply(reply: Reply) -> str:
    """A result as the journal keeps it, as JSON: without its text, and without what could identify a card."""
    told = {name: getattr(reply, name, None) for name in _KEPT_IN_ORDER}
    kept: dict[str, Any] = {name: masked(value) for name, value in told.items() if value is not None}
    if len(kept.get("last4_digits", "")) > 4:  # whatever a firmware writes there
        del kept["last4_digits"]
    return json.dumps(kept)


def read_kept_reply(kind: type[R], text: str) -> R:
    """The kept result as a reply of its type. Raises ``ValueError`` where the text is no kept result of that type."""
    kept = json.loads(text)
    named = {item.name for item in fields(kind) if item.name in KEPT_FIELDS}  # type: ignore[arg-type]  # all are dataclasses
    if not isinstance(kept, dict) or not kept.keys() <= named:
        raise ValueError(f"it is not what is kept of a {kind.__name__}")
    if kept.get("sale_type") in list(SaleType):
        kept["sale_type"] = SaleType(kept["sale_type"])
    reply = kind(**kept)
    object.__setattr__(reply, "extra", Restored())
    return reply
