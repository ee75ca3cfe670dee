"""The pytest plugin as an integrator meets it: whole runs of pytest on tests that use it."""

from __future__ import annotations

import os
import socket
import sys
import threading
from pathlib import Path
from textwrap import dedent

import pytest

from tests.plugin.conftest import Run

pytest_plugins = ["pytester"]

needs_pty = pytest.mark.skipif(os.name != "posix", reason="this system has no pseudo-terminals")

IMPORTS = """
import math, os
from dataclasses import replace
import pytest
from getnet_pos import *
from getnet_pos.equipment import EquipmentClient
from getnet_pos.oauth import ClientCredentials
from getnet_pos.simulator import *
from getnet_pos.simulator.cloud import CloudFault, CloudFaultKind
"""


@pytest.fixture
def run(run: Run) -> Run:
    """``run(code)`` runs the tests of a text, which has all imports that are needed here."""
    return lambda code, *options: run(IMPORTS + dedent(code), *options)


# --------------------------------------------------------------------------------------------------------------- links


@needs_pty
def test_each_link_serves_blocking_and_asyncio_registers(run: Run) -> None:
    run(
        """
        def blocking(link):
            def test(getnet_connector, getnet_terminal):
                assert getnet_connector.sale(25_000, ticket="A1").approved
                assert getnet_terminal.ledger.charged() == 25_000

            return pytest.mark.usefixtures(link)(test)


        def on_asyncio(link):
            async def test(getnet_async_connector, getnet_terminal):
                async with getnet_async_connector as pos:
                    await pos.polling()
                    assert (await pos.sale(25_000, ticket="A1")).approved
                assert getnet_terminal.ledger.charged() == 25_000

            return pytest.mark.usefixtures(link)(test)


        test_serial, test_serial_on_asyncio = blocking("getnet_serial"), on_asyncio("getnet_serial")
        test_tcp, test_tcp_on_asyncio = blocking("getnet_tcp"), on_asyncio("getnet_tcp")
        test_http, test_http_on_asyncio = blocking("getnet_http"), on_asyncio("getnet_http")
        test_cloud, test_cloud_on_asyncio = blocking("getnet_cloud"), on_asyncio("getnet_cloud")


        def test_no_link_is_tcp(getnet_connector):
            assert "tcp:127.0.0.1" in repr(getnet_connector)
        """
    ).assert_outcomes(passed=9)


def test_a_register_that_connects_by_itself_gets_addresses_and_short_time_limits(run: Run) -> None:
    run(
        """
        def test_tcp(getnet_tcp, getnet_timeouts):
            with Connector.create_tcp(*getnet_tcp.address, timeouts=getnet_timeouts) as pos:
                pos.polling()
                assert pos.sale(25_000, ticket="A1").approved
            assert getnet_tcp.terminal.ledger.balances() == {"A1": 25_000}


        @pytest.mark.parametrize("getnet_profile", [Profile.CHILE, Profile.ARGENTINA], ids=["cl", "ar"])
        def test_cloud(getnet_cloud, getnet_profile):
            with Connector.create_cloud(
                getnet_cloud.url,
                key_pos=getnet_cloud.key_pos,
                client_id="id",
                client_secret="secret",
                profile=getnet_profile,
            ) as pos:
                pos.polling()
                assert pos.sale(25_000, ticket="A1").approved
            assert getnet_cloud.terminal.ledger.charged() == 25_000
            assert getnet_cloud.profile == getnet_profile


        def test_terminals_of_a_merchant(getnet_equipment):
            token = ClientCredentials(getnet_equipment.token_url, "id", "secret")
            with EquipmentClient(getnet_equipment.base_url, token=token) as api:
                assert len(api.list_active_terminals("count-7")) == 7
            assert getnet_equipment.simulator.count("/count-7") == 1
        """
    ).assert_outcomes(passed=4)


@needs_pty
def test_the_cable_is_pulled_and_put_back(run: Run) -> None:
    run(
        """
        def test_cable(getnet_serial, getnet_connector):
            getnet_serial.unplug()
            with pytest.raises(TransportError):
                getnet_connector.polling()
            getnet_serial.plug()
            getnet_connector.polling()
            assert getnet_connector.sale(25_000, ticket="A1").approved
        """
    ).assert_outcomes(passed=1)


# ------------------------------------------------------------------------------------------------- behaviour by marker


def test_markers_say_how_terminal_and_cloud_behave(run: Run) -> None:
    run(
        """
        pytestmark = pytest.mark.getnet_terminal(identity=Identity(terminal_id="70000001"))


        @pytest.mark.getnet_terminal(script=[Behaviour(outcome=Outcome.DECLINE)])
        def test_script(getnet_connector, getnet_terminal):
            declined = getnet_connector.sale(1_000, ticket="A1")
            assert (declined.approved, declined.terminal_id) == (False, "70000001")
            assert getnet_connector.sale(1_000, ticket="A2").approved
            assert getnet_terminal.ledger.balances() == {"A2": 1_000}


        def test_the_marker_of_the_module_alone(getnet_connector):
            assert getnet_connector.sale(1_000, ticket="A1").terminal_id == "70000001"


        @pytest.mark.getnet_terminal(firmware=A920)
        def test_the_ways_of_a_real_terminal(getnet_connector):
            getnet_connector.sale(1_000, ticket="A1")
            assert getnet_connector.last_voucher().ticket is None


        @pytest.mark.getnet_cloud(terminals=3)
        def test_terminals_of_a_cloud(getnet_cloud, getnet_connector):
            assert len(getnet_cloud.terminals) == 3
            assert getnet_connector.sale(1_000, ticket="A1").approved
            assert [terminal.ledger.charged() for terminal in getnet_cloud.terminals.values()] == [1_000, 0, 0]
        """,
        "--strict-markers",
    ).assert_outcomes(passed=4)


def test_faults_count_from_the_first_line_of_the_test(run: Run) -> None:
    """And not from the polling of the fixture, which would meet them."""
    run(
        """
        @pytest.fixture
        def getnet_timeouts():
            return Timeouts(acknowledgement=0.5, recovery_interval=0.1)


        @pytest.mark.getnet_terminal(faults=[Fault(FaultKind.DROP, Direction.TO_TERMINAL)])
        def test_the_first_command_is_lost(getnet_connector, getnet_terminal):
            polled = len(getnet_terminal.commands)
            with pytest.raises(DeadlineExceeded):
                getnet_connector.close_batch()
            assert len(getnet_terminal.commands) == polled


        @pytest.mark.getnet_terminal(faults=[NetworkFault(NetworkFaultKind.STATUS, command=100)])
        def test_a_status_in_the_place_of_the_reply(getnet_http, getnet_connector, getnet_terminal):
            assert getnet_connector.sale(1_000, ticket="A1").approved
            assert getnet_terminal.ledger.balances() == {"A1": 1_000}


        @pytest.mark.getnet_terminal(faults=[NetworkFault(NetworkFaultKind.RESET, command=100, at_reply=True)])
        def test_a_connection_that_breaks_before_the_reply(getnet_tcp, getnet_connector, getnet_terminal):
            assert getnet_connector.sale(1_000, ticket="A1").approved
            assert getnet_terminal.ledger.balances() == {"A1": 1_000}


        @pytest.mark.getnet_cloud(faults=[CloudFault(CloudFaultKind.TIMEOUT_AFTER)])
        def test_a_gateway_that_times_out(getnet_cloud, getnet_connector, getnet_terminal):
            assert getnet_connector.sale(1_000, ticket="A1").approved
            assert getnet_terminal.ledger.balances() == {"A1": 1_000}
        """
    ).assert_outcomes(passed=4)


WRONG = {
    """
    @pytest.mark.getnet_terminal([Behaviour()])
    def test(getnet_terminal): pass
    """: "the marker getnet_terminal only takes keyword arguments, such as script=[[]...]",
    """
    @pytest.mark.getnet_terminal(faults=[CloudFault(CloudFaultKind.HTML)])
    def test(getnet_cloud): pass
    """: "the faults of the marker getnet_terminal must be Fault and NetworkFault, not CloudFault(*",
    """
    @pytest.mark.getnet_cloud(faults=[NetworkFault(NetworkFaultKind.RESET)])
    def test(getnet_cloud): pass
    """: "the faults of the marker getnet_cloud must be CloudFault, not NetworkFault(*",
    """
    @pytest.mark.getnet_terminal(faults=[NetworkFault(NetworkFaultKind.RESET)])
    def test(getnet_cloud): pass
    """: "a NetworkFault needs getnet_tcp or getnet_http: getnet_cloud has no network",
    """
    def test(getnet_tcp, getnet_http): pass
    """: "a test can use only one link fixture: remove getnet_tcp or getnet_http; *",
    """
    @pytest.mark.getnet_terminal(scripts=[])
    def test(getnet_terminal): pass
    """: "the marker getnet_terminal has no setting 'scripts': did you mean script?",
}


def test_wrong_use_says_what_is_right(run: Run) -> None:
    code = "\n".join(dedent(text).replace("def test(", f"def test_{place}(") for place, text in enumerate(WRONG))
    result = run(code)
    result.assert_outcomes(errors=len(WRONG))
    for told in WRONG.values():
        result.stdout.fnmatch_lines(f"*{told}")


def test_a_missing_extra_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    result = run(
        """
        def test_http(getnet_http): pass
        def test_cloud(getnet_cloud): pass
        def test_equipment(getnet_equipment): pass
        def test_tcp(getnet_tcp): pass
        """
    )
    result.assert_outcomes(passed=1, errors=3)
    for name in ("http", "cloud", "equipment"):
        result.stdout.fnmatch_lines(f'getnet_{name} needs uvicorn: pip install "getnet-pos[[]simulator]"')


# ------------------------------------------------------------------------------------------------- what a failure shows


def test_a_failed_assertion_shows_the_ledger_and_what_the_register_believes(run: Run) -> None:
    result = run(
        """
        @pytest.fixture
        def getnet_timeouts(getnet_timeouts):
            return replace(getnet_timeouts, recovery=0.5)


        @pytest.mark.getnet_terminal(script=[Behaviour(reply_after=math.inf, record_after=math.inf)])
        def test_a_register_that_charges_again(getnet_connector, getnet_terminal):
            with pytest.raises(OutcomeUnknown):
                getnet_connector.sale(25_000, ticket="A1", timeout=0.3)
            getnet_connector.sale(25_000, ticket="A1-again")
            assert getnet_terminal.ledger.balances() == {"A1": 25_000}


        def test_an_amount(getnet_connector, getnet_terminal):
            getnet_connector.void(getnet_connector.sale(1_000, ticket="A2").operation_id)
            assert getnet_terminal.ledger.balance("A2") == 1_000


        def test_a_card_number_for_a_ticket(getnet_connector, getnet_terminal):
            getnet_connector.sale(1_000, ticket="4111111111111111")
            assert not getnet_terminal.ledger.charged()


        def test_that_passes(getnet_connector, getnet_terminal):
            getnet_connector.sale(1_000, ticket="A3")
            assert getnet_terminal.ledger.balances() == {"A3": 1_000}
        """,
        "--tb=short",
    )
    result.assert_outcomes(passed=1, failed=3)
    result.stdout.fnmatch_lines(
        [
            "E * assert {'A1': 25000,* == {'A1': 25000}",
            "E * {'A1-again': 25000}",
            "*- ledger of the virtual terminal 80005000 -*",
            "1: sale, amount 25000, ticket 'A1'",
            "2: sale, amount 25000, ticket 'A1-again'",
            "commands: Poll, *Sale, LastVoucher*, Sale",
            "*- journal of the register -*",
            "Sale, amount 25000, ticket 'A1': UNKNOWN (the terminal did not reply in time*)",
            "Sale, amount 25000, ticket 'A1-again': APPROVED",
            "E * assert 0 == 1000",
            "E *<Ledger: 1: sale, amount 1000, ticket 'A2'; 2: void of 1, amount 1000, ticket 'A2'>*",
            "*- ledger of the virtual terminal 80005000 -*",
            "2: void of 1, amount 1000, ticket 'A2'",
            "Void: APPROVED",
        ]
    )
    text = result.stdout.str()
    assert "'A3'" not in text
    assert "****1111" in text
    assert "4111111111111111" not in text


def test_a_failure_shows_that_the_journal_cannot_be_read(run: Run) -> None:
    result = run(
        """
        def test_a_program_that_spoils_its_journal(getnet_journal, getnet_terminal):
            getnet_journal.write_text("no journal at all")
            raise RuntimeError("which it notices later")
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*- ledger of the virtual terminal 80005000 -*",
            "no operation",
            "commands: none",
            "*- journal of the register -*",
            "*journal.sqlite3*",
        ]
    )


# ----------------------------------------------------------------------------------------------------------- isolation


def test_each_test_has_a_journal_of_its_own(run: Run, journal_path: Path) -> None:
    """``journal_path`` stands for the user's: it is what the environment of this run names."""
    run(
        """
        @pytest.fixture
        def getnet_timeouts(getnet_timeouts):
            return replace(getnet_timeouts, sale=0.2, sale_total=0.2, recovery=0.2)


        @pytest.mark.parametrize("run", [1, 2])
        @pytest.mark.parametrize("journal", ["file", "memory"])
        @pytest.mark.getnet_terminal(default=Behaviour(reply_after=math.inf, record_after=math.inf))
        def test_the_same_ticket_again(getnet_tcp, getnet_journal, getnet_timeouts, journal, run):
            assert os.environ["GETNET_POS_JOURNAL"] == str(getnet_journal)
            chosen = {} if journal == "file" else {"journal": None}
            with Connector.create_tcp(*getnet_tcp.address, timeouts=getnet_timeouts, **chosen) as pos:
                pos.polling()
                with pytest.raises(OutcomeUnknown):
                    pos.sale(1_000, ticket="A1")
                assert [intent.ticket for intent in pos.intents()] == ["A1"]
            assert getnet_journal.exists() is (journal == "file")
            assert getnet_tcp.terminal.ledger.balances() == {"A1": 1_000}
        """
    ).assert_outcomes(passed=4)
    assert not journal_path.exists()
    assert os.environ["GETNET_POS_JOURNAL"] == str(journal_path)


@needs_pty
def test_all_is_closed_at_the_end_also_after_a_failure(run: Run, tmp_path: Path) -> None:
    before = set(threading.enumerate())
    result = run(
        f"""
        def told(*places):
            with open({str(tmp_path / "places")!r}, "a") as file:
                print(*places, file=file)
            raise RuntimeError("as a register in trouble would")


        def test_serial(getnet_connector, getnet_serial):
            told(getnet_serial.device)


        def test_tcp(getnet_connector, getnet_tcp):
            told(*getnet_tcp.address)


        def test_http(getnet_connector, getnet_http):
            told(*getnet_http.address)


        def test_cloud(getnet_connector, getnet_cloud):
            told("127.0.0.1", getnet_cloud.url.split(":")[2].split("/")[0])


        def test_equipment(getnet_equipment):
            told("127.0.0.1", getnet_equipment.address.split(":")[2])
        """,
        "-rN",
    )
    result.assert_outcomes(failed=5)
    device, *addresses = [line.split() for line in (tmp_path / "places").read_text().splitlines()]
    assert not Path(device[0]).exists()
    assert len(addresses) == 4
    for host, port in addresses:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, int(port)), timeout=2)
    assert set(threading.enumerate()) <= before


# ----------------------------------------------------------------------------------------------------------- lightness


def test_loading_it_imports_nothing_heavy(pytester: pytest.Pytester) -> None:
    """In a process of its own: a suite that uses no fixture of it has the package's name and the plugin."""
    pytester.makepyfile(
        """
        import sys

        def test_nothing_else_is_imported():
            assert {name for name in sys.modules if name.partition(".")[0] == "getnet_pos"} == {
                "getnet_pos", "getnet_pos._version", "getnet_pos.pytest_plugin"
            }
            heavy = {"asyncio", "httpx", "h11", "orjson", "serial", "sqlite3", "ssl", "starlette", "uvicorn"}
            assert not heavy & set(sys.modules)
        """
    )
    result = pytester.runpytest_subprocess("-p", "getnet_pos.pytest_plugin", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=1)
