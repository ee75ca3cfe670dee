"""Pages off the list get nothing, in a real browser, whatever they try, and whatever the user has allowed them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from getnet_pos.simulator import SerialServer
from tests.agent.agents import AgentProcess
from tests.agent.browser.conftest import REBOUND, Shop

Open = Callable[[str], Any]

FETCH = """
    const [url, given] = arguments;
    const answer = await fetch(url, given);
    return `${answer.status} ${await answer.text()}`;
"""
SOCKET = """
    const [url, token] = arguments;
    return new Promise((done) => {
      const socket = new WebSocket(url, ["getnet-pos", `bearer.${token}`]);
      socket.onmessage = (message) => done(message.data);
      socket.onclose = () => done("closed");
      socket.onopen = () => done("open");
    });
"""
STREAM = """
    const [url] = arguments;
    return new Promise((done) => {
      const source = new EventSource(url);
      source.onopen = () => done("open");
      source.onerror = () => done("closed");
    });
"""
EMBEDDED = """
    const [url] = arguments;
    const tried = ["script", "img", "iframe"].map((tag) => new Promise((done) => {
      const made = document.createElement(tag);
      made.onload = () => done(`${tag} ${made.contentDocument ? "readable" : made.naturalWidth ?? "loaded"}`);
      made.onerror = () => done(`${tag} refused`);
      made.src = url;
      document.body.append(made);
    }));
    return (await Promise.all(tried)).join(", ");
"""


def post(token: str) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Idempotency-Key": "x"}
    return {"method": "POST", "headers": headers, "body": '{"amount": 25000, "ticket": "A1"}'}


def test_a_page_off_the_list_gets_nothing(
    open_page: Open, allow: Any, shop: Shop, agent: AgentProcess, server: SerialServer
) -> None:
    allow(shop.stranger, "granted")
    agent.wait_for("up")
    page = open_page(shop.stranger)
    sales = f"{agent.url}/v1/terminals/terminal/sales"
    bearer = {"headers": {"Authorization": f"Bearer {agent.token}"}}
    failed = "failed: TypeError: Failed to fetch"
    for url, given in (
        (f"{agent.url}/v1/terminals", {}),
        (f"{agent.url}/", {}),
        (f"{agent.url}/v1/intents", bearer),
        (sales, post(agent.token)),
        (sales.replace("127.0.0.1", "localhost"), post(agent.token)),
        (sales, {"method": "POST", "mode": "no-cors", "body": '{"amount": 25000, "ticket": "A1"}'}),
    ):
        assert page.run(FETCH, url, given) == failed
    events = f"{agent.url}/v1/events"
    assert page.run(SOCKET, events.replace("http", "ws"), agent.token) == "closed"
    assert page.run(STREAM, events) == "closed"
    embedded = page.run(EMBEDDED, f"{agent.url}/page.js")
    assert "script refused, img refused" in embedded
    assert "readable" not in embedded
    assert server.terminal.ledger.entries == ()


def test_the_same_page_on_the_list_gets_what_the_token_is_for(
    open_page: Open, allow: Any, shop: Shop, agent: AgentProcess, server: SerialServer
) -> None:
    allow(shop.origin, "granted")
    agent.wait_for("up")
    page = open_page(shop.origin)
    sales = f"{agent.url}/v1/terminals/terminal/sales"
    assert page.run(FETCH, f"{agent.url}/v1/terminals", {}).startswith('200 {"terminals":')
    assert page.run(FETCH, sales, post("wrong-token-wrong-token")).startswith("401 ")
    assert page.run(FETCH, f"{agent.url}/v1/intents", {}).startswith("401 ")
    events = f"{agent.url}/v1/events".replace("http", "ws")
    assert page.run(SOCKET, events, "wrong-token-wrong-token") == "closed"
    assert page.run(SOCKET, events, agent.token) == "open"
    assert server.terminal.ledger.entries == ()
    assert page.run(FETCH, sales, post(agent.token)).startswith('200 {"outcome":"approved"')
    assert server.terminal.ledger.charged() == 25_000


@pytest.mark.parametrize("answer", ["", "denied"])
def test_the_browser_keeps_a_page_away_that_its_user_has_not_allowed(
    open_page: Open, allow: Any, shop: Shop, agent: AgentProcess, server: SerialServer, answer: str
) -> None:
    if answer:
        allow(shop.origin, answer)
    page = open_page(shop.origin)
    state = "return (await navigator.permissions.query({ name: 'loopback-network' })).state"
    assert page.run(state) == (answer or "prompt")
    assert page.run(FETCH, f"{agent.url}/v1/terminals", {}) == "failed: TypeError: Failed to fetch"
    assert page.run(SOCKET, f"{agent.url}/v1/events".replace("http", "ws"), agent.token) == "closed"
    assert any("loopback" in complaint for complaint in page.complaints())


def test_a_name_that_was_made_to_lead_here_gets_nothing(
    open_page: Open, agent: AgentProcess, server: SerialServer
) -> None:
    agent.wait_for("up")
    # For the browser, this page and the agent are of one origin: it asks nobody.
    page = open_page(f"http://{REBOUND}:{agent.port}/")
    assert "not one of the agent's names" in page.text("body")
    events = "/v1/events?after=0"
    assert page.run(FETCH, "/v1/terminals", {}).startswith("403 ")
    assert page.run(FETCH, "/v1/intents", {"headers": {"Authorization": f"Bearer {agent.token}"}}).startswith("403 ")
    assert page.run(FETCH, "/v1/terminals/terminal/sales", post(agent.token)).startswith("403 ")
    assert page.run(SOCKET, f"ws://{REBOUND}:{agent.port}{events}", agent.token) == "closed"
    assert page.run(STREAM, events) == "closed"
    assert server.terminal.ledger.entries == ()


def test_a_page_of_another_site_does_not_frame_the_agents(
    open_page: Open, allow: Any, shop: Shop, agent: AgentProcess
) -> None:
    allow(shop.origin, "granted")
    page = open_page(shop.origin)
    page.run(EMBEDDED, f"{agent.url}/")
    assert any("frame-ancestors" in complaint for complaint in page.complaints())
