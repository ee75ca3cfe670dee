"""Random sequences: one terminal, a few money commands one after the other, each with faults of its own, all of a seed.

What is asserted is in ``play``: the terminal's ledger is the truth, and what the register believes is compared with it.

The link keeps the order of messages, and never delivers a money command twice: no register can survive that one. A
firmware whose replies do not bear the ticket does not repeat them after it has acknowledged the next command; the
simplified wire, which has no acknowledgements, does not repeat them at all. All are among the assumptions of
docs/reliability.md.
"""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timezone, tzinfo
from typing import Any
from unittest.mock import patch

from getnet_pos.flows.money import pay
from getnet_pos.flows.polling import polling

from getnet_pos.errors import GetnetError, JournalError, OutcomeUnknown, TransportError
from getnet_pos.flows import link
from getnet_pos.flows.matching import generated_ticket
from getnet_pos.messages import (
    Command,
    Intent,
    IntentState,
    PreAuthorization,
    PreAuthorizationCompletion,
    PreAuthorizationRelease,
    Refund,
    Reply,
    Sale,
    Void,
    Wire,
)
from getnet_pos.simulator import Behaviour, Direction, Fault, FaultKind, Outcome, Reboot, Serialized, VirtualTerminal

from .register import TIMEOUTS, Books, Killed, Register, key_of, ledger_of

COMMANDS = 4
"""Money commands in one sequence of a seed."""

_LATEST = 2 * TIMEOUTS.recovery + 2 * TIMEOUTS.short + TIMEOUTS.sale_total + 5
"""No operation takes longer: what was left open, the last voucher, the sale itself, its own recovery."""

_MOMENT = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
"""What the clock shows that commands are dated by: a fault of a seed hits the same byte each time."""


class _StoppedClock(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Any:
        return _MOMENT


@dataclass(slots=True)
class _Asked:
    """A command, and what its caller was told: a reply, ``"unknown"``, ``"not sent"``, or nothing, having died."""

    intent_id: str
    command: Command
    told: Reply | str | None = None


class Sequence:
    def __init__(self, seed: int) -> None:
        self.rng = rng = random.Random(seed)
        self.seed = seed
        self.wire = Wire.SIMPLIFIED if rng.random() < 0.1 else Wire.SIGNED
        self.bare = rng.random() < 0.4
        """The firmware's vouchers have no ticket, and its refusals have nothing at all."""
        self.repeats = not self.bare and self.wire is Wire.SIGNED
        """Replies may come twice: each says whose it is. The refusals of the simplified wire never do."""
        self.terminal = VirtualTerminal(answers=self._manners(), seed=seed)
        self.books = Books()
        self.asked: list[_Asked] = []
        self.counts: Counter[str] = Counter()
        self.reuses_tickets = rng.random() < 0.2
        self.register = self._new_register(0.0)
        self.ready = False
        """Whether the last operation went well: else the register polls first, as the lifecycle has it."""

    def _manners(self) -> dict[int, Behaviour]:
        """How the firmware answers the question for the last voucher."""
        rng = self.rng
        omitted = [name for name in ("Ticket", "OperationId", "EmployeeId") if rng.random() < 0.4]
        change = {"FunctionCode": 101} if rng.random() < 0.4 else {}
        if self.bare:
            omitted.append("Ticket")
        return {101: Behaviour(omit=tuple(omitted), change=change)}

    def _new_register(self, now: float) -> Register:
        return Register(self.terminal, self.books, now=now, wire=self.wire)

    # ---------------------------------------------------------------------------------------------------------- playing

    def play(self) -> Counter[str]:
        for number in range(COMMANDS):
            # Two operations of one second are told apart by nothing that every firmware sends.
            self.register.now += 2.0
            if not self.ready:
                self._poll()
            asked = _Asked(self._intent_id(number), self._command(number))
            self.asked.append(asked)
            self._spoil()
            self._run(asked)
        self._calm()
        self._compare()
        return self.counts

    def _poll(self) -> None:
        """Poll until the terminal answers, as a register does; it may be restarting, or out."""
        for attempt in range(20):
            start = self.register.now
            with contextlib.suppress(GetnetError):
                if self.register.run(polling(self.register.till)).approved:
                    return
            assert self.register.now - start <= _LATEST, f"seed {self.seed}: a poll took too long"
            self.register.now += 10.0
            if attempt > 10 and self.terminal.busy:
                # A sale that waits for its customer for ever: somebody switches the terminal off and on.
                self.terminal.reboot(True, self.register.now)
        raise AssertionError(f"seed {self.seed}: the terminal never came back")

    def _run(self, asked: _Asked) -> None:
        register, command = self.register, asked.command
        takes_card = command.takes_card
        patience, total = (TIMEOUTS.sale, TIMEOUTS.sale_total) if takes_card else (TIMEOUTS.report, TIMEOUTS.report)
        start = register.now
        self.ready = False
        try:
            asked.told = register.run(
                pay(register.till, command, asked.intent_id, patience=patience, total=total, cancellable=takes_card)
            )
            self.ready = register.till.link.is_open
        except OutcomeUnknown as error:
            asked.told = "unknown" if error.intent_id == asked.intent_id else "not sent"
        except (TransportError, JournalError):
            asked.told = "not sent"
        except Killed:
            self.counts["kills"] += 1
            self.register = self._new_register(register.now + self.rng.choice((0.1, 2.0, 30.0)))
        assert register.now - start <= _LATEST, f"seed {self.seed}: it took {register.now - start:.0f} s"
        # What is left of this command's faults must not fall on the next one's poll for ever.
        for one in (register, self.register):
            one.writes.clear()
            one.alarms.clear()
            one.before = lambda effect: None
        self.books.refuses = lambda: None
        self.terminal.connect(self.register.now)
        register.till.link.cancel_wanted = False

    def _calm(self) -> None:
        """Let the terminal finish whatever it is at, and the register hear of it."""
        self.register.now += 1000.0
        self.terminal.take(self.register.now)
        self._poll()

    # --------------------------------------------------------------------------------------------------------- commands

    def _command(self, number: int) -> Command:
        rng = self.rng
        # Few amounts, so that the wrong reply often has the right one.
        amount = rng.choice((1000, 1000, 1000, 2000))
        kind = rng.random()
        done = [one for one in self.asked if isinstance(one.told, Reply) and one.told.approved]
        charges = [one for one in done if one.command.code in (100, 131)]
        holds = [one for one in done if one.command.code == 130]
        if kind < 0.12 and charges:
            operation_id = getattr(rng.choice(charges).told, "operation_id", None)
            if operation_id:
                return Void(operation_id)
        elif kind < 0.22 and charges:
            code = getattr(rng.choice(charges).told, "authorization_code", None)
            if code:
                # An amount of its own, so that the ledger's entry can be found.
                return Refund(code, 10 + number)
        elif kind < 0.3 and self.wire is Wire.SIGNED:
            if holds:
                code = getattr(rng.choice(holds).told, "authorization_code", None)
                if code and rng.random() < 0.5:
                    return PreAuthorizationCompletion(code, 500 + number)
                if code:
                    return PreAuthorizationRelease(code)
            return PreAuthorization(amount, self._ticket(number))
        return Sale(amount, self._ticket(number), send_message=rng.random() < 0.5)

    def _ticket(self, number: int) -> str:
        if self.reuses_tickets and self.asked:
            last = self.asked[-1]
            # A declined card is tried again under the same ticket, as cashiers do.
            if isinstance(last.told, Reply) and not last.told.approved and getattr(last.command, "ticket", None):
                return str(last.command.ticket)  # type: ignore[attr-defined]
        if self.rng.random() < 0.5:
            return f"T{number}"
        return generated_ticket(self._intent_id(number))

    def _intent_id(self, number: int) -> str:
        return f"{number:02x}{self.seed & 0xFFFFFFFF:08x}{0:022x}"

    # ----------------------------------------------------------------------------------------------------------- faults

    def _spoil(self) -> None:
        """Choose what goes wrong with the next command."""
        rng, register, terminal = self.rng, self.register, self.terminal
        terminal.script.clear()
        if rng.random() < 0.9:
            terminal.script.append(self._behaviour())
        for _ in range(rng.choice((0, 0, 1, 1, 2, 3))):
            self._line_fault()
        if rng.random() < 0.15:
            self._die_at(rng.randrange(1, 60))
        if rng.random() < 0.08:
            register.writes = [None] * rng.randrange(4) + [rng.choice((0, 0, 1, 40))]
            self.counts["broken writes"] += 1
        if rng.random() < 0.1:
            out = register.now + rng.choice((0.0, 0.5, 5.0, 20.0))
            register.alarms.append((out, lambda: terminal.disconnect(register.now)))
            back = out + rng.choice((0.5, 10.0, 60.0))
            register.alarms.append((back, lambda: terminal.connect(register.now)))
            self.counts["unplugged"] += 1
        if rng.random() < 0.05:
            keep, seconds = rng.random() < 0.5, rng.choice((0.0, 3.0, 15.0))
            at = register.now + rng.choice((0.0, 0.5, 5.0))
            register.alarms.append((at, lambda: terminal.reboot(keep, register.now, seconds=seconds)))
            self.counts["reboots"] += 1
        if rng.random() < 0.1:
            register.alarms.append((register.now + rng.choice((0.0, 1.0, 8.0)), self._cancel))
            self.counts["cancellations"] += 1
        if rng.random() < 0.05:
            left = rng.randrange(6)
            self.books.refuses = lambda: self._refuse(left)
            self.counts["journal refusals"] += 1
        register.alarms.sort(key=lambda alarm: alarm[0])

    def _refuse(self, left: int) -> GetnetError | None:
        self._writes = getattr(self, "_writes", 0) + 1
        return JournalError("the disk is full") if self._writes > left else None

    def _cancel(self) -> None:
        if self.wire is Wire.SIGNED:
            self.register.till.link.cancel_wanted = True

    def _die_at(self, effect: int) -> None:
        register = self.register
        last = register.effects + effect

        def before(_: Any) -> None:
            if register.effects >= last:
                raise Killed

        register.before = before

    def _line_fault(self) -> None:
        rng = self.rng
        direction = rng.choice((Direction.TO_TERMINAL, Direction.TO_REGISTER, Direction.TO_REGISTER))
        kinds = [FaultKind.DROP, FaultKind.CORRUPT, FaultKind.TRUNCATE]
        if direction is Direction.TO_REGISTER and self.repeats:
            kinds.append(FaultKind.DUPLICATE)
        kind = rng.choice(kinds)
        byte = rng.randrange(700) if kind is not FaultKind.DUPLICATE and rng.random() < 0.3 else None
        self.terminal.inject(Fault(kind, direction, rng.randrange(7), byte))
        self.counts[kind.value] += 1

    def _behaviour(self) -> Behaviour:
        rng = self.rng
        outcome = rng.choices(list(Outcome), (70, 12, 5, 5, 4))[0]
        changes: dict[str, Any] = {"outcome": outcome}
        if rng.random() < 0.3:
            changes["decide_after"] = rng.choice((0.5, 8.0, 50.0, 90.0, float("inf")))
        if rng.random() < 0.2:
            changes["reply_after"] = rng.choice((1.0, 15.0, 70.0, 140.0, float("inf")))
        if rng.random() < 0.15:
            changes["record_after"] = rng.choice((1.0, 12.0, 60.0, 500.0))
        if rng.random() < 0.1:
            changes["acknowledge"] = rng.choice((None, False))
        if rng.random() < 0.1:
            changes["acknowledge_after"] = rng.choice((1.0, 5.0))
        if rng.random() < 0.1:
            changes["reboot"] = Reboot(
                approved=rng.random() < 0.7, keep_record=rng.random() < 0.6, seconds=rng.choice((0.0, 4.0))
            )
        if rng.random() < 0.08 and self.repeats:
            changes["resends"], changes["resend_after"] = 3, rng.choice((1.0, 5.0))
        if rng.random() < 0.1:
            changes["progress_every"] = rng.choice((0.5, 10.0))
        if rng.random() < 0.06:
            changes["change"] = rng.choice(({"FunctionCode": 0}, {"Amount": 1}, {"Amount": 7000}))
        if rng.random() < 0.06:
            changes["wrong_signature"] = True
        if rng.random() < 0.08:
            changes[rng.choice(("camel_case", "crlf", "coalesce", "echo"))] = True
        if rng.random() < 0.03 and self.wire is Wire.SIGNED:
            changes["late_reply"] = True
        if rng.random() < 0.08 and self.repeats:
            changes["duplicate"] = True
        if rng.random() < 0.05:
            changes["serialized"] = rng.choice(list(Serialized))
        if rng.random() < 0.1:
            changes["fragment"], changes["fragment_every"] = rng.choice((7, 50)), rng.choice((0.0, 0.02))
        if rng.random() < 0.1:
            changes["noise"] = rng.choice((1, 20))
        if self.bare:
            changes["omit"] = ("Ticket", "Amount", "OperationId") if outcome is not Outcome.APPROVE else ("Ticket",)
        return Behaviour(**changes)

    # ---------------------------------------------------------------------------------------------------------- truth

    def _compare(self) -> None:
        """Every final state against the ledger, and what each caller was told against its final state."""
        for asked in self.asked:
            final = self.books.last(asked.intent_id)
            where = f"seed {self.seed}, intent {asked.intent_id}, {asked.command}"
            if final is None:
                assert asked.told in ("not sent", None), where
                self.counts["refused"] += 1
                continue
            assert not final.open, f"{where}: it was forgotten"
            self.counts[str(final.state)] += 1
            self._check_ledger(final, where)
            self._check_told(asked, final.state, where)

    def _check_ledger(self, final: Intent, where: str) -> None:
        """As many entries as approvals among the commands that only the ledger can tell apart, but for the unknown."""
        entries = ledger_of(self.terminal, key_of(final))
        alike = [one for one in self._finals() if key_of(one) == key_of(final)]
        states = Counter(one.state for one in alike)
        least = states[IntentState.APPROVED]
        most = least + states[IntentState.UNKNOWN]
        assert len(entries) <= len(alike), f"{where}: charged twice"
        assert least <= len(entries) <= most, f"{where}: the ledger has {len(entries)}, the journal {dict(states)}"
        if final.state is IntentState.APPROVED:
            codes = [entry.authorization_code for entry in entries]
            assert final.authorization_code in (None, "", *codes), f"{where}: it has the result of another"
            assert final.amount in (None, *[entry.amount for entry in entries]), f"{where}: another amount was charged"

    def _finals(self) -> list[Intent]:
        return [final for asked in self.asked if (final := self.books.last(asked.intent_id)) is not None]

    def _check_told(self, asked: _Asked, state: IntentState, where: str) -> None:
        if isinstance(asked.told, Reply):
            expected = IntentState.APPROVED if asked.told.approved else IntentState.DECLINED
            amount = getattr(asked.told, "amount", None)
            if asked.told.approved and amount is not None:
                assert amount == getattr(asked.command, "amount", amount), f"{where}: told another amount"
            # A journal that could not be written stays behind what the caller was told, and never contradicts it.
            assert state in (expected, IntentState.UNKNOWN), f"{where}: told {asked.told}, recorded {state}"
        elif asked.told == "not sent":
            assert state in (IntentState.NOT_SENT, IntentState.UNKNOWN), f"{where}: told it was not sent, it is {state}"


def play(seed: int) -> Counter[str]:
    """Play the sequence of a seed; ``AssertionError`` where a promise was broken."""
    with patch.object(link, "datetime", _StoppedClock):
        return Sequence(seed).play()


def play_range(bounds: tuple[int, int]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for seed in range(*bounds):
        counts += play(seed)
        counts["sequences"] += COMMANDS
    return counts
