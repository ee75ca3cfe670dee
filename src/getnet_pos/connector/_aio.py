"""The connector on asyncio."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from ..drivers.aio import AsyncDriver
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
from ..profiles import Profile, Timeouts
from ..reconciliation import Reconciliation
from ..session import OnFrame, OnProgress, Session
from ..transports.serial import AsyncSerialTransport
from ..transports.tcp import AsyncTcpTransport
from ._common import checked_address, checked_limits, checked_webhook, listed_ports, refuse_settings

if TYPE_CHECKING:
    from collections.abc import Generator  # asyncio only

    import httpx
    from typing_extensions import Self, Unpack

    from ..cloud.account import AsyncCloudAccount, CloudOptions

__all__ = ["AsyncConnector"]

T = TypeVar("T")
R = TypeVar("R", bound=Reply)


class AsyncConnector:
    """Drives one terminal, on asyncio. Make one with ``create_usb``, or with another of the ``create`` methods.

    It is opened by ``async with``, by ``await`` on it, or by its first ``polling()``. ``polling()`` must succeed before
    any other operation, and ``close()`` ends it; ``async with`` always closes. One operation runs at a time: a second
    one waits for it, up to ``Timeouts.busy``, then raises ``TerminalBusy``. Cancelling the task of a money command
    leaves its intent open: the terminal is asked about it before the next one.

    Every operation raises ``LifecycleError`` out of order, ``InvalidValue`` for a value that cannot be meant,
    ``TransportError`` when the link fails and ``ProtocolError`` when the terminal breaks the protocol. Those that move
    money raise ``OutcomeUnknown`` instead whenever money may have moved, and ``JournalError``, with nothing sent, when
    the journal cannot be written.
    """

    def __init__(self, driver: AsyncDriver, session: Session, account: AsyncCloudAccount | None = None) -> None:
        self._driver = driver
        self._session = session
        self._account = account
        """What ends with this connector."""
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
    ) -> AsyncConnector:
        """A terminal on a USB or serial port (docs/protocol.md, "Serial line").

        Without ``port`` every serial port is polled, the likeliest first, and the first one that answers as a
        terminal is taken. Opening it raises ``PortBusy``, ``PortPermissionDenied`` or ``ConnectError`` where that
        cannot be done, or where no terminal was found.
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
            transport = AsyncSerialTransport(port, baudrate=baudrate)
        session = Session.over_stream(
            f"usb:{port or ''}", wire=wire, profile=profile, timeouts=limits, is_pluggable=True, find=find
        )
        return cls._made(AsyncDriver(transport=transport, journal=journal_opener(journal)), session)

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
    ) -> AsyncConnector:
        """A terminal on the local network over TCP (docs/protocol.md, "TCP").

        ``acknowledge=False``: neither side sends ``Received`` messages. Opening it raises ``ConnectError`` where the
        terminal cannot be reached.
        """
        limits = checked_limits(timeouts, profile)
        transport = AsyncTcpTransport(*checked_address(host, port), connect_timeout=limits.connect)
        session = Session.over_stream(
            f"tcp:{transport.name}", wire=wire, profile=profile, timeouts=limits, acknowledges=acknowledge
        )
        return cls._made(AsyncDriver(transport=transport, journal=journal_opener(journal)), session)

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
    ) -> AsyncConnector:
        """A terminal on the local network over HTTP (docs/assumptions.md: this link is our assumption).

        Each command is a ``POST`` to ``url`` and ``path``. ``verify`` is ``True``, a file of CA certificates, or an
        ``ssl.SSLContext``; ``pin_sha256`` takes exactly the certificate (DER) with that SHA-256 instead. Redirects are
        not followed, nothing is sent again, and no proxy is taken from the environment. Connections are made as they
        are needed: the first is ``polling()``'s.

        Raises:
            ConfigurationError: the URL, the path or the certificate settings cannot work.
        """
        from ..transports.http import AsyncHttpTransport

        limits = checked_limits(timeouts, profile)
        transport = AsyncHttpTransport(
            url,
            path=path,
            verify=verify,
            pin_sha256=pin_sha256,
            connect_timeout=limits.connect,
        )
        session = Session.over_stream(
            f"http:{transport.name}", wire=wire, profile=profile, timeouts=limits, acknowledges=False
        )
        return cls._made(AsyncDriver(transport=transport, journal=journal_opener(journal)), session)

    @classmethod
    def create_cloud(
        cls,
        base_url: str | AsyncCloudAccount,
        *,
        key_pos: KeyPos,
        webhook: str | None = None,
        http_client: httpx.AsyncClient | None = None,
        journal: JournalSource = DEFAULT_JOURNAL,
        timeouts: Timeouts | None = None,
        **settings: Unpack[CloudOptions],
    ) -> AsyncConnector:
        """A terminal behind Getnet's cloud (docs/cloud.md).

        ``base_url`` is the address that ends in ``/api/postxs``, with the credentials and settings of an account beside
        it, as ``CloudSettings`` has them; or an ``AsyncCloudAccount``, which has its own, and which many connectors may
        share. With ``webhook`` the cloud answers a money command at once and pushes the result there; ``sale()`` asks
        for the status meanwhile and returns the result all the same.

        Raises:
            ConfigurationError: a setting cannot work, or no cloud is known for the profile.
        """
        from ..cloud.account import AsyncCloudAccount

        own = None
        if isinstance(base_url, AsyncCloudAccount):
            account = base_url
            refuse_settings(http_client, settings)
        else:
            account = own = AsyncCloudAccount(base_url, http_client=http_client, timeouts=timeouts, **settings)
        session = Session.over_cloud(
            account.cloud,
            key_pos,
            webhook=checked_webhook(webhook),
            timeouts=account.settings.limits if timeouts is None else checked_limits(timeouts, account.cloud.profile),
            turn=account.queues.of(key_pos),
        )
        return cls._made(AsyncDriver(http=account.http, journal=journal_opener(journal)), session, own)

    @classmethod
    def _made(cls, driver: AsyncDriver, session: Session, account: AsyncCloudAccount | None = None) -> AsyncConnector:
        connector = cls(driver, session, account)
        # blocking only: try:
        # blocking only:     connector._opened()
        # blocking only: except BaseException:
        # blocking only:     connector.close()
        # blocking only:     raise
        return connector

    def __await__(self) -> Generator[Any, None, Self]:  # asyncio only
        return self._opened().__await__()  # asyncio only

    async def __aenter__(self) -> Self:
        return await self._opened()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<AsyncConnector {self._session}>"

    @property
    def terminal(self) -> str:
        """What the terminal is called in messages and in the journal, by the place where it is."""
        return self._session.terminal

    @property
    def profile(self) -> Profile:
        return self._session.profile

    async def _opened(self) -> Self:
        await self._driver.open_journal()
        await self._run(self._session.opening())
        return self

    async def _run(self, flow: Flow[T], on_progress: OnProgress | None = None) -> T:
        self._check_process()
        return await self._driver.run(flow, on_progress)

    def _check_process(self) -> None:
        if self._process != os.getpid():
            raise LifecycleError("the connector belongs to the process that this one was forked from: create one here")

    async def close(self) -> None:
        """Free the port; it can be opened again at once. Waits for the operation in progress. Not the batch close.

        In a process that was forked it does nothing: the port is that of the process which opened it.
        """
        if self._process == os.getpid():
            await self._driver.run(self._session.closing())
            if self._account is not None:
                await self._account.close()

    async def polling(self) -> Polled:
        """Ask whether the terminal is there and ready (106); opens the link again if it was lost.

        Payment commands that an earlier run left open are asked about before it returns, and those of unknown outcome
        once more. What was settled, what stays unknown, and what belongs to terminals that are not here is handed over
        with the answer, and so is the news that another terminal answers at this place.
        """
        return await self._run(self._session.polling())

    async def sale(
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
        """Charge ``amount`` (100): ``int`` wire units, or ``Decimal`` in the currency of a profile that has a scale.

        ``ticket`` is the register's own number, 1 to 24 characters; without one a unique one is made.
        ``on_progress`` is called with each progress message, and awaited if it is a coroutine function. ``timeout``
        replaces the sale's time limits, in seconds. A declined card is a result: look at ``approved``.

        A sale called again with the same ``idempotency_key``, any text of yours, returns the stored result, marked
        ``recovered``. Without a key ``AlreadyCharged`` is raised where an earlier sale of the same ticket and amount
        was paid and its caller may never have heard of it; ``again=True`` says that a second charge is meant.
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
        return await self._run(flow, on_progress)

    async def void(
        self,
        operation_id: int,
        *,
        print_on_pos: bool = False,
        idempotency_key: str | None = None,
    ) -> VoidReply:
        """Annul an operation of the open batch by its operation id (102; Getnet's own libraries call this *Refund*)."""
        return await self._run(self._session.void(operation_id, print_on_pos, idempotency_key=idempotency_key))

    async def refund(
        self,
        authorization_code: str,
        amount: Amount,
        *,
        print_on_pos: bool = False,
        original_date: date | str | None = None,
        idempotency_key: str | None = None,
        again: bool = False,
    ) -> RefundReply:
        """Give ``amount`` back by authorization code (108; Getnet's own libraries call this *Return*).

        ``original_date``, the day of the sale, is for Argentina's cloud.
        """
        flow = self._session.refund(
            authorization_code, amount, print_on_pos, original_date, idempotency_key=idempotency_key, again=again
        )
        return await self._run(flow)

    async def pre_authorization(
        self,
        amount: Amount,
        *,
        ticket: str | None = None,
        print_on_pos: bool = False,
        employee_id: int | None = 1,
        on_progress: OnProgress | None = None,
        timeout: float | None = None,
    ) -> PreAuthorizationReply:
        """Hold ``amount`` on a card. The command code is provisional unless the profile has one
        (docs/assumptions.md).
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
        return await self._run(flow, on_progress)

    async def complete_pre_authorization(
        self, authorization_code: str, amount: Amount, *, print_on_pos: bool = False
    ) -> PreAuthorizationCompletionReply:
        """Charge ``amount`` of what was held under ``authorization_code``."""
        self._session.warn_if_provisional(stacklevel=2)
        flow = self._session.complete_pre_authorization(authorization_code, amount, print_on_pos)
        return await self._run(flow)

    async def release_pre_authorization(
        self, authorization_code: str, *, print_on_pos: bool = False
    ) -> PreAuthorizationReleaseReply:
        """Let go of what was held under ``authorization_code``."""
        self._session.warn_if_provisional(stacklevel=2)
        flow = self._session.release_pre_authorization(authorization_code, print_on_pos)
        return await self._run(flow)

    async def cancel_sale(self, *, written: SealedCommand[CancelReply] | None = None) -> Reply | None:
        """Ask the terminal to give up the sale in progress (116); call it from another task while it waits.
        ``written`` is the 116 as somebody else wrote it, which is then what leaves.

        It is a request, never a result: ``sale()`` itself returns what became of the sale, and this returns
        ``None``. With no sale in progress here, the terminal is asked all the same and its answer returned, since
        another process may be selling. This needs no ``polling()``.
        """
        self._check_process()
        if self._session.cancel(written):
            self._driver.wake()
            return None
        return await self._run(self._session.cancel_idle())

    async def last_voucher(self, *, print_on_pos: bool = False) -> VoucherReply:
        """The terminal's last recorded operation (101), under that operation's own function code where the firmware
        does so.
        """
        return await self._run(self._session.request(LastVoucher(print_on_pos)))

    async def duplicate(self, operation_id: int, *, print_on_pos: bool = False) -> DuplicateReply:
        """A copy of a voucher by its operation id (109)."""
        return await self._run(self._session.request(Duplicate(operation_id, print_on_pos)))

    async def close_batch(self, *, print_on_pos: bool = False) -> CloseBatchReply:
        """Close the day's batch (103)."""
        return await self._run(self._session.request(CloseBatch(print_on_pos)))

    @overload
    async def get_reports(
        self, kind: Literal[ReportKind.TOTALS], *, print_on_pos: bool = ..., employee_id: int = ...
    ) -> TotalsReply: ...
    @overload
    async def get_reports(
        self, kind: Literal[ReportKind.DETAILS], *, print_on_pos: bool = ..., employee_id: int = ...
    ) -> DetailsReply: ...
    @overload
    async def get_reports(
        self, kind: Literal[ReportKind.SALES_BY_SELLER], *, print_on_pos: bool = ..., employee_id: int = ...
    ) -> SalesBySellerReply: ...
    @overload
    async def get_reports(
        self, kind: Literal[ReportKind.TIPS], *, print_on_pos: bool = ..., employee_id: int = ...
    ) -> TipsReply: ...
    @overload
    async def get_reports(
        self, kind: Literal[ReportKind.PARAMETERS], *, print_on_pos: bool = ..., employee_id: int = ...
    ) -> ParametersReply: ...
    @overload
    async def get_reports(
        self, kind: Literal[ReportKind.SIM], *, print_on_pos: bool = ..., employee_id: int = ...
    ) -> SimReply: ...
    @overload
    async def get_reports(self, kind: ReportKind, *, print_on_pos: bool = ..., employee_id: int = ...) -> Reply: ...
    async def get_reports(self, kind: ReportKind, *, print_on_pos: bool = False, employee_id: int = 1) -> Reply:
        """One of the terminal's reports (104, 105, 110, 111, 114, 115; 136 in Argentina's cloud). ``employee_id`` is
        for sales by seller and tips.
        """
        return await self._run(self._session.report(kind, print_on_pos=print_on_pos, employee_id=employee_id))

    async def set_default_sale_type(self, sale_type: SaleType | int) -> DefaultSaleTypeReply:
        """Set what a sale is when it does not say (113)."""
        return await self._run(self._session.request(SetDefaultSaleType(sale_type)))

    async def set_normal_mode(self) -> NormalModeReply:
        """Have the terminal leave the integrated mode (107)."""
        return await self._run(self._session.request(SetNormalMode()))

    async def print_document(self, lines: Iterable[str | Mapping[str, Any]]) -> Reply:
        """Print on the terminal (117), through Chile's cloud: a text is a line of at most 48 characters, a mapping an
        item of the print service (docs/cloud.md, "Printing").
        """
        return await self._run(self._session.print_document(lines))

    async def request(
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
        """Run any other command; one that moves money is recorded and recovered like a sale, and takes the same key.

        A ``SealedCommand`` is one that somebody else wrote (``codec.unseal``): over the signed wire its frame is what
        leaves, byte for byte.

        What a relay needs beside that: ``on_frame`` is called with each message by which the terminal answers, and its
        bytes: acknowledgements, progress messages, and replies, also those that turn out to be another command's. A way
        without signed frames has only ``{"Received":true}`` to give. The first byte leaves before ``leave_by``, a time
        of ``time.monotonic()``, or none does (``DeadlineExceeded``). ``listens`` tells whether whoever asked still
        listens when the result comes; where not, the same ticket and amount is ``AlreadyCharged`` later.
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
        return await self._run(flow, on_progress)

    async def recover(self) -> Recovery:
        """Ask about every payment command of this terminal that is not settled.

        Returns those whose outcome nobody knows, and beside them those that were settled now (``settled``), that
        another process waits for (``in_progress``), and that are of terminals that are not here (``elsewhere``).
        """
        return await self._run(self._session.recover())

    async def reconcile(self, *, since: datetime | None = None) -> Reconciliation:
        """Compare the journal with the operations of the terminal's open batch (105), before it is closed.

        ``since``, a moment with its time zone, is when the day began: what was paid from then on by the journal must be
        in the terminal's record; the last 24 hours unless given. Nothing is settled by it, and nothing is sent but the
        question.

        Raises:
            UnsupportedOperation: the wire does not tell the operations.
            UnexpectedReply: the terminal does not tell them.
        """
        return await self._run(self._session.reconcile(since))

    async def intents(self, *, settled: bool = False) -> list[Intent]:
        """The payment commands in the journal, of every terminal, that are not settled; with ``settled`` all."""
        return await self._run(self._session.intents(settled=settled))

    async def resolve(self, intent_id: str, *, paid: bool, by: str, note: str) -> Intent:
        """Record what a person found out about a payment command of unknown outcome, with who and why.

        Raises:
            InvalidValue: there is no such command, it is settled or in progress, or a name or a reason is missing.
        """
        return await self._run(self._session.resolve(intent_id, paid=paid, by=by, note=note))
