"""The cloud flows against the virtual cloud on a clock of their own: no sockets, no threads, no waiting."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Generator
from datetime import datetime, timezone
from typing import Any, TypeVar
from urllib.parse import urlsplit

import orjson

from getnet_pos import (
    Command,
    ConnectError,
    DeadlineExceeded,
    Disconnected,
    GetnetError,
    Intent,
    IntentState,
    JournalError,
    KeyPos,
    MemoryJournal,
    Profile,
    Reply,
    Timeouts,
)
from getnet_pos.cloud._common import way_to_the_cloud
from getnet_pos.cloud.account import CloudSettings
from getnet_pos.drivers.loop import run
from getnet_pos.flows.effects import NewId, Now, Random, Recall, Record, Request, Response, Sleep, Take, WallClock
from getnet_pos.journal import recall
from getnet_pos.session import Session
from getnet_pos.simulator.cloud import CloudCall, VirtualCloud

T = TypeVar("T")

URL = "https://cloud.example/api/postxs"
MONEY = ("sale", "refund", "return", "salepromo")
TIMEOUTS = Timeouts(recovery=60, recovery_interval=10)


class Killed(BaseException):
    """The register's process ends here."""


class Journal(MemoryJournal):
    """A journal that remembers every step, and that can refuse some."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[Intent] = []
        self.refusing: Callable[[Intent], bool] = lambda intent: False

    def record(self, intent: Intent) -> None:
        if self.refusing(intent):
            raise JournalError("the disk is full")
        super().record(intent)
        self.steps.append(intent)

    def last(self) -> dict[str, Intent]:
        return {intent.intent_id: intent for intent in self.steps}

    def states(self) -> list[IntentState]:
        return [intent.state for intent in self.last().values()]


class Rig:
    """A register, its journal, and a cloud; ``register()`` is another run of the register."""

    def __init__(self, cloud: VirtualCloud, *, timeouts: Timeouts = TIMEOUTS, seed: int = 0) -> None:
        self.cloud = cloud
        self.journal = Journal()
        self.now = 0.0
        self.effects = 0
        self.kill_at: int | None = None
        self.latency = 0.05
        self.unreachable: Callable[[Request], bool] = lambda request: False
        self.sent: list[dict[str, Any]] = []
        """The bodies of the money commands that left, in order."""
        self._timeouts = timeouts
        self._random = random.Random(seed)
        self.random: Callable[[], float] = self._random.random
        """What flows draw."""

    def register(self, *, webhook: str | None = None, key_pos: KeyPos | None = None) -> Session:
        profile = self.cloud.profile
        settings = CloudSettings(
            base_url=URL, client_id="id", client_secret="secret", profile=profile, timeouts=self._timeouts
        )
        way = way_to_the_cloud(settings)
        return Session.over_cloud(way, key_pos or self.cloud.key_pos, webhook=webhook, timeouts=self._timeouts)

    def run(self, flow: Generator[Any, Any, T]) -> T:
        return run(flow, self._perform)

    def _perform(self, effect: Any) -> Any:
        match effect:
            case Take(place):
                place.wait(0.0)
                return None
            case WallClock():
                return datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
            case NewId():
                return uuid.UUID(int=self._random.getrandbits(128)).hex
            case Random():
                return self.random()
        if self.kill_at is not None and self.effects >= self.kill_at:
            raise Killed
        self.effects += 1
        match effect:
            case Request():
                return self._send(effect)
            case Now():
                return self.now
            case Sleep(seconds):
                assert 0 <= seconds < 120
                self.pass_time(seconds)
            case Record(intent):
                self.journal.record(intent)
            case Recall(terminal):
                return recall(self.journal, terminal)
            case _:
                raise AssertionError(effect)
        return None

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.cloud.advance(self.now)

    def _send(self, request: Request) -> Response:
        if self.unreachable(request):
            raise ConnectError("no route")
        parts = urlsplit(request.url)
        if parts.path.rpartition("/")[2] in MONEY:
            self._check_recorded(request.content)
        headers = {name.lower(): str(value) for name, value in request.headers.items()}
        call = CloudCall(request.method, parts.path, parts.query, headers, request.content)
        deadline = self.now + request.timeout
        self.now += self.latency
        self.cloud.receive(call, self.now)
        while call.answer is None:
            event = self.cloud.next_event()
            if event is None or event > deadline:
                self.now = max(self.now, deadline)
                self.cloud.advance(self.now)
                raise DeadlineExceeded("no answer", bytes_written=1)
            self.now = max(self.now, event)
            self.cloud.advance(self.now)
        answer = call.answer
        if not answer.whole:
            raise Disconnected("reset", bytes_written=1)
        return Response(answer.status, answer.headers, answer.body)

    def _check_recorded(self, content: bytes) -> None:
        """No byte of a money command leaves before its intent is in the journal."""
        body = orjson.loads(content)
        self.sent.append(body)
        last = self.journal.steps[-1]
        assert last.state is IntentState.INTENT
        assert (last.command, last.amount) == (body["command"], body.get("amount"))
        assert body.get("customId") in (None, last.ticket, last.intent_id[:24])


def pay(session: Session, rig: Rig, command: Command) -> Reply | GetnetError:
    try:
        return rig.run(session.request(command))
    except GetnetError as error:
        return error


CHILE, ARGENTINA = Profile.CHILE, Profile.ARGENTINA
