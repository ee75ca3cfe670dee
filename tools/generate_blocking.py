"""The blocking faces of the library, made from the asyncio ones: ``python tools/generate_blocking.py [--check]``.

``--check`` writes nothing and exits 1 where a face is not what it would be made to be. The asyncio face is the source:
each ``_aio.py`` has its ``_blocking.py`` beside it, the same text with the words of ``WORDS`` replaced. Where the two
do something else, comments in the source say so:

* a line that ends with ``# asyncio only`` is left out;
* a line ``# blocking only: code`` becomes ``code``.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "src/getnet_pos"
ROOMS = ("connector", "equipment", "cloud")

HEADER = "# Made from _aio.py by tools/generate_blocking.py: change that one, and run this.\n"

WORDS = [
    # Code.
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\b__a(enter|exit)__", r"__\1__"),
    (r"\bdrivers\.aio\b", "drivers.blocking"),
    (r"\bAsyncDriver\b", "BlockingDriver"),
    (r"\bAsync(?=[A-Z])", ""),
    # Documentation.
    (r"opened by ``with``, by ``await`` on it, or by its first ``polling\(\)``", "opened when it is made"),
    (r"Opening it raises", "It raises"),
    (r"Cancelling the task of", "Interrupting"),
    (r", and awaited if it is a coroutine function", ""),
    (r"a function or an async function that", "a function that"),
    (r" *>>> import asyncio\n", ""),
    (r"asyncio\.run\((\w+\(\))\)", r"\1"),
    (r", on asyncio\.", ", blocking."),
    (r"on asyncio\.", "that blocks."),
    (r"\b([Tt])ask", r"\1hread"),
]

LEFT_OUT = re.compile(r"(?:(?<=\n\n)|(?<=:\n))(?:.*  # asyncio only\n)+\n|.*  # asyncio only\n")
"""With the empty line that follows, where one stands before it as well or a block begins."""
ONLY_HERE = re.compile(r"^( *)# blocking only: ", re.MULTILINE)


def blocking(source: str) -> str:
    """The blocking face of an asyncio one."""
    text = ONLY_HERE.sub(r"\1", LEFT_OUT.sub("", source))
    for pattern, word in WORDS:
        text = re.sub(pattern, word, text)
    return HEADER + text


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="only look whether the faces are up to date")
    check = parser.parse_args().check
    differing = 0
    for room in ROOMS:
        made = blocking((PACKAGE / room / "_aio.py").read_text(encoding="utf-8"))
        path = PACKAGE / room / "_blocking.py"
        if path.exists() and path.read_text(encoding="utf-8") == made:
            continue
        differing += 1
        if check:
            print(f"{path} differs from its _aio.py: run python tools/generate_blocking.py")
        else:
            path.write_text(made, encoding="utf-8")
            print(f"wrote {path}")
    return 1 if check and differing else 0


if __name__ == "__main__":
    sys.exit(main())
