"""The goals of reading a listing of terminals. ``pytest benches/test_terminals.py -s`` shows the figures."""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc
from collections.abc import Callable
from statistics import median
from typing import Any

import pytest

from benches.terminals import COUNT, body, readers, resident_memory

ROUNDS = 25
READERS = readers()

needs_native = pytest.mark.skipif("native" not in READERS, reason="the native codec was not built")


@pytest.mark.parametrize("way", READERS)
def test_speed(benchmark: Any, way: str) -> None:
    benchmark.group = f"listing of {COUNT:,} terminals"
    benchmark.extra_info["bytes"] = len(body())
    benchmark(READERS[way], body())


def _medians(after: Callable[[], object]) -> dict[str, float]:
    """Seconds of processor time, in turns, so that what slows the machine down slows all of them down."""
    times: dict[str, list[float]] = {way: [] for way in READERS if way not in ("pure", "json to dicts")}
    text = body()
    for _ in range(ROUNDS):
        for way, found in times.items():
            gc.collect()
            begun = time.thread_time()
            listing = READERS[way](text)
            after()
            found.append(time.thread_time() - begun)
            del listing
    return {way: median(found) for way, found in times.items()}


@needs_native
def test_native_is_twice_as_fast_as_msgspec_and_four_times_as_orjson() -> None:
    found = _medians(lambda: None)
    print({way: f"{seconds * 1e3:.2f} ms, {seconds / found['native']:.2f}" for way, seconds in found.items()})
    assert found["msgspec structs"] >= 2 * found["native"]
    assert found["orjson to dicts"] >= 4 * found["native"]


@needs_native
def test_native_is_the_fastest_with_the_garbage_collection_that_it_puts_off() -> None:
    found = _medians(lambda: gc.collect(0))
    print({way: f"{seconds * 1e3:.2f} ms, {seconds / found['native']:.2f}" for way, seconds in found.items()})
    assert found["native"] == min(found.values())


@needs_native
def test_native_takes_the_least_memory() -> None:
    peaks = {}
    for way, read in READERS.items():
        tracemalloc.start()
        listing = read(body())
        kept, peaks[way] = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        del listing
        print(f"{way}: peak {peaks[way] / COUNT:.0f}, kept {kept / COUNT:.0f} bytes a terminal")
    assert peaks["native"] < 400 * COUNT
    assert peaks["native"] == min(peak for way, peak in peaks.items() if way != "pure")


@needs_native
@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells the memory of a process")
def test_native_takes_the_least_memory_of_the_system() -> None:
    found = {way: resident_memory(way) for way in READERS if way != "pure"}
    for way, (peak, kept) in found.items():
        print(f"{way}: peak {peak / 2**20:.1f} MiB, kept {kept / 2**20:.1f} MiB")
    assert found["native"][0] == min(peak for peak, _ in found.values())
