"""Register and terminal as one machine, driven by hypothesis: whatever is done to them, the books agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from getnet_pos.flows.money import pay
from getnet_pos.flows.polling import polling
from hypothesis import HealthCheck, settings, strategies
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from getnet_pos.errors import GetnetError, JournalError, OutcomeUnknown
from getnet_pos.messages import Command, Intent, IntentState, Refund, Reply, Sale, Void
from getnet_pos.simulator import Behaviour, Direction, Fault, FaultKind, Outcome, VirtualTerminal
from tests.evidence import Count

from .register import TERMINAL, Books, Killed, Register, key_of, ledger_of

_done: Counter[str] = Counter()


class Shop(RuleBasedStateMachine):
    """A register, its terminal, and a customer or two."""

    @initialize(seed=strategies.integers(0, 2**32), tells_ticket=strategies.booleans())
    def open_the_shop(self, seed: int, tells_ticket: bool) -> None:
        omitted = () if tells_ticket else ("Ticket",)
        self.terminal = VirtualTerminal(answers={101: Behaviour(omit=omitted)}, seed=seed)
        self.books = Books()
        self.register = Register(self.terminal, self.books)
        self.number = 0
        self.told: dict[str, Reply] = {}

    # -------------------------------------------------------------------------------------------------- what is done

    @rule(amount=strategies.sampled_from([1000, 2000]))
    def sell(self, amount: int) -> None:
        self._pay(Sale(amount, f"T{self.number}", send_message=True))

    @precondition(lambda self: any(entry.is_charge for entry in self.terminal.ledger.entries))
    @rule(data=strategies.data())
    def undo(self, data: Any) -> None:
        entry = data.draw(strategies.sampled_from(self.terminal.ledger.charges()))
        command: Command = Void(entry.operation_id)
        if data.draw(strategies.booleans()):
            command = Refund(entry.authorization_code, 10 + self.number)
        self._pay(command)

    @rule()
    def poll(self) -> None:
        self._try(polling(self.register.till))

    @rule(seconds=strategies.sampled_from([1.0, 10.0, 200.0]))
    def wait(self, seconds: float) -> None:
        self.register.now += seconds
        self.terminal.take(self.register.now)

    # ------------------------------------------------------------------------------------------------ what goes wrong

    @rule(
        kind=strategies.sampled_from([FaultKind.DROP, FaultKind.CORRUPT, FaultKind.TRUNCATE]),
        direction=strategies.sampled_from(Direction),
        message=strategies.integers(0, 8),
    )
    def break_a_message(self, kind: FaultKind, direction: Direction, message: int) -> None:
        self.terminal.inject(Fault(kind, direction, message))

    @rule(
        outcome=strategies.sampled_from(Outcome),
        decide_after=strategies.sampled_from([0.0, 5.0, 90.0]),
        reply_after=strategies.sampled_from([0.0, 5.0, 90.0]),
        record_after=strategies.sampled_from([0.0, 7.0, 500.0]),
    )
    def have_the_next_command(
        self, outcome: Outcome, decide_after: float, reply_after: float, record_after: float
    ) -> None:
        behaviour = Behaviour(
            outcome=outcome, decide_after=decide_after, reply_after=reply_after, record_after=record_after
        )
        self.terminal.script.append(behaviour)

    @rule(effects=strategies.integers(1, 60))
    def kill_the_register_soon(self, effects: int) -> None:
        last = self.register.effects + effects

        def before(_: object) -> None:
            if self.register.effects >= last:
                raise Killed

        self.register.before = before

    @rule(keep=strategies.booleans(), seconds=strategies.sampled_from([0.0, 5.0]))
    def restart_the_terminal(self, keep: bool, seconds: float) -> None:
        self.terminal.reboot(keep, self.register.now, seconds=seconds)

    @rule()
    def pull_the_cable(self) -> None:
        self.terminal.disconnect(self.register.now)

    @rule()
    def plug_it_in(self) -> None:
        self.terminal.connect(self.register.now)

    # ------------------------------------------------------------------------------------------------- what must hold

    @invariant()
    def nothing_is_final_that_is_not_true(self) -> None:
        for final in self._finals():
            entries = ledger_of(self.terminal, key_of(final))
            alike = [one for one in self._finals() if key_of(one) == key_of(final)]
            states = Counter(one.state for one in alike)
            assert len(entries) >= states[IntentState.APPROVED]
            if not any(one.open or one.state is IntentState.UNKNOWN for one in alike):
                assert len(entries) == states[IntentState.APPROVED]

    @invariant()
    def one_command_is_open_at_most(self) -> None:
        assert sum(intent.open for intent in self.books.unsettled(TERMINAL)) <= 1

    def teardown(self) -> None:
        if not hasattr(self, "register"):
            return
        self.terminal.connect(self.register.now)
        self.register.before = lambda _: None
        for _ in range(10):
            self.wait(300.0)
            if self.terminal.busy:
                self.terminal.reboot(True, self.register.now)
            self.poll()
        self.nothing_is_final_that_is_not_true()
        for final in self._finals():
            assert not final.open, "it was forgotten"
            _done[str(final.state)] += 1

    # ---------------------------------------------------------------------------------------------------------- doing

    def _pay(self, command: Command) -> None:
        self.number += 1
        intent_id = f"{self.number:032x}"
        _done["commands"] += 1
        if not self.register.till.link.is_open:
            self.poll()
        self.register.now += 2.0
        told = self._try(pay(self.register.till, command, intent_id, patience=60, total=120))
        if isinstance(told, Reply):
            final = self.books.last(intent_id)
            assert final is not None
            assert final.state is (IntentState.APPROVED if told.approved else IntentState.DECLINED)

    def _try(self, flow: Any) -> Any:
        start = self.register.now
        try:
            return self.register.run(flow)
        except (OutcomeUnknown, JournalError) as error:
            return error
        except GetnetError:
            return None
        except Killed:
            _done["kills"] += 1
            self.register = Register(self.terminal, self.books, now=self.register.now)
            return None
        finally:
            assert self.register.now - start <= 2 * 20 + 2 * 10 + 120 + 5

    def _finals(self) -> list[Intent]:
        finals = (self.books.last(f"{number:032x}") for number in range(1, self.number + 1))
        return [final for final in finals if final is not None]


@pytest.mark.timeout(3600)
def test_a_shop_keeps_its_books(count: Count, evidence: Callable[[str], None]) -> None:
    _done.clear()
    run_state_machine_as_test(
        Shop,
        settings=settings(
            max_examples=count(short=50, evidence=150, long=5000),
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    evidence(f"stateful: {_done['commands']:,} commands in random shops, 0 violations ({dict(_done)})")
