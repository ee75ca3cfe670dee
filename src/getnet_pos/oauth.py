"""The tokens that a client accepts, among them those of the Getnet OAuth2 Token API. ``flows.tokens`` renews them."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from .codec.strict_json import parse
from .errors import AuthenticationError, InvalidType, InvalidValue, MalformedFrame, MalformedResponse
from .flows.effects import Flow, Request, Response
from .flows.http_calls import (
    Bearer,
    RetryPolicy,
    Secret,
    check_seconds,
    check_url,
    json_body,
    never_sent,
    refuse,
    repeated,
)
from .flows.tokens import CalledToken, GivenToken, Grant, TokenProvider, checked_token

__all__ = ["STAGING_TOKEN_URL", "ClientCredentials", "Grant", "Token", "TokenProvider", "bearer"]

STAGING_TOKEN_URL = "https://api-homologacao.getnet.com.br/auth/oauth2/token"
"""The documented staging address of the Getnet OAuth2 Token API. Getnet gives you the address for production."""

_HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")


def _checked_text(value: object, name: str) -> Secret:
    if not isinstance(value, str):
        raise InvalidType(f"{name} must be text, not {type(value).__name__}")
    if not value or not value.isprintable():
        raise InvalidValue(f"{name} must not be empty, and must not contain control characters")
    return Secret(value)


def _checked_header(name: str, value: object) -> Secret:
    text = _checked_text(value, f"the header {name!a}")
    if not _HEADER_NAME.fullmatch(name) or not text.isascii() or text != text.strip():
        raise InvalidValue(
            f"the header {name!a} must be ASCII, with a valid name and no space at either end of its value"
        )
    return text


class ClientCredentials(TokenProvider):
    """Tokens of the Getnet OAuth2 Token API for a client id and its secret (docs/equipment.md, "Tokens").

    ``token_url`` is the complete address, such as ``STAGING_TOKEN_URL``. Set ``scope`` and ``headers`` if Getnet
    requires them when it registers your client. ``timeout`` is in seconds. The token request is only repeated if it
    could not be sent.

    Examples:
        >>> from getnet_pos.oauth import STAGING_TOKEN_URL
        >>> token = ClientCredentials(STAGING_TOKEN_URL, "my-client", "my-secret")
        >>> token
        <ClientCredentials of https://api-homologacao.getnet.com.br/auth/oauth2/token>
        >>> client = EquipmentClient("https://api-homologacao.getnet.com.br/sap/equipment/v1", token=token)
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

    def fetch(self) -> Flow[Grant]:
        headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded", **self._headers}
        request = Request("POST", self._url, headers, Secret(urlencode(self._form)).encode(), timeout=self._timeout)
        response = yield from repeated(request, self._retry, never_sent)
        secrets = (self._form["client_secret"],)
        if response.status != 200:
            kind = AuthenticationError if response.status == 400 else None
            refuse(response, "the token request", secrets, kind)
        return _granted(response, secrets)


def _granted(response: Response, secrets: tuple[str, ...]) -> Grant:
    try:
        body = parse(json_body(response, secrets).decode())
    except (MalformedFrame, UnicodeDecodeError):
        raise MalformedResponse(
            "the response to the token request is not JSON: check token_url", status=response.status
        ) from None
    if type(body) is not dict:
        raise MalformedResponse(
            "the response to the token request is not a JSON object: check token_url", status=response.status
        )
    kind = body.get("token_type")
    if kind is not None and str(kind).lower() != "bearer":
        raise MalformedResponse(
            "the token in the response is not a bearer token: check token_url",
            status=response.status,
            field="token_type",
        )
    try:
        token = checked_token(body.get("access_token"), "access_token")
    except InvalidValue as error:
        reason = str(error)
    else:
        return Grant(token, _life(body.get("expires_in")))
    raise MalformedResponse(
        f"the response to the token request has no usable token: {reason}", status=response.status, field="access_token"
    )


def _life(value: Any) -> float | None:
    if type(value) is str and value.isascii() and value.isdigit() and len(value) < 12:
        return float(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0:
        return float(value)
    return None


Token = str | Callable[[], str] | Callable[[], Awaitable[str]] | TokenProvider
"""The token of a client: text, a function that returns it, or a ``TokenProvider``. An async function needs the async
client."""


def bearer(token: Token) -> Bearer:
    """Convert the caller's token to the form that flows use.

    Raises:
        InvalidType: it is neither text, a function nor a ``TokenProvider``.
    """
    if isinstance(token, TokenProvider):
        return token
    if isinstance(token, str):
        return GivenToken(token)
    if callable(token):
        return CalledToken(token)
    raise InvalidType(f"token must be text, a function or a TokenProvider, not {type(token).__name__}")
