"""While a sale waits: progress, cancelling, a second operation, and what ends the wait from outside."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import math
import threading
import time
from typing import Any

import pytest

from getnet_pos import (
    AsyncConnector,
    CancelReply,
    Connector,
    LifecycleError,
    MultiCommerceSale,
    Progress,
    ProgressCode,
    ReportKind,
    TerminalBusy,
    UnsupportedOperation,
    Wire,
)
from getnet_pos.simulator import Behaviour, Identity, SerialServer

from .conftest import QUICK, Connect, Serve

WAITING = Behaviour(decide_after=math.inf)
"""A sale that waits for a customer who never comes."""


async def until_waiting(server: SerialServer, sales: int = 1) -> None:
    """Until the terminal waits for a customer, and the register has been told so."""
    while not server.terminal.busy or sum(command.code == 100 for command in server.terminal.commands) < sales:
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.05)


# ------------------------------------------------------------------------------------------------------------ progress


async def test_progress_is_told_as_it_comes(ready: Connect, serve: Serve) -> None:
    server = serve(script=[Behaviour(decide_after=0.3)])
    told: list[tuple[bool, Progress]] = []
    async with ready(server.device) as pos:
        sale = await pos.sale(1_000, on_progress=lambda progress: told.append((server.terminal.busy, progress)))
    assert sale.approved
    assert all(busy for busy, _ in told)
    assert [progress.code for _, progress in told] == [
        ProgressCode.CARD_READING,
        ProgressCode.PIN_ENTRY,
        ProgressCode.SENDING,
    ]
    assert told[2][1].text == "Enviando transacción a Getnet"
    assert server.terminal.acknowledgements >= 5  # poll, voucher, three stages; then the reply


async def test_an_unknown_stage_keeps_its_number(ready: Connect, serve: Serve) -> None:
    told: list[Progress] = []
    async with ready(serve(script=[Behaviour(progress=(99,))]).device) as pos:
        await pos.sale(1_000, on_progress=told.append)
    assert told == [Progress(99, "")]


async def test_no_progress_is_asked_for_where_nobody_listens(ready: Connect, serve: Serve) -> None:
    server = serve()
    async with ready(server.device) as pos:
        await pos.sale(1_000)
    assert server.terminal.commands[-1].fields["SendMessage"] is False


async def test_progress_renews_the_patience_but_not_without_end(ready: Connect, serve: Serve) -> None:
    limits = dataclasses.replace(QUICK, sale=0.3, sale_total=5.0)
    server = serve(script=[Behaviour(progress=(78,) * 4, progress_every=0.15)])
    async with ready(server.device, timeouts=limits) as pos:
        assert (await pos.sale(1_000, on_progress=print)).approved


def fails(progress: Progress) -> None:
    raise RuntimeError("the display is broken")


async def fails_later(progress: Progress) -> None:
    await asyncio.sleep(0)
    fails(progress)


async def test_a_listener_that_fails_harms_nothing(
    ready: Connect, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    async with ready(serve().device) as pos:
        assert (await pos.sale(1_000, on_progress=fails)).approved
        assert caplog.text.count("on_progress failed; the command goes on") == 3
        if isinstance(pos, AsyncConnector):
            assert (await pos.sale(1_000, on_progress=fails_later)).approved
            assert caplog.text.count("on_progress failed; the command goes on") == 6


async def test_a_coroutine_function_is_awaited(serve: Serve) -> None:
    told: list[Progress] = []

    async def listen(progress: Progress) -> None:
        await asyncio.sleep(0.01)
        told.append(progress)

    async with AsyncConnector.create_usb(serve().device, timeouts=QUICK) as pos:
        await pos.polling()
        await pos.sale(1_000, on_progress=listen)
    assert len(told) == 3


# ---------------------------------------------------------------------------------------------------------- cancelling


async def test_a_waiting_sale_is_cancelled(ready: Connect, serve: Serve) -> None:
    server = serve(script=[WAITING])
    async with ready(server.device) as pos:
        sale = asyncio.create_task(pos.sale(1_000, ticket="A1"))
        await until_waiting(server)
        begun = time.monotonic()
        assert await pos.cancel_sale() is None
        reply = await sale
        assert time.monotonic() - begun < 1.0
        assert (reply.approved, reply.response_message) == (False, "Operacion Cancelada")
        assert (await pos.sale(1_000, ticket="A2")).approved
    assert [command.code for command in server.terminal.commands].count(116) == 1
    assert server.terminal.ledger.charged("A1") == 0


async def test_a_cancellation_that_comes_too_late_leaves_the_approval(ready: Connect, serve: Serve) -> None:
    """The terminal has decided, and its approval is still on its way."""
    server = serve(script=[Behaviour(reply_after=0.25)])
    async with ready(server.device) as pos:
        sale = asyncio.create_task(pos.sale(1_000, ticket="A1"))
        while not server.terminal.ledger.entries:
            await asyncio.sleep(0.001)
        assert await pos.cancel_sale() is None
        assert (await sale).approved
    assert server.terminal.ledger.charged("A1") == 1_000


async def test_many_cancellations_race_the_approval(ready: Connect, serve: Serve) -> None:
    server = serve()
    async with ready(server.device) as pos:
        for number in range(15):
            ticket = f"R{number}"
            server.terminal.script.append(Behaviour(decide_after=0.004 * (number % 5), reply_after=0.002))
            sale = asyncio.create_task(pos.sale(1_000, ticket=ticket))
            await asyncio.sleep(0.003 * (number % 7))
            answers = await asyncio.gather(pos.cancel_sale(), pos.cancel_sale())
            assert {type(answer) for answer in answers} <= {type(None), CancelReply}
            reply = await sale
            # Whatever came first, the register's belief is the terminal's truth.
            assert server.terminal.ledger.charged(ticket) == (1_000 if reply.approved else 0)


async def test_a_sale_through_request_is_cancelled_too(ready: Connect, serve: Serve) -> None:
    server = serve(script=[WAITING])
    async with ready(server.device) as pos:
        sale = asyncio.create_task(pos.request(MultiCommerceSale(1_000, "12345678-5")))
        while not server.terminal.busy:
            await asyncio.sleep(0.001)
        assert await pos.cancel_sale() is None
        assert not (await sale).approved


async def test_a_report_in_progress_is_not_cancelled_but_waited_for(ready: Connect, serve: Serve) -> None:
    server = serve(answers={104: Behaviour(reply_after=0.2)})
    async with ready(server.device) as pos:
        report = asyncio.create_task(pos.get_reports(ReportKind.TOTALS))
        await asyncio.sleep(0.05)
        assert type(await pos.cancel_sale()) is CancelReply
        assert (await report).approved


async def test_cancelling_from_the_listener(ready: Connect, serve: Serve) -> None:
    server = serve(script=[Behaviour(decide_after=math.inf)])

    async with ready(server.device) as pos:
        if isinstance(pos, AsyncConnector):
            sale = await pos.sale(1_000, on_progress=lambda _: pos.cancel_sale())
        else:
            sale = await pos.sale(1_000, on_progress=lambda _: pos.blocking.cancel_sale())
    assert not sale.approved


async def test_the_simplified_wire_cannot_cancel(ready: Connect, serve: Serve) -> None:
    async with ready(serve().device, wire=Wire.SIMPLIFIED) as pos:
        with pytest.raises(UnsupportedOperation, match="cancel it on the terminal"):
            await pos.cancel_sale()


# ------------------------------------------------------------------------------------------------- a second operation


async def test_a_second_operation_waits_for_the_first(ready: Connect, serve: Serve) -> None:
    server = serve(script=[Behaviour(decide_after=0.2)])
    async with ready(server.device) as pos:
        replies = await asyncio.gather(
            pos.sale(1_000, ticket="A1"), pos.sale(2_000, ticket="A2"), pos.polling(), pos.last_voucher()
        )
    assert all(reply.approved for reply in replies)
    assert server.terminal.ledger.charged() == 3_000


async def test_a_second_operation_is_refused_as_asked(ready: Connect, serve: Serve) -> None:
    server = serve(script=[WAITING])
    async with ready(server.device, timeouts=dataclasses.replace(QUICK, busy=0)) as pos:
        sale = asyncio.create_task(pos.sale(1_000))
        await until_waiting(server)
        begun = time.monotonic()
        with pytest.raises(TerminalBusy, match="busy with another operation"):
            await pos.sale(2_000)
        assert time.monotonic() - begun < 1.0
        await pos.cancel_sale()
        await sale
        assert (await pos.sale(2_000)).approved
    assert server.terminal.ledger.charged() == 2_000


async def test_a_second_operation_waits_no_longer_than_asked(ready: Connect, serve: Serve) -> None:
    server = serve(script=[WAITING])
    async with ready(server.device, timeouts=dataclasses.replace(QUICK, busy=0.2)) as pos:
        sale = asyncio.create_task(pos.sale(1_000))
        await until_waiting(server)
        begun = time.monotonic()
        with pytest.raises(TerminalBusy):
            await pos.polling()
        assert 0.19 < time.monotonic() - begun < 1.2
        await pos.cancel_sale()
        await sale


async def test_close_waits_for_the_operation_in_progress(ready: Connect, serve: Serve) -> None:
    server = serve(script=[Behaviour(decide_after=0.2)])
    async with ready(server.device) as pos:
        sale = asyncio.create_task(pos.sale(1_000))
        await until_waiting(server)
        late = asyncio.create_task(pos.sale(2_000))
        await asyncio.sleep(0.02)
        closing = asyncio.create_task(pos.close())
        assert (await sale).approved
        with contextlib.suppress(LifecycleError):  # or it had its turn before the close
            assert (await late).approved
        await closing
        with pytest.raises(LifecycleError, match="closed"):
            await pos.polling()


async def test_an_operation_that_would_wait_for_itself_is_refused(serve: Serve) -> None:
    """From within ``on_progress`` the terminal is busy, and will be for as long as the listener waits."""
    refused: list[TerminalBusy] = []

    def nested(*operations: Any) -> None:
        for operation in operations:
            with pytest.raises(TerminalBusy, match="that made this call") as caught:
                operation()
            refused.append(caught.value)

    def ask_and_close() -> bool:
        with Connector.create_usb(serve().device, timeouts=QUICK) as pos:
            pos.polling()
            return pos.sale(1_000, on_progress=lambda _: nested(pos.polling, pos.close)).approved

    assert await asyncio.to_thread(ask_and_close)
    assert len(refused) == 6

    other = serve(identity=Identity(terminal_id="80005001"))
    async with AsyncConnector.create_usb(other.device, timeouts=QUICK) as pos:

        async def listen(_: Progress) -> None:
            for operation in (pos.polling, pos.close):
                with pytest.raises(TerminalBusy, match="that made this call") as caught:
                    await operation()
                refused.append(caught.value)

        await pos.polling()
        assert (await pos.sale(1_000, on_progress=listen)).approved
    assert len(refused) == 12


async def test_many_connectors_in_one_process(ready: Connect, serve: Serve) -> None:
    identities = [Identity(terminal_id=f"8000500{number}") for number in range(8)]
    servers = [serve(default=Behaviour(decide_after=0.1), identity=identity) for identity in identities]

    async def till(server: SerialServer, number: int) -> None:
        async with ready(server.device) as pos:
            for ticket in ("A", "B"):
                assert (await pos.sale(1_000 + number, ticket=ticket)).amount == 1_000 + number

    begun = time.monotonic()
    await asyncio.gather(*(till(server, number) for number, server in enumerate(servers)))
    assert time.monotonic() - begun < 2.0  # side by side
    assert [server.terminal.ledger.charged() for server in servers] == [2 * (1_000 + number) for number in range(8)]


def test_two_threads_share_one_connector(serve: Serve) -> None:
    server = serve()
    with Connector.create_usb(server.device, timeouts=QUICK) as pos:
        pos.polling()
        replies: list[Any] = []

        def sell(till: int) -> None:
            for number in range(10):
                replies.append(pos.sale(100, ticket=f"{till}-{number}"))

        threads = [threading.Thread(target=sell, args=(till,)) for till in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(replies) == 20
    assert all(reply.approved for reply in replies)
    assert server.terminal.ledger.charged() == 2_000


# ------------------------------------------------------------------------------------------------------- interruptions


async def test_a_cancelled_task_leaves_a_question_that_the_next_sale_asks(serve: Serve) -> None:
    server = serve(script=[Behaviour(reply_after=0.15)])
    async with AsyncConnector.create_usb(server.device, timeouts=QUICK) as pos:
        await pos.polling()
        sale = asyncio.create_task(pos.sale(1_000, ticket="A1"))
        while not server.terminal.ledger.entries:
            await asyncio.sleep(0.001)
        sale.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sale
        assert (await pos.sale(2_000, ticket="A2")).approved
        assert await pos.recover() == []
    assert server.terminal.ledger.charged() == 3_000


def test_control_c_leaves_a_question_that_the_next_sale_asks(serve: Serve) -> None:
    server = serve(script=[Behaviour(reply_after=0.1)])

    def interrupt(progress: Progress) -> None:
        if progress.code == ProgressCode.SENDING:
            raise KeyboardInterrupt

    with Connector.create_usb(server.device, timeouts=QUICK) as pos:
        pos.polling()
        with pytest.raises(KeyboardInterrupt):
            pos.sale(1_000, ticket="A1", on_progress=interrupt)
        assert pos.sale(2_000, ticket="A2").approved
        assert pos.recover() == []
    assert server.terminal.ledger.charged() == 3_000


async def test_a_cancelled_wait_for_a_turn_takes_no_turn(serve: Serve) -> None:
    server = serve(script=[WAITING])
    async with AsyncConnector.create_usb(server.device, timeouts=QUICK) as pos:
        await pos.polling()
        sale = asyncio.create_task(pos.sale(1_000))
        await until_waiting(server)
        late = asyncio.create_task(pos.sale(2_000))
        await asyncio.sleep(0.02)
        late.cancel()
        await pos.cancel_sale()
        await sale
        with pytest.raises(asyncio.CancelledError):
            await late
        assert (await pos.polling()).approved
    assert server.terminal.ledger.charged() == 0
