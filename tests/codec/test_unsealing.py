"""Commands that somebody else wrote: what the frame says is what the command is, to both backends."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from getnet_pos.codec import envelope, seal, unseal
from getnet_pos.codec.unsealing import unsealed
from getnet_pos.errors import FrameTooLarge, GetnetError, InvalidValue, MalformedFrame, SignatureMismatch
from getnet_pos.messages import (
    CATALOGUE,
    Command,
    GenericCommand,
    MultiCommerceRefund,
    MultiCommerceSale,
    MultiCommerceVoid,
    OriginalData,
    Poll,
    PreAuthorization,
    PreAuthorizationCompletion,
    PreAuthorizationRelease,
    Refund,
    Sale,
    SalesBySellerReport,
    SaleType,
    SetDefaultSaleType,
    Void,
)
from tests.evidence import Count

RUT = "11111111-1"
THEN = "2024-01-01T00:00:00.000Z"


def read(backend: Any, frame: bytes) -> Command[Any]:
    sealed = unsealed(backend.Decoder(), frame, CATALOGUE)
    assert sealed.frame == frame
    return sealed.command


def written(backend: Any, **fields: Any) -> Command[Any]:
    return read(backend, envelope(json.dumps(fields)))


def a_command(random: Random) -> Command[Any]:
    """Any command with any values that it may have."""
    letters = "aZ09 ñé😀\"\\/{}|,:'"
    words = "".join(random.choice(letters) for _ in range(random.randint(4, 20)))
    amount, flag, operation_id = random.randint(1, 999_999_999), random.random() < 0.5, random.randint(1, 99_999_999)
    employee, kind = random.randint(1, 9999), random.choice([*SaleType, 42])
    when = random.choice([None, THEN, "31-12-2025 23:59:59"])
    options: list[Command[Any]] = [
        Sale(amount, random.choice([None, words]), flag, kind, not flag, employee, date_time=when),
        Void(operation_id, flag, date_time=when),
        Refund(words, amount, flag, date_time=when),
        SalesBySellerReport(employee, flag, date_time=when),
        SetDefaultSaleType(kind, date_time=when),
        MultiCommerceSale(amount, RUT, flag, kind, allowed_cards=["12345678"], commerce_data={words: [1, None]}),
        MultiCommerceVoid(
            amount, operation_id, RUT, "rrn", OriginalData("0210", "31", "224022", "0611"), date_time=when
        ),
        MultiCommerceRefund(amount, words, RUT, date_time=when),
        PreAuthorization(amount, words, flag, date_time=when),
        PreAuthorizationCompletion(words, amount, date_time=when),
        PreAuthorizationRelease(words, date_time=when),
        GenericCommand({"Anything": [words, amount]}, code=random.randint(900, 999), date_time=when),
        *(
            kind_(date_time=when)
            for kind_ in (Poll, *(CATALOGUE.kinds[code] for code in (101, 103, 104, 105, 107, 116)))
        ),
    ]
    return random.choice(options)


def test_what_was_sealed_is_read_again(backend: Any, count: Count) -> None:
    for seed in range(count(short=300, evidence=20_000, long=1_000_000)):
        command = a_command(Random(seed))
        assert read(backend, seal(command)) == command, seed


def test_whatever_comes_is_read_alike_or_refused_alike(pure: Any, native: Any, count: Count) -> None:
    """A frame with one byte changed, cut or put in: the same command, or the same error, and never another one."""
    for seed in range(count(short=300, evidence=20_000, long=1_000_000)):
        random = Random(seed)
        frame = bytearray(seal(a_command(random)))
        place = random.randrange(len(frame))
        match random.randrange(4):
            case 0:
                frame[place] = random.randrange(256)
            case 1:
                del frame[place]
            case 2:
                frame.insert(place, random.choice(b'{}"\\ 0\x02'))
            case _:
                del frame[place:]
        results: list[object] = []
        for backend in (pure, native):
            try:
                results.append(repr(read(backend, bytes(frame))))
            except GetnetError as error:
                results.append((type(error), str(error)))
        assert results[0] == results[1], (seed, bytes(frame))


def test_a_number_may_be_spelled_as_text(backend: Any) -> None:
    assert written(backend, Command="100", Amount="2500", TicketNumber=17, PrintOnPos="true", EmployeeId=None) == Sale(
        2500, "17", True
    )


def test_what_the_command_does_not_know_stays_in_the_frame(backend: Any) -> None:
    assert written(backend, Command=106, TypeApp=0) == Poll()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"Command": 100, "TicketNumber": "A1"}, "needs the field Amount"),
        ({"Command": 100, "Amount": 10.5}, "Amount must be a whole number"),
        ({"Command": 100, "Amount": 0}, "amount"),
        ({"Command": 100, "Amount": 5, "PrintOnPos": "maybe"}, "PrintOnPos must be true or false"),
        ({"Command": 100, "Amount": 5, "amount": 900}, "spelled Amount"),
        ({"Command": 100, "Amount": 5, "AMOUNT": 5}, "spelled Amount"),
        ({"Command": 106, "datetime": THEN}, "spelled DateTime"),
        ({"Command": 106, "DateTime": 5}, "date_time must be text"),
        ({"Command": 1000}, "code"),
        ({"Command": 123, "Amount": 5, "RutCommerceSon": RUT, "AuthorizationCode": "12"}, "authorization_code"),
    ],
)
def test_a_field_that_cannot_be_meant_is_named(backend: Any, fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidValue, match=said):
        written(backend, **fields)


def test_an_amount_changed_after_signing_is_no_command(backend: Any) -> None:
    frame = seal(Sale(1000, "A1")).replace(b'\\"Amount\\":1000', b'\\"Amount\\":9000')
    with pytest.raises(SignatureMismatch):
        read(backend, frame)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"{}",
        b'{"Received":true}',
        seal(Poll())[:-1],
        seal(Poll()) * 2,
        b" " + seal(Poll()),
        seal(Poll()) + b"\n",
        envelope('{"FunctionCode":106,"ResponseCode":0}'),
        b"\x02103|\x03M",
    ],
)
def test_a_frame_is_one_command_and_nothing_beside(backend: Any, frame: bytes) -> None:
    with pytest.raises(MalformedFrame):
        read(backend, frame)


def test_a_frame_has_a_longest_size() -> None:
    with pytest.raises(FrameTooLarge):
        unseal(b'{"JsonSerialized":"' + b"a" * (1 << 20))
