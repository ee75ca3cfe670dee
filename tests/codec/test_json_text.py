"""JSON by the standard library is what it is by orjson: the same bytes, the same objects, the same refusals."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from enum import Enum, IntEnum
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from getnet_pos.codec import json_text, standard_json
from tests.evidence import Count

orjson = pytest.importorskip("orjson", reason="nothing to compare with: the fallback is what the other tests run on")

REFUSED = "refused"


def outcome(call: Callable[[Any], Any], value: Any, refusal: type[Exception]) -> Any:
    """What a call gives, with the types of it; ``nan`` never comes out of a text."""
    try:
        return repr(call(value))
    except refusal:
        return REFUSED


def same_read(text: str | bytes) -> str:
    found = outcome(standard_json.loads, text, ValueError)
    assert found == outcome(json_text.loads, text, ValueError), text
    return str(found)


def same_written(value: Any) -> str:
    found = outcome(standard_json.dumps, value, TypeError)
    assert found == outcome(json_text.dumps, value, TypeError), value
    return str(found)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "NaN",
            "Infinity",
            "-Infinity",
            "1e400",
            "-1e400",
            "9" * 400,
            "9" * 5_000,
            "01",
            "-00",
            "1.",
            ".5",
            "-",
            "+1",
        ),
        *(r'"\ud800"', r'"\udc00"', r'"\ud800\ud800\udc00"', r'{"a":"\uD800","a":1}', r'"\ud800\\udc00"', "\ud800"),
        *("", " ", "\ufeff1", "1\x0b", "[1,]", "{'a':1}", '"\t"', '"\0"', r'"\x41"', r'"\u00zz"', r'"\ud83d\u"', "1 2"),
        *(b'"\xff"', b'"\xed\xa0\x80"', b"\xef\xbb\xbf1", "[" * 100_000, "[" * 2_000 + "]", '"\\'),
    ],
)
def test_refused_by_both(text: str | bytes) -> None:
    assert same_read(text) == REFUSED


@pytest.mark.parametrize(
    "text",
    [
        *("-0", "-0.0", "18446744073709551615", "18446744073709551616", "-9223372036854775808", "-9223372036854775809"),
        *(
            "9" * 40,
            "1e-400",
            "1E5",
            "1.0e+05",
            '{"a":1,"b":2,"a":3}',
            '{"a":{"b":1},"a":[]}',
            " 1\r\n\t",
            '"\x7f\u2028"',
        ),
        *(r'"\ud83d\ude00"', r'"\\ud800"', r'"\\\ud83d\uDE00\/"', '"😀"', b'"\xc3\xa9"', "[" * 300 + "]" * 300),
    ],
)
def test_read_by_both(text: str | bytes) -> None:
    assert same_read(text) != REFUSED


class _Number(IntEnum):
    ONE = 1


class _Word(str, Enum):
    YES = "yes"


class _Thing(Enum):
    PART = "part"


class _Text(str): ...


class _Count(int): ...


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, False, 0, -1, (1 << 64) - 1, -(1 << 63), "", 'é\0\x1f\x7f\u2028\b\f\n\r\t/"\\😀', (1, [2]), {}),
        *(0.0, -0.0, 1e15, 1e16, 1e22, 1e-4, 1e-5, -1.25e-5, 1e-6, 5e-324, 1.5e300, math.nan, math.inf, 1e100),
        *(_Number.ONE, _Word.YES, _Thing.PART, _Text("é"), _Count(3), MappingProxyType({"a": _Text("b")}), UUID(int=5)),
        [{"a": _Word.YES, "b": [_Number.ONE, _Text("")]}],
    ],
)
def test_written_by_both(value: Any) -> None:
    assert same_written(value) != REFUSED


@pytest.mark.parametrize(
    "value",
    [
        1 << 64,
        -(1 << 63) - 1,
        "\ud800",
        ["\udc00"],
        {"\ud800": 1},
        {1: 2},
        {None: 1},
        {_Text("a"): 1},
        b"x",
        {1},
        date.min,
        1j,
    ],
)
def test_not_written_by_either(value: Any) -> None:
    assert same_written(value) == REFUSED


def test_how_deep_is_written() -> None:
    value: list[Any] = []
    for _ in range(252):
        value = [value]
    assert same_written([value]) != REFUSED
    assert same_written([[[value]]]) == REFUSED


TEXTS = st.text(st.characters(), max_size=8) | st.text('"\\/u\0\t\ud83d\ude00dDa1é😀', max_size=8)
NUMBERS = st.integers(-(1 << 66), 1 << 66) | st.floats()
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def test_any_value_is_written_alike(count: Count) -> None:
    @settings(max_examples=count(short=40, evidence=2_000, long=200_000))
    @given(VALUES)
    def alike(value: Any) -> None:
        same_written(value)

    alike()


def test_any_text_is_read_alike(count: Count) -> None:
    """Whole, and with one place of it damaged."""

    @settings(max_examples=count(short=40, evidence=2_000, long=200_000))
    @given(VALUES, st.booleans(), st.integers(0, 200), st.sampled_from(["", *'"\\{}[],:-+.0e\ufeffu\0 \ud800']))
    def alike(value: Any, escaped: bool, place: int, damage: str) -> None:
        text = json.dumps(value, ensure_ascii=escaped)
        same_read(text)
        same_read(text[:place] + damage + text[place + 1 :])

    alike()


def test_the_codec_works_without_orjson() -> None:
    code = (
        "import sys; sys.modules['orjson'] = None\n"
        "from getnet_pos import Sale\n"
        "from getnet_pos.codec import json_text, pure, standard_json\n"
        "assert json_text.dumps is standard_json.dumps\n"
        "[sealed] = pure.decode_many(pure.seal(Sale(1500, 'é-7')))\n"
        "print(ascii(sealed))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "1500" in told
    assert "\\xe9-7" in told
