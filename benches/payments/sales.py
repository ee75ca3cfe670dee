"""What sales cost the process that makes them, against bare HTTP calls with the same body, in the same process.

``python -m benches.payments.sales NAME ARGUMENT...`` prints one measurement as JSON.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import resource
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from statistics import median
from threading import Barrier
from typing import Any

import aiohttp
import httpx

from benches.payments.servers import peer, use_all_descriptors
from getnet_pos import AsyncConnector, Connector, KeyPos, Poll, Profile, Timeouts
from getnet_pos.cloud import AsyncCloudAccount

HOOK = "http://127.0.0.1:9/hook"
"""Where nobody listens: the result is asked for."""
AT_ONCE = 200
WAIT = 0.2
"""Seconds that the customer takes where many sell at once and the processor's time is what counts."""
CUSTOMER = 1.0
"""The same where the whole crowd's time counts."""

Way = Callable[[int], Awaitable[object]]
"""Does one of the calls that are made at once."""


@contextmanager
def journal() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "journal.sqlite3"


def account_of(url: str, count: int) -> AsyncCloudAccount:
    limits = Timeouts(report=300, status=CUSTOMER)
    return AsyncCloudAccount(
        url, client_id="id", client_secret="secret", profile=Profile.CHILE, max_connections=count, timeouts=limits
    )


# ----------------------------------------------------------------------------------------- the processor's time, beside


class _Rivals:
    """Bare calls of the same cloud with the bodies and headers of the library's own."""

    def __init__(self, url: str, places: list[KeyPos], token: str) -> None:
        self._url, self._places = url, places
        self._headers = {
            "Accept": "application/json", "env": "uat", "country": "cl", "app": "posintegrado",
            "Content-Type": "application/json", "Authorization": f"Bearer {token}",
        }  # fmt: skip
        self._number = 0

    def _body(self, place: int, code: int) -> bytes:
        self._number += 1
        key_pos = self._places[place]
        body: dict[str, Any] = {
            "idTerminal": key_pos.id_terminal,
            "idSucursal": key_pos.id_sucursal,
            "serialNumber": key_pos.serial_number,
            "command": code,
        }
        if code == 100:
            ticket = f"R{self._number:09d}"
            body |= {
                "amount": 1000 + place,
                "ticketNumber": ticket,
                "printOnPos": False,
                "saleType": 0,
                "employeeId": 1,
            }
        return json.dumps({**body, "customId": f"{self._number:024d}"}, separators=(",", ":")).encode()

    def by_httpx(self, client: httpx.AsyncClient, code: int) -> Way:
        url = f"{self._url}/{'sale' if code == 100 else 'poll'}"

        async def call(place: int) -> None:
            answer = await client.post(url, content=self._body(place, code), headers=self._headers)
            assert answer.json()["data"]["response"]["responseCode"] == 0

        return call

    def by_aiohttp(self, session: aiohttp.ClientSession, code: int) -> Way:
        url = f"{self._url}/{'sale' if code == 100 else 'poll'}"

        async def call(place: int) -> None:
            async with session.post(url, data=self._body(place, code), headers=self._headers) as answer:
                assert (await answer.json())["data"]["response"]["responseCode"] == 0

        return call


async def _ways(url: str, at_once: int, stack: AsyncExitStack, path: Path) -> dict[str, Way]:
    """By name; each is called ``at_once`` times at once."""
    account = await stack.enter_async_context(account_of(url, at_once))
    places = await account.list_terminals()
    third = len(places) // 3

    def registers(of: list[KeyPos], webhook: str | None) -> list[AsyncConnector]:
        limits = Timeouts(report=300, status=2 * WAIT)
        return [
            AsyncConnector.create_cloud(account, key_pos=key_pos, webhook=webhook, journal=path, timeouts=limits)
            for key_pos in of
        ]

    plain, pushed = registers(places[:third], None), registers(places[third : 2 * third], HOOK)
    await asyncio.gather(*(pos.polling() for pos in (*plain, *pushed)))

    def sale(of: list[AsyncConnector]) -> Way:
        async def sell(place: int) -> None:
            assert (await of[place].sale(1000 + place)).approved

        return sell

    async def poll(place: int) -> None:
        assert (await plain[place].request(Poll())).approved

    login = httpx.post(f"{url}/auth", data={"clientId": "id", "clientSecret": "secret"}, trust_env=False)
    rivals = _Rivals(url, places[2 * third :], login.json()["data"]["token"])
    limits = {"new": httpx.Limits(max_keepalive_connections=0), "kept": httpx.Limits(max_connections=at_once)}
    sessions = {
        name: await stack.enter_async_context(httpx.AsyncClient(trust_env=False, limits=limit, timeout=60))
        for name, limit in limits.items()
    }
    bare = {
        name: await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=name == "new"))
        )
        for name in ("new", "kept")
    }
    return {
        "sale": sale(plain),
        "sale, httpx": rivals.by_httpx(sessions["new"], 100),
        "sale, aiohttp": rivals.by_aiohttp(bare["new"], 100),
        "sale, httpx kept": rivals.by_httpx(sessions["kept"], 100),
        "sale, aiohttp kept": rivals.by_aiohttp(bare["kept"], 100),
        "sale, polled": sale(pushed),
        "poll": poll,
        "poll, httpx": rivals.by_httpx(sessions["new"], 106),
    }


async def _used(way: Way, at_once: int) -> float:
    """Seconds of the processor for each of the calls at once."""
    begun = time.process_time()
    await asyncio.gather(*(way(place) for place in range(at_once)))
    return (time.process_time() - begun) / at_once


async def _processor(url: str, rounds: int, at_once: int, names: Sequence[str]) -> dict[str, float]:
    with journal() as path:
        async with AsyncExitStack() as stack:
            ways = await _ways(url, at_once, stack, path)
            times: dict[str, list[float]] = {name: [] for name in names or ways}
            for number in range(rounds + 1):
                for name, taken in times.items():
                    used = await _used(ways[name], at_once)
                    # The first round opens what is kept, and learns what the last voucher was.
                    if number:
                        taken.append(used * 1000)
    return {name: median(taken) for name, taken in times.items()}


def processor(rounds: str, at_once: str = str(AT_ONCE), *names: str) -> dict[str, float]:
    """Milliseconds of the processor for one call of each way, in turns: the journal's thread is counted, too."""
    with peer("cloud", 3 * int(at_once), WAIT) as cloud:
        return asyncio.run(_processor(cloud.where, int(rounds), int(at_once), names))


# -------------------------------------------------------------------------------------------------------------- a crowd


class _Collector:
    """Seconds of the processor that Python's garbage collector used."""

    def __init__(self) -> None:
        self.seconds = self._begun = 0.0
        gc.callbacks.append(self._called)

    def _called(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._begun = time.thread_time()
        else:
            self.seconds += time.thread_time() - self._begun


async def _crowd(url: str, count: int) -> dict[str, float]:
    with journal() as path:
        async with account_of(url, count) as account:
            places = await account.list_terminals()
            registers = [AsyncConnector.create_cloud(account, key_pos=key_pos, journal=path) for key_pos in places]
            await asyncio.gather(*(pos.polling() for pos in registers))
            collector = _Collector()
            begun, used = time.perf_counter(), time.process_time()
            sales = await asyncio.gather(*(pos.sale(1000 + place) for place, pos in enumerate(registers)))
            elapsed, used = time.perf_counter() - begun, time.process_time() - used
    for place, (sale, key_pos) in enumerate(zip(sales, places, strict=True)):
        assert sale.approved
        assert (sale.amount, sale.terminal_id) == (1000 + place, key_pos.id_terminal)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    collected = collector.seconds / count * 1000
    return {"seconds": elapsed, "ms": used / count * 1000, "MB": peak, "collector ms": collected}


def crowd(count: str) -> dict[str, float]:
    """A sale at so many terminals at once: seconds, milliseconds of the processor for each, the most memory in MB."""
    with peer("cloud", count, CUSTOMER) as cloud:
        figures = asyncio.run(_crowd(cloud.where, int(count)))
    assert cloud.done["charges"] == int(count)
    return figures


# ----------------------------------------------------------------------------------------------------------- in threads


def threads(count: str, rounds: str) -> dict[str, float]:
    """Sales a second at so many TCP terminals, each driven by a thread, with one journal."""
    with journal() as path, peer("terminals", count) as terminals, ThreadPoolExecutor(int(count)) as pool:
        registers = [Connector.create_tcp("127.0.0.1", port, journal=path) for port in terminals.where]
        ready, times = Barrier(int(count) + 1), []

        def work(pos: Connector) -> None:
            pos.polling()
            assert pos.sale(1_000).approved
            ready.wait()
            ready.wait()
            for number in range(int(rounds)):
                assert pos.sale(1_001 + number).approved
            ready.wait()

        done = [pool.submit(work, pos) for pos in registers]
        ready.wait()
        begun, used = time.perf_counter(), time.process_time()
        ready.wait()
        ready.wait()
        times = [time.perf_counter() - begun, time.process_time() - used]
        for one in done:
            one.result()
        for pos in registers:
            pos.close()
    sales = int(count) * int(rounds)
    assert terminals.done["charges"] == sales + int(count)
    return {"sales/s": sales / times[0], "ms": times[1] / sales * 1000}


if __name__ == "__main__":
    logging.disable()
    use_all_descriptors()
    measure: Any = {"processor": processor, "crowd": crowd, "threads": threads}[sys.argv[1]]
    print(json.dumps(measure(*sys.argv[2:])))
