"""Serves the screen of one terminal, or a wall with those of a cloud, to browsers on this machine. It decides nothing.

A page gets the newest state of each terminal, never a queue of older ones: a slow page skips states and does not fall
behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import threading
import time
from collections.abc import Callable
from functools import partial
from importlib.resources import files
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ...codec.json_text import dumps, loads
from ...errors import InvalidValue, LifecycleError
from ...profiles import Profile
from ..asgi import ThreadedServer
from ..cloud import VirtualCloud
from ..extra import extra_is_missing
from ..server import Server
from .seat import TROUBLES, Seat

try:
    import wsproto  # so that a missing package is reported now: uvicorn imports it later
    from starlette.applications import Starlette
    from starlette.requests import HTTPConnection, Request
    from starlette.responses import PlainTextResponse, Response
    from starlette.routing import Route, WebSocketRoute
    from starlette.websockets import WebSocket, WebSocketDisconnect
except ModuleNotFoundError as error:
    raise extra_is_missing(error) from error

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ScreenServer"]

del wsproto

_FILES = {"/": "page.html", "/page.css": "page.css", "/page.js": "page.js"}
_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
_WALL = 500
"""The most terminals on a wall."""
_PAGES = 100
"""The most pages at once."""
_PACE = 0.02
"""Seconds between two messages to a page."""
_LOOK = 0.1
"""Seconds between two checks of a restarting terminal."""
_GRACE = 15.0
"""Seconds without a page until the customer counts as gone; a reload takes less."""


class ScreenServer:
    """Serves a page at ``url`` that shows the terminal of ``served``, or all terminals of a cloud.

    A context manager, used within that of ``served``. While a page is open, a payment command without a behaviour in
    the terminal's script waits for the person at the page; without an open page the terminal follows its default
    behaviour. ``port=0`` chooses a free one. ``profile`` sets the initial language and the format of amounts; by
    default it is that of the cloud.

    The page has no password: anyone who can reach ``host`` can use it.

    Raises:
        InvalidValue: the cloud has more terminals than a wall can show.

    Examples:
        >>> from getnet_pos.simulator import ScreenServer, TcpServer, VirtualTerminal
        >>> with TcpServer(VirtualTerminal()) as server, ScreenServer(server) as screen:
        ...     print("open", screen.url)
        open http://127.0.0.1:.../
    """

    def __init__(
        self, served: Server | VirtualCloud, *, host: str = "127.0.0.1", port: int = 0, profile: Profile | None = None
    ) -> None:
        if isinstance(served, VirtualCloud) and len(served.terminals) > _WALL:
            raise InvalidValue(
                f"a screen shows at most {_WALL} terminals: serve a smaller cloud, or serve it without a screen"
            )
        self._pages: set[_Page] = set()
        self._opened = threading.Event()
        if isinstance(served, VirtualCloud):
            self._profile = profile or served.profile
            terminals = [
                (terminal, partial(_act, partial(served.act, key_pos)))
                for key_pos, terminal in served.terminals.items()
            ]
        else:
            self._profile = profile or Profile.INTEGRATED_POS
            terminals = [(served.terminal, partial(_act, served.act))]
        self.seats = [Seat(terminal, act, self._changed, self._attends) for terminal, act in terminals]
        self._numbers = {seat: number for number, seat in enumerate(self.seats)}
        self._marked: dict[Seat, float] = {}
        """The terminals that have changed, and when."""
        routes = [Route(path, partial(_file, name)) for path, name in _FILES.items()]
        app = _Guard(Starlette(routes=[*routes, WebSocketRoute("/live", self._live)]))
        self._server = ThreadedServer(app, host=host, port=port, ws="wsproto", ws_max_size=4096)
        self.url = ""

    def __enter__(self) -> Self:
        self.url = self._server.start() + "/"
        for seat in self.seats:
            seat.terminal.watcher = seat
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for seat in self.seats:
            seat.close()
        self._server.stop()

    def wait_for_page(self, timeout: float | None = None) -> bool:
        """Wait up to ``timeout`` seconds until a page is opened; return whether one was."""
        return self._opened.wait(timeout)

    # --------------------------------------------------------------------------------------- in the terminals' threads

    def _attends(self) -> bool:
        return bool(self._pages)

    def _changed(self, seat: Seat) -> None:
        if seat not in self._marked:
            self._marked[seat] = time.time()
            with contextlib.suppress(RuntimeError):  # The screen has just been closed.
                self._server.loop.call_soon_threadsafe(self._mark, seat)

    # --------------------------------------------------------------------------------------------- in the server's loop

    def _mark(self, seat: Seat) -> None:
        since = self._marked.pop(seat)
        for page in self._pages:
            page.mark(self._numbers[seat], since)
        if seat.restarting:
            self._server.loop.call_later(_LOOK, seat.look)

    async def _live(self, socket: WebSocket) -> None:
        """Serve one page."""
        if len(self._pages) >= _PAGES:
            await socket.close(1013)
            return
        await socket.accept()
        page = _Page(socket, self.seats, self._profile)
        self._pages.add(page)
        self._opened.set()
        sending = asyncio.get_running_loop().create_task(page.send())
        try:
            with contextlib.suppress(WebSocketDisconnect):
                while page.take(await socket.receive_text()):
                    pass
                await socket.close(1008)
        finally:
            sending.cancel()
            self._pages.discard(page)
            if not self._pages:
                self._server.loop.call_later(_GRACE, self._abandon)

    def _abandon(self) -> None:
        if not self._pages:
            for seat in self.seats:
                seat.leave()


class _Page:
    """An open page: which terminals it shows in an old state, and since when."""

    def __init__(self, socket: WebSocket, seats: list[Seat], profile: Profile) -> None:
        self._socket, self._seats, self._profile = socket, seats, profile
        self._watching = 0
        """The terminal whose ledger and trace it shows."""
        self._stale = dict.fromkeys(range(len(seats)), time.time())
        self._wake = asyncio.Event()
        self._wake.set()

    def mark(self, number: int, since: float) -> None:
        self._stale.setdefault(number, since)
        self._wake.set()

    async def send(self) -> None:
        """Send the changes to the page until it is closed."""
        said: dict[str, Any] = {
            "language": self._profile.language,
            "exponent": self._profile.amount_exponent or 0,
            "terminals": len(self._seats),
        }
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):  # Starlette raises either if the page has left.
            while True:
                await self._socket.send_text(dumps(said).decode())
                await asyncio.sleep(_PACE)
                await self._wake.wait()
                self._wake.clear()
                stale, self._stale = self._stale, {}
                said = {
                    "views": [
                        {"number": number, "since": round(since * 1000), **self._seats[number].view()}
                        for number, since in stale.items()
                    ]
                }
                if self._watching in stale:
                    said["details"] = {"number": self._watching, **self._seats[self._watching].details()}

    def take(self, text: str) -> bool:
        """Carry out what the page requests; false if our page cannot have sent that."""
        try:
            asked = loads(text)
            number = asked["terminal"]
            seat = self._seats[number]
            if asked["do"] == "watch":
                self._watching = number
                self.mark(number, time.time())
            else:
                trouble, code = asked.get("trouble", "none"), asked.get("code")
                if trouble not in TROUBLES or not (code is None or (type(code) is int and 0 < code < 10_000)):
                    return False
                seat.do(asked["do"], turn=asked["turn"], trouble=trouble, code=code)
        except (ValueError, LookupError, TypeError, AttributeError):
            return False
        return True


class _Guard:
    """Accepts requests that address this machine by its IP address or as localhost. Refuses pages of other origins, and
    other names, which could be an attack by DNS rebinding."""

    def __init__(self, app: Starlette) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if _is_own(HTTPConnection(scope)):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await WebSocket(scope, receive, send).close(1008)
        else:
            await PlainTextResponse("open this page at the address that the program printed", 403)(scope, receive, send)


def _is_own(connection: HTTPConnection) -> bool:
    host, origin = connection.headers.get("host", ""), connection.headers.get("origin")
    if origin not in (None, f"http://{host}"):
        return False
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or bool(ipaddress.ip_address(name))
    except ValueError:
        return False


async def _file(name: str, request: Request) -> Response:
    data = (files("getnet_pos.simulator.screen") / name).read_bytes()
    return Response(data, headers=_HEADERS, media_type=_TYPES[name.rpartition(".")[2]])


def _act(act: Callable[[Callable[[float], None]], object], action: Callable[[float], None]) -> None:
    with contextlib.suppress(LifecycleError):  # The terminal's server has stopped, and the screen stops with it.
        act(action)
