"""What has to hold of every command that is declared, walked through one by one."""

from __future__ import annotations

import pickle
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from getnet_pos import (
    CATALOGUE,
    CancelSale,
    Catalogue,
    CloudRefund,
    CloudSale,
    Command,
    DetailsReply,
    GenericCommand,
    InvalidValue,
    LastVoucher,
    MainPosData,
    Poll,
    PreAuthorization,
    Profile,
    Reference,
    Refund,
    Sale,
    SalePromotion,
    Timeouts,
    Void,
    Waits,
)
from getnet_pos.codec import backend
from getnet_pos.flows.carrier import Limits
from getnet_pos.messages.checks import check_integer
from getnet_pos.messages.declaring import Facts, command, recoded, sent_fields, wire
from getnet_pos.messages.fields import Kind, wire_fields
from getnet_pos.messages.replies import GenericReply, Reply, VoucherReply
from getnet_pos.simulator import VirtualTerminal
from getnet_pos.simulator.cloud import VirtualCloud

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")

of_every_command = pytest.mark.parametrize("kind", CATALOGUE.kinds.values(), ids=lambda kind: kind.__name__)

SAMPLES: dict[Kind, Any] = {
    Kind.INTEGER: 5, Kind.TEXT: "A1", Kind.BOOLEAN: True, Kind.LAST_DIGITS: "0042", Kind.SALE_TYPE: 3,
}  # fmt: skip


def sample(message: Any) -> dict[str, Any]:
    """A value for each field of a message type, under its name on the wire."""
    return {
        item.spellings[0]: SAMPLES[item.kind] if item.row is None else [sample(item.row)]
        for item in wire_fields(message)
    }


@of_every_command
def test_a_reply_with_every_field_is_read_by_both_codecs(kind: type[Command[Any]]) -> None:
    text = {**sample(kind.reply_type), "FunctionCode": kind.code, "ResponseCode": 0}
    frame = backend("pure").envelope(str(text).replace("'", '"').replace("True", "true"))
    (pure,) = backend("pure").Decoder().feed(frame)
    (native,) = backend("native").Decoder().feed(frame)
    assert pure == native
    assert type(pure) is kind.reply_type
    assert not pure.extra
    unread = [item.name for item in wire_fields(kind.reply_type) if getattr(pure, item.name) in (None, ())]
    assert unread == []


@of_every_command
def test_a_payment_command_has_a_deadline_and_can_be_recovered(kind: type[Command[Any]]) -> None:
    limits = Timeouts()
    assert kind.takes_card is (kind.waits is Waits.CARD)
    if not kind.moves_money:
        assert not kind.takes_card
        assert not kind.leaves_voucher
        return
    longest = limits.sale if kind.takes_card else limits.report
    assert Limits.of(GenericCommand(code=kind.code), limits).patience == longest
    assert kind.leaves_voucher
    assert kind.recorded_as in CATALOGUE.voucher_codes
    assert issubclass(kind.reply_type, VoucherReply)
    # What takes a card is known by its amount; what does not names an earlier operation.
    assert kind.takes_card is (kind.refers_to is None)


@of_every_command
def test_every_field_is_checked(kind: type[Command[Any]]) -> None:
    assert [item.name for item in sent_fields(kind) if item.check is None] == []


@of_every_command
def test_the_protocol_page_names_it(kind: type[Command[Any]]) -> None:
    assert f"| {kind.code} | `{kind.__name__}`" in PAGE


@of_every_command
def test_a_simulator_answers_it(kind: type[Command[Any]]) -> None:
    if kind.cloud_only:
        clouds = [VirtualCloud(profile=profile) for profile in (Profile.CHILE, Profile.ARGENTINA)]
        assert any(kind in cloud._kinds.values() for cloud in clouds)
    else:
        assert kind in VirtualTerminal()._handlers


@of_every_command
def test_its_places_on_the_simplified_wire_are_fields(kind: type[Command[Any]]) -> None:
    if kind.simplified is not None:
        assert {*kind.simplified.request} <= {item.wire for item in sent_fields(kind)}
        assert {*kind.simplified.reply} <= {item.spellings[0] for item in wire_fields(kind.reply_type)}
        assert kind.simplified.reply or kind.reply_type is DetailsReply


@of_every_command
def test_it_is_pickled_by_its_class(kind: type[Command[Any]]) -> None:
    assert pickle.loads(pickle.dumps(kind)) is kind


# --------------------------------------------------------------------------------------------------------------- facts


def test_facts_are_those_of_the_class_and_of_its_objects() -> None:
    assert (Sale.code, Sale(1).code, Sale.takes_card, Sale(1).states_amount) == (100, 100, True, True)
    assert (Poll.waits, LastVoucher.waits, CancelSale.moves_money) == (Waits.SHORT, Waits.REPORT, False)
    assert (Void.refers_to, Refund.refers_to, Sale.refers_to) == (
        Reference.OPERATION_ID,
        Reference.AUTHORIZATION_CODE,
        None,
    )
    assert (SalePromotion.code, SalePromotion.recorded_as, Sale.recorded_as) == (126, 100, 100)


def test_a_command_with_more_fields_is_the_same_command() -> None:
    assert CloudSale.facts is Sale.facts
    assert CloudRefund.facts is Refund.facts
    assert CATALOGUE.kind(100) is Sale


def test_a_generic_command_is_what_its_code_is() -> None:
    generic = GenericCommand(code=126)
    assert (generic.takes_card, generic.recorded_as, generic.cloud_only, generic.moves_money) == (True, 100, True, True)
    assert GenericCommand(code=106, moves_money=False).waits is Waits.SHORT
    assert GenericCommand(code=102).refers_to is None  # its fields are the caller's own
    unknown = GenericCommand(code=200)
    assert (unknown.reply_type, unknown.waits, unknown.recorded_as) == (GenericReply, Waits.REPORT, 200)


def test_the_codes_of_a_last_voucher() -> None:
    assert CATALOGUE.voucher_codes == {100, 101, 102, 108, 120, 122, 123, 130, 131, 132}
    assert tuple(CATALOGUE.facts(code).recorded_as for code in (126, 102, 999)) == (100, 102, 999)


def test_a_profile_may_have_other_codes() -> None:
    own = CATALOGUE.with_codes({PreAuthorization: 140})
    kind = own.kinds[140]
    assert issubclass(kind, PreAuthorization)
    assert kind is recoded(PreAuthorization, 140)
    assert (kind.code, kind.recorded_as, kind(1_000).code, kind.takes_card) == (140, 140, 140, True)
    assert own.kind(130) is None
    assert own.voucher_codes == CATALOGUE.voucher_codes - {130} | {140}
    assert recoded(PreAuthorization, 130) is PreAuthorization
    for name in ("pure", "native"):
        assert rb"{\"Command\":140,\"Amount\":1000," in backend(name).seal(kind(1_000))


def test_two_commands_cannot_have_one_code() -> None:
    with pytest.raises(InvalidValue, match="PreAuthorization have the same command code, 124"):
        CATALOGUE.with_codes({PreAuthorization: MainPosData.code})
    with pytest.raises(InvalidValue, match="same command code, 100"):
        Catalogue([Sale, recoded(Void, 100)])


def test_a_new_question_is_declared_in_two_places() -> None:
    """Its reply, and itself; both codecs, time limits and names follow."""

    @command(140, reply=GenericReply, waits=Waits.SHORT)
    class Brightness(Command[GenericReply]):
        level: int = wire("Level", check=lambda value, name: check_integer(value, name, 0, 9))

    assert Brightness(3).code == 140
    assert Limits.of(Brightness(3), Timeouts()).patience == Timeouts().short
    assert [item.wire for item in sent_fields(Brightness)] == ["Level"]
    with pytest.raises(InvalidValue, match="level must be from 0 to 9"):
        Brightness(10)
    for name in ("pure", "native"):
        assert backend(name).seal(Brightness(3)).startswith(rb'{"JsonSerialized":"{\"Command\":140,\"Level\":3}"')


def test_every_fact_is_there_on_the_command() -> None:
    assert [item.name for item in fields(Facts) if item.name not in vars(Command)] == []
    assert issubclass(CATALOGUE.reply_types[100], Reply)
