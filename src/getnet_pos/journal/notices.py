"""Webhook notices in the database, and those who wait for them. NOTIFY is only a hint; the stored row counts.

A notification may be lost, with its connection or in a pooler, so the table is also read from time to time.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any, Final

import psycopg

from .database import Database
from .database_schema import CHANNEL, SCHEMA

__all__ = ["Notices"]

log = logging.getLogger("getnet_pos.journal")

_LOOK_EVERY: Final = 0.5
"""How often the table is read while somebody waits, in seconds."""

_CONNECT_EVERY: Final = 5.0
_KEEP: Final = f"SELECT {SCHEMA}.keep_notice(%s, %s, %s, %s::jsonb)"
_TELL: Final = "SELECT pg_notify(%s, %s)"
_STORED: Final = f"SELECT DISTINCT transaction_id FROM {SCHEMA}.notice WHERE transaction_id = ANY (%s)"


class Notices:
    """The notices of one database, for one process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[str, set[Future[None]]] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    def keep(self, key: str, transaction_id: str | None, content: Mapping[str, Any]) -> bool:
        """Store a notice and announce it to those who wait for its transaction; ``False`` if it was already stored."""
        [[new]] = self._database.ask(_KEEP, [key, transaction_id, uuid.uuid4().hex, json.dumps(content)])
        if transaction_id is not None:
            # In a transaction of its own: commits that notify wait for each other.
            self._database.ask(_TELL, [CHANNEL, transaction_id])
        return bool(new)

    def stored(self, transaction_id: str) -> Future[None]:
        """A future that is done once a notice of the transaction is stored, now or later. Cancel it to stop waiting."""
        future: Future[None] = Future()
        with self._lock:
            self._waiting.setdefault(transaction_id, set()).add(future)
            if self._thread is None:
                self._closed = False
                self._thread = threading.Thread(target=self._listen, name="getnet-pos notices", daemon=True)
                self._thread.start()
        return future

    def close(self) -> None:
        """Stop listening; futures that are still waiting stay undone."""
        self._closed, thread = True, self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(2 * _LOOK_EVERY)

    # ------------------------------------------------------------------------------------------------------ its thread

    def _listen(self) -> None:
        """Listen while somebody waits; without a connection to listen on, read the table."""
        connection: psycopg.Connection[Any] | None = None
        not_before = 0.0
        try:
            while self._goes_on():
                if connection is None and time.monotonic() >= not_before:
                    not_before = time.monotonic() + _CONNECT_EVERY
                    connection = self._connected()
                if self._waiting:
                    self._look([*self._waiting])
                if connection is None:
                    time.sleep(_LOOK_EVERY)
                    continue
                try:
                    for notification in connection.notifies(timeout=_LOOK_EVERY):
                        if notification.payload in self._waiting:
                            self._look([notification.payload])
                except psycopg.Error as error:
                    log.warning("lost the connection for notices: polling the table until it is back: %s", error)
                    connection.close()
                    connection = None
        finally:
            if connection is not None:
                connection.close()

    def _goes_on(self) -> bool:
        with self._lock:
            for number, futures in [*self._waiting.items()]:
                futures.difference_update([future for future in futures if future.done()])
                if not futures:
                    del self._waiting[number]
            if self._closed:
                self._thread = None
            return self._thread is not None

    def _connected(self) -> psycopg.Connection[Any] | None:
        connection = None
        try:
            connection = self._database.listener()
            if connection is not None:
                connection.execute(f"LISTEN {CHANNEL}")
        except psycopg.Error as error:
            log.warning("cannot listen for notices: polling the table instead: %s", self._database.error(error))
            if connection is not None:
                connection.close()
            return None
        return connection

    def _look(self, numbers: list[str]) -> None:
        with contextlib.suppress(Exception):
            for [number] in self._database.ask_once(_STORED, [numbers]):
                with self._lock:
                    futures = list(self._waiting.pop(number, ()))
                for future in futures:
                    with contextlib.suppress(Exception):
                        future.set_result(None)
