"""Money flows by example: a virtual terminal, a virtual clock, and one thing that goes wrong at a time."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest

from getnet_pos.codec import seal
from getnet_pos.errors import (
    ConnectError,
    JournalError,
    OutcomeUnknown,
    PartialWrite,
    UnexpectedReply,
    UnsupportedOperation,
    WriteTimeout,
)
from getnet_pos.flows.effects import Claim
from getnet_pos.flows.intents import generated_ticket
from getnet_pos.flows.matching import typed_reply
from getnet_pos.flows.payment import ask, pay, polling, recover_all
from getnet_pos.messages import (
    GenericCommand,
    Intent,
    IntentState,
    LastVoucher,
    MultiCommerceSale,
    Poll,
    Refund,
    Sale,
    SaleReply,
    TotalsReport,
    Void,
    VoidReply,
    VoucherMark,
    Wire,
)
from getnet_pos.simulator import Behaviour, Direction, Fault, FaultKind, Firmware, Outcome, Reboot, VirtualTerminal
from tests.faults.world import TERMINAL, Journal, Register, StreamRegister

_LOST = Fault(FaultKind.DROP, Direction.TO_REGISTER, message=0)


class Shop:
    """A register that has polled its terminal; with ``sold`` it knows from a sale that replies name tickets."""

    def __init__(self, *script: Behaviour, wire: Wire = Wire.SIGNED, sold: bool = False, **settings: Any) -> None:
        self.terminal = VirtualTerminal(**settings)
        self.journal = Journal()
        self.wire = wire
        self.start()
        if sold:
            self.sell(ticket="A0", number=9)
        self.terminal.script.extend(script)

    def start(self) -> None:
        """A register, or the next one after the last one died."""
        now = self.register.now if hasattr(self, "register") else 0.0
        self.register = StreamRegister(self.terminal, self.journal, now=now, wire=self.wire)
        self.till = self.register.till
        assert self.poll().approved

    def poll(self) -> Any:
        return self.register.run(polling(self.till))

    def pay(self, command: Any, intent_id: str = "1" * 32) -> Any:
        self.register.now += 2.0
        return self.register.run(pay(self.till, command, intent_id))

    def sell(self, amount: int = 1000, ticket: str | None = "A1", number: int = 1) -> Any:
        return self.pay(Sale(amount, ticket, send_message=True), str(number) * 32)

    def listen(self) -> list[bytes]:
        """All that the terminal writes from now on."""
        written: list[bytes] = []

        def heard(data: bytes) -> bytes:
            written.append(data)
            return data

        self.register.to_register = heard
        return written

    def states(self, number: int = 1) -> list[str]:
        return [str(step.state) for step in self.journal.written if step.intent_id == str(number) * 32]


# ------------------------------------------------------------------------------------------------------------ in order


def test_a_sale_is_four_steps() -> None:
    shop = Shop()
    reply = shop.sell()
    assert isinstance(reply, SaleReply)
    assert reply.approved
    assert shop.states() == ["INTENT", "SENT", "ACCEPTED", "APPROVED"]
    assert shop.journal.written[-1].authorization_code == reply.authorization_code
    assert shop.journal.written[0].baseline == VoucherMark()


def test_a_declined_card_is_a_result() -> None:
    shop = Shop(Behaviour(outcome=Outcome.DECLINE))
    assert not shop.sell().approved
    assert shop.states() == ["INTENT", "SENT", "ACCEPTED", "DECLINED"]


def test_the_last_result_is_the_next_baseline() -> None:
    """No question is asked between two sales."""
    shop = Shop()
    first = shop.sell()
    asked = len(shop.terminal.commands)
    shop.sell(ticket="A2", number=2)
    assert [command.code for command in shop.terminal.commands[asked:]] == [100]
    assert shop.journal.written[-1].baseline.authorization_code == first.authorization_code  # type: ignore[union-attr]  # there is one


def test_after_a_void_the_last_voucher_is_asked_for() -> None:
    """Its reply does not say when it was made."""
    shop = Shop()
    sold = shop.sell()
    assert shop.pay(Void(sold.operation_id), "2" * 32).approved
    assert shop.till.baseline is None
    shop.sell(ticket="A2", number=3)
    assert [command.code for command in shop.terminal.commands[-2:]] == [101, 100]


def test_commands_of_every_family() -> None:
    shop = Shop()
    sold = shop.sell()
    assert shop.pay(Refund(sold.authorization_code, 100), "2" * 32).approved
    assert shop.pay(MultiCommerceSale(500, "76000000-0"), "3" * 32).approved
    unheard_of = GenericCommand(code=100, fields={"Amount": 300, "TicketNumber": "G1", "PrintOnPos": False})
    assert shop.pay(unheard_of, "4" * 32).approved
    assert [shop.states(number)[-1] for number in (2, 3, 4)] == ["APPROVED"] * 3


def test_a_command_that_this_wire_lacks_is_not_even_begun() -> None:
    shop = Shop(wire=Wire.SIMPLIFIED)
    with pytest.raises(UnsupportedOperation):
        shop.pay(MultiCommerceSale(500, "76000000-0"))
    assert shop.journal.written == []


def test_money_is_no_question() -> None:
    """A money command only leaves by the flow that records it."""
    shop = Shop()
    with pytest.raises(JournalError, match="must be recorded first"):
        shop.register.run(ask(shop.till, Sale(1000)))
    assert shop.terminal.ledger.entries == ()


# ------------------------------------------------------------------------------------------------------- before it left


def test_a_full_journal_keeps_the_sale_at_home() -> None:
    shop = Shop()
    shop.journal.refuses = lambda intent: True
    with pytest.raises(JournalError):
        shop.sell()
    assert 100 not in [command.code for command in shop.terminal.commands]


def test_not_one_byte_left() -> None:
    shop = Shop(sold=True)
    shop.register.writes = [0]
    with pytest.raises(WriteTimeout):
        shop.sell()
    assert shop.states() == ["INTENT", "NOT_SENT"]
    assert not shop.register.link.is_open


def test_a_cable_that_is_out_already() -> None:
    shop = Shop()
    shop.terminal.disconnect(shop.register.now)
    with pytest.raises(ConnectError):
        shop.sell()
    assert shop.states() == []


def test_one_byte_left() -> None:
    """Nobody knows what the terminal makes of it."""
    shop = Shop(sold=True)
    shop.register.writes = [1]
    with pytest.raises(OutcomeUnknown) as caught:
        shop.sell()
    assert isinstance(caught.value.__cause__, PartialWrite)
    assert shop.states() == ["INTENT", "SENT", "RECOVERING", "UNKNOWN"]


def test_a_broken_link_is_opened_anew_before_anything_is_asked() -> None:
    shop = Shop(sold=True)
    done: list[str] = []
    shop.register.before = lambda effect: done.append(type(effect).__name__)
    shop.register.writes = [1]
    with pytest.raises(OutcomeUnknown):
        shop.sell()
    after = done[done.index("Send") + 1 :]
    assert [name for name in after if name in ("Close", "Open", "Send")][:3] == ["Close", "Open", "Send"]


# ----------------------------------------------------------------------------------------------------------- recovered


@pytest.mark.parametrize(
    "behaviour",
    [
        Behaviour(reply_after=float("inf")),
        Behaviour(wrong_signature=True),
        Behaviour(change={"FunctionCode": 0, "ResponseMessage": "Error durante el procesamiento"}),
        Behaviour(change={"FunctionCode": 101}),
        Behaviour(change={"Amount": 7}),
        Behaviour(reboot=Reboot(seconds=4.0)),
        Behaviour(echo=True),
    ],
    ids=["no reply", "bad signature", "function code 0", "as a last voucher", "another amount", "restarted", "echo"],
)
def test_the_call_that_waits_returns_the_real_result(behaviour: Behaviour) -> None:
    shop = Shop(behaviour)
    reply = shop.sell()
    assert isinstance(reply, SaleReply)
    assert (reply.approved, reply.function_code, reply.amount) == (True, 100, 1000)
    assert shop.states()[-2:] == ["RECOVERING", "APPROVED"]


def test_a_reply_that_does_not_fit_is_a_doubt_at_once() -> None:
    shop = Shop(Behaviour(change={"Amount": 7}))
    start = shop.register.now
    assert shop.sell().approved
    assert shop.register.now - start < 10.0


def test_it_is_found_as_the_reply_of_its_command() -> None:
    """Also where the firmware answers as a last voucher, without the fields that only a void's reply has."""
    shop = Shop(Behaviour(), Behaviour(reply_after=float("inf")))
    sold = shop.sell()
    reply = shop.pay(Void(sold.operation_id), "2" * 32)
    assert isinstance(reply, VoidReply)
    assert reply.approved


def test_a_terminal_that_says_as_last_voucher_only() -> None:
    shop = Shop(Behaviour(reply_after=float("inf")), answers={101: Behaviour(change={"FunctionCode": 101})})
    reply = shop.sell()
    assert (type(reply), reply.function_code) == (SaleReply, 100)


def test_a_disconnect_in_the_middle() -> None:
    """The link is opened again, at growing intervals, and the terminal asked."""
    shop = Shop(Behaviour(decide_after=2.0))
    shop.register.alarms = [
        (3.0, lambda: shop.terminal.disconnect(shop.register.now)),
        (9.0, lambda: shop.terminal.connect(shop.register.now)),
    ]
    assert shop.sell().approved
    assert shop.states()[-2:] == ["RECOVERING", "APPROVED"]


def test_the_reply_comes_while_the_last_voucher_is_asked_for() -> None:
    shop = Shop(Behaviour(outcome=Outcome.DECLINE, decide_after=65.0))
    assert not shop.sell().approved
    assert shop.states()[-2:] == ["RECOVERING", "DECLINED"]


def test_a_reply_that_stands_beside_a_broken_acknowledgement() -> None:
    """What has been read already is looked at, also when nothing can be written any more."""
    shop = Shop(Behaviour(outcome=Outcome.DECLINE, coalesce=True), sold=True)
    shop.register.writes = [None, 0, 0, 0, 0]
    assert not shop.sell().approved
    assert not shop.register.link.is_open


def test_nobody_can_say() -> None:
    shop = Shop(Behaviour(reboot=Reboot(keep_record=False)))
    with pytest.raises(OutcomeUnknown) as caught:
        shop.sell()
    assert caught.value.intent_id == "1" * 32
    for hint in ("the sale of 1000, ticket A1", "do not repeat it", f"getnet-pos resolve {'1' * 32} --paid"):
        assert hint in str(caught.value)


def test_a_refund_that_is_recorded_under_the_code_of_the_query() -> None:
    """The record has the refund's own ``Success``, which a last voucher of that code has no field for."""
    shop = Shop(
        Behaviour(), Behaviour(reply_after=float("inf")), firmware=Firmware(record_change={"FunctionCode": 101})
    )
    sold = shop.sell()
    assert shop.pay(Refund(sold.authorization_code, 10), "2" * 32).approved
    assert shop.states(2)[-1] == "APPROVED"


def test_the_previous_sale_is_not_mistaken_for_this_one() -> None:
    """The last voucher is a stale one, of the same amount."""
    shop = Shop(
        Behaviour(), Behaviour(reply_after=float("inf"), record_after=500.0), answers={101: Behaviour(omit=("Ticket",))}
    )
    shop.sell()
    with pytest.raises(OutcomeUnknown):
        shop.sell(ticket="A2", number=2)


def test_after_a_doubt_the_last_voucher_is_asked_for_again() -> None:
    """What the terminal did meanwhile is no proof of the next sale, also where it fits that one better."""
    shop = Shop(Behaviour(reply_after=float("inf")))
    shop.terminal.answers[101] = Behaviour(change={"Amount": 1500}, omit=("Ticket",))  # with the tip
    with pytest.raises(OutcomeUnknown):
        shop.sell(amount=1000)
    shop.register.to_terminal = lambda data: None if b"TicketNumber" in data else data
    with pytest.raises(OutcomeUnknown):
        shop.sell(amount=1500, ticket="A2", number=2)
    assert shop.journal.written[-1].baseline.operation_id == 1  # type: ignore[union-attr]  # there is one


def test_the_simplified_wire_cannot_ask() -> None:
    shop = Shop(Behaviour(decide_after=65.0), Behaviour(reply_after=float("inf")), wire=Wire.SIMPLIFIED)
    assert shop.sell().approved, "its reply came while it was in doubt"
    with pytest.raises(OutcomeUnknown):
        shop.sell(ticket="A2", number=2)


# -------------------------------------------------------------------------------------------------------- after a crash


def test_the_next_register_asks_first() -> None:
    shop = Shop(Behaviour(reply_after=float("inf")))
    shop.register.before = _dies_at(shop.register, "RECOVERING")
    with pytest.raises(KeyboardInterrupt):
        shop.sell()
    assert shop.states()[-1] == "ACCEPTED"
    shop.start()
    assert shop.states()[-1] == "APPROVED"


def test_the_next_command_asks_first() -> None:
    """The register that was interrupted lives on: before the next sale it settles the last one."""
    shop = Shop(Behaviour(reply_after=float("inf")))
    shop.register.before = _dies_at(shop.register, "RECOVERING")
    with pytest.raises(KeyboardInterrupt):
        shop.sell()
    shop.register.before = lambda _: None
    assert shop.sell(ticket="A2", number=2).approved
    assert [step.intent_id[0] for step in shop.journal.written if step.state is IntentState.APPROVED] == ["1", "2"]


def _dies_at(register: Register, state: str) -> Any:
    def before(effect: Any) -> None:
        if str(getattr(getattr(effect, "intent", None), "state", "")) == state:
            raise KeyboardInterrupt

    return before


def test_what_stays_unknown_is_returned() -> None:
    shop = Shop(Behaviour(outcome=Outcome.SILENT))
    with pytest.raises(OutcomeUnknown):
        shop.sell()
    unknown = shop.register.run(recover_all(shop.till))
    assert [(one.ticket, one.state) for one in unknown] == [("A1", IntentState.UNKNOWN)]


# ------------------------------------------------------------------------------------------------------- late replies


def test_a_late_reply_settles_the_intent_it_is_of(caplog: pytest.LogCaptureFixture) -> None:
    shop = Shop(Behaviour(reply_after=200.0, record_after=1000.0))
    ticket = generated_ticket("1" * 32)
    with pytest.raises(OutcomeUnknown):
        shop.sell(ticket=ticket)
    shop.register.now += 300.0
    shop.poll()
    assert shop.states()[-2:] == ["UNKNOWN", "APPROVED"]
    assert "by a late reply" in caplog.text


def test_a_late_reply_during_the_next_sale() -> None:
    """It settles the first, and is not taken for the second, which has the same amount."""
    shop = Shop(Behaviour(reply_after=130.0, record_after=1000.0), Behaviour(decide_after=50.0))
    with pytest.raises(OutcomeUnknown):
        shop.sell(ticket=generated_ticket("1" * 32))
    shop.register.now += 20.0
    shop.poll()
    assert shop.sell(ticket=generated_ticket("2" * 32), number=2).ticket == generated_ticket("2" * 32)
    assert (shop.states(1)[-1], shop.states(2)[-1]) == ("APPROVED", "APPROVED")


def test_a_late_reply_that_names_no_ticket_could_be_of_either_sale() -> None:
    """A person has to look: it is not taken for the sale in progress, which has the same amount."""
    shop = Shop(
        Behaviour(reply_after=130.0, record_after=1000.0, omit=("Ticket",)),
        Behaviour(decide_after=50.0, omit=("Ticket",)),
        answers={101: Behaviour(omit=("Ticket",))},
    )
    with pytest.raises(OutcomeUnknown):
        shop.sell()
    shop.register.now += 20.0
    shop.poll()
    with pytest.raises(OutcomeUnknown):
        shop.sell(ticket="A2", number=2)
    assert (shop.states(1)[-1], shop.states(2)[-1]) == ("UNKNOWN", "UNKNOWN")


def test_a_late_reply_says_nothing_of_the_next_ones_habits() -> None:
    """It names no ticket for none was asked for: what has none may still have been keyed in by hand."""
    shop = Shop(Behaviour(omit=("Ticket",)), Behaviour(late_reply=True, outcome=Outcome.SILENT))
    assert shop.sell(ticket=None).approved
    shop.register.now += 3.0
    terminal, amount = shop.register.terminal, 1000
    shop.register.alarms = [(shop.register.now + 30.0, lambda: terminal.key_in(amount, shop.register.now))]
    with pytest.raises(OutcomeUnknown) as caught:
        shop.sell(ticket="A2", number=2)
    assert "keyed in by hand" in caught.value.reason
    assert shop.states(2)[-1] == "UNKNOWN"


def test_a_late_reply_that_answers_a_query_is_not_surely_the_last_voucher() -> None:
    """It stands where the last voucher was asked for: what was keyed in since would look new after the next doubt."""
    shop = Shop(Behaviour(record_after=1000.0), answers={101: Behaviour(omit=("Ticket",))})
    kept: list[bytes] = []

    def keep(data: bytes) -> bytes | None:
        if b'FunctionCode\\":100' not in data:
            return data
        kept.append(data)
        return None

    shop.register.to_register = keep
    with pytest.raises(OutcomeUnknown):
        shop.sell(ticket=None)
    shop.terminal.key_in(2000, shop.register.now)
    shop.register.to_register = lambda data: kept[0] if b'Amount\\":2000' in data else data
    shop.till.baseline = None
    shop.terminal.script.append(Behaviour(outcome=Outcome.SILENT))
    shop.register.alarms = [(shop.register.now + 5.0, lambda: setattr(shop.register, "to_register", lambda data: data))]
    with pytest.raises(OutcomeUnknown) as caught:
        shop.sell(amount=2000, ticket=None, number=2)
    assert kept, "the late reply"
    assert "more vouchers may have been made since the last query" in caught.value.reason


def test_what_comes_after_a_damaged_answer_is_not_the_last_voucher() -> None:
    """An earlier result, told again: what was recorded since is asked for once more."""
    shop = Shop(answers={101: Behaviour(omit=("Ticket",))})
    kept = shop.listen()
    assert shop.sell(ticket=None).approved
    result = next(data for data in kept if b'FunctionCode\\":100' in data)
    listening = shop.register.to_register
    shop.register.now += 10.0
    keyed_in = shop.terminal.key_in(2000, shop.register.now)

    def damage(data: bytes) -> bytes:
        shop.register.to_register = listening
        return data[10:40] + result

    shop.register.to_register = lambda data: damage(data) if b'Amount\\":2000' in data else data
    shop.register.now += 5.0
    assert shop.poll().approved
    assert shop.register.to_register is listening
    assert shop.till.baseline is not None
    assert shop.till.baseline.operation_id == keyed_in.operation_id


def test_what_was_recovered_tells_the_terminals_clock() -> None:
    """An earlier result stands where the last voucher was asked for: what was keyed in since was made too early."""
    shop = Shop(Behaviour(wrong_signature=True), answers={101: Behaviour(omit=("Ticket",))})
    kept = shop.listen()
    assert shop.sell(ticket=None).approved
    shop.register.now += 10.0
    shop.terminal.key_in(1000, shop.register.now)
    shop.register.now += 10.0
    shop.register.to_register = lambda data: kept[-1] if b'Amount\\":1000' in data else data
    shop.till.baseline = None
    shop.terminal.script.append(Behaviour(outcome=Outcome.SILENT))
    shop.register.alarms = [(shop.register.now + 5.0, lambda: setattr(shop.register, "to_register", lambda data: data))]
    with pytest.raises(OutcomeUnknown) as caught:
        shop.sell(ticket=None, number=2)
    assert "made before the command left" in caught.value.reason


def test_a_late_reply_that_cannot_be_recorded_is_left() -> None:
    shop = Shop(Behaviour(reply_after=200.0, record_after=1000.0))
    with pytest.raises(OutcomeUnknown):
        shop.sell(ticket=generated_ticket("1" * 32))
    shop.register.now += 300.0
    shop.journal.find = lambda search: _raise(JournalError("unreadable"))  # type: ignore[method-assign]  # watched in its place
    shop.register.run(ask(shop.till, Poll()))
    assert shop.states()[-1] == "UNKNOWN"


def test_after_a_late_reply_that_cannot_be_recorded_the_last_voucher_is_asked_for_again() -> None:
    """What the terminal showed before is older than the sale that is now known to be paid."""
    shop = Shop(Behaviour(reply_after=200.0, record_after=150.0))
    with pytest.raises(OutcomeUnknown):
        shop.sell(ticket=generated_ticket("1" * 32))
    shop.poll()
    shop.register.now += 300.0
    shop.journal.refuses = lambda intent: intent.state is IntentState.APPROVED
    shop.register.run(ask(shop.till, Poll()))
    shop.journal.refuses = lambda intent: False
    shop.terminal.answers[101] = Behaviour(change={"Amount": 1500}, omit=("Ticket",))  # with the tip
    shop.register.to_terminal = lambda data: None if b"TicketNumber" in data else data
    with pytest.raises(OutcomeUnknown):
        shop.sell(amount=1500, ticket="A2", number=2)


def _raise(error: Exception) -> Any:
    raise error


def test_a_reply_that_comes_twice_is_told_of_and_left(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    shop = Shop(Behaviour(duplicate=True), Behaviour())
    first = shop.sell()
    second = shop.sell(ticket="A2", number=2)
    assert first.authorization_code != second.authorization_code
    assert "ignoring a late reply" in caplog.text


# --------------------------------------------------------------------------------------------------------------- never


def test_a_ticket_in_doubt_is_not_charged_again() -> None:
    """A cashier who tries again is told what is open, and nothing is sent."""
    shop = Shop(Behaviour(outcome=Outcome.SILENT))
    with pytest.raises(OutcomeUnknown):
        shop.sell()
    with pytest.raises(
        OutcomeUnknown, match="nothing was sent: an earlier payment with the same ticket and amount"
    ) as caught:
        shop.sell(number=2)
    assert caught.value.intent_id == "1" * 32
    assert shop.states(2) == []
    assert shop.sell(amount=2000, number=3).approved, "another amount is another sale"


def test_a_result_that_cannot_be_recorded_is_still_told(caplog: pytest.LogCaptureFixture) -> None:
    """The caller gets the truth, the terminal no acknowledgement, and it is asked again before the next command."""
    shop = Shop()
    shop.register.before = lambda effect: _fill_the_disk(shop, effect)
    assert shop.sell().approved
    assert shop.states() == ["INTENT", "SENT", "ACCEPTED"]
    assert "is APPROVED, but the journal could not record it" in caplog.text
    shop.register.before = lambda _: None
    shop.journal.refuses = lambda intent: False
    shop.poll()
    assert shop.states()[-1] == "APPROVED"


def _fill_the_disk(shop: Shop, effect: Any) -> None:
    if getattr(getattr(effect, "intent", None), "state", None) is IntentState.APPROVED:
        shop.journal.refuses = lambda intent: True


# --------------------------------------------------------------------------------------------------------- cancellation


def test_a_cancelled_sale_ends_by_its_own_reply() -> None:
    shop = Shop(Behaviour(decide_after=float("inf")))
    shop.register.alarms = [(5.0, lambda: _cancel(shop))]
    reply = shop.sell()
    assert (reply.approved, reply.response_message) == (False, "Operacion Cancelada")


def test_a_cancellation_that_comes_too_late_changes_nothing() -> None:
    shop = Shop(Behaviour(reply_after=4.0))
    shop.register.alarms = [(3.0, lambda: _cancel(shop))]
    assert shop.sell().approved


def test_an_unanswered_cancellation_is_a_doubt() -> None:
    """It is a request and never a result: the terminal is asked what became of the sale."""
    shop = Shop(Behaviour(decide_after=20.0), answers={116: Behaviour(outcome=Outcome.SILENT)})
    shop.register.alarms = [(5.0, lambda: _cancel(shop))]
    start = shop.register.now
    assert shop.sell().approved
    assert shop.register.now - start < 30.0
    assert "RECOVERING" in shop.states()


def test_what_is_not_accepted_after_a_cancellation_may_be_the_cancellation() -> None:
    shop = Shop(Behaviour(decide_after=8.0), answers={116: Behaviour(acknowledge=False)})
    shop.register.alarms = [(5.0, lambda: _cancel(shop))]
    assert shop.sell().approved
    assert "RECOVERING" not in shop.states()


def _cancel(shop: Shop) -> None:
    shop.register.link.cancel_wanted = True


# --------------------------------------------------------------------------------------------------------- last voucher


def test_a_terminal_that_does_not_tell_its_last_voucher_is_asked_once() -> None:
    """Each sale would wait for nothing; the next poll asks again."""
    shop = Shop(answers={101: Behaviour(outcome=Outcome.SILENT)})
    assert shop.till.asked_in_vain
    shop.sell()
    shop.till.baseline = None
    before = len(shop.terminal.commands)
    shop.sell(ticket="A2", number=2)
    assert [command.code for command in shop.terminal.commands[before:]] == [100]
    shop.till.baseline = None
    shop.poll()
    assert [command.code for command in shop.terminal.commands[-2:]] == [106, 101]


def test_a_last_voucher_that_was_damaged_is_asked_for_again() -> None:
    shop = Shop()
    shop.terminal.inject(Fault(FaultKind.CORRUPT, Direction.TO_REGISTER, message=3, byte=40))
    shop.till.baseline = None
    shop.poll()
    assert not shop.till.asked_in_vain
    shop.sell()
    assert [command.code for command in shop.terminal.commands[-2:]] == [101, 100]


def test_a_refusal_to_tell_the_last_voucher_is_no_empty_record() -> None:
    shop = Shop(answers={101: Behaviour(change={"ResponseCode": 9, "OperationId": 4, "Amount": 1})})
    assert shop.till.baseline is None


def test_a_cable_pulled_while_it_is_asked_for_the_last_voucher() -> None:
    shop = Shop()
    shop.till.baseline = None

    def before(effect: Any) -> None:
        if b"101" in getattr(effect, "data", b""):
            shop.terminal.disconnect(shop.register.now)

    shop.register.before = before
    with pytest.raises(ConnectError):
        shop.sell()
    assert shop.states() == []


# ------------------------------------------------------------------------------------------------------------ questions


def test_a_question_has_a_deadline() -> None:
    shop = Shop(answers={104: Behaviour(reply_after=float("inf"))})
    with pytest.raises(TimeoutError, match="did not reply in time"):
        shop.register.run(ask(shop.till, TotalsReport(), timeout=5.0))
    assert shop.register.now == pytest.approx(5.0)


def test_progress_without_end_has_a_deadline_too() -> None:
    shop = Shop(Behaviour(progress=(78,) * 1000, progress_every=5.0))
    start = shop.register.now
    with pytest.raises(OutcomeUnknown):
        shop.sell()
    assert shop.register.now - start <= 120 + 20 + 6


def test_a_reply_at_the_last_moment_counts() -> None:
    shop = Shop(Behaviour(decide_after=60.0))
    assert shop.sell().approved
    assert "RECOVERING" not in shop.states()


def test_what_the_terminal_says_goes_into_no_log_as_it_is() -> None:
    words = "Tarjeta 4111 1111 1111 1111\x1b[2J rechazada"
    shop = Shop(answers={104: Behaviour(change={"FunctionCode": 0, "ResponseMessage": words})})
    with pytest.raises(UnexpectedReply) as caught:
        shop.register.run(ask(shop.till, TotalsReport()))
    assert "Tarjeta ****1111?[2J rechazada" in str(caught.value)


def test_a_port_that_never_falls_silent_holds_nothing_up(caplog: pytest.LogCaptureFixture) -> None:
    shop = Shop()
    caplog.set_level(logging.WARNING)
    noise = iter([b"{]" * 5] * 100)
    shop.terminal.take = lambda now: [next(noise, b"")]  # type: ignore[method-assign]  # watched in its place
    shop.register.run(shop.register.link.discard_stale())
    assert "stale bytes before a command" in caplog.text
    assert len(list(noise)) == 100 - 64


def test_an_echo_of_an_earlier_command_is_stale(caplog: pytest.LogCaptureFixture) -> None:
    shop = Shop()
    shop.terminal.default = Behaviour(echo=True, reply_after=0.5)
    poll = Poll(date_time="2026-01-01T12:00:00.000Z")
    shop.register.run(shop.register.link.send(poll, seal(poll)))
    shop.register.now += 1.0
    shop.terminal.default = Behaviour()
    shop.register.run(ask(shop.till, Poll()))
    assert "stale bytes before a command: CommandMessage" in caplog.text


def test_a_torn_message_at_the_deadline() -> None:
    """Bytes that are no whole message are no sign of life."""
    shop = Shop(answers={104: Behaviour(reply_after=4.0, fragment=10, fragment_every=1.0)})
    with pytest.raises(TimeoutError):
        shop.register.run(ask(shop.till, TotalsReport(), timeout=5.0))
    assert shop.register.now == pytest.approx(5.0)


def test_a_result_that_has_no_type_of_its_own() -> None:
    """A command that only the caller knows, found as the last voucher."""
    unheard_of = GenericCommand(code=198, fields={})
    found = SaleReply(function_code=100, response_code=0)
    assert typed_reply(unheard_of, found) is found


def test_a_last_voucher_is_answered_under_the_codes_of_the_profile() -> None:
    shop = Shop()
    shop.sell()
    reply = shop.register.run(ask(shop.till, LastVoucher()))
    assert reply.function_code == 100
    assert TERMINAL == shop.till.terminal


def test_the_first_poll_after_plugging_in() -> None:
    """Terminals answer it with an error of their own, and the second one well."""
    shop = Shop()
    errors = iter([Behaviour(change={"FunctionCode": 0, "ResponseMessage": "Mensaje mal formado"})])
    shop.terminal.answers[106] = next(errors)
    shop.register.before = lambda effect: shop.terminal.answers.clear() if type(effect).__name__ == "Close" else None
    assert shop.poll().approved


@pytest.mark.parametrize("told", [True, False], ids=["still told", "told no more"])
def test_what_its_owner_settles_just_before_it_is_claimed_is_not_asked_about(told: bool) -> None:
    """Where many sell at a terminal, what is settled is soon not among its last ones any more."""
    shop = Shop()
    left = Intent(intent_id="1" * 32, terminal=TERMINAL, command=Sale.code, amount=1000, ticket="A1")
    shop.journal.record(left)
    find = shop.journal.find

    def settle(effect: object) -> None:
        if isinstance(effect, Claim) and shop.states()[-1] == "INTENT":
            shop.journal.record(replace(left, state=IntentState.DECLINED, response_code=1))
            if not told:
                shop.journal.find = lambda search: [  # type: ignore[method-assign]  # as a longer journal tells
                    step for step in find(search) if step.intent.intent_id != left.intent_id
                ]

    shop.register.before = settle
    assert shop.poll().approved
    assert shop.states() == ["INTENT", "DECLINED"]
