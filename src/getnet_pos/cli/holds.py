"""The commands that hold an amount on a card, charge of it, and let it go."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from ..errors import ProvisionalCommandWarning
from ..messages import PreAuthorization, PreAuthorizationCompletion, PreAuthorizationRelease
from .amounts import read_amount, show_amount
from .payments import AmountArgument, EmployeeOption, PrintOption, cancelled_by_hand
from .register import Register, terminal_command
from .screen import Screen

__all__ = ["complete", "pre_authorize", "release"]

_CodeArgument = Annotated[
    str, typer.Argument(metavar="AUTHORIZATION_CODE", help="The authorization code of the pre-authorization.")
]


@terminal_command
async def pre_authorize(
    register: Register,
    amount: AmountArgument,
    ticket: Annotated[
        str | None, typer.Option(help="Your own number for this hold; one is generated unless given.")
    ] = None,
    employee: EmployeeOption = 1,
    print_on_pos: PrintOption = False,
) -> int:
    """Hold AMOUNT on a card. Ctrl-C asks the terminal to cancel; a second Ctrl-C stops waiting.

    Getnet has published no command codes for holds: the profile integrated-pos uses provisional ones.
    """
    units = read_amount(amount, register.settings)
    PreAuthorization(units, ticket, print_on_pos, employee_id=employee)
    screen = register.screen
    async with register.ready() as pos:
        with _provisional(screen), screen.waiting(f"holding {show_amount(units, register.settings)} ..."):
            holding = pos.pre_authorization(
                units,
                ticket=ticket,
                print_on_pos=print_on_pos,
                employee_id=employee,
                on_progress=screen.progress,
                timeout=register.timeout,
            )
            reply = await cancelled_by_hand(pos, holding, screen)
    return register.end(reply)


@terminal_command
async def complete(
    register: Register, authorization_code: _CodeArgument, amount: AmountArgument, print_on_pos: PrintOption = False
) -> int:
    """Charge AMOUNT of a pre-authorization, and release the rest."""
    units = read_amount(amount, register.settings)
    PreAuthorizationCompletion(authorization_code, units)
    screen = register.screen
    async with register.ready() as pos:
        with _provisional(screen), screen.waiting(f"charging {show_amount(units, register.settings)} ..."):
            reply = await pos.complete_pre_authorization(authorization_code, units, print_on_pos=print_on_pos)
    return register.end(reply)


@terminal_command
async def release(register: Register, authorization_code: _CodeArgument, print_on_pos: PrintOption = False) -> int:
    """Release a pre-authorization without charging it."""
    PreAuthorizationRelease(authorization_code)
    screen = register.screen
    async with register.ready() as pos:
        with _provisional(screen), screen.waiting("releasing ..."):
            reply = await pos.release_pre_authorization(authorization_code, print_on_pos=print_on_pos)
    return register.end(reply)


@contextmanager
def _provisional(screen: Screen) -> Iterator[None]:
    """Tell, as a note, that the codes are provisional."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ProvisionalCommandWarning)
        yield
    for warning in caught:
        screen.note(str(warning.message))
