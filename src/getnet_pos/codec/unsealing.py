"""Reads commands in signed frames that other programs wrote, in the same way for both backends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from ..errors import InvalidValue, MalformedFrame
from ..messages import (
    BadFrame,
    Catalogue,
    Command,
    CommandMessage,
    GenericCommand,
    OriginalData,
    SealedCommand,
)
from ..messages.declaring import SentField, sent_fields
from ..messages.fields import Kind
from .messages import boolean, whole
from .surface import StreamDecoder

__all__ = ["unsealed"]


def unsealed(decoder: StreamDecoder, frame: bytes, catalogue: Catalogue) -> SealedCommand[Any]:
    """The command in ``frame``, together with the frame; ``decoder`` must be a new one."""
    messages = decoder.feed(frame)
    for message in messages:
        if isinstance(message, BadFrame):
            raise message.error()
    if len(messages) != 1 or decoder.pending or decoder.skipped or frame[:1] != b"{":
        raise MalformedFrame("a command must be one complete signed object, with nothing before or after it")
    [message] = messages
    if not isinstance(message, CommandMessage):
        raise MalformedFrame("the signed text is not a command: the field Command, its code, is missing")
    return SealedCommand(_command(message, catalogue), bytes(frame))


def _command(message: CommandMessage, catalogue: Catalogue) -> Command[Any]:
    kind = catalogue.kind(message.code)
    given = {name: value for name, value in message.fields.items() if value is not None}
    date_time = given.pop("DateTime", None)
    if kind is None:
        _check_spelling(message.fields, ["DateTime"])
        return GenericCommand(given, code=message.code, date_time=date_time)
    sent = sent_fields(kind)
    _check_spelling(message.fields, ["DateTime", *(item.wire for item in sent)])
    values = {item.name: _value(item, given[item.wire]) for item in sent if item.wire in given}
    needed = {item.name for item in fields(kind) if item.default is MISSING and item.default_factory is MISSING}
    for item in sent:
        if item.name in needed and item.name not in values:
            raise InvalidValue(f"command {message.code} needs the field {item.wire}")
    return kind(**values, date_time=date_time)


def _check_spelling(given: Mapping[str, Any], known: list[str]) -> None:
    """Refuse names in another case: a terminal may accept them, and would then read what we do not record."""
    spelled = {name.casefold(): name for name in known}
    for name in given:
        right = spelled.get(name.casefold(), name)
        if right != name:
            raise InvalidValue(f"the field {name} of the command must be spelled {right}")


def _value(item: SentField, value: Any) -> Any:
    if item.kind is Kind.INTEGER:
        number = whole(value)
        if number is None:
            raise InvalidValue(f"{item.wire} must be a whole number")
        return number
    if item.kind is Kind.BOOLEAN:
        flag = boolean(value)
        if flag is None:
            raise InvalidValue(f"{item.wire} must be true or false")
        return flag
    if item.wire == "OriginalData" and type(value) is dict:
        return OriginalData(value.get("Mti", ""), value.get("DE11", ""), value.get("DE12", ""), value.get("DE13", ""))
    return str(value) if type(value) is int else value
