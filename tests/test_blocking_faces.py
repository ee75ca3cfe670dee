"""The blocking faces are made from the asyncio ones, and nobody has changed one by hand."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = Path("tools/generate_blocking.py")
FACES = sorted(path.relative_to(ROOT) for path in (ROOT / "src").rglob("_blocking.py"))


def run(root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, root / SCRIPT, *options], capture_output=True, text=True, timeout=60)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The script and the faces, to be changed at will."""
    for path in [SCRIPT, *FACES, *(face.with_name("_aio.py") for face in FACES)]:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    return tmp_path


def test_the_faces_are_up_to_date() -> None:
    done = run(ROOT, "--check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("face", FACES, ids=lambda face: face.parent.name)
def test_a_change_by_hand_is_found_and_undone(copied: Path, face: Path) -> None:
    right = (copied / face).read_text()
    (copied / face).write_text(right + "\n# changed\n")
    done = run(copied, "--check")
    assert done.returncode == 1
    assert f"{copied / face} differs from its _aio.py: run python tools/generate_blocking.py" in done.stdout
    assert run(copied).returncode == 0
    assert (copied / face).read_text() == right


@pytest.mark.parametrize("face", FACES, ids=lambda face: face.parent.name)
def test_nothing_of_asyncio_is_left(face: Path) -> None:
    text = (ROOT / face).read_text()
    assert not [word for word in ("await", "async", "Async", "Task", "event loop ") if word in text.partition("\n")[2]]
