"""What the blocking and the asyncio account share: the checked settings, the login, and a queue per terminal."""

from __future__ import annotations

import re
import threading
import weakref
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from ..codec.strict_json import parse
from ..errors import (
    AuthenticationError,
    ConfigurationError,
    InvalidType,
    InvalidValue,
    MalformedFrame,
    MalformedResponse,
)
from ..flows.cloud_calls import Cloud, status
from ..flows.effects import Flow, Request, Response
from ..flows.http_calls import RetryPolicy, Secret, check_url, clean, json_body, refuse, repeated
from ..flows.tokens import Grant, TokenProvider
from ..messages import CloudResult, KeyPos
from ..messages.checks import check_integer, check_text
from ..profiles import Profile, Timeouts
from ..turns import QueueTurn
from .settings import CloudSettings

__all__ = ["TerminalQueues", "refuse_trust", "status_of", "way_to_the_cloud"]


def way_to_the_cloud(settings: CloudSettings) -> Cloud:
    """The checked settings that all calls of an account share.

    Raises:
        ConfigurationError: a setting is invalid, or the profile has no cloud.
    """
    profile = settings.profile
    if not isinstance(profile, Profile):
        raise InvalidType(f"profile must be a Profile, such as Profile.CHILE, not {type(profile).__name__}")
    if profile.cloud is None:
        raise ConfigurationError(f"the profile {profile.name} has no cloud: use one that has, such as Profile.CHILE")
    if not isinstance(settings.limits, Timeouts):
        raise InvalidType(
            f"timeouts must be a Timeouts, such as Timeouts(sale=60), not {type(settings.limits).__name__}"
        )
    base_url = check_url(settings.base_url, "base_url", plain=settings.plain)
    headers = {
        "Accept": "application/json",
        "env": _header("environment", settings.environment, 32),
        "country": profile.cloud.country,
        "app": "posintegrado",
        **_keys(settings.api_key),
    }
    return Cloud(
        base_url,
        profile,
        CloudLogin(f"{base_url}/auth", settings, headers),
        headers,
        QueueTurn(check_integer(settings.max_connections, "max_connections", 1, 100_000), "the cloud"),
        settings.retry or RetryPolicy(),
    )


def refuse_trust(settings: CloudSettings) -> None:
    """A caller with a client of its own configures TLS there."""
    if settings.verify is not True or settings.pin_sha256 is not None:
        raise ConfigurationError(
            "verify and pin_sha256 cannot be combined with http_client: set them on the client itself"
        )


def _header(name: str, value: object, longest: int) -> str:
    text = check_text(value, name, 1, longest)
    if not text.isascii():
        raise InvalidValue(f"{name} must be ASCII, because it is sent in a header")
    return text


def _keys(api_key: Mapping[str, str] | None) -> dict[str, str]:
    """The headers with a gateway's key, which no ``repr`` shows."""
    if api_key is None:
        return {}
    if not isinstance(api_key, Mapping):
        raise InvalidType('api_key must be a mapping of headers, such as {"X-API-KEY": "..."}')
    for name in api_key:
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}", name):
            raise InvalidValue(f"api_key: {name!r} is not a valid name of a header")
    return {name: Secret(_header(f"the header {name}", value, 4096)) for name, value in api_key.items()}


class CloudLogin(TokenProvider):
    """Tokens of the cloud's own login (docs/protocol.md, "Cloud-to-Cloud")."""

    def __init__(self, url: str, settings: CloudSettings, headers: Mapping[str, str]) -> None:
        super().__init__()
        secret = check_text(settings.client_secret, "client_secret", 1, 4096)
        form = {"clientId": check_text(settings.client_id, "client_id", 1, 512), "clientSecret": secret}
        headers = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
        content = Secret(urlencode(form)).encode()
        self._request = Request("POST", url, headers, content, timeout=settings.limits.report)
        self._secrets = (Secret(secret), Secret(urlencode({"": secret})[1:]))
        self._retry = settings.retry or RetryPolicy()

    def __repr__(self) -> str:
        return f"<login at {self._request.url}>"

    def fetch(self) -> Flow[Grant]:
        response = yield from repeated(self._request, self._retry)
        if response.status != 200:
            kind = AuthenticationError if response.status == 400 else None
            refuse(response, "the login to the cloud", self._secrets, kind)
        return self._granted(response)

    def _granted(self, response: Response) -> Grant:
        try:
            body = parse(json_body(response, self._secrets).decode())
        except (MalformedFrame, UnicodeDecodeError):
            raise MalformedResponse("the response to the login is not valid JSON: check base_url", status=200) from None
        if not isinstance(body, dict) or type(body.get("code")) is not int:
            raise MalformedResponse(
                "the response to the login is not one of Getnet's cloud: check base_url", status=200
            )
        if body["code"] != 1:
            said = clean(str(body.get("message") or "no message"), self._secrets)
            text = f"the login to the cloud was refused: {said}; check client_id and client_secret"
            raise AuthenticationError(text, status=200, code=str(body["code"]), message=said)
        data = body.get("data")
        grant: dict[str, Any] = data if isinstance(data, dict) else {}
        token, life = grant.get("token"), grant.get("expires_in")
        if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]{1,16384}", token):
            raise MalformedResponse("the response to the login has no usable token", status=200, field="token")
        return Grant(Secret(token), float(life) if isinstance(life, (int, float)) and life > 0 else None)


class TerminalQueues:
    """A queue for each terminal while a connector uses it, so that its connectors run one operation at a time."""

    def __init__(self) -> None:
        self._queues: weakref.WeakValueDictionary[KeyPos, QueueTurn] = weakref.WeakValueDictionary()
        self._guard = threading.Lock()

    def of(self, key_pos: KeyPos) -> QueueTurn:
        if not isinstance(key_pos, KeyPos):
            raise InvalidType(f"key_pos must be a KeyPos, which list_terminals() returns, not {type(key_pos).__name__}")
        with self._guard:
            return self._queues.setdefault(key_pos, QueueTurn(name=f"cloud:{key_pos}"))


def status_of(cloud: Cloud, transaction_id: int | str, timeout: float) -> Flow[CloudResult]:
    """The status of a transaction. ``transaction_id`` comes from a caller, so it is checked."""
    is_valid = type(transaction_id) in (int, str) and re.fullmatch(r"[A-Za-z0-9_-]{1,64}", str(transaction_id))
    if not is_valid:
        raise InvalidValue("transaction_id must be a number, or 1 to 64 letters, digits, '_' and '-'")
    return (yield from status(cloud, transaction_id, timeout))
