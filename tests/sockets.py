"""A WebSocket as a browser or a program opens it, on a plain socket."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Sequence
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Ping, RejectConnection, Request, TextMessage

__all__ = ["Refused", "Socket"]


class Refused(Exception):
    """The handshake was answered with another status."""


class Socket:
    """``url`` begins with ``http`` or ``https``, as the agent prints it."""

    def __init__(
        self,
        url: str,
        *,
        headers: dict[str, str] | None = None,
        subprotocols: Sequence[str] = (),
        tls: ssl.SSLContext | None = None,
        timeout: float = 10.0,
    ) -> None:
        place = urlsplit(url)
        assert place.hostname
        self._line = socket.create_connection((place.hostname, place.port), timeout=timeout)
        if tls is not None:
            self._line = tls.wrap_socket(self._line, server_hostname=place.hostname)
        self._connection = WSConnection(ConnectionType.CLIENT)
        self._events: list[Any] = []
        given = dict(headers or {})
        host = given.pop("Host", place.netloc)
        more = [(name.encode(), value.encode()) for name, value in given.items()]
        target = (place.path or "/") + (f"?{place.query}" if place.query else "")
        request = Request(host=host, target=target, subprotocols=list(subprotocols), extra_headers=more)
        self._line.sendall(self._connection.send(request))
        answer = self._next()
        if isinstance(answer, RejectConnection):
            self._line.close()
            raise Refused(answer.status_code)
        assert isinstance(answer, AcceptConnection), answer
        self.subprotocol = answer.subprotocol

    def _next(self) -> Any:
        while not self._events:
            self._connection.receive_data(self._line.recv(65536) or None)
            for event in self._connection.events():
                if isinstance(event, Ping):
                    self._line.sendall(self._connection.send(event.response()))
                else:
                    self._events.append(event)
        return self._events.pop(0)

    def text(self) -> str:
        """The next message."""
        text, whole = "", False
        while not whole:
            event = self._next()
            assert isinstance(event, TextMessage), event
            text, whole = text + event.data, event.message_finished
        return text

    def json(self) -> Any:
        return json.loads(self.text())

    def send(self, text: str) -> None:
        self._line.sendall(self._connection.send(TextMessage(text)))

    def closed(self) -> int:
        """The code with which the other end closes; listens until it does."""
        while not isinstance(event := self._next(), CloseConnection):
            pass
        return int(event.code)

    def close(self) -> None:
        self._line.close()

    def __enter__(self) -> Socket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
