"""Many terminals in one process: a sale at each of them at once, through one cloud account and one journal.

It runs against a virtual cloud; ``python examples/fleet.py 500`` takes another number of terminals than 100.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from getnet_pos import AsyncConnector, GetnetError, KeyPos, OutcomeUnknown, Profile
from getnet_pos.cloud import AsyncCloudAccount
from getnet_pos.simulator.cloud import VirtualCloud


async def sell(account: AsyncCloudAccount, key_pos: KeyPos, amount: int, journal: Path) -> str:
    """One sale at one terminal, and how it ended."""
    async with AsyncConnector.create_cloud(account, key_pos=key_pos, journal=journal) as pos:
        try:
            await pos.polling()
            sale = await pos.sale(amount)
        except OutcomeUnknown as error:
            # Do not charge again: look at the vouchers, then pos.resolve(error.intent_id, ...).
            return f"unknown ({error.intent_id}): {error.reason}"
        except GetnetError as error:
            return f"not done: {error}"
        return "approved" if sale.approved else f"declined: {sale.response_message}"


async def main(count: int) -> None:
    with VirtualCloud(profile=Profile.CHILE, terminals=count) as cloud, tempfile.TemporaryDirectory() as folder:
        journal = Path(folder) / "journal.sqlite3"
        account = AsyncCloudAccount(cloud.url, client_id="id", client_secret="secret", profile=Profile.CHILE)
        async with account:
            terminals = await account.list_terminals()
            begun = time.perf_counter()
            sales = (sell(account, one, 1000 + place, journal) for place, one in enumerate(terminals))
            ends = await asyncio.gather(*sales)
        print(f"{len(terminals)} terminals in {time.perf_counter() - begun:.1f} s: {dict(Counter(ends))}")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100))
