"""The common part of all servers: moves bytes between a port and a virtual terminal. It decides nothing.

A single thread does that, and sleeps until bytes arrive or the terminal is due to write.
"""

from __future__ import annotations

import math
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from ..errors import InvalidValue, LifecycleError
from .terminal import VirtualTerminal

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["GAP", "Port", "Server"]

GAP = 0.03
"""Seconds between two writes. Registers that take each read for one message lose messages that arrive together."""


class Port(Protocol):
    """Where a register reaches the terminal."""

    def wait(self, timeout: float | None) -> bytes:
        """The bytes that have arrived; empty after the time-out or ``wake``."""
        ...

    def write(self, data: bytes) -> None: ...

    def wake(self) -> None:
        """End the current wait, or else the next one; from any thread."""
        ...

    def close(self) -> None: ...


class Server(ABC):
    """Serves a ``VirtualTerminal`` on a port.

    A context manager: the port exists within it, and the terminal's time continues from where it was. Meanwhile other
    threads may read the terminal's ledger and extend its script; to change the link, they use the methods of the
    server. ``gap`` is the minimum time between two writes of the terminal, in seconds; with 0 they may arrive together.
    """

    def __init__(self, terminal: VirtualTerminal, *, gap: float = GAP) -> None:
        if not 0 <= gap < math.inf:
            raise InvalidValue(f"gap must be a number of seconds, 0 or more, not {gap!r}")
        self.terminal = terminal
        self._gap = gap
        self._port: Port | None = None
        self._started = 0.0
        self._lock = threading.Lock()
        """Held to change the port or ``_ended``, and to make a request."""
        self._requests: deque[tuple[Callable[[float], object], Future[None]]] = deque()
        self._wanted = threading.Event()
        self._closing = False
        self._ended = True
        self._failure: Exception | None = None
        self._thread: threading.Thread | None = None

    @abstractmethod
    def _opened(self) -> Port:
        """A new port, each time the terminal comes online."""

    def __enter__(self) -> Self:
        if self._thread is not None:
            raise LifecycleError(f"this {type(self).__name__} was used before: create a new one")
        self._started = time.monotonic() - self.terminal.now
        self.terminal.gap = self._gap
        try:
            self._show(self.terminal.now)
        except BaseException:
            self.close()
            raise
        self._ended = False
        self._thread = threading.Thread(target=self._serve, name="virtual terminal", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop serving and remove the port. A second call does nothing."""
        with self._lock:
            self._closing = True
            self._wake()
        if self._thread is not None:
            self._thread.join()

    def serve_forever(self) -> None:
        """Wait until another thread calls ``close``. If serving failed, raise the error."""
        while self._thread is not None and self._thread.is_alive():
            # Without a limit, Ctrl-C would not end the wait on Windows.
            self._thread.join(1.0)
        if self._failure is not None:
            raise self._failure

    def unplug(self) -> None:
        """Close the port: the register is disconnected. The terminal continues with its work."""
        self._request(self.terminal.disconnect)

    def plug(self) -> None:
        """Open the port again where it was."""
        self._request(self.terminal.connect)

    def reboot(self, keep_record: bool = True, *, seconds: float = 0.0) -> None:
        """Restart the terminal; its port is closed for ``seconds``."""
        self._request(lambda now: self.terminal.reboot(keep_record, now, seconds=seconds))

    def key_in(self, amount: int) -> None:
        """Simulate a sale keyed in on the terminal, without the register; ``amount`` is in wire units."""
        self._request(lambda now: self.terminal.key_in(amount, now))

    def swap(self, other: Server) -> None:
        """Unplug both terminals and plug each in where the other was."""
        if other is self or other._ended:
            raise LifecycleError("swap() needs another server that is serving")
        # This server's thread waits for the other's, so nothing else touches either terminal.
        self._request(lambda _: other._request(lambda _: self._exchange(other)))

    def _exchange(self, other: Server) -> None:
        for server in (self, other):
            server.terminal.disconnect(server._now())
            server._show(server._now())
        self.terminal, other.terminal = other.terminal, self.terminal
        for server in (self, other):
            server._started = time.monotonic() - server.terminal.now
            server.terminal.gap = server._gap
            server.terminal.connect(server._now())

    def act(self, action: Callable[[float], object]) -> Future[None]:
        """Run ``action`` in the server's thread, with the terminal's time as its argument.

        The future is done once the port reflects the result.
        """
        done: Future[None] = Future()
        with self._lock:
            if self._ended:
                raise LifecycleError("the server is not serving: use it within its with block")
            self._requests.append((action, done))
            self._wake()
        return done

    # ------------------------------------------------------------------------------------------------------ the thread

    def _request(self, action: Callable[[float], object]) -> None:
        self.act(action).result()

    def _wake(self) -> None:
        self._wanted.set()
        if self._port is not None:
            self._port.wake()

    def _serve(self) -> None:
        try:
            while not self._closing:
                self._do_requests()
                self._pump()
        except Exception as error:
            self._failure = error
        finally:
            with self._lock:
                self._ended = True
                for _, done in self._requests:
                    done.set_exception(LifecycleError("the server has stopped"))
                if self._port is not None:
                    self._port.close()
                    self._port = None

    def _do_requests(self) -> None:
        while self._requests:
            action, done = self._requests.popleft()
            try:
                action(self._now())
                self._show(self._now())
            except BaseException as error:
                done.set_exception(error)
                raise
            done.set_result(None)

    def _pump(self) -> None:
        now = self._now()
        writes = self.terminal.take(now)
        self._show(now)
        port = self._port
        if port is not None:
            for data in writes:
                port.write(data)
            if writes:
                self.terminal.wrote(self._now())
        event = self.terminal.next_event()
        timeout = None if event is None else max(0.0, event - self._now())
        if self._requests or self._closing:
            return
        if port is None:
            self._wanted.wait(timeout)
            self._wanted.clear()
            return
        data = port.wait(timeout)
        if data:
            self.terminal.receive(data, self._now())

    def _show(self, now: float) -> None:
        """Open the port if the terminal is online; close it if not."""
        with self._lock:
            if self.terminal.connected(now):
                self._port = self._port or self._opened()
            elif self._port is not None:
                self._port.close()
                self._port = None

    def _now(self) -> float:
        return time.monotonic() - self._started
