"""The record of one money command, from the decision to its final state. Describes only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Literal

__all__ = ["FINAL_STATES", "NEXT_STATES", "OPEN_STATES", "Found", "Intent", "IntentState", "VoucherMark"]


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

    def __str__(self) -> str:
        return self.value


Found = Literal["call", "recovery", "late reply", "person"]
"""How the result of a command was found: by the call that waited for it, by asking the terminal after doubt, from a
reply that came when nobody waited, or by a person."""

OPEN_STATES = frozenset({IntentState.INTENT, IntentState.SENT, IntentState.ACCEPTED, IntentState.RECOVERING})
"""The states that only a question to the terminal can end."""

FINAL_STATES = frozenset(IntentState) - OPEN_STATES - {IntentState.UNKNOWN}
"""The states that nothing may change."""

_RESULTS = frozenset({IntentState.APPROVED, IntentState.DECLINED})
_DECISIONS = frozenset({IntentState.RESOLVED_PAID, IntentState.RESOLVED_NOT_PAID})
_AFTER_DOUBT = frozenset({IntentState.RECOVERING, IntentState.UNKNOWN}) | _RESULTS | _DECISIONS

NEXT_STATES: Mapping[IntentState, frozenset[IntentState]] = MappingProxyType(
    {
        IntentState.INTENT: frozenset({IntentState.SENT, IntentState.ACCEPTED, IntentState.NOT_SENT}) | _AFTER_DOUBT,
        IntentState.SENT: frozenset({IntentState.ACCEPTED}) | _AFTER_DOUBT,
        IntentState.ACCEPTED: _AFTER_DOUBT,
        IntentState.RECOVERING: _AFTER_DOUBT,
        IntentState.UNKNOWN: _RESULTS | _DECISIONS,
    }
)
"""What may follow each state that is not final. Time goes one way: a step that the disk refused is left out, never made
up for. An unknown outcome ends by a reply that comes after all, or by a person."""


@dataclass(frozen=True, slots=True)
class VoucherMark:
    """What tells a terminal's last voucher from any other. All fields ``None``: the terminal has no voucher."""

    operation_id: int | None = None
    real_date: str | None = None
    authorization_code: str | None = None
    amount: int | None = None
    function_code: int | None = None
    """Of the operation it records; ``None`` where the terminal does not say."""


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
    found: Found | None = None
    """How the result was found; ``None`` while there is none, and in steps of a version that did not record it."""
    response_code: int | None = None
    authorization_code: str | None = None
    operation_id: int | None = None
    real_date: str | None = None
    last4_digits: str | None = None
    reply: str | None = None
    """The result as the caller was given it, as JSON of the fields that may be kept."""
    decided_by: str | None = None
    """Who resolved an unknown outcome, and ``note`` says on what ground."""
    note: str | None = None

    @property
    def open(self) -> bool:
        return self.state in OPEN_STATES
