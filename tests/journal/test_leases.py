"""An intent in progress belongs to somebody living: the others see that, and death or the end of the work ends it."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from getnet_pos.errors import InvalidValue, JournalError
from getnet_pos.journal import Journal, SqliteJournal
from getnet_pos.messages import IntentState
from tests.evidence import Count
from tests.journal.samples import OPEN, intent, record

posix = pytest.mark.skipif(os.name != "posix", reason="as POSIX does it")
SALE = intent(1).intent_id

WITHOUT_PLACES = """
    import contextlib
    with contextlib.suppress(ImportError):  # as on Windows
        import fcntl
        fcntl.F_OFD_SETLK = 999  # as where the system knows no such locks
"""


@pytest.fixture(autouse=True, params=["as this system does it", "a file for each intent"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What another process runs first to hold leases in the same way as this one."""
    if request.param == "as this system does it":
        return ""
    if os.name == "posix":
        monkeypatch.setattr("fcntl.F_OFD_SETLK", 999, raising=False)
    return textwrap.dedent(WITHOUT_PLACES)


def test_one_holder_at_a_time(journal: Journal) -> None:
    lease = journal.claim(SALE)
    assert lease is not None
    assert journal.claim(SALE) is None
    assert journal.claim(intent(2).intent_id) is not None
    lease.release()
    lease.release()
    assert journal.claim(SALE) is not None


def test_a_lease_that_is_forgotten_is_released(journal: Journal) -> None:
    """As when the call that held it ended in a way that nobody had thought of."""
    lease = journal.claim(SALE)
    del lease
    gc.collect()
    assert journal.claim(SALE) is not None


def test_nobody_decides_about_what_is_in_progress(journal: Journal) -> None:
    record(journal, intent(1), *OPEN)
    lease = journal.claim(SALE)
    assert lease is not None
    with pytest.raises(InvalidValue, match=f"{SALE} is in progress: cancel the payment, or wait until it has ended"):
        journal.resolve(SALE, paid=False, by="Ana", note="no voucher")
    lease.release()
    assert journal.resolve(SALE, paid=False, by="Ana", note="no voucher").state is IntentState.RESOLVED_NOT_PAID
    assert journal.claim(SALE) is not None, "who has decided holds it no longer"


def test_two_objects_of_one_file_see_each_other(path: Path) -> None:
    lease = SqliteJournal(path).claim(SALE)
    assert SqliteJournal(path).claim(SALE) is None
    assert lease is not None


def test_of_a_thousand_leases_one_empty_file_is_left(path: Path) -> None:
    journal = SqliteJournal(path)
    for number in range(1000):
        lease = journal.claim(intent(number).intent_id)
        assert lease is not None
        lease.release()
    assert [(file.name, file.stat().st_size) for file in _leases(path)] in ([("held", 0)], [])


@pytest.mark.parametrize("name", ["../../etc", "", "a" * 300, "ñ", "CON/"])
def test_any_id_may_be_held(path: Path, name: str) -> None:
    journal = SqliteJournal(path)
    lease = journal.claim(name)
    assert lease is not None
    assert journal.claim(name) is None


@posix
def test_a_lease_that_cannot_be_had_is_an_error(path: Path) -> None:
    """And not an intent that nobody holds."""
    journal = SqliteJournal(path)
    path.with_name("journal.sqlite3.leases").touch()
    with pytest.raises(JournalError, match="cannot be locked"):
        journal.claim(SALE)


# ------------------------------------------------------------------------------------------------------ other processes


@pytest.fixture
def path(folder: Path) -> Path:
    return folder / "journal.sqlite3"


def _leases(path: Path) -> list[Path]:
    return [*path.with_name(f"{path.name}.leases").iterdir()]


@pytest.fixture
def holder(path: Path, way: str) -> Iterator[subprocess.Popen[str]]:
    """Another process in the middle of a sale."""
    script = f"""
        import sys
        sys.path[:0] = {sys.path!r}
        from getnet_pos.journal import SqliteJournal
        from tests.journal.samples import *
        journal = SqliteJournal({str(path)!r})
        lease = journal.claim({SALE!r})
        record(journal, intent(1), *OPEN)
        print("selling", flush=True)
        input()
        record(journal, replace(intent(1), state=IntentState.APPROVED), IntentState.APPROVED)
        lease.release()
        print("sold", flush=True)
        input()
    """
    command = [sys.executable, "-c", way + textwrap.dedent(script)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert _line(process) == "selling"
            yield process
        finally:
            process.kill()


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def _go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def test_a_sale_in_another_process_is_left_alone_until_it_is_over(path: Path, holder: subprocess.Popen[str]) -> None:
    with contextlib.closing(SqliteJournal(path)) as journal:
        assert journal.claim(SALE) is None
        with pytest.raises(InvalidValue, match="is in progress"):
            journal.resolve(SALE, paid=False, by="Ana", note="no voucher")
        _go_on(holder)
        assert _line(holder) == "sold"
        assert journal.claim(SALE) is not None
        with pytest.raises(InvalidValue, match="is already settled"):
            journal.resolve(SALE, paid=False, by="Ana", note="no voucher")


@posix
def test_a_process_that_stands_still_keeps_its_sale(path: Path, holder: subprocess.Popen[str]) -> None:
    """It may wake up and go on: only its end is the end of its sale."""
    with contextlib.closing(SqliteJournal(path)) as journal:
        holder.send_signal(signal.SIGSTOP)
        assert journal.claim(SALE) is None
        holder.send_signal(signal.SIGCONT)
        _go_on(holder)
        assert _line(holder) == "sold"
        assert journal.intents() == []


@posix
def test_a_process_that_is_killed_leaves_its_sale_to_the_next(path: Path, holder: subprocess.Popen[str]) -> None:
    with contextlib.closing(SqliteJournal(path)) as journal:
        holder.kill()
        holder.wait()
        lease = journal.claim(SALE)
        assert lease is not None
        lease.release()
        assert journal.resolve(SALE, paid=False, by="Ana", note="no voucher").state is IntentState.RESOLVED_NOT_PAID


@posix
def test_a_child_of_a_fork_holds_nothing(path: Path, way: str) -> None:
    """Its end does not release what its parent holds, and its life does not prolong it."""
    script = f"""
        import os, sys, time
        sys.path[:0] = {sys.path!r}
        from getnet_pos.journal import SqliteJournal
        journal = SqliteJournal({str(path)!r})
        lease = journal.claim({SALE!r})
        if os.fork() == 0:
            sys.exit()
        os.wait()
        assert journal.claim({SALE!r}) is None
        if os.fork() == 0:
            os.close(1), os.close(2)
            time.sleep(5)  # lives longer than its parent
            os._exit(0)
        print("parent", flush=True)
        os.kill(os.getpid(), 9)
    """
    command = [sys.executable, "-W", "ignore", "-c", way + textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.stdout == "parent\n", done.stderr
    assert SqliteJournal(path).claim(SALE) is not None


@posix
def test_two_never_hold_one_intent(path: Path, count: Count) -> None:
    """However the taking of one and the removing of another's file fall together."""
    script = f"""
        import os, sys
        sys.path[:0] = {sys.path!r}
        from getnet_pos.journal import SqliteJournal
        journal, held = SqliteJournal({str(path)!r}), 0
        for _ in range({count(short=500, evidence=3_000, long=30_000)}):
            lease = journal.claim({SALE!r})
            if lease is not None:
                os.mkdir({str(path.with_name("inside"))!r})  # fails where somebody else is inside
                os.rmdir({str(path.with_name("inside"))!r})
                lease.release()
                held += 1
        print(held)
    """
    SqliteJournal(path).close()
    command = [sys.executable, "-c", textwrap.dedent(script)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    times = [process.communicate(timeout=60)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    assert sum(map(int, times)) > 0
