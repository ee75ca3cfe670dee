"""A receiver of the cloud's webhooks: an ASGI application that mounts into Starlette, FastAPI or any other.

::

    results = asyncio.Queue()
    receiver = WebhookReceiver(results, secret_path=os.environ["WEBHOOK_SECRET"], confirm=account)
    app = Starlette(routes=[Mount("/getnet", receiver)])     # webhook="https://shop.example/getnet/<the secret>"

A webhook bears no signature, so anyone who learns its address can post to it. It is answered at once; what it says is
then confirmed by asking the cloud for the status of its transaction, and only that is handed on. What a stranger can
cost is bounded (docs/cloud.md, "Webhooks"): transactions that the journal or a connector of the account knows are asked
about first, and all others no more often than ``max_queries`` allows.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import inspect
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..codec.cloud import read_cloud
from ..drivers.aio import on_journal
from ..errors import ConfigurationError, GetnetError, InvalidType, InvalidValue, MalformedResponse
from ..journal import JournalSource, Search, open_journal
from ..masking import mask
from ..messages import FINAL_STATES, CloudResult, Intent, KeyPos
from ..messages.checks import check_integer, check_text
from ..profiles import Profile
from .account import AsyncCloudAccount
from .bounds import Allowance, BoundedLog, Handed

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Notice", "WebhookReceiver"]

log = logging.getLogger("getnet_pos.webhooks")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_SHORTEST_SECRET = 16
_BODY_WITHIN = 10.0
"""Seconds in which a body must be there."""
_CONFIRMED_WITHIN = (0.0, 1.0, 2.0, 4.0, 8.0)
"""Seconds before each query for a status: the webhook may come before the cloud's own records are up to date."""
_MOST_ROUNDS = 2
"""How often all these queries are made in vain for a transaction that nobody here knows."""
_MOST_IN_TURN = 10_000
"""How many posts that nobody expects wait for their turn; beyond it, 503."""
_REMEMBERED_IN_VAIN = 10_000
"""Of how many transactions that is remembered."""
_MOST_PARTS = 4096
"""How many values a body may hold, as far as its punctuation tells; a webhook has a few dozen."""
_LONGEST_ID = 64
"""The longest ``customId`` taken; a register's own have 25 characters at most."""
_MESSAGES = 30
"""Log messages a minute about posts that are refused or not confirmed."""
_JOURNAL_READ_EVERY = 0.25
"""Seconds; a post that nobody waits for causes no more reading than that."""
_SETTLED_BEFORE = 600.0
"""Seconds: a result that the journal had settled that long before memory begins is taken for handed on."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What a webhook told."""

    result: CloudResult
    """As the status endpoint gives it, if ``confirmed``; else as it was posted."""
    intent: Intent | None
    """The money command of the journal that it is the result of; ``None`` where it is settled already or not ours."""
    confirmed: bool
    """Whether the cloud itself was asked."""


Handler = Callable[[Notice], object] | asyncio.Queue[Notice]
"""A function, async or not, or a queue. A function that blocks holds up the event loop."""


class WebhookReceiver:
    """An ASGI application that takes the cloud's webhooks and hands each result on once.

    It tells what happened and decides nothing: a connector finds out about its own command by itself, and what a
    register does upon a notice must be safe to do when the connector has returned the result as well. A notice that is
    lost because the process ends is not lost to the money: the journal keeps the command open until it is asked about.

    Args:
        handler: what gets each ``Notice``.
        secret_path: the last segment of the address that is posted to; any other is 404.
        secret_header: name and value of a header that must be there, where something in front of it sets one; else 401.
        confirm: the account whose cloud is asked for the status of each transaction before the notice is handed on.
        trust: hand on what was posted, unconfirmed. It needs a secret.
        journal: where the intents are, to match by ``idPosTxs`` and ``customId``.
        profile: whose reply types are read; that of ``confirm`` unless given.
        max_body: the longest body taken, in bytes.
        max_pending: how many notices that are trusted or expected may be on their way to the handler; beyond it, 503.
        max_queries: how many queries a minute the cloud is asked about transactions that nobody here knows.
        remembered: how many results that were handed on are known again when they come twice.

    Raises:
        ConfigurationError: neither ``confirm`` nor ``trust`` was chosen, or a setting cannot work.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        secret_path: str | None = None,
        secret_header: tuple[str, str] | None = None,
        confirm: AsyncCloudAccount | None = None,
        trust: bool = False,
        journal: JournalSource = None,
        profile: Profile | None = None,
        max_body: int = 1 << 16,
        max_pending: int = 1000,
        max_queries: int = 120,
        remembered: int = 100_000,
    ) -> None:
        if not callable(handler) and not isinstance(handler, asyncio.Queue):
            raise InvalidType("handler must be a function or an asyncio.Queue")
        if (confirm is None) is not trust:
            raise ConfigurationError(
                "say who confirms a notice (confirm=account), or that what anyone posts is believed (trust=True)"
            )
        if confirm is not None and not isinstance(confirm, AsyncCloudAccount):
            raise InvalidType(f"confirm must be an AsyncCloudAccount, not {type(confirm).__name__}")
        self._secret_path = None if secret_path is None else _secret(secret_path, "secret_path").encode()
        self._secret_header: tuple[bytes, bytes] | None = None
        if secret_header is not None:
            name, value = secret_header
            self._secret_header = (
                check_text(name, "the name of secret_header", 1, 128).lower().encode("latin-1"),
                _secret(value, "secret_header").encode(),
            )
        if trust and self._secret_path is None and self._secret_header is None:
            raise ConfigurationError("trust=True needs secret_path or secret_header: a webhook has no signature")
        self._handler = handler
        self._confirm = confirm
        self._journal = None if journal is None else open_journal(journal)
        self._profile = profile or (confirm.settings.profile if confirm is not None else None)
        self._max_body = check_integer(max_body, "max_body", 1024, 1 << 24)
        self._max_pending = check_integer(max_pending, "max_pending", 1, 1_000_000)
        self._handed = Handed(check_integer(remembered, "remembered", 1, 10_000_000))
        self._allowance = Allowance(check_integer(max_queries, "max_queries", 1, 100_000))
        self._pending: dict[str, asyncio.Task[None]] = {}
        """What is on its way and was trusted or expected."""
        self._in_turn: dict[str, asyncio.Task[None]] = {}
        """What is on its way and may be anybody's."""
        self._asked_by: set[str | None] = set()
        """The ids by which those that are expected are being asked about."""
        self._in_vain: OrderedDict[str, int] = OrderedDict()
        """How often the cloud did not bear out what was posted under an id."""
        self._intents: list[Intent] = []
        self._read_again_at = 0.0
        self._log = BoundedLog(log, _MESSAGES)

    # ------------------------------------------------------------------------------------------------------------ ASGI

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            # A server's lifespan, or a websocket: neither is for this application.
            raise NotImplementedError(f"a webhook receiver takes http, not {scope['type']}")
        status = self._refusal(scope)
        if status is None:
            status = await self._take(receive)
        await _respond(send, status)

    def _refusal(self, scope: Scope) -> int | None:
        """The status that a request is refused with for what stands before its body."""
        if self._secret_path is not None:
            given = str(scope["path"]).rstrip("/").rpartition("/")[2]
            if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), self._secret_path):
                return 404
        headers = dict(scope["headers"])
        if self._secret_header is not None:
            name, value = self._secret_header
            if not hmac.compare_digest(headers.get(name, b""), value):
                return 401
        if scope["method"] != "POST":
            return 405
        length = headers.get(b"content-length", b"0")
        return 413 if not length.isdigit() or len(length) > 12 or int(length) > self._max_body else None

    async def _take(self, receive: Receive) -> int:
        try:
            body = await asyncio.wait_for(self._body(receive), _BODY_WITHIN)
        except asyncio.TimeoutError:
            return 408
        if body is None:
            return 413
        if sum(map(body.count, b",[{")) > _MOST_PARTS:
            self._log.warning("a webhook was refused: it holds more than %d values", _MOST_PARTS)
            return 400
        try:
            result = read_cloud(body, self._profile)
            posted = _Posted(result.id_pos_txs, result.custom_id or None, _key_pos(result))
        except (MalformedResponse, InvalidValue) as error:
            self._log.warning("a webhook was refused: %s", error)
            return 400
        if posted.number is None and posted.custom_id is None:
            self._log.warning("a webhook was refused: it names neither idPosTxs nor customId")
            return 400
        if len(posted.custom_id or "") > _LONGEST_ID:
            self._log.warning("a webhook was refused: its customId is longer than %d characters", _LONGEST_ID)
            return 400
        if self._confirm is None:
            return self._begin(self._pending, _content(result), self._hand_on_trusted(result, posted))
        return await self._take_to_confirm(self._confirm, posted)

    async def _take_to_confirm(self, account: AsyncCloudAccount, posted: _Posted) -> int:
        """Have it confirmed: at once if it is expected, else when its turn comes among all that strangers may post."""
        by = await self._expected_by(account, posted)
        if by is None and posted.number is None:
            self._log.warning("a webhook for customId %a cannot be confirmed: it has no idPosTxs", posted.shown)
            return 200
        in_vain = self._in_vain.get(by or posted.key, 0) >= _MOST_ROUNDS
        if by is None and in_vain:
            return 200
        # An id that is expected buys one round of queries at a time, and not after too many in vain.
        in_turn = by is None or in_vain or by in self._asked_by
        work = self._hand_on_confirmed(account, posted, by or posted.key, in_turn=in_turn)
        if in_turn:
            return self._begin(self._in_turn, posted.key, work)
        return self._begin(self._pending, posted.key, work, by)

    async def _expected_by(self, account: AsyncCloudAccount, posted: _Posted) -> str | None:
        """The id by which somebody here waits for it, as the account's connectors and the journal know."""
        number, custom_id = None if posted.number is None else str(posted.number), posted.custom_id
        now = asyncio.get_running_loop().time()
        if now >= self._read_again_at:
            self._read_again_at = now + _JOURNAL_READ_EVERY
            self._intents = await self._unsettled()
        intent = _intent_of(self._intents, posted)
        if number is not None and (number in account.cloud.own or (intent and intent.transaction_id == number)):
            return number
        return custom_id if intent or (custom_id is not None and custom_id in account.cloud.own) else None

    def _begin(
        self, pending: dict[str, asyncio.Task[None]], key: str, work: Coroutine[Any, Any, None], by: str | None = None
    ) -> int:
        """Start handing something on, unless that was or is being done."""

        def end(task: asyncio.Task[None]) -> None:
            del pending[key]
            self._asked_by.discard(by)

        if key in self._handed or key in self._pending or key in pending:
            work.close()
            return 200
        if len(pending) >= (_MOST_IN_TURN if pending is self._in_turn else self._max_pending):
            work.close()
            return 503
        task = pending[key] = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(end)
        if by is not None:
            self._asked_by.add(by)
        return 200

    async def _body(self, receive: Receive) -> bytes | None:
        """The whole body; ``None`` where it is too long."""
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            part = message.get("body", b"")
            size += len(part)
            if size > self._max_body:
                return None
            parts.append(part)
            if not message.get("more_body", False):
                return b"".join(parts)

    # ---------------------------------------------------------------------------------------------------------- handing

    async def _hand_on_trusted(self, result: CloudResult, posted: _Posted) -> None:
        await self._hand_on(_content(result), result, posted, confirmed=False)

    async def _hand_on_confirmed(self, account: AsyncCloudAccount, posted: _Posted, by: str, *, in_turn: bool) -> None:
        posted = await self._numbered(posted)
        result = await self._confirmed(account, posted, in_turn)
        if result is None or result.reply is None:
            self._count_in_vain(by)
        if result is not None:
            # What has no reply may get one: that is another result.
            key = _content(result) if result.reply is None else posted.key
            await self._hand_on(key, result, posted, confirmed=True)

    async def _hand_on(self, key: str, result: CloudResult, posted: _Posted, *, confirmed: bool) -> None:
        if await self._was_forgotten(result, posted):
            log.info("the result of transaction %s was handed on before, or is older: it is dropped", posted.number)
            return
        if key in self._handed:
            return
        self._handed.add(key, result)
        try:
            notice = Notice(result, _intent_of(await self._unsettled(), posted), confirmed)
            if isinstance(self._handler, asyncio.Queue):
                await self._handler.put(notice)
            else:
                answer = self._handler(notice)
                if inspect.isawaitable(answer):
                    await answer
        except Exception:
            log.exception("a notice of transaction %s could not be handed on", posted.number)
            # The cloud may post it again.
            self._handed.discard(key)

    async def _numbered(self, posted: _Posted) -> _Posted:
        """With the number that the journal has for it, where it is posted without one."""
        if posted.number is None:
            intent = _intent_of(await self._unsettled(), posted)
            posted = replace(posted, number=None if intent is None else intent.transaction_id)
        return posted

    async def _confirmed(self, account: AsyncCloudAccount, posted: _Posted, in_turn: bool) -> CloudResult | None:
        """What the cloud itself says of the transaction; ``None`` where it cannot be asked, or does not bear it out."""
        number = posted.number
        if number is None:
            self._log.warning("a webhook for customId %a cannot be confirmed yet: it has no idPosTxs", posted.shown)
            return None
        for pause in _CONFIRMED_WITHIN:
            await asyncio.sleep(pause)
            if in_turn:
                await self._allowance.turn()
            try:
                result = await account.transaction_status(number)
            except GetnetError as error:
                self._log.warning("a webhook for transaction %s is not confirmed yet: %s", number, error)
                continue
            if not result.in_process:
                return result
        self._log.warning("a webhook for transaction %s is not borne out by the cloud: it is dropped", number)
        return None

    def _count_in_vain(self, by: str) -> None:
        self._in_vain[by] = self._in_vain.pop(by, 0) + 1
        if len(self._in_vain) > _REMEMBERED_IN_VAIN:
            self._in_vain.popitem(last=False)

    async def _was_forgotten(self, result: CloudResult, posted: _Posted) -> bool:
        """Whether the result was handed on by all appearances, before what is remembered now."""
        if self._handed.is_older_than_all(result):
            return True
        key_pos = posted.key_pos or _key_pos_or_none(result)
        if self._journal is None or key_pos is None:
            return False
        try:
            steps = await on_journal(self._journal, self._journal.find, Search(terminal=f"cloud:{key_pos}"))
        except GetnetError as error:
            log.error("whether transaction %s was settled before cannot be looked up: %s", posted.number, error)
            return False
        return any(
            step.intent.state in FINAL_STATES
            and step.intent.transaction_id == str(posted.number)
            and datetime.fromisoformat(step.at).timestamp() < self._handed.whole_since - _SETTLED_BEFORE
            for step in steps
        )

    async def _unsettled(self) -> list[Intent]:
        """The intents of the journal that are not settled."""
        if self._journal is None:
            return []
        try:
            return await on_journal(self._journal, self._journal.intents)
        except GetnetError as error:
            self._log.warning("the intents that webhooks are of cannot be looked up: %s", error)
            return []

    # ----------------------------------------------------------------------------------------------------------- ending

    async def drain(self) -> None:
        """Wait until every notice taken so far has been handed on, or dropped."""
        while tasks := [*self._pending.values(), *self._in_turn.values()]:
            await asyncio.wait(tasks)

    async def close(self) -> None:
        """Stop handing on. What is still on its way is dropped; the journal keeps its commands."""
        for task in [*self._pending.values(), *self._in_turn.values()]:
            task.cancel()
        await self.drain()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


@dataclass(frozen=True, slots=True)
class _Posted:
    """What a post says it is about: all that is kept of one that is to be confirmed."""

    number: int | str | None
    custom_id: str | None
    key_pos: KeyPos | None

    @property
    def key(self) -> str:
        """What tells it from others."""
        return f"customId {self.custom_id}" if self.number is None else str(self.number)

    @property
    def shown(self) -> str:
        return mask(self.custom_id or "")


def _content(result: CloudResult) -> str:
    """What two notices of the same thing have in common."""
    said = repr((result.id_pos_txs, result.custom_id, result.code, result.reply))
    return hashlib.sha256(said.encode("utf-8", "backslashreplace")).hexdigest()[:32]


def _intent_of(intents: list[Intent], posted: _Posted) -> Intent | None:
    """The one intent that a post is of."""
    if posted.key_pos is not None:
        intents = [intent for intent in intents if intent.terminal == f"cloud:{posted.key_pos}"]
    number, custom_id = posted.number, posted.custom_id
    found = [one for one in intents if number is not None and one.transaction_id == str(number)]
    if not found and custom_id:
        # One whose number is not known yet, or that is posted without it.
        found = [
            one
            for one in intents
            if None in (number, one.transaction_id)
            and custom_id in (one.ticket, one.intent_id[:24])
            and one.terminal.startswith("cloud:")
        ]
    return found[0] if len(found) == 1 else None


def _secret(value: object, name: str) -> str:
    text = check_text(value, name, _SHORTEST_SECRET, 512)
    if not text.isascii() or "/" in text:
        raise InvalidValue(f"{name} must be ASCII and without a slash")
    return text


def _key_pos_or_none(result: CloudResult) -> KeyPos | None:
    with contextlib.suppress(InvalidValue):
        return _key_pos(result)
    return None


def _key_pos(result: CloudResult) -> KeyPos | None:
    """The terminal that a webhook names, where it names one."""
    parts = [result.extra.get(name) for name in ("idTerminal", "idSucursal", "serialNumber")]
    return None if None in parts else KeyPos(*parts)  # type: ignore[arg-type]  # it checks its parts


_WORDS = {
    200: b"OK", 400: b"not a result", 401: b"no access", 404: b"not here", 405: b"POST only", 408: b"too slow",
    413: b"too long", 503: b"later",
}  # fmt: skip


async def _respond(send: Send, status: int) -> None:
    words = _WORDS[status]
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(words))]
    if status == 405:
        headers.append((b"allow", b"POST"))
    if status == 503:
        headers.append((b"retry-after", b"5"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": words})
