"""A page written for Getnet's browser library, in a real browser, with the bridge in the Windows agent's place."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from getnet_pos import IntentState
from getnet_pos.simulator import Behaviour, SerialServer
from tests.agent.agents import AgentProcess, options_of
from tests.agent.browser.conftest import QUICK, Shop

pytestmark = pytest.mark.skipif(os.name != "posix", reason="this system has no pseudo-terminals")


@pytest.fixture
def agent(folder: Path, server: SerialServer, shop: Shop) -> Iterator[AgentProcess]:
    bridge = ("--bridge", "--bridge-port", "0", "--allow-origin", shop.origin)
    with AgentProcess(folder, *options_of(server), *bridge, *QUICK) as agent:
        agent.wait_for("up")
        yield agent


@pytest.fixture
def open_shop(open_page: Callable[[str], Any], allow: Any, agent: AgentProcess) -> Callable[[str], Any]:
    """Opens the shop under an origin, whose user has allowed it to reach this machine."""

    def opened(origin: str) -> Any:
        allow(origin, "granted")
        page = open_page(f"{origin}/getnet/")
        page.type("[name=bridge]", str(urlsplit(agent.bridge_url).port))
        page.click("#connect")
        return page

    return opened


@pytest.fixture
def page(open_shop: Callable[[str], Any], shop: Shop) -> Any:
    page = open_shop(shop.origin)
    page.wait_for(lambda: page.text("#link") == "open")
    return page


def sell(page: Any, amount: int, ticket: str) -> None:
    page.type("[name=amount]", str(amount))
    page.type("[name=ticket]", ticket)
    page.click("#sell")


def said(page: Any) -> list[tuple[int, str]]:
    """What the page was answered so far: command and response code."""
    script = (
        "return [...document.querySelectorAll('#said li')].map((line) => [line.dataset.command, line.dataset.code])"
    )
    return [(int(command), code) for command, code in page.driver.execute_script(script)]


def wait(page: Any, *answers: tuple[int, str]) -> None:
    page.wait_for(lambda: len(said(page)) >= len(answers))
    assert said(page) == [*answers], page.text("#said")


def charged(server: SerialServer) -> list[int]:
    return [entry.amount for entry in server.terminal.ledger.entries]


def test_it_sells_and_reads_all_reports(page: Any, server: SerialServer, agent: AgentProcess) -> None:
    sell(page, 2500, "A1")
    wait(page, (100, "0"))
    page.click("#reports")
    page.wait_for(lambda: len(said(page)) == 9)
    assert {code for _, code in said(page)} == {"0"}
    assert (charged(server), agent.states()) == ([2500], [IntentState.APPROVED])


def test_it_cancels_in_mid_sale(page: Any, server: SerialServer, agent: AgentProcess) -> None:
    server.terminal.script.append(Behaviour(decide_after=math.inf))
    sell(page, 2500, "A1")
    page.wait_for(lambda: server.terminal.busy)
    page.click("#cancel")
    wait(page, (116, "0"), (100, "1006"))
    assert (charged(server), agent.states()) == ([], [IntentState.DECLINED])


def test_it_survives_an_unplugged_terminal(page: Any, server: SerialServer, agent: AgentProcess) -> None:
    server.unplug()
    sell(page, 1000, "A1")
    wait(page, (100, "-1"))
    server.plug()
    sell(page, 2000, "A2")
    wait(page, (100, "-1"), (100, "0"))
    assert page.text("#link") == "open"
    server.terminal.script.append(Behaviour(decide_after=1.0))
    sell(page, 3000, "A3")
    page.wait_for(lambda: server.terminal.busy)
    server.unplug()
    page.wait_for(lambda: not server.terminal.busy)
    server.plug()
    wait(page, (100, "-1"), (100, "0"), (100, "0"))
    assert charged(server) == [2000, 3000]


def test_it_leaves_in_mid_sale_and_comes_back(page: Any, server: SerialServer, agent: AgentProcess) -> None:
    server.terminal.script.append(Behaviour(decide_after=1.0))
    sell(page, 2500, "A1")
    page.wait_for(lambda: server.terminal.busy)
    page.reload()
    page.type("[name=bridge]", str(urlsplit(agent.bridge_url).port))
    page.click("#connect")
    page.wait_for(lambda: not server.terminal.busy and agent.states() == [IntentState.APPROVED])
    sell(page, 2500, "A1")
    wait(page, (100, "-1"))
    assert "was already carried out" in page.text("#said")
    page.click("#reports")
    page.wait_for(lambda: len(said(page)) == 9)
    assert charged(server) == [2500]


def test_a_page_off_the_list_gets_nothing(
    open_shop: Callable[[str], Any], shop: Shop, server: SerialServer, agent: AgentProcess
) -> None:
    page = open_shop(shop.stranger)
    page.wait_for(lambda: page.text("#link") == "closed: 1006")
    sell(page, 2500, "A1")
    page.wait_for(lambda: said(page) == [(100, "")])
    assert page.driver.execute_script("return getnet.heard") == []
    assert 100 not in [command.code for command in server.terminal.commands]
    assert agent.states() == []
