"""The documents say what is so: their code runs, their links lead somewhere, their tables are those of the code."""

from __future__ import annotations

import inspect
import json
import os
import re
import shlex
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from getnet_pos import AsyncConnector, Connector, IntentState, Profile, ReportKind, SqliteJournal, Timeouts, codec
from getnet_pos.messages import CATALOGUE, CommandMessage, Sale, SetNormalMode
from getnet_pos.messages.declaring import sent_fields
from getnet_pos.messages.fields import WireField, wire_fields
from getnet_pos.simulator import Behaviour, SerialServer, TcpServer, VirtualTerminal
from tests.sample_api import api

__all__ = ["api"]

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
DEVICE = '"/dev/ttyACM0"'

needs_pty = pytest.mark.skipif(os.name != "posix", reason="this system has no pseudo-terminals")


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def is_a_test(code: str) -> bool:
    """Whether pytest is to run it (tests/plugin/test_guides.py)."""
    return "def test_" in code


def section(text: str, title: str) -> str:
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#+ |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"there is no section {title!r}"
    return found[1]


def rows(text: str) -> list[list[str]]:
    """The cells of all table rows but the headers."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    ruled = [line.startswith("|---") for line in [*lines, ""]]
    kept = [line for line, is_rule, is_head in zip(lines, ruled, ruled[1:], strict=False) if not (is_rule or is_head)]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in kept]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


# --------------------------------------------------------------------------------------------------- code of the README


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the journal is while a block runs."""
    path = tmp_path / "journal.sqlite3"
    monkeypatch.setenv("GETNET_POS_JOURNAL", str(path))
    return path


def run(code: str) -> None:
    exec(compile(code, "README.md", "exec"), {"__name__": "__main__"})


@needs_pty
@pytest.mark.usefixtures("journal")
@pytest.mark.parametrize(
    "code", [code for code in blocks(README, "python") if not is_a_test(code)], ids=lambda code: code.split("\n")[0]
)
def test_python_of_the_readme_runs(code: str, api: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = code.replace("Credentials(STAGING_TOKEN_URL", f"Credentials({api + '/token'!r}")
    code = code.replace("(Environment.HTI", f"({api!r}")
    terminal = VirtualTerminal()
    with SerialServer(terminal, gap=0) as server:
        run(code.replace(DEVICE, repr(server.device)))
    assert DEVICE not in code or len(terminal.ledger.charges()) == 1
    assert not ("print(" in code and "OutcomeUnknown" not in code) or capsys.readouterr().out


@needs_pty
def test_first_sale_shows_progress_and_the_authorization_code(
    journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = VirtualTerminal()
    with SerialServer(terminal, gap=0) as server:
        run(blocks(README, "python")[0].replace(DEVICE, repr(server.device)))
    shown = capsys.readouterr().out
    assert "CARD_READING" in shown
    assert f"approved {terminal.ledger.charges('A1234')[0].authorization_code}" in shown
    kept = SqliteJournal(journal)
    assert [intent.state for intent in kept.intents(settled=True)] == [IntentState.APPROVED]
    kept.close()


@needs_pty
def test_unknown_outcome_is_told_kept_and_resolved(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    [code] = [code for code in blocks(README, "python") if "OutcomeUnknown" in code]
    code = code.replace("from getnet_pos import ", "from getnet_pos import Timeouts, ")
    # The terminal charges, answers with an error of its own, and does not record the sale in time.
    terminal = VirtualTerminal(script=[Behaviour(change={"FunctionCode": 0}, record_after=60)])
    with SerialServer(terminal, gap=0) as server:
        limits = "timeouts=Timeouts(recovery=0.3, recovery_interval=0.1)"
        run(code.replace(DEVICE, f"{server.device!r}, {limits}"))
    kept = SqliteJournal(journal)
    [intent] = kept.intents()
    kept.close()
    assert intent.state is IntentState.UNKNOWN
    assert f"resolve {intent.intent_id}" in capsys.readouterr().out

    from getnet_pos.cli import main

    [line] = re.findall(r"^getnet-pos (resolve INTENT .*)$", README, re.MULTILINE)
    assert main(["intents", "--json"]) == 0
    assert intent.intent_id in capsys.readouterr().out
    assert main([word.replace("INTENT", intent.intent_id) for word in shlex.split(line)]) == 0
    kept = SqliteJournal(journal)
    assert [intent.state for intent in kept.intents(settled=True)] == [IntentState.RESOLVED_PAID]
    kept.close()


# ------------------------------------------------------------------------------------------------- tables of the README


@pytest.mark.parametrize("connector", [Connector, AsyncConnector])
def test_operations_of_the_readme_are_those_of_the_connectors(connector: type) -> None:
    table = {}
    for cells in rows(section(README, "Operations")):
        name, _, parameters = names(cells[0])[0].rstrip(")").partition("(")
        table[name] = [parameter for parameter in parameters.split(", ") if parameter]
    methods = {name: value for name, value in vars(connector).items() if name[0] != "_" and inspect.isfunction(value)}
    assert sorted(table) == sorted(methods)
    for name, method in methods.items():
        given = list(inspect.signature(method).parameters.values())[1:]
        assert table[name] == [one.name for one in given if one.kind is one.POSITIONAL_OR_KEYWORD], name


def test_codes_and_replies_of_the_readme_are_those_of_the_messages() -> None:
    single = [cells for cells in rows(section(README, "Operations")) if re.fullmatch(r"\d+( \*)?", cells[1])]
    wanted = {
        int(cells[1].split()[0]): names(cells[3])[-1]
        for cells in single
        if names(cells[0])[0].partition("(")[0] not in ("recover", "reconcile", "cancel_sale", "last_voucher")
    }
    assert wanted == {code: CATALOGUE.reply_types[code].__name__ for code in wanted}
    assert {"100", "102", "108", "130", "131", "132"} <= {cells[1].split()[0] for cells in single}


def test_exit_codes_of_the_readme_are_those_of_the_command() -> None:
    from getnet_pos.cli.ends import ExitCode

    codes = [int(cells[0]) for cells in rows(section(README, "The command line")) if cells[0].isdecimal()]
    assert codes == sorted(ExitCode)


def test_commands_of_the_readme_are_those_of_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    from getnet_pos.cli import main

    table = [cells for cells in rows(section(README, "The command line")) if "getnet-pos" in cells[0]]
    listed = [name.removeprefix("getnet-pos ") for cells in table for name in names(cells[0])]
    for line in listed:
        assert main([*line.split(), "--help"]) == 0, line
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out.rpartition("Usage: getnet-pos [OPTIONS]")[2]
    assert {line.split()[0] for line in listed} == set(re.findall(r"^\W* ([a-z][a-z-]*)  ", shown, re.MULTILINE))
    for line in re.findall(r"^.*getnet-pos ([a-z].*)$", "\n".join(blocks(README, "sh")), re.MULTILINE):
        assert any(f"{line} ".startswith(f"{name} ") for name in listed), line


def test_extras_of_the_readme_exist() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for name in re.findall(r"\.\[(\w+)\]", README):
        assert re.search(rf"^{name} = \[", project, re.MULTILINE)


def test_folders_of_the_readme_exist() -> None:
    for cells in rows(section(README, "Where things are")):
        for name in names(cells[0]):
            assert (ROOT / name).exists() or (ROOT / "src/getnet_pos" / name).exists(), name


# ---------------------------------------------------------------------------------------------------------------- words

REPLACED = re.compile(
    r"\b(is to be had|money commands?|told again|sets? aside|(a|any|the) doubt|none where|lets? go of|asks? after"
    r"|keeps? books|when it does not say|stands? in for)\b"
)
"""Turns of phrase that the glossary has words for."""


@pytest.mark.parametrize("document", [*PAGES, *sorted((ROOT / "docs/guides").glob("*.md"))], ids=lambda path: path.name)
def test_pages_use_the_words_of_the_glossary(document: Path) -> None:
    found = REPLACED.search(" ".join(document.read_text(encoding="utf-8").split()))
    assert found is None, f"{found[0]!r}: see docs/glossary.md"


def test_each_word_of_the_glossary_has_one_meaning() -> None:
    words = [word for cells in rows(page("glossary.md")) for word in cells[0].split(", ")]
    assert len(words) == len(set(words))


# ------------------------------------------------------------------------------------------------------ the wire's page


def test_vectors_of_the_envelope() -> None:
    _, *vectors = "".join(blocks(section(page("protocol.md"), "Envelope"), "json")).splitlines()
    assert len(vectors) == 2
    for vector in vectors:
        document = json.loads(vector)
        assert codec.signature(document["JsonSerialized"]) == document["Sign"]
        [message] = codec.Decoder().feed(vector.encode())
        assert isinstance(message, CommandMessage)
        assert message.code in (100, 106)
        assert codec.envelope(document["JsonSerialized"]) == vector.encode()


def test_vectors_of_the_simplified_frames() -> None:
    vectors = [cells for cells in rows(section(page("protocol.md"), "Simplified frames")) if cells[1].startswith("`02")]
    assert len(vectors) == 3
    for text, frame in vectors:
        assert codec.frame_simplified(names(text)[0].replace("\\|", "|")) == bytes.fromhex(names(frame)[0])


def test_commands_of_the_page_are_those_of_the_messages() -> None:
    table = {
        int(cells[0]): (names(cells[1])[0], names(cells[2]), cells[3] == "yes")
        for cells in rows(section(page("protocol.md"), "Commands"))
    }
    assert table == {
        code: (kind.__name__, [item.wire for item in sent_fields(kind)], kind.moves_money)
        for code, kind in CATALOGUE.kinds.items()
    }


def test_replies_of_the_page_have_every_field() -> None:
    text = section(page("protocol.md"), "Replies")
    told = set(names(text))
    told |= {f"{kind}{name}" for name in told for kind in ("Count", "Total")}

    def is_told(item: WireField) -> bool:
        assert item.row is None or all(is_told(part) for part in wire_fields(item.row))
        return bool(told.intersection(item.spellings))

    for kind in CATALOGUE.reply_types.values():
        assert [item.name for item in wire_fields(kind) if not is_told(item)] == [], kind.__name__


def test_timers_of_the_page_are_the_defaults() -> None:
    table = {names(cells[0])[0]: float(cells[1]) for cells in rows(section(page("protocol.md"), "Timers"))}
    assert table == {item.name: getattr(Timeouts(), item.name) for item in fields(Timeouts)}


def test_endpoints_of_the_page_are_those_of_the_profiles() -> None:
    table = {int(cells[0]): cells[1:] for cells in rows(section(page("protocol.md"), "Cloud-to-Cloud"))}
    for place, profile in enumerate((Profile.CHILE, Profile.ARGENTINA)):
        assert profile.cloud is not None
        told = {code: names(cells[place])[0] for code, cells in table.items() if cells[place]}
        assert told == {code: endpoint.path for code, endpoint in profile.cloud.endpoints.items()}


# ----------------------------------------------------------------------------------- coming from Getnet's own libraries

COMING = page("guides/coming-from-getnet.md")
# For the calls of the page, by parameter.
VALUES: dict[str, Any] = {"amount": 1_000, "operation_id": 1, "authorization_code": "123456", "sale_type": 0}


def calls(cell: str) -> list[tuple[str, list[str]]]:
    """(name, parameters) of each call in a cell."""
    return [
        (name, [one for one in given.split(", ") if one])
        for name, given in (re.findall(r"^([\w.]+)\((.*)\)$", call)[0] for call in names(cell))
    ]


def parameters(method: Any) -> dict[str, inspect.Parameter]:
    return {name: one for name, one in inspect.signature(method).parameters.items() if name != "self"}


@pytest.mark.parametrize("connector", [Connector, AsyncConnector])
def test_calls_for_the_integrated_pos_library_exist(connector: type) -> None:
    table = rows(section(COMING, "The Integrated POS library"))
    assert len(table) == 9
    for cells in table:
        for name, given in calls(cells[1]):
            taken = parameters(getattr(connector, name.removeprefix("Connector.")))
            places = [one.name for one in taken.values() if one.kind is one.POSITIONAL_OR_KEYWORD]
            assert places[: len(given)] == given, name
            assert {one.name for one in taken.values() if one.default is one.empty} & set(places) <= set(given), name


def test_calls_for_the_other_libraries_send_their_command() -> None:
    table = rows(section(COMING, "Node, Java and the browser library"))
    commands = {int(cells[1]): cells for cells in table if cells[1].isdecimal()}
    terminal = VirtualTerminal()
    with TcpServer(terminal, gap=0) as server, Connector.create_tcp(*server.address, journal=None) as pos:
        pos.polling()
        # A terminal that has left integrated mode answers nothing else.
        for code, cells in sorted(commands.items(), key=lambda item: item[0] == SetNormalMode.code):
            [(name, given)] = calls(cells[2])
            kinds = [ReportKind[one.removeprefix("ReportKind.")] for one in given if "." in one]
            getattr(pos, name)(*kinds, *(VALUES[one] for one in given if "." not in one))
            assert code in [command.code for command in terminal.commands], name
            terminal.commands.clear()
    theirs = {
        int(cells[0]): cells[4].partition(" (")[0].strip("*")
        for cells in rows(section(page("protocol.md"), "Commands"))
    }
    assert {code: cells[0] for code, cells in commands.items()} == {code: name for code, name in theirs.items() if name}


def test_fields_of_a_sale_have_their_arguments() -> None:
    table = [cells for cells in rows(section(COMING, "Node, Java and the browser library")) if cells[0].startswith("`")]
    told = {names(cells[0])[0]: names(cells[1])[0] for cells in table}
    assert set(told.values()) <= set(parameters(Connector.sale))
    fields_of_a_sale = {item.wire: item.name for item in sent_fields(Sale)}
    assert told == fields_of_a_sale | {"SendMessage": "on_progress"}


@pytest.mark.parametrize("translation", ["es/desde-getnet.md", "pt/da-getnet.md"])
def test_translations_have_the_same_names(translation: str) -> None:
    def named(text: str) -> list[list[str]]:
        return [[cells[0], *(name for cell in cells[1:3] for name in names(cell))] for cells in rows(text)]

    assert named(page(translation)) == named(COMING)


def test_addresses_for_pages_are_those_of_the_agent() -> None:
    from getnet_pos.agent.interface import OPERATIONS

    known = {f"{one.method} {one.path}" for one in OPERATIONS}
    table = rows(section(COMING, "Pages written for the browser library"))
    assert table
    assert {names(cells[1])[0] for cells in table} <= known


# ----------------------------------------------------------------------------------------------------- links, citations


@pytest.mark.parametrize("document", PAGES, ids=lambda path: path.name)
def test_links_resolve(document: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", document.read_text(encoding="utf-8")):
        if not target.startswith(("https://", "#")):
            assert (document.parent / target.partition("#")[0]).is_file(), target


@pytest.mark.parametrize("document", sorted((ROOT / "docs").rglob("*.md")), ids=lambda path: path.name)
def test_tests_that_are_named_exist(document: Path) -> None:
    for name in re.findall(r"\btests/[\w/]+\.py", document.read_text(encoding="utf-8")):
        assert (ROOT / name).is_file(), name


def citations() -> list[tuple[str, str]]:
    """(page, title) of each page that the code cites; the title is empty where the whole page is meant."""
    found = set()
    for source in [*(ROOT / "src").rglob("*.py"), *(ROOT / "_native").glob("*.[pxhc]*")]:
        text = re.sub(r"\s*\n[\s#*/]*", " ", source.read_text(encoding="utf-8"))
        found.update(re.findall(r'docs/(\w+\.md)(?:, "([^"]+)")?', text))
    return sorted(found)


@pytest.mark.parametrize(("name", "title"), citations())
def test_citations_in_the_code_resolve(name: str, title: str) -> None:
    assert not title or section(page(name), title).strip()
    assert (ROOT / "docs" / name).is_file()


@pytest.mark.parametrize("document", PAGES, ids=lambda path: path.name)
def test_no_path_of_anybodys_machine(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    absolute = re.findall(r"(?:^|[\s\"'`(=:])/([A-Za-z]\w*)/", text, re.MULTILINE)
    assert set(absolute) <= {"dev"}
    assert not re.search(r"\b[A-Z]:\\", text)
