"""What each answer means for a query; pauses that the cloud asks for."""

from __future__ import annotations

import pytest

from getnet_pos import (
    AuthenticationError,
    CancelReply,
    DeadlineExceeded,
    DetailsReport,
    Disconnected,
    Forbidden,
    GenericReply,
    KeyPos,
    MalformedResponse,
    Profile,
    RateLimited,
    ServerError,
    TerminalNotFound,
)
from getnet_pos.flows.cloud_calls import Pace
from getnet_pos.flows.effects import Request, Response
from getnet_pos.flows.http_calls import RetryPolicy
from getnet_pos.simulator.cloud import CloudFault, CloudFaultKind, Where
from tests.cloud.registers import (
    ARGENTINA,
    CHILE,
    K,
    both,
    opened,
    polled,
)


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
    register = polled(profile)
    before, tries = register.calls().count("details"), {K.RATE_LIMIT: 3, K.UNAUTHORIZED: 2}.get(kind, 1)
    register.cloud.inject(CloudFault(kind, Where.QUESTION, times=tries))
    with pytest.raises(error):
        register.ask(DetailsReport())
    assert register.calls().count("details") - before == tries
    assert register.ask(DetailsReport()).approved


def test_a_question_that_was_not_sent_is_sent_again() -> None:
    register = polled()
    tries: list[int] = []

    def flaky(request: Request) -> bool:
        tries.append(1)
        return len(tries) < 3

    register.unreachable = flaky
    assert register.ask(DetailsReport()).approved
    assert len(tries) == 3


def test_a_long_retry_after_is_an_error_at_once() -> None:
    register = polled()
    register.cloud.inject(CloudFault(K.RATE_LIMIT, Where.QUESTION, times=5, retry_after=3600))
    begun = register.now
    with pytest.raises(RateLimited, match="3600"):
        register.ask(DetailsReport())
    assert register.now - begun < 1


def test_the_cloud_is_left_alone_for_as_long_as_it_asks() -> None:
    register = polled()
    register.cloud.inject(CloudFault(K.RATE_LIMIT, Where.QUESTION, retry_after=12))
    begun = register.now
    assert register.ask(DetailsReport()).approved
    assert 12 <= register.now - begun < 14
    # Other commands of the account wait as well, and those that move money before they are recorded.
    register.cloud.inject(CloudFault(K.UNAVAILABLE, Where.QUESTION, retry_after=20))
    with pytest.raises(ServerError):
        register.ask(DetailsReport())
    begun = register.now
    assert register.sell().approved
    assert 20 <= register.now - begun < 22


def test_the_pace_grows_without_a_word_from_the_cloud_and_is_bounded() -> None:
    register = opened()
    register.random = lambda: 0.0
    pace = Pace(RetryPolicy())
    waited = []
    for status in (429, 429, 503, 429, 200, 429):
        register.run(pace.heard(Response(status)))
        begun = register.now
        register.run(pace.wait())
        waited.append(register.now - begun)
    assert waited == pytest.approx([0.25, 0.5, 1.0, 2.0, 0, 0.25])
    register.run(pace.heard(Response(429, {"retry-after": "86400"})))
    begun = register.now
    register.run(pace.wait())
    assert register.now - begun == pytest.approx(30)


def test_a_login_is_tried_again_and_respects_the_cloud() -> None:
    register = opened()
    register.cloud.inject(CloudFault(K.RATE_LIMIT, Where.LOGIN, times=2, retry_after=5))
    begun = register.now
    register.poll()
    assert register.now - begun > 10


def test_a_question_to_another_terminal() -> None:
    for profile in (CHILE, ARGENTINA):
        register = opened(profile, key_pos=KeyPos("OTHER", 1, "OTHER"))
        with pytest.raises(TerminalNotFound, match="KEYPOS NOT FOUND; check the terminal id") as caught:
            register.poll()
        assert (caught.value.status, caught.value.code, caught.value.message) == (200, "0", "KEYPOS NOT FOUND")


def test_a_cancellation_in_argentina() -> None:
    register = polled(ARGENTINA)
    reply = register.run(register.session.cancel_idle())
    assert type(reply) is CancelReply
    assert not reply.approved


def test_printing_and_shifts() -> None:
    register = polled()
    reply = register.run(register.session.print_document(["one", {"type": "printcode", "data": "two"}]))
    assert type(reply) is GenericReply
    assert (reply.approved, reply.function_code) == (True, 117)
    assert [item["data"] for item in register.cloud.documents[0]] == ["one", "two"]
