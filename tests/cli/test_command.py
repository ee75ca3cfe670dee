"""The command as such: help, version, what it loads, what it needs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from getnet_pos import __version__
from getnet_pos.cli.simulate import OutcomeName
from getnet_pos.simulator import Outcome, TcpServer, VirtualTerminal

Run = Callable[..., Any]

COMMANDS = [
    "poll", "sale", "void", "refund", "report", "last", "intents", "resolve", "recover", "demo", "ports", "decode",
    "version", "terminals", "duplicate", "close-batch", "simulate", "simulate serial", "simulate tcp", "simulate http",
    "simulate cloud", "simulate equipment",
]  # fmt: skip


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_80_columns(called: Run, command: str) -> None:
    ended = called(*command.split(), "--help", env={"COLUMNS": "80"})
    assert (ended.code, ended.err) == (0, "")
    assert all(len(line) <= 80 for line in ended.out.splitlines())
    assert "…" not in ended.out


def test_help_lists_commands_and_exit_codes(called: Run) -> None:
    shown = called("--help").out
    assert all(f" {name} " in shown for name in COMMANDS if " " not in name)
    words = " ".join(shown.split())
    assert "5 outcome unknown" in words
    assert called().out == shown


def test_a_shell_can_complete_commands(getnet: Run, called: Run) -> None:
    asked = {"_GETNET_POS_COMPLETE": "complete_bash", "COMP_WORDS": "getnet-pos sa", "COMP_CWORD": "1"}
    assert getnet(env=asked).out.split() == ["sale", "sales-by-seller"]
    assert "--install-completion" in called("--help").out


def test_a_codec_that_is_not_there_is_wrong_use(getnet: Run) -> None:
    ended = getnet("version", env={"GETNET_POS_BACKEND": "quick"})
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "error: there is no codec backend 'quick': use 'native' or 'pure'\n"


def test_version(getnet: Run, called: Run) -> None:
    document = getnet("version", "--json", env={"GETNET_POS_BACKEND": "pure"}).document
    assert list(document) == ["version", "backend", "python", "platform", "journal"]
    assert (document["version"], document["backend"]) == (__version__, "pure")
    assert __version__ in called("version").out


def test_ports(called: Run) -> None:
    assert isinstance(called("ports", "--json").document, list)
    assert called("ports").code == 0


def test_outcomes_are_those_of_the_simulator() -> None:
    assert {outcome.value for outcome in OutcomeName} == {outcome.value for outcome in Outcome}


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_its_extra_the_command_says_what_to_install(missing: str) -> None:
    done = python(f"import sys; sys.modules[{missing!r}] = None; from getnet_pos.cli import main; sys.exit(main())")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == 'error: this command needs typer and rich: pip install "getnet-pos[cli]"\n'


@pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
def test_without_its_extra_a_simulator_says_what_to_install(missing: str) -> None:
    done = python(
        f"import sys; sys.modules[{missing!r}] = None; from getnet_pos.cli import main; "
        f"print(main(['simulate', 'equipment']), {os.name == 'posix'} and main(['demo']))"
    )
    assert done.stdout.startswith("codec: ") or os.name != "posix"
    assert done.stdout.splitlines()[-1] in ("2 0", "2 False")
    assert 'pip install "getnet-pos[simulator]"' in done.stderr


def test_heavy_modules_are_loaded_when_they_are_used() -> None:
    heavy = ("getnet_pos.simulator", "starlette", "uvicorn")
    code = "import sys, getnet_pos.cli.application; print([name for name in sys.modules if name.startswith({})])"
    assert python(code.format(heavy)).stdout == "[]\n"


def test_simulated_api_says_where_it_listens(begin: Run) -> None:
    server = begin("simulate", "equipment")
    assert server.stdout.readline().startswith("listening on http://127.0.0.1:")
    server.terminate()
    assert server.wait(30) == 0


def test_no_color_is_respected(called: Run) -> None:
    coloured = {"FORCE_COLOR": "1", "TERM": "xterm-256color"}
    with TcpServer(VirtualTerminal(), gap=0) as server:
        sale = ("sale", "1000", "--tcp", "{}:{}".format(*server.address))
        assert "\x1b[1;32m" not in called(*sale, env={**coloured, "NO_COLOR": "1"}).out
        assert "\x1b[1;32m" in called(*sale, env=coloured).out
