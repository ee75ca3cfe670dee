"""A page without a browser: what it is told over its WebSocket, and what it asks for."""

from __future__ import annotations

import json
import socket
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, RejectConnection, Request, TextMessage


class Refused(Exception):
    """The handshake was answered with another status."""


class Page:
    """``views`` and ``details`` are what a page would show now."""

    def __init__(self, url: str, **headers: str) -> None:
        place = urlsplit(url)
        assert place.hostname
        self._line = socket.create_connection((place.hostname, place.port), timeout=5)
        self._connection = WSConnection(ConnectionType.CLIENT)
        self._events: list[Any] = []
        given = [(name.encode(), value.encode()) for name, value in headers.items() if name != "host"]
        request = Request(host=headers.get("host", place.netloc), target="/live", extra_headers=given)
        self._line.sendall(self._connection.send(request))
        self.views: dict[int, dict[str, Any]] = {}
        self.details: dict[str, Any] = {}
        answer = self._next()
        if isinstance(answer, RejectConnection):
            self._line.close()
            raise Refused(answer.status_code)
        assert isinstance(answer, AcceptConnection)
        self.head = json.loads(self._next().data)
        self.hear()

    def _next(self) -> Any:
        while not self._events:
            self._connection.receive_data(self._line.recv(65536) or None)
            self._events += self._connection.events()
        return self._events.pop(0)

    def hear(self) -> None:
        """Take the next message."""
        text, whole = "", False
        while not whole:
            event = self._next()
            assert isinstance(event, TextMessage), event
            text, whole = text + event.data, event.message_finished
        message = json.loads(text)
        self.views.update({view["number"]: view for view in message["views"]})
        self.details = message.get("details", self.details)

    def wait(self, stage: str, number: int = 0) -> dict[str, Any]:
        """Listen until a terminal is at a stage; its view."""
        while self.views[number]["stage"] != stage:
            self.hear()
        return self.views[number]

    def send(self, text: str) -> None:
        self._line.sendall(self._connection.send(TextMessage(text)))

    def do(self, what: str, number: int = 0, **more: Any) -> None:
        self.send(json.dumps({"do": what, "terminal": number, "turn": self.views[number]["turn"], **more}))

    def closed(self) -> int:
        """The code with which the server closes; listens until it does."""
        while not isinstance(event := self._next(), CloseConnection):
            pass
        return int(event.code)

    def close(self) -> None:
        self._line.close()

    def __enter__(self) -> Page:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
