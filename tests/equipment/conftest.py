"""What the tests of the equipment API share: the simulator on loopback, and each call made by both clients."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from getnet_pos.equipment import AsyncEquipmentClient, EquipmentClient
from getnet_pos.flows.http_calls import RetryPolicy
from getnet_pos.messages.terminals import TerminalList
from getnet_pos.simulator.equipment import EquipmentServer

QUICK = RetryPolicy(first_pause=0.001)


@pytest.fixture
def quick() -> RetryPolicy:
    """A policy that repeats without making a test wait."""
    return QUICK


@pytest.fixture
def server() -> Iterator[EquipmentServer]:
    """The simulator, served until the test ends."""
    with EquipmentServer() as server:
        yield server


def _blocking(base_url: str, merchant_id: str, **options: Any) -> TerminalList:
    with EquipmentClient(base_url, **options) as client:
        return client.list_active_terminals(merchant_id)


def _asyncio(base_url: str, merchant_id: str, **options: Any) -> TerminalList:
    async def call() -> TerminalList:
        async with AsyncEquipmentClient(base_url, **options) as client:
            return await client.list_active_terminals(merchant_id)

    return asyncio.run(call())


@pytest.fixture(params=[_blocking, _asyncio], ids=["blocking", "asyncio"])
def call(request: pytest.FixtureRequest) -> Callable[..., TerminalList]:
    """``call(base_url, merchant_id, **options)`` lists terminals with a new client of either kind.

    ``call.http_client`` is the kind of ``httpx`` client that it takes.
    """

    def called(base_url: str, merchant_id: str, **options: Any) -> TerminalList:
        result: TerminalList = request.param(base_url, merchant_id, **{"token": "token", "retry": QUICK, **options})
        return result

    called.http_client = httpx.Client if request.param is _blocking else httpx.AsyncClient  # type: ignore[attr-defined]  # told to the test beside the call
    return called


@pytest.fixture
def raw_server() -> Iterator[Callable[[Callable[[socket.socket], object]], str]]:
    """``raw_server(behave)`` calls ``behave(connection)`` behind each request head, and returns its base URL."""
    listeners: list[socket.socket] = []

    def start(behave: Callable[[socket.socket], object]) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(5)
                    head = b""
                    while b"\r\n\r\n" not in head:
                        head += connection.recv(65536)
                    with contextlib.suppress(OSError):
                        behave(connection)

        threading.Thread(target=serve, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
