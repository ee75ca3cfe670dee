"""However a reply is written, it gives the same result; and what cannot be believed is never an approval."""

from __future__ import annotations

import dataclasses
import math
import time
from typing import Any

import pytest

from getnet_pos import (
    CloseBatchReply,
    DeadlineExceeded,
    DetailsReply,
    DuplicateReply,
    IntentState,
    MainPosData,
    MultiCommerceSale,
    NotAccepted,
    OutcomeUnknown,
    Progress,
    ProvisionalCommandWarning,
    RefundReply,
    ReportKind,
    SaleReply,
    SaleType,
    SignatureMismatch,
    SqliteJournal,
    UnexpectedReply,
    UnsupportedOperation,
    VoidReply,
    Wire,
)
from getnet_pos.simulator import Behaviour, Direction, Fault, FaultKind, Outcome, Serialized, VirtualTerminal

from .conftest import QUICK, Connect, Serve

MANNERS: dict[str, Behaviour] = {
    "plain": Behaviour(),
    "all in one read": Behaviour(coalesce=True),
    "one byte at a time": Behaviour(fragment=1),
    "seven bytes at a time, slowly": Behaviour(fragment=7, fragment_every=0.0003),
    "with line ends": Behaviour(crlf=True),
    "with noise before each frame": Behaviour(noise=40),
    "in camelCase": Behaviour(camel_case=True),
    "the text as an object": Behaviour(serialized=Serialized.OBJECT),
    "the text twice encoded": Behaviour(serialized=Serialized.DOUBLE),
    "without acknowledgement": Behaviour(acknowledge=None),
    "the reply twice": Behaviour(duplicate=True),
    "the reply again and again": Behaviour(resends=3, resend_after=0.01),
    "all of it": Behaviour(
        coalesce=True, fragment=3, crlf=True, noise=15, camel_case=True, serialized=Serialized.DOUBLE, duplicate=True
    ),
}


@pytest.mark.parametrize("manner", MANNERS)
async def test_every_manner_of_writing_gives_the_same_result(ready: Connect, serve: Serve, manner: str) -> None:
    server = serve(default=MANNERS[manner], seed=0)
    told: list[Progress] = []
    async with ready(server.device) as pos:
        sale = await pos.sale(25_000, ticket="A1", on_progress=told.append)
        assert (await pos.polling()).connected
        again = await pos.sale(25_000, ticket="A2")
    assert type(sale) is SaleReply
    assert (sale.approved, sale.amount, sale.ticket, sale.operation_id) == (True, 25_000, "A1", 1)
    assert (again.approved, again.ticket, again.operation_id) == (True, "A2", 2)
    assert [progress.code for progress in told] == [78, 81, 82]
    assert sale == dataclasses.replace(
        PLAIN, real_date=sale.real_date, accounting_date=sale.accounting_date, trans_token=sale.trans_token
    )
    assert server.terminal.ledger.charged() == 50_000


PLAIN = SaleReply(
    function_code=100, response_code=0, response_message="Aprobado", commerce_code=12983, terminal_id="80005000",
    ticket="A1", authorization_code="021963", amount=25_000, shares_number=0, shares_amount=0, last4_digits="0042",
    operation_id=1, card_type="DB", account_number="", card_brand="VI", employee_id=1, tip=0, sale_type=0, pos_mode=1,
    cashback=0, expiry_date="3012", entry_mode="05", aid="A0000000031010", commerce_rut="76000000-0",
    commerce_name="Comercio de Prueba SpA", branch_name="Sucursal de Prueba", branch_address="Calle de Prueba 123",
    branch_district="Santiago", bin="40000012",
)  # fmt: skip


async def test_unknown_fields_and_values_of_another_kind_are_kept(ready: Connect, serve: Serve) -> None:
    odd = {"Weather": {"Santiago": "sunny"}, "Tip": "none", "SaleType": 77}
    async with ready(serve(script=[Behaviour(change=odd)]).device) as pos:
        sale = await pos.sale(1_000)
    assert sale.approved
    assert (sale.extra, sale.tip, sale.sale_type) == ({"Weather": {"Santiago": "sunny"}, "Tip": "none"}, None, 77)


async def test_a_late_reply_is_not_taken_for_that_of_this_sale(ready: Connect, serve: Serve) -> None:
    server = serve(script=[Behaviour(), Behaviour(late_reply=True, outcome=Outcome.DECLINE)])
    async with ready(server.device) as pos:
        assert (await pos.sale(1_000, ticket="A1")).approved
        assert not (await pos.sale(1_000, ticket="A2")).approved


# ------------------------------------------------------------------------------------------- what cannot be believed

DOUBTFUL: dict[str, Behaviour] = {
    "a wrong signature": Behaviour(wrong_signature=True),
    "a wrong amount": Behaviour(change={"Amount": 1}),
    "no amount": Behaviour(omit=("Amount",)),
    "function code 0": Behaviour(change={"FunctionCode": 0}),
    "function code 0 with an error's text": Behaviour(
        change={"FunctionCode": 0, "ResponseMessage": "Error durante el procesamiento"}
    ),
    "another function code": Behaviour(change={"FunctionCode": 106}),
    "no response code": Behaviour(omit=("ResponseCode",)),
    "no reply": Behaviour(reply_after=math.inf),
}
DEADLINE = QUICK.sale + QUICK.recovery + 1.0
MUTE: dict[int, Behaviour] = {101: Behaviour(outcome=Outcome.SILENT)}
"""A terminal that does not tell its last voucher."""


@pytest.mark.parametrize("doubt", DOUBTFUL)
async def test_a_doubt_is_settled_by_asking_the_terminal(ready: Connect, serve: Serve, doubt: str) -> None:
    server = serve(script=[DOUBTFUL[doubt]])
    async with ready(server.device, timeouts=dataclasses.replace(QUICK, sale=0.3)) as pos:
        begun = time.monotonic()
        sale = await pos.sale(25_000, ticket="A1")
        assert time.monotonic() - begun < DEADLINE
        assert type(sale) is SaleReply
        assert (sale.approved, sale.function_code, sale.amount, sale.operation_id) == (True, 100, 25_000, 1)
    assert server.terminal.ledger.charged() == 25_000
    assert [command.code for command in server.terminal.commands].count(100) == 1


@pytest.mark.parametrize("doubt", DOUBTFUL)
async def test_a_doubt_that_the_terminal_cannot_settle_is_unknown(
    ready: Connect, serve: Serve, doubt: str, journal_path: Any
) -> None:
    server = serve(script=[DOUBTFUL[doubt]])
    limits = dataclasses.replace(QUICK, sale=0.25, sale_total=0.5, report=0.2, recovery=0.2)
    async with ready(server.device, timeouts=limits) as pos:
        server.terminal.answers = MUTE
        begun = time.monotonic()
        with pytest.raises(OutcomeUnknown, match="do not repeat it") as caught:
            await pos.sale(25_000, ticket="A1")
        assert time.monotonic() - begun < DEADLINE
    assert [command.code for command in server.terminal.commands].count(100) == 1
    (intent,) = SqliteJournal(journal_path).intents()
    assert (intent.intent_id, intent.state) == (caught.value.intent_id, IntentState.UNKNOWN)


async def test_an_error_of_the_terminal_that_charged_nothing_is_not_an_approval(ready: Connect, serve: Serve) -> None:
    """Function code 0, response code 0: field terminals say this when nothing was charged."""
    lie = Behaviour(
        outcome=Outcome.DECLINE,
        change={"FunctionCode": 0, "ResponseCode": 0, "ResponseMessage": "Error durante el procesamiento"},
    )
    server = serve(script=[Behaviour(), lie])
    async with ready(server.device) as pos:
        assert (await pos.sale(25_000, ticket="A0")).approved
        with pytest.raises(OutcomeUnknown) as caught:
            await pos.sale(25_000, ticket="A1")
        assert isinstance(caught.value.__cause__, UnexpectedReply)
    assert server.terminal.ledger.charged() == 25_000


async def test_every_approval_that_is_damaged_on_its_way_is_the_truth_or_unknown(ready: Connect, serve: Serve) -> None:
    """One bit of one byte of the reply turned over, at places all along it."""
    server = serve()
    async with ready(server.device, timeouts=dataclasses.replace(QUICK, sale=0.3)) as pos:
        for number, byte in enumerate(range(1, 1_100, 275)):
            server.terminal.inject(Fault(FaultKind.CORRUPT, Direction.TO_REGISTER, message=1, byte=byte))
            sale = await pos.sale(1_000 + number, ticket=f"A{number}")
            assert (sale.approved, sale.amount, sale.ticket) == (True, 1_000 + number, f"A{number}")
    assert len(server.terminal.ledger.entries) == 4


async def test_a_declined_reply_that_nobody_got_is_unknown(ready: Connect, serve: Serve) -> None:
    server = serve(script=[Behaviour(outcome=Outcome.DECLINE, reply_after=math.inf)])
    async with ready(server.device, timeouts=dataclasses.replace(QUICK, sale=0.3, recovery=0.3)) as pos:
        with pytest.raises(OutcomeUnknown) as caught:
            await pos.sale(1_000)
        assert isinstance(caught.value.__cause__, DeadlineExceeded)


async def test_a_sale_that_was_not_accepted_is_unknown_until_the_terminal_says(ready: Connect, serve: Serve) -> None:
    server = serve(script=[Behaviour(acknowledge=False)])
    async with ready(server.device, timeouts=dataclasses.replace(QUICK, recovery=0.3)) as pos:
        with pytest.raises(OutcomeUnknown) as caught:
            await pos.sale(1_000)
        assert isinstance(caught.value.__cause__, NotAccepted)
    assert server.terminal.ledger.charged() == 0


# ------------------------------------------------------------------------------------------- questions, and deadlines


async def test_a_question_is_answered_with_an_error_of_its_own_kind(ready: Connect, serve: Serve) -> None:
    server = serve()
    async with ready(server.device) as pos:
        for behaviour, error in (
            (Behaviour(wrong_signature=True), SignatureMismatch),
            (Behaviour(acknowledge=False), NotAccepted),
            (Behaviour(change={"FunctionCode": 0}), UnexpectedReply),
            (Behaviour(echo=True, outcome=Outcome.SILENT, acknowledge=None), UnexpectedReply),
            (Behaviour(acknowledge=None, outcome=Outcome.SILENT), DeadlineExceeded),
        ):
            server.terminal.answers = {104: behaviour}
            with pytest.raises(error):
                await pos.get_reports(ReportKind.TOTALS)
            server.terminal.answers = {}
            assert (await pos.polling()).approved


@pytest.mark.parametrize(
    ("behaviour", "limit", "words"),
    [
        (Behaviour(acknowledge=None, outcome=Outcome.SILENT), QUICK.acknowledgement, "did not answer"),
        (Behaviour(outcome=Outcome.SILENT), QUICK.report, "did not reply in time"),
    ],
)
async def test_time_limits_are_kept(
    ready: Connect, serve: Serve, behaviour: Behaviour, limit: float, words: str
) -> None:
    server = serve(answers={105: behaviour})
    async with ready(server.device) as pos:
        begun = time.monotonic()
        with pytest.raises(DeadlineExceeded, match=words):
            await pos.get_reports(ReportKind.DETAILS)
        assert limit <= time.monotonic() - begun < limit + 1.0


async def test_a_timeout_of_its_own_is_kept(ready: Connect, serve: Serve) -> None:
    server = serve(answers={124: Behaviour(outcome=Outcome.SILENT), 101: Behaviour()})
    async with ready(server.device) as pos:
        begun = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            await pos.request(MainPosData(), timeout=0.2)
        assert 0.2 <= time.monotonic() - begun < QUICK.report
        server.terminal.script.append(Behaviour(outcome=Outcome.DECLINE, decide_after=math.inf))
        begun = time.monotonic()
        with pytest.raises(OutcomeUnknown):
            await pos.sale(1_000, timeout=0.2)
        assert time.monotonic() - begun < 0.2 + QUICK.recovery + 0.6


async def test_endless_progress_ends(ready: Connect, serve: Serve) -> None:
    server = serve(script=[Behaviour(progress=(78,) * 1_000, progress_every=0.05)])
    async with ready(server.device, timeouts=dataclasses.replace(QUICK, sale=0.3, sale_total=0.6, recovery=0.2)) as pos:
        begun = time.monotonic()
        with pytest.raises(OutcomeUnknown):
            await pos.sale(1_000, on_progress=lambda _: None)
        assert time.monotonic() - begun < 2.0


class Noisy(VirtualTerminal):
    """It writes what is in ``garbage`` before whatever else it writes."""

    def __init__(self) -> None:
        super().__init__()
        self.garbage: list[bytes] = []

    def take(self, now: float) -> list[bytes]:
        garbage, self.garbage = self.garbage, []
        return [*garbage, *super().take(now)]


async def test_a_port_that_never_falls_silent_does_not_hold_a_command_up(ready: Connect, serve: Serve) -> None:
    """Garbage of any kind between commands is passed over."""
    server = serve(Noisy())
    patient = dataclasses.replace(QUICK, acknowledgement=5.0, short=5.0, sale=10.0, sale_total=10.0)
    async with ready(server.device, timeouts=patient) as pos:
        for garbage in (b"\x00\xff" * 2_500, b"{" * 100_000, b'{"JsonSerialized":"' + b"x" * 2_000, b"\x02" * 50):
            server.terminal.garbage.append(garbage)
            assert (await pos.polling()).approved
            assert (await pos.sale(1_000)).approved


# -------------------------------------------------------------------------------------------------- the simplified wire


@pytest.mark.parametrize("manner", ["plain", "all in one read", "one byte at a time", "with line ends"])
async def test_the_simplified_wire(ready: Connect, serve: Serve, manner: str) -> None:
    server = serve(default=MANNERS[manner], seed=0)
    async with ready(server.device, wire=Wire.SIMPLIFIED) as pos:
        sale = await pos.sale(25_000, ticket="A1", on_progress=print)
        assert type(sale) is SaleReply
        assert (sale.approved, sale.amount, sale.last4_digits, sale.card_type) == (True, 25_000, "0042", "DB")
        copy = await pos.duplicate(sale.operation_id)
        assert type(copy) is DuplicateReply
        assert copy.authorization_code == sale.authorization_code
        details = await pos.get_reports(ReportKind.DETAILS)
        assert type(details) is DetailsReply
        assert "A1" in (details.details_text or "")
        assert type(await pos.void(sale.operation_id)) is VoidReply
        other = await pos.sale(2_000, ticket="A2")
        refund = await pos.refund(other.authorization_code, 500)
        assert type(refund) is RefundReply
        assert refund.approved
        assert type(await pos.close_batch()) is CloseBatchReply
    assert server.terminal.ledger.balance() == 1_500


async def test_the_simplified_wire_has_no_more_than_six_commands(ready: Connect, serve: Serve) -> None:
    server = serve()
    async with ready(server.device, wire=Wire.SIMPLIFIED) as pos:
        before = len(server.terminal.commands)
        for kind in set(ReportKind) - {ReportKind.DETAILS}:
            with pytest.raises(UnsupportedOperation):
                await pos.get_reports(kind)
        for operation, values in (
            ("last_voucher", ()),
            ("set_default_sale_type", (SaleType.SALE,)),
            ("set_normal_mode", ()),
            ("request", (MainPosData(),)),
            ("request", (MultiCommerceSale(1_000, "12345678-5"),)),
        ):
            with pytest.raises(UnsupportedOperation, match="simplified"):
                await getattr(pos, operation)(*values)
        with pytest.warns(ProvisionalCommandWarning), pytest.raises(UnsupportedOperation, match="simplified"):
            await pos.pre_authorization(1_000)
        with pytest.raises(ValueError, match="simplified"):
            await pos.sale(1_000, ticket="A|1")
        assert len(server.terminal.commands) == before
        assert (await pos.sale(1_000)).approved


async def test_a_wrong_checksum_is_not_an_approval(ready: Connect, serve: Serve) -> None:
    """Without a last voucher to ask for, it is unknown."""
    server = serve(script=[Behaviour(wrong_signature=True)])
    async with ready(server.device, wire=Wire.SIMPLIFIED, timeouts=dataclasses.replace(QUICK, recovery=0.3)) as pos:
        with pytest.raises(OutcomeUnknown):
            await pos.sale(1_000, ticket="A1")
