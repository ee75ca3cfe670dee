"""``kill -9`` of a real process at every step of a sale, over a pty and HTTP: nothing forgotten, or charged twice."""

from __future__ import annotations

import contextlib
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from getnet_pos import Profile
from getnet_pos.errors import GetnetError
from getnet_pos.journal import SqliteJournal
from getnet_pos.messages import IntentState
from getnet_pos.simulator import Behaviour, SerialServer, VirtualTerminal
from getnet_pos.simulator.cloud import VirtualCloud
from tests.evidence import Count, own_half
from tests.faults.dying_register import Account, Place, Port, sell_and_die
from tests.faults.world import HOOK
from tests.processes import context

_TERMINALS = 6
"""How many die at once: most of the time goes by in waiting."""


@contextlib.contextmanager
def _port(terminal: VirtualTerminal, number: int) -> Iterator[Place]:
    terminal.answers[101] = Behaviour(omit=("Ticket",)) if number % 2 else Behaviour()
    with SerialServer(terminal, gap=0) as server:
        yield Port(server.device)


@contextlib.contextmanager
def _account(terminal: VirtualTerminal, number: int) -> Iterator[Place]:
    country = ("CHILE", "ARGENTINA")[number % 2]
    profile: Profile = getattr(Profile, country)
    triplet = VirtualCloud(profile=profile).key_pos
    with VirtualCloud(profile=profile, terminals={triplet: terminal}) as cloud:
        yield Account(cloud.url, triplet, country, HOOK if number % 3 else None)


Server = Callable[[VirtualTerminal, int], contextlib.AbstractContextManager[Place]]


class _Shop:
    """One terminal and one journal, at which one register after the other dies."""

    def __init__(self, number: int, folder: Path, server: Server, steps: int) -> None:
        self.number = number
        self.journal = folder / f"{number}.sqlite3"
        self.terminal = VirtualTerminal(
            default=Behaviour(progress=(78,), decide_after=0.01, reply_after=0.01), seed=number
        )
        self.server = server
        self.steps = steps
        """About as many as a sale has; what is behind its end kills nobody, and counts as no round."""
        self.sales = 0
        self.rounds: Counter[str] = Counter()
        self.states: Counter[str] = Counter()

    def run(self, rounds: int) -> None:
        with self.server(self.terminal, self.number) as place:
            turn = self.number * 2 * self.steps // _TERMINALS  # so that all together begin with every one
            while sum(self.rounds.values()) < rounds:
                after, step = divmod(turn % (2 * self.steps), self.steps)
                before = len(self.terminal.ledger.entries)
                words = self._die(place, step, bool(after))
                if not words.startswith("not at all"):
                    self.rounds[f"{'after' if after else 'before'} {words}"] += 1
                    self._come_back(place, before)
                turn += 1

    def _die(self, place: Place, step: int, after: bool) -> str:
        listening, speaking = context.Pipe(duplex=False)
        self.sales += 1
        arguments = (place, str(self.journal), f"T{self.sales}", step, after, speaking)
        process = context.Process(target=sell_and_die, args=arguments, daemon=True)
        process.start()
        speaking.close()
        words = listening.recv() if listening.poll(30) else ""
        process.join(30)
        assert words, "the register said nothing"
        assert words.startswith("not at all") or process.exitcode in (-signal.SIGKILL, 255), words
        return str(words)

    def _come_back(self, place: Place, before: int) -> None:
        """A new register, which polls; then nothing is open, and the journal agrees with the ledger."""
        with place.connector(str(self.journal)) as pos:
            for _ in range(40):
                # It may be busy with the dead register's sale.
                with contextlib.suppress(GetnetError):
                    if pos.polling().approved:
                        break
                time.sleep(0.02)
        time.sleep(0.02)
        with contextlib.closing(SqliteJournal(self.journal)) as journal:
            assert not [intent for intent in journal.intents() if intent.open]
            finals = [intent for intent in journal.intents(settled=True) if intent.ticket == f"T{self.sales}"]
        charges = self.terminal.ledger.entries[before:]
        assert len(charges) <= 1, "charged twice"
        assert len(finals) == 1 or not charges, "forgotten"
        self.states[str(finals[0].state) if finals else "nothing begun"] += 1
        if finals and finals[0].state is IntentState.APPROVED:
            assert [charge.authorization_code for charge in charges] == [finals[0].authorization_code]
        elif finals:
            assert finals[0].state is IntentState.UNKNOWN


_SEEN = {
    "stream": ("Record INTENT", "Send", "Record SENT", "Receive", "Record ACCEPTED", "Record APPROVED"),
    "cloud": ("Record INTENT", "Request", "Record ACCEPTED", "AwaitNotice", "Record APPROVED"),
}
"""The steps before and after which a register must have died."""


@pytest.mark.parametrize(("carrier", "server", "steps"), [("stream", _port, 18), ("cloud", _account, 12)])
def test_no_death_is_forgotten(
    carrier: str, server: Server, steps: int, count: Count, folder: Path, evidence: Callable[[str], None]
) -> None:
    # No codec has a part in who dies where: each run plays one carrier to the full.
    rounds = count(short=36, evidence=306 if carrier in own_half(list(_SEEN)) else 36, long=10_000)
    start = time.monotonic()
    shops = [_Shop(number, folder, server, steps) for number in range(_TERMINALS)]
    with ThreadPoolExecutor(_TERMINALS) as pool:
        list(pool.map(lambda shop: shop.run(-(-rounds // _TERMINALS)), shops))
    deaths, states = (sum((getattr(shop, name) for shop in shops), Counter[str]()) for name in ("rounds", "states"))
    assert sum(deaths.values()) >= rounds
    # A few rounds meet most of them only: how often a sale waits is never the same.
    for step in _SEEN[carrier] if rounds >= 300 else ():
        assert deaths[f"before {step}"], step
        assert deaths[f"after {step}"], step
    evidence(
        f"kill -9, {carrier}: {sum(deaths.values()):,} rounds at {len(deaths)} kinds of step in "
        f"{time.monotonic() - start:.0f} s, 0 forgotten, 0 charged twice; {dict(states)}"
    )
