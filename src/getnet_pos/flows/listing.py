"""Lists a merchant's active terminals: gets a token, sends the request, and reads the answer."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import partial

from ..codec import read_terminals
from ..errors import InvalidType, InvalidValue, MalformedResponse
from ..messages.terminals import Deviation, TerminalList
from .effects import Compute, Flow, Request, Response
from .http_calls import Bearer, RetryPolicy, Secret, authorized, json_body, refuse, repeated

__all__ = ["ListingSettings", "check_merchant_id", "list_terminals"]

_MERCHANT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingSettings:
    """The settings of one client, the same for each listing."""

    base_url: str
    timeout: float
    retry: RetryPolicy
    max_body: int
    strict: bool


def check_merchant_id(merchant_id: str) -> str:
    """Return ``merchant_id`` if it is safe as a part of a URL path.

    Raises:
        InvalidValue: it does not consist of 1 to 64 of the letters A to Z and a to z, digits, ``_`` and ``-``.
    """
    if not isinstance(merchant_id, str):
        raise InvalidType(f"merchant_id must be text, not {type(merchant_id).__name__}")
    if not _MERCHANT_ID.fullmatch(merchant_id):
        raise InvalidValue(f"merchant_id must be 1 to 64 letters, digits, '_' and '-', not {merchant_id[:64]!a}")
    return merchant_id


def list_terminals(merchant_id: str, bearer: Bearer, settings: ListingSettings) -> Flow[TerminalList]:
    """The active terminals of ``merchant_id`` (docs/equipment.md, "The request")."""
    request = Request(
        "GET",
        f"{settings.base_url}/payment-terminals/{check_merchant_id(merchant_id)}",
        {"Accept": "application/json"},
        timeout=settings.timeout,
        max_body=settings.max_body,
    )
    response, token = yield from authorized(request, bearer, partial(repeated, policy=settings.retry))
    if response.status != 200:
        refuse(
            response,
            f"the listing of merchant {merchant_id}",
            (token,),
            not_found="check the merchant id and the base URL",
        )
    try:
        listing: TerminalList = yield Compute(partial(_read, response, token, settings.strict))
    except MalformedResponse as error:
        error.status = response.status
        # Drop the traceback: it would keep the whole body in memory, and show it where local variables are printed.
        raise error.with_traceback(None) from None
    return _of_merchant(listing, merchant_id, settings.strict)


def _read(response: Response, token: Secret, strict: bool) -> TerminalList:
    return read_terminals(json_body(response, (token,)), strict=strict)


def _of_merchant(listing: TerminalList, merchant_id: str, strict: bool) -> TerminalList:
    if listing.merchant_id == merchant_id:
        return listing
    deviation = Deviation(None, "merchant_id", f"is not {merchant_id}, the merchant id in the request")
    if strict:
        raise MalformedResponse(str(deviation), status=200, field=deviation.field)
    return replace(
        listing, deviations=(deviation, *listing.deviations)[:100], deviation_count=listing.deviation_count + 1
    )
