"""Both faces of the library, so that one test text drives them alike: what blocks is awaited, each call in a thread."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any

import pytest

from getnet_pos import AsyncConnector, Connector


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the rooms that import it: what real terminals are given to come back and to speak takes no seconds."""
    monkeypatch.setattr("getnet_pos.flows.stream._UNSENT_WITHIN", 0.1)
    monkeypatch.setattr("getnet_pos.flows.payment._RECONNECT", (0.05,))
    monkeypatch.setattr("getnet_pos.flows.payment._ASK_AGAIN", ((0.05, math.inf),) * 3 + ((0.0, 0.0),))


class Threaded:
    """A blocking object whose operations are awaited: each runs in a thread, as in a register with threads.

    The operations ``at_once`` are called as they are.
    """

    def __init__(self, blocking: Any, *, at_once: Collection[str] = ()) -> None:
        self.blocking = blocking
        self._at_once = at_once

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.blocking, name)
        if name in self._at_once or not callable(found):
            return found

        async def run(*values: Any, **options: Any) -> Any:
            return await asyncio.to_thread(found, *values, **options)

        return run

    def __repr__(self) -> str:
        return repr(self.blocking)


@asynccontextmanager
async def connect_blocking(create: str, *where: Any, **settings: Any) -> AsyncIterator[Threaded]:
    """A ``Connector`` made by its method ``create``."""
    connector = await asyncio.to_thread(getattr(Connector, create), *where, **settings)
    try:
        yield Threaded(connector)
    finally:
        await asyncio.to_thread(connector.close)


@asynccontextmanager
async def connect_asyncio(create: str, *where: Any, **settings: Any) -> AsyncIterator[AsyncConnector]:
    """An ``AsyncConnector`` made by its method ``create``."""
    async with getattr(AsyncConnector, create)(*where, **settings) as connector:
        yield connector


FACES = {"Connector": connect_blocking, "AsyncConnector": connect_asyncio}
