"""Payments through the agent: what is answered, and that a key, or a ticket, is paid once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from getnet_pos import Profile
from getnet_pos.agent.events import Event
from getnet_pos.journal import Journal, MemoryJournal, SqliteJournal
from getnet_pos.messages import Intent, IntentState
from getnet_pos.simulator import Behaviour, Identity, Outcome, TcpServer, VirtualTerminal
from tests.agent.serving import QUICK, Served, tcp
from tests.databases import common_server, dsn
from tests.journal.samples import intent, record

__all__ = ["common_server", "dsn"]

SLOW = Behaviour(decide_after=0.3)
SILENT = Behaviour(outcome=Outcome.SILENT)


@pytest.fixture
def journal() -> Journal:
    return MemoryJournal()


@pytest.fixture
def served(journal: Journal) -> Iterator[Any]:
    """``async with served(script=[...]) as agent`` serves one virtual terminal."""
    with ExitStack() as stack:

        def made(script: Any = (), journal: Journal = journal, **settings: Any) -> Served:
            virtual = VirtualTerminal(script=list(script))
            server = stack.enter_context(TcpServer(virtual, gap=0))
            settings = {"profile": Profile.ARGENTINA, **settings}
            agent = Served({"counter": tcp(server, journal=journal, **settings)}, journal)
            agent.line, agent.ledger = server, virtual.ledger  # type: ignore[attr-defined]  # what the tests look at
            return agent

        yield made


async def test_an_approved_sale(served: Any) -> None:
    async with served() as agent:
        answer = await agent.post("sales", {"amount": 1_000, "ticket": "A1"})
        assert answer.status_code == 200
        told = answer.json()
        assert (told["outcome"], told["recovered"], told["reason"]) == ("approved", False, None)
        assert (told["reply"]["amount"], told["reply"]["ticket"]) == (1_000, "A1")
        [intent] = (await agent.get("intents", settled="true"))["intents"]
        assert (intent["intent_id"], intent["state"]) == (told["intent_id"], "APPROVED")
        assert (await agent.get("intents"))["intents"] == []


async def test_a_declined_sale_is_an_answer(served: Any) -> None:
    async with served(script=[Behaviour(outcome=Outcome.DECLINE)]) as agent:
        told = (await agent.post("sales", {"amount": 1_000}, key="order 1")).json()
        assert (told["outcome"], bool(told["reason"])) == ("declined", True)
        again = (await agent.post("sales", {"amount": 1_000}, key="order 1")).json()
        assert (again["outcome"], again["recovered"], again["intent_id"]) == ("declined", True, told["intent_id"])
        assert agent.ledger.balances() == {}


@pytest.mark.parametrize("outcome", [Outcome.APPROVE, Outcome.DECLINE])
async def test_a_ticket_of_yesterday_is_not_taken_for_that_of_today(served: Any, outcome: Outcome) -> None:
    clock = [datetime.now(timezone.utc) - timedelta(hours=13)]
    journal = MemoryJournal(lambda: clock[0])
    body = {"amount": 1_000, "ticket": "17"}
    async with served(script=[Behaviour(outcome=outcome)], journal=journal) as agent:
        told = (await agent.post("sales", body)).json()
        clock[0] += timedelta(hours=13)
        answer = await agent.post("sales", body)
        problem = answer.json()
        assert (answer.status_code, problem["intent_id"], problem["nothing_sent"]) == (409, told["intent_id"], True)
        is_paid = outcome is Outcome.APPROVE
        assert problem["type"].endswith("already-charged" if is_paid else "key-reused")
        assert len(agent.ledger.charges("17")) == is_paid
        sold = (await agent.post("sales", {**body, "again": True}, key="today's 17")).json()
        assert (sold["outcome"], sold["recovered"]) == ("approved", False)


async def test_an_unknown_outcome_is_an_answer_and_a_person_resolves_it(served: Any) -> None:
    async with served(script=[SILENT], profile=Profile.ARGENTINA) as agent:
        answer = await agent.post("sales", {"amount": 1_000, "ticket": "A1"})
        told = answer.json()
        assert (answer.status_code, told["outcome"], told["reply"]) == (200, "unknown", None)
        assert told["reason"]
        again = (await agent.post("sales", {"amount": 1_000, "ticket": "A1"})).json()
        assert (again["outcome"], again["intent_id"]) == ("unknown", told["intent_id"])
        other = (await agent.post("sales", {"amount": 1_000, "ticket": "A1"}, key="another key")).json()
        assert (other["outcome"], other["intent_id"]) == ("unknown", told["intent_id"])
        assert [one["state"] for one in (await agent.get("intents"))["intents"]] == ["UNKNOWN"]

        path = f"intents/{told['intent_id']}/resolve"
        resolved = await agent.post(path, {"paid": True, "by": "Ana", "note": "voucher 17"})
        assert (resolved.status_code, resolved.json()["state"]) == (200, "RESOLVED_PAID")
        assert (await agent.post(path, {"paid": False, "by": "Ana", "note": "no"})).status_code == 409
        stored = (await agent.post("sales", {"amount": 1_000, "ticket": "A1"})).json()
        assert (stored["outcome"], stored["recovered"], stored["reason"]) == ("approved", True, "voucher 17")
        charged = await agent.post("sales", {"amount": 1_000, "ticket": "A1"}, key="another key")
        assert (charged.status_code, charged.json()["intent_id"]) == (409, told["intent_id"])
        assert charged.json()["type"].endswith(":already-charged")
        meant = await agent.post("sales", {"amount": 1_000, "ticket": "A1", "again": True}, key="a second one")
        assert meant.json()["outcome"] == "approved"


async def test_void_and_refund(served: Any) -> None:
    async with served() as agent:
        sale = (await agent.post("sales", {"amount": 1_000, "ticket": "A1"})).json()["reply"]
        void = {"operation_id": sale["operation_id"]}
        assert (await agent.post("voids", void)).json()["type"].endswith(":key-needed")
        assert (await agent.post("voids", void, key="v1")).json()["outcome"] == "approved"
        assert (await agent.post("voids", void, key="v1")).json()["recovered"]
        second = (await agent.post("sales", {"amount": 500, "ticket": "A2"})).json()["reply"]
        back = {"authorization_code": second["authorization_code"], "amount": "5.00"}
        told = (await agent.post("refunds", back, key="r1")).json()
        assert (told["outcome"], told["recovered"]) == ("approved", False)
        assert set(agent.ledger.balances().values()) == {0}


async def test_pre_authorizations(served: Any) -> None:
    async with served(profile=Profile.INTEGRATED_POS) as agent:
        held = (await agent.post("pre-authorizations", {"amount": 900, "ticket": "H1"})).json()
        assert held["outcome"] == "approved"
        named = {"authorization_code": held["reply"]["authorization_code"]}
        charged = (await agent.post("completions", {**named, "amount": 700}, key="c1")).json()
        assert charged["outcome"] == "approved"
        other = (await agent.post("pre-authorizations", {"amount": 900}, key="H2")).json()["reply"]
        freed = await agent.post("releases", {"authorization_code": other["authorization_code"]}, key="f1")
        assert freed.json()["outcome"] == "approved"
    async with served(profile=Profile.ARGENTINA) as agent:
        refused = await agent.post("pre-authorizations", {"amount": 900, "ticket": "H1"})
        assert (refused.status_code, refused.json()["nothing_sent"]) == (422, True)


async def test_the_same_key_is_paid_once(served: Any) -> None:
    async with served() as agent:
        body = {"amount": 1_000, "ticket": "A1"}
        first = (await agent.post("sales", body, key="order 1")).json()
        second = (await agent.post("sales", body, key="order 1")).json()
        assert (second["recovered"], second["intent_id"]) == (True, first["intent_id"])
        reused = await agent.post("sales", {**body, "amount": 2_000}, key="order 1")
        assert (reused.status_code, reused.json()["intent_id"]) == (409, first["intent_id"])
        assert agent.ledger.charged() == 1_000


async def test_a_request_that_comes_again_while_the_first_runs_waits_for_its_result(served: Any) -> None:
    async with served(script=[SLOW]) as agent:
        body = {"amount": 1_000, "ticket": "A1"}
        same = [asyncio.create_task(agent.post("sales", body)) for _ in range(5)]
        await _until_paying(agent)
        other = await agent.post("sales", {**body, "amount": 2_000})
        assert (other.status_code, other.json()["type"][-10:]) == (409, "key-reused")
        told = [answer.json() for answer in await asyncio.gather(*same)]
        assert len({one["intent_id"] for one in told}) == 1
        assert {one["outcome"] for one in told} == {"approved"}
        assert agent.ledger.charged() == 1_000


async def test_a_caller_that_goes_away_cancels_nothing(served: Any) -> None:
    async with served(script=[SLOW]) as agent:
        body = {"amount": 1_000, "ticket": "A1"}
        gone = asyncio.create_task(agent.post("sales", body))
        await _until_paying(agent)
        gone.cancel()
        told = (await agent.post("sales", body)).json()
        assert (told["outcome"], agent.ledger.charged()) == ("approved", 1_000)


async def test_an_answer_at_once_and_a_place_to_look(served: Any) -> None:
    async with served(script=[SLOW]) as agent:
        body = {"amount": 1_000, "ticket": "A/1 ü"}
        accepted = await agent.post("sales", body, Prefer="respond-async")
        assert (accepted.status_code, accepted.headers["preference-applied"]) == (202, "respond-async")
        place = accepted.headers["location"]
        assert place == accepted.json()["location"]
        while (now := await agent.client.get(place)).status_code == 202:
            await asyncio.sleep(0.02)
        assert (now.status_code, now.json()["outcome"]) == (200, "approved")
        stored = await agent.post("sales", body, Prefer="respond-async")
        assert (stored.status_code, stored.json()["intent_id"]) == (200, now.json()["intent_id"])


async def test_one_command_at_a_time_and_busy_answers_soon(served: Any) -> None:
    async with served(script=[SLOW]) as agent:
        selling = asyncio.create_task(agent.post("sales", {"amount": 1_000, "ticket": "A1"}))
        await _until_paying(agent)
        shown = await agent.get("terminals/counter")
        assert (shown["state"], shown["running"]["amount"]) == ("up", 1_000)
        for path, body in (("sales", {"amount": 1, "ticket": "A2"}), ("reports/totals", None), ("close-batch", None)):
            busy = await agent.post(path, body)
            assert (busy.status_code, busy.json()["type"][-13:]) == (409, "terminal-busy")
            assert busy.json()["nothing_sent"]
        assert (await selling).json()["outcome"] == "approved"
        asked = await agent.client.get("/v1/payments", params={"key": "counter/sale/A2"})
        assert (asked.status_code, asked.json()["type"][-13:]) == (409, "terminal-busy")


async def test_a_sale_that_is_cancelled(served: Any) -> None:
    async with served(script=[Behaviour(decide_after=float("inf"))]) as agent:
        selling = asyncio.create_task(agent.post("sales", {"amount": 1_000, "ticket": "A1"}))
        await _until_paying(agent)
        await _until_selling(agent.line.terminal)
        assert (await agent.post("cancel")).json() == {"reply": None}
        told = (await selling).json()
        assert (told["outcome"], agent.ledger.balances()) == ("declined", {})
        idle = (await agent.post("cancel")).json()["reply"]
        assert idle["function_code"] == 116


async def test_many_terminals_at_once(journal: Journal) -> None:
    with ExitStack() as stack:
        servers = [stack.enter_context(TcpServer(_lane(number), gap=0)) for number in range(8)]
        connectors = {f"lane-{n}": tcp(server, journal=journal) for n, server in enumerate(servers)}
        async with Served(connectors, journal) as agent:
            asked = [agent.post(f"terminals/{name}/sales", {"amount": 700, "ticket": name}) for name in connectors]
            told = await asyncio.gather(*asked)
            assert {answer.json()["outcome"] for answer in told} == {"approved"}
            names = [one["name"] for one in (await agent.get("terminals"))["terminals"]]
            assert names == list(connectors)
        assert [server.terminal.ledger.charged() for server in servers] == [700] * 8


async def test_what_a_restart_has_left_is_answered_by_its_key(tmp_path: Any) -> None:
    """The agent is ended in the middle of a sale; the next one asks the terminal, and who asks by the key is told."""
    journal = SqliteJournal(tmp_path / "journal.sqlite3")
    virtual = VirtualTerminal(script=[Behaviour(decide_after=0.5)])
    with TcpServer(virtual, gap=0) as server:
        body = {"amount": 1_000, "ticket": "A1"}
        async with Served({"counter": tcp(server, journal=journal)}, journal) as agent:
            selling = asyncio.create_task(agent.post("sales", body))
            await _until_paying(agent)
            await _until_selling(virtual)
            agent.now.set()
            assert not await agent.server.close(agent.now)
            told = (await selling).json()
            assert (told["outcome"], bool(told["intent_id"])) == ("unknown", True)
        [left] = journal.intents()
        assert left.open
        async with Served({"counter": tcp(server, journal=journal)}, journal) as agent:
            again = (await agent.post("sales", body)).json()
            assert (again["outcome"], again["intent_id"], again["recovered"]) == ("approved", left.intent_id, True)
            told_of = [json.loads(event.text) async for event in _lately(agent) if event.kind == "outcome"]
            assert [one["intent_id"] for one in told_of] == [left.intent_id]
        assert virtual.ledger.charged() == 1_000
    journal.close()


class _SlowJournal(MemoryJournal):
    """The end of a payment takes its time."""

    def record(self, intent: Intent) -> None:
        if intent.state is IntentState.APPROVED:
            self.begun.set()
            time.sleep(0.3)
        super().record(intent)

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()


async def test_an_agent_that_is_ended_while_a_result_is_recorded_tells_it() -> None:
    journal = _SlowJournal()
    virtual = VirtualTerminal()
    with TcpServer(virtual, gap=0) as server:
        async with Served({"counter": tcp(server, journal=journal)}, journal) as agent:
            selling = asyncio.create_task(agent.post("sales", {"amount": 1_000, "ticket": "A1"}))
            while not journal.begun.is_set():
                await asyncio.sleep(0.005)
            agent.now.set()
            await agent.server.close(agent.now)
            assert (await selling).json()["outcome"] == "approved"


async def test_the_truth_of_a_key_needs_no_terminal(served: Any) -> None:
    async with served() as agent:
        body = {"amount": 1_000, "ticket": "A1"}
        first = (await agent.post("sales", body)).json()
        agent.line.unplug()
        again = (await agent.post("sales", body)).json()
        assert (again["outcome"], again["intent_id"]) == ("approved", first["intent_id"])
        refused = await agent.post("sales", {"amount": 1_000, "ticket": "A2"})
        assert (refused.status_code, refused.json()["nothing_sent"]) == (503, True)
        agent.line.plug()
        assert (await agent.post("sales", {"amount": 1_000, "ticket": "A2"})).json()["outcome"] == "approved"
        assert agent.ledger.charged() == 2_000


async def test_the_cable_in_the_middle_of_a_sale(served: Any) -> None:
    async with served([SLOW], timeouts=replace(QUICK, sale=15.0, sale_total=15.0)) as agent:
        selling = asyncio.create_task(agent.post("sales", {"amount": 1_000, "ticket": "A1"}))
        await _until_paying(agent)
        await _until_selling(agent.line.terminal)
        agent.line.unplug()
        await asyncio.sleep(0.1)
        agent.line.plug()
        told = (await selling).json()
        assert told.get("outcome") == "approved", told
        assert agent.ledger.charged() == 1_000


async def test_states_of_a_payment_that_was_not_sent(served: Any, journal: Journal) -> None:
    async with served() as agent:
        await agent.until("up")
        asked = await agent.client.get("/v1/payments", params={"key": "never seen"})
        assert (asked.status_code, asked.json()["type"][-15:]) == (404, "unknown-payment")
        record(journal, replace(intent(7), idempotency_key="k7"), IntentState.INTENT, IntentState.NOT_SENT)
        asked = await agent.client.get("/v1/payments", params={"key": "k7"})
        assert (asked.status_code, asked.json()["type"][-8:]) == (409, "not-sent")


def _lane(number: int) -> VirtualTerminal:
    return VirtualTerminal(script=[SLOW], seed=number, identity=Identity(terminal_id=f"8000500{number}"))


async def _until_selling(virtual: VirtualTerminal) -> None:
    """Until the terminal has the sale."""
    while not any(command.code == 100 for command in virtual.commands):
        await asyncio.sleep(0.005)


@pytest.mark.postgres
async def test_payments_in_a_journal_that_many_hosts_share(dsn: str) -> None:
    from getnet_pos.journal import PostgresJournal

    with TcpServer(VirtualTerminal(), gap=0) as server, contextlib.closing(PostgresJournal(dsn)) as journal:
        async with Served({"counter": tcp(server, journal=journal)}, journal) as agent:
            body = {"amount": 1_000, "ticket": "A1"}
            first = (await agent.post("sales", body)).json()
            again = (await agent.post("sales", body)).json()
            assert (again["recovered"], again["intent_id"]) == (True, first["intent_id"])
            [shown] = (await agent.get("intents", settled="true"))["intents"]
            assert (shown["intent_id"], shown["state"]) == (first["intent_id"], "APPROVED")
        assert server.terminal.ledger.charged() == 1_000


async def _lately(agent: Served) -> AsyncIterator[Event]:
    listener = agent.server.agent.events.listen(0)
    with contextlib.suppress(asyncio.TimeoutError):
        while (event := await listener.next(0.01)) is not None:
            yield event


async def _until_paying(agent: Any) -> None:
    while agent.terminal.paying is None:
        await asyncio.sleep(0.005)
