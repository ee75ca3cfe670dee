"""Every way a sale can go: the real flows, restarted at each choice until no choice is left.

A path is a list of choices. Where the world could go on in several ways, the path takes the first one that was not
taken before; a state of the world that was reached before, with the same adversities left, is not gone on from twice.
The state is all that can matter: where each flow stands and what it holds, the link, the journal, the terminal, the
clock's distances.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from types import GeneratorType
from typing import Any

from getnet_pos.flows.exchange import Waiting
from getnet_pos.flows.money import Till, pay
from getnet_pos.flows.polling import polling

from getnet_pos.errors import GetnetError, OutcomeUnknown, TransportError
from getnet_pos.flows.effects import Open, Receive, Record, Send, Sleep
from getnet_pos.flows.link import Link
from getnet_pos.messages import Ack, BadFrame, Command, Intent, IntentState, Progress, Reply, Sale, VoucherMark
from getnet_pos.profiles import Timeouts
from getnet_pos.simulator import Behaviour, Outcome, VirtualTerminal

from .register import Books, Killed, Register, key_of, ledger_of

TIMEOUTS = Timeouts(
    acknowledgement=3, short=5, report=10, sale=12, sale_total=20, cancel=4, recovery=10, recovery_interval=5
)

_START = 1_000_000.0
"""The clock's beginning: what is larger is a time, what is smaller is a duration."""

_AMOUNT = 1000
_MOMENT = "2026-01-01T12:00:00.000Z"


@dataclass(frozen=True, slots=True)
class Budget:
    """What may still go wrong on a path."""

    losses: int = 0
    """Messages lost or damaged, either way."""
    kills: int = 0
    reboots: int = 0
    cancellations: int = 0

    def spend(self, name: str) -> Budget:
        return replace(self, **{name: getattr(self, name) - 1})


@dataclass(frozen=True, slots=True)
class Setting:
    """What is the same on every path of an exploration."""

    budget: Budget
    outcome: Outcome = Outcome.APPROVE
    bare: bool = False
    """Vouchers have no ticket and no operation id."""
    record_after: float = 0.0
    """From the approval until the last voucher shows it: before, the last voucher is a stale one."""
    ticket: str = "A1"
    stop_at: int = 10_000_000
    """The most states."""


class _Terminal(VirtualTerminal):
    """Its dates count operations, so that they do not tell apart what is alike but for the hour."""

    def _date(self) -> str:
        return f"2026-01-01 12:{len(self.ledger.entries):02d}:00"


class _Seen(Exception):
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
        while stack:
            if len(self.states) >= self.setting.stop_at:
                self.complete = False
                return
            path = _Path(self, stack.pop())
            self.paths += 1
            try:
                self.outcomes[path.play()] += 1
            except _Seen:
                pass
            except AssertionError as error:
                raise AssertionError(f"{self.setting}, path {path.choices}: {error}") from error
            stack.extend(path.alternatives)


class _Path:
    def __init__(self, explorer: Explorer, given: tuple[int, ...]) -> None:
        self.explorer = explorer
        self.given = given
        self.choices: list[int] = []
        self.alternatives: list[tuple[int, ...]] = []
        setting = explorer.setting
        self.budget = Budget()
        manner = ("Ticket", "OperationId") if setting.bare else ()
        self.terminal = _Terminal(answers={101: Behaviour(omit=manner)})
        self.books = Books()
        self.flow: Any = None
        self.register = self._new_register(_START)
        self.manner = manner

    # ---------------------------------------------------------------------------------------------------------- playing

    def play(self) -> str:
        """Play to the end; the final state of the sale."""
        setting = self.explorer.setting
        before = self._sell("00", "A0", Behaviour(omit=self.manner))
        assert isinstance(before, Reply)
        assert before.approved
        self.budget = setting.budget
        told = self._sell(
            "01",
            setting.ticket,
            Behaviour(
                outcome=setting.outcome,
                progress=(78,),
                progress_every=1.0,
                decide_after=2.0,
                reply_after=1.0,
                record_after=setting.record_after,
                omit=self.manner,
            ),
        )
        self._poll()
        # From here on nothing goes wrong: the end of one path is the end of all that came to the same state.
        self.budget = Budget()
        self._choose(("the end",))
        self.register.now += 100.0
        self.terminal.script.clear()
        after = self._sell("02", "A2", Behaviour(omit=self.manner))
        self._poll()
        return self._compare(told, after)

    def _sell(self, number: str, ticket: str, behaviour: Behaviour) -> Reply | str | None:
        self._poll()
        self.terminal.script.append(behaviour)
        sale = Sale(_AMOUNT, ticket, date_time=_MOMENT, send_message=True)
        for_money = pay(self.register.till, sale, number * 16, patience=12, total=20, cancellable=True)
        start = self.register.now
        try:
            return self._run(for_money)  # type: ignore[no-any-return]
        except OutcomeUnknown:
            return "unknown"
        except TransportError:
            return "not sent"
        except Killed:
            self.register = self._new_register(self.register.now + 1.0)
            return None
        finally:
            self.register.till.link.cancel_wanted = False
            assert self.register.now - start <= 20 + 2 * 10 + 2 * 5 + 5, "it was not over by its deadline"

    def _poll(self) -> None:
        for _ in range(12):
            try:
                if self._run(polling(self.register.till)).approved:
                    return
            except GetnetError:
                pass
            except Killed:
                self.register = self._new_register(self.register.now + 1.0)
            self.register.now += 5.0
        raise AssertionError("the terminal never came back")

    def _run(self, flow: Any) -> Any:
        self.flow = flow
        return self.register.run(flow)

    def _new_register(self, now: float) -> Register:
        register = Register(self.terminal, self.books, now=now, timeouts=TIMEOUTS)
        register.before = self._before
        register.between = self._between
        register.to_terminal = register.to_register = self._carry
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

    def _carry(self, data: bytes) -> bytes | None:
        if not self.budget.losses:
            return data
        fate = self._choose(("whole", "lost", "damaged"))
        if fate == "whole":
            return data
        self.budget = self.budget.spend("losses")
        if fate == "lost":
            return None
        middle = len(data) // 2
        return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]

    def _before(self, effect: Any) -> None:
        seen = isinstance(effect, (Send, Record, Receive, Open, Sleep))
        if seen and self.budget.kills and self._choose(("lives", "killed")) == "killed":
            self.budget = self.budget.spend("kills")
            raise Killed
        if self.budget.reboots and isinstance(effect, (Send, Record)):
            self._maybe_reboot()

    def _between(self) -> bool:
        """Whether the register is to look up from its wait."""
        if self.budget.reboots:
            self._maybe_reboot()
        if self.budget.cancellations and self._choose(("goes on", "cancelled")) == "cancelled":
            self.budget = self.budget.spend("cancellations")
            self.register.till.link.cancel_wanted = True
            return True
        return False

    def _maybe_reboot(self) -> None:
        fate = self._choose(("stays on", "reboots", "reboots and forgets"))
        if fate != "stays on":
            self.budget = self.budget.spend("reboots")
            self.terminal.reboot(fate == "reboots", self.register.now)

    # ------------------------------------------------------------------------------------------------------------ truth

    def _compare(self, told: Reply | str | None, after: Reply | str | None) -> str:
        final = self.books.last("01" * 16)
        if final is None:
            assert not isinstance(told, Reply)
            return "refused"
        assert not final.open, "it was forgotten"
        for number in ("00", "01", "02"):
            self._check(number * 16)
        assert isinstance(after, Reply) or after == "unknown", f"the next sale ended as {after}"
        if isinstance(told, Reply):
            assert final.state is (IntentState.APPROVED if told.approved else IntentState.DECLINED)
        elif told == "not sent":
            assert final.state is IntentState.NOT_SENT
        return str(final.state)

    def _check(self, intent_id: str) -> None:
        final = self.books.last(intent_id)
        if final is None:
            return
        entries = ledger_of(self.terminal, key_of(final))
        assert len(entries) <= 1, f"{intent_id} was charged twice"
        if final.state is IntentState.APPROVED:
            codes = [entry.authorization_code for entry in entries]
            assert codes == [final.authorization_code], f"{final} is another's"
        elif final.state is not IntentState.UNKNOWN:
            assert not entries, f"{final} was charged"

    # ------------------------------------------------------------------------------------------------------------ state

    def _state(self) -> tuple[Any, ...]:
        now, till, terminal = self.register.now, self.register.till, self.terminal
        link = till.link
        short = _shortener(now)
        return (
            tuple(self._frames(short)),
            (till.baseline, till.asked_in_vain, short(till.previous), short(till.known), till.current),
            (link.is_open, link.cancel_wanted, link.has_acknowledged, link.awaits_voucher, link._sent),
            (tuple(map(short, link._inbox)), link.decoder.pending, self.register._open, *self.register.on_its_way),
            tuple((step.intent_id, step.state) for step in self.books.steps),
            (terminal.ledger.entries, tuple((short(at), entry.operation_id) for at, entry in terminal._record)),
            tuple((short(at), self._answer(answer, short)) for at, _, answer in terminal._answering),
            None if terminal._current is None else terminal._current.command.code,
            tuple((short(at), data) for at, data in terminal._writes),
            (terminal._decoder.pending, len(terminal._heard), terminal._last_reply, len(terminal.script)),
        )

    def _frames(self, short: Callable[[Any], Any]) -> Any:
        flow = self.flow
        while isinstance(flow, GeneratorType) and flow.gi_frame is not None:
            frame = flow.gi_frame
            yield frame.f_code.co_name, frame.f_lasti, tuple((n, short(v)) for n, v in frame.f_locals.items())
            flow = flow.gi_yieldfrom

    @staticmethod
    def _answer(answer: Any, short: Callable[[Any], Any]) -> tuple[Any, ...]:
        frames, steps = [], answer.steps
        while isinstance(steps, GeneratorType) and steps.gi_frame is not None:
            frames.append((steps.gi_frame.f_code.co_name, steps.gi_frame.f_lasti))
            steps = steps.gi_yieldfrom
        return answer.command.code, answer.busy, tuple(answer.held), tuple(frames)


def _shortener(now: float) -> Callable[[Any], Any]:
    """What of a value tells states apart: times by their distance from now, flows and frames not at all."""

    def short(value: Any) -> Any:
        if isinstance(value, float):
            return round(value - now, 6) if value > _START / 2 else value
        if value is None or isinstance(value, (bool, int, str, Enum, VoucherMark)):
            return value
        if isinstance(value, bytes):
            return len(value)
        if isinstance(value, Intent):
            return value.intent_id, value.state
        if isinstance(value, (Reply, Progress, Ack, BadFrame)):
            return repr(value)
        if isinstance(value, Command):
            return value.code
        if isinstance(value, Waiting):
            return value.accepted, value.cancel_sent
        if isinstance(value, (list, tuple, deque)):
            return tuple(map(short, value))
        if isinstance(value, BaseException):
            return type(value)
        known = isinstance(value, (Link, Till, Timeouts, frozenset)) or callable(value) or hasattr(value, "gen")
        assert known, type(value)
        return None

    return short


def explore(setting: Setting) -> Counter[str]:
    """All paths of a setting, and what they ended as."""
    explorer = Explorer(setting)
    explorer.run()
    counts = Counter({f"ended {name}": number for name, number in explorer.outcomes.items()})
    counts["states"], counts["paths"], counts["cut short"] = len(explorer.states), explorer.paths, not explorer.complete
    return counts
