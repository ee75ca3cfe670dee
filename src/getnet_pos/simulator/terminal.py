"""The virtual terminal: bytes and times in, bytes and times out. It does no I/O, reads no clock and never sleeps.

Its driver (a server on the monotonic clock, a test on a virtual one) passes ``now``, in seconds since the terminal was
switched on, and writes what ``take`` returns at the times that ``next_event`` returns.
"""

from __future__ import annotations

import math
import random
import re
from bisect import insort
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from ..codec import Decoder, Message, acknowledgement
from ..codec.messages import boolean, whole
from ..errors import InvalidType
from ..messages import (
    CATALOGUE,
    Ack,
    BadFrame,
    CancelSale,
    Command,
    CommandMessage,
    FrameFault,
    ProgressCode,
    Wire,
    commands,
)
from ..money import MAX_AMOUNT
from . import replies
from .behaviour import Behaviour, Outcome
from .faults import Direction, Fault, Frame, Frames, Line
from .firmware import Firmware
from .ledger import Entry, EntryKind, Ledger
from .refusals import Declined, Refusal
from .replies import Fields, Identity
from .watcher import Watcher

__all__ = ["VirtualTerminal"]

_NOISE = b'{}[]"\\:\x00\x02\x03\x0a\x7f\xff0a'

_REDELIVERS_AFTER = 1.0
"""Seconds between plugging in the terminal and its sending the reply that it could not send before."""

_PLAIN = Behaviour()
_NO_COMMAND = CommandMessage(0, {})


@dataclass(slots=True, eq=False)
class _Answer:
    """The answer to one command, in progress.

    ``steps`` yields bytes to write, and seconds to wait before the next step.
    """

    command: CommandMessage
    wire: Wire
    behaviour: Behaviour
    accepted: bool = True
    """``False``: the whole answer is ``Received: false``."""
    busy: bool = False
    """It arrived while a payment command was being decided."""
    steps: Iterator[bytes | float] = field(init=False)
    held: list[bytes] = field(default_factory=list)
    holding: bool = False
    """Whether writes are held back until the reply is due (``Behaviour.coalesce``)."""


class VirtualTerminal:
    """A Getnet terminal in integrated mode, with a ledger.

    By default it acknowledges, approves and replies at once. Each payment command takes the next behaviour from
    ``script``; if that is empty, the one in ``answers`` for its command code, or else ``default``. Other commands are
    handled by the behaviour in ``answers``, or else as a correct terminal does, with the wire format of ``default``.
    While a payment command is being decided, any other command except a cancellation is refused as busy and takes
    nothing from the script. While a ``watcher`` attends, a payment command without a behaviour in the script waits
    until ``proceed`` decides it.

    The same calls with the same ``seed`` have the same effect, to the byte. Without a seed, each terminal makes
    different vouchers.

    Raises:
        InvalidType: ``default``, ``script`` or ``answers`` holds something else than a ``Behaviour``.

    Examples:
        >>> from getnet_pos.simulator import Behaviour, Outcome, VirtualTerminal
        >>> declining = VirtualTerminal(script=[Behaviour(outcome=Outcome.DECLINE)])
        >>> pos.sale(25_000, ticket="A1234").approved  # pos is connected to terminal
        True
        >>> terminal.ledger.charged("A1234")
        25000
    """

    def __init__(
        self,
        *,
        default: Behaviour = _PLAIN,
        script: Iterable[Behaviour] = (),
        answers: Mapping[int, Behaviour] | None = None,
        faults: Iterable[Fault] = (),
        identity: Identity | None = None,
        firmware: Firmware | None = None,
        epoch: datetime = datetime(2026, 1, 1, 12),
        seed: int | None = None,
    ) -> None:
        self.default = default
        self.script = deque(script)
        self.answers = dict(answers or {})
        if not all(isinstance(one, Behaviour) for one in (default, *self.script, *self.answers.values())):
            raise InvalidType("default, each item of script and each value of answers must be a Behaviour")
        self.identity = identity or Identity()
        self.firmware = firmware or Firmware()
        self.epoch = epoch
        """The date and time at ``now`` 0."""
        self.gap = 0.0
        """The minimum time between two writes, in seconds; set by the server of the terminal."""
        self.commands: list[CommandMessage] = []
        """Every complete command received, in order."""
        self.acknowledgements = 0
        """How many ``Received: true`` messages the register has sent."""
        self.default_sale_type = 0
        self.integrated = True
        """``False`` after a command to leave the integrated mode; the terminal continues to reply anyway."""
        self.watcher: Watcher | None = None
        seed = random.getrandbits(32) if seed is None else seed
        self._rng = random.Random(f"{seed} terminal")
        self.ledger = Ledger(self._rng.randrange(1_000_000))
        self._record: list[tuple[float, Entry]] = []
        """The terminal's own record: each operation, and the time at which it enters the record."""
        self._inbound, self._outbound = (Line(random.Random(f"{seed} {way.value}")) for way in Direction)
        for fault in faults:
            self.inject(fault)
        self._frames = Frames()
        self._decoder = Decoder()
        self._heard = bytearray()
        """The bytes since the last message, to echo them and to detect the wire."""
        self._now = 0.0
        self._plugged = True
        self._off_until = -math.inf
        self._answering: list[tuple[float, int, _Answer]] = []
        self._count = 0
        self._current: _Answer | None = None
        """The payment command that is being decided."""
        self._last_reply = b""
        self._unsent: tuple[bytes, Behaviour] | None = None
        self._flushed = False
        """Whether the register has flushed its input buffer since the terminal was plugged in."""
        self._writes: deque[tuple[float, bytes, bool]] = deque()
        """When to write what, and whether it begins a new write or is a further fragment."""
        self._wrote_at = -math.inf
        self._handlers: dict[type[Command[Any]] | None, Callable[[Fields, Behaviour, int], Fields]] = {
            commands.Sale: self._sale,
            commands.LastVoucher: self._last_voucher,
            commands.Void: self._void,
            commands.CloseBatch: self._close_batch,
            commands.TotalsReport: lambda *_: replies.totals(self._open_batch()),
            commands.DetailsReport: lambda *_: {"SaleDetails": replies.details(self._open_batch(), self.identity)},
            commands.Poll: lambda *_: {"Connected": True},
            commands.SetNormalMode: self._normal_mode,
            commands.Refund: self._refund,
            commands.Duplicate: self._duplicate,
            commands.SalesBySellerReport: lambda fields, *_: {
                "SaleDetails": replies.sales_by_seller(self._charges_of(fields))
            },
            commands.TipsReport: lambda fields, *_: {"TipReport": replies.tips(self._charges_of(fields))},
            commands.SetDefaultSaleType: self._set_default_sale_type,
            commands.ParametersReport: lambda *_: replies.parameters(self.identity),
            commands.SimReport: lambda *_: replies.sim(),
            commands.CancelSale: self._cancel_sale,
            commands.MultiCommerceSale: self._multi_commerce_sale,
            commands.MultiCommerceVoid: self._multi_commerce_void,
            commands.MultiCommerceRefund: self._multi_commerce_refund,
            commands.MainPosData: lambda *_: replies.main_pos_data(self.identity),
            commands.PreAuthorization: self._pre_authorize,
            commands.PreAuthorizationCompletion: self._complete,
            commands.PreAuthorizationRelease: self._release,
        }

    # ---------------------------------------------------------------------------------------------------------- driving

    def receive(self, data: bytes, now: float) -> None:
        """Receive bytes that the register has written."""
        self._advance(now)
        if not data or not self.connected(now):
            return
        line = self._inbound
        for piece in self._frames.feed(data) if line.faulty else [self._frames.rest() + data]:
            line.put(Frame(piece, _PLAIN), self._now)
        self._advance(now)

    def next_event(self) -> float | None:
        """When to call ``take`` next; ``None``: not before the register writes. It may be a time in the past."""
        times = [self._next_step()]
        if self._writes:
            times.append(self._due())
        if self._off_until > self._now:
            times.append(self._off_until)
        first = min(times)
        return None if first == math.inf else first

    def take(self, now: float) -> list[bytes]:
        """The writes that are due by ``now``, in order."""
        self._advance(now)
        due = []
        while self._writes and self._due() <= self._now:
            due.append(self._writes.popleft()[1])
            self._wrote_at = self._now
        return due

    def wrote(self, now: float) -> None:
        """Report that the writes from ``take`` are done: the gap to the next write counts from here."""
        self._advance(now)
        self._wrote_at = self._now

    def _due(self) -> float:
        """When the next write may be made: the gap counts from when the last one was actually made."""
        at, _, begins = self._writes[0]
        return max(at, self._wrote_at + self.gap) if begins else at

    def connected(self, now: float) -> bool:
        """Whether the terminal is online: plugged in, and not restarting."""
        return self._plugged and now >= self._off_until

    def disconnect(self, now: float) -> None:
        """Unplug the link. The terminal continues to work; what it sends until ``connect`` is lost."""
        self._advance(now)
        self._plugged = False
        self._cut()
        self._notify()

    def connect(self, now: float) -> None:
        """Plug the link in again."""
        self._advance(now)
        self._plugged, self._flushed = True, False
        if self._unsent is not None:
            (frame, behaviour), self._unsent = self._unsent, None
            answer = _Answer(_NO_COMMAND, Wire.SIGNED, behaviour)
            answer.steps = self._sent(frame, behaviour)
            self._wait(answer, _REDELIVERS_AFTER)
        self._notify()

    def flush(self, now: float) -> None:
        """Report that the register has flushed its input buffer."""
        self._advance(now)
        self._flushed = True

    def reboot(self, keep_record: bool, now: float, *, seconds: float = 0.0) -> None:
        """Restart. The command in progress ends without a reply, and the terminal is offline for ``seconds``.

        The ledger is kept. The terminal's own record lacks what was decided but not yet recorded; without
        ``keep_record`` it is empty.
        """
        self._advance(now)
        self._restart(keep_record, seconds)

    def proceed(self, behaviour: Behaviour, now: float) -> None:
        """Decide the current payment command by ``behaviour``, starting with its progress messages.

        Without a command to decide, nothing happens.
        """
        self._advance(now)
        answer = self._current
        if answer is not None:
            self._answering = [entry for entry in self._answering if entry[2] is not answer]
            answer.behaviour = self._in_case(behaviour)
            answer.steps = self._decision(answer)
            self._go_on(answer)

    def key_in(self, amount: int, now: float) -> Entry:
        """Simulate a sale keyed in on the terminal, without a register. Its voucher has no ticket.

        ``amount`` is in wire units.
        """
        self._advance(now)
        entry = self._recorded(self.ledger.add(EntryKind.SALE, commands.Sale.code, amount, self.date()), self.default)
        self._notify()
        return entry

    def inject(self, fault: Fault) -> None:
        """Add a fault of the link. It counts frames and bytes from now on."""
        (self._inbound if fault.direction is Direction.TO_TERMINAL else self._outbound).inject(fault)

    @property
    def now(self) -> float:
        """The terminal's time: the latest ``now`` it was passed. The next driver continues from there."""
        return self._now

    def date(self) -> str:
        """The terminal's date and time, as on its vouchers."""
        return (self.epoch + timedelta(seconds=self._now)).strftime("%Y-%m-%d %H:%M:%S")

    @property
    def busy(self) -> bool:
        """Whether a payment command is being decided."""
        return self._current is not None

    @property
    def plugged(self) -> bool:
        """Whether the cable is plugged in, even if the terminal is restarting."""
        return self._plugged

    # ------------------------------------------------------------------------------------------------------------- time

    def _next_step(self) -> float:
        first = self._answering[0][0] if self._answering else math.inf
        return min(first, self._inbound.due, self._outbound.due)

    def _advance(self, now: float) -> None:
        """Do everything that is due by ``now``, each at its own time."""
        while (at := self._next_step()) <= now:
            self._now = max(self._now, at)
            for frame in self._inbound.take(at):
                self._hear(frame.data)
            if self._answering and self._answering[0][0] <= at:
                self._go_on(self._answering.pop(0)[2])
            self._write(self._outbound.take(at))
        self._now = max(self._now, now)

    def _wait(self, answer: _Answer, after: float) -> None:
        """Continue with an answer later; never, if ``after`` is infinite."""
        if after < math.inf:
            self._count += 1
            insort(self._answering, (self._now + after, self._count, answer))

    def _go_on(self, answer: _Answer) -> None:
        for step in answer.steps:
            if isinstance(step, bytes):
                answer.held.append(step)
                if not answer.holding:
                    self._send(answer)
            elif step > 0:
                self._wait(answer, step)
                return
        self._send(answer)

    def _send(self, answer: _Answer) -> None:
        for data in answer.held:
            self._outbound.put(Frame(self._dressed(data, answer.behaviour), answer.behaviour), self._now)
        answer.held.clear()

    def _dressed(self, data: bytes, behaviour: Behaviour) -> bytes:
        noise = bytes(self._rng.choices(_NOISE, k=self._rng.randint(1, behaviour.noise))) if behaviour.noise else b""
        return noise + data + (b"\r\n" if behaviour.crlf else b"")

    def _write(self, frames: list[Frame]) -> None:
        """Schedule the writes of frames that are due together."""
        if not self.connected(self._now):
            return
        joined: list[Frame] = []
        for frame in frames:
            if joined and frame.behaviour.coalesce and joined[-1].behaviour.coalesce:
                joined[-1] = frame._replace(data=joined[-1].data + frame.data)
            else:
                joined.append(frame)
        for data, behaviour in joined:
            if self.watcher:
                self.watcher.said(data)
            due = max(self._now, self._writes[-1][0]) if self._writes else self._now
            size = behaviour.fragment or len(data)
            for place in range(0, len(data), size):
                self._writes.append((due, data[place : place + size], place == 0))
                due += behaviour.fragment_every

    def _cut(self) -> None:
        """Lose everything in transit, in both directions."""
        self._inbound.clear()
        self._outbound.clear()
        self._writes.clear()
        self._frames.rest()
        self._decoder.reset()
        self._heard.clear()

    def _restart(self, keep_record: bool, seconds: float) -> None:
        self._current = None
        self._answering.clear()
        self._cut()
        self._last_reply = b""
        self._unsent, self._flushed = None, False
        self._record = [item for item in self._record if keep_record and item[0] <= self._now]
        self.integrated = True
        self._off_until = self._now + seconds
        self._notify()

    def _notify(self) -> None:
        if self.watcher:
            self.watcher.changed()

    # ---------------------------------------------------------------------------------------------------------- hearing

    def _hear(self, data: bytes) -> None:
        self._heard += data
        messages = self._decoder.feed(data)
        if messages or not self._decoder.pending:
            heard = bytes(self._heard)
            self._heard.clear()
            for message in messages:
                if self.connected(self._now):
                    self._understand(message, heard)

    def _understand(self, message: Message, heard: bytes) -> None:
        wire = Wire.SIGNED if b"erialized" in heard else Wire.SIMPLIFIED
        if self.watcher:
            self.watcher.heard(message)
        if isinstance(message, CommandMessage):
            self._begin(message, wire, heard)
        elif isinstance(message, Ack):
            self.acknowledgements += message.received
        elif isinstance(message, BadFrame) and wire is Wire.SIGNED and message.fault is FrameFault.SIGNATURE:
            self._reply(_Answer(_NO_COMMAND, wire, self._manner(), accepted=False))
        elif isinstance(message, BadFrame) and message.sealed:
            self._reply(_Answer(_NO_COMMAND, wire, self._manner()))

    def _begin(self, command: CommandMessage, wire: Wire, heard: bytes) -> None:
        self.commands.append(command)
        if self._flushed and self.firmware.stops_at_flush and CATALOGUE.facts(command.code).moves_money:
            return
        busy = self._current is not None and command.code != CancelSale.code
        unwanted = self.firmware.refuses_iso_dates and _dated_year_first(command)
        behaviour = self._manner() if busy or unwanted else self._behaviour(command.code)
        accepted = behaviour.acknowledge is not False and not unwanted
        answer = _Answer(command, wire, behaviour, accepted=accepted, busy=busy)
        if behaviour.echo:
            self._outbound.put(Frame(heard, behaviour), self._now)
        silent = behaviour.outcome is Outcome.SILENT
        if CATALOGUE.facts(command.code).moves_money and answer.accepted and not busy and not silent:
            self._current = answer
            if self.watcher:
                self.watcher.began(command, behaviour.decide_after == math.inf)
        self._reply(answer)

    def _behaviour(self, code: int) -> Behaviour:
        if not CATALOGUE.facts(code).moves_money:
            behaviour = self.answers.get(code) or self.default.manner()
        elif self.script:
            behaviour = self.script.popleft()
        elif self.watcher and self.watcher.attends():
            behaviour = replace(self.default.manner(), progress=(ProgressCode.CARD_READING,), decide_after=math.inf)
        else:
            behaviour = self.answers.get(code, self.default)
        return self._in_case(behaviour)

    def _manner(self) -> Behaviour:
        return self._in_case(self.default.manner())

    def _in_case(self, behaviour: Behaviour) -> Behaviour:
        return replace(behaviour, camel_case=True) if self.firmware.camel_case else behaviour

    # -------------------------------------------------------------------------------------------------------- answering

    def _reply(self, answer: _Answer) -> None:
        answer.holding = answer.behaviour.coalesce
        answer.steps = self._steps(answer)
        # At once, instead of later: a terminal that needs no time is then ready for the next command of the same read.
        self._go_on(answer)

    def _steps(self, answer: _Answer) -> Iterator[bytes | float]:
        """The answer to one command, from the acknowledgement to the reply."""
        behaviour = answer.behaviour
        if behaviour.late_reply and self._last_reply:
            yield self._last_reply
        if answer.wire is Wire.SIGNED and behaviour.acknowledge is not None:
            yield behaviour.acknowledge_after
            yield acknowledgement(answer.accepted)
        if not answer.accepted or behaviour.outcome is Outcome.SILENT:
            return
        yield from self._decision(answer)

    def _decision(self, answer: _Answer) -> Iterator[bytes | float]:
        """The answer to one command, from the progress messages to the reply."""
        if not answer.busy and not _is_malformed(answer.command):
            if CATALOGUE.facts(answer.command.code).takes_card:
                yield from self._progress(answer)
            yield answer.behaviour.decide_after
        if self._reboots(answer, approved=False):
            return
        before = self._current
        reply = self._decide(answer)
        if self._reboots(answer, approved=True):
            return
        if answer is self._current:
            self._current = None
        yield from self._final(answer, reply)
        if answer.command.code == CancelSale.code and before is not None and not reply["ResponseCode"]:
            before.steps = self._final(before, self._refused(before, Declined.because(Refusal.CANCELLED)))
            self._go_on(before)

    def _reboots(self, answer: _Answer, *, approved: bool) -> bool:
        reboot = answer.behaviour.reboot
        if reboot is None or reboot.approved is not approved:
            return False
        answer.held.clear()
        self._restart(reboot.keep_record, reboot.seconds)
        return True

    def _progress(self, answer: _Answer) -> Iterator[bytes | float]:
        behaviour = answer.behaviour
        wanted = answer.wire is Wire.SIGNED and boolean(_spelled(answer.command.fields).get("SendMessage"))
        for code in behaviour.progress:
            yield behaviour.progress_every
            if wanted:
                yield replies.signed(replies.progress(code), behaviour)

    def _final(self, answer: _Answer, reply: Fields) -> Iterator[bytes | float]:
        """Send the reply, as many times as the behaviour requires."""
        behaviour = answer.behaviour
        reply = {**self._spoken(reply, answer.command.code), **behaviour.change}
        fields = {name: value for name, value in reply.items() if name not in behaviour.omit}
        moves_money = CATALOGUE.facts(answer.command.code).moves_money and not answer.busy
        if self.watcher and moves_money:
            self.watcher.decided(answer.command, reply)
        if answer.wire is Wire.SIGNED:
            frame = replies.signed(fields, behaviour, wrong_signature=behaviour.wrong_signature)
        else:
            frame = replies.simplified(answer.command.code, fields, wrong_checksum=behaviour.wrong_signature)
        if moves_money:
            self._last_reply = frame
        yield behaviour.reply_after
        answer.holding = False
        yield from self._sent(frame, behaviour)
        if behaviour.duplicate:
            yield frame
        for _ in range(behaviour.resends):
            before = self.acknowledgements
            yield behaviour.resend_after
            if self.acknowledgements > before:
                return
            yield frame

    def _sent(self, frame: bytes, behaviour: Behaviour) -> Iterator[bytes | float]:
        if self.connected(self._now) or not self.firmware.delivers_unsent:
            yield frame
        else:
            self._unsent = frame, behaviour

    def _spoken(self, reply: Fields, code: int) -> Fields:
        """The reply with the firmware's deviations."""
        omit = self.firmware.omit
        if code == commands.LastVoucher.code:
            omit += self.firmware.record_omit
            if reply["ResponseCode"] == 0:
                reply = {**reply, **self.firmware.record_change}
        spoken = _without(reply, omit)
        if omit and "SaleDetails" in spoken:
            spoken["SaleDetails"] = [_without(row, omit) for row in spoken["SaleDetails"]]
        return spoken

    def _decide(self, answer: _Answer) -> Fields:
        """Carry out or refuse the command, and return the reply."""
        command, behaviour = answer.command, answer.behaviour
        handler = self._handlers.get(CATALOGUE.kind(command.code))
        if handler is None:
            return _header(0, Refusal.MALFORMED.code, Refusal.MALFORMED.message)
        try:
            if answer.busy:
                raise Declined.because(Refusal.BUSY)
            if _is_malformed(command):
                raise _Malformed
            refusal = behaviour.refusal()
            is_done = refusal is None or behaviour.outcome is Outcome.PRINTING_ERROR
            if refusal is not None and not is_done:
                raise refusal
            body = handler(_spelled(command.fields), behaviour, command.code)
            if refusal is not None:
                return _header(command.code, refusal.code, refusal.message)
            return {**_header(command.code, 0, "Aprobado"), **body}
        except _Malformed:
            return _header(0, Refusal.MALFORMED.code, Refusal.MALFORMED.message)
        except Declined as declined:
            return self._refused(answer, declined)

    def _refused(self, answer: _Answer, declined: Declined) -> Fields:
        """The fields of a refusal; that of a sale repeats what was requested."""
        code = answer.command.code
        reply = _header(code, declined.code, declined.message)
        if hasattr(CATALOGUE.facts(code).reply_type, "success"):
            reply["Success"] = False
        if CATALOGUE.facts(code).takes_card:
            fields = _spelled(answer.command.fields)
            reply.update(
                CommerceCode=self.identity.commerce_code,
                TerminalId=self.identity.terminal_id,
                Ticket=fields.get("TicketNumber") or "",
                AuthorizationCode="",
                Amount=fields.get("Amount"),
                OperationId=0,
                PosMode=0,
            )
        return reply

    # ------------------------------------------------------------------------------------------------------------ money

    def _sale(self, fields: Fields, behaviour: Behaviour, code: int) -> Fields:
        return replies.voucher(self._charge(EntryKind.SALE, fields, behaviour, code), self.identity)

    def _multi_commerce_sale(self, fields: Fields, behaviour: Behaviour, code: int) -> Fields:
        entry = self._charge(EntryKind.SALE, fields, behaviour, code)
        return {**replies.voucher(entry, self.identity), **replies.host_data(entry)}

    def _pre_authorize(self, fields: Fields, behaviour: Behaviour, code: int) -> Fields:
        return replies.voucher(self._charge(EntryKind.PRE_AUTHORIZATION, fields, behaviour, code), self.identity)

    def _charge(self, kind: EntryKind, fields: Fields, behaviour: Behaviour, code: int) -> Entry:
        order = _order(fields, self.default_sale_type)
        order["tip"] = order["tip"] or behaviour.tip
        entry = self.ledger.add(kind, code, _amount(fields), self.date(), card=behaviour.card, **order)
        return self._recorded(entry, behaviour)

    def _void(self, fields: Fields, behaviour: Behaviour, code: int) -> Fields:
        return replies.settled(self._annulled(fields, behaviour, code), self.identity)

    def _multi_commerce_void(self, fields: Fields, behaviour: Behaviour, code: int) -> Fields:
        operation_id, amount = _integer(fields, "OperationId"), _amount(fields)
        if any(entry.operation_id == operation_id and entry.amount != amount for entry in self._known()):
            raise Declined.because(Refusal.OTHER_AMOUNT)
        entry = self._annulled(fields, behaviour, code)
        return {**replies.settled(entry, self.identity), **replies.host_data(entry)}

    def _annulled(self, fields: Fields, behaviour: Behaviour, code: int) -> Entry:
        operation_id = _integer(fields, "OperationId")
        if all(entry.operation_id != operation_id for entry in self._known()):
            raise Declined.because(Refusal.NOT_FOUND)
        return self._recorded(self.ledger.void(operation_id, code, self.date()), behaviour)

    def _refund(self, fields: Fields, behaviour: Behaviour, code: int) -> Fields:
        entry = self._given_back(fields, behaviour, code)
        return {**replies.settled(entry, self.identity), "DateTime": entry.real_date}

    def _multi_commerce_refund(self, fields: Fields, behaviour: Behaviour, code: int) -> Fields:
        entry = self._given_back(fields, behaviour, code)
        return {**replies.settled(entry, self.identity), "DateTime": entry.real_date, **replies.host_data(entry)}

    def _given_back(self, fields: Fields, behaviour: Behaviour, code: int) -> Entry:
        authorization_code, amount = _authorization_code(fields), _amount(fields)
        return self._recorded(self.ledger.refund(authorization_code, amount, code, self.date()), behaviour)

    def _complete(self, fields: Fields, behaviour: Behaviour, code: int) -> Fields:
        authorization_code, amount = _authorization_code(fields), _amount(fields)
        entry = self._recorded(self.ledger.complete(authorization_code, amount, code, self.date()), behaviour)
        return replies.voucher(entry, self.identity)

    def _release(self, fields: Fields, behaviour: Behaviour, code: int) -> Fields:
        entry = self.ledger.release(_authorization_code(fields), code, self.date())
        return replies.settled(self._recorded(entry, behaviour), self.identity)

    def _cancel_sale(self, *_: Any) -> Fields:
        if self._current is None or not CATALOGUE.facts(self._current.command.code).takes_card:
            raise Declined.because(Refusal.NO_SALE_IN_PROGRESS)
        sale, self._current = self._current, None
        self._answering = [entry for entry in self._answering if entry[2] is not sale]
        return {}

    # ----------------------------------------------------------------------------------------------------------- record

    def _recorded(self, entry: Entry, behaviour: Behaviour) -> Entry:
        self._record.append((self._now + behaviour.record_after, entry))
        return entry

    def _known(self) -> list[Entry]:
        """The operations in the terminal's own record, in order."""
        return [entry for at, entry in self._record if at <= self._now]

    def _open_batch(self) -> list[Entry]:
        return [entry for entry in self._known() if entry.batch == self.ledger.batch]

    def _charges_of(self, fields: Fields) -> list[Entry]:
        """The charges in the open batch, by one employee or by all."""
        employee = _optional(fields, "EmployeeId", 0)
        return [entry for entry in self._open_batch() if entry.is_charge and employee in (0, entry.employee_id)]

    def _last_voucher(self, *_: Any) -> Fields:
        known = self._known()
        if not known:
            raise Declined.because(Refusal.NO_VOUCHER)
        return {"FunctionCode": known[-1].function_code, **replies.voucher_with_number(known[-1], self.identity)}

    def _duplicate(self, fields: Fields, *_: Any) -> Fields:
        operation_id = _integer(fields, "OperationId")
        for entry in self._known():
            if entry.operation_id == operation_id:
                return replies.voucher_with_number(entry, self.identity)
        raise Declined.because(Refusal.NOT_FOUND)

    def _close_batch(self, *_: Any) -> Fields:
        self.ledger.close_batch(self.date())
        return {"CommerceCode": self.identity.commerce_code, "TerminalId": self.identity.terminal_id, "Success": True}

    def _normal_mode(self, *_: Any) -> Fields:
        self.integrated = False
        return {"ChangeToNormalMode": True}

    def _set_default_sale_type(self, fields: Fields, *_: Any) -> Fields:
        self.default_sale_type = _integer(fields, "SaleType")
        return {"SaleType": self.default_sale_type}


# --------------------------------------------------------------------------------------------------------------- fields


class _Malformed(Exception):
    """A field of a command is missing or invalid."""


def _header(function_code: int, response_code: int, message: str) -> Fields:
    return {"FunctionCode": function_code, "ResponseCode": response_code, "ResponseMessage": message}


def _spelled(fields: Mapping[str, Any]) -> Fields:
    """The fields with PascalCase names, however they were sent."""
    return {name[:1].upper() + name[1:]: value for name, value in fields.items()}


def _integer(fields: Fields, name: str) -> int:
    value = whole(fields.get(name))
    if value is None or value < 0:
        raise _Malformed(name)
    return value


def _amount(fields: Fields) -> int:
    amount = _integer(fields, "Amount")
    if not 0 < amount <= MAX_AMOUNT:
        raise _Malformed("Amount")
    return amount


def _authorization_code(fields: Fields) -> str:
    """Some registers send a number, as the example in the manual does, which lacks the leading zeros."""
    code = _optional(fields, "AuthorizationCode", "")
    if not code:
        raise _Malformed("AuthorizationCode")
    return f"{code:0>6}" if type(fields["AuthorizationCode"]) is int else str(code)


def _order(fields: Fields, sale_type: int = 0) -> Fields:
    """The fields of a card payment other than its amount, as attributes of an ``Entry``."""
    return {
        "ticket": _optional(fields, "TicketNumber", ""),
        "employee_id": _optional(fields, "EmployeeId", 0),
        "sale_type": _optional(fields, "SaleType", sale_type),
        "tip": _optional(fields, "Tip", 0),
        "installments": _optional(fields, "Installments", 0),
        "commerce_rut": _optional(fields, "RutCommerceSon", ""),
    }


def _dated_year_first(command: CommandMessage) -> bool:
    return re.match(r"\d{4}-", str(_spelled(command.fields).get("DateTime"))) is not None


def _is_malformed(command: CommandMessage) -> bool:
    """Whether a card payment is invalid, so that it does not even start."""
    if not CATALOGUE.facts(command.code).takes_card:
        return False
    fields = _spelled(command.fields)
    try:
        _amount(fields)
        _order(fields)
    except _Malformed:
        return True
    return False


def _without(fields: Fields, omit: tuple[str, ...]) -> Fields:
    return {name: value for name, value in fields.items() if name not in omit}


def _optional(fields: Fields, name: str, default: Any) -> Any:
    """A field with the type of ``default``; ``default`` if it was not sent."""
    value = fields.get(name)
    if value is None:
        return default
    if type(default) is int:
        value = whole(value)
    elif type(value) is int:
        value = str(value)
    if type(value) is not type(default):
        raise _Malformed(name)
    return value
