"""The foreign terminal with bad luck, as a process: ``python -m tests.faults.unlucky_terminal LEDGER SEED``.

It prints the port that a register may open, and loses, delays, damages and repeats messages, restarts, and forgets its
vouchers, each by chance. Every approved operation is one line of JSON in LEDGER, written before anything is said about
it.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

from tests.faults.foreign_terminal import ACK, SALE, Fields, Line, Terminal, without

LOSES, DAMAGES, DELAYS, REPEATS = 0.04, 0.04, 0.05, 0.04
RESTARTS, FORGETS, DECLINES, STALLS = 0.02, 0.3, 0.15, 0.03
REFUSES_RECORD, DOUBTFUL = 0.1, 0.1


class UnluckyTerminal(Terminal):
    """It loses, delays, damages and repeats messages, restarts and forgets. It keeps the order of messages."""

    def __init__(self, ledger: str, seed: int) -> None:
        super().__init__(terminal_id=f"{20129179 + seed}")
        self.rng = random.Random(seed)
        self.ledger = open(ledger, "a", buffering=1)  # noqa: SIM115  # as long as the process
        self._due: deque[tuple[float, bytes, Line]] = deque()
        # What the firmware is like.
        self.camel_case = self.rng.random() < 0.5
        names = [["Ticket", "OperationId"], ["Ticket"], []][self.rng.randrange(3)]
        self.records = without(*names)
        if self.rng.random() < 0.3:
            self.dates = self.record_dates = "%d-%m-%Y %H:%M"

    def step(self) -> None:
        super().step()
        while self._due and self._due[0][0] <= time.monotonic():
            _, data, line = self._due.popleft()
            super().write(data, line, {})

    def write(self, data: bytes, line: Line, command: Fields) -> None:
        """Write later, in order; with bad luck not at all, damaged, late or twice."""
        luck, after = self.rng.random(), 0.002
        if luck < LOSES:
            return
        if luck < LOSES + DAMAGES:
            place = self.rng.randrange(len(data))
            data = data[:place] + bytes([data[place] ^ (1 << self.rng.randrange(8))]) + data[place + 1 :]
        elif luck < LOSES + DAMAGES + DELAYS:
            after += self.rng.choice((0.1, 0.6, 2.0))
        elif luck < LOSES + DAMAGES + DELAYS + REPEATS:
            data *= 2
        at = max([time.monotonic() + after, *([self._due[-1][0]] if self._due else [])])
        self._due.append((at, data, line))

    def hear(self, message: bytes, line: Line) -> None:
        luck = self.rng.random()
        if luck < LOSES:
            return
        if luck < LOSES + DAMAGES:
            place = self.rng.randrange(len(message))
            message = message[:place] + b"\x00" + message[place + 1 :]
        super().hear(message, line)

    def record(self, code: int, amount: int | None, ticket: str, command: Fields) -> Fields:
        voucher = super().record(code, amount, ticket, command)
        entry = {name: self.operations[-1][name] for name in ("ticket", "amount", "authorization_code")}
        self.ledger.write(json.dumps(entry) + "\n")
        return voucher

    def last_voucher(self) -> Fields:
        if self.rng.random() < REFUSES_RECORD:
            return {"FunctionCode": 101, "ResponseCode": 1007, "ResponseMessage": "Ocupado"}
        return super().last_voucher()

    def carry_out(self, command: Fields) -> Iterator[Any]:
        yield ACK
        if command["Command"] != SALE:
            yield self.answer(command)
            return
        if command.get("SendMessage"):
            for number, words in ((78, "Lectura de tarjetas"), (82, "Enviando transacción a Getnet")):
                yield {"FunctionCode": 112, "MessageCode": number, "MessageText": words}
        yield 2.0 if self.rng.random() < STALLS else self.rng.choice((0.0, 0.01, 0.05))
        luck = self.rng.random()
        if luck < RESTARTS:
            yield from self.restart()
            return
        if self.cancelled or self.rng.random() < DECLINES:
            told = {"Ticket": command.get("TicketNumber", ""), "Amount": command["Amount"]}
            yield {"FunctionCode": SALE, "ResponseCode": 51, "ResponseMessage": "Rechazada", **told}
            return
        reply = self.charge(command)
        if luck > 1 - RESTARTS:
            yield from self.restart()
        elif self.rng.random() < DOUBTFUL:
            yield {"FunctionCode": SALE, "ResponseCode": 1004, "ResponseMessage": "Sin papel"}
        else:
            yield reply

    def restart(self) -> Iterator[Any]:
        """Everything on its way is lost, and with bad luck the record of what was done."""
        self._due.clear()
        for line in self.lines:
            line.unread = b""
        if self.rng.random() < FORGETS:
            self.vouchers.clear()
        yield 0.1


def main() -> None:
    terminal = UnluckyTerminal(sys.argv[1], int(sys.argv[2]))
    print(terminal.plug(), flush=True)
    while True:
        terminal.step()


if __name__ == "__main__":
    main()
