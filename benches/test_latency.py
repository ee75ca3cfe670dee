"""What the library adds to one exchange, a poll: against pyserial alone, which writes and reads the same bytes.

``polling()`` is more than that: it asks for the last voucher too, and looks into the journal.

The terminal is a virtual one in a process of its own, on a pseudo-terminal. Run with ``pytest benches -s``.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import serial

from getnet_pos import AsyncConnector, Connector, Poll, codec

pytestmark = pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are needed")

LIMIT = 0.002
"""Seconds that a poll may take beyond what the bytes alone take, at the median."""
ROUNDS = 1_000

TERMINAL = """
import sys
from getnet_pos.simulator import SerialServer, VirtualTerminal
with SerialServer(VirtualTerminal(), gap=0) as server:
    print(server.device, flush=True)
    sys.stdin.read()
"""


@contextmanager
def terminal() -> Iterator[str]:
    """The port of a virtual terminal in another process."""
    command = [sys.executable, "-c", TERMINAL]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.communicate("")


@pytest.fixture
def device() -> Iterator[str]:
    with terminal() as name:
        yield name


@contextmanager
def alone(device: str) -> Iterator[Callable[[], None]]:
    """A poll by pyserial alone: the command, its acknowledgement and reply, our acknowledgement."""
    with serial.Serial(device, 115200, timeout=1, exclusive=True) as line:
        command, received = codec.seal(Poll()), codec.acknowledgement(True)
        line.write(command)
        size = len(line.read(4096))  # all that comes within a second
        line.write(received)

        def poll() -> None:
            line.write(command)
            left = size
            while left:
                left -= len(line.read(min(left, line.in_waiting or 1)))
            line.write(received)

        yield poll


@contextmanager
def blocking(device: str, journal: Path) -> Iterator[Callable[[], Any]]:
    with Connector.create_usb(device, journal=journal) as pos:
        pos.polling()
        yield lambda: pos.request(Poll())


@contextmanager
def on_a_loop(device: str, journal: Path) -> Iterator[Callable[[], Any]]:
    """Each poll within one run of the loop, whose start and end are counted as well."""
    loop = asyncio.new_event_loop()
    pos = AsyncConnector.create_usb(device, journal=journal)
    loop.run_until_complete(pos.polling())
    try:
        yield lambda: loop.run_until_complete(pos.request(Poll()))
    finally:
        loop.run_until_complete(pos.close())
        loop.close()


def test_poll_by_pyserial_alone(benchmark: Any, device: str) -> None:
    with alone(device) as poll:
        benchmark.pedantic(poll, rounds=ROUNDS, warmup_rounds=50)


def test_poll_by_connector(benchmark: Any, device: str, tmp_path: Path) -> None:
    with blocking(device, tmp_path / "journal") as poll:
        benchmark.pedantic(poll, rounds=ROUNDS, warmup_rounds=50)


def test_poll_by_async_connector(benchmark: Any, device: str, tmp_path: Path) -> None:
    with on_a_loop(device, tmp_path / "journal") as poll:
        benchmark.pedantic(poll, rounds=ROUNDS, warmup_rounds=50)


def added_latency(library: Any, rounds: int) -> tuple[float, float]:
    """Seconds of a poll by pyserial alone, and what the library adds; both in turn, so that what else the machine does
    meets both alike.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        terminal() as first,
        terminal() as second,
        alone(first) as raw,
        library(second, Path(folder) / "journal") as poll,
    ):
        times: dict[Any, list[float]] = {raw: [], poll: []}
        for number in range(rounds + 50):
            for exchange, taken in times.items():
                begun = time.perf_counter()
                exchange()
                if number >= 50:
                    taken.append(time.perf_counter() - begun)
    return median(times[raw]), median(times[poll]) - median(times[raw])


@pytest.mark.parametrize("library", [blocking, on_a_loop], ids=["Connector", "AsyncConnector"])
def test_added_latency_of_a_poll(library: Any) -> None:
    raw, added = added_latency(library, ROUNDS)
    print(
        f"\na poll takes {1e3 * raw:.3f} ms by pyserial alone; "
        f"the library adds {1e3 * added:.3f} ms (medians, {codec.BACKEND} codec)"
    )
    assert added <= LIMIT
