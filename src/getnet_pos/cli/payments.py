"""The commands that talk to a terminal."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from enum import Enum
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from ..connector import AsyncConnector
from ..errors import GetnetError, InvalidValue, PortBusy, TransportError, UnsupportedOperation
from ..messages import Duplicate, PrintDocument, Refund, ReportKind, Sale, Void
from ..messages.documents import reply_document
from .amounts import read_amount, show_amount
from .ends import ExitCode
from .outcomes import answer, outcomes, recovery_document, show_recovery
from .register import Register, is_ready, terminal_command
from .screen import Screen
from .shown import show_reply

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "AmountArgument",
    "EmployeeOption",
    "PrintOption",
    "cancel",
    "cancelled_by_hand",
    "close_batch",
    "duplicate",
    "last",
    "poll",
    "print_lines",
    "recover",
    "refund",
    "report",
    "sale",
    "sales_by_seller",
    "tips",
    "void",
]

T = TypeVar("T")

AmountArgument = Annotated[
    str, typer.Argument(metavar="AMOUNT", help="Wire units, such as 25000, or currency, such as 250.00.")
]
EmployeeOption = Annotated[int, typer.Option(min=1, max=9999, help="The employee's number.")]
PrintOption = Annotated[bool, typer.Option("--print", help="Have the terminal print the voucher.")]
_KeyOption = Annotated[
    str | None,
    typer.Option(
        "--idempotency-key",
        metavar="TEXT",
        help="Your own key for this payment: repeated with the same key, it is paid once.",
    ),
]
_AgainOption = Annotated[
    bool, typer.Option("--again", help="Pay once more on purpose, although the same payment went through before.")
]


class ReportName(str, Enum):
    TOTALS = "totals"
    DETAILS = "details"
    SELLERS = "sellers"
    TIPS = "tips"
    PARAMETERS = "parameters"
    SIM = "sim"


_KINDS = {ReportName.SELLERS: ReportKind.SALES_BY_SELLER}


@terminal_command
async def poll(register: Register) -> int:
    """Check that the terminal is there and ready, and settle earlier payments that are still open."""
    async with register.opened() as pos:
        with register.screen.waiting("asking whether the terminal is ready ..."):
            polled = await pos.polling()
    reply, found = answer(polled), outcomes(polled)

    def show(console: Console) -> None:
        show_reply(console, reply, None)
        show_recovery(console, found, register.settings)

    register.screen.result({**reply_document(reply), **recovery_document(found)}, show)
    return ExitCode.DONE if is_ready(polled) else ExitCode.REFUSED


@terminal_command
async def sale(
    register: Register,
    amount: AmountArgument,
    ticket: Annotated[
        str | None, typer.Option(help="Your own number for this sale; one is generated unless given.")
    ] = None,
    sale_type: Annotated[
        int,
        typer.Option(
            "--type",
            min=0,
            max=99,
            help="0 plain sale, 1 taxed sale, 2 taxed invoice, 3 exempt sale, 4 exempt invoice, 5 taxed collection, "
            "6 exempt collection.",
        ),
    ] = 0,
    employee: EmployeeOption = 1,
    idempotency_key: _KeyOption = None,
    again: _AgainOption = False,
    print_on_pos: PrintOption = False,
) -> int:
    """Charge AMOUNT to a card. Ctrl-C asks the terminal to cancel; a second Ctrl-C stops waiting."""
    units = read_amount(amount, register.settings)
    Sale(units, ticket, print_on_pos, sale_type, employee_id=employee)
    screen = register.screen
    async with register.ready() as pos:
        with screen.waiting(f"sale of {show_amount(units, register.settings)} ..."):
            selling = pos.sale(
                units,
                ticket=ticket,
                sale_type=sale_type,
                print_on_pos=print_on_pos,
                employee_id=employee,
                on_progress=screen.progress,
                timeout=register.timeout,
                idempotency_key=idempotency_key,
                again=again,
            )
            reply = await cancelled_by_hand(pos, selling, screen)
    return register.end(reply)


@terminal_command
async def void(
    register: Register,
    operation_id: Annotated[
        int, typer.Argument(metavar="OPERATION_ID", help="The id of an operation in the open batch.")
    ],
    idempotency_key: _KeyOption = None,
    print_on_pos: PrintOption = False,
) -> int:
    """Void an operation of the open batch. Getnet's own libraries call this Refund."""
    Void(operation_id)
    async with register.ready() as pos:
        with register.screen.waiting(f"void of operation {operation_id} ..."):
            reply = await pos.void(operation_id, print_on_pos=print_on_pos, idempotency_key=idempotency_key)
    return register.end(reply)


@terminal_command
async def refund(
    register: Register,
    authorization_code: Annotated[
        str, typer.Argument(metavar="AUTHORIZATION_CODE", help="The sale's authorization code.")
    ],
    amount: AmountArgument,
    idempotency_key: _KeyOption = None,
    again: _AgainOption = False,
    print_on_pos: PrintOption = False,
) -> int:
    """Refund AMOUNT of a sale, by its authorization code. Getnet's own libraries call this Return."""
    units = read_amount(amount, register.settings)
    Refund(authorization_code, units)
    async with register.ready() as pos:
        with register.screen.waiting(f"refund of {show_amount(units, register.settings)} ..."):
            reply = await pos.refund(
                authorization_code, units, print_on_pos=print_on_pos, idempotency_key=idempotency_key, again=again
            )
    return register.end(reply)


@terminal_command
async def report(
    register: Register,
    kind: Annotated[ReportName, typer.Argument(metavar="KIND", help="One of: " + ", ".join(ReportName) + ".")],
    employee: Annotated[int, typer.Option(min=1, max=9999, help="The employee's number, for sellers and tips.")] = 1,
    print_on_pos: PrintOption = False,
) -> int:
    """Show one of the terminal's reports."""
    return await _reported(register, kind, employee, print_on_pos)


@terminal_command
async def sales_by_seller(register: Register, employee: EmployeeOption = 1, print_on_pos: PrintOption = False) -> int:
    """Show the sales of one employee in the open batch."""
    return await _reported(register, ReportName.SELLERS, employee, print_on_pos)


@terminal_command
async def tips(register: Register, employee: EmployeeOption = 1, print_on_pos: PrintOption = False) -> int:
    """Show the tips of the open batch."""
    return await _reported(register, ReportName.TIPS, employee, print_on_pos)


async def _reported(register: Register, kind: ReportName, employee: int, print_on_pos: bool) -> int:
    wanted = _KINDS.get(kind) or ReportKind[kind.name]
    async with register.ready() as pos:
        with register.screen.waiting(f"{kind.value} ..."):
            reply = await pos.get_reports(wanted, print_on_pos=print_on_pos, employee_id=employee)
    return register.end(reply)


@terminal_command
async def last(register: Register, print_on_pos: PrintOption = False) -> int:
    """Show the terminal's last recorded operation."""
    async with register.ready() as pos:
        with register.screen.waiting("the last voucher ..."):
            reply = await pos.last_voucher(print_on_pos=print_on_pos)
    return register.end(reply)


@terminal_command
async def duplicate(
    register: Register,
    operation_id: Annotated[int, typer.Argument(metavar="OPERATION_ID", help="The id of the voucher's operation.")],
    print_on_pos: PrintOption = False,
) -> int:
    """Show the voucher of an operation again."""
    Duplicate(operation_id)
    async with register.ready() as pos:
        with register.screen.waiting(f"the voucher of operation {operation_id} ..."):
            reply = await pos.duplicate(operation_id, print_on_pos=print_on_pos)
    return register.end(reply)


@terminal_command
async def close_batch(register: Register, print_on_pos: PrintOption = False) -> int:
    """Close the day's batch: its operations can no longer be voided."""
    async with register.ready() as pos:
        with register.screen.waiting("closing the batch ..."):
            reply = await pos.close_batch(print_on_pos=print_on_pos)
    return register.end(reply)


@terminal_command
async def cancel(register: Register) -> int:
    """Ask the terminal to cancel the sale that another process is waiting for.

    This is a request: the process that began the sale shows the result. Ctrl-C in that process does the same. A serial
    port serves one process at a time, so this command works only over TCP, over HTTP and through Argentina's cloud.
    """
    screen = register.screen
    try:
        async with register.opened() as pos:
            with screen.waiting("asking the terminal to cancel ..."):
                reply = await pos.cancel_sale()
    except PortBusy as error:
        raise PortBusy(
            f"{register.link.where or 'the port'} is in use by another process, and a serial port serves one process: "
            "press Ctrl-C in the process that began the sale, or cancel on the terminal"
        ) from error
    except UnsupportedOperation as error:
        raise UnsupportedOperation("a sale cannot be cancelled over this link: cancel it on the terminal") from error
    except TransportError:
        screen.note("if the sale goes on, press Ctrl-C in the process that began it, or cancel on the terminal")
        raise
    assert reply is not None, "no sale is in progress in this process"

    def show(console: Console) -> None:
        if reply.approved:
            console.print("the terminal accepted the request; the sale itself reports its outcome", soft_wrap=True)
        else:
            show_reply(console, reply, None)

    screen.result(reply_document(reply), show)
    return ExitCode.DONE if reply.approved else ExitCode.REFUSED


@terminal_command
async def print_lines(
    register: Register,
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="The text, in UTF-8; without it, it is read from stdin.")
    ] = None,
) -> int:
    """Print lines of text on the terminal, each at most 48 characters (Chile's cloud)."""
    lines = _text(file).splitlines()
    PrintDocument(lines)
    async with register.ready() as pos:
        with register.screen.waiting("printing ..."):
            reply = await pos.print_document(lines)
    return register.end(reply)


def _text(file: Path | None) -> str:
    try:
        return (sys.stdin.buffer.read() if file is None else file.read_bytes()).decode("utf-8-sig")
    except FileNotFoundError:
        raise InvalidValue(f"print needs a text FILE; {str(file)!a} does not exist") from None
    except OSError as error:
        raise InvalidValue(f"{file} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError:
        raise InvalidValue("the text is not UTF-8") from None


@terminal_command
async def recover(register: Register) -> int:
    """Query the terminal about every payment that is not settled, and show the results.

    It keeps asking for as long as a payment may still be in progress: five minutes for a sale, or what --timeout says.
    The exit code is 5 while an outcome is unknown, also that of a terminal that is not connected here.
    """
    async with register.opened() as pos:
        with register.screen.waiting("querying payments that are not settled ..."):
            polled = await register.polled(pos)
            found = outcomes(polled, await pos.recover())

    def show(console: Console) -> None:
        if not show_recovery(console, found, register.settings):
            console.print("every payment is settled")

    register.screen.result(recovery_document(found), show)
    return ExitCode.UNKNOWN if found or found.elsewhere else ExitCode.DONE


async def cancelled_by_hand(pos: AsyncConnector, selling: Coroutine[Any, Any, T], screen: Screen) -> T:
    """What ``selling`` returns; Ctrl-C asks the terminal to cancel, a second one raises ``CancelledError``."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(selling)
    asking: list[asyncio.Task[None]] = []

    async def ask() -> None:
        screen.note("asking the terminal to cancel; press Ctrl-C again to stop waiting")
        try:
            await pos.cancel_sale()
        except GetnetError as error:
            screen.note(str(error))

    def interrupt() -> None:
        if asking:
            task.cancel()
        else:
            asking.append(loop.create_task(ask()))

    try:
        with _interrupts(loop, interrupt):
            return await task
    finally:
        for request in asking:
            request.cancel()


@contextlib.contextmanager
def _interrupts(loop: asyncio.AbstractEventLoop, then: Callable[[], None]) -> Iterator[None]:
    """Have Ctrl-C call ``then`` within the body."""

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(then)

    before = signal.getsignal(signal.SIGINT)
    try:
        # A signal that comes right before the loop falls asleep wakes only a loop that knows of it.
        loop.add_signal_handler(signal.SIGINT, then)
    except NotImplementedError:  # on Windows
        signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        with contextlib.suppress(NotImplementedError):  # on Windows
            loop.remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, before)
