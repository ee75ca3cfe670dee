"""Faults of the network in the middle of a command. The terminal's ledger is the truth: nothing is charged twice, and
what the terminal can tell is found out."""

from __future__ import annotations

import asyncio
import contextlib
import math
from dataclasses import replace

import pytest

from getnet_pos import (
    ConnectError,
    Disconnected,
    IntentState,
    OutcomeUnknown,
    ReportKind,
    TransportError,
    UnexpectedStatus,
)
from getnet_pos.journal import open_journal
from getnet_pos.simulator import Behaviour, NetworkFault, NetworkFaultKind, Outcome, Reboot
from tests.faces import connect_blocking
from tests.network.places import LINKS, QUICK

QUICK_DOUBT = replace(QUICK, sale=1.0, sale_total=1.0, recovery=0.2)

ON_ANY = [
    NetworkFault(NetworkFaultKind.RESET, 100),
    NetworkFault(NetworkFaultKind.RESET, 100, at_reply=True),
    NetworkFault(NetworkFaultKind.HALF_OPEN, 100, seconds=0.5),
    NetworkFault(NetworkFaultKind.HALF_OPEN, 100, at_reply=True, seconds=0.2),
]
NOT_OVER_TLS = [
    NetworkFault(NetworkFaultKind.SLOW_CLOSE, 100, seconds=0.1),
    NetworkFault(NetworkFaultKind.SLOW_CLOSE, 100, at_reply=True, seconds=0.1),
]
ON_HTTP = [
    NetworkFault(NetworkFaultKind.CUT, 100),
    NetworkFault(NetworkFaultKind.BROKEN_CHUNK, 100),
    NetworkFault(NetworkFaultKind.STATUS, 100, status=500),
    NetworkFault(NetworkFaultKind.STATUS, 100, status=504),
    NetworkFault(NetworkFaultKind.REDIRECT, 100),
]
FAULTS = {
    "tcp": ON_ANY + NOT_OVER_TLS,
    "http": ON_ANY + NOT_OVER_TLS + ON_HTTP,
    "https-pinned": ON_ANY + ON_HTTP,
}


LOST_ANSWERS = {
    "tcp": [NetworkFaultKind.RESET],
    "http": [NetworkFaultKind.CUT, NetworkFaultKind.BROKEN_CHUNK, NetworkFaultKind.RESET],
}


def over(*names):
    """The test runs over these links."""
    links = [link for link in LINKS if link.name in names]
    return pytest.mark.parametrize("link", links, ids=[link.name for link in links], indirect=True)


def sent(place, code=100):
    return [command.code for command in place.terminal.commands].count(code)


@over("tcp", "http", "https-pinned")
async def test_the_result_is_found_out(reach, link):
    place = reach()
    async with place.connect() as pos:
        await pos.polling()
        for count, fault in enumerate(FAULTS[link.name], 1):
            place.server.inject(fault)
            sale = await pos.sale(1_000 + count, ticket=f"A{count}")
            entry = place.terminal.ledger.entries[-1]
            assert (sale.approved, sale.amount, sale.authorization_code) == (
                True,
                1_000 + count,
                entry.authorization_code,
            ), fault
            assert sent(place) == len(place.terminal.ledger.entries) == count, fault
        assert await pos.recover() == []
        assert (await pos.sale(1_000)).approved, "the link is in order afterwards"


@over("http", "https-pinned")
async def test_a_reply_alone_is_a_response(reach):
    place = reach()
    async with place.connect() as pos:
        await pos.polling()
        for command in (100, 104):
            place.server.inject(NetworkFault(NetworkFaultKind.ONE_OBJECT, command))
        heard = []
        assert (await pos.sale(1_000, on_progress=heard.append)).approved
        assert (await pos.get_reports(ReportKind.TOTALS)).tx_count == 1
    # At the poll and before the sale: nothing shows yet that this terminal's vouchers name tickets.
    assert (heard, sent(place, 101)) == ([], 2)


@over("tcp", "http")
async def test_a_refund_and_a_void_are_not_done_twice(reach):
    place = reach()
    async with place.connect(timeouts=QUICK_DOUBT) as pos:
        await pos.polling()
        sale = await pos.sale(1_000)
        place.server.inject(NetworkFault(NetworkFaultKind.RESET, 108))
        assert (await pos.refund(sale.authorization_code, 300)).approved
        place.server.inject(NetworkFault(NetworkFaultKind.RESET, 102))
        # Of the same second as the operation before, it may not be known for its own: unknown, but never repeated.
        with contextlib.suppress(OutcomeUnknown):
            assert (await pos.void(sale.operation_id)).approved
    assert (sent(place, 108), sent(place, 102)) == (1, 1)


@over("tcp", "http", "https-pinned")
async def test_what_the_terminal_cannot_tell_is_unknown(reach):
    """A declined sale leaves no record: that there is none says nothing."""
    place = reach(script=[Behaviour(outcome=Outcome.DECLINE)])
    async with place.connect(timeouts=QUICK_DOUBT) as pos:
        await pos.polling()
        place.server.inject(NetworkFault(NetworkFaultKind.RESET, 100, at_reply=True))
        with pytest.raises(OutcomeUnknown, match="do not repeat it"):
            await pos.sale(1_000)
        (intent,) = await pos.recover()
        assert (intent.state, intent.amount) == (IntentState.UNKNOWN, 1_000)
    assert sent(place) == 1


@over("http")
async def test_no_response_means_that_a_sale_failed(reach):
    place = reach(script=[Behaviour(outcome=Outcome.DECLINE)] * 3)
    async with place.connect(timeouts=QUICK_DOUBT) as pos:
        await pos.polling()
        for fault in ON_HTTP[::2]:
            place.server.inject(fault)
            with pytest.raises(OutcomeUnknown) as raised:
                await pos.sale(1_000)
            assert isinstance(raised.value.__cause__, TransportError)
    assert sent(place) == 3


@over("tcp", "http")
async def test_a_restarted_terminal_without_a_record(reach):
    place = reach(script=[Behaviour(reboot=Reboot(keep_record=False, seconds=0.1))])
    async with place.connect(timeouts=QUICK_DOUBT) as pos:
        await pos.polling()
        with pytest.raises(OutcomeUnknown):
            await pos.sale(1_000)
    assert place.terminal.ledger.charged() == 1_000


@over("tcp")
async def test_a_restarted_terminal_with_its_record(reach):
    place = reach(script=[Behaviour(reboot=Reboot(seconds=0.1))])
    async with place.connect() as pos:
        await pos.polling()
        assert (await pos.sale(1_000)).approved
    assert sent(place) == 1


@over("http")
async def test_the_question_may_fail_too(reach):
    place = reach()
    async with place.connect() as pos:
        await pos.polling()
        assert (await pos.sale(500)).approved
        before = sent(place, 101)
        place.server.inject(NetworkFault(NetworkFaultKind.RESET, 100))
        place.server.inject(NetworkFault(NetworkFaultKind.STATUS, 101, status=500))
        assert (await pos.sale(1_000)).approved
    assert (sent(place), sent(place, 101) - before) == (2, 2)


@over("tcp", "http", "https-pinned")
async def test_a_sale_that_could_not_be_sent_may_be_sent_again(reach, journal_path):
    place = reach()
    async with place.connect() as pos:
        await pos.polling()
        place.server.unplug()
        with pytest.raises((ConnectError, Disconnected)) as raised:
            await pos.sale(1_000, ticket="A1")
        assert raised.value.bytes_written == 0
        place.server.plug()
        await pos.polling()
        assert (await pos.sale(1_000, ticket="A1")).approved
    assert place.terminal.ledger.charged("A1") == 1_000


@over("http")
async def test_other_commands_have_a_named_error(reach):
    place = reach()
    async with place.connect() as pos:
        await pos.polling()
        for kind in (NetworkFaultKind.STATUS, NetworkFaultKind.REDIRECT):
            place.server.inject(NetworkFault(kind, 104, status=500))
            with pytest.raises(UnexpectedStatus) as raised:
                await pos.get_reports(ReportKind.TOTALS)
            if kind is NetworkFaultKind.STATUS:
                assert raised.value.status == 500
        assert (await pos.get_reports(ReportKind.TOTALS)).approved
    assert sent(place, 104) == 3


@over("tcp", "http")
async def test_a_query_whose_answer_is_lost_is_repeated_once(reach, link):
    place = reach()
    faults = [NetworkFault(kind, 104) for kind in LOST_ANSWERS[link.name]]
    async with place.connect() as pos:
        await pos.polling()
        for fault in faults:
            place.server.inject(fault)
            assert (await pos.get_reports(ReportKind.TOTALS)).approved
        for _ in range(2):
            place.server.inject(faults[-1])
        with pytest.raises(Disconnected):
            await pos.get_reports(ReportKind.TOTALS)
    # Twice each at most; what is reset may not have come to the terminal.
    assert len(faults) + 1 <= sent(place, 104) <= 2 * (len(faults) + 1)


@over("tcp", "http")
async def test_giving_up_a_sale_leaves_it_to_be_asked_about(reach, connect_by, journal_path):
    if connect_by is connect_blocking:
        pytest.skip("a thread cannot be given up")
    place = reach(script=[Behaviour(decide_after=0.1, reply_after=math.inf)])
    async with place.connect() as pos:
        await pos.polling()
        sale = asyncio.create_task(pos.sale(1_000, ticket="A1"))
        while not place.terminal.ledger.entries:
            await asyncio.sleep(0.01)
        sale.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sale
        assert await pos.recover() == []
    (intent,) = open_journal(journal_path).intents(settled=True)
    assert (intent.state, sent(place)) == (IntentState.APPROVED, 1)
