"""Calls of an HTTP API as flows: repeated if that is safe, with a refused token renewed once, and clear errors."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import Any, NoReturn, Protocol
from urllib.parse import urlsplit

from ..codec.strict_json import parse
from ..errors import (
    ApiError,
    AuthenticationError,
    Forbidden,
    InvalidType,
    InvalidValue,
    MalformedFrame,
    MalformedResponse,
    NotFound,
    RateLimited,
    RedirectRefused,
    ServerError,
    TransportError,
)
from ..masking import mask
from .effects import Flow, Random, Request, Response, Sleep

__all__ = ["Bearer", "RetryPolicy", "Secret", "authorized", "changes_nothing", "check_seconds", "check_url", "clean",
           "json_body", "never_sent", "refusal", "refuse", "repeated", "retry_after", "with_token"]  # fmt: skip

Outcome = Response | TransportError
"""The outcome of a request."""

_PASSING = frozenset({429, 502, 503, 504})
_LONGEST_ERROR = 65_536
"""The longest error body that is parsed, in bytes."""
_SHOWN = 200
"""How much of the server's text an error shows, in characters."""


def check_url(url: str, name: str, *, plain: bool = False, example: str = "https://api.example.com/path") -> str:
    """Return ``url`` without a trailing slash if it can be the address of an API; ``example`` shows what can.

    Raises:
        InvalidValue: it is not ``https`` (``http`` is allowed on this machine, or with ``plain``), or it has parts that
            the address of an API does not have.
    """
    if not isinstance(url, str):
        raise InvalidType(f"{name} must be text, not {type(url).__name__}")
    parts, host = None, None
    with contextlib.suppress(ValueError):
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    if parts is None or not host or not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidValue(f"{name} must be a complete URL, such as {example}")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise InvalidValue(f"{name} must have no user, password, query or fragment")
    if parts.scheme != "https" and not (parts.scheme == "http" and (plain or _is_this_machine(host))):
        raise InvalidValue(f"{name} must begin with https://, because http would send the token unencrypted")
    return url.rstrip("/")


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_seconds(value: float, name: str) -> float:
    """Return ``value`` if it is a valid timeout."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidType(f"{name} must be a number of seconds, not {type(value).__name__}")
    if not 0 < value <= 86_400:
        raise InvalidValue(f"{name} must be more than 0 and at most 86400 seconds")
    return float(value)


class Secret(str):
    """Text that its ``repr`` does not show, such as a token or a password."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often, and after which pause, a request is repeated if that is safe.

    The pause before retry *n* is ``first_pause`` doubled *n - 1* times, at most ``longest_pause``, times a random
    factor from 0.5 to 1. ``Retry-After`` replaces it; if that is more than ``longest_retry_after``, the error is raised
    at once, so that a server cannot make a caller wait for long. All are in seconds.
    """

    attempts: int = 3
    first_pause: float = 0.5
    longest_pause: float = 8.0
    longest_retry_after: float = 30.0

    def __post_init__(self) -> None:
        if type(self.attempts) is not int or not 1 <= self.attempts <= 20:
            raise InvalidValue(f"attempts must be an int from 1 to 20, not {self.attempts!r}")
        for name in ("first_pause", "longest_pause", "longest_retry_after"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise InvalidType(f"{name} must be a number of seconds, not {type(value).__name__}")
            if not 0 <= value <= 3600:
                raise InvalidValue(f"{name} must be from 0 to 3600 seconds, not {value}")

    def pause(self, attempt: int) -> Flow[float]:
        """Seconds to wait after attempt number ``attempt``, from 1, failed."""
        whole: float = min(self.longest_pause, self.first_pause * 2 ** (attempt - 1))
        part: float = yield Random()
        return whole * (0.5 + part / 2)


class Bearer(Protocol):
    """A source of bearer tokens."""

    def token(self, deadline: float | None = None) -> Flow[Secret]:
        """A token to use now. Raises ``TerminalBusy`` if others are still fetching it at ``deadline``."""
        ...

    def renewed(self, refused: Secret) -> Flow[Secret | None]:
        """Another token to replace one that was refused; ``None`` if there is none."""
        ...


def _sent(request: Request) -> Flow[Response]:
    response: Response = yield request
    return response


def changes_nothing(outcome: Outcome) -> bool:
    """Whether to repeat a request that changes nothing: after a failed link, and after 429, 502, 503 and 504."""
    return isinstance(outcome, TransportError) or outcome.status in _PASSING


def never_sent(outcome: Outcome) -> bool:
    """Whether to repeat a request that must reach the server only once: if no byte of it left."""
    return isinstance(outcome, TransportError) and outcome.bytes_written == 0


def repeated(
    request: Request,
    policy: RetryPolicy,
    may_repeat: Callable[[Outcome], bool] = changes_nothing,
    send: Callable[[Request], Flow[Response]] = _sent,
) -> Flow[Response]:
    """The answer to ``request``, which is repeated while ``may_repeat`` allows it for the outcome."""
    attempt = 1
    while True:
        asked = None
        try:
            response = yield from send(request)
        except TransportError as error:
            if attempt >= policy.attempts or not may_repeat(error):
                raise
        else:
            asked = retry_after(response)
            if attempt >= policy.attempts or not may_repeat(response) or (asked or 0) > policy.longest_retry_after:
                return response
        yield Sleep((yield from policy.pause(attempt)) if asked is None else asked)
        attempt += 1


def authorized(
    request: Request, bearer: Bearer, send: Callable[[Request], Flow[Response]]
) -> Flow[tuple[Response, Secret]]:
    """The answer to ``request`` with a bearer token, and that token. After a 401 it is repeated with a new token."""
    token = yield from bearer.token()
    response = yield from send(with_token(request, token))
    if response.status == 401:
        renewed = yield from bearer.renewed(token)
        if renewed is not None:
            token = renewed
            response = yield from send(with_token(request, token))
    return response, token


def with_token(request: Request, token: Secret) -> Request:
    return replace(request, headers={**request.headers, "Authorization": Secret(f"Bearer {token}")})


# -------------------------------------------------------------------------------------------------------------- answers


def json_body(response: Response, secrets: Sequence[str] = ()) -> bytes:
    """The body of an answer, if its content type is JSON.

    Raises:
        MalformedResponse: it has another content type, such as the HTML page of a proxy.
    """
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind and kind not in ("application/json", "text/json") and not kind.endswith("+json"):
        said = _excerpt(response.content, secrets)
        raise MalformedResponse(
            f"the server answered {response.status} with {clean(kind, secrets, 60)} instead of JSON ({said}): "
            "something other than the API may have answered; check the base URL, the proxy and the network",
            status=response.status,
        )
    return response.content


_ADVICE: dict[type[ApiError], str] = {
    AuthenticationError: "check the token, or the client id and secret that it was obtained with",
    Forbidden: "ask Getnet whether these credentials may do this",
    NotFound: "check the address",
    RateLimited: "send requests less often",
    RedirectRefused: "redirects are not followed; check the base URL",
    ServerError: "try again later; if the error persists, ask Getnet",
    ApiError: "check the values of the request",
}


def refuse(
    response: Response,
    what: str,
    secrets: Sequence[str] = (),
    kind: type[ApiError] | None = None,
    *,
    not_found: str = _ADVICE[NotFound],
) -> NoReturn:
    """Raise ``refusal``."""
    raise refusal(response, what, secrets, kind, not_found=not_found)


def refusal(
    response: Response,
    what: str,
    secrets: Sequence[str] = (),
    kind: type[ApiError] | None = None,
    *,
    not_found: str = _ADVICE[NotFound],
) -> ApiError:
    """The error for an answer that refuses the request.

    ``what`` names the request, as a noun. ``kind`` replaces the error type of the status. ``not_found`` is the advice
    for a ``NotFound``.
    """
    status = response.status
    code, message, log_id = (clean(part, secrets) if part else None for part in _own_words(response.content))
    kind = kind or _kind(status)
    words = message or _excerpt(response.content, secrets)
    text = f"{what} was refused with {status}: {words}"
    if code and code != str(status):
        text += f" (code {code})"
    if log_id:
        text += f" (logID {log_id}: quote it to Getnet's support)"
    answer: dict[str, Any] = {"status": status, "code": code, "message": message, "log_id": log_id}
    if kind is RateLimited:
        answer["retry_after"] = wait = retry_after(response)
        if wait is not None:
            text += f"; the server asks to wait {wait:g} s"
    if kind is RedirectRefused:
        answer["location"] = location = clean(response.headers.get("location", ""), secrets) or None
        text = f"{what} was redirected with {status} to {location or 'an address that was not given'}"
    return kind(f"{text}; {not_found if kind is NotFound else _ADVICE[kind]}", **answer)


def _kind(status: int) -> type[ApiError]:
    if 300 <= status < 400:
        return RedirectRefused
    if status >= 500:
        return ServerError
    return {401: AuthenticationError, 403: Forbidden, 404: NotFound, 429: RateLimited}.get(status, ApiError)


def _own_words(content: bytes) -> tuple[str | None, str | None, str | None]:
    """Code, message and log id, from the documented formats of an error body."""
    if len(content) > _LONGEST_ERROR:
        return None, None, None
    try:
        body = parse(content.decode())
    except (MalformedFrame, UnicodeDecodeError):
        return None, None, None
    if type(body) is not dict:
        return None, None, None
    error = body.get("error")
    if type(error) is dict:
        return _text(error.get("code")), _text(error.get("message")), _text(error.get("logID"))
    if type(error) is str:
        return error, _text(body.get("error_description")), None
    return None, _text(body.get("Status")), None


def _text(value: Any) -> str | None:
    if type(value) is int:
        return str(value)
    return value if type(value) is str else None


_TITLE = re.compile(r"<title[^>]{0,200}>([^<]{1,400})", re.IGNORECASE)


def _excerpt(content: bytes, secrets: Sequence[str]) -> str:
    if not content:
        return "the answer is empty"
    text = content[:_LONGEST_ERROR].decode("utf-8", "replace")
    title = _TITLE.search(text)
    return f'a page titled "{clean(title[1], secrets)}"' if title else f'"{clean(text, secrets)}"'


_CUT_NUMBER = re.compile(r"[\W\d_]+\Z")


def clean(text: str, secrets: Sequence[str], longest: int = _SHOWN) -> str:
    """The server's text as an error may show it: short, without secrets, card numbers or control characters."""
    for secret in secrets:
        text = text.replace(secret, "***") if secret else text
    if len(text) > 4 * longest:
        # A card number that is cut in two would not be recognised.
        text = _CUT_NUMBER.sub("...", text[: 4 * longest])
    text = " ".join(mask(text).split())
    shown = text[:longest] + ("..." if len(text) > longest else "")
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in shown)


def retry_after(response: Response) -> float | None:
    """The seconds of ``Retry-After``; a date in it counts from the answer's own ``Date``."""
    asked = response.headers.get("retry-after", "").strip()
    if asked.isascii() and asked.isdigit():
        return float(asked[:9])
    try:
        until = parsedate_to_datetime(asked)
        wait = (until - parsedate_to_datetime(response.headers["date"])).total_seconds()
    except (KeyError, TypeError, ValueError):
        return None
    return max(0.0, wait)
