"""The receiver of webhooks, mounted in Starlette behind a real server, and what may be posted to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from getnet_pos import (
    AsyncConnector,
    ConfigurationError,
    Intent,
    IntentState,
    InvalidType,
    InvalidValue,
    Profile,
    Sale,
    SqliteJournal,
)
from getnet_pos.cloud import AsyncCloudAccount, Notice, WebhookReceiver, bounds
from getnet_pos.cloud import webhooks as module
from getnet_pos.simulator.asgi import ThreadedServer
from getnet_pos.simulator.cloud import CloudFault, CloudFaultKind, VirtualCloud, Where
from tests.cloud.conftest import QUICK, Open, settings_for

SECRET = "a-secret-of-sixteen-or-more"
RESULT = {
    "code": 1,
    "status": "OK",
    "message": "TRANSACTION FINISHED",
    "data": {
        "idPosTxs": 700001,
        "customId": "T1",
        "functionCode": 100,
        "code": 0,
        "message": "Approved",
        "amount": 1000,
    },
}


def changed(**data: Any) -> dict[str, Any]:
    return {**RESULT, "data": {**RESULT["data"], **data}}  # type: ignore[dict-item]  # a document of JSON


async def post(receiver: WebhookReceiver, body: object = RESULT, path: str = f"/hooks/{SECRET}", **options: Any) -> int:
    """The status that a receiver answers with, mounted at ``/hooks``."""
    app = Starlette(routes=[Mount("/hooks", receiver)])
    content = body if isinstance(body, (bytes, str)) else json.dumps(body)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop.example") as client:
        method = options.pop("method", "POST")
        return (await client.request(method, path, content=content, **options)).status_code


@pytest.fixture
def told() -> list[Notice]:
    return []


@pytest.fixture
def trusting(told: list[Notice]) -> WebhookReceiver:
    return WebhookReceiver(told.append, secret_path=SECRET, trust=True)


# --------------------------------------------------------------------------------------------------------------- taking


async def test_a_notice_is_handed_on(trusting: WebhookReceiver, told: list[Notice]) -> None:
    assert await post(trusting) == 200
    await trusting.drain()
    [notice] = told
    assert (notice.result.id_pos_txs, notice.result.custom_id, notice.confirmed, notice.intent) == (
        700001,
        "T1",
        False,
        None,
    )
    assert notice.result.reply is not None
    assert (notice.result.reply.approved, notice.result.reply.function_code) == (True, 100)


async def test_the_same_notice_comes_once(trusting: WebhookReceiver, told: list[Notice]) -> None:
    for body in (RESULT, RESULT, json.dumps(RESULT, indent=2), {**RESULT, "message": "said otherwise"}):
        assert await post(trusting, body) == 200
    await trusting.drain()
    assert len(told) == 1
    for body in (changed(code=1006), changed(idPosTxs=700002), changed(customId="T2")):
        assert await post(trusting, body) == 200
    await trusting.drain()
    assert len(told) == 4


async def test_only_so_many_are_remembered(told: list[Notice]) -> None:
    receiver = WebhookReceiver(told.append, secret_path=SECRET, trust=True, remembered=2)
    for number in (1, 2, 3, 3, 2, 1):
        await post(receiver, changed(idPosTxs=number))
    await receiver.drain()
    assert [notice.result.id_pos_txs for notice in told] == [1, 2, 3, 1]


@pytest.mark.parametrize(
    ("body", "options", "status"),
    [
        (RESULT, {"method": "GET"}, 405),
        (RESULT, {"method": "PUT"}, 405),
        (RESULT, {"path": "/hooks/wrong-secret-of-this-length"}, 404),
        (RESULT, {"path": "/hooks/"}, 404),
        (RESULT, {"path": f"/hooks/{SECRET}/more"}, 404),
        (RESULT, {"path": "/hooks/%C3%B1"}, 404),
        (RESULT, {"path": f"/hooks/{SECRET}/"}, 200),
        (RESULT, {"path": f"/hooks/deeper/{SECRET}"}, 200),
        (b"", {}, 400),
        (b"{", {}, 400),
        (b"[]", {}, 400),
        (b'{"code":"1"}', {}, 400),
        (b'{"code":1,"code":1}', {}, 400),
        (b'\xff{"code":1}', {}, 400),
        ({"code": 1, "data": None}, {}, 400),
        ({"code": 1, "data": {"idPosTxs": "../x"}}, {}, 400),
        ({**RESULT, "idTerminal": "T/", "idSucursal": 1, "serialNumber": "S"}, {}, 400),
        ({**RESULT, "idTerminal": "T", "idSucursal": 1, "serialNumber": "S"}, {}, 200),
        ({"code": 0, "status": "ERROR", "message": "POS TIMEOUT", "data": {"customId": "T1"}}, {}, 200),
        (b" " * 3000, {}, 413),
        (RESULT, {"headers": {"content-length": "-5"}}, 413),
        (RESULT, {"headers": {"content-length": "9" * 30}}, 413),
    ],
)
async def test_what_is_refused(told: list[Notice], body: object, options: dict[str, Any], status: int) -> None:
    receiver = WebhookReceiver(told.append, secret_path=SECRET, trust=True, max_body=2048)
    assert await post(receiver, body, **options) == status
    await receiver.drain()
    assert len(told) == (status == 200)


async def test_a_body_that_is_longer_than_it_says(told: list[Notice]) -> None:
    receiver = WebhookReceiver(told.append, secret_path=SECRET, trust=True, max_body=1024)

    async def drops() -> Any:
        for _ in range(10):
            yield b" " * 200

    app = Starlette(routes=[Mount("/hooks", receiver)])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop.example") as client:
        assert (await client.post(f"/hooks/{SECRET}", content=drops())).status_code == 413


async def test_a_body_that_does_not_come(trusting: WebhookReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BODY_WITHIN", 0.01)
    sent: list[Any] = []

    async def never() -> Any:
        await asyncio.sleep(60)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": f"/{SECRET}", "headers": []}
    await trusting(scope, never, send)
    assert sent[0]["status"] == 408


async def test_a_header_in_the_place_of_a_path(told: list[Notice]) -> None:
    receiver = WebhookReceiver(told.append, secret_header=("X-Webhook-Key", SECRET), trust=True)
    assert await post(receiver, path="/hooks/") == 401
    assert await post(receiver, path="/hooks/", headers={"x-webhook-key": SECRET + "x"}) == 401
    assert await post(receiver, path="/hooks/", headers={"x-webhook-key": SECRET}) == 200
    await receiver.drain()
    assert len(told) == 1


async def test_a_refusal_says_what_is_right(trusting: WebhookReceiver) -> None:
    app = Starlette(routes=[Mount("/hooks", trusting)])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop.example") as client:
        assert (await client.get(f"/hooks/{SECRET}")).headers["allow"] == "POST"


async def test_it_is_not_for_other_protocols(trusting: WebhookReceiver) -> None:
    with pytest.raises(NotImplementedError):
        await trusting({"type": "lifespan"}, None, None)  # type: ignore[arg-type]  # nothing of the rest is looked at


# -------------------------------------------------------------------------------------------------------------- handing


async def test_the_answer_does_not_wait_for_the_handler() -> None:
    gate, handled = asyncio.Event(), []

    async def slow(notice: Notice) -> None:
        await gate.wait()
        handled.append(notice)

    receiver = WebhookReceiver(slow, secret_path=SECRET, trust=True, max_pending=2)
    for number in (1, 2):
        assert await asyncio.wait_for(post(receiver, changed(idPosTxs=number)), 5) == 200
    assert await post(receiver, changed(idPosTxs=3)) == 503
    assert handled == []
    gate.set()
    await receiver.drain()
    assert len(handled) == 2
    assert await post(receiver, changed(idPosTxs=3)) == 200, "the cloud may try again"
    await receiver.close()


async def test_a_queue() -> None:
    queue: asyncio.Queue[Notice] = asyncio.Queue()
    async with WebhookReceiver(queue, secret_path=SECRET, trust=True) as receiver:
        await post(receiver)
        assert (await asyncio.wait_for(queue.get(), 5)).result.id_pos_txs == 700001


async def test_a_handler_that_fails_gets_the_notice_again(caplog: pytest.LogCaptureFixture) -> None:
    tries: list[Notice] = []

    def flaky(notice: Notice) -> None:
        tries.append(notice)
        if len(tries) == 1:
            raise ZeroDivisionError

    receiver = WebhookReceiver(flaky, secret_path=SECRET, trust=True)
    for _ in range(3):
        assert await post(receiver) == 200
        await receiver.drain()
    assert len(tries) == 2
    assert "the handler failed for the result of transaction" in caplog.text


async def test_closing_drops_what_is_on_its_way() -> None:
    receiver = WebhookReceiver(lambda notice: asyncio.sleep(60), secret_path=SECRET, trust=True)
    await post(receiver)
    await asyncio.sleep(0)
    await asyncio.wait_for(receiver.close(), 5)
    assert not receiver._pending


# ----------------------------------------------------------------------------------------------------------- confirming


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CONFIRMED_WITHIN", (0.0, 0.02, 0.02))


def account_of(cloud: VirtualCloud) -> AsyncCloudAccount:
    return AsyncCloudAccount(cloud.url, client_id="id", client_secret="s", profile=cloud.profile, timeouts=QUICK)


async def charged(account: AsyncCloudAccount, cloud: VirtualCloud, journal: Any = None, **settings: Any) -> int:
    """The number of the transaction of a sale of 1000, ticket T1."""
    async with AsyncConnector.create_cloud(account, key_pos=cloud.key_pos, journal=journal, **settings) as pos:
        await pos.polling()
        await pos.sale(1000, ticket="T1")
    return max(number for number, one in cloud._transactions.items() if one.kind is Sale)


@pytest.mark.usefixtures("quickly")
async def test_a_notice_is_what_the_cloud_says(cloud: VirtualCloud, told: list[Notice]) -> None:
    async with (
        account_of(cloud) as account,
        WebhookReceiver(told.append, secret_path=SECRET, confirm=account) as receiver,
    ):
        number = await charged(account, cloud)
        # Forged: another amount, and paid where nobody paid.
        for forged in (changed(idPosTxs=number, amount=1), changed(idPosTxs=number, amount=2)):
            assert await post(receiver, forged) == 200
        await receiver.drain()
    [notice] = told
    assert notice.confirmed
    reply: Any = notice.result.reply
    assert (reply.amount, reply.approved) == (1000, True)


@pytest.mark.usefixtures("quickly")
async def test_what_the_cloud_does_not_bear_out_is_dropped(
    cloud: VirtualCloud, told: list[Notice], caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        account_of(cloud) as account,
        WebhookReceiver(told.append, secret_path=SECRET, confirm=account) as receiver,
    ):
        assert await post(receiver, changed(idPosTxs=5)) == 200
        assert await post(receiver, {"code": 1, "data": {"customId": "T1"}}) == 200
        await receiver.drain()
        assert cloud.count("/5") == 3
        assert "ID NOT FOUND" in caplog.text
        assert "cannot be confirmed: it has no idPosTxs" in caplog.text
        # What was dropped is not known again when it is posted once more.
        assert await post(receiver, changed(idPosTxs=5)) == 200
        await receiver.drain()
        assert cloud.count("/5") == 6
    assert told == []


@pytest.mark.usefixtures("quickly")
async def test_a_webhook_that_overtakes_the_status(cloud: VirtualCloud, told: list[Notice]) -> None:
    async with (
        account_of(cloud) as account,
        WebhookReceiver(told.append, secret_path=SECRET, confirm=account) as receiver,
    ):
        number = await charged(account, cloud)
        cloud._transactions[number].slow = 1
        cloud.inject(CloudFault(CloudFaultKind.DROP_BEFORE, Where.STATUS))
        await post(receiver, changed(idPosTxs=number))
        await receiver.drain()
        cloud._transactions[number].slow = 9
        await post(receiver, changed(idPosTxs=number, amount=3))
        await receiver.drain()
    assert len(told) == 1


# ------------------------------------------------------------------------------------------------------------ strangers


@contextlib.asynccontextmanager
async def confirming(
    cloud: VirtualCloud, told: list[Notice], **settings: Any
) -> AsyncIterator[tuple[AsyncCloudAccount, WebhookReceiver]]:
    """A receiver without a secret, which has the cloud confirm all that is posted."""
    async with account_of(cloud) as account, WebhookReceiver(told.append, confirm=account, **settings) as receiver:
        yield account, receiver


def forged(number: int) -> dict[str, Any]:
    return changed(idPosTxs=number, customId="forged")


def queries(cloud: VirtualCloud) -> int:
    """How often the cloud was asked for a status."""
    return sum(request.method == "GET" for request in cloud.requests)


async def eventually(condition: Callable[[], bool]) -> None:
    async def met() -> None:
        while not condition():
            await asyncio.sleep(0.01)

    await asyncio.wait_for(met(), 20)


@pytest.mark.usefixtures("quickly")
@pytest.mark.parametrize("who", ["the account's own connector", "the journal", "nobody"])
async def test_a_real_notice_is_handed_on_while_a_thousand_forged_ones_wait(
    cloud: VirtualCloud, told: list[Notice], journal: SqliteJournal, caplog: pytest.LogCaptureFixture, who: str
) -> None:
    async with confirming(cloud, told, journal=journal) as (account, receiver):
        number = await charged(account, cloud)
        if who != "the account's own connector":
            account.cloud.own.clear()
        if who == "the journal":
            intent(journal, IntentState.ACCEPTED, number=str(number))
        asked, began = queries(cloud), time.monotonic()
        for place in range(1_000):
            assert await post(receiver, forged(900_000 + place), "/hooks/") == 200
        assert await post(receiver, changed(idPosTxs=number), "/hooks/") == 200
        await eventually(lambda: bool(told))
        assert [notice.result.id_pos_txs for notice in told] == [number]
        # Two a second, and one for the real notice.
        assert queries(cloud) - asked <= 2 * (time.monotonic() - began) + 3
    assert len([record for record in caplog.records if record.name == "getnet_pos.webhooks"]) <= 31


async def test_expected_notices_are_taken_when_no_more_others_are(
    cloud: VirtualCloud, told: list[Notice], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_IN_TURN", 3)
    async with confirming(cloud, told) as (account, receiver):
        number = await charged(account, cloud)
        statuses = [await post(receiver, forged(900_000 + place), "/hooks/") for place in range(5)]
        assert statuses == [200, 200, 200, 503, 503]
        assert await post(receiver, changed(idPosTxs=number), "/hooks/") == 200
        await eventually(lambda: bool(told))


@pytest.mark.usefixtures("quickly")
async def test_a_forged_number_costs_a_bounded_number_of_queries(cloud: VirtualCloud, told: list[Notice]) -> None:
    async with confirming(cloud, told, max_queries=100_000) as (_, receiver):
        for amount in range(1, 8):
            assert await post(receiver, changed(idPosTxs=5, amount=amount), "/hooks/") == 200
            await receiver.drain()
        assert cloud.count("/5") == 6
    assert told == []


@pytest.mark.usefixtures("quickly")
async def test_a_custom_id_of_our_own_opens_no_door_to_forged_numbers(cloud: VirtualCloud, told: list[Notice]) -> None:
    """One number at a time is asked about out of turn, and not for ever."""
    async with confirming(cloud, told) as (account, receiver):
        number = await charged(account, cloud)
        custom_id = account.cloud.own[0]
        for place in range(200):
            await post(receiver, changed(idPosTxs=900_000 + place, customId=custom_id), "/hooks/")
            await asyncio.sleep(0.002)
        assert queries(cloud) < 40
        assert await post(receiver, changed(idPosTxs=number, customId=custom_id), "/hooks/") == 200
        await eventually(lambda: bool(told))


@pytest.mark.usefixtures("quickly")
async def test_a_transaction_is_asked_about_once_after_it_was_handed_on(
    cloud: VirtualCloud, told: list[Notice]
) -> None:
    async with confirming(cloud, told) as (account, receiver):
        number = await charged(account, cloud)
        asked = queries(cloud)
        for amount in range(1, 30):
            assert await post(receiver, changed(idPosTxs=number, amount=amount), "/hooks/") == 200
            await receiver.drain()
        assert queries(cloud) - asked == 1
    assert len(told) == 1


@pytest.mark.usefixtures("quickly")
async def test_a_transaction_without_a_result_yet_is_not_asked_about_for_ever(
    cloud: VirtualCloud, told: list[Notice]
) -> None:
    async with confirming(cloud, told) as (account, receiver):
        number = await charged(account, cloud)
        cloud._transactions[number].slow = 1_000
        asked = queries(cloud)
        for _ in range(5):
            await post(receiver, changed(idPosTxs=number), "/hooks/")
            await asyncio.sleep(0.1)
        # Three queries a round, two rounds at once; after these it waits for its turn.
        assert 6 <= queries(cloud) - asked <= 9
        cloud._transactions[number].slow = 0
        await receiver.drain()
        assert [notice.result.id_pos_txs for notice in told] == [number]


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b'{"code":1,"data":{"idPosTxs":5,"x":[' + b",".join([b"1.0"] * 5_000) + b"]}}", "more than 4096 values"),
        (
            b'{"code":1,"data":{"idPosTxs":5,"x":{' + b",".join(b'"k%d":1.0' % i for i in range(5_000)) + b"}}}",
            "more than",
        ),
        (b'{"code":1,"data":{"idPosTxs":5,"x":' + b"[" * 5_000, "more than 4096 values"),
        (json.dumps(changed(customId="4539578763621486 " * 2_000)), "customId is longer than 64 characters"),
    ],
)
async def test_what_would_cost_much_to_read(
    trusting: WebhookReceiver, told: list[Notice], caplog: pytest.LogCaptureFixture, body: bytes | str, word: str
) -> None:
    assert await post(trusting, body) == 400
    assert word in caplog.text
    assert max(map(len, caplog.text.splitlines())) < 200
    assert "4539578763621486" not in caplog.text
    assert told == []


async def test_the_log_of_strangers_is_bounded_and_shows_no_card_number(
    cloud: VirtualCloud, told: list[Notice], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    async with confirming(cloud, told) as (_, receiver):
        for place in range(100):
            body = {"code": 1, "data": {"customId": f"4539 5787 6362 1486\x1b{place}"}}
            assert await post(receiver, body, "/hooks/") == 200
        assert len(caplog.records) == 30
        assert caplog.records[0].getMessage() == (
            r"a webhook for customId '****1486\x1b0' cannot be confirmed: it has no idPosTxs"
        )
        clock.now += 60
        await post(receiver, body, "/hooks/")
        assert caplog.records[30].getMessage() == "70 more log messages about webhooks were suppressed"
        assert len(caplog.records) == 32


class Clock:
    """The time by which log messages are counted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 6_000.0
        monkeypatch.setattr(bounds, "time", self)

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


# -------------------------------------------------------------------------------------------------------------- replays


def dated(number: int, second: int) -> dict[str, Any]:
    return changed(idPosTxs=number, realDate=f"2026-01-01 10:00:{second:02}")


async def test_a_replay_is_not_handed_on_when_it_has_left_memory(told: list[Notice]) -> None:
    receiver = WebhookReceiver(told.append, secret_path=SECRET, trust=True, remembered=1)
    for number, second in ((1, 1), (2, 2), (1, 1), (2, 2), (3, 2), (1, 1), (2, 2)):
        await post(receiver, dated(number, second))
        await receiver.drain()
    assert [notice.result.id_pos_txs for notice in told] == [1, 2, 3]


@pytest.mark.parametrize(
    "late",
    [changed(idPosTxs=1), dated(9, 1), dated(1, 9), changed(idPosTxs="A-1", realDate="2026-01-01 10:00:01")],
    ids=["no date", "a higher number", "a later date", "no number that grows"],
)
async def test_what_may_be_new_is_handed_on(told: list[Notice], late: dict[str, Any]) -> None:
    receiver = WebhookReceiver(told.append, secret_path=SECRET, trust=True, remembered=1)
    for body in (dated(2, 3), dated(3, 4), late):
        await post(receiver, body)
        await receiver.drain()
    assert len(told) == 3


async def test_a_clock_that_is_ahead_makes_nothing_look_old(told: list[Notice]) -> None:
    receiver = WebhookReceiver(told.append, secret_path=SECRET, trust=True, remembered=1)
    for body in (changed(idPosTxs=7, realDate="2999-01-01 10:00:00"), dated(8, 3), dated(6, 4)):
        await post(receiver, body)
        await receiver.drain()
    assert len(told) == 3


@pytest.mark.parametrize("before", [-60.0, 60.0], ids=["a minute ago", "a minute to come"])
async def test_what_the_journal_had_settled_before_memory_begins_is_not_handed_on_again(
    journal: SqliteJournal, told: list[Notice], monkeypatch: pytest.MonkeyPatch, before: float
) -> None:
    monkeypatch.setattr(module, "_SETTLED_BEFORE", before)
    intent(journal, IntentState.APPROVED, number="700001")
    receiver = WebhookReceiver(told.append, secret_path=SECRET, trust=True, journal=journal)
    here = {"idTerminal": "80005000", "idSucursal": 12983, "serialNumber": "SNPRUEBA1234"}
    await post(receiver, {**RESULT, **here})
    await receiver.drain()
    assert len(told) == (before > 0)


# ------------------------------------------------------------------------------------------------------------- matching


def intent(journal: SqliteJournal, state: IntentState, number: str | None = None, **fields: Any) -> Intent:
    asked = {"intent_id": "a" * 32, "terminal": f"cloud:{VirtualCloud().key_pos}", "ticket": "T1", **fields}
    made = Intent(command=100, amount=1000, **asked)
    journal.record(made)
    if state is not IntentState.INTENT:
        made = replace(made, state=state, transaction_id=number)
        journal.record(made)
    return made


@pytest.fixture
def journal(journal_path: Any) -> Iterator[SqliteJournal]:
    kept = SqliteJournal(journal_path)
    yield kept
    kept.close()


async def matched(receiver: WebhookReceiver, told: list[Notice], body: object) -> Intent | None:
    assert await post(receiver, body) == 200
    await receiver.drain()
    return told.pop().intent


async def test_a_notice_names_its_intent(journal: SqliteJournal, told: list[Notice]) -> None:
    receiver = WebhookReceiver(told.append, secret_path=SECRET, trust=True, journal=journal)
    accepted = intent(journal, IntentState.ACCEPTED, number="700001")
    assert await matched(receiver, told, RESULT) == accepted
    assert await matched(receiver, told, changed(idPosTxs=700009)) is None, "its ticket is that of another transaction"
    here = {"idTerminal": "80005000", "idSucursal": 12983, "serialNumber": "SNPRUEBA1234"}
    assert await matched(receiver, told, {**changed(amount=2), **here}) == accepted
    assert await matched(receiver, told, {**changed(amount=3), **here, "idSucursal": 7}) is None


async def test_a_webhook_before_the_answer_is_matched_by_its_custom_id(
    journal: SqliteJournal, told: list[Notice]
) -> None:
    receiver = WebhookReceiver(told.append, secret_path=SECRET, trust=True, journal=journal)
    made = intent(journal, IntentState.INTENT)
    assert await matched(receiver, told, RESULT) == made
    assert await matched(receiver, told, changed(customId="a" * 24)) == made
    assert await matched(receiver, told, changed(customId="other")) is None
    other = intent(journal, IntentState.INTENT, intent_id="b" * 32, terminal="cloud:X/1/Y")
    assert await matched(receiver, told, changed(amount=5)) is None, "two have the same ticket"
    assert await matched(receiver, told, changed(customId="b" * 24)) == other


async def test_a_journal_that_cannot_be_read_or_is_none(
    journal: SqliteJournal, told: list[Notice], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from getnet_pos import JournalError, MemoryJournal

    def broken(*, settled: bool = False) -> list[Intent]:
        raise JournalError("the disk is gone")

    receiver = WebhookReceiver(told.append, secret_path=SECRET, trust=True, journal=journal)
    monkeypatch.setattr(journal, "intents", broken)
    assert await matched(receiver, told, RESULT) is None
    assert "the disk is gone" in caplog.text
    receiver = WebhookReceiver(told.append, secret_path=SECRET, trust=True, journal=MemoryJournal())
    assert await matched(receiver, told, RESULT) is None


@pytest.mark.usefixtures("quickly")
async def test_a_notice_without_a_number_is_confirmed_by_that_of_its_intent(
    cloud: VirtualCloud, journal: SqliteJournal, told: list[Notice]
) -> None:
    async with account_of(cloud) as account:
        number = await charged(account, cloud)
        made = intent(journal, IntentState.ACCEPTED, intent_id="c" * 32, number=str(number))
        receiver = WebhookReceiver(told.append, secret_path=SECRET, confirm=account, journal=journal)
        await post(receiver, {"code": 1, "data": {"customId": "c" * 24}})
        await receiver.drain()
    assert [(notice.confirmed, notice.intent) for notice in told] == [(True, made)]


# -------------------------------------------------------------------------------------------------- over a real network


@pytest.fixture
def served() -> Iterator[Callable[[Any], str]]:
    """``served(app)`` is where an application is served until the test ends."""
    with ExitStack() as stack:

        def start(app: Any) -> str:
            server = ThreadedServer(app)
            address = server.start()
            stack.callback(server.stop)
            return address

        yield start


class Kept:
    """A receiver in another thread, and what it was told."""

    def __init__(self, **settings: Any) -> None:
        self.notices: list[Notice] = []
        self.receiver = WebhookReceiver(self.notices.append, secret_path=SECRET, trust=True, **settings)

    async def wait(self, count: int) -> None:
        for _ in range(300):
            if len(self.notices) >= count:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{len(self.notices)} of {count} notices")


@pytest.mark.parametrize(
    ("kind", "notices"),
    [
        (None, 1),
        (CloudFaultKind.WEBHOOK_EARLY, 1),
        (CloudFaultKind.WEBHOOK_TWICE, 1),
        (CloudFaultKind.WEBHOOK_LATE, 1),
        (CloudFaultKind.WEBHOOK_NEVER, 0),
        (CloudFaultKind.DROP_AFTER, 1),
    ],
)
async def test_a_sale_with_a_webhook(
    opened: Open, profile: Profile, served: Callable[[Any], str], kind: CloudFaultKind | None, notices: int
) -> None:
    kept = Kept()
    url = f"{served(Starlette(routes=[Mount('/getnet', kept.receiver)]))}/getnet/{SECRET}"
    cloud = opened(profile=profile)
    if kind is not None:
        cloud.inject(CloudFault(kind, seconds=0.2))
    async with AsyncConnector.create_cloud(cloud.url, **settings_for(cloud, {"webhook": url})) as pos:
        await pos.polling()
        sale = await pos.sale(1000, ticket="T1")
    assert sale.approved
    assert len(cloud.terminal.ledger.entries) == 1
    await kept.wait(notices)
    await asyncio.sleep(0.05)
    assert [notice.result.reply.authorization_code for notice in kept.notices] == [sale.authorization_code] * notices  # type: ignore[union-attr]  # an approved sale has a reply


async def test_a_slow_peer_does_not_hold_others_up(served: Callable[[Any], str]) -> None:
    kept = Kept()
    address = served(kept.receiver)
    host, port = address.removeprefix("http://").split(":")
    with contextlib.closing(socket.create_connection((host, int(port)))) as slow:
        slow.sendall(f"POST /{SECRET} HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n".encode())
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.post(f"{address}/{SECRET}", json=RESULT)).status_code == 200
    await kept.wait(1)


# ------------------------------------------------------------------------------------------------------------- settings


def test_someone_has_to_vouch_for_a_notice() -> None:
    account = AsyncCloudAccount(
        "https://cloud.example/api/postxs", client_id="i", client_secret="s", profile=Profile.CHILE
    )
    for settings in ({}, {"confirm": account, "trust": True}):
        with pytest.raises(ConfigurationError, match="pass either confirm=account"):
            WebhookReceiver(print, secret_path=SECRET, **settings)
    with pytest.raises(ConfigurationError, match="trust=True needs secret_path or secret_header"):
        WebhookReceiver(print, trust=True)
    receiver = WebhookReceiver(print, confirm=account)
    assert receiver._profile is Profile.CHILE


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"handler": None}, InvalidType),
        ({"confirm": "account", "trust": False}, InvalidType),
        ({"secret_path": "short"}, InvalidValue),
        ({"secret_path": "with/a/slash/in/it"}, InvalidValue),
        ({"secret_path": "ñ" * 20}, InvalidValue),
        ({"secret_header": ("X-Key", "short")}, InvalidValue),
        ({"secret_header": ("", SECRET)}, InvalidValue),
        ({"max_body": 0}, InvalidValue),
        ({"max_pending": 0}, InvalidValue),
        ({"remembered": 0}, InvalidValue),
        ({"journal": 7}, ConfigurationError),
    ],
)
def test_settings_that_cannot_work(settings: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        WebhookReceiver(**{"handler": print, "secret_path": SECRET, "trust": True, **settings})


async def test_nothing_of_a_webhook_is_logged(trusting: WebhookReceiver, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await post(trusting, changed(bin="40000012", transToken="token-canary", accountNumber="4111111111111111"))
    await post(trusting, b'{"code":1,"data":{"functionCode":100,"code":0,"accountNumber":"4111111111111111"}}')
    await trusting.drain()
    assert "4111111111111111" not in caplog.text
    assert "token-canary" not in caplog.text
    assert SECRET not in "".join(record.getMessage() for record in caplog.records if record.name.startswith("getnet"))
