"""``kill -9`` of a real process at every step of a sale, over a pty: nothing forgotten, nothing charged twice."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
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
from getnet_pos.simulator import Behaviour, SerialServer, VirtualTerminal
from tests.evidence import Count
from tests.faults.dying_register import QUICK, sell_and_die

_STEPS = 18
"""More than a sale has; what is behind its end kills nobody, and counts as no round."""

_TERMINALS = 6
"""How many die at once: most of the time goes by in waiting."""

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.faults.dying_register"])


class _Shop:
    """One terminal and one journal, at which one register after the other dies."""

    def __init__(self, number: int, folder: Path) -> None:
        self.number = number
        self.journal = folder / f"{number}.sqlite3"
        manner = Behaviour(omit=("Ticket",)) if number % 2 else Behaviour()
        self.terminal = VirtualTerminal(
            default=Behaviour(progress=(78,), decide_after=0.01, reply_after=0.01), answers={101: manner}, seed=number
        )
        self.sales = 0
        self.rounds: Counter[str] = Counter()
        self.states: Counter[str] = Counter()

    def run(self, rounds: int) -> None:
        with SerialServer(self.terminal) as server:
            place = self.number * 2 * _STEPS // _TERMINALS  # so that all together begin with every place
            while sum(self.rounds.values()) < rounds:
                after, step = divmod(place % (2 * _STEPS), _STEPS)
                words = self._die(server.device, step, bool(after))
                if not words.startswith("not at all"):
                    self.rounds[f"{'after' if after else 'before'} {words}"] += 1
                    self._come_back(server.device)
                place += 1

    def _die(self, device: str, step: int, after: bool) -> str:
        listening, speaking = _context.Pipe(duplex=False)
        self.sales += 1
        self.ticket = f"T{self.sales}"
        arguments = (device, str(self.journal), self.ticket, 1000, step, after, speaking)
        process = _context.Process(target=sell_and_die, args=arguments, daemon=True)
        process.start()
        speaking.close()
        words = listening.recv() if listening.poll(30) else ""
        process.join(30)
        assert words, "the register said nothing"
        assert words.startswith("not at all") or process.exitcode in (-signal.SIGKILL, 255), words
        return str(words)

    def _come_back(self, device: str) -> None:
        """A new register, which polls; then nothing is open, and the books agree."""
        with Connector.create_usb(device, journal=self.journal, timeouts=QUICK) as pos:
            for _ in range(40):
                # It may be busy with the dead register's sale.
                with contextlib.suppress(GetnetError):
                    if pos.polling().approved:
                        break
                time.sleep(0.02)
        time.sleep(0.02)
        book = SqliteJournal(self.journal)
        assert [intent for intent in book.intents() if intent.open] == []
        finals = [intent for intent in book.intents(settled=True) if intent.ticket == self.ticket]
        charges = self.terminal.ledger.charges(self.ticket)
        assert len(charges) <= 1, "charged twice"
        assert len(finals) == 1 or not charges, "forgotten"
        if finals:
            self.states[str(finals[0].state)] += 1
            if finals[0].state is IntentState.APPROVED:
                assert len(charges) == 1
                assert charges[0].authorization_code == finals[0].authorization_code
            else:
                assert finals[0].state is IntentState.UNKNOWN
        else:
            self.states["nothing begun"] += 1
        book.close()


@pytest.mark.timeout(7200)
def test_no_death_is_forgotten(count: Count, folder: Path, evidence: Callable[[str], None]) -> None:
    rounds = count(short=36, evidence=306, long=10_000)
    start = time.monotonic()
    shops = [_Shop(number, folder) for number in range(_TERMINALS)]
    with ThreadPoolExecutor(_TERMINALS) as pool:
        list(pool.map(lambda shop: shop.run(-(-rounds // _TERMINALS)), shops))
    deaths, states = (sum((getattr(shop, name) for shop in shops), Counter[str]()) for name in ("rounds", "states"))
    assert sum(deaths.values()) >= rounds
    for step in ("Record INTENT", "Send", "Record SENT", "Receive", "Record ACCEPTED", "Record APPROVED"):
        assert deaths[f"before {step}"], step
        assert deaths[f"after {step}"], step
    evidence(
        f"kill -9: {sum(deaths.values()):,} rounds at {len(deaths)} kinds of step in {time.monotonic() - start:.0f} s, "
        f"0 forgotten, 0 charged twice; {dict(states)}"
    )
