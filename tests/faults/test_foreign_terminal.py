"""The journal against the books of a terminal that somebody else wrote, while the register is killed over and over."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from getnet_pos import Connector
from getnet_pos.errors import GetnetError
from getnet_pos.journal import SqliteJournal
from getnet_pos.messages import IntentState
from tests.evidence import Count
from tests.faults.dying_register import QUICK, sell_until_killed

_TERMINALS = 5
_FOREIGN = Path(__file__).with_name("foreign_terminal.py")

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.faults.dying_register"])


def _run_shop(folder: Path, seed: int, sales: int) -> Counter[str]:
    """Sell, kill, sell on, until there are enough sales in the journal; then compare the books."""
    journal, ledger = folder / f"{seed}.sqlite3", folder / f"{seed}.ledger"
    rng, counts = random.Random(seed), Counter[str]()
    command = [sys.executable, str(_FOREIGN), str(ledger), str(seed)]
    terminal = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    with terminal, contextlib.closing(SqliteJournal(journal)) as book:
        assert terminal.stdout is not None
        device = terminal.stdout.readline().strip()
        try:
            while (begun := len(book.intents(settled=True))) < sales:
                arguments = (device, str(journal), rng.randrange(10**9), sales - begun)
                register = _context.Process(target=sell_until_killed, args=arguments, daemon=True)
                register.start()
                register.join(rng.uniform(0.1, 1.5))
                if register.is_alive():
                    register.kill()
                    counts["kills"] += 1
                register.join()
            _come_back(device, journal)
        finally:
            terminal.kill()
        counts.update(_compare(book, ledger))
    return counts


def _come_back(device: str, journal: Path) -> None:
    time.sleep(2.2)  # whatever the terminal is still at, it is over then
    for _ in range(40):
        with contextlib.suppress(GetnetError), Connector.create_usb(device, journal=journal, timeouts=QUICK) as pos:
            if pos.polling().approved:
                return
        time.sleep(0.05)
    raise AssertionError("the terminal never came back")


def _compare(book: SqliteJournal, ledger: Path) -> Counter[str]:
    entries = [json.loads(line) for line in ledger.read_text().splitlines()] if ledger.exists() else []
    charges = Counter(entry["ticket"] for entry in entries)
    assert max(charges.values(), default=0) <= 1, "charged twice"
    by_ticket = {entry["ticket"]: entry for entry in entries}
    states: Counter[str] = Counter()
    for intent in book.intents(settled=True):
        states[str(intent.state)] += 1
        entry = by_ticket.pop(intent.ticket, None)
        assert not intent.open, "forgotten"
        if intent.state is IntentState.APPROVED:
            assert entry is not None, f"{intent} was never charged"
            assert (entry["amount"], entry["authorization_code"]) == (intent.amount, intent.authorization_code)
        elif intent.state is not IntentState.UNKNOWN:
            assert entry is None, f"{intent} was charged"
    assert not by_ticket, "charged without a trace in the journal"
    return states


@pytest.mark.timeout(7200)
def test_the_journal_agrees_with_foreign_books(count: Count, folder: Path, evidence: Callable[[str], None]) -> None:
    sales = count(short=25, evidence=100, long=1_000)
    start = time.monotonic()
    with ThreadPoolExecutor(_TERMINALS) as pool:
        shops = pool.map(lambda seed: _run_shop(folder, seed, sales // _TERMINALS), range(_TERMINALS))
        counts = sum(shops, Counter[str]())
    kills = counts.pop("kills")
    assert sum(counts.values()) >= sales
    evidence(
        f"foreign terminal: {sum(counts.values()):,} sales with {kills} kill -9 in {time.monotonic() - start:.0f} s, "
        f"every entry equal to the ledger or UNKNOWN, 0 charged twice; {dict(counts)}"
    )
