"""A virtual terminal on a real pseudo-terminal, and both connectors, which one test text drives alike."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from typing import Any

import pytest

from getnet_pos import Timeouts
from getnet_pos.simulator import Behaviour, SerialServer, VirtualTerminal
from tests.faces import FACES, hasty

__all__ = ["hasty"]

collect_ignore_glob = [] if os.name == "posix" else ["test_*.py"]  # no pseudo-terminals there

QUICK = Timeouts(
    acknowledgement=0.4,
    short=0.6,
    report=0.6,
    sale=1.0,
    sale_total=2.0,
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
    """``serve(script=[...])`` puts a virtual terminal, or the given one, on a port of its own until the test ends."""
    with ExitStack() as stack:

        def served(terminal: VirtualTerminal | None = None, **settings: Any) -> SerialServer:
            return stack.enter_context(SerialServer(terminal or VirtualTerminal(**settings), gap=0))

        yield served


class Once(dict[int, Behaviour]):
    """Answers that a virtual terminal gives once each: ``terminal.answers = Once({106: Behaviour(...)})``."""

    def get(self, code: int, default: Any = None) -> Any:
        return self.pop(code, default)


@pytest.fixture(params=FACES.values(), ids=FACES)
def connect(request: pytest.FixtureRequest) -> Connect:
    """``async with connect(port, ...) as pos`` opens either connector; its operations are awaited."""

    def connected(port: str | None = None, **settings: Any) -> AbstractAsyncContextManager[Any]:
        opened: AbstractAsyncContextManager[Any] = request.param("create_usb", port, **{"timeouts": QUICK, **settings})
        return opened

    return connected


@pytest.fixture
def ready(connect: Connect) -> Connect:
    """The same, polled."""

    @asynccontextmanager
    async def polled(port: str | None = None, **settings: Any) -> AsyncIterator[Any]:
        async with connect(port, **settings) as pos:
            assert (await pos.polling()).approved
            yield pos

    return polled
