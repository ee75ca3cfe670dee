"""A receiver of the cloud's webhooks: an ASGI application that mounts into Starlette, FastAPI or any other.

::

    results = asyncio.Queue()
    receiver = WebhookReceiver(results, secret_path=os.environ["WEBHOOK_SECRET"], confirm=account)
    app = Starlette(routes=[Mount("/getnet", receiver)])     # webhook="https://shop.example/getnet/<the secret>"

A webhook bears no signature, so anyone who learns its address can post to it. It is answered at once; what it says is
then confirmed by asking the cloud for the status of its transaction, and only that is handed on.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import inspect
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..codec.cloud import read_cloud
from ..drivers.aio import to_the_end
from ..errors import ApiError, ConfigurationError, GetnetError, InvalidType, InvalidValue, MalformedResponse
from ..journal import JournalSource, open_journal
from ..messages import CloudResult, Intent, KeyPos
from ..messages.checks import check_integer, check_text
from ..profiles import Profile
from .account import AsyncCloudAccount

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
"""Seconds before each question for a status: the webhook may come before the cloud's own books are up to date."""


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
        max_pending: how many notices may be on their way to the handler; beyond it, 503.
        remembered: how many notices are known again when they come twice.

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
        max_body: int = 1 << 18,
        max_pending: int = 1000,
        remembered: int = 10_000,
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
        self._remembered = check_integer(remembered, "remembered", 1, 10_000_000)
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self._pending: set[asyncio.Task[None]] = set()

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
        try:
            result = read_cloud(body, self._profile)
            key_pos = _key_pos(result)
        except (MalformedResponse, InvalidValue) as error:
            log.warning("a webhook was refused: %s", error)
            return 400
        if result.id_pos_txs is None and not result.custom_id:
            log.warning("a webhook was refused: it names neither idPosTxs nor customId")
            return 400
        if len(self._pending) >= self._max_pending:
            return 503
        if self._is_new(_mark(result)):
            task = asyncio.get_running_loop().create_task(self._hand_on(result, key_pos))
            self._pending.add(task)
            task.add_done_callback(self._pending.discard)
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

    def _is_new(self, mark: bytes) -> bool:
        """Whether this has not been there before; it is from now on."""
        if mark in self._seen:
            return False
        self._seen[mark] = None
        if len(self._seen) > self._remembered:
            self._seen.popitem(last=False)
        return True

    # ---------------------------------------------------------------------------------------------------------- handing

    async def _hand_on(self, posted: CloudResult, key_pos: KeyPos | None) -> None:
        try:
            handed_on = await self._told(posted, key_pos)
        except Exception:
            log.exception("a notice of transaction %s could not be handed on", posted.id_pos_txs)
            handed_on = False
        if not handed_on:
            # The cloud may post it again.
            self._seen.pop(_mark(posted), None)

    async def _told(self, posted: CloudResult, key_pos: KeyPos | None) -> bool:
        intent = await self._intent(posted, key_pos)
        notice = Notice(posted, intent, confirmed=False)
        if self._confirm is not None:
            result = await self._confirmed(self._confirm, posted, intent)
            if result is None:
                return False
            if not self._is_new(b"confirmed" + _mark(result)):
                return True
            notice = Notice(result, intent or await self._intent(result, key_pos), confirmed=True)
        if isinstance(self._handler, asyncio.Queue):
            await self._handler.put(notice)
        else:
            answer = self._handler(notice)
            if inspect.isawaitable(answer):
                await answer
        return True

    async def _confirmed(
        self, account: AsyncCloudAccount, posted: CloudResult, intent: Intent | None
    ) -> CloudResult | None:
        """What the cloud itself says of the transaction; ``None`` where it cannot be asked, or does not bear it out."""
        number = posted.id_pos_txs
        if number is None and intent is not None:
            number = intent.transaction_id
        if number is None:
            log.warning("a webhook for customId %r cannot be confirmed: it has no idPosTxs", posted.custom_id)
            return None
        for pause in _CONFIRMED_WITHIN:
            await asyncio.sleep(pause)
            try:
                result = await account.transaction_status(number)
            except GetnetError as error:
                level = logging.WARNING if isinstance(error, ApiError) else logging.ERROR
                log.log(level, "a webhook for transaction %s is not confirmed yet: %s", number, error)
                continue
            if not result.in_process:
                return result
        log.warning("a webhook for transaction %s is not borne out by the cloud: it is dropped", number)
        return None

    async def _intent(self, result: CloudResult, key_pos: KeyPos | None) -> Intent | None:
        """The unsettled intent that a result is of."""
        if self._journal is None:
            return None
        try:
            intents = await to_the_end(self._journal.intents)
        except GetnetError as error:
            log.error("the intent of transaction %s cannot be looked up: %s", result.id_pos_txs, error)
            return None
        if key_pos is not None:
            intents = [intent for intent in intents if intent.terminal == f"cloud:{key_pos}"]
        number, custom_id = result.id_pos_txs, result.custom_id
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

    # ----------------------------------------------------------------------------------------------------------- ending

    async def drain(self) -> None:
        """Wait until every notice taken so far has been handed on, or dropped."""
        while self._pending:
            await asyncio.wait(set(self._pending))

    async def close(self) -> None:
        """Stop handing on. What is still on its way is dropped; the journal keeps its commands."""
        for task in set(self._pending):
            task.cancel()
        await self.drain()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _mark(result: CloudResult) -> bytes:
    """What two notices of the same thing have in common."""
    said = repr((result.id_pos_txs, result.custom_id, result.code, result.reply))
    return hashlib.sha256(said.encode("utf-8", "backslashreplace")).digest()


def _secret(value: object, name: str) -> str:
    text = check_text(value, name, _SHORTEST_SECRET, 512)
    if not text.isascii() or "/" in text:
        raise InvalidValue(f"{name} must be ASCII and without a slash")
    return text


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
