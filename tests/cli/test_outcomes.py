"""What the command tells of payments whose outcome was not known, and of those that must not be made again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from getnet_pos import Intent, IntentState, SqliteJournal
from getnet_pos.simulator import Behaviour, Outcome, SerialServer, VirtualTerminal
from getnet_pos.simulator.replies import Identity

pytestmark = pytest.mark.skipif(os.name != "posix", reason="this system has no pseudo-terminals")

Run = Callable[..., Any]

LEFT = "0123456789abcdef0123456789abcdef"
QUICK = ("--timeout", "0.5", "--recovery", "0.3")


@pytest.fixture
def port(tmp_path: Path) -> str:
    """A name that may lead to one terminal now and to another one later."""
    return str(tmp_path / "terminal")


@pytest.fixture
def plug(port: str) -> Iterator[Callable[[VirtualTerminal], None]]:
    """Has the name lead to a terminal."""
    servers: list[SerialServer] = []

    def plug(terminal: VirtualTerminal) -> None:
        servers.append(SerialServer(terminal, gap=0))
        servers[-1].__enter__()
        Path(port).unlink(missing_ok=True)
        Path(port).symlink_to(servers[-1].device)

    yield plug
    for server in servers:
        server.close()


@pytest.fixture
def journal(journal_path: Path) -> Iterator[SqliteJournal]:
    book = SqliteJournal(journal_path)
    yield book
    book.close()


def left(journal: SqliteJournal, terminal: str, **more: Any) -> Intent:
    """A sale that an earlier run has sent, and of which it never got the result."""
    asked = Intent(intent_id=LEFT, terminal=terminal, command=100, amount=1_000, ticket="L1", **more)
    sent = replace(asked, state=IntentState.SENT)
    journal.record(asked)
    journal.record(sent)
    return sent


def states(called: Run) -> list[str]:
    return [one["state"] for one in called("intents", "--all", "--json").document]


# --------------------------------------------------------------------------------------- a register that was killed


def test_a_sale_that_was_paid_after_its_register_was_killed(begin: Run, simulate: Run, called: Run) -> None:
    port = simulate("--reply-after", "inf", "--times", "1")
    dying = begin("sale", "1000", "--ticket", "A1", "--port", port)
    deadline = time.monotonic() + 30
    while "INTENT" not in states(called):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.5)  # until the terminal has it: that it was accepted is written with the result
    dying.kill()
    dying.wait()

    recovered = called("recover", "--port", port)
    assert recovered.code == 0
    assert "settled now" in recovered.out
    assert "APPROVED  sale of 1,000, ticket A1" in recovered.out
    assert "settled by recovery" in recovered.out
    assert "nothing" not in recovered.out

    # Whoever runs the sale again has not heard of it.
    again = called("sale", "1000", "--ticket", "A1", "--port", port)
    assert again.code == 8
    assert "nothing was sent" in again.err
    assert "--again" in again.err
    assert "approved" in again.out
    [intent] = called("intents", "--all", "--json").document
    document = called("sale", "1000", "--ticket", "A1", "--port", port, "--json").document
    assert document["error"]["type"] == "AlreadyCharged"
    assert document["error"]["intent_id"] == intent["intent_id"]
    assert document["error"]["found"] == "recovery"
    assert document["error"]["reply"]["authorization_code"] == intent["authorization_code"]

    # Another ticket is another sale, and so is one that is meant.
    assert called("sale", "1000", "--ticket", "A2", "--port", port).code == 0
    assert called("sale", "1000", "--ticket", "A1", "--again", "--port", port).code == 0
    assert called("report", "totals", "--port", port, "--json").document["tx_count"] == 3


def test_the_next_sale_tells_what_became_of_the_one_before(
    plug: Run, port: str, journal: SqliteJournal, called: Run
) -> None:
    left(journal, f"usb:{port}")
    plug(VirtualTerminal())
    ended = called("sale", "2000", "--ticket", "L2", "--port", port, "--json", *QUICK)
    assert ended.code == 0
    assert f"not settled: sale of 1,000, ticket L1: UNKNOWN (intent {LEFT})" in [
        one.get("note") for one in ended.asides
    ]


def test_nothing_to_recover(plug: Run, port: str, called: Run) -> None:
    plug(VirtualTerminal())
    recovered = called("recover", "--port", port)
    assert (recovered.code, recovered.out) == (0, "every payment is settled\n")
    assert called("recover", "--port", port, "--json").document == {
        "settled": [], "unknown": [], "in_progress": [], "elsewhere": [], "another_terminal": None,
    }  # fmt: skip


# ----------------------------------------------------------------------------------------------------- idempotency keys


def test_a_key_is_one_payment(plug: Run, port: str, called: Run) -> None:
    terminal = VirtualTerminal()
    plug(terminal)
    sale = ("sale", "1000", "--idempotency-key", "order 7", "--port", port)
    first = called(*sale, "--json").document
    stored = called(*sale, "--json").document
    assert (first["recovered"], stored["recovered"]) == (False, True)
    assert stored["authorization_code"] == first["authorization_code"]
    assert "nothing was sent now" in called(*sale).err
    other = called("sale", "1001", "--idempotency-key", "order 7", "--port", port)
    assert (other.code, "a different command" in other.err) == (2, True)
    assert len(terminal.ledger.charges()) == 1


@pytest.mark.parametrize("command", ["refund", "void"])
def test_a_refund_and_a_void_take_a_key_too(plug: Run, port: str, called: Run, command: str) -> None:
    terminal = VirtualTerminal()
    plug(terminal)
    sold = called("sale", "1000", "--port", port, "--json").document
    what = (sold["authorization_code"], "1000") if command == "refund" else (str(sold["operation_id"]),)
    ends = [called(command, *what, "--idempotency-key", "back 7", "--port", port) for _ in range(2)]
    assert [ended.code for ended in ends] == [0, 0]
    assert terminal.ledger.balance() == 0


# -------------------------------------------------------------------------------------------------- what stays unknown


def test_why_it_is_unknown_is_told(plug: Run, port: str, called: Run) -> None:
    """The terminal has no paper: it does not say whether the card was charged."""
    no_paper = Behaviour(outcome=Outcome.DECLINE, response_code=1004, response_message="Sin papel")
    plug(VirtualTerminal(script=[no_paper]))
    ended = called("sale", "1000", "--ticket", "A1", "--port", port, "--json", *QUICK)
    assert ended.code == 5
    error = ended.document["error"]
    assert "the terminal answered 1004 (Sin papel)" in error["reason"]
    assert error["reason"] in error["message"]
    assert error["reason"] in ended.err

    [intent] = called("intents", "--json").document
    assert (intent["state"], intent["reason"], intent["found"]) == ("UNKNOWN", error["reason"], None)
    assert "why it was queried: " in called("intents").out
    for command in ("poll", "recover"):
        assert called(command, "--port", port, "--json").document["unknown"][0]["reason"] == error["reason"]
        shown = called(command, "--port", port)
        assert "do not charge again" in shown.out
        assert shown.code == (5 if command == "recover" else 0)

    # The same sale again asks a person first, and says why.
    again = called("sale", "1000", "--ticket", "A1", "--port", port, "--json")
    assert (again.code, again.document["error"]["reason"]) == (5, error["reason"])


def test_what_another_process_waits_for(plug: Run, port: str, journal: SqliteJournal, called: Run) -> None:
    intent = left(journal, f"usb:{port}")
    plug(VirtualTerminal())
    lease = journal.claim(intent.intent_id)
    assert lease is not None
    recovered = called("recover", "--port", port, "--json")
    assert (recovered.code, recovered.document["unknown"]) == (0, [])
    assert [one["intent_id"] for one in recovered.document["in_progress"]] == [LEFT]
    assert "in progress in another process" in called("poll", "--port", port).out
    resolved = called("resolve", LEFT[:4], "--not-paid", "--by", "Ana", "--note", "no voucher")
    assert (resolved.code, "is in progress" in resolved.err) == (2, True)
    busy = called("sale", "1000", "--ticket", "L2", "--port", port)
    assert (busy.code, "another process is running" in busy.err) == (3, True)
    lease.release()
    assert called("resolve", LEFT[:4], "--not-paid", "--by", "Ana", "--note", "no voucher").code == 0


def test_a_decision_that_a_reply_contradicts(journal: SqliteJournal, called: Run) -> None:
    sent = left(journal, "usb:x", terminal_id="T1")
    journal.record(replace(sent, state=IntentState.UNKNOWN, reason="no reply in time"))
    journal.resolve(LEFT, paid=False, by="Ana", note="no voucher")
    [decided] = journal.intents(settled=True)
    contradicted = replace(decided, state=IntentState.CONTRADICTED, found="late reply", authorization_code="123456")
    journal.record(contradicted)
    shown = called("intents").out
    for part in ("CONTRADICTED", "settled by a late reply", "decided by Ana: no voucher", "terminal id T1", "123456"):
        assert part in shown
    [document] = called("intents", "--json").document
    assert (document["state"], document["found"], document["terminal_id"]) == ("CONTRADICTED", "late reply", "T1")


# ------------------------------------------------------------------------------------------------------ other terminals


def test_a_terminal_that_is_not_here(plug: Run, port: str, journal: SqliteJournal, called: Run) -> None:
    left(journal, "usb:/dev/elsewhere", terminal_id="T1", device="usb:2FB8:225E:1")
    plug(VirtualTerminal())
    recovered = called("recover", "--port", port, "--json")
    assert recovered.code == 5
    [one] = recovered.document["elsewhere"]
    assert (one["intent_id"], one["terminal"], one["device"]) == (LEFT, "usb:/dev/elsewhere", "usb:2FB8:225E:1")
    assert recovered.document["unknown"] == []
    shown = called("poll", "--port", port).out
    assert "not settled, on other terminals:" in shown
    assert "usb:/dev/elsewhere, terminal id T1" in shown
    looked = {one["what"]: one for one in called("doctor", "--port", port, "--json").document["findings"]}
    assert "usb:/dev/elsewhere" in looked["other terminals"]["found"]
    assert not looked["other terminals"]["well"]


def test_another_terminal_at_this_place(plug: Run, port: str, called: Run) -> None:
    plug(VirtualTerminal())
    assert called("sale", "1000", "--ticket", "A1", "--port", port).code == 0
    plug(VirtualTerminal(identity=Identity(terminal_id="80005001")))
    told = "another terminal answers at "
    assert called("poll", "--port", port, "--json").document["another_terminal"].startswith(told)
    assert told in called("recover", "--port", port).out
    looked = {one["what"]: one for one in called("doctor", "--port", port, "--json").document["findings"]}
    assert "80005001" in looked["which terminal"]["found"]


def test_its_own_terminal_alone_settles_a_sale(plug: Run, port: str, called: Run) -> None:
    """Two terminals that are swapped while a sale is in doubt: the voucher of the other one proves nothing."""
    mine = VirtualTerminal(script=[Behaviour(), Behaviour(reply_after=float("inf"), record_after=60)])
    other = VirtualTerminal(identity=Identity(terminal_id="80005001", commerce_code=99), seed=1)
    plug(mine)
    assert called("sale", "500", "--ticket", "A0", "--port", port).code == 0
    assert called("sale", "1000", "--ticket", "A1", "--port", port, *QUICK).code == 5
    plug(other)
    assert called("sale", "1000", "--ticket", "A2", "--port", port).code == 0
    recovered = called("recover", "--port", port, "--json")
    assert recovered.code == 5
    assert recovered.document["settled"] == []
    assert states(called).count("UNKNOWN") == 1
