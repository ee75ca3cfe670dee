"""Bearer tokens as flows: given as text, returned by a function, or fetched when needed and kept in memory only."""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from ..errors import GetnetError, InvalidType, InvalidValue, ServerError, TransportError
from ..turns import QueueTurn
from .effects import Call, Flow, Now, Take
from .http_calls import Secret

__all__ = ["CalledToken", "GivenToken", "Grant", "TokenProvider", "checked_token"]

T = TypeVar("T")

_RENEWED_AT = 0.8
"""The fraction of its life after which a token is replaced."""
_LONGEST_LIFE = 366 * 86_400.0
_AFTER_FAILURE = 30.0
"""How long to wait before the next attempt if a token could not be renewed but is still valid, in seconds."""

_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}")


def checked_token(value: object, origin: str) -> Secret:
    """Return ``value`` if it can be sent in a header. ``origin`` says in an error where it came from."""
    if not isinstance(value, str):
        raise InvalidType(f"{origin} must be text, not {type(value).__name__}")
    if not _TOKEN.fullmatch(value):
        raise InvalidValue(f"{origin} must be printable ASCII without spaces: leave out the word Bearer")
    return Secret(value)


def _at_once(value: T) -> Flow[T]:
    """A flow that returns ``value`` without any effect."""
    yield from ()
    return value


class GivenToken:
    """A token that the caller gave."""

    def __init__(self, token: str) -> None:
        self._token = checked_token(token, "token")

    def token(self, deadline: float | None = None) -> Flow[Secret]:
        return _at_once(self._token)

    def renewed(self, refused: Secret) -> Flow[Secret | None]:
        return _at_once(None)


class CalledToken:
    """A token that a function of the caller returns, called for each request."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function

    def token(self, deadline: float | None = None) -> Flow[Secret]:
        token: Secret = yield Call(self._function, partial(checked_token, origin="the result of the token function"))
        return token

    def renewed(self, refused: Secret) -> Flow[Secret | None]:
        token = yield from self.token()
        return None if token == refused else token


@dataclass(frozen=True, slots=True)
class Grant:
    """A token from a server, and its life in seconds; ``None`` if the server did not say.

    Examples:
        >>> from getnet_pos.flows.http_calls import Secret
        >>> from getnet_pos.oauth import Grant
        >>> Grant(token=Secret("eyJhbGciOi"), life=3600.0)
        Grant(token='***', life=3600.0)
    """

    token: Secret
    life: float | None


class TokenProvider:
    """A token that is fetched when needed, kept in memory, and replaced at 80 % of its life or when it is refused.

    If many threads and tasks wait for a token, one of them fetches it, and the others share its result or its error.
    One provider can serve any number of blocking and async clients. A subclass implements ``fetch``.

    Examples:
        >>> provider: TokenProvider = ClientCredentials(
        ...     "https://api.example.com/token", client_id="shop", client_secret="secret"
        ... )
        >>> provider
        <ClientCredentials of https://api.example.com/token>
    """

    def __init__(self) -> None:
        self._turn = QueueTurn(name="the login")
        self._token: Secret | None = None
        self._renew_at: float | None = None
        self._ends_at: float | None = None
        self._attempts = 0
        """The number of attempts to fetch a token that have ended."""
        self._failure: GetnetError | None = None
        """The error of the last attempt."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def fetch(self) -> Flow[Grant]:
        """A new token, as a flow."""
        raise NotImplementedError  # each subclass has its own

    def forget(self) -> None:
        """Fetch a new token for the next request."""
        self._token = None

    def token(self, deadline: float | None = None) -> Flow[Secret]:
        """A token to use now."""
        now = yield Now()
        if self._token is not None and self._fresh(now):
            return self._token
        return (yield from self._alone(self._current(self._attempts), deadline))

    def renewed(self, refused: Secret) -> Flow[Secret | None]:
        """Another token to replace one that was refused."""
        return (yield from self._alone(self._replaced(refused, self._attempts)))

    def _alone(self, flow: Flow[Secret], deadline: float | None = None) -> Flow[Secret]:
        place = self._turn.place()
        try:
            yield Take(place, deadline)
            return (yield from flow)
        finally:
            place.leave()

    def _fresh(self, now: float) -> bool:
        return self._renew_at is None or now < self._renew_at

    def _current(self, attempts: int) -> Flow[Secret]:
        now = yield Now()
        known = self._token
        if known is not None and self._fresh(now):
            return known
        try:
            return (yield from self._fetched(attempts))
        except (TransportError, ServerError):
            now = yield Now()
            if known is None or self._ends_at is None or now >= self._ends_at:
                raise
            self._renew_at = now + _AFTER_FAILURE
            return known

    def _replaced(self, refused: Secret, attempts: int) -> Flow[Secret]:
        if self._token is not None and self._token != refused:
            return self._token
        self._token = None
        return (yield from self._fetched(attempts))

    def _fetched(self, attempts: int) -> Flow[Secret]:
        """A new token. ``attempts`` is the number of attempts that had ended when the caller began to wait."""
        if self._attempts != attempts and self._failure is not None:
            raise copy(self._failure)
        asked_at = yield Now()
        try:
            grant = yield from self.fetch()
        except GetnetError as error:
            self._attempts += 1
            self._failure = copy(error)
            raise
        self._attempts += 1
        self._failure = None
        life = None if grant.life is None else min(grant.life, _LONGEST_LIFE)
        self._renew_at = None if life is None else asked_at + _RENEWED_AT * life
        self._ends_at = None if life is None else asked_at + life
        self._token = grant.token
        return grant.token
