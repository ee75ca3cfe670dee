"""The receiver of the cloud's webhooks: an ASGI application to mount in Starlette, FastAPI or another framework.

::

    results = asyncio.Queue()
    receiver = WebhookReceiver(results, secret_path=os.environ["WEBHOOK_SECRET"], confirm=account)
    app = Starlette(routes=[Mount("/getnet", receiver)])     # webhook="https://shop.example/getnet/<the secret>"

A webhook has no signature, so anyone who learns its address can post to it. The receiver responds at once, then queries
the cloud for the status of the transaction and delivers only that. What a stranger can cost is limited (docs/cloud.md,
"Webhooks"): transactions known to the journal or to a connector of the account are queried first, and all others at
most as often as ``max_queries`` allows.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import inspect
import json
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
from ..messages import FINAL_STATES, CloudResult, Intent, KeyPos, kept_reply
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
"""The seconds in which the body must arrive."""
_CONFIRMED_WITHIN = (0.0, 1.0, 2.0, 4.0, 8.0)
"""Seconds before each status query: the webhook may arrive before the cloud's own records are up to date."""
_MOST_ROUNDS = 2
"""After how many fruitless rounds of queries an unknown transaction is ignored."""
_MOST_IN_TURN = 10_000
"""How many unexpected posts may wait; the response to further ones is 503."""
_REMEMBERED_IN_VAIN = 10_000
"""For how many transactions the fruitless rounds are counted."""
_MOST_PARTS = 4096
"""How many values a body may contain, judging by its punctuation; a webhook has a few dozen."""
_LONGEST_ID = 64
"""The longest ``customId`` accepted; those of this library have at most 25 characters."""
_MESSAGES = 30
"""Log messages per minute about posts that are refused or not confirmed."""
_JOURNAL_READ_EVERY = 0.25
"""Seconds between two reads of the journal, however many posts arrive."""
_SETTLED_BEFORE = 600.0
"""Seconds. A result that was settled in the journal this long before memory begins counts as delivered."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A result that a webhook reported.

    Examples:
        >>> from getnet_pos.cloud import Notice
        >>> notice = Notice(CloudResult(code=1, id_pos_txs=57181), intent=None, confirmed=True)
        >>> notice.result.id_pos_txs, notice.confirmed
        (57181, True)
    """

    result: CloudResult
    """From the cloud's status endpoint if ``confirmed``, otherwise from the post."""
    intent: Intent | None
    """The open payment command in the journal that this is the result of; ``None`` if it is settled or not ours."""
    confirmed: bool
    """Whether the cloud itself confirmed it when queried."""


Handler = Callable[[Notice], object] | asyncio.Queue[Notice]
"""A function, async or not, or a queue. A function that blocks also blocks the event loop."""


class WebhookReceiver:
    """An ASGI application that receives the cloud's webhooks and delivers each result once.

    It reports what happened and decides nothing. A connector learns the result of its own command by itself, so your
    handler must be safe to run when the connector has returned the same result. If the process ends before a notice is
    delivered, no payment is lost: the journal keeps the command open until the terminal is queried about it.

    Args:
        handler: receives each ``Notice``.
        secret_path: the last segment of the URL; the response to a post to any other is 404.
        secret_header: name and value of a required header, for example one that your proxy sets; without it, 401.
        confirm: the account whose cloud is queried for the status of each transaction before delivery.
        trust: deliver what was posted, unconfirmed. It requires a secret.
        journal: the journal with the payment commands, which are matched by ``idPosTxs`` and ``customId``. A journal in
            PostgreSQL also stores what was delivered: no host delivers it again, even after a restart, and the host
            that is waiting for it is notified.
        profile: determines the reply types; by default that of ``confirm``.
        max_body: the longest body accepted, in bytes.
        max_pending: how many trusted or expected notices may be on their way to the handler; the response to further
            posts is 503.
        max_queries: how many queries a minute the cloud gets about unknown transactions.
        remembered: how many delivered results are recognized when they arrive again.

    Raises:
        ConfigurationError: neither or both of ``confirm`` and ``trust`` were passed, or a setting is invalid.

    Examples:
        >>> import asyncio
        >>> from getnet_pos.cloud import WebhookReceiver
        >>> results = asyncio.Queue()
        >>> receiver = WebhookReceiver(results, secret_path="a-secret-of-your-own", trust=True)
        >>> WebhookReceiver(results)
        Traceback (most recent call last):
        getnet_pos.errors.ConfigurationError: pass either confirm=account, which confirms each notice, or trust=True...
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
                "pass either confirm=account, which confirms each notice, or trust=True, which believes every post"
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
        """Trusted and expected posts that are being processed."""
        self._in_turn: dict[str, asyncio.Task[None]] = {}
        """Unexpected posts that are being processed."""
        self._asked_by: set[str | None] = set()
        """The ids of expected transactions that the cloud is being queried about."""
        self._in_vain: OrderedDict[str, int] = OrderedDict()
        """How often the cloud did not confirm what was posted under an id."""
        self._intents: list[Intent] = []
        self._read_again_at = 0.0
        self._log = BoundedLog(log, _MESSAGES)

    # ------------------------------------------------------------------------------------------------------------ ASGI

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            # A server's lifespan, or a websocket: neither is for this application.
            raise NotImplementedError(f"a webhook receiver accepts http, not {scope['type']}")
        status = self._refusal(scope)
        if status is None:
            status = await self._take(receive)
        await _respond(send, status)

    def _refusal(self, scope: Scope) -> int | None:
        """The status with which to refuse a request because of its path, method or headers; ``None``: accept it."""
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
            self._log.warning("a webhook was refused: it contains more than %d values", _MOST_PARTS)
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
        """Confirm a post: at once if it is expected, otherwise at the limited rate for unexpected ones."""
        by = await self._expected_by(account, posted)
        if by is None and posted.number is None:
            self._log.warning("a webhook for customId %a cannot be confirmed: it has no idPosTxs", posted.shown)
            return 200
        in_vain = self._in_vain.get(by or posted.key, 0) >= _MOST_ROUNDS
        if by is None and in_vain:
            return 200
        # An expected id is entitled to one round of queries at a time, and to none after too many fruitless ones.
        in_turn = by is None or in_vain or by in self._asked_by
        work = self._hand_on_confirmed(account, posted, by or posted.key, in_turn=in_turn)
        if in_turn:
            return self._begin(self._in_turn, posted.key, work)
        return self._begin(self._pending, posted.key, work, by)

    async def _expected_by(self, account: AsyncCloudAccount, posted: _Posted) -> str | None:
        """The id under which a connector of the account, or the journal, expects the post; ``None``: unexpected."""
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
        """Start delivering something, unless that was done before or is being done."""

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
        """The whole body; ``None`` if it is too long."""
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
            # A transaction without a reply may still get one, which is then another result.
            key = _content(result) if result.reply is None else posted.key
            await self._hand_on(key, result, posted, confirmed=True)

    async def _hand_on(self, key: str, result: CloudResult, posted: _Posted, *, confirmed: bool) -> None:
        if await self._was_forgotten(result, posted):
            log.info(
                "the result of transaction %s was delivered before, or is too old to tell whether it was: "
                "this webhook is dropped",
                posted.number,
            )
            return
        if key in self._handed:
            return
        self._handed.add(key, result)
        if not await self._is_new(key, result, posted, confirmed):
            log.info(
                "the result of transaction %s was delivered before, perhaps by another host: this webhook is dropped",
                posted.number,
            )
            return
        try:
            notice = Notice(result, _intent_of(await self._unsettled(), posted), confirmed)
            if isinstance(self._handler, asyncio.Queue):
                await self._handler.put(notice)
            else:
                answer = self._handler(notice)
                if inspect.isawaitable(answer):
                    await answer
        except Exception:
            log.exception(
                "the handler failed for the result of transaction %s: if the cloud posts the result again, the handler "
                "gets it again",
                posted.number,
            )
            self._handed.discard(key)

    async def _is_new(self, key: str, result: CloudResult, posted: _Posted, confirmed: bool) -> bool:
        """Store the result if the journal keeps notices for all hosts; false if it was stored before."""
        keep = getattr(self._journal, "keep_notice", None)
        if self._journal is None or keep is None:
            return True
        number = None if posted.number is None else str(posted.number)
        content = {
            "code": result.code,
            "confirmed": confirmed,
            "reply": None if result.reply is None else json.loads(kept_reply(result.reply)),
        }
        try:
            return bool(await on_journal(self._journal, keep, key, number, content))
        except GetnetError as error:
            log.error(
                "the journal cannot say whether the result of transaction %s was delivered before: %s",
                posted.number,
                error,
            )
            return True

    async def _numbered(self, posted: _Posted) -> _Posted:
        """The post with the transaction number from the journal, if it came without one."""
        if posted.number is None:
            intent = _intent_of(await self._unsettled(), posted)
            posted = replace(posted, number=None if intent is None else intent.transaction_id)
        return posted

    async def _confirmed(self, account: AsyncCloudAccount, posted: _Posted, in_turn: bool) -> CloudResult | None:
        """The cloud's own result of the transaction; ``None`` if it cannot be queried or does not confirm the post."""
        number = posted.number
        if number is None:
            self._log.warning("a webhook for customId %a cannot be confirmed yet: it has no idPosTxs", posted.shown)
            return None
        why: object = "it is still in process"
        for pause in _CONFIRMED_WITHIN:
            await asyncio.sleep(pause)
            if in_turn:
                await self._allowance.acquire()
            try:
                result = await account.transaction_status(number)
            except GetnetError as error:
                self._log.warning("a webhook for transaction %s is not confirmed yet: %s", number, error)
                why = error
                continue
            if not result.in_process:
                return result
            why = "it is still in process"
        self._log.warning("the cloud does not confirm the webhook for transaction %s: it is dropped (%s)", number, why)
        return None

    def _count_in_vain(self, by: str) -> None:
        self._in_vain[by] = self._in_vain.pop(by, 0) + 1
        if len(self._in_vain) > _REMEMBERED_IN_VAIN:
            self._in_vain.popitem(last=False)

    async def _was_forgotten(self, result: CloudResult, posted: _Posted) -> bool:
        """Whether the result was probably delivered earlier than what is remembered now."""
        if self._handed.is_older_than_all(result):
            return True
        key_pos = posted.key_pos or _key_pos_or_none(result)
        if self._journal is None or key_pos is None:
            return False
        try:
            steps = await on_journal(self._journal, self._journal.find, Search(terminal=f"cloud:{key_pos}"))
        except GetnetError as error:
            log.error("the journal cannot say whether transaction %s was settled before: %s", posted.number, error)
            return False
        return any(
            step.intent.state in FINAL_STATES
            and step.intent.transaction_id == str(posted.number)
            and datetime.fromisoformat(step.at).timestamp() < self._handed.whole_since - _SETTLED_BEFORE
            for step in steps
        )

    async def _unsettled(self) -> list[Intent]:
        """The payment commands in the journal that are not settled."""
        if self._journal is None:
            return []
        try:
            return await on_journal(self._journal, self._journal.intents)
        except GetnetError as error:
            self._log.warning("the journal cannot be read to match webhooks with payment commands: %s", error)
            return []

    # ----------------------------------------------------------------------------------------------------------- ending

    async def drain(self) -> None:
        """Wait until every post received so far has been delivered or dropped."""
        while tasks := [*self._pending.values(), *self._in_turn.values()]:
            await asyncio.wait(tasks)

    async def close(self) -> None:
        """Stop delivering. Posts in progress are dropped; the journal still has their payment commands."""
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
    """The transaction that a post claims to be about: nothing else of it is used before the cloud confirms it."""

    number: int | str | None
    custom_id: str | None
    key_pos: KeyPos | None

    @property
    def key(self) -> str:
        """Identifies the transaction."""
        return f"customId {self.custom_id}" if self.number is None else str(self.number)

    @property
    def shown(self) -> str:
        return mask(self.custom_id or "")


def _content(result: CloudResult) -> str:
    """A digest that is equal for two posts with the same content."""
    content = repr((result.id_pos_txs, result.custom_id, result.code, result.reply))
    return hashlib.sha256(content.encode("utf-8", "backslashreplace")).hexdigest()[:32]


def _intent_of(intents: list[Intent], posted: _Posted) -> Intent | None:
    """The payment command that a post belongs to; ``None`` if there is none, or more than one."""
    if posted.key_pos is not None:
        intents = [intent for intent in intents if intent.terminal == f"cloud:{posted.key_pos}"]
    number, custom_id = posted.number, posted.custom_id
    found = [one for one in intents if number is not None and one.transaction_id == str(number)]
    if not found and custom_id:
        # The journal may not have the number yet, or the post may lack it.
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
        raise InvalidValue(f"{name} must be ASCII and must not contain a slash")
    return text


def _key_pos_or_none(result: CloudResult) -> KeyPos | None:
    with contextlib.suppress(InvalidValue):
        return _key_pos(result)
    return None


def _key_pos(result: CloudResult) -> KeyPos | None:
    """The terminal that a webhook names; ``None`` if it names none."""
    parts = [result.extra.get(name) for name in ("idTerminal", "idSucursal", "serialNumber")]
    return None if None in parts else KeyPos(*parts)  # type: ignore[arg-type]  # KeyPos checks its parts


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
