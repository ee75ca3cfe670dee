"""Options and fixtures that every room's tests may use."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import tempfile
from collections.abc import Generator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from getnet_pos import codec
from getnet_pos.journal import MemoryJournal
from tests import databases
from tests.evidence import count

__all__ = ["count"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--evidence", action="store_true", help="take as many faults and inputs as before each change")
    parser.addoption("--long", action="store_true", help="take as many faults and inputs as before a release")


def pytest_configure(config: pytest.Config) -> None:
    settings.register_profile("tests", max_examples=25 if _is_short(config) else 100, deadline=None)
    settings.load_profile("tests")
    config.addinivalue_line("markers", "evidence: the short run leaves it out")
    config.addinivalue_line("markers", "postgres: needs PostgreSQL; the short run takes those with short=True alone")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Several for each processor: many tests wait for a terminal, most of all in the short run."""
    return (4 if _is_short(config) else 3) * (os.cpu_count() or 1)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config: pytest.Config) -> None:
    """Import the tests once, which compiles them: else every worker does, and that is most of its start."""
    if sys.dont_write_bytecode:
        # Nobody wants it beside the source: it is kept elsewhere, as long as the run lasts.
        kept = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        config.add_cleanup(kept.cleanup)
        sys.dont_write_bytecode, sys.pycache_prefix = False, kept.name
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = kept.name
    for given in config.args:
        path = (config.invocation_params.dir / given.partition("::")[0]).resolve()
        for test in sorted(path.rglob("test_*.py")) if path.is_dir() else [path]:
            # What is wrong with it the workers tell.
            with contextlib.suppress(Exception, pytest.skip.Exception):
                import_module(".".join(test.relative_to(config.rootpath).with_suffix("").parts))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What was collected stays, so nothing looks for garbage in it: not now, and not in each later look either."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def _is_short(config: pytest.Config) -> bool:
    return not (config.getoption("--evidence") or config.getoption("--long"))


_VARIANTS = 2
"""How many variants of a test the short run takes where each runs servers or processes, spread over all."""
_ROOMS = {"cli", "cloud", "connector", "equipment", "faults", "field", "journal", "network"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # What counts faults may take its time, and does not hang for ever.
    seconds = 36_000 if config.getoption("--long") else 900
    for item in items:
        if "count" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(seconds))
    if _is_short(config):
        slow = [item for item in items if (mark := item.get_closest_marker("postgres")) and not mark.kwargs]
        items[:] = [item for item in items if item not in set(slow)]
        config.hook.pytest_deselected(items=slow)
        left_out = _left_out(items) | {item for item in items if item.get_closest_marker("evidence")}
        left_out |= {item for item in items if "browser" in getattr(item, "fixturenames", ())}
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=list(left_out))


def _left_out(items: list[pytest.Item]) -> set[pytest.Item]:
    """The variants that the short run does not take."""
    variants: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.path.parent.name in _ROOMS:
            variants.setdefault(item.nodeid.partition("[")[0], []).append(item)
    left_out: set[pytest.Item] = set()
    for several in variants.values():
        taken = {several[number * (len(several) - 1) // (_VARIANTS - 1)] for number in range(_VARIANTS)}
        left_out |= set(several) - taken
    return left_out


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the tests of faults have counted, and what was left out."""
    if not databases.is_there():
        terminalreporter.write_line(f"left out: every test of the journal in a database. {databases.WHY_NOT}")
    elif _is_short(terminalreporter.config):
        terminalreporter.write_line("left out: most tests of the journal in a database. They need --evidence")
    calls = [report for reports in terminalreporter.stats.values() for report in reports]
    lines = [
        str(line)
        for report in calls
        if getattr(report, "when", None) == "call"
        for name, line in report.user_properties
        if name == "evidence"
    ]
    if lines:
        terminalreporter.section("evidence")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(autouse=True)
def journal_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The journal of every connector that names none: a file of this test, never the one of the user.

    And what is kept of those that have none is the test's own, as in a process of its own.
    """
    path = tmp_path / "journal.sqlite3"
    monkeypatch.setenv("GETNET_POS_JOURNAL", str(path))
    monkeypatch.setattr("getnet_pos.journal.opening._memory", MemoryJournal())
    return path


@pytest.fixture(
    params=[codec.BACKEND] if codec.BACKEND == "pure" or os.environ.get("GETNET_POS_BACKEND") else ["pure", "native"]
)
def backend(request: pytest.FixtureRequest) -> Any:
    """Each implementation of the codec; in a run that one was chosen for, that one alone."""
    return codec.backend(request.param)


@pytest.fixture
def native() -> Any:
    if find_spec("getnet_pos.codec._native") is None:
        pytest.skip("the native codec was not built")
    return codec.backend("native")


@pytest.fixture
def pure() -> Any:
    return codec.backend("pure")
