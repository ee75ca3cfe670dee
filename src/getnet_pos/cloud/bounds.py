"""What bounds the cost of strangers who post to a webhook receiver: its questions, its log and its memory."""

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
    """So many turns a minute. Who came last goes first, so that a burst holds up nobody who comes after it."""

    def __init__(self, per_minute: int) -> None:
        self._interval = 60 / per_minute
        self._waiting: list[asyncio.Future[None]] = []
        self._giving = False

    async def turn(self) -> None:
        """Wait for a turn."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        if not self._giving:
            self._give(loop)
        await turn

    def _give(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting and self._waiting[-1].done():  # given up
            self._waiting.pop()
        self._giving = bool(self._waiting)
        if self._waiting:
            self._waiting.pop().set_result(None)
            loop.call_later(self._interval, self._give, loop)


class BoundedLog:
    """Log messages that strangers cause: so many in a minute, and then how many were left out."""

    def __init__(self, log: logging.Logger, per_minute: int) -> None:
        self._log = log
        self._most = per_minute
        self._minute = 0
        self._written = self._left_out = 0

    def warning(self, text: str, *parts: object) -> None:
        minute = int(time.monotonic() // 60)
        if minute != self._minute:
            if self._left_out:
                self._log.warning("%d more messages about webhooks were left out", self._left_out)
            self._minute, self._written, self._left_out = minute, 0, 0
        if self._written < self._most:
            self._written += 1
            self._log.warning(text, *parts)
        else:
            self._left_out += 1


@dataclass(frozen=True, slots=True)
class _Mark:
    """What tells how old a result is: the cloud's numbers grow, and the terminal gives a date, where they are there."""

    number: int | None
    date: str | None

    @classmethod
    def of(cls, result: CloudResult) -> _Mark:
        number = result.id_pos_txs if isinstance(result.id_pos_txs, int) else None
        return cls(number, _date(getattr(result.reply, "real_date", None)))


class Handed:
    """The results that were handed on, the last ``most`` of them.

    One that has left memory is still known where it bears a number and a date, and neither is later than those of what
    was forgotten. A date to come is none: then a terminal whose clock is ahead makes nothing look old.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._marks: OrderedDict[object, _Mark] = OrderedDict()
        self._number = 0
        """The highest number of a result that was forgotten, and its latest date."""
        self._date = ""
        self.whole_since = time.time()
        """The time from which on nothing was forgotten."""

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
        """Whether a result that is not remembered was forgotten, as far as its number and its date say."""
        mark = _Mark.of(result)
        if mark.number is None or mark.date is None:
            return False
        return mark.number <= self._number and mark.date <= self._date


def _date(text: str | None) -> str | None:
    """A terminal's date in the form in which a later one is the greater text."""
    try:
        return datetime.fromisoformat(text or "").replace(tzinfo=None).isoformat(" ", "seconds")
    except ValueError:
        return None
