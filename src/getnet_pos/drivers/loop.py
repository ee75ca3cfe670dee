"""The loop of every driver: performs a flow's effects and resumes it with their results until it ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from ..flows.effects import Effect, Flow, Take
from ..turns import Place

__all__ = ["run", "run_async"]

T = TypeVar("T")


def run(flow: Flow[T], perform: Callable[[Effect], object]) -> T:
    """Run ``flow`` to its end, and return its result or raise its error. An interruption ends it.

    Its slots in queues are freed, wherever it was interrupted.
    """
    error: BaseException | None = None
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
            except GeneratorExit:
                raise
            except BaseException as raised:
                # An interruption is raised in the flow, too, which may still have something to record.
                error = raised
    except StopIteration as stop:
        value: T = stop.value
        return value
    finally:
        _end(flow, taken)


async def run_async(flow: Flow[T], perform: Callable[[Effect], Awaitable[object]]) -> T:
    """Like ``run``. Cancelling the task ends the flow."""
    error: BaseException | None = None
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
            except GeneratorExit:
                raise
            except BaseException as raised:
                # An interruption is raised in the flow, too, which may still have something to record.
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
        # The flow has already left them, unless it was interrupted while leaving.
        for place in taken:
            place.leave()
