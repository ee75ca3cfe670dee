"""The terminal behind a TCP port, spoken to by sockets alone."""

import math
import socket
import time

import pytest

from getnet_pos import messages as m
from getnet_pos.codec import Decoder, acknowledgement, seal
from getnet_pos.errors import InvalidValue, LifecycleError
from getnet_pos.simulator import Behaviour, NetworkFault, NetworkFaultKind, TcpServer, VirtualTerminal
from getnet_pos.simulator.tcp import RESET_ON_CLOSE
from tests.simulator.register import show


@pytest.fixture
def terminal():
    return VirtualTerminal()


@pytest.fixture
def server(terminal):
    with TcpServer(terminal, gap=0) as server:
        yield server


@pytest.fixture
def line(server):
    with opened(server) as line:
        yield line


def opened(server):
    return socket.create_connection(server.address, timeout=5)


def hear(line, count):
    """The next ``count`` messages."""
    decoder, messages = Decoder(), []
    while len(messages) < count:
        data = line.recv(65536)
        assert data, "the connection has ended"
        messages += decoder.feed(data)
    return messages


def test_a_sale_over_a_socket(terminal, line):
    line.sendall(seal(m.Sale(700, "A1", send_message=True)))
    assert show(hear(line, 5)) == [True, 78, 81, 82, (100, 0)]
    line.sendall(acknowledgement(True))
    line.sendall(seal(m.Poll()))
    assert show(hear(line, 2)) == [True, (106, 0)]
    assert (terminal.ledger.charged("A1"), terminal.acknowledgements) == (700, 1)


def test_a_chosen_port_and_its_next_server(terminal):
    with TcpServer(terminal, gap=0) as server, opened(server) as line:
        line.sendall(seal(m.Sale(700)))
        hear(line, 2)
        address = server.address
    with TcpServer(terminal, host="localhost", port=address[1], gap=0) as server, opened(server) as line:
        assert server.address == ("localhost", address[1])
        line.sendall(seal(m.LastVoucher()))
        assert show(hear(line, 2)) == [True, (100, 0)]


def test_the_terminal_speaks_to_who_connected_last(server, line):
    with opened(server) as other:
        other.sendall(seal(m.Poll()))
        assert show(hear(other, 2)) == [True, (106, 0)]
        line.sendall(seal(m.Poll()))
        assert show(hear(other, 2)) == [True, (106, 0)]


def test_half_a_command_is_lost_with_its_connection(server, line):
    line.sendall(seal(m.Sale(700))[:50])
    time.sleep(0.05)
    with opened(server) as other:
        other.sendall(seal(m.Poll()))
        assert show(hear(other, 2)) == [True, (106, 0)]


def test_a_reply_to_nobody_is_lost(terminal, server, line):
    terminal.script.append(Behaviour(decide_after=0.1))
    line.sendall(seal(m.Sale(700)))
    hear(line, 1)
    line.close()
    time.sleep(0.2)
    assert terminal.ledger.charged() == 700
    with opened(server) as other:
        other.sendall(seal(m.Poll()))
        assert show(hear(other, 2)) == [True, (106, 0)]


def test_a_register_that_resets(server, line):
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    line.close()
    with opened(server) as other:
        other.sendall(seal(m.Poll()))
        assert show(hear(other, 2)) == [True, (106, 0)]


def test_unplugging_and_a_restart(server, line):
    address = server.address
    server.unplug()
    assert line.recv(1) == b""
    with pytest.raises(OSError, match="refused"):
        opened(server)
    server.plug()
    assert server.address == address
    opened(server).close()
    server.reboot(seconds=0.1)
    with pytest.raises(OSError, match="refused"):
        opened(server)
    time.sleep(0.2)
    opened(server).close()


def test_a_register_that_reads_slowly_gets_all(terminal, server):
    terminal.answers[106] = Behaviour(change={"ResponseMessage": "x" * 900_000})
    with opened(server) as line:
        line.sendall(seal(m.Poll()) * 10)
        time.sleep(0.2)
        assert show(hear(line, 20)) == [True, (106, 0)] * 10


@pytest.mark.parametrize(
    ("command", "heard"), [(m.Poll(), [True, (106, 0)]), (m.Sale(700, send_message=True), [True, 78, 81, 82, (100, 0)])]
)
def test_a_terminal_that_closes_after_each_reply(terminal, command, heard):
    with TcpServer(terminal, closes=True, gap=0) as server:
        for _ in range(2):
            with opened(server) as line:
                line.sendall(seal(command))
                assert show(to_the_end(line)) == heard
                line.sendall(acknowledgement(True))  # it is no reset


def test_who_is_told_that_a_command_was_not_received_is_let_go_too(terminal):
    terminal.default = Behaviour(acknowledge=False)
    with TcpServer(terminal, closes=True, gap=0) as server, opened(server) as line:
        line.sendall(seal(m.Sale(700)))
        assert show(to_the_end(line)) == [False]


def test_a_cancelled_sale_is_told_before_the_connection_ends(terminal):
    terminal.script.append(Behaviour(decide_after=math.inf))
    with TcpServer(terminal, closes=True) as server, opened(server) as line:
        line.sendall(seal(m.Sale(700)))
        assert show(hear(line, 1)) == [True]
        line.sendall(seal(m.CancelSale()))
        assert show(to_the_end(line)) == [True, (116, 0), (100, 1006)]


def test_a_long_reply_is_written_whole_before_the_connection_ends(terminal):
    terminal.answers[106] = Behaviour(change={"ResponseMessage": "x" * 900_000})
    with TcpServer(terminal, closes=True) as server, opened(server) as line:
        line.sendall(seal(m.Poll()))
        time.sleep(0.2)
        assert show(to_the_end(line)) == [True, (106, 0)]


def to_the_end(line):
    decoder, messages = Decoder(), []
    while data := line.recv(65536):
        messages += decoder.feed(data)
    return messages


def test_a_reset(terminal, server, line):
    server.inject(NetworkFault(NetworkFaultKind.RESET, 100))
    line.sendall(seal(m.Poll()))
    hear(line, 2)
    line.sendall(seal(m.Sale(700)))
    with pytest.raises(ConnectionResetError):
        line.recv(1)
    done_by = time.monotonic() + 2
    while not terminal.ledger.entries and time.monotonic() < done_by:
        time.sleep(0.01)
    assert terminal.ledger.charged() == 700


def test_a_reset_in_the_place_of_the_reply(terminal, server, line):
    terminal.default = Behaviour(progress_every=0.02)
    server.inject(NetworkFault(NetworkFaultKind.RESET, at_reply=True))
    line.sendall(seal(m.Sale(700, send_message=True)))
    assert show(hear(line, 4)) == [True, 78, 81, 82]
    with pytest.raises(ConnectionResetError):
        line.recv(1)


def test_a_half_open_connection(terminal, server, line):
    server.inject(NetworkFault(NetworkFaultKind.HALF_OPEN, 100))
    line.sendall(seal(m.Sale(700)))
    time.sleep(0.1)
    line.sendall(seal(m.Poll()))
    line.settimeout(0.1)
    with pytest.raises(TimeoutError):
        line.recv(1)
    assert [command.code for command in terminal.commands] == [100]
    with opened(server) as other:
        other.sendall(seal(m.LastVoucher()))
        assert show(hear(other, 2)) == [True, (100, 0)]


def test_a_half_open_connection_is_reset_in_the_end(server, line):
    server.inject(NetworkFault(NetworkFaultKind.HALF_OPEN, seconds=0.1))
    line.sendall(seal(m.Poll()))
    with pytest.raises(ConnectionResetError):
        line.recv(1)


def test_a_slow_close(server, line):
    server.inject(NetworkFault(NetworkFaultKind.SLOW_CLOSE, seconds=0.1))
    line.sendall(seal(m.Poll()))
    assert line.recv(1) == b""
    line.sendall(b"into the void")
    time.sleep(0.2)
    line.sendall(b"x")
    time.sleep(0.05)
    with pytest.raises(OSError):  # noqa: PT011 - which one depends on the system
        line.sendall(b"x")


def test_faults_happen_once_and_to_their_command_in_any_order(terminal):
    faults = [NetworkFault(NetworkFaultKind.RESET, 104), NetworkFault(NetworkFaultKind.RESET, 100)]
    with TcpServer(terminal, faults=faults, gap=0) as server:
        for command in (m.Sale(1), m.TotalsReport()):
            with opened(server) as line:
                line.sendall(seal(command))
                with pytest.raises(ConnectionResetError):
                    line.recv(1)
        with opened(server) as line:
            line.sendall(seal(m.Sale(2)))
            assert show(hear(line, 2)) == [True, (100, 0)]


@pytest.mark.parametrize(
    "made",
    [
        lambda: TcpServer(VirtualTerminal(), gap=0).inject(NetworkFault(NetworkFaultKind.CUT)),
        lambda: NetworkFault(NetworkFaultKind.HALF_OPEN, seconds=-1),
        lambda: NetworkFault(NetworkFaultKind.HALF_OPEN, seconds=math.nan),
        lambda: NetworkFault(NetworkFaultKind.STATUS, status=200),
        lambda: TcpServer(VirtualTerminal(), gap=-1),
    ],
)
def test_faults_that_cannot_be(made):
    with pytest.raises(InvalidValue):
        made()


def test_it_serves_once_and_closing_it_twice_is_no_fault(terminal):
    server = TcpServer(terminal, gap=0)
    with server:
        pass
    server.close()
    server.serve_forever()
    with pytest.raises(LifecycleError), server:
        pass
    with pytest.raises(LifecycleError):
        server.unplug()


def test_a_port_that_is_taken(terminal, server):
    with pytest.raises(OSError), TcpServer(terminal, port=server.address[1], gap=0):  # noqa: PT011
        pass
