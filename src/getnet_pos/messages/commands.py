"""What a register asks of a terminal, one type a command (docs/protocol.md, "Commands"). Validates; never sends.

A command is checked when it is made, so a command that exists can be sent. Amounts are integer wire units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic

from .checks import amount as units
from .checks import card_ranges, check_flag, check_rut, check_text, integer, one_of, optional, text
from .declaring import Command, R_co, Reference, Simplified, Waits, command, wire
from .enums import SaleType
from .replies import (
    CancelReply,
    CloseBatchReply,
    DefaultSaleTypeReply,
    DetailsReply,
    DuplicateReply,
    LastVoucherReply,
    MainPosDataReply,
    MultiCommerceRefundReply,
    MultiCommerceSaleReply,
    MultiCommerceVoidReply,
    NormalModeReply,
    ParametersReply,
    PollReply,
    PreAuthorizationCompletionReply,
    PreAuthorizationReleaseReply,
    PreAuthorizationReply,
    RefundReply,
    SaleReply,
    SalesBySellerReply,
    SimReply,
    TipsReply,
    TotalsReply,
    VoidReply,
    VoucherReply,
)

__all__ = [
    "CancelSale",
    "CloseBatch",
    "Command",
    "CommandMessage",
    "DetailsReport",
    "Duplicate",
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
    "Reference",
    "Refund",
    "Sale",
    "SalesBySellerReport",
    "SealedCommand",
    "SetDefaultSaleType",
    "SetNormalMode",
    "SimReport",
    "TipsReport",
    "TotalsReport",
    "Void",
    "Waits",
]

_TICKET = optional(text(1, 24))
_EMPLOYEE = integer(1, 9999)
_OPERATION_ID = integer(1, 99_999_999)
_AUTHORIZATION_CODE = text(4, 20)
_SALE_TYPE = integer(0, 99)
_SECONDS = integer(1, 600)
_OBJECT = optional(one_of(Mapping))

_VOUCHER = (
    "CommerceCode", "TerminalId", "Ticket", "AuthorizationCode", "Amount", "SharesNumber", "SharesAmount",
    "Last4Digits", "OperationId", "CardType", "AccountingDate", "AccountNumber", "CardBrand", "RealDate", "EmployeeId",
    "Tip", "SaleType", "PosMode", "Cashback",
)  # fmt: skip
_SETTLED = ("CommerceCode", "TerminalId", "AuthorizationCode", "OperationId", "Success")


@command(
    100,
    reply=SaleReply,
    moves_money=True,
    waits=Waits.CARD,
    leaves_voucher=True,
    states_amount=True,
    simplified=Simplified(
        request=("Amount", "TicketNumber", "PrintOnPos", "SaleType", "EmployeeId"),
        reply=_VOUCHER,
        flags=("false", "true"),
    ),
)
class Sale(Command[SaleReply]):
    """100: charge ``amount``. ``ticket`` and the others left out are asked for on the terminal's screen."""

    amount: int = wire("Amount", check=units())
    ticket: str | None = wire("TicketNumber", check=_TICKET, default=None)
    print_on_pos: bool = wire("PrintOnPos", check=check_flag, default=False)
    sale_type: SaleType | int = wire("SaleType", check=_SALE_TYPE, default=SaleType.SALE)
    send_message: bool = wire("SendMessage", check=check_flag, default=False)
    employee_id: int | None = wire("EmployeeId", check=optional(_EMPLOYEE), default=1)


@command(101, reply=LastVoucherReply, changes_nothing=True)
class LastVoucher(Command[VoucherReply]):
    """101: show the last recorded operation, under that operation's own function code where the firmware does so."""

    print_on_pos: bool = wire("PrintOnPos", check=check_flag, default=False)


@command(
    102,
    reply=VoidReply,
    moves_money=True,
    leaves_voucher=True,
    simplified=Simplified(request=("OperationId", "PrintOnPos"), reply=_SETTLED),
)
class Void(Command[VoidReply]):
    """102: annul an operation of the open batch by its operation id (Getnet's own libraries: *Refund*)."""

    operation_id: int = wire("OperationId", check=_OPERATION_ID)
    print_on_pos: bool = wire("PrintOnPos", check=check_flag, default=False)


@command(103, reply=CloseBatchReply, simplified=Simplified(reply=("CommerceCode", "TerminalId", "Success")))
class CloseBatch(Command[CloseBatchReply]):
    """103: close the day's batch."""

    print_on_pos: bool = wire("PrintOnPos", check=check_flag, default=False)


@command(104, reply=TotalsReply, changes_nothing=True)
class TotalsReport(Command[TotalsReply]):
    """104: counts and amounts of the open batch."""

    print_on_pos: bool = wire("PrintOnPos", check=check_flag, default=False)


@command(
    105,
    reply=DetailsReply,
    changes_nothing=True,
    simplified=Simplified(request=("PrintOnPos",), reply=("DetailsText",)),
)
class DetailsReport(Command[DetailsReply]):
    """105: the operations of the open batch."""

    print_on_pos: bool = wire("PrintOnPos", check=check_flag, default=False)


@command(106, reply=PollReply, changes_nothing=True, waits=Waits.SHORT)
class Poll(Command[PollReply]):
    """106: is the terminal connected and ready."""


@command(107, reply=NormalModeReply, waits=Waits.SHORT)
class SetNormalMode(Command[NormalModeReply]):
    """107: leave the integrated mode."""


@command(
    108,
    reply=RefundReply,
    moves_money=True,
    leaves_voucher=True,
    simplified=Simplified(request=("AuthorizationCode", "Amount", "PrintOnPos"), reply=(*_SETTLED, "DateTime")),
)
class Refund(Command[RefundReply]):
    """108: give ``amount`` back by authorization code (Getnet's own libraries: *Return*)."""

    authorization_code: str = wire("AuthorizationCode", check=_AUTHORIZATION_CODE)
    amount: int = wire("Amount", check=units())
    print_on_pos: bool = wire("PrintOnPos", check=check_flag, default=False)


@command(109, reply=DuplicateReply, simplified=Simplified(request=("OperationId", "PrintOnPos"), reply=_VOUCHER))
class Duplicate(Command[DuplicateReply]):
    """109: a copy of a voucher by its operation id."""

    operation_id: int = wire("OperationId", check=_OPERATION_ID)
    print_on_pos: bool = wire("PrintOnPos", check=check_flag, default=False)


@command(110, reply=SalesBySellerReply, changes_nothing=True)
class SalesBySellerReport(Command[SalesBySellerReply]):
    """110: the sales of one employee."""

    employee_id: int = wire("EmployeeId", check=_EMPLOYEE, default=1)
    print_on_pos: bool = wire("PrintOnPos", check=check_flag, default=False)


@command(111, reply=TipsReply, changes_nothing=True)
class TipsReport(Command[TipsReply]):
    """111: the tips of one employee."""

    employee_id: int = wire("EmployeeId", check=_EMPLOYEE, default=1)
    print_on_pos: bool = wire("PrintOnPos", check=check_flag, default=False)


@command(113, reply=DefaultSaleTypeReply, waits=Waits.SHORT)
class SetDefaultSaleType(Command[DefaultSaleTypeReply]):
    """113: set the sale type of sales that name none."""

    sale_type: SaleType | int = wire("SaleType", check=_SALE_TYPE)


@command(114, reply=ParametersReply, changes_nothing=True, waits=Waits.SHORT)
class ParametersReport(Command[ParametersReply]):
    """114: the terminal's parameters."""

    print_on_pos: bool = wire("PrintOnPos", check=check_flag, default=False)


@command(115, reply=SimReply, changes_nothing=True, waits=Waits.SHORT)
class SimReport(Command[SimReply]):
    """115: the state of the SIM and the mobile network."""

    print_on_pos: bool = wire("PrintOnPos", check=check_flag, default=False)


@command(116, reply=CancelReply, waits=Waits.SHORT)
class CancelSale(Command[CancelReply]):
    """116: ask the terminal to give up the sale in progress."""


@command(120, reply=MultiCommerceSaleReply, moves_money=True, waits=Waits.CARD, leaves_voucher=True, states_amount=True)
class MultiCommerceSale(Command[MultiCommerceSaleReply]):
    """120: charge for a child merchant. ``allowed_cards`` and ``restricted_cards`` are lists of 8-digit BINs."""

    amount: int = wire("Amount", check=units())
    rut_commerce_son: str = wire("RutCommerceSon", check=check_rut)
    print_on_pos: bool = wire("PrintOnPos", check=check_flag, default=False)
    sale_type: SaleType | int = wire("SaleType", check=_SALE_TYPE, default=SaleType.SALE)
    send_message: bool = wire("SendMessage", check=check_flag, default=False)
    restricted_cards: Sequence[str] | None = wire(
        "RestrictedCards", check=optional(card_ranges), default=None, nullable=True
    )
    allowed_cards: Sequence[str] = wire("AllowedCards", check=card_ranges, default=())
    commerce_data: Mapping[str, Any] | None = wire(
        "CommerceData", check=_OBJECT, default=None, nullable=True, hash=False
    )
    commerce_params: Mapping[str, Any] | None = wire(
        "CommerceParams", check=_OBJECT, default=None, nullable=True, hash=False
    )
    place_card_to_pay_timeout: int = wire("PlaceCardToPayTimeout", check=_SECONDS, default=20)
    payment_result_timeout: int = wire("PaymentResultTimeout", check=_SECONDS, default=3)


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


@command(122, reply=MultiCommerceVoidReply, moves_money=True, leaves_voucher=True)
class MultiCommerceVoid(Command[MultiCommerceVoidReply]):
    """122: annul an operation of a child merchant."""

    amount: int = wire("Amount", check=units())
    operation_id: int = wire("OperationId", check=_OPERATION_ID)
    rut_commerce_son: str = wire("RutCommerceSon", check=check_rut)
    host_rrn: str = wire("HostRRN", check=text(1, 24))
    original_data: OriginalData = wire("OriginalData", check=one_of(OriginalData))
    print_on_pos: bool = wire("PrintOnPos", check=check_flag, default=False)
    sale_type: SaleType | int = wire("SaleType", check=_SALE_TYPE, default=SaleType.SALE)
    commerce_data: Mapping[str, Any] | None = wire(
        "CommerceData", check=_OBJECT, default=None, nullable=True, hash=False
    )
    place_card_to_pay_timeout: int = wire("PlaceCardToPayTimeout", check=_SECONDS, default=20)
    payment_result_timeout: int = wire("PaymentResultTimeout", check=_SECONDS, default=3)


@command(123, reply=MultiCommerceRefundReply, moves_money=True, leaves_voucher=True)
class MultiCommerceRefund(Command[MultiCommerceRefundReply]):
    """123: give back an amount for a child merchant."""

    amount: int = wire("Amount", check=units())
    authorization_code: str = wire("AuthorizationCode", check=_AUTHORIZATION_CODE)
    rut_commerce_son: str = wire("RutCommerceSon", check=check_rut)
    print_on_pos: bool = wire("PrintOnPos", check=check_flag, default=False)
    commerce_data: Mapping[str, Any] | None = wire(
        "CommerceData", check=_OBJECT, default=None, nullable=True, hash=False
    )
    place_card_to_pay_timeout: int = wire("PlaceCardToPayTimeout", check=_SECONDS, default=20)
    payment_result_timeout: int = wire("PaymentResultTimeout", check=_SECONDS, default=3)


@command(124, reply=MainPosDataReply, changes_nothing=True, waits=Waits.SHORT)
class MainPosData(Command[MainPosDataReply]):
    """124: who the terminal belongs to."""


# Getnet has published no codes for these three: 130 to 132 are this library's provisional ones (docs/assumptions.md),
# which a profile may replace.


@command(130, reply=PreAuthorizationReply, moves_money=True, waits=Waits.CARD, leaves_voucher=True)
class PreAuthorization(Command[PreAuthorizationReply]):
    """Hold ``amount`` on a card."""

    amount: int = wire("Amount", check=units())
    ticket: str | None = wire("TicketNumber", check=_TICKET, default=None)
    print_on_pos: bool = wire("PrintOnPos", check=check_flag, default=False)
    send_message: bool = wire("SendMessage", check=check_flag, default=False)
    employee_id: int | None = wire("EmployeeId", check=optional(_EMPLOYEE), default=1)


@command(131, reply=PreAuthorizationCompletionReply, moves_money=True, leaves_voucher=True)
class PreAuthorizationCompletion(Command[PreAuthorizationCompletionReply]):
    """Charge ``amount`` of a held one."""

    authorization_code: str = wire("AuthorizationCode", check=_AUTHORIZATION_CODE)
    amount: int = wire("Amount", check=units())
    print_on_pos: bool = wire("PrintOnPos", check=check_flag, default=False)


@command(132, reply=PreAuthorizationReleaseReply, moves_money=True, leaves_voucher=True)
class PreAuthorizationRelease(Command[PreAuthorizationReleaseReply]):
    """Let a held amount go."""

    authorization_code: str = wire("AuthorizationCode", check=_AUTHORIZATION_CODE)
    print_on_pos: bool = wire("PrintOnPos", check=check_flag, default=False)


@dataclass(frozen=True, slots=True, eq=False)
class SealedCommand(Generic[R_co]):
    """A command together with the signed frame in which somebody else wrote it: over the signed wire this very frame
    leaves, elsewhere the command is written anew. ``codec.unseal`` makes one, so the two say the same.
    """

    command: Command[R_co]
    frame: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class CommandMessage:
    """A command as read from the wire: what a terminal receives, or a register whose port echoes."""

    code: int
    fields: Mapping[str, Any] = field(hash=False)
