# Made from _aio.py by tools/generate_blocking.py: change that one, and run this.
"""The connector that blocks."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from ..drivers.blocking import BlockingDriver
from ..errors import LifecycleError
from ..flows.discovery import find_usb_terminal
from ..flows.effects import Flow
from ..journal import DEFAULT_JOURNAL, JournalSource, journal_opener
from ..messages import (
    CancelReply,
    CloseBatch,
    CloseBatchReply,
    Command,
    DefaultSaleTypeReply,
    DetailsReply,
    Duplicate,
    DuplicateReply,
    Intent,
    KeyPos,
    LastVoucher,
    NormalModeReply,
    ParametersReply,
    Polled,
    PreAuthorizationCompletionReply,
    PreAuthorizationReleaseReply,
    PreAuthorizationReply,
    Recovery,
    RefundReply,
    Reply,
    ReportKind,
    SaleReply,
    SalesBySellerReply,
    SaleType,
    SealedCommand,
    SetDefaultSaleType,
    SetNormalMode,
    SimReply,
    TipsReply,
    TotalsReply,
    VoidReply,
    VoucherReply,
    Wire,
)
from ..money import Amount
from ..observer import Observer
from ..profiles import Profile, Timeouts
from ..reconciliation import Reconciliation
from ..session import OnFrame, OnProgress, Session
from ..transports.serial import SerialTransport
from ..transports.tcp import TcpTransport
from ._common import checked_address, checked_limits, checked_webhook, listed_ports, refuse_settings

if TYPE_CHECKING:
    import httpx
    from typing_extensions import Self, Unpack

    from ..cloud.account import CloudAccount, CloudOptions

__all__ = ["Connector"]

T = TypeVar("T")
R = TypeVar("R", bound=Reply)


class Connector:
    """Drives one terminal, blocking. Make one with ``create_usb``, or with another of the ``create`` methods.

    It is opened when it is made. ``polling()`` must succeed before
    any other operation. ``close()`` closes it for good; ``with`` always calls it. One operation runs at a time: a
    second one waits up to ``Timeouts.busy`` seconds, then raises ``TerminalBusy``. Interrupting a payment
    command leaves its outcome open: the terminal is queried about it before the next one.

    Every operation raises ``LifecycleError`` before ``polling()`` or after ``close()``, ``InvalidValue`` for an invalid
    argument, ``TransportError`` if the link fails and ``ProtocolError`` if the terminal breaks the protocol. A payment
    command raises ``OutcomeUnknown`` instead whenever money may have moved, and ``JournalError``, with nothing sent, if
    the journal cannot be written.

    Every ``create`` method takes an ``observer``, a function that is called with each event of the connector
    (``getnet_pos.observer``).

    Examples:
        >>> from getnet_pos.simulator import TcpServer, VirtualTerminal
        >>> def main():
        ...     with TcpServer(VirtualTerminal(), gap=0) as server:
        ...         host, port = server.address
        ...         with Connector.create_tcp(host, port, journal=MemoryJournal()) as pos:
        ...             pos.polling()
        ...             sale = pos.sale(25_000, ticket="A1234")
        ...             return sale.approved
        >>> main()
        True
    """

    def __init__(self, driver: BlockingDriver, session: Session, account: CloudAccount | None = None) -> None:
        self._driver = driver
        self._session = session
        self._account = account
        """The account that this connector made, and closes."""
        self._process = os.getpid()

    @classmethod
    def create_usb(
        cls,
        port: str | None = None,
        *,
        baudrate: int = 115200,
        wire: Wire = Wire.SIGNED,
        profile: Profile = Profile.INTEGRATED_POS,
        journal: JournalSource = DEFAULT_JOURNAL,
        timeouts: Timeouts | None = None,
        observer: Observer | None = None,
    ) -> Connector:
        """A terminal on a USB or serial port (docs/protocol.md, "Serial line").

        Without ``port`` every serial port is polled, the likeliest first, and the first that answers as a terminal is
        used. It raises ``PortBusy``, ``PortPermissionDenied`` or ``ConnectError`` if the port cannot be opened
        or no terminal was found.
        """
        limits = checked_limits(timeouts, profile)
        transport, find = None, None
        if port is None:
            find = partial(
                find_usb_terminal,
                list_ports=listed_ports,
                wire=wire,
                profile=profile,
                timeouts=limits,
                baudrate=baudrate,
            )
        else:
            transport = SerialTransport(port, baudrate=baudrate)
        session = Session.over_stream(
            f"usb:{port or ''}", wire=wire, profile=profile, timeouts=limits, is_pluggable=True, find=find
        )
        driver = BlockingDriver(transport=transport, journal=journal_opener(journal), observer=observer)
        return cls._made(driver, session)

    @classmethod
    def create_tcp(
        cls,
        host: str,
        port: int,
        *,
        acknowledge: bool = True,
        wire: Wire = Wire.SIGNED,
        profile: Profile = Profile.INTEGRATED_POS,
        journal: JournalSource = DEFAULT_JOURNAL,
        timeouts: Timeouts | None = None,
        observer: Observer | None = None,
    ) -> Connector:
        """A terminal on the local network over TCP (docs/protocol.md, "TCP").

        With ``acknowledge=False`` neither side sends ``Received`` messages. It raises ``ConnectError`` if the
        terminal cannot be reached.
        """
        limits = checked_limits(timeouts, profile)
        transport = TcpTransport(*checked_address(host, port), connect_timeout=limits.connect)
        session = Session.over_stream(
            f"tcp:{transport.name}", wire=wire, profile=profile, timeouts=limits, acknowledges=acknowledge
        )
        driver = BlockingDriver(transport=transport, journal=journal_opener(journal), observer=observer)
        return cls._made(driver, session)

    @classmethod
    def create_http(
        cls,
        url: str,
        *,
        path: str = "/",
        verify: bool | str | os.PathLike[str] | ssl.SSLContext = True,
        pin_sha256: str | None = None,
        wire: Wire = Wire.SIGNED,
        profile: Profile = Profile.INTEGRATED_POS,
        journal: JournalSource = DEFAULT_JOURNAL,
        timeouts: Timeouts | None = None,
        observer: Observer | None = None,
    ) -> Connector:
        """A terminal on the local network over HTTP (docs/assumptions.md: this link is our assumption).

        Each command is a ``POST`` to ``url`` and ``path``. ``verify`` is ``True``, a file of CA certificates, or an
        ``ssl.SSLContext``. With ``pin_sha256`` only the certificate (DER) with that SHA-256 is trusted instead.
        Redirects are not followed, nothing is sent twice, and proxies in the environment are ignored. A connection is
        made when it is needed, the first one by ``polling()``.

        Raises:
            ConfigurationError: the URL, the path or the certificate settings are invalid.
        """
        from ..transports.http import HttpTransport

        limits = checked_limits(timeouts, profile)
        transport = HttpTransport(
            url,
            path=path,
            verify=verify,
            pin_sha256=pin_sha256,
            connect_timeout=limits.connect,
        )
        session = Session.over_stream(
            f"http:{transport.name}", wire=wire, profile=profile, timeouts=limits, acknowledges=False
        )
        driver = BlockingDriver(transport=transport, journal=journal_opener(journal), observer=observer)
        return cls._made(driver, session)

    @classmethod
    def create_cloud(
        cls,
        base_url: str | CloudAccount,
        *,
        key_pos: KeyPos,
        webhook: str | None = None,
        http_client: httpx.Client | None = None,
        journal: JournalSource = DEFAULT_JOURNAL,
        timeouts: Timeouts | None = None,
        observer: Observer | None = None,
        **settings: Unpack[CloudOptions],
    ) -> Connector:
        """A terminal behind Getnet's cloud (docs/cloud.md).

        ``base_url`` is either the address that ends in ``/api/postxs``, and the other arguments are then the
        credentials and settings of ``CloudSettings``; or an ``CloudAccount``, which has its own settings and can
        be shared by many connectors. With ``webhook`` the cloud answers a payment command at once and pushes the result
        to that URL; ``sale()`` queries the status meanwhile and still returns the result.

        Raises:
            ConfigurationError: a setting is invalid, or the profile has no cloud.
        """
        from ..cloud.account import CloudAccount

        own = None
        if isinstance(base_url, CloudAccount):
            account = base_url
            refuse_settings(http_client, settings)
        else:
            account = own = CloudAccount(base_url, http_client=http_client, timeouts=timeouts, **settings)
        session = Session.over_cloud(
            account.cloud,
            key_pos,
            webhook=checked_webhook(webhook),
            timeouts=account.settings.limits if timeouts is None else checked_limits(timeouts, account.cloud.profile),
            turn=account.queues.of(key_pos),
        )
        return cls._made(
            BlockingDriver(http=account.http, journal=journal_opener(journal), observer=observer), session, own
        )

    @classmethod
    def _made(cls, driver: BlockingDriver, session: Session, account: CloudAccount | None = None) -> Connector:
        connector = cls(driver, session, account)
        try:
            connector._opened()
        except BaseException:
            connector.close()
            raise
        return connector

    def __enter__(self) -> Self:
        return self._opened()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Connector {self._session}>"

    @property
    def terminal(self) -> str:
        """The terminal's name in messages and in the journal: its port or address."""
        return self._session.terminal

    @property
    def profile(self) -> Profile:
        return self._session.profile

    def _opened(self) -> Self:
        self._driver.open_journal()
        self._run(self._session.opening())
        return self

    def _run(self, flow: Flow[T], on_progress: OnProgress | None = None) -> T:
        self._check_process()
        return self._driver.run(flow, on_progress)

    def _check_process(self) -> None:
        if self._process != os.getpid():
            raise LifecycleError("the connector belongs to the parent process: create another one after the fork")

    def close(self) -> None:
        """Close the link for good, once the operation in progress is over. The port can be opened again at once.

        It does not close the batch. In a forked child it does nothing: the port belongs to the parent process.
        """
        if self._process == os.getpid():
            self._driver.run(self._session.closing())
            if self._account is not None:
                self._account.close()

    def polling(self) -> Polled:
        """Ask whether the terminal is connected and ready (106). Opens the link again if it was lost.

        Before it returns, it queries the terminal about payment commands that an earlier run left open, and once more
        about those of unknown outcome. The result says which were settled, which are still unknown, which belong to
        other terminals, and whether another terminal is connected here than before.
        """
        return self._run(self._session.polling())

    def sale(
        self,
        amount: Amount,
        *,
        ticket: str | None = None,
        sale_type: SaleType | int = SaleType.SALE,
        print_on_pos: bool = False,
        employee_id: int | None = 1,
        on_progress: OnProgress | None = None,
        timeout: float | None = None,
        idempotency_key: str | None = None,
        again: bool = False,
    ) -> SaleReply:
        """Charge ``amount`` (100): ``int`` wire units, or ``Decimal`` currency units if the profile has a scale.

        ``ticket`` is the register's own number, 1 to 24 characters; without it a unique one is generated.
        ``on_progress`` is called with each progress message. ``timeout``
        replaces the time limits of the sale, in seconds. A declined card is a result: check ``approved``.

        A second call with the same ``idempotency_key``, any text of yours, returns the stored result, marked
        ``recovered``. Without a key, ``AlreadyCharged`` is raised if an earlier sale of the same ticket and amount was
        paid and its caller may not have received the result; ``again=True`` charges a second time on purpose.
        """
        flow = self._session.sale(
            amount,
            ticket=ticket,
            sale_type=sale_type,
            print_on_pos=print_on_pos,
            employee_id=employee_id,
            send_message=on_progress is not None,
            timeout=timeout,
            idempotency_key=idempotency_key,
            again=again,
        )
        return self._run(flow, on_progress)

    def void(
        self,
        operation_id: int,
        *,
        print_on_pos: bool = False,
        idempotency_key: str | None = None,
    ) -> VoidReply:
        """Void an operation of the open batch by its operation id (102; Getnet's own libraries call this *Refund*)."""
        return self._run(self._session.void(operation_id, print_on_pos, idempotency_key=idempotency_key))

    def refund(
        self,
        authorization_code: str,
        amount: Amount,
        *,
        print_on_pos: bool = False,
        original_date: date | str | None = None,
        idempotency_key: str | None = None,
        again: bool = False,
    ) -> RefundReply:
        """Refund ``amount`` by authorization code (108; Getnet's own libraries call this *Return*).

        ``amount`` is as in ``sale()``. Only Argentina's cloud takes ``original_date``, the day of the sale.
        """
        flow = self._session.refund(
            authorization_code, amount, print_on_pos, original_date, idempotency_key=idempotency_key, again=again
        )
        return self._run(flow)

    def pre_authorization(
        self,
        amount: Amount,
        *,
        ticket: str | None = None,
        print_on_pos: bool = False,
        employee_id: int | None = 1,
        on_progress: OnProgress | None = None,
        timeout: float | None = None,
    ) -> PreAuthorizationReply:
        """Hold ``amount`` on a card. The arguments are as in ``sale()``.

        Getnet has published no command code: unless the profile has one, this library's provisional code is used, with
        a ``ProvisionalCommandWarning`` (docs/assumptions.md).

        Raises:
            UnsupportedOperation: the profile has no command codes for pre-authorization.
        """
        self._session.warn_if_provisional(stacklevel=2)
        flow = self._session.pre_authorization(
            amount,
            ticket=ticket,
            print_on_pos=print_on_pos,
            employee_id=employee_id,
            send_message=on_progress is not None,
            timeout=timeout,
        )
        return self._run(flow, on_progress)

    def complete_pre_authorization(
        self, authorization_code: str, amount: Amount, *, print_on_pos: bool = False
    ) -> PreAuthorizationCompletionReply:
        """Charge ``amount`` of the amount held under ``authorization_code``. See ``pre_authorization()``."""
        self._session.warn_if_provisional(stacklevel=2)
        flow = self._session.complete_pre_authorization(authorization_code, amount, print_on_pos)
        return self._run(flow)

    def release_pre_authorization(
        self, authorization_code: str, *, print_on_pos: bool = False
    ) -> PreAuthorizationReleaseReply:
        """Release the amount held under ``authorization_code``. See ``pre_authorization()``."""
        self._session.warn_if_provisional(stacklevel=2)
        flow = self._session.release_pre_authorization(authorization_code, print_on_pos)
        return self._run(flow)

    def cancel_sale(self, *, written: SealedCommand[CancelReply] | None = None) -> Reply | None:
        """Ask the terminal to cancel the sale in progress (116). Call it from another thread while ``sale()`` waits.

        It is a request, not a result: it returns ``None``, and ``sale()`` returns the outcome of the sale. With no sale
        in progress here, the terminal is still asked, and its reply is returned. With ``written``, the 116 that another
        program wrote is sent as it is. It needs no ``polling()``.
        """
        self._check_process()
        if self._session.cancel(written):
            self._driver.wake()
            return None
        return self._run(self._session.cancel_idle())

    def last_voucher(self, *, print_on_pos: bool = False) -> VoucherReply:
        """The terminal's last recorded operation (101). With many firmwares it has that operation's function code."""
        return self._run(self._session.request(LastVoucher(print_on_pos)))

    def duplicate(self, operation_id: int, *, print_on_pos: bool = False) -> DuplicateReply:
        """A copy of a voucher by its operation id (109)."""
        return self._run(self._session.request(Duplicate(operation_id, print_on_pos)))

    def close_batch(self, *, print_on_pos: bool = False) -> CloseBatchReply:
        """Close the day's batch (103)."""
        return self._run(self._session.request(CloseBatch(print_on_pos)))

    @overload
    def get_reports(
        self, kind: Literal[ReportKind.TOTALS], *, print_on_pos: bool = ..., employee_id: int = ...
    ) -> TotalsReply: ...
    @overload
    def get_reports(
        self, kind: Literal[ReportKind.DETAILS], *, print_on_pos: bool = ..., employee_id: int = ...
    ) -> DetailsReply: ...
    @overload
    def get_reports(
        self, kind: Literal[ReportKind.SALES_BY_SELLER], *, print_on_pos: bool = ..., employee_id: int = ...
    ) -> SalesBySellerReply: ...
    @overload
    def get_reports(
        self, kind: Literal[ReportKind.TIPS], *, print_on_pos: bool = ..., employee_id: int = ...
    ) -> TipsReply: ...
    @overload
    def get_reports(
        self, kind: Literal[ReportKind.PARAMETERS], *, print_on_pos: bool = ..., employee_id: int = ...
    ) -> ParametersReply: ...
    @overload
    def get_reports(
        self, kind: Literal[ReportKind.SIM], *, print_on_pos: bool = ..., employee_id: int = ...
    ) -> SimReply: ...
    @overload
    def get_reports(self, kind: ReportKind, *, print_on_pos: bool = ..., employee_id: int = ...) -> Reply: ...
    def get_reports(self, kind: ReportKind, *, print_on_pos: bool = False, employee_id: int = 1) -> Reply:
        """One of the terminal's reports (104, 105, 110, 111, 114, 115; 136 in Argentina's cloud).

        ``employee_id`` only applies to sales by seller and tips.
        """
        return self._run(self._session.report(kind, print_on_pos=print_on_pos, employee_id=employee_id))

    def set_default_sale_type(self, sale_type: SaleType | int) -> DefaultSaleTypeReply:
        """Set the sale type of sales without one (113)."""
        return self._run(self._session.request(SetDefaultSaleType(sale_type)))

    def set_normal_mode(self) -> NormalModeReply:
        """Make the terminal leave the integrated mode (107)."""
        return self._run(self._session.request(SetNormalMode()))

    def print_document(self, lines: Iterable[str | Mapping[str, Any]]) -> Reply:
        """Print on the terminal (117); only Chile's cloud does.

        Each line is text of at most 48 characters, or a mapping as the print service has it (docs/cloud.md,
        "Printing").
        """
        return self._run(self._session.print_document(lines))

    def request(
        self,
        command: Command[R] | SealedCommand[R],
        *,
        on_progress: OnProgress | None = None,
        timeout: float | None = None,
        idempotency_key: str | None = None,
        again: bool = False,
        on_frame: OnFrame | None = None,
        leave_by: float | None = None,
        listens: Callable[[], bool] | None = None,
    ) -> R:
        """Run any other command. A payment command is recorded and recovered like a sale.

        ``timeout``, ``idempotency_key`` and ``again`` are as in ``sale()``. A ``SealedCommand`` was written by another
        program (``codec.unseal``): over the signed wire its frame is sent byte for byte.

        The rest is for a relay. ``on_frame`` is called with each message from the terminal and its bytes:
        acknowledgements, progress messages and replies, even those that turn out to belong to another command. A link
        without signed frames only gives ``{"Received":true}``. Unless the first byte leaves before ``leave_by``, a time
        of ``time.monotonic()``, nothing is sent and ``DeadlineExceeded`` is raised. ``listens`` returns whether the
        original caller is still there when the result arrives; if not, the same ticket and amount raises
        ``AlreadyCharged`` later.
        """
        flow = self._session.request(
            command,
            timeout=timeout,
            idempotency_key=idempotency_key,
            again=again,
            on_frame=on_frame,
            leave_by=leave_by,
            listens=listens,
        )
        return self._run(flow, on_progress)

    def recover(self) -> Recovery:
        """Query the terminal about each of its payment commands that is not settled.

        Returns those whose outcome is still unknown. The attributes of the result have those settled just now
        (``settled``), those that another process is running (``in_progress``) and those of other terminals
        (``elsewhere``).
        """
        return self._run(self._session.recover())

    def reconcile(self, *, since: datetime | None = None) -> Reconciliation:
        """Compare the journal with the operations of the terminal's open batch (105), before it is closed.

        ``since``, a ``datetime`` with a time zone, is when the business day began, by default 24 hours ago: every
        payment in the journal since then must be in the terminal's record. It settles nothing, and only sends the
        query.

        Raises:
            UnsupportedOperation: the wire's details report does not list the operations.
            UnexpectedReply: the terminal's details report does not list them.
        """
        return self._run(self._session.reconcile(since))

    def intents(self, *, settled: bool = False) -> list[Intent]:
        """The payment commands of all terminals in the journal that are not settled; all of them with ``settled``."""
        return self._run(self._session.intents(settled=settled))

    def resolve(self, intent_id: str, *, paid: bool, by: str, note: str) -> Intent:
        """Record a person's decision about a payment command of unknown outcome.

        ``by`` says who decided and ``note`` why. ``intent_id`` may be shortened as long as it is unambiguous.

        Raises:
            InvalidValue: there is no such command, it is settled or in progress, or ``by`` or ``note`` is missing.
        """
        return self._run(self._session.resolve(intent_id, paid=paid, by=by, note=note))
