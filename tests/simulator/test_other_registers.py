"""Registers that read as Getnet's own libraries do, each simpler than the wire is, at a virtual terminal as it stands.

The one takes each read for one message, the one gathers text until it is a message and throws none of it away, the one
reads to the end of the stream. No line of the library's codec helps them.
"""

import hashlib
import json
import os
import socket
from contextlib import ExitStack

import pytest
import serial

from getnet_pos.simulator import Behaviour, Outcome, SerialServer, TcpServer, VirtualTerminal

RECEIVED = b'{"Received":true}'


def sealed(fields):
    text = json.dumps(fields, separators=(",", ":"))
    sign = hashlib.sha256(text.encode()).hexdigest().upper()
    return json.dumps({"JsonSerialized": text, "Sign": sign}, separators=(",", ":")).encode()


def opened(message):
    return json.loads(message["JsonSerialized"])


class Socket:
    def __init__(self, server):
        self.line = socket.create_connection(server.address, timeout=5)
        self.write, self.close = self.line.sendall, self.line.close

    def read(self):
        data = self.line.recv(65536)
        assert data, "the connection has ended"
        return data


class Port:
    def __init__(self, server):
        self.line = serial.Serial(server.device, 115200, timeout=5)
        self.write, self.close = self.line.write, self.line.close

    def read(self):
        data = self.line.read(1)
        assert data, "nothing came"
        return data + self.line.read(self.line.in_waiting)


class EachReadIsAMessage:
    """It acknowledges on a serial line alone."""

    def __init__(self, link):
        self.link = link

    def ask(self, **fields):
        self.link.write(sealed(fields))
        told = []
        while True:
            message = json.loads(self.link.read())
            if "Received" in message:
                assert message["Received"]
                continue
            if isinstance(self.link, Port):
                self.link.write(RECEIVED)
            told.append(opened(message))
            if "ResponseCode" in told[-1]:
                return told


class GathersText:
    """It acknowledges all."""

    def __init__(self, link):
        self.link, self.text = link, ""

    def ask(self, **fields):
        self.link.write(sealed(fields))
        told = []
        while True:
            self.text += self.link.read().decode()
            try:
                message = json.loads(self.text)
            except ValueError:
                continue
            self.text = ""
            if "Received" in message:
                continue
            self.link.write(RECEIVED)
            told.append(opened(message))
            if "ResponseCode" in told[-1]:
                return told


class ReadsToTheEnd:
    """It has a connection for each command, acknowledges in the end, and tells the kind of a reply by its text."""

    def __init__(self, server):
        self.server = server

    def ask(self, **fields):
        with socket.create_connection(self.server.address, timeout=5) as line:
            line.sendall(sealed(fields))
            text = b""
            while data := line.recv(4096):
                text += data
            line.sendall(RECEIVED)
        decoder, messages, rest = json.JSONDecoder(), [], text.decode()
        while rest:
            message, end = decoder.raw_decode(rest)
            messages.append(message)
            rest = rest[end:]
        assert messages[0] == {"Received": True}
        return [opened(message) for message in messages[1:]]


def kind_by_text(text):
    """The first code of a command that the text seems to name, as the library for Java looks for it."""
    return next((code for code in range(100, 117) if f'e":{code}' in text), None)


@pytest.fixture(params=["tcp", pytest.param("pty", marks=pytest.mark.skipif(os.name != "posix", reason="no pty here"))])
def connect(request, terminal):
    """``connect()`` is a new way to the terminal."""
    server = TcpServer(terminal) if request.param == "tcp" else SerialServer(terminal)
    with server, ExitStack() as stack:

        def connected():
            link = Socket(server) if request.param == "tcp" else Port(server)
            stack.callback(link.close)
            return link

        yield connected


@pytest.fixture
def terminal():
    return VirtualTerminal()


def a_day(terminal, register):
    """Commands as fast as they can be given, and what is told of each."""
    terminal.script.clear()
    sale = {"Command": 100, "TicketNumber": "A1", "PrintOnPos": False, "SaleType": 0, "EmployeeId": 1}
    *progress, paid = register.ask(**sale, Amount=700, SendMessage=True)
    assert [message["MessageCode"] for message in progress] == [78, 81, 82]
    assert (paid["ResponseCode"], paid["Ticket"]) == (0, "A1")
    terminal.script.append(Behaviour(outcome=Outcome.DECLINE))
    told = [
        register.ask(Command=106),
        register.ask(Command=101, PrintOnPos=False),
        register.ask(**sale, Amount=500, SendMessage=False),
        register.ask(**sale, Amount=0, SendMessage=True),
        register.ask(Command=102, OperationId=paid["OperationId"], PrintOnPos=False),
        register.ask(Command=101, PrintOnPos=False),
        register.ask(Command=116),
        register.ask(Command=104, PrintOnPos=False),
        register.ask(Command=98),
    ]
    assert [len(messages) for messages in told] == [1] * len(told)
    assert [(reply["FunctionCode"], reply["ResponseCode"]) for [reply] in told] == [
        (106, 0), (100, 0), (100, 2001), (0, 2002), (102, 0), (102, 0), (116, 2004), (104, 0), (0, 2002),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", [EachReadIsAMessage, GathersText])
def test_one_that_is_simpler_than_the_wire(terminal, connect, kind, count):
    for _ in range(count(short=1, evidence=10, long=200)):
        for is_last in (False, False, True):
            # Where this process gets no time for longer than the gap, two messages lie there when it reads on. Without
            # a gap hardly a day in a hundred would be a whole one.
            try:
                a_day(terminal, kind(connect()))
                break
            except (ValueError, TimeoutError, AssertionError):
                if is_last:
                    raise


def test_one_that_reads_to_the_end(terminal, count):
    with TcpServer(terminal, closes=True) as server:
        register = ReadsToTheEnd(server)
        for _ in range(count(short=1, evidence=10, long=200)):
            a_day(terminal, register)
    assert terminal.ledger.balance() == 0


def test_no_reply_seems_to_be_of_another_command(terminal):
    told = {}
    with TcpServer(terminal, closes=True, gap=0) as server:
        register = ReadsToTheEnd(server)
        register.ask(Command=100, Amount=700)
        for code in (101, 102, *range(104, 112), 113, 114, 115, 103):
            fields = {"OperationId": 1, "AuthorizationCode": "000000", "Amount": 1, "SaleType": 1}
            told[code] = register.ask(Command=code, **fields)[-1]
    # The last voucher, and each row of the details, is under the code of its operation, as real ones are.
    assert {code: kind_by_text(json.dumps(reply, separators=(",", ":"))) for code, reply in told.items()} == {
        **{code: code for code in told}, 101: 100, 105: 100,
    }  # fmt: skip
    assert told[115]["BatteryPercentage"] == 87
    assert told[111]["TipReport"][0]["Tx"] == "1"


@pytest.mark.parametrize(("kind", "error"), [(EachReadIsAMessage, ValueError), (GathersText, TimeoutError)])
def test_messages_that_come_joined_are_what_such_registers_cannot_take(kind, error):
    """So the gap is there for a reason."""
    terminal = VirtualTerminal(default=Behaviour(coalesce=True))
    with TcpServer(terminal) as server:
        link = Socket(server)
        link.line.settimeout(0.2)
        with pytest.raises(error):
            kind(link).ask(Command=106)
        link.close()
