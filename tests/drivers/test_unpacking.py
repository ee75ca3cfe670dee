"""A body that is small on the wire and large when unpacked costs no more memory than it may have."""

from __future__ import annotations

import asyncio
import gzip
import threading
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from getnet_pos.drivers.engine import AsyncEngine, Engine
from getnet_pos.drivers.http import AsyncHttpClient, HttpClient
from getnet_pos.errors import MalformedResponse
from getnet_pos.flows.effects import Request, Response

MAX_BODY = 1 << 18
JSON = b'{"merchant_id": "10000"}'
PACKED = gzip.compress(JSON)

Ask = Callable[..., Response]


class Server(ThreadingHTTPServer):
    """Answers with ``body``, said to be packed as ``encoding``."""

    daemon_threads = True
    body = b""
    encoding = ""
    asked: dict[str, str]

    class RequestHandlerClass(BaseHTTPRequestHandler):
        server: Server
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.server.asked = {name.lower(): value for name, value in self.headers.items()}
            self.send_response(200)
            if self.server.encoding:
                self.send_header("Content-Encoding", self.server.encoding)
            self.send_header("Content-Length", str(len(self.server.body)))
            self.end_headers()
            try:
                self.wfile.write(self.server.body)
            except ConnectionError:
                self.close_connection = True

        def log_message(self, *words: Any) -> None: ...


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Server.RequestHandlerClass) as served:
        threading.Thread(target=served.serve_forever, args=(0.01,), daemon=True).start()
        yield served
        served.shutdown()


def _blocking(request: Request, injected: bool) -> Response:
    client = httpx.Client(trust_env=False) if injected else None
    asking = Engine() if client is None else HttpClient(client)
    try:
        return asking.send(request)
    finally:
        asking.close()
        if client is not None:
            client.close()


def _asyncio(request: Request, injected: bool) -> Response:
    async def send() -> Response:
        client = httpx.AsyncClient(trust_env=False) if injected else None
        asking = AsyncEngine() if client is None else AsyncHttpClient(client)
        try:
            return await asking.send(request)
        finally:
            await asking.close()
            if client is not None:
                await client.aclose()

    return asyncio.run(send())


@pytest.fixture(params=[_blocking, _asyncio], ids=["blocking", "asyncio"])
def face(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(params=[False, True], ids=["engine", "client given"])
def ask(face: Any, request: pytest.FixtureRequest, server: Server) -> Ask:
    """Asks the server, which answers with ``body`` said to be packed as ``encoding``."""

    def asked(body: bytes, encoding: str) -> Response:
        server.body, server.encoding = body, encoding
        address = f"http://127.0.0.1:{server.server_port}/"
        response: Response = face(Request("GET", address, timeout=30.0, max_body=MAX_BODY), request.param)
        return response

    return asked


@cache
def zeros(size: int) -> bytes:
    """``size`` bytes, packed into a thousandth."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join([*(packer.compress(b"\0" * (1 << 20)) for _ in range(size >> 20)), packer.flush()])


@pytest.mark.parametrize(
    ("packed", "encoding"), [(False, ""), (False, "identity"), (True, "gzip"), (True, "X-GZIP"), (None, "gzip")]
)
def test_what_is_unpacked(ask: Ask, server: Server, packed: bool | None, encoding: str) -> None:
    body = b"" if packed is None else PACKED if packed else JSON
    assert ask(body, encoding).content == (JSON if body else b"")
    assert server.asked["accept-encoding"] == "gzip"


def test_a_body_as_long_as_it_may_be(ask: Ask) -> None:
    assert len(ask(gzip.compress(b" " * MAX_BODY), "gzip").content) == MAX_BODY
    with pytest.raises(MalformedResponse, match="longer than 262144 bytes: if an answer may be that"):
        ask(gzip.compress(b" " * (MAX_BODY + 1)), "gzip")
    with pytest.raises(MalformedResponse, match="longer than 262144 bytes"):
        ask(b" " * (MAX_BODY + 1), "")


@pytest.mark.parametrize(
    "encoding", ["br", "deflate", "zstd", "gzip, gzip", "gzip,identity", "deflate, gzip", "4539578763621486"]
)
def test_other_ways_of_packing_are_refused(ask: Ask, encoding: str) -> None:
    with pytest.raises(MalformedResponse, match="Content-Encoding other than gzip"):
        ask(gzip.compress(PACKED), encoding)


_BROKEN = {
    "none": b"{}",
    "zlib": zlib.compress(JSON),
    "cut": PACKED[:-1],
    "cut early": PACKED[:12],
    "more behind": PACKED + b"more",
    "twice": PACKED * 2,
    "wrong sum": PACKED[:-8] + bytes(8),
}


@pytest.mark.parametrize("body", _BROKEN.values(), ids=_BROKEN)
def test_what_is_not_whole_gzip_is_refused(ask: Ask, body: bytes) -> None:
    with pytest.raises(MalformedResponse, match="not complete and valid gzip"):
        ask(body, "gzip")


@pytest.mark.parametrize("encoding", ["gzip", "gzip, gzip", "gzip, gzip, gzip"])
def test_a_body_that_swells_is_refused_before_it_has_swollen(ask: Ask, encoding: str) -> None:
    body = zeros(64 << 20)
    for _ in encoding.split(",")[1:]:
        body = gzip.compress(body)
    ask(PACKED, "gzip")
    tracemalloc.start()
    try:
        with pytest.raises(MalformedResponse, match=r"longer than|other than gzip"):
            ask(body, encoding)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The server, in this process too, sends the body from where it lies.
    assert peak < 4 * MAX_BODY


def test_an_answer_that_a_hook_has_read_is_taken(face: Any, server: Server) -> None:
    """Its client's owner has it in memory, unpacked."""
    server.body, server.encoding = PACKED, "gzip"
    request = Request("GET", f"http://127.0.0.1:{server.server_port}/", timeout=30.0, max_body=MAX_BODY)
    if face is _blocking:
        with httpx.Client(event_hooks={"response": [lambda answer: answer.read()]}) as client:
            assert HttpClient(client).send(request).content == JSON
        return

    async def read(answer: httpx.Response) -> None:
        await answer.aread()

    async def send() -> Response:
        async with httpx.AsyncClient(event_hooks={"response": [read]}) as client:
            return await AsyncHttpClient(client).send(request)

    assert asyncio.run(send()).content == JSON
