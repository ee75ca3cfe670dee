"""Getnet's websocket dialect (docs/protocol.md, "Websocket bridge"), for pages written for Getnet's browser library.

The page's envelope is sent unchanged, and the page gets the terminal's own envelopes. Payments are decided elsewhere:
the bridge only relays messages, in the order and time that a page needs.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import re
import time
from collections import deque
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from ..codec import Message, acknowledgement, decode_many, envelope, seal, unseal
from ..codec.json_text import dumps, loads
from ..errors import GetnetError, InvalidValue, NotAccepted, OutcomeUnknown, ProtocolError, UnsupportedOperation
from ..masking import mask, masked
from ..messages import (
    Ack,
    CancelReply,
    CancelSale,
    Command,
    CommandMessage,
    Poll,
    Progress,
    Reply,
    SaleType,
    SealedCommand,
)
from ..messages.fields import wire_fields
from .guard import Guard

if TYPE_CHECKING:
    from .interface import Agent
    from .terminals import Terminal

__all__ = ["bridge"]

log = logging.getLogger("getnet_pos.agent")

_PATIENCE = 3.0
"""How many seconds a page waits until it tells its user that the terminal does not respond."""
_ANSWER_TO_CARD, _ANSWER = 120.0, 60.0
"""How many seconds a page waits for the terminal's reply, to a command that reads a card and to any other."""
_SPACING = 0.3
"""The minimum delay, in seconds, between the user's call and the page's sending of the command."""
_NOT_SENT = -1
"""The response code of a refusal. No terminal returns it after a card was read."""
_LONGEST = 65_536
"""The longest message from a page, in characters."""
_MOST, _WITHIN = 60, 6.0
"""The most messages, and in how many seconds: a page sends at most three a second."""
_UNREAD = 256
"""How many messages may wait for a page to read them before the page counts as gone."""
_TO_CLOSE = 1.0
"""How many seconds to wait for a page to acknowledge that its socket is closed."""


def bridge(agent: Agent) -> Guard:
    """The application on the bridge's port, only for pages of the listed origins."""
    if not agent.settings.allow_origins:
        log.warning("no origin is allowed, so no page can use the bridge: add your page with --allow-origin ORIGIN")
    writes = _Writes(agent)

    async def page(socket: WebSocket) -> None:
        await _Page(socket, writes).serve()

    return Guard(Starlette(routes=[WebSocketRoute("/", page)]), origins=agent.settings.allow_origins)


# ---------------------------------------------------------------------------------------------------------------- pages


class _Page:
    """One page's socket. Its commands continue if it leaves."""

    def __init__(self, socket: WebSocket, writes: _Writes) -> None:
        self.is_here = True
        self._socket, self._writes = socket, writes
        self._terminal = next(iter(writes.terminals.values()), None)
        """The terminal for its commands; ``None`` if the page named one that does not exist."""
        self._outbox: asyncio.Queue[str] = asyncio.Queue(_UNREAD)
        self._times: deque[float] = deque(maxlen=_MOST)

    async def serve(self) -> None:
        await self._socket.accept()
        writing = asyncio.get_running_loop().create_task(self._write())
        self._look()
        try:
            while (message := await self._socket.receive())["type"] == "websocket.receive":
                text = message.get("text") or ""  # No page sends bytes.
                if not self.is_here or self._is_too_much(text):
                    with contextlib.suppress(asyncio.TimeoutError):  # A page that does not read needs no close message.
                        await asyncio.wait_for(self._socket.close(1008, "too many or too long messages"), _TO_CLOSE)
                    break
                self._take(text)
        finally:
            self.is_here = False
            writing.cancel()

    def say(self, frame: bytes | str) -> None:
        """Send one JSON object to the page, if it is still there."""
        if not self.is_here:
            return
        try:
            self._outbox.put_nowait(frame if isinstance(frame, str) else _text(frame))
        except asyncio.QueueFull:
            log.warning("a page does not read its messages: the bridge stops serving it")
            self.is_here = False

    async def _write(self) -> None:
        try:
            while self.is_here:
                await self._socket.send_text(await self._outbox.get())
        except (WebSocketDisconnect, RuntimeError, OSError):
            self.is_here = False

    def _is_too_much(self, text: str) -> bool:
        now = time.monotonic()
        is_full = len(self._times) == _MOST and now - self._times[0] < _WITHIN
        self._times.append(now)
        return is_full or len(text) > _LONGEST

    def _take(self, text: str) -> None:
        try:
            said = loads(text)
        except ValueError:
            return
        if type(said) is not dict:
            return
        match said.get("Type"):
            case "open" | "getnet-port":
                self._choose(_member(said, "OpenParams", "Port"))
            case "ports":
                self.say(dumps({"Ports": list(self._writes.terminals)}))
            case "write":
                message = _member(said, "WriteParams", "Message")
                self._writes.take(self, self._terminal, message if type(message) is str else "")

    def _choose(self, port: object) -> None:
        """Choose a terminal by name, or else the agent's first. Its link is opened if needed, and never reset."""
        terminals = self._writes.terminals
        self._terminal = terminals.get(str(port)) if port else next(iter(terminals.values()), None)
        self._look()

    def _look(self) -> None:
        """Open the link before a command arrives: a page waits only 3 s for the terminal's acknowledgement."""
        if self._terminal is not None and self._terminal.state != "up":
            self._writes.look(self._terminal)


def _member(said: Mapping[str, Any], group: str, name: str) -> object:
    members = said.get(group)
    return members.get(name) if isinstance(members, dict) else None


def _text(frame: bytes) -> str:
    """A frame as text: UTF-8, or Latin-1, which some firmware sends."""
    try:
        return frame.decode()
    except UnicodeDecodeError:
        return frame.decode("latin-1")


# --------------------------------------------------------------------------------------------------------------- writes


@dataclass(slots=True, eq=False)
class _Write:
    """A page's command, from its arrival to its reply."""

    page: _Page
    command: Command[Any]
    leave_by: float
    """When the page gives up without an acknowledgement, on the monotonic clock."""
    accepted: bool = False
    """Whether the acknowledgement was sent to the page."""
    gave_up: bool = False
    """Whether the acknowledgement was too late."""
    cancelling: bool = False
    replies: list[tuple[Message, bytes]] = field(default_factory=list)

    def hear(self, message: Message, frame: bytes) -> None:
        """Relay the terminal's messages. A reply is held until it is known which command it belongs to."""
        if isinstance(message, Ack):
            # The page waits for the acknowledgement of a cancellation, too.
            if (message.received and not self.accepted) or self.cancelling:
                self.gave_up |= not self.accepted and time.monotonic() > self.leave_by
                self.accepted = True
                self.page.say(frame)
        elif isinstance(message, Progress) or (isinstance(message, CancelReply) and self.cancelling):
            self.page.say(frame)
        elif isinstance(message, Reply):
            self.replies.append((message, frame))

    def listens(self) -> bool:
        """Whether the page still waits for the reply, and has not reported a failure to its user."""
        patience = _ANSWER_TO_CARD if self.command.takes_card else _ANSWER
        until = self.leave_by - _PATIENCE + patience if self.accepted else self.leave_by
        return self.page.is_here and not self.gave_up and time.monotonic() <= until

    def frame_of(self, reply: Reply) -> bytes:
        """The terminal's own envelope of ``reply``, or an equivalent one if it had none."""
        return next((frame for message, frame in self.replies if message is reply), None) or _sealed(reply)


class _Writes:
    """The commands of all pages, one at a time for each terminal."""

    def __init__(self, agent: Agent) -> None:
        self.terminals: Mapping[str, Terminal] = agent.terminals
        self._agent = agent
        self._running: dict[str, _Write] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def look(self, terminal: Terminal) -> None:
        self._start(self._looked(terminal))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _looked(self, terminal: Terminal) -> None:
        try:
            await terminal.poll()
        except GetnetError as error:
            log.info("%s is not ready for a page yet: %s", terminal.name, error)

    def take(self, page: _Page, terminal: Terminal | None, message: str) -> None:
        """Start the command that a page wrote, or refuse it without sending anything."""
        arrived = time.monotonic()
        frame = message.encode(errors="replace")
        try:
            sealed = unseal(frame)
            if terminal is None:
                raise InvalidValue(f"unknown terminal: open the port {' or '.join(self.terminals)}")
            leave_by = arrived + _time_left(sealed.command, datetime.now(timezone.utc))
        except InvalidValue as error:
            page.say(_refusal(_code(frame), str(error)))
            return
        except ProtocolError as error:
            log.warning("a page sent a message that is not a signed command: %s", error)
            page.say(acknowledgement(False))
            return
        write = self._running.get(terminal.name)
        if isinstance(sealed.command, CancelSale) and write is not None and write.page is page and write.accepted:
            write.cancelling = True
            self._start(self._cancelled(terminal, sealed, write))
        elif write is not None or terminal.running is not None or self._agent.stopping:
            why = "the agent is stopping" if self._agent.stopping else f"{terminal.name} is busy with another command"
            page.say(_refusal(sealed.command.code, f"{why}: nothing was sent"))
        else:
            write = self._running[terminal.name] = _Write(page, sealed.command, leave_by)
            self._start(self._carried_out(terminal, sealed, write))

    async def _carried_out(self, terminal: Terminal, sealed: SealedCommand[Any], write: _Write) -> None:
        command, page = sealed.command, write.page
        try:
            reply = await self._reply(terminal, sealed, write)
        except NotAccepted:
            page.say(acknowledgement(False))
        except GetnetError as error:
            if isinstance(error, OutcomeUnknown) and not error.is_earlier:
                # Any reply could be wrong. The page times out; the agent's page and log say what to do.
                log.warning(
                    "%s: no reply is sent to the page, because the outcome is unknown: %s", terminal.name, error
                )
            else:
                log.warning("%s: a page's command was refused: %s", terminal.name, error)
                page.say(_refusal(command.code, str(error)))
        else:
            page.say(write.frame_of(reply))
        finally:
            del self._running[terminal.name]

    async def _reply(self, terminal: Terminal, sealed: SealedCommand[Any], write: _Write) -> Reply:
        try:
            return await terminal.run(
                sealed,
                # However it is spelled, the same command is carried out once.
                idempotency_key=f"bridge/{hashlib.sha256(seal(sealed.command)).hexdigest()}",
                on_frame=write.hear,
                leave_by=write.leave_by,
                listens=write.listens,
            )
        except UnsupportedOperation:
            if not isinstance(sealed.command, Poll):
                raise
            # The simplified wire has no poll, but the agent has another way to check the terminal.
            return await terminal.poll()

    async def _cancelled(self, terminal: Terminal, sealed: SealedCommand[CancelReply], write: _Write) -> None:
        try:
            reply = await terminal.cancel(sealed)
        except GetnetError as error:
            write.page.say(_refusal(sealed.command.code, str(error)))
        else:
            if reply is not None:  # Set if the link carries a cancellation as a separate call.
                write.page.say(_sealed(reply))


def _code(frame: bytes) -> int:
    """The code of the command in a signed frame."""
    return next((message.code for _, message in decode_many(frame) if isinstance(message, CommandMessage)), 0)


def _refusal(code: int, why: str) -> bytes:
    """The reply to a command that was not sent, or that certainly had no effect."""
    return envelope(_json({"FunctionCode": code, "ResponseCode": _NOT_SENT, "ResponseMessage": mask(why)}))


def _sealed(reply: Reply) -> bytes:
    """``reply`` in an envelope, as a terminal writes it, but without data that could identify a card."""
    return envelope(_json(_written(reply)))


def _written(message: Any) -> dict[str, Any]:
    document: dict[str, Any] = {}
    kind: type = type(message)
    for item in wire_fields(kind):
        value = getattr(message, item.name)
        if item.row is not None and value:
            document[item.spellings[0]] = [_written(row) for row in value]
        elif value is not None and item.row is None:
            document[item.spellings[0]] = masked(int(value) if isinstance(value, SaleType) else value)
    return document


def _json(document: Mapping[str, Any]) -> str:
    return dumps(document).decode()


# ----------------------------------------------------------------------------------------------------------------- time

_DATE_TIME = re.compile(
    r"(?:(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)|(?P<day_>\d\d)-(?P<month_>\d\d)-(?P<year_>\d{4}))"
    r"[T ](?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9}))?(?P<zone>Z|[+-]\d\d:?\d\d)?",
    re.ASCII,
)


def _time_left(command: Command[Any], now: datetime) -> float:
    """How many seconds are left to send a page's command before the page reports a failure to its user.

    Raises:
        InvalidValue: it is a payment command, and that time is over or unknown.
    """
    if not command.moves_money:
        return _PATIENCE - _SPACING
    age = _age(command.date_time, now)
    if age is None:
        raise InvalidValue(
            "nothing was sent: DateTime must be when the command was made, such as 2026-01-31T12:00:00.000Z"
        )
    if age > _PATIENCE:
        raise InvalidValue(
            f"nothing was sent: the command is {age:.1f} s old, and its page has given up on it: try again, and if "
            "this happens each time, set the clocks and time zones of the page's and the agent's machines"
        )
    if age < -_PATIENCE:
        raise InvalidValue(
            f"nothing was sent: the page's clock is {-age:.1f} s ahead of the agent's, so the age of the command is "
            "unknown: set the clocks and time zones of both machines"
        )
    return _PATIENCE - max(age, 0.0)


def _age(text: str | None, now: datetime) -> float | None:
    """How many seconds ago the date and time ``text`` was; ``None`` if it cannot be read.

    Without a time zone it is this machine's local time; in the hour that daylight saving time repeats, the closer one.
    """
    found = _DATE_TIME.fullmatch(text or "")
    if found is None:
        return None
    year, month, day = (int(found[name] or found[f"{name}_"]) for name in ("year", "month", "day"))
    fraction = float(f"0.{found['fraction'] or 0}")
    try:
        moment = datetime(year, month, day, int(found["hour"]), int(found["minute"]), int(found["second"]))
        zone = found["zone"]
        if zone is None:
            moments = [moment.replace(fold=fold).astimezone() for fold in (0, 1)]
        else:
            moments = [moment.replace(tzinfo=_zone(zone))]
        ages = [(now - one).total_seconds() - fraction for one in moments]
    except (ValueError, OverflowError, OSError):
        return None
    return min(ages, key=abs)


def _zone(text: str) -> timezone:
    if text == "Z":
        return timezone.utc
    offset = timedelta(hours=int(text[1:3]), minutes=int(text[-2:]))
    return timezone(-offset if text[0] == "-" else offset)
