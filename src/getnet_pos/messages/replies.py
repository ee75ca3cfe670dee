"""What a terminal answers, one type a reply (docs/protocol.md, "Replies"). No behaviour beyond reading the answer.

Every field but the first three may be ``None``: the terminal did not send it. Fields the library does not know are kept
in ``extra`` under their wire names. Amounts are integer wire units.
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
    """The ``extra`` of a reply that was read back from the journal, which keeps none."""


class Reply(Shown):
    """What every reply has. ``response_code`` 0 means approved; anything else is in ``response_message``."""

    __slots__ = ()

    function_code: int
    response_code: int
    response_message: str | None
    extra: Mapping[str, Any]

    @property
    def approved(self) -> bool:
        """Whether the terminal did what was asked. A reply of function code 0 is never an approval."""
        return self.function_code != 0 and self.response_code == 0

    @property
    def recovered(self) -> bool:
        """Whether it was read back from the journal: it is the result of an earlier call."""
        return isinstance(self.extra, Restored)


def _succeeded(reply: VoidReply | CloseBatchReply) -> bool:
    """Whether ``Success`` does not speak against it.

    One that is neither true nor false is left in ``extra``; so is that of a record which was told under another code.
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
    """A reply whose function code has no type of its own, function code 0 (the terminal's own error) among them."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Voucher(Shown):
    """One recorded operation: a row of a details report, and the body of every money reply."""

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
    """What all money replies share."""

    function_code: int = integer()
    response_code: int = integer()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SaleReply(VoucherReply):
    """The answer to a sale (100)."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class LastVoucherReply(VoucherReply):
    """The answer to a last-voucher question (101). ``approved`` speaks of the question's own response code."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class DuplicateReply(VoucherReply):
    """The answer to a request for a copy of a voucher (109)."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class VoidReply(VoucherReply):
    """The answer to a void (102), which Getnet's own libraries call *Refund*."""

    success: bool | None = boolean()

    @property
    def approved(self) -> bool:
        """Whether the void was done: response code 0, and a ``Success`` that is true where it was sent."""
        return self.function_code != 0 and self.response_code == 0 and _succeeded(self)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class RefundReply(VoidReply):
    """The answer to a refund (108), which Getnet's own libraries call *Return*."""

    date_time: str | None = text()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class PreAuthorizationReply(VoucherReply):
    """The answer to a pre-authorization (docs/assumptions.md: its shape is our assumption)."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class PreAuthorizationCompletionReply(VoucherReply):
    """The answer to the completion of a pre-authorization (docs/assumptions.md)."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class PreAuthorizationReleaseReply(VoidReply):
    """The answer to the release of a pre-authorization (docs/assumptions.md)."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class MultiCommerceSaleReply(VoucherReply):
    """The answer to a sale for a child merchant (120)."""

    host_rrn: str | None = text("HostRRN")
    mti: str | None = text()
    de11: str | None = text("DE11")
    de12: str | None = text("DE12")
    de13: str | None = text("DE13")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class MultiCommerceVoidReply(VoidReply):
    """The answer to a void for a child merchant (122)."""

    host_rrn: str | None = text("HostRRN")
    mti: str | None = text()
    de11: str | None = text("DE11")
    de12: str | None = text("DE12")
    de13: str | None = text("DE13")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class MultiCommerceRefundReply(RefundReply):
    """The answer to a refund for a child merchant (123)."""

    host_rrn: str | None = text("HostRRN")
    mti: str | None = text()
    de11: str | None = text("DE11")
    de12: str | None = text("DE12")
    de13: str | None = text("DE13")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class CloseBatchReply(_Header):
    """The answer to the close of the day's batch (103)."""

    commerce_code: int | None = integer()
    terminal_id: str | None = text("Terminalld")
    success: bool | None = boolean()

    @property
    def approved(self) -> bool:
        """Whether the batch was closed: response code 0, and ``Success`` not false, or not understood, where it was
        sent.
        """
        return self.function_code != 0 and self.response_code == 0 and _succeeded(self)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class TotalsReply(_Header):
    """The totals of the open batch (104): a count and an amount for each way of paying."""

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

    ``details_text`` is set instead of ``sale_details`` by the simplified wire, whose format is not public.
    """

    sale_details: tuple[Voucher, ...] = rows(Voucher)
    details_text: str | None = text()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class PollReply(_Header):
    """The answer to a poll (106)."""

    connected: bool | None = boolean()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class NormalModeReply(_Header):
    """The answer to leaving the integrated mode (107)."""

    change_to_normal_mode: bool | None = boolean()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SellerSale(Shown):
    """A row of the sales-by-seller report."""

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
    """The sales of one employee (110)."""

    sale_details: tuple[SellerSale, ...] = rows(SellerSale)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class TipTotal(Shown):
    """A row of the tip report."""

    employee_id: int | None = integer()
    tx: int | None = integer()
    sales: int | None = integer()
    tips: int | None = integer()
    extra: Mapping[str, Any] = _extra()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class TipsReply(_Header):
    """The tips by employee (111)."""

    tip_report: tuple[TipTotal, ...] = rows(TipTotal)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class DefaultSaleTypeReply(_Header):
    """The answer to setting the default sale type (113)."""

    sale_type: SaleType | int | None = sale_type()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ParametersReply(_Header):
    """The terminal's parameters (114)."""

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
    """The state of the SIM and the mobile network (115)."""

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
    """The answer to the cancellation of the sale in progress (116). The sale's own reply says what became of it."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class MainPosDataReply(_Header):
    """Who the terminal belongs to (124)."""

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
