"""Bytes <-> messages in plain Python: the definition of what is accepted and what it means. Imports only messages.

A stream is read by a small machine that knows the grammar of JSON, so that the first byte that cannot belong to a frame
ends it: noise, a torn frame and an endless one are then found at the same byte however the stream is cut into chunks.
After a fault the bytes behind the frame's first are read again, within a bound, since a torn frame may have swallowed
the beginning of the next one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from hashlib import sha256 as _sha256
from typing import Any, BinaryIO, Final, cast

import orjson

from ..errors import InvalidValue, MalformedFrame, UnsupportedOperation
from ..messages import (
    CATALOGUE,
    Ack,
    BadFrame,
    Command,
    CommandMessage,
    FrameFault,
    GenericCommand,
    GenericReply,
    OriginalData,
    Progress,
    ProgressCode,
    Reply,
    SaleType,
)
from ..messages.declaring import sent_fields
from ..messages.fields import Kind, wire_fields
from ._grammar import JsonGrammar, SimplifiedGrammar
from ._json import integer, parse
from ._surface import Message
from ._terminals import read_terminals

__all__ = [
    "BACKEND",
    "MAX_FRAME",
    "Decoder",
    "acknowledgement",
    "chunks",
    "decode_many",
    "encode_simplified",
    "envelope",
    "frame_simplified",
    "lrc",
    "read_signed",
    "read_simplified",
    "read_terminals",
    "seal",
    "signature",
]

BACKEND: Final = "pure"

MAX_FRAME: Final = 1_048_576
"""The longest frame taken, in bytes."""

# ---------------------------------------------------------------------------------------------------------------- text


def signature(text: str) -> str:
    """SHA-256 of the UTF-8 bytes of ``text``, in upper-case hex (docs/protocol.md, "Envelope")."""
    return _sha256(text.encode()).hexdigest().upper()


def lrc(data: bytes | bytearray | memoryview) -> int:
    """The XOR of all bytes of ``data`` (docs/protocol.md, "Simplified frames")."""
    # Folding halves of one big integer costs a few operations instead of one for each byte.
    width = 1
    while width < len(data):
        width *= 2
    folded = int.from_bytes(data, "little")
    while width > 1:
        width //= 2
        folded = (folded >> (8 * width)) ^ (folded & ((1 << (8 * width)) - 1))
    return folded


def acknowledgement(received: bool) -> bytes:
    """``{"Received":true}`` or ``{"Received":false}``, unsigned."""
    return b'{"Received":true}' if received else b'{"Received":false}'


def envelope(text: str) -> bytes:
    """``text`` with its signature, as one signed frame."""
    return b'{"JsonSerialized":%b,"Sign":"%b"}' % (orjson.dumps(text), signature(text).encode())


def seal(command: Command) -> bytes:
    """``command`` as one signed frame."""
    return envelope(_inner_text(command))


def _inner_text(command: Command) -> str:
    inner: dict[str, Any] = {"Command": command.code}
    for item in sent_fields(type(command)):
        value = getattr(command, item.name)
        if value is not None or item.nullable:
            inner[item.wire] = _sent_value(value)
    if isinstance(command, GenericCommand):
        inner.update(command.fields)
    if command.date_time is not None:
        inner.setdefault("DateTime", command.date_time)
    try:
        return orjson.dumps(inner, option=orjson.OPT_PASSTHROUGH_SUBCLASS, default=_sent_value).decode()
    except orjson.JSONEncodeError as error:
        raise InvalidValue(f"a field of the command cannot be written as JSON: {error}") from None


def _sent_value(value: Any) -> Any:
    if isinstance(value, OriginalData):
        return {"Mti": value.mti, "DE11": value.de11, "DE12": value.de12, "DE13": value.de13}
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple):
        return list(value)
    return value


# ------------------------------------------------------------------------------------------------------------- replies

_Convert = Callable[[Any], Any]
_REFUSED: Final = object()
_SALE_TYPES = {int(item): item for item in SaleType}
_PROGRESS = {int(item): item for item in ProgressCode}


def _as_integer(value: Any) -> Any:
    return value if type(value) is int else _REFUSED


def _as_text(value: Any) -> Any:
    if type(value) is str:
        return value
    return str(value) if type(value) is int else _REFUSED


def _as_boolean(value: Any) -> Any:
    return value if type(value) is bool else _REFUSED


def _as_last_digits(value: Any) -> Any:
    if type(value) is str:
        return value
    return f"{value:04d}" if type(value) is int and value >= 0 else _REFUSED


def _as_sale_type(value: Any) -> Any:
    return _SALE_TYPES.get(value, value) if type(value) is int else _REFUSED


_CONVERT: dict[Kind, _Convert] = {
    Kind.INTEGER: _as_integer,
    Kind.TEXT: _as_text,
    Kind.BOOLEAN: _as_boolean,
    Kind.LAST_DIGITS: _as_last_digits,
    Kind.SALE_TYPE: _as_sale_type,
}


_AS_IT_IS = {(Kind.INTEGER, int), (Kind.TEXT, str), (Kind.BOOLEAN, bool), (Kind.LAST_DIGITS, str)}
"""What a field takes without a look at the value."""

_CONVERTED = {(Kind.TEXT, int), (Kind.SALE_TYPE, int)}
"""What a field always takes, but shows as something else."""

_SHAPES = 64
"""How many shapes of objects are remembered for each type."""

_Make = Callable[[dict[str, Any]], Any]


class _Layout:
    """How a wire object becomes one message type: which key goes to which slot, and how.

    Objects come in few shapes: the same keys in the same order with the same kinds of values. For each a function is
    made that makes a message in one assignment; what has no such function is built field by field.
    """

    __slots__ = ("_create", "_defaults", "_draft", "_extra", "_fields", "_known", "_last", "_message")

    def __init__(self, message: Any) -> None:
        self._message = message
        self._create: Callable[[], Any] = lambda: message.__new__(message)
        self._fields: dict[str, tuple[str, Kind, Callable[[Any, Any], None], _Convert]] = {}
        self._defaults: dict[str, tuple[Callable[[Any, Any], None], Any]] = {}
        for item in wire_fields(message):
            # A slot's own setter works on a frozen object too: the object is not shared yet.
            put = getattr(message, item.name).__set__
            convert = _rows(item.row) if item.row is not None else _CONVERT[item.kind]
            self._defaults[item.name] = (put, () if item.kind is Kind.ROWS else None)
            for spelling in item.spellings:
                self._fields[spelling] = (item.name, item.kind, put, convert)
        self._extra = message.extra.__set__
        self._draft: Any = _draft(message)
        self._known: dict[tuple[Any, ...], tuple[_Make, int] | None] = {}
        self._last: tuple[list[Any], tuple[_Make, int] | None] = ([], None)

    def known(self, inner: dict[str, Any]) -> tuple[_Make, int] | None:
        """What makes the message of an object of a shape that was built before, and how many quotation marks such an
        object is written with at least; ``None`` for any other shape."""
        # Most objects are like the one before, and lists compare faster than tuples hash.
        shape = [*inner, *map(type, inner.values())]
        last, known = self._last
        if shape != last:
            known = self._known.get(tuple(shape))
            if known is not None:
                self._last = shape, known
        return known

    def build(self, inner: dict[str, Any]) -> Any:
        """The message of a parsed object. A value of the wrong kind is kept in ``extra``, its field stays unset."""
        shape = (*inner, *map(type, inner.values()))
        if self._draft is not None and len(self._known) < _SHAPES and shape not in self._known:
            make = self._maker(inner)
            self._known[shape] = None if make is None else (make, 2 * len(inner) + 2 * shape.count(str))
        result = self._create()
        extra: dict[str, Any] = {}
        missing = dict(self._defaults)
        for key, value in inner.items():
            field = self._fields.get(key)
            if field is None:
                extra[key] = value
                continue
            name, _, put, convert = field
            default = missing.pop(name, None)
            if default is None:
                raise MalformedFrame(f"the field {name} is there twice, in two spellings")
            converted = default[1] if value is None else convert(value)
            if converted is _REFUSED:
                extra[key] = value
                converted = default[1]
            put(result, converted)
        for put, value in missing.values():
            put(result, value)
        self._extra(result, extra)
        return result

    def _maker(self, inner: dict[str, Any]) -> _Make | None:
        """What makes a message of an object of this shape; ``None`` where that depends on more than its shape."""
        targets, converted, kept, seen = [], [], [], set()
        unset = dict.fromkeys(self._defaults)
        for key, value in inner.items():
            name, kind, _, _ = self._fields.get(key, ("", None, None, None))
            how = (kind, type(value))
            if name in seen:
                return None
            if kind is None:
                if type(value) in (dict, list, float):
                    return None
                kept.append(key)
            else:
                seen.add(name)
            if kind is None or value is None:
                targets.append("_")
                continue
            if how not in _AS_IT_IS | _CONVERTED:
                return None
            del unset[name]
            targets.append(f"message.{name}")
            if how in _CONVERTED:
                converted.append(f"message.{name} = convert[{key!r}](message.{name})")
        lines = [
            "message = draft()",
            f"[{', '.join(targets)}] = inner.values()",
            *converted,
            *(f"message.{name} = {self._defaults[name][1]}" for name in unset),
            "message.extra = {key: inner[key] for key in kept}" if kept else "message.extra = {}",
            "message.__class__ = kind",
            "return message",
        ]
        convert = {key: field[3] for key, field in self._fields.items()}
        names = {"convert": convert, "kept": kept, "draft": self._draft, "kind": self._message}
        exec("def make(inner):\n " + "\n ".join(lines), names)
        return cast("_Make", names["make"])


def _draft(message: Any) -> Callable[[], Any] | None:
    """Makes objects that can be written and then become messages; ``None`` for a type with ways of its own."""
    if message.__new__ is not object.__new__ or type(message) is not type or "__dict__" in dir(message):
        return None
    names: dict[str, Any] = {"__slots__": (), "__setattr__": object.__setattr__, "__delattr__": object.__delattr__}
    try:
        draft: Any = type("_Draft", (message,), names)
        draft.__new__(draft).__class__ = message
    except TypeError:
        return None
    return partial(draft.__new__, draft)


def _rows(row: type) -> _Convert:
    def convert(value: Any) -> Any:
        if type(value) is not list or any(type(item) is not dict for item in value):
            return _REFUSED
        layout = _layout(row)
        return tuple(known[0](item) if (known := layout.known(item)) else layout.build(item) for item in value)

    return convert


_layouts: dict[Any, _Layout] = {}


def _layout(message: type) -> _Layout:
    layout = _layouts.get(message)
    if layout is None:
        layout = _layouts[message] = _Layout(message)
    return layout


def _either(inner: dict[str, Any], name: str) -> Any:
    """The value under a PascalCase key or its camelCase form; ``None`` where there is neither."""
    lower = name[0].lower() + name[1:]
    if name in inner:
        if lower in inner:
            raise MalformedFrame(f"the field {name} is there twice, in two spellings")
        return inner[name]
    return inner.get(lower)


def _progress(inner: dict[str, Any], function_code: Any) -> Progress | None:
    code = _either(inner, "MessageCode")
    if code is None and function_code != 112:
        return None
    words = _either(inner, "MessageText")
    if words is None:
        words = _either(inner, "Message")
    if (
        not (code is None or type(code) is int)
        or not (words is None or type(words) is str)
        or (code is None and words is None)
    ):
        raise MalformedFrame("a progress message has neither a message code nor a text")
    return Progress(_PROGRESS.get(code, code) if code is not None else None, words or "")


def _meaning(inner: Any, reply_types: Mapping[int, type[Reply]]) -> Progress | Reply | CommandMessage:
    """The message in a signed text that was parsed."""
    if type(inner) is not dict:
        raise MalformedFrame("the signed text is not an object")
    function_code = _either(inner, "FunctionCode")
    response_code = _either(inner, "ResponseCode")
    if function_code == 112 or response_code is None:
        progress = _progress(inner, function_code)
        if progress is not None:
            return progress
    if type(function_code) is int and type(response_code) is int:
        reply: Reply = _layout(reply_types.get(function_code, GenericReply)).build(inner)
        return reply
    command = _either(inner, "Command")
    if type(command) is int and function_code is None:
        return CommandMessage(
            command, {key: value for key, value in inner.items() if key not in ("Command", "command")}
        )
    raise MalformedFrame("the signed object is neither a reply, a progress message nor a command")


def read_signed(frame: bytes, reply_types: Mapping[int, type[Reply]] = CATALOGUE.reply_types) -> Message:
    """The message in one whole JSON object of the signed wire."""
    try:
        outer = parse(frame.decode())
        if "JsonSerialized" not in outer and "jsonSerialized" not in outer:
            return _bare(outer, frame)
        signed, sign = _either(outer, "JsonSerialized"), _either(outer, "Sign")
        if type(signed) not in (str, dict):
            raise MalformedFrame("JsonSerialized is neither text nor an object")
    except UnicodeDecodeError:
        return BadFrame(FrameFault.MALFORMED, "the frame is not UTF-8", len(frame))
    except MalformedFrame as error:
        return BadFrame(FrameFault.MALFORMED, str(error), len(frame))
    if type(signed) is str:
        return _read_text(signed, sign, len(frame), reply_types)
    fits = any(_fits(text, sign) for text in _object_texts(frame.decode()))
    return _read_inner(signed, len(frame), reply_types) if fits else _unsigned(sign, len(frame))


def _fits(text: str, sign: object) -> bool:
    return type(sign) is str and _sha256(text.encode()).hexdigest() == sign.lower()


def _unsigned(sign: object, size: int) -> BadFrame:
    reason = "the message has no signature" if sign is None else "the signature does not fit the message"
    return BadFrame(FrameFault.SIGNATURE, reason, size)


def _read_text(text: str, sign: object, size: int, reply_types: Mapping[int, type[Reply]]) -> Message:
    """The message in a signed text."""
    return _read_signed_text(text, size, reply_types) if _fits(text, sign) else _unsigned(sign, size)


def _read_signed_text(text: str, size: int, reply_types: Mapping[int, type[Reply]]) -> Message:
    """The message in a text whose signature fits."""
    try:
        inner = parse(text)
        if type(inner) is str:
            # Some firmware encodes twice.
            inner = parse(inner)
    except MalformedFrame as error:
        return BadFrame(FrameFault.MALFORMED, str(error), size, sealed=True)
    return _read_inner(inner, size, reply_types)


def _read_inner(inner: Any, size: int, reply_types: Mapping[int, type[Reply]]) -> Message:
    try:
        return _meaning(inner, reply_types)
    except MalformedFrame as error:
        return BadFrame(FrameFault.MALFORMED, str(error), size, sealed=True)


def _bare(outer: dict[str, Any], frame: bytes) -> Message:
    """The message in an object that is no envelope: an acknowledgement, or a progress message without a signature."""
    received = _either(outer, "Received")
    if received is not None:
        if type(received) is bool:
            return Ack(received)
        raise MalformedFrame("Received is neither true nor false")
    function_code = _either(outer, "FunctionCode")
    if _either(outer, "ResponseCode") is None:
        progress = _progress(outer, function_code)
        if progress is not None:
            return progress
    if type(function_code) is int:
        return BadFrame(FrameFault.SIGNATURE, "the reply is not signed", len(frame))
    raise MalformedFrame("the object is not a message")


_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]]|[ \t\r\n]+|[^"{}\[\] \t\r\n]+')


def _object_texts(frame: str) -> list[str]:
    """The text of the object under ``JsonSerialized`` in a valid frame: as it stands, and without white space."""
    depth = 0
    start = last = ""
    standing: list[str] = []
    compact: list[str] = []
    for token in _TOKEN.findall(frame):
        if depth == 1 and token not in "{}[]" and not token.isspace():
            start, last = last, token
        if token in ("}", "]"):
            depth -= 1
        if depth >= 2 or (depth == 1 and token == "}" and standing):
            standing.append(token)
            if not token.isspace():
                compact.append(token)
        if depth == 1 and standing:
            break
        if token in ("{", "["):
            depth += 1
            if (
                depth == 2
                and token == "{"
                and last.strip() == ":"
                and start in ('"JsonSerialized"', '"jsonSerialized"')
            ):
                standing, compact = [token], [token]
            elif depth == 2:
                standing = compact = []
    return ["".join(standing), "".join(compact)]


# ----------------------------------------------------------------------------------------------------- simplified wire

_SIMPLIFIED = [kind for kind in CATALOGUE.kinds.values() if kind.simplified is not None]
_POSITIONS = {kind.code: kind.simplified.reply for kind in _SIMPLIFIED if kind.simplified}
"""The names of the parts of a reply behind code, response code and message."""
_REQUESTS = {kind.code: kind.simplified.request for kind in _SIMPLIFIED if kind.simplified}


def _named(kinds: Collection[Kind]) -> set[str]:
    """The names of all fields of these kinds, in commands and in replies."""
    replies: list[type] = [kind.reply_type for kind in _SIMPLIFIED]
    replied = (item for reply in replies for item in wire_fields(reply))
    sent = (item for kind in _SIMPLIFIED for item in sent_fields(kind))
    return {item.spellings[0] for item in replied if item.kind in kinds} | {
        item.wire for item in sent if item.kind in kinds
    }


_INTEGERS = _named({Kind.INTEGER, Kind.SALE_TYPE})
_FLAGS = _named({Kind.BOOLEAN})
_BOOLEANS = {"true": True, "false": False}
_DIGITS = re.compile(r"-?[0-9]{1,20}")


def frame_simplified(text: str) -> bytes:
    """``text`` between STX and ETX, with its LRC."""
    body = text.encode() + b"\x03"
    return b"\x02%b%c" % (body, lrc(body))


def encode_simplified(command: Command) -> bytes:
    """``command`` as one simplified frame.

    Raises:
        UnsupportedOperation: the simplified wire has no such command.
        InvalidValue: a field holds ``|``, which would end it.
    """
    places = command.simplified
    if places is None:
        raise UnsupportedOperation(f"the simplified wire has no {type(command).__name__}: use the signed wire")
    values = {item.wire: getattr(command, item.name) for item in sent_fields(type(command))}
    texts = [str(command.code), *(_place(values[name], places.flags) for name in places.request)]
    if any("|" in part for part in texts):
        raise InvalidValue("a field must not hold | on the simplified wire")
    return frame_simplified("|".join(texts) + "|")


def _place(value: Any, flags: tuple[str, str]) -> str:
    if type(value) is bool:
        return flags[value]
    return "" if value is None else str(int(value) if isinstance(value, int) else value)


def read_simplified(frame: bytes, reply_types: Mapping[int, type[Reply]] = CATALOGUE.reply_types) -> Message:
    """The message in one whole simplified frame, from its STX to its LRC."""
    if lrc(frame[1:-1]) != frame[-1]:
        return BadFrame(FrameFault.CHECKSUM, "the LRC does not fit the text", len(frame))
    try:
        return _simplified_meaning(frame[1:-2].decode(), reply_types)
    except UnicodeDecodeError:
        return BadFrame(FrameFault.MALFORMED, "the text is not UTF-8", len(frame), sealed=True)
    except MalformedFrame as error:
        return BadFrame(FrameFault.MALFORMED, str(error), len(frame), sealed=True)


def _simplified_meaning(text: str, reply_types: Mapping[int, type[Reply]]) -> Reply | CommandMessage:
    head, *parts = text.split("|")
    code = int(head)
    if code == 105 and len(parts) > 2:
        # What stands behind the third | of a details report is not public: it is given as it came.
        parts[2:] = ["|".join(parts[2:])]
    elif not parts[-1]:
        parts.pop()
    request = _request(code, parts)
    if request is not None:
        return CommandMessage(code, request)
    response_code = _part("ResponseCode", parts[0]) if parts else None
    if type(response_code) is not int or len(parts) < 2:
        raise MalformedFrame("a simplified reply has a numeric response code and a message")
    inner: dict[str, Any] = {"FunctionCode": code, "ResponseCode": response_code, "ResponseMessage": parts[1]}
    rest = parts[2:]
    names = _POSITIONS.get(code, ())
    if code == 103 and len(rest) == 2:
        names = ("CommerceCode", "Success")
    if len(rest) < len(names) and response_code == 0:
        raise MalformedFrame(f"an approved simplified reply {code} has {len(names) + 3} parts, not {len(rest) + 3}")
    for place, part in enumerate(rest):
        name = names[place] if place < len(names) else str(place + 3)
        inner[name] = _part(name, part)
    reply: Reply = _layout(reply_types.get(code, GenericReply)).build(inner)
    return reply


def _part(name: str, part: str) -> Any:
    """A part as the JSON wire would hold it; text where it is not what its place asks for."""
    if name in _INTEGERS:
        if not part:
            return None
        return integer(part) if _DIGITS.fullmatch(part) else part
    if name in _FLAGS:
        return _BOOLEANS.get(part.lower(), part)
    return part


def _request(code: int, parts: list[str]) -> dict[str, Any] | None:
    """The fields of a command, or ``None`` where the parts are not those of one."""
    names = _REQUESTS.get(code)
    if names is None or len(parts) != len(names):
        return None
    fields = {name: _part(name, part) for name, part in zip(names, parts, strict=True)}
    return fields if type(fields.get("PrintOnPos", True)) is bool else None


# ------------------------------------------------------------------------------------------------------------- decoder

_START = re.compile(rb"[{\x02]")
_ENVELOPE = b'{"JsonSerialized":"'
_SIGN = b'","Sign":"'
_BEHIND_TEXT = len(_SIGN) + 66
_AROUND_TEXT = len(_ENVELOPE) + _BEHIND_TEXT
_WHOLE_STRING = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*')
_RESCAN = 8
"""How often the bytes of a torn region may be read again, in all."""


def _read_envelope(frame: bytes, reply_types: Mapping[int, type[Reply]]) -> Message | None:
    """The message in bytes that begin and end as a signed frame in the plain form; ``None`` where they are not one."""
    try:
        outer = orjson.loads(frame)
    except orjson.JSONDecodeError:
        return None
    text, sign = outer.get("JsonSerialized"), outer.get("Sign")
    if type(text) is not str or type(sign) is not str:
        return None
    signed = text.encode()
    fits = _sha256(signed).hexdigest() == sign.lower()
    if fits:
        reply = _known_reply(text, len(frame) - _AROUND_TEXT - len(signed), reply_types)
        if reply is not None:
            return reply
    elif len(sign) != 64:
        return None
    # The text fills the frame: then there is no room for another key, and the grammar would end here as well.
    if len(orjson.dumps(text)) - 2 != len(frame) - _AROUND_TEXT and not _WHOLE_STRING.fullmatch(
        frame, len(_ENVELOPE), len(frame) - _BEHIND_TEXT
    ):
        return None
    return _read_signed_text(text, len(frame), reply_types) if fits else _unsigned(sign, len(frame))


def _known_reply(text: str, escapes: int, reply_types: Mapping[int, type[Reply]]) -> Reply | None:
    """The reply in a text whose shape came before; ``None`` for any other, and for all that is no reply.

    ``escapes`` is how much longer than the text what a frame holds is. Each quotation mark of the text needs an escape
    there. An object of a known shape holds values without parts, so it is written with just as many marks as there are
    escapes only if it has no key twice, and if nothing but the text is there.
    """
    try:
        inner = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if type(inner) is not dict:
        return None
    code = inner.get("FunctionCode")
    if type(code) is not int or code == 112:
        return None
    layout = _layouts.get(reply_types.get(code, GenericReply))
    known = None if layout is None else layout.known(inner)
    if known is None:
        return None
    make, quotes = known
    reply: Reply | None = make(inner) if quotes == escapes else None
    return reply


class Decoder:
    """Reads a stream of both local wires: give it bytes as they come, take the messages that are whole.

    ``max_frame`` is the longest frame taken, in bytes. ``reply_types`` adds or replaces reply types by function code.
    What it is fed is never kept beyond one frame. A decoder serves one stream.
    """

    __slots__ = ("_at", "_base", "_buffer", "_grammar", "_horizon", "_max_frame", "_places", "_refused", "_region",
                 "_reply_types", "_sign", "_skipped", "_torn", "_work")  # fmt: skip

    def __init__(self, max_frame: int = MAX_FRAME, *, reply_types: Mapping[int, type[Reply]] | None = None) -> None:
        if max_frame < 64:
            raise InvalidValue("max_frame must be at least 64 bytes")
        self._max_frame = max_frame
        self._reply_types = {**CATALOGUE.reply_types, **(reply_types or {})}
        self._skipped = 0
        self._places: list[int] = []
        self.reset()

    def reset(self) -> None:
        """Forget a frame that has begun; ``skipped`` keeps counting."""
        self._buffer = bytearray()
        self._grammar: JsonGrammar | SimplifiedGrammar | None = None
        self._at = 0
        self._torn = False
        # Places in the stream: of the buffer's first byte, of the first byte not read before, of a torn region's start.
        self._base = self._horizon = self._region = 0
        self._work = 0
        # Places in the bytes being read: of the next signature, and of the last one that was tried.
        self._sign = self._refused = -1

    @property
    def pending(self) -> int:
        """The bytes held of a frame that has begun."""
        return len(self._buffer)

    @property
    def skipped(self) -> int:
        """The bytes so far that belonged to no whole frame: noise, line ends, torn frames."""
        return self._skipped

    def feed(self, data: bytes | bytearray | memoryview) -> list[Message]:
        """The messages that ``data`` completes, in the order of the wire.

        What the peer does wrong is a ``BadFrame`` among them, never an exception; a run of bytes that cannot be read is
        reported once.
        """
        # Nearly all that comes is one whole frame in the plain form.
        if (
            not self._buffer
            and type(data) is bytes
            and data.startswith(_ENVELOPE)
            and data.startswith(_SIGN, -_BEHIND_TEXT)
            and len(data) <= self._max_frame
        ):
            message = _read_envelope(data, self._reply_types)
            if message is not None and type(message) is not BadFrame:
                self._base += len(data)
                self._torn = False
                return [message]
        return self._feed_placed(data, [])

    def _feed_placed(self, data: bytes | bytearray | memoryview, places: list[int]) -> list[Message]:
        """As ``feed``; adds the place in the stream of each message to ``places``."""
        messages: list[Message] = []
        self._places = places
        if self._buffer:
            self._buffer += data
            done = self._read(self._buffer, messages)
            del self._buffer[:done]
        else:
            whole = bytes(data)
            done = self._read(whole, messages)
            if done < len(whole):
                self._buffer += whole[done:]
        self._base += done
        return messages

    def _read(self, data: bytes | bytearray, messages: list[Message]) -> int:
        """Read ``data``, at whose start a frame has begun unless none has; return how many bytes are done with."""
        start, size = 0, len(data)
        self._sign = self._refused = -1
        while True:
            if self._grammar is None:
                if start < size and data[start] != 0x7B:
                    found = _START.search(data, start)
                    begin = found.start() if found else size
                    self._skipped += begin - start
                    start = begin
                if start == size:
                    return size
                if self._base + start >= self._horizon:
                    self._region, self._work = self._base + start, 0
                end = self._read_plain(data, start, messages)
                if end:
                    start = end
                    continue
                self._grammar = JsonGrammar() if data[start] == 0x7B else SimplifiedGrammar()
                self._at = 1
            limit = min(size, start + self._max_frame)
            verdict, at = self._grammar.read(data, start + self._at, limit)
            if verdict:
                start = self._whole(data, start, at, messages)
            elif verdict is False:
                start = self._fault(
                    BadFrame(FrameFault.MALFORMED, "bytes that are not a frame", at - start), start, messages
                )
            elif limit < size:
                reason = f"a frame is longer than {self._max_frame} bytes"
                start = self._fault(BadFrame(FrameFault.TOO_LARGE, reason, limit - start), start, messages)
            else:
                self._at = at - start
                return start
            self._grammar = None

    def _read_plain(self, data: bytes | bytearray, start: int, messages: list[Message]) -> int:
        """Take a frame in the plain form that nearly all have; 0 where it is not whole or not plain."""
        if not data.startswith(_ENVELOPE, start):
            if not data.startswith(b'{"Received":true}', start):
                return 0
            self._take(Ack(True), start, messages)
            return start + 17
        if self._sign < start + len(_ENVELOPE):
            found = data.find(_SIGN, start + len(_ENVELOPE))
            self._sign = found if found >= 0 else len(data)
        end = self._sign + _BEHIND_TEXT
        if end > len(data) or end - start > self._max_frame or self._sign == self._refused:
            return 0
        # Each place of a signature is tried once, so that many torn beginnings before one cost no more than one.
        self._refused = self._sign
        message = _read_envelope(bytes(data[start:end]), self._reply_types)
        if message is None:
            return 0
        self._take(message, start, messages)
        return end

    def _whole(self, data: bytes | bytearray, start: int, end: int, messages: list[Message]) -> int:
        frame = bytes(data[start:end])
        message = (read_signed if frame[0] == 0x7B else read_simplified)(frame, self._reply_types)
        if isinstance(message, BadFrame) and message.fault is FrameFault.CHECKSUM:
            return self._fault(message, start, messages)
        self._take(message, start, messages)
        return end

    def _take(self, message: Message, start: int, messages: list[Message]) -> None:
        if isinstance(message, BadFrame):
            if not message.sealed and message.fault in (FrameFault.MALFORMED, FrameFault.TOO_LARGE):
                if self._torn:
                    return
                self._torn = True
        else:
            self._torn = False
        messages.append(message)
        self._places.append(self._base + start)

    def _fault(self, bad: BadFrame, start: int, messages: list[Message]) -> int:
        """Report a frame that ended wrongly; return where to look for the next one."""
        self._take(bad, start, messages)
        self._horizon = max(self._horizon, self._base + start + bad.size)
        self._work += bad.size
        following = start + 1
        if self._work > _RESCAN * (self._horizon - self._region):
            following = self._horizon - self._base
        self._skipped += following - start
        return following


_CHUNK = 65_536


def chunks(source: bytes | bytearray | memoryview | BinaryIO) -> Iterator[bytes | memoryview]:
    """The bytes of a bytes-like object or of a binary file, a piece at a time."""
    read = getattr(source, "read", None)
    if read is not None:
        while chunk := read(_CHUNK):
            yield chunk
    else:
        with memoryview(cast("bytes", source)) as view, view.cast("B") as octets:
            for place in range(0, len(octets), _CHUNK):
                yield octets[place : place + _CHUNK]


def decode_many(
    source: bytes | bytearray | memoryview | BinaryIO,
    *,
    max_frame: int = MAX_FRAME,
    reply_types: Mapping[int, type[Reply]] | None = None,
) -> Iterator[tuple[int, Message]]:
    """The messages of a whole capture or log, each with the place in it of its first byte.

    ``source`` is bytes-like, or a binary file that is read to its end in pieces: memory does not grow with its length.
    What is read, and what becomes of bad bytes, is as for ``Decoder``.
    """
    decoder = Decoder(max_frame, reply_types=reply_types)
    for chunk in chunks(source):
        places: list[int] = []
        messages = decoder._feed_placed(chunk, places)
        yield from zip(places, messages, strict=True)
