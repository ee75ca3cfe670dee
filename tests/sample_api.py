"""What the samples of the README and of the documents call, served on this machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

__all__ = ["api"]

KEY_POS = {"idTerminal": "80005000", "idSucursal": 12983, "serialNumber": "SNPRUEBA1234"}
ITEM = {"payment_terminal_serial_number": "903191104705571440", "payment_terminal_model": "MOVE 5000"}


class _Api(BaseHTTPRequestHandler):
    """The token API, the listing of terminals and the Chilean cloud, as far as the samples go."""

    def do_GET(self) -> None:
        assert self.headers["Authorization"] == "Bearer a-token"
        if "/posdata" in self.path:
            self._answer({"code": 1, "status": "OK", "message": "OK", "data": [KEY_POS]})
        else:
            self._answer({"merchant_id": self.path.rpartition("/")[2], "equipments": {"item": [ITEM]}})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.endswith("/token"):
            self._answer({"access_token": "a-token", "token_type": "Bearer", "expires_in": 3600})
        elif self.path.endswith("/auth"):
            self._answer({"code": 1, "status": "OK", "data": {"token": "a-token", "expires_in": 86400}})
        else:
            asked = json.loads(body)
            reply = {
                "functionCode": asked["command"],
                "responseCode": 0,
                "responseMessage": "Aprobado",
                "connected": True,
            }
            reply |= {"amount": asked.get("amount"), "ticket": asked.get("ticketNumber"), "authorizationCode": "010929"}
            data = {"idPosTxs": 17, "response": reply}
            self._answer({"code": 1, "status": "OK", "message": "TRANSACTION FINISHED", "data": data})

    def _answer(self, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def api() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Api) as server:
        thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
