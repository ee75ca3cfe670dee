"""The agent's interface over HTTP and WebSocket. One table of operations defines its routes and OpenAPI document."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from ..codec.json_text import dumps
from ..errors import GetnetError, InvalidValue
from ..masking import mask, masked
from ..messages import CloseBatch, PollReply, Reply, ReportKind
from ..messages.checks import check_text
from ..messages.documents import intent_document, reply_document
from .bodies import BODIES, money_command, read_body, report_command
from .events import EventHub
from .openapi import openapi, report_names
from .page import PAGE
from .payments import Payments
from .problems import Problem, problem_of
from .records import Records
from .settings import AgentSettings
from .terminals import Answer, Terminal

__all__ = ["OPERATIONS", "Agent", "Operation", "interface"]

log = logging.getLogger("getnet_pos.agent")

_SOON = 0.05
"""How many seconds to wait for a refusal or a stored result before the response is 202."""
_SILENCE = 15.0
"""How many seconds without an event until an HTTP stream gets a comment that keeps it alive."""
_REPORTS = dict(zip(report_names(), ReportKind, strict=True))
_RECENT = timedelta(hours=24)


@dataclass
class Agent:
    """The state that the interface serves."""

    settings: AgentSettings
    terminals: dict[str, Terminal]
    """By name."""
    records: Records
    events: EventHub
    payments: Payments
    stopping: bool = False
    """Whether it is stopping, and starts nothing new."""


Handler = Callable[[Agent, Request], Awaitable[Response]]
Schema = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One row of the table: the address, the request and its responses."""

    method: str
    path: str
    name: str
    summary: str
    handler: Handler
    answers: dict[int, tuple[str, str, Schema]]
    """For each status: its meaning, media type and schema."""
    body: str | None = None
    """The request's body, as a key of ``BODIES``."""
    query: dict[str, tuple[Schema, bool, str]] = field(default_factory=dict)
    """For each name: the schema, whether it is required, and its meaning."""
    pays: bool = False
    """Whether it makes a payment, which needs a key."""
    begins: bool = False
    """Whether it starts something at a terminal, which a stopping agent refuses."""


def interface(agent: Agent) -> Starlette:
    """The application. It has no access control: see ``guard``."""
    routes = [Route(one.path, _endpoint(agent, one), methods=[one.method], name=one.name) for one in OPERATIONS]
    return Starlette(
        routes=[*PAGE, *routes, WebSocketRoute("/v1/events", partial(_events_over_websocket, agent))],
        exception_handlers={
            Problem: _refuse,
            GetnetError: _refuse_error,
            HTTPException: _refuse_address,
            Exception: _refuse_failure,
        },
    )


def _endpoint(agent: Agent, operation: Operation) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        if operation.begins and not operation.pays:
            _check_goes_on(agent)
        return await operation.handler(agent, request)

    return endpoint


def _check_goes_on(agent: Agent) -> None:
    if agent.stopping:
        raise Problem("stopping", "the agent is stopping, so this request started nothing", retry_after=5)


# ---------------------------------------------------------------------------------------------------------- refusals


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return _json(error.document, error.kind.status, media_type="application/problem+json", headers=error.headers)


async def _refuse_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, GetnetError)
    return await _refuse(request, problem_of(error))


async def _refuse_address(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        return await _refuse(request, Problem("wrong-method", f"{request.method} is not allowed here{_allowed(error)}"))
    if error.status_code == 404:
        return await _refuse(request, Problem("unknown-path", "this address does not exist"))
    return await _refuse(request, Problem("invalid-request", error.detail))


def _allowed(error: HTTPException) -> str:
    methods = {one.strip() for one in (error.headers or {}).get("Allow", "").split(",")} - {"", "HEAD"}
    return f"; use {' or '.join(sorted(methods))}" if methods else ""


async def _refuse_failure(request: Request, error: Exception) -> Response:
    log.error("a request failed with an internal error", exc_info=error)
    return await _refuse(request, Problem("failed", "the agent had an internal error: see its log"))


# ----------------------------------------------------------------------------------------------------------- requests


def _json(
    document: Any,
    status: int = 200,
    *,
    media_type: str = "application/json",
    headers: dict[str, str] | None = None,
) -> Response:
    return Response(dumps(document), status, headers=headers, media_type=media_type)


def _terminal(agent: Agent, request: Request) -> Terminal:
    name = request.path_params["name"]
    if name not in agent.terminals:
        raise Problem("unknown-terminal", f"no terminal {name[:64]!a}; the terminals are: {', '.join(agent.terminals)}")
    return agent.terminals[name]


async def _said(request: Request, body: str) -> dict[str, Any]:
    return read_body(await request.body(), request.headers.get("content-type", ""), BODIES[body])


def _query(request: Request, name: str) -> str | None:
    given = request.query_params.getlist(name)
    if len(given) > 1:
        raise Problem("invalid-request", f"the address has the parameter {name} more than once: send {name} once")
    return given[0] if given else None


def _checked_key(key: str) -> str:
    try:
        return check_text(key, "the key of a payment", 1, 255)
    except InvalidValue as error:
        raise Problem("invalid-request", str(error)) from None


# ---------------------------------------------------------------------------------------------------------- terminals


async def _list_terminals(agent: Agent, request: Request) -> Response:
    return _json({"terminals": [_shown(one, request) for one in agent.terminals.values()]})


async def _show_terminal(agent: Agent, request: Request) -> Response:
    return _json(_shown(_terminal(agent, request), request))


def _shown(terminal: Terminal, request: Request) -> dict[str, Any]:
    """The terminal's state; without the token, not the payment that is running."""
    document = terminal.document()
    return document if request.scope.get("paired", True) else {**document, "running": None}


async def _poll(agent: Agent, request: Request) -> Response:
    terminal = _terminal(agent, request)
    await _said(request, "nothing")
    polled = await terminal.poll()
    reply = PollReply(**{name: getattr(polled, name) for name in PollReply.__dataclass_fields__})
    document: dict[str, Any] = {"reply": reply_document(reply)}
    for name in ("settled", "unknown", "in_progress", "elsewhere"):
        document[name] = [intent_document(intent) for intent in getattr(polled, name)]
    return _json(masked({**document, "another_terminal": polled.another_terminal}))


async def _report(agent: Agent, request: Request) -> Response:
    terminal, kind = _terminal(agent, request), request.path_params["kind"]
    if kind not in _REPORTS:
        raise Problem("unknown-path", f"no report {kind[:40]!a}; the reports are: {', '.join(_REPORTS)}")
    command = report_command(_REPORTS[kind], await _said(request, "report"), terminal.profile)
    return _reply(await terminal.run(command))


async def _close_batch(agent: Agent, request: Request) -> Response:
    terminal = _terminal(agent, request)
    return _reply(await terminal.run(CloseBatch(**await _said(request, "close-batch"))))


async def _cancel(agent: Agent, request: Request) -> Response:
    terminal = _terminal(agent, request)
    await _said(request, "nothing")
    reply = await terminal.cancel()
    return _json(masked({"reply": None if reply is None else reply_document(reply)}))


def _reply(reply: Reply) -> Response:
    return _json(masked(reply_document(reply)))


# ----------------------------------------------------------------------------------------------------------- payments


async def _pay(agent: Agent, request: Request, *, body: str) -> Response:
    terminal = _terminal(agent, request)
    values = await _said(request, body)
    key = _key(request, terminal, body, values)
    command = money_command(body, values, terminal.profile, key)
    if not agent.payments.running(key):
        _check_goes_on(agent)
    by_ticket = "idempotency-key" not in request.headers
    task = agent.payments.ask(terminal, command, key, by_ticket=by_ticket, again=values.get("again", False))
    asynchronous = "respond-async" in _preferences(request)
    await asyncio.wait([task], timeout=_SOON if asynchronous else None)
    if not task.done():
        return _place(key, {"Preference-Applied": "respond-async"})
    return _json(masked(task.result().document()))


def _key(request: Request, terminal: Terminal, body: str, values: dict[str, Any]) -> str:
    """The payment's key: the caller's own, or one made from the ticket."""
    given = request.headers.get("idempotency-key")
    if given is not None:
        return _checked_key(given)
    ticket = values.get("ticket")
    if ticket is None:
        or_ticket = ", or a ticket" if "ticket" in [member.name for member in BODIES[body].members] else ""
        raise Problem("key-needed", f"a payment needs a key: send the header Idempotency-Key{or_ticket}")
    if values.get("again"):
        raise Problem("key-needed", "a second charge of the same ticket needs a key: send the header Idempotency-Key")
    return _checked_key(f"{terminal.name}/{body}/{ticket}")


def _preferences(request: Request) -> set[str]:
    given = ",".join(request.headers.getlist("prefer"))
    return {one.partition(";")[0].strip().lower() for one in given.split(",")}


def _place(key: str, headers: dict[str, str]) -> Response:
    location = f"/v1/payments?{urlencode({'key': key})}"
    return _json({"key": key, "location": location}, 202, headers={"Location": location, "Retry-After": "1", **headers})


async def _show_payment(agent: Agent, request: Request) -> Response:
    key = _query(request, "key")
    if key is None:
        raise Problem("invalid-request", "the address lacks the key of the payment: /v1/payments?key=KEY")
    answer = await agent.payments.look(_checked_key(key), agent.terminals)
    return _place(key, {}) if answer is None else _json(masked(answer.document()))


async def _list_intents(agent: Agent, request: Request) -> Response:
    settled, since = _query(request, "settled"), _query(request, "since")
    if settled not in (None, "true", "false"):
        raise Problem("invalid-value", "settled must be true or false")
    if settled != "true":
        if since is not None:
            raise Problem(
                "invalid-request", "since needs settled=true: payments that are not settled are listed in any case"
            )
        steps = await agent.records.unsettled()
    else:
        steps = await agent.records.lately(_moment(since))
    return _json(masked({"intents": [intent_document(step.intent, at=step.at) for step in steps]}))


def _moment(text: str | None) -> str:
    """A date and time in the journal's format; by default 24 hours ago."""
    if text is None:
        at = datetime.now(timezone.utc) - _RECENT
    else:
        try:
            at = datetime.fromisoformat(text.replace("Z", "+00:00"))
        except ValueError:
            raise Problem("invalid-value", "since must be a date and time, such as 2026-11-26T09:00:00-03:00") from None
    return at.astimezone(timezone.utc).isoformat(timespec="milliseconds")


async def _resolve(agent: Agent, request: Request) -> Response:
    said = await _said(request, "resolution")
    intent_id = request.path_params["id"]
    try:
        intent = await agent.records.resolve(intent_id, **said)
    except InvalidValue as error:
        raise Problem("cannot-resolve", str(error)) from None
    log.warning("intent %s was resolved as %s by %s", intent.intent_id, intent.state, mask(said["by"]))
    for terminal in agent.terminals.values():
        if terminal.connector.terminal == intent.terminal:
            answer = Answer.of_intent(intent, terminal.profile)
            if answer is not None:
                agent.events.send("outcome", terminal.name, key=intent.idempotency_key, **answer.document())
    return _json(masked(intent_document(intent)))


async def _document(agent: Agent, request: Request) -> Response:
    return _json(openapi(OPERATIONS))


# ------------------------------------------------------------------------------------------------------------- events


def _after(given: str | None) -> int | None:
    if given is None:
        return None
    if not (given.isascii() and given.isdigit() and len(given) < 20):
        raise Problem("invalid-value", "after must be the id of an event")
    return int(given)


async def _events(agent: Agent, request: Request) -> Response:
    after = _after(request.headers.get("last-event-id") or _query(request, "after"))

    async def stream() -> AsyncIterator[str]:
        listener = agent.events.listen(after)
        try:
            yield ": listening\n\n"
            while True:
                try:
                    event = await listener.next(_SILENCE)
                except asyncio.TimeoutError:
                    yield ": still here\n\n"
                    continue
                if event is None:
                    return
                yield f"id: {event.number}\nevent: {event.kind}\ndata: {event.text}\n\n"
        finally:
            agent.events.leave(listener)

    return StreamingResponse(stream(), media_type="text/event-stream")


async def _events_over_websocket(agent: Agent, socket: WebSocket) -> None:
    try:
        after = _after(socket.query_params.get("after"))
    except Problem:
        await socket.close(1008)
        return
    await socket.accept()
    listener = agent.events.listen(after)
    gone = asyncio.get_running_loop().create_task(_until_gone(socket, listener.end))
    try:
        # Starlette raises either if the other side has left.
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            async for event in listener:
                await socket.send_text(event.text)
            await socket.close(1013 if listener.dropped else 1001)
    finally:
        agent.events.leave(listener)
        gone.cancel()


async def _until_gone(socket: WebSocket, then: Callable[[], None]) -> None:
    """Ignore messages from the listener until it leaves."""
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        while True:
            await socket.receive()
    then()


# -------------------------------------------------------------------------------------------------------------- table


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _answered(schema: Schema | str, about: str, media_type: str = "application/json") -> tuple[str, str, Schema]:
    return about, media_type, _ref(schema) if isinstance(schema, str) else schema


_ANSWERS = {
    200: _answered("Answer", "The outcome."),
    202: _answered("Place", "The payment is running. Get its outcome from location later."),
}
_REPLIES: Schema = {
    "anyOf": [
        _ref(name) for name in (
            "TotalsReply", "DetailsReply", "SalesBySellerReply", "TipsReply", "ParametersReply", "SimReply",
            "GenericReply",
        )
    ]
}  # fmt: skip
_AT = "/v1/terminals/{name}"


def _payment(path: str, name: str, summary: str, body: str) -> Operation:
    return Operation(
        method="POST", path=f"{_AT}/{path}", name=name, summary=summary, handler=partial(_pay, body=body),
        answers=_ANSWERS, body=body, pays=True, begins=True,
    )  # fmt: skip


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET", path="/v1/terminals", name="listTerminals", handler=_list_terminals,
        summary="The terminals: the state of each link, the reason, and the running command.",
        answers={200: _answered("Terminals", "All terminals.")},
    ),
    Operation(
        method="GET", path=_AT, name="showTerminal", handler=_show_terminal, summary="One terminal.",
        answers={200: _answered("Terminal", "The terminal.")},
    ),
    Operation(
        method="POST", path=f"{_AT}/polling", name="poll", handler=_poll, body="nothing", begins=True,
        summary="Query whether the terminal is ready, and the outcome of every payment that is not settled.",
        answers={200: _answered("Polled", "The terminal's reply, and the outcomes of earlier payments.")},
    ),
    _payment("sales", "sell", "Charge a card.", "sale"),
    _payment("voids", "void", "Void an operation of the open batch (Refund in Getnet's own libraries).", "void"),
    _payment("refunds", "refund", "Refund a sale (Return in Getnet's own libraries).", "refund"),
    _payment("pre-authorizations", "preAuthorize", "Hold an amount on a card.", "pre-authorization"),
    _payment("completions", "completePreAuthorization", "Charge part or all of the held amount.", "completion"),
    _payment("releases", "releasePreAuthorization", "Release the held amount.", "release"),
    Operation(
        method="POST", path=f"{_AT}/cancel", name="cancel", handler=_cancel, body="nothing",
        summary="Ask the terminal to cancel the sale in progress.",
        answers={200: _answered("Cancelled", "The cancellation was requested.")},
    ),
    Operation(
        method="POST", path=f"{_AT}/reports/{{kind}}", name="report", handler=_report, body="report", begins=True,
        summary="One of the terminal's reports.", answers={200: _answered(_REPLIES, "The report.")},
    ),
    Operation(
        method="POST", path=f"{_AT}/close-batch", name="closeBatch", handler=_close_batch, body="close-batch",
        begins=True, summary="Close the day's batch. Its operations cannot be voided afterwards.",
        answers={200: _answered("CloseBatchReply", "The terminal's reply.")},
    ),
    Operation(
        method="GET", path="/v1/payments", name="showPayment", handler=_show_payment, answers=_ANSWERS,
        summary="The outcome of a payment, by its key.",
        query={"key": ({"type": "string"}, True, "Its Idempotency-Key, or the key from a response 202.")},
    ),
    Operation(
        method="GET", path="/v1/intents", name="listIntents", handler=_list_intents,
        summary="The payments in the journal that are not settled, or the recent ones.",
        query={
            "settled": ({"type": "boolean"}, False, "true: include the settled payments of the last 24 hours."),
            "since": ({"type": "string"}, False, "With settled=true: the payments since this time (ISO 8601)."),
        },
        answers={200: _answered("Intents", "The payments, oldest first.")},
    ),
    Operation(
        method="POST", path="/v1/intents/{id}/resolve", name="resolve", handler=_resolve, body="resolution",
        summary="Record what a person found out about a payment with an unknown outcome.",
        answers={200: _answered("Intent", "The payment in its new state.")},
    ),
    Operation(
        method="GET", path="/v1/events", name="events", handler=_events,
        summary="Events, as server-sent events or over a WebSocket.",
        query={"after": ({"type": "integer"}, False, "Start with the remembered events after the one with this id.")},
        answers={200: _answered("Event", "A stream of events.", "text/event-stream")},
    ),
    Operation(
        method="GET", path="/v1/openapi.json", name="openapi", handler=_document, summary="This document.",
        answers={200: _answered({"type": "object"}, "The document.")},
    ),
)  # fmt: skip
