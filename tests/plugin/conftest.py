"""Runs of pytest with the plugin, within this process: they cost less than processes of their own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

import getnet_pos

PLUGINS = ("-p", "getnet_pos.pytest_plugin", "-p", "pytest_asyncio.plugin", "--asyncio-mode=auto")

Run = Callable[..., pytest.RunResult]


class _Imported:
    """Modules that runs have imported, as a plugin of theirs."""

    def __init__(self) -> None:
        self.modules: dict[str, ModuleType] = {}

    def pytest_unconfigure(self) -> None:
        self.modules |= sys.modules

    def put_back(self) -> None:
        for name, module in self.modules.items():
            if name not in ("conftest", "test_till", "getnet_pos.pytest_plugin"):
                sys.modules.setdefault(name, module)


@pytest.fixture(autouse=True)
def imported(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Imported]:
    """No plugin is loaded but those that a run names, and a process finds the library that is tested here.

    ``pytester`` takes out of this process what was imported in a run, and at its end what was imported while it lasts.
    Who imports it again has two of each class. So it is put back.
    """
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONPATH", str(Path(getnet_pos.__file__).parents[1]))
    imported = _Imported()
    yield imported
    imported.put_back()


@pytest.fixture
def run(pytester: pytest.Pytester, imported: _Imported) -> Run:
    """``run(code)`` runs the tests of a text, with the plugin and with none but that for asyncio beside it."""
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error")

    def run(code: str, *options: str) -> pytest.RunResult:
        pytester.makepyfile(test_till=code)
        result = pytester.runpytest_inprocess(*PLUGINS, *options, plugins=[imported])
        imported.put_back()
        return result

    return run
