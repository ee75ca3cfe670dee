"""The examples run as they stand, against the simulator."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

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


def test_a_sale_at_every_terminal_of_a_fleet() -> None:
    out = printed("fleet.py", "20")
    assert out.startswith("20 terminals in ")
    assert out.endswith(": {'approved': 20}\n")
