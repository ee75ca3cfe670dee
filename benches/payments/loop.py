"""How late the event loop is while a terminal floods it, the journal is slow or locked, and a name is looked up.

``python -m benches.payments.loop SECONDS`` prints the measurement as JSON.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from benches.payments.sales import account_of, journal
from benches.payments.servers import peer, use_all_descriptors
from getnet_pos import AsyncConnector, GetnetError, Timeouts
from getnet_pos.journal import SqliteJournal

EVERY = 0.002
"""Seconds between two events."""
SELLING = 20
LOCKED = 3.0
"""Seconds that another connection keeps the second journal."""


def lateness(late: list[float], share: float) -> float:
    """Seconds that an event at any time is late, at ``share``: one that holds the loop up makes all within it late."""
    every = [each - passed * EVERY for each in late for passed in range(max(1, int(each / EVERY)))]
    return sorted(every)[min(len(every) - 1, int(len(every) * share))]


async def _clock(late: list[float]) -> None:
    while True:
        due = time.perf_counter() + EVERY
        await asyncio.sleep(EVERY)
        late.append(max(0.0, time.perf_counter() - due))


async def _again(work: Callable[[], Awaitable[object]]) -> None:
    while True:
        with suppress(GetnetError):
            await work()
        await asyncio.sleep(0)


async def _beside_a_locked_journal(path: Path) -> None:
    pos = AsyncConnector.create_tcp("127.0.0.1", 9, journal=path)
    with suppress(GetnetError):
        await pos.polling()
    await pos.close()


async def measure(seconds: float, cloud: str, flood: int, port: str, path: Path) -> dict[str, float]:
    limits = Timeouts(acknowledgement=1, short=1)
    late: list[float] = []
    async with AsyncExitStack() as stack:
        account = await stack.enter_async_context(account_of(cloud, SELLING))
        places = await account.list_terminals()
        registers = [AsyncConnector.create_cloud(account, key_pos=key_pos, journal=path) for key_pos in places]
        floods = [
            AsyncConnector.create_tcp("127.0.0.1", flood, journal=path, timeouts=limits),
            AsyncConnector.create_usb(port, journal=path, timeouts=limits),
        ]
        unknown = AsyncConnector.create_tcp("terminal.invalid", 1, journal=path)
        for pos in (*registers, *floods, unknown):
            stack.push_async_callback(pos.close)
        await asyncio.gather(*(pos.polling() for pos in registers))
        clock = asyncio.create_task(_clock(late))
        working = [asyncio.create_task(_again(lambda pos=pos: pos.sale(1_000))) for pos in registers]  # type: ignore[misc]  # bound now
        working += [asyncio.create_task(_again(pos.polling)) for pos in (*floods, unknown)]
        await asyncio.sleep(seconds / 2)
        await _beside_a_locked_journal(path.with_name("locked"))
        await asyncio.sleep(seconds / 2)
        for task in (clock, *working):
            task.cancel()
        await asyncio.gather(clock, *working, return_exceptions=True)
    return {"p50": lateness(late, 0.5) * 1000, "p99": lateness(late, 0.99) * 1000, "most": max(late) * 1000}


def lag(seconds: str) -> dict[str, float]:
    """Milliseconds that an event on the loop is late."""
    with journal() as path, peer("cloud", SELLING, 0.2) as cloud, peer("flood") as flood, peer("port flood") as port:
        locked = path.with_name("locked")
        SqliteJournal(locked).close()
        holder = sqlite3.connect(locked, isolation_level=None, check_same_thread=False)
        holder.execute("BEGIN EXCLUSIVE")
        threading.Timer(float(seconds) / 2 + LOCKED, holder.close).start()
        return asyncio.run(measure(float(seconds), cloud.where, flood.where, port.where, path))


if __name__ == "__main__":
    logging.disable()
    use_all_descriptors()
    print(json.dumps(lag(*sys.argv[1:])))
