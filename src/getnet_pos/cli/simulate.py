"""The commands that serve a virtual terminal until interrupted."""

from __future__ import annotations

import contextlib
import errno
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ConfigurationError, ConnectError, InvalidValue
from ..profiles import PROFILES, Profile
from .ends import ExitCode
from .hands import obey
from .register import WireName, profile_named, with_options

if TYPE_CHECKING:
    from ..simulator import Behaviour, ScreenServer, VirtualTerminal
    from ..simulator.cloud import VirtualCloud
    from ..simulator.server import Server

__all__ = ["cloud", "equipment", "http", "missing_server", "screen", "serial", "tcp"]


class OutcomeName(str, Enum):
    """The outcomes of a payment, with the simulator's own names."""

    APPROVE = "approve"
    DECLINE = "decline"
    CANCEL = "cancel"
    TIME_OUT = "time-out"
    PRINTING_ERROR = "printing-error"
    SILENT = "silent"


class FirmwareName(str, Enum):
    """The firmware of a virtual terminal."""

    PLAIN = "plain"
    A920 = "a920"


_MONEY, _LINK, _SERVER = "What happens to a payment", "How it is written", "The server"
_WHICH = "Which terminal it is"


def _seconds(panel: str, text: str) -> Any:
    return typer.Option(help=text, rich_help_panel=panel, metavar="SECONDS", min=0)


def _number(panel: str, text: str, least: int | None = None) -> Any:
    return typer.Option(help=text, rich_help_panel=panel, metavar="N", min=least)


def _flag(name: str, panel: str, text: str) -> Any:
    return typer.Option(name, help=text, rich_help_panel=panel)


_HostOption = Annotated[str, typer.Option(help="The address to listen on.", rich_help_panel=_SERVER)]
_NumberOption = Annotated[
    int,
    typer.Option(
        "--port",
        metavar="N",
        min=0,
        max=65535,
        help="The port to listen on; 0 chooses a free one.",
        rich_help_panel=_SERVER,
    ),
]
_WireOption = Annotated[
    WireName,
    typer.Option(
        help="The wire format in the printed example; the terminal itself replies in the format of each command.",
        rich_help_panel=_SERVER,
    ),
]


@dataclass(frozen=True, kw_only=True)
class Manners:
    """The options of every virtual terminal: how it behaves."""

    outcome: Annotated[
        OutcomeName,
        typer.Option(
            help="The terminal's decision. silent: never decides; printing-error: charges, and replies only 1004.",
            rich_help_panel=_MONEY,
        ),
    ] = OutcomeName.APPROVE
    response_code: Annotated[int | None, _number(_MONEY, "The response code of a refusal or of a printing error.")] = (
        None
    )
    delay: Annotated[float, _seconds(_MONEY, "The time before the decision; inf waits for a cancellation.")] = 0
    progress_every: Annotated[float, _seconds(_MONEY, "The time before each progress message.")] = 0
    reply_after: Annotated[
        float, _seconds(_MONEY, "The time from the decision to the reply; inf: charges, and never replies.")
    ] = 0
    times: Annotated[int | None, _number(_MONEY, "For the first N payments only; the others are approved.", 1)] = None
    function_code_zero: Annotated[bool, _flag("--function-code-zero", _MONEY, "Reply with function code 0.")] = False
    wrong_signature: Annotated[bool, _flag("--wrong-signature", _MONEY, "Reply with a wrong signature or LRC.")] = False
    duplicate: Annotated[bool, _flag("--duplicate", _MONEY, "Send the reply twice.")] = False
    no_acknowledge: Annotated[bool, _flag("--no-acknowledge", _MONEY, "Do not acknowledge the command.")] = False
    not_accepted: Annotated[bool, _flag("--not-accepted", _MONEY, "Reply Received: false, and nothing else.")] = False
    fragment: Annotated[int, _number(_LINK, "The most bytes in one write; 0 writes whole frames.", 0)] = 0
    fragment_every: Annotated[float, _seconds(_LINK, "The time between two fragments.")] = 0
    noise: Annotated[int, _number(_LINK, "Up to N random bytes before each frame.", 0)] = 0
    camel_case: Annotated[bool, _flag("--camel-case", _LINK, "Write keys in camelCase.")] = False
    coalesce: Annotated[bool, _flag("--coalesce", _LINK, "Write all messages of a command at once.")] = False
    crlf: Annotated[bool, _flag("--crlf", _LINK, "Write a line end after each frame.")] = False
    echo: Annotated[bool, _flag("--echo", _LINK, "Send each command back first.")] = False
    seed: Annotated[int | None, _number(_SERVER, "The same seed gives the same noise and codes.")] = None

    screen: Annotated[
        bool,
        _flag(
            "--screen",
            _SERVER,
            "Show the terminal on a web page where a person pays. Its URL is the second line of output.",
        ),
    ] = False

    def behaviour(self) -> Behaviour:
        from ..simulator import Behaviour, Outcome

        return Behaviour(
            outcome=Outcome(self.outcome.value),
            response_code=self.response_code,
            acknowledge=False if self.not_accepted else None if self.no_acknowledge else True,
            progress_every=self.progress_every,
            decide_after=self.delay,
            reply_after=self.reply_after,
            change={"FunctionCode": 0} if self.function_code_zero else {},
            wrong_signature=self.wrong_signature,
            duplicate=self.duplicate,
            echo=self.echo,
            camel_case=self.camel_case,
            crlf=self.crlf,
            noise=self.noise,
            fragment=self.fragment,
            fragment_every=self.fragment_every,
            coalesce=self.coalesce,
        )

    def chosen_seed(self) -> int:
        """The given seed, or else a random one: with the same vouchers at each start, a journal would confuse them."""
        return random.getrandbits(32) if self.seed is None else self.seed

    def course(self) -> tuple[Behaviour, list[Behaviour]]:
        """The default behaviour of a terminal, and its script."""
        behaviour = self.behaviour()
        return (behaviour, []) if self.times is None else (behaviour.manner(), [behaviour] * self.times)


@dataclass(frozen=True, kw_only=True)
class LocalManners(Manners):
    """Further options of a terminal with a link of its own: its identity, and the link."""

    firmware: Annotated[
        FirmwareName,
        typer.Option(
            help="a920: as a PAX A920 on USB, with camelCase, poor last vouchers, and no sales after a flush.",
            rich_help_panel=_WHICH,
        ),
    ] = FirmwareName.PLAIN
    omit: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Leave this field out of every voucher, such as Ticket.", rich_help_panel=_WHICH
        ),
    ] = None
    refuse_iso_dates: Annotated[
        bool, _flag("--refuse-iso-dates", _WHICH, "Answer Received: false to a date that begins with the year.")
    ] = False
    terminal_id: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The terminal's id, such as 80005000.", rich_help_panel=_WHICH)
    ] = None
    commerce_code: Annotated[int | None, _number(_WHICH, "The merchant's number.", 0)] = None
    serial_number: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The terminal's serial number.", rich_help_panel=_WHICH)
    ] = None
    gap: Annotated[float, _seconds(_LINK, "The time between any two writes; with 0 they may arrive together.")] = 0.03

    def terminal(self) -> VirtualTerminal:
        from ..simulator import A920, Firmware, Identity, VirtualTerminal

        default, script = self.course()
        firmware = {FirmwareName.PLAIN: Firmware(), FirmwareName.A920: A920}[self.firmware]
        given = {name: getattr(self, name) for name in ("terminal_id", "commerce_code", "serial_number")}
        return VirtualTerminal(
            default=default,
            script=script,
            seed=self.chosen_seed(),
            epoch=datetime.now(),
            identity=Identity(**{name: value for name, value in given.items() if value is not None}),
            firmware=replace(firmware, omit=tuple(self.omit or ()), refuses_iso_dates=self.refuse_iso_dates),
        )


def _virtual(body: Callable[..., int], manners: type = LocalManners) -> Callable[..., int]:
    """A command from ``body``, whose first parameter is the ``manners``."""
    return with_options(manners, body, body, shared_first=True)


@_virtual
def serial(
    manners: LocalManners,
    wire: _WireOption = WireName.SIGNED,
    port: Annotated[
        str | None,
        typer.Option(
            metavar="DEVICE",
            help="An existing port to serve on, such as one end of a pair of COM ports on Windows.",
            rich_help_panel=_SERVER,
        ),
    ] = None,
) -> int:
    """Serve a virtual terminal on a pseudo-terminal until interrupted.

    The first line on standard output is: listening on DEVICE

    Lines on standard input control it: unplug, plug, restart, key-in AMOUNT,
    rename NAME
    """
    from ..simulator import SerialServer

    server = SerialServer(manners.terminal(), port=port, gap=manners.gap)
    return _serve(server, lambda: server.device, "--port", wire, port or "a pseudo-terminal", manners.screen)


@_virtual
def tcp(
    manners: LocalManners,
    wire: _WireOption = WireName.SIGNED,
    host: _HostOption = "127.0.0.1",
    port: _NumberOption = 0,
    close_after_reply: Annotated[
        bool, _flag("--close-after-reply", _LINK, "Close the connection once every command was replied to.")
    ] = False,
) -> int:
    """Serve a virtual terminal on a TCP port until interrupted.

    The first line on standard output is: listening on HOST:PORT

    Lines on standard input control it: unplug, plug, restart, key-in AMOUNT
    """
    from ..simulator import TcpServer

    server = TcpServer(manners.terminal(), host=host, port=port, closes=close_after_reply, gap=manners.gap)
    return _serve(server, lambda: join_address(*server.address), "--tcp", wire, f"{host}, port {port},", manners.screen)


@_virtual
def http(
    manners: LocalManners,
    wire: _WireOption = WireName.SIGNED,
    host: _HostOption = "127.0.0.1",
    port: _NumberOption = 0,
    path: Annotated[str, typer.Option(help="The path for commands.", rich_help_panel=_SERVER)] = "/",
) -> int:
    """Serve a virtual terminal over HTTP until interrupted.

    The first line on standard output is: listening on URL

    Lines on standard input control it: unplug, plug, restart, key-in AMOUNT
    """
    with _extra():
        from ..simulator.http import HttpServer
    server = HttpServer(manners.terminal(), host=host, port=port, path=path, gap=manners.gap)
    return _serve(server, lambda: server.url, "--http", wire, f"{host}, port {port},", manners.screen)


@partial(_virtual, manners=Manners)
def cloud(
    manners: Manners,
    profile: Annotated[
        Profile,
        typer.Option(
            parser=profile_named,
            metavar=f"[{'|'.join(PROFILES)}]",
            help="The country of the cloud.",
            rich_help_panel=_SERVER,
        ),
    ] = "cl",  # type: ignore[assignment]  # the text that is parsed
    terminals: Annotated[
        int, typer.Option(metavar="N", min=1, max=100_000, help="How many terminals.", rich_help_panel=_SERVER)
    ] = 1,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A fault that happens once; repeat --fault for several, in order. A wrong name lists all faults.",
            rich_help_panel=_LINK,
        ),
    ] = None,
    host: _HostOption = "127.0.0.1",
    port: _NumberOption = 0,
) -> int:
    """Serve a virtual cloud with terminals behind it until interrupted. It accepts any credentials.

    The first line on standard output is: listening on URL
    """
    with _extra():
        from ..simulator import asgi
        from ..simulator.cloud import CloudFault, CloudFaultKind, VirtualCloud, serve
    del asgi
    kinds = {kind.value: kind for kind in CloudFaultKind}
    for name in fault or ():
        if name not in kinds:
            raise InvalidValue(f"unknown fault {name!r}: use {', '.join(kinds)}")
    default, script = manners.course()
    virtual = VirtualCloud(profile=profile, terminals=terminals, default=default, seed=manners.chosen_seed())
    for terminal in virtual.terminals.values():
        terminal.epoch = datetime.now()
        terminal.script.extend(script)
    virtual.inject(*(CloudFault(kinds[name]) for name in fault or ()))

    page = screen(virtual) if manners.screen else None
    served = contextlib.ExitStack()

    def ready(address: str) -> None:
        print(f"listening on {address}", flush=True)
        if page is not None:
            print(f"screen on {served.enter_context(page).url}", flush=True)
        where = f"--cloud {address} --key-pos {virtual.key_pos} --profile {profile.name}"
        secrets = "GETNET_POS_CLIENT_ID=id GETNET_POS_CLIENT_SECRET=secret"
        print(f"try: {secrets} getnet-pos sale 1000 {where}", file=sys.stderr, flush=True)

    with served:
        return _serve_api(lambda: serve(host, port, ready, cloud=virtual), host, port)


def join_address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def screen(served: Server | VirtualCloud) -> ScreenServer:
    """The screen of what is served; it starts when it is entered."""
    with _extra():
        from ..simulator import ScreenServer
    return ScreenServer(served)


def _serve(server: Server, where: Callable[[], str], option: str, wire: WireName, place: str, with_screen: bool) -> int:
    """Serve until interrupted."""

    def stop(number: int, frame: FrameType | None) -> None:
        # In a thread: an exception during a join can make Python count the server's thread as ended.
        threading.Thread(target=server.close).start()

    page = screen(server) if with_screen else None
    try:
        with _stopped_by(stop), server, contextlib.ExitStack() as served:
            print(f"listening on {where()}", flush=True)
            if page is not None:
                print(f"screen on {served.enter_context(page).url}", flush=True)
            wire_option = f" --wire {wire.value}" if wire is not WireName.SIGNED else ""
            print(f"try: getnet-pos sale 1000 {option} {where()}{wire_option}", file=sys.stderr, flush=True)
            obey(server)
            server.serve_forever()
    except OSError as error:
        raise _not_served(error, f"the terminal cannot be served on {place.rstrip(',')}", place) from error
    return ExitCode.DONE


def equipment(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="N", min=0, max=65535, help="The port to listen on; 0 chooses a free one.")
    ] = 0,
) -> int:
    """Serve a virtual Active Payment Terminal API until interrupted.

    The first line on standard output is: listening on ADDRESS
    """
    with _extra():
        from ..simulator.equipment import serve
    return _serve_api(
        lambda: serve(host, port, lambda address: print(f"listening on {address}", flush=True)), host, port
    )


def _serve_api(serve: Callable[[], None], host: str, port: int) -> int:
    with _stopped_by(signal.default_int_handler), contextlib.suppress(KeyboardInterrupt):
        try:
            serve()
        except OSError as error:
            place = f"{host}, port {port}"
            raise _not_served(error, f"the server cannot listen on {place}", place) from error
    return ExitCode.DONE


def _not_served(error: OSError, what: str, place: str) -> ConnectError:
    _, _, port = place.rstrip(",").partition("port ")
    if error.errno == errno.EADDRINUSE and port:
        return ConnectError(f"port {port} is already in use: stop the other program, or choose another with --port")
    return ConnectError(f"{what}: {error.strerror or error}; choose another one")


@contextlib.contextmanager
def _extra() -> Iterator[None]:
    """Say what to install if an import in the body fails."""
    try:
        yield
    except ModuleNotFoundError as error:
        name = missing_server(error)
        raise ConfigurationError(f'this needs {name}: pip install "getnet-pos[simulator]"') from error


def missing_server(error: ModuleNotFoundError) -> str:
    """The missing package of the extra ``simulator``; raises ``error`` again if it is not one of them."""
    name = (error.name or "").partition(".")[0]
    if name not in ("starlette", "uvicorn", "wsproto"):
        raise error
    return name


@contextlib.contextmanager
def _stopped_by(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Make SIGINT and SIGTERM call ``handler``, even if the shell started the process with SIGINT ignored."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, before[number])
