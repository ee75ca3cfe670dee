"""The guides to the plugin, and the README: each test in them runs, and the one that fails shows what they say."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.evidence import Count
from tests.plugin.conftest import PLUGINS, Run
from tests.test_docs import is_a_test

pytest_plugins = ["pytester"]

ROOT = Path(__file__).resolve().parents[2]
QUICK = """
from dataclasses import replace

import pytest


@pytest.fixture
def getnet_timeouts(getnet_timeouts):
    return replace(getnet_timeouts, sale=0.5, sale_total=0.5, recovery=1.5)
"""
ENGLISH = ["README.md", "docs/guides/testing.md"]
OTHERS = ["docs/es/pruebas.md", "docs/pt/testes.md"]
SAMPLE = re.compile(r"^```python\n(.*?)^```$(?:\n\n^```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)


def plain(text: str) -> list[str]:
    """The lines, without what depends on how quick a machine is."""
    return re.sub(r"\(\d+ times\)", "(N times)", text).splitlines()


def suites_of(page: str) -> list[tuple[str, str]]:
    """The samples of a page that are tests, each with the lines that it shows when it is meant to fail."""
    samples = SAMPLE.findall((ROOT / page).read_text(encoding="utf-8"))
    return [(code, shown) for code, shown in samples if is_a_test(code)]


@pytest.mark.skipif(os.name != "posix", reason="this system has no pseudo-terminals")
def test_guides(run: Run, pytester: pytest.Pytester, count: Count) -> None:
    """Their code is the same in each language (tests/release/test_samples.py): the short run takes one."""
    pytester.makeconftest(QUICK)
    for page in count(short=ENGLISH, evidence=ENGLISH + OTHERS, long=ENGLISH + OTHERS):
        for code, shown in suites_of(page):
            result = run(code)
            outcomes = result.parseoutcomes()
            if shown:
                assert outcomes == {"failed": 1}
                lines = iter(plain(result.stdout.str()))
                assert all(line in lines for line in plain(shown)), "the lines of the guide, in their order"
            else:
                assert set(outcomes) == {"passed"}
    for workers in count(short=(), evidence=(0, 2), long=(0, 2)):
        tests = [code for code, shown in suites_of(ENGLISH[1]) if not shown]
        pytester.makepyfile(**{f"test_{number}": code for number, code in enumerate(tests)}, test_till="")
        result = pytester.runpytest_subprocess(*PLUGINS, "-p", "xdist", f"-n{workers}")
        assert set(result.parseoutcomes()) == {"passed"}
