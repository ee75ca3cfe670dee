"""The command that serves terminals to web pages and to programs in other languages, until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import ConfigurationError
from ..observer import Observer
from .ends import ExitCode, clean
from .links import Link, choose_all, names_terminals, read_config
from .register import Register, with_options

__all__ = ["serve"]

_SHARED = ("wire", "profile", "timeout", "recovery", "journal")
_SERVER = "The server"


def _option(*names: str, text: str, metavar: str | None = None, **more: Any) -> Any:
    return typer.Option(*names, metavar=metavar, help=text, rich_help_panel=_SERVER, **more)


_Usb = Annotated[
    str | None,
    typer.Option(
        "--usb",
        metavar="DEVICE",
        help="The serial port. Without any link option, every port is polled.",
        rich_help_panel="Which terminal",
    ),
]


@dataclass(frozen=True, kw_only=True)
class _OfFile(Register):
    """A terminal in the settings file."""

    place: Link
    own: dict[str, Any]

    def _meant(self) -> tuple[dict[str, Any], Link]:
        return self.own, self.place


@dataclass(frozen=True, kw_only=True)
class _Served(Register):
    """The terminals to serve: either one, with the name ``terminal``, or those in the settings file."""

    port: _Usb = None
    as_json: bool = field(init=False, default=False)
    registers: dict[str, Register] = field(init=False)
    origins: list[str] = field(init=False)

    def __post_init__(self) -> None:
        given = {name: getattr(self, name) for name in _SHARED}
        config = read_config(self.config)
        registers: dict[str, Register] = {}
        if names_terminals(vars(self), config):
            for name, (link, own) in choose_all(config).items():
                registers[name] = _OfFile(place=link, own=own, **given)
        else:
            super().__post_init__()
            registers["terminal"] = self
        object.__setattr__(self, "registers", registers)
        object.__setattr__(self, "origins", config.get("allow_origins", []))


def _run(
    served: _Served,
    host: Annotated[
        str | None,
        _option("--host", metavar="HOST", text="The address to listen on; by default both loopback addresses."),
    ] = None,
    number: Annotated[
        int, _option("--port", metavar="N", text="The port to listen on; 0 chooses a free one.", min=0, max=65535)
    ] = 8787,
    allow_origin: Annotated[
        list[str] | None,
        _option(
            "--allow-origin", metavar="ORIGIN", text="The origin of a web page that may use the agent; can be repeated."
        ),
    ] = None,
    bridge: Annotated[
        bool, _option("--bridge", text="Also serve Getnet's websocket dialect, to pages of these origins.")
    ] = False,
    bridge_port: Annotated[
        int,
        _option("--bridge-port", metavar="N", text="The port of the bridge; 0 chooses a free one.", min=0, max=65535),
    ] = 8000,
    token_file: Annotated[
        Path | None, _option("--token-file", metavar="PATH", text="The file with the pairing token.")
    ] = None,
    certificate: Annotated[
        Path | None, _option("--certificate", metavar="FILE", text="For TLS: the certificate with its chain (PEM).")
    ] = None,
    key: Annotated[Path | None, _option("--key", metavar="FILE", text="For TLS: its private key (PEM).")] = None,
    otel: Annotated[
        bool,
        _option(
            "--otel", text="Make spans and metrics with OpenTelemetry; start the agent with opentelemetry-instrument."
        ),
    ] = False,
) -> int:
    """Serve terminals over HTTP and WebSocket on this machine, until it is stopped.

    The first line on standard output is: listening on URL. With --bridge the second is: bridge on URL
    """
    try:
        from ..agent.server import serve
        from ..agent.settings import BUSY, AgentSettings
        from ..agent.tokens import default_token_path, read_or_make_token
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("starlette", "uvicorn", "wsproto"):
            raise
        raise ConfigurationError(f'this needs {error.name}: pip install "getnet-pos[agent]"') from error
    observer = _otel_observer() if otel else None
    settings = AgentSettings(
        host=host,
        port=number,
        bridge=bridge,
        bridge_port=bridge_port,
        allow_origins=(*served.origins, *(allow_origin or ())),
        token_file=token_file,
        certificate=certificate,
        key=key,
    )
    path = settings.token_file or default_token_path()
    token, is_new = read_or_make_token(path)

    def ready(urls: list[str]) -> None:
        for what, url in zip(("listening", "bridge"), urls, strict=False):
            print(f"{what} on {url}", flush=True)
        if is_new:
            print(f"the pairing token, stored in {path}: {token}", file=sys.stderr, flush=True)

    async def run() -> bool:
        journal = next(iter(served.registers.values())).open_journal()
        async with contextlib.AsyncExitStack() as stack:
            connectors = {
                name: await stack.enter_async_context(register.made(observer, busy=BUSY))
                for name, register in served.registers.items()
            }
            return await serve(settings, connectors, journal, token, ready)

    with _logged():
        return ExitCode.DONE if asyncio.run(run()) else ExitCode.UNKNOWN


def _otel_observer() -> Observer:
    try:
        from ..otel import OtelObserver
    except ModuleNotFoundError as error:
        raise ConfigurationError(str(error)) from error
    return OtelObserver()


@contextlib.contextmanager
def _logged() -> Iterator[None]:
    """Print log messages on standard error, one per line, without card numbers or control characters."""
    handler = _Lines()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("getnet_pos")
    before = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


class _Lines(logging.StreamHandler[Any]):
    def format(self, record: logging.LogRecord) -> str:
        return clean(super().format(record))


serve = with_options(_Served, _run, _run)
serve.__name__ = "serve"
