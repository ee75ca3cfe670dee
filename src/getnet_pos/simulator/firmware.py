"""How the firmware of a virtual terminal deviates from the documentation, as plain data. It does nothing by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["A920", "Firmware"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Firmware:
    """Deviations seen in real terminals; by default, none. Fields have their wire names.

    Examples:
        >>> from getnet_pos.simulator import Firmware, VirtualTerminal
        >>> terminal = VirtualTerminal(firmware=Firmware(omit=("Ticket",)))
    """

    camel_case: bool = False
    """All messages have camelCase keys, whatever the behaviour says."""
    omit: tuple[str, ...] = ()
    """Fields missing in every reply with a voucher: ``("Ticket",)``, ``("RealDate", "AccountingDate")``."""
    record_omit: tuple[str, ...] = ()
    """Fields also missing in the last voucher (101)."""
    record_change: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Fields with other values in the last voucher than in the original reply."""
    refuses_iso_dates: bool = False
    """The terminal replies ``Received: false`` to a command whose ``DateTime`` begins with the year."""
    stops_at_flush: bool = False
    """Once a register flushes its input buffer, its sales are neither carried out nor replied to until the terminal is
    plugged in again. ``SerialServer`` detects this on a pseudo-terminal."""
    delivers_unsent: bool = False
    """If the terminal could not send its last reply because it was unplugged, it sends it one second after it is
    plugged in again."""


A920 = Firmware(
    camel_case=True,
    record_omit=("Ticket",),
    record_change={"FunctionCode": 101, "OperationId": 0},
    stops_at_flush=True,
    delivers_unsent=True,
)
"""A PAX A920 on USB."""
