"""An agent with its bridge in this process, in front of virtual terminals."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from getnet_pos import AsyncConnector, MemoryJournal, Timeouts
from getnet_pos.agent.server import Server
from getnet_pos.agent.settings import AgentSettings
from getnet_pos.simulator import HttpServer, SerialServer, TcpServer, VirtualTerminal
from getnet_pos.simulator.cloud import VirtualCloud
from tests.agent.getnet_page import ORIGIN

__all__ = ["QUICK", "Bridged", "Overheard", "bridge", "connector"]

Way = SerialServer | TcpServer | HttpServer | VirtualCloud

QUICK = Timeouts(
    acknowledgement=0.4,
    short=0.6,
    report=1.0,
    sale=8.0,
    sale_total=10.0,
    cancel=1.0,
    recovery=0.6,
    recovery_interval=0.1,
    busy=2.0,
)
"""Time limits for a terminal that needs no time."""


class Overheard(VirtualTerminal):
    """A virtual terminal, and every byte that came and went."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.came, self.went = b"", b""

    def receive(self, data: bytes, now: float) -> None:
        self.came += data
        super().receive(data, now)

    def take(self, now: float) -> list[bytes]:
        written = super().take(now)
        self.went += b"".join(written)
        return written

    def codes(self) -> list[int]:
        """The commands of pages: what the agent asks for itself is left out."""
        return [command.code for command in self.commands if command.code not in (101, 106, 114)]


def connector(server: Way, journal: Any, **settings: Any) -> AsyncConnector:
    settings = {"timeouts": QUICK, "journal": journal, **settings}
    if isinstance(server, VirtualCloud):
        own = {"key_pos": server.key_pos, "client_id": "id", "client_secret": "a-secret", "profile": server.profile}
        return AsyncConnector.create_cloud(server.url, **own, **settings)
    if isinstance(server, HttpServer):
        return AsyncConnector.create_http(server.url, **settings)
    if isinstance(server, SerialServer):
        return AsyncConnector.create_usb(server.device, **settings)
    return AsyncConnector.create_tcp(*server.address, **settings)


@asynccontextmanager
async def bridge(
    terminals: Mapping[str, Way] | Way,
    *,
    origins: tuple[str, ...] = (ORIGIN,),
    journal: Any = None,
    **settings: Any,
) -> AsyncIterator[Bridged]:
    """An agent that serves these terminals, with its bridge."""
    served = terminals if isinstance(terminals, Mapping) else {"terminal": terminals}
    journal = MemoryJournal() if journal is None else journal
    agent = AgentSettings(port=0, bridge=True, bridge_port=0, allow_origins=origins, stop_within=5.0)
    async with AsyncExitStack() as stack:
        connectors = {name: connector(server, journal, **settings) for name, server in served.items()}
        for one in connectors.values():
            stack.push_async_callback(one.close)
        bridged = Bridged(Server(agent, connectors, journal, "a-token-of-the-tests"))
        await bridged.server.open()
        try:
            yield bridged
        finally:
            await bridged.stop(at_once=True)


class Bridged:
    """``url`` is that of the bridge."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._is_stopped = False

    @property
    def url(self) -> str:
        return self.server.urls[1]

    async def stop(self, *, at_once: bool = False) -> bool:
        """End it; whether no payment was left to the next start."""
        if self._is_stopped:
            return True
        self._is_stopped, now = True, asyncio.Event()
        if at_once:
            now.set()
        return await self.server.close(now)
