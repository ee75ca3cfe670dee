"""Finds the serial port of the terminal: the first one that answers a poll as a terminal does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ..errors import ConnectError, GetnetError
from ..messages import Wire
from ..profiles import Profile, Timeouts
from .effects import Close, Compute, Flow, Use
from .payment import Till, greet
from .stream import StreamCarrier

__all__ = ["find_usb_terminal"]


def find_usb_terminal(
    *, list_ports: Callable[[], list[str]], wire: Wire, profile: Profile, timeouts: Timeouts, baudrate: int
) -> Flow[str]:
    """Select the port of the terminal, without opening it, and return the terminal's name.

    ``list_ports`` returns the ports to try, the likeliest first.

    Raises:
        ConnectError: no terminal was found; the message says what each port did.
    """
    tried: list[str] = []
    for port in (yield Compute(list_ports)):
        yield Use(port, baudrate)
        carrier = StreamCarrier(profile, _trial(timeouts), wire=wire, acknowledges=True)
        terminal = f"usb:{port}"
        try:
            why_not = "" if (yield from greet(Till(carrier, terminal))).approved else "a terminal that is not ready"
        except GetnetError as error:
            why_not = str(error)
        yield Close()
        if not why_not:
            return terminal
        tried.append(f"{port} ({why_not})")
    raise ConnectError(
        "no terminal was found: check that it is on, connected and in integrated mode, or give the port; tried: "
        + ("; ".join(tried) or "there is no serial port")
    )


def _trial(timeouts: Timeouts) -> Timeouts:
    """Shorter time limits for trying a port."""
    return replace(timeouts, acknowledgement=min(1.0, timeouts.acknowledgement), short=min(2.5, timeouts.short))
