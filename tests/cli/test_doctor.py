"""``doctor`` and the cloud's own list, against what the simulators serve."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from getnet_pos.journal import SqliteJournal
from getnet_pos.messages import Intent, IntentState
from getnet_pos.profiles import Profile
from getnet_pos.simulator import SerialServer, VirtualTerminal

Run = Callable[..., Any]


def findings(ended: Any) -> dict[str, dict[str, object]]:
    return {str(one["what"]).partition(",")[0]: one for one in ended.document["findings"]}


def test_all_is_well(called: Run) -> None:
    with SerialServer(VirtualTerminal(), gap=0) as server:
        done = called("doctor", "--port", server.device, "--json")
    assert done.code == 0, done.err
    found = findings(done)
    assert all(one["well"] for one in found.values())
    assert "ready" in str(found["terminal"]["found"])


def test_a_terminal_that_is_not_there_and_an_outcome_that_nobody_knows(
    called: Run, tmp_path: Path, journal_path: Path
) -> None:
    journal = SqliteJournal(journal_path)
    for state in (IntentState.INTENT, IntentState.SENT, IntentState.RECOVERING, IntentState.UNKNOWN):
        journal.record(Intent(intent_id="a" * 32, terminal="usb:x", command=100, amount=1, state=state))
    journal.close()
    done = called("doctor", "--port", str(tmp_path / "none"), "--json")
    assert done.code == 3
    found = findings(done)
    assert "1 with an unknown outcome" in str(found["journal"]["found"])
    assert "getnet-pos resolve" in str(found["journal"]["advice"])
    assert "does not exist" in str(found["terminal"]["advice"])


def test_a_journal_that_cannot_be_used(called: Run, tmp_path: Path, journal_path: Path) -> None:
    journal_path.write_bytes(b"this is no database" * 100)
    done = called("doctor", "--port", str(tmp_path / "none"), "--json")
    assert done.code == 6


def test_the_cloud_lists_what_the_credentials_may_drive(called: Run) -> None:
    pytest.importorskip("uvicorn")
    from getnet_pos.simulator.cloud import VirtualCloud

    with VirtualCloud(profile=Profile.CHILE) as cloud:
        secrets = {"GETNET_POS_CLIENT_ID": "id", "GETNET_POS_CLIENT_SECRET": "canary-secret"}
        args = ("terminals", "--cloud", cloud.url, "--profile", "cl", "--json")
        done = called(*args, env=secrets)
        other = called(*args, "--branch", "999999", env=secrets)
    assert done.code == 0, done.err
    listed = done.document["terminals"]
    assert listed
    assert set(listed[0]) == {"id_terminal", "id_sucursal", "serial_number"}
    assert other.document["terminals"] == []
    assert "canary-secret" not in done.out + done.err


@pytest.mark.parametrize(
    "args",
    [
        (),
        ("10000", "--branch", "3", "--environment", "hg"),
        ("10000", "--cloud", "https://cloud.example/api/postxs"),
    ],
)
def test_terminals_of_one_place_at_a_time(called: Run, args: tuple[str, ...]) -> None:
    assert called("terminals", *args, "--json").code == 2
