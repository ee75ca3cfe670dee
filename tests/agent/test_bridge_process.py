"""The bridge of an agent that is a process of its own: how it is started, and what survives its death."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from getnet_pos import IntentState, SqliteJournal
from getnet_pos.simulator import Behaviour, SerialServer
from tests.agent.agents import AgentProcess, options_of
from tests.agent.bridges import Overheard
from tests.agent.getnet_page import ORIGIN, GetnetPage, Refused, inner
from tests.evidence import Count, evidence, folder

__all__ = ["evidence", "folder"]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="this system has no pseudo-terminals")


@pytest.fixture
def server() -> Iterator[SerialServer]:
    with SerialServer(Overheard(), gap=0) as server:
        yield server


def an_agent(folder: Path, server: SerialServer) -> AgentProcess:
    bridge = ("--bridge", "--bridge-port", "0", "--allow-origin", ORIGIN)
    return AgentProcess(folder, *options_of(server), *bridge, "--timeout", "8", "--recovery", "4")


def states(agent: AgentProcess) -> dict[str | None, IntentState]:
    """What the journal has of each ticket."""
    journal = SqliteJournal(agent.journal)
    try:
        return {intent.ticket: intent.state for intent in journal.intents(settled=True)}
    finally:
        journal.close()


MOMENTS = {
    "while the customer looks for a card": Behaviour(decide_after=0.5),
    "when it was charged and not told": Behaviour(decide_after=0.05, reply_after=0.6),
    "before the terminal took it": Behaviour(acknowledge_after=0.4, decide_after=0.2),
}


async def test_an_agent_that_is_killed_in_mid_sale(
    folder: Path, server: SerialServer, count: Count, evidence: Any
) -> None:
    """It is started again: the page comes back, asks for the same once more, and nothing is charged twice."""
    rounds = count(short=1, evidence=12, long=300)
    with an_agent(folder, server) as agent:
        for number in range(rounds):
            ticket, moment = f"T{number}", [*MOMENTS][number % len(MOMENTS)]
            agent.wait_for("up")
            async with GetnetPage(agent.bridge_url, spacing=0) as page:
                server.terminal.script.append(MOMENTS[moment])
                sale = asyncio.create_task(page.sell(2500 + number, ticket))
                while server.terminal.codes().count(100) == number:
                    await asyncio.sleep(0.005)
                await asyncio.sleep(0.2)
                agent.kill()
                sale.cancel()
            await asyncio.sleep(0.6)
            agent.start()
            agent.wait_for("up")
            async with GetnetPage(agent.bridge_url, spacing=0) as page:
                refused = await page.sell(2500 + number, ticket)
                assert refused["ResponseCode"] == -1, moment
                assert "was already carried out" in refused["ResponseMessage"], moment
                voucher = inner(await page.call(101))
                assert (voucher["Ticket"], voucher["Amount"]) == (ticket, 2500 + number)
        with pytest.raises(Refused, match="403"):
            async with GetnetPage(agent.bridge_url, origin="https://other.example"):
                pass
        assert agent.stop() == 0
    assert states(agent) == {f"T{number}": IntentState.APPROVED for number in range(rounds)}
    assert [entry.amount for entry in server.terminal.ledger.entries] == [2500 + number for number in range(rounds)]
    evidence(f"the bridge: {rounds} agents killed in mid-sale and started again, 0 charged twice, 0 forgotten")
