"""``python -m fuzz.seeds``: write the seed corpus anew, from the messages that the tests use. Leaves findings alone."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import tempfile
from pathlib import Path

from fuzz.targets import PART, PIECE, good_journal
from tests import samples

CORPUS = Path(__file__).parent / "corpus"

TERMINAL = {
    "payment_terminal_sku": "302890",
    "payment_terminal_serial_number": "903191104705571440",
    "capture_method_code": "10",
    "capture_method_des": "POS",
    "communication_method_code": "000000004",
    "communication_method_des": "WI FI",
    "activation_datetime": "2010-03-29T13:57:42Z",
    "payment_terminal_brand": "INGENICO",
    "payment_terminal_model": "MOVE 5000 ESSENTIAL",
    "commercial_mode": "ALUGUEL",
    "warranty_available": True,
}


def _terminals() -> dict[str, object]:
    odd = {**TERMINAL, "activation_datetime": "2010-03-29T13:57:42.5-03:00", "other": {"a": [1]}, "commercial_mode": 1}
    return {
        "one": {"merchant_id": "10000", "equipments": {"item": [TERMINAL]}},
        "bare": {"merchant_id": "10000", "equipments": {"item": TERMINAL}},
        "none": {"equipments": {"item": None}, "merchant_id": "10000"},
        "odd": {"merchant_id": 10000, "equipments": {"item": [odd, {}], "more": 1}, "extra": None},
    }


def _cloud() -> dict[str, object]:
    flat = {"functionCode": 100, "code": 0, "message": "Approved", "authorizationCode": "010929", "amount": 100000}
    nested = {"functionCode": 100, "responseCode": 0, "responseMessage": "Aprobado", "amount": 1300, "last4Digits": 447}
    return {
        "flat": {"code": 1, "status": "OK", "message": "TRANSACTION COMPLETED", "data": flat},
        "nested": {"code": 1, "message": "OK", "data": {"idPosTxs": "17", "customId": 5, "response": nested}},
        "sent": {"code": 1, "status": "OK", "message": "TRANSACTION SENT", "data": {"idPosTxs": 17}},
        "in-process": {"code": 2, "status": "OK", "message": "TRANSACTION IN PROCESS", "data": None},
        "not-found": {"code": 0, "status": "ERROR", "message": "ID NOT FOUND", "data": None},
    }


def _commands() -> dict[str, dict[str, object]]:
    then, rut = "2026-01-31T12:00:00.000Z", "11111111-1"
    original = {"Mti": "0210", "DE11": "31", "DE12": "224022", "DE13": "0611"}
    sale: dict[str, object] = {"Command": 100, "Amount": 2500, "TicketNumber": "A1", "PrintOnPos": False}
    return {
        "sale": {**sale, "SaleType": 0, "SendMessage": True, "EmployeeId": 1, "DateTime": then},
        "spelled": {"Command": "100", "Amount": "2500.0", "TicketNumber": 7, "PrintOnPos": "true", "EmployeeId": None},
        "two-cases": {**sale, "amount": 1},
        "refund": {"Command": 108, "AuthorizationCode": "123456", "Amount": 500, "DateTime": "31-01-2026 12:00:00"},
        "child": {"Command": 122, "Amount": 5, "OperationId": 3, "RutCommerceSon": rut, "HostRRN": "1",
                  "OriginalData": original, "CommerceData": {"a": [1, None]}},
        "unknown": {"Command": 950, "Anything": [1.5, {"x": "y"}]},
        "poll": {"Command": 106, "DateTime": then},
    }  # fmt: skip


def _journal() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "journal.sqlite3")
        path.write_bytes(good_journal(2))
        with contextlib.closing(sqlite3.connect(path)) as connection:
            columns = [column[1] for column in connection.execute("PRAGMA table_info(step)")]
            rows = connection.execute("SELECT * FROM step ORDER BY id").fetchall()
    written = []
    for row in rows:
        values = {**dict(zip(columns, row, strict=True)), "at": "2026-06-11T22:40:22.000+00:00"}
        del values["digest"]  # the target makes it
        written.append(PART.join(_part(value) for value in values.values()))
    patches = {f"changed-{place}": b"P" + bytes([place >> 8, place & 255, 0, 1]) for place in (20, 700, 3000, 9000)}
    return {
        "rows": b"R" + PIECE.join(written),
        "not-a-database": b"SQLite format 3\x00" + bytes(100),
        "cut": b"P\2\0\xff\0",
        **patches,
    }


def _part(value: object) -> bytes:
    return b"n" if value is None else f"{'i' if isinstance(value, int) else 't'}{value}".encode()


def seeds() -> dict[str, dict[str, bytes]]:
    texts = {name: text for name, (text, _) in {**samples.REPLIES, **samples.OTHERS}.items() if len(text) < 1500}
    parts = {name: frame[1:-2] for name, (frame, _) in samples.SIMPLIFIED.items()}
    several = [b"S" + text.encode() for text in list(texts.values())[:2]]
    several += [b'{"Received":true}', b"noise", *(b"F" + part for part in list(parts.values())[:2])]
    poll = texts["poll"].encode()
    twice = [
        (b'"JsonSerialized":"a","\\u004asonSerialized":"b",', b""),
        (b'"JsonSerialized":"a","Sign":"b",', b'"\\u0053ign":"a",'),
        (b'"JsonSerialized":1,', b' "Sign":1,'),
    ]
    envelopes = [b"S" + poll, *(b"E" + PART.join((before, poll, between)) for before, between in twice)]
    frames = {name: b"\x3f\x00" + frame for name, (frame, _) in samples.FRAMES.items() if len(frame) < 1500}
    return {
        "decoder": {
            **frames,
            "several": b"\x06\x00" + PIECE.join(several),
            "envelopes": b"\x06\x00" + PIECE.join(envelopes),
        },
        "envelope": {name: text.encode() for name, text in texts.items()},
        "command": {name: json.dumps(fields, separators=(",", ":")).encode() for name, fields in _commands().items()},
        "simplified": parts,
        "terminals": {name: json.dumps(body).encode() for name, body in _terminals().items()},
        "cloud": {name: json.dumps(body, separators=(",", ":")).encode() for name, body in _cloud().items()},
        "journal": _journal(),
    }


def main() -> None:
    for target, inputs in seeds().items():
        (CORPUS / target).mkdir(parents=True, exist_ok=True)
        for name, data in inputs.items():
            clean = "".join(letter if letter.isalnum() else "-" for letter in name.lower()).strip("-")
            (CORPUS / target / clean).write_bytes(data)


if __name__ == "__main__":
    main()
