"""What an installed copy must do, with nothing but the standard library and the package: ``python -m unittest``.

``GETNET_POS_EXPECT`` names the codec that must be the one in use: ``native`` unless it says ``pure``. In a
checkout these tests run as well, on the codec that ``GETNET_POS_BACKEND`` names.
"""

from __future__ import annotations

import importlib.metadata
import os
import pathlib
import pickle
import subprocess
import sys
import sysconfig
import tempfile
import unittest

import getnet_pos
from getnet_pos import Connector, Intent, IntentState, Profile, SaleReply, SqliteJournal, codec
from getnet_pos.codec.terminals import read_terminals
from getnet_pos.messages import Sale
from getnet_pos.simulator import Behaviour, Outcome, SerialServer, TcpServer, VirtualTerminal

EXPECTED = os.environ.get("GETNET_POS_EXPECT") or os.environ.get("GETNET_POS_BACKEND") or "native"
FOLDER = pathlib.Path(getnet_pos.__file__).parent
INSTALLED = FOLDER.parent.name != "src"

POLL = (
    b'{"JsonSerialized":"{\\"Command\\":106,\\"DateTime\\":\\"2024-01-01T00:00:00.000Z\\"}",'
    b'"Sign":"E7A50A196AE560EF953168A47DD2210BDB5BF981782A8A93C72EF4A8D84E1FDA"}'
)
SALE = (
    '{"FunctionCode":100,"ResponseCode":0,"ResponseMessage":"Aprobado","CommerceCode":12983,"TerminalId":"80005000",'
    '"Ticket":"A12","AuthorizationCode":"1234","Amount":25000,"Last4Digits":"0447","OperationId":3,"CardType":"CR"}'
)
LISTING = (
    b'{"merchant_id":"10000","equipments":{"item":[{"payment_terminal_sku":"302890","commercial_mode":"VENDA",'
    b'"activation_datetime":"2010-03-29T13:57:42Z","warranty_available":true}]}}'
)


def journal_folder() -> tempfile.TemporaryDirectory[str]:
    # Windows keeps a file that is still open; the journal of a connector closes when the process ends.
    return tempfile.TemporaryDirectory(ignore_cleanup_errors=True)


class Installation(unittest.TestCase):
    @unittest.skipUnless(INSTALLED, "this is a checkout")
    def test_it_is_the_installed_copy(self) -> None:
        places = {pathlib.Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib")}
        assert FOLDER.parent.resolve() in places

    def test_version_is_that_of_the_distribution(self) -> None:
        assert getnet_pos.__version__ == importlib.metadata.version("getnet-pos")

    @unittest.skipUnless(INSTALLED, "this is a checkout")
    def test_types_are_there_and_sources_are_not(self) -> None:
        assert (FOLDER / "py.typed").is_file()
        kinds = {path.suffix for path in FOLDER.rglob("*") if path.is_file()} - {".pyc"}
        # The page of the screen is of the last three.
        assert kinds <= {".py", ".pyi", ".typed", ".so", ".pyd", ".html", ".css", ".js"}

    @unittest.skipUnless(INSTALLED, "a checkout may have been installed before it had the plugin")
    def test_pytest_finds_the_plugin(self) -> None:
        [entry] = [e for e in importlib.metadata.entry_points(group="pytest11") if e.value.startswith("getnet_pos")]
        assert (entry.name, entry.value) == ("getnet-pos", "getnet_pos.pytest_plugin")

    def test_heavy_packages_are_not_imported(self) -> None:
        code = "import sys, getnet_pos; print(*{'Cython', 'typer', 'starlette', 'uvicorn'} & set(sys.modules))"
        shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        assert shown.strip() == ""


class Codec(unittest.TestCase):
    def test_backend_is_the_expected_one(self) -> None:
        assert codec.BACKEND == EXPECTED

    def test_backends_there_are(self) -> None:
        assert codec.backend("pure").BACKEND == "pure"
        if EXPECTED == "native":
            assert codec.backend("native").BACKEND == "native"

    def test_published_frame(self) -> None:
        text = '{"Command":106,"DateTime":"2024-01-01T00:00:00.000Z"}'
        for name in {EXPECTED, "pure"}:
            assert codec.backend(name).envelope(text) == POLL
            assert codec.backend(name).frame_simplified("103|") == bytes.fromhex("023130337C034D")

    def test_reply_is_read_whole_and_byte_by_byte(self) -> None:
        for name in {EXPECTED, "pure"}:
            backend = codec.backend(name)
            frame = backend.envelope(SALE)
            decoder = backend.Decoder()
            [whole] = decoder.feed(frame)
            [cut] = [message for at in range(len(frame)) for message in decoder.feed(frame[at : at + 1])]
            assert whole == cut
            assert isinstance(whole, SaleReply)
            assert (whole.approved, whole.amount, whole.last4_digits) == (True, 25000, "0447")
            assert pickle.loads(pickle.dumps(whole)) == whole

    def test_damaged_signature_is_refused(self) -> None:
        for name in {EXPECTED, "pure"}:
            [bad] = codec.backend(name).Decoder().feed(POLL.replace(b'"E7', b'"E8'))
            assert type(bad).__name__ == "BadFrame"

    def test_listing_is_read(self) -> None:
        [terminal] = read_terminals(LISTING)
        assert terminal.warranty_applies
        assert terminal.activation_datetime is not None
        assert terminal.activation_datetime.year == 2010

    @unittest.skipUnless(sysconfig.get_config_var("Py_GIL_DISABLED"), "this interpreter has its lock")
    def test_interpreter_stays_without_its_lock(self) -> None:
        code = "import sys; from getnet_pos.codec import _native; print(sys._is_gil_enabled())"
        shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        assert shown.strip() == "False"


class Money(unittest.TestCase):
    def test_float_is_refused(self) -> None:
        with self.assertRaises(ValueError):  # noqa: PT027  (there is no pytest here)
            Sale(1.5)  # type: ignore[arg-type]  # wrong on purpose

    def test_journal_keeps_an_intent(self) -> None:
        with journal_folder() as folder:
            path = pathlib.Path(folder, "journal.sqlite3")
            journal = SqliteJournal(path)
            journal.record(Intent(intent_id="0" * 32, terminal="T1", command=100, amount=1_000))
            journal.close()
            again = SqliteJournal(path)
            assert [intent.state for intent in again.unsettled("T1")] == [IntentState.INTENT]
            again.close()

    @unittest.skipUnless(os.name == "posix", "this system has no pseudo-terminals")
    def test_sale_over_a_serial_line(self) -> None:
        terminal = VirtualTerminal(script=[Behaviour(outcome=Outcome.DECLINE)])
        with (
            journal_folder() as folder,
            SerialServer(terminal) as server,
            Connector.create_usb(server.device, profile=Profile.CHILE, journal=f"{folder}/journal.sqlite3") as pos,
        ):
            pos.polling()
            assert not pos.sale(1_000, ticket="A1").approved
            assert pos.sale(1_000, ticket="A2").approved
        assert terminal.ledger.charged() == 1_000

    def test_sale_over_tcp(self) -> None:
        terminal = VirtualTerminal()
        with (
            journal_folder() as folder,
            TcpServer(terminal) as server,
            Connector.create_tcp(*server.address, journal=f"{folder}/journal.sqlite3") as pos,
        ):
            pos.polling()
            assert pos.sale(1_000, ticket="A1").approved
        assert terminal.ledger.charged() == 1_000


if __name__ == "__main__":
    unittest.main()
