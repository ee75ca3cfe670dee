"""The fields of log records: which operation and which payment command a message is about."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import pytest

from getnet_pos import OutcomeUnknown, logs, tracing
from getnet_pos.simulator import Behaviour

from .conftest import Shop

USUAL = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
SOURCE = Path(logs.__file__).parent


def fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in USUAL}


async def test_a_message_about_a_payment_names_it(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    shop.serve(Behaviour(change={"FunctionCode": 0}, record_after=60))
    async with shop.connect(None) as pos:
        await pos.polling()
        with pytest.raises(OutcomeUnknown) as unknown:
            await pos.sale(7_654_321, ticket="K20947")
        terminal = pos.terminal
    asking = next(record for record in caplog.records if hasattr(record, "getnet_intent"))
    assert fields(asking) == {
        "getnet_command": "sale",
        "getnet_terminal": terminal,
        "getnet_carrier": shop.carrier,
        "getnet_intent": unknown.value.intent_id,
        "getnet_state": "ACCEPTED" if shop.carrier == "usb" else "INTENT",
    }
    for record in caplog.records:
        assert set(fields(record)) <= set(logs.FIELDS)
        assert not {"7654321", "K20947"} & set(map(str, fields(record).values()))


async def test_the_trace_of_the_wire_says_whose_it_is(line: Shop, caplog: pytest.LogCaptureFixture) -> None:
    line.serve()
    caplog.set_level(logging.DEBUG, "getnet_pos.wire")
    tracing.start()
    try:
        async with line.connect(None) as pos:
            await pos.polling()
            await pos.sale(1_000, ticket="A1")
    finally:
        tracing.stop()
    assert {getattr(record, "getnet_command", None) for record in caplog.records} == {"poll", "sale"}
    assert {getattr(record, "getnet_terminal", None) for record in caplog.records} == {pos.terminal}


async def test_after_an_operation_nothing_is_said_to_be_of_it(line: Shop) -> None:
    line.serve()
    async with line.connect(None) as pos:
        await pos.polling()
        assert logs.running.get() is None
    assert logs.running.get() is None


def test_every_field_is_named_in_one_place_and_told_in_the_guide() -> None:
    named = {
        name
        for path in SOURCE.rglob("*.py")
        for name in re.findall(r'"(getnet_[a-z]+)"', path.read_text(encoding="utf-8"))
        if path != SOURCE / "pytest_plugin.py" and name != "getnet_pos"
    }
    assert named == set(logs.FIELDS)
    guide = (SOURCE.parents[1] / "docs/guides/observability.md").read_text(encoding="utf-8")
    for name, meaning in logs.FIELDS.items():
        assert f"| `{name}` | {meaning} |" in guide
