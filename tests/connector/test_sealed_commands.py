"""Commands in frames that somebody else wrote: the very bytes leave, and the very bytes of the answer are handed on."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from getnet_pos import (
    Ack,
    AlreadyCharged,
    CancelReply,
    DeadlineExceeded,
    IntentState,
    LastVoucher,
    Poll,
    PollReply,
    Progress,
    Sale,
    SaleReply,
    SqliteJournal,
    Wire,
)
from getnet_pos.codec import Message, envelope, seal, unseal
from getnet_pos.messages import CancelSale
from getnet_pos.simulator import Behaviour, SerialServer, TcpServer, VirtualTerminal
from tests.faces import FACES

from .conftest import QUICK, Connect, Serve


class Overheard(VirtualTerminal):
    """A virtual terminal, and every byte that came and went."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.came, self.went = b"", b""

    def receive(self, data: bytes, now: float) -> None:
        self.came += data
        super().receive(data, now)

    def take(self, now: float) -> list[bytes]:
        written = super().take(now)
        self.went += b"".join(written)
        return written


def a_page_wrote(**fields: Any) -> bytes:
    """A frame as this library never writes one: other spaces, another order, a field of its own."""
    text = json.dumps({"EmployeeId": 3, **fields, "DateTime": "2026-02-03T04:05:06.789Z", "Mine": "ñ"}, indent=1)
    return envelope(text).replace(b'","Sign"', b'" , "Sign"')


SALE = a_page_wrote(Command=100, Amount=2500, TicketNumber="A1", SendMessage=True)


async def test_the_bytes_that_leave_and_those_that_come(ready: Connect, serve: Serve, journal_path: Any) -> None:
    terminal = Overheard(default=Behaviour(noise=30, fragment=11), seed=3)
    heard: list[tuple[Message, bytes]] = []
    async with ready(serve(terminal).device) as pos:
        reply = await pos.request(unseal(SALE), on_frame=lambda *message: heard.append(message))
        polled = await pos.request(unseal(a_page_wrote(Command=106)), on_frame=lambda *message: heard.append(message))
    assert isinstance(reply, SaleReply)
    assert reply.approved
    assert (reply.amount, reply.ticket, reply.employee_id) == (2500, "A1", 3)
    assert isinstance(polled, PollReply)
    assert SALE in terminal.came
    assert [type(message) for message, _ in heard] == [Ack, *[Progress] * 3, SaleReply, Ack, PollReply]
    assert (heard[4][0], heard[6][0]) == (reply, polled)
    for message, frame in heard:
        assert frame in terminal.went
        assert frame.startswith(b"{")
        assert isinstance(message, Ack) or json.loads(json.loads(frame)["JsonSerialized"])
    [intent] = SqliteJournal(journal_path).intents(settled=True)
    assert (intent.amount, intent.ticket, intent.state) == (2500, "A1", IntentState.APPROVED)
    assert intent.frame_hash == hashlib.sha256(SALE).hexdigest()


async def test_a_cancellation_that_somebody_else_wrote(ready: Connect, serve: Serve) -> None:
    terminal = Overheard(default=Behaviour(decide_after=math.inf))
    cancellation = a_page_wrote(Command=116)
    heard: list[Message] = []
    async with ready(serve(terminal).device) as pos:
        sale = asyncio.create_task(pos.request(unseal(SALE), on_frame=lambda message, _: heard.append(message)))
        while not any(isinstance(message, Progress) for message in heard):
            await asyncio.sleep(0.005)
        assert await pos.cancel_sale(written=unseal(cancellation)) is None
        reply = await sale
    assert not reply.approved
    assert cancellation in terminal.came
    assert [type(message) for message in heard if not isinstance(message, Progress)] == [
        Ack,
        Ack,
        CancelReply,
        SaleReply,
    ]


async def test_a_way_without_signed_frames(ready: Connect, serve: Serve) -> None:
    """The command is written as that way has it, and only its leaving can be told."""
    terminal = Overheard()
    heard: list[tuple[Message, bytes]] = []
    async with ready(serve(terminal).device, wire=Wire.SIMPLIFIED) as pos:
        reply = await pos.request(unseal(SALE), on_frame=lambda *message: heard.append(message))
    assert reply.approved
    assert b"\x02100|2500|A1|false|0|3|\x03" in terminal.came
    assert heard == [(Ack(True), b'{"Received":true}')]


@pytest.mark.parametrize("face", FACES.values(), ids=FACES)
async def test_a_terminal_that_takes_no_acknowledgements(face: Any) -> None:
    heard: list[tuple[Message, bytes]] = []
    terminal = Overheard(default=Behaviour(acknowledge=None))
    with TcpServer(terminal, gap=0) as server:
        async with face("create_tcp", *server.address, acknowledge=False, timeouts=QUICK) as pos:
            await pos.polling()
            reply = await pos.request(unseal(SALE), on_frame=lambda *message: heard.append(message))
    assert reply.approved
    assert SALE in terminal.came
    assert [type(message) for message, _ in heard] == [Ack, *[Progress] * 3, SaleReply]


async def test_too_late_is_not_at_all(ready: Connect, serve: Serve, journal_path: Any) -> None:
    """What takes its time before the command may take too long: then not one byte leaves."""
    server = serve()
    async with ready(server.device) as pos:
        server.terminal.answers[LastVoucher.code] = Behaviour(reply_after=0.3)
        with pytest.raises(DeadlineExceeded, match="nothing was sent"):
            await pos.request(unseal(SALE), leave_by=time.monotonic() + 0.2)
        with pytest.raises(DeadlineExceeded, match="nothing was sent"):
            await pos.request(unseal(seal(Poll())), leave_by=time.monotonic())
        assert [command.code for command in server.terminal.commands] == [106, 101, 114, 101]
        del server.terminal.answers[LastVoucher.code]
        assert (await pos.request(unseal(SALE), leave_by=time.monotonic() + 5.0)).approved
    assert [intent.state for intent in SqliteJournal(journal_path).intents(settled=True)] == [IntentState.APPROVED]


async def test_a_result_that_nobody_was_there_to_hear(ready: Connect, serve: Serve) -> None:
    """Whoever asked may come back and ask again: then nothing is charged twice."""
    async with ready(serve().device) as pos:
        assert (await pos.request(Sale(700, "B1"), listens=lambda: False)).approved
        with pytest.raises(AlreadyCharged) as refused:
            await pos.request(Sale(700, "B1"))
        assert refused.value.reply is not None
        assert (await pos.request(Sale(700, "B2"), listens=lambda: True)).approved
        assert (await pos.request(Sale(700, "B2"))).approved, "a number used again, as a shop may"


async def test_what_on_frame_raises_harms_no_command(
    ready: Connect, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> None:
        raise ValueError("a relay's own fault")

    async with ready(serve().device) as pos:
        assert (await pos.request(unseal(SALE), on_frame=fails)).approved
    assert "on_frame failed" in caplog.text


@contextmanager
def a_cut_cable(server: SerialServer) -> Iterator[None]:
    server.unplug()
    yield
    server.plug()


async def test_a_reply_that_comes_after_a_doubt_is_handed_on(ready: Connect, serve: Serve) -> None:
    """The terminal delivers, once the cable is back, the reply that it could not send."""
    heard: list[tuple[Message, bytes]] = []
    terminal = Overheard(default=Behaviour(decide_after=0.4))
    server = serve(terminal)
    async with ready(server.device) as pos:
        sale = asyncio.create_task(pos.request(unseal(SALE), on_frame=lambda *message: heard.append(message)))
        while len(heard) < 4:
            await asyncio.sleep(0.005)
        with a_cut_cable(server):
            await asyncio.sleep(0.5)
        reply = await sale
    assert reply.approved
    assert heard[-1][0] == reply
    assert json.loads(json.loads(heard[-1][1])["JsonSerialized"])["FunctionCode"] == 100


def test_a_frame_is_not_shown() -> None:
    sealed = unseal(seal(CancelSale(date_time="2026-02-03T04:05:06.789Z")))
    assert repr(sealed) == "SealedCommand(command=CancelSale(date_time='2026-02-03T04:05:06.789Z'))"
