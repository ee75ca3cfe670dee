"""Reads the journal without blocking the event loop. It only writes what a person has found out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from ..journal import Journal, since
from ..messages import Intent, Search, Step

__all__ = ["Records"]

T = TypeVar("T")


class Records:
    """The payments in the journal. Every call raises ``JournalError`` if the journal cannot be used."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal

    async def of_key(self, key: str) -> Step | None:
        """The latest payment with an idempotency key, in its current state."""
        found = await self._ask(self.journal.find, Search(terminal="", idempotency_key=key))
        return next((step for step in reversed(found) if step.intent.idempotency_key == key), None)

    async def unsettled(self) -> list[Step]:
        """The payments that are not settled, in their current state, oldest first."""
        return await self._ask(self._unsettled)

    def _unsettled(self) -> list[Step]:
        return [self.journal.steps(intent.intent_id)[-1] for intent in self.journal.intents()]

    async def lately(self, at: str) -> list[Step]:
        """The same, and those with an entry since ``at`` (UTC, ISO 8601)."""
        return await self._ask(self._lately, at)

    def _lately(self, at: str) -> list[Step]:
        steps = {step.intent.intent_id: step for step in self._unsettled()}
        return list({**steps, **{step.intent.intent_id: step for step in since(self.journal, at)}}.values())

    async def resolve(self, intent_id: str, *, paid: bool, by: str, note: str) -> Intent:
        """As ``Journal.resolve``."""
        return await self._ask(partial(self.journal.resolve, intent_id, paid=paid, by=by, note=note))

    async def _ask(self, call: Callable[..., T], *arguments: object) -> T:
        submit: Any = getattr(self.journal, "submit", None)
        if submit is None:
            return await asyncio.to_thread(call, *arguments)
        answer: T = await asyncio.wrap_future(submit(call, *arguments))
        return answer
