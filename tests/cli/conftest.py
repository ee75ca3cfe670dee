"""The command, in processes of its own or in the test's, against a virtual terminal in another process."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from getnet_pos.cli import main
from tests.processes import Command


@dataclass(frozen=True)
class Ended:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)

    @property
    def asides(self) -> list[Any]:
        """The JSON lines on standard error."""
        return [json.loads(line) for line in self.err.splitlines() if line.startswith("{")]


@pytest.fixture
def getnet() -> Callable[..., Ended]:
    """Runs ``getnet-pos`` with the arguments to its end; ``stdin`` and ``env`` may be given."""

    def run(*args: str, stdin: bytes = b"", env: dict[str, str] | None = None) -> Ended:
        command = [sys.executable, "-m", "getnet_pos.cli", *args]
        environment = {**os.environ, **(env or {})}
        done = subprocess.run(command, input=stdin, capture_output=True, timeout=90, env=environment)
        assert b"Traceback" not in done.stderr, done.stderr.decode()
        return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


@pytest.fixture
def called(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    """The same in this process, which is faster: for what needs no signal, and no second process."""

    def run(*args: str, stdin: bytes = b"", env: dict[str, str] | None = None) -> Ended:
        with monkeypatch.context() as patch:
            for name, value in (env or {}).items():
                patch.setenv(name, value)
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
            code = main(list(args))
        out, err = capsys.readouterr()
        return Ended(int(code), out, err)

    return run


@pytest.fixture
def begin() -> Iterator[Callable[..., Command]]:
    """Starts ``getnet-pos`` with the arguments, to be interrupted by the test."""
    with contextlib.ExitStack() as stack:
        yield lambda *args: stack.enter_context(contextlib.closing(Command(*args)))


@pytest.fixture
def simulate(begin: Callable[..., Command]) -> Iterator[Callable[..., str]]:
    """Serves a virtual terminal with the options of ``simulate serial``; returns the device."""
    servers: list[Command] = []

    def simulate(*options: str) -> str:
        server = begin("simulate", "serial", "--gap", "0", *options)
        servers.append(server)
        first = server.stdout.readline()
        assert first.startswith("listening on "), first
        return first.removeprefix("listening on ").rstrip("\n")

    yield simulate
    for server in servers:
        server.terminate()
        assert server.wait(60) == 0
