"""The doors between the rooms of the library: who may import whom, read from the code itself."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import getnet_pos

ROOT = Path(getnet_pos.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))

DOORS: dict[str, set[str]] = {
    "_version": set(),
    "masking": set(),
    "errors": {"masking"},
    "money": {"errors"},
    "messages": {"errors", "masking", "money"},
    "profiles": {"errors", "messages"},
    "receipts": {"errors", "masking", "messages", "money", "profiles"},
    "codec": {"errors", "messages"},
    # Rooms that decide name operations and log messages; what an observer does with them is the drivers' alone to see.
    "observer": {"messages"},
    "logs": {"messages", "observer"},
    "tracing": {"codec", "logs", "messages"},
    "transports": {"_version", "errors", "logs"},
    "journal": {"errors", "logs", "masking", "messages"},
    "turns": {"errors"},
    "flows": {
        "codec", "errors", "logs", "masking", "messages", "money", "observer", "profiles", "tracing", "turns",
    },
    "reconciliation": {"errors", "flows", "messages", "profiles"},
    "drivers": {"errors", "flows", "journal", "logs", "messages", "observer", "transports", "turns"},
    "session": {"errors", "flows", "messages", "money", "observer", "profiles", "reconciliation", "turns"},
    "oauth": {"codec", "errors", "flows"},
    "cloud": {"codec", "drivers", "errors", "flows", "journal", "masking", "messages", "profiles", "turns"},
    "equipment": {"drivers", "errors", "flows", "messages", "oauth"},
    "connector": {
        "cloud", "drivers", "errors", "flows", "journal", "messages", "money", "observer", "profiles",
        "reconciliation", "session", "transports",
    },
}  # fmt: skip
"""What each room may import of the library, beside itself. ``simulator`` may import all of these. Nobody imports those
that come after it: ``otel``, which a program hands over as an observer, ``pytest_plugin``, which pytest loads,
``agent``, and ``cli``, which may import all."""
DOORS["simulator"] = set(DOORS)
DOORS["otel"] = {"_version", "observer"}
DOORS["agent"] = {
    "_version", "codec", "connector", "errors", "flows", "journal", "logs", "masking", "messages", "money", "profiles",
}  # fmt: skip
DOORS["pytest_plugin"] = {"connector", "errors", "journal", "masking", "messages", "profiles", "simulator"}

IO_MODULES = {
    "asyncio", "http", "httpx", "io", "select", "selectors", "serial", "socket", "sqlite3", "ssl", "subprocess",
    "threading", "time", "urllib.request",
}  # fmt: skip
ROOMS_THAT_DECIDE = {
    "errors", "money", "messages", "observer", "logs", "profiles", "receipts", "codec", "flows", "reconciliation",
    "session",
}  # fmt: skip
OPTIONAL = {
    "typer": {"cli"},
    "rich": {"cli"},
    "psycopg": {"journal"},
    "escpos": {"receipts"},
    "opentelemetry": {"otel"},
    "starlette": {"agent", "simulator"},
    "uvicorn": {"agent", "simulator"},
    "wsproto": {"agent", "simulator"},
    "pytest": {"pytest_plugin"},  # Only pytest loads it, so pytest is there.
}
"""What not every installation has, and the rooms that may import it."""
COUNTRIES = {"cl", "ar", "integrated-pos"}
COUNTRY_PROFILES = {"CHILE", "ARGENTINA", "INTEGRATED_POS"}


def room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


@cache
def parts(path: Path) -> list[ast.AST]:
    """All that a module consists of."""
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


@cache
def imports(path: Path) -> list[str]:
    """The full names of all that a module imports, wherever in it."""
    return list(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    package = ("getnet_pos", *path.relative_to(ROOT).parts[:-1])
    for node in parts(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*above, *([node.module] if node.module else [])])
            if base == "getnet_pos":  # from . import tracing
                yield from (f"{base}.{alias.name}" for alias in node.names)
            else:
                yield base
                yield from (f"{base}.{alias.name}" for alias in node.names if alias.name.startswith("_"))


def rooms_imported(path: Path) -> set[str]:
    return {name.split(".")[1] for name in imports(path) if name.startswith("getnet_pos.")} - {room(path)}


def test_every_room_has_its_doors() -> None:
    rooms = {room(path) for path in MODULES} - {"__init__", "cli"}
    assert rooms == set(DOORS), "say in DOORS what a new room may import"


def test_doors() -> None:
    for path in MODULES:
        if room(path) not in ("cli", "__init__"):
            assert rooms_imported(path) <= DOORS[room(path)], path


def test_no_room_opens_a_private_module_of_another() -> None:
    for path in MODULES:
        private = [name for name in imports(path) if re.search(r"\._(?!_|version\b)", name.removeprefix("getnet_pos"))]
        assert not [name for name in private if name.split(".")[1] != room(path)], path


def test_the_package_itself_brings_in_neither_command_line_nor_simulator() -> None:
    assert not rooms_imported(ROOT / "__init__.py") & {"cli", "pytest_plugin", "simulator"}


def test_the_doors_lead_one_way() -> None:
    """Nobody can come back to where they started."""
    done: list[str] = []
    while len(done) < len(DOORS):
        ready = [name for name, others in DOORS.items() if name not in done and others <= set(done)]
        assert ready, f"a circle among {set(DOORS) - set(done)}"
        done += ready


def test_who_decides_does_no_io() -> None:
    for path in MODULES:
        if room(path) in ROOMS_THAT_DECIDE:
            assert not [name for name in imports(path) for io in IO_MODULES if f"{name}.".startswith(f"{io}.")], path


def test_optional_dependencies_stay_in_their_rooms() -> None:
    for path in MODULES:
        for name in imports(path):
            assert room(path) in OPTIONAL.get(name.split(".")[0], {room(path)}), path
            assert name.split(".")[0] not in ("Cython", "hypothesis"), path


def about_a_country(node: ast.expr | ast.pattern) -> bool:
    return any(
        (isinstance(part, ast.Constant) and part.value in COUNTRIES)
        or (isinstance(part, ast.Attribute) and part.attr in COUNTRY_PROFILES)
        for part in ast.walk(node)
    )


def test_no_module_asks_which_country_it_is() -> None:
    """Countries differ in the data of their profiles, not in code."""
    for path in MODULES:
        for node in parts(path):
            asked: list[ast.expr | ast.pattern] = []
            if isinstance(node, ast.Compare):
                asked = [node.left, *node.comparators]
            elif isinstance(node, ast.match_case):
                asked = [node.pattern]
            for part in asked:
                assert not about_a_country(part), f"{path}:{part.lineno}"
