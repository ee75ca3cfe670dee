"""The native reader of listings gives the pure one's answer, on whatever arrives; and reads what is regular itself."""

from __future__ import annotations

import gc
import json
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from datetime import datetime
from itertools import pairwise
from random import Random
from typing import Any

import orjson
import pytest

from getnet_pos import codec
from getnet_pos.codec import terminals
from getnet_pos.codec.terminals import TEXTS
from getnet_pos.errors import MalformedResponse
from getnet_pos.messages.terminals import CommercialMode, PaymentTerminal, TerminalList
from getnet_pos.simulator.equipment import listing, terminal
from tests.evidence import Count

Read = Callable[..., TerminalList]


@pytest.fixture
def read(native: Any) -> Read:
    found: Read = native.read_terminals
    return found


@pytest.fixture
def alone(read: Read, monkeypatch: pytest.MonkeyPatch) -> Read:
    """The native reader, which fails where it would have asked the pure one."""

    def refuse(body: object, *, strict: bool = False) -> TerminalList:
        pytest.fail("the native reader declined")

    monkeypatch.setattr(terminals, "read_terminals", refuse)
    return read


pure: Read = terminals.read_terminals


def exact(value: Any) -> Any:
    """A value with all its parts and their types; of a date-time, its time zone as well."""
    if is_dataclass(value):
        return type(value), [exact(getattr(value, item.name)) for item in fields(value)]
    if type(value) is dict:
        return [(key, exact(part)) for key, part in value.items()]
    if type(value) in (list, tuple):
        return type(value), [exact(part) for part in value]
    return type(value), repr(value) if isinstance(value, (float, datetime)) else value


def outcome(read: Read, body: Any, **options: Any) -> Any:
    try:
        return exact(read(body, **options))
    except MalformedResponse as error:
        return type(error), str(error), error.item, error.field
    except Exception as error:
        return type(error), str(error)


# ------------------------------------------------------------------------------------------------------------- regular


def test_the_package_reads_with_the_chosen_backend() -> None:
    assert codec.read_terminals is codec.backend(codec.BACKEND).read_terminals


@pytest.mark.parametrize("count", [0, 1, 2, 9, 10, 11, 100, 2_500])
@pytest.mark.parametrize("write", [orjson.dumps, json.dumps, lambda value: json.dumps(value, indent="\t") + "\r\n"])
def test_a_listing_is_read(alone: Read, count: int, write: Callable[[Any], Any]) -> None:
    text = write(listing("10000", count))
    body = text if isinstance(text, bytes) else text.encode()
    assert exact(alone(body)) == exact(alone(body, strict=True)) == exact(pure(body))
    assert exact(alone(bytearray(body))) == exact(pure(body))


REGULAR: list[dict[str, Any]] = [
    {},
    {name: None for name in terminal(0) if name != "payment_terminal_serial_number"},
    {"commercial_mode": "VENDA", "warranty_available": False},
    {"activation_datetime": "2024-02-29t23:59:59.25z"},
    {"activation_datetime": "2024-02-29T23:59:59.123456000Z"},
    {"activation_datetime": "0001-01-01T00:00:00-03:00"},
    {"activation_datetime": "9999-12-31T23:59:59.999999+23:59"},
    {"activation_datetime": "2010-03-29T13:57:42-00:00"},
    {"payment_terminal_model": "é" * 50, "payment_terminal_brand": "\U0001f4b3 \\ \" / \n\u2028\x7f\x00"},
    {"payment_terminal_model": "M" * 50, "payment_terminal_brand": "M" * 32, "capture_method_des": "M"},
    {"payment_terminal_sku": "", "payment_terminal_serial_number": "S", "capture_method_code": "é"},
    {"firmware": "1.2", "é": "é", "a\"b": 7, "extra": None, "online": True, "": -(10**17)},
]  # fmt: skip


@pytest.mark.parametrize("changes", REGULAR)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_regular_terminals_are_read(alone: Read, changes: dict[str, Any], ascii_only: bool) -> None:
    item = {**terminal(0), **changes}
    value = {"merchant_id": "1", "equipments": {"item": [item, terminal(1), item]}}
    if any("\U0001f4b3" in str(part) for part in item.values()) and ascii_only:
        return
    body = json.dumps(value, ensure_ascii=ascii_only).encode()
    assert exact(alone(body, strict=True)) == exact(pure(body, strict=True))


def test_any_order_and_missing_and_unknown_keys_outside_of_the_list(alone: Read) -> None:
    for seed in range(200):
        random = Random(seed)
        items = []
        for number in range(random.randrange(5)):
            pairs = [pair for pair in terminal(number).items() if "serial" in pair[0] or random.random() < 0.8]
            random.shuffle(pairs)
            items.append(dict(pairs))
        inner: dict[str, Any] = {"item": items, "total": len(items), "page": None}
        outer: dict[str, Any] = {"merchant_id": "é1", "equipments": inner, "more": False, "next": "x"}
        for value in (inner, outer):
            pairs = list(value.items())
            random.shuffle(pairs)
            value.clear()
            value.update(pairs)
        body = json.dumps(outer, ensure_ascii=False, indent=random.choice((None, 1))).encode()
        assert exact(alone(body)) == exact(pure(body)), body


def test_wherever_the_end_of_a_body_is_copied_from(alone: Read) -> None:
    """The last few thousand bytes are read apart; where that begins must not show."""
    items = orjson.dumps([terminal(number) for number in range(14)])
    for shift in range(480):
        body = b'{"equipments":{"item":%b},"merchant_id":"%b"}' % (items, b"m" * shift)
        assert len(alone(body)) == 14
    for shift in range(0, 5_000, 7):
        body = b'{"merchant_id":"1","equipments":{"item":%b}}' % items + b" " * shift
        assert exact(alone(body).terminals[-1]) == exact(pure(body).terminals[-1])


def test_what_repeats_is_kept_once_and_what_does_not_is_bounded(alone: Read) -> None:
    first, second = alone(orjson.dumps({"merchant_id": "1", "equipments": {"item": [terminal(0), terminal(60)]}}))
    for name in TEXTS:
        same = getattr(first, name) is getattr(second, name)
        assert same is (name != "payment_terminal_serial_number")
    items = [{**terminal(0), "payment_terminal_model": f"model {number}"} for number in range(3_000)]
    found = alone(orjson.dumps({"merchant_id": "1", "equipments": {"item": items}}))
    assert [pos.payment_terminal_model for pos in found] == [f"model {number}" for number in range(3_000)]
    assert len({id(pos.payment_terminal_brand) for pos in found}) < 30


def test_the_garbage_collector_treats_a_listing_as_the_pure_one(alone: Read) -> None:
    body = orjson.dumps(listing("1", 10))
    for found in (alone(body), pure(body)):
        assert all(gc.is_tracked(pos) for pos in found)
        assert all(pos.extra is not found.terminals[0].extra for pos in found.terminals[1:])


# ------------------------------------------------------------------------------------------------------------ declined


@pytest.mark.parametrize("body", [None, "", "{}", 7, memoryview(b"{}"), [], b"", b"{", b"[]", bytearray(b" ")])
def test_what_is_no_body_is_the_pure_reader_s_matter(read: Read, body: Any) -> None:
    assert outcome(read, body) == outcome(pure, body)


def test_a_body_cut_at_any_byte(read: Read, count: Count) -> None:
    whole = orjson.dumps(listing("1", 13)) + b"\n"
    for end in range(0, len(whole), count(short=3, evidence=1, long=1)):
        assert outcome(read, whole[:end]) == outcome(pure, whole[:end]), end


def test_a_body_with_any_byte_replaced(read: Read, count: Count) -> None:
    whole = orjson.dumps(listing("1", 2))
    for at in range(0, len(whole), count(short=3, evidence=1, long=1)):
        for byte in b'"\\}{, 0\x00\xff':
            body = whole[:at] + bytes([byte]) + whole[at + 1 :]
            assert outcome(read, body) == outcome(pure, body), (at, byte)


# ---------------------------------------------------------------------------------------------------------- properties

_VALUES = [
    '"302890"', '""', '"x"', '"1234567890123456"', '"123456789012345678"', '"1234567890123456789"',
    '"a text that is longer than thirty-two bytes"', '"' + "y" * 50 + '"', '"' + "y" * 51 + '"', '"é"', '"\\u00e9"',
    '"' + "é" * 9 + '"', '"' + "é" * 20 + '"', '"\\ud83d\\ude00"', '"\\ud800"', '"\\u0000"', '"a\\"b"', '"a\\\\"',
    '"a\tb"', '"\x7f"', '"\\x"', '"ALUGUEL"', '"VENDA"', '"TAXA_AD"', '"aluguel"', '"COMODATO"', '"\\u0056ENDA"',
    "true", "false", "null", "True", "nul", "nulls", "truefalse", "0", "-0", "1", "-1", "01", "903191104705571440",
    "999999999999999999", "1000000000000000000", "18446744073709551615", "18446744073709551616", "-9223372036854775809",
    "1.5", "1e3", "1e999", "NaN", "[]", "{}", '["a"]', '{"a":1}', '{"a":1,"a":2}', "[" * 28 + "]" * 28,
    "[" * 29 + "]" * 29, '{"a":"}"}', "",
]  # fmt: skip
_TIMES = [
    "2010-03-29T13:57:42Z", "2010-03-29t13:57:42z", "2010-03-29T13:57:42-03:00", "2010-03-29T13:57:42+00:00",
    "2010-03-29T13:57:42+23:59", "2010-03-29T13:57:42+24:00", "2010-03-29T13:57:42+03:60", "2010-03-29T13:57:42.5Z",
    "2010-03-29T13:57:42.123456Z", "2010-03-29T13:57:42.1234560Z", "2010-03-29T13:57:42.1234567Z",
    "2010-03-29T13:57:42.0000000000Z", "2010-03-29T13:57:42.Z", "2010-03-29T13:57:42", "2010-03-29 13:57:42Z",
    "2010-02-29T13:57:42Z", "2012-02-29T13:57:42Z", "1900-02-29T00:00:00Z", "2000-02-29T00:00:00Z",
    "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+03:00", "9999-12-31T23:59:59Z", "2010-13-01T00:00:00Z",
    "2010-00-01T00:00:00Z", "2010-01-00T00:00:00Z", "2010-01-32T00:00:00Z", "2010-04-31T00:00:00Z",
    "2010-03-29T24:00:00Z", "2010-03-29T23:60:00Z", "2010-03-29T23:59:60Z", "2010-03-29T13:57Z", "20100329T135742Z",
    "2010-03-29T13:57:42Z ", "2010\\u002d03-29T13:57:42Z", "2010-03-29T1a:57:42Z", "/010-03-29T13:57:42Z",
]  # fmt: skip
_KEYS = [item.name for item in fields(PaymentTerminal)]
_OTHER_KEYS = [
    "firmware",
    "",
    "é",
    "a\\\\",
    'a\\"b',
    "payment\\u005fterminal_sku",
    "\\u00e9",
    "k" * 70,
    "merchant_id",
    "a\tb",
]
_SPACES = ["", "", "", "", " ", "\n", "\t", "\r\n", "  ", "\n        ", " " * 40, "\v", "\x00", "\ufeff", "/**/"]


def _value(random: Random, key: str) -> str:
    chance = random.random()
    if key == "activation_datetime" and chance < 0.98:
        if chance < 0.5:
            return f'"{random.choice(_TIMES)}"'
        return (
            f'"{random.randrange(1, 10**4):04}-{random.randrange(1, 13):02}-{random.randrange(1, 30):02}'
            f'T{random.randrange(24):02}:{random.randrange(60):02}:{random.randrange(60):02}Z"'
        )
    regular = terminal(random.randrange(70)).get(key)
    return json.dumps(regular) if chance < 0.9 and regular is not None else random.choice(_VALUES)


def _object(pairs: list[tuple[str, str]], random: Random, spaces: list[str]) -> str:
    def space() -> str:
        return random.choice(spaces)

    inside = ",".join(f'{space()}"{key}"{space()}:{space()}{value}{space()}' for key, value in pairs)
    return "{" + (inside or space()) + "}"


def _terminal(random: Random, spaces: list[str], wild: float) -> str:
    keys = _KEYS[:-1]
    if random.random() < wild:
        keys = [key for key in keys if random.random() < 0.9]
    if random.random() < wild:
        random.shuffle(keys)
    if random.random() < wild:
        keys.insert(random.randrange(len(keys) + 1), random.choice(_OTHER_KEYS + _KEYS))
    pairs = []
    for key in keys:
        odd = random.random() < wild * 0.1
        pairs.append(
            (key, random.choice(_VALUES) if odd else _value(random, key) if random.random() < wild else "null")
        )
        if not odd and pairs[-1][1] == "null":
            pairs[-1] = key, json.dumps(terminal(random.randrange(70)).get(key))
    return _object(pairs, random, spaces)


def _body(random: Random) -> bytes:
    """A listing: mostly one that can be read, and then changed in a few bytes or not."""
    wild = random.choice((0.0, 0.02, 0.1, 0.5))
    spaces = random.choice(([""], [""], ["", " "], _SPACES[:11], _SPACES))
    items = [_terminal(random, spaces, wild) for _ in range(random.choice((0, 1, 1, 2, 3, 12, 30)))]
    if random.random() < wild:
        items.insert(random.randrange(len(items) + 1), random.choice(_VALUES))
    comma = f"{random.choice(spaces)},{random.choice(spaces)}"
    space = random.choice(spaces)
    listed = f"[{space}{comma.join(items)}{space}]"
    inner = [("item", items[0] if items and random.random() < wild else listed)]
    outer = [("merchant_id", '"10000"'), ("equipments", "")]
    for pairs in (inner, outer):
        if random.random() < wild:
            pairs.append((random.choice([*_OTHER_KEYS, "item", "equipments"]), random.choice(_VALUES)))
        if random.random() < wild:
            pairs.append(random.choice(pairs))
        if random.random() < wild:
            random.shuffle(pairs)
    filled = _object(inner, random, spaces)
    outer = [(key, filled if key == "equipments" and not value else value) for key, value in outer]
    if random.random() < wild * 0.2:
        outer[0] = outer[0][0], random.choice(_VALUES)
    body = f"{random.choice(spaces)}{_object(outer, random, spaces)}{random.choice(spaces)}".encode()
    return _damaged(body, random) if random.random() < 0.3 else body


def _damaged(body: bytes, random: Random) -> bytes:
    for _ in range(random.choice((1, 1, 1, 2, 5))):
        at, to = sorted((random.randrange(len(body) + 1), random.randrange(len(body) + 1)))
        kind = random.randrange(7)
        if kind == 0:
            body = body[:at]
        elif kind == 1:
            body = body[:at] + bytes([random.randrange(256)]) + body[at + 1 :]
        elif kind == 2:
            body = body[:at] + body[at + random.choice((1, 1, 2, 9)) :]
        elif kind == 3:
            body = body[:at] + random.choice((b'"', b"\\", b",", b"}", b"]", b"\xc3", b"\xff", b" ", b"{")) + body[at:]
        elif kind == 4:
            body = body[:at] + body[to:]
        elif kind == 5 and to - at < 2_000:
            body = body[:to] + body[at:to] + body[to:]
        elif at < len(body):
            body = body[:at] + bytes([body[at] ^ 1 << random.randrange(8)]) + body[at + 1 :]
        if not body:
            break
    return body


def test_every_body_means_the_same_to_both(read: Read, monkeypatch: pytest.MonkeyPatch, count: Count) -> None:
    declined = 0

    def counted(body: Any, *, strict: bool = False) -> TerminalList:
        nonlocal declined
        declined += 1
        return pure(body, strict=strict)

    monkeypatch.setattr(terminals, "read_terminals", counted)
    total = count(short=500, evidence=4_000, long=1_000_000)
    for seed in range(total):
        body = _body(Random(seed))
        strict = seed % 2 == 0
        expected = outcome(pure, body, strict=strict)
        assert outcome(read, body, strict=strict) == expected, (seed, body)
    # Most of what can be read without a deviation is read natively, so that the above says something of both ways.
    assert 0.2 * total < declined < 0.8 * total


# ------------------------------------------------------------------------------------------------- leaks and threads


def _bodies(wild: int) -> Iterator[bytes]:
    yield orjson.dumps(listing("1", 50))
    yield orjson.dumps(listing("1", 50))[:-100]
    for changes in REGULAR:
        yield orjson.dumps(
            {"merchant_id": "1", "equipments": {"item": [terminal(1), {**terminal(0), **changes}], "a": 1}}
        )
    for seed in range(wild):
        yield _body(Random(seed))


def test_nothing_is_leaked(read: Read, count: Count) -> None:
    bodies = list(_bodies(count(short=100, evidence=300, long=300)))
    watched = [*CommercialMode, PaymentTerminal, terminals.datetime]

    def traced() -> int:
        for body in bodies:
            outcome(read, body)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    traced()
    tracemalloc.start()
    try:
        traced()
        held, references = [traced()], [sys.getrefcount(value) for value in watched]
        held += [traced() for _ in range(3)]
    finally:
        tracemalloc.stop()
    # What leaks does so each time; a thread of the test runner's own may take something once.
    assert min(after - before for before, after in pairwise(held)) < 600
    assert [sys.getrefcount(value) for value in watched] == references


def test_threads_do_not_share_anything_that_changes(read: Read) -> None:
    bodies = [orjson.dumps(listing(str(number), 400 + number)) for number in range(4)]
    expected = [exact(pure(body)) for body in bodies]
    wrong: list[int] = []

    def work(number: int) -> None:
        for turn in range(20):
            which = (number + turn) % 4
            if exact(read(bodies[which])) != expected[which]:
                wrong.append(which)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
