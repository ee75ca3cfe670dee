"""The one loop of every driver: resume a flow with what became of its effects, until it ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar

from ..errors import GetnetError

__all__ = ["run", "run_async"]

T = TypeVar("T")


def run(flow: Generator[Any, Any, T], perform: Callable[[Any], object]) -> T:
    """Run ``flow`` to its end; what it raises is raised here, and what interrupts it ends it."""
    error: GetnetError | None = None
    result: object = None
    try:
        while True:
            effect = flow.send(result) if error is None else flow.throw(error)
            result = error = None
            try:
                result = perform(effect)
            except GetnetError as raised:
                error = raised
    except StopIteration as stop:
        value: T = stop.value
        return value
    finally:
        flow.close()


async def run_async(flow: Generator[Any, Any, T], perform: Callable[[Any], Awaitable[object]]) -> T:
    """As ``run``; a cancellation of the task ends the flow."""
    error: GetnetError | None = None
    result: object = None
    try:
        while True:
            effect = flow.send(result) if error is None else flow.throw(error)
            result = error = None
            try:
                result = await perform(effect)
            except GetnetError as raised:
                error = raised
    except StopIteration as stop:
        value: T = stop.value
        return value
    finally:
        flow.close()
