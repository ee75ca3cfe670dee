"""The TCP transport against plain sockets, blocking and on asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import ssl
import struct
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from getnet_pos import ConnectError, Connector, Disconnected, InvalidValue, PartialWrite, WriteTimeout
from getnet_pos.transports import names, tcp
from getnet_pos.transports.tcp import AsyncTcpTransport, TcpTransport
from tests.faces import Threaded

LARGE = random.Random(1).randbytes(16 << 20)


def soon(seconds=2.0):
    return time.monotonic() + seconds


class Peer:
    """The other end: takes one connection, and then does what the test says."""

    def __init__(self, tls=None):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(5)
        self.address = self.listener.getsockname()
        self.tls = tls
        self.line = None

    async def accept(self):
        def accept():
            line, _ = self.listener.accept()
            line.settimeout(5)
            return self.tls.wrap_socket(line, server_side=True) if self.tls else line

        if self.line is not None:
            self.line.close()
        self.line = await asyncio.to_thread(accept)

    def reset(self):
        self.line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("hh" if os.name == "nt" else "ii", 1, 0))
        self.line.close()

    async def read_to_the_end(self):
        return await asyncio.to_thread(self._read)

    def _read(self):
        count = 0
        with contextlib.suppress(OSError):
            while data := self.line.recv(1 << 20):
                count += len(data)
        return count

    def close(self):
        self.listener.close()
        if self.line is not None:
            self.line.close()


@pytest.fixture
def peer():
    with contextlib.closing(Peer()) as peer:
        yield peer


@pytest.fixture(params=["blocking", "asyncio"])
def make(request):
    if request.param == "asyncio":
        return AsyncTcpTransport
    return lambda *address, **options: Threaded(TcpTransport(*address, **options), at_once=("wake",))


def line_of(transport):
    """The socket of an open transport."""
    if isinstance(transport, AsyncTcpTransport):
        return transport._stream.transport.get_extra_info("socket")
    return transport.blocking._line


@contextlib.asynccontextmanager
async def connected(make, peer, **options):
    transport = make(*peer.address, connect_timeout=2.0, **options)
    accepting = asyncio.create_task(peer.accept())
    await transport.open()
    await accepting
    try:
        yield transport
    finally:
        await transport.close()


async def is_received(transport, expected):
    received = bytearray()
    while len(received) < len(expected):
        received += await transport.read(soon())
    same = received == expected  # not in the assertion, which would show all of it
    assert same


async def test_bytes_pass_both_ways(make, peer):
    async with connected(make, peer) as transport:
        await transport.open()
        await transport.write(b"question", soon())
        assert peer.line.recv(100) == b"question"
        peer.line.sendall(b"answer")
        assert await transport.read(soon()) == b"answer"
        assert transport.name == f"127.0.0.1:{peer.address[1]}"


async def test_a_flood_comes_whole(make, peer):
    async with connected(make, peer) as transport:
        sending = asyncio.create_task(asyncio.to_thread(peer.line.sendall, LARGE))
        await asyncio.sleep(0.1)
        await is_received(transport, LARGE)
        await sending


async def test_the_options_of_the_socket(make, peer):
    async with connected(make, peer) as transport:
        line = line_of(transport)
        assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        if sys.platform == "linux":
            assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 10
            assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 25_000


async def test_what_a_system_does_not_know_is_left_out(make, peer, monkeypatch):
    monkeypatch.setitem(tcp._KEEP_ALIVE, "TCP_UNHEARD_OF", 1)
    async with connected(make, peer) as transport:
        await transport.write(b"x", soon())


async def test_nobody_listens(make, peer):
    peer.listener.close()
    transport = make(*peer.address)
    with pytest.raises(
        ConnectError, match=r"cannot be reached \(nothing listens there.*check the terminal's address"
    ) as raised:
        await transport.open()
    assert raised.value.bytes_written == 0


@pytest.mark.parametrize("host", ["x" * 64 + ".example", "a..b"])
async def test_a_host_that_can_be_none(make, host):
    with pytest.raises(ConnectError, match="cannot be reached"):
        await make(host, 1).open()


async def test_a_host_has_a_name(make, peer):
    async with connected(lambda _, port, **options: make("localhost", port, **options), peer) as transport:
        await transport.write(b"x", soon())
        assert peer.line.recv(1) == b"x"


async def test_a_name_server_that_is_silent_is_given_the_time_to_connect(make, monkeypatch):
    """The time is over for the caller; the look-up itself cannot be stopped, and holds up nobody."""
    answers, real = threading.Event(), socket.getaddrinfo

    def look_up(host, *values, flags=0, **options):
        if not flags:
            answers.wait(5)
        return real(host, *values, flags=flags, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    begun = time.monotonic()
    with pytest.raises(ConnectError, match="no answer in time"):
        await make("localhost", 1, connect_timeout=0.2).open()
    assert time.monotonic() - begun < 1
    answers.set()


async def test_a_name_is_looked_up_while_the_threads_of_the_event_loop_are_busy(peer):
    """They write journals."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    finished = threading.Event()
    busy = asyncio.create_task(asyncio.to_thread(finished.wait, 5))
    transport = AsyncTcpTransport("localhost", peer.address[1], connect_timeout=2.0)
    await transport.open()
    await transport.close()
    assert not busy.done()
    finished.set()
    await busy


async def test_a_host_with_two_addresses_is_reached_at_the_one_that_answers(make, peer, monkeypatch):
    monkeypatch.setattr(names, "_addresses", lambda *_: ["127.0.0.2", "127.0.0.1"])
    async with connected(lambda _, port, **options: make("pos.lan", port, **options), peer) as transport:
        await transport.write(b"x", soon())
        assert peer.line.recv(1) == b"x"


async def test_every_address_has_its_share_of_the_time(make, monkeypatch):
    """One whose queue is full lets a caller wait."""
    with socket.socket() as full, contextlib.ExitStack() as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            line = waiting.enter_context(socket.socket())
            line.setblocking(False)
            line.connect_ex(full.getsockname())
        monkeypatch.setattr(names, "_addresses", lambda *_: ["127.0.0.1"] * 2)
        begun = time.monotonic()
        with pytest.raises(ConnectError, match="no answer in time"):
            await make("pos.lan", full.getsockname()[1], connect_timeout=0.4).open()
        assert 0.35 < time.monotonic() - begun < 1


def test_an_address_at_which_nobody_was_reached_is_tried_last(monkeypatch):
    monkeypatch.setattr(names, "_failed_at", {})
    hosts = ["2001:db8::1", "192.0.2.1", "192.0.2.2"]
    tries = names.shares(hosts, soon())
    assert [next(tries)[0] for _ in range(2)] == hosts[:2], "the second took the connection"
    tries.close()
    assert [host for host, _ in names.shares(hosts, soon())] == [hosts[1], hosts[2], hosts[0]]
    monkeypatch.setattr(names, "_TRIED_LAST_FOR", 0.0)
    assert [host for host, _ in names.shares(hosts, soon())] == hosts


def test_the_scope_of_an_address_is_kept():
    assert names._addresses("fe80::1%1") == ["fe80::1%1"]


async def test_a_peer_that_accepts_and_says_nothing(make, peer):
    """A handshake that nobody answers ends with the time-out."""
    begun = time.monotonic()
    transport = make(*peer.address, connect_timeout=0.2, tls=ssl.create_default_context())
    with pytest.raises(ConnectError, match="no answer in time"):
        await transport.open()
    assert time.monotonic() - begun < 1


async def test_a_certificate_that_is_not_trusted(make, certificates):
    with contextlib.closing(Peer(certificates.server)) as peer:

        async def accept():
            with contextlib.suppress(OSError):
                await peer.accept()

        accepting = asyncio.create_task(accept())
        with pytest.raises(ConnectError, match=r"TLS connection to .* failed: .* verify=.* pin_sha256="):
            await make(*peer.address, tls=ssl.create_default_context()).open()
        await accepting


async def test_tls(make, certificates):
    trust = ssl.create_default_context(cafile=certificates.ca_file)
    with contextlib.closing(Peer(certificates.server)) as peer:
        async with connected(make, peer, tls=trust) as transport:
            await transport.write(b"question", soon())
            assert peer.line.recv(100) == b"question"
            sending = asyncio.create_task(asyncio.to_thread(peer.line.sendall, LARGE[:3_000_000]))
            await is_received(transport, LARGE[:3_000_000])
            await sending
            assert await transport.read(soon(0.05)) == b""


async def test_it_waits_until_the_deadline(make, peer):
    async with connected(make, peer) as transport:
        begun = time.monotonic()
        assert await transport.read(begun + 0.1) == b""
        assert 0.09 < time.monotonic() - begun < 0.5
        assert await transport.read(0.0) == b""


async def test_a_look_sees_what_the_system_has(make, peer):
    async with connected(make, peer) as transport:
        peer.line.sendall(b"stale")
        time.sleep(0.05)  # the event loop must not see it before the transport looks
        assert await transport.read(0.0) == b"stale"
        peer.line.close()
        time.sleep(0.05)
        with pytest.raises(Disconnected):
            await transport.read(0.0)


async def test_waking_a_read(make, peer):
    async with connected(make, peer) as transport:
        threading.Timer(0.05, transport.wake).start()
        begun = time.monotonic()
        assert await transport.read(soon(5)) == b""
        assert time.monotonic() - begun < 1
        transport.wake()
        await asyncio.sleep(0)
        assert await transport.read(soon(5)) == b"", "a wake is kept for the next read"
        peer.line.sendall(b"x")
        assert await transport.read(soon()) == b"x"


@pytest.mark.parametrize("deadline", [0.0, 5.0])
async def test_a_wake_hides_no_bytes(make, peer, deadline):
    async with connected(make, peer) as transport:
        for wake_first in (True, False):
            if wake_first:
                transport.wake()
            peer.line.sendall(b"there")
            time.sleep(0.05)  # the event loop must not see it before the transport looks
            if not wake_first:
                transport.wake()
            assert await transport.read(soon(deadline) if deadline else 0.0) == b"there"


async def test_a_look_that_finds_nothing_forgets_a_wake(make, peer):
    async with connected(make, peer) as transport:
        transport.wake()
        await asyncio.sleep(0)
        assert await transport.read(0.0) == b""
        begun = time.monotonic()
        assert await transport.read(soon(0.1)) == b""
        assert time.monotonic() - begun > 0.09


def close(peer):
    peer.line.close()


def close_half(peer):
    peer.line.shutdown(socket.SHUT_WR)


def reset(peer):
    peer.reset()


@pytest.mark.parametrize("end", [close, close_half, reset])
async def test_a_command_on_a_connection_that_was_closed_after_an_answer_does_not_leave(make, peer, end):
    async with connected(make, peer) as transport:
        await transport.write(b"first", soon())
        assert peer.line.recv(100) == b"first"
        peer.line.sendall(b"answer")
        assert await transport.read(soon()) == b"answer"
        end(peer)
        time.sleep(0.05)  # nobody has looked since
        with pytest.raises(Disconnected) as raised:
            await transport.write(b"second", soon())
        assert raised.value.bytes_written == 0
        if end is close_half:
            await transport.close()
            assert peer.line.recv(100) == b""
    async with connected(make, peer) as transport:
        await transport.write(b"second", soon())
        assert peer.line.recv(100) == b"second"


async def test_what_came_before_a_command_is_still_read_after_it(make, peer):
    async with connected(make, peer) as transport:
        peer.line.sendall(b"late")
        time.sleep(0.05)
        await transport.write(b"command", soon())
        assert peer.line.recv(100) == b"command"
        peer.line.sendall(b" answer")
        await is_received(transport, b"late answer")


async def test_what_a_peer_said_before_it_closed_is_still_read(make, peer):
    async with connected(make, peer) as transport:
        peer.line.sendall(b"answer")
        peer.line.close()
        time.sleep(0.05)
        with pytest.raises(Disconnected) as raised:
            await transport.write(b"command", soon())
        assert raised.value.bytes_written == 0
        assert await transport.read(soon()) == b"answer"
        with pytest.raises(Disconnected):
            await transport.read(soon())


async def test_over_tls_a_peer_that_has_closed_is_seen_too(make, certificates):
    trust = ssl.create_default_context(cafile=certificates.ca_file)
    with contextlib.closing(Peer(certificates.server)) as peer:
        async with connected(make, peer, tls=trust) as transport:
            peer.line.sendall(b"answer")
            assert await transport.read(soon()) == b"answer"
            await asyncio.to_thread(peer.line.close)
            time.sleep(0.05)
            with pytest.raises(Disconnected) as raised:
                await transport.write(b"command", soon())
            assert raised.value.bytes_written == 0


async def test_a_peer_that_closes(make, peer):
    async with connected(make, peer) as transport:
        peer.line.sendall(b"last")
        peer.line.close()
        await asyncio.sleep(0.05)
        assert await transport.read(soon()) == b"last"
        with pytest.raises(Disconnected, match="closed the connection: check the network"):
            await transport.read(soon())


async def test_a_peer_that_resets(make, peer):
    async with connected(make, peer) as transport:
        peer.reset()
        with pytest.raises(Disconnected, match=r"closed the connection: .*reset"):
            await transport.read(soon())
        with pytest.raises(Disconnected) as raised:
            await transport.write(b"x", soon())
        assert raised.value.bytes_written == 0


async def test_a_write_on_a_connection_that_was_reset_leaves_nothing(make, peer):
    """Also where nobody has looked since."""
    async with connected(make, peer) as transport:
        peer.reset()
        time.sleep(0.05)
        with pytest.raises(Disconnected) as raised:
            await transport.write(b"x", soon())
        assert raised.value.bytes_written == 0


async def test_a_partial_write_is_counted_and_its_rest_never_leaves(make, peer):
    async with connected(make, peer) as transport:
        with pytest.raises(PartialWrite, match="it accepted no more bytes in time") as raised:
            await transport.write(LARGE, soon(0.2))
        assert 0 < raised.value.bytes_written < len(LARGE)
        reading = asyncio.create_task(peer.read_to_the_end())
        await transport.close()
        assert await reading <= raised.value.bytes_written


async def test_a_peer_that_resets_in_the_middle_of_a_write(make, peer):
    async with connected(make, peer) as transport:
        threading.Timer(0.1, peer.reset).start()
        with pytest.raises(PartialWrite, match="only a part of a message was written"):
            await transport.write(LARGE, soon())


async def test_a_peer_that_takes_nothing(make, peer):
    async with connected(make, peer) as transport:
        with socket.socket(fileno=os.dup(line_of(transport).fileno())) as same, contextlib.suppress(BlockingIOError):
            while True:
                same.send(LARGE)
        with pytest.raises(WriteTimeout, match="accepts no bytes") as raised:
            await transport.write(b"x", soon(0.05))
        assert raised.value.bytes_written == 0


async def test_over_tls_a_broken_write_counts_as_written(certificates, make):
    trust = ssl.create_default_context(cafile=certificates.ca_file)
    with contextlib.closing(Peer(certificates.server)) as peer:
        async with connected(make, peer, tls=trust) as transport:

            async def write_on():
                while True:  # asyncio takes a first one of any size
                    await transport.write(LARGE, soon(0.2))

            with pytest.raises(PartialWrite) as raised:
                await write_on()
            assert raised.value.bytes_written == len(LARGE)


async def test_a_write_that_is_given_up_does_not_leave_later(peer):
    async with connected(AsyncTcpTransport, peer) as transport:
        writing = asyncio.create_task(transport.write(LARGE, soon(5)))
        await asyncio.sleep(0.1)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        assert await peer.read_to_the_end() < len(LARGE)
        with pytest.raises(Disconnected):
            await transport.read(soon())


async def test_a_slow_peer_gets_all(make, peer):
    async with connected(make, peer) as transport:

        def read_slowly():
            count = 0
            while count < len(LARGE):
                count += len(peer.line.recv(1 << 20))
            return count

        reading = asyncio.create_task(asyncio.to_thread(read_slowly))
        await transport.write(LARGE, soon(5))
        assert await reading == len(LARGE)


async def test_it_is_opened_before_it_is_used_and_again_after_it_was_closed(make, peer):
    transport = make(*peer.address)
    transport.wake()
    for use in (transport.read(soon()), transport.write(b"x", soon()), transport.read(soon())):
        with pytest.raises(Disconnected, match="is not connected: call polling"):
            await use
    await transport.close()
    for _ in range(2):
        async with connected(make, peer) as transport:
            await transport.write(b"x", soon())
            assert peer.line.recv(1) == b"x"
    transport.wake()
    await transport.close()


async def test_a_wake_after_the_event_loop_has_ended():
    with contextlib.closing(Peer()) as peer:
        transport = AsyncTcpTransport(*peer.address)

        def run():
            asyncio.run(opened())

        async def opened():
            await transport.open()
            transport._stream.transport.abort()

        await asyncio.to_thread(run)
        transport.wake()


async def test_a_wake_that_comes_with_the_end():
    with contextlib.closing(Peer()) as peer:
        transport = AsyncTcpTransport(*peer.address)
        await transport.open()
        transport.wake()
        await transport.close()
        await asyncio.sleep(0)


def test_an_address_of_version_6_is_shown_in_brackets():
    assert TcpTransport("fe80::1", 9).name == "[fe80::1]:9"


@pytest.mark.parametrize("host", ["", "http://10.0.0.1", "10.0.0.1/pos", "a b", None])
def test_what_is_no_host(host):
    with pytest.raises(InvalidValue):
        Connector.create_tcp(host, 1)
