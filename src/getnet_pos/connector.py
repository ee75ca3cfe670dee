"""What a caller holds: ``Connector``, which blocks, and ``AsyncConnector``; the same flows under two drivers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from .drivers.aio import AsyncDriver
from .drivers.blocking import BlockingDriver
from .errors import ConfigurationError, ConnectError, GetnetError, InvalidType, InvalidValue, TerminalBusy
from .journal import DEFAULT_JOURNAL, JournalSource, open_journal
from .messages import (
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
    PollReply,
    PreAuthorizationCompletionReply,
    PreAuthorizationReleaseReply,
    PreAuthorizationReply,
    RefundReply,
    Reply,
    ReportKind,
    SaleReply,
    SalesBySellerReply,
    SaleType,
    SetDefaultSaleType,
    SetNormalMode,
    SimReply,
    TipsReply,
    TotalsReply,
    VoidReply,
    VoucherReply,
    Wire,
)
from .messages.checks import check_integer
from .money import Amount
from .profiles import Profile, Timeouts
from .session import AnyFlow, CloudSession, OnProgress, Session, StreamSession
from .transports import Transport
from .transports.serial import AsyncSerialTransport, SerialTransport, candidate_ports
from .transports.tcp import AsyncTcpTransport, TcpTransport

if TYPE_CHECKING:
    import httpx

    from .cloud.account import AsyncCloudAccount, CloudAccount
    from .drivers.cloud import AsyncCloudDriver, CloudDriver

__all__ = ["AsyncConnector", "Connector"]

log = logging.getLogger("getnet_pos.connector")

T = TypeVar("T")
R = TypeVar("R", bound=Reply)


class Connector:
    """Drives one terminal, blocking the calling thread. Make one with ``create_usb``.

    ``polling()`` must succeed before any other operation, and ``close()`` ends it; ``with`` always closes. One
    operation runs at a time: a second one waits for it, up to ``Timeouts.busy``, then raises ``TerminalBusy``.

    Every operation raises ``LifecycleError`` out of order, ``InvalidValue`` for a value that cannot be meant,
    ``TransportError`` when the link fails and ``ProtocolError`` when the terminal breaks the protocol. Those that move
    money raise ``OutcomeUnknown`` instead whenever money may have moved, and ``JournalError``, with nothing sent, when
    the journal cannot be written.
    """

    def __init__(self, driver: BlockingDriver | CloudDriver, session: Session) -> None:
        self._driver = driver
        self._session = session
        self._lock = threading.Lock()
        self._holder: int | None = None
        """The thread whose operation is in progress."""

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
    ) -> Connector:
        """Open a terminal on a USB or serial port (docs/protocol.md, "Serial line").

        Without ``port`` every serial port is polled, the likeliest first, and the first one that answers as a
        terminal is taken.

        Raises:
            PortBusy, PortPermissionDenied, ConnectError: the port cannot be opened, or no terminal was found.
        """

        limits = _limits(timeouts, profile)
        kept = open_journal(journal)
        if port is None:
            tried: list[str] = []
            for name in candidate_ports():
                driver = BlockingDriver(SerialTransport(name, baudrate=baudrate), kept)
                trial = StreamSession(_usb(name), wire=wire, profile=profile, timeouts=_trial(limits))
                try:
                    if driver.run(trial.looks_ready()):
                        port = name
                        break
                    tried.append(f"{name} (a terminal that is not ready)")
                except GetnetError as error:
                    tried.append(f"{name} ({error})")
                finally:
                    driver.transport.close()
            else:
                raise _not_found(tried)
        session = StreamSession(_usb(port), wire=wire, profile=profile, timeouts=limits)
        return cls._over(SerialTransport(port, baudrate=baudrate), session, kept)

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
    ) -> Connector:
        """Connect to a terminal on the local network over TCP (docs/protocol.md, "TCP").

        ``acknowledge=False``: neither side sends ``Received`` messages.

        Raises:
            ConnectError: the terminal cannot be reached.
        """
        limits = _limits(timeouts, profile)
        transport = TcpTransport(*_address(host, port), connect_timeout=limits.connect)
        session = StreamSession(
            f"tcp:{transport.name}", wire=wire, profile=profile, timeouts=limits, acknowledges=acknowledge
        )
        return cls._over(transport, session, journal)

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
    ) -> Connector:
        """A terminal on the local network over HTTP (docs/assumptions.md: this link is our assumption).

        Each command is a ``POST`` to ``url`` and ``path``. ``verify`` is ``True``, a file of CA certificates, or an
        ``ssl.SSLContext``; ``pin_sha256`` takes exactly the certificate (DER) with that SHA-256 instead. Redirects are
        not followed, nothing is sent again, and no proxy is taken from the environment. Connections are made as they
        are needed: the first is ``polling()``'s.

        Raises:
            ConfigurationError: the URL, the path or the certificate settings cannot work.
        """
        from .transports.http import HttpTransport

        limits = _limits(timeouts, profile)
        transport = HttpTransport(url, path=path, verify=verify, pin_sha256=pin_sha256, connect_timeout=limits.connect)
        session = StreamSession(
            f"http:{transport.name}", wire=wire, profile=profile, timeouts=limits, acknowledges=False
        )
        return cls._over(transport, session, journal)

    @classmethod
    def create_cloud(
        cls,
        base_url: str | CloudAccount,
        *,
        key_pos: KeyPos,
        client_id: str | None = None,
        client_secret: str | None = None,
        environment: str | None = None,
        webhook: str | None = None,
        http_client: httpx.Client | None = None,
        api_key: Mapping[str, str] | None = None,
        profile: Profile | None = None,
        journal: JournalSource = DEFAULT_JOURNAL,
        timeouts: Timeouts | None = None,
    ) -> Connector:
        """Drive a terminal through Getnet's cloud (docs/cloud.md).

        ``base_url`` is the address that ends in ``/api/postxs``, with the credentials and settings of an account beside
        it; or a ``CloudAccount``, which has its own, and which many connectors may share. With ``webhook`` the cloud
        answers a money command at once and pushes the result there; ``sale()`` asks for the status meanwhile and
        returns the result all the same.

        Raises:
            ConfigurationError: a setting cannot work, or no cloud is known for the profile.
        """
        from .cloud.account import CloudAccount
        from .drivers.cloud import CloudDriver

        account, own = base_url, None
        if isinstance(account, CloudAccount):
            _check_account(client_id, client_secret, environment, http_client, api_key, profile)
        else:
            account = own = CloudAccount(
                account,
                client_id=client_id or "",
                client_secret=client_secret or "",
                environment="uat" if environment is None else environment,
                profile=Profile.INTEGRATED_POS if profile is None else profile,
                api_key=api_key,
                http_client=http_client,
            )
        limits = _limits(timeouts, account.api.profile) if timeouts is not None else account.api.timeouts
        session = CloudSession(account.api.till(key_pos, webhook, limits))
        return cls(CloudDriver(account.http, open_journal(journal), own), session)

    @classmethod
    def _over(cls, transport: Transport, session: Session, journal: JournalSource) -> Connector:
        connector = cls(BlockingDriver(transport, open_journal(journal)), session)
        connector._run(session.opening())
        return connector

    def __enter__(self) -> Connector:
        self._session.check_not_closed()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Connector {self._session}>"

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Hold the terminal."""
        self._check_not_within()
        if not self._lock.acquire(timeout=self._session.timeouts.busy):
            raise _busy(self._session)
        try:
            self._holder = threading.get_ident()
            self._session.check_not_closed()
            yield
        finally:
            self._holder = None
            self._lock.release()

    def _check_not_within(self) -> None:
        """Refuse what would wait for itself."""
        if self._holder == threading.get_ident():
            raise _within(self._session)

    def _run(self, flow: AnyFlow[T]) -> T:
        self._session.check_not_closed()
        with self._turn():
            return self._driver.run(flow)

    def _run_cancellable(self, flow: AnyFlow[T], on_progress: OnProgress | None) -> T:
        self._session.check_not_closed()
        with self._turn(), self._session.cancellable():
            return self._driver.run(flow, on_progress)

    def close(self) -> None:
        """Free the port; it can be opened again at once. Waits for the operation in progress. Not the batch close."""
        self._check_not_within()
        with self._lock:
            if not self._session.closed:
                self._session.closed = True
                self._driver.run(self._session.closing())
                self._driver.close()

    def polling(self) -> PollReply:
        """Ask whether the terminal is there and ready (106); opens the link again if it was lost.

        Open money commands of an earlier run are asked about before it returns.
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
    ) -> SaleReply:
        """Charge ``amount`` (100): ``int`` wire units, or ``Decimal`` in the currency of a profile that has a scale.

        ``ticket`` is the register's own number, 1 to 24 characters; without one a unique one is made.
        ``on_progress`` is called with each progress message. ``timeout`` replaces the sale's time limits, in
        seconds. A declined card is a result: look at ``approved``.
        """
        flow = self._session.sale(
            amount,
            ticket=ticket,
            sale_type=sale_type,
            print_on_pos=print_on_pos,
            employee_id=employee_id,
            send_message=on_progress is not None,
            timeout=timeout,
        )
        return self._run_cancellable(flow, on_progress)

    def void(self, operation_id: int, *, print_on_pos: bool = False) -> VoidReply:
        """Annul an operation of the open batch by its operation id (102; Getnet's own libraries call this *Refund*)."""
        return self._run(self._session.void(operation_id, print_on_pos))

    def refund(
        self,
        authorization_code: str,
        amount: Amount,
        *,
        print_on_pos: bool = False,
        original_date: date | str | None = None,
    ) -> RefundReply:
        """Give ``amount`` back by authorization code (108; Getnet's own libraries call this *Return*).

        ``original_date``, the day of the sale, is for Argentina's cloud.
        """
        flow = self._session.refund(authorization_code, amount, print_on_pos, original_date)
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
        return self._run_cancellable(flow, on_progress)

    def complete_pre_authorization(
        self, authorization_code: str, amount: Amount, *, print_on_pos: bool = False
    ) -> PreAuthorizationCompletionReply:
        """Charge ``amount`` of what was held under ``authorization_code``."""
        self._session.warn_if_provisional(stacklevel=2)
        flow = self._session.complete_pre_authorization(authorization_code, amount, print_on_pos)
        return self._run(flow)

    def release_pre_authorization(
        self, authorization_code: str, *, print_on_pos: bool = False
    ) -> PreAuthorizationReleaseReply:
        """Let go of what was held under ``authorization_code``."""
        self._session.warn_if_provisional(stacklevel=2)
        flow = self._session.release_pre_authorization(authorization_code, print_on_pos)
        return self._run(flow)

    def cancel_sale(self) -> Reply | None:
        """Ask the terminal to give up the sale in progress (116); call it from another thread while it waits.

        It is a request, never a result: ``sale()`` itself returns what became of the sale, and this returns
        ``None``. With no sale in progress here the terminal is asked all the same, and its answer returned.
        """
        if self._session.cancel():
            self._driver.wake()
            return None
        if self._session.selling:
            return self._driver.run(self._session.cancel_idle())
        return self._run(self._session.cancel_idle())

    def last_voucher(self, *, print_on_pos: bool = False) -> VoucherReply:
        """The terminal's last recorded operation (101), under that operation's own function code where the firmware
        does so.
        """
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
        """One of the terminal's reports (104, 105, 110, 111, 114, 115; 136 in Argentina's cloud). ``employee_id`` is
        for sales by seller and tips.
        """
        return self._run(self._session.report(kind, print_on_pos=print_on_pos, employee_id=employee_id))

    def set_default_sale_type(self, sale_type: SaleType | int) -> DefaultSaleTypeReply:
        """Set what a sale is when it does not say (113)."""
        return self._run(self._session.request(SetDefaultSaleType(sale_type)))

    def set_normal_mode(self) -> NormalModeReply:
        """Have the terminal leave the integrated mode (107)."""
        return self._run(self._session.request(SetNormalMode()))

    def print_document(self, lines: Iterable[str | Mapping[str, Any]]) -> Reply:
        """Print on the terminal (117), through Chile's cloud: a text is a line of at most 48 characters, a mapping an
        item of the print service (docs/cloud.md, "Printing").
        """
        return self._run(self._session.print_document(lines))

    def request(self, command: Command[R], *, on_progress: OnProgress | None = None, timeout: float | None = None) -> R:
        """Run any other command; one that moves money is recorded and recovered like a sale."""
        flow = self._session.request(command, timeout=timeout)
        return self._run_cancellable(flow, on_progress) if _takes_card(command) else self._run(flow)

    def recover(self) -> list[Intent]:
        """Ask about every money command of this terminal that is still open; return those whose outcome nobody
        knows.
        """
        return self._run(self._session.recover())


class AsyncConnector:
    """Drives one terminal on the running asyncio event loop: what ``Connector`` does, with ``await``.

    The port is opened by ``async with``, by ``await`` on the connector, or by the first ``polling()``. Cancelling
    the task of a money command leaves its intent open: the terminal is asked about it before the next one.
    """

    def __init__(
        self,
        driver: AsyncDriver | AsyncCloudDriver,
        session: Session,
        *,
        find: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._driver = driver
        self._session = session
        self._find = find
        self._lock = asyncio.Lock()
        self._holder: asyncio.Task[Any] | None = None
        """The task whose operation is in progress."""

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
        """A terminal on a USB or serial port, as ``Connector.create_usb``."""
        limits = _limits(timeouts, profile)
        session = StreamSession(_usb(port), wire=wire, profile=profile, timeouts=limits)

        driver = AsyncDriver(AsyncSerialTransport(port or "", baudrate=baudrate), open_journal(journal))

        async def find() -> None:
            tried: list[str] = []
            for name in candidate_ports():
                driver.transport = AsyncSerialTransport(name, baudrate=baudrate)
                trial = StreamSession(_usb(name), wire=wire, profile=profile, timeouts=_trial(limits))
                try:
                    if await driver.run(trial.looks_ready()):
                        session.till.terminal = _usb(name)
                        return
                    tried.append(f"{name} (a terminal that is not ready)")
                except GetnetError as error:
                    tried.append(f"{name} ({error})")
                finally:
                    await driver.transport.close()
            raise _not_found(tried)

        return cls(driver, session, find=find if port is None else None)

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
        """A terminal on the local network over TCP, as ``Connector.create_tcp``."""
        limits = _limits(timeouts, profile)
        transport = AsyncTcpTransport(*_address(host, port), connect_timeout=limits.connect)
        session = StreamSession(
            f"tcp:{transport.name}", wire=wire, profile=profile, timeouts=limits, acknowledges=acknowledge
        )
        return cls(AsyncDriver(transport, open_journal(journal)), session)

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
        """A terminal on the local network over HTTP, as ``Connector.create_http``."""
        from .transports.http import AsyncHttpTransport

        limits = _limits(timeouts, profile)
        transport = AsyncHttpTransport(
            url, path=path, verify=verify, pin_sha256=pin_sha256, connect_timeout=limits.connect
        )
        session = StreamSession(
            f"http:{transport.name}", wire=wire, profile=profile, timeouts=limits, acknowledges=False
        )
        return cls(AsyncDriver(transport, open_journal(journal)), session)

    @classmethod
    def create_cloud(
        cls,
        base_url: str | AsyncCloudAccount,
        *,
        key_pos: KeyPos,
        client_id: str | None = None,
        client_secret: str | None = None,
        environment: str | None = None,
        webhook: str | None = None,
        http_client: httpx.AsyncClient | None = None,
        api_key: Mapping[str, str] | None = None,
        profile: Profile | None = None,
        journal: JournalSource = DEFAULT_JOURNAL,
        timeouts: Timeouts | None = None,
    ) -> AsyncConnector:
        """A terminal behind the cloud, as ``Connector.create_cloud``, with an ``AsyncCloudAccount``."""
        from .cloud.account import AsyncCloudAccount
        from .drivers.cloud import AsyncCloudDriver

        account, own = base_url, None
        if isinstance(account, AsyncCloudAccount):
            _check_account(client_id, client_secret, environment, http_client, api_key, profile)
        else:
            account = own = AsyncCloudAccount(
                account,
                client_id=client_id or "",
                client_secret=client_secret or "",
                environment="uat" if environment is None else environment,
                profile=Profile.INTEGRATED_POS if profile is None else profile,
                api_key=api_key,
                http_client=http_client,
            )
        limits = _limits(timeouts, account.api.profile) if timeouts is not None else account.api.timeouts
        session = CloudSession(account.api.till(key_pos, webhook, limits))
        return cls(AsyncCloudDriver(account.http, open_journal(journal), own), session)

    def __await__(self) -> Generator[Any, None, AsyncConnector]:
        return self._opened().__await__()

    async def __aenter__(self) -> AsyncConnector:
        return await self._opened()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<AsyncConnector {self._session}>"

    async def _opened(self) -> AsyncConnector:
        await self._run(self._session.opening())
        return self

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Hold the terminal, once it is known on which port it is."""
        self._check_not_within()
        limit = self._session.timeouts.busy
        try:
            if not self._lock.locked():
                await self._lock.acquire()
            elif limit:
                await asyncio.wait_for(self._lock.acquire(), limit)
            else:
                raise asyncio.TimeoutError
        except asyncio.TimeoutError:
            raise _busy(self._session) from None
        try:
            self._holder = asyncio.current_task()
            self._session.check_not_closed()
            if self._find is not None:
                await self._find()
                self._find = None
            yield
        finally:
            self._holder = None
            self._lock.release()

    def _check_not_within(self) -> None:
        """Refuse what would wait for itself."""
        if self._holder is not None and self._holder is asyncio.current_task():
            raise _within(self._session)

    async def _run(self, flow: AnyFlow[T]) -> T:
        self._session.check_not_closed()
        async with self._turn():
            return await self._driver.run(flow)

    async def _run_cancellable(self, flow: AnyFlow[T], on_progress: OnProgress | None) -> T:
        self._session.check_not_closed()
        async with self._turn():
            with self._session.cancellable():
                return await self._driver.run(flow, on_progress)

    async def close(self) -> None:
        """Free the port; it can be opened again at once. Waits for the operation in progress. Not the batch close."""
        self._check_not_within()
        async with self._lock:
            if not self._session.closed:
                self._session.closed = True
                await self._driver.run(self._session.closing())
                await self._driver.close()

    async def polling(self) -> PollReply:
        """Ask whether the terminal is there and ready (106); opens the link again if it was lost.

        Open money commands of an earlier run are asked about before it returns.
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
    ) -> SaleReply:
        """Charge ``amount`` (100): ``int`` wire units, or ``Decimal`` in the currency of a profile that has a scale.

        ``ticket`` is the register's own number, 1 to 24 characters; without one a unique one is made.
        ``on_progress`` is called with each progress message, and awaited if it is a coroutine function. ``timeout``
        replaces the sale's time limits, in seconds. A declined card is a result: look at ``approved``.
        """
        flow = self._session.sale(
            amount,
            ticket=ticket,
            sale_type=sale_type,
            print_on_pos=print_on_pos,
            employee_id=employee_id,
            send_message=on_progress is not None,
            timeout=timeout,
        )
        return await self._run_cancellable(flow, on_progress)

    async def void(self, operation_id: int, *, print_on_pos: bool = False) -> VoidReply:
        """Annul an operation of the open batch by its operation id (102; Getnet's own libraries call this *Refund*)."""
        return await self._run(self._session.void(operation_id, print_on_pos))

    async def refund(
        self,
        authorization_code: str,
        amount: Amount,
        *,
        print_on_pos: bool = False,
        original_date: date | str | None = None,
    ) -> RefundReply:
        """Give ``amount`` back by authorization code (108; Getnet's own libraries call this *Return*).

        ``original_date``, the day of the sale, is for Argentina's cloud.
        """
        flow = self._session.refund(authorization_code, amount, print_on_pos, original_date)
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
        return await self._run_cancellable(flow, on_progress)

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

    async def cancel_sale(self) -> Reply | None:
        """Ask the terminal to give up the sale in progress (116); call it from another task while it waits.

        It is a request, never a result: ``sale()`` itself returns what became of the sale, and this returns
        ``None``. With no sale in progress here the terminal is asked all the same, and its answer returned.
        """
        if self._session.cancel():
            self._driver.wake()
            return None
        if self._session.selling:
            return await self._driver.run(self._session.cancel_idle())
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
        self, command: Command[R], *, on_progress: OnProgress | None = None, timeout: float | None = None
    ) -> R:
        """Run any other command; one that moves money is recorded and recovered like a sale."""
        flow = self._session.request(command, timeout=timeout)
        return await (self._run_cancellable(flow, on_progress) if _takes_card(command) else self._run(flow))

    async def recover(self) -> list[Intent]:
        """Ask about every money command of this terminal that is still open; return those whose outcome nobody
        knows.
        """
        return await self._run(self._session.recover())


def _takes_card(command: Command[Any]) -> bool:
    # What is no command is refused by the flow.
    return isinstance(command, Command) and command.takes_card


def _limits(timeouts: Timeouts | None, profile: Profile) -> Timeouts:
    if not isinstance(profile, Profile):
        raise InvalidType(f"profile must be a Profile, such as Profile.CHILE, not {type(profile).__name__}")
    if timeouts is not None and not isinstance(timeouts, Timeouts):
        raise InvalidType(f"timeouts must be a Timeouts, such as Timeouts(sale=60), not {type(timeouts).__name__}")
    return timeouts or profile.timeouts


def _check_account(*settings: object) -> None:
    if any(setting is not None for setting in settings):
        raise ConfigurationError("an account has credentials, environment, client and profile of its own")


def _usb(port: str | None) -> str:
    return f"usb:{port or ''}"


def _address(host: str, port: int) -> tuple[str, int]:
    if not isinstance(host, str) or not host or any(c.isspace() or c in "/@" for c in host):
        raise InvalidValue("host must be a name or an address, such as 192.168.1.20, without a scheme or a path")
    return host, check_integer(port, "port", 1, 65535)


def _busy(session: Session) -> TerminalBusy:
    return TerminalBusy(f"{session.terminal} is busy with another operation")


def _within(session: Session) -> TerminalBusy:
    return TerminalBusy(
        f"{session.terminal} is busy with the operation that this is called from: only cancel_sale() may be "
        "called while it reports progress"
    )


def _trial(timeouts: Timeouts) -> Timeouts:
    """The time a port is given to show that it is a terminal."""
    return replace(timeouts, acknowledgement=min(1.0, timeouts.acknowledgement), short=min(2.5, timeouts.short))


def _not_found(tried: list[str]) -> ConnectError:
    return ConnectError(
        "no terminal was found: check that it is on, connected and in integrated mode, or name the port; tried: "
        + ("; ".join(tried) or "no serial port is there")
    )
