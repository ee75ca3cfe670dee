"""docs/equipment.md says what is so, and the example runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import httpx
import pytest

from getnet_pos import errors
from getnet_pos.codec.terminals import TEXTS
from getnet_pos.drivers import loop
from getnet_pos.equipment import Environment
from getnet_pos.flows.http_calls import RetryPolicy
from getnet_pos.messages.terminals import PaymentTerminal
from getnet_pos.simulator import equipment as simulator
from getnet_pos.simulator.equipment import EquipmentServer

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "equipment.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "examples" / "join_terminals.py"


def section(title: str) -> str:
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def test_the_table_of_fields() -> None:
    table = re.findall(r"^\| `(\w+)` \| [^|]+ \| (\d*) *\|", section("Fields"), re.MULTILINE)
    assert [name for name, _ in table] == [item.name for item in fields(PaymentTerminal) if item.name != "extra"]
    assert {name: int(longest) for name, longest in table if longest} == TEXTS


def test_the_documented_answer_is_what_the_simulator_sends() -> None:
    found = re.search(r"```json\n(.*?)\n```", section("The answer"))
    assert found
    with EquipmentServer() as server:
        headers = {"Authorization": "Bearer token"}
        answer = httpx.get(f"{server.base_url}/payment-terminals/count-1", headers=headers, trust_env=False)
    assert found[1].replace("10000", "count-1").encode() == answer.content


def test_the_errors_exist() -> None:
    for name in re.findall(r"`([A-Z]\w+)`", section("Errors")):
        assert hasattr(errors, name), name


def test_the_addresses_and_pauses() -> None:
    for environment in Environment:
        assert f"`{environment}`" in section("The request")
    policy = RetryPolicy()
    pauses = [loop.run(policy.pause(attempt), lambda effect: 1.0) for attempt in (1, 2)]
    assert (policy.attempts, pauses, policy.longest_retry_after) == (3, [0.5, 1.0], 30.0)


def test_the_simulators_table_is_complete() -> None:
    text = simulator.__doc__ or ""
    for name in (*simulator._SHAPES, *(f"{name}-N" for name in simulator._FIRST_REFUSALS)):
        assert f"``{name}``" in text
    for name in simulator._ERRORS:
        assert f"error-{name}" in text or name in ("401", "404"), name


def test_code_of_the_page_runs() -> None:
    for code in re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        with EquipmentServer() as server:
            local = code.replace("Credentials(STAGING_TOKEN_URL", f"Credentials({server.token_url!r}")
            local = local.replace("(Environment.HTI", f"({server.base_url!r}")
            exec(compile(local, "equipment.md", "exec"), {"__name__": "__main__"})


def run(*arguments: str, token: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    environment.pop("GETNET_TOKEN", None)
    if token is not None:
        environment["GETNET_TOKEN"] = token
    command = [sys.executable, str(EXAMPLE), *arguments]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", env=environment, timeout=60)


def test_the_example_by_itself() -> None:
    done = run()
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "80005000 903191104705571440 MOVE 5000 ESSENTIAL",
        "80005001 903191104705571442 VX 690",
        "not in the cloud: 903191104705571441 DESK 3500",
        "not an active terminal of the merchant: 80005002 SNPRUEBA1234",
    ]


def test_the_example_with_a_file(tmp_path: Path, server: EquipmentServer) -> None:
    path = tmp_path / "cloud.csv"
    path.write_text("id_terminal,id_sucursal,serial_number\n80005000,1,903191104705571440\n", encoding="utf-8")
    done = run(server.base_url, "10000", str(path), token="t")
    assert (done.returncode, done.stdout) == (0, "80005000 903191104705571440 MOVE 5000 ESSENTIAL\n")


@pytest.mark.parametrize("arguments", [("one",), ("a", "b", "c")])
def test_the_example_asks_for_what_it_needs(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert "GETNET_TOKEN" in done.stderr
