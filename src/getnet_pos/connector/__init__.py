"""What a caller holds: ``Connector``, which blocks, and ``AsyncConnector``; the same flows under two drivers."""

from ._aio import AsyncConnector
from ._blocking import Connector

__all__ = ["AsyncConnector", "Connector"]
