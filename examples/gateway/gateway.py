"""A chain's gateway: any number of hosts behind one load balancer, one journal in PostgreSQL for all of them.

A register posts a sale to whichever host the balancer picks; the cloud posts the webhook to another one, and the host
that waits hears of it through the database. ``python examples/gateway/gateway.py 8001`` serves one host, after

    getnet-pos journal init postgresql://getnet@db/getnet --role gateway

The environment names the rest: GETNET_POS_JOURNAL (postgresql://gateway@db/getnet), CLOUD_URL, GETNET_POS_CLIENT_ID,
GETNET_POS_CLIENT_SECRET, PUBLIC_URL (where the cloud reaches the balancer) and WEBHOOK_SECRET.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import AsyncIterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from getnet_pos import (
    AsyncConnector,
    GetnetError,
    JournalError,
    KeyPos,
    OutcomeUnknown,
    Profile,
    TerminalBusy,
    Timeouts,
)
from getnet_pos.cloud import AsyncCloudAccount, Notice, WebhookReceiver
from getnet_pos.journal import open_journal

log = logging.getLogger("gateway")


def gateway() -> Starlette:
    """The application of one host, as the environment says."""
    env = os.environ
    journal = open_journal(env["GETNET_POS_JOURNAL"])
    webhook = f"{env['PUBLIC_URL']}/getnet/{env['WEBHOOK_SECRET']}"
    account = AsyncCloudAccount(
        env["CLOUD_URL"],
        client_id=env["GETNET_POS_CLIENT_ID"],
        client_secret=env["GETNET_POS_CLIENT_SECRET"],
        profile=Profile.CHILE,
        timeouts=Timeouts(status=10.0),  # the webhook says when it is time to ask
    )

    async def told(notice: Notice) -> None:
        log.info("transaction %s has ended", notice.result.id_pos_txs)

    async def sell(request: Request) -> JSONResponse:
        """``{"terminal": "80005000/12983/SN1", "amount": 1000, "ticket": "A1"}``: the ticket is the key, too."""
        wanted = await request.json()
        key_pos = KeyPos(*wanted["terminal"].split("/"))
        try:
            # Closed behind each sale: then the terminal is free for any host.
            async with AsyncConnector.create_cloud(account, key_pos=key_pos, webhook=webhook, journal=journal) as pos:
                await pos.polling()
                reply = await pos.sale(wanted["amount"], ticket=wanted["ticket"], idempotency_key=wanted["ticket"])
        except OutcomeUnknown as error:
            return JSONResponse({"outcome": "unknown", "intent": error.intent_id}, status_code=500)
        except TerminalBusy as error:
            return JSONResponse({"outcome": "busy", "why": str(error)}, status_code=409)
        except JournalError as error:
            return JSONResponse({"outcome": "not sent", "why": str(error)}, status_code=503)
        except GetnetError as error:
            return JSONResponse({"outcome": "not done", "why": str(error)}, status_code=502)
        outcome = "approved" if reply.approved else "declined"
        return JSONResponse({"outcome": outcome, "authorization_code": reply.authorization_code})

    async def is_well(_: Request) -> JSONResponse:
        return JSONResponse({"well": True})

    receiver = WebhookReceiver(told, secret_path=env["WEBHOOK_SECRET"], confirm=account, journal=journal)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with account, receiver:
            yield

    routes = [Route("/sales", sell, methods=["POST"]), Route("/health", is_well), Mount("/getnet", receiver)]
    return Starlette(routes=routes, lifespan=lifespan)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    uvicorn.run(gateway(), host="0.0.0.0", port=int(sys.argv[1]), log_level="warning")
