"""The work that is measured, and who does it. Every one checks what it reads; none keeps what it made."""

from __future__ import annotations

import hashlib
import io
import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from benches.baselines import signed, simplified
from getnet_pos import codec
from getnet_pos.errors import ConfigurationError
from getnet_pos.messages import Sale
from tests import samples

__all__ = ["LIMIT", "Way", "Work", "backends", "corpus", "works"]

LIMIT = "SHA-256 alone (the limit)"
_REPEATS = 20


@dataclass(frozen=True)
class Way:
    """A way to do a work: what to call, and how many frames that takes care of."""

    run: Callable[[], Any]
    frames: int


@dataclass(frozen=True)
class Work:
    name: str
    size: float
    """Bytes of a frame, at the mean."""
    ways: dict[str, Way]


def corpus(frames: int, seed: int = 1) -> list[bytes]:
    """Replies of every kind, acknowledgements and progress, with their own tickets, codes, amounts and times."""
    chance = random.Random(seed)
    texts = [text for name, (text, _) in samples.REPLIES.items() if "camelCase" not in name]
    texts += [samples.OTHERS[name][0] for name in ("progress", "progress with its function code")]
    found = []
    for _ in range(frames):
        text = chance.choice(texts)
        ticket, code = f"{chance.randrange(10**8):08x}", f"{chance.randrange(10**6):06d}"
        when = f"2026-{chance.randint(1, 12):02d}-{chance.randint(1, 28):02d} {chance.randrange(24):02d}:40:22"
        text = re.sub(r'"Ticket":"[^"]*"', f'"Ticket":"{ticket}"', text)
        text = re.sub(r'"AuthorizationCode":"\d+"', f'"AuthorizationCode":"{code}"', text)
        text = re.sub(r'"Amount":\d+', f'"Amount":{chance.randint(500, 99_999)}', text)
        text = re.sub(r'"OperationId":\d+', f'"OperationId":{chance.randint(1, 9999)}', text)
        text = re.sub(r'Date":"2026-[^"]*"', f'Date":"{when}"', text)
        text = re.sub(r'"CardBrand":"\w+"', f'"CardBrand":"{chance.choice(("VI", "MC", "AX"))}"', text)
        found.append(b'{"Received":true}' if chance.random() < 0.2 else samples.signed(text))
    return found


def backends() -> dict[str, Any]:
    """The codec's implementations that are installed, the faster one first."""
    found = {}
    for name in ("native", "pure"):
        try:
            found[name] = codec.backend(name)
        except ConfigurationError:
            continue
    return found


def works(quick: bool) -> Iterator[Work]:
    yield from _signed(quick)
    yield from _streams(100 if quick else 400)
    yield from _small()
    yield _capture(8 if quick else 64)


def _each(way: Callable[[Any], Any], arguments: list[Any]) -> Way:
    def run() -> None:
        for argument in arguments:
            way(argument)

    return Way(run, len(arguments))


def _limit(texts: list[bytes], frames: int) -> Way:
    """SHA-256 over the signed texts by the native codec's function, a hundred times each, so that calls are free."""
    native: Any = codec.backend("native")
    chosen = native._implementations()["chosen"]

    def run() -> None:
        for text in texts:
            native._sha256(text, chosen, 100)

    return Way(run, frames * 100)


def _hashlib(texts: list[bytes], frames: int) -> Way:
    return Way(_each(lambda text: hashlib.sha256(text).digest(), texts).run, frames)


def _signed(quick: bool) -> Iterator[Work]:
    for name, frames in (("sale reply", [samples.SALE] * _REPEATS), ("replies of all kinds", corpus(300))):
        texts = [json.loads(frame)["JsonSerialized"].encode() for frame in frames if b'"Sign"' in frame]
        ways = {backend: _each(codec.Decoder().feed, frames) for backend, codec in backends().items()}
        if "native" in ways:
            ways[LIMIT] = _limit(texts, len(frames))
        ways["hashlib alone"] = _hashlib(texts, len(frames))
        ways["msgspec structs, hashlib"] = _each(signed.msgspec_hashlib, frames)
        ways["orjson, hashlib"] = _each(signed.orjson_hashlib, frames)
        ways["json, hashlib"] = _each(signed.json_hashlib, frames)
        ways["character loop, json, hashlib"] = _each(signed.character_loop, frames[: 50 if quick else None])
        yield Work(name, sum(map(len, frames)) / len(frames), ways)


def _streams(count: int) -> Iterator[Work]:
    frames = corpus(count)
    data = b"".join(frames)
    for step in (1, 64, 4096, 65_536):
        pieces = [data[at : at + step] for at in range(0, len(data), step)]
        feeds: dict[str, Callable[[Any], Any]] = {name: codec.Decoder().feed for name, codec in backends().items()}
        feeds["the calls alone"] = len
        ways = {name: Way(_each(feed, pieces).run, count) for name, feed in feeds.items()}
        yield Work(f"stream in chunks of {step:,}", len(data) / count, ways)


def _small() -> Iterator[Work]:
    frame, sale = samples.SIMPLIFIED_SALE, Sale(25_000, "A1234")
    codecs = backends()
    work: dict[str, tuple[Any, dict[str, Callable[[Any], Any]]]] = {
        "seal a sale": (
            sale,
            {**{name: codec.seal for name, codec in codecs.items()}, "orjson, hashlib": signed.orjson_seal},
        ),
        "simplified sale reply": (
            frame,
            {**{name: codec.Decoder().feed for name, codec in codecs.items()}, "byte loops": simplified.read},
        ),
        "simplified sale command": (
            sale,
            {**{name: codec.encode_simplified for name, codec in codecs.items()}, "byte loops": simplified.encode},
        ),
    }
    for name, (argument, does) in work.items():
        result = codec.seal(sale) if "seal" in name else frame if "reply" in name else codec.encode_simplified(sale)
        yield Work(name, len(result), {way: _each(do, [argument] * _REPEATS) for way, do in does.items()})


class _Capture(io.RawIOBase):
    """A file that holds the same frames again and again, and takes no more memory than once."""

    def __init__(self, frames: bytes, times: int) -> None:
        self._frames, self._times = frames, times

    def read(self, size: int = -1) -> bytes:
        self._times -= 1
        return self._frames if self._times >= 0 else b""


def _capture(mebibytes: int) -> Work:
    frames = corpus(200)
    piece = b"".join(frames)
    times = mebibytes * 1_048_576 // len(piece) + 1

    def drain(codec: Any, times: int) -> None:
        for _ in codec.decode_many(_Capture(piece, times)):
            pass

    # An eighth is enough for the slower one: the cost grows with the length and nothing else.
    parts = {"native": times, "pure": times // 8}
    ways = {
        name: Way(lambda codec=codec, part=parts[name]: drain(codec, part), parts[name] * len(frames))  # type: ignore[misc]  # a type made while it runs
        for name, codec in backends().items()
    }
    return Work(f"capture of {mebibytes} MiB", len(piece) / len(frames), ways)
