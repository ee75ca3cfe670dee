"""A virtual Active Payment Terminal API with its token endpoint, over real HTTP on this machine.

The response to ``GET /sap/equipment/v1/payment-terminals/{merchant_id}`` depends on the merchant id alone:

==================== ==================================================================================================
merchant id          response
==================== ==================================================================================================
``10000``            the documented example
``count-N``          N terminals, from 0 to 1000000
``error-403``        the documented body; ``error-401`` and ``error-404`` have the same format
``error-429``        429 with ``Retry-After: 1``
``error-500``        the documented body; also ``error-502``, ``error-503``, ``error-504``
``error-html``       200 with an HTML page
``error-cut``        200 with JSON text that is cut off in the middle
``error-encoding``   200 with ``Content-Encoding: gzip``, but the bytes are not gzip
``flaky-N``          503 for the first N requests, then two terminals
``limited-N``        429 with ``Retry-After: 0`` for the first N requests, then two terminals
``expired-N``        401 for the first N requests, then two terminals
``slow-N``           two terminals after N seconds; ``slow``: after 5
``reset``            the connection breaks in the middle of the response
``redirect``         302 to merchant 10000
``gzip``             100 terminals, compressed
``single-object``    one terminal, as an object instead of a list
``null-item``        no terminal: ``item`` is null
``missing-item``     no terminal: ``item`` is missing
``empty-item``       no terminal: ``item`` is empty text
``null-equipments``  no terminal: ``equipments`` is null
``extra-fields``     three terminals with undocumented fields
``null-fields``      three terminals whose fields are all null except the serial number
``long-fields``      three terminals with texts longer than documented
``unknown-mode``     three terminals, the last with an unknown ``commercial_mode``
``bad-datetime``     three terminals, the last with a date that does not exist
any other            three terminals
==================== ==================================================================================================

``POST /auth/oauth2/token`` accepts a client-credentials form and responds as documented: 200, 400 or 401. The same two
resources are also at ``/payment-terminals/{merchant_id}`` and ``/token``. The bodies of 401, 404, 429 and 502 to 504
are not public: they are assumptions.
"""

from __future__ import annotations

import asyncio
import gzip
import hmac
import re
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from ..codec.json_text import dumps
from .asgi import ThreadedServer, serve_until_interrupted
from .extra import extra_is_missing

try:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response, StreamingResponse
    from starlette.routing import Route
except ModuleNotFoundError as error:
    raise extra_is_missing(error) from error

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["EquipmentServer", "EquipmentSimulator", "SeenRequest", "listing", "serve", "terminal"]

BASE_PATH = "/sap/equipment/v1"
TOKEN_PATH = "/auth/oauth2/token"

_FIRST = {
    "payment_terminal_sku": "302890",
    "payment_terminal_serial_number": "903191104705571440",
    "capture_method_code": "10",
    "capture_method_des": "POS",
    "communication_method_code": "000000004",
    "communication_method_des": "WI FI",
    "activation_datetime": "2010-03-29T13:57:42Z",
    "payment_terminal_brand": "INGENICO",
    "payment_terminal_model": "MOVE 5000 ESSENTIAL",
    "commercial_mode": "ALUGUEL",
    "warranty_available": True,
}
_MODELS = [("302890", "INGENICO", "MOVE 5000 ESSENTIAL"), ("302915", "INGENICO", "DESK 3500"),
           ("303120", "VERIFONE", "VX 690"), ("303477", "PAX", "D195"), ("303688", "GERTEC", "MP35P")]  # fmt: skip
_CAPTURE = [("10", "POS"), ("13", "VERMELHINHA"), ("40", "PIN PAD")]
_COMMUNICATION = [
    ("000000004", "WI FI"),
    ("000000005", "GPRS MOVEL"),
    ("000000008", "TEF"),
    ("000000035", "POS DIGITAL"),
]
_MODES = ["ALUGUEL", "VENDA", "TAXA_AD"]
_ACTIVATED = datetime(2010, 3, 29, 13, 57, 42, tzinfo=timezone.utc)


def terminal(number: int) -> dict[str, Any]:
    """Terminal ``number``, from 0, as the API sends it. Number 0 is the documented example."""
    if number == 0:
        return dict(_FIRST)
    sku, brand, model = _MODELS[number % len(_MODELS)]
    capture, capture_words = _CAPTURE[number % len(_CAPTURE)]
    communication, communication_words = _COMMUNICATION[number % len(_COMMUNICATION)]
    mode = _MODES[number % len(_MODES)]
    return {
        "payment_terminal_sku": sku,
        "payment_terminal_serial_number": str(903_191_104_705_571_440 + number),
        "capture_method_code": capture,
        "capture_method_des": capture_words,
        "communication_method_code": communication,
        "communication_method_des": communication_words,
        "activation_datetime": (_ACTIVATED + timedelta(seconds=4_999 * number)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "payment_terminal_brand": brand,
        "payment_terminal_model": model,
        "commercial_mode": mode,
        "warranty_available": mode == "VENDA" and number % 2 == 1,
    }


def listing(merchant_id: str, count: int) -> dict[str, Any]:
    """The listing of ``count`` terminals, as the API sends it."""
    return {"merchant_id": merchant_id, "equipments": {"item": [terminal(number) for number in range(count)]}}


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """A request that the simulator received.

    Examples:
        >>> from getnet_pos.simulator.equipment import SeenRequest
        >>> SeenRequest("GET", "/payment-terminals/10000", {"authorization": "Bearer my-token"}, b"")
        SeenRequest(method='GET', path='/payment-terminals/10000')
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class EquipmentSimulator:
    """The state of the virtual API: valid tokens, known clients, and the requests received.

    ``tokens`` are accepted besides the issued ones; ``None`` accepts any token except expired ones. ``clients`` maps
    client ids to their secrets; ``None`` accepts any. ``token_life``, and ``token_delay``, the delay of each response
    with a token, are in seconds. ``requests`` has the last thousand requests.

    Examples:
        >>> from getnet_pos.simulator.equipment import EquipmentServer, EquipmentSimulator
        >>> server = EquipmentServer(EquipmentSimulator(clients={"my-client": "my-secret"}, token_life=60))
    """

    def __init__(
        self,
        *,
        tokens: Collection[str] | None = None,
        clients: Mapping[str, str] | None = None,
        token_life: int = 3600,
        token_delay: float = 0.0,
    ) -> None:
        self.tokens = tokens
        self.clients = clients
        self.token_life = token_life
        self.token_delay = token_delay
        self.requests: deque[SeenRequest] = deque(maxlen=1000)
        self._issued: dict[str, float] = {}
        self._failed: dict[str, int] = {}
        listings = Route("/payment-terminals/{merchant_id}", self._listing)
        self.app = Starlette(
            routes=[
                Route(f"{BASE_PATH}{listings.path}", self._listing),
                listings,
                Route(TOKEN_PATH, self._token, methods=["POST"]),
                Route("/token", self._token, methods=["POST"]),
            ]
        )

    def revoke(self) -> None:
        """Expire every token issued so far."""
        self._issued = dict.fromkeys(self._issued, 0.0)

    def count(self, path: str) -> int:
        """How many of the requests went to a path that ends with ``path``."""
        return sum(request.path.endswith(path) for request in self.requests)

    async def _seen(self, request: Request) -> bytes:
        body = await request.body()
        self.requests.append(SeenRequest(request.method, request.url.path, dict(request.headers), body))
        return body

    # ---------------------------------------------------------------------------------------------------------- token

    async def _token(self, request: Request) -> Response:
        body = await self._seen(request)
        await asyncio.sleep(self.token_delay)
        if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            return _oauth_error(
                400, "invalid_request", "the body must be a form: send Content-Type application/x-www-form-urlencoded"
            )
        form = {name: values[0] for name, values in parse_qs(body.decode("latin-1")).items()}
        for name in ("grant_type", "client_id", "client_secret"):
            if not form.get(name):
                return _oauth_error(400, "invalid_request", f"{name} is missing")
        if form["grant_type"] != "client_credentials":
            return _oauth_error(400, "unsupported_grant_type", "use client_credentials")
        if not self._is_client(form["client_id"], form["client_secret"]):
            return _oauth_error(401, "invalid_client", "invalid client id or client secret")
        token = secrets.token_urlsafe(24)
        self._issued[token] = time.monotonic() + self.token_life
        answer = {"access_token": token, "token_type": "Bearer", "expires_in": self.token_life}
        return _json(200, {**answer, "scope": form.get("scope", "oob")})

    def _is_client(self, client_id: str, client_secret: str) -> bool:
        if self.clients is None:
            return True
        known = self.clients.get(client_id)
        return known is not None and hmac.compare_digest(known.encode(), client_secret.encode())

    def _is_token(self, header: str) -> bool:
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token:
            return False
        ends = self._issued.get(token)
        if ends is not None:
            return time.monotonic() < ends
        return self.tokens is None or token in self.tokens

    # -------------------------------------------------------------------------------------------------------- listing

    async def _listing(self, request: Request) -> Response:
        await self._seen(request)
        if not self._is_token(request.headers.get("authorization", "")):
            return _error(401, "Unauthorized")
        merchant_id: str = request.path_params["merchant_id"]
        name, _, number = merchant_id.rpartition("-")
        times = int(number) if re.fullmatch(r"[0-9]{1,7}", number) else 0
        if name == "error" and number in _ERRORS:
            return _ERRORS[number]()
        if name in _FIRST_REFUSALS and self._fails(merchant_id, times):
            return _FIRST_REFUSALS[name]()
        if merchant_id == "redirect":
            return Response(status_code=302, headers={"location": request.url.path.replace("redirect", "10000")})
        if merchant_id == "reset":
            return StreamingResponse(_torn(_body(listing(merchant_id, 20))), media_type="application/json")
        if name == "slow" or merchant_id == "slow":
            await asyncio.sleep(5 if merchant_id == "slow" else times)
        if merchant_id == "gzip":
            packed = gzip.compress(_body(listing(merchant_id, 100)))
            return Response(packed, headers={"content-encoding": "gzip"}, media_type="application/json")
        if name == "count":
            return _json(200, listing(merchant_id, min(times, 1_000_000)))
        count = 1 if merchant_id == "10000" else 2 if name in ("slow", *_FIRST_REFUSALS) else 3
        return _json(200, _SHAPES.get(merchant_id, _plain)(listing(merchant_id, count)))

    def _fails(self, merchant_id: str, times: int) -> bool:
        failed = self._failed.get(merchant_id, 0)
        self._failed[merchant_id] = failed + 1
        return failed < times


# ------------------------------------------------------------------------------------------------------------- answers


def _body(value: object) -> bytes:
    return dumps(value)


def _json(status: int, value: object, headers: Mapping[str, str] | None = None) -> Response:
    return Response(_body(value), status, headers, media_type="application/json")


def _error(status: int, words: str, headers: Mapping[str, str] | None = None) -> Response:
    error = {"code": str(status), "message": f"{status} - {words}", "logID": "simulated-log-identifier"}
    return _json(status, {"error": error}, headers)


def _oauth_error(status: int, error: str, description: str) -> Response:
    return _json(status, {"error": error, "error_description": description})


def _failure(status: int) -> Response:
    return _json(status, {"Status": "Erro no processamento da requisicao"})


async def _torn(body: bytes) -> AsyncIterator[bytes]:
    yield body[: len(body) // 2]
    await asyncio.sleep(0.01)
    # The server closes the connection of a response that fails in the middle.
    raise ConnectionResetError("requested by the merchant id")


_ERRORS: dict[str, Callable[[], Response]] = {
    "401": lambda: _error(401, "Unauthorized"),
    "403": lambda: _error(403, "Forbidden"),
    "404": lambda: _error(404, "Not Found"),
    "429": lambda: _error(429, "Too Many Requests", {"retry-after": "1"}),
    "500": lambda: _failure(500),
    "502": lambda: _failure(502),
    "503": lambda: _failure(503),
    "504": lambda: _failure(504),
    "html": lambda: Response("<html><head><title>Manutenção</title></head><body/></html>", media_type="text/html"),
    "cut": lambda: Response(_body(listing("error-cut", 3))[:900], media_type="application/json"),
    "encoding": lambda: Response(b"{}", headers={"content-encoding": "gzip"}, media_type="application/json"),
}

_FIRST_REFUSALS: dict[str, Callable[[], Response]] = {
    "flaky": lambda: _failure(503),
    "limited": lambda: _error(429, "Too Many Requests", {"retry-after": "0"}),
    "expired": lambda: _error(401, "Unauthorized"),
}


def _plain(answer: dict[str, Any]) -> dict[str, Any]:
    return answer


def _item(value: object) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda answer: {**answer, "equipments": {"item": value}}


def _each(change: Mapping[str, object], which: slice) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def changed(answer: dict[str, Any]) -> dict[str, Any]:
        for item in answer["equipments"]["item"][which]:
            item.update(change)
        return answer

    return changed


_ALL, _LAST = slice(None), slice(-1, None)

_SHAPES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "single-object": _item(terminal(0)),
    "null-item": _item(None),
    "empty-item": _item(""),
    "missing-item": lambda answer: {**answer, "equipments": {}},
    "null-equipments": lambda answer: {**answer, "equipments": None},
    "extra-fields": _each({"firmware": "1.2.3", "location": {"state": "SP", "floors": [1, 2]}}, _ALL),
    "null-fields": _each({name: None for name in _FIRST if name != "payment_terminal_serial_number"}, _ALL),
    "long-fields": _each({"payment_terminal_model": "M" * 51, "payment_terminal_sku": "1" * 19}, _ALL),
    "unknown-mode": _each({"commercial_mode": "COMODATO"}, _LAST),
    "bad-datetime": _each({"activation_datetime": "2023-02-29T00:00:00Z"}, _LAST),
}


# -------------------------------------------------------------------------------------------------------------- server


def serve(
    host: str = "127.0.0.1",
    port: int = 0,
    ready: Callable[[str], object] | None = None,
    *,
    simulator: EquipmentSimulator | None = None,
) -> None:
    """Serve in this thread until it is interrupted. ``ready`` is called with the address once the API responds.

    Port 0 chooses a free one. The address has no path: the API is at ``address + "/sap/equipment/v1"``.
    """
    app = (simulator or EquipmentSimulator()).app
    serve_until_interrupted(app, host, port, lambda address: ready(address) if ready is not None else None)


class EquipmentServer:
    """Serves a simulator in a thread of its own, as a context manager.

    ``base_url`` is for ``EquipmentClient``, ``token_url`` for ``ClientCredentials``.

    Examples:
        >>> from getnet_pos.simulator.equipment import EquipmentServer
        >>> with EquipmentServer() as server:
        ...     with EquipmentClient(server.base_url, token="any") as client:
        ...         len(client.list_active_terminals("count-12"))
        12
    """

    def __init__(self, simulator: EquipmentSimulator | None = None, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.simulator = simulator or EquipmentSimulator()
        self._server = ThreadedServer(self.simulator.app, host=host, port=port)
        self.address = ""

    @property
    def base_url(self) -> str:
        """The address of the API."""
        return self.address + BASE_PATH

    @property
    def token_url(self) -> str:
        """The address of the token endpoint."""
        return self.address + TOKEN_PATH

    def __enter__(self) -> Self:
        self.address = self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()
