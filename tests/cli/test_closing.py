"""``reconcile``: what a person, a program and a spreadsheet get, and the exit code that a script acts on."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from getnet_pos.simulator import Behaviour, TcpServer, VirtualTerminal
from tests.faces import hasty

__all__ = ["hasty"]

Run = Callable[..., Any]


@pytest.fixture
def terminal() -> VirtualTerminal:
    return VirtualTerminal()


@pytest.fixture
def server(terminal: VirtualTerminal) -> Iterator[TcpServer]:
    with TcpServer(terminal, gap=0) as opened:
        yield opened


@pytest.fixture
def at(server: TcpServer) -> tuple[str, ...]:
    return ("--tcp", "{}:{}".format(*server.address), "--profile", "cl")


def test_a_day_that_can_be_closed(called: Run, at: tuple[str, ...]) -> None:
    for ticket in ("A1", "A2"):
        assert called("sale", "1000", "--ticket", ticket, *at).code == 0
    ended = called("reconcile", *at)
    assert ended.code == 0
    assert ended.out.splitlines() == [
        "matching: 2",
        "everything matches: the batch can be closed",
    ]
    document = called("reconcile", "--json", *at).document
    assert (document["agrees"], len(document["matching"])) == (True, 2)
    assert document["matching"][0]["intent"]["ticket"] == document["matching"][0]["voucher"]["ticket"] == "A1"


def test_what_was_keyed_in_and_what_a_closed_batch_took(called: Run, server: TcpServer, at: tuple[str, ...]) -> None:
    assert called("sale", "1000", "--ticket", "=A1", *at).code == 0
    assert called("close-batch", *at).code == 0
    server.key_in(70_500)
    ended = called("reconcile", *at)
    assert ended.code == 9
    for words in (
        "sale of 1,000 CLP, ticket =A1",
        "70,500 CLP",
        "the batch may have been closed",
        "****0042",
    ):
        assert words in ended.out
    assert all(len(line) <= 80 for line in ended.out.splitlines())
    table = called("reconcile", "--csv", *at)
    assert table.code == 9
    cells = {row["finding"]: row for row in csv.DictReader(io.StringIO(table.out))}
    assert (cells["only here"]["amount_here"], cells["only here"]["ticket_here"]) == ("1000", "'=A1")
    assert (cells["only there"]["amount_there"], cells["only there"]["intent_id"]) == ("70500", "")
    # From a day on that has not begun, nothing is missed.
    assert called("reconcile", "--since", "2999-01-01", "--json", *at).document["only_here"] == []


def test_what_differs(called: Run, terminal: VirtualTerminal, at: tuple[str, ...]) -> None:
    assert called("sale", "1000", "--ticket", "A1", *at).code == 0
    row = {"Amount": 900, "Ticket": "B7"}
    [entry] = terminal.ledger.entries
    details = {"FunctionCode": 100, "AuthorizationCode": entry.authorization_code, "OperationId": entry.operation_id}
    terminal.answers[105] = Behaviour(change={"SaleDetails": [{**details, "RealDate": entry.real_date, **row}]})
    ended = called("reconcile", *at)
    assert ended.code == 9
    shown = " ".join(ended.out.split())
    for words in ("sale amount 1,000 CLP 900 CLP", "sale ticket A1 B7"):
        assert words in shown
    [pair] = called("reconcile", "--json", *at).document["differing"]
    assert pair["differs"] == ["amount", "ticket"]


def test_an_unknown_outcome_is_shown_with_what_settles_it(
    called: Run, terminal: VirtualTerminal, at: tuple[str, ...]
) -> None:
    # It charges, says nothing, and does not tell its last voucher.
    terminal.script.append(Behaviour(reply_after=math.inf))
    terminal.answers[101] = Behaviour(change={"FunctionCode": 0, "ResponseCode": 5})
    quick = ("--timeout", "0.3", "--recovery", "0.2")
    unknown = called("sale", "1000", "--ticket", "A1", *quick, *at)
    assert unknown.code == 5, unknown
    ended = called("reconcile", "--timeout", "1", "--recovery", "0.2", *at)
    assert ended.code == 5, ended
    [intent] = called("intents", "--json").document
    for words in (
        "unknown: sale of 1,000 CLP, ticket A1",
        "could be operation 1, sale, of 1,000 CLP, ticket A1",
        f'getnet-pos resolve {intent["intent_id"][:12]} --paid --by NAME --note "operation 1 of the record"',
    ):
        assert words in ended.out, ended
    assert [one["state"] for one in called("intents", "--json").document] == ["UNKNOWN"], "nothing is settled by it"
    assert called("resolve", intent["intent_id"], "--paid", "--by", "Ana", "--note", "operation 1").code == 0
    assert called("reconcile", "--timeout", "1", "--recovery", "0.2", *at).code == 0


def test_no_card_number_is_shown(called: Run, terminal: VirtualTerminal, at: tuple[str, ...]) -> None:
    number = "4000001234567899"
    row = {"FunctionCode": 100, "Amount": 5, "Ticket": number, "AccountNumber": number, "Bin": "40000012"}
    terminal.answers[105] = Behaviour(change={"SaleDetails": [{**row, "OperationId": 1, "Last4Digits": number}]})
    for options in ([], ["--json"], ["--csv"]):
        ended = called("reconcile", *options, *at)
        assert (ended.code, "40000012" in ended.out + ended.err) == (9, False), ended


@pytest.mark.parametrize(
    ("options", "said"),
    [(["--since", "yesterday"], "--since must be a date"), (["--csv", "--json"], "cannot be combined")],
)
def test_wrong_use(called: Run, options: list[str], said: str) -> None:
    ended = called("reconcile", "--tcp", "127.0.0.1:1", *options)
    assert (ended.code, said in ended.err) == (2, True)
