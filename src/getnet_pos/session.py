"""The state of one connector: its lifecycle, its profile, and the flow of each operation. It does no I/O."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from typing import Any, TypeVar

from .errors import (
    ConfigurationError,
    DeadlineExceeded,
    InvalidType,
    InvalidValue,
    LifecycleError,
    ProvisionalCommandWarning,
    TransportError,
    UnsupportedOperation,
    WriteTimeout,
)
from .flows.carrier import NO_TERMS, Carrier, OnFrame, Terms
from .flows.cloud import CloudCarrier
from .flows.cloud_calls import Cloud
from .flows.dates import read_date
from .flows.effects import Begin, Flow, Intents, NewId, Now, Resolve, Since, Take, WallClock
from .flows.intents import generated_ticket
from .flows.payment import Till, ask, pay, polling, recover_all
from .flows.stream import StreamCarrier
from .messages import (
    REMEMBERED,
    CancelReply,
    CancelSale,
    CloudRefund,
    Command,
    DetailsReport,
    GenericReply,
    Intent,
    IntentState,
    KeyPos,
    Poll,
    Polled,
    PreAuthorization,
    PreAuthorizationCompletion,
    PreAuthorizationCompletionReply,
    PreAuthorizationRelease,
    PreAuthorizationReleaseReply,
    PreAuthorizationReply,
    PrintDocument,
    Progress,
    Recovery,
    Refund,
    RefundReply,
    Reply,
    ReportKind,
    Sale,
    SaleReply,
    SaleType,
    SealedCommand,
    Step,
    Void,
    VoidReply,
    Voucher,
    Wire,
    same_terminal,
)
from .messages.checks import check_flag, check_text
from .messages.declaring import recoded, sent_fields
from .messages.documents import command_name
from .money import Amount, to_wire
from .observer import Operation
from .profiles import PreAuthorizationCodes, Profile, Timeouts, check_seconds
from .reconciliation import Reconciliation, reconcile, recorded_vouchers
from .turns import QueueTurn

__all__ = ["OnFrame", "OnProgress", "Session"]

T = TypeVar("T")
R = TypeVar("R", bound=Reply)

OnProgress = Callable[[Progress], object]
"""Called with each progress message. Exceptions are logged and do not affect the command."""


class Session:
    """The state of a connector and the flows of its operations, over any carrier.

    One operation at a time runs on a terminal: each waits for the terminal's slot first, up to ``Timeouts.busy``
    seconds.

    Examples:
        >>> from getnet_pos.session import Session
        >>> session = Session.over_stream("usb:COM3", wire=Wire.SIGNED, profile=Profile.CHILE, timeouts=None)
        >>> str(session)
        'usb:COM3 (not polled)'
    """

    def __init__(
        self,
        terminal: str,
        profile: Profile,
        carrier: Carrier,
        *,
        turn: QueueTurn | None = None,
        find: Callable[[], Flow[str]] | None = None,
    ) -> None:
        self.profile = profile
        self.ready = False
        self.closed = False
        self.selling = False
        """Whether an operation that ``cancel`` can end is in progress."""
        self.till = Till(carrier, terminal)
        self._queue = turn or QueueTurn(name=terminal)
        self._find = find
        """Searches for the terminal and returns its name; run before the first use."""

    @classmethod
    def over_stream(
        cls,
        terminal: str,
        *,
        wire: Wire,
        profile: Profile,
        timeouts: Timeouts | None,
        acknowledges: bool = True,
        is_pluggable: bool = False,
        find: Callable[[], Flow[str]] | None = None,
    ) -> Session:
        """A terminal at the end of a byte stream: a serial port, a socket or an HTTP address."""
        if not isinstance(wire, Wire):
            raise ConfigurationError(f"wire must be Wire.SIGNED or Wire.SIMPLIFIED, not {wire!r}")
        if not isinstance(profile, Profile):
            raise ConfigurationError(f"profile must be a Profile, such as Profile.CHILE, not {profile!r}")
        carrier = StreamCarrier(
            profile, timeouts or profile.timeouts, wire=wire, acknowledges=acknowledges, is_pluggable=is_pluggable
        )
        return cls(terminal, profile, carrier, find=find)

    @classmethod
    def over_cloud(
        cls,
        cloud: Cloud,
        key_pos: KeyPos,
        *,
        webhook: str | None = None,
        timeouts: Timeouts | None = None,
        turn: QueueTurn | None = None,
    ) -> Session:
        """A terminal behind the cloud. All sessions with the same terminal share its ``turn``."""
        if not isinstance(key_pos, KeyPos):
            raise InvalidType(f"key_pos must be a KeyPos, not {type(key_pos).__name__}")
        carrier = CloudCarrier(cloud, key_pos, timeouts or cloud.profile.timeouts, webhook)
        return cls(f"cloud:{key_pos}", cloud.profile, carrier, turn=turn)

    @property
    def terminal(self) -> str:
        """The terminal's name in messages and in the journal."""
        return self.till.terminal

    @property
    def timeouts(self) -> Timeouts:
        return self.till.carrier.timeouts

    @property
    def is_open(self) -> bool:
        return not self.closed and self.till.carrier.is_open

    def __str__(self) -> str:
        state = "closed" if self.closed else "ready" if self.ready and self.is_open else "not polled"
        return f"{self.terminal} ({state})"

    # -------------------------------------------------------------------------------------------------------- lifecycle

    def check_not_closed(self) -> None:
        if self.closed:
            raise LifecycleError("the connector is closed: create a new one")

    def _check_ready(self) -> None:
        self.check_not_closed()
        if not self.ready:
            raise LifecycleError("the terminal is not ready: polling() must succeed before this operation")

    def _begin(self, name: str, intent_id: str | None = None) -> Begin:
        """Tell the observer that an operation begins."""
        return Begin(Operation(name, self.terminal, intent_id))

    def _alone(self, name: str, flow: Flow[T], intent_id: str | None = None) -> Flow[T]:
        """Run ``flow``, the operation ``name``, while no other operation uses the terminal.

        A failed read or write closes the link, so that the next operation does not use a broken one.
        """
        self.check_not_closed()
        yield self._begin(name, intent_id)
        place = self._queue.place()
        try:
            now: float = yield Now()
            yield Take(place, now + self.timeouts.busy)
            self.check_not_closed()
            if self._find is not None:
                self.till.terminal = self._queue.name = yield from self._find()
                self._find = None
            try:
                return (yield from flow)
            except TransportError as error:
                late = isinstance(error, DeadlineExceeded) and not isinstance(error, WriteTimeout)
                if not late or self.till.carrier.is_silent:
                    yield from self.till.carrier.close(error)
                raise
        finally:
            place.leave()

    def opening(self) -> Flow[None]:
        """Open the link if it is not open."""
        self.check_not_closed()
        if not self.till.carrier.is_open:
            yield from self._alone("open", self._opened())

    def _opened(self) -> Flow[None]:
        if not self.till.carrier.is_open:
            self.ready = False
            yield from self.till.carrier.open()

    def closing(self) -> Flow[None]:
        """Close the link for good, once the operation in progress is over."""
        yield self._begin("close")
        place = self._queue.place()
        try:
            yield Take(place)
            self.closed = True
            yield from self.till.carrier.close()
            self.till.keep = None
        finally:
            place.leave()

    def polling(self) -> Flow[Polled]:
        return self._alone(command_name(Poll.code), self._polled())

    def _polled(self) -> Flow[Polled]:
        reply = yield from polling(self.till)
        self.ready = reply.approved and reply.connected is not False
        return reply

    def recover(self) -> Flow[Recovery]:
        return self._alone("recover", self._recovered())

    def _recovered(self) -> Flow[Recovery]:
        self._check_ready()
        return (yield from recover_all(self.till, again=True))

    def reconcile(self, since: datetime | None) -> Flow[Reconciliation]:
        if since is not None and (not isinstance(since, datetime) or since.tzinfo is None):
            raise InvalidValue("since must be a datetime with a time zone, such as datetime.now().astimezone()")
        return self._alone("reconcile", self._reconciled(since))

    def _reconciled(self, since: datetime | None) -> Flow[Reconciliation]:
        self._check_ready()
        now: datetime = yield WallClock()
        begin = now - _DAY if since is None else since
        details = yield from ask(self.till, self.till.carrier.check(DetailsReport()))
        vouchers = recorded_vouchers(details, self.profile)
        steps: list[Step] = yield Since(_moment(_earliest(vouchers, begin)))
        unsettled: list[Intent] = yield Intents(settled=False)
        known = {step.intent.intent_id: step.intent for step in steps}
        known |= {intent.intent_id: intent for intent in unsettled}
        begun = {
            step.intent.intent_id
            for step in steps
            if step.intent.state is IntentState.INTENT and step.at >= _moment(begin)
        }
        own = [intent for intent in known.values() if same_terminal(intent, self.till.search)]
        return reconcile(
            [intent for intent in own if intent.intent_id in begun],
            vouchers,
            earlier=[intent for intent in own if intent.intent_id not in begun],
            profile=self.profile,
            tickets=self.till.carrier.vouchers_name_ticket,
        )

    def intents(self, *, settled: bool) -> Flow[list[Intent]]:
        """The payment commands in the journal that are unsettled, or with ``settled`` all of them."""
        found: list[Intent] = yield Intents(settled)
        return found

    def resolve(self, intent_id: str, *, paid: bool, by: str, note: str) -> Flow[Intent]:
        yield self._begin("resolve")
        intent: Intent = yield Resolve(intent_id, paid, by, note)
        return intent

    # ------------------------------------------------------------------------------------------------------- operations

    def request(
        self,
        command: Command[R] | SealedCommand[R],
        *,
        timeout: float | None = None,
        idempotency_key: str | None = None,
        again: bool = False,
        on_frame: OnFrame | None = None,
        leave_by: float | None = None,
        listens: Callable[[], bool] | None = None,
    ) -> Flow[R]:
        """Run any command: a payment command with its journal and recovery, any other as a query."""
        frame = None
        if isinstance(command, SealedCommand):
            frame, command = command.frame, command.command
        if not isinstance(command, Command):
            raise InvalidType(f"command must be an object of a command type, such as Poll(), not {command!r}")
        self._check(timeout)
        terms = Terms(frame, on_frame)
        if leave_by is not None:
            terms = replace(terms, leave_by=leave_by)
        if listens is not None:
            terms = replace(terms, listens=listens)
        if not command.moves_money:
            asking = ask(self.till, self.till.carrier.check(command), timeout, terms=terms)
            asked: R = yield from self._alone(command_name(command.code), asking)
            return asked
        intent_id: str = yield NewId()
        return (yield from self._paid(command, intent_id, timeout, idempotency_key, again, terms))

    def _check(self, timeout: float | None) -> None:
        if timeout is not None:
            check_seconds(timeout)
        self._check_ready()

    def _paid(
        self,
        command: Command[R],
        intent_id: str,
        timeout: float | None,
        key: str | None,
        again: bool,
        terms: Terms = NO_TERMS,
    ) -> Flow[R]:
        if key is not None:
            check_text(key, "idempotency_key", 1, 255)
        check_flag(again, "again")
        command = self.till.carrier.check(command, intent_id)
        paying = pay(self.till, command, intent_id, timeout, key=key, again=again, terms=terms)
        paying = self._cancellable(paying) if command.takes_card else paying
        reply: R = yield from self._alone(command_name(command.code), paying, intent_id)
        return reply

    def _cancellable(self, flow: Flow[T]) -> Flow[T]:
        self.selling = True
        try:
            return (yield from flow)
        finally:
            self.selling = False

    def sale(
        self,
        amount: Amount,
        *,
        ticket: str | None,
        sale_type: SaleType | int,
        print_on_pos: bool,
        employee_id: int | None,
        send_message: bool,
        timeout: float | None,
        idempotency_key: str | None = None,
        again: bool = False,
    ) -> Flow[SaleReply]:
        intent_id: str = yield NewId()
        number = generated_ticket(intent_id) if ticket is None else ticket
        command = Sale(self._units(amount), number, print_on_pos, sale_type, send_message, employee_id)
        self._check(timeout)
        return (yield from self._paid(command, intent_id, timeout, idempotency_key, again))

    def pre_authorization(
        self,
        amount: Amount,
        *,
        ticket: str | None,
        print_on_pos: bool,
        employee_id: int | None,
        send_message: bool,
        timeout: float | None,
        idempotency_key: str | None = None,
        again: bool = False,
    ) -> Flow[PreAuthorizationReply]:
        intent_id: str = yield NewId()
        number = generated_ticket(intent_id) if ticket is None else ticket
        kind = recoded(PreAuthorization, self._pre_authorization_codes().pre_authorize)
        command = kind(self._units(amount), number, print_on_pos, send_message, employee_id)
        self._check(timeout)
        return (yield from self._paid(command, intent_id, timeout, idempotency_key, again))

    def complete_pre_authorization(
        self, authorization_code: str, amount: Amount, print_on_pos: bool
    ) -> Flow[PreAuthorizationCompletionReply]:
        kind = recoded(PreAuthorizationCompletion, self._pre_authorization_codes().complete)
        return (yield from self.request(kind(authorization_code, self._units(amount), print_on_pos)))

    def release_pre_authorization(
        self, authorization_code: str, print_on_pos: bool
    ) -> Flow[PreAuthorizationReleaseReply]:
        kind = recoded(PreAuthorizationRelease, self._pre_authorization_codes().release)
        return (yield from self.request(kind(authorization_code, print_on_pos)))

    def _pre_authorization_codes(self) -> PreAuthorizationCodes:
        codes = self.profile.pre_authorization
        if codes is None:
            raise UnsupportedOperation(
                f"the profile {self.profile.name} has no command codes for pre-authorization, and Getnet has published "
                "none: set Profile.pre_authorization to the codes that your provider gave you"
            )
        return codes

    def warn_if_provisional(self, stacklevel: int) -> None:
        self.check_not_closed()
        if self._pre_authorization_codes().provisional:
            warnings.warn(
                "pre-authorization uses this library's provisional command codes, because Getnet has published none "
                "(docs/assumptions.md): set Profile.pre_authorization to the codes that your provider gave you",
                ProvisionalCommandWarning,
                stacklevel=stacklevel + 1,
            )

    def void(self, operation_id: int, print_on_pos: bool, *, idempotency_key: str | None = None) -> Flow[VoidReply]:
        return (yield from self.request(Void(operation_id, print_on_pos), idempotency_key=idempotency_key))

    def refund(
        self,
        authorization_code: str,
        amount: Amount,
        print_on_pos: bool,
        original_date: date | str | None = None,
        *,
        idempotency_key: str | None = None,
        again: bool = False,
    ) -> Flow[RefundReply]:
        units = self._units(amount)
        if original_date is None:
            command = Refund(authorization_code, units, print_on_pos)
        else:
            command = CloudRefund(authorization_code, units, print_on_pos, original_date=original_date)
        return (yield from self.request(command, idempotency_key=idempotency_key, again=again))

    def print_document(self, lines: Iterable[str | Mapping[str, Any]]) -> Flow[GenericReply]:
        return (yield from self.request(PrintDocument(lines)))

    def report(self, kind: ReportKind, *, print_on_pos: bool, employee_id: int) -> Flow[Reply]:
        if not isinstance(kind, ReportKind):
            raise ConfigurationError(f"kind must be a ReportKind, such as ReportKind.TOTALS, not {kind!r}")
        wanted = self.profile.catalogue.kinds[kind.value]
        given: dict[str, Any] = {"print_on_pos": print_on_pos, "employee_id": employee_id}
        command: Command[Reply] = wanted(**{item.name: given[item.name] for item in sent_fields(wanted)})
        return (yield from self.request(command))

    def cancel(self, written: SealedCommand[CancelReply] | None = None) -> bool:
        """Cancel the sale in progress. ``False``: run ``cancel_idle`` instead."""
        self.check_not_closed()
        return self.selling and self.till.carrier.cancel(None if written is None else written.frame)

    def cancel_idle(self) -> Flow[CancelReply]:
        """Send the cancellation as a command of its own, for a sale in the cloud or of another program."""
        # Without a poll: a terminal may not answer one during a sale.
        self.check_not_closed()
        asked = ask(self.till, self.till.carrier.check(CancelSale()), urgent=True)
        name = command_name(CancelSale.code)
        if not self.selling:
            return (yield from self._alone(name, asked))
        yield self._begin(name)
        return (yield from asked)

    def _units(self, amount: Amount) -> int:
        return to_wire(amount, self.profile.amount_exponent)


_DAY = timedelta(hours=24)
_ZONES = timedelta(hours=26)
"""The largest difference between two clocks that show the same moment in two time zones."""


def _earliest(vouchers: Iterable[Voucher], begin: datetime) -> datetime:
    """The moment from which the journal is read, so that every operation in the terminal's record is found there."""
    dates = [made[:16] for voucher in vouchers if (made := read_date(voucher.real_date)) is not None]
    # A terminal with a wrong clock must not make us read the whole journal.
    first = min((datetime.fromisoformat(f"{made}+00:00") - _ZONES for made in dates), default=begin)
    return min(begin, max(first, begin - REMEMBERED))


def _moment(at: datetime) -> str:
    return at.astimezone(timezone.utc).isoformat(timespec="milliseconds")
