"""The picture of the states in the guide is the code's own."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from getnet_pos.messages import FINAL_STATES, NEXT_STATES, OPEN_STATES, IntentState

_PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"


def drawn() -> str:
    """The state diagram as the allowed transitions have it."""
    leaving = frozenset.intersection(*(NEXT_STATES[state] for state in OPEN_STATES)) - OPEN_STATES
    lines = ["stateDiagram-v2", "    [*] --> open", "    state open {", "        [*] --> INTENT"]
    for before in IntentState:
        if before in OPEN_STATES:
            lines += [f"        {before} --> {after}" for after in _in_order(NEXT_STATES[before] & OPEN_STATES)]
    lines.append("    }")
    for before in OPEN_STATES:
        lines += [f"    {before} --> {after}" for after in _in_order(NEXT_STATES[before] - OPEN_STATES - leaving)]
    lines += [f"    open --> {after}" for after in _in_order(leaving)]
    for before in IntentState:
        if before not in OPEN_STATES:
            lines += [f"    {before} --> {after}" for after in _in_order(NEXT_STATES.get(before, ()))]
    return "\n".join(lines)


def _in_order(states: Iterable[IntentState]) -> list[IntentState]:
    return sorted(states, key=list(IntentState).index)


def test_the_picture_is_the_code() -> None:
    page = _PAGE.read_text("utf-8")
    picture = page.split("<!-- states -->\n```mermaid\n")[1].split("\n```\n<!-- end of states -->")[0]
    assert picture == drawn()


def test_nothing_is_left_out_of_the_picture() -> None:
    """Every state is open, settled, or waits for a person; only a person's decision can be contradicted."""
    waiting = {IntentState.UNKNOWN, IntentState.CONTRADICTED}
    decisions = {IntentState.RESOLVED_PAID, IntentState.RESOLVED_NOT_PAID}
    assert OPEN_STATES | waiting | FINAL_STATES == set(IntentState)
    assert set(NEXT_STATES) == OPEN_STATES | waiting | decisions
    assert NEXT_STATES[IntentState.CONTRADICTED] == decisions
    assert all(NEXT_STATES[state] == {IntentState.CONTRADICTED} for state in decisions)
    assert not NEXT_STATES[IntentState.UNKNOWN] & OPEN_STATES
    assert all(NEXT_STATES[state] <= NEXT_STATES[IntentState.INTENT] for state in OPEN_STATES)
