"""A terminal that sends without end: its own command ends in time, and nobody else on the loop waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from getnet_pos import AsyncConnector, MemoryJournal, TransportError
from tests import samples
from tests.network.places import QUICK

TURN = 0.02
"""Seconds of the processor that one turn of the loop may take."""
FLOODS = {
    "acknowledgements": b'{"Received":true}' * 4000,
    "progress": samples.signed(samples.OTHERS["progress"][0]) * 400,
    "torn messages": samples.signed(samples.OTHERS["progress"][0])[:-20] * 400,
}
IMPATIENT = replace(QUICK, short=0.25)


@contextlib.contextmanager
def flooding(write: Callable[[bytes], object], data: bytes) -> Iterator[None]:
    """Write ``data`` again and again in a thread, until the other end is gone or the block ends."""
    ended = threading.Event()

    def flood() -> None:
        with contextlib.suppress(OSError):
            while not ended.is_set():
                write(data)

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextlib.contextmanager
def over_tcp(data: bytes) -> Iterator[AsyncConnector]:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve(data: bytes) -> None:
            line, _ = listener.accept()
            with line:
                while True:
                    line.sendall(data)

        with flooding(serve, data):
            yield AsyncConnector.create_tcp(*listener.getsockname(), journal=MemoryJournal(), timeouts=IMPATIENT)


@contextlib.contextmanager
def over_a_port(data: bytes) -> Iterator[AsyncConnector]:
    if os.name != "posix":
        pytest.skip("this system has no pseudo-terminals")
    import tty

    terminal, port = os.openpty()
    tty.setraw(port)

    def write(data: bytes) -> None:
        # It takes nothing, and it ends although nobody reads any more.
        try:
            os.write(terminal, data)
        except BlockingIOError:
            time.sleep(0.0005)

    try:
        os.set_blocking(terminal, False)
        with flooding(write, data):
            yield AsyncConnector.create_usb(os.ttyname(port), journal=MemoryJournal(), timeouts=IMPATIENT)
    finally:
        os.close(terminal)
        os.close(port)


async def turns(taken: list[float]) -> None:
    """Add the processor's time of each turn of the loop: what else the machine does is none of it."""
    before = time.thread_time()
    while True:
        await asyncio.sleep(0.001)
        now = time.thread_time()
        taken.append(now - before)
        before = now


@pytest.mark.parametrize("flood", FLOODS)
@pytest.mark.parametrize("terminal", [over_tcp, over_a_port])
async def test_others_have_their_turn(terminal, flood, caplog):
    taken: list[float] = []
    with terminal(FLOODS[flood]) as pos:
        async with pos:
            clock = asyncio.create_task(turns(taken))
            begun = time.monotonic()
            with pytest.raises(TransportError):
                await pos.polling()
            elapsed = time.monotonic() - begun
            clock.cancel()
    assert elapsed < 5
    assert sum(taken) > TURN / 4, "the flood has come"
    assert max(taken) < TURN
    assert len(caplog.records) < 10, "nor does it fill the disk with what is logged"
