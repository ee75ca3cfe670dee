"""The examples run as they stand, against the simulator."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.databases import free_port

EXAMPLES = Path(__file__).parents[2] / "examples"


def printed(name: str, *arguments: str) -> str:
    command = [sys.executable, "-W", "error", str(EXAMPLES / name), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_back_office_hears_of_a_sale() -> None:
    lines = {
        re.sub(r"transaction \d+:", "transaction N:", line) for line in printed("webhook_receiver.py").splitlines()
    }
    assert lines == {
        "sale() returned: approved: True, amount 25000",
        "transaction N: approved, amount 25000, confirmed: True",
    }


def test_the_guide_prints_what_it_says(tmp_path: Path) -> None:
    guide = (EXAMPLES.parent / "docs/guides/webhooks.md").read_text(encoding="utf-8")
    found = re.search(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)
    assert found
    program = tmp_path / "program.py"
    program.write_text(found[1].replace("8001", str(free_port())), encoding="utf-8")
    out, shown = (re.sub(r"notice: \d+", "notice: N", text) for text in (printed(str(program)), found[2]))
    assert sorted(out.splitlines()) == sorted(shown.splitlines())


def test_a_sale_at_every_terminal_of_a_fleet() -> None:
    out = printed("fleet.py", "20")
    assert out.startswith("20 terminals in ")
    assert out.endswith(": {'approved': 20}\n")
