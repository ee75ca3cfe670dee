"""One HTTP/1.1 request and its response, without I/O."""

from __future__ import annotations

from collections.abc import Mapping

import h11

from .._version import __version__

__all__ = ["BadHttp", "Dialogue", "UnfitRequest"]

BadHttp = h11.RemoteProtocolError
"""The response is not HTTP, is too long, or ended too early."""
UnfitRequest = h11.LocalProtocolError
"""The request is not valid HTTP. The text of the error may quote a secret."""

_LONGEST_HEAD = 65_536
"""The limit for the head of a response, or a line between its chunks, in bytes."""


class Dialogue:
    """The state of one exchange. ``status`` is 0 until the head of the response has arrived; 1xx are skipped."""

    def __init__(self) -> None:
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_LONGEST_HEAD)
        self.status = 0
        self.headers: dict[str, str] = {}
        """By name in lower case. Repeated headers are joined with commas."""
        self.has_begun = False
        """Whether any byte has arrived."""
        self.has_ended = False
        """Whether the response is complete."""

    def request(self, method: str, target: str, host: str, headers: Mapping[str, str], content: bytes) -> bytes:
        """The bytes of the request. ``headers`` may replace ``Host`` and ``User-Agent``.

        Raises:
            UnfitRequest: a header or the target is not valid HTTP.
        """
        head = {"Host": host, "User-Agent": f"getnet-pos/{__version__}"}
        given = {name.lower() for name in headers}
        head = {name: value for name, value in head.items() if name.lower() not in given}
        head.update(headers)
        if content or method == "POST":
            head["Content-Length"] = str(len(content))
        try:
            data = self._http.send(h11.Request(method=method, target=target, headers=list(head.items())))
        except UnicodeError:
            raise UnfitRequest("a header is not ASCII") from None
        if content:
            data += self._http.send(h11.Data(content))
        self._http.send(h11.EndOfMessage())
        assert data is not None
        return data

    def feed(self, data: bytes) -> bytes:
        """The part of the response's body in ``data``; ``b""`` means the end of the connection.

        Raises:
            BadHttp: it is not a valid response, or ended too early.
        """
        self.has_begun = self.has_begun or bool(data)
        self._http.receive_data(data)
        body = b""
        while not self.has_ended:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                break
            if isinstance(event, h11.Data):
                body = body + event.data if body else bytes(event.data)
            elif isinstance(event, h11.Response):
                self.status = event.status_code
                for name, value in event.headers:
                    key, text = name.decode("latin-1"), value.decode("latin-1")
                    self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text
            elif isinstance(event, h11.EndOfMessage):
                self.has_ended = True
            elif isinstance(event, h11.ConnectionClosed):
                raise BadHttp("the connection was closed without a response")
        return body

    @property
    def leaves_open(self) -> bool:
        """Whether the connection can be used for another request: both sides are done, and nothing more has arrived."""
        http = self._http
        return http.our_state is h11.DONE and http.their_state is h11.DONE and http.trailing_data == (b"", False)
