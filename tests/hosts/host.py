"""A host in a process of its own, that sells at any terminal of a cloud until it is killed, or paused and continued."""

from __future__ import annotations

import contextlib
import logging
import random
from dataclasses import dataclass
from typing import Any

from getnet_pos import Connector, KeyPos, Profile
from getnet_pos.errors import AlreadyCharged, GetnetError, JournalError, OutcomeUnknown, TerminalBusy, TransportError
from getnet_pos.journal import PostgresJournal
from tests.faults.dying_register import QUICK

LEASE = 0.7
"""Seconds: short, so that a pause need not be long to be too long."""


def register(url: str, key_pos: KeyPos, journal: PostgresJournal, *, webhook: str | None = None) -> Connector:
    """One at a terminal of a cloud in Chile."""
    return Connector.create_cloud(
        url,
        key_pos=key_pos,
        client_id="id",
        client_secret="a-secret",
        profile=Profile.CHILE,
        webhook=webhook,
        journal=journal,
        timeouts=QUICK,
    )


@dataclass(frozen=True)
class Chain:
    """Where the hosts of a chain find their terminals and their journal."""

    dsn: str
    url: str
    terminals: tuple[KeyPos, ...]

    def journal(self) -> PostgresJournal:
        return PostgresJournal(self.dsn, lease=LEASE)

    def connector(self, terminal: int, journal: PostgresJournal, *, webhook: bool = False) -> Connector:
        hook = "https://shop.example/getnet/hook" if webhook else None
        return register(self.url, self.terminals[terminal], journal, webhook=hook)


class _Refusals(logging.Handler):
    """Counts the steps that were refused because another host had taken the terminal."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += "another host has taken over the terminal" in record.getMessage()


def sell_for_ever(chain: Chain, name: str, seed: int, words: Any) -> None:
    """Sell, and tell ``words`` of each end: what it was, and how many steps were refused so far."""
    logging.lastResort = None
    refusals = _Refusals()
    logging.getLogger("getnet_pos").addHandler(refusals)
    logging.getLogger("getnet_pos").propagate = False
    chance = random.Random(seed)
    journal, sale = _opened(chain), 0
    while True:
        sale += 1
        ticket = f"{name}-{sale}"
        for _ in range(3):
            end = _sell(chain, chance, journal, ticket)
            words.put((name, end, refusals.count))
            if end not in ("busy", "refused", "link"):
                break


def _opened(chain: Chain) -> PostgresJournal:
    """A busy machine may let a host wait for the database longer than the journal does."""
    while True:
        with contextlib.suppress(JournalError):
            return chain.journal()


def _sell(chain: Chain, chance: random.Random, journal: PostgresJournal, ticket: str) -> str:
    """One sale, perhaps the second attempt at it: then the key is the same."""
    terminal = chance.randrange(len(chain.terminals))
    try:
        with chain.connector(terminal, journal, webhook=chance.random() < 0.5) as pos:
            pos.polling()
            if chance.random() < 0.05:
                # As shops do: what a terminal tells of its batch would grow without end.
                pos.close_batch()
            for _ in range(chance.choice((1, 1, 3))):
                reply = pos.sale(1000, ticket=ticket, idempotency_key=ticket)
            return "approved" if reply.approved else "declined"
    except OutcomeUnknown:
        return "unknown"
    except AlreadyCharged:
        return "charged"
    except TerminalBusy:
        return "busy"
    except JournalError:
        return "refused"
    except TransportError:
        return "link"
    except GetnetError as error:
        return type(error).__name__


def look_after(chain: Chain) -> None:
    """Poll every terminal until nothing is open any more."""
    with contextlib.closing(chain.journal()) as journal:
        for _ in range(100):
            for number in range(len(chain.terminals)):
                with contextlib.suppress(GetnetError), chain.connector(number, journal) as pos:
                    pos.polling()
            if not any(intent.open for intent in journal.intents()):
                return
    raise AssertionError("something stays open")
