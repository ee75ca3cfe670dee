"""Serves an ASGI application on this machine, in the calling thread or in one of its own. It knows no API."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

import uvicorn

__all__ = ["ThreadedServer", "abort", "serve_until_told"]

_BACKLOG = 4096


class _Uvicorn(uvicorn.Server):
    """Tells when it serves."""

    def __init__(self, app: Any, told: Callable[[], object], keep_alive: float) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="critical",
                access_log=False,
                proxy_headers=False,
                timeout_keep_alive=keep_alive,  # type: ignore[arg-type]  # seconds, of which a part is fine too
                timeout_graceful_shutdown=0,
            )
        )
        self._told = told

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._told()


def abort(send: Any) -> None:
    """Reset the connection of the request that ``send`` answers."""
    send.__self__.transport.abort()


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


def serve_until_told(app: Any, host: str, port: int, ready: Callable[[str], object]) -> None:
    """Serve in this thread until it is interrupted; ``ready`` is called with the address once requests are answered."""
    with _listening(host, port) as listener:
        address = _address(listener)
        _Uvicorn(app, lambda: ready(address), 5.0).run(sockets=[listener])


class ThreadedServer:
    """Serves in a thread from ``start`` to ``stop``."""

    def __init__(self, app: Any, *, host: str = "127.0.0.1", port: int = 0, keep_alive: float = 5.0) -> None:
        self._where = host, port
        self._started = threading.Event()
        self._server = _Uvicorn(app, self._started.set, keep_alive)
        self._thread: threading.Thread | None = None

    def start(self) -> str:
        """The address, once requests are answered."""
        listener = _listening(*self._where)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listener]}, name="virtual cloud", daemon=True
        )
        self._thread.start()
        if not self._started.wait(15):
            raise RuntimeError("the server did not start within 15 seconds")
        return _address(listener)

    def stop(self) -> None:
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(15)
