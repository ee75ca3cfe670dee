"""Which host owns a terminal: leases that are renewed, given back and lost, and what a host may do without one."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from getnet_pos import Connector, Profile
from getnet_pos.errors import DeadlineExceeded, JournalError, TerminalBusy
from getnet_pos.journal import PostgresJournal, Search, elsewhere
from getnet_pos.messages import IntentState
from getnet_pos.simulator import TcpServer, VirtualTerminal
from getnet_pos.simulator.cloud import VirtualCloud
from tests.databases import Server
from tests.faults.dying_register import QUICK
from tests.hosts.host import register
from tests.journal.samples import OPEN, TERMINAL, UNKNOWN, intent, record

pytestmark = pytest.mark.postgres

LEASE = 0.6
SALE = intent(1).intent_id


@pytest.fixture
def hosts(dsn: str) -> Iterator[tuple[PostgresJournal, PostgresJournal]]:
    one, other = PostgresJournal(dsn, lease=LEASE), PostgresJournal(dsn, lease=LEASE)
    with contextlib.closing(one), contextlib.closing(other):
        yield one, other


Hosts = tuple[PostgresJournal, PostgresJournal]


def sleeping(journal: PostgresJournal) -> Any:
    """While the body runs the host renews nothing, as one that is paused."""
    return journal._host._lock


def test_a_terminal_has_one_owner_until_it_is_given_back(hosts: Hosts) -> None:
    one, other = hosts
    lease = one.claim(SALE, TERMINAL)
    assert lease is not None
    assert other.claim(intent(2).intent_id, TERMINAL) is None
    assert other.claim(intent(2).intent_id, "tcp:another:1") is not None
    with pytest.raises(JournalError, match=f"another host owns the terminal {TERMINAL}"):
        other.record(intent(2))
    assert one.claim(intent(2).intent_id, TERMINAL) is not None, "the owner may hold several of its commands"
    lease.release()
    assert other.claim(intent(2).intent_id, TERMINAL) is None, "what keeps the terminal is still referred to"
    del lease
    _until(lambda: other.claim(intent(2).intent_id, TERMINAL))


def _until(happens: Any) -> None:
    for _ in range(60):
        if happens():
            return
        time.sleep(0.05)
    raise AssertionError("it does not happen")


def test_a_lease_is_renewed_as_long_as_it_is_kept(hosts: Hosts) -> None:
    one, other = hosts
    lease = one.claim(SALE, TERMINAL)
    assert lease is not None
    until = lease.until
    time.sleep(LEASE * 1.5)
    assert lease.until > until + LEASE / 2
    assert other.claim(intent(2).intent_id, TERMINAL) is None


def test_closing_gives_everything_back_at_once(hosts: Hosts) -> None:
    one, other = hosts
    lease = one.claim(SALE, TERMINAL)
    one.close()
    assert other.claim(intent(2).intent_id, TERMINAL) is not None
    assert lease is not None
    assert lease.until < time.monotonic()


def test_who_slept_too_long_may_write_nothing_in_any_state(hosts: Hosts) -> None:
    one, other = hosts
    record(one, intent(9), *UNKNOWN)
    lease = one.claim(SALE, TERMINAL)
    assert lease is not None
    record(one, intent(1), *OPEN)
    one.intents()  # all is written
    with sleeping(one):
        time.sleep(LEASE * 1.2)
        assert lease.until < time.monotonic()
        taken = other.claim(SALE, TERMINAL)
        assert taken is not None
        refused = 0
        for state in IntentState:
            with contextlib.suppress(JournalError):
                one.record(replace(intent(1), state=state))
                one.intents()
                continue
            refused += 1
    assert [step.intent.state for step in other.steps(SALE)] == list(OPEN)
    assert refused >= len(IntentState) - 4, "those that nobody waits for are refused too, and logged"
    taken.release()
    del taken
    other.close()
    assert one.claim("another", TERMINAL) is not None
    with pytest.raises(JournalError, match="another host has taken over the terminal"):
        one.record(replace(intent(1), state=IntentState.APPROVED))


def test_what_others_are_at_is_no_news(hosts: Hosts) -> None:
    """A poll tells of what was left at other terminals, and not of what is in progress there."""
    one, other = hosts
    here = Search(terminal="tcp:here:1")
    for number, journal in ((1, one), (2, other), (3, one)):
        record(journal, intent(number, terminal=f"tcp:{number}:1"), *OPEN)
        journal.intents()
    _until(lambda: len(elsewhere(one, here, 16)) == 3)  # nobody keeps the terminals
    assert [step.intent.ticket for step in elsewhere(one, here, 2)] == ["T2", "T3"]
    leases = [journal.claim(intent(number).intent_id, f"tcp:{number}:1") for number, journal in ((1, one), (2, other))]
    assert None not in leases
    assert [step.intent.ticket for step in elsewhere(one, here, 16)] == ["T3"]
    assert elsewhere(one, Search(terminal="tcp:3:1"), 16) == []


def test_the_token_grows_with_each_owner(hosts: Hosts, common_server: Server) -> None:
    one, other = hosts
    for number in range(3):
        for host in (one, other):
            assert host.claim(f"{number}", TERMINAL) is not None
            host.close()
    assert one.claim("again", TERMINAL) is not None
    [(token,)] = common_server.sql("SELECT token FROM getnet_pos.lease", database="journal")
    assert token == 7


def test_a_person_may_decide_anywhere_about_what_is_not_in_progress(hosts: Hosts) -> None:
    one, other = hosts
    record(one, intent(1), *UNKNOWN)
    lease = one.claim("another", TERMINAL)
    assert lease is not None
    decision = other.resolve(SALE, paid=True, by="Ana", note="saw the slip")
    assert decision.state is IntentState.RESOLVED_PAID
    assert [one.intent_id for one in one.recent(TERMINAL)] == [SALE]


# ---------------------------------------------------------------------------------------------------- the first byte


@contextlib.contextmanager
def cloud(journal: PostgresJournal) -> Iterator[tuple[Connector, VirtualTerminal]]:
    with (
        VirtualCloud(profile=Profile.CHILE) as served,
        register(served.url, served.key_pos, journal) as pos,
    ):
        yield pos, served.terminal


@contextlib.contextmanager
def tcp(journal: PostgresJournal) -> Iterator[tuple[Connector, VirtualTerminal]]:
    terminal = VirtualTerminal()
    with (
        TcpServer(terminal) as server,
        Connector.create_tcp(*server.address, journal=journal, timeouts=QUICK) as pos,
    ):
        yield pos, terminal


@pytest.mark.parametrize("carrier", [cloud, tcp])
def test_who_slept_before_the_first_byte_sends_nothing(hosts: Hosts, carrier: Any) -> None:
    one, other = hosts
    with carrier(one) as (pos, terminal):
        pos.polling()
        driver = pos._driver
        perform = driver.perform
        taken = []

        def watched(effect: Any, *rest: Any) -> object:
            done = perform(effect, *rest)
            if getattr(getattr(effect, "intent", None), "state", None) is IntentState.INTENT and not taken:
                with sleeping(one):
                    time.sleep(LEASE * 1.2)
                    taken.append(other.claim(effect.intent.intent_id, effect.intent.terminal))
            return done

        driver.perform = watched
        with pytest.raises(DeadlineExceeded, match="nothing was sent: this host could not renew its lease"):
            pos.sale(1000, ticket="A1")
        assert taken[0] is not None
        assert terminal.ledger.charged() == 0
        with pytest.raises(TerminalBusy, match="another host is using it"):
            pos.sale(1000, ticket="A2")
        taken.clear()
        other.close()
        driver.perform = perform
        polled = pos.polling()
        assert not [one for one in one.intents() if one.open], polled


@pytest.mark.postgres(short=True)
def test_the_next_host_recovers_before_it_sells(hosts: Hosts) -> None:
    one, other = hosts
    with VirtualCloud(profile=Profile.CHILE) as served:
        with register(served.url, served.key_pos, one) as pos:
            pos.polling()
            assert pos.sale(1000, ticket="A1").approved
        left = intent(5, terminal=f"cloud:{served.key_pos}")
        record(one, left, IntentState.INTENT)
        one.close()
        with register(served.url, served.key_pos, other) as pos:
            pos.polling()
            assert other.steps(left.intent_id)[0].intent.state is IntentState.INTENT
            assert not [one for one in other.intents() if one.open]
            assert pos.sale(1000, ticket="A2").approved
        assert served.terminal.ledger.charged() == 2000
