"""Reads commands for a virtual terminal from standard input while it is served."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..errors import GetnetError, InvalidValue

if TYPE_CHECKING:
    from ..simulator.server import Server

__all__ = ["obey"]

_WORDS = "unplug, plug, restart, key-in AMOUNT, rename NAME"


def obey(server: Server) -> None:
    """Start a thread that carries out the lines of standard input, and prints the results on standard error."""
    if hasattr(signal, "SIGTTIN"):
        # In the background of a shell, reading would otherwise stop the process.
        signal.signal(signal.SIGTTIN, signal.SIG_IGN)
    threading.Thread(target=_obey, args=(server,), name="standard input", daemon=True).start()


def _obey(server: Server) -> None:
    with contextlib.suppress(OSError):
        for line in _lines():
            try:
                result = _done(server, *line.split())
            except (GetnetError, OSError) as error:
                result = f"error: {error}"
            print(result, file=sys.stderr, flush=True)


def _lines() -> Iterator[str]:
    """The lines that are not blank. ``sys.stdin`` is not used, because a thread that waits for it holds its lock."""
    unread = b""
    while data := os.read(0, 4096):
        *lines, unread = (unread + data).split(b"\n")
        yield from (text for line in lines if (text := line.decode(errors="replace").strip()))


def _done(server: Server, word: str, *values: str) -> str:
    """Carry out one line, and return what was done."""
    from ..simulator import SerialServer

    if word == "unplug" and not values:
        server.unplug()
        return "unplugged"
    if word == "plug" and not values:
        server.plug()
        return "plugged in"
    if word == "restart" and not values:
        server.reboot()
        return "restarted"
    if word == "key-in" and len(values) == 1 and values[0].isdecimal() and int(values[0]):
        server.key_in(int(values[0]))
        return f"a sale of {int(values[0])} was keyed in"
    if word == "rename" and len(values) == 1 and isinstance(server, SerialServer):
        server.rename(values[0])
        return f"renamed: it is now at {server.device}"
    raise InvalidValue(f"enter one of these (rename only for a pseudo-terminal): {_WORDS}")
