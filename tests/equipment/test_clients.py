"""Both clients against the simulator on loopback: what they return, what they refuse, what they leave open."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from getnet_pos.equipment import AsyncEquipmentClient, Environment, EquipmentClient
from getnet_pos.errors import (
    ApiError,
    AuthenticationError,
    Forbidden,
    GetnetError,
    InvalidType,
    InvalidValue,
    LifecycleError,
    MalformedResponse,
    NotFound,
    RateLimited,
    RedirectRefused,
    ServerError,
)
from getnet_pos.flows.http_calls import RetryPolicy
from getnet_pos.messages.terminals import CommercialMode, TerminalList
from getnet_pos.simulator.equipment import EquipmentServer, EquipmentSimulator
from tests.evidence import Count

Call = Callable[..., TerminalList]

ONCE = RetryPolicy(attempts=1)

# -------------------------------------------------------------------------------------------------------- good answers


def test_the_documented_example(call: Call, server: EquipmentServer) -> None:
    found = call(server.base_url, "10000")
    assert found.merchant_id == "10000"
    assert [pos.payment_terminal_model for pos in found] == ["MOVE 5000 ESSENTIAL"]
    assert found.terminals[0].commercial_mode is CommercialMode.ALUGUEL
    (seen,) = server.simulator.requests
    assert (seen.method, seen.path) == ("GET", "/sap/equipment/v1/payment-terminals/10000")
    assert seen.headers["authorization"] == "Bearer token"
    assert seen.headers["accept"] == "application/json"
    assert seen.body == b""


def test_a_slash_at_the_end_of_the_base_url_does_not_matter(call: Call, server: EquipmentServer) -> None:
    assert len(call(f"{server.base_url}/", "10000")) == 1


@pytest.mark.parametrize(
    ("merchant_id", "count"),
    [
        ("count-0", 0), ("count-1000", 1000), ("gzip", 100), ("single-object", 1), ("null-item", 0), ("empty-item", 0),
        ("missing-item", 0), ("null-equipments", 0), ("extra-fields", 3), ("null-fields", 3), ("slow-0", 2),
        ("a_B-9", 3),
    ],
)  # fmt: skip
def test_listings(call: Call, server: EquipmentServer, merchant_id: str, count: int) -> None:
    options = {"timeout": 20.0}
    assert len(call(server.base_url, merchant_id, **options)) == count


def test_strict_refuses_what_is_otherwise_reported(call: Call, server: EquipmentServer) -> None:
    found = call(server.base_url, "long-fields")
    assert found.deviation_count == 6
    with pytest.raises(MalformedResponse) as caught:
        call(server.base_url, "long-fields", strict=True)
    assert (caught.value.status, caught.value.item, caught.value.field) == (200, 0, "payment_terminal_sku")


def test_the_listing_of_another_merchant_is_reported(call: Call) -> None:
    options = _mocked(call, lambda request: httpx.Response(200, json={"merchant_id": "0010000", "equipments": None}))
    found = call("https://api.test", "10000", **options)
    assert (found.merchant_id, found.deviation_count) == ("0010000", 1)
    assert str(found.deviations[0]) == "merchant_id is not 10000, the merchant id in the request"
    with pytest.raises(MalformedResponse, match="the merchant id in the request"):
        call("https://api.test", "10000", strict=True, **options)


def _mocked(call: Any, answer: Callable[[httpx.Request], httpx.Response]) -> dict[str, Any]:
    """The client of the right kind over a scripted transport, for what no well-behaved server sends."""
    return {"http_client": call.http_client(transport=httpx.MockTransport(answer))}


# -------------------------------------------------------------------------------------------------------------- errors


def test_403_carries_code_message_and_log_id(call: Call, server: EquipmentServer) -> None:
    with pytest.raises(Forbidden) as caught:
        call(server.base_url, "error-403")
    error = caught.value
    assert (error.status, error.code, error.message) == (403, "403", "403 - Forbidden")
    assert error.log_id == "simulated-log-identifier"
    assert "simulated-log-identifier" in str(error)
    assert len(server.simulator.requests) == 1


def test_500_carries_its_status_text(call: Call, server: EquipmentServer) -> None:
    with pytest.raises(ServerError) as caught:
        call(server.base_url, "error-500")
    error = caught.value
    assert (error.status, error.code, error.log_id) == (500, None, None)
    assert error.message == "Erro no processamento da requisicao"
    assert "Erro no processamento da requisicao" in str(error)
    assert len(server.simulator.requests) == 1


@pytest.mark.parametrize(
    ("merchant_id", "kind", "words"),
    [
        ("error-401", AuthenticationError, "check the token"),
        ("error-404", NotFound, "check the merchant id and the base URL"),
        ("error-502", ServerError, "try again later"),
        ("error-html", MalformedResponse, 'text/html instead of JSON (a page titled "Manutenção")'),
        ("error-cut", MalformedResponse, "the body ends too early, in item 2"),
        ("error-encoding", MalformedResponse, "not complete and valid gzip"),
        ("unknown-mode", MalformedResponse, "commercial_mode of item 2 is 'COMODATO'"),
        ("bad-datetime", MalformedResponse, "activation_datetime of item 2 is '2023-02-29T00:00:00Z'"),
    ],
)
def test_errors_say_what_happened(
    call: Call, server: EquipmentServer, merchant_id: str, kind: type[ApiError], words: str
) -> None:
    with pytest.raises(kind) as caught:
        call(server.base_url, merchant_id)
    assert words in str(caught.value)


def test_429_carries_what_the_server_asks_for(call: Call, server: EquipmentServer) -> None:
    with pytest.raises(RateLimited) as caught:
        call(server.base_url, "error-429", retry=ONCE)
    assert (caught.value.status, caught.value.retry_after) == (429, 1.0)
    assert "the server asks to wait 1 s" in str(caught.value)


def test_redirects_are_refused(call: Call, server: EquipmentServer) -> None:
    with pytest.raises(RedirectRefused) as caught:
        call(server.base_url, "redirect")
    assert caught.value.location == "/sap/equipment/v1/payment-terminals/10000"
    assert len(server.simulator.requests) == 1


def test_redirects_are_refused_with_a_client_that_follows_them(server: EquipmentServer) -> None:
    with (
        httpx.Client(follow_redirects=True) as http_client,
        EquipmentClient(server.base_url, token="token", http_client=http_client) as client,
        pytest.raises(RedirectRefused),
    ):
        client.list_active_terminals("redirect")


@pytest.mark.parametrize(
    ("status", "answer", "words"),
    [
        (418, {"text": "a\x1b[31m\u202eteapot\x00" + "x" * 5000}, "418"),
        (500, {"content": b"\xff\xfe" * 3000}, "500"),
        (403, {"json": {"error": {"code": 17, "message": "m" * 9000, "logID": "\x07\n"}}}, "403"),
        (403, {"json": ["error"]}, "403"),
        (403, {"json": {"error": {"code": None}}}, "403"),
        (500, {"content": b"{" * 100_000}, "500"),
        (404, {}, "the answer is empty"),
        (301, {}, "to an address that was not given"),
        (200, {"text": "hello", "headers": {"content-type": "text/\x1bplain"}}, "instead of JSON"),
        (204, {}, "204"),
    ],
)
def test_the_servers_words_are_bounded_and_escaped(call: Call, status: int, answer: dict[str, Any], words: str) -> None:
    with pytest.raises(ApiError) as caught:
        call("https://api.test", "1", **_mocked(call, lambda request: httpx.Response(status, **answer)))
    error = caught.value
    assert words in str(error)
    for text in (str(error), error.message or "", error.code or "", error.log_id or ""):
        assert len(text) < 600
        assert text.isprintable()


# ---------------------------------------------------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    "merchant_id",
    [
        "",
        "..",
        ".",
        "a/b",
        "../10000",
        "a b",
        "10000\n",
        "10000?x=1",
        "10000#",
        "%2e%2e",
        "é",
        "\uff11",
        "x" * 65,
        "a\\b",
        "a;b",
    ],
)
def test_a_merchant_id_that_could_change_the_path_is_refused(
    call: Call, server: EquipmentServer, merchant_id: str
) -> None:
    with pytest.raises(InvalidValue, match="merchant_id"):
        call(server.base_url, merchant_id)
    assert not server.simulator.requests


@pytest.mark.parametrize("merchant_id", [10000, None, b"10000"])
def test_a_merchant_id_is_text(call: Call, server: EquipmentServer, merchant_id: object) -> None:
    with pytest.raises(InvalidType, match="merchant_id must be text"):
        call(server.base_url, merchant_id)
    assert not server.simulator.requests


def test_environments_by_name() -> None:
    assert str(Environment.HG) == "https://api-hg.getnet.com.br/sap/equipment/v1"
    assert str(Environment.HTI) == "https://api-homologacao.getnet.com.br/sap/equipment/v1"
    with EquipmentClient(Environment.HTI, token="token") as client:
        assert repr(client) == "<EquipmentClient of https://api-homologacao.getnet.com.br/sap/equipment/v1>"


@pytest.mark.parametrize(
    "base_url",
    [
        "", "api.test", "ftp://api.test", "http://api.test", "http://127.0.0.1.evil.test", "https://", "https://u:p@api.test",
        "https://api.test/?a=1", "https://api.test/#a", "https://api.test/a b", "https://api.test:99999", "https://é.test",
        "https://[::1", None, 5,
    ],
)  # fmt: skip
@pytest.mark.parametrize("client", [EquipmentClient, AsyncEquipmentClient])
def test_base_urls_that_cannot_work_are_refused(client: Any, base_url: object) -> None:
    with pytest.raises(InvalidValue, match="base_url"):
        client(base_url, token="token")


@pytest.mark.parametrize(
    "base_url", ["http://127.0.0.1:1", "http://localhost", "http://[::1]:80/x", "https://api.test/a/b"]
)
def test_plain_http_is_taken_for_this_machine(base_url: str) -> None:
    EquipmentClient(base_url, token="token").close()


@pytest.mark.parametrize(
    "options",
    [
        {"token": ""}, {"token": "Bearer abc"}, {"token": "a\r\nX: y"}, {"token": "é"}, {"token": None}, {"token": 5},
        {"timeout": 0}, {"timeout": True}, {"timeout": float("nan")}, {"max_body": 1}, {"max_body": 2.5},
        {"http_client": object()},
    ],
)  # fmt: skip
@pytest.mark.parametrize("client", [EquipmentClient, AsyncEquipmentClient])
def test_options_that_cannot_work_are_refused(client: Any, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidValue):
        client("https://api.test", **{"token": "token", **options})


@pytest.mark.parametrize("options", [{"attempts": 0}, {"attempts": 1.5}, {"first_pause": -1}, {"longest_pause": "1"}])
def test_retry_policies_that_cannot_work_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidValue):
        RetryPolicy(**options)


# ------------------------------------------------------------------------------------------------------------ lifecycle


def test_a_closed_client_sends_nothing(server: EquipmentServer) -> None:
    client = EquipmentClient(server.base_url, token="token")
    with client:
        client.list_active_terminals("10000")
    client.close()
    with pytest.raises(LifecycleError, match="the client is closed"):
        client.list_active_terminals("10000")
    assert len(server.simulator.requests) == 1


@pytest.mark.asyncio
async def test_a_closed_async_client_sends_nothing(server: EquipmentServer) -> None:
    async with AsyncEquipmentClient(server.base_url, token="token") as client:
        await client.list_active_terminals("10000")
    with pytest.raises(LifecycleError, match="the client is closed"):
        await client.list_active_terminals("10000")
    assert len(server.simulator.requests) == 1


@pytest.mark.asyncio
async def test_a_client_that_was_given_stays_open(server: EquipmentServer) -> None:
    with httpx.Client() as blocking:
        with EquipmentClient(server.base_url, token="token", http_client=blocking) as client:
            client.list_active_terminals("10000")
        assert not blocking.is_closed
    async with httpx.AsyncClient() as asynchronous:
        async with AsyncEquipmentClient(server.base_url, token="token", http_client=asynchronous) as other:
            await other.list_active_terminals("10000")
        assert not asynchronous.is_closed
    with pytest.raises(LifecycleError):
        EquipmentClient(server.base_url, token="token", http_client=blocking).list_active_terminals("10000")


def test_each_client_refuses_the_http_client_of_the_other_kind() -> None:
    with pytest.raises(InvalidType, match=r"httpx\.Client"):
        EquipmentClient("https://api.test", token="t", http_client=httpx.AsyncClient())  # type: ignore[arg-type]  # wrong on purpose
    with httpx.Client() as blocking, pytest.raises(InvalidType, match=r"httpx\.AsyncClient"):
        AsyncEquipmentClient("https://api.test", token="t", http_client=blocking)  # type: ignore[arg-type]  # wrong on purpose


def test_nothing_comes_from_the_environment(
    call: Call, server: EquipmentServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert len(call(server.base_url, "10000")) == 1


@pytest.mark.asyncio
async def test_many_listings_at_once(server: EquipmentServer) -> None:
    async with AsyncEquipmentClient(server.base_url, token="token") as client:
        found = await asyncio.gather(*(client.list_active_terminals(f"count-{n}") for n in range(30)))
    assert [len(listing) for listing in found] == list(range(30))


@pytest.mark.asyncio
async def test_a_cancelled_call_leaves_the_client_usable(server: EquipmentServer) -> None:
    async with AsyncEquipmentClient(server.base_url, token="token") as client:
        task = asyncio.create_task(client.list_active_terminals("slow-30"))
        while not server.simulator.requests:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(await client.list_active_terminals("10000")) == 1


# --------------------------------------------------------------------------------------------------------------- memory


def test_many_terminals_over_http_within_the_stated_memory(call: Call, count: Count) -> None:
    number = count(short=20_000, evidence=100_000, long=100_000)
    serve = "from getnet_pos.simulator.equipment import serve\nserve(ready=lambda address: print(address, flush=True))"
    with subprocess.Popen([sys.executable, "-c", serve], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            call(address, "count-1", timeout=60.0)
            tracemalloc.start()
            try:
                found = call(address, f"count-{number}", timeout=100.0)
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
        finally:
            process.terminate()
    assert len(found) == number
    body = number * 387
    assert peak < max(2 * body, body + 400 * number) + 4 * 2**20


def test_a_body_beyond_the_bound_is_refused(call: Call, server: EquipmentServer) -> None:
    for merchant_id in ("count-1000", "gzip"):
        with pytest.raises(MalformedResponse, match="longer than 20000 bytes"):
            call(server.base_url, merchant_id, max_body=20_000)
        assert server.simulator.count(merchant_id) == 1
    assert len(call(server.base_url, "count-20", max_body=20_000)) == 20


# ------------------------------------------------------------------------------------------------------------ simulator


def test_the_simulator_wants_a_token_it_knows(call: Call) -> None:
    with EquipmentServer(EquipmentSimulator(tokens={"known"})) as server:
        assert len(call(server.base_url, "10000", token="known")) == 1
        with pytest.raises(AuthenticationError):
            call(server.base_url, "10000", token="unknown")
        assert httpx.get(f"{server.base_url}/payment-terminals/10000", trust_env=False).status_code == 401


def test_errors_are_getnet_errors() -> None:
    assert issubclass(ApiError, GetnetError)
    for kind in (NotFound, RateLimited, RedirectRefused, MalformedResponse):
        assert issubclass(kind, ApiError)
