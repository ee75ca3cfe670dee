"""Where the processor's time of a cloud sale goes, 200 at once: ``python -m benches.payments.profile ROUNDS``.

The event loop's thread is looked at again and again. What it has used since the last look counts for the package that
runs, or that called what runs in the standard library.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import time
from collections import defaultdict
from types import FrameType

from benches.payments.sales import AT_ONCE, WAIT, account_of, journal
from benches.payments.servers import peer, use_all_descriptors
from getnet_pos import AsyncConnector

_EVERY = 0.002
"""Seconds of the processor between two looks."""
_OURS = "/getnet_pos/"
_OTHERS = ("httpx", "httpcore", "anyio", "sniffio", "h11", "orjson", "asyncio", "sqlite3", "ssl")


def _owner(frame: FrameType | None) -> str:
    while frame is not None:
        path = frame.f_code.co_filename
        if _OURS in path:
            room, _, rest = path.rpartition(_OURS)[2].partition("/")
            return f"getnet_pos.{room}" if rest else f"getnet_pos.{room.removesuffix('.py')}"
        for name in _OTHERS:
            if f"/{name}/" in path or path.endswith(f"/{name}.py"):
                return name
        frame = frame.f_back
    return "the rest"


class _Looks:
    """Seconds that the thread of the event loop used, by package."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._last = time.thread_time()

    def look(self, _: int, frame: FrameType | None) -> None:
        # Other threads bring the timer on as well: those looks find nothing used.
        now = time.thread_time()
        self.seconds[_owner(frame)] += now - self._last
        self._last = now


async def _sell(url: str, rounds: int, looks: _Looks) -> tuple[float, float]:
    """Seconds of the processor: of all threads, and of the event loop's."""
    with journal() as path:
        async with account_of(url, AT_ONCE) as account:
            places = await account.list_terminals()
            registers = [AsyncConnector.create_cloud(account, key_pos=key_pos, journal=path) for key_pos in places]
            await asyncio.gather(*(pos.polling() for pos in registers))
            await asyncio.gather(*(pos.sale(1_000) for pos in registers))
            looks.look(0, None)
            looks.seconds.clear()
            signal.signal(signal.SIGPROF, looks.look)
            signal.setitimer(signal.ITIMER_PROF, _EVERY, _EVERY)
            begun, own = time.process_time(), time.thread_time()
            for _ in range(rounds):
                await asyncio.gather(*(pos.sale(1_000) for pos in registers))
            used = time.process_time() - begun, time.thread_time() - own
            signal.setitimer(signal.ITIMER_PROF, 0)
    return used


def main(rounds: str) -> None:
    looks = _Looks()
    with peer("cloud", AT_ONCE, WAIT) as cloud:
        whole, own = asyncio.run(_sell(cloud.where, int(rounds), looks))
    sales = AT_ONCE * int(rounds)
    print(f"a sale takes {whole / sales * 1000:.2f} ms of the processor")
    print(f"{own / sales * 1000:6.2f} ms on the event loop, of it")
    for name, seconds in sorted(looks.seconds.items(), key=lambda item: -item[1]):
        print(f"{1000 * seconds / sales:6.2f} ms {100 * seconds / own:5.1f} %  {name}")
    print(f"{(whole - own) / sales * 1000:6.2f} ms in the journal's threads")


if __name__ == "__main__":
    logging.disable()
    use_all_descriptors()
    main(*sys.argv[1:])
