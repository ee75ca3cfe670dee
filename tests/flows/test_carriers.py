"""What must be so whatever carries a command: the same text on a byte stream and through either cloud."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any

import pytest

from getnet_pos import JournalError
from getnet_pos.messages import (
    CATALOGUE,
    Command,
    Intent,
    IntentState,
    MultiCommerceRefund,
    MultiCommerceSale,
    MultiCommerceVoid,
    OriginalData,
    PreAuthorization,
    PreAuthorizationCompletion,
    PreAuthorizationRelease,
    Refund,
    Sale,
    Void,
)
from tests.faults.world import CloudRegister, Register, StreamRegister
from tests.flows.ways import WAYS, Way, everywhere, lose_the_reply, polled

# ------------------------------------------------------------------------------------------------------ a disk is full


def refusing_once(state: IntentState) -> Callable[[Intent], bool]:
    left = iter([True])
    return lambda intent: intent.state is state and next(left, False)


@everywhere
@pytest.mark.parametrize("ticket", ["T1", None])
def test_a_result_that_cannot_be_recorded(way: Way, ticket: str | None) -> None:
    """The caller gets the approval, the terminal no confirmation; the next sale settles it first, and is its own."""
    register = polled(way)
    confirmed = register.terminal.acknowledgements
    register.journal.refuses = refusing_once(IntentState.APPROVED)
    first = register.sell(ticket=ticket)
    assert first.approved
    if isinstance(register, StreamRegister):
        assert register.terminal.acknowledgements == confirmed + 4, "the query, three messages, and not the reply"
    assert [one.open for one in register.journal.finals()] == [True]
    register.pass_time(5.0)
    second = register.sell(ticket=ticket and "T2")
    assert second.approved
    assert register.journal.states() == [IntentState.APPROVED, IntentState.APPROVED]
    made = [entry.authorization_code for entry in register.terminal.ledger.entries]
    assert made == [first.authorization_code, second.authorization_code]
    assert made == [one.authorization_code for one in register.journal.finals()]


@everywhere
def test_a_command_that_cannot_be_recorded_is_not_sent(way: Way) -> None:
    register = polled(way)
    register.journal.refuses = refusing_once(IntentState.INTENT)
    with pytest.raises(JournalError, match="the disk is full"):
        register.sell()
    assert (register.journal.written, register.terminal.ledger.entries) == ([], ())
    assert register.sell().approved


# ------------------------------------------------------------------------------------------------------ a reply is lost

MONEY = [kind for kind in CATALOGUE.kinds.values() if kind.moves_money]

ORIGINALS: dict[type[Command[Any]], Command[Any]] = {
    Void: Sale(1000, "T1"),
    Refund: Sale(1000, "T1"),
    MultiCommerceVoid: MultiCommerceSale(1000, "76000000-0"),
    MultiCommerceRefund: MultiCommerceSale(1000, "76000000-0"),
    PreAuthorizationCompletion: PreAuthorization(1000, "T1"),
    PreAuthorizationRelease: PreAuthorization(1000, "T1"),
}
"""What must have been before a command can refer to it."""

VALUES = {
    "amount": 1000,
    "rut_commerce_son": "76000000-0",
    "id_promo": "two for one",
    "host_rrn": "123456",
    "original_data": OriginalData("0210", "000001", "120000", "0101"),
}


def made(kind: type[Command[Any]], register: Register) -> Command[Any]:
    """A command of this kind, as little of it as there must be, after what it refers to."""
    values: dict[str, Any] = dict(VALUES)
    if kind in ORIGINALS:
        original = register.pay(ORIGINALS[kind])
        values.update(operation_id=original.operation_id, authorization_code=original.authorization_code)
        register.pass_time(2.0)
    needed = [one.name for one in fields(kind) if one.default is MISSING and one.default_factory is MISSING]
    return kind(**{name: values[name] for name in needed})


def takes(register: Register, kind: type[Command[Any]]) -> bool:
    if isinstance(register, CloudRegister):
        return kind.code in register.way.settings.endpoints
    return not kind.cloud_only


@pytest.mark.parametrize(
    ("way", "kind"),
    [(way, kind) for way in WAYS for kind in MONEY if takes(way(), kind)],
    ids=lambda value: value.__name__,
)
def test_a_command_whose_reply_is_lost_is_recovered(way: Way, kind: type[Command[Any]]) -> None:
    register = polled(way)
    command = made(kind, register)
    before = len(register.terminal.ledger.entries)
    lose_the_reply(register)
    reply = register.pay(command)
    assert type(reply) is kind.reply_type
    assert (reply.approved, reply.function_code) == (True, kind.code)
    [entry] = register.terminal.ledger.entries[before:]
    final = register.journal.finals()[-1]
    assert (final.state, final.command) == (IntentState.APPROVED, kind.code)
    assert final.authorization_code == entry.authorization_code


def test_every_money_command_is_taken_somewhere() -> None:
    assert [kind for kind in MONEY if not any(takes(way(), kind) for way in WAYS)] == []
