"""A register in a process of its own, which ``kill -9`` ends at a chosen step of a sale, over either carrier."""

from __future__ import annotations

import logging
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from getnet_pos import Connector, KeyPos, Profile, Timeouts
from getnet_pos.errors import GetnetError

QUICK = Timeouts(
    acknowledgement=0.4,
    short=0.6,
    report=0.8,
    sale=1.5,
    sale_total=3.0,
    cancel=0.4,
    cloud=3.0,
    recovery=0.4,
    recovery_interval=0.1,
    status=0.02,
)
"""Time limits for a terminal that needs no time."""

_UNSEEN = ("Begin", "Now", "Report", "NewId", "WallClock", "Random", "Recall", "Unsettled", "Claim")
"""Steps that nothing outside can see."""


@dataclass(frozen=True)
class Port:
    """A terminal behind a serial port."""

    device: str

    def connector(self, journal: str) -> Connector:
        return Connector.create_usb(self.device, journal=journal, timeouts=QUICK)


@dataclass(frozen=True)
class Account:
    """A terminal behind a cloud. ``webhook``: the cloud answers at once, and is asked for the status."""

    url: str
    key_pos: KeyPos
    country: str
    webhook: str | None = None

    def connector(self, journal: str) -> Connector:
        return Connector.create_cloud(
            self.url,
            key_pos=self.key_pos,
            client_id="id",
            client_secret="a-secret",
            profile=getattr(Profile, self.country),
            webhook=self.webhook,
            journal=journal,
            timeouts=QUICK,
        )


Place = Port | Account
"""Where a terminal is found, as another process can be told."""


def polled(pos: Connector) -> bool:
    """Whether the terminal is ready: on a machine that is busy it may answer too late."""
    try:
        return bool(pos.polling().approved)
    except GetnetError:
        return False


def sell_and_die(place: Place, journal: str, ticket: str, step: int, after: bool, last_words: Any) -> None:
    """Poll and sell; die before, or after, the given step of the sale. ``last_words`` gets the step's name."""
    logging.disable(logging.CRITICAL)
    with place.connector(journal) as pos:
        while not polled(pos):
            time.sleep(0.02)
        driver: Any = pos._driver
        perform, steps = driver.perform, iter(range(step + 1))

        def watched(effect: Any, *rest: Any) -> object:
            name = type(effect).__name__
            if name in _UNSEEN or next(steps, step) != step:
                return perform(effect, *rest)
            last_words.send(f"{name} {getattr(getattr(effect, 'intent', None), 'state', '')}".strip())
            if after:
                perform(effect, *rest)
            os.kill(os.getpid(), signal.SIGKILL)
            raise AssertionError("a dead process goes on")

        driver.perform = watched
        try:
            pos.sale(1000, ticket=ticket, on_progress=lambda _: None)
        except GetnetError as error:
            last_words.send(f"not at all: {error}")
    last_words.send("not at all")


def sell_until_killed(device: str, journal: str, seed: int, sales: int) -> None:
    """Sell for ever, as a cash register does, and poll whenever something went wrong."""
    logging.disable(logging.CRITICAL)
    rng = random.Random(seed)
    done = 0
    while done < sales:
        try:
            with Port(device).connector(journal) as pos:
                pos.polling()
                while done < sales:
                    done += 1
                    ticket = None if rng.random() < 0.5 else f"S{rng.randrange(10**9)}"
                    on_progress: Callable[[object], object] | None = None if rng.random() < 0.5 else ignored
                    pos.sale(rng.choice((1000, 1000, 2000)), ticket=ticket, on_progress=on_progress)
        except GetnetError:
            time.sleep(0.02)


def recover_until_killed(device: str, journal: str) -> None:
    """Look after what a register has left, as a second process that a person starts beside it."""
    logging.disable(logging.CRITICAL)
    while True:
        try:
            with Port(device).connector(journal) as pos:
                pos.polling()
                pos.recover()
        except GetnetError:
            time.sleep(0.02)


def ignored(_: object) -> None:
    """Take a progress message, and do nothing about it."""
