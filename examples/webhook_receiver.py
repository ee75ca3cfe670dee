"""A back office that hears of every sale: receives the cloud's webhooks, confirms each one, and prints it.

Run it without arguments to see it against the simulator: a virtual cloud, a sale, and the notice of it. With a base URL
it serves on port 8000 until interrupted; the credentials are then read from GETNET_POS_CLIENT_ID and
GETNET_POS_CLIENT_SECRET, and the secret of the path from WEBHOOK_SECRET. Put a server with TLS in front of it, and give
``https://YOUR-HOST/getnet/<the secret>`` to ``create_cloud`` as ``webhook=``.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from getnet_pos import AsyncConnector, Profile
from getnet_pos.cloud import AsyncCloudAccount, Notice, WebhookReceiver


def told(notice: Notice) -> None:
    """What the back office does upon a notice; it may come twice, so it must be safe to do again."""
    reply = notice.result.reply
    amount = getattr(reply, "amount", None)
    word = "approved" if reply is not None and reply.approved else "not approved"
    print(f"transaction {notice.result.id_pos_txs}: {word}, amount {amount}, confirmed: {notice.confirmed}", flush=True)


def application(receiver: WebhookReceiver) -> Starlette:
    """Where your own routes go beside it."""
    return Starlette(routes=[Mount("/getnet", receiver)])


async def serve(base_url: str) -> None:
    """Receive until interrupted."""
    account = AsyncCloudAccount(
        base_url,
        client_id=os.environ["GETNET_POS_CLIENT_ID"],
        client_secret=os.environ["GETNET_POS_CLIENT_SECRET"],
        profile=Profile.CHILE,
    )
    async with account, WebhookReceiver(told, secret_path=os.environ["WEBHOOK_SECRET"], confirm=account) as receiver:
        await uvicorn.Server(uvicorn.Config(application(receiver), port=8000)).serve()


async def show() -> None:
    """The same against a virtual cloud, with one sale."""
    from getnet_pos.simulator.cloud import VirtualCloud

    secret = "a-long-random-word-1f6b0c"
    with VirtualCloud(profile=Profile.CHILE) as cloud, tempfile.TemporaryDirectory() as folder:
        account = AsyncCloudAccount(cloud.url, client_id="id", client_secret="secret", profile=Profile.CHILE)
        async with account, WebhookReceiver(told, secret_path=secret, confirm=account) as receiver:
            server = uvicorn.Server(uvicorn.Config(application(receiver), port=0, log_level="warning"))
            serving = asyncio.create_task(server.serve())
            while not server.started:
                await asyncio.sleep(0.01)
            port = server.servers[0].sockets[0].getsockname()[1]
            webhook = f"http://127.0.0.1:{port}/getnet/{secret}"
            async with AsyncConnector.create_cloud(
                account, key_pos=cloud.key_pos, webhook=webhook, journal=Path(folder) / "journal.sqlite3"
            ) as pos:
                await pos.polling()
                sale = await pos.sale(25_000)
            print(f"sale() returned: approved: {sale.approved}, amount {sale.amount}", flush=True)
            server.should_exit = True
            await serving


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]) if len(sys.argv) > 1 else show())
