"""Holds, cancelling, printing and the reports of employees, from the command line."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from getnet_pos import Profile
from getnet_pos.simulator import Behaviour, Outcome, TcpServer, VirtualTerminal
from getnet_pos.simulator.cloud import VirtualCloud

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


def test_a_sale_of_another_process_is_cancelled(
    called: Run, begin: Run, monkeypatch: pytest.MonkeyPatch, at: tuple[str, ...]
) -> None:
    for name in ("GETNET_POS_CLIENT_ID", "GETNET_POS_CLIENT_SECRET"):
        monkeypatch.setenv(name, "any")
    with VirtualCloud(profile=Profile.ARGENTINA) as cloud:
        cloud.terminal.script.append(Behaviour(decide_after=math.inf))
        through = ("--cloud", cloud.url, "--key-pos", str(cloud.key_pos), "--profile", "ar")
        sale = begin("sale", "1000", "--json", *through)
        while not cloud.terminal.busy:
            time.sleep(0.01)
        ended = called("cancel", *through)
        assert (ended.code, "approved" in ended.out) == (0, True), ended
        out, _ = sale.communicate()
        assert (sale.wait(30), '"approved": false' in out) == (1, True)
        assert cloud.terminal.ledger.entries == ()
    assert called("cancel", *at).code == 1, "there is none in progress"


def test_reports_of_employees(called: Run, at: tuple[str, ...]) -> None:
    assert called("sale", "1500", "--employee", "7", *at).code == 0
    assert len(called("sales-by-seller", "--employee", "7", "--json", *at).document["sale_details"]) == 1
    assert "1,500" in called("sales-by-seller", "--employee", "7", *at).out
    assert "1,500" in called("tips", "--employee", "7", *at).out


def test_what_codes_mean(called: Run, terminal: VirtualTerminal, at: tuple[str, ...]) -> None:
    terminal.script.append(Behaviour(outcome=Outcome.DECLINE, response_code=1006))
    ended = called("sale", "1000", *at)
    assert (ended.code, "1006 means: cancelled at the terminal, or given up there" in ended.out) == (1, True)
    terminal.answers[101] = Behaviour(change={"ResponseCode": 21})
    assert "21 means: not found" in called("last", *at).out
    # What it means to a payment is not known.
    terminal.script.append(Behaviour(outcome=Outcome.DECLINE, response_code=21))
    assert "means" not in called("sale", "1000", *at).out


def test_printing_is_for_a_cloud(called: Run, begin: Run, at: tuple[str, ...], tmp_path: Path) -> None:
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
    server.terminate()
    assert server.wait(30) == 0


@pytest.mark.parametrize("command", ["sale", "terminals", "serve", "journal init", "simulate tcp", "decode", ""])
def test_help_names_no_type_of_python(called: Run, command: str) -> None:
    shown = called(*command.split(), "--help").out
    for word in ("<str>", "<bool>", "<int", "<list", "Of --"):
        assert word not in shown
