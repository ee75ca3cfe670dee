"""The money that the virtual terminal really moved. Tests compare it with what the register believes.

It represents the acquirer's ledger, so it never forgets, whatever happens to the terminal's own record. It enforces the
rules of payments (a sale is voided once, refunds never exceed the sale) and knows nothing of the wire.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from ..errors import InvalidValue
from ..masking import mask
from .refusals import Declined, Refusal

__all__ = ["ANY_CARD", "Batch", "Card", "Entry", "EntryKind", "Ledger"]


@dataclass(frozen=True, slots=True)
class Card:
    """The card that a customer pays with. ``type`` is ``CR`` (credit), ``DB`` (debit) or ``PR`` (prepaid).

    Examples:
        >>> from getnet_pos.simulator import Behaviour, Card
        >>> terminal.script.append(Behaviour(card=Card(brand="MC", type="CR", last4="1234")))
        >>> pos.sale(25_000).card_brand
        'MC'
    """

    brand: str = "VI"
    type: str = "DB"
    last4: str = "0042"
    """The default begins with zeros, which the last voucher and the duplicate lose, as with real terminals."""
    bin: str = "40000012"
    expiry: str = "3012"
    aid: str = "A0000000031010"

    def __post_init__(self) -> None:
        if self.type not in ("CR", "DB", "PR"):
            raise InvalidValue(f"the type of a card must be CR, DB or PR, not {self.type!r}")
        if not (self.last4.isascii() and self.last4.isdigit()):
            raise InvalidValue("last4 of a card must be digits only")


ANY_CARD = Card()


class EntryKind(Enum):
    """The kind of an operation.

    Examples:
        >>> sale = pos.sale(25_000)
        >>> void = pos.void(sale.operation_id)
        >>> [entry.kind.value for entry in terminal.ledger.entries]
        ['sale', 'void']
    """

    SALE = "sale"
    VOID = "void"
    REFUND = "refund"
    PRE_AUTHORIZATION = "pre-authorization"
    COMPLETION = "completion"
    RELEASE = "release"


_CHARGES = (EntryKind.SALE, EntryKind.COMPLETION)
_RETURNS = (EntryKind.VOID, EntryKind.REFUND)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One approved operation.

    A void, refund, completion or release has the operation id of another entry in ``refers_to``, and the authorization
    code, ticket and card of that entry. ``amount`` is in wire units and never negative.

    Examples:
        >>> sale = pos.sale(25_000, ticket="A1234")
        >>> [entry] = terminal.ledger.entries
        >>> print(entry)
        1: sale, amount 25000, ticket 'A1234'
    """

    kind: EntryKind
    operation_id: int
    function_code: int
    authorization_code: str
    amount: int
    real_date: str
    batch: int
    ticket: str = ""
    card: Card = ANY_CARD
    employee_id: int = 0
    sale_type: int = 0
    tip: int = 0
    installments: int = 0
    commerce_rut: str = ""
    refers_to: int | None = None

    @property
    def is_charge(self) -> bool:
        return self.kind in _CHARGES

    @property
    def is_return(self) -> bool:
        return self.kind in _RETURNS

    def __str__(self) -> str:
        of = "" if self.refers_to is None else f" of {self.refers_to}"
        return f"{self.operation_id}: {self.kind.value}{of}, amount {self.amount}, ticket {mask(self.ticket)!r}"


@dataclass(frozen=True, slots=True)
class Batch:
    """A closed batch. ``total`` is the sum of its charges, less voids and refunds, in wire units.

    Examples:
        >>> sale = pos.sale(25_000)
        >>> reply = pos.close_batch()
        >>> terminal.ledger.closed[0].total
        25000
    """

    number: int
    closed_at: str
    count: int
    total: int


class Ledger:
    """Every approved operation, in order. ``batch`` is the number of the open batch; ``closed`` has the closed ones.

    Amounts are in wire units.

    Examples:
        >>> sale = pos.sale(25_000, ticket="A1234")
        >>> refund = pos.refund(sale.authorization_code, 10_000)
        >>> terminal.ledger.charged(), terminal.ledger.balance("A1234")
        (25000, 15000)
        >>> terminal.ledger.balances()
        {'A1234': 15000}
    """

    def __init__(self, first_authorization: int = 1) -> None:
        self.batch = 1
        self.closed: list[Batch] = []
        self._entries: list[Entry] = []
        self._first_authorization = first_authorization

    def __str__(self) -> str:
        """One line for each operation."""
        return "\n".join(map(str, self._entries)) or "no operation"

    def __repr__(self) -> str:
        """Everything that a failed assertion needs to show."""
        return f"<Ledger: {'; '.join(map(str, self._entries)) or 'no operation'}>"

    @property
    def entries(self) -> tuple[Entry, ...]:
        return tuple(self._entries)

    # --------------------------------------------------------------------------------------------------------- queries

    def charges(self, ticket: str | None = None) -> tuple[Entry, ...]:
        """The sales and completions, with one ticket or all of them."""
        return tuple(entry for entry in self._entries if entry.is_charge and ticket in (None, entry.ticket))

    def charged(self, ticket: str | None = None) -> int:
        """The sum of the charges, including those voided or refunded later."""
        return sum(entry.amount for entry in self.charges(ticket))

    def returned(self, ticket: str | None = None) -> int:
        """The sum of the voids and refunds."""
        return sum(entry.amount for entry in self._entries if entry.is_return and ticket in (None, entry.ticket))

    def balance(self, ticket: str | None = None) -> int:
        """The charges less the voids and refunds."""
        return self.charged(ticket) - self.returned(ticket)

    def balances(self) -> dict[str, int]:
        """The balance of each ticket that was ever charged; ``""`` is the key for charges without a ticket.

        ``assert ledger.balances() == {"A1": 25_000}`` checks that this was paid and nothing else was.
        """
        return {entry.ticket: self.balance(entry.ticket) for entry in self.charges()}

    def held(self, ticket: str | None = None) -> int:
        """The sum of the pre-authorizations that were neither completed nor released."""
        holds = (entry for entry in self._entries if entry.kind is EntryKind.PRE_AUTHORIZATION)
        return sum(entry.amount for entry in holds if ticket in (None, entry.ticket) and not self._followers(entry))

    def left(self, charge: Entry) -> int:
        """How much of a charge can still be refunded."""
        return charge.amount - sum(entry.amount for entry in self._followers(charge))

    def _followers(self, original: Entry) -> list[Entry]:
        return [entry for entry in self._entries if entry.refers_to == original.operation_id]

    # ------------------------------------------------------------------------------------------------------ operations

    def add(self, kind: EntryKind, function_code: int, amount: int, real_date: str, **details: Any) -> Entry:
        """Record a sale or a pre-authorization. ``details`` are further attributes of the ``Entry``."""
        operation_id = len(self._entries) + 1
        # The step and the modulus are coprime, so no code is repeated within a million operations.
        authorization = (self._first_authorization + operation_id * 7919) % 1_000_000
        entry = Entry(
            kind=kind,
            operation_id=operation_id,
            function_code=function_code,
            authorization_code=f"{authorization:06d}",
            amount=amount,
            real_date=real_date,
            batch=self.batch,
            **details,
        )
        self._entries.append(entry)
        return entry

    def void(self, operation_id: int, function_code: int, real_date: str) -> Entry:
        """Void a charge of the open batch.

        Raises:
            Declined: there is no such charge, its batch is closed, or it was voided or refunded before.
        """
        charge = next((entry for entry in self.charges() if entry.operation_id == operation_id), None)
        if charge is None:
            raise Declined.because(Refusal.NOT_FOUND)
        kinds = {entry.kind for entry in self._followers(charge)}
        if EntryKind.VOID in kinds:
            raise Declined.because(Refusal.ALREADY_VOIDED)
        if EntryKind.REFUND in kinds:
            raise Declined.because(Refusal.ALREADY_REFUNDED)
        if charge.batch != self.batch:
            raise Declined.because(Refusal.BATCH_CLOSED)
        return self._follow(charge, EntryKind.VOID, function_code, charge.amount, real_date)

    def refund(self, authorization_code: str, amount: int, function_code: int, real_date: str) -> Entry:
        """Refund part or all of a charge, from any batch.

        Raises:
            Declined: there is no such charge, or less than ``amount`` of it is left.
        """
        charge = next((entry for entry in self.charges() if entry.authorization_code == authorization_code), None)
        if charge is None:
            raise Declined.because(Refusal.NOT_FOUND)
        if amount > self.left(charge):
            raise Declined.because(Refusal.TOO_MUCH)
        return self._follow(charge, EntryKind.REFUND, function_code, amount, real_date)

    def complete(self, authorization_code: str, amount: int, function_code: int, real_date: str) -> Entry:
        """Charge part or all of a held amount. The rest is released.

        Raises:
            Declined: no amount is held under the code, or less than ``amount``.
        """
        hold = self._hold(authorization_code)
        if amount > hold.amount:
            raise Declined.because(Refusal.TOO_MUCH)
        return self._follow(hold, EntryKind.COMPLETION, function_code, amount, real_date)

    def release(self, authorization_code: str, function_code: int, real_date: str) -> Entry:
        """Release a held amount.

        Raises:
            Declined: no amount is held under the code.
        """
        hold = self._hold(authorization_code)
        return self._follow(hold, EntryKind.RELEASE, function_code, hold.amount, real_date)

    def close_batch(self, closed_at: str) -> Batch:
        """Close the open batch and open the next one."""
        entries = [entry for entry in self._entries if entry.batch == self.batch]
        total = sum(entry.amount * (entry.is_charge - entry.is_return) for entry in entries)
        batch = Batch(self.batch, closed_at, len(entries), total)
        self.closed.append(batch)
        self.batch += 1
        return batch

    def _hold(self, authorization_code: str) -> Entry:
        for entry in self._entries:
            if entry.kind is EntryKind.PRE_AUTHORIZATION and entry.authorization_code == authorization_code:
                if self._followers(entry):
                    break
                return entry
        raise Declined.because(Refusal.NOT_FOUND)

    def _follow(self, original: Entry, kind: EntryKind, function_code: int, amount: int, real_date: str) -> Entry:
        entry = replace(
            original,
            kind=kind,
            operation_id=len(self._entries) + 1,
            function_code=function_code,
            amount=amount,
            real_date=real_date,
            batch=self.batch,
            tip=0,
            refers_to=original.operation_id,
        )
        self._entries.append(entry)
        return entry
