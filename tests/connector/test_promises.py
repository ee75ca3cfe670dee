"""What the guides promise of a connector, on a pseudo-terminal: what a payment costs, and what a lost link costs."""

from __future__ import annotations

import os
from functools import partial

import pytest

from getnet_pos import ConnectError
from getnet_pos.simulator import Behaviour

from .conftest import Connect, Serve

pytestmark = pytest.mark.skipif(os.name != "posix", reason="this system has no pseudo-terminals")

NO_TICKET = Behaviour(omit=("Ticket",))


async def test_a_terminal_that_names_tickets_is_asked_for_nothing_beside_a_sale(ready: Connect, serve: Serve) -> None:
    server = serve()
    async with ready(server.device) as pos:
        await pos.sale(1_000, ticket="A1")
        before = len(server.terminal.commands)
        for ticket in ("A2", "A3"):
            await pos.sale(1_000, ticket=ticket)
    assert [command.code for command in server.terminal.commands[before:]] == [100, 100]


async def test_one_that_names_none_is_asked_for_its_last_voucher_before_each_payment(
    ready: Connect, serve: Serve
) -> None:
    server = serve(default=NO_TICKET, answers={101: NO_TICKET})
    async with ready(server.device) as pos:
        await pos.sale(1_000, ticket="A1")
        before = len(server.terminal.commands)
        for ticket in ("A2", "A3"):
            await pos.sale(1_000, ticket=ticket)
    assert [command.code for command in server.terminal.commands[before:]] == [101, 100, 101, 100]


async def test_after_the_cable_is_back_the_same_connector_sells_on(ready: Connect, serve: Serve) -> None:
    server = serve()
    async with ready(server.device) as pos:
        await pos.sale(1_000, ticket="A1")
        server.unplug()
        server.plug()
        assert (await pos.last_voucher()).ticket == "A1"
        server.unplug()
        server.plug()
        before = len(server.terminal.commands)
        assert (await pos.sale(1_000, ticket="A2")).approved
        server.unplug()
        for operation in (pos.last_voucher, partial(pos.sale, 1_000, ticket="A3")):
            with pytest.raises(ConnectError):
                await operation()
    codes = [command.code for command in server.terminal.commands[before:]]
    assert codes[0] == 106, "another terminal may be there, or one that is not ready: it is polled first"
    assert len(server.terminal.ledger.charges()) == 2
