"""A person's seat in front of a virtual terminal: what the display shows, and what the person does. It does no I/O.

The person's actions, and the notifications from the terminal, run in the thread that drives the terminal; ``view`` and
``details`` may be called from any thread.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from ...codec import Decoder, Message
from ...codec.messages import whole
from ...masking import masked
from ...messages import CATALOGUE, CommandMessage, ProgressCode
from ...tracing import shown
from ..behaviour import Outcome, Reboot
from ..ledger import Entry
from ..terminal import VirtualTerminal

__all__ = ["TROUBLES", "Seat"]

_RESTART = 3.0
"""How long a restart from the page takes, in seconds."""
_WORK = 0.8
"""How long the acquirer takes to respond, in seconds."""
_ROWS = 50
"""How many rows of the ledger and of the trace are shown."""

_WAITING = ("card", "pin", "confirm")
"""The stages at which a command waits for the person."""
_APPROVING = (("card", "tap"), ("pin", "pin"), ("confirm", "confirm"), *((stage, "approve") for stage in _WAITING))
_ANSWERED = {"progress": (ProgressCode.SENDING,), "decide_after": _WORK}
TROUBLES: Mapping[str, Mapping[str, Any]] = {
    "none": {},
    "lost": {"reply_after": math.inf},
    "damaged": {"wrong_signature": True},
    "restart-before": {"reboot": Reboot(approved=False, seconds=_RESTART)},
    "restart-after": {"reboot": Reboot(approved=True, seconds=_RESTART)},
    **{
        str(code): {"outcome": Outcome.PRINTING_ERROR, "response_code": code, "response_message": message}
        for code, message in ((1003, "Tapa abierta"), (1004, "Sin papel"), (1005, "Papel atascado"))
    },
}
"""What can go wrong after a decision, as attributes of ``Behaviour``."""


class Seat:
    """One terminal of a screen, and its ``Watcher``.

    ``act`` runs a function in the terminal's thread, ``changed`` is called there when ``view`` or ``details`` have
    changed, and ``attends`` returns whether a page is open.
    """

    def __init__(
        self,
        terminal: VirtualTerminal,
        act: Callable[[Callable[[float], None]], object],
        changed: Callable[[Seat], object],
        attends: Callable[[], bool],
    ) -> None:
        self.terminal = terminal
        self.attends = attends
        self._act, self._changed = act, changed
        self._stage = "idle"
        self._link = "plugged"
        self._turn = 0
        """Counts the payment commands: a tap that was meant for an earlier one does nothing."""
        self._command: CommandMessage | None = None
        self._result: dict[str, Any] | None = None
        self._voucher: dict[str, Any] | None = None
        self._entries = 0
        self._trace: deque[dict[str, str]] = deque(maxlen=_ROWS)
        self._decoder = Decoder()

    # ------------------------------------------------------------------------------------------- for the terminal alone

    def heard(self, message: Message) -> None:
        self._note("in", message)

    def said(self, data: bytes) -> None:
        for message in self._decoder.feed(data):
            self._note("out", message)

    def began(self, command: CommandMessage, waits: bool) -> None:
        self._turn += 1
        self._command, self._result, self._voucher = command, None, None
        self._entries = len(self.terminal.ledger.entries)
        card = CATALOGUE.facts(command.code).takes_card
        self._stage = "working" if not waits else "card" if card else "confirm"
        self._changed(self)

    def decided(self, command: CommandMessage, reply: Mapping[str, Any]) -> None:
        if command is not self._command:
            return
        code = reply.get("ResponseCode")
        self._result = {"code": code, "message": reply.get("ResponseMessage")}
        self._stage = "approved" if code == 0 else "refused"
        entries = self.terminal.ledger.entries
        if code == 0 and len(entries) > self._entries:
            self._voucher = self._printed(entries[-1])
        self._changed(self)

    def changed(self) -> None:
        if not self.terminal.busy and self._stage in (*_WAITING, "working"):
            self._stage, self._command = "idle", None
        self._decoder.reset()
        self._look(self.terminal.now)

    def _look(self, now: float) -> None:
        """Check the state of the link: the terminal does not report the end of a restart."""
        plugged, connected = self.terminal.plugged, self.terminal.connected(now)
        self._link = "plugged" if connected else "restarting" if plugged else "unplugged"
        self._changed(self)

    def _note(self, way: str, message: Message) -> None:
        now = datetime.now()
        self._trace.append({"at": f"{now:%H:%M:%S}.{now.microsecond // 1000:03d}", "way": way, "text": shown(message)})
        self._changed(self)

    def _printed(self, entry: Entry) -> dict[str, Any]:
        identity = self.terminal.identity
        return {
            "merchant": identity.legal_name,
            "address": f"{identity.branch_address}, {identity.branch_district}",
            "terminal": identity.terminal_id,
            "kind": entry.kind.value,
            "amount": entry.amount,
            "tip": entry.tip,
            "card": f"{entry.card.brand} {entry.card.type} **** {entry.card.last4}",
            "operation": entry.operation_id,
            "authorization": entry.authorization_code,
            "ticket": entry.ticket,
            "date": entry.real_date,
        }

    # --------------------------------------------------------------------------------------------------- for the screen

    @property
    def restarting(self) -> bool:
        return self._link == "restarting"

    def look(self) -> None:
        """Check whether a restart is over."""
        self._act(self._look)

    def leave(self) -> None:
        """Make the customer of a waiting command walk away."""
        self.do("leave", turn=self._turn)

    def close(self) -> None:
        """Leave, and stop watching. In the terminal's thread, which may be about to notify the watcher."""
        self.leave()
        self._act(lambda _: setattr(self.terminal, "watcher", None))

    def view(self) -> dict[str, Any]:
        """The content of the display, as JSON."""
        command, result = self._command, self._result
        document: dict[str, Any] = masked(
            {
                "name": self.terminal.identity.terminal_id,
                "stage": self._stage,
                "link": self._link,
                "turn": self._turn,
                "command": None if command is None or self._stage == "idle" else self._asked(command),
                "result": result,
                "voucher": self._voucher,
            }
        )
        return document

    def _asked(self, command: CommandMessage) -> dict[str, Any]:
        fields = {name.lower(): value for name, value in command.fields.items()}
        amount, operation = whole(fields.get("amount")), whole(fields.get("operationid"))
        if amount is None:
            charges = self.terminal.ledger.charges()
            amount = next((entry.amount for entry in charges if entry.operation_id == operation), None)
        ticket = fields.get("ticketnumber")
        kind = CATALOGUE.kind(command.code)
        return {
            "code": command.code,
            "kind": "" if kind is None else kind.__name__,
            "amount": amount,
            "ticket": ticket if isinstance(ticket, (str, int)) else None,
        }

    def details(self) -> dict[str, Any]:
        """The ledger and the trace, newest first, as JSON."""
        rows = [
            {
                "operation": entry.operation_id,
                "kind": entry.kind.value,
                "amount": entry.amount,
                "ticket": entry.ticket,
                "authorization": entry.authorization_code,
                "date": entry.real_date,
            }
            for entry in self.terminal.ledger.entries[: -_ROWS - 1 : -1]
        ]
        document: dict[str, Any] = masked(
            {"ledger": rows, "balance": self.terminal.ledger.balance(), "trace": list(self._trace.copy())[::-1]}
        )
        return document

    def do(self, what: str, *, turn: int = 0, trouble: str = "none", code: int | None = None) -> None:
        """Carry out a person's action: ``tap``, ``insert`` or ``swipe`` a card; ``pin`` once it is entered; ``confirm``
        a command without a card; ``approve``, ``decline`` (with ``code``), ``cancel`` or ``leave`` at once; ``pull`` or
        ``plug`` the cable; ``restart``; ``tear`` off the voucher. ``trouble`` is one of ``TROUBLES``.

        An action that is too late or makes no sense is ignored.
        """
        self._act(lambda now: self._do(what, turn, trouble, code, now))

    def _do(self, what: str, turn: int, trouble: str, code: int | None, now: float) -> None:
        terminal = self.terminal
        if what == "pull" and terminal.plugged:
            terminal.disconnect(now)
        elif what == "plug" and not terminal.plugged:
            terminal.connect(now)
        elif what == "restart":
            terminal.reboot(True, now, seconds=_RESTART)
        elif turn == self._turn:
            self._pay(what, trouble, code, now)

    def _pay(self, what: str, trouble: str, code: int | None, now: float) -> None:
        if what == "tear" and self._stage in ("approved", "refused"):
            self._stage, self._voucher = "idle", None
            self._changed(self)
        elif self._stage == "card" and what in ("insert", "swipe"):
            self._proceed("pin", now, progress=(ProgressCode.PIN_ENTRY,), decide_after=math.inf)
        elif (self._stage, what) in _APPROVING:
            self._proceed("working", now, **_ANSWERED, **TROUBLES[trouble])
        elif self._stage in _WAITING and what == "decline":
            # A declined card prints no voucher, so the response code is that of the decline, never a printing error.
            refused = {"outcome": Outcome.DECLINE, "response_code": code, "response_message": None}
            self._proceed("working", now, **_ANSWERED, **{**TROUBLES[trouble], **refused})
        elif self._stage in _WAITING and what in ("cancel", "leave"):
            outcome = Outcome.CANCEL if what == "cancel" else Outcome.TIME_OUT
            self._proceed("working", now, outcome=outcome, progress=())

    def _proceed(self, stage: str, now: float, **treatment: Any) -> None:
        """Decide the command, with the wire format of this terminal."""
        self._stage = stage
        self._changed(self)
        self.terminal.proceed(replace(self.terminal.default.manner(), **treatment), now)
