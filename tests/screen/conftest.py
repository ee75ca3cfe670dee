"""A real browser for the page, once for all tests; and registers before its terminals."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from getnet_pos import Connector, Timeouts
from getnet_pos.simulator import ScreenServer, SerialServer, VirtualTerminal
from tests.evidence import evidence

__all__ = ["evidence"]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium. Tests that ask for it are left out of the short run."""
    pytest.importorskip("selenium", reason='tests in a browser need selenium: pip install -e ".[dev]"')
    from tests.browsers import chromium

    driver = chromium()
    yield driver
    driver.quit()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[[str], Any]]:
    """Opens pages, each in a window of its own; the browser has nothing to say against any."""
    from tests.browsers import windows
    from tests.screen.browser import Seat

    with windows(browser, Seat) as (open_page, opened):
        yield open_page
        complaints = [complaint for window in opened for complaint in window.complaints()]
    # A browser looks for an icon that there is not; and a page, for the simulator that has ended.
    expected = ("favicon.ico", "/live' failed")
    assert not [complaint for complaint in complaints if not any(text in complaint for text in expected)]


@pytest.fixture
def alone() -> bool:
    """Whether no other tests run beside this one, which times would measure as well."""
    return "PYTEST_XDIST_WORKER" not in os.environ


@pytest.fixture
def server() -> Iterator[SerialServer]:
    with SerialServer(VirtualTerminal()) as server:
        yield server


@pytest.fixture
def screen(server: SerialServer) -> Iterator[ScreenServer]:
    with ScreenServer(server) as screen:
        yield screen


@pytest.fixture
def pos(server: SerialServer) -> Iterator[Connector]:
    """A register of the terminal, polled."""
    limits = Timeouts(short=2.0, sale=8.0, sale_total=8.0, recovery=6.0, recovery_interval=0.2)
    with Connector.create_usb(server.device, timeouts=limits) as pos:
        pos.polling()
        yield pos
