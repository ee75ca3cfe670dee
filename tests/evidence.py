"""What the long tests have counted, shown at the end of a run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

_lines: list[str] = []


@pytest.fixture
def evidence() -> Callable[[str], None]:
    """``evidence("1,000 of it, 0 wrong")`` adds a line to the end of the run."""
    return _lines.append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _lines:
        terminalreporter.section("evidence")
        while _lines:
            terminalreporter.write_line(_lines.pop(0))
