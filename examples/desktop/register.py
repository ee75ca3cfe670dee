"""A cash register with a window.

``python examples/desktop/register.py`` opens it with a virtual terminal, on whose page you pay;
``python examples/desktop/register.py /dev/ttyACM0`` with a real one, ``COM7`` or ``192.168.1.20:4000`` as well. The
journal is where GETNET_POS_JOURNAL says, or in the user's state directory.
"""

from __future__ import annotations

import contextlib
import sys
import time
import tkinter as tk
from collections.abc import Callable
from functools import partial
from pathlib import Path
from queue import Empty
from tempfile import TemporaryDirectory
from tkinter import ttk

from till import Event, Till

from getnet_pos import Connector, Intent
from getnet_pos.journal import DEFAULT_JOURNAL, JournalSource

_EVERY = 50
"""Milliseconds between two looks at what has happened."""


class Window:
    """The window, which asks the till for everything and knows nothing of terminals."""

    def __init__(self, root: tk.Tk, till: Till) -> None:
        self.root, self.till = root, till
        self.pending = 0
        """How much of what the till was asked for has not ended."""
        root.title("Cash register")
        root.protocol("WM_DELETE_WINDOW", self.close)
        frame = ttk.Frame(root, padding=20)
        frame.grid()
        self.amount = ttk.Entry(frame, justify="right")
        self.pay = ttk.Button(frame, text="Pay", command=self.on_pay, state="disabled")
        self.cancel = ttk.Button(frame, text="Cancel", command=till.cancel, state="disabled")
        self.again = ttk.Button(frame, text="Look for the terminal", command=self.on_again)
        self.bar = ttk.Progressbar(frame, length=400)
        self.status = ttk.Label(frame, text="Looking for the terminal", wraplength=400)
        self.amount.grid(row=0, column=0, sticky="ew")
        self.pay.grid(row=0, column=1)
        self.cancel.grid(row=0, column=2)
        self.again.grid(row=0, column=3)
        self.bar.grid(row=1, columnspan=4, sticky="ew", pady=10)
        self.status.grid(row=2, columnspan=4, sticky="w")
        self.earlier = ttk.Label(frame, wraplength=400)
        self.earlier.grid(row=3, columnspan=4, sticky="w")
        self.unknown: dict[str, Question] = {}
        self.amount.focus()
        self._next = root.after(0, self.look)
        self.on_again()

    def look(self) -> None:
        """Show what has happened since the last look."""
        with contextlib.suppress(Empty):
            while True:
                self.show(self.till.events.get_nowait())
        self._next = self.root.after(_EVERY, self.look)

    def show(self, event: Event) -> None:
        if event.kind == "earlier":
            self.earlier["text"] += event.text + "\n"  # stays: the customer may still be there
        else:
            self.status["text"] = event.text
        if event.percent is not None:
            self.bar["value"] = event.percent
        # There is nothing to cancel before the terminal has the sale.
        self.cancel["state"] = "normal" if event.kind == "stage" and event.percent != 0 else "disabled"
        self.pending -= event.is_end
        self.allow()
        if event.unknown is not None and event.unknown.intent_id not in self.unknown:
            self.unknown[event.unknown.intent_id] = Question(self, event.unknown)

    def allow(self) -> None:
        """One thing at a time: a second click on *Pay* finds the button disabled."""
        self.pay["state"] = self.again["state"] = "disabled" if self.pending else "normal"

    def on_again(self) -> None:
        self.begin(self.till.poll)

    def on_pay(self) -> None:
        text = self.amount.get().strip()
        if not text.isdecimal():
            self.status["text"] = "Type an amount in whole units, such as 25000"
            return
        ticket = f"R{time.time_ns() // 1_000_000}"  # yours: the number of the receipt
        self.begin(partial(self.till.sell, ticket, int(text)))

    def begin(self, job: Callable[[], None]) -> None:
        self.pending += 1
        self.allow()
        job()

    def close(self) -> None:
        """Close the window, but not in the middle of a sale."""
        if self.pending:
            self.status["text"] = "The terminal is in use: cancel the sale, or wait until it has ended"
            return
        self.root.after_cancel(self._next)
        self.root.destroy()


class Question:
    """What a person must say about an unknown outcome. It stays until somebody does."""

    def __init__(self, window: Window, intent: Intent) -> None:
        self._window, self._intent = window, intent
        self.frame = ttk.LabelFrame(window.root, text=f"Ticket {intent.ticket}: was {intent.amount} paid?", padding=20)
        self.frame.grid(sticky="ew", padx=20, pady=10)
        ttk.Label(self.frame, text="Do not charge it again. Look at the vouchers on the terminal.").grid(columnspan=2)
        self.by, self.note = ttk.Entry(self.frame), ttk.Entry(self.frame)
        for row, (name, entry) in enumerate((("Who says so", self.by), ("How do you know", self.note)), 1):
            ttk.Label(self.frame, text=name).grid(row=row, column=0, sticky="w")
            entry.grid(row=row, column=1, sticky="ew")
        self.paid = ttk.Button(self.frame, text="It was paid", command=partial(self.decide, True))
        self.not_paid = ttk.Button(self.frame, text="It was not paid", command=partial(self.decide, False))
        self.paid.grid(row=3, column=0)
        self.not_paid.grid(row=3, column=1)

    def decide(self, paid: bool) -> None:
        by, note = self.by.get().strip(), self.note.get().strip()
        if not (by and note):
            self._window.status["text"] = "Say who you are and how you know: both are recorded"
            return
        self._window.begin(partial(self._window.till.resolve, self._intent, paid=paid, by=by, note=note))
        del self._window.unknown[self._intent.intent_id]
        self.frame.destroy()


def connect(place: str, journal: JournalSource) -> Connector:
    """The terminal at ``place``: a serial port, or a host and a port."""
    host, colon, port = place.rpartition(":")
    if colon:
        return Connector.create_tcp(host, int(port), journal=journal)
    return Connector.create_usb(place, journal=journal)


def main() -> None:
    with contextlib.ExitStack() as stack:
        journal: JournalSource = DEFAULT_JOURNAL
        if len(sys.argv) > 1:
            place = sys.argv[1]
        else:
            from getnet_pos.simulator import Behaviour, ScreenServer, TcpServer, VirtualTerminal

            served = stack.enter_context(TcpServer(VirtualTerminal(default=Behaviour(progress_every=1.5))))
            screen = stack.enter_context(ScreenServer(served))
            place = "{}:{}".format(*served.address)
            journal = Path(stack.enter_context(TemporaryDirectory())) / "journal.sqlite3"
            print(f"pay on {screen.url}; without a page open there, every card is approved", flush=True)
        till = Till(lambda: connect(place, journal))
        stack.callback(till.close)
        root = tk.Tk()
        Window(root, till)
        root.mainloop()


if __name__ == "__main__":
    main()
