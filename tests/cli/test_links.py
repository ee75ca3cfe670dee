"""Which terminal the options, the environment and a file of settings name."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from getnet_pos import Profile
from getnet_pos.cli.links import Link, choose, choose_all, names_terminals, read_config
from getnet_pos.errors import ConfigurationError
from getnet_pos.simulator import TcpServer, VirtualTerminal
from getnet_pos.simulator.cloud import VirtualCloud
from getnet_pos.simulator.http import HttpServer
from tests.doors import Authority, Door, Proxy

Run = Callable[..., Any]

CLIENT = {"GETNET_POS_CLIENT_ID": "register", "GETNET_POS_CLIENT_SECRET": "a-secret-to-keep"}


def test_sale_over_tcp(called: Run) -> None:
    with TcpServer(VirtualTerminal(), gap=0) as server:
        host, port = server.address
        ended = called("sale", "1000", "--tcp", f"{host}:{port}", "--json")
    assert (ended.code, ended.document["amount"]) == (0, 1000)


def test_sale_over_http_that_the_environment_names(called: Run) -> None:
    with HttpServer(VirtualTerminal(), gap=0) as server:
        ended = called("sale", "1000", "--json", env={"GETNET_POS_HTTP": server.url})
    assert (ended.code, ended.document["amount"]) == (0, 1000)


def test_sale_through_the_cloud_that_a_file_names(called: Run, tmp_path: Path) -> None:
    config = tmp_path / "register.toml"
    with VirtualCloud(profile=Profile.CHILE) as cloud:
        config.write_text(f'cloud = "{cloud.url}"\nkey-pos = "{cloud.key_pos}"\nprofile = "cl"\n')
        ended = called("sale", "1000", "--config", str(config), "--json", env=CLIENT)
        assert cloud.terminal.ledger.charged() == 1000
    assert (ended.code, ended.document["approved"]) == (0, True)
    assert "a-secret" not in ended.out + ended.err


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[tuple[Door, VirtualCloud, str]]:
    """A cloud behind the certificate of a private authority."""
    authority = Authority(tmp_path)
    with VirtualCloud(profile=Profile.CHILE) as cloud:
        port = int(cloud.url.partition("127.0.0.1:")[2].partition("/")[0])
        with contextlib.closing(Door(port, authority.good())) as door:
            yield door, cloud, authority.file


def test_a_private_authority_and_a_proxy(called: Run, secured: tuple[Door, VirtualCloud, str]) -> None:
    door, cloud, ca = secured
    url = f"https://127.0.0.1:{door.port}/api/postxs"
    terminal = ("--cloud", url, "--key-pos", str(cloud.key_pos), "--profile", "cl", "--json")
    listing = ("terminals", "--cloud", url, "--profile", "cl", "--json")
    with contextlib.closing(Proxy()) as proxy:
        proxied = ("--proxy", f"http://127.0.0.1:{proxy.port}")
        for command in (("poll", *terminal), listing):
            assert called(*command, "--ca", ca, env=CLIENT).code == 0
            assert not proxy.asked
            assert called(*command, "--ca", ca, *proxied, env=CLIENT).code == 0
            assert {asked.split()[1] for asked in proxy.asked} == {f"127.0.0.1:{door.port}"}
            proxy.asked.clear()
        refused = called(*listing, env=CLIENT)
    assert refused.code == 3
    assert "not from a trusted authority" in refused.err


def test_the_nearest_place_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    config = {"http": "http://terminal", "pin": "aa"}
    assert choose({}, {}) == Link()
    assert choose({}, config) == Link("http", "http://terminal", pin="aa")
    assert choose({"pin": "bb"}, config) == Link("http", "http://terminal", pin="bb")
    assert choose({"http": "http://other"}, config) == Link("http", "http://other")
    monkeypatch.setenv("GETNET_POS_TCP", "terminal:1")
    assert choose({}, config) == Link("tcp", "terminal:1")
    assert choose({"port": "COM3"}, config) == Link("port", "COM3")


@pytest.mark.parametrize(
    "given",
    [
        {"tcp": "a:1", "port": "COM3"}, {"tcp": "a"}, {"tcp": "a:b"}, {"tcp": "a:1", "pin": "00"}, {"key_pos": "A/1/B"},
        {"tcp": "a:1", "ca": "a.pem"}, {"http": "http://a", "proxy": "http://b:1"},
        *({"cloud": "https://cloud", "key_pos": "A/1/B", "proxy": bad} for bad in ("b:1", "http://u:p@b:1", "socks5://b")),
        {"cloud": "https://cloud"}, {"cloud": "https://cloud", "key_pos": "A/1"},
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        choose(given, {})


@pytest.mark.parametrize(
    "text",
    ["client_secret = 'hush'", "client-id = 'hush'", "token = 'hush'", "[cloud]\nx = 1", "colour = 'hush'",
     "tcp = 1", "timeout = 'hush'", "secret = 'hush", "port = 'a'\nusb = 'b'"],
)  # fmt: skip
def test_secrets_and_nonsense_in_a_file_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "register.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        read_config(path)
    assert "hush" not in str(caught.value)


def test_no_credentials(called: Run) -> None:
    empty = dict.fromkeys(CLIENT, "")
    ended = called("poll", "--cloud", "https://localhost/x", "--key-pos", "A/1/B", "--profile", "cl", env=empty)
    assert ended.code == 2
    assert "GETNET_POS_CLIENT_ID" in ended.err


# -------------------------------------------------------------------------------------------------- many, for the agent


def test_terminals_of_a_file_share_what_stands_before_them(tmp_path: Path) -> None:
    path = tmp_path / "shop.toml"
    path.write_text(
        'profile = "ar"\nallow-origins = ["https://shop.example"]\n'
        '[terminals.counter]\ntcp = "terminal:3000"\ntimeout = 60\n[terminals.kiosk]\nprofile = "cl"\n'
    )
    config = read_config(path)
    assert config["allow_origins"] == ["https://shop.example"]
    assert names_terminals({}, config)
    assert not names_terminals({"tcp": "other:1"}, config)
    assert choose_all(config) == {
        "counter": (Link("tcp", "terminal:3000"), {"profile": "ar", "tcp": "terminal:3000", "timeout": 60}),
        "kiosk": (Link(), {"profile": "cl"}),
    }
    assert choose({"tcp": "other:1"}, config) == Link("tcp", "other:1")
    with pytest.raises(ConfigurationError, match="counter, kiosk"):
        choose({}, config)


def meant(path: Path) -> dict[str, Any]:
    config = read_config(path)
    return choose_all(config) if names_terminals({}, config) else config


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("terminals = 1", "tables"),
        ("[terminals]\na = 1", "tables"),
        ("[terminals.'a b']\nusb = 'a'", "letters, digits"),
        ("[terminals.a]\ntoken = 'hush'", "secrets do not belong"),
        ("[terminals.a]\ncolour = 'hush'", r"toml \[terminals.a\] has the unknown setting 'colour'"),
        ("[terminals.a]\nusb = 'a'\ntcp = 'b:1'", "more than one link"),
        ("[terminals.a]\ntcp = 'b:1'\npin = '00'", "cannot be combined with tcp"),
        ("[terminals.a]\ntcp = 'b'", "HOST:PORT"),
        ("usb = 'a'\n[terminals.a]\ntcp = 'b:1'", "outside of the table"),
        ("allow-origins = 'https://shop.example'", "list of text"),
    ],
)
def test_what_a_file_of_many_must_not_say(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "shop.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=said) as caught:
        meant(path)
    assert "hush" not in str(caught.value)
