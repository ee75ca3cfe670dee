"""The interface itself: what it refuses and how, reports, the document, events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from openapi_spec_validator import validate

from getnet_pos import KeyPos, Profile, errors
from getnet_pos.agent.events import EventHub
from getnet_pos.agent.interface import OPERATIONS
from getnet_pos.agent.problems import KINDS, problem_of
from getnet_pos.connector import AsyncConnector
from getnet_pos.errors import AlreadyCharged, GetnetError, JournalError, OutcomeUnknown, RateLimited
from getnet_pos.journal import MemoryJournal
from getnet_pos.messages import Intent, IntentState, SaleReply
from getnet_pos.simulator import Behaviour, SerialServer, TcpServer, VirtualTerminal
from getnet_pos.simulator.cloud import VirtualCloud
from tests.agent.serving import QUICK, TOKEN, Served, check, document, tcp, validator
from tests.journal.samples import UNKNOWN, intent, record
from tests.sockets import Socket


@pytest.fixture
def server() -> Iterator[TcpServer]:
    with TcpServer(VirtualTerminal(), gap=0) as server:
        yield server


@asynccontextmanager
async def opened(server: TcpServer, **more: Any) -> AsyncIterator[Served]:
    journal = more.pop("journal", None) or MemoryJournal()
    settings = {"profile": Profile.ARGENTINA, "journal": journal, **more.pop("settings", {})}
    async with Served({"counter": tcp(server, **settings)}, journal, **more) as agent:
        yield agent


# ----------------------------------------------------------------------------------------------------------- documents


def test_the_document_is_valid_and_describes_every_operation() -> None:
    validate(document())
    assert len({one.name for one in OPERATIONS}) == len(OPERATIONS)
    described = {(method, path) for path, methods in document()["paths"].items() for method in methods}
    assert described == {(one.method.lower(), one.path) for one in OPERATIONS}


async def test_the_document_is_served(server: TcpServer) -> None:
    async with opened(server) as agent:
        assert await agent.get("openapi.json") == json.loads(json.dumps(document()))


MISTAKES: list[tuple[str, Any, int, str]] = [
    ("sales", [], 400, "invalid-request"),
    ("sales", {}, 400, "invalid-request"),
    ("sales", {"amount": 1, "tiket": "A"}, 400, "invalid-request"),
    ("sales", {"amount": 1}, 400, "key-needed"),
    ("sales", {"amount": 1, "ticket": "A", "again": True}, 400, "key-needed"),
    ("sales", {"amount": 10.0, "ticket": "A"}, 422, "invalid-value"),
    ("sales", {"amount": True, "ticket": "A"}, 422, "invalid-value"),
    ("sales", {"amount": 0, "ticket": "A"}, 422, "invalid-value"),
    ("sales", {"amount": 10**9, "ticket": "A"}, 422, "invalid-value"),
    ("sales", {"amount": "1250", "ticket": "A"}, 422, "invalid-value"),
    ("sales", {"amount": "1.250", "ticket": "A"}, 422, "invalid-value"),
    ("sales", {"amount": "12,50", "ticket": "A"}, 422, "invalid-value"),
    ("sales", {"amount": 1, "ticket": "A" * 25}, 422, "invalid-value"),
    ("sales", {"amount": 1, "ticket": "A", "print_on_pos": 1}, 422, "invalid-value"),
    ("sales", {"amount": 1, "ticket": "A", "sale_type": 100}, 422, "invalid-value"),
    ("voids", {"operation_id": "7"}, 422, "invalid-value"),
    ("voids", {}, 400, "invalid-request"),
    ("refunds", {"amount": 1, "authorization_code": "123456", "original_date": "1/2/26"}, 422, "invalid-value"),
    ("cancel", {"now": True}, 400, "invalid-request"),
    ("polling", {"now": True}, 400, "invalid-request"),
    ("reports/tips", {"employee_id": 0}, 422, "invalid-value"),
    ("reports/totals", {"employee_id": 1}, 400, "invalid-request"),
    ("reports/sales", None, 404, "unknown-path"),
    ("intents/0/resolve", {"paid": "yes", "by": "A", "note": "n"}, 422, "invalid-value"),
    ("intents/0/resolve", {"paid": True, "by": "A"}, 400, "invalid-request"),
    ("intents/0/resolve", {"paid": True, "by": "A", "note": "n"}, 409, "cannot-resolve"),
    ("terminals/till/sales", {"amount": 1, "ticket": "A"}, 404, "unknown-terminal"),
]


async def test_what_cannot_be_meant_is_refused(refusing: Served) -> None:
    for path, body, status, kind in MISTAKES:
        answer = await refusing.post(path, body, key=None if "sales" in path else "a key")
        told = answer.json()
        assert (answer.status_code, told["type"]) == (status, f"urn:getnet-pos:problem:{kind}"), (path, body)
        assert told["nothing_sent"]
        assert told["detail"]
        assert told["advice"]


@pytest.fixture
async def refusing(server: TcpServer) -> AsyncIterator[Served]:
    """An agent that sends its terminal nothing but what a poll asks."""
    async with opened(server) as agent:
        yield agent
        assert {command.code for command in server.terminal.commands} <= {101, 106, 114}


async def test_what_cannot_be_read_is_refused(refusing: Served) -> None:
    path = "/v1/terminals/counter/sales"
    for content, media_type, status in (
        (b"{", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b'{"amount": 1, "amount": 2, "ticket": "A"}', "application/json", 400),
        (b'{"amount": NaN, "ticket": "A"}', "application/json", 400),
        (b'{"amount": 1, "ticket": "A"}', "text/plain", 415),
    ):
        answer = await refusing.client.post(path, content=content, headers={"Content-Type": media_type})
        assert answer.status_code == status, content
    for method, where, status in (
        ("GET", path, 405),
        ("GET", "/v2", 404),
        ("GET", "/v1/payments", 400),
        ("GET", "/v1/payments?key=a&key=b", 400),
        ("GET", f"/v1/payments?key={'k' * 256}", 400),
        ("GET", "/v1/intents?settled=yes", 422),
        ("GET", "/v1/intents?settled=true&since=noon", 422),
        ("GET", "/v1/intents?since=2026-01-01", 400),
        ("GET", "/v1/events?after=x", 422),
    ):
        assert (await refusing.client.request(method, where)).status_code == status, where
    long = await refusing.client.post(path, json={"amount": 1}, headers={"Idempotency-Key": "k" * 256})
    assert long.status_code == 400


async def test_an_amount_as_currency_needs_a_profile_that_knows_its_scale(server: TcpServer) -> None:
    body = {"amount": "12.50", "ticket": "A"}
    async with opened(server) as agent:
        assert (await agent.post("sales", body)).json()["reply"]["amount"] == 1_250
    async with opened(server, settings={"profile": Profile.INTEGRATED_POS}) as agent:
        assert (await agent.post("sales", body)).status_code == 422
    async with opened(server, settings={"profile": Profile.CHILE}) as agent:
        assert (await agent.post("sales", body)).status_code == 422
        assert (await agent.post("sales", {**body, "amount": "1250.00"})).json()["reply"]["amount"] == 1_250


async def test_nobody_is_let_in_without_the_token(server: TcpServer) -> None:
    async with opened(server) as agent, httpx.AsyncClient(event_hooks={"response": [check]}) as stranger:
        answer = await stranger.post(f"{agent.url}/v1/terminals/counter/sales", json={"amount": 1, "ticket": "A"})
        assert answer.status_code == 401
        assert not {command.code for command in server.terminal.commands} & {100}


# ----------------------------------------------------------------------------------------------------------- questions


async def test_reports_polling_and_the_close_of_the_batch(server: TcpServer) -> None:
    async with opened(server) as agent:
        await agent.post("sales", {"amount": 1_000, "ticket": "A1"})
        assert (await agent.post("polling")).json()["reply"]["connected"]
        totals = (await agent.post("reports/totals", {"print_on_pos": False})).json()
        assert (totals["approved"], totals["tx_total"]) == (True, 1_000)
        [row] = (await agent.post("reports/details")).json()["sale_details"]
        assert (row["ticket"], "account_number" in row) == ("A1", False)
        for kind, code in (("sales-by-seller", 110), ("tips", 111), ("parameters", 114), ("sim", 115)):
            assert (await agent.post(f"reports/{kind}")).json()["function_code"] == code
        assert (await agent.post("reports/shift")).json()["type"].endswith(":unsupported")
        assert (await agent.post("close-batch", {"print_on_pos": False})).json()["approved"]


async def test_the_link_and_why_it_is_down(server: TcpServer) -> None:
    async with opened(server, poll_every=0.05) as agent:
        assert (await agent.get("terminals/counter"))["state"] == "up"
        server.unplug()
        await agent.until("down")
        shown = await agent.get("terminals/counter")
        assert "cannot be reached" in shown["why"]
        refused = await agent.post("polling")
        assert (refused.status_code, refused.json()["type"][-14:]) == (503, "cannot-connect")
        server.plug()
        await agent.until("up")


async def test_a_terminal_that_is_not_ready() -> None:
    busy = Behaviour(response_code=21, change={"Connected": False})
    with TcpServer(VirtualTerminal(answers={106: busy}), gap=0) as server:
        async with opened(server) as agent:
            assert (await agent.get("terminals/counter"))["state"] == "not-ready"
            refused = await agent.post("sales", {"amount": 1, "ticket": "A"})
            assert (refused.status_code, refused.json()["type"][-9:]) == (503, "not-ready")
            assert refused.json()["nothing_sent"]


async def test_a_serial_terminal_and_one_behind_a_cloud() -> None:
    journal = MemoryJournal()
    with SerialServer(VirtualTerminal(), gap=0) as server, VirtualCloud(profile=Profile.CHILE) as cloud:
        connectors = {
            "desk": AsyncConnector.create_usb(server.device, journal=journal, timeouts=QUICK),
            "far": AsyncConnector.create_cloud(
                cloud.url, key_pos=cloud.key_pos, client_id="id", client_secret="a-secret", profile=Profile.CHILE,
                journal=journal, timeouts=QUICK,
            ),
        }  # fmt: skip
        async with Served(connectors, journal) as agent:
            for name in connectors:
                body = {"amount": 1_500, "ticket": f"T-{name}"}
                told = (await agent.post(f"terminals/{name}/sales", body)).json()
                assert (told["outcome"], told["reply"]["amount"]) == ("approved", 1_500)
                assert (await agent.post(f"terminals/{name}/sales", body)).json()["recovered"]
            assert isinstance(cloud.key_pos, KeyPos)
            refused = await agent.post("terminals/far/reports/totals")
            assert (refused.status_code, refused.json()["type"][-11:]) == (422, "unsupported")


class _FullDisk(MemoryJournal):
    """A journal that can be read, and no more written."""

    def record(self, intent: Intent) -> None:
        raise JournalError("the disk is full")


async def test_without_a_journal_nothing_is_sent(server: TcpServer) -> None:
    async with opened(server, journal=_FullDisk()) as agent:
        refused = await agent.post("sales", {"amount": 1, "ticket": "A"})
        assert (refused.status_code, refused.json()["type"][-7:]) == (503, "journal")
        assert refused.json()["nothing_sent"]
        assert server.terminal.ledger.balances() == {}


async def test_an_agent_that_is_being_stopped_begins_nothing(server: TcpServer) -> None:
    async with opened(server) as agent:
        agent.server.agent.stopping = True
        for path, body in (("sales", {"amount": 1, "ticket": "A"}), ("polling", None), ("close-batch", None)):
            refused = await agent.post(path, body)
            assert (refused.status_code, refused.json()["type"][-8:]) == (503, "stopping")
        assert await agent.get("terminals")


# ------------------------------------------------------------------------------------------------------------ problems


def _all_errors() -> list[type[GetnetError]]:
    return [kind for name in errors.__all__ if issubclass(kind := getattr(errors, name), GetnetError)]


@pytest.mark.parametrize("kind", [kind for kind in _all_errors() if kind is not OutcomeUnknown])
def test_every_error_has_a_problem(kind: type[GetnetError]) -> None:
    more: dict[str, Any] = {"intent_id": "i" * 32} if kind is AlreadyCharged else {}
    more |= {"status": 500} if kind is errors.UnexpectedStatus else {}
    problem = problem_of(kind("something is wrong with 4111 1111 1111 1111", **more))
    validator(json.dumps({"$ref": "#/components/schemas/Problem"})).validate(problem.document)
    assert "1111 1111" not in problem.document["detail"]
    assert problem.document["status"] == problem.kind.status >= 400


def test_what_a_problem_says_of_a_payment() -> None:
    lost = errors.Disconnected("gone")
    assert not problem_of(lost).document["nothing_sent"]
    assert problem_of(lost, is_payment=True).document["nothing_sent"]
    told = problem_of(
        lost, is_payment=True, intent=Intent(intent_id="7", terminal="t", command=100, state=IntentState.DECLINED)
    )
    assert (told.document["nothing_sent"], told.document["intent_id"]) == (False, "7")
    paid = AlreadyCharged("paid", intent_id="8", reply=SaleReply(function_code=100, response_code=0), found="recovery")
    charged = problem_of(paid, is_payment=True).document
    assert (charged["intent_id"], charged["reply"]["approved"], charged["found"]) == ("8", True, "recovery")
    assert problem_of(RateLimited("slowly", retry_after=7.2)).headers == {"Retry-After": "7"}
    assert all(400 <= kind.status < 600 for kind in KINDS.values())


# -------------------------------------------------------------------------------------------------------------- events


async def test_events_as_a_stream(server: TcpServer) -> None:
    async with opened(server) as agent:
        async with agent.client.stream("GET", "/v1/events") as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            lines = stream.aiter_lines()
            assert await anext(lines) == ": listening"
            selling = asyncio.create_task(agent.post("sales", {"amount": 1_000, "ticket": "A1"}))
            events = await _until_outcome(lines)
            told = (await selling).json()
        kinds = [event["type"] for event in events]
        assert kinds[0] == "running"
        assert kinds.count("progress") == 3
        assert {**told, "key": "counter/sale/A1"}.items() <= events[-1].items()
        numbers = [event["id"] for event in events]
        assert numbers == sorted(set(numbers))
        async with agent.client.stream("GET", "/v1/events", headers={"Last-Event-ID": str(numbers[0])}) as stream:
            missed = await _until_outcome(stream.aiter_lines())
        assert missed == events[1:]


async def _until_outcome(lines: AsyncIterator[str]) -> list[dict[str, Any]]:
    check_event = validator(json.dumps({"$ref": "#/components/schemas/Event"}))
    events: list[dict[str, Any]] = []
    async for line in lines:
        if line.startswith("data: "):
            events.append(json.loads(line.removeprefix("data: ")))
            check_event.validate(events[-1])
            if events[-1]["type"] == "outcome":
                break
    return events


async def test_events_over_a_websocket(server: TcpServer) -> None:
    journal = MemoryJournal()
    async with opened(server, journal=journal, poll_every=0.05) as agent:
        subprotocols = ("getnet-pos", f"bearer.{TOKEN}")
        socket = await asyncio.to_thread(Socket, f"{agent.url}/v1/events?after=0", subprotocols=subprotocols)
        with socket:
            first = await asyncio.to_thread(socket.json)
            assert (first["type"], first["state"]) == ("link", "up")
            record(journal, intent(1, terminal=agent.terminal.connector.terminal), *UNKNOWN)
            told = await asyncio.to_thread(socket.json)
            assert (told["type"], told["intent"]["intent_id"]) == ("unknown", intent(1).intent_id)
            server.unplug()
            while (told := await asyncio.to_thread(socket.json))["type"] != "link":
                pass
            assert told["state"] == "down"
            server.plug()


async def test_a_listener_that_is_slow_is_dropped() -> None:
    hub = EventHub()
    slow, quick = hub.listen(), hub.listen()
    for number in range(300):
        hub.send("progress", "counter", code=number, text="", key=None)
        assert (await quick.next(1)) is not None
    found = [event async for event in slow]
    assert (found, slow.dropped, quick.dropped) == ([], True, False)
    hub.close()
    assert await quick.next(1) is None
    assert await hub.listen().next(1) is None
