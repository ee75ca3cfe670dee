"""``examples/django``: what happens to a shop, in a browser's words, with Django's own server."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from getnet_pos.simulator import Behaviour, TcpServer, VirtualTerminal
from tests.databases import free_port
from tests.examples.samples import EXAMPLES, Sample, leave_unknown, until

pytestmark = pytest.mark.evidence


@contextlib.contextmanager
def shop(folder: Path, served: TcpServer) -> Iterator[Sample]:
    port = free_port()
    place = "{}:{}".format(*served.address)
    command = ("django/manage.py", "runserver", "--noreload", str(port))
    with Sample(folder, *command, url=f"http://127.0.0.1:{port}", SHOP_TERMINAL=place) as sample:
        yield sample


class Browser:
    """Sends the forms of the pages, and follows where they lead."""

    def __init__(self, sample: Sample) -> None:
        self.client = sample.client()
        self.client.follow_redirects = True
        self.close = self.client.close
        self.page = self.client.get("/").text

    def ticket(self) -> str:
        [ticket] = re.findall(r'name="ticket" value="(\w+)"', self.page)
        return ticket

    def send(self, path: str, **fields: str) -> httpx.Response:
        token = {"csrfmiddlewaretoken": self.client.cookies["csrftoken"]}
        return self.client.post(path, data={**token, **fields})

    def pay(self, amount: int, ticket: str) -> httpx.Response:
        return self.send("/sales", ticket=ticket, amount=str(amount))

    def shows(self, ticket: str) -> str:
        return self.client.get(f"/sales/{ticket}").text


Opened = Callable[[Sample], Browser]


@pytest.fixture
def opened() -> Iterator[Opened]:
    """Opens a browser at a sample."""
    with contextlib.ExitStack() as stack:
        yield lambda sample: stack.enter_context(contextlib.closing(Browser(sample)))


def test_clicks_in_many_threads_are_one_sale_each(tmp_path: Path, opened: Opened) -> None:
    terminal = VirtualTerminal(default=Behaviour(progress_every=0.05))
    with TcpServer(terminal, gap=0) as served, shop(tmp_path, served) as sample:
        browsers = [opened(sample) for _ in range(3)]
        tickets = [browser.ticket() for browser in browsers]
        assert len(set(tickets)) == 3
        with ThreadPoolExecutor() as pool:
            twice = [(browser, ticket) for browser, ticket in zip(browsers, tickets, strict=True) for _ in range(2)]
            shown = list(pool.map(lambda one: one[0].pay(700, one[1]), twice))
        assert {page.status_code for page in shown} == {200}
        assert 'http-equiv="refresh"' in shown[0].text
        for browser, ticket in zip(browsers, tickets, strict=True):
            until(lambda browser=browser, ticket=ticket: "Paid: 700" in browser.shows(ticket))
            # Once more when it is over.
            assert browser.pay(700, ticket).status_code == 200
            until(lambda browser=browser, ticket=ticket: "Paid: 700" in browser.shows(ticket))
        assert all(ticket in browsers[0].client.get("/").text for ticket in tickets)
    assert terminal.ledger.balances() == dict.fromkeys(tickets, 700)


def test_a_customer_cancels(tmp_path: Path, opened: Opened) -> None:
    terminal = VirtualTerminal(script=[Behaviour(progress_every=0.1, decide_after=float("inf"))])
    with TcpServer(terminal, gap=0) as served, shop(tmp_path, served) as sample:
        browser = opened(sample)
        assert browser.pay(700, "A1").status_code == 200
        until(lambda: any(command.code == 100 for command in terminal.commands))
        assert browser.send("/sales/A1/cancel").status_code == 200
        until(lambda: "Not paid" in browser.shows("A1"))
        assert browser.client.get("/sales/A2").status_code == 404
        assert browser.send("/sales", ticket="../1", amount="700").status_code == 400
        assert browser.client.post("/sales", data={"ticket": "A3", "amount": "700"}).status_code == 403
    assert terminal.ledger.charged() == 0


def test_a_server_that_is_killed_in_mid_sale_finds_out_at_its_start(tmp_path: Path, opened: Opened) -> None:
    terminal = VirtualTerminal(script=[Behaviour(progress_every=0.1, decide_after=1)])
    with TcpServer(terminal, gap=0) as served, shop(tmp_path, served) as sample:
        browser = opened(sample)
        browser.pay(25_000, "A1")
        until(lambda: any(command.code == 100 for command in terminal.commands))
        sample.kill()
        until(lambda: terminal.ledger.charged() == 25_000)
        sample.start()
        until(lambda: "Paid: 25000" in browser.shows("A1"))
        until(lambda: "ticket A1 was left open and is APPROVED" in sample.told())
        browser.pay(25_000, "A1")
        until(lambda: "Paid: 25000" in browser.shows("A1"))
    assert terminal.ledger.charged() == 25_000


def test_a_person_decides_about_an_unknown_outcome(tmp_path: Path, opened: Opened) -> None:
    terminal = VirtualTerminal()
    with TcpServer(terminal, gap=0) as served:
        place = "tcp:{}:{}".format(*served.address)
        intent_id = leave_unknown(tmp_path / "journal.sqlite3", place, "A1", 25_000)
        with shop(tmp_path, served) as sample:
            browser = opened(sample)
            assert "1 with an unknown outcome" in browser.page
            assert "Do not charge it again" in browser.shows("A1")
            assert "Ticket A1" in browser.send("/unknown/ask").text
            refused = browser.send(f"/unknown/{intent_id}", paid="yes", by="Ana", note=" ")
            assert (refused.status_code, "Ticket A1" in refused.text) == (400, True)
            decided = browser.send(f"/unknown/{intent_id}", paid="yes", by="Ana", note="voucher 17 on the terminal")
            assert "every payment is settled" in decided.text
            assert "Paid: 25000" in browser.shows("A1")
    assert terminal.ledger.charged() == 0


def test_a_shop_opens_without_its_terminal(tmp_path: Path, opened: Opened) -> None:
    with TcpServer(VirtualTerminal(), gap=0) as served:
        pass  # nobody listens there any more
    leave_unknown(tmp_path / "journal.sqlite3", "tcp:{}:{}".format(*served.address), "A2", 900)
    with shop(tmp_path, served) as sample:
        browser = opened(sample)
        browser.pay(700, "A1")
        until(lambda: "Nothing was charged" in browser.shows("A1"))
        # Of this ticket a sale that may have been charged counts for more than one that was not begun.
        browser.pay(900, "A2")
        until(lambda: "ticket A2: nothing was charged" in sample.told())
        until(lambda: "Do not charge it again" in browser.shows("A2"))
        asked = browser.send("/unknown/ask")
        assert (asked.status_code, "could not" in asked.text or "cannot" in asked.text) == (503, True)


def test_other_commands_take_neither_terminal_nor_journal(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", str(EXAMPLES / "django/manage.py"), "check", "--fail-level", "WARNING"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []
