"""Bearer tokens: given as text, by a function, or got from an OAuth2 server and renewed. In memory only."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlencode

from .codec._json import parse
from .drivers.http import QueueTurn
from .errors import (
    AuthenticationError,
    GetnetError,
    InvalidType,
    InvalidValue,
    MalformedFrame,
    MalformedResponse,
    ServerError,
    TransportError,
)
from .flows.http_calls import Bearer, RetryPolicy, Secret, check_seconds, check_url, exchange_unsent, json_body, refuse
from .flows.http_effects import Call, Exclusive, HttpFlow, Now, Request, Response

__all__ = ["STAGING_TOKEN_URL", "ClientCredentials", "Grant", "Token", "TokenProvider", "bearer"]

STAGING_TOKEN_URL = "https://api-homologacao.getnet.com.br/auth/oauth2/token"
"""The documented staging address of the Getnet OAuth2 Token API. The address for production comes from Getnet."""

T = TypeVar("T")

_RENEWED_AT = 0.8
"""The part of its life after which a token is replaced."""
_LONGEST_LIFE = 366 * 86_400.0
_AFTER_FAILURE = 30.0
"""Seconds until the next attempt when a token could not be renewed but can still be used."""

_HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")
_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}")


def _checked_token(value: object, origin: str) -> Secret:
    if not isinstance(value, str):
        raise InvalidType(f"{origin} must be text, not {type(value).__name__}")
    if not _TOKEN.fullmatch(value):
        raise InvalidValue(f"{origin} must be printable ASCII without spaces, and without the word Bearer")
    return Secret(value)


def _checked_text(value: object, name: str) -> Secret:
    if not isinstance(value, str):
        raise InvalidType(f"{name} must be text, not {type(value).__name__}")
    if not value or not value.isprintable():
        raise InvalidValue(f"{name} must not be empty, and must not hold control characters")
    return Secret(value)


def _checked_header(name: str, value: object) -> Secret:
    text = _checked_text(value, f"the header {name!a}")
    if not _HEADER_NAME.fullmatch(name) or not text.isascii() or text != text.strip():
        raise InvalidValue(f"the header {name!a} must be ASCII, with a name that HTTP allows and no space at its ends")
    return text


def _at_once(value: T) -> HttpFlow[T]:
    """A flow that has nothing to ask for."""
    yield from ()
    return value


class _GivenToken:
    """A token that the caller knows."""

    def __init__(self, token: str) -> None:
        self._token = _checked_token(token, "token")

    def token(self) -> HttpFlow[Secret]:
        return _at_once(self._token)

    def renewed(self, refused: Secret) -> HttpFlow[Secret | None]:
        return _at_once(None)


class _CalledToken:
    """A token that a function of the caller knows, asked for each request."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function

    def token(self) -> HttpFlow[Secret]:
        token: Secret = yield Call(self._function, partial(_checked_token, origin="what the token function returns"))
        return token

    def renewed(self, refused: Secret) -> HttpFlow[Secret | None]:
        token = yield from self.token()
        return None if token == refused else token


@dataclass(frozen=True, slots=True)
class Grant:
    """A token as a server gave it, and the seconds it lives; ``None``: not said."""

    token: Secret
    life: float | None


class TokenProvider:
    """A token that is got when it is needed, kept in memory, and replaced at 80 % of its life or when it is refused.

    However many threads and tasks wait for a token, one of them gets it and the others use it, or fail as it failed.
    One provider may serve any number of clients, blocking and async. A subclass says in ``fetch`` how a token is got.
    """

    def __init__(self) -> None:
        self._turn = QueueTurn()
        self._token: Secret | None = None
        self._renew_at: float | None = None
        self._ends_at: float | None = None
        self._attempts = 0
        """How many attempts to get a token have ended."""
        self._failure: GetnetError | None = None
        """Of the last attempt."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def fetch(self) -> HttpFlow[Grant]:
        """A new token, as a flow."""
        raise NotImplementedError

    def forget(self) -> None:
        """Get a new token for the next request."""
        self._token = None

    def token(self) -> HttpFlow[Secret]:
        """A token to use now."""
        now = yield Now()
        if self._token is not None and self._fresh(now):
            return self._token
        token: Secret = yield Exclusive(self._turn, self._current(self._attempts))
        return token

    def renewed(self, refused: Secret) -> HttpFlow[Secret | None]:
        """Another token in place of one that was refused."""
        token: Secret = yield Exclusive(self._turn, self._replaced(refused, self._attempts))
        return token

    def _fresh(self, now: float) -> bool:
        return self._renew_at is None or now < self._renew_at

    def _current(self, attempts: int) -> HttpFlow[Secret]:
        now = yield Now()
        known = self._token
        if known is not None and self._fresh(now):
            return known
        try:
            return (yield from self._fetched(attempts))
        except (TransportError, ServerError):
            now = yield Now()
            if known is None or self._ends_at is None or now >= self._ends_at:
                raise
            self._renew_at = now + _AFTER_FAILURE
            return known

    def _replaced(self, refused: Secret, attempts: int) -> HttpFlow[Secret]:
        if self._token is not None and self._token != refused:
            return self._token
        self._token = None
        return (yield from self._fetched(attempts))

    def _fetched(self, attempts: int) -> HttpFlow[Secret]:
        """A new token; ``attempts`` had ended when it was asked for."""
        if self._attempts != attempts and self._failure is not None:
            raise copy(self._failure)
        asked_at = yield Now()
        try:
            grant = yield from self.fetch()
        except GetnetError as error:
            self._attempts += 1
            self._failure = copy(error)
            raise
        self._attempts += 1
        self._failure = None
        life = None if grant.life is None else min(grant.life, _LONGEST_LIFE)
        self._renew_at = None if life is None else asked_at + _RENEWED_AT * life
        self._ends_at = None if life is None else asked_at + life
        self._token = grant.token
        return grant.token


class ClientCredentials(TokenProvider):
    """Tokens of the Getnet OAuth2 Token API for a client id and its secret (docs/equipment.md, "Tokens").

    ``token_url`` is the whole address, such as ``STAGING_TOKEN_URL``. ``scope`` and ``headers`` are for what Getnet may
    ask of a client when it is registered. ``timeout`` is in seconds. The token request is repeated only where it could
    not be sent.
    """

    def __init__(
        self,
        token_url: str,
        client_id: str,
        client_secret: str,
        *,
        scope: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 30.0,
        retry: RetryPolicy | None = None,
    ) -> None:
        super().__init__()
        self._url = check_url(token_url, "token_url")
        self._form = {"grant_type": "client_credentials"}
        self._form["client_id"] = _checked_text(client_id, "client_id")
        self._form["client_secret"] = _checked_text(client_secret, "client_secret")
        if scope is not None:
            self._form["scope"] = _checked_text(scope, "scope")
        self._headers = {name: _checked_header(name, value) for name, value in (headers or {}).items()}
        self._timeout = check_seconds(timeout, "timeout")
        self._retry = retry or RetryPolicy()

    def __repr__(self) -> str:
        return f"<ClientCredentials of {self._url}>"

    def fetch(self) -> HttpFlow[Grant]:
        headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded", **self._headers}
        request = Request("POST", self._url, headers, Secret(urlencode(self._form)).encode(), timeout=self._timeout)
        response = yield from exchange_unsent(request, self._retry)
        secrets = (self._form["client_secret"],)
        if response.status != 200:
            kind = AuthenticationError if response.status == 400 else None
            refuse(response, "the request for a token", secrets, kind)
        return _granted(response, secrets)


def _granted(response: Response, secrets: tuple[str, ...]) -> Grant:
    try:
        body = parse(json_body(response, secrets).decode())
    except (MalformedFrame, UnicodeDecodeError):
        raise MalformedResponse("the answer to the request for a token is not JSON", status=response.status) from None
    if type(body) is not dict:
        raise MalformedResponse("the answer to the request for a token is not an object", status=response.status)
    kind = body.get("token_type")
    if kind is not None and str(kind).lower() != "bearer":
        raise MalformedResponse("the token is not a bearer token", status=response.status, field="token_type")
    try:
        token = _checked_token(body.get("access_token"), "access_token")
    except InvalidValue as error:
        reason = str(error)
    else:
        return Grant(token, _life(body.get("expires_in")))
    raise MalformedResponse(f"the answer has no usable token: {reason}", status=response.status, field="access_token")


def _life(value: Any) -> float | None:
    if type(value) is str and value.isascii() and value.isdigit() and len(value) < 12:
        return float(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0:
        return float(value)
    return None


Token = str | Callable[[], str] | Callable[[], Awaitable[str]] | TokenProvider
"""What a client takes as its token. An async function needs the async client."""


def bearer(token: Token) -> Bearer:
    """The flow side of what a caller gave as a token."""
    if isinstance(token, TokenProvider):
        return token
    if isinstance(token, str):
        return _GivenToken(token)
    if callable(token):
        return _CalledToken(token)
    raise InvalidType(f"token must be text, a function or a TokenProvider, not {type(token).__name__}")
