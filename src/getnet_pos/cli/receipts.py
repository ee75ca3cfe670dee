"""The command that prints the receipt of a past payment, from the terminal's record. It moves no money."""

from __future__ import annotations

import sys
from enum import Enum
from typing import Annotated

import typer

from ..errors import UnsupportedOperation
from ..messages import Duplicate, Voucher
from ..messages.documents import reply_document
from ..receipts import COLUMNS, Copy
from ..receipts import receipt as receipt_text
from .register import Register, terminal_command

__all__ = ["receipt"]


_WIDTHS = {str(columns): columns for columns in COLUMNS}


def _width(text: object) -> int:
    """The default comes here as well, as a number."""
    if str(text) not in _WIDTHS:
        raise typer.BadParameter(f"{text!r} is not one of {', '.join(_WIDTHS)}")
    return _WIDTHS[str(text)]


class Language(Enum):
    SPANISH = "es"
    PORTUGUESE = "pt"
    ENGLISH = "en"


@terminal_command
async def receipt(
    register: Register,
    operation_id: Annotated[
        int | None,
        typer.Argument(metavar="OPERATION_ID", help="The id of the payment's operation; without it, the last payment."),
    ] = None,
    columns: Annotated[
        int,
        typer.Option(parser=_width, metavar=f"[{'|'.join(_WIDTHS)}]", help="The width of the paper, in characters."),
    ] = 32,
    copy: Annotated[Copy, typer.Option(help="Whom the receipt is for.")] = Copy.CUSTOMER,
    language: Annotated[Language | None, typer.Option(help="The profile's language unless given.")] = None,
) -> int:
    """Print the receipt of a past payment as text, to read or to send to a printer.

    The terminal is asked for its last voucher, or for a duplicate of the voucher of OPERATION_ID. It prints nothing
    itself: for that there is --print of last and duplicate. Each receipt is marked as a duplicate.
    """
    if operation_id is not None:
        Duplicate(operation_id)
    async with register.ready() as pos:
        with register.screen.waiting("asking for the voucher ..."):
            try:
                reply = await (pos.last_voucher() if operation_id is None else pos.duplicate(operation_id))
            except UnsupportedOperation as error:
                raise UnsupportedOperation(
                    "the last voucher cannot be read over this link: name the operation, which getnet-pos report "
                    "details lists"
                    if operation_id is None
                    else "the voucher of an operation cannot be read over this link: leave OPERATION_ID out for that "
                    "of the last payment"
                ) from error
    if not reply.approved or not isinstance(reply, Voucher):
        return register.end(reply)
    text = receipt_text(
        reply,
        copy=copy,
        columns=columns,
        profile=register.settings,
        language=None if language is None else language.value,
        duplicate=True,
    )
    register.screen.result({**reply_document(reply), "receipt": text}, lambda console: _print(text))
    return 0


def _print(text: str) -> None:
    """As it is: a console would break its lines where the window ends."""
    sys.stdout.write(text)
    sys.stdout.flush()
