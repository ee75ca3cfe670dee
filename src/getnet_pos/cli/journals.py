"""The commands for whole journals: create one in a database, check, inspect and copy it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from ..journal.opening import is_database
from ..journal.upkeep import check_journal, copy_journal, initialize_journal, journal_status
from .ends import ExitCode, counted, printable
from .register import JsonOption
from .screen import Screen
from .shown import table

__all__ = ["journals"]

journals = typer.Typer(help="Create, check and copy journals: files, and databases that many hosts share.")

_Database = Annotated[
    str,
    typer.Argument(
        metavar="DATABASE",
        help="Such as postgresql://till@db.example/shop; the password may come from PGPASSWORD or ~/.pgpass.",
    ),
]
_Journal = Annotated[str | None, typer.Argument(metavar="JOURNAL", help="A file, or postgresql://USER@HOST/DATABASE.")]
_JournalOption = Annotated[str | None, typer.Option("--journal", metavar="JOURNAL", help="Another way to name it.")]


@journals.command()
def init(
    dsn: _Database,
    role: Annotated[
        str | None,
        typer.Option("--role", metavar="NAME", help="Grant this role only the permissions that a host needs."),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Create the journal in a database, or upgrade an older one. No other command changes its tables."""
    before = initialize_journal(_checked(dsn), role)
    done = "the journal was created" if before is None else f"the journal had version {before} and is now up to date"
    Screen(as_json).result({"before": before}, lambda console: console.print(done))
    return ExitCode.DONE


@journals.command()
def check(journal: _Journal = None, named: _JournalOption = None, as_json: JsonOption = False) -> int:
    """Read every step of a journal, and verify that each is unchanged and follows the one before."""
    if journal is not None and named is not None:
        raise typer.BadParameter("name the journal once, as an argument or with --journal")
    chosen = journal or named
    if chosen is None:
        raise typer.BadParameter("name the journal: a file, or postgresql://USER@HOST/DATABASE")
    found = check_journal(chosen)
    Screen(as_json).result(
        asdict(found),
        lambda console: console.print(
            f"{counted(found.steps, 'step')} of {counted(found.intents, 'command')}, {found.unsettled} of them not "
            f"settled; all are as they were written\ndigest {found.digest}",
            soft_wrap=True,
        ),
    )
    return ExitCode.DONE


@journals.command()
def status(dsn: _Database, as_json: JsonOption = False) -> int:
    """Show the state of the journal in a database: whether it is durable, and which host owns which terminal."""
    found = journal_status(_checked(dsn))
    well = found.version is not None and found.weakness is None

    def show(console: object) -> None:
        made = table("", "what", "found")
        made.add_row(
            "!!" if found.version is None else "ok",
            "version",
            str(found.version or "none: run getnet-pos journal init"),
        )
        made.add_row("ok" if found.weakness is None else "!!", "durable", found.weakness or "yes")
        for what, number in (("steps", found.steps), ("not settled", found.unsettled), ("notices", found.notices)):
            made.add_row("", what, str(number))
        for terminal, host, token, left in found.leases:
            made.add_row("", printable(terminal), f"{printable(host)}, token {token}, {left:.0f} s")
        console.print(made)  # type: ignore[attr-defined]  # rich is imported only where it is used

    Screen(as_json).result(asdict(found), show)
    return ExitCode.DONE if well else ExitCode.JOURNAL


@journals.command()
def copy(
    source: Annotated[str, typer.Argument(metavar="FROM", help="A file, or postgresql://...")],
    target: Annotated[str, typer.Argument(metavar="TO", help="A file that does not exist yet, or an empty database.")],
    as_json: JsonOption = False,
) -> int:
    """Copy a whole journal without open commands, and compare the digests of both."""
    found = copy_journal(source, target)
    Screen(as_json).result(
        asdict(found),
        lambda console: console.print(
            f"copied {counted(found.steps, 'step')} of {counted(found.intents, 'command')}; both have the digest "
            f"{found.digest}",
            soft_wrap=True,
        ),
    )
    return ExitCode.DONE


def _checked(dsn: str) -> str:
    if not is_database(dsn):
        raise typer.BadParameter(
            "pass the database as postgresql://USER@HOST/NAME, such as postgresql://till@db.example/shop"
        )
    return dsn
