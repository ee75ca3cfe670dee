"""Card numbers in every text that a terminal or a cloud can send: no log, error, journal or output shows one."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from getnet_pos import Connector, KeyPos, Profile, tracing
from getnet_pos.cli import main
from getnet_pos.cli.screen import Screen
from getnet_pos.cloud import CloudAccount
from getnet_pos.codec import envelope
from getnet_pos.equipment import EquipmentClient
from getnet_pos.errors import GetnetError
from getnet_pos.flows.http_calls import RetryPolicy
from getnet_pos.journal import MemoryJournal, SqliteJournal
from getnet_pos.messages import CATALOGUE, Intent, IntentState, Progress, ReportKind, SaleReply, kept_reply
from getnet_pos.messages.fields import Kind, wire_fields
from getnet_pos.simulator import Behaviour, SerialServer, VirtualTerminal
from tests.faces import hasty
from tests.faults.dying_register import QUICK

__all__ = ["hasty"]

CARD = "4539578763621486"
WRITTEN = (CARD, "4539.5787.6362.1486", "4539\u00a05787\u00a06362\u00a01486", "4539-5787 6362/1486")
ANY_FORM = re.compile(r"[\W_]{0,8}".join(CARD[:9]))
"""So much of it as is no part of a number that may be shown, however it is parted, and escaped."""

on_posix = pytest.mark.skipif(os.name != "posix", reason="this system has no pseudo-terminals")
in_each_form = pytest.mark.parametrize("card", WRITTEN)


def texts(card: str, *kinds: type, but: tuple[str, ...] = ()) -> dict[str, str]:
    """``card`` in every text field of these types of reply, by the names of the wire."""
    fields = [item for kind in kinds for item in wire_fields(kind) if item.kind in (Kind.TEXT, Kind.LAST_DIGITS)]
    return {item.spellings[0]: f"x {card}" for item in fields if item.spellings[0] not in but}


class Seen:
    """Whatever anybody could come to see."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def error(self, error: BaseException | None) -> None:
        """An error, its causes, and what a traceback shows of them."""
        while error is not None:
            self.texts += [str(error), repr(error), *map(repr, vars(error).values())]
            self.texts += traceback.format_exception(error)
            error = error.__cause__

    def check(self) -> None:
        assert self.texts
        assert not [text for text in self.texts if ANY_FORM.search(text)]


class _Lines(logging.Handler):
    def __init__(self, seen: Seen) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))
        self._seen = seen

    def emit(self, record: logging.LogRecord) -> None:
        self._seen.texts.append(self.format(record))


@pytest.fixture
def seen() -> Iterator[Seen]:
    """The logs at their most talkative, with the trace on; more is added by the test."""
    found, root = Seen(), logging.getLogger("getnet_pos")
    handler, level = _Lines(found), root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    tracing.start()
    yield found
    tracing.stop()
    root.removeHandler(handler)
    root.setLevel(level)


# ----------------------------------------------------------------------------------------------------------- a terminal


def _terminal(card: str, what: str) -> VirtualTerminal:
    # The ticket and the terminal's id decide whose a reply is: those that came with the reply are kept as they are.
    voucher = texts(card, *CATALOGUE.reply_types.values(), but=("Ticket", "TerminalId"))
    change = {
        "an approval": voucher,
        "a refusal": {**voucher, "ResponseCode": 51},
        "an error of its own": {"FunctionCode": 0, "ResponseCode": 1, "ResponseMessage": f"{'x' * 70} {card}"},
        "another ticket": {**voucher, "Ticket": card},
        "another shape": {**voucher, "FunctionCode": card, "ResponseCode": [card]},
    }[what]
    return VirtualTerminal(default=Behaviour(change=change))


answering = pytest.mark.parametrize(
    "what", ["an approval", "a refusal", "an error of its own", "another ticket", "another shape"]
)


@on_posix
@answering
@in_each_form
def test_a_terminal(folder: Path, seen: Seen, card: str, what: str) -> None:
    path = folder / "journal.sqlite3"
    with (
        SerialServer(_terminal(card, what), gap=0) as server,
        contextlib.closing(SqliteJournal(path)) as journal,
        Connector.create_usb(server.device, journal=journal, timeouts=QUICK) as pos,
    ):
        for ask in (
            pos.polling,
            lambda: pos.sale(1_000, ticket="A1"),
            pos.last_voucher,
            lambda: pos.get_reports(ReportKind.DETAILS),
            pos.recover,
        ):
            try:
                seen.texts.append(repr(ask()))
            except GetnetError as error:
                seen.error(error)
        seen.texts += map(repr, journal.steps())
    seen.texts.append(path.read_bytes().decode("latin-1"))
    seen.check()


@in_each_form
@pytest.mark.parametrize("kind", ["file", "memory"])
def test_a_journal(folder: Path, seen: Seen, card: str, kind: str) -> None:
    path = folder / "journal.sqlite3"
    journal = SqliteJournal(path) if kind == "file" else MemoryJournal()
    made = Intent(intent_id="a" * 32, terminal="usb:x", command=100, amount=1_000, ticket="A1")
    doubtful = replace(made, state=IntentState.UNKNOWN, reason=f"it said {card}", authorization_code=card)
    for step in (made, replace(doubtful, state=IntentState.RECOVERING), doubtful):
        journal.record(step)
    resolved = journal.resolve("a", paid=False, by=f"Ana {card}", note=f"card {card}")
    assert (resolved.decided_by, resolved.note) == ("Ana ****1486", "card ****1486")
    seen.texts += [repr(resolved), *map(repr, journal.steps())]
    if kind == "file":
        seen.texts.append(path.read_bytes().decode("latin-1"))
    seen.texts.append(kept_reply(SaleReply(function_code=100, response_code=0, **dict.fromkeys(_KEPT_TEXTS, card))))
    seen.check()


_KEPT_TEXTS = (
    "authorization_code",
    "card_type",
    "card_brand",
    "commerce_name",
    "branch_name",
    "real_date",
    "terminal_id",
)


# -------------------------------------------------------------------------------------------------------------- a cloud

_ANSWERS: dict[str, Callable[[str], httpx.Response]] = {
    "JSON error": lambda card: httpx.Response(500, json={"error": {"code": card, "message": card, "logID": card}}),
    "HTML": lambda card: httpx.Response(502, html=f"<title>Error {card}</title>"),
    "text": lambda card: httpx.Response(200, text=f"{' ' * 788}{card} {card}"),
    "kind of body": lambda card: httpx.Response(200, text="{}", headers={"content-type": f"text/{CARD}"}),
    "outer code 0": lambda card: httpx.Response(200, json={"code": 0, "message": f"tarjeta {card} vencida"}),
    "login refused": lambda card: httpx.Response(401, json={"Status": f"no {card}"}),
    "sent elsewhere": lambda card: httpx.Response(302, headers={"location": f"https://x.test/{CARD}"}),
    "wait": lambda card: httpx.Response(429, text=card, headers={"retry-after": "0"}),
    "a result": lambda card: httpx.Response(200, json={
        "code": 1, "message": card, "data": {"idPosTxs": 7, "customId": card, "response": {
            "functionCode": 100, "responseCode": 0, "responseMessage": card, "authorizationCode": card,
            "amount": 1_000, "ticket": "A1", "terminalId": "80005000", "cardBrand": card, "realDate": card,
        }},
    }),
}  # fmt: skip


@pytest.mark.parametrize("answer", _ANSWERS.values(), ids=_ANSWERS)
@in_each_form
def test_a_cloud(folder: Path, seen: Seen, card: str, answer: Callable[[str], httpx.Response]) -> None:
    path = folder / "journal.sqlite3"

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/auth"):
            return httpx.Response(200, json={"code": 1, "data": {"token": "token", "expires_in": 3600}})
        if request.url.path.endswith("/poll"):
            return httpx.Response(200, json={"code": 1, "data": None})
        return answer(card)

    with (
        httpx.Client(transport=httpx.MockTransport(handle)) as client,
        CloudAccount(
            "https://cloud.test/api/postxs",
            client_id="id",
            client_secret="secret",
            profile=Profile.CHILE,
            http_client=client,
            retry=RetryPolicy(first_pause=0.001),
            timeouts=replace(QUICK, sale=0.4, sale_total=0.4, cloud=0.4),
        ) as account,
        Connector.create_cloud(account, key_pos=KeyPos("80005000", 12983, "SN1"), journal=path) as pos,
    ):
        for ask in (
            pos.polling,
            lambda: pos.sale(1_000, ticket="A1"),
            pos.recover,
            lambda: account.transaction_status(7),
            account.list_terminals,
        ):
            try:
                seen.texts.append(repr(ask()))
            except GetnetError as error:
                seen.error(error)
    seen.texts.append(path.read_bytes().decode("latin-1"))
    seen.check()


@pytest.mark.parametrize("line", ["{card}", "HTTP/1.1 200 OK\r\n{card}", "HTTP/1.1 {card} OK"])
@in_each_form
def test_what_is_no_http(seen: Seen, card: str, line: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(65_536)
                        connection.sendall(f"{line.format(card=card)}\r\n\r\n".encode())

        threading.Thread(target=serve, daemon=True).start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        client = EquipmentClient(address, token="token", retry=RetryPolicy(attempts=1))
        terminal = Connector.create_http(address, journal=None, timeouts=QUICK)
        for ask in (lambda: client.list_active_terminals("1"), terminal.polling):
            with pytest.raises(GetnetError) as caught:
                ask()
            seen.error(caught.value)
        client.close()
        terminal.close()
    seen.check()


# ----------------------------------------------------------------------------------------------------- the command line


@pytest.fixture
def run(seen: Seen, capsys: pytest.CaptureFixture[str]) -> Callable[..., None]:
    """Runs ``getnet-pos`` with tables and with JSON, and adds what it prints."""

    def run(*args: str) -> None:
        for options in ([], ["--json"]):
            main([*args, *options])
            out, err = capsys.readouterr()
            # In JSON what is not ASCII is escaped with letters, which part digits.
            seen.texts += [out, err] if not options else [*map(_plain, out.splitlines() + err.splitlines())]

    return run


def _plain(line: str) -> str:
    return json.dumps(json.loads(line), ensure_ascii=False) if line.startswith(("{", "[")) else line


@in_each_form
def test_decode(run: Callable[..., None], seen: Seen, card: str, tmp_path: Path) -> None:
    rows = {"SaleDetails": [texts(card, CATALOGUE.reply_types[100])], "TipReport": [{"Tx": card}]}
    said = [
        {"FunctionCode": code, "ResponseCode": 0, **texts(card, kind), **rows, card: card}
        for code, kind in CATALOGUE.reply_types.items()
    ]
    said += [
        {"FunctionCode": 112, "MessageText": card},
        {"FunctionCode": 999, "ResponseCode": 1, "ResponseMessage": card, "AccountNumber": int(CARD)},
        {"Command": 100, "Amount": 5, "TicketNumber": card, "DateTime": card},
        {"Command": 100, "Amount": 5, "TicketNumber": int(CARD)},
        {"Command": 108, "AuthorizationCode": card},
    ]
    file = tmp_path / "capture.bin"
    file.write_bytes(b"".join(envelope(json.dumps(one, ensure_ascii=False)) for one in said) + card.encode())
    run("decode", "--file", str(file))
    assert "****1486" in "".join(seen.texts)
    seen.check()


@in_each_form
@pytest.mark.parametrize("as_json", [False, True])
def test_progress(seen: Seen, capsys: pytest.CaptureFixture[str], card: str, as_json: bool) -> None:
    Screen(as_json).progress(Progress(None, f"Tarjeta {card}"))
    out, err = capsys.readouterr()
    assert (out, "Tarjeta ****1486" in err) == ("", True)
    seen.texts.append(repr(Progress(None, card)))
    seen.check()


@on_posix
@answering
def test_commands(run: Callable[..., None], seen: Seen, what: str, tmp_path: Path) -> None:
    card = WRITTEN[1]
    with SerialServer(_terminal(card, what), gap=0) as server:
        port = ("--port", server.device, "--journal", str(tmp_path / "journal.sqlite3"))
        settings = tmp_path / "settings.toml"
        settings.write_text("timeout = 1\nrecovery = 0.5\n")
        limits = ("--config", str(settings))
        run("poll", *port, *limits)
        run("sale", "1000", "--ticket", "A1", *port, *limits)
        run("sale", card, *port, *limits)
        run("report", card, *port, *limits)
        run("last", *port, *limits)
        run("report", "details", *port, *limits)
        run("doctor", *port, *limits)
    run("intents", "--all", *port[2:])
    run("resolve", card, "--paid", "--by", card, "--note", card, *port[2:])
    seen.check()
