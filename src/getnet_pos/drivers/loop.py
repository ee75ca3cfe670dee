"""The one loop of every driver: resume a flow with what became of its effects, until it ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from ..errors import GetnetError
from ..flows.effects import Effect, Flow, Take
from ..turns import Place

__all__ = ["run", "run_async"]

T = TypeVar("T")


def run(flow: Flow[T], perform: Callable[[Effect], object]) -> T:
    """Run ``flow`` to its end; what it raises is raised here, and what interrupts it ends it.

    It keeps no place in a queue, wherever it was interrupted.
    """
    error: GetnetError | None = None
    result: object = None
    taken: list[Place] = []
    try:
        while True:
            effect = flow.send(result) if error is None else flow.throw(error)
            result = error = None
            if isinstance(effect, Take):
                taken.append(effect.place)
            try:
                result = perform(effect)
            except GetnetError as raised:
                error = raised
    except StopIteration as stop:
        value: T = stop.value
        return value
    finally:
        _end(flow, taken)


async def run_async(flow: Flow[T], perform: Callable[[Effect], Awaitable[object]]) -> T:
    """As ``run``; a cancellation of the task ends the flow."""
    error: GetnetError | None = None
    result: object = None
    taken: list[Place] = []
    try:
        while True:
            effect = flow.send(result) if error is None else flow.throw(error)
            result = error = None
            if isinstance(effect, Take):
                taken.append(effect.place)
            try:
                result = await perform(effect)
            except GetnetError as raised:
                error = raised
    except StopIteration as stop:
        value: T = stop.value
        return value
    finally:
        _end(flow, taken)


def _end(flow: Flow[T], taken: list[Place]) -> None:
    try:
        flow.close()
    finally:
        # The flow has left them, unless the interruption came in the middle of that.
        for place in taken:
            place.leave()
