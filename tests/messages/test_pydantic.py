"""Commands and replies are plain dataclasses: pydantic reads, writes and describes them as they are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from getnet_pos import CATALOGUE, Command, Intent, Polled, Progress, ProgressCode, Reply, Sale, SaleReply, Voucher
from tests.messages.test_commands import WIRE
from tests.samples import REPLIES, SALE_REPLY

if TYPE_CHECKING:
    from pydantic import TypeAdapter

ADAPTERS: dict[type, TypeAdapter[Any]] = {}


def adapter(kind: type) -> TypeAdapter[Any]:
    """One for each type: to make one takes longer than to use it."""
    # Not above: each process of a run loads this module, and few of them need pydantic.
    from pydantic import TypeAdapter

    if kind not in ADAPTERS:
        ADAPTERS[kind] = TypeAdapter(kind)
    return ADAPTERS[kind]


def check_round_trip(value: Any) -> None:
    from jsonschema import Draft202012Validator

    one = adapter(type(value))
    text = one.dump_json(value)
    assert one.validate_json(text) == value
    assert one.validate_json(text, strict=True) == value
    assert one.validate_python(one.dump_python(value)) == value
    assert one.validate_python(value) is value
    Draft202012Validator(one.json_schema()).validate(json.loads(text))


def test_every_reply_goes_through_json_and_back() -> None:
    samples = {type(reply): reply for _, reply in REPLIES.values()}
    empty = {kind: kind(function_code=1, response_code=0) for kind in CATALOGUE.reply_types.values()}
    for reply in {**empty, **samples}.values():
        check_round_trip(reply)
        assert adapter(type(reply)).validate_json(adapter(type(reply)).dump_json(reply)).approved == reply.approved
    assert len(samples) > 20


def test_every_command_goes_through_json_and_back() -> None:
    samples: dict[type, Command] = {type(command): command for command, _, _ in WIRE}
    assert set(samples) >= set(CATALOGUE.kinds.values())
    for command in samples.values():
        check_round_trip(command)


def test_what_else_a_program_may_store() -> None:
    intent = Intent(intent_id="1", terminal="usb:COM7", command=100, amount=25_000, ticket="A1")
    check_round_trip(intent)
    check_round_trip(Polled(function_code=106, response_code=0, connected=True, unknown=(intent,)))
    check_round_trip(Progress(ProgressCode.CARD_READING, "Leyendo tarjeta"))
    check_round_trip(Voucher(amount=1))


@pytest.mark.parametrize(
    "given",
    [
        {"amount": 0},
        {"amount": 25_000, "ticket": "x" * 25},
        {"amount": "much"},
        {},
        {"amount": 25_000, "print_on_pos": "perhaps"},
    ],
)
def test_what_a_command_refuses_pydantic_refuses(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        adapter(Sale).validate_python(given)


def test_an_amount_of_another_type_needs_strictness_to_be_refused() -> None:
    for given in ({"amount": 25_000.0}, {"amount": "25000"}):
        assert adapter(Sale).validate_python(given) == Sale(25_000)
        with pytest.raises(ValueError, match="validation error"):
            adapter(Sale).validate_python(given, strict=True)


def test_a_schema_says_what_each_field_means() -> None:
    schema = adapter(SaleReply).json_schema()
    assert schema["description"].startswith("The reply to a sale (100).")
    assert schema["properties"]["amount"]["anyOf"] == [{"type": "integer"}, {"type": "null"}]
    assert schema["properties"]["function_code"]["type"] == "integer"
    reply: Reply = adapter(SaleReply).validate_python({"function_code": 100, "response_code": 0})
    assert reply.approved


def test_what_could_identify_a_card_is_written_unless_it_is_left_out() -> None:
    """Unlike ``repr``: who hands a whole reply to a browser hands on these fields as well."""
    whole = SaleReply(**{**_fields(SALE_REPLY), "bin": "41111111", "trans_token": "token"})
    assert b"41111111" not in repr(whole).encode()
    assert b"41111111" in adapter(SaleReply).dump_json(whole)
    wanted = {"amount", "authorization_code", "last4_digits"}
    assert json.loads(adapter(SaleReply).dump_json(whole, include=wanted)) == {
        "amount": 25_000,
        "authorization_code": "1234",
        "last4_digits": "0447",
    }


def _fields(reply: Any) -> dict[str, Any]:
    return {name: getattr(reply, name) for name in reply.__dataclass_fields__}
