"""``python -m benches.agent`` measures what a sale costs through the agent, beside the library alone, and its memory.

Both sell at virtual terminals of their own, over TCP, with journals on the same disk, in turns; the terminals are in
another process, and need no time. The agent's caller keeps its connection.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

from benches.__main__ import describe
from getnet_pos import AsyncConnector

_COMMAND = [sys.executable, "-m", "getnet_pos.cli"]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benches.agent", description=__doc__)
    parser.add_argument("--sales", type=int, default=500, help="of each")
    options = parser.parse_args()
    print(" | ".join(f"{key}: {value}" for key, value in describe().items()))
    found = asyncio.run(measure(options.sales))
    for name, value in found.items():
        print(f"{name:<44} {value}")


async def measure(sales: int) -> dict[str, str]:
    """The median of a sale each way, the median of the difference of two in turn, and the memory of the agent."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        terminals = [
            _started(stack, folder, "simulate", "tcp", "--gap", "0", f"--terminal-id=8000500{n}") for n in (1, 2)
        ]
        token = folder / "token"
        url, process = _started(
            stack, folder, "serve", "--port", "0", "--token-file", str(token), "--tcp", terminals[0][0],
            "--journal", str(folder / "agent.sqlite3"),
        )  # fmt: skip
        place = url.removeprefix("http://")
        caller = http.client.HTTPConnection(place, timeout=60)
        headers = {"Authorization": f"Bearer {token.read_text().strip()}", "Content-Type": "application/json"}
        while _asked(caller, "GET", "/v1/terminals/terminal", headers)["state"] != "up":
            time.sleep(0.05)
        idle = _resident(process)
        host, _, port = terminals[1][0].rpartition(":")
        async with AsyncExitStack() as opened:
            connector = AsyncConnector.create_tcp(host, int(port), journal=folder / "library.sqlite3")
            pos = await opened.enter_async_context(connector)
            await pos.polling()
            alone, through = [], []
            for number in range(sales):
                before = time.perf_counter()
                reply = await pos.sale(1_000, ticket=f"T{number}", on_progress=_look)
                between = time.perf_counter()
                body = {"amount": 1_000, "ticket": f"T{number}"}
                told = _asked(caller, "POST", "/v1/terminals/terminal/sales", headers, body)
                after = time.perf_counter()
                assert reply.approved
                assert (told["outcome"], told["recovered"]) == ("approved", False)
                alone.append(between - before)
                through.append(after - between)
        overhead = statistics.median(one - other for one, other in zip(through, alone, strict=True))
        return {
            "a sale, the library alone, median": _ms(statistics.median(alone)),
            "a sale, through the agent, median": _ms(statistics.median(through)),
            "what the agent adds, median of pairs": _ms(overhead),
            "memory of the idle agent (VmRSS)": f"{idle / 1024:.1f} MiB",
            f"the same after {sales:,} sales": f"{_resident(process) / 1024:.1f} MiB",
        }


def _look(progress: object) -> None:
    """A register that follows the sale, as the agent does."""


def _started(stack: ExitStack, folder: Path, *arguments: str) -> tuple[str, int]:
    """Where the command listens, and its process."""
    process = subprocess.Popen(
        [*_COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={**os.environ, "GETNET_POS_JOURNAL": str(folder / "unused.sqlite3")},
    )  # fmt: skip
    stack.callback(process.wait)
    stack.callback(process.terminate)
    assert process.stdout is not None
    return process.stdout.readline().removeprefix("listening on ").strip(), process.pid


def _asked(
    caller: http.client.HTTPConnection, method: str, path: str, headers: dict[str, str], body: Any = None
) -> Any:
    caller.request(method, path, None if body is None else json.dumps(body), headers)
    return json.loads(caller.getresponse().read())


def _resident(process: int) -> int:
    """In KiB."""
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.2f} ms"


if __name__ == "__main__":
    main()
