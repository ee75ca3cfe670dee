"""Answers that are not the documented ones."""

from __future__ import annotations

from typing import Any

import pytest

from getnet_pos import (
    ApiError,
    DeadlineExceeded,
    DetailsReport,
    Disconnected,
    IntentState,
    LastVoucher,
    NotFound,
    OutcomeUnknown,
    TerminalNotFound,
    TransactionNotFound,
    UnexpectedReply,
)
from getnet_pos.flows.cloud_calls import status
from getnet_pos.simulator.cloud import CloudFault, Where
from tests.cloud.registers import (
    ARGENTINA,
    K,
    canned,
    give,
    nested,
    number_of,
)


def test_a_poll_without_words() -> None:
    register = canned(poll={"code": 1, "status": "OK", "message": "TRANSACTION FINISHED", "data": None})
    poll = register.poll()
    assert (poll.approved, poll.connected, poll.response_message) == (True, True, "TRANSACTION FINISHED")
    for answer in ({"code": 1, "data": {"code": 5}}, nested(None), nested({"functionCode": 100, "responseCode": 0})):
        give(register, poll=answer)
        with pytest.raises(UnexpectedReply):
            register.poll()


def test_a_poll_that_takes_its_time() -> None:
    statuses = iter([{"code": 2, "data": None}, nested({"functionCode": 106, "responseCode": 0})])
    register = canned(poll={"code": 2, "data": {"idPosTxs": 5}}, status=lambda: next(statuses))
    assert register.poll().approved


def test_a_poll_that_never_ends() -> None:
    register = canned(poll={"code": 1, "data": {"idPosTxs": 5}}, status={"code": 2, "data": None})
    begun = register.now
    with pytest.raises(DeadlineExceeded, match="transaction 5 is still in process"):
        register.poll()
    assert register.now - begun <= 62


@pytest.mark.parametrize("code", [100, 102, 108])
def test_a_last_voucher_may_be_of_its_operations_code(code: int) -> None:
    register = canned(ARGENTINA, lastvoucher={"code": 1, "data": {"functionCode": code, "code": 0, "amount": 5}})
    assert register.ask(LastVoucher()).function_code == code


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
    register = canned(details=(status, {"code": 0, "status": "ERROR", "message": message, "data": None}))
    with pytest.raises(ApiError) as caught:
        register.ask(DetailsReport())
    assert type(caught.value) is error
    assert caught.value.status == (status if error is ApiError else 200)


def test_words_of_the_cloud_show_no_token() -> None:
    register = canned()
    token = register.run(register.way.bearer.token())
    give(register, details={"code": 0, "message": f"bad token {token}\x1b[31m"})
    with pytest.raises(ApiError) as caught:
        register.ask(DetailsReport())
    assert token not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_the_status_of_a_transaction() -> None:
    register = canned()
    register.sell()
    number = number_of(register)
    result = register.run(status(register.way, number, 10))
    assert result.reply is not None
    assert result.reply.approved
    with pytest.raises(TransactionNotFound, match="the status of transaction 5 was refused: ID NOT FOUND"):
        register.run(status(register.way, 5, 10))
    register.cloud.inject(
        CloudFault(K.UNAVAILABLE, Where.STATUS, times=2), CloudFault(K.DROP_AFTER, Where.STATUS, skip=2)
    )
    begun = len(register.cloud.requests)
    with pytest.raises(Disconnected):
        register.run(status(register.way, number, 10))
    assert len(register.cloud.requests) - begun == 3


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
    register = canned(sale=answer)
    with pytest.raises(OutcomeUnknown):
        register.sell()
    assert register.journal.history()[-2:] == [IntentState.RECOVERING, IntentState.UNKNOWN]


def test_an_error_that_names_its_transaction_is_asked_about_by_it() -> None:
    good = nested({"functionCode": 100, "responseCode": 0, "amount": 1000, "ticket": "T1"})
    register = canned(sale={"code": 0, "message": "POS TIMEOUT", "data": {"idPosTxs": 5}}, status=good)
    assert register.sell().approved
    assert register.journal.written[-1].transaction_id == "5"


@pytest.mark.parametrize("custom_id", [None, "", "0"])
def test_an_answer_may_leave_the_custom_id_out(custom_id: str | None) -> None:
    reply = {"functionCode": 100, "responseCode": 0, "amount": 1000, "ticket": None}
    register = canned(sale=nested(reply, customId=custom_id))
    assert register.sell().approved


@pytest.mark.parametrize("status", [404, 405])
def test_an_address_that_is_not_there_may_have_been_there(status: int) -> None:
    """A gateway says so too, after it has lost the answer of what is behind it."""
    register = canned(sale=(status, b"nothing here"))
    with pytest.raises(OutcomeUnknown) as caught:
        register.sell()
    assert isinstance(caught.value.__cause__, NotFound if status == 404 else ApiError)
    assert register.journal.states() == [IntentState.UNKNOWN]


@pytest.mark.parametrize("status", [200, 400])
def test_a_refused_terminal(status: int) -> None:
    register = canned(sale=(status, {"code": 0, "message": "KEYPOS NOT FOUND"}))
    with pytest.raises(TerminalNotFound):
        register.sell()
    assert register.journal.states() == [IntentState.DECLINED]
