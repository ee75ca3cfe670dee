"""The local agent with OpenTelemetry, in a process of its own."""

from __future__ import annotations

import os
from pathlib import Path

from getnet_pos.simulator import SerialServer, VirtualTerminal
from tests.agent.agents import AgentProcess

SET_UP = """
import atexit, os
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

spans, tracers = InMemorySpanExporter(), TracerProvider()
tracers.add_span_processor(SimpleSpanProcessor(spans))
trace.set_tracer_provider(tracers)

@atexit.register
def write() -> None:
    with open(os.environ["SPANS"], "w") as file:
        print(*(f"{span.name}: {span.attributes['getnet_pos.outcome']}" for span in spans.get_finished_spans()),
              sep="\\n", file=file)
"""
"""What ``opentelemetry-instrument`` does before a program, and a file in the place of a collector."""


def test_what_the_agent_sells_is_traced(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(SET_UP, encoding="utf-8")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    with (
        SerialServer(VirtualTerminal(), gap=0) as server,
        AgentProcess(
            tmp_path, "--otel", "--usb", server.device, PYTHONPATH=path, SPANS=str(tmp_path / "spans")
        ) as agent,
    ):
        agent.wait_for("up")
        with agent.client() as client:
            sale = client.post("/v1/terminals/terminal/sales", json={"amount": 25_000, "ticket": "A1"})
        assert agent.stop() == 0
    assert sale.json()["outcome"] == "approved"
    spans = (tmp_path / "spans").read_text(encoding="utf-8").splitlines()
    assert spans[0] in ("getnet open: done", "getnet poll: done")
    assert "getnet sale: approved" in spans
