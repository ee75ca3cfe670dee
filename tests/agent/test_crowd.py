"""A crowd before one agent: many pages, a sale on every terminal at once, and what may go wrong in the middle of it.

Whatever happens, a payment is charged once at most, what the agent says of it is what the terminal did, and each key
that was sent has an answer.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from getnet_pos.simulator import Behaviour, Outcome, TcpServer, VirtualTerminal
from getnet_pos.simulator.replies import Identity
from tests.agent.agents import AgentProcess
from tests.evidence import Count, evidence, folder
from tests.sockets import Socket

__all__ = ["evidence", "folder"]

resource = pytest.importorskip("resource", reason="this system cannot limit the files of another process")

_PATIENCE = 90.0


@dataclass
class Sale:
    """One payment, and what its buyer was told in the end."""

    shop: Shop
    number: int
    key: str
    amount: int
    told: str = ""

    @property
    def ticket(self) -> str:
        return self.key

    @property
    def charges(self) -> int:
        """How often the terminal has charged it."""
        return len(self.shop.servers[self.number].terminal.ledger.charges(self.ticket))


@dataclass
class Shop:
    """An agent with many terminals."""

    agent: AgentProcess
    servers: list[TcpServer]
    keys: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def sales(self) -> list[Sale]:
        """One for each terminal."""
        return [Sale(self, number, f"C{next(self.keys)}", 1_000 + number) for number in range(len(self.servers))]

    def buy(self, sale: Sale, leaves: float | None = None) -> None:
        """What a page does: it asks for the payment, and by its key where the answer does not come.

        A page that ``leaves`` after so many seconds asks only later.
        """
        path = f"/v1/terminals/t{sale.number}/sales"
        answer: dict[str, Any] = {}
        with self.agent.client() as client:
            with contextlib.suppress(httpx.TransportError):
                body = {"amount": sale.amount, "ticket": sale.ticket}
                headers = {"Idempotency-Key": sale.key}
                answer = client.post(path, json=body, headers=headers, timeout=leaves or _PATIENCE).json()
            until = time.monotonic() + _PATIENCE
            while not (told := _told(answer)):
                assert time.monotonic() < until, answer
                time.sleep(0.5)
                with contextlib.suppress(httpx.TransportError):
                    answer = client.get("/v1/payments", params={"key": sale.key}).json()
        sale.told = told

    def pages(self, many: int) -> list[Socket]:
        bearer = f"bearer.{self.agent.token}"
        url = f"{self.agent.url}/v1/events"
        return [Socket(url, subprotocols=["getnet-pos", bearer], timeout=30) for _ in range(many)]

    def wait(self) -> None:
        """Until every terminal can be used."""
        until = time.monotonic() + _PATIENCE
        with self.agent.client() as client:
            while any(one["state"] != "up" for one in client.get("/v1/terminals").json()["terminals"]):
                assert time.monotonic() < until
                time.sleep(0.1)


def _told(answer: dict[str, Any]) -> str:
    """What an answer says of the payment; nothing where it says that one has to ask again."""
    return str(answer.get("outcome") or ("nothing" if answer.get("nothing_sent") else ""))


def _terminal(number: int) -> VirtualTerminal:
    identity = Identity(terminal_id=f"{80_005_000 + number}", serial_number=f"SN{number:08d}")
    return VirtualTerminal(identity=identity, seed=number)


@contextlib.contextmanager
def shop_of(folder: Path, many: int) -> Iterator[Shop]:
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(TcpServer(_terminal(n), gap=0)) for n in range(many)]
        config = folder / "shop.toml"
        tables = [f'[terminals.t{n}]\ntcp = "127.0.0.1:{one.address[1]}"\n' for n, one in enumerate(servers)]
        config.write_text("timeout = 4\nrecovery = 3\n" + "".join(tables))
        agent = stack.enter_context(AgentProcess(folder, "--config", str(config)))
        shop = Shop(agent, servers)
        shop.wait()
        yield shop


def judge(sales: list[Sale]) -> Counter[str]:
    """Count what was told, and what is wrong."""
    found = Counter(sale.told for sale in sales)
    for sale in sales:
        charges = sale.charges
        found["charged twice"] += charges > 1
        found["wrong"] += (sale.told == "approved") is not (charges == 1) and sale.told != "unknown"
        found["lost"] += not sale.told
    return found


def said(found: Counter[str]) -> str:
    told = ", ".join(f"{found[name]:,} {name}" for name in ("approved", "declined", "unknown", "nothing"))
    return f"{told}; {found['charged twice']} charged twice, {found['wrong']} wrong, {found['lost']} lost"


def test_many_pages_see_a_sale_on_every_terminal_at_once(
    folder: Path, count: Count, evidence: Callable[[str], None]
) -> None:
    pages, terminals = count(short=(10, 4), evidence=(200, 10), long=(200, 50))
    with shop_of(folder, terminals) as shop, contextlib.ExitStack() as stack, ThreadPoolExecutor(terminals) as pool:
        listening = [stack.enter_context(page) for page in shop.pages(pages)]
        sales = shop.sales()
        began = time.monotonic()
        list(pool.map(shop.buy, sales))
        sold = time.monotonic() - began
        for page in listening:
            outcomes: set[str] = set()
            while len(outcomes) < len(sales):
                event = page.json()
                if event["type"] == "outcome":
                    assert event["outcome"] == "approved"
                    outcomes.add(event["key"])
            assert outcomes == {sale.key for sale in sales}
        shown = time.monotonic() - began
        found = judge(sales)
    evidence(
        f"{pages} pages, a sale on each of {terminals} terminals at once: {said(found)}; sold in {sold:.1f} s, "
        f"and every page was told of each in {shown:.1f} s"
    )
    assert found == {"approved": terminals, "charged twice": 0, "wrong": 0, "lost": 0}


# ------------------------------------------------------------------------------------------------------------- faults


def _kill(shop: Shop, draw: random.Random) -> None:
    time.sleep(draw.uniform(0.2, 1.0 + len(shop.servers) / 12))  # so many take longer
    shop.agent.kill()
    shop.agent.start()


def _pull(shop: Shop, draw: random.Random) -> None:
    time.sleep(draw.uniform(0.0, 0.5))
    pulled = draw.sample(shop.servers, (len(shop.servers) + 1) // 2)
    for server in pulled:
        time.sleep(draw.uniform(0.0, 1.0) / len(pulled))
        server.unplug()
    time.sleep(draw.uniform(0.2, 2.0))
    for server in pulled:
        server.plug()


def _fill(shop: Shop, draw: random.Random) -> None:
    """The disk of the journal is full for a while: nothing that the process writes may grow beyond so many bytes."""
    time.sleep(draw.uniform(0.0, 1.0))
    most = draw.choice([0, shop.agent.journal.stat().st_size])
    before = resource.prlimit(shop.agent.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(shop.agent.pid, resource.RLIMIT_FSIZE, (most, before[1]))
    time.sleep(draw.uniform(0.3, 1.5))
    resource.prlimit(shop.agent.pid, resource.RLIMIT_FSIZE, before)


def _nothing(shop: Shop, draw: random.Random) -> None:
    pass


FAULTS: dict[str, Callable[[Shop, random.Random], None]] = {
    "kill -9 of the agent": _kill, "the cable": _pull, "the disk full": _fill, "pages that leave": _nothing,
}  # fmt: skip


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The short run takes one fault, which no other test of it has."""
    if "fault" in metafunc.fixturenames:
        is_short = not (metafunc.config.getoption("--evidence") or metafunc.config.getoption("--long"))
        metafunc.parametrize("fault", ["the disk full"] if is_short else list(FAULTS))


def _manner(draw: random.Random) -> Behaviour:
    """How a terminal treats the next payment."""
    return draw.choice(
        [
            Behaviour(decide_after=draw.uniform(0.0, 1.0)),
            Behaviour(decide_after=draw.uniform(0.0, 1.0), reply_after=draw.uniform(0.0, 1.0)),
            Behaviour(decide_after=draw.uniform(0.0, 1.0), outcome=Outcome.DECLINE),
            Behaviour(decide_after=draw.uniform(0.0, 0.5), wrong_signature=True),
        ]
    )


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="this system cannot limit the files of another process")
def test_a_fault_in_the_middle_of_all_sales(
    folder: Path, count: Count, evidence: Callable[[str], None], fault: str
) -> None:
    rounds, terminals = count(short=(1, 2), evidence=(3, 8), long=(10, 50))
    draw = random.Random(f"crowd {fault}")
    found: Counter[str] = Counter()
    with shop_of(folder, terminals) as shop, ThreadPoolExecutor(2 * terminals) as pool:
        for _ in range(rounds):
            shop.wait()
            for server in shop.servers:
                server.terminal.script.clear()
                server.terminal.script.append(_manner(draw))
            leaves = fault == "pages that leave"
            pages = shop.pages(terminals)
            sales = shop.sales()
            trouble = pool.submit(FAULTS[fault], shop, random.Random(draw.random()))
            time.sleep(draw.choice([0.0, 0.5]))  # before the sales, or in the middle of them
            bought = [pool.submit(shop.buy, sale, draw.uniform(0.05, 1.0) if leaves else None) for sale in sales]
            for one in (trouble, *bought):
                one.result()
            for page in pages:
                page.close()
            found += judge(sales)
    evidence(f"{rounds} times {terminals} sales at once, and {fault}: {said(found)}")
    assert (found["charged twice"], found["wrong"], found["lost"]) == (0, 0, 0)
