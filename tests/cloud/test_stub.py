"""Against a server that shares no code with the library: it answers with the documented bodies, to the byte."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from getnet_pos import (
    AuthenticationError,
    ConnectError,
    Disconnected,
    Forbidden,
    GetnetError,
    IntentState,
    KeyPos,
    MalformedResponse,
    OutcomeUnknown,
    Profile,
    RateLimited,
    ReportKind,
    SaleReply,
    ServerError,
    SqliteJournal,
    TerminalNotFound,
    TransactionNotFound,
)
from getnet_pos.cloud import AsyncCloudAccount, CloudAccount
from tests.cloud.conftest import DOUBTFUL, Connect

LOGIN = (
    b'{"code":1,"status":"OK","message":"LOGIN SUCCESSFUL","data":{"token":"eyJhbGciOiJIUzI1NiIsInR5",'
    b'"expires_in":86400}}'
)
NO_LOGIN = b'{"code":0,"status":"ERROR","message":"erro detail","data":null}'
NO_TOKEN = NO_LOGIN.replace(b"erro detail", b"Unauthorized")
POLLED = (
    b'{"code":1,"status":"OK","message":"TRANSACTION FINISHED","data":{"functionCode":106,"code":0,'
    b'"message":"Approved"}}'
)
NESTED = (
    b'{"code":1,"status":"OK","message":"TRANSACCION FINALIZADA","data":{"idPosTxs":700001,"customId":"@customId",'
    b'"response":{"functionCode":100,"responseCode":0,"responseMessage":"Aprobado","commerceCode":12983,"terminalId":'
    b'"80005000","ticket":"1235","authorizationCode":"123456","amount":1300,"sharesNumber":0,"sharesAmount":0,'
    b'"last4Digits":"5547","operationId":3,"cardType":"CR","accountingDate":"2026-06-11 22:40:22","cardBrand":"MC",'
    b'"realDate":"2026-06-11 22:40:22","employeeId":0,"tip":0,"saleType":0,"posMode":1,"cashback":0,"transToken":'
    b'"8000500012983320260611224022","expiryDate":"2912","entryMode":"16","aid":"A0000000041010","commerceRut":"1-9",'
    b'"commerceName":"n","branchName":"b","branchAddress":"a","branchDistrict":"d","bin":"54545454","paymentId":null,'
    b'"paymentMethod":0,"integrationType":0,"softwareName":null,"softwareVersion":null,"rutToValidate":null,"rutRead":'
    b'null,"rutMatch":false,"rutCheckResult":0}}}'
)
UNPAID = (
    NESTED.replace(b'"responseCode":0', b'"responseCode":1006')
    .replace(b'"Aprobado"', b'"Tiempo de espera excedido"')
    .replace(b'"123456"', b'""')
    .replace(b'"1235"', b"null")
    .replace(b'"operationId":3', b'"operationId":0')
)
FLAT = (
    b'{"code":1,"status":"OK","message":"TRANSACTION COMPLETED","data":{"functionCode":100,"code":0,'
    b'"message":"Approved","authorizationCode":"010929","amount":100000}}'
)
IN_PROCESS = b'{"code":2,"status":"OK","message":"TRANSACTION IN PROCESS","data":null}'
NOT_FOUND = b'{"code":0,"status":"ERROR","message":"ID NOT FOUND","data":null}'
NO_KEYPOS = b'{"code":0,"status":"ERROR","message":"KEYPOS NOT FOUND","data":null}'
SENT = b'{"code":1,"status":"OK","message":"TRANSACTION SENT","data":{"idPosTxs":700001}}'
EMPTY_DETAILS = (
    b'{"code":1,"status":"OK","message":"x","data":{"response":{"functionCode":105,"responseCode":0,"saleDetails":[]}}}'
)
NO_VOUCHER = b'{"code":1,"status":"OK","message":"x","data":{"functionCode":101,"code":99,"message":"none"}}'
HTML = b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body>cloudflare</body></html>"

Answer = bytes | tuple[int, bytes] | tuple[int, bytes, dict[str, str]] | str
"""A body of 200; status, body and headers; or ``"cut"``, ``"reset"``: what becomes of the connection."""


class Stub:
    """``answers`` are lists by the last word of the path: the first is taken off while there are more."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {
            "auth": [LOGIN],
            "poll": [POLLED],
            "details": [EMPTY_DETAILS],
            "lastvoucher": [NO_VOUCHER],
        }
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                stub._answer(self)

            do_GET = do_POST

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/api/postxs"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        self.requests.append((handler.command, handler.path, headers, body))
        name = handler.path.rpartition("/")[2]
        queue = self.answers["status" if name.isdigit() else name]
        answer = queue.pop(0) if len(queue) > 1 else queue[0]
        if isinstance(answer, str):
            self._break(handler, answer)
            return
        status, content, more = (*((200, answer) if isinstance(answer, bytes) else answer), {})[:3]  # type: ignore[misc]  # one to three parts
        with contextlib.suppress(ValueError, KeyError):
            content = content.replace(b"@customId", json.loads(body)["customId"].encode())
        handler.send_response(status)
        handler.send_header("Content-Type", "text/html" if content.startswith(b"<") else "application/json")
        handler.send_header("Content-Length", str(len(content)))
        for key, value in more.items():
            handler.send_header(key, value)
        handler.end_headers()
        handler.wfile.write(content)

    def _break(self, handler: BaseHTTPRequestHandler, how: str) -> None:
        if how == "cut":
            handler.wfile.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n" + NESTED[:99]
            )
        else:
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.close_connection = True

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def paths(self) -> list[str]:
        return [path.rpartition("/")[2] for _, path, _, _ in self.requests]

    def body(self, name: str) -> Any:
        return next(json.loads(body) for _, path, _, body in self.requests if path.endswith(name))


@pytest.fixture
def stub() -> Iterator[Stub]:
    server = Stub()
    yield server
    server.close()


CHILEAN, ARGENTINE = KeyPos("80005000", 12983, "SNPRUEBA1234"), KeyPos("AR00TEST", 12983, "NACPRUEBA123")
Ready = Callable[..., Any]


@pytest.fixture
def to(stub: Stub, connect: Connect) -> Ready:
    """``async with to(profile)`` is a polled connector to the stub."""

    @contextlib.asynccontextmanager
    async def polled(profile: Profile = Profile.CHILE, **settings: Any) -> AsyncIterator[Any]:
        class Place:
            url = stub.url
            key_pos = CHILEAN if profile is Profile.CHILE else ARGENTINE

        Place.profile = profile  # type: ignore[attr-defined]  # a class for its attributes alone
        async with connect(Place, **settings) as pos:
            assert (await pos.polling()).approved
            yield pos

    return polled


def settled(journal_path: Any) -> list[IntentState]:
    journal = SqliteJournal(journal_path)
    states = [intent.state for intent in journal.intents(settled=True)]
    journal.close()
    return states


async def test_a_nested_and_a_flat_result_give_the_same_type(stub: Stub, to: Ready) -> None:
    stub.answers["sale"] = [NESTED, FLAT]
    async with to(Profile.CHILE) as pos:
        chilean = await pos.sale(1300, ticket="1235")
    async with to(Profile.ARGENTINA) as pos:
        argentine = await pos.sale(100000, ticket="1236")
    assert type(chilean) is type(argentine) is SaleReply
    assert (chilean.approved, chilean.authorization_code, chilean.last4_digits) == (True, "123456", "5547")
    assert (argentine.approved, argentine.authorization_code, argentine.amount) == (True, "010929", 100000)


async def test_what_is_sent(stub: Stub, to: Ready) -> None:
    stub.answers["sale"] = [NESTED]
    async with to(environment="prod", api_key={"X-Api-Key": "k"}) as pos:
        await pos.sale(1300, ticket="1235", sale_type=1)
    login, poll, *_, sale = stub.requests
    assert (login[0], login[1], login[3]) == ("POST", "/api/postxs/auth", b"clientId=id&clientSecret=a-secret")
    assert login[2]["content-type"] == "application/x-www-form-urlencoded"
    for request in (login, poll, sale):
        wanted = {"env": "prod", "country": "cl", "app": "posintegrado", "x-api-key": "k"}
        assert {name: request[2][name] for name in wanted} == wanted
    assert "authorization" not in login[2]
    assert sale[2]["authorization"] == "Bearer eyJhbGciOiJIUzI1NiIsInR5"
    assert sale[2]["content-type"] == "application/json"
    body = json.loads(sale[3])
    assert len(body.pop("customId")) == 24
    assert body == {
        "idTerminal": "80005000", "idSucursal": 12983, "serialNumber": "SNPRUEBA1234", "command": 100, "amount": 1300,
        "ticketNumber": "1235", "printOnPos": False, "saleType": 1, "employeeId": 1,
    }  # fmt: skip


async def test_argentina_is_sent_the_ticket_as_custom_id(stub: Stub, to: Ready) -> None:
    stub.answers["sale"] = [FLAT]
    async with to(Profile.ARGENTINA) as pos:
        await pos.sale(100000, ticket="MINE-7")
    assert (stub.body("sale")["customId"], "ticketNumber" in stub.body("sale")) == ("MINE-7", False)


async def test_an_unpaid_sale_with_an_outer_code_1_is_not_approved(stub: Stub, to: Ready, journal_path: Any) -> None:
    stub.answers["sale"] = [UNPAID]
    async with to() as pos:
        sale = await pos.sale(1300, ticket="1235")
    assert (sale.approved, sale.response_code, sale.response_message) == (False, 1006, "Tiempo de espera excedido")
    assert settled(journal_path) == [IntentState.DECLINED]


async def test_a_401_in_the_middle_is_renewed_once_and_the_sale_not_sent_twice(stub: Stub, to: Ready) -> None:
    stub.answers["sale"] = [(401, NO_TOKEN), NESTED]
    async with to() as pos:
        assert (await pos.sale(1300, ticket="1235")).approved
    # The first one was refused for its token; it is not one of two that were taken.
    assert (stub.paths().count("sale"), stub.paths().count("auth")) == (2, 2)


async def test_a_401_twice_is_an_error(stub: Stub, to: Ready, journal_path: Any) -> None:
    stub.answers["sale"] = [(401, NO_TOKEN)]
    async with to() as pos:
        with pytest.raises(AuthenticationError):
            await pos.sale(1300, ticket="1235")
    assert stub.paths().count("sale") == 2
    assert settled(journal_path) == [IntentState.DECLINED]


NAMED: list[tuple[Answer, type[GetnetError]]] = [
    (NO_KEYPOS, TerminalNotFound),
    (NOT_FOUND, TransactionNotFound),
    ((401, NO_LOGIN), AuthenticationError),
    ((403, HTML), Forbidden),
    ((429, b"{}", {"Retry-After": "600"}), RateLimited),
    ((500, b'{"message":"boom"}'), ServerError),
    ((504, HTML), ServerError),
    (HTML, MalformedResponse),
    (NESTED[:100], MalformedResponse),
    (b"", MalformedResponse),
    ("cut", Disconnected),
    ("reset", Disconnected),
]


@pytest.mark.parametrize(("answer", "error"), NAMED, ids=[f"{number}" for number in range(len(NAMED))])
async def test_what_goes_wrong_with_a_question_has_a_name(
    stub: Stub, to: Ready, answer: Answer, error: type[GetnetError]
) -> None:
    async with to() as pos:
        stub.answers["details"] = [answer]
        with pytest.raises(error):
            await pos.get_reports(ReportKind.DETAILS)


@pytest.mark.parametrize(
    "answer", [(500, b"{}"), (504, HTML), HTML, NESTED[:100], "cut", "reset", (503, HTML)], ids=str
)
async def test_what_goes_wrong_with_a_sale_is_a_doubt(stub: Stub, to: Ready, answer: Answer, journal_path: Any) -> None:
    details = EMPTY_DETAILS.replace(b"[]", b"[%b]" % json.dumps(json.loads(NESTED)["data"]["response"]).encode())
    # A cloud that says it is too busy is asked later, and so not twice within the short time that recovery has here.
    asked = [EMPTY_DETAILS] * (2 if answer == (503, HTML) else 3)
    stub.answers.update(sale=[answer], details=[*asked, details])
    async with to(timeouts=DOUBTFUL) as pos:
        sale = await pos.sale(1300, ticket="1235")
        assert (type(sale), sale.approved, sale.authorization_code) == (SaleReply, True, "123456")
        stub.answers["details"] = [EMPTY_DETAILS]
        with pytest.raises(OutcomeUnknown) as caught:
            await pos.sale(1300, ticket="1236")
    assert stub.paths().count("sale") == 2
    assert caught.value.intent_id
    assert settled(journal_path) == [IntentState.APPROVED, IntentState.UNKNOWN]


async def test_a_sale_with_a_webhook_asks_for_its_status(stub: Stub, to: Ready) -> None:
    stub.answers.update(sale=[SENT], status=[NOT_FOUND, IN_PROCESS, NESTED.replace(b"@customId", b"0")])
    async with to(webhook="https://shop.example/hook") as pos:
        sale = await pos.sale(1300, ticket="1235")
    assert sale.approved
    assert stub.body("sale")["webhook"] == "https://shop.example/hook"
    assert stub.paths()[-3:] == ["700001"] * 3


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (NO_LOGIN, AuthenticationError),
        ((401, NO_LOGIN), AuthenticationError),
        ((400, NO_LOGIN), AuthenticationError),
        ((403, HTML), Forbidden),
        ((500, b""), ServerError),
        (HTML, MalformedResponse),
        (b"{", MalformedResponse),
        (b"[]", MalformedResponse),
        (b'{"status":"OK"}', MalformedResponse),
        (b'{"code":1,"data":null}', MalformedResponse),
        (b'{"code":1,"data":{"token":"two words"}}', MalformedResponse),
        (b'{"code":1,"data":{"token":""}}', MalformedResponse),
        (b'{"code":1,"data":{"token":7}}', MalformedResponse),
        ("reset", Disconnected),
    ],
)
async def test_a_login_that_fails(stub: Stub, to: Ready, answer: Answer, error: type[GetnetError]) -> None:
    stub.answers["auth"] = [answer]
    with pytest.raises(error) as caught:
        async with to():
            pass
    assert "a-secret" not in str(caught.value)
    assert set(stub.paths()) == {"auth"}


@pytest.mark.parametrize("life", [b"null", b'"86400"', b"true", b"-1", b"0", b"86400.5"])
async def test_a_token_lives_as_long_as_the_cloud_says(stub: Stub, to: Ready, life: bytes) -> None:
    stub.answers.update(auth=[LOGIN.replace(b"86400", life)], sale=[NESTED])
    async with to() as pos:
        assert (await pos.sale(1300, ticket="1235")).approved


def test_no_server(stub: Stub) -> None:
    stub.close()
    account = CloudAccount(stub.url, client_id="id", client_secret="s", profile=Profile.CHILE)
    with account, pytest.raises(ConnectError):
        account.list_terminals()


async def test_one_login_for_a_crowd(stub: Stub) -> None:
    stub.answers["posdata"] = [b'{"code":1,"data":[]}']
    async with AsyncCloudAccount(stub.url, client_id="id", client_secret="s", profile=Profile.CHILE) as account:
        await asyncio.gather(*(account.list_terminals() for _ in range(30)))
    assert stub.paths().count("auth") == 1
