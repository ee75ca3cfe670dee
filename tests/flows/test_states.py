"""The picture of the states in the guide is the code's own."""

from __future__ import annotations

from pathlib import Path

from getnet_pos.messages import FINAL_STATES, NEXT_STATES, OPEN_STATES, IntentState

_PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"


def drawn() -> str:
    """The state diagram as the allowed transitions have it."""
    inside = sorted(
        (str(before), str(after))
        for before in OPEN_STATES
        for after in NEXT_STATES[before] & OPEN_STATES
        if (before, after) != (IntentState.INTENT, IntentState.SENT)
    )
    order = [str(state) for state in IntentState]
    inside.sort(key=lambda pair: (order.index(pair[0]), order.index(pair[1])))
    leaving = frozenset.intersection(*(NEXT_STATES[state] for state in OPEN_STATES)) - OPEN_STATES
    lines = ["stateDiagram-v2", "    [*] --> INTENT"]
    for after in sorted(map(str, NEXT_STATES[IntentState.INTENT] - leaving - OPEN_STATES | {IntentState.SENT})):
        lines.append(f"    INTENT --> {after}")
    lines.append("    state open {")
    lines += [f"        {before} --> {after}" for before, after in inside]
    lines.append("    }")
    lines += [f"    open --> {after}" for after in sorted(map(str, leaving))]
    lines += [f"    UNKNOWN --> {after}" for after in sorted(map(str, NEXT_STATES[IntentState.UNKNOWN]))]
    return "\n".join(lines)


def test_the_picture_is_the_code() -> None:
    page = _PAGE.read_text("utf-8")
    picture = page.split("<!-- states -->\n```mermaid\n")[1].split("\n```\n<!-- end of states -->")[0]
    assert picture == drawn()


def test_nothing_is_left_out_of_the_picture() -> None:
    """Every state is open, unknown or final, and a final one has no way out."""
    assert OPEN_STATES | {IntentState.UNKNOWN} | FINAL_STATES == set(IntentState)
    assert set(NEXT_STATES) == OPEN_STATES | {IntentState.UNKNOWN}
    assert not NEXT_STATES[IntentState.UNKNOWN] & OPEN_STATES
    assert all(NEXT_STATES[state] <= NEXT_STATES[IntentState.INTENT] for state in OPEN_STATES)
