"""Payments by their keys: one key is one payment, however often it is requested, even after a restart."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from ..errors import AlreadyCharged, GetnetError
from ..flows.intents import charged_advice, is_same_command, new_intent
from ..messages import Command, Intent, Step
from .problems import Problem, problem_of
from .records import Records
from .terminals import Answer, Terminal

__all__ = ["Payments"]

_REMEMBERED = 256
"""For how many ended payments the reason of a refusal is remembered; the journal has all others."""

_SAME_DAY = timedelta(hours=12)
"""How long the same ticket means the same sale: ticket numbers may start again every day."""

_PATIENCE = 330.0
"""How many seconds to query a terminal about a payment: longer than any payment takes."""
_PAUSE = 0.5
_STILL_OPEN = "the agent sent the payment before its last restart, and has not been able to query the outcome yet"


@dataclass(frozen=True, slots=True)
class _Work:
    """A payment that was requested from this agent."""

    command: Command[Any]
    task: asyncio.Task[Answer]


class Payments:
    """The payments of all terminals of an agent."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._works: dict[str, _Work] = {}
        """By key: the running payments, and the latest ended ones."""

    def ask(
        self, terminal: Terminal, command: Command[Any], key: str, *, by_ticket: bool = False, again: bool = False
    ) -> asyncio.Task[Answer]:
        """Start a payment, or join the one that is running under the same key. The task raises ``Problem``.

        ``by_ticket`` means that the key was made from the ticket, whose number may be reused on another day.

        Raises:
            Problem: another payment is running under this key.
        """
        work = self._works.get(key)
        if work is not None and not work.task.done():
            if work.command != command:
                raise _reused(None)
            return work.task
        task = asyncio.get_running_loop().create_task(self._made(terminal, command, key, by_ticket, again))
        task.add_done_callback(_retrieved)
        self._works.pop(key, None)
        self._works[key] = _Work(command, task)
        self._forget()
        return task

    def running(self, key: str) -> bool:
        """Whether a payment is running under this key."""
        return key in self._works and not self._works[key].task.done()

    async def look(self, key: str, terminals: dict[str, Terminal]) -> Answer | None:
        """The outcome of the payment with this key; ``None`` while it is running or the terminal is queried about it.

        Raises:
            Problem: it was refused, or there is no such payment.
        """
        if self.running(key):
            return None
        intent = await self._of_key(key)
        if intent is not None and intent.open:
            return None
        answer = None if intent is None else _stored(intent, terminals)
        if answer is not None:
            return answer
        work = self._works.get(key)
        if work is not None and (error := work.task.exception()) is not None:
            raise error
        if intent is not None:
            raise Problem("not-sent", "the payment was not sent", intent_id=intent.intent_id)
        raise Problem("unknown-payment", "no payment was recorded under this key")

    async def _made(self, terminal: Terminal, command: Command[Any], key: str, by_ticket: bool, again: bool) -> Answer:
        step = await self._step_of_key(key)
        if step is not None:
            intent = step.intent
            if not is_same_command(new_intent(command, "", terminal.connector.terminal), intent):
                raise _reused(intent)
            if intent.open:
                # From an earlier run of the agent: wait until the terminal was queried about it.
                intent = await self._asked_about(terminal, intent, key)
            if intent.open:
                return Answer("unknown", intent.intent_id, reason=_STILL_OPEN)
            answer = Answer.of_intent(intent, terminal.profile)
            if answer is not None:
                if by_ticket:
                    _refuse_old(step, answer)
                return answer
        try:
            return await terminal.pay(command, key, again=again)
        except GetnetError as error:
            raise problem_of(error, is_payment=True, intent=await self._of_key(key)) from error

    async def _asked_about(self, terminal: Terminal, intent: Intent, key: str) -> Intent:
        """Query the terminal about the payment, for a limited time, and return it in its new state."""
        loop = asyncio.get_running_loop()
        end = loop.time() + _PATIENCE
        while intent.open and loop.time() < end:
            try:
                await terminal.poll()
            except GetnetError:
                break
            intent = await self._of_key(key) or intent
            if intent.open:
                await asyncio.sleep(_PAUSE)  # the terminal may still be busy with it
        return intent

    async def _of_key(self, key: str) -> Intent | None:
        step = await self._step_of_key(key)
        return None if step is None else step.intent

    async def _step_of_key(self, key: str) -> Step | None:
        try:
            return await self._records.of_key(key)
        except GetnetError as error:
            raise problem_of(error) from error

    def _forget(self) -> None:
        ended = [key for key, work in self._works.items() if work.task.done()]
        for key in ended[: max(0, len(ended) - _REMEMBERED)]:
            del self._works[key]


def _stored(intent: Intent, terminals: dict[str, Terminal]) -> Answer | None:
    """The outcome in the journal, read with the profile of the payment's terminal."""
    of = next((one for one in terminals.values() if one.connector.terminal == intent.terminal), None)
    terminal = of or next(iter(terminals.values()))
    return Answer.of_intent(intent, terminal.profile)


def _refuse_old(step: Step, answer: Answer) -> None:
    """Refuse to return a sale of another day as the requested one: the shop would hand over goods."""
    intent = step.intent
    if datetime.now(timezone.utc) - datetime.fromisoformat(step.at) < _SAME_DAY:
        return
    if answer.outcome == "approved":
        error = AlreadyCharged(
            charged_advice(step), intent_id=intent.intent_id, reply=answer.reply, found=intent.found, at=step.at
        )
        raise problem_of(error, is_payment=True)
    if answer.outcome == "declined":
        detail = (
            f"nothing was sent: a sale with this ticket was declined at {step.at}. To sell with the same ticket, "
            "send an Idempotency-Key"
        )
        raise Problem("key-reused", detail, intent_id=intent.intent_id)


def _reused(intent: Intent | None) -> Problem:
    detail = "nothing was sent: this key, or ticket, was used for a different payment"
    if intent is None:
        return Problem("key-reused", detail)
    return Problem("key-reused", detail, intent_id=intent.intent_id)


def _retrieved(task: asyncio.Task[Answer]) -> None:
    """Mark an error as seen: the caller may have left."""
    if not task.cancelled():
        task.exception()
