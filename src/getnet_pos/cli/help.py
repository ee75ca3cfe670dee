"""How the help reads: ``TEXT`` and ``N`` for what an option takes, the words of a choice, nothing for a flag; and
paragraphs as wide as the screen.
"""

from __future__ import annotations

import inspect
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup
from typer.models import ArgumentInfo, OptionInfo

__all__ = ["name_options"]

_METAVARS = {str: "TEXT", int: "N", float: "N", Path: "PATH"}


class _Command(TyperCommand):
    def get_params(self, ctx: Any) -> Any:
        return _named(super().get_params(ctx))


class _Group(TyperGroup):
    def get_params(self, ctx: Any) -> Any:
        return _named(super().get_params(ctx))


def _named(params: Any) -> Any:
    """The parameters, without a metavar for flags, and with only its name for an argument."""
    for param in params:
        if param.param_type_name == "argument":
            param.display_type_rich = lambda ctx: ""
        elif param.metavar is None and param.is_flag:
            param.metavar = ""
    return params


def name_options(*groups: typer.Typer) -> None:
    """Set the metavar of each option that has none."""
    for group in groups:
        group.info.cls = _Group
        for command in group.registered_commands:
            command.cls = _Command
            command.help = _paragraphs(inspect.getdoc(command.callback) or "")
            # Stored, because annotations that are text would be evaluated anew at each access.
            hints = get_type_hints(command.callback, include_extras=True)
            command.callback.__annotations__ = hints
            for hint in hints.values():
                for annotated in (hint, *get_args(hint)):  # Python 3.10 wraps the annotation if the default is None
                    if hasattr(annotated, "__metadata__"):
                        _name(annotated)


def _paragraphs(text: str) -> str:
    """A docstring with each paragraph on one line: its lines are as wide as the source, not as the screen."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def _name(annotated: Any) -> None:
    kind, *details = get_args(annotated)
    for detail in details:
        if isinstance(detail, (ArgumentInfo, OptionInfo)) and detail.metavar is None:
            detail.metavar = _metavar(kind)


def _metavar(kind: Any) -> str | None:
    if get_origin(kind) in (Union, UnionType, list):
        [kind] = (one for one in get_args(kind) if one is not NoneType)
        return _metavar(kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return f"[{'|'.join(str(one.value) for one in kind)}]"
    return _METAVARS.get(kind)
