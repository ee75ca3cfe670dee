"""The settings of a cloud account: its address, its credentials, and how its calls behave."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypedDict

from ..flows.http_calls import RetryPolicy
from ..profiles import Profile, Timeouts

__all__ = ["CloudOptions", "CloudSettings"]


class CloudOptions(TypedDict, total=False):
    """The settings of an account besides its address, as keyword arguments; ``CloudSettings`` explains them."""

    client_id: str
    client_secret: str
    environment: str
    profile: Profile
    api_key: Mapping[str, str] | None
    max_connections: int
    retry: RetryPolicy | None
    verify: bool | str | os.PathLike[str] | ssl.SSLContext
    pin_sha256: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class CloudSettings:
    """The settings of an account. The account checks them.

    Examples:
        >>> from getnet_pos.cloud import CloudSettings
        >>> CloudSettings(base_url="https://cloud.example/api/postxs", client_secret="my-secret", profile=Profile.CHILE)
        CloudSettings(base_url='https://cloud.example/api/postxs', client_id='', environment='uat', ...)
    """

    base_url: str
    """The address from Getnet, which ends in ``/api/postxs``."""
    client_id: str = ""
    """With ``client_secret``, the merchant's credentials."""
    client_secret: str = field(default="", repr=False)
    """The ``repr`` does not show it."""
    environment: str = "uat"
    """The value of the header ``env``: ``uat`` for tests, ``prod`` for production."""
    profile: Profile = Profile.INTEGRATED_POS
    """``Profile.CHILE`` or ``Profile.ARGENTINA``."""
    api_key: Mapping[str, str] | None = field(default=None, repr=False)
    """Headers with the gateway's key, if it requires one, such as ``{"X-API-KEY": "..."}``."""
    max_connections: int = 500
    """How many commands may run at a time; further ones wait in the order of their arrival."""
    retry: RetryPolicy | None = None
    """How often a query is repeated, and how long the cloud may make it wait; ``None``: the defaults."""
    verify: bool | str | os.PathLike[str] | ssl.SSLContext = True
    """Which authorities may have issued the cloud's certificate: ``True`` for the public ones, a file with others, or
    an ``ssl.SSLContext``."""
    pin_sha256: str | None = None
    """The SHA-256 of the only certificate (DER) to accept, whoever issued it."""
    timeouts: Timeouts | None = None
    """The default time limits of the connectors; ``None``: those of the profile."""
    plain: bool = False
    """Whether ``http://`` is allowed, which only a caller with an HTTP client of its own may decide."""

    @property
    def limits(self) -> Timeouts:
        """The time limits in effect."""
        return self.timeouts or self.profile.timeouts
