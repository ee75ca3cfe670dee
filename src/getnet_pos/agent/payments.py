"""Payments by their keys: one key is one payment, however often it is asked for, also after a restart."""

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
"""Of so many payments that have ended it is remembered why they were refused: the journal has the others."""

_SAME_DAY = timedelta(hours=12)
"""For so long the same ticket means the same sale: numbers may start again every day."""

_PATIENCE = 330.0
"""Seconds for which a terminal that is still busy with a payment is asked about it: longer than any payment takes."""
_PAUSE = 0.5
_STILL_OPEN = "an earlier run of the agent has sent it, and the terminal could not be asked yet what became of it"


@dataclass(frozen=True, slots=True)
class _Work:
    """A payment that this agent was asked for."""

    command: Command[Any]
    task: asyncio.Task[Answer]


class Payments:
    """The payments of all terminals of an agent."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._works: dict[str, _Work] = {}
        """By their keys: those that run, and those that ended last."""

    def ask(
        self, terminal: Terminal, command: Command[Any], key: str, *, by_ticket: bool = False, again: bool = False
    ) -> asyncio.Task[Answer]:
        """Have a payment made, or join the one that runs under the same key. The task raises ``Problem``.

        ``by_ticket``: the key is made of the ticket, whose number may come again.

        Raises:
            Problem: another payment runs under this key.
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
        """Whether a payment runs under this key."""
        return key in self._works and not self._works[key].task.done()

    async def look(self, key: str, terminals: dict[str, Terminal]) -> Answer | None:
        """What became of the payment of this key; ``None`` where it still runs, or is still asked about.

        Raises:
            Problem: it was refused, or there is none.
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
                # An earlier run has left it: whoever asks for it waits until the terminal was asked.
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
        """The payment once the terminal was asked about it, or as it is where that takes very long."""
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
    """The result that the journal has, in the codes of the terminal that it is of."""
    of = next((one for one in terminals.values() if one.connector.terminal == intent.terminal), None)
    terminal = of or next(iter(terminals.values()))
    return Answer.of_intent(intent, terminal.profile)


def _refuse_old(step: Step, answer: Answer) -> None:
    """Refuse to take a sale of another day for the one that is asked for: goods would be handed over for it."""
    intent = step.intent
    if datetime.now(timezone.utc) - datetime.fromisoformat(step.at) < _SAME_DAY:
        return
    if answer.outcome == "approved":
        error = AlreadyCharged(
            charged_advice(step), intent_id=intent.intent_id, reply=answer.reply, found=intent.found, at=step.at
        )
        raise problem_of(error, is_payment=True)
    if answer.outcome == "declined":
        told = f"the ticket is that of a sale that was declined at {step.at}: nothing was sent; send a key with it"
        raise Problem("key-reused", told, intent_id=intent.intent_id)


def _reused(intent: Intent | None) -> Problem:
    told = "a payment with another body was made under this key: nothing was sent"
    return Problem("key-reused", told) if intent is None else Problem("key-reused", told, intent_id=intent.intent_id)


def _retrieved(task: asyncio.Task[Answer]) -> None:
    """Whoever asked may have gone."""
    if not task.cancelled():
        task.exception()
