"""Reads and compares dates in the formats that terminals are known to write. Pure functions."""

from __future__ import annotations

import re
from datetime import datetime

__all__ = ["compare_dates", "read_date"]

_TIME = r"[ T](?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,]\d{1,9})?)? ?(?P<zone>Z|[+-]\d\d:?\d\d)?"
_PARTS = ("year", "month", "day", "hour", "minute", "second", "zone")
_FORMS = (
    re.compile(r"(?P<year>\d{4})[-/](?P<month>\d\d)[-/](?P<day>\d\d)" + _TIME, re.ASCII),
    re.compile(r"(?P<day>\d\d)[-/](?P<month>\d\d)[-/](?P<year>\d{4})" + _TIME, re.ASCII),
)


def read_date(text: str | None) -> str | None:
    """``text`` as ``yyyy-MM-dd HH:mm[:ss][zone]``; ``None`` if it is not a date in a known format."""
    for form in _FORMS:
        found = form.fullmatch((text or "").strip())
        if found is None:
            continue
        year, month, day, hour, minute, second, zone = found.group(*_PARTS)
        try:
            datetime(int(year), int(month), int(day), int(hour), int(minute), int(second or 0))
        except ValueError:
            return None
        seconds = "" if second is None else f":{second}"
        return f"{year}-{month}-{day} {hour}:{minute}{seconds}{(zone or '').replace(':', '')}"
    return None


def compare_dates(one: str | None, two: str | None) -> int | None:
    """Negative, 0 or positive if ``one`` is before, equal to or after ``two``, at the precision of the coarser one.

    ``None`` if one is missing, or if they have different time zones, so that their order is unknown.
    """
    if one is None or two is None:
        return None
    zone = _zone(one)
    if zone != _zone(two):
        return None
    length = min(len(one), len(two)) - len(zone)
    first, second = one[:length], two[:length]
    return (first > second) - (first < second)


def _zone(date: str) -> str:
    return "Z" if date.endswith("Z") else date[-5:] if date[-5:-4] in ("+", "-") and ":" in date[:-5] else ""
