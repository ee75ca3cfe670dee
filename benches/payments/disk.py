"""What the journal costs, also on a disk whose syncs take 30 ms longer.

``python -m benches.payments.disk NAME ARGUMENT...`` prints one measurement as JSON.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from benches.payments.sales import journal
from benches.payments.servers import peer
from getnet_pos import Connector, GetnetError, MemoryJournal, OutcomeUnknown
from getnet_pos.journal import SqliteJournal
from getnet_pos.messages import Intent, IntentState

EXTRA = 0.03
"""Seconds that a sync takes longer on the slow disk."""
_STEPS = (IntentState.INTENT, IntentState.SENT, IntentState.ACCEPTED, IntentState.APPROVED)
_CHANGES = slice(24, 28)
"""Where an SQLite file counts its commits."""


@contextmanager
def slow_disk() -> Iterator[dict[str, str] | None]:
    """The environment of a process whose syncs take longer; ``None`` where that cannot be built here."""
    with tempfile.TemporaryDirectory() as folder:
        library, source = Path(folder) / "disk.so", Path(__file__).with_suffix(".c")
        try:
            subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
        except (OSError, subprocess.CalledProcessError):
            yield None
            return
        yield {**os.environ, "LD_PRELOAD": str(library), "GETNET_BENCH_SYNC_US": str(int(EXTRA * 1e6))}


def _commits(path: Path) -> int:
    return int.from_bytes(path.read_bytes()[_CHANGES], "big")


def alone(payments: str) -> dict[str, float]:
    """Synced commits of a payment, milliseconds that the journal adds to one, and milliseconds of syncing one page."""
    with journal() as path, peer("terminals", 2) as terminals:
        one, two = terminals.where
        with (
            Connector.create_tcp("127.0.0.1", one, journal=path) as kept,
            Connector.create_tcp("127.0.0.1", two, journal=MemoryJournal()) as forgotten,
        ):
            times: dict[Connector, list[float]] = {kept: [], forgotten: []}
            for pos in times:
                pos.polling()
                pos.sale(1_000)
            commits = _commits(path)
            for number in range(int(payments)):
                for pos, taken in times.items():
                    begun = time.perf_counter()
                    assert pos.sale(1_001 + number).approved
                    taken.append(time.perf_counter() - begun)
            commits = _commits(path) - commits
        page = _page(path.with_name("page"))
    added = median(times[kept]) - median(times[forgotten])
    return {"commits": commits / int(payments), "ms": added * 1000, "page ms": page * 1000}


def _page(path: Path) -> float:
    """Seconds that the disk takes to sync one page, at the median."""
    taken = []
    with open(path, "wb", buffering=0) as file:
        for _ in range(40):
            file.seek(0)
            file.write(bytes(4096))
            begun = time.perf_counter()
            os.fsync(file.fileno())
            taken.append(time.perf_counter() - begun)
    return median(taken)


def together(payments: str, steps: str) -> dict[str, float]:
    """Steps a second of one payment at a time, and of so many at once."""
    with journal() as path, closing(SqliteJournal(path)) as kept, ThreadPoolExecutor(int(payments)) as pool:

        def pay(number: int) -> None:
            for turn in range(int(steps) // len(_STEPS)):
                intent = Intent(
                    intent_id=f"{number:016x}{turn:016x}", terminal=f"bench:{number}", command=100, amount=1
                )
                for state in _STEPS:
                    kept.record(replace(intent, state=state))

        def rate(numbers: range) -> float:
            begun = time.perf_counter()
            list(pool.map(pay, numbers))
            return len(numbers) * int(steps) / (time.perf_counter() - begun)

        pay(0)
        one = rate(range(1, 2))
        return {"one": one, "many": rate(range(2, 2 + int(payments)))}


def slowly(terminals: str, sales: str) -> dict[str, float]:
    """Sales at so many terminals in threads: how long they took all together, and how many had no result."""
    with journal() as path, peer("terminals", terminals) as served, ThreadPoolExecutor(int(terminals)) as pool:
        registers = [Connector.create_tcp("127.0.0.1", port, journal=path) for port in served.where]
        list(pool.map(lambda pos: pos.polling(), registers))

        def sell(pos: Connector) -> int:
            missing = 0
            for number in range(int(sales)):
                try:
                    pos.sale(1_000 + number, timeout=60)
                except OutcomeUnknown:
                    missing += 1
                except GetnetError as error:
                    print(f"not done: {error}", file=sys.stderr)
                    missing += 1
            return missing

        begun = time.perf_counter()
        missing = sum(pool.map(sell, registers))
        elapsed = time.perf_counter() - begun
        for pos in registers:
            pos.close()
    return {"seconds": elapsed, "missing": missing}


_MEASURES: dict[str, Callable[..., Any]] = {"alone": alone, "together": together, "slowly": slowly}

if __name__ == "__main__":
    logging.disable()
    print(json.dumps(_MEASURES[sys.argv[1]](*sys.argv[2:])))
