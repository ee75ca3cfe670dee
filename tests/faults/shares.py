"""How many commands of the random sequences stay unknown, and why: ``python -m tests.faults.shares stream 25000``."""

from __future__ import annotations

import sys
from collections import Counter

from getnet_pos.messages import Intent, IntentState
from tests.faults.sequences import SEQUENCES, Sequence
from tests.faults.workers import shared

_BLOCK = 250
_CAUSES = {
    "may have been made after the command's caller was gone": "no ticket on the voucher, and the register had stopped",
    "more vouchers may have been made since": "no ticket on the voucher, and what was there right before was not told",
    "may have been keyed in by hand": "no ticket on the voucher: it may have been keyed in by hand",
    "could belong to another command": "another command that is unknown may have made the voucher",
    "could answer another command": "another command that is unknown may have made the voucher",
    "records could belong to the command": "another command that is unknown may have made the voucher",
    "last voucher before the command is unknown": "the last voucher before the command was never told",
    "may have been there before": "the voucher and the one before have nothing in common to compare",
    "another terminal may be connected": "another terminal may be there",
    "another terminal answers": "another terminal may be there",
    "in process": "the cloud is still at it",
    "was already there before": "nothing new is recorded",
    "before the command left": "nothing new is recorded",
    "older than the one before": "nothing new is recorded",
    "has ticket": "nothing new is recorded",
    "is of another operation": "nothing new is recorded",
    "does not say that it is of": "nothing new is recorded",
    "has no voucher": "nothing new is recorded",
    "query for the last voucher": "what came does not fit",
    "has the amount": "what came does not fit",
    "does not match": "what came does not fit",
    "does not fit": "what came does not fit",
    "voids operation": "what came does not fit",
    "whether the card was charged": "a code that does not say whether the card was charged",
}


def cause(intent: Intent) -> str:
    last = (intent.reason or "").split("; ")[-1]
    return next((told for words, told in _CAUSES.items() if words in last), "nobody could be asked until the end")


def world(sequence: Sequence, intent: Intent) -> str:
    if not sequence.truthful:
        return "the whole world"
    return "a truthful record" + sequence.unsaid(intent)


def count(part: tuple[str, int, int]) -> Counter[str]:
    carrier, first, last = part
    counts: Counter[str] = Counter()
    for seed in range(first, last):
        sequence = SEQUENCES[carrier](seed)
        sequence.play()
        for intent in sequence.journal.finals():
            where = world(sequence, intent)
            counts[where] += 1
            if intent.state is IntentState.UNKNOWN:
                counts[f"{where}: unknown"] += 1
                counts[f"{where}: unknown: {cause(intent)}"] += 1
    return counts


def main() -> None:
    carrier, seeds = sys.argv[1], int(sys.argv[2])
    counts = shared(count, [(carrier, first, min(first + _BLOCK, seeds)) for first in range(0, seeds, _BLOCK)])
    for name, number in sorted(counts.items()):
        whole = counts[name.partition(":")[0]]
        print(f"{number:>8,} {100 * number / whole:6.2f} %  {name}")


if __name__ == "__main__":
    main()
