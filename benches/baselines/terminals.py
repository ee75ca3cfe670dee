"""A listing of terminals by the usual means: to dicts by ``json`` and ``orjson``, to typed structs by ``msgspec``."""

from __future__ import annotations

import json
from datetime import datetime

import msgspec
import orjson

from getnet_pos.messages.terminals import CommercialMode

__all__ = ["json_dicts", "msgspec_structs", "orjson_dicts"]

json_dicts = json.loads
orjson_dicts = orjson.loads


class Terminal(msgspec.Struct, frozen=True):
    payment_terminal_sku: str | None = None
    payment_terminal_serial_number: str | None = None
    capture_method_code: str | None = None
    capture_method_des: str | None = None
    communication_method_code: str | None = None
    communication_method_des: str | None = None
    activation_datetime: datetime | None = None
    payment_terminal_brand: str | None = None
    payment_terminal_model: str | None = None
    commercial_mode: CommercialMode | None = None
    warranty_available: bool | None = None


class Equipments(msgspec.Struct, frozen=True):
    item: list[Terminal]


class Listing(msgspec.Struct, frozen=True):
    merchant_id: str
    equipments: Equipments


msgspec_structs = msgspec.json.Decoder(Listing).decode
