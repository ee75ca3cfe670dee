from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

# A run within this process forgets the modules that it imports first, and a compiled codec cannot be imported twice.
import getnet_pos.connector
import getnet_pos.equipment
import getnet_pos.simulator.cloud
import getnet_pos.simulator.equipment
import getnet_pos.simulator.http

PLUGINS = ("-p", "getnet_pos.pytest_plugin", "-p", "pytest_asyncio.plugin", "--asyncio-mode=auto")

Run = Callable[..., pytest.RunResult]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No plugin is loaded but those that a run names, and a process finds the library that is tested here."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONPATH", str(Path(getnet_pos.__file__).parents[1]))


@pytest.fixture
def run(pytester: pytest.Pytester) -> Run:
    """``run(code)`` runs the tests of a text, with the plugin and with none but that for asyncio beside it."""
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error")

    def run(code: str, *options: str) -> pytest.RunResult:
        pytester.makepyfile(test_till=code)
        return pytester.runpytest_inprocess(*PLUGINS, *options)

    return run
