"""Three hosts on one database, killed with -9 and paused for longer than their leases: nothing forgotten or charged
twice, and who was paused may write no more.
"""

from __future__ import annotations

import contextlib
import os
import queue
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from getnet_pos import Profile
from getnet_pos.messages import IntentState
from getnet_pos.simulator import Behaviour, VirtualTerminal
from getnet_pos.simulator.cloud import VirtualCloud
from tests.evidence import Count
from tests.hosts.host import LEASE, Chain, look_after, sell_for_ever
from tests.processes import context

_PAID = (IntentState.APPROVED, IntentState.RESOLVED_PAID)
_NOT_PAID = (IntentState.DECLINED, IntentState.NOT_SENT)


class _Hosts:
    """Three of them, each replaced when it dies."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.ends: Counter[str] = Counter()
        self.refused = Counter[str]()
        """How many steps of each host were refused because another one had taken the terminal."""
        self._made = 0
        self._alive = [self._start() for _ in range(3)]

    def _start(self) -> tuple[Any, Any]:
        self._made += 1
        words = context.Queue()
        process = context.Process(
            target=sell_for_ever, args=(self.chain, f"H{self._made}", self._made, words), daemon=True
        )
        process.start()
        return process, words

    def kill(self, number: int) -> None:
        process, words = self._alive[number]
        process.kill()
        process.join(30)
        self._hear(words)
        self._alive[number] = self._start()

    def pause(self, number: int, seconds: float) -> None:
        process, words = self._alive[number]
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(process.pid, signal.SIGCONT)
        time.sleep(0.2)
        self._hear(words)

    def end(self) -> None:
        for process, _ in self._alive:
            process.kill()
            process.join(30)

    def _hear(self, words: Any) -> None:
        with contextlib.suppress(queue.Empty, EOFError, OSError):
            while True:
                name, end, refused = words.get(timeout=0.05)
                self.ends[end] += 1
                self.refused[name] = refused


@pytest.mark.postgres
def test_hosts_that_die_and_hosts_that_sleep(dsn: str, count: Count, evidence: Callable[[str], None]) -> None:
    rounds = count(short=4, evidence=40, long=1_000)
    chance, start = random.Random(rounds), time.monotonic()
    names = tuple(VirtualCloud(profile=Profile.CHILE, terminals=3).terminals)
    behaviour = Behaviour(progress=(78,), decide_after=0.02, reply_after=0.01)
    terminals = {name: VirtualTerminal(default=behaviour, seed=number) for number, name in enumerate(names)}
    kinds: Counter[str] = Counter()
    with VirtualCloud(profile=Profile.CHILE, terminals=terminals) as cloud:
        chain = Chain(dsn, cloud.url, names)
        hosts = _Hosts(chain)
        try:
            for turn in range(rounds):
                time.sleep(chance.random() / 2)
                number = chance.randrange(3)
                if turn % 2:
                    kinds["kills"] += 1
                    hosts.kill(number)
                else:
                    kinds["pauses"] += 1
                    hosts.pause(number, LEASE * 1.5)
        finally:
            hosts.end()
        time.sleep(LEASE)
        look_after(chain)
        with contextlib.closing(chain.journal()) as journal:
            intents = journal.intents(settled=True)
    charges = [charge for terminal in terminals.values() for charge in terminal.ledger.entries]
    charged = Counter(charge.ticket for charge in charges)
    assert not [ticket for ticket, times in charged.items() if times > 1], "charged twice"
    known = {intent.ticket for intent in intents}
    assert not [ticket for ticket in charged if ticket not in known], "forgotten"
    codes = {charge.authorization_code for charge in charges}
    for intent in intents:
        if intent.state in _PAID:
            assert intent.authorization_code in codes, "a wrong final: it was not charged"
    not_paid = Counter(intent.ticket for intent in intents if intent.state in _NOT_PAID)
    paid = {intent.ticket for intent in intents if intent.state not in _NOT_PAID}
    assert not [ticket for ticket in not_paid if ticket in charged and ticket not in paid], (
        "a wrong final: it was charged"
    )
    states = Counter(str(intent.state) for intent in intents)
    evidence(
        f"three hosts: {rounds:,} rounds, {dict(kinds)}, in {time.monotonic() - start:.0f} s: {len(intents)} commands, "
        f"{len(charges)} charges, 0 charged twice, 0 forgotten, 0 wrong finals; {dict(states)}; "
        f"{sum(hosts.refused.values())} steps of hosts that had slept were refused; {dict(hosts.ends)}"
    )
