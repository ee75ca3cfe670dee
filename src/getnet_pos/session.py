"""What one connector knows and may do next: lifecycle, profile, and the flow of each operation. It does no I/O."""

from __future__ import annotations

import contextlib
import uuid
import warnings
from collections.abc import Callable, Iterator
from typing import TypeVar

from .errors import (
    ConfigurationError,
    DeadlineExceeded,
    LifecycleError,
    ProvisionalCommandWarning,
    TransportError,
    UnsupportedOperation,
    WriteTimeout,
)
from .flows.effects import Flow
from .flows.exchange import exchange, reply_time
from .flows.link import Link
from .flows.matching import generated_ticket
from .flows.money import Till, pay, recover_all
from .flows.polling import greet, polling
from .messages import (
    CancelSale,
    Command,
    DetailsReport,
    Intent,
    ParametersReport,
    PollReply,
    PreAuthorization,
    PreAuthorizationCompletion,
    PreAuthorizationCompletionReply,
    PreAuthorizationRelease,
    PreAuthorizationReleaseReply,
    PreAuthorizationReply,
    Progress,
    Refund,
    Reply,
    ReportKind,
    Sale,
    SalesBySellerReport,
    SaleType,
    SimReport,
    TipsReport,
    TotalsReport,
    Void,
    Wire,
)
from .money import Amount, to_wire
from .profiles import PreAuthorizationCodes, Profile, Timeouts

__all__ = ["OnProgress", "Session"]

T = TypeVar("T")

OnProgress = Callable[[Progress], object]
"""Called with each progress message; what it raises is logged and does not touch the command."""


class Session:
    """The state of a connector and the flows of its operations."""

    def __init__(
        self, terminal: str, *, wire: Wire, profile: Profile, timeouts: Timeouts | None, acknowledges: bool = True
    ) -> None:
        if not isinstance(wire, Wire):
            raise ConfigurationError(f"wire must be Wire.SIGNED or Wire.SIMPLIFIED, not {wire!r}")
        if not isinstance(profile, Profile):
            raise ConfigurationError(f"profile must be a Profile, such as Profile.CHILE, not {profile!r}")
        self.profile = profile
        self.timeouts = timeouts or profile.timeouts
        codes = profile.pre_authorization
        own_codes: dict[int, type[Reply]] = {}
        if codes is not None:
            own_codes = {
                codes.pre_authorize: PreAuthorizationReply,
                codes.complete: PreAuthorizationCompletionReply,
                codes.release: PreAuthorizationReleaseReply,
            }
        link = Link(wire, self.timeouts, acknowledges=acknowledges and wire is Wire.SIGNED, reply_types=own_codes)
        self.till = Till(link, terminal)
        self.ready = False
        self.closed = False
        self.selling = False

    # -------------------------------------------------------------------------------------------------------- lifecycle

    def check_not_closed(self) -> None:
        if self.closed:
            raise LifecycleError("the connector is closed: create a new one")

    def _check_ready(self) -> None:
        self.check_not_closed()
        if not self.ready:
            raise LifecycleError("the terminal was not polled: polling() must succeed before this operation")
        if not self.till.link.is_open:
            raise LifecycleError("the link to the terminal was lost: polling() opens it again and must succeed first")

    def __str__(self) -> str:
        state = "closed" if self.closed else "ready" if self.ready and self.till.link.is_open else "not polled"
        return f"{self.till.terminal} ({state})"

    def opening(self) -> Flow[None]:
        if not self.till.link.is_open:
            yield from self.till.link.open()

    def looks_ready(self) -> Flow[bool]:
        """Whether what is behind the link answers a poll as a terminal does."""
        return (yield from greet(self.till.link)).approved

    def polling(self) -> Flow[PollReply]:
        self.check_not_closed()
        reply = yield from self._guarded(polling(self.till))
        self.ready = reply.approved and reply.connected is not False
        return reply

    def _guarded(self, flow: Flow[T]) -> Flow[T]:
        """Leave no half-broken link behind: what fails to be written or read closes it."""
        try:
            return (yield from flow)
        except TransportError as error:
            if not isinstance(error, DeadlineExceeded) or isinstance(error, WriteTimeout):
                yield from self.till.link.close()
            raise

    # ------------------------------------------------------------------------------------------------------- operations

    def request(self, command: Command, *, timeout: float | None = None) -> Flow[Reply]:
        """Run any command: one that moves money with all its care, another as a question and its answer."""
        self._check_ready()
        if command.moves_money:
            return (yield from self._guarded(self._pay(command, uuid.uuid4().hex, timeout)))
        return (yield from self._guarded(exchange(self.till.link, command, patience=timeout)))

    def _pay(self, command: Command, intent_id: str, timeout: float | None) -> Flow[Reply]:
        timeouts = self.timeouts
        takes_a_card = isinstance(command, (Sale, PreAuthorization)) or command.code in (100, 120)
        patience = timeouts.sale if takes_a_card else reply_time(command, timeouts)
        total = timeouts.sale_total if takes_a_card else patience
        if timeout is not None:
            patience = total = timeout
        return (yield from pay(self.till, command, intent_id, patience=patience, total=total, cancellable=takes_a_card))

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
    ) -> Flow[Reply]:
        intent_id = uuid.uuid4().hex
        command = Sale(
            self._units(amount),
            generated_ticket(intent_id) if ticket is None else ticket,
            print_on_pos,
            sale_type,
            send_message,
            employee_id,
        )
        self._check_ready()
        return (yield from self._guarded(self._pay(command, intent_id, timeout)))

    def pre_authorization(
        self,
        amount: Amount,
        *,
        ticket: str | None,
        print_on_pos: bool,
        employee_id: int | None,
        send_message: bool,
        timeout: float | None,
    ) -> Flow[Reply]:
        intent_id = uuid.uuid4().hex
        command = PreAuthorization(
            self._units(amount),
            generated_ticket(intent_id) if ticket is None else ticket,
            print_on_pos,
            send_message,
            employee_id,
            code=self._pre_authorization_codes().pre_authorize,
        )
        self._check_ready()
        return (yield from self._guarded(self._pay(command, intent_id, timeout)))

    def complete_pre_authorization(self, authorization_code: str, amount: Amount, print_on_pos: bool) -> Flow[Reply]:
        code = self._pre_authorization_codes().complete
        command = PreAuthorizationCompletion(authorization_code, self._units(amount), print_on_pos, code=code)
        return (yield from self.request(command))

    def release_pre_authorization(self, authorization_code: str, print_on_pos: bool) -> Flow[Reply]:
        code = self._pre_authorization_codes().release
        return (yield from self.request(PreAuthorizationRelease(authorization_code, print_on_pos, code=code)))

    def _pre_authorization_codes(self) -> PreAuthorizationCodes:
        codes = self.profile.pre_authorization
        if codes is None:
            raise UnsupportedOperation(
                "Getnet has published no command code for pre-authorization, and the profile "
                f"{self.profile.name} has none: set Profile.pre_authorization to the codes your provider gave you"
            )
        return codes

    def warn_if_provisional(self, stacklevel: int) -> None:
        if self._pre_authorization_codes().provisional:
            warnings.warn(
                "pre-authorization uses provisional command codes of this library: Getnet has published none "
                "(docs/assumptions.md); set Profile.pre_authorization to the codes your provider gave you",
                ProvisionalCommandWarning,
                stacklevel=stacklevel + 1,
            )

    def void(self, operation_id: int, print_on_pos: bool) -> Flow[Reply]:
        return (yield from self.request(Void(operation_id, print_on_pos)))

    def refund(self, authorization_code: str, amount: Amount, print_on_pos: bool) -> Flow[Reply]:
        return (yield from self.request(Refund(authorization_code, self._units(amount), print_on_pos)))

    def report(self, kind: ReportKind, *, print_on_pos: bool, employee_id: int) -> Flow[Reply]:
        if not isinstance(kind, ReportKind):
            raise ConfigurationError(f"kind must be a ReportKind, such as ReportKind.TOTALS, not {kind!r}")
        command: Command
        if kind is ReportKind.SALES_BY_SELLER:
            command = SalesBySellerReport(employee_id, print_on_pos)
        elif kind is ReportKind.TIPS:
            command = TipsReport(employee_id, print_on_pos)
        elif kind in _REPORTS:
            command = _REPORTS[kind](print_on_pos)
        else:
            raise UnsupportedOperation(f"a terminal gives no {kind.name.lower()} report over this link")
        return (yield from self.request(command))

    def cancel(self) -> bool:
        """Have the sale in progress cancelled; false if none is."""
        self.check_not_closed()
        if self.till.link.wire is Wire.SIMPLIFIED:
            raise UnsupportedOperation("the simplified wire cannot cancel a sale: cancel it on the terminal")
        if self.selling:
            self.till.link.cancel_wanted = True
        return self.selling

    @contextlib.contextmanager
    def cancellable(self) -> Iterator[None]:
        """While an operation runs that ``cancel`` can end."""
        self.till.link.cancel_wanted = False
        self.selling = True
        try:
            yield
        finally:
            self.selling = False

    def cancel_idle(self) -> Flow[Reply]:
        return (yield from self.request(CancelSale()))

    def recover(self) -> Flow[list[Intent]]:
        self._check_ready()
        return (yield from self._guarded(recover_all(self.till)))

    def _units(self, amount: Amount) -> int:
        return to_wire(amount, self.profile.amount_exponent)


_REPORTS: dict[ReportKind, Callable[[bool], Command]] = {
    ReportKind.TOTALS: TotalsReport,
    ReportKind.DETAILS: DetailsReport,
    ReportKind.PARAMETERS: ParametersReport,
    ReportKind.SIM: SimReport,
}
