"""Each way for a command to end: its exit code, its line, its object."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from getnet_pos import ApiError, ServerError, SqliteJournal, errors
from getnet_pos.cli.ends import ExitCode, clean, exit_code
from tests.processes import Command

needs_pty = pytest.mark.skipif(os.name != "posix", reason="this system has no pseudo-terminals")

Run = Callable[..., Any]
DOUBT = ("--timeout", "0.5", "--recovery", "0.2")


@pytest.fixture
def dead_port() -> Iterator[str]:
    """A port that nobody answers on."""
    master, slave = os.openpty()
    yield os.ttyname(slave)
    os.close(slave)
    os.close(master)


def interrupt(process: Command, once: Callable[[], bool]) -> None:
    """Ctrl-C, as soon as something is so."""
    deadline = time.monotonic() + 30
    while not once():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)


def states(journal_path: Path) -> list[str]:
    """Those of the commands that are unsettled."""
    if not journal_path.exists():
        return []
    with contextlib.closing(SqliteJournal(journal_path)) as book:
        return [intent.state.value for intent in book.intents()]


def selling(journal_path: Path) -> bool:
    """Whether the terminal has the sale. That it was accepted is written with the result."""
    begun = states(journal_path) == ["INTENT"]
    time.sleep(0.5 * begun)
    return begun


def check_error(ended: Any, code: int, kind: str) -> dict[str, Any]:
    """One JSON object on standard output, one readable line on standard error."""
    assert ended.code == code, ended
    error: dict[str, Any] = ended.document["error"]
    assert error["type"] == kind
    [line] = [line for line in ended.err.splitlines() if not line.startswith("{")]
    assert line == f"error: {error['message']}"
    return error


def test_every_error_has_an_exit_code() -> None:
    codes = {
        "OutcomeUnknown": 5, "AlreadyCharged": 8, "JournalError": 6, "ApiError": 7, "ProtocolError": 4,
        "TransportError": 3, "TerminalBusy": 3, "ConfigurationError": 2, "LifecycleError": 2, "UnsupportedOperation": 2,
    }  # fmt: skip
    made = {name: getattr(errors, name) for name in codes}
    for name, kind in made.items():
        error = kind("text", intent_id="1") if name in ("OutcomeUnknown", "AlreadyCharged") else kind("text")
        assert exit_code(error) == codes[name]
    assert exit_code(ServerError("text", status=500)) == ExitCode.API
    assert issubclass(ServerError, ApiError)


def test_text_of_others_cannot_steer_the_screen() -> None:
    assert clean("a\x1b[2Jb\r\nc\u202ed") == "a\\x1b[2Jb  c\\u202ed"


@needs_pty
@pytest.mark.parametrize(("outcome", "code"), [("decline", 2001), ("cancel", 1006), ("time-out", 1006)])
def test_declined(simulate: Run, called: Run, outcome: str, code: int) -> None:
    port = simulate("--outcome", outcome)
    ended = called("sale", "1000", "--port", port, "--json")
    assert (ended.code, ended.document["approved"]) == (1, False)
    assert f"not approved ({code})" in called("sale", "1000", "--port", port).out


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["sale"], "AMOUNT"),
        (["sale", "1000", "--wire", "morse"], "signed"),
        (["sale", "1000", "--employee", "0"], "--employee"),
        (["sale", "1000", "--ticket", "x" * 25], "ticket must have from 1 to 24"),
        (["sale", "1000", "--timeout", "0"], "timeout"),
        (["sale", "1000", "--recovery", "-1"], "recovery"),
        (["sale", "1000", "--no-such-option"], "--no-such-option"),
        (["void", "-5"], "negative"),
        (["void", "0"], "operation_id must be from 1"),
        (["void", "one"], "OPERATION_ID must be an operation number"),
        (["resolve", "a", "--by", "x", "--note", "y"], "say --paid or --not-paid"),
        (["journal", "check"], "name the journal"),
        (["terminals", "--branch", "3"], "--branch needs --cloud"),
        (["print", "no such file"], "print needs a text FILE"),
        (["refund", "123", "1000"], "authorization_code must have from 4 to 20"),
        (["report", "weather"], "weather"),
        (["nonsense"], "nonsense"),
        (["simulate"], "command"),
        (["simulate", "serial", "--outcome", "maybe"], "maybe"),
        (["resolve", "x", "--paid", "--by", "Ana"], "--note"),
        (["decode"], "nothing to decode"),
    ],
)
def test_wrong_use(called: Run, args: list[str], words: str) -> None:
    ended = called(*args)
    assert ended.code == 2, ended
    assert ended.out == ""
    assert ended.err.startswith("error: ")
    assert ended.err.count("\n") == 1
    assert words in ended.err


def test_wrong_use_as_an_object(called: Run) -> None:
    check_error(called("sale", "--json"), 2, "UsageError")
    check_error(called("sale", "1.000", "--json"), 2, "InvalidValue")


@needs_pty
def test_port_that_is_not_there(called: Run) -> None:
    error = check_error(called("poll", "--port", "/dev/there-is-no-such-port", "--json"), 3, "ConnectError")
    assert "plug the terminal in" in error["message"]


@needs_pty
def test_nobody_answers(called: Run, dead_port: str) -> None:
    check_error(called("poll", "--port", dead_port, "--timeout", "0.5", "--json"), 3, "DeadlineExceeded")


@needs_pty
def test_port_that_echoes(simulate: Run, called: Run) -> None:
    ended = called("poll", "--port", simulate("--echo"), "--json")
    assert (ended.code, ended.document["error"]["type"]) == (4, "UnexpectedReply")


@needs_pty
@pytest.mark.parametrize("behaviour", [["--outcome", "silent"], ["--not-accepted"]], ids=" ".join)
def test_outcome_nobody_knows_is_kept_and_resolved(simulate: Run, called: Run, behaviour: list[str]) -> None:
    port = simulate(*behaviour)
    ended = called("sale", "1000", "--ticket", "A1", "--port", port, "--json", *DOUBT)
    error = check_error(ended, 5, "OutcomeUnknown")

    [intent] = called("intents", "--json").document
    assert list(intent)[:6] == ["intent_id", "terminal", "command", "ticket", "amount", "state"]
    assert list(intent.values())[:6] == [error["intent_id"], f"usb:{port}", 100, "A1", 1000, "UNKNOWN"]
    recovered = called("recover", "--port", port, "--json", *DOUBT)
    assert (recovered.code, [one["intent_id"] for one in recovered.document["unknown"]]) == (5, [error["intent_id"]])
    shown = called("recover", "--port", port, *DOUBT)
    assert (shown.code, error["intent_id"][:12] in shown.out) == (5, True)

    resolving = ("resolve", error["intent_id"], "--not-paid", "--by", "Ana", "--note", "no voucher")
    assert error["intent_id"] in called(*resolving).out
    assert called("intents", "--json").document == []
    assert called("recover", "--port", port, "--json", *DOUBT).code == 0
    check_error(called(*resolving, "--json"), 2, "InvalidValue")


@needs_pty
def test_journal_that_cannot_be_kept(simulate: Run, called: Run, tmp_path: Path) -> None:
    port = simulate()
    damaged = tmp_path / "damaged"
    damaged.write_bytes(b"this is no database, and it is longer than the header of one " * 20)
    for place in (tmp_path, damaged):
        ended = called("sale", "1000", "--port", port, "--json", "--journal", str(place))
        check_error(ended, 6, "JournalError")
    assert called("report", "totals", "--port", port, "--json").document["tx_count"] == 0
    check_error(called("intents", "--json", "--journal", str(damaged)), 6, "JournalError")


@needs_pty
def test_ctrl_c_cancels_the_sale(simulate: Run, begin: Run, journal_path: Path) -> None:
    process = begin("sale", "1000", "--port", simulate("--delay", "inf"))
    interrupt(process, lambda: selling(journal_path))
    out, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "Operacion Cancelada" in out
    assert "note: asking the terminal to cancel; press Ctrl-C again to stop waiting\n" in err


@needs_pty
def test_second_ctrl_c_leaves_and_the_sale_stays_open(
    simulate: Run, begin: Run, called: Run, journal_path: Path
) -> None:
    port = simulate("--outcome", "silent")
    process = begin("sale", "1000", "--port", port, "--json")

    interrupt(process, lambda: selling(journal_path))
    assert "cancel" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    [intent] = called("intents", "--json").document
    assert process.returncode == 5
    assert f'"intent_id": "{intent["intent_id"]}"' in out
    assert "was left before its result arrived" in err
    assert (intent["state"], intent["amount"]) == ("ACCEPTED", 1000)
    assert called("recover", "--port", port, "--json", *DOUBT).code == 5


@needs_pty
def test_ctrl_c_with_nothing_open(begin: Run, dead_port: str, journal_path: Path) -> None:
    process = begin("poll", "--port", dead_port)
    interrupt(process, journal_path.exists)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "note: interrupted; no payment command was left open\n")
