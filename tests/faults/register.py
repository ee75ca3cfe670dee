"""A third driver: it runs the real flows against a virtual terminal on a virtual clock, and asserts their promises.

Nothing here decides what a payment is: the flows do. The driver performs their effects, lets time pass without waiting,
has the link break and the register die when it is told to, and raises ``AssertionError`` the moment a promise of
docs/reliability.md is broken.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import deque
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from getnet_pos.errors import ConnectError, Disconnected, GetnetError, JournalError, PartialWrite, WriteTimeout
from getnet_pos.flows.effects import (
    Close,
    Now,
    Open,
    Random,
    Recall,
    Receive,
    Record,
    Report,
    Send,
    Sleep,
    WallClock,
)
from getnet_pos.flows.intents import generated_ticket
from getnet_pos.flows.payment import Till
from getnet_pos.flows.stream import StreamCarrier
from getnet_pos.journal import MemoryJournal, recall
from getnet_pos.messages import CATALOGUE, FINAL_STATES, Intent, IntentState, Progress, Reply, Wire
from getnet_pos.profiles import Profile, Timeouts
from getnet_pos.simulator import Entry, VirtualTerminal

TERMINAL = "usb:/dev/terminal"

MOMENT = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
"""What commands are dated by: a fault of a seed hits the same byte each time."""

TIMEOUTS = Timeouts(
    acknowledgement=3, short=10, report=30, sale=60, sale_total=120, cancel=10, recovery=12, recovery_interval=5
)
"""Shaped as the defaults are; the recovery is shorter, so that a sequence has fewer questions."""

_MONEY = re.compile(
    rb'[^0-9]*\\"Command\\":(%b),'
    % b"|".join(b"%d" % code for code, kind in CATALOGUE.kinds.items() if kind.moves_money)
)


class Killed(BaseException):
    """The register's process is gone, as by ``kill -9``: no line of the flow runs any more."""


class Books(MemoryJournal):
    """A journal that outlives the register, remembers every step, and refuses to write when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[Intent] = []
        self.refuses: Callable[[], GetnetError | None] = lambda: None
        self.behind: set[str] = set()
        """The intents of which a step was refused: what is known of them is not what is recorded."""

    def record(self, intent: Intent) -> None:
        error = self.refuses()
        if error is not None:
            self.behind.add(intent.intent_id)
            raise error
        super().record(intent)
        self.steps.append(intent)

    def last(self, intent_id: str) -> Intent | None:
        return self._last.get(intent_id)


class Register:
    """One process of the register: it ends by ``Killed``; a new one over the same books and terminal comes after it.

    ``before`` is called before every effect, and ``between`` before every wait for the terminal: to kill, to pull the
    cable, to want a cancellation; the wait is given up where it returns true. ``to_terminal`` and ``to_register`` may
    change what is written either way; ``None`` loses it.
    """

    def __init__(
        self,
        terminal: VirtualTerminal,
        books: Books,
        *,
        now: float = 0.0,
        timeouts: Timeouts = TIMEOUTS,
        wire: Wire = Wire.SIGNED,
    ) -> None:
        self.terminal = terminal
        self.books = books
        self.now = now
        carrier = StreamCarrier(Profile.INTEGRATED_POS, timeouts, wire=wire, acknowledges=True)
        self.link = carrier.link
        self._unacknowledged: deque[Reply | Progress] = deque()
        """What the flow has read and must acknowledge, the oldest first."""
        self.link.decoder = _Witness(self.link.decoder, self._unacknowledged)
        self.till = Till(carrier, TERMINAL)
        self.before: Callable[[Any], None] = lambda effect: None
        self.between: Callable[[], bool] = lambda: False
        self.to_terminal: Callable[[bytes], bytes | None] = lambda data: data
        self.to_register: Callable[[bytes], bytes | None] = lambda data: data
        self.alarms: list[tuple[float, Callable[[], None]]] = []
        """What happens outside at a time, the next one first."""
        self.writes: list[int | None] = []
        """For the next writes: how many bytes leave before the link breaks; ``None``: all of them, and it holds."""
        self.effects = 0
        self.on_its_way: deque[bytes] = deque()
        self._open = False
        self._frames: dict[str, int] = {}
        """How often the frame of each recorded intent left."""

    def run(self, flow: Any) -> Any:
        """The flow's result. As in the real drivers, what is raised here ends it."""
        result: Any = None
        error: GetnetError | None = None
        try:
            while True:
                effect = flow.send(result) if error is None else flow.throw(error)
                result = error = None
                self.effects += 1
                self.before(effect)
                try:
                    result = self._perform(effect)
                except GetnetError as raised:
                    error = raised
        except StopIteration as stop:
            return stop.value
        finally:
            flow.close()

    # ---------------------------------------------------------------------------------------------------------- effects

    def _perform(self, effect: Any) -> Any:
        match effect:
            case Now():
                return self.now
            case Receive(deadline):
                return self._receive(deadline)
            case Send(data, _, _):
                self._send(data)
            case Record(intent):
                try:
                    self.books.record(intent)
                except JournalError:
                    # Now a reply stays unacknowledged for good.
                    self._unacknowledged.clear()
                    raise
                if intent.state is IntentState.INTENT and intent.frame_hash is not None:
                    self._frames[intent.frame_hash] = 0
            case Recall(terminal):
                return recall(self.books, terminal)
            case WallClock():
                return MOMENT
            case Random():
                return 0.5
            case Sleep(seconds):
                self._pass(self.now + seconds)
            case Open():
                if not self.terminal.connected(self.now):
                    raise ConnectError("the port is not there")
                self._open = True
            case Close():
                self._open = False
            case Report():
                pass
            case _:
                raise AssertionError(f"no effect of a flow over a byte stream: {effect!r}")
        return None

    def _send(self, data: bytes) -> None:
        self._watch_sent(data)
        if not self._open or not self.terminal.connected(self.now):
            raise Disconnected("the cable is out")
        limit = self.writes.pop(0) if self.writes else None
        if limit is not None:
            self.terminal.receive(data[:limit], self.now)
            raise PartialWrite("a part left", bytes_written=limit) if limit else WriteTimeout("nothing left")
        changed = self.to_terminal(data)
        if changed:
            self.terminal.receive(changed, self.now)

    def _receive(self, deadline: float) -> bytes:
        while True:
            if not self._open or not self.terminal.connected(self.now):
                raise Disconnected("the cable is out")
            data = self._taken()
            if data:
                return data
            if self.between():
                return b""
            event = self.terminal.next_event()
            until = min(deadline, math.inf if event is None else event)
            if until <= self.now and (event is None or event > self.now):
                return b""
            if self._pass(until):
                return b""

    def _taken(self) -> bytes:
        """What the terminal has written, with what became of each write on its way."""
        self.on_its_way.extend(self.terminal.take(self.now))
        data = b""
        while self.on_its_way:
            data += self.to_register(self.on_its_way[0]) or b""
            self.on_its_way.popleft()
        return data

    def _pass(self, until: float) -> bool:
        """Let time pass; true where something outside happened first."""
        if self.alarms and self.alarms[0][0] <= until:
            at, action = self.alarms.pop(0)
            self.now = max(self.now, at)
            action()
            return True
        self.now = max(self.now, until)
        return False

    # --------------------------------------------------------------------------------------------------------- promises

    def _watch_sent(self, data: bytes) -> None:
        if _MONEY.match(data):
            digest = hashlib.sha256(data).hexdigest()
            assert digest in self._frames, "a money command left that is not in the journal"
            self._frames[digest] += 1
            assert self._frames[digest] == 1, "a money command left twice"
            intents = self.books.unsettled(TERMINAL)
            assert [one.frame_hash for one in intents if one.open] == [digest], "it was not the one open intent"
            self._unacknowledged.clear()
        elif data == b'{"Received":true}' and self._unacknowledged:
            self._watch_acknowledged(self._unacknowledged.popleft())

    def _watch_acknowledged(self, message: Reply | Progress) -> None:
        ticket = getattr(message, "ticket", None)
        for intent in self.books.unsettled(TERMINAL):
            waiting = intent.open and intent.state is not IntentState.RECOVERING
            waiting = waiting and intent.intent_id not in self.books.behind
            if waiting and ticket and ticket == intent.ticket and self._is_result(intent, message):
                raise AssertionError("the result was acknowledged before it was recorded")

    def _is_result(self, intent: Intent, message: Reply | Progress) -> bool:
        """Whether there is no reason to doubt that the message is the result of the intent."""
        if not isinstance(message, Reply) or message.function_code != intent.command or not message.approved:
            return False
        if getattr(message, "amount", None) != intent.amount:
            return False
        if self.till.current != intent.intent_id and intent.baseline is None:
            # Left open by an earlier run, and nothing is known to be older: a voucher of long ago may be told again.
            return intent.ticket == generated_ticket(intent.intent_id)
        return all(step.intent_id == intent.intent_id for step in self.books.steps if step.ticket == intent.ticket)


class _Witness:
    """The link's own decoder, watched."""

    def __init__(self, decoder: Any, unacknowledged: deque[Reply | Progress]) -> None:
        self._decoder = decoder
        self._unacknowledged = unacknowledged

    def feed(self, data: bytes) -> list[Any]:
        messages: list[Any] = self._decoder.feed(data)
        self._unacknowledged.extend(message for message in messages if isinstance(message, (Reply, Progress)))
        return messages

    @property
    def pending(self) -> int:
        return int(self._decoder.pending)

    def reset(self) -> None:
        self._unacknowledged.clear()
        self._decoder.reset()


def settled(intent: Intent | None) -> bool:
    return intent is None or intent.state in FINAL_STATES


def ledger_of(terminal: VirtualTerminal, key: tuple[object, ...]) -> list[Entry]:
    """What the terminal's books hold of the commands of a key."""
    return [entry for entry in terminal.ledger.entries if key_of_entry(entry) == key]


def key_of(intent: Intent) -> tuple[object, ...]:
    """What a command has in common with its entry in the ledger; two commands of one key cannot be told apart."""
    if intent.ticket is not None:
        return ("ticket", intent.ticket)
    return (intent.command, intent.reference, intent.amount)


def key_of_entry(entry: Entry) -> tuple[object, ...]:
    if entry.refers_to is None:
        return ("ticket", entry.ticket)
    if entry.function_code in (102, 122):
        return (entry.function_code, str(entry.refers_to), None if entry.function_code == 102 else entry.amount)
    return (entry.function_code, entry.authorization_code, None if entry.function_code == 132 else entry.amount)
