"""A virtual terminal on a real pseudo-terminal, and both connectors, which one test text drives alike."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from typing import Any

import pytest

from getnet_pos import AsyncConnector, Connector, Timeouts
from getnet_pos.simulator import Behaviour, SerialServer, VirtualTerminal

collect_ignore_glob = [] if os.name == "posix" else ["test_*.py"]  # no pseudo-terminals there

QUICK = Timeouts(
    acknowledgement=0.4,
    short=0.6,
    report=0.6,
    sale=1.5,
    sale_total=3.0,
    cancel=0.4,
    recovery=0.4,
    recovery_interval=0.1,
    busy=10.0,
)
"""Time limits for a terminal that needs no time."""

Serve = Callable[..., SerialServer]
Connect = Callable[..., AbstractAsyncContextManager[Any]]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """``serve(script=[...])`` puts a virtual terminal on a port of its own until the test ends."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(SerialServer(VirtualTerminal(**settings)))


class Once(dict[int, Behaviour]):
    """Answers that a virtual terminal gives once each: ``terminal.answers = Once({106: Behaviour(...)})``."""

    def get(self, code: int, default: Any = None) -> Any:
        return self.pop(code, default)


class Threaded:
    """A ``Connector`` whose operations are awaited: each runs in a thread, as a register with threads has it."""

    def __init__(self, connector: Connector) -> None:
        self.connector = connector

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self.connector, name)

        async def run(*values: Any, **options: Any) -> Any:
            return await asyncio.to_thread(operation, *values, **options)

        return run

    def __repr__(self) -> str:
        return repr(self.connector)


@asynccontextmanager
async def connect_blocking(port: str | None = None, **settings: Any) -> AsyncIterator[Threaded]:
    settings.setdefault("timeouts", QUICK)
    connector = await asyncio.to_thread(Connector.create_usb, port, **settings)
    try:
        yield Threaded(connector)
    finally:
        await asyncio.to_thread(connector.close)


@asynccontextmanager
async def connect_asyncio(port: str | None = None, **settings: Any) -> AsyncIterator[AsyncConnector]:
    settings.setdefault("timeouts", QUICK)
    async with AsyncConnector.create_usb(port, **settings) as connector:
        yield connector


@pytest.fixture(params=[connect_blocking, connect_asyncio], ids=["Connector", "AsyncConnector"])
def connect(request: pytest.FixtureRequest) -> Connect:
    """``async with connect(port, ...) as pos`` opens either connector; its operations are awaited."""
    made: Connect = request.param
    return made


@pytest.fixture
def ready(connect: Connect) -> Connect:
    """The same, polled."""

    @asynccontextmanager
    async def polled(port: str | None = None, **settings: Any) -> AsyncIterator[Any]:
        async with connect(port, **settings) as pos:
            assert (await pos.polling()).approved
            yield pos

    return polled
