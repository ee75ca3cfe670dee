"""A cloud written from the protocol page alone, before a foreign terminal: it shares no line with the library.

``then`` tells what it does with its next calls of an endpoint; the terminal behind it keeps the books.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.faults.foreign_terminal import Fields, Terminal, camel

Turn = Callable[["Cloud", Fields], tuple[int, Any]]
"""What the cloud does with a call: the HTTP status and the body of its answer."""

_CODES = {"poll": 106, "sale": 100, "salepromo": 126, "refund": 102, "return": 108, "details": 105, "lastvoucher": 101}
_SALES = (100, 126)


class Cloud:
    """The cloud of Chile, which nests the terminal's reply and knows tickets, or of Argentina, which does neither."""

    def __init__(self, terminal: Terminal, *, nested: bool) -> None:
        self.terminal, self.nested = terminal, nested
        self.calls: list[str] = []
        self.tokens = 0
        self.kept: dict[str, Fields] = {}
        """What became of its transactions, by number."""
        self._turns: dict[str, deque[Turn]] = defaultdict(deque)
        cloud = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                name = self.path.rpartition("/")[2]
                cloud.calls.append(name)
                if name == "auth":
                    cloud.tokens += 1
                    status, body = 200, envelope({"token": f"token-{cloud.tokens}", "expires_in": 86400})
                elif self.command == "GET":
                    status, body = 200, cloud.kept.get(name, envelope(None, 0, "ID NOT FOUND"))
                else:
                    turns = cloud._turns[name]
                    status, body = (turns.popleft() if turns else Cloud.carry_out)(cloud, json.loads(content))
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                with contextlib.suppress(OSError):
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)

            do_GET = do_POST

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/api/postxs"

    def then(self, name: str, *turns: Turn) -> None:
        self._turns[name].extend(turns)

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    # --------------------------------------------------------------------------------------------------------- business

    def carry_out(self, body: Fields) -> tuple[int, Fields]:
        command = {name[:1].upper() + name[1:]: value for name, value in body.items()}
        command["Command"] = 100 if body["command"] in _SALES else body["command"]
        self.terminal.heard.append(command)
        if command["Command"] == 105:
            rows = [camel(row) for row in self.terminal.shown_vouchers()]
            return 200, self.result(body, {"functionCode": 105, "responseCode": 0, "saleDetails": rows})
        if not self.nested and command["Command"] == 100:
            # It has no place for a ticket: the terminal makes one.
            command["TicketNumber"] = f"{7000 + len(self.terminal.operations)}"
        return 200, self.result(body, camel(self.terminal.answer(command)))

    def result(self, body: Fields, reply: Fields) -> Fields:
        """The envelope with the terminal's reply."""
        number = 700_000 + len(self.calls)
        if not self.nested:
            names = {"responseCode": "code", "responseMessage": "message"}
            reply = {names.get(name, name): value for name, value in reply.items()}
        about = {"idPosTxs": number, "customId": body.get("customId")}
        data = {**about, "response": reply} if self.nested else {**about, **reply}
        told = envelope(data)
        self.kept[str(number)] = told
        return told


def envelope(data: Any, code: int = 1, message: str = "TRANSACTION FINISHED") -> Fields:
    return {"code": code, "status": "OK" if code else "ERROR", "message": message, "data": data}


# ---------------------------------------------------------------------------------------- what it may do with a call


def fails(status: int, body: Any = b"<html>Bad Gateway</html>", *, charged: bool = False, after: float = 0.0) -> Turn:
    """It answers that status, with or without having had the command carried out."""

    def turn(cloud: Cloud, body_of_command: Fields) -> tuple[int, Any]:
        if charged:
            cloud.carry_out(body_of_command)
        time.sleep(after)
        return status, body

    return turn


def answers_late(seconds: float) -> Turn:
    """The command is carried out at once, and the call is held open."""

    def turn(cloud: Cloud, body: Fields) -> tuple[int, Any]:
        answer = cloud.carry_out(body)
        time.sleep(seconds)
        return answer

    return turn
