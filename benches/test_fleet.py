"""Many sales at once through the cloud: one process, one event loop, one account, against a cloud in another process.

Run with ``pytest benches/test_fleet.py -s``, or ``python -m benches.test_fleet COUNT [async]`` for one measurement.
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from getnet_pos import AsyncConnector, KeyPos, Profile, Timeouts
from getnet_pos.cloud import AsyncCloudAccount

MEMORY = 250e6
"""Bytes that the register's process may have resident at any time."""
GROWTH = 1.5
"""How much longer a sale may take in a crowd of 2,000 than in one of 100."""
WAIT = 1.0
"""Seconds that the customer takes."""
HOOK = "http://127.0.0.1:9/hook"

CLOUD = """
import sys
from getnet_pos import Profile
from getnet_pos.simulator import Behaviour
from getnet_pos.simulator.cloud import VirtualCloud
behaviour = Behaviour(decide_after=float(sys.argv[2]))
with VirtualCloud(profile=Profile.CHILE, terminals=int(sys.argv[1]), default=behaviour) as cloud:
    print(cloud.url, flush=True)
    sys.stdin.read()
    print(sum(len(terminal.ledger.entries) for terminal in cloud.terminals.values()), flush=True)
"""


@contextmanager
def cloud(count: int) -> Iterator[tuple[str, list[int]]]:
    """The base URL of a cloud in another process, and the number of its charges once it has ended."""
    charged: list[int] = []
    command = [sys.executable, "-c", CLOUD, str(count), str(WAIT)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), charged
        charged.append(int(process.communicate("")[0]))


async def sell(url: str, journal: Path, webhook: str | None) -> dict[str, float]:
    """A sale at every terminal at once; what the crowd took."""
    limits = Timeouts(report=300, status=WAIT)
    account = AsyncCloudAccount(
        url, client_id="id", client_secret="secret", profile=Profile.CHILE, max_connections=5_000, timeouts=limits
    )
    async with account:
        places = await account.list_terminals()

        def connector(key_pos: KeyPos) -> AsyncConnector:
            return AsyncConnector.create_cloud(account, key_pos=key_pos, webhook=webhook, journal=journal)

        registers = [connector(key_pos) for key_pos in places]
        begun, used = time.perf_counter(), time.process_time()
        await asyncio.gather(*(pos.polling() for pos in registers))
        polled, used_by_polls = time.perf_counter() - begun, time.process_time() - used
        begun, used = time.perf_counter(), time.process_time()
        sales = await asyncio.gather(*(pos.sale(1000 + place) for place, pos in enumerate(registers)))
        elapsed, used_by_sales = time.perf_counter() - begun, time.process_time() - used
    for place, (sale, key_pos) in enumerate(zip(sales, places, strict=True)):
        assert sale.approved
        assert (sale.amount, sale.terminal_id) == (1000 + place, key_pos.id_terminal)
    return {
        "sales": len(sales),
        "seconds": elapsed,
        "seconds beyond the customer's": elapsed - WAIT,
        "processor ms a sale": used_by_sales / len(sales) * 1000,
        "polling seconds": polled,
        "polling processor ms": used_by_polls / len(sales) * 1000,
        "peak MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
    }


def measure(count: int, webhook: bool) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder, cloud(count) as (url, charged):
        figures = asyncio.run(sell(url, Path(folder) / "journal.sqlite3", HOOK if webhook else None))
    assert charged == [count]
    return figures


def in_its_own_process(count: int, webhook: bool) -> dict[str, float]:
    """A measurement whose memory is nobody else's."""
    command = [sys.executable, "-m", "benches.test_fleet", str(count), *(["async"] if webhook else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout)
    print({name: round(value, 2) for name, value in figures.items()}, file=sys.stderr)
    return figures


@pytest.mark.timeout(600)
@pytest.mark.parametrize("webhook", [False, True], ids=["sync", "async"])
def test_a_crowd_of_two_thousand(webhook: bool) -> None:
    few, many = in_its_own_process(100, webhook), in_its_own_process(2_000, webhook)
    assert many["peak MB"] * 1e6 < MEMORY
    assert many["processor ms a sale"] < GROWTH * few["processor ms a sale"]


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]), "async" in sys.argv)))
