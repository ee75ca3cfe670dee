"""What the blocking and the asyncio client share: the documented addresses, and the check of the settings."""

from __future__ import annotations

from enum import Enum

from ..errors import InvalidType, InvalidValue
from ..flows.http_calls import RetryPolicy, check_seconds, check_url
from ..flows.listing import ListingSettings

__all__ = ["MAX_BODY", "Environment", "listing_settings"]

MAX_BODY = 64 * 1024 * 1024
"""The default limit of a response, in bytes: about 160,000 terminals."""


_EXAMPLE = "https://api.example.com/path, or an Environment"


class Environment(str, Enum):
    """The documented base URLs. That of production is not public: pass it as text.

    Examples:
        >>> from getnet_pos.equipment import Environment
        >>> print(Environment.HTI)
        https://api-homologacao.getnet.com.br/sap/equipment/v1
    """

    HG = "https://api-hg.getnet.com.br/sap/equipment/v1"
    """Development."""
    HTI = "https://api-homologacao.getnet.com.br/sap/equipment/v1"
    """Quality assurance."""

    def __str__(self) -> str:
        return self.value


def listing_settings(
    base_url: Environment | str, *, plain: bool, timeout: float, retry: RetryPolicy | None, strict: bool, max_body: int
) -> ListingSettings:
    """Check the settings; raises ``InvalidValue`` or ``InvalidType``. ``plain`` allows ``http://``."""
    if type(max_body) is not int:
        raise InvalidType(f"max_body must be an int, not {type(max_body).__name__}")
    if max_body < 1024:
        raise InvalidValue("max_body must be at least 1024 bytes")
    return ListingSettings(
        base_url=check_url(
            base_url.value if isinstance(base_url, Environment) else base_url, "base_url", plain=plain, example=_EXAMPLE
        ),
        timeout=check_seconds(timeout, "timeout"),
        retry=retry or RetryPolicy(),
        max_body=max_body,
        strict=strict,
    )
