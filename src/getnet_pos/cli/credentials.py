"""Where secrets come from: the environment, or the keyring of the system. Never the command line, never a file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from ..oauth import Token

__all__ = ["API_TOKEN", "CLIENT_ID", "CLIENT_SECRET", "api_token", "client_credentials", "secret"]

API_TOKEN, CLIENT_ID, CLIENT_SECRET = "GETNET_POS_TOKEN", "GETNET_POS_CLIENT_ID", "GETNET_POS_CLIENT_SECRET"
_KEYRING = "getnet-pos"


def secret(variable: str) -> str | None:
    """The secret under the name of an environment variable: from there, else from the keyring if one is installed."""
    value = os.environ.get(variable, "").strip()
    return value or _kept(variable)


def _kept(name: str) -> str | None:
    try:
        import keyring  # type: ignore[import-not-found,unused-ignore]  # no dependency: taken where it is installed
    except ImportError:
        return None
    try:
        value = keyring.get_password(_KEYRING, name)
    except Exception:  # Whatever its backends raise, there is no secret to be had, and nothing of it to be shown.
        return None
    return str(value).strip() if value else None


def client_credentials() -> tuple[str, str]:
    """The client id and its secret.

    Raises:
        ConfigurationError: one of them is nowhere.
    """
    client_id, client_secret = secret(CLIENT_ID), secret(CLIENT_SECRET)
    if client_id is None or client_secret is None:
        missing = " and ".join(
            name for name, value in ((CLIENT_ID, client_id), (CLIENT_SECRET, client_secret)) if value is None
        )
        raise ConfigurationError(
            f"no credentials: set {missing} in the environment, or keep it in the keyring under {_KEYRING}; secrets "
            "are not taken from the command line or from a file"
        )
    return client_id, client_secret


def api_token(token_url: str | None) -> Token:
    """What a client of an API takes as its token: the one in the environment, or credentials that get one."""
    if token_url is not None:
        from ..oauth import ClientCredentials

        return ClientCredentials(token_url, *client_credentials())
    token = secret(API_TOKEN)
    if token is None:
        raise ConfigurationError(
            f"no token: set {API_TOKEN} in the environment, or {CLIENT_ID} and {CLIENT_SECRET} and give --token-url"
        )
    return token
