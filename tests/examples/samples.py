"""A sample as a process of its own, which is killed and started again."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import httpx

from getnet_pos import Intent, IntentState, SqliteJournal

__all__ = ["EXAMPLES", "Sample", "leave_unknown", "until"]

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
_PATIENCE = 30.0


def until(what: Callable[[], object]) -> None:
    """Wait until it is so."""
    end = time.monotonic() + _PATIENCE
    while not what():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def leave_unknown(path: Path, terminal: str, ticket: str, amount: int) -> str:
    """Have a journal hold a sale of unknown outcome; its id."""
    journal = SqliteJournal(path)
    intent = Intent(
        intent_id="0123456789abcdef0123456789abcdef", terminal=terminal, command=100,
        amount=amount, ticket=ticket, idempotency_key=ticket,
    )  # fmt: skip
    for state in (IntentState.INTENT, IntentState.SENT, IntentState.UNKNOWN):
        journal.record(replace(intent, state=state))
    journal.close()
    return intent.intent_id


class Sample:
    """``command``, a program of ``examples`` and its arguments, with a journal in ``folder``.

    A context manager; ``start`` after ``kill`` starts it again. Its warnings are errors.
    """

    def __init__(self, folder: Path, *command: str, url: str = "", **environment: str) -> None:
        self.journal, self.log = folder / "journal.sqlite3", folder / "log"
        self.url = url
        program, *arguments = command
        self._command = [sys.executable, "-W", "error", str(EXAMPLES / program), *arguments]
        self._environment = {**os.environ, "GETNET_POS_JOURNAL": str(self.journal), **environment}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, env=self._environment)
        if self.url:
            until(self._answers)

    def _answers(self) -> bool:
        assert self._process
        assert self._process.poll() is None, self.told()
        try:
            httpx.get(self.url, trust_env=False)
        except httpx.TransportError:
            return False
        return True

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, trust_env=False, timeout=60)

    def told(self) -> str:
        """What it has written, all times that it was started."""
        return self.log.read_text(encoding="utf-8")

    def kill(self) -> None:
        """As ``kill -9`` does."""
        assert self._process
        self._process.kill()
        self._process.wait(_PATIENCE)
        self._process = None

    def stop(self) -> int:
        """As a service manager does; the exit code, or the signal as uvicorn hands it on."""
        assert self._process
        self._process.terminate()
        code = self._process.wait(_PATIENCE)
        self._process = None
        return code

    def __enter__(self) -> Sample:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self.kill()
