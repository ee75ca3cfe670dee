"""The same works under pytest-benchmark: ``pytest benches --benchmark-only``."""

from __future__ import annotations

from typing import Any

import pytest

from benches.works import Way, works

WAYS = [
    pytest.param(work.name, way, id=f"{work.name}, {name}")
    for work in works(quick=True)
    if "capture" not in work.name
    for name, way in work.ways.items()
]


@pytest.mark.parametrize(("work", "way"), WAYS)
def test_speed(benchmark: Any, work: str, way: Way) -> None:
    benchmark.group = work
    benchmark.extra_info["frames"] = way.frames
    benchmark(way.run)
