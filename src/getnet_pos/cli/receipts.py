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
    """Read the option; its default arrives here as well, as a number."""
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
    copy: Annotated[Copy, typer.Option(help="Who receives the receipt.")] = Copy.CUSTOMER,
    language: Annotated[Language | None, typer.Option(help="By default the profile's language.")] = None,
) -> int:
    """Print the receipt of a past payment as text, to read or to send to a printer.

    The receipt is made from the terminal's last voucher, or from the voucher of OPERATION_ID, and is marked as a
    duplicate. The terminal itself prints nothing: use last --print or duplicate --print for that.
    """
    if operation_id is not None:
        Duplicate(operation_id)
    async with register.ready() as pos:
        with register.screen.waiting("asking for the voucher ..."):
            try:
                reply = await (pos.last_voucher() if operation_id is None else pos.duplicate(operation_id))
            except UnsupportedOperation as error:
                raise UnsupportedOperation(
                    "the last voucher cannot be read over this link: pass the OPERATION_ID, which getnet-pos report "
                    "details lists"
                    if operation_id is None
                    else "the voucher of an operation cannot be read over this link: leave out OPERATION_ID to get "
                    "that of the last payment"
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
    """Print it unchanged: a console would wrap its lines at the width of the window."""
    sys.stdout.write(text)
    sys.stdout.flush()
