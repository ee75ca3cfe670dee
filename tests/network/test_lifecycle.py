"""The life of a connector, the same text over every link and for both connectors."""

from __future__ import annotations

import asyncio
import math
import threading
import time

import pytest

from getnet_pos import ConnectError, Disconnected, LifecycleError, ReportKind
from getnet_pos.simulator import Behaviour, Outcome

LOST = (ConnectError, Disconnected)


async def test_from_creation_to_the_next_creation(reach):
    place = reach(default=Behaviour(progress_every=0.05))
    async with place.connect() as pos:
        with pytest.raises(LifecycleError, match=r"polling\(\) must succeed"):
            await pos.sale(1_000)
        assert (await pos.polling()).connected

        heard = []
        sale = await pos.sale(
            1_000, ticket="A1", on_progress=lambda progress: heard.append((progress, time.monotonic()))
        )
        done = time.monotonic()
        assert (sale.approved, sale.amount, sale.ticket) == (True, 1_000, "A1")
        assert [progress.code for progress, _ in heard] == [78, 81, 82]
        assert done - heard[0][1] > 0.05, "progress arrives while the sale runs"

        voucher = await pos.last_voucher()
        assert voucher.authorization_code == sale.authorization_code
        assert (await pos.duplicate(sale.operation_id)).ticket == "A1"
        assert (await pos.void(sale.operation_id)).success

        other = await pos.sale(2_000)
        assert (await pos.refund(other.authorization_code, 500)).success
        totals = await pos.get_reports(ReportKind.TOTALS)
        assert totals.tx_count == len(place.terminal.ledger.entries)
        details = await pos.get_reports(ReportKind.DETAILS)
        assert len(details.sale_details) == 4
        assert (await pos.close_batch()).success

    for _ in range(3):
        async with place.connect() as pos:
            assert (await pos.polling()).approved
    assert [entry.kind.name for entry in place.terminal.ledger.entries] == ["SALE", "VOID", "SALE", "REFUND"]
    with pytest.raises(LifecycleError, match="is closed"):
        await pos.polling()


async def test_pre_authorization(reach):
    place = reach()
    async with place.connect() as pos:
        await pos.polling()
        held = await pos.pre_authorization(5_000, ticket="H1")
        assert held.approved
        assert (await pos.complete_pre_authorization(held.authorization_code, 4_000)).approved
        again = await pos.pre_authorization(700)
        assert (await pos.release_pre_authorization(again.authorization_code)).approved
    assert place.terminal.ledger.charged() == 4_000


async def test_a_refusal_is_a_result(reach):
    place = reach(script=[Behaviour(outcome=Outcome.DECLINE)])
    async with place.connect() as pos:
        await pos.polling()
        assert not (await pos.sale(1_000)).approved
        assert (await pos.sale(1_000)).approved


async def test_cancelling_while_the_sale_waits(reach):
    place = reach(script=[Behaviour(decide_after=math.inf)])
    async with place.connect() as pos:
        await pos.polling()
        waiting = asyncio.Event()
        loop = asyncio.get_running_loop()
        sale = asyncio.create_task(
            pos.sale(1_000, on_progress=lambda progress: loop.call_soon_threadsafe(waiting.set)),
        )
        await waiting.wait()
        assert await pos.cancel_sale() is None
        reply = await sale
        assert not reply.approved
        assert "Cancelada" in reply.response_message
        assert (await pos.sale(2_000)).approved, "the link is in order afterwards"
        assert not (await pos.cancel_sale()).approved, "there is no sale in progress"
    assert place.terminal.ledger.charged() == 2_000
    assert [command.code for command in place.terminal.commands].count(116) == 2


async def test_a_terminal_that_was_away_is_found_by_the_next_operation(reach):
    place = reach()
    async with place.connect() as pos:
        await pos.polling()
        place.server.unplug()
        for _ in range(2):
            with pytest.raises(LOST):
                await pos.get_reports(ReportKind.TOTALS)
        with pytest.raises(LOST):
            await pos.sale(300)
        place.server.plug()
        assert (await pos.get_reports(ReportKind.TOTALS)).approved
        assert (await pos.sale(300)).approved
    assert place.terminal.ledger.charged() == 300


async def test_closing_leaves_nothing_behind(reach):
    place = reach(script=[Behaviour(decide_after=math.inf)])
    threads = threading.active_count()
    async with place.connect() as pos:
        await pos.polling()
        tasks = len(asyncio.all_tasks())
    assert len(asyncio.all_tasks()) == tasks == 1
    # The event loop keeps the thread that ran a blocking call for the next one.
    left = [t for t in threading.enumerate() if not t.name.startswith(("asyncio_", "virtual"))]
    assert len(left) <= threads


async def test_commands_in_progress_end_with_the_link(reach):
    """What waits is told at once, and not at its deadline."""
    place = reach(answers={104: Behaviour(decide_after=math.inf)})
    async with place.connect() as pos:
        await pos.polling()
        waiting = asyncio.create_task(pos.get_reports(ReportKind.TOTALS))
        while place.terminal.commands[-1].code != 104:
            await asyncio.sleep(0.01)
        begun = time.monotonic()
        place.server.unplug()
        with pytest.raises(LOST):
            await waiting
        assert time.monotonic() - begun < 0.5
