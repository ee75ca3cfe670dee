"""The screen's server: who may use it, what it serves, and that a sale waits for whoever has the page."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

import getnet_pos.simulator.screen.server as screen_server
from getnet_pos import Connector, InvalidValue, Profile, Timeouts
from getnet_pos.simulator import ScreenServer, TcpServer, VirtualTerminal
from getnet_pos.simulator.cloud import VirtualCloud
from tests.screen.pages import Page
from tests.sockets import Refused

QUICK = Timeouts(recovery=3.0, recovery_interval=0.1)


@pytest.fixture
def server() -> Iterator[TcpServer]:
    with TcpServer(VirtualTerminal()) as server:
        yield server


@pytest.fixture
def screen(server: TcpServer) -> Iterator[ScreenServer]:
    with ScreenServer(server) as screen:
        yield screen


def port_of(screen: ScreenServer) -> str:
    return screen.url.rstrip("/").rpartition(":")[2]


def test_a_page_and_nothing_from_elsewhere(screen: ScreenServer) -> None:
    with httpx.Client(base_url=screen.url, trust_env=False) as client:
        page = client.get("/")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        named = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert named == ["page.css", "page.js"]
        texts = [client.get(name) for name in named]
        assert [text.status_code for text in texts] == [200, 200]
        assert not re.search(
            r"https?://|@import|url\(|style=|onclick", page.text + "".join(text.text for text in texts)
        )
        assert client.get("/other").status_code == 404
        assert client.post("/").status_code == 405


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:{}"}, 200),
        ({"Host": "[::1]:{}"}, 200),
        ({"Origin": "http://127.0.0.1:{}"}, 200),
        ({"Host": "rebound.example:{}"}, 403),
        ({"Host": "127.0.0.1.rebound.example"}, 403),
        ({"Host": ""}, 403),
        ({"Host": "[::1"}, 403),
        ({"Origin": "http://shop.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://127.0.0.1:{}"}, 403),
    ],
)
def test_only_a_page_of_its_own_address_is_let_in(screen: ScreenServer, headers: dict[str, str], status: int) -> None:
    given = {name: value.format(port_of(screen)) for name, value in headers.items()}
    assert httpx.get(screen.url, headers=given, trust_env=False).status_code == status
    if status == 200:
        with Page(screen.url, **given) as page:
            assert page.views[0]["stage"] == "idle"
    elif given.get("Host") != "":
        with pytest.raises(Refused, match="403"):
            Page(screen.url, **given)


@pytest.mark.parametrize(
    "text",
    [
        "no json", "[]", "{}", '{"do": "tap"}', '{"do": "tap", "terminal": 7, "turn": 0}', '{"do": 7, "terminal": 0}',
        '{"do": "approve", "terminal": 0, "turn": 0, "trouble": "unheard-of"}',
        '{"do": "decline", "terminal": 0, "turn": 0, "code": "51"}',
    ],
)  # fmt: skip
def test_a_page_that_asks_for_what_there_is_not_is_closed(screen: ScreenServer, text: str) -> None:
    with Page(screen.url) as page:
        page.send(text)
        assert page.closed() == 1008
    with Page(screen.url) as page:
        assert page.views[0]["stage"] == "idle"


def test_a_register_is_answered_when_the_person_has_paid(server: TcpServer, screen: ScreenServer) -> None:
    with ThreadPoolExecutor() as pool, Connector.create_tcp(*server.address, timeouts=QUICK) as pos:
        pos.polling()
        with Page(screen.url) as page, Page(screen.url) as other:
            sale = pool.submit(pos.sale, 700, ticket="A1")
            page.wait("card")
            other.wait("card")
            other.do("insert")
            page.wait("pin")
            page.do("pin")
            page.do("pin")
            assert sale.result(5).approved
            assert page.wait("approved")["voucher"] == other.wait("approved")["voucher"]
            other.do("tear")
            page.wait("idle")
            assert page.details["ledger"][0]["ticket"] == "A1"
        while screen._attends():
            time.sleep(0.005)
        assert pos.sale(300, ticket="A2").approved  # nobody is there, and nobody is waited for
    assert len(server.terminal.ledger.charges()) == 2


def test_who_closes_the_page_in_mid_sale_has_walked_away(
    server: TcpServer, screen: ScreenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(screen_server, "_GRACE", 0.1)
    with ThreadPoolExecutor() as pool, Connector.create_tcp(*server.address, timeouts=QUICK) as pos:
        pos.polling()
        with Page(screen.url) as page:
            sale = pool.submit(pos.sale, 700, ticket="A1")
            page.wait("card")
        assert sale.result(5).response_code == 1006


def test_a_screen_that_closes_leaves_nobody_waiting(server: TcpServer) -> None:
    with ThreadPoolExecutor() as pool, Connector.create_tcp(*server.address, timeouts=QUICK) as pos:
        pos.polling()
        with ScreenServer(server) as screen, Page(screen.url) as page:
            sale = pool.submit(pos.sale, 700, ticket="A1")
            page.wait("card")
        assert sale.result(5).response_code == 1006
        assert pos.sale(300, ticket="A2").approved


def test_a_restart_is_shown_and_over(screen: ScreenServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getnet_pos.simulator.screen.seat._RESTART", 0.2)
    with Page(screen.url) as page:
        page.do("restart")
        for link in ("restarting", "plugged"):
            while page.views[0]["link"] != link:
                page.hear()


def test_a_wall_of_a_cloud_of_which_each_page_watches_one() -> None:
    with VirtualCloud(profile=Profile.ARGENTINA, terminals=3) as cloud, ScreenServer(cloud) as screen:
        two = list(cloud.terminals)[2]
        create = Connector.create_cloud(
            cloud.url, key_pos=two, client_id="id", client_secret="s", profile=cloud.profile, timeouts=QUICK
        )
        with ThreadPoolExecutor() as pool, create as pos, Page(screen.url) as page:
            assert page.head == {"language": "es", "exponent": 2, "terminals": 3}
            assert [view["name"] for view in page.views.values()] == [key.id_terminal for key in cloud.terminals]
            page.do("watch", 2)
            page.do("pull", 1)
            pos.polling()
            sale = pool.submit(pos.sale, 125_050, ticket="A1")
            page.wait("card", 2)
            page.do("tap", 2)
            assert sale.result(5).approved
            page.wait("approved", 2)
            while page.details["number"] != 2 or not page.details["ledger"]:
                page.hear()
            assert (page.views[1]["link"], page.views[0]["stage"]) == ("unplugged", "idle")


def test_a_wall_has_an_end() -> None:
    with pytest.raises(InvalidValue, match="at most 500 terminals"):
        ScreenServer(VirtualCloud(terminals=501))


def test_a_page_that_does_not_read_holds_up_nobody(server: TcpServer, screen: ScreenServer) -> None:
    seat = screen.seats[0]
    with Page(screen.url) as page, Page(screen.url):
        for _ in range(300):
            server.act(server.terminal.connect).result(5)
        seat.do("pull")
        while page.views[0]["link"] != "unplugged":
            page.hear()
        assert time.time() * 1000 - page.views[0]["since"] < 1000


def test_the_page_is_in_the_package() -> None:
    folder = Path(screen_server.__file__).parent
    assert {path.name for path in folder.glob("page.*")} == {"page.html", "page.css", "page.js"}


def test_every_word_of_the_page_is_in_every_language() -> None:
    folder = Path(screen_server.__file__).parent
    script, html = ((folder / name).read_text(encoding="utf-8") for name in ("page.js", "page.html"))
    languages = re.findall(r"^  (\w\w): \{\n(.*?)^  \},", script, re.MULTILINE | re.DOTALL)
    assert [name for name, _ in languages] == ["es", "pt", "en"]
    words = [set(re.findall(r'(?:^\s*|[{,]\s*)"?([\w-]+)"?: "', text, re.MULTILINE)) for _, text in languages]
    assert words[0] == words[1] == words[2]
    used = set(re.findall(r'data-(?:text|label)="([^"]+)"', html)) | set(re.findall(r'word\("([^"]+)"\)', script))
    assert used <= words[0]
