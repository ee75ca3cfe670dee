"""The events by which a program can watch its connectors at work, for metrics, traces and alarms. Describes only.

An observer is any function that takes one event: ``Connector.create_usb(port, observer=print)``. Events say what
happened and how long it took. None holds an amount, a ticket, a card, a token or a message of the terminal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from .messages import HowFound, IntentState

__all__ = [
    "Event",
    "IntentRecorded",
    "LinkDown",
    "LinkUp",
    "Observer",
    "Operation",
    "OperationBegan",
    "OperationEnded",
    "Outcome",
    "RecoveryBegan",
    "RecoveryEnded",
]


class Outcome(str, Enum):
    """How an operation ended."""

    APPROVED = "approved"
    """A payment command, and the terminal approved it."""
    DECLINED = "declined"
    """The terminal answered with a response code other than 0."""
    UNKNOWN = "unknown"
    """A payment command that raised ``OutcomeUnknown``: it was sent, and nobody can say whether it was paid."""
    DONE = "done"
    """Any other operation that returned."""
    FAILED = "failed"
    """An error was raised, and the outcome is not unknown: of a payment command, nothing was charged by this call."""
    INTERRUPTED = "interrupted"
    """The task was cancelled, the program interrupted, or an error raised that is no ``GetnetError``. The intent of a
    payment command may be open: the next ``polling()`` recovers it."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """One operation of a connector, from its call to its end. Each is equal to itself alone, and may be a key."""

    command: str
    """The command in words, such as ``sale`` or ``last voucher``; else ``open``, ``recover``, ``reconcile``,
    ``resolve`` or ``close``."""
    terminal: str
    """The place of the terminal, such as ``usb:/dev/ttyACM0``; ``usb:`` while its port is being looked for."""
    intent_id: str | None = None
    """The intent of a payment command, by which the journal has it."""

    @property
    def carrier(self) -> str:
        """What carries it: ``usb``, ``tcp``, ``http`` or ``cloud``."""
        return self.terminal.partition(":")[0]


@dataclass(frozen=True, slots=True)
class OperationBegan:
    """An operation was called. It may wait until the terminal is free."""

    operation: Operation


@dataclass(frozen=True, slots=True)
class OperationEnded:
    """An operation returned or raised. Each that began ends, once."""

    operation: Operation
    outcome: Outcome
    seconds: float
    """From the call to the end; the wait for a free terminal, and the customer's time, are part of it."""
    error: str | None = None
    """The type of the error that was raised, such as ``PortBusy``."""


@dataclass(frozen=True, slots=True)
class IntentRecorded:
    """The journal was given a step of a payment command, perhaps of an earlier one than that of the operation."""

    operation: Operation
    intent_id: str
    command: str
    """The payment command in words."""
    state: IntentState
    found: HowFound | None
    """How a result was found; ``None`` where the step is no result."""
    seconds: float | None
    """How long the journal's synced write was waited for; ``None`` for a step that is written without waiting."""
    error: str | None = None
    """The type of the error with which the journal refused the step; ``None`` where it took it."""


@dataclass(frozen=True, slots=True)
class RecoveryBegan:
    """The outcome of a payment command is not known, and the library begins to ask the terminal about it."""

    operation: Operation
    intent_id: str
    command: str
    """The payment command in words."""


@dataclass(frozen=True, slots=True)
class RecoveryEnded:
    """The library stopped asking the terminal about a payment command."""

    operation: Operation
    intent_id: str
    command: str
    """The payment command in words."""
    state: IntentState
    """What came out: ``APPROVED``, ``DECLINED`` or ``UNKNOWN``; ``RECOVERING`` where it was interrupted."""
    seconds: float


@dataclass(frozen=True, slots=True)
class LinkUp:
    """The port or the connection was opened. Over HTTP and the cloud no link stands: each command connects anew."""

    operation: Operation


@dataclass(frozen=True, slots=True)
class LinkDown:
    """The port or the connection was closed, or could not be opened.

    A cable that is pulled while nothing runs is noticed by the next command.
    """

    operation: Operation
    error: str | None = None
    """Why: the type of the error, such as ``Disconnected``; ``None`` where it was closed on purpose."""


Event = OperationBegan | OperationEnded | IntentRecorded | RecoveryBegan | RecoveryEnded | LinkUp | LinkDown
"""Every event. Later versions may add events, and fields at the end of these."""

Observer = Callable[[Event], object]
"""Called with each event as it happens, on the thread or the event loop that runs the operation.

It must not block, because the terminal waits for it, and it must not use the connector. Several threads may call it at
once, if they use one connector or if it watches several. It is a plain function, not an async one.

An exception that it raises never changes the operation: the first one for each connector is logged, and the observer
is called again with the next event.
"""
