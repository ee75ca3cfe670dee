"""Slow servers, broken connections, refused certificates; and how often each is tried again."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from getnet_pos.equipment import EquipmentClient
from getnet_pos.errors import (
    ConnectError,
    DeadlineExceeded,
    Disconnected,
    MalformedResponse,
    RateLimited,
    ServerError,
    TransportError,
)
from getnet_pos.flows.http_calls import RetryPolicy
from getnet_pos.messages.terminals import TerminalList
from getnet_pos.simulator.equipment import EquipmentServer

Call = Callable[..., TerminalList]
RawServer = Callable[[Callable[[socket.socket], object]], str]

BODY = b'{"merchant_id":"1","equipments":null}'
ONCE = RetryPolicy(attempts=1)
CERTIFICATE = Path(__file__).with_name("self_signed.pem")


def head(length: int, kind: bytes = b"application/json") -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (kind, length)


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


# ------------------------------------------------------------------------------------------------------------ time-outs


def test_a_slow_server_ends_in_a_deadline(call: Call, server: EquipmentServer) -> None:
    start = time.monotonic()
    with pytest.raises(DeadlineExceeded, match=r"no complete answer .* within 0\.3 s") as caught:
        call(server.base_url, "slow-30", timeout=0.3, retry=ONCE)
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.bytes_written > 0
    assert time.monotonic() - start < 3


def test_a_deadline_is_tried_again(call: Call, server: EquipmentServer) -> None:
    with pytest.raises(DeadlineExceeded):
        call(server.base_url, "slow-30", timeout=0.2)
    assert server.simulator.count("slow-30") == 3


def test_an_answer_in_drops_ends_in_a_deadline(call: Call, raw_server: RawServer) -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(head(1000))
        for _ in range(100):
            connection.sendall(b" ")
            time.sleep(0.05)

    start = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        call(raw_server(drip), "1", timeout=0.4, retry=ONCE)
    assert time.monotonic() - start < 2


# -------------------------------------------------------------------------------------------------------- broken links


def test_no_server(call: Call) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConnectError, match=r"could not connect|cannot be reached") as caught:
        call(f"http://127.0.0.1:{port}", "1")
    assert caught.value.bytes_written == 0


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200", head(len(BODY)), head(len(BODY)) + BODY[:9]])
@pytest.mark.parametrize("end", [reset, lambda connection: connection.close()], ids=["reset", "closed"])
def test_a_connection_that_ends_early(
    call: Call, raw_server: RawServer, sent: bytes, end: Callable[[socket.socket], None]
) -> None:
    tries: list[int] = []

    def behave(connection: socket.socket) -> None:
        tries.append(1)
        connection.sendall(sent)
        time.sleep(0.02)
        end(connection)

    with pytest.raises(Disconnected, match="the connection failed") as caught:
        call(raw_server(behave), "1")
    assert len(tries) == 3
    assert caught.value.bytes_written > 0


def test_a_connection_that_ends_early_once(call: Call, raw_server: RawServer) -> None:
    tries: list[int] = []

    def behave(connection: socket.socket) -> None:
        tries.append(1)
        if len(tries) < 3:
            reset(connection)
        else:
            connection.sendall(head(len(BODY)) + BODY)

    assert call(raw_server(behave), "1").merchant_id == "1"
    assert len(tries) == 3


def test_the_simulators_reset(call: Call, server: EquipmentServer) -> None:
    with pytest.raises(Disconnected):
        call(server.base_url, "reset")
    assert server.simulator.count("reset") == 3


def test_a_body_that_ends_with_the_connection_and_is_cut(call: Call, raw_server: RawServer) -> None:
    url = raw_server(lambda connection: connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + BODY[:20]))
    with pytest.raises(MalformedResponse, match="the body ends too early"):
        call(url, "1")


def test_what_is_not_http(call: Call, raw_server: RawServer) -> None:
    with pytest.raises(Disconnected):
        call(raw_server(lambda connection: connection.sendall(b"SSH-2.0-OpenSSH\r\n\r\n")), "1")


# -------------------------------------------------------------------------------------------------------------- retries


@pytest.mark.parametrize("merchant_id", ["flaky-2", "limited-2"])
def test_passing_refusals_are_outlasted(call: Call, server: EquipmentServer, merchant_id: str) -> None:
    assert len(call(server.base_url, merchant_id)) == 2
    assert server.simulator.count(merchant_id) == 3


@pytest.mark.parametrize(("status", "count"), [(500, 1), (502, 3), (503, 3), (504, 3), (404, 1), (403, 1)])
def test_how_often_each_refusal_is_tried(call: Call, server: EquipmentServer, status: int, count: int) -> None:
    with pytest.raises(Exception, match=str(status)) as caught:
        call(server.base_url, f"error-{status}")
    assert getattr(caught.value, "status", None) == status
    assert server.simulator.count(f"error-{status}") == count


def test_attempts_can_be_set(call: Call, server: EquipmentServer) -> None:
    with pytest.raises(ServerError):
        call(server.base_url, "error-503", retry=ONCE)
    assert server.simulator.count("error-503") == 1
    with pytest.raises(ServerError):
        call(server.base_url, "error-504", retry=RetryPolicy(attempts=6, first_pause=0.0))
    assert server.simulator.count("error-504") == 6


def test_retry_after_is_honoured_within_its_bound(call: Call, server: EquipmentServer) -> None:
    start = time.monotonic()
    with pytest.raises(RateLimited):
        call(server.base_url, "error-429", retry=RetryPolicy(attempts=2, first_pause=0.0))
    assert time.monotonic() - start >= 1
    assert server.simulator.count("error-429") == 2
    start = time.monotonic()
    with pytest.raises(RateLimited):
        call(server.base_url, "error-429", retry=RetryPolicy(longest_retry_after=0.5))
    assert time.monotonic() - start < 1
    assert server.simulator.count("error-429") == 3


# ------------------------------------------------------------------------------------------------------------------ TLS


@pytest.fixture
def tls_url() -> Iterator[str]:
    """A server on this machine whose certificate nobody has signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), plain, context.wrap_socket(plain, server_side=True) as connection:
                connection.recv(65536)
                connection.sendall(head(len(BODY)) + BODY)

    threading.Thread(target=serve, daemon=True).start()
    yield f"https://127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def test_a_certificate_nobody_signed_is_refused(call: Call, tls_url: str) -> None:
    with pytest.raises(ConnectError, match="for a certificate of a private authority pass an http_client"):
        call(tls_url, "1")


def test_a_private_authority_is_trusted_through_the_callers_client(tls_url: str) -> None:
    trusting = ssl.create_default_context(cafile=str(CERTIFICATE))
    with (
        httpx.Client(verify=trusting, trust_env=False) as http_client,
        EquipmentClient(tls_url, token="token", http_client=http_client) as client,
    ):
        assert client.list_active_terminals("1").merchant_id == "1"


# ---------------------------------------------------------------------------------------------- errors of the transport


@pytest.mark.parametrize(
    ("raised", "expected", "sent"),
    [
        (httpx.ConnectTimeout, ConnectError, False),
        (httpx.ProxyError, ConnectError, False),
        (httpx.PoolTimeout, DeadlineExceeded, False),
        (httpx.WriteTimeout, DeadlineExceeded, True),
        (httpx.WriteError, Disconnected, True),
    ],
)
def test_each_failure_says_whether_anything_was_sent(
    call: Any, raised: type[httpx.TransportError], expected: type[TransportError], sent: bool
) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise raised("")

    http_client = call.http_client(transport=httpx.MockTransport(fail))
    with pytest.raises(expected) as caught:
        call("https://api.test", "1", http_client=http_client)
    assert type(caught.value) is expected
    assert (caught.value.bytes_written > 0) is sent
