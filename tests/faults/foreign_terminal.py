"""A terminal written from the protocol page alone: it shares no line with the library, and keeps books of its own.

Run as a process: ``python foreign_terminal.py LEDGER SEED``. It prints the port that a register may open, then serves.
Every approved operation is one line of JSON in LEDGER, written before anything is said about it.

It loses, delays, damages and repeats messages, restarts, and forgets its vouchers, each by chance. Like a serial line
it keeps the order of messages.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import select
import sys
import time
import tty
from typing import Any

LOSES, DAMAGES, DELAYS, REPEATS = 0.04, 0.04, 0.05, 0.04
RESTARTS, FORGETS, DECLINES, STALLS = 0.02, 0.3, 0.15, 0.03


class Terminal:
    def __init__(self, port: int, ledger: str, seed: int) -> None:
        self.port = port
        self.rng = random.Random(seed)
        self.ledger = open(ledger, "a", buffering=1)  # noqa: SIM115  # as long as the process
        self.vouchers: list[dict[str, Any]] = []
        self.count = 0
        self.unread = b""
        self.due: list[tuple[float, bytes]] = []
        self.busy_until = 0.0
        self.sale: dict[str, Any] | None = None
        self.cancelled = False
        # What the firmware is like.
        self.tells_ticket = self.rng.random() < 0.5
        self.names_operation = self.rng.random() < 0.5

    # ---------------------------------------------------------------------------------------------------------- serving

    def serve(self) -> None:
        while True:
            now = time.monotonic()
            wake = min([at for at, _ in self.due[:1]] + ([self.busy_until] if self.sale else []), default=now + 1)
            if select.select([self.port], [], [], max(0.0, wake - now))[0]:
                self.unread += os.read(self.port, 65536)
                self.read()
            now = time.monotonic()
            if self.sale and now >= self.busy_until:
                self.decide()
            while self.due and self.due[0][0] <= now:
                os.write(self.port, self.due.pop(0)[1])

    def read(self) -> None:
        """Take whole JSON objects, by counting braces outside of strings; the rest waits."""
        while True:
            start = self.unread.find(b"{")
            if start < 0:
                self.unread = b""
                return
            depth, inside, escaped = 0, False, False
            for place in range(start, len(self.unread)):
                letter = self.unread[place : place + 1]
                if inside:
                    inside = escaped or letter != b'"'
                    escaped = letter == b"\\" and not escaped
                elif letter == b'"':
                    inside = True
                else:
                    depth += (letter == b"{") - (letter == b"}")
                    if depth == 0:
                        message, self.unread = self.unread[start : place + 1], self.unread[place + 1 :]
                        self.hear(message)
                        break
            else:
                # A torn message would swallow all that follows: what is old is thrown away.
                if self.unread.find(b'{"JsonSerialized"', start + 1) > 0:
                    self.unread = self.unread[self.unread.find(b'{"JsonSerialized"', start + 1) :]
                    continue
                return

    def say(self, message: bytes, after: float = 0.0) -> None:
        """Write later, in order; with bad luck not at all, damaged, late or twice."""
        luck = self.rng.random()
        if luck < LOSES:
            return
        if luck < LOSES + DAMAGES:
            place = self.rng.randrange(len(message))
            message = message[:place] + bytes([message[place] ^ (1 << self.rng.randrange(8))]) + message[place + 1 :]
        elif luck < LOSES + DAMAGES + DELAYS:
            after += self.rng.choice((0.1, 0.6, 2.0))
        elif luck < LOSES + DAMAGES + DELAYS + REPEATS:
            message *= 2
        at = max([time.monotonic() + after] + [due for due, _ in self.due[-1:]])
        self.due.append((at, message))

    def reply(self, fields: dict[str, Any]) -> None:
        text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False)
        sign = hashlib.sha256(text.encode()).hexdigest().upper()
        self.say(json.dumps({"JsonSerialized": text, "Sign": sign}, separators=(",", ":")).encode(), 0.002)

    # --------------------------------------------------------------------------------------------------------- commands

    def hear(self, message: bytes) -> None:
        luck = self.rng.random()
        if luck < LOSES:
            return
        if luck < LOSES + DAMAGES:
            place = self.rng.randrange(len(message))
            message = message[:place] + b"\x00" + message[place + 1 :]
        try:
            outer = json.loads(message)
            if "Received" in outer:
                return
            text = outer["JsonSerialized"]
            if hashlib.sha256(text.encode()).hexdigest().upper() != outer["Sign"]:
                self.say(b'{"Received":false}')
                return
            command = json.loads(text)
            code = command["Command"]
        except (ValueError, KeyError, TypeError, AttributeError):
            return
        self.say(b'{"Received":true}')
        if code == 116:
            self.cancelled = self.sale is not None
            self.reply({"FunctionCode": 116, "ResponseCode": 0 if self.sale else 20, "ResponseMessage": ""})
        elif self.sale is not None:
            self.reply({"FunctionCode": code, "ResponseCode": 21, "ResponseMessage": "Terminal ocupado"})
        elif code == 106:
            answer = {"FunctionCode": 106, "ResponseCode": 0, "ResponseMessage": "Aprobado", "Connected": True}
            self.reply(answer)
        elif code == 101:
            self.last_voucher()
        elif code == 100:
            self.begin(command)

    def last_voucher(self) -> None:
        if not self.vouchers:
            self.reply({"FunctionCode": 101, "ResponseCode": 22, "ResponseMessage": "Sin transacciones"})
            return
        voucher = dict(self.vouchers[-1])
        voucher["Last4Digits"] = int(voucher["Last4Digits"])
        voucher["FunctionCode"] = 100 if self.names_operation else 101
        if not self.tells_ticket:
            del voucher["Ticket"], voucher["OperationId"]
        self.reply(voucher)

    def begin(self, command: dict[str, Any]) -> None:
        self.sale, self.cancelled = command, False
        if command.get("SendMessage"):
            for number, words in ((78, "Lectura de tarjetas"), (82, "Enviando transacción a Getnet")):
                text = json.dumps({"FunctionCode": 112, "MessageCode": number, "MessageText": words})
                sign = hashlib.sha256(text.encode()).hexdigest().upper()
                self.say(json.dumps({"JsonSerialized": text, "Sign": sign}).encode())
        stall = self.rng.random() < STALLS
        self.busy_until = time.monotonic() + (2.0 if stall else self.rng.choice((0.0, 0.01, 0.05)))

    def decide(self) -> None:
        command, self.sale = self.sale, None
        assert command is not None
        luck = self.rng.random()
        if luck < RESTARTS:
            self.restart()
            return
        ticket, amount = command.get("TicketNumber", ""), command["Amount"]
        if self.cancelled or self.rng.random() < DECLINES:
            answer = {"FunctionCode": 100, "ResponseCode": 51, "ResponseMessage": "Rechazada", "Ticket": ticket}
            self.reply({**answer, "Amount": amount})
            return
        self.count += 1
        # One operation a second, as the clock of a terminal goes: a date tells two operations apart.
        date = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(1_700_000_000 + 60 * self.count))
        voucher = {
            "FunctionCode": 100, "ResponseCode": 0, "ResponseMessage": "Aprobado", "CommerceCode": 266665,
            "TerminalId": "20129179", "Ticket": ticket, "AuthorizationCode": f"{self.rng.randrange(10**6):06d}",
            "Amount": amount, "SharesNumber": 0, "SharesAmount": 0, "Last4Digits": "1690", "OperationId": self.count,
            "CardType": "DB", "AccountingDate": date, "CardBrand": "VI", "RealDate": date, "EmployeeId": 1, "Tip": 0,
            "SaleType": 0, "PosMode": 1,
        }  # fmt: skip
        entry = {"ticket": ticket, "amount": amount, "authorization_code": voucher["AuthorizationCode"]}
        self.ledger.write(json.dumps(entry) + "\n")
        self.vouchers.append(voucher)
        if luck > 1 - RESTARTS:
            self.restart()
            return
        self.reply(voucher)

    def restart(self) -> None:
        """Everything on its way is lost, and with bad luck the record of what was done."""
        self.due.clear()
        self.unread = b""
        if self.rng.random() < FORGETS:
            self.vouchers.clear()
        time.sleep(0.1)


def main() -> None:
    master, slave = os.openpty()
    tty.setraw(slave)
    print(os.ttyname(slave), flush=True)
    Terminal(master, sys.argv[1], int(sys.argv[2])).serve()


if __name__ == "__main__":
    main()
