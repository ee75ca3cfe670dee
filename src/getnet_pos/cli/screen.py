"""The output of a command: tables and a live line for a person, a JSON document for a machine. It decides nothing."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ..masking import masked
from ..messages import Progress, ProgressCode
from .ends import clean

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status

__all__ = ["Screen", "console", "print_document"]


def print_document(document: object) -> None:
    """Print one JSON document on standard output."""
    print(json.dumps(document), flush=True)


class Screen:
    """Shows the result of a command and what happens meanwhile, both without card numbers.

    The result goes to standard output, everything else to standard error; with ``as_json``, as one object per line.
    """

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self._status: Status | None = None

    def result(self, document: object, show: Callable[[Console], None]) -> None:
        """Print the result: ``document`` for a machine, or what ``show`` prints for a person."""
        self.listing(masked(document), show)

    def listing(self, document: object, show: Callable[[Console], None]) -> None:
        """Print a result with names and serial numbers unmasked: they may look like card numbers."""
        if self.as_json:
            print_document(document)
        else:
            show(console())

    def note(self, text: str) -> None:
        """Show a note."""
        self._show_beside({"note": text}, f"note: {clean(text)}")

    def progress(self, progress: Progress) -> None:
        """Show what the terminal is doing."""
        name = progress.code.name if isinstance(progress.code, ProgressCode) else None
        words = " ".join(
            filter(None, (name and name.lower().replace("_", " "), progress.text and f"({progress.text})"))
        )
        document = {
            "code": None if progress.code is None else int(progress.code), "name": name, "text": progress.text
        }  # fmt: skip
        if self._status is not None:
            self._status.update(_plain(f"{words} ..."))
        else:
            self._show_beside({"progress": document}, f"{clean(words)} ...")

    def _show_beside(self, document: dict[str, Any], line: str) -> None:
        if self._status is not None:
            self._status.console.print(_plain(line))
        else:
            print(json.dumps(masked(document)) if self.as_json else line, file=sys.stderr, flush=True)

    def update(self, text: str) -> None:
        """Change the text of the live line, if there is one."""
        if self._status is not None:
            self._status.update(_plain(text))

    @contextlib.contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        """Show a live line while the body waits, if standard error is a screen."""
        if self.as_json or not sys.stderr.isatty():
            yield
            return
        with console(error=True).status(_plain(text)) as self._status:
            try:
                yield
            finally:
                self._status = None

    @contextlib.contextmanager
    def warnings_shown(self) -> Iterator[None]:
        """Show the library's warnings."""
        handler = _Notes(self)
        logger = logging.getLogger("getnet_pos")
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)


class _Notes(logging.Handler):
    def __init__(self, screen: Screen) -> None:
        super().__init__(logging.WARNING)
        self._screen = screen

    def emit(self, record: logging.LogRecord) -> None:
        self._screen.note(record.getMessage())


def console(*, error: bool = False) -> Console:
    """A console that prints text unchanged, without colours if ``NO_COLOR`` is set or it is not a screen."""
    from rich.console import Console

    return Console(stderr=error, markup=False, emoji=False, highlight=False, soft_wrap=False)


def _plain(text: str) -> Any:
    from rich.text import Text

    return Text(clean(text))
