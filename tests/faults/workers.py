"""Work shared out to processes: as many as there are processors, each a clean one."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from tests.processes import context


def _begin(patient: bool) -> None:
    logging.disable(logging.CRITICAL)
    if patient:
        os.nice(5)


def shared(work: Callable[[Any], Counter[str]], parts: Iterable[Any], *, patient: bool = False) -> Counter[str]:
    """The sum of what ``work`` counts for each part. What looks at no real clock is ``patient``: others go first."""
    total: Counter[str] = Counter()
    parts = list(parts)
    with context.Pool(min(os.cpu_count() or 1, len(parts)), initializer=_begin, initargs=(patient,)) as pool:
        for counted in pool.imap_unordered(work, parts):
            total.update(counted)
    return total


def told(counts: Counter[str]) -> str:
    return ", ".join(f"{number:,} {name}" for name, number in sorted(counts.items()))
