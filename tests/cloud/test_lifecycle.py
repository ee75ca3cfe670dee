"""The same text over every way to a terminal: USB, TCP, HTTP and the clouds of two countries, with both connectors."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from getnet_pos import (
    AsyncConnector,
    Connector,
    IntentState,
    LifecycleError,
    Polled,
    Profile,
    RefundReply,
    ReportKind,
    SaleReply,
    SqliteJournal,
    Timeouts,
)
from getnet_pos.messages import DetailsReply
from getnet_pos.simulator import Behaviour, HttpServer, Outcome, SerialServer, TcpServer, VirtualTerminal
from getnet_pos.simulator.cloud import VirtualCloud
from tests.faces import Threaded

LIMITS = Timeouts(short=2, report=2, sale=4, sale_total=6, cloud=5, recovery=1, recovery_interval=0.1)


def cloud_of(profile: Profile) -> Any:
    def serve(terminal: VirtualTerminal, stack: ExitStack) -> dict[str, Any]:
        key_pos = VirtualCloud(profile=profile).key_pos
        cloud = stack.enter_context(VirtualCloud(profile=profile, terminals={key_pos: terminal}))
        return {
            "create": "create_cloud", "where": (cloud.url,), "key_pos": key_pos, "client_id": "id",
            "client_secret": "secret", "profile": profile,
        }  # fmt: skip

    return serve


def usb(terminal: VirtualTerminal, stack: ExitStack) -> dict[str, Any]:
    if os.name != "posix":
        pytest.skip("this system has no pseudo-terminals")
    return {"create": "create_usb", "where": (stack.enter_context(SerialServer(terminal, gap=0)).device,)}


def tcp(terminal: VirtualTerminal, stack: ExitStack) -> dict[str, Any]:
    return {"create": "create_tcp", "where": stack.enter_context(TcpServer(terminal, gap=0)).address}


def http(terminal: VirtualTerminal, stack: ExitStack) -> dict[str, Any]:
    return {"create": "create_http", "where": (stack.enter_context(HttpServer(terminal, gap=0)).url,)}


LINKS = {
    "usb": usb,
    "tcp": tcp,
    "http": http,
    "cloud-cl": cloud_of(Profile.CHILE),
    "cloud-ar": cloud_of(Profile.ARGENTINA),
}

Create = Callable[[], Any]


@pytest.fixture
def terminal() -> VirtualTerminal:
    return VirtualTerminal()


@pytest.fixture(params=LINKS.values(), ids=LINKS)
def place(request: pytest.FixtureRequest, terminal: VirtualTerminal) -> Iterator[dict[str, Any]]:
    with ExitStack() as stack:
        yield request.param(terminal, stack)


@pytest.fixture(params=[Connector, AsyncConnector], ids=["Connector", "AsyncConnector"])
def create(request: pytest.FixtureRequest, place: dict[str, Any]) -> Create:
    settings = {name: value for name, value in place.items() if name not in ("create", "where")}

    def made() -> Any:
        connector = getattr(request.param, place["create"])(*place["where"], timeouts=LIMITS, **settings)
        return Threaded(connector) if request.param is Connector else connector

    return made


async def made(create: Create) -> Any:
    connector = await asyncio.to_thread(create) if not asyncio.iscoroutinefunction(create) else create()
    if isinstance(connector, AsyncConnector):
        await connector
    return connector


async def test_create_poll_operate_close(create: Create, terminal: VirtualTerminal, journal_path: Any) -> None:
    pos = await made(create)
    with pytest.raises(LifecycleError, match=r"polling\(\) must succeed"):
        await pos.sale(1_000)
    assert terminal.ledger.entries == ()

    poll = await pos.polling()
    assert type(poll) is Polled
    assert (poll.approved, poll.connected) == (True, True)

    sale = await pos.sale(25_000, ticket="A1234")
    assert type(sale) is SaleReply
    assert (sale.approved, sale.function_code, sale.response_code, sale.amount) == (True, 100, 0, 25_000)
    assert (sale.last4_digits, sale.operation_id) == ("0042", 1)
    assert sale.authorization_code == terminal.ledger.entries[0].authorization_code

    terminal.script.append(Behaviour(outcome=Outcome.DECLINE))
    declined = await pos.sale(700)
    assert type(declined) is SaleReply
    assert (declined.approved, declined.response_code) == (False, 2001)
    assert declined.response_message in ("Rechazado", "Declined"), "Argentina speaks English"

    refund = await pos.refund(sale.authorization_code, 5_000)
    assert type(refund) is RefundReply
    assert (refund.approved, refund.success) == (True, True)

    details = await pos.get_reports(ReportKind.DETAILS)
    assert type(details) is DetailsReply
    assert [row.amount for row in details.sale_details] == [25_000, 5_000]
    assert await pos.recover() == []

    await pos.close()
    with pytest.raises(LifecycleError, match="closed"):
        await pos.polling()
    again = await made(create)
    assert (await again.polling()).approved
    assert (await again.sale(300)).approved
    await again.close()
    assert terminal.ledger.balance() == 20_300

    journal = SqliteJournal(journal_path)
    states = [(one.command, one.amount, one.state) for one in journal.intents(settled=True)]
    journal.close()
    assert states == [
        (100, 25_000, IntentState.APPROVED),
        (100, 700, IntentState.DECLINED),
        (108, 5_000, IntentState.APPROVED),
        (100, 300, IntentState.APPROVED),
    ]


async def test_nobody_pays(create: Create, terminal: VirtualTerminal) -> None:
    terminal.script.append(Behaviour(outcome=Outcome.TIME_OUT))
    pos = await made(create)
    await pos.polling()
    sale = await pos.sale(1_000)
    assert (sale.approved, sale.response_code) == (False, 1006)
    assert sale.response_message in ("Tiempo de espera excedido", "Timeout exceeded")
    await pos.close()


async def test_one_operation_at_a_time(create: Create, terminal: VirtualTerminal) -> None:
    terminal.default = Behaviour(decide_after=0.1)
    pos = await made(create)
    await pos.polling()
    sales = await asyncio.gather(*(pos.sale(100 + number) for number in range(3)))
    assert [sale.approved for sale in sales] == [True] * 3
    assert sorted(sale.amount for sale in sales) == [100, 101, 102]
    assert terminal.ledger.charged() == 303
    await pos.close()
