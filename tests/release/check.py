"""Is a release what it says? ``python -m tests.release.check dist/*``: names, tags, content and sizes of what is built.

Needs nothing but the standard library. Prints a line for each file, and exits 1 where something is wrong.
"""

from __future__ import annotations

import ast
import base64
import csv
import hashlib
import io
import json
import re
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from configparser import ConfigParser
from email.parser import BytesParser
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[2]

PYTHONS = ("310", "311", "312", "313", "314", "315")
PLATFORMS = (
    r"(manylinux_2_\d+|manylinux2014|musllinux_1_\d+)_(x86_64|aarch64|armv7l)|linux_(x86_64|aarch64|armv7l)"
    r"|macosx_\d+_\d+_(x86_64|arm64)|win_(amd64|arm64)"
)
LARGEST = {"pure": 550_000, "native": 2_000_000, "sdist": 1_500_000}
"""In bytes, packed. A file that grows beyond has something in it that it should not have."""

INSTALLED = {".py", ".pyi", ".typed"}
LIBRARY = re.compile(r"getnet_pos/codec/(_native\w*)(\.[\w-]+)?\.(so|pyd)")
LIBRARIES = ["_native", "_native_terminals"]
STUBS = [f"getnet_pos/codec/{name}.pyi" for name in LIBRARIES]
PAGE = [
    f"getnet_pos/{room}/page.{suffix}" for room in ("agent", "simulator/screen") for suffix in ("css", "html", "js")
]
NEEDED = ("getnet_pos/__init__.py", "getnet_pos/py.typed", "getnet_pos/codec/pure.py", *STUBS, *PAGE)
ENTRIES = {
    "console_scripts": {"getnet-pos": "getnet_pos.cli:main"},
    "pytest11": {"getnet-pos": "getnet_pos.pytest_plugin"},
}
"""What the installed copy registers: its command, and its plugin with pytest."""


def version() -> str:
    """The version, from the one place where it stands."""
    tree = ast.parse((ROOT / "src/getnet_pos/_version.py").read_text(encoding="utf-8"))
    [value] = [node.value for node in tree.body if isinstance(node, ast.Assign)]
    return str(ast.literal_eval(value))


def of_wheel(path: Path) -> Iterator[str]:
    """What is wrong with a wheel."""
    name, built, python, abi, platform = path.stem.split("-")
    kind = "pure" if platform == "any" else "native"
    if (name, built) != ("getnet_pos", version()):
        yield f"it is {name} {built}, not getnet_pos {version()}"
    if kind == "pure" and (python, abi) != ("py3", "none"):
        yield f"a pure wheel is tagged py3-none-any, not {python}-{abi}-{platform}"
    if kind == "native":
        if python not in {f"cp{number}" for number in PYTHONS} or abi not in (
            python,
            *({f"{python}t"} & {"cp314t", "cp315t"}),
        ):
            yield f"there is no build for {python}-{abi}"
        if not all(re.fullmatch(PLATFORMS, part) for part in platform.split(".")):
            yield f"there is no build for {platform}"
    with zipfile.ZipFile(path) as archive:
        if archive.testzip() is not None:
            yield "the archive is damaged"
        content = {entry.filename: archive.read(entry) for entry in archive.infolist() if not entry.is_dir()}
    info = f"getnet_pos-{built}.dist-info"
    libraries = {file: found[1] for file in content if (found := LIBRARY.fullmatch(file))}
    if sorted(libraries.values()) != (LIBRARIES if kind == "native" else []):
        yield f"it has the compiled parts {list(libraries.values())}"
    for file in content:
        inside = file.startswith("getnet_pos/") and (
            PurePosixPath(file).suffix in INSTALLED or file in libraries or file in PAGE
        )
        if not (inside or file.startswith(f"{info}/")):
            yield f"{file} does not belong into a wheel"
    yield from (f"{file} is missing" for file in (*NEEDED, f"{info}/licenses/LICENSE") if file not in content)
    yield from _recorded(content, f"{info}/RECORD")
    yield from _metadata(content[f"{info}/METADATA"])
    yield from _materials(content, info)
    entries = ConfigParser()
    entries.read_string(content.get(f"{info}/entry_points.txt", b"").decode())
    if (found_entries := {group: dict(entries[group]) for group in entries.sections()}) != ENTRIES:
        yield f"it registers {found_entries}, not {ENTRIES}"
    tags = re.findall(r"^Tag: (\S+)", content[f"{info}/WHEEL"].decode(), re.MULTILINE)
    if set(tags) != {f"{python}-{abi}-{part}" for part in platform.split(".")}:
        yield f"its name and its tags {tags} differ"
    yield from _size(path, kind)


def _recorded(content: dict[str, bytes], record: str) -> Iterator[str]:
    rows = {row[0]: row[1] for row in csv.reader(io.StringIO(content[record].decode())) if row}
    for file, data in content.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        if file not in rows or (file != record and rows[file] != f"sha256={digest}"):
            yield f"{file} is not what RECORD says"


def _metadata(data: bytes) -> Iterator[str]:
    found = BytesParser().parsebytes(data)
    expected = {"Name": "getnet-pos", "Version": version(), "Requires-Python": ">=3.10", "License-Expression": "MIT"}
    for name, value in expected.items():
        if found[name] != value:
            yield f"{name} is {found[name]!r}, not {value!r}"
    if found["Description-Content-Type"] != "text/markdown" or "# getnet-pos" not in found.get_payload():
        yield "the description is not README.md"
    for need in found.get_all("Requires-Dist", []):
        if "extra ==" not in need and re.match(r"(?i)(cython|typer|rich|starlette|uvicorn|pytest)\b", need):
            yield f"{need} must not be needed to use the library"


def _materials(content: dict[str, bytes], info: str) -> Iterator[str]:
    """The bill of materials names this version, and each need that the metadata has without an extra."""
    try:
        bill = json.loads(content[f"{info}/sboms/getnet-pos.cdx.json"])
        subject, tools = bill["metadata"]["component"], bill["metadata"]["tools"]["components"]
        listed = {part["name"] for part in bill["components"]}
    except (KeyError, ValueError) as error:
        yield f"it has no bill of materials that can be read: {error!r}"
        return
    if (bill["bomFormat"], subject["purl"]) != ("CycloneDX", f"pkg:pypi/getnet-pos@{version()}"):
        yield f"its bill of materials is of {subject['purl']}"
    needs = BytesParser().parsebytes(content[f"{info}/METADATA"]).get_all("Requires-Dist", [])
    named = {re.split(r"[^\w.-]", need)[0].lower() for need in needs if "extra ==" not in need}
    if listed != named:
        yield f"its bill of materials differs from its needs in {sorted(listed ^ named)}"
    compiled = any(LIBRARY.fullmatch(file) for file in content)
    if ("cython" in {tool["name"] for tool in tools}) != compiled:
        yield "its bill of materials is wrong about what it was compiled with"


def of_sdist(path: Path) -> Iterator[str]:
    """What is wrong with a source distribution."""
    head = f"getnet_pos-{version()}/"
    with tarfile.open(path) as archive:
        names = {member.name for member in archive.getmembers() if not member.isdir()}
    inside = {name.removeprefix(head) for name in names if name.startswith(head)}
    if len(inside) != len(names):
        yield f"something is outside of {head}"
    for wanted in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "CHANGELOG.md", "_native/codec.pyx", *NEEDED):
        if wanted.replace("getnet_pos/", "src/getnet_pos/", 1) not in inside:
            yield f"{wanted} is missing"
    if not any(name.startswith("tests/installed/") for name in inside):
        yield "the tests of an installed copy are missing"
    for name in inside:
        if re.search(r"\.(so|pyd|o|a|pyc)$|(^|/)(\.git|\.hypothesis|__pycache__)/|^_native/(codec\.c|.*\.html)$", name):
            yield f"{name} is built, not a source"
    yield from _size(path, "sdist")


def _size(path: Path, kind: str) -> Iterator[str]:
    if path.stat().st_size > LARGEST[kind]:
        yield f"it has {path.stat().st_size:,} bytes, more than {LARGEST[kind]:,}"


def main(paths: list[str]) -> int:
    failed = not paths
    for path in map(Path, paths):
        wrong = list(of_wheel(path) if path.suffix == ".whl" else of_sdist(path))
        print(f"{'wrong' if wrong else 'good '} {path.stat().st_size:>9,} bytes  {path.name}")
        for reason in wrong:
            print(f"      {reason}")
        failed = failed or bool(wrong)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
