"""What the journal in PostgreSQL does in a second, on a server of its own with ``fsync`` on.

::

    python -m benches.postgres /var/tmp      # a folder on the disk that is meant
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from getnet_pos import Profile
from getnet_pos.cloud import WebhookReceiver
from getnet_pos.journal import PostgresJournal
from tests.databases import Server
from tests.journal.samples import PAID, intent

SECONDS = 5.0
_SECRET = "a-secret-of-sixteen-or-more"
_context = multiprocessing.get_context("spawn")


def write(dsn: str, host: int, writers: int, told: Any) -> None:
    """Payments of four steps at ``writers`` terminals at once; ``told`` gets the steps and the time of each payment."""
    counts, took = [0] * writers, list[float]()
    with contextlib.closing(PostgresJournal(dsn)) as journal:
        stop = time.monotonic() + SECONDS

        def pay(writer: int) -> None:
            keep = None
            number = (host * 1000 + writer) * 1_000_000
            while time.monotonic() < stop:
                number += 1
                one = intent(number, terminal=f"cloud:{host}-{writer}")
                lease = journal.claim(one.intent_id, one.terminal)
                assert lease is not None
                keep = lease.keep
                start = time.monotonic()
                for state in PAID:
                    journal.record(replace(one, state=state))
                    counts[writer] += 1
                took.append(time.monotonic() - start)
                lease.release()
            del keep

        threads = [threading.Thread(target=pay, args=(writer,)) for writer in range(writers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    told.put((sum(counts), took))


def in_processes(dsn: str, hosts: int, writers: int, first: int) -> str:
    told = _context.Queue()
    processes = [_context.Process(target=write, args=(dsn, first + n, writers, told)) for n in range(hosts)]
    for process in processes:
        process.start()
    ends = [told.get() for _ in processes]
    for process in processes:
        process.join()
    steps, took = sum(count for count, _ in ends), [one for _, times in ends for one in times]
    return f"{steps / SECONDS:,.0f} steps/s, {statistics.median(took) * 1000:.1f} ms a payment at the median"


async def notices(dsn: str) -> list[float]:
    """Seconds from a webhook that is posted to one host until another one, which waits for it, knows."""
    took = []
    with contextlib.closing(PostgresJournal(dsn)) as one, contextlib.closing(PostgresJournal(dsn)) as other:
        receiver = WebhookReceiver(
            lambda notice: None, secret_path=_SECRET, trust=True, profile=Profile.CHILE, journal=one
        )
        other.noticed("never")
        transport = httpx.ASGITransport(receiver)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop.example") as client:
            for number in range(500):
                data = {"idPosTxs": number + 1, "functionCode": 100, "code": 0, "message": "Approved", "amount": 1000}
                heard = asyncio.wrap_future(other.noticed(str(number + 1)))
                await asyncio.sleep(0.002)
                start = time.perf_counter()
                await client.post(f"/{_SECRET}", json={"code": 1, "status": "OK", "message": "END", "data": data})
                await heard
                took.append(time.perf_counter() - start)
    return took


def main(folder: str) -> None:
    with tempfile.TemporaryDirectory(dir=folder, prefix="postgres-") as name:
        os.chmod(name, 0o755)
        server = Server(Path(name) / "data")
        try:
            dsn = server.journal("bench")
            for hosts, writers in ((1, 1), (1, 64), (3, 22)):
                print(f"{hosts} host(s), {writers} writers each: {in_processes(dsn, hosts, writers, hosts * writers)}")
            ((size,),) = server.sql(
                "SELECT pg_total_relation_size('getnet_pos.step') / count(*) * 4 FROM getnet_pos.step", database="bench"
            )
            print(f"a payment takes {size / 1000:.1f} KB, indexes included")
            took = sorted(asyncio.run(notices(dsn)))
            print(
                f"a webhook from host to host: {took[len(took) // 2] * 1000:.2f} ms at the median, "
                f"{took[len(took) * 99 // 100] * 1000:.1f} ms at the 99th percentile"
            )
        finally:
            server.stop()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else tempfile.gettempdir())
