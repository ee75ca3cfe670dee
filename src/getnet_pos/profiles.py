"""How countries and firmware differ, as data. No other module asks which country it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, ClassVar, Final

from .errors import InvalidType, InvalidValue
from .messages import (
    CATALOGUE,
    Catalogue,
    PreAuthorization,
    PreAuthorizationCompletion,
    PreAuthorizationRelease,
)
from .messages.checks import check_code

__all__ = ["PROFILES", "CloudEndpoint", "CloudProfile", "PreAuthorizationCodes", "Profile", "Timeouts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long each wait lasts, in seconds (docs/protocol.md, "Timers")."""

    connect: float = 5.0
    """Reaching a terminal or a cloud over the network."""
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
    status: float = 2.0
    """From a command that the cloud has taken to the first question for its status; later pauses are longer."""

    def __post_init__(self) -> None:
        for item in fields(self):
            check_seconds(getattr(self, item.name), f"the timeout {item.name}", none=item.name == "busy")


def check_seconds(value: object, field: str = "timeout", *, none: bool = False) -> float:
    """A time to wait: a number of seconds, at most a day, and 0 only if ``none`` at all is allowed."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidType(f"{field} must be a number of seconds, not {type(value).__name__}")
    if not 0 <= value <= 86_400 or (value == 0 and not none):
        raise InvalidValue(f"{field} must be more than 0 and at most 86400 seconds")
    return value


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


@dataclass(frozen=True, slots=True)
class CloudEndpoint:
    """Where the cloud takes one command, and which fields of it, by their names on that wire."""

    path: str
    fields: tuple[str, ...] = ()
    """In the order in which they are sent, behind the terminal's triplet and the code."""
    defaults: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """What is sent for a field that the command says nothing about; others are left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudProfile:
    """What is particular to a country's cloud (docs/protocol.md, "Cloud-to-Cloud")."""

    country: str
    """The header ``country``."""
    endpoints: Mapping[int, CloudEndpoint] = field(hash=False)
    """By command code."""
    branch_digits: int | None = None
    """The branch is sent as text with leading zeros, of so many digits; ``None``: as an integer."""
    takes_ticket: bool = True
    """Whether a sale has a ticket; where it has none, the ticket is sent as ``customId``."""
    flat_results: bool = False
    """Whether its answers hold the terminal's reply flat, as documented. Either form is read in any case."""
    refusals: tuple[str, ...] = ("KEYPOS NOT FOUND", "INCORRECT REQUEST FOR MERCHANT ID")
    """The messages of outer code 0 that mean that the command did not reach a terminal."""
    not_found: tuple[str, ...] = ("ID NOT FOUND",)
    """The messages of outer code 0 that mean that the cloud does not know a transaction."""
    token_refusals: tuple[str, ...] = ("UNAUTHORIZED", "INVALID TOKEN", "TOKEN EXPIRED", "TOKEN INVALID")
    """The messages of outer code 0, beside the HTTP status 401, that mean that the token was refused and the command
    did not reach a terminal."""
    refusal_within: float = 2.0
    """Seconds from sending within which a refusal is believed: no card can have been read by then. What comes later is
    a doubt, whatever it says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What is particular to a country or a firmware. Change one with ``dataclasses.replace``."""

    name: str
    amount_exponent: int | None
    """Decimals of the currency that an amount on the wire carries; ``None``: not known, ``Decimal`` is refused."""
    pre_authorization: PreAuthorizationCodes | None = None
    """``None``: no codes are known, and pre-authorization is refused until some are set."""
    cloud: CloudProfile | None = None
    """``None``: no cloud is known for it."""
    timeouts: Timeouts = field(default_factory=Timeouts)
    doubtful_codes: frozenset[int] = frozenset({1003, 1004, 1005, -1})
    """The response codes to a payment command that do not say whether the card was charged: printing errors (cover
    open, no paper, paper jam), and -1, the terminal did not reach the acquirer (docs/assumptions.md)."""
    durable_record: bool = False
    """Whether the terminal is known to write its last voucher before its reply leaves, in order, and never to lose it.

    Then a payment command of which it shows nothing once the command's time is over was not carried out; of a cloud it
    says as well that it passes nothing on later. That is documented of none: without it the outcome is unknown."""
    day_first: bool = False
    """Whether commands are dated ``dd-MM-yyyy HH:mm:ss`` in local time, as some terminals want it, instead of in ISO
    8601."""
    empty_codes: frozenset[int] = frozenset({21, 99})
    """The response codes to a query for the last voucher that mean that there is none."""
    language: str = "es"
    """What receipts and a virtual terminal's screen are written in at first: ``es``, ``pt`` or ``en``."""
    currency: str | None = None
    """The currency of its amounts, by its ISO 4217 code; ``None``: not known."""
    tax_id: str = "RUT"
    """What a merchant's tax number (``commerce_rut`` on the wire) is called there."""
    notice: str | None = None
    """What a receipt says at its end of its own worth; ``None``: that it is no tax document, in its language."""

    INTEGRATED_POS: ClassVar[Profile]
    """The terminal as the Integrated POS documentation describes it; the currency's decimals are not public."""
    CHILE: ClassVar[Profile]
    """Whole pesos."""
    ARGENTINA: ClassVar[Profile]
    """Hundredths of a peso."""

    @property
    def catalogue(self) -> Catalogue:
        """The commands, those of the pre-authorization family under this profile's codes."""
        return CATALOGUE if self.pre_authorization is None else _catalogue(self.pre_authorization)

    def __post_init__(self) -> None:
        exponent = self.amount_exponent
        if exponent is not None and (type(exponent) is not int or exponent not in range(5)):
            raise InvalidValue(f"amount_exponent must be from 0 to 4, or None, not {self.amount_exponent!r}")


@cache
def _catalogue(codes: PreAuthorizationCodes) -> Catalogue:
    return CATALOGUE.with_codes(
        {
            PreAuthorization: codes.pre_authorize,
            PreAuthorizationCompletion: codes.complete,
            PreAuthorizationRelease: codes.release,
        }
    )


_ID = ("customId",)
_PRINTING = ("printOnPos", *_ID)
_POLL = CloudEndpoint("poll", _ID)
_DETAILS = CloudEndpoint("details", _PRINTING)
_CHILE_SALE = ("amount", "ticketNumber", "printOnPos", "saleType", "employeeId")
_NO_EMPLOYEE = {"employeeId": 0}
_CHILE = {
    99: CloudEndpoint("get_transaction", ("idPosTxs", *_ID)),
    100: CloudEndpoint("sale", (*_CHILE_SALE, "paymentCategory", *_ID), _NO_EMPLOYEE),
    102: CloudEndpoint("refund", ("operationId", *_PRINTING)),
    103: CloudEndpoint("close", _PRINTING),
    105: _DETAILS,
    106: _POLL,
    108: CloudEndpoint("return", ("authorizationCode", "amount", *_PRINTING)),
    109: CloudEndpoint("duplicate", ("operationId", *_PRINTING)),
    117: CloudEndpoint("printservice", (*_ID, "details")),
    121: CloudEndpoint("bioauth", ("rutToValidate", "authType", *_ID)),
    126: CloudEndpoint("salepromo", (*_CHILE_SALE, "idPromo"), _NO_EMPLOYEE),
    129: CloudEndpoint("c2cmode", ("c2cMode",)),
}
_PAYING = {"installments": 1, "planId": "contado", "interest": 0, "operationMode": 0}
_SKIPPING = {"skipConfirmation": False, "skipReceipt": False}
_ARGENTINA = {
    100: CloudEndpoint(
        "sale",
        ("amount", "tip", "printOnPos", "saleType", "employeeId", *_PAYING, *_SKIPPING, "paymentCategory", *_ID),
        {"tip": 0, **_NO_EMPLOYEE, **_PAYING, **_SKIPPING},
    ),
    101: CloudEndpoint("lastvoucher", ("printOnPos", "skipReceipt", *_ID), {"skipReceipt": False}),
    104: CloudEndpoint("totals", _PRINTING),
    105: _DETAILS,
    106: _POLL,
    107: CloudEndpoint("normalmode", _ID),
    108: CloudEndpoint(
        "return", ("authorizationCode", "originalTransDate", *_SKIPPING, "printOnPos", "amount", *_ID), _SKIPPING
    ),
    114: CloudEndpoint("params", _ID),
    116: CloudEndpoint("cancelsale", _ID),
    135: CloudEndpoint("shift", ("shiftOperation", "numberOfShift", "printOnPos", "skiptConfirmation", *_ID)),
    136: CloudEndpoint("shiftReport", _PRINTING),
}

Profile.INTEGRATED_POS = Profile(
    name="integrated-pos",
    amount_exponent=None,
    pre_authorization=PreAuthorizationCodes(130, 131, 132, provisional=True),
    cloud=CloudProfile(country="ar", endpoints={**_ARGENTINA, **_CHILE}),
)
Profile.CHILE = Profile(
    name="cl",
    amount_exponent=0,
    cloud=CloudProfile(country="cl", endpoints=_CHILE),
    currency="CLP",
    notice="No válido como boleta",
)
Profile.ARGENTINA = Profile(
    name="ar",
    amount_exponent=2,
    cloud=CloudProfile(country="ar", endpoints=_ARGENTINA, branch_digits=10, takes_ticket=False, flat_results=True),
    currency="ARS",
    tax_id="CUIT",
    notice="No válido como factura",
)

PROFILES: Final = {profile.name: profile for profile in vars(Profile).values() if isinstance(profile, Profile)}
"""Every profile that is known, by its name."""
