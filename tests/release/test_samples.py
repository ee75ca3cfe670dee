"""Every Python sample of the documentation runs, against virtual terminals and APIs in the places that it names."""

from __future__ import annotations

import logging
import os
import re
import shlex
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

import getnet_pos.errors
from getnet_pos import Intent, IntentState, SqliteJournal
from getnet_pos.simulator import HttpServer, SerialServer, TcpServer, VirtualTerminal
from tests.databases import free_port
from tests.sample_api import api
from tests.test_docs import README, is_a_test

__all__ = ["api"]

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
TRANSLATIONS = {
    "index.md": ("es/index.md", "pt/index.md"),
    "guides/without-a-terminal.md": ("es/sin-terminal.md", "pt/sem-terminal.md"),
    "guides/unknown-outcomes.md": ("es/resultados-desconocidos.md", "pt/resultados-desconhecidos.md"),
    "guides/agent.md": ("es/agente.md", "pt/agente.md"),
    "guides/web-pages.md": ("es/paginas-web.md", "pt/paginas-web.md"),
    "guides/bridge.md": ("es/puente.md", "pt/ponte.md"),
    "guides/coming-from-getnet.md": ("es/desde-getnet.md", "pt/da-getnet.md"),
    "guides/closing-the-day.md": ("es/cierre-del-dia.md", "pt/fechamento-do-dia.md"),
    "guides/receipts.md": ("es/recibos.md", "pt/recibos.md"),
    "guides/errors.md": ("es/errores.md", "pt/erros.md"),
    "guides/testing.md": ("es/pruebas.md", "pt/testes.md"),
}
TRANSLATED = [DOCS / page for pages in TRANSLATIONS.values() for page in pages]
ENGLISH = [page for page in PAGES if page not in TRANSLATED]
SAMPLE = re.compile(r"(<!-- not run: [^\n]+ -->\n)?^( *)```python\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
DEVICES = ('"/dev/ttyACM0"', '"/dev/getnet-pos"', '"COM7"')


def samples() -> list[Any]:
    """All but those that are tests, in English: their code is the same in each language."""
    found = []
    for page in ENGLISH:
        for place, (excuse, _, code) in enumerate(SAMPLE.findall(page.read_text(encoding="utf-8")), 1):
            if is_a_test(code):
                continue
            marks = [pytest.mark.skip(reason=excuse[9:-5])] if excuse else []
            found.append(pytest.param(dedent(code), marks=marks, id=f"{page.relative_to(DOCS)}-{place}"))
    return found


@pytest.mark.skipif(os.name != "posix", reason="this system has no pseudo-terminals")
@pytest.mark.parametrize("code", samples())
def test_sample_runs(
    code: str, api: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("getnet_pos.tracing._on", False)
    monkeypatch.setattr(logging.getLogger("getnet_pos"), "handlers", [])
    if "till-7.sqlite3" in code:
        _leave_unknown(tmp_path / "till-7.sqlite3")
    # Addresses of the world become those of servers of this test.
    code = code.replace("https://cloud.example", api).replace("(Environment.HTI", f"({api!r}")
    code = code.replace("(STAGING_TOKEN_URL", f"({api + '/token'!r}")
    if "port=8001" in code:
        code = code.replace("8001", str(free_port()))
    # Nobody opens a page here.
    code = code.replace("wait_for_page(timeout=60)", "wait_for_page(timeout=0.1)")
    serial, tcp, http = VirtualTerminal(), VirtualTerminal(), VirtualTerminal()
    with SerialServer(serial, gap=0) as line, TcpServer(tcp, gap=0) as socket, HttpServer(http, gap=0) as web:
        monkeypatch.setattr("getnet_pos.connector.candidate_ports", lambda: [line.device])
        for device in DEVICES:
            code = code.replace(device, repr(line.device))
        code = code.replace('"192.0.2.10", 4000', f"*{socket.address!r}").replace("http://192.0.2.10:8080", web.url)
        assert not re.search(r"192\.0\.2\.|cloud\.example|/dev/|\"COM", code)
        exec(compile(code, "sample", "exec"), {"__name__": "__main__"})
    charged = sum(len(terminal.ledger.charges()) for terminal in (serial, tcp, http))
    through_a_cloud = "create_cloud" in code
    assert through_a_cloud or charged == (("pos.sale(" in code) and "VirtualTerminal" not in code)
    assert "print(" not in code or "OutcomeUnknown" in code or capsys.readouterr().out


def _leave_unknown(path: Path) -> None:
    journal = SqliteJournal(path)
    intent = Intent(intent_id="0123456789abcdef0123456789abcdef", terminal="usb:COM7", command=100, amount=25_000)
    for state in (IntentState.INTENT, IntentState.SENT, IntentState.UNKNOWN):
        journal.record(replace(intent, state=state))
    journal.close()


def test_few_samples_are_not_run() -> None:
    assert sum(bool(sample.marks) for sample in samples()) <= 1
    texts = [page.read_text(encoding="utf-8") for page in ENGLISH]
    tests = sum(is_a_test(code) for text in texts for _, _, code in SAMPLE.findall(text))
    assert len(samples()) + tests == sum(text.count("```python") for text in texts)


# ------------------------------------------------------------------------------------------------------------ structure


def _navigation() -> list[str]:
    return re.findall(r": ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)


def test_navigation_has_every_page_once() -> None:
    assert sorted(_navigation()) == sorted(path.relative_to(DOCS).as_posix() for path in PAGES)


@pytest.mark.parametrize("page", ["guides/errors.md", "es/errores.md", "pt/erros.md"])
def test_advice_has_every_error(page: str) -> None:
    told = re.findall(r"^\| `(\w+)` \|", (DOCS / page).read_text(encoding="utf-8"), re.MULTILINE)
    errors = {name for name in getnet_pos.errors.__all__ if name not in ("GetnetError", "ProvisionalCommandWarning")}
    assert set(told) == errors
    assert len(told) == len(errors)


def test_every_translated_page_is_of_an_english_one() -> None:
    assert sorted(TRANSLATED) == [page for page in PAGES if page.parent.name in ("es", "pt")]


@pytest.mark.parametrize(("english", "pages"), TRANSLATIONS.items())
def test_a_page_has_the_same_code_in_every_language(english: str, pages: tuple[str, str]) -> None:
    def code(name: str) -> list[str]:
        text = (DOCS / name).read_text(encoding="utf-8")
        blocks = re.findall(r"^ *```\w+\n.*?^ *```$", text, re.MULTILINE | re.DOTALL)
        return [re.sub(r" +(#|//) .*", "", block) for block in blocks]

    for page in pages:
        assert code(page) == code(english), page


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(DOCS).as_posix())
def test_commands_in_the_shell_exist(page: Path) -> None:
    from typer.main import get_command

    from getnet_pos.cli.application import app

    known: Any = get_command(app)
    for block in re.findall(r"^ *```sh\n(.*?)^ *```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        for line in re.findall(r"^ *(?:[A-Z_]+=\w+ )*getnet-pos (.+)", block, re.MULTILINE):
            name, *rest = shlex.split(line)
            if name.startswith("-"):
                assert name in {option for parameter in known.params for option in parameter.opts}
                continue
            # Parsed with all its options, and not run.
            known.commands[name].make_context(name, rest)


def test_documents_ask_for_extras_that_exist() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for text in [README, *(page.read_text(encoding="utf-8") for page in PAGES)]:
        for name in re.findall(r"\.\[(\w+)\]", text):
            assert re.search(rf"^{name} = \[", project, re.MULTILINE)
