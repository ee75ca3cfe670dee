"""All commands together. This is the one place where an error becomes a line of text and an exit code."""

from __future__ import annotations

import re
import sys
from typing import Any

import typer

from ..errors import GetnetError
from ..masking import masked
from . import (
    about,
    closing,
    decoding,
    demo,
    doctor,
    holds,
    journals,
    payments,
    ports,
    receipts,
    records,
    serve,
    simulate,
    terminals,
)
from .ends import ExitCode, clean, exit_code
from .help import name_options
from .screen import print_document
from .shown import error_document

__all__ = ["app", "run"]

_EPILOG = (
    "Exit codes: 0 done or approved, 1 the terminal said no, 2 wrong use, 3 link, 4 protocol, 5 outcome unknown, "
    "6 journal, 7 API, 8 already charged, 9 the records differ, 130 interrupted."
)

app = typer.Typer(
    name="getnet-pos",
    help="Drive Getnet payment terminals, or a virtual one.",
    epilog=_EPILOG,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_TERMINAL, _MONEY, _API, _TOOLS = "Terminal", "Records of payments", "A merchant's terminals", "Tools"
_SERVED = "For programs in other languages"
for _command in (
    payments.poll, payments.sale, payments.void, payments.refund, holds.pre_authorize, holds.complete, holds.release,
    payments.cancel, payments.report, payments.sales_by_seller, payments.tips, payments.last, payments.duplicate,
    receipts.receipt, payments.close_batch,
):  # fmt: skip
    app.command(rich_help_panel=_TERMINAL, epilog=_EPILOG)(_command)
app.command("print", rich_help_panel=_TERMINAL, epilog=_EPILOG)(payments.print_lines)
for _command in (records.intents, records.resolve, payments.recover, closing.reconcile):
    app.command(rich_help_panel=_MONEY, epilog=_EPILOG)(_command)
for _command in (terminals.terminals,):
    app.command(rich_help_panel=_API, epilog=_EPILOG)(_command)
app.command(rich_help_panel=_SERVED, epilog=_EPILOG)(serve.serve)
for _command in (demo.demo, doctor.doctor, ports.ports, decoding.decode, about.version):
    app.command(rich_help_panel=_TOOLS, epilog=_EPILOG)(_command)
_simulators = typer.Typer(help="Serve a virtual terminal, cloud or API until interrupted.")
for _command in (simulate.serial, simulate.tcp, simulate.http, simulate.cloud, simulate.equipment):
    _simulators.command()(_command)
name_options(app, journals.journals, _simulators)
app.add_typer(journals.journals, name="journal", rich_help_panel=_MONEY)
app.add_typer(_simulators, name="simulate", rich_help_panel=_TOOLS)


def run(args: list[str]) -> int:
    """Run the command line ``args`` and return its exit code. An error becomes one line on standard error."""
    as_json = "--json" in args
    try:
        code = app(args=args or ["--help"], prog_name="getnet-pos", standalone_mode=False)
    except GetnetError as error:
        return _fail(str(error), exit_code(error), error_document(error), as_json)
    except (KeyboardInterrupt, typer.Abort):
        return ExitCode.INTERRUPTED
    except Exception as error:
        message = _usage(error)
        if message is None:
            raise
        return _fail(message, ExitCode.WRONG_USE, {"type": "UsageError", "message": message}, as_json)
    return code if isinstance(code, int) else ExitCode.DONE


def _fail(message: str, code: ExitCode, document: dict[str, object], as_json: bool) -> int:
    if as_json:
        print_document(masked({"error": document}))
    print(f"error: {clean(message)}", file=sys.stderr, flush=True)
    return code


def _usage(error: Exception) -> str | None:
    """typer's message about a wrong command line, and where to find help; ``None`` for any other error."""
    # The classes of these errors differ between versions of typer, but all of them have this method, and no others.
    say = getattr(error, "format_message", None)
    if say is None:
        return None
    option = getattr(error, "option_name", "")
    if re.match(r"-[0-9.]", option):
        return f"{option} is negative: give the amount or number without a sign"
    context = getattr(error, "ctx", None)
    where = context.command_path if context is not None else "getnet-pos"
    said = say().replace("Value error, ", "").rstrip(".")  # some versions of typer name the class of the error
    if re.match(r"Invalid value for '\[?OPERATION_ID.*integer", said):
        said = "OPERATION_ID must be an operation number: use the number on the voucher"
    parameter: Any = getattr(error, "param", None)
    if said.startswith("Missing option") and getattr(parameter, "secondary_opts", None):
        said = f"Missing option: say {' or '.join([*parameter.opts, *parameter.secondary_opts])}"
    return f"{said}{'' if said.endswith('?') else '.'} See: {where} --help"
