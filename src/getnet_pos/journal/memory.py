"""A journal without a file: the same rules, and it ends with the process."""

from __future__ import annotations

import threading
from collections import deque

from ..messages import FINAL_STATES, Intent
from .rules import RECENT, check

__all__ = ["MemoryJournal"]


class MemoryJournal:
    """The same rules without a file: it ends with the process."""

    def __init__(self) -> None:
        self._last: dict[str, Intent] = {}
        self._unsettled: dict[str, dict[str, Intent]] = {}
        self._recent: dict[str, deque[Intent]] = {}
        self._lock = threading.Lock()

    def record(self, intent: Intent) -> None:
        with self._lock:
            unsettled = self._unsettled.setdefault(intent.terminal, {})
            check(intent, self._last.get(intent.intent_id), unsettled.values())
            self._last[intent.intent_id] = intent
            if intent.state in FINAL_STATES:
                unsettled.pop(intent.intent_id, None)
                self._recent.setdefault(intent.terminal, deque(maxlen=RECENT)).append(intent)
            else:
                unsettled[intent.intent_id] = intent

    def unsettled(self, terminal: str) -> list[Intent]:
        with self._lock:
            return list(self._unsettled.get(terminal, {}).values())

    def recent(self, terminal: str) -> list[Intent]:
        with self._lock:
            return list(self._recent.get(terminal, ()))
