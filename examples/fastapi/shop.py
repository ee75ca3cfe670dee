"""A shop's API on one payment terminal, with FastAPI.

``python examples/fastapi/shop.py`` serves it on http://127.0.0.1:8000/docs with a virtual terminal, on whose page you
pay. SHOP_TERMINAL names a real one, such as ``/dev/ttyACM0``, ``COM7`` or ``192.168.1.20:4000``, and then
``uvicorn shop:app`` serves it as well. The journal is where GETNET_POS_JOURNAL says, or in the user's state directory.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
from collections.abc import AsyncIterator
from typing import Annotated, Literal

import uvicorn
from fastapi import FastAPI, HTTPException
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, Field
from starlette.requests import Request

from getnet_pos import (
    AlreadyCharged,
    AsyncConnector,
    GetnetError,
    Intent,
    IntentState,
    InvalidValue,
    OutcomeUnknown,
    Progress,
)
from getnet_pos.journal import DEFAULT_JOURNAL, Journal, Search, open_journal

log = logging.getLogger("shop")

Ticket = Annotated[str, Field(min_length=1, max_length=24, pattern=r"^[A-Za-z0-9_-]+$")]


class Order(BaseModel):
    """What is to be paid. The ticket is the order's own number: it is charged once, however often it is sent."""

    ticket: Ticket
    amount: Annotated[int, Field(strict=True, gt=0)]


class Answer(BaseModel):
    """How a sale ended. ``unknown``: the card may have been charged; never charge it again before a person looked.

    ``not done``: this request charged nothing.
    """

    outcome: Literal["approved", "declined", "unknown", "not done"]
    message: str | None = None
    authorization_code: str | None = None
    last4_digits: str | None = None
    intent_id: str | None = None


class Decision(BaseModel):
    """What a person found on the terminal or in its vouchers."""

    paid: bool
    by: Annotated[str, Field(min_length=1)]
    note: Annotated[str, Field(min_length=1)]


_PAID = (IntentState.APPROVED, IntentState.RESOLVED_PAID)
_NOT_PAID = (IntentState.DECLINED, IntentState.NOT_SENT, IntentState.RESOLVED_NOT_PAID)


class Sale:
    """A sale in progress. It is a task of its own: a browser that goes away takes nothing with it."""

    def __init__(self, till: Till, order: Order) -> None:
        self.order = order
        self._till = till
        self._has_begun = self._is_cancelled = False
        self._stages: list[str] = []
        self._has_ended = False
        self._news = asyncio.Condition()
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> Answer:
        try:
            async with self._till.slot:
                return await self._sell()
        except InvalidValue:
            raise
        except GetnetError as error:
            answer = await self._before(str(error))
            if answer.outcome == "not done":
                raise
            return answer
        finally:
            async with self._news:
                self._has_ended = True
                self._news.notify_all()

    async def _sell(self) -> Answer:
        try:
            await self._till.pos.polling()  # also brings back a terminal that was away, and asks about earlier sales
            if self._is_cancelled:
                return await self._before("cancelled before the terminal had it")
            self._has_begun = True
            reply = await self._till.pos.sale(
                self.order.amount,
                ticket=self.order.ticket,
                idempotency_key=self.order.ticket,
                on_progress=self._on_progress,
            )
        except OutcomeUnknown as error:
            return Answer(outcome="unknown", message=error.reason, intent_id=error.intent_id)
        return Answer(
            outcome="approved" if reply.approved else "declined",
            message=reply.response_message,
            authorization_code=reply.authorization_code,
            last4_digits=reply.last4_digits,
        )

    async def _before(self, why: str) -> Answer:
        """Nothing was charged now, and why; but the same ticket may have been charged before a restart."""
        intent = await self._till.find(self.order.ticket)
        if intent is None or intent.state in _NOT_PAID:
            return Answer(outcome="not done", message=why)
        return Answer(
            outcome="approved" if intent.state in _PAID else "unknown",
            message=why,
            authorization_code=intent.authorization_code,
            last4_digits=intent.last4_digits,
            intent_id=intent.intent_id,
        )

    async def _on_progress(self, progress: Progress) -> None:
        async with self._news:
            self._stages.append(progress.text)
            self._news.notify_all()

    async def cancel(self) -> None:
        """Ask the terminal to give up, or do not begin. The answer tells whether the customer had paid by then."""
        self._is_cancelled = True
        if self._has_begun:
            await self._till.pos.cancel_sale()

    async def answer(self) -> Answer:
        """Wait for the end. Who waits may go away: the sale goes on."""
        return await asyncio.shield(self.task)

    async def events(self) -> AsyncIterator[str]:
        """Every stage from the first one on, then the end, as server-sent events."""
        seen, has_ended = 0, False
        while not has_ended:
            stages, has_ended = await self._after(seen)
            for stage in stages:
                yield f"event: progress\ndata: {json.dumps(stage)}\n\n"
            seen += len(stages)
        try:
            answer = await self.answer()
            yield f"event: end\ndata: {answer.model_dump_json(exclude_none=True)}\n\n"
        except GetnetError as error:
            yield f"event: end\ndata: {json.dumps({'outcome': 'not done', 'message': str(error)})}\n\n"

    async def _after(self, seen: int) -> tuple[list[str], bool]:
        """The stages after the first ``seen``, once there are any or the sale has ended, and whether it has."""
        async with self._news:
            await self._news.wait_for(lambda: self._has_ended or seen < len(self._stages))
        return self._stages[seen:], self._has_ended


class Till:
    """The one owner of the terminal."""

    def __init__(self, pos: AsyncConnector, journal: Journal) -> None:
        self.pos, self.journal = pos, journal
        self._sales: dict[str, Sale] = {}
        self.slot = asyncio.Lock()
        """The terminal does one thing at a time. Sales wait for it here, where they can be given up."""

    async def start(self) -> None:
        """Ask the terminal about what an earlier run left open. Without a terminal the shop opens all the same."""
        try:
            async with self.slot:
                polled = await self.pos.polling()
        except GetnetError as error:
            log.warning("the terminal is not ready: %s", error)
            return
        for intent in polled.settled:
            log.warning("ticket %s was left open and is %s", intent.ticket, intent.state)
        for intent in polled.unknown:
            log.error("ticket %s: outcome unknown, a person must look (%s)", intent.ticket, intent.reason)

    async def stop(self) -> None:
        """Let the sale in progress end, so that its outcome is known."""
        await asyncio.gather(*(sale.task for sale in self._sales.values()), return_exceptions=True)
        await self.pos.close()

    def sale(self, order: Order) -> Sale:
        """The sale of this ticket: the one in progress, or a new one. A second click on *pay* joins the first."""
        sale = self._sales.get(order.ticket)
        if sale is None:
            sale = self._sales[order.ticket] = Sale(self, order)
            sale.task.add_done_callback(lambda task: self._over(order.ticket, task))
        elif sale.order != order:
            raise InvalidValue(f"ticket {order.ticket} is being paid with another amount: give each order its own")
        return sale

    def _over(self, ticket: str, task: asyncio.Task[Answer]) -> None:
        del self._sales[ticket]
        if not task.cancelled() and (error := task.exception()):
            log.warning("ticket %s: %s", ticket, error)  # whoever asked for it may be gone

    async def find(self, ticket: str) -> Intent | None:
        """What the journal has of a ticket, also from before a restart."""
        search = Search(terminal="", idempotency_key=ticket)
        found = [step.intent for step in await asyncio.to_thread(self.journal.find, search)]
        return next((intent for intent in reversed(found) if intent.idempotency_key == ticket), None)

    def in_progress(self, ticket: str) -> Sale:
        if ticket not in self._sales:
            raise HTTPException(
                404, f"no sale of ticket {ticket} is in progress; GET /sales/{ticket} tells its outcome"
            )
        return self._sales[ticket]


def connector(place: str, journal: Journal) -> AsyncConnector:
    """The terminal at ``place``: a serial port, or a host and a port."""
    host, colon, port = place.rpartition(":")
    if colon:
        return AsyncConnector.create_tcp(host, int(port), journal=journal)
    return AsyncConnector.create_usb(place, journal=journal)


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    journal = open_journal(DEFAULT_JOURNAL)
    till = app.state.till = Till(connector(os.environ["SHOP_TERMINAL"], journal), journal)
    # Requests are served meanwhile; a sale waits until this has ended.
    starting = asyncio.create_task(till.start())
    try:
        yield
    finally:
        await starting
        await till.stop()


app = FastAPI(title="A shop", lifespan=lifespan)


@app.exception_handler(GetnetError)
async def not_done(_: Request, error: GetnetError) -> JSONResponse:
    """Every error but ``OutcomeUnknown`` says that this request charged nothing."""
    status = 422 if isinstance(error, InvalidValue) else 409 if isinstance(error, AlreadyCharged) else 503
    return JSONResponse({"outcome": "not done", "message": str(error)}, status_code=status)


def till_of(request: Request) -> Till:
    till: Till = request.app.state.till
    return till


@app.post("/sales")
async def sell(order: Order, request: Request) -> Answer:
    """Charge a card, and answer when it is over. Sent again, it answers the same and charges nothing."""
    return await till_of(request).sale(order).answer()


@app.get("/sales/{ticket}/events")
async def events(ticket: Ticket, request: Request) -> StreamingResponse:
    """The sale in progress, for a page that shows it, also one that was loaded again."""
    return StreamingResponse(till_of(request).in_progress(ticket).events(), media_type="text/event-stream")


@app.post("/sales/{ticket}/cancel", status_code=202)
async def cancel(ticket: Ticket, request: Request) -> None:
    """Ask the terminal to give up. It is a request: the sale's own answer tells whether the customer had paid."""
    await till_of(request).in_progress(ticket).cancel()


@app.get("/sales/{ticket}")
async def outcome(ticket: Ticket, request: Request) -> dict[str, str | None]:
    """What the journal has of a ticket, also after a restart."""
    found = await till_of(request).find(ticket)
    if found is None:
        raise HTTPException(404, f"ticket {ticket} was never sold")
    return shown(found)


@app.get("/unknown")
async def unknown(request: Request) -> list[dict[str, str | None]]:
    """The sales that a person must look at."""
    waiting = (IntentState.UNKNOWN, IntentState.CONTRADICTED)
    return [shown(intent) for intent in await till_of(request).pos.intents() if intent.state in waiting]


@app.post("/unknown/{intent_id}")
async def decide(intent_id: str, decision: Decision, request: Request) -> dict[str, str | None]:
    """Record what a person found out, with a name and a reason."""
    pos = till_of(request).pos
    return shown(await pos.resolve(intent_id, paid=decision.paid, by=decision.by, note=decision.note))


def shown(intent: Intent) -> dict[str, str | None]:
    return {
        "intent_id": intent.intent_id,
        "ticket": intent.ticket,
        "state": intent.state.value,
        "authorization_code": intent.authorization_code,
        "reason": intent.reason,
    }


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    port = int(os.environ.get("SHOP_PORT", "8000"))
    with contextlib.ExitStack() as stack:
        if "SHOP_TERMINAL" not in os.environ:
            from tempfile import TemporaryDirectory

            from getnet_pos.simulator import Behaviour, ScreenServer, TcpServer, VirtualTerminal

            served = stack.enter_context(TcpServer(VirtualTerminal(default=Behaviour(progress_every=1))))
            screen = stack.enter_context(ScreenServer(served))
            folder = stack.enter_context(TemporaryDirectory())
            os.environ["SHOP_TERMINAL"] = "{}:{}".format(*served.address)
            os.environ["GETNET_POS_JOURNAL"] = os.path.join(folder, "journal.sqlite3")
            log.info("pay on %s; without a page open there, every card is approved", screen.url)
        log.info("the shop's API is on http://127.0.0.1:%d/docs", port)
        uvicorn.run(app, port=port, log_level="warning")


if __name__ == "__main__":
    main()
