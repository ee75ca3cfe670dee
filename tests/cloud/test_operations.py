"""Both connectors over a real server: what each country has, cancelling, crashes, and connections that break."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from decimal import Decimal
from typing import Any

import pytest

from getnet_pos import (
    AsyncConnector,
    CancelReply,
    GenericReply,
    IntentState,
    InvalidValue,
    LifecycleError,
    OutcomeUnknown,
    ParametersReply,
    Profile,
    ReportKind,
    SqliteJournal,
    TerminalBusy,
    Timeouts,
    TotalsReply,
    UnsupportedOperation,
    VoidReply,
)
from getnet_pos.cloud import AsyncCloudAccount
from getnet_pos.messages import CloseBatchReply, DuplicateReply, NormalModeReply
from getnet_pos.simulator import Behaviour, SerialServer, VirtualTerminal
from getnet_pos.simulator.cloud import CloudFault, CloudFaultKind, VirtualCloud
from tests.cloud.conftest import DOUBTFUL, QUICK, Connect, Open
from tests.doors import Door

K = CloudFaultKind


async def test_what_chile_has(ready: Connect, opened: Open) -> None:
    cloud = opened(profile=Profile.CHILE)
    async with ready(cloud) as pos:
        sale = await pos.sale(Decimal(1000), ticket="T1")
        assert (await pos.duplicate(sale.operation_id)).authorization_code == sale.authorization_code
        assert type(await pos.duplicate(sale.operation_id)) is DuplicateReply
        void = await pos.void(sale.operation_id)
        assert (type(void), void.approved, void.success) == (VoidReply, True, True)
        assert type(await pos.close_batch()) is CloseBatchReply
        printed = await pos.print_document(
            ["Gracias por su compra", {"type": "printcode", "data": "https://x.example"}]
        )
        assert (type(printed), printed.approved) == (GenericReply, True)
        for refused in (
            pos.cancel_sale(), pos.last_voucher(), pos.get_reports(ReportKind.SHIFT), pos.set_normal_mode(),
            pos.get_reports(ReportKind.TOTALS), pos.set_default_sale_type(1),
            pos.refund("1234", 5, original_date="2025-10-09"),
        ):  # fmt: skip
            with pytest.raises(UnsupportedOperation, match="profile cl"):
                await refused
        with pytest.raises(InvalidValue, match="48"):
            await pos.print_document(["x" * 49])
    assert len(cloud.documents) == 1


async def test_which_calls_have_a_connection_of_their_own(connect: Connect, opened: Open) -> None:
    """What may reach the terminal once only; what only asks shares one, which may be closing when it is used again."""
    cloud = opened(profile=Profile.CHILE)
    port = int(cloud.url.partition("127.0.0.1:")[2].partition("/")[0])
    with contextlib.closing(Door(port)) as door:
        cloud.url = cloud.url.replace(str(port), str(door.port))
        async with connect(cloud) as pos:
            await pos.polling()
            await pos.get_reports(ReportKind.DETAILS)
            assert door.connections == 1
            sale = await pos.sale(1000, ticket="T1")
            assert door.connections == 2
            await pos.void(sale.operation_id)
            assert door.connections == 3
            await pos.close_batch()
            await pos.get_reports(ReportKind.DETAILS, print_on_pos=True)
            assert door.connections == 5
            door.cut()
            assert (await pos.polling()).approved
            assert door.connections == 6


async def test_what_argentina_has(ready: Connect, opened: Open) -> None:
    cloud = opened(profile=Profile.ARGENTINA)
    async with ready(cloud) as pos:
        sale = await pos.sale(Decimal("12.50"), ticket="T1")
        assert sale.amount == 1250
        assert (await pos.last_voucher()).authorization_code == sale.authorization_code
        assert (await pos.refund(sale.authorization_code, Decimal("2.50"), original_date="2026-01-01")).approved
        assert type(await pos.get_reports(ReportKind.TOTALS)) is TotalsReply
        assert type(await pos.get_reports(ReportKind.PARAMETERS)) is ParametersReply
        shift = await pos.get_reports(ReportKind.SHIFT)
        assert (type(shift), shift.function_code, shift.approved) == (GenericReply, 136, True)
        assert type(await pos.set_normal_mode()) is NormalModeReply
        assert type(await pos.cancel_sale()) is CancelReply
        for refused in (pos.void(1), pos.close_batch(), pos.duplicate(1), pos.print_document(["x"])):
            with pytest.raises(UnsupportedOperation, match="profile ar"):
                await refused
    assert cloud.terminal.ledger.balance() == 1000


async def test_a_local_terminal_prints_nothing(ready: Connect) -> None:
    with SerialServer(VirtualTerminal(), gap=0) as server:
        async with AsyncConnector.create_usb(server.device) as pos:
            await pos.polling()
            with pytest.raises(UnsupportedOperation, match=r"PrintDocument \(command 117\) works only through a cloud"):
                await pos.print_document(["x"])
            with pytest.raises(UnsupportedOperation, match=r"ShiftReport \(command 136\) works only through a cloud"):
                await pos.get_reports(ReportKind.SHIFT)
            with pytest.raises(UnsupportedOperation, match="original_date"):
                await pos.refund("1234", 5, original_date="2025-10-09")


@pytest.mark.parametrize("webhook", [None, "https://shop.example/hook"], ids=["sync", "async"])
async def test_cancelling_beside_the_sale(ready: Connect, opened: Open, webhook: str | None) -> None:
    cloud = opened(profile=Profile.ARGENTINA)
    cloud.terminal.script.append(Behaviour(decide_after=math.inf))
    async with ready(cloud, webhook=webhook) as pos:
        sale = asyncio.create_task(pos.sale(1000))
        while not cloud.terminal.busy:
            await asyncio.sleep(0.01)
        reply = await pos.cancel_sale()
        assert (type(reply), reply.approved) == (CancelReply, True)
        sold = await sale
        assert (sold.approved, sold.response_message) == (False, "Operation cancelled")
    assert cloud.terminal.ledger.entries == ()


async def test_a_second_operation_waits_or_is_refused(connect: Connect, opened: Open) -> None:
    cloud = opened()
    cloud.terminal.default = Behaviour(decide_after=0.3)
    limits = Timeouts(busy=0.05)
    async with connect(cloud, timeouts=limits) as pos:
        await pos.polling()
        sale = asyncio.create_task(pos.sale(1000))
        while not cloud.terminal.busy:
            await asyncio.sleep(0.01)
        with pytest.raises(TerminalBusy):
            await pos.sale(2000)
        assert (await sale).approved


@pytest.mark.parametrize(
    "kind", [K.DROP_AFTER, K.TIMEOUT_AFTER, K.SERVER_ERROR_AFTER, K.HTML, K.CUT, K.CUT_JSON, K.NEVER]
)
@pytest.mark.parametrize("webhook", [None, "http://127.0.0.1:9/hook"], ids=["sync", "async"])
async def test_what_was_done_is_found_out(
    ready: Connect, cloud: VirtualCloud, kind: CloudFaultKind, webhook: str | None, journal_path: Any
) -> None:
    limits = Timeouts(**{**{name: getattr(QUICK, name) for name in QUICK.__slots__}, "cloud": 0.4})
    async with ready(cloud, webhook=webhook, timeouts=limits) as pos:
        cloud.inject(CloudFault(kind))
        sale = await pos.sale(1000, ticket="T1")
        assert (sale.approved, sale.authorization_code) == (True, cloud.terminal.ledger.entries[0].authorization_code)
        assert await pos.recover() == []
        assert (await pos.sale(500)).approved
    assert (cloud.count("/sale"), len(cloud.terminal.ledger.entries)) == (2, 2)


@pytest.mark.parametrize("kind", [K.DROP_BEFORE, K.SERVER_ERROR, K.RATE_LIMIT])
async def test_what_was_not_done_is_unknown(
    ready: Connect, cloud: VirtualCloud, kind: CloudFaultKind, journal_path: Any
) -> None:
    async with ready(cloud, timeouts=DOUBTFUL) as pos:
        cloud.inject(CloudFault(kind, retry_after=0))
        with pytest.raises(OutcomeUnknown) as caught:
            await pos.sale(1000, ticket="T1")
        [unknown] = await pos.recover()
        assert (unknown.intent_id, unknown.state) == (caught.value.intent_id, IntentState.UNKNOWN)
        assert (await pos.sale(500)).approved
    journal = SqliteJournal(journal_path)
    journal.resolve(unknown.intent_id, paid=False, by="a cashier", note="no slip was printed")
    assert journal.intents() == []
    journal.close()
    assert cloud.count("/sale") == 2


@pytest.mark.parametrize("state", [IntentState.INTENT, IntentState.ACCEPTED])
async def test_a_register_that_ends_in_the_middle_asks_at_its_next_start(
    cloud: VirtualCloud, journal_path: Any, state: IntentState
) -> None:
    cloud.terminal.script.append(Behaviour(decide_after=0.4))
    account = AsyncCloudAccount(cloud.url, client_id="i", client_secret="s", profile=cloud.profile, timeouts=QUICK)
    webhook = None if state is IntentState.INTENT else "https://shop.example/hook"
    journal = SqliteJournal(journal_path)
    async with account:
        pos = AsyncConnector.create_cloud(account, key_pos=cloud.key_pos, webhook=webhook)
        await pos.polling()
        sale = asyncio.create_task(pos.sale(1000, ticket="T1"))
        while not cloud.terminal.busy or [intent.state for intent in journal.intents()] != [state]:
            await asyncio.sleep(0.01)
        sale.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sale
        again = AsyncConnector.create_cloud(account, key_pos=cloud.key_pos)
        poll = await again.polling()
        # While the terminal is busy with it, only the cloud can tell of it, and only by its number.
        assert poll.approved is (state is IntentState.ACCEPTED)
        while not poll.approved:
            poll = await again.polling()
        # Argentina's vouchers name no ticket: without a number nobody can know whose they are.
        named = cloud.profile is Profile.CHILE or state is IntentState.ACCEPTED
        known = IntentState.APPROVED if named else IntentState.UNKNOWN
        assert [intent.state for intent in journal.intents(settled=True)] == [known]
    journal.close()
    assert len(cloud.terminal.ledger.entries) == 1


async def test_two_connectors_of_one_terminal_take_turns(cloud: VirtualCloud) -> None:
    cloud.terminal.default = Behaviour(decide_after=0.2)
    account = AsyncCloudAccount(cloud.url, client_id="i", client_secret="s", profile=cloud.profile, timeouts=QUICK)
    async with account:
        one, two = (AsyncConnector.create_cloud(account, key_pos=cloud.key_pos) for _ in range(2))
        await one.polling()
        sale = asyncio.create_task(one.sale(1000, ticket="T1"))
        while not cloud.terminal.busy:
            await asyncio.sleep(0.01)
        # It finds an open intent of the terminal, which is in good hands.
        await asyncio.gather(two.polling(), sale)
        sales = await asyncio.gather(
            *(pos.sale(100, ticket=f"S{place}") for place, pos in enumerate((one, two, one, two)))
        )
    assert all(sale.approved for sale in sales)
    assert cloud.terminal.ledger.charged() == 1400


async def test_closing_an_own_account_closes_its_client(connect: Connect, cloud: VirtualCloud) -> None:
    async with connect(cloud) as pos:
        assert repr(pos).endswith(f"cloud:{cloud.key_pos} (not polled)>")
        await pos.polling()
        await pos.close()
        with pytest.raises(LifecycleError):
            await pos.polling()


async def test_nothing_secret_is_logged_or_kept(
    ready: Connect, cloud: VirtualCloud, caplog: pytest.LogCaptureFixture, journal_path: Any
) -> None:
    caplog.set_level(logging.DEBUG, logger="getnet_pos")
    async with ready(cloud, api_key={"X-Key": "the-key-itself"}, timeouts=DOUBTFUL) as pos:
        for kind in (K.TIMEOUT_AFTER, K.DROP_BEFORE, K.CUT_JSON, K.HTML):
            cloud.inject(CloudFault(kind))
            try:
                await pos.sale(1000 + len(kind.value), ticket=f"T{kind.name}"[:24])
            except OutcomeUnknown as error:
                caplog.handler.emit(logging.makeLogRecord({"msg": repr(error) + repr(error.__cause__)}))
    tokens = list(cloud._tokens)
    kept = caplog.text + journal_path.read_bytes().decode("latin-1")
    for secret in (*tokens, "a-secret", "the-key-itself", "40000012", "3012"):
        assert secret not in kept.replace("a-secret-", "")
