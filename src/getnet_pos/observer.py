"""Events that let a program watch its connectors, for metrics, traces and alarms. No I/O, and no decision.

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
    """How an operation ended.

    Examples:
        >>> from getnet_pos.observer import Outcome
        >>> f"getnet_{Outcome.UNKNOWN}_total"
        'getnet_unknown_total'
    """

    APPROVED = "approved"
    """A payment command, and the terminal approved it."""
    DECLINED = "declined"
    """The terminal answered with a response code other than 0."""
    UNKNOWN = "unknown"
    """A payment command that raised ``OutcomeUnknown``: it was sent, and its outcome was not found out."""
    DONE = "done"
    """Any other operation that returned."""
    FAILED = "failed"
    """An error was raised, and the outcome is known: if it was a payment command, this call charged nothing."""
    INTERRUPTED = "interrupted"
    """The task was cancelled, the program interrupted, or an error raised that is no ``GetnetError``. The intent of a
    payment command may be open: the next ``polling()`` recovers it."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """One operation of a connector, from its call to its end. Each is equal only to itself, and can be a key of a dict.

    Examples:
        >>> from getnet_pos.observer import Operation
        >>> Operation("sale", "usb:/dev/ttyACM0").carrier
        'usb'
    """

    command: str
    """The command in words, such as ``sale`` or ``last voucher``; else ``open``, ``recover``, ``reconcile``,
    ``resolve`` or ``close``."""
    terminal: str
    """The place of the terminal, such as ``usb:/dev/ttyACM0``; ``usb:`` while its port is being looked for."""
    intent_id: str | None = None
    """The intent of a payment command, by which the journal has it."""

    @property
    def carrier(self) -> str:
        """How the command travels: ``usb``, ``tcp``, ``http`` or ``cloud``."""
        return self.terminal.partition(":")[0]


@dataclass(frozen=True, slots=True)
class OperationBegan:
    """An operation was called. It may have to wait until the terminal is free.

    Examples:
        >>> from getnet_pos.observer import Operation, OperationBegan
        >>> event = OperationBegan(Operation("sale", "tcp:192.0.2.7:4000"))
        >>> event.operation.command
        'sale'
    """

    operation: Operation


@dataclass(frozen=True, slots=True)
class OperationEnded:
    """An operation returned or raised an error. Each operation that began ends exactly once.

    Examples:
        >>> from getnet_pos.observer import Operation, OperationEnded, Outcome
        >>> event = OperationEnded(Operation("sale", "cloud:80005000"), Outcome.APPROVED, seconds=21.5)
        >>> event.outcome is Outcome.APPROVED
        True
    """

    operation: Operation
    outcome: Outcome
    seconds: float
    """From the call to the end; the wait for a free terminal, and the customer's time, are part of it."""
    error: str | None = None
    """The type of the error that was raised, such as ``PortBusy``."""


@dataclass(frozen=True, slots=True)
class IntentRecorded:
    """The journal recorded, or refused, a step of a payment command.

    In a recovery that command is an earlier one than the operation.

    Examples:
        >>> from getnet_pos.observer import IntentRecorded
        >>> slow = []
        >>> def watch(event):
        ...     if isinstance(event, IntentRecorded) and (event.seconds or 0.0) > 0.5:
        ...         slow.append(event)
    """

    operation: Operation
    intent_id: str
    command: str
    """The payment command in words."""
    state: IntentState
    found: HowFound | None
    """How the result was found; ``None`` if the step is not a result."""
    seconds: float | None
    """The wait for the journal's synced write; ``None`` if the step is written without waiting."""
    error: str | None = None
    """The type of the error if the journal refused the step."""


@dataclass(frozen=True, slots=True)
class RecoveryBegan:
    """Recovery of a payment command begins: the library queries the terminal about its outcome.

    Examples:
        >>> from getnet_pos.observer import Operation, RecoveryBegan
        >>> event = RecoveryBegan(Operation("poll", "usb:/dev/ttyACM0"), "5f0c", "sale")
        >>> event.command
        'sale'
    """

    operation: Operation
    intent_id: str
    command: str
    """The payment command in words."""


@dataclass(frozen=True, slots=True)
class RecoveryEnded:
    """Recovery of a payment command ended.

    Examples:
        >>> from getnet_pos.observer import RecoveryEnded
        >>> unknown = []
        >>> def watch(event):
        ...     if isinstance(event, RecoveryEnded) and event.state is IntentState.UNKNOWN:
        ...         unknown.append(event.intent_id)
    """

    operation: Operation
    intent_id: str
    command: str
    """The payment command in words."""
    state: IntentState
    """The result: ``APPROVED``, ``DECLINED`` or ``UNKNOWN``; ``RECOVERING`` if the recovery was interrupted."""
    seconds: float


@dataclass(frozen=True, slots=True)
class LinkUp:
    """The port or the connection was opened.

    HTTP and the cloud have no lasting link: each command opens a connection of its own.

    Examples:
        >>> from getnet_pos.observer import LinkUp, Operation
        >>> LinkUp(Operation("poll", "usb:/dev/ttyACM0")).operation.terminal
        'usb:/dev/ttyACM0'
    """

    operation: Operation


@dataclass(frozen=True, slots=True)
class LinkDown:
    """The port or the connection was closed, or could not be opened.

    If a cable is pulled while nothing runs, the next command notices it.

    Examples:
        >>> from getnet_pos.observer import LinkDown, Operation
        >>> LinkDown(Operation("sale", "usb:/dev/ttyACM0"), error="Disconnected").error
        'Disconnected'
    """

    operation: Operation
    error: str | None = None
    """The type of the error that caused it, such as ``Disconnected``; ``None`` if the link was closed on purpose."""


Event = OperationBegan | OperationEnded | IntentRecorded | RecoveryBegan | RecoveryEnded | LinkUp | LinkDown
"""Every event. Later versions may add events, and fields at the end of these."""

Observer = Callable[[Event], object]
"""Called with each event as it happens, on the thread or the event loop that runs the operation.

It must not block, because the terminal waits for it, and it must not use the connector. Several threads may call it at
once, if they use one connector or if it watches several. It is a plain function, not an async one.

An exception that it raises never changes the operation: the first one for each connector is logged, and the observer
is called again with the next event.
"""
