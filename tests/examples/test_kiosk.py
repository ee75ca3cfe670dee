"""``examples/kiosk``: the service as systemd runs it, its unit and its udev rules."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from getnet_pos.simulator import Behaviour, SerialServer, VirtualTerminal
from tests.examples.samples import EXAMPLES, Sample, leave_unknown, until

KIOSK = EXAMPLES / "kiosk"
UNIT, RULES = KIOSK / "kiosk.service", KIOSK / "70-getnet.rules"

needs_pty = pytest.mark.skipif(os.name != "posix", reason="this system has no pseudo-terminals")


class Machine:
    """A kiosk: its folder, its service and whoever hears what the service tells systemd."""

    def __init__(self, folder: Path, device: str) -> None:
        self.folder = folder
        # The path of a socket is short: the folders of tests are too deep for it on macOS.
        self._short = TemporaryDirectory(dir="/tmp")
        place = f"{self._short.name}/notify"
        self._systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._systemd.bind(place)
        self._systemd.setblocking(False)
        self.told: list[str] = []
        self.service = Sample(
            folder, "kiosk/kiosk.py", KIOSK_TERMINAL=device, STATE_DIRECTORY=str(folder), WATCHDOG_USEC="300000",
            NOTIFY_SOCKET=place,
        )  # fmt: skip

    def hears(self, line: str) -> bool:
        try:
            while True:
                self.told.append(self._systemd.recv(4096).decode())
        except BlockingIOError:
            return line in self.told

    def order(self, name: str, content: str) -> None:
        until(lambda: self.hears("READY=1"))
        (self.folder / "orders" / name).write_text(content, encoding="utf-8")

    def result(self, name: str) -> dict[str, Any]:
        path = self.folder / "results" / f"{name}.json"
        until(path.exists)
        until(lambda: not (self.folder / "orders" / name).exists())
        found: dict[str, Any] = json.loads(path.read_bytes())
        return found

    def close(self) -> None:
        self._systemd.close()
        self._short.cleanup()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Callable[[SerialServer], Machine]]:
    made: list[Machine] = []

    def at(served: SerialServer) -> Machine:
        made.append(Machine(tmp_path, served.device))
        return made[-1]

    yield at
    for one in made:
        one.close()


At = Callable[[SerialServer], Machine]


@needs_pty
def test_a_kiosk_that_loses_its_power_in_mid_sale(machine: At) -> None:
    terminal = VirtualTerminal(script=[Behaviour(decide_after=0.7)])
    with SerialServer(terminal, gap=0) as served:
        kiosk = machine(served)
        with kiosk.service:
            kiosk.order("K1", "1500\n")
            until(lambda: any(command.code == 100 for command in terminal.commands))
            kiosk.order("K2", "700\n")
            kiosk.service.kill()
            until(lambda: terminal.ledger.charged() == 1_500)
            kiosk.service.start()
            assert kiosk.result("K1")["outcome"] == "approved"
            # Nothing was begun of this one, and its customer may have gone.
            assert kiosk.result("K2") == {"outcome": "not done", "message": "the kiosk was restarted"}
            assert "order K1 was left open and is APPROVED" in kiosk.service.told()
            until(lambda: kiosk.hears("WATCHDOG=1"))
            assert kiosk.service.stop() == 0
        assert kiosk.hears("STOPPING=1")
    assert terminal.ledger.balances() == {"K1": 1_500}


@needs_pty
@pytest.mark.evidence
def test_a_terminal_that_is_away_when_the_power_is_back(machine: At) -> None:
    terminal = VirtualTerminal(script=[Behaviour(decide_after=0.3)])
    with SerialServer(terminal, gap=0) as served:
        kiosk = machine(served)
        with kiosk.service:
            kiosk.order("K1", "1500\n")
            until(lambda: any(command.code == 100 for command in terminal.commands))
            kiosk.service.kill()
            until(lambda: terminal.ledger.charged() == 1_500)
            served.unplug()
            kiosk.service.start()
            kiosk.order("K2", "700\n")
            assert kiosk.result("K2")["outcome"] == "not done"
            assert (kiosk.folder / "orders" / "K1").exists(), "nobody could say yet"
            served.plug()
            assert kiosk.result("K1")["outcome"] == "approved"
    assert terminal.ledger.balances() == {"K1": 1_500}


@needs_pty
@pytest.mark.evidence
def test_customers_give_up_and_cables_are_pulled(machine: At) -> None:
    waits = Behaviour(decide_after=float("inf"))
    terminal = VirtualTerminal(script=[waits, Behaviour(), waits])
    with SerialServer(terminal, gap=0) as served:
        kiosk = machine(served)
        with kiosk.service:
            kiosk.order("K1", "1500\n")
            until(lambda: any(command.code == 100 for command in terminal.commands))
            kiosk.order("K1.cancel", "")
            assert kiosk.result("K1")["outcome"] == "declined"
            assert not (kiosk.folder / "orders" / "K1.cancel").exists()
            assert json.loads((kiosk.folder / "terminal.json").read_bytes())["ready"] is True

            served.unplug()
            kiosk.order("K2", "700\n")
            assert kiosk.result("K2")["outcome"] == "not done"
            assert json.loads((kiosk.folder / "terminal.json").read_bytes())["ready"] is False
            served.plug()
            kiosk.order("K3", "700")
            kiosk.order("K4", "seven\n")
            assert kiosk.result("K4")["outcome"] == "not done"
            assert (kiosk.folder / "orders" / "K3").exists(), "it is not whole yet"
            kiosk.order("K3", "700\n")
            assert kiosk.result("K3")["outcome"] == "approved"

            kiosk.order("K5", "900\n")
            until(lambda: [command.code for command in terminal.commands].count(100) == 3)
            assert kiosk.service.stop() == 0
            assert kiosk.result("K5")["outcome"] == "declined"
    assert terminal.ledger.balances() == {"K3": 700}


@needs_pty
@pytest.mark.evidence
def test_an_unknown_outcome_is_a_result_and_is_not_charged_again(machine: At, tmp_path: Path) -> None:
    terminal = VirtualTerminal()
    with SerialServer(terminal, gap=0) as served:
        leave_unknown(tmp_path / "journal.sqlite3", f"usb:{served.device}", "K1", 1_500)
        kiosk = machine(served)
        (tmp_path / "orders").mkdir()
        (tmp_path / "orders" / "K1").write_text("1500\n", encoding="utf-8")
        with kiosk.service:
            assert kiosk.result("K1")["outcome"] == "unknown"
            assert "a person must look" in kiosk.service.told()
    assert terminal.ledger.balances() == {}


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="this system has no systemd")
def test_the_unit_is_what_systemd_takes(tmp_path: Path) -> None:
    def verified(text: str) -> str:
        unit = tmp_path / "kiosk.service"
        unit.write_text(text, encoding="utf-8")
        done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, timeout=60)
        return "\n".join(line for line in done.stderr.splitlines() if "kiosk.service" in line)

    text = UNIT.read_text(encoding="utf-8")
    # What the kiosk would have installed.
    text = text.replace("/opt/kiosk/bin/python", sys.executable)
    assert verified(text) == ""
    assert "WatchdogSek" in verified(text.replace("WatchdogSec", "WatchdogSek"))


@pytest.mark.evidence
def test_the_rules_are_what_udev_takes() -> None:
    known = shutil.which("udevadm") and subprocess.run(["udevadm", "verify", "--help"], capture_output=True, timeout=60)
    if not known or known.returncode:
        pytest.skip("udevadm verify needs systemd 254")
    subprocess.run(["udevadm", "verify", RULES], check=True, timeout=60)


@pytest.mark.evidence
def test_of_two_interfaces_the_one_that_answers_has_the_name() -> None:
    """udev itself, with a port that says it is interface 00 or 02 of such a terminal."""
    if not shutil.which("udevadm") or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("it needs udev and the right to mount: as root, apt-get install udev")
    for interface, link in (("00", True), ("02", False)):
        command = ["unshare", "-m", "sh", str(Path(__file__).with_name("udev_event.sh")), str(RULES), interface]
        out = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout
        assert not re.search(r"70-getnet\.rules:\d+ Invalid", out)
        assert "ID_MM_DEVICE_IGNORE=1" in out
        assert "'/dev/tty63' dialout 660" in out
        assert ("'/dev/getnet-pos' -> 'tty63'" in out) is link


def test_the_guide_shows_the_same_rules_and_unit() -> None:
    guide = (EXAMPLES.parent / "docs/guides/kiosks.md").read_text(encoding="utf-8")
    for shown, whole in ((r"```\n(ACTION.*?)```", RULES), (r"```ini\n(.*?)```", UNIT)):
        [block] = re.findall(shown, guide, re.DOTALL)
        lines = whole.read_text(encoding="utf-8").splitlines()
        assert [line for line in block.splitlines() if line not in lines] == []
