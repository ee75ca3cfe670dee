"""The command ``getnet-pos``. It shows and asks; what happens to money is decided by the library alone.

Exit codes, the same for every command:

====  ============================================================================================
0     done; for money: approved
1     the terminal said no: declined, refused or not ready; a step of the demo failed
2     wrong use: a value, an option or a setting that cannot work; nothing was sent
3     the link: no port, no terminal, no answer, or the terminal is busy
4     the protocol: the terminal broke it, or bytes could not be decoded
5     the outcome of a payment is unknown: do not repeat it
6     the journal cannot be kept or read; no money command was sent
7     an HTTP API answered with an error
8     already charged: nothing was sent
9     the journal and the terminal's record differ
130   interrupted, with no money command left open
====  ============================================================================================
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(args: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code. ``args`` are those of the process unless given."""
    try:
        import rich
        import typer
    except ModuleNotFoundError as error:
        if error.name not in ("rich", "typer"):
            raise
        print('error: this command needs typer and rich: pip install "getnet-pos[cli]"', file=sys.stderr)
        return 2
    del rich, typer
    from ..errors import ConfigurationError

    try:
        from .application import run
    except ConfigurationError as error:  # GETNET_POS_BACKEND names a codec that is not there
        print(f"error: {error}", file=sys.stderr)
        return 2
    return run(sys.argv[1:] if args is None else list(args))
