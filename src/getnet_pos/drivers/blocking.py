"""Performs effects by blocking the calling thread. Decides nothing."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator
from typing import Any, TypeVar

from ..flows.effects import Close, Effect, Now, Open, Recall, Receive, Record, Report, Send, Sleep
from ..journal import Journal, recall
from ..messages import Progress
from ..transports import Transport
from .loop import run

__all__ = ["BlockingDriver"]

log = logging.getLogger("getnet_pos.driver")

T = TypeVar("T")


class BlockingDriver:
    """Runs flows over one transport and one journal."""

    def __init__(self, transport: Transport, journal: Journal) -> None:
        self.transport = transport
        self.journal = journal

    def run(self, flow: Generator[Any, Any, T], on_progress: Callable[[Progress], object] | None = None) -> T:
        """Run ``flow`` to its end; what it raises is raised here, and what interrupts it ends it."""
        return run(flow, lambda effect: self._perform(effect, on_progress))

    def wake(self) -> None:
        """Have the flow that waits look at what was asked of it. May be called from any thread."""
        self.transport.wake()

    def close(self) -> None:
        """Nothing outlives the transport."""

    def _perform(self, effect: Effect, on_progress: Callable[[Progress], object] | None) -> object:
        match effect:
            case Receive(deadline):
                return self.transport.read(deadline)
            case Now():
                return time.monotonic()
            case Send(data, deadline, aside):
                self.transport.write(data, deadline, aside=aside)
            case Report(progress):
                _report(on_progress, progress)
            case Record(intent):
                self.journal.record(intent)
            case Recall(terminal, recent):
                return recall(self.journal, terminal, recent)
            case Sleep(seconds):
                time.sleep(seconds)
            case Open():
                self.transport.open()
            case Close():
                self.transport.close()
        return None


def _report(on_progress: Callable[[Progress], object] | None, progress: Progress) -> None:
    if on_progress is not None:
        try:
            on_progress(progress)
        except Exception:
            log.exception("on_progress failed; the command goes on")
