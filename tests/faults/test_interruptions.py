"""Ctrl-C and cancelled tasks in the middle of a sale, over a pty: the intent stays open, and is asked about first."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from getnet_pos import AsyncConnector, Connector
from getnet_pos.drivers.aio import AsyncDriver
from getnet_pos.drivers.blocking import BlockingDriver
from getnet_pos.errors import JournalError, OutcomeUnknown
from getnet_pos.flows.effects import Record, Report
from getnet_pos.journal import MemoryJournal, SqliteJournal
from getnet_pos.messages import IntentState, Progress
from getnet_pos.simulator import Behaviour, SerialServer, VirtualTerminal
from tests.faults.dying_register import QUICK
from tests.journal.samples import intent

SLOW = Behaviour(progress=(78,), decide_after=0.15)


def states(journal: SqliteJournal) -> list[str]:
    return [str(one.state) for one in journal.intents(settled=True)]


def test_ctrl_c_in_the_middle_of_a_sale(folder: Path) -> None:
    terminal = VirtualTerminal(script=[SLOW])
    journal = SqliteJournal(folder / "journal.sqlite3")
    with SerialServer(terminal) as server, Connector.create_usb(server.device, journal=journal, timeouts=QUICK) as pos:
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
    with SerialServer(terminal) as server:
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


async def test_a_cancelled_task_waits_for_the_step_that_is_being_written() -> None:
    """No later flow finds the journal half written."""
    written = threading.Event()

    class SlowJournal(MemoryJournal):
        def record(self, intent: Any) -> None:
            time.sleep(0.1)
            super().record(intent)
            written.set()

    driver = AsyncDriver(None, SlowJournal())  # type: ignore[arg-type]

    def flow() -> Any:
        yield Record(intent())

    task = asyncio.create_task(driver.run(flow()))
    await asyncio.sleep(0.03)
    task.cancel()
    await asyncio.sleep(0.01)
    task.cancel()  # impatience changes nothing
    with pytest.raises(asyncio.CancelledError):
        await task
    assert written.is_set()


async def test_a_cancelled_task_whose_step_cannot_be_written() -> None:
    class FullJournal(MemoryJournal):
        def record(self, intent: Any) -> None:
            time.sleep(0.05)
            raise JournalError("the disk is full")

    driver = AsyncDriver(None, FullJournal())  # type: ignore[arg-type]

    def flow() -> Any:
        yield Record(intent())

    task = asyncio.create_task(driver.run(flow()))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_what_a_callback_raises_harms_no_sale(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: Progress) -> None:
        raise ZeroDivisionError

    terminal = VirtualTerminal(script=[SLOW])
    with (
        SerialServer(terminal) as server,
        Connector.create_usb(server.device, journal=MemoryJournal(), timeouts=QUICK) as pos,
    ):
        pos.polling()
        assert pos.sale(1_000, on_progress=fail).approved
    assert "on_progress failed; the command goes on" in caplog.text


def test_nobody_has_to_listen() -> None:
    driver = BlockingDriver(None, MemoryJournal())  # type: ignore[arg-type]

    def flow() -> Any:
        yield Report(Progress(78, "Lectura de tarjetas"))
        return "done"

    assert driver.run(flow()) == "done"


async def test_nobody_has_to_listen_to_tasks_either() -> None:
    driver = AsyncDriver(None, MemoryJournal())  # type: ignore[arg-type]
    heard: list[Progress] = []

    async def listen(progress: Progress) -> None:
        heard.append(progress)

    def flow() -> Any:
        yield Report(Progress(78, "Lectura de tarjetas"))
        return "done"

    assert await driver.run(flow()) == "done"
    assert await driver.run(flow(), listen) == "done"
    assert [progress.code for progress in heard] == [78]


@pytest.mark.parametrize("paid", [True, False])
def test_a_persons_decision_stands(folder: Path, paid: bool) -> None:
    """What was resolved by hand is asked about no more, and a reply that comes after all changes nothing."""
    terminal = VirtualTerminal(script=[Behaviour(decide_after=0.5, reply_after=0.5, record_after=100.0)])
    journal = SqliteJournal(folder / "journal.sqlite3")
    with SerialServer(terminal) as server, Connector.create_usb(server.device, journal=journal, timeouts=QUICK) as pos:
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
                assert "forked" in str(error)
                os._exit(0)
            os._exit(1)
        assert os.wait()[1] == 0
        assert pos.sale(1_000).approved
    """
    with SerialServer(VirtualTerminal()) as server:
        command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script), server.device]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
