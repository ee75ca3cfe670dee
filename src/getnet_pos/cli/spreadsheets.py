"""Writes all CSV of the command line, so that no spreadsheet takes a cell for a formula."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from typing import Any, TextIO

from .ends import printable

__all__ = ["write_csv"]

_FORMULA = re.compile("(^|;) *(?=[=+@\uff1d\uff0b\uff20\uff0d-])")
"""Where a formula begins: at the start of a cell, or after a semicolon, which separates cells in many countries."""


def write_csv(file: TextIO, rows: Iterable[Iterable[Any]]) -> None:
    """Write ``rows``, one per line.

    In text, a formula gets an apostrophe in front, a line break becomes a space, and other control characters are
    escaped. ``None`` is an empty cell; a number stays a number.
    """
    writer = csv.writer(file, lineterminator="\n")
    writer.writerows([_cell(value) for value in row] for row in rows)


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return _FORMULA.sub(r"\g<0>'", printable(value)) if isinstance(value, str) else value
