"""Ctrl-C and cancelled tasks in the middle of a sale, over a pty: the intent stays open, and is asked about first."""

from __future__ import annotations

import asyncio
import contextlib
import linecache
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import getnet_pos
from getnet_pos import AsyncConnector, Connector
from getnet_pos.codec import BACKEND
from getnet_pos.drivers.aio import AsyncDriver
from getnet_pos.errors import JournalError, OutcomeUnknown
from getnet_pos.flows.effects import Record, Report
from getnet_pos.journal import MemoryJournal, SqliteJournal
from getnet_pos.messages import IntentState, Progress
from getnet_pos.simulator import Behaviour, SerialServer, VirtualTerminal
from tests.evidence import Count
from tests.faults.dying_register import QUICK
from tests.journal.samples import intent

LIBRARY = str(Path(getnet_pos.__file__).parent)
SLOW = Behaviour(progress=(78,), decide_after=0.15)


def states(journal: SqliteJournal) -> list[str]:
    return [str(one.state) for one in journal.intents(settled=True)]


def test_ctrl_c_in_the_middle_of_a_sale(folder: Path) -> None:
    terminal = VirtualTerminal(script=[SLOW])
    journal = SqliteJournal(folder / "journal.sqlite3")
    with (
        SerialServer(terminal, gap=0) as server,
        Connector.create_usb(server.device, journal=journal, timeouts=QUICK) as pos,
    ):
        pos.polling()
        with pytest.raises(KeyboardInterrupt):
            pos.sale(1_000, ticket="A1", on_progress=lambda _: signal.raise_signal(signal.SIGINT))
        assert states(journal) == ["ACCEPTED"]
        time.sleep(0.2)
        assert pos.sale(2_000, ticket="A2").approved, "the next sale settles the last one first"
        assert states(journal) == ["APPROVED", "APPROVED"]
    assert terminal.ledger.charged() == 3_000
    journal.close()


async def test_a_cancelled_task_in_the_middle_of_a_sale(folder: Path) -> None:
    terminal = VirtualTerminal(script=[SLOW])
    journal = SqliteJournal(folder / "journal.sqlite3")
    with SerialServer(terminal, gap=0) as server:
        async with AsyncConnector.create_usb(server.device, journal=journal, timeouts=QUICK) as pos:
            await pos.polling()
            accepted = asyncio.Event()
            sale = asyncio.create_task(pos.sale(1_000, ticket="A1", on_progress=lambda _: accepted.set()))
            await accepted.wait()
            sale.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sale
            assert states(journal) == ["ACCEPTED"]
            await asyncio.sleep(0.2)
            assert (await pos.polling()).approved
            assert states(journal) == ["APPROVED"]
    journal.close()


class HeldJournal(MemoryJournal):
    """It writes, or fails to, when it may."""

    def __init__(self, error: JournalError | None = None) -> None:
        super().__init__()
        self.error, self.begun, self.may = error, threading.Event(), threading.Event()

    def record(self, intent: Any) -> None:
        self.begun.set()
        assert self.may.wait(30)
        if self.error is not None:
            raise self.error
        super().record(intent)


@pytest.mark.parametrize("error", [None, JournalError("the disk is full")], ids=["written", "not written"])
async def test_a_cancelled_task_waits_for_the_step_that_is_being_written(error: JournalError | None) -> None:
    """No later flow finds the journal half written."""
    journal = HeldJournal(error)
    driver = AsyncDriver(journal=lambda: journal)
    await driver.open_journal()

    def flow() -> Any:
        yield Record(intent())

    task = asyncio.create_task(driver.run(flow()))
    assert await asyncio.to_thread(journal.begun.wait, 30)
    task.cancel()
    await asyncio.sleep(0.01)
    task.cancel()  # impatience changes nothing
    journal.may.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(journal.intents()) == (error is None)


def test_what_a_callback_raises_harms_no_sale(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: Progress) -> None:
        raise ZeroDivisionError

    terminal = VirtualTerminal(script=[SLOW])
    with (
        SerialServer(terminal, gap=0) as server,
        Connector.create_usb(server.device, journal=MemoryJournal(), timeouts=QUICK) as pos,
    ):
        pos.polling()
        assert pos.sale(1_000, on_progress=fail).approved
    assert "on_progress failed; the command goes on" in caplog.text


async def test_what_listens_may_be_awaited() -> None:
    driver = AsyncDriver()
    heard: list[Progress] = []

    async def listen(progress: Progress) -> None:
        heard.append(progress)

    def flow() -> Any:
        yield Report(Progress(78, "Lectura de tarjetas"))
        return "done"

    assert await driver.run(flow(), listen) == "done"
    assert [progress.code for progress in heard] == [78]


# -------------------------------------------------------------------------------------- at every line, at every await


QUICKER = replace(QUICK, recovery=0.12, recovery_interval=0.04)


class Interruption:
    """A context in which the thread is interrupted where it first comes to ``line`` of the library; ``None``: nowhere.

    It notes the lines that it came to, but for two at which CPython handles no signal, though it traces them: the
    ``try:`` in a ``with``, and the end of a ``with``, which is its first line again.
    """

    def __init__(self, line: tuple[str, int] | None = None) -> None:
        self._line = line
        self.lines: dict[tuple[str, int], None] = {}

    def __enter__(self) -> Interruption:
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _trace(self, frame: FrameType, event: str, argument: object) -> Any:
        if not frame.f_code.co_filename.startswith(LIBRARY):
            return None
        if event == "line" and linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip() != "try:":
            line = (frame.f_code.co_filename, frame.f_lineno)
            if line == self._line and line not in self.lines:
                sys.settrace(None)
                raise KeyboardInterrupt
            self.lines[line] = None
        return self._trace


@contextmanager
def shop(folder: Path) -> Iterator[tuple[SerialServer, SqliteJournal]]:
    journal = SqliteJournal(folder / f"{time.monotonic_ns()}.sqlite3")
    with SerialServer(VirtualTerminal(default=Behaviour(progress=(78,))), gap=0) as server:
        yield server, journal
    journal.close()


def check_records(server: SerialServer, journal: SqliteJournal) -> None:
    """They agree with what was charged. What was recorded and never sent is of unknown outcome, and not open."""
    known = journal.intents(settled=True)
    assert (
        sum(one.amount or 0 for one in known if one.state is IntentState.APPROVED) == server.terminal.ledger.charged()
    )
    assert not [one for one in known if one.open]


def interrupted_sale(folder: Path, line: tuple[str, int] | None) -> Interruption:
    """A sale that is interrupted, and what must hold afterwards: nothing waits for it, and nothing is forgotten."""
    with shop(folder) as (server, journal):
        pos = Connector.create_usb(server.device, journal=journal, timeouts=QUICKER)
        pos.polling()
        with contextlib.suppress(KeyboardInterrupt), Interruption(line) as interruption:
            pos.sale(1, ticket="first")
        pos.polling()
        assert pos.sale(10, ticket="next").approved
        check_records(server, journal)
        with contextlib.suppress(KeyboardInterrupt), Interruption(line):
            pos.sale(100, ticket="last")
        begun = time.monotonic()
        pos.close()
        assert time.monotonic() - begun < 0.2
    return interruption


def test_an_interruption_at_every_line_of_a_sale(folder: Path, count: Count, evidence: Callable[[str], None]) -> None:
    lines = list(interrupted_sale(folder, None).lines)
    assert len(lines) > 300
    # Those of the codec are this run's alone, and the others are shared out by their numbers.
    own = [line for line in lines if "codec" in line[0] or line[1] % 2 == (BACKEND == "pure")]
    chosen = count(short=lines[::12], evidence=own, long=lines)
    for line in chosen:
        interrupted_sale(folder, line)
    evidence(f"a sale interrupted at {len(chosen)} of its {len(lines)} lines: nothing was locked or lost")


class Steps:
    """An awaitable that cancels its own task when it waits for the ``cancelled_at``-th time."""

    def __init__(self, work: Coroutine[Any, Any, object], cancelled_at: int | None = None) -> None:
        self._work = work
        self._cancelled_at = cancelled_at
        self.count = 0

    def __await__(self) -> Generator[Any, Any, None]:
        waiting, result = self._work.send, None
        while True:
            try:
                future = waiting(result)
            except StopIteration:
                return
            if self.count == self._cancelled_at:
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
            self.count += 1
            try:
                waiting, result = self._work.send, (yield future)
            except BaseException as error:
                waiting, result = self._work.throw, error


async def cancelled_sale(folder: Path, at: int | None) -> int:
    """As ``interrupted_sale``; returns how often the sale waited."""

    async def sell(pos: AsyncConnector, amount: int, ticket: str) -> int:
        steps = Steps(pos.sale(amount, ticket=ticket), at)

        async def run() -> None:
            await steps

        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.create_task(run())
        return steps.count

    with shop(folder) as (server, journal):
        pos = await AsyncConnector.create_usb(server.device, journal=journal, timeouts=QUICKER)
        await pos.polling()
        count = await sell(pos, 1, "first")
        await pos.polling()
        assert (await pos.sale(10, ticket="next")).approved
        check_records(server, journal)
        await sell(pos, 100, "last")
        begun = time.monotonic()
        await pos.close()
        assert time.monotonic() - begun < 0.2
    return count


async def test_a_cancellation_at_every_await_of_a_sale(folder: Path, evidence: Callable[[str], None]) -> None:
    awaits = await cancelled_sale(folder, None)
    assert awaits >= 3
    for at in range(awaits):
        await cancelled_sale(folder, at)
    evidence(f"a sale cancelled at each of its {awaits} awaits: nothing was locked or lost")


@pytest.mark.parametrize("paid", [True, False])
def test_a_persons_decision_stands(folder: Path, paid: bool) -> None:
    """What was resolved by hand is asked about no more, and a reply that comes after all changes nothing."""
    terminal = VirtualTerminal(script=[Behaviour(decide_after=0.5, reply_after=0.5, record_after=100.0)])
    journal = SqliteJournal(folder / "journal.sqlite3")
    with (
        SerialServer(terminal, gap=0) as server,
        Connector.create_usb(server.device, journal=journal, timeouts=QUICKER) as pos,
    ):
        pos.polling()
        with pytest.raises(OutcomeUnknown) as caught:
            pos.sale(1_000, timeout=0.1)
        journal.resolve(caught.value.intent_id, paid=paid, by="Ana", note="looked at the terminal")
        time.sleep(0.7)
        pos.polling()
        assert pos.recover() == []
    expected = IntentState.RESOLVED_PAID if paid else IntentState.RESOLVED_NOT_PAID
    assert [one.state for one in journal.intents(settled=True)] == [expected]
    journal.close()


def test_a_forked_child_has_no_connector(folder: Path) -> None:
    """Two processes that read one port would each miss what the other reads."""
    script = f"""
        import os, sys
        sys.path[:0] = {sys.path!r}
        from getnet_pos import Connector
        from getnet_pos.errors import LifecycleError
        pos = Connector.create_usb(sys.argv[1], journal={str(folder / "journal.sqlite3")!r})
        pos.polling()
        if os.fork() == 0:
            try:
                pos.sale(1_000)
            except LifecycleError as error:
                assert "after the fork" in str(error)
                os._exit(0)
            os._exit(1)
        assert os.wait()[1] == 0
        assert pos.sale(1_000).approved
    """
    with SerialServer(VirtualTerminal(), gap=0) as server:
        command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script), server.device]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
