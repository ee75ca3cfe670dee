"""What the samples of the guide print, against a virtual terminal."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys

import pytest

from getnet_pos.simulator import SerialServer, VirtualTerminal
from tests.test_docs import DEVICE, ROOT, blocks

GUIDE = (ROOT / "docs/guides/observability.md").read_text(encoding="utf-8")
OBSERVER, OTEL, LOGS = blocks(GUIDE, "python")


def run(code: str) -> VirtualTerminal:
    with SerialServer(VirtualTerminal(), gap=0) as server:
        exec(compile(code.replace(DEVICE, repr(server.device)), "observability.md", "exec"), {"__name__": "__main__"})
        return server.terminal


def test_a_plain_observer(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = run(OBSERVER)
    [shown] = blocks(GUIDE, "text")
    assert re.sub(r"\d+\.\d s", "0.0 s", capsys.readouterr().out) == shown
    assert terminal.ledger.charged() == 25_000


def test_spans_and_metrics() -> None:
    """In a process of its own: what it sets up is for the whole process."""
    with SerialServer(VirtualTerminal(), gap=0) as server:
        command = [sys.executable, "-c", OTEL.replace(DEVICE, repr(server.device))]
        shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert re.findall(r'"name": "getnet (.*)"', shown) == ["open", "poll", "sale", "close"]
    [table] = re.findall(r"^\| metric \|.*?\n\n", GUIDE, re.MULTILINE | re.DOTALL)
    made = set(re.findall(r'"name": "(getnet_pos\.[a-z.]+)"', shown)) | {"getnet_pos.recovery.duration"}
    assert made - {"getnet_pos.intent.step", "getnet_pos.link.change"} == set(
        re.findall(r"^\| `(.+?)`", table, re.MULTILINE)
    )
    assert "register 3" in shown


def test_log_records_as_json(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("getnet_pos"), "handlers", [])
    run(LOGS)
    logging.getLogger("getnet_pos.payment").warning("sold", extra={"getnet_intent": "4711"})
    assert json.loads(capsys.readouterr().err) == {"level": "WARNING", "message": "sold", "getnet_intent": "4711"}
