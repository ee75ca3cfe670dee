"""Serves an agent until a signal stops it, and stops it so that no payment is lost silently."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import signal
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any

import uvicorn

from ..connector import AsyncConnector
from ..errors import ConfigurationError, ConnectError
from ..journal import Journal
from .bridge import bridge
from .events import EventHub
from .guard import Guard, check_reach
from .interface import Agent, interface
from .payments import Payments
from .records import Records
from .settings import AgentSettings
from .terminals import Terminal

__all__ = ["Server", "serve"]

log = logging.getLogger("getnet_pos.agent")

_LOOPBACK = ("127.0.0.1", "::1")
_ATTEMPTS = 16
"""How many attempts to find a port that is free at every address."""
_BACKLOG = 1024
_LARGEST_MESSAGE = 1 << 20
_TO_ANSWER = 3
"""How many seconds to wait for open responses at the end."""
_SIGNALS = ("SIGINT", "SIGTERM", "SIGBREAK")


class _Stop(asyncio.Event):
    """Set it once to stop the agent after the running payments, a second time to stop it at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = asyncio.Event()

    def set(self) -> None:
        if self.is_set():
            self.now.set()
        super().set()


async def serve(
    settings: AgentSettings,
    connectors: Mapping[str, AsyncConnector],
    journal: Journal,
    token: str,
    ready: Callable[[list[str]], object],
) -> bool:
    """Serve the terminals of ``connectors``, keyed by name, until the process gets SIGINT or SIGTERM.

    ``ready`` is called with the addresses, that of the bridge last, once the agent responds. Returns whether every
    payment was completed; if not, the next start queries the terminal about it.

    Raises:
        ConfigurationError: a setting is invalid.
        ConnectError: the agent cannot listen on an address.
    """
    server = Server(settings, connectors, journal, token)
    stop = _Stop()
    with _stopped_by(stop):
        await server.open()
        try:
            ready(server.urls)
            await stop.wait()
        finally:
            is_done = await server.close(stop.now)
    return is_done


class Server:
    """An agent and its listening ports, from ``open`` to ``close``."""

    def __init__(
        self, settings: AgentSettings, connectors: Mapping[str, AsyncConnector], journal: Journal, token: str
    ) -> None:
        check_reach(settings.host or _LOOPBACK[0], tls=settings.certificate is not None)
        self._tls = _tls(settings)
        events, records = EventHub(), Records(journal)
        terminals = {
            name: Terminal(name, connector, records, events, poll_every=settings.poll_every)
            for name, connector in connectors.items()
        }
        self.agent = Agent(settings, terminals, records, events, Payments(records))
        self._token = token
        self._ports: list[_Port] = []

    @property
    def urls(self) -> list[str]:
        return [port.url for port in self._ports]

    async def open(self) -> None:
        """Listen, and start to open the terminals. When it returns, the agent responds."""
        settings = self.agent.settings
        names = () if settings.host is None else (settings.host,)
        app = Guard(interface(self.agent), origins=settings.allow_origins, names=names, token=self._token)
        self._ports.append(_Port(app, *_listeners(settings.host, settings.port, "--port"), self._tls))
        if settings.bridge:
            # Pages have no token there, so it only listens on loopback, wherever the agent itself listens.
            url, listeners = _listeners(None, settings.bridge_port, "--bridge-port")
            self._ports.append(_Port(bridge(self.agent), url.replace("http://", "ws://") + "/", listeners, None))
        for port in self._ports:
            await port.open()
        for terminal in self.agent.terminals.values():
            terminal.start()

    async def close(self, now: asyncio.Event) -> bool:
        """Refuse new work, wait for running payments, complete the open responses, and close everything.

        Once ``now`` is set it does not wait any longer. Returns whether every payment was completed.
        """
        agent = self.agent
        agent.stopping = True
        paying = [name for name, terminal in agent.terminals.items() if terminal.paying]
        log.info("stopping%s", f": waiting for payments at {', '.join(paying)}" if paying else "")
        stopped = await asyncio.gather(*(one.stop(agent.settings.stop_within, now) for one in agent.terminals.values()))
        agent.events.close()
        await asyncio.gather(*(port.close() for port in self._ports))
        if not all(stopped):
            log.warning("a payment was left open: at its next start the agent queries the terminal about it")
        return all(stopped)


class _Port:
    """An application, and the addresses that it listens on."""

    def __init__(self, app: Any, url: str, listeners: list[socket.socket], tls: ssl.SSLContext | None) -> None:
        self.url = url if tls is None else url.replace("http://", "https://")
        self._listeners = listeners
        config = uvicorn.Config(
            app,
            interface="asgi3",
            http="h11",
            ws="wsproto",
            ws_max_size=_LARGEST_MESSAGE,
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=_TO_ANSWER,
        )
        config.load()
        config.ssl = tls
        self._server = _Uvicorn(config)
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Return once the application responds."""
        self._task = asyncio.get_running_loop().create_task(self._server.serve(sockets=self._listeners))
        opened = asyncio.get_running_loop().create_task(self._server.opened.wait())
        await asyncio.wait([self._task, opened], return_when=asyncio.FIRST_COMPLETED)
        opened.cancel()
        if self._task.done():
            self._task.result()

    async def close(self) -> None:
        self._server.should_exit = True
        if self._task is not None:
            await self._task
        for listener in self._listeners:
            listener.close()


class _Uvicorn(uvicorn.Server):
    """Sets ``opened`` once it serves, and leaves signals to its caller."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.opened = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.opened.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _tls(settings: AgentSettings) -> ssl.SSLContext | None:
    if settings.certificate is None or settings.key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # The agent runs unattended, so it cannot ask for a password.
        context.load_cert_chain(settings.certificate, settings.key, password=lambda: b"")
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"the certificate {settings.certificate} and its key {settings.key} cannot be used: {_why(error)}; "
            "--certificate needs a PEM file with the chain, and --key its private key without a password"
        ) from error
    return context


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or getattr(error, "reason", None) or str(error)


# ---------------------------------------------------------------------------------------------------------- addresses


def _listeners(host: str | None, port: int, option: str) -> tuple[str, list[socket.socket]]:
    """The URL and its listening sockets; without a host, one on each loopback address. ``option`` sets the port."""
    for attempt in range(_ATTEMPTS):
        try:
            with contextlib.ExitStack() as opened:
                found = _bound(opened, host, port)
                opened.pop_all()
        except OSError as error:
            # A port that is free on one address may be in use on the other.
            if port == 0 and attempt + 1 < _ATTEMPTS:
                continue
            if error.errno == errno.EADDRINUSE:
                raise ConnectError(
                    f"port {port} is already in use: stop the other program, or choose another with {option}"
                ) from error
            where = host or " and ".join(_LOOPBACK)
            raise ConnectError(
                f"the agent cannot listen on {where}, port {port}: {_why(error)}; choose another address or port"
            ) from error
        number = found[0].getsockname()[1]
        name = host or _LOOPBACK[0]
        return f"http://[{name}]:{number}" if ":" in name else f"http://{name}:{number}", found
    raise AssertionError("the last attempt returns or raises")


def _bound(opened: contextlib.ExitStack, host: str | None, port: int) -> list[socket.socket]:
    if host is not None:
        return [_listening(opened, *_address(host, port))]
    first = _listening(opened, *_address(_LOOPBACK[0], port))
    found = [first]
    try:
        family, address = _address(_LOOPBACK[1], first.getsockname()[1])
        probe = socket.socket(family, socket.SOCK_STREAM)
    except OSError:
        return found  # this machine has no IPv6
    with probe:
        try:
            probe.bind((_LOOPBACK[1], 0))
        except OSError:
            return found
    return [first, _listening(opened, family, address)]


def _address(host: str, port: int) -> tuple[socket.AddressFamily, Any]:
    family, _, _, _, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
    return family, address


def _listening(opened: contextlib.ExitStack, family: socket.AddressFamily, address: Any) -> socket.socket:
    # The protocol is explicit, because otherwise asyncio does not set TCP_NODELAY.
    listener = opened.enter_context(socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP))
    exclusive = getattr(socket, "SO_EXCLUSIVEADDRUSE", None)
    if exclusive is not None:  # Windows, where another program could take the port as well
        listener.setsockopt(socket.SOL_SOCKET, exclusive, 1)
    else:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    listener.bind(address)
    listener.listen(_BACKLOG)
    return listener


# ------------------------------------------------------------------------------------------------------------ signals


@contextlib.contextmanager
def _stopped_by(stop: _Stop) -> Iterator[None]:
    """Make the signals that end a program set ``stop``."""
    loop = asyncio.get_running_loop()

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stop.set)

    numbers = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, before[number])
