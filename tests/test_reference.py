"""The reference is complete: every public name stands on its pages, and every public class has an example that runs."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import re
import threading
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import getnet_pos
from getnet_pos import Connector, MemoryJournal, Profile, Wire, codec
from getnet_pos.drivers.blocking import BlockingDriver
from getnet_pos.session import Session
from getnet_pos.simulator import VirtualTerminal
from getnet_pos.transports import AT_ONCE, Transport

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src/getnet_pos"
PAGES = sorted((ROOT / "docs/reference").glob("*.md"))

ROOMS = [
    "cloud", "codec", "connector", "equipment", "errors", "journal", "masking", "money", "oauth", "observer", "otel",
    "profiles", "receipts", "reconciliation", "session", "simulator", "simulator.cloud", "simulator.equipment",
    "tracing", "transports", "turns",
]  # fmt: skip
"""Whose ``__all__`` is public, as that of the package itself is."""
ON_DEMAND = {"journal": ["PostgresJournal"], "simulator": ["HttpServer", "ScreenServer"]}
"""Public names that no ``__all__`` may have, because they need what is not always installed."""
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


# ------------------------------------------------------------------------------------------------------------ the names


def plugin() -> ast.Module:
    """Only pytest itself may import it, or it would rewrite none of its assertions."""
    return ast.parse((PACKAGE / "pytest_plugin.py").read_text(encoding="utf-8"))


FIXTURES = [
    node.name for node in plugin().body if isinstance(node, ast.FunctionDef) and node.name.startswith("getnet_")
]


def public_names() -> dict[str, Any]:
    """Every public object by its name behind ``getnet_pos.``."""
    found = {name: getattr(getnet_pos, name) for name in getnet_pos.__all__}
    for room in ROOMS:
        module = importlib.import_module(f"getnet_pos.{room}")
        found.update({f"{room}.{name}": getattr(module, name) for name in [*module.__all__, *ON_DEMAND.get(room, [])]})
    # The site shows the pure codec, which defines what the compiled one does.
    found.update({f"codec.{name}": getattr(codec.pure, name) for name in codec.pure.__all__})
    return {**found, **{f"pytest_plugin.{name}": None for name in FIXTURES}}


PUBLIC = public_names()


def definitions(path: Path) -> Iterator[tuple[str, bool]]:
    """The names that a module defines at its top, and whether each has a docstring."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    for node, following in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            yield node.name, ast.get_docstring(node) is not None
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            is_described = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Name):
                    yield target.id, is_described


@cache
def described() -> set[str]:
    """The names that have a docstring where the library defines them."""
    return {name for path in PACKAGE.rglob("*.py") for name, is_described in definitions(path) if is_described}


@cache
def shown() -> set[str]:
    """The names that the pages of the reference show."""
    names: set[str] = set()
    for page in PAGES:
        for path, options in re.findall(r"^::: (\S+)\n((?:    .*\n)*)", page.read_text(encoding="utf-8"), re.MULTILINE):
            listed = re.search(r"members: \[(.*)\]", options)
            if path == "getnet_pos.pytest_plugin":
                names.update(FIXTURES)
                continue
            try:
                module = importlib.import_module(path)
            except ModuleNotFoundError:
                parent, _, name = path.rpartition(".")
                assert hasattr(importlib.import_module(parent), name)
                names.add(name)
            else:
                names.update(listed[1].split(", ") if listed else getattr(module, "__all__", vars(module)))
    return names


@pytest.mark.parametrize("room", ["", *ROOMS, "pytest_plugin"])
def test_every_public_name_stands_in_the_reference(room: str) -> None:
    names = [name for name in PUBLIC if name.rpartition(".")[0] == room]
    assert names
    assert not {name for name in names if name.rpartition(".")[2] not in shown()}
    assert not {name for name in names if name.rpartition(".")[2] not in described()}, "the site leaves them out"


# --------------------------------------------------------------------------------------------------------- the examples


class Memory(Transport):
    """A link to a virtual terminal in this thread: no port, no server."""

    name = "virtual"

    def __init__(self, terminal: VirtualTerminal) -> None:
        self._terminal = terminal
        self._woken = threading.Event()
        self._started = time.monotonic()

    def open(self) -> None:
        pass

    def read(self, deadline: float) -> bytes:
        while True:
            data = b"".join(self._terminal.take(self._now()))
            if data:
                assert len(data) <= AT_ONCE
                return data
            due = self._terminal.next_event()
            until = deadline if due is None else min(deadline, self._started + due)
            if self._woken.wait(max(0.0, until - time.monotonic())) or time.monotonic() >= deadline:
                self._woken.clear()
                return b""

    def write(self, data: bytes, deadline: float) -> None:
        self._terminal.receive(data, self._now())

    def wake(self) -> None:
        self._woken.set()

    def close(self) -> None:
        self._woken.clear()

    def _now(self) -> float:
        return time.monotonic() - self._started


def connected(terminal: VirtualTerminal) -> Connector:
    profile = Profile.INTEGRATED_POS
    session = Session.over_stream("virtual", wire=Wire.SIGNED, profile=profile, timeouts=profile.timeouts)
    journal = MemoryJournal()
    connector = Connector(BlockingDriver(transport=Memory(terminal), journal=lambda: journal), session)
    connector.polling()
    return connector


def documented() -> Iterator[tuple[str, Any]]:
    """What may have an example: the public names, each object once, and the rooms themselves."""
    seen = set()
    for name, value in PUBLIC.items():
        if id(value) not in seen and (inspect.isclass(value) or inspect.isroutine(value)):
            seen.add(id(value))
            yield name, value
    for room in ROOMS:
        yield room, importlib.import_module(f"getnet_pos.{room}").__doc__
    yield "pytest_plugin", ast.get_docstring(plugin())


def examples() -> Iterator[doctest.DocTest]:
    finder, parser = doctest.DocTestFinder(), doctest.DocTestParser()
    for name, value in documented():
        if isinstance(value, str):
            found = [parser.get_doctest(value, {}, name, None, None)]
        else:
            found = finder.find(value, name, module=False, globs={})
        yield from (one for one in found if one.examples)


EXAMPLES = list(examples())


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_examples_of_docstrings_run(example: doctest.DocTest) -> None:
    terminal = VirtualTerminal(seed=1)
    with connected(terminal) as pos:
        example.globs = {name: getattr(getnet_pos, name) for name in getnet_pos.__all__}
        example.globs.update(pos=pos, terminal=terminal, __name__="example")
        report: list[str] = []
        result = doctest.DocTestRunner(optionflags=FLAGS).run(example, out=report.append)
    assert not result.failed, "".join(report)


def test_every_public_class_has_an_example() -> None:
    have = {example.name for example in EXAMPLES}
    classes = [name for name, value in documented() if inspect.isclass(value)]
    assert not {name for name in classes if name not in have}
