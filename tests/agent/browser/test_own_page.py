"""The agent's own page in a real browser: a cashier sees what runs, and records what a person found out."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from getnet_pos.simulator import Behaviour, Outcome, SerialServer
from tests.agent.agents import AgentProcess
from tests.screen.contrast import FAINT

pytestmark = pytest.mark.skipif(os.name != "posix", reason="this system has no pseudo-terminals")

UNKNOWN = Behaviour(change={"FunctionCode": 0}, record_after=math.inf)
WAITING = Behaviour(progress=(78, 81), decide_after=math.inf)
SALES = "/v1/terminals/terminal/sales"


@pytest.fixture
def sell(agent: AgentProcess) -> Iterator[Callable[..., Future[Any]]]:
    """Sells through the agent, from a program."""
    with ThreadPoolExecutor() as pool, agent.client() as client:
        yield lambda ticket, amount=25_000: pool.submit(
            lambda: client.post(SALES, json={"amount": amount, "ticket": ticket}).json()
        )


@pytest.fixture
def page(open_page: Callable[[str], Any], agent: AgentProcess) -> Any:
    """Paired."""
    agent.wait_for("up")
    page = open_page(agent.url)
    pair(page, agent.token)
    page.wait_for(lambda: page.text("#live") == "Connected")
    yield page
    expected = ("Failed to load resource", "WebSocket connection")  # of an agent that refuses, or is killed
    assert not [complaint for complaint in page.complaints() if not any(text in complaint for text in expected)]


def pair(page: Any, token: str) -> None:
    page.type("#token", token)
    page.click("#pair button")


def test_it_asks_for_the_token_once_and_keeps_it_out_of_the_address(
    open_page: Callable[[str], Any], agent: AgentProcess
) -> None:
    agent.wait_for("up")
    page = open_page(agent.url)
    page.wait_for(lambda: page.text("#terminals .state").endswith("Ready"))
    assert page.text("#live") == "Not paired"
    assert not page.shows("#payments")
    assert not page.shows('[data-do="poll"]')
    pair(page, "wrong-wrong-wrong-wrong")
    page.wait_for(lambda: page.text("#pairing-trouble") == "This is not the agent's token.")
    pair(page, f" {agent.token} ")
    page.wait_for(lambda: page.text("#live") == "Connected")
    assert not page.shows("#pairing")
    page.reload()
    page.wait_for(lambda: page.text("#live") == "Connected")
    asked = page.run("return performance.getEntriesByType('resource').map((one) => one.name).join()")
    assert "/v1/intents" in asked
    assert agent.token not in asked + page.driver.current_url
    page.click("summary")
    page.click("#unpair")
    page.wait_for(lambda: page.shows("#pairing"))
    assert page.run("return localStorage.getItem('token')") is None


@pytest.mark.parametrize("script", [[Behaviour(), Behaviour(outcome=Outcome.DECLINE), WAITING]])
def test_what_runs_is_shown_and_cancelled(page: Any, sell: Callable[..., Future[Any]], server: SerialServer) -> None:
    assert page.text("#payments-none") == "No payments yet today."
    first = sell("A1").result(10)
    assert sell("A2").result(10)["outcome"] == "declined"
    page.wait_for(lambda: page.text("#rows tr:first-child .outcome") == "declined")
    last = page.text("#rows tr:last-child")
    for text in ("terminal", "sale", "25,000", "A1", "approved", first["reply"]["authorization_code"], "**** "):
        assert text in last
    sale = sell("A3")
    page.wait_for(lambda: page.text('[data-is="progress"]') == "Entering the PIN")
    assert page.text('[data-is="running"]') == "sale · 25,000 · A3"
    page.click('[data-do="cancel"]')
    assert sale.result(10)["outcome"] == "declined"
    page.wait_for(lambda: page.text('[data-is="running"]') == "")
    assert page.text("#notice") == "Cancellation requested. The terminal decides."
    assert server.terminal.ledger.charged() == 25_000


@pytest.mark.parametrize("script", [[UNKNOWN]])
def test_an_unknown_outcome_is_resolved_with_the_keyboard_alone(
    page: Any, open_page: Callable[[str], Any], agent: AgentProcess, sell: Callable[..., Future[Any]]
) -> None:
    from selenium.webdriver.common.keys import Keys

    other = open_page(agent.url)
    assert sell("A1").result(20)["outcome"] == "unknown"
    other.wait_for(lambda: other.shows("#unknowns .card"))
    page.wait_for(lambda: page.shows("#unknowns .card"))
    assert "Do not charge again" in page.text("#unknown")

    def press(*keys: str) -> None:
        for key in keys:
            page.driver.switch_to.active_element.send_keys(key)

    page.driver.execute_script("document.activeElement.blur()")
    for _ in range(20):
        page.find("body").send_keys(Keys.TAB) if page.run("return document.activeElement === document.body") else press(
            Keys.TAB
        )
        if page.run("return document.activeElement.name") == "paid":
            break
    press(Keys.ARROW_DOWN, Keys.TAB, "Ana", Keys.TAB)
    # What is typed stays, whatever happens meanwhile.
    page.run("return readNow()")
    press("no voucher", Keys.ENTER)
    page.wait_for(lambda: not page.shows("#unknown"))
    page.wait_for(lambda: "not paid, according to Ana" in page.text("#rows"))
    assert page.text("#notice") == "Recorded."
    assert page.run("return document.activeElement.id") == "payments-title"
    other.wait_for(lambda: not other.shows("#unknown"))


def test_the_cable_is_pulled_and_the_agent_ends(page: Any, server: SerialServer, agent: AgentProcess) -> None:
    server.unplug()
    page.click('[data-do="poll"]')
    page.wait_for(lambda: page.text("#terminals .state").endswith("No connection"))
    assert page.text('[data-is="reason"]')
    assert page.text("#notice")
    server.plug()
    page.wait_for(lambda: page.text("#terminals .state").endswith("Ready"))
    agent.kill()
    page.wait_for(lambda: page.text("#live") == "No connection to the agent")
    agent.start()
    page.wait_for(lambda: page.text("#live") == "Connected")


def test_it_speaks_the_browsers_language_and_remembers_another(page: Any) -> None:
    assert page.find("html").get_attribute("lang") == "en"
    for name, title in (("es", "Terminales"), ("pt", "Terminais")):
        page.find(f'#language option[value="{name}"]').click()
        assert page.text("#terminals-title") == title
        assert page.find("html").get_attribute("lang") == name
    page.reload()
    page.wait_for(lambda: page.text("#live") == "Conectado")
    assert page.text("#terminals .state").endswith("Pronto")


@pytest.mark.parametrize("script", [[UNKNOWN, WAITING]])
@pytest.mark.parametrize("width", [360, 1024])
def test_it_fits_and_is_named_and_plain_to_see(page: Any, sell: Callable[..., Future[Any]], width: int) -> None:
    assert sell("A1").result(20)["outcome"] == "unknown"
    sale = sell("A2", 1_000)
    size = {"width": width, "height": 768, "deviceScaleFactor": 1, "mobile": width < 600}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        page.wait_for(lambda: page.shows("#unknowns .card") and page.text('[data-is="progress"]'))
        page.click("summary")
        for language in ("en", "es", "pt"):
            page.find(f'#language option[value="{language}"]').click()
            assert page.run("return document.documentElement.scrollWidth") <= width
            assert page.run(FAINT) == []
            assert page.run(UNNAMED) == []
            assert page.run(SMALL) == []
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    page.click('[data-do="cancel"]')
    assert sale.result(10)["outcome"] == "declined"


UNNAMED = """
    return [...document.querySelectorAll("button, select, input, summary, fieldset, section, [role=region]")].filter(
      (one) => one.offsetParent && !(one.getAttribute("aria-labelledby") || one.innerText ||
        one.labels?.[0]?.innerText)).map((one) => one.outerHTML);
"""
SMALL = """
    return [...document.querySelectorAll("button, select, input[type=text], label:has([type=radio])")].filter(
      (one) => one.offsetParent && one.offsetHeight < 38).map((one) => one.outerHTML);
"""
