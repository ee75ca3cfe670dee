"""The terminals a merchant owns, as the Active Payment Terminal API lists them (docs/equipment.md). Describes only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

__all__ = ["CommercialMode", "Deviation", "PaymentTerminal", "TerminalList"]


class CommercialMode(str, Enum):
    """How the merchant got the terminal. The API documents these three values and no other."""

    ALUGUEL = "ALUGUEL"
    """Rented."""
    VENDA = "VENDA"
    """Sold."""
    TAXA_AD = "TAXA_AD"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentTerminal:
    """One active terminal, under the documented names. ``None``: the API did not send the field, or sent ``null``."""

    payment_terminal_sku: str | None = None
    payment_terminal_serial_number: str | None = None
    capture_method_code: str | None = None
    capture_method_des: str | None = None
    communication_method_code: str | None = None
    communication_method_des: str | None = None
    activation_datetime: datetime | None = None
    """When the terminal became active; always with a time zone, the one that was sent."""
    payment_terminal_brand: str | None = None
    payment_terminal_model: str | None = None
    commercial_mode: CommercialMode | None = None
    warranty_available: bool | None = None
    """As sent. It has a meaning for a sold terminal only: see ``warranty_applies``."""
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)
    """The fields the API sent beyond the documented ones."""

    @property
    def warranty_applies(self) -> bool:
        """Whether a warranty covers the terminal: it was sold (``VENDA``) and ``warranty_available`` is true."""
        return self.commercial_mode is CommercialMode.VENDA and self.warranty_available is True


@dataclass(frozen=True, slots=True)
class Deviation:
    """Something the API sent otherwise than it documents, and that could still be read."""

    item: int | None
    """The position of the terminal in the list, from 0; ``None`` for what is outside of the list."""
    field: str
    reason: str

    def __str__(self) -> str:
        return f"{self.field}{'' if self.item is None else f' of item {self.item}'} {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class TerminalList:
    """The active terminals of one merchant, in the order of the answer. It can be iterated and has a length."""

    merchant_id: str
    terminals: tuple[PaymentTerminal, ...] = ()
    deviations: tuple[Deviation, ...] = ()
    """What the answer has that the documentation does not allow; the first hundred. Strict reading refuses them."""
    deviation_count: int = 0
    """How many deviations there are in all."""
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """The fields outside of the terminals that are not documented."""

    def __repr__(self) -> str:
        # Counts only: event loops and debuggers show results, and a listing can be long.
        count, deviations = len(self.terminals), self.deviation_count
        return f"TerminalList(merchant_id={self.merchant_id!r}, {count} terminals, {deviations} deviations)"

    def __iter__(self) -> Iterator[PaymentTerminal]:
        return iter(self.terminals)

    def __len__(self) -> int:
        return len(self.terminals)
