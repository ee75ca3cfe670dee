"""The connectors: ``Connector``, which blocks, and ``AsyncConnector``; the same flows under two drivers.

``create_usb`` without a port searches the serial ports that ``candidate_ports`` lists. A program can replace that
function with its own.
"""

from ..transports.serial import candidate_ports
from ._aio import AsyncConnector
from ._blocking import Connector

__all__ = ["AsyncConnector", "Connector", "candidate_ports"]
