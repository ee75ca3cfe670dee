"""The command that lists the serial ports."""

from __future__ import annotations

from typing import Any

from .ends import ExitCode, printable
from .register import JsonOption
from .screen import Screen
from .shown import table

__all__ = ["ports"]


def ports(as_json: JsonOption = False) -> int:
    """List the serial ports that may have a terminal, the likeliest first."""
    from serial.tools import list_ports

    from ..transports.serial import candidate_ports, is_likely

    present = {port.device: port for port in list_ports.comports()}
    found = [_document(present[name], is_likely(present[name])) for name in candidate_ports() if name in present]
    Screen(as_json).listing(found, lambda console: _show(console, found))
    return ExitCode.DONE


def _document(port: Any, likely: bool) -> dict[str, Any]:
    usb = None if port.vid is None else f"{port.vid:04x}:{port.pid:04x}"
    return {
        "port": port.device,
        "likely": likely,
        "usb": usb,
        "manufacturer": port.manufacturer,
        "description": port.description,
    }


def _show(console: Any, found: list[dict[str, Any]]) -> None:
    if not found:
        console.print("no serial port was found: plug in the terminal, switch it on, and try again")
        return
    made = table("port", "likely", "usb", "description")
    for row in found:
        names = [part for part in (row["manufacturer"], row["description"]) if part and part != "n/a"]
        made.add_row(row["port"], "yes" if row["likely"] else "", row["usb"] or "", printable(", ".join(names)))
    console.print(made)
