"""Certificates that are not to be trusted: each has its own words, and no payment is in doubt because of them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from getnet_pos import ConnectError, MemoryJournal
from getnet_pos.drivers.engine import AsyncEngine, Engine
from getnet_pos.errors import Disconnected
from getnet_pos.flows.effects import Request
from getnet_pos.messages import IntentState
from getnet_pos.simulator import HttpServer, VirtualTerminal
from getnet_pos.simulator.cloud import VirtualCloud
from getnet_pos.transports import tls
from tests.cloud.conftest import QUICK
from tests.doors import Authority, Door
from tests.faces import FACES, Threaded

REFUSALS: dict[str, tuple[Callable[[Authority], Any], str]] = {
    "expired": (Authority.expired, "its certificate has expired: renew it, and check the clock"),
    "wrong name": (Authority.of_another_host, "its certificate is for another address: check the address"),
    "self-signed": (Authority.signed_by_nobody, "its certificate is self-signed: pin it with pin_sha256="),
    "another authority": (Authority.of_another_authority, "not from a trusted authority"),
    "downgrade": (Authority.of_old, r"it does not support TLS 1\.2 or later"),
}
CHANGED = (Authority.of_another_authority, "its certificate is not the pinned one: if it was replaced on purpose")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def door() -> Iterator[Door]:
    with contextlib.closing(Door()) as door:
        yield door


@contextlib.asynccontextmanager
async def over_the_cloud(connect: Any, door: Door, **settings: Any) -> AsyncIterator[tuple[Any, VirtualTerminal]]:
    with VirtualCloud() as cloud:
        door.to = int(cloud.url.partition("127.0.0.1:")[2].partition("/")[0])
        where = f"https://127.0.0.1:{door.port}/api/postxs"
        login = {"client_id": "id", "client_secret": "a-secret", "key_pos": cloud.key_pos, "profile": cloud.profile}
        async with connect("create_cloud", where, **login, **settings) as pos:
            yield pos, next(iter(cloud.terminals.values()))


@contextlib.asynccontextmanager
async def over_the_network(connect: Any, door: Door, **settings: Any) -> AsyncIterator[tuple[Any, VirtualTerminal]]:
    with HttpServer(VirtualTerminal(), gap=0) as server:
        door.to = int(server.url.rpartition(":")[2].partition("/")[0])
        async with connect("create_http", f"https://127.0.0.1:{door.port}", **settings) as pos:
            yield pos, server.terminal


@pytest.fixture(params=[over_the_cloud, over_the_network], ids=["cloud", "http"])
def carried(request: pytest.FixtureRequest) -> Any:
    return request.param


async def test_a_payment_given_up_in_the_handshake_was_not_sent(authority: Authority, door: Door) -> None:
    journal = MemoryJournal()
    door.tls = authority.good()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = {"journal": journal, "timeouts": QUICK, "verify": authority.file}
        async with over_the_cloud(FACES["AsyncConnector"], door, **settings) as (pos, terminal):
            await pos.polling()
            assert (await pos.sale(1000, ticket="A1")).approved
            door.tls, door.to = None, silent.getsockname()[1]
            sale = asyncio.create_task(pos.sale(1000, ticket="A2"))
            line, _ = await asyncio.to_thread(silent.accept)
            with line:
                assert await asyncio.to_thread(line.recv, 1)
                sale.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await sale
            assert len(terminal.ledger.entries) == 1
    assert [intent.state for intent in journal.intents(settled=True)] == [IntentState.APPROVED, IntentState.NOT_SENT]


@pytest.mark.parametrize("pinned", [False, True], ids=["authority", "pin"])
@pytest.mark.parametrize("connect", FACES.values(), ids=FACES)
async def test_a_certificate_that_changes_between_two_commands(
    carried: Any, connect: Any, authority: Authority, door: Door, pinned: bool
) -> None:
    """The payment is refused before its first byte, so nothing was charged, and it can be paid when all is well."""
    trust = {"pin_sha256": authority.pin} if pinned else {"verify": authority.file}
    journal = MemoryJournal()
    door.tls = authority.good()
    async with carried(connect, door, journal=journal, timeouts=QUICK, **trust) as (pos, terminal):
        await pos.polling()
        for count, (tls_of, said) in enumerate([CHANGED] if pinned else REFUSALS.values(), 1):
            assert (await pos.sale(1000, ticket=f"A{count}")).approved
            door.tls = tls_of(authority)
            with pytest.raises(ConnectError, match=said) as caught:
                await pos.sale(2000, ticket=f"B{count}")
            assert caught.value.bytes_written == 0
            refused = journal.intents(settled=True)[-1]
            assert (refused.ticket, refused.state) == (f"B{count}", IntentState.NOT_SENT)
            door.tls = authority.good()
            await pos.polling()
        assert (await pos.sale(2000, ticket="B1")).approved, "it was never charged"
        assert len(terminal.ledger.entries) == count + 1
        assert door.resumed, "a new connection costs no full handshake where the server stayed the same"


# ----------------------------------------------------------------------------------------------------------- the engine


@pytest.fixture(params=["blocking", "asyncio"])
def sends(request: pytest.FixtureRequest, authority: Authority) -> Any:
    return AsyncEngine(authority.file) if request.param == "asyncio" else Threaded(Engine(authority.file))


@pytest.fixture
def answering(door: Door) -> Iterator[Request]:
    with VirtualCloud() as cloud:
        door.to = int(cloud.url.partition("127.0.0.1:")[2].partition("/")[0])
        yield Request("POST", f"https://127.0.0.1:{door.port}/api/postxs/nothing", content=b"{}", timeout=5, fresh=True)


async def test_a_session_is_taken_up_again_and_ends(
    sends: Any, answering: Request, door: Door, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate is looked at again after a while, or it could outlive itself."""
    door.tls = authority.good()
    budget = tls._Budget()
    monkeypatch.setattr(tls, "_budget", budget)
    for _ in range(3):
        await sends.send(answering)
    assert (door.connections, door.resumed) == (3, 2)
    assert budget._read == 1, "one that is taken up is not read again"
    monkeypatch.setattr(tls, "_RESUMED_FOR", 0.0)
    await sends.send(answering)
    assert (door.connections, door.resumed) == (4, 2)
    await sends.close()


def test_few_sessions_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each reading takes memory for ever: a server that takes up none must not cost more and more."""
    monkeypatch.setattr(tls, "_KEPT_AT_FIRST", 2)
    budget, now = tls._Budget(), time.monotonic()
    assert [budget.takes(now) for _ in range(5)].count(True) == 3
    later = now + tls._KEPT_EVERY
    assert [budget.takes(later) for _ in range(3)] == [True, False, False]


async def test_a_connection_that_is_cut_without_a_word_is_no_end_of_a_body(
    sends: Any, answering: Request, door: Door, authority: Authority
) -> None:
    """Whoever cuts it could cut the body with it."""

    class Cut(Door):
        def _pass_on(self, line: Any, other: Any) -> None:
            line.recv(65536)
            line.sendall(b"HTTP/1.1 200 OK\r\n\r\nhalf of")
            time.sleep(0.05)

    with contextlib.closing(Cut(door.to, authority.good())) as cut:
        url = answering.url.replace(str(door.port), str(cut.port))
        with pytest.raises(Disconnected, match="the connection failed") as caught:
            await sends.send(Request("POST", url, content=b"{}", timeout=5, fresh=True))
        assert caught.value.bytes_written > 0
    await sends.close()


async def test_a_server_without_tls(sends: Any, door: Door) -> None:
    class Plain(Door):
        def _serve(self, line: Any) -> None:
            with line, contextlib.suppress(OSError):
                line.recv(65536)
                line.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")

    with (
        contextlib.closing(Plain()) as plain,
        pytest.raises(ConnectError, match="it does not speak TLS: check the port"),
    ):
        await sends.send(Request("GET", f"https://127.0.0.1:{plain.port}/", timeout=5))
    await sends.close()
