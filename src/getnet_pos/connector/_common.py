"""What the blocking and the asyncio connector share: settings that can work."""

from __future__ import annotations

from ..errors import ConfigurationError, InvalidType, InvalidValue
from ..flows.http_calls import check_url
from ..messages.checks import check_integer
from ..profiles import Profile, Timeouts

__all__ = ["checked_address", "checked_limits", "checked_webhook", "refuse_settings"]


def checked_limits(timeouts: Timeouts | None, profile: Profile) -> Timeouts:
    """``timeouts``, or else those of the profile."""
    if not isinstance(profile, Profile):
        raise InvalidType(f"profile must be a Profile, such as Profile.CHILE, not {type(profile).__name__}")
    if timeouts is not None and not isinstance(timeouts, Timeouts):
        raise InvalidType(f"timeouts must be a Timeouts, such as Timeouts(sale=60), not {type(timeouts).__name__}")
    return timeouts or profile.timeouts


def checked_address(host: str, port: int) -> tuple[str, int]:
    if not isinstance(host, str) or not host or any(c.isspace() or c in "/@" for c in host):
        raise InvalidValue("host must be a name or an address, such as 192.168.1.20, without a scheme or a path")
    return host, check_integer(port, "port", 1, 65535)


def checked_webhook(webhook: str | None) -> str | None:
    return None if webhook is None else check_url(webhook, "webhook", plain=True)


def refuse_settings(http_client: object, settings: object) -> None:
    """A shared account takes no settings of a connector."""
    if http_client is not None or settings:
        raise ConfigurationError("an account has credentials, environment, client and profile of its own")
