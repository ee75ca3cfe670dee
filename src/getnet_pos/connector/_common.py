"""The checks of settings that the blocking and the asyncio connector share."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import ConfigurationError, InvalidType, InvalidValue
from ..flows.http_calls import check_url
from ..messages.checks import check_integer
from ..profiles import Profile, Timeouts

__all__ = ["checked_address", "checked_limits", "checked_webhook", "listed_ports", "refuse_settings"]


def listed_ports() -> list[str]:
    """The serial ports to search, the likeliest first."""
    from .. import connector  # looked up at each call: a program may have replaced the function

    return connector.candidate_ports()


def checked_limits(timeouts: Timeouts | None, profile: Profile) -> Timeouts:
    """``timeouts``, or those of the profile if it is ``None``."""
    if not isinstance(profile, Profile):
        raise InvalidType(f"profile must be a Profile, such as Profile.CHILE, not {type(profile).__name__}")
    if timeouts is not None and not isinstance(timeouts, Timeouts):
        raise InvalidType(f"timeouts must be a Timeouts, such as Timeouts(sale=60), not {type(timeouts).__name__}")
    return timeouts or profile.timeouts


def checked_address(host: str, port: int) -> tuple[str, int]:
    if not isinstance(host, str) or not host or any(c.isspace() or c in "/@" for c in host):
        raise InvalidValue("host must be a host name or an address such as 192.168.1.20, without a scheme or a path")
    return host, check_integer(port, "port", 1, 65535)


def checked_webhook(webhook: str | None) -> str | None:
    return None if webhook is None else check_url(webhook, "webhook", plain=True)


def refuse_settings(http_client: object, settings: Mapping[str, object]) -> None:
    """Refuse settings that a shared account already has."""
    given = [*([] if http_client is None else ["http_client"]), *settings]
    if given:
        raise ConfigurationError(f"the account has its own settings: pass {', '.join(given)} to the account instead")
