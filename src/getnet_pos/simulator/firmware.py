"""What the software of a virtual terminal is like, whatever it is asked: plain data. It does nothing by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["A920", "Firmware"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Firmware:
    """Ways that were seen of real terminals; as it stands, none of them. Fields go by their wire names."""

    camel_case: bool = False
    """Every message has its keys in camelCase, whatever the behaviour says."""
    omit: tuple[str, ...] = ()
    """Fields that no reply with a voucher has: ``("Ticket",)``, ``("RealDate", "AccountingDate")``."""
    record_omit: tuple[str, ...] = ()
    """Fields that the last voucher (101) lacks besides."""
    record_change: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Fields that the last voucher has otherwise than they should be."""
    refuses_iso_dates: bool = False
    """A command whose ``DateTime`` begins with the year is answered ``Received: false``."""
    stops_at_flush: bool = False
    """A register that flushes what has come in is not answered its sales any more, nor are they carried out, until the
    terminal is plugged in anew. ``SerialServer`` sees it on a pseudo-terminal."""
    delivers_unsent: bool = False
    """The last reply that could not be sent, since the terminal was unplugged, is sent a second after it is plugged in
    again."""


A920 = Firmware(
    camel_case=True,
    record_omit=("Ticket",),
    record_change={"FunctionCode": 101, "OperationId": 0},
    stops_at_flush=True,
    delivers_unsent=True,
)
"""A PAX A920 on USB."""
