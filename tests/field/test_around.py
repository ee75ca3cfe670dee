"""Around the money: slow disks, busy journals, other people's files, and card numbers where they do not belong.

More of each kind: ``tests/journal`` (files of others, fresh files with two users, many open payments),
``tests/faults/test_card_numbers.py``, ``tests/drivers/test_unpacking.py``, ``tests/cli/test_spreadsheets.py``
and ``tests/cloud/test_webhooks.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from getnet_pos import AsyncConnector, GetnetError, Intent, IntentState, JournalError, OutcomeUnknown, SqliteJournal
from tests.faults.foreign_cloud import envelope, fails
from tests.faults.foreign_terminal import Terminal, refuses, without
from tests.field.conftest import CLOUDS, QUICK, Visit

Book = Callable[[], list[Intent]]

CARD = "4539578763621486"


class SlowDisk(SqliteJournal):
    """Each step takes 30 ms more, one after the other, as syncing does."""

    _disk = threading.Lock()

    def record(self, intent: Intent) -> None:
        with self._disk:
            time.sleep(0.03)
        super().record(intent)


@pytest.mark.parametrize("names_ticket", [True, False])
@pytest.mark.parametrize("way", ["usb", "tcp", "http"])
def test_healthy_sales_on_a_slow_disk_are_not_in_doubt(
    visit: Visit, book: Book, journal_path: Path, way: str, names_ticket: bool
) -> None:
    """The step that says that a command was sent takes longer than the terminal has for its acknowledgement."""
    places = [visit(way, Terminal(f"800050{number:02d}")) for number in range(8)]
    for place in places:
        place.terminal.says = dict if names_ticket else without("Ticket")
    patient = replace(QUICK, acknowledgement=0.15, short=2.0, sale=2.0, sale_total=4.0)

    with contextlib.closing(SlowDisk(journal_path)) as journal:

        def sell(place: Any) -> bool:
            with place.ready(journal=journal, timeouts=patient) as pos:
                return bool(pos.sale(1000).approved)

        with ThreadPoolExecutor(len(places)) as pool:
            assert all(pool.map(sell, places))
    assert [intent.found for intent in book()] == ["call"] * len(places)


@pytest.mark.parametrize("create", ["create_tcp", "create_usb", "create_http"])
async def test_the_event_loop_goes_on_while_another_process_holds_the_journal(
    visit: Visit, journal_path: Path, create: str
) -> None:
    place = visit({"create_tcp": "tcp", "create_usb": "usb", "create_http": "http"}[create])
    SqliteJournal(journal_path).close()
    holder = sqlite3.connect(journal_path, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN EXCLUSIVE")
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.005)
            longest = max(longest, time.monotonic() - before)

    watching = asyncio.create_task(watch())
    asyncio.get_running_loop().call_later(0.6, holder.rollback)
    async with getattr(AsyncConnector, create)(*place.where, timeouts=QUICK) as pos:
        assert (await pos.polling()).approved
        assert (await pos.sale(1000)).approved
    watching.cancel()
    holder.close()
    assert longest < 0.5


async def test_a_journal_that_cannot_be_used_is_told_when_the_connector_is_opened(
    visit: Visit, journal_path: Path
) -> None:
    place = visit("tcp")
    journal_path.write_bytes(b"no database at all" * 100)
    connector = AsyncConnector.create_tcp(*place.where)
    with pytest.raises(JournalError):
        await connector
    await connector.close()
    assert place.terminal.heard == []


@pytest.mark.parametrize("linked", [False, True])
def test_another_programs_database_stays_as_it_is(visit: Visit, tmp_path: Path, linked: bool) -> None:
    place = visit("tcp")
    shop = tmp_path / "shop.db"
    with contextlib.closing(sqlite3.connect(shop)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE sold (what)")
    shop.chmod(0o664)
    before = shop.read_bytes()
    named = shop
    if linked:
        named = tmp_path / "journal.sqlite3"
        named.symlink_to(shop)
    with pytest.raises(JournalError):
        place.connect(journal=named)
    assert (shop.read_bytes(), stat.S_IMODE(shop.stat().st_mode)) == (before, 0o664)


def test_two_processes_on_a_fresh_journal_see_no_damage(visit: Visit, book: Book, journal_path: Path) -> None:
    """One that records, and one that asks all the time what is known."""
    place = visit("tcp")
    asks = (
        "import sys, time; from getnet_pos import SqliteJournal; from getnet_pos.messages import Search\n"
        "journal = SqliteJournal(sys.argv[1]); print('ready', flush=True)\n"
        "while True: journal.find(Search(terminal='tcp:x')); journal.intents()\n"
    )
    command = [sys.executable, "-c", asks, str(journal_path)]
    with (
        place.ready() as pos,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as other,
    ):
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        for number in range(5):
            assert pos.sale(1000, ticket=f"T{number}").approved
        assert other.poll() is None, other.communicate()[1]
        other.kill()
    assert [intent.state for intent in book()] == [IntentState.APPROVED] * 5


QUOTING: dict[str, tuple[int, Any]] = {
    "an error in JSON": (500, {"error": {"code": "X", "message": f"card {CARD} refused by host"}}),
    "a page": (502, f"<html><title>Error {CARD[:4]} {CARD[4:8]} {CARD[8:12]} {CARD[12:]}</title></html>".encode()),
    "an outer code 0": (200, envelope(None, 0, f"tarjeta {CARD} vencida 12/28")),
    "a field": (200, envelope({"idPosTxs": 5, "response": {"functionCode": 100, "responseMessage": CARD}})),
}


@pytest.mark.parametrize("what", QUOTING)
@pytest.mark.parametrize("way", CLOUDS)
def test_a_card_number_that_a_cloud_quotes(
    visit: Visit, journal_path: Path, caplog: pytest.LogCaptureFixture, way: str, what: str
) -> None:
    caplog.set_level(logging.DEBUG, "getnet_pos")
    place = visit(way)
    assert place.cloud is not None
    place.cloud.then("sale", fails(*QUOTING[what]))
    with place.ready() as pos, pytest.raises(GetnetError) as caught:
        pos.sale(25_000, ticket="A1")
    own = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("getnet_pos"))
    assert_no_card(f"{own}{caught.value}{caught.value.__cause__}", journal_path)


@pytest.mark.parametrize("separator", ["", ".", " ", "-"])
@pytest.mark.parametrize("way", ["usb", "tcp", "http"])
def test_a_card_number_that_a_terminal_quotes(
    visit: Visit, journal_path: Path, caplog: pytest.LogCaptureFixture, way: str, separator: str
) -> None:
    caplog.set_level(logging.DEBUG, "getnet_pos")
    place = visit(way)
    quoted = separator.join([CARD[:4], CARD[4:8], CARD[8:12], CARD[12:]])
    place.terminal.says = lambda told: {**told, "AuthorizationCode": quoted, "ResponseMessage": f"Tarjeta {quoted}"}
    with place.ready() as pos:
        assert pos.sale(1000, ticket="A1").approved
        place.terminal.then(100, refuses(-1))
        with pytest.raises(OutcomeUnknown) as caught:
            pos.sale(2000, ticket="A2")
    assert_no_card(f"{caplog.text}{caught.value}{caught.value.__cause__}", journal_path)


def assert_no_card(text: str, journal: Path) -> None:
    digits = "".join(letter for letter in text if letter.isdigit())
    assert CARD not in digits
    assert CARD.encode() not in journal.read_bytes()
