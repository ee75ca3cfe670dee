"""Tokens: how they are got, when they are renewed, and that many who wait cause one request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from getnet_pos.drivers.loop import run
from getnet_pos.equipment import AsyncEquipmentClient, EquipmentClient
from getnet_pos.errors import (
    AuthenticationError,
    ConfigurationError,
    ConnectError,
    Disconnected,
    GetnetError,
    InvalidValue,
    MalformedResponse,
    ServerError,
)
from getnet_pos.flows.effects import Effect, Flow, Now, Random, Request, Response, Sleep, Take
from getnet_pos.flows.http_calls import RetryPolicy, Secret, repeated
from getnet_pos.messages.terminals import TerminalList
from getnet_pos.oauth import STAGING_TOKEN_URL, ClientCredentials
from getnet_pos.simulator.equipment import EquipmentServer, EquipmentSimulator

Call = Callable[..., TerminalList]

TOKEN = "/auth/oauth2/token"
CLIENTS = {"a client": "se&cr=et é"}


def credentials(server: EquipmentServer, **options: Any) -> ClientCredentials:
    return ClientCredentials(server.token_url, "a client", "se&cr=et é", **options)


@pytest.fixture
def closed_server() -> Any:
    """A simulator that takes only the tokens it issued, and issues them only to one client."""
    with EquipmentServer(EquipmentSimulator(tokens=(), clients=CLIENTS)) as server:
        yield server


# ---------------------------------------------------------------------------------------------------- real HTTP, tokens


def test_client_credentials_are_sent_as_a_form(call: Call, closed_server: EquipmentServer) -> None:
    found = call(closed_server.base_url, "10000", token=credentials(closed_server, scope="oob"))
    assert len(found) == 1
    asked, listed = closed_server.simulator.requests
    assert (asked.method, asked.path, asked.headers["content-type"]) == (
        "POST",
        TOKEN,
        "application/x-www-form-urlencoded",
    )
    assert "authorization" not in asked.headers
    assert {name: values[0] for name, values in parse_qs(asked.body.decode()).items()} == {
        "grant_type": "client_credentials",
        "client_id": "a client",
        "client_secret": "se&cr=et é",
        "scope": "oob",
    }
    assert listed.headers["authorization"].startswith("Bearer ")


def test_headers_that_a_registration_asks_for_are_sent(closed_server: EquipmentServer) -> None:
    token = credentials(closed_server, headers={"channel": "pos"})
    with EquipmentClient(closed_server.base_url, token=token) as client:
        client.list_active_terminals("10000")
    assert closed_server.simulator.requests[0].headers["channel"] == "pos"


def test_wrong_credentials(call: Call, closed_server: EquipmentServer) -> None:
    with pytest.raises(AuthenticationError) as caught:
        call(closed_server.base_url, "10000", token=ClientCredentials(closed_server.token_url, "a client", "wrong"))
    error = caught.value
    assert (error.status, error.code, error.message) == (401, "invalid_client", "invalid client id or client secret")
    assert "the token request was refused with 401" in str(error)
    assert closed_server.simulator.count("/10000") == 0


def test_a_token_is_used_again(closed_server: EquipmentServer) -> None:
    provider = credentials(closed_server)
    for _ in range(2):
        with EquipmentClient(closed_server.base_url, token=provider) as client:
            for _ in range(3):
                client.list_active_terminals("10000")
    assert closed_server.simulator.count(TOKEN) == 1
    assert closed_server.simulator.count("/10000") == 6
    provider.forget()
    with EquipmentClient(closed_server.base_url, token=provider) as client:
        client.list_active_terminals("10000")
    assert closed_server.simulator.count(TOKEN) == 2


def test_a_revoked_token_is_renewed_once(call: Call, closed_server: EquipmentServer) -> None:
    provider = credentials(closed_server)
    call(closed_server.base_url, "10000", token=provider)
    closed_server.simulator.revoke()
    call(closed_server.base_url, "10000", token=provider)
    assert closed_server.simulator.count(TOKEN) == 2
    assert closed_server.simulator.count("/10000") == 3


def test_a_second_401_is_an_error(call: Call, closed_server: EquipmentServer) -> None:
    with pytest.raises(AuthenticationError, match="the listing of merchant error-401 was refused with 401"):
        call(closed_server.base_url, "error-401", token=credentials(closed_server))
    assert closed_server.simulator.count(TOKEN) == 2
    assert closed_server.simulator.count("error-401") == 2


def test_a_token_that_was_given_is_not_tried_twice(call: Call, server: EquipmentServer) -> None:
    with pytest.raises(AuthenticationError):
        call(server.base_url, "error-401", token="token")
    assert server.simulator.count("error-401") == 1


def test_a_function_is_asked_each_time_and_again_after_a_401(call: Call, server: EquipmentServer) -> None:
    tokens = iter(["first", "second", "third"])
    assert len(call(server.base_url, "expired-1", token=lambda: next(tokens))) == 2
    assert [seen.headers["authorization"] for seen in server.simulator.requests] == ["Bearer first", "Bearer second"]


def test_a_function_that_keeps_its_token_is_not_tried_twice(call: Call, server: EquipmentServer) -> None:
    with pytest.raises(AuthenticationError):
        call(server.base_url, "error-401", token=lambda: "same")
    assert server.simulator.count("error-401") == 1


def test_what_a_function_raises_is_raised(call: Call, server: EquipmentServer) -> None:
    def fails() -> str:
        raise LookupError("no vault")

    with pytest.raises(LookupError, match="no vault"):
        call(server.base_url, "10000", token=fails)


@pytest.mark.parametrize("value", ["", "a b", None, 7, "x\n"])
def test_what_a_function_returns_is_checked(call: Call, server: EquipmentServer, value: object) -> None:
    with pytest.raises(InvalidValue, match="the result of the token function"):
        call(server.base_url, "10000", token=lambda: value)
    assert not server.simulator.requests


@pytest.mark.asyncio
async def test_an_async_function_needs_the_async_client(server: EquipmentServer) -> None:
    async def token() -> str:
        await asyncio.sleep(0)
        return "token"

    async with AsyncEquipmentClient(server.base_url, token=token) as client:
        assert len(await client.list_active_terminals("10000")) == 1
    with (
        EquipmentClient(server.base_url, token=token) as blocking,
        pytest.raises(ConfigurationError, match="cannot be used with a blocking client"),
    ):
        blocking.list_active_terminals("10000")


@pytest.mark.parametrize("arguments", [("", "a", "b"), ("http://x.test/token", "a", "b"), (STAGING_TOKEN_URL, "", "b"),
                                       (STAGING_TOKEN_URL, "a", ""), (STAGING_TOKEN_URL, "a", None),
                                       (STAGING_TOKEN_URL, "a", "b\n")])  # fmt: skip
def test_credentials_that_cannot_work_are_refused(arguments: tuple[Any, Any, Any]) -> None:
    with pytest.raises(InvalidValue):
        ClientCredentials(*arguments)


@pytest.mark.parametrize(
    "headers", [{"a b": "x"}, {"": "x"}, {"é": "x"}, {"a": "é"}, {"a": " x"}, {"a": "x\n"}, {"a": 1}]
)
def test_headers_that_cannot_be_sent_are_refused(headers: Any) -> None:
    with pytest.raises(InvalidValue):
        ClientCredentials(STAGING_TOKEN_URL, "a", "b", headers=headers)


# --------------------------------------------------------------------------------------------------------- many waiters


@pytest.mark.asyncio
async def test_many_tasks_cause_one_token_request() -> None:
    with EquipmentServer(EquipmentSimulator(tokens=(), token_delay=0.1)) as server:
        provider = credentials(server)
        async with AsyncEquipmentClient(server.base_url, token=provider) as client:
            await asyncio.gather(*(client.list_active_terminals("10000") for _ in range(50)))
            assert server.simulator.count(TOKEN) == 1
            server.simulator.revoke()
            await asyncio.gather(*(client.list_active_terminals("10000") for _ in range(50)))
        assert server.simulator.count(TOKEN) == 2


def test_many_threads_cause_one_token_request() -> None:
    with EquipmentServer(EquipmentSimulator(tokens=(), token_delay=0.1)) as server:
        with EquipmentClient(server.base_url, token=credentials(server)) as client, ThreadPoolExecutor(16) as pool:
            list(pool.map(client.list_active_terminals, ["10000"] * 16))
            assert server.simulator.count(TOKEN) == 1
            server.simulator.revoke()
            list(pool.map(client.list_active_terminals, ["10000"] * 16))
        assert server.simulator.count(TOKEN) == 2


@pytest.mark.asyncio
async def test_threads_and_tasks_share_a_provider() -> None:
    with EquipmentServer(EquipmentSimulator(tokens=(), token_delay=0.1)) as server:
        provider = credentials(server)
        with EquipmentClient(server.base_url, token=provider) as blocking:
            async with AsyncEquipmentClient(server.base_url, token=provider) as client:
                threads = [asyncio.to_thread(blocking.list_active_terminals, "10000") for _ in range(4)]
                await asyncio.gather(*threads, *(client.list_active_terminals("10000") for _ in range(4)))
        assert server.simulator.count(TOKEN) == 1


@pytest.mark.asyncio
async def test_waiters_share_a_failure() -> None:
    with EquipmentServer(EquipmentSimulator(clients=CLIENTS, token_delay=0.2)) as server:
        provider = ClientCredentials(server.token_url, "a client", "wrong")
        async with AsyncEquipmentClient(server.base_url, token=provider) as client:
            calls = [client.list_active_terminals("10000") for _ in range(20)]
            errors = await asyncio.gather(*calls, return_exceptions=True)
            assert {type(error) for error in errors} == {AuthenticationError}
            assert server.simulator.count(TOKEN) == 1
            with pytest.raises(AuthenticationError):
                await client.list_active_terminals("10000")
            assert server.simulator.count(TOKEN) == 2


@pytest.mark.asyncio
async def test_a_waiter_that_is_cancelled_does_not_keep_the_turn() -> None:
    with EquipmentServer(EquipmentSimulator(tokens=(), token_delay=0.2)) as server:
        provider = credentials(server)
        async with AsyncEquipmentClient(server.base_url, token=provider) as client:
            tasks = [asyncio.create_task(client.list_active_terminals("10000")) for _ in range(6)]
            await asyncio.sleep(0.05)
            for task in tasks[:4]:  # the one that asks for the token is among them
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(one) for one in ended[:4]] == [asyncio.CancelledError] * 4
            assert [type(one) for one in ended[4:]] == [TerminalList] * 2
            assert len(await client.list_active_terminals("10000")) == 1


# ------------------------------------------------------------------------------------------------ flows, virtual clock


class Clock:
    """A driver that answers requests from a script and passes time at once."""

    def __init__(self, *answers: Response | GetnetError, random: float = 0.5) -> None:
        self.now = 1000.0
        self.random = random
        self.answers = list(answers)
        self.requests: list[Request] = []
        self.slept: list[float] = []

    def run(self, flow: Flow[Any]) -> Any:
        return run(flow, self._perform)

    def _perform(self, effect: Effect) -> Any:
        match effect:
            case Now():
                return self.now
            case Random():
                return self.random
            case Sleep(seconds):
                self.now += seconds
                self.slept.append(seconds)
            case Take(place):
                place.wait(0.0)
            case Request():
                self.requests.append(effect)
                answer = self.answers.pop(0)
                if isinstance(answer, GetnetError):
                    raise answer
                return answer
            case _:
                raise AssertionError(effect)
        return None


def grant(token: str, life: object = 1000, **more: Any) -> Response:
    body = httpx.Response(200, json={"access_token": token, "token_type": "Bearer", "expires_in": life, **more}).content
    return Response(200, {"content-type": "application/json"}, body)


def provider(**options: Any) -> ClientCredentials:
    return ClientCredentials(STAGING_TOKEN_URL, "id", "secret", **options)


def test_a_token_is_renewed_at_80_percent_of_its_life() -> None:
    clock, tokens = Clock(grant("one"), grant("two")), provider()
    assert clock.run(tokens.token()) == "one"
    clock.now = 1000 + 799.9
    assert clock.run(tokens.token()) == "one"
    assert len(clock.requests) == 1
    clock.now = 1000 + 800
    assert clock.run(tokens.token()) == "two"
    clock.now = 1800 + 799
    assert clock.run(tokens.token()) == "two"
    assert len(clock.requests) == 2


@pytest.mark.parametrize("life", [None, "soon", -1, True, [], "9" * 12])
def test_a_token_without_a_known_life_is_used_until_it_is_refused(life: object) -> None:
    clock, tokens = Clock(grant("one", life), grant("two")), provider()
    assert clock.run(tokens.token()) == "one"
    clock.now += 1e9
    assert clock.run(tokens.token()) == "one"
    assert clock.run(tokens.renewed(Secret("one"))) == "two"


@pytest.mark.parametrize("life", [100, 100.0, "100"])
def test_lives_as_servers_write_them(life: object) -> None:
    clock, tokens = Clock(grant("one", life), grant("two")), provider()
    clock.run(tokens.token())
    clock.now += 79
    assert clock.run(tokens.token()) == "one"
    clock.now += 1
    assert clock.run(tokens.token()) == "two"


@pytest.mark.parametrize("failure", [ConnectError("no"), Disconnected("no"), Response(503)])
def test_a_token_that_cannot_be_renewed_is_used_to_its_end(failure: Response | GetnetError) -> None:
    policy = RetryPolicy(attempts=1)
    clock, tokens = Clock(grant("one"), failure, failure, failure, grant("two")), provider(retry=policy)
    clock.run(tokens.token())
    clock.now = 1000 + 900
    assert clock.run(tokens.token()) == "one"
    assert clock.run(tokens.token()) == "one"  # the server is left alone for a while
    assert len(clock.requests) == 2
    clock.now += 30
    assert clock.run(tokens.token()) == "one"
    clock.now = 1000 + 1000
    with pytest.raises((ConnectError, Disconnected, ServerError)):
        clock.run(tokens.token())
    assert clock.run(tokens.token()) == "two"


def test_refused_credentials_end_the_use_of_a_token() -> None:
    clock, tokens = Clock(grant("one"), Response(401)), provider()
    clock.run(tokens.token())
    clock.now += 900
    with pytest.raises(AuthenticationError):
        clock.run(tokens.token())


def test_a_token_renewed_by_another_is_taken() -> None:
    clock, tokens = Clock(grant("one"), grant("two")), provider()
    clock.run(tokens.token())
    assert clock.run(tokens.renewed(Secret("one"))) == "two"
    assert clock.run(tokens.renewed(Secret("one"))) == "two"
    assert len(clock.requests) == 2


def test_a_token_request_is_repeated_only_where_it_was_not_sent() -> None:
    clock = Clock(ConnectError("no"), Disconnected("no", bytes_written=0), grant("one"))
    assert clock.run(provider().token()) == "one"
    assert len(clock.slept) == 2
    for failure, kind in (
        (Disconnected("no", bytes_written=1), Disconnected),
        (Response(503), ServerError),
        (Response(502), ServerError),
    ):
        clock = Clock(failure)
        with pytest.raises(kind):
            clock.run(provider().token())
        assert not clock.slept


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", "no usable token"),
        (b'{"access_token":null}', "no usable token"),
        (b'{"access_token":"a\\r\\nX: y"}', "no usable token"),
        (b'{"access_token":"a","token_type":"mac"}', "not a bearer token"),
        (b'{"access_token":"a","access_token":"b"}', "not JSON"),
        (b'{"access_token":"\xff"}', "not JSON"),
    ],
)
def test_answers_without_a_token(body: bytes, words: str) -> None:
    with pytest.raises(MalformedResponse, match=words):
        Clock(Response(200, {}, body)).run(provider().token())


def test_documented_errors_of_the_token_endpoint() -> None:
    body = b'{"error":"invalid_request","error_description":"client_id is missing"}'
    with pytest.raises(AuthenticationError, match="client_id is missing") as caught:
        Clock(Response(400, {}, body)).run(provider().token())
    assert (caught.value.status, caught.value.code, caught.value.message) == (
        400,
        "invalid_request",
        "client_id is missing",
    )
    with pytest.raises(ServerError) as failed:
        Clock(Response(500, {}, b'{"error":"e","error_description":"d"}')).run(provider().token())
    assert (failed.value.code, failed.value.message) == ("e", "d")


# --------------------------------------------------------------------------------------------------- pauses of retries


def test_pauses_grow_with_jitter() -> None:
    for part, expected in ((0.0, [0.25, 0.5, 1.0, 2.0, 4.0, 4.0]), (1.0, [0.5, 1.0, 2.0, 4.0, 8.0, 8.0])):
        clock = Clock(random=part)
        assert [clock.run(RetryPolicy().pause(attempt)) for attempt in range(1, 7)] == expected


def test_retry_after_as_a_date_counts_from_the_servers_own_clock() -> None:
    headers = {"retry-after": "Wed, 21 Oct 2015 07:28:07 GMT", "date": "Wed, 21 Oct 2015 07:28:00 GMT"}
    clock = Clock(Response(429, headers), Response(200))
    assert clock.run(repeated(Request("GET", "https://x.test"), RetryPolicy())).status == 200
    assert clock.slept == [7.0]
    for asked in ("", "soon", "-5", "1e9", "Wed, 99 Oct 2015"):
        clock = Clock(Response(429, {"retry-after": asked}), Response(200))
        clock.run(repeated(Request("GET", "https://x.test"), RetryPolicy()))
        assert 0.25 <= clock.slept[0] <= 0.5
    clock = Clock(Response(503, {"retry-after": "99999999999999999999"}))
    assert clock.run(repeated(Request("GET", "https://x.test"), RetryPolicy())).status == 503
