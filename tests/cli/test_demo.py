"""``demo`` under both codecs, as the continuous integration runs it."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pytest

from getnet_pos.codec import BACKEND

pytestmark = pytest.mark.skipif(os.name != "posix", reason="this system has no pseudo-terminals")

Run = Callable[..., Any]


@pytest.fixture(params=["native", "pure"])
def chosen(request: pytest.FixtureRequest) -> dict[str, str]:
    if request.param == "native" and find_spec("getnet_pos.codec._native") is None:
        pytest.skip("the native codec was not built")
    return {"GETNET_POS_BACKEND": request.param}


def test_every_step_gives_what_it_should(getnet: Run, chosen: dict[str, str]) -> None:
    ended = getnet("demo", env=chosen)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith(f"codec: {chosen['GETNET_POS_BACKEND']}\n")
    for name in (
        "create connector", "polling", "sale of 25000", "last voucher", "void of that sale", "second sale",
        "refund of", "report: totals", "report: details", "pre-authorization", "close batch", "close",
        "AsyncConnector", "EquipmentClient", "AsyncEquipmentClient",
    ):  # fmt: skip
        assert name in ended.out
    assert ended.out.count("ProvisionalCommandWarning") == 1
    assert "steps succeeded" in ended.out
    assert all(len(line) <= 80 for line in ended.out.splitlines())


def test_demo_as_one_document(called: Run, journal_path: Any) -> None:
    document = called("demo", "--json").document
    assert (document["backend"], document["good"]) == (BACKEND, True)
    assert all(step["good"] for section in document["sections"] for step in section["steps"])
    assert not journal_path.exists(), "the journal of the user is left alone"
