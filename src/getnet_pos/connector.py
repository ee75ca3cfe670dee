"""What a caller holds: ``Connector``, which blocks, and ``AsyncConnector``; the same flows under two drivers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from dataclasses import replace
from types import TracebackType
from typing import Any, Literal, TypeVar, cast, overload

from .drivers.aio import AsyncDriver
from .drivers.blocking import BlockingDriver
from .errors import ConnectError, GetnetError, TerminalBusy
from .flows.effects import Flow
from .journal import DEFAULT_JOURNAL, Journal, JournalSource, open_journal
from .messages import (
    CloseBatch,
    CloseBatchReply,
    Command,
    DefaultSaleTypeReply,
    DetailsReply,
    Duplicate,
    DuplicateReply,
    Intent,
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
from .money import Amount
from .profiles import Profile, Timeouts
from .session import OnProgress, Session
from .transports import AsyncTransport, Transport
from .transports.serial import AsyncSerialTransport, SerialTransport, candidate_ports

__all__ = ["AsyncConnector", "Connector"]

log = logging.getLogger("getnet_pos.connector")

T = TypeVar("T")


class Connector:
    """Drives one terminal, blocking the calling thread. Make one with ``create_usb``.

    ``polling()`` must succeed before any other operation, and ``close()`` ends it; ``with`` always closes. One
    operation runs at a time: a second one waits for it, up to ``Timeouts.busy``, then raises ``TerminalBusy``.

    Every operation raises ``LifecycleError`` out of order, ``InvalidValue`` for a value that cannot be meant,
    ``TransportError`` when the link fails and ``ProtocolError`` when the terminal breaks the protocol. Those that move
    money raise ``OutcomeUnknown`` instead whenever money may have moved, and ``JournalError``, with nothing sent, when
    the journal cannot be written.
    """

    def __init__(self, transport: Transport, session: Session, journal: Journal) -> None:
        self._driver = BlockingDriver(transport, journal)
        self._session = session
        self._lock = threading.Lock()

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

        limits = timeouts or profile.timeouts
        kept = open_journal(journal)
        if port is None:
            tried = candidate_ports()
            for name in tried:
                driver = BlockingDriver(SerialTransport(name, baudrate=baudrate), kept)
                trial = Session(_usb(name), wire=wire, profile=profile, timeouts=_trial(limits))
                try:
                    if driver.run(trial.looks_ready()):
                        port = name
                        break
                except GetnetError as error:
                    log.info("%s is no terminal: %s", name, error)
                finally:
                    driver.transport.close()
            else:
                raise _not_found(tried)
        session = Session(_usb(port), wire=wire, profile=profile, timeouts=limits)
        connector = cls(SerialTransport(port, baudrate=baudrate), session, kept)
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
        if not self._lock.acquire(timeout=self._session.timeouts.busy):
            raise _busy(self._session)
        try:
            self._session.check_not_closed()
            yield
        finally:
            self._lock.release()

    def _run(self, flow: Flow[T]) -> T:
        self._session.check_not_closed()
        with self._turn():
            return self._driver.run(flow)

    def _run_cancellable(self, flow: Flow[T], on_progress: OnProgress | None) -> T:
        self._session.check_not_closed()
        with self._turn(), self._session.cancellable():
            return self._driver.run(flow, on_progress)

    def close(self) -> None:
        """Free the port; it can be opened again at once. Waits for the operation in progress. Not the batch close."""
        with self._lock:
            if not self._session.closed:
                self._session.closed = True
                self._driver.run(self._session.till.link.close())

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
        return cast("SaleReply", self._run_cancellable(flow, on_progress))

    def void(self, operation_id: int, *, print_on_pos: bool = False) -> VoidReply:
        """Annul an operation of the open batch by its operation id (102; Getnet's own libraries call this *Refund*)."""
        return cast("VoidReply", self._run(self._session.void(operation_id, print_on_pos)))

    def refund(self, authorization_code: str, amount: Amount, *, print_on_pos: bool = False) -> RefundReply:
        """Give ``amount`` back by authorization code (108; Getnet's own libraries call this *Return*)."""
        return cast("RefundReply", self._run(self._session.refund(authorization_code, amount, print_on_pos)))

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
        return cast("PreAuthorizationReply", self._run_cancellable(flow, on_progress))

    def complete_pre_authorization(
        self, authorization_code: str, amount: Amount, *, print_on_pos: bool = False
    ) -> PreAuthorizationCompletionReply:
        """Charge ``amount`` of what was held under ``authorization_code``."""
        self._session.warn_if_provisional(stacklevel=2)
        flow = self._session.complete_pre_authorization(authorization_code, amount, print_on_pos)
        return cast("PreAuthorizationCompletionReply", self._run(flow))

    def release_pre_authorization(
        self, authorization_code: str, *, print_on_pos: bool = False
    ) -> PreAuthorizationReleaseReply:
        """Let go of what was held under ``authorization_code``."""
        self._session.warn_if_provisional(stacklevel=2)
        flow = self._session.release_pre_authorization(authorization_code, print_on_pos)
        return cast("PreAuthorizationReleaseReply", self._run(flow))

    def cancel_sale(self) -> Reply | None:
        """Ask the terminal to give up the sale in progress (116); call it from another thread while it waits.

        It is a request, never a result: ``sale()`` itself returns what became of the sale, and this returns
        ``None``. With no sale in progress here the terminal is asked all the same, and its answer returned.
        """
        if self._session.cancel():
            self._driver.transport.wake()
            return None
        return self._run(self._session.cancel_idle())

    def last_voucher(self, *, print_on_pos: bool = False) -> VoucherReply:
        """The terminal's last recorded operation (101), under that operation's own function code where the firmware
        does so.
        """
        return cast("VoucherReply", self._run(self._session.request(LastVoucher(print_on_pos))))

    def duplicate(self, operation_id: int, *, print_on_pos: bool = False) -> DuplicateReply:
        """A copy of a voucher by its operation id (109)."""
        return cast("DuplicateReply", self._run(self._session.request(Duplicate(operation_id, print_on_pos))))

    def close_batch(self, *, print_on_pos: bool = False) -> CloseBatchReply:
        """Close the day's batch (103)."""
        return cast("CloseBatchReply", self._run(self._session.request(CloseBatch(print_on_pos))))

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
        """One of the terminal's reports (104, 105, 110, 111, 114, 115). ``employee_id`` is for sales by seller and
        tips.
        """
        return self._run(self._session.report(kind, print_on_pos=print_on_pos, employee_id=employee_id))

    def set_default_sale_type(self, sale_type: SaleType | int) -> DefaultSaleTypeReply:
        """Set what a sale is when it does not say (113)."""
        return cast("DefaultSaleTypeReply", self._run(self._session.request(SetDefaultSaleType(sale_type))))

    def set_normal_mode(self) -> NormalModeReply:
        """Have the terminal leave the integrated mode (107)."""
        return cast("NormalModeReply", self._run(self._session.request(SetNormalMode())))

    def request(self, command: Command, *, timeout: float | None = None) -> Reply:
        """Run any other command; one that moves money is recorded and recovered like a sale."""
        return self._run(self._session.request(command, timeout=timeout))

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
        transport: AsyncTransport,
        session: Session,
        journal: Journal,
        *,
        find: Callable[[AsyncDriver], Awaitable[AsyncTransport]] | None = None,
    ) -> None:
        self._driver = AsyncDriver(transport, journal)
        self._session = session
        self._find = find
        self._lock = asyncio.Lock()

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
        limits = timeouts or profile.timeouts
        session = Session(_usb(port), wire=wire, profile=profile, timeouts=limits)

        async def find(driver: AsyncDriver) -> AsyncTransport:
            tried = candidate_ports()
            for name in tried:
                driver.transport = AsyncSerialTransport(name, baudrate=baudrate)
                trial = Session(_usb(name), wire=wire, profile=profile, timeouts=_trial(limits))
                try:
                    if await driver.run(trial.looks_ready()):
                        return AsyncSerialTransport(name, baudrate=baudrate)
                except GetnetError as error:
                    log.info("%s is no terminal: %s", name, error)
                finally:
                    await driver.transport.close()
            raise _not_found(tried)

        transport = AsyncSerialTransport(port or "", baudrate=baudrate)
        return cls(transport, session, open_journal(journal), find=find if port is None else None)

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
            self._session.check_not_closed()
            if self._find is not None:
                self._driver.transport = await self._find(self._driver)
                self._session.till.terminal = _usb(self._driver.transport.name)
                self._find = None
            yield
        finally:
            self._lock.release()

    async def _run(self, flow: Flow[T]) -> T:
        self._session.check_not_closed()
        async with self._turn():
            return await self._driver.run(flow)

    async def _run_cancellable(self, flow: Flow[T], on_progress: OnProgress | None) -> T:
        self._session.check_not_closed()
        async with self._turn():
            with self._session.cancellable():
                return await self._driver.run(flow, on_progress)

    async def close(self) -> None:
        """Free the port; it can be opened again at once. Waits for the operation in progress. Not the batch close."""
        async with self._lock:
            if not self._session.closed:
                self._session.closed = True
                await self._driver.run(self._session.till.link.close())

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
        return cast("SaleReply", await self._run_cancellable(flow, on_progress))

    async def void(self, operation_id: int, *, print_on_pos: bool = False) -> VoidReply:
        """Annul an operation of the open batch by its operation id (102; Getnet's own libraries call this *Refund*)."""
        return cast("VoidReply", await self._run(self._session.void(operation_id, print_on_pos)))

    async def refund(self, authorization_code: str, amount: Amount, *, print_on_pos: bool = False) -> RefundReply:
        """Give ``amount`` back by authorization code (108; Getnet's own libraries call this *Return*)."""
        return cast("RefundReply", await self._run(self._session.refund(authorization_code, amount, print_on_pos)))

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
        return cast("PreAuthorizationReply", await self._run_cancellable(flow, on_progress))

    async def complete_pre_authorization(
        self, authorization_code: str, amount: Amount, *, print_on_pos: bool = False
    ) -> PreAuthorizationCompletionReply:
        """Charge ``amount`` of what was held under ``authorization_code``."""
        self._session.warn_if_provisional(stacklevel=2)
        flow = self._session.complete_pre_authorization(authorization_code, amount, print_on_pos)
        return cast("PreAuthorizationCompletionReply", await self._run(flow))

    async def release_pre_authorization(
        self, authorization_code: str, *, print_on_pos: bool = False
    ) -> PreAuthorizationReleaseReply:
        """Let go of what was held under ``authorization_code``."""
        self._session.warn_if_provisional(stacklevel=2)
        flow = self._session.release_pre_authorization(authorization_code, print_on_pos)
        return cast("PreAuthorizationReleaseReply", await self._run(flow))

    async def cancel_sale(self) -> Reply | None:
        """Ask the terminal to give up the sale in progress (116); call it from another task while it waits.

        It is a request, never a result: ``sale()`` itself returns what became of the sale, and this returns
        ``None``. With no sale in progress here the terminal is asked all the same, and its answer returned.
        """
        if self._session.cancel():
            self._driver.transport.wake()
            return None
        return await self._run(self._session.cancel_idle())

    async def last_voucher(self, *, print_on_pos: bool = False) -> VoucherReply:
        """The terminal's last recorded operation (101), under that operation's own function code where the firmware
        does so.
        """
        return cast("VoucherReply", await self._run(self._session.request(LastVoucher(print_on_pos))))

    async def duplicate(self, operation_id: int, *, print_on_pos: bool = False) -> DuplicateReply:
        """A copy of a voucher by its operation id (109)."""
        return cast("DuplicateReply", await self._run(self._session.request(Duplicate(operation_id, print_on_pos))))

    async def close_batch(self, *, print_on_pos: bool = False) -> CloseBatchReply:
        """Close the day's batch (103)."""
        return cast("CloseBatchReply", await self._run(self._session.request(CloseBatch(print_on_pos))))

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
        """One of the terminal's reports (104, 105, 110, 111, 114, 115). ``employee_id`` is for sales by seller and
        tips.
        """
        return await self._run(self._session.report(kind, print_on_pos=print_on_pos, employee_id=employee_id))

    async def set_default_sale_type(self, sale_type: SaleType | int) -> DefaultSaleTypeReply:
        """Set what a sale is when it does not say (113)."""
        return cast("DefaultSaleTypeReply", await self._run(self._session.request(SetDefaultSaleType(sale_type))))

    async def set_normal_mode(self) -> NormalModeReply:
        """Have the terminal leave the integrated mode (107)."""
        return cast("NormalModeReply", await self._run(self._session.request(SetNormalMode())))

    async def request(self, command: Command, *, timeout: float | None = None) -> Reply:
        """Run any other command; one that moves money is recorded and recovered like a sale."""
        return await self._run(self._session.request(command, timeout=timeout))

    async def recover(self) -> list[Intent]:
        """Ask about every money command of this terminal that is still open; return those whose outcome nobody
        knows.
        """
        return await self._run(self._session.recover())


def _usb(port: str | None) -> str:
    return f"usb:{port or ''}"


def _busy(session: Session) -> TerminalBusy:
    return TerminalBusy(f"{session.till.terminal} is busy with another operation")


def _trial(timeouts: Timeouts) -> Timeouts:
    """The time a port is given to show that it is a terminal."""
    return replace(timeouts, acknowledgement=min(1.0, timeouts.acknowledgement), short=min(2.5, timeouts.short))


def _not_found(tried: list[str]) -> ConnectError:
    return ConnectError(
        "no terminal was found: check that it is on, connected and in integrated mode, or name the port; tried: "
        + (", ".join(tried) or "no serial port is there")
    )
