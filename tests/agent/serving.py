"""An agent in the test's own event loop, on real sockets, and a client that checks each answer against the document."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from functools import cache
from types import TracebackType
from typing import Any

import httpx
import jsonschema

from getnet_pos import AsyncConnector, Timeouts
from getnet_pos.agent.interface import OPERATIONS
from getnet_pos.agent.openapi import openapi
from getnet_pos.agent.server import Server
from getnet_pos.agent.settings import BUSY, AgentSettings
from getnet_pos.agent.terminals import Terminal
from getnet_pos.journal import Journal, MemoryJournal

__all__ = ["QUICK", "TOKEN", "Served", "check", "tcp"]

TOKEN = "a-token-of-these-tests"
QUICK = Timeouts(
    acknowledgement=0.4,
    short=0.6,
    report=0.6,
    sale=0.8,
    sale_total=2.0,
    cancel=0.4,
    recovery=0.3,
    recovery_interval=0.1,
    busy=BUSY,
)
"""Time limits for a terminal that needs no time."""


def tcp(server: Any, **settings: Any) -> AsyncConnector:
    """The connector of a terminal that a ``TcpServer`` serves."""
    return AsyncConnector.create_tcp(*server.address, **{"timeouts": QUICK, **settings})


class Served:
    """An agent that serves ``connectors``, which have the same ``journal``. An asynchronous context manager."""

    def __init__(
        self,
        connectors: Mapping[str, AsyncConnector],
        journal: Journal | None = None,
        *,
        waits: bool = True,
        **more: Any,
    ) -> None:
        self.server = Server(AgentSettings(port=0, **more), connectors, journal or MemoryJournal(), TOKEN)
        self._waits = waits
        """Whether it waits until each terminal was asked whether it is ready."""
        self.now = asyncio.Event()
        self.url = ""

    @property
    def terminal(self) -> Terminal:
        [terminal] = self.server.agent.terminals.values()
        return terminal

    async def __aenter__(self) -> Served:
        await self.server.open()
        [self.url] = self.server.urls
        self.client = httpx.AsyncClient(
            base_url=self.url,
            headers={"Authorization": f"Bearer {TOKEN}"},
            event_hooks={"response": [check]},
            trust_env=False,
            timeout=30,
        )
        if self._waits:
            while any(one.state == "opening" for one in self.server.agent.terminals.values()):
                await asyncio.sleep(0.005)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.now.set()
        await self.client.aclose()
        await self.server.close(self.now)

    async def post(self, path: str, body: Any = None, *, key: str | None = None, **headers: str) -> httpx.Response:
        """To ``/v1/`` and ``path``; of the one terminal where ``path`` names none."""
        named = {} if key is None else {"Idempotency-Key": key}
        where = path if path.startswith(("intents", "terminals")) else f"terminals/{self.terminal.name}/{path}"
        return await self.client.post(f"/v1/{where}", json=body, headers={**named, **headers})

    async def get(self, path: str, **query: str) -> Any:
        """The document at ``/v1/`` and ``path``."""
        answer = await self.client.get(f"/v1/{path}", params=query)
        assert answer.status_code in (200, 202), answer.text
        return answer.json()

    async def until(self, state: str) -> None:
        """Wait until the link of the terminal is in a state."""
        while self.terminal.state != state:
            await asyncio.sleep(0.01)


# ------------------------------------------------------------------------------------------------------- the document


async def check(answer: httpx.Response) -> None:
    """An answer is one that the document describes."""
    media_type = answer.headers.get("content-type", "").partition(";")[0]
    if media_type == "text/event-stream":
        return
    await answer.aread()
    path, responses = _responses(answer.request.method, answer.request.url.path)
    described = responses.get(str(answer.status_code)) or responses["default"]
    assert media_type in described["content"], (path, answer.status_code, media_type)
    validator(json.dumps(described["content"][media_type]["schema"])).validate(answer.json())


def _responses(method: str, path: str) -> tuple[str, dict[str, Any]]:
    for one in OPERATIONS:
        if one.method == method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", one.path), path):
            found: dict[str, Any] = document()["paths"][one.path][method.lower()]["responses"]
            return one.path, found
    default = document()["paths"]["/v1/terminals"]["get"]["responses"]["default"]
    return path, {"default": default}


@cache
def document() -> dict[str, Any]:
    return openapi(OPERATIONS)


@cache
def validator(schema: str) -> Any:
    """What checks a value against a schema of the document, given as JSON."""
    return jsonschema.Draft202012Validator({**json.loads(schema), "components": document()["components"]})
