"""What a cash register does with its terminal, in a thread of its own, without a window.

A window may not wait for a terminal, and may be touched by its own thread alone. So whatever happens is put into
``Till.events``, and the window takes it out when it has time.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Literal

from getnet_pos import Connector, GetnetError, Intent, OutcomeUnknown, Progress, ProgressCode

_SHARES = {
    ProgressCode.CARD_READING: 25,
    ProgressCode.PIN_ENTRY: 50,
    ProgressCode.SENDING: 75,
}
"""How far a sale is, in percent, when the terminal says so. The other stages come between these, in any order."""


Kind = Literal["stage", "earlier", "ready", "approved", "declined", "unknown", "failed"]


@dataclass(frozen=True)
class Event:
    """Something that the window shows.

    ``stage``: a sale goes on. ``earlier``: what became of a sale before the register started again.

    The others end what the window asked for, one for each. ``ready``: the terminal may be used. ``approved``,
    ``declined``: so ended the sale. ``unknown``: the card may have been charged. ``failed``: nothing was charged.
    """

    kind: Kind
    text: str
    percent: int | None = None
    unknown: Intent | None = None
    """A payment that a person must look at."""

    @property
    def is_end(self) -> bool:
        return self.kind not in ("stage", "earlier")


class Till:
    """One terminal. ``connect`` makes its connector, once the terminal is there."""

    def __init__(self, connect: Callable[[], Connector]) -> None:
        self._connect = connect
        self._pos: Connector | None = None
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self.events: SimpleQueue[Event] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="till")
        self._thread.start()

    def _run(self) -> None:
        while (job := self._work.get()) is not None:
            try:
                job()
            except GetnetError as error:
                self._tell("failed", str(error))
        if self._pos is not None:
            self._pos.close()

    def close(self) -> None:
        """End, when what was asked for before has ended."""
        self._work.put(None)
        self._thread.join()

    def poll(self) -> None:
        """Look for the terminal, and ask it about what an earlier run left open."""
        self._work.put(self._poll)

    def sell(self, ticket: str, amount: int) -> None:
        """Charge a card. The same ticket again is the same sale: it is charged once."""
        self._work.put(lambda: self._sell(ticket, amount))

    def cancel(self) -> None:
        """Ask the terminal to give up the sale in progress: the sale's own end says whether it did."""
        if self._pos is not None:
            threading.Thread(target=self._cancel, args=(self._pos,), name="cancel").start()

    def _cancel(self, pos: Connector) -> None:
        with contextlib.suppress(GetnetError):  # the sale has ended meanwhile, and tells so itself
            pos.cancel_sale()

    def resolve(self, intent: Intent, *, paid: bool, by: str, note: str) -> None:
        """Record what a person found out about an unknown outcome."""
        self._work.put(lambda: self._resolve(intent, paid, by, note))

    # What follows runs in the till's thread.

    def _ask(self) -> Connector:
        """The connector of a terminal that is ready, after what was left open was asked about."""
        if self._pos is None:
            self._pos = self._connect()
        polled = self._pos.polling()
        for intent in polled.settled:
            # Of a sale before a crash: the customer may still be there.
            self._tell("earlier", f"Ticket {intent.ticket}, of {intent.amount}, is {intent.state}")
        for intent in polled.unknown:
            self._tell("earlier", intent.reason or "", unknown=intent)
        return self._pos

    def _poll(self) -> None:
        self._ask()
        self._tell("ready", "Ready")

    def _sell(self, ticket: str, amount: int) -> None:
        self._tell("stage", "Waiting for the terminal", 0)
        pos = self._ask()
        try:
            sale = pos.sale(amount, ticket=ticket, idempotency_key=ticket, on_progress=self._on_progress)
        except OutcomeUnknown as error:
            [intent] = [one for one in pos.intents() if one.intent_id == error.intent_id]
            self._tell("unknown", error.reason, unknown=intent)
            return
        if sale.approved:
            self._tell("approved", f"Approved, authorization code {sale.authorization_code}", 100)
        else:
            self._tell("declined", f"Declined: {sale.response_message or sale.response_code}")

    def _on_progress(self, progress: Progress) -> None:
        code = progress.code
        self._tell("stage", progress.text, _SHARES.get(code) if isinstance(code, ProgressCode) else None)

    def _resolve(self, intent: Intent, paid: bool, by: str, note: str) -> None:
        assert self._pos is not None
        self._pos.resolve(intent.intent_id, paid=paid, by=by, note=note)
        self._tell("ready", f"Recorded: ticket {intent.ticket} was {'paid' if paid else 'not paid'}")

    def _tell(self, kind: Kind, text: str, percent: int | None = None, unknown: Intent | None = None) -> None:
        self.events.put(Event(kind, text, percent, unknown))
