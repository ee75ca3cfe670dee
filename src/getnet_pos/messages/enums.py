"""The enumerations of the wire. An unknown number stays a plain ``int``: it is never an error."""

from __future__ import annotations

from enum import Enum, IntEnum

__all__ = ["FrameFault", "ProgressCode", "ReportKind", "SaleType", "Wire"]


class Wire(Enum):
    """The two wire formats of a local terminal (docs/protocol.md, "Two local wires").

    Examples:
        >>> Wire("simplified")
        <Wire.SIMPLIFIED: 'simplified'>
    """

    SIGNED = "signed"
    SIMPLIFIED = "simplified"


class SaleType(IntEnum):
    """What is being sold, for the tax document (docs/protocol.md, "Commands").

    Examples:
        >>> pos.sale(25_000, sale_type=SaleType.SALE_EXEMPTED).sale_type
        <SaleType.SALE_EXEMPTED: 3>
    """

    SALE = 0
    SALE_AFFECTS = 1
    INVOICE_AFFECTS = 2
    SALE_EXEMPTED = 3
    INVOICE_EXEMPTED = 4
    COLLECTION_AFFECTS = 5
    COLLECTION_EXEMPTED = 6


class ProgressCode(IntEnum):
    """What the terminal is doing during a sale (docs/protocol.md, "Progress").

    Examples:
        >>> ProgressCode(81)
        <ProgressCode.PIN_ENTRY: 81>
    """

    CARD_READING = 78
    CONFIRM_AMOUNT = 79
    FEES_ENTRY = 80
    PIN_ENTRY = 81
    SENDING = 82
    TIP_ENTRY = 83
    CHANGE_ENTRY = 84


class ReportKind(Enum):
    """The reports of a terminal; the value is the command code.

    Examples:
        >>> pos.get_reports(ReportKind.TOTALS).approved
        True
    """

    TOTALS = 104
    DETAILS = 105
    SALES_BY_SELLER = 110
    TIPS = 111
    PARAMETERS = 114
    SIM = 115
    SHIFT = 136


class FrameFault(Enum):
    """Why bytes could not be read as a message.

    Examples:
        >>> BadFrame(FrameFault.SIGNATURE, "the signature does not match", size=120).fault.value
        'signature'
    """

    MALFORMED = "malformed"
    TOO_LARGE = "too large"
    SIGNATURE = "signature"
    CHECKSUM = "checksum"
