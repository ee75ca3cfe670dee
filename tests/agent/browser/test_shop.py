"""A page of another origin sells through the agent, in a real browser: the one in ``examples/agent/web-page``."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

import pytest

from getnet_pos import IntentState
from getnet_pos.simulator import Behaviour, SerialServer
from tests.agent.agents import AgentProcess
from tests.agent.browser.conftest import Shop

pytestmark = pytest.mark.skipif(os.name != "posix", reason="this system has no pseudo-terminals")

Script = Callable[..., None]
SLOW = Behaviour(decide_after=1.5)
"""A customer who takes so long."""


@pytest.fixture
def page(open_page: Callable[[str], Any], allow: Any, shop: Shop, agent: AgentProcess) -> Any:
    """The shop, whose user has allowed it to reach this machine, paired with the agent."""
    allow(shop.origin, "granted")
    page = open_page(shop.origin)
    pair(page, agent)
    agent.wait_for("up")
    return page


def pair(page: Any, agent: AgentProcess) -> None:
    page.type("[name=address]", agent.url)
    page.type("[name=token]", agent.token)
    page.click("#setup button")


def sell(page: Any, amount: int = 25_000, ticket: str = "A1") -> None:
    page.type("[name=amount]", str(amount))
    page.type("[name=ticket]", ticket)
    page.click("#sale button")


def wait(page: Any, outcome: str) -> None:
    page.wait_for(lambda: page.find("#outcome").get_attribute("data-outcome") == outcome)


@pytest.mark.parametrize("script", [[Behaviour(progress_every=0.3)]])
def test_it_sells_and_follows_progress(page: Any, server: SerialServer) -> None:
    page.driver.execute_script(
        "window.said = []; new MutationObserver(() => said.push(document.querySelector('#progress').textContent))"
        ".observe(document.querySelector('#progress'), { childList: true })"
    )
    sell(page)
    wait(page, "approved")
    assert server.terminal.ledger.charges("A1")[0].authorization_code in page.text("#outcome")
    said = page.driver.execute_script("return said")
    assert len([text for text in said if text]) == 3, said
    assert page.driver.execute_script("return localStorage.getItem('payment')") is None


@pytest.mark.parametrize("script", [[Behaviour(decide_after=math.inf)]])
def test_it_cancels(page: Any, server: SerialServer) -> None:
    sell(page)
    page.wait_for(lambda: page.text("#progress"))
    page.click("#cancel")
    wait(page, "declined")
    assert server.terminal.ledger.entries == ()


@pytest.mark.parametrize("script", [[SLOW]])
def test_a_page_that_is_loaded_again_in_mid_sale_asks_and_does_not_charge_again(
    page: Any, server: SerialServer
) -> None:
    sell(page)
    wait(page, "open")
    page.wait_for(lambda: page.text("#progress"))
    page.reload()
    wait(page, "approved")
    assert server.terminal.ledger.charged() == 25_000


@pytest.mark.parametrize("script", [[SLOW]])
def test_the_cable_is_pulled_in_mid_sale_and_the_outcome_is_shown(page: Any, server: SerialServer) -> None:
    sell(page)
    page.wait_for(lambda: page.text("#progress"))
    server.unplug()
    page.wait_for(lambda: server.terminal.ledger.charged() == 25_000)
    assert page.find("#outcome").get_attribute("data-outcome") == "open"
    server.plug()
    wait(page, "approved")
    assert server.terminal.ledger.charges("A1")[0].authorization_code in page.text("#outcome")
    assert server.terminal.ledger.charged() == 25_000


@pytest.mark.parametrize("script", [[SLOW]])
def test_the_agent_is_killed_in_mid_sale_and_the_page_gets_the_truth(
    page: Any, server: SerialServer, agent: AgentProcess
) -> None:
    sell(page)
    page.wait_for(lambda: page.text("#progress"))
    agent.kill()
    page.wait_for(lambda: "cannot be reached" in page.text("#progress"))
    page.wait_for(lambda: server.terminal.ledger.charged() == 25_000)
    agent.start()
    wait(page, "approved")
    assert server.terminal.ledger.charged() == 25_000
    assert agent.states() == [IntentState.APPROVED]


@pytest.mark.parametrize("script", [[Behaviour(change={"FunctionCode": 0}, record_after=math.inf)]])
def test_it_sees_an_unknown_outcome_and_how_it_is_resolved_on_the_agents_own_page(
    page: Any, open_page: Callable[[str], Any], server: SerialServer, agent: AgentProcess
) -> None:
    sell(page)
    wait(page, "unknown")
    assert "Do not charge again" in page.text("#outcome")
    own = open_page(agent.url)
    own.type("#token", agent.token)
    own.click("#pair button")
    own.wait_for(lambda: own.shows("#unknowns .card"))
    own.click('#unknowns [value="true"]')
    own.type('#unknowns [name="by"]', "Ana")
    own.type('#unknowns [name="note"]', "voucher 17 on the terminal")
    own.click("#unknowns button")
    own.wait_for(lambda: not own.shows("#unknown"))
    own.wait_for(lambda: "paid, according to Ana" in own.text("#rows"))
    wait(page, "approved")
    assert agent.states() == [IntentState.RESOLVED_PAID]
    assert server.terminal.ledger.charged() == 25_000


def test_a_sale_that_never_reached_the_agent_is_told_to_have_charged_nothing(
    page: Any, server: SerialServer, agent: AgentProcess
) -> None:
    agent.kill()
    sell(page)
    page.wait_for(lambda: "cannot be reached" in page.text("#progress"))
    agent.start()
    wait(page, "none")
    assert "Nothing was charged now" in page.text("#outcome")
    assert server.terminal.ledger.entries == ()
    sell(page)
    wait(page, "approved")
    assert server.terminal.ledger.charged() == 25_000


def test_a_wrong_token_is_refused_and_forgotten_and_the_next_sale_is_not_in_its_way(
    open_page: Callable[[str], Any], allow: Any, shop: Shop, server: SerialServer, agent: AgentProcess
) -> None:
    allow(shop.origin, "granted")
    page = open_page(shop.origin)
    agent.wait_for("up")
    page.type("[name=address]", agent.url)
    page.type("[name=token]", "a-token-of-another-agent")
    page.click("#setup button")
    page.wait_for(lambda: "token is wrong" in page.text("#pairing"))
    assert page.driver.execute_script("return localStorage.getItem('agent')") is None
    sell(page)
    page.wait_for(lambda: "Pair with the agent first" in page.text("#progress"))
    page.type("[name=token]", agent.token)
    page.click("#setup button")
    page.wait_for(lambda: page.text("#pairing") == "Paired.")
    sell(page)
    wait(page, "approved")
    assert server.terminal.ledger.charged() == 25_000


def test_a_token_that_changes_in_mid_sale_keeps_the_payment_until_the_page_is_paired_again(
    page: Any, server: SerialServer, agent: AgentProcess
) -> None:
    token = agent.token
    agent.kill()
    sell(page)
    page.wait_for(lambda: "cannot be reached" in page.text("#progress"))
    agent.token_file.write_text(f"another-{token}", encoding="utf-8")
    agent.start()
    page.wait_for(lambda: "still open" in page.text("#outcome"))
    assert page.driver.execute_script("return localStorage.getItem('payment')") is not None
    pair(page, agent)
    wait(page, "none")
    assert server.terminal.ledger.entries == ()
