"""One thing at a time, on a clock of its own: what each answer of the cloud means for a question and for money."""

from __future__ import annotations

import contextlib
import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import orjson
import pytest

from getnet_pos import (
    ApiError,
    AuthenticationError,
    CancelReply,
    CancelSale,
    CloudRefund,
    CloudSale,
    ConnectError,
    DeadlineExceeded,
    DetailsReport,
    Disconnected,
    Forbidden,
    GenericCommand,
    GenericReply,
    GetnetError,
    GetTransaction,
    IntentState,
    JournalError,
    LastVoucher,
    LifecycleError,
    MalformedResponse,
    NotFound,
    OutcomeUnknown,
    Profile,
    RateLimited,
    Refund,
    RefundReply,
    Sale,
    SalePromotion,
    SaleReply,
    ServerError,
    TerminalNotFound,
    TransactionNotFound,
    UnexpectedReply,
    UnsupportedOperation,
    Void,
    VoidReply,
    VoucherMark,
)
from getnet_pos.flows.cloud_calls import Pace, status
from getnet_pos.flows.effects import Request, Response
from getnet_pos.flows.http_calls import RetryPolicy
from getnet_pos.session import Session
from getnet_pos.simulator import Behaviour, Outcome, Reboot
from getnet_pos.simulator.cloud import CloudAnswer, CloudCall, CloudFault, CloudFaultKind, VirtualCloud, Where
from tests.cloud.virtual import ARGENTINA, CHILE, Killed, Rig

HOOK = "https://shop.example/hook"
K = CloudFaultKind


def rig_of(profile: Profile, **settings: Any) -> Rig:
    return Rig(VirtualCloud(profile=profile, **settings))


def polled(rig: Rig, **settings: Any) -> Session:
    session = rig.register(**settings)
    assert rig.run(session.polling()).approved
    return session


def sell(rig: Rig, session: Session, amount: int = 1000, ticket: str | None = "T1") -> Any:
    return rig.run(session.request(Sale(amount, ticket)))


def paths(rig: Rig) -> list[str]:
    return [call.path.rpartition("/")[2] for call in rig.cloud.requests]


both = pytest.mark.parametrize("profile", [CHILE, ARGENTINA], ids=["cl", "ar"])
hooked = pytest.mark.parametrize("webhook", [None, HOOK], ids=["sync", "async"])

# ------------------------------------------------------------------------------------------------------- all goes well


@both
@hooked
def test_a_sale(profile: Profile, webhook: str | None) -> None:
    rig = rig_of(profile)
    session = polled(rig, webhook=webhook)
    sale = sell(rig, session)
    assert type(sale) is SaleReply
    assert (sale.approved, sale.amount) == (True, 1000)
    accepted = [IntentState.ACCEPTED] if webhook else []
    assert [step.state for step in rig.journal.steps] == [IntentState.INTENT, *accepted, IntentState.APPROVED]
    assert rig.journal.steps[-1].transaction_id == str(max(rig.cloud._transactions))
    assert paths(rig).count("sale") == 1
    assert paths(rig).count("auth") == 1


def test_the_status_is_asked_from_two_seconds_on_with_longer_and_longer_pauses() -> None:
    rig = rig_of(CHILE, default=Behaviour(decide_after=60))
    session = polled(rig, webhook=HOOK)
    begun = rig.now
    asked: list[float] = []
    receive = rig.cloud.receive
    rig.cloud.receive = lambda call, now: (  # type: ignore[method-assign]
        asked.append(now - begun) if call.method == "GET" else None, receive(call, now))[1]  # fmt: skip
    assert sell(rig, session).approved
    pauses = [after - before for before, after in pairwise(asked)]
    assert 2 <= asked[0] < 2.2
    assert pauses == sorted(pauses)
    assert pauses[0] < 3
    assert 9 < max(pauses) < 11
    assert 60 <= rig.now - begun < 72


@both
def test_the_token_is_renewed_in_time(profile: Profile) -> None:
    rig = rig_of(profile, token_life=1000)
    session = polled(rig)
    rig.pass_time(790)
    sell(rig, session)
    assert paths(rig).count("auth") == 1
    rig.pass_time(20)
    sell(rig, session)
    assert paths(rig).count("auth") == 2
    assert not any(call.answer is not None and call.answer.status == 401 for call in rig.cloud.requests)


def test_a_void_and_a_refund() -> None:
    rig = rig_of(CHILE)
    session = polled(rig)
    first, second = sell(rig, session, 1000, "A"), sell(rig, session, 2000, "B")
    void = rig.run(session.request(Void(first.operation_id)))
    assert type(void) is VoidReply
    assert void.approved
    refund = rig.run(session.request(Refund(second.authorization_code, 500)))
    assert type(refund) is RefundReply
    assert refund.approved
    assert rig.cloud.terminal.ledger.balance() == 1500


def test_a_sale_with_a_promotion() -> None:
    rig = rig_of(CHILE)
    sale = rig.run(polled(rig).request(SalePromotion(1000, id_promo="two for one")))
    assert type(sale) is SaleReply
    assert (sale.approved, sale.function_code, sale.ticket) == (True, 126, rig.journal.steps[0].intent_id[:10].upper())
    assert rig.journal.states() == [IntentState.APPROVED]


def test_a_sale_with_a_promotion_is_recovered() -> None:
    """The terminal records it as a sale, function code 100."""
    rig = rig_of(CHILE)
    session = polled(rig)
    rig.cloud.inject(CloudFault(K.TIMEOUT_AFTER))
    sale = rig.run(session.request(SalePromotion(1000, "T1", id_promo="two for one")))
    assert type(sale) is SaleReply
    assert (sale.approved, sale.function_code, sale.ticket) == (True, 126, "T1")
    assert rig.journal.states() == [IntentState.APPROVED]
    assert paths(rig).count("salepromo") == 1


def test_a_promotion_recorded_as_a_sale_is_not_taken_for_the_next_sale() -> None:
    rig = rig_of(CHILE)
    session = polled(rig)
    assert rig.run(session.request(SalePromotion(1000, "T1", id_promo="two for one"))).approved
    rig.cloud.inject(CloudFault(K.DROP_BEFORE))
    with pytest.raises(OutcomeUnknown):
        rig.run(session.request(Sale(1000, "T2")))
    assert rig.cloud.terminal.ledger.charged() == 1000


def test_what_became_of_a_transaction_is_shown_under_its_own_code() -> None:
    rig = rig_of(CHILE)
    session = polled(rig)
    sell(rig, session)
    shown = rig.run(session.request(GetTransaction(max(rig.cloud._transactions))))
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
    rig = rig_of(profile)
    session = polled(rig)
    before = len(rig.cloud.requests)
    with pytest.raises(UnsupportedOperation, match=f"profile {profile.name}"):
        rig.run(session.request(command))
    assert (len(rig.cloud.requests), rig.journal.steps) == (before, [])


def test_fields_of_a_country() -> None:
    rig = rig_of(ARGENTINA)
    session = polled(rig)
    sale = rig.run(session.request(CloudSale(5000, "T", tip=10, installments=3, plan_id="plan")))
    assert (rig.sent[-1]["tip"], rig.sent[-1]["installments"], rig.sent[-1]["planId"]) == (10, 3, "plan")
    rig.run(session.refund(sale.authorization_code, 5000, False, "2026-01-01"))
    assert rig.sent[-1]["originalTransDate"] == "2026-01-01"


# ------------------------------------------------------------------------------------- what each answer means for money

REFUSED: list[tuple[CloudFaultKind, type[ApiError]]] = [(K.UNAUTHORIZED, AuthenticationError), (K.FORBIDDEN, Forbidden)]
NOT_DONE = [K.SERVER_ERROR, K.RATE_LIMIT, K.UNAVAILABLE, K.DROP_BEFORE]
DONE = [K.DROP_AFTER, K.TIMEOUT_AFTER, K.SERVER_ERROR_AFTER, K.RATE_LIMIT_AFTER, K.HTML, K.CUT, K.CUT_JSON, K.NEVER]


@both
@hooked
@pytest.mark.parametrize(("kind", "error"), REFUSED)
def test_what_was_refused_for_certain_is_an_error(
    profile: Profile, webhook: str | None, kind: CloudFaultKind, error: type[ApiError]
) -> None:
    rig = rig_of(profile)
    session = polled(rig, webhook=webhook)
    rig.cloud.inject(CloudFault(kind, times=2))
    with pytest.raises(error):
        sell(rig, session)
    assert [step.state for step in rig.journal.steps] == [IntentState.INTENT, IntentState.DECLINED]
    assert rig.journal.steps[-1].note == f"the cloud did not pass it on: {error.__name__}"
    assert rig.cloud.terminal.ledger.entries == ()
    rig.cloud._faults.clear()
    assert sell(rig, session).approved


@both
@hooked
@pytest.mark.parametrize("kind", NOT_DONE)
def test_what_was_not_done_is_unknown(profile: Profile, webhook: str | None, kind: CloudFaultKind) -> None:
    rig = rig_of(profile)
    session = polled(rig, webhook=webhook)
    rig.cloud.inject(CloudFault(kind))
    begun = rig.now
    with pytest.raises(OutcomeUnknown, match="do not repeat it") as caught:
        sell(rig, session)
    assert isinstance(caught.value.__cause__, GetnetError)
    assert 60 <= rig.now - begun < 75
    assert rig.journal.states() == [IntentState.UNKNOWN]
    assert paths(rig).count("sale") == 1
    assert rig.cloud.terminal.ledger.entries == ()


@both
@hooked
@pytest.mark.parametrize("kind", DONE)
@pytest.mark.parametrize("ticket", ["T1", None])
def test_what_was_done_is_found_out(
    profile: Profile, webhook: str | None, kind: CloudFaultKind, ticket: str | None
) -> None:
    rig = rig_of(profile)
    session = polled(rig, webhook=webhook)
    rig.cloud.inject(CloudFault(kind))
    sale = sell(rig, session, ticket=ticket)
    assert type(sale) is SaleReply
    entry = rig.cloud.terminal.ledger.entries[0]
    assert (sale.approved, sale.function_code, sale.authorization_code) == (True, 100, entry.authorization_code)
    assert rig.journal.states() == [IntentState.APPROVED]
    assert paths(rig).count("sale") == 1
    assert len(rig.cloud.terminal.ledger.entries) == 1


@both
@pytest.mark.parametrize("kind", [K.UNAUTHORIZED, K.EXPIRED])
def test_a_401_in_the_middle_is_renewed_once(profile: Profile, kind: CloudFaultKind) -> None:
    rig = rig_of(profile)
    session = polled(rig)
    rig.cloud.inject(CloudFault(kind))
    assert sell(rig, session).approved
    assert paths(rig).count("auth") == 2
    assert len(rig.cloud.terminal.ledger.entries) == 1
    assert [step.state for step in rig.journal.steps] == [IntentState.INTENT, IntentState.APPROVED]


@both
def test_a_login_that_fails_records_nothing(profile: Profile) -> None:
    rig = rig_of(profile, token_life=10)
    session = polled(rig)
    for kind, error in ((K.SERVER_ERROR, ServerError), (K.FORBIDDEN, Forbidden), (K.HTML, MalformedResponse)):
        rig.pass_time(20)
        rig.cloud.inject(CloudFault(kind, Where.LOGIN))
        with pytest.raises(error):
            sell(rig, session)
    assert rig.journal.steps == []
    assert rig.sent == []


def test_a_renewal_that_fails_leaves_a_refused_command() -> None:
    rig = rig_of(CHILE)
    session = polled(rig)
    rig.cloud.inject(CloudFault(K.UNAUTHORIZED), CloudFault(K.SERVER_ERROR, Where.LOGIN))
    with pytest.raises(ServerError):
        sell(rig, session)
    assert rig.journal.states() == [IntentState.DECLINED]


def test_a_token_that_cannot_be_renewed_is_not_tried_twice() -> None:
    rig = rig_of(CHILE)
    session = polled(rig)

    def fixed(refused: Any) -> Any:
        return None
        yield

    session.till.carrier.cloud.bearer.renewed = fixed  # type: ignore[method-assign]
    rig.cloud.inject(CloudFault(K.UNAUTHORIZED), CloudFault(K.UNAUTHORIZED, Where.QUESTION))
    with pytest.raises(AuthenticationError):
        sell(rig, session)
    with pytest.raises(AuthenticationError):
        rig.run(session.request(DetailsReport()))
    assert len(rig.sent) == 1
    assert rig.journal.states() == [IntentState.DECLINED]


@both
def test_a_cloud_that_is_not_reached_was_sent_nothing(profile: Profile) -> None:
    rig = rig_of(profile)
    session = polled(rig)
    rig.unreachable = lambda request: request.url.endswith("/sale")
    with pytest.raises(ConnectError):
        sell(rig, session)
    assert rig.journal.states() == [IntentState.NOT_SENT]
    rig.unreachable = lambda request: False
    assert sell(rig, session).approved


def test_a_cloud_that_is_not_reached_the_second_time_has_refused_the_first() -> None:
    rig = rig_of(CHILE)
    session = polled(rig)
    rig.cloud.inject(CloudFault(K.UNAUTHORIZED))
    rig.unreachable = lambda request: request.url.endswith("/sale") and bool(rig.sent)
    with pytest.raises(ConnectError):
        sell(rig, session)
    assert rig.journal.states() == [IntentState.DECLINED]


def test_a_second_try_that_breaks_is_a_doubt() -> None:
    rig = rig_of(CHILE)
    session = polled(rig)
    rig.cloud.script.append([CloudFault(K.UNAUTHORIZED)])
    rig.cloud.script.append([CloudFault(K.DROP_AFTER)])
    assert sell(rig, session).approved
    assert len(rig.sent) == 2
    assert len(rig.cloud.terminal.ledger.entries) == 1


def test_a_closed_client_sends_nothing() -> None:
    rig = rig_of(CHILE)
    session = polled(rig)

    def closed(request: Request) -> bool:
        if request.url.endswith("/sale"):
            raise LifecycleError("the client is closed")
        return False

    rig.unreachable = closed
    with pytest.raises(LifecycleError):
        sell(rig, session)
    assert rig.journal.states() == [IntentState.NOT_SENT]


def test_an_unpaid_sale_is_declined() -> None:
    for profile in (CHILE, ARGENTINA):
        rig = rig_of(profile, default=Behaviour(outcome=Outcome.TIME_OUT))
        sale = sell(rig, polled(rig))
        assert (sale.approved, sale.response_code) == (False, 1006)
        assert rig.journal.states() == [IntentState.DECLINED]


@both
def test_a_result_of_the_command_before_is_not_taken(profile: Profile) -> None:
    for echoes in (True, False):
        rig = rig_of(profile, echoes_ids=echoes)
        session = polled(rig)
        first = sell(rig, session, 1000, "A")
        rig.pass_time(5)
        rig.cloud.inject(CloudFault(K.PREVIOUS))
        second = sell(rig, session, 1000, "B")
        assert second.authorization_code != first.authorization_code
        assert second.authorization_code == rig.cloud.terminal.ledger.entries[1].authorization_code


@both
def test_a_refusal_of_the_command_before_is_not_taken(profile: Profile) -> None:
    """Nor where the shop gave the same ticket and amount again: the transaction's number is another command's."""
    rig = rig_of(profile)
    rig.cloud.terminal.script.append(Behaviour(outcome=Outcome.TIME_OUT))
    session = polled(rig)
    assert sell(rig, session, 1000, "A").response_code == 1006
    rig.pass_time(5)
    rig.cloud.inject(CloudFault(K.PREVIOUS))
    second = sell(rig, session, 1000, "A")
    [entry] = rig.cloud.terminal.ledger.entries
    assert (second.approved, second.authorization_code) == (True, entry.authorization_code)
    assert rig.journal.states() == [IntentState.DECLINED, IntentState.APPROVED]


def test_statuses_can_be_told_to_be_refusals() -> None:
    assert CHILE.cloud is not None
    own = replace(CHILE, cloud=replace(CHILE.cloud, refusing_statuses=frozenset({401, 429})))
    rig = rig_of(own)
    session = polled(rig)
    rig.cloud.inject(CloudFault(K.RATE_LIMIT, retry_after=7))
    with pytest.raises(RateLimited) as caught:
        sell(rig, session)
    assert caught.value.retry_after == 7
    assert rig.journal.states() == [IntentState.DECLINED]


# ------------------------------------------------------------------------------------------ after the answer: following


@both
@pytest.mark.parametrize("kind", [K.OVERTAKEN, K.IN_PROCESS])
def test_a_status_that_is_not_there_yet(profile: Profile, kind: CloudFaultKind) -> None:
    rig = rig_of(profile)
    session = polled(rig, webhook=HOOK)
    rig.cloud.inject(CloudFault(kind, count=4))
    assert sell(rig, session).approved
    assert rig.journal.states() == [IntentState.APPROVED]


@pytest.mark.parametrize("kind", [K.SERVER_ERROR, K.RATE_LIMIT, K.HTML, K.DROP_BEFORE, K.TIMEOUT_AFTER, K.CUT_JSON])
def test_a_status_that_cannot_be_asked_is_asked_again(kind: CloudFaultKind) -> None:
    rig = rig_of(CHILE)
    session = polled(rig, webhook=HOOK)
    rig.cloud.inject(CloudFault(kind, Where.STATUS, times=3))
    assert sell(rig, session).approved
    assert [step.state for step in rig.journal.steps] == [
        IntentState.INTENT, IntentState.ACCEPTED, IntentState.APPROVED,
    ]  # fmt: skip


def test_a_status_that_is_forbidden_is_a_doubt() -> None:
    rig = rig_of(CHILE)
    session = polled(rig, webhook=HOOK)
    rig.cloud.inject(CloudFault(K.FORBIDDEN, Where.STATUS))
    assert sell(rig, session).approved
    assert [step.state for step in rig.journal.steps][2] is IntentState.RECOVERING


@both
def test_what_stays_in_process_is_followed_longer_than_a_doubt(profile: Profile) -> None:
    rig = rig_of(profile, default=Behaviour(decide_after=400))
    session = polled(rig, webhook=HOOK)
    assert sell(rig, session).approved
    states = [step.state for step in rig.journal.steps]
    assert states[1:3] == [IntentState.ACCEPTED, IntentState.RECOVERING]


@both
def test_what_never_ends_is_unknown_and_settled_when_the_cloud_knows(profile: Profile) -> None:
    rig = rig_of(profile, script=[], default=Behaviour())
    rig.cloud.terminal.script.append(Behaviour(decide_after=800))
    session = polled(rig, webhook=HOOK)
    begun = rig.now
    with pytest.raises(OutcomeUnknown):
        sell(rig, session)
    assert 580 <= rig.now - begun < 700
    assert [one.state for one in rig.run(session.recover())] == [IntentState.UNKNOWN]
    rig.pass_time(400)
    rig.cloud.inject(CloudFault(K.SERVER_ERROR, Where.STATUS))
    assert [one.state for one in rig.run(session.recover())] == [IntentState.UNKNOWN]
    assert rig.run(session.recover()) == []
    assert rig.journal.states() == [IntentState.APPROVED]


def test_the_same_ticket_is_not_charged_again_while_its_outcome_is_unknown() -> None:
    rig = rig_of(CHILE)
    session = polled(rig)
    rig.cloud.inject(CloudFault(K.DROP_BEFORE))
    with pytest.raises(OutcomeUnknown):
        sell(rig, session)
    with pytest.raises(OutcomeUnknown, match="nothing was sent"):
        sell(rig, session)
    assert len(rig.sent) == 1
    assert sell(rig, session, ticket="T2").approved
    assert sell(rig, session, 1001).approved


@both
def test_a_refusal_by_the_terminals_own_error_is_a_doubt(profile: Profile) -> None:
    rig = rig_of(profile)
    session = polled(rig)
    rig.cloud.terminal.script.append(Behaviour(change={"FunctionCode": 0, "ResponseMessage": "Error"}))
    assert sell(rig, session).approved
    assert IntentState.RECOVERING in [step.state for step in rig.journal.steps]


# ------------------------------------------------------------------------------------------------------------ a restart


@both
@hooked
def test_a_restart_at_any_moment_finds_out(profile: Profile, webhook: str | None) -> None:
    whole = rig_of(profile)
    session = polled(whole, webhook=webhook)
    before = whole.effects
    sell(whole, session)
    for kill_at in range(before, whole.effects + 1):
        rig = rig_of(profile)
        session = polled(rig, webhook=webhook)
        rig.kill_at = kill_at
        with contextlib.suppress(Killed):
            sell(rig, session)
        rig.kill_at = None
        rig.pass_time(10)
        again = polled(rig, webhook=webhook)
        charged = len(rig.cloud.terminal.ledger.entries)
        # Killed before the call, it cannot be known that there was none.
        wanted = [IntentState.APPROVED] if charged else [IntentState.UNKNOWN] if rig.journal.steps else []
        assert rig.journal.states() == wanted, kill_at
        assert charged <= 1
        assert sell(rig, again, ticket="T2").approved


def test_polling_a_terminal_that_is_not_ready_settles_nothing() -> None:
    rig = rig_of(CHILE)
    rig.cloud.terminal.answers[106] = Behaviour(change={"Connected": False})
    session = rig.register()
    assert rig.run(session.polling()).connected is False
    assert "details" not in paths(rig)


# ---------------------------------------------------------------------------------------------------------- the journal


@both
@pytest.mark.parametrize("state", [IntentState.ACCEPTED, IntentState.RECOVERING, IntentState.APPROVED])
def test_a_step_that_cannot_be_recorded_does_not_stop_a_command_that_has_left(
    profile: Profile, state: IntentState
) -> None:
    rig = rig_of(profile)
    session = polled(rig, webhook=HOOK)
    rig.journal.refusing = lambda intent: intent.state is state
    if state is IntentState.RECOVERING:
        rig.cloud.inject(CloudFault(K.DROP_AFTER))
    assert sell(rig, session).approved
    rig.journal.refusing = lambda intent: False
    rig.pass_time(1)
    assert rig.run(rig.register().polling()).approved
    assert rig.journal.states() == [IntentState.APPROVED]
    assert len(rig.cloud.terminal.ledger.entries) == 1


def test_what_cannot_be_recorded_is_not_sent() -> None:
    rig = rig_of(CHILE)
    session = polled(rig)
    rig.journal.refusing = lambda intent: True
    with pytest.raises(JournalError):
        sell(rig, session)
    assert rig.sent == []


# ------------------------------------------------------------------------------------------------------------ questions


@both
@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (K.FORBIDDEN, Forbidden),
        (K.SERVER_ERROR, ServerError),
        (K.UNAVAILABLE, ServerError),
        (K.TIMEOUT_AFTER, ServerError),
        (K.RATE_LIMIT, RateLimited),
        (K.HTML, MalformedResponse),
        (K.CUT_JSON, MalformedResponse),
        (K.CUT, Disconnected),
        (K.DROP_BEFORE, Disconnected),
        (K.NEVER, DeadlineExceeded),
        (K.UNAUTHORIZED, AuthenticationError),
    ],
)
def test_what_each_answer_means_for_a_question(profile: Profile, kind: CloudFaultKind, error: type[Exception]) -> None:
    rig = rig_of(profile)
    session = polled(rig)
    before = len(rig.cloud.requests)
    rig.cloud.inject(CloudFault(kind, Where.QUESTION, times=50))
    with pytest.raises(error):
        rig.run(session.request(DetailsReport()))
    asked = [call.path.rpartition("/")[2] for call in list(rig.cloud.requests)[before:]].count("details")
    assert asked == {K.RATE_LIMIT: 3, K.UNAUTHORIZED: 2}.get(kind, 1)
    rig.cloud._faults.clear()
    assert rig.run(session.request(DetailsReport())).approved


def test_a_question_that_was_not_sent_is_sent_again() -> None:
    rig = rig_of(CHILE)
    session = polled(rig)
    tries: list[int] = []

    def flaky(request: Request) -> bool:
        tries.append(1)
        return len(tries) < 3

    rig.unreachable = flaky
    assert rig.run(session.request(DetailsReport())).approved
    assert len(tries) == 3


def test_a_long_retry_after_is_an_error_at_once() -> None:
    rig = rig_of(CHILE)
    session = polled(rig)
    rig.cloud.inject(CloudFault(K.RATE_LIMIT, Where.QUESTION, times=5, retry_after=3600))
    begun = rig.now
    with pytest.raises(RateLimited, match="3600"):
        rig.run(session.request(DetailsReport()))
    assert rig.now - begun < 1


def test_the_cloud_is_left_alone_for_as_long_as_it_asks() -> None:
    rig = rig_of(CHILE)
    session = polled(rig)
    rig.cloud.inject(CloudFault(K.RATE_LIMIT, Where.QUESTION, retry_after=12))
    begun = rig.now
    assert rig.run(session.request(DetailsReport())).approved
    assert 12 <= rig.now - begun < 14
    # Other commands of the account wait as well, and those that move money before they are recorded.
    rig.cloud.inject(CloudFault(K.UNAVAILABLE, Where.QUESTION, retry_after=20))
    with pytest.raises(ServerError):
        rig.run(session.request(DetailsReport()))
    begun = rig.now
    assert sell(rig, session).approved
    assert 20 <= rig.now - begun < 22


def test_the_pace_grows_without_a_word_from_the_cloud_and_is_bounded() -> None:
    rig = rig_of(CHILE)
    rig.random = lambda: 0.0
    pace = Pace(RetryPolicy())
    waited = []
    for answered in (429, 429, 503, 429, 200, 429):
        rig.run(pace.heard(Response(answered)))
        begun = rig.now
        rig.run(pace.wait())
        waited.append(rig.now - begun)
    assert waited == pytest.approx([0.25, 0.5, 1.0, 2.0, 0, 0.25])
    rig.run(pace.heard(Response(429, {"retry-after": "86400"})))
    begun = rig.now
    rig.run(pace.wait())
    assert rig.now - begun == pytest.approx(30)


def test_a_login_is_tried_again_and_respects_the_cloud() -> None:
    rig = rig_of(CHILE)
    rig.cloud.inject(CloudFault(K.RATE_LIMIT, Where.LOGIN, times=2, retry_after=5))
    begun = rig.now
    polled(rig)
    assert rig.now - begun > 10


def test_a_question_to_another_terminal() -> None:
    for profile in (CHILE, ARGENTINA):
        rig = rig_of(profile)
        other = replace(rig.cloud.key_pos, serial_number="OTHER")
        with pytest.raises(TerminalNotFound, match="KEYPOS NOT FOUND; check the terminal id") as caught:
            polled(rig, key_pos=other)
        assert (caught.value.status, caught.value.code, caught.value.message) == (200, "0", "KEYPOS NOT FOUND")


def test_money_of_another_terminal_is_refused() -> None:
    rig = rig_of(CHILE)
    session = polled(rig)
    session.till.carrier._key_pos = replace(session.till.carrier._key_pos, id_sucursal=1)
    with pytest.raises(TerminalNotFound):
        sell(rig, session)
    assert rig.journal.states() == [IntentState.DECLINED]


def test_a_cancellation_in_argentina() -> None:
    rig = rig_of(ARGENTINA)
    reply = rig.run(polled(rig).cancel_idle())
    assert type(reply) is CancelReply
    assert not reply.approved


def test_printing_and_shifts() -> None:
    rig = rig_of(CHILE)
    reply = rig.run(polled(rig).print_document(["one", {"type": "printcode", "data": "two"}]))
    assert type(reply) is GenericReply
    assert (reply.approved, reply.function_code) == (True, 117)
    assert [item["data"] for item in rig.cloud.documents[0]] == ["one", "two"]


# ------------------------------------------------------------------------------------------------------ strange answers


class Canned(VirtualCloud):
    """A cloud whose answers to some paths are given: bytes, or ``(status, bytes)``."""

    def __init__(self, profile: Profile, **answers: Any) -> None:
        super().__init__(profile=profile)
        self.answers = answers

    def receive(self, call: CloudCall, now: float) -> None:
        name = call.path.rpartition("/")[2]
        answer = self.answers.get(name, self.answers.get("status") if name.isdigit() else None)
        if callable(answer):
            answer = answer()
        if answer is None:
            super().receive(call, now)
            return
        self.requests.append(call)
        status, body = answer if isinstance(answer, tuple) else (200, answer)
        body = body if isinstance(body, bytes) else orjson.dumps(body)
        call.give(CloudAnswer(status, {"content-type": "application/json"}, body))


def canned(profile: Profile = CHILE, **answers: Any) -> tuple[Rig, Session]:
    rig = Rig(Canned(profile))
    session = polled(rig)
    rig.cloud.answers.update(answers)  # type: ignore[attr-defined]
    return rig, session


def nested(reply: object, **ids: Any) -> dict[str, Any]:
    return {"code": 1, "status": "OK", "message": "m", "data": {**ids, "response": reply}}


def test_a_poll_without_words() -> None:
    rig, session = canned(poll={"code": 1, "status": "OK", "message": "TRANSACTION FINISHED", "data": None})
    poll = rig.run(session.polling())
    assert (poll.approved, poll.connected, poll.response_message) == (True, True, "TRANSACTION FINISHED")
    for answer in ({"code": 1, "data": {"code": 5}}, nested(None), nested({"functionCode": 100, "responseCode": 0})):
        rig.cloud.answers["poll"] = answer  # type: ignore[attr-defined]
        with pytest.raises(UnexpectedReply):
            rig.run(session.polling())


def test_a_poll_that_takes_its_time() -> None:
    statuses = iter([{"code": 2, "data": None}, nested({"functionCode": 106, "responseCode": 0})])
    rig, session = canned(poll={"code": 2, "data": {"idPosTxs": 5}}, status=lambda: next(statuses))
    assert rig.run(session.polling()).approved


def test_a_poll_that_never_ends() -> None:
    rig, session = canned(poll={"code": 1, "data": {"idPosTxs": 5}}, status={"code": 2, "data": None})
    begun = rig.now
    with pytest.raises(DeadlineExceeded, match="transaction 5 is still in process"):
        rig.run(session.polling())
    assert rig.now - begun <= 62


@pytest.mark.parametrize("code", [100, 102, 108])
def test_a_last_voucher_may_be_of_its_operations_code(code: int) -> None:
    rig, session = canned(ARGENTINA, lastvoucher={"code": 1, "data": {"functionCode": code, "code": 0, "amount": 5}})
    assert rig.run(session.request(LastVoucher())).function_code == code


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("KEYPOS NOT FOUND", TerminalNotFound),
        (" keypos not  found. ", TerminalNotFound),
        ("INCORRECT REQUEST FOR MERCHANT ID", TerminalNotFound),
        ("ID NOT FOUND", TransactionNotFound),
        ("POS BUSY", ApiError),
        (None, ApiError),
    ],
)
@pytest.mark.parametrize("status", [200, 400])
def test_an_outer_error_is_named(message: str | None, error: type[ApiError], status: int) -> None:
    rig, session = canned(details=(status, {"code": 0, "status": "ERROR", "message": message, "data": None}))
    with pytest.raises(ApiError) as caught:
        rig.run(session.request(DetailsReport()))
    assert type(caught.value) is error
    assert caught.value.status == (status if error is ApiError else 200)


def test_words_of_the_cloud_show_no_token() -> None:
    rig, session = canned()
    token = next(iter(rig.cloud._tokens))
    rig.cloud.answers["details"] = {"code": 0, "message": f"bad token {token}\x1b[31m"}  # type: ignore[attr-defined]
    with pytest.raises(ApiError) as caught:
        rig.run(session.request(DetailsReport()))
    assert token not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_the_status_of_a_transaction() -> None:
    rig, session = canned()
    sell(rig, session)
    number = max(rig.cloud._transactions)
    result = rig.run(status(session.till.carrier.cloud, number, 10))
    assert result.reply is not None
    assert result.reply.approved
    with pytest.raises(TransactionNotFound, match="the status of transaction 5 was refused: ID NOT FOUND"):
        rig.run(status(session.till.carrier.cloud, 5, 10))
    rig.cloud.inject(CloudFault(K.UNAVAILABLE, Where.STATUS, times=2), CloudFault(K.DROP_AFTER, Where.STATUS, skip=2))
    begun = len(rig.cloud.requests)
    with pytest.raises(Disconnected):
        rig.run(status(session.till.carrier.cloud, number, 10))
    assert len(rig.cloud.requests) - begun == 3


DOUBTFUL: list[Any] = [
    {"code": 0, "status": "ERROR", "message": "POS BUSY", "data": None},
    {"code": 0, "status": "ERROR", "message": "ID NOT FOUND", "data": None},
    {"code": 1, "data": None},
    {"code": 2, "data": None},
    {"code": 7, "data": None},
    (400, {"code": 0, "message": "POS BUSY"}),
    (201, {"code": 1}),
    nested({"functionCode": 100, "responseCode": 0, "amount": 1}),
    nested({"functionCode": 100, "responseCode": 0}),
    nested({"functionCode": 101, "responseCode": 0, "amount": 1000}),
    nested({"functionCode": 100, "responseCode": 0, "amount": 1000, "ticket": "OTHER"}),
    nested({"functionCode": 100, "responseCode": 0, "amount": 1000}, customId="other"),
    nested({"functionCode": 100}),
    {**nested({"functionCode": 100, "responseCode": 0, "amount": 1000}), "code": 0},
]


@pytest.mark.parametrize("answer", DOUBTFUL, ids=[str(number) for number in range(len(DOUBTFUL))])
def test_an_answer_that_does_not_fit_is_a_doubt(answer: Any) -> None:
    rig, session = canned(sale=answer)
    with pytest.raises(OutcomeUnknown):
        sell(rig, session)
    assert [step.state for step in rig.journal.steps][-2:] == [IntentState.RECOVERING, IntentState.UNKNOWN]


def test_an_error_that_names_its_transaction_is_asked_about_by_it() -> None:
    good = nested({"functionCode": 100, "responseCode": 0, "amount": 1000, "ticket": "T1"})
    rig, session = canned(sale={"code": 0, "message": "POS TIMEOUT", "data": {"idPosTxs": 5}}, status=good)
    assert sell(rig, session).approved
    assert rig.journal.steps[-1].transaction_id == "5"


@pytest.mark.parametrize("custom_id", [None, "", "0"])
def test_an_answer_may_leave_the_custom_id_out(custom_id: str | None) -> None:
    reply = {"functionCode": 100, "responseCode": 0, "amount": 1000, "ticket": None}
    rig, session = canned(sale=nested(reply, customId=custom_id))
    assert sell(rig, session).approved


@pytest.mark.parametrize("status", [404, 405])
def test_an_address_that_is_not_there(status: int) -> None:
    rig, session = canned(sale=(status, b"nothing here"))
    with pytest.raises(NotFound if status == 404 else ApiError):
        sell(rig, session)
    assert rig.journal.states() == [IntentState.DECLINED]


def test_a_refused_terminal_under_another_status() -> None:
    rig, session = canned(sale=(400, {"code": 0, "message": "KEYPOS NOT FOUND"}))
    with pytest.raises(TerminalNotFound):
        sell(rig, session)
    assert rig.journal.states() == [IntentState.DECLINED]


# ------------------------------------------------------------------------------------------------- the terminal's books

BROKEN = (504, b"")
OLD = {
    "functionCode": 100,
    "amount": 1000,
    "operationId": 1,
    "realDate": "2026-01-01 10:00:00",
    "authorizationCode": "A1",
}
NEW = {
    "functionCode": 100,
    "amount": 1000,
    "operationId": 2,
    "realDate": "2026-01-01 11:00:00",
    "authorizationCode": "A2",
}
NEWER = {**NEW, "operationId": 3, "realDate": "2026-01-01 11:00:01", "authorizationCode": "A3"}


def rows(*found: Any) -> dict[str, Any]:
    return nested({"functionCode": 105, "responseCode": 0, "saleDetails": list(found)})


def from_books(before: Any, after: Any, ticket: str | None = "T1", profile: Profile = CHILE) -> Any:
    """What a sale of 1000 with a broken call comes to, where the details were ``before`` and are ``after`` it."""
    rig = Rig(Canned(profile, details=before, **({"lastvoucher": BROKEN} if profile is ARGENTINA else {})))
    session = polled(rig)
    rig.cloud.answers.update(sale=BROKEN, details=after)  # type: ignore[attr-defined]
    try:
        return sell(rig, session, ticket=ticket)
    except OutcomeUnknown:
        return None


@both
def test_a_newer_row_that_fits_is_the_result(profile: Profile) -> None:
    if profile is ARGENTINA:
        assert from_books(rows(OLD), rows(OLD, NEW), profile=profile) is None, "its baseline is the last voucher"
        return
    reply = from_books(rows(OLD), rows(OLD, NEW))
    assert type(reply) is SaleReply
    assert reply.authorization_code == "A2"
    assert from_books(rows(), rows(NEW)).authorization_code == "A2"
    assert from_books(rows(OLD), rows(NEW, OLD)).authorization_code == "A2"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (rows(OLD), rows(OLD)),
        (rows(OLD), rows()),
        (rows(), rows({**NEW, "amount": 999})),
        (rows(), rows({**NEW, "ticket": "OTHER"})),
        (rows(), rows({**NEW, "functionCode": 102})),
        (rows(), rows({**NEW, "responseCode": 5})),
        (rows(), rows(NEW, NEWER)),
        (BROKEN, rows(NEW)),
        (rows({**OLD, "realDate": None}), rows(OLD, NEW)),
        (nested({"functionCode": 105, "responseCode": 5}), rows(NEW)),
        (nested({"functionCode": 105, "responseCode": 0, "saleDetails": "none"}), rows(NEW)),
        (nested({"functionCode": 105, "responseCode": 0, "detailsText": ""}), rows(NEW)),
        (rows(), nested({"functionCode": 105, "responseCode": 5})),
        (rows(), BROKEN),
    ],
)
def test_a_row_that_proves_nothing_is_not_taken(before: Any, after: Any) -> None:
    assert from_books(before, after) is None


def test_of_two_rows_that_fit_the_one_with_the_ticket_is_taken() -> None:
    assert from_books(rows(), rows(NEW, {**NEWER, "ticket": "T1"})).authorization_code == "A3"


def test_a_row_without_a_function_code_is_a_voucher() -> None:
    row = {name: value for name, value in NEW.items() if name != "functionCode"}
    assert from_books(rows(), rows(row)).function_code == 100


def test_a_ticket_of_our_own_making_needs_no_baseline() -> None:
    rig = Rig(Canned(CHILE, details=BROKEN))
    session = polled(rig)
    book: list[Any] = []
    rig.cloud.answers.update(sale=BROKEN, details=lambda: rows({**NEW, "ticket": rig.sent[0]["ticketNumber"]}, *book))  # type: ignore[attr-defined]
    assert sell(rig, session, ticket=None).authorization_code == "A2"


def voucher(**fields: Any) -> dict[str, Any]:
    return {"code": 1, "data": {"functionCode": 100, "code": 0, **fields}}


REFUSAL = {"code": 1, "data": {"functionCode": 101, "code": 1007, "message": "none"}}


@pytest.mark.parametrize(
    ("last", "details", "baseline"),
    [
        (voucher(**OLD), rows(NEW), "A1"),
        (voucher(**{**OLD, "realDate": None}), rows(NEW), None),
        (REFUSAL, rows(), "empty"),
        (REFUSAL, rows(NEW), "A2"),
        (REFUSAL, BROKEN, None),
        (BROKEN, rows(), None),
        (voucher(**{**OLD, "code": 5}), rows(), None),
        ({"code": 1, "data": None}, rows(), None),
    ],
)
def test_the_baseline_of_argentina(last: Any, details: Any, baseline: str | None) -> None:
    rig = Rig(Canned(ARGENTINA, lastvoucher=last, details=details))
    session = polled(rig)
    known = session.till.baseline
    if baseline is None:
        assert known is None
        assert session.till.asked_in_vain
    else:
        assert known == VoucherMark() if baseline == "empty" else known is not None
        assert known is not None
        assert known.authorization_code == (None if baseline == "empty" else baseline)


def test_the_baseline_is_asked_for_once_in_vain() -> None:
    rig = Rig(Canned(CHILE, details=BROKEN))
    session = polled(rig)
    assert sell(rig, session).approved
    assert sell(rig, session, ticket="T2").approved
    assert paths(rig).count("details") == 1


def test_the_baseline_comes_from_the_reply_before() -> None:
    rig = rig_of(CHILE)
    session = polled(rig)
    first = sell(rig, session, ticket="A")
    rig.pass_time(5)
    sell(rig, session, ticket="B")
    known = rig.journal.steps[-1].baseline
    assert known is not None
    assert known.authorization_code == first.authorization_code
    assert paths(rig).count("details") == 1


def test_a_terminal_that_lost_its_record_proves_nothing() -> None:
    rig = rig_of(CHILE)
    session = polled(rig)
    rig.cloud.terminal.script.append(Behaviour(reboot=Reboot(approved=True, keep_record=False)))
    rig.cloud.inject(CloudFault(K.NEVER))
    with pytest.raises(OutcomeUnknown):
        sell(rig, session)
    assert len(rig.cloud.terminal.ledger.entries) == 1


def test_a_terminal_that_waits_for_ever_ends_by_the_deadline() -> None:
    rig = rig_of(CHILE)
    session = polled(rig)
    rig.cloud.terminal.script.append(Behaviour(decide_after=math.inf))
    begun = rig.now
    with pytest.raises(OutcomeUnknown):
        sell(rig, session)
    assert rig.now - begun < 330 + 60 + 70


def test_a_callers_time_limit_bounds_the_call() -> None:
    rig = rig_of(CHILE)
    session = polled(rig)
    rig.cloud.terminal.script.append(Behaviour(decide_after=20))
    begun = rig.now
    sale = rig.run(
        session.sale(1000, ticket="T", sale_type=0, print_on_pos=False, employee_id=1, send_message=False, timeout=5)
    )
    assert sale.approved
    assert 20 <= rig.now - begun < 32


def test_a_generic_money_command_is_recorded_too() -> None:
    rig = rig_of(CHILE)
    reply = rig.run(polled(rig).request(GenericCommand({"c2cMode": True}, code=129)))
    assert reply.approved
    assert rig.journal.states() == [IntentState.APPROVED]


def test_a_transaction_that_the_cloud_never_knows_is_looked_up_in_the_books() -> None:
    rig = rig_of(CHILE)
    session = polled(rig, webhook=HOOK)
    rig.cloud.inject(CloudFault(K.OVERTAKEN, count=10_000))
    assert sell(rig, session).approved
    assert rig.journal.states() == [IntentState.APPROVED]


def test_after_a_late_result_the_last_voucher_is_asked_for_again() -> None:
    """The terminal may have recorded more since, which must not be taken for the next command's."""
    rig = rig_of(ARGENTINA)
    session = polled(rig, webhook=HOOK)
    rig.cloud.inject(CloudFault(K.IN_PROCESS, count=10_000))
    with pytest.raises(OutcomeUnknown):
        sell(rig, session, 1000, "A")
    rig.cloud._transactions[max(rig.cloud._transactions)].slow = 0
    session.till.carrier._webhook = None
    sell(rig, session, 2000, "B")
    assert rig.run(session.recover()) == []
    assert session.till.baseline is None
    # Of the same amount as a sale that is newer than the one that was settled late, but older than this.
    rig.cloud.inject(CloudFault(K.DROP_BEFORE))
    with pytest.raises(OutcomeUnknown):
        sell(rig, session, 2000, "C")
    assert rig.journal.states() == [IntentState.APPROVED, IntentState.APPROVED, IntentState.UNKNOWN]


def test_a_result_that_was_another_commands_is_not_taken_whatever_it_says_it_is() -> None:
    rig, session = canned(ARGENTINA)
    first = sell(rig, session, 1000, "A")
    sell(rig, session, 1000, "B")
    voucher_of_first = {
        "functionCode": 100, "code": 0, "amount": 1000, "authorizationCode": first.authorization_code,
        "operationId": first.operation_id, "realDate": first.real_date,
    }  # fmt: skip
    rig.cloud.answers["sale"] = {"code": 1, "data": {**voucher_of_first, "customId": "C"}}  # type: ignore[attr-defined]
    with pytest.raises(OutcomeUnknown):
        sell(rig, session, 1000, "C")
