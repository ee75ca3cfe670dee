"""Money through either cloud where all goes well, and what a country does not have."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from getnet_pos import (
    CancelSale,
    CloudRefund,
    CloudSale,
    GetTransaction,
    IntentState,
    LastVoucher,
    OutcomeUnknown,
    Profile,
    Refund,
    RefundReply,
    Sale,
    SalePromotion,
    SaleReply,
    UnsupportedOperation,
    Void,
    VoidReply,
)
from getnet_pos.flows.intents import generated_ticket
from getnet_pos.simulator import Behaviour
from getnet_pos.simulator.cloud import CloudFault
from tests.cloud.registers import (
    ARGENTINA,
    CHILE,
    HOOK,
    K,
    both,
    hooked,
    number_of,
    polled,
)


@both
@hooked
def test_a_sale(profile: Profile, webhook: str | None) -> None:
    register = polled(profile, webhook=webhook)
    sale = register.sell()
    assert type(sale) is SaleReply
    assert (sale.approved, sale.amount) == (True, 1000)
    accepted = [IntentState.ACCEPTED] if webhook else []
    assert register.journal.history() == [IntentState.INTENT, *accepted, IntentState.APPROVED]
    assert register.journal.steps[-1].transaction_id == str(number_of(register))
    assert register.calls().count("sale") == 1
    assert register.calls().count("auth") == 1


def test_the_status_is_asked_from_two_seconds_on_with_longer_and_longer_pauses() -> None:
    register = polled(webhook=HOOK, default=Behaviour(decide_after=60))
    begun = register.now
    asked: list[float] = []
    register.to_cloud = lambda call: call.method == "POST" or not asked.append(register.now - begun)
    assert register.sell().approved
    pauses = [after - before for before, after in pairwise(asked)]
    assert 2 <= asked[0] < 2.2
    assert pauses == sorted(pauses)
    assert pauses[0] < 3
    assert 9 < max(pauses) < 11
    assert 60 <= register.now - begun < 72


@both
def test_the_token_is_renewed_in_time(profile: Profile) -> None:
    register = polled(profile, token_life=1000)
    register.pass_time(790)
    register.sell()
    assert register.calls().count("auth") == 1
    register.pass_time(20)
    register.sell()
    assert register.calls().count("auth") == 2
    assert not any(call.answer is not None and call.answer.status == 401 for call in register.cloud.requests)


def test_a_void_and_a_refund() -> None:
    register = polled()
    first, second = register.sell(1000, "A"), register.sell(2000, "B")
    void = register.pay(Void(first.operation_id))
    assert type(void) is VoidReply
    assert void.approved
    refund = register.pay(Refund(second.authorization_code, 500))
    assert type(refund) is RefundReply
    assert refund.approved
    assert register.terminal.ledger.balance() == 1500


def test_a_sale_with_a_promotion() -> None:
    register = polled()
    sale = register.pay(SalePromotion(1000, id_promo="two for one"))
    assert type(sale) is SaleReply
    own_ticket = generated_ticket(register.journal.steps[0].intent_id)
    assert (sale.approved, sale.function_code, sale.ticket) == (True, 126, own_ticket)
    assert register.journal.states() == [IntentState.APPROVED]


def test_a_sale_with_a_promotion_is_recovered() -> None:
    """The terminal records it as a sale, function code 100."""
    register = polled()
    register.cloud.inject(CloudFault(K.TIMEOUT_AFTER))
    sale = register.pay(SalePromotion(1000, "T1", id_promo="two for one"))
    assert type(sale) is SaleReply
    assert (sale.approved, sale.function_code, sale.ticket) == (True, 126, "T1")
    assert register.journal.states() == [IntentState.APPROVED]
    assert register.calls().count("salepromo") == 1


def test_a_promotion_recorded_as_a_sale_is_not_taken_for_the_next_sale() -> None:
    register = polled()
    assert register.pay(SalePromotion(1000, "T1", id_promo="two for one")).approved
    register.cloud.inject(CloudFault(K.DROP_BEFORE))
    with pytest.raises(OutcomeUnknown):
        register.pay(Sale(1000, "T2"))
    assert register.terminal.ledger.charged() == 1000


def test_what_became_of_a_transaction_is_shown_under_its_own_code() -> None:
    register = polled()
    register.sell()
    shown = register.ask(GetTransaction(number_of(register)))
    assert isinstance(shown, SaleReply)
    assert shown.ticket == "T1"


@pytest.mark.parametrize(
    ("profile", "command"),
    [
        (CHILE, CancelSale()),
        (CHILE, LastVoucher()),
        (ARGENTINA, Void(1)),
        (CHILE, CloudSale(5, tip=1)),
        (CHILE, CloudRefund("1234", 5, original_date="2025-10-09")),
    ],
)
def test_what_a_country_does_not_have(profile: Profile, command: Any) -> None:
    register = polled(profile)
    before = len(register.cloud.requests)
    with pytest.raises(UnsupportedOperation, match=f"profile {profile.name}"):
        register.run(register.session.request(command))
    assert (len(register.cloud.requests), register.journal.steps) == (before, [])


def test_fields_of_a_country() -> None:
    register = polled(ARGENTINA)
    sale = register.pay(CloudSale(5000, "T", tip=10, installments=3, plan_id="plan"))
    assert (register.sent[-1]["tip"], register.sent[-1]["installments"], register.sent[-1]["planId"]) == (10, 3, "plan")
    register.run(register.session.refund(sale.authorization_code, 5000, False, "2026-01-01"))
    assert register.sent[-1]["originalTransDate"] == "2026-01-01"
