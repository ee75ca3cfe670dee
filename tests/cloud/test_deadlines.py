"""How long a payment over the cloud may take: what the caller and the time limits say holds, whatever hangs."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from getnet_pos import AsyncConnector, GetnetError, OutcomeUnknown, Profile, TerminalBusy, Timeouts
from getnet_pos.cloud import AsyncCloudAccount
from getnet_pos.simulator import Behaviour
from getnet_pos.simulator.cloud import CloudFault, VirtualCloud, Where
from tests.cloud.conftest import QUICK, Open
from tests.cloud.registers import K, both, hooked
from tests.faults.world import CloudRegister, Journal

SHORT = Timeouts(sale=2, sale_total=2, report=1, short=0.5, recovery=1, recovery_interval=0.5, status=0.2)
EVER = math.inf


def register(profile: Profile, webhook: str | None = None, **limits: Any) -> CloudRegister:
    made = CloudRegister(VirtualCloud(profile=profile), Journal(), timeouts=replace(SHORT, **limits), webhook=webhook)
    assert made.poll().approved
    assert made.sell(500, "T0").approved
    made.pass_time(2.0)
    return made


@both
@hooked
@pytest.mark.parametrize(("sale_total", "recovery"), [(2, 1), (1, 2), (5, 1)])
def test_a_sale_that_never_ends_takes_its_time_and_that_of_the_recovery(
    profile: Profile, webhook: str | None, sale_total: float, recovery: float
) -> None:
    pos = register(profile, webhook, sale_total=sale_total, recovery=recovery)
    pos.terminal.script.append(Behaviour(decide_after=EVER))
    begun = pos.now
    with pytest.raises(OutcomeUnknown):
        pos.sell()
    assert pos.now - begun <= sale_total + recovery + 0.5


def hang(pos: CloudRegister) -> bool:
    """From now on no query is answered."""
    pos.cloud.inject(CloudFault(K.NEVER, Where.QUESTION, times=99))
    return True


@both
@pytest.mark.parametrize("kind", [K.NEVER, K.DROP_BEFORE])
def test_a_call_that_hangs_is_cut_at_the_sales_own_time(profile: Profile, kind: Any) -> None:
    """The limit for calls is longer than this sale may take."""
    pos = register(profile, cloud=300)
    pos.cloud.inject(CloudFault(kind, Where.MONEY))
    pos.to_cloud = lambda call: not call.path.endswith("/sale") or hang(pos)
    begun = pos.now
    with pytest.raises(OutcomeUnknown):
        pos.sell()
    assert pos.now - begun <= 2 + 1 + 0.5


@both
def test_a_callers_limit_is_the_sales_own(profile: Profile) -> None:
    pos = register(profile)
    pos.terminal.script.append(Behaviour(decide_after=EVER))
    begun = pos.now
    with pytest.raises(OutcomeUnknown):
        pos.sell(timeout=0.5)
    assert pos.now - begun <= 0.5 + 1 + 0.5


# --------------------------------------------------------------------------------- another terminal's call hangs beside


@pytest.fixture
def cloud(opened: Open) -> VirtualCloud:
    return opened(profile=Profile.CHILE, terminals=2)


@asynccontextmanager
async def beside_a_hanging_call(cloud: VirtualCloud, **own: Any) -> AsyncIterator[Any]:
    """A polled connector of the second terminal, while the first one's sale holds the account's only place."""
    one, two = cloud.terminals
    limits = replace(QUICK, sale=20, sale_total=20, cloud=20, recovery=1, busy=10.0)
    account = AsyncCloudAccount(
        cloud.url, client_id="i", client_secret="s", profile=cloud.profile, max_connections=1, timeouts=limits
    )
    async with account:
        first = AsyncConnector.create_cloud(account, key_pos=one)
        second = AsyncConnector.create_cloud(account, key_pos=two, timeouts=replace(limits, **own))
        await first.polling()
        await second.polling()
        cloud.terminals[one].script.append(Behaviour(decide_after=EVER))
        hanging = asyncio.create_task(first.sale(1000, ticket="H1"))
        while not cloud.terminals[one].busy:
            await asyncio.sleep(0.01)
        yield second
        hanging.cancel()
        await asyncio.gather(hanging, return_exceptions=True)


@pytest.mark.parametrize(
    ("limits", "options", "error"),
    [
        ({"busy": 0.3}, {}, TerminalBusy),
        ({}, {"timeout": 0.3}, GetnetError),
        ({"sale_total": 0.3}, {}, GetnetError),
    ],
    ids=["busy", "the caller's limit", "the sale's own time"],
)
async def test_what_waits_for_a_place_gives_up_in_time(
    cloud: VirtualCloud, limits: dict[str, Any], options: dict[str, Any], error: type[GetnetError]
) -> None:
    async with beside_a_hanging_call(cloud, **limits) as pos:
        begun = time.monotonic()
        with pytest.raises(error):
            await pos.sale(700, ticket="T1", **options)
        assert time.monotonic() - begun < 1.0
    assert [call.path.rpartition("/")[2] for call in cloud.requests].count("sale") == 1
