"""The page in a real browser: a person pays, declines, leaves and breaks things; the register has its own outcome."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from getnet_pos import Connector, OutcomeUnknown, Profile
from getnet_pos.simulator import ScreenServer, SerialServer
from getnet_pos.simulator.cloud import VirtualCloud
from tests.screen.contrast import FAINT

pytestmark = pytest.mark.skipif(os.name != "posix", reason="this system has no pseudo-terminals")

Open = Callable[[str], Any]
Sell = Callable[..., Future[Any]]


@pytest.fixture
def sell(pos: Connector) -> Iterator[Sell]:
    """Sells on the register, which waits in a thread of its own."""
    with ThreadPoolExecutor() as pool:
        yield lambda amount=25_000, ticket="A1", **more: pool.submit(pos.sale, amount, ticket=ticket, **more)


@pytest.fixture
def page(open_page: Open, screen: ScreenServer) -> Any:
    return open_page(screen.url)


def test_a_sale_is_approved_by_taps(page: Any, sell: Sell, server: SerialServer) -> None:
    assert page.text("#headline") == "Listo"
    heard: list[int] = []
    sale = sell(on_progress=lambda progress: heard.append(int(progress.code)))
    page.wait("card")
    assert (page.text("#headline"), page.text("#amount")) == ("Acerque, inserte o deslice", "25.000")
    page.tap("insert")
    page.wait("pin")
    page.tap("1", "2", "9", "Backspace", "3", "4")
    assert page.text("#dots") == "••••"
    page.tap("Enter")
    assert sale.result(10).approved
    page.wait("approved")
    assert heard == [78, 81, 82]
    entry = server.terminal.ledger.charges("A1")[0]
    page.wait_for(lambda: entry.authorization_code in page.text("#paper"))  # once it has scrolled out
    assert page.text("#ledger td:nth-child(5)") == entry.authorization_code
    trace = page.text("#trace")
    assert "SaleReply 100, response 0" in trace
    assert "TicketNumber" in trace
    assert entry.authorization_code not in trace
    page.wait_for(page.is_still)
    page.tap("tear")
    page.wait("idle")


def test_a_card_that_is_tapped_pays_without_a_pin(page: Any, sell: Sell) -> None:
    sale = sell()
    page.wait("card")
    page.tap("tap")
    assert sale.result(10).approved


@pytest.mark.parametrize(
    ("name", "code"), [("decline", 2001), ("cancel", 1006), ("Escape", 1006), ("leave", 1006)]
)  # fmt: skip
def test_a_sale_is_not_paid(page: Any, sell: Sell, server: SerialServer, name: str, code: int) -> None:
    sale = sell()
    page.wait("card")
    page.tap(name)
    reply = sale.result(10)
    assert (reply.approved, reply.response_code) == (False, code)
    page.wait("refused")
    assert str(code) in page.text("#hint")
    assert server.terminal.ledger.entries == ()


def test_a_sale_is_declined_with_a_chosen_code(page: Any, sell: Sell) -> None:
    sale = sell()
    page.wait("card")
    page.run("document.getElementById('code').value = 51")
    page.tap("decline")
    assert sale.result(10).response_code == 51


def test_the_cable_is_pulled_in_mid_sale_and_the_register_finds_the_charge(
    page: Any, sell: Sell, server: SerialServer
) -> None:
    sale = sell()
    page.wait("card")
    page.tap("cable")
    page.wait_for(lambda: page.device("link") == "unplugged")
    assert page.text("#link") == "Cable desconectado"
    page.tap("tap")
    page.wait("approved")
    page.tap("cable")
    reply = sale.result(15)
    assert (reply.approved, reply.ticket) == (True, "A1")
    assert server.terminal.ledger.charged("A1") == 25_000


def test_the_cable_stays_pulled_and_the_outcome_is_unknown(page: Any, sell: Sell, server: SerialServer) -> None:
    sale = sell()
    page.wait("card")
    page.tap("cable")
    page.wait_for(lambda: page.device("link") == "unplugged")
    page.tap("tap")
    assert isinstance(sale.exception(60), OutcomeUnknown)
    assert server.terminal.ledger.charged("A1") == 25_000
    page.tap("cable")


@pytest.mark.parametrize("trouble", ["lost", "damaged", "restart-after", "1003", "1004", "1005"])
def test_a_reply_that_goes_wrong_after_the_charge_is_a_payment_all_the_same(
    page: Any, sell: Sell, server: SerialServer, trouble: str
) -> None:
    sale = sell()
    page.wait("card")
    page.choose(trouble)
    page.tap("tap")
    assert page.find('input[value="none"]').is_selected()
    reply = sale.result(60)
    assert (reply.approved, reply.ticket) == (True, "A1")
    assert server.terminal.ledger.charged("A1") == 25_000
    page.wait_for(lambda: page.find("#paper").is_displayed() == (trouble in ("lost", "damaged")))


def test_a_restart_before_the_charge_is_no_payment(page: Any, sell: Sell, server: SerialServer) -> None:
    sale = sell()
    page.wait("card")
    page.choose("restart-before")
    page.tap("approve")
    page.wait_for(lambda: page.device("link") == "restarting")
    page.wait_for(lambda: page.device("link") == "plugged")
    error = sale.exception(60)
    assert isinstance(error, OutcomeUnknown) or (error is None and not sale.result().approved)
    assert server.terminal.ledger.entries == ()


def test_two_pages_on_one_terminal_show_the_same_and_pay_once(
    open_page: Open, screen: ScreenServer, sell: Sell, server: SerialServer
) -> None:
    one, two = open_page(screen.url), open_page(screen.url)
    sale = sell()
    one.wait("card")
    two.wait("card")
    one.tap("insert")
    two.wait("pin")
    two.tap("1", "2", "3", "4", "Enter")
    assert sale.result(10).approved
    one.wait("approved")
    two.wait("approved")
    one.wait_for(lambda: "A1" in one.text("#paper") and one.text("#paper") == two.text("#paper"))
    assert len(server.terminal.ledger.charges()) == 1


def test_a_page_is_reloaded_in_mid_sale(page: Any, sell: Sell) -> None:
    sale = sell()
    page.wait("card")
    page.tap("insert")
    page.wait("pin")
    page.reload()
    page.wait("pin")
    assert page.text("#amount") == "25.000"
    page.tap("1", "2", "3", "4", "Enter")
    assert sale.result(10).approved


def test_a_void_is_confirmed_with_the_green_key(page: Any, sell: Sell, pos: Connector, server: SerialServer) -> None:
    sale = sell()
    page.wait("card")
    page.tap("tap")
    operation = sale.result(10).operation_id
    with ThreadPoolExecutor() as pool:
        void = pool.submit(pos.void, operation)
        page.wait("confirm")
        page.tap("Enter")
        assert void.result(10).approved
    assert server.terminal.ledger.balance() == 0


def test_the_keyboard_is_enough(page: Any, sell: Sell) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    sale = sell()
    page.wait("card")
    body = page.find("body")
    for _ in range(20):
        ActionChains(page.driver).send_keys(Keys.TAB).perform()
        if page.run("return document.activeElement.dataset.do") == "insert":
            break
    page.driver.switch_to.active_element.send_keys(Keys.ENTER)
    page.wait("pin")
    # The button that had the focus is disabled now: the focus has not been lost.
    assert page.run("return document.activeElement.id") == "display"
    body.send_keys("1234" + Keys.ENTER)
    assert sale.result(10).approved


def test_it_speaks_three_languages_and_remembers(page: Any) -> None:
    for name, title in (("en", "Ready"), ("pt", "Pronto"), ("es", "Listo"), ("pt", "Pronto")):
        page.find(f'#language option[value="{name}"]').click()
        assert page.text("#headline") == title
        assert page.find("html").get_attribute("lang") == name
    page.reload()
    assert page.text("#headline") == "Pronto"
    page.run("localStorage.clear()")


def test_a_screen_reader_has_names_roles_and_contrast(page: Any, sell: Sell) -> None:
    sale = sell()
    page.wait("card")
    unnamed = page.run("""
        return [...document.querySelectorAll('button, select, input, [role=group], [role=region], nav')].filter(
          (one) => one.offsetParent && !(one.getAttribute('aria-label') || one.getAttribute('aria-labelledby') ||
            one.innerText || (one.labels && one.labels.length))).map((one) => one.outerHTML)""")
    assert unnamed == []
    said = page.find("#said")
    assert (said.aria_role, said.get_attribute("aria-live"), said.accessible_name) == ("status", "polite", "")
    assert "25.000" in said.text
    faint = page.run(FAINT)
    assert faint == []
    small = page.run("""
        return [...document.querySelectorAll('button')].filter((one) => one.offsetParent && one.offsetHeight < 38)
          .map((one) => one.outerHTML)""")
    assert small == []
    page.tap("cancel")
    sale.result(10)


@pytest.fixture
def begin() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts ``getnet-pos`` with arguments."""
    processes: list[subprocess.Popen[str]] = []

    def start(*args: str, **environment: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "getnet_pos.cli", *args]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        processes.append(subprocess.Popen(command, **pipes, text=True, env={**os.environ, **environment}))
        return processes[-1]

    yield start
    for process in processes:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=10)
        assert process.returncode == 0


@pytest.mark.parametrize("kind", ["serial", "tcp", "http", "cloud"])
def test_a_person_pays_a_sale_of_the_command_line(
    open_page: Open,
    begin: Callable[..., subprocess.Popen[str]],
    kind: str,
    alone: bool,
    evidence: Callable[[str], None],
) -> None:
    began = time.monotonic()
    lines = begin("simulate", kind, "--screen").stdout
    assert lines
    where = re.fullmatch(r"listening on (.+)\n", lines.readline())
    page_at = re.fullmatch(r"screen on (http://127\.0\.0\.1:\d+/)\n", lines.readline())
    seconds = time.monotonic() - began
    assert where
    assert page_at
    assert seconds < 2.0 or not alone
    evidence(f"simulate {kind} --screen is up in {seconds:.2f} s")
    page = open_page(page_at[1])
    options = {"serial": "--port", "tcp": "--tcp", "http": "--http", "cloud": "--cloud"}
    more = ["--key-pos", "80005000/12983/SNPRUEBA1234", "--profile", "cl"] if kind == "cloud" else []
    secrets = {"GETNET_POS_CLIENT_ID": "id", "GETNET_POS_CLIENT_SECRET": "secret"} if kind == "cloud" else {}
    sale = begin("sale", "1000", options[kind], where[1], *more, **secrets)
    page.wait("card")
    page.tap("tap")
    out, error = sale.communicate(timeout=20)
    assert sale.returncode == 0, error
    page.wait("approved")
    assert page.text("#ledger td:nth-child(5)") in out


def test_the_demo_begins_with_a_sale_that_a_person_pays(
    open_page: Open, begin: Callable[..., subprocess.Popen[str]]
) -> None:
    demo = begin("demo", "--screen")
    assert demo.stdout
    assert demo.stdout.readline().startswith("codec: ")
    page = open_page(demo.stdout.readline().strip().removeprefix("screen on "))
    page.wait("card")
    page.tap("tap")
    page.wait("approved")
    out, _ = demo.communicate(timeout=60)
    assert "steps succeeded" in out


# ------------------------------------------------------------------------------------------------------------- the wall

_TERMINALS, _SALES, _LIMIT = 100, 20, 200
_MEASURE = """
    window.late = {};
    const wall = document.querySelector('#wall ul');
    new MutationObserver((changes) => {
      for (const change of changes) {
        const tile = change.target;
        const key = `${tile.dataset.number} ${tile.dataset.stage}`;
        window.late[key] = Math.max(window.late[key] ?? 0, Date.now() - tile.dataset.since);
      }
    }).observe(wall, { attributes: true, subtree: true, attributeFilter: ['data-since'] });
"""
"""Has each change of a tile leave behind how long ago the terminal had changed, in milliseconds."""


def test_a_terminal_of_the_wall_is_tapped_to_the_front_and_pays(open_page: Open) -> None:
    cloud = VirtualCloud(profile=Profile.ARGENTINA, terminals=4)
    place = list(cloud.terminals)[2]
    with (
        ThreadPoolExecutor() as pool,
        cloud,
        Connector.create_cloud(
            cloud.url, key_pos=place, client_id="id", client_secret="s", profile=cloud.profile
        ) as pos,
        ScreenServer(cloud) as screen,
    ):
        page = open_page(screen.url)
        tile = '#wall [data-number="2"]'
        pos.polling()
        sale = pool.submit(pos.sale, 125_050, ticket="A1")
        page.wait_for(lambda: page.find(tile).get_attribute("data-stage") == "card")
        assert "1.250,50" in page.text(tile)
        page.find(tile).click()
        page.wait("card")
        assert page.text("#name").endswith(place.id_terminal)
        page.reload()
        page.find(tile).click()
        page.wait("card")
        page.tap("tap")
        assert sale.result(10).approved
        page.wait("approved")
        page.wait_for(lambda: "1.250,50" in page.text("#ledger"))
    assert cloud.terminals[place].ledger.charged() == 125_050


def test_a_wall_of_100_terminals_does_not_fall_behind_20_sales_at_once(
    open_page: Open, alone: bool, evidence: Callable[[str], None]
) -> None:
    with VirtualCloud(profile=Profile.CHILE, terminals=_TERMINALS) as cloud, ScreenServer(cloud) as screen:
        pages = [open_page(screen.url) for _ in range(2)]
        for page in pages:
            assert len(page.run("return [...document.querySelectorAll('#wall button')]")) == _TERMINALS
            page.run(_MEASURE)
        places = list(cloud.terminals)[:: _TERMINALS // _SALES]
        connectors = [
            Connector.create_cloud(cloud.url, key_pos=place, client_id="id", client_secret="s", profile=cloud.profile)
            for place in places
        ]
        with ThreadPoolExecutor(_SALES) as pool:
            list(pool.map(lambda pos: pos.polling(), connectors))
            sales = [pool.submit(pos.sale, 1_000 + n, ticket=f"W{n}") for n, pos in enumerate(connectors)]
            pages[0].wait_for(lambda: sum(seat.view()["stage"] == "card" for seat in screen.seats) == _SALES)
            for seat in screen.seats:
                seat.do("tap", turn=seat.view()["turn"])
            assert all(sale.result(30).approved for sale in sales)
        for pos in connectors:
            pos.close()
        time.sleep(0.5)
        late = [page.run("return window.late") for page in pages]
    for number, found in enumerate(late):
        assert {stage for _, stage in (key.split() for key in found)} >= {"card", "working", "approved"}
        assert len({key.split()[0] for key in found if key.endswith("approved")}) == _SALES
        evidence(
            f"page {number + 1} of a wall: {len(found)} states of {_SALES} sales, the latest {max(found.values())} ms"
        )
    assert max(max(found.values()) for found in late) <= _LIMIT or not alone
    charged = sum(terminal.ledger.charged() for terminal in cloud.terminals.values())
    assert charged == sum(1_000 + n for n in range(_SALES))
