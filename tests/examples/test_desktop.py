"""``examples/desktop``: the till without its window, and the window on a display of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

from getnet_pos import Connector, IntentState, SqliteJournal
from getnet_pos.simulator import Behaviour, Outcome, TcpServer, VirtualTerminal
from tests.examples.samples import EXAMPLES, leave_unknown

INF = float("inf")
WAITS = Behaviour(progress_every=0.05, decide_after=INF)


def load(name: str) -> Any:
    spec = spec_from_file_location(f"examples_desktop_{name}", EXAMPLES / f"desktop/{name}.py")
    assert spec
    assert spec.loader
    module = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def till_at(journal_path: Path) -> Iterator[Callable[[TcpServer], Any]]:
    module, tills = load("till"), []

    def made(served: TcpServer) -> Any:
        tills.append(module.Till(lambda: Connector.create_tcp(*served.address)))
        return tills[-1]

    yield made
    for till in tills:
        till.close()


def ends(till: Any) -> tuple[list[Any], Any]:
    """What comes until the end of what was asked for, and the end."""
    before = []
    while not (event := till.events.get(timeout=20)).is_end:
        before.append(event)
    return before, event


def test_a_sale_tells_its_stages_and_its_end(till_at: Callable[[TcpServer], Any]) -> None:
    terminal = VirtualTerminal(script=[Behaviour(), Behaviour(outcome=Outcome.DECLINE), WAITS])
    with TcpServer(terminal, gap=0) as served:
        till = till_at(served)
        till.poll()
        assert [event.kind for event in [ends(till)[1]]] == ["ready"]
        till.sell("R1", 25_000)
        stages, end = ends(till)
        assert [stage.percent for stage in stages] == [0, 25, 50, 75]
        assert (end.kind, end.percent) == ("approved", 100)
        till.sell("R1", 25_000)  # the same receipt again
        assert ends(till)[1] == end
        till.sell("R2", 700)
        assert ends(till)[1].kind == "declined"
        till.sell("R3", 900)
        while till.events.get(timeout=20).percent != 25:
            pass
        till.cancel()
        assert ends(till)[1].kind == "declined"
    assert terminal.ledger.balances() == {"R1": 25_000}


def test_a_person_decides_about_what_an_earlier_run_left(
    till_at: Callable[[TcpServer], Any], journal_path: Path
) -> None:
    with TcpServer(VirtualTerminal(), gap=0) as served:
        leave_unknown(journal_path, "tcp:{}:{}".format(*served.address), "R1", 25_000)
        till = till_at(served)
        till.poll()
        [left], end = ends(till)
        assert (left.kind, left.unknown.ticket, end.kind) == ("earlier", "R1", "ready")
        till.sell("R1", 25_000)
        assert ends(till)[1].kind == "unknown"
        till.resolve(left.unknown, paid=False, by="Ana", note="no voucher of it")
        assert ends(till)[1].text == "Recorded: ticket R1 was not paid"
        till.sell("R1", 25_000)
        assert ends(till)[1].kind == "approved"
    # Nobody listens there any more.
    till.sell("R2", 700)
    assert ends(till)[1].kind == "failed"


WINDOW = """
import sys, time, tkinter as tk
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from register import Window, connect
from till import Till

sys.excepthook = lambda *error: (sys.__excepthook__(*error), till.close())
till = Till(lambda: connect(sys.argv[2], Path(sys.argv[3])))
root = tk.Tk()
window = Window(root, till)


def until(what):
    end = time.monotonic() + 30
    while not what():
        assert time.monotonic() < end, window.status["text"]
        root.update()
        time.sleep(0.01)


def is_free():
    return str(window.pay["state"]) == "normal"


def pay(amount):
    window.amount.delete(0, "end")
    window.amount.insert(0, amount)
    window.pay.invoke()
    window.pay.invoke()  # a double click


until(is_free)
[question] = window.unknown.values()
question.paid.invoke()
assert "both are recorded" in window.status["text"]
question.by.insert(0, "Ana")
question.note.insert(0, "voucher 17 on the terminal")
question.paid.invoke()
until(is_free)
assert not window.unknown and "was paid" in window.status["text"], window.status["text"]

window.pay.invoke()
assert "whole units" in window.status["text"]

pay("25000")
seen = set()
until(lambda: seen.add(float(window.bar["value"])) or is_free())
assert {25.0, 50.0, 75.0, 100.0} <= seen, seen
assert "Approved" in window.status["text"]

pay("700")
until(lambda: str(window.cancel["state"]) == "normal")
window.close()
assert root.winfo_exists() and "in use" in window.status["text"]
window.cancel.invoke()
until(is_free)
assert "Declined" in window.status["text"], window.status["text"]
window.close()
till.close()
print("done")
"""


@pytest.fixture
def display() -> Iterator[str]:
    """A display of its own for a window."""
    if find_spec("tkinter") is None or shutil.which("Xvfb") is None:
        pytest.skip("a window needs tkinter and a display: apt-get install python3-tk xvfb")
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", "1", "-screen", "0", "800x600x24", "-nolisten", "tcp"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    with server:
        assert server.stdout
        yield f":{server.stdout.readline().strip()}"
        server.terminate()


@pytest.mark.evidence
def test_the_window(display: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = VirtualTerminal(script=[Behaviour(progress_every=0.3, decide_after=0.3), WAITS])
    journal = tmp_path / "journal.sqlite3"
    monkeypatch.setenv("DISPLAY", display)
    with TcpServer(terminal, gap=0) as served:
        place = "{}:{}".format(*served.address)
        leave_unknown(journal, f"tcp:{place}", "R1", 900)
        command = [sys.executable, "-W", "error", "-c", WINDOW, str(EXAMPLES / "desktop"), place, str(journal)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "done\n")
    assert terminal.ledger.charged() == 25_000
    kept = SqliteJournal(journal)
    assert [intent.state for intent in kept.intents(settled=True)] == [
        IntentState.RESOLVED_PAID,
        IntentState.APPROVED,
        IntentState.DECLINED,
    ]
    kept.close()
