"""Tens of thousands of frames, good and bad, leave nothing behind."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from getnet_pos.messages import Sale, SaleType
from tests import samples
from tests.evidence import Count

BAD = [
    samples.SALE[:-9] + b'"}',
    samples.SALE[:200] + b"\n",
    b'{"a":]',
    b"\x02100|x\x03\x00",
    samples.signed('{"A":[{}]}'),
]
FRAMES = [frame for frame, _ in samples.FRAMES.values()]


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def work(backend: Any, rounds: int) -> None:
    decoder = backend.Decoder()
    for number in range(rounds):
        for frame in (*FRAMES, *BAD):
            decoder.feed(frame)
            if number % 10 == 0:
                decoder.feed(frame[:50])
                decoder.feed(frame[50:])
        backend.seal(Sale(1 + number, f"T{number}"))
        backend.encode_simplified(Sale(1 + number, f"T{number}"))
        backend.Decoder(max_frame=64 + number).feed(samples.SALE)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
@pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""), reason="the sanitizer keeps freed memory for a while")
def test_memory_does_not_grow(backend: Any, count: Count) -> None:
    rounds = count(short=10_000, evidence=100_000, long=100_000) // (len(FRAMES) + len(BAD))
    work(backend, rounds // 4)
    gc.collect()
    before, objects = resident(), len(gc.get_objects())
    work(backend, rounds)
    gc.collect()
    assert resident() - before < 3_000_000
    assert abs(len(gc.get_objects()) - objects) < 500


def test_what_is_shared_is_counted(backend: Any) -> None:
    """Objects that live on behind every message are neither lost nor kept."""
    if hasattr(sys, "_is_gil_enabled") or sys.version_info >= (3, 12):
        pytest.skip("immortal objects are not counted")
    shared = [None, True, False, (), SaleType.SALE, type(samples.SALE_REPLY), 0, 1]
    work(backend, 20)
    gc.collect()
    before = [sys.getrefcount(item) for item in shared]
    work(backend, 200)
    gc.collect()
    after = [sys.getrefcount(item) for item in shared]
    assert all(abs(now - then) < 200 for then, now in zip(before, after, strict=True)), (before, after)
