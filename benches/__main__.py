"""``python -m benches payments`` measures what a payment costs, ``python -m benches decoding`` who decodes how fast.

Each prints a table, and writes JSON and a chart of it. Nothing here skips a check.
"""

from __future__ import annotations

import argparse
import json
import platform
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

from benches.chart import chart
from benches.measure import Figure, measure
from benches.payments.goals import measure_payments
from benches.terminals import listings
from benches.works import backends, works

_CHARTED = ("sale reply", "replies of all kinds", "seal a sale", "simplified sale reply", "simplified sale command")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benches", description=__doc__)
    parser.add_argument("what", choices=["payments", "decoding"])
    parser.add_argument("--quick", action="store_true", help="fewer rounds and less data: some two minutes")
    parser.add_argument("--output", type=Path, help="a directory for the JSON and the chart")
    options = parser.parse_args()
    machine = describe()
    print(" | ".join(f"{key}: {value}" for key, value in machine.items()))
    if options.what == "payments":
        measure_payments(options.quick, options.output, machine)
    else:
        _measure_decoding(options.quick, options.output, machine)


def _measure_decoding(quick: bool, output: Path | None, machine: dict[str, str]) -> None:
    """Times are medians of turns taken one after the other, so ratios mean more than times."""
    print(f"{'work':<26} {'way':<32} {'median':>12} {'ratio':>9} {'MB/s':>9} {'peak KiB':>9}")
    figures: list[Figure] = []
    for work in chain(works(quick), listings(quick)):
        found = measure(work, *((40, 3.0) if quick else (400, 15.0)))
        figures += found
        for figure in found:
            time = f"{figure.nanoseconds / 1000:,.3f} us"
            print(
                f"{figure.work:<26} {figure.way:<32} {time:>12} {figure.ratio:>9.2f} "
                f"{figure.bytes_per_second / 1e6:>9.1f} {figure.peak / 1024:>9.0f}",
                flush=True,
            )
    if output:
        output.mkdir(parents=True, exist_ok=True)
        report = {"machine": machine, "figures": [figure.as_dict() for figure in figures]}
        (output / "benches.json").write_text(json.dumps(report, indent=1) + "\n")
        shown = [figure for figure in figures if figure.work in _CHARTED]
        title = f"Time of a frame, {machine['processor']}, Python {machine['python']}"
        (output / "benches.svg").write_text(chart(shown, title))


def describe() -> dict[str, str]:
    """The processor, Python, the backends and the versions of what is compared."""
    native: Any = backends().get("native")
    ways = "not built" if native is None else f"{native._implementations()['chosen'].decode()}"
    return {
        "processor": _processor(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "native SHA-256": ways,
        **{name: version(name) for name in ("getnet-pos", "orjson", "msgspec", "httpx", "aiohttp") if _installed(name)},
    }


def _installed(name: str) -> bool:
    try:
        version(name)
    except ModuleNotFoundError:
        return False
    return True


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
