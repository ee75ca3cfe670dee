"""Webhooks that land on another host than the one that waits, and that come again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from getnet_pos import Profile
from getnet_pos.cloud import AsyncCloudAccount, Notice, WebhookReceiver
from getnet_pos.errors import JournalError
from getnet_pos.flows.effects import AwaitNotice
from getnet_pos.journal import PostgresJournal
from getnet_pos.simulator import Behaviour
from getnet_pos.simulator.cloud import VirtualCloud
from tests.databases import Server, free_port
from tests.drivers.test_effects import asked
from tests.evidence import Count

GATEWAY = Path(__file__).parents[2] / "examples" / "gateway" / "gateway.py"
SECRET = "a-secret-of-sixteen-or-more"
RESULT = {
    "code": 1,
    "status": "OK",
    "message": "TRANSACTION FINISHED",
    "data": {"idPosTxs": 4711, "functionCode": 100, "code": 0, "message": "Approved", "amount": 1000},
}

pytestmark = pytest.mark.postgres


async def posted(receiver: WebhookReceiver, times: int = 1) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(receiver), base_url="http://shop.example") as client:
        for _ in range(times):
            assert (await client.post(f"/{SECRET}", json=RESULT)).status_code == 200
    await receiver.drain()


async def test_a_notice_is_handed_on_once_by_all_hosts_and_after_a_restart(dsn: str) -> None:
    told: list[Notice] = []
    for _ in range(3):  # three hosts, or one that starts three times
        with contextlib.closing(PostgresJournal(dsn)) as journal:
            receiver = WebhookReceiver(
                told.append, secret_path=SECRET, trust=True, profile=Profile.CHILE, journal=journal
            )
            await posted(receiver, times=2)
    assert len(told) == 1


async def test_a_database_that_is_away_loses_no_notice(common_server: Server, dsn: str) -> None:
    """Rather twice than not at all."""
    told: list[Notice] = []
    with contextlib.closing(PostgresJournal(dsn)) as journal:
        common_server.sql("ALTER TABLE getnet_pos.notice RENAME TO gone", database="journal")
        try:
            with pytest.raises(JournalError, match="cannot be used"):
                journal.keep_notice("1", "1", {})
            receiver = WebhookReceiver(
                told.append, secret_path=SECRET, trust=True, profile=Profile.CHILE, journal=journal
            )
            await posted(receiver)
        finally:
            common_server.sql("ALTER TABLE getnet_pos.gone RENAME TO notice", database="journal")
    assert len(told) == 1


def test_what_was_stored_before_anybody_waited_is_found(dsn: str) -> None:
    with contextlib.closing(PostgresJournal(dsn)) as journal:
        assert journal.keep_notice("4711", "4711", {"code": 1})
        assert not journal.keep_notice("4711", "4711", {"code": 1})
        journal.noticed("4711").result(2)
        forgotten = journal.noticed("4712")
        forgotten.cancel()


def test_both_drivers_wait_for_it(dsn: str) -> None:
    from getnet_pos.drivers.aio import AsyncDriver
    from getnet_pos.drivers.blocking import BlockingDriver

    with contextlib.closing(PostgresJournal(dsn)) as journal:
        aio, blocking = AsyncDriver(journal=lambda: journal), BlockingDriver(journal=lambda: journal)
        assert blocking.run(asked(AwaitNotice("1", 0.01))) is False
        assert asyncio.run(aio.run(asked(AwaitNotice("1", 0.01)))) is False
        with ThreadPoolExecutor(2) as pool:
            waiting = [
                pool.submit(lambda: blocking.run(asked(AwaitNotice("2", 10)))),
                pool.submit(lambda: asyncio.run(aio.run(asked(AwaitNotice("2", 10))))),
            ]
            time.sleep(0.2)
            journal.keep_notice("2", "2", {})
            assert [one.result(5) for one in waiting] == [True, True]


def test_from_host_to_host(dsn: str, count: Count, evidence: Callable[[str], None]) -> None:
    """How long it takes from a webhook at one host, handed over to be stored, until the other one knows."""
    took = []
    with contextlib.closing(PostgresJournal(dsn)) as one, contextlib.closing(PostgresJournal(dsn)) as other:
        other.noticed("never")  # so that the thread listens all the time
        for number in range(count(short=20, evidence=200, long=2_000)):
            heard = other.noticed(str(number))
            time.sleep(0.002)
            start = time.perf_counter()
            one.keep_notice(str(number), str(number), {})
            heard.result(5)
            took.append(time.perf_counter() - start)
    evidence(f"a notice from host to host: {statistics.median(took) * 1000:.2f} ms at the median of {len(took)}")
    assert statistics.median(took) < 0.1


# ------------------------------------------------------------------------------------------------------------- gateway


@contextlib.contextmanager
def gateways(cloud: VirtualCloud, dsn: str) -> Iterator[list[str]]:
    """Two hosts; the cloud posts all webhooks to the second one."""
    ports = [free_port(), free_port()]
    environment = {
        **os.environ,
        "GETNET_POS_JOURNAL": dsn,
        "CLOUD_URL": cloud.url,
        "GETNET_POS_CLIENT_ID": "id",
        "GETNET_POS_CLIENT_SECRET": "a-secret",
        "PUBLIC_URL": f"http://127.0.0.1:{ports[1]}",
        "WEBHOOK_SECRET": SECRET,
    }
    processes = [
        subprocess.Popen([sys.executable, str(GATEWAY), str(port)], env=environment, stderr=subprocess.DEVNULL)
        for port in ports
    ]
    try:
        urls = [f"http://127.0.0.1:{port}" for port in ports]
        for url in urls:
            _wait_for(url)
        yield urls
    finally:
        for process in processes:
            process.terminate()
            process.wait(20)


def _wait_for(url: str) -> None:
    for _ in range(400):
        with contextlib.suppress(httpx.HTTPError):
            httpx.get(f"{url}/health", timeout=2)
            return
        time.sleep(0.05)
    raise AssertionError(f"{url} does not answer")


def test_two_gateways(dsn: str, evidence: Callable[[str], None]) -> None:
    """Each sale is made by the first or the second; all webhooks come to the second, and the status is asked for by
    itself only every 10 s."""
    with VirtualCloud(profile=Profile.CHILE, terminals=6, default=Behaviour(decide_after=0.2)) as cloud:
        terminals = [str(key_pos) for key_pos in cloud.terminals]
        with gateways(cloud, dsn) as urls, ThreadPoolExecutor(6) as pool:

            def sell(number: int) -> tuple[Any, float]:
                body = {"terminal": terminals[number], "amount": 1000, "ticket": f"A{number}"}
                start = time.monotonic()
                answers = [httpx.post(f"{url}/sales", json=body, timeout=30).json() for url in urls]
                return answers, time.monotonic() - start

            ends = list(pool.map(sell, range(6)))
        charged = [terminal.ledger.charged() for terminal in cloud.terminals.values()]
    assert charged == [1000] * 6, "the second host was asked for the same key, and gave the stored result"
    for [first, second], _ in ends:
        assert first["outcome"] == "approved"
        assert second == first
    slowest = max(took for _, took in ends)
    evidence(f"two gateways: 6 sales at once, each asked for at both, webhooks at the second, {slowest:.1f} s at most")
    assert slowest < 9, "nobody waited for the next question"


def test_an_account_is_made_as_the_example_says() -> None:
    assert AsyncCloudAccount.__name__ in GATEWAY.read_text(encoding="utf-8")
