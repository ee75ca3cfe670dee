"""One set of cloud credentials: its token and HTTP client, shared by every terminal that is driven through it."""

from __future__ import annotations

import logging
import re
import threading
import weakref
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import httpx

from ..codec.strict_json import parse
from ..drivers.connections import AsyncConnections, Connections
from ..drivers.http import AsyncHttpDriver, HttpDriver, QueueTurn
from ..errors import (
    ApiError,
    AuthenticationError,
    ConfigurationError,
    InvalidType,
    InvalidValue,
    MalformedFrame,
    MalformedResponse,
)
from ..flows.cloud import Cloud, CloudTill, cloud_call, cloud_status
from ..flows.http_calls import RetryPolicy, Secret, check_url, clean, exchange, json_body, refuse
from ..flows.http_effects import HttpFlow, Request, Response
from ..messages import CloudResult, KeyPos
from ..messages._checks import check_integer, check_text
from ..oauth import Grant, TokenProvider
from ..profiles import Profile, Timeouts

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["AsyncCloudAccount", "CloudAccount", "CloudApi"]

log = logging.getLogger("getnet_pos.cloud")

_LONGEST_LIST = 64 << 20


# ---------------------------------------------------------------------------------------------------------------- login


class _CloudToken(TokenProvider):
    """Tokens of the cloud's own login (docs/protocol.md, "Cloud-to-Cloud")."""

    def __init__(
        self,
        url: str,
        client_id: str,
        client_secret: str,
        headers: Mapping[str, str],
        timeout: float,
        retry: RetryPolicy,
    ) -> None:
        super().__init__()
        form = {
            "clientId": check_text(client_id, "client_id", 1, 512),
            "clientSecret": check_text(client_secret, "client_secret", 1, 4096),
        }
        content = Secret(urlencode(form)).encode()
        headers = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
        self._request = Request("POST", url, headers, content, timeout=timeout)
        self._secrets = (Secret(form["clientSecret"]), Secret(urlencode({"": form["clientSecret"]})[1:]))
        self._retry = retry

    def __repr__(self) -> str:
        return f"<login at {self._request.url}>"

    def fetch(self) -> HttpFlow[Grant]:
        response = yield from exchange(self._request, self._retry)
        if response.status != 200:
            kind = AuthenticationError if response.status == 400 else None
            refuse(response, "the login to the cloud", self._secrets, kind)
        return self._granted(response)

    def _granted(self, response: Response) -> Grant:
        try:
            body = parse(json_body(response, self._secrets).decode())
        except (MalformedFrame, UnicodeDecodeError):
            raise MalformedResponse("the answer to the login cannot be read", status=200) from None
        if not isinstance(body, dict) or type(body.get("code")) is not int:
            raise MalformedResponse("the answer to the login is not one of the cloud's", status=200)
        if body["code"] != 1:
            said = clean(str(body.get("message") or "no message"), self._secrets)
            text = f"the login to the cloud was refused: {said}; look at client_id and client_secret"
            raise AuthenticationError(text, status=200, code=str(body["code"]), message=said)
        data = body.get("data")
        grant: dict[str, Any] = data if isinstance(data, dict) else {}
        token, life = grant.get("token"), grant.get("expires_in")
        if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]{1,16384}", token):
            raise MalformedResponse("the answer to the login has no usable token", status=200, field="token")
        return Grant(Secret(token), float(life) if isinstance(life, (int, float)) and life > 0 else None)


# ---------------------------------------------------------------------------------------------------------- the account


class CloudApi:
    """What an account is, whatever drives it: addresses, headers, token, and the flows that need no terminal."""

    def __init__(
        self,
        base_url: str,
        client_id: str,
        client_secret: str,
        environment: str,
        profile: Profile,
        timeouts: Timeouts | None,
        api_key: Mapping[str, str] | None,
        retry: RetryPolicy | None,
        max_connections: int,
        *,
        plain: bool,
    ) -> None:
        if not isinstance(profile, Profile):
            raise InvalidType(f"profile must be a Profile, such as Profile.CHILE, not {type(profile).__name__}")
        if profile.cloud is None:
            raise ConfigurationError(f"no cloud is known for the profile {profile.name}: see Profile.CHILE")
        if timeouts is not None and not isinstance(timeouts, Timeouts):
            raise InvalidType(f"timeouts must be a Timeouts, such as Timeouts(sale=60), not {type(timeouts).__name__}")
        self.base_url = check_url(base_url, "base_url", plain=plain)
        self.profile = profile
        self.timeouts = timeouts or profile.timeouts
        retry = retry or RetryPolicy()
        headers: dict[str, str] = {
            "Accept": "application/json",
            "env": _header("environment", environment, 32),
            "country": profile.cloud.country,
            "app": "posintegrado",
            **_keys(api_key),
        }
        login = f"{self.base_url}/auth"
        self.token = _CloudToken(login, client_id, client_secret, headers, self.timeouts.report, retry)
        places = check_integer(max_connections, "max_connections", 1, 100_000)
        self.cloud = Cloud(self.base_url, profile, self.token, headers, QueueTurn(places), retry)
        self._turns: weakref.WeakValueDictionary[KeyPos, QueueTurn] = weakref.WeakValueDictionary()
        self._lock = threading.Lock()

    def till(self, key_pos: KeyPos, webhook: str | None, timeouts: Timeouts | None) -> CloudTill:
        """What the flows of one terminal need. All that drive the same terminal wait for each other."""
        if not isinstance(key_pos, KeyPos):
            raise InvalidType(f"key_pos must be a KeyPos, not {type(key_pos).__name__}")
        with self._lock:
            turn = self._turns.setdefault(key_pos, QueueTurn())
        return CloudTill(
            cloud=self.cloud,
            terminal=f"cloud:{key_pos}",
            key_pos=key_pos,
            timeouts=timeouts or self.timeouts,
            turn=turn,
            webhook=None if webhook is None else check_url(webhook, "webhook", plain=True),
        )

    def status(self, transaction_id: int | str) -> HttpFlow[CloudResult]:
        known = type(transaction_id) in (int, str) and re.fullmatch(r"[A-Za-z0-9_-]{1,64}", str(transaction_id))
        if not known:
            raise InvalidValue("a transaction id is a number, or 1 to 64 letters, digits, '_' and '-'")
        return (yield from cloud_status(self.cloud, transaction_id, self.timeouts.short))

    # ------------------------------------------------------------------------------------------------------- discovery

    def list_terminals(self, branch: int | None) -> HttpFlow[list[KeyPos]]:
        """The shape of the answer is not public, so any that holds triplets is taken.

        The resource is documented beside ``/postxs``; where it is not there, it is looked for below.
        """
        query = "" if branch is None else f"?idsucursal={check_integer(branch, 'branch', 1, 10**10 - 1)}"
        root = self.base_url.rpartition("/")[0]
        for place in (root, self.base_url):
            request = Request(
                "GET",
                f"{place}/posdata{query}",
                self.cloud.headers,
                timeout=self.timeouts.report,
                max_body=_LONGEST_LIST,
            )
            response, token = yield from cloud_call(self.cloud, request)
            if response.status != 404:
                break
        if response.status != 200:
            refuse(response, "the list of terminals", (token,))
        return _listed(response, token)


def _listed(response: Response, token: Secret) -> list[KeyPos]:
    try:
        body = parse(json_body(response, (token,)).decode())
    except (MalformedFrame, UnicodeDecodeError) as error:
        raise MalformedResponse(f"the list of terminals cannot be read: {error}", status=200) from None
    if isinstance(body, dict) and body.get("code") == 0:
        said = clean(str(body.get("message") or "no message"), (token,))
        raise ApiError(f"the list of terminals was refused: {said}", status=200, code="0", message=said)
    found = list(dict.fromkeys(_triplets(body)))
    if not found and _holds_objects(body):
        raise MalformedResponse("none of the listed terminals could be read", status=200)
    return found


_NAMES = {
    "idterminal": "id_terminal",
    "terminalid": "id_terminal",
    "idsucursal": "id_sucursal",
    "sucursalid": "id_sucursal",
    "serialnumber": "serial_number",
    "serial": "serial_number",
}


def _triplets(value: Any) -> Iterator[KeyPos]:
    """Every object that has the three parts, wherever it stands; a part may stand in an object around it."""
    waiting: list[tuple[Any, dict[str, Any]]] = [(value, {})]
    while waiting:
        item, around = waiting.pop()
        if isinstance(item, list):
            waiting.extend((part, around) for part in reversed(item))
        elif isinstance(item, dict):
            named = {_NAMES.get(key.lower().replace("_", "")): part for key, part in item.items()}
            own = {name: part for name, part in named.items() if name and isinstance(part, (str, int))}
            parts = {**around, **own}
            if not own or len(parts) < 3:
                waiting.extend((part, parts) for part in reversed(item.values()) if isinstance(part, (dict, list)))
                continue
            try:
                yield KeyPos(_as_text(parts["id_terminal"]), parts["id_sucursal"], _as_text(parts["serial_number"]))
            except InvalidValue as error:
                log.warning("a listed terminal is passed over: %s", error)


def _as_text(part: Any) -> Any:
    return str(part) if type(part) is int else part


def _holds_objects(body: Any) -> bool:
    """Whether there is a list of objects anywhere in it."""
    waiting = [body]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list) and any(isinstance(part, dict) for part in item):
            return True
        if isinstance(item, (list, dict)):
            waiting.extend(item if isinstance(item, list) else item.values())
    return False


def _header(name: str, value: object, longest: int) -> str:
    text = check_text(value, name, 1, longest)
    if not text.isascii():
        raise InvalidValue(f"{name} must be ASCII: it is sent in a header")
    return text


def _keys(api_key: Mapping[str, str] | None) -> dict[str, str]:
    """The headers of a gateway's key, which no ``repr`` shows."""
    if api_key is None:
        return {}
    if not isinstance(api_key, Mapping):
        raise InvalidType('api_key must be a mapping of headers, such as {"X-API-KEY": "..."}')
    for name in api_key:
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}", name):
            raise InvalidValue(f"{name!r} is not the name of a header")
    return {name: Secret(_header(f"the header {name}", value, 4096)) for name, value in api_key.items()}


# --------------------------------------------------------------------------------------------------------- for callers


class CloudAccount:
    """Credentials of the cloud, blocking. Any number of ``Connector.create_cloud`` may share one.

    Args:
        base_url: the address that ends in ``/api/postxs``, as Getnet gives it.
        client_id: with ``client_secret``, the credentials of the merchant.
        environment: the header ``env``: ``uat`` for tests, ``prod``.
        profile: ``Profile.CHILE`` or ``Profile.ARGENTINA``.
        timeouts: the time limits of the connectors that have none of their own.
        api_key: headers for the gateway, where it asks for a key.
        http_client: a client of your own, for a proxy or a private certificate authority. It is not closed here.
        max_connections: how many commands may be under way at a time; the others wait in the order of their coming.
        retry: how often a question is asked again, and how long the cloud may make it wait.

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
        max_connections: int = 100,
        retry: RetryPolicy | None = None,
    ) -> None:
        self.api = CloudApi(
            base_url, client_id, client_secret, environment, profile, timeouts, api_key, retry, max_connections,
            plain=http_client is not None,
        )  # fmt: skip
        self._own = None
        if http_client is None:
            http_client = self._own = httpx.Client(trust_env=False, transport=Connections())
        self.http = HttpDriver(http_client)

    def __repr__(self) -> str:
        return f"<CloudAccount of {self.api.base_url}>"

    def list_terminals(self, branch: int | None = None) -> list[KeyPos]:
        """The terminals that these credentials may drive: all, or those of one branch.

        Raises:
            ApiError: the cloud refused, or its answer cannot be read.
        """
        return self.http.run(self.api.list_terminals(branch))

    def transaction_status(self, transaction_id: int | str) -> CloudResult:
        """What the cloud knows of a transaction, by its ``idPosTxs``.

        Raises:
            TransactionNotFound: the cloud does not know it, or not yet.
        """
        return self.http.run(self.api.status(transaction_id))

    def close(self) -> None:
        """Send nothing more; close the HTTP client, if it is not the caller's."""
        self.http.close()
        if self._own is not None:
            self._own.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncCloudAccount:
    """Credentials of the cloud, on asyncio, for any number of ``AsyncConnector.create_cloud``: a whole fleet.

    It takes what ``CloudAccount`` takes; see there. ``http_client`` is an ``httpx.AsyncClient``.
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
        retry: RetryPolicy | None = None,
    ) -> None:
        self.api = CloudApi(
            base_url, client_id, client_secret, environment, profile, timeouts, api_key, retry, max_connections,
            plain=http_client is not None,
        )  # fmt: skip
        self._own = None
        if http_client is None:
            http_client = self._own = httpx.AsyncClient(trust_env=False, transport=AsyncConnections())
        self.http = AsyncHttpDriver(http_client)

    def __repr__(self) -> str:
        return f"<AsyncCloudAccount of {self.api.base_url}>"

    async def list_terminals(self, branch: int | None = None) -> list[KeyPos]:
        """The terminals that these credentials may drive, as ``CloudAccount.list_terminals``."""
        return await self.http.run(self.api.list_terminals(branch))

    async def transaction_status(self, transaction_id: int | str) -> CloudResult:
        """What the cloud knows of a transaction, as ``CloudAccount.transaction_status``."""
        return await self.http.run(self.api.status(transaction_id))

    async def close(self) -> None:
        """Send nothing more; close the HTTP client, if it is not the caller's."""
        await self.http.close()
        if self._own is not None:
            await self._own.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
