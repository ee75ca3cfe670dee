"""What a payment costs, goal by goal: ``python -m benches payments``.

Each row is measured in a process of its own, against a cloud or terminals in another one. Nothing is left out of a
payment: it is recorded, matched and returned as by any connector. Bare calls have the same bodies and headers.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benches.chart import Point, crowd_chart
from benches.payments.disk import slow_disk
from benches.test_latency import added_latency, blocking, on_a_loop

__all__ = ["Row", "measure_payments"]

CROWDS = (1, 10, 100, 1_000, 2_000, 10_000)


@dataclass(frozen=True)
class Row:
    work: str
    goal: str
    found: str
    met: bool | None
    """``None``: there is no goal, or it could not be measured here."""

    def __str__(self) -> str:
        met = "" if self.met is None else "met" if self.met else "**not met**"
        return f"| {self.work} | {self.goal} | {self.found} | {met} |"


def measure_payments(quick: bool, output: Path | None, machine: dict[str, str]) -> bool:
    """Print the table; whether every goal was met."""
    print("| work | goal | measured | |\n|---|---|---|---|")
    rows: list[Row] = []
    points: list[Point] = []
    for row in _rows(quick, points):
        rows.append(row)
        print(row, flush=True)
    if output:
        output.mkdir(parents=True, exist_ok=True)
        report = {"machine": machine, "rows": [asdict(row) for row in rows], "crowds": [asdict(one) for one in points]}
        (output / "payments.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
        title = f"A cloud sale in a crowd, {machine['processor']}, Python {machine['python']}"
        (output / "crowd.svg").write_text(crowd_chart(points, title))
    return all(row.met is not False for row in rows)


def _measured(module: str, *arguments: object, environment: dict[str, str] | None = None) -> dict[str, float]:
    command = [sys.executable, "-m", f"benches.payments.{module}", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def _rows(quick: bool, points: list[Point]) -> Iterator[Row]:
    yield from _processor(3 if quick else 12)
    yield from _crowds(CROWDS[2:5] if quick else CROWDS, points)
    yield from _journal(quick)
    yield _threads(3 if quick else 15)
    yield from _loop(4 if quick else 20)
    yield from _exchange(200 if quick else 1_000)


def _row(work: str, goal: str, limit: float, found: float, shown: str, *, least: bool = False) -> Row:
    return Row(work, goal, shown, found >= limit if least else found <= limit)


def _processor(rounds: int) -> Iterator[Row]:
    ms = _measured("sales", "processor", rounds)
    http, aio = ms["sale, httpx"], ms["sale, aiohttp"]

    def against(work: str, way: str, rival: float, name: str, limit: float) -> Row:
        ratio = ms[way] / rival
        shown = f"{ratio:.2f} ({ms[way]:.2f} against {rival:.2f} ms)"
        return _row(work, f"at most {limit:g} of a {name}", limit, ratio, shown)

    at_once = "processor of a whole safe cloud sale, 200 at once"
    yield against(at_once, "sale", http, "bare httpx POST on a new connection", 1.0)
    yield against(at_once, "sale", aio, "bare aiohttp POST on a new connection", 1.5)
    yield against("the same, webhook given and status polled", "sale, polled", http, "bare httpx POST", 2.0)
    yield against("processor of a cloud poll, one call", "poll", ms["poll, httpx"], "bare httpx POST", 0.5)
    for name in ("httpx", "aiohttp"):
        yield Row(f"bare {name} POST on a kept connection", "none", f"{ms[f'sale, {name} kept']:.2f} ms", None)


def _crowds(counts: tuple[int, ...], points: list[Point]) -> Iterator[Row]:
    collected: list[float] = []
    for count in counts:
        figures = _measured("sales", "crowd", count)
        points.append(Point(count, figures["ms"], figures["MB"]))
        if count in (100, counts[-1]):
            collected.append(figures["collector ms"])
        if count == 2_000:
            work = "2,000 cloud sales at once, customer 1 s"
            yield _row(f"{work}: time", "at most 4 s", 4.0, figures["seconds"], f"{figures['seconds']:.1f} s")
            yield _row(f"{work}: memory", "at most 150 MB", 150.0, figures["MB"], f"{figures['MB']:.0f} MB")
    first = next(point for point in points if point.count == 100)
    last = points[-1]
    growth = last.ms / first.ms
    shown = f"{growth:.2f} ({last.ms:.2f} to {first.ms:.2f} ms; of it Python's collector "
    shown += f"{collected[-1]:.2f} and {collected[0]:.2f})"
    yield _row(f"processor of a sale among {last.count:,} to one among 100", "flat: at most 1.25", 1.25, growth, shown)


def _journal(quick: bool) -> Iterator[Row]:
    one = _measured("disk", "alone", 40 if quick else 200)
    yield _row("synced commits of a payment", "at most 2", 2.0, one["commits"], f"{one['commits']:.2f}")
    shown = f"{one['ms']:.2f} ms (one page syncs in {one['page ms']:.2f} ms)"
    yield _row("what the journal adds to a payment alone", "at most 3.9 ms", 3.9, one["ms"], shown)
    steps = _measured("disk", "together", 64, 16 if quick else 64)
    ratio = steps["many"] / steps["one"]
    shown = f"{ratio:.1f} ({steps['many']:,.0f} and {steps['one']:,.0f})"
    yield _row("steps a second of 64 payments at once to those of one", "at least 5", 5.0, ratio, shown, least=True)
    with slow_disk() as environment:
        work = "60 terminals in threads, two sales each, syncs 30 ms longer"
        if environment is None:
            yield Row(work, "0 without a result, at most 3 s", "not measured: no C compiler is here", None)
            return
        found = _measured("disk", "slowly", 60, 2, environment=environment)
    shown = f"{found['missing']:.0f} without a result, {found['seconds']:.1f} s"
    yield Row(work, "0 without a result, at most 3 s", shown, found["missing"] == 0 and found["seconds"] <= 3)


def _threads(rounds: int) -> Row:
    found = _measured("sales", "threads", 200, rounds)
    shown = f"{found['sales/s']:,.0f} ({found['ms']:.2f} ms of processor each)"
    return _row("200 TCP terminals in threads", "at least 1,000 sales/s", 1_000, found["sales/s"], shown, least=True)


def _loop(seconds: float) -> Iterator[Row]:
    with slow_disk() as environment:
        found = _measured("loop", seconds, environment=environment)
    shown = f"{found['p99']:.1f} ms (median {found['p50']:.1f}, most {found['most']:.1f})"
    work = "lag of the event loop, 99th percentile: floods, a slow journal and a locked one, an unknown name"
    yield _row(work, "at most 20 ms", 20.0, found["p99"], shown)


def _exchange(rounds: int) -> Iterator[Row]:
    ways: dict[str, tuple[Callable[..., Any], float]] = {
        "Connector": (blocking, 0.15),
        "AsyncConnector": (on_a_loop, 0.35),
    }
    for name, (way, limit) in ways.items():
        raw, added = added_latency(way, rounds)
        shown = f"{added * 1000:.3f} ms (pyserial alone {raw * 1000:.3f})"
        yield _row(f"an exchange over a pty above pyserial, {name}", f"at most {limit} ms", limit, added * 1000, shown)
