"""A listing of terminals, read: how fast and in how much memory, against what one would write without the library."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import orjson

from benches.baselines import terminals as baselines
from benches.works import Way, Work, backends
from getnet_pos.simulator.equipment import terminal

__all__ = ["COUNT", "body", "listings", "readers", "resident_memory"]

COUNT = 10_000
"""The terminals of the listing that is measured: about 4 MB."""

_MEASURE = """
import gc, re, sys
from pathlib import Path
from benches.terminals import readers

def shown(field):
    return int(re.search(field + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

body = sys.stdin.buffer.read()
read = readers()[sys.argv[1]]
read(body[: body.index(b"},{")] + b"}]}}")
gc.collect()
Path("/proc/self/clear_refs").write_text("5")
before = shown("VmRSS")
found = read(body)
print(shown("VmHWM") - before, shown("VmRSS") - before)
"""


@cache
def body(count: int = COUNT, *, pretty: bool = False) -> bytes:
    """A listing as the API sends it, or with white space."""
    value = {"merchant_id": "10000", "equipments": {"item": [terminal(number) for number in range(count)]}}
    return json.dumps(value, indent=2).encode() if pretty else orjson.dumps(value)


def readers() -> dict[str, Callable[[bytes], Any]]:
    """Who reads a listing, ours first."""
    return {
        **{name: codec.read_terminals for name, codec in backends().items()},
        "msgspec structs": baselines.msgspec_structs,
        "orjson to dicts": baselines.orjson_dicts,
        "json to dicts": baselines.json_dicts,
    }


def listings(quick: bool) -> Iterator[Work]:
    """The listing read whole, with times by the terminal: compact, and with white space."""
    count = COUNT // 10 if quick else COUNT
    for name, text in {"listing of terminals": body(count), "the same, indented": body(count, pretty=True)}.items():
        ways = {way: Way(partial(read, text), count) for way, read in readers().items()}
        yield Work(name, len(text) / count, ways)


def resident_memory(way: str, count: int = COUNT) -> tuple[int, int]:
    """The memory that reading takes beside the body, as Linux sees it: at its peak, and what stays. In bytes."""
    command = [sys.executable, "-c", _MEASURE, way]
    done = subprocess.run(command, input=body(count), capture_output=True, check=True, cwd=Path(__file__).parent.parent)
    peak, kept = map(int, done.stdout.split())
    return peak, kept
