"""How countries and firmware differ, as data. No other module asks which country it is."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import ClassVar

from .errors import InvalidType, InvalidValue
from .messages._checks import check_code

__all__ = ["PreAuthorizationCodes", "Profile", "Timeouts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long each wait lasts, in seconds (docs/protocol.md, "Timers")."""

    acknowledgement: float = 3.0
    """From a command to the terminal's ``Received``, or to any other valid traffic."""
    short: float = 10.0
    """Poll and other commands that need nobody."""
    report: float = 60.0
    """Reports, voids, refunds and the batch close."""
    sale: float = 120.0
    """A sale, since its last progress message."""
    sale_total: float = 300.0
    """A sale in all, however much progress it reports."""
    cancel: float = 10.0
    """From a cancellation that the terminal took to the reply of the sale."""
    recovery: float = 90.0
    """How long a command in doubt is asked about."""
    recovery_interval: float = 5.0
    """Between two questions about a command in doubt."""
    busy: float = 330.0
    """How long an operation waits for another one on the same terminal; 0 raises ``TerminalBusy`` at once."""
    cloud: float = 330.0
    """A synchronous call to the cloud, which holds it open for up to 5 minutes."""

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise InvalidType(f"the timeout {item.name} must be a number of seconds, not {type(value).__name__}")
            if not (0 <= value <= 86_400) or (value == 0 and item.name != "busy"):
                raise InvalidValue(f"the timeout {item.name} must be more than 0 and at most 86400 seconds")


@dataclass(frozen=True, slots=True)
class PreAuthorizationCodes:
    """The command codes of the pre-authorization family.

    Getnet has published none. ``provisional`` marks the ones this library made up; using them warns.
    """

    pre_authorize: int
    complete: int
    release: int
    provisional: bool = False

    def __post_init__(self) -> None:
        codes = [check_code(getattr(self, name), name) for name in ("pre_authorize", "complete", "release")]
        if len(set(codes)) != 3:
            raise InvalidValue("the three pre-authorization codes must differ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What is particular to a country or a firmware. Change one with ``dataclasses.replace``."""

    name: str
    amount_exponent: int | None
    """Decimals of the currency that an amount on the wire carries; ``None``: not known, ``Decimal`` is refused."""
    pre_authorization: PreAuthorizationCodes | None = None
    """``None``: no codes are known, and pre-authorization is refused until some are set."""
    timeouts: Timeouts = field(default_factory=Timeouts)

    INTEGRATED_POS: ClassVar[Profile]
    """The terminal as the Integrated POS documentation describes it; the currency's decimals are not public."""
    CHILE: ClassVar[Profile]
    """Whole pesos."""
    ARGENTINA: ClassVar[Profile]
    """Hundredths of a peso."""

    def __post_init__(self) -> None:
        if self.amount_exponent is not None and self.amount_exponent not in range(5):
            raise InvalidValue(f"amount_exponent must be from 0 to 4, or None, not {self.amount_exponent!r}")


Profile.INTEGRATED_POS = Profile(
    name="integrated-pos",
    amount_exponent=None,
    pre_authorization=PreAuthorizationCodes(130, 131, 132, provisional=True),
)
Profile.CHILE = Profile(name="cl", amount_exponent=0)
Profile.ARGENTINA = Profile(name="ar", amount_exponent=2)
