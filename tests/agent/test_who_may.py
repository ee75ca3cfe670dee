"""What the whole agent, and not the guard alone, tells somebody who has no token."""

from __future__ import annotations

import asyncio

import httpx

from getnet_pos.simulator import Behaviour, TcpServer, VirtualTerminal
from tests.agent.serving import Served, tcp


async def test_without_the_token_one_sees_that_a_terminal_is_there_and_not_what_is_paid() -> None:
    terminal = VirtualTerminal(script=[Behaviour(decide_after=0.3)])
    with TcpServer(terminal, gap=0) as server:
        async with Served({"counter": tcp(server)}) as agent, httpx.AsyncClient(base_url=agent.url) as stranger:
            await agent.until("up")
            sale = asyncio.create_task(agent.post("sales", {"amount": 1_000, "ticket": "A1"}))
            while agent.terminal.running is None:
                await asyncio.sleep(0.005)
            [own] = (await agent.get("terminals"))["terminals"]
            assert own["running"]["ticket"] == "A1"
            for path in ("/v1/terminals", "/v1/terminals/counter"):
                told = (await stranger.get(path)).text
                assert '"state":"up"' in told
                assert "A1" not in told
                assert '"running":null' in told
            statuses = [
                (await stranger.request(method, f"/v1/{path}")).status_code
                for method, path in (
                    ("POST", "terminals/counter/sales"), ("POST", "terminals/counter/cancel"), ("GET", "intents"),
                    ("POST", "terminals/counter/polling"), ("POST", "intents/1/resolve"), ("GET", "payments?key=A1"),
                    ("GET", "events"), ("POST", "terminals/counter/close-batch"),
                )
            ]  # fmt: skip
            assert statuses == [401] * 8
            assert (await stranger.get("/v1/openapi.json")).status_code == 200
            assert (await sale).json()["outcome"] == "approved"
    assert terminal.ledger.charged() == 1_000
