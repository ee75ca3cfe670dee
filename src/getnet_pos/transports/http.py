"""A terminal on the local network over HTTP: each write is a POST, and a read returns the body of its response.

This link is our assumption (docs/assumptions.md). A response may be a stream: its bytes are passed on as they arrive,
and its end is the end of the answer. Each request uses a new connection, because the terminal may just be closing a
used one, and the outcome of a sale would be unknown. A write during a response, such as a cancellation during a sale,
is a separate request whose response is dropped.

This is built on the TCP transport, not on a client library, because payments need it: we know whether a byte of a
request left, no request is sent twice or to another address, every wait has a deadline and can be woken, and there are
no background threads.
"""

from __future__ import annotations

import time
from urllib.parse import quote, urlsplit

from ..errors import Disconnected, InvalidType, InvalidValue, TransportError, UnexpectedStatus
from ..logs import logger
from . import AsyncTransport, Transport
from .http1 import BadHttp, Dialogue
from .tcp import AsyncTcpTransport, TcpTransport
from .tls import Verify, tls_context

__all__ = ["AsyncHttpTransport", "HttpTransport"]

log = logger("getnet_pos.http")


class _Url:
    """The parts of a terminal's URL, checked and encoded for the wire."""

    def __init__(self, url: str, path: str) -> None:
        if not isinstance(url, str) or not isinstance(path, str):
            raise InvalidType("the terminal's URL and its path must be text")
        try:
            parts = urlsplit(url)
            self.host, port = (parts.hostname or "").encode("idna").decode("ascii"), parts.port
        except ValueError as error:
            raise InvalidValue(
                f"the terminal's URL is not valid, write it as http://host:port or https://host:port: {error}"
            ) from error
        plain = url.isprintable() and " " not in url and "@" not in parts.netloc and not (parts.query or parts.fragment)
        if parts.scheme not in ("http", "https") or not self.host or not plain:
            raise InvalidValue(
                "the terminal's URL must be http://host:port or https://host:port, followed by at most a path"
            )
        if not path.startswith("/") or any(c in "?#" or not c.isprintable() for c in path):
            raise InvalidValue("path must begin with / and must not have a query")
        before = parts.path.rstrip("/")
        self.is_secure = parts.scheme == "https"
        usual = 443 if self.is_secure else 80
        self.port = port or usual
        self.netloc = f"[{self.host}]" if ":" in self.host else self.host
        if self.port != usual:
            self.netloc += f":{self.port}"
        self.target = quote(before if before and path == "/" else before + path, safe="/%:@!$&'()*+,;=~")
        self.text = f"{parts.scheme}://{self.netloc}{self.target}"

    def __str__(self) -> str:
        return self.text


class _Endpoint:
    """What the blocking and the asyncio transport share."""

    def __init__(
        self,
        url: str,
        *,
        path: str = "/",
        verify: Verify = True,
        pin_sha256: str | None = None,
        connect_timeout: float = 5.0,
    ) -> None:
        self._url = _Url(url, path)
        if pin_sha256 is not None and not self._url.is_secure:
            raise InvalidValue("a certificate can only be pinned for an https:// URL")
        self.name = str(self._url)
        self._host, self._port = self._url.host, self._url.port
        self._tls = tls_context(verify, pin_sha256) if self._url.is_secure else None
        self._connect_timeout = connect_timeout
        self._is_open = False

    def _check_open(self) -> None:
        if not self._is_open:
            raise Disconnected(f"{self.name} is not open: call polling() first")

    def _no_more(self) -> Disconnected:
        return Disconnected(f"{self.name} ended its response without the final message: call polling() again")


class _Dialogue:
    """One request and its response, whose body is passed on as it arrives."""

    def __init__(self, url: _Url) -> None:
        self._url = url
        self._http = Dialogue()

    @property
    def has_ended(self) -> bool:
        """Whether the response is complete."""
        return self._http.has_ended

    def request(self, data: bytes) -> bytes:
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "Connection": "close",
        }
        return self._http.request("POST", self._url.target, self._url.netloc, headers, data)

    def feed(self, data: bytes) -> bytes:
        """The part of the response's body in ``data``.

        Raises:
            UnexpectedStatus: the response has a status other than 200.
            Disconnected: it is not an HTTP response.
        """
        try:
            body = self._http.feed(data)
        except BadHttp as error:
            raise Disconnected(f"{self._url} does not speak HTTP ({error}): check its address") from None
        if self._http.status not in (0, 200):
            raise _status_error(self._url, self._http.status)
        return body


def _status_error(url: _Url, status: int) -> UnexpectedStatus:
    redirect = "redirects are not followed: give the final URL"
    advice = redirect if 300 <= status < 400 else "check the URL and its path, then call polling() again"
    return UnexpectedStatus(f"{url} answered with HTTP status {status}: {advice}", status=status)


class HttpTransport(_Endpoint, Transport):
    """The blocking transport over HTTP."""

    _line: TcpTransport | None = None
    _dialogue: _Dialogue
    _beside: tuple[TcpTransport, ...] = ()

    def open(self) -> None:
        self._is_open = True

    def write(self, data: bytes, deadline: float) -> None:
        self._check_open()
        self._hang_up_beside()
        self._hang_up()
        self._line, self._dialogue = self._connected(), _Dialogue(self._url)
        self._line.write(self._dialogue.request(data), deadline)

    def _connected(self) -> TcpTransport:
        line = TcpTransport(
            self._host, self._port, connect_timeout=self._connect_timeout, tls=self._tls, name=self.name
        )
        line.open()
        return line

    def write_beside(self, data: bytes, deadline: float) -> None:
        """Send a separate request. A failure is only logged, because the awaited reply does not depend on it."""
        self._check_open()
        try:
            line = self._connected()
            self._beside += (line,)
            line.write(_Dialogue(self._url).request(data), deadline)
        except TransportError as error:
            log.warning("a request beside the command in progress failed: %s", error)

    def read(self, deadline: float) -> bytes:
        self._check_open()
        try:
            while self._line is not None:
                data = self._line.read(deadline)
                body = self._dialogue.feed(data) if data else b""
                if self._dialogue.has_ended:
                    self._hang_up()
                if body or not data:
                    return body
            if deadline > time.monotonic():
                raise self._no_more()
        except TransportError:
            self._hang_up()
            # An error matters to a caller who waits for more, not to one who only checks whether anything arrived.
            if deadline > time.monotonic():
                raise
        return b""

    def wake(self) -> None:
        line = self._line
        if line is not None:
            line.wake()

    def _hang_up(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.close()

    def _hang_up_beside(self) -> None:
        lines, self._beside = self._beside, ()
        for line in lines:
            line.close()

    def close(self) -> None:
        self._is_open = False
        self._hang_up_beside()
        self._hang_up()


class AsyncHttpTransport(_Endpoint, AsyncTransport):
    """``HttpTransport`` on the running event loop."""

    _line: AsyncTcpTransport | None = None
    _dialogue: _Dialogue
    _beside: tuple[AsyncTcpTransport, ...] = ()

    async def open(self) -> None:
        self._is_open = True

    async def write(self, data: bytes, deadline: float) -> None:
        self._check_open()
        await self._hang_up_beside()
        await self._hang_up()
        self._line, self._dialogue = await self._connected(), _Dialogue(self._url)
        await self._line.write(self._dialogue.request(data), deadline)

    async def _connected(self) -> AsyncTcpTransport:
        line = AsyncTcpTransport(
            self._host, self._port, connect_timeout=self._connect_timeout, tls=self._tls, name=self.name
        )
        await line.open()
        return line

    async def write_beside(self, data: bytes, deadline: float) -> None:
        self._check_open()
        try:
            line = await self._connected()
            self._beside += (line,)
            await line.write(_Dialogue(self._url).request(data), deadline)
        except TransportError as error:
            log.warning("a request beside the command in progress failed: %s", error)

    async def read(self, deadline: float) -> bytes:
        self._check_open()
        try:
            while self._line is not None:
                data = await self._line.read(deadline)
                body = self._dialogue.feed(data) if data else b""
                if self._dialogue.has_ended:
                    await self._hang_up()
                if body or not data:
                    return body
            if deadline > time.monotonic():
                raise self._no_more()
        except TransportError:
            await self._hang_up()
            if deadline > time.monotonic():
                raise
        return b""

    def wake(self) -> None:
        line = self._line
        if line is not None:
            line.wake()

    async def _hang_up(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            await line.close()

    async def _hang_up_beside(self) -> None:
        lines, self._beside = self._beside, ()
        for line in lines:
            await line.close()

    async def close(self) -> None:
        self._is_open = False
        await self._hang_up_beside()
        await self._hang_up()
