"""Spans and metrics, read back from the real SDK of OpenTelemetry."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from getnet_pos import ConnectError, OutcomeUnknown
from getnet_pos.otel import ATTRIBUTES, OtelObserver
from getnet_pos.simulator import Behaviour

from .conftest import Shop

AMOUNT, TICKET = 7_654_321, "K20947"


class Backend:
    """What an operator's backend is given."""

    def __init__(self) -> None:
        self._spans, self._metrics = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        meters = MeterProvider([self._metrics])
        self.observer = OtelObserver(tracer_provider=self.tracers, meter_provider=meters)

    def spans(self, name: str) -> list[ReadableSpan]:
        return [span for span in self._spans.get_finished_spans() if span.name == name]

    def all_spans(self) -> tuple[ReadableSpan, ...]:
        return self._spans.get_finished_spans()

    def points(self) -> dict[str, list[Any]]:
        """The data points of each metric."""
        data = self._metrics.get_metrics_data()
        assert data is not None
        return {
            metric.name: list(metric.data.data_points)
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


@pytest.fixture
def backend() -> Backend:
    return Backend()


async def test_a_sale_is_a_span_inside_that_of_its_caller(shop: Shop, backend: Backend) -> None:
    shop.serve()
    async with shop.connect(backend.observer) as pos:
        await pos.polling()
        with backend.tracers.get_tracer("shop").start_as_current_span("POST /orders") as order:
            await pos.sale(AMOUNT, ticket=TICKET)
        [intent] = await pos.intents(settled=True)
    [sale] = backend.spans("getnet sale")
    assert sale.parent is not None
    assert sale.parent.span_id == order.get_span_context().span_id
    assert sale.kind is SpanKind.CLIENT
    assert sale.status.status_code is StatusCode.UNSET
    assert dict(sale.attributes or {}) == {
        "getnet_pos.command": "sale",
        "getnet_pos.carrier": shop.carrier,
        "getnet_pos.terminal": intent.terminal,
        "getnet_pos.intent.id": intent.intent_id,
        "getnet_pos.outcome": "approved",
    }
    states = [(event.attributes or {})["getnet_pos.intent.state"] for event in sale.events]
    assert (states[0], states[-1]) == ("INTENT", "APPROVED")


async def test_metrics_of_sales(shop: Shop, backend: Backend) -> None:
    shop.serve()
    async with shop.connect(backend.observer) as pos:
        await pos.polling()
        for number in range(2):
            await pos.sale(AMOUNT, ticket=f"{TICKET}{number}")
    points = backend.points()
    about = {"getnet_pos.command": "sale", "getnet_pos.carrier": shop.carrier, "getnet_pos.outcome": "approved"}
    [sales] = [point for point in points["getnet_pos.operation.duration"] if dict(point.attributes) == about]
    assert isinstance(sales, HistogramDataPoint)
    assert (sales.count, sales.explicit_bounds[-1]) == (2, 300)
    [writes] = points["getnet_pos.journal.write.duration"]
    assert writes.count >= 4, "the intent and the result, and over the cloud its number"
    assert 0 < writes.sum < sales.sum
    steps = {point.attributes["getnet_pos.intent.state"]: point.value for point in points["getnet_pos.intent.steps"]}
    assert steps["INTENT"] == steps["APPROVED"] == 2


async def test_a_recovery_is_a_span_of_its_own(shop: Shop, backend: Backend) -> None:
    shop.serve(Behaviour(change={"FunctionCode": 0}, record_after=60))
    async with shop.connect(backend.observer) as pos:
        await pos.polling()
        with pytest.raises(OutcomeUnknown):
            await pos.sale(AMOUNT, ticket=TICKET)
    [sale], [recovery] = backend.spans("getnet sale"), backend.spans("getnet recovery")
    assert recovery.parent is not None
    assert sale.context is not None
    assert recovery.parent.span_id == sale.context.span_id
    assert (sale.start_time or 0) < (recovery.start_time or 0) < (recovery.end_time or 0) < (sale.end_time or 0)
    assert (recovery.attributes or {})["getnet_pos.intent.state"] == "UNKNOWN"
    assert sale.status.status_code is StatusCode.ERROR
    assert sale.status.description is None, "an error's text may quote a terminal"
    assert (sale.attributes or {})["error.type"] == "OutcomeUnknown"
    [seconds] = backend.points()["getnet_pos.recovery.duration"]
    assert dict(seconds.attributes) == {
        "getnet_pos.command": "sale",
        "getnet_pos.carrier": shop.carrier,
        "getnet_pos.intent.state": "UNKNOWN",
    }


async def test_a_link_that_is_lost(line: Shop, backend: Backend) -> None:
    line.serve()
    async with line.connect(backend.observer) as pos:
        await pos.polling()
        line.server.unplug()
        with pytest.raises(ConnectError):
            await pos.last_voucher()
    changes = {
        (point.attributes["getnet_pos.link.state"], point.attributes.get("error.type")): point.value
        for point in backend.points()["getnet_pos.link.changes"]
    }
    assert changes == {("up", None): 1, ("down", "Disconnected"): 1, ("down", "ConnectError"): 1}
    [asked] = backend.spans("getnet last voucher")
    assert [event.name for event in asked.events] == ["getnet_pos.link.change"] * 2


async def test_nothing_is_exported_that_is_not_on_the_list(shop: Shop, backend: Backend) -> None:
    """Neither amount nor ticket nor card, of a sale that is approved and of one that stays unknown."""
    terminal = shop.serve()
    async with shop.connect(backend.observer) as pos:
        await pos.polling()
        sale = await pos.sale(AMOUNT, ticket=TICKET, idempotency_key="order-20947")
        terminal.answers = {100: Behaviour(change={"FunctionCode": 0}, record_after=60)}
        with pytest.raises(OutcomeUnknown) as unknown:
            await pos.sale(AMOUNT, ticket=f"{TICKET}B")
        await pos.resolve(unknown.value.intent_id, paid=False, by="Ana Rojas", note="no voucher")
    points = [point for several in backend.points().values() for point in several]
    spans = backend.all_spans()
    kept = [span.attributes for span in spans] + [event.attributes for span in spans for event in span.events]
    assert {name for attributes in kept for name in attributes or {}} <= ATTRIBUTES
    counted = {name for point in points for name in point.attributes}
    assert counted <= ATTRIBUTES - {"getnet_pos.terminal", "getnet_pos.intent.id"}
    exported = " ".join([span.to_json() for span in spans] + [repr(dict(point.attributes)) for point in points])
    card = [sale.last4_digits, sale.authorization_code]
    for secret in (str(AMOUNT), TICKET, "order-20947", "Ana Rojas", "no voucher", "a-secret", *card):
        assert secret, "the terminal has told it"
        assert secret not in exported.replace(unknown.value.intent_id, "")


async def test_without_an_sdk_it_costs_a_few_calls_and_no_sale(line: Shop) -> None:
    line.serve()
    async with line.connect(OtelObserver()) as pos:
        await pos.polling()
        assert (await pos.sale(1_000, ticket="A1")).approved


def test_without_the_api_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "opentelemetry"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    monkeypatch.delitem(sys.modules, "getnet_pos.otel")
    with pytest.raises(ModuleNotFoundError, match=r'pip install "getnet-pos\[otel\]"'):
        import getnet_pos.otel  # noqa: F401  # only whether it can be
