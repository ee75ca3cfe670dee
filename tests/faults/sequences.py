"""Random sequences over both carriers: one terminal, a few money commands one after the other, each with faults of its
own, all of a seed. What must hold while one is played is asserted by the register; what must hold in the end, here.

The link keeps the order of messages, and never delivers a money command twice: no register can survive that one. A
firmware whose replies do not bear the ticket does not repeat them after it has acknowledged the next command; the
simplified wire, which has no acknowledgements, does not repeat them at all. A cloud that leaves the ids out of its
answers does not repeat an earlier one. All are among the assumptions of docs/reliability.md.
"""

from __future__ import annotations

import contextlib
import math
import random
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from getnet_pos.errors import AlreadyCharged, GetnetError, OutcomeUnknown
from getnet_pos.flows.effects import Sleep
from getnet_pos.flows.intents import generated_ticket
from getnet_pos.messages import (
    Command,
    Intent,
    PreAuthorization,
    PreAuthorizationCompletion,
    PreAuthorizationRelease,
    Refund,
    Reply,
    Sale,
    SalePromotion,
    Void,
    Wire,
)
from getnet_pos.profiles import Profile
from getnet_pos.simulator import (
    Behaviour,
    Direction,
    Entry,
    Fault,
    FaultKind,
    Outcome,
    Reboot,
    Serialized,
    VirtualTerminal,
)
from getnet_pos.simulator.cloud import CloudFault, CloudFaultKind, VirtualCloud, Where
from getnet_pos.simulator.replies import Identity

from .firmware import spelling
from .world import HOOK, TIMEOUTS, CloudRegister, GivenUp, Journal, Killed, Register, StreamRegister, check_ledger

COMMANDS = 4
"""Money commands in one sequence of a seed."""


@dataclass(slots=True)
class _Asked:
    """A command, and what its caller was told: its reply, or nothing of use."""

    command: Command[Any]
    reply: Reply | None = None


class Sequence:
    """One sequence. A subclass says what it runs over, and what goes wrong there."""

    takes: tuple[type[Command[Any]], ...]
    """The commands that this way takes."""
    names_ticket = True
    """The terminal's records name the ticket of a sale."""
    truthful = False
    """The terminal keeps its record and tells it, in one spelling or another, the link heals in time, and the profile
    says so: then hardly an outcome stays unknown."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.journal = Journal()
        self.asked: list[_Asked] = []
        self.counts: Counter[str] = Counter()
        self.reuses_tickets = self.rng.random() < 0.2
        self.truthful = self.rng.random() < 0.4
        # Where it is counted what stays unknown, the recovery takes as long as by default.
        self.timeouts = replace(TIMEOUTS, recovery=60) if self.truthful else TIMEOUTS
        self.strange: list[Entry] = []
        """What the terminals have done for others: cashiers, other registers."""
        self.register = self._opened()
        self.disk = self.rng.choice((0.0, 0.0, 0.0, 0.03, 1.0, 4.0))
        self.register.sync = lambda: self.disk

    def _opened(self) -> Register:
        """The first register."""
        raise NotImplementedError  # each carrier has its own

    # ---------------------------------------------------------------------------------------------------------- playing

    def play(self) -> Counter[str]:
        try:
            for number in range(COMMANDS):
                # Two operations of one second are told apart by nothing that every firmware sends.
                self.register.pass_time(2.0)
                self._ready()
                self.asked.append(_Asked(self._command(number)))
                self._spoil()
                self._run(self.asked[-1])
            self._calm()
            self._compare()
        except AssertionError as error:
            raise AssertionError(f"{type(self).__name__} {self.seed}: {error}") from error
        return self.counts

    def _ready(self) -> None:
        """Poll until the terminal answers, as a register does; it may be restarting, or out."""
        for attempt in range(20):
            if self.register.session.ready and self.register.session.is_open:
                return
            with contextlib.suppress(GetnetError):
                if self.register.poll().approved:
                    return
            self.register.pass_time(10.0)
            if attempt > 10 and self.register.terminal.busy:
                # A sale that waits for its customer for ever: somebody switches the terminal off and on.
                self.register.terminal.reboot(True, self.register.now)
        raise AssertionError("the terminal never came back")

    def _run(self, asked: _Asked) -> None:
        try:
            asked.reply = self.register.pay(asked.command)
        except OutcomeUnknown as error:
            self.counts["told unknown"] += error.intent_id is not None
        except AlreadyCharged:
            self.counts["told that it was charged"] += 1
        except GetnetError:
            self.counts["told an error"] += 1
        except GivenUp:
            self.counts["given up"] += 1
            if self.rng.random() < 0.7:
                # The caller tries again, under the same ticket where it has one.
                self.register.pass_time(self.rng.choice((0.1, 5.0)))
                self._ready()
                self._run(asked)
        except Killed:
            self.counts["kills"] += 1
            self.counts["steps lost"] += self.journal.crash(left=self.seed % 4)
            self._repair()
            self.register = self.register.restarted(after=self.rng.choice((0.1, 2.0, 30.0)))
        self._repair()

    def _repair(self) -> None:
        """What is left of this command's faults must not fall on the next one's poll for ever."""
        self.register.alarms.clear()
        self.register.dies_at = self.register.gives_up_at = math.inf
        self.journal.refuses = lambda intent: False

    def _calm(self) -> None:
        """Let the terminal finish whatever it is at, and the next register hear of it."""
        self._repair()
        self.register.pass_time(1000.0)
        self.register.terminal.take(self.register.now)
        self.register = self.register.restarted()
        self._ready()

    # --------------------------------------------------------------------------------------------------------- commands

    def _command(self, number: int) -> Command[Any]:
        kind = self.rng.choices(self.takes, [8 if one is Sale else 1 for one in self.takes])[0]
        # Few amounts, so that the wrong reply often has the right one.
        amount = self.rng.choice((1000, 1000, 1000, 2000))
        if kind is Void and (operation_id := self._of_a_charge("operation_id", Sale)):
            return Void(operation_id)
        # Amounts of their own, so that the ledger's entry can be found.
        if kind is Refund and (code := self._of_a_charge("authorization_code", Sale, PreAuthorizationCompletion)):
            return Refund(code, 10 + number)
        if kind is PreAuthorizationCompletion and (code := self._of_a_charge("authorization_code", PreAuthorization)):
            return PreAuthorizationCompletion(code, 500 + number)
        if kind is PreAuthorizationRelease and (code := self._of_a_charge("authorization_code", PreAuthorization)):
            return PreAuthorizationRelease(code)
        if kind is PreAuthorization:
            return PreAuthorization(amount, self._ticket(number))
        if kind is SalePromotion:
            return SalePromotion(amount, self._ticket(number), id_promo="two for one")
        return Sale(amount, self._ticket(number), send_message=self.rng.random() < 0.5)

    def _of_a_charge(self, name: str, *kinds: type[Command[Any]]) -> Any:
        """What the reply to a command of these kinds, approved before, tells under a name."""
        done = [one.reply for one in self.asked if isinstance(one.command, kinds) and one.reply and one.reply.approved]
        return getattr(self.rng.choice(done), name, None) if done else None

    def _ticket(self, number: int) -> str | None:
        last = self.asked[-1] if self.asked else None
        if self.reuses_tickets and last and last.reply and not last.reply.approved and _ticket_of(last.command):
            # A declined card is tried again under the same ticket, as cashiers do.
            return _ticket_of(last.command)
        tickets = (f"T{number}", f"00{number}17", generated_ticket(self.journal.next_id), None)
        return self.rng.choice(tickets[:3] if self.truthful else tickets)

    # ----------------------------------------------------------------------------------------------------------- faults

    def _spoil(self) -> None:
        """Choose what goes wrong with the next command."""
        rng, register, terminal = self.rng, self.register, self.register.terminal
        terminal.script.clear()
        if rng.random() < 0.9:
            terminal.script.append(self._behaviour())
        if rng.random() < 0.15:
            register.dies_at = register.effects + rng.randrange(1, 60)
        elif rng.random() < 0.1:
            register.gives_up_at = register.effects + rng.randrange(1, 60)
        if rng.random() < 0.15 and not self.truthful:
            # A cashier sells on the terminal itself: at any moment where vouchers say whose they are, else before.
            if self.names_ticket and _ticket_of(self.asked[-1].command):
                self._alarm((0.0, 1.0, 6.0, 30.0), self._key_in)
            else:
                self._key_in()
        if rng.random() < 0.05:
            keep, seconds = self.truthful or rng.random() < 0.5, rng.choice((0.0, 3.0, 15.0))
            self._alarm((0.0, 0.5, 5.0), lambda: terminal.reboot(keep, register.now, seconds=seconds))
            self.counts["reboots"] += 1
        if rng.random() < 0.05:
            left = iter(range(rng.randrange(6)))
            self.journal.refuses = lambda intent: next(left, None) is None
            self.counts["journal refusals"] += 1

    def _key_in(self) -> None:
        """The terminal is free only where no register's command is in progress."""
        terminal = self.register.terminal
        if not terminal.busy and terminal.connected(self.register.now):
            self.strange.append(terminal.key_in(self.rng.choice((1000, 2000)), self.register.now))
            self.counts["keyed in"] += 1

    def _alarm(self, after: tuple[float, ...], action: Any) -> float:
        at = self.register.now + self.rng.choice(after)
        self.register.alarms.append((at, action))
        self.register.alarms.sort(key=lambda alarm: alarm[0])
        return at

    def _behaviour(self) -> Behaviour:
        """How the terminal treats one command, whatever carries it."""
        rng = self.rng
        changes: dict[str, Any] = {"outcome": rng.choices(list(Outcome), (70, 12, 5, 5, 2, 4))[0]}
        if self.truthful and changes["outcome"] is Outcome.SILENT:
            changes["outcome"] = Outcome.DECLINE
        if rng.random() < 0.3:
            changes["decide_after"] = rng.choice((0.5, 8.0) if self.truthful else (0.5, 8.0, 50.0, 90.0, math.inf))
        if rng.random() < 0.2:
            changes["reply_after"] = rng.choice(
                (1.0, 15.0, math.inf) if self.truthful else (1.0, 15.0, 70.0, 140.0, math.inf)
            )
        if rng.random() < 0.15 and not self.truthful:
            changes["record_after"] = rng.choice((1.0, 12.0, 60.0, 500.0))
        if rng.random() < 0.1:
            changes["reboot"] = Reboot(
                approved=rng.random() < 0.7,
                keep_record=self.truthful or rng.random() < 0.6,
                seconds=rng.choice((0.0, 4.0)),
            )
        if rng.random() < 0.1:
            # Printing failed, after the charge or without one; or the acquirer was out of reach.
            changes["change"] = {"ResponseCode": rng.choice((1003, 1004, 1005, -1))}
        elif rng.random() < 0.06:
            wrong = ({"FunctionCode": 0}, {"FunctionCode": 101}, {"Amount": 1}, {"Amount": 7000})
            changes["change"] = rng.choice(wrong)
        return Behaviour(**changes)

    # ------------------------------------------------------------------------------------------------------------ truth

    def _compare(self) -> None:
        finals = self.journal.finals()
        assert not [one for one in finals if one.open], "it was forgotten"
        check_ledger(self.register, [entry for entry in self._entries() if entry not in self.strange])
        self.counts.update(str(one.state) for one in finals)
        if self.truthful:
            self.counts.update(f"truthful{self.unsaid(one)} {one.state}" for one in finals)
        self.counts["refused"] += len(self.asked) - len(finals)

    def unsaid(self, intent: Intent) -> str:
        """What is told of a command whose vouchers do not say whose they are."""
        return "" if self.names_ticket and intent.ticket else ", without a ticket"

    def _entries(self) -> list[Entry]:
        """Of all terminals that this register may have used."""
        return list(self.register.terminal.ledger.entries)


def _ticket_of(command: Command[Any]) -> str | None:
    return getattr(command, "ticket", None)


# ------------------------------------------------------------------------------------------------------- a byte stream


class StreamSequence(Sequence):
    """Lines that lose and damage messages, cables that are pulled, cancellations, and firmware with manners."""

    takes = (Sale, Void, Refund, PreAuthorization, PreAuthorizationCompletion, PreAuthorizationRelease)
    register: StreamRegister

    def _opened(self) -> StreamRegister:
        rng = self.rng
        wire = Wire.SIMPLIFIED if rng.random() < 0.1 and not self.truthful else Wire.SIGNED
        self.bare = rng.random() < 0.4 and not self.truthful
        """The firmware's vouchers have no ticket, and its refusals have nothing at all."""
        self.says_whose = not self.bare and wire is Wire.SIGNED
        """Each reply says whose it is. The refusals of the simplified wire never do."""
        if wire is Wire.SIMPLIFIED:
            self.takes = (Sale, Void, Refund)
        kept = {"Ticket"} if self.truthful else set()
        omitted = [name for name in ("Ticket", "OperationId", "EmployeeId") if rng.random() < 0.4 and name not in kept]
        change = {"FunctionCode": 101} if rng.random() < 0.4 and not self.truthful else {}
        if self.bare:
            omitted.append("Ticket")
        self.names_ticket = "Ticket" not in omitted and wire is Wire.SIGNED
        if rng.random() < 0.1 and "OperationId" not in omitted and not self.truthful:
            omitted.append("RealDate")
        self.manner = Behaviour(omit=tuple(omitted), change=change)
        terminal = VirtualTerminal(answers={101: self.manner}, seed=self.seed)
        self.other = VirtualTerminal(
            answers={101: self.manner}, identity=Identity(terminal_id="80005999"), seed=self.seed + 1
        )
        """Another lane's, which may come to stand here."""
        self.strange += [self.other.key_in(amount, 1.0) for amount in (1000, 2000, 1000)]
        profile = replace(Profile.INTEGRATED_POS, durable_record=self.truthful)
        closes = rng.random() < 0.1 and wire is Wire.SIGNED
        register = StreamRegister(
            terminal, self.journal, wire=wire, profile=profile, closes=closes, timeouts=self.timeouts
        )
        if rng.random() < 0.4 and wire is Wire.SIGNED:
            register.to_register = spelling(rng)
        return register

    def _entries(self) -> list[Entry]:
        return [*self.register.own.ledger.entries, *self.other.ledger.entries]

    def _repair(self) -> None:
        super()._repair()
        if self.register.terminal is not self.register.own:
            self.register.swap(self.register.own)
        self.register.own.answers[101] = self.manner
        self.register.writes.clear()
        self.register.link.cancel_wanted = False
        self.register.terminal.connect(self.register.now)

    def _spoil(self) -> None:
        super()._spoil()
        rng, register, terminal = self.rng, self.register, self.register.terminal
        for _ in range(rng.choice((0, 0, 1, 1, 2, 3))):
            self._line_fault()
        if rng.random() < 0.08:
            register.writes = [None] * rng.randrange(4) + [rng.choice((0, 0, 1, 40))]
            self.counts["broken writes"] += 1
        if rng.random() < 0.08 and not self.truthful and not register.closes:
            self._alarm((0.0, 0.5, 5.0, 20.0), lambda: register.swap(self.other))
            self.counts["swapped"] += 1
        if rng.random() < 0.1 and not self.truthful:
            terminal.answers[101] = replace(self.manner, change={**_BUSY, **self.manner.change})
            self._alarm((3.0, 10.0), lambda: terminal.answers.update({101: self.manner}))
            self.counts["101 refused"] += 1
        if rng.random() < 0.1:
            out = self._alarm((0.0, 0.5, 5.0, 20.0), lambda: terminal.disconnect(register.now))
            self._alarm((out - register.now + 0.5, out - register.now + 10.0), lambda: terminal.connect(register.now))
            self.counts["unplugged"] += 1
        if rng.random() < 0.1 and register.wire is Wire.SIGNED:
            self._alarm((0.0, 1.0, 8.0), register.session.cancel)
            self.counts["cancellations"] += 1

    @property
    def repeats(self) -> bool:
        """Whether replies may come twice: those to a command without a ticket look like those to the next one."""
        command = self.asked[-1].command
        return self.says_whose and not (command.takes_card and _ticket_of(command) is None)

    def _line_fault(self) -> None:
        rng = self.rng
        direction = rng.choice((Direction.TO_TERMINAL, Direction.TO_REGISTER, Direction.TO_REGISTER))
        kinds = [FaultKind.DROP, FaultKind.CORRUPT, FaultKind.TRUNCATE]
        if direction is Direction.TO_REGISTER and self.repeats:
            kinds.append(FaultKind.DUPLICATE)
        kind = rng.choice(kinds)
        byte = rng.randrange(700) if kind is not FaultKind.DUPLICATE and rng.random() < 0.3 else None
        self.register.terminal.inject(Fault(kind, direction, rng.randrange(7), byte))
        self.counts[kind.value] += 1

    def _behaviour(self) -> Behaviour:
        rng = self.rng
        changes: dict[str, Any] = {}
        if rng.random() < 0.1:
            changes["acknowledge"] = rng.choice((None, False))
        if rng.random() < 0.1:
            changes["acknowledge_after"] = rng.choice((1.0, 5.0))
        if rng.random() < 0.08 and self.repeats:
            changes["resends"], changes["resend_after"] = 3, rng.choice((1.0, 5.0))
        if rng.random() < 0.1:
            changes["progress_every"] = rng.choice((0.5, 10.0))
        if rng.random() < 0.06:
            changes["wrong_signature"] = True
        if rng.random() < 0.08:
            changes[rng.choice(("camel_case", "crlf", "coalesce", "echo"))] = True
        if rng.random() < 0.03 and self.register.wire is Wire.SIGNED:
            changes["late_reply"] = True
        if rng.random() < 0.08 and self.repeats:
            changes["duplicate"] = True
        if rng.random() < 0.05:
            changes["serialized"] = rng.choice(list(Serialized))
        if rng.random() < 0.1:
            changes["fragment"], changes["fragment_every"] = rng.choice((7, 50)), rng.choice((0.0, 0.02))
        if rng.random() < 0.1:
            changes["noise"] = rng.choice((1, 20))
        behaviour = super()._behaviour()
        if self.bare:
            nothing = ("Ticket", "Amount", "OperationId")
            changes["omit"] = nothing if behaviour.outcome is not Outcome.APPROVE else ("Ticket",)
        return replace(behaviour, **changes)


# ---------------------------------------------------------------------------------------------------------- the cloud

_BUSY = {
    "ResponseCode": 2003,
    "ResponseMessage": "Ocupado",
    "Amount": 0,
    "OperationId": 0,
    "RealDate": "",
    "Ticket": "",
}

K = CloudFaultKind
_EVERYWHERE = (
    K.LATENCY, K.UNAUTHORIZED, K.EXPIRED, K.FORBIDDEN, K.SERVER_ERROR, K.RATE_LIMIT, K.UNAVAILABLE, K.DROP_BEFORE,
    K.DROP_AFTER, K.TIMEOUT_AFTER, K.SERVER_ERROR_AFTER, K.RATE_LIMIT_AFTER, K.UNAUTHORIZED_AFTER, K.FORBIDDEN_AFTER,
    K.NOT_FOUND_AFTER, K.HTML, K.CUT, K.CUT_JSON, K.NEVER,
)  # fmt: skip
_OF_MONEY = (
    *_EVERYWHERE, K.PREVIOUS, K.IN_PROCESS, K.OVERTAKEN, K.WEBHOOK_EARLY, K.WEBHOOK_TWICE, K.WEBHOOK_LATE,
    K.WEBHOOK_NEVER,
)  # fmt: skip


class CloudSequence(Sequence):
    """Calls that break before and after they were carried out, answers that are late, cut, of others, or none."""

    register: CloudRegister

    def _opened(self) -> CloudRegister:
        rng = self.rng
        country = rng.choice((Profile.CHILE, Profile.ARGENTINA))
        self.takes = (Sale, Void, Refund, SalePromotion) if country is Profile.CHILE else (Sale, Refund)
        self.names_ticket = country is Profile.CHILE
        cloud = VirtualCloud(
            profile=replace(country, durable_record=self.truthful), echoes_ids=rng.random() < 0.7, seed=self.seed
        )
        if rng.random() < 0.5:
            # It has been in use before, for the same amounts too, by a register of which this one knows nothing.
            other = CloudRegister(cloud, Journal())
            other.poll()
            other.sell(1000, "T0")
            self.strange += cloud.terminal.ledger.entries
        webhook = HOOK if rng.random() < 0.4 else None
        return CloudRegister(cloud, self.journal, now=60.0, webhook=webhook, timeouts=self.timeouts)

    def _repair(self) -> None:
        super()._repair()
        self.register.unreachable = lambda request: False

    def _spoil(self) -> None:
        super()._spoil()
        rng, register = self.rng, self.register
        for _ in range(rng.choice((0, 0, 1, 1, 2, 3))):
            self._fault()
        if rng.random() < 0.1:
            self._alarm((0.5, 5.0, 40.0), self._recover_beside)
        if rng.random() < 0.08:
            register.unreachable = lambda request: rng.random() < 0.4
            self.counts["out of reach"] += 1

    def _recover_beside(self) -> None:
        """Another process, with the same journal, looks at what was left open; the sale in progress is not its.

        The clock is everybody's: it ends where it would have to wait.
        """
        beside = self.register.restarted()
        beside.between = _killed
        beside.before = lambda effect: _killed() if isinstance(effect, Sleep) and effect.seconds > 1.0 else None
        with contextlib.suppress(GetnetError, Killed):
            beside.poll()
        self.register.now = beside.now
        self.counts["recovered beside"] += 1

    def _fault(self) -> None:
        rng, cloud = self.rng, self.register.cloud
        where = rng.choices((Where.LOGIN, Where.MONEY, Where.QUESTION, Where.STATUS), (1, 6, 2, 3))[0]
        kind = rng.choice(_OF_MONEY if where is Where.MONEY else _EVERYWHERE)
        if kind is K.PREVIOUS and not cloud.echoes_ids:
            kind = K.DROP_AFTER
        self.counts[kind.value] += 1
        fault = CloudFault(
            kind,
            where,
            skip=rng.choice((0, 0, 0, 1, 2)),
            times=rng.choice((1, 1, 2) if self.truthful else (1, 1, 2, 5)),
            seconds=rng.choice((0.5, 5, 40) if self.truthful else (0.5, 5, 40, 400)),
            count=rng.choice((1, 3) if self.truthful else (1, 3, 30)),
            retry_after=rng.choice((0, 1, 5) if self.truthful else (0, 1, 5, 600)),
        )
        if self.truthful and kind is K.LATENCY and where is Where.MONEY:
            # Its profile says that a cloud passes nothing on once the time of the command is over.
            fault = replace(fault, seconds=min(fault.seconds, TIMEOUTS.report / 2))
        cloud.inject(fault)

    def _behaviour(self) -> Behaviour:
        omit = self.rng.choices(((), ("Ticket",), ("RealDate",), ("Amount",)), (10, 1, 1, 0.5))[0]
        omit = () if self.truthful else omit
        return replace(super()._behaviour(), omit=omit)


def _killed() -> bool:
    raise Killed


SEQUENCES: dict[str, type[Sequence]] = {"stream": StreamSequence, "cloud": CloudSequence}


def play_range(part: tuple[str, int, int]) -> Counter[str]:
    """What the sequences of a carrier and a range of seeds came to; ``AssertionError`` where a promise was broken."""
    carrier, first, last = part
    counts: Counter[str] = Counter()
    for seed in range(first, last):
        counts += SEQUENCES[carrier](seed).play()
        counts["commands"] += COMMANDS
    return counts
