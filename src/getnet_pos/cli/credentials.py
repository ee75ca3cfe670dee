"""Reads secrets from the environment, or from the system's keyring. Never from the command line or a file."""

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
    """The secret in an environment variable, or else the one with that name in the keyring, if there is a keyring."""
    value = os.environ.get(variable, "").strip()
    return value or _kept(variable)


def _kept(name: str) -> str | None:
    try:
        import keyring  # type: ignore[import-not-found,unused-ignore]  # not a dependency: used if it is installed
    except ImportError:
        return None
    try:
        value = keyring.get_password(_KEYRING, name)
    except Exception:  # Its backends raise anything. Without a secret, its error must not show details either.
        return None
    return str(value).strip() if value else None


def client_credentials() -> tuple[str, str]:
    """The client id and its secret.

    Raises:
        ConfigurationError: one of them is missing.
    """
    client_id, client_secret = secret(CLIENT_ID), secret(CLIENT_SECRET)
    if client_id is None or client_secret is None:
        missing = " and ".join(
            name for name, value in ((CLIENT_ID, client_id), (CLIENT_SECRET, client_secret)) if value is None
        )
        raise ConfigurationError(
            f"credentials are missing: set {missing} in the environment, or keep each in the keyring, as the service "
            f"{_KEYRING} with the variable's name as the user name; secrets are never read from the command line or "
            "from a file"
        )
    return client_id, client_secret


def api_token(token_url: str | None) -> Token:
    """The token for a client of an API: the one in the environment, or credentials that request one."""
    if token_url is not None:
        from ..oauth import ClientCredentials

        return ClientCredentials(token_url, *client_credentials())
    token = secret(API_TOKEN)
    if token is None:
        raise ConfigurationError(
            f"the token is missing: set {API_TOKEN} in the environment, or set {CLIENT_ID} and {CLIENT_SECRET} and "
            "pass --token-url"
        )
    return token
