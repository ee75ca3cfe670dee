"""Foreign terminals and clouds on every way to them, and short time limits.

The terminal and the cloud are written from the protocol page alone (tests/faults): they share no line with the library.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from getnet_pos import AsyncConnector, Connector, Intent, KeyPos, Profile, SqliteJournal, Timeouts, Wire
from tests.faces import hasty
from tests.faults.foreign_cloud import Cloud, answers_late
from tests.faults.foreign_terminal import Terminal, Turn, charges_late, serving

collect_ignore_glob = [] if os.name == "posix" else ["test_*.py"]  # no pseudo-terminals there

QUICK = Timeouts(
    connect=1.0,
    acknowledgement=0.3,
    short=0.4,
    report=0.4,
    sale=0.4,
    sale_total=0.4,
    cancel=0.3,
    cloud=0.4,
    recovery=0.3,
    recovery_interval=0.1,
    busy=5.0,
    status=0.02,
)
"""Time limits for a terminal that needs no time."""

KEY_POS = KeyPos("20129179", 266665, "SN1")
LOCAL = ("usb", "tcp", "http", "simplified")
CLOUDS = ("cl", "ar")
RECORDS = ("usb", "tcp", "http")
"""The local ways on which a terminal can be asked for its last voucher."""
COUNTRIES = {"cl": Profile.CHILE, "ar": Profile.ARGENTINA}

_numbers = itertools.count()


class Place:
    """A foreign terminal on one way to it, and how a register connects."""

    def __init__(self, way: str, terminal: Terminal, folder: Path) -> None:
        self.way, self.terminal = way, terminal
        self.cloud: Cloud | None = None
        self.where: tuple[Any, ...] = ()
        self.settings: dict[str, Any] = {}
        if way in ("usb", "simplified"):
            self.create, self.where = "create_usb", (terminal.plug(folder / f"ttyACM{next(_numbers)}"),)
            self.settings = {"wire": Wire.SIMPLIFIED} if way == "simplified" else {}
        elif way == "tcp":
            self.create, self.where = "create_tcp", ("127.0.0.1", terminal.listen())
        elif way == "http":
            self.port = terminal.listen(http=True)
            self.create, self.where = "create_http", (f"http://127.0.0.1:{self.port}",)
        else:
            self.cloud = Cloud(terminal, nested=way == "cl")
            self.create, self.where = "create_cloud", (self.cloud.url,)
            country = COUNTRIES[way]
            assert country.cloud is not None
            profile = replace(country, cloud=replace(country.cloud, refusal_within=0.2))
            self.settings = {"key_pos": KEY_POS, "client_id": "id", "client_secret": "a-secret", "profile": profile}

    def connect(self, **settings: Any) -> Connector:
        """A blocking connector that was not polled."""
        options = {"timeouts": QUICK, **self.settings, **settings}
        connector: Connector = getattr(Connector, self.create)(*self.where, **options)
        return connector

    @contextlib.contextmanager
    def ready(self, **settings: Any) -> Iterator[Connector]:
        """The same, polled."""
        with self.connect(**settings) as pos:
            assert pos.polling().approved
            yield pos

    def give_up(
        self, amount: int = 1000, *, at: Callable[[], bool] | None = None, stays: bool = False, **sale: Any
    ) -> None:
        """Sell, be cancelled once the terminal is at it, or at what ``at`` says, and go; the terminal goes on."""
        done = self._done()

        async def sell() -> None:
            options = {"timeouts": QUICK, **self.settings}
            async with getattr(AsyncConnector, self.create)(*self.where, **options) as pos:
                await pos.polling()
                selling = asyncio.ensure_future(pos.sale(amount, **sale))
                while not (self._done() > done if at is None else at()):
                    assert not selling.done()
                    await asyncio.sleep(0.002)
                selling.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await selling

        asyncio.run(sell())
        if not stays:
            self.terminal.rest()

    def _done(self) -> int:
        """How many sales the terminal got, or carried out for a cloud."""
        return self.terminal.sent(100) + len(self.terminal.operations)

    def charge_late(self, seconds: float = 0.25) -> None:
        """The next sale is charged at once, and its reply comes late."""
        if self.cloud is None:
            self.terminal.then(100, charges_late(seconds))
        else:
            self.cloud.then("sale", answers_late(seconds))

    def lead_to(self, terminal: Terminal) -> None:
        """Another terminal is at the place from now on; the one that was there has gone away."""
        if self.create == "create_usb":
            terminal.plug(self.where[0])
        else:
            terminal.listen(http=self.way == "http", port=self.port if self.way == "http" else self.where[1])


Visit = Callable[..., Place]


@pytest.fixture
def visit(tmp_path: Path) -> Iterator[Visit]:
    """``visit("usb", terminal)`` is the place of a foreign terminal, which is served until the test ends."""
    served: list[Terminal] = []
    with contextlib.ExitStack() as stack:

        def visited(way: str, terminal: Terminal | None = None) -> Place:
            place = Place(way, terminal or Terminal(), tmp_path)
            if place.terminal not in served:
                served.append(place.terminal)
                stack.enter_context(serving(place.terminal))
            if place.cloud is not None:
                stack.enter_context(place.cloud.serving())
            return place

        yield visited


@pytest.fixture
def book(journal_path: Path) -> Callable[[], list[Intent]]:
    """``book()`` are the payment commands in the journal, the oldest first."""

    def read() -> list[Intent]:
        with contextlib.closing(SqliteJournal(journal_path)) as journal:
            return journal.intents(settled=True)

    return read


__all__ = ["CLOUDS", "LOCAL", "QUICK", "Place", "Turn", "Visit", "hasty"]
