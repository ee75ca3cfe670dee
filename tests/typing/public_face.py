"""What a type checker sees of the public face. Checked by mypy and pyright; nothing here is run."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from typing_extensions import assert_type

from getnet_pos import (
    AsyncConnector,
    CloseBatchReply,
    Connector,
    DeadlineExceeded,
    DefaultSaleTypeReply,
    DetailsReply,
    DuplicateReply,
    IntentState,
    KeyPos,
    MainPosData,
    MainPosDataReply,
    MalformedResponse,
    NormalModeReply,
    OutcomeUnknown,
    ParametersReply,
    Polled,
    PreAuthorizationCodes,
    PreAuthorizationCompletionReply,
    PreAuthorizationReleaseReply,
    PreAuthorizationReply,
    Profile,
    Progress,
    ProgressCode,
    RateLimited,
    Recovery,
    RefundReply,
    Reply,
    ReportKind,
    SaleReply,
    SalesBySellerReply,
    SaleType,
    SealedCommand,
    SellerSale,
    SimReply,
    Timeouts,
    TipsReply,
    TipTotal,
    TotalsReply,
    TransportError,
    VoidReply,
    Voucher,
    VoucherReply,
    Wire,
    codec,
)
from getnet_pos.cloud import CloudAccount, CloudSettings
from getnet_pos.observer import Event, IntentRecorded, LinkDown, Operation, OperationEnded, Outcome
from getnet_pos.otel import OtelObserver
from getnet_pos.reconciliation import Reconciliation


def watch(event: Event) -> None:
    assert_type(event.operation, Operation)
    match event:
        case OperationEnded(outcome=outcome, seconds=seconds, error=error):
            assert_type((outcome, seconds, error), tuple[Outcome, float, str | None])
        case IntentRecorded(state=state, seconds=waited):
            assert_type((state, waited), tuple[IntentState, float | None])
        case LinkDown(error=error):
            assert_type(error, str | None)
        case _:
            pass


def create() -> None:
    assert_type(Connector.create_usb(), Connector)
    assert_type(Connector.create_usb("COM3", baudrate=9600, wire=Wire.SIMPLIFIED, journal=None), Connector)
    assert_type(
        Connector.create_usb("COM3", profile=Profile.CHILE, timeouts=Timeouts(sale=60), journal="j.sqlite3"), Connector
    )
    assert_type(AsyncConnector.create_usb(), AsyncConnector)
    assert_type(Connector.create_usb("COM3", observer=watch), Connector)
    assert_type(AsyncConnector.create_tcp("pos", 3000, observer=print), AsyncConnector)
    Connector.create_usb(observer="print")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Connector.create_usb(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Connector.create_usb(profile="cl")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def through_a_cloud(account: CloudAccount, key_pos: KeyPos) -> None:
    assert_type(Connector.create_cloud("https://api.test", key_pos=key_pos, client_id="a", api_key=None), Connector)
    assert_type(Connector.create_cloud(account, key_pos=key_pos, webhook="https://shop.test"), Connector)
    assert_type(Connector.create_cloud(account, key_pos=key_pos, observer=OtelObserver()), Connector)
    assert_type(Connector.create_cloud("https://api.test", key_pos=key_pos, verify="ca.pem"), Connector)
    assert_type(account.list_terminals(), list[KeyPos])
    assert_type(account.settings, CloudSettings)
    CloudAccount("https://api.test", client_id=7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    CloudAccount("https://api.test", client="a")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def blocking(connector: Connector, any_report: ReportKind, listener: list[Progress]) -> None:
    with connector as pos:
        assert_type(pos, Connector)
        assert_type(pos.polling(), Polled)
        assert_type(pos.sale(25_000), SaleReply)
        assert_type(pos.sale(Decimal("1.50"), ticket="A1", sale_type=3, on_progress=listener.append), SaleReply)
        assert_type(pos.sale(1, on_progress=print, timeout=60), SaleReply)
        assert_type(pos.void(1), VoidReply)
        assert_type(pos.refund("123456", 1), RefundReply)
        assert_type(pos.pre_authorization(1), PreAuthorizationReply)
        assert_type(pos.complete_pre_authorization("123456", 1), PreAuthorizationCompletionReply)
        assert_type(pos.release_pre_authorization("123456"), PreAuthorizationReleaseReply)
        assert_type(pos.cancel_sale(), Reply | None)
        assert_type(pos.last_voucher(), VoucherReply)
        assert_type(pos.duplicate(1), DuplicateReply)
        assert_type(pos.close_batch(), CloseBatchReply)
        assert_type(pos.get_reports(ReportKind.TOTALS), TotalsReply)
        assert_type(pos.get_reports(ReportKind.DETAILS), DetailsReply)
        assert_type(pos.get_reports(ReportKind.SALES_BY_SELLER, employee_id=7), SalesBySellerReply)
        assert_type(pos.get_reports(ReportKind.TIPS), TipsReply)
        assert_type(pos.get_reports(ReportKind.PARAMETERS, print_on_pos=True), ParametersReply)
        assert_type(pos.get_reports(ReportKind.SIM), SimReply)
        assert_type(pos.get_reports(ReportKind.SHIFT), Reply)
        assert_type(pos.get_reports(any_report), Reply)
        assert_type(pos.set_default_sale_type(SaleType.SALE), DefaultSaleTypeReply)
        assert_type(pos.set_normal_mode(), NormalModeReply)
        assert_type(pos.request(MainPosData()), MainPosDataReply)
        assert_type(pos.recover(), Recovery)
        assert_type(pos.reconcile(), Reconciliation)
        pos.sale(1.5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        pos.sale("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        pos.sale(1, "A1")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        pos.get_reports("totals")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


async def awaited(connector: AsyncConnector, any_report: ReportKind) -> None:
    assert_type(await connector, AsyncConnector)

    async def listen(progress: Progress) -> None: ...

    async with connector as pos:
        assert_type(pos, AsyncConnector)
        assert_type(await pos.polling(), Polled)
        assert_type(await pos.sale(25_000, on_progress=listen), SaleReply)
        assert_type(await pos.void(1), VoidReply)
        assert_type(await pos.refund("123456", 1), RefundReply)
        assert_type(await pos.pre_authorization(1), PreAuthorizationReply)
        assert_type(await pos.complete_pre_authorization("123456", 1), PreAuthorizationCompletionReply)
        assert_type(await pos.release_pre_authorization("123456"), PreAuthorizationReleaseReply)
        assert_type(await pos.cancel_sale(), Reply | None)
        assert_type(await pos.last_voucher(), VoucherReply)
        assert_type(await pos.duplicate(1), DuplicateReply)
        assert_type(await pos.close_batch(), CloseBatchReply)
        assert_type(await pos.get_reports(ReportKind.TOTALS), TotalsReply)
        assert_type(await pos.get_reports(ReportKind.DETAILS), DetailsReply)
        assert_type(await pos.get_reports(ReportKind.SALES_BY_SELLER), SalesBySellerReply)
        assert_type(await pos.get_reports(ReportKind.TIPS), TipsReply)
        assert_type(await pos.get_reports(ReportKind.PARAMETERS), ParametersReply)
        assert_type(await pos.get_reports(ReportKind.SIM), SimReply)
        assert_type(await pos.get_reports(any_report), Reply)
        assert_type(await pos.set_default_sale_type(3), DefaultSaleTypeReply)
        assert_type(await pos.set_normal_mode(), NormalModeReply)
        assert_type(await pos.request(MainPosData(), timeout=5), MainPosDataReply)
        sealed: SealedCommand[SaleReply] = codec.unseal(b"")
        assert_type(await pos.request(sealed, on_frame=lambda message, frame: None, leave_by=1.0), SaleReply)
        assert_type(await pos.recover(), Recovery)
        assert_type(await pos.reconcile(), Reconciliation)


def results(sale: SaleReply, details: DetailsReply, sellers: SalesBySellerReply, tips: TipsReply) -> None:
    assert_type(sale.approved, bool)
    assert_type(sale.response_code, int)
    assert_type(sale.amount, int | None)
    assert_type(sale.authorization_code, str | None)
    assert_type(sale.operation_id, int | None)
    assert_type(sale.last4_digits, str | None)
    assert_type(sale.sale_type, SaleType | int | None)
    assert_type(sale.extra, Mapping[str, Any])
    assert_type(details.sale_details, tuple[Voucher, ...])
    assert_type(sellers.sale_details, tuple[SellerSale, ...])
    assert_type(tips.tip_report, tuple[TipTotal, ...])
    sale.amount = 5  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


def other_values(progress: Progress, profile: Profile) -> None:
    assert_type(progress.code, ProgressCode | int | None)
    assert_type(progress.text, str)
    assert_type(profile.amount_exponent, int | None)
    assert_type(profile.pre_authorization, PreAuthorizationCodes | None)
    assert_type(Profile.CHILE, Profile)
    assert_type(Timeouts().sale, float)


def errors(unknown: OutcomeUnknown, link: TransportError, limited: RateLimited, odd: MalformedResponse) -> None:
    assert_type(unknown.intent_id, str)
    assert_type(link.bytes_written, int)
    assert_type(limited.status, int | None)
    assert_type(limited.code, str | None)
    assert_type(limited.log_id, str | None)
    assert_type(limited.retry_after, float | None)
    assert_type(odd.item, int | None)
    assert_type(odd.field, str | None)
    try:
        raise DeadlineExceeded("too late")
    except TimeoutError as error:
        assert_type(error, TimeoutError)
