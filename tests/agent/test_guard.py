"""Who is let in, by what the request says of itself: over real connections, before an application that lets all in."""

from __future__ import annotations

import logging
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit

import httpx
import pytest
import trustme
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

import getnet_pos.agent.guard as guard_module
from getnet_pos import ConfigurationError, InvalidValue
from getnet_pos.agent.guard import Guard, check_reach, checked_origin
from getnet_pos.agent.problems import KINDS
from getnet_pos.simulator.asgi import ThreadedServer
from tests.sockets import Refused, Socket

TOKEN = "a-token-of-the-tests-0123456789"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
SHOP = "https://shop.example"
STRANGERS = [
    "https://other.example", "http://shop.example", "https://shop.example:444", "https://shop.example.evil.example",
    "https://evil-shop.example", "null", "", "file://", "*",
]  # fmt: skip


async def _echo(request: Request) -> JSONResponse:
    return JSONResponse({"path": request.url.path, "body": (await request.body()).decode()})


async def _live(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text("let in")
    await socket.receive_text()
    await socket.close()


APP = Starlette(
    routes=[
        Route("/", lambda _: PlainTextResponse("the page")),
        WebSocketRoute("/v1/events", _live),
        Route("/{rest:path}", _echo, methods=["GET", "POST", "DELETE"]),
    ]
)


def serve(guard: Guard) -> ThreadedServer:
    return ThreadedServer(guard, ws="wsproto")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = serve(Guard(APP, origins=[SHOP], names=["till.example"], token=TOKEN))
    yield server.start()
    server.stop()


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, trust_env=False) as client:
        yield client


def port(url: str) -> str:
    return str(urlsplit(url).port)


# ------------------------------------------------------------------------------------------------------ Host and Origin


@pytest.mark.parametrize(
    ("host", "let_in"),
    [
        ("127.0.0.1:PORT", True), ("localhost:PORT", True), ("LOCALHOST:PORT", True), ("[::1]:PORT", True),
        ("till.example:PORT", True), ("rebound.example:PORT", False), ("127.0.0.1.rebound.example:PORT", False),
        ("localhost.:PORT", False), ("127.0.0.1", False), ("127.0.0.1:1", False), ("127.0.0.2:PORT", False),
        ("0.0.0.0:PORT", False), ("user@127.0.0.1:PORT", False), ("[::1", False), ("", False),
        ("127.0.0.1:PORT/x", False), ("127.0.0.1:99999", False),
    ],
)  # fmt: skip
def test_the_agent_is_asked_for_by_its_own_name(client: httpx.Client, url: str, host: str, let_in: bool) -> None:
    headers = {"Host": host.replace("PORT", port(url)), **BEARER}
    assert client.get("/v1/intents", headers=headers).status_code == (200 if let_in else 403)
    if let_in:
        with Socket(f"{url}/v1/events", headers=headers) as socket:
            assert socket.text() == "let in"
    elif host:  # wsproto sends none that is empty
        with pytest.raises(Refused, match="403"):
            Socket(f"{url}/v1/events", headers=headers)


@pytest.mark.parametrize("lines", [b"Host: 127.0.0.1:PORT\r\nHost: rebound.example\r\n", b""])
def test_one_name_and_no_other(url: str, lines: bytes) -> None:
    with closing(socket.create_connection(("127.0.0.1", int(port(url))), timeout=5)) as line:
        line.sendall(b"GET / HTTP/1.0\r\n" + lines.replace(b"PORT", port(url).encode()) + b"\r\n")
        assert line.recv(4096).split()[1] in (b"400", b"403")


@pytest.mark.parametrize("stranger", STRANGERS)
def test_a_page_that_is_not_on_the_list_gets_nothing_even_with_the_token(
    client: httpx.Client, url: str, stranger: str
) -> None:
    headers = {"Origin": stranger, **BEARER}
    for answer in (
        client.get("/v1/terminals", headers=headers),
        client.get("/", headers=headers),
        client.post("/v1/terminals/till/sales", headers=headers, json={}),
        client.options("/v1/intents", headers={"Access-Control-Request-Method": "GET", **headers}),
    ):
        assert answer.status_code == 403
        assert not [name for name in answer.headers if name.startswith("access-control-")]
    with pytest.raises(Refused, match="403"):
        Socket(f"{url}/v1/events", headers=headers)


def test_a_page_on_the_list_may_read_what_it_is_answered(client: httpx.Client, url: str) -> None:
    for answer, status in (
        (client.post("/v1/terminals/till/sales", headers={"Origin": SHOP, **BEARER}, json={}), 200),
        (client.get("/v1/intents", headers={"Origin": SHOP}), 401),
        (client.get("/v1/intents", headers={"Origin": f"http://127.0.0.1:{port(url)}", **BEARER}), 200),
    ):
        assert answer.status_code == status
        assert answer.headers["vary"] == "Origin"
        of_shop = answer.request.headers["origin"] == SHOP
        assert answer.headers.get("access-control-allow-origin") == (SHOP if of_shop else None)
        assert "access-control-allow-credentials" not in answer.headers


def test_a_browser_asks_before_a_page_does(client: httpx.Client) -> None:
    asked = {
        "Origin": SHOP,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,idempotency-key,prefer",
    }
    answer = client.options("/v1/terminals/till/sales", headers=asked)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == SHOP
    assert answer.headers["access-control-allow-methods"] == "GET, POST"
    allowed = answer.headers["access-control-allow-headers"].lower().replace(" ", "").split(",")
    assert allowed == asked["Access-Control-Request-Headers"].split(",")
    assert "access-control-allow-private-network" not in answer.headers
    private = client.options("/", headers={**asked, "Access-Control-Request-Private-Network": "true"})
    assert private.headers["access-control-allow-private-network"] == "true"


@pytest.mark.parametrize(
    ("path", "site", "mode", "status"),
    [
        ("/v1/terminals", "cross-site", "no-cors", 403), ("/v1/terminals", "same-site", "no-cors", 403),
        ("/v1/terminals", "cross-site", "navigate", 403), ("/", "cross-site", "no-cors", 403),
        ("/", "cross-site", "navigate", 200), ("/", "none", "navigate", 200),
        ("/v1/terminals", "same-origin", "cors", 200),
    ],
)  # fmt: skip
def test_what_another_site_embeds_is_not_answered(
    client: httpx.Client, path: str, site: str, mode: str, status: int
) -> None:
    headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode}
    assert client.get(path, headers=headers).status_code == status


def test_a_refused_page_is_told_of_once_and_told_how_to_be_let_in(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            client.get("/", headers={"Origin": "https://new\t.example"})
    [record] = caplog.records
    assert "--allow-origin" in record.getMessage()
    assert "\t" not in record.getMessage()


def test_every_answer_keeps_to_itself(client: httpx.Client) -> None:
    for answer in (client.get("/"), client.get("/v1/intents"), client.get("/v1/intents", headers=BEARER)):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"


# ------------------------------------------------------------------------------------------------------------ the token


@pytest.mark.parametrize(
    ("method", "path", "needed"),
    [
        ("GET", "/", False), ("GET", "/page.js", False), ("GET", "/v1/openapi.json", False),
        ("GET", "/v1/terminals", False), ("GET", "/v1/terminals/till", False),
        ("POST", "/v1/terminals", True), ("POST", "/v1/terminals/till", True), ("GET", "/v1/intents", True),
        ("POST", "/v1/terminals/till/sales", True), ("POST", "/v1/terminals/till/cancel", True),
        ("POST", "/v1/terminals/till/polling", True), ("POST", "/v1/intents/1/resolve", True),
        ("GET", "/v1/terminals/till/sales", True), ("GET", "/v1/events", True), ("GET", "/v1/terminals/", True),
        ("GET", "/anything", True), ("DELETE", "/v1/terminals/till", True),
    ],
)  # fmt: skip
def test_what_needs_the_token(client: httpx.Client, method: str, path: str, needed: bool) -> None:
    for headers in ({}, {"Authorization": "Bearer"}, {"Authorization": f"Basic {TOKEN}"}):
        answer = client.request(method, path, headers=headers)
        assert answer.status_code in ((401, 429) if needed else (200,))
    if needed:
        refused = client.request(method, path)
        assert refused.headers["www-authenticate"] == "Bearer"
        assert refused.headers["content-type"] == "application/problem+json"
    assert client.request(method, path, headers=BEARER).status_code == 200


def test_a_token_does_not_stand_in_the_address(client: httpx.Client) -> None:
    assert client.get("/v1/intents", params={"token": TOKEN, "access_token": TOKEN}).status_code == 401


def test_a_page_gives_a_websocket_the_token_as_a_subprotocol(url: str) -> None:
    events = f"{url}/v1/events"
    page = {"Origin": SHOP}
    with Socket(events, headers=page, subprotocols=["getnet-pos", f"bearer.{TOKEN}"]) as socket:
        assert (socket.subprotocol, socket.text()) == ("getnet-pos", "let in")
    with Socket(events, headers=BEARER) as socket:
        assert (socket.subprotocol, socket.text()) == (None, "let in")
    for wrong in ([], ["getnet-pos"], ["getnet-pos", "bearer."], ["getnet-pos", f"bearer.{TOKEN[:-1]}"], [TOKEN]):
        with pytest.raises(Refused, match="403"):
            Socket(events, headers=page, subprotocols=wrong)


def test_wrong_tokens_are_bounded_and_shut_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard_module, "_TRIES", 3)
    server = serve(Guard(APP, token=TOKEN))
    with httpx.Client(base_url=server.start(), trust_env=False) as client:
        wrong = [client.get("/v1/intents", headers={"Authorization": f"Bearer {n}"}) for n in range(5)]
        assert [answer.status_code for answer in wrong] == [401, 401, 401, 429, 429]
        assert int(wrong[-1].headers["retry-after"]) >= 1
        assert client.get("/v1/intents", headers=BEARER).status_code == 200
    server.stop()


def test_without_a_token_only_the_list_lets_in() -> None:
    server = serve(Guard(APP, origins=[SHOP]))
    url = server.start()
    with httpx.Client(base_url=url, trust_env=False) as client:
        assert client.get("/", headers={"Origin": SHOP}).status_code == 200
        assert client.get("/").status_code == 403
        assert client.get("/", headers={"Origin": url}).status_code == 403
    with Socket(f"{url}/v1/events", headers={"Origin": SHOP}) as socket:
        assert socket.text() == "let in"
    server.stop()


def test_over_tls_its_own_pages_are_of_https() -> None:
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    server = ThreadedServer(Guard(APP, token=TOKEN), ws="wsproto", tls=tls)
    url = server.start().replace("http", "https")
    with httpx.Client(base_url=url, verify=trusting, trust_env=False) as client:
        assert client.get("/v1/intents", headers={"Origin": url, **BEARER}).status_code == 200
        assert client.get("/v1/intents", headers={"Origin": url.replace("https", "http"), **BEARER}).status_code == 403
    with Socket(f"{url}/v1/events", headers={"Origin": url, **BEARER}, tls=trusting) as socket:
        assert socket.text() == "let in"
    server.stop()


# ----------------------------------------------------------------------------------------------------------- the bounds


def test_a_body_is_small_and_comes_whole(client: httpx.Client, url: str) -> None:
    most = b"x" * 65_536

    def pieces(whole: bytes) -> Iterator[bytes]:
        yield whole[:1000]
        yield whole[1000:]

    for body in (most, pieces(most)):
        assert len(client.post("/v1/x", headers=BEARER, content=body).json()["body"]) == 65_536
    for body in (most + b"x", pieces(most + b"x")):
        answer = client.post("/v1/x", headers=BEARER, content=body)
        assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")
    assert client.post("/v1/x", content=most + b"x").status_code == 401  # who it is comes first


def test_a_body_that_does_not_come_is_not_waited_for(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard_module, "_BODY_TIME", 0.1)
    with closing(socket.create_connection(("127.0.0.1", int(port(url))), timeout=5)) as line:
        head = f"POST /v1/x HTTP/1.1\r\nHost: 127.0.0.1:{port(url)}\r\nAuthorization: Bearer {TOKEN}\r\n"
        line.sendall(f"{head}Content-Length: 10\r\n\r\n123".encode())
        assert b" 408 " in line.recv(4096).split(b"\r\n")[0]


def test_sockets_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard_module, "_SOCKETS", 2)
    server = serve(Guard(APP, token=TOKEN))
    url = f"{server.start()}/v1/events"
    with Socket(url, headers=BEARER), Socket(url, headers=BEARER) as second:
        with pytest.raises(Refused):
            Socket(url, headers=BEARER)
        second.send("bye")
        assert second.closed() == 1000
        with Socket(url, headers=BEARER) as third:
            assert third.text() == "let in"
    server.stop()


def test_one_who_asks_too_often_waits_and_others_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard_module, "_BURST", 5)
    monkeypatch.setattr(guard_module, "_RATE", 2.0)
    server = serve(Guard(APP, origins=[SHOP], token=TOKEN))
    with httpx.Client(base_url=server.start(), trust_env=False) as client:
        statuses = [client.get("/", headers={"Origin": SHOP}).status_code for _ in range(8)]
        assert statuses == [200] * 5 + [429] * 3
        assert client.get("/").status_code == 200
        time.sleep(0.6)
        assert client.get("/", headers={"Origin": SHOP}).status_code == 200
    server.stop()


# ------------------------------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://shop.example", "https://shop.example"), ("HTTPS://Shop.Example/", "https://shop.example"),
        ("https://shop.example:443", "https://shop.example"), ("http://shop.example:80", "http://shop.example"),
        ("https://shop.example:80", "https://shop.example:80"), ("http://localhost:3000", "http://localhost:3000"),
        ("http://[::1]:3000", "http://[::1]:3000"), ("chrome-extension://abcdef", "chrome-extension://abcdef"),
    ],
)  # fmt: skip
def test_an_origin_is_written_as_browsers_write_it(text: str, origin: str) -> None:
    assert checked_origin(text) == origin


@pytest.mark.parametrize(
    "text",
    [
        "null", "*", "shop.example", "https://", "https://shop.example/path", "https://*.example", "file://", "file://x",
        "https://user@shop.example", "https://shop.example?x", "https://shop.example,https://other.example", "",
    ],
)  # fmt: skip
def test_what_is_no_origin_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(InvalidValue, match="is not an origin: write scheme and host"):
        checked_origin(text)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost"])
def test_the_loopback_needs_no_tls(host: str) -> None:
    check_reach(host, tls=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.10", "till.example", ""])
def test_other_machines_need_tls(host: str) -> None:
    with pytest.raises(ConfigurationError, match="--certificate"):
        check_reach(host, tls=False)
    check_reach(host, tls=True)


@pytest.mark.parametrize("kind", [
    "other-host", "no-origin", "other-origin", "token-needed", "wrong-tokens", "too-often", "too-many", "too-large",
    "too-slow", "stopping", "journal",
])  # fmt: skip
def test_a_refusal_of_the_request_says_nothing_of_the_payment(kind: str) -> None:
    """The same key may have been sent before: who takes the refusal for an answer would charge again."""
    assert not KINDS[kind].nothing_sent
