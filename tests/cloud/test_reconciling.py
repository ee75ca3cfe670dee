"""The journal against the record of a terminal behind a cloud."""

from __future__ import annotations

from getnet_pos import Profile
from getnet_pos.simulator.cloud import VirtualCloud

from .conftest import Connect


async def test_a_day_through_a_cloud(ready: Connect, cloud: VirtualCloud, profile: Profile) -> None:
    async with ready(cloud) as pos:
        for number in range(3):
            assert (await pos.sale(1_000, ticket=f"A{number}")).approved
        found = await pos.reconcile()
        assert (len(found.matching), found.agrees) == (3, True), profile.name
        cloud.in_time(lambda now: cloud.terminal.key_in(700, now))
        found = await pos.reconcile()
        assert [voucher.amount for voucher in found.only_there] == [700]
        assert (len(found.matching), found.only_here, found.differing) == (3, (), ())
