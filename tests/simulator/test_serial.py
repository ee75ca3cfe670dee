"""The terminal behind a pseudo-terminal, spoken to by pyserial alone."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import serial

from getnet_pos import Connector
from getnet_pos import messages as m
from getnet_pos.codec import Decoder, acknowledgement, seal
from getnet_pos.errors import InvalidValue, LifecycleError
from getnet_pos.simulator import A920, Behaviour, Firmware, Identity, SerialServer, VirtualTerminal
from tests.simulator.register import show

pytestmark = pytest.mark.skipif(os.name != "posix", reason="this system has no pseudo-terminals")


@pytest.fixture
def terminal():
    return VirtualTerminal()


@pytest.fixture
def server(terminal):
    with SerialServer(terminal, gap=0) as server:
        yield server


@pytest.fixture
def line(server):
    with opened(server) as line:
        yield line


def opened(server):
    return serial.Serial(server.device, 115200, timeout=5, exclusive=True)


def hear(line, count):
    """The next ``count`` messages."""
    decoder, messages = Decoder(), []
    while len(messages) < count:
        data = line.read(1) + line.read(line.in_waiting)
        assert data, "nothing came"
        messages += decoder.feed(data)
    return messages


def test_a_sale_over_the_port(terminal, line):
    line.write(seal(m.Sale(700, "A1", send_message=True)))
    messages = hear(line, 5)
    assert show(messages) == [True, 78, 81, 82, (100, 0)]
    assert terminal.ledger.charged("A1") == 700
    line.write(acknowledgement(True))
    line.write(seal(m.Poll()))
    assert show(hear(line, 2)) == [True, (106, 0)]
    assert terminal.acknowledgements == 1


def test_all_256_bytes_pass_unchanged(terminal, line):
    terminal.answers[106] = Behaviour(echo=True)
    sent = bytes(range(256)) + seal(m.Poll())
    line.write(sent)
    assert line.read(len(sent)) == sent


def test_the_port_may_be_closed_and_opened_again_at_once(server):
    for _ in range(20):
        with opened(server) as line:
            line.write(seal(m.Poll()))
            assert show(hear(line, 2)) == [True, (106, 0)]


def test_the_reply_comes_when_it_is_due(terminal, line):
    terminal.script.append(Behaviour(decide_after=0.2))
    begun = time.monotonic()
    line.write(seal(m.Sale(700)))
    assert show(hear(line, 1)) == [True]
    assert show(hear(line, 1)) == [(100, 0)]
    assert 0.19 < time.monotonic() - begun < 3


def test_a_reply_larger_than_the_port_holds_is_written_as_the_register_reads(terminal, line):
    line.write(b"".join(seal(m.Sale(1)) + acknowledgement(True) for _ in range(200)))
    assert show(hear(line, 400)) == [True, (100, 0)] * 200
    line.write(seal(m.DetailsReport()))
    time.sleep(0.05)
    assert len(hear(line, 2)[1].sale_details) == 200


def test_unplugging_is_seen_by_the_register_and_the_port_comes_back_under_its_name(terminal, server, line):
    terminal.script.append(Behaviour(decide_after=0.05))
    line.write(seal(m.Sale(700)))
    hear(line, 1)
    server.unplug()
    with pytest.raises((serial.SerialException, OSError)):
        line.read(1)
    with pytest.raises(serial.SerialException):
        opened(server)
    while terminal.busy:
        time.sleep(0.01)
    server.plug()
    with opened(server) as again:
        again.write(seal(m.LastVoucher()))
        assert hear(again, 2)[1].amount == 700


def test_a_reboot_takes_the_port_away_for_a_while(server):
    server.reboot(seconds=0.4)
    with pytest.raises(serial.SerialException):
        opened(server)
    deadline = time.monotonic() + 5
    while not os.path.exists(server.device):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with opened(server) as line:
        line.write(seal(m.Poll()))
        assert show(hear(line, 2)) == [True, (106, 0)]


def test_serving_ends_when_the_server_is_closed(terminal):
    with SerialServer(terminal, gap=0) as server:
        threading.Timer(0.05, server.close).start()
        server.serve_forever()
    assert not os.path.exists(os.path.dirname(server.device))
    with pytest.raises(LifecycleError):
        server.unplug()
    with pytest.raises(LifecycleError):
        server.__enter__()


def test_a_terminal_may_be_served_again_and_its_time_goes_on(terminal):
    terminal.take(1000.0)
    terminal.default = Behaviour(decide_after=0.05)
    for _ in range(2):
        with SerialServer(terminal, gap=0) as server, opened(server) as line:
            line.write(seal(m.Sale(700)))
            assert hear(line, 2)[1].real_date.startswith("2026-01-01 12:16:4")
    assert len(terminal.ledger.charges()) == 2


def test_nothing_is_left_open():
    before = sorted(os.listdir("/dev/fd"))
    for _ in range(3):
        with SerialServer(VirtualTerminal(), gap=0) as server:
            server.unplug()
            server.plug()
    assert sorted(os.listdir("/dev/fd")) == before


def test_a_port_that_exists_can_be_served():
    """The register has the near end of a pseudo-terminal, as it would have the other port of a cable."""
    near, far = os.openpty()
    try:
        with SerialServer(VirtualTerminal(), port=os.ttyname(far), gap=0) as server:
            assert server.device == os.ttyname(far)
            decoder, messages = Decoder(), []
            os.write(near, seal(m.Sale(700)))
            while len(messages) < 2:
                messages += decoder.feed(os.read(near, 4096))
            assert show(messages) == [True, (100, 0)]
            server.unplug()
            server.plug()
            os.write(near, seal(m.Poll()))
            while len(messages) < 4:
                messages += decoder.feed(os.read(near, 4096))
            assert show(messages[2:]) == [True, (106, 0)]
    finally:
        os.close(near)
        os.close(far)


def test_a_port_that_does_not_exist_is_an_error_at_once(tmp_path):
    with pytest.raises(serial.SerialException), SerialServer(VirtualTerminal(), port=str(tmp_path / "none"), gap=0):
        pass


def test_a_port_that_fails_ends_the_service_with_its_reason():
    near, far = os.openpty()
    server = SerialServer(VirtualTerminal(), port=os.ttyname(far), gap=0)
    with server:
        os.close(far)
        os.close(near)
        with pytest.raises((serial.SerialException, OSError)):
            server.serve_forever()
        with pytest.raises(LifecycleError):
            server.plug()


def test_a_port_that_does_not_come_back_is_told_to_who_plugs_it_in(tmp_path):
    near, far = os.openpty()
    link = tmp_path / "port"
    link.symlink_to(os.ttyname(far))
    try:
        with SerialServer(VirtualTerminal(), port=str(link), gap=0) as server:
            server.unplug()
            link.unlink()
            with pytest.raises(serial.SerialException):
                server.plug()
            with pytest.raises(serial.SerialException):
                server.serve_forever()
    finally:
        os.close(near)
        os.close(far)


class Stuck(VirtualTerminal):
    """A terminal that cannot restart."""

    asked = threading.Event()
    go_on = threading.Event()

    def reboot(self, keep_record, now, *, seconds=0.0):
        self.asked.set()
        self.go_on.wait(5)
        raise RuntimeError("stuck")


def test_nobody_waits_for_a_server_that_has_ended():
    with SerialServer(Stuck(), gap=0) as server, ThreadPoolExecutor() as pool:
        first = pool.submit(server.reboot)
        assert Stuck.asked.wait(5)
        others = [pool.submit(server.unplug), pool.submit(server.unplug)]
        while len(server._requests) < 2:
            time.sleep(0.001)
        Stuck.go_on.set()
        assert isinstance(first.exception(5), RuntimeError)
        assert all(isinstance(other.exception(5), LifecycleError) for other in others)
        with pytest.raises(RuntimeError):
            server.serve_forever()


def test_another_name_leads_to_the_terminal_that_goes_on(terminal, server, line):
    terminal.script.append(Behaviour(decide_after=0.4))
    line.write(seal(m.Sale(700)))
    hear(line, 1)
    before = server.device
    server.rename("ttyACM1")
    with pytest.raises((serial.SerialException, OSError)):
        line.read(1)
    assert server.device == os.path.join(os.path.dirname(before), "ttyACM1")
    assert not os.path.lexists(before)
    while terminal.busy:
        time.sleep(0.01)
    with opened(server) as again:
        again.write(seal(m.LastVoucher()))
        assert hear(again, 2)[1].amount == 700


@pytest.mark.parametrize("name", ["", "..", "/dev/ttyACM1"])
def test_a_name_that_no_port_can_have(server, name):
    with pytest.raises(InvalidValue):
        server.rename(name)
    assert os.path.exists(server.device)


def test_two_terminals_that_swap(terminal, server, line):
    other = VirtualTerminal(identity=Identity(terminal_id="80005999"))
    other.take(1000.0)
    with SerialServer(other, gap=0.01) as second:
        line.write(seal(m.Sale(700, "A1")))
        assert hear(line, 2)[1].terminal_id == "80005000"
        server.swap(second)
        with pytest.raises((serial.SerialException, OSError)):
            line.read(1)
        for place, terminal_id, code in ((server, "80005999", 99), (second, "80005000", 0)):
            with opened(place) as again:
                again.write(seal(m.LastVoucher()) + seal(m.MainPosData()))
                replies = [message for message in hear(again, 4) if isinstance(message, m.Reply)]
                assert (replies[0].response_code, replies[1].terminal_id) == (code, terminal_id)
        assert (server.terminal, second.terminal) == (other, terminal)
        assert (other.gap, terminal.gap, other.now >= 1000 > terminal.now) == (0, 0.01, True)
        with pytest.raises(LifecycleError):
            server.swap(server)
    with pytest.raises(LifecycleError):
        server.swap(second)
    server.unplug()


def test_a_sale_that_is_keyed_in(terminal, server, line):
    server.key_in(500)
    line.write(seal(m.LastVoucher()))
    voucher = hear(line, 2)[1]
    assert (voucher.amount, voucher.ticket) == (500, "")


@pytest.mark.parametrize("firmware", [A920, Firmware()])
def test_a_register_that_flushes_what_came_in(firmware):
    terminal = VirtualTerminal(firmware=firmware)
    with SerialServer(terminal, gap=0) as server, opened(server) as line:  # pyserial itself flushes when it opens
        line.write(seal(m.Sale(700)) + seal(m.Poll()))
        heard = show(hear(line, 2))[:2]
        assert heard == ([True, (106, 0)] if firmware.stops_at_flush else [True, (100, 0)])
    assert terminal.ledger.charged() == (0 if firmware.stops_at_flush else 700)


def test_the_library_pays_at_an_a920_and_hears_its_late_reply():
    waits = Behaviour(decide_after=0.2)
    terminal = VirtualTerminal(firmware=A920, script=[Behaviour(), waits])
    with SerialServer(terminal) as server, Connector.create_usb(server.device, journal=None) as pos:
        assert pos.polling().approved
        assert pos.sale(500, ticket="A1").approved
        timer = threading.Timer(0.1, server.unplug)
        timer.start()
        threading.Timer(0.4, server.plug).start()
        sale = pos.sale(700, ticket="A2")
        assert (sale.approved, sale.ticket) == (True, "A2"), "the voucher could not have told the ticket"
    assert terminal.ledger.charged() == 1200
