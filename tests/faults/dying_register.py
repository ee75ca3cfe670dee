"""A register in a process of its own, which ``kill -9`` ends at a chosen step of a sale."""

from __future__ import annotations

import logging
import os
import random
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

from getnet_pos import Connector, Profile, Progress, SqliteJournal, Timeouts, Wire
from getnet_pos.drivers.blocking import BlockingDriver
from getnet_pos.errors import GetnetError
from getnet_pos.flows.effects import Effect
from getnet_pos.session import Session
from getnet_pos.transports import Transport
from getnet_pos.transports.serial import SerialTransport

QUICK = Timeouts(
    acknowledgement=0.4,
    short=0.6,
    report=0.8,
    sale=1.5,
    sale_total=3.0,
    cancel=0.4,
    recovery=0.4,
    recovery_interval=0.1,
)
"""Time limits for a terminal that needs no time."""

_UNSEEN = ("NewId", "Now", "Report", "Take", "WallClock")
"""Steps that nothing outside can see."""


class Dying(BlockingDriver):
    """A driver whose process dies before, or after, a step of the sale."""

    def __init__(
        self, transport: Transport, journal: SqliteJournal, step: int, after: bool, last_words: Connection
    ) -> None:
        super().__init__(transport=transport, journal=journal)
        self.selling = False
        self._left = step
        self._after = after
        self._last_words = last_words

    def perform(self, effect: Effect, on_progress: Callable[[Progress], object] | None) -> object:
        name = type(effect).__name__
        if not self.selling or name in _UNSEEN:
            return super().perform(effect, on_progress)
        self._left -= 1
        if self._left >= 0:
            return super().perform(effect, on_progress)
        self._last_words.send(f"{name} {getattr(getattr(effect, 'intent', None), 'state', '')}".strip())
        if self._after:
            super().perform(effect, on_progress)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("a dead process goes on")


def polled(pos: Connector) -> bool:
    """Whether the terminal is ready: on a machine that is busy it may answer too late."""
    try:
        return bool(pos.polling().approved)
    except GetnetError:
        return False


def sell_and_die(
    device: str, journal: str, ticket: str, amount: int, step: int, after: bool, last_words: Connection
) -> None:
    """Poll and sell; die before, or after, the given step of the sale. ``last_words`` gets the step's name."""
    logging.disable(logging.CRITICAL)
    session = Session.over_stream(f"usb:{device}", wire=Wire.SIGNED, profile=Profile.INTEGRATED_POS, timeouts=QUICK)
    driver = Dying(SerialTransport(device), SqliteJournal(journal), step, after, last_words)
    with Connector(driver, session) as pos:
        while not polled(pos):
            time.sleep(0.02)
        driver.selling = True
        try:
            pos.sale(amount, ticket=ticket, on_progress=lambda _: None)
        except GetnetError as error:
            last_words.send(f"not at all: {error}")
        driver.selling = False
    last_words.send("not at all")


def sell_until_killed(device: str, journal: str, seed: int, sales: int) -> None:
    """Sell for ever, as a cash register does, and poll whenever something went wrong."""
    logging.disable(logging.CRITICAL)
    rng = random.Random(seed)
    done = 0
    while done < sales:
        try:
            with Connector.create_usb(device, journal=journal, timeouts=QUICK) as pos:
                pos.polling()
                while done < sales:
                    done += 1
                    ticket = None if rng.random() < 0.5 else f"S{rng.randrange(10**9)}"
                    on_progress = None if rng.random() < 0.5 else ignored
                    pos.sale(rng.choice((1000, 1000, 2000)), ticket=ticket, on_progress=on_progress)
        except GetnetError:
            time.sleep(0.02)


def ignored(_: object) -> None:
    """Take a progress message, and do nothing about it."""
