"""Calls of an HTTP API, as flows: repeat where that is safe, renew a refused token once, name every refusal."""

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
"""What became of a request."""

_PASSING = frozenset({429, 502, 503, 504})
_LONGEST_ERROR = 65_536
"""The longest error body that is parsed, in bytes."""
_SHOWN = 200
"""How much of the server's words an error shows, in characters."""


def check_url(url: str, name: str, *, plain: bool = False) -> str:
    """``url`` without a slash at its end, once it is the address of an API.

    Raises:
        InvalidValue: it is not ``https``, except on this machine or where ``plain`` allows it, or it has parts that the
            address of an API does not have.
    """
    if not isinstance(url, str):
        raise InvalidType(f"{name} must be text, not {type(url).__name__}")
    parts, host = None, None
    with contextlib.suppress(ValueError):
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    if parts is None or not host or not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidValue(f"{name} must be a whole address, such as https://api.example.com/path")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise InvalidValue(f"{name} must have no user, password, query or fragment")
    if parts.scheme != "https" and not (parts.scheme == "http" and (plain or _is_this_machine(host))):
        raise InvalidValue(f"{name} must begin with https://: a token would travel in the open")
    return url.rstrip("/")


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_seconds(value: float, name: str) -> float:
    """``value``, once it is a time-out."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidType(f"{name} must be a number of seconds, not {type(value).__name__}")
    if not 0 < value <= 86_400:
        raise InvalidValue(f"{name} must be more than 0 and at most 86400 seconds")
    return float(value)


class Secret(str):
    """A text that a ``repr`` does not show: a token, a password."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often, and after which pause, a request that may be repeated is repeated.

    The pause before repetition *n* is ``first_pause`` doubled *n - 1* times, at most ``longest_pause``, of which a
    random part between a half and the whole is taken. ``Retry-After`` replaces it; beyond ``longest_retry_after`` the
    error is raised at once, so that a server cannot make a caller wait for long. All in seconds.
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
    """Where a bearer token comes from."""

    def token(self, deadline: float | None = None) -> Flow[Secret]:
        """A token to use now. ``TerminalBusy`` where others that get it hold it up beyond ``deadline``."""
        ...

    def renewed(self, refused: Secret) -> Flow[Secret | None]:
        """Another token in place of one that was refused; ``None`` where there is none."""
        ...


def _sent(request: Request) -> Flow[Response]:
    response: Response = yield request
    return response


def changes_nothing(outcome: Outcome) -> bool:
    """May a request that changes nothing be sent again: after a broken link, and after 429, 502, 503 and 504."""
    return isinstance(outcome, TransportError) or outcome.status in _PASSING


def never_sent(outcome: Outcome) -> bool:
    """May a request be sent again that may reach the server only once: where nothing of it left."""
    return isinstance(outcome, TransportError) and outcome.bytes_written == 0


def repeated(
    request: Request,
    policy: RetryPolicy,
    may_repeat: Callable[[Outcome], bool] = changes_nothing,
    send: Callable[[Request], Flow[Response]] = _sent,
) -> Flow[Response]:
    """The answer to ``request``, sent again while ``may_repeat`` says so of what became of it."""
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
    """The answer to ``request`` with a bearer token, and that token; after a 401 once more with a renewed token."""
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
    """The body of a good answer, once it is said to be JSON.

    Raises:
        MalformedResponse: it is said to be something else, such as the HTML page of a proxy.
    """
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind and kind not in ("application/json", "text/json") and not kind.endswith("+json"):
        said = _excerpt(response.content, secrets)
        raise MalformedResponse(
            f"the server answered {response.status} with {clean(kind, secrets, 60)} instead of JSON ({said}): "
            "something else may have answered in place of the API; look at the base URL, the proxy and the network",
            status=response.status,
        )
    return response.content


_ADVICE: dict[type[ApiError], str] = {
    AuthenticationError: "look at the token, or at the client id and secret it was got with",
    Forbidden: "ask Getnet whether these credentials may do this",
    NotFound: "look at the merchant id and at the base URL",
    RateLimited: "ask less often",
    RedirectRefused: "redirects are not followed; look at the base URL",
    ServerError: "try again later; if it stays, ask Getnet",
    ApiError: "look at what was asked",
}


def refuse(response: Response, what: str, secrets: Sequence[str] = (), kind: type[ApiError] | None = None) -> NoReturn:
    """Raise ``refusal``."""
    raise refusal(response, what, secrets, kind)


def refusal(response: Response, what: str, secrets: Sequence[str] = (), kind: type[ApiError] | None = None) -> ApiError:
    """The error that stands for an answer that is not the good one.

    ``what`` says what was asked, as a noun. ``kind`` replaces the error that the status stands for.
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
        text = f"{what} was sent on with {status} to {location or 'an address that is not given'}"
    return kind(f"{text}; {_ADVICE[kind]}", **answer)


def _kind(status: int) -> type[ApiError]:
    if 300 <= status < 400:
        return RedirectRefused
    if status >= 500:
        return ServerError
    return {401: AuthenticationError, 403: Forbidden, 404: NotFound, 429: RateLimited}.get(status, ApiError)


def _own_words(content: bytes) -> tuple[str | None, str | None, str | None]:
    """Code, message and log id, from the shapes of error body that are documented."""
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
    """The server's words as an error may show them: no secret, no card number, no control character, not long."""
    for secret in secrets:
        text = text.replace(secret, "***") if secret else text
    if len(text) > 4 * longest:
        # A number that is cut in two could not be told for one.
        text = _CUT_NUMBER.sub("...", text[: 4 * longest])
    text = " ".join(mask(text).split())
    shown = text[:longest] + ("..." if len(text) > longest else "")
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in shown)


def retry_after(response: Response) -> float | None:
    """Seconds that ``Retry-After`` asks for; a date counts from the answer's own ``Date``."""
    asked = response.headers.get("retry-after", "").strip()
    if asked.isascii() and asked.isdigit():
        return float(asked[:9])
    try:
        until = parsedate_to_datetime(asked)
        wait = (until - parsedate_to_datetime(response.headers["date"])).total_seconds()
    except (KeyError, TypeError, ValueError):
        return None
    return max(0.0, wait)
