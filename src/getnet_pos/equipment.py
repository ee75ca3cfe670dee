"""The clients of Getnet's Active Payment Terminal API (docs/equipment.md). The procedure is in ``flows.listing``."""

from __future__ import annotations

from enum import Enum
from types import TracebackType
from typing import TYPE_CHECKING

from .drivers.http import AsyncHttpDriver, HttpDriver
from .errors import InvalidType, InvalidValue
from .flows.http_calls import RetryPolicy, check_seconds, check_url
from .flows.listing import ListingSettings, list_terminals
from .messages.terminals import TerminalList
from .oauth import Token, bearer

if TYPE_CHECKING:
    import httpx
    from typing_extensions import Self

__all__ = ["AsyncEquipmentClient", "Environment", "EquipmentClient"]

MAX_BODY = 64 * 1024 * 1024
"""The longest listing taken unless a client says otherwise, in bytes: some 160,000 terminals."""


class Environment(str, Enum):
    """The documented base URLs. The one of production is not public: give it as text."""

    HG = "https://api-hg.getnet.com.br/sap/equipment/v1"
    """Development."""
    HTI = "https://api-homologacao.getnet.com.br/sap/equipment/v1"
    """Quality assurance."""

    def __str__(self) -> str:
        return self.value


class EquipmentClient:
    """Lists the active terminals of merchants, blocking. Threads may share it.

    Args:
        base_url: an ``Environment``, or the address up to and without ``/payment-terminals``.
        token: the bearer token as text, a function that returns it, or a ``TokenProvider`` such as
            ``ClientCredentials``, which gets it and renews it.
        http_client: an ``httpx.Client`` of your own, for a proxy, a private certificate authority or a test. It is not
            closed. Without it TLS is verified and nothing is taken from the environment.
        timeout: seconds for one request and its answer; a server that sends its answer in drops may take up to twice
            as long.
        retry: how often a request is repeated after a broken link, 429, 502, 503 and 504.
        strict: refuse what deviates from the documentation, instead of reporting it in ``TerminalList.deviations``.
        max_body: the longest answer taken, in bytes.
    """

    def __init__(
        self,
        base_url: Environment | str,
        *,
        token: Token,
        http_client: httpx.Client | None = None,
        timeout: float = 60.0,
        retry: RetryPolicy | None = None,
        strict: bool = False,
        max_body: int = MAX_BODY,
    ) -> None:
        self._settings = _settings(base_url, http_client is not None, timeout, retry, strict, max_body)
        self._bearer = bearer(token)
        self._driver = HttpDriver(http_client)

    def list_active_terminals(self, merchant_id: str) -> TerminalList:
        """The active terminals of a merchant.

        Raises:
            InvalidValue: ``merchant_id`` is not 1 to 64 letters, digits, ``_`` and ``-``; nothing was sent.
            ApiError: the API answered with an error, or with what is not a listing; the subclass says which.
            TransportError: the API was not reached, or the link broke, and repeating did not help.
            LifecycleError: the client is closed.
        """
        return self._driver.run(list_terminals(merchant_id, self._bearer, self._settings))

    def close(self) -> None:
        """Free the connections, unless ``http_client`` was given. A closed client sends nothing more."""
        self._driver.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<EquipmentClient of {self._settings.base_url}>"


class AsyncEquipmentClient:
    """Lists the active terminals of merchants, on asyncio. Takes what ``EquipmentClient`` takes; see there.

    ``token`` may also be an async function, and ``http_client`` is an ``httpx.AsyncClient``. ``timeout`` is exact.
    """

    def __init__(
        self,
        base_url: Environment | str,
        *,
        token: Token,
        http_client: httpx.AsyncClient | None = None,
        timeout: float = 60.0,
        retry: RetryPolicy | None = None,
        strict: bool = False,
        max_body: int = MAX_BODY,
    ) -> None:
        self._settings = _settings(base_url, http_client is not None, timeout, retry, strict, max_body)
        self._bearer = bearer(token)
        self._driver = AsyncHttpDriver(http_client)

    async def list_active_terminals(self, merchant_id: str) -> TerminalList:
        """The active terminals of a merchant; raises what ``EquipmentClient.list_active_terminals`` raises."""
        return await self._driver.run(list_terminals(merchant_id, self._bearer, self._settings))

    async def close(self) -> None:
        """Free the connections, unless ``http_client`` was given. A closed client sends nothing more."""
        await self._driver.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<AsyncEquipmentClient of {self._settings.base_url}>"


def _settings(
    base_url: Environment | str,
    plain: bool,
    timeout: float,
    retry: RetryPolicy | None,
    strict: bool,
    max_body: int,
) -> ListingSettings:
    if type(max_body) is not int:
        raise InvalidType(f"max_body must be an int, not {type(max_body).__name__}")
    if max_body < 1024:
        raise InvalidValue("max_body must be at least 1024 bytes")
    return ListingSettings(
        # Who brings a client decides about its transport, plain http within a cluster included.
        base_url=check_url(base_url.value if isinstance(base_url, Environment) else base_url, "base_url", plain=plain),
        timeout=check_seconds(timeout, "timeout"),
        retry=retry or RetryPolicy(),
        max_body=max_body,
        strict=strict,
    )
