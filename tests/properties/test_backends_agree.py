"""The native codec gives the pure one's answer, whatever arrives and however it is cut; so does each for every cut."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from tests.evidence import Count
from tests.properties import streams


@pytest.fixture(scope="module")
def number(count: Count) -> int:
    """How many streams are enough where the first test has taken many."""
    return count(short=1_000, evidence=3_000, long=3_000)


def read(decoder: Any, data: bytes, random: Random | None) -> Any:
    pieces = [slice(None)] if random is None else streams.cuts(random, len(data))
    messages = [message for piece in pieces for message in decoder.feed(data[piece])]
    return [streams.exact(message) for message in messages], decoder.skipped, decoder.pending


def test_every_stream_means_the_same_to_both(pure: Any, native: Any, count: Count) -> None:
    for seed in range(count(short=1_000, evidence=3_000, long=1_000_000)):
        random = Random(seed)
        data = streams.stream(random)
        most = random.choice((None, None, None, 64, 200, 700))
        limit = {} if most is None else {"max_frame": most}
        expected = read(pure.Decoder(**limit), data, None)
        assert read(native.Decoder(**limit), data, None) == expected, (seed, data)
        assert read(native.Decoder(**limit), data, random) == expected, (seed, data)
        if seed % 4 == 0:
            assert read(pure.Decoder(**limit), data, random) == expected, (seed, data)


def test_one_decoder_reads_many_streams_in_a_row(pure: Any, native: Any, number: int) -> None:
    """What a decoder remembers of earlier messages never shows in later ones."""
    decoder, reference = native.Decoder(), pure.Decoder()
    random = Random(1)
    for _ in range(number):
        data = streams.stream(random)
        for piece in streams.cuts(random, len(data)):
            got = [streams.exact(message) for message in decoder.feed(data[piece])]
            assert got == [streams.exact(message) for message in reference.feed(data[piece])]
        assert (decoder.pending, decoder.skipped) == (reference.pending, reference.skipped)
        if random.random() < 0.3:
            decoder.reset()
            reference.reset()


def test_decode_many_finds_every_message_where_it_stands(pure: Any, native: Any, number: int) -> None:
    random = Random(2)
    data = b"".join(streams.stream(random) for _ in range(number))
    expected = [(place, streams.exact(message)) for place, message in pure.decode_many(data)]
    assert [(place, streams.exact(message)) for place, message in native.decode_many(data)] == expected
    assert [message for _, message in expected] == read(pure.Decoder(), data, None)[0]
