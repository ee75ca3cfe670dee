"""The tree of errors: as its docstring draws it, and through a pickle whole."""

from __future__ import annotations

import copy
import inspect
import pickle
import re

import pytest

from getnet_pos import errors
from getnet_pos.errors import (
    ApiError,
    DeadlineExceeded,
    GetnetError,
    InvalidType,
    InvalidValue,
    MalformedResponse,
    OutcomeUnknown,
    PartialWrite,
    RateLimited,
    RedirectRefused,
    WriteTimeout,
)

TREE = {name: kind for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, GetnetError)}


def drawn() -> dict[str, str | None]:
    """Each error of the docstring's drawing, with the one above it."""
    found: dict[str, str | None] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"^    ((?:│   |    )*(?:├── |└── )?)([A-Z]\w+)", line)
        if match:
            depth = len(match[1]) // 4
            path[depth:] = [match[2]]
            found[match[2]] = path[depth - 1] if depth else None
    return found


def test_the_tree_is_as_drawn() -> None:
    real = {
        name: next((base.__name__ for base in kind.__bases__ if issubclass(base, GetnetError)), None)
        for name, kind in TREE.items()
    }
    assert drawn() == real


def test_every_error_is_public_and_explains_itself() -> None:
    assert set(errors.__all__) == {*TREE, "ProvisionalCommandWarning"}
    for kind in TREE.values():
        assert kind.__doc__


def test_what_else_the_errors_are() -> None:
    assert issubclass(InvalidValue, ValueError)
    assert issubclass(InvalidType, TypeError)
    assert issubclass(DeadlineExceeded, TimeoutError)
    assert [kind for kind in TREE.values() if issubclass(kind, TimeoutError)] == [DeadlineExceeded, WriteTimeout]


def made(kind: type[GetnetError]) -> GetnetError:
    """An error of this kind, with something for each argument that it insists on."""
    parameters = inspect.signature(kind.__init__).parameters.values()
    needed = [item for item in parameters if item.kind is item.KEYWORD_ONLY and item.default is item.empty]
    return kind("something is wrong", **{item.name: 7 if item.annotation == "int" else "abc" for item in needed})


SAMPLES: list[GetnetError] = [
    *map(made, TREE.values()),
    PartialWrite("only 3 bytes", bytes_written=3),
    DeadlineExceeded("too late", bytes_written=7),
    ApiError("refused", status=403, code="403", message="403 - Forbidden", log_id="x-1"),
    RateLimited("too many", status=429, retry_after=2.5),
    RedirectRefused("elsewhere", status=302, location="https://example.invalid/"),
    MalformedResponse("not JSON", status=200, item=4, field="commercial_mode"),
]


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_goes_through_a_pickle_and_a_copy(error: GetnetError) -> None:
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(error, protocol))
        assert type(again) is type(error)
        assert str(again) == str(error) == error.args[0]
        assert vars(again) == vars(error)
    assert vars(copy.copy(error)) == vars(error)


def test_attributes() -> None:
    assert PartialWrite("x", bytes_written=3).bytes_written == 3
    assert OutcomeUnknown("x", intent_id="abc").intent_id == "abc"
    refused = RateLimited("x", status=429, code="429", message="slow", log_id="1", retry_after=2.0)
    assert (refused.status, refused.code, refused.message, refused.log_id, refused.retry_after) == (
        429, "429", "slow", "1", 2.0,
    )  # fmt: skip
