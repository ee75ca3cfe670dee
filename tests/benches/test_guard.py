"""Fails when the native codec has become slower, on a machine that need not be quiet.

Where valgrind is installed, instructions are counted instead of seconds. It knows no SHA instructions, so that the hash
runs in its portable form there, and its share is taken off.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from getnet_pos import codec
from getnet_pos.messages import Sale
from tests import samples
from tests.evidence import Count

ROOT = Path(__file__).parents[2]

PROGRAM = """
import sys, types
package = sys.modules["getnet_pos"] = types.ModuleType("getnet_pos")  # without all that the codec does not need
package.__path__ = ["src/getnet_pos"]
from getnet_pos.codec import backend
from tests import samples

native, work, count = backend("native"), sys.argv[1], int(sys.argv[2])
feed, text = native.Decoder().feed, samples.SALE_TEXT.encode()
does = {
    "sale reply": lambda: feed(samples.SALE),
    "hash": lambda: native._sha256(text, b"portable"),
    "simplified and hash": lambda: (feed(samples.SIMPLIFIED_SALE), native._sha256(text, b"portable")),
}[work]
for _ in range(count):
    does()
"""

BUDGET = {"sale reply": 7_500, "simplified": 7_500}
"""Instructions that a frame may take, hash excluded: about a third more than it takes."""
MARGIN = 1.6
"""How much faster than orjson and hashlib the codec has to be at least on a busy machine; it is four times as fast."""


def instructions(work: str, count: int, directory: Path) -> int:
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={directory / 'out'}"]
    done = subprocess.run(
        [*command, sys.executable, "-c", PROGRAM, work, str(count)],
        cwd=ROOT, env={"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "PYTHONHASHSEED": "0", "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = re.search(r"Collected : (\d+)", done.stderr)
    assert found, done.stderr
    return int(found[1])


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")
@pytest.mark.skipif(codec.BACKEND == "pure", reason="the run with the native codec counts them")
def test_instructions_for_a_frame(native: Any, tmp_path: Path, count: Count) -> None:
    frames = count(short=0, evidence=500, long=500)
    if not frames:
        pytest.skip("they are counted with --evidence: it takes a quarter of a minute")
    total = {
        work: instructions(work, frames, tmp_path) / frames for work in ("hash", "sale reply", "simplified and hash")
    }
    assert total["sale reply"] - total["hash"] < BUDGET["sale reply"]
    assert total["simplified and hash"] - total["hash"] < BUDGET["simplified"]


def seconds(way: Callable[[], Any]) -> float:
    """A turn is shorter than what a busy machine gives a process at once, so that few turns are interrupted."""
    begun = time.perf_counter()
    for _ in range(30):
        way()
    return time.perf_counter() - begun


def ratio(ours: Callable[[], Any], other: Callable[[], Any]) -> float:
    """How much longer the other takes: at the median of many short turns, one after the other."""
    return median(seconds(other) / seconds(ours) for _ in range(250))


def test_faster_than_orjson_and_hashlib_at_any_time(native: Any) -> None:
    signed = pytest.importorskip("benches.baselines.signed")
    feed, sale = native.Decoder().feed, Sale(25_000, "A1234")
    assert ratio(lambda: feed(samples.SALE), lambda: signed.orjson_hashlib(samples.SALE)) > MARGIN
    assert ratio(lambda: native.seal(sale), lambda: signed.orjson_seal(sale)) > MARGIN


def test_pure_is_not_left_behind() -> None:
    signed = pytest.importorskip("benches.baselines.signed")
    feed = codec.backend("pure").Decoder().feed
    assert ratio(lambda: feed(samples.SALE), lambda: signed.orjson_hashlib(samples.SALE)) > 1 / 5
