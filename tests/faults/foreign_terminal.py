"""A terminal written from the protocol page alone: it shares no line with the library, and keeps books of its own.

It answers on a serial line, over TCP and over HTTP, on either wire. What its firmware is like is set on it, and what it
does with its next commands is told by ``then``. ``serving(terminal)`` runs it beside a test.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import operator
import os
import select
import socket
import struct
import threading
import time
import tty
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from typing import Any

Fields = dict[str, Any]
Turn = Callable[["Terminal", Fields], Iterator[Any]]
"""What a terminal does with a command: it yields seconds to wait, bytes to write, fields to reply, ``ACK``, ``CUT``."""

ACK = b'{"Received":true}'
CUT = object()
"""The terminal closes the connection."""

SALE, VOID, REFUND = 100, 102, 108
_HEAD = ("Command", "ResponseCode", "ResponseMessage")
_VOUCHER = (
    "CommerceCode", "TerminalId", "Ticket", "AuthorizationCode", "Amount", "SharesNumber", "SharesAmount",
    "Last4Digits", "OperationId", "CardType", "AccountingDate", "AccountNumber", "CardBrand", "RealDate", "EmployeeId",
    "Tip", "SaleType", "PosMode", "Cashback",
)  # fmt: skip
_UNDONE = ("CommerceCode", "TerminalId", "AuthorizationCode", "OperationId", "Success")
_REPLIES = {100: _VOUCHER, 109: _VOUCHER, 102: _UNDONE, 108: (*_UNDONE, "DateTime"), 103: ("CommerceCode", "Success")}
_COMMANDS = {
    100: ("Amount", "TicketNumber", "PrintOnPos", "SaleType", "EmployeeId"),
    102: ("OperationId", "PrintOnPos"),
    108: ("AuthorizationCode", "Amount", "PrintOnPos"),
}


def seal(fields: Fields) -> bytes:
    text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False)
    sign = hashlib.sha256(text.encode()).hexdigest().upper()
    return json.dumps({"JsonSerialized": text, "Sign": sign}, separators=(",", ":"), ensure_ascii=False).encode()


def frame(fields: Fields) -> bytes:
    """A reply of the simplified wire."""
    code = fields["FunctionCode"]
    names = _REPLIES.get(code, ()) if fields["ResponseCode"] == 0 else ()
    parts = [str(code), *(str(fields.get(name, "")) for name in (*_HEAD[1:], *names))]
    while parts[-1] == "":
        parts.pop()
    text = ("|".join(parts) + "|").encode() + b"\x03"
    return b"\x02" + text + bytes([functools.reduce(operator.xor, text)])


def camel(fields: Fields) -> Fields:
    return {name[:1].lower() + name[1:]: value for name, value in fields.items()}


def split(unread: bytes) -> tuple[bytes | None, bytes]:
    """The first whole message, by counting braces outside of strings, and what follows it."""
    places = [place for place in (unread.find(b"{"), unread.find(b"\x02")) if place >= 0]
    if not places:
        return None, b""
    start = min(places)
    if unread[start] == 2:
        end = unread.find(b"\x03", start)
        return (None, unread) if not 0 <= end < len(unread) - 1 else (unread[start : end + 1], unread[end + 2 :])
    depth, inside, escaped = 0, False, False
    for place in range(start, len(unread)):
        letter = unread[place : place + 1]
        if inside:
            inside = escaped or letter != b'"'
            escaped = letter == b"\\" and not escaped
        elif letter == b'"':
            inside = True
        else:
            depth += (letter == b"{") - (letter == b"}")
            if depth == 0:
                return unread[start : place + 1], unread[place + 1 :]
    # A torn message would swallow all that follows: what is old is thrown away.
    torn = unread.find(b'{"JsonSerialized"', start + 1)
    return split(unread[torn:]) if torn > 0 else (None, unread)


def understand(message: bytes) -> Fields | None:
    """The command in a message, ``{}`` for a sign of receipt, ``None`` for what is damaged."""
    if message[:1] == b"\x02":
        code, *values = message[1:-1].decode().rstrip("|").split("|")
        told = dict(zip(_COMMANDS.get(int(code), ()), values, strict=False))
        number = {name: int(value) for name, value in told.items() if name in ("Amount", "OperationId")}
        return {**told, **number, "Command": int(code), "wire": "simplified"}
    outer = json.loads(message)
    if "Received" in outer:
        return {}
    text = outer["JsonSerialized"]
    signed = hashlib.sha256(text.encode()).hexdigest().upper() == outer["Sign"].upper()
    command: Fields | None = json.loads(text) if signed else None
    return command


# ---------------------------------------------------------------------------------------------------------------- lines


class Cable:
    """A serial line that a register opens by ``name``; ``link`` is another name that leads there."""

    says_received = True

    def __init__(self, link: str | os.PathLike[str] | None = None) -> None:
        self.master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.name = os.ttyname(self._slave)
        self.unread = b""
        if link is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(link)
            os.symlink(self.name, link)

    def fileno(self) -> int:
        return self.master

    def read(self) -> bool:
        self.unread += os.read(self.master, 65536)
        return True

    def write(self, data: bytes) -> None:
        os.write(self.master, data)

    def end(self) -> None:
        """The command was carried out."""

    def close(self) -> None:
        os.close(self._slave)
        os.close(self.master)


class Peer:
    """One connection over TCP."""

    says_received = True

    def __init__(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection = connection
        self.unread = b""

    def fileno(self) -> int:
        return self.connection.fileno()

    def read(self) -> bool:
        """False where the register has gone."""
        try:
            data = self.connection.recv(65536)
        except OSError:
            return False
        self.unread += data
        return bool(data)

    def write(self, data: bytes) -> None:
        self.connection.sendall(data)

    def end(self) -> None:
        """The command was carried out."""

    def close(self, *, reset: bool = False) -> None:
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


class Browser(Peer):
    """One connection over HTTP: what is written is the body of the response."""

    says_received = False

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(connection)
        self._body = b""

    def read(self) -> bool:
        if not super().read():
            return False
        _, _, body = self.unread.partition(b"\r\n\r\n")
        if b"{" in body and split(body)[0] is not None:
            self.unread = body
        return True

    def write(self, data: bytes) -> None:
        self._body += data

    def end(self) -> None:
        if self._body:
            self.connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(self._body) + self._body)
            self._body = b""


Line = Cable | Peer


# ------------------------------------------------------------------------------------------------------------- terminal


class Terminal:
    """One terminal with its firmware, its operations and the lines on which it can be reached."""

    camel_case = False
    dates: str | None = "%Y-%m-%d %H:%M:%S"
    """How it writes when an operation was made; ``None``: it does not say."""
    record_dates: str | None = "%Y-%m-%d %H:%M:%S"
    """The same in its last voucher."""
    takes_iso_dates = True
    closes_after_reply = False
    delivers_unsent = False
    """A reply that could not be sent is, when the line is there again."""
    refuses_record: int | None = None
    """The response code to any question for its last voucher."""

    def __init__(self, terminal_id: str = "20129179", commerce: int = 266665) -> None:
        self.terminal_id, self.commerce = terminal_id, commerce
        self.operations: list[Fields] = []
        """Its books: what it has carried out."""
        self.heard: list[Fields] = []
        """The commands that it got."""
        self.vouchers: list[Fields] = []
        self.says: Callable[[Fields], Fields] = dict
        """Every approved reply as this firmware writes it."""
        self.records: Callable[[Fields], Fields] = dict
        """Every last voucher as this firmware writes it."""
        self.cancelled = False
        self.shift = 0.0
        """Seconds by which its clock is ahead."""
        self._turns: dict[int, deque[Turn]] = defaultdict(deque)
        self.lines: list[Line] = []
        self._doors: list[tuple[socket.socket, type[Peer]]] = []
        self._is_leaving = False
        self._unsent: list[bytes] = []
        self._running: tuple[Iterator[Any], Line, Fields] | None = None
        self._resume_at = 0.0

    # ------------------------------------------------------------------------------------------------ what a test tells

    def then(self, code: int, *turns: Turn) -> None:
        """What it does with the next commands of that code; after that it carries them out again."""
        self._turns[code].extend(turns)

    def plug(self, link: str | os.PathLike[str] | None = None) -> str:
        """A serial line, and the name by which it is opened."""
        cable = Cable(link)
        self.lines.append(cable)
        self._deliver(cable)
        return str(link or cable.name)

    def unplug(self) -> None:
        """All ways to it are cut, as by pulling a cable."""
        self._is_leaving = True
        while self._is_leaving:
            time.sleep(0.001)

    def go_away(self) -> None:
        """The same, for one of its own turns."""
        for line in [*self.lines]:
            self._drop(line)
        while self._doors:
            self._doors.pop()[0].close()

    def listen(self, *, http: bool = False, port: int = 0) -> int:
        """The port on this machine where it answers over TCP, or over HTTP."""
        door = socket.create_server(("127.0.0.1", port))
        self._doors.append((door, Browser if http else Peer))
        number: int = door.getsockname()[1]
        return number

    def rest(self) -> None:
        """Wait until it is at no command."""
        while self._running is not None:
            time.sleep(0.001)

    def charges(self, ticket: str | None = None) -> int:
        """How often money was taken, for one ticket or at all."""
        return sum(one["code"] == SALE and ticket in (None, one["ticket"]) for one in self.operations)

    def sent(self, code: int) -> int:
        """How often a command was received."""
        return sum(command["Command"] == code for command in self.heard)

    # ---------------------------------------------------------------------------------------------------------- serving

    def step(self) -> None:
        """Wait a moment, take what comes, and go on with what is being done."""
        wait = 0.01 if self._running is None else max(0.0, min(0.01, self._resume_at - time.monotonic()))
        doors = {door.fileno(): (door, kind) for door, kind in self._doors}
        lines = {line.fileno(): line for line in self.lines}
        for number in select.select([*doors, *lines], [], [], wait)[0]:
            if number in doors:
                door, kind = doors[number]
                self.lines.append(kind(door.accept()[0]))
                self._deliver(self.lines[-1])
            else:
                self._read(lines[number])
        if self._is_leaving:
            self.go_away()
            self._is_leaving = False
        self._go_on()

    def _drop(self, line: Line) -> None:
        if line in self.lines:
            self.lines.remove(line)
            line.close()

    def _deliver(self, line: Line) -> None:
        while self._unsent:
            line.write(self._unsent.pop(0))

    def _read(self, line: Line) -> None:
        if not line.read():
            self._drop(line)
            return
        while (found := split(line.unread))[0] is not None and not line.unread.startswith(b"POST"):
            message, line.unread = found
            with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
                self.hear(message, line)

    def hear(self, message: bytes, line: Line) -> None:
        command = understand(message)
        if command == {}:
            return
        if command is None or ("T" in str(command.get("DateTime", "")) and not self.takes_iso_dates):
            self.write(b'{"Received":false}', line, command or {})
            return
        code = command["Command"]
        self.heard.append(command)
        if code != 116 and self._running is not None:
            for item in (ACK, {"FunctionCode": code, "ResponseCode": 1007, "ResponseMessage": "Terminal ocupado"}):
                self.send(item, line, command)
            line.end()
            return
        if code == 116:
            self.cancelled = self._running is not None
            answer = {"FunctionCode": 116, "ResponseCode": 0 if self.cancelled else 20, "ResponseMessage": ""}
            for item in (ACK, answer):
                self.send(item, line, command)
            line.end()
            return
        self.cancelled = False
        turn = self._turns[code].popleft() if self._turns[code] else type(self).carry_out
        self._running, self._resume_at = (turn(self, command), line, command), 0.0
        self._go_on()

    def _go_on(self) -> None:
        while self._running is not None and time.monotonic() >= self._resume_at:
            doing, line, command = self._running
            item = next(doing, None)
            if item is None:
                self._running = None
                if line in self.lines:
                    line.end()
                    if self.closes_after_reply and isinstance(line, Peer):
                        self._drop(line)
            elif isinstance(item, (int, float)):
                self._resume_at = time.monotonic() + item
            elif item is CUT:
                self._drop(line)
            else:
                self.send(item, line, command)

    def send(self, item: bytes | Fields, line: Line, command: Fields) -> None:
        simplified = command.get("wire") == "simplified"
        if item == ACK and (simplified or not line.says_received):
            return
        if isinstance(item, dict):
            item = camel(item) if self.camel_case else item
            item = frame(item) if simplified else seal(item)
            if line not in self.lines and self.delivers_unsent:
                self._unsent.append(item)
        self.write(item, line, command)

    def write(self, data: bytes, line: Line, command: Fields) -> None:
        if line in self.lines:
            with contextlib.suppress(OSError):
                line.write(data)

    # --------------------------------------------------------------------------------------------------------- business

    def carry_out(self, command: Fields) -> Iterator[Any]:
        """What a terminal that is well does with a command."""
        yield ACK
        yield self.answer(command)

    def answer(self, command: Fields) -> Fields:
        code = command["Command"]
        if code in (SALE, VOID, REFUND):
            return self.charge(command)
        if code == 101:
            return self.last_voucher()
        more = {106: {"Connected": True}, 114: {"TerminalId": self.terminal_id}, 105: {"SaleDetails": []}}
        return {"FunctionCode": code, "ResponseCode": 0, "ResponseMessage": "Aprobado", **more.get(code, {})}

    def charge(self, command: Fields) -> Fields:
        """Carry out what moves money, and return the reply."""
        code = command["Command"]
        voucher = self.record(code, command.get("Amount"), command.get("TicketNumber", ""), command)
        return self.says(self._dated(voucher, self.dates))

    def key_in(self, amount: int, code: int = SALE, **more: Any) -> None:
        """An operation that somebody keys in at the terminal itself."""
        self.record(code, amount, "", more)

    def record(self, code: int, amount: int | None, ticket: str, command: Fields) -> Fields:
        number = len(self.operations) + 1
        # One operation a minute, as a clock of minutes can tell apart.
        self.shift += 60
        refers_to = {VOID: command.get("OperationId"), REFUND: command.get("AuthorizationCode")}.get(code)
        authorization = f"{100_000 + number * 37:06d}"
        self.operations.append(
            {"code": code, "ticket": ticket, "amount": amount, "authorization_code": authorization, "of": refers_to}
        )
        voucher = {
            "FunctionCode": code, "ResponseCode": 0, "ResponseMessage": "Aprobado", "CommerceCode": self.commerce,
            "TerminalId": self.terminal_id, "Ticket": ticket, "AuthorizationCode": authorization, "Amount": amount,
            "SharesNumber": 0, "SharesAmount": 0, "Last4Digits": "1690", "OperationId": number, "CardType": "DB",
            "CardBrand": "VI", "EmployeeId": 1, "Tip": 0, "SaleType": 0, "PosMode": 1, "at": time.time() + self.shift,
        }  # fmt: skip
        if code != SALE:
            for name in ("Ticket", "Amount", "SharesNumber", "SharesAmount", "Last4Digits", "CardType", "CardBrand"):
                del voucher[name]
            voucher["Success"] = True
        self.vouchers.append(voucher)
        return voucher

    def _dated(self, voucher: Fields, form: str | None) -> Fields:
        told = {name: value for name, value in voucher.items() if name != "at"}
        if form is None:
            return told
        return {**told, "RealDate": time.strftime(form, time.gmtime(voucher["at"]))}

    def shown_vouchers(self) -> list[Fields]:
        """All of its vouchers, as it shows them afterwards."""
        return [self.records(self.says(self._dated(voucher, self.record_dates))) for voucher in self.vouchers]

    def last_voucher(self) -> Fields:
        if self.refuses_record is not None:
            return {"FunctionCode": 101, "ResponseCode": self.refuses_record, "ResponseMessage": "Ocupado"}
        if not self.vouchers:
            return {"FunctionCode": 101, "ResponseCode": 99, "ResponseMessage": "No hay transacciones"}
        return self.shown_vouchers()[-1]


# ------------------------------------------------------------------------------------ what it may do with a command


def lost(terminal: Terminal, command: Fields) -> Iterator[Any]:
    """The command never reaches it."""
    yield from ()


def charges_and_is_silent(terminal: Terminal, command: Fields) -> Iterator[Any]:
    """It is carried out, and the reply is lost."""
    yield ACK
    terminal.charge(command)


def charges_and_is_cut_off(terminal: Terminal, command: Fields) -> Iterator[Any]:
    """It is carried out, and the line goes before the reply can be sent."""
    yield ACK
    reply = terminal.charge(command)
    yield CUT
    yield reply


def waits(seconds: float) -> Turn:
    """The customer takes that long."""

    def turn(terminal: Terminal, command: Fields) -> Iterator[Any]:
        yield ACK
        yield seconds
        yield terminal.answer(command)

    return turn


def charges_late(seconds: float) -> Turn:
    """It is carried out at once, and the reply takes that long."""

    def turn(terminal: Terminal, command: Fields) -> Iterator[Any]:
        yield ACK
        reply = terminal.charge(command)
        yield seconds
        yield reply

    return turn


def refuses(code: int, *, charged: bool = False) -> Turn:
    """It answers a response code other than 0, with or without having taken the money."""

    def turn(terminal: Terminal, command: Fields) -> Iterator[Any]:
        yield ACK
        if charged:
            terminal.charge(command)
        yield {"FunctionCode": command["Command"], "ResponseCode": code, "ResponseMessage": "No se pudo"}

    return turn


def changed(**fields: Any) -> Callable[[Fields], Fields]:
    """Messages in which these fields are so, where there are such fields."""
    return lambda told: {**told, **{name: value for name, value in fields.items() if name in told}}


def without(*names: str) -> Callable[[Fields], Fields]:
    """Messages that lack these fields."""
    return lambda told: {name: value for name, value in told.items() if name not in names}


@contextlib.contextmanager
def serving(*terminals: Terminal) -> Iterator[None]:
    """They answer until the test ends."""
    over = threading.Event()

    def run(terminal: Terminal) -> None:
        while not over.is_set():
            terminal.step()
        terminal.go_away()

    threads = [threading.Thread(target=run, args=(terminal,)) for terminal in terminals]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()
