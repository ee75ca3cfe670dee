"""The command that lists the terminals of merchants."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ConfigurationError, GetnetError, InvalidValue
from ..flows.http_calls import check_url
from ..flows.listing import check_merchant_id
from ..messages.terminals import CommercialMode, PaymentTerminal, TerminalList
from ..profiles import Profile
from .credentials import client_credentials
from .ends import ExitCode, clean, counted, exit_code, printable
from .links import check_proxy, client_options
from .register import JsonOption, ProfileOption
from .screen import Screen
from .shown import error_document, table
from .spreadsheets import write_csv

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ..cloud.account import CloudAccount

__all__ = ["terminals"]

_LONGEST_TABLE = 2_000
"""The most rows in a table. More are printed as plain lines, which is much faster."""

_FILTERS = "Which of them"
_COLUMNS = (
    "payment_terminal_serial_number", "payment_terminal_sku", "payment_terminal_brand", "payment_terminal_model",
    "capture_method_code", "capture_method_des", "communication_method_code", "communication_method_des",
    "commercial_mode", "activation_datetime", "warranty_available",
)  # fmt: skip


class EnvironmentName(str, Enum):
    HG = "hg"
    HTI = "hti"


def _filter(text: str) -> Any:
    return typer.Option(help=text, rich_help_panel=_FILTERS, metavar="TEXT")


def _date(name: str, text: str) -> Any:
    return typer.Option(name, help=text, rich_help_panel=_FILTERS, metavar="DATE")


def terminals(
    merchants: Annotated[list[str] | None, typer.Argument(metavar="MERCHANT_ID", help="One or more merchants.")] = None,
    cloud: Annotated[
        str | None,
        typer.Option(
            metavar="BASE_URL",
            help="List the terminals behind the cloud that these credentials have access to, instead.",
        ),
    ] = None,
    branch: Annotated[int | None, typer.Option(help="With --cloud: only this branch.")] = None,
    ca: Annotated[
        str | None, typer.Option(metavar="FILE", help="With --cloud: a file of trusted certificate authorities (PEM).")
    ] = None,
    proxy: Annotated[str | None, typer.Option(metavar="URL", help="With --cloud: the HTTP proxy.")] = None,
    profile: ProfileOption = None,
    environment: Annotated[
        EnvironmentName | None, typer.Option(help="The documented address: hg development, hti quality assurance.")
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Another address, up to but without /payment-terminals.")
    ] = None,
    token_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="The token server, for GETNET_POS_CLIENT_ID and _SECRET; without it GETNET_POS_TOKEN is used.",
        ),
    ] = None,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="The time limit for each request.")] = 60,
    brand: Annotated[
        list[str] | None, _filter("Brands that contain TEXT. Repeat it, or any other filter, for more.")
    ] = None,
    model: Annotated[list[str] | None, _filter("Models that contain TEXT.")] = None,
    capture: Annotated[list[str] | None, _filter("Capture methods with the code TEXT, or that contain it.")] = None,
    communication: Annotated[list[str] | None, _filter("Communication methods, in the same way.")] = None,
    commercial_mode: Annotated[
        list[CommercialMode] | None,
        typer.Option(help="How the merchant obtained the terminal.", rich_help_panel=_FILTERS),
    ] = None,
    activated_after: Annotated[
        str | None, _date("--activated-after", "Activated on or after: 2024-01-31, or with a time; UTC.")
    ] = None,
    activated_before: Annotated[str | None, _date("--activated-before", "Activated before.")] = None,
    only_summary: Annotated[bool, typer.Option("--summary", help="Show only the counts.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print comma-separated values, safe for spreadsheets.")] = False,
    as_json: JsonOption = False,
) -> int:
    """List the active terminals of merchants (Active Payment Terminal API).

    The token is GETNET_POS_TOKEN, or is requested from --token-url. Secrets are only read from the environment or the
    keyring.
    """
    if cloud is not None:
        if merchants or environment or base_url or token_url or as_csv:
            names = {
                "MERCHANT_ID": merchants, "--environment": environment, "--base-url": base_url,
                "--token-url": token_url, "--csv": as_csv,
            }  # fmt: skip
            unfit = next(name for name, value in names.items() if value)
            raise ConfigurationError(
                f"--cloud cannot be combined with {unfit}: remove it; --cloud takes --branch, --profile, --ca, --proxy "
                "and --json"
            )
        with _account(cloud, profile or Profile.INTEGRATED_POS, ca, proxy) as account:
            return _cloud_terminals(account, branch, Screen(as_json))
    for name, value in (("--branch", branch), ("--profile", profile), ("--ca", ca), ("--proxy", proxy)):
        if value is not None:
            raise ConfigurationError(f"{name} needs --cloud: remove {name}, or add --cloud BASE_URL")
    if not merchants:
        raise ConfigurationError("pass a MERCHANT_ID, or --cloud BASE_URL")
    if as_csv and (as_json or only_summary):
        raise InvalidValue("--csv cannot be combined with --json or --summary")
    asked = list(dict.fromkeys(check_merchant_id(merchant) for merchant in merchants))
    wanted = Wanted.of(brand, model, capture, communication, commercial_mode, activated_after, activated_before)
    address = _address(environment, base_url)
    screen = Screen(as_json)
    from .listing import listed

    found, errors = asyncio.run(listed(asked, address, token_url, timeout, screen))
    if errors and len(asked) == 1:
        raise errors[asked[0]]
    listings = [Listing(listing, tuple(filter(wanted.takes, listing))) for listing in found.values()]
    if as_csv:
        _write_csv(listings)
    else:
        screen.listing(
            _document(listings, errors, only_summary), lambda console: _show(console, listings, only_summary)
        )
    for listing in listings:
        if listing.whole.deviation_count:
            first = listing.whole.deviations[0]
            count = listing.whole.deviation_count
            screen.note(
                f"merchant {listing.merchant}: {counted(count, 'deviation')} from the documentation; the first: {first}"
            )
    for merchant, error in errors.items():
        print(f"error: merchant {merchant}: {clean(str(error))}", file=sys.stderr, flush=True)
    return exit_code(next(iter(errors.values()))) if errors else ExitCode.DONE


@contextlib.contextmanager
def _account(base_url: str, profile: Profile, ca: str | None, proxy: str | None) -> Iterator[CloudAccount]:
    from ..cloud import CloudAccount

    check_proxy(proxy)
    client_id, client_secret = client_credentials()
    with contextlib.ExitStack() as stack:
        http_client = None
        if proxy is not None:
            import httpx

            http_client = stack.enter_context(httpx.Client(**client_options(proxy, ca)))
        account = CloudAccount(
            base_url,
            client_id=client_id,
            client_secret=client_secret,
            profile=profile,
            http_client=http_client,
            verify=True if proxy is not None or ca is None else ca,
        )
        yield stack.enter_context(account)


def _cloud_terminals(account: CloudAccount, branch: int | None, screen: Screen) -> int:
    found = account.list_terminals(branch)

    def show(console: Console) -> None:
        made = table("terminal", "branch", "serial number", "--key-pos")
        for one in found:
            made.add_row(one.id_terminal, str(one.id_sucursal), one.serial_number, str(one))
        console.print(made)

    names = ("id_terminal", "id_sucursal", "serial_number")
    screen.listing({"terminals": [{name: getattr(one, name) for name in names} for one in found]}, show)
    return ExitCode.DONE


def _address(environment: EnvironmentName | None, base_url: str | None) -> str:
    if (environment is None) == (base_url is None):
        raise ConfigurationError(
            "choose the API address with one of --environment hg, --environment hti and --base-url URL"
        )
    if environment is not None:
        from ..equipment import Environment

        return Environment[environment.name].value
    return check_url(base_url or "", "--base-url")


# ------------------------------------------------------------------------------------------------------------ filtering


@dataclass(frozen=True)
class Wanted:
    """The filters: a terminal must match all of those that are set."""

    texts: tuple[tuple[str, str | None, tuple[str, ...]], ...]
    """The field with words, the field with a code, and the texts; one of them must match."""
    modes: tuple[CommercialMode, ...]
    after: datetime | None
    before: datetime | None

    @classmethod
    def of(
        cls,
        brand: list[str] | None,
        model: list[str] | None,
        capture: list[str] | None,
        communication: list[str] | None,
        modes: list[CommercialMode] | None,
        after: str | None,
        before: str | None,
    ) -> Wanted:
        texts = (
            ("payment_terminal_brand", None, tuple(brand or ())),
            ("payment_terminal_model", None, tuple(model or ())),
            ("capture_method_des", "capture_method_code", tuple(capture or ())),
            ("communication_method_des", "communication_method_code", tuple(communication or ())),
        )
        wanted = cls(
            tuple(item for item in texts if item[2]),
            tuple(modes or ()),
            _moment(after, "--activated-after"),
            _moment(before, "--activated-before"),
        )
        if wanted.after is not None and wanted.before is not None and wanted.after >= wanted.before:
            raise InvalidValue("--activated-after must be before --activated-before")
        return wanted

    def takes(self, terminal: PaymentTerminal) -> bool:
        at = terminal.activation_datetime
        return (
            all(
                any(_fits(text, getattr(terminal, words), code and getattr(terminal, code)) for text in texts)
                for words, code, texts in self.texts
            )
            and (not self.modes or terminal.commercial_mode in self.modes)
            and (self.after is None or (at is not None and at >= self.after))
            and (self.before is None or (at is not None and at < self.before))
        )


def _fits(text: str, words: str | None, code: str | None) -> bool:
    """Whether ``words`` contain ``text``, ignoring spaces and case, or it is the code, ignoring leading zeros."""
    if code is not None and text.isdigit() and text.lstrip("0") == code.lstrip("0"):
        return True
    return words is not None and _bare(text) in _bare(words)


def _bare(text: str) -> str:
    return re.sub(r"[\W_]+", "", text).casefold() or text


def _moment(text: str | None, name: str) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", text.strip()))
    except ValueError:
        raise InvalidValue(
            f"{name} must be a date such as 2024-01-31, or a date and time such as 2024-01-31T18:00:00Z"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


# -------------------------------------------------------------------------------------------------------------- showing


@dataclass(frozen=True)
class Listing:
    """A merchant's terminals: all of them, and those that match the filters."""

    whole: TerminalList
    wanted: tuple[PaymentTerminal, ...]

    @property
    def merchant(self) -> str:
        return self.whole.merchant_id


def _rows(listings: Iterable[Listing]) -> Iterator[tuple[str, PaymentTerminal]]:
    return ((listing.merchant, terminal) for listing in listings for terminal in listing.wanted)


def _fields(terminal: PaymentTerminal) -> dict[str, Any]:
    document: dict[str, Any] = {name: getattr(terminal, name) for name in _COLUMNS}
    at, mode = terminal.activation_datetime, terminal.commercial_mode
    document["activation_datetime"] = None if at is None else at.isoformat()
    document["commercial_mode"] = None if mode is None else mode.value
    document["warranty_applies"] = terminal.warranty_applies
    return document


def _summary(listings: list[Listing]) -> dict[str, Any]:
    wanted = [terminal for _, terminal in _rows(listings)]

    def counts(name: str) -> dict[str, int]:
        values = Counter(str(getattr(terminal, name) or "not said") for terminal in wanted)
        return dict(sorted(values.items(), key=lambda item: (-item[1], item[0])))

    return {
        "merchants": len(listings),
        "listed": sum(len(listing.whole) for listing in listings),
        "shown": len(wanted),
        "under_warranty": sum(terminal.warranty_applies for terminal in wanted),
        "brand": counts("payment_terminal_brand"),
        "model": counts("payment_terminal_model"),
        "capture": counts("capture_method_des"),
        "communication": counts("communication_method_des"),
        "commercial_mode": counts("commercial_mode"),
    }


def _document(listings: list[Listing], errors: dict[str, GetnetError], only_summary: bool) -> dict[str, Any]:
    merchants: list[dict[str, Any]] = []
    for listing in listings:
        merchants.append(
            {
                "merchant_id": listing.merchant,
                "listed": len(listing.whole),
                "deviations": listing.whole.deviation_count,
                **({} if only_summary else {"terminals": [_fields(terminal) for terminal in listing.wanted]}),
            }
        )
    merchants += [{"merchant_id": merchant, "error": error_document(error)} for merchant, error in errors.items()]
    return {"merchants": merchants, "summary": _summary(listings)}


def _write_csv(listings: list[Listing]) -> None:
    rows = ([merchant, *_fields(terminal).values()] for merchant, terminal in _rows(listings))
    write_csv(sys.stdout, chain([["merchant_id", *_COLUMNS, "warranty_applies"]], rows))
    sys.stdout.flush()


_HEADS = ("merchant", "serial number", "terminal", "capture, network", "mode", "activated")


def _line(merchant: str, terminal: PaymentTerminal) -> list[str]:
    at = terminal.activation_datetime
    cells = (
        merchant, terminal.payment_terminal_serial_number,
        _words(" ", terminal.payment_terminal_brand, terminal.payment_terminal_model),
        _words(", ", terminal.capture_method_des, terminal.communication_method_des),
        terminal.commercial_mode and terminal.commercial_mode.value, at and at.date().isoformat(),
    )  # fmt: skip
    return [printable(cell or "") for cell in cells]


def _words(between: str, *words: str | None) -> str:
    return between.join(filter(None, words))


def _keep_words_whole(made: Table, width: int) -> None:
    """Let no column be narrower than its longest word, if there is room: rich would shrink the widest ones alike."""
    cells = [[str(cell) for cell in (column.header, *column.cells)] for column in made.columns]
    whole = [max(map(len, texts)) for texts in cells]
    least = [
        full if column.no_wrap else max(len(word) for text in texts for word in text.split())
        for column, texts, full in zip(made.columns, cells, whole, strict=True)
    ]
    room = width - 2 * len(whole)
    if sum(least) <= room < sum(whole):
        wrapped = sum(not column.no_wrap for column in made.columns)
        for column, needed in zip(made.columns, least, strict=True):
            column.width = needed if column.no_wrap else needed + (room - sum(least)) // wrapped


def _show(console: Console, listings: list[Listing], only_summary: bool) -> None:
    summary = _summary(listings)
    first = 0 if len(listings) > 1 else 1
    if summary["shown"] > _LONGEST_TABLE and not only_summary:
        for row in _rows(listings):
            print("\t".join(_line(*row)[first:]))
    elif summary["shown"] and not only_summary:
        made = table(*_HEADS[first:])
        for row in _rows(listings):
            made.add_row(*_line(*row)[first:])
        made.padding = (0, 1, 0, 0)
        _keep_words_whole(made, console.width)
        console.print(made)
    shown = f"{summary['shown']} of {summary['listed']}" if summary["shown"] != summary["listed"] else summary["shown"]
    whose = f"merchant {listings[0].merchant}" if len(listings) == 1 else f"{len(listings)} merchants"
    console.print(
        f"{shown} terminal{'s' * (summary['listed'] != 1)} of {whose}, {summary['under_warranty']} under warranty",
        style="bold",
    )
    for name in ("brand", "model", "capture", "communication", "commercial_mode"):
        counted = ", ".join(f"{printable(value)} {count}" for value, count in summary[name].items())
        if counted:
            console.print(f"{name.replace('_', ' ')}: {counted}")
