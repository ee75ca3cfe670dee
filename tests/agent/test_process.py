"""The agent as a process of its own: its first lines, how it ends, what it weighs, and what a kill makes of a sale."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from getnet_pos.simulator import Behaviour, SerialServer, TcpServer, VirtualTerminal
from tests.agent.agents import AgentProcess, options_of
from tests.cli.conftest import Ended, called
from tests.evidence import Count, evidence

__all__ = ["called", "evidence"]

SLOW = Behaviour(decide_after=1.0)
SALE = {"amount": 1_000, "ticket": "A1"}


@pytest.fixture
def virtual() -> VirtualTerminal:
    return VirtualTerminal()


@pytest.fixture
def served(virtual: VirtualTerminal) -> Iterator[TcpServer]:
    with TcpServer(virtual, gap=0) as server:
        yield server


class Asking(threading.Thread):
    """Asks for a sale, and waits for what it is told."""

    def __init__(self, agent: AgentProcess, body: dict[str, Any] = SALE) -> None:
        super().__init__()
        self.told: Any = None
        self._agent, self._body = agent, body
        self.start()

    def run(self) -> None:
        with contextlib.suppress(httpx.TransportError), self._agent.client() as client:
            answer = client.post("/v1/terminals/terminal/sales", json=self._body)
            self.told = {"status": answer.status_code, **answer.json()}

    def result(self) -> Any:
        self.join(30)
        return self.told


def until_selling(virtual: VirtualTerminal) -> None:
    while not any(command.code == 100 for command in virtual.commands):
        time.sleep(0.01)


def resident(pid: int) -> int:
    """The memory of a process, in KiB."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


def test_from_the_first_line_to_the_last(tmp_path: Path, served: TcpServer, virtual: VirtualTerminal) -> None:
    """Terminals of a file, what the agent weighs and logs, and a sale that is waited for when it is told to stop."""
    virtual.script.append(SLOW)
    with SerialServer(VirtualTerminal(), gap=0) as serial:
        host, port = served.address
        config = tmp_path / "shop.toml"
        config.write_text(
            f'profile = "ar"\nallow-origins = ["https://shop.example"]\n[terminals.terminal]\ntcp = "{host}:{port}"\n'
            f'[terminals.kiosk]\nusb = "{serial.device}"\nprofile = "cl"\n'
        )
        with AgentProcess(tmp_path, "--config", str(config)) as agent:
            for name in ("terminal", "kiosk"):
                agent.wait_for("up", name)
            assert resident(agent.pid) < 60 * 1024
            with agent.client() as client:
                shown = client.get("/v1/terminals").json()["terminals"]
                assert [(one["name"], one["profile"]) for one in shown] == [("terminal", "ar"), ("kiosk", "cl")]
                of_the_shop = client.get("/v1/intents", headers={"Origin": "https://shop.example"})
                assert of_the_shop.headers["access-control-allow-origin"] == "https://shop.example"
                assert client.get("/v1/intents", headers={"Origin": "https://other.example"}).status_code == 403

                asking = Asking(agent, {**SALE, "ticket": "4111111111111111"})
                until_selling(virtual)
                agent.signal(signal.SIGTERM)
                time.sleep(0.2)
                refused = client.post("/v1/terminals/terminal/sales", json=SALE)
                assert (refused.status_code, refused.json()["type"][-8:]) == (503, "stopping")
                joined = Asking(agent, {**SALE, "ticket": "4111111111111111"})  # the same one: it waits as well
            assert asking.result()["outcome"] == "approved"
            assert joined.result()["outcome"] == "approved"
            token = agent.token
            assert agent.end() == 0
    assert virtual.ledger.charged() == 1_000
    assert agent.token_file.stat().st_mode & 0o777 == 0o600
    first, *lines = agent.log.read_text(encoding="utf-8").splitlines()
    assert token in first  # at the first start, and nowhere else
    assert any(line.endswith("INFO terminal: sale: approved") for line in lines)
    assert not [line for line in lines if token in line or "4111111111111111" in line]


def test_who_asks_by_the_key_gets_the_truth_after_the_end(
    tmp_path: Path, served: TcpServer, virtual: VirtualTerminal, count: Count, evidence: Callable[[str], None]
) -> None:
    """The agent is killed in mid-sale, or told twice to stop. The terminal goes on, and is asked at the next start."""
    rounds = count(short=1, evidence=16, long=160)
    with AgentProcess(tmp_path, *options_of(served)) as agent:
        agent.wait_for("up")
        for number in range(rounds):
            virtual.commands.clear()
            virtual.script.append(Behaviour(decide_after=0.1 * (number % 4) + 0.3))
            body = {"amount": 1_000 + number, "ticket": f"K{number}"}
            asking = Asking(agent, body)
            until_selling(virtual)
            time.sleep(0.03 * (number % 3))
            if number % 4 == 3:
                agent.signal(signal.SIGINT)
                time.sleep(0.1)
                agent.signal(signal.SIGTERM)
                assert asking.result()["outcome"] == "unknown"
                assert agent.end() == 5
            else:
                agent.kill()
                assert asking.result() is None
            agent.start()
            with agent.client() as client:
                told = client.post("/v1/terminals/terminal/sales", json=body).json()
                looked = client.get("/v1/payments", params={"key": f"terminal/sale/{body['ticket']}"}).json()
            assert (told["outcome"], told["recovered"]) == ("approved", True)
            assert looked == told
        assert virtual.ledger.charged() == sum(1_000 + number for number in range(rounds))
    evidence(f"{rounds} ends of the agent in mid-sale: each caller got the truth by its key, 0 charged twice")


def test_what_cannot_work_is_said_and_nothing_is_served(
    tmp_path: Path, served: TcpServer, called: Callable[..., Ended]
) -> None:
    host, port = served.address
    config = tmp_path / "shop.toml"
    config.write_text(f'tcp = "{host}:{port}"\n[terminals.counter]\ntcp = "{host}:{port}"\n')
    for options, code, said in (
        (("--host", "192.0.2.1"), 2, "certificate"),
        (("--host", "0.0.0.0"), 2, "is not an address that others can use"),
        (("--certificate", "a.pem"), 2, "--key"),
        (("--certificate", "a.pem", "--key", "b.pem"), 2, "cannot be used"),
        (("--allow-origin", "*"), 2, "not an origin"),
        (("--port", str(port), "--host", host), 3, "is already in use: stop the other program"),
        (("--journal", str(tmp_path)), 6, "is not a regular file"),
    ):
        ended = called("serve", "--tcp", f"{host}:{port}", "--token-file", str(tmp_path / "token"), *options)
        assert (ended.code, ended.out) == (code, ""), ended.err
        assert said in ended.err
    ended = called("serve", "--config", str(config))
    assert (ended.code, "outside of the table terminals" in ended.err) == (2, True)
