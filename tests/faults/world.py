"""A third driver: a register on a virtual clock, over a byte stream or a virtual cloud, that asserts the promises.

Nothing here decides what a payment is: the flows do. The driver performs their effects, lets time pass without waiting,
has the link break and the process die when it is told to, and raises ``AssertionError`` the moment a promise of
docs/reliability.md is broken, on either carrier.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import urlsplit

import orjson

from getnet_pos.cloud._common import way_to_the_cloud
from getnet_pos.cloud.settings import CloudSettings
from getnet_pos.codec import Decoder
from getnet_pos.drivers.loop import run
from getnet_pos.errors import (
    ConnectError,
    DeadlineExceeded,
    Disconnected,
    GetnetError,
    JournalError,
    OutcomeUnknown,
    PartialWrite,
    WriteTimeout,
)
from getnet_pos.flows.effects import (
    AwaitNotice,
    Begin,
    Claim,
    Close,
    Effect,
    Flow,
    NewId,
    Now,
    Open,
    Random,
    Recall,
    Receive,
    Record,
    Report,
    Request,
    Response,
    Send,
    Sleep,
    Take,
    Unsettled,
    WallClock,
)
from getnet_pos.flows.intents import generated_ticket
from getnet_pos.journal import MemoryJournal, elsewhere
from getnet_pos.messages import (
    CATALOGUE,
    Command,
    CommandMessage,
    Intent,
    IntentState,
    KeyPos,
    PollReply,
    Progress,
    Reference,
    Reply,
    Sale,
    Wire,
)
from getnet_pos.profiles import Profile, Timeouts
from getnet_pos.session import Session
from getnet_pos.simulator import Entry, VirtualTerminal
from getnet_pos.simulator.cloud import CloudAnswer, CloudCall, VirtualCloud

T = TypeVar("T")
R = TypeVar("R", bound=Reply)

TERMINAL = "usb:/dev/terminal"
URL = "https://cloud.example/api/postxs"
HOOK = "https://register.example/hook"

MOMENT = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)


def moment(now: float) -> datetime:
    """What the wall clock shows: a fault of a seed hits the same byte each time."""
    return MOMENT + timedelta(seconds=now)


TIMEOUTS = Timeouts(
    acknowledgement=3, short=10, report=30, sale=60, sale_total=120, cancel=10, recovery=12, recovery_interval=5
)
"""Shaped as the defaults are; the recovery is shorter, so that a sequence has fewer queries."""


class GivenUp(BaseException):
    """The caller does not wait any longer, as by Ctrl-C: the process lives on, and its flow is told."""


class Stopped(BaseException):
    """The flow performs nothing any more, whatever it does about this."""


class Killed(Stopped):
    """The register's process is gone, as by ``kill -9``."""


class Journal(MemoryJournal):
    """A journal that outlives the register, remembers every step, and refuses to write when told to."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(clock=lambda: moment(self.now))
        self.written: list[Intent] = []
        self.refuses: Callable[[Intent], bool] = lambda intent: False
        self.behind: set[str] = set()
        """The intents of which a step was refused: what is known of them is not what is recorded."""
        self.sent: Counter[str] = Counter()
        """How often the command of each intent left and was not refused for its token."""
        self.begun = 0
        """How many ids were given to intents."""
        self.moments: list[float] = []
        """When each step was written."""
        self.synced = 0
        """How many steps are surely on the disk: the others are lost with the process, or with the power."""

    def record(self, intent: Intent) -> None:
        if self.refuses(intent):
            self.behind.add(intent.intent_id)
            raise JournalError("the disk is full")
        try:
            super().record(intent)
        except JournalError as error:
            if self.behind:
                raise
            raise AssertionError(f"a step that the journal does not take: {error}") from error
        before = self.last(intent.intent_id)
        if intent.passing:
            assert before is not None
            same = replace(intent, state=before.state, reason=before.reason)
            assert same == before, "what may be lost tells more than what is not"
        self.written.append(intent)
        self.moments.append(self.now)
        if not intent.passing:
            self.synced = len(self.written)

    @property
    def riding(self) -> int:
        """How many steps wait for the next sync."""
        return len(self.written) - self.synced

    def crash(self, left: int) -> int:
        """The process is gone; of the steps that waited, ``left`` had come with another's sync. How many are lost."""
        lost = max(self.riding - left, 0)
        steps = list(zip(self.written, self.moments, strict=True))[: self.synced + left]
        now = self.now
        super().__init__(clock=lambda: moment(self.now))
        for intent, at in steps:
            self.now = at
            super().record(intent)
        self.now = now
        self.written, self.moments = [intent for intent, _ in steps], [at for _, at in steps]
        self.synced = len(steps)
        return lost

    @property
    def next_id(self) -> str:
        return f"{self.begun + 1:08x}" * 4

    def last(self, intent_id: str) -> Intent | None:
        return next((intent for intent in reversed(self.written) if intent.intent_id == intent_id), None)

    def finals(self) -> list[Intent]:
        """Each intent as it stands, in the order of their beginning."""
        return list({intent.intent_id: intent for intent in self.written}.values())

    def states(self) -> list[IntentState]:
        return [intent.state for intent in self.finals()]

    def history(self, intent_id: str | None = None) -> list[IntentState]:
        """The states of every step, or of those of one intent."""
        return [step.state for step in self.written if intent_id in (None, step.intent_id)]


class Register:
    """One process of the register: it may end by ``Killed``; ``restarted`` makes the next one over the same journal.

    ``before`` is called before every effect, and ``between`` before every wait for the terminal: to kill, to pull the
    cable, to want a cancellation; a wait for bytes is given up where it returns true.
    """

    longest: float
    """Seconds within which every operation ends."""
    names_ticket: bool
    """Whether the terminal gets the ticket of a sale, so that its ledger has it."""

    def __init__(self, session: Session, terminal: VirtualTerminal, journal: Journal, now: float) -> None:
        self.session = session
        self.till = session.till
        self.terminal = terminal
        self.journal = journal
        self.now = now
        self.before: Callable[[Effect], None] = lambda effect: None
        self.between: Callable[[], bool] = lambda: False
        self.alarms: list[tuple[float, Callable[[], object]]] = []
        """What happens outside at a time, the next one first."""
        self.random: Callable[[], float] = lambda: 0.5
        self.effects = 0
        self.stopped: type[Stopped] | None = None
        self.gives_up_at = math.inf
        """The effect at which the caller gives up."""
        self.sync: Callable[[], float] = lambda: 0.0
        """How long the disk takes for a step, in seconds."""
        self.dies_at = math.inf
        """The effect, counted from the beginning of the process, that it does not live to see."""
        self._paying = ""
        """The intent of the command that was asked for last."""

    def restarted(self, after: float = 0.0) -> Register:
        """The next process of the register, ``after`` seconds later. What was to go wrong does not go wrong to it."""
        raise NotImplementedError  # each carrier has its own

    # ------------------------------------------------------------------------------------------------------- operations

    def poll(self) -> PollReply:
        return self._in_time(self.session.polling())

    def ask(self, command: Command[R]) -> R:
        """Run a command that moves no money."""
        return self._in_time(self.session.request(command))

    def pay(self, command: Command[R], timeout: float | None = None) -> R:
        """Run a money command, and assert that its caller is told what is recorded, in time."""
        self._paying = ""
        try:
            reply = self._in_time(self.session.request(command, timeout=timeout))
        except GetnetError as error:
            self._watch_raised(error)
            raise
        self._watch_returned(command, reply)
        return reply

    def sell(self, amount: int = 1000, ticket: str | None = "T1", timeout: float | None = None) -> Any:
        return self.pay(Sale(amount, ticket, send_message=True), timeout)

    def run(self, flow: Flow[T]) -> T:
        return run(flow, self._perform)

    def pass_time(self, seconds: float) -> None:
        until = self.now + seconds
        while self._pass(until):
            pass

    def _in_time(self, flow: Flow[T]) -> T:
        start = self.now
        try:
            return self.run(flow)
        finally:
            assert self.now - start <= self.longest, f"it took {self.now - start:.0f} s"

    # ---------------------------------------------------------------------------------------------------------- effects

    def _perform(self, effect: Effect) -> object:
        self.effects += 1
        if self.stopped is not None:
            raise self.stopped
        try:
            self.before(effect)
            if self.effects >= self.dies_at:
                raise Killed
        except Stopped as stopped:
            # Not itself: its traceback would keep the flow, and what that holds, alive.
            self.stopped = type(stopped)
            raise
        if self.effects >= self.gives_up_at and not isinstance(effect, (Record, Close)):
            self.gives_up_at = math.inf
            raise GivenUp
        self.journal.now = self.now
        match effect:
            case Now():
                return self.now
            case WallClock():
                return moment(self.now)
            case Random():
                return self.random()
            case NewId():
                self._paying = self.journal.next_id
                self.journal.begun += 1
                return self._paying
            case Take(place):
                place.wait(0.0)
            case Sleep(seconds) | AwaitNotice(_, seconds):
                assert seconds >= 0
                self.pass_time(seconds)
            case Record(intent):
                self._record(intent)
            case Recall(search):
                return self.journal.find(search)
            case Unsettled(search, most):
                return elsewhere(self.journal, search, most)
            case Claim(intent_id, terminal):
                return self.journal.claim(intent_id, terminal)
            case Report() | Begin():
                pass
            case _:
                return self._carry(effect)
        return None

    def _carry(self, effect: Effect) -> object:
        """Perform what only this carrier's flows ask for."""
        raise AssertionError(f"no effect of a flow over this carrier: {effect!r}")

    def _record(self, intent: Intent) -> None:
        self.pass_time(self.sync())
        self.journal.record(intent)

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
        """A money command leaves, and never before its intent is recorded, nor twice."""
        opened = [one for one in self.journal.unsettled(self.session.terminal) if one.open]
        digest = hashlib.sha256(data).hexdigest()
        assert [one.frame_hash for one in opened] == [digest], "a money command left that is not the one open intent"
        self.journal.sent[opened[0].intent_id] += 1
        assert self.journal.sent[opened[0].intent_id] == 1, "a money command left twice"

    def _watch_returned(self, command: Command[Any], reply: Reply) -> None:
        final = self.journal.last(self._paying)
        assert final is not None, "a result without a record"
        if not (final.open and final.intent_id in self.journal.behind):
            assert final.state is (IntentState.APPROVED if reply.approved else IntentState.DECLINED)
            assert (final.response_code, final.amount) == (reply.response_code, getattr(command, "amount", None))
        assert reply.function_code == command.code, "the reply of another command"
        asked = getattr(command, "amount", None)
        assert not reply.approved or getattr(reply, "amount", None) in (asked, None) or asked is None

    def _watch_raised(self, error: GetnetError) -> None:
        final = self.journal.last(self._paying)
        if final is None or final.intent_id in self.journal.behind:
            return
        if isinstance(error, OutcomeUnknown):
            assert error.intent_id == final.intent_id, "a record of what was not sent"
            assert final.state is IntentState.UNKNOWN, f"told that it is unknown, recorded {final.state}"
        else:
            refused = final.state is IntentState.DECLINED and final.response_code is None
            assert refused or final.state is IntentState.NOT_SENT, f"told {error!r}, recorded {final.state}"


# ------------------------------------------------------------------------------------------------------- a byte stream


@lru_cache(4096)
def _moves_money(data: bytes) -> bool:
    """Whether there is a money command in what a register writes, which is the same on many paths."""
    kinds = [CATALOGUE.kind(one.code) for one in Decoder().feed(data) if isinstance(one, CommandMessage)]
    return any(kind is not None and kind.moves_money for kind in kinds)


class StreamRegister(Register):
    """Over a byte stream. ``to_terminal`` and ``to_register`` may change what is written; ``None`` loses it."""

    names_ticket = True

    def __init__(
        self,
        terminal: VirtualTerminal,
        journal: Journal,
        *,
        now: float = 0.0,
        timeouts: Timeouts = TIMEOUTS,
        wire: Wire = Wire.SIGNED,
        place: str = TERMINAL,
        profile: Profile = Profile.INTEGRATED_POS,
        closes: bool = False,
    ) -> None:
        session = Session.over_stream(place, wire=wire, profile=profile, timeouts=timeouts, is_pluggable=not closes)
        super().__init__(session, terminal, journal, now)
        self.closes = closes
        """The terminal closes the link after each reply."""
        self.own = terminal
        """The terminal that belongs at this place."""
        self.wire = wire
        # What was left open, the last voucher, the command itself, its own recovery.
        asking = max(timeouts.recovery, timeouts.sale_total)
        self.longest = 2 * asking + 4 * timeouts.short + timeouts.sale_total + timeouts.recovery + 10
        self.link: Any = self.till.carrier.link  # type: ignore[attr-defined]  # a stream carrier has one
        self._unconfirmed: deque[Reply | Progress] = deque()
        """What the flow has read and must acknowledge, the oldest first."""
        self.link.decoder = _Witness(self.link.decoder, self._unconfirmed)
        self.to_terminal: Callable[[bytes], bytes | None] = lambda data: data
        self.to_register: Callable[[bytes], bytes | None] = lambda data: data
        self.writes: list[int | None] = []
        """For the next writes: how many bytes leave before the link breaks; ``None``: all of them, and it holds."""
        self.on_its_way: deque[bytes] = deque()
        self.arrived = b""
        """What of a read has come, while the fate of the rest is not decided."""
        self.plugged = False
        self.closing = False

    def restarted(self, after: float = 0.0, place: str | None = None) -> StreamRegister:
        register = StreamRegister(
            self.own,
            self.journal,
            now=self.now + after,
            timeouts=self.session.timeouts,
            wire=self.wire,
            place=place or self.session.terminal,
            profile=self.session.profile,
            closes=self.closes,
        )
        register.to_register = self.to_register
        register.sync = self.sync
        return register

    def swap(self, terminal: VirtualTerminal) -> None:
        """Have another terminal at this place from now on."""
        self.terminal.take(self.now)
        self.on_its_way.clear()
        self.plugged = False
        self.terminal = terminal
        terminal.take(self.now)

    def _carry(self, effect: Effect) -> object:
        match effect:
            case Receive(deadline):
                return self._receive(deadline)
            case Send(data, _, _):
                self._send(data)
            case Open():
                if not self.terminal.connected(self.now):
                    raise ConnectError("the port is not there")
                self.plugged, self.closing = True, False
            case Close():
                self.plugged = False
            case _:
                return super()._carry(effect)
        return None

    def _record(self, intent: Intent) -> None:
        try:
            super()._record(intent)
        except JournalError:
            # Now a reply stays unacknowledged for good.
            self._unconfirmed.clear()
            raise

    def _send(self, data: bytes) -> None:
        if _moves_money(data):
            self._watch_sent(data)
            self._unconfirmed.clear()
        elif data == b'{"Received":true}' and self._unconfirmed:
            self._watch_confirmed(self._unconfirmed.popleft())
        if not self.plugged or not self.terminal.connected(self.now):
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
            if not self.plugged or not self.terminal.connected(self.now):
                raise Disconnected("the cable is out")
            data = self._taken()
            if data:
                if self.closes and b"ResponseCode" in data:
                    self.closing = True
                return data
            if self.closing:
                self.plugged = self.closing = False
                raise Disconnected("the terminal has closed the connection")
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
        while self.on_its_way:
            self.arrived += self.to_register(self.on_its_way[0]) or b""
            self.on_its_way.popleft()
        data, self.arrived = self.arrived, b""
        return data

    def _watch_confirmed(self, message: Reply | Progress) -> None:
        ticket = getattr(message, "ticket", None)
        for intent in self.journal.unsettled(self.session.terminal):
            waiting = intent.open and intent.state is not IntentState.RECOVERING
            waiting = waiting and intent.intent_id not in self.journal.behind
            if waiting and ticket and ticket == intent.ticket and self._is_result(intent, message):
                raise AssertionError("the result was confirmed before it was recorded")

    def _is_result(self, intent: Intent, message: Reply | Progress) -> bool:
        """Whether there is no reason to doubt that the message is the result of the intent."""
        if not isinstance(message, Reply) or message.function_code != intent.command or not message.approved:
            return False
        if getattr(message, "amount", None) != intent.amount:
            return False
        if self.till.current != intent.intent_id and intent.baseline is None:
            # Left open by an earlier run, and nothing is known to be older: a voucher of long ago may be told again.
            return intent.ticket == generated_ticket(intent.intent_id)
        return all(step.intent_id == intent.intent_id for step in self.journal.written if step.ticket == intent.ticket)


class _Witness:
    """The link's own decoder, watched."""

    def __init__(self, decoder: Any, unconfirmed: deque[Reply | Progress]) -> None:
        self._decoder = decoder
        self._unconfirmed = unconfirmed

    def feed(self, data: bytes) -> list[Any]:
        messages: list[Any] = self._decoder.feed(data)
        self._unconfirmed.extend(message for message in messages if isinstance(message, (Reply, Progress)))
        return messages

    @property
    def pending(self) -> int:
        return int(self._decoder.pending)

    def reset(self) -> None:
        self._unconfirmed.clear()
        self._decoder.reset()


# ---------------------------------------------------------------------------------------------------------- the cloud


class CloudRegister(Register):
    """Through a virtual cloud. ``to_cloud`` may lose a call, ``to_register`` change the answer to one."""

    def __init__(
        self,
        cloud: VirtualCloud,
        journal: Journal,
        *,
        now: float = 0.0,
        timeouts: Timeouts = TIMEOUTS,
        webhook: str | None = None,
        key_pos: KeyPos | None = None,
    ) -> None:
        assert cloud.profile.cloud is not None
        settings = CloudSettings(
            base_url=URL, client_id="id", client_secret="secret", profile=cloud.profile, timeouts=timeouts
        )
        way = way_to_the_cloud(settings)
        session = Session.over_cloud(way, key_pos or cloud.key_pos, webhook=webhook, timeouts=timeouts)
        super().__init__(session, cloud.terminal, journal, now)
        self.cloud = cloud
        self.way = way
        self.webhook = webhook
        self.names_ticket = cloud.profile.cloud.takes_ticket
        self.longest = _longest_call(timeouts, way.retry.longest_retry_after)
        self.latency = 0.05
        self.unreachable: Callable[[Request], bool] = lambda request: False
        self.to_cloud: Callable[[CloudCall], bool] = lambda call: True
        self.to_register: Callable[[CloudCall, CloudAnswer], CloudAnswer] = lambda call, answer: answer
        self.sent: list[dict[str, Any]] = []
        """The bodies of the money commands that left, in order."""

    def restarted(self, after: float = 0.0) -> CloudRegister:
        timeouts = self.session.timeouts
        register = CloudRegister(
            self.cloud, self.journal, now=self.now + after, timeouts=timeouts, webhook=self.webhook
        )
        register.sync = self.sync
        return register

    def calls(self) -> list[str]:
        """The last part of the path of every call that came to the cloud."""
        return [call.path.rpartition("/")[2] for call in self.cloud.requests]

    def _carry(self, effect: Effect) -> object:
        return self._send(effect) if isinstance(effect, Request) else super()._carry(effect)

    def _pass(self, until: float) -> bool:
        early = super()._pass(until)
        self.cloud.advance(self.now)
        return early

    def _send(self, request: Request) -> Response:
        assert request.timeout > 0, "a request that has no time"
        if self.unreachable(request):
            raise ConnectError("no route")
        request.departure.has_come = True
        headers = {name.lower(): str(value) for name, value in request.headers.items()}
        parts = urlsplit(request.url)
        call = CloudCall(request.method, parts.path, parts.query, headers, request.content)
        paid = _paid_by(call)
        if paid is not None:
            self._watch_sent(request.content)
            self.sent.append(paid)
        answer = self._answer(call, self.now + request.timeout)
        if paid is not None and answer.status == 401:
            # Refused for its token: it may leave once more.
            self.journal.sent.subtract({self._paying: 1})
        if not answer.whole:
            raise Disconnected("reset", bytes_written=1)
        return Response(answer.status, answer.headers, answer.body)

    def _answer(self, call: CloudCall, deadline: float) -> CloudAnswer:
        self.pass_time(self.latency)
        if not self.to_cloud(call):
            return CloudAnswer(whole=False)
        self.cloud.receive(call, self.now)
        while call.answer is None:
            self.between()
            event = self.cloud.next_event()
            self._pass(min(deadline, math.inf if event is None else event))
            if call.answer is None and self.now >= deadline:
                raise DeadlineExceeded("no answer", bytes_written=1)
        return self.to_register(call, call.answer)


def _paid_by(call: CloudCall) -> dict[str, Any] | None:
    """The body of a call that moves money."""
    if call.method != "POST" or call.path.endswith("/auth"):
        return None
    body: dict[str, Any] = orjson.loads(call.body)
    kind = CATALOGUE.kind(body["command"])
    return body if kind is not None and kind.moves_money else None


def _longest_call(timeouts: Timeouts, retry_after: float) -> float:
    """What was left open, the last voucher, a login, the command itself twice, following it, its own recovery.

    Before each call the cloud may ask for patience.
    """
    recovery = max(timeouts.sale_total, timeouts.recovery) + timeouts.report + 2 * retry_after
    login = 3 * (timeouts.report + retry_after)
    command = 2 * (timeouts.cloud + 2 * retry_after) + timeouts.sale_total
    return 2 * recovery + 2 * (timeouts.report + 2 * retry_after) + 2 * login + command


# ----------------------------------------------------------------------------------------------------------- the truth


Key = tuple[object, ...]
"""What a command has in common with its entry in the ledger; two commands of one key cannot be told apart."""


def key_of(intent: Intent, *, names_ticket: bool = True) -> Key:
    if names_ticket and intent.ticket is not None:
        return ("ticket", intent.ticket)
    return (CATALOGUE.facts(intent.command).recorded_as, intent.reference, intent.amount)


def key_of_entry(entry: Entry, *, names_ticket: bool = True) -> Key:
    if entry.refers_to is None:
        if names_ticket and entry.ticket:
            return ("ticket", entry.ticket)
        return (entry.function_code, None, entry.amount)
    kind = CATALOGUE.kinds[entry.function_code]
    by_id = kind.refers_to is Reference.OPERATION_ID
    named = str(entry.refers_to) if by_id else entry.authorization_code
    names_amount = hasattr(kind, "amount")
    return (entry.function_code, named, entry.amount if names_amount else None)


def check_ledger(register: Register, entries: Sequence[Entry]) -> None:
    """``entries``, what the terminals have done for this register, are the truth: charged as often as approved among
    the commands that only they can tell apart, but for those of unknown outcome.
    """
    named = register.names_ticket
    finals: dict[Key, list[Intent]] = {}
    made: dict[Key, list[Entry]] = {}
    for intent in register.journal.finals():
        finals.setdefault(key_of(intent, names_ticket=named), []).append(intent)
    for entry in entries:
        made.setdefault(key_of_entry(entry, names_ticket=named), []).append(entry)
    assert set(made) <= set(finals), "a charge without a trace in the journal"
    for key, alike in finals.items():
        entries = made.get(key, [])
        states = Counter(one.state for one in alike)
        least = states[IntentState.APPROVED]
        most = least + sum(one.open or one.state is IntentState.UNKNOWN for one in alike)
        assert len(entries) <= len(alike), f"{key}: charged twice"
        assert least <= len(entries) <= most, f"{key}: the ledger has {len(entries)}, the journal {dict(states)}"
        codes = [
            one.authorization_code for one in alike if one.state is IntentState.APPROVED and one.authorization_code
        ]
        assert set(codes) <= {one.authorization_code for one in entries}, f"{key}: it has the result of another"
        if alike[0].reference is None:
            assert len(set(codes)) == len(codes), f"{key}: one charge is taken for two"
