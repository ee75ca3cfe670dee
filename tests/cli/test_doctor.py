"""``doctor`` and the cloud's own list, run as a user runs them, against what the simulators serve."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from getnet_pos.journal import SqliteJournal
from getnet_pos.messages import Intent, IntentState
from getnet_pos.profiles import Profile
from getnet_pos.simulator import SerialServer, VirtualTerminal


def run(*args: str, journal: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GETNET_POS_")}
    kept = {"GETNET_POS_BACKEND": os.environ["GETNET_POS_BACKEND"]} if "GETNET_POS_BACKEND" in os.environ else {}
    return subprocess.run(
        [sys.executable, "-m", "getnet_pos.cli", *args, "--json"],
        env={**clean, **kept, "GETNET_POS_JOURNAL": str(journal), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def findings(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, object]]:
    return {str(one["what"]).partition(",")[0]: one for one in json.loads(done.stdout)["findings"]}


def test_all_is_well(tmp_path: Path) -> None:
    with SerialServer(VirtualTerminal()) as server:
        done = run("doctor", "--port", server.device, journal=tmp_path / "journal.sqlite3")
    assert done.returncode == 0, done.stderr
    found = findings(done)
    assert all(one["well"] for one in found.values())
    assert "ready" in str(found["terminal"]["found"])


def test_a_terminal_that_is_not_there_and_an_outcome_that_nobody_knows(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite3"
    journal = SqliteJournal(path)
    for state in (IntentState.INTENT, IntentState.SENT, IntentState.RECOVERING, IntentState.UNKNOWN):
        journal.record(Intent(intent_id="a" * 32, terminal="usb:x", command=100, amount=1, state=state))
    journal.close()
    done = run("doctor", "--port", str(tmp_path / "none"), journal=path)
    assert done.returncode == 3
    found = findings(done)
    assert "1 of unknown outcome" in str(found["journal"]["found"])
    assert "getnet-pos resolve" in str(found["journal"]["advice"])
    assert "does not exist" in str(found["terminal"]["advice"])


def test_a_journal_that_cannot_be_used(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite3"
    path.write_bytes(b"this is no database" * 100)
    done = run("doctor", "--port", str(tmp_path / "none"), journal=path)
    assert done.returncode == 6


def test_the_cloud_lists_what_the_credentials_may_drive(tmp_path: Path) -> None:
    pytest.importorskip("uvicorn")
    from getnet_pos.simulator.cloud import VirtualCloud

    with VirtualCloud(profile=Profile.CHILE) as cloud:
        secrets = {"GETNET_POS_CLIENT_ID": "id", "GETNET_POS_CLIENT_SECRET": "canary-secret"}
        args = ("terminals", "--cloud", cloud.url, "--profile", "cl")
        done = run(*args, journal=tmp_path / "journal.sqlite3", **secrets)
        other = run(*args, "--branch", "999999", journal=tmp_path / "journal.sqlite3", **secrets)
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)["terminals"]
    assert listed
    assert set(listed[0]) == {"id_terminal", "id_sucursal", "serial_number"}
    assert json.loads(other.stdout)["terminals"] == []
    assert "canary-secret" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "args",
    [
        (),
        ("10000", "--branch", "3", "--environment", "hg"),
        ("10000", "--cloud", "https://cloud.example/api/postxs"),
    ],
)
def test_terminals_of_one_place_at_a_time(args: tuple[str, ...], tmp_path: Path) -> None:
    assert run("terminals", *args, journal=tmp_path / "journal.sqlite3").returncode == 2
