"""What a cloud must say to have refused a payment command: its own words, soon. Everything else is a doubt."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from getnet_pos import AuthenticationError, Intent, IntentState, OutcomeUnknown, SaleReply, TerminalNotFound
from tests.faults.foreign_cloud import Cloud, answers_late, envelope, fails
from tests.faults.foreign_terminal import Fields
from tests.field.conftest import CLOUDS, QUICK, Place, Visit

Book = Callable[[], list[Intent]]

GATEWAY: list[Any] = [{"message": "unauthorized"}, b"<html>Unauthorized</html>", b"", envelope(None, 0, "Try later")]
"""Bodies that are not the cloud's own word for a refusal."""

NO_TOKEN = envelope(None, 0, "Unauthorized")
NO_TERMINAL = envelope(None, 0, "KEYPOS NOT FOUND")

every_cloud = pytest.mark.parametrize("way", CLOUDS)


def cloud_of(place: Place) -> Cloud:
    assert place.cloud is not None
    return place.cloud


def states(book: Book) -> list[IntentState]:
    return [intent.state for intent in book()]


@pytest.mark.parametrize("body", GATEWAY, ids=["json", "html", "empty", "unknown words"])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 500, 502, 504])
@every_cloud
def test_a_status_without_the_clouds_own_word_is_a_doubt(
    visit: Visit, book: Book, way: str, status: int, body: Any
) -> None:
    """The sale was carried out: the records tell, and nothing is sent again."""
    place = visit(way)
    cloud_of(place).then("sale", fails(status, body, charged=True))
    with place.ready() as pos:
        sale = pos.sale(25_000, ticket="A1")
    assert (sale.approved, place.terminal.charges()) == (True, 1)
    assert cloud_of(place).calls.count("sale") == 1
    assert [intent.found for intent in book()] == ["recovery"]


@pytest.mark.parametrize("status", [401, 403, 404, 405])
@every_cloud
def test_and_unknown_where_no_record_shows_it(visit: Visit, book: Book, way: str, status: int) -> None:
    place = visit(way)
    cloud_of(place).then("sale", fails(status))
    with place.ready() as pos:
        with pytest.raises(OutcomeUnknown):
            pos.sale(25_000, ticket="A1")
        with pytest.raises(OutcomeUnknown, match="nothing was sent"):
            pos.sale(25_000, ticket="A1")
    assert (cloud_of(place).calls.count("sale"), states(book)) == (1, [IntentState.UNKNOWN])


@every_cloud
def test_the_clouds_own_word_on_its_token_renews_it_and_sends_once_more(visit: Visit, book: Book, way: str) -> None:
    place = visit(way)
    cloud_of(place).then("sale", fails(401, NO_TOKEN))
    with place.ready() as pos:
        assert pos.sale(25_000, ticket="A1").approved
    assert (cloud_of(place).tokens, cloud_of(place).calls.count("sale"), place.terminal.charges()) == (2, 2, 1)


@every_cloud
def test_a_token_that_is_refused_twice(visit: Visit, book: Book, way: str) -> None:
    place = visit(way)
    cloud_of(place).then("sale", *[fails(401, NO_TOKEN)] * 2)
    with place.ready() as pos, pytest.raises(AuthenticationError):
        pos.sale(25_000, ticket="A1")
    assert (place.terminal.charges(), states(book)) == (0, [IntentState.DECLINED])


@pytest.mark.parametrize(
    ("status", "body"), [(401, NO_TOKEN), (200, NO_TERMINAL), (404, NO_TERMINAL)], ids=["token", "terminal", "404"]
)
@every_cloud
def test_the_same_word_later_is_a_doubt(visit: Visit, book: Book, way: str, status: int, body: Any) -> None:
    """A card may have been read by then."""
    place = visit(way)
    cloud_of(place).then("sale", fails(status, body, charged=True, after=0.3))
    with place.ready() as pos:
        assert pos.sale(25_000, ticket="A1").approved
    assert (place.terminal.charges(), cloud_of(place).calls.count("sale")) == (1, 1)
    assert [intent.found for intent in book()] == ["recovery"]


@every_cloud
def test_the_clouds_own_word_on_its_terminal_is_a_refusal(visit: Visit, book: Book, way: str) -> None:
    place = visit(way)
    cloud_of(place).then("sale", fails(200, NO_TERMINAL))
    with place.ready() as pos, pytest.raises(TerminalNotFound):
        pos.sale(25_000, ticket="A1")
    assert states(book) == [IntentState.DECLINED]


@every_cloud
def test_words_that_nobody_knows_are_a_doubt(visit: Visit, book: Book, way: str) -> None:
    """Outer code 0, and the card was charged."""
    place = visit(way)
    cloud_of(place).then("sale", fails(200, envelope(None, 0, "TERMINAL TIMEOUT"), charged=True))
    with place.ready() as pos:
        assert pos.sale(25_000, ticket="A1").approved
    assert place.terminal.charges() == 1


@pytest.mark.parametrize("status", [401, 403])
@every_cloud
def test_a_refund_that_a_gateway_refused_after_it_was_carried_out(
    visit: Visit, book: Book, way: str, status: int
) -> None:
    place = visit(way)
    place.terminal.records = lambda told: {"Amount": 1000, **told}
    with place.ready() as pos:
        sale = pos.sale(1000, ticket="A1")
        cloud_of(place).then("return", fails(status, b"", charged=True))
        try:
            assert pos.refund(sale.authorization_code, 1000).approved
        except OutcomeUnknown:
            assert states(book)[-1] is IntentState.UNKNOWN
    assert cloud_of(place).calls.count("return") == 1


@every_cloud
def test_a_retry_of_the_caller_whose_first_call_was_carried_out(visit: Visit, book: Book, way: str) -> None:
    place = visit(way)
    cloud_of(place).then("sale", answers_late(9.0))
    place.give_up(25_000, ticket="A1")
    with place.ready() as pos, pytest.raises(Exception, match="nothing was sent"):
        pos.sale(25_000, ticket="A1")
    assert place.terminal.charges() == 1


@every_cloud
def test_an_answer_that_says_finished_and_cannot_be_read_is_a_doubt_at_once(visit: Visit, book: Book, way: str) -> None:
    """It is not "still in process", as its status is not, and nothing waits for the end of the command's time."""
    place = visit(way)

    def unreadable(cloud: Cloud, body: Fields) -> tuple[int, Any]:
        status, answer = cloud.carry_out(body)
        data = json.dumps(answer).replace('"amount"', '"amount":1,"Amount"').encode()
        cloud.kept = dict.fromkeys(cloud.kept, data)
        return status, data

    cloud_of(place).then("sale", unreadable)
    patient = replace(QUICK, sale=60.0, sale_total=60.0, cloud=60.0)
    with place.ready(timeouts=patient) as pos:
        assert pos.sale(25_000, ticket="A1").approved
    assert [intent.found for intent in book()] == ["recovery"]


@every_cloud
def test_a_call_that_hangs_ends_with_the_time_of_the_sale(visit: Visit, book: Book, way: str) -> None:
    place = visit(way)
    cloud_of(place).then("sale", answers_late(5.0))
    with place.ready() as pos:
        sale = pos.sale(25_000, ticket="A1")
    assert isinstance(sale, SaleReply)
    assert (sale.approved, place.terminal.charges()) == (True, 1)
