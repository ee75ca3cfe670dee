"""The virtual terminal on a serial port: a pseudo-terminal, or an existing port. It decides nothing."""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import tempfile
from collections import deque
from collections.abc import Callable

import serial

from ..errors import ConfigurationError, InvalidValue
from .server import GAP, Port, Server
from .terminal import VirtualTerminal

if os.name == "posix":
    import fcntl
    import struct
    import termios
    import tty

__all__ = ["SerialServer"]


class SerialServer(Server):
    """Serves a ``VirtualTerminal`` on ``device``, which a register opens like the port of a real terminal.

    ``device`` is a pseudo-terminal, and has the same name after the terminal is unplugged and plugged in again. On
    Windows, which has none, or to use a real cable, ``port`` names an existing serial port; the register opens the
    other end of its cable.

    Examples:
        >>> from getnet_pos.simulator import SerialServer, VirtualTerminal
        >>> server = SerialServer(VirtualTerminal(), gap=0)  # then: with server, and create_usb(server.device)
    """

    def __init__(self, terminal: VirtualTerminal, *, port: str | None = None, gap: float = GAP) -> None:
        super().__init__(terminal, gap=gap)
        self._named_port = port
        self._folder = ""
        self._device = port or ""

    @property
    def device(self) -> str:
        """The path or name that the register opens."""
        return self._device

    def close(self) -> None:
        super().close()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    def rename(self, name: str) -> None:
        """Unplug the terminal and plug it in again under another name in the same folder: systems may rename ports.

        The kernel's own name for the pseudo-terminal, ``os.path.realpath(device)``, is another name of the same port.
        """
        if self._named_port is not None or os.path.basename(name) != name or name in ("", ".", ".."):
            raise InvalidValue("rename() needs a file name without a folder, and a server without port=")
        self.unplug()
        self._device = os.path.join(self._folder, name)
        self.plug()

    def _opened(self) -> Port:
        if self._named_port is not None:
            return _SerialPort(self._named_port)
        if os.name != "posix":
            raise ConfigurationError("this system has no pseudo-terminals: pass port= with one of a pair of COM ports")
        if not self._folder:
            self._folder = tempfile.mkdtemp(prefix="getnet-pos-")
            self._device = os.path.join(self._folder, "terminal")
        return _Pty(self._device, lambda: self.terminal.flush(self._now()))


class _Pty:
    """A pseudo-terminal, and a symbolic link to the side that the register opens."""

    def __init__(self, link: str, flushed: Callable[[], None]) -> None:
        # The register's side is held open too. Otherwise each close by the register would look like an unplugged cable,
        # and the system would leave raw mode.
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        # In packet mode each read begins with a status byte: zero, or what the register did to the line.
        fcntl.ioctl(self._master, termios.TIOCPKT, struct.pack("i", 1))
        self._flushed = flushed
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
                said = os.read(self._master, 65536)
                if said and said[0] & termios.TIOCPKT_FLUSHREAD:
                    self._flushed()
                data = said[1:]
        return data

    def write(self, data: bytes) -> None:
        self._unwritten.append(data)
        self._write_on()

    def _write_on(self) -> None:
        """Write as much as the register's side has room for."""
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
    """An existing serial port."""

    _LONGEST_WAIT = 0.5
    """On Windows, pyserial cannot be woken from a wait that is about to begin."""

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
