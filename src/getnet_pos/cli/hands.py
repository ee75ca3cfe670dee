"""What a person does to a virtual terminal while it is served, by lines on standard input."""

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
    """Have a thread do what standard input says, as long as there is one; what came of it is told on standard error."""
    if hasattr(signal, "SIGTTIN"):
        # In the background of a shell there is nothing to read, and no reason to be stopped.
        signal.signal(signal.SIGTTIN, signal.SIG_IGN)
    threading.Thread(target=_obey, args=(server,), name="standard input", daemon=True).start()


def _obey(server: Server) -> None:
    with contextlib.suppress(OSError):
        for line in _lines():
            try:
                told = _done(server, *line.split())
            except (GetnetError, OSError) as error:
                told = f"error: {error}"
            print(told, file=sys.stderr, flush=True)


def _lines() -> Iterator[str]:
    """The lines that are not blank. Python's own standard input would be locked by a thread that waits for it."""
    unread = b""
    while data := os.read(0, 4096):
        *lines, unread = (unread + data).split(b"\n")
        yield from (text for line in lines if (text := line.decode(errors="replace").strip()))


def _done(server: Server, word: str, *told: str) -> str:
    """Do one thing, and say what was done."""
    from ..simulator import SerialServer

    if word == "unplug" and not told:
        server.unplug()
        return "unplugged"
    if word == "plug" and not told:
        server.plug()
        return "plugged in"
    if word == "restart" and not told:
        server.reboot()
        return "restarted"
    if word == "key-in" and len(told) == 1 and told[0].isdecimal() and int(told[0]):
        server.key_in(int(told[0]))
        return f"a sale of {int(told[0])} was keyed in"
    if word == "rename" and len(told) == 1 and isinstance(server, SerialServer):
        server.rename(told[0])
        return f"renamed: it is at {server.device}"
    raise InvalidValue(f"one of these, and rename for a pseudo-terminal alone: {_WORDS}")
