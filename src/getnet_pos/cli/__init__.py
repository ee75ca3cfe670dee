"""The command ``getnet-pos``. It reads options and shows results; the library alone decides about money.

Every command has the same exit codes:

====  ============================================================================================
0     done; for a payment: approved
1     the terminal said no: declined, refused or not ready; or a step of the demo failed
2     wrong use: an invalid value, option or setting; nothing was sent
3     the link: no port, no terminal, no reply, or the terminal is busy
4     the protocol: the terminal broke it, or the bytes could not be decoded
5     the outcome of a payment is unknown: do not repeat it
6     the journal cannot be written or read; no payment command was sent
7     an HTTP API responded with an error
8     already charged; nothing was sent
9     the journal and the terminal's record differ
130   interrupted, and no payment command was left open
====  ============================================================================================
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(args: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code. ``args`` defaults to the arguments of the process."""
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
    except ConfigurationError as error:  # GETNET_POS_BACKEND names a codec that is not installed
        print(f"error: {error}", file=sys.stderr)
        return 2
    return run(sys.argv[1:] if args is None else list(args))
