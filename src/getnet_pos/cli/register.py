"""The register a terminal command stands for: its options, its connector, and how what it does ends."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from ..connector import AsyncConnector
from ..errors import OutcomeUnknown
from ..journal import SqliteJournal, default_path, open_journal
from ..messages import Intent, Reply, Wire
from ..profiles import Profile, Timeouts
from .ends import ExitCode, NotReady
from .screen import Screen
from .shown import command_name, reply_document, show_reply

__all__ = ["JournalOption", "JsonOption", "ProfileOption", "Register", "WireName", "profile_of", "terminal_command"]


class WireName(str, Enum):
    SIGNED = "signed"
    SIMPLIFIED = "simplified"


class ProfileName(str, Enum):
    INTEGRATED_POS = "integrated-pos"
    CHILE = "cl"
    ARGENTINA = "ar"


_PROFILES = {profile.name: profile for profile in (Profile.INTEGRATED_POS, Profile.CHILE, Profile.ARGENTINA)}

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
JournalOption = Annotated[
    Path | None,
    typer.Option(
        "--journal",
        metavar="PATH",
        help="The journal file; else GETNET_POS_JOURNAL, or the one in the user's state directory.",
    ),
]
ProfileOption = Annotated[
    ProfileName, typer.Option("--profile", envvar="GETNET_POS_PROFILE", help="The country or firmware.")
]
_PortOption = Annotated[
    str | None,
    typer.Option(
        "--port",
        "--usb",
        metavar="DEVICE",
        envvar="GETNET_POS_PORT",
        help="The serial port; without one every port is asked.",
    ),
]
_WireOption = Annotated[
    WireName, typer.Option("--wire", envvar="GETNET_POS_WIRE", help="The wire of the terminal's app.")
]
_TimeoutOption = Annotated[
    float | None,
    typer.Option("--timeout", metavar="SECONDS", help="How long to wait for the reply."),
]
_RecoveryOption = Annotated[
    float | None,
    typer.Option(
        "--recovery", metavar="SECONDS", help="How long to ask about a money command in doubt; 90 unless given."
    ),
]


def profile_of(name: ProfileName) -> Profile:
    return _PROFILES[name.value]


@dataclass(frozen=True, kw_only=True)
class Register:
    """The options that all terminal commands share, and what is done with them."""

    port: _PortOption = None
    wire: _WireOption = WireName.SIGNED
    profile: ProfileOption = ProfileName.INTEGRATED_POS
    timeout: _TimeoutOption = None
    recovery: _RecoveryOption = None
    journal: JournalOption = None
    as_json: JsonOption = False
    screen: Screen = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "screen", Screen(self.as_json))

    @property
    def settings(self) -> Profile:
        return profile_of(self.profile)

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[AsyncConnector]:
        """The connector, opened; closed behind the body."""
        connector = AsyncConnector.create_usb(
            self.port,
            wire=Wire(self.wire.value),
            profile=self.settings,
            journal=self._book(),
            timeouts=self._timeouts(),
        )
        async with connector:
            yield connector

    @contextlib.asynccontextmanager
    async def ready(self) -> AsyncIterator[AsyncConnector]:
        """The connector, opened and polled.

        Raises:
            NotReady: the terminal answers, and says that it is not ready.
        """
        async with self.opened() as connector:
            with self.screen.waiting("asking whether the terminal is ready ..."):
                reply = await connector.polling()
            if not reply.approved or reply.connected is False:
                said = reply.response_message or "no reason given"
                raise NotReady(f"the terminal is not ready ({reply.response_code}: {said}): look at its screen")
            yield connector

    def end(self, reply: Reply) -> int:
        """Show a reply; the exit code that it means."""
        self.screen.result(
            reply_document(reply), lambda console: show_reply(console, reply, self.settings.amount_exponent)
        )
        return ExitCode.DONE if reply.approved else ExitCode.REFUSED

    def run(self, command: Callable[[], Awaitable[int]]) -> int:
        """Run a command to its end, also where it is interrupted."""
        before: set[str] = set()

        async def all_of_it() -> int:
            before.update(intent.intent_id for intent in await asyncio.to_thread(self._open_intents))
            return await command()

        with self.screen.warnings_shown():
            try:
                return asyncio.run(all_of_it())
            except (KeyboardInterrupt, asyncio.CancelledError):
                left = [intent for intent in self._open_intents() if intent.intent_id not in before]
        if left:
            raise _left_open(left[-1])
        self.screen.note("interrupted; no money command was left open")
        return ExitCode.INTERRUPTED

    def _book(self) -> SqliteJournal:
        journal = open_journal(self.journal or default_path())
        assert isinstance(journal, SqliteJournal)
        return journal

    def _open_intents(self) -> list[Intent]:
        return [intent for intent in self._book().intents() if intent.open]

    def _timeouts(self) -> Timeouts:
        given = {name: self.timeout for name in ("short", "report") if self.timeout is not None}
        if self.recovery is not None:
            given["recovery"] = self.recovery
        return replace(self.settings.timeouts, **given)


def _left_open(intent: Intent) -> OutcomeUnknown:
    return OutcomeUnknown(
        f"the {command_name(intent.command)} was left without its result: do not repeat it; the next command on this "
        "terminal asks it what became of it, or run: getnet-pos recover",
        intent_id=intent.intent_id,
    )


_SHARED = [name for name, item in Register.__dataclass_fields__.items() if item.init]


def terminal_command(body: Callable[..., Awaitable[int]]) -> Callable[..., int]:
    """A command of ``body``, whose first parameter is the ``Register``: its own parameters, then the shared ones."""
    hints = get_type_hints(body, include_extras=True)
    own = list(inspect.signature(body).parameters.values())[1:]
    shared_hints = get_type_hints(Register, include_extras=True)

    def command(**given: Any) -> int:
        register = Register(**{name: given.pop(name) for name in _SHARED})
        return register.run(lambda: body(register, **given))

    parameters = [item.replace(annotation=hints[item.name]) for item in own]
    for name in _SHARED:
        default = Register.__dataclass_fields__[name].default
        parameters.append(
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=shared_hints[name])
        )
    command.__name__, command.__doc__, command.__module__ = body.__name__, body.__doc__, body.__module__
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # read by inspect.signature
    command.__annotations__ = {item.name: item.annotation for item in parameters}
    return command
