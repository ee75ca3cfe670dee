"""A virtual cloud of either country on a real socket, and both connectors, which one test text drives alike."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from getnet_pos import Profile, Timeouts
from getnet_pos.simulator.cloud import VirtualCloud
from tests.faces import FACES, hasty

__all__ = ["hasty"]

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
DOUBTFUL = replace(QUICK, sale=1.0, sale_total=1.0, cloud=1.0)
"""For a sale that ends in doubt: it is asked about until its own time is over."""

Open = Callable[..., VirtualCloud]
Connect = Callable[..., AbstractAsyncContextManager[Any]]


def settings_for(cloud: VirtualCloud, settings: dict[str, Any]) -> dict[str, Any]:
    defaults = {
        "key_pos": cloud.key_pos,
        "client_id": "id",
        "client_secret": "a-secret",
        "profile": cloud.profile,
        "timeouts": QUICK,
    }
    return {**defaults, **settings}


@pytest.fixture(params=FACES.values(), ids=FACES)
def connect(request: pytest.FixtureRequest) -> Connect:
    """``async with connect(cloud, ...) as pos`` makes either connector; its operations are awaited."""

    def connected(cloud: VirtualCloud, **settings: Any) -> AbstractAsyncContextManager[Any]:
        made: AbstractAsyncContextManager[Any] = request.param(
            "create_cloud", cloud.url, **settings_for(cloud, settings)
        )
        return made

    return connected


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
