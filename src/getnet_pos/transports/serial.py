"""A terminal on a USB or serial port: 115200 baud, 8N1, no flow control, exclusive (docs/protocol.md, "Serial line").

On POSIX the port's file descriptor is waited for directly, by ``poll`` or the event loop, so a byte is read as soon as
it arrives. Elsewhere pyserial's blocking calls are used, in a thread under asyncio.

Bytes that have arrived are never flushed: some terminals took no more sales after that. Only pyserial's Windows backend
still flushes, when it opens the port.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import select
import threading
import time
from collections.abc import Iterator
from typing import Any

import serial
from serial.tools import list_ports

if os.name == "posix":
    import termios

from ..errors import (
    ConnectError,
    Disconnected,
    InvalidType,
    InvalidValue,
    PartialWrite,
    PortBusy,
    PortPermissionDenied,
    TransportError,
    WriteTimeout,
)
from . import AT_ONCE, AsyncTransport, Transport

__all__ = ["AsyncSerialTransport", "SerialTransport", "candidate_ports", "device_of", "is_likely", "open_serial"]

_VENDOR = 0x2FB8
_LIKELY = ("getnet", "pax")
_LOOKS = 3
"""How many times to try to list the ports."""
_LONGEST_WAIT = 0.5
"""The longest wait on Windows, in seconds, because pyserial misses a wake just before a wait begins."""


def candidate_ports() -> list[str]:
    """The serial ports that could be a terminal, the likeliest first, with every interface of a composite device."""
    found = sorted(_present(), key=lambda port: (not is_likely(port), port.vid is None, port.device))
    return [port.device for port in found]


def _present() -> list[Any]:
    for _ in range(_LOOKS):
        # pyserial fails if a port is unplugged while it lists them.
        with contextlib.suppress(OSError, TypeError, ValueError):
            return list(list_ports.comports())
    return []


def is_likely(port: Any) -> bool:
    """Whether a port of pyserial's list is probably a terminal: by its USB vendor or its description."""
    words = f"{port.description} {port.manufacturer} {port.product}".lower()
    return port.vid == _VENDOR or any(word in words for word in _LIKELY)


def device_of(port: Any) -> str | None:
    """An identity of a USB port that stays the same when its name changes; ``None`` for other ports.

    It has the vendor, the product, the serial number (or the USB socket) and the interface:
    ``usb:2FB8:225E:0820123456:0``.
    """
    socket, _, interface = (port.location or "").partition(":")
    unit = f":{port.serial_number}" if port.serial_number else f"@{socket}"
    if port.vid is None or unit == "@":
        return None
    # An interface is 1.0 on Linux, where the 1 is its configuration, and x.0 on Windows.
    part = f":{interface.rpartition('.')[2]}" if interface else ""
    return f"usb:{port.vid:04X}:{port.pid:04X}{unit}{part}"


def _devices() -> dict[str, str]:
    """The USB devices that are plugged in, by the canonical name of their port."""
    return {_plain(port.device): device for port in _present() if (device := device_of(port))}


def _plain(port: str) -> str:
    """The canonical name of a port."""
    if os.name == "nt":
        return port.upper().removeprefix("\\\\.\\")
    return os.path.realpath(port).replace("/dev/tty.", "/dev/cu.")  # macOS has both, and lists the second


def _where_now(port: str, device: str | None) -> str:
    """The port of ``device`` now, if exactly one other port is that device; otherwise ``port``."""
    if device is None:
        return port
    devices = _devices()
    found = [name for name in devices if devices[name] == device]
    return found[0] if len(found) == 1 and found[0] != _plain(port) else port


class _Unflushed(serial.Serial):
    """pyserial's port, without its flush at opening."""

    def _reset_input_buffer(self) -> None: ...


def open_serial(port: str, baudrate: int) -> serial.Serial:
    """Open the port, with DTR and RTS on.

    Raises:
        PortBusy: another process is using the port, or it is not ready yet.
        PortPermissionDenied: the user has no permission to open it.
        ConnectError: it does not exist, or cannot be opened.
        InvalidValue: the name or the baud rate is not valid.
    """
    if not isinstance(port, str):
        raise InvalidType(f"port must be the name of a port, such as /dev/ttyACM0 or COM3, not {type(port).__name__}")
    if not isinstance(baudrate, int) or isinstance(baudrate, bool):
        raise InvalidType(f"baudrate must be an int, not {type(baudrate).__name__}")
    if not 0 < baudrate < 2**31:
        raise InvalidValue("baudrate must be from 1 to 2147483647, usually 115200")
    try:
        line = _Unflushed(baudrate=baudrate, timeout=0, write_timeout=0, exclusive=True)
        line.port = port
        line.dtr = line.rts = True
        line.open()
    except (serial.SerialException, OSError) as error:
        raise _open_error(port, error) from error
    except ValueError as error:
        raise InvalidValue(f"{port!r} cannot be opened at {baudrate} baud: {error}") from error
    return line


def _open_error(port: str, error: Exception) -> ConnectError:
    code = getattr(error, "errno", None)
    text = str(error).lower()
    if code in (errno.EACCES, errno.EPERM) or ("permission" in text and os.name != "nt"):
        return PortPermissionDenied(
            f"{port}: this user has no permission to open it; on Linux add the user to the group of the port, usually "
            "dialout (sudo usermod -aG dialout $USER), and log in again"
        )
    if code in (errno.EBUSY, errno.EAGAIN) or "lock" in text or "access is denied" in text:
        return PortBusy(
            f"{port} is in use by another process, or not ready yet after plugging in: close the other program, keep "
            "ModemManager away from it, or try again in half a minute"
        )
    if code in (errno.ENOENT, errno.ENODEV, errno.ENXIO) or "no such file" in text or "filenotfound" in text:
        there = ", ".join(candidate_ports()) or "none"
        return ConnectError(f"{port} does not exist: plug the terminal in and check the name; ports present: {there}")
    return ConnectError(f"{port} cannot be opened as a serial port, check its name: {error}")


def _lost(name: str, error: Exception | None = None) -> Disconnected:
    reason = f": {error}" if error else ""
    return Disconnected(f"{name} was disconnected{reason}: check the cable, then call polling()")


def _write_error(name: str, written: int, error: Exception | None) -> TransportError:
    if written:
        return PartialWrite(f"{name}: only {written} bytes were written: check the cable", bytes_written=written)
    if error is not None:
        return _lost(name, error)
    return WriteTimeout(f"{name} accepts no bytes: restart the terminal or plug it in again")


class _Port:
    """A port that is found again if its device gets another name."""

    def __init__(self, port: str, *, baudrate: int = 115200) -> None:
        self.name = port
        self.device: str | None = None
        self._baudrate = baudrate
        self._line: serial.Serial | None = None
        self._woken = False

    def _opened(self) -> serial.Serial:
        if self._line is None:
            raise Disconnected(f"{self.name} is not open: call polling() first")
        return self._line

    def _open(self) -> None:
        if self._line is None:
            port = _where_now(self.name, self.device)
            self._line = open_serial(port, self._baudrate)
            self._woken, self.device = False, _devices().get(_plain(port))

    def _close(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            try:
                line.close()
            except (OSError, serial.SerialException):
                # The descriptor is gone all the same. pyserial would close it again when it is collected, and by then
                # its number may be another file's.
                line.fd = None


class _Descriptor(_Port):
    """The part that the blocking and the asyncio transport share on POSIX."""

    def _fileno(self) -> int:
        return int(self._opened().fileno())

    def _open(self) -> None:
        if self._line is None:
            super()._open()
            try:
                fd = self._fileno()
                os.set_blocking(fd, False)
                # With VMIN 1 an empty read can only mean that the port is gone; "nothing yet" raises BlockingIOError.
                settings = termios.tcgetattr(fd)
                settings[6][termios.VMIN] = 1
                termios.tcsetattr(fd, termios.TCSANOW, settings)
            except (OSError, termios.error) as error:
                self._close()
                raise _open_error(self.name, error) from error

    def _read_now(self, fd: int) -> bytes | None:
        """The bytes that have arrived; ``None`` if there are none yet."""
        try:
            data = os.read(fd, AT_ONCE)
        except BlockingIOError:
            return None
        except OSError as error:
            raise _lost(self.name, error) from error
        if not data:
            raise _lost(self.name)
        return data

    def _writes(self, data: bytes, fd: int) -> Iterator[int]:
        """Write ``data``; yields the number of bytes written so far whenever the port is not ready."""
        view, written = memoryview(data), 0
        while written < len(data):
            try:
                written += os.write(fd, view[written:])
            except BlockingIOError:
                yield written
            except OSError as error:
                raise _write_error(self.name, written, error) from error


class _PosixSerialTransport(_Descriptor, Transport):
    def __init__(self, port: str, *, baudrate: int = 115200) -> None:
        super().__init__(port, baudrate=baudrate)
        self._wake_read, self._wake_write = -1, -1
        self._lock = threading.Lock()

    def open(self) -> None:
        self._open()
        if self._wake_read < 0:
            self._wake_read, self._wake_write = os.pipe()
            os.set_blocking(self._wake_read, False)
            os.set_blocking(self._wake_write, False)

    def read(self, deadline: float) -> bytes:
        fd = self._fileno()
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        poll.register(self._wake_read, select.POLLIN)
        while True:
            left = max(0.0, deadline - time.monotonic())
            ready = dict(poll.poll(left * 1000))
            if fd in ready:
                data = self._read_now(fd)
                if data is not None:
                    return data
            if self._wake_read in ready:
                os.read(self._wake_read, 64)
                return b""
            if time.monotonic() >= deadline:
                return b""

    def write(self, data: bytes, deadline: float) -> None:
        fd = self._fileno()
        poll = select.poll()
        poll.register(fd, select.POLLOUT)
        for written in self._writes(data, fd):
            left = deadline - time.monotonic()
            if left <= 0 or not poll.poll(left * 1000):
                raise _write_error(self.name, written, None)

    def wake(self) -> None:
        with self._lock, contextlib.suppress(OSError):
            if self._wake_write >= 0:
                os.write(self._wake_write, b"w")

    def close(self) -> None:
        self._close()
        with self._lock:
            for fd in (self._wake_read, self._wake_write):
                if fd >= 0:
                    os.close(fd)
            self._wake_read = self._wake_write = -1


class _PosixAsyncSerialTransport(_Descriptor, AsyncTransport):
    def __init__(self, port: str, *, baudrate: int = 115200) -> None:
        super().__init__(port, baudrate=baudrate)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: asyncio.Future[None] | None = None
        self._waited = True
        """Whether other tasks could run during the last read."""

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._open()

    async def read(self, deadline: float) -> bytes:
        if not self._waited:
            await asyncio.sleep(0)
        fd, self._waited = self._fileno(), False
        while True:
            data = self._read_now(fd)
            if data is not None:
                return data
            self._waited = True
            if self._woken or not await self._ready(fd, deadline, write=False):
                self._woken = False
                return b""

    async def write(self, data: bytes, deadline: float) -> None:
        fd = self._fileno()
        for written in self._writes(data, fd):
            if not await self._ready(fd, deadline, write=True):
                raise _write_error(self.name, written, None)

    async def _ready(self, fd: int, deadline: float, *, write: bool) -> bool:
        """Wait until the port can be read or written, or ``wake`` is called; ``False`` at the deadline."""
        loop = asyncio.get_running_loop()
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        waiting = self._waiting = loop.create_future()
        timer = loop.call_later(left, _finish, waiting, False)
        (loop.add_writer if write else loop.add_reader)(fd, _finish, waiting, True)
        try:
            return bool(await waiting)
        finally:
            timer.cancel()
            (loop.remove_writer if write else loop.remove_reader)(fd)
            self._waiting = None

    def wake(self) -> None:
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._wake_now)

    def _wake_now(self) -> None:
        self._woken = True
        if self._waiting is not None:
            _finish(self._waiting, True)

    async def close(self) -> None:
        self._close()


def _finish(waiting: asyncio.Future[Any], value: bool) -> None:
    if not waiting.done():
        waiting.set_result(value)


class PortableSerialTransport(_Port, Transport):
    """The blocking transport through pyserial alone, for systems whose ports cannot be polled."""

    def open(self) -> None:
        self._open()

    def read(self, deadline: float) -> bytes:
        line = self._opened()
        try:
            while True:
                left = 0.0 if self._woken else max(0.0, deadline - time.monotonic())
                line.timeout = min(left, _LONGEST_WAIT)
                data = line.read(1)
                if data:
                    return bytes(data + line.read(min(line.in_waiting, AT_ONCE - 1)))
                # A wake during the call hides the bytes that are there.
                if (self._woken or left <= 0) and not line.in_waiting:
                    self._woken = False
                    return b""
        except (OSError, serial.SerialException, TypeError) as error:
            raise _lost(self.name, error) from error

    def write(self, data: bytes, deadline: float) -> None:
        line = self._opened()
        try:
            line.write_timeout = max(0.001, deadline - time.monotonic())
            line.write(data)
        except serial.SerialTimeoutException as error:
            # pyserial does not say how many bytes left, so they may all have.
            raise PartialWrite(
                f"{self.name} did not accept all bytes in time: check the cable", bytes_written=len(data)
            ) from error
        except (OSError, serial.SerialException) as error:
            raise PartialWrite(
                f"{self.name} was disconnected during a write: check the cable", bytes_written=len(data)
            ) from error

    def wake(self) -> None:
        self._woken = True
        line = self._line
        if line is not None:
            # The port may be closing in another thread.
            with contextlib.suppress(OSError, TypeError, AttributeError):
                line.cancel_read()

    def close(self) -> None:
        self._close()


class PortableAsyncSerialTransport(AsyncTransport):
    """The portable transport in threads, for event loops that cannot wait for a serial port."""

    def __init__(self, port: str, *, baudrate: int = 115200) -> None:
        self._blocking = PortableSerialTransport(port, baudrate=baudrate)
        self.name = port

    async def open(self) -> None:
        await asyncio.to_thread(self._blocking.open)
        self.device = self._blocking.device

    async def read(self, deadline: float) -> bytes:
        data: bytes = await self._shielded(self._blocking.read, deadline)
        return data

    async def write(self, data: bytes, deadline: float) -> None:
        await self._shielded(self._blocking.write, data, deadline)

    async def _shielded(self, work: Any, *arguments: Any) -> Any:
        """Run in a thread. A cancellation wakes it and waits for it, so that no two threads use the port."""
        task = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self._blocking.wake()
            with contextlib.suppress(TransportError):
                await task
            raise

    def wake(self) -> None:
        self._blocking.wake()

    async def close(self) -> None:
        await asyncio.to_thread(self._blocking.close)


SerialTransport = _PosixSerialTransport if os.name == "posix" else PortableSerialTransport
AsyncSerialTransport = _PosixAsyncSerialTransport if os.name == "posix" else PortableAsyncSerialTransport
