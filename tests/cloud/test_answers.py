"""What each answer of the cloud means for a command that moves money."""

from __future__ import annotations

from dataclasses import replace

import pytest

from getnet_pos import (
    AuthenticationError,
    ConnectError,
    DeadlineExceeded,
    DetailsReport,
    Disconnected,
    Forbidden,
    GetnetError,
    IntentState,
    LifecycleError,
    MalformedResponse,
    OutcomeUnknown,
    Profile,
    SalePromotion,
    SaleReply,
    ServerError,
    TransportError,
)
from getnet_pos.flows.effects import Request
from getnet_pos.flows.tokens import GivenToken
from getnet_pos.simulator import Behaviour, Outcome
from getnet_pos.simulator.cloud import CloudFault, CloudFaultKind, Where
from tests.cloud.registers import (
    ARGENTINA,
    CHILE,
    K,
    both,
    canned,
    hooked,
    nested,
    opened,
    polled,
)

NOT_DONE = [K.SERVER_ERROR, K.RATE_LIMIT, K.UNAVAILABLE, K.DROP_BEFORE, K.FORBIDDEN]
DONE = [
    K.DROP_AFTER, K.TIMEOUT_AFTER, K.SERVER_ERROR_AFTER, K.RATE_LIMIT_AFTER, K.UNAUTHORIZED_AFTER, K.FORBIDDEN_AFTER,
    K.NOT_FOUND_AFTER, K.HTML, K.CUT, K.CUT_JSON, K.NEVER,
]  # fmt: skip


@both
@hooked
def test_what_was_refused_for_certain_is_an_error(profile: Profile, webhook: str | None) -> None:
    register = polled(profile, webhook=webhook)
    register.cloud.inject(CloudFault(K.UNAUTHORIZED, Where.MONEY, times=2))
    with pytest.raises(AuthenticationError):
        register.sell()
    assert register.journal.history() == [IntentState.INTENT, IntentState.DECLINED]
    assert register.journal.written[-1].note == "the cloud did not pass the command on: AuthenticationError"
    assert register.terminal.ledger.entries == ()
    assert register.sell().approved


@both
@hooked
@pytest.mark.parametrize("kind", NOT_DONE)
def test_what_was_not_done_is_unknown(profile: Profile, webhook: str | None, kind: CloudFaultKind) -> None:
    """Nobody can know that it was not: it is asked about until the sale's own time is over."""
    register = polled(profile, webhook=webhook)
    register.cloud.inject(CloudFault(kind, Where.MONEY))
    begun = register.now
    with pytest.raises(OutcomeUnknown, match="do not repeat it") as caught:
        register.sell()
    assert isinstance(caught.value.__cause__, GetnetError)
    assert 300 <= register.now - begun < 330
    assert register.journal.states() == [IntentState.UNKNOWN]
    assert register.calls().count("sale") == 1
    assert register.terminal.ledger.entries == ()


@both
@hooked
@pytest.mark.parametrize("kind", DONE)
@pytest.mark.parametrize("ticket", ["T1", None])
def test_what_was_done_is_found_out(
    profile: Profile, webhook: str | None, kind: CloudFaultKind, ticket: str | None
) -> None:
    register = polled(profile, webhook=webhook)
    register.cloud.inject(CloudFault(kind))
    sale = register.sell(ticket=ticket)
    assert type(sale) is SaleReply
    entry = register.terminal.ledger.entries[0]
    assert (sale.approved, sale.function_code, sale.authorization_code) == (True, 100, entry.authorization_code)
    assert register.journal.states() == [IntentState.APPROVED]
    assert register.calls().count("sale") == 1
    assert len(register.terminal.ledger.entries) == 1


@both
@pytest.mark.parametrize("kind", [K.UNAUTHORIZED, K.EXPIRED])
def test_a_401_in_the_middle_is_renewed_once(profile: Profile, kind: CloudFaultKind) -> None:
    register = polled(profile)
    register.cloud.inject(CloudFault(kind))
    assert register.sell().approved
    assert register.calls().count("auth") == 2
    assert len(register.terminal.ledger.entries) == 1
    assert register.journal.history() == [IntentState.INTENT, IntentState.APPROVED]


@both
def test_a_login_that_fails_records_nothing(profile: Profile) -> None:
    register = polled(profile, token_life=10)
    # The query for the last voucher fails too, four times, and is then not made again.
    register.cloud.inject(CloudFault(K.SERVER_ERROR, Where.LOGIN, times=4))
    for kind, error in ((K.SERVER_ERROR, ServerError), (K.FORBIDDEN, Forbidden), (K.HTML, MalformedResponse)):
        register.pass_time(20)
        register.cloud.inject(CloudFault(kind, Where.LOGIN))
        with pytest.raises(error):
            register.sell()
    assert register.journal.written == []
    assert register.sent == []


def test_a_renewal_that_fails_leaves_a_refused_command() -> None:
    register = polled()
    register.cloud.inject(CloudFault(K.UNAUTHORIZED), CloudFault(K.SERVER_ERROR, Where.LOGIN))
    with pytest.raises(ServerError):
        register.sell()
    assert register.journal.states() == [IntentState.DECLINED]


def test_a_token_that_cannot_be_renewed_is_not_tried_twice() -> None:
    register = polled()
    register.way.bearer = GivenToken(register.run(register.way.bearer.token()))
    register.cloud.inject(CloudFault(K.UNAUTHORIZED))
    with pytest.raises(AuthenticationError):
        register.sell()
    register.cloud.inject(CloudFault(K.UNAUTHORIZED, Where.QUESTION))
    with pytest.raises(AuthenticationError):
        register.ask(DetailsReport())
    assert len(register.sent) == 1
    assert register.journal.states() == [IntentState.DECLINED]


@both
def test_a_cloud_that_is_not_reached_was_sent_nothing(profile: Profile) -> None:
    register = polled(profile)
    register.unreachable = lambda request: request.url.endswith("/sale")
    with pytest.raises(ConnectError):
        register.sell()
    assert register.journal.states() == [IntentState.NOT_SENT]
    register.unreachable = lambda request: False
    assert register.sell().approved


@pytest.mark.parametrize("kind", [Disconnected, DeadlineExceeded])
def test_whatever_broke_before_the_first_byte_charged_nothing(kind: type[TransportError]) -> None:
    register = polled()
    for written, state in ((0, IntentState.NOT_SENT), (1, IntentState.UNKNOWN)):

        def broken(request: Request, written: int = written) -> bool:
            if request.url.endswith("/sale"):
                raise kind("the link broke", bytes_written=written)
            return False

        register.unreachable = broken
        with pytest.raises(kind if written == 0 else OutcomeUnknown):
            register.sell()
        assert register.journal.states()[-1] is state


def test_a_cloud_that_is_not_reached_the_second_time_has_refused_the_first() -> None:
    register = polled()
    register.cloud.inject(CloudFault(K.UNAUTHORIZED))
    register.unreachable = lambda request: request.url.endswith("/sale") and bool(register.sent)
    with pytest.raises(ConnectError):
        register.sell()
    assert register.journal.states() == [IntentState.DECLINED]


def test_a_second_try_that_breaks_is_a_doubt() -> None:
    register = polled()
    register.cloud.script.append([CloudFault(K.UNAUTHORIZED)])
    register.cloud.script.append([CloudFault(K.DROP_AFTER)])
    assert register.sell().approved
    assert len(register.sent) == 2
    assert len(register.terminal.ledger.entries) == 1


def test_a_closed_client_sends_nothing() -> None:
    register = polled()

    def closed(request: Request) -> bool:
        if request.url.endswith("/sale"):
            raise LifecycleError("the client is closed")
        return False

    register.unreachable = closed
    with pytest.raises(LifecycleError):
        register.sell()
    assert register.journal.states() == [IntentState.NOT_SENT]


def test_an_unpaid_sale_is_declined() -> None:
    for profile in (CHILE, ARGENTINA):
        register = polled(profile, default=Behaviour(outcome=Outcome.TIME_OUT))
        sale = register.sell()
        assert (sale.approved, sale.response_code) == (False, 1006)
        assert register.journal.states() == [IntentState.DECLINED]


@both
def test_a_result_of_the_command_before_is_not_taken(profile: Profile) -> None:
    for echoes in (True, False):
        register = polled(profile, echoes_ids=echoes)
        first = register.sell(1000, "A")
        register.pass_time(5)
        register.cloud.inject(CloudFault(K.PREVIOUS))
        second = register.sell(1000, "B")
        assert second.authorization_code != first.authorization_code
        assert second.authorization_code == register.terminal.ledger.entries[1].authorization_code


@both
def test_a_result_that_the_terminal_had_told_and_lost_is_not_taken(profile: Profile) -> None:
    """Another register's, and no voucher names a ticket: only that it was told before shows whose it is not."""
    register = polled(profile, echoes_ids=False, default=Behaviour(omit=("Ticket",)))
    other = opened(profile, cloud=register.cloud)
    assert other.poll().approved
    assert other.sell(1000, None).approved
    register.pass_time(other.now + 5)
    assert register.poll().approved
    register.terminal.reboot(False, register.now)
    register.terminal.script.append(Behaviour(outcome=Outcome.CANCEL))
    register.cloud.inject(CloudFault(K.PREVIOUS, Where.MONEY))
    with pytest.raises(OutcomeUnknown):
        register.sell(1000, None)
    assert register.journal.states() == [IntentState.UNKNOWN]


@both
def test_a_refusal_of_the_command_before_is_not_taken(profile: Profile) -> None:
    """Nor where the shop gave the same ticket and amount again: the transaction's number is another command's."""
    register = polled(profile)
    register.terminal.script.append(Behaviour(outcome=Outcome.TIME_OUT))
    assert register.sell(1000, "A").response_code == 1006
    register.pass_time(5)
    register.cloud.inject(CloudFault(K.PREVIOUS))
    second = register.sell(1000, "A")
    [entry] = register.terminal.ledger.entries
    assert (second.approved, second.authorization_code) == (True, entry.authorization_code)
    assert register.journal.states() == [IntentState.DECLINED, IntentState.APPROVED]


def test_a_bare_refusal_of_another_kind_of_sale_is_not_taken() -> None:
    """It names no ticket and has the amount: that its number is another command's tells."""
    register = polled()
    register.terminal.script.append(Behaviour(outcome=Outcome.TIME_OUT, omit=("Ticket",)))
    assert register.pay(SalePromotion(1000, "A", id_promo="two for one")).response_code == 1006
    register.pass_time(5)
    register.cloud.inject(CloudFault(K.PREVIOUS))
    assert register.sell(1000, "B").approved
    assert register.journal.states() == [IntentState.DECLINED, IntentState.APPROVED]


def test_a_refusal_that_comes_late_is_a_doubt() -> None:
    """A card may have been read by then, whatever the cloud says."""
    register = polled()
    register.sell(ticket="T0")
    register.cloud.inject(CloudFault(K.UNAUTHORIZED, Where.MONEY))
    register.latency = 2.5
    with pytest.raises(OutcomeUnknown) as caught:
        register.sell()
    assert isinstance(caught.value.__cause__, AuthenticationError)
    assert (register.calls().count("sale"), register.journal.states()[-1]) == (2, IntentState.UNKNOWN)


def test_what_is_a_refusal_can_be_told() -> None:
    """The words of a cloud, and how soon they must come: nothing else is one."""
    assert CHILE.cloud is not None
    words = nested(None) | {"code": 0, "message": "token vencido"}
    for profile, state in (
        (CHILE, IntentState.UNKNOWN),
        (replace(CHILE, cloud=replace(CHILE.cloud, token_refusals=("TOKEN VENCIDO",))), IntentState.DECLINED),
        (
            replace(CHILE, cloud=replace(CHILE.cloud, token_refusals=("TOKEN VENCIDO",), refusal_within=0.01)),
            IntentState.UNKNOWN,
        ),
    ):
        register = canned(profile, sale=(401, words))
        with pytest.raises(AuthenticationError if state is IntentState.DECLINED else OutcomeUnknown):
            register.sell()
        assert register.journal.states() == [state]
