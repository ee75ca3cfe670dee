"""Fails when a payment costs the processor more than it should, on a machine that need not be quiet.

A whole safe cloud sale, journal and all, stands against a bare HTTP call with the same body to the same cloud, which
serves in another process. Where valgrind is installed, instructions are counted as well: they do not wander.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from getnet_pos import codec
from tests.evidence import Count

pytest.importorskip("aiohttp", reason="it comes with the extra bench, which the tests of an installed copy go without")

ROOT = Path(__file__).parents[2]
_AT_ONCE = 10
LIMIT = 4.0
"""How many bare httpx POSTs on new connections a sale may cost, in seconds of the processor. It costs one to two and a
half: making and removing the small file of its lease is what differs."""
BUDGET = 2.0
"""The same in instructions of the program itself, without those of the system. It takes 1.4 times as many."""


def measured(*arguments: object, under: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [*under, sys.executable, "-m", "benches.payments.sales", "processor", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)


def test_a_sale_beside_a_bare_call() -> None:
    ms = json.loads(measured(3, 30, "sale", "sale, httpx").stdout)
    assert ms["sale"] / ms["sale, httpx"] < LIMIT, ms


def instructions(way: str, rounds: int, folder: Path) -> int:
    valgrind = ("valgrind", "--tool=callgrind", f"--callgrind-out-file={folder / 'out'}")
    done = measured(rounds, _AT_ONCE, way, under=valgrind)
    found = re.search(r"Collected : (\d+)", done.stderr)
    assert found, done.stderr
    return int(found[1])


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")
@pytest.mark.skipif(codec.BACKEND == "pure", reason="the run with the native codec counts them")
def test_instructions_of_a_sale(tmp_path: Path, count: Count) -> None:
    if not count(short=0, evidence=0, long=1):
        pytest.skip("they are counted with --long: it takes two minutes")
    sale, bare = (instructions(way, 5, tmp_path) - instructions(way, 1, tmp_path) for way in ("sale", "sale, httpx"))
    print(f"a sale takes {sale / (4 * _AT_ONCE):,.0f} instructions, a bare POST {bare / (4 * _AT_ONCE):,.0f}")
    assert sale / bare < BUDGET
