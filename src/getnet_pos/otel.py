"""Spans and metrics of connectors for OpenTelemetry (``getnet-pos[otel]``). What they hold is listed in ``ATTRIBUTES``.

Only the API of OpenTelemetry is used. Where no SDK is set up, nothing is recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

try:
    from opentelemetry.metrics import MeterProvider, get_meter
    from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TracerProvider, get_tracer, set_span_in_context
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        'getnet_pos.otel needs OpenTelemetry: pip install "getnet-pos[otel]"', name=error.name
    ) from error

from ._version import __version__
from .observer import (
    Event,
    IntentRecorded,
    LinkDown,
    LinkUp,
    Operation,
    OperationBegan,
    OperationEnded,
    RecoveryBegan,
    RecoveryEnded,
)

__all__ = ["ATTRIBUTES", "OtelObserver"]

COMMAND: Final = "getnet_pos.command"
CARRIER: Final = "getnet_pos.carrier"
TERMINAL: Final = "getnet_pos.terminal"
INTENT: Final = "getnet_pos.intent.id"
STATE: Final = "getnet_pos.intent.state"
FOUND: Final = "getnet_pos.intent.found"
OUTCOME: Final = "getnet_pos.outcome"
LINK: Final = "getnet_pos.link.state"
ERROR: Final = "error.type"

ATTRIBUTES: Final = frozenset({COMMAND, CARRIER, TERMINAL, INTENT, STATE, FOUND, OUTCOME, LINK, ERROR})
"""Every attribute of a span, a span event or a metric. Metrics have neither the terminal nor the intent: each value
would be a series of its own."""

_SCOPE: Final = "getnet_pos"
_OPERATION_SECONDS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 90, 120, 300)
_WRITE_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 10)


class OtelObserver:
    """An observer that records spans and metrics. One can watch any number of connectors.

    Each operation is a span, and a child of the caller's current span. Its span events are the recorded steps of
    payment commands and the changes of the link. A recovery is a child span. The metrics are

    * ``getnet_pos.operation.duration``, a histogram in seconds;
    * ``getnet_pos.recovery.duration``, a histogram in seconds;
    * ``getnet_pos.journal.write.duration``, a histogram in seconds, of the writes that are waited for;
    * ``getnet_pos.intent.steps``, a counter of the steps of payment commands by state;
    * ``getnet_pos.link.changes``, a counter of openings and losses of links.

    Args:
        tracer_provider: makes the spans; the global one if it is not given.
        meter_provider: makes the metrics; the global one if it is not given.

    Examples:
        >>> from getnet_pos.otel import OtelObserver
        >>> from getnet_pos.simulator import TcpServer, VirtualTerminal
        >>> with TcpServer(VirtualTerminal(), gap=0) as server:
        ...     host, port = server.address
        ...     with Connector.create_tcp(host, port, journal=MemoryJournal(), observer=OtelObserver()) as watched:
        ...         watched.polling().approved
        True
    """

    def __init__(
        self, *, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
    ) -> None:
        self._tracer = get_tracer(_SCOPE, __version__, tracer_provider)
        meter = get_meter(_SCOPE, __version__, meter_provider)
        self._operation_seconds = meter.create_histogram(
            "getnet_pos.operation.duration",
            unit="s",
            description="How long operations took, the wait for a free terminal and for the customer included.",
            explicit_bucket_boundaries_advisory=_OPERATION_SECONDS,
        )
        self._recovery_seconds = meter.create_histogram(
            "getnet_pos.recovery.duration",
            unit="s",
            description="How long terminals were queried about payments in doubt.",
            explicit_bucket_boundaries_advisory=_OPERATION_SECONDS,
        )
        self._write_seconds = meter.create_histogram(
            "getnet_pos.journal.write.duration",
            unit="s",
            description="How long operations waited for synced writes to the journal.",
            explicit_bucket_boundaries_advisory=_WRITE_SECONDS,
        )
        self._steps = meter.create_counter(
            "getnet_pos.intent.steps", unit="{step}", description="Steps of payment commands."
        )
        self._links = meter.create_counter(
            "getnet_pos.link.changes", unit="{change}", description="Links that were opened, lost or closed."
        )
        self._spans: dict[Operation, Span] = {}
        self._recoveries: dict[tuple[Operation, str], Span] = {}

    def __call__(self, event: Event) -> None:
        operation = event.operation
        match event:
            case OperationBegan():
                self._spans[operation] = self._tracer.start_span(
                    f"getnet {operation.command}",
                    kind=SpanKind.CLIENT,
                    attributes=_known(
                        {
                            COMMAND: operation.command,
                            CARRIER: operation.carrier,
                            TERMINAL: operation.terminal,
                            INTENT: operation.intent_id,
                        }
                    ),
                )
            case OperationEnded(outcome=outcome, seconds=seconds, error=error):
                about = {OUTCOME: outcome.value, ERROR: error}
                _end(self._spans.pop(operation, None), about)
                self._operation_seconds.record(seconds, _of(operation, operation.command, about))
            case IntentRecorded(command=command, state=state, found=found, seconds=waited, error=error):
                about = {STATE: state.value, FOUND: found, ERROR: error}
                self._note(operation, "getnet_pos.intent.step", {INTENT: event.intent_id, COMMAND: command, **about})
                self._steps.add(1, _of(operation, command, about))
                if waited is not None:
                    self._write_seconds.record(waited, _known({ERROR: error}))
            case RecoveryBegan(command=command):
                parent = self._spans.get(operation)
                self._recoveries[operation, event.intent_id] = self._tracer.start_span(
                    "getnet recovery",
                    context=None if parent is None else set_span_in_context(parent),
                    attributes=_of(operation, command, {TERMINAL: operation.terminal, INTENT: event.intent_id}),
                )
            case RecoveryEnded(command=command, state=state, seconds=seconds):
                about = {STATE: state.value}
                _end(self._recoveries.pop((operation, event.intent_id), None), about)
                self._recovery_seconds.record(seconds, _of(operation, command, about))
            case LinkUp():
                self._changed(operation, {LINK: "up"})
            case LinkDown(error=error):
                self._changed(operation, {LINK: "down", ERROR: error})

    def _changed(self, operation: Operation, about: Mapping[str, str | None]) -> None:
        self._note(operation, "getnet_pos.link.change", about)
        self._links.add(1, _known({CARRIER: operation.carrier, **about}))

    def _note(self, operation: Operation, name: str, about: Mapping[str, str | None]) -> None:
        span = self._spans.get(operation)
        if span is not None:
            span.add_event(name, _known(about))


def _of(operation: Operation, command: str, about: Mapping[str, str | None]) -> dict[str, str]:
    return _known({COMMAND: command, CARRIER: operation.carrier, **about})


def _known(about: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in about.items() if value is not None}


def _end(span: Span | None, about: Mapping[str, str | None]) -> None:
    if span is not None:
        span.set_attributes(_known(about))
        if about.get(ERROR) is not None:
            span.set_status(Status(StatusCode.ERROR))
        span.end()
