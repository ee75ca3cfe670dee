"""Every way a sale can go, over either carrier: the real flows, restarted at each choice until no choice is left.

A path is a list of choices. Where the world could go on in several ways, the path takes the first one that was not
taken before; a state of the world that was reached before, with the same adversities left, is not gone on from twice.
The state is all that can matter: where each flow stands and what it holds, the link or the calls, the journal, the
terminal, the clock's distances.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import datetime
from enum import Enum
from functools import cache, partial
from types import FunctionType, GeneratorType, MappingProxyType, MethodType, NoneType
from typing import Any

from getnet_pos.errors import GetnetError
from getnet_pos.flows.cloud import CloudAttempt, CloudCarrier
from getnet_pos.flows.cloud_calls import Cloud
from getnet_pos.flows.effects import Effect, Flow, Open, Receive, Record, Request, Send, Sleep
from getnet_pos.flows.http_calls import RetryPolicy, Secret
from getnet_pos.flows.link import Link
from getnet_pos.flows.payment import Till
from getnet_pos.flows.stream import StreamAttempt, StreamCarrier
from getnet_pos.flows.tokens import TokenProvider
from getnet_pos.journal import Lease
from getnet_pos.messages import Catalogue, Command, Intent, IntentState, Reply, Step
from getnet_pos.profiles import Profile, Timeouts
from getnet_pos.session import Session
from getnet_pos.simulator import Behaviour, Outcome, VirtualTerminal
from getnet_pos.simulator.cloud import CloudAnswer, CloudCall, VirtualCloud
from getnet_pos.turns import Place, QueueTurn

from .world import CloudRegister, Journal, Killed, Register, Stopped, StreamRegister, check_ledger, moment

TIMEOUTS = Timeouts(
    acknowledgement=3, short=5, report=10, sale=12, sale_total=20, cancel=4, cloud=30, recovery=10, recovery_interval=5
)

_START = 1_000_000.0
"""The clock's beginning: what is larger is a time, what is smaller is a duration."""

_AMOUNT = 1000


@dataclass(frozen=True, slots=True)
class Budget:
    """What may still go wrong on a path."""

    losses: int = 0
    """Messages lost or damaged, either way; calls that break before or after they were carried out."""
    kills: int = 0
    reboots: int = 0
    cancellations: int = 0

    def spend(self, name: str) -> Budget:
        return replace(self, **{name: getattr(self, name) - 1})


@dataclass(frozen=True, slots=True)
class Setting:
    """What is the same on every path of an exploration."""

    budget: Budget
    profile: Profile | None = None
    """Of the cloud; ``None``: a byte stream."""
    webhook: str | None = None
    """The cloud answers at once and is asked for the status; ``None``: a call is answered with the result."""
    outcome: Outcome = Outcome.APPROVE
    bare: bool = False
    """Vouchers have no ticket and no operation id."""
    record_after: float = 0.0
    """From the approval until the last voucher shows it: before, the last voucher is a stale one."""
    stop_at: int = 10_000_000
    """The most states."""


class _Terminal(VirtualTerminal):
    """Its dates count operations, an hour for each, so that they do not tell apart what is alike but for the time."""

    def date(self) -> str:
        return f"2026-01-01 {len(self.ledger.entries):02d}:00:00"


class _Seen(Stopped):
    """The path has come to where another one went on."""


class Explorer:
    def __init__(self, setting: Setting, *, merging: bool = True) -> None:
        self.setting = setting
        self.merging = merging
        self.states: set[int] = set()
        self.outcomes: Counter[str] = Counter()
        self.paths = 0
        self.complete = True

    def run(self) -> None:
        stack: list[tuple[int, ...]] = [()]
        kind = StreamPath if self.setting.profile is None else CloudPath
        while stack:
            if len(self.states) >= self.setting.stop_at:
                self.complete = False
                return
            path = kind(self, stack.pop())
            self.paths += 1
            try:
                self.outcomes[path.play()] += 1
            except _Seen:
                pass
            except AssertionError as error:
                raise AssertionError(f"{self.setting}, path {path.choices}: {error}") from error
            stack.extend(path.alternatives)


class Path:
    """One path: a sale before, the sale that things go wrong with, and one after."""

    seen: tuple[type[Effect], ...]
    """The effects that can be seen from outside: before each the process may be killed."""

    def __init__(self, explorer: Explorer, given: tuple[int, ...]) -> None:
        self.explorer = explorer
        self.setting = explorer.setting
        self.given = given
        self.choices: list[int] = []
        self.alternatives: list[tuple[int, ...]] = []
        self.budget = Budget()
        self.manner = ("Ticket", "OperationId") if self.setting.bare else ()
        self.terminal = _Terminal(answers={101: Behaviour(omit=self.manner)}, seed=0)
        self.journal = Journal()
        self.flow: Any = None
        self.register = self._watched(self._opened())

    def _opened(self) -> Register:
        """The first register."""
        raise NotImplementedError  # each carrier has its own

    # ---------------------------------------------------------------------------------------------------------- playing

    def play(self) -> str:
        """Play to the end; the final state of the sale."""
        assert self._sell("A0", Behaviour(omit=self.manner)) is IntentState.APPROVED
        self.budget = self.setting.budget
        behaviour = Behaviour(
            outcome=self.setting.outcome,
            progress=(78,),
            progress_every=1.0,
            decide_after=2.0,
            reply_after=1.0,
            record_after=self.setting.record_after,
            omit=self.manner,
        )
        self._sell("A1", behaviour)
        self._poll()
        # From here on nothing goes wrong: the end of one path is the end of all that came to the same state.
        self.budget = Budget()
        self._choose(("the end",))
        sold = self.journal.states()[1:]
        self.register.pass_time(100.0)
        self.terminal.script.clear()
        after = self._sell("A2", Behaviour(omit=self.manner))
        self._poll()
        assert after in (IntentState.APPROVED, IntentState.UNKNOWN), f"the next sale ended as {after}"
        assert not [one for one in self.journal.finals() if one.open], "it was forgotten"
        check_ledger(self.register, self.register.terminal.ledger.entries)
        return str(sold[0]) if sold else "refused"

    def _sell(self, ticket: str, behaviour: Behaviour) -> IntentState | None:
        """Sell, and die if it is to be; the state that the sale is recorded in, if it is."""
        self._poll()
        self.terminal.script.append(behaviour)
        intent_id = self.journal.next_id
        try:
            self.register.sell(_AMOUNT, ticket)
        except GetnetError:
            pass
        except Killed:
            self._restart()
        final = self.journal.last(intent_id)
        return None if final is None else final.state

    def _poll(self) -> None:
        for _ in range(12):
            try:
                if self.register.poll().approved:
                    return
            except GetnetError:
                pass
            except Killed:
                self._restart()
            self.register.pass_time(5.0)
        raise AssertionError("the terminal never came back")

    def _restart(self) -> None:
        # What the dead process held is free, and what nobody had waited for may be lost.
        self.flow = None
        riding = self.journal.riding
        if riding:
            self.journal.crash(left=int(self._choose([str(left) for left in range(riding + 1)])))
        self.register = self._watched(self.register.restarted(after=1.0))

    def _watched(self, register: Any) -> Any:
        register.before = self._before
        register.between = self._between
        run = register.run

        def watched(flow: Flow[Any]) -> Any:
            self.flow = flow
            return run(flow)

        register.run = watched
        return register

    # ---------------------------------------------------------------------------------------------------------- choices

    def _choose(self, options: Sequence[str]) -> str:
        """Which way the world goes on."""
        place = len(self.choices)
        if place < len(self.given):
            taken = self.given[place]
        else:
            self._mark(options)
            taken = 0
            so_far = tuple(self.choices)
            self.alternatives.extend((*so_far, other) for other in range(1, len(options)))
        self.choices.append(taken)
        return options[taken]

    def _mark(self, options: Sequence[str]) -> None:
        state = hash((self.budget, *options, self._state()))
        if state in self.explorer.states:
            if self.explorer.merging:
                raise _Seen
        else:
            self.explorer.states.add(state)

    def _loss(self, *ways: str) -> str:
        """How a message or a call fares: "whole", or one of the ways in which it gets lost."""
        fate = self._choose(("whole", *ways)) if self.budget.losses else "whole"
        if fate != "whole":
            self.budget = self.budget.spend("losses")
        return fate

    def _before(self, effect: Effect) -> None:
        if isinstance(effect, self.seen):
            self._maybe_die()
        if isinstance(effect, (Send, Record, Request)):
            self._maybe_reboot()

    def _between(self) -> bool:
        """Whether the register is to look up from its wait."""
        self._maybe_reboot()
        return False

    def _maybe_die(self) -> None:
        if self.budget.kills and self._choose(("lives", "killed")) == "killed":
            self.budget = self.budget.spend("kills")
            raise Killed

    def _maybe_reboot(self) -> None:
        if not self.budget.reboots:
            return
        fate = self._choose(("stays on", "reboots", "reboots and forgets"))
        if fate != "stays on":
            self.budget = self.budget.spend("reboots")
            self.terminal.reboot(fate == "reboots", self.register.now)

    # ------------------------------------------------------------------------------------------------------------ state

    def _state(self) -> tuple[Any, ...]:
        till, terminal = self.register.till, self.terminal
        short = _shortener(self.register.now)
        return (
            tuple(self._frames(short)),
            tuple(short(getattr(till, one.name)) for one in fields(till) if one.name not in ("carrier", "baseline")),
            (till.baseline, till.baseline and till.baseline.fresh),
            (self.register.session.ready, self.register.session.selling),
            short(self.journal.steps()),
            frozenset(self.journal.behind),
            self.journal.riding if self.budget.kills else 0,
            self._carrier_state(short),
            (terminal.ledger.entries, tuple((short(at), entry.operation_id) for at, entry in terminal._record)),
            tuple((short(at), _answering(answer)) for at, _, answer in terminal._answering),
            None if terminal._current is None else terminal._current.command.code,
            tuple((short(at), data) for at, data, _ in terminal._writes),
            (terminal._decoder.pending, len(terminal._heard), terminal._last_reply, len(terminal.script)),
        )

    def _carrier_state(self, short: Callable[[Any], Any]) -> tuple[Any, ...]:
        """What this way to the terminal holds."""
        raise NotImplementedError  # each carrier has its own

    def _frames(self, short: Callable[[Any], Any]) -> Iterable[Any]:
        flow = self.flow
        while isinstance(flow, GeneratorType) and flow.gi_frame is not None:
            frame = flow.gi_frame
            yield frame.f_code.co_name, frame.f_lasti, short(frame.f_locals)
            flow = flow.gi_yieldfrom


class StreamPath(Path):
    seen = (Send, Record, Receive, Open, Sleep)
    register: StreamRegister

    def _opened(self) -> StreamRegister:
        return StreamRegister(self.terminal, self.journal, now=_START, timeouts=TIMEOUTS)

    def _watched(self, register: Any) -> Any:
        register.to_terminal = register.to_register = self._carry
        return super()._watched(register)

    def _carry(self, data: bytes) -> bytes | None:
        fate = self._loss("lost", "damaged")
        if fate == "damaged":
            middle = len(data) // 2
            return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        return data if fate == "whole" else None

    def _between(self) -> bool:
        super()._between()
        if not self.budget.cancellations or not self.register.session.selling:
            return False
        if self._choose(("goes on", "cancelled")) == "goes on":
            return False
        self.budget = self.budget.spend("cancellations")
        return self.register.session.cancel()

    def _carrier_state(self, short: Callable[[Any], Any]) -> tuple[Any, ...]:
        carrier: Any = self.register.till.carrier
        link = carrier.link
        return (
            (
                carrier._answered,
                carrier._day_first,
                link.is_open,
                link.cancel_wanted,
                link.has_acknowledged,
                link.awaits_voucher,
            ),
            (short(link._inbox), link.decoder.pending, self.register.plugged),
            (self.register.arrived, *self.register.on_its_way),
        )


class CloudPath(Path):
    seen = (Request, Record, Sleep)
    register: CloudRegister

    def _opened(self) -> CloudRegister:
        assert self.setting.profile is not None
        triplet = VirtualCloud(profile=self.setting.profile).key_pos
        cloud = VirtualCloud(profile=self.setting.profile, terminals={triplet: self.terminal})
        self.answers: dict[str, CloudAnswer] = {}
        """The last good answer under each path, which may come again."""
        return CloudRegister(cloud, self.journal, now=_START, timeouts=TIMEOUTS, webhook=self.setting.webhook)

    def _watched(self, register: Any) -> Any:
        register.to_cloud, register.to_register = self._arrives, self._answered
        return super()._watched(register)

    def _between(self) -> bool:
        self._maybe_die()
        return super()._between()

    def _arrives(self, call: CloudCall) -> bool:
        return self._loss("lost") == "whole"

    def _answered(self, call: CloudCall, answer: CloudAnswer) -> CloudAnswer:
        earlier = self.answers.get(call.path)
        fate = self._loss("lost", "cut", "500", *(["an earlier one"] if earlier else []))
        if fate == "whole":
            self.answers[call.path] = answer
        elif fate == "an earlier one":
            assert earlier is not None
            return earlier
        elif fate == "cut":
            return replace(answer, body=answer.body[: len(answer.body) // 2])
        elif fate == "500":
            return CloudAnswer(500)
        return answer if fate == "whole" else CloudAnswer(whole=False)

    def _carrier_state(self, short: Callable[[Any], Any]) -> tuple[Any, ...]:
        cloud, way = self.register.cloud, self.register.way
        bearer: Any = way.bearer
        return (
            (bearer._token is None, bearer._attempts, short(bearer._failure)),
            (short(way.pace._not_before), way.pace._refusals),
            tuple(short(at) for at, _, _ in cloud._agenda),
            tuple(short(one.waiting) for one in cloud._lines.values()),
            tuple((number, short(one)) for number, one in cloud._transactions.items()),
            tuple((path, one.body) for path, one in self.answers.items()) if self.budget.losses else (),
        )


def _answering(answer: Any) -> tuple[Any, ...]:
    frames, steps = [], answer.steps
    while isinstance(steps, GeneratorType) and steps.gi_frame is not None:
        frames.append((steps.gi_frame.f_code.co_name, steps.gi_frame.f_lasti))
        steps = steps.gi_yieldfrom
    return answer.command.code, answer.busy, tuple(answer.held), tuple(frames)


_ELSEWHERE = (
    Catalogue, Cloud, CloudCarrier, FunctionType, GeneratorType, Lease, Link, MethodType, Place, Profile, QueueTurn,
    RetryPolicy, Session, StreamCarrier, Till, Timeouts, TokenProvider,
)  # fmt: skip
"""What tells nothing apart, or is looked at by itself."""


_PLAIN = {NoneType, bool, int, str}

_field_names = cache(lambda kind: [one.name for one in fields(kind)])


def _shortener(now: float) -> Callable[[Any], Any]:
    """What of a value tells states apart: times by their distance from now, what is looked at elsewhere not at all."""

    def short(value: Any) -> Any:
        kind = type(value)
        if kind in _PLAIN:
            return value
        if kind is float:
            return round(value - now, 6) if _START / 2 < value < math.inf else value
        if isinstance(value, (_ELSEWHERE, Secret)):
            return None
        if isinstance(value, datetime):
            return str(value)
        if isinstance(value, (int, str, Enum)):
            return value
        if isinstance(value, bytes):
            return len(value)
        if isinstance(value, Intent):
            return value.intent_id, value.state, value.transaction_id, value.baseline, value.found
        if isinstance(value, Step):
            age = (moment(now) - datetime.fromisoformat(value.at)).total_seconds()
            return short(value.intent), age if value.intent.open else None
        if isinstance(value, Reply):
            return repr(value)
        if isinstance(value, Command):
            return value.code
        if isinstance(value, (set, frozenset)):
            return tuple(sorted(map(str, value)))
        if isinstance(value, (list, tuple, deque)):
            return tuple([short(one) for one in value])
        if isinstance(value, (dict, MappingProxyType)):
            return tuple([(key, short(one)) for key, one in value.items()])
        if isinstance(value, (BaseException, type)):
            return str(value)
        if isinstance(value, partial):
            return value.func.__qualname__, short(value.args)
        if is_dataclass(value):
            return kind.__name__, tuple([short(getattr(value, name)) for name in _field_names(kind)])
        assert isinstance(value, (StreamAttempt, CloudAttempt)) or hasattr(value, "__next__"), type(value)
        return type(value).__name__, short(getattr(value, "__dict__", None))

    return short


def explore(setting: Setting) -> Counter[str]:
    """All paths of a setting, and what they ended as."""
    explorer = Explorer(setting)
    explorer.run()
    counts = Counter({f"ended {name}": number for name, number in explorer.outcomes.items()})
    counts["states"], counts["paths"], counts["cut short"] = len(explorer.states), explorer.paths, not explorer.complete
    return counts
