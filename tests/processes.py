"""Processes of tests: forked from one that has imported what they run, which takes longer than most of them do."""

from __future__ import annotations

import multiprocessing
import os
import sys
from multiprocessing.connection import Connection

context = multiprocessing.get_context("forkserver" if os.name == "posix" else "spawn")
context.set_forkserver_preload(
    [
        "getnet_pos.cli.application", "getnet_pos.cloud.account", "getnet_pos.drivers.engine", "httpx",
        "tests.faults.dying_register", "tests.faults.explorer", "tests.faults.sequences", "tests.hosts.host",
    ]
)  # fmt: skip
"""There is one such server for all, so there is one list."""


class Command:
    """``getnet-pos`` in a process of its own, with pipes, as ``subprocess.Popen`` has it."""

    def __init__(self, *args: str) -> None:
        pipes = [context.Pipe(duplex=False) for _ in range(3)]
        (stdin, write), (read_out, stdout), (read_err, stderr) = pipes
        self._process = context.Process(
            target=_run, args=(args, dict(os.environ), (stdin, stdout, stderr)), daemon=True
        )
        self._process.start()
        self.stdin = os.fdopen(os.dup(write.fileno()), "w", encoding="utf-8")
        self.stdout, self.stderr = (os.fdopen(os.dup(end.fileno()), encoding="utf-8") for end in (read_out, read_err))
        for pipe in pipes:
            for end in pipe:
                end.close()

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        assert self.returncode is not None, "it goes on"
        return self.returncode

    def send_signal(self, number: int) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What it still writes until its end."""
        written = self.stdout.read(), self.stderr.read()
        self.wait(timeout)
        return written

    def close(self) -> None:
        self.kill()
        self._process.join()
        for stream in (self.stdin, self.stdout, self.stderr):
            stream.close()


def _run(args: tuple[str, ...], environment: dict[str, str], ends: tuple[Connection, ...]) -> None:
    from getnet_pos.cli import main

    for number, end in enumerate(ends):
        os.dup2(end.fileno(), number)
        end.close()
    sys.stdin, sys.stdout = os.fdopen(0, encoding="utf-8"), os.fdopen(1, "w", encoding="utf-8")
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", buffering=1)
    os.environ.clear()
    os.environ.update(environment)
    sys.exit(main(args))
