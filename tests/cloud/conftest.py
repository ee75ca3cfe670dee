"""A virtual cloud of either country on a real socket, and both connectors, which one test text drives alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from typing import Any

import pytest

from getnet_pos import AsyncConnector, Connector, Profile, Timeouts
from getnet_pos.simulator.cloud import VirtualCloud

QUICK = Timeouts(
    short=1.0,
    report=2.0,
    sale=4.0,
    sale_total=6.0,
    cloud=3.0,
    recovery=0.3,
    recovery_interval=0.05,
    status=0.05,
    busy=10.0,
)

Open = Callable[..., VirtualCloud]
Connect = Callable[..., AbstractAsyncContextManager[Any]]


class Threaded:
    """A ``Connector`` whose operations are awaited: each runs in a thread, as in a register with threads."""

    def __init__(self, connector: Connector) -> None:
        self.connector = connector

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self.connector, name)

        async def run(*values: Any, **options: Any) -> Any:
            return await asyncio.to_thread(operation, *values, **options)

        return run

    def __repr__(self) -> str:
        return repr(self.connector)


def settings_for(cloud: VirtualCloud, settings: dict[str, Any]) -> dict[str, Any]:
    defaults = {
        "key_pos": cloud.key_pos,
        "client_id": "id",
        "client_secret": "a-secret",
        "profile": cloud.profile,
        "timeouts": QUICK,
    }
    return {**defaults, **settings}


@asynccontextmanager
async def connect_blocking(cloud: VirtualCloud, **settings: Any) -> AsyncIterator[Threaded]:
    connector = await asyncio.to_thread(lambda: Connector.create_cloud(cloud.url, **settings_for(cloud, settings)))
    try:
        yield Threaded(connector)
    finally:
        await asyncio.to_thread(connector.close)


@asynccontextmanager
async def connect_asyncio(cloud: VirtualCloud, **settings: Any) -> AsyncIterator[AsyncConnector]:
    async with AsyncConnector.create_cloud(cloud.url, **settings_for(cloud, settings)) as connector:
        yield connector


@pytest.fixture(params=[connect_blocking, connect_asyncio], ids=["Connector", "AsyncConnector"])
def connect(request: pytest.FixtureRequest) -> Connect:
    """``async with connect(cloud, ...) as pos`` makes either connector; its operations are awaited."""
    made: Connect = request.param
    return made


@pytest.fixture
def ready(connect: Connect) -> Connect:
    """The same, polled."""

    @asynccontextmanager
    async def polled(cloud: VirtualCloud, **settings: Any) -> AsyncIterator[Any]:
        async with connect(cloud, **settings) as pos:
            assert (await pos.polling()).approved
            yield pos

    return polled


@pytest.fixture(params=[Profile.CHILE, Profile.ARGENTINA], ids=["cl", "ar"])
def profile(request: pytest.FixtureRequest) -> Profile:
    chosen: Profile = request.param
    return chosen


@pytest.fixture
def opened() -> Iterator[Open]:
    """``opened(profile=...)`` is a cloud that serves until the test ends."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(VirtualCloud(**settings))


@pytest.fixture
def cloud(opened: Open, profile: Profile) -> VirtualCloud:
    return opened(profile=profile)
