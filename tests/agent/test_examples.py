"""The examples sell as they stand, through an agent that is a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from getnet_pos.simulator import Behaviour, Outcome, TcpServer, VirtualTerminal
from tests.agent.agents import AgentProcess, options_of

EXAMPLES = Path(__file__).parents[2] / "examples/agent"


def run(*command: str | Path) -> tuple[int, str, str]:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def test_a_sale_in_python_and_in_the_shell(tmp_path: Path) -> None:
    declined = Behaviour(outcome=Outcome.DECLINE)
    virtual = VirtualTerminal(script=[Behaviour(), Behaviour(), declined])
    with TcpServer(virtual, gap=0) as server, AgentProcess(tmp_path, *options_of(server)) as agent:
        agent.wait_for("up")
        python = (sys.executable, "-W", "error", EXAMPLES / "sell.py", agent.url, agent.token_file)
        code, out, err = run(*python, "25000", "A1")
        assert (code, out.split()[0], err) == (0, "approved", "")
        code, out, err = run(*python, "1", "A1")
        assert (code, out, err[:8]) == (1, "", "refused:")

        shell = ("sh", EXAMPLES / "sell.sh", agent.url, agent.token_file)
        assert run(*shell, "700", "B1") == (0, '"outcome":"approved"\n', "")
        assert run(*shell, "700", "B1") == (0, '"outcome":"approved"\n', "")
        assert run(*shell, "700", "B2") == (0, '"outcome":"declined"\n', "")
        code, out, err = run(*shell, "1", "B1")
        assert (code, out, "refused" in err) == (1, "", True)
        assert virtual.ledger.charged() == 25_700
