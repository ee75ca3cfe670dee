"""What the journal keeps of a reply: the caller's result, and nothing of a card but its last four digits."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from getnet_pos.messages import SaleReply, SaleType, VoucherReply, kept_reply, read_kept_reply, replies
from getnet_pos.messages.intents import KEPT_FIELDS

VOUCHERS = [kind for kind in vars(replies).values() if isinstance(kind, type) and issubclass(kind, VoucherReply)]


def _filled(kind: type[VoucherReply]) -> VoucherReply:
    """A reply that says something in every field."""
    values: dict[str, Any] = {}
    for item in fields(kind):
        kinds = str(item.type)
        values[item.name] = 7 if "int" in kinds else True if "bool" in kinds else f"{item.name[:4]}"
    return kind(**{**values, "function_code": 100, "sale_type": SaleType.SALE, "extra": {"Pan": "4111111111111111"}})


@pytest.mark.parametrize("kind", VOUCHERS, ids=lambda kind: kind.__name__)
def test_a_result_is_read_as_it_was_given(kind: type[VoucherReply]) -> None:
    reply = _filled(kind)
    again = read_kept_reply(kind, kept_reply(reply))
    left_out: dict[str, Any] = {item.name: None for item in fields(kind) if item.name not in KEPT_FIELDS}
    assert again == replace(reply, **{**left_out, "extra": {}})
    assert type(again.sale_type) is SaleType
    assert (again.approved, again.amount, again.ticket) == (reply.approved, reply.amount, reply.ticket)


@pytest.mark.parametrize("kind", VOUCHERS, ids=lambda kind: kind.__name__)
def test_what_is_not_shown_is_not_kept(kind: type[VoucherReply]) -> None:
    hidden = {item.name for item in fields(kind) if not item.repr}
    assert not KEPT_FIELDS & hidden
    assert {item.name for item in fields(kind)} - KEPT_FIELDS - hidden == {"response_message"}


def test_what_was_not_sent_takes_no_room() -> None:
    assert kept_reply(SaleReply(function_code=100, response_code=0, amount=1000)) == (
        '{"amount": 1000, "function_code": 100, "response_code": 0}'
    )


def test_a_whole_card_number_where_four_digits_belong_is_left_out() -> None:
    assert "4111" not in kept_reply(SaleReply(function_code=100, response_code=0, last4_digits="4111111111111111"))


@pytest.mark.parametrize("text", ["[]", '{"trans_token": "x"}', '{"success": true}', "{"])
def test_what_is_not_a_kept_result_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"kept result of a SaleReply|Expecting"):
        read_kept_reply(SaleReply, text)
