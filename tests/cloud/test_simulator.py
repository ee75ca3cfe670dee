"""The virtual cloud itself: shapes of answers, faults by name, and reproducibility."""

from __future__ import annotations

import json
import signal
from typing import Any

import httpx
import pytest

from getnet_pos import ConfigurationError, Profile
from getnet_pos.simulator import Behaviour, Outcome, Refusal
from getnet_pos.simulator.cloud import CloudCall, CloudFault, CloudFaultKind, VirtualCloud, Where, serve
from tests.cloud.conftest import Open

K = CloudFaultKind


class Client:
    """Calls a virtual cloud on a clock of its own."""

    def __init__(self, cloud: VirtualCloud) -> None:
        self.cloud, self.now, self.token = cloud, 0.0, ""
        self.token = self("POST", "auth", b"ClientId=id&ClientSecret=secret")[1]["data"]["token"]

    def call(self, method: str, path: str, body: bytes = b"", query: str = "") -> CloudCall:
        headers = {"authorization": f"Bearer {self.token}"}
        call = CloudCall(method, f"/api/postxs/{path}", query, headers, body)
        self.cloud.receive(call, self.now)
        return call

    def __call__(self, method: str, path: str, body: bytes = b"") -> tuple[int, Any]:
        call = self.call(method, path, body)
        while call.answer is None:
            event = self.cloud.next_event()
            assert event is not None
            self.now = max(self.now, event)
            self.cloud.advance(self.now)
        whole = call.answer.body.endswith(b"}")
        return call.answer.status, json.loads(call.answer.body) if whole else call.answer.body

    def command(self, path: str, code: int, **fields: Any) -> tuple[int, Any]:
        return self("POST", path, json.dumps({**self.body(code), **fields}).encode())

    def body(self, code: int) -> dict[str, Any]:
        return {**self.cloud._triplet(self.cloud.key_pos), "command": code, "customId": "1234"}


def client_of(profile: Profile, **settings: Any) -> Client:
    return Client(VirtualCloud(profile=profile, **settings))


def test_a_login() -> None:
    cloud = VirtualCloud(clients={"id": "secret"}, token_life=100)
    client = Client(cloud)
    assert client("POST", "auth", b"clientId=id&clientSecret=secret")[1]["message"] == "LOGIN SUCCESSFUL"
    refused = (200, {"code": 0, "status": "ERROR", "message": "INVALID CREDENTIALS", "data": None})
    for form in (b"clientId=id&clientSecret=other", b"clientId=other&clientSecret=secret", b"", b"clientId=id"):
        assert client("POST", "auth", form) == refused
    assert client("GET", "auth") == refused
    client.now = 200
    assert client.command("poll", 106)[0] == 401


def test_shapes_of_chile() -> None:
    client = client_of(Profile.CHILE)
    status, answer = client.command("sale", 100, amount=5200, ticketNumber="1235")
    assert (status, answer["code"], answer["status"], answer["message"]) == (200, 1, "OK", "TRANSACCION FINALIZADA")
    assert list(answer["data"]) == ["idPosTxs", "customId", "response"]
    reply = answer["data"]["response"]
    assert (reply["functionCode"], reply["responseCode"], reply["responseMessage"]) == (100, 0, "Aprobado")
    assert (reply["amount"], reply["ticket"], reply["operationId"]) == (5200, "1235", 1)
    number = answer["data"]["idPosTxs"]
    assert client("GET", str(number))[1] == answer
    assert client("GET", "1") == (200, {"code": 0, "status": "ERROR", "message": "ID NOT FOUND", "data": None})
    assert client("GET", "9" * 30)[1]["message"] == "ID NOT FOUND"
    asked = client.command("get_transaction", 99, idPosTxs=number)[1]["data"]["response"]
    assert asked == reply
    assert client.command("get_transaction", 99, idPosTxs=5)[1]["data"]["response"]["responseCode"] == 21


def test_shapes_of_argentina() -> None:
    client = client_of(Profile.ARGENTINA)
    answer = client.command("sale", 100, amount=120000)[1]
    assert (answer["message"], answer["data"]["code"], answer["data"]["message"]) == (
        "TRANSACTION FINISHED",
        0,
        "Approved",
    )
    assert answer["data"]["customId"] == "1234"
    assert client("GET", str(answer["data"]["idPosTxs"]))[1]["message"] == "TRANSACTION COMPLETED"
    silent = client_of(Profile.ARGENTINA, echoes_ids=False)
    assert "idPosTxs" not in silent.command("sale", 100, amount=1)[1]["data"]


def test_nobody_paid() -> None:
    client = client_of(Profile.CHILE, default=Behaviour(outcome=Outcome.TIME_OUT))
    answer = client.command("sale", 100, amount=1300, ticketNumber="T")[1]
    reply = answer["data"]["response"]
    assert (answer["code"], reply["responseCode"], reply["responseMessage"]) == (1, 1006, "Tiempo de espera excedido")
    assert (reply["authorizationCode"], reply["ticket"], reply["amount"], reply["entryMode"]) == ("", None, 1300, "09")


REAL = {
    "functionCode", "responseCode", "responseMessage", "commerceCode", "terminalId", "ticket", "authorizationCode",
    "amount", "sharesNumber", "sharesAmount", "last4Digits", "operationId", "cardType", "accountingDate", "cardBrand",
    "realDate", "employeeId", "tip", "saleType", "posMode", "cashback", "transToken", "expiryDate", "entryMode",
    "aid", "commerceRut", "commerceName", "branchName", "branchAddress", "branchDistrict", "bin", "paymentId",
    "paymentMethod", "integrationType", "softwareName", "softwareVersion", "rutToValidate", "rutRead", "rutMatch",
    "rutCheckResult",
}  # fmt: skip
"""The fields of a real answer of Chile's cloud, paid or not."""


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.SILENT])
def test_every_payment_has_the_fields_of_a_real_one(outcome: Outcome) -> None:
    client = client_of(Profile.CHILE, default=Behaviour(outcome=outcome))
    for path, code in (("sale", 100), ("salepromo", 126)):
        reply = client.command(path, code, amount=1300, ticketNumber="T", idPromo="x")[1]["data"]["response"]
        assert (reply.keys(), reply["amount"]) == (REAL, 1300)
        if outcome is not Outcome.APPROVE:
            assert (reply["authorizationCode"], reply["operationId"], reply["rutMatch"]) == ("", 0, False)
            assert reply["transToken"] == "8000500012983720260101120000"


def test_argentina_speaks_english_under_flat_names_in_every_row() -> None:
    client = client_of(Profile.ARGENTINA, default=Behaviour())
    sale = client.command("sale", 100, amount=120_000, tip=1000, installments=3)[1]["data"]
    assert (sale["amount"], sale["tip"], sale["sharesNumber"], sale["sharesAmount"]) == (120_000, 1000, 3, 40_000)
    [row] = client.command("details", 105)[1]["data"]["saleDetails"]
    assert (row["code"], row["message"], row["tip"], row["sharesNumber"]) == (0, "Approved", 1000, 3)
    assert not {"responseCode", "responseMessage"} & row.keys()
    client.cloud.terminal.default = Behaviour(outcome=Outcome.TIME_OUT)
    unpaid = client.command("sale", 100, amount=5)[1]
    assert (unpaid["data"]["code"], unpaid["data"]["message"]) == (1006, "Timeout exceeded")


def test_every_refusal_has_english_words() -> None:
    for refusal in Refusal:
        client = client_of(Profile.ARGENTINA, default=Behaviour(
            outcome=Outcome.DECLINE, response_code=refusal.code, response_message=refusal.message))  # fmt: skip
        assert client.command("sale", 100, amount=5)[1]["data"]["message"] not in (refusal.message, None)


@pytest.mark.parametrize("webhook", ["", None])
def test_an_empty_webhook_is_none(webhook: str | None) -> None:
    client = client_of(Profile.CHILE)
    answer = client.command("sale", 100, amount=5, ticketNumber="T", webhook=webhook)[1]
    assert answer["data"]["response"]["responseCode"] == 0
    assert client.cloud.webhooks == []


def test_numbers_may_come_as_texts_and_texts_as_numbers() -> None:
    client = client_of(Profile.CHILE)
    told = {"idTerminal": 80_005_000, "amount": "500", "ticketNumber": 77, "employeeId": "1", "saleType": "1"}
    sale = client.command("sale", 100, **told)[1]["data"]["response"]
    assert (sale["responseCode"], sale["amount"], sale["ticket"]) == (0, 500, "77")
    while not sale["authorizationCode"].startswith("0"):
        sale = client.command("sale", 100, amount=500, ticketNumber="T")[1]["data"]["response"]
    code = int(sale["authorizationCode"])
    refund = client.command("return", 108, authorizationCode=code, amount="100")[1]["data"]["response"]
    assert (refund["responseCode"], refund["authorizationCode"]) == (0, sale["authorizationCode"])
    void = client.command("refund", 102, operationId="1")[1]["data"]["response"]
    assert (void["responseCode"], void["operationId"]) == (0, 1)


def test_no_page_of_a_browser_may_call_it_and_its_question_meets_no_fault() -> None:
    client = client_of(Profile.CHILE)
    client.cloud.inject(CloudFault(K.SERVER_ERROR), CloudFault(K.SERVER_ERROR, Where.LOGIN))
    for path in ("auth", "sale"):
        call = client.call("OPTIONS", path)
        assert call.answer is not None
        assert call.answer.status == 401
        assert not [name for name in call.answer.headers if name.startswith("access-control")]
    assert client.command("sale", 100, amount=5, ticketNumber="T")[0] == 500


def test_a_webhook() -> None:
    client = client_of(Profile.ARGENTINA, default=Behaviour(decide_after=5))
    sent = client.command("sale", 100, amount=5, webhook="https://shop.example/hook")[1]
    assert (sent["code"], sent["message"]) == (1, "TRANSACTION SENT")
    number = sent["data"]["idPosTxs"]
    assert client("GET", str(number))[1] == {
        "code": 2, "status": "OK", "message": "TRANSACTION IN PROCESS", "data": None,
    }  # fmt: skip
    client.cloud.advance(10)
    [(url, body)] = client.cloud.webhooks
    assert url == "https://shop.example/hook"
    assert json.loads(body)["data"]["idPosTxs"] == number


@pytest.mark.parametrize(
    ("path", "code", "fields", "words"),
    [
        ("sale", 100, {"serialNumber": "OTHER"}, "KEYPOS NOT FOUND"),
        ("sale", 100, {"idSucursal": 7}, "KEYPOS NOT FOUND"),
        ("sale", 100, {"idSucursal": None}, "INCORRECT REQUEST FOR MERCHANT ID"),
        ("sale", 102, {}, "INCORRECT COMMAND"),
    ],
)
def test_what_is_asked_wrongly(path: str, code: int, fields: dict[str, Any], words: str) -> None:
    client = client_of(Profile.CHILE)
    answer = client.command(path, code, **fields)
    assert answer == (200, {"code": 0, "status": "ERROR", "message": words, "data": None})


def test_other_requests() -> None:
    client = client_of(Profile.CHILE)
    assert client("POST", "nothing")[0] == 404
    assert client("DELETE", "sale")[0] == 404
    assert client("POST", "sale", b"{")[1]["message"] == "INCORRECT REQUEST FOR MERCHANT ID"
    assert client("POST", "SALE", json.dumps({**client.body(100), "amount": 5, "ticketNumber": "T"}).encode())[0] == 200
    client.token = "other"
    assert client.command("poll", 106)[0] == 401
    listing = client_of(Profile.CHILE, terminals=2)
    call = listing.call("GET", "posdata", query="idsucursal=12983")
    assert call.answer is not None
    assert len(json.loads(call.answer.body)["data"]) == 2


@pytest.mark.parametrize(
    ("kind", "status", "charged"),
    [
        (K.UNAUTHORIZED, 401, 0),
        (K.EXPIRED, 401, 0),
        (K.FORBIDDEN, 403, 0),
        (K.SERVER_ERROR, 500, 0),
        (K.RATE_LIMIT, 429, 0),
        (K.UNAVAILABLE, 503, 0),
        (K.TIMEOUT_AFTER, 504, 1),
        (K.SERVER_ERROR_AFTER, 500, 1),
        (K.RATE_LIMIT_AFTER, 429, 1),
        (K.HTML, 200, 1),
        (K.CUT_JSON, 200, 1),
    ],
)
def test_faults_by_name(kind: CloudFaultKind, status: int, charged: int) -> None:
    client = client_of(Profile.CHILE, script=[[], [CloudFault(kind)]])
    client.command("sale", 100, amount=1, ticketNumber="T")
    assert client.command("sale", 100, amount=2, ticketNumber="T")[0] == status
    assert len(client.cloud.terminal.ledger.entries) == 1 + charged


def test_faults_that_break_the_connection() -> None:
    for kind, charged, begun in ((K.DROP_BEFORE, 0, False), (K.DROP_AFTER, 1, False), (K.CUT, 1, True)):
        client = client_of(Profile.CHILE)
        client.cloud.inject(CloudFault(kind))
        call = client.call("POST", "sale", json.dumps({**client.body(100), "amount": 1}).encode())
        assert call.answer is not None
        assert (call.answer.whole, bool(call.answer.body)) == (False, begun)
        assert len(client.cloud.terminal.ledger.entries) == charged


def test_no_answer_at_all_and_a_late_one() -> None:
    client = client_of(Profile.CHILE)
    client.cloud.inject(CloudFault(K.NEVER), CloudFault(K.LATENCY, Where.QUESTION, seconds=3))
    body = json.dumps({**client.body(100), "amount": 1}).encode()
    call = client.call("POST", "sale", body)
    assert call.answer is None
    assert len(client.cloud.terminal.ledger.entries) == 1
    assert client.command("poll", 106)[0] == 200
    assert client.now == 3
    client.cloud.advance(400)
    assert call.answer is not None, "the cloud holds no call for longer than five minutes"
    assert call.answer.status == 504


def test_skipping_and_counting() -> None:
    client = client_of(Profile.CHILE)
    client.cloud.inject(CloudFault(K.SERVER_ERROR, Where.QUESTION, skip=1, times=2))
    assert [client.command("poll", 106)[0] for _ in range(5)] == [200, 500, 500, 200, 200]


def test_the_same_seed_has_the_same_effect() -> None:
    def day(seed: int) -> list[Any]:
        client = client_of(Profile.CHILE, seed=seed)
        return [client.token, client.command("sale", 100, amount=1, ticketNumber="T")]

    assert day(1) == day(1)
    assert day(1) != day(2)


def test_a_terminal_that_never_answered_does_not_take_the_next_reply() -> None:
    client = client_of(Profile.CHILE)
    client.cloud.terminal.script.extend([Behaviour(outcome=Outcome.SILENT), Behaviour()])
    first = client.call("POST", "sale", json.dumps({**client.body(100), "amount": 1, "ticketNumber": "A"}).encode())
    second = client.command("sale", 100, amount=2, ticketNumber="B")[1]
    assert second["data"]["response"]["ticket"] == "B"
    assert first.answer is None


def test_manners_of_a_terminal_do_not_matter() -> None:
    client = client_of(Profile.CHILE, default=Behaviour(coalesce=True, crlf=True, camel_case=True, fragment=7))
    answer = client.command("sale", 100, amount=1, ticketNumber="T")[1]
    assert answer["data"]["response"]["responseCode"] == 0


def test_commands_that_only_the_cloud_knows() -> None:
    client = client_of(Profile.CHILE)
    assert client.command("printservice", 117, details=[1])[1]["data"]["response"]["functionCode"] == 117
    assert client.cloud.documents == [[1]]
    promotion = client.command("salepromo", 126, amount=5, ticketNumber="T", idPromo="x")[1]["data"]["response"]
    assert (promotion["functionCode"], promotion["responseCode"]) == (126, 0)
    client.cloud.terminal.script.append(Behaviour(outcome=Outcome.DECLINE))
    declined = client.command("salepromo", 126, amount=5, ticketNumber="T", idPromo="x")[1]["data"]["response"]
    assert declined["responseCode"] == 2001


def test_a_country_without_a_cloud() -> None:
    with pytest.raises(ConfigurationError, match="no cloud"):
        VirtualCloud(profile=Profile(name="x", amount_exponent=0))


def test_over_http(opened: Open) -> None:
    cloud = opened()
    assert cloud.url.startswith("http://127.0.0.1:")
    assert cloud.url.endswith("/api/postxs")
    with httpx.Client(trust_env=False) as client:
        answer = client.post(f"{cloud.url}/auth", data={"clientId": "id", "clientSecret": "s"}).json()
        assert answer["data"]["expires_in"] == 86_400
        assert client.get(f"{cloud.url}/7").status_code == 401


def test_serving_in_this_thread_until_it_is_interrupted() -> None:
    addresses: list[str] = []

    def interrupt(address: str) -> None:
        addresses.append(address)
        signal.raise_signal(signal.SIGINT)

    cloud = VirtualCloud()
    with pytest.raises(KeyboardInterrupt):
        serve(ready=interrupt, cloud=cloud)
    assert addresses == [cloud.url]
    assert cloud.url.endswith("/api/postxs")


def test_an_address_that_is_taken(opened: Open) -> None:
    port = int(opened().url.split(":")[2].split("/")[0])
    with pytest.raises(OSError, match="in use"):
        serve(port=port)
