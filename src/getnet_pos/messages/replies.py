"""The replies of a terminal, one type each (docs/protocol.md, "Replies").

A field is ``None`` if the terminal did not send it; only ``function_code`` and ``response_code`` are always there.
Unknown fields are kept in ``extra`` with their names on the wire. Amounts are integer wire units.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .enums import SaleType
from .fields import Shown, boolean, integer, last_digits, rows, sale_type, text

__all__ = [
    "CancelReply",
    "CloseBatchReply",
    "DefaultSaleTypeReply",
    "DetailsReply",
    "DuplicateReply",
    "GenericReply",
    "LastVoucherReply",
    "MainPosDataReply",
    "MultiCommerceRefundReply",
    "MultiCommerceSaleReply",
    "MultiCommerceVoidReply",
    "NormalModeReply",
    "ParametersReply",
    "PollReply",
    "PreAuthorizationCompletionReply",
    "PreAuthorizationReleaseReply",
    "PreAuthorizationReply",
    "RefundReply",
    "Reply",
    "SaleReply",
    "SalesBySellerReply",
    "SellerSale",
    "SimReply",
    "TipTotal",
    "TipsReply",
    "TotalsReply",
    "VoidReply",
    "Voucher",
    "VoucherReply",
]


def _extra() -> Any:
    return field(default_factory=dict, repr=False, hash=False)


class Restored(dict[str, Any]):
    """The ``extra`` of a reply that was read back from the journal, which does not keep unknown fields."""


class Reply(Shown):
    """The fields of every reply. ``response_code`` 0 means done; of a payment, approved.

    ``response_message`` is the terminal's own text, usually Spanish.

    Examples:
        >>> reply = pos.request(Poll())
        >>> reply.function_code, reply.response_code, reply.approved
        (106, 0, True)
    """

    __slots__ = ()

    function_code: int
    response_code: int
    response_message: str | None
    extra: Mapping[str, Any]

    @property
    def approved(self) -> bool:
        """Whether the terminal carried out the command. A reply with function code 0 is never an approval."""
        return self.function_code != 0 and self.response_code == 0

    @property
    def recovered(self) -> bool:
        """Whether it was read back from the journal: it is the stored result of an earlier call."""
        return isinstance(self.extra, Restored)


def _succeeded(reply: VoidReply | CloseBatchReply) -> bool:
    """Whether ``Success`` is true or was not sent.

    A value that is neither true nor false is left in ``extra``, and so is the ``Success`` of a last voucher that has
    another function code.
    """
    left = [str(reply.extra[name]).strip().lower() for name in ("Success", "success") if name in reply.extra]
    return reply.success is not False and all(value in ("true", "1") for value in left)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class _Header(Reply):
    function_code: int = integer()
    response_code: int = integer()
    response_message: str | None = text(stand_in="ErrorMessage")
    extra: Mapping[str, Any] = _extra()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class GenericReply(_Header):
    """A reply without a type of its own, such as the terminal's own error, which has function code 0.

    Examples:
        >>> from getnet_pos import codec
        >>> text = '{"FunctionCode":0,"ResponseCode":2002,"ResponseMessage":"Mensaje mal formado"}'
        >>> [reply] = codec.Decoder().feed(codec.envelope(text))
        >>> type(reply).__name__, reply.approved
        ('GenericReply', False)
    """


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Voucher(Shown):
    """One recorded operation: a row of the details report, and the fields of every payment reply.

    Examples:
        >>> sale = pos.sale(25_000)
        >>> voucher = pos.get_reports(ReportKind.DETAILS).sale_details[-1]
        >>> voucher.operation_id == sale.operation_id
        True
    """

    function_code: int | None = integer()
    response_code: int | None = integer()
    response_message: str | None = text(stand_in="ErrorMessage")
    commerce_code: int | None = integer()
    terminal_id: str | None = text("Terminalld")
    ticket: str | None = text()
    authorization_code: str | None = text()
    amount: int | None = integer()
    shares_number: int | None = integer()
    shares_amount: int | None = integer()
    last4_digits: str | None = last_digits()
    operation_id: int | None = integer("Operationld", "OperationID")
    card_type: str | None = text()
    accounting_date: str | None = text()
    account_number: str | None = text(shown=False)
    card_brand: str | None = text()
    real_date: str | None = text()
    employee_id: int | None = integer()
    tip: int | None = integer()
    sale_type: SaleType | int | None = sale_type()
    pos_mode: int | None = integer()
    cashback: int | None = integer()
    trans_token: str | None = text(shown=False)
    expiry_date: str | None = text(shown=False)
    entry_mode: str | None = text()
    aid: str | None = text("AID")
    commerce_rut: str | None = text()
    commerce_name: str | None = text()
    branch_name: str | None = text()
    branch_address: str | None = text()
    branch_district: str | None = text()
    bin: str | None = text(shown=False)
    extra: Mapping[str, Any] = _extra()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class VoucherReply(Voucher, Reply):
    """The fields that all payment replies share.

    Examples:
        >>> sale = pos.sale(25_000)
        >>> pos.last_voucher().authorization_code == sale.authorization_code
        True
    """

    function_code: int = integer()
    response_code: int = integer()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SaleReply(VoucherReply):
    """The reply to a sale (100).

    Examples:
        >>> sale = pos.sale(25_000, ticket="A1234")
        >>> sale.approved, sale.amount, sale.ticket
        (True, 25000, 'A1234')
    """


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class LastVoucherReply(VoucherReply):
    """The reply to a last-voucher query (101). ``approved`` refers to the query itself.

    Many firmwares reply with the function code of the recorded operation instead, for example a ``SaleReply``.

    Examples:
        >>> from getnet_pos import codec
        >>> [reply] = codec.Decoder().feed(codec.envelope('{"FunctionCode":101,"ResponseCode":0,"Amount":25000}'))
        >>> type(reply).__name__, reply.amount
        ('LastVoucherReply', 25000)
    """


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class DuplicateReply(VoucherReply):
    """The reply to a request for a copy of a voucher (109).

    Examples:
        >>> sale = pos.sale(25_000)
        >>> pos.duplicate(sale.operation_id).authorization_code == sale.authorization_code
        True
    """


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class VoidReply(VoucherReply):
    """The reply to a void (102), which Getnet's own libraries call *Refund*.

    Examples:
        >>> sale = pos.sale(25_000)
        >>> pos.void(sale.operation_id).success
        True
    """

    success: bool | None = boolean()

    @property
    def approved(self) -> bool:
        """Whether it was carried out: response code 0, and ``Success`` true or not sent."""
        return self.function_code != 0 and self.response_code == 0 and _succeeded(self)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class RefundReply(VoidReply):
    """The reply to a refund (108), which Getnet's own libraries call *Return*.

    Examples:
        >>> sale = pos.sale(25_000)
        >>> pos.refund(sale.authorization_code, 10_000).approved
        True
    """

    date_time: str | None = text()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class PreAuthorizationReply(VoucherReply):
    """The reply to a pre-authorization (its fields are an assumption: docs/assumptions.md).

    Examples:
        >>> pos.request(PreAuthorization(25_000)).amount
        25000
    """


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class PreAuthorizationCompletionReply(VoucherReply):
    """The reply to the completion of a pre-authorization (its fields are an assumption: docs/assumptions.md).

    Examples:
        >>> held = pos.request(PreAuthorization(25_000))
        >>> pos.request(PreAuthorizationCompletion(held.authorization_code, 20_000)).amount
        20000
    """


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class PreAuthorizationReleaseReply(VoidReply):
    """The reply to the release of a pre-authorization (its fields are an assumption: docs/assumptions.md).

    Examples:
        >>> held = pos.request(PreAuthorization(25_000))
        >>> pos.request(PreAuthorizationRelease(held.authorization_code)).success
        True
    """


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class MultiCommerceSaleReply(VoucherReply):
    """The reply to a sale for a child merchant (120). ``host_rrn`` and ``mti`` to ``de13`` identify it in a void.

    Examples:
        >>> pos.request(MultiCommerceSale(25_000, "12345678-5")).approved
        True
    """

    host_rrn: str | None = text("HostRRN")
    mti: str | None = text()
    de11: str | None = text("DE11")
    de12: str | None = text("DE12")
    de13: str | None = text("DE13")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class MultiCommerceVoidReply(VoidReply):
    """The reply to a void for a child merchant (122).

    Examples:
        >>> sale = pos.request(MultiCommerceSale(25_000, "12345678-5"))
        >>> original = OriginalData(sale.mti, sale.de11, sale.de12, sale.de13)
        >>> void = MultiCommerceVoid(25_000, sale.operation_id, "12345678-5", sale.host_rrn, original)
        >>> pos.request(void).success
        True
    """

    host_rrn: str | None = text("HostRRN")
    mti: str | None = text()
    de11: str | None = text("DE11")
    de12: str | None = text("DE12")
    de13: str | None = text("DE13")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class MultiCommerceRefundReply(RefundReply):
    """The reply to a refund for a child merchant (123).

    Examples:
        >>> sale = pos.request(MultiCommerceSale(25_000, "12345678-5"))
        >>> pos.request(MultiCommerceRefund(25_000, sale.authorization_code, "12345678-5")).success
        True
    """

    host_rrn: str | None = text("HostRRN")
    mti: str | None = text()
    de11: str | None = text("DE11")
    de12: str | None = text("DE12")
    de13: str | None = text("DE13")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class CloseBatchReply(_Header):
    """The reply to closing the day's batch (103).

    Examples:
        >>> pos.close_batch().success
        True
    """

    commerce_code: int | None = integer()
    terminal_id: str | None = text("Terminalld")
    success: bool | None = boolean()

    @property
    def approved(self) -> bool:
        """Whether the batch was closed: response code 0, and ``Success`` true or not sent."""
        return self.function_code != 0 and self.response_code == 0 and _succeeded(self)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class TotalsReply(_Header):
    """The totals of the open batch (104): a count and an amount, in wire units, for each means of payment.

    Examples:
        >>> totals = pos.get_reports(ReportKind.TOTALS)
        >>> totals.count_debit_sales <= totals.tx_count
        True
    """

    tx_count: int | None = integer()
    tx_total: int | None = integer()
    count_credit_sales: int | None = integer()
    total_credit_sales: int | None = integer()
    count_debit_sales: int | None = integer()
    total_debit_sales: int | None = integer()
    count_prepaid_sales: int | None = integer()
    total_prepaid_sales: int | None = integer()
    count_qr_credit_sales: int | None = integer()
    total_qr_credit_sales: int | None = integer()
    count_qr_debit_sales: int | None = integer()
    total_qr_debit_sales: int | None = integer()
    count_qr_prepaid_sales: int | None = integer()
    total_qr_prepaid_sales: int | None = integer()
    count_cash_sales: int | None = integer()
    total_cash_sales: int | None = integer()
    count_cash_sales_off: int | None = integer()
    total_cash_sales_off: int | None = integer()
    count_credit_advances: int | None = integer()
    total_credit_advances: int | None = integer()
    count_cancel_credit: int | None = integer()
    total_cancel_credit: int | None = integer()
    count_cancel_debit: int | None = integer()
    total_cancel_debit: int | None = integer()
    count_cancel_prepaid: int | None = integer()
    total_cancel_prepaid: int | None = integer()
    count_cancel_qr_credit: int | None = integer()
    total_cancel_qr_credit: int | None = integer()
    count_cancel_qr_debit: int | None = integer()
    total_cancel_qr_debit: int | None = integer()
    count_cancel_qr_prepaid: int | None = integer()
    total_cancel_qr_prepaid: int | None = integer()
    count_tips: int | None = integer()
    total_tips: int | None = integer()
    count_returns: int | None = integer()
    total_returns: int | None = integer()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class DetailsReply(_Header):
    """The operations of the open batch (105).

    The simplified wire sets ``details_text`` instead of ``sale_details``; the format of that text is not public.

    Examples:
        >>> sale = pos.sale(25_000, ticket="A1234")
        >>> pos.get_reports(ReportKind.DETAILS).sale_details[-1].ticket
        'A1234'
    """

    sale_details: tuple[Voucher, ...] = rows(Voucher)
    details_text: str | None = text()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class PollReply(_Header):
    """The reply to a poll (106).

    Examples:
        >>> pos.request(Poll()).connected
        True
    """

    connected: bool | None = boolean()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class NormalModeReply(_Header):
    """The reply to leaving the integrated mode (107).

    Examples:
        >>> pos.set_normal_mode().change_to_normal_mode
        True
    """

    change_to_normal_mode: bool | None = boolean()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SellerSale(Shown):
    """A row of the sales-by-seller report (110).

    Examples:
        >>> sale = pos.sale(25_000, employee_id=7)
        >>> pos.get_reports(ReportKind.SALES_BY_SELLER, employee_id=7).sale_details[-1].amount
        25000
    """

    date: str | None = text()
    employee_id: int | None = integer()
    ticket: str | None = text()
    amount: int | None = integer()
    nc: str | None = text()
    tc: str | None = text()
    tx: str | None = text()
    extra: Mapping[str, Any] = _extra()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SalesBySellerReply(_Header):
    """The sales of one employee (110).

    Examples:
        >>> sale = pos.sale(25_000, employee_id=7)
        >>> len(pos.get_reports(ReportKind.SALES_BY_SELLER, employee_id=7).sale_details) > 0
        True
    """

    sale_details: tuple[SellerSale, ...] = rows(SellerSale)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class TipTotal(Shown):
    """A row of the tip report (111).

    Examples:
        >>> sale = pos.sale(25_000, employee_id=7)
        >>> pos.get_reports(ReportKind.TIPS, employee_id=7).tip_report[-1].tips
        0
    """

    employee_id: int | None = integer()
    tx: int | None = integer()
    sales: int | None = integer()
    tips: int | None = integer()
    extra: Mapping[str, Any] = _extra()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class TipsReply(_Header):
    """The tips by employee (111).

    Examples:
        >>> sale = pos.sale(25_000, employee_id=7)
        >>> [row.employee_id for row in pos.get_reports(ReportKind.TIPS, employee_id=7).tip_report]
        [7]
    """

    tip_report: tuple[TipTotal, ...] = rows(TipTotal)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class DefaultSaleTypeReply(_Header):
    """The reply to setting the default sale type (113).

    Examples:
        >>> pos.set_default_sale_type(SaleType.SALE).sale_type
        <SaleType.SALE: 0>
    """

    sale_type: SaleType | int | None = sale_type()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ParametersReply(_Header):
    """The terminal's parameters (114).

    Examples:
        >>> pos.get_reports(ReportKind.PARAMETERS).terminal_id
        '80005000'
    """

    application_name: str | None = text()
    version: str | None = text()
    so: str | None = text()
    emv_module: str | None = text()
    sn: str | None = text()
    model: str | None = text()
    communication_type: str | None = text()
    primary_ip: str | None = text()
    second_ip: str | None = text()
    company: str | None = text()
    apn: str | None = text()
    sim_id: str | None = text()
    sucursal_id: str | None = text()
    terminal_id: str | None = text("Terminalld")
    tip: bool | None = boolean()
    ticket: bool | None = boolean()
    employee: bool | None = boolean()
    voucher_as_ticket: bool | None = boolean()
    return_: bool | None = boolean()
    issuer_quotas: bool | None = boolean()
    minimum_issuer_quotas: int | None = integer()
    maximum_issuer_quotas: int | None = integer()
    trade_quotas: bool | None = boolean()
    minimum_trade_quotas: int | None = integer()
    maximum_trade_quotas: int | None = integer()
    minimum_amount: int | None = integer()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SimReply(_Header):
    """The state of the SIM and the mobile network (115).

    Examples:
        >>> pos.get_reports(ReportKind.SIM).battery_percentage
        87
    """

    connected: bool | None = boolean()
    company: str | None = text()
    apn_sim: str | None = text()
    apn_config: str | None = text()
    sim_id: str | None = text()
    sim_provider: str | None = text()
    sim_used: str | None = text()
    battery_percentage: int | None = integer()
    intensity_signal: str | None = text()
    rssi: str | None = text()
    sim_status: str | None = text()
    radio_level: str | None = text()
    imei: str | None = text()
    network_connection: str | None = text()
    networks_enabled: str | None = text()
    lac: str | None = text()
    call_id: str | None = text()
    network_type: str | None = text()
    network_plmn: str | None = text()
    sim_plmn: str | None = text()
    network_log: str | None = text()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class CancelReply(_Header):
    """The reply to cancelling the sale in progress (116). The outcome of the sale is in the reply to the sale.

    Examples:
        >>> pos.cancel_sale().response_message
        'No hay venta en curso'
    """


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class MainPosDataReply(_Header):
    """The merchant that the terminal belongs to (124).

    Examples:
        >>> pos.request(MainPosData()).commerce_rut
        '76000000-0'
    """

    legal_name: str | None = text()
    commerce_number: str | None = text()
    commerce_rut: str | None = text()
    branch_number: str | None = text()
    branch_name: str | None = text()
    little_branch_name: str | None = text()
    branch_address: str | None = text()
    branch_district: str | None = text()
    terminal_id: str | None = text("Terminalld", "TerminaId")
    serial_number: str | None = text()
