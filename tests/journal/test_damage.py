"""A journal cut or changed at every byte, and a power cut at every byte of a write: an error or the truth, no third."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from getnet_pos.errors import JournalError
from getnet_pos.journal import SqliteJournal
from getnet_pos.messages import Intent
from tests.evidence import Count
from tests.journal.samples import OPEN, PAID, SEVERAL, TERMINAL, UNKNOWN, intent, record, together

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the power cut is a POSIX one")


def _written(path: Path) -> bytes:
    """A journal with a bit of everything, whose last command is open."""
    journal = SqliteJournal(path)
    for number in range(1, 9):
        record(journal, intent(number), *(UNKNOWN if number == 3 else PAID))
    record(journal, intent(9), *OPEN)
    journal.close()
    return path.read_bytes()


def _told(path: Path) -> tuple[list[Intent], list[Intent]]:
    journal = SqliteJournal(path)
    try:
        return journal.intents(), journal.recent(TERMINAL)
    finally:
        journal.close()


def _outcome(path: Path, data: bytes, truth: object, undo: bytes | None = None) -> str:
    path.write_bytes(data)
    undoing = path.with_name(f"{path.name}-journal")
    if undo is None:
        undoing.unlink(missing_ok=True)
    else:
        undoing.write_bytes(undo)
    try:
        told = _told(path)
    except JournalError:
        return "refused"
    if told == truth:
        return "the truth"
    # What was settled is forgotten only together with an error; an open command never is.
    return f"wrong: {told}"


def test_cut_at_every_byte(folder: Path, count: Count, evidence: Callable[[str], None]) -> None:
    start = time.monotonic()
    path = folder / "journal.sqlite3"
    whole = _written(path)
    truth = _told(path)
    places = range(0, len(whole), count(short=211, evidence=23, long=1))
    counts = Counter(_outcome(path, whole[:place], truth) for place in places)
    assert set(counts) <= {"refused", "the truth"}, counts
    evidence(
        f"journal cut at {len(places):,} of {len(whole):,} bytes: {dict(counts)}, {time.monotonic() - start:.0f} s"
    )


def test_changed_at_every_byte(folder: Path, count: Count, evidence: Callable[[str], None]) -> None:
    start = time.monotonic()
    path = folder / "journal.sqlite3"
    whole = _written(path)
    truth = _told(path)
    places = range(0, len(whole), count(short=211, evidence=23, long=1))
    counts: Counter[str] = Counter()
    for place in places:
        changed = whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :]
        counts[_outcome(path, changed, truth)] += 1
    assert set(counts) <= {"refused", "the truth"}, counts
    evidence(f"journal changed at {len(places):,} bytes: {dict(counts)}, {time.monotonic() - start:.0f} s")


def _caught_writing(path: Path, steps: str) -> tuple[bytes, bytes, bytes]:
    """The file before some steps, what undoes them, and the file after: caught as the process died of its limit."""
    before = path.read_bytes()
    script = f"""
        import resource, signal, sys
        sys.path[:0] = {sys.path!r}
        from getnet_pos.journal import SqliteJournal
        from tests.journal.samples import *
        journal = SqliteJournal({str(path)!r})
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before) - 4096}, -1))
        together(journal, *{steps})
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], timeout=60)
    assert done.returncode < 0, "it was not killed in the middle of the write"
    undo = path.with_name(f"{path.name}-journal").read_bytes()
    assert undo
    assert path.read_bytes() != before
    path.write_bytes(before)
    path.with_name(f"{path.name}-journal").unlink()
    journal = SqliteJournal(path)
    for step in together(journal, *_STEPS[steps]):
        step.result()
    journal.close()
    return before, undo, path.read_bytes()


_STEPS = {"SEVERAL": SEVERAL, "SEVERAL[1:2]": SEVERAL[1:2]}


@pytest.mark.parametrize("steps", _STEPS, ids=["several steps", "one step"])
def test_a_power_cut_at_every_byte_of_a_write(
    folder: Path, steps: str, count: Count, evidence: Callable[[str], None]
) -> None:
    """First the undo file grows, then the pages are written over, in any order; until it is emptied, it rules. So all
    steps of a transaction are there, or none.
    """
    start = time.monotonic()
    path = folder / "journal.sqlite3"
    _written(path)
    truth_before = _told(path)
    before, undo, after = _caught_writing(path, steps)
    truth_after = _told(path)
    assert truth_before != truth_after
    step = count(short=211, evidence=31, long=1)
    counts: Counter[str] = Counter()
    for place in range(0, len(undo), step):
        counts[f"undo file cut: {_outcome(path, before, truth_before, undo[:place])}"] += 1
    changed = [place for place in range(len(before)) if before[place] != after[place]]  # what it grew by is cut off
    for place in changed[:: count(short=16, evidence=1, long=1)]:
        torn, backwards = after[:place] + before[place:], before[:place] + after[place:]
        counts[f"page torn: {_outcome(path, torn, truth_before, undo)}"] += 1
        counts[f"page torn: {_outcome(path, backwards, truth_before, undo)}"] += 1
    assert _outcome(path, after, truth_after, b"") == "the truth"
    assert set(counts) == {"undo file cut: the truth", "page torn: the truth"}, counts
    evidence(
        f"power cut at {sum(counts.values()):,} places of a write of {len(_STEPS[steps])} steps: {dict(counts)}, "
        f"{time.monotonic() - start:.0f} s"
    )


def test_a_write_that_fails_at_any_byte(folder: Path, count: Count, evidence: Callable[[str], None]) -> None:
    """As a disk that gets full: all steps of the transaction are refused, or all are there; and the next one works."""
    path = folder / "journal.sqlite3"
    size = len(_written(path))
    script = f"""
        import resource, sys
        from collections import Counter
        from pathlib import Path
        sys.path[:0] = {sys.path!r}
        from getnet_pos.errors import JournalError
        from getnet_pos.journal import SqliteJournal
        from tests.journal.samples import *
        path = Path({str(path)!r})
        whole, counts = path.read_bytes(), Counter()
        for limit in range(0, {size} + 8192, {count(short=997, evidence=211, long=211)}):
            path.write_bytes(whole)
            path.with_name(path.name + "-journal").unlink(missing_ok=True)
            journal = SqliteJournal(path)
            assert journal.unsettled(TERMINAL)[-1].intent_id == intent(9).intent_id
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, -1))
            [there] = {{step.exception() is None for step in together(journal, *SEVERAL)[1:]}}
            resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
            journal.close()
            ids = {{one.intent_id for one in SqliteJournal(path).intents()}}
            found = [one.intent_id in ids for one in SEVERAL[2:]]
            settled = intent(9).intent_id in [one.intent_id for one in SqliteJournal(path).recent(TERMINAL)]
            assert {{settled, *found}} == {{there}}, (limit, there, settled, found)
            counts["refused" if not there else "written"] += 1
            journal.resolve(intent(3).intent_id, paid=True, by="Ana", note="the disk has room again")
            journal.close()
        assert counts["refused"] and counts["written"], counts
        print(dict(counts))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    evidence(f"disk full at every place of a write: {done.stdout.strip()}")
