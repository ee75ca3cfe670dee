"""The events of a connector, on both faces and both carriers; and observers that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from getnet_pos import (
    AsyncConnector,
    ConnectError,
    Connector,
    IntentState,
    InvalidType,
    JournalError,
    OutcomeUnknown,
    SqliteJournal,
)
from getnet_pos.journal import MemoryJournal
from getnet_pos.messages import Intent
from getnet_pos.observer import Event, IntentRecorded, Operation, OperationEnded, Outcome, RecoveryEnded
from getnet_pos.simulator import Behaviour, SerialServer, VirtualTerminal
from getnet_pos.simulator import Outcome as Decision
from tests.faces import connect_blocking

from .conftest import QUICK, Shop, assert_whole, shown

UNBELIEVABLE = Behaviour(change={"FunctionCode": 0}, record_after=60)
"""It charges, answers with an error of its own, and does not record the sale in time."""


async def test_a_sale_from_its_call_to_its_end(shop: Shop) -> None:
    shop.serve()
    events: list[Event] = []
    async with shop.connect(events.append) as pos:
        await pos.polling()
        sale = await pos.sale(1_000, ticket="A1")
        [intent] = await pos.intents(settled=True)
        terminal = pos.terminal
    assert_whole(events)
    assert sale.approved
    steps = shown(events, "sale")
    assert [step for step in steps if step.split()[-1] not in ("SENT", "ACCEPTED")] == [
        "OperationBegan",
        "IntentRecorded INTENT",
        "IntentRecorded APPROVED",
        "OperationEnded approved",
    ]
    ended = next(event for event in events if isinstance(event, OperationEnded) and event.operation.command == "sale")
    assert (ended.operation.terminal, ended.operation.intent_id) == (terminal, intent.intent_id)
    assert ended.operation.carrier == terminal.split(":")[0]
    recorded = [event for event in events if isinstance(event, IntentRecorded)]
    assert {event.intent_id for event in recorded} == {intent.intent_id}
    assert {event.command for event in recorded} == {"sale"}
    for event in recorded:
        waited = event.state in (IntentState.INTENT, IntentState.APPROVED)
        assert (event.seconds is not None) is waited, "of the others nobody waits for the disk"
        assert event.found == ("call" if event.state is IntentState.APPROVED else None)
    assert ended.seconds >= sum(event.seconds or 0.0 for event in recorded) > 0
    assert shown(events, "poll") == ["OperationBegan", "OperationEnded done"]


async def test_a_link_that_is_opened_and_closed(line: Shop) -> None:
    line.serve()
    events: list[Event] = []
    async with line.connect(events.append) as pos:
        await pos.polling()
    assert_whole(events)
    assert shown(events, "open") == ["OperationBegan", "LinkUp", "OperationEnded done"]
    assert shown(events, "close") == ["OperationBegan", "LinkDown", "OperationEnded done"]


async def test_a_link_that_is_lost_and_why(line: Shop) -> None:
    line.serve()
    events: list[Event] = []
    async with line.connect(events.append) as pos:
        await pos.polling()
        line.server.unplug()
        with pytest.raises(ConnectError):
            await pos.last_voucher()
        line.server.plug()
        await pos.polling()
    assert_whole(events)
    assert shown(events, "last voucher") == [
        "OperationBegan",
        "LinkDown Disconnected",
        "LinkDown ConnectError",
        "OperationEnded failed ConnectError",
    ]
    assert shown(events, "poll")[-3:] == ["OperationBegan", "LinkUp", "OperationEnded done"]


async def test_a_silent_terminal_is_said_to_be_silent(line: Shop) -> None:
    line.serve()
    events: list[Event] = []
    async with line.connect(events.append) as pos:
        await pos.polling()
        line.server.terminal.answers = {101: Behaviour(outcome=Decision.SILENT, acknowledge=None)}
        with pytest.raises(TimeoutError):
            await pos.last_voucher()
    assert "LinkDown DeadlineExceeded" in shown(events, "last voucher")


async def test_a_declined_card_is_no_error(shop: Shop) -> None:
    shop.serve(Behaviour(outcome=Decision.DECLINE))
    events: list[Event] = []
    async with shop.connect(events.append) as pos:
        await pos.polling()
        assert not (await pos.sale(1_000, ticket="A1")).approved
    assert shown(events, "sale")[-2:] == ["IntentRecorded DECLINED", "OperationEnded declined"]


async def test_a_recovery_and_what_came_of_it(shop: Shop) -> None:
    terminal = shop.serve(Behaviour(change={"FunctionCode": 0}))
    events: list[Event] = []
    async with shop.connect(events.append) as pos:
        await pos.polling()
        assert (await pos.sale(1_000, ticket="A1")).approved
    assert terminal.ledger.charged() == 1_000
    assert_whole(events)
    assert shown(events, "sale")[-5:] == [
        "IntentRecorded RECOVERING",
        "RecoveryBegan",
        "IntentRecorded APPROVED",
        "RecoveryEnded APPROVED",
        "OperationEnded approved",
    ]
    [approved] = [one for one in events if isinstance(one, IntentRecorded) and one.state is IntentState.APPROVED]
    assert approved.found == "recovery"


async def test_an_outcome_that_stays_unknown_and_the_sale_that_it_stops(shop: Shop) -> None:
    terminal = shop.serve(UNBELIEVABLE)
    events: list[Event] = []
    async with shop.connect(events.append) as pos:
        await pos.polling()
        with pytest.raises(OutcomeUnknown):
            await pos.sale(1_000, ticket="A1")
        first = shown(events, "sale")
        terminal.answers = {}
        with pytest.raises(OutcomeUnknown) as again:
            await pos.sale(1_000, ticket="A1")
        await pos.resolve(again.value.intent_id, paid=True, by="Ana", note="voucher 17")
    assert_whole(events)
    assert first[-3:] == ["IntentRecorded UNKNOWN", "RecoveryEnded UNKNOWN", "OperationEnded unknown OutcomeUnknown"]
    assert shown(events, "sale")[len(first) :] == ["OperationBegan", "OperationEnded failed OutcomeUnknown"]
    assert shown(events, "resolve") == ["OperationBegan", "IntentRecorded RESOLVED_PAID", "OperationEnded done"]
    [ended] = [event for event in events if isinstance(event, RecoveryEnded)]
    assert ended.seconds >= 0.3


SELLER = """
import os, signal, sys
from getnet_pos import Connector
from getnet_pos.observer import IntentRecorded

def die(event):
    if isinstance(event, IntentRecorded) and event.state == "SENT":
        os.kill(os.getpid(), signal.SIGKILL)

with Connector.create_usb(sys.argv[1], observer=die) as pos:
    pos.polling()
    pos.sale(1_000, ticket="A1")
"""


async def test_killed_in_mid_sale_the_next_poll_recovers_it(line: Shop) -> None:
    terminal = line.serve(Behaviour(reply_after=math.inf))
    done = subprocess.run([sys.executable, "-c", SELLER, line.server.device], timeout=60)
    assert done.returncode == -signal.SIGKILL
    events: list[Event] = []
    async with line.connect(events.append) as pos:
        polled = await pos.polling()
    assert terminal.ledger.charged() == 1_000
    assert [intent.ticket for intent in polled.settled] == ["A1"]
    assert_whole(events)
    assert shown(events, "poll") == [
        "OperationBegan",
        "IntentRecorded RECOVERING",
        "RecoveryBegan",
        "IntentRecorded APPROVED",
        "RecoveryEnded APPROVED",
        "OperationEnded done",
    ]


async def test_a_task_that_is_cancelled(aio: Shop) -> None:
    terminal = aio.serve(Behaviour(decide_after=math.inf))
    events: list[Event] = []
    async with aio.connect(events.append) as pos:
        await pos.polling()
        sale = asyncio.create_task(pos.sale(1_000, ticket="A1"))
        while not [command for command in terminal.commands if command.code == 100]:
            await asyncio.sleep(0.01)
        sale.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sale
    assert_whole(events)
    assert shown(events, "sale")[-1] == "OperationEnded interrupted CancelledError"


def test_a_program_that_is_interrupted() -> None:
    events: list[Event] = []

    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    with (
        SerialServer(VirtualTerminal(), gap=0) as server,
        Connector.create_usb(server.device, observer=events.append, timeouts=QUICK) as pos,
    ):
        pos.polling()
        with pytest.raises(KeyboardInterrupt):
            pos.sale(1_000, ticket="A1", on_progress=interrupt)
    assert_whole(events)
    assert shown(events, "sale")[-1] == "OperationEnded interrupted KeyboardInterrupt"


class Full(MemoryJournal):
    """A journal on a full disk."""

    def record(self, intent: Intent) -> None:
        raise JournalError("the disk is full")


async def test_a_step_that_the_journal_refuses(line: Shop) -> None:
    terminal = line.serve()
    events: list[Event] = []
    async with line.connect(events.append, journal=Full()) as pos:
        await pos.polling()
        with pytest.raises(JournalError):
            await pos.sale(1_000, ticket="A1")
    assert terminal.ledger.charged() == 0
    assert shown(events, "sale") == [
        "OperationBegan",
        "IntentRecorded INTENT JournalError",
        "OperationEnded failed JournalError",
    ]


async def test_ports_that_are_only_tried_are_no_links(monkeypatch: pytest.MonkeyPatch) -> None:
    with SerialServer(VirtualTerminal(), gap=0) as server:
        monkeypatch.setattr("getnet_pos.connector.candidate_ports", lambda: ["/dev/none", server.device])
        events: list[Event] = []
        async with connect_blocking("create_usb", observer=events.append, timeouts=QUICK) as pos:
            await pos.polling()
    assert shown(events, "open") == ["OperationBegan", "LinkUp", "OperationEnded done"]
    assert {event.operation.terminal for event in events} == {"usb:", f"usb:{server.device}"}


# ------------------------------------------------------------------------------------------------- it can hurt no sale


async def test_one_that_always_raises_hurts_nothing(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    terminal = shop.serve(Behaviour(change={"FunctionCode": 0}))
    calls: list[Event] = []

    def broken(event: Event) -> None:
        calls.append(event)
        raise RuntimeError("no room for metrics")

    async with shop.connect(broken) as pos:
        await pos.polling()
        assert (await pos.sale(1_000, ticket="A1")).approved
        [intent] = await pos.intents(settled=True)
    assert terminal.ledger.charged() == 1_000
    assert (intent.state, intent.found) == (IntentState.APPROVED, "recovery")
    assert_whole(calls)
    assert len([record for record in caplog.records if "observer failed" in record.getMessage()]) == 1


async def test_a_slow_one_is_waited_for_and_the_sale_goes_on(shop: Shop, journal_path: Path) -> None:
    """Before and after the command leaves it takes longer than the terminal may take to acknowledge."""
    terminal = shop.serve()

    def slow(event: Event) -> None:
        if isinstance(event, IntentRecorded) and event.state in (IntentState.INTENT, IntentState.SENT):
            time.sleep(QUICK.acknowledgement * 1.2)

    async with shop.connect(slow) as pos:
        await pos.polling()
        assert (await pos.sale(1_000, ticket="A1")).approved
    assert terminal.ledger.charged() == 1_000
    with contextlib.closing(SqliteJournal(journal_path)) as journal:
        states = [step.intent.state for step in journal.steps()]
    assert states[0] is IntentState.INTENT
    assert states[-1] is IntentState.APPROVED
    assert IntentState.RECOVERING not in states


async def _later(event: Event) -> None:
    raise AssertionError("it is never awaited")


class _Later:
    async def __call__(self, event: Event) -> None:
        raise AssertionError("it is never awaited")


@pytest.mark.parametrize("observer", [_later, _Later(), "print"])
def test_what_cannot_observe_is_refused_before_anything_is_opened(observer: Any) -> None:
    with pytest.raises(InvalidType, match="observer must be a plain function that takes one event, such as print"):
        Connector.create_usb("/dev/none", observer=observer)


async def test_one_observer_of_many_connectors_tells_their_operations_apart() -> None:
    events: list[Event] = []
    with SerialServer(VirtualTerminal(), gap=0) as one, SerialServer(VirtualTerminal(), gap=0) as other:

        async def sell(device: str) -> None:
            async with AsyncConnector.create_usb(device, observer=events.append, timeouts=QUICK) as pos:
                await pos.polling()
                await asyncio.gather(*(pos.sale(1_000 + number) for number in range(3)))

        await asyncio.gather(sell(one.device), sell(other.device))
    assert_whole(events)
    ended = [event for event in events if isinstance(event, OperationEnded) and event.operation.command == "sale"]
    assert {event.operation.terminal for event in ended} == {f"usb:{one.device}", f"usb:{other.device}"}
    assert [event.outcome for event in ended] == [Outcome.APPROVED] * 6
    assert len({event.operation.intent_id for event in ended}) == 6


def test_operations_alike_are_not_the_same() -> None:
    assert Operation("poll", "usb:a") != Operation("poll", "usb:a")
