"""Lays out the terminal's reply as the text of a receipt. It does no I/O.

A receipt shows what the terminal reported and calculates nothing. Of a card number it shows only the last four digits.
It is neither the terminal's own voucher nor a tax document; the law requires other things of those
(docs/guides/receipts.md).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Final

from .errors import ConfigurationError, InvalidType, InvalidValue
from .masking import mask
from .messages import (
    DuplicateReply,
    MultiCommerceRefundReply,
    MultiCommerceSaleReply,
    MultiCommerceVoidReply,
    PreAuthorizationCompletionReply,
    PreAuthorizationReleaseReply,
    PreAuthorizationReply,
    RefundReply,
    Reply,
    SaleReply,
    VoidReply,
    Voucher,
)
from .money import grouped
from .profiles import Profile

__all__ = ["COLUMNS", "Copy", "card_words", "escpos_bytes", "receipt"]

COLUMNS: Final = (24, 32, 48)
"""The supported widths, in characters: a printer for 58 mm paper usually prints 32, one for 80 mm paper 48."""


class Copy(Enum):
    """Who receives a receipt.

    Examples:
        >>> from getnet_pos.receipts import Copy, receipt
        >>> sale = pos.sale(25_000, ticket="A1234")
        >>> "Merchant copy" in receipt(sale, copy=Copy.MERCHANT, language="en")
        True
    """

    CUSTOMER = "customer"
    MERCHANT = "merchant"


_WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "es": {
        "customer": "Copia cliente", "merchant": "Copia comercio", "duplicate": "DUPLICADO", "sale": "VENTA",
        "void": "ANULACIÓN", "refund": "DEVOLUCIÓN", "pre-authorization": "PREAUTORIZACIÓN", "completion": "CAPTURA",
        "release": "LIBERACIÓN", "other": "OPERACIÓN", "date": "Fecha", "terminal": "Terminal",
        "commerce": "Comercio", "ticket": "Ticket", "operation": "Operación", "card": "Tarjeta", "CR": "crédito",
        "DB": "débito", "PR": "prepago", "authorization": "Autorización", "shares": "Cuotas", "of": "de",
        "amount": "Monto", "tip": "Propina", "cashback": "Vuelto", "approved": "APROBADA", "refused": "NO APROBADA",
        "code": "Código", "notice": "No válido como documento tributario",
    },
    "pt": {
        "customer": "Via do cliente", "merchant": "Via do estabelecimento", "duplicate": "SEGUNDA VIA",
        "sale": "VENDA", "void": "CANCELAMENTO", "refund": "DEVOLUÇÃO", "pre-authorization": "PRÉ-AUTORIZAÇÃO",
        "completion": "CAPTURA", "release": "LIBERAÇÃO", "other": "OPERAÇÃO", "date": "Data", "terminal": "Terminal",
        "commerce": "Estabelecimento", "ticket": "Ticket", "operation": "Operação", "card": "Cartão", "CR": "crédito",
        "DB": "débito", "PR": "pré-pago", "authorization": "Autorização", "shares": "Parcelas", "of": "de",
        "amount": "Valor", "tip": "Gorjeta", "cashback": "Troco", "approved": "APROVADA", "refused": "NÃO APROVADA",
        "code": "Código", "notice": "Não é documento fiscal",
    },
    "en": {
        "customer": "Customer copy", "merchant": "Merchant copy", "duplicate": "DUPLICATE", "sale": "SALE",
        "void": "VOID", "refund": "REFUND", "pre-authorization": "PRE-AUTHORIZATION", "completion": "CAPTURE",
        "release": "RELEASE", "other": "OPERATION", "date": "Date", "terminal": "Terminal", "commerce": "Merchant",
        "ticket": "Ticket", "operation": "Operation", "card": "Card", "CR": "credit", "DB": "debit", "PR": "prepaid",
        "authorization": "Authorization", "shares": "Installments", "of": "of", "amount": "Amount", "tip": "Tip",
        "cashback": "Cash back", "approved": "APPROVED", "refused": "NOT APPROVED", "code": "Code",
        "notice": "Not a tax document",
    },
}  # fmt: skip
_BRANDS: Final[Mapping[str, str]] = {
    "VI": "Visa", "MC": "Mastercard", "MA": "Maestro", "AX": "American Express", "DC": "Diners Club",
}  # fmt: skip
_KINDS: Final[Mapping[type[Reply], str]] = {
    SaleReply: "sale", MultiCommerceSaleReply: "sale", VoidReply: "void", MultiCommerceVoidReply: "void",
    RefundReply: "refund", MultiCommerceRefundReply: "refund", PreAuthorizationReply: "pre-authorization",
    PreAuthorizationCompletionReply: "completion", PreAuthorizationReleaseReply: "release",
}  # fmt: skip
"""The name of an operation in ``_WORDS``, by the type of its reply."""
_SEPARATORS: Final[Mapping[str, tuple[str, str]]] = {"en": (",", "."), "es": (".", ","), "pt": (".", ",")}
_SIGNS: Final[Mapping[str, str]] = {"CLP": "$", "ARS": "$", "BRL": "R$ "}


def receipt(
    voucher: Voucher,
    *,
    copy: Copy = Copy.CUSTOMER,
    columns: int = 32,
    profile: Profile = Profile.INTEGRATED_POS,
    language: str | None = None,
    duplicate: bool = False,
) -> str:
    """The receipt of a reply with a voucher, such as ``SaleReply``, or of a row of the details report.

    Each line has at most ``columns`` characters (24, 32 or 48) and ends with a line feed. ``profile`` determines how
    amounts and the merchant's tax number are written; ``language`` overrides its language. ``duplicate`` marks a copy
    of an earlier receipt. The receipt of an operation that was not approved says so, with its response code.

    Raises:
        InvalidType: ``voucher`` is not a voucher, or ``copy`` is not a ``Copy``.
        InvalidValue: the width or the language is not supported.

    Examples:
        >>> from getnet_pos.receipts import receipt
        >>> print(receipt(pos.sale(25_000, ticket="A1234"), profile=Profile.CHILE, language="en"))
                     GETNET
        ...
        Ticket                     A1234
        ...
        Amount                   $25,000
        --------------------------------
                    APPROVED
        ...
    """
    if not isinstance(voucher, Voucher):
        raise InvalidType(
            "voucher must be a reply with a voucher, such as a SaleReply, or a row of a details report, not "
            f"{type(voucher).__name__}"
        )
    if not isinstance(copy, Copy):
        raise InvalidType(f"copy must be Copy.CUSTOMER or Copy.MERCHANT, not {copy!r}")
    if columns not in COLUMNS:
        raise InvalidValue(f"columns must be one of {', '.join(map(str, COLUMNS))}, not {columns!r}")
    return "".join(f"{line}\n" for line in _Paper(columns, profile, language).lines(voucher, copy, duplicate))


def card_words(voucher: Voucher, language: str = "en") -> str:
    """The card of a voucher in words, such as ``Visa debit ****0042``; empty if the voucher names no card.

    An unknown brand or card type is shown as the terminal sent it.

    Raises:
        InvalidValue: the language is not supported.

    Examples:
        >>> from getnet_pos.receipts import card_words
        >>> card_words(pos.sale(25_000))
        'Visa debit ****0042'
    """
    words = _words(language)
    brand, kind = (_plain(text) for text in (voucher.card_brand, voucher.card_type))
    digits = "".join(digit for digit in voucher.last4_digits or "" if digit.isdigit())[-4:]
    parts = (_BRANDS.get(brand.upper(), brand), words.get(kind.upper(), kind), digits and f"****{digits:>04}")
    return " ".join(part for part in parts if part)


def escpos_bytes(text: str, *, printer: str = "default", cut: bool = True) -> bytes:
    """Encode a receipt for an ESC/POS printer, in the printer's code pages. Write the bytes to its socket or device.

    ``printer`` is the name of a printer profile of python-escpos, such as ``TM-T88III``; ``cut`` cuts the paper at the
    end.

    Raises:
        ConfigurationError: python-escpos is not installed, or has no such printer profile.
    """
    try:
        from escpos.exceptions import Error
        from escpos.printer import Dummy
    except ModuleNotFoundError:
        raise ConfigurationError('ESC/POS needs python-escpos: pip install "getnet-pos[escpos]"') from None
    try:
        device = Dummy(profile=printer)
    except (Error, KeyError):
        raise ConfigurationError(
            f"python-escpos has no printer profile {printer!r}: pass one of its own, such as 'TM-T88III'"
        ) from None
    device.hw("INIT")
    device.text(text)
    if cut:
        device.cut()
    return bytes(device.output)


def _words(language: str) -> Mapping[str, str]:
    if language not in _WORDS:
        raise InvalidValue(f"language must be one of {', '.join(_WORDS)}, not {language!r}")
    return _WORDS[language]


class _Paper:
    """The layout of a receipt in one width and one language."""

    def __init__(self, columns: int, profile: Profile, language: str | None) -> None:
        self._columns = columns
        self._profile = profile
        self._language = language or profile.language
        self._words = _words(self._language)

    def lines(self, voucher: Voucher, copy: Copy, duplicate: bool) -> Iterator[str]:
        words, rule = self._words, "-" * self._columns
        yield from self._centred("GETNET")
        for text in (voucher.commerce_name, self._tax_id(voucher), voucher.branch_name):
            yield from self._centred(text)
        yield from self._centred(voucher.branch_address)
        yield from self._centred(voucher.branch_district)
        yield rule
        yield from self._centred(self._kind(voucher.function_code))
        yield from self._centred(words[copy.value])
        if duplicate or isinstance(voucher, DuplicateReply):
            yield from self._centred(words["duplicate"])
        yield rule
        for name, value in self._details(voucher):
            yield from self._pair(words[name], value)
        yield rule
        approved = voucher.approved if isinstance(voucher, Reply) else voucher.response_code in (None, 0)
        yield from self._centred(words["approved" if approved else "refused"])
        if not approved:
            yield from self._centred(f"{words['code']} {voucher.response_code}")
            yield from self._centred(voucher.response_message)
        yield from self._centred(self._profile.notice or words["notice"])

    def _kind(self, code: int | None) -> str:
        """The name of the operation with this function code. The code of a query does not say which operation it is."""
        kind = self._profile.catalogue.kind(code or 0)
        return self._words["other" if kind is None else _KINDS.get(kind.reply_type, "other")]

    def _tax_id(self, voucher: Voucher) -> str:
        number = _plain(voucher.commerce_rut)
        return f"{self._profile.tax_id} {number}" if number else ""

    def _details(self, voucher: Voucher) -> Iterator[tuple[str, str]]:
        """The reported fields, by their names in ``_WORDS``. Terminals send an empty text or 0 for a missing field."""
        texts = (
            ("date", voucher.real_date), ("terminal", voucher.terminal_id), ("commerce", voucher.commerce_code),
            ("ticket", voucher.ticket), ("operation", voucher.operation_id),
            ("card", card_words(voucher, self._language)), ("authorization", voucher.authorization_code),
        )  # fmt: skip
        yield from ((name, text) for name, value in texts if (text := _plain(value)))
        if voucher.shares_number:
            each = f" {self._words['of']} {self._money(voucher.shares_amount)}" if voucher.shares_amount else ""
            yield "shares", f"{voucher.shares_number}{each}"
        amounts = (("tip", voucher.tip), ("cashback", voucher.cashback))
        yield from ((name, self._money(value)) for name, value in amounts if value)
        if voucher.amount is not None:
            yield "amount", self._money(voucher.amount)

    def _money(self, units: int) -> str:
        thousands, decimals = _SEPARATORS[self._language]
        profile = self._profile
        text = grouped(units, profile.amount_exponent, thousands=thousands, decimals=decimals)
        if profile.currency is None or profile.amount_exponent is None:
            return text
        return _SIGNS.get(profile.currency, f"{profile.currency} ") + text

    def _centred(self, text: str | None) -> Iterator[str]:
        for line in _wrapped(_plain(text), self._columns):
            yield (" " * ((self._columns - _width(line)) // 2) + line).rstrip()

    def _pair(self, name: str, value: str) -> Iterator[str]:
        """A name, and its value aligned to the right, on one line if both fit."""
        room = self._columns - _width(name) - _width(value)
        if room > 0:
            yield f"{name}{' ' * room}{value}"
            return
        yield name
        for line in _wrapped(value, self._columns - 1):
            yield " " * (self._columns - _width(line)) + line


def _plain(text: object) -> str:
    """Text on one line, without card numbers, control characters, and combining marks that printers cannot print."""
    whole = unicodedata.normalize("NFC", mask(str(text or "")))
    kept = (
        " " if char.isspace() else char for char in whole if char.isspace() or unicodedata.category(char)[0] not in "CM"
    )
    return " ".join("".join(kept).split())


def _width(text: str) -> int:
    """The columns that a text occupies: an East Asian character or an emoji occupies two."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def _wrapped(text: str, columns: int) -> Iterator[str]:
    """The text in lines of at most ``columns`` columns, broken between words if possible."""
    line = ""
    for word in text.split():
        joined = f"{line} {word}" if line else word
        if _width(joined) <= columns:
            line = joined
            continue
        if line:
            yield line
        line = ""
        for char in word:
            if _width(line + char) > columns:
                yield line
                line = ""
            line += char
    if line:
        yield line
