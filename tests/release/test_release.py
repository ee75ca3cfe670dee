"""The project is ready to be released as what it says it is. What is built from it is looked at by ``check.py``."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import getnet_pos
from tests.release import check

ROOT = check.ROOT
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))

MILLISECONDS = 60


def test_version_stands_in_one_place() -> None:
    assert getnet_pos.__version__ == check.version()
    assert re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", check.version())
    written = re.compile(rf"(?<![\d.]){re.escape(check.version())}(?![\d.])")
    places = [ROOT / "pyproject.toml", ROOT / "setup.py", ROOT / "README.md", *(ROOT / "src").rglob("*.py")]
    found = [path.name for path in places if written.search(path.read_text(encoding="utf-8"))]
    assert found == ["_version.py"]


def test_changelog_has_the_version() -> None:
    titles = re.findall(r"^## \[(.+?)\](?: - (.+))?$", CHANGELOG, re.MULTILINE)
    assert titles[0] == ("Unreleased", "")
    name, date = titles[1]
    assert name == check.version()
    assert date == "not yet released" or re.fullmatch(r"\d{4}-\d{2}-\d{2}", date)
    entry = CHANGELOG.partition(f"## [{name}]")[2].partition("\n## ")[0]
    assert re.search(r"^- ", entry, re.MULTILINE)


def test_readme_renders() -> None:
    """As the package index shows it."""
    markdown = pytest.importorskip("readme_renderer.markdown")
    rendered = markdown.render((ROOT / "README.md").read_text(encoding="utf-8"))
    assert rendered is not None, "install readme_renderer with its md extra"
    for wanted in ("<h1", "<table>", "<pre"):
        assert wanted in rendered
    assert "```" not in rendered


# --------------------------------------------------------------------------------------------------------------- import


def run(code: str) -> str:
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    ).stdout


def imported(statement: str, *modules: str) -> set[str]:
    return set(run(f"import sys\n{statement}\nprint(*{set(modules)!r} & set(sys.modules))").split())


def test_library_imports_no_tool() -> None:
    every = "import getnet_pos\nfor name in getnet_pos.__all__: getattr(getnet_pos, name)"
    code = every if hasattr(getnet_pos, "__all__") else "from getnet_pos import *"
    tools = ("Cython", "setuptools", "typer", "starlette", "uvicorn", "pytest", "hypothesis", "msgspec")
    assert imported(f"{code}\nimport getnet_pos.codec, getnet_pos.equipment, getnet_pos.oauth", *tools) == set()


def test_import_leaves_heavy_modules_for_when_they_are_used() -> None:
    assert imported("import getnet_pos", "httpx", "h11", "serial", "rich", "ssl", "asyncio", "sqlite3") == set()
    # A register at a serial port pays for no HTTP client.
    assert imported("from getnet_pos import Connector, AsyncConnector", "httpx", "h11", "rich") == set()


@pytest.mark.skipif(sys.gettrace() is not None, reason="a tracer makes everything slower")
def test_import_is_quick() -> None:
    """The least of several, since what else runs can only add to it."""
    code = "import time; began = time.process_time(); {}; print(time.process_time() - began)"
    least = min(float(run(code.format("import getnet_pos"))) for _ in range(7))
    assert least * 1000 <= MILLISECONDS, f"import getnet_pos takes {least * 1000:.0f} ms"


# ------------------------------------------------------------------------------------------------------------ workflows


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_pin_their_actions_and_ask_for_little(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    uses = re.findall(r"uses: *(\S+)(.*)", text)
    assert uses
    for action, comment in uses:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), f"{action} does not say which version it is"
    assert re.search(r"^permissions: \{\}$", text, re.MULTILINE)
    assert set(re.findall(r"^ +([a-z-]+): write$", text, re.MULTILINE)) <= {"id-token"}
    assert "secrets." not in text
    assert text.count("actions/checkout@") == text.count("persist-credentials: false")
