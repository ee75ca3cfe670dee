"""The commands that serve a virtual terminal until interrupted."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from enum import Enum
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ConfigurationError, ConnectError
from .ends import ExitCode
from .register import WireName

if TYPE_CHECKING:
    from ..simulator import Behaviour, VirtualTerminal

__all__ = ["equipment", "missing_server", "serial"]


class OutcomeName(str, Enum):
    """What becomes of a money command, under the simulator's own names."""

    APPROVE = "approve"
    DECLINE = "decline"
    CANCEL = "cancel"
    TIME_OUT = "time-out"
    SILENT = "silent"


_MONEY, _LINK, _SERVER = "What becomes of a money command", "How it is written", "The server"


def _seconds(panel: str, text: str) -> Any:
    return typer.Option(help=text, rich_help_panel=panel, metavar="SECONDS", min=0)


def _number(panel: str, text: str, least: int | None = None) -> Any:
    return typer.Option(help=text, rich_help_panel=panel, metavar="N", min=least)


def _flag(name: str, panel: str, text: str) -> Any:
    return typer.Option(name, help=text, rich_help_panel=panel)


def serial(
    outcome: Annotated[
        OutcomeName, typer.Option(help="The decision; silent: there never is one.", rich_help_panel=_MONEY)
    ] = OutcomeName.APPROVE,
    response_code: Annotated[int | None, _number(_MONEY, "The response code of a refusal.")] = None,
    delay: Annotated[float, _seconds(_MONEY, "Before the decision; inf waits for a cancellation.")] = 0,
    progress_every: Annotated[float, _seconds(_MONEY, "Before each progress message.")] = 0,
    reply_after: Annotated[
        float, _seconds(_MONEY, "From the decision to the reply; inf: charged and never answered.")
    ] = 0,
    times: Annotated[int | None, _number(_MONEY, "Only so many money commands; the others are approved.", 1)] = None,
    function_code_zero: Annotated[bool, _flag("--function-code-zero", _MONEY, "Reply with function code 0.")] = False,
    wrong_signature: Annotated[
        bool, _flag("--wrong-signature", _MONEY, "Reply with a signature or LRC that does not fit.")
    ] = False,
    duplicate: Annotated[bool, _flag("--duplicate", _MONEY, "Send the reply twice.")] = False,
    no_acknowledge: Annotated[bool, _flag("--no-acknowledge", _MONEY, "Do not acknowledge the command.")] = False,
    not_accepted: Annotated[bool, _flag("--not-accepted", _MONEY, "Answer Received: false and nothing else.")] = False,
    fragment: Annotated[int, _number(_LINK, "The most bytes in one write; 0: whole frames.", 0)] = 0,
    fragment_every: Annotated[float, _seconds(_LINK, "Between two fragments.")] = 0,
    noise: Annotated[int, _number(_LINK, "Up to so many random bytes before each frame.", 0)] = 0,
    camel_case: Annotated[bool, _flag("--camel-case", _LINK, "Keys in camelCase.")] = False,
    coalesce: Annotated[bool, _flag("--coalesce", _LINK, "All messages of a command in one write.")] = False,
    crlf: Annotated[bool, _flag("--crlf", _LINK, "A line end behind each frame.")] = False,
    echo: Annotated[bool, _flag("--echo", _LINK, "Send each command back first.")] = False,
    wire: Annotated[
        WireName,
        typer.Option(
            help="Of the example it prints: the terminal answers on the wire it is asked on.", rich_help_panel=_SERVER
        ),
    ] = WireName.SIGNED,
    seed: Annotated[int, _number(_SERVER, "The same seed, the same noise and codes.")] = 0,
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
    """
    from ..simulator import Behaviour, Outcome, SerialServer

    behaviour = Behaviour(
        outcome=Outcome(outcome.value),
        response_code=response_code,
        acknowledge=False if not_accepted else None if no_acknowledge else True,
        progress_every=progress_every,
        decide_after=delay,
        reply_after=reply_after,
        change={"FunctionCode": 0} if function_code_zero else {},
        wrong_signature=wrong_signature,
        duplicate=duplicate,
        echo=echo,
        camel_case=camel_case,
        crlf=crlf,
        noise=noise,
        fragment=fragment,
        fragment_every=fragment_every,
        coalesce=coalesce,
    )
    server = SerialServer(_terminal(behaviour, times, seed), port=port)

    def stop(number: int, frame: FrameType | None) -> None:
        # In a thread: an exception that breaks into a wait for the server's thread can leave it taken for ended.
        threading.Thread(target=server.close).start()

    try:
        with _stopped_by(stop), server:
            print(f"listening on {server.device}", flush=True)
            wire_option = f" --wire {wire.value}" if wire is not WireName.SIGNED else ""
            print(f"try: getnet-pos sale 1000 --port {server.device}{wire_option}", file=sys.stderr, flush=True)
            server.serve_forever()
    except OSError as error:
        raise ConnectError(f"{port or 'a pseudo-terminal'} cannot be served on: {error}") from error
    return ExitCode.DONE


def equipment(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", min=0, max=65535, help="0 takes a free one.")] = 0,
) -> int:
    """Serve a virtual Active Payment Terminal API until interrupted.

    The first line on standard output is: listening on ADDRESS
    """
    try:
        from ..simulator.equipment import serve
    except ModuleNotFoundError as error:
        name = missing_server(error)
        raise ConfigurationError(f'this needs {name}: pip install "getnet-pos[simulator]"') from error
    with _stopped_by(signal.default_int_handler), contextlib.suppress(KeyboardInterrupt):
        try:
            serve(host, port, lambda address: print(f"listening on {address}", flush=True))
        except OSError as error:
            raise ConnectError(f"{host}, port {port}, cannot be listened on: {error.strerror or error}") from error
    return ExitCode.DONE


def missing_server(error: ModuleNotFoundError) -> str:
    """The package of the extra ``simulator`` that is not installed; raises ``error`` again where it is another one."""
    name = (error.name or "").partition(".")[0]
    if name not in ("starlette", "uvicorn"):
        raise error
    return name


def _terminal(behaviour: Behaviour, times: int | None, seed: int) -> VirtualTerminal:
    from ..simulator import VirtualTerminal

    if times is None:
        return VirtualTerminal(default=behaviour, seed=seed)
    return VirtualTerminal(default=behaviour.manner(), script=[behaviour] * times, seed=seed)


@contextlib.contextmanager
def _stopped_by(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Have SIGINT and SIGTERM call ``handler``, also where the shell that started it has SIGINT ignored."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, before[number])
