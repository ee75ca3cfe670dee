"""The virtual terminal behind a serial port: a pseudo-terminal, or a port that exists. It decides nothing.

One thread moves bytes between the port and the terminal, and sleeps until bytes come or the terminal is due to speak.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Protocol

import serial

from ..errors import ConfigurationError, LifecycleError
from .terminal import VirtualTerminal

if os.name == "posix":
    import tty

__all__ = ["SerialServer"]


class SerialServer:
    """Serves a ``VirtualTerminal`` on ``device``, which a register opens as it would a terminal's port.

    ``device`` leads to a pseudo-terminal, and keeps its name when the terminal is unplugged and comes back. Where there
    are none (Windows), or to use a real line, ``port`` names an existing serial port, and the register takes the other
    end of its cable.

    A context manager: the port is there within it, and the terminal's time goes on from where it stood. While it
    serves, other threads may read the terminal's books and extend its script; what changes the link goes through the
    methods here.
    """

    def __init__(self, terminal: VirtualTerminal, *, port: str | None = None) -> None:
        self.terminal = terminal
        self._named_port = port
        self._folder = ""
        self._device = port or ""
        self._port: _Port | None = None
        self._started = 0.0
        self._lock = threading.Lock()
        """Held while the port or ``_ended`` changes, and while a request is made."""
        self._requests: deque[tuple[Callable[[float], None], Future[None]]] = deque()
        self._wanted = threading.Event()
        self._closing = False
        self._ended = True
        self._failure: Exception | None = None
        self._thread: threading.Thread | None = None

    @property
    def device(self) -> str:
        """The path, or the name, that the register opens."""
        return self._device

    def __enter__(self) -> SerialServer:
        if self._thread is not None:
            raise LifecycleError("a SerialServer serves once: make a new one")
        if self._named_port is None:
            if os.name != "posix":
                raise ConfigurationError("this system has no pseudo-terminals: pass port=, one of a pair of COM ports")
            self._folder = tempfile.mkdtemp(prefix="getnet-pos-")
            self._device = os.path.join(self._folder, "terminal")
        self._started = time.monotonic() - self.terminal.now
        try:
            self._show(self.terminal.now)
        except BaseException:
            self._remove_folder()
            raise
        self._ended = False
        self._thread = threading.Thread(target=self._serve, name=f"virtual terminal on {self._device}", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop serving and take the port away. Doing it twice is no fault."""
        with self._lock:
            self._closing = True
            self._wake()
        if self._thread is not None:
            self._thread.join()
        self._remove_folder()

    def serve_forever(self) -> None:
        """Return when ``close`` is called elsewhere; raise what ended the service, if that was a failure."""
        while self._thread is not None and self._thread.is_alive():
            # Without a limit, Ctrl-C would not end the wait on Windows.
            self._thread.join(1.0)
        if self._failure is not None:
            raise self._failure

    def unplug(self) -> None:
        """Close the port: the register sees a disconnect. The terminal works on by itself."""
        self._request(self.terminal.disconnect)

    def plug(self) -> None:
        """Bring the port back, under the same ``device``."""
        self._request(self.terminal.connect)

    def reboot(self, keep_record: bool = True, *, seconds: float = 0.0) -> None:
        """Restart the terminal; its port is away for ``seconds``."""
        self._request(lambda now: self.terminal.reboot(keep_record, now, seconds=seconds))

    # ------------------------------------------------------------------------------------------------------ the thread

    def _request(self, action: Callable[[float], None]) -> None:
        """Have the thread do something to the terminal, and wait until the port shows it."""
        done: Future[None] = Future()
        with self._lock:
            if self._ended:
                raise LifecycleError("the server does not serve")
            self._requests.append((action, done))
            self._wake()
        done.result()

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
                    done.set_exception(LifecycleError("the server has ended"))
                if self._port is not None:
                    self._port.close()
                    self._port = None

    def _do_requests(self) -> None:
        while self._requests:
            action, done = self._requests.popleft()
            now = self._now()
            try:
                action(now)
                self._show(now)
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
        """Have a port there if, and only if, the terminal is on the line."""
        with self._lock:
            if self.terminal.connected(now):
                self._port = self._port or self._opened()
            elif self._port is not None:
                self._port.close()
                self._port = None

    def _opened(self) -> _Port:
        return _Pty(self._device) if self._named_port is None else _SerialPort(self._named_port)

    def _now(self) -> float:
        return time.monotonic() - self._started

    def _remove_folder(self) -> None:
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)


class _Port(Protocol):
    def wait(self, timeout: float | None) -> bytes:
        """What has come; nothing at the time-out, and when woken."""
        ...

    def write(self, data: bytes) -> None: ...

    def wake(self) -> None:
        """End a wait, or the next one; from any thread."""
        ...

    def close(self) -> None: ...


class _Pty:
    """A pseudo-terminal, and a link to the side that the register opens."""

    def __init__(self, link: str) -> None:
        # The register's side is held open as well: else each close of the register would look like an unplugged cable,
        # and the system would forget the raw mode.
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self._unwritten: deque[bytes] = deque()
        self._wake_read, self._wake_write = os.pipe()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._master, selectors.EVENT_READ)
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        self._link = link
        os.symlink(os.ttyname(self._slave), link)

    def wait(self, timeout: float | None) -> bytes:
        writing = selectors.EVENT_WRITE if self._unwritten else 0
        self._selector.modify(self._master, selectors.EVENT_READ | writing)
        data = b""
        for key, events in self._selector.select(timeout):
            if key.fd == self._wake_read:
                os.read(self._wake_read, 64)
                continue
            if events & selectors.EVENT_WRITE:
                self._write_on()
            if events & selectors.EVENT_READ:
                data = os.read(self._master, 65536)
        return data

    def write(self, data: bytes) -> None:
        self._unwritten.append(data)
        self._write_on()

    def _write_on(self) -> None:
        """Write what the register's side has room for."""
        with contextlib.suppress(BlockingIOError):
            while self._unwritten:
                written = os.write(self._master, self._unwritten[0])
                self._unwritten[0] = self._unwritten[0][written:]
                if not self._unwritten[0]:
                    self._unwritten.popleft()

    def wake(self) -> None:
        os.write(self._wake_write, b"w")

    def close(self) -> None:
        os.unlink(self._link)
        self._selector.close()
        for descriptor in (self._master, self._slave, self._wake_read, self._wake_write):
            os.close(descriptor)


class _SerialPort:
    """A serial port that exists."""

    _LONGEST_WAIT = 0.5
    """pyserial on Windows cannot be woken from a wait that is just about to begin."""

    def __init__(self, name: str) -> None:
        self._line = serial.Serial(name, 115200)

    def wait(self, timeout: float | None) -> bytes:
        self._line.timeout = self._LONGEST_WAIT if timeout is None else min(timeout, self._LONGEST_WAIT)
        data = self._line.read(1)
        return bytes(data + self._line.read(self._line.in_waiting)) if data else b""

    def write(self, data: bytes) -> None:
        self._line.write(data)

    def wake(self) -> None:
        self._line.cancel_read()

    def close(self) -> None:
        self._line.close()
