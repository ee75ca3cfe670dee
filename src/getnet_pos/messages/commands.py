"""The commands of a register to a terminal, one type each (docs/protocol.md, "Commands"). They validate, never send.

A command is checked when it is made, so every command object can be sent. Amounts are integer wire units.
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
    """100: charge ``amount``, in wire units.

    The terminal asks on its screen for a ticket or an employee that is ``None``.

    Examples:
        >>> pos.request(Sale(25_000, "A1234", employee_id=7)).amount
        25000
    """

    amount: int = wire("Amount", check=units())
    ticket: str | None = wire("TicketNumber", check=_TICKET, default=None)
    print_on_pos: bool = wire("PrintOnPos", check=check_flag, default=False)
    sale_type: SaleType | int = wire("SaleType", check=_SALE_TYPE, default=SaleType.SALE)
    send_message: bool = wire("SendMessage", check=check_flag, default=False)
    employee_id: int | None = wire("EmployeeId", check=optional(_EMPLOYEE), default=1)


@command(101, reply=LastVoucherReply, changes_nothing=True)
class LastVoucher(Command[VoucherReply]):
    """101: show the last recorded operation.

    The reply may have the function code of that operation; it depends on the firmware.

    Examples:
        >>> sale = pos.sale(25_000)
        >>> pos.request(LastVoucher()).operation_id == sale.operation_id
        True
    """

    print_on_pos: bool = wire("PrintOnPos", check=check_flag, default=False)


@command(
    102,
    reply=VoidReply,
    moves_money=True,
    leaves_voucher=True,
    simplified=Simplified(request=("OperationId", "PrintOnPos"), reply=_SETTLED),
)
class Void(Command[VoidReply]):
    """102: void an operation of the open batch by its operation id (Getnet's own libraries call this *Refund*).

    Examples:
        >>> sale = pos.sale(25_000)
        >>> pos.request(Void(sale.operation_id)).approved
        True
    """

    operation_id: int = wire("OperationId", check=_OPERATION_ID)
    print_on_pos: bool = wire("PrintOnPos", check=check_flag, default=False)


@command(103, reply=CloseBatchReply, simplified=Simplified(reply=("CommerceCode", "TerminalId", "Success")))
class CloseBatch(Command[CloseBatchReply]):
    """103: close the day's batch.

    Examples:
        >>> pos.request(CloseBatch()).approved
        True
    """

    print_on_pos: bool = wire("PrintOnPos", check=check_flag, default=False)


@command(104, reply=TotalsReply, changes_nothing=True)
class TotalsReport(Command[TotalsReply]):
    """104: counts and amounts of the open batch.

    Examples:
        >>> totals = pos.request(TotalsReport())
        >>> totals.tx_count, totals.tx_total
        (..., ...)
    """

    print_on_pos: bool = wire("PrintOnPos", check=check_flag, default=False)


@command(
    105,
    reply=DetailsReply,
    changes_nothing=True,
    simplified=Simplified(request=("PrintOnPos",), reply=("DetailsText",)),
)
class DetailsReport(Command[DetailsReply]):
    """105: the operations of the open batch.

    Examples:
        >>> sale = pos.sale(25_000, ticket="A1234")
        >>> pos.request(DetailsReport()).sale_details[-1].ticket
        'A1234'
    """

    print_on_pos: bool = wire("PrintOnPos", check=check_flag, default=False)


@command(106, reply=PollReply, changes_nothing=True, waits=Waits.SHORT)
class Poll(Command[PollReply]):
    """106: ask whether the terminal is connected and ready.

    Examples:
        >>> pos.request(Poll()).connected
        True
    """


@command(107, reply=NormalModeReply, waits=Waits.SHORT)
class SetNormalMode(Command[NormalModeReply]):
    """107: leave the integrated mode.

    Examples:
        >>> pos.request(SetNormalMode()).change_to_normal_mode
        True
    """


@command(
    108,
    reply=RefundReply,
    moves_money=True,
    leaves_voucher=True,
    simplified=Simplified(request=("AuthorizationCode", "Amount", "PrintOnPos"), reply=(*_SETTLED, "DateTime")),
)
class Refund(Command[RefundReply]):
    """108: refund ``amount``, in wire units, by authorization code (Getnet's own libraries call this *Return*).

    Examples:
        >>> sale = pos.sale(25_000)
        >>> pos.request(Refund(sale.authorization_code, 10_000)).approved
        True
    """

    authorization_code: str = wire("AuthorizationCode", check=_AUTHORIZATION_CODE)
    amount: int = wire("Amount", check=units())
    print_on_pos: bool = wire("PrintOnPos", check=check_flag, default=False)


@command(109, reply=DuplicateReply, simplified=Simplified(request=("OperationId", "PrintOnPos"), reply=_VOUCHER))
class Duplicate(Command[DuplicateReply]):
    """109: a copy of a voucher by its operation id.

    Examples:
        >>> sale = pos.sale(25_000)
        >>> pos.request(Duplicate(sale.operation_id)).amount
        25000
    """

    operation_id: int = wire("OperationId", check=_OPERATION_ID)
    print_on_pos: bool = wire("PrintOnPos", check=check_flag, default=False)


@command(110, reply=SalesBySellerReply, changes_nothing=True)
class SalesBySellerReport(Command[SalesBySellerReply]):
    """110: the sales of one employee.

    Examples:
        >>> sale = pos.sale(25_000, employee_id=7)
        >>> pos.request(SalesBySellerReport(employee_id=7)).sale_details[-1].amount
        25000
    """

    employee_id: int = wire("EmployeeId", check=_EMPLOYEE, default=1)
    print_on_pos: bool = wire("PrintOnPos", check=check_flag, default=False)


@command(111, reply=TipsReply, changes_nothing=True)
class TipsReport(Command[TipsReply]):
    """111: the tips of one employee.

    Examples:
        >>> pos.request(TipsReport(employee_id=7)).approved
        True
    """

    employee_id: int = wire("EmployeeId", check=_EMPLOYEE, default=1)
    print_on_pos: bool = wire("PrintOnPos", check=check_flag, default=False)


@command(113, reply=DefaultSaleTypeReply, waits=Waits.SHORT)
class SetDefaultSaleType(Command[DefaultSaleTypeReply]):
    """113: set the sale type of sales without one.

    Examples:
        >>> pos.request(SetDefaultSaleType(SaleType.SALE)).approved
        True
    """

    sale_type: SaleType | int = wire("SaleType", check=_SALE_TYPE)


@command(114, reply=ParametersReply, changes_nothing=True, waits=Waits.SHORT)
class ParametersReport(Command[ParametersReply]):
    """114: the terminal's parameters.

    Examples:
        >>> pos.request(ParametersReport()).model
        'VIRTUAL'
    """

    print_on_pos: bool = wire("PrintOnPos", check=check_flag, default=False)


@command(115, reply=SimReply, changes_nothing=True, waits=Waits.SHORT)
class SimReport(Command[SimReply]):
    """115: the state of the SIM and the mobile network.

    Examples:
        >>> pos.request(SimReport()).network_type
        'LTE'
    """

    print_on_pos: bool = wire("PrintOnPos", check=check_flag, default=False)


@command(116, reply=CancelReply, waits=Waits.SHORT)
class CancelSale(Command[CancelReply]):
    """116: ask the terminal to cancel the sale in progress. During a sale use ``Connector.cancel_sale``.

    Examples:
        >>> pos.request(CancelSale()).response_message
        'No hay venta en curso'
    """


@command(120, reply=MultiCommerceSaleReply, moves_money=True, waits=Waits.CARD, leaves_voucher=True, states_amount=True)
class MultiCommerceSale(Command[MultiCommerceSaleReply]):
    """120: charge ``amount``, in wire units, for a child merchant.

    ``allowed_cards`` and ``restricted_cards`` are lists of BINs of 8 digits. The two timeouts are in seconds.

    Examples:
        >>> pos.request(MultiCommerceSale(25_000, "12345678-5")).commerce_rut
        '12345678-5'
    """

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
    """The host's identifiers of the operation that a multi-commerce void refers to, from the reply to its sale.

    Examples:
        >>> OriginalData(mti="0200", de11="000123", de12="101500", de13="0131").de13
        '0131'
    """

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
    """122: void an operation of a child merchant. ``amount`` is in wire units, the two timeouts in seconds.

    Examples:
        >>> sale = pos.request(MultiCommerceSale(25_000, "12345678-5"))
        >>> original = OriginalData(sale.mti, sale.de11, sale.de12, sale.de13)
        >>> void = MultiCommerceVoid(25_000, sale.operation_id, "12345678-5", sale.host_rrn, original)
        >>> pos.request(void).approved
        True
    """

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
    """123: refund an amount for a child merchant. ``amount`` is in wire units, the two timeouts in seconds.

    Examples:
        >>> sale = pos.request(MultiCommerceSale(25_000, "12345678-5"))
        >>> pos.request(MultiCommerceRefund(25_000, sale.authorization_code, "12345678-5")).approved
        True
    """

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
    """124: the merchant that the terminal belongs to.

    Examples:
        >>> pos.request(MainPosData()).terminal_id
        '80005000'
    """


# Getnet has published no codes for these three: 130 to 132 are this library's provisional codes (docs/assumptions.md),
# which a profile can replace.


@command(130, reply=PreAuthorizationReply, moves_money=True, waits=Waits.CARD, leaves_voucher=True)
class PreAuthorization(Command[PreAuthorizationReply]):
    """Hold ``amount``, in wire units, on a card (provisional code: docs/assumptions.md).

    Examples:
        >>> pos.request(PreAuthorization(25_000)).approved
        True
    """

    amount: int = wire("Amount", check=units())
    ticket: str | None = wire("TicketNumber", check=_TICKET, default=None)
    print_on_pos: bool = wire("PrintOnPos", check=check_flag, default=False)
    send_message: bool = wire("SendMessage", check=check_flag, default=False)
    employee_id: int | None = wire("EmployeeId", check=optional(_EMPLOYEE), default=1)


@command(131, reply=PreAuthorizationCompletionReply, moves_money=True, leaves_voucher=True)
class PreAuthorizationCompletion(Command[PreAuthorizationCompletionReply]):
    """Charge ``amount``, in wire units, of a held amount (provisional code: docs/assumptions.md).

    Examples:
        >>> held = pos.request(PreAuthorization(25_000))
        >>> pos.request(PreAuthorizationCompletion(held.authorization_code, 20_000)).approved
        True
    """

    authorization_code: str = wire("AuthorizationCode", check=_AUTHORIZATION_CODE)
    amount: int = wire("Amount", check=units())
    print_on_pos: bool = wire("PrintOnPos", check=check_flag, default=False)


@command(132, reply=PreAuthorizationReleaseReply, moves_money=True, leaves_voucher=True)
class PreAuthorizationRelease(Command[PreAuthorizationReleaseReply]):
    """Release a held amount (provisional code: docs/assumptions.md).

    Examples:
        >>> held = pos.request(PreAuthorization(25_000))
        >>> pos.request(PreAuthorizationRelease(held.authorization_code)).approved
        True
    """

    authorization_code: str = wire("AuthorizationCode", check=_AUTHORIZATION_CODE)
    print_on_pos: bool = wire("PrintOnPos", check=check_flag, default=False)


@dataclass(frozen=True, slots=True, eq=False)
class SealedCommand(Generic[R_co]):
    """A command together with a signed frame that another program wrote.

    Over the signed wire this very frame is sent; elsewhere the command is encoded again. Make one with
    ``codec.unseal``, so that the frame and the command say the same.

    Examples:
        >>> from getnet_pos import codec
        >>> sealed = codec.unseal(codec.seal(Poll()))
        >>> pos.request(sealed).connected
        True
    """

    command: Command[R_co]
    frame: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class CommandMessage:
    """A command as read from the wire: by a terminal, or by a register whose port echoes.

    Examples:
        >>> from getnet_pos import codec
        >>> [message] = codec.Decoder().feed(codec.seal(Sale(25_000)))
        >>> message.code, message.fields["Amount"]
        (100, 25000)
    """

    code: int
    fields: Mapping[str, Any] = field(hash=False)
