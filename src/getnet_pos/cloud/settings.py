"""What an account of the cloud is: its address, its credentials, and how its calls behave."""

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
    """What an account may be told beside its address; ``CloudSettings`` says what each means."""

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
    """The settings of an account. They are checked by the account that takes them."""

    base_url: str
    """The address that ends in ``/api/postxs``, as Getnet gives it."""
    client_id: str = ""
    """With ``client_secret``, the credentials of the merchant."""
    client_secret: str = field(default="", repr=False)
    environment: str = "uat"
    """The header ``env``: ``uat`` for tests, ``prod``."""
    profile: Profile = Profile.INTEGRATED_POS
    """``Profile.CHILE`` or ``Profile.ARGENTINA``."""
    api_key: Mapping[str, str] | None = field(default=None, repr=False)
    """Headers for the gateway, where it asks for a key."""
    max_connections: int = 500
    """How many commands may be under way at a time; the others wait in the order of their coming."""
    retry: RetryPolicy | None = None
    """How often a query is sent again, and how long the cloud may make it wait."""
    verify: bool | str | os.PathLike[str] | ssl.SSLContext = True
    """Whom the cloud's certificate must come from: ``True`` for the public authorities, a file of others, or an
    ``ssl.SSLContext``."""
    pin_sha256: str | None = None
    """The SHA-256 of the one certificate (DER) that is taken instead, whoever issued it."""
    timeouts: Timeouts | None = None
    """The time limits of the connectors that have none of their own; ``None``: those of the profile."""
    plain: bool = False
    """Whether ``http://`` is allowed: whoever brings a client decides about its transport."""

    @property
    def limits(self) -> Timeouts:
        """The time limits that hold."""
        return self.timeouts or self.profile.timeouts
