"""Where frames begin and end in a stream of both wires, noise and faults: the same for every way to cut it."""

from __future__ import annotations

import io
import itertools
import time
import tracemalloc
from typing import Any

import pytest

from getnet_pos.errors import InvalidValue
from getnet_pos.messages import Ack, BadFrame, FrameFault
from tests import samples
from tests.evidence import Count

TORN = samples.SALE[:300]


def read(decoder: Any, data: bytes, step: int) -> list[Any]:
    pieces = range(0, len(data), step)
    return [message for at in pieces for message in decoder.feed(data[at : at + step])]


@pytest.mark.parametrize("step", [1, 2, 7, 64, 1000, 100_000])
def test_both_wires_and_noise_on_one_port(backend: Any, step: int) -> None:
    data = b"".join(
        [
            b"\r\n",
            samples.SALE,
            b"\r\n\0\0",
            b'{"Received":true}',
            samples.SIMPLIFIED_SALE,
            b"noise",
            samples.SALE,
            b"\n",
        ]
    )
    decoder = backend.Decoder()
    sale, ack, simplified, again = read(decoder, data, step)
    assert sale == again == samples.SALE_REPLY
    assert ack == Ack(True)
    assert simplified == samples.SIMPLIFIED["simplified sale"][1]
    assert (decoder.skipped, decoder.pending) == (12, 0)


@pytest.mark.parametrize("step", [1, 13, 100_000])
def test_a_torn_frame_costs_no_more_than_itself(backend: Any, step: int) -> None:
    decoder = backend.Decoder()
    bad, *rest = read(decoder, TORN + samples.SALE + samples.SALE, step)
    assert bad.fault is FrameFault.MALFORMED
    assert rest == [samples.SALE_REPLY] * 2
    assert decoder.skipped == len(TORN)


def test_a_run_of_bad_bytes_is_reported_once(backend: Any) -> None:
    decoder = backend.Decoder()
    (bad,) = decoder.feed(b'{"a":}{]{"b"' * 500 + b"\n")
    assert isinstance(bad, BadFrame)


def test_what_is_pending_and_forgotten(backend: Any) -> None:
    decoder = backend.Decoder()
    assert decoder.feed(TORN) == []
    assert decoder.pending == len(TORN)
    decoder.reset()
    assert decoder.pending == 0
    assert decoder.feed(samples.SALE) == [samples.SALE_REPLY]


def test_any_bytes_like_object(backend: Any) -> None:
    for data in (bytearray(samples.SALE), memoryview(samples.SALE), memoryview(bytearray(samples.SALE))):
        assert backend.Decoder().feed(data) == [samples.SALE_REPLY]
    assert backend.Decoder().feed(memoryview(samples.SALE[::-1])[::-1]) == [samples.SALE_REPLY]
    with pytest.raises(TypeError):
        backend.Decoder().feed("text")


def test_a_frame_may_be_as_long_as_allowed_and_no_longer(backend: Any) -> None:
    assert backend.Decoder(max_frame=len(samples.SALE)).feed(samples.SALE) == [samples.SALE_REPLY]
    bad, *_ = backend.Decoder(max_frame=len(samples.SALE) - 1).feed(samples.SALE)
    assert (bad.fault, bad.size) == (FrameFault.TOO_LARGE, len(samples.SALE) - 1)
    with pytest.raises(InvalidValue):
        backend.Decoder(max_frame=63)


@pytest.mark.parametrize(
    ("head", "unit", "times", "tail"),
    [
        (b"", bytes(range(256)), 20, b""),
        (b'{"a":"', b"x", 10_485_760, b""),
        (b"", b"{", 100_000, b""),
        (b"", b'{"a":', 50_000, b""),
        (b"", b'{"JsonSerialized":"', 100_000, b""),
        (b"", b'{"JsonSerialized":"', 50_000, b'","Sign":"' + b"0" * 64 + b'"}'),
        (b'{"JsonSerialized":"', b'\\"', 500_000, b""),
        (b"", b"\x02100|", 100_000, b""),
        (b"\x02100|", b"x", 2_000_000, b""),
        (b"", b'"', 100_000, b""),
    ],
    ids=[
        "5,000 bytes", "10 MiB without end", "braces", "keys", "envelopes", "envelopes before a signature", "escapes",
        "simplified", "long simplified", "quotes",
    ],
)  # fmt: skip
def test_garbage_costs_neither_time_nor_memory(
    backend: Any, head: bytes, unit: bytes, times: int, tail: bytes, count: Count
) -> None:
    garbage = head + unit * (times // count(short=15, evidence=1, long=1)) + tail
    decoder = backend.Decoder()
    begun = time.perf_counter()
    tracemalloc.start()
    for at in range(0, len(garbage), 65_536):
        decoder.feed(garbage[at : at + 65_536])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert time.perf_counter() - begun < 40
    assert peak < 16 * 1_048_576
    assert decoder.pending <= 1_048_576
    decoder.reset()
    assert decoder.feed(samples.SALE)[-1] == samples.SALE_REPLY


def test_garbage_in_one_piece_takes_time_in_line_with_its_length(backend: Any, count: Count) -> None:
    length = count(short=50_000, evidence=1_000_000, long=1_000_000)
    for unit in (b'{"JsonSerialized":"', b'{"JsonSerialized":"x","Sign":"', b'{"a":{"b":"', b"\x02100|0|"):
        begun = time.perf_counter()
        backend.Decoder().feed(unit * (length // len(unit)))
        assert time.perf_counter() - begun < 30


def test_every_message_has_its_place(backend: Any) -> None:
    pieces = [b"\r\n", samples.SALE, TORN, samples.SIMPLIFIED_SALE, b"noise", b'{"Received":false}', samples.SALE]
    places = [sum(map(len, pieces[:number])) for number in range(len(pieces))]
    data = b"".join(pieces)
    expected = [places[number] for number in (1, 2, 3, 5, 6)]
    for source in (data, bytearray(data), memoryview(data), io.BytesIO(data)):
        found = list(backend.decode_many(source))
        assert [place for place, _ in found] == expected
        assert [type(message) for _, message in found][1] is BadFrame
        assert found[-1] == (places[6], samples.SALE_REPLY)


def test_a_long_capture_in_constant_memory(backend: Any) -> None:
    class Capture(io.RawIOBase):
        """Sales without end, for a while."""

        left = 3000 if backend.BACKEND == "pure" else 30_000

        def read(self, size: int = -1) -> bytes:
            count = min(self.left, size // len(samples.SALE))
            self.left -= count
            return samples.SALE * count

    list(itertools.islice(backend.decode_many(Capture()), 10))
    tracemalloc.start()
    count = sum(1 for _ in backend.decode_many(Capture()))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == Capture.left
    assert peak < 2_000_000


def test_decode_many_takes_the_options_of_a_decoder(backend: Any) -> None:
    (first, *_) = backend.decode_many(samples.SALE, max_frame=100)
    assert first[1].fault is FrameFault.TOO_LARGE
