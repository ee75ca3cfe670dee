"""Holds, cancelling, printing and the reports of employees, from the command line."""

from __future__ import annotations

import contextlib
import math
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from getnet_pos import Connector, Profile
from getnet_pos.simulator import Behaviour, HttpServer, Outcome, SerialServer, TcpServer, VirtualTerminal
from getnet_pos.simulator.cloud import VirtualCloud

needs_pty = pytest.mark.skipif(os.name != "posix", reason="this system has no pseudo-terminals")

Run = Callable[..., Any]


@pytest.fixture
def terminal() -> VirtualTerminal:
    return VirtualTerminal()


@pytest.fixture
def at(terminal: VirtualTerminal) -> Iterator[tuple[str, ...]]:
    with TcpServer(terminal, gap=0) as server:
        yield ("--tcp", "{}:{}".format(*server.address))


def test_a_hold_and_what_becomes_of_it(called: Run, terminal: VirtualTerminal, at: tuple[str, ...]) -> None:
    held = called("pre-authorize", "50000", "--ticket", "H1", "--json", *at)
    assert (held.code, held.document["amount"], terminal.ledger.held()) == (0, 50_000, 50_000)
    assert [one for one in held.asides if "provisional command codes" in one.get("note", "")]
    charged = called("complete", held.document["authorization_code"], "42000", "--json", *at)
    assert (charged.code, terminal.ledger.held(), terminal.ledger.charged()) == (0, 0, 42_000)

    second = called("pre-authorize", "7000", "--json", *at).document
    released = called("release", second["authorization_code"], *at)
    assert (released.code, "approved" in released.out) == (0, True)
    assert (terminal.ledger.held(), terminal.ledger.charged()) == (0, 42_000)
    assert called("release", second["authorization_code"], *at).code == 1
    refused = called("pre-authorize", "7000", "--profile", "cl", *at)
    assert (refused.code, "no command codes for pre-authorization" in refused.err) == (2, True)


@pytest.mark.parametrize("through", ["tcp", "http", "cloud"])
def test_a_sale_of_another_process_is_cancelled(
    called: Run, begin: Run, monkeypatch: pytest.MonkeyPatch, through: str
) -> None:
    for name in ("GETNET_POS_CLIENT_ID", "GETNET_POS_CLIENT_SECRET"):
        monkeypatch.setenv(name, "any")
    with contextlib.ExitStack() as stack:
        if through == "cloud":
            cloud = stack.enter_context(VirtualCloud(profile=Profile.ARGENTINA))
            terminal, at = cloud.terminal, ("--cloud", cloud.url, "--key-pos", str(cloud.key_pos), "--profile", "ar")
        elif through == "http":
            terminal = VirtualTerminal()
            at = ("--http", stack.enter_context(HttpServer(terminal)).url)
        else:
            terminal = VirtualTerminal()
            at = ("--tcp", "{}:{}".format(*stack.enter_context(TcpServer(terminal)).address))
        terminal.script.append(Behaviour(decide_after=math.inf))
        sale = begin("sale", "1000", "--json", *at)
        while not terminal.busy:
            time.sleep(0.01)
        ended = called("cancel", *at)
        assert (ended.code, "the sale itself reports its outcome" in ended.out) == (0, True), ended
        out, _ = sale.communicate()
        assert (sale.wait(30), '"response_code": 1006' in out) == (1, True)
        assert terminal.ledger.entries == ()
        codes = [command.code for command in terminal.commands]
        assert codes[codes.index(100) :] == [100, 116], "a terminal in mid-sale may not answer anything else"


@needs_pty
def test_a_serial_port_is_left_to_the_process_that_sells(called: Run) -> None:
    terminal = VirtualTerminal(script=[Behaviour(decide_after=math.inf)])
    with SerialServer(terminal, gap=0) as server, Connector.create_usb(server.device, journal=None) as pos:
        pos.polling()
        ended = called("cancel", "--port", server.device)
    assert (ended.code, "press Ctrl-C in the process that began the sale" in ended.err) == (3, True), ended


def test_a_cancellation_without_a_sale_or_an_answer(called: Run, at: tuple[str, ...]) -> None:
    ended = called("cancel", *at)
    assert (ended.code, "refused (2004)" in ended.out) == (1, True), "there is none in progress"
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        ended = called("cancel", "--tcp", f"127.0.0.1:{nobody.getsockname()[1]}", "--timeout", "0.2")
    assert (ended.code, "if the sale goes on, press Ctrl-C" in ended.err) == (3, True), ended


def test_the_receipt_of_a_past_payment(called: Run, at: tuple[str, ...]) -> None:
    assert called("receipt", *at).code == 1, "there is none"
    for ticket, amount in (("A1", "25000"), ("A2", "1000000")):
        assert called("sale", amount, "--ticket", ticket, "--profile", "cl", *at).code == 0
    last = called("receipt", "--profile", "cl", *at)
    lines = [" ".join(line.split()) for line in last.out.splitlines()]
    assert (last.code, max(map(len, last.out.splitlines()))) == (0, 32)
    assert {"VENTA", "Copia cliente", "DUPLICADO", "Ticket A2", "Monto $1.000.000", "APROBADA"} <= set(lines)

    first = called("receipt", "1", "--copy", "merchant", "--columns", "48", "--language", "pt", "--json", *at).document
    assert first["ticket"] == "A1"
    assert {len(line) for line in first["receipt"].splitlines() if line.startswith("-")} == {48}
    for words in ("Via do estabelecimento", "SEGUNDA VIA", "APROVADA"):
        assert words in first["receipt"]
    unknown = called("receipt", "99", *at)
    assert (unknown.code, "21 means: not found" in unknown.out) == (1, True)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (("--columns", "40"), "'40' is not one of 24, 32, 48"),
        (("--copy", "me"), "'me' is not one of 'customer', 'merchant'"),
        (("0",), "operation_id must be from 1"),
    ],
)
def test_a_receipt_that_cannot_be_made(called: Run, wrong: tuple[str, ...], said: str) -> None:
    ended = called("receipt", *wrong, "--tcp", "127.0.0.1:9")
    assert (ended.code, said in ended.err) == (2, True), ended


def test_reports_of_employees(called: Run, at: tuple[str, ...]) -> None:
    assert called("sale", "1500", "--employee", "7", *at).code == 0
    assert len(called("sales-by-seller", "--employee", "7", "--json", *at).document["sale_details"]) == 1
    assert "1,500" in called("sales-by-seller", "--employee", "7", *at).out
    assert "1,500" in called("tips", "--employee", "7", *at).out


def test_records_and_replies_as_a_person_reads_them(called: Run, at: tuple[str, ...]) -> None:
    sold = called("sale", "1500", "--ticket", "A1", *at)
    assert re.search(r"^authorization code +\d+ *$", sold.out, re.MULTILINE)
    for nothing in ("tip", "cashback", "installments", "success"):
        assert nothing not in sold.out, "the terminal sent it as 0"
    assert called("void", "1", *at).code == 0
    assert "debit voids" in called("report", "totals", *at).out
    assert called("refund", "123456", "400", *at).code == 1
    told = called("intents", "--all").out
    for part in (
        "sale of 1,500, ticket A1",
        "void, operation 1",
        "refund of 400, authorization code 123456",
        "****0042",
    ):
        assert part in told
    assert len(re.findall(rf"^ +\d+ \w{{3}} {date.today().year} [0-9:]{{8}} *$", told, re.MULTILINE)) == 3
    assert called("poll", *at).out.startswith("ready")
    assert called("close-batch", *at).out.startswith("done")
    assert called("report", "details", *at).out.splitlines()[1:] == ["no operations"]


def test_what_codes_mean(called: Run, terminal: VirtualTerminal, at: tuple[str, ...]) -> None:
    terminal.script.append(Behaviour(outcome=Outcome.DECLINE, response_code=1006))
    ended = called("sale", "1000", *at)
    assert (ended.code, "1006 means: cancelled on the terminal, or nobody paid in time" in ended.out) == (1, True)
    terminal.answers[101] = Behaviour(change={"ResponseCode": 21})
    assert "21 means: not found" in called("last", *at).out
    # What it means to a payment is not known.
    terminal.script.append(Behaviour(outcome=Outcome.DECLINE, response_code=21))
    assert "means" not in called("sale", "1000", *at).out


def test_what_only_a_cloud_can_do_and_what_it_cannot(
    called: Run, begin: Run, at: tuple[str, ...], tmp_path: Path
) -> None:
    text = tmp_path / "note.txt"
    text.write_text("Mesa 4\n¡Gracias!\n", encoding="utf-8")
    assert called("print", str(text), *at).code == 2, "no terminal on a line prints so"
    server = begin("simulate", "cloud")
    where = server.stdout.readline().removeprefix("listening on ").strip()
    cloud = ("--cloud", where, "--key-pos", "80005000/12983/SNPRUEBA1234", "--profile", "cl")
    secrets = {"GETNET_POS_CLIENT_ID": "id", "GETNET_POS_CLIENT_SECRET": "secret"}
    assert called("print", str(text), *cloud, env=secrets).code == 0
    assert called("print", *cloud, stdin="¡Gracias!".encode(), env=secrets).code == 0
    for bad, said in ((b"x" * 49, "48"), (b"\xff", "not UTF-8")):
        ended = called("print", *cloud, stdin=bad, env=secrets)
        assert (ended.code, said in ended.err) == (2, True), ended
    for args, said in (
        (["receipt"], "which getnet-pos report details lists"),
        (["cancel"], "cancel it on the terminal"),
    ):
        ended = called(*args, *cloud, env=secrets)
        assert (ended.code, said in ended.err) == (2, True), "this cloud has no such command"
    server.terminate()
    assert server.wait(30) == 0


@pytest.mark.parametrize("command", ["sale", "terminals", "serve", "journal init", "simulate tcp", "decode", ""])
def test_help_names_no_type_of_python(called: Run, command: str) -> None:
    shown = called(*command.split(), "--help").out
    for word in ("<str>", "<bool>", "<int", "<list", "Of --", "[["):
        assert word not in shown
