"""One set of cloud credentials: its token and HTTP client, shared by every terminal that is driven through it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any
from urllib.parse import urlencode

import httpx

from ..codec._pure import parse
from ..drivers.http import AsyncHttpDriver, HttpDriver
from ..errors import (
    AuthenticationError,
    ConfigurationError,
    InvalidType,
    InvalidValue,
    MalformedFrame,
    MalformedResponse,
)
from ..flows.cloud import CloudTill
from ..flows.http_calls import RetryPolicy, Secret, authorized, check_url, exchange, exchange_unsent, json_body, refuse
from ..flows.http_effects import HttpFlow, Request
from ..messages import KeyPos
from ..messages._checks import check_text
from ..oauth import Grant, TokenProvider
from ..profiles import Profile, Timeouts

__all__ = ["AsyncCloudAccount", "CloudAccount", "CloudApi"]

log = logging.getLogger("getnet_pos.cloud")


class _CloudToken(TokenProvider):
    """Tokens of the cloud's own login (docs/protocol.md, "Cloud-to-Cloud")."""

    def __init__(
        self, url: str, client_id: str, client_secret: str, headers: Mapping[str, str], timeout: float
    ) -> None:
        super().__init__()
        self._url = url
        self._form = {
            "clientId": check_text(client_id, "client_id", 1, 512),
            "clientSecret": check_text(client_secret, "client_secret", 1, 4096),
        }
        self._headers = headers
        self._timeout = timeout

    def fetch(self) -> HttpFlow[Grant]:
        headers = {**self._headers, "Content-Type": "application/x-www-form-urlencoded"}
        request = Request("POST", self._url, headers, urlencode(self._form).encode(), timeout=self._timeout)
        response = yield from exchange_unsent(request, RetryPolicy())
        secrets = (self._form["clientSecret"],)
        if response.status != 200:
            refuse(response, "the login to the cloud", secrets)
        try:
            body = parse(json_body(response, secrets).decode())
        except (MalformedFrame, UnicodeDecodeError):
            raise MalformedResponse("the answer to the login is not JSON", status=response.status) from None
        data = body.get("data") if isinstance(body, dict) else None
        token = data.get("token") if isinstance(data, dict) else None
        if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token or " " in token:
            said = body.get("message") if isinstance(body, dict) else None
            shown = " ".join(str(said or "no message").split())[:200]
            raise AuthenticationError(
                f"the login to the cloud was refused: {shown}; look at client_id and client_secret",
                status=response.status,
                code=str(body.get("code")) if isinstance(body, dict) else None,
                message=shown,
            )
        life = data.get("expires_in") if isinstance(data, dict) else None
        usable = isinstance(life, (int, float)) and not isinstance(life, bool) and life >= 0
        return Grant(Secret(token), float(life) if usable and life is not None else None)


class CloudApi:
    """What an account is, whatever drives it: addresses, headers, token, and the flow that lists its terminals."""

    def __init__(
        self,
        base_url: str,
        client_id: str,
        client_secret: str,
        environment: str,
        profile: Profile,
        timeouts: Timeouts | None,
        api_key: Mapping[str, str] | None,
    ) -> None:
        if not isinstance(profile, Profile) or profile.cloud is None:
            raise ConfigurationError(f"no cloud is known for the profile {profile!r}: use Profile.CHILE or ARGENTINA")
        self.base_url = check_url(base_url, "base_url")
        self.profile = profile
        self.timeouts = timeouts or profile.timeouts
        self.headers: dict[str, str] = {
            "Accept": "application/json",
            "env": check_text(environment, "environment", 1, 32),
            "country": profile.cloud.country,
            "app": "posintegrado",
        }
        for name, value in (api_key or {}).items():
            self.headers[name] = Secret(check_text(value, f"the header {name}", 1, 4096))
        login = f"{self.base_url}/auth"
        self.token = _CloudToken(login, client_id, client_secret, self.headers, self.timeouts.report)

    def till(self, key_pos: KeyPos, webhook: str | None) -> CloudTill:
        """What the flows of one terminal need."""
        if not isinstance(key_pos, KeyPos):
            raise InvalidType(f"key_pos must be a KeyPos, not {type(key_pos).__name__}")
        return CloudTill(
            terminal=f"cloud:{key_pos}",
            base_url=self.base_url,
            key_pos=key_pos,
            profile=self.profile,
            timeouts=self.timeouts,
            bearer=self.token,
            headers={**self.headers, "Content-Type": "application/json"},
            webhook=None if webhook is None else check_url(webhook, "webhook", plain=True),
        )

    def list_terminals(self, branch: int | None) -> HttpFlow[list[KeyPos]]:
        """The shape of the answer is not public, so any that holds triplets is taken."""
        root, _, _ = self.base_url.rpartition("/")
        query = "" if branch is None else f"?idsucursal={_branch(branch)}"
        request = Request(
            "GET", f"{root}/posdata{query}", self.headers, timeout=self.timeouts.report, max_body=64 << 20
        )
        response, token = yield from authorized(request, self.token, lambda one: exchange(one, RetryPolicy()))
        if response.status != 200:
            refuse(response, "the list of terminals", (token,))
        try:
            body = parse(json_body(response, (token,)).decode())
        except (MalformedFrame, UnicodeDecodeError) as error:
            raise MalformedResponse(f"the list of terminals cannot be read: {error}", status=200) from None
        return list(dict.fromkeys(_triplets(body)))


def _branch(branch: int) -> int:
    if isinstance(branch, bool) or not isinstance(branch, int) or not 0 < branch < 10**10:
        raise InvalidValue("branch must be an int of at most 10 digits")
    return branch


_NAMES = {
    "idterminal": "id_terminal",
    "terminalid": "id_terminal",
    "idsucursal": "id_sucursal",
    "sucursalid": "id_sucursal",
    "serialnumber": "serial_number",
    "serial": "serial_number",
}


def _triplets(value: Any) -> Iterator[KeyPos]:
    """Every object that has the three parts, wherever it stands; a branch may stand in an object around it."""
    waiting: list[tuple[Any, Any]] = [(value, None)]
    while waiting:
        item, branch = waiting.pop()
        if isinstance(item, list):
            waiting.extend((part, branch) for part in reversed(item))
        elif isinstance(item, dict):
            parts = {_NAMES[key.lower().replace("_", "")]: part for key, part in item.items()
                     if key.lower().replace("_", "") in _NAMES}  # fmt: skip
            branch = parts.setdefault("id_sucursal", branch)
            if None not in (parts.get("id_terminal"), branch, parts.get("serial_number")):
                try:
                    yield KeyPos(**parts)
                except InvalidValue as error:
                    log.warning("a listed terminal is passed over: %s", error)
            else:
                waiting.extend((part, branch) for part in reversed(item.values()) if isinstance(part, (dict, list)))


class CloudAccount:
    """Credentials of the cloud, blocking. Any number of ``Connector.create_cloud`` may share one.

    ``base_url`` is the address that ends in ``/api/postxs``, as Getnet gives it. ``api_key`` holds extra headers, where
    the gateway asks for a key. ``http_client`` is a client of the caller's own, which is not closed here.

    Raises:
        ConfigurationError: a setting cannot work.
    """

    def __init__(
        self,
        base_url: str,
        *,
        client_id: str,
        client_secret: str,
        environment: str = "uat",
        profile: Profile = Profile.INTEGRATED_POS,
        timeouts: Timeouts | None = None,
        api_key: Mapping[str, str] | None = None,
        http_client: httpx.Client | None = None,
    ) -> None:
        self.api = CloudApi(base_url, client_id, client_secret, environment, profile, timeouts, api_key)
        self.http = HttpDriver(http_client)

    def __repr__(self) -> str:
        return f"<CloudAccount of {self.api.base_url}>"

    def list_terminals(self, branch: int | None = None) -> list[KeyPos]:
        """The terminals that these credentials may drive: all, or those of one branch."""
        return self.http.run(self.api.list_terminals(branch))

    def close(self) -> None:
        """Close the HTTP client, if it is not the caller's."""
        self.http.close()

    def __enter__(self) -> CloudAccount:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncCloudAccount:
    """Credentials of the cloud, on asyncio, for any number of ``AsyncConnector.create_cloud``.

    The client that is made here has at most ``max_connections`` connections; who finds all in use waits in turn.
    """

    def __init__(
        self,
        base_url: str,
        *,
        client_id: str,
        client_secret: str,
        environment: str = "uat",
        profile: Profile = Profile.INTEGRATED_POS,
        timeouts: Timeouts | None = None,
        api_key: Mapping[str, str] | None = None,
        http_client: httpx.AsyncClient | None = None,
        max_connections: int = 500,
    ) -> None:
        self.api = CloudApi(base_url, client_id, client_secret, environment, profile, timeouts, api_key)
        self._own = None
        if http_client is None:
            limits = httpx.Limits(max_connections=max_connections, max_keepalive_connections=max_connections)
            http_client = self._own = httpx.AsyncClient(trust_env=False, limits=limits)
        self.http = AsyncHttpDriver(http_client)

    def __repr__(self) -> str:
        return f"<AsyncCloudAccount of {self.api.base_url}>"

    async def list_terminals(self, branch: int | None = None) -> list[KeyPos]:
        """The terminals that these credentials may drive: all, or those of one branch."""
        return await self.http.run(self.api.list_terminals(branch))

    async def close(self) -> None:
        """Close the HTTP client, if it is not the caller's."""
        await self.http.close()
        if self._own is not None:
            await self._own.aclose()

    async def __aenter__(self) -> AsyncCloudAccount:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
