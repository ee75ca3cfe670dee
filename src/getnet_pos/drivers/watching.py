"""Turns the effects of flows into the events of an observer. Nothing that an observer does changes a flow."""

from __future__ import annotations

import inspect
import time
from types import TracebackType

from .. import logs
from ..errors import GetnetError, InvalidType, OutcomeUnknown
from ..flows.effects import Close, Effect, Open, Record, Resolve, Use
from ..messages import Intent, IntentState, Reply
from ..messages.documents import command_name
from ..observer import (
    Event,
    IntentRecorded,
    LinkDown,
    LinkUp,
    Observer,
    Operation,
    OperationBegan,
    OperationEnded,
    Outcome,
    RecoveryBegan,
    RecoveryEnded,
)

__all__ = ["OBSERVED", "Lookout", "Watch"]

log = logs.logger("getnet_pos.driver")

OBSERVED = (Open, Close, Use, Record, Resolve)
"""The effects that make events."""


class Lookout:
    """The observer of one driver, and whether its link is up.

    Raises:
        InvalidType: the observer is no plain function.
    """

    def __init__(self, observer: Observer) -> None:
        call = getattr(observer, "__call__", None)  # noqa: B004  # it is looked into
        if call is None or inspect.iscoroutinefunction(observer) or inspect.iscoroutinefunction(call):
            raise InvalidType(
                "observer must be a plain function that takes one event, such as print; nobody would await an async "
                "function: pass a plain function that puts the events into a queue"
            )
        self._observer = observer
        self._has_failed = False
        self.is_up = False
        self.is_trying = False
        """A port is only being tried: that is no link yet."""

    def tell(self, event: Event) -> None:
        try:
            self._observer(event)
        except Exception:
            if not self._has_failed:
                self._has_failed = True
                log.exception("the observer failed; the operation goes on, and later failures are not logged")


class Watch:
    """One run of a flow, from its ``Begin`` to its end."""

    __slots__ = ("_before", "_began", "_lookout", "_operation", "_recovering", "_value")

    def __init__(self, lookout: Lookout | None) -> None:
        self._lookout = lookout
        self._operation: Operation | None = None
        self._before: Operation | None = None
        self._value: object = None
        self._began = 0.0
        self._recovering: dict[str, tuple[Intent, float]] = {}

    def began(self, operation: Operation) -> None:
        self._operation = operation
        self._before = logs.running.get()
        logs.running.set(operation)
        if self._lookout is not None:
            self._began = time.monotonic()
            self._lookout.tell(OperationBegan(operation))

    def returned(self, value: object) -> None:
        """The flow has returned ``value``."""
        self._value = value

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._operation is None:
            return
        if self._lookout is not None:
            self._ended(self._lookout, self._operation, error)
        # A coroutine that is thrown away may end in the context of another one.
        if logs.running.get() is self._operation:
            logs.running.set(self._before)

    def _ended(self, lookout: Lookout, operation: Operation, error: BaseException | None) -> None:
        now = time.monotonic()
        for intent, since in self._recovering.values():
            lookout.tell(_recovered(operation, intent, IntentState.RECOVERING, now - since))
        outcome = _outcome(operation, self._value, error)
        lookout.tell(OperationEnded(operation, outcome, now - self._began, _name(error)))

    # ---------------------------------------------------------------------------------------------------------- effects

    def saw(self, effect: Effect, began: float, answer: object = None, error: BaseException | None = None) -> None:
        """An effect was performed, from ``began`` on: it has ``answer``, or raised ``error``."""
        lookout, operation = self._lookout, self._operation
        if lookout is None or operation is None:
            return
        match effect:
            case Use():
                lookout.is_trying = True
            case Open() if error is not None:
                self._is_down(lookout, operation, error)
            case Open() if not lookout.is_trying:
                lookout.is_up = True
                lookout.tell(LinkUp(operation))
            case Close(cause):
                if lookout.is_up:
                    self._is_down(lookout, operation, cause)
                lookout.is_trying = False
            case Record(intent):
                self._recorded(lookout, operation, intent, began, error)
            case Resolve() if isinstance(answer, Intent):
                self._recorded(lookout, operation, answer, began, None)
            case _:
                pass

    def _is_down(self, lookout: Lookout, operation: Operation, error: BaseException | None) -> None:
        lookout.is_up = False
        if not lookout.is_trying:
            lookout.tell(LinkDown(operation, _name(error)))

    def _recorded(
        self, lookout: Lookout, operation: Operation, intent: Intent, began: float, error: BaseException | None
    ) -> None:
        now, command = time.monotonic(), command_name(intent.command)
        waited = None if intent.passing else now - began
        refused = _name(error) if isinstance(error, Exception) else None
        lookout.tell(IntentRecorded(operation, intent.intent_id, command, intent.state, intent.found, waited, refused))
        if intent.state is IntentState.RECOVERING:
            self._recovering[intent.intent_id] = intent, now
            lookout.tell(RecoveryBegan(operation, intent.intent_id, command))
        elif intent.intent_id in self._recovering:
            _, since = self._recovering.pop(intent.intent_id)
            lookout.tell(_recovered(operation, intent, intent.state, now - since))


def _recovered(operation: Operation, intent: Intent, state: IntentState, seconds: float) -> RecoveryEnded:
    return RecoveryEnded(operation, intent.intent_id, command_name(intent.command), state, seconds)


def _name(error: BaseException | None) -> str | None:
    return None if error is None else type(error).__name__


def _outcome(operation: Operation, value: object, error: BaseException | None) -> Outcome:
    if error is None:
        if isinstance(value, Reply) and not value.approved:
            return Outcome.DECLINED
        return Outcome.DONE if operation.intent_id is None else Outcome.APPROVED
    if not isinstance(error, GetnetError):
        return Outcome.INTERRUPTED
    is_own = isinstance(error, OutcomeUnknown) and not error.is_earlier
    return Outcome.UNKNOWN if is_own else Outcome.FAILED
