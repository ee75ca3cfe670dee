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
        code, out, err = run(*python[:4])
        assert (code, out, "Usage: python sell.py" in err) == (1, "", True)

        shell = ("sh", EXAMPLES / "sell.sh", agent.url, agent.token_file)
        assert run(*shell, "700", "B1") == (0, "approved\n", "")
        assert run(*shell, "700", "B1") == (0, "approved\n", "")
        assert run(*shell, "700", "B2") == (0, "declined: Rechazado\n", "")
        code, out, err = run(*shell, "1", "B1")
        assert (code, out, err[:8]) == (1, "", "refused:")
        assert "key" in err
        assert run(*shell[:3]) == (2, "", "usage: sh sell.sh AGENT TOKEN_FILE AMOUNT TICKET\n")
        wrong = tmp_path / "wrong"
        wrong.write_text("a-token-of-another-agent")
        for kind in (python[:-1], shell[:-1]):
            code, out, err = run(*kind, wrong, "700", "B3")
            assert (code, out, err[:8]) == (1, "", "refused:")
            assert "token" in err
        assert virtual.ledger.charged() == 25_700
