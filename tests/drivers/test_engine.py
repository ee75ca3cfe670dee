"""The HTTP engine against servers that say exactly what a test has them say, blocking and on asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

from getnet_pos.drivers import engine
from getnet_pos.drivers.engine import AsyncEngine, Engine
from getnet_pos.errors import (
    ConfigurationError,
    ConnectError,
    DeadlineExceeded,
    Disconnected,
    LifecycleError,
    MalformedResponse,
    TransportError,
)
from getnet_pos.flows.effects import Request
from getnet_pos.transports import names
from tests.faces import Threaded

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LARGE = bytes(16 << 20)
HOLD, CLOSE, RESET = object(), object(), object()
"""Steps of an answer: nothing until the test ends, the end of the connection, a reset."""


class Server:
    """Answers the requests of every connection with ``steps``: bytes, and what is done between them."""

    def __init__(self, *steps: object) -> None:
        self.steps = steps or (OK,)
        self.requests: list[bytes] = []
        self.connections = 0
        self.lines: list[socket.socket] = []
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/api/postxs"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                line, _ = self._listener.accept()
                self.connections += 1
                self.lines.append(line)
                self._threads.append(threading.Thread(target=self._serve, args=(line,)))
                self._threads[-1].start()

    def _serve(self, line: socket.socket) -> None:
        with line, contextlib.suppress(OSError):
            line.settimeout(5)
            while (data := line.recv(65536)) and not self._over.is_set():
                self.requests.append(data)
                for step in self.steps:
                    if step is HOLD:
                        self._over.wait(5)
                    elif step is CLOSE:
                        return
                    elif step is RESET:
                        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        return
                    else:
                        assert isinstance(step, bytes)
                        line.sendall(step)

    def close(self) -> None:
        self._over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()


Serve = Callable[..., Server]


@pytest.fixture
def served() -> Iterator[Serve]:
    with contextlib.ExitStack() as stack:
        yield lambda *steps: stack.enter_context(contextlib.closing(Server(*steps)))


@pytest.fixture(params=["blocking", "asyncio"])
def opened(request: pytest.FixtureRequest) -> Any:
    @contextlib.asynccontextmanager
    async def opened() -> Any:
        sends: Any = AsyncEngine() if request.param == "asyncio" else Threaded(Engine())
        try:
            yield sends
        finally:
            await sends.close()

    return opened


def post(url: str, content: bytes = b"{}", *, fresh: bool = True, timeout: float = 5.0, **options: Any) -> Request:
    return Request("POST", url, {"Authorization": "Bearer secret"}, content, timeout=timeout, fresh=fresh, **options)


def sockets(server: Server | None) -> set[int]:
    """The descriptors of sockets in this process that are not the server's, where the system lists them."""
    found = set()
    for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                with socket.socket(fileno=os.dup(int(name))) as same:
                    if server is None or _port(same) != server.port:
                        found.add(int(name))
    return found


def _port(of: socket.socket) -> int | None:
    """The server's threads accept and close whenever they like: only its port says that a socket is the server's."""
    return of.getsockname()[1] if of.family in (socket.AF_INET, socket.AF_INET6) else None


@contextlib.contextmanager
def nothing_left(server: Server | None = None) -> Iterator[None]:
    """No socket and no task more than before."""
    before, tasks = sockets(server), asyncio.all_tasks()
    yield
    assert asyncio.all_tasks() == tasks
    assert sockets(server) <= before


# ---------------------------------------------------------------------------------------------------- what is exchanged


async def test_a_request_on_the_wire(opened: Any, served: Serve) -> None:
    server = served(
        b"HTTP/1.1 102 Wait\r\n\r\nHTTP/1.1 201 Made\r\nX-One: a\r\nX-One: b\r\nContent-Length: 2\r\n\r\nok"
    )
    async with opened() as sends:
        response = await sends.send(post(server.url + "/sale?x=1", b'{"x":1}'))
    assert (response.status, response.content, response.headers["x-one"]) == (201, b"ok", "a, b")
    head, _, body = server.requests[0].decode().partition("\r\n\r\n")
    first, *headers = head.split("\r\n")
    assert first == "POST /api/postxs/sale?x=1 HTTP/1.1"
    assert {f"Host: {server.url[7:].partition('/')[0]}", "Authorization: Bearer secret", "Content-Length: 7",
            "Accept-Encoding: gzip", "Connection: close"} <= set(headers)  # fmt: skip
    assert body == '{"x":1}'


@pytest.mark.parametrize(
    "steps",
    [
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n", b"1\r\nk\r\n0\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\n\r\no", b"k", CLOSE],
        [b"HTTP/1.0 200 OK\r\n\r\nok", CLOSE],
        [OK, CLOSE],
        [OK[:20], OK[20:], RESET],
    ],
)
async def test_how_a_body_may_end(opened: Any, served: Serve, steps: list[Any]) -> None:
    async with opened() as sends:
        assert (await sends.send(post(served(*steps).url))).content == b"ok"


async def test_a_redirect_is_not_followed_and_no_proxy_is_taken(
    opened: Any, served: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    server = served(b"HTTP/1.1 307 There\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n")
    async with opened() as sends:
        response = await sends.send(post(server.url))
    assert (response.status, response.headers["location"]) == (307, "/there")
    assert len(server.requests) == 1


@pytest.mark.parametrize("value", ["a\nsecret", "secret ñ"])
async def test_a_header_that_http_cannot_carry_is_not_shown(opened: Any, served: Serve, value: str) -> None:
    server = served()
    async with opened() as sends:
        with pytest.raises(ConfigurationError, match="one of its headers is not valid HTTP") as caught:
            await sends.send(Request("POST", server.url, {"Authorization": value}, b"{}"))
    assert caught.value.__context__ is None
    assert server.connections == 0


async def test_a_header_of_the_callers_replaces_the_usual_one(opened: Any, served: Serve) -> None:
    server = served()
    async with opened() as sends:
        await sends.send(Request("GET", server.url, {"user-agent": "till 7"}))
    assert [line for line in server.requests[0].split(b"\r\n") if b"gent" in line] == [b"user-agent: till 7"]


# ---------------------------------------------------------------------------------------------------- which connection


async def test_money_has_a_new_connection_and_queries_share_one(opened: Any, served: Serve) -> None:
    server = served()
    async with opened() as sends:
        for fresh, connections in ((False, 1), (False, 1), (True, 2), (True, 3), (False, 3)):
            assert (await sends.send(post(server.url, fresh=fresh))).status == 200
            assert server.connections == connections
    assert [b"Connection: close" in one for one in server.requests] == [False, False, True, True, False]


@pytest.mark.parametrize("ending", [CLOSE, RESET], ids=["closed", "reset"])
async def test_a_kept_connection_that_has_ended_is_not_used(opened: Any, served: Serve, ending: object) -> None:
    server = served(OK, ending)
    async with opened() as sends:
        for _ in range(3):
            assert (await sends.send(post(server.url, fresh=False))).content == b"ok"
    assert server.connections == len(server.requests) == 3


async def test_a_query_goes_once_more_where_its_connection_was_closing(opened: Any, served: Serve) -> None:
    """The server takes the request from a kept connection, and closes it without a word."""
    server = served()
    async with opened() as sends:
        await sends.send(post(server.url, fresh=False))
        server.steps = (CLOSE,)
        with pytest.raises(Disconnected):
            await sends.send(post(server.url, b"second", fresh=False))
        assert [one[-6:] for one in server.requests[1:]] == [b"second"] * 2
        assert server.connections == 2


@pytest.mark.parametrize("more", [b"HTTP/1.1 200 OK\r\n", OK])
async def test_a_connection_on_which_more_came_is_not_used_again(opened: Any, served: Serve, more: bytes) -> None:
    server = served(OK + more)
    async with opened() as sends:
        for _ in range(2):
            await sends.send(post(server.url, fresh=False))
    assert server.connections == 2


async def test_idle_connections_are_kept_for_a_while(
    opened: Any, served: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_KEPT_FOR", 0.05)
    server = served()
    async with opened() as sends:
        await sends.send(post(server.url, fresh=False))
        await asyncio.sleep(0.1)
        await sends.send(post(server.url, fresh=False))
    assert server.connections == 2


# ---------------------------------------------------------------------------------------------- whether anything left


async def refused(sends: Any, request: Request, server: Server | None = None) -> TransportError:
    with nothing_left(server):
        with pytest.raises(TransportError) as caught:
            await sends.send(request)
        await asyncio.sleep(0.01)
    return caught.value


async def test_nobody_listens(opened: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    async with opened() as sends:
        error = await refused(sends, post(f"http://127.0.0.1:{port}"))
    assert (type(error), error.bytes_written) == (ConnectError, 0)
    assert "cannot be reached, and nothing was sent" in str(error)


async def test_a_name_that_nobody_has(opened: Any) -> None:
    async with opened() as sends:
        error = await refused(sends, post("http://nobody.invalid"))
    assert (type(error), error.bytes_written) == (ConnectError, 0)


async def test_a_name_server_that_is_silent(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that want the name wait for one thread, and none longer than it may; the loop goes on."""
    answers, asked = threading.Event(), []

    def look_up(host: str, *_: object, flags: int = 0, **__: object) -> Any:
        if flags:
            raise socket.gaierror("it is a name")
        asked.append(host)
        answers.wait(5)
        raise socket.gaierror("too late")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    async with opened() as sends:
        begun = time.monotonic()
        errors = await asyncio.gather(
            *(sends.send(post("http://silent.test", timeout=0.1)) for _ in range(5)), return_exceptions=True
        )
    assert time.monotonic() - begun < 1
    assert {(type(one), one.bytes_written) for one in errors} == {(ConnectError, 0)}
    assert asked == ["silent.test"]
    answers.set()


async def test_every_address_of_a_name_is_tried(opened: Any, served: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = served()
    monkeypatch.setattr(names, "_addresses", lambda *_: ["127.0.0.2", "127.0.0.1"])
    async with opened() as sends:
        assert (await sends.send(post(server.url.replace("127.0.0.1", "cloud.test")))).status == 200


async def test_a_server_that_takes_no_connection_in_time(opened: Any) -> None:
    with socket.socket() as full, contextlib.ExitStack() as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            line = waiting.enter_context(socket.socket())
            line.setblocking(False)
            line.connect_ex(full.getsockname())
        async with opened() as sends:
            error = await refused(sends, post(f"http://127.0.0.1:{full.getsockname()[1]}", timeout=0.1))
    assert (type(error), error.bytes_written) == (ConnectError, 0)
    assert "in time, and nothing was sent" in str(error)


async def test_tls_that_nobody_answers(opened: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with opened() as sends:
            error = await refused(sends, post(f"https://127.0.0.1:{silent.getsockname()[1]}", timeout=0.1))
    assert (type(error), error.bytes_written) == (ConnectError, 0)


@pytest.mark.parametrize(
    "steps", [(HOLD,), (b"HTTP/1.1 200", HOLD), (OK[:-1], HOLD)], ids=["nothing", "half a head", "half a body"]
)
async def test_an_answer_that_does_not_come_whole_in_time(opened: Any, served: Serve, steps: Any) -> None:
    server = served(*steps)
    async with opened() as sends:
        error = await refused(sends, post(server.url, timeout=0.1), server)
    assert type(error) is DeadlineExceeded
    assert error.bytes_written == len(server.requests[0])


BROKEN: dict[str, tuple[object, ...]] = {
    "nothing": (CLOSE,),
    "a reset": (RESET,),
    "half a head": (b"HTTP/1.1 200 OK\r\nCont", CLOSE),
    "half a body": (OK[:-1], CLOSE),
    "a reset body": (OK[:-1], RESET),
    "another protocol": (b"SSH-2.0-OpenSSH\r\n\r\n",),
    "no chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",),
    "a head of zeros": (b"HTTP/1.1 200 OK\r\nX: " + bytes(70_000),),
    "a long head": (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000,),
}


@pytest.mark.parametrize("steps", BROKEN.values(), ids=BROKEN)
async def test_after_the_first_byte_it_is_a_doubt(opened: Any, served: Serve, steps: Any) -> None:
    server = served(*steps)
    async with opened() as sends:
        error = await refused(sends, post(server.url), server)
    assert type(error) is Disconnected
    assert error.bytes_written == len(server.requests[0])
    assert len(server.requests) == 1


async def test_a_body_beyond_its_bound(opened: Any, served: Serve) -> None:
    server = served()
    async with opened() as sends:
        with nothing_left(server):
            with pytest.raises(MalformedResponse, match="longer than 1 bytes"):
                await sends.send(post(server.url, max_body=1))
            await asyncio.sleep(0.01)


def test_what_a_blocking_write_handed_to_the_system_is_counted() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        contextlib.closing(Engine()) as sends,
        pytest.raises(DeadlineExceeded) as caught,
    ):
        sends.send(post(f"http://127.0.0.1:{listener.getsockname()[1]}", LARGE, timeout=0.7))
    assert 0 < caught.value.bytes_written < len(LARGE)


async def test_a_connection_that_is_reset_before_the_first_byte() -> None:
    """A crowd waits for places, so a connection can be lost between its opening and its use."""
    reset = struct.pack("ii", 1, 0)

    class Hasty(AsyncEngine):
        async def _opened(self, *where: Any) -> Any:
            line = await super()._opened(*where)
            accepted, _ = await asyncio.to_thread(listener.accept)
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            accepted.close()
            time.sleep(0.02)  # The loop does not see it before the write does.
            return line

    with socket.create_server(("127.0.0.1", 0)) as listener:
        sends = Hasty()
        with pytest.raises(Disconnected, match="and nothing was sent") as caught:
            await sends.send(post(f"http://127.0.0.1:{listener.getsockname()[1]}"))
        await sends.close()
    assert caught.value.bytes_written == 0


# --------------------------------------------------------------------------------------------------- crowds and endings


async def test_a_crowd_opens_a_few_connections_at_a_time(
    opened: Any, served: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_OPENING", 2)
    server = served()
    async with opened() as sends:
        await asyncio.gather(*(sends.send(post(server.url)) for _ in range(12)))
    assert server.connections == 12


async def test_who_waits_in_a_crowd_until_the_time_is_over_has_sent_nothing(
    opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_OPENING", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        async with opened() as sends:
            first = asyncio.create_task(sends.send(post(url, timeout=0.3)))
            await asyncio.sleep(0.05)
            with pytest.raises(DeadlineExceeded, match="was not sent within") as caught:
                await sends.send(post(url, timeout=0.05))
            with pytest.raises(ConnectError):
                await first
    assert caught.value.bytes_written == 0


async def test_a_cancellation_at_any_moment_leaves_nothing(served: Serve) -> None:
    """Turn after turn of the event loop, until the request is faster."""
    server = served()
    turns, done = 0, False
    with nothing_left(server):
        while not done:
            sends = AsyncEngine()
            others = [asyncio.create_task(sends.send(post(server.url))) for _ in range(2)]
            for _ in range(turns):
                await asyncio.sleep(0 if turns < 12 else 0.001)
            done = all(other.done() for other in others)
            for other in others:
                other.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            assert (await sends.send(post(server.url))).status == 200, "the places were given back"
            await sends.close()
            turns += 1
        await asyncio.sleep(0.02)
    assert turns > 5


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_an_interruption_at_any_line_leaves_no_place_taken(served: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C, wherever it comes: the one place among those who open a connection is free for the next request."""
    monkeypatch.setattr(engine, "_OPENING", 1)
    server = served()
    sends = Engine()

    def interrupted(line: int) -> bool:
        left = line

        def trace(frame: FrameType, event: str, _: object) -> Any:
            nonlocal left
            if frame.f_code.co_filename != engine.__file__:
                return None
            if event == "line":
                left -= 1
                if left < 0:
                    sys.settrace(None)
                    raise KeyboardInterrupt
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            sends.send(post(server.url))
        except KeyboardInterrupt:
            return True
        finally:
            sys.settrace(before)
        return False

    line = 0
    while interrupted(line):
        assert sends.send(post(server.url, timeout=2)).status == 200, line
        line += 1
    assert line > 50
    sends.close()
    gc.collect()  # It closes those sockets that were interrupted in their making.


async def test_a_place_given_to_who_gave_up_goes_to_the_next(served: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_OPENING", 1)
    server = served()
    sends = AsyncEngine()
    for turns in range(10):
        tasks = [asyncio.create_task(sends.send(post(server.url))) for _ in range(4)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in tasks[:3]:
            task.cancel()
        await asyncio.gather(*tasks[:3], return_exceptions=True)
        assert (await tasks[3]).status == 200
    await sends.close()


async def test_closed_engines_send_nothing(opened: Any, served: Serve) -> None:
    server = served()
    async with opened() as sends:
        await sends.send(post(server.url, fresh=False))
        with nothing_left(server):
            await sends.close()
        with pytest.raises(LifecycleError, match="closed"):
            await sends.send(post(server.url))
    assert len(server.requests) == 1


async def test_what_is_under_way_ends_though_the_engine_is_closed(opened: Any, served: Serve) -> None:
    server = served(OK[:-1])
    async with opened() as sends:
        under_way = asyncio.create_task(sends.send(post(server.url, fresh=False, timeout=0.3)))
        while not server.requests:
            await asyncio.sleep(0.01)
        await sends.close()
        with pytest.raises(DeadlineExceeded):
            await under_way


def test_connections_belong_to_one_event_loop(served: Serve) -> None:
    server = served()
    sends = AsyncEngine()

    async def send() -> int:
        return (await sends.send(post(server.url))).status

    async def elsewhere() -> None:
        assert await send() == 200
        with pytest.raises(LifecycleError, match="create an account for each loop"):
            await asyncio.to_thread(asyncio.run, send())

    asyncio.run(elsewhere())
    assert asyncio.run(send()) == 200, "the first loop has ended"


def test_threads_share_an_engine(served: Serve) -> None:
    server = served()
    sends = Engine()
    statuses: list[int] = []

    def send() -> None:
        for _ in range(10):
            statuses.append(sends.send(post(server.url, fresh=False)).status)

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sends.close()
    assert statuses == [200] * 80
    assert server.connections <= 20
