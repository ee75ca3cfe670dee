"""Register and terminal as one machine, driven by hypothesis, over both carriers: whatever is done, records agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings, strategies
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from getnet_pos import Profile
from getnet_pos.errors import GetnetError
from getnet_pos.messages import Command, Refund, Sale, Void
from getnet_pos.simulator import Behaviour, Direction, Fault, FaultKind, Outcome, VirtualTerminal
from getnet_pos.simulator.cloud import CloudFault, CloudFaultKind, VirtualCloud, Where
from tests.evidence import Count

from .world import HOOK, CloudRegister, Journal, Killed, Register, StreamRegister, check_ledger

_done: Counter[str] = Counter()


class Shop(RuleBasedStateMachine):
    """A register, its terminal, and a customer or two."""

    register: Register
    takes_voids = True
    sold = 0

    @property
    def terminal(self) -> VirtualTerminal:
        return self.register.terminal

    # -------------------------------------------------------------------------------------------------- what is done

    @rule(amount=strategies.sampled_from([1000, 2000]), names_ticket=strategies.booleans())
    def sell(self, amount: int, names_ticket: bool) -> None:
        self.sold += 1
        self._pay(Sale(amount, f"T{self.sold}" if names_ticket else None, send_message=True))

    @precondition(lambda self: any(entry.is_charge for entry in self.terminal.ledger.entries))
    @rule(data=strategies.data())
    def undo(self, data: Any) -> None:
        entry = data.draw(strategies.sampled_from(self.terminal.ledger.charges()))
        self.sold += 1
        if self.takes_voids and data.draw(strategies.booleans()):
            self._pay(Void(entry.operation_id))
        else:
            self._pay(Refund(entry.authorization_code, 10 + self.sold))

    @rule()
    def poll(self) -> None:
        self._try(self.register.poll)

    @rule(seconds=strategies.sampled_from([1.0, 10.0, 200.0]))
    def wait(self, seconds: float) -> None:
        self.register.pass_time(seconds)
        self.terminal.take(self.register.now)

    # ------------------------------------------------------------------------------------------------ what goes wrong

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
        self.register.dies_at = self.register.effects + effects

    @rule(keep=strategies.booleans(), seconds=strategies.sampled_from([0.0, 5.0]))
    def restart_the_terminal(self, keep: bool, seconds: float) -> None:
        self.terminal.reboot(keep, self.register.now, seconds=seconds)

    # ------------------------------------------------------------------------------------------------- what must hold

    @invariant()
    def nothing_is_final_that_is_not_true(self) -> None:
        check_ledger(self.register, self.register.terminal.ledger.entries)

    @invariant()
    def one_command_is_open_at_most(self) -> None:
        assert sum(one.open for one in self.register.journal.finals()) <= 1

    def teardown(self) -> None:
        if not hasattr(self, "register"):
            return
        self.repair()
        for _ in range(10):
            self.wait(300.0)
            if self.terminal.busy:
                self.terminal.reboot(True, self.register.now)
            self.poll()
        check_ledger(self.register, self.register.terminal.ledger.entries)
        for final in self.register.journal.finals():
            assert not final.open, "it was forgotten"
            _done[str(final.state)] += 1

    def repair(self) -> None:
        """Nothing more goes wrong."""
        self.register.dies_at = float("inf")

    # ---------------------------------------------------------------------------------------------------------- doing

    def _pay(self, command: Command[Any]) -> None:
        _done["commands"] += 1
        if not (self.register.session.ready and self.register.session.is_open):
            self.poll()
        self.wait(2.0)
        self._try(lambda: self.register.pay(command))

    def _try(self, work: Callable[[], object]) -> None:
        try:
            work()
        except GetnetError:
            pass
        except Killed:
            _done["kills"] += 1
            _done["steps lost"] += self.register.journal.crash(left=0)
            self.register = self.register.restarted()


class StreamShop(Shop):
    register: StreamRegister

    @initialize(seed=strategies.integers(0, 2**32), tells_ticket=strategies.booleans())
    def open_the_shop(self, seed: int, tells_ticket: bool) -> None:
        omitted = () if tells_ticket else ("Ticket",)
        self.register = StreamRegister(VirtualTerminal(answers={101: Behaviour(omit=omitted)}, seed=seed), Journal())

    @rule(
        kind=strategies.sampled_from([FaultKind.DROP, FaultKind.CORRUPT, FaultKind.TRUNCATE]),
        direction=strategies.sampled_from(Direction),
        message=strategies.integers(0, 8),
    )
    def break_a_message(self, kind: FaultKind, direction: Direction, message: int) -> None:
        self.terminal.inject(Fault(kind, direction, message))

    @rule()
    def pull_the_cable(self) -> None:
        self.terminal.disconnect(self.register.now)

    @rule()
    def plug_it_in(self) -> None:
        self.terminal.connect(self.register.now)

    def repair(self) -> None:
        super().repair()
        self.plug_it_in()


class CloudShop(Shop):
    register: CloudRegister

    @initialize(
        seed=strategies.integers(0, 2**32),
        profile=strategies.sampled_from([Profile.CHILE, Profile.ARGENTINA]),
        webhook=strategies.sampled_from([None, HOOK]),
    )
    def open_the_shop(self, seed: int, profile: Profile, webhook: str | None) -> None:
        self.takes_voids = profile is Profile.CHILE
        self.register = CloudRegister(VirtualCloud(profile=profile, seed=seed), Journal(), webhook=webhook)

    @rule(
        kind=strategies.sampled_from([kind for kind in CloudFaultKind if not kind.value.startswith("webhook")]),
        where=strategies.sampled_from([Where.MONEY, Where.QUESTION, Where.STATUS]),
        skip=strategies.integers(0, 3),
    )
    def break_a_call(self, kind: CloudFaultKind, where: Where, skip: int) -> None:
        self.register.cloud.inject(CloudFault(kind, where, skip=skip, seconds=40, count=3))

    @rule()
    def lose_the_way(self) -> None:
        self.register.unreachable = lambda request: True

    @rule()
    def find_the_way(self) -> None:
        self.register.unreachable = lambda request: False

    def repair(self) -> None:
        super().repair()
        self.find_the_way()


@pytest.mark.parametrize("shop", [StreamShop, CloudShop], ids=["stream", "cloud"])
def test_a_shop_keeps_its_records(shop: type[Shop], count: Count, evidence: Callable[[str], None]) -> None:
    _done.clear()
    run_state_machine_as_test(
        shop,
        settings=settings(
            max_examples=count(short=25, evidence=150, long=5000),
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    evidence(f"stateful, {shop.__name__}: {_done['commands']:,} commands, 0 violations ({dict(_done)})")
