"""``python -m fuzz [TARGET ...] --seconds N``: fuzz each target for that long; exit 1 where one finds something."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import atheris

CORPUS = Path(__file__).parent / "corpus"
NAMES = ("decoder", "envelope", "command", "simplified", "terminals", "cloud", "journal")


def words() -> set[str]:
    """What the readers know by name, to be put into inputs whole."""
    from getnet_pos.codec.terminals import TEXTS
    from getnet_pos.messages import CATALOGUE, IntentState
    from getnet_pos.messages.declaring import sent_fields
    from getnet_pos.messages.fields import wire_fields

    replies = CATALOGUE.reply_types.values()
    known = {spelling for kind in replies for item in wire_fields(kind) for spelling in item.spellings}
    known |= {item.wire for kind in CATALOGUE.kinds.values() for item in sent_fields(kind)}
    known |= {name[0].lower() + name[1:] for name in known} | {"Command", "DateTime"}
    known |= {*TEXTS, "merchant_id", "equipments", "item", "activation_datetime", "commercial_mode", "ALUGUEL"}
    known |= {"warranty_available", "idPosTxs", "customId", "response", "data", "JsonSerialized", "Sign", "Received"}
    return known | {state.value for state in IntentState} | {"null", "false", "1.5e3", "18446744073709551616"}


def fuzz(name: str, seconds: int, work: Path, seed: int) -> None:
    """Fuzz one target in this process, which ends with it."""
    with atheris.instrument_imports(include=["getnet_pos"]):
        from fuzz.targets import TARGETS

    grown = work / name
    grown.mkdir(parents=True, exist_ok=True)
    dictionary = work / f"{name}.dict"
    dictionary.write_text("".join(f'"{word}"\n' for word in sorted(words())), encoding="ascii")
    options = [
        f"-max_total_time={seconds}", "-max_len=4096", "-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1",
        "-verbosity=0", f"-seed={seed}", f"-dict={dictionary}", f"-artifact_prefix={work}/{name}-",
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *options, str(grown), str(CORPUS / name)], TARGETS[name])
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("target", nargs="*", help=f"from {', '.join(NAMES)}; all when none is named")
    parser.add_argument("--seconds", type=int, default=600, help="how long to fuzz each target")
    parser.add_argument("--work", type=Path, help="keeps the grown corpus and the findings; else a temporary folder")
    parser.add_argument("--seed", type=int, default=0, help="0 takes another one each time")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if set(asked.target) - set(NAMES):
        parser.error(f"choose from {', '.join(NAMES)}")
    work = asked.work or Path(tempfile.mkdtemp(prefix="getnet-fuzz-"))
    if asked.here:
        fuzz(asked.target[0], asked.seconds, work, asked.seed)
    found = []
    for name in asked.target or NAMES:
        print(f"--- {name}: {asked.seconds} s", flush=True)
        command = [sys.executable, "-m", "fuzz", name, "--here", "--work", str(work), "--seed", str(asked.seed)]
        if subprocess.run([*command, "--seconds", str(asked.seconds)], env=os.environ).returncode:
            found.append(name)
    print(f"found something: {', '.join(found)}; inputs are in {work}" if found else "found nothing")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
