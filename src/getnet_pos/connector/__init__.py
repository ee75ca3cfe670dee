"""What a caller holds: ``Connector``, which blocks, and ``AsyncConnector``; the same flows under two drivers.

``candidate_ports`` lists the serial ports that ``create_usb`` looks at when it is given none. A program that knows
better puts a function of its own in its place.
"""

from ..transports.serial import candidate_ports
from ._aio import AsyncConnector
from ._blocking import Connector

__all__ = ["AsyncConnector", "Connector", "candidate_ports"]
