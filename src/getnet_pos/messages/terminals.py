"""The terminals of a merchant, as the Active Payment Terminal API lists them (docs/equipment.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

__all__ = ["CommercialMode", "Deviation", "PaymentTerminal", "TerminalList"]


class CommercialMode(str, Enum):
    """How the merchant got the terminal. The API documents only these three values (docs/equipment.md).

    Examples:
        >>> CommercialMode("ALUGUEL") is CommercialMode.ALUGUEL
        True
    """

    ALUGUEL = "ALUGUEL"
    """Rented."""
    VENDA = "VENDA"
    """Sold."""
    TAXA_AD = "TAXA_AD"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentTerminal:
    """One active terminal, with the documented field names. ``None``: the API did not send the field, or sent ``null``.

    Examples:
        >>> sold = PaymentTerminal(commercial_mode=CommercialMode.VENDA, warranty_available=True)
        >>> sold.warranty_applies
        True
    """

    payment_terminal_sku: str | None = None
    payment_terminal_serial_number: str | None = None
    capture_method_code: str | None = None
    capture_method_des: str | None = None
    communication_method_code: str | None = None
    communication_method_des: str | None = None
    activation_datetime: datetime | None = None
    """When the terminal became active, in the time zone that was sent; never without one."""
    payment_terminal_brand: str | None = None
    payment_terminal_model: str | None = None
    commercial_mode: CommercialMode | None = None
    warranty_available: bool | None = None
    """As sent. It only has a meaning for a sold terminal: see ``warranty_applies``."""
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)
    """Fields that the API sent but does not document."""

    @property
    def warranty_applies(self) -> bool:
        """Whether a warranty covers the terminal: it was sold (``VENDA``) and ``warranty_available`` is true."""
        return self.commercial_mode is CommercialMode.VENDA and self.warranty_available is True


@dataclass(frozen=True, slots=True)
class Deviation:
    """Something in the answer that differs from the API's documentation, but could still be read.

    Examples:
        >>> str(Deviation(item=3, field="commercial_mode", reason="is not a documented value"))
        'commercial_mode of item 3 is not a documented value'
    """

    item: int | None
    """The position of the terminal in the list, from 0; ``None`` for a field outside the list."""
    field: str
    reason: str

    def __str__(self) -> str:
        return f"{self.field}{'' if self.item is None else f' of item {self.item}'} {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class TerminalList:
    """The active terminals of one merchant, in the order of the answer. It can be iterated and has a length.

    Examples:
        >>> listed = TerminalList(merchant_id="123", terminals=(PaymentTerminal(payment_terminal_sku="A1"),))
        >>> len(listed), [one.payment_terminal_sku for one in listed]
        (1, ['A1'])
    """

    merchant_id: str
    terminals: tuple[PaymentTerminal, ...] = ()
    deviations: tuple[Deviation, ...] = ()
    """The first hundred differences from the documentation. Strict reading refuses any of them."""
    deviation_count: int = 0
    """The number of deviations in all."""
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Undocumented fields outside the list of terminals."""

    def __repr__(self) -> str:
        # Counts only: event loops and debuggers show results, and a listing can be long.
        count, deviations = len(self.terminals), self.deviation_count
        return f"TerminalList(merchant_id={self.merchant_id!r}, {count} terminals, {deviations} deviations)"

    def __iter__(self) -> Iterator[PaymentTerminal]:
        return iter(self.terminals)

    def __len__(self) -> int:
        return len(self.terminals)
