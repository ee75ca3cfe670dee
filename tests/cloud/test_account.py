"""Credentials, settings and discovery: what an account takes, and what it makes of a list of terminals."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import httpx
import orjson
import pytest

from getnet_pos import (
    ApiError,
    AsyncConnector,
    AuthenticationError,
    ConfigurationError,
    Connector,
    InvalidType,
    InvalidValue,
    KeyPos,
    LifecycleError,
    MalformedResponse,
    MemoryJournal,
    NotFound,
    Profile,
    TerminalBusy,
    Timeouts,
    TransactionNotFound,
)
from getnet_pos.cloud import AsyncCloudAccount, CloudAccount
from getnet_pos.cloud.settings import CloudOptions, CloudSettings
from getnet_pos.simulator import Behaviour
from getnet_pos.simulator.cloud import CloudFault, CloudFaultKind, VirtualCloud, Where
from tests.cloud.conftest import QUICK, Open

ACCOUNT: dict[str, Any] = {"client_id": "id", "client_secret": "a-secret", "profile": Profile.CHILE}
URL = "https://cloud.example/api/postxs"
ONE, TWO = KeyPos("80005000", 12983, "SNPRUEBA1234"), KeyPos("80005001", 777, "SNPRUEBA1235")


def listed_by(body: object, status: int = 200, kind: str = "application/json") -> list[KeyPos]:
    """What an account makes of an answer of ``posdata``."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/auth"):
            return httpx.Response(200, json={"code": 1, "data": {"token": "t0ken-of-a-test", "expires_in": 60}})
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        return httpx.Response(status, content=content, headers={"content-type": kind})

    client = httpx.Client(transport=httpx.MockTransport(answer))
    with client, CloudAccount(URL, **ACCOUNT, http_client=client) as account:
        return account.list_terminals()


def row(key_pos: KeyPos, **names: str) -> dict[str, Any]:
    parts = {
        "idTerminal": key_pos.id_terminal,
        "idSucursal": key_pos.id_sucursal,
        "serialNumber": key_pos.serial_number,
    }
    return {names.get(name, name): value for name, value in parts.items()}


@pytest.mark.parametrize(
    "body",
    [
        [row(ONE), row(TWO)],
        {"code": 1, "status": "OK", "data": [row(ONE), row(TWO), row(ONE)]},
        {"code": 1, "data": {"terminals": [{"keyPos": row(ONE), "status": "on"}, {"keyPos": row(TWO)}]}},
        {"data": [{**row(ONE), "model": {"brand": "PAX"}}, {**row(TWO), "tags": ["a", 1, None]}]},
        [row(ONE, idTerminal="terminalId", serialNumber="serial"), row(TWO, idSucursal="id_sucursal")],
        [row(ONE, idTerminal="IDTERMINAL"), {**row(TWO), "idSucursal": "0000000777", "idTerminal": 80005001}],
        {"branches": [
            {"idSucursal": 12983, "pos": [{"idTerminal": "80005000", "serialNumber": "SNPRUEBA1234"}]},
            {"idSucursal": 777, "pos": [{"idTerminal": "80005001", "serialNumber": "SNPRUEBA1235"}]},
        ]},
        [row(ONE), {"idTerminal": "Ñ", "idSucursal": 1, "serialNumber": "S"}, {"idTerminal": None}, row(TWO)],
    ],
)  # fmt: skip
def test_a_list_of_any_shape(body: object) -> None:
    assert listed_by(body) == [ONE, TWO]


@pytest.mark.parametrize("body", [[], {}, {"code": 1, "data": []}, {"code": 1, "data": None}, "none", 7])
def test_no_terminals(body: object) -> None:
    assert listed_by(body) == []


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (({"code": 0, "status": "ERROR", "message": "no t0ken-of-a-test"},), ApiError),
        (({"code": 0, "status": "ERROR"},), ApiError),
        (({"code": 1, "data": [{"id": "80005000"}]},), MalformedResponse),
        (({"code": 1, "data": {"a": [[{"b": 1}]]}},), MalformedResponse),
        ((b"[{",), MalformedResponse),
        ((b'"\xff"',), MalformedResponse),
        ((b"<html>", 200, "text/html"), MalformedResponse),
        (({}, 404), NotFound),
        (({}, 401), AuthenticationError),
    ],
)
def test_what_is_no_list(answer: tuple[Any, ...], error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        listed_by(*answer)
    assert "t0ken" not in str(caught.value)


def lister(kind: str) -> Callable[..., Any]:
    def blocking(url: str, work: Callable[[Any], Any], **settings: Any) -> Any:
        with CloudAccount(url, **{**ACCOUNT, **settings}) as account:
            return work(account)

    def on_asyncio(url: str, work: Callable[[Any], Any], **settings: Any) -> Any:
        async def call() -> Any:
            async with AsyncCloudAccount(url, **{**ACCOUNT, **settings}) as account:
                return await work(account)

        return asyncio.run(call())

    return blocking if kind == "blocking" else on_asyncio


@pytest.fixture(params=["blocking", "asyncio"])
def using(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """``using(url, lambda account: account.list_terminals())`` with either account."""
    return lister(request.param)


def test_all_terminals_or_those_of_a_branch(using: Callable[..., Any], opened: Open, profile: Profile) -> None:
    cloud = opened(profile=profile, terminals=3)
    other = KeyPos("OTHER", 777, "S777")
    cloud._lines[other] = cloud._lines[cloud.key_pos]
    places = list(cloud.terminals)
    assert using(cloud.url, lambda account: account.list_terminals(), profile=profile) == places
    assert using(cloud.url, lambda account: account.list_terminals(777), profile=profile) == [other]
    assert [call.path + "?" + call.query for call in cloud.requests if "posdata" in call.path] == [
        "/api/posdata?", "/api/posdata?idsucursal=777",
    ]  # fmt: skip


def test_a_list_below_the_base_url(using: Callable[..., Any], cloud: VirtualCloud, profile: Profile) -> None:
    kind = cloud._kind
    cloud._kind = lambda call: Where.QUESTION if call.path == "/api/posdata" else kind(call)  # type: ignore[method-assign]  # watched in its place
    assert using(cloud.url, lambda account: account.list_terminals(), profile=profile) == [cloud.key_pos]


def test_an_address_without_a_path_is_asked_and_no_other_host(
    using: Callable[..., Any], cloud: VirtualCloud, profile: Profile
) -> None:
    host = cloud.url.removesuffix("/api/postxs")
    assert using(host, lambda account: account.list_terminals(), profile=profile) == [cloud.key_pos]
    assert [call.path for call in cloud.requests][-1] == "/posdata"


@pytest.mark.parametrize("branch", [0, -1, 10**10, True, "7", 1.0])
def test_what_is_no_branch(using: Callable[..., Any], branch: Any) -> None:
    with pytest.raises(InvalidValue):
        using(URL, lambda account: account.list_terminals(branch))


def test_the_status_of_a_transaction(using: Callable[..., Any], cloud: VirtualCloud, profile: Profile) -> None:
    with pytest.raises(TransactionNotFound, match="ID NOT FOUND"):
        using(cloud.url, lambda account: account.transaction_status(5), profile=profile)
    with Connector.create_cloud(
        cloud.url, key_pos=cloud.key_pos, client_id="id", client_secret="s", profile=profile
    ) as pos:
        pos.polling()
        pos.sale(1000)
    number = max(cloud._transactions)
    result = using(cloud.url, lambda account: account.transaction_status(str(number)), profile=profile)
    assert (result.id_pos_txs, result.reply.approved, result.in_process) == (number, True, False)
    for wrong in ("../auth", "", "a b", "x" * 65, True, None, 1.5):
        with pytest.raises(InvalidValue):
            using(cloud.url, lambda account, wrong=wrong: account.transaction_status(wrong), profile=profile)


def test_a_client_of_ones_own_is_not_closed() -> None:
    client = httpx.Client()
    with client:
        CloudAccount("http://cloud.lan/api/postxs", **ACCOUNT, http_client=client).close()
        assert not client.is_closed

    async def call() -> None:
        async with httpx.AsyncClient() as own:
            await AsyncCloudAccount("http://cloud.lan/api/postxs", **ACCOUNT, http_client=own).close()
            assert not own.is_closed

    asyncio.run(call())


def test_an_account_is_used_on_one_event_loop_at_a_time(cloud: VirtualCloud, profile: Profile) -> None:
    account = AsyncCloudAccount(cloud.url, client_id="id", client_secret="s", profile=profile)
    first = asyncio.new_event_loop()
    first.run_until_complete(account.list_terminals())
    second = asyncio.new_event_loop()
    with pytest.raises(LifecycleError, match="another event loop: create an account"):
        second.run_until_complete(account.list_terminals())
    first.run_until_complete(account.close())
    first.close()
    second.close()


def test_a_closed_account_sends_nothing(using: Callable[..., Any]) -> None:
    account = CloudAccount(URL, **ACCOUNT)
    account.close()
    with pytest.raises(LifecycleError):
        account.list_terminals()


@pytest.mark.parametrize(
    ("settings", "error", "word"),
    [
        ({"base_url": "http://cloud.example/api/postxs"}, InvalidValue, "https"),
        ({"base_url": "cloud.example"}, InvalidValue, "complete URL"),
        ({"base_url": None}, InvalidType, "base_url"),
        ({"client_id": ""}, InvalidValue, "client_id"),
        ({"client_secret": None}, InvalidType, "client_secret"),
        ({"environment": ""}, InvalidValue, "environment"),
        ({"environment": "ñ"}, InvalidValue, "ASCII"),
        ({"profile": "cl"}, InvalidType, "profile"),
        ({"profile": Profile(name="x", amount_exponent=0)}, ConfigurationError, "the profile x has no cloud"),
        ({"timeouts": 5}, InvalidType, "timeouts"),
        ({"api_key": "key"}, InvalidType, "mapping"),
        ({"api_key": {"X Key": "key"}}, InvalidValue, "not a valid name of a header"),
        ({"api_key": {"X-Key": "a\nb"}}, InvalidValue, "X-Key"),
        ({"api_key": {"X-Key": "ñ"}}, InvalidValue, "ASCII"),
        ({"max_connections": 0}, InvalidValue, "max_connections"),
        ({"http_client": 7}, InvalidType, "http_client"),
    ],
)
@pytest.mark.parametrize("kind", [CloudAccount, AsyncCloudAccount])
def test_settings_that_cannot_work_are_named(
    kind: Any, settings: dict[str, Any], error: type[Exception], word: str
) -> None:
    with pytest.raises(error, match=word) as caught:
        kind(**{"base_url": URL, **ACCOUNT, **settings})
    assert "a-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "error", "word"),
    [
        ({"key_pos": "80005000"}, InvalidType, "KeyPos"),
        ({"webhook": "shop.example/hook"}, InvalidValue, "webhook"),
        ({"timeouts": 5}, InvalidType, "timeouts"),
        ({"journal": 7}, ConfigurationError, "journal"),
        ({"client_id": "id"}, ConfigurationError, "its own settings"),
        ({"profile": Profile.ARGENTINA}, ConfigurationError, "its own settings"),
        ({"environment": "prod"}, ConfigurationError, "its own settings"),
        ({"api_key": {}}, ConfigurationError, "its own settings"),
    ],
)
@pytest.mark.parametrize("kinds", [(CloudAccount, Connector), (AsyncCloudAccount, AsyncConnector)])
def test_settings_of_a_connector_of_an_account(
    kinds: Any, settings: dict[str, Any], error: type[Exception], word: str
) -> None:
    account = kinds[0](URL, **ACCOUNT)
    with pytest.raises(error, match=word):
        kinds[1].create_cloud(account, **{"key_pos": ONE, **settings})


async def test_connectors_of_an_account_share_what_is_the_accounts(opened: Open) -> None:
    cloud = opened(terminals=2, default=Behaviour(decide_after=0.3))
    first, second = cloud.terminals
    async with AsyncCloudAccount(cloud.url, **{**ACCOUNT, "timeouts": QUICK}) as account:
        one, same, other = (
            AsyncConnector.create_cloud(account, key_pos=key_pos, timeouts=timeouts, journal=MemoryJournal())
            for key_pos, timeouts in ((first, None), (first, replace(QUICK, busy=0.02)), (second, None))
        )
        await asyncio.gather(*(pos.polling() for pos in (one, other)))
        await same.polling()
        sale = asyncio.create_task(one.sale(1000))
        while not cloud.terminals[first].busy:
            await asyncio.sleep(0.01)
        with pytest.raises(TerminalBusy, match=f"cloud:{first} is busy with another operation"):
            await same.sale(1000)
        assert all(reply.approved for reply in await asyncio.gather(sale, other.sale(1000)))
        await one.close()
        with pytest.raises(LifecycleError):
            await one.polling()
        assert (await same.sale(500)).approved
    assert cloud.count("auth") == 1


def test_the_queue_of_a_terminal_is_there_as_long_as_anybody_drives_it() -> None:
    account = CloudAccount(URL, **ACCOUNT)
    queue = account.queues.of(ONE)
    assert account.queues.of(ONE) is queue is not account.queues.of(TWO)
    gone = weakref.ref(queue)
    del queue
    gc.collect()
    assert gone() is None


def test_an_account_takes_what_its_settings_have() -> None:
    names = {field.name for field in fields(CloudSettings)}
    assert names == {"base_url", "timeouts", "plain", *CloudOptions.__annotations__}
    settings = CloudAccount(URL, **ACCOUNT, environment="prod").settings
    assert (settings.environment, settings.max_connections, settings.limits) == ("prod", 500, Timeouts())
    with pytest.raises(FrozenInstanceError):
        settings.environment = "uat"  # type: ignore[misc]  # frozen: that is what is tested


def test_nothing_shows_a_secret() -> None:
    account = CloudAccount(URL, **{**ACCOUNT, "api_key": {"X-Key": "the-key-itself"}})
    login = account.cloud.bearer
    shown = repr([account, account.settings, account.cloud, account.cloud.headers, login, vars(login)])
    assert "a-secret" not in shown
    assert "the-key-itself" not in shown
    assert repr(AsyncCloudAccount(URL, **ACCOUNT)) == f"<AsyncCloudAccount of {URL}>"


def test_a_login_that_repeats_the_secret_does_not_show_it() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"code": 0, "message": "bad secret a-secret&more"})

    client = httpx.Client(transport=httpx.MockTransport(answer))
    account = CloudAccount(URL, **{**ACCOUNT, "client_secret": "a-secret&more"}, http_client=client)
    with client, account, pytest.raises(AuthenticationError) as caught:
        account.list_terminals()
    assert "a-secret" not in str(caught.value) + repr(caught.value.message)


def test_wrong_credentials(using: Callable[..., Any], opened: Open) -> None:
    cloud = opened(clients={"id": "another"})
    with pytest.raises(AuthenticationError, match="INVALID CREDENTIALS; check client_id and client_secret"):
        using(cloud.url, lambda account: account.list_terminals())
    assert using(cloud.url, lambda account: account.list_terminals(), client_secret="another") == [cloud.key_pos]


def test_an_expired_token_is_renewed_for_a_question(
    using: Callable[..., Any], cloud: VirtualCloud, profile: Profile
) -> None:
    cloud.inject(CloudFault(CloudFaultKind.UNAUTHORIZED, Where.LISTING))
    assert using(cloud.url, lambda account: account.list_terminals(), profile=profile) == [cloud.key_pos]
    assert cloud.count("auth") == 2
