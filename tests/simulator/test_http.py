"""The terminal behind an HTTP server, spoken to by httpx alone."""

import json
import math
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from getnet_pos import messages as m
from getnet_pos.codec import Decoder, seal
from getnet_pos.errors import InvalidValue
from getnet_pos.simulator import Behaviour, HttpServer, NetworkFault, NetworkFaultKind, Outcome, VirtualTerminal
from tests.network.places import make_certificates
from tests.simulator.register import show


@pytest.fixture
def terminal():
    return VirtualTerminal()


@pytest.fixture
def server(terminal):
    with HttpServer(terminal, gap=0) as server:
        yield server


@pytest.fixture
def client():
    with httpx.Client(trust_env=False, timeout=5) as client:
        yield client


def post(client, server, command):
    return client.post(server.url, content=seal(command))


def said(response):
    return show(Decoder().feed(response.content))


def test_a_sale_is_one_response(terminal, server, client):
    response = post(client, server, m.Sale(700, "A1", send_message=True))
    assert (response.status_code, said(response)) == (200, [True, 78, 81, 82, (100, 0)])
    assert response.headers["content-type"] == "application/json"
    assert terminal.ledger.charged("A1") == 700


def test_progress_is_streamed(terminal, server, client):
    terminal.default = Behaviour(progress_every=0.05)
    arrivals = []
    with client.stream("POST", server.url, content=seal(m.Sale(700, send_message=True))) as response:
        for data in response.iter_raw():
            arrivals.append((time.monotonic(), show(Decoder().feed(data))))
    assert [message for _, messages in arrivals for message in messages] == [True, 78, 81, 82, (100, 0)]
    assert arrivals[-1][0] - arrivals[0][0] > 0.1


def test_a_cancellation_has_a_response_of_its_own(terminal, server, client):
    terminal.script.append(Behaviour(decide_after=math.inf))
    with ThreadPoolExecutor() as pool:
        sale = pool.submit(post, client, server, m.Sale(700))
        while not terminal.busy:
            time.sleep(0.01)
        assert said(post(client, server, m.CancelSale())) == [True, (116, 0)]
        assert [item[0] if isinstance(item, tuple) else item for item in said(sale.result())] == [True, 100]


def test_a_busy_terminal_says_so_to_the_second(terminal, server, client):
    terminal.script.append(Behaviour(decide_after=0.2))
    with ThreadPoolExecutor() as pool:
        sale = pool.submit(post, client, server, m.Sale(700))
        while not terminal.busy:
            time.sleep(0.01)
        (_, (code, refusal)) = said(post(client, server, m.TotalsReport()))
        assert code == 104
        assert refusal != 0
        assert said(sale.result()) == [True, (100, 0)]


def test_who_has_left_is_spoken_to_no_more(terminal, server, client):
    """The voucher of the sale that was given up belongs to the question, though it has the sale's code."""
    terminal.script.append(Behaviour(decide_after=0.1, reply_after=math.inf))
    with pytest.raises(httpx.ReadTimeout):
        client.post(server.url, content=seal(m.Sale(700)), timeout=0.3)
    time.sleep(0.05)
    assert said(post(client, server, m.LastVoucher())) == [True, (100, 0)]


def test_a_late_reply_is_said_in_the_response_to_another_command_and_does_not_end_it(terminal, server, client):
    terminal.script.append(Behaviour(reply_after=0.6))
    terminal.answers[m.Poll.code] = Behaviour(reply_after=1.2)
    with pytest.raises(httpx.ReadTimeout):
        client.post(server.url, content=seal(m.Sale(700)), timeout=0.2)
    assert said(post(client, server, m.Poll())) == [True, (100, 0), (106, 0)]


def test_a_command_that_is_not_accepted(terminal, server, client):
    terminal.script.append(Behaviour(acknowledge=False))
    assert said(post(client, server, m.Sale(700))) == [False]


def test_a_terminal_that_falls_silent_holds_the_response(terminal, server, client):
    terminal.script.append(Behaviour(outcome=Outcome.SILENT))
    with pytest.raises(httpx.ReadTimeout):
        client.post(server.url, content=seal(m.Sale(700)), timeout=0.2)


def test_what_is_no_command_is_passed_on(terminal, server, client):
    with pytest.raises(httpx.ReadTimeout):
        client.post(server.url, content=b"{}", timeout=0.1)
    damaged = json.loads(seal(m.Poll())) | {"Sign": "00" * 32}
    assert said(client.post(server.url, content=json.dumps(damaged).encode())) == [False]
    assert terminal.commands == []


def test_only_a_post_to_the_path_is_answered(terminal, client):
    with HttpServer(terminal, path="/pos", host="localhost", gap=0) as server:
        assert server.url == f"http://localhost:{server.address[1]}/pos"
        assert client.get(server.url).status_code == 405
        assert client.post(server.url + "/x", content=seal(m.Poll())).status_code == 404
        assert said(post(client, server, m.Poll())) == [True, (106, 0)]
    assert len(terminal.commands) == 1


def test_version_6_of_addresses(terminal):
    assert HttpServer(terminal, host="::1", port=9, gap=0).url == "http://[::1]:9/"


def test_tls(terminal, client, tmp_path):
    certificates = make_certificates(tmp_path)
    with HttpServer(terminal, tls=certificates.server, gap=0) as server:
        assert server.url.startswith("https://127.0.0.1:")
        trust = ssl.create_default_context(cafile=certificates.ca_file)
        response = httpx.post(server.url, content=seal(m.Poll()), verify=trust, trust_env=False)
        assert said(response) == [True, (106, 0)]
        with pytest.raises(InvalidValue):
            server.inject(NetworkFault(NetworkFaultKind.SLOW_CLOSE))


def test_an_idle_connection_is_closed_in_time(terminal):
    with HttpServer(terminal, keep_alive=0.1, gap=0) as server, httpx.Client(trust_env=False) as client:
        connections = []
        for _ in range(3):
            with client.stream("POST", server.url, content=seal(m.Poll())) as response:
                connections.append(response.extensions["network_stream"].get_extra_info("client_addr"))
                response.read()
            if len(connections) == 2:
                time.sleep(0.3)
    assert connections[0] == connections[1] != connections[2]


def test_unplugging_ends_what_is_in_progress(terminal, server, client):
    terminal.script.append(Behaviour(decide_after=0.2))
    threading.Timer(0.1, server.unplug).start()
    with pytest.raises(httpx.TransportError):
        post(client, server, m.Sale(700))
    with pytest.raises(httpx.ConnectError):
        post(client, server, m.Poll())
    url = server.url
    server.plug()
    assert server.url == url
    time.sleep(0.2)
    assert said(post(client, server, m.LastVoucher())) == [True, (100, 0)]


def test_closing_at_once_after_opening(terminal):
    for _ in range(5):
        with HttpServer(terminal, gap=0):
            pass
    assert [t for t in threading.enumerate() if "virtual terminal" in t.name] == []


# --------------------------------------------------------------------------------------------------------------- faults


def fails(client, server, kind, **options):
    server.inject(NetworkFault(kind, 100, **options))
    with pytest.raises(httpx.TransportError) as raised:
        post(client, server, m.Sale(700, send_message=True))
    done_by = time.monotonic() + 2
    while not server.terminal.ledger.entries and time.monotonic() < done_by:
        time.sleep(0.01)
    assert len(server.terminal.ledger.entries) == 1, "the terminal has done it"
    # What the terminal still had to say of the sale may come first.
    assert said(post(client, server, m.Poll()))[-1] == (106, 0)
    return raised.value


@pytest.mark.parametrize("at_reply", [False, True])
def test_a_reset(server, client, at_reply):
    assert isinstance(fails(client, server, NetworkFaultKind.RESET, at_reply=at_reply), httpx.ReadError)


@pytest.mark.parametrize("at_reply", [False, True])
def test_a_half_open_connection(server, client, at_reply):
    client.timeout = 0.2
    assert isinstance(fails(client, server, NetworkFaultKind.HALF_OPEN, at_reply=at_reply), httpx.ReadTimeout)


def test_a_half_open_connection_is_reset_in_the_end(server, client):
    assert isinstance(fails(client, server, NetworkFaultKind.HALF_OPEN, seconds=0.1), httpx.ReadError)


@pytest.mark.parametrize("seconds", [0.1, math.inf])
def test_a_slow_close(server, client, seconds):
    fault = fails(client, server, NetworkFaultKind.SLOW_CLOSE, seconds=seconds)
    assert isinstance(fault, httpx.RemoteProtocolError)


def test_a_connection_that_ends_within_the_reply(server, client):
    fault = fails(client, server, NetworkFaultKind.BROKEN_CHUNK)
    assert "incomplete chunked read" in str(fault)


def test_a_response_without_the_reply(terminal, server, client):
    server.inject(NetworkFault(NetworkFaultKind.CUT))
    response = post(client, server, m.Sale(700, send_message=True))
    assert (response.status_code, said(response)) == (200, [True, 78, 81, 82])
    assert terminal.ledger.charged() == 700


@pytest.mark.parametrize("status", [500, 504])
def test_a_status_afterwards(terminal, server, client, status):
    server.inject(NetworkFault(NetworkFaultKind.STATUS, status=status))
    response = post(client, server, m.Sale(700))
    assert (response.status_code, response.content) == (status, b"")
    assert terminal.ledger.charged() == 700


def test_a_redirect_would_do_it_twice(terminal, server):
    server.inject(NetworkFault(NetworkFaultKind.REDIRECT))
    with httpx.Client(trust_env=False, follow_redirects=True) as client:
        assert said(post(client, server, m.Sale(700))) == [True, (100, 0)]
    assert terminal.ledger.charged() == 1_400


def test_the_reply_alone(terminal, client):
    with HttpServer(terminal, faults=[NetworkFault(NetworkFaultKind.ONE_OBJECT)], gap=0) as server:
        assert said(post(client, server, m.Sale(700, send_message=True))) == [(100, 0)]


def test_the_simulator_does_not_need_uvicorn_for_its_other_servers():
    code = (
        "import sys, getnet_pos.simulator as s; s.SerialServer, s.TcpServer;"
        "assert not {'uvicorn', 'starlette'} & set(sys.modules);"
        "s.HttpServer; assert 'uvicorn' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_name_that_is_not_there():
    import getnet_pos.simulator

    with pytest.raises(AttributeError, match="has no attribute 'FtpServer'"):
        getnet_pos.simulator.FtpServer  # noqa: B018  # to look it up is what raises
