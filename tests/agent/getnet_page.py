"""A page that sells through Getnet's browser library, as the library is seen to behave in its websocket mode.

It knows nothing of the bridge: it queues what its user asks for, sends at least 300 ms apart, opens the port before
each command, waits 3 s for ``{"Received":true}``, and takes any other JSON object for the terminal's answer.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Ping, RejectConnection, Request, TextMessage

from getnet_pos.codec import envelope

__all__ = ["ORIGIN", "GetnetPage", "NoAnswer", "Refused", "inner"]

ORIGIN = "https://shop.example"


class Refused(Exception):
    """The handshake was answered with this status."""


class NoAnswer(Exception):
    """What the library tells its user when the terminal does not answer in time."""


def now(*, ago: float = 0.0) -> str:
    """The time as a browser writes it."""
    moment = datetime.now(timezone.utc) - timedelta(seconds=ago)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def inner(answer: Any) -> dict[str, Any]:
    """What an envelope of the terminal holds."""
    held: dict[str, Any] = json.loads(answer["JsonSerialized"])
    return held


class GetnetPage:
    """``url`` is that of the bridge. ``spacing`` may be less than the library's own, so that a test need not wait."""

    def __init__(self, url: str, *, spacing: float = 0.3, origin: str | None = ORIGIN, **headers: str) -> None:
        self._place = urlsplit(url)
        self._spacing = spacing
        self._headers = headers if origin is None else {"Origin": origin, **headers}
        self._connection = WSConnection(ConnectionType.CLIENT)
        self._sending = asyncio.Lock()
        self._sent_at = 0.0
        self._announced = False
        self._received: asyncio.Queue[float] = asyncio.Queue()
        self._answers: asyncio.Queue[Any] = asyncio.Queue()
        self.texts: list[str] = []
        """Every message that came, as it came."""
        self.close_code: int | None = None
        self.subprotocol: str | None = None

    # ------------------------------------------------------------------------------------------------------- its socket

    async def __aenter__(self) -> GetnetPage:
        place = self._place
        assert place.hostname
        self._reader, self._writer = await asyncio.open_connection(place.hostname, place.port)
        headers = dict(self._headers)
        host = headers.pop("Host", place.netloc)
        more = [(name.encode(), value.encode()) for name, value in headers.items()]
        self._write(Request(host=host, target=place.path or "/", extra_headers=more))
        while not (events := list(self._connection.events())):
            self._connection.receive_data(await self._reader.read(65536) or None)
        if isinstance(events[0], RejectConnection):
            self._writer.close()
            raise Refused(events[0].status_code)
        assert isinstance(events[0], AcceptConnection), events
        self.subprotocol = events[0].subprotocol
        self._listening = asyncio.create_task(self._listen(events[1:]))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.leave()

    async def leave(self) -> None:
        """As a tab that is closed: nothing is said."""
        self._listening.cancel()
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()

    def _write(self, event: Any) -> None:
        self._writer.write(self._connection.send(event))

    async def _listen(self, events: list[Any]) -> None:
        text = ""
        while True:
            for event in events:
                if isinstance(event, TextMessage):
                    text += event.data
                    if event.message_finished:
                        self._hear(text)
                        text = ""
                elif isinstance(event, Ping):
                    self._write(event.response())
                elif isinstance(event, CloseConnection):
                    self.close_code = event.code
                    return
                else:
                    assert isinstance(event, BytesMessage), event  # which the library does not hear
            data = await self._reader.read(65536)
            self._connection.receive_data(data or None)
            events = list(self._connection.events())
            if not data:
                return

    def _hear(self, text: str) -> None:
        self.texts.append(text)
        try:
            said = json.loads(text)
        except ValueError:
            return
        if said.get("Received") is True:
            self._received.put_nowait(time.monotonic())
        else:
            self._answers.put_nowait(said)

    def send_raw(self, data: str | bytes) -> None:
        """What the library would never send, or not now."""
        self._write(TextMessage(data) if isinstance(data, str) else BytesMessage(data))

    async def _send(self, **members: Any) -> None:
        async with self._sending:
            await asyncio.sleep(max(0.0, self._sent_at + self._spacing - time.monotonic()))
            self._sent_at = time.monotonic()
            self.send_raw(json.dumps(members, separators=(",", ":")))
            await self._writer.drain()

    # ----------------------------------------------------------------------------------------------------- its commands

    def written(self, command: int, **fields: Any) -> str:
        """A command as the library writes it, at the moment of its user's call."""
        fields.setdefault("DateTime", now())
        return envelope(json.dumps({"Command": command, **fields}, separators=(",", ":"))).decode()

    async def open(self, port: str = "") -> None:
        parameters = {"Port": port, "BaudRate": 115200}
        if not self._announced:
            self._announced = True
            await self._send(Type="getnet-port", OpenParams=parameters, WriteParams=None)
        await self._send(Type="open", OpenParams=parameters, WriteParams=None)

    async def write(self, message: str) -> None:
        await self._send(Type="write", WriteParams={"Message": message})

    async def received(self, within: float = 3.0) -> float:
        """When ``{"Received":true}`` came."""
        return await asyncio.wait_for(self._received.get(), within)

    async def answer(self, within: float = 10.0) -> Any:
        """The next object that is not ``{"Received":true}``."""
        return await asyncio.wait_for(self._answers.get(), within)

    async def call(self, command: int, *, within: float = 10.0, port: str = "", **fields: Any) -> Any:
        """What the library returns to its user: the terminal's answer, or ``NoAnswer`` where 3 s pass without a sign.

        After a sign of receipt the answer has ``within`` seconds.
        """
        called = time.monotonic()
        message = self.written(command, **fields)
        await self.open(port)
        await self.write(message)
        receipt = asyncio.create_task(self._received.get())
        answer = asyncio.create_task(self._answers.get())
        try:
            await asyncio.wait({receipt, answer}, timeout=max(0.0, called + 3.0 - time.monotonic()),
                               return_when=asyncio.FIRST_COMPLETED)  # fmt: skip
            if not receipt.done() and not answer.done():
                raise NoAnswer(command)
            try:
                return await asyncio.wait_for(answer, within)
            except asyncio.TimeoutError:
                raise NoAnswer(command) from None
        finally:
            receipt.cancel()
            answer.cancel()

    async def sell(self, amount: int, ticket: str, **more: Any) -> dict[str, Any]:
        """A sale's answer, opened."""
        fields = {"PrintOnPos": False, "SaleType": 0, "SendMessage": False, "EmployeeId": 1}
        within = more.pop("within", 10.0)
        return inner(await self.call(100, Amount=amount, TicketNumber=ticket, within=within, **{**fields, **more}))
