"""Limits what strangers who post to a webhook receiver can cost: queries to the cloud, log messages and memory."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime

from ..messages import CloudResult

__all__ = ["Allowance", "BoundedLog", "Handed"]


class Allowance:
    """A rate limit. The newest waiter goes first, so that a burst does not delay those who come after it."""

    def __init__(self, per_minute: int) -> None:
        self._interval = 60 / per_minute
        self._waiting: list[asyncio.Future[None]] = []
        self._giving = False

    async def acquire(self) -> None:
        """Wait until the rate allows one more."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiting.append(waiter)
        if not self._giving:
            self._give(loop)
        await waiter

    def _give(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting and self._waiting[-1].done():  # cancelled
            self._waiting.pop()
        self._giving = bool(self._waiting)
        if self._waiting:
            self._waiting.pop().set_result(None)
            loop.call_later(self._interval, self._give, loop)


class BoundedLog:
    """Limits the log messages that strangers can cause. At the end of the minute it logs how many were suppressed."""

    def __init__(self, log: logging.Logger, per_minute: int) -> None:
        self._log = log
        self._most = per_minute
        self._minute = 0
        self._written = self._left_out = 0

    def warning(self, text: str, *parts: object) -> None:
        minute = int(time.monotonic() // 60)
        if minute != self._minute:
            if self._left_out:
                self._log.warning("%d more log messages about webhooks were suppressed", self._left_out)
            self._minute, self._written, self._left_out = minute, 0, 0
        if self._written < self._most:
            self._written += 1
            self._log.warning(text, *parts)
        else:
            self._left_out += 1


@dataclass(frozen=True, slots=True)
class _Mark:
    """The age of a result: its transaction number, which the cloud increases, and the terminal's date, if present."""

    number: int | None
    date: str | None

    @classmethod
    def of(cls, result: CloudResult) -> _Mark:
        number = result.id_pos_txs if isinstance(result.id_pos_txs, int) else None
        return cls(number, _date(getattr(result.reply, "real_date", None)))


class Handed:
    """The results that were delivered, the last ``most`` of them.

    A result that is no longer in memory is still recognized if it has a number and a date, and neither is later than
    those of the forgotten ones. Dates in the future are ignored, so that a terminal whose clock is fast does not make
    other results look old.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._marks: OrderedDict[object, _Mark] = OrderedDict()
        self._number = 0
        """The highest number and the latest date among the forgotten results."""
        self._date = ""
        self.whole_since = time.time()
        """Since when no result was forgotten."""

    def __contains__(self, key: object) -> bool:
        return key in self._marks

    def add(self, key: object, result: CloudResult) -> None:
        self._marks[key] = _Mark.of(result)
        if len(self._marks) > self._most:
            forgotten = self._marks.popitem(last=False)[1]
            self._number = max(self._number, forgotten.number or 0)
            now = datetime.now().isoformat(" ", "seconds")
            self._date = max(self._date, forgotten.date or "") if (forgotten.date or "") <= now else self._date
            self.whole_since = time.time()

    def discard(self, key: object) -> None:
        self._marks.pop(key, None)

    def is_older_than_all(self, result: CloudResult) -> bool:
        """Whether the result is one of the forgotten ones, judging by its number and its date."""
        mark = _Mark.of(result)
        if mark.number is None or mark.date is None:
            return False
        return mark.number <= self._number and mark.date <= self._date


def _date(text: str | None) -> str | None:
    """A terminal's date in a form that sorts as text."""
    try:
        return datetime.fromisoformat(text or "").replace(tzinfo=None).isoformat(" ", "seconds")
    except ValueError:
        return None
