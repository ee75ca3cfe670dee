"""The agent as a process of its own, with virtual terminals before it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import httpx

from getnet_pos import IntentState, SqliteJournal

__all__ = ["AgentProcess"]

_PATIENCE = 20.0


class AgentProcess:
    """``getnet-pos serve`` with ``options``, in ``folder``, where its token and its journal are kept.

    A context manager. ``start`` after ``kill`` starts it again at the same port.
    """

    def __init__(self, folder: Path, *options: str, **environment: str) -> None:
        self.token_file, self.journal = folder / "token", folder / "journal.sqlite3"
        self.log = folder / "log"
        """What it has told on standard error, all times that it was started."""
        self._options = options
        self._environment = {**os.environ, "GETNET_POS_JOURNAL": str(self.journal), **environment}
        self._process: subprocess.Popen[str] | None = None
        self.url, self.port, self.bridge_url = "", 0, ""

    def start(self) -> None:
        command = [
            sys.executable, "-m", "getnet_pos.cli", "serve", "--port", str(self.port),
            "--token-file", str(self.token_file), *self._options,
        ]  # fmt: skip
        with self.log.open("a", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, env=self._environment, text=True
            )
        assert self._process.stdout
        found = re.fullmatch(r"listening on (https?://\S+?)/?\n", self._process.stdout.readline())
        assert found, "the agent has not started"
        self.url = found[1]
        if "--bridge" in self._options:
            found = re.fullmatch(r"bridge on (ws://\S+/)\n", self._process.stdout.readline())
            assert found, "the bridge has not started"
            self.bridge_url = found[1]
        self.port = int(urlsplit(self.url).port or 0)

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    @property
    def token(self) -> str:
        return self.token_file.read_text(encoding="utf-8").strip()

    def client(self) -> httpx.Client:
        """A program on this machine that has the token."""
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.Client(base_url=self.url, headers=headers, trust_env=False, timeout=60)

    def states(self) -> list[IntentState]:
        """Where the payments in its journal stand, in the order in which they were begun."""
        journal = SqliteJournal(self.journal)
        try:
            return [intent.state for intent in journal.intents(settled=True)]
        finally:
            journal.close()

    def wait_for(self, state: str, terminal: str = "terminal") -> None:
        """Wait until the link of a terminal is in a state."""
        until = time.monotonic() + _PATIENCE
        with self.client() as client:
            while (now := client.get(f"/v1/terminals/{terminal}").json())["state"] != state:
                assert time.monotonic() < until, now
                time.sleep(0.02)

    def kill(self) -> None:
        """As ``kill -9`` does."""
        assert self._process
        self._process.kill()
        self.end()

    def stop(self) -> int:
        """As a service manager does; the exit code."""
        assert self._process
        self._process.terminate()
        return self.end()

    def signal(self, number: int) -> None:
        assert self._process
        self._process.send_signal(number)

    def end(self) -> int:
        """Wait until it has ended; the exit code."""
        assert self._process
        self._process.communicate(timeout=_PATIENCE)
        code, self._process = self._process.returncode, None
        return code

    def __enter__(self) -> AgentProcess:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self.kill()


def options_of(server: Any) -> tuple[str, ...]:
    """What names the terminal that a ``TcpServer`` or a ``SerialServer`` serves."""
    if hasattr(server, "device"):
        return "--usb", server.device
    host, port = server.address
    return "--tcp", f"{host}:{port}"
