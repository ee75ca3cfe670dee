"""The USB transports on real pseudo-terminals: that of POSIX and the portable one, blocking and on the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import subprocess
import sys
import termios
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import serial
from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from getnet_pos import (
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
from getnet_pos.transports.serial import (
    AsyncSerialTransport,
    PortableAsyncSerialTransport,
    PortableSerialTransport,
    SerialTransport,
    candidate_ports,
    device_of,
    open_serial,
)
from tests.faces import Threaded


class Line:
    """A pseudo-terminal whose far end the test holds: what a terminal would write and read."""

    def __init__(self) -> None:
        self.far, self._near = os.openpty()
        termios_raw(self._near)
        self.name = os.ttyname(self._near)
        self.plugged = True

    def write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self.far, data) :]

    def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            data += os.read(self.far, size - len(data))
        return data

    def close_for_others(self) -> None:
        """Take the open line away from whoever has it in this process."""
        for descriptor in map(int, os.listdir("/dev/fd")):
            with contextlib.suppress(OSError):
                if descriptor != self._near and os.ttyname(descriptor) == self.name:
                    os.close(descriptor)

    def unplug(self) -> None:
        if self.plugged:
            self.plugged = False
            os.close(self._near)
            os.close(self.far)


def termios_raw(descriptor: int) -> None:
    """Raw, so that the far end sees no echo before a transport has opened the line."""
    settings = termios.tcgetattr(descriptor)
    settings[3] &= ~(termios.ECHO | termios.ICANON)
    termios.tcsetattr(descriptor, termios.TCSANOW, settings)


@pytest.fixture
def line() -> Iterator[Line]:
    line = Line()
    yield line
    line.unplug()


KINDS = {
    "posix": lambda name: Threaded(SerialTransport(name), at_once=("wake",)),
    "posix-asyncio": AsyncSerialTransport,
    "portable": lambda name: Threaded(PortableSerialTransport(name), at_once=("wake",)),
    "portable-asyncio": PortableAsyncSerialTransport,
}
ASYNC_KINDS = [AsyncSerialTransport, PortableAsyncSerialTransport]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
async def transport(kind: str, line: Line) -> AsyncIterator[Any]:
    transport = KINDS[kind](line.name)
    await transport.open()
    yield transport
    await transport.close()


def within(seconds: float) -> float:
    return time.monotonic() + seconds


async def read_all(transport: Any, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = await transport.read(within(5))
        assert piece
        data += piece
    return data


# ------------------------------------------------------------------------------------------------------------- bytes

EVERY_BYTE = bytes(range(256))


async def test_every_byte_passes_unchanged_both_ways(transport: Any, line: Line) -> None:
    await transport.write(EVERY_BYTE, within(1))
    assert line.read(256) == EVERY_BYTE
    line.write(EVERY_BYTE)
    assert await read_all(transport, 256) == EVERY_BYTE


async def test_much_passes_a_slow_reader_both_ways(transport: Any, line: Line) -> None:
    much = EVERY_BYTE * 800
    got = asyncio.create_task(asyncio.to_thread(line.read, len(much)))
    await transport.write(much, within(10))
    assert await got == much
    sent = asyncio.create_task(asyncio.to_thread(line.write, much))
    assert await read_all(transport, len(much)) == much
    await sent


async def test_the_port_is_set_to_115200_8n1_raw_without_flow_control(transport: Any, line: Line) -> None:
    iflag, oflag, cflag, lflag, ispeed, ospeed, _ = termios.tcgetattr(line.far)
    assert ispeed == ospeed == termios.B115200
    assert cflag & (termios.CSIZE | termios.PARENB | termios.CSTOPB) == termios.CS8
    assert not iflag & (termios.IXON | termios.IXOFF | termios.ICRNL | termios.INLCR | termios.ISTRIP)
    assert not oflag & termios.OPOST
    assert not lflag & (termios.ECHO | termios.ICANON | termios.ISIG)


# ------------------------------------------------------------------------------------------------------------ waiting


async def test_a_read_returns_as_soon_as_a_byte_comes(transport: Any, line: Line) -> None:
    delays = []
    for _ in range(5):
        waiting = asyncio.create_task(transport.read(within(5)))
        await asyncio.sleep(0.05)
        written = time.monotonic()
        line.write(b"x")
        assert await waiting == b"x"
        delays.append(time.monotonic() - written)
    assert min(delays) < 0.02


async def test_a_read_gives_up_at_its_deadline(transport: Any) -> None:
    begun = time.monotonic()
    assert await transport.read(begun + 0.7) == b""
    assert 0.69 < time.monotonic() - begun < 1.6


async def test_a_read_without_time_takes_what_is_there(transport: Any, line: Line) -> None:
    assert await transport.read(0.0) == b""
    line.write(b"there")
    await asyncio.sleep(0.05)
    assert await transport.read(0.0) == b"there"


async def test_waiting_takes_no_processor_time(transport: Any) -> None:
    used = time.process_time()
    assert await transport.read(within(0.5)) == b""
    assert time.process_time() - used < 0.025


async def test_waking_ends_a_wait(transport: Any, line: Line) -> None:
    waiting = asyncio.create_task(transport.read(within(5)))
    await asyncio.sleep(0.1)
    woken = time.monotonic()
    transport.wake()
    assert await waiting == b""
    assert time.monotonic() - woken < 1.0
    line.write(b"x")
    assert await transport.read(within(1)) == b"x"


async def test_waking_comes_before_a_wait_as_well_and_from_any_thread(transport: Any) -> None:
    waker = threading.Thread(target=transport.wake)
    waker.start()
    waker.join()
    await asyncio.sleep(0.01)
    begun = time.monotonic()
    assert await transport.read(within(5)) == b""
    assert time.monotonic() - begun < 1.0
    begun = time.monotonic()
    assert await transport.read(within(0.2)) == b""
    assert time.monotonic() - begun > 0.1  # once only


@pytest.mark.parametrize("deadline", [0.0, 5.0])
async def test_a_wake_hides_no_bytes(transport: Any, line: Line, deadline: float) -> None:
    """Whenever it came: what lies there is read first, and without a wait."""
    transport.wake()
    line.write(b"there")
    await asyncio.sleep(0.05)
    assert await read_all(transport, 5) == b"there"
    line.write(b"more")
    time.sleep(0.05)
    transport.wake()
    assert await transport.read(within(deadline) if deadline else 0.0) == b"more"


async def test_a_look_that_finds_nothing_forgets_a_wake(transport: Any) -> None:
    transport.wake()
    await asyncio.sleep(0.01)
    assert await transport.read(0.0) == b""
    begun = time.monotonic()
    assert await transport.read(within(0.2)) == b""
    assert time.monotonic() - begun > 0.15


async def test_waking_a_closed_transport_is_no_fault(kind: str, line: Line) -> None:
    transport = KINDS[kind](line.name)
    transport.wake()
    await transport.open()
    await transport.close()
    transport.wake()


def test_an_event_loop_that_has_ended_is_not_woken(line: Line) -> None:
    transport = AsyncSerialTransport(line.name)
    asyncio.run(transport.open())
    transport.wake()
    asyncio.run(transport.close())


@pytest.mark.parametrize("made", ASYNC_KINDS)
async def test_a_cancelled_read_leaves_the_next_one_whole(made: Any, line: Line) -> None:
    transport = made(line.name)
    await transport.open()
    for _ in range(3):
        waiting = asyncio.create_task(transport.read(within(5)))
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    line.write(b"whole")
    got = b""
    while len(got) < 5:
        got += await transport.read(within(1))
    assert got == b"whole"
    await transport.close()


@pytest.mark.parametrize("made", ASYNC_KINDS)
async def test_a_read_that_is_cancelled_on_a_dead_line_is_cancelled_all_the_same(made: Any, line: Line) -> None:
    transport = made(line.name)
    await transport.open()
    waiting = asyncio.create_task(transport.read(within(5)))
    await asyncio.sleep(0.05)
    line.unplug()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await transport.close()


# ----------------------------------------------------------------------------------------------------- open and close


async def test_opening_and_closing_twice_is_no_fault(transport: Any, line: Line) -> None:
    await transport.open()
    await transport.write(b"x", within(1))
    await transport.close()
    await transport.close()
    await transport.open()
    await transport.write(b"y", within(1))
    assert line.read(2) == b"xy"


async def test_a_transport_that_is_not_open_says_so(kind: str, line: Line) -> None:
    transport = KINDS[kind](line.name)
    with pytest.raises(Disconnected, match="is not open: call polling"):
        await transport.read(within(1))
    with pytest.raises(Disconnected, match="is not open"):
        await transport.write(b"x", within(1))


async def test_what_comes_before_and_while_it_is_opened_is_read(kind: str, line: Line) -> None:
    for _ in range(20):
        line.write(b"before ")
        transport = KINDS[kind](line.name)
        opening = asyncio.create_task(transport.open())
        await asyncio.to_thread(line.write, b"meanwhile")
        await opening
        assert await read_all(transport, 16) == b"before meanwhile"
        await transport.close()


# ------------------------------------------------------------------------------------------------------ what goes wrong


async def test_unplugging_ends_a_wait(transport: Any, line: Line) -> None:
    waiting = asyncio.create_task(transport.read(within(5)))
    await asyncio.sleep(0.1)
    gone = time.monotonic()
    line.unplug()
    with pytest.raises(Disconnected, match="check the cable, then call polling"):
        await waiting
    assert time.monotonic() - gone < 1.0


async def test_an_unplugged_line_is_neither_read_nor_written(transport: Any, line: Line) -> None:
    line.unplug()
    with pytest.raises(Disconnected):
        await transport.read(within(1))
    with pytest.raises(TransportError):
        await transport.write(b"x", within(1))
    await transport.close()
    with pytest.raises(ConnectError):
        await transport.open()


async def test_a_write_that_never_left_says_so(kind: str, line: Line) -> None:
    transport = KINDS[kind](line.name)
    await transport.open()
    line.unplug()
    with pytest.raises((Disconnected, PartialWrite)) as caught:
        await transport.write(b"sale", within(1))
    # pyserial does not tell, so the portable transport says that all may have left.
    assert caught.value.bytes_written == (4 if kind.startswith("portable") else 0)
    await transport.close()


async def test_a_write_into_a_full_line_stops_at_its_deadline(transport: Any, kind: str) -> None:
    much = bytes(1 << 20)
    begun = time.monotonic()
    with pytest.raises(PartialWrite) as caught:
        await transport.write(much, within(0.2))
    assert 0.15 < time.monotonic() - begun < 2.0
    if kind.startswith("portable"):
        assert caught.value.bytes_written == len(much)
        return
    assert 0 < caught.value.bytes_written < len(much)

    async def fill() -> None:
        while True:  # the system may find room for a few more
            await transport.write(b"x", within(0.1))

    with pytest.raises(WriteTimeout, match="accepts no bytes") as timed_out:
        await fill()
    assert timed_out.value.bytes_written == 0
    with pytest.raises(WriteTimeout):
        await transport.write(b"x", 0.0)


async def test_a_full_line_that_is_unplugged_tells_how_much_left(transport: Any, kind: str, line: Line) -> None:
    much = bytes(1 << 20)
    writing = asyncio.create_task(transport.write(much, within(5)))
    await asyncio.sleep(0.1)
    line.unplug()
    with pytest.raises(PartialWrite) as caught:
        await writing
    assert 0 < caught.value.bytes_written <= len(much)


HOLDER = """
import sys
from getnet_pos.transports.serial import SerialTransport
transport = SerialTransport(sys.argv[1])
transport.open()
print("open", flush=True)
sys.stdin.read()
"""


async def test_a_port_that_another_process_holds_is_busy(kind: str, line: Line) -> None:
    transport = KINDS[kind](line.name)
    command = [sys.executable, "-c", HOLDER, line.name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(PortBusy, match=r"in use by another process.*ModemManager"):
            await transport.open()
        holder.kill()  # and it is free at once, however the other one ends
    await transport.open()
    await transport.close()


async def test_a_port_that_this_process_holds_is_busy_too(transport: Any, line: Line) -> None:
    with pytest.raises(PortBusy):
        SerialTransport(line.name).open()


STRANGER = """
import os, sys
from getnet_pos import PortPermissionDenied
from getnet_pos.transports.serial import SerialTransport
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    SerialTransport(sys.argv[1]).open()
except PortPermissionDenied as error:
    print(error)
"""


def test_a_port_of_another_user_is_refused_with_advice(line: Line) -> None:
    os.chmod(line.name, 0)
    said = subprocess.run([sys.executable, "-c", STRANGER, line.name], capture_output=True, text=True, check=True)
    assert "this user has no permission to open it" in said.stdout
    assert "usermod -aG dialout" in said.stdout


async def test_a_missing_port_is_named_with_those_that_are_there(
    kind: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_ports, "comports", lambda: [port("/dev/ttyACM7")])
    with pytest.raises(ConnectError, match=r"does not exist.*ports present: /dev/ttyACM7"):
        await KINDS[kind](str(tmp_path / "ttyACM0")).open()
    monkeypatch.setattr(list_ports, "comports", list)
    with pytest.raises(ConnectError, match="ports present: none"):
        await KINDS[kind](str(tmp_path / "ttyACM0")).open()


async def test_what_is_no_serial_port_is_not_opened(kind: str, tmp_path: Any) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path, tmp_path / "file", "/dev/null"):
        with pytest.raises(ConnectError, match="cannot be opened as a serial port"):
            await KINDS[kind](str(path)).open()


@pytest.mark.parametrize("made", [SerialTransport, PortableSerialTransport])
def test_settings_that_no_port_has(made: Any, line: Line) -> None:
    for wrong in (0, -1, 2**31, 2**80):
        with pytest.raises(InvalidValue, match="baudrate"):
            made(line.name, baudrate=wrong).open()
    for unfit in ("115200", True, None, 115200.0):
        with pytest.raises(InvalidType, match="baudrate must be an int"):
            made(line.name, baudrate=unfit).open()
    with pytest.raises(InvalidType, match="port must be the name of a port"):
        made(3).open()
    with pytest.raises(InvalidValue, match="cannot be opened at 115200 baud"):
        made("/dev/tty\0").open()


def test_a_port_that_vanishes_while_it_is_set_up_is_closed(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    def vanished(*_: Any) -> None:
        raise termios.error(errno.EIO, "Input/output error")

    transport = SerialTransport(line.name)
    real = serial.Serial.open

    def open_and_vanish(port: serial.Serial) -> None:
        real(port)
        monkeypatch.setattr(termios, "tcgetattr", vanished)

    monkeypatch.setattr(serial.Serial, "open", open_and_vanish)
    with pytest.raises(ConnectError, match="cannot be opened as a serial port"):
        transport.open()
    with pytest.raises(Disconnected, match="is not open"):
        transport.read(0.0)


# -------------------------------------------------------------------------------------------- discovery, and the device


def port(
    device: str,
    description: str = "n/a",
    vid: int | None = None,
    product: str | None = None,
    serial_number: str | None = None,
    location: str | None = None,
) -> ListPortInfo:
    info = ListPortInfo(device, skip_link_detection=True)
    info.description, info.vid, info.pid, info.product = description, vid, vid and 0x225E, product
    info.serial_number, info.location = serial_number, location
    return info


@pytest.mark.parametrize(
    ("listed", "device"),
    [
        (port("/dev/ttyACM0", vid=0x2FB8, serial_number="0820", location="1-2:1.0"), "usb:2FB8:225E:0820:0"),
        (port("/dev/ttyACM1", vid=0x2FB8, serial_number="0820", location="1-2:1.2"), "usb:2FB8:225E:0820:2"),
        (port("/dev/ttyACM5", vid=0x2FB8, serial_number="0820", location="3-1:1.0"), "usb:2FB8:225E:0820:0"),
        (port("COM3", vid=0x2FB8, serial_number="0820", location="1-2:x.2"), "usb:2FB8:225E:0820:2"),
        (port("/dev/cu.usbmodem1", vid=0x2FB8, serial_number="0820", location="20-1"), "usb:2FB8:225E:0820"),
        (port("/dev/ttyACM0", vid=0x2FB8, location="1-2:1.0"), "usb:2FB8:225E@1-2:0"),
        (port("/dev/ttyUSB0", vid=0x0403, location="1-2.4"), "usb:0403:225E@1-2.4"),
        (port("/dev/ttyUSB0", vid=0x0403), None),
        (port("/dev/ttyS0"), None),
    ],
)
def test_what_names_a_device(listed: ListPortInfo, device: str | None) -> None:
    assert device_of(listed) == device


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The serial numbers of the terminals that are plugged in, by their port."""
    present: dict[str, str] = {}

    def comports() -> list[ListPortInfo]:
        return [port(name, vid=0x2FB8, serial_number=number, location="1-2:1.0") for name, number in present.items()]

    monkeypatch.setattr(list_ports, "comports", comports)
    return present


@pytest.fixture
def other_line() -> Iterator[Line]:
    line = Line()
    yield line
    line.unplug()


async def test_all_names_of_a_port_lead_to_one_device(
    kind: str, line: Line, plugged: dict[str, str], tmp_path: Any
) -> None:
    (tmp_path / "by-id").symlink_to(line.name)
    (tmp_path / "getnet-pos").symlink_to(tmp_path / "by-id")
    plugged[line.name] = "0820"
    for name in (line.name, str(tmp_path / "by-id"), str(tmp_path / "getnet-pos")):
        transport = KINDS[kind](name)
        assert transport.device is None, "it is known once the port was opened"
        await transport.open()
        assert transport.device == "usb:2FB8:225E:0820:0"
        await transport.close()


async def test_a_pseudo_terminal_is_no_device(transport: Any) -> None:
    assert transport.device is None


@pytest.mark.parametrize("spare", [None, "0555"], ids=["the name is gone", "the name is another terminal's"])
async def test_a_device_is_followed_to_its_new_name(
    kind: str, line: Line, other_line: Line, plugged: dict[str, str], tmp_path: Any, spare: str | None
) -> None:
    name = tmp_path / "ttyACM0"
    name.symlink_to(line.name)
    plugged[line.name] = "0820"
    transport = KINDS[kind](str(name))
    await transport.open()
    await transport.close()

    name.unlink()
    plugged[other_line.name] = plugged.pop(line.name)
    if spare is not None:
        name.symlink_to(line.name)
        plugged[line.name] = spare
    await transport.open()
    await transport.write(b"found", within(1))
    assert other_line.read(5) == b"found"
    assert transport.device == "usb:2FB8:225E:0820:0"
    await transport.close()


async def test_a_device_that_is_not_there_leaves_its_name_to_another(
    kind: str, line: Line, plugged: dict[str, str]
) -> None:
    """The transport says which one it is; who asks it decides what that means."""
    plugged[line.name] = "0820"
    transport = KINDS[kind](line.name)
    await transport.open()
    await transport.close()
    plugged[line.name] = "0555"
    await transport.open()
    assert transport.device == "usb:2FB8:225E:0555:0"
    await transport.close()


async def test_two_devices_that_look_the_same_are_not_taken_for_one(
    kind: str, line: Line, other_line: Line, plugged: dict[str, str], tmp_path: Any
) -> None:
    name = tmp_path / "ttyACM0"
    name.symlink_to(line.name)
    plugged[line.name] = "0000"
    transport = KINDS[kind](str(name))
    await transport.open()
    await transport.close()
    name.unlink()
    plugged[other_line.name] = "0000"
    with pytest.raises(ConnectError, match="does not exist"):
        await transport.open()


@pytest.mark.parametrize("name", ["COM12", "com12", r"\\.\COM12"])
def test_the_names_of_a_port_on_windows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """There a port is opened by any of them, and listed by one."""
    with monkeypatch.context() as windows:
        windows.setattr(os, "name", "nt")
        windows.setattr(list_ports, "comports", lambda: [port("COM12", vid=0x2FB8, serial_number="0820")])
        windows.setattr(serial.Serial, "open", lambda port: None)
        transport = PortableSerialTransport(name)
        transport.open()
    assert transport.device == "usb:2FB8:225E:0820"


def test_the_likeliest_ports_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        port("/dev/ttyS0"),
        port("/dev/ttyUSB0", "FT232R USB UART", 0x0403),
        port("/dev/ttyACM2", "PAX A920", 0x1234),
        port("/dev/ttyACM1", "USB Serial", 0x2FB8),
        port("/dev/ttyACM0", "USB Serial", 0x1234, "Getnet POS"),
    ]
    monkeypatch.setattr(list_ports, "comports", lambda: found)
    assert candidate_ports() == ["/dev/ttyACM0", "/dev/ttyACM1", "/dev/ttyACM2", "/dev/ttyUSB0", "/dev/ttyS0"]


def test_every_interface_of_a_device_is_a_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of them answers, others echo, and no name says which."""
    names = [f"/dev/ttyACM{number}" for number in (0, 1, 2)]
    found = [port(name, vid=0x2FB8, location=f"1-2:1.{2 * count}") for count, name in enumerate(names)]
    monkeypatch.setattr(list_ports, "comports", lambda: [port("/dev/ttyS0"), *found])
    assert candidate_ports() == [*names, "/dev/ttyS0"]


async def test_a_port_that_is_unplugged_while_the_ports_are_listed(
    kind: str, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pyserial stumbles then. They are listed again, and in the worst case no device is known."""
    failures = 1

    def comports() -> list[ListPortInfo]:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise TypeError("int() can't convert non-string with explicit base")
        return [port(line.name, vid=0x2FB8, serial_number="0820")]

    monkeypatch.setattr(list_ports, "comports", comports)
    assert candidate_ports() == [line.name]
    failures = 100
    assert candidate_ports() == []
    transport = KINDS[kind](line.name)
    await transport.open()
    assert transport.device is None
    await transport.close()


def test_the_ports_of_this_machine_can_be_listed() -> None:
    assert all(isinstance(name, str) for name in candidate_ports())


def refusing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Have the system refuse to open a port."""

    def refused(port: serial.Serial) -> None:
        raise error

    monkeypatch.setattr(serial.Serial, "open", refused)


def test_what_linux_says_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    refusing(monkeypatch, serial.SerialException(errno.EACCES, "could not open port /dev/ttyACM0: Permission denied"))
    with pytest.raises(PortPermissionDenied):
        open_serial("/dev/ttyACM0", 115200)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("could not open port 'COM3': PermissionError(13, 'Access is denied.', None, 5)", PortBusy),
        (
            "could not open port 'COM9': FileNotFoundError(2, 'The system cannot find the file specified.', None, 2)",
            ConnectError,
        ),
        ("could not open port 'COM3': OSError(22, 'The parameter is incorrect.', None, 87)", ConnectError),
    ],
)
def test_what_windows_says_is_understood(words: str, error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as windows:
        windows.setattr(list_ports, "comports", lambda: [port("COM4")])
        windows.setattr(os, "name", "nt")
        refusing(windows, serial.SerialException(words))
        with pytest.raises(ConnectError) as understood:
            open_serial("COM3", 115200)
    assert type(understood.value) is error
    if "FileNotFound" in words:
        assert "ports present: COM4" in str(understood.value)


def test_closing_never_fails(line: Line) -> None:
    for made in (SerialTransport, PortableSerialTransport):
        transport = made(line.name)
        transport.open()
        line.close_for_others()
        with pytest.raises(Disconnected):
            transport.read(0.0)
        transport.close()
