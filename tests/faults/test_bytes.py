"""One damaged byte at each place of both directions, for the main commands, over real ptys: never a wrong word."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from getnet_pos import Connector
from getnet_pos.errors import GetnetError, OutcomeUnknown
from getnet_pos.journal import MemoryJournal
from getnet_pos.messages import IntentState, ReportKind
from getnet_pos.simulator import Behaviour, Direction, Fault, FaultKind, SerialServer, VirtualTerminal
from tests.evidence import Count
from tests.faults.dying_register import QUICK
from tests.faults.workers import shared

_TERMINALS = 32
"""How many terminals a process has: most of the time goes by in waiting."""

_SHORT = Behaviour(
    omit=("CommerceRut", "CommerceName", "BranchName", "BranchAddress", "BranchDistrict", "Aid", "EntryMode"),
    progress=(78,),
)
"""Replies as older firmware sends them: a third of the bytes, and all that is looked at."""

_COMMANDS: dict[str, Callable[[Connector, str, Any], Any]] = {
    "poll": lambda pos, ticket, sold: pos.polling(),
    "sale": lambda pos, ticket, sold: pos.sale(1_000, ticket=ticket, on_progress=lambda _: None),
    "void": lambda pos, ticket, sold: pos.void(sold.operation_id),
    "refund": lambda pos, ticket, sold: pos.refund(sold.authorization_code, 400),
    "last voucher": lambda pos, ticket, sold: pos.last_voucher(),
    "totals": lambda pos, ticket, sold: pos.get_reports(ReportKind.TOTALS),
    "close": lambda pos, ticket, sold: pos.close_batch(),
}
_UNDOES = ("void", "refund")
"""They take a sale of their own each time."""

_TIMEOUTS = replace(QUICK, acknowledgement=0.2, short=0.3, report=0.3, recovery=0.15, recovery_interval=0.06)


class _Counter:
    """How many bytes a command takes each way."""

    def __init__(self, terminal: VirtualTerminal) -> None:
        self.sizes = Counter[Direction]()
        self._receive, self._take = terminal.receive, terminal.take
        terminal.receive, terminal.take = self.receive, self.take  # type: ignore[method-assign]  # watched in its place

    def receive(self, data: bytes, now: float) -> None:
        self.sizes[Direction.TO_TERMINAL] += len(data)
        self._receive(data, now)

    def take(self, now: float) -> list[bytes]:
        written = self._take(now)
        self.sizes[Direction.TO_REGISTER] += sum(map(len, written))
        return written


def _sizes(command: str) -> Counter[Direction]:
    terminal = VirtualTerminal(default=_SHORT)
    with SerialServer(terminal, gap=0) as server, Connector.create_usb(server.device, journal=MemoryJournal()) as pos:
        pos.polling()
        sold = pos.sale(1_000, ticket="A1")
        pos.last_voucher()
        counter = _Counter(terminal)
        _COMMANDS[command](pos, "A2", sold)
        time.sleep(0.02)
    return counter.sizes


def _damage(part: tuple[str, str, range]) -> Counter[str]:
    """One command with a fault at each place of one direction, shared out to the terminals of this process."""
    command, way, places = part
    with ThreadPoolExecutor(_TERMINALS) as pool:
        ranges = [places[number::_TERMINALS] for number in range(min(_TERMINALS, len(places)))]
        return sum(pool.map(lambda places: _damage_at(command, Direction(way), places), ranges), Counter[str]())


def _damage_at(command: str, way: Direction, places: range) -> Counter[str]:
    counts: Counter[str] = Counter()
    terminal = VirtualTerminal(default=_SHORT)
    journal = MemoryJournal()
    with SerialServer(terminal, gap=0) as server:
        pos = Connector.create_usb(server.device, journal=journal, timeouts=_TIMEOUTS)
        _poll(pos)
        sold = pos.sale(1_000, ticket="A1")
        for place in places:
            if command in _UNDOES:
                sold = pos.sale(1_000, ticket=f"{place:06d}")
            terminal.inject(Fault(FaultKind.CORRUPT, way, message=None, byte=place))
            try:
                reply = _COMMANDS[command](pos, f"{place:06d}", sold)
                counts["answered"] += 1
                assert reply.approved, f"{command}, byte {place} {way}: {reply}"
            except OutcomeUnknown:
                counts["unknown"] += 1
            except GetnetError:
                counts["failed"] += 1
            _poll(pos)
        pos.close()
    _compare(terminal, journal, f"{command} {way}")
    counts["places"] += len(places)
    return counts


def _poll(pos: Connector) -> None:
    """What is left of a fault may fall on it."""
    for _ in range(20):
        try:
            if pos.polling().approved:
                return
        except GetnetError:
            time.sleep(0.01)
    raise AssertionError("the terminal never came back")


def _compare(terminal: VirtualTerminal, journal: MemoryJournal, where: str) -> None:
    finals = journal.intents(settled=True)
    assert not [intent for intent in finals if intent.open]
    for intent in finals:
        entries = [
            entry
            for entry in terminal.ledger.entries
            if entry.function_code == intent.command
            and intent.reference in (None, str(entry.refers_to), entry.authorization_code)
            and intent.ticket in (None, entry.ticket)
        ]
        assert len(entries) <= 1, f"{where}: {intent} was done twice"
        if intent.state is IntentState.APPROVED:
            assert entries, f"{where}: {intent} was never done"
        elif intent.state is not IntentState.UNKNOWN:
            assert not entries, f"{where}: {intent} was done"


def test_a_damaged_byte_anywhere_never_misleads(count: Count, evidence: Callable[[str], None]) -> None:
    start = time.monotonic()
    step = count(short=61, evidence=1, long=1)
    logging.disable(logging.CRITICAL)
    try:
        parts = [
            (command, way.value, places[first : first + 240])
            for command in _COMMANDS
            for way, size in _sizes(command).items()
            for places in [range(0, size + 1, step)]
            for first in range(0, len(places), 240)
        ]
    finally:
        logging.disable(logging.NOTSET)
    counts = shared(_damage, parts)
    places = counts.pop("places")
    assert places >= 3_000 // step
    evidence(
        f"damaged bytes: {places:,} places in {len(_COMMANDS)} commands, both ways, over ptys in "
        f"{time.monotonic() - start:.0f} s, 0 wrong; {dict(counts)}"
    )
