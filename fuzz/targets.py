"""What is fuzzed: one function a reader, which takes any bytes and raises where a promise does not hold.

Both backends read each input. The pure one must give a value or an error that it documents; the native one must give
the very same. Where the native codec was not built, the pure one is held to its own promises alone.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial, reduce
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from getnet_pos import codec
from getnet_pos.codec.cloud import read_cloud
from getnet_pos.codec.terminals import read_terminals
from getnet_pos.codec.unsealing import unsealed
from getnet_pos.errors import GetnetError, JournalError, MalformedResponse
from getnet_pos.journal import Search, SqliteJournal
from getnet_pos.journal.schema import digest
from getnet_pos.messages import CATALOGUE, Intent, IntentState, VoucherMark
from getnet_pos.profiles import Profile
from tests.properties.streams import exact

PURE: Any = codec.backend("pure")
NATIVE: Any = codec.backend("native") if find_spec("getnet_pos.codec._native") else PURE
BACKENDS = (PURE, NATIVE)
PROFILES = (None, Profile.INTEGRATED_POS, Profile.CHILE, Profile.ARGENTINA)

PIECE = b"\x1e"
"""Between the pieces of an input that is made of several."""
PART = b"\x1f"


def outcome(work: Callable[[], Any], *allowed: type[Exception]) -> Any:
    """What ``work`` gives, down to types, or which of the ``allowed`` errors it raises, with its words."""
    try:
        return exact(work())
    except allowed as error:
        return type(error), str(error), exact(vars(error))


def same(answers: list[Any]) -> Any:
    """The answer, which must be one and the same."""
    for answer in answers[1:]:
        assert answer == answers[0], f"\npure:   {answers[0]}\nnative: {answer}"
    return answers[0]


# -------------------------------------------------------------------------------------------------------------- streams


def sealed(text: bytes) -> bytes:
    """The signed frame of a text, made without the library."""
    held = json.dumps(text.decode(errors="replace"), ensure_ascii=False)
    sign = hashlib.sha256(json.loads(held).encode()).hexdigest().upper()
    return f'{{"JsonSerialized":{held},"Sign":"{sign}"}}'.encode()


def enveloped(parts: bytes) -> bytes:
    """A signed frame with more in it than it needs: what stands before the text, the text, what stands behind it."""
    before, text, between = [*parts.split(PART, 2), b"", b""][:3]
    head, tail = sealed(text).split(b'"JsonSerialized":', 1)
    held, sign = tail.rsplit(b'"Sign":', 1)
    return head + before + b'"JsonSerialized":' + held + between + b'"Sign":' + sign


def framed(text: bytes) -> bytes:
    """The simplified frame of a text, made without the library."""
    body = text + b"\x03"
    return b"\x02" + body + bytes([reduce(lambda a, b: a ^ b, body)])


def _read(backend: Any, pieces: list[bytes], max_frame: int) -> Any:
    read = backend.Decoder(max_frame)
    messages = []
    for piece in pieces:
        messages += read.feed(piece)
        assert read.pending <= max_frame
    return exact(messages), read.skipped, read.pending


def _stream(data: bytes, step: int, max_frame: int) -> Any:
    """What a stream means, whole and in pieces of ``step`` bytes, to both."""
    pieces = [data[at : at + step] for at in range(0, len(data), step)]
    answers = [_read(backend, cut, max_frame) for cut in ([data], pieces) for backend in BACKENDS]
    placed = [exact([message for _, message in backend.decode_many(data, max_frame=max_frame)]) for backend in BACKENDS]
    assert same(placed) == answers[0][0]
    return same(answers)


_MADE = {b"S": sealed, b"E": enveloped, b"F": framed}


def decoder(data: bytes) -> None:
    """A stream: two bytes say how it is cut and limited; pieces that begin with ``S`` are signed, with ``E`` too,
    in an envelope of their own, and with ``F`` framed."""
    if len(data) < 2:
        return
    stream = b""
    for piece in data[2:].split(PIECE):
        kind, rest = piece[:1], piece[1:]
        make = _MADE.get(kind)
        stream += piece if make is None else make(rest)
    _stream(stream, data[0] % 64 + 1, 64 + 16 * data[1] if data[1] % 2 else codec.MAX_FRAME)


def envelope(data: bytes) -> None:
    """A text to be signed, also one that is not Unicode; and as the text of a frame that has come."""
    assert same([backend.lrc(data) for backend in BACKENDS]) == reduce(lambda a, b: a ^ b, data, 0)
    text = _text(data)
    same([outcome(partial(backend.signature, text), UnicodeEncodeError) for backend in BACKENDS])
    frame = same([outcome(partial(backend.envelope, text), UnicodeEncodeError, TypeError) for backend in BACKENDS])
    if frame[0] is bytes:
        made = json.loads(frame[1])
        assert made == {"JsonSerialized": text, "Sign": hashlib.sha256(text.encode()).hexdigest().upper()}
    _stream(sealed(data), 7, codec.MAX_FRAME)
    _stream(sealed(json.dumps(data.decode(errors="replace")).encode()), 64, codec.MAX_FRAME)


def command(data: bytes) -> None:
    """A command that somebody else wrote: a text that was signed, or the whole frame."""
    for frame in (sealed(data), data):
        reads = [partial(unsealed, backend.Decoder(), frame, CATALOGUE) for backend in BACKENDS]
        found = same([outcome(lambda read=read: read().command, GetnetError) for read in reads])
        if not issubclass(found[0], GetnetError):
            meant = codec.unseal(frame).command
            assert codec.unseal(codec.seal(meant)).command == meant, meant


def _text(data: bytes) -> str:
    """Also texts with half a surrogate pair, which no wire can carry."""
    return data[1:].decode(errors="surrogateescape") if data[:1] == b"!" else data.decode(errors="replace")


def simplified(data: bytes) -> None:
    """The text of a simplified frame, whole and with a wrong last byte, alone and with another one behind it."""
    frame = framed(data)
    _stream(frame, 5, codec.MAX_FRAME)
    _stream(frame[:-1] + bytes([frame[-1] ^ 1]) + framed(b"103|0|ok|1|T1|true|"), 11, codec.MAX_FRAME)
    text = data.decode(errors="replace")
    assert same([exact(backend.frame_simplified(text)) for backend in BACKENDS]) == exact(framed(text.encode()))


# --------------------------------------------------------------------------------------------------------- HTTP answers


def terminals(data: bytes) -> None:
    """The body of a listing of terminals."""
    for strict in (False, True):
        answers = []
        for backend in BACKENDS:
            read = getattr(backend, "read_terminals", read_terminals)
            answers.append(outcome(partial(read, data, strict=strict), MalformedResponse))
        same(answers)


def cloud(data: bytes) -> None:
    """The body of an answer of the cloud, or of a webhook."""
    for profile in PROFILES:
        answers = []
        for backend in BACKENDS:
            read = getattr(backend, "read_cloud", read_cloud)
            answers.append(outcome(partial(read, data, profile), MalformedResponse))
        same(answers)


# ------------------------------------------------------------------------------------------------------------- journal

_memory = Path("/dev/shm")
_folder = Path(tempfile.mkdtemp(prefix="getnet-fuzz-", dir=_memory if _memory.is_dir() else None))
atexit.register(shutil.rmtree, _folder, ignore_errors=True)


def journal(data: bytes) -> None:
    """A journal file: as it stands, after a ``P`` a good one with bytes changed, or after an ``R`` with these rows."""
    path = _folder / f"{os.getpid()}.sqlite3"
    try:
        if data[:1] == b"P":
            _patch(path, data[1:])
        elif data[:1] != b"R":
            path.write_bytes(data)
        elif not _write_rows(path, data[1:]):
            return
        _read_journal(path)
    finally:
        for left in _folder.glob(f"{os.getpid()}.sqlite3*"):
            left.unlink()


def _read_journal(path: Path) -> None:
    try:
        read = SqliteJournal(path)
    except JournalError:
        return
    try:
        for step in read.steps() + read.find(Search(terminal="serial", ticket="T", idempotency_key="k")):
            _check(step.intent)
        for intent in read.intents() + read.unsettled("serial") + read.recent("serial"):
            _check(intent)
    except JournalError:
        pass
    finally:
        read.close()


@cache
def good_journal(intents: int) -> bytes:
    """A journal file as the library writes it."""
    path = _folder / f"good-{intents}"
    good = SqliteJournal(path)
    mark = VoucherMark(operation_id=2, real_date="2026-06-11 22:40:22", amount=1, function_code=100)
    for number in range(intents):
        intent = Intent(intent_id=f"{number:032x}", terminal="serial", command=100, amount=25000, baseline=mark)
        for state in (IntentState.INTENT, IntentState.SENT, IntentState.UNKNOWN if number else IntentState.APPROVED):
            good.record(replace(intent, state=state))
    good.close()
    return path.read_bytes()


def _patch(path: Path, changes: bytes) -> None:
    """Each four bytes: where, counted from the end, and what is added there, or that all behind it is cut off."""
    changed = bytearray(good_journal(3))
    for at in range(0, len(changes) - 3, 4):
        place = int.from_bytes(changes[at : at + 2], "big") % max(1, len(changed))
        if changes[at + 2] == 0xFF:
            del changed[len(changed) - place :]
        elif changed:
            changed[-1 - place] = (changed[-1 - place] + changes[at + 3]) % 256
    path.write_bytes(changed)


def _write_rows(path: Path, data: bytes) -> bool:
    path.write_bytes(good_journal(0))
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        columns = len(connection.execute("PRAGMA table_info(step)").fetchall())
        try:
            for row in data.split(PIECE):
                values: list[Any] = [_value(part) for part in row.split(PART)]
                values = (values + [None] * columns)[: columns - 1]
                with contextlib.suppress(TypeError):  # the digest takes no bytes
                    values.append(digest(tuple(values)))
                values = [*values, ""][:columns]
                connection.execute(f"INSERT INTO step VALUES ({', '.join('?' * columns)})", values)
        except (sqlite3.Error, OverflowError, UnicodeError):
            return False
    return True


def _value(part: bytes) -> Any:
    kind, rest = part[:1], part[1:]
    try:
        if kind == b"i":
            return int(rest)
        if kind == b"t":
            return rest.decode()
        return rest if kind == b"b" else None
    except ValueError:
        return None


def _check(intent: Intent) -> None:
    assert type(intent.intent_id) is str
    assert type(intent.state) is IntentState
    assert intent.baseline is None or type(intent.baseline) is VoucherMark


TARGETS: dict[str, Callable[[bytes], None]] = {
    "decoder": decoder,
    "envelope": envelope,
    "command": command,
    "simplified": simplified,
    "terminals": terminals,
    "cloud": cloud,
    "journal": journal,
}
