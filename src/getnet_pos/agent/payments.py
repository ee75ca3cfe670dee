"""Payments by their keys: one key is one payment, however often it is asked for, also after a restart."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from ..errors import GetnetError
from ..flows.intents import is_same_command, new_intent
from ..messages import Command, Intent
from .problems import Problem, problem_of
from .records import Records
from .terminals import Answer, Terminal

__all__ = ["Payments"]

_REMEMBERED = 256
"""Of so many payments that have ended it is remembered why they were refused: the journal has the others."""

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

    def ask(self, terminal: Terminal, command: Command[Any], key: str, *, again: bool = False) -> asyncio.Task[Answer]:
        """Have a payment made, or join the one that runs under the same key. The task raises ``Problem``.

        Raises:
            Problem: another payment runs under this key.
        """
        work = self._works.get(key)
        if work is not None and not work.task.done():
            if work.command != command:
                raise _reused(None)
            return work.task
        task = asyncio.get_running_loop().create_task(self._made(terminal, command, key, again))
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

    async def _made(self, terminal: Terminal, command: Command[Any], key: str, again: bool) -> Answer:
        intent = await self._of_key(key)
        if intent is not None:
            if not is_same_command(new_intent(command, "", terminal.connector.terminal), intent):
                raise _reused(intent)
            if intent.open:
                # An earlier run has left it: whoever asks for it waits until the terminal was asked.
                intent = await self._asked_about(terminal, intent, key)
            if intent.open:
                return Answer("unknown", intent.intent_id, reason=_STILL_OPEN)
            answer = Answer.of_intent(intent, terminal.profile)
            if answer is not None:
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
        try:
            step = await self._records.of_key(key)
        except GetnetError as error:
            raise problem_of(error) from error
        return None if step is None else step.intent

    def _forget(self) -> None:
        ended = [key for key, work in self._works.items() if work.task.done()]
        for key in ended[: max(0, len(ended) - _REMEMBERED)]:
            del self._works[key]


def _stored(intent: Intent, terminals: dict[str, Terminal]) -> Answer | None:
    """The result that the journal has, in the codes of the terminal that it is of."""
    of = next((one for one in terminals.values() if one.connector.terminal == intent.terminal), None)
    terminal = of or next(iter(terminals.values()))
    return Answer.of_intent(intent, terminal.profile)


def _reused(intent: Intent | None) -> Problem:
    told = "a payment with another body was made under this key: nothing was sent"
    return Problem("key-reused", told) if intent is None else Problem("key-reused", told, intent_id=intent.intent_id)


def _retrieved(task: asyncio.Task[Answer]) -> None:
    """Whoever asked may have gone."""
    if not task.cancelled():
        task.exception()
