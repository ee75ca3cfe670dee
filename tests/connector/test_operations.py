"""What each operation sends, and the typed result it gives, with both connectors."""

from __future__ import annotations

import dataclasses
import warnings
from decimal import Decimal, localcontext
from typing import Any

import pytest

from getnet_pos import (
    CancelReply,
    CloseBatchReply,
    ConfigurationError,
    Connector,
    DefaultSaleTypeReply,
    DetailsReply,
    DuplicateReply,
    GenericCommand,
    GenericReply,
    InvalidType,
    InvalidValue,
    LastVoucher,
    LastVoucherReply,
    MainPosData,
    MainPosDataReply,
    MultiCommerceRefund,
    MultiCommerceRefundReply,
    MultiCommerceSale,
    MultiCommerceSaleReply,
    MultiCommerceVoid,
    MultiCommerceVoidReply,
    NormalModeReply,
    OriginalData,
    ParametersReply,
    Polled,
    PreAuthorizationCodes,
    PreAuthorizationCompletionReply,
    PreAuthorizationReleaseReply,
    PreAuthorizationReply,
    Profile,
    ProvisionalCommandWarning,
    RefundReply,
    ReportKind,
    SaleReply,
    SalesBySellerReply,
    SaleType,
    SimReply,
    TipsReply,
    TotalsReply,
    UnsupportedOperation,
    VoidReply,
)
from getnet_pos.simulator import Behaviour, Outcome, SerialServer

from .conftest import Connect, Serve


def sent(server: SerialServer, code: int) -> dict[str, Any]:
    """The fields of the last command of ``code``, its time left out."""
    fields = next(dict(command.fields) for command in reversed(server.terminal.commands) if command.code == code)
    del fields["DateTime"]
    return fields


async def test_a_day(ready: Connect, serve: Serve) -> None:
    server = serve()
    ledger = server.terminal.ledger
    async with ready(server.device) as pos:
        poll = await pos.polling()
        assert type(poll) is Polled
        assert poll.connected is True

        sale = await pos.sale(25_000, ticket="A1234")
        assert type(sale) is SaleReply
        assert (sale.approved, sale.amount, sale.ticket, sale.last4_digits) == (True, 25_000, "A1234", "0042")

        last = await pos.last_voucher()
        assert type(last) is SaleReply  # under the recorded operation's own code
        assert (last.authorization_code, last.last4_digits) == (sale.authorization_code, "0042")

        copy = await pos.duplicate(sale.operation_id)
        assert type(copy) is DuplicateReply
        assert (copy.ticket, copy.last4_digits) == ("A1234", "0042")

        void = await pos.void(sale.operation_id)
        assert type(void) is VoidReply
        assert (void.approved, void.success, ledger.balance()) == (True, True, 0)

        other = await pos.sale(8_000, ticket="A1235")
        refund = await pos.refund(other.authorization_code, 3_000)
        assert type(refund) is RefundReply
        assert (refund.approved, ledger.balance()) == (True, 5_000)

        totals = await pos.get_reports(ReportKind.TOTALS)
        assert type(totals) is TotalsReply
        assert (totals.tx_count, totals.tx_total, totals.count_returns) == (4, 5_000, 1)

        details = await pos.get_reports(ReportKind.DETAILS)
        assert type(details) is DetailsReply
        assert [row.ticket for row in details.sale_details] == ["A1234", "A1234", "A1235", "A1235"]

        closed = await pos.close_batch()
        assert type(closed) is CloseBatchReply
        assert closed.approved
        assert ledger.closed[0].total == 5_000

        assert await pos.recover() == []


async def test_every_report(ready: Connect, serve: Serve) -> None:
    server = serve(script=[Behaviour(tip=300)])
    async with ready(server.device) as pos:
        await pos.sale(5_000, ticket="A1", employee_id=7)

        sellers = await pos.get_reports(ReportKind.SALES_BY_SELLER, employee_id=7)
        assert type(sellers) is SalesBySellerReply
        assert [(row.employee_id, row.amount) for row in sellers.sale_details] == [(7, 5_000)]
        assert sent(server, 110) == {"EmployeeId": 7, "PrintOnPos": False}

        tips = await pos.get_reports(ReportKind.TIPS, employee_id=7, print_on_pos=True)
        assert type(tips) is TipsReply
        assert [(row.employee_id, row.tips) for row in tips.tip_report] == [(7, 300)]
        assert sent(server, 111) == {"EmployeeId": 7, "PrintOnPos": True}

        parameters = await pos.get_reports(ReportKind.PARAMETERS)
        assert type(parameters) is ParametersReply
        assert parameters.terminal_id == "80005000"

        sim = await pos.get_reports(ReportKind.SIM)
        assert type(sim) is SimReply
        assert sim.battery_percentage == 87

        with pytest.raises(UnsupportedOperation, match="ShiftReport"):
            await pos.get_reports(ReportKind.SHIFT)
        with pytest.raises(ConfigurationError, match=r"ReportKind\.TOTALS"):
            await pos.get_reports("totals")


async def test_modes_and_other_commands(ready: Connect, serve: Serve) -> None:
    server = serve()
    async with ready(server.device) as pos:
        default = await pos.set_default_sale_type(SaleType.SALE_EXEMPTED)
        assert type(default) is DefaultSaleTypeReply
        assert default.sale_type is SaleType.SALE_EXEMPTED

        owner = await pos.request(MainPosData())
        assert type(owner) is MainPosDataReply
        assert owner.commerce_rut == "76000000-0"

        normal = await pos.set_normal_mode()
        assert type(normal) is NormalModeReply
        assert normal.change_to_normal_mode is True

        with pytest.raises(InvalidType, match="Poll"):
            await pos.request("poll")


async def test_operations_of_a_child_merchant(ready: Connect, serve: Serve) -> None:
    server = serve()
    rut = "12345678-5"
    seen: list[Any] = []
    async with ready(server.device) as pos:
        sale = await pos.request(MultiCommerceSale(9_000, rut, send_message=True), on_progress=seen.append)
        assert isinstance(sale, MultiCommerceSaleReply)
        assert sale.approved
        assert len(seen) == 3
        original = OriginalData(sale.mti or "", sale.de11 or "", sale.de12 or "", sale.de13 or "")
        annulled = MultiCommerceVoid(9_000, sale.operation_id or 0, rut, sale.host_rrn or "", original)
        void = await pos.request(annulled)
        assert type(void) is MultiCommerceVoidReply
        assert void.approved

        sale = await pos.request(MultiCommerceSale(4_000, rut))
        refund = await pos.request(MultiCommerceRefund(4_000, sale.authorization_code, rut))
        assert type(refund) is MultiCommerceRefundReply
        assert refund.approved
    assert server.terminal.ledger.balance() == 0


async def test_a_command_that_the_library_does_not_know(ready: Connect, serve: Serve) -> None:
    server = serve(answers={140: Behaviour(change={"FunctionCode": 140, "ResponseCode": 0, "Answer": 42})})
    async with ready(server.device) as pos:
        reply = await pos.request(GenericCommand({"Question": "?"}, code=140, moves_money=False))
        assert type(reply) is GenericReply
        assert (reply.approved, reply.extra) == (True, {"Answer": 42})
        assert sent(server, 140) == {"Question": "?"}


async def test_the_last_voucher_by_its_code_alone(ready: Connect, serve: Serve) -> None:
    """The terminal replies under the code of the recorded operation, whichever type asked."""
    server = serve()
    async with ready(server.device) as pos:
        sale = await pos.sale(1_000, ticket="A1")
        reply = await pos.request(GenericCommand(code=LastVoucher.code, moves_money=False), timeout=5.0)
        assert (reply.function_code, reply.authorization_code) == (100, sale.authorization_code)


async def test_what_a_sale_sends(ready: Connect, serve: Serve) -> None:
    server = serve()
    async with ready(server.device) as pos:
        await pos.sale(
            1_000,
            ticket="A1",
            sale_type=SaleType.INVOICE_AFFECTS,
            print_on_pos=True,
            employee_id=9999,
            on_progress=print,
        )
        assert sent(server, 100) == {
            "Amount": 1_000,
            "TicketNumber": "A1",
            "PrintOnPos": True,
            "SaleType": 2,
            "SendMessage": True,
            "EmployeeId": 9999,
        }
        await pos.sale(999_999_999, ticket="x" * 24, sale_type=42, employee_id=None)
        assert sent(server, 100) == {
            "Amount": 999_999_999,
            "TicketNumber": "x" * 24,
            "PrintOnPos": False,
            "SaleType": 42,
            "SendMessage": False,
        }


async def test_a_ticket_is_made_where_none_is_given(ready: Connect, serve: Serve) -> None:
    async with ready(serve().device) as pos:
        tickets = {(await pos.sale(1_000)).ticket for _ in range(3)}
    assert len(tickets) == 3
    assert all(len(ticket) == 10 and ticket.isalnum() and ticket == ticket.upper() for ticket in tickets)


# --------------------------------------------------------------------------------------------------- a declined card


async def test_a_declined_card_is_a_result(ready: Connect, serve: Serve) -> None:
    refused = [Behaviour(outcome=way) for way in (Outcome.DECLINE, Outcome.CANCEL, Outcome.TIME_OUT)]
    server = serve(script=refused)
    async with ready(server.device) as pos:
        replies = [await pos.sale(1_000, ticket="A1") for _ in refused]
        assert [(reply.approved, reply.response_code) for reply in replies] == [
            (False, 2001),
            (False, 1006),
            (False, 1006),
        ]
        assert replies[1].response_message == "Operacion Cancelada"
        assert (await pos.sale(1_000, ticket="A1")).approved
    assert server.terminal.ledger.charged() == 1_000


async def test_a_refusal_without_amount_and_ticket_is_one_too(ready: Connect, serve: Serve) -> None:
    empty = Behaviour(outcome=Outcome.DECLINE, change={"Amount": 0, "Ticket": ""})
    bare = Behaviour(outcome=Outcome.DECLINE, omit=("Amount", "Ticket", "OperationId"))
    async with ready(serve(script=[empty, bare]).device) as pos:
        assert not (await pos.sale(1_000, ticket="A1")).approved
        assert not (await pos.sale(1_000, ticket="A2")).approved


async def test_what_cannot_be_undone_is_declined(ready: Connect, serve: Serve) -> None:
    async with ready(serve().device) as pos:
        assert not (await pos.void(77)).approved
        assert not (await pos.refund("000000", 1_000)).approved
        assert not (await pos.duplicate(77)).approved


async def test_a_void_that_says_no_success_is_not_approved(ready: Connect, serve: Serve) -> None:
    async with ready(serve(script=[Behaviour(), Behaviour(change={"Success": False})]).device) as pos:
        sale = await pos.sale(1_000)
        void = await pos.void(sale.operation_id)
        assert (void.response_code, void.success, void.approved) == (0, False, False)


async def test_the_last_voucher_of_a_terminal_without_any(ready: Connect, serve: Serve) -> None:
    async with ready(serve().device) as pos:
        last = await pos.last_voucher(print_on_pos=True)
        assert type(last) is LastVoucherReply
        assert not last.approved


async def test_a_cancellation_with_no_sale_in_progress_is_asked_all_the_same(ready: Connect, serve: Serve) -> None:
    async with ready(serve().device) as pos:
        answer = await pos.cancel_sale()
        assert type(answer) is CancelReply
        assert (answer.approved, answer.response_message) == (False, "No hay venta en curso")


# ----------------------------------------------------------------------------------------------------------- amounts


@pytest.mark.parametrize(
    ("profile", "amount", "units"),
    [
        (Profile.CHILE, Decimal("5200"), 5_200),
        (Profile.CHILE, Decimal("5200.00"), 5_200),
        (Profile.ARGENTINA, Decimal("250"), 25_000),
        (Profile.ARGENTINA, Decimal("1234.56"), 123_456),
        (Profile.ARGENTINA, 25_000, 25_000),
    ],
)
async def test_a_decimal_is_scaled_by_the_profile(
    ready: Connect, serve: Serve, profile: Profile, amount: Any, units: int
) -> None:
    server = serve()
    async with ready(server.device, profile=profile) as pos:
        sale = await pos.sale(amount)
        assert sale.amount == units
        assert (await pos.refund(sale.authorization_code, amount)).approved
    assert server.terminal.ledger.returned() == units


async def test_a_decimal_without_a_scale_is_refused(ready: Connect, serve: Serve) -> None:
    async with ready(serve().device) as pos:
        with pytest.raises(InvalidValue, match=r"Profile\.CHILE"):
            await pos.sale(Decimal(10))


WRONG: list[tuple[str, tuple[Any, ...], dict[str, Any], type[Exception], str]] = [
    ("sale", (10.0,), {}, InvalidType, "amount must be an int"),
    ("sale", (True,), {}, InvalidType, "amount must be an int"),
    ("sale", (None,), {}, InvalidType, "amount must be an int"),
    ("sale", ("10",), {}, InvalidType, "amount must be an int"),
    ("sale", (0,), {}, InvalidValue, "amount must be from 1"),
    ("sale", (-5,), {}, InvalidValue, "amount must be from 1"),
    ("sale", (1_000_000_000,), {}, InvalidValue, "amount must be from 1 to 999999999"),
    ("sale", (10**30,), {}, InvalidValue, "more than 20 digits"),
    ("sale", (Decimal("0.5"),), {}, InvalidValue, "more decimals than the 0"),
    ("sale", (1,), {"ticket": ""}, InvalidValue, "ticket must have from 1 to 24"),
    ("sale", (1,), {"ticket": "x" * 25}, InvalidValue, "ticket must have from 1 to 24"),
    ("sale", (1,), {"ticket": 12}, InvalidType, "ticket must be text"),
    ("sale", (1,), {"ticket": "a\nb"}, InvalidValue, "control characters"),
    ("sale", (1,), {"employee_id": 0}, InvalidValue, "employee_id must be from 1 to 9999"),
    ("sale", (1,), {"employee_id": 10_000}, InvalidValue, "employee_id must be from 1 to 9999"),
    ("sale", (1,), {"employee_id": "1"}, InvalidType, "employee_id must be an int"),
    ("sale", (1,), {"sale_type": -1}, InvalidValue, "sale_type"),
    ("sale", (1,), {"print_on_pos": 1}, InvalidType, "print_on_pos must be True or False"),
    ("sale", (1,), {"timeout": 0}, InvalidValue, "timeout must be more than 0"),
    ("sale", (1,), {"timeout": -1}, InvalidValue, "timeout must be more than 0"),
    ("sale", (1,), {"timeout": float("nan")}, InvalidValue, "timeout must be more than 0"),
    ("sale", (1,), {"timeout": float("inf")}, InvalidValue, "timeout must be more than 0"),
    ("sale", (1,), {"timeout": "60"}, InvalidType, "timeout must be a number"),
    ("refund", ("123", 1), {}, InvalidValue, "authorization_code must have from 4 to 20"),
    ("refund", ("1" * 21, 1), {}, InvalidValue, "authorization_code must have from 4 to 20"),
    ("refund", (123456, 1), {}, InvalidType, "authorization_code must be text"),
    ("refund", ("123456", 0), {}, InvalidValue, "amount must be from 1"),
    ("void", (0,), {}, InvalidValue, "operation_id must be from 1 to 99999999"),
    ("void", (100_000_000,), {}, InvalidValue, "operation_id must be from 1 to 99999999"),
    ("void", ("1",), {}, InvalidType, "operation_id must be an int"),
    ("duplicate", (0,), {}, InvalidValue, "operation_id"),
    ("get_reports", (ReportKind.TIPS,), {"employee_id": 0}, InvalidValue, "employee_id"),
    ("set_default_sale_type", (100,), {}, InvalidValue, "sale_type"),
    ("request", (MainPosData(),), {"timeout": 0}, InvalidValue, "timeout"),
    ("request", (GenericCommand({"Field": object()}, code=200),), {}, InvalidValue, "cannot be written as JSON"),
]


async def test_a_value_that_cannot_be_meant_is_refused_before_anything_is_sent(ready: Connect, serve: Serve) -> None:
    server = serve()
    async with ready(server.device, profile=Profile.CHILE) as pos:
        before = len(server.terminal.commands)
        for operation, values, options, error, words in WRONG:
            with pytest.raises(error, match=words) as caught:
                await getattr(pos, operation)(*values, **options)
            assert isinstance(caught.value, ValueError)
        assert len(server.terminal.commands) == before
        assert (await pos.sale(1_000)).approved  # and nothing is left behind


def test_the_context_of_decimals_does_not_touch_an_amount(serve: Serve) -> None:
    with Connector.create_usb(serve().device, profile=Profile.ARGENTINA) as pos, localcontext() as context:
        context.prec = 3
        pos.polling()
        assert pos.sale(Decimal("12345.67")).amount == 1_234_567


# ----------------------------------------------------------------------------------------------- pre-authorization


async def test_pre_authorization_warns_of_its_provisional_codes(ready: Connect, serve: Serve) -> None:
    server = serve()
    ledger = server.terminal.ledger
    async with ready(server.device) as pos:
        with pytest.warns(ProvisionalCommandWarning, match="Getnet has published none"):
            hold = await pos.pre_authorization(50_000, ticket="H1")
        assert type(hold) is PreAuthorizationReply
        assert (hold.approved, ledger.held(), ledger.charged()) == (True, 50_000, 0)

        with pytest.warns(ProvisionalCommandWarning):
            completion = await pos.complete_pre_authorization(hold.authorization_code, 30_000)
        assert type(completion) is PreAuthorizationCompletionReply
        assert (completion.approved, ledger.held(), ledger.charged()) == (True, 0, 30_000)

        with pytest.warns(ProvisionalCommandWarning):
            hold = await pos.pre_authorization(20_000, on_progress=print)
        with pytest.warns(ProvisionalCommandWarning):
            release = await pos.release_pre_authorization(hold.authorization_code)
        assert type(release) is PreAuthorizationReleaseReply
        assert (release.approved, ledger.held(), ledger.charged()) == (True, 0, 30_000)
    assert [command.code for command in server.terminal.commands if command.code > 120] == [130, 131, 130, 132]


def test_the_warning_points_at_the_caller(serve: Serve) -> None:
    with Connector.create_usb(serve().device) as pos:
        pos.polling()
        with pytest.warns(ProvisionalCommandWarning) as caught:
            pos.pre_authorization(1_000)
        assert caught[0].filename == __file__


async def test_countries_refuse_pre_authorization_until_codes_are_set(ready: Connect, serve: Serve) -> None:
    for country in (Profile.CHILE, Profile.ARGENTINA):
        async with ready(serve().device, profile=country) as pos:
            for operation, values in {
                "pre_authorization": (1_000,),
                "complete_pre_authorization": ("123456", 1_000),
                "release_pre_authorization": ("123456",),
            }.items():
                with pytest.raises(UnsupportedOperation, match=r"set Profile\.pre_authorization"):
                    await getattr(pos, operation)(*values)


async def test_own_codes_do_not_warn(ready: Connect, serve: Serve) -> None:
    profile = dataclasses.replace(Profile.CHILE, pre_authorization=PreAuthorizationCodes(130, 131, 132))
    server = serve()
    async with ready(server.device, profile=profile) as pos:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            hold = await pos.pre_authorization(Decimal(50_000))
            assert (await pos.complete_pre_authorization(hold.authorization_code, Decimal(50_000))).approved
    assert server.terminal.ledger.charged() == 50_000


async def test_replies_under_own_codes_have_the_types_of_the_family(ready: Connect, serve: Serve) -> None:
    profile = dataclasses.replace(Profile.CHILE, pre_authorization=PreAuthorizationCodes(140, 141, 142))
    held = {"FunctionCode": 140, "ResponseCode": 0, "Amount": 1_000, "AuthorizationCode": "112233"}
    async with ready(serve(answers={140: Behaviour(change=held)}).device, profile=profile) as pos:
        hold = await pos.pre_authorization(1_000)
        assert type(hold) is PreAuthorizationReply
        assert (hold.approved, hold.authorization_code) == (True, "112233")
