"""What the command line writes as CSV is text to a spreadsheet, whatever an API put into it."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from getnet_pos.cli.spreadsheets import write_csv


def written(*row: Any) -> str:
    file = io.StringIO()
    write_csv(file, [row])
    return file.getvalue()


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("PAX", "PAX"),
        ("A920-Pro", "A920-Pro"),
        ("a=b", "a=b"),
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
        ("@SUM(1)", "'@SUM(1)"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-2+3", "'-2+3"),
        ("  =1", "  '=1"),
        ("\t=1", " '=1"),
        ("\r=1", " '=1"),
        ("\uff1d1+1", "'\uff1d1+1"),
        ("x;=1;-1", "x;'=1;'-1"),
        ("a\r\nb", "a  b"),
        ("\x1b]0;owned\x07\x1b[2J", r"\x1b]0;owned\x07\x1b[2J"),
        ("\u202e", r"\u202e"),
        (None, ""),
        (True, "true"),
        (-5, "-5"),
        ("", ""),
    ],
)
def test_a_cell(value: object, cell: str) -> None:
    assert next(csv.reader([written(value, "behind")])) == [cell, "behind"]


def test_what_needs_quotes() -> None:
    assert written('say "x", y', 5) == '"say ""x"", y",5\n'


@given(st.lists(st.text(), min_size=2))
def test_no_cell_begins_a_formula_or_a_line(values: list[str]) -> None:
    text = written(*values)
    assert text.count("\n") == 1
    assert text.removesuffix("\n").isprintable()
    [cells] = csv.reader([text])
    assert len(cells) == len(values)
    for part in (part for cell in cells for part in cell.split(";")):
        assert part.strip()[:1] not in tuple("=+-@\uff1d\uff0b\uff0d\uff20")
