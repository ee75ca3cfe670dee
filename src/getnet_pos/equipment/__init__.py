"""The clients of Getnet's Active Payment Terminal API (docs/equipment.md). ``flows.listing`` has the procedure."""

from ._aio import AsyncEquipmentClient
from ._blocking import EquipmentClient
from ._common import Environment

__all__ = ["AsyncEquipmentClient", "Environment", "EquipmentClient"]
