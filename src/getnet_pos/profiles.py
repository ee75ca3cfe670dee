"""How countries and firmware differ, as data. No other module tests for a country."""

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
    """The time limits, in seconds (docs/protocol.md, "Timers").

    Examples:
        >>> Timeouts(sale=60).sale
        60
        >>> Timeouts(sale=0)
        Traceback (most recent call last):
        getnet_pos.errors.InvalidValue: the timeout sale must be more than 0 and at most 86400 seconds
    """

    connect: float = 5.0
    """To connect to a terminal or a cloud over the network."""
    acknowledgement: float = 3.0
    """From sending a command to the terminal's ``Received`` message, or to any other valid traffic."""
    short: float = 10.0
    """For the reply to a poll, and to other commands that need no person at the terminal."""
    report: float = 60.0
    """For the reply to a report, a void, a refund or the batch close."""
    sale: float = 120.0
    """For the reply to a sale, since its last progress message."""
    sale_total: float = 300.0
    """For a sale in total, however many progress messages arrive."""
    cancel: float = 10.0
    """From the terminal's accepting a cancellation to the reply to the sale."""
    recovery: float = 90.0
    """How long the terminal is queried about a payment command whose reply did not arrive."""
    recovery_interval: float = 5.0
    """Between two such queries."""
    busy: float = 330.0
    """How long an operation waits for another one on the same terminal; 0 raises ``TerminalBusy`` at once."""
    cloud: float = 330.0
    """For a synchronous call to the cloud, which the cloud holds open for up to 5 minutes."""
    status: float = 2.0
    """From the cloud's accepting a command to the first query for its status; later pauses are longer."""

    def __post_init__(self) -> None:
        for item in fields(self):
            check_seconds(getattr(self, item.name), f"the timeout {item.name}", none=item.name == "busy")


def check_seconds(value: object, field: str = "timeout", *, none: bool = False) -> float:
    """Check a time limit: a number of seconds, at most a day, and 0 only with ``none``."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidType(f"{field} must be a number of seconds, not {type(value).__name__}")
    if not 0 <= value <= 86_400 or (value == 0 and not none):
        raise InvalidValue(f"{field} must be more than 0 and at most 86400 seconds")
    return value


@dataclass(frozen=True, slots=True)
class PreAuthorizationCodes:
    """The command codes of pre-authorizations, their completions and their releases.

    Getnet has published no codes. ``provisional`` marks codes that this library invented: a command with one of them
    gives a ``ProvisionalCommandWarning``.

    Examples:
        >>> import dataclasses
        >>> codes = PreAuthorizationCodes(pre_authorize=140, complete=141, release=142)
        >>> dataclasses.replace(Profile.CHILE, pre_authorization=codes).pre_authorization.complete
        141
    """

    pre_authorize: int
    complete: int
    release: int
    provisional: bool = False

    def __post_init__(self) -> None:
        codes = [check_code(getattr(self, name), name) for name in ("pre_authorize", "complete", "release")]
        if len(set(codes)) != 3:
            raise InvalidValue("pre_authorize, complete and release must be three different codes")


@dataclass(frozen=True, slots=True)
class CloudEndpoint:
    """The cloud's endpoint for one command, and the fields it accepts, by their names on that wire.

    Examples:
        >>> Profile.CHILE.cloud.endpoints[100].path
        'sale'
    """

    path: str
    fields: tuple[str, ...] = ()
    """In the order in which they are sent, after the three that name the terminal, and the command code."""
    defaults: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """The values of fields that the command does not set. A field without a value here is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudProfile:
    """How the cloud of one country differs (docs/protocol.md, "Cloud-to-Cloud").

    Examples:
        >>> Profile.ARGENTINA.cloud.country, Profile.ARGENTINA.cloud.takes_ticket
        ('ar', False)
    """

    country: str
    """The value of the header ``country``."""
    endpoints: Mapping[int, CloudEndpoint] = field(hash=False)
    """By command code."""
    branch_digits: int | None = None
    """The branch is sent as text, padded with zeros to this many digits; ``None``: as an integer."""
    takes_ticket: bool = True
    """Whether a sale has a field for the ticket; if not, the ticket is sent as ``customId``."""
    flat_results: bool = False
    """Whether the terminal's reply is documented as flat fields of the response. Both forms are read in any case."""
    refusals: tuple[str, ...] = ("KEYPOS NOT FOUND", "INCORRECT REQUEST FOR MERCHANT ID")
    """The messages with outer code 0 that mean: the command did not reach a terminal."""
    not_found: tuple[str, ...] = ("ID NOT FOUND",)
    """The messages with outer code 0 that mean: the cloud does not know the transaction."""
    token_refusals: tuple[str, ...] = ("UNAUTHORIZED", "INVALID TOKEN", "TOKEN EXPIRED", "TOKEN INVALID")
    """The messages with outer code 0 that mean, as the HTTP status 401 does: the token was refused and the command did
    not reach a terminal."""
    refusal_within: float = 2.0
    """The seconds after sending in which a refusal is believed, because no card can have been read yet. After a later
    refusal the outcome is open, whatever the message says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How the terminals of one country or firmware differ. Change a profile with ``dataclasses.replace``.

    Examples:
        >>> import dataclasses
        >>> Profile.CHILE.amount_exponent, Profile.ARGENTINA.amount_exponent
        (0, 2)
        >>> slow_link = dataclasses.replace(Profile.CHILE, timeouts=Timeouts(short=20))
        >>> slow_link.timeouts.short
        20
    """

    name: str
    amount_exponent: int | None
    """How many decimals of the currency an amount on the wire has; ``None``: unknown, and a ``Decimal`` is refused."""
    pre_authorization: PreAuthorizationCodes | None = None
    """``None``: the codes are unknown, and a pre-authorization raises ``UnsupportedOperation``."""
    cloud: CloudProfile | None = None
    """``None``: there is no cloud, and a connector to one raises ``ConfigurationError``."""
    timeouts: Timeouts = field(default_factory=Timeouts)
    doubtful_codes: frozenset[int] = frozenset({1003, 1004, 1005, -1})
    """The response codes after which the card may have been charged or not: printing errors (cover open, no paper,
    paper jam), and -1, the terminal did not reach the acquirer (docs/assumptions.md). The terminal is then queried."""
    durable_record: bool = False
    """Whether the terminal always stores its last voucher before it replies, in order, and never loses it; and, for a
    cloud, whether it forwards no command after its time limit.

    If so, a payment command that is not in the record after its time limit was not carried out. No terminal's
    documentation promises this, so it is off by default, and the outcome of such a command is unknown."""
    day_first: bool = False
    """Whether the date in a command is ``dd-MM-yyyy HH:mm:ss`` in local time, which some terminals require, instead of
    ISO 8601."""
    empty_codes: frozenset[int] = frozenset({21, 99})
    """The response codes to a last-voucher query that mean: there is no voucher."""
    language: str = "es"
    """The default language of receipts and of a virtual terminal's screen: ``es``, ``pt`` or ``en``."""
    currency: str | None = None
    """The ISO 4217 code of the currency of its amounts; ``None``: unknown."""
    tax_id: str = "RUT"
    """The local name of a merchant's tax number (``commerce_rut`` on the wire)."""
    notice: str | None = None
    """The legal notice at the end of a receipt; ``None``: "not a tax document", in the receipt's language."""

    INTEGRATED_POS: ClassVar[Profile]
    """The terminal as the Integrated POS documentation describes it; the decimals of the currency are not public."""
    CHILE: ClassVar[Profile]
    """Chile; amounts are whole pesos."""
    ARGENTINA: ClassVar[Profile]
    """Argentina; amounts are hundredths of a peso."""

    @property
    def catalogue(self) -> Catalogue:
        """All commands; those of pre-authorizations have this profile's codes."""
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
"""The built-in profiles by name."""
