"""The command that shows the library at work: every step of a payment, with virtual terminals.

A section is a function that walks through steps; each transport has its own section.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..codec import BACKEND
from ..connector import AsyncConnector, Connector
from ..errors import AuthenticationError, ConfigurationError, GetnetError
from ..journal import SqliteJournal
from ..messages import Progress, ReportKind, Void
from ..profiles import Profile
from .ends import ExitCode, clean, counted
from .register import JsonOption
from .screen import console, print_document
from .simulate import missing_server, screen

if TYPE_CHECKING:
    from rich.console import Console

    from ..messages.terminals import TerminalList
    from ..simulator import ScreenServer, SerialServer, VirtualTerminal

__all__ = ["demo"]

_PATIENCE = 30.0
"""How many seconds to wait for a person to open the page of ``--screen``."""


def demo(
    as_json: JsonOption = False,
    with_screen: Annotated[
        bool,
        typer.Option(
            "--screen", help="Start with a sale that you pay on a web page; the second line of output has its URL."
        ),
    ] = False,
) -> int:
    """Show every step of a payment with virtual terminals. Nothing outside of this process is changed."""
    if os.name != "posix":
        raise ConfigurationError(
            "the demo needs a pseudo-terminal, which this system does not have: run getnet-pos simulate serial --port "
            "with one end of a pair of COM ports, and the other commands with its other end"
        )
    walk = Walk(None if as_json else console())
    walk.begin()
    with tempfile.TemporaryDirectory(prefix="getnet-pos-demo-") as folder, contextlib.ExitStack() as served:
        sections = _SECTIONS
        if with_screen:
            from ..simulator import SerialServer, VirtualTerminal

            server = SerialServer(VirtualTerminal())
            page = screen(server)
            served.enter_context(server)
            # With --json, standard output has only the document.
            print(f"screen on {served.enter_context(page).url}", file=sys.stderr if as_json else None, flush=True)
            sections = (("A terminal on a screen", partial(_on_screen, server=server, page=page)), *sections)
        for title, section in sections:
            with walk.section(title):
                section(walk, Path(folder))
    walk.end()
    return ExitCode.DONE if walk.good else ExitCode.REFUSED


@dataclass
class Step:
    """One step: its result, and whether that is as expected."""

    name: str
    result: str = ""
    good: bool = False
    milliseconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    def gave(self, result: str, good: bool) -> None:
        self.result, self.good = clean(result), good


class _Stop(Exception):
    """A step failed, so the rest of its section is skipped."""


class Walk:
    """The steps so far; each is shown when it ends."""

    def __init__(self, console: Console | None) -> None:
        self._console = console
        self._sections: list[tuple[str, list[Step]]] = []
        self._warned: set[str] = set()

    @property
    def good(self) -> bool:
        return all(step.good for _, steps in self._sections for step in steps)

    def begin(self) -> None:
        if self._console:
            self._console.print(f"codec: {BACKEND}")

    def end(self) -> None:
        steps = [step for _, steps in self._sections for step in steps]
        if self._console is None:
            sections = [
                {"title": title, "steps": [vars(step) for step in steps]} for title, steps in self._sections
            ]  # fmt: skip
            print_document({"backend": BACKEND, "good": self.good, "sections": sections})
        elif self.good:
            self._console.print(f"\nall {len(steps)} steps succeeded", style="bold green")
        else:
            self._console.print("\nthe demo failed", style="bold red")

    @contextlib.contextmanager
    def section(self, title: str) -> Iterator[None]:
        self._sections.append((title, []))
        if self._console:
            self._console.print(f"\n{title}", style="bold")
        try:
            yield
        except _Stop:
            pass
        except ModuleNotFoundError as error:
            name = missing_server(error)
            with self.step("left out") as step:
                step.gave(f'needs {name}: pip install "getnet-pos[all]"', good=True)

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Time the body, and show its result; end the section if that is wrong."""
        step = Step(name)
        self._sections[-1][1].append(step)
        began = time.perf_counter()
        caught: list[warnings.WarningMessage] = []
        try:
            with warnings.catch_warnings(record=True) as seen:
                caught = seen
                warnings.simplefilter("always")
                yield step
        except GetnetError as error:
            step.gave(f"{type(error).__name__}: {error}", good=False)
        step.milliseconds = round((time.perf_counter() - began) * 1000, 1)
        for warning in caught:
            note = f"{warning.category.__name__}: {clean(str(warning.message))}"
            if note not in self._warned:
                self._warned.add(note)
                step.notes.append(note)
        if self._console:
            self._show(self._console, step)
        if not step.good:
            raise _Stop

    def _show(self, console: Console, step: Step) -> None:
        from rich.table import Table

        row = Table.grid(padding=(0, 1), expand=False)
        for width, justify in ((2, "left"), (22, "left"), (42, "left"), (9, "right")):
            row.add_column(width=width, justify=justify, overflow="fold")  # type: ignore[arg-type]  # left or right
        row.add_row("ok" if step.good else "!!", step.name, step.result, f"{step.milliseconds:.1f} ms")
        for note in step.notes:
            row.add_row("", "", note, "")
        console.print(row, style=None if step.good else "bold red")


# ------------------------------------------------------------------------------------------------------------- sections


def _on_screen(walk: Walk, folder: Path, server: SerialServer, page: ScreenServer) -> None:
    terminal, path = server.terminal, folder / "screen.sqlite3"
    with walk.step("open the page") as step:
        opened = page.wait_for_page(_PATIENCE)
        step.gave("open" if opened else "not opened: the terminal approves by itself", good=True)
    with Connector.create_usb(server.device, journal=path) as pos:
        with walk.step("polling") as step:
            poll = pos.polling()
            step.gave("connected and ready", good=poll.approved)
        with walk.step("sale of 25000: pay it") as step:
            sale = pos.sale(25_000, ticket="S1")
            step.gave(_approval(sale), good=sale.approved == (terminal.ledger.charged() == 25_000))
    _compare(walk, terminal, path, balance=terminal.ledger.charged())


def _usb(walk: Walk, folder: Path) -> None:
    from ..simulator import Behaviour, Outcome, SerialServer, VirtualTerminal

    terminal, path = VirtualTerminal(), folder / "usb.sqlite3"
    with SerialServer(terminal, gap=0) as server:
        with walk.step("create connector") as step:
            pos = Connector.create_usb(server.device, journal=path)
            step.gave(server.device, good=True)
        with pos:
            with walk.step("polling") as step:
                poll = pos.polling()
                step.gave("connected and ready", good=poll.approved and poll.connected is True)
            with walk.step("sale of 25000") as step:
                heard: list[Progress] = []
                sale = pos.sale(25_000, ticket="A1234", on_progress=heard.append)
                step.notes += [f"progress: {clean(progress.text)}" for progress in heard]
                step.gave(_approval(sale), good=sale.approved and sale.amount == 25_000 and len(heard) == 3)
            with walk.step("last voucher") as step:
                voucher = pos.last_voucher()
                step.gave(
                    f"operation {voucher.operation_id}, card {voucher.last4_digits}",
                    good=(voucher.operation_id, voucher.last4_digits) == (sale.operation_id, sale.last4_digits),
                )
            with walk.step("void of that sale") as step:
                void = pos.void(sale.operation_id or 0)
                step.gave(_approval(void), good=void.approved)
            with walk.step("sale, declined") as step:
                terminal.script.append(Behaviour(outcome=Outcome.DECLINE))
                declined = pos.sale(7_000, ticket="A1235")
                step.gave(
                    f"declined ({declined.response_code}): {declined.response_message}", good=not declined.approved
                )
            with walk.step("second sale, 10000") as step:
                second = pos.sale(10_000, ticket="A1236")
                step.gave(_approval(second), good=second.approved and second.amount == 10_000)
            with walk.step("refund of 4000") as step:
                refund = pos.refund(second.authorization_code or "", 4_000)
                step.gave(_approval(refund), good=refund.approved)
            with walk.step("report: totals") as step:
                totals = pos.get_reports(ReportKind.TOTALS)
                step.gave(
                    f"{counted(totals.tx_count or 0, 'operation')}, {totals.tx_total} in all",
                    good=totals.tx_total == 6_000,
                )
            with walk.step("report: details") as step:
                details = pos.get_reports(ReportKind.DETAILS)
                step.gave(counted(len(details.sale_details), "operation"), good=len(details.sale_details) == 4)
            with walk.step("pre-authorization") as step:
                held = pos.pre_authorization(50_000, ticket="H1")
                step.gave(_approval(held), good=held.approved and terminal.ledger.held() == 50_000)
            with walk.step("its completion") as step:
                completed = pos.complete_pre_authorization(held.authorization_code or "", 45_000)
                step.gave(_approval(completed), good=completed.approved and terminal.ledger.held() == 0)
            with walk.step("close batch") as step:
                closed = pos.close_batch()
                step.gave("batch closed", good=closed.approved and len(terminal.ledger.closed) == 1)
            with walk.step("close") as step:
                pos.close()
                step.gave("port free", good=True)
    _compare(walk, terminal, path, balance=51_000)


def _usb_asyncio(walk: Walk, folder: Path) -> None:
    asyncio.run(_usb_async(walk, folder))


async def _usb_async(walk: Walk, folder: Path) -> None:
    from ..simulator import SerialServer, VirtualTerminal

    terminal, path = VirtualTerminal(), folder / "usb-asyncio.sqlite3"
    with SerialServer(terminal, gap=0) as server:
        async with AsyncConnector.create_usb(server.device, journal=path) as pos:
            with walk.step("polling") as step:
                poll = await pos.polling()
                step.gave("connected and ready", good=poll.approved and poll.connected is True)
            with walk.step("sale of 25000") as step:
                sale = await pos.sale(25_000, ticket="B1")
                step.gave(_approval(sale), good=sale.approved and sale.amount == 25_000)
            with walk.step("void of that sale") as step:
                void = await pos.void(sale.operation_id or 0)
                step.gave(_approval(void), good=void.approved)
            with walk.step("report: totals") as step:
                totals = await pos.get_reports(ReportKind.TOTALS)
                step.gave(
                    f"{counted(totals.tx_count or 0, 'operation')}, {totals.tx_total} in all", good=totals.tx_total == 0
                )
            with walk.step("close batch") as step:
                closed = await pos.close_batch()
                step.gave("batch closed", good=closed.approved)
            with walk.step("close") as step:
                await pos.close()
                step.gave("port free", good=True)
    _compare(walk, terminal, path, balance=0)


def _tcp(walk: Walk, folder: Path) -> None:
    from ..simulator import TcpServer, VirtualTerminal

    terminal, path = VirtualTerminal(), folder / "tcp.sqlite3"
    with TcpServer(terminal, gap=0) as server:
        _lifecycle(walk, terminal, path, lambda: Connector.create_tcp(*server.address, journal=path), {Void.code})


def _http(walk: Walk, folder: Path) -> None:
    from ..simulator import VirtualTerminal
    from ..simulator.http import HttpServer

    terminal, path = VirtualTerminal(), folder / "http.sqlite3"
    with HttpServer(terminal, gap=0) as server:
        _lifecycle(walk, terminal, path, lambda: Connector.create_http(server.url, journal=path), {Void.code})


def _cloud(profile: Profile) -> Callable[[Walk, Path], None]:
    def section(walk: Walk, folder: Path) -> None:
        from ..simulator import asgi
        from ..simulator.cloud import VirtualCloud

        del asgi  # imported to fail here if the extra is not installed
        path = folder / f"cloud-{profile.name}.sqlite3"
        with VirtualCloud(profile=profile) as cloud:
            create = partial(Connector.create_cloud, client_id="demo", client_secret="demo secret")
            _lifecycle(
                walk,
                cloud.terminal,
                path,
                lambda: create(cloud.url, key_pos=cloud.key_pos, profile=profile, journal=path),
                profile.cloud.endpoints if profile.cloud else (),
            )

    return section


def _lifecycle(
    walk: Walk, terminal: VirtualTerminal, journal: Path, create: Callable[[], Connector], codes: Collection[int]
) -> None:
    """Connect, poll, sell, and void if that is among the commands ``codes``, over any link."""
    with walk.step("create connector") as step:
        pos = create()
        step.gave(repr(pos), good=True)
    with pos:
        with walk.step("polling") as step:
            poll = pos.polling()
            step.gave("connected and ready", good=poll.approved)
        with walk.step("sale of 25000") as step:
            sale = pos.sale(25_000, ticket="A1234")
            step.gave(_approval(sale), good=sale.approved and terminal.ledger.balance() == 25_000)
        with walk.step("second sale, 10000") as step:
            second = pos.sale(10_000, ticket="A1235")
            step.gave(_approval(second), good=second.approved)
        if Void.code in codes:
            with walk.step("void of the first") as step:
                void = pos.void(sale.operation_id or 0)
                step.gave(_approval(void), good=void.approved)
        with walk.step("close") as step:
            pos.close()
            step.gave("closed", good=True)
    _compare(walk, terminal, journal, balance=10_000 if Void.code in codes else 35_000)


def _equipment(walk: Walk, folder: Path) -> None:
    from ..equipment import AsyncEquipmentClient, EquipmentClient
    from ..oauth import ClientCredentials
    from ..simulator.equipment import EquipmentServer

    async def list_async() -> TerminalList:
        async with AsyncEquipmentClient(server.base_url, token=token) as api:
            return await api.list_active_terminals("10000")

    with EquipmentServer() as server:
        token = ClientCredentials(server.token_url, "demo", "demo secret")
        with walk.step("EquipmentClient") as step, EquipmentClient(server.base_url, token=token) as api:
            listed = api.list_active_terminals("count-3")
            step.notes += [
                f"{terminal.payment_terminal_serial_number}: {terminal.payment_terminal_model}" for terminal in listed
            ]
            step.gave(f"merchant {listed.merchant_id}: {counted(len(listed), 'terminal')}", good=len(listed) == 3)
        with walk.step("AsyncEquipmentClient") as step:
            listed = asyncio.run(list_async())
            step.gave(f"merchant {listed.merchant_id}: {counted(len(listed), 'terminal')}", good=len(listed) == 1)
        with walk.step("refused token") as step, EquipmentClient(server.base_url, token="ended") as api:
            server.simulator.tokens = ()
            try:
                api.list_active_terminals("10000")
            except AuthenticationError as error:
                step.gave(f"AuthenticationError, status {error.status}", good=True)


def _approval(reply: Any) -> str:
    if not reply.approved:
        return f"not approved ({reply.response_code}): {reply.response_message}"
    return f"approved: {reply.authorization_code}, operation {reply.operation_id}"


def _compare(walk: Walk, terminal: VirtualTerminal, journal: Path, *, balance: int) -> None:
    """Compare the register's journal with the terminal's ledger."""
    with walk.step("journal and ledger") as step, contextlib.closing(SqliteJournal(journal)) as kept:
        settled, open_ones = len(kept.intents(settled=True)), len(kept.intents())
        step.gave(
            f"{counted(settled, 'payment command')}, none unknown; {terminal.ledger.balance()} charged in the end",
            good=open_ones == 0 and terminal.ledger.balance() == balance,
        )


_SECTIONS: tuple[tuple[str, Callable[[Walk, Path], None]], ...] = (
    ("USB, with Connector", _usb),
    ("USB, with AsyncConnector", _usb_asyncio),
    ("TCP", _tcp),
    ("HTTP", _http),
    ("Cloud-to-Cloud, Chile", _cloud(Profile.CHILE)),
    ("Cloud-to-Cloud, Argentina", _cloud(Profile.ARGENTINA)),
    ("Terminals of a merchant, over HTTP", _equipment),
)
