"""The closed and half-closed value sets of the wire. An unknown number stays a plain ``int`` and never fails."""

from __future__ import annotations

from enum import Enum, IntEnum

__all__ = ["FrameFault", "ProgressCode", "ReportKind", "SaleType", "Wire"]


class Wire(Enum):
    """The two local wires (docs/protocol.md, "Two local wires")."""

    SIGNED = "signed"
    SIMPLIFIED = "simplified"


class SaleType(IntEnum):
    """What is being sold, for the tax document (docs/protocol.md, "Commands")."""

    SALE = 0
    SALE_AFFECTS = 1
    INVOICE_AFFECTS = 2
    SALE_EXEMPTED = 3
    INVOICE_EXEMPTED = 4
    COLLECTION_AFFECTS = 5
    COLLECTION_EXEMPTED = 6


class ProgressCode(IntEnum):
    """What the terminal is doing while a sale waits (docs/protocol.md, "Progress")."""

    CARD_READING = 78
    CONFIRM_AMOUNT = 79
    FEES_ENTRY = 80
    PIN_ENTRY = 81
    SENDING = 82
    TIP_ENTRY = 83
    CHANGE_ENTRY = 84


class ReportKind(Enum):
    """The reports a terminal can give; the value is the command code."""

    TOTALS = 104
    DETAILS = 105
    SALES_BY_SELLER = 110
    TIPS = 111
    PARAMETERS = 114
    SIM = 115
    SHIFT = 136


class FrameFault(Enum):
    """Why bytes were not taken as a message."""

    MALFORMED = "malformed"
    TOO_LARGE = "too large"
    SIGNATURE = "signature"
    CHECKSUM = "checksum"
