"""A virtual terminal for a shop that has none, with a page to pay on."""

import atexit
import contextlib
import logging
import os
from pathlib import Path
from tempfile import TemporaryDirectory

from getnet_pos.simulator import Behaviour, ScreenServer, TcpServer, VirtualTerminal

log = logging.getLogger("shop")


def serve() -> None:
    """Serve it as long as this process lasts, with a journal that lasts no longer."""
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    folder = stack.enter_context(TemporaryDirectory())
    served = stack.enter_context(TcpServer(VirtualTerminal(default=Behaviour(progress_every=1))))
    screen = stack.enter_context(ScreenServer(served))
    os.environ["SHOP_TERMINAL"] = "{}:{}".format(*served.address)
    os.environ["GETNET_POS_JOURNAL"] = str(Path(folder) / "journal.sqlite3")
    log.info("pay on %s; without a page open there, every card is approved", screen.url)
