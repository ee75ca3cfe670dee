"""Access control of the agent: one ASGI middleware for all HTTP and WebSocket requests. It knows no terminal.

A request is accepted if it addresses this machine by one of its own names (``Host``), comes from a listed web page or
from none (``Origin``), and has the pairing token if it needs one. Before that is checked, its cost is limited.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import logging
import re
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response

from ..codec.json_text import dumps
from ..errors import ConfigurationError, InvalidValue
from .problems import Problem

__all__ = ["Guard", "check_reach", "checked_origin"]

log = logging.getLogger("getnet_pos.agent")

Scope = Any
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

_OWN_NAMES = ("localhost", "127.0.0.1", "::1")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_OPEN = re.compile(r"/(page\.(css|js))?|/v1/openapi\.json|/v1/terminals(/[^/]+)?")
"""What can be read without the token: the page, the OpenAPI description, and the state of the terminals. All the rest
moves money or shows payments, which must not be visible to every user of this machine.
"""

_PROTOCOL, _BEARER = "getnet-pos", "bearer."
"""A page cannot set the headers of a WebSocket: it offers these two subprotocols, the second with the token."""

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
_METHODS = "GET, POST"
_ASKED_HEADERS = "Authorization, Content-Type, Idempotency-Key, Prefer"
_SHOWN_HEADERS = "Location, Retry-After"
_REMEMBERED = 600
"""How many seconds a browser may cache the response to a preflight request."""

_BODY = 65_536
_BODY_TIME = 10.0
_SOCKETS = 256
"""The most WebSockets at a time."""
_REQUESTS = 512
"""The most requests at a time, streams of events included."""
_RATE, _BURST = 200.0, 2_000
"""How many requests one origin (without one, one address) may send per second, and how many at once."""
_TRY_RATE, _TRIES = 0.1, 10
"""The same for wrong tokens."""
_KNOWN = 1_000
"""How many origins and addresses are remembered."""


def checked_origin(text: str) -> str:
    """A listed origin in the form that browsers send: scheme, host, and the port unless it is the scheme's default.

    Raises:
        InvalidValue: it is not an origin. ``null`` would be every sandboxed page, and ``*`` every page.
    """
    origin = text.lower().removesuffix("/")
    if not _ORIGIN.fullmatch(origin) or origin.startswith("file:"):
        raise InvalidValue(
            f"{text!a} is not an origin: write scheme and host, and the port if there is one, such as "
            "https://shop.example or http://localhost:3000"
        )
    scheme, _, rest = origin.partition("://")
    return f"{scheme}://{rest.removesuffix(f':{_DEFAULT_PORTS.get(scheme)}')}"


def check_reach(host: str, *, tls: bool) -> None:
    """Refuse to listen without TLS where other machines can reach the agent.

    Raises:
        ConfigurationError: ``host`` is not a loopback address, and there is no TLS.
    """
    if not tls and not _is_loopback(host):
        raise ConfigurationError(
            f"other machines could reach the agent on {host!a}, and the token could be read in transit: pass "
            "--certificate and --key, or listen on 127.0.0.1"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


class Guard:
    """Wraps ``app``.

    ``origins`` are the origins of other pages that may use it; ``names`` are its hosts besides ``localhost``,
    ``127.0.0.1`` and ``[::1]``. Without a ``token``, every request needs a listed origin. ``scope["paired"]`` tells
    ``app`` whether the request has the token.
    """

    def __init__(
        self, app: Any, *, origins: Collection[str] = (), names: Iterable[str] = (), token: str | None = None
    ) -> None:
        self._app = app
        self._origins = frozenset(map(checked_origin, origins))
        self._names = {name.lower().strip("[]") for name in (*_OWN_NAMES, *names)}
        self._token = None if token is None else token.encode()
        self._rates = _Rates(_RATE, _BURST)
        self._tries = _Rates(_TRY_RATE, _TRIES)
        self._logged: set[str] = set()
        self._open = {"http": 0, "websocket": 0}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in self._open:
            await self._app(scope, receive, send)
            return
        caller = _Caller(scope)
        answering = _answering(send, caller, caller.origin if caller.origin in self._origins else None)
        try:
            self._check_place(caller)
            if caller.is_preflight:
                await _preflight(caller)(scope, receive, answering)
                return
            scope = {**scope, "paired": self._is_paired(caller)}
            self._check_room(caller)
        except Problem as problem:
            await _refuse(problem, scope, receive, answering)
            return
        self._open[caller.kind] += 1
        try:
            receiving = _again(await _body(receive, caller), receive) if caller.has_body else receive
        except Problem as problem:
            await _refuse(problem, scope, receive, answering)
        else:
            await self._app(scope, receiving, answering)
        finally:
            self._open[caller.kind] -= 1

    def _check_place(self, caller: _Caller) -> None:
        """Refuse requests to another host or from an unlisted page, even with the token."""
        if caller.name not in self._names or caller.port != caller.own_port:
            raise Problem("other-host", "the Host header is not one of the agent's names with its port")
        origin = caller.origin
        if origin is None:
            if self._token is None or caller.is_of_a_page:
                raise Problem("no-origin", "the request comes from a web page, but the browser did not send its origin")
        elif origin not in self._origins and (self._token is None or origin != caller.own_origin):
            self._log_once(origin)
            raise Problem("other-origin", "the agent does not allow the page's origin")
        if wait := self._rates.take(origin or caller.address):
            raise Problem("too-often", "this page or program sent too many requests in a short time", retry_after=wait)

    def _is_paired(self, caller: _Caller) -> bool:
        """Whether the request has the token; refuses it if it needs the token and lacks it.

        The right token is accepted however many wrong ones were tried: an old page that keeps trying locks nobody out,
        and the token cannot be guessed.
        """
        given = caller.token
        if self._token is None or (given is not None and hmac.compare_digest(given, self._token)):
            return True
        if caller.reads and _OPEN.fullmatch(caller.path):
            return False
        if given is not None and (wait := self._tries.take(caller.address)):
            raise Problem("wrong-tokens", "too many wrong tokens were tried", retry_after=wait)
        raise Problem("token-needed", "no pairing token was sent" if given is None else "the token is wrong")

    def _check_room(self, caller: _Caller) -> None:
        if self._open[caller.kind] >= (_SOCKETS if caller.kind == "websocket" else _REQUESTS):
            raise Problem("too-many", "too many pages or programs are connected", retry_after=1)

    def _log_once(self, origin: str) -> None:
        if origin not in self._logged and len(self._logged) < _KNOWN:
            self._logged.add(origin)
            log.warning("refused a page from %.100a: to allow it, restart with --allow-origin and that origin", origin)


class _Caller:
    """What a request claims about its sender."""

    def __init__(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        self.kind: str = scope["type"]
        self.path: str = scope["path"]
        self.method: str = scope.get("method", "GET")
        self.reads = self.kind == "http" and self.method in ("GET", "HEAD")
        self.address: str = (scope.get("client") or ("",))[0]
        self.own_port: int = scope["server"][1]
        self._headers, self._subprotocols = headers, scope.get("subprotocols", [])
        scheme = scope.get("scheme", "http").replace("ws", "http")
        host = self._only("host") or ""
        self.own_origin = f"{scheme}://{host}"
        self.name, self.port = _split(host, _DEFAULT_PORTS[scheme])
        self.origin = self._only("origin")

    def _only(self, name: str) -> str | None:
        """The header; an invalid value if it was sent twice."""
        values = self._headers.getlist(name)
        return values[0].lower() if len(values) == 1 else "," if values else None

    @property
    def is_of_a_page(self) -> bool:
        """Whether it was sent by another site's page, other than by a link to the agent's page."""
        of_elsewhere = self._headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
        return of_elsewhere and not (self.path == "/" and self._headers.get("sec-fetch-mode") == "navigate")

    @property
    def is_preflight(self) -> bool:
        return self.method == "OPTIONS" and self.origin is not None and self.asks("method")

    def asks(self, what: str) -> bool:
        return f"access-control-request-{what}" in self._headers

    @property
    def has_body(self) -> bool:
        headers = self._headers
        return self.kind == "http" and ("transfer-encoding" in headers or headers.get("content-length", "0") != "0")

    @property
    def length(self) -> int:
        """The declared length of the body, in bytes."""
        return int(self._headers.get("content-length", "0"))

    @property
    def token(self) -> bytes | None:
        scheme, _, given = self._headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return given.strip().encode("utf-8", "replace")
        found = [one.removeprefix(_BEARER) for one in self._subprotocols if one.startswith(_BEARER)]
        return found[0].encode("utf-8", "replace") if found else None

    @property
    def protocol(self) -> str | None:
        return _PROTOCOL if _PROTOCOL in self._subprotocols else None


def _split(host: str, default: int) -> tuple[str, int | None]:
    """The name and the port of a ``Host``."""
    try:
        parts = urlsplit(f"//{host}")
        port = parts.port
    except ValueError:
        return "", None
    if parts.netloc != host or "@" in host:
        return "", None
    return parts.hostname or "", default if port is None else port


def _preflight(caller: _Caller) -> Response:
    """The response to a preflight request.

    Up to version 141, Chrome also asked for access to private networks like this. Newer versions ask the user instead.
    """
    headers = {
        "Access-Control-Allow-Methods": _METHODS,
        "Access-Control-Allow-Headers": _ASKED_HEADERS,
        "Access-Control-Max-Age": str(_REMEMBERED),
    }
    if caller.asks("private-network"):
        headers["Access-Control-Allow-Private-Network"] = "true"
    return Response(status_code=204, headers=headers)


async def _refuse(problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})  # Before it is accepted, this is 403.
        return
    status, headers = problem.kind.status, dict(problem.headers)
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    document = dumps(problem.document)
    await Response(document, status, headers, "application/problem+json")(scope, receive, send)


async def _body(receive: Receive, caller: _Caller) -> bytes:
    """The whole body, if it is small and arrives soon."""
    too_large = Problem("too-large", f"the body must have at most {_BODY} bytes")
    if caller.length > _BODY:
        raise too_large

    async def whole() -> bytes:
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Problem("invalid-request", "the connection closed before the end of the body")
            body += message.get("body", b"")
            if len(body) > _BODY:
                raise too_large
            if not message.get("more_body"):
                return bytes(body)

    try:
        return await asyncio.wait_for(whole(), _BODY_TIME)
    except asyncio.TimeoutError:
        raise Problem("too-slow", f"the body must arrive within {_BODY_TIME:.0f} seconds") from None


def _again(body: bytes, receive: Receive) -> Receive:
    """A ``receive`` that returns the body again, then what follows it."""
    given = False

    async def receiving() -> Any:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receiving


def _answering(send: Send, caller: _Caller, allowed: str | None) -> Send:
    """Adds the security headers to each response; ``allowed`` is the other origin that may read it."""

    async def sending(message: Any) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message.setdefault("headers", []))
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            headers.add_vary_header("Origin")
            if allowed is not None:
                headers["Access-Control-Allow-Origin"] = allowed
                headers["Access-Control-Expose-Headers"] = _SHOWN_HEADERS
        elif message["type"] == "websocket.accept" and caller.protocol is not None:
            message = {**message, "subprotocol": caller.protocol}
        await send(message)

    return sending


class _Rates:
    """A rate limit for each sender: ``burst`` at once, then ``rate`` per second."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate, self._burst = rate, burst
        self._left: dict[str, tuple[float, float]] = {}
        """How many are left, and at what time."""

    def take(self, who: str) -> float:
        """How many seconds ``who`` must wait; 0 if not, and then one is counted."""
        now = time.monotonic()
        left, since = self._left.pop(who, (float(self._burst), now))
        left = min(left + (now - since) * self._rate, float(self._burst))
        self._left[who] = (left - 1 if left >= 1 else left, now)
        if len(self._left) > _KNOWN:
            del self._left[next(iter(self._left))]  # the least recent one
        return 0.0 if left >= 1 else (1 - left) / self._rate
