"""A client of the caller's in the place of the engine: through a proxy, with a certificate, of whatever make."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from getnet_pos import ConnectError, Connector, MemoryJournal, Profile
from getnet_pos.cloud import AsyncCloudAccount, CloudAccount
from getnet_pos.drivers.http import HttpClient
from getnet_pos.errors import ConfigurationError, Disconnected, InvalidType, TransportError
from getnet_pos.flows.effects import Request
from getnet_pos.flows.http_calls import RetryPolicy
from getnet_pos.messages import IntentState
from getnet_pos.simulator.cloud import VirtualCloud
from tests.cloud.conftest import QUICK, Open
from tests.doors import Authority, Door, Proxy
from tests.faces import FACES


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def virtual(opened: Open) -> VirtualCloud:
    return opened()


@pytest.fixture
def door(virtual: VirtualCloud, authority: Authority) -> Iterator[Door]:
    port = int(virtual.url.partition("127.0.0.1:")[2].partition("/")[0])
    with contextlib.closing(Door(port, authority.good())) as door:
        yield door


@pytest.fixture(params=FACES)
def visit(request: pytest.FixtureRequest, virtual: VirtualCloud) -> Any:
    """``async with visit(url, verify=...) as pos`` is a connector over a client of httpx with these options."""

    @contextlib.asynccontextmanager
    async def visited(url: str, journal: MemoryJournal, **options: Any) -> Any:
        where = {"client_id": "id", "client_secret": "a-secret", "key_pos": virtual.key_pos, "profile": virtual.profile}
        settings = {**where, "journal": journal, "timeouts": QUICK}
        async with contextlib.AsyncExitStack() as stack:
            client: Any
            if request.param == "AsyncConnector":
                client = await stack.enter_async_context(httpx.AsyncClient(trust_env=False, **options))
            else:
                client = stack.enter_context(httpx.Client(trust_env=False, **options))
            yield await stack.enter_async_context(
                FACES[request.param]("create_cloud", url, http_client=client, **settings)
            )

    return visited


async def test_a_proxy(visit: Any, virtual: VirtualCloud, door: Door, authority: Authority) -> None:
    journal = MemoryJournal()
    with contextlib.closing(Proxy()) as proxy:
        url = f"https://127.0.0.1:{door.port}/api/postxs"
        trust = ssl.create_default_context(cafile=authority.file)
        async with visit(url, journal, proxy=f"http://127.0.0.1:{proxy.port}", verify=trust) as pos:
            await pos.polling()
            assert (await pos.sale(1000, ticket="A1")).approved
            assert set(proxy.asked) == {f"CONNECT 127.0.0.1:{door.port} HTTP/1.1"}
            proxy.refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
            proxy.cut()
            with pytest.raises(ConnectError, match="could not be sent") as caught:
                await pos.sale(2000, ticket="A2")
    assert caught.value.bytes_written == 0
    assert journal.intents(settled=True)[-1].state is IntentState.NOT_SENT
    assert virtual.terminal.ledger.charged() == 1000


@pytest.mark.parametrize("own", [True, False], ids=["http_client", "engine"])
@pytest.mark.parametrize("kind", FACES)
async def test_a_certificate_of_the_register(
    kind: str, own: bool, virtual: VirtualCloud, door: Door, authority: Authority
) -> None:
    """Mutual TLS, through a client of one's own or with a context as ``verify``."""
    door.tls = authority.for_clients()
    for trust, knows in ((authority.of_a_client(), True), (ssl.create_default_context(cafile=authority.file), False)):
        settings: dict[str, Any] = {"client_id": "id", "client_secret": "a-secret", "profile": virtual.profile}
        settings.update(journal=MemoryJournal(), timeouts=QUICK, retry=RetryPolicy(attempts=1))
        async with contextlib.AsyncExitStack() as stack:
            if not own:
                settings["verify"] = trust
            elif kind == "AsyncConnector":
                client = httpx.AsyncClient(trust_env=False, verify=trust)
                settings["http_client"] = await stack.enter_async_context(client)
            else:
                settings["http_client"] = stack.enter_context(httpx.Client(trust_env=False, verify=trust))
            create: Any = FACES[kind]
            url = f"https://127.0.0.1:{door.port}/api/postxs"
            pos = await stack.enter_async_context(create("create_cloud", url, key_pos=virtual.key_pos, **settings))
            if knows:
                await pos.polling()
                assert (await pos.sale(1000)).approved
            else:
                with pytest.raises(TransportError):
                    await pos.polling()
    assert virtual.terminal.ledger.charged() == 1000


# ------------------------------------------------------------------------------------------------------------- by shape


class HTTPError(Exception):
    """As that of another make."""


class ConnectTimeout(HTTPError): ...


class ReadError(HTTPError): ...


class LocalProtocolError(HTTPError): ...


class OfAnotherMake:
    """A client that is none of httpx, and has its methods."""

    def __init__(self, error: Exception | None = None) -> None:
        self._client, self._error = httpx.Client(trust_env=False), error
        self.is_closed = False

    def build_request(self, *what: Any, **options: Any) -> Any:
        return self._client.build_request(*what, **options)

    def send(self, request: Any, **options: Any) -> Any:
        if self._error is not None:
            raise self._error
        return self._client.send(request, **options)

    def close(self) -> None:
        self._client.close()


def test_a_client_of_another_make(virtual: VirtualCloud) -> None:
    settings = {"client_id": "id", "client_secret": "a-secret", "profile": virtual.profile, "timeouts": QUICK}
    with contextlib.closing(OfAnotherMake()) as client:
        other: Any = client
        with Connector.create_cloud(
            virtual.url, key_pos=virtual.key_pos, journal=MemoryJournal(), http_client=other, **settings
        ) as pos:
            pos.polling()
            assert pos.sale(1000).approved


@pytest.mark.parametrize(
    ("raised", "expected", "sent"),
    [
        (ConnectTimeout(), ConnectError, False),
        (ReadError("cut"), Disconnected, True),
        (LocalProtocolError("secret"), ConfigurationError, False),
        (ZeroDivisionError(), ZeroDivisionError, False),
    ],
)
def test_its_errors_are_known_by_their_names(raised: Exception, expected: type[Exception], sent: bool) -> None:
    other: Any = OfAnotherMake(raised)
    with pytest.raises(expected) as caught, contextlib.closing(other):
        HttpClient(other).send(Request("GET", "https://api.test"))
    assert (getattr(caught.value, "bytes_written", 0) > 0) is sent
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("account", [CloudAccount, AsyncCloudAccount])
def test_what_is_no_client_is_refused(account: Any) -> None:
    mine = {CloudAccount: httpx.Client, AsyncCloudAccount: httpx.AsyncClient}[account](trust_env=False)
    settings = {"client_id": "id", "client_secret": "a-secret", "profile": Profile.CHILE}
    with pytest.raises(InvalidType, match="http_client must be an httpx"):
        account("https://cloud.test", http_client=7, **settings)
    for trust in ({"verify": "ca.pem"}, {"pin_sha256": "00" * 32}):
        with pytest.raises(ConfigurationError, match="set them on the client itself"):
            account("https://cloud.test", http_client=mine, **trust, **settings)
