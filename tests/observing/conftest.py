"""A terminal on either carrier and both connectors, so that one test text observes them alike."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack
from typing import Any

import pytest

from getnet_pos import Profile, Timeouts
from getnet_pos.observer import Event, OperationEnded
from getnet_pos.simulator import Behaviour, SerialServer, VirtualTerminal
from getnet_pos.simulator.cloud import VirtualCloud
from tests.faces import FACES, hasty

__all__ = ["hasty"]

collect_ignore_glob = [] if os.name == "posix" else ["test_*.py"]  # no pseudo-terminals there

QUICK = Timeouts(
    acknowledgement=0.4,
    short=1.0,
    report=1.0,
    sale=1.0,
    sale_total=1.0,
    cloud=1.0,
    recovery=0.3,
    recovery_interval=0.1,
    status=0.05,
    busy=10.0,
)
"""Time limits for a terminal that needs no time."""


class Shop:
    """One terminal on one carrier, and connectors of one face to it."""

    def __init__(self, carrier: str, face: Any, stack: ExitStack) -> None:
        self.carrier, self._face, self._stack = carrier, face, stack
        self.server: Any = None

    def serve(self, sale: Behaviour | None = None) -> VirtualTerminal:
        """Put a terminal there, which treats sales in a way of its own."""
        server = (
            SerialServer(VirtualTerminal(), gap=0) if self.carrier == "usb" else VirtualCloud(profile=Profile.CHILE)
        )
        self.server = self._stack.enter_context(server)
        terminal: VirtualTerminal = self.server.terminal
        if sale is not None:
            terminal.answers = {100: sale}
        return terminal

    def connect(self, observer: Callable[[Event], object] | None, **settings: Any) -> AbstractAsyncContextManager[Any]:
        """``async with shop.connect(observer) as pos``; its operations are awaited."""
        settings = {"timeouts": QUICK, "observer": observer, **settings}
        if self.carrier == "usb":
            made: AbstractAsyncContextManager[Any] = self._face("create_usb", self.server.device, **settings)
            return made
        login = {"key_pos": self.server.key_pos, "client_id": "id", "client_secret": "a-secret"}
        made = self._face("create_cloud", self.server.url, profile=Profile.CHILE, **login, **settings)
        return made


def _shop(carrier: str, face: str) -> Iterator[Shop]:
    with ExitStack() as stack:
        yield Shop(carrier, FACES[face], stack)


@pytest.fixture(params=[(carrier, face) for carrier in ("usb", "cloud") for face in FACES], ids="-".join)
def shop(request: pytest.FixtureRequest) -> Iterator[Shop]:
    """Either carrier, and either face."""
    yield from _shop(*request.param)


@pytest.fixture(params=["usb", "cloud"])
def aio(request: pytest.FixtureRequest) -> Iterator[Shop]:
    """Either carrier, on asyncio."""
    yield from _shop(request.param, "AsyncConnector")


@pytest.fixture(params=FACES)
def line(request: pytest.FixtureRequest) -> Iterator[Shop]:
    """A terminal on a serial port, and either face."""
    yield from _shop("usb", request.param)


def shown(events: list[Event], command: str) -> list[str]:
    """The events of the operations of one command, each by its name and what came of it."""
    return [
        " ".join([type(event).__name__, *(str(getattr(event, name)) for name in ("state", "outcome", "error")
                                          if getattr(event, name, None) is not None)])
        for event in events
        if event.operation.command == command
    ]  # fmt: skip


def assert_whole(events: list[Event]) -> None:
    """Each operation that began has ended once, after all that was seen of it."""
    seen = [event.operation for event in events]
    ended = [event.operation for event in events if isinstance(event, OperationEnded)]
    assert Counter(ended) == Counter(set(seen)), "each ends once"
    for operation in ended:
        last = max(number for number, one in enumerate(seen) if one is operation)
        assert isinstance(events[last], OperationEnded)
