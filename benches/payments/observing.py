"""What an observer costs a sale, and what it costs not to have one: the driver's part of a sale, without anything else.

``python -m benches.payments.observing`` prints microseconds of the processor for one sale as JSON.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from statistics import median
from typing import Any

from getnet_pos.drivers.blocking import BlockingDriver
from getnet_pos.flows.effects import Begin, Flow, Record
from getnet_pos.messages import Intent, IntentState
from getnet_pos.observer import Observer, Operation
from getnet_pos.otel import OtelObserver

_STATES = (IntentState.INTENT, IntentState.SENT, IntentState.ACCEPTED, IntentState.APPROVED)
_STEPS = [replace(Intent(intent_id="0" * 32, terminal="usb:bench", command=100), state=state) for state in _STATES]
_SALES, _ROUNDS = 2_000, 15


class _Nowhere:
    """A journal that costs nothing."""

    def record(self, intent: Intent) -> None:
        pass


def _sale(begins: bool) -> Flow[None]:
    if begins:
        yield Begin(Operation("sale", "usb:bench", "0" * 32))
    for step in _STEPS:
        yield Record(step)


def _used(observer: Observer | None, *, begins: bool = True) -> float:
    journal: Any = _Nowhere()
    driver = BlockingDriver(journal=lambda: journal, observer=observer)
    begun = time.process_time()
    for _ in range(_SALES):
        driver.run(_sale(begins))
    return (time.process_time() - begun) / _SALES * 1e6


def main() -> None:
    ways: dict[str, Any] = {
        "without an observer": lambda: _used(None),
        "an observer that does nothing": lambda: _used(lambda event: None),
        "OtelObserver, no SDK": lambda: _used(OtelObserver()),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(_ROUNDS):
        bare = _used(None, begins=False)
        for name, way in ways.items():
            times[name].append(way() - bare)
    print(json.dumps({name: round(median(taken), 1) for name, taken in times.items()}))


if __name__ == "__main__":
    main()
