"""Queues that threads and tasks wait in together."""

from __future__ import annotations

import asyncio
import threading
import time

from getnet_pos.turns import QueueTurn


def test_the_turn_excludes_and_is_never_lost() -> None:
    turn = QueueTurn()
    inside: list[int] = []
    entered = 0

    def thread() -> None:
        nonlocal entered
        for _ in range(200):
            place = turn.place()
            place.wait(None)
            inside.append(1)
            assert len(inside) == 1
            entered += 1
            inside.pop()
            place.leave()

    async def task(patience: float) -> None:
        nonlocal entered
        for _ in range(100):
            place = turn.place()
            try:
                await asyncio.wait_for(place.wait_async(None), patience)
            except asyncio.TimeoutError:
                place.leave()
                continue
            inside.append(1)
            assert len(inside) == 1
            entered += 1
            await asyncio.sleep(0)
            inside.pop()
            place.leave()

    async def tasks() -> None:
        await asyncio.gather(*(task(0.0001 * n) for n in range(20)), task(30))

    threads = [threading.Thread(target=thread) for _ in range(4)]
    for one in threads:
        one.start()
    asyncio.run(tasks())
    for one in threads:
        one.join(30)
        assert not one.is_alive()
    assert entered >= 4 * 200 + 100
    turn.place().wait(0.0)


def test_a_place_costs_the_same_in_a_crowd() -> None:
    def joining(holders: int) -> float:
        turn = QueueTurn(10_000)
        for number in range(holders):
            turn.place().wait(0.0, owner=number)
        begun = time.thread_time()
        for number in range(500):
            place = turn.place()
            place.wait(0.0, owner=-1 - number)
            place.leave()
        return time.thread_time() - begun

    assert min(joining(4_000) for _ in range(3)) < 8 * min(joining(10) for _ in range(3))
