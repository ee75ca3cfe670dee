"""A pytest plugin for programs that use this library: virtual terminals, a cloud and an equipment API as fixtures.

pytest loads it wherever the library is installed, so until a fixture is used it imports nothing but pytest. The
fixtures and markers are explained in docs/guides/testing.md.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from difflib import get_close_matches
from importlib.util import find_spec
from inspect import signature
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from .connector import AsyncConnector, Connector
    from .journal import MemoryJournal
    from .messages import Intent
    from .profiles import Profile, Timeouts
    from .simulator import NetworkFault, SerialServer, TcpServer, VirtualTerminal
    from .simulator.cloud import VirtualCloud
    from .simulator.equipment import EquipmentServer
    from .simulator.http import HttpServer

    AnyConnector = TypeVar("AnyConnector", Connector, AsyncConnector)

_LINKS = ("getnet_serial", "getnet_tcp", "getnet_http", "getnet_cloud")
_MARKERS = (
    "getnet_terminal(script=[...], faults=[...], ...): the arguments of the test's VirtualTerminal; the faults (Fault, "
    "NetworkFault) count from the first line of the test",
    "getnet_cloud(script=[...], faults=[...], ...): the arguments of the test's VirtualCloud; the faults (CloudFault) "
    "count from the first line of the test",
)


class _Bench:
    """What one test uses."""

    def __init__(self, journal: Path, memory: MemoryJournal) -> None:
        self.journal = journal
        self.memory = memory
        self.terminals: list[VirtualTerminal] = []
        self.faults: list[tuple[Callable[[Any], object], Any]] = []
        """The faults to inject when the test begins, each with the method that injects it."""
        self.network_faults: list[NetworkFault] = []
        """Faults that wait for a link."""
        self.counts_frames = False
        """Whether any fault counts the frames of the link."""

    def begin(self) -> None:
        """Inject the faults, which count from now on."""
        # The register's acknowledgement of its last command may still be in transit: it would count as the first frame.
        deadline = time.monotonic() + 0.5
        while self.counts_frames and time.monotonic() < deadline:
            if all(terminal.acknowledgements >= len(terminal.commands) for terminal in self.terminals):
                break
            time.sleep(0.002)
        for inject, fault in self.faults:
            inject(fault)

    def arm(self, inject: Callable[[Any], object], faults: Iterable[Any]) -> None:
        self.faults += [(inject, fault) for fault in faults]


_BENCH = pytest.StashKey[_Bench]()


# --------------------------------------------------------------------------------------------------------------- hooks


def pytest_configure(config: pytest.Config) -> None:
    for line in _MARKERS:
        config.addinivalue_line("markers", line)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Faults count from here, so that they do not affect what the fixtures do before."""
    bench = item.stash.get(_BENCH, None)
    if bench is not None:
        bench.begin()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    outcome = yield
    report = outcome.get_result()
    bench = item.stash.get(_BENCH, None)
    if bench is not None and report.when == "call" and report.failed:
        report.sections += _sections(bench)


def _sections(bench: _Bench) -> Iterator[tuple[str, str]]:
    """Sections for the report of a failed test: the terminals' ledgers, and the register's journal."""
    from .errors import JournalError
    from .journal import SqliteJournal

    for terminal in bench.terminals:
        got = [(name, len(list(same))) for name, same in groupby(_name(command.code) for command in terminal.commands)]
        commands = ", ".join(name if times == 1 else f"{name} ({times} times)" for name, times in got) or "none"
        text = f"{terminal.ledger}\ncommands: {commands}"
        yield f"ledger of the virtual terminal {terminal.identity.terminal_id}", text
    intents = bench.memory.intents(settled=True)
    if bench.journal.exists():
        try:
            journal = SqliteJournal(bench.journal)
            intents += journal.intents(settled=True)
            journal.close()
        except JournalError as error:
            yield "journal of the register", str(error)
    if intents:
        yield "journal of the register", "\n".join(map(_line, intents))


def _line(intent: Intent) -> str:
    from .masking import mask

    amount = "" if intent.amount is None else f", amount {intent.amount}"
    ticket = "" if intent.ticket is None else f", ticket {mask(intent.ticket)!r}"
    reason = "" if intent.reason is None else f" ({intent.reason})"
    return f"{_name(intent.command)}{amount}{ticket}: {intent.state}{reason}"


def _name(code: int) -> str:
    from .messages import CATALOGUE

    kind = CATALOGUE.kind(code)
    return f"command {code}" if kind is None else kind.__name__


# ------------------------------------------------------------------------------------------------------------- settings


def _settings(request: pytest.FixtureRequest, name: str, kind: type) -> dict[str, Any]:
    """The arguments for ``kind`` in the marks ``name``. A test's override its class's, and those its module's."""
    settings: dict[str, Any] = {}
    for mark in request.node.iter_markers(name):
        if mark.args:
            pytest.fail(f"the marker {name} only takes keyword arguments, such as script=[...]", pytrace=False)
        settings = {**mark.kwargs, **settings}
    known = [*signature(kind).parameters, "faults"]
    for setting in settings:
        if setting not in known:
            meant = get_close_matches(setting, known, 1)
            hint = f": did you mean {meant[0]}?" if meant else ""
            pytest.fail(f"the marker {name} has no setting {setting!r}{hint}", pytrace=False)
    return settings


def _faults(settings: dict[str, Any], name: str, *kinds: type) -> list[Any]:
    """Remove the faults from a marker's settings, and return them."""
    faults = list(settings.pop("faults", ()))
    for fault in faults:
        if not isinstance(fault, kinds):
            wanted = " and ".join(kind.__name__ for kind in kinds)
            pytest.fail(f"the faults of the marker {name} must be {wanted}, not {fault!r}", pytrace=False)
    return faults


def _join(request: pytest.FixtureRequest, link: str, inject: Callable[[Any], object] | None = None) -> _Bench:
    """Let a link serve the test's terminal; ``inject`` is its method for faults of the network."""
    others = [other for other in _LINKS if other != link and other in request.fixturenames]
    if others:
        pytest.fail(
            f"a test can use only one link fixture: remove {link} or {others[0]}; serve a VirtualTerminal of your own "
            "instead of it",
            pytrace=False,
        )
    bench: _Bench = request.node.stash[_BENCH]
    if inject is not None:
        bench.arm(inject, bench.network_faults)
    elif bench.network_faults:
        pytest.fail(f"a NetworkFault needs getnet_tcp or getnet_http: {link} has no network", pytrace=False)
    return bench


def _check_extra(fixture: str) -> None:
    missing = [name for name in ("starlette", "uvicorn") if find_spec(name) is None]
    if missing:
        pytest.fail(f'{fixture} needs {missing[0]}: pip install "getnet-pos[simulator]"', pytrace=False)


# ------------------------------------------------------------------------------------------- fixtures to be overridden


@pytest.fixture
def getnet_profile() -> Profile:
    """The profile of ``getnet_cloud`` and of the connectors: Chile, unless a test or a conftest overrides it."""
    from .profiles import Profile

    return Profile.CHILE


@pytest.fixture
def getnet_timeouts() -> Timeouts:
    """Time limits for a terminal that replies at once: an unknown outcome takes 4 seconds instead of minutes."""
    from .profiles import Timeouts

    return Timeouts(
        acknowledgement=2.0,
        short=5.0,
        report=5.0,
        sale=2.0,
        sale_total=2.0,
        cancel=2.0,
        recovery=2.0,
        recovery_interval=0.1,
        busy=5.0,
        cloud=2.0,
        status=0.1,
    )


# ---------------------------------------------------------------------------------------------------- what is served


@pytest.fixture
def getnet_journal(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The default journal of all connectors in this test, in this process and in those that it starts.

    What connectors without a journal remember is also limited to this test.
    """
    from .errors import JournalError
    from .journal import MemoryJournal, SqliteJournal, open_journal

    path, memory = tmp_path_factory.mktemp("getnet") / "journal.sqlite3", MemoryJournal()
    request.node.stash[_BENCH] = _Bench(path, memory)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GETNET_POS_JOURNAL", str(path))
        # It lasts as long as the process, but each test must be like a process of its own.
        patch.setattr("getnet_pos.journal.opening._memory", memory)
        yield path
        if path.exists():
            with contextlib.suppress(JournalError):  # the test may have damaged it on purpose
                journal = open_journal(path)
                assert isinstance(journal, SqliteJournal)
                journal.close()


@pytest.fixture
def getnet_terminal(request: pytest.FixtureRequest, getnet_journal: Path) -> VirtualTerminal:
    """The virtual terminal of this test, with the arguments of the marker ``getnet_terminal``. A link serves it."""
    from .simulator import Fault, NetworkFault, VirtualTerminal

    settings = _settings(request, "getnet_terminal", VirtualTerminal)
    faults = _faults(settings, "getnet_terminal", Fault, NetworkFault)
    terminal = VirtualTerminal(**settings)
    bench = request.node.stash[_BENCH]
    bench.terminals = [terminal]
    bench.arm(terminal.inject, [fault for fault in faults if isinstance(fault, Fault)])
    bench.counts_frames = bool(bench.faults)
    bench.network_faults = [fault for fault in faults if isinstance(fault, NetworkFault)]
    return terminal


@pytest.fixture
def getnet_serial(request: pytest.FixtureRequest, getnet_terminal: VirtualTerminal) -> Iterator[SerialServer]:
    """``getnet_terminal`` on a pseudo-terminal, with ``device``, ``unplug()``, ``plug()`` and ``reboot()``."""
    from .simulator import SerialServer

    _join(request, "getnet_serial")
    with SerialServer(getnet_terminal, gap=0) as server:
        yield server


@pytest.fixture
def getnet_tcp(request: pytest.FixtureRequest, getnet_terminal: VirtualTerminal) -> Iterator[TcpServer]:
    """``getnet_terminal`` at a TCP ``address``, a host and a port of this machine."""
    from .simulator import TcpServer

    server = TcpServer(getnet_terminal, gap=0)
    _join(request, "getnet_tcp", server.inject)
    with server:
        yield server


@pytest.fixture
def getnet_http(request: pytest.FixtureRequest, getnet_terminal: VirtualTerminal) -> Iterator[HttpServer]:
    """``getnet_terminal`` at an HTTP ``url`` of this machine."""
    _check_extra("getnet_http")
    from .simulator.http import HttpServer

    server = HttpServer(getnet_terminal, gap=0)
    _join(request, "getnet_http", server.inject)
    with server:
        yield server


@pytest.fixture
def getnet_cloud(
    request: pytest.FixtureRequest, getnet_terminal: VirtualTerminal, getnet_profile: Profile
) -> Iterator[VirtualCloud]:
    """A virtual cloud at a ``url`` of this machine, with the arguments of the marker ``getnet_cloud``.

    ``getnet_terminal`` is its only terminal, ``key_pos``, unless the marker has ``terminals``.
    """
    _check_extra("getnet_cloud")
    from .messages import KeyPos
    from .simulator.cloud import CloudFault, VirtualCloud

    bench = _join(request, "getnet_cloud")
    settings = _settings(request, "getnet_cloud", VirtualCloud)
    faults = _faults(settings, "getnet_cloud", CloudFault)
    identity = getnet_terminal.identity
    key_pos = KeyPos(identity.terminal_id, identity.commerce_code, identity.serial_number)
    settings.setdefault("terminals", {key_pos: getnet_terminal})
    with VirtualCloud(profile=getnet_profile, **settings) as cloud:
        bench.terminals = list(cloud.terminals.values())
        bench.arm(cloud.inject, faults)
        yield cloud


@pytest.fixture
def getnet_equipment() -> Iterator[EquipmentServer]:
    """A virtual equipment API with ``base_url`` and ``token_url``; its response depends on the merchant id."""
    _check_extra("getnet_equipment")
    from .simulator.equipment import EquipmentServer

    with EquipmentServer() as server:
        yield server


# ---------------------------------------------------------------------------------------------------------- connectors


def _made(
    kind: type[AnyConnector], request: pytest.FixtureRequest, profile: Profile, timeouts: Timeouts
) -> AnyConnector:
    """A connector on the link that the test uses; without one, over TCP."""
    link = next((link for link in _LINKS if link in request.fixturenames), "getnet_tcp")
    server = request.getfixturevalue(link)
    settings: dict[str, Any] = {"profile": profile, "timeouts": timeouts}
    if link == "getnet_serial":
        return kind.create_usb(server.device, **settings)
    if link == "getnet_tcp":
        return kind.create_tcp(*server.address, **settings)
    if link == "getnet_http":
        return kind.create_http(server.url, **settings)
    return kind.create_cloud(server.url, key_pos=server.key_pos, client_id="id", client_secret="secret", **settings)


@pytest.fixture
def getnet_connector(
    request: pytest.FixtureRequest,
    getnet_terminal: VirtualTerminal,
    getnet_profile: Profile,
    getnet_timeouts: Timeouts,
) -> Iterator[Connector]:
    """A polled ``Connector`` to ``getnet_terminal``, over the link that the test uses; without one, over TCP."""
    from .connector import Connector

    with _made(Connector, request, getnet_profile, getnet_timeouts) as connector:
        connector.polling()
        yield connector


@pytest.fixture
def getnet_async_connector(
    request: pytest.FixtureRequest,
    getnet_terminal: VirtualTerminal,
    getnet_profile: Profile,
    getnet_timeouts: Timeouts,
) -> AsyncConnector:
    """The same as an ``AsyncConnector``, which the test opens with ``async with`` and polls."""
    from .connector import AsyncConnector

    return _made(AsyncConnector, request, getnet_profile, getnet_timeouts)
