"""The one owner of the terminal in this process. Views run in many threads, and all of them come here.

SHOP_TERMINAL names the terminal, such as ``/dev/ttyACM0``, ``COM7`` or ``192.168.1.20:4000``. The journal is where
GETNET_POS_JOURNAL says, or in the user's state directory.
"""

from __future__ import annotations

import logging
import os
import threading
from datetime import datetime, timedelta, timezone

from getnet_pos import Connector, GetnetError, Intent, IntentState, OutcomeUnknown, Polled, Progress
from getnet_pos.journal import DEFAULT_JOURNAL, Journal, Search, open_journal, since

log = logging.getLogger("shop")


class Till:
    """Sells, and knows what became of each ticket. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pos: Connector | None = None
        self._stages: dict[str, str] = {}
        """Of each sale in progress by its ticket: what the terminal is doing."""
        self._begun: set[str] = set()
        self._cancelled: set[str] = set()
        self._failures: dict[str, str] = {}
        """Why the last request to sell a ticket charged nothing; an earlier one may have."""

    @property
    def journal(self) -> Journal:
        """The one journal of this process, whether the terminal is there or not."""
        return open_journal(DEFAULT_JOURNAL)

    def start(self) -> None:
        """Ask the terminal about what an earlier run left open, while pages are served already."""
        threading.Thread(target=self._start, name="till").start()

    def _start(self) -> None:
        try:
            polled = self.ask()
        except GetnetError as error:
            log.warning("the terminal is not ready: %s", error)
            return
        for intent in polled.settled:
            log.warning("ticket %s was left open and is %s", intent.ticket, intent.state)
        for intent in polled.unknown:
            log.error("ticket %s: outcome unknown, a person must look (%s)", intent.ticket, intent.reason)

    def ask(self) -> Polled:
        """Ask the terminal about every payment that is not settled. Waits for a sale in progress.

        Raises:
            GetnetError: the terminal cannot be asked now.
        """
        return self._connector().polling()

    def _connector(self) -> Connector:
        """The one connector. It is made when the terminal is there for the first time, and stays when it goes away."""
        with self._lock:
            if self._pos is None:
                place = os.environ["SHOP_TERMINAL"]
                host, colon, port = place.rpartition(":")
                self._pos = Connector.create_tcp(host, int(port)) if colon else Connector.create_usb(place)
            return self._pos

    def sell(self, ticket: str, amount: int) -> None:
        """Begin a sale. It has a thread of its own, so that a browser which goes away takes nothing with it.

        A second click on *pay*, or a form that is sent again, finds the first sale in progress or its result.
        """
        with self._lock:
            if ticket in self._stages:
                return
            self._stages[ticket] = "Waiting for the terminal"
            self._failures.pop(ticket, None)
        threading.Thread(target=self._sell, args=(ticket, amount), name=f"sale {ticket}").start()

    def _sell(self, ticket: str, amount: int) -> None:
        def show(progress: Progress) -> None:
            self._stages[ticket] = progress.text
            if ticket in self._cancelled:
                self._connector().cancel_sale()

        try:
            self.ask()
            if ticket in self._cancelled:
                self._failures[ticket] = "cancelled before the terminal had it"
                return
            self._begun.add(ticket)
            self._connector().sale(amount, ticket=ticket, idempotency_key=ticket, on_progress=show)
        except OutcomeUnknown:
            pass  # the journal has it, and so has the page of unknown outcomes
        except GetnetError as error:
            log.warning("ticket %s: nothing was charged: %s", ticket, error)
            self._failures[ticket] = str(error)
        finally:
            with self._lock:
                del self._stages[ticket]
                self._begun.discard(ticket)
                self._cancelled.discard(ticket)

    def cancel(self, ticket: str) -> None:
        """Ask the terminal to give up the sale, or do not begin it. The sale's own outcome says whether that was heard.

        Raises:
            GetnetError: the terminal cannot be asked now.
        """
        with self._lock:
            if ticket not in self._stages:
                return
            self._cancelled.add(ticket)
        if ticket in self._begun:
            self._connector().cancel_sale()

    def stage(self, ticket: str) -> str | None:
        """What the terminal is doing for a ticket; ``None``: nothing."""
        return self._stages.get(ticket)

    def failure(self, ticket: str) -> str | None:
        """Why the last request to sell a ticket charged nothing; ``None``: it did not fail."""
        return self._failures.get(ticket)

    def outcome(self, ticket: str) -> Intent | None:
        """What the journal has of a ticket, also from before a restart."""
        found = [step.intent for step in self.journal.find(Search(terminal="", idempotency_key=ticket))]
        return next((intent for intent in reversed(found) if intent.idempotency_key == ticket), None)

    def lately(self) -> list[Intent]:
        """The payments of the last 24 hours, the newest first."""
        day_ago = (datetime.now(timezone.utc) - timedelta(days=1)).isoformat(timespec="milliseconds")
        steps = since(self.journal, day_ago)
        return list({step.intent.intent_id: step.intent for step in steps}.values())[::-1]

    def unknown(self) -> list[Intent]:
        """The payments that a person must look at."""
        waiting = (IntentState.UNKNOWN, IntentState.CONTRADICTED)
        return [intent for intent in self.journal.intents() if intent.state in waiting]


TILL = Till()
