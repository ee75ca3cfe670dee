"""The command that looks at everything a sale needs, and says what to do about what is missing. It moves no money."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timezone

from .._version import __version__
from ..codec import BACKEND
from ..errors import GetnetError, JournalError
from ..messages import IntentState
from .ends import ExitCode, clean, exit_code
from .register import Register, terminal_command
from .shown import table

__all__ = ["doctor"]


@dataclass
class _Finding:
    """One thing that was looked at: ``advice`` says what to do where it is not well."""

    what: str
    found: str
    well: bool = True
    advice: str = ""


@terminal_command
async def doctor(register: Register) -> int:
    """Look at the installation, the clock, the journal and the terminal, and advise. No money is moved."""
    findings = [_installation(), _clock()]
    worst = ExitCode.DONE
    for finding, code in (_journal(register), await _terminal(register)):
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
    advice = "works; for speed install a prebuilt wheel, or leave GETNET_POS_BACKEND unset"
    return _Finding("installation", found, True, advice)


def _clock() -> _Finding:
    now = datetime.now(timezone.utc)
    well = now.year >= 2026
    advice = "" if well else "set the clock: commands carry the register's time, and certificates are checked by it"
    return _Finding("clock", f"{now:%Y-%m-%d %H:%M:%S} UTC", well, advice)


def _journal(register: Register) -> tuple[_Finding, ExitCode]:
    try:
        intents = register.journal_intents()
    except JournalError as error:
        return _Finding("journal", str(error), False, "no money command is sent until this is mended"), ExitCode.JOURNAL
    unknown = [one for one in intents if one.state is IntentState.UNKNOWN]
    still_open = len(intents) - len(unknown)
    found = f"{still_open} open, {len(unknown)} of unknown outcome"
    if unknown:
        return _Finding("journal", found, False, "look at getnet-pos intents, then getnet-pos resolve"), ExitCode.DONE
    advice = "polling the terminal asks about what is open" if still_open else ""
    return _Finding("journal", found, True, advice), ExitCode.DONE


async def _terminal(register: Register) -> tuple[_Finding, ExitCode]:
    what = f"terminal, profile {register.settings.name}"
    began = time.monotonic()
    try:
        async with register.opened() as pos:
            reply = await pos.polling()
    except GetnetError as error:
        return _Finding(what, type(error).__name__, False, str(error)), exit_code(error)
    took = f"{(time.monotonic() - began) * 1000:.0f} ms"
    if reply.approved and reply.connected is not False:
        return _Finding(what, f"ready, answered in {took}"), ExitCode.DONE
    said = f"{reply.response_code}: {reply.response_message or 'no reason given'}"
    return _Finding(what, f"not ready ({said})", False, "look at the terminal's screen"), ExitCode.REFUSED
