"""The command that shows what is installed."""

from __future__ import annotations

import platform

from .._version import __version__
from ..codec import BACKEND
from ..journal import DEFAULT_JOURNAL
from ..journal.opening import place_of
from .ends import ExitCode
from .register import JsonOption
from .screen import Screen
from .shown import show_fields

__all__ = ["version"]


def version(as_json: JsonOption = False) -> int:
    """Show the version, the codec in use, Python, the platform and the journal."""
    document = {
        "version": __version__,
        "backend": BACKEND,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": platform.platform(),
        "journal": place_of(DEFAULT_JOURNAL),
    }
    Screen(as_json).result(document, lambda console: show_fields(console, document))
    return ExitCode.DONE
