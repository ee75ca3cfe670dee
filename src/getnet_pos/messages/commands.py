"""What a register asks of a terminal, one type a command (docs/protocol.md, "Commands"). Validates; never sends.

A command is checked when it is made, so a command that exists can be sent. Amounts are integer wire units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timezone
from typing import Any, ClassVar

from ..errors import InvalidType, InvalidValue
from ..money import check_amount
from ._checks import check_code, check_flag, check_integer, check_rut, check_text
from .enums import SaleType

__all__ = [
    "COMMAND_TYPES",
    "CancelSale",
    "CloseBatch",
    "Command",
    "CommandMessage",
    "DetailsReport",
    "Duplicate",
    "GenericCommand",
    "LastVoucher",
    "MainPosData",
    "MultiCommerceRefund",
    "MultiCommerceSale",
    "MultiCommerceVoid",
    "OriginalData",
    "ParametersReport",
    "Poll",
    "PreAuthorization",
    "PreAuthorizationCompletion",
    "PreAuthorizationRelease",
    "Refund",
    "Sale",
    "SalesBySellerReport",
    "SetDefaultSaleType",
    "SetNormalMode",
    "SimReport",
    "TipsReport",
    "TotalsReport",
    "Void",
]


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _wire(name: str, *, nullable: bool = False) -> dict[str, Any]:
    """What a field is called on the wire; ``None`` is left out, or written as ``null`` if ``nullable``."""
    return {"wire": name, "nullable": nullable}


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What every command has: its code, which a profile may replace, and the register's time as it is sent."""

    moves_money: ClassVar[bool] = False
    """Whether a doubt about the outcome of this command is a doubt about money."""

    code: int = field(metadata=_wire("Command"))
    date_time: str = field(default_factory=_now, compare=False, metadata=_wire("DateTime"))

    def __post_init__(self) -> None:
        check_code(self.code)
        for item in fields(self):
            check = _CHECKS.get(item.name)
            if check is not None:
                check(self, item.name)


_SENT: dict[type, tuple[tuple[str, str, bool], ...]] = {}


def sent_fields(command: type[Command]) -> tuple[tuple[str, str, bool], ...]:
    """(attribute, wire name, written when ``None``) of each field in the order of the wire: code first, time last."""
    if command not in _SENT:
        _SENT[command] = _sent_fields(command)
    return _SENT[command]


def _sent_fields(command: type[Command]) -> tuple[tuple[str, str, bool], ...]:
    names = [
        (item.name, item.metadata["wire"], item.metadata["nullable"])
        for item in fields(command)
        if "wire" in item.metadata
    ]
    names.sort(key=lambda entry: {"code": 0, "date_time": 2}.get(entry[0], 1))
    return tuple(names)


@dataclass(frozen=True, slots=True)
class _Printing(Command):
    print_on_pos: bool = field(default=False, metadata=_wire("PrintOnPos"))


@dataclass(frozen=True, slots=True)
class Sale(Command):
    """100: charge ``amount``. ``ticket`` and the others left out are asked for on the terminal's screen."""

    moves_money: ClassVar[bool] = True
    amount: int = field(metadata=_wire("Amount"))
    ticket: str | None = field(default=None, metadata=_wire("TicketNumber"))
    print_on_pos: bool = field(default=False, metadata=_wire("PrintOnPos"))
    sale_type: SaleType | int = field(default=SaleType.SALE, metadata=_wire("SaleType"))
    send_message: bool = field(default=False, metadata=_wire("SendMessage"))
    employee_id: int | None = field(default=1, metadata=_wire("EmployeeId"))
    code: int = field(default=100, kw_only=True, metadata=_wire("Command"))


@dataclass(frozen=True, slots=True)
class LastVoucher(_Printing):
    """101: show the last recorded operation."""

    code: int = field(default=101, kw_only=True, metadata=_wire("Command"))


@dataclass(frozen=True, slots=True)
class Void(Command):
    """102: annul an operation of the open batch by its operation id (Getnet's own libraries: *Refund*)."""

    moves_money: ClassVar[bool] = True
    operation_id: int = field(metadata=_wire("OperationId"))
    print_on_pos: bool = field(default=False, metadata=_wire("PrintOnPos"))
    code: int = field(default=102, kw_only=True, metadata=_wire("Command"))


@dataclass(frozen=True, slots=True)
class CloseBatch(_Printing):
    """103: close the day's batch."""

    code: int = field(default=103, kw_only=True, metadata=_wire("Command"))


@dataclass(frozen=True, slots=True)
class TotalsReport(_Printing):
    """104: counts and amounts of the open batch."""

    code: int = field(default=104, kw_only=True, metadata=_wire("Command"))


@dataclass(frozen=True, slots=True)
class DetailsReport(_Printing):
    """105: the operations of the open batch."""

    code: int = field(default=105, kw_only=True, metadata=_wire("Command"))


@dataclass(frozen=True, slots=True)
class Poll(Command):
    """106: is the terminal connected and ready."""

    code: int = field(default=106, kw_only=True, metadata=_wire("Command"))


@dataclass(frozen=True, slots=True)
class SetNormalMode(Command):
    """107: leave the integrated mode."""

    code: int = field(default=107, kw_only=True, metadata=_wire("Command"))


@dataclass(frozen=True, slots=True)
class Refund(Command):
    """108: give ``amount`` back by authorization code (Getnet's own libraries: *Return*)."""

    moves_money: ClassVar[bool] = True
    authorization_code: str = field(metadata=_wire("AuthorizationCode"))
    amount: int = field(metadata=_wire("Amount"))
    print_on_pos: bool = field(default=False, metadata=_wire("PrintOnPos"))
    code: int = field(default=108, kw_only=True, metadata=_wire("Command"))


@dataclass(frozen=True, slots=True)
class Duplicate(Command):
    """109: a copy of a voucher by its operation id."""

    operation_id: int = field(metadata=_wire("OperationId"))
    print_on_pos: bool = field(default=False, metadata=_wire("PrintOnPos"))
    code: int = field(default=109, kw_only=True, metadata=_wire("Command"))


@dataclass(frozen=True, slots=True)
class SalesBySellerReport(Command):
    """110: the sales of one employee."""

    employee_id: int = field(default=1, metadata=_wire("EmployeeId"))
    print_on_pos: bool = field(default=False, metadata=_wire("PrintOnPos"))
    code: int = field(default=110, kw_only=True, metadata=_wire("Command"))


@dataclass(frozen=True, slots=True)
class TipsReport(Command):
    """111: the tips of one employee."""

    employee_id: int = field(default=1, metadata=_wire("EmployeeId"))
    print_on_pos: bool = field(default=False, metadata=_wire("PrintOnPos"))
    code: int = field(default=111, kw_only=True, metadata=_wire("Command"))


@dataclass(frozen=True, slots=True)
class SetDefaultSaleType(Command):
    """113: what a sale is when it does not say."""

    sale_type: SaleType | int = field(metadata=_wire("SaleType"))
    code: int = field(default=113, kw_only=True, metadata=_wire("Command"))


@dataclass(frozen=True, slots=True)
class ParametersReport(_Printing):
    """114: the terminal's parameters."""

    code: int = field(default=114, kw_only=True, metadata=_wire("Command"))


@dataclass(frozen=True, slots=True)
class SimReport(_Printing):
    """115: the state of the SIM and the mobile network."""

    code: int = field(default=115, kw_only=True, metadata=_wire("Command"))


@dataclass(frozen=True, slots=True)
class CancelSale(Command):
    """116: ask the terminal to give up the sale in progress."""

    code: int = field(default=116, kw_only=True, metadata=_wire("Command"))


@dataclass(frozen=True, slots=True)
class MultiCommerceSale(Command):
    """120: charge for a child merchant. ``allowed_cards`` and ``restricted_cards`` are lists of 8-digit BINs."""

    moves_money: ClassVar[bool] = True
    amount: int = field(metadata=_wire("Amount"))
    rut_commerce_son: str = field(metadata=_wire("RutCommerceSon"))
    print_on_pos: bool = field(default=False, metadata=_wire("PrintOnPos"))
    sale_type: SaleType | int = field(default=SaleType.SALE, metadata=_wire("SaleType"))
    send_message: bool = field(default=False, metadata=_wire("SendMessage"))
    restricted_cards: Sequence[str] | None = field(default=None, metadata=_wire("RestrictedCards", nullable=True))
    allowed_cards: Sequence[str] = field(default=(), metadata=_wire("AllowedCards"))
    commerce_data: Mapping[str, Any] | None = field(
        default=None, hash=False, metadata=_wire("CommerceData", nullable=True)
    )
    commerce_params: Mapping[str, Any] | None = field(
        default=None, hash=False, metadata=_wire("CommerceParams", nullable=True)
    )
    place_card_to_pay_timeout: int = field(default=20, metadata=_wire("PlaceCardToPayTimeout"))
    payment_result_timeout: int = field(default=3, metadata=_wire("PaymentResultTimeout"))
    code: int = field(default=120, kw_only=True, metadata=_wire("Command"))


@dataclass(frozen=True, slots=True)
class OriginalData:
    """The host's identification of the operation that a multi-commerce void annuls, as its sale reply gave it."""

    mti: str
    de11: str
    de12: str
    """Local time, HHMMSS."""
    de13: str
    """Local date, MMDD."""

    def __post_init__(self) -> None:
        for name in ("mti", "de11", "de12", "de13"):
            check_text(getattr(self, name), name, 1, 12)


@dataclass(frozen=True, slots=True)
class MultiCommerceVoid(Command):
    """122: annul an operation of a child merchant."""

    moves_money: ClassVar[bool] = True
    amount: int = field(metadata=_wire("Amount"))
    operation_id: int = field(metadata=_wire("OperationId"))
    rut_commerce_son: str = field(metadata=_wire("RutCommerceSon"))
    host_rrn: str = field(metadata=_wire("HostRRN"))
    original_data: OriginalData = field(metadata=_wire("OriginalData"))
    print_on_pos: bool = field(default=False, metadata=_wire("PrintOnPos"))
    sale_type: SaleType | int = field(default=SaleType.SALE, metadata=_wire("SaleType"))
    commerce_data: Mapping[str, Any] | None = field(
        default=None, hash=False, metadata=_wire("CommerceData", nullable=True)
    )
    place_card_to_pay_timeout: int = field(default=20, metadata=_wire("PlaceCardToPayTimeout"))
    payment_result_timeout: int = field(default=3, metadata=_wire("PaymentResultTimeout"))
    code: int = field(default=122, kw_only=True, metadata=_wire("Command"))


@dataclass(frozen=True, slots=True)
class MultiCommerceRefund(Command):
    """123: give back an amount for a child merchant."""

    moves_money: ClassVar[bool] = True
    amount: int = field(metadata=_wire("Amount"))
    authorization_code: str = field(metadata=_wire("AuthorizationCode"))
    rut_commerce_son: str = field(metadata=_wire("RutCommerceSon"))
    print_on_pos: bool = field(default=False, metadata=_wire("PrintOnPos"))
    commerce_data: Mapping[str, Any] | None = field(
        default=None, hash=False, metadata=_wire("CommerceData", nullable=True)
    )
    place_card_to_pay_timeout: int = field(default=20, metadata=_wire("PlaceCardToPayTimeout"))
    payment_result_timeout: int = field(default=3, metadata=_wire("PaymentResultTimeout"))
    code: int = field(default=123, kw_only=True, metadata=_wire("Command"))


@dataclass(frozen=True, slots=True)
class MainPosData(Command):
    """124: who the terminal belongs to."""

    code: int = field(default=124, kw_only=True, metadata=_wire("Command"))


@dataclass(frozen=True, slots=True)
class PreAuthorization(Command):
    """Hold ``amount`` on a card. 130 is this library's provisional code (docs/assumptions.md)."""

    moves_money: ClassVar[bool] = True
    amount: int = field(metadata=_wire("Amount"))
    ticket: str | None = field(default=None, metadata=_wire("TicketNumber"))
    print_on_pos: bool = field(default=False, metadata=_wire("PrintOnPos"))
    send_message: bool = field(default=False, metadata=_wire("SendMessage"))
    employee_id: int | None = field(default=1, metadata=_wire("EmployeeId"))
    code: int = field(default=130, kw_only=True, metadata=_wire("Command"))


@dataclass(frozen=True, slots=True)
class PreAuthorizationCompletion(Command):
    """Charge ``amount`` of a held one. 131 is this library's provisional code (docs/assumptions.md)."""

    moves_money: ClassVar[bool] = True
    authorization_code: str = field(metadata=_wire("AuthorizationCode"))
    amount: int = field(metadata=_wire("Amount"))
    print_on_pos: bool = field(default=False, metadata=_wire("PrintOnPos"))
    code: int = field(default=131, kw_only=True, metadata=_wire("Command"))


@dataclass(frozen=True, slots=True)
class PreAuthorizationRelease(Command):
    """Let a held amount go. 132 is this library's provisional code (docs/assumptions.md)."""

    moves_money: ClassVar[bool] = True
    authorization_code: str = field(metadata=_wire("AuthorizationCode"))
    print_on_pos: bool = field(default=False, metadata=_wire("PrintOnPos"))
    code: int = field(default=132, kw_only=True, metadata=_wire("Command"))


@dataclass(frozen=True, slots=True)
class GenericCommand(Command):
    """Any other command: ``fields`` go on the wire as they are, under their wire names.

    Unless told otherwise it counts as moving money, since nothing is known of it.
    """

    fields: Mapping[str, Any] = field(default_factory=dict, hash=False)
    moves_money: bool = field(default=True, kw_only=True)  # type: ignore[misc]  # a constant of every known command


@dataclass(frozen=True, slots=True)
class CommandMessage:
    """A command as read from the wire: what a terminal receives, or a register whose port echoes."""

    code: int
    fields: Mapping[str, Any] = field(hash=False)


def _amount(command: Any, name: str) -> None:
    check_amount(getattr(command, name), field=name)


def _ticket(command: Any, name: str) -> None:
    if command.ticket is not None:
        check_text(command.ticket, name, 1, 24)


def _employee(command: Any, name: str) -> None:
    if command.employee_id is not None:
        check_integer(command.employee_id, name, 1, 9999)


def _bins(command: Any, name: str) -> None:
    for card in getattr(command, name) or ():
        if len(check_text(card, name, 8, 8)) != 8 or not (card.isascii() and card.isdigit()):
            raise InvalidValue(f"{name} must hold BINs of 8 digits")


def _object(command: Any, name: str) -> None:
    value = getattr(command, name)
    if value is not None and not isinstance(value, Mapping):
        raise InvalidType(f"{name} must be a mapping, not {type(value).__name__}")


_CHECKS: dict[str, Any] = {
    "amount": _amount,
    "ticket": _ticket,
    "employee_id": _employee,
    "operation_id": lambda command, name: check_integer(command.operation_id, name, 1, 99_999_999),
    "authorization_code": lambda command, name: check_text(command.authorization_code, name, 4, 20),
    "print_on_pos": lambda command, name: check_flag(command.print_on_pos, name),
    "send_message": lambda command, name: check_flag(command.send_message, name),
    "sale_type": lambda command, name: check_integer(command.sale_type, name, 0, 99),
    "rut_commerce_son": lambda command, name: check_rut(command.rut_commerce_son, name),
    "host_rrn": lambda command, name: check_text(command.host_rrn, name, 1, 24),
    "restricted_cards": _bins,
    "allowed_cards": _bins,
    "commerce_data": _object,
    "commerce_params": _object,
    "fields": _object,
    "place_card_to_pay_timeout": lambda command, name: check_integer(command.place_card_to_pay_timeout, name, 1, 600),
    "payment_result_timeout": lambda command, name: check_integer(command.payment_result_timeout, name, 1, 600),
}


def code_of(kind: type[Command]) -> int:
    """The code a command type has unless a profile replaces it."""
    return next(int(item.default) for item in fields(kind) if item.name == "code")  # type: ignore[arg-type]  # all have one


COMMAND_TYPES: dict[int, type[Command]] = {
    code_of(kind): kind
    for kind in (
        Sale, LastVoucher, Void, CloseBatch, TotalsReport, DetailsReport, Poll, SetNormalMode, Refund, Duplicate,
        SalesBySellerReport, TipsReport, SetDefaultSaleType, ParametersReport, SimReport, CancelSale, MultiCommerceSale,
        MultiCommerceVoid, MultiCommerceRefund, MainPosData, PreAuthorization, PreAuthorizationCompletion,
        PreAuthorizationRelease,
    )
}  # fmt: skip
"""The type of each command by the code it has unless a profile replaces it."""
