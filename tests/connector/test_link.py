"""The link fails: each failure is an error of its own, and money is never guessed about."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from getnet_pos import (
    AsyncConnector,
    ConnectError,
    Connector,
    DeadlineExceeded,
    Disconnected,
    GenericCommand,
    IntentState,
    LifecycleError,
    OutcomeUnknown,
    PartialWrite,
    PortBusy,
    ReportKind,
    SqliteJournal,
    WriteTimeout,
)
from getnet_pos.simulator import Behaviour, Reboot

from .conftest import QUICK, Connect, Serve

PATIENT = dataclasses.replace(QUICK, recovery=4.0)
"""Long enough to open the port again: the first attempt after a failed one comes a second later."""


# ------------------------------------------------------------------------------------------------------------- unplug


async def test_a_terminal_that_was_unplugged_is_found_again_by_the_next_operation(ready: Connect, serve: Serve) -> None:
    """A query opens the link by itself; a payment command polls first."""
    server = serve()
    async with ready(server.device) as pos:
        server.unplug()
        with pytest.raises(ConnectError, match="does not exist"):
            await pos.get_reports(ReportKind.TOTALS)
        with pytest.raises(ConnectError, match="does not exist"):
            await pos.sale(1_000)
        assert "not polled" in repr(pos)
        server.plug()
        assert (await pos.get_reports(ReportKind.TOTALS)).approved
        server.unplug()
        server.plug()
        before = len(server.terminal.commands)
        assert (await pos.sale(1_000)).approved
        assert server.terminal.commands[before].code == 106


async def test_what_is_not_ready_when_it_is_back_gets_no_sale(ready: Connect, serve: Serve) -> None:
    server = serve()
    async with ready(server.device) as pos:
        server.unplug()
        server.plug()
        server.terminal.answers[106] = Behaviour(change={"Connected": False})
        with pytest.raises(LifecycleError, match="not ready"):
            await pos.sale(1_000)
    assert server.terminal.ledger.entries == ()


async def test_unplugged_before_a_sale_nothing_is_sent(ready: Connect, serve: Serve, journal_path: Any) -> None:
    server = serve()
    async with ready(server.device) as pos:
        server.unplug()
        with pytest.raises(ConnectError):
            await pos.sale(1_000)
    assert all(intent.state is IntentState.NOT_SENT for intent in SqliteJournal(journal_path).intents(settled=True))
    assert server.terminal.ledger.charged() == 0


async def test_unplugged_in_mid_sale_the_terminal_is_asked_when_it_is_back(ready: Connect, serve: Serve) -> None:
    server = serve(script=[Behaviour(decide_after=0.1)])
    async with ready(server.device, timeouts=PATIENT) as pos:
        sale = asyncio.create_task(pos.sale(1_000, ticket="A1"))
        while not server.terminal.busy:
            await asyncio.sleep(0.001)
        server.unplug()
        await asyncio.sleep(0.15)
        server.plug()
        assert (await sale).approved
    assert server.terminal.ledger.charged() == 1_000


async def test_unplugged_in_mid_sale_for_good_it_is_unknown(ready: Connect, serve: Serve) -> None:
    server = serve(script=[Behaviour(decide_after=math.inf)])
    async with ready(server.device) as pos:
        sale = asyncio.create_task(pos.sale(1_000))
        while not server.terminal.busy:
            await asyncio.sleep(0.001)
        server.unplug()
        begun = time.monotonic()
        with pytest.raises(OutcomeUnknown) as caught:
            await sale
        # The terminal may still be at it: it is waited for as long as the sale may take.
        assert QUICK.sale_total <= time.monotonic() - begun + 0.5 < QUICK.sale_total + 1.5
        assert isinstance(caught.value.__cause__, Disconnected)


async def test_a_terminal_that_restarts_in_mid_sale_is_asked_when_it_is_back(ready: Connect, serve: Serve) -> None:
    server = serve(script=[Behaviour(reboot=Reboot(seconds=0.2))])
    async with ready(server.device, timeouts=PATIENT) as pos:
        assert (await pos.sale(1_000, ticket="A1")).approved
    assert server.terminal.ledger.charged() == 1_000


async def test_a_link_that_breaks_at_the_acknowledgement_changes_no_result(ready: Connect, serve: Serve) -> None:
    server = serve()
    async with ready(server.device) as pos:
        sale = asyncio.create_task(pos.sale(1_000))
        while not server.terminal.ledger.entries:
            await asyncio.sleep(0)
        with contextlib.suppress(OutcomeUnknown):
            server.unplug()
            server.plug()
            assert (await sale).approved


# --------------------------------------------------------------------------------------------------------- the port


async def test_a_port_in_use_is_refused_and_free_when_the_other_ends(connect: Connect, serve: Serve) -> None:
    server = serve()
    with Connector.create_usb(server.device, timeouts=QUICK), pytest.raises(PortBusy, match="another process"):
        async with connect(server.device):
            pass
    async with connect(server.device) as pos:
        assert (await pos.polling()).approved


async def test_an_async_connector_that_could_not_open_may_try_again(serve: Serve) -> None:
    server = serve()
    server.unplug()
    pos = AsyncConnector.create_usb(server.device, timeouts=QUICK)
    for _ in range(2):
        with pytest.raises(ConnectError):
            await pos
    server.plug()
    assert (await pos.polling()).approved
    await pos.close()


TERMINAL = """
import sys
from getnet_pos.simulator import SerialServer, VirtualTerminal
with SerialServer(VirtualTerminal(), gap=0) as server:
    print(server.device, flush=True)
    sys.stdin.read()
"""


class Frozen:
    """A virtual terminal in a process of its own, which can stop in the middle of anything."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", TERMINAL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.device = self.process.stdout.readline().strip()

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)
        os.waitpid(self.process.pid, os.WUNTRACED)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def fill(self) -> None:
        """Leave no room for a byte on the line of the frozen terminal."""
        line = os.open(self.device, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        empty_rounds = 0
        while empty_rounds < 5:
            try:
                os.write(line, b" " * 64)
                empty_rounds = 0
            except BlockingIOError:
                empty_rounds += 1
                time.sleep(0.01)
        os.close(line)


@pytest.fixture
def frozen() -> Iterator[Frozen]:
    terminal = Frozen()
    with terminal.process:
        yield terminal
        terminal.thaw()
        terminal.process.communicate("")


async def test_a_terminal_that_takes_no_byte_gets_no_sale(ready: Connect, frozen: Frozen, journal_path: Any) -> None:
    limits = dataclasses.replace(QUICK, acknowledgement=0.2)
    async with ready(frozen.device, timeouts=limits) as pos:
        frozen.freeze()
        await asyncio.to_thread(frozen.fill)
        with pytest.raises(WriteTimeout, match="accepts no bytes"):
            await pos.sale(1_000)
        (intent,) = SqliteJournal(journal_path).intents(settled=True)
        assert intent.state is IntentState.NOT_SENT
        frozen.thaw()
        await pos.polling()
        assert (await pos.sale(1_000)).approved


async def test_a_sale_that_left_in_part_is_in_doubt(ready: Connect, frozen: Frozen) -> None:
    limits = dataclasses.replace(QUICK, acknowledgement=0.2, recovery=0.3)
    large = GenericCommand({"Text": "x" * 200_000}, code=200)
    async with ready(frozen.device, timeouts=limits) as pos:
        frozen.freeze()
        with pytest.raises(OutcomeUnknown) as caught:
            await pos.request(large)
        assert isinstance(caught.value.__cause__, PartialWrite)


async def test_a_terminal_that_has_stopped_is_given_up_in_time(ready: Connect, frozen: Frozen) -> None:
    async with ready(frozen.device) as pos:
        frozen.freeze()
        begun = time.monotonic()
        with pytest.raises(DeadlineExceeded, match="did not answer"):
            await pos.get_reports(ReportKind.TOTALS)
        assert time.monotonic() - begun < QUICK.acknowledgement + 1.0
        frozen.thaw()
        assert (await pos.polling()).approved  # its late answer to the report is put aside


async def test_waiting_for_a_customer_takes_no_processor_time(ready: Connect, frozen: Frozen) -> None:
    async with ready(frozen.device, timeouts=dataclasses.replace(QUICK, short=0.6, acknowledgement=0.6)) as pos:
        frozen.freeze()
        used = time.process_time()
        with pytest.raises(DeadlineExceeded):
            await pos.polling()
        assert time.process_time() - used < 0.05
