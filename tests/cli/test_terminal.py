"""The terminal commands against a virtual terminal on a pseudo-terminal."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="this system has no pseudo-terminals")

Run = Callable[..., Any]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_simulator_says_where_it_listens_and_ends_cleanly(begin: Run, called: Run, number: signal.Signals) -> None:
    server = begin("simulate", "serial", "--wire", "simplified")
    device = server.stdout.readline().removeprefix("listening on ").strip()
    assert called("poll", "--port", device).code == 0
    server.send_signal(number)
    out, err = server.communicate(timeout=30)
    assert (server.returncode, out) == (0, "")
    assert err == f"try: getnet-pos sale 1000 --port {device} --wire simplified\n"
    assert not os.path.exists(device)


def test_whole_life_of_payments(simulate: Run, called: Run) -> None:
    port = ("--port", simulate(), "--json")
    assert called("poll", *port).document["connected"] is True

    ended = called("sale", "25000", "--ticket", "A1234", "--employee", "7", "--type", "1", *port)
    assert ended.code == 0
    sale = ended.document
    assert list(sale)[:4] == ["approved", "function_code", "response_code", "response_message"]
    assert (sale["approved"], sale["amount"], sale["ticket"], sale["employee_id"], sale["sale_type"]) == (
        True, 25_000, "A1234", 7, 1,
    )  # fmt: skip
    assert [aside["progress"]["name"] for aside in ended.asides] == ["CARD_READING", "PIN_ENTRY", "SENDING"]

    last = called("last", *port).document
    assert (last["operation_id"], last["last4_digits"]) == (sale["operation_id"], "0042")

    void = called("void", str(sale["operation_id"]), *port)
    assert (void.code, void.document["approved"]) == (0, True)
    again = called("void", str(sale["operation_id"]), *port)
    assert (again.code, again.document["approved"]) == (1, False)

    second = called("sale", "100.00", "--profile", "ar", *port).document
    assert second["amount"] == 10_000
    refund = called("refund", second["authorization_code"], "4000", *port)
    assert (refund.code, refund.document["approved"]) == (0, True)
    too_much = called("refund", second["authorization_code"], "7000", *port)
    assert (too_much.code, too_much.document["response_code"]) == (1, 2012)

    assert called("report", "totals", *port).document["tx_total"] == 6_000
    details = called("report", "details", *port).document["sale_details"]
    assert [row["function_code"] for row in details] == [100, 102, 100, 108]
    assert len(called("report", "sellers", "--employee", "7", *port).document["sale_details"]) == 1
    assert "tip_report" in called("report", "tips", *port).document
    assert called("report", "parameters", *port).document["terminal_id"]
    assert called("report", "sim", *port).document["connected"] is True

    assert called("intents", "--json").document == []
    states = [intent["state"] for intent in called("intents", "--all", "--json").document]
    assert states == ["APPROVED", "APPROVED", "DECLINED", "APPROVED", "APPROVED", "DECLINED"]
    recovered = called("recover", *port)
    assert (recovered.code, recovered.document["settled"], recovered.document["unknown"]) == (0, [], [])


def test_json_is_one_document_and_progress_is_json_lines(simulate: Run, getnet: Run) -> None:
    ended = getnet("sale", "1000", "--port", simulate(), "--json")
    assert ended.out.count("\n") == 1
    assert [list(json.loads(line)) for line in ended.err.splitlines()] == [["progress"]] * 3


def test_tables_for_people(simulate: Run, called: Run) -> None:
    port = ("--port", simulate(), "--profile", "ar")
    ended = called("sale", "1250.50", "--ticket", "A1", *port)
    assert ended.code == 0
    assert "approved: Aprobado" in ended.out
    for words in ("1,250.50 ARS", "Visa debit ****0042", "merchant's tax number"):
        assert words in ended.out
    assert re.search(r"^date +\d{1,2} [A-Z][a-z]{2} 20\d\d \d\d:\d\d:\d\d", ended.out, re.MULTILINE)
    assert ended.err.splitlines() == [
        "card reading (Lectura de tarjetas) ...",
        "pin entry (Ingreso de PIN) ...",
        "sending (Enviando transacción a Getnet) ...",
    ]
    assert "1,250.50 ARS" in called("report", "totals", *port).out
    details = called("report", "details", *port).out
    assert "****0042" in details
    assert "\x1b" not in ended.out + details
    assert all(len(line) <= 80 for line in details.splitlines())


def test_no_card_number_is_shown(simulate: Run, called: Run) -> None:
    port = ("--port", simulate("--seed", "1"))
    shown = [
        called("sale", "1000", *port),
        called("last", "--json", *port),
        called("report", "details", "--json", *port),
    ]
    for ended in shown:
        assert ended.code == 0
        for secret in ("40000012", "3012", "trans_token", "expiry", "account_number"):
            assert secret not in ended.out + ended.err


def test_environment_names_the_terminal(simulate: Run, called: Run) -> None:
    env = {"GETNET_POS_PORT": simulate(), "GETNET_POS_PROFILE": "cl", "GETNET_POS_WIRE": "signed"}
    ended = called("sale", "250.00", "--json", env=env)
    assert (ended.code, ended.document["amount"]) == (0, 250)


def test_simplified_wire(simulate: Run, called: Run) -> None:
    port = ("--port", simulate(), "--wire", "simplified", "--json")
    assert called("poll", *port).document["connected"] is True
    sale = called("sale", "1000", "--ticket", "A1", *port)
    assert (sale.code, sale.document["amount"]) == (0, 1000)
    last = called("last", *port)
    assert (last.code, last.document["error"]["type"]) == (2, "UnsupportedOperation")


@pytest.mark.parametrize(
    "options",
    [
        ["--camel-case"],
        ["--fragment", "1"],
        ["--fragment", "7", "--fragment-every", "0.001"],
        ["--noise", "20", "--seed", "3"],
        ["--coalesce", "--crlf"],
        ["--duplicate"],
        ["--no-acknowledge"],
        ["--delay", "0.3", "--progress-every", "0.1", "--reply-after", "0.1"],
        # A doubt, which the terminal's last voucher settles:
        ["--function-code-zero"],
        ["--wrong-signature"],
        ["--reply-after", "inf"],
    ],
    ids=" ".join,
)
def test_sale_is_approved_however_the_terminal_writes(simulate: Run, called: Run, options: list[str]) -> None:
    ended = called("sale", "1000", "--timeout", "1", "--recovery", "9", "--port", simulate(*options), "--json")
    assert ended.code == 0, ended
    assert ended.document["approved"] is True
    assert [intent["state"] for intent in called("intents", "--all", "--json").document] == ["APPROVED"]


def test_behaviour_ends_after_so_many_commands(simulate: Run, called: Run) -> None:
    port = ("--port", simulate("--outcome", "decline", "--response-code", "77", "--times", "1"), "--json")
    declined = called("sale", "1000", *port)
    assert (declined.code, declined.document["response_code"]) == (1, 77)
    assert called("sale", "1000", *port).code == 0


@pytest.mark.parametrize("kind", ["serial", "cloud"])
def test_a_virtual_terminal_that_is_started_again_is_no_copy_of_itself(begin: Run, called: Run, kind: str) -> None:
    """One journal holds the payments of both: the second one's first voucher is not that of the first one."""
    for _ in range(2):
        server = begin("simulate", kind)
        where = server.stdout.readline().removeprefix("listening on ").strip()
        option = {"serial": ["--port", where], "cloud": ["--cloud", where, "--key-pos", KEY_POS, "--profile", "cl"]}
        secrets = {"GETNET_POS_CLIENT_ID": "id", "GETNET_POS_CLIENT_SECRET": "secret"}
        sold = called("sale", "1000", "--ticket", "A1", "--timeout", "5", *option[kind], "--json", env=secrets)
        assert (sold.code, sold.document.get("recovered")) == (0, False), sold
        server.terminate()
        server.wait(30)


KEY_POS = "80005000/12983/SNPRUEBA1234"
