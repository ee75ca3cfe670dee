"""Sequences of faults, made from a seed: what a register asks, what goes wrong, and what must be true in the end."""

from __future__ import annotations

import math
import random
from collections import Counter

from getnet_pos import (
    GetnetError,
    Intent,
    IntentState,
    OutcomeUnknown,
    Refund,
    Reply,
    Sale,
    Void,
)
from getnet_pos.session import Session
from getnet_pos.simulator import Behaviour, EntryKind, Outcome, Reboot, VirtualTerminal
from getnet_pos.simulator.cloud import CloudFault, CloudFaultKind, VirtualCloud, Where
from tests.cloud.virtual import ARGENTINA, CHILE, Killed, Rig

SETTLED = {IntentState.APPROVED: True, IntentState.DECLINED: False, IntentState.NOT_SENT: False}
EVERYWHERE = [
    CloudFaultKind.LATENCY, CloudFaultKind.UNAUTHORIZED, CloudFaultKind.EXPIRED, CloudFaultKind.FORBIDDEN,
    CloudFaultKind.SERVER_ERROR, CloudFaultKind.RATE_LIMIT, CloudFaultKind.UNAVAILABLE, CloudFaultKind.DROP_BEFORE,
    CloudFaultKind.DROP_AFTER, CloudFaultKind.TIMEOUT_AFTER, CloudFaultKind.SERVER_ERROR_AFTER,
    CloudFaultKind.RATE_LIMIT_AFTER, CloudFaultKind.HTML, CloudFaultKind.CUT, CloudFaultKind.CUT_JSON,
    CloudFaultKind.NEVER,
]  # fmt: skip
OF_MONEY = [*EVERYWHERE, CloudFaultKind.PREVIOUS, CloudFaultKind.IN_PROCESS, CloudFaultKind.OVERTAKEN,
            CloudFaultKind.WEBHOOK_EARLY, CloudFaultKind.WEBHOOK_TWICE, CloudFaultKind.WEBHOOK_LATE,
            CloudFaultKind.WEBHOOK_NEVER]  # fmt: skip


def a_fault(rng: random.Random, echoes_ids: bool) -> CloudFault:
    where = rng.choices(list(Where), [1, 6, 2, 3, 0])[0]
    kind = rng.choice(OF_MONEY if where is Where.MONEY else EVERYWHERE)
    if kind is CloudFaultKind.PREVIOUS and not echoes_ids:
        # That the refusal of one sale is not that of another of the same amount, nobody can see without an id.
        kind = CloudFaultKind.DROP_AFTER
    return CloudFault(
        kind,
        where,
        skip=rng.choice([0, 0, 0, 1, 2]),
        times=rng.choice([1, 1, 2, 5, 50]),
        seconds=rng.choice([0.5, 5, 40, 400]),
        count=rng.choice([1, 3, 30]),
        retry_after=rng.choice([0, 1, 5, 600]),
    )


def a_behaviour(rng: random.Random) -> Behaviour:
    reboot = None
    if rng.random() < 0.08:
        reboot = Reboot(approved=rng.random() < 0.5, keep_record=rng.random() < 0.5, seconds=rng.choice([0, 20]))
    return Behaviour(
        outcome=rng.choices(list(Outcome), [8, 2, 1, 1, 0.5])[0],
        decide_after=rng.choices([0, 3, 30, 100, 200, math.inf], [8, 4, 2, 1, 1, 0.3])[0],
        reply_after=rng.choices([0, 2, 50, 400, math.inf], [10, 2, 1, 1, 0.5])[0],
        record_after=rng.choices([0, 5, 200], [10, 1, 1])[0],
        omit=rng.choices([(), ("Ticket",), ("RealDate",), ("Amount",)], [10, 1, 1, 0.5])[0],
        reboot=reboot,
    )


class Sequence:
    """One sequence. ``problems()`` says what must not be."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        rng = self.rng = random.Random(seed)
        profile = rng.choice([CHILE, ARGENTINA])
        self.cloud = VirtualCloud(profile=profile, echoes_ids=rng.random() < 0.7, seed=seed)
        self.rig = Rig(self.cloud, seed=seed)
        self.webhook = "https://register.example/hook" if rng.random() < 0.4 else None
        self.amounts = [1000] if rng.random() < 0.3 else [1000, 2000, 3000, 4000, 5000]
        self.wrong: list[str] = []
        terminal = self.cloud.terminal
        if rng.random() < 0.5:
            # It has been in use before, for the same amounts too.
            rig, session = self.rig, self.rig.register()
            rig.run(session.polling())
            rig.run(session.request(Sale(self.amounts[0], "OLD1")))
            rig.journal.__init__()  # type: ignore[misc]  # by a register of which this one knows nothing
            rig.pass_time(60)
        self.before = len(terminal.ledger.entries)
        terminal.script.extend(a_behaviour(rng) for _ in range(rng.randint(0, 4)))
        for _ in range(rng.choices([0, 1, 2, 4], [1, 5, 3, 1])[0]):
            self.cloud.inject(a_fault(rng, self.cloud.echoes_ids))
        if rng.random() < 0.1:
            refused = rng.choice(list(IntentState))
            self.rig.journal.refusing = lambda intent: intent.state is refused
        if rng.random() < 0.1:
            self.rig.unreachable = lambda request: rng.random() < 0.4
        if rng.random() < 0.35:
            self.rig.kill_at = self.rig.effects + rng.randint(0, 60)

    def run(self) -> Sequence:
        for number in range(self.rng.randint(1, 4)):
            session = self._started()
            self._operate(session, number)
            if self.rng.random() < 0.3:
                self.rig.pass_time(self.rng.choice([1, 30, 500]))
        self._heal()
        self._check()
        return self

    def _started(self) -> Session:
        session = getattr(self, "_session", None)
        if session is None:
            session = self._session = self.rig.register(webhook=self.webhook)
        if not session.ready:
            self._try(lambda: self.rig.run(session.polling()))
        return session

    def _try(self, work: object) -> object:
        begun = self.rig.now
        try:
            result = work()  # type: ignore[operator]
        except Killed:
            # Another run of the register, with the same journal.
            self.rig.kill_at = self.rig.effects + self.rng.randint(5, 80) if self.rng.random() < 0.3 else None
            self._session = None
            return None
        except GetnetError as error:
            result = error
        if self.rig.now - begun > 2500:
            self.wrong.append(f"an operation took {self.rig.now - begun:.0f} s")
        return result

    def _operate(self, session: Session, number: int) -> None:
        if not session.ready:
            return
        rng, ledger = self.rng, self.cloud.terminal.ledger
        charges, chile = ledger.charges(), self.cloud.profile is CHILE
        amount, before = rng.choice(self.amounts), len(self.rig.journal.steps)
        choice = rng.random()
        if choice < 0.1 and charges and chile:
            command = Void(rng.choice(charges).operation_id)
        elif choice < 0.2 and charges:
            command = Refund(rng.choice(charges).authorization_code, 100)
        else:
            command = Sale(amount, rng.choice([None, f"T{number}", "SAME"]))
        result = self._try(lambda: self.rig.run(session.request(command)))
        steps = self.rig.journal.steps[before:]
        mine = [step for step in steps if step.state is IntentState.INTENT]
        if isinstance(result, Reply):
            state = steps[-1].state if steps else None
            if mine and state in SETTLED and SETTLED[state] != result.approved:
                self.wrong.append(f"returned approved={result.approved}, recorded {state}")
            if result.function_code != command.code:
                self.wrong.append("the reply of another command")
        elif isinstance(result, OutcomeUnknown):
            states = self.rig.journal.last()
            if result.intent_id in states and states[result.intent_id].state in SETTLED:
                self.wrong.append("unknown to the caller, settled in the journal")

    def _heal(self) -> None:
        """All goes well from now on, and what is left open is asked about."""
        rig = self.rig
        rig.kill_at, rig.unreachable, rig.journal.refusing = None, lambda request: False, lambda intent: False
        self.cloud._faults.clear()
        self.cloud.script.clear()
        self.cloud.terminal.script.clear()
        rig.pass_time(1000)
        # It may have been waiting for a customer for ever.
        self.cloud.terminal.reboot(True, rig.now)
        session = rig.register()
        rig.run(session.polling())
        for intent in rig.journal.last().values():
            if intent.open:
                self.wrong.append(f"{intent.intent_id} is still open")

    def _check(self) -> None:
        intents = list(self.rig.journal.last().values())
        entries = self.cloud.terminal.ledger.entries[self.before :]
        codes = [intent.authorization_code for intent in intents if intent.state is IntentState.APPROVED]
        for kind, command in ((EntryKind.SALE, 100), (EntryKind.VOID, 102), (EntryKind.REFUND, 108)):
            made = Counter(entry.amount if command != 102 else 0 for entry in entries if entry.kind is kind)
            mine = [intent for intent in intents if intent.command == command]
            for amount in {*made, *(self._amount(intent) for intent in mine)}:
                those = [intent for intent in mine if self._amount(intent) == amount]
                approved = sum(intent.state is IntentState.APPROVED for intent in those)
                possible = sum(SETTLED.get(intent.state, True) for intent in those)
                if not approved <= made[amount] <= possible:
                    self.wrong.append(
                        f"{kind.value} of {amount}: {made[amount]} made, {approved} approved, {possible} possible"
                    )
            sent = [body for body in self.rig.sent if body["command"] == command]
            refused = sum(call.answer is not None and call.answer.status == 401 for call in self.cloud.requests)
            if len(sent) > len(mine) + refused + self.before:
                self.wrong.append("a money command was sent twice")
        sales = [intent.authorization_code for intent in intents
                 if intent.state is IntentState.APPROVED and intent.command == 100]  # fmt: skip
        if len(set(sales)) != len(sales):
            self.wrong.append(f"one charge is taken for two: {codes}")
        known = {entry.authorization_code for entry in self.cloud.terminal.ledger.entries}
        if not {code for code in codes if code} <= known:
            self.wrong.append("an approval that the terminal has never made")

    @staticmethod
    def _amount(intent: Intent) -> int:
        return intent.amount or 0


def run(seed: int) -> list[str]:
    return Sequence(seed).run().wrong


__all__ = ["Sequence", "VirtualTerminal", "run"]
