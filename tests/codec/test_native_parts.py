"""The native codec's own parts: each way to hash and to unescape that this processor has, and threads."""

from __future__ import annotations

import hashlib
import json
import random
import threading
from typing import Any

import pytest

from tests import samples

VECTORS = {
    b"": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    b"abc": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq": (
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    ),
    b"a" * 1_000_000: "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
}
"""Published with FIPS 180."""


def test_every_implementation_hashes_alike(native: Any) -> None:
    chance = random.Random(2)
    texts = [chance.randbytes(size) for size in [*range(300), 1000, 4096, 65_537]]
    for way in native._implementations()["sha256"]:
        for text, digest in VECTORS.items():
            assert native._sha256(text, way).hex() == digest
        for text in texts:
            assert native._sha256(text, way) == hashlib.sha256(text).digest()
    with pytest.raises(ValueError, match="does not run here"):
        native._sha256(b"", b"unknown")


def test_every_implementation_unescapes_alike(native: Any) -> None:
    chance = random.Random(3)
    letters = ['"', "\\", "/", "\n", "é", "😀", "\u2028", "\x7f", *"abcdefgh" * 4]
    for _ in range(5000):
        text = "".join(chance.choices(letters, k=chance.choice((0, 1, 5, 63, 64, 65, 130, 300))))
        escaped = json.dumps(text, ensure_ascii=chance.random() < 0.2)[1:].encode()
        read = {way: native._unescape(escaped + b" " * 64, way) for way in native._implementations()["unescape"]}
        assert len(set(read.values())) == 1
        (found,) = set(read.values())
        if found is not None:
            assert found == (text.encode(), len(escaped) - 1)
        else:
            assert "\\ud83d" in escaped.decode()


@pytest.mark.parametrize(
    "data", [b"abc", b"abc" + b" " * 64, b'\\x"' + b" " * 64, b'\x1f"' + b" " * 64, b'\\u12g4"' + b" " * 64]
)
def test_what_is_no_string_is_left_to_the_pure_codec(native: Any, data: bytes) -> None:
    assert [native._unescape(data, way) for way in native._implementations()["unescape"]] == [None] * len(
        native._implementations()["unescape"]
    )


def run(count: int, work: Any) -> None:
    failures: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_a_decoder_for_each_thread(backend: Any) -> None:
    frames = list(samples.FRAMES.values())

    def work(number: int) -> None:
        decoder = backend.Decoder()
        for frame, message in frames * 5:
            assert decoder.feed(frame[: number * 7]) + decoder.feed(frame[number * 7 :]) == [message]

    run(6, work)


def test_a_decoder_that_threads_share(native: Any) -> None:
    """Each ``feed`` is one step: whole frames from many threads are all read, and none twice."""
    decoder = native.Decoder()
    frames = list(samples.FRAMES.values())
    found: list[Any] = []

    def work(number: int) -> None:
        for frame, _ in frames * 20:
            found.extend(decoder.feed(bytearray(frame) * 3))

    run(6, work)
    assert len(found) == 6 * 20 * 3 * len(frames)
    assert (decoder.pending, decoder.skipped) == (0, 0)


def test_a_decoder_is_not_used_by_the_type_that_it_makes(native: Any) -> None:
    from getnet_pos.messages import PollReply

    class Greedy(PollReply):
        def __new__(cls, *args: Any) -> Any:
            decoder.feed(b"{")
            return super().__new__(cls)

    decoder = native.Decoder(reply_types={106: Greedy})
    with pytest.raises(RuntimeError):
        decoder.feed(samples.FRAMES["poll"][0])
    assert decoder.feed(samples.SALE) == [samples.SALE_REPLY]
