"""Chooses the terminal and its link: by the options, or else the environment, or else a settings file."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..connector import AsyncConnector
from ..errors import ConfigurationError, InvalidValue
from ..journal import Journal
from ..messages import KeyPos, Wire
from ..observer import Observer
from ..profiles import Profile, Timeouts
from .credentials import CLIENT_ID, CLIENT_SECRET, client_credentials

if TYPE_CHECKING:
    import httpx

__all__ = [
    "CONFIG",
    "Link",
    "check_proxy",
    "choice",
    "choose",
    "choose_all",
    "client_options",
    "names_terminals",
    "read_config",
    "read_key_pos",
]

T = TypeVar("T")

CONFIG = "GETNET_POS_CONFIG"
_KINDS = {"port": (), "tcp": (), "http": ("path", "ca", "pin"), "cloud": ("key_pos", "environment", "ca", "proxy")}
"""The kinds of link, and the settings of each."""
_SETTINGS = ("profile", "wire", "timeout", "recovery")
_NUMBERS = ("timeout", "recovery")
_TERMINALS = "terminals"
"""The table with the terminals for ``getnet-pos serve``: the settings of each, by its name."""
_ORIGINS = ("allow-origins", "allow_origins")
"""The origins of the web pages that may use ``getnet-pos serve``."""
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SECRET = re.compile(r"secret|token|password|passwd|api_?key|client_?id|credential", re.IGNORECASE)


@dataclass(frozen=True)
class Link:
    """The link to a terminal."""

    kind: str = "port"
    where: str | None = None
    path: str | None = None
    ca: str | None = None
    pin: str | None = None
    key_pos: str | None = None
    environment: str | None = None
    proxy: str | None = None

    def check(self) -> None:
        """Refuse invalid settings, before anything is opened."""
        if self.kind == "tcp":
            _host_and_port(self.where or "")
        elif self.kind == "cloud":
            self._key_pos()
            check_proxy(self.proxy)

    def _key_pos(self) -> KeyPos:
        if self.key_pos is None:
            raise ConfigurationError(
                "--cloud needs --key-pos TERMINAL/BRANCH/SERIAL: list them with getnet-pos terminals --cloud BASE_URL"
            )
        return read_key_pos(self.key_pos)

    @contextlib.asynccontextmanager
    async def http_client(self) -> AsyncIterator[httpx.AsyncClient | None]:
        """The client that uses the proxy; ``None`` without a proxy."""
        if self.proxy is None:
            yield None
            return
        import httpx

        async with httpx.AsyncClient(**client_options(self.proxy, self.ca)) as client:
            yield client

    def connector(
        self,
        *,
        wire: Wire,
        profile: Profile,
        journal: Journal | None,
        timeouts: Timeouts | None,
        http_client: httpx.AsyncClient | None,
        observer: Observer | None = None,
    ) -> AsyncConnector:
        if self.kind == "cloud":
            client_id, client_secret = client_credentials()
            return AsyncConnector.create_cloud(
                self.where or "",
                key_pos=self._key_pos(),
                client_id=client_id,
                client_secret=client_secret,
                environment=self.environment or "uat",
                http_client=http_client,
                verify=True if http_client is not None or self.ca is None else self.ca,
                profile=profile,
                journal=journal,
                timeouts=timeouts,
                observer=observer,
            )
        if self.kind == "http":
            return AsyncConnector.create_http(
                self.where or "",
                path=self.path or "/",
                verify=True if self.ca is None else self.ca,
                pin_sha256=self.pin,
                wire=wire,
                profile=profile,
                journal=journal,
                timeouts=timeouts,
                observer=observer,
            )
        if self.kind == "tcp":
            host, port = _host_and_port(self.where or "")
            return AsyncConnector.create_tcp(
                host, port, wire=wire, profile=profile, journal=journal, timeouts=timeouts, observer=observer
            )
        return AsyncConnector.create_usb(
            self.where, wire=wire, profile=profile, journal=journal, timeouts=timeouts, observer=observer
        )


def names_terminals(given: Mapping[str, Any], config: Mapping[str, Any]) -> bool:
    """Whether to use the table ``terminals``, because neither an option nor the environment names a terminal.

    Raises:
        ConfigurationError: the file names another terminal outside of the table.
    """
    if not config.get(_TERMINALS):
        return False
    if any(given.get(kind) is not None or os.environ.get(f"GETNET_POS_{kind.upper()}") for kind in _KINDS):
        return False
    beside = [name for kind, names in _KINDS.items() for name in (kind, *names) if name in config]
    if beside:
        raise ConfigurationError(
            f"the settings file has {beside[0]} outside of the table terminals: move it into a table there"
        )
    return True


def choose_all(config: Mapping[str, Any]) -> dict[str, tuple[Link, dict[str, Any]]]:
    """The terminals in ``config``, each with the shared settings and its own, which take precedence."""
    shared = {name: value for name, value in config.items() if name in _SETTINGS}
    found = {}
    for name, own in config.get(_TERMINALS, {}).items():
        kinds = [kind for kind in _KINDS if own.get(kind) is not None]
        if len(kinds) > 1:
            raise ConfigurationError(f"terminals.{name} has more than one link: {' and '.join(kinds)}; keep one")
        kind = kinds[0] if kinds else "port"
        unfit = [key for names in _KINDS.values() for key in names if key in own and key not in _KINDS[kind]]
        if unfit:
            raise ConfigurationError(
                f"terminals.{name} has {unfit[0]}, which cannot be combined with {kind}: remove it"
            )
        link = Link(kind, own.get(kind), **{key: own.get(key) for key in _KINDS[kind]})
        link.check()
        found[name] = (link, {**shared, **own})
    return found


def choose(given: Mapping[str, Any], config: Mapping[str, Any]) -> Link:
    """The link in ``given``, the options; or else in the environment; or else in ``config``.

    The settings of a link in another place are ignored, because they belong to that link.
    """
    environment = {
        name: os.environ.get(f"GETNET_POS_{name.upper()}") or None
        for name in ("port", "tcp", "http", "cloud", "key_pos", "environment")
    }
    if names_terminals(given, config):
        raise ConfigurationError(
            f"the settings file only has terminals for getnet-pos serve ({', '.join(config[_TERMINALS])}): choose one "
            "here with --usb, --tcp, --http or --cloud"
        )
    extras = [name for names in _KINDS.values() for name in names if given.get(name) is not None]
    chosen = Link()
    for place, layer in (("command line", given), ("environment", environment), ("settings file", config)):
        kinds = [kind for kind in _KINDS if layer.get(kind) is not None]
        if len(kinds) > 1:
            raise ConfigurationError(f"the {place} names more than one terminal: {' and '.join(kinds)}; keep one")
        if kinds:
            [kind] = kinds
            below = config if layer is config else environment
            values = {name: below.get(name) if given.get(name) is None else given[name] for name in _KINDS[kind]}
            chosen = Link(kind, layer[kind], **values)
            break
    for name in extras:
        if name not in _KINDS[chosen.kind]:
            owners = " or ".join(f"--{kind}" for kind, names in _KINDS.items() if name in names)
            raise ConfigurationError(f"--{name.replace('_', '-')} can only be used with {owners}")
    chosen.check()
    return chosen


def read_config(path: Path | None) -> dict[str, Any]:
    """The settings in a TOML file: ``path``, or else the file in ``GETNET_POS_CONFIG``; without either, none.

    Raises:
        ConfigurationError: the file cannot be read, contains a secret, or a setting is invalid.
    """
    if path is None and os.environ.get(CONFIG):
        path = Path(os.environ[CONFIG])
    if path is None:
        return {}
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} is not UTF-8") from None
    toml = _toml()
    try:
        found: dict[str, Any] = toml.loads(text)
    except toml.TOMLDecodeError as error:
        # Only the line number is shown: the rest of the message may quote a secret.
        where = re.search(r"at line \d+", str(error))
        raise ConfigurationError(f"{path} is not valid TOML{f' {where[0]}' if where else ''}") from None
    return _checked(path, found)


def _toml() -> Any:
    try:
        return importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    except ModuleNotFoundError:
        raise ConfigurationError("a settings file needs tomli on Python 3.10: pip install tomli") from None


def _checked(path: Path, found: dict[str, Any]) -> dict[str, Any]:
    settings = _settings(path, {key: value for key, value in found.items() if key not in (_TERMINALS, *_ORIGINS)})
    for key in _ORIGINS:
        if key in found:
            origins = found[key]
            if not isinstance(origins, list) or not all(isinstance(origin, str) for origin in origins):
                raise ConfigurationError(f'{path}: {key} must be a list of text, such as ["https://shop.example"]')
            settings[_ORIGINS[1]] = origins
    named = found.get(_TERMINALS, {})
    if not isinstance(named, dict) or not all(isinstance(own, dict) for own in named.values()):
        raise ConfigurationError(f"{path}: terminals must be tables, such as [terminals.counter]")
    for name in named:
        if not _NAME.fullmatch(name):
            raise ConfigurationError(
                f"{path}: a terminal's name must be 1 to 64 letters, digits, - and _, not {name[:64]!a}"
            )
    if named:
        settings[_TERMINALS] = {name: _settings(path, own, f" [terminals.{name}]") for name, own in named.items()}
    return settings


def _settings(path: Path, found: dict[str, Any], where: str = "") -> dict[str, Any]:
    """The settings of one terminal; ``where`` is their place in the file."""
    place = f"{path}{where}"
    known = list(dict.fromkeys([name for kind, names in _KINDS.items() for name in (kind, *names)] + [*_SETTINGS]))
    settings: dict[str, Any] = {}
    for key, value in found.items():
        name = "port" if key == "usb" else key.replace("-", "_")
        if _SECRET.search(key):
            raise ConfigurationError(
                f"{place} has {key!a}: secrets do not belong in a file; remove it, and set {CLIENT_ID} and "
                f"{CLIENT_SECRET} in the environment or store them in the keyring"
            )
        if name not in known:
            shown = ["usb" if name == "port" else name for name in known]
            meant = difflib.get_close_matches(name, shown, 1)
            hint = f"did you mean {meant[0]}? " if meant else ""
            raise ConfigurationError(f"{place} has the unknown setting {key!a}: {hint}use {', '.join(shown)}")
        wanted = (int, float) if name in _NUMBERS else (str,)
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise ConfigurationError(f"{place}: {key} must be a {'number' if name in _NUMBERS else 'text'}")
        if name in settings:
            raise ConfigurationError(f"{place} has both usb and port, which are the same setting: keep one")
        settings[name] = str(path.parent / Path(str(value)).expanduser()) if name == "ca" else value
    return settings


def choice(of: Mapping[str, T], value: Any, name: str) -> T:
    """The meaning of the value of the setting ``name``."""
    if value not in of:
        raise ConfigurationError(f"{name} must be one of: {', '.join(of)}")
    return of[value]


def _host_and_port(text: str) -> tuple[str, int]:
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:/@\[\]]+)):([0-9]{1,5})", text)
    if found is None:
        raise InvalidValue("--tcp must be HOST:PORT, such as 192.168.1.20:3000 or [fe80::1]:3000")
    return found[1] or found[2], int(found[3])


def check_proxy(proxy: str | None) -> None:
    """Refuse an invalid address of a proxy."""
    if proxy is None:
        return
    if not re.fullmatch(r"https?://[^\s/@?#]+/?", proxy):
        raise InvalidValue(
            "--proxy must be http://HOST:PORT or https://HOST:PORT; for a proxy with a password, write a program that "
            "passes its own http_client to create_cloud"
        )


def client_options(proxy: str, ca: str | None) -> dict[str, Any]:
    """The options of an httpx client that uses a proxy and trusts the authorities in the file ``ca``."""
    from ..transports.tls import tls_context

    verify = True if ca is None else tls_context(ca, None)
    return {"proxy": proxy, "verify": verify, "trust_env": False}


def read_key_pos(text: str) -> KeyPos:
    """A terminal in the cloud from the text ``TERMINAL/BRANCH/SERIAL``."""
    parts = text.split("/")
    if len(parts) != 3 or not re.fullmatch(r"[0-9]{1,20}", parts[1]):
        raise InvalidValue("--key-pos must be TERMINAL/BRANCH/SERIAL, such as 80005000/12983/SNPRUEBA1234")
    return KeyPos(parts[0], int(parts[1]), parts[2])
