"""Sells for half an hour at many terminals with faults, in one process: ``python -m tests.soak --minutes 30``.

Half of the connectors drive terminals over TCP, half over a cloud, all on one event loop with one journal. The
terminals and the cloud are in another process, and so is the truth: their ledgers. At the end memory must have stayed
as it was, no descriptor and no task may be left, and no result may differ from the ledger.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import logging
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from getnet_pos import AsyncConnector, GetnetError, IntentState, KeyPos, OutcomeUnknown, Profile, Timeouts
from getnet_pos.cloud import AsyncCloudAccount
from getnet_pos.journal import SqliteJournal
from getnet_pos.simulator import Behaviour, NetworkFault, NetworkFaultKind, Outcome, Reboot, TcpServer, VirtualTerminal
from getnet_pos.simulator.cloud import CloudFault, CloudFaultKind, VirtualCloud
from getnet_pos.simulator.replies import Identity

LIMITS = Timeouts(
    connect=5, acknowledgement=3, short=5, report=5, sale=8, sale_total=12, cancel=3, recovery=6, recovery_interval=0.5,
    cloud=8, status=0.5,
)  # fmt: skip
FAULTY = 0.1
"""The share of sales that something goes wrong with."""
GROWTH = 0.02
"""How much more memory may be taken at the end, in a run of ``JUDGED_FROM`` minutes or more: a shorter one warms up."""
JUDGED_FROM = 10.0
BATCH = 40
"""Sales between two closes of a batch, whose details a cloud is asked for."""
PAID = (IntentState.APPROVED, IntentState.RESOLVED_PAID)
NOT_PAID = (IntentState.DECLINED, IntentState.NOT_SENT, IntentState.RESOLVED_NOT_PAID)

BEHAVIOURS = [
    Behaviour(outcome=Outcome.DECLINE),
    Behaviour(acknowledge=None),
    Behaviour(reply_after=60.0),
    Behaviour(duplicate=True),
    Behaviour(wrong_signature=True),
    Behaviour(noise=40),
    Behaviour(fragment=7),
    Behaviour(late_reply=True),
    Behaviour(reboot=Reboot(seconds=0.5)),
    Behaviour(change={"Amount": 1}),
]
RESETS = [
    NetworkFault(NetworkFaultKind.RESET, 100),
    NetworkFault(NetworkFaultKind.RESET, 100, at_reply=True),
    NetworkFault(NetworkFaultKind.HALF_OPEN, 100, at_reply=True, seconds=1.0),
]
OF_THE_CLOUD = [
    CloudFaultKind.DROP_BEFORE, CloudFaultKind.DROP_AFTER, CloudFaultKind.TIMEOUT_AFTER, CloudFaultKind.HTML,
    CloudFaultKind.CUT, CloudFaultKind.RATE_LIMIT, CloudFaultKind.UNAVAILABLE, CloudFaultKind.EXPIRED,
    CloudFaultKind.PREVIOUS,
]  # fmt: skip


# ------------------------------------------------------------------------------------------------------------ the truth


def serve(connectors: int, seed: int) -> None:
    """Serve the cloud and the terminals until the input ends; tell the charges of each ticket that a line asks for."""
    chance = random.Random(seed)
    usual = Behaviour(decide_after=0.5)
    owners = [
        Identity(terminal_id=f"{70_000_000 + number}", serial_number=f"SN{number:08d}")
        for number in range(connectors // 2)
    ]
    terminals = [
        VirtualTerminal(default=usual, identity=owner, seed=seed + number) for number, owner in enumerate(owners)
    ]
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(TcpServer(terminal, gap=0)) for terminal in terminals]
        cloud = stack.enter_context(VirtualCloud(terminals=connectors - connectors // 2, default=usual, seed=seed))
        ended = threading.Event()
        stack.callback(ended.set)
        threading.Thread(target=_misbehave, args=(servers, cloud, chance, ended), daemon=True).start()
        print(json.dumps({"ports": [server.address[1] for server in servers], "cloud": cloud.url}), flush=True)
        ledgers = [terminal.ledger for terminal in (*terminals, *cloud.terminals.values())]
        for line in sys.stdin:
            terminal, ticket = json.loads(line)
            charges = ledgers[terminal].charges(ticket)
            print(json.dumps([charge.amount for charge in charges]), flush=True)


def _misbehave(servers: list[TcpServer], cloud: VirtualCloud, chance: random.Random, ended: threading.Event) -> None:
    """Keep every terminal's script and the cloud's full, and forget what is remembered for tests only."""
    while not ended.wait(0.5):
        for server in servers:
            while len(server.terminal.script) < 10:
                faulty = chance.random() < FAULTY
                server.terminal.script.append(chance.choice(BEHAVIOURS) if faulty else server.terminal.default)
            server.terminal.commands.clear()
        for terminal in cloud.terminals.values():
            terminal.commands.clear()
        while len(cloud.script) < 1_000:
            faulty = chance.random() < FAULTY
            cloud.script.append([CloudFault(chance.choice(OF_THE_CLOUD))] if faulty else [])
        cloud.requests.clear()
        if chance.random() < FAULTY:
            chance.choice(servers).inject(chance.choice(RESETS))


class Truth:
    """The process that has the ledgers."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._asked, self._told = process.stdin, process.stdout
        self._lock = threading.Lock()
        self.places: dict[str, Any] = json.loads(self._told.readline())

    def charges(self, terminal: int, ticket: str) -> list[int]:
        with self._lock:
            self._asked.write(json.dumps([terminal, ticket]) + "\n")
            self._asked.flush()
            found: list[int] = json.loads(self._told.readline())
        return found


@contextlib.contextmanager
def truth(connectors: int, seed: int) -> Iterator[Truth]:
    command = [sys.executable, "-m", "tests.soak", "--serve", "--connectors", str(connectors), "--seed", str(seed)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Truth(process)


# -------------------------------------------------------------------------------------------------------- the registers


class Soak:
    def __init__(self, known: Truth, journal: Path, seed: int) -> None:
        self._truth = known
        self._journal = journal
        self._chance = random.Random(seed)
        self._stopped = False
        self.counts: Counter[str] = Counter()
        self.memory: list[tuple[float, int]] = []

    async def run(self, seconds: float, connectors: int) -> None:
        account = AsyncCloudAccount(
            self._truth.places["cloud"], client_id="id", client_secret="secret", profile=Profile.CHILE, timeouts=LIMITS
        )
        async with account:
            places = await account.list_terminals()
            assert len(places) == connectors - connectors // 2
            works = [self._work(number, self._connector(account, where)) for number, where in enumerate(
                [*self._truth.places["ports"], *places]
            )]  # fmt: skip
            tasks = [asyncio.create_task(work) for work in works]
            begun = time.monotonic()
            while time.monotonic() - begun < seconds:
                await asyncio.sleep(min(5.0, seconds / 20))
                self.memory.append((time.monotonic() - begun, resident()))
                failed = next((task for task in tasks if task.done()), None)
                if failed is not None:
                    failed.result()
            self._stopped = True
            await asyncio.gather(*tasks)

    def _connector(self, account: AsyncCloudAccount, where: int | KeyPos) -> AsyncConnector:
        if isinstance(where, KeyPos):
            return AsyncConnector.create_cloud(account, key_pos=where, journal=self._journal)
        return AsyncConnector.create_tcp("127.0.0.1", where, journal=self._journal, timeouts=LIMITS)

    async def _work(self, terminal: int, pos: AsyncConnector) -> None:
        number, polled = 0, False
        async with pos:
            while not self._stopped:
                await asyncio.sleep(self._chance.random())
                try:
                    if not polled:
                        polled = (await pos.polling()).approved
                        continue
                    number += 1
                    await self._sell(terminal, pos, f"S{terminal}N{number}")
                    if number % BATCH == 0:
                        await pos.close_batch()
                except OutcomeUnknown as doubt:
                    polled = False
                    await self._decide(terminal, pos, doubt, f"S{terminal}N{number}")
                except GetnetError as error:
                    polled = False
                    self.counts[type(error).__name__] += 1

    async def _sell(self, terminal: int, pos: AsyncConnector, ticket: str) -> None:
        amount = self._chance.randrange(100, 100_000)
        sale = await pos.sale(amount, ticket=ticket)
        self.counts["approved" if sale.approved else "declined"] += 1
        charges = await asyncio.to_thread(self._truth.charges, terminal, ticket)
        if charges != ([amount] if sale.approved else []):
            self.counts["WRONG"] += 1
            print(f"{ticket}: {sale!r}, charged {charges}", file=sys.stderr)

    async def _decide(self, terminal: int, pos: AsyncConnector, doubt: OutcomeUnknown, ticket: str) -> None:
        """As a person does who looks at the terminal's vouchers, once it is at rest."""
        self.counts["unknown"] += 1
        await asyncio.sleep(2.0)
        charges = await asyncio.to_thread(self._truth.charges, terminal, ticket)
        with contextlib.suppress(GetnetError):
            await pos.resolve(doubt.intent_id, paid=bool(charges), by="soak", note="looked at the ledger")


def resident() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def growth(memory: list[tuple[float, int]], seconds: float) -> float:
    """How much more the last quarter takes than the second, after a first one in which everything is made once."""
    early = [taken for at, taken in memory if seconds / 4 <= at < seconds / 2]
    late = [taken for at, taken in memory if at >= seconds * 3 / 4]
    return median(late) / median(early) - 1


def wrong(known: Truth, path: Path) -> Counter[str]:
    """What the journal says against the ledgers, intent by intent."""
    counts: Counter[str] = Counter()
    with contextlib.closing(SqliteJournal(path)) as journal:
        for intent in journal.intents(settled=True):
            terminal = int((intent.ticket or "S0N").partition("N")[0][1:])
            charges = known.charges(terminal, intent.ticket or "")
            counts[intent.state.name] += 1
            one = charges == [intent.amount]
            if len(charges) > 1 or (intent.state in PAID and not one) or (intent.state in NOT_PAID and charges):
                counts["WRONG"] += 1
                print(f"{intent}: charged {charges}", file=sys.stderr)
    return counts


async def soak(options: argparse.Namespace, known: Truth, journal: Path) -> Soak:
    found = Soak(known, journal, options.seed)
    await found.run(options.minutes * 60, options.connectors)
    left = len(asyncio.all_tasks()) - 1
    found.counts["TASKS LEFT"] += left
    return found


def _descriptors() -> Counter[str]:
    """What is open, by what it is."""
    opened: Counter[str] = Counter()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # that of the listing itself
            opened[re.sub(r":\[\d+\]", "", os.readlink(f"/proc/self/fd/{name}"))] += 1
    return opened


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--connectors", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if options.serve:
        serve(options.connectors, options.seed)
        return
    with tempfile.TemporaryDirectory() as folder, truth(options.connectors, options.seed) as known:
        journal = Path(folder) / "journal.sqlite3"
        before = _descriptors()
        found = asyncio.run(soak(options, known, journal))
        gc.collect()
        ended = time.monotonic()
        left = _descriptors() - before
        while left and time.monotonic() < ended + 5:
            # The journal's thread lets go of the file once nobody holds the journal.
            time.sleep(0.05)
            left = _descriptors() - before
        ends = wrong(known, journal)
    grown = growth(found.memory, options.minutes * 60)
    print(f"{options.connectors} connectors, {options.minutes:g} minutes: {sum(ends.values()) - ends['WRONG']:,} sales")
    print(f"told: {dict(found.counts)}")
    print(f"recorded: {dict(ends)}")
    sizes = [f"{taken / 1e6:.1f}" for _, taken in found.memory[:: max(1, len(found.memory) // 12)]]
    print(f"memory {100 * grown:+.2f} %: {' '.join(sizes)} MB")
    print(f"descriptors left: {left.total()} {[*left]}")
    bad = found.counts["WRONG"] + ends["WRONG"] + found.counts["TASKS LEFT"]
    grew = grown > GROWTH and options.minutes >= JUDGED_FROM
    sys.exit(bool(bad or left or grew))


if __name__ == "__main__":
    main()
