"""Streams made at random out of what the wires know, so that most of them get deep into a decoder before they fail."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import reduce
from operator import xor
from random import Random
from typing import Any

from tests import samples

_TEXTS = [text for text, _ in {**samples.REPLIES, **samples.OTHERS}.values()]
_FRAMES = [frame for frame, _ in samples.FRAMES.values()]
_PARTS = [frame[1:-2].decode() for frame, _ in samples.SIMPLIFIED.values()]
_INNERS = [json.loads(text) for text in _TEXTS]
_KEYS = sorted({key for inner in _INNERS for key in inner})
_KEYS += [key[0].lower() + key[1:] for key in _KEYS] + [
    "Terminalld",
    "Operationld",
    "OperationID",
    "AID",
    "Unknown",
    "é",
]
_KEYS += ["ErrorMessage", "errorMessage", "Success", "success", "Connected", "Amount", "amount"]
_KEYS += ["", "Message", "messageText", "a\\b", 'q"q', "JsonSerialized", "Sign", "Received", "Tip", "FunctionCode"]
_VALUES = (
    "0", "1", "-1", "112", "100", "105", "7", "12345678901", "999999999999999999", "1000000000000000000", "-0", "00",
    "9223372036854775807", "9223372036854775808", "18446744073709551615", "18446744073709551616", "1" + "0" * 30, "01",
    "1.5", "1e3", "1E+2", "-1.0e-2", "NaN", "Infinity", "-Infinity", "true", "false", "null", "True", '""', '"A1"',
    "+1",
    '"Aprobado"', '"transacción"', '"\\u00e1"', '"\\u0000"', '"\\ud83d\\ude00"', '"\\ud800"', '"\\n\\t"', '"a\\"b"',
    '"\\\\"', '"\\/"', '"\\x"', '"😀"', '"0447"', "{}", "[]", "[{}]", '[{"Amount":1}]', "[1]", '{"a":{"b":[1]}}',
    '[{"Amount":1},{"Amount":"x","Other":[2]}]', '[{"Ticket":"a"},null]', "[" * 31 + "]" * 31, "[" * 33 + "]" * 33,
    '"\x7f"',
    '"2026-06-11 22:40:22"', '"a string that is longer than thirty-two bytes, by some"', '"\u2028"', '"|"', " 1",
    '"a" ', '"25000"', '"25000.00"', '" 7 "', '"+7"', "25000.0", "9007199254740992.0", "9007199254740994.0", '"00"',
    '"0"', '"true"', '"False"', '" TRUE "', "2", '"1"', '"18446744073709551615"', '"18446744073709551616"', '"1.5"',
    '" "', '"2.5e4"', '"\uff11"', '"100"', '"112"', "100.0", "0.0", "-0.0",
)  # fmt: skip
_CONTROLS = ("\0", "\n", "\t", "\x02", "\x03", "\x1f", "\\\n", "\x7f")
_BYTES = [
    b"{",
    b"}",
    b'"',
    b"\\",
    b"\x02",
    b"\x03",
    b"|",
    b",",
    b":",
    b" ",
    b"\r\n",
    b"\0",
    b"\xff",
    b"\xc3",
    b"[",
    b"1",
]
_NOISE = [
    b"\r\n",
    b"\0\0",
    b"\xef\xbb\xbf",
    b"noise",
    b"{",
    b"\x02",
    b"}",
    b'{"',
    b'{"a":1}',
    b'"',
    b"\x02100|",
    b"[]",
    b"{}",
]


def stream(random: Random) -> bytes:
    """A few frames and what is none, one behind the other."""
    return b"".join(_piece(random) for _ in range(random.choice((1, 1, 1, 2, 2, 3, 5))))


def cuts(random: Random, size: int) -> Iterator[slice]:
    """The pieces in which a stream of that size arrives."""
    most = random.choice((1, 3, 20, 100, 1000, size + 1))
    at = 0
    while at < size:
        step = random.randint(1, most)
        yield slice(at, at + step)
        at += step


def _piece(random: Random) -> bytes:
    kind = random.random()
    if kind < 0.10:
        return random.choice(_FRAMES)
    if kind < 0.18:
        return random.choice(_NOISE)
    if kind < 0.30:
        return _damaged(random, random.choice(_FRAMES))
    if kind < 0.34:
        frame = random.choice(_FRAMES)
        return frame[: random.randrange(len(frame))]
    if kind < 0.50:
        return samples.signed(_damaged(random, random.choice(_TEXTS).encode()).decode(errors="replace"))
    if kind < 0.75:
        return _wrapped(random, _object(random))
    if kind < 0.80:
        return _object(random).encode(errors="replace")
    return _parts(random)


def _damaged(random: Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        at = random.randrange(len(changed) + 1)
        kind = random.randrange(4)
        if kind == 0:
            changed[at:at] = random.choice(_BYTES)
        elif kind == 1:
            del changed[at : at + random.choice((1, 1, 2, 10))]
        elif kind == 2:
            changed[at : at + 1] = random.choice(_BYTES)
        else:
            other = random.randrange(len(changed) + 1)
            changed[at:at] = changed[other : other + random.randrange(30)]
    return bytes(changed)


def _object(random: Random) -> str:
    if random.random() < 0.5:
        inner = dict(random.choice(_INNERS))
        items = [[key, json.dumps(value, ensure_ascii=random.random() < 0.3)] for key, value in inner.items()]
        if random.random() < 0.3:
            random.shuffle(items)
    else:
        code = str(random.choice((100, 102, 104, 105, 106, 108, 110, 111, 112, 114, 136, 0, 999)))
        items = [["FunctionCode", random.choice((code, code, code, f'"{code}"', f"{code}.0"))]]
        if random.random() < 0.8:
            items.append(["ResponseCode", random.choice(("0", "0", "0", "1006", "-1", "null", '"00"', "0.0", '"x"'))])
    for _ in range(random.choice((0, 0, 1, 1, 2, 5))):
        item = [json.dumps(random.choice(_KEYS))[1:-1], random.choice(_VALUES)]
        at = random.randrange(len(items) + 1)
        if items and random.random() < 0.4:
            items[at % len(items)][1] = item[1]
        else:
            items.insert(at, item)
    if random.random() < 0.2:
        key, value = random.choice(items)
        at = random.randrange(len(items) + 1)
        items.insert(at, [key[:1].swapcase() + key[1:], random.choice((value, value, *_VALUES))])
    space = random.choice(("", "", "", "", " ", "\n", "\t "))
    return "{" + space + f",{space}".join(f'"{key}"{space}:{space}{value}' for key, value in items) + space + "}"


def _wrapped(random: Random, text: str) -> bytes:
    text = _dressed(random, text)
    if random.random() < 0.05:
        text = json.dumps(text)
    sent_as, signed_as = (random.choice(("utf-8", "utf-8", "utf-8", "latin-1")) for _ in range(2))
    signature = hashlib.sha256(text.encode(signed_as, errors="replace")).hexdigest()
    if random.random() < 0.9:
        signature = signature.upper()
    if random.random() < 0.03:
        signature = "0" + signature[1:]
    held = text if random.random() < 0.05 else json.dumps(text, ensure_ascii=random.random() < 0.2)
    first, second = random.choice(
        (("JsonSerialized", "Sign"),) * 20
        + (("jsonSerialized", "sign"), ("Sign", "JsonSerialized")) * 4
        + (("\\u004asonSerialized", "Sign"), ("JsonSerialized", "\\u0053ign"))
    )
    pairs = dict.fromkeys(("JsonSerialized", "jsonSerialized", "\\u004asonSerialized"), held)
    pairs |= dict.fromkeys(("Sign", "sign", "\\u0053ign"), f'"{signature}"')
    before = random.choice(("",) * 24 + ('"JsonSerialized":"a",', '"JsonSerialized":1,', '"\\u0053ign":"a",'))
    between = random.choice(("",) * 24 + ('"JsonSerialized":1,', '"\\u0053ign":1,', ' "Sign":"a",', '"a":"b",'))
    more = random.choice(("",) * 12 + (',"Other":1', f',"Sign":"{signature}"', ',"sign":null'))
    space = random.choice(("",) * 8 + (" ", "\r\n"))
    outer = f'{{{space}{before}"{first}":{space}{pairs[first]},{between}"{second}":{pairs[second]}{more}{space}}}'
    return outer.encode(sent_as, errors="replace")


def _dressed(random: Random, text: str) -> str:
    """A text with what some firmware leaves around it, or within its strings."""
    if random.random() < 0.1:
        at = random.randrange(len(text))
        text = text[:at] + random.choice(_CONTROLS) + text[at:]
    before, behind = random.choice(("",) * 12 + ("\ufeff", "\0")), random.choice(("",) * 12 + ("\0", "\0\0", "\0\n"))
    return before + text + behind


def _parts(random: Random) -> bytes:
    parts = random.choice(_PARTS).split("|")
    for _ in range(random.choice((0, 0, 1, 1, 2, 4))):
        at = random.randrange(len(parts) + 1)
        kind = random.randrange(3)
        values = (
            "",
            "0",
            "00",
            "-0",
            "-",
            "7",
            "x",
            "true",
            "FALSE",
            "True",
            "Ñ",
            "1" * 18,
            "1" * 19,
            "9" * 21,
            "a" * 40,
            '"{',
            " 7 ",
            "15000.00",
            "+7",
            " true ",
            "1",
            " a",
            "a ",
            "  ",
        )
        if kind == 0:
            parts.insert(at, random.choice(values))
        elif kind == 1:
            del parts[at : at + 1]
        elif parts:
            parts[at % len(parts)] = random.choice(values)
    if random.random() < 0.1:
        del parts[-random.randrange(1, 9) :]
    if random.random() < 0.1:
        parts = [str(random.choice((100, 101, 102, 103, 105, 106, 108, 109, 110, 7, 999))), *parts[1:]]
    body = "|".join(parts).encode(random.choice(("utf-8",) * 9 + ("latin-1",)), errors="replace") + b"\x03"
    frame = b"\x02" + body + bytes([reduce(xor, body)])
    return _damaged(random, frame) if random.random() < 0.1 else frame


def exact(value: Any) -> Any:
    """A value with all its parts and their types, so that 1, True and an enum are three."""
    if is_dataclass(value):
        return type(value), [exact(getattr(value, item.name)) for item in fields(value)]
    if type(value) is dict:
        return [(key, exact(part)) for key, part in value.items()]
    if type(value) in (list, tuple):
        return type(value), [exact(part) for part in value]
    return type(value), repr(value) if type(value) is float else value
