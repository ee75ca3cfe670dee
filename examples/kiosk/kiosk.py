"""The payment service of a kiosk, for systemd: it takes orders from a folder and leaves results in another.

``python examples/kiosk/kiosk.py`` runs it with a virtual terminal and says where to leave an order. On a kiosk
``kiosk.service`` starts it with KIOSK_TERMINAL, such as ``/dev/getnet-pos``, and a folder of its own.

The kiosk's screen writes ``orders/K17``, one line with the amount, and waits for ``results/K17.json``; no two orders
have the same name. It writes ``orders/K17.cancel`` when the customer gives up. An order is removed when its result is
on the disk: what is left there after a power cut gets its result at the next start, and is charged once.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from getnet_pos import AsyncConnector, GetnetError, IntentState, OutcomeUnknown
from getnet_pos.journal import DEFAULT_JOURNAL, Search, open_journal

log = logging.getLogger("kiosk")

_LOOK_EVERY = 0.2
_POLL_EVERY = {True: 60.0, False: 5.0}
"""Seconds between two polls while nobody buys, where the terminal was ready and where it was not."""
_NEVER_CHARGED = (IntentState.NOT_SENT, IntentState.RESOLVED_NOT_PAID)


class Kiosk:
    """One terminal, and the folder through which a screen uses it."""

    def __init__(self, terminal: str, folder: Path) -> None:
        self._orders, self._results = folder / "orders", folder / "results"
        self._terminal_file = folder / "terminal.json"
        for place in (self._orders, self._results):
            place.mkdir(exist_ok=True)
        self._journal = open_journal(DEFAULT_JOURNAL)
        self._pos = AsyncConnector.create_usb(terminal, journal=self._journal)
        self._stopping = asyncio.Event()
        self._is_ready = False
        self._left: list[Path] = []
        """Orders from before a restart that may have been charged, and that the terminal has not been asked about."""

    def stop(self) -> None:
        """End soon: a sale in progress is cancelled, and its result written."""
        self._stopping.set()

    async def run(self) -> None:
        left = self._waiting()
        notify("READY=1")
        watching = asyncio.create_task(keep_alive())
        try:
            for order in left:
                await self._take_over(order)
            await self._poll()
            while not self._stopping.is_set():
                await self._serve()
        finally:
            notify("STOPPING=1")
            watching.cancel()
            await self._pos.close()

    async def _take_over(self, order: Path) -> None:
        """An order from before a restart. What was not charged then is not charged now: the customer may have gone."""
        found = await asyncio.to_thread(self._journal.find, Search(terminal="", idempotency_key=order.name))
        states = [step.intent.state for step in found if step.intent.idempotency_key == order.name]
        if not states or states[-1] in _NEVER_CHARGED:
            self._finish(order, {"outcome": "not done", "message": "the kiosk was restarted"})
        else:
            self._left.append(order)

    async def _serve(self) -> None:
        """Take the orders that are there, or look after the terminal while there are none."""
        for order in self._waiting():
            if self._stopping.is_set():
                return
            self._finish(order, await self._sell(order))
        until = asyncio.get_running_loop().time() + _POLL_EVERY[self._is_ready]
        while not self._waiting() and not self._stopping.is_set():
            if asyncio.get_running_loop().time() > until:
                await self._poll()
                return
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), _LOOK_EVERY)

    async def _poll(self) -> None:
        """Tell the screen whether the terminal is there, and the log what an earlier run had left open."""
        try:
            polled = await self._pos.polling()
            for intent in polled.settled:
                log.warning("order %s was left open and is %s", intent.ticket, intent.state)
            for intent in polled.unknown:
                log.error("order %s: outcome unknown, a person must look (%s)", intent.ticket, intent.reason)
            while self._left:
                self._finish(self._left[0], await self._charge(self._left[0]))
                del self._left[0]
        except GetnetError as error:
            self._tell(False, str(error))
        else:
            self._tell(polled.approved, "ready" if polled.approved else polled.response_message or "not ready")

    def _tell(self, is_ready: bool, message: str) -> None:
        self._is_ready = is_ready
        notify(f"STATUS={message}")
        write(self._terminal_file, {"ready": is_ready, "message": message})

    async def _sell(self, order: Path) -> dict[str, Any]:
        """The result of a new order. Every error says that nothing was charged."""
        await self._poll()  # also finds a terminal that was away
        try:
            return await self._charge(order)
        except GetnetError as error:
            return {"outcome": "not done", "message": str(error)}

    async def _charge(self, order: Path) -> dict[str, Any]:
        """Charge an order, or find the result that it has."""
        amount = order.read_text(encoding="utf-8").strip()
        if not (amount.isascii() and amount.isdecimal()):
            return {"outcome": "not done", "message": "an order is one line, the amount in whole units"}
        sale = asyncio.create_task(self._pos.sale(int(amount), ticket=order.name, idempotency_key=order.name))
        is_cancelled = False
        while not (await asyncio.wait({sale}, timeout=_LOOK_EVERY))[0]:
            if not is_cancelled and (self._stopping.is_set() or cancelled(order).exists()):
                is_cancelled = True
                with contextlib.suppress(GetnetError):  # the sale has ended meanwhile, and tells so itself
                    await self._pos.cancel_sale()
        try:
            reply = sale.result()
        except OutcomeUnknown as error:
            log.error("order %s: outcome unknown, a person must look (%s)", order.name, error.reason)
            return {"outcome": "unknown", "message": error.reason, "intent_id": error.intent_id}
        return {
            "outcome": "approved" if reply.approved else "declined",
            "message": reply.response_message,
            "authorization_code": reply.authorization_code,
        }

    def _waiting(self) -> list[Path]:
        """The orders that are written to their end, the oldest first."""
        orders = [one for one in self._orders.iterdir() if one.suffix != ".cancel" and one not in self._left]
        whole = [one for one in orders if one.read_bytes().endswith(b"\n")]
        return sorted(whole, key=lambda one: one.stat().st_mtime)

    def _finish(self, order: Path, result: dict[str, Any]) -> None:
        log.info("order %s: %s", order.name, result["outcome"])
        write(self._results / f"{order.name}.json", result)
        order.unlink()
        cancelled(order).unlink(missing_ok=True)


def cancelled(order: Path) -> Path:
    """Where the screen says that the customer has given up."""
    return order.with_name(f"{order.name}.cancel")


def write(path: Path, content: dict[str, Any]) -> None:
    """Whole, synced to the disk, or not at all."""
    new = path.with_suffix(".new")
    with new.open("w", encoding="utf-8") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def notify(line: str) -> None:
    """Tell systemd (sd_notify); without it, nobody."""
    place = os.environ.get("NOTIFY_SOCKET")
    if place:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told, contextlib.suppress(OSError):
            told.setblocking(False)  # a sale neither waits for systemd nor fails with it
            told.sendto(line.encode(), "\0" + place[1:] if place.startswith("@") else place)


async def keep_alive() -> None:
    """Tell the watchdog that this loop turns. If it hangs, systemd starts the service again."""
    microseconds = int(os.environ.get("WATCHDOG_USEC", "0"))
    while microseconds:
        notify("WATCHDOG=1")
        await asyncio.sleep(microseconds / 3_000_000)


async def serve(terminal: str, folder: Path) -> None:
    kiosk = Kiosk(terminal, folder)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, kiosk.stop)
    await kiosk.run()


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if "KIOSK_TERMINAL" in os.environ:
        # Set by StateDirectory= of the unit.
        asyncio.run(serve(os.environ["KIOSK_TERMINAL"], Path(os.environ["STATE_DIRECTORY"])))
        return

    from getnet_pos.simulator import Behaviour, ScreenServer, SerialServer, VirtualTerminal

    terminal = VirtualTerminal(default=Behaviour(progress_every=1))
    with TemporaryDirectory() as name, SerialServer(terminal) as served, ScreenServer(served) as screen:
        os.environ["GETNET_POS_JOURNAL"] = str(Path(name) / "journal.sqlite3")
        log.info("pay on %s; without a page open there, every card is approved", screen.url)
        log.info("order with: echo 1500 > %s/orders/K1; the result is in %s/results", name, name)
        asyncio.run(serve(served.device, Path(name)))


if __name__ == "__main__":
    main()
