"""``examples/fastapi``: what happens to a shop, over HTTP, with uvicorn."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from getnet_pos.simulator import Behaviour, Outcome, TcpServer, VirtualTerminal
from tests.databases import free_port
from tests.examples.samples import Sample, leave_unknown, until

pytestmark = pytest.mark.evidence

ORDER = {"ticket": "A1", "amount": 25_000}


@contextlib.contextmanager
def shop(folder: Path, served: TcpServer) -> Iterator[Sample]:
    port = free_port()
    place = "{}:{}".format(*served.address)
    environment = {"SHOP_TERMINAL": place, "SHOP_PORT": str(port)}
    with Sample(folder, "fastapi/shop.py", url=f"http://127.0.0.1:{port}", **environment) as sample:
        yield sample


def events(client: httpx.Client, ticket: str) -> list[str]:
    answer = client.get(f"/sales/{ticket}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    return [line.removeprefix("event: ") for line in answer.text.splitlines() if line.startswith("event: ")]


def test_a_double_click_is_one_sale_and_a_page_that_is_loaded_again_sees_all_of_it(tmp_path: Path) -> None:
    terminal = VirtualTerminal(default=Behaviour(progress_every=0.3))
    with TcpServer(terminal, gap=0) as served, shop(tmp_path, served) as sample, sample.client() as client:
        with ThreadPoolExecutor(4) as browser:
            clicks = [browser.submit(client.post, "/sales", json=ORDER) for _ in range(2)]
            until(lambda: client.get("/sales/A1").status_code == 200)
            other = client.post("/sales", json={**ORDER, "amount": 1})
            assert (other.status_code, other.json()["outcome"]) == (422, "not done")
            pages = [browser.submit(events, client, "A1") for _ in range(2)]
            answers = [click.result().json() for click in clicks]
            assert [page.result() for page in pages] == [["progress"] * 3 + ["end"]] * 2
        assert answers[0] == answers[1]
        assert answers[0]["outcome"] == "approved"
        # Once more when it is over, from the journal.
        again = client.post("/sales", json=ORDER).json()
        assert again["authorization_code"] == answers[0]["authorization_code"]
        assert client.get("/sales/A1").json()["state"] == "APPROVED"
        assert client.get("/sales/A1/events").status_code == 404
    assert terminal.ledger.charged() == 25_000


def test_a_browser_that_goes_away_takes_nothing_with_it_and_a_cancellation_is_a_request(tmp_path: Path) -> None:
    waits = Behaviour(progress_every=0.2, decide_after=float("inf"))
    terminal = VirtualTerminal(script=[Behaviour(progress_every=0.3), waits, Behaviour(outcome=Outcome.DECLINE)])
    with TcpServer(terminal, gap=0) as served, shop(tmp_path, served) as sample, sample.client() as client:
        with pytest.raises(httpx.ReadTimeout):
            client.post("/sales", json=ORDER, timeout=0.4)
        until(lambda: client.get("/sales/A1").json().get("state") == "APPROVED")

        with ThreadPoolExecutor() as browser:
            second = browser.submit(client.post, "/sales", json={"ticket": "A2", "amount": 700})
            until(lambda: [command.code for command in terminal.commands].count(100) == 2)
            # This one waits for the terminal, and is given up before it has it.
            third = browser.submit(client.post, "/sales", json={"ticket": "A0", "amount": 800})
            until(lambda: client.post("/sales/A0/cancel").status_code == 202)
            assert client.post("/sales/A2/cancel").status_code == 202
            assert second.result().json()["outcome"] == "declined"
            assert third.result().json()["outcome"] == "not done"
        assert client.post("/sales", json={"ticket": "A3", "amount": 900}).json()["outcome"] == "declined"
        assert client.post("/sales/A3/cancel").status_code == 404
        assert client.post("/sales", json={"ticket": "A4", "amount": 9.5}).status_code == 422
    assert terminal.ledger.charged() == 25_000


def test_a_server_that_is_killed_in_mid_sale_finds_out_at_its_start(tmp_path: Path) -> None:
    terminal = VirtualTerminal(script=[Behaviour(progress_every=0.1, decide_after=1)])
    with TcpServer(terminal, gap=0) as served, shop(tmp_path, served) as sample, sample.client() as client:
        with ThreadPoolExecutor() as browser:
            lost = browser.submit(client.post, "/sales", json=ORDER)
            until(lambda: any(command.code == 100 for command in terminal.commands))
            sample.kill()
            assert isinstance(lost.exception(), httpx.TransportError)
        until(lambda: terminal.ledger.charged() == 25_000)
        sample.start()
        until(lambda: "ticket A1 was left open and is APPROVED" in sample.told())
        assert client.get("/sales/A1").json()["state"] == "APPROVED"
        assert client.post("/sales", json=ORDER).json()["outcome"] == "approved"
    assert terminal.ledger.charged() == 25_000


def test_an_unknown_outcome_is_an_answer_until_a_person_has_decided(tmp_path: Path) -> None:
    terminal = VirtualTerminal()
    with TcpServer(terminal, gap=0) as served:
        place = "tcp:{}:{}".format(*served.address)
        intent_id = leave_unknown(tmp_path / "journal.sqlite3", place, "A1", 25_000)
        with shop(tmp_path, served) as sample, sample.client() as client:
            answer = client.post("/sales", json=ORDER).json()
            assert (answer["outcome"], answer["intent_id"]) == ("unknown", intent_id)
            assert [one["ticket"] for one in client.get("/unknown").json()] == ["A1"]
            decided = {"paid": False, "by": "Ana", "note": "no voucher of it on the terminal"}
            assert client.post(f"/unknown/{intent_id}", json={**decided, "note": ""}).status_code == 422
            assert client.post(f"/unknown/{intent_id}", json=decided).json()["state"] == "RESOLVED_NOT_PAID"
            assert client.get("/unknown").json() == []
            assert client.post("/sales", json=ORDER).json()["outcome"] == "approved"
    assert terminal.ledger.charged() == 25_000


@pytest.mark.skipif(os.name != "posix", reason="this system has no signal that asks a process to end")
def test_a_server_that_is_stopped_lets_the_sale_end(tmp_path: Path) -> None:
    terminal = VirtualTerminal(default=Behaviour(progress_every=0.3))
    with (
        TcpServer(terminal, gap=0) as served,
        shop(tmp_path, served) as sample,
        sample.client() as client,
        ThreadPoolExecutor() as browser,
    ):
        sold = browser.submit(client.post, "/sales", json=ORDER)
        until(lambda: client.get("/sales/A1").status_code == 200)
        sample.stop()
        assert sold.result().json()["outcome"] == "approved"


def test_a_shop_opens_without_its_terminal(tmp_path: Path) -> None:
    with TcpServer(VirtualTerminal(), gap=0) as served:
        pass  # nobody listens there any more
    leave_unknown(tmp_path / "journal.sqlite3", "tcp:{}:{}".format(*served.address), "A2", 900)
    with shop(tmp_path, served) as sample, sample.client() as client:
        answer = client.post("/sales", json=ORDER)
        assert (answer.status_code, answer.json()["outcome"]) == (503, "not done")
        assert "the terminal is not ready" in sample.told()
        # This one may have been charged before: that nothing was charged now is not the answer.
        assert client.post("/sales", json={"ticket": "A2", "amount": 900}).json()["outcome"] == "unknown"
