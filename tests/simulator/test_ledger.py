"""The ledger: what can be refunded, and the sums."""

import pytest

from getnet_pos.errors import InvalidValue
from getnet_pos.simulator import Card, EntryKind, Ledger, Refusal
from getnet_pos.simulator.refusals import Declined

TODAY = "2026-01-01 12:00:00"


@pytest.fixture
def ledger():
    return Ledger()


def sell(ledger, amount=1000, **details):
    return ledger.add(EntryKind.SALE, 100, amount, TODAY, **details)


def hold(ledger, amount=1000):
    return ledger.add(EntryKind.PRE_AUTHORIZATION, 130, amount, TODAY)


def refused(refusal):
    return pytest.raises(Declined, match=str(refusal.code))


def test_operation_ids_grow_and_authorization_codes_have_six_digits_and_never_repeat(ledger):
    entries = [sell(ledger) for _ in range(1000)]
    assert [entry.operation_id for entry in entries] == list(range(1, 1001))
    assert len({entry.authorization_code for entry in entries}) == 1000
    assert {len(entry.authorization_code) for entry in entries} == {6}


def test_sums_are_told_by_ticket_and_in_all(ledger):
    first = sell(ledger, 1000, ticket="A")
    sell(ledger, 500, ticket="B")
    ledger.refund(first.authorization_code, 300, 108, TODAY)
    assert (ledger.charged("A"), ledger.returned("A"), ledger.balance("A")) == (1000, 300, 700)
    assert (ledger.charged(), ledger.returned(), ledger.balance()) == (1500, 300, 1200)
    assert ledger.charged("C") == 0
    assert [entry.ticket for entry in ledger.charges()] == ["A", "B"]


def test_a_void_takes_the_whole_charge_and_names_it(ledger):
    sale = sell(ledger, ticket="A", tip=10)
    void = ledger.void(sale.operation_id, 102, TODAY)
    assert (void.kind, void.amount, void.refers_to, void.tip) == (EntryKind.VOID, 1000, sale.operation_id, 0)
    assert (void.ticket, void.authorization_code) == ("A", sale.authorization_code)
    assert ledger.left(sale) == ledger.balance() == 0


def test_a_sale_is_voided_once(ledger):
    sale = sell(ledger)
    ledger.void(sale.operation_id, 102, TODAY)
    with refused(Refusal.ALREADY_VOIDED):
        ledger.void(sale.operation_id, 102, TODAY)
    assert ledger.returned() == 1000


def test_what_is_no_charge_cannot_be_voided(ledger):
    with refused(Refusal.NOT_FOUND):
        ledger.void(7, 102, TODAY)
    with refused(Refusal.NOT_FOUND):
        ledger.void(hold(ledger).operation_id, 102, TODAY)


def test_a_sale_of_a_closed_batch_cannot_be_voided_but_refunded(ledger):
    sale = sell(ledger)
    ledger.close_batch(TODAY)
    with refused(Refusal.BATCH_CLOSED):
        ledger.void(sale.operation_id, 102, TODAY)
    ledger.refund(sale.authorization_code, 1000, 108, TODAY)
    assert ledger.balance() == 0


def test_a_refunded_sale_cannot_be_voided(ledger):
    sale = sell(ledger)
    ledger.refund(sale.authorization_code, 1, 108, TODAY)
    with refused(Refusal.ALREADY_REFUNDED):
        ledger.void(sale.operation_id, 102, TODAY)


def test_refunds_never_exceed_what_is_left(ledger):
    sale = sell(ledger, 1000)
    ledger.refund(sale.authorization_code, 600, 108, TODAY)
    with refused(Refusal.TOO_MUCH):
        ledger.refund(sale.authorization_code, 401, 108, TODAY)
    ledger.refund(sale.authorization_code, 400, 108, TODAY)
    with refused(Refusal.TOO_MUCH):
        ledger.refund(sale.authorization_code, 1, 108, TODAY)
    assert ledger.balance() == 0


def test_a_voided_sale_has_nothing_to_refund_and_an_unknown_code_neither(ledger):
    sale = sell(ledger)
    ledger.void(sale.operation_id, 102, TODAY)
    with refused(Refusal.TOO_MUCH):
        ledger.refund(sale.authorization_code, 1, 108, TODAY)
    with refused(Refusal.NOT_FOUND):
        ledger.refund("999999", 1, 108, TODAY)


def test_a_hold_is_no_charge_until_it_is_completed(ledger):
    held = hold(ledger, 1000)
    assert (ledger.held(), ledger.charged()) == (1000, 0)
    completion = ledger.complete(held.authorization_code, 800, 131, TODAY)
    assert (ledger.held(), ledger.charged()) == (0, 800)
    assert ledger.void(completion.operation_id, 102, TODAY).amount == 800


def test_a_hold_is_completed_or_released_once(ledger):
    completed, released = hold(ledger), hold(ledger)
    ledger.complete(completed.authorization_code, 1, 131, TODAY)
    ledger.release(released.authorization_code, 132, TODAY)
    assert (ledger.held(), ledger.charged()) == (0, 1)
    for done in (completed, released):
        with refused(Refusal.NOT_FOUND):
            ledger.complete(done.authorization_code, 1, 131, TODAY)
        with refused(Refusal.NOT_FOUND):
            ledger.release(done.authorization_code, 132, TODAY)


def test_what_is_not_held_cannot_be_completed(ledger):
    sale = sell(ledger)
    with refused(Refusal.NOT_FOUND):
        ledger.complete(sale.authorization_code, 1, 131, TODAY)


def test_a_completion_does_not_exceed_the_hold(ledger):
    held = hold(ledger, 1000)
    with refused(Refusal.TOO_MUCH):
        ledger.complete(held.authorization_code, 1001, 131, TODAY)


def test_a_closed_batch_keeps_its_count_and_its_total(ledger):
    first = sell(ledger, 1000)
    sell(ledger, 500)
    ledger.void(first.operation_id, 102, TODAY)
    batch = ledger.close_batch(TODAY)
    assert (batch.number, batch.count, batch.total, batch.closed_at) == (1, 3, 500, TODAY)
    assert (ledger.closed, ledger.batch) == ([batch], 2)
    assert sell(ledger).batch == 2


def test_a_card_is_of_a_known_type_and_has_digits():
    with pytest.raises(InvalidValue, match="type"):
        Card(type="XX")
    with pytest.raises(InvalidValue, match="digits"):
        Card(last4="12a4")
