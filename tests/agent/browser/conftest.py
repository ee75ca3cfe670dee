"""A real browser, a shop's pages at names of their own, and the agent as a process with a virtual terminal."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from starlette.applications import Starlette
from starlette.staticfiles import StaticFiles

from getnet_pos.simulator import Behaviour, SerialServer, VirtualTerminal
from getnet_pos.simulator.asgi import ThreadedServer
from tests.agent.agents import AgentProcess, options_of
from tests.evidence import evidence, folder

__all__ = ["evidence", "folder"]

GETNET = Path(__file__).parent / "getnet"
EXAMPLE = Path(__file__).resolve().parents[3] / "examples/agent/web-page"
SHOP, STRANGER, REBOUND = "shop.example", "stranger.example", "rebound.example"
QUICK = ("--timeout", "8", "--recovery", "4")


class Shop:
    """The same pages under two names: one is on the agent's list, the other is not."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.origin, self.stranger = (f"https://{name}:{port}" for name in (SHOP, STRANGER))


@pytest.fixture(scope="session")
def shop() -> Iterator[Shop]:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert(SHOP, STRANGER).configure_cert(tls)
    app = Starlette()
    app.mount("/getnet", StaticFiles(directory=GETNET, html=True))
    app.mount("/", StaticFiles(directory=EXAMPLE, html=True))
    server = ThreadedServer(app, tls=tls)
    yield Shop(int(server.start().rpartition(":")[2]))
    server.stop()


@pytest.fixture(scope="session")
def browser(shop: Shop) -> Iterator[Any]:
    """Chromium, for which the shop is a site of the internet. Tests that ask for it are left out of the short run."""
    pytest.importorskip("selenium", reason='tests in a browser need selenium: pip install -e ".[dev]"')
    from tests.browsers import chromium

    names = ", ".join(f"MAP {name} 127.0.0.1" for name in (SHOP, STRANGER, REBOUND))
    driver = chromium(
        f"host-resolver-rules={names}",
        f"ip-address-space-overrides=127.0.0.1:{shop.port}=public",
        "ignore-certificate-errors",
    )
    driver.set_script_timeout(30)
    yield driver
    driver.quit()


@pytest.fixture
def allow(browser: Any, shop: Shop) -> Iterator[Callable[[str, str], None]]:
    """Answers for the user what the browser asks before a site reaches this machine: ``granted`` or ``denied``."""

    def answer(origin: str, setting: str) -> None:
        asked = {"permission": {"name": "loopback-network"}, "setting": setting, "origin": origin}
        browser.execute_cdp_cmd("Browser.setPermission", asked)

    yield answer
    browser.execute_cdp_cmd("Browser.resetPermissions", {})


@pytest.fixture
def script() -> list[Behaviour]:
    """What the terminal does with each payment; a good terminal's ways where there is nothing."""
    return []


@pytest.fixture
def server(script: list[Behaviour]) -> Iterator[SerialServer]:
    with SerialServer(VirtualTerminal(script=script)) as server:
        yield server


@pytest.fixture
def agent(folder: Path, server: SerialServer, shop: Shop) -> Iterator[AgentProcess]:
    with AgentProcess(folder, *options_of(server), "--allow-origin", shop.origin, *QUICK) as agent:
        yield agent


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[[str], Any]]:
    """Opens pages, each in a window of its own."""
    from tests.agent.browser.windows import PageWindow
    from tests.browsers import windows

    with windows(browser, PageWindow) as (open_page, _):
        yield open_page
