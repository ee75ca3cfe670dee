"""A token and a client secret go through everything; nothing that can be seen afterwards holds them."""

from __future__ import annotations

import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from getnet_pos.drivers.http import HttpClient
from getnet_pos.equipment import AsyncEquipmentClient, EquipmentClient
from getnet_pos.errors import ApiError, ConfigurationError, GetnetError, TransportError
from getnet_pos.flows.effects import Request
from getnet_pos.flows.http_calls import RetryPolicy, Secret
from getnet_pos.messages.terminals import TerminalList
from getnet_pos.oauth import ClientCredentials
from getnet_pos.simulator.equipment import EquipmentServer, EquipmentSimulator

Call = Callable[..., TerminalList]

CANARY = "CANARY-4f1d9c"
SECRET = f"{CANARY}-secret"
TOKEN = f"{CANARY}-token"

IMPATIENT = RetryPolicy(attempts=2, first_pause=0.001, longest_retry_after=0.1)


def seen_of(error: BaseException | None) -> Iterator[str]:
    """Everything that a log or an error tracker can show of an error, local variables of the library included."""
    while error is not None:
        yield str(error)
        yield repr(error)
        yield repr(error.args)
        yield repr(vars(error))
        shown = traceback.TracebackException.from_exception(error, capture_locals=True)
        for frame in shown.stack:
            if "getnet_pos" in frame.filename:
                yield f"{frame.name}: {frame.line} {frame.locals}"
        if isinstance(error, GetnetError):
            yield str(pickle.loads(pickle.dumps(error)))
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize("kind", ["given", "called", "credentials"])
@pytest.mark.parametrize(
    "merchant_id",
    ["10000", "error-401", "error-403", "error-404", "error-429", "error-500", "error-503", "error-html", "error-cut",
     "reset", "redirect", "slow-9", "unknown-mode", "bad-datetime", "error-encoding"],
)  # fmt: skip
def test_no_secret_in_errors_and_logs(
    call: Call, server: EquipmentServer, kind: str, merchant_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    tokens: dict[str, Any] = {
        "given": TOKEN,
        "called": lambda: TOKEN,
        "credentials": ClientCredentials(server.token_url, "id", SECRET),
    }
    caplog.set_level(logging.DEBUG)
    error: GetnetError | None = None
    limit = 0.1 if merchant_id == "slow-9" else 5.0
    try:
        call(server.base_url, merchant_id, token=tokens[kind], timeout=limit, retry=IMPATIENT)
    except GetnetError as caught:
        error = caught
    used = {seen.headers.get("authorization", "") for seen in server.simulator.requests}
    known = {CANARY, *(header.removeprefix("Bearer ") for header in used if header.startswith("Bearer "))}
    for text in [*seen_of(error), caplog.text, repr(tokens["credentials"])]:
        for secret in known:
            assert secret not in text
    assert (error is None) == (merchant_id == "10000")
    assert all(seen.headers.get("authorization") != "Bearer ***" for seen in server.simulator.requests)


def test_no_secret_in_errors_of_a_refused_token_request(call: Call) -> None:
    with EquipmentServer(EquipmentSimulator(clients={})) as server:
        provider = ClientCredentials(server.token_url, "id", SECRET, headers={"x-key": SECRET})
        with pytest.raises(ApiError) as caught:
            call(server.base_url, "10000", token=provider)
    for text in seen_of(caught.value):
        assert CANARY not in text


def test_no_secret_in_errors_of_a_link(call: Call) -> None:
    provider = ClientCredentials("http://127.0.0.1:9/token", "id", SECRET)
    for token in (TOKEN, provider):
        with pytest.raises(TransportError) as caught:
            call("http://127.0.0.1:9", "10000", token=token)
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None
        for text in seen_of(caught.value):
            assert CANARY not in text


def test_no_secret_in_errors_of_a_header_that_is_not_http(server: EquipmentServer) -> None:
    client = HttpClient()
    with pytest.raises(ConfigurationError, match="one of its headers is not valid HTTP") as caught:
        client.send(Request("GET", server.address, {"x-key": Secret(f"{SECRET}\x00")}))
    client.close()
    for text in seen_of(caught.value):
        assert CANARY not in text


@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404, 429, 500])
@pytest.mark.parametrize("kind", ["text/html", "application/json"])
def test_a_server_that_echoes_the_token_is_not_quoted(call: Any, status: int, kind: str) -> None:
    def echo(request: httpx.Request) -> httpx.Response:
        said = request.headers["authorization"]
        words = (
            f"<title>{said}</title>" if kind == "text/html" else f'{{"error":{{"message":"{said}","logID":"{said}"}}}}'
        )
        headers = {"content-type": kind, "location": f"https://evil.test/?{said}"}
        return httpx.Response(status, text=words, headers=headers)

    http_client = call.http_client(transport=httpx.MockTransport(echo))
    with pytest.raises(ApiError) as caught:
        call("https://api.test", "1", token=TOKEN, http_client=http_client)
    for text in seen_of(caught.value):
        assert CANARY not in text


def test_reprs() -> None:
    client = EquipmentClient("https://api.test", token=TOKEN)
    for one in (client, AsyncEquipmentClient("https://api.test", token=TOKEN)):
        assert CANARY not in repr(one) + repr(vars(one))
    client.close()
    assert repr(Secret(TOKEN)) == "'***'"
    assert CANARY not in repr(vars(ClientCredentials("https://api.test/token", "id", SECRET)))
