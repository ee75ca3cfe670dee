"""The journal against the books of terminals that somebody else wrote, while the register is killed over and over.

Each shop has two terminals and one journal. Between two lives of its register the ports are renamed and the terminals
change places, and somebody keys in sales; beside it, a second process recovers what it finds.
"""

from __future__ import annotations

import contextlib
import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from getnet_pos import Connector
from getnet_pos.errors import GetnetError
from getnet_pos.journal import SqliteJournal
from getnet_pos.messages import IntentState
from tests.evidence import Count
from tests.faults.dying_register import QUICK, recover_until_killed, sell_until_killed
from tests.processes import context

_SHOPS = 5
_ROOT = Path(__file__).parents[2]


class _Shop:
    def __init__(self, folder: Path, seed: int) -> None:
        self.rng, self.counts = random.Random(seed), Counter[str]()
        self.journal = folder / f"{seed}.sqlite3"
        self.ledgers = [folder / f"{seed}-{number}.ledger" for number in range(2)]
        self.names = [folder / f"ttyACM{seed}{number}" for number in range(3)]
        self.terminals = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.faults.unlucky_terminal", str(ledger), str(seed * 2 + number)],
                stdout=subprocess.PIPE,
                text=True,
                cwd=_ROOT,
            )
            for number, ledger in enumerate(self.ledgers)
        ]
        self.devices = [terminal.stdout.readline().strip() for terminal in self.terminals if terminal.stdout]

    def number_ports(self) -> None:
        """As after plugging in: any two of the names lead to the terminals."""
        for name in self.names:
            name.unlink(missing_ok=True)
        for name, device in zip(self.rng.sample(self.names, 2), self.devices, strict=True):
            name.symlink_to(device)

    def live_a_while(self, sales: int) -> None:
        """One life of the register, at a port that is there."""
        if self.rng.random() < 0.3:
            self.number_ports()
            self.counts["renamed"] += 1
        if self.rng.random() < 0.2:
            self.rng.choice(self.terminals).send_signal(signal.SIGUSR1)
            time.sleep(0.05)
        port = self.rng.choice([name for name in self.names if name.exists()])
        arguments = (str(port), str(self.journal), self.rng.randrange(10**9), sales)
        processes = [context.Process(target=sell_until_killed, args=arguments, daemon=True)]
        if self.rng.random() < 0.3:
            beside = self.rng.choice([name for name in self.names if name.exists()])
            arguments = (str(beside), str(self.journal))
            processes.append(context.Process(target=recover_until_killed, args=arguments, daemon=True))
            self.counts["beside"] += 1
        for process in processes:
            process.start()
        processes[0].join(self.rng.uniform(0.1, 1.5))
        for process in self.rng.sample(processes, len(processes)):
            if process.is_alive():
                process.kill()
                self.counts["kills"] += 1
            process.join()

    def come_back(self) -> None:
        """Poll each terminal under each name that it may have had."""
        time.sleep(2.2)  # whatever the terminals are still at, it is over then
        for device in self.devices:
            for name in self.names:
                name.unlink(missing_ok=True)
                name.symlink_to(device)
                self._poll(name)

    def _poll(self, name: Path) -> None:
        for _ in range(40):
            with (
                contextlib.suppress(GetnetError),
                Connector.create_usb(str(name), journal=self.journal, timeouts=QUICK) as pos,
            ):
                if pos.polling().approved:
                    return
            time.sleep(0.05)
        raise AssertionError("the terminal never came back")

    def compare(self, book: SqliteJournal) -> None:
        lines = [line for ledger in self.ledgers if ledger.exists() for line in ledger.read_text().splitlines()]
        entries = [entry for entry in map(json.loads, lines) if entry["ticket"]]
        assert max(Counter(entry["ticket"] for entry in entries).values(), default=0) <= 1, "charged twice"
        by_ticket = {entry["ticket"]: entry for entry in entries}
        for intent in book.intents(settled=True):
            self.counts[str(intent.state)] += 1
            entry = by_ticket.pop(intent.ticket, None)
            assert not intent.open, f"{intent} is forgotten"
            if intent.state is IntentState.APPROVED:
                assert entry is not None, f"{intent} was never charged"
                assert (entry["amount"], entry["authorization_code"]) == (intent.amount, intent.authorization_code)
                assert entry["terminal_id"] == intent.terminal_id, f"{intent} was charged elsewhere"
            elif intent.state is not IntentState.UNKNOWN:
                assert entry is None, f"{intent} was charged"
        assert not by_ticket, "charged without a trace in the journal"


@contextlib.contextmanager
def _opened(folder: Path, seed: int) -> Iterator[_Shop]:
    shop = _Shop(folder, seed)
    try:
        yield shop
    finally:
        for terminal in shop.terminals:
            terminal.kill()
            terminal.communicate()


def _run_shop(folder: Path, seed: int, sales: int) -> Counter[str]:
    """Sell, kill, sell on, until there are enough sales in the journal; then compare the books."""
    with _opened(folder, seed) as shop, contextlib.closing(SqliteJournal(shop.journal)) as book:
        shop.number_ports()
        while (begun := len(book.intents(settled=True))) < sales:
            shop.live_a_while(sales - begun)
        shop.come_back()
        shop.compare(book)
        return shop.counts


def test_the_journal_agrees_with_foreign_books(count: Count, folder: Path, evidence: Callable[[str], None]) -> None:
    sales = count(short=10, evidence=200, long=1_000)
    start = time.monotonic()
    with ThreadPoolExecutor(_SHOPS) as pool:
        shops = pool.map(lambda seed: _run_shop(folder, seed, sales // _SHOPS), range(_SHOPS))
        counts = sum(shops, Counter[str]())
    told = {name: counts.pop(name) for name in ("kills", "renamed", "beside")}
    assert sum(counts.values()) >= sales
    evidence(
        f"foreign terminals: {sum(counts.values()):,} sales with {told['kills']} kill -9, ports renamed or swapped "
        f"{told['renamed']} times and {told['beside']} times a second process that recovers, in "
        f"{time.monotonic() - start:.0f} s, every entry equal to "
        f"the ledgers or UNKNOWN, 0 charged twice; {dict(counts)}"
    )
