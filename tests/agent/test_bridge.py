"""Getnet's websocket dialect, point by point, with a page that behaves as Getnet's browser library does."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
import math
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import pytest

from getnet_pos import (
    Intent,
    IntentState,
    JournalError,
    LastVoucher,
    MemoryJournal,
    Poll,
    Profile,
    Sale,
    TerminalBusy,
    Timeouts,
    Wire,
)
from getnet_pos.agent import bridge as bridge_module
from getnet_pos.agent import guard as guard_module
from getnet_pos.codec import seal
from getnet_pos.messages import CancelSale
from getnet_pos.simulator import (
    Behaviour,
    Direction,
    Fault,
    FaultKind,
    HttpServer,
    Identity,
    Outcome,
    Reboot,
    SerialServer,
    TcpServer,
)
from getnet_pos.simulator.cloud import VirtualCloud
from tests.agent.bridges import QUICK, Bridged, Overheard, bridge
from tests.agent.getnet_page import ORIGIN, GetnetPage, NoAnswer, Refused, inner, now
from tests.evidence import Count, evidence

__all__ = ["evidence"]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="this system has no pseudo-terminals")

WAITING = Behaviour(decide_after=math.inf)
"""A sale that waits for a customer who never comes."""
NOT_SENT = -1


class Shop:
    """An agent with its bridge, one virtual terminal, and as many pages as a test opens."""

    def __init__(self, stack: AsyncExitStack, server: Any, journal: Any, bridged: Bridged) -> None:
        self._stack = stack
        self.server, self.terminal, self.journal, self.bridged = server, server.terminal, journal, bridged
        self.url = bridged.url

    async def page(self, **settings: Any) -> GetnetPage:
        return await self._stack.enter_async_context(GetnetPage(self.url, **{"spacing": 0.01, **settings}))

    async def sale(self, page: GetnetPage, ticket: str = "A1", **more: Any) -> asyncio.Task[dict[str, Any]]:
        """A sale that waits at the terminal."""
        before = self.terminal.codes().count(100)
        sale = asyncio.create_task(page.sell(2500, ticket, **more))
        while self.terminal.codes().count(100) == before or not self.terminal.busy:
            await asyncio.sleep(0.005)
            assert not sale.done(), sale
        await asyncio.sleep(0.03)
        return sale

    def charged(self) -> list[int]:
        return [entry.amount for entry in self.terminal.ledger.entries]

    def states(self) -> list[IntentState]:
        return [intent.state for intent in self.journal.intents(settled=True)]


async def shop_with(stack: AsyncExitStack, server: Any, *, journal: Any = None, **settings: Any) -> Shop:
    stack.enter_context(server)
    journal = journal or MemoryJournal()
    bridged = await stack.enter_async_context(bridge(server, journal=journal, **settings))
    return Shop(stack, server, journal, bridged)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as opened:
        yield opened


@pytest.fixture(params=[SerialServer, TcpServer, HttpServer], ids=["pty", "tcp", "http"])
async def shop(request: pytest.FixtureRequest, stack: AsyncExitStack) -> Shop:
    return await shop_with(stack, request.param(Overheard(), gap=0))


@pytest.fixture
async def counter(stack: AsyncExitStack) -> Shop:
    """A shop whose terminal is at a serial port."""
    return await shop_with(stack, SerialServer(Overheard(), gap=0))


@pytest.fixture
async def hurried(stack: AsyncExitStack) -> Shop:
    """The same; what becomes of a sale is known soon, or not at all."""
    limits = dataclasses.replace(QUICK, acknowledgement=0.3, sale=0.5, sale_total=0.7)
    return await shop_with(stack, SerialServer(Overheard(), gap=0), timeouts=limits)


# -------------------------------------------------------------------------------------------------------- a whole visit


async def test_a_page_sells_as_it_does_with_the_windows_agent(shop: Shop) -> None:
    """With the library's own pace."""
    page = await shop.page(spacing=0.3)
    assert inner(await page.call(106))["Connected"] is True
    sold = await page.sell(2500, "A1")
    assert (sold["FunctionCode"], sold["ResponseCode"], sold["Amount"], sold["Ticket"]) == (100, 0, 2500, "A1")
    assert shop.charged() == [2500]
    assert shop.states() == [IntentState.APPROVED]
    annulled = inner(await page.call(102, OperationId=sold["OperationId"], PrintOnPos=False))
    assert (annulled["FunctionCode"], annulled["Success"]) == (102, True)


async def test_a_page_reads_all_reports(shop: Shop) -> None:
    page = await shop.page()
    sold = await page.sell(2500, "A1")
    for code, fields in {
        101: {"PrintOnPos": False},
        104: {"PrintOnPos": False},
        105: {"PrintOnPos": False},
        109: {"OperationId": sold["OperationId"], "PrintOnPos": False},
        110: {"EmployeeId": 1, "PrintOnPos": False},
        111: {"EmployeeId": 1, "PrintOnPos": False},
        113: {"SaleType": 1},
        114: {"PrintOnPos": False},
        115: {"PrintOnPos": False},
        108: {"AuthorizationCode": sold["AuthorizationCode"], "Amount": 500, "PrintOnPos": False},
        103: {"PrintOnPos": False},
        107: {},
    }.items():
        answer = inner(await page.call(code, **fields))
        assert answer["ResponseCode"] == 0, answer
        assert answer["FunctionCode"] in (code, 100), answer  # 101 shows a sale under its own code
        assert page.texts[-1].encode() in shop.terminal.went


async def test_a_page_cancels_in_mid_sale(shop: Shop) -> None:
    shop.terminal.script.append(WAITING)
    page = await shop.page()
    sale = await shop.sale(page)
    cancellation = page.written(116)
    await page.open()
    await page.write(cancellation)
    # The library gives each answer to whoever waits first. Over HTTP nobody hears the one to the cancellation.
    answers = [await sale] if isinstance(shop.server, HttpServer) else [await sale, inner(await page.answer())]
    assert cancellation.encode() in shop.terminal.came, "the page's own envelope"
    assert [(one["FunctionCode"], one["ResponseCode"]) for one in answers] == [(116, 0), (100, 1006)][-len(answers) :]
    assert page.texts.count('{"Received":true}') == 2, "one sign for each of the two"
    assert (shop.charged(), shop.states()) == ([], [IntentState.DECLINED])


async def test_a_cancellation_that_comes_too_late_changes_nothing(counter: Shop) -> None:
    counter.terminal.answers[116] = Behaviour(outcome=Outcome.DECLINE)
    counter.terminal.script.append(Behaviour(decide_after=0.3))
    page = await counter.page()
    sale = await counter.sale(page)
    await page.write(page.written(116))
    answers = [await sale, inner(await page.answer())]
    assert {answer["FunctionCode"]: answer["ResponseCode"] == 0 for answer in answers} == {116: False, 100: True}
    assert counter.states() == [IntentState.APPROVED]


async def test_progress_comes_as_the_terminal_wrote_it(counter: Shop) -> None:
    """The library takes it for the answer; a page that asked for messages knows how to read on."""
    page = await counter.page()
    first = await page.sell(2500, "A1", SendMessage=True)
    assert first["MessageCode"] == 78
    codes = [inner(await page.answer()).get("MessageCode", "the reply") for _ in range(3)]
    assert codes == [81, 82, "the reply"]


# ------------------------------------------------------------------------------------------------------- point by point


async def test_1_both_loopback_addresses_and_an_origin_of_the_list(counter: Shop) -> None:
    port = urlsplit(counter.url).port
    for name in ("127.0.0.1", "[::1]"):
        begun = time.monotonic()
        async with GetnetPage(f"ws://{name}:{port}/", spacing=0) as page:
            assert time.monotonic() - begun < 0.5, "the handshake ends at once"
            assert page.subprotocol is None
            assert inner(await page.call(106))["ResponseCode"] == 0
    async with GetnetPage(counter.url, Host=f"localhost:{port}") as page:
        assert page.subprotocol is None
    for address, settings in [
        (counter.url, {"origin": "https://other.example"}),
        (counter.url, {"origin": "http://shop.example"}),
        (counter.url, {"origin": "null"}),
        (counter.url, {"origin": None}),
        (counter.url, {"Host": f"shop.example:{port}"}),
        (counter.url, {"Host": "localhost:1"}),
        (f"{counter.url}v1/events", {}),
    ]:
        with pytest.raises(Refused, match="403"):
            async with GetnetPage(address, **settings):
                pass


async def test_1_the_handshake_does_not_wait_for_the_terminal(stack: AsyncExitStack) -> None:
    shop = await shop_with(stack, SerialServer(Overheard(default=Behaviour(acknowledge=None, reply_after=math.inf))))
    begun = time.monotonic()
    await shop.page()
    assert time.monotonic() - begun < 0.5


async def test_2_what_a_page_may_send(counter: Shop) -> None:
    page = await counter.page()
    for junk in (
        "", "no JSON", "7", "null", "[]", '["Type","write"]', "{}", '{"Type":7}', '{"Type":"close"}',
        '{"Type":"write"}', '{"Type":"write","WriteParams":null}', '{"Type":"write","WriteParams":{"Message":7}}',
        '{"Type":"open","OpenParams":"COM3","More":1}', b"\x00\x01",
    ):  # fmt: skip
        page.send_raw(junk)
    page.send_raw('{"Type":"ports","OpenParams":null,"Surplus":{}}')
    answers = [await page.answer() for _ in range(4)]
    assert answers == [{"Received": False}] * 3 + [{"Ports": ["terminal"]}], "three of them wrote no command"
    assert inner(await page.call(106))["ResponseCode"] == 0


async def test_3_the_port_is_the_terminal_and_opening_it_again_resets_nothing(stack: AsyncExitStack) -> None:
    one, two = SerialServer(Overheard(), gap=0), TcpServer(Overheard(), gap=0)
    stack.enter_context(one)
    stack.enter_context(two)
    bridged = await stack.enter_async_context(bridge({"counter": one, "bar": two}))
    page = await stack.enter_async_context(GetnetPage(bridged.url, spacing=0))
    page.send_raw('{"Type":"ports"}')
    assert await page.answer() == {"Ports": ["counter", "bar"]}
    await page.write(page.written(100, Amount=1, TicketNumber="B1"))
    assert inner(await page.answer())["ResponseCode"] == 0, "a write may come before its open"
    assert (await page.sell(2, "B2", port="bar"))["ResponseCode"] == 0
    one.terminal.script.append(Behaviour(decide_after=0.3))
    sale = asyncio.create_task(page.sell(3, "B3"))
    await asyncio.sleep(0.05)
    for _ in range(5):
        await page.open()
    assert (await sale)["ResponseCode"] == 0
    assert [entry.amount for entry in one.terminal.ledger.entries] == [1, 3]
    assert [entry.amount for entry in two.terminal.ledger.entries] == [2]
    refused = await page.sell(4, "B4", port="COM3")
    assert refused["ResponseCode"] == NOT_SENT
    assert "open the port counter or bar" in refused["ResponseMessage"]


async def test_4_opening_is_not_answered(counter: Shop) -> None:
    page = await counter.page()
    for _ in range(3):
        await page.open()
    with pytest.raises(asyncio.TimeoutError):
        await page.answer(within=0.3)
    assert page.texts == []


async def test_5_each_message_is_one_object_byte_for_byte(stack: AsyncExitStack) -> None:
    """Whatever comes over the line with it, and however it is cut."""
    manner = Behaviour(noise=40, fragment=13, crlf=True)
    shop = await shop_with(stack, SerialServer(Overheard(default=manner, seed=1), gap=0))
    page = await shop.page()
    for ticket in ("A1", "A2", "A3"):
        await page.sell(2500, ticket, SendMessage=True)
        while inner(await page.answer())["FunctionCode"] != 100:
            pass
    assert len(page.texts) == 15
    for text in page.texts:
        assert isinstance(json.loads(text), dict)
        assert text.encode() in shop.terminal.went


async def test_6_the_agent_acknowledges_and_the_page_never_does(counter: Shop) -> None:
    page = await counter.page()
    await page.sell(2500, "A1")
    await asyncio.sleep(0.05)
    before = counter.terminal.acknowledgements
    await page.sell(2500, "A2")
    await asyncio.sleep(0.05)
    assert counter.terminal.acknowledgements == before + 1
    assert counter.terminal.came.count(b'{"Received":true}') == counter.terminal.acknowledgements


async def test_7_the_sign_of_receipt_is_there_in_time(stack: AsyncExitStack) -> None:
    """Of a sale that the page asks for as it connects, at a terminal that nobody has looked for yet."""
    terminal = Overheard(default=Behaviour(acknowledge_after=0.1))
    stack.enter_context(server := TcpServer(terminal, gap=0.03))
    bridged = await stack.enter_async_context(bridge(server, timeouts=dataclasses.replace(QUICK, short=3.0)))
    page = await stack.enter_async_context(GetnetPage(bridged.url))
    sale = page.written(100, Amount=2500, TicketNumber="A1")
    await page.open()
    written = time.monotonic()
    await page.write(sale)
    assert await page.received() - written < 2.3


@pytest.mark.parametrize(
    ("message", "code", "why"),
    [
        ({"Command": 100, "TicketNumber": "A1"}, 100, "needs the field Amount"),
        ({"Command": 100, "Amount": -5, "TicketNumber": "A1"}, 100, "amount must be"),
        ({"Command": 100, "Amount": 5, "amount": 900, "TicketNumber": "A1"}, 100, "spelled Amount"),
        ({"Command": 100, "Amount": 5, "TicketNumber": "x" * 25}, 100, "from 1 to 24 characters"),
        ({"Command": 99, "IdPosTxs": "7"}, 99, "only through a cloud"),
    ],
)
async def test_8_a_command_that_cannot_be_meant_is_refused_in_words(
    counter: Shop, message: dict[str, Any], code: int, why: str
) -> None:
    page = await counter.page()
    answer = inner(await page.call(message.pop("Command"), **message))
    assert (answer["FunctionCode"], answer["ResponseCode"]) == (code, NOT_SENT)
    assert why in answer["ResponseMessage"]
    assert (counter.terminal.codes(), counter.states()) == ([], [])


async def test_8_what_is_no_signed_command_is_not_received(counter: Shop) -> None:
    page = await counter.page()
    good = page.written(100, Amount=2500, TicketNumber="A1")
    for bad in (
        good.replace('\\"Amount\\":2500', '\\"Amount\\":1'),
        good.replace('"Sign":"', '"Sign":"0'),
        good[:-1],
        good * 2,
        good + "\n",
        "\ud83d" + good,
        '{"Received":true}',
        seal(Poll()).decode().replace("Command", "FunctionCode"),
    ):
        await page.write(bad)
        if not bad.startswith("\ud83d"):  # which is no JSON text
            assert await page.answer() == {"Received": False}
    assert (counter.terminal.codes(), counter.states()) == ([], [])


async def test_8_a_doubt_is_silence_and_then_the_truth(counter: Shop) -> None:
    """The reply comes damaged: the page hears nothing until the terminal has said what became of its sale."""
    page = await counter.page()
    await page.call(106)
    counter.terminal.script.append(Behaviour(wrong_signature=True))
    sold = await page.sell(2500, "A1")
    assert (sold["FunctionCode"], sold["ResponseCode"], sold["Amount"]) == (100, 0, 2500)
    assert page.texts.count('{"Received":true}') == 2, "what the agent asks is its own affair"
    assert (counter.charged(), counter.states()) == ([2500], [IntentState.APPROVED])


async def test_8_an_outcome_that_nobody_knows_is_not_invented(hurried: Shop) -> None:
    page = await hurried.page()
    hurried.terminal.script.append(Behaviour(decide_after=0.1, reboot=Reboot(approved=True, keep_record=False)))
    with pytest.raises(NoAnswer):
        await page.sell(2500, "A1", within=2.0)
    assert page.texts == ['{"Received":true}']
    assert hurried.states() == [IntentState.UNKNOWN]
    again = await page.sell(2500, "A1")
    assert again["ResponseCode"] == NOT_SENT
    assert "the outcome of" in again["ResponseMessage"]
    assert len(hurried.terminal.commands) > 5, "it was asked"
    assert hurried.terminal.codes() == [100]


async def test_8_a_declined_card_is_the_terminal_s_own_answer(counter: Shop) -> None:
    counter.terminal.script.append(Behaviour(outcome=Outcome.DECLINE))
    page = await counter.page()
    refused = await page.sell(2500, "A1")
    assert refused["ResponseCode"] not in (0, NOT_SENT)
    assert page.texts[-1].encode() in counter.terminal.went


async def test_8_a_question_that_the_terminal_does_not_take(counter: Shop) -> None:
    page = await counter.page()
    counter.terminal.answers[104] = Behaviour(acknowledge=False)
    assert await page.call(104) == {"Received": False}
    counter.terminal.answers[105] = Behaviour(reply_after=math.inf)
    silent = inner(await page.call(105))
    assert (silent["FunctionCode"], silent["ResponseCode"]) == (105, NOT_SENT)


async def test_9_a_sale_that_is_too_old_is_refused(counter: Shop) -> None:
    page = await counter.page()
    old = await page.sell(2500, "A1", DateTime=now(ago=3.8))
    assert old["ResponseCode"] == NOT_SENT
    assert "the command is 3." in old["ResponseMessage"]
    ahead = await page.sell(2500, "A2", DateTime=now(ago=-60))
    assert "ahead of the agent's" in ahead["ResponseMessage"]
    for nothing in ("yesterday", "", "2026-13-45T00:00:00.000Z"):
        assert (await page.sell(2500, "A3", DateTime=nothing or None))["ResponseCode"] == NOT_SENT
    assert inner(await page.call(105, DateTime=now(ago=60)))["ResponseCode"] == 0, "a report may be asked for late"
    assert (await page.sell(2500, "A4", DateTime=now(ago=1.5)))["ResponseCode"] == 0
    assert counter.charged() == [2500]


async def test_9_a_handshake_that_takes_too_long(counter: Shop) -> None:
    """The page's user asks for a sale and is told of a failure while the page still connects; nothing is sold then."""
    page = GetnetPage(counter.url, spacing=0)
    asked_for = page.written(100, Amount=2500, TicketNumber="A1")
    await asyncio.sleep(3.1)
    async with page:
        await page.open()
        await page.write(asked_for)
        refused = inner(await page.answer())
    assert refused["ResponseCode"] == NOT_SENT
    assert counter.charged() == []


async def test_9_what_takes_the_agent_too_long_is_too_old_as_well(counter: Shop) -> None:
    """The terminal is slow to tell its last voucher, which the agent asks for before it sends the sale."""
    page = await counter.page()
    await page.call(106)
    counter.terminal.answers[LastVoucher.code] = Behaviour(reply_after=0.5)
    refused = await page.sell(2500, "A1", DateTime=now(ago=2.7))
    assert refused["ResponseCode"] == NOT_SENT
    assert "nothing was sent" in refused["ResponseMessage"]
    assert (counter.terminal.codes(), counter.charged()) == ([], [])


NOON = datetime(2026, 7, 1, 12, 0, 10, 500_000, timezone.utc)


@pytest.mark.parametrize(
    ("text", "age"),
    [
        ("2026-07-01T12:00:10.000Z", 0.5),
        ("2026-07-01T12:00:12.500Z", -2.0),
        ("2026-07-01T08:00:10.000-04:00", 0.5),
        ("2026-07-01T14:00:10,25+0200", 0.25),
        ("2026-07-01T08:00:10.123", 0.377),
        ("2026-07-01 08:00:10", 0.5),
        ("01-07-2026 08:00:10", 0.5),
        ("2026-07-01T12:00:10", -4 * 3600 + 0.5),
        ("2026-07-01", None),
        ("2026-02-30T12:00:10Z", None),
        ("2026-07-01T12:00:10.000Z ", None),
        ("", None),
        (None, None),
    ],
)
def test_9_how_old_a_command_is(monkeypatch: pytest.MonkeyPatch, text: str | None, age: float | None) -> None:
    """Without a zone, a time is one of this machine: here of Santiago in winter, four hours behind."""
    monkeypatch.setenv("TZ", "America/Santiago")
    time.tzset()
    try:
        found = bridge_module._age(text, NOON)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert found == (None if age is None else pytest.approx(age, abs=1e-6))


@pytest.mark.parametrize("late", [0, 1])
def test_9_the_hour_that_comes_twice(monkeypatch: pytest.MonkeyPatch, late: int) -> None:
    """The night on which the clocks go back: a local time without a zone is believed to be the nearer of two."""
    zone = ZoneInfo("America/Santiago")
    local = datetime(2026, 4, 4, 23, 30, 0, fold=late, tzinfo=zone)
    monkeypatch.setenv("TZ", "America/Santiago")
    time.tzset()
    try:
        moment = local.astimezone(timezone.utc) + timedelta(seconds=1)
        found = bridge_module._age("2026-04-04T23:30:00.000", moment)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert found == pytest.approx(1.0)


async def test_10_a_page_keeps_its_socket_while_the_terminal_is_unplugged(counter: Shop) -> None:
    page = await counter.page()
    assert (await page.sell(1000, "A1"))["ResponseCode"] == 0
    counter.server.unplug()
    refused = await page.sell(2000, "A2")
    assert refused["ResponseCode"] == NOT_SENT
    assert inner(await page.call(106))["ResponseCode"] == NOT_SENT
    counter.server.plug()
    assert inner(await page.call(106))["ResponseCode"] == 0, "opened again by the page's own open or write"
    assert (await page.sell(3000, "A3"))["ResponseCode"] == 0
    assert (page.close_code, counter.charged()) == (None, [1000, 3000])


async def test_10_opening_the_port_opens_the_link_again(counter: Shop) -> None:
    terminal = counter.bridged.server.agent.terminals["terminal"]
    page = await counter.page()
    await page.call(106)
    counter.server.unplug()
    await page.call(106)
    assert terminal.state == "down"
    counter.server.plug()
    await page.open()
    while terminal.state != "up":
        await asyncio.sleep(0.005)


async def test_10_the_cable_is_pulled_in_mid_sale(counter: Shop) -> None:
    counter.terminal.script.append(Behaviour(decide_after=0.3))
    page = await counter.page()
    sale = await counter.sale(page)
    counter.server.unplug()
    await asyncio.sleep(0.4)
    counter.server.plug()
    sold = await sale
    assert (sold["FunctionCode"], sold["ResponseCode"], sold["Ticket"]) == (100, 0, "A1")
    assert (counter.charged(), counter.states()) == ([2500], [IntentState.APPROVED])


async def test_10_a_page_that_leaves_and_comes_back(counter: Shop) -> None:
    """Its sale goes on, is acknowledged and recorded; another socket does not get what it did not ask for; and what it
    never heard of is not charged again when it asks once more.
    """
    counter.terminal.script.append(Behaviour(decide_after=0.4))
    page = await counter.page()
    sale = await counter.sale(page)
    before = counter.terminal.acknowledgements
    await page.leave()
    sale.cancel()
    back = await counter.page()
    busy = await back.sell(2500, "A1")
    assert "busy with another command" in busy["ResponseMessage"]
    while counter.states() != [IntentState.APPROVED]:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    assert counter.terminal.acknowledgements == before + 1
    assert len(back.texts) == 1
    refused = await back.sell(2500, "A1")
    assert refused["ResponseCode"] == NOT_SENT
    assert "was already carried out" in refused["ResponseMessage"]
    voucher = inner(await back.call(101))
    assert (voucher["Ticket"], voucher["Amount"]) == ("A1", 2500), "the terminal tells the truth"
    assert (await back.sell(2500, "A2"))["ResponseCode"] == 0
    assert counter.charged() == [2500, 2500]


@pytest.mark.parametrize("late", ["the sign of receipt", "the answer"])
async def test_10_a_page_that_has_given_up_has_not_heard(
    stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch, late: str
) -> None:
    """It has told its user of a failure, and its user asks again: what was charged meanwhile is not charged twice."""
    monkeypatch.setattr(bridge_module, "_ANSWER_TO_CARD", 3.2)
    shop = await shop_with(
        stack, SerialServer(Overheard(), gap=0), timeouts=dataclasses.replace(QUICK, acknowledgement=2.0)
    )
    page = await shop.page()
    await page.sell(1000, "A0")
    slow = Behaviour(acknowledge_after=0.9) if late == "the sign of receipt" else Behaviour(decide_after=1.0)
    shop.terminal.script.append(slow)
    truth = await page.sell(2500, "A1", DateTime=now(ago=2.4))
    assert (truth["FunctionCode"], truth["ResponseCode"]) == (100, 0), "late, and still the truth"
    again = await page.sell(2500, "A1")
    assert "was already carried out" in again["ResponseMessage"]
    assert shop.charged() == [1000, 2500]


async def test_10_a_number_may_be_used_again_by_a_page_that_heard_of_the_first(counter: Shop) -> None:
    page = await counter.page()
    for _ in range(2):
        assert (await page.sell(2500, "A1"))["ResponseCode"] == 0
    assert counter.charged() == [2500, 2500]


async def test_11_one_command_at_a_time(counter: Shop) -> None:
    counter.terminal.script.append(WAITING)
    page, other = await counter.page(), await counter.page(origin=ORIGIN)
    sale = await counter.sale(page)
    for asked in (page, other):
        for code, fields in {100: {"Amount": 7, "TicketNumber": "Z"}, 106: {}, 105: {}}.items():
            await asked.write(asked.written(code, **fields))
            if asked is other:
                refused = inner(await other.answer())
                assert (refused["FunctionCode"], refused["ResponseCode"]) == (code, NOT_SENT)
    first = await sale
    assert first["ResponseCode"] == NOT_SENT, "the library takes the first answer that comes"
    await other.write(other.written(CancelSale.code))
    assert inner(await other.answer())["ResponseCode"] == NOT_SENT, "only the page that sells may cancel"
    await page.write(page.written(CancelSale.code))
    codes = [inner(await page.answer())["FunctionCode"] for _ in range(4)]
    assert codes == [106, 105, 116, 100]
    assert (counter.terminal.codes(), counter.charged()) == ([100, 116], [])


async def test_11_a_cancellation_with_nothing_to_cancel_is_a_question(counter: Shop) -> None:
    page = await counter.page()
    answer = inner(await page.call(CancelSale.code))
    assert answer["FunctionCode"] == 116
    assert page.texts[-1].encode() in counter.terminal.went


async def test_11_the_frame_that_leaves_is_the_page_s_own(shop: Shop) -> None:
    page = await shop.page()
    message = page.written(100, EmployeeId=7, TicketNumber="ñ 1", Amount=2500, Unknown=[1, {"x": None}])
    assert seal(Sale(2500, "ñ 1", employee_id=7)).decode() not in message
    await page.write(message)
    assert inner(await page.answer())["ResponseCode"] == 0
    assert message.encode() in shop.terminal.came
    [intent] = shop.journal.intents(settled=True)
    assert (intent.amount, intent.ticket) == (2500, "ñ 1")
    assert intent.frame_hash == hashlib.sha256(message.encode()).hexdigest()


async def test_11_one_envelope_is_one_command(counter: Shop) -> None:
    """Sent twice, in whatever spelling, it is carried out once, and the second time answered from the journal."""
    page = await counter.page()
    sold = await page.sell(2500, "A1")
    message = page.written(108, AuthorizationCode=sold["AuthorizationCode"], Amount=500, PrintOnPos=False)
    await page.write(message)
    first = inner(await page.answer())
    await page.write(message.replace('{"JsonSerialized"', '{ "JsonSerialized"'))
    second = inner(await page.answer())
    assert first["ResponseCode"] == second["ResponseCode"] == 0
    assert first["OperationId"] == second["OperationId"]
    assert counter.terminal.codes().count(108) == 1


async def test_a_terminal_of_the_simplified_wire(stack: AsyncExitStack) -> None:
    """It has no envelopes: the page gets one that says the same, and the sign of receipt when its command has left."""
    shop = await shop_with(stack, SerialServer(Overheard(), gap=0), wire=Wire.SIMPLIFIED)
    page = await shop.page()
    sold = await page.sell(2500, "A1")
    assert (sold["FunctionCode"], sold["ResponseCode"], sold["Amount"], sold["Ticket"]) == (100, 0, 2500, "A1")
    assert b"\x02100|2500|A1|" in shop.terminal.came
    assert page.texts[0] == '{"Received":true}'
    assert inner(await page.call(106))["Connected"] is True
    assert "simplified wire" in inner(await page.call(104))["ResponseMessage"]


async def test_a_terminal_behind_the_cloud(stack: AsyncExitStack) -> None:
    """The command is written as the cloud has it; a page need not know."""
    terminal = Overheard()
    key_pos = VirtualCloud(profile=Profile.CHILE).key_pos
    cloud = stack.enter_context(VirtualCloud(profile=Profile.CHILE, terminals={key_pos: terminal}))
    journal = MemoryJournal()
    bridged = await stack.enter_async_context(bridge(cloud, journal=journal))
    page = await stack.enter_async_context(GetnetPage(bridged.url, spacing=0))
    sold = await page.sell(2500, "A1")
    assert (sold["FunctionCode"], sold["ResponseCode"], sold["Amount"], sold["Ticket"]) == (100, 0, 2500, "A1")
    assert page.texts[0] == '{"Received":true}'
    assert inner(await page.call(116))["ResponseCode"] == NOT_SENT, "which Chile's cloud does not have"
    assert [entry.amount for entry in terminal.ledger.entries] == [2500]
    assert [intent.state for intent in journal.intents(settled=True)] == [IntentState.APPROVED]


async def test_many_pages_sell_at_many_terminals_at_once(stack: AsyncExitStack, count: Count, evidence: Any) -> None:
    terminals, idle = count(short=3, evidence=50, long=50), count(short=5, evidence=150, long=150)
    servers: dict[str, TcpServer] = {}
    for n in range(terminals):
        terminal = Overheard(default=Behaviour(decide_after=0.2), identity=Identity(terminal_id=f"8000{n:04}"))
        servers[f"till {n}"] = stack.enter_context(TcpServer(terminal, gap=0))
    bridged = await stack.enter_async_context(bridge(servers, timeouts=Timeouts(busy=2.0)))
    for _ in range(idle):
        await stack.enter_async_context(GetnetPage(bridged.url))
    pages = [await stack.enter_async_context(GetnetPage(bridged.url)) for _ in servers]
    polled = await asyncio.gather(*(page.call(106, port=name) for page, name in zip(pages, servers, strict=True)))
    assert {inner(one)["ResponseCode"] for one in polled} == {0}
    begun = time.monotonic()
    sold = await asyncio.gather(*(page.sell(1000 + n, f"A{n}", port=f"till {n}") for n, page in enumerate(pages)))
    took = time.monotonic() - begun
    assert [one.get("Amount", one) for one in sold] == [1000 + n for n in range(terminals)]
    for n, server in enumerate(servers.values()):
        assert [entry.amount for entry in server.terminal.ledger.entries] == [1000 + n]
    evidence(
        f"the bridge: {idle + terminals} pages, {terminals} sales at {terminals} terminals at once: "
        f"all charged once, in {took:.1f} s"
    )


async def test_words_in_latin_1_are_still_text(stack: AsyncExitStack) -> None:
    terminal = Overheard(default=Behaviour(outcome=Outcome.DECLINE, response_message="Denegada por emisión"))
    shop = await shop_with(stack, SerialServer(terminal, gap=0))
    page = await shop.page()
    refused = await page.sell(2500, "A1")
    assert refused["ResponseMessage"] == "Denegada por emisión"


# --------------------------------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize(
    "fault",
    [
        Fault(FaultKind.CORRUPT, Direction.TO_TERMINAL, 0, 60),
        Fault(FaultKind.DROP, Direction.TO_TERMINAL, 0),
        Fault(FaultKind.DROP, Direction.TO_REGISTER, 0),
        Fault(FaultKind.DROP, Direction.TO_REGISTER, 1),
        Fault(FaultKind.CORRUPT, Direction.TO_REGISTER, 1, 50),
        Fault(FaultKind.TRUNCATE, Direction.TO_REGISTER, 1, 50),
        Fault(FaultKind.DUPLICATE, Direction.TO_REGISTER, 1),
        Fault(FaultKind.DELAY, Direction.TO_REGISTER, 1, seconds=0.8),
    ],
    ids=lambda fault: f"{fault.kind.value} {fault.direction.value} {fault.message}",
)
async def test_what_a_page_hears_is_true_whatever_befalls_the_line(hurried: Shop, fault: Fault) -> None:
    """Approved if and only if it was charged, and never twice; a page that hears nothing was not charged, and its sale
    is one of unknown outcome.
    """
    page = await hurried.page()
    await page.sell(1000, "A0")
    hurried.terminal.inject(fault)
    try:
        heard = await page.sell(2500, "A1", within=2.5)
    except NoAnswer:
        heard = {}
    charged = hurried.charged()[1:]
    if charged:
        assert charged == [2500]
        assert heard["ResponseCode"] == 0
        assert hurried.states()[1] is IntentState.APPROVED
    else:
        assert heard == {}
        while hurried.states()[1] is not IntentState.UNKNOWN:
            await asyncio.sleep(0.01)


async def test_pages_sell_while_the_lines_fail_at_random(stack: AsyncExitStack, count: Count, evidence: Any) -> None:
    """Each sale with a fault of its line: what a page hears is so, and what it does not hear is in the journal."""
    tills, sales = count(short=3, evidence=12, long=12), count(short=2, evidence=25, long=1_000)
    limits = dataclasses.replace(QUICK, acknowledgement=0.5, sale=0.7, sale_total=1.0)
    journal, servers = MemoryJournal(), dict[str, TcpServer]()
    for n in range(tills):
        terminal = Overheard(identity=Identity(terminal_id=f"8000{n:04}"), seed=n)
        servers[f"till {n}"] = stack.enter_context(TcpServer(terminal, gap=0))
    bridged = await stack.enter_async_context(bridge(servers, journal=journal, timeouts=limits))
    heard: Counter[str] = Counter()

    async def sell(number: int, name: str) -> None:
        random, agent = Random(number), bridged.server.agent.terminals[name]
        page = await stack.enter_async_context(GetnetPage(bridged.url, spacing=0))
        assert inner(await page.call(106, port=name))["ResponseCode"] == 0
        for n in range(sales):
            way, place = random.choice([*Direction]), random.randrange(4)
            # No line writes twice what a register wrote once.
            never = {FaultKind.REORDER} | ({FaultKind.DUPLICATE} if way is Direction.TO_TERMINAL else set())
            kinds = [kind for kind in FaultKind if kind not in never]
            servers[name].terminal.inject(Fault(random.choice(kinds), way, place, random.randrange(300), seconds=0.6))
            ticket = f"{number}-{n}"
            try:
                answer = await page.sell(1000 + n, ticket, within=2.0, port=name)
            except NoAnswer:
                answer = {"ResponseCode": None}
            while agent.running is not None:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.02)
            with suppress(asyncio.TimeoutError):
                answer = inner(await page.answer(within=0.001))
            charged = [entry for entry in servers[name].terminal.ledger.entries if entry.ticket == ticket]
            states = [intent.state for intent in journal.intents(settled=True) if intent.ticket == ticket]
            code = answer["ResponseCode"]
            heard["approved" if code == 0 else "nothing" if code is None else "refused"] += 1
            assert len(charged) == (code == 0) or (code is None and states == [IntentState.UNKNOWN]), (ticket, answer)
            assert (states == [IntentState.APPROVED]) == (code == 0), (ticket, answer, states)

    await asyncio.gather(*(sell(number, name) for number, name in enumerate(servers)))
    evidence(
        f"the bridge: {tills * sales} sales, each with a fault of its line: 0 charged twice, 0 untrue; {dict(heard)}"
    )


class FullDisk(MemoryJournal):
    """A journal that cannot write down that a payment is in this state."""

    def __init__(self, state: IntentState) -> None:
        super().__init__()
        self._state = state

    def record(self, intent: Intent) -> None:
        if intent.state is self._state:
            raise JournalError("the disk is full")
        super().record(intent)


async def test_what_cannot_be_recorded_is_not_sent(stack: AsyncExitStack) -> None:
    shop = await shop_with(stack, SerialServer(Overheard(), gap=0), journal=FullDisk(IntentState.INTENT))
    refused = await (await shop.page()).sell(2500, "A1")
    assert refused["ResponseCode"] == NOT_SENT
    assert "the disk is full" in refused["ResponseMessage"]
    assert shop.terminal.codes() == []


async def test_a_result_that_cannot_be_recorded_is_told_all_the_same(
    stack: AsyncExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    shop = await shop_with(stack, SerialServer(Overheard(), gap=0), journal=FullDisk(IntentState.APPROVED))
    assert (await (await shop.page()).sell(2500, "A1"))["ResponseCode"] == 0
    assert shop.charged() == [2500]
    assert "could not record it" in caplog.text
    caplog.clear()


async def test_a_page_and_a_program_do_not_sell_at_once(counter: Shop) -> None:
    """A program that uses the agent's own interface, at the same terminal."""
    terminal = counter.bridged.server.agent.terminals["terminal"]
    page = await counter.page()
    assert (await page.sell(1000, "A0"))["ResponseCode"] == 0
    counter.terminal.script.append(Behaviour(decide_after=0.3))
    programs = asyncio.create_task(terminal.run(Sale(2000, "P1")))
    while not counter.terminal.busy:
        await asyncio.sleep(0.005)
    assert "busy" in (await page.sell(3000, "A1"))["ResponseMessage"]
    await page.write(page.written(CancelSale.code))
    assert inner(await page.answer())["ResponseCode"] == NOT_SENT, "it is not the page's sale"
    assert (await programs).approved
    counter.terminal.script.append(Behaviour(decide_after=0.3))
    sale = await counter.sale(page, "A2")
    with pytest.raises(TerminalBusy):
        await terminal.run(Sale(2000, "P2"))
    assert (await sale)["ResponseCode"] == 0
    assert counter.charged() == [1000, 2000, 2500]


async def test_an_agent_that_stops_in_mid_sale(counter: Shop) -> None:
    """What is sold is waited for, and its page hears of it; nothing new is begun."""
    counter.terminal.script.append(Behaviour(decide_after=0.4))
    page, other = await counter.page(), await counter.page()
    sale = await counter.sale(page)
    stopping = asyncio.create_task(counter.bridged.stop())
    await asyncio.sleep(0.05)
    refused = await other.sell(1, "B1")
    assert "stopping" in refused["ResponseMessage"]
    assert (await sale)["ResponseCode"] == 0
    assert await stopping
    assert (counter.charged(), counter.states()) == ([2500], [IntentState.APPROVED])


def test_the_page_of_the_wire_has_these_bounds() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs/protocol.md").read_text(encoding="utf-8")
    told = " ".join(text.partition("\n## Websocket bridge\n")[2].partition("\n## ")[0].split())
    most, within = bridge_module._MOST, bridge_module._WITHIN
    assert f"at most {bridge_module._LONGEST:,} characters" in told
    assert f"more than {most} in {within:.0f} s" in told
    assert f"{guard_module._SOCKETS} pages may be connected" in told
    assert f"gives up {bridge_module._PATIENCE:.0f} s after" in told
    assert f"`ResponseCode` {NOT_SENT}," in told
    assert f"{bridge_module._ANSWER_TO_CARD:.0f} s after its call for a card, and {bridge_module._ANSWER:.0f} s" in told


# -------------------------------------------------------------------------------------------------------- hostile pages


async def test_a_page_of_another_origin_gets_nothing(counter: Shop) -> None:
    for origin in ("https://shop.example.evil.example", "https://evil.example", "file://", ""):
        with pytest.raises(Refused, match="403"):
            async with GetnetPage(counter.url, origin=origin):
                pass
    assert counter.terminal.codes() == []


async def test_a_message_is_not_longer_than_any_page_needs(counter: Shop) -> None:
    for size in (70_000, 2_000_000):
        page = await counter.page()
        page.send_raw(json.dumps({"Type": "write", "WriteParams": {"Message": "x" * size}}))
        while page.close_code is None:
            await asyncio.sleep(0.005)
        assert page.close_code in (1008, 1009)
    assert (await (await counter.page()).sell(2500, "A1"))["ResponseCode"] == 0


async def test_a_page_that_floods_is_shown_out(counter: Shop) -> None:
    flood, page = await counter.page(), await counter.page()
    for _ in range(200):
        flood.send_raw('{"Type":"open","OpenParams":{"Port":""}}')
    while flood.close_code is None:
        await asyncio.sleep(0.005)
    assert flood.close_code == 1008
    assert (await page.sell(2500, "A1"))["ResponseCode"] == 0


async def test_there_are_so_many_sockets_and_no_more(
    counter: Shop, count: Count, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first ones go on selling, and one that was given up is free again."""
    sockets = count(short=16, evidence=256, long=256)
    assert guard_module._SOCKETS == 256, "more than the 200 pages of a large shop"
    monkeypatch.setattr(guard_module, "_SOCKETS", sockets)
    pages = [await counter.page() for _ in range(sockets)]
    with pytest.raises(Refused, match="403"):
        await counter.page()
    assert (await pages[0].sell(2500, "A1"))["ResponseCode"] == 0
    await pages[1].leave()
    is_free = False
    while not is_free:
        with suppress(Refused):
            is_free = (await counter.page()).close_code is None
        await asyncio.sleep(0.01)


async def test_a_page_that_does_not_read_holds_up_nobody(counter: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge_module, "_UNREAD", 1)
    deaf, page = await counter.page(), await counter.page()
    for _ in range(30):
        deaf.send_raw('{"Type":"ports"}')
    assert (await page.sell(2500, "A1"))["ResponseCode"] == 0
    while deaf.close_code is None:
        await asyncio.sleep(0.005)
    assert deaf.close_code == 1008


@pytest.fixture(autouse=True)
def no_traceback(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing fails behind a page's back."""
    yield
    assert not [record for record in caplog.records if record.exc_info or record.levelname == "ERROR"]
