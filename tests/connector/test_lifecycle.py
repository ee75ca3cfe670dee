"""Create, poll, operate, close: in this order, with both connectors."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from getnet_pos import (
    AsyncConnector,
    ConfigurationError,
    Connector,
    InvalidType,
    LifecycleError,
    Poll,
    Profile,
    ReportKind,
    SaleType,
    Timeouts,
    UnexpectedReply,
    Wire,
)
from getnet_pos.simulator import Behaviour

from .conftest import QUICK, Connect, Once, Serve

OPERATIONS: dict[str, tuple[Any, ...]] = {
    "sale": (1_000,),
    "void": (1,),
    "refund": ("123456", 1_000),
    "pre_authorization": (1_000,),
    "complete_pre_authorization": ("123456", 1_000),
    "release_pre_authorization": ("123456",),
    "last_voucher": (),
    "duplicate": (1,),
    "close_batch": (),
    "get_reports": (ReportKind.TOTALS,),
    "set_default_sale_type": (SaleType.SALE,),
    "set_normal_mode": (),
    "print_document": (["one line"],),
    "request": (Poll(),),
    "recover": (),
    "reconcile": (),
}
"""Every operation that must wait for ``polling``, with arguments that are right."""

WITHOUT_POLL: dict[str, tuple[Any, ...]] = {"cancel_sale": ()}
"""What a terminal in mid-sale takes; it may not answer a poll then."""

WITHOUT_TERMINAL = {"intents", "resolve"}
"""What looks into the journal only."""

of_every_operation = pytest.mark.parametrize("operation", OPERATIONS)
provisional = pytest.mark.filterwarnings("ignore::getnet_pos.ProvisionalCommandWarning")


def test_no_operation_is_left_out_here() -> None:
    public = {name for name, _ in inspect.getmembers(Connector, inspect.isfunction) if not name.startswith("_")}
    assert public == {*OPERATIONS, *WITHOUT_POLL, *WITHOUT_TERMINAL, "polling", "close"}
    assert public == {
        name for name, _ in inspect.getmembers(AsyncConnector, inspect.isfunction) if not name.startswith("_")
    }


@provisional
async def test_nothing_works_before_polling(connect: Connect, serve: Serve) -> None:
    server = serve()
    async with connect(server.device) as pos:
        for operation, values in OPERATIONS.items():
            with pytest.raises(LifecycleError, match=r"polling\(\) must succeed"):
                await getattr(pos, operation)(*values)
        assert server.terminal.commands == []
        for operation, values in WITHOUT_POLL.items():
            await getattr(pos, operation)(*values)
        assert [command.code for command in server.terminal.commands] == [116]


@provisional
async def test_nothing_works_after_close(ready: Connect, serve: Serve) -> None:
    async with ready(serve().device) as pos:
        await pos.close()
        for operation, values in {**OPERATIONS, **WITHOUT_POLL, "polling": ()}.items():
            with pytest.raises(LifecycleError, match="closed"):
                await getattr(pos, operation)(*values)


async def test_a_profile_without_the_operation_changes_nothing_about_that(connect: Connect, serve: Serve) -> None:
    async with connect(serve().device, profile=Profile.CHILE) as pos:
        await pos.close()
        with pytest.raises(LifecycleError, match="closed"):
            await pos.pre_authorization(1_000)


async def test_closing_twice_is_no_fault(ready: Connect, serve: Serve) -> None:
    async with ready(serve().device) as pos:
        await pos.close()
        await pos.close()


async def test_a_closed_port_opens_again_at_once(ready: Connect, serve: Serve) -> None:
    server = serve()
    for number in range(5):
        async with ready(server.device) as pos:
            assert (await pos.sale(1_000, ticket=f"T{number}")).approved
    assert server.terminal.ledger.charged() == 5_000


async def test_an_error_in_the_block_closes_as_well(connect: Connect, ready: Connect, serve: Serve) -> None:
    server = serve()
    with pytest.raises(ZeroDivisionError):
        async with connect(server.device):
            raise ZeroDivisionError
    async with ready(server.device):
        pass


def test_with_closes_and_cannot_be_entered_again(serve: Serve) -> None:
    with pytest.raises(ZeroDivisionError), Connector.create_usb(serve().device) as pos:
        raise ZeroDivisionError
    with pytest.raises(LifecycleError, match="closed"), pos:
        pass


async def test_an_async_connector_opens_by_await_or_by_its_first_polling(serve: Serve) -> None:
    server = serve()
    awaited = await AsyncConnector.create_usb(server.device, timeouts=QUICK)
    assert (await awaited.polling()).approved
    await awaited.close()
    with pytest.raises(LifecycleError, match="closed"):
        await awaited

    polled = AsyncConnector.create_usb(server.device, timeouts=QUICK)
    with pytest.raises(LifecycleError, match=r"polling\(\) must succeed"):
        await polled.sale(1_000)
    assert (await polled.polling()).approved
    await polled.close()


async def test_a_terminal_that_is_not_ready_is_not_operated(connect: Connect, serve: Serve) -> None:
    server = serve(answers={106: Behaviour(change={"Connected": False})})
    async with connect(server.device) as pos:
        assert (await pos.polling()).connected is False
        with pytest.raises(LifecycleError, match=r"polling\(\) must succeed"):
            await pos.sale(1_000)
        server.terminal.answers.clear()
        await pos.polling()
        assert (await pos.sale(1_000)).approved


async def test_the_connector_says_where_it_stands(connect: Connect, serve: Serve) -> None:
    device = serve().device
    async with connect(device) as pos:
        assert f"usb:{device} (not polled)>" in repr(pos)
        await pos.polling()
        assert f"usb:{device} (ready)>" in repr(pos)
        await pos.close()
        assert f"usb:{device} (closed)>" in repr(pos)


@pytest.mark.parametrize(
    ("settings", "error", "word"),
    [
        ({"profile": "cl"}, InvalidType, "profile"),
        ({"timeouts": 3}, InvalidType, "timeouts"),
        ({"wire": "signed"}, ConfigurationError, "Wire.SIGNED"),
        ({"journal": 7}, ConfigurationError, "journal"),
        ({"baudrate": "fast"}, InvalidType, "baudrate"),
    ],
)
async def test_settings_that_cannot_work_are_named(
    connect: Connect, serve: Serve, settings: dict[str, Any], error: type[Exception], word: str
) -> None:
    with pytest.raises(error, match=word):
        async with connect(serve().device, **settings):
            pass


async def test_the_profile_gives_the_time_limits(connect: Connect, serve: Serve) -> None:
    async with connect(
        serve().device, timeouts=None, profile=Profile(name="x", amount_exponent=0, timeouts=QUICK)
    ) as pos:
        assert (await pos.polling()).approved
    assert Timeouts() == Profile.INTEGRATED_POS.timeouts


async def test_two_wires_are_two_connectors(connect: Connect, serve: Serve) -> None:
    server = serve()
    for wire in Wire:
        async with connect(server.device, wire=wire) as pos:
            assert (await pos.polling()).connected
            assert (await pos.sale(1_000, ticket=wire.name)).approved
    assert [entry.ticket for entry in server.terminal.ledger.entries] == ["SIGNED", "SIMPLIFIED"]


async def test_the_journal_can_be_switched_off(
    connect: Connect, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    async with connect(serve().device, journal=None) as pos:
        await pos.polling()
        assert (await pos.sale(1_000)).approved
    assert "the journal is switched off" in caplog.text


async def test_a_polling_answered_with_an_error_is_tried_once_more(connect: Connect, serve: Serve) -> None:
    """As right after plugging in."""
    malformed = Behaviour(change={"FunctionCode": 0, "ResponseCode": 1, "ResponseMessage": "Mensaje mal formado"})
    server = serve()
    async with connect(server.device) as pos:
        server.terminal.answers = Once({106: malformed})
        assert (await pos.polling()).approved
        server.terminal.answers = {106: malformed}
        with pytest.raises(UnexpectedReply, match="Mensaje mal formado"):
            await pos.polling()
    assert [command.code for command in server.terminal.commands] == [106, 106, 101, 114, 106, 106]
