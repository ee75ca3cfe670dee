"""Finding the terminal among the ports of a machine: it is the one that answers a poll, and not with our own words."""

from __future__ import annotations

import os
import select
import threading
import time
import tty
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from getnet_pos import ConnectError, Wire
from getnet_pos.simulator import Behaviour

from .conftest import Connect, Serve


@contextmanager
def raw_port() -> Iterator[tuple[str, int]]:
    """A serial port with nobody behind it, and the descriptor of its far end."""
    far, near = os.openpty()
    tty.setraw(near)
    try:
        yield os.ttyname(near), far
    finally:
        os.close(near)
        os.close(far)


@contextmanager
def echoing_port() -> Iterator[str]:
    """A serial port whose far end sends back all it gets."""
    with raw_port() as (name, far):
        ended = threading.Event()

        def echo() -> None:
            while not ended.is_set():
                if select.select([far], [], [], 0.02)[0]:
                    os.write(far, os.read(far, 4096))

        thread = threading.Thread(target=echo)
        thread.start()
        try:
            yield name
        finally:
            ended.set()
            thread.join()


@pytest.fixture
def others() -> Iterator[list[str]]:
    """What else a machine may have: a port that echoes, a silent one, one that is gone, and what is no port."""
    with ExitStack() as stack:
        silent, _ = stack.enter_context(raw_port())
        yield [stack.enter_context(echoing_port()), silent, "/dev/ttyGone", "/dev/null"]


async def test_the_terminal_is_found_among_other_ports(
    connect: Connect, serve: Serve, others: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve()
    monkeypatch.setattr("getnet_pos.connector.candidate_ports", lambda: [*others, server.device])
    begun = time.monotonic()
    async with connect() as pos:
        assert time.monotonic() - begun < 2.0
        assert f"usb:{server.device}" in repr(pos)
        assert (await pos.polling()).approved
        assert (await pos.sale(1_000)).approved


async def test_no_terminal_is_found_and_what_was_tried_is_told(
    connect: Connect, serve: Serve, others: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(answers={106: Behaviour(change={"ResponseCode": 5})})
    echo, silent, gone, nothing = others
    monkeypatch.setattr("getnet_pos.connector.candidate_ports", lambda: [*others, server.device])
    with pytest.raises(ConnectError, match="no terminal was found") as caught:
        async with connect():
            pass
    told = str(caught.value)
    assert f"{echo} (the port sends back what is written to it" in told
    assert f"{silent} (the terminal did not answer" in told
    assert f"{gone} ({gone} does not exist" in told
    assert f"{nothing} ({nothing} cannot be opened" in told
    assert f"{server.device} (a terminal that is not ready)" in told


async def test_no_port_at_all(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getnet_pos.connector.candidate_ports", list)
    with pytest.raises(ConnectError, match=r"in integrated mode.*there is no serial port"):
        async with connect():
            pass


async def test_a_port_that_was_tried_is_free_again(
    connect: Connect, serve: Serve, others: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = serve(answers={106: Behaviour(change={"ResponseCode": 5})}), serve()
    monkeypatch.setattr("getnet_pos.connector.candidate_ports", lambda: [first.device, second.device])
    async with connect() as found:
        assert second.device in repr(found)
        async with connect(first.device) as other:
            assert not (await other.polling()).approved


async def test_a_terminal_with_the_simplified_wire_is_found(
    connect: Connect, serve: Serve, others: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve()
    monkeypatch.setattr("getnet_pos.connector.candidate_ports", lambda: [*others, server.device])
    async with connect(wire=Wire.SIMPLIFIED) as pos:
        assert server.device in repr(pos)
        await pos.polling()
        assert (await pos.sale(1_000)).approved
