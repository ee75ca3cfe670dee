"""What one connector knows and may do next: lifecycle, profile, and the flow of each operation. It does no I/O."""

from __future__ import annotations

import contextlib
import os
import uuid
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from datetime import date
from typing import Any, TypeVar, cast

from .errors import (
    ConfigurationError,
    DeadlineExceeded,
    InvalidType,
    LifecycleError,
    ProvisionalCommandWarning,
    TransportError,
    UnsupportedOperation,
    WriteTimeout,
)
from .flows.cloud import CloudFlow, CloudTill, cloud_ask, cloud_pay, cloud_polling, cloud_recover_all
from .flows.effects import Flow
from .flows.exchange import exchange, reply_time
from .flows.link import Link
from .flows.matching import generated_ticket
from .flows.money import Till, pay, recover_all
from .flows.polling import greet, polling
from .messages import (
    CancelReply,
    CancelSale,
    CloudRefund,
    Command,
    GenericReply,
    Intent,
    PollReply,
    PreAuthorization,
    PreAuthorizationCompletion,
    PreAuthorizationCompletionReply,
    PreAuthorizationRelease,
    PreAuthorizationReleaseReply,
    PreAuthorizationReply,
    PrintDocument,
    Progress,
    Refund,
    RefundReply,
    Reply,
    ReportKind,
    Sale,
    SaleReply,
    SaleType,
    Void,
    VoidReply,
    Wire,
)
from .messages.declaring import recoded, sent_fields
from .money import Amount, to_wire
from .profiles import PreAuthorizationCodes, Profile, Timeouts, check_seconds

__all__ = ["AnyFlow", "CloudSession", "OnProgress", "Session", "StreamSession"]

T = TypeVar("T")
R = TypeVar("R", bound=Reply)

AnyFlow = Generator[Any, Any, T]
"""A flow whose effects are those that the driver of its connector performs."""

OnProgress = Callable[[Progress], object]
"""Called with each progress message; what it raises is logged and does not touch the command."""


class Session(ABC):
    """The state of a connector and the flows of its operations, whatever carries its commands."""

    def __init__(self, profile: Profile, timeouts: Timeouts | None) -> None:
        if not isinstance(profile, Profile):
            raise ConfigurationError(f"profile must be a Profile, such as Profile.CHILE, not {profile!r}")
        self.profile = profile
        self.timeouts = timeouts or profile.timeouts
        self.ready = False
        self.closed = False
        self.selling = False
        self._process = os.getpid()

    # -------------------------------------------------------------------------------------------------------- lifecycle

    def check_not_closed(self) -> None:
        if self.closed:
            raise LifecycleError("the connector is closed: create a new one")
        if self._process != os.getpid():
            raise LifecycleError("the connector belongs to the process that this one was forked from: create one here")

    def _check_ready(self) -> None:
        self.check_not_closed()
        if not self.ready:
            raise LifecycleError("the terminal was not polled: polling() must succeed before this operation")
        if not self.is_open:
            raise LifecycleError("the link to the terminal was lost: polling() opens it again and must succeed first")

    def __str__(self) -> str:
        state = "closed" if self.closed else "ready" if self.ready and self.is_open else "not polled"
        return f"{self.terminal} ({state})"

    def polling(self) -> AnyFlow[PollReply]:
        self.check_not_closed()
        reply = yield from self._poll()
        self.ready = reply.approved and reply.connected is not False
        return reply

    # What a way of carrying commands has to say for itself.

    terminal: str
    """What the terminal is called in messages and in the journal."""

    @property
    @abstractmethod
    def is_open(self) -> bool: ...

    @abstractmethod
    def opening(self) -> AnyFlow[None]: ...

    @abstractmethod
    def closing(self) -> AnyFlow[None]: ...

    @abstractmethod
    def _poll(self) -> AnyFlow[PollReply]: ...

    @abstractmethod
    def _ask(self, command: Command[Any], timeout: float | None) -> AnyFlow[Reply]: ...

    @abstractmethod
    def _pay(self, command: Command[Any], intent_id: str, timeout: float | None) -> AnyFlow[Reply]: ...

    @abstractmethod
    def _recover(self) -> AnyFlow[list[Intent]]: ...

    @abstractmethod
    def cancel(self) -> bool:
        """Have the sale in progress cancelled; false where that takes a flow, ``cancel_idle``."""

    # ------------------------------------------------------------------------------------------------------- operations

    def request(self, command: Command[R], *, timeout: float | None = None, intent_id: str | None = None) -> AnyFlow[R]:
        """Run any command: one that moves money with all its care, another as a question and its answer."""
        if not isinstance(command, Command):
            raise InvalidType(f"a command is made by a type of getnet_pos.messages, such as Poll(), not {command!r}")
        _check_timeout(timeout)
        self._check_ready()
        if command.moves_money:
            reply = yield from self._pay(command, intent_id or uuid.uuid4().hex, timeout)
        else:
            reply = yield from self._ask(command, timeout)
        # The flows take no reply of another function code, and the codec goes by that.
        return cast("R", reply)

    def _patience(self, command: Command[Any], timeout: float | None) -> tuple[float, float]:
        """How long a money command may be silent, and how long it may take in all."""
        if timeout is not None:
            return timeout, timeout
        if command.takes_card:
            return self.timeouts.sale, self.timeouts.sale_total
        limit = reply_time(command, self.timeouts)
        return limit, limit

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
    ) -> AnyFlow[SaleReply]:
        intent_id = uuid.uuid4().hex
        command = Sale(
            self._units(amount),
            generated_ticket(intent_id) if ticket is None else ticket,
            print_on_pos,
            sale_type,
            send_message,
            employee_id,
        )
        return (yield from self.request(command, timeout=timeout, intent_id=intent_id))

    def pre_authorization(
        self,
        amount: Amount,
        *,
        ticket: str | None,
        print_on_pos: bool,
        employee_id: int | None,
        send_message: bool,
        timeout: float | None,
    ) -> AnyFlow[PreAuthorizationReply]:
        intent_id = uuid.uuid4().hex
        command = recoded(PreAuthorization, self._pre_authorization_codes().pre_authorize)(
            self._units(amount),
            generated_ticket(intent_id) if ticket is None else ticket,
            print_on_pos,
            send_message,
            employee_id,
        )
        return (yield from self.request(command, timeout=timeout, intent_id=intent_id))

    def complete_pre_authorization(
        self, authorization_code: str, amount: Amount, print_on_pos: bool
    ) -> AnyFlow[PreAuthorizationCompletionReply]:
        kind = recoded(PreAuthorizationCompletion, self._pre_authorization_codes().complete)
        return (yield from self.request(kind(authorization_code, self._units(amount), print_on_pos)))

    def release_pre_authorization(
        self, authorization_code: str, print_on_pos: bool
    ) -> AnyFlow[PreAuthorizationReleaseReply]:
        kind = recoded(PreAuthorizationRelease, self._pre_authorization_codes().release)
        return (yield from self.request(kind(authorization_code, print_on_pos)))

    def _pre_authorization_codes(self) -> PreAuthorizationCodes:
        codes = self.profile.pre_authorization
        if codes is None:
            raise UnsupportedOperation(
                "Getnet has published no command code for pre-authorization, and the profile "
                f"{self.profile.name} has none: set Profile.pre_authorization to the codes your provider gave you"
            )
        return codes

    def warn_if_provisional(self, stacklevel: int) -> None:
        self.check_not_closed()
        if self._pre_authorization_codes().provisional:
            warnings.warn(
                "pre-authorization uses provisional command codes of this library: Getnet has published none "
                "(docs/assumptions.md); set Profile.pre_authorization to the codes your provider gave you",
                ProvisionalCommandWarning,
                stacklevel=stacklevel + 1,
            )

    def void(self, operation_id: int, print_on_pos: bool) -> AnyFlow[VoidReply]:
        return (yield from self.request(Void(operation_id, print_on_pos)))

    def refund(
        self, authorization_code: str, amount: Amount, print_on_pos: bool, original_date: date | str | None = None
    ) -> AnyFlow[RefundReply]:
        command = Refund(authorization_code, self._units(amount), print_on_pos)
        self.check_not_closed()
        if original_date is not None:
            raise UnsupportedOperation("the date of the sale is taken by Argentina's cloud only")
        return (yield from self.request(command))

    def print_document(self, lines: Iterable[str | Mapping[str, Any]]) -> AnyFlow[GenericReply]:
        return (yield from self.request(PrintDocument(lines)))

    def report(self, kind: ReportKind, *, print_on_pos: bool, employee_id: int) -> AnyFlow[Reply]:
        if not isinstance(kind, ReportKind):
            raise ConfigurationError(f"kind must be a ReportKind, such as ReportKind.TOTALS, not {kind!r}")
        wanted = self.profile.catalogue.kinds[kind.value]
        given: dict[str, Any] = {"print_on_pos": print_on_pos, "employee_id": employee_id}
        taken = [item.name for item in sent_fields(wanted)]
        command: Command[Reply] = wanted(**{name: given[name] for name in taken})
        return (yield from self.request(command))

    @contextlib.contextmanager
    def cancellable(self) -> Iterator[None]:
        """While an operation runs that ``cancel`` can end."""
        self.selling = True
        try:
            yield
        finally:
            self.selling = False

    def cancel_idle(self) -> AnyFlow[CancelReply]:
        return (yield from self.request(CancelSale()))

    def recover(self) -> AnyFlow[list[Intent]]:
        self._check_ready()
        return (yield from self._recover())

    def _units(self, amount: Amount) -> int:
        return to_wire(amount, self.profile.amount_exponent)


def _check_timeout(timeout: float | None) -> None:
    if timeout is not None:
        check_seconds(timeout)


class StreamSession(Session):
    """A terminal behind a byte stream: a serial port, a socket, an HTTP address."""

    def __init__(
        self, terminal: str, *, wire: Wire, profile: Profile, timeouts: Timeouts | None, acknowledges: bool = True
    ) -> None:
        if not isinstance(wire, Wire):
            raise ConfigurationError(f"wire must be Wire.SIGNED or Wire.SIMPLIFIED, not {wire!r}")
        super().__init__(profile, timeouts)
        link = Link(
            wire,
            self.timeouts,
            acknowledges=acknowledges and wire is Wire.SIGNED,
            catalogue=profile.catalogue,
        )
        self.till = Till(link, terminal)

    @property
    def terminal(self) -> str:  # type: ignore[override]  # the till keeps it, for its flows
        return self.till.terminal

    @property
    def is_open(self) -> bool:
        return self.till.link.is_open

    def opening(self) -> Flow[None]:
        if not self.is_open:
            yield from self.till.link.open()

    def closing(self) -> Flow[None]:
        return self.till.link.close()

    def looks_ready(self) -> Flow[bool]:
        """Whether what is behind the link answers a poll as a terminal does."""
        return (yield from greet(self.till.link)).approved

    def _poll(self) -> Flow[PollReply]:
        return (yield from self._guarded(polling(self.till)))

    def _ask(self, command: Command[Any], timeout: float | None) -> Flow[Reply]:
        _check_local(command)
        return (yield from self._guarded(exchange(self.till.link, command, patience=timeout)))

    def _pay(self, command: Command[Any], intent_id: str, timeout: float | None) -> Flow[Reply]:
        _check_local(command)
        patience, total = self._patience(command, timeout)
        paying = pay(self.till, command, intent_id, patience=patience, total=total, cancellable=command.takes_card)
        return (yield from self._guarded(paying))

    def _recover(self) -> Flow[list[Intent]]:
        return (yield from self._guarded(recover_all(self.till)))

    def _guarded(self, flow: Flow[T]) -> Flow[T]:
        """Leave no half-broken link behind: what fails to be written or read closes it."""
        try:
            return (yield from flow)
        except TransportError as error:
            if not isinstance(error, DeadlineExceeded) or isinstance(error, WriteTimeout):
                yield from self.till.link.close()
            raise

    @contextlib.contextmanager
    def cancellable(self) -> Iterator[None]:
        self.till.link.cancel_wanted = False
        with super().cancellable():
            yield

    def cancel(self) -> bool:
        self.check_not_closed()
        if self.till.link.wire is Wire.SIMPLIFIED:
            raise UnsupportedOperation("the simplified wire cannot cancel a sale: cancel it on the terminal")
        if self.selling:
            self.till.link.cancel_wanted = True
        return self.selling


def _check_local(command: Command[Any]) -> None:
    if command.cloud_only:
        raise UnsupportedOperation(
            f"a terminal takes no {type(command).__name__} (command {command.code}) over this link, only over a cloud "
            "that has it"
        )


class CloudSession(Session):
    """A terminal behind the cloud."""

    def __init__(self, till: CloudTill) -> None:
        super().__init__(till.cloud.profile, till.timeouts)
        self.till = till
        self.terminal = till.terminal

    @property
    def is_open(self) -> bool:
        return not self.closed

    def opening(self) -> CloudFlow[None]:
        yield from ()

    def closing(self) -> CloudFlow[None]:
        yield from ()

    def _poll(self) -> CloudFlow[PollReply]:
        return cloud_polling(self.till)

    def _ask(self, command: Command[Any], timeout: float | None) -> CloudFlow[Reply]:
        return cloud_ask(self.till, command, self.timeouts.report if timeout is None else timeout)

    def _pay(self, command: Command[Any], intent_id: str, timeout: float | None) -> CloudFlow[Reply]:
        total = max(self._patience(command, timeout))
        return cloud_pay(self.till, command, intent_id, total=total, patience=timeout)

    def _recover(self) -> CloudFlow[list[Intent]]:
        return cloud_recover_all(self.till)

    def refund(
        self, authorization_code: str, amount: Amount, print_on_pos: bool, original_date: date | str | None = None
    ) -> AnyFlow[RefundReply]:
        command = CloudRefund(authorization_code, self._units(amount), print_on_pos, original_date=original_date)
        return (yield from self.request(command))

    def cancel(self) -> bool:
        self.check_not_closed()
        return False
