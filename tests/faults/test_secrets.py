"""A card number, a token and a secret driven through everything a register can keep or show: none of it is found."""

from __future__ import annotations

import contextlib
import logging
import pickle
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from getnet_pos import Connector, tracing
from getnet_pos.codec import Decoder
from getnet_pos.errors import GetnetError
from getnet_pos.flows.effects import Send
from getnet_pos.journal import SqliteJournal
from getnet_pos.messages import GenericCommand, LastVoucher, Poll, ReportKind
from getnet_pos.simulator import Behaviour, Card, Direction, Fault, FaultKind, SerialServer, VirtualTerminal
from tests.faults.dying_register import QUICK

CARD = "4539578763621486"
TOKEN = "tok-0a1b2c3d4e5f6071829"
SECRET = "client-secret-9f8e7d6c5b4a"
EXPIRY, BIN = "3107", "45395787"

_CANARIES = (CARD, TOKEN, SECRET, BIN, f"{CARD[:4]} {CARD[4:8]} {CARD[8:12]} {CARD[12:]}")
"""What must be found nowhere; the expiry date is too short to search for where digits are."""

_LEAKING = {
    "AccountNumber": CARD,
    "Bin": BIN,
    "TransToken": TOKEN,
    "ExpiryDate": EXPIRY,
    "Track2": f"{CARD}={EXPIRY}",
    "ClientSecret": SECRET,
    CARD: "a card number as a name",
}
"""A reply of a firmware that tells more than it should."""


class _Everything(logging.Handler):
    """All that is logged, formatted with its traceback."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def shown() -> Iterator[list[str]]:
    """Whatever anybody could come to see; the logs at their most talkative, and the trace on."""
    handler, root = _Everything(), logging.getLogger("getnet_pos")
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    tracing.start()
    yield handler.lines
    tracing.stop()
    root.removeHandler(handler)
    root.setLevel(level)


def _show(shown: list[str], thing: object) -> None:
    shown.extend((repr(thing), str(thing)))
    if isinstance(thing, BaseException):
        shown.extend(traceback.format_exception(thing))


_BEHAVIOURS = {
    "an approval": Behaviour(card=Card(bin=BIN, expiry=EXPIRY), change=_LEAKING),
    "a refusal": Behaviour(change={**_LEAKING, "ResponseCode": 51}),
    "an error of its own": Behaviour(change={**_LEAKING, "FunctionCode": 0, "ResponseMessage": f"Tarjeta {CARD}"}),
    "a damaged reply": Behaviour(change=_LEAKING, wrong_signature=True),
    "another amount": Behaviour(change={**_LEAKING, "Amount": 7}),
    "another shape": Behaviour(change={**_LEAKING, "FunctionCode": "none", "ResponseCode": [CARD]}),
    "no reply": Behaviour(change=_LEAKING, reply_after=float("inf")),
}


@pytest.mark.parametrize("behaviour", _BEHAVIOURS.values(), ids=_BEHAVIOURS)
def test_nothing_of_a_card_is_kept_or_shown(behaviour: Behaviour, folder: Path, shown: list[str]) -> None:
    path = folder / "journal.sqlite3"
    terminal = VirtualTerminal(default=behaviour, answers={101: Behaviour(change=_LEAKING)})
    with (
        SerialServer(terminal, gap=0) as server,
        contextlib.closing(SqliteJournal(path)) as journal,
        Connector.create_usb(server.device, journal=journal, timeouts=QUICK) as pos,
    ):
        pos.polling()
        for ask in (
            lambda: pos.sale(1_000, ticket="A1", on_progress=shown.append),
            lambda: pos.request(GenericCommand(code=200, fields={"Token": TOKEN, "Card": CARD}), timeout=0.3),
            pos.last_voucher,
            lambda: pos.get_reports(ReportKind.DETAILS),
            pos.recover,
        ):
            try:
                reply = ask()
            except GetnetError as error:
                _show(shown, error)
                _show(shown, pickle.loads(pickle.dumps(error)))
            else:
                _show(shown, reply)
        _show(shown, pos)
        for step in journal.steps():
            _show(shown, step)
    kept = path.read_bytes()
    assert shown
    for canary in _CANARIES:
        assert canary.encode() not in kept, f"{canary} is in the journal"
        hits = [line for line in map(str, shown) if canary in line]
        assert not hits, f"{canary} is shown: {hits[:3]}"


def test_a_card_number_where_four_digits_belong(folder: Path, shown: list[str]) -> None:
    """The journal takes no more than four."""
    path = folder / "journal.sqlite3"
    terminal = VirtualTerminal(default=Behaviour(change={"Last4Digits": CARD, "RealDate": CARD}))
    with (
        SerialServer(terminal, gap=0) as server,
        Connector.create_usb(server.device, journal=path, timeouts=QUICK) as pos,
    ):
        pos.polling()
        assert pos.sale(1_000).approved
    assert CARD.encode() not in path.read_bytes()
    assert not [line for line in map(str, shown) if CARD in line]


def test_damaged_frames_are_not_shown(folder: Path, shown: list[str]) -> None:
    """At any place of a reply that is full of secrets."""
    terminal = VirtualTerminal(default=Behaviour(change=_LEAKING))
    path, limits = folder / "journal.sqlite3", replace(QUICK, report=0.3)
    with (
        SerialServer(terminal, gap=0) as server,
        Connector.create_usb(server.device, journal=path, timeouts=limits) as pos,
    ):
        pos.polling()
        for place in range(17, 900, 197):
            kind = FaultKind.TRUNCATE if place % 3 else FaultKind.CORRUPT
            terminal.inject(Fault(kind, Direction.TO_REGISTER, message=1, byte=place))
            try:
                _show(shown, pos.last_voucher())
            except GetnetError as error:
                _show(shown, error)
            with contextlib.suppress(GetnetError):
                pos.polling()
    assert not [line for line in map(str, shown) for canary in _CANARIES if canary in line]


def test_commands_and_effects_show_no_field_of_anybodys(shown: list[str]) -> None:
    _show(shown, Send(f'{{"Card":"{CARD}"}}'.encode(), 1.0))
    assert CARD not in "".join(shown)


# --------------------------------------------------------------------------------------------------------------- trace


def _traced(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "getnet_pos.wire"]


def _sell() -> None:
    terminal = VirtualTerminal()
    terminal.inject(Fault(FaultKind.CORRUPT, Direction.TO_REGISTER, message=8, byte=30))
    with (
        SerialServer(terminal, gap=0) as server,
        Connector.create_usb(server.device, journal=None, timeouts=QUICK) as pos,
    ):
        pos.polling()
        pos.sale(1_000, ticket="A1", on_progress=lambda _: None)


def test_the_trace_is_off_until_it_is_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    assert not tracing.is_on()
    _sell()
    assert _traced(caplog) == []


def test_the_trace_names_what_was_said_and_never_what_it_was(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    tracing.start()
    assert tracing.is_on()
    try:
        _sell()
    finally:
        tracing.stop()
    traced = "\n".join(_traced(caplog))
    assert "bytes: Poll 106 with date_time" in traced
    assert "bytes: Sale 100 with date_time amount ticket print_on_pos" in traced
    assert "Ack True" in traced
    assert "Progress 78" in traced
    assert "SaleReply 100, response 0, with function_code response_code" in traced
    assert "BadFrame" in traced
    for value in ("1000", "A1", "Aprobado", "80005000", "Lectura"):
        assert value not in traced


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b'{"Received":', "no whole message"),
        (b'{"FunctionCode":112,"MessageText":"reading"}', "Progress"),
        (b"\x02103|\x03M", "CommandMessage 103 with "),
    ],
)
def test_the_trace_of_what_is_no_reply(data: bytes, shown: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    tracing.start()
    try:
        tracing.received(Decoder().feed(data), len(data))
        tracing.sent(LastVoucher(), 5)
        tracing.sent(Poll(), 5)
    finally:
        tracing.stop()
    assert _traced(caplog)[0] == f"<- {len(data)} bytes: {shown}"
