"""The simplified wire by the usual loops over bytes, unchecked but for the LRC, and to text."""

from __future__ import annotations

from typing import Any

__all__ = ["encode", "read"]


def _lrc(body: bytes) -> int:
    lrc = 0
    for byte in body:
        lrc ^= byte
    return lrc


def read(stream: bytes) -> list[str]:
    body = bytearray()
    inside = ended = False
    for byte in stream:
        if ended:
            if _lrc(bytes(body)) != byte:
                raise ValueError("the LRC does not fit")
            return body[:-1].decode().split("|")
        if inside:
            body.append(byte)
            ended = byte == 0x03
        else:
            inside = byte == 0x02
    raise ValueError("no whole frame")


def encode(command: Any) -> bytes:
    parts = [
        str(command.code),
        str(command.amount),
        command.ticket or "",
        str(command.print_on_pos).lower(),
        str(int(command.sale_type)),
        str(command.employee_id),
    ]
    body = bytearray()
    for part in parts:
        for character in part:
            body.append(ord(character))
        body.append(ord("|"))
    body.append(0x03)
    return bytes([0x02, *body, _lrc(bytes(body))])
