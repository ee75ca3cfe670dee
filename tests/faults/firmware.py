"""How firmware spells what it says: the same reply, written in the ways that were seen. It changes no meaning."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

from getnet_pos.codec import envelope, signature

__all__ = ["spelling"]

_NUMBERS = ("Amount", "OperationId", "CommerceCode", "ResponseCode", "FunctionCode")


def spelling(rng: random.Random) -> Callable[[bytes], bytes]:
    """A firmware's own way of writing, made of ``rng``: every envelope that it sends is written so."""
    ways: list[Callable[[dict[str, Any]], None]] = []
    if rng.random() < 0.5:
        ways.append(rng.choice((_numbers_as_text, _numbers_as_floats)))
    if rng.random() < 0.5:
        ways.append(rng.choice((_padded_ticket, _small_ticket, _short_ticket)))
    if rng.random() < 0.5:
        ways.append(rng.choice((_day_first, _iso_date, _no_seconds)))
    if rng.random() < 0.3:
        ways.append(_truth_as_text)

    def spelled(data: bytes) -> bytes:
        try:
            outer = json.loads(data)
            if not isinstance(outer["JsonSerialized"], str):
                return data
            if outer["Sign"] != signature(outer["JsonSerialized"]):
                # Damaged on its way: it stays as it is.
                return data
            inner = json.loads(outer["JsonSerialized"])
        except (ValueError, KeyError, TypeError):
            return data
        if not isinstance(inner, dict) or "ResponseCode" not in inner or inner.get("Ticket") is True:
            return data
        for way in ways:
            way(inner)
        return envelope(json.dumps(inner, ensure_ascii=False))

    return spelled


def _numbers_as_text(inner: dict[str, Any]) -> None:
    for name in _NUMBERS:
        if isinstance(inner.get(name), int):
            inner[name] = f"{inner[name]:02d}" if name == "ResponseCode" else str(inner[name])


def _numbers_as_floats(inner: dict[str, Any]) -> None:
    for name in ("Amount", "OperationId"):
        if isinstance(inner.get(name), int):
            inner[name] = float(inner[name])


def _padded_ticket(inner: dict[str, Any]) -> None:
    if inner.get("Ticket"):
        inner["Ticket"] = f"{inner['Ticket']:<12}"


def _small_ticket(inner: dict[str, Any]) -> None:
    if inner.get("Ticket"):
        inner["Ticket"] = inner["Ticket"].lower()


def _short_ticket(inner: dict[str, Any]) -> None:
    """A number loses its leading zeros."""
    if str(inner.get("Ticket")).isdigit():
        inner["Ticket"] = int(inner["Ticket"])


def _day_first(inner: dict[str, Any]) -> None:
    date = inner.get("RealDate")
    if date:
        inner["RealDate"] = f"{date[8:10]}-{date[5:7]}-{date[:4]}{date[10:]}"


def _iso_date(inner: dict[str, Any]) -> None:
    if inner.get("RealDate"):
        inner["RealDate"] = inner["RealDate"].replace(" ", "T") + ".000"


def _no_seconds(inner: dict[str, Any]) -> None:
    if inner.get("RealDate"):
        inner["RealDate"] = inner["RealDate"][:16]


def _truth_as_text(inner: dict[str, Any]) -> None:
    for name in ("Success", "Connected"):
        if isinstance(inner.get(name), bool):
            inner[name] = str(inner[name])
