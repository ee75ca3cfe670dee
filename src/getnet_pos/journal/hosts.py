"""Which host owns which terminal: leases in the database, with fencing tokens. Each host renews its own in a thread.

Only the owner of a terminal may write its steps. It stays the owner as long as something in its process refers to the
terminal and it renews the lease; after that another host may take over with a higher token, and the database refuses
what the old one writes. The server's clock decides; a host counts from before its request, on its monotonic clock.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import socket
import threading
import time
import uuid
import weakref
from functools import partial
from typing import Final

from ..errors import JournalError
from .database import Database
from .database_schema import SCHEMA

__all__ = ["Hold", "Host"]

log = logging.getLogger("getnet_pos.journal")

LIFE: Final = 15.0
"""How long a lease lasts without renewal, in seconds."""

_HOLD: Final = f"SELECT * FROM {SCHEMA}.hold(%s, %s, %s)"
_RENEW: Final = f"SELECT * FROM {SCHEMA}.renew(%s, %s, %s)"
_GIVE_BACK: Final = f"SELECT {SCHEMA}.give_back(%s, %s)"


class Hold:
    """A terminal that this host owns. It is given back when nothing in the process refers to it any more."""

    def __init__(self, terminal: str, token: int, until: float) -> None:
        self.terminal = terminal
        self.token = token
        self.until = until
        """The time, on the monotonic clock, before which no other host can own it; renewals move it on."""
        self.fenced = False
        """Whether another host has owned it since, so that the database refuses what this one writes."""


class Host:
    """This host in the database. Each process is a host of its own."""

    def __init__(self, database: Database, life: float = LIFE) -> None:
        self.name = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex}"
        self._database = database
        self._life = life
        self._held: weakref.WeakValueDictionary[str, Hold] = weakref.WeakValueDictionary()
        self._lock = threading.RLock()
        """Held while an owner changes in the database, so that giving back and taking a terminal do not overlap."""
        self._left: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        """The terminals to give back. A finalizer may add one at any moment, in any thread."""
        self._thread: threading.Thread | None = None

    def hold(self, terminal: str) -> Hold | None:
        """Become the owner of ``terminal``; ``None`` if another host owns it.

        Raises:
            JournalError: the database cannot be used.
        """
        with self._lock:
            hold = self._held.get(terminal)
            if hold is not None and not hold.fenced and hold.until - time.monotonic() > self._life / 3:
                return hold
            asked = time.monotonic()
            rows = self._database.ask(_HOLD, [self.name, [terminal], self._life])
            if not rows:
                if hold is not None:
                    self.lost(hold)
                return None
            [[_, token]] = rows
            if hold is not None and hold.token == token and not hold.fenced:
                hold.until = asked + self._life
                return hold
            if hold is not None:
                self.lost(hold)
            hold = self._held[terminal] = Hold(terminal, token, asked + self._life)
            weakref.finalize(hold, partial(self._left.put, terminal)).atexit = False
            if self._thread is None:
                self._thread = threading.Thread(target=self._keep, name="getnet-pos leases", daemon=True)
                self._thread.start()
            return hold

    def lost(self, hold: Hold) -> None:
        """Mark a hold as lost, because another host owns the terminal or has owned it since."""
        hold.fenced, hold.until = True, float("-inf")

    def close(self) -> None:
        """Give all terminals back. It never fails."""
        with self._lock:
            thread, self._thread = self._thread, None
            held = list(self._held.values())
            for hold in held:
                self.lost(hold)
            self._held.clear()
            terminals = {hold.terminal for hold in held}
            with contextlib.suppress(queue.Empty):
                while True:
                    terminals.add(self._left.get_nowait() or "")
            self._give_back(sorted(terminals - {""}))
            if thread is not None:
                self._left.put(None)

    def _give_back(self, terminals: list[str]) -> None:
        if terminals:
            try:
                self._database.ask(_GIVE_BACK, [self.name, terminals])
            except JournalError as error:
                log.warning("could not give back %d terminals, their leases will expire: %s", len(terminals), error)

    def _keep(self) -> None:
        """Renew the leases after a third of their life, and give back the terminals that are no longer used."""
        due = time.monotonic() + self._life / 3
        while True:
            try:
                terminal = self._left.get(timeout=max(due - time.monotonic(), 0.0))
            except queue.Empty:
                due = time.monotonic() + self._life / 3
                self._renew()
                continue
            with self._lock:
                if self._thread is not threading.current_thread():
                    return
                if terminal is not None and terminal not in self._held:
                    self._give_back([terminal])

    def _renew(self) -> None:
        with self._lock:
            held = {hold.terminal: hold for hold in list(self._held.values()) if not hold.fenced}
            if not held or self._thread is not threading.current_thread():
                return
            asked = time.monotonic()
            try:
                rows = self._database.ask(_RENEW, [self.name, [*held], self._life])
            except JournalError as error:
                log.warning("could not renew the leases of %d terminals: %s", len(held), error)
                return
            kept = dict(rows)
            for terminal, hold in held.items():
                if kept.get(terminal) == hold.token:
                    hold.until = asked + self._life
                else:
                    log.error("another host has taken over the terminal %s", terminal)
                    self.lost(hold)
