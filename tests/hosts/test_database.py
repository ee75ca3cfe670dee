"""The database fails, is cut, is stopped at once, is weak, or is not to be changed: with real servers."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from getnet_pos import Profile
from getnet_pos.errors import ConfigurationError, JournalError
from getnet_pos.journal import PostgresJournal
from getnet_pos.journal.upkeep import initialize_journal, journal_status
from getnet_pos.messages import Intent, IntentState
from getnet_pos.simulator.cloud import VirtualCloud
from tests.databases import Server, as_server, free_port, server
from tests.hosts.host import register
from tests.hosts.proxy import Proxy
from tests.journal.samples import OPEN, PAID, TERMINAL, intent, record

pytestmark = pytest.mark.postgres


def opened(dsn: str) -> contextlib.closing[PostgresJournal]:
    return contextlib.closing(PostgresJournal(dsn))


# ----------------------------------------------------------------------------------------------------------- the schema


def test_a_database_without_a_journal_says_what_to_do(common_server: Server) -> None:
    with pytest.raises(
        JournalError, match=r"postgres@127\.0\.0\.1:\d+ has no journal: create it with getnet-pos journal init"
    ):
        PostgresJournal(common_server.dsn())


def test_nothing_but_init_makes_it_and_a_second_init_changes_nothing(common_server: Server, dsn: str) -> None:
    assert initialize_journal(dsn) == 1
    common_server.sql("UPDATE getnet_pos.version SET number = 2", database="journal")
    try:
        for use in (PostgresJournal, initialize_journal):
            with pytest.raises(JournalError, match="newer version: update getnet-pos"):
                use(dsn)
    finally:
        common_server.sql("UPDATE getnet_pos.version SET number = 1", database="journal")


def test_rows_are_never_changed_and_never_deleted(common_server: Server, dsn: str) -> None:
    import psycopg

    with opened(dsn) as journal:
        record(journal, intent(1), *PAID)
    for statement in (
        "UPDATE getnet_pos.step SET amount = 1",
        "DELETE FROM getnet_pos.step",
        "TRUNCATE getnet_pos.step CASCADE",
        "DELETE FROM getnet_pos.notice",
    ):
        with pytest.raises(psycopg.errors.RaiseException, match="insert-only"):
            common_server.sql(statement, database="journal")


def test_a_host_needs_no_more_than_to_read_and_to_call(common_server: Server, dsn: str) -> None:
    import psycopg

    common_server.sql('DROP ROLE IF EXISTS "a host"', 'CREATE ROLE "a host" LOGIN')
    own = dsn.replace("owner@", "a%20host@")
    with pytest.raises(JournalError, match="Grant the role what a host needs: getnet-pos journal init --role"):
        PostgresJournal(own)
    initialize_journal(dsn, "a host")
    with opened(own) as journal:
        lease = journal.claim(intent(1).intent_id, TERMINAL)
        record(journal, intent(1), *PAID)
        assert lease is not None
        assert journal.keep_notice("1", "1", {})
        assert journal_status(own).unsettled == 0
    with psycopg.connect(own, autocommit=True) as connection:
        for statement in (
            "UPDATE getnet_pos.step SET amount = 1",
            "DELETE FROM getnet_pos.step",
            "TRUNCATE getnet_pos.step",
            "UPDATE getnet_pos.lease SET token = 0",
            "DELETE FROM getnet_pos.unsettled",
            "INSERT INTO getnet_pos.step (id) VALUES (0)",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


def test_a_row_that_was_changed_behind_its_back_is_noticed(common_server: Server, dsn: str) -> None:
    with opened(dsn) as journal:
        record(journal, intent(1), *OPEN)
        assert journal.intents()
        common_server.sql(
            "SET session_replication_role = replica", "UPDATE getnet_pos.step SET amount = 1", database="journal"
        )
        with pytest.raises(JournalError, match=r"is damaged: row \d+: its content has been changed"):
            journal.steps()
        with pytest.raises(JournalError, match="is damaged"):
            journal.record(replace(intent(1), state=IntentState.APPROVED))


# ----------------------------------------------------------------------------------------------------------- durability


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"synchronous_commit": "off"}, "synchronous_commit is off"),
        ({"fsync": "off"}, "fsync or full_page_writes is off"),
        ({"full_page_writes": "off"}, "fsync or full_page_writes is off"),
    ],
    ids=str,
)
def test_a_database_that_would_forget_is_refused(settings: dict[str, str], why: str) -> None:
    with server(**settings) as weak:
        dsn = weak.journal("weak")
        with pytest.raises(JournalError, match=f"may lose what it has confirmed: {why}"):
            PostgresJournal(dsn)
        assert why in (journal_status(dsn).weakness or "")
        doctor = [sys.executable, "-m", "getnet_pos.cli", "doctor", "--json", "--tcp", "127.0.0.1:1", "--journal", dsn]
        assert why in subprocess.run(doctor, capture_output=True, text=True, timeout=60).stdout


def test_a_database_that_is_made_to_forget_later_takes_no_step(common_server: Server, dsn: str) -> None:
    with opened(dsn) as journal:
        record(journal, intent(1), *PAID)
        common_server.sql("ALTER DATABASE journal SET synchronous_commit = off")
        try:
            journal.close()
            with pytest.raises(JournalError, match="turn synchronous_commit and fsync on"):
                journal.record(intent(2))
        finally:
            common_server.sql("ALTER DATABASE journal RESET synchronous_commit")


def test_an_asynchronous_standby_as_the_only_copy_is_refused() -> None:
    """And one that is named in synchronous_standby_names is not."""
    with server(wal_level="replica") as primary:
        dsn = primary.journal("shop")
        folder = primary.folder.with_name("standby")
        _copy(primary, folder)
        standby = free_port()
        try:
            _pg("pg_ctl", "start", "--wait", "-D", str(folder), "-o", f"-p {standby}", "--log", f"{folder}/log")
            _wait_for(primary, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'", 1)
            with pytest.raises(JournalError, match="its standby is asynchronous, and would be the only copy"):
                PostgresJournal(dsn)
            with pytest.raises(JournalError, match="it is a standby, which is read-only: connect to the primary"):
                PostgresJournal(primary.dsn("shop", port=standby))
            primary.sql("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
            _wait_for(primary, "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'", 1)
            with opened(dsn) as journal:
                record(journal, intent(1), *PAID)
                steps = journal.steps()
            primary.stop()
            _pg("pg_ctl", "promote", "--wait", "-D", str(folder))
            with opened(primary.dsn("shop", port=standby)) as journal:
                assert journal.steps() == steps, "what was confirmed is there after a failover"
                record(journal, intent(2), *PAID)
        finally:
            with contextlib.suppress(subprocess.CalledProcessError):
                _pg("pg_ctl", "stop", "-m", "immediate", "-D", str(folder))


def _copy(primary: Server, folder: Path) -> None:
    folder.mkdir()
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    os.chmod(folder, 0o700)
    _pg("pg_basebackup", "-D", str(folder), "-R", "-c", "fast", "-d", primary.dsn(), "--no-sync")


def _pg(program: str, *arguments: str) -> None:
    from tests.databases import programs

    folder = programs()
    assert folder is not None
    subprocess.run(
        [str(folder / program), *arguments], check=True, stdout=subprocess.DEVNULL, cwd="/", timeout=60, **as_server()
    )


def _wait_for(where: Server, question: str, answer: object) -> None:
    for _ in range(200):
        if where.sql(question) == [(answer,)]:
            return
        time.sleep(0.05)
    raise AssertionError(question)


# ------------------------------------------------------------------------------------------------- cut, stopped, killed


@pytest.fixture
def own_server() -> Iterator[Server]:
    with server() as made:
        yield made


def test_a_database_that_is_away_sends_nothing(own_server: Server, caplog: pytest.LogCaptureFixture) -> None:
    dsn = own_server.journal("shop")
    with (
        VirtualCloud(profile=Profile.CHILE) as cloud,
        opened(dsn) as journal,
        register(cloud.url, cloud.key_pos, journal) as pos,
    ):
        pos.polling()
        assert pos.sale(1000, ticket="A1").approved
        own_server.stop()
        with pytest.raises(JournalError, match=r"[Nn]o payment command"):
            pos.sale(1000, ticket="A2")
        assert cloud.terminal.ledger.charged() == 1000
        own_server.start()
        assert pos.sale(1000, ticket="A2").approved
        assert cloud.terminal.ledger.charged() == 2000


def test_stopped_at_once_in_the_middle_of_a_sale(own_server: Server) -> None:
    """The caller gets the truth; what could not be recorded is asked about once the database is back."""
    dsn = own_server.journal("shop")
    with (
        VirtualCloud(profile=Profile.CHILE) as cloud,
        opened(dsn) as journal,
        register(cloud.url, cloud.key_pos, journal) as pos,
    ):
        pos.polling()
        driver = pos._driver
        perform = driver.perform

        def watched(effect: object, *rest: object) -> object:
            if getattr(getattr(effect, "intent", None), "state", None) is IntentState.APPROVED:
                own_server.stop()
            return perform(effect, *rest)  # type: ignore[arg-type]  # as it came

        driver.perform = watched  # type: ignore[method-assign,assignment]  # the moment is chosen here
        assert pos.sale(1000, ticket="A1").approved
        driver.perform = perform  # type: ignore[method-assign]  # as before
        own_server.start()
        [left] = journal.intents()
        assert left.open
        pos.polling()
        assert [intent.state for intent in journal.intents(settled=True)] == [IntentState.APPROVED]
        assert cloud.terminal.ledger.charged() == 1000


def test_no_step_that_was_confirmed_is_lost(own_server: Server) -> None:
    """While many write, the server is stopped at once, its sessions are ended, its connections cut."""
    own_server.journal("shop")
    stop = threading.Event()
    confirmed: list[list[tuple[str, IntentState]]] = [[] for _ in range(8)]
    with Proxy(own_server.port) as proxy, opened(own_server.dsn("shop", port=proxy.port)) as journal:

        def write(number: int) -> None:
            sale = 0
            while not stop.is_set():
                sale += 1
                one = intent(number * 1_000_000 + sale, terminal=f"cloud:{number}")
                with contextlib.suppress(JournalError):
                    for state in (IntentState.INTENT, IntentState.UNKNOWN, IntentState.APPROVED):
                        journal.record(replace(one, state=state))
                        confirmed[number].append((one.intent_id, state))

        threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for turn in range(6):
            time.sleep(0.3)
            if turn % 3 == 0:
                proxy.cut()
            elif turn % 3 == 1:
                own_server.sql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'shop'", database="postgres"
                )
            else:
                own_server.stop()
                own_server.start()
        time.sleep(0.3)
        stop.set()
        for thread in threads:
            thread.join()
        steps = {(step.intent.intent_id, step.intent.state) for step in journal.steps()}
    told = [one for many in confirmed for one in many]
    assert len(told) > 50
    assert not [one for one in told if one not in steps]


def test_an_answer_that_was_lost_is_no_second_step(own_server: Server) -> None:
    """The statement was carried out and its answer cut off: the step is found, and not written again."""
    own_server.journal("shop")
    with Proxy(own_server.port) as proxy, opened(own_server.dsn("shop", port=proxy.port)) as journal:
        journal.record(intent(1))
        proxy.cut_answer_to = b"write_steps"
        journal.record(replace(intent(1), state=IntentState.APPROVED))
        assert proxy.cut_answer_to is None
        assert [step.intent.state for step in journal.steps()] == [IntentState.INTENT, IntentState.APPROVED]


def test_a_notice_whose_answer_was_lost_is_still_a_new_one(own_server: Server) -> None:
    """Else no host would hand it on."""
    own_server.journal("shop")
    with Proxy(own_server.port) as proxy, opened(own_server.dsn("shop", port=proxy.port)) as journal:
        assert journal.keep_notice("1", "1", {})
        proxy.cut_answer_to = b"keep_notice"
        assert journal.keep_notice("2", "2", {})
        assert proxy.cut_answer_to is None
        assert not journal.keep_notice("2", "2", {})


def test_the_certificate_of_the_server_is_checked_as_libpq_does_it(own_server: Server, tmp_path: Path) -> None:
    own_server.journal("shop")
    ours, other = trustme.CA(), trustme.CA()
    issued = ours.issue_cert("127.0.0.1")
    for name, data in (("crt", issued.cert_chain_pems[0]), ("key", issued.private_key_pem)):
        file = own_server.folder / f"server.{name}"
        data.write_to_path(file)
        file.chmod(0o600)
        if os.geteuid() == 0:
            shutil.chown(file, "postgres")
    own_server.sql("ALTER SYSTEM SET ssl = on")
    own_server.stop("fast")
    own_server.start()
    for authority, name in ((ours, "ours"), (other, "other")):
        authority.cert_pem.write_to_path(tmp_path / name)
    checked = f"{own_server.dsn('shop')}?sslmode=verify-full&sslrootcert={tmp_path}"
    with opened(f"{checked}/ours") as journal:
        record(journal, intent(1), *PAID)
    with pytest.raises(JournalError, match="certificate verify failed"):
        PostgresJournal(f"{checked}/other")


def test_a_host_that_is_paused_in_the_middle_of_a_statement_holds_up_nobody(dsn: str) -> None:
    """What writes is one statement: the server ends it without the client."""
    from psycopg.pq import PGconn

    with opened(dsn) as journal:
        paused = PGconn.connect(dsn.encode())
        paused.send_query(b"SELECT getnet_pos.write_steps(0, '[]')")  # and never reads the answer
        start = time.monotonic()
        record(journal, intent(1), *PAID)
        assert time.monotonic() - start < 2
        paused.finish()


def test_two_syncs_a_payment(own_server: Server) -> None:
    """Its intent and its result; what is between rides along."""
    dsn = own_server.journal("shop")
    synced = "SELECT wal_sync FROM pg_stat_wal"
    with opened(dsn) as journal:
        lease = journal.claim("all of them", TERMINAL)
        assert lease is not None
        record(journal, intent(1000), *PAID)
        journal._database.close()  # what a session has counted is told when it ends
        time.sleep(0.2)
        [(before,)] = own_server.sql(synced)
        for number in range(50):
            record(journal, intent(number), *PAID)
        journal._database.close()
        time.sleep(0.2)
        [(after,)] = own_server.sql(synced)
    assert 50 <= after - before <= 110


@pytest.mark.parametrize("common", ["idempotency_key", "device", "terminal_id"])
def test_of_two_hosts_that_begin_the_same_at_once_one_is_refused(dsn: str, common: str) -> None:
    """At two places, so that no lease keeps them apart: whatever falls together, the database takes one of them."""
    with opened(dsn) as one, opened(dsn) as other:
        for turn in range(20):
            gate, ends = threading.Barrier(2), list[str]()
            threads = []
            for number, journal in enumerate((one, other)):
                new = intent(10 * turn + number, terminal=f"tcp:{number}-{turn}")
                new = replace(new, ticket=None, **{common: f"the same {turn}"})  # type: ignore[arg-type]  # texts
                threads.append(threading.Thread(target=_begin, args=(journal, new, gate, ends)))
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            [why] = [end for end in ends if end != "taken"]
            assert "has the open intent" in why or "has the same idempotency key" in why


def _begin(journal: PostgresJournal, new: Intent, gate: threading.Barrier, ends: list[str]) -> None:
    gate.wait()
    try:
        journal.record(new)
        ends.append("taken")
    except JournalError as error:
        ends.append(str(error))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_child_of_a_fork_is_another_host(dsn: str) -> None:
    """It holds nothing of its parent's, and its end ends none of its parent's connections."""
    script = f"""
        import os, sys
        from getnet_pos.journal import PostgresJournal
        from tests.journal.samples import *
        journal = PostgresJournal({dsn!r})
        lease = journal.claim(intent(1).intent_id, TERMINAL)
        record(journal, intent(1), *OPEN)
        child = os.fork()
        if child == 0:
            assert journal.claim(intent(2).intent_id, TERMINAL) is None
            record(journal, intent(3, terminal="tcp:another:1"), *PAID)
            journal.close()
            sys.exit()
        assert os.waitpid(child, 0)[1] == 0
        record(journal, replace(intent(1), state=IntentState.APPROVED), IntentState.APPROVED)
        journal.close()
        print("sold")
    """
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=Path(__file__).parents[2])
    assert done.stdout == "sold\n", done.stderr
    with opened(dsn) as journal:
        assert len(journal.steps()) == 8


# ------------------------------------------------------------------------------------------------------------ PgBouncer


@pytest.fixture
def bouncer(own_server: Server, tmp_path: Path) -> Iterator[int]:
    """PgBouncer in transaction mode in front of a server."""
    program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
    if not os.path.exists(program):
        pytest.skip("PgBouncer is not installed here (apt-get install pgbouncer)")
    port = free_port()
    folder = own_server.folder.with_name("bouncer")
    folder.mkdir()
    (folder / "users").write_text('"owner" ""\n')
    (folder / "ini").write_text(
        f"[databases]\n* = host=127.0.0.1 port={own_server.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nunix_socket_dir =\npool_mode = transaction\nauth_type = trust\n"
        f"auth_file = {folder}/users\nserver_idle_timeout = 1\ndefault_pool_size = 4\n"
    )
    process = subprocess.Popen(
        [program, str(folder / "ini")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", **as_server()
    )
    try:
        _wait_for_port(port)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _wait_for_port(port: int) -> None:
    import socket

    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError("nobody listens")


def test_behind_a_pooler_in_transaction_mode(own_server: Server, bouncer: int) -> None:
    """Nothing rests on a session; notices are looked for where they are not heard of, and heard of past the pooler."""
    own_server.journal("shop")
    pooled = own_server.dsn("shop", port=bouncer)
    with opened(pooled) as one, contextlib.closing(PostgresJournal(pooled, listen=own_server.dsn("shop"))) as other:
        threads = [
            threading.Thread(
                target=lambda number: record(one, intent(number, terminal=f"cloud:{number}"), *PAID), args=(number,)
            )
            for number in range(16)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(other.steps()) == 64
        lease = one.claim(intent(100).intent_id, TERMINAL)
        assert lease is not None
        assert other.claim(intent(101).intent_id, TERMINAL) is None
        looked, heard = one.noticed("4711"), other.noticed("4711")
        time.sleep(0.3)
        assert not looked.done()
        assert one.keep_notice("4711", "4711", {})
        heard.result(2)
        looked.result(2)


# -------------------------------------------------------------------------------------------------------------- secrets

SECRET = "s3cr3t-w0rd"


@pytest.mark.parametrize(
    "dsn",
    [
        f"postgresql://owner:{SECRET}@127.0.0.1:1/shop",
        f"postgresql://owner:{SECRET}@nowhere.invalid/shop",
        f"postgresql://owner@127.0.0.1:1/shop?password={SECRET}",
        f"postgresql://owner:x@{SECRET}@127.0.0.1:1/shop",
        f"postgresql://owner:x/{SECRET}@127.0.0.1:1/shop",
        f"postgresql://owner:{SECRET}%zz@127.0.0.1:1/shop",
        f"postgresql://owner:{SECRET}:1@127.0.0.1:1/shop",
        f"postgresql://owner:{SECRET}@127.0.0.1:port/shop",
    ],
)
def test_a_password_is_in_no_message(
    dsn: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("getnet_pos.journal.database.PATIENCE", 0.0)
    caplog.set_level(logging.DEBUG)
    with pytest.raises((ConfigurationError, JournalError)) as caught:
        PostgresJournal(dsn)
    assert SECRET not in f"{caught.value!r} {caught.value.__cause__!r} {caplog.text}"
    assert "password" in str(caught.value) or "cannot be used" in str(caught.value)


def test_a_password_is_in_no_repr(own_server: Server) -> None:
    own_server.journal("shop")
    dsn = own_server.dsn("shop").replace("owner@", f"owner:{SECRET}@")
    with opened(dsn) as journal:
        shown = f"{journal!r} {vars(journal)!r} {vars(journal._database)!r} {vars(journal._host)!r}"
        assert SECRET not in shown
        assert repr(journal).startswith("<PostgresJournal shop@127.0.0.1:")
        assert SECRET not in journal._host.name


def test_a_pool_of_the_caller(dsn: str) -> None:
    from psycopg_pool import ConnectionPool

    with ConnectionPool(dsn, min_size=1, max_size=4) as pool, contextlib.closing(PostgresJournal(pool)) as journal:
        record(journal, intent(1), *PAID)
        assert len(journal.steps()) == 4
    with pytest.raises(ConfigurationError, match=r"needs a connection string, such as postgresql://.*, or a pool"):
        PostgresJournal(7)  # type: ignore[arg-type]  # wrong on purpose
