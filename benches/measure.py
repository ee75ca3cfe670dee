"""Times ways against each other: in turns, so that what slows the machine down slows all of them down."""

from __future__ import annotations

import gc
import time
import tracemalloc
from dataclasses import asdict, dataclass
from statistics import median

from benches.works import Way, Work

__all__ = ["Figure", "measure"]


@dataclass(frozen=True)
class Figure:
    work: str
    way: str
    nanoseconds: float
    """The median time of a frame."""
    ratio: float
    """To the first way of the work, which is ours."""
    bytes_per_second: float
    peak: int
    """The most memory that Python objects took while the work was done once, in bytes."""

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def measure(work: Work, rounds: int, seconds: float) -> list[Figure]:
    """Every way of a work, in up to ``rounds`` rounds and about ``seconds``, at least three."""
    peaks = {name: _peak(way) for name, way in work.ways.items()}
    # Each turn takes about ten milliseconds or one call, whatever is longer: most of it comes after the caches of the
    # processor have forgotten the turn before.
    calls = {name: max(1, int(0.01 / _time(way, 1))) for name, way in work.ways.items()}
    times: dict[str, list[float]] = {name: [] for name in work.ways}
    begun = time.perf_counter()
    enabled = gc.isenabled()
    gc.disable()
    try:
        for number in range(rounds):
            for name, way in work.ways.items():
                times[name].append(_time(way, calls[name]))
            gc.collect()
            if number >= 2 and time.perf_counter() - begun > seconds:
                break
    finally:
        if enabled:
            gc.enable()
    figures = {name: median(found) / work.ways[name].frames * 1e9 for name, found in times.items()}
    ours = next(iter(figures.values()))
    return [
        Figure(work.name, name, figure, figure / ours, work.size / figure * 1e9, peaks[name])
        for name, figure in figures.items()
    ]


def _time(way: Way, calls: int) -> float:
    # The processor's time: none of the work waits, and other processes may have had the processor in between.
    run = way.run
    begun = time.process_time()
    for _ in range(calls):
        run()
    return (time.process_time() - begun) / calls


def _peak(way: Way) -> int:
    tracemalloc.start()
    way.run()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak
