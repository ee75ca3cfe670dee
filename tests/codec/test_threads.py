"""Threads that read and write at once get what one alone gets, with the interpreter lock and without one."""

from __future__ import annotations

import sys
import threading
from random import Random
from typing import Any

from getnet_pos import Sale
from tests.evidence import Count
from tests.properties import streams

THREADS = 6


def together(work: Any) -> None:
    """``work(number)`` in several threads that begin at the same moment; the first error of any is raised here."""
    start, errors = threading.Barrier(THREADS), list[BaseException]()

    def run(number: int) -> None:
        try:
            start.wait()
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    if errors:
        raise errors[0]


def test_decoders_of_their_own_and_what_they_share(backend: Any, count: Count) -> None:
    """Layouts, tables and sealers belong to all threads, and are made when they are first asked for."""
    rounds = count(short=40, evidence=300, long=20_000)
    data = [streams.stream(Random(seed)) for seed in range(20)]
    expected = [[streams.exact(message) for _, message in backend.decode_many(one)] for one in data]

    def work(number: int) -> None:
        decoder, random = backend.Decoder(), Random(number)
        for _ in range(rounds):
            which = random.randrange(len(data))
            decoder.reset()
            pieces = [data[which][piece] for piece in streams.cuts(random, len(data[which]))]
            assert [streams.exact(one) for piece in pieces for one in decoder.feed(piece)] == expected[which]
            assert [streams.exact(one) for _, one in backend.decode_many(data[which])] == expected[which]

    together(work)


def test_one_decoder_for_all_loses_and_repeats_nothing(native: Any, count: Count) -> None:
    rounds = count(short=100, evidence=2_000, long=50_000)
    decoder, found = native.Decoder(), [list[Any]() for _ in range(THREADS)]
    frame = native.seal(Sale(1500, "T1"))
    [expected] = [streams.exact(message) for _, message in native.decode_many(frame)]

    def work(number: int) -> None:
        for _ in range(rounds):
            found[number] += decoder.feed(frame)

    together(work)
    messages = [streams.exact(message) for one in found for message in one]
    assert messages == [expected] * (rounds * THREADS)
    assert (decoder.pending, decoder.skipped) == (0, 0)


def test_sealing(backend: Any, count: Count) -> None:
    rounds = count(short=100, evidence=2_000, long=50_000)
    expected = [backend.seal(Sale(amount, f"T{amount}")) for amount in range(1, 20)]

    def work(number: int) -> None:
        for turn in range(rounds):
            amount = 1 + (turn + number) % 19
            assert backend.seal(Sale(amount, f"T{amount}")) == expected[amount - 1]

    together(work)
