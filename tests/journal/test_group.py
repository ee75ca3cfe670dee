"""What comes while the disk is busy is written together: one sync, each caller told of its own step, no event loop held
up; and what becomes of the steps that nobody waits for."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from getnet_pos import AsyncConnector
from getnet_pos.drivers.aio import AsyncDriver
from getnet_pos.errors import InvalidValue, JournalError
from getnet_pos.flows.effects import Claim, Intents, Recall, Record, Resolve, Unsettled
from getnet_pos.journal import Journal, MemoryJournal, Search, SqliteJournal
from getnet_pos.messages import FINAL_STATES, Intent, IntentState
from getnet_pos.simulator import TcpServer, VirtualTerminal
from tests.journal.samples import OPEN, PAID, TERMINAL, UNKNOWN, intent, record

posix = pytest.mark.skipif(os.name != "posix", reason="as POSIX does it")


@pytest.fixture
def path(folder: Path) -> Path:
    return folder / "journal.sqlite3"


@pytest.fixture
def journal(path: Path) -> Iterator[SqliteJournal]:
    with contextlib.closing(SqliteJournal(path)) as file:
        yield file


@contextlib.contextmanager
def busy(journal: SqliteJournal) -> Iterator[None]:
    """While the journal is, as with a slow disk."""
    begun, ends = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        assert ends.wait(30)

    working = journal.submit(wait)
    assert begun.wait(30)
    try:
        yield
    finally:
        ends.set()
        working.result(30)


@contextlib.contextmanager
def commits(journal: SqliteJournal) -> Iterator[list[str]]:
    """Every writing transaction, seen where it begins."""
    seen: list[str] = []
    connection = journal._file._connected()
    connection.set_trace_callback(lambda sql: seen.append(sql) if sql == "BEGIN IMMEDIATE" else None)
    yield seen
    connection.set_trace_callback(None)


def at(place: int, state: IntentState = IntentState.INTENT) -> Intent:
    """A step of a payment at a terminal of its own."""
    return replace(intent(place, terminal=f"usb:{place}"), state=state)


# ----------------------------------------------------------------------------------------------------------- one sync


def test_what_waits_shares_one_commit(journal: SqliteJournal) -> None:
    with commits(journal) as seen, ThreadPoolExecutor(16) as threads:
        with busy(journal):
            waiting = [threads.submit(journal.record, at(place)) for place in range(16)]
            while len(journal._worker._works) < 16:
                time.sleep(0.001)
            assert not any(step.done() for step in waiting)
        for step in waiting:
            step.result(30)
    assert len(seen) == 1
    assert len(journal.intents()) == 16


def test_two_commits_a_payment(journal: SqliteJournal) -> None:
    with commits(journal) as seen:
        for number in range(5):
            record(journal, intent(number), *PAID)
    assert len(seen) == 2 * 5
    assert len(journal.steps()) == 4 * 5, "and every step is there"


def test_a_step_that_is_refused_touches_no_other(journal: SqliteJournal) -> None:
    """Whether the rules refuse it, or it could not be read again."""
    record(journal, at(1), *OPEN)
    with busy(journal):
        refused: list[Future[None]] = [
            journal.submit(journal.record, one)
            for one in (
                replace(intent(2, terminal="usb:1")),
                at(3, IntentState.APPROVED),
                replace(at(4), amount=1.5),  # type: ignore[arg-type]  # wrong on purpose
                replace(at(5), ticket="\ud800"),
            )
        ]
        taken = [journal.submit(journal.record, at(place)) for place in (6, 7)]
        twice = journal.submit(journal.record, at(6))
    for step, why in zip(refused, ("has the open intent", "not in the journal", "a float", "surrogates"), strict=True):
        with pytest.raises(JournalError, match=why):
            step.result(30)
    with pytest.raises(JournalError, match="cannot go from INTENT to INTENT"):
        twice.result(30)
    for step in taken:
        step.result(30)
    assert [one.ticket for one in journal.intents()] == ["T1", "T6", "T7"]


def test_a_commit_that_fails_is_told_to_all_that_wait(
    journal: SqliteJournal, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each gets an error of its own; of what nobody waits for the log tells. With the disk free again all goes on."""
    monkeypatch.setattr("getnet_pos.journal.file._WAIT", 0.05)
    journal.close()  # and opened anew, to wait no longer than that
    record(journal, at(1), IntentState.INTENT)
    with contextlib.closing(sqlite3.connect(path)) as other:
        with busy(journal):
            other.execute("BEGIN IMMEDIATE")
            journal.record(at(1, IntentState.SENT))
            waiting = [journal.submit(journal.record, at(place)) for place in (2, 3)]
        told = [step.exception(30) for step in waiting]
    assert ["Another process keeps it locked" in str(error) for error in told] == [True, True]
    assert told[0] is not told[1]
    assert f"state SENT of intent {at(1).intent_id} could not be recorded" in caplog.text
    assert [str(step.intent.state) for step in journal.steps()] == ["INTENT"]
    journal.record(at(1, IntentState.APPROVED))
    record(journal, at(2), *PAID)


# --------------------------------------------------------------------------------------- the steps nobody waits for


def _states(path: Path) -> list[str]:
    """As another process finds them."""
    with contextlib.closing(SqliteJournal(path)) as other:
        return [str(step.intent.state) for step in other.steps()]


def test_a_step_that_nobody_waits_for_is_written_with_the_next(journal: SqliteJournal, path: Path) -> None:
    record(journal, at(1), *OPEN)
    assert _states(path) == ["INTENT"]
    journal.record(at(2))
    assert _states(path) == ["INTENT", "SENT", "ACCEPTED", "INTENT"], "in the order of their coming"


@pytest.mark.parametrize(
    "question",
    [
        lambda journal: journal.intents(),
        lambda journal: journal.steps(),
        lambda journal: journal.unsettled("usb:1"),
        lambda journal: journal.recent("usb:1"),
        lambda journal: journal.find(Search(terminal="usb:1")),
        lambda journal: journal.resolve("", paid=True, by="Ana", note="x"),
        lambda journal: journal.close(),
    ],
    ids=["intents", "steps", "unsettled", "recent", "find", "resolve", "close"],
)
def test_who_asks_is_told_of_it(journal: SqliteJournal, path: Path, question: Callable[[Journal], object]) -> None:
    record(journal, at(1), *OPEN)
    with contextlib.suppress(InvalidValue):
        question(journal)
    assert _states(path) == ["INTENT", "SENT", "ACCEPTED"]


def test_to_look_before_a_payment_costs_the_others_no_sync(journal: SqliteJournal) -> None:
    record(journal, at(1), *OPEN)
    with commits(journal) as seen:
        assert journal.find(Search(terminal="usb:2", ticket="T2", amount=1000)) == []
    assert seen == []


def test_what_may_be_lost_tells_nothing_that_is_needed() -> None:
    """A cloud's number is asked by after a crash: it is waited for."""
    for state in IntentState:
        numbered = replace(intent(1), state=state, transaction_id="17")
        assert not numbered.passing
        assert replace(numbered, transaction_id=None).passing is (state.value in ("SENT", "ACCEPTED", "RECOVERING"))
        assert not (state in FINAL_STATES and numbered.passing)


_WRITES = """
    import os, sys
    sys.path[:0] = {path!r}
    from getnet_pos.journal import SqliteJournal
    from tests.journal.samples import *
    journal = SqliteJournal({file!r})
    record(journal, intent(1), *OPEN)
    {end}
"""


@pytest.mark.parametrize(
    ("end", "states"),
    [
        ("", ["INTENT", "SENT", "ACCEPTED"]),
        ("del journal", ["INTENT", "SENT", "ACCEPTED"]),
        ("raise SystemExit(0)", ["INTENT", "SENT", "ACCEPTED"]),
        ("os._exit(0)", ["INTENT"]),
    ],
    ids=["ends", "forgets", "exits", "is gone"],
)
def test_what_a_process_leaves(path: Path, end: str, states: list[str]) -> None:
    """One that is gone at once, as by ``kill -9``, leaves what was waited for, and that is enough to ask by."""
    script = textwrap.dedent(_WRITES).format(path=sys.path, file=str(path), end=end)
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
    assert _states(path) == states
    with contextlib.closing(SqliteJournal(path)) as journal:
        assert [one.open for one in journal.unsettled(TERMINAL)] == [True]
        record(journal, intent(1), *UNKNOWN[3:])


def test_a_journal_that_is_forgotten_leaves_no_thread(path: Path) -> None:
    journal = SqliteJournal(path)
    record(journal, intent(1), *OPEN)
    thread = journal._worker._thread
    assert thread is not None
    del journal
    thread.join(30)
    assert not thread.is_alive()
    assert _states(path) == ["INTENT", "SENT", "ACCEPTED"]


# --------------------------------------------------------------------------------------------------- who waits, and how


@posix
def test_an_interruption_of_who_waits_hurts_nobody(journal: SqliteJournal) -> None:
    """The step is written all the same, before any later one, and nobody hangs."""
    main = threading.main_thread().ident
    assert main is not None
    with busy(journal):
        threading.Timer(0.05, signal.pthread_kill, (main, signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            journal.record(at(1))
    journal.record(at(1, IntentState.NOT_SENT))
    record(journal, at(2), *PAID)
    assert [str(step.intent.state) for step in journal.steps(at(1).intent_id)] == ["INTENT", "NOT_SENT"]


class _NoExecutor(ThreadPoolExecutor):
    def submit(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("the default executor is everybody's: the journal keeps out of it")


async def test_a_locked_journal_holds_up_no_event_loop(path: Path) -> None:
    """Neither its opening nor a payment: they wait, and all else goes on."""
    SqliteJournal(path).close()
    asyncio.get_running_loop().set_default_executor(_NoExecutor())
    lags: list[float] = []

    async def tick() -> None:
        while True:
            begun = time.perf_counter()
            await asyncio.sleep(0.005)
            lags.append(time.perf_counter() - begun)

    ticking = asyncio.create_task(tick())
    with TcpServer(VirtualTerminal()) as server, contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        pos = AsyncConnector.create_tcp(*server.address, journal=path)
        polling = asyncio.create_task(pos.polling())
        await asyncio.sleep(0.2)
        assert not polling.done()
        other.execute("ROLLBACK")
        await polling
        other.execute("BEGIN EXCLUSIVE")
        sale = asyncio.create_task(pos.sale(1_000))
        await asyncio.sleep(0.2)
        assert server.terminal.ledger.entries == (), "nothing left before its intent was written"
        other.execute("ROLLBACK")
        assert (await sale).approved
        await pos.close()
    ticking.cancel()
    assert sorted(lags)[len(lags) * 9 // 10] < 0.1


@pytest.mark.parametrize("own_thread", [True, False], ids=["file", "memory"])
async def test_every_call_on_asyncio(path: Path, own_thread: bool) -> None:
    """Through the journal's own thread, or through others where it has none."""
    journal: Journal = SqliteJournal(path) if own_thread else MemoryJournal()
    driver = AsyncDriver(journal=lambda: journal)
    one = replace(intent(1), ticket="A1")

    def flow() -> Any:
        lease = yield Claim(one.intent_id)
        for state in OPEN:
            yield Record(replace(one, state=state))
        found = yield Recall(Search(terminal=TERMINAL))
        elsewhere = yield Unsettled(Search(terminal="usb:another"), 5)
        lease.release()
        decided = yield Resolve(one.intent_id, True, "Ana", "voucher 7")
        with pytest.raises(JournalError, match="is settled"):
            yield Record(replace(one, state=IntentState.UNKNOWN))
        return found, elsewhere, decided, (yield Intents(settled=True))

    found, elsewhere, decided, intents = await driver.run(flow())
    assert [step.intent.state for step in found] == [step.intent.state for step in elsewhere] == [IntentState.ACCEPTED]
    assert intents == [decided]


def test_many_writers_of_one_file(path: Path) -> None:
    """Two objects of one file at full load: each gets its turn, and nothing is lost."""
    journals = [SqliteJournal(path), SqliteJournal(path)]

    def pay(place: int) -> None:
        for number in range(3):
            one = replace(at(place), intent_id=f"{place:016x}{number:016x}", ticket=f"T{place}/{number}")
            record(journals[place % 2], one, *PAID)

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(pay, range(16)))
    for journal in journals:
        assert journal.intents() == []
        assert [step.sequence for step in journal.steps()].count(3) == 16 * 3
        journal.close()
