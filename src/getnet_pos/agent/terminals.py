"""The terminals of an agent: each with its link, its running commands, and their tasks. It knows no HTTP.

A command belongs to the agent, not to the caller: it continues if the caller leaves.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import uuid
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar, cast

from ..codec import Message
from ..connector import AsyncConnector
from ..errors import (
    AlreadyCharged,
    ConnectError,
    Disconnected,
    GetnetError,
    JournalError,
    LifecycleError,
    OutcomeUnknown,
    TerminalBusy,
    TransportError,
)
from ..flows.intents import restored
from ..logs import about, fields
from ..masking import masked
from ..messages import CancelReply, Command, Intent, IntentState, Polled, Progress, Reply, SealedCommand
from ..messages.documents import command_name, intent_document, progress_document, reply_document
from ..profiles import Profile
from .events import EventHub
from .problems import AgentStopped
from .records import Records

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Answer", "LinkState", "OnProgress", "Running", "Terminal"]

log = logging.getLogger("getnet_pos.agent")

T = TypeVar("T")
R = TypeVar("R", bound=Reply)

LinkState = Literal["opening", "up", "not-ready", "down"]
OnProgress = Callable[[Progress], object]
"""Called with each progress message, and awaited if it is a coroutine function."""
Outcome = Literal["approved", "declined", "unknown"]

_PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""The seconds before each attempt to reopen a lost link."""
_PATIENCE = 10.0
"""How many seconds a command waits for the poll of the terminal."""
_OUTCOMES: dict[IntentState, Outcome] = {
    IntentState.APPROVED: "approved",
    IntentState.RESOLVED_PAID: "approved",
    IntentState.DECLINED: "declined",
    IntentState.RESOLVED_NOT_PAID: "declined",
    IntentState.UNKNOWN: "unknown",
    IntentState.CONTRADICTED: "unknown",
}
_STOPPED = "the agent was stopped before the result arrived: its next start queries the terminal about the payment"


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome of a payment. ``intent_id`` is ``None`` if the journal could not be read."""

    outcome: Outcome
    intent_id: str | None
    recovered: bool = False
    """Whether it is the stored result of an earlier request."""
    reason: str | None = None
    reply: Reply | None = None

    @classmethod
    def of_reply(cls, reply: Reply, intent_id: str | None) -> Answer:
        reason = None if reply.approved else reply.response_message
        return cls("approved" if reply.approved else "declined", intent_id, reply.recovered, reason, reply)

    @classmethod
    def of_error(cls, error: OutcomeUnknown) -> Answer:
        return cls("unknown", error.intent_id or None, reason=error.reason or str(error))

    @classmethod
    def of_intent(cls, intent: Intent, profile: Profile) -> Answer | None:
        """The outcome in the journal; ``None`` if the payment was not sent, or is still open."""
        outcome = _OUTCOMES.get(intent.state)
        if outcome is None:
            return None
        reply = restored(intent, profile.catalogue)
        message = None if reply is None or reply.approved else reply.response_message
        reason = intent.note or message or (intent.reason if outcome == "unknown" else None)
        return cls(outcome, intent.intent_id, outcome != "unknown", reason, reply if outcome != "unknown" else None)

    def document(self) -> dict[str, Any]:
        return {
            "outcome": self.outcome,
            "intent_id": self.intent_id,
            "recovered": self.recovered,
            "reason": self.reason,
            "reply": None if self.reply is None else reply_document(self.reply),
        }


@dataclass(frozen=True, slots=True)
class Running:
    """A command that is running, or waiting for another one."""

    command: Command[Any]
    key: str | None
    since: datetime

    def document(self) -> dict[str, Any]:
        document = {
            "command": self.command.code,
            "name": command_name(self.command.code),
            "amount": getattr(self.command, "amount", None),
            "ticket": getattr(self.command, "ticket", None),
            "key": self.key,
            "since": self.since.isoformat(timespec="milliseconds"),
        }
        shown: dict[str, Any] = masked(document)
        return shown


class Relay(TypedDict, total=False):
    """The arguments of ``AsyncConnector.request`` for a relay."""

    on_frame: Callable[[Message, bytes], object]
    leave_by: float
    listens: Callable[[], bool]


class Terminal:
    """A terminal and its name. From ``start`` to ``stop``, its link is kept open."""

    def __init__(
        self, name: str, connector: AsyncConnector, records: Records, events: EventHub, *, poll_every: float
    ) -> None:
        self.name, self.connector = name, connector
        self.state: LinkState = "opening"
        self.why: str | None = None
        """Why the link is not up."""
        self._records, self._events = records, events
        self._poll_every = poll_every
        self._runs: list[Running] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._poll: asyncio.Task[Polled] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._look = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._unknown: set[str] = set()
        """The payments of unknown outcome that were reported."""

    @property
    def profile(self) -> Profile:
        return self.connector.profile

    @property
    def running(self) -> Running | None:
        """The running command, if any."""
        return self._runs[0] if self._runs else None

    @property
    def paying(self) -> Running | None:
        """The running payment, if any."""
        return next((one for one in self._runs if one.command.moves_money), None)

    def document(self) -> dict[str, Any]:
        running = self.running
        return {
            "name": self.name,
            "state": self.state,
            "why": self.why,
            "running": None if running is None else running.document(),
            "place": self.connector.terminal,
            "profile": self.profile.name,
            "amount_exponent": self.profile.amount_exponent,
        }

    # --------------------------------------------------------------------------------------------------------- commands

    async def run(
        self,
        command: Command[R] | SealedCommand[R],
        *,
        idempotency_key: str | None = None,
        again: bool = False,
        on_progress: OnProgress | None = None,
        **relay: Unpack[Relay],
    ) -> R:
        """Run a command to its end, even if the caller leaves. Its arguments and errors are those of ``request``.

        Raises:
            TerminalBusy: a payment is running at this terminal, or another command takes too long.
        """
        self._refuse_where_busy()
        if _plain(command).moves_money:
            reply, _ = await self._own(self._paid(command, idempotency_key, again, on_progress, relay))
            return reply
        return await self._own(self._ran(command, None, relay, on_progress=on_progress))

    async def pay(self, command: Command[Any], key: str, *, again: bool = False) -> Answer:
        """Run a payment like ``run``, but return an unknown outcome instead of raising ``OutcomeUnknown``."""
        self._refuse_where_busy()
        try:
            _, answer = await self._own(self._paid(command, key, again, None, {}))
        except OutcomeUnknown as error:
            answer = Answer.of_error(error)
        return answer

    async def poll(self) -> Polled:
        """Query whether the terminal is ready, and about every payment that is not settled. Calls share one poll."""
        if self._poll is None or self._poll.done():
            self._poll = asyncio.get_running_loop().create_task(self._polled())
            self._keep(self._poll)
        return await asyncio.shield(self._poll)

    async def cancel(self, written: SealedCommand[CancelReply] | None = None) -> Reply | None:
        """Ask the terminal to cancel the sale in progress. It is only a request: the sale itself returns its outcome.

        ``written`` is the 116 that another program wrote. Returns the terminal's reply if no sale is in progress here.
        """
        return await self._own(self.connector.cancel_sale(written=written))

    def _refuse_where_busy(self) -> None:
        paying = self.paying
        if paying is not None:
            raise TerminalBusy(
                f"{self.name} is busy with a {command_name(paying.command.code)}: try again when it is over"
            )

    async def _own(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.get_running_loop().create_task(work)
        self._keep(task)
        return await asyncio.shield(task)

    def _keep(self, task: asyncio.Task[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) and not isinstance(error, GetnetError):
            log.error("%s: a command failed with an internal error", self.name, exc_info=error)

    async def _paid(
        self,
        command: Command[R] | SealedCommand[R],
        key: str | None,
        again: bool,
        on_progress: OnProgress | None,
        relay: Relay,
    ) -> tuple[R, Answer]:
        key = key or f"agent/{uuid.uuid4().hex}"  # by which the journal finds the payment again
        try:
            reply = await self._ran(command, key, relay, again=again, on_progress=on_progress)
        except OutcomeUnknown as error:
            log.warning(
                "%s: the outcome of intent %s is unknown",
                self.name,
                error.intent_id,
                extra=self._about(error.intent_id, "unknown"),
            )
            self._events.send("outcome", self.name, key=key, **Answer.of_error(error).document())
            self._look.set()
            raise
        except AlreadyCharged as error:
            log.warning(
                "%s: nothing was sent, because intent %s was charged before",
                self.name,
                error.intent_id,
                extra=self._about(error.intent_id),
            )
            raise
        step = None
        try:
            step = await self._records.of_key(key)
        except JournalError as error:
            log.error("%s: the journal cannot be read after a payment: %s", self.name, error)
        answer = Answer.of_reply(reply, None if step is None else step.intent.intent_id)
        log.info(
            "%s: %s: %s",
            self.name,
            command_name(_plain(command).code),
            answer.outcome,
            extra=self._about(answer.intent_id, answer.outcome),
        )
        self._events.send("outcome", self.name, key=key, **answer.document())
        return reply, answer

    async def _ran(
        self,
        command: Command[R] | SealedCommand[R],
        key: str | None,
        relay: Relay,
        *,
        again: bool = False,
        on_progress: OnProgress | None = None,
    ) -> R:
        async def report(progress: Progress) -> None:
            self._events.send("progress", self.name, key=key, **progress_document(progress))
            if on_progress is not None:
                result = on_progress(progress)
                if inspect.isawaitable(result):
                    await result

        running = Running(_plain(command), key, datetime.now(timezone.utc))
        self._runs.append(running)
        self._idle.clear()
        self._report_running()
        try:
            if self.state != "up":
                await self._polled_ready()
            return await self.connector.request(command, on_progress=report, idempotency_key=key, again=again, **relay)
        except asyncio.CancelledError:
            return cast("R", await self._left(key))
        except GetnetError as error:
            self._learn(error)
            raise
        finally:
            self._runs.remove(running)
            if not self._runs:
                self._idle.set()
            self._report_running()

    async def _left(self, key: str | None) -> Reply:
        """The result of a command that was interrupted because the agent is stopping, if it was recorded.

        Raises:
            OutcomeUnknown: it was sent; the next start queries the terminal about it.
            AgentStopped: it was not sent, or it moves no money.
        """
        try:
            step = None if key is None else await self._records.of_key(key)
        except JournalError as error:
            log.error("%s: the journal cannot be read for an interrupted payment: %s", self.name, error)
            raise OutcomeUnknown(_STOPPED, intent_id="") from None
        intent = None if step is None else step.intent
        if intent is None or intent.state is IntentState.NOT_SENT:
            raise AgentStopped("the agent was stopped before the command was sent, or before its reply arrived")
        reply = restored(intent, self.profile.catalogue)
        if reply is None:
            log.warning(
                "%s: intent %s is left open: at its next start the agent queries the terminal about it",
                self.name,
                intent.intent_id,
                extra=about(intent),
            )
            raise OutcomeUnknown(_STOPPED, intent_id=intent.intent_id)
        return reply

    def _about(self, intent_id: str | None, outcome: Outcome | None = None) -> dict[str, str]:
        return fields(terminal=self.connector.terminal, intent=intent_id, outcome=outcome)

    def _report_running(self) -> None:
        running = self.running
        self._events.send("running", self.name, running=None if running is None else running.document())

    # ------------------------------------------------------------------------------------------------------------- link

    def start(self) -> None:
        """Open the link, settle payments that an earlier run left open, and keep the link open."""
        self._watch = asyncio.get_running_loop().create_task(self._watched())

    async def stop(self, within: float, now: asyncio.Event) -> bool:
        """Close the link. Waits for running commands, up to ``within`` seconds or until ``now`` is set.

        Returns whether every payment was completed.
        """
        if self._watch is not None:
            self._watch.cancel()
        running = [task for task in self._tasks if task is not self._poll]
        if running:
            hurry = asyncio.get_running_loop().create_task(now.wait())
            ended = asyncio.get_running_loop().create_task(asyncio.wait(running))
            waiting: list[asyncio.Task[Any]] = [ended, hurry]
            await asyncio.wait(waiting, timeout=within, return_when=asyncio.FIRST_COMPLETED)
            hurry.cancel()
            ended.cancel()
        is_done = self.paying is None
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, *filter(None, [self._watch]), return_exceptions=True)
        await self.connector.close()
        return is_done

    async def _watched(self) -> None:
        failures = 0
        while True:
            await self._idle.wait()
            self._look.clear()
            try:
                is_up = _is_ready(await self.poll())
            except GetnetError:
                is_up = False
            pause = self._poll_every if is_up else _PAUSES[min(failures, len(_PAUSES) - 1)]
            failures = 0 if is_up else failures + 1
            look = asyncio.get_running_loop().create_task(self._look.wait())
            try:
                # asyncio.wait_for would lose a cancellation that arrives together with the event.
                looked, _ = await asyncio.wait([look], timeout=pause)
            finally:
                look.cancel()
            if looked:
                await asyncio.sleep(_PAUSES[0])

    async def _polled_ready(self) -> None:
        try:
            polled = await asyncio.wait_for(self.poll(), _PATIENCE)
        except asyncio.TimeoutError:
            raise TerminalBusy(
                f"{self.name} is still being polled, or queried about an earlier payment: try again later"
            ) from None
        if not _is_ready(polled):
            raise LifecycleError(f"the terminal is not ready ({polled.response_code}: {self.why}): look at its screen")

    async def _polled(self) -> Polled:
        try:
            polled = await self.connector.polling()
        except TerminalBusy:
            raise
        except GetnetError as error:
            self._become("down", str(error))
            raise
        self._report_polled(polled)
        if _is_ready(polled):
            self._become("up", None)
        else:
            self._become("not-ready", polled.response_message or "the terminal sent no reason")
        return polled

    def _learn(self, error: GetnetError) -> None:
        """Update the state of the link after a command raised ``error``."""
        if isinstance(error, (ConnectError, Disconnected)):
            self._become("down", str(error))
        if isinstance(error, TransportError):
            self._look.set()

    def _become(self, state: LinkState, why: str | None) -> None:
        if (state, why) == (self.state, self.why):
            return
        self.state, self.why = state, why
        if state == "down":
            self._look.set()
        log.log(logging.INFO if state == "up" else logging.WARNING, "%s: %s", self.name, _link_message(state, why))
        self._events.send("link", self.name, state=state, why=why)

    def _report_polled(self, polled: Polled) -> None:
        for intent in polled.settled:
            log.warning(
                "%s: intent %s is now settled: %s", self.name, intent.intent_id, intent.state, extra=about(intent)
            )
            answer = Answer.of_intent(intent, self.profile)
            if answer is not None:
                self._events.send("outcome", self.name, key=intent.idempotency_key, **answer.document())
        for intent in polled.unknown:
            if intent.intent_id not in self._unknown:
                log.warning(
                    "%s: intent %s is not settled: %s", self.name, intent.intent_id, intent.state, extra=about(intent)
                )
                self._events.send("unknown", self.name, intent=intent_document(intent))
        self._unknown = {intent.intent_id for intent in polled.unknown}
        if polled.another_terminal is not None:
            log.warning("%s: %s", self.name, polled.another_terminal)


def _plain(command: Command[R] | SealedCommand[R]) -> Command[R]:
    return command.command if isinstance(command, SealedCommand) else command


def _is_ready(polled: Polled) -> bool:
    return polled.approved and polled.connected is not False


def _link_message(state: LinkState, why: str | None) -> str:
    return f"the link is {state}" if why is None else f"the link is {state}: {why}"
