"""Serves an ASGI application on this machine, in the calling thread or in its own. It knows no API.

``scope["connection"]`` is the request's ``asyncio.Transport``, so that an application can break the connection.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any

from .extra import extra_is_missing

try:
    import uvicorn
    from uvicorn.protocols.http.h11_impl import H11Protocol
except ModuleNotFoundError as error:
    raise extra_is_missing(error) from error

__all__ = ["ThreadedServer", "serve_until_closed", "serve_until_interrupted"]

_BACKLOG = 4096


class _Protocol(H11Protocol):
    """Gives the application access to the connection of a request."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn annotates it like this
        super().connection_made(transport)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        app: Any = self.app

        async def app_with_connection(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, "connection": transport}, receive, send)

        self.app = app_with_connection

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        # Python 3.10 needs it for a TLS connection that the register has reset.
        self.transport.abort()


def _config(app: Any, **settings: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        **{
            "interface": "asgi3",
            "http": _Protocol,
            "ws": "none",
            "lifespan": "off",
            "log_config": None,
            "log_level": "critical",
            "access_log": False,
            "proxy_headers": False,
            "timeout_graceful_shutdown": 0,
            **settings,
        },
    )


class _Uvicorn(uvicorn.Server):
    """Calls ``ready`` once it serves."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], object]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()


def _listening(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve_until_interrupted(app: Any, host: str, port: int, ready: Callable[[str], object]) -> None:
    """Serve in this thread until it is interrupted. ``ready`` is called with the address once the server responds."""
    with _listening(host, port) as listener:
        address = _address(listener)
        _Uvicorn(_config(app), lambda: ready(address)).run(sockets=[listener])


async def serve_until_closed(
    app: Any,
    listener: socket.socket,
    closing: asyncio.Event,
    *,
    ready: Callable[[], object] = lambda: None,
    tls: ssl.SSLContext | None = None,
    **settings: Any,
) -> None:
    """Serve on ``listener`` until ``closing`` is set. Open connections are then aborted."""
    config = _config(app, **settings)
    config.load()
    config.ssl = tls
    server = _Uvicorn(config, ready)
    serving = asyncio.get_running_loop().create_task(server.serve(sockets=[listener]))
    await closing.wait()
    for _ in range(3):
        # asyncio never closes a connection that it is accepting while its server closes. Accepting takes three cycles.
        await asyncio.sleep(0)
    for one in getattr(server, "servers", []):
        one.close()
    for connection in list(server.server_state.connections):
        connection.transport.abort()
    others = {serving, *server.server_state.tasks}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


class ThreadedServer:
    """Serves in a thread of its own from ``start`` to ``stop``."""

    loop: asyncio.AbstractEventLoop
    """Set by ``start``."""

    def __init__(
        self, app: Any, *, host: str = "127.0.0.1", port: int = 0, keep_alive: float = 5.0, **settings: Any
    ) -> None:
        self._app, self._where = app, (host, port)
        self._settings = {"timeout_keep_alive": keep_alive, **settings}
        self._thread: threading.Thread | None = None

    def start(self) -> str:
        """Start serving, and return the address once the server responds."""
        listener = _listening(*self._where)
        started = threading.Event()
        self._closing = asyncio.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(listener, started.set)), name="simulator", daemon=True
        )
        self._thread.start()
        if not started.wait(15):
            raise RuntimeError("the server did not start within 15 seconds")
        return _address(listener)

    async def _serve(self, listener: socket.socket, ready: Callable[[], object]) -> None:
        self.loop = asyncio.get_running_loop()
        with listener:
            await serve_until_closed(self._app, listener, self._closing, ready=ready, **self._settings)

    def stop(self) -> None:
        if self._thread is not None:
            self.loop.call_soon_threadsafe(self._closing.set)
            self._thread.join(15)
