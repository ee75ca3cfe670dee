from __future__ import annotations

from collections.abc import Callable

import pytest

# A run within this process forgets the modules that it imports first, and a compiled codec cannot be imported twice.
import getnet_pos.connector
import getnet_pos.equipment
import getnet_pos.simulator.cloud
import getnet_pos.simulator.equipment
import getnet_pos.simulator.http

__all__ = ["getnet_pos"]

PLUGINS = ("-p", "getnet_pos.pytest_plugin", "-p", "pytest_asyncio.plugin", "--asyncio-mode=auto")

Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """``run(code)`` runs the tests of a text, with the plugin and with none but that for asyncio beside it."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error")

    def run(code: str, *options: str) -> pytest.RunResult:
        pytester.makepyfile(test_till=code)
        return pytester.runpytest_inprocess(*PLUGINS, *options)

    return run
