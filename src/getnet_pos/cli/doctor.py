"""The command that checks everything a sale needs, and says how to fix what is missing. It moves no money."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone

from .._version import __version__
from ..codec import BACKEND
from ..errors import GetnetError, JournalError
from ..journal import DEFAULT_JOURNAL
from ..journal.opening import place_of
from ..messages import Polled
from ..profiles import Profile
from .ends import ExitCode, clean, exit_code
from .outcomes import asked_for
from .register import Register, is_ready, terminal_command
from .shown import table

__all__ = ["doctor"]


@dataclass
class _Finding:
    """The result of one check; ``advice`` says what to do about a problem."""

    what: str
    found: str
    well: bool = True
    advice: str = ""


@terminal_command
async def doctor(register: Register) -> int:
    """Check the installation, the clock, the journal and the terminal, and give advice. No money is moved.

    A payment with an unknown outcome is shown, but does not change the exit code; that of getnet-pos recover is 5 then.
    """
    findings = [_installation(), _clock()]
    worst = ExitCode.DONE
    # The terminal first: the poll may settle payments in the journal.
    terminal = await _terminal(register)
    for finding, code in (_journal(register), *terminal):
        findings.append(finding)
        worst = worst or code

    def show(console: object) -> None:
        made = table("", "what", "found", "what to do")
        for one in findings:
            made.add_row("ok" if one.well else "!!", one.what, clean(one.found), clean(one.advice))
        console.print(made)  # type: ignore[attr-defined]  # rich is imported only where it is used

    register.screen.result({"findings": [vars(one) for one in findings]}, show)
    return worst


def _installation() -> _Finding:
    found = f"getnet-pos {__version__}, {BACKEND} codec"
    if BACKEND == "native":
        return _Finding("installation", found)
    advice = "it works; for more speed install a prebuilt wheel, or unset GETNET_POS_BACKEND"
    return _Finding("installation", found, True, advice)


def _clock() -> _Finding:
    now = datetime.now(timezone.utc)
    well = now.year >= 2026
    advice = "" if well else "set the clock: commands contain its time, and certificates are checked against it"
    return _Finding("clock", f"{now:%Y-%m-%d %H:%M:%S} UTC", well, advice)


def _journal(register: Register) -> tuple[_Finding, ExitCode]:
    try:
        intents = register.journal_intents()
    except JournalError as error:
        return _Finding(
            "journal", str(error), False, "repair the journal: until then no payment command is sent"
        ), ExitCode.JOURNAL
    still_open = sum(one.open for one in intents)
    unknown = len(intents) - still_open
    found = f"{place_of(register.journal or DEFAULT_JOURNAL)}: {still_open} open, {unknown} with an unknown outcome"
    if unknown:
        return _Finding("journal", found, False, "run getnet-pos intents, then getnet-pos resolve"), ExitCode.DONE
    advice = "run getnet-pos poll: it queries the terminal about the open payments" if still_open else ""
    return _Finding("journal", found, True, advice), ExitCode.DONE


async def _terminal(register: Register) -> list[tuple[_Finding, ExitCode]]:
    what = f"terminal, profile {register.settings.name}"
    began = time.monotonic()
    try:
        async with register.opened() as pos:
            polled = await pos.polling()
    except GetnetError as error:
        return [(_Finding(what, type(error).__name__, False, str(error)), exit_code(error))]
    took = f"{(time.monotonic() - began) * 1000:.0f} ms"
    said = f"{polled.response_code}: {polled.response_message or 'no reason given'}"
    if is_ready(polled):
        findings = [(_Finding(what, f"ready, replied in {took}"), ExitCode.DONE)]
    else:
        findings = [(_Finding(what, f"not ready ({said})", False, "look at the terminal's screen"), ExitCode.REFUSED)]
    return findings + [(finding, ExitCode.DONE) for finding in _commands(polled, register.settings)]


def _commands(polled: Polled, profile: Profile | None) -> Iterator[_Finding]:
    """What the poll found out about payment commands of this terminal and of others."""
    if polled.another_terminal is not None:
        advice = "if you did not replace the terminal on purpose, check whether two terminals are swapped"
        yield _Finding("which terminal", polled.another_terminal, False, advice)
    for what, intents, advice in (
        ("settled now", polled.settled, "tell the person who started this payment"),
        ("in progress", polled.in_progress, "another process is waiting for this payment"),
        ("other terminals", polled.elsewhere, "poll that terminal, or look at its vouchers and run getnet-pos resolve"),
    ):
        for one in intents:
            found = f"{asked_for(one, profile)}: {one.state}, at {one.terminal}"
            yield _Finding(what, found, what == "in progress", advice)
