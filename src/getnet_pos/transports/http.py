"""A terminal on the local network, over HTTP: each write is a POST, and what is read is the body of its response.

The protocol of this link is our assumption (docs/assumptions.md). A response may be a stream: its bytes are handed on
as they come, and its end is the end of the answer. Each request has a connection of its own, since a used one may be
closing at the other end just then, and a sale would be a doubt. What is written beside, such as a cancellation while a
sale is being answered, is a request whose response is dropped. It knows no message.

HTTP is put on the TCP transport here, and not left to a client library, for what money needs: it is known whether a
byte of a request left, no request is ever sent twice or elsewhere, each wait has its deadline and can be woken, and
nothing runs beside.
"""

from __future__ import annotations

import hashlib
import logging
import os
import ssl
import time

import h11
import httpx

from .._version import __version__
from ..errors import ConfigurationError, Disconnected, InvalidType, InvalidValue, TransportError, UnexpectedStatus
from . import AsyncTransport, Transport
from .tcp import AsyncTcpTransport, TcpTransport

__all__ = ["AsyncHttpTransport", "HttpTransport", "tls_context"]

log = logging.getLogger("getnet_pos.http")


def tls_context(verify: bool | str | os.PathLike[str] | ssl.SSLContext, pin_sha256: str | None) -> ssl.SSLContext:
    """How a terminal's certificate is checked: by the system's CAs, by those in a file, or by its own SHA-256.

    A pinned certificate is taken whoever issued it, and no other is, whoever issued that. ``verify=False`` is refused
    without a pin: it would let anyone answer in the terminal's place.
    """
    if pin_sha256 is not None:
        return _pinned_context(_digest(pin_sha256))
    if isinstance(verify, ssl.SSLContext):
        return verify
    if verify is False:
        raise ConfigurationError("verify=False needs pin_sha256: without either, anyone could answer as the terminal")
    try:
        return ssl.create_default_context(cafile=None if verify is True else os.fspath(verify))
    except (OSError, TypeError) as error:
        raise ConfigurationError(f"verify must be True, a file of CA certificates or an SSLContext: {error}") from error


def _digest(pin_sha256: str) -> bytes:
    if not isinstance(pin_sha256, str):
        raise InvalidType(f"pin_sha256 must be text, not {type(pin_sha256).__name__}")
    pin = pin_sha256.replace(":", "").lower()
    if len(pin) != 64 or not set(pin) <= set("0123456789abcdef"):
        raise InvalidValue("pin_sha256 must be the SHA-256 of the certificate (DER): 64 hex digits")
    return bytes.fromhex(pin)


def _pinned_context(pin: bytes) -> ssl.SSLContext:
    """Checks the certificate as the last step of the handshake, before anything else can be written."""

    def check(certificate: bytes | None) -> None:
        if hashlib.sha256(certificate or b"").digest() != pin:
            raise ssl.SSLCertVerificationError("the terminal's certificate is not the pinned one")

    class PinnedSocket(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            super().do_handshake(block)
            check(self.getpeercert(binary_form=True))

    class PinnedObject(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            check(self.getpeercert(binary_form=True))

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.sslsocket_class = PinnedSocket
    context.sslobject_class = PinnedObject
    return context


def _full_url(url: str, path: str) -> httpx.URL:
    if not isinstance(url, str) or not isinstance(path, str):
        raise InvalidType("the terminal's URL and its path must be text")
    try:
        base = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise InvalidValue(f"the terminal's URL cannot be read: {error}") from error
    if base.scheme not in ("http", "https") or not base.host or base.userinfo or base.query or base.fragment:
        raise InvalidValue("the terminal's URL must be http://host:port or https://host:port, and no more than a path")
    if not path.startswith("/") or any(c in "?#" or not c.isprintable() for c in path):
        raise InvalidValue("path must begin with /, and have no query")
    before = base.path.rstrip("/")
    return base.copy_with(path=before if before and path == "/" else before + path)


class _Endpoint:
    """What the blocking and the asyncio transport share."""

    def __init__(
        self,
        url: str,
        *,
        path: str = "/",
        verify: bool | str | os.PathLike[str] | ssl.SSLContext = True,
        pin_sha256: str | None = None,
        connect_timeout: float = 5.0,
    ) -> None:
        self._url = _full_url(url, path)
        secure = self._url.scheme == "https"
        if pin_sha256 is not None and not secure:
            raise InvalidValue("a certificate can only be pinned for an https:// URL")
        self.name = str(self._url)
        self._host = self._url.raw_host.decode("ascii")
        self._port = self._url.port or (443 if secure else 80)
        self._tls = tls_context(verify, pin_sha256) if secure else None
        self._connect_timeout = connect_timeout
        self._is_open = False

    def _check_open(self) -> None:
        if not self._is_open:
            raise Disconnected(f"{self.name} is not open: poll the terminal first")

    def _no_more(self) -> Disconnected:
        return Disconnected(f"{self.name} ended its response without the final message: poll again")


class _Dialogue:
    """One request and its response, on a connection that it does not touch itself."""

    def __init__(self, url: httpx.URL) -> None:
        self._url = url
        self._http = h11.Connection(h11.CLIENT)
        self.has_ended = False
        """Whether the response came to its end."""

    def request(self, data: bytes) -> bytes:
        head = h11.Request(
            method="POST",
            target=self._url.raw_path,
            headers=[
                ("Host", self._url.netloc.decode("ascii")),
                ("User-Agent", f"getnet-pos/{__version__}"),
                ("Content-Type", "application/json"),
                ("Content-Length", str(len(data))),
                ("Accept", "application/json"),
                ("Accept-Encoding", "identity"),
                ("Connection", "close"),
            ],
        )
        parts = [self._http.send(event) for event in (head, h11.Data(data), h11.EndOfMessage())]
        return b"".join(part for part in parts if part)

    def feed(self, data: bytes) -> bytes:
        """What the bytes add to the body of the response.

        Raises:
            UnexpectedStatus, Disconnected: the response is none of a terminal.
        """
        body = b""
        try:
            self._http.receive_data(data)
            while not self.has_ended and (event := self._http.next_event()) is not h11.NEED_DATA:
                if isinstance(event, h11.Response) and event.status_code != 200:
                    raise _status_error(self._url, event.status_code)
                if isinstance(event, h11.Data):
                    body += event.data
                elif isinstance(event, h11.EndOfMessage):
                    self.has_ended = True
        except h11.RemoteProtocolError as error:
            raise Disconnected(f"{self._url} does not speak HTTP ({error}): check its address") from None
        return body


def _status_error(url: httpx.URL, status: int) -> UnexpectedStatus:
    redirect = "redirects are not followed: give the final URL"
    advice = redirect if 300 <= status < 400 else "check the URL and its path, then poll again"
    return UnexpectedStatus(f"{url} answered with HTTP status {status}: {advice}", status=status)


class HttpTransport(_Endpoint, Transport):
    """Blocks the calling thread."""

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
        """A request of its own, whose failure is only logged: the reply that is awaited does not depend on it."""
        self._check_open()
        try:
            line = self._connected()
            self._beside += (line,)
            line.write(_Dialogue(self._url).request(data), deadline)
        except TransportError as error:
            log.warning("a request beside the one in progress failed: %s", error)

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
            # How a response ends matters to who waits for more of it, not to who looks whether anything came.
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
    """On the running event loop; otherwise as ``HttpTransport``."""

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
            log.warning("a request beside the one in progress failed: %s", error)

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
