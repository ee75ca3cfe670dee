"""The HTTP transport against servers that say exactly what a test has them say, blocking and on asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
import time

import pytest

from getnet_pos import (
    ConfigurationError,
    ConnectError,
    Connector,
    Disconnected,
    InvalidType,
    InvalidValue,
    PartialWrite,
    UnexpectedStatus,
)
from getnet_pos.simulator import HttpServer, VirtualTerminal
from getnet_pos.transports.http import AsyncHttpTransport, HttpTransport
from getnet_pos.transports.tls import tls_context
from tests.faces import Threaded

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
STREAM = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
PAUSE, RESET, HOLD = object(), object(), object()


def soon(seconds=2.0):
    return time.monotonic() + seconds


class Server:
    """Answers each request with the next of ``answers``: bytes, and what is done between them."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []
        self.connections = 0
        self.released = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.threads = [threading.Thread(target=self.accept)]
        self.threads[0].start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                line, _ = self.listener.accept()
                self.connections += 1
                self.threads.append(threading.Thread(target=self.serve, args=[line]))
                self.threads[-1].start()

    def serve(self, line):
        with line, contextlib.suppress(OSError):
            line.settimeout(5)
            buffer = b""
            while True:
                while b"\r\n\r\n" not in buffer:
                    data = line.recv(65536)
                    if not data:
                        return
                    buffer += data
                head, _, body = buffer.partition(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                while len(body) < length:
                    body += line.recv(65536)
                self.requests.append((head, body[:length]))
                buffer = body[length:]
                for step in self.answers.pop(0):
                    if step is PAUSE:
                        time.sleep(0.08)
                    elif step is HOLD:
                        self.released.wait(5)
                    elif step is RESET:
                        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        return
                    elif step is None:
                        return
                    else:
                        line.sendall(step)

    def close(self):
        self.released.set()
        # Closing it would not wake the thread that accepts.
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self.threads:
            thread.join()


@pytest.fixture
def served():
    with contextlib.ExitStack() as stack:
        yield lambda *answers: stack.enter_context(contextlib.closing(Server(*answers)))


@pytest.fixture(params=["blocking", "asyncio"])
def opened(request):
    @contextlib.asynccontextmanager
    async def opened(url, **options):
        if request.param == "asyncio":
            transport = AsyncHttpTransport(url, **options)
        else:
            transport = Threaded(HttpTransport(url, **options), at_once=("wake",))
        await transport.open()
        try:
            yield transport
        finally:
            await transport.close()

    return opened


async def whole(transport, end):
    body = b""
    while not body.endswith(end):
        body += await transport.read(soon())
    return body


async def test_a_request_on_the_wire(opened, served):
    server = served([OK])
    async with opened(server.url, path="/pos") as transport:
        await transport.write(b'{"x":1}', soon())
        assert await transport.read(soon()) == b"ok"
    ((head, body),) = server.requests
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /pos HTTP/1.1"
    assert f"Host: {server.url[7:]}" in lines
    assert "Content-Type: application/json" in lines
    assert body == b'{"x":1}'
    assert transport.name == server.url + "/pos"


async def test_the_body_is_read_as_it_comes(opened, served):
    server = served([STREAM, b"3\r\none\r\n", PAUSE, b"3\r\ntwo\r\n3\r\nthr\r\n2\r\n", PAUSE, b"ee\r\n0\r\n\r\n"])
    async with opened(server.url) as transport:
        await transport.write(b"x", soon())
        assert [await transport.read(soon()) for _ in range(3)] == [b"one", b"twothr", b"ee"]
        with pytest.raises(Disconnected, match="ended its response without the final message"):
            await transport.read(soon())


async def test_a_body_that_ends_with_the_connection(opened, served):
    server = served([b"HTTP/1.0 200 OK\r\n\r\n", PAUSE, b"some", None])
    async with opened(server.url) as transport:
        await transport.write(b"x", soon())
        assert await transport.read(soon()) == b"some"
        with pytest.raises(Disconnected):
            await transport.read(soon())


@pytest.mark.parametrize(
    "answer",
    {
        "nothing": [None],
        "half a head": [b"HTTP/1.1 200 OK\r\nCont", None],
        "half a body": [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", None],
        "half a chunk": [STREAM + b"9\r\nok", None],
        "no last chunk": [STREAM + b"2\r\nok\r\n", None],
        "no chunk": [STREAM + b"2\r\nok\r\nxyz\r\n"],
        "a reset": [STREAM + b"2\r\nok\r\n", PAUSE, RESET],
        "another protocol": [b"SSH-2.0-terminal\r\n\r\n"],
        "the end": [OK],
    }.items(),
    ids=lambda item: item[0],
)
async def test_what_is_no_whole_answer_is_a_lost_link(opened, served, answer):
    server = served(answer[1])
    async with opened(server.url) as transport:
        await transport.write(b"x", soon())
        with pytest.raises(Disconnected):
            await whole(transport, b"never")
        assert await transport.read(0.0) == b"", "a look is not told again"
        with pytest.raises(Disconnected):
            await transport.read(soon())
    assert len(server.requests) == 1, "nothing is sent again"


async def test_a_look_at_what_has_broken_finds_nothing(opened, served):
    server = served([STREAM, RESET])
    async with opened(server.url) as transport:
        await transport.write(b"x", soon())
        await asyncio.sleep(0.1)
        assert await transport.read(0.0) == b""
        assert await transport.read(0.0) == b""


@pytest.mark.parametrize("status", [201, 204, 301, 307, 308, 401, 404, 500, 503, 504])
async def test_a_status_is_an_error_and_a_redirect_is_not_followed(opened, served, status):
    target = b"Location: /elsewhere\r\n"
    server = served([b"HTTP/1.1 %d Other\r\n%bContent-Length: 0\r\n\r\n" % (status, target)])
    async with opened(server.url) as transport:
        await transport.write(b"x", soon())
        advice = "redirects are not followed" if 300 <= status < 400 else "check the URL and its path"
        with pytest.raises(UnexpectedStatus, match=f"HTTP status {status}: {advice}") as raised:
            await transport.read(soon())
    assert raised.value.status == status
    assert len(server.requests) == 1


async def test_an_announcement_before_the_response(opened, served):
    server = served([b"HTTP/1.1 102 Processing\r\n\r\n", PAUSE, OK])
    async with opened(server.url) as transport:
        await transport.write(b"x", soon())
        assert await transport.read(soon()) == b"ok"


@pytest.mark.parametrize(
    "answer",
    {
        "closes, with a length": [OK, None],
        "resets, with a length": [OK, RESET],
        "closes, in chunks": [STREAM, b"2\r\nok\r\n0\r\n\r\n", None],
        "closes, without a length": [b"HTTP/1.1 200 OK\r\n\r\nok", None],
        "closes, of version 1.0": [b"HTTP/1.0 200 OK\r\n\r\nok", None],
        "says that it closes": [b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", None],
        "stays": [OK],
        "says that it stays": [b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"],
        "does not end": [STREAM, b"2\r\nok\r\n", HOLD],
        "something unasked": [OK, PAUSE, b"HTTP/1.1 200 OK\r\n"],
        "a second answer": [OK + OK],
    }.items(),
    ids=lambda item: item[0],
)
@pytest.mark.parametrize("pause", [0.0, 0.1], ids=["at once", "later"])
async def test_each_request_has_a_connection_of_its_own(opened, served, answer, pause):
    """Whatever the server does with the one before: the next request is sent once, and is no doubt."""
    server = served(answer[1], answer[1], [OK])
    async with opened(server.url) as transport:
        for body in (b"x", b"y", b"z"):
            await transport.write(body, soon())
            assert await transport.read(soon()) == b"ok"
            await asyncio.sleep(pause)
            assert await transport.read(0.0) == b""
    assert [(b"Connection: close" in head, body) for head, body in server.requests] == [
        (True, b"x"),
        (True, b"y"),
        (True, b"z"),
    ]
    assert server.connections == 3


async def test_a_connection_is_closed_with_the_end_of_its_answer(opened, served):
    """A small server has few, and the next request may come tomorrow."""
    server = served([OK], [OK])
    async with opened(server.url) as transport:
        await transport.write(b"x", soon())
        assert await transport.read(soon()) == b"ok"
        await asyncio.to_thread(server.threads[1].join, 2)
        assert not server.threads[1].is_alive()


async def test_a_request_beside(opened, served):
    server = served([STREAM, b"3\r\none\r\n", HOLD, b"2\r\nok\r\n0\r\n\r\n"], [OK], [OK])
    async with opened(server.url) as transport:
        await transport.write(b"sale", soon())
        assert await transport.read(soon()) == b"one"
        await transport.write_beside(b"cancel", soon())
        while len(server.requests) < 2:
            await asyncio.sleep(0.01)
        server.released.set()
        assert await transport.read(soon()) == b"ok", "the answer to what was written beside is dropped"
        await transport.write(b"poll", soon())
        assert await transport.read(soon()) == b"ok"
    assert [body for _, body in server.requests] == [b"sale", b"cancel", b"poll"]


async def test_a_request_beside_that_cannot_be_made(opened, served, caplog):
    server = served([STREAM, b"3\r\none\r\n", HOLD, b"2\r\nok\r\n0\r\n\r\n"])
    async with opened(server.url) as transport:
        await transport.write(b"sale", soon())
        assert await transport.read(soon()) == b"one"
        with contextlib.suppress(OSError):
            server.listener.shutdown(socket.SHUT_RDWR)
        server.listener.close()
        await transport.write_beside(b"cancel", soon())
        server.released.set()
        assert await transport.read(soon()) == b"ok"
    assert "a request beside the command in progress failed" in caplog.text


async def test_waking_a_read(opened, served):
    server = served([STREAM, HOLD])
    async with opened(server.url) as transport:
        transport.wake()
        await transport.write(b"x", soon())
        threading.Timer(0.05, transport.wake).start()
        begun = time.monotonic()
        assert await transport.read(soon(5)) == b""
        assert time.monotonic() - begun < 1
        assert await transport.read(soon(0.05)) == b""


async def test_nobody_listens(opened, served):
    server = served()
    server.close()
    async with opened(server.url) as transport:
        with pytest.raises(ConnectError) as raised:
            await transport.write(b"x", soon())
        assert raised.value.bytes_written == 0


async def test_a_request_that_does_not_leave_whole(opened):
    """What counts is that a part of it left."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with opened(f"http://127.0.0.1:{listener.getsockname()[1]}") as transport:
            with pytest.raises(PartialWrite) as raised:
                await transport.write(bytes(16 << 20), soon(0.1))
            assert raised.value.bytes_written > 0


async def test_it_is_opened_before_it_is_used(opened, served):
    server = served()
    async with opened(server.url) as transport:
        with pytest.raises(Disconnected):
            await transport.read(soon())
    for use in (transport.read(soon()), transport.write(b"x", soon())):
        with pytest.raises(Disconnected, match="is not open: call polling"):
            await use
    transport.wake()
    await transport.close()


async def test_no_proxy_is_taken_from_the_environment(opened, served, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    server = served([OK])
    async with opened(server.url) as transport:
        await transport.write(b"x", soon())
        assert await transport.read(soon()) == b"ok"


# --------------------------------------------------------------------------------------------------------- certificates


@pytest.fixture
def secure(certificates):
    with HttpServer(VirtualTerminal(), tls=certificates.server, gap=0) as server:
        yield server


def other_pin(pin):
    return pin[:-1] + ("0" if pin[-1] != "0" else "1")


async def test_the_pinned_certificate(opened, secure, certificates):
    spelled = ":".join(certificates.pin.upper()[place : place + 2] for place in range(0, 64, 2))
    for pin in (certificates.pin, spelled):
        async with opened(secure.url, pin_sha256=pin) as transport:
            await transport.write(b"{}", soon())


async def test_another_certificate_than_the_pinned_one_is_sent_nothing(opened, certificates):
    """The handshake is all that it hears, also where its CA is trusted."""
    heard = []

    def serve():
        line, _ = listener.accept()
        with contextlib.suppress(OSError), certificates.server.wrap_socket(line, server_side=True) as tls:
            heard.append(tls.recv(100))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        async with opened(url, verify=certificates.ca_file, pin_sha256=other_pin(certificates.pin)) as transport:
            with pytest.raises(ConnectError, match="certificate is not the pinned one") as raised:
                await transport.write(b"secret", soon())
        await asyncio.to_thread(thread.join)
    assert raised.value.bytes_written == 0
    assert heard in ([], [b""])


async def test_the_private_ca(opened, secure, certificates):
    async with opened(secure.url, verify=certificates.ca_file) as transport:
        await transport.write(b"{}", soon())
    async with opened(secure.url) as transport:
        with pytest.raises(ConnectError, match="TLS connection"):
            await transport.write(b"{}", soon())
    assert secure.terminal.commands == []


async def test_a_context_of_the_caller(opened, secure, certificates):
    async with opened(secure.url, verify=tls_context(certificates.ca_file, None)) as transport:
        await transport.write(b"{}", soon())


@pytest.mark.parametrize(
    ("url", "options", "error", "said"),
    [
        ("ftp://10.0.0.1", {}, InvalidValue, "must be http"),
        ("10.0.0.1", {}, InvalidValue, "must be http"),
        ("http://", {}, InvalidValue, "must be http"),
        ("http://user:word@10.0.0.1", {}, InvalidValue, "must be http"),
        ("http://10.0.0.1/?x=1", {}, InvalidValue, "must be http"),
        ("http://10.0.0.1:x", {}, InvalidValue, "is not valid"),
        (None, {}, InvalidType, "must be text"),
        ("http://10.0.0.1", {"path": 1}, InvalidType, "must be text"),
        ("http://10.0.0.1", {"path": "pos"}, InvalidValue, "must begin with /"),
        ("http://10.0.0.1", {"path": "/pos?x"}, InvalidValue, "must not have a query"),
        ("http://10.0.0.1", {"pin_sha256": "00" * 32}, InvalidValue, "only be pinned for an https"),
        ("https://10.0.0.1", {"pin_sha256": "00"}, InvalidValue, "64 hex digits"),
        ("https://10.0.0.1", {"pin_sha256": b"00"}, InvalidType, "must be text"),
        ("https://10.0.0.1", {"verify": False}, ConfigurationError, "needs pin_sha256"),
        ("https://10.0.0.1", {"verify": "/no/such/file"}, ConfigurationError, "file of CA certificates"),
        ("https://10.0.0.1", {"verify": 1}, ConfigurationError, "file of CA certificates"),
    ],
)
def test_settings_that_cannot_work(url, options, error, said):
    with pytest.raises(error, match=said):
        Connector.create_http(url, **options)


@pytest.mark.parametrize(
    ("url", "path", "full"),
    [
        ("http://10.0.0.1:8080", "/", "http://10.0.0.1:8080/"),
        ("http://10.0.0.1", "/pos", "http://10.0.0.1/pos"),
        ("http://10.0.0.1/", "/pos", "http://10.0.0.1/pos"),
        ("http://10.0.0.1/api", "/", "http://10.0.0.1/api"),
        ("http://10.0.0.1/api/", "/pos", "http://10.0.0.1/api/pos"),
        ("https://[fe80::1]:8443", "/", "https://[fe80::1]:8443/"),
    ],
)
def test_the_address_of_a_terminal(url, path, full):
    assert HttpTransport(url, path=path).name == full
