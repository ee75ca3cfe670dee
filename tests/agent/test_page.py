"""The page: what is served of it, that nothing is from elsewhere, and that it has its words in every language."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import httpx
from starlette.applications import Starlette

import getnet_pos.agent
from getnet_pos.agent.guard import Guard
from getnet_pos.agent.page import PAGE
from getnet_pos.messages import IntentState, ProgressCode
from getnet_pos.simulator.asgi import ThreadedServer

LANGUAGES = ["es", "pt", "en"]
HTML, SCRIPT, STYLE = (
    (files(getnet_pos.agent) / f"page.{suffix}").read_text(encoding="utf-8") for suffix in ("html", "js", "css")
)


def words() -> dict[str, set[str]]:
    """The names of the words of each language."""
    tables = re.findall(r"^  (\w\w): \{\n(.*?)^  \},", SCRIPT, re.MULTILINE | re.DOTALL)
    return {name: set(re.findall(r'(?:^\s*|[{,]\s*)"?([\w-]+)"?: "', text, re.MULTILINE)) for name, text in tables}


def test_it_is_served_with_what_it_names_and_nothing_is_from_elsewhere() -> None:
    server = ThreadedServer(Guard(Starlette(routes=PAGE), token="x" * 20))
    with httpx.Client(base_url=server.start(), trust_env=False) as client:
        page = client.get("/")
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        named = re.findall(r'<(?:script|link)[^>]* (?:src|href)="([^"]+)"', page.text)
        assert named == ["page.css", "page.js"]
        assert [client.get(f"/{name}").status_code for name in named] == [200, 200]
        assert client.post("/").status_code == 401
    server.stop()
    assert not re.search(r"https?://|@import|url\(|style=|onclick|innerHTML|eval\(", HTML + SCRIPT + STYLE)


def test_its_files_are_in_the_package() -> None:
    folder = Path(getnet_pos.agent.__file__).parent
    assert {path.name for path in folder.glob("page.*") if path.suffix != ".py"} == {"page.html", "page.css", "page.js"}


def test_every_word_is_in_every_language() -> None:
    of = words()
    assert list(of) == LANGUAGES
    assert of["es"] == of["pt"] == of["en"]
    used = set(re.findall(r'data-text="([^"]+)"', HTML)) | set(re.findall(r'word\("([^"]+)"\)', SCRIPT))
    kinds = set(re.findall(r'\d+: "([\w-]+)"', SCRIPT.partition("const KINDS")[2].partition("};")[0]))
    states = dict(re.findall(r'([A-Z_]+): "([\w-]+)"', SCRIPT.partition("const STATES")[2].partition("};")[0]))
    assert used | kinds | set(states.values()) <= of["es"]
    assert set(states) == {state.value for state in IntentState}
    assert {str(int(code)) for code in ProgressCode} <= of["es"]
