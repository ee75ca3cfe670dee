"""A virtual cloud of either country, with many virtual terminals behind it (docs/cloud.md, "Without a cloud").

Examples:
    >>> from getnet_pos.simulator.cloud import CloudFault, CloudFaultKind, VirtualCloud
    >>> login = {"client_id": "my-client", "client_secret": "my-secret", "profile": Profile.CHILE}
    >>> with VirtualCloud(profile=Profile.CHILE) as cloud:
    ...     cloud.inject(CloudFault(CloudFaultKind.TIMEOUT_AFTER))
    ...     with Connector.create_cloud(cloud.url, key_pos=cloud.key_pos, journal=MemoryJournal(), **login) as pos:
    ...         connected = pos.polling().approved
    ...         sale = pos.sale(1_000, ticket="A1")  # 504, so the cloud is queried for the outcome
    >>> sale.approved, cloud.terminal.ledger.charged()
    (True, 1000)

The cloud itself does no I/O and reads no clock: its driver passes ``now``, in seconds, to ``receive`` and ``advance``,
and calls again at ``next_event``. As a context manager it serves real HTTP on this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import hmac
import math
import random
import re
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import httpx

from ..codec import acknowledgement, envelope, signature
from ..codec.json_text import dumps, loads
from ..codec.messages import whole
from ..errors import ConfigurationError, LifecycleError
from ..messages import CATALOGUE, Command, GetTransaction, KeyPos, LastVoucher, PrintDocument
from ..profiles import CloudProfile, Profile
from .behaviour import Behaviour
from .faults import Frames
from .refusals import Refusal
from .replies import Identity
from .terminal import VirtualTerminal

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["CloudAnswer", "CloudCall", "CloudFault", "CloudFaultKind", "VirtualCloud", "Where", "serve"]

BASE_PATH = "/api/postxs"
HOLD = 300.0
"""How long a synchronous call is held open, in seconds (docs/protocol.md, "Cloud-to-Cloud")."""

# --------------------------------------------------------------------------------------------------------------- faults


class CloudFaultKind(Enum):
    """What goes wrong with a call. ``seconds``, ``count`` and ``retry_after`` are attributes of ``CloudFault``.

    Examples:
        >>> from getnet_pos.simulator.cloud import CloudFault, CloudFaultKind
        >>> in_process = CloudFault(CloudFaultKind.IN_PROCESS, count=3)
    """

    LATENCY = "latency"
    """The call arrives ``seconds`` late."""
    UNAUTHORIZED = "unauthorized"
    """The response is 401; nothing is carried out."""
    EXPIRED = "expired"
    """All tokens expire, so the response is 401 until the client logs in again."""
    FORBIDDEN = "forbidden"
    """The response is 403 with an HTML page, as from a firewall; nothing is carried out."""
    SERVER_ERROR = "server-error"
    """The response is 500; nothing is carried out."""
    RATE_LIMIT = "rate-limit"
    """The response is 429 with ``Retry-After``; nothing is carried out."""
    UNAVAILABLE = "unavailable"
    """The response is 503 with ``Retry-After``; nothing is carried out."""
    DROP_BEFORE = "drop-before"
    """The connection is reset; nothing is carried out."""

    DROP_AFTER = "drop-after"
    """The call is carried out, but the connection is reset instead of a response."""
    TIMEOUT_AFTER = "timeout-after"
    """The call is carried out, but the response is 504."""
    SERVER_ERROR_AFTER = "server-error-after"
    """The call is carried out, but the response is 500."""
    RATE_LIMIT_AFTER = "rate-limit-after"
    """The call is carried out, but the response is 429."""
    UNAUTHORIZED_AFTER = "unauthorized-after"
    """The call is carried out, but the response is 401, as a gateway words it."""
    FORBIDDEN_AFTER = "forbidden-after"
    """The call is carried out, but the response is 403."""
    NOT_FOUND_AFTER = "not-found-after"
    """The call is carried out, but the response is 404."""
    HTML = "html"
    """The call is carried out, but the response is 200 with an HTML page."""
    CUT = "cut"
    """The call is carried out, but the connection breaks in the middle of the response."""
    CUT_JSON = "cut-json"
    """The call is carried out, but the response is complete HTTP with only the first half of the JSON."""
    NEVER = "never"
    """The call is carried out, but there is never a response."""
    PREVIOUS = "previous"
    """The call is carried out, but the response is that of the terminal's previous payment command."""

    IN_PROCESS = "in-process"
    """The status is "in process" for the next ``count`` queries."""
    OVERTAKEN = "overtaken"
    """The status is "ID NOT FOUND" for the first ``count`` queries."""

    WEBHOOK_EARLY = "webhook-early"
    """The webhook is called before the response to the command."""
    WEBHOOK_TWICE = "webhook-twice"
    WEBHOOK_LATE = "webhook-late"
    """The webhook is called ``seconds`` late."""
    WEBHOOK_NEVER = "webhook-never"

    # The hash of ``Enum`` is written in Python, and too slow for the lookups of each call.
    __hash__ = object.__hash__


class Where(Enum):
    """Which calls a fault affects.

    Examples:
        >>> from getnet_pos.simulator.cloud import CloudFault, CloudFaultKind, Where
        >>> refused_login = CloudFault(CloudFaultKind.RATE_LIMIT, Where.LOGIN)
    """

    LOGIN = "login"
    MONEY = "money"
    """Payment commands."""
    QUESTION = "question"
    """Other commands."""
    STATUS = "status"
    """Queries for the status of a transaction."""
    LISTING = "listing"
    """The list of terminals."""


@dataclass(frozen=True, slots=True)
class CloudFault:
    """A fault that affects ``times`` calls of its kind, after skipping the first ``skip``.

    ``seconds``, ``count`` and ``retry_after`` (in seconds) are explained in ``CloudFaultKind``.

    Examples:
        >>> from getnet_pos.simulator.cloud import CloudFault, CloudFaultKind
        >>> second_sale_lost = CloudFault(CloudFaultKind.DROP_AFTER, skip=1)
    """

    kind: CloudFaultKind
    where: Where = Where.MONEY
    skip: int = 0
    times: int = 1
    seconds: float = 0.0
    count: int = 1
    retry_after: int = 1


@dataclass(slots=True)
class _Waiting:
    """A pending fault: it affects ``times`` calls, after ``skip`` others."""

    fault: CloudFault
    skip: int
    times: int


_INSTEAD = frozenset(
    {
        CloudFaultKind.UNAUTHORIZED,
        CloudFaultKind.FORBIDDEN,
        CloudFaultKind.SERVER_ERROR,
        CloudFaultKind.RATE_LIMIT,
        CloudFaultKind.UNAVAILABLE,
        CloudFaultKind.DROP_BEFORE,
    }
)
"""Faults that happen instead of the call."""

# ---------------------------------------------------------------------------------------------------------------- calls


@dataclass(frozen=True, slots=True)
class CloudAnswer:
    """The response to a call. With ``whole=False`` the connection is reset after ``body``.

    Examples:
        >>> from getnet_pos.simulator.cloud import CloudAnswer
        >>> CloudAnswer().status
        200
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    whole: bool = True


@dataclass(slots=True, eq=False)
class CloudCall:
    """An HTTP request. With the response, ``answer`` is set and ``answered`` is called.

    Examples:
        >>> from getnet_pos.simulator.cloud import CloudCall, VirtualCloud
        >>> cloud, call = VirtualCloud(), CloudCall("GET", "/api/postxs/posdata")
        >>> cloud.receive(call, now=0.0)
        >>> call.answer.status
        401
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    answer: CloudAnswer | None = None
    answered: Callable[[], object] = field(default=lambda: None, repr=False)

    def give(self, answer: CloudAnswer) -> None:
        """Set the response, unless there is one already."""
        if self.answer is None:
            self.answer = answer
            self.answered()


@dataclass(slots=True, eq=False)
class _Transaction:
    """A command, on its way to the terminal and back."""

    number: int
    kind: type[Command[Any]]
    key_pos: KeyPos
    custom_id: Any
    webhook: str | None
    faults: dict[CloudFaultKind, CloudFault]
    call: CloudCall
    fields: dict[str, Any]
    """The command as sent to the terminal, in PascalCase."""
    result: dict[str, Any] | None = None
    """The terminal's reply, in camelCase."""
    hidden: int = 0
    """How many more queries do not find the transaction."""
    slow: int = 0
    """How many more queries find it in process."""


@dataclass(slots=True, eq=False)
class _Line:
    """The cloud's connection to one terminal."""

    terminal: VirtualTerminal
    frames: Frames = field(default_factory=Frames)
    waiting: list[_Transaction] = field(default_factory=list)
    due: float = math.inf
    """When the terminal is read next, if that is planned."""
    before: dict[str, Any] | None = None
    """The response to the previous payment command."""


_ENGLISH = {
    "sent": "TRANSACTION SENT",
    "finished": "TRANSACTION FINISHED",
    "completed": "TRANSACTION COMPLETED",
    "in process": "TRANSACTION IN PROCESS",
}
_SPANISH = {
    "sent": "TRANSACCION ENVIADA",
    "finished": "TRANSACCION FINALIZADA",
    "completed": "TRANSACCION FINALIZADA",
    "in process": "TRANSACCION EN PROCESO",
}
_SPOILING = (
    CloudFaultKind.DROP_AFTER,
    CloudFaultKind.TIMEOUT_AFTER,
    CloudFaultKind.SERVER_ERROR_AFTER,
    CloudFaultKind.RATE_LIMIT_AFTER,
    CloudFaultKind.UNAUTHORIZED_AFTER,
    CloudFaultKind.FORBIDDEN_AFTER,
    CloudFaultKind.NOT_FOUND_AFTER,
    CloudFaultKind.HTML,
    CloudFaultKind.CUT,
    CloudFaultKind.CUT_JSON,
)
"""Faults that change the response to a call that was carried out."""
_HTML = b"<html><head><title>Just a moment...</title></head><body>Error</body></html>"


class VirtualCloud:
    """A cloud: logins, terminals, transactions, status queries and webhooks.

    ``terminals`` maps each ``KeyPos`` to its terminal, or is the number of terminals to create, with the behaviour
    ``default``. ``clients`` maps client ids to their secrets; ``None`` accepts any. ``token_life`` is in seconds. With
    ``echoes_ids=False``, flat results have no ``idPosTxs`` and ``customId``: the documentation does not show them.
    Each payment command takes the next list of faults from ``script``; add faults of other calls with ``inject``. The
    same calls with the same ``seed`` have the same effect.

    Raises:
        ConfigurationError: the profile has no cloud.

    Examples:
        >>> from getnet_pos.simulator.cloud import VirtualCloud
        >>> with VirtualCloud(profile=Profile.ARGENTINA, terminals=3) as cloud:
        ...     cloud.url.endswith("/api/postxs"), len(cloud.terminals)
        (True, 3)
    """

    def __init__(
        self,
        *,
        profile: Profile = Profile.CHILE,
        terminals: int | Mapping[KeyPos, VirtualTerminal] = 1,
        default: Behaviour | None = None,
        clients: Mapping[str, str] | None = None,
        token_life: int = 86_400,
        echoes_ids: bool = True,
        script: Iterable[Iterable[CloudFault]] = (),
        seed: int = 0,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        if profile.cloud is None:
            raise ConfigurationError(
                f"the profile {profile.name} has no cloud: use one that has, such as Profile.CHILE"
            )
        self.profile = profile
        self.settings: CloudProfile = profile.cloud
        self.clients = clients
        self.token_life = token_life
        self.echoes_ids = echoes_ids
        self.script = deque(script)
        self.requests: deque[CloudCall] = deque(maxlen=10_000)
        """The last 10,000 calls, in order."""
        self.webhooks: list[tuple[str, bytes]] = []
        """The URL and body of every webhook call, in order."""
        self.documents: list[Any] = []
        """The documents sent to the print service."""
        self.on_webhook: Callable[[str, bytes], object] = lambda url, body: None
        self.in_time: Callable[[Callable[[float], object]], object] = lambda action: action(self.now)
        """Runs a function in the thread that serves the cloud, with the time as its argument."""
        self.now = 0.0
        self.url = ""
        """The address while it serves, which ends in ``/api/postxs``."""
        self._nested = not profile.cloud.flat_results
        self._words = _SPANISH if self._nested else _ENGLISH
        if isinstance(terminals, int):
            places = [_key_pos(number, self._nested) for number in range(terminals)]
            terminals = {place: _terminal(place, default, f"{seed} {place}") for place in places}
        self._lines = {key_pos: _Line(terminal) for key_pos, terminal in terminals.items()}
        self._kinds = {
            endpoint.path.lower(): profile.catalogue.kinds[code] for code, endpoint in profile.cloud.endpoints.items()
        }
        """The command of each path."""
        self._rng = random.Random(f"{seed} cloud")
        self._first_number = self._rng.randrange(100_000, 100_000_000)
        self._tokens: dict[str, float] = {}
        self._transactions: dict[int, _Transaction] = {}
        self._faults: list[_Waiting] = []
        self._agenda: list[tuple[float, int, Callable[[], object]]] = []
        self._count = 0
        self._where = host, port
        self._server: Any = None

    # ------------------------------------------------------------------------------------------------------ for callers

    @property
    def terminals(self) -> dict[KeyPos, VirtualTerminal]:
        """The terminals."""
        return {key_pos: line.terminal for key_pos, line in self._lines.items()}

    @property
    def key_pos(self) -> KeyPos:
        """The identifiers of the first terminal."""
        return next(iter(self._lines))

    @property
    def terminal(self) -> VirtualTerminal:
        """The first terminal."""
        return self._lines[self.key_pos].terminal

    def inject(self, *faults: CloudFault) -> None:
        """Add faults. They count calls from now on."""
        self._faults.extend(_Waiting(fault, fault.skip, fault.times) for fault in faults)

    def revoke(self) -> None:
        """Expire all tokens."""
        self._tokens.clear()

    def count(self, path: str) -> int:
        """How many of the last calls went to a path that ends with ``path``."""
        return sum(call.path.endswith(path) for call in self.requests)

    def act(self, key_pos: KeyPos, action: Callable[[float], object]) -> None:
        """Run ``action`` on a terminal, with the cloud's time as its argument; from any thread."""

        def do(now: float) -> None:
            self.advance(now)
            action(now)
            self._look(self._lines[key_pos])

        self.in_time(do)

    # ---------------------------------------------------------------------------------------------------------- driving

    def receive(self, call: CloudCall, now: float) -> None:
        """Receive a call. Its ``answer`` is set when it is due."""
        self.advance(now)
        self.requests.append(call)
        if call.method == "OPTIONS":
            # Web pages cannot call the real cloud: its firewall requires a token and allows no origin.
            call.give(_failure(401, "UNAUTHORIZED"))
            return
        faults = self._befalling(self._kind(call))
        late = faults.pop(CloudFaultKind.LATENCY, None)
        if late is not None:
            self._plan(late.seconds, lambda: self._take(call, faults))
        else:
            self._take(call, faults)

    def next_event(self) -> float | None:
        """When to call ``advance`` next; ``None``: not before the next call."""
        return self._agenda[0][0] if self._agenda else None

    def advance(self, now: float) -> None:
        """Do everything that is due by ``now``, each at its own time."""
        while self._agenda and self._agenda[0][0] <= now:
            at, _, action = heapq.heappop(self._agenda)
            self.now = max(self.now, at)
            action()
        self.now = max(self.now, now)

    def _plan(self, after: float, action: Callable[[], object]) -> None:
        self._count += 1
        heapq.heappush(self._agenda, (self.now + after, self._count, action))

    # ----------------------------------------------------------------------------------------------------------- faults

    def _kind(self, call: CloudCall) -> Where:
        name = call.path.rpartition("/")[2].lower()
        if name == "auth":
            return Where.LOGIN
        if name == "posdata":
            return Where.LISTING
        if call.method == "GET":
            return Where.STATUS
        kind = self._kinds.get(name)
        return Where.MONEY if kind is not None and kind.moves_money else Where.QUESTION

    def _befalling(self, where: Where) -> dict[CloudFaultKind, CloudFault]:
        found = {fault.kind: fault for fault in (self.script.popleft() if where is Where.MONEY and self.script else ())}
        for waiting in [one for one in self._faults if one.fault.where is where]:
            if waiting.skip:
                waiting.skip -= 1
            elif waiting.fault.kind not in found:
                found[waiting.fault.kind] = waiting.fault
                waiting.times -= 1
        self._faults = [one for one in self._faults if one.times > 0]
        return found

    def _instead(self, call: CloudCall, faults: dict[CloudFaultKind, CloudFault]) -> bool:
        """Whether a fault happened instead of the call."""
        if CloudFaultKind.EXPIRED in faults:
            self.revoke()
        kind = next((kind for kind in faults if kind in _INSTEAD), None)
        if kind is not None:
            call.give(self._spoiled(kind, faults[kind], b""))
        return kind is not None

    def _spoiled(self, kind: CloudFaultKind, fault: CloudFault, body: bytes) -> CloudAnswer:
        """The response that a fault makes of the correct one."""
        busy = {"retry-after": str(fault.retry_after)}
        if kind is CloudFaultKind.UNAUTHORIZED:
            return _failure(401, "UNAUTHORIZED")
        if kind is CloudFaultKind.UNAUTHORIZED_AFTER:
            return CloudAnswer(401, {"content-type": "application/json"}, b'{"message":"unauthorized"}')
        if kind in (CloudFaultKind.FORBIDDEN, CloudFaultKind.FORBIDDEN_AFTER):
            return CloudAnswer(403, {"content-type": "text/html"}, _HTML)
        if kind is CloudFaultKind.NOT_FOUND_AFTER:
            return CloudAnswer(404, {"content-type": "text/html"}, _HTML)
        if kind in (CloudFaultKind.SERVER_ERROR, CloudFaultKind.SERVER_ERROR_AFTER):
            return _failure(500, "INTERNAL SERVER ERROR")
        if kind in (CloudFaultKind.RATE_LIMIT, CloudFaultKind.RATE_LIMIT_AFTER):
            return _failure(429, "TOO MANY REQUESTS", busy)
        if kind is CloudFaultKind.UNAVAILABLE:
            return _failure(503, "SERVICE UNAVAILABLE", busy)
        if kind is CloudFaultKind.TIMEOUT_AFTER:
            return CloudAnswer(504, {"content-type": "text/html"}, _HTML)
        if kind is CloudFaultKind.HTML:
            return CloudAnswer(200, {"content-type": "text/html"}, _HTML)
        if kind is CloudFaultKind.CUT:
            return CloudAnswer(200, {"content-type": "application/json"}, body[: len(body) // 2], whole=False)
        if kind is CloudFaultKind.CUT_JSON:
            return CloudAnswer(200, {"content-type": "application/json"}, body[: len(body) // 2])
        return CloudAnswer(whole=False)

    def _give(self, call: CloudCall, faults: dict[CloudFaultKind, CloudFault], answer: CloudAnswer) -> None:
        """Respond to a call that was carried out, subject to its faults."""
        if CloudFaultKind.NEVER in faults:
            return
        kind = next((kind for kind in _SPOILING if kind in faults), None)
        if kind is not None:
            answer = self._spoiled(kind, faults[kind], answer.body)
        call.give(answer)

    # ------------------------------------------------------------------------------------------------------------ calls

    def _take(self, call: CloudCall, faults: dict[CloudFaultKind, CloudFault]) -> None:
        if self._instead(call, faults):
            return
        where = self._kind(call)
        if where is Where.LOGIN:
            self._give(call, faults, self._login(call))
            return
        if not self._is_authorized(call):
            call.give(_failure(401, "UNAUTHORIZED"))
        elif where is Where.LISTING:
            self._give(call, faults, self._listing(call))
        elif where is Where.STATUS:
            self._give(call, faults, self._status(call))
        elif call.method != "POST" or call.path.rpartition("/")[2].lower() not in self._kinds:
            call.give(_failure(404, "NOT FOUND"))
        else:
            self._command(call, faults)

    def _login(self, call: CloudCall) -> CloudAnswer:
        form = {name.lower(): values[0] for name, values in parse_qs(call.body.decode("latin-1")).items()}
        known = self.clients is None or hmac.compare_digest(
            self.clients.get(form.get("clientid", ""), "\0").encode(), form.get("clientsecret", "").encode()
        )
        if call.method != "POST" or not known or not form.get("clientid") or not form.get("clientsecret"):
            return _failure(200, "INVALID CREDENTIALS")
        token = f"{self._rng.getrandbits(128):032x}"
        self._tokens[token] = self.now + self.token_life
        return _json({"code": 1, "status": "OK", "message": "LOGIN SUCCESSFUL",
                      "data": {"token": token, "expires_in": self.token_life}})  # fmt: skip

    def _is_authorized(self, call: CloudCall) -> bool:
        scheme, _, token = call.headers.get("authorization", "").partition(" ")
        return scheme == "Bearer" and self.now < self._tokens.get(token, -math.inf)

    def _listing(self, call: CloudCall) -> CloudAnswer:
        wanted = parse_qs(call.query).get("idsucursal")
        branch = int(wanted[0]) if wanted and wanted[0].isdigit() else None
        return _json({"code": 1, "status": "OK", "message": "OK", "data": [
            self._triplet(key_pos) for key_pos in self._lines if branch in (None, key_pos.id_sucursal)
        ]})  # fmt: skip

    def _triplet(self, key_pos: KeyPos) -> dict[str, Any]:
        digits = self.settings.branch_digits
        branch: Any = key_pos.id_sucursal if digits is None else f"{key_pos.id_sucursal:0{digits}d}"
        return {"idTerminal": key_pos.id_terminal, "idSucursal": branch, "serialNumber": key_pos.serial_number}

    def _status(self, call: CloudCall) -> CloudAnswer:
        name = call.path.rpartition("/")[2]
        transaction = self._transactions.get(int(name)) if re.fullmatch(r"[0-9]{1,18}", name) else None
        if transaction is None:
            return _failure(200, "ID NOT FOUND")
        if transaction.hidden:
            transaction.hidden -= 1
            return _failure(200, "ID NOT FOUND")
        if transaction.result is None or transaction.slow:
            transaction.slow -= transaction.slow > 0
            return _json({"code": 2, "status": "OK", "message": self._words["in process"], "data": None})
        return _json(self._ended(transaction, "completed"))

    # --------------------------------------------------------------------------------------------------------- commands

    def _command(self, call: CloudCall, faults: dict[CloudFaultKind, CloudFault]) -> None:
        kind = self._kinds[call.path.rpartition("/")[2].lower()]
        try:
            body = loads(call.body)
            terminal_id = body["idTerminal"]
            # One of the vendor's forms sends it as a number.
            terminal_id = str(terminal_id) if type(terminal_id) is int else terminal_id
            key_pos = KeyPos(terminal_id, body["idSucursal"], body["serialNumber"])
            webhook = body.get("webhook") or None
        except (ValueError, KeyError, TypeError, AttributeError):
            call.give(_failure(200, "INCORRECT REQUEST FOR MERCHANT ID"))
            return
        line = self._lines.get(key_pos)
        if line is None or body.get("command") != kind.code:
            call.give(_failure(200, "KEYPOS NOT FOUND" if line is None else "INCORRECT COMMAND"))
            return
        number = self._first_number + len(self._transactions)
        fields = {name[:1].upper() + name[1:]: value for name, value in body.items() if name not in _FOR_THE_CLOUD}
        fields["Command"] = kind.recorded_as
        transaction = _Transaction(number, kind, key_pos, body.get("customId"), webhook, faults, call, fields)
        if CloudFaultKind.OVERTAKEN in faults:
            transaction.hidden = faults[CloudFaultKind.OVERTAKEN].count
        if CloudFaultKind.IN_PROCESS in faults:
            transaction.slow = faults[CloudFaultKind.IN_PROCESS].count
        self._transactions[number] = transaction
        if kind is GetTransaction:
            asked = self._transactions.get(body.get("idPosTxs"))
            known = None if asked is None else asked.result
            self._end(transaction, dict(known) if known else _reply(kind.code, Refusal.NOT_FOUND))
        elif kind.cloud_only and not kind.moves_money:
            # Handled by the cloud: the virtual terminal does not know it.
            if kind is PrintDocument:
                self.documents.append(body.get("details"))
            self._end(transaction, {"functionCode": kind.code, "responseCode": 0, "responseMessage": "Aprobado"})
        else:
            self._pass_on(transaction, line)
        if webhook is None:
            self._plan(HOLD, lambda: call.give(CloudAnswer(504, {"content-type": "text/html"}, _HTML)))
        elif CloudFaultKind.WEBHOOK_EARLY not in faults:
            self._give(call, faults, self._sent(transaction))

    def _sent(self, transaction: _Transaction) -> CloudAnswer:
        data = {"idPosTxs": transaction.number, "customId": transaction.custom_id}
        return _json({"code": 1, "status": "OK", "message": self._words["sent"], "data": data})

    def _pass_on(self, transaction: _Transaction, line: _Line) -> None:
        self._look(line)
        line.waiting.append(transaction)
        line.terminal.receive(envelope(dumps(transaction.fields).decode()), self.now)
        self._look(line)

    def _look(self, line: _Line) -> None:
        """Read what the terminal has written by now, and plan the next read."""
        if line.due <= self.now:
            line.due = math.inf
        for data in line.terminal.take(self.now):
            if not self._hear(line, data):
                for piece in line.frames.feed(data):
                    self._hear(line, piece)
        event = line.terminal.next_event()
        if event is not None and event < line.due and line.waiting:
            line.due = event
            self._plan(max(0.0, event - self.now), lambda: self._look(line))

    def _hear(self, line: _Line, piece: bytes) -> bool:
        """Handle one message, ignoring damaged ones; false if ``piece`` is not exactly one message."""
        try:
            outer = loads(piece)
            if "JsonSerialized" in outer and outer["Sign"] != signature(outer["JsonSerialized"]):
                return True
            inner = loads(outer["JsonSerialized"]) if "JsonSerialized" in outer else {}
            inner = {name[:1].upper() + name[1:]: value for name, value in inner.items()}
        except (ValueError, TypeError, AttributeError, KeyError):
            return False
        if type(inner.get("FunctionCode")) is not int or "ResponseCode" not in inner:
            # An acknowledgement or a progress message.
            return True
        line.terminal.receive(acknowledgement(True), self.now)
        asked = [one for one in line.waiting if _answers(inner, one)]
        if asked:
            # There may be older ones, to which the terminal will not reply any more.
            transaction = asked[-1]
            line.waiting.remove(transaction)
            if not inner["ResponseCode"] and transaction.kind.recorded_as != transaction.kind.code:
                inner["FunctionCode"] = transaction.kind.code
            self._end(transaction, _camel(inner))
        return True

    def _end(self, transaction: _Transaction, result: dict[str, Any]) -> None:
        """Complete a transaction with the terminal's reply."""
        faults, call, line = transaction.faults, transaction.call, self._lines[transaction.key_pos]
        if transaction.kind.takes_card and self._nested:
            result = _whole(result, transaction.fields, line.terminal)
        transaction.result = result
        answer = self._ended(transaction, "finished")
        if transaction.webhook is not None:
            self._call_back(transaction, dumps(answer))
            if CloudFaultKind.WEBHOOK_EARLY in faults:
                # The response to the call follows the webhook.
                self._plan(0.05, lambda: self._give(call, faults, self._sent(transaction)))
            return
        shown = (line.before or answer) if CloudFaultKind.PREVIOUS in faults else answer
        if transaction.kind.moves_money:
            line.before = answer
        self._give(call, faults, _json(shown))

    def _call_back(self, transaction: _Transaction, body: bytes) -> None:
        faults, url = transaction.faults, transaction.webhook or ""
        if CloudFaultKind.WEBHOOK_NEVER in faults:
            return
        late = faults[CloudFaultKind.WEBHOOK_LATE].seconds if CloudFaultKind.WEBHOOK_LATE in faults else 0.0
        for _ in range(1 + (CloudFaultKind.WEBHOOK_TWICE in faults)):
            self._plan(late, lambda: self._post(url, body))

    def _post(self, url: str, body: bytes) -> None:
        self.webhooks.append((url, body))
        self.on_webhook(url, body)

    def _ended(self, transaction: _Transaction, word: str) -> dict[str, Any]:
        """The response with a result: nested in Chile, flat in Argentina."""
        assert transaction.result is not None
        ids = {"idPosTxs": transaction.number, "customId": transaction.custom_id}
        if self._nested:
            data: dict[str, Any] = {**ids, "response": transaction.result}
        else:
            data = {**(ids if self.echoes_ids else {}), **_flat(transaction.result)}
        return {"code": 1, "status": "OK", "message": self._words[word], "data": data}

    # ---------------------------------------------------------------------------------------------------------- serving

    def __enter__(self) -> Self:
        from .asgi import ThreadedServer

        self._app = _App(self)
        self._server = ThreadedServer(self._app, host=self._where[0], port=self._where[1])
        self.url = self._server.start() + BASE_PATH
        self._app.begin(self._server.loop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()


_FOR_THE_CLOUD = ("idTerminal", "idSucursal", "serialNumber", "customId", "webhook", "command", "idPromo")


def _answers(reply: dict[str, Any], asked: _Transaction) -> bool:
    """Whether nothing in a terminal's reply rules out that it belongs to this command."""
    code = asked.fields["Command"]
    if reply["FunctionCode"] not in (CATALOGUE.voucher_codes if code == LastVoucher.code else (0, code)):
        return False
    pairs = [(reply.get("Ticket"), asked.fields.get("TicketNumber"))]
    pairs += [(reply.get(name), asked.fields.get(name)) for name in ("Amount", "OperationId", "AuthorizationCode")]
    # A number may arrive as text, and text as a number.
    return all(one == two or (whole(one) or one) == (whole(two) or two) for one, two in pairs if one and two)


def _camel(value: Any) -> Any:
    if isinstance(value, dict):
        named = ((name[:1].lower() + name[1:], item) for name, item in value.items())
        return {name: _camel(item) if isinstance(item, (dict, list)) else item for name, item in named}
    return [_camel(item) for item in value] if isinstance(value, list) else value


_FLAT = {"responseCode": "code", "responseMessage": "message"}
_ENGLISH_REPLIES = {
    "Aprobado": "Approved",
    "Rechazado": "Declined",
    "Mensaje mal formado": "Malformed message",
    "Terminal ocupado": "Terminal busy",
    "No hay venta en curso": "No sale in progress",
    "Operacion Cancelada": "Operation cancelled",
    "Tiempo de espera excedido": "Timeout exceeded",
    "Tapa de impresora abierta": "Printer cover open",
    "Sin papel": "Out of paper",
    "Papel atascado": "Paper jam",
    "Sin transacciones": "No transactions",
    "Operacion no encontrada": "Operation not found",
    "Operacion ya anulada": "Operation already voided",
    "Operacion de un lote cerrado": "Operation of a closed batch",
    "Operacion con devolucion": "Operation already refunded",
    "Monto excede lo disponible": "Amount exceeds what is available",
    "Monto no coincide": "Amount does not match",
}


def _flat(value: Any) -> Any:
    """A reply and its rows, with the field names and the language of Argentina."""
    if isinstance(value, list):
        return [_flat(item) for item in value]
    if not isinstance(value, dict):
        return value
    flat = {_FLAT.get(name, name): _flat(item) for name, item in value.items()}
    if "responseMessage" in value:
        flat["message"] = _ENGLISH_REPLIES.get(flat["message"], flat["message"])
    return flat


_OF_THE_CLOUD = {
    "paymentId": None, "paymentMethod": 0, "integrationType": 0, "softwareName": None, "softwareVersion": None,
    "rutToValidate": None, "rutRead": None, "rutMatch": False, "rutCheckResult": 0,
}  # fmt: skip
_UNPAID = {
    "functionCode": 0, "responseCode": 0, "responseMessage": "", "commerceCode": 0, "terminalId": "", "ticket": None,
    "authorizationCode": "", "amount": 0, "sharesNumber": 0, "sharesAmount": 0, "last4Digits": "", "operationId": 0,
    "cardType": "", "accountingDate": "", "cardBrand": "", "realDate": "", "employeeId": 0, "tip": 0, "saleType": 0,
    "posMode": 0, "cashback": 0, "transToken": "", "expiryDate": "", "entryMode": "09", "aid": "", "commerceRut": "",
    "commerceName": "", "branchName": "", "branchAddress": "", "branchDistrict": "", "bin": "", **_OF_THE_CLOUD,
}  # fmt: skip
"""The result of a payment that was not made, for the fields that the terminal does not send."""


def _whole(result: dict[str, Any], asked: dict[str, Any], terminal: VirtualTerminal) -> dict[str, Any]:
    """The result of a card payment, with the fields that were seen in results of Chile's cloud."""
    sent = {name: value for name, value in result.items() if name in _UNPAID}
    if sent["responseCode"] == 0:
        return {**sent, **_OF_THE_CLOUD}
    date, identity = terminal.date(), terminal.identity
    digits = "".join(digit for digit in date if digit.isdigit())
    token = f"{identity.terminal_id}{identity.commerce_code:05d}7{digits}"
    amount = whole(asked.get("Amount")) or 0
    filled = {**_UNPAID, "amount": amount, "accountingDate": date, "realDate": date, "transToken": token, **sent}
    if sent["responseCode"] == Refusal.TIMED_OUT.code:
        # Seen in the cloud's result when nobody paid: it does not name the terminal.
        filled.update(commerceCode=0, terminalId="", ticket=None, posMode=0)
    return filled


def _reply(code: int, refusal: Refusal) -> dict[str, Any]:
    return {"functionCode": code, "responseCode": refusal.code, "responseMessage": refusal.message}


def _json(value: object) -> CloudAnswer:
    return CloudAnswer(200, {"content-type": "application/json"}, dumps(value))


def _failure(status: int, message: str, headers: Mapping[str, str] | None = None) -> CloudAnswer:
    body = dumps({"code": 0, "status": "ERROR", "message": message, "data": None})
    return CloudAnswer(status, {"content-type": "application/json", **(headers or {})}, body)


def _key_pos(number: int, nested: bool) -> KeyPos:
    if nested:
        return KeyPos(f"{80_005_000 + number}", 12_983, f"SNPRUEBA{1234 + number:04d}")
    return KeyPos(f"AR{number:02d}TEST", 12_983, f"NACPRUEBA{123 + number:03d}")


def _terminal(key_pos: KeyPos, default: Behaviour | None, seed: str) -> VirtualTerminal:
    identity = Identity(
        terminal_id=key_pos.id_terminal, serial_number=key_pos.serial_number, commerce_code=key_pos.id_sucursal
    )
    return VirtualTerminal(default=default or Behaviour(), identity=identity, seed=zlib.crc32(seed.encode()))


# -------------------------------------------------------------------------------------------------------------- serving


class _App:
    """The cloud as an ASGI application, driven by the clock of the event loop."""

    def __init__(self, cloud: VirtualCloud) -> None:
        self._cloud = cloud
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._started = 0.0
        self._posting: set[asyncio.Task[None]] = set()
        cloud.on_webhook = self._post

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start serving in ``loop``."""
        self._loop, self._started = loop, loop.time() - self._cloud.now
        self._cloud.in_time = self._in_time

    def _in_time(self, action: Callable[[float], object]) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(self._do, action)
        except RuntimeError as error:
            raise LifecycleError("the virtual cloud is not serving any more: use it within its with block") from error

    def _do(self, action: Callable[[float], object]) -> None:
        action(self._now())
        self._wind()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if self._loop is None:
            self.begin(asyncio.get_running_loop())
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        call = CloudCall(scope["method"], scope["path"], scope["query_string"].decode("latin-1"), headers, body)
        done = asyncio.Event()
        call.answered = done.set
        self._cloud.receive(call, self._now())
        self._wind()
        await done.wait()
        answer = call.answer
        assert answer is not None
        if not answer.whole and not answer.body:
            scope["connection"].abort()
            return
        length = len(answer.body) + (0 if answer.whole else 1000)
        given = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
        await send({"type": "http.response.start", "status": answer.status,
                    "headers": [*given, (b"content-length", b"%d" % length)]})  # fmt: skip
        await send({"type": "http.response.body", "body": answer.body, "more_body": not answer.whole})
        if not answer.whole:
            await asyncio.sleep(0.02)
            scope["connection"].abort()

    def _now(self) -> float:
        assert self._loop is not None
        return self._loop.time() - self._started

    def _tick(self) -> None:
        self._timer = None
        self._cloud.advance(self._now())
        self._wind()

    def _wind(self) -> None:
        """Set the timer for the cloud's next event."""
        event = self._cloud.next_event()
        if event is None or self._loop is None:
            return
        at = event + self._started
        if self._timer is not None:
            if self._timer.when() <= at:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(at, self._tick)

    def _post(self, url: str, body: bytes) -> None:
        assert self._loop is not None
        task = self._loop.create_task(_deliver(url, body))
        self._posting.add(task)
        task.add_done_callback(self._posting.discard)


async def _deliver(url: str, body: bytes) -> None:
    if urlsplit(url).scheme not in ("http", "https"):
        return
    with contextlib.suppress(httpx.HTTPError, httpx.InvalidURL):
        async with httpx.AsyncClient(trust_env=False, timeout=10, verify=False) as client:
            await client.post(url, content=body, headers={"Content-Type": "application/json"})


def serve(
    host: str = "127.0.0.1",
    port: int = 0,
    ready: Callable[[str], object] | None = None,
    *,
    cloud: VirtualCloud | None = None,
) -> None:
    """Serve in this thread until it is interrupted. ``ready`` is called with the base URL once the cloud responds.

    Port 0 chooses a free one.
    """
    from .asgi import serve_until_interrupted

    cloud = cloud or VirtualCloud()
    app = _App(cloud)

    def listening(address: str) -> None:
        app.begin(asyncio.get_running_loop())
        cloud.url = address + BASE_PATH
        if ready is not None:
            ready(cloud.url)

    serve_until_interrupted(app, host, port, listening)
