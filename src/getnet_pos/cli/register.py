"""The register behind a terminal command: its options, its connector, and its exit code."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from ..connector import AsyncConnector
from ..errors import AlreadyCharged, OutcomeUnknown
from ..journal import DEFAULT_JOURNAL, Journal, open_journal
from ..messages import Intent, Polled, PollReply, Reply, Wire
from ..messages.documents import command_name, reply_document
from ..observer import Observer
from ..profiles import PROFILES, Profile, Timeouts
from .ends import ExitCode, NotReady
from .links import Link, choice, choose, read_config
from .outcomes import asked_for
from .screen import Screen, console
from .shown import show_reply

__all__ = [
    "JournalOption",
    "JsonOption",
    "ProfileOption",
    "Register",
    "WireName",
    "is_ready",
    "profile_named",
    "terminal_command",
    "with_options",
]


class WireName(str, Enum):
    SIGNED = "signed"
    SIMPLIFIED = "simplified"


def profile_named(name: str) -> Profile:
    """A profile by its name, for an option."""
    if name not in PROFILES:
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(PROFILES)}")
    return PROFILES[name]


JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
JournalOption = Annotated[
    str | None,
    typer.Option(
        "--journal",
        metavar="JOURNAL",
        help="The journal: a file, or postgresql://...; by default GETNET_POS_JOURNAL, or a file in the user's state "
        "directory.",
    ),
]
ProfileOption = Annotated[
    Profile | None,
    typer.Option(
        "--profile",
        envvar="GETNET_POS_PROFILE",
        parser=profile_named,
        metavar=f"[{'|'.join(PROFILES)}]",
        help="The country or firmware; integrated-pos by default.",
    ),
]
_WHICH = "Which terminal"


def _which(*names: str, metavar: str, text: str) -> Any:
    return typer.Option(*names, metavar=metavar, help=text, rich_help_panel=_WHICH)


_PortOption = Annotated[
    str | None,
    _which("--port", "--usb", metavar="DEVICE", text="The serial port. Without any link option, every port is polled."),
]
_TcpOption = Annotated[
    str | None, _which("--tcp", metavar="HOST:PORT", text="A terminal on the local network, over TCP.")
]
_HttpOption = Annotated[str | None, _which("--http", metavar="URL", text="A terminal on the local network, over HTTP.")]
_PathOption = Annotated[str | None, _which("--path", metavar="PATH", text="With --http: the path for commands.")]
_CaOption = Annotated[
    str | None,
    _which("--ca", metavar="FILE", text="With --http or --cloud: a file of trusted certificate authorities (PEM)."),
]
_PinOption = Annotated[
    str | None, _which("--pin", metavar="SHA256", text="With --http: the SHA-256 of the terminal's certificate.")
]
_CloudOption = Annotated[
    str | None,
    _which(
        "--cloud",
        metavar="BASE_URL",
        text="A terminal behind the cloud, with GETNET_POS_CLIENT_ID and GETNET_POS_CLIENT_SECRET.",
    ),
]
_KeyPosOption = Annotated[
    str | None, _which("--key-pos", metavar="TERMINAL/BRANCH/SERIAL", text="With --cloud: the KeyPos of the terminal.")
]
_EnvironmentOption = Annotated[
    str | None, _which("--environment", metavar="NAME", text="With --cloud: uat (the default) or prod.")
]
_ProxyOption = Annotated[
    str | None, _which("--proxy", metavar="URL", text="With --cloud: the HTTP proxy, such as http://proxy.shop:3128.")
]
_ConfigOption = Annotated[
    Path | None,
    _which(
        "--config",
        metavar="PATH",
        text="A TOML file with these settings; by default the file that GETNET_POS_CONFIG names.",
    ),
]
_WireOption = Annotated[
    WireName | None,
    typer.Option("--wire", envvar="GETNET_POS_WIRE", help="The wire format of the terminal's app; signed by default."),
]
_TimeoutOption = Annotated[
    float | None,
    typer.Option("--timeout", metavar="SECONDS", help="How long to wait for the reply to a command."),
]
_RecoveryOption = Annotated[
    float | None,
    typer.Option(
        "--recovery", metavar="SECONDS", help="How long to query a payment whose outcome is unknown; 90 unless given."
    ),
]


def is_ready(reply: PollReply) -> bool:
    return reply.approved and reply.connected is not False


_BUSY = 2.0
"""How many seconds to wait for another process at the terminal, before the person learns why nothing happens."""


@dataclass(frozen=True, kw_only=True)
class Register:
    """The options that all terminal commands share, and their use."""

    port: _PortOption = None
    tcp: _TcpOption = None
    http: _HttpOption = None
    path: _PathOption = None
    ca: _CaOption = None
    pin: _PinOption = None
    cloud: _CloudOption = None
    key_pos: _KeyPosOption = None
    environment: _EnvironmentOption = None
    proxy: _ProxyOption = None
    config: _ConfigOption = None
    wire: _WireOption = None
    profile: ProfileOption = None
    timeout: _TimeoutOption = None
    recovery: _RecoveryOption = None
    journal: JournalOption = None
    as_json: JsonOption = False
    screen: Screen = field(init=False)
    link: Link = field(init=False)

    def __post_init__(self) -> None:
        config, link = self._meant()
        found: dict[str, Any] = {"screen": Screen(self.as_json), "link": link}
        for name, default in (("wire", "signed"), ("profile", "integrated-pos"), ("timeout", None), ("recovery", None)):
            if getattr(self, name) is None:
                found[name] = config.get(name, default)
        if "wire" in found:
            found["wire"] = choice({one.value: one for one in WireName}, found["wire"], "wire")
        if "profile" in found:
            found["profile"] = choice(PROFILES, found["profile"], "profile")
        for name, value in found.items():
            object.__setattr__(self, name, value)

    def _meant(self) -> tuple[dict[str, Any], Link]:
        """The settings in the file, and the chosen link."""
        config = read_config(self.config)
        return config, choose(vars(self), config)

    @property
    def settings(self) -> Profile:
        return self.profile or Profile.INTEGRATED_POS

    @contextlib.asynccontextmanager
    async def made(self, observer: Observer | None = None, **timeouts: float) -> AsyncIterator[AsyncConnector]:
        """The connector, not open yet, with ``timeouts`` in place of the defaults."""
        async with self.link.http_client() as http_client:
            yield self.link.connector(
                wire=Wire((self.wire or WireName.SIGNED).value),
                profile=self.settings,
                journal=self.open_journal(),
                timeouts=replace(self._timeouts(), **timeouts),
                http_client=http_client,
                observer=observer,
            )

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[AsyncConnector]:
        """The open connector; closed after the body."""
        async with self.made() as connector, connector:
            yield connector

    @contextlib.asynccontextmanager
    async def ready(self) -> AsyncIterator[AsyncConnector]:
        """The connector, open and polled. The outcomes that the poll found are shown.

        Raises:
            NotReady: the terminal replied that it is not ready.
        """
        async with self.opened() as connector:
            with self.screen.waiting("asking whether the terminal is ready ..."):
                polled = await self.polled(connector)
            self._show_outcomes(polled)
            yield connector

    async def polled(self, connector: AsyncConnector) -> Polled:
        """The poll of a terminal that is ready.

        Raises:
            NotReady: the terminal replied that it is not ready.
        """
        polled = await connector.polling()
        if not is_ready(polled):
            self._show_outcomes(polled)
            reason = polled.response_message or "no reason given"
            raise NotReady(f"the terminal is not ready ({polled.response_code}: {reason}): look at its screen")
        return polled

    def _show_outcomes(self, polled: Polled) -> None:
        """Show the outcomes of earlier commands, whose callers may not know them."""
        for intent in polled.settled:
            self.screen.note(
                f"settled now: {asked_for(intent, self.settings)}: {intent.state} (intent {intent.intent_id})"
            )
        for intent in polled.unknown:
            self.screen.note(
                f"not settled: {asked_for(intent, self.settings)}: {intent.state} (intent {intent.intent_id})"
            )

    def end(self, reply: Reply) -> int:
        """Show a reply, and return its exit code."""
        if reply.recovered:
            self.screen.note("this is the stored result of an earlier call: nothing was sent now")
        self.screen.result(reply_document(reply), lambda console: show_reply(console, reply, self.settings))
        return ExitCode.DONE if reply.approved else ExitCode.REFUSED

    def run(self, command: Callable[[], Awaitable[int]]) -> int:
        """Run a command to its end, even if it is interrupted."""
        before: set[str] = set()

        async def all_of_it() -> int:
            before.update(intent.intent_id for intent in await asyncio.to_thread(self._open_intents))
            return await command()

        with self.screen.warnings_shown():
            try:
                return asyncio.run(all_of_it())
            except AlreadyCharged as error:
                self._show_earlier(error.reply)
                raise
            except (KeyboardInterrupt, asyncio.CancelledError):
                left = [intent for intent in self._open_intents() if intent.intent_id not in before]
        if left:
            raise _left_open(left[-1])
        self.screen.note("interrupted; no payment command was left open")
        return ExitCode.INTERRUPTED

    def _show_earlier(self, reply: Reply | None) -> None:
        """Only for a person: a machine gets it with the error."""
        if reply is not None and not self.as_json:
            printed = console()
            printed.print("nothing was sent now; this is the result of the earlier payment:", style="bold")
            show_reply(printed, reply, self.settings)

    def open_journal(self) -> Journal:
        """The open journal."""
        return open_journal(self.journal or DEFAULT_JOURNAL)

    def journal_intents(self) -> list[Intent]:
        """The payment commands of all terminals that are not settled."""
        return self.open_journal().intents()

    def _open_intents(self) -> list[Intent]:
        return [intent for intent in self.open_journal().intents() if intent.open]

    def _timeouts(self) -> Timeouts:
        names = ("short", "report", "sale", "sale_total")
        given = {name: self.timeout for name in names if self.timeout is not None}
        if self.recovery is not None:
            given["recovery"] = self.recovery
            given["recovery_interval"] = min(self.recovery, self.settings.timeouts.recovery_interval)
        return replace(self.settings.timeouts, busy=_BUSY, **given)


def _left_open(intent: Intent) -> OutcomeUnknown:
    return OutcomeUnknown(
        f"the {command_name(intent.command)} was left before its result arrived: do not repeat it; the next command at "
        "this terminal queries its outcome, or run: getnet-pos recover",
        intent_id=intent.intent_id,
    )


def terminal_command(body: Callable[..., Awaitable[int]]) -> Callable[..., int]:
    """A command from ``body``, whose first parameter is the ``Register``: its own options, then the shared ones."""

    def run(register: Register, **given: Any) -> int:
        return register.run(lambda: body(register, **given))

    return with_options(Register, body, run)


def with_options(
    shared: type, body: Callable[..., Any], run: Callable[..., int], *, shared_first: bool = False
) -> Callable[..., int]:
    """A command with all parameters of ``body`` but the first, and an option for each field of the dataclass
    ``shared``, which is made from them and passed to ``run``.
    """
    hints = get_type_hints(body, include_extras=True)
    shared_hints = get_type_hints(shared, include_extras=True)
    options = [item for item in fields(shared) if item.init]

    def command(**given: Any) -> int:
        return run(shared(**{item.name: given.pop(item.name) for item in options}), **given)

    kind = inspect.Parameter.KEYWORD_ONLY
    own = list(inspect.signature(body).parameters.values())[1:]
    ours = [item.replace(kind=kind, annotation=hints[item.name]) for item in own]
    theirs = [
        inspect.Parameter(item.name, kind, default=item.default, annotation=shared_hints[item.name]) for item in options
    ]
    parameters = theirs + ours if shared_first else ours + theirs
    command.__name__, command.__doc__, command.__module__ = body.__name__, body.__doc__, body.__module__
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # read by inspect.signature
    command.__annotations__ = {item.name: item.annotation for item in parameters}
    return command
