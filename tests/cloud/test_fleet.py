"""Many terminals over one account: in turn, a bounded number at a time, and nothing lost when it is stopped."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from getnet_pos import AsyncConnector, IntentState, MemoryJournal, OutcomeUnknown, Profile
from getnet_pos.cloud import AsyncCloudAccount, CloudAccount
from getnet_pos.connector import Connector
from getnet_pos.flows.http_calls import RetryPolicy
from getnet_pos.simulator import Behaviour
from getnet_pos.simulator.cloud import CloudFault, CloudFaultKind, VirtualCloud, Where
from tests.cloud.conftest import QUICK, Open

HOOK = "http://127.0.0.1:9/hook"


def account_of(cloud: VirtualCloud, **settings: Any) -> AsyncCloudAccount:
    return AsyncCloudAccount(
        cloud.url, client_id="id", client_secret="s", profile=cloud.profile, timeouts=QUICK, **settings
    )


def fleet(account: AsyncCloudAccount, cloud: VirtualCloud, **settings: Any) -> list[AsyncConnector]:
    settings.setdefault("journal", MemoryJournal())
    return [AsyncConnector.create_cloud(account, key_pos=key_pos, **settings) for key_pos in cloud.terminals]


class Busiest:
    """How many money commands a cloud had under way at a time, at most, and in which order they came."""

    def __init__(self, cloud: VirtualCloud) -> None:
        self.most, self.now, self.order = 0, 0, []  # type: ignore[var-annotated]  # an order of anything
        give, command = cloud._give, cloud._command

        def commanded(call: Any, faults: Any) -> None:
            if call.path.endswith("/sale"):
                self.now += 1
                self.most = max(self.most, self.now)
                self.order.append(call)
            command(call, faults)

        def given(call: Any, *rest: Any) -> None:
            self.now -= call.path.endswith("/sale")
            give(call, *rest)

        cloud._command, cloud._give = commanded, given  # type: ignore[method-assign]  # watched in its place


@pytest.mark.parametrize("webhook", [None, HOOK], ids=["sync", "async"])
async def test_every_result_is_right(opened: Open, profile: Profile, webhook: str | None) -> None:
    cloud = opened(profile=profile, terminals=40, default=Behaviour(decide_after=0.05))
    async with account_of(cloud) as account:
        registers = fleet(account, cloud, webhook=webhook)
        await asyncio.gather(*(pos.polling() for pos in registers))
        sales = await asyncio.gather(*(pos.sale(1000 + place) for place, pos in enumerate(registers)))
    for place, (sale, terminal) in enumerate(zip(sales, cloud.terminals.values(), strict=True)):
        [entry] = terminal.ledger.entries
        assert (sale.approved, sale.amount, entry.amount) == (True, 1000 + place, 1000 + place)
        assert sale.authorization_code == entry.authorization_code
        assert sale.terminal_id == terminal.identity.terminal_id
    assert cloud.count("auth") == 1


@pytest.mark.parametrize("places", [1, 3])
async def test_so_many_at_a_time_and_in_the_order_of_their_coming(opened: Open, places: int) -> None:
    cloud = opened(terminals=12, default=Behaviour(decide_after=0.05))
    busiest = Busiest(cloud)
    async with account_of(cloud, max_connections=places) as account:
        registers = fleet(account, cloud)
        for pos in registers:
            await pos.polling()
        sales = []
        for pos in registers:
            sales.append(asyncio.create_task(pos.sale(1000)))
            await asyncio.sleep(0.005)
        assert all(sale.approved for sale in await asyncio.gather(*sales))
    assert busiest.most == places
    came = [call.body.split(b'"idTerminal":"')[1][:8].decode() for call in busiest.order]
    # Those that are on their way at once may overtake each other.
    assert all(abs(came.index(key_pos.id_terminal) - place) < places for place, key_pos in enumerate(cloud.terminals))


async def test_a_place_is_free_for_others_while_a_status_is_awaited(opened: Open) -> None:
    cloud = opened(terminals=6, default=Behaviour(decide_after=0.3))
    async with account_of(cloud, max_connections=1) as account:
        registers = fleet(account, cloud, webhook=HOOK)
        for pos in registers:
            await pos.polling()
        begun = asyncio.get_running_loop().time()
        sales = await asyncio.gather(*(pos.sale(1000) for pos in registers))
        assert all(sale.approved for sale in sales)
        assert asyncio.get_running_loop().time() - begun < 1.5


async def test_a_cancellation_does_not_wait_for_a_place(opened: Open) -> None:
    cloud = opened(profile=Profile.ARGENTINA, default=Behaviour(decide_after=60))
    async with account_of(cloud, max_connections=1) as account:
        [pos] = fleet(account, cloud)
        await pos.polling()
        sale = asyncio.create_task(pos.sale(1000))
        while not cloud.terminal.busy:
            await asyncio.sleep(0.01)
        assert (await pos.cancel_sale()).approved  # type: ignore[union-attr]  # with nothing in progress there is an answer
        assert not (await sale).approved


async def test_one_terminal_does_one_command_after_the_other(opened: Open) -> None:
    cloud = opened(terminals=2, default=Behaviour(decide_after=0.03))
    async with account_of(cloud) as account:
        one, two = fleet(account, cloud)
        await asyncio.gather(one.polling(), two.polling())
        sales = [pos.sale(100 + number) for number in range(5) for pos in (one, two)]
        assert all(sale.approved for sale in await asyncio.gather(*sales))
    for terminal in cloud.terminals.values():
        assert [entry.amount for entry in terminal.ledger.entries] == [100, 101, 102, 103, 104]


async def test_what_is_stopped_is_not_lost(opened: Open) -> None:
    cloud = opened(terminals=8, default=Behaviour(decide_after=0.3))
    journal = MemoryJournal()
    async with account_of(cloud, max_connections=4) as account:
        registers = fleet(account, cloud, journal=journal)
        await asyncio.gather(*(pos.polling() for pos in registers))
        sales = [asyncio.create_task(pos.sale(1000)) for pos in registers]
        while cloud.count("/sale") < 4:
            await asyncio.sleep(0.01)
        for sale in sales:
            sale.cancel()
        await asyncio.gather(*sales, return_exceptions=True)
        left = [intent for key_pos in cloud.terminals for intent in journal.unsettled(f"cloud:{key_pos}")]
        # Those that waited for a place were neither recorded nor sent.
        assert (len(left), cloud.count("/sale")) == (4, 4)
        while any(terminal.busy for terminal in cloud.terminals.values()):
            await asyncio.sleep(0.01)
        await asyncio.gather(*(pos.polling() for pos in registers))
        assert [intent.state for pos in registers for intent in await pos.recover()] == []
        assert all(sale.approved for sale in await asyncio.gather(*(pos.sale(500) for pos in registers)))
    assert sorted(terminal.ledger.charged() for terminal in cloud.terminals.values()) == [500] * 4 + [1500] * 4


async def test_the_whole_fleet_leaves_a_busy_cloud_alone(opened: Open) -> None:
    cloud = opened(terminals=10)
    async with account_of(cloud, retry=RetryPolicy(first_pause=0.01)) as account:
        registers = fleet(account, cloud)
        await asyncio.gather(*(pos.polling() for pos in registers))
        cloud.inject(CloudFault(CloudFaultKind.RATE_LIMIT, Where.QUESTION, retry_after=1))
        loop = asyncio.get_running_loop()
        begun = loop.time()
        question = asyncio.create_task(registers[0].polling())
        while cloud._faults:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)
        before = len(cloud.requests)
        sales = [asyncio.create_task(pos.sale(1000)) for pos in registers[1:]]
        await asyncio.sleep(0.6)
        assert len(cloud.requests) == before, "nobody asks while the cloud wants to be left alone"
        assert all(sale.approved for sale in await asyncio.gather(*sales))
        assert (await question).approved
        assert loop.time() - begun >= 1


async def test_one_token_for_all_when_it_ends_in_the_middle(opened: Open) -> None:
    cloud = opened(terminals=30)
    async with account_of(cloud) as account:
        registers = fleet(account, cloud)
        await asyncio.gather(*(pos.polling() for pos in registers))
        cloud.revoke()
        sales = await asyncio.gather(*(pos.sale(1000) for pos in registers))
        assert all(sale.approved for sale in sales)
    assert cloud.count("auth") == 2
    assert all(len(terminal.ledger.entries) == 1 for terminal in cloud.terminals.values())


async def test_troubles_of_one_are_not_those_of_others(opened: Open) -> None:
    cloud = opened(terminals=20)
    troubles = [
        CloudFaultKind.DROP_AFTER,
        CloudFaultKind.DROP_BEFORE,
        CloudFaultKind.TIMEOUT_AFTER,
        CloudFaultKind.HTML,
    ]
    async with account_of(cloud) as account:
        registers = fleet(account, cloud)
        await asyncio.gather(*(pos.polling() for pos in registers))
        cloud.script.extend([[CloudFault(kind)] for kind in troubles] * 2)
        results = await asyncio.gather(*(pos.sale(1000) for pos in registers), return_exceptions=True)
    unknown = [place for place, result in enumerate(results) if isinstance(result, OutcomeUnknown)]
    charged = [len(terminal.ledger.entries) for terminal in cloud.terminals.values()]
    assert len(unknown) == 2
    assert [place for place, count in enumerate(charged) if count == 0] == unknown
    assert max(charged) == 1


def test_threads_share_a_blocking_account(opened: Open) -> None:
    from concurrent.futures import ThreadPoolExecutor

    cloud = opened(terminals=6, default=Behaviour(decide_after=0.05))
    busiest = Busiest(cloud)
    journal = MemoryJournal()
    account = CloudAccount(
        cloud.url, client_id="id", client_secret="s", profile=cloud.profile, timeouts=QUICK, max_connections=2
    )

    def sell(place: int) -> bool:
        with Connector.create_cloud(account, key_pos=list(cloud.terminals)[place], journal=journal) as pos:
            return pos.polling().approved and pos.sale(1000 + place).approved

    with account, ThreadPoolExecutor(6) as pool:
        assert list(pool.map(sell, range(6))) == [True] * 6
    assert busiest.most == 2
    assert cloud.count("auth") == 1
    assert [intent.state for intent in journal.intents(settled=True)] == [IntentState.APPROVED] * 6
